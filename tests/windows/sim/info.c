/*
 * IRP_MJ_QUERY_INFORMATION and SET_INFORMATION (but for renames).
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define SETTABLE (FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_ARCHIVE | \
	FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_OFFLINE | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED)
/* Not in every header. */
#define CLASS_ID 59u
#define CLASS_DISPOSITION_EX 64u
#define CLASS_RENAME_EX 65u

static void basic(const struct sim_node *node, FILE_BASIC_INFORMATION *info)
{
	info->CreationTime.QuadPart = node->created;
	info->LastAccessTime.QuadPart = node->accessed;
	info->LastWriteTime.QuadPart = node->written;
	info->ChangeTime.QuadPart = node->changed;
	info->FileAttributes = sim_node_attributes(node);
}

static void standard(const struct sim_node *node, FILE_STANDARD_INFORMATION *info)
{
	info->AllocationSize.QuadPart = (LONGLONG)sim_node_allocation(node);
	info->EndOfFile.QuadPart = (LONGLONG)sim_node_size(node);
	info->NumberOfLinks = node->delete_pending ? 0 : 1;
	info->DeletePending = node->delete_pending;
	info->Directory = node->directory;
}

void sim_node_network(const struct sim_node *node, FILE_NETWORK_OPEN_INFORMATION *info)
{
	memset(info, 0, sizeof(*info));
	info->CreationTime.QuadPart = node->created;
	info->LastAccessTime.QuadPart = node->accessed;
	info->LastWriteTime.QuadPart = node->written;
	info->ChangeTime.QuadPart = node->changed;
	info->AllocationSize.QuadPart = (LONGLONG)sim_node_allocation(node);
	info->EndOfFile.QuadPart = (LONGLONG)sim_node_size(node);
	info->FileAttributes = sim_node_attributes(node);
}

/* A length and a name at `offset`; what doesn't fit is cut off with STATUS_BUFFER_OVERFLOW. */
static NTSTATUS put_name(const UNICODE_STRING *name, PUCHAR buffer, ULONG offset, ULONG room, ULONG_PTR *ret_used)
{
	ULONG length = name->Length, fits = room - offset - (ULONG)sizeof(ULONG);

	memcpy(buffer + offset, &length, sizeof(length));
	if (fits > length)
		fits = length;
	memcpy(buffer + offset + sizeof(length), name->Buffer, fits);
	*ret_used = offset + sizeof(length) + fits;
	return fits < length ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static NTSTATUS put_path(const struct sim_node *node, PUCHAR buffer, ULONG offset, ULONG room, ULONG_PTR *ret_used)
{
	UNICODE_STRING path;
	NTSTATUS status;

	if (!sim_node_path(node, &path))
		return STATUS_INSUFFICIENT_RESOURCES;
	status = put_name(&path, buffer, offset, room, ret_used);
	sim_string_free(&path);
	return status;
}

static NTSTATUS query_all(struct sim_open *open, PUCHAR buffer, ULONG length, ULONG_PTR *ret_used)
{
	FILE_ALL_INFORMATION info;

	memset(&info, 0, sizeof(info));
	basic(open->node, &info.BasicInformation);
	standard(open->node, &info.StandardInformation);
	info.InternalInformation.IndexNumber.QuadPart = (LONGLONG)open->node->id;
	info.EaInformation.EaSize = sim_ea_size(open->node);
	info.AccessInformation.AccessFlags = open->granted;
	info.PositionInformation.CurrentByteOffset = open->object.CurrentByteOffset;
	memcpy(buffer, &info, offsetof(FILE_ALL_INFORMATION, NameInformation));
	return put_path(open->node, buffer, offsetof(FILE_ALL_INFORMATION, NameInformation), length, ret_used);
}

static NTSTATUS query_stream(const struct sim_node *node, PUCHAR buffer, ULONG length, ULONG_PTR *ret_used)
{
	static WCHAR text[] = L"::$DATA";
	FILE_STREAM_INFORMATION info;
	ULONG head = offsetof(FILE_STREAM_INFORMATION, StreamName), bytes = sizeof(text) - sizeof(WCHAR);

	if (node->directory)
		return STATUS_SUCCESS; /* none */
	if (length < head + bytes)
		return STATUS_BUFFER_OVERFLOW;
	memset(&info, 0, sizeof(info));
	info.StreamNameLength = bytes;
	info.StreamSize.QuadPart = (LONGLONG)sim_node_size(node);
	info.StreamAllocationSize.QuadPart = (LONGLONG)sim_node_allocation(node);
	memcpy(buffer, &info, head);
	memcpy(buffer + head, text, bytes);
	*ret_used = head + bytes;
	return STATUS_SUCCESS;
}

struct fixed {
	ULONG class, size;
};

static const struct fixed fixed_classes[] = {
	{ FileBasicInformation, sizeof(FILE_BASIC_INFORMATION) }, { FileStandardInformation, sizeof(FILE_STANDARD_INFORMATION) },
	{ FileInternalInformation, sizeof(FILE_INTERNAL_INFORMATION) }, { FileEaInformation, sizeof(FILE_EA_INFORMATION) },
	{ FileAccessInformation, sizeof(FILE_ACCESS_INFORMATION) }, { FilePositionInformation, sizeof(FILE_POSITION_INFORMATION) },
	{ FileModeInformation, sizeof(FILE_MODE_INFORMATION) }, { FileAlignmentInformation, sizeof(FILE_ALIGNMENT_INFORMATION) },
	{ FileNetworkOpenInformation, sizeof(FILE_NETWORK_OPEN_INFORMATION) },
	{ FileAttributeTagInformation, sizeof(FILE_ATTRIBUTE_TAG_INFORMATION) },
	{ FileAllInformation, sizeof(FILE_ALL_INFORMATION) }, { FileNameInformation, sizeof(FILE_NAME_INFORMATION) },
	{ FileNormalizedNameInformation, sizeof(FILE_NAME_INFORMATION) }, { FileAlternateNameInformation, sizeof(FILE_NAME_INFORMATION) },
	{ FileStandardLinkInformation, 12 }, { CLASS_ID, 24 }, { FileStreamInformation, 0 },
};

static NTSTATUS query_fixed(struct sim_open *open, ULONG class, PUCHAR buffer)
{
	struct sim_node *node = open->node;
	union {
		FILE_BASIC_INFORMATION basic;
		FILE_STANDARD_INFORMATION standard;
		FILE_NETWORK_OPEN_INFORMATION network;
		ULONGLONG numbers[4];
		ULONG words[4];
	} info;
	ULONG size = 8;

	memset(&info, 0, sizeof(info));
	switch (class) {
	case FileBasicInformation: basic(node, &info.basic), size = sizeof(info.basic); break;
	case FileStandardInformation: standard(node, &info.standard), size = sizeof(info.standard); break;
	case FileNetworkOpenInformation: sim_node_network(node, &info.network), size = sizeof(info.network); break;
	case FileInternalInformation: info.numbers[0] = node->id; break;
	case FilePositionInformation: info.numbers[0] = (ULONGLONG)open->object.CurrentByteOffset.QuadPart; break;
	case FileEaInformation: info.words[0] = sim_ea_size(node), size = 4; break;
	case FileAccessInformation: info.words[0] = open->granted, size = 4; break;
	case FileModeInformation: info.words[0] = open->options & 0x103e, size = 4; break;
	case FileAlignmentInformation: size = 4; break;
	case FileAttributeTagInformation: info.words[0] = sim_node_attributes(node); break;
	case FileStandardLinkInformation: info.words[0] = info.words[1] = 1, size = 12; break;
	case CLASS_ID: info.numbers[0] = 0x1a2b3c4d, info.numbers[1] = node->id, size = 24; break;
	default: return STATUS_INVALID_INFO_CLASS;
	}
	memcpy(buffer, &info, size);
	return STATUS_SUCCESS;
}

static NTSTATUS query_class(struct sim_open *open, ULONG class, PUCHAR buffer, ULONG length, ULONG_PTR *ret_used)
{
	UNICODE_STRING name = { .Buffer = open->node->short_name, .Length = (USHORT)(open->node->short_length * sizeof(WCHAR)) };

	switch (class) {
	case FileAllInformation:
		return query_all(open, buffer, length, ret_used);
	case FileNameInformation:
	case FileNormalizedNameInformation:
		return put_path(open->node, buffer, 0, length, ret_used);
	case FileAlternateNameInformation:
		return put_name(name.Length ? &name : &open->node->name, buffer, 0, length, ret_used);
	case FileStreamInformation:
		return query_stream(open->node, buffer, length, ret_used);
	default:
		return query_fixed(open, class, buffer);
	}
}

NTSTATUS sim_ntfs_query_info(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	ULONG class = (ULONG)p->QueryFileInformation.FileInformationClass, i;
	ULONG_PTR used;
	NTSTATUS status;

	for (i = 0; i < RTL_NUMBER_OF(fixed_classes) && fixed_classes[i].class != class; i++)
		;
	if (i == RTL_NUMBER_OF(fixed_classes))
		return STATUS_INVALID_INFO_CLASS;
	if (p->QueryFileInformation.Length < fixed_classes[i].size)
		return STATUS_INFO_LENGTH_MISMATCH;
	used = fixed_classes[i].size;
	sim_mutex_lock(&sim_big);
	if (request->open->node->unlinked && !request->open->node->handles)
		status = STATUS_FILE_DELETED;
	else
		status = query_class(request->open, class, sim_buffer_data(request), p->QueryFileInformation.Length, &used);
	sim_mutex_unlock(&sim_big);
	request->data->data.IoStatus.Information = NT_SUCCESS(status) || status == STATUS_BUFFER_OVERFLOW ? used : 0;
	return status;
}

NTSTATUS sim_ntfs_network_open(struct sim_request *request)
{
	struct sim_node *parent, *node;
	UNICODE_STRING last;
	NTSTATUS status;

	sim_mutex_lock(&sim_big);
	status = sim_node_walk(request->volume->root, &request->open->object.FileName, &parent, &last, &node);
	if (NT_SUCCESS(status))
		sim_node_network(node, request->network);
	sim_mutex_unlock(&sim_big);
	return status;
}

/* ---- setting ---- */

static void set_time(LONGLONG *time, LONGLONG value)
{
	if (value > 0)
		*time = value;
}

static NTSTATUS set_basic(struct sim_node *node, const FILE_BASIC_INFORMATION *info, LIST_ENTRY *ready)
{
	if (info->FileAttributes) {
		if (!node->directory && (info->FileAttributes & FILE_ATTRIBUTE_DIRECTORY))
			return STATUS_INVALID_PARAMETER;
		node->attributes = (node->attributes & ~(ULONG)SETTABLE) | (info->FileAttributes & SETTABLE);
	}
	node->changed = sim_host_time();
	set_time(&node->created, info->CreationTime.QuadPart);
	set_time(&node->accessed, info->LastAccessTime.QuadPart);
	set_time(&node->written, info->LastWriteTime.QuadPart);
	set_time(&node->changed, info->ChangeTime.QuadPart);
	sim_notify_node(node, FILE_ACTION_MODIFIED, FILE_NOTIFY_CHANGE_ATTRIBUTES | FILE_NOTIFY_CHANGE_LAST_WRITE, ready);
	return STATUS_SUCCESS;
}

static NTSTATUS set_end(struct sim_request *request, struct sim_node *node, LONGLONG size, LIST_ENTRY *ready)
{
	if (node->directory)
		return STATUS_INVALID_PARAMETER;
	if (size < 0)
		return STATUS_INVALID_PARAMETER;
	if (request->data->iopb.Parameters.SetFileInformation.AdvanceOnly)
		return STATUS_SUCCESS; /* valid data is everything here */
	if (!sim_cache_may_truncate(node, (ULONGLONG)size))
		return STATUS_USER_MAPPED_FILE;
	sim_node_set_size(node, (ULONGLONG)size);
	node->written = node->changed = sim_host_time();
	sim_notify_node(node, FILE_ACTION_MODIFIED, FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE, ready);
	return STATUS_SUCCESS;
}

static NTSTATUS set_allocation(struct sim_node *node, LONGLONG size, LIST_ENTRY *ready)
{
	if (node->directory || size < 0)
		return STATUS_INVALID_PARAMETER;
	if ((ULONGLONG)size < sim_node_size(node)) {
		if (!sim_cache_may_truncate(node, (ULONGLONG)size))
			return STATUS_USER_MAPPED_FILE;
		sim_node_set_size(node, (ULONGLONG)size);
		sim_notify_node(node, FILE_ACTION_MODIFIED, FILE_NOTIFY_CHANGE_SIZE, ready);
	}
	node->reserved = (ULONGLONG)size;
	return STATUS_SUCCESS;
}

static NTSTATUS set_disposition(struct sim_open *open, bool remove, bool posix, bool force)
{
	struct sim_node *node = open->node;

	if (!remove) {
		node->delete_pending = false;
		open->posix_delete = false;
		return STATUS_SUCCESS;
	}
	if (!node->parent)
		return STATUS_CANNOT_DELETE;
	if ((node->attributes & FILE_ATTRIBUTE_READONLY) && !force)
		return STATUS_CANNOT_DELETE;
	if (node->child_count)
		return STATUS_DIRECTORY_NOT_EMPTY;
	if (sim_cache_mapped(node))
		return STATUS_CANNOT_DELETE;
	node->delete_pending = true;
	open->posix_delete = posix;
	return STATUS_SUCCESS;
}

static NTSTATUS disposition_class(struct sim_open *open, ULONG class, const void *buffer)
{
	ULONG flags = 0;

	if (class == FileDispositionInformation)
		return set_disposition(open, *(const UCHAR *)buffer != 0, false, false);
	memcpy(&flags, buffer, sizeof(flags));
	if (flags & 8) { /* ON_CLOSE: sets or clears what the handle was opened with */
		open->delete_on_close = (flags & 1) != 0;
		return STATUS_SUCCESS;
	}
	return set_disposition(open, (flags & 1) != 0, (flags & 2) != 0, (flags & 16) != 0);
}

static NTSTATUS set_class(struct sim_request *request, ULONG class, PVOID buffer, LIST_ENTRY *ready)
{
	struct sim_open *open = request->open;
	LARGE_INTEGER number;

	switch (class) {
	case FileBasicInformation:
		return set_basic(open->node, buffer, ready);
	case FileEndOfFileInformation:
		memcpy(&number, buffer, sizeof(number));
		return set_end(request, open->node, number.QuadPart, ready);
	case FileAllocationInformation:
		memcpy(&number, buffer, sizeof(number));
		return set_allocation(open->node, number.QuadPart, ready);
	case FilePositionInformation:
		memcpy(&open->object.CurrentByteOffset, buffer, sizeof(number));
		return STATUS_SUCCESS;
	case FileDispositionInformation:
	case CLASS_DISPOSITION_EX:
		return disposition_class(open, class, buffer);
	case FileValidDataLengthInformation:
	case FileModeInformation:
		return STATUS_SUCCESS;
	default:
		return STATUS_INVALID_INFO_CLASS;
	}
}

static ULONG least_of(ULONG class)
{
	switch (class) {
	case FileBasicInformation: return sizeof(FILE_BASIC_INFORMATION);
	case FileDispositionInformation: return 1;
	case CLASS_DISPOSITION_EX:
	case FileModeInformation: return 4;
	case FileRenameInformation:
	case FileLinkInformation:
	case CLASS_RENAME_EX: return offsetof(FILE_RENAME_INFORMATION, FileName);
	default: return 8;
	}
}

NTSTATUS sim_ntfs_set_info(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	ULONG class = (ULONG)p->SetFileInformation.FileInformationClass;
	LIST_ENTRY ready;
	NTSTATUS status;

	request->data->data.IoStatus.Information = 0;
	if (p->SetFileInformation.Length < least_of(class))
		return STATUS_INFO_LENGTH_MISMATCH;
	if (class == FileRenameInformation || class == CLASS_RENAME_EX)
		return sim_ntfs_rename(request, class);
	if (class == FileLinkInformation)
		return STATUS_NOT_SUPPORTED;
	InitializeListHead(&ready);
	sim_mutex_lock(&sim_big);
	status = set_class(request, class, sim_buffer_data(request), &ready);
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&ready);
	return status;
}

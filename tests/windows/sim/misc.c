/*
 * The volume's dispatcher, its own information, file-system controls, security.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define CLUSTER 4096u

static NTSTATUS nothing(struct sim_request *request)
{
	(void)request;
	return STATUS_SUCCESS;
}

struct operation {
	UCHAR major;
	NTSTATUS (*run)(struct sim_request *request);
};

static const struct operation operations[] = {
	{ IRP_MJ_CREATE, sim_ntfs_create }, { IRP_MJ_CLOSE, sim_ntfs_close }, { IRP_MJ_CLEANUP, sim_ntfs_cleanup },
	{ IRP_MJ_READ, sim_ntfs_read }, { IRP_MJ_WRITE, sim_ntfs_write }, { IRP_MJ_FLUSH_BUFFERS, sim_ntfs_flush },
	{ IRP_MJ_QUERY_INFORMATION, sim_ntfs_query_info }, { IRP_MJ_SET_INFORMATION, sim_ntfs_set_info },
	{ IRP_MJ_QUERY_EA, sim_ntfs_query_ea }, { IRP_MJ_SET_EA, sim_ntfs_set_ea },
	{ IRP_MJ_DIRECTORY_CONTROL, sim_ntfs_directory }, { IRP_MJ_FILE_SYSTEM_CONTROL, sim_ntfs_fsctl },
	{ IRP_MJ_QUERY_VOLUME_INFORMATION, sim_ntfs_query_volume }, { IRP_MJ_LOCK_CONTROL, sim_ntfs_lock },
	{ IRP_MJ_QUERY_SECURITY, sim_ntfs_query_security }, { IRP_MJ_NETWORK_QUERY_OPEN, sim_ntfs_network_open },
	{ IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION, nothing }, { IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION, nothing },
};

NTSTATUS sim_volume_dispatch(struct sim_request *request)
{
	UCHAR major = request->data->iopb.MajorFunction;
	NTSTATUS status = STATUS_INVALID_DEVICE_REQUEST;
	KIRQL irql = sim_host_set_irql(PASSIVE_LEVEL);
	bool runs = true;

	if (major != IRP_MJ_CREATE && major != IRP_MJ_NETWORK_QUERY_OPEN && !request->open->node) {
		sim_violate("an operation reached the volume on a file that is not open", NULL, major);
		runs = false;
	}
	request->data->data.IoStatus.Information = 0;
	if (__atomic_load_n(&request->volume->dismounted, __ATOMIC_SEQ_CST) && major != IRP_MJ_CLEANUP && major != IRP_MJ_CLOSE) {
		status = STATUS_VOLUME_DISMOUNTED;
		runs = false;
	}
	for (ULONG i = 0; runs && i < RTL_NUMBER_OF(operations); i++)
		if (operations[i].major == major)
			status = operations[i].run(request);
	if (status != STATUS_PENDING)
		request->data->data.IoStatus.Status = status;
	sim_host_set_irql(irql);
	return status;
}

/* ---- volume information ---- */

static NTSTATUS volume_sizes(const struct sim_volume *volume, ULONG class, PUCHAR buffer, ULONG length, ULONG_PTR *ret_used)
{
	FILE_FS_FULL_SIZE_INFORMATION full = {
		.TotalAllocationUnits.QuadPart = (LONGLONG)(volume->room / CLUSTER),
		.CallerAvailableAllocationUnits.QuadPart = (LONGLONG)((volume->room - volume->used) / CLUSTER),
		.ActualAvailableAllocationUnits.QuadPart = (LONGLONG)((volume->room - volume->used) / CLUSTER),
		.SectorsPerAllocationUnit = CLUSTER / 512, .BytesPerSector = 512,
	};
	FILE_FS_SIZE_INFORMATION size = { full.TotalAllocationUnits, full.CallerAvailableAllocationUnits, CLUSTER / 512, 512 };

	*ret_used = class == FileFsSizeInformation ? sizeof(size) : sizeof(full);
	if (length < *ret_used)
		return STATUS_INFO_LENGTH_MISMATCH;
	memcpy(buffer, class == FileFsSizeInformation ? (void *)&size : (void *)&full, *ret_used);
	return STATUS_SUCCESS;
}

static NTSTATUS volume_texts(ULONG class, PUCHAR buffer, ULONG length, ULONG_PTR *ret_used)
{
	static const WCHAR label[] = L"SIM", name[] = L"NTFS";
	FILE_FS_ATTRIBUTE_INFORMATION attribute = {
		.FileSystemAttributes = FILE_CASE_SENSITIVE_SEARCH | FILE_CASE_PRESERVED_NAMES | FILE_UNICODE_ON_DISK | FILE_PERSISTENT_ACLS |
			FILE_SUPPORTS_SPARSE_FILES | FILE_SUPPORTS_EXTENDED_ATTRIBUTES | FILE_SUPPORTS_OPEN_BY_FILE_ID,
		.MaximumComponentNameLength = 255, .FileSystemNameLength = sizeof(name) - sizeof(WCHAR),
	};
	FILE_FS_VOLUME_INFORMATION volume = { .VolumeSerialNumber = 0x1a2b3c4d, .VolumeLabelLength = sizeof(label) - sizeof(WCHAR) };
	bool attributes = class == FileFsAttributeInformation;
	ULONG head = attributes ? offsetof(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName) : offsetof(FILE_FS_VOLUME_INFORMATION, VolumeLabel);
	ULONG bytes = attributes ? attribute.FileSystemNameLength : volume.VolumeLabelLength;

	if (length < head)
		return STATUS_INFO_LENGTH_MISMATCH;
	memcpy(buffer, attributes ? (void *)&attribute : (void *)&volume, head);
	if (bytes > length - head)
		bytes = length - head;
	memcpy(buffer + head, attributes ? name : label, bytes);
	*ret_used = head + bytes;
	return STATUS_SUCCESS;
}

NTSTATUS sim_ntfs_query_volume(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	ULONG class = (ULONG)p->QueryVolumeInformation.FsInformationClass, length = p->QueryVolumeInformation.Length;
	PUCHAR buffer = sim_buffer_data(request);
	ULONG_PTR used = 0;
	NTSTATUS status;

	switch (class) {
	case FileFsSizeInformation:
	case FileFsFullSizeInformation:
		sim_mutex_lock(&sim_big);
		status = volume_sizes(request->volume, class, buffer, length, &used);
		sim_mutex_unlock(&sim_big);
		break;
	case FileFsVolumeInformation:
	case FileFsAttributeInformation:
		status = volume_texts(class, buffer, length, &used);
		break;
	case FileFsDeviceInformation:
		if (length < 8)
			return STATUS_INFO_LENGTH_MISMATCH;
		memcpy(buffer, (ULONG[2]){ FILE_DEVICE_DISK, 0x20 }, 8);
		used = 8;
		status = STATUS_SUCCESS;
		break;
	default:
		return STATUS_INVALID_INFO_CLASS;
	}
	request->data->data.IoStatus.Information = NT_SUCCESS(status) ? used : 0;
	return status;
}

/* ---- controls ---- */

static NTSTATUS zero_data(struct sim_node *node, const void *input, ULONG length)
{
	FILE_ZERO_DATA_INFORMATION range;
	ULONGLONG end;
	NTSTATUS status;

	if (length < sizeof(range))
		return STATUS_INVALID_PARAMETER;
	memcpy(&range, input, sizeof(range));
	if (range.FileOffset.QuadPart < 0 || range.BeyondFinalZero.QuadPart < range.FileOffset.QuadPart)
		return STATUS_INVALID_PARAMETER;
	status = sim_cache_flush(node, 0, ~0ull);
	if (!NT_SUCCESS(status))
		return status;
	sim_cache_purge(node, 0, ~0ull);
	sim_mutex_lock(&sim_big);
	end = (ULONGLONG)range.BeyondFinalZero.QuadPart;
	if (end > sim_node_size(node))
		end = sim_node_size(node);
	if (end > (ULONGLONG)range.FileOffset.QuadPart) {
		ULONG before = node->data.count;

		sim_pages_zero(&node->data, (ULONGLONG)range.FileOffset.QuadPart, end - (ULONGLONG)range.FileOffset.QuadPart);
		node->volume->used -= (ULONGLONG)(before - node->data.count) * SIM_PAGE;
	}
	node->written = node->changed = sim_host_time();
	sim_mutex_unlock(&sim_big);
	return STATUS_SUCCESS;
}

static NTSTATUS allocated_ranges(struct sim_node *node, const void *input, ULONG length, PUCHAR output, ULONG room, ULONG_PTR *ret_used)
{
	FILE_ALLOCATED_RANGE_BUFFER wanted, range;
	NTSTATUS status = STATUS_SUCCESS;
	ULONGLONG at, end;

	if (length < sizeof(wanted))
		return STATUS_INVALID_PARAMETER;
	memcpy(&wanted, input, sizeof(wanted));
	if (wanted.FileOffset.QuadPart < 0 || wanted.Length.QuadPart < 0)
		return STATUS_INVALID_PARAMETER;
	sim_cache_flush(node, 0, ~0ull);
	sim_mutex_lock(&sim_big);
	at = (ULONGLONG)wanted.FileOffset.QuadPart / SIM_PAGE;
	end = (ULONGLONG)wanted.FileOffset.QuadPart + (ULONGLONG)wanted.Length.QuadPart;
	if (end > sim_node_size(node))
		end = sim_node_size(node);
	for (struct sim_page *page = sim_pages_next(&node->data, at); page && page->number * SIM_PAGE < end;
		page = sim_pages_next(&node->data, at)) {
		ULONGLONG first = page->number;

		for (at = first; sim_pages_find(&node->data, at) && at * SIM_PAGE < end; at++)
			;
		if (*ret_used + sizeof(range) > room) {
			status = STATUS_BUFFER_OVERFLOW;
			break;
		}
		range.FileOffset.QuadPart = (LONGLONG)(first * SIM_PAGE);
		range.Length.QuadPart = (LONGLONG)((at * SIM_PAGE < end ? at * SIM_PAGE : end) - first * SIM_PAGE);
		memcpy(output + *ret_used, &range, sizeof(range));
		*ret_used += sizeof(range);
	}
	sim_mutex_unlock(&sim_big);
	return status;
}

static void set_sparse(struct sim_node *node, const void *input, ULONG length)
{
	bool sparse = length < 1 || *(const UCHAR *)input;

	sim_mutex_lock(&sim_big);
	node->attributes = sparse ? node->attributes | FILE_ATTRIBUTE_SPARSE_FILE : node->attributes & ~(ULONG)FILE_ATTRIBUTE_SPARSE_FILE;
	sim_mutex_unlock(&sim_big);
}

/* METHOD_BUFFERED: one buffer in and out; METHOD_NEITHER: both are the program's. */
NTSTATUS sim_ntfs_fsctl(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	ULONG code = p->FileSystemControl.Common.FsControlCode, in_length = p->FileSystemControl.Common.InputBufferLength;
	ULONG_PTR used = 0;
	NTSTATUS status;

	switch (code) {
	case FSCTL_SET_SPARSE:
		if (request->open->node->directory)
			return STATUS_INVALID_PARAMETER;
		set_sparse(request->open->node, request->info, in_length);
		return STATUS_SUCCESS;
	case FSCTL_SET_ZERO_DATA:
		return zero_data(request->open->node, request->info, in_length);
	case FSCTL_QUERY_ALLOCATED_RANGES:
		status = allocated_ranges(request->open->node, request->info, in_length, sim_buffer_data(request),
			p->FileSystemControl.Common.OutputBufferLength, &used);
		request->data->data.IoStatus.Information = used;
		return status;
	case FSCTL_GET_REPARSE_POINT:
		return STATUS_NOT_A_REPARSE_POINT;
	case FSCTL_REQUEST_OPLOCK_LEVEL_1:
	case FSCTL_REQUEST_OPLOCK_LEVEL_2:
	case FSCTL_REQUEST_BATCH_OPLOCK:
	case FSCTL_REQUEST_FILTER_OPLOCK:
	case FSCTL_REQUEST_OPLOCK:
		return STATUS_OPLOCK_NOT_GRANTED;
	default:
		return STATUS_INVALID_DEVICE_REQUEST;
	}
}

/* A security descriptor, self-relative, without any of its parts: programs get something to copy. */
NTSTATUS sim_ntfs_query_security(struct sim_request *request)
{
	static const UCHAR descriptor[20] = { 1, 0, 0x04, 0x80 };
	ULONG length = request->buffer.length;

	request->data->data.IoStatus.Information = sizeof(descriptor);
	if (length < sizeof(descriptor))
		return STATUS_BUFFER_TOO_SMALL;
	memcpy(sim_buffer_data(request), descriptor, sizeof(descriptor));
	return STATUS_SUCCESS;
}

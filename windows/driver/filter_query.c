/*
 * Queries of remote files: NTFS answers, with the server's sizes, times, attributes and links in place of its own.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

#include "memory.h"

/* From pre- to post-query: the server's attributes. */
struct correction {
	struct inlay_ring_attr attr;
	bool is_directory;
};

static bool is_corrected(FILE_INFORMATION_CLASS class)
{
	switch ((int)class) {
	case FileBasicInformation:
	case FileStandardInformation:
	case FileNetworkOpenInformation:
	case FileAttributeTagInformation:
	case FileAllInformation:
	case FileEaInformation:
	case FileStandardLinkInformation:
	case FileStreamInformation: /* its sizes are NTFS's, which follow first */
	case FileStatInformation:
		return true;
	default:
		return false;
	}
}

/* FileStatInformation, which older headers lack. */
struct stat_information {
	LARGE_INTEGER file_id, created, accessed, written, changed, allocation, end;
	ULONG attributes, tag, links;
	ACCESS_MASK access;
};

_Static_assert(sizeof(struct stat_information) == 72, "the layout is fixed");

static void correct_times(PLARGE_INTEGER times, const struct inlay_ring_attr *a)
{
	times[0].QuadPart = a->created;
	times[1].QuadPart = a->accessed;
	times[2].QuadPart = a->written;
	times[3].QuadPart = a->changed;
}

static void correct_basic(FILE_BASIC_INFORMATION *b, const struct correction *c)
{
	correct_times(&b->CreationTime, &c->attr);
	b->FileAttributes = c->attr.attributes;
}

static void correct_standard(FILE_STANDARD_INFORMATION *s, const struct correction *c)
{
	s->AllocationSize.QuadPart = c->is_directory ? 0 : (LONGLONG)c->attr.allocation;
	s->EndOfFile.QuadPart = c->is_directory ? 0 : (LONGLONG)c->attr.size;
	s->NumberOfLinks = c->attr.links;
	if (s->DeletePending && s->NumberOfLinks)
		s->NumberOfLinks--; /* as NTFS counts */
}

static void correct_network(FILE_NETWORK_OPEN_INFORMATION *n, const struct correction *c)
{
	correct_times(&n->CreationTime, &c->attr);
	n->AllocationSize.QuadPart = c->is_directory ? 0 : (LONGLONG)c->attr.allocation;
	n->EndOfFile.QuadPart = c->is_directory ? 0 : (LONGLONG)c->attr.size;
	n->FileAttributes = c->attr.attributes;
}

static void correct_stat(struct stat_information *s, const struct correction *c)
{
	correct_times(&s->created, &c->attr);
	s->allocation.QuadPart = c->is_directory ? 0 : (LONGLONG)c->attr.allocation;
	s->end.QuadPart = c->is_directory ? 0 : (LONGLONG)c->attr.size;
	s->attributes = c->attr.attributes;
	s->links = c->attr.links;
}

/* buffer holds `length` bytes of NTFS's answer. */
static void correct(FILE_INFORMATION_CLASS class, void *buffer, ULONG_PTR length, const struct correction *c)
{
	FILE_ALL_INFORMATION *all = buffer;
	FILE_STANDARD_LINK_INFORMATION *link = buffer;

	switch ((int)class) {
	case FileBasicInformation:
		if (length >= sizeof(FILE_BASIC_INFORMATION))
			correct_basic(buffer, c);
		break;
	case FileStandardInformation:
		if (length >= sizeof(FILE_STANDARD_INFORMATION))
			correct_standard(buffer, c);
		break;
	case FileNetworkOpenInformation:
		if (length >= sizeof(FILE_NETWORK_OPEN_INFORMATION))
			correct_network(buffer, c);
		break;
	case FileAttributeTagInformation:
		if (length >= sizeof(FILE_ATTRIBUTE_TAG_INFORMATION))
			((FILE_ATTRIBUTE_TAG_INFORMATION *)buffer)->FileAttributes = c->attr.attributes;
		break;
	case FileEaInformation:
		if (length >= sizeof(FILE_EA_INFORMATION))
			((FILE_EA_INFORMATION *)buffer)->EaSize = 0; /* the mark is not the file's */
		break;
	case FileStandardLinkInformation:
		if (length < sizeof(*link))
			break;
		link->TotalNumberOfLinks = c->attr.links;
		link->NumberOfAccessibleLinks = link->DeletePending && c->attr.links ? c->attr.links - 1 : c->attr.links;
		break;
	case FileStatInformation:
		if (length >= sizeof(struct stat_information))
			correct_stat(buffer, c);
		break;
	case FileAllInformation:
		if (length < (ULONG_PTR)FIELD_OFFSET(FILE_ALL_INFORMATION, AccessInformation))
			break;
		correct_basic(&all->BasicInformation, c);
		correct_standard(&all->StandardInformation, c);
		all->EaInformation.EaSize = 0;
		break;
	default:
		break;
	}
}

/* Asks the server, and lets NTFS's end of file follow. */
static FLT_PREOP_CALLBACK_STATUS ask(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file, PVOID *context)
{
	struct correction *c = inlay_alloc(sizeof(*c));
	ULONG epoch = inlay_size_epoch(objects->FileObject);
	NTSTATUS status;

	if (!c)
		return inlay_complete(data, STATUS_INSUFFICIENT_RESOURCES, 0);
	status = inlay_file_ask(file, INLAY_RING_GETATTR, 0, data, &c->attr);
	if (!NT_SUCCESS(status)) {
		inlay_free(c);
		return inlay_complete(data, status, 0);
	}
	c->is_directory = file->is_directory;
	if (!file->is_directory)
		inlay_size_follow(objects, c->attr.size, epoch);
	*context = c;
	return FLT_PREOP_SYNCHRONIZE;
}

/* IRQL: PASSIVE_LEVEL; from paging I/O APC_LEVEL, and then nothing is asked: the section's making has seen to the size */
INLAY_PRE(inlay_pre_query)
{
	FILE_INFORMATION_CLASS class = data->Iopb->Parameters.QueryFileInformation.FileInformationClass;
	FLT_PREOP_CALLBACK_STATUS result = FLT_PREOP_SUCCESS_NO_CALLBACK;
	struct inlay_file *file;

	if (!is_corrected(class) || (data->Iopb->IrpFlags & IRP_PAGING_IO))
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	file = inlay_file_of(objects);
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (!file->directory)
		result = FLT_PREOP_SUCCESS_NO_CALLBACK; /* an orphan is NTFS's, but for its data */
	else if (FLT_IS_FASTIO_OPERATION(data))
		result = FLT_PREOP_DISALLOW_FASTIO;
	else
		result = ask(data, objects, file, context);
	inlay_file_unref(file);
	return result;
}

/* IRQL: APC_LEVEL: synchronised. The buffer is the system's. */
INLAY_POST(inlay_post_query)
{
	struct correction *c = context;
	NTSTATUS status = data->IoStatus.Status;

	(void)objects;
	if (!(flags & FLTFL_POST_OPERATION_DRAINING) && (NT_SUCCESS(status) || status == STATUS_BUFFER_OVERFLOW))
		correct(data->Iopb->Parameters.QueryFileInformation.FileInformationClass,
			data->Iopb->Parameters.QueryFileInformation.InfoBuffer, data->IoStatus.Information, c);
	inlay_free(c);
	return FLT_POSTOP_FINISHED_PROCESSING;
}

/* How much the server's disk holds, for who asks through a remote file or directory. IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_query_volume)
{
	FS_INFORMATION_CLASS class = data->Iopb->Parameters.QueryVolumeInformation.FsInformationClass;
	struct inlay_file *file;
	struct correction *c;
	bool known;

	if (class != FileFsSizeInformation && class != FileFsFullSizeInformation)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	file = inlay_file_of(objects);
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	c = file->directory ? inlay_alloc(sizeof(*c)) : NULL;
	known = c && NT_SUCCESS(inlay_file_ask(file, INLAY_RING_STATFS, 0, data, &c->attr));
	inlay_file_unref(file);
	if (!known) { /* NTFS's answer is better than none */
		inlay_free(c);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	*context = c;
	return FLT_PREOP_SYNCHRONIZE;
}

static ULONGLONG unit_of(ULONG sectors, ULONG bytes)
{
	return sectors && bytes ? (ULONGLONG)sectors * bytes : 1;
}

/* IRQL: APC_LEVEL: synchronised */
INLAY_POST(inlay_post_query_volume)
{
	FILE_FS_FULL_SIZE_INFORMATION *full = data->Iopb->Parameters.QueryVolumeInformation.VolumeBuffer;
	FILE_FS_SIZE_INFORMATION *size = data->Iopb->Parameters.QueryVolumeInformation.VolumeBuffer;
	bool is_full = data->Iopb->Parameters.QueryVolumeInformation.FsInformationClass == FileFsFullSizeInformation;
	ULONG_PTR length = data->IoStatus.Information;
	struct correction *c = context;
	ULONGLONG unit;

	(void)objects;
	if ((flags & FLTFL_POST_OPERATION_DRAINING) || !NT_SUCCESS(data->IoStatus.Status)) {
		inlay_free(c);
		return FLT_POSTOP_FINISHED_PROCESSING;
	}
	if (is_full && length >= sizeof(*full)) {
		unit = unit_of(full->SectorsPerAllocationUnit, full->BytesPerSector);
		full->TotalAllocationUnits.QuadPart = (LONGLONG)(c->attr.size / unit);
		full->CallerAvailableAllocationUnits.QuadPart = (LONGLONG)(c->attr.allocation / unit);
		full->ActualAvailableAllocationUnits.QuadPart = (LONGLONG)(c->attr.allocation / unit);
	} else if (!is_full && length >= sizeof(*size)) {
		unit = unit_of(size->SectorsPerAllocationUnit, size->BytesPerSector);
		size->TotalAllocationUnits.QuadPart = (LONGLONG)(c->attr.size / unit);
		size->AvailableAllocationUnits.QuadPart = (LONGLONG)(c->attr.allocation / unit);
	}
	inlay_free(c);
	return FLT_POSTOP_FINISHED_PROCESSING;
}

/* The mark must not travel: a copy of a remote file that had it would be taken for one. IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_query_ea)
{
	struct inlay_file *file = inlay_file_of(objects);

	(void)context;
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	inlay_file_unref(file);
	return inlay_complete(data, STATUS_NO_EAS_ON_FILE, 0);
}

/* IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_set_ea)
{
	struct inlay_file *file = inlay_file_of(objects);

	(void)context;
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	inlay_file_unref(file);
	return inlay_complete(data, STATUS_EAS_NOT_SUPPORTED, 0);
}

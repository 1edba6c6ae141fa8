/*
 * Set information of remote files: the server first, then NTFS.
 * SPDX-License-Identifier: Apache-2.0
 *
 * All at PASSIVE_LEVEL, in the program's thread, which waits for the answers.
 */
#include "filter.h"

#ifndef FILE_DISPOSITION_DELETE
#define FILE_DISPOSITION_DELETE 0x00000001
#endif

struct setting {
	PFLT_CALLBACK_DATA data;
	PCFLT_RELATED_OBJECTS objects;
	struct inlay_file *file;
	void *buffer;
	ULONG length;
};

/* Whether the end may move to `size` with views on the file. */
static bool may_shrink(const struct setting *s, uint64_t size)
{
	PSECTION_OBJECT_POINTERS sections = s->objects->FileObject->SectionObjectPointer;
	LARGE_INTEGER to = {.QuadPart = (LONGLONG)size};

	return !sections || size >= inlay_size_of(s->objects->FileObject) || MmCanFileBeTruncated(sections, &to);
}

/* Both, and ends the operation. */
static FLT_PREOP_CALLBACK_STATUS resize(struct setting *s, LONGLONG size)
{
	struct inlay_ring_attr attr = {.size = (uint64_t)size};
	NTSTATUS status;

	if (size < 0)
		return inlay_complete(s->data, STATUS_INVALID_PARAMETER, 0);
	if (!may_shrink(s, attr.size))
		return inlay_complete(s->data, STATUS_USER_MAPPED_FILE, 0);
	status = inlay_file_set(s->file, INLAY_RING_SET_SIZE, &attr, s->data, NULL);
	if (NT_SUCCESS(status))
		status = inlay_size_move(s->objects, attr.size);
	return inlay_complete(s->data, status, 0);
}

/* The memory manager makes room for a section, with NTFS's locks held: the server is told, then NTFS does its own part. */
static FLT_PREOP_CALLBACK_STATUS extend_for_section(struct setting *s, LONGLONG size)
{
	struct inlay_ring_attr attr = {.size = (uint64_t)size};
	NTSTATUS status;

	if (size < 0)
		return inlay_complete(s->data, STATUS_INVALID_PARAMETER, 0);
	status = inlay_file_set(s->file, INLAY_RING_SET_SIZE, &attr, NULL, NULL);
	return NT_SUCCESS(status) ? FLT_PREOP_SUCCESS_NO_CALLBACK : inlay_complete(s->data, status, 0);
}

static FLT_PREOP_CALLBACK_STATUS set_end(struct setting *s)
{
	const FILE_END_OF_FILE_INFORMATION *in = s->buffer;

	if (s->length < sizeof(*in))
		return inlay_complete(s->data, STATUS_INFO_LENGTH_MISMATCH, 0);
	if (s->data->Iopb->Parameters.SetFileInformation.AdvanceOnly)
		return FLT_PREOP_SUCCESS_NO_CALLBACK; /* the cache manager's, about NTFS's valid data */
	if (s->data->Iopb->IrpFlags & IRP_PAGING_IO)
		return extend_for_section(s, in->EndOfFile.QuadPart);
	return resize(s, in->EndOfFile.QuadPart);
}

/* Less than the file's size cuts it; more is a promise of room that the server gives as it can. */
static FLT_PREOP_CALLBACK_STATUS set_allocation(struct setting *s)
{
	const FILE_ALLOCATION_INFORMATION *in = s->buffer;
	struct inlay_ring_attr attr;
	NTSTATUS status;

	if (s->length < sizeof(*in))
		return inlay_complete(s->data, STATUS_INFO_LENGTH_MISMATCH, 0);
	status = inlay_file_ask(s->file, INLAY_RING_GETATTR, 0, s->data, &attr);
	if (!NT_SUCCESS(status) || in->AllocationSize.QuadPart >= (LONGLONG)attr.size)
		return inlay_complete(s->data, status, 0);
	return resize(s, in->AllocationSize.QuadPart);
}

/* -1 and -2 tell NTFS whether to keep the time itself from now on: nothing that the server could follow. */
static int64_t time_of(LARGE_INTEGER t)
{
	return t.QuadPart > 0 ? t.QuadPart : 0;
}

static FLT_PREOP_CALLBACK_STATUS set_basic(struct setting *s)
{
	const FILE_BASIC_INFORMATION *in = s->buffer;
	struct inlay_ring_attr attr;
	uint32_t mask = 0;
	NTSTATUS status;

	if (s->length < sizeof(*in))
		return inlay_complete(s->data, STATUS_INFO_LENGTH_MISMATCH, 0);
	attr = (struct inlay_ring_attr){.created = time_of(in->CreationTime), .accessed = time_of(in->LastAccessTime),
					.written = time_of(in->LastWriteTime), .changed = time_of(in->ChangeTime),
					.attributes = in->FileAttributes};
	if (attr.created || attr.accessed || attr.written || attr.changed)
		mask |= INLAY_RING_SET_TIMES;
	if (attr.attributes)
		mask |= INLAY_RING_SET_ATTRIBUTES;
	if (!mask)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	status = inlay_file_set(s->file, mask, &attr, s->data, NULL);
	return NT_SUCCESS(status) ? FLT_PREOP_SUCCESS_NO_CALLBACK : inlay_complete(s->data, status, 0);
}

/* True: to delete it; false: not, after all. The Ex class has flags where the other has a BOOLEAN. */
static FLT_PREOP_CALLBACK_STATUS set_disposition(struct setting *s, bool extended, PVOID *context)
{
	NTSTATUS status;
	bool delete;

	if (s->length < (extended ? sizeof(ULONG) : sizeof(BOOLEAN)))
		return inlay_complete(s->data, STATUS_INFO_LENGTH_MISMATCH, 0);
	delete = extended ? (*(const ULONG *)s->buffer & FILE_DISPOSITION_DELETE) != 0 : *(const BOOLEAN *)s->buffer != 0;
	if (delete) {
		status = inlay_removal_begin(s->file, s->data);
		if (!NT_SUCCESS(status))
			return inlay_complete(s->data, status, 0);
	}
	FltReferenceContext(s->file);
	*context = s->file;
	return FLT_PREOP_SYNCHRONIZE;
}

/* NTFS has refused to delete, or agreed not to. */
static void disposition_after(PFLT_CALLBACK_DATA data, struct inlay_file *file)
{
	bool extended = (int)data->Iopb->Parameters.SetFileInformation.FileInformationClass == FileDispositionInformationEx;
	const void *buffer = data->Iopb->Parameters.SetFileInformation.InfoBuffer;
	bool delete = extended ? (*(const ULONG *)buffer & FILE_DISPOSITION_DELETE) != 0 : *(const BOOLEAN *)buffer != 0;

	if (delete != (bool)NT_SUCCESS(data->IoStatus.Status))
		inlay_removal_end(file);
	inlay_file_unref(file);
}

static FLT_PREOP_CALLBACK_STATUS set(struct setting *s, PVOID *context)
{
	switch ((int)s->data->Iopb->Parameters.SetFileInformation.FileInformationClass) {
	case FileEndOfFileInformation:
		return s->file->is_directory ? FLT_PREOP_SUCCESS_NO_CALLBACK : set_end(s);
	case FileAllocationInformation:
		return s->file->is_directory ? FLT_PREOP_SUCCESS_NO_CALLBACK : set_allocation(s);
	case FileBasicInformation:
		return set_basic(s);
	case FileDispositionInformation:
		return set_disposition(s, false, context);
	case FileDispositionInformationEx:
		return set_disposition(s, true, context);
	case FileValidDataLengthInformation: /* would show what the disk held before */
	case FileShortNameInformation:
	case FileCaseSensitiveInformation:
		return inlay_complete(s->data, STATUS_NOT_SUPPORTED, 0);
	default:
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
}

/* Renames and links come here for local files, too: their new names may be beneath a filter directory. IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_set)
{
	struct setting s = {.data = data, .objects = objects, .buffer = data->Iopb->Parameters.SetFileInformation.InfoBuffer,
			    .length = data->Iopb->Parameters.SetFileInformation.Length};
	FLT_PREOP_CALLBACK_STATUS result;

	if (!inlay_directories_any())
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	s.file = inlay_file_of(objects);
	switch ((int)data->Iopb->Parameters.SetFileInformation.FileInformationClass) {
	case FileRenameInformation:
	case FileRenameInformationEx:
	case FileRenameInformationBypassAccessCheck:
	case FileRenameInformationExBypassAccessCheck:
		result = inlay_rename_before(data, objects, s.file, context);
		break;
	case FileLinkInformation:
	case FileLinkInformationEx:
	case FileLinkInformationBypassAccessCheck:
	case FileLinkInformationExBypassAccessCheck:
		result = inlay_link_before(data, objects, s.file);
		break;
	default:
		result = s.file && s.file->directory ? set(&s, context) : FLT_PREOP_SUCCESS_NO_CALLBACK;
		break;
	}
	if (s.file)
		inlay_file_unref(s.file);
	return result;
}

/* IRQL: PASSIVE_LEVEL: synchronised, and set information comes so. What is begun is ended when draining, too. */
INLAY_POST(inlay_post_set)
{
	(void)flags;
	switch ((int)data->Iopb->Parameters.SetFileInformation.FileInformationClass) {
	case FileDispositionInformation:
	case FileDispositionInformationEx:
		disposition_after(data, context);
		break;
	default:
		inlay_rename_after(data, objects, context);
		break;
	}
	return FLT_POSTOP_FINISHED_PROCESSING;
}

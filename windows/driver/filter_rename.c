/*
 * Renames: allowed by the server, done by NTFS, then done by the server; undone on NTFS when the server then can't.
 * SPDX-License-Identifier: Apache-2.0
 *
 * All at PASSIVE_LEVEL, in the program's thread.
 */
#include "filter.h"

#include "memory.h"

/* From before to after. */
struct renaming {
	struct inlay_file *file; /* a reference */
	struct inlay_request *end; /* made beforehand */
	USHORT old_length;       /* bytes */
	WCHAR old[];             /* the whole old name, to go back to */
};

static bool replaces(PFLT_CALLBACK_DATA data)
{
	const ULONG *in = data->Iopb->Parameters.SetFileInformation.InfoBuffer;

	/* A BOOLEAN in the one class, bit 0 of flags in the other: at the same place. */
	return (*in & 1) != 0 || data->Iopb->Parameters.SetFileInformation.ReplaceIfExists;
}

static struct renaming *renaming_new(PFLT_CALLBACK_DATA data, struct inlay_file *file)
{
	PFLT_FILE_NAME_INFORMATION info;
	struct renaming *r;

	if (!NT_SUCCESS(FltGetFileNameInformation(data, FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_QUERY_DEFAULT, &info)))
		return NULL;
	r = inlay_alloc(sizeof(*r) + info->Name.Length);
	if (r) {
		r->old_length = info->Name.Length;
		RtlCopyMemory(r->old, info->Name.Buffer, info->Name.Length);
		r->end = inlay_file_request(file, INLAY_RING_RENAME_END, NULL);
	}
	FltReleaseFileNameInformation(info);
	if (r && !r->end) {
		inlay_free(r);
		return NULL;
	}
	return r;
}

/* Whether the new name may be had. file NULL: for a local file. */
static NTSTATUS begin(PFLT_CALLBACK_DATA data, const struct inlay_place *target, struct inlay_file *file)
{
	struct inlay_request *r = inlay_request_new(target->directory->queue, INLAY_RING_RENAME_BEGIN, &target->rest);
	NTSTATUS status;

	if (!r)
		return STATUS_INSUFFICIENT_RESOURCES;
	r->live = &target->directory->live;
	r->wire.file = file ? file->number : 0;
	r->wire.directory = target->directory->number;
	r->wire.process = FltGetRequestorProcessId(data);
	r->wire.in.rename.replace = replaces(data);
	status = inlay_request_ask(r, data);
	inlay_request_unref(r);
	return status;
}

/* A local file's new name must be a local one. */
static FLT_PREOP_CALLBACK_STATUS local_to(PFLT_CALLBACK_DATA data, const struct inlay_place *target)
{
	NTSTATUS status;

	if (!target->directory || !inlay_directory_live(target->directory) ||
	    target->directory->process == FltGetRequestorProcessId(data))
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	status = begin(data, target, NULL);
	return NT_SUCCESS(status) ? FLT_PREOP_SUCCESS_NO_CALLBACK : inlay_complete(data, status, 0);
}

static FLT_PREOP_CALLBACK_STATUS remote_to(PFLT_CALLBACK_DATA data, const struct inlay_place *target, struct inlay_file *file, PVOID *context)
{
	struct renaming *r;
	NTSTATUS status;

	status = inlay_file_state(file);
	if (!NT_SUCCESS(status))
		return inlay_complete(data, status, 0);
	if (target->directory != file->directory)
		return inlay_complete(data, STATUS_NOT_SAME_DEVICE, 0);
	if (target->stream.Length)
		return inlay_complete(data, STATUS_OBJECT_NAME_INVALID, 0);
	r = renaming_new(data, file);
	if (!r)
		return inlay_complete(data, STATUS_INSUFFICIENT_RESOURCES, 0);
	status = begin(data, target, file);
	if (!NT_SUCCESS(status)) {
		inlay_request_unref(r->end);
		inlay_free(r);
		return inlay_complete(data, status, 0);
	}
	FltReferenceContext(file);
	r->file = file;
	*context = r;
	return FLT_PREOP_SYNCHRONIZE;
}

/* A new name that begins with a colon is a stream's. */
static bool is_stream_name(PFLT_CALLBACK_DATA data)
{
	const FILE_RENAME_INFORMATION *in = data->Iopb->Parameters.SetFileInformation.InfoBuffer;

	return data->Iopb->Parameters.SetFileInformation.Length >= sizeof(*in) && in->FileNameLength >= sizeof(WCHAR) &&
	       in->FileName[0] == L':';
}

/* IRQL: PASSIVE_LEVEL */
FLT_PREOP_CALLBACK_STATUS inlay_rename_before(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file,
					      PVOID *context)
{
	FLT_PREOP_CALLBACK_STATUS result;
	struct inlay_place target;
	NTSTATUS status;

	if (file && !file->directory)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (is_stream_name(data))
		return file ? inlay_complete(data, STATUS_OBJECT_NAME_INVALID, 0) : FLT_PREOP_SUCCESS_NO_CALLBACK;
	status = inlay_place_of_target(data, objects, &target);
	if (!NT_SUCCESS(status)) /* of a local file NTFS may say so itself */
		return file ? inlay_complete(data, status, 0) : FLT_PREOP_SUCCESS_NO_CALLBACK;
	result = file ? remote_to(data, &target, file, context) : local_to(data, &target);
	inlay_place_done(&target);
	return result;
}

/* IRQL: PASSIVE_LEVEL */
FLT_PREOP_CALLBACK_STATUS inlay_link_before(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file)
{
	FLT_PREOP_CALLBACK_STATUS result;
	struct inlay_place target;

	if (file)
		return inlay_complete(data, STATUS_NOT_SUPPORTED, 0);
	if (!NT_SUCCESS(inlay_place_of_target(data, objects, &target)))
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	result = local_to(data, &target);
	inlay_place_done(&target);
	return result;
}

/* Back to the old name. When that fails as well the redirector finds a placeholder that leads nowhere, and removes it. */
static void undo(PCFLT_RELATED_OBJECTS objects, const struct renaming *r)
{
	ULONG length = (ULONG)FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName) + r->old_length;
	FILE_RENAME_INFORMATION *back = inlay_alloc(length < sizeof(*back) ? sizeof(*back) : length);

	if (!back)
		return;
	back->FileNameLength = r->old_length;
	RtlCopyMemory(back->FileName, r->old, r->old_length);
	(void)FltSetInformationFile(objects->Instance, objects->FileObject, back, length, FileRenameInformation);
	inlay_free(back);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_rename_after(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID context)
{
	struct renaming *r = context;
	NTSTATUS status;

	if (!NT_SUCCESS(data->IoStatus.Status)) {
		inlay_request_forget(r->end);
	} else {
		r->end->wire.flags = INLAY_RING_DONE;
		status = inlay_request_ask(r->end, NULL); /* not to be cancelled: NTFS has done it */
		inlay_request_unref(r->end);
		if (!NT_SUCCESS(status)) {
			undo(objects, r);
			data->IoStatus.Status = status;
			data->IoStatus.Information = 0;
		}
	}
	inlay_file_unref(r->file);
	inlay_free(r);
}

/*
 * Pre-create: the redirector judges the name; what is remote is passed down as an open of the placeholder that stands there now.
 * SPDX-License-Identifier: Apache-2.0
 *
 * All at PASSIVE_LEVEL, in the program's thread, which waits for the answer.
 */
#include "filter.h"

#include "control.h"
#include "filter_create.h"

#ifndef IO_FORCE_ACCESS_CHECK
#define IO_FORCE_ACCESS_CHECK 0x0001
#endif
#ifndef IO_IGNORE_SHARE_ACCESS_CHECK
#define IO_IGNORE_SHARE_ACCESS_CHECK 0x0800
#endif

#define OPTIONS_MASK 0x00ffffffu

static const char orphan_mark, by_id_mark;
const void *const inlay_context_orphan = &orphan_mark;
const void *const inlay_context_by_id = &by_id_mark;

struct opening {
	PFLT_CALLBACK_DATA data;
	PCFLT_RELATED_OBJECTS objects;
	PVOID *context;
	struct inlay_place place;
	struct inlay_file *file;
	struct inlay_ring_completion answer;
	ULONG disposition, options, attributes;
};

static bool creates(ULONG disposition)
{
	return disposition != FILE_OPEN && disposition != FILE_OVERWRITE;
}

static bool overwrites(ULONG disposition)
{
	return disposition == FILE_SUPERSEDE || disposition == FILE_OVERWRITE || disposition == FILE_OVERWRITE_IF;
}

static void set_disposition(PFLT_CALLBACK_DATA data, ULONG disposition)
{
	data->Iopb->Parameters.Create.Options = (data->Iopb->Parameters.Create.Options & OPTIONS_MASK) | disposition << 24;
	FltSetCallbackDataDirty(data);
}

/* Asks OPEN. STATUS_SUCCESS: answer and file, to which the number, if there is one, belongs. */
NTSTATUS inlay_open_ask(PFLT_CALLBACK_DATA data, const struct inlay_place *place, const struct inlay_open_how *how,
			struct inlay_ring_completion *ret_answer, struct inlay_file **ret_file)
{
	ULONG process = FltGetRequestorProcessId(data);
	struct inlay_file *file = inlay_file_new(place->directory, process);
	struct inlay_request *r;
	NTSTATUS status;

	if (!file)
		return STATUS_INSUFFICIENT_RESOURCES;
	r = inlay_file_request(file, INLAY_RING_OPEN, &place->rest);
	if (!r) {
		inlay_file_unref(file);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	r->wire.in.open.disposition = how->disposition;
	r->wire.in.open.options = how->options;
	r->wire.in.open.access = how->access;
	r->wire.in.open.attributes = how->attributes;
	status = inlay_request_ask(r, data);
	if (NT_SUCCESS(status)) {
		*ret_answer = r->answer;
		file->number = r->answer.file;
		file->is_directory = (r->answer.attr.attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
		*ret_file = file;
	}
	inlay_request_unref(r);
	if (!NT_SUCCESS(status))
		inlay_file_unref(file);
	return status;
}

/* A stream with a name: of a local file NTFS's own; of a remote one there is none, nor can one be made. */
static FLT_PREOP_CALLBACK_STATUS open_stream(struct opening *o)
{
	struct inlay_open_how how = {.disposition = FILE_OPEN, .access = FILE_READ_ATTRIBUTES};
	NTSTATUS status, refusal = creates(o->disposition) ? STATUS_OBJECT_NAME_INVALID : STATUS_OBJECT_NAME_NOT_FOUND;
	uint32_t verdict;

	status = inlay_open_ask(o->data, &o->place, &how, &o->answer, &o->file);
	if (!NT_SUCCESS(status))
		return inlay_complete(o->data, status, 0);
	verdict = o->answer.verdict;
	inlay_file_unref(o->file);
	if (verdict == INLAY_RING_REMOTE || (verdict == INLAY_RING_ABSENT && creates(o->disposition)))
		return inlay_complete(o->data, refusal, 0);
	return FLT_PREOP_SUCCESS_NO_CALLBACK;
}

/* The parent of a rename's target, which is what the name says: it must stand there, and NTFS opens it. */
static FLT_PREOP_CALLBACK_STATUS open_target_directory(struct opening *o)
{
	struct inlay_open_how how = {.disposition = FILE_OPEN, .options = FILE_DIRECTORY_FILE, .access = FILE_TRAVERSE};

	if (NT_SUCCESS(inlay_open_ask(o->data, &o->place, &how, &o->answer, &o->file)))
		inlay_file_unref(o->file);
	return FLT_PREOP_SUCCESS_NO_CALLBACK;
}

/* Whether this program may open `name` so; asked of NTFS with the program's token. The handle is gone at once. */
static NTSTATUS probe(const struct opening *o, UNICODE_STRING name, ACCESS_MASK access, ULONG options)
{
	OBJECT_ATTRIBUTES attributes;
	PFILE_OBJECT object = NULL;
	IO_STATUS_BLOCK io;
	HANDLE handle;
	NTSTATUS status;

	InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
	status = FltCreateFileEx(inlay_filter, o->objects->Instance, &handle, &object, access | SYNCHRONIZE, &attributes, &io, NULL, 0,
				 FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN,
				 options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0, IO_FORCE_ACCESS_CHECK | IO_IGNORE_SHARE_ACCESS_CHECK);
	if (!NT_SUCCESS(status))
		return status;
	ObfDereferenceObject(object);
	(void)FltClose(handle);
	return STATUS_SUCCESS;
}

static bool is_trusted(PFLT_CALLBACK_DATA data)
{
	return data->RequestorMode == KernelMode && !(data->Iopb->OperationFlags & SL_FORCE_ACCESS_CHECK);
}

/* Whether this program may overwrite: NTFS would ask for these rights beside those that the program names, but sees an open only. */
static NTSTATUS may_overwrite(const struct opening *o)
{
	ACCESS_MASK how = o->disposition == FILE_SUPERSEDE ? DELETE : FILE_WRITE_DATA;

	if (is_trusted(o->data))
		return STATUS_SUCCESS;
	return probe(o, o->place.info->Name, how | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES, FILE_NON_DIRECTORY_FILE);
}

/* What NTFS would say to this disposition, now that the file exists. */
static NTSTATUS check_existing(const struct opening *o)
{
	ULONG had = o->answer.attr.attributes & (FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM);

	if (o->disposition == FILE_CREATE)
		return STATUS_OBJECT_NAME_COLLISION;
	if (!overwrites(o->disposition))
		return STATUS_SUCCESS;
	if (o->file->is_directory)
		return STATUS_OBJECT_NAME_COLLISION;
	if (had & ~o->attributes)
		return STATUS_ACCESS_DENIED;
	return may_overwrite(o);
}

static NTSTATUS prepare_remote(struct opening *o)
{
	struct inlay_file *file = o->file;
	NTSTATUS status = STATUS_SUCCESS;

	file->created = o->answer.created == 1;
	file->disposition = (UCHAR)o->disposition;
	file->attributes = (USHORT)o->attributes;
	if (!file->created)
		status = check_existing(o);
	if (NT_SUCCESS(status) && o->data->Iopb->Parameters.Create.EaLength && (file->created || overwrites(o->disposition)))
		status = STATUS_EAS_NOT_SUPPORTED;
	if (NT_SUCCESS(status) && (o->options & FILE_DELETE_ON_CLOSE))
		status = inlay_removal_begin(file, o->data);
	return status;
}

/* The name of the directory that the name lies in, with the volume. */
static UNICODE_STRING parent_of(const UNICODE_STRING *name)
{
	UNICODE_STRING parent = *name;
	USHORT units = parent.Length / (USHORT)sizeof(WCHAR);

	while (units && parent.Buffer[units - 1] == L'\\')
		units--;
	while (units && parent.Buffer[units - 1] != L'\\')
		units--;
	parent.Length = parent.MaximumLength = (USHORT)((units ? units - 1u : 0u) * sizeof(WCHAR));
	return parent;
}

/*
 * Whether this program may make something there. The redirector makes it, so NTFS doesn't ask. A parent that isn't there yet is
 * fetched first.
 */
static bool may_create(struct opening *o)
{
	ACCESS_MASK access = o->options & FILE_DIRECTORY_FILE ? FILE_ADD_SUBDIRECTORY : FILE_ADD_FILE;
	UNICODE_STRING parent = parent_of(&o->place.info->Name), rest = o->place.rest;
	NTSTATUS status;

	if (is_trusted(o->data) || !rest.Length)
		return true;
	status = probe(o, parent, access, FILE_DIRECTORY_FILE);
	if (status == STATUS_OBJECT_PATH_NOT_FOUND || status == STATUS_OBJECT_NAME_NOT_FOUND) {
		UNICODE_STRING above = parent_of(&rest);

		o->place.rest = above;
		(void)open_target_directory(o);
		o->place.rest = rest;
		status = probe(o, parent, access, FILE_DIRECTORY_FILE);
	}
	return status != STATUS_ACCESS_DENIED;
}

/* What is asked for by a program that may open what exists, and make nothing. */
static ULONG without_creation(ULONG disposition)
{
	return disposition == FILE_SUPERSEDE || disposition == FILE_OVERWRITE_IF ? FILE_OVERWRITE : FILE_OPEN;
}

static FLT_PREOP_CALLBACK_STATUS open_named(struct opening *o)
{
	PIO_SECURITY_CONTEXT security = o->data->Iopb->Parameters.Create.SecurityContext;
	struct inlay_open_how how = {.disposition = o->disposition, .options = o->options, .attributes = o->attributes,
				     .access = security ? security->DesiredAccess : 0};
	bool barred = creates(o->disposition) && !may_create(o);
	NTSTATUS status;

	if (barred)
		how.disposition = without_creation(o->disposition);
	status = inlay_open_ask(o->data, &o->place, &how, &o->answer, &o->file);
	if (barred && (status == STATUS_OBJECT_NAME_NOT_FOUND || (NT_SUCCESS(status) && o->answer.verdict == INLAY_RING_ABSENT))) {
		if (NT_SUCCESS(status))
			inlay_file_unref(o->file);
		return inlay_complete(o->data, STATUS_ACCESS_DENIED, 0);
	}
	if (!NT_SUCCESS(status))
		return inlay_complete(o->data, status, 0);
	if (o->answer.verdict != INLAY_RING_REMOTE) {
		inlay_file_unref(o->file);
		if (o->answer.verdict == INLAY_RING_LOCAL)
			InterlockedIncrement64(&o->place.directory->passed);
		else if (creates(o->disposition))
			set_disposition(o->data, FILE_OPEN); /* NTFS says that there is none, and makes none */
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	status = prepare_remote(o);
	if (!NT_SUCCESS(status)) {
		inlay_file_unref(o->file);
		return inlay_complete(o->data, status, 0);
	}
	if (o->disposition != FILE_OPEN)
		set_disposition(o->data, FILE_OPEN);
	*o->context = o->file;
	return FLT_PREOP_SUCCESS_WITH_CALLBACK;
}

/* A name tells nothing here: post-create looks. Overwriting would be done by then, to the placeholder and its mark. */
static FLT_PREOP_CALLBACK_STATUS open_by_id(struct opening *o)
{
	if (overwrites(o->disposition))
		return inlay_complete(o->data, STATUS_NOT_SUPPORTED, 0);
	*o->context = (PVOID)(uintptr_t)inlay_context_by_id;
	return FLT_PREOP_SUCCESS_WITH_CALLBACK;
}

static FLT_PREOP_CALLBACK_STATUS open_placed(struct opening *o)
{
	struct inlay_directory *d = o->place.directory;

	if (!inlay_directory_live(d)) {
		if (inlay_control_is_redirector(FltGetRequestorProcessId(o->data)))
			return FLT_PREOP_SUCCESS_NO_CALLBACK;
		*o->context = (PVOID)(uintptr_t)inlay_context_orphan;
		return FLT_PREOP_SUCCESS_WITH_CALLBACK;
	}
	if (d->process == FltGetRequestorProcessId(o->data))
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (o->data->Iopb->OperationFlags & SL_OPEN_TARGET_DIRECTORY)
		return open_target_directory(o);
	if (o->place.stream.Length)
		return open_stream(o);
	return open_named(o);
}

static bool is_of_no_file(PFLT_CALLBACK_DATA data, PFILE_OBJECT object)
{
	return (data->Iopb->OperationFlags & SL_OPEN_PAGING_FILE) || (object->Flags & FO_VOLUME_OPEN) ||
	       (!object->FileName.Length && !object->RelatedFileObject);
}

/* IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_create)
{
	ULONG options = data->Iopb->Parameters.Create.Options;
	struct opening o = {.data = data, .objects = objects, .context = context, .disposition = options >> 24,
			    .options = options & OPTIONS_MASK, .attributes = data->Iopb->Parameters.Create.FileAttributes};
	FLT_PREOP_CALLBACK_STATUS result;
	NTSTATUS status;

	if (!inlay_directories_any() || is_of_no_file(data, objects->FileObject) || o.disposition > FILE_MAXIMUM_DISPOSITION)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (o.options & FILE_OPEN_BY_FILE_ID)
		return open_by_id(&o);
	status = inlay_place_of_create(data, false, &o.place);
	if (status == STATUS_INSUFFICIENT_RESOURCES)
		return inlay_complete(data, status, 0); /* else a placeholder might be read as zeros */
	if (!NT_SUCCESS(status) || !o.place.directory)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	result = open_placed(&o);
	inlay_place_done(&o.place);
	return result;
}

/*
 * Contexts of open remote files, and simple requests about them.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

#include "memory.h"

/* IRQL: APC_LEVEL */
FLT_PREOP_CALLBACK_STATUS inlay_complete(PFLT_CALLBACK_DATA data, NTSTATUS status, ULONG_PTR information)
{
	data->IoStatus.Status = status;
	data->IoStatus.Information = information;
	return FLT_PREOP_COMPLETE;
}

/* IRQL: APC_LEVEL */
struct inlay_file *inlay_file_new_orphan(void)
{
	PFLT_CONTEXT context;
	struct inlay_file *file;

	if (!NT_SUCCESS(FltAllocateContext(inlay_filter, FLT_STREAMHANDLE_CONTEXT, sizeof(*file), INLAY_POOL, &context)))
		return NULL;
	file = context;
	RtlZeroMemory(file, sizeof(*file));
	return file;
}

/* IRQL: APC_LEVEL */
struct inlay_file *inlay_file_new(struct inlay_directory *directory, ULONG process)
{
	struct inlay_file *file = inlay_file_new_orphan();

	if (!file)
		return NULL;
	file->close = inlay_request_new(directory->queue, INLAY_RING_CLOSE, NULL);
	if (!file->close) {
		inlay_file_unref(file);
		return NULL;
	}
	inlay_directory_ref(directory);
	file->directory = directory;
	file->process = process;
	return file;
}

/* IRQL: APC_LEVEL */
struct inlay_file *inlay_file_of(PCFLT_RELATED_OBJECTS objects)
{
	PFLT_CONTEXT context;

	if (!objects->FileObject || !NT_SUCCESS(FltGetStreamHandleContext(objects->Instance, objects->FileObject, &context)))
		return NULL;
	return context;
}

/* IRQL: APC_LEVEL */
void inlay_file_unref(struct inlay_file *file)
{
	FltReleaseContext(file);
}

/* The last reference is gone, so the file object is, too. IRQL: APC_LEVEL */
VOID FLTAPI inlay_file_cleanup(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type)
{
	struct inlay_file *file = context;

	(void)type;
	if (file->counted)
		InterlockedDecrement(&file->directory->open_files);
	if (file->close && file->number) {
		file->close->wire.file = file->number;
		file->close->wire.directory = file->directory->number;
		file->close->wire.process = file->process;
		inlay_request_forget(file->close);
	} else if (file->close) {
		inlay_request_unref(file->close);
	}
	if (file->directory)
		inlay_directory_unref(file->directory);
}

/* IRQL: APC_LEVEL */
NTSTATUS inlay_file_state(struct inlay_file *file)
{
	if (!file->directory)
		return STATUS_FILE_IS_OFFLINE;
	return inlay_directory_live(file->directory) ? STATUS_SUCCESS : STATUS_DEVICE_NOT_CONNECTED;
}

/* IRQL: APC_LEVEL */
struct inlay_request *inlay_file_request(struct inlay_file *file, uint32_t kind, const UNICODE_STRING *name)
{
	struct inlay_request *r = inlay_request_new(file->directory->queue, kind, name);

	if (!r)
		return NULL;
	r->live = &file->directory->live;
	r->wire.file = file->number;
	r->wire.directory = file->directory->number;
	r->wire.process = file->process;
	return r;
}

static NTSTATUS ask(struct inlay_request *r, PFLT_CALLBACK_DATA data, struct inlay_ring_attr *ret_attr)
{
	NTSTATUS status;

	if (data)
		r->wire.process = FltGetRequestorProcessId(data);
	status = inlay_request_ask(r, data);
	if (NT_SUCCESS(status) && ret_attr)
		*ret_attr = r->answer.attr;
	inlay_request_unref(r);
	return status;
}

/* IRQL: APC_LEVEL */
NTSTATUS inlay_file_ask(struct inlay_file *file, uint32_t kind, uint32_t flags, PFLT_CALLBACK_DATA data, struct inlay_ring_attr *ret_attr)
{
	struct inlay_request *r;
	NTSTATUS status = inlay_file_state(file);

	if (!NT_SUCCESS(status))
		return status;
	r = inlay_file_request(file, kind, NULL);
	if (!r)
		return STATUS_INSUFFICIENT_RESOURCES;
	r->wire.flags = flags;
	return ask(r, data, ret_attr);
}

/* IRQL: APC_LEVEL */
NTSTATUS inlay_file_set(struct inlay_file *file, uint32_t mask, const struct inlay_ring_attr *attr, PFLT_CALLBACK_DATA data,
			struct inlay_ring_attr *ret_attr)
{
	struct inlay_request *r;
	NTSTATUS status = inlay_file_state(file);

	if (!NT_SUCCESS(status))
		return status;
	r = inlay_file_request(file, INLAY_RING_SETATTR, NULL);
	if (!r)
		return STATUS_INSUFFICIENT_RESOURCES;
	r->wire.flags = data ? 0 : INLAY_RING_PAGING;
	r->wire.in.set.mask = mask;
	if (attr)
		r->wire.in.set.attr = *attr;
	return ask(r, data, ret_attr);
}

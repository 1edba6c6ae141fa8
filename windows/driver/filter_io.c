/*
 * Reads and writes of remote files, all of them: cached, non-cached, paging.
 * SPDX-License-Identifier: Apache-2.0
 *
 * What needs no more than the answer is pended, and completed by the queue's thread. What has to touch NTFS or views when the
 * answer is there (a write that makes the file longer, a file with views) is waited for in the caller's thread: the queue's
 * thread must not call a file system, whose locks may be held by somebody who waits for that very thread.
 * Paging I/O may come at APC_LEVEL and with NTFS's locks held: it touches memory that is resident, and nothing of NTFS.
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

#include "memory.h"

struct transfer {
	PFLT_CALLBACK_DATA data;
	PCFLT_RELATED_OBJECTS objects;
	struct inlay_file *file;
	bool write, paging, append;
	uint64_t offset;
	ULONG length;   /* bytes */
	ULONG wanted;   /* as asked, before a paging write was cut at the end of file */
	UCHAR *buffer;
};

static bool is_synchronous(PFILE_OBJECT object)
{
	return (object->Flags & FO_SYNCHRONOUS_IO) != 0;
}

/* Where it goes: FILE_USE_FILE_POINTER_POSITION, FILE_WRITE_TO_END_OF_FILE or an offset. */
static NTSTATUS find_offset(struct transfer *t, LARGE_INTEGER offset)
{
	t->append = t->write && offset.HighPart == -1 && offset.LowPart == FILE_WRITE_TO_END_OF_FILE;
	if (t->append)
		return t->paging ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
	if (offset.HighPart == -1 && offset.LowPart == FILE_USE_FILE_POINTER_POSITION && is_synchronous(t->objects->FileObject))
		offset = t->objects->FileObject->CurrentByteOffset;
	if (offset.QuadPart < 0 || offset.QuadPart > MAXLONGLONG - (LONGLONG)t->length)
		return STATUS_INVALID_PARAMETER;
	t->offset = (uint64_t)offset.QuadPart;
	return STATUS_SUCCESS;
}

/* What NTFS says to a program that reads past its own cache. */
static bool is_aligned(const struct transfer *t)
{
	ULONG sector = t->file->sector ? t->file->sector : 1;

	if (t->paging || !(t->data->Iopb->IrpFlags & IRP_NOCACHE))
		return true;
	return t->length % sector == 0 && (t->append || t->offset % sector == 0);
}

/* A paging write holds whole pages; what lies behind the end of file is nobody's. */
static void cut_paging_write(struct transfer *t)
{
	uint64_t size = inlay_size_of(t->objects->FileObject);

	if (!t->paging || !t->write)
		return;
	if (t->offset >= size)
		t->length = 0;
	else if (t->length > size - t->offset)
		t->length = (ULONG)(size - t->offset);
}

static NTSTATUS check(struct transfer *t)
{
	PFLT_IO_PARAMETER_BLOCK iopb = t->data->Iopb;
	NTSTATUS status = inlay_file_state(t->file);

	if (!NT_SUCCESS(status))
		return status;
	if (iopb->MinorFunction & (IRP_MN_MDL | IRP_MN_COMPLETE | IRP_MN_COMPRESSED))
		return STATUS_INVALID_DEVICE_REQUEST; /* pages of a cache that there is not */
	t->paging = (iopb->IrpFlags & IRP_PAGING_IO) != 0;
	if (!t->paging && (t->objects->FileObject->Flags & FO_CLEANUP_COMPLETE))
		return STATUS_FILE_CLOSED;
	t->wanted = t->length = t->write ? iopb->Parameters.Write.Length : iopb->Parameters.Read.Length;
	status = find_offset(t, t->write ? iopb->Parameters.Write.ByteOffset : iopb->Parameters.Read.ByteOffset);
	if (!NT_SUCCESS(status))
		return status;
	if (!is_aligned(t))
		return STATUS_INVALID_PARAMETER;
	cut_paging_write(t);
	return STATUS_SUCCESS;
}

/* Finds an address of the program's buffer that holds in any thread. */
static NTSTATUS find_buffer(struct transfer *t)
{
	FLT_PARAMETERS *p = &t->data->Iopb->Parameters;
	bool ours = (t->data->Flags & FLTFL_CALLBACK_DATA_SYSTEM_BUFFER) != 0;
	NTSTATUS status;
	PMDL mdl;

	mdl = t->write ? p->Write.MdlAddress : p->Read.MdlAddress;
	if (!mdl && !ours) {
		status = FltLockUserBuffer(t->data);
		if (!NT_SUCCESS(status))
			return status;
		mdl = t->write ? p->Write.MdlAddress : p->Read.MdlAddress;
	}
	if (mdl)
		t->buffer = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority | MdlMappingNoExecute);
	else
		t->buffer = t->write ? p->Write.WriteBuffer : p->Read.ReadBuffer;
	return t->buffer ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

static uint32_t flags_of(const struct transfer *t)
{
	PFILE_OBJECT object = t->objects->FileObject;
	uint32_t flags = 0;

	if (t->paging)
		flags |= INLAY_RING_PAGING;
	if (t->data->Iopb->IrpFlags & IRP_NOCACHE)
		flags |= INLAY_RING_NOCACHE;
	if (t->append)
		flags |= INLAY_RING_APPEND;
	if (t->write && ((object->Flags & FO_WRITE_THROUGH) || (t->data->Iopb->OperationFlags & SL_WRITE_THROUGH)))
		flags |= INLAY_RING_WRITE_THROUGH;
	return flags;
}

static struct inlay_request *request_of(const struct transfer *t)
{
	struct inlay_request *r = inlay_file_request(t->file, t->write ? INLAY_RING_WRITE : INLAY_RING_READ, NULL);

	if (!r)
		return NULL;
	r->wire.flags = flags_of(t);
	r->wire.offset = t->append ? 0 : t->offset;
	r->wire.process = t->paging ? 0 : FltGetRequestorProcessId(t->data);
	r->buffer = t->buffer;
	r->length = t->length;
	return r;
}

/* What the program learns, of an answered request. IRQL: APC_LEVEL */
static void report(PFLT_CALLBACK_DATA data, const struct inlay_request *r, ULONG wanted)
{
	PFILE_OBJECT object = data->Iopb->TargetFileObject;
	bool write = r->wire.kind == INLAY_RING_WRITE, paging = (r->wire.flags & INLAY_RING_PAGING) != 0;
	NTSTATUS status = r->status;
	ULONG done = r->done;

	if (NT_SUCCESS(status) && !write && !done)
		status = STATUS_END_OF_FILE;
	if (NT_SUCCESS(status) && write && done < r->length)
		status = STATUS_DISK_FULL; /* the redirector took less, and gave no error */
	if (NT_SUCCESS(status) && paging && !write)
		RtlZeroMemory(r->buffer + done, r->length - done);
	if (NT_SUCCESS(status) && paging && write)
		done = wanted;
	if (NT_SUCCESS(status) && !paging && is_synchronous(object))
		object->CurrentByteOffset.QuadPart =
			(LONGLONG)((r->wire.flags & INLAY_RING_APPEND) ? r->answer.attr.size : r->wire.offset);
	data->IoStatus.Status = status;
	data->IoStatus.Information = NT_SUCCESS(status) ? done : 0;
}

/* The queue's thread; PASSIVE_LEVEL. */
static void finish(struct inlay_request *r)
{
	PFLT_CALLBACK_DATA data = r->data;
	struct inlay_file *file = r->opaque;

	report(data, r, r->length);
	FltCompletePendedPreOperation(data, FLT_PREOP_COMPLETE, NULL);
	inlay_request_unref(r);
	inlay_file_unref(file);
}

/* The request stays until this has run to its end: the queue's thread waits for `cancelled`. IRQL: DISPATCH_LEVEL */
static VOID FLTAPI on_cancel(PFLT_CALLBACK_DATA data)
{
	struct inlay_request *r = data->FilterContext[0];

	inlay_request_doom(r, STATUS_CANCELLED);
	KeSetEvent(&r->cancelled, IO_NO_INCREMENT, FALSE);
}

/* Takes over the reference to t->file, if it pends. */
static FLT_PREOP_CALLBACK_STATUS pend(struct transfer *t, struct inlay_request *r)
{
	PFLT_CALLBACK_DATA data = t->data;

	r->data = data;
	r->opaque = t->file;
	r->finish = finish;
	r->cancellable = !t->paging;
	data->FilterContext[0] = r;
	if (r->cancellable && FltSetCancelCompletion(data, on_cancel) != STATUS_SUCCESS) {
		inlay_request_unref(r);
		return inlay_complete(data, STATUS_CANCELLED, 0);
	}
	if (inlay_request_send(r)) {
		t->file = NULL;
		return FLT_PREOP_PENDING; /* r and data may be gone by now */
	}
	if (r->cancellable && FltClearCancelCompletion(data) != STATUS_SUCCESS)
		KeWaitForSingleObject(&r->cancelled, Executive, KernelMode, FALSE, NULL);
	inlay_request_unref(r);
	return inlay_complete(data, STATUS_DEVICE_NOT_CONNECTED, 0);
}

/* In the caller's thread: NTFS and views follow. IRQL: APC_LEVEL for paging I/O, else PASSIVE_LEVEL */
static FLT_PREOP_CALLBACK_STATUS wait(struct transfer *t, struct inlay_request *r, bool mapped)
{
	PFILE_OBJECT object = t->objects->FileObject;
	LARGE_INTEGER offset = {.QuadPart = (LONGLONG)t->offset};
	NTSTATUS status;

	if (mapped) {
		status = inlay_pages_flush(object, t->append ? NULL : &offset, t->append ? 0 : t->length);
		if (!NT_SUCCESS(status)) {
			inlay_request_unref(r);
			return inlay_complete(t->data, status, 0);
		}
	}
	status = inlay_request_ask(r, t->paging ? NULL : t->data);
	r->status = status; /* where it was never submitted, too */
	report(t->data, r, t->wanted);
	if (NT_SUCCESS(status) && t->write && !t->paging) {
		uint64_t end = t->append ? r->answer.attr.size : t->offset + r->done;

		(void)inlay_size_grow(t->objects, end); /* the data is there; a view or a query sets the end again */
		offset.QuadPart = (LONGLONG)(end - r->done);
		if (inlay_is_mapped(object))
			inlay_pages_purge(object, &offset, r->done);
	}
	inlay_request_unref(r);
	return FLT_PREOP_COMPLETE;
}

/* Whether the caller's thread must wait. */
static bool must_wait(const struct transfer *t, bool mapped)
{
	if (!FLT_IS_IRP_OPERATION(t->data))
		return true;
	if (t->paging)
		return (t->data->Iopb->IrpFlags & IRP_SYNCHRONOUS_PAGING_IO) != 0;
	return mapped || (t->write && (t->append || t->offset + t->length > inlay_size_of(t->objects->FileObject)));
}

static FLT_PREOP_CALLBACK_STATUS run(struct transfer *t)
{
	struct inlay_request *r;
	NTSTATUS status = check(t);
	bool mapped;

	if (!NT_SUCCESS(status))
		return inlay_complete(t->data, status, 0);
	if (!t->length)
		return inlay_complete(t->data, STATUS_SUCCESS, t->wanted);
	status = find_buffer(t);
	if (!NT_SUCCESS(status))
		return inlay_complete(t->data, status, 0);
	r = request_of(t);
	if (!r)
		return inlay_complete(t->data, STATUS_INSUFFICIENT_RESOURCES, 0);
	mapped = !t->paging && inlay_is_mapped(t->objects->FileObject);
	return must_wait(t, mapped) ? wait(t, r, mapped) : pend(t, r);
}

static FLT_PREOP_CALLBACK_STATUS start(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, bool write)
{
	struct transfer t = {.data = data, .objects = objects, .write = write, .file = inlay_file_of(objects)};
	FLT_PREOP_CALLBACK_STATUS result;

	if (!t.file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (t.file->is_directory)
		result = FLT_PREOP_SUCCESS_NO_CALLBACK; /* NTFS says that it can't be read */
	else if (FLT_IS_FASTIO_OPERATION(data))
		result = FLT_PREOP_DISALLOW_FASTIO;
	else
		result = run(&t);
	if (t.file)
		inlay_file_unref(t.file);
	return result;
}

/* IRQL: APC_LEVEL */
INLAY_PRE(inlay_pre_read)
{
	(void)context;
	return start(data, objects, false);
}

/* IRQL: APC_LEVEL */
INLAY_PRE(inlay_pre_write)
{
	(void)context;
	return start(data, objects, true);
}

/* Fast I/O that would find NTFS's cache, or lend pages of it. IRQL: APC_LEVEL */
INLAY_PRE(inlay_pre_fast)
{
	struct inlay_file *file = inlay_file_of(objects);

	(void)data;
	(void)context;
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	inlay_file_unref(file);
	return FLT_PREOP_DISALLOW_FASTIO;
}

/*
 * The control device: a handle is a redirector. Inputs are copied by the I/O manager (buffered) and checked here before use.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "control.h"

#include "control_security.h"
#include "directories.h"
#include "memory.h"
#include "ring/control.h"

struct handle {
	LIST_ENTRY link;           /* handles_lock */
	PFILE_OBJECT file;         /* whose FsContext leads here; handles_lock */
	struct inlay_queue *queue; /* set once, interlocked; a reference */
	bool closed;               /* the directories' lock */
	LONG ended;                /* interlocked: cleanup or close has been here */
	ULONG process;
};

static const WCHAR device_name[] = L"\\Device\\Inlay", link_name[] = L"\\DosDevices\\Inlay";
static PDEVICE_OBJECT device;
static PFLT_FILTER filter;
static LIST_ENTRY handles;
static FAST_MUTEX handles_lock;
static LONG stopped; /* interlocked, as is busy */
static LONG busy;    /* calls inside of the driver's lists */
static KEVENT idle;

/* Between them the lists stay. False: they are gone, or about to go. IRQL: PASSIVE_LEVEL */
static bool enter(void)
{
	InterlockedIncrement(&busy);
	if (!__atomic_load_n(&stopped, __ATOMIC_SEQ_CST))
		return true;
	if (InterlockedDecrement(&busy) == 0)
		KeSetEvent(&idle, IO_NO_INCREMENT, FALSE);
	return false;
}

static void leave(void)
{
	if (InterlockedDecrement(&busy) == 0 && __atomic_load_n(&stopped, __ATOMIC_SEQ_CST))
		KeSetEvent(&idle, IO_NO_INCREMENT, FALSE);
}

/* Buffers of one request; the output takes the input's place. */
struct call {
	struct handle *handle;
	UCHAR *buffer;
	ULONG in, out;
	ULONG_PTR written;
};

static NTSTATUS version_get(struct call *c)
{
	struct inlay_control_version v = {.control = INLAY_CONTROL_VERSION, .ring = INLAY_RING_VERSION};

	if (c->out < sizeof(v))
		return STATUS_BUFFER_TOO_SMALL;
	RtlCopyMemory(c->buffer, &v, sizeof(v));
	c->written = sizeof(v);
	return STATUS_SUCCESS;
}

static NTSTATUS ring_set(struct call *c)
{
	struct inlay_control_ring in;
	struct inlay_queue_setup setup;
	struct inlay_queue *queue;
	NTSTATUS status;

	if (c->in != sizeof(in))
		return STATUS_INVALID_PARAMETER;
	RtlCopyMemory(&in, c->buffer, sizeof(in));
	if (in.version != INLAY_CONTROL_VERSION)
		return STATUS_REVISION_MISMATCH;
	if (__atomic_load_n(&c->handle->queue, __ATOMIC_ACQUIRE))
		return STATUS_INVALID_DEVICE_STATE;
	setup = (struct inlay_queue_setup){.section = (HANDLE)(ULONG_PTR)in.section, .requests = (HANDLE)(ULONG_PTR)in.requests,
					   .completions = (HANDLE)(ULONG_PTR)in.completions, .size = in.size,
					   .timeout_ms = in.timeout_ms};
	status = inlay_queue_new(&setup, &queue);
	if (!NT_SUCCESS(status))
		return status;
	if (InterlockedCompareExchangePointer((PVOID volatile *)&c->handle->queue, queue, NULL)) {
		inlay_queue_stop(queue);
		inlay_queue_unref(queue);
		return STATUS_INVALID_DEVICE_STATE;
	}
	/* Whoever ended the handle meanwhile may have come too early to see the queue. */
	if (__atomic_load_n(&c->handle->ended, __ATOMIC_SEQ_CST))
		inlay_queue_stop(queue);
	return STATUS_SUCCESS;
}

/* The filter gets an instance on the volume; it may have one. */
static NTSTATUS attach(const UNICODE_STRING *volume_name)
{
	PFLT_INSTANCE instance = NULL;
	PFLT_VOLUME volume;
	NTSTATUS status;

	status = FltGetVolumeFromName(filter, volume_name, &volume);
	if (!NT_SUCCESS(status))
		return status;
	status = FltAttachVolume(filter, volume, NULL, &instance);
	if (NT_SUCCESS(status) && instance)
		FltObjectDereference(instance);
	FltObjectDereference(volume);
	return status == STATUS_FLT_INSTANCE_NAME_COLLISION || status == STATUS_FLT_INSTANCE_ALTITUDE_COLLISION ? STATUS_SUCCESS : status;
}

static NTSTATUS directory_add(struct call *c)
{
	struct inlay_control_directory in;
	struct inlay_directory_setup setup = {.owner = c->handle, .closed = &c->handle->closed, .process = c->handle->process};
	NTSTATUS status;

	if (c->in < sizeof(in))
		return STATUS_INVALID_PARAMETER;
	RtlCopyMemory(&in, c->buffer, sizeof(in));
	if (in.version != INLAY_CONTROL_VERSION)
		return STATUS_REVISION_MISMATCH;
	if (in.volume_length > INLAY_CONTROL_PATH_MAX || in.path_length > INLAY_CONTROL_PATH_MAX ||
	    c->in != sizeof(in) + in.volume_length + in.path_length || in.volume_length % 2 || in.path_length % 2)
		return STATUS_INVALID_PARAMETER;
	setup.queue = __atomic_load_n(&c->handle->queue, __ATOMIC_ACQUIRE);
	if (!setup.queue)
		return STATUS_INVALID_DEVICE_STATE;
	setup.number = in.number;
	setup.volume = (UNICODE_STRING){.Length = (USHORT)in.volume_length, .MaximumLength = (USHORT)in.volume_length,
					.Buffer = (WCHAR *)(void *)(c->buffer + sizeof(in))};
	setup.path = (UNICODE_STRING){.Length = (USHORT)in.path_length, .MaximumLength = (USHORT)in.path_length,
				      .Buffer = (WCHAR *)(void *)(c->buffer + sizeof(in) + in.volume_length)};
	status = inlay_directories_add(&setup);
	if (!NT_SUCCESS(status))
		return status;
	status = attach(&setup.volume);
	if (!NT_SUCCESS(status))
		(void)inlay_directories_remove(c->handle, in.number);
	return status;
}

static NTSTATUS number_of(const struct call *c, ULONG *ret)
{
	struct inlay_control_number in;

	if (c->in != sizeof(in))
		return STATUS_INVALID_PARAMETER;
	RtlCopyMemory(&in, c->buffer, sizeof(in));
	if (in.version != INLAY_CONTROL_VERSION)
		return STATUS_REVISION_MISMATCH;
	*ret = in.number;
	return STATUS_SUCCESS;
}

static NTSTATUS directory_remove(struct call *c)
{
	ULONG number;
	NTSTATUS status = number_of(c, &number);

	return NT_SUCCESS(status) ? inlay_directories_remove(c->handle, number) : status;
}

static NTSTATUS directory_usage(struct call *c)
{
	struct inlay_control_usage usage;
	ULONG number;
	NTSTATUS status = number_of(c, &number);

	if (!NT_SUCCESS(status))
		return status;
	if (c->out < sizeof(usage))
		return STATUS_BUFFER_TOO_SMALL;
	status = inlay_directories_usage(c->handle, number, &usage);
	if (!NT_SUCCESS(status))
		return status;
	RtlCopyMemory(c->buffer, &usage, sizeof(usage));
	c->written = sizeof(usage);
	return STATUS_SUCCESS;
}

static NTSTATUS dispatch(struct call *c, ULONG code)
{
	switch (code) {
	case INLAY_CONTROL_VERSION_GET:
		return version_get(c);
	case INLAY_CONTROL_RING_SET:
		return ring_set(c);
	case INLAY_CONTROL_DIRECTORY_ADD:
		return directory_add(c);
	case INLAY_CONTROL_DIRECTORY_REMOVE:
		return directory_remove(c);
	case INLAY_CONTROL_DIRECTORY_USAGE:
		return directory_usage(c);
	default:
		return STATUS_INVALID_DEVICE_REQUEST;
	}
}

static NTSTATUS complete(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

/* IRQL: PASSIVE_LEVEL */
static NTSTATUS NTAPI on_control(PDEVICE_OBJECT self, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	struct call c = {.buffer = irp->AssociatedIrp.SystemBuffer,
			 .in = at->Parameters.DeviceIoControl.InputBufferLength,
			 .out = at->Parameters.DeviceIoControl.OutputBufferLength};
	NTSTATUS status;

	(void)self;
	if (irp->RequestorMode != UserMode || !at->FileObject)
		status = STATUS_INVALID_DEVICE_REQUEST; /* the handles in RING_SET are a process's */
	else if (!c.buffer && (c.in || c.out))
		status = STATUS_INVALID_PARAMETER;
	else if (!enter())
		status = STATUS_DEVICE_NOT_CONNECTED;
	else {
		c.handle = at->FileObject->FsContext;
		status = c.handle ? dispatch(&c, at->Parameters.DeviceIoControl.IoControlCode) : STATUS_INVALID_DEVICE_REQUEST;
		leave();
	}
	return complete(irp, status, NT_SUCCESS(status) ? c.written : 0);
}

/* IRQL: PASSIVE_LEVEL, in the redirector's process */
static NTSTATUS NTAPI on_create(PDEVICE_OBJECT self, PIRP irp)
{
	PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
	struct handle *h;

	(void)self;
	if (file->FileName.Length)
		return complete(irp, STATUS_OBJECT_NAME_NOT_FOUND, 0);
	if (!enter())
		return complete(irp, STATUS_DEVICE_NOT_CONNECTED, 0);
	h = inlay_alloc(sizeof(*h));
	if (h) {
		h->process = (ULONG)(ULONG_PTR)PsGetCurrentProcessId();
		h->file = file;
		file->FsContext = h;
		ExAcquireFastMutex(&handles_lock);
		InsertTailList(&handles, &h->link);
		ExReleaseFastMutex(&handles_lock);
	}
	leave();
	return complete(irp, h ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES, h ? FILE_OPENED : 0);
}

/*
 * The redirector's end. It is cleanup that says so; where a process's death shows as close alone, close does. lists: that of
 * directories is there still. Nothing waits here: the queue's thread ends on its own.
 */
static void end(struct handle *h, bool lists)
{
	struct inlay_queue *queue;

	if (InterlockedExchange(&h->ended, 1))
		return;
	queue = __atomic_load_n(&h->queue, __ATOMIC_ACQUIRE);
	if (queue)
		inlay_queue_stop(queue);
	if (lists) {
		inlay_directories_orphan(h, &h->closed);
		inlay_queues_reap();
	}
}

/* The handle of a file object, or (NULL) of any, which nobody finds any more. */
static struct handle *take(PFILE_OBJECT file)
{
	struct handle *h = NULL;

	ExAcquireFastMutex(&handles_lock);
	if (file)
		h = file->FsContext;
	else if (!IsListEmpty(&handles))
		h = CONTAINING_RECORD(handles.Flink, struct handle, link);
	if (h) {
		RemoveEntryList(&h->link);
		h->file->FsContext = NULL;
	}
	ExReleaseFastMutex(&handles_lock);
	return h;
}

static void handle_free(struct handle *h, bool lists)
{
	end(h, lists);
	if (h->queue)
		inlay_queue_unref(h->queue);
	inlay_free(h);
}

/* IRQL: PASSIVE_LEVEL */
static NTSTATUS NTAPI on_cleanup(PDEVICE_OBJECT self, PIRP irp)
{
	struct handle *h;

	(void)self;
	if (enter()) {
		h = IoGetCurrentIrpStackLocation(irp)->FileObject->FsContext;
		if (h)
			end(h, true);
		leave();
	}
	return complete(irp, STATUS_SUCCESS, 0);
}

/* IRQL: PASSIVE_LEVEL */
static NTSTATUS NTAPI on_close(PDEVICE_OBJECT self, PIRP irp)
{
	bool lists = enter();
	struct handle *h = take(IoGetCurrentIrpStackLocation(irp)->FileObject);

	(void)self;
	if (h)
		handle_free(h, lists);
	if (lists)
		leave();
	return complete(irp, STATUS_SUCCESS, 0);
}

/* IRQL: APC_LEVEL */
bool inlay_control_is_redirector(ULONG process)
{
	bool found = false;

	ExAcquireFastMutex(&handles_lock);
	for (LIST_ENTRY *l = handles.Flink; l != &handles && !found; l = l->Flink) {
		struct handle *h = CONTAINING_RECORD(l, struct handle, link);

		found = h->process == process && !__atomic_load_n(&h->ended, __ATOMIC_ACQUIRE);
	}
	ExReleaseFastMutex(&handles_lock);
	return found;
}

static UNICODE_STRING string_of(const WCHAR *text, SIZE_T size)
{
	return (UNICODE_STRING){.Length = (USHORT)(size - sizeof(WCHAR)), .MaximumLength = (USHORT)size, .Buffer = (WCHAR *)(uintptr_t)text};
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_control_start(PDRIVER_OBJECT driver, PFLT_FILTER own)
{
	UNICODE_STRING name = string_of(device_name, sizeof(device_name)), link = string_of(link_name, sizeof(link_name));
	NTSTATUS status;

	filter = own;
	stopped = 0;
	busy = 0;
	KeInitializeEvent(&idle, SynchronizationEvent, FALSE);
	InitializeListHead(&handles);
	ExInitializeFastMutex(&handles_lock);
	status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &device);
	if (!NT_SUCCESS(status))
		return status;
	status = inlay_control_secure(device); /* before the I/O manager lets anyone open it, which it does after DriverEntry */
	if (NT_SUCCESS(status))
		status = IoCreateSymbolicLink(&link, &name);
	if (!NT_SUCCESS(status)) {
		IoDeleteDevice(device);
		return status;
	}
	driver->MajorFunction[IRP_MJ_CREATE] = on_create;
	driver->MajorFunction[IRP_MJ_CLEANUP] = on_cleanup;
	driver->MajorFunction[IRP_MJ_CLOSE] = on_close;
	driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = on_control;
	return STATUS_SUCCESS;
}

/* IRQL: PASSIVE_LEVEL */
void inlay_control_stop(void)
{
	UNICODE_STRING link = string_of(link_name, sizeof(link_name));

	__atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&busy, __ATOMIC_SEQ_CST))
		KeWaitForSingleObject(&idle, Executive, KernelMode, FALSE, NULL);
	(void)IoDeleteSymbolicLink(&link);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_control_delete(void)
{
	struct handle *h;

	while ((h = take(NULL)) != NULL)
		handle_free(h, false);
	IoDeleteDevice(device);
}

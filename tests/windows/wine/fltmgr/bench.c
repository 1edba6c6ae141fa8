/*
 * Requests per second from kernel threads to a user process: through a filter and its ring (reads of a bound file), or by one
 * pended device control for each request, which the process keeps at the drive ("inverted calls").
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"
#include "host.h"

/* One request by device control, on its thread's stack. */
struct request {
	LIST_ENTRY link;
	ULONGLONG number, offset;
	ULONG length;
	UCHAR *data;
	KEVENT answered;
};

/* One run, on the stack of the thread that waits for it. */
struct run {
	struct drive_bench how;
	struct sim_file *file;
	volatile LONG running, failed;
	KEVENT done;
};

static KSPIN_LOCK lock; /* everything below */
static LIST_ENTRY asked, taken; /* struct request */
static LIST_ENTRY waiting;      /* IRPs, by Tail.Overlay.ListEntry */
static ULONGLONG numbers;
static BOOLEAN stopped;

void glue_bench_start(void)
{
	KeInitializeSpinLock(&lock);
	InitializeListHead(&asked);
	InitializeListHead(&taken);
	InitializeListHead(&waiting);
}

static void complete(PIRP irp, NTSTATUS status, ULONG length)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = length;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
}

/* Lock held: a request and a pended control that meet; the control is then the caller's to complete. */
static PIRP meet(void)
{
	struct request *request;
	struct drive_bench_next *next;
	PIRP irp;

	if (IsListEmpty(&asked) || IsListEmpty(&waiting))
		return NULL;
	request = CONTAINING_RECORD(RemoveHeadList(&asked), struct request, link);
	irp = CONTAINING_RECORD(RemoveHeadList(&waiting), IRP, Tail.Overlay.ListEntry);
	InsertTailList(&taken, &request->link);
	next = irp->AssociatedIrp.SystemBuffer;
	next->number = request->number;
	next->offset = request->offset;
	next->length = request->length;
	return irp;
}

/* Lock held. */
static void answer(const struct drive_bench_next *next, ULONG length)
{
	for (LIST_ENTRY *i = taken.Flink; i != &taken; i = i->Flink) {
		struct request *request = CONTAINING_RECORD(i, struct request, link);

		if (request->number != next->number)
			continue;
		RtlCopyMemory(request->data, next + 1, length < request->length ? length : request->length);
		RemoveEntryList(&request->link);
		KeSetEvent(&request->answered, IO_NO_INCREMENT, FALSE);
		return;
	}
}

NTSTATUS glue_bench_next(PIRP irp)
{
	PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
	const struct drive_bench_next *next = irp->AssociatedIrp.SystemBuffer;
	ULONG in = stack->Parameters.DeviceIoControl.InputBufferLength;
	KIRQL irql;
	PIRP ready = NULL;

	if (in < sizeof(*next) || stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*next)) {
		complete(irp, STATUS_INVALID_PARAMETER, 0);
		return STATUS_INVALID_PARAMETER;
	}
	IoMarkIrpPending(irp);
	KeAcquireSpinLock(&lock, &irql);
	if (next->number)
		answer(next, in - (ULONG)sizeof(*next));
	if (stopped) {
		ready = irp;
	} else {
		InsertTailList(&waiting, &irp->Tail.Overlay.ListEntry);
		ready = meet();
	}
	KeReleaseSpinLock(&lock, irql);
	if (ready)
		complete(ready, stopped ? STATUS_CANCELLED : STATUS_SUCCESS, stopped ? 0 : (ULONG)sizeof(*next));
	return STATUS_PENDING;
}

static void ask(struct request *request, ULONGLONG offset)
{
	KIRQL irql;
	PIRP irp;

	request->offset = offset;
	KeInitializeEvent(&request->answered, SynchronizationEvent, FALSE);
	KeAcquireSpinLock(&lock, &irql);
	request->number = ++numbers;
	InsertTailList(&asked, &request->link);
	irp = meet();
	KeReleaseSpinLock(&lock, irql);
	if (irp)
		complete(irp, STATUS_SUCCESS, sizeof(struct drive_bench_next));
	KeWaitForSingleObject(&request->answered, Executive, KernelMode, FALSE, NULL);
}

static BOOLEAN one(struct run *run, struct request *request, ULONG index)
{
	LARGE_INTEGER offset = { .QuadPart = (LONGLONG)(index * 37 % 256) * run->how.length };
	IO_STATUS_BLOCK result = { 0 };

	if (run->how.kind == DRIVE_BENCH_CALLS)
		ask(request, (ULONGLONG)offset.QuadPart);
	else if (!NT_SUCCESS(sim_read(run->file, NULL, request->data, run->how.length, &offset, SIM_IO_NOCACHE | SIM_IO_NO_FAST, &result)))
		return FALSE;
	return request->data[1] == (UCHAR)((offset.QuadPart + 1) % 251);
}

static void NTAPI bench_thread(void *context)
{
	struct run *run = context;
	struct request request = { .length = run->how.length };

	request.data = glue_alloc(run->how.length);
	for (ULONG i = 0; request.data && i < run->how.count / run->how.depth; i++)
		if (!one(run, &request, i))
			InterlockedIncrement(&run->failed);
	if (!request.data)
		InterlockedIncrement(&run->failed);
	else
		ExFreePoolWithTag(request.data, GLUE_TAG);
	if (InterlockedDecrement(&run->running) == 0)
		KeSetEvent(&run->done, IO_NO_INCREMENT, FALSE);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

static void stop(BOOLEAN now)
{
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	stopped = now;
	while (now && !IsListEmpty(&waiting)) {
		PIRP irp = CONTAINING_RECORD(RemoveHeadList(&waiting), IRP, Tail.Overlay.ListEntry);

		KeReleaseSpinLock(&lock, irql);
		complete(irp, STATUS_CANCELLED, 0);
		KeAcquireSpinLock(&lock, &irql);
	}
	KeReleaseSpinLock(&lock, irql);
}

void glue_bench_run(struct job *job)
{
	PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(job->irp);
	struct drive_bench *out = job->irp->AssociatedIrp.SystemBuffer;
	struct run run = { .file = job->binding->file };
	LONGLONG start;

	if (stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(run.how) ||
		stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(run.how)) {
		glue_finish(job, STATUS_INVALID_PARAMETER, 0);
		return;
	}
	run.how = *out;
	if (!run.how.depth || run.how.depth > 64 || !run.how.length || run.how.length > 65536 ||
		(run.how.kind == DRIVE_BENCH_RING && !run.file)) {
		glue_finish(job, STATUS_INVALID_PARAMETER, 0);
		return;
	}
	stop(FALSE);
	KeInitializeEvent(&run.done, NotificationEvent, FALSE);
	run.running = (LONG)run.how.depth;
	start = sim_host_time();
	for (ULONG i = 0; i < run.how.depth; i++) {
		HANDLE thread;

		if (NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, bench_thread, &run)))
			ZwClose(thread);
		else if (InterlockedIncrement(&run.failed), InterlockedDecrement(&run.running) == 0)
			KeSetEvent(&run.done, IO_NO_INCREMENT, FALSE);
	}
	KeWaitForSingleObject(&run.done, Executive, KernelMode, FALSE, NULL);
	run.how.elapsed = (ULONGLONG)(sim_host_time() - start);
	run.how.failed = (ULONG)run.failed;
	stop(run.how.kind == DRIVE_BENCH_CALLS);
	*out = run.how;
	glue_finish(job, STATUS_SUCCESS, sizeof(run.how));
}

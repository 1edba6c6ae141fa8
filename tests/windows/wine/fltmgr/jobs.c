/*
 * Requests of the drive on worker threads: Wine dispatches all requests of a driver host on one thread, which must not wait.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A worker more is made whenever none is idle, so that requests which wait for others never starve them.
 */
#include "glue.h"

enum { WORKERS_MAX = 512 };

static KSPIN_LOCK lock; /* everything below, and each job's state */
static LIST_ENTRY queue;
static volatile LONG signal; /* changes with every job that was queued; outside of the lock it is waited on */
static LONG workers, idle, queued;
static BOOLEAN stopping;

static void complete(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static void release(struct job *job, LONG references)
{
	if (InterlockedExchangeAdd(&job->references, -references) == references) {
		if (job->binding)
			glue_unref(job->binding);
		ExFreePoolWithTag(job, GLUE_TAG);
	}
}

/* Taking the cancel routine back says whether it will run; if so, the IRP must stay until it has. */
void glue_finish(struct job *job, NTSTATUS status, ULONG_PTR information)
{
	KIRQL irql;
	BOOLEAN taken, now;

	if (!job->irp) {
		release(job, 1);
		return;
	}
	job->io.status.Status = status;
	job->io.status.Information = information;
	KeAcquireSpinLock(&lock, &irql);
	taken = !IoSetCancelRoutine(job->irp, NULL);
	job->over = TRUE;
	now = !taken || job->cancel_done;
	KeReleaseSpinLock(&lock, irql);
	if (now)
		complete(job->irp, status, information);
	release(job, taken ? 1 : 2);
}

void glue_io_done(struct sim_io *io)
{
	struct job *job = CONTAINING_RECORD(io, struct job, io);

	glue_finish(job, io->status.Status, io->status.Information);
}

static void cancel_running(struct job *job, int state)
{
	if (state == JOB_STARTED)
		sim_cancel(&job->io);
	else if (state == JOB_RUNNING && job->binding->file)
		sim_cancel_all(job->binding->file);
}

/* Runs on Wine's dispatcher. */
static void on_cancel(PDEVICE_OBJECT of, PIRP irp)
{
	struct job *job = irp->Tail.Overlay.DriverContext[0];
	BOOLEAN removed, over;
	int state;
	KIRQL irql;

	(void)of;
	IoReleaseCancelSpinLock(irp->CancelIrql);
	KeAcquireSpinLock(&lock, &irql);
	job->cancelled = TRUE;
	state = job->state;
	over = job->over;
	removed = !over && state == JOB_QUEUED;
	if (removed) {
		RemoveEntryList(&job->link);
		queued--;
		job->io.status.Status = STATUS_CANCELLED;
		job->io.status.Information = 0;
		job->over = TRUE;
	}
	KeReleaseSpinLock(&lock, irql);
	if (!removed && !over)
		cancel_running(job, state);
	KeAcquireSpinLock(&lock, &irql);
	job->cancel_done = TRUE;
	over = job->over;
	KeReleaseSpinLock(&lock, irql);
	if (over)
		complete(irp, job->io.status.Status, job->io.status.Information);
	release(job, removed ? 2 : 1);
}

void glue_started(struct job *job)
{
	KIRQL irql;

	job->io.done = glue_io_done;
	KeAcquireSpinLock(&lock, &irql);
	job->state = JOB_STARTED;
	KeReleaseSpinLock(&lock, irql);
}

void glue_pending(struct job *job)
{
	KIRQL irql;
	BOOLEAN cancel;

	KeAcquireSpinLock(&lock, &irql);
	cancel = job->cancelled && !job->over;
	KeReleaseSpinLock(&lock, irql);
	if (cancel)
		sim_cancel(&job->io);
}

/* The next job, or NULL at the end. The lock is held, and given up while there is none. */
static struct job *next_job(KIRQL *irql)
{
	struct job *job;

	while (IsListEmpty(&queue)) {
		LONG seen = signal;

		if (stopping)
			return NULL;
		KeReleaseSpinLock(&lock, *irql);
		glue_wait(&signal, seen);
		KeAcquireSpinLock(&lock, irql);
	}
	job = CONTAINING_RECORD(RemoveHeadList(&queue), struct job, link);
	job->state = JOB_RUNNING;
	InterlockedIncrement(&job->references);
	queued--;
	return job;
}

static void NTAPI worker(void *unused)
{
	struct job *job;
	KIRQL irql;

	(void)unused;
	KeAcquireSpinLock(&lock, &irql);
	while ((job = next_job(&irql)) != NULL) {
		idle--;
		KeReleaseSpinLock(&lock, irql);
		glue_perform(job);
		release(job, 1);
		KeAcquireSpinLock(&lock, &irql);
		idle++;
	}
	idle--;
	workers--;
	KeReleaseSpinLock(&lock, irql);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS worker_add(void)
{
	HANDLE thread;
	KIRQL irql;
	NTSTATUS status;

	KeAcquireSpinLock(&lock, &irql);
	workers++;
	idle++;
	KeReleaseSpinLock(&lock, irql);
	status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, worker, NULL);
	if (NT_SUCCESS(status)) {
		ZwClose(thread);
		return status;
	}
	KeAcquireSpinLock(&lock, &irql);
	workers--;
	idle--;
	KeReleaseSpinLock(&lock, irql);
	return status;
}

static void enqueue(struct job *job)
{
	BOOLEAN more;
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	InsertTailList(&queue, &job->link);
	queued++;
	signal++;
	more = idle < queued && workers < WORKERS_MAX;
	KeReleaseSpinLock(&lock, irql);
	if (more)
		(void)worker_add();
	glue_wake_one(&signal);
}

NTSTATUS glue_submit(PIRP irp, struct binding *binding)
{
	struct job *job = glue_alloc(sizeof(*job));

	if (!job) {
		complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	InterlockedIncrement(&binding->references);
	job->binding = binding;
	job->irp = irp;
	job->references = 2;
	irp->Tail.Overlay.DriverContext[0] = job;
	IoMarkIrpPending(irp);
	(void)IoSetCancelRoutine(irp, on_cancel);
	enqueue(job);
	return STATUS_PENDING;
}

void glue_submit_end(struct binding *binding)
{
	struct job *job = glue_alloc(sizeof(*job));

	if (!job)
		return; /* the file leaks, and the simulation says so */
	job->binding = binding;
	job->references = 1;
	enqueue(job);
}

NTSTATUS glue_jobs_start(void)
{
	NTSTATUS status = glue_wait_start();

	if (!NT_SUCCESS(status))
		return status;
	KeInitializeSpinLock(&lock);
	InitializeListHead(&queue);
	return worker_add();
}

void glue_jobs_stop(void)
{
	LARGE_INTEGER pause = { .QuadPart = -100000 };
	LONG left;
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	stopping = TRUE;
	signal++;
	left = workers;
	KeReleaseSpinLock(&lock, irql);
	glue_wake_all(&signal);
	for (int rounds = 0; left && rounds < 500; rounds++) {
		KeDelayExecutionThread(KernelMode, FALSE, &pause);
		KeAcquireSpinLock(&lock, &irql);
		left = workers;
		KeReleaseSpinLock(&lock, irql);
	}
}

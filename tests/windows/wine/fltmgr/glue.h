/*
 * The test-only fltmgr.sys: Wine's driver interface around the simulation. What its parts share.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_GLUE_H
#define INLAY_GLUE_H

#include <ntifs.h>

#include "../drive.h"
#include "sim.h"

/* One bare handle of the drive: its FILE_OBJECT's FsContext. Freed with its last reference: the handle's and each job's. */
struct binding {
	LIST_ENTRY link;
	LONG references;
	ULONGLONG number;      /* what IDENTIFY answers */
	struct sim_file *file; /* set once by CREATE; NULL = bare */
	struct sim_view *view;
	BOOLEAN synchronous;
	volatile LONG ended;   /* cleanup was begun: nothing new is started */
};

/* One request of Wine's, on its way through a worker. The job lock guards state. */
struct job {
	LIST_ENTRY link;
	struct binding *binding; /* referenced; NULL: none */
	PIRP irp;                /* NULL: the end of a handle */
	struct sim_io io;
	LONG references;         /* the operation's until it is over, the cancel routine's, the worker's */
	enum { JOB_QUEUED, JOB_RUNNING, JOB_STARTED } state;
	BOOLEAN cancelled, cancel_done, over;
};

/* drive.c: the device. */
extern struct sim_volume *glue_volume;
NTSTATUS glue_drive_new(PDRIVER_OBJECT driver);
void glue_drive_free(void);
void glue_unref(struct binding *binding);
struct binding *glue_find(ULONGLONG number); /* referenced, or NULL */
ULONGLONG glue_handles(void);

/* jobs.c: the workers. Submitting pends the IRP. */
NTSTATUS glue_jobs_start(void);
void glue_jobs_stop(void); /* nothing is under way any more */
NTSTATUS glue_submit(PIRP irp, struct binding *binding);
void glue_submit_end(struct binding *binding); /* takes over the reference; does the handle's close */
/* The job's IRP ends with this; the job is gone. */
void glue_finish(struct job *job, NTSTATUS status, ULONG_PTR information);

/* wait.c: threads that wait for a word in memory to be another than `seen`. Far cheaper than Wine's kernel objects. */
NTSTATUS glue_wait_start(void);
void glue_wait(volatile LONG *word, LONG seen);
void glue_wake_one(volatile LONG *word);
void glue_wake_all(volatile LONG *word);

/* calls.c: what a job does; runs on a worker, which keeps the job; ends with glue_finish, now or when the simulation says so. */
void glue_perform(struct job *job);
void glue_started(struct job *job); /* jobs.c: before an operation with job->io is begun */
void glue_pending(struct job *job); /* jobs.c: after it was begun: a cancel that came too early is done again */
void glue_io_done(struct sim_io *io);

/* patch.c: imports of loaded drivers, replaced where this file exports the name. */
NTSTATUS glue_patch_start(PDRIVER_OBJECT driver);
void glue_patch_stop(void);
void *glue_export(const UCHAR *image, const char *name); /* of a loaded image; NULL: has none */
ULONG glue_patched(void);

/* poly.c, host.c: allocations of filters now; objects of the simulation or of Wine. */
ULONG glue_pool(void);
LONG_PTR glue_object_ref(void *object);
LONG_PTR glue_object_unref(void *object);

/* bench.c */
void glue_bench_start(void);
void glue_bench_run(struct job *job);
NTSTATUS glue_bench_next(PIRP irp); /* on Wine's dispatcher: no worker lies between */

/* drive.c: false while files are open */
BOOLEAN glue_remount(void);

#define GLUE_TAG 0x65756c47u /* "Glue" */

static inline void *glue_alloc(SIZE_T size)
{
	void *memory = ExAllocatePoolWithTag(NonPagedPool, size, GLUE_TAG);

	if (memory)
		RtlZeroMemory(memory, size);
	return memory;
}

#endif

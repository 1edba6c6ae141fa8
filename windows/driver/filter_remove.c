/*
 * Deletion: asked of the server before NTFS is told, done by the server once NTFS has done it, which is at some handle's cleanup.
 * SPDX-License-Identifier: Apache-2.0
 *
 * REMOVE_BEGIN went through one handle, the last cleanup may be another's. So a handle that ends before its file does stays on a list
 * until a cleanup shows what became of the file.
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

static LIST_ENTRY removals; /* files, each with a reference */
static FAST_MUTEX lock;
static bool closed; /* the lock: nothing is kept any more */

void inlay_removals_init(void)
{
	InitializeListHead(&removals);
	ExInitializeFastMutex(&lock);
	closed = false;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_removal_begin(struct inlay_file *file, PFLT_CALLBACK_DATA data)
{
	NTSTATUS status;

	if (InterlockedCompareExchange(&file->removing, 1, 0))
		return STATUS_SUCCESS;
	status = inlay_file_ask(file, INLAY_RING_REMOVE_BEGIN, 0, data, NULL);
	if (!NT_SUCCESS(status))
		InterlockedExchange(&file->removing, 0);
	return status;
}

static void end(struct inlay_file *file, bool done)
{
	struct inlay_request *r;

	if (!InterlockedExchange(&file->removing, 0) || !file->directory)
		return;
	r = inlay_file_request(file, INLAY_RING_REMOVE_END, NULL);
	if (!r)
		return; /* the redirector ends it with the file's CLOSE */
	r->wire.flags = done ? INLAY_RING_DONE : 0;
	/* What NTFS has deleted, the program takes for deleted: it waits until the server has followed, unless it must not wait any more. */
	if (done && inlay_directory_live(file->directory)) {
		(void)inlay_request_ask(r, NULL);
		inlay_request_unref(r);
	} else {
		r->live = NULL;
		inlay_request_forget(r);
	}
}

/* IRQL: PASSIVE_LEVEL */
void inlay_removal_end(struct inlay_file *file)
{
	end(file, false);
}

/* IRQL: APC_LEVEL */
bool inlay_removal_pending(struct inlay_file *file)
{
	bool found = false;

	if (__atomic_load_n(&file->removing, __ATOMIC_ACQUIRE))
		return true;
	ExAcquireFastMutex(&lock);
	for (LIST_ENTRY *l = removals.Flink; l != &removals && !found; l = l->Flink)
		found = CONTAINING_RECORD(l, struct inlay_file, removal)->stream == file->stream;
	ExReleaseFastMutex(&lock);
	return found;
}

/* The next on the list of this stream, and of this instance (NULL: any), off the list; its reference becomes the caller's. */
static struct inlay_file *take(PVOID stream, PFLT_INSTANCE instance)
{
	struct inlay_file *found = NULL;

	ExAcquireFastMutex(&lock);
	for (LIST_ENTRY *l = removals.Flink; l != &removals && !found; l = l->Flink) {
		struct inlay_file *file = CONTAINING_RECORD(l, struct inlay_file, removal);

		if ((!stream || file->stream == stream) && (!instance || file->instance == instance))
			found = file;
	}
	if (found) {
		RemoveEntryList(&found->removal);
		found->on_removals = false;
	}
	ExReleaseFastMutex(&lock);
	return found;
}

static void keep(struct inlay_file *file)
{
	ExAcquireFastMutex(&lock);
	if (!file->on_removals && !closed) {
		FltReferenceContext(file);
		InsertTailList(&removals, &file->removal);
		file->on_removals = true;
	}
	ExReleaseFastMutex(&lock);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_removal_settle(PCFLT_RELATED_OBJECTS objects, struct inlay_file *file)
{
	FILE_STANDARD_INFORMATION standard;
	struct inlay_file *other;
	NTSTATUS status;
	bool gone;

	status = FltQueryInformationFile(objects->Instance, objects->FileObject, &standard, sizeof(standard), FileStandardInformation, NULL);
	gone = status == STATUS_FILE_DELETED;
	if (NT_SUCCESS(status) && standard.DeletePending) {
		if (__atomic_load_n(&file->removing, __ATOMIC_ACQUIRE))
			keep(file);
		return;
	}
	while ((other = take(file->stream, NULL)) != NULL) {
		end(other, gone);
		inlay_file_unref(other);
	}
	end(file, gone);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_removals_drop(PFLT_INSTANCE instance)
{
	struct inlay_file *file;

	while ((file = take(NULL, instance)) != NULL)
		inlay_file_unref(file);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_removals_done(void)
{
	ExAcquireFastMutex(&lock);
	closed = true;
	ExReleaseFastMutex(&lock);
	inlay_removals_drop(NULL);
}

/* IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_cleanup)
{
	struct inlay_file *file = inlay_file_of(objects);

	(void)data;
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (!file->directory || !inlay_removal_pending(file)) {
		inlay_file_unref(file);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	*context = file;
	return FLT_PREOP_SYNCHRONIZE;
}

/* IRQL: PASSIVE_LEVEL: cleanup comes so, and was synchronised */
INLAY_POST(inlay_post_cleanup)
{
	struct inlay_file *file = context;

	(void)data;
	if (!(flags & FLTFL_POST_OPERATION_DRAINING))
		inlay_removal_settle(objects, file);
	inlay_file_unref(file);
	return FLT_POSTOP_FINISHED_PROCESSING;
}

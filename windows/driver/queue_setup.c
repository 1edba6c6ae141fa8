/*
 * Making a queue out of the redirector's section and events, and its end.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "queue_private.h"

#include "guard.h"
#include "memory.h"

/* Every queue whose thread may still run holds a reference here; taken off once the thread is gone. */
static LIST_ENTRY queues;
static FAST_MUTEX queues_lock;

/* IRQL: PASSIVE_LEVEL */
void inlay_queues_init(void)
{
	InitializeListHead(&queues);
	ExInitializeFastMutex(&queues_lock);
}

/* IRQL: APC_LEVEL */
void inlay_queue_ref(struct inlay_queue *queue)
{
	InterlockedIncrement(&queue->references);
}

/* IRQL: APC_LEVEL */
void inlay_queue_unref(struct inlay_queue *queue)
{
	if (InterlockedDecrement(&queue->references) != 0)
		return;
	if (queue->thread)
		ObfDereferenceObject(queue->thread);
	inlay_free(queue->tag_room);
	inlay_free(queue->slot_room);
	inlay_free(queue);
}

/* The first on the list whose thread has ended, off the list; NULL: none. all: the first of them, whose thread is waited for. */
static struct inlay_queue *next_ended(bool all)
{
	LARGE_INTEGER now = {.QuadPart = 0};
	struct inlay_queue *found = NULL;

	ExAcquireFastMutex(&queues_lock);
	for (LIST_ENTRY *l = queues.Flink; l != &queues && !found; l = l->Flink) {
		struct inlay_queue *q = CONTAINING_RECORD(l, struct inlay_queue, all);

		if (all || KeWaitForSingleObject(q->thread, Executive, KernelMode, FALSE, &now) == STATUS_SUCCESS)
			found = q;
	}
	if (found)
		RemoveEntryList(&found->all);
	ExReleaseFastMutex(&queues_lock);
	return found;
}

/* IRQL: PASSIVE_LEVEL */
void inlay_queues_reap(void)
{
	struct inlay_queue *q;

	while ((q = next_ended(false)) != NULL)
		inlay_queue_unref(q);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_queues_done(void)
{
	struct inlay_queue *q;

	while ((q = next_ended(true)) != NULL) {
		inlay_queue_stop(q);
		KeWaitForSingleObject(q->thread, Executive, KernelMode, FALSE, NULL);
		inlay_queue_unref(q);
	}
}

/* IRQL: PASSIVE_LEVEL. Each step that was not done is NULL. */
void inlay_queue_release(struct inlay_queue *q)
{
	if (q->mdl) {
		if (q->mdl->MdlFlags & MDL_PAGES_LOCKED)
			MmUnlockPages(q->mdl);
		IoFreeMdl(q->mdl);
	}
	if (q->view)
		MmUnmapViewInSystemSpace(q->view);
	if (q->section)
		ObfDereferenceObject(q->section);
	if (q->requests)
		ObfDereferenceObject(q->requests);
	if (q->completions)
		ObfDereferenceObject(q->completions);
	q->mdl = NULL;
	q->view = q->section = NULL;
	q->requests = q->completions = NULL;
}

static NTSTATUS event_of(HANDLE handle, PKEVENT *ret)
{
	return ObReferenceObjectByHandle(handle, EVENT_MODIFY_STATE | SYNCHRONIZE, INLAY_OBJECT_TYPE(ExEventObjectType), UserMode,
					 (PVOID *)ret, NULL);
}

/*
 * Maps the section and holds its pages in memory, so that no access can fault: not on a page that was never committed, not
 * with the lock held. The address of the pages' mapping lasts as long as they are locked.
 */
static NTSTATUS map(struct inlay_queue *q, const struct inlay_queue_setup *setup, PVOID *ret)
{
	SIZE_T size = (SIZE_T)setup->size;
	NTSTATUS status;

	status = ObReferenceObjectByHandle(setup->section, SECTION_MAP_READ | SECTION_MAP_WRITE, INLAY_OBJECT_TYPE(MmSectionObjectType),
					   UserMode, &q->section, NULL);
	if (!NT_SUCCESS(status))
		return status;
	status = MmMapViewInSystemSpace(q->section, &q->view, &size);
	if (!NT_SUCCESS(status)) {
		q->view = NULL;
		return status;
	}
	if (size < setup->size)
		return STATUS_INVALID_VIEW_SIZE;
	q->mdl = IoAllocateMdl(q->view, (ULONG)setup->size, FALSE, FALSE, NULL);
	if (!q->mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = inlay_guard_lock_pages(q->mdl);
	if (!NT_SUCCESS(status)) {
		IoFreeMdl(q->mdl);
		q->mdl = NULL;
		return status;
	}
	*ret = MmGetSystemAddressForMdlSafe(q->mdl, NormalPagePriority | MdlMappingNoExecute);
	return *ret ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

static NTSTATUS open_ring(struct inlay_queue *q, const struct inlay_queue_setup *setup)
{
	const struct inlay_ring_geometry *g = &q->ring.geometry;
	NTSTATUS status;
	PVOID section;
	int opened;

	status = map(q, setup, &section);
	if (!NT_SUCCESS(status))
		return status;
	opened = inlay_ring_requester_open(&q->ring, section, setup->size);
	if (opened < 0)
		return opened == -INLAY_EVERSION ? STATUS_REVISION_MISMATCH : STATUS_INVALID_PARAMETER;
	q->tag_room = inlay_alloc((SIZE_T)g->entries * sizeof(*q->tag_room));
	q->slot_room = inlay_alloc((SIZE_T)g->slots * sizeof(*q->slot_room));
	if (!q->tag_room || !q->slot_room)
		return STATUS_INSUFFICIENT_RESOURCES;
	inlay_ring_tags_init(&q->tags, q->tag_room, g->entries);
	inlay_ring_slots_init(&q->slots, q->slot_room, g->slots);
	q->reserve = g->entries >= 8 && g->slots >= 8 ? 2 : g->entries >= 2 && g->slots >= 2 ? 1 : 0;
	return STATUS_SUCCESS;
}

static NTSTATUS start_thread(struct inlay_queue *q)
{
	OBJECT_ATTRIBUTES attributes;
	HANDLE handle;
	NTSTATUS status;

	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL); /* not in the redirector's table */
	inlay_queue_ref(q); /* the thread's */
	status = PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, &attributes, NULL, NULL, inlay_queue_thread, q);
	if (!NT_SUCCESS(status)) {
		inlay_queue_unref(q);
		return status;
	}
	status = ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, NULL, KernelMode, &q->thread, NULL);
	if (!NT_SUCCESS(status)) { /* no object to wait for later: wait for the handle now */
		inlay_queue_stop(q);
		(void)ZwWaitForSingleObject(handle, FALSE, NULL);
		q->thread = NULL;
	}
	(void)ZwClose(handle);
	return status;
}

static struct inlay_queue *queue_blank(ULONG timeout_ms)
{
	struct inlay_queue *q = inlay_alloc(sizeof(*q));

	if (!q)
		return NULL;
	q->references = 1;
	q->timeout_ms = timeout_ms;
	KeInitializeSpinLock(&q->lock);
	KeInitializeEvent(&q->wake, SynchronizationEvent, FALSE);
	InitializeListHead(&q->waiting);
	InitializeListHead(&q->urgent);
	InitializeListHead(&q->doomed);
	return q;
}

/* IRQL: PASSIVE_LEVEL, in the redirector's process */
NTSTATUS inlay_queue_new(const struct inlay_queue_setup *setup, struct inlay_queue **ret)
{
	struct inlay_queue *q;
	NTSTATUS status;

	inlay_queues_reap();
	if (setup->size < sizeof(struct inlay_ring_head) || setup->size > INLAY_RING_SECTION_MAX)
		return STATUS_INVALID_PARAMETER;
	q = queue_blank(setup->timeout_ms);
	if (!q)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = event_of(setup->requests, &q->requests);
	if (NT_SUCCESS(status))
		status = event_of(setup->completions, &q->completions);
	if (NT_SUCCESS(status))
		status = open_ring(q, setup);
	if (!NT_SUCCESS(status)) {
		inlay_queue_release(q);
		inlay_queue_unref(q);
		return status;
	}
	status = start_thread(q);
	if (!NT_SUCCESS(status)) {
		inlay_queue_release(q);
		inlay_queue_unref(q);
		return status;
	}
	inlay_queue_ref(q); /* the list's */
	ExAcquireFastMutex(&queues_lock);
	InsertTailList(&queues, &q->all);
	ExReleaseFastMutex(&queues_lock);
	*ret = q;
	return STATUS_SUCCESS;
}

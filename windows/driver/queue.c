/*
 * Requests and their submission: into the ring when there is room, else into a list.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "queue.h"

#include "memory.h"
#include "queue_private.h"

/* IRQL: DISPATCH_LEVEL */
struct inlay_request *inlay_request_new(struct inlay_queue *queue, uint32_t kind, const UNICODE_STRING *name)
{
	ULONG length = name ? name->Length : 0;
	struct inlay_request *r = inlay_alloc(sizeof(*r) + length);

	if (!r)
		return NULL;
	inlay_queue_ref(queue);
	r->queue = queue;
	r->references = 1;
	r->wire.kind = kind;
	r->wire.length = length;
	r->wire.slot = INLAY_RING_NO_SLOT;
	r->name_length = length;
	if (length)
		RtlCopyMemory(r->name, name->Buffer, length);
	KeInitializeEvent(&r->event, NotificationEvent, FALSE);
	KeInitializeEvent(&r->cancelled, NotificationEvent, FALSE);
	return r;
}

/* IRQL: APC_LEVEL */
void inlay_request_unref(struct inlay_request *request)
{
	if (InterlockedDecrement(&request->references) != 0)
		return;
	inlay_queue_unref(request->queue);
	inlay_free(request);
}

void inlay_queue_mark_stopped(struct inlay_queue *q)
{
	__atomic_store_n(&q->stopped, true, __ATOMIC_RELEASE);
}

static bool needs_slot(const struct inlay_request *r)
{
	return r->name_length || r->length;
}

static bool is_paging(const struct inlay_request *r)
{
	return (r->wire.flags & INLAY_RING_PAGING) != 0;
}

/* Lock held. */
void inlay_queue_enlist(struct inlay_request *r, bool first)
{
	LIST_ENTRY *list = is_paging(r) ? &r->queue->urgent : &r->queue->waiting;

	r->state = INLAY_WAITING;
	if (first)
		InsertHeadList(list, &r->link);
	else
		InsertTailList(list, &r->link);
}

/* Whether the first of a list can have its tag and its slot, so many of which must be left. Lock held. */
static bool can_go(const struct inlay_queue *q, const LIST_ENTRY *list, ULONG reserve)
{
	const struct inlay_request *r;

	if (IsListEmpty(list) || q->tags.count - q->tags.taken <= reserve)
		return false;
	r = CONTAINING_RECORD(list->Flink, struct inlay_request, link);
	return !needs_slot(r) || q->slots.count - q->slots.taken > reserve;
}

/* Lock held. */
static struct inlay_request *take_next(struct inlay_queue *q)
{
	struct inlay_request *r;
	LIST_ENTRY *list;

	if (q->stopped || q->stalled)
		return NULL;
	if (can_go(q, &q->urgent, 0))
		list = &q->urgent;
	else if (can_go(q, &q->waiting, q->reserve))
		list = &q->waiting;
	else
		return NULL;
	r = CONTAINING_RECORD(RemoveHeadList(list), struct inlay_request, link);
	r->wire.tag = inlay_ring_tags_take(&q->tags, r);
	r->wire.slot = needs_slot(r) ? inlay_ring_slots_take(&q->slots) : INLAY_RING_NO_SLOT;
	r->state = INLAY_LOADING;
	q->loading++;
	return r;
}

/* Writes the name or the data of the next piece into the slot. The section stays mapped while q->loading counts us. No lock. */
static void load(struct inlay_queue *q, struct inlay_request *r)
{
	UCHAR *slot = inlay_ring_requester_slot(&q->ring, r->wire.slot);
	ULONG left;

	if (!slot)
		return;
	if (r->name_length) {
		RtlCopyMemory(slot, r->name, r->name_length);
		return;
	}
	left = r->length - r->done;
	r->wire.length = left < q->ring.geometry.slot_size ? left : q->ring.geometry.slot_size;
	if (r->wire.kind == INLAY_RING_WRITE)
		RtlCopyMemory(slot, r->buffer + r->done, r->wire.length);
}

/* Lock held. */
static void unload(struct inlay_queue *q, struct inlay_request *r)
{
	inlay_ring_tags_give(&q->tags, r->wire.tag);
	if (r->wire.slot != INLAY_RING_NO_SLOT)
		(void)inlay_ring_slots_give(&q->slots, r->wire.slot);
	r->wire.slot = INLAY_RING_NO_SLOT;
	inlay_queue_enlist(r, true);
}

/* Lock held. */
static void push(struct inlay_queue *q, struct inlay_request *r)
{
	int status = q->stopped ? -INLAY_EPROTO : inlay_ring_requester_push(&q->ring, &r->wire);

	r->state = INLAY_OUT;
	if (status == 0)
		return;
	unload(q, r); /* whoever stops the queue finds it on the list */
	if (status == -INLAY_EAGAIN)
		q->stalled = true;
	else
		inlay_queue_mark_stopped(q);
	if (status != -INLAY_EAGAIN || !q->looking)
		KeSetEvent(&q->wake, IO_NO_INCREMENT, FALSE);
}

/* Lock held, and dropped in between. */
void inlay_queue_pump(struct inlay_queue *q, KIRQL *irql)
{
	struct inlay_request *r;

	while ((r = take_next(q)) != NULL) {
		KeReleaseSpinLock(&q->lock, *irql);
		load(q, r);
		*irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
		q->loading--;
		push(q, r);
		if (r->doomed || (q->stopped && !q->loading))
			KeSetEvent(&q->wake, IO_NO_INCREMENT, FALSE); /* the thread left it alone as long as it was loading */
	}
	if (!q->stopped && inlay_ring_requester_publish(&q->ring))
		KeSetEvent(q->requests, IO_NO_INCREMENT, FALSE);
}

/* IRQL: APC_LEVEL */
bool inlay_request_send(struct inlay_request *request)
{
	struct inlay_queue *q = request->queue;
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	if (q->stopped || (request->live && !__atomic_load_n(request->live, __ATOMIC_ACQUIRE))) {
		KeReleaseSpinLock(&q->lock, irql);
		return false;
	}
	InterlockedIncrement(&request->references);
	inlay_queue_enlist(request, false);
	if (request->doomed) { /* cancelled before it was submitted */
		InsertTailList(&q->doomed, &request->doom_link);
		KeSetEvent(&q->wake, IO_NO_INCREMENT, FALSE);
	} else {
		inlay_queue_pump(q, &irql);
	}
	KeReleaseSpinLock(&q->lock, irql);
	return true;
}

/* IRQL: APC_LEVEL */
void inlay_request_forget(struct inlay_request *request)
{
	request->forgotten = true;
	(void)inlay_request_send(request);
	inlay_request_unref(request);
}

/* IRQL: APC_LEVEL */
NTSTATUS inlay_request_ask(struct inlay_request *request, PFLT_CALLBACK_DATA data)
{
	NTSTATUS waited;

	if (!inlay_request_send(request))
		return STATUS_DEVICE_NOT_CONNECTED;
	if (data) {
		waited = FltCancellableWaitForSingleObject(&request->event, NULL, data);
		if (waited == STATUS_SUCCESS)
			return request->status;
		inlay_request_doom(request, STATUS_CANCELLED);
	}
	/* Not alertable and in kernel mode: the thread answers whatever happens, and soon when doomed. */
	KeWaitForSingleObject(&request->event, Executive, KernelMode, FALSE, NULL);
	return request->status;
}

/* Lock held. */
void inlay_queue_doom(struct inlay_request *r, NTSTATUS status)
{
	if (r->doomed || r->answered)
		return;
	r->doomed = true;
	r->doom = status;
	if (r->state == INLAY_NEW)
		return; /* submission sees it */
	InsertTailList(&r->queue->doomed, &r->doom_link);
	KeSetEvent(&r->queue->wake, IO_NO_INCREMENT, FALSE);
}

/* IRQL: DISPATCH_LEVEL */
void inlay_request_doom(struct inlay_request *request, NTSTATUS status)
{
	struct inlay_queue *q = request->queue;
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	inlay_queue_doom(request, status);
	KeReleaseSpinLock(&q->lock, irql);
}

static bool of_directory(const struct inlay_request *r, ULONG directory)
{
	return r->wire.directory == directory && !r->forgotten && !r->answered;
}

/* Calls a function for each request of a directory; counts them. Lock held. */
static ULONG each_of_directory(struct inlay_queue *q, ULONG directory, void (*call)(struct inlay_request *, NTSTATUS))
{
	LIST_ENTRY *lists[] = {&q->waiting, &q->urgent};
	struct inlay_request *r;
	ULONG count = 0;
	uint32_t at = 0;

	for (ULONG i = 0; i < 2; i++)
		for (LIST_ENTRY *l = lists[i]->Flink; l != lists[i]; l = l->Flink) {
			r = CONTAINING_RECORD(l, struct inlay_request, link);
			if (!of_directory(r, directory))
				continue;
			count++;
			if (call)
				call(r, STATUS_DEVICE_NOT_CONNECTED);
		}
	while ((r = inlay_ring_tags_next(&q->tags, &at)) != NULL) {
		if (!of_directory(r, directory))
			continue;
		count++;
		if (call)
			call(r, STATUS_DEVICE_NOT_CONNECTED);
	}
	return count;
}

/* IRQL: DISPATCH_LEVEL */
ULONG inlay_queue_outstanding(struct inlay_queue *q, ULONG directory)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	ULONG count = each_of_directory(q, directory, NULL);

	KeReleaseSpinLock(&q->lock, irql);
	return count;
}

/* IRQL: DISPATCH_LEVEL */
void inlay_queue_doom_directory(struct inlay_queue *q, ULONG directory)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	each_of_directory(q, directory, inlay_queue_doom);
	KeReleaseSpinLock(&q->lock, irql);
}

/* IRQL: DISPATCH_LEVEL */
void inlay_queue_stop(struct inlay_queue *q)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	inlay_queue_mark_stopped(q);
	KeReleaseSpinLock(&q->lock, irql);
	KeSetEvent(&q->wake, IO_NO_INCREMENT, FALSE);
}

/* IRQL: DISPATCH_LEVEL */
bool inlay_queue_stopped(struct inlay_queue *q)
{
	return __atomic_load_n(&q->stopped, __ATOMIC_ACQUIRE);
}

/* IRQL: any */
ULONG inlay_queue_slot_size(const struct inlay_queue *q)
{
	return q->ring.geometry.slot_size;
}

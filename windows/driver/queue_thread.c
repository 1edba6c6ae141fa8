/*
 * The queue's thread: takes in completions, answers requests, lets the next ones go, and ends everything when the queue stops.
 * SPDX-License-Identifier: Apache-2.0
 *
 * All at PASSIVE_LEVEL but where the lock is held. Nothing here waits for the redirector or for a file system: who waits for
 * an answer may hold what they need.
 */
#include "queue_private.h"

#include "memory.h"

#define BATCH 16
#define ROUNDS 4u                        /* a time-out is so many quarters */
#define STALLED_WAIT (-10LL * 10 * 1000) /* 10 ms: only a redirector that takes nothing in lets it come to this */

/* The queue has no more use for it. */
static void drop(struct inlay_request *r)
{
	inlay_request_unref(r);
}

/* Once for each request; a second time it does nothing. c: NULL for a failure that is not the redirector's. */
static void answer(struct inlay_request *r, NTSTATUS status, const struct inlay_ring_completion *c)
{
	struct inlay_queue *q = r->queue;
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	bool again = r->answered;

	if (!again) {
		r->answered = true;
		r->status = status;
		if (c)
			r->answer = *c;
		if (r->doomed)
			RemoveEntryList(&r->doom_link);
		InitializeListHead(&r->doom_link);
	}
	KeReleaseSpinLock(&q->lock, irql);
	if (again || r->forgotten)
		return;
	if (!r->finish) {
		KeSetEvent(&r->event, IO_DISK_INCREMENT, FALSE);
		return;
	}
	/* The cancel callback, if it came, is about to end: it only marks the request. */
	if (r->cancellable && FltClearCancelCompletion(r->data) != STATUS_SUCCESS)
		KeWaitForSingleObject(&r->cancelled, Executive, KernelMode, FALSE, NULL);
	r->finish(r);
}

/* Lock held. */
static void free_slot(struct inlay_request *r)
{
	if (r->wire.slot != INLAY_RING_NO_SLOT)
		(void)inlay_ring_slots_give(&r->queue->slots, r->wire.slot);
	r->wire.slot = INLAY_RING_NO_SLOT;
}

/* Copies what came, and says whether there is another piece to ask for. */
static bool transfer(struct inlay_request *r, const struct inlay_ring_completion *c)
{
	const UCHAR *slot = inlay_ring_requester_slot(&r->queue->ring, r->wire.slot);

	if (r->wire.kind != INLAY_RING_READ && r->wire.kind != INLAY_RING_WRITE)
		return false;
	if (r->wire.kind == INLAY_RING_READ && slot)
		RtlCopyMemory(r->buffer + r->done, slot, c->length);
	r->done += c->length;
	if (!(r->wire.flags & INLAY_RING_APPEND))
		r->wire.offset += c->length;
	if (!c->length || (r->wire.kind == INLAY_RING_READ && c->length < r->wire.length))
		return false;
	return r->done < r->length;
}

/* Makes a request of another one, whose answer came when nobody waited for it any more. Nothing to allocate, so it can't fail. */
static bool cleans_up(struct inlay_request *r, const struct inlay_ring_completion *c)
{
	uint32_t kind = r->wire.kind;
	uint64_t file = kind == INLAY_RING_OPEN ? c->file : r->wire.file;

	if (c->status != 0 || !file)
		return false;
	if (kind == INLAY_RING_OPEN)
		kind = INLAY_RING_CLOSE;
	else if (kind == INLAY_RING_REMOVE_BEGIN)
		kind = INLAY_RING_REMOVE_END;
	else if (kind == INLAY_RING_RENAME_BEGIN)
		kind = INLAY_RING_RENAME_END;
	else
		return false;
	r->forgotten = true;
	r->length = r->name_length = 0;
	r->wire = (struct inlay_ring_request){.kind = kind, .file = file, .slot = INLAY_RING_NO_SLOT, .process = r->wire.process,
					      .directory = r->wire.directory};
	return true;
}

/* What becomes of a request after a completion of it. */
static void settle(struct inlay_request *r, const struct inlay_ring_completion *c)
{
	struct inlay_queue *q = r->queue;
	bool late = r->answered; /* only this thread changes it */
	bool more = !late && c->status == 0 && transfer(r, c);
	bool keep = more || (late && cleans_up(r, c));
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	free_slot(r);
	r->age = 0; /* it gets on */
	if (keep)
		inlay_queue_enlist(r, more);
	KeReleaseSpinLock(&q->lock, irql);
	if (keep)
		return;
	answer(r, (NTSTATUS)c->status, c);
	drop(r);
}

/* False: no answer to anything that was asked. */
static bool take_in(struct inlay_queue *q, struct inlay_ring_completion *c)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	struct inlay_request *r = inlay_ring_tags_find(&q->tags, c->tag);
	bool legal = r && r->state == INLAY_OUT && inlay_ring_completion_check(&r->wire, c) == 0;

	if (legal) {
		inlay_ring_tags_give(&q->tags, c->tag);
		r->state = INLAY_OVER;
	}
	KeReleaseSpinLock(&q->lock, irql);
	if (legal)
		settle(r, c);
	return legal;
}

/* Tells the redirector that nobody waits any more; when there is no room, it learns it when it answers. Lock held. */
static void push_cancel(struct inlay_queue *q, uint64_t tag)
{
	struct inlay_ring_request cancel = {.kind = INLAY_RING_CANCEL, .offset = tag, .slot = INLAY_RING_NO_SLOT};

	if (!q->stopped && inlay_ring_requester_push(&q->ring, &cancel) == 0 && inlay_ring_requester_publish(&q->ring))
		KeSetEvent(q->requests, IO_NO_INCREMENT, FALSE);
}

/* The first doomed request that may be answered now, off its list; *ret_waiting: it never was in the ring. Lock held. */
static struct inlay_request *next_doomed(struct inlay_queue *q, bool *ret_waiting)
{
	for (LIST_ENTRY *l = q->doomed.Flink; l != &q->doomed; l = l->Flink) {
		struct inlay_request *r = CONTAINING_RECORD(l, struct inlay_request, doom_link);

		if (r->state == INLAY_LOADING)
			continue; /* somebody reads its buffer; he wakes us */
		*ret_waiting = r->state == INLAY_WAITING;
		if (*ret_waiting) {
			RemoveEntryList(&r->link);
			r->state = INLAY_OVER;
		} else {
			push_cancel(q, r->wire.tag);
		}
		RemoveEntryList(&r->doom_link);
		InitializeListHead(&r->doom_link);
		return r;
	}
	return NULL;
}

static void answer_doomed(struct inlay_queue *q)
{
	struct inlay_request *r;
	bool waiting;
	KIRQL irql;

	for (;;) {
		irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
		r = next_doomed(q, &waiting);
		if (r)
			InterlockedIncrement(&r->references);
		KeReleaseSpinLock(&q->lock, irql);
		if (!r)
			return;
		answer(r, r->doom, NULL);
		if (waiting)
			drop(r);
		drop(r);
	}
}

/* Lock held. */
static void grow_older(struct inlay_request *r)
{
	if (!r->answered && !r->forgotten && ++r->age > ROUNDS)
		inlay_queue_doom(r, STATUS_IO_TIMEOUT);
}

/* Requests that have waited too long end. Each takes part in four rounds of a quarter of the time-out before it does. */
static void look_at_clock(struct inlay_queue *q)
{
	LIST_ENTRY *lists[] = {&q->waiting, &q->urgent};
	struct inlay_request *r;
	uint32_t at = 0;
	ULONGLONG now;
	KIRQL irql;

	if (!q->timeout_ms)
		return;
	now = KeQueryInterruptTime();
	if (now < q->next_round)
		return;
	q->next_round = now + (ULONGLONG)q->timeout_ms * 10000 / ROUNDS;
	irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	for (ULONG i = 0; i < 2; i++)
		for (LIST_ENTRY *l = lists[i]->Flink; l != lists[i]; l = l->Flink)
			grow_older(CONTAINING_RECORD(l, struct inlay_request, link));
	while ((r = inlay_ring_tags_next(&q->tags, &at)) != NULL)
		grow_older(r);
	KeReleaseSpinLock(&q->lock, irql);
}

static void let_go(struct inlay_queue *q)
{
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	q->stalled = false;
	q->looking = true;
	inlay_queue_pump(q, &irql);
	q->looking = false;
	KeReleaseSpinLock(&q->lock, irql);
}

static void rest(struct inlay_queue *q)
{
	PVOID objects[] = {&q->wake, q->completions};
	LARGE_INTEGER timeout, *wait = NULL;
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	bool stalled = q->stalled;

	KeReleaseSpinLock(&q->lock, irql);
	if (stalled) {
		timeout.QuadPart = STALLED_WAIT;
		wait = &timeout;
	} else if (q->timeout_ms) {
		timeout.QuadPart = -((LONGLONG)q->timeout_ms * 10000 / (LONGLONG)ROUNDS) - 1;
		wait = &timeout;
	}
	KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, wait, NULL);
}

/* Until the queue has stopped, or the redirector has broken the rules of the ring. */
static void serve(struct inlay_queue *q)
{
	struct inlay_ring_completion batch[BATCH];

	while (!inlay_queue_stopped(q)) {
		int count = inlay_ring_requester_pop(&q->ring, batch, BATCH);

		if (count < 0)
			return;
		for (int i = 0; i < count; i++)
			if (!take_in(q, &batch[i]))
				return;
		look_at_clock(q);
		answer_doomed(q);
		let_go(q);
		if (count || !inlay_ring_requester_sleep(&q->ring))
			continue;
		rest(q);
		inlay_ring_requester_wake(&q->ring);
	}
}

/* Any request that the queue still holds, and what becomes of it. Lock held. */
static struct inlay_request *next_left(struct inlay_queue *q)
{
	struct inlay_request *r;
	uint32_t at = 0;

	if (!IsListEmpty(&q->urgent) || !IsListEmpty(&q->waiting)) {
		r = CONTAINING_RECORD(RemoveHeadList(IsListEmpty(&q->urgent) ? &q->waiting : &q->urgent), struct inlay_request, link);
	} else {
		r = inlay_ring_tags_next(&q->tags, &at);
		if (!r)
			return NULL;
		inlay_ring_tags_give(&q->tags, r->wire.tag);
		free_slot(r);
	}
	r->state = INLAY_OVER;
	return r;
}

/* Nobody touches the section after this but this thread. */
static void end_all(struct inlay_queue *q)
{
	struct inlay_request *r;
	KIRQL irql = KeAcquireSpinLockRaiseToDpc(&q->lock);

	inlay_queue_mark_stopped(q);
	inlay_ring_requester_kill(&q->ring);
	while (q->loading) {
		KeReleaseSpinLock(&q->lock, irql);
		KeWaitForSingleObject(&q->wake, Executive, KernelMode, FALSE, NULL);
		irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	}
	while ((r = next_left(q)) != NULL) {
		KeReleaseSpinLock(&q->lock, irql);
		answer(r, r->doomed ? r->doom : STATUS_DEVICE_NOT_CONNECTED, NULL);
		drop(r);
		irql = KeAcquireSpinLockRaiseToDpc(&q->lock);
	}
	KeReleaseSpinLock(&q->lock, irql);
}

/* Owns a reference to the queue. */
VOID NTAPI inlay_queue_thread(PVOID context)
{
	struct inlay_queue *q = context;

	serve(q);
	end_all(q);
	inlay_queue_release(q);
	inlay_queue_unref(q);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

/*
 * Inside the queue module: the queue itself, shared between submission (queue.c), its thread (queue_thread.c) and its making and
 * end (queue_setup.c).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_QUEUE_PRIVATE_H
#define INLAY_DRIVER_QUEUE_PRIVATE_H

#include "queue.h"
#include "ring/ring.h"
#include "ring/tags.h"

struct inlay_queue {
	LONG references;
	LIST_ENTRY all;           /* queue_setup.c's list */

	KSPIN_LOCK lock;          /* from here to the next blank line */
	bool stopped;             /* written with the lock, read with and without */
	bool stalled;             /* the ring had no room though there was a tag: look again soon */
	bool looking;             /* the thread does so now, and need not be woken to learn that it is still full */
	ULONG loading;            /* requests whose slots are being filled, outside of the lock */
	struct inlay_ring_requester ring; /* its taking half is the thread's alone */
	struct inlay_ring_tags tags;
	struct inlay_ring_slots slots;
	LIST_ENTRY waiting, urgent; /* requests; urgent: paging I/O */
	LIST_ENTRY doomed;

	struct inlay_ring_tag *tag_room;
	uint32_t *slot_room;
	ULONG reserve;            /* slots and tags that only paging I/O may take */
	ULONG timeout_ms;
	ULONGLONG next_round;     /* the thread's: when requests age, interrupt time */
	KEVENT wake;              /* to the thread, from anyone */
	PKEVENT requests, completions;
	PVOID section;
	PVOID view;               /* what was mapped */
	PMDL mdl;                 /* its pages, locked */
	PVOID thread;             /* object; NULL: none was started */
};

/* All with queue->lock held, DISPATCH_LEVEL: */

void inlay_queue_mark_stopped(struct inlay_queue *queue);
/* Takes what can go now off the lists, one after the other; drops the lock meanwhile. *irql as of the lock's taking. */
void inlay_queue_pump(struct inlay_queue *queue, KIRQL *irql);
/* The same as inlay_request_doom. */
void inlay_queue_doom(struct inlay_request *request, NTSTATUS status);
/* Puts one at the end of its list, or at its head. */
void inlay_queue_enlist(struct inlay_request *request, bool first);

/* The thread. PASSIVE_LEVEL. */
VOID NTAPI inlay_queue_thread(PVOID context);
/* Unmaps the section and lets go of the objects; nothing looks at the ring any more. PASSIVE_LEVEL. */
void inlay_queue_release(struct inlay_queue *queue);

#endif

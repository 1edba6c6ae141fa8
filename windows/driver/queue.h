/*
 * Requests under way between the filter and one redirector: the driver's end of the ring, and one thread that takes in the answers.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     NEW --submit--> WAITING (a list, while ring or slots are full) --> LOADING (data goes into its slot) --> OUT (in the ring)
 *     OUT --completion--> the next piece of a long transfer, or answered
 *     any but NEW --doom (cancelled, too late, directory removed)--> answered; if OUT, tag and slot stay taken until its completion
 *
 * A request is answered exactly once, always by the queue's thread at PASSIVE_LEVEL. Two parties hold a request: the asker until he
 * has read the answer, the queue until the redirector is done with it.
 * Locks: one spin lock per queue, which guards ring, tags, slots, lists and the states of requests. Nothing else is taken under it.
 */
#ifndef INLAY_DRIVER_QUEUE_H
#define INLAY_DRIVER_QUEUE_H

#include "fltkernel.h"
#include "ring/abi.h"

#include <stdbool.h>
#include <stdint.h>

struct inlay_queue;

enum inlay_request_state { INLAY_NEW, INLAY_WAITING, INLAY_LOADING, INLAY_OUT, INLAY_OVER };

struct inlay_request {
	LIST_ENTRY link;           /* the queue's, while WAITING */
	LIST_ENTRY doom_link;      /* the queue's, while doomed and not answered */
	struct inlay_queue *queue; /* a reference */
	LONG references;
	enum inlay_request_state state; /* lock */
	bool doomed, answered;     /* lock */
	bool cancellable;          /* data has a cancel callback, which sets `cancelled` at its end */
	bool forgotten;            /* nobody asks for the answer: CLOSE, ENDs that clean up */
	const bool *live;          /* its directory's, which the asker holds; NULL: it may be sent whatever has become of that */
	NTSTATUS doom;             /* doomed: the status to be */
	ULONG age;                 /* lock: quarters of the time-out that it has lived through */
	struct inlay_ring_request wire;       /* what was asked; the queue fills tag and slot in */
	struct inlay_ring_completion answer;  /* valid when status is STATUS_SUCCESS */
	NTSTATUS status;           /* valid once answered */
	UCHAR *buffer;             /* READ, WRITE: resident, system address, of `length` bytes */
	ULONG length, done;        /* of the whole transfer, in bytes; done: valid once answered */
	KEVENT event;              /* set when answered, unless there is a finish */
	KEVENT cancelled;          /* set when the cancel callback has run */
	/* Not NULL: called by the thread instead of setting the event, and owns the asker's reference. PASSIVE_LEVEL; must not wait. */
	void (*finish)(struct inlay_request *request);
	PFLT_CALLBACK_DATA data;   /* of the finish's */
	void *opaque;              /* of the finish's */
	ULONG name_length;         /* bytes */
	WCHAR name[];
};

struct inlay_queue_setup {
	HANDLE section, requests, completions; /* of the calling process */
	uint64_t size;                         /* bytes of the section to use */
	ULONG timeout_ms;                      /* 0 = never */
};

/* A reference. Copies the geometry out of the section. In the redirector's process. IRQL: PASSIVE_LEVEL. */
NTSTATUS inlay_queue_new(const struct inlay_queue_setup *setup, struct inlay_queue **ret);
/* IRQL: APC_LEVEL */
void inlay_queue_ref(struct inlay_queue *queue);
void inlay_queue_unref(struct inlay_queue *queue);
/* Ends everything with STATUS_DEVICE_NOT_CONNECTED, soon and for ever. May be called often. IRQL: DISPATCH_LEVEL. */
void inlay_queue_stop(struct inlay_queue *queue);
/* IRQL: DISPATCH_LEVEL */
bool inlay_queue_stopped(struct inlay_queue *queue);
/* Bytes. IRQL: any. */
ULONG inlay_queue_slot_size(const struct inlay_queue *queue);
/* Requests under way for a directory (its number). IRQL: DISPATCH_LEVEL. */
ULONG inlay_queue_outstanding(struct inlay_queue *queue, ULONG directory);
/* Dooms all of a directory with STATUS_DEVICE_NOT_CONNECTED; none follows when its `live` was cleared before. IRQL: DISPATCH_LEVEL. */
void inlay_queue_doom_directory(struct inlay_queue *queue, ULONG directory);

/* Before and after everything else. done: all queues are stopped and their threads gone. IRQL: PASSIVE_LEVEL. */
void inlay_queues_init(void);
/* Lets go of queues that have stopped. IRQL: PASSIVE_LEVEL. */
void inlay_queues_reap(void);
void inlay_queues_done(void);

/* A request of the caller's, not under way; name may be NULL. NULL: no memory. IRQL: DISPATCH_LEVEL. */
struct inlay_request *inlay_request_new(struct inlay_queue *queue, uint32_t kind, const UNICODE_STRING *name);
/* The asker's end; of one that is not answered (nor finished), too. IRQL: APC_LEVEL. */
void inlay_request_unref(struct inlay_request *request);
/* Asks; false: the queue has stopped or *live is false, and nothing was or will be done with it. IRQL: APC_LEVEL. */
bool inlay_request_send(struct inlay_request *request);
/*
 * Asks and waits; STATUS_SUCCESS: request->answer, and done for transfers. data: when its operation is cancelled, or the thread dies, the
 * wait ends with STATUS_CANCELLED; NULL: the wait is for as long as it takes. IRQL: APC_LEVEL (paging: data NULL).
 */
NTSTATUS inlay_request_ask(struct inlay_request *request, PFLT_CALLBACK_DATA data);
/* Asks, and nobody waits for the answer. Owns the request whatever happens. IRQL: APC_LEVEL. */
void inlay_request_forget(struct inlay_request *request);
/* Ends one that was submitted, with this status, unless it has been answered. IRQL: DISPATCH_LEVEL. */
void inlay_request_doom(struct inlay_request *request, NTSTATUS status);

#endif

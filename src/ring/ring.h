/*
 * The ring's algorithm, for both of its sides: the requester (the driver) and the responder (the redirector). Plain C for
 * the kernel and for user land: no allocation, no waiting, no calls but memcpy and memset. Whoever uses it does the waiting.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each side has two halves: one puts entries in, one takes entries out. Calls of one half are serialised by the caller (a
 * lock, or one thread); the two halves of a side may run at the same time. The peer is hostile: its indexes are checked
 * against private ones, its entries are copied, then checked. What is impossible answers -INLAY_EPROTO, and from then
 * on the ring is dead: every call of that side says so. The state of a side lies in memory of its own, never in the section.
 * IRQL, all functions: any, as long as the section and the arguments are resident; a caller's spin lock makes it DISPATCH_LEVEL.
 *
 *     puts in:   push, push ..., publish -> true: set the peer's event
 *     takes out: pop until 0; sleep -> true: wait for the event, then wake; false: there is more, pop again
 */
#ifndef INLAY_RING_RING_H
#define INLAY_RING_RING_H

#include "base/status.h"
#include "ring/abi.h"
#include "ring/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What one side knows of one of its two rings. The putting half owns tail, published and seen (the peer's head), the taking
 * half owns head and seen (the peer's tail).
 */
struct inlay_ring_in {
	uint32_t tail;      /* the next to write */
	uint32_t published; /* what the peer was told */
	uint32_t seen;      /* the peer's head, as it was last believed */
};

struct inlay_ring_out {
	uint32_t head; /* the next to take */
	uint32_t seen; /* the peer's tail, as it was last believed */
};

struct inlay_ring_requester {
	struct inlay_ring_geometry geometry;
	uint8_t *section;
	uint32_t dead; /* atomic */
	struct inlay_ring_in sq;
	uint8_t pad[64]; /* the halves on cache lines of their own */
	struct inlay_ring_out cq;
};

struct inlay_ring_responder {
	struct inlay_ring_geometry geometry;
	uint8_t *section;
	uint32_t dead; /* atomic */
	struct inlay_ring_in cq;
	uint32_t answered; /* completions ever pushed; atomic: the taking half reads it */
	uint8_t pad[64];
	struct inlay_ring_out sq;
	uint32_t taken;    /* requests ever popped that have an answer */
};

/*
 * The requester takes over a section that the responder has made, before anything was put in. The section stays mapped until
 * nothing calls any more. section: resident, 64-byte aligned. -INLAY_EPROTO, -INLAY_EVERSION, -INLAY_EINVAL; r is then not usable.
 */
int inlay_ring_requester_open(struct inlay_ring_requester *r, void *section, uint64_t size);

/* Writes a request in; the responder doesn't see it yet. -INLAY_EAGAIN: full, try again after completions came. -INLAY_EPROTO. */
int inlay_ring_requester_push(struct inlay_ring_requester *r, const struct inlay_ring_request *request);
/* Shows what was pushed to the responder. True: it sleeps, and the caller sets the requests event (once). */
bool inlay_ring_requester_publish(struct inlay_ring_requester *r);
/* How many requests can be pushed now; 0 also when the ring is dead. */
uint32_t inlay_ring_requester_room(struct inlay_ring_requester *r);

/*
 * Takes up to max completions out; returns how many. They are copies, and room in the ring is given back at once, but nothing in them
 * has been checked: find the tag (inlay_ring_tags_give), then inlay_ring_completion_check. -INLAY_EPROTO.
 */
int inlay_ring_requester_pop(struct inlay_ring_requester *r, struct inlay_ring_completion *ret, uint32_t max);
/* Says that the taker is about to sleep. True: nothing is there, wait for the completions event. False: don't wait, pop. */
bool inlay_ring_requester_sleep(struct inlay_ring_requester *r);
/* Says that it has stopped sleeping, for whatever reason. Not needed after a sleep that said false. */
void inlay_ring_requester_wake(struct inlay_ring_requester *r);

/* Nothing goes through any more: the responder has broken a rule that only the caller sees. Any thread. */
void inlay_ring_requester_kill(struct inlay_ring_requester *r);
bool inlay_ring_requester_dead(const struct inlay_ring_requester *r);

/*
 * The responder's side of the same. It makes the section: g from inlay_ring_layout, section of at least g->size bytes, whose
 * head it writes. Must be done before the requester is told of it. -INLAY_EINVAL: bad alignment or geometry.
 */
int inlay_ring_responder_open(struct inlay_ring_responder *r, void *section, const struct inlay_ring_geometry *g);

/* Takes up to max requests out; returns how many. Copied and checked (inlay_ring_request_check). -INLAY_EPROTO. */
int inlay_ring_responder_pop(struct inlay_ring_responder *r, struct inlay_ring_request *ret, uint32_t max);
bool inlay_ring_responder_sleep(struct inlay_ring_responder *r);
void inlay_ring_responder_wake(struct inlay_ring_responder *r);

/*
 * Writes the answer to a request that was popped. Once for each, in any order; none for a CANCEL. Room is certain: that there is none
 * (-INLAY_EPROTO) is the requester's fault.
 */
int inlay_ring_responder_push(struct inlay_ring_responder *r, const struct inlay_ring_completion *completion);
bool inlay_ring_responder_publish(struct inlay_ring_responder *r);
void inlay_ring_responder_kill(struct inlay_ring_responder *r);
bool inlay_ring_responder_dead(const struct inlay_ring_responder *r);

/* Where a slot lies: geometry.slot_size bytes that the peer may change at any time: copy, then check. NULL: no such slot. */
uint8_t *inlay_ring_requester_slot(const struct inlay_ring_requester *r, uint32_t slot);
uint8_t *inlay_ring_responder_slot(const struct inlay_ring_responder *r, uint32_t slot);

#endif

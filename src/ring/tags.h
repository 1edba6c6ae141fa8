/*
 * The requester's bookkeeping: which requests are under way (tags), and which slots are free. Serialised by the caller.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A tag is an index and a generation: a tag that was given back is never valid again before its index has been taken 2^32 - 1
 * times more, so that a completion that comes twice, late or from nowhere finds nothing.
 * IRQL, all functions: any, as in ring/ring.h.
 */
#ifndef INLAY_RING_TAGS_H
#define INLAY_RING_TAGS_H

#include "ring/abi.h"

#include <stdint.h>

struct inlay_ring_tag {
	void *owner;         /* NULL: free */
	uint32_t generation; /* of the tag that is or was out; never 0 */
	uint32_t next;       /* free: the next free one */
};

struct inlay_ring_tags {
	struct inlay_ring_tag *tags; /* the caller's */
	uint32_t count;
	uint32_t taken;
	uint32_t free; /* the first free one; count = none */
};

/* room: count elements of the caller, which stay his. count <= the ring's entries keeps the completion ring from overflowing. */
void inlay_ring_tags_init(struct inlay_ring_tags *t, struct inlay_ring_tag *room, uint32_t count);
/* A tag (never 0) for owner (not NULL). 0: all are taken. */
uint64_t inlay_ring_tags_take(struct inlay_ring_tags *t, void *owner);
/* Whose tag this is. NULL: nobody's. Any tag may be asked for. */
void *inlay_ring_tags_find(const struct inlay_ring_tags *t, uint64_t tag);
/* Gives a tag back and says whose it was. NULL: nobody's, and nothing is changed. */
void *inlay_ring_tags_give(struct inlay_ring_tags *t, uint64_t tag);
/* The owner of the first taken tag at or after index *at, and *at moves behind it; NULL at the end. For teardown: start at 0. */
void *inlay_ring_tags_next(const struct inlay_ring_tags *t, uint32_t *at);

struct inlay_ring_slots {
	uint32_t *next; /* the caller's; free: the next free one */
	uint32_t count;
	uint32_t taken;
	uint32_t free;
};

/* room: count elements of the caller, which stay his. */
void inlay_ring_slots_init(struct inlay_ring_slots *s, uint32_t *room, uint32_t count);
/* INLAY_RING_NO_SLOT: all are taken. The one given back last comes first: its memory is the warmest. */
uint32_t inlay_ring_slots_take(struct inlay_ring_slots *s);
/* 0, or -INLAY_EINVAL: it was not taken (a bug of the caller), and nothing is changed. */
int inlay_ring_slots_give(struct inlay_ring_slots *s, uint32_t slot);

#endif

/*
 * Slots of a server's lane: see the picture in slots.h. Replies are small, so each is kept in memory of its own size.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "session/slots.h"

#include "base/limits.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct slot {
	uint64_t last; /* seq begun last, 0 for none */
	uint8_t *reply;
	uint32_t len;
	bool busy;
	bool lost; /* a reply had to be kept, and there was no memory */
};

struct inlay_slots {
	uint32_t count;
	size_t kept; /* bytes of all replies */
	struct slot slot[];
};

struct inlay_slots *inlay_slots_new(uint32_t count)
{
	struct inlay_slots *s = calloc(1, sizeof(*s) + count * sizeof(s->slot[0]));

	if (s)
		s->count = count;
	return s;
}

void inlay_slots_free(struct inlay_slots *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->count; i++)
		free(s->slot[i].reply);
	free(s);
}

uint32_t inlay_slots_count(const struct inlay_slots *s)
{
	return s->count;
}

static void forget_reply(struct inlay_slots *s, struct slot *p)
{
	s->kept -= p->len;
	free(p->reply);
	p->reply = NULL;
	p->len = 0;
	p->lost = false;
}

static enum inlay_slot_verdict begin_again(struct slot *p, const uint8_t **ret_reply, size_t *ret_len)
{
	if (p->busy)
		return INLAY_SLOT_BUSY;
	if (p->lost) /* what it did is done: to do it twice would be worse than to end the session */
		return INLAY_SLOT_BAD;
	if (p->reply) {
		*ret_reply = p->reply;
		*ret_len = p->len;
		return INLAY_SLOT_REPLAY;
	}
	p->busy = true;
	return INLAY_SLOT_NEW;
}

enum inlay_slot_verdict inlay_slots_begin(struct inlay_slots *s, uint32_t slot, uint64_t seq,
                                          const uint8_t **ret_reply, size_t *ret_len)
{
	struct slot *p;

	if (slot >= s->count || seq == 0)
		return INLAY_SLOT_BAD;
	p = &s->slot[slot];
	if (seq == p->last)
		return begin_again(p, ret_reply, ret_len);
	if (seq != p->last + 1 || p->busy)
		return INLAY_SLOT_BAD;
	forget_reply(s, p);
	p->last = seq;
	p->busy = true;
	return INLAY_SLOT_NEW;
}

void inlay_slots_end(struct inlay_slots *s, uint32_t slot, const uint8_t *reply, size_t len)
{
	struct slot *p = &s->slot[slot];

	assert(slot < s->count && p->busy);
	assert(len <= INLAY_REPLY_CACHE_MAX);
	p->busy = false;
	forget_reply(s, p);
	if (!reply)
		return;
	p->reply = malloc(len ? len : 1);
	if (!p->reply) {
		p->lost = true;
		return;
	}
	memcpy(p->reply, reply, len);
	p->len = (uint32_t)len;
	s->kept += len;
}

size_t inlay_slots_memory(const struct inlay_slots *s)
{
	return sizeof(*s) + s->count * sizeof(s->slot[0]) + s->kept;
}

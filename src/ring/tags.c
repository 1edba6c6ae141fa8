/*
 * Tags with generations, and free slots: two lists through arrays, last in, first out.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/tags.h"

#include "base/status.h"

#include <stddef.h>

#define TAKEN 0xffffffffu

void inlay_ring_tags_init(struct inlay_ring_tags *t, struct inlay_ring_tag *room, uint32_t count)
{
	*t = (struct inlay_ring_tags){.tags = room, .count = count};
	for (uint32_t i = 0; i < count; i++)
		room[i] = (struct inlay_ring_tag){.generation = 1, .next = i + 1};
}

uint64_t inlay_ring_tags_take(struct inlay_ring_tags *t, void *owner)
{
	uint32_t i = t->free;
	struct inlay_ring_tag *tag;

	if (i == t->count || !owner)
		return 0;
	tag = &t->tags[i];
	t->free = tag->next;
	t->taken++;
	tag->owner = owner;
	return (uint64_t)tag->generation << 32 | i;
}

static struct inlay_ring_tag *tag_of(const struct inlay_ring_tags *t, uint64_t tag)
{
	uint32_t i = (uint32_t)tag;

	if (i >= t->count || !t->tags[i].owner || t->tags[i].generation != tag >> 32)
		return NULL;
	return &t->tags[i];
}

void *inlay_ring_tags_find(const struct inlay_ring_tags *t, uint64_t tag)
{
	struct inlay_ring_tag *found = tag_of(t, tag);

	return found ? found->owner : NULL;
}

void *inlay_ring_tags_give(struct inlay_ring_tags *t, uint64_t tag)
{
	struct inlay_ring_tag *found = tag_of(t, tag);
	void *owner;

	if (!found)
		return NULL;
	owner = found->owner;
	found->owner = NULL;
	if (++found->generation == 0)
		found->generation = 1; /* a tag is never 0 */
	found->next = t->free;
	t->free = (uint32_t)tag;
	t->taken--;
	return owner;
}

void *inlay_ring_tags_next(const struct inlay_ring_tags *t, uint32_t *at)
{
	while (*at < t->count) {
		void *owner = t->tags[(*at)++].owner;

		if (owner)
			return owner;
	}
	return NULL;
}

void inlay_ring_slots_init(struct inlay_ring_slots *s, uint32_t *room, uint32_t count)
{
	*s = (struct inlay_ring_slots){.next = room, .count = count};
	for (uint32_t i = 0; i < count; i++)
		room[i] = i + 1;
}

uint32_t inlay_ring_slots_take(struct inlay_ring_slots *s)
{
	uint32_t slot = s->free;

	if (slot == s->count)
		return INLAY_RING_NO_SLOT;
	s->free = s->next[slot];
	s->next[slot] = TAKEN;
	s->taken++;
	return slot;
}

int inlay_ring_slots_give(struct inlay_ring_slots *s, uint32_t slot)
{
	if (slot >= s->count || s->next[slot] != TAKEN)
		return -INLAY_EINVAL;
	s->next[slot] = s->free;
	s->free = slot;
	s->taken--;
	return 0;
}

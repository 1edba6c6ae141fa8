/*
 * The ring with a hostile peer on either side. Requester and responder do by steps what they would do; between the steps the
 * input writes anything anywhere into the section, forges entries and moves indexes. Nothing may be touched outside of the section or
 * in the other's part of it, no tag may end twice, no slot may be lost, and what comes through has been checked.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "ring/ring.h"
#include "ring/tags.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 4u
#define SLOTS 3u
#define HISTORY 16u
#define BATCH 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

struct pending {
	struct inlay_ring_request request;
	bool under_way;
};

struct fuzz {
	struct inlay_reader in;
	struct inlay_ring_geometry g;
	uint8_t *section;
	struct inlay_ring_requester q;
	struct inlay_ring_responder p;

	/* the driver's */
	struct inlay_ring_tags tags;
	struct inlay_ring_slots slots;
	struct inlay_ring_tag tag_room[ENTRIES];
	uint32_t slot_room[SLOTS];
	struct pending pending[ENTRIES];
	uint64_t given[HISTORY]; /* tags that were ever out, the last ones */
	uint32_t given_count, under_way, slots_used;
	bool refused; /* the driver has seen something impossible */

	/* the redirector's */
	struct inlay_ring_request taken[ENTRIES];
	uint32_t taken_count;
};

static uint8_t byte(struct fuzz *z)
{
	const uint8_t *p = inlay_read_bytes(&z->in, 1);

	return p ? *p : 0;
}

static uint64_t number(struct fuzz *z)
{
	static const uint64_t nasty[] = {0, 1, SLOTS, ENTRIES, 5, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffc, 1ull << 32, UINT64_MAX, INT64_MAX};
	uint8_t how = byte(z);
	uint64_t value = 0;

	if (how < 128)
		return nasty[how % (sizeof nasty / sizeof nasty[0])];
	for (unsigned i = 0; i < (how & 7u) + 1; i++)
		value = value << 8 | byte(z);
	return value;
}

/* ---- the hostile part: straight into the section ---- */

static void poke(struct fuzz *z, bool near)
{
	uint64_t off = number(z), value = number(z);
	uint64_t end = near ? z->g.slots_off : z->g.size;
	unsigned width = 1u << byte(z) % 4;

	off = off % (end - 8) & ~(uint64_t)(width - 1);
	memcpy(z->section + off, &value, width);
}

/* A word of the head by a little, by much, or to something else. */
static void damage_head(struct fuzz *z)
{
	uint32_t *words = (uint32_t *)(void *)z->section;
	uint32_t *word = &words[byte(z) % (offsetof(struct inlay_ring_head, pad) / sizeof(*words))];
	uint32_t by = byte(z);

	if (by < 32)
		*word = (uint32_t)number(z);
	else
		*word = *word + (by & 1 ? 1u : 0u - 1u) * (1u << by / 2 % 32);
}

/* An index by a little, so that it stays likely. */
static void move_index(struct fuzz *z)
{
	struct inlay_ring_index *indexes = &((struct inlay_ring_head *)(void *)z->section)->sq_tail;
	uint32_t *index = &indexes[byte(z) % 6].value;

	*index = *index + byte(z) - 128u;
}

static uint64_t some_tag(struct fuzz *z)
{
	uint8_t which = byte(z);

	if (which == 0 || !z->given_count)
		return number(z);
	return z->given[which % (z->given_count < HISTORY ? z->given_count : HISTORY)];
}

static void forge_completion(struct fuzz *z)
{
	struct inlay_ring_head *head = (struct inlay_ring_head *)(void *)z->section;
	struct inlay_ring_completion c = {.tag = some_tag(z)};
	uint8_t how = byte(z);

	c.status = how & 1 ? (uint32_t)number(z) : 0;
	c.length = how & 2 ? (uint32_t)number(z) : 0;
	c.file = how & 4 ? number(z) : 0;
	c.verdict = how & 8 ? (uint32_t)number(z) : byte(z) % 5u;
	c.created = how & 16 ? (uint32_t)number(z) : 0;
	c.attr.size = how & 32 ? number(z) : 0;
	c.attr.written = how & 64 ? (int64_t)number(z) : 0;
	memcpy(z->section + z->g.cq_off + head->cq_tail.value % ENTRIES * sizeof c, &c, sizeof c);
	head->cq_tail.value++;
}

static void forge_request(struct fuzz *z)
{
	struct inlay_ring_head *head = (struct inlay_ring_head *)(void *)z->section;
	struct inlay_ring_request q = {.tag = some_tag(z), .kind = byte(z) % 17u, .file = byte(z) % 4u};
	uint8_t how = byte(z);

	q.flags = how & 1 ? (uint32_t)number(z) : 0;
	q.length = how & 2 ? (uint32_t)number(z) : 0;
	q.offset = how & 4 ? number(z) : 0;
	q.slot = how & 8 ? (uint32_t)number(z) : how & 16 ? 0 : INLAY_RING_NO_SLOT;
	q.in.open.disposition = how & 32 ? (uint32_t)number(z) : 0;
	memcpy(z->section + z->g.sq_off + head->sq_tail.value % ENTRIES * sizeof q, &q, sizeof q);
	head->sq_tail.value++;
}

/* ---- the driver ---- */

/* That only `len` bytes at `off` of what lies before the slots may have changed since before was copied. */
static void require_same_but(const struct fuzz *z, const uint8_t *before, uint32_t off, uint32_t len)
{
	require(memcmp(before, z->section, off) == 0);
	require(memcmp(before + off + len, z->section + off + len, z->g.slots_off - off - len) == 0);
}

static void fill(struct fuzz *z, struct inlay_ring_request *q)
{
	static const uint8_t kinds[] = {INLAY_RING_OPEN, INLAY_RING_READ, INLAY_RING_WRITE, INLAY_RING_GETATTR, INLAY_RING_CLOSE,
	                                INLAY_RING_RENAME_BEGIN, INLAY_RING_FLUSH, INLAY_RING_STATFS};

	q->kind = kinds[byte(z) % sizeof kinds];
	q->file = 1;
	q->slot = inlay_ring_slots_take(&z->slots);
	if (q->slot == INLAY_RING_NO_SLOT)
		return;
	z->slots_used++;
	if (q->kind == INLAY_RING_OPEN || q->kind == INLAY_RING_READ || q->kind == INLAY_RING_WRITE)
		q->length = byte(z) * 2u;
	memset(inlay_ring_requester_slot(&z->q, q->slot), 0x5a, q->length + 1u);
}

static void drop(struct fuzz *z, struct pending *p)
{
	require(p->under_way);
	p->under_way = false;
	z->under_way--;
	if (p->request.slot != INLAY_RING_NO_SLOT) {
		require(inlay_ring_slots_give(&z->slots, p->request.slot) == 0);
		z->slots_used--;
	}
}

static void push(struct fuzz *z)
{
	static uint8_t before[8192];
	struct pending *p = NULL;
	int status;

	for (uint32_t i = 0; i < ENTRIES && !p; i++)
		if (!z->pending[i].under_way)
			p = &z->pending[i];
	if (!p)
		return;
	*p = (struct pending){.under_way = true};
	p->request.tag = inlay_ring_tags_take(&z->tags, p);
	require(p->request.tag != 0);
	z->under_way++;
	fill(z, &p->request);
	require(z->g.slots_off <= sizeof before);
	memcpy(before, z->section, z->g.slots_off);
	status = inlay_ring_requester_push(&z->q, &p->request);
	require_same_but(z, before, z->g.sq_off, ENTRIES * (uint32_t)sizeof(p->request));
	if (status == 0) {
		z->given[z->given_count++ % HISTORY] = p->request.tag;
		return;
	}
	require(status == -INLAY_EAGAIN || (status == -INLAY_EPROTO && inlay_ring_requester_dead(&z->q)));
	require(inlay_ring_tags_give(&z->tags, p->request.tag) == p);
	drop(z, p);
}

static void cancel(struct fuzz *z)
{
	struct inlay_ring_request q = {.kind = INLAY_RING_CANCEL, .offset = some_tag(z), .slot = INLAY_RING_NO_SLOT};
	int status = inlay_ring_requester_push(&z->q, &q);

	require(status == 0 || status == -INLAY_EAGAIN || inlay_ring_requester_dead(&z->q));
}

static void require_fit(const struct inlay_ring_request *q, const struct inlay_ring_completion *c)
{
	require(c->tag == q->tag && inlay_ring_status_check(c->status) == c->status);
	require(c->status == 0 || (!c->length && !c->file && !c->verdict && !c->created && !c->attr.size));
	require(c->length <= q->length);
	require(q->kind == INLAY_RING_OPEN || (!c->file && !c->verdict && !c->created));
	require((c->verdict == INLAY_RING_REMOTE) == (c->file != 0));
	require(c->created <= 1 && c->attr.size <= INT64_MAX && c->attr.written >= 0);
}

static void pop_completions(struct fuzz *z)
{
	struct inlay_ring_completion c[BATCH];
	int n = inlay_ring_requester_pop(&z->q, c, 1u + byte(z) % BATCH);

	require(n <= (int)BATCH && (n >= 0 || (n == -INLAY_EPROTO && inlay_ring_requester_dead(&z->q))));
	require(n < 0 || !z->refused);
	for (int i = 0; i < n; i++) {
		struct pending *p = inlay_ring_tags_give(&z->tags, c[i].tag);

		if (!p) {
			z->refused = true;
			continue;
		}
		require(p->under_way && p->request.tag == c[i].tag); /* never twice */
		if (inlay_ring_completion_check(&p->request, &c[i]) == 0)
			require_fit(&p->request, &c[i]);
		else
			z->refused = true;
		drop(z, p);
	}
	if (z->refused)
		inlay_ring_requester_kill(&z->q);
	require(z->tags.taken == z->under_way && z->slots.taken == z->slots_used);
}

/* ---- the redirector ---- */

static void pop_requests(struct fuzz *z)
{
	struct inlay_ring_request q[BATCH];
	int n = inlay_ring_responder_pop(&z->p, q, 1u + byte(z) % BATCH);

	require(n <= (int)BATCH && (n >= 0 || (n == -INLAY_EPROTO && inlay_ring_responder_dead(&z->p))));
	for (int i = 0; i < n; i++) {
		require(inlay_ring_request_check(&z->g, &q[i]) == 0);
		if (q[i].length) {
			uint8_t *slot = inlay_ring_responder_slot(&z->p, q[i].slot);

			require(slot >= z->section + z->g.slots_off && slot + q[i].length <= z->section + z->g.size);
			slot[q[i].length - 1]++;
		}
		if (q[i].kind == INLAY_RING_CANCEL)
			continue;
		require(z->taken_count < ENTRIES); /* or the answers would not fit */
		z->taken[z->taken_count++] = q[i];
	}
}

static void answer(struct fuzz *z)
{
	static uint8_t before[8192];
	uint32_t which = byte(z);
	struct inlay_ring_completion c = {0};
	int status;

	if (!z->taken_count)
		return;
	which %= z->taken_count;
	c.tag = z->taken[which].tag;
	c.verdict = z->taken[which].kind == INLAY_RING_OPEN ? INLAY_RING_REMOTE : 0;
	c.file = c.verdict ? 7 : 0;
	c.length = z->taken[which].length;
	z->taken[which] = z->taken[--z->taken_count];
	require(z->g.slots_off <= sizeof before);
	memcpy(before, z->section, z->g.slots_off);
	status = inlay_ring_responder_push(&z->p, &c);
	require(status == 0 || (status == -INLAY_EPROTO && inlay_ring_responder_dead(&z->p)));
	require_same_but(z, before, z->g.cq_off, ENTRIES * (uint32_t)sizeof c);
}

static void one(struct fuzz *z)
{
	switch (byte(z) % 20) {
	case 0: case 1: case 2: push(z); break;
	case 3: cancel(z); break;
	case 4: case 5: inlay_ring_requester_publish(&z->q); break;
	case 6: case 7: pop_completions(z); break;
	case 8: case 9: pop_requests(z); break;
	case 10: case 11: answer(z); break;
	case 12: inlay_ring_responder_publish(&z->p); break;
	case 13: require(inlay_ring_requester_room(&z->q) <= ENTRIES); break;
	case 14: /* asleep only where nothing is there */
		if (inlay_ring_requester_sleep(&z->q) && byte(z) & 1)
			inlay_ring_requester_wake(&z->q);
		break;
	case 15:
		if (inlay_ring_responder_sleep(&z->p) && byte(z) & 1)
			inlay_ring_responder_wake(&z->p);
		break;
	case 16: poke(z, byte(z) & 7); break;
	case 17: move_index(z); break;
	case 18: forge_completion(z); break;
	default: forge_request(z); break;
	}
}

/* Where the indexes stand at first: near their end, they wrap. */
static void start_at(struct fuzz *z, uint32_t first)
{
	struct inlay_ring_index *indexes = &((struct inlay_ring_head *)(void *)z->section)->sq_tail;

	for (unsigned i = 0; i < 4; i++)
		indexes[i].value = first;
	z->q.sq = z->p.cq = (struct inlay_ring_in){first, first, first};
	z->q.cq = z->p.sq = (struct inlay_ring_out){first, first};
	z->p.answered = z->p.taken = first;
}

/* What is still under way when the ring goes away must be found, once each. */
static void teardown(struct fuzz *z)
{
	struct pending *p;
	uint32_t at = 0, found = 0;

	while ((p = inlay_ring_tags_next(&z->tags, &at))) {
		require(inlay_ring_tags_give(&z->tags, p->request.tag) == p);
		drop(z, p);
		found++;
	}
	require(found <= ENTRIES && z->under_way == 0 && z->tags.taken == 0 && z->slots.taken == 0);
}

/* A head that says something else than was written, and yet was accepted: its areas fit, one behind the other. */
static void require_room(const struct inlay_ring_geometry *g, const struct inlay_ring_geometry *real)
{
	uint64_t sq = g->sq_off, cq = g->cq_off, slots = g->slots_off, entries = g->entries;

	require(g->size <= real->size && entries && (entries & (entries - 1)) == 0 && g->slots);
	require(sq >= sizeof(struct inlay_ring_head) && sq + entries * 128 <= cq && cq + entries * 128 <= slots);
	require(slots + (uint64_t)g->slots * g->slot_size <= g->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;
	uint8_t how;

	z = (struct fuzz){.in = inlay_reader(data, size)};
	how = byte(&z);
	require(inlay_ring_layout(&z.g, ENTRIES, SLOTS, INLAY_RING_SLOT_MIN) == 0);
	z.section = aligned_alloc(4096, z.g.size);
	if (!z.section)
		return 0;
	require(inlay_ring_responder_open(&z.p, z.section, &z.g) == 0);
	memset(z.section + z.g.sq_off, 0, z.g.slots_off - z.g.sq_off);
	for (unsigned i = 0; i < how >> 6; i++)
		damage_head(&z);
	if (inlay_ring_requester_open(&z.q, z.section, z.g.size) == 0 && memcmp(&z.q.geometry, &z.g, sizeof z.g) == 0) {
		inlay_ring_tags_init(&z.tags, z.tag_room, ENTRIES);
		inlay_ring_slots_init(&z.slots, z.slot_room, SLOTS);
		start_at(&z, 0u - (how & 7u));
		while (z.in.p < z.in.end)
			one(&z);
		teardown(&z);
	} else if (z.q.section) {
		require_room(&z.q.geometry, &z.g);
	}
	free(z.section);
	return 0;
}

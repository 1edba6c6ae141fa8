/*
 * The ring's algorithm. Both sides are the same machine: a half that puts in (struct inlay_ring_in) and a half that takes out
 * (struct inlay_ring_out), on different indexes of the head.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/ring.h"

#include "ring/atomic.h"

#include <string.h>

#define ENTRY 128u
#define WORDS (ENTRY / sizeof(uint64_t))

_Static_assert(sizeof(struct inlay_ring_request) == ENTRY && sizeof(struct inlay_ring_completion) == ENTRY, "one size");

/* The indexes of a ring, and the flag of the side that takes out. */
struct wires {
	uint32_t *tail, *head, *asleep;
};

static struct wires sq_wires(uint8_t *section)
{
	struct inlay_ring_head *h = (struct inlay_ring_head *)(void *)section;

	return (struct wires){&h->sq_tail.value, &h->sq_head.value, &h->redirector_asleep.value};
}

static struct wires cq_wires(uint8_t *section)
{
	struct inlay_ring_head *h = (struct inlay_ring_head *)(void *)section;

	return (struct wires){&h->cq_tail.value, &h->cq_head.value, &h->driver_asleep.value};
}

static int die(uint32_t *dead)
{
	inlay_ring_store(dead, 1);
	return -INLAY_EPROTO;
}

typedef uint64_t __attribute__((may_alias)) word;

/* Reads an entry once and for all: with a plain memcpy a compiler may look at the peer's memory again after the check. */
static void entry_read(void *to, const uint8_t *from)
{
	const volatile word *shared = (const volatile word *)(const void *)from;
	uint64_t words[WORDS];

	for (unsigned i = 0; i < WORDS; i++)
		words[i] = shared[i];
	memcpy(to, words, sizeof(words));
}

/* By words as well: what a compiler makes of a memcpy of this size, a sanitizer may not see. */
static void entry_write(uint8_t *to, const void *from)
{
	volatile word *shared = (volatile word *)(void *)to;
	uint64_t words[WORDS];

	memcpy(words, from, sizeof(words));
	for (unsigned i = 0; i < WORDS; i++)
		shared[i] = words[i];
}

/* Looks at how far the peer has taken entries out. It can't have taken what it was never shown, nor put anything back. */
static int in_look(struct inlay_ring_in *in, const struct wires *w, uint32_t *dead)
{
	uint32_t head = inlay_ring_load(w->head);

	if (head - in->seen > in->published - in->seen)
		return die(dead);
	in->seen = head;
	return 0;
}

static int in_push(struct inlay_ring_in *in, const struct wires *w, uint32_t *dead, uint8_t *area, uint32_t entries,
                   const void *entry)
{
	if (inlay_ring_load(dead))
		return -INLAY_EPROTO;
	if (in->tail - in->seen >= entries && in_look(in, w, dead) < 0)
		return -INLAY_EPROTO;
	if (in->tail - in->seen >= entries)
		return -INLAY_EAGAIN;
	entry_write(area + (size_t)(in->tail & (entries - 1)) * ENTRY, entry);
	in->tail++;
	return 0;
}

/*
 * Show first, then look whether the peer sleeps; out_sleep does it the other way round. All four are sequentially consistent, so that
 * one of the two sees the other. The flag is swapped so that one sleep is ended by one signal, however many are published.
 */
static bool in_publish(struct inlay_ring_in *in, const struct wires *w, const uint32_t *dead)
{
	if (in->tail == in->published || inlay_ring_load(dead))
		return false;
	in->published = in->tail;
	inlay_ring_store_sc(w->tail, in->tail);
	return inlay_ring_load_sc(w->asleep) && inlay_ring_swap_sc(w->asleep, 0);
}

/* How many entries are there to be taken. The peer can't have put in more than fit, nor taken anything back. */
static int out_look(struct inlay_ring_out *out, const struct wires *w, uint32_t *dead, uint32_t entries, uint32_t *ret)
{
	uint32_t tail;

	if (inlay_ring_load(dead))
		return -INLAY_EPROTO;
	tail = inlay_ring_load(w->tail);
	if (tail - out->head > entries || tail - out->head < out->seen - out->head)
		return die(dead);
	out->seen = tail;
	*ret = tail - out->head;
	return 0;
}

static bool out_sleep(const struct inlay_ring_out *out, const struct wires *w, const uint32_t *dead)
{
	if (inlay_ring_load(dead))
		return false;
	inlay_ring_store_sc(w->asleep, 1);
	if (inlay_ring_load_sc(w->tail) == out->head)
		return true;
	inlay_ring_store(w->asleep, 0);
	return false;
}

static uint8_t *slot_at(const struct inlay_ring_geometry *g, uint8_t *section, uint32_t slot)
{
	return slot < g->slots ? section + g->slots_off + (size_t)slot * g->slot_size : NULL;
}

static bool aligned(const void *section)
{
	return section && ((uintptr_t)section & 63) == 0;
}

int inlay_ring_requester_open(struct inlay_ring_requester *r, void *section, uint64_t size)
{
	struct inlay_ring_geometry g;
	struct wires sq, cq;
	int status;

	if (!aligned(section))
		return -INLAY_EINVAL;
	status = inlay_ring_geometry_read(&g, section, size);
	if (status < 0)
		return status;
	sq = sq_wires(section);
	cq = cq_wires(section);
	if (inlay_ring_load(sq.tail) || inlay_ring_load(sq.head) || inlay_ring_load(cq.tail) || inlay_ring_load(cq.head))
		return -INLAY_EPROTO; /* used before */
	memset(r, 0, sizeof(*r));
	r->geometry = g;
	r->section = section;
	return 0;
}

int inlay_ring_requester_push(struct inlay_ring_requester *r, const struct inlay_ring_request *request)
{
	struct wires w = sq_wires(r->section);

	return in_push(&r->sq, &w, &r->dead, r->section + r->geometry.sq_off, r->geometry.entries, request);
}

bool inlay_ring_requester_publish(struct inlay_ring_requester *r)
{
	struct wires w = sq_wires(r->section);

	return in_publish(&r->sq, &w, &r->dead);
}

uint32_t inlay_ring_requester_room(struct inlay_ring_requester *r)
{
	struct wires w = sq_wires(r->section);

	if (inlay_ring_load(&r->dead) || in_look(&r->sq, &w, &r->dead) < 0)
		return 0;
	return r->geometry.entries - (r->sq.tail - r->sq.seen);
}

int inlay_ring_requester_pop(struct inlay_ring_requester *r, struct inlay_ring_completion *ret, uint32_t max)
{
	const uint8_t *area = r->section + r->geometry.cq_off;
	struct wires w = cq_wires(r->section);
	uint32_t count;

	if (out_look(&r->cq, &w, &r->dead, r->geometry.entries, &count) < 0)
		return -INLAY_EPROTO;
	if (count > max)
		count = max;
	for (uint32_t i = 0; i < count; i++)
		entry_read(&ret[i], area + (size_t)((r->cq.head + i) & (r->geometry.entries - 1)) * ENTRY);
	if (!count)
		return 0;
	r->cq.head += count;
	inlay_ring_store(w.head, r->cq.head);
	return (int)count;
}

bool inlay_ring_requester_sleep(struct inlay_ring_requester *r)
{
	struct wires w = cq_wires(r->section);

	return out_sleep(&r->cq, &w, &r->dead);
}

void inlay_ring_requester_wake(struct inlay_ring_requester *r)
{
	inlay_ring_store(cq_wires(r->section).asleep, 0);
}

void inlay_ring_requester_kill(struct inlay_ring_requester *r)
{
	die(&r->dead);
}

bool inlay_ring_requester_dead(const struct inlay_ring_requester *r)
{
	return inlay_ring_load(&r->dead);
}

uint8_t *inlay_ring_requester_slot(const struct inlay_ring_requester *r, uint32_t slot)
{
	return slot_at(&r->geometry, r->section, slot);
}

int inlay_ring_responder_open(struct inlay_ring_responder *r, void *section, const struct inlay_ring_geometry *g)
{
	struct inlay_ring_head *head = section;

	if (!aligned(section) || inlay_ring_geometry_check(g, g->size) < 0)
		return -INLAY_EINVAL;
	memset(r, 0, sizeof(*r));
	r->geometry = *g;
	r->section = section;
	memset(head, 0, sizeof(*head));
	head->magic = INLAY_RING_MAGIC;
	head->version = INLAY_RING_VERSION;
	head->entries = g->entries;
	head->slots = g->slots;
	head->slot_size = g->slot_size;
	head->sq_off = g->sq_off;
	head->cq_off = g->cq_off;
	head->slots_off = g->slots_off;
	head->size = g->size;
	return 0;
}

/* The requester may have no more than `entries` requests without an answer, or the completion ring would not hold the answers. */
static int take_in(struct inlay_ring_responder *r, const struct inlay_ring_request *q)
{
	if (inlay_ring_request_check(&r->geometry, q) < 0)
		return -INLAY_EPROTO;
	if (q->kind == INLAY_RING_CANCEL)
		return 0;
	if (r->taken - inlay_ring_load(&r->answered) >= r->geometry.entries)
		return -INLAY_EPROTO;
	r->taken++;
	return 0;
}

int inlay_ring_responder_pop(struct inlay_ring_responder *r, struct inlay_ring_request *ret, uint32_t max)
{
	const uint8_t *area = r->section + r->geometry.sq_off;
	struct wires w = sq_wires(r->section);
	uint32_t count;

	if (out_look(&r->sq, &w, &r->dead, r->geometry.entries, &count) < 0)
		return -INLAY_EPROTO;
	if (count > max)
		count = max;
	for (uint32_t i = 0; i < count; i++) {
		entry_read(&ret[i], area + (size_t)((r->sq.head + i) & (r->geometry.entries - 1)) * ENTRY);
		if (take_in(r, &ret[i]) < 0)
			return die(&r->dead);
	}
	if (!count)
		return 0;
	r->sq.head += count;
	inlay_ring_store(w.head, r->sq.head);
	return (int)count;
}

bool inlay_ring_responder_sleep(struct inlay_ring_responder *r)
{
	struct wires w = sq_wires(r->section);

	return out_sleep(&r->sq, &w, &r->dead);
}

void inlay_ring_responder_wake(struct inlay_ring_responder *r)
{
	inlay_ring_store(sq_wires(r->section).asleep, 0);
}

int inlay_ring_responder_push(struct inlay_ring_responder *r, const struct inlay_ring_completion *completion)
{
	struct wires w = cq_wires(r->section);
	int status = in_push(&r->cq, &w, &r->dead, r->section + r->geometry.cq_off, r->geometry.entries, completion);

	if (status == -INLAY_EAGAIN)
		return die(&r->dead);
	if (status == 0) /* before it is published: whoever sees the completion may put in another request at once */
		inlay_ring_store(&r->answered, r->answered + 1);
	return status;
}

bool inlay_ring_responder_publish(struct inlay_ring_responder *r)
{
	struct wires w = cq_wires(r->section);

	return in_publish(&r->cq, &w, &r->dead);
}

void inlay_ring_responder_kill(struct inlay_ring_responder *r)
{
	die(&r->dead);
}

bool inlay_ring_responder_dead(const struct inlay_ring_responder *r)
{
	return inlay_ring_load(&r->dead);
}

uint8_t *inlay_ring_responder_slot(const struct inlay_ring_responder *r, uint32_t slot)
{
	return slot_at(&r->geometry, r->section, slot);
}

/*
 * Sleeping and waking, model-checked: the ring's own code runs on a model of a machine with store buffers (that of x86), and every
 * interleaving of a side that puts in with a side that takes out is tried. Nobody may sleep for ever, nor be signalled more often
 * than it slept. Each way to get it wrong that is tried here must be found.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A thread is a function of what its atomic operations gave: it is run from its start with those results, up to the operation that
 * has none yet, which is its next step. So states can be compared, and each is visited once.
 */
#define INLAY_RING_ATOMIC_H /* the operations below instead */

#include "support.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum op { LOAD, STORE, STORE_SC, SWAP_SC, SIGNAL, WAIT, DONE };

static uint32_t step(enum op op, const uint32_t *p, uint32_t value);

static uint32_t inlay_ring_load(const uint32_t *p)
{
	return step(LOAD, p, 0);
}

static void inlay_ring_store(uint32_t *p, uint32_t value)
{
	step(STORE, p, value);
}

static uint32_t inlay_ring_load_sc(const uint32_t *p)
{
	return step(LOAD, p, 0); /* on x86 a load is a load: the store before it is what differs */
}

static void inlay_ring_store_sc(uint32_t *p, uint32_t value)
{
	step(STORE_SC, p, value);
}

static uint32_t inlay_ring_swap_sc(uint32_t *p, uint32_t value)
{
	return step(SWAP_SC, p, value);
}

#include "ring/ring.c"

#define CELLS 6u
#define STEPS_MAX 128u
#define BUFFER_MAX 8u
#define ENTRIES 8u

enum flaw { NONE, WEAK_PUBLISH, WEAK_SLEEP, NO_RECHECK, LOOK_BEFORE_SHOW, NO_SWAP, ALWAYS_SIGNAL, FLAWS };

/* All that a state is; compared as bytes. */
struct state {
	uint8_t cells[CELLS];
	uint8_t event, signals, sleeps, timeouts;
	struct {
		uint8_t buffered, steps;
		uint8_t cell[BUFFER_MAX], value[BUFFER_MAX]; /* the store buffer, oldest first */
		uint8_t results[STEPS_MAX];
	} threads[2];
};

struct pending {
	enum op op;
	uint32_t cell, value;
};

static struct {
	enum flaw flaw;
	bool completions; /* the responder puts in, the requester takes out */
	unsigned count;   /* entries to put in */
	unsigned at, thread;
	const struct state *state;
	struct pending pending;
	jmp_buf back;
	struct inlay_ring_requester requester; /* as they were opened */
	struct inlay_ring_responder responder;
	uint8_t *section;
} run;

static struct {
	struct state *states; /* those to go on from */
	size_t count, room;
	struct state *seen;   /* a hash table */
	uint8_t *used;
	size_t seen_count, seen_room;
	bool stuck, oversignalled;
} search;

static uint32_t step(enum op op, const uint32_t *p, uint32_t value)
{
	uintptr_t off = (uintptr_t)p - (uintptr_t)run.section;

	if (p && off >= sizeof(struct inlay_ring_head)) { /* the side's own memory */
		if (op == STORE)
			*(uint32_t *)(uintptr_t)p = value;
		return *p;
	}
	if (run.at < run.state->threads[run.thread].steps)
		return run.state->threads[run.thread].results[run.at++];
	run.pending = (struct pending){op, p ? (uint32_t)(off / 64 - 1) : 0, value};
	longjmp(run.back, 1);
}

static uint32_t *index_of(uint32_t cell)
{
	return (uint32_t *)(void *)(run.section + 64 + (size_t)cell * 64);
}

enum { SQ_TAIL, SQ_HEAD, CQ_TAIL, CQ_HEAD, REDIRECTOR_ASLEEP, DRIVER_ASLEEP };

/* Wrong ways to publish. */
static bool publish_wrongly(void)
{
	uint32_t *tail = index_of(run.completions ? CQ_TAIL : SQ_TAIL);
	uint32_t *asleep = index_of(run.completions ? DRIVER_ASLEEP : REDIRECTOR_ASLEEP);
	struct inlay_ring_in *in = run.completions ? &run.responder.cq : &run.requester.sq;
	bool sleeps;

	if (run.flaw == LOOK_BEFORE_SHOW) {
		sleeps = inlay_ring_load_sc(asleep) && inlay_ring_swap_sc(asleep, 0);
		inlay_ring_store_sc(tail, in->tail);
		return sleeps;
	}
	inlay_ring_store_sc(tail, in->tail);
	return run.flaw == ALWAYS_SIGNAL || inlay_ring_load_sc(asleep);
}

static bool publish(void)
{
	if (run.flaw == LOOK_BEFORE_SHOW || run.flaw == NO_SWAP || run.flaw == ALWAYS_SIGNAL)
		return publish_wrongly();
	return run.completions ? inlay_ring_responder_publish(&run.responder) : inlay_ring_requester_publish(&run.requester);
}

static void put_in(void)
{
	static const struct inlay_ring_completion c = {.tag = 1};
	static const struct inlay_ring_request q = {
		.tag = 1, .kind = INLAY_RING_FLUSH, .file = 1, .slot = INLAY_RING_NO_SLOT};

	for (unsigned i = 0; i < run.count; i++) {
		if ((run.completions ? inlay_ring_responder_push(&run.responder, &c)
		                     : inlay_ring_requester_push(&run.requester, &q)) < 0)
			abort();
		if (publish())
			step(SIGNAL, NULL, 0);
	}
}

static int pop(void)
{
	struct inlay_ring_completion c[ENTRIES];
	struct inlay_ring_request q[ENTRIES];

	return run.completions ? inlay_ring_requester_pop(&run.requester, c, ENTRIES)
	                       : inlay_ring_responder_pop(&run.responder, q, ENTRIES);
}

static bool fall_asleep(void)
{
	if (run.flaw == NO_RECHECK) {
		inlay_ring_store_sc(index_of(run.completions ? DRIVER_ASLEEP : REDIRECTOR_ASLEEP), 1);
		return true;
	}
	return run.completions ? inlay_ring_requester_sleep(&run.requester) : inlay_ring_responder_sleep(&run.responder);
}

static void take_out(void)
{
	for (unsigned total = 0; total < run.count;) {
		int n = pop();

		if (n < 0)
			abort();
		total += (unsigned)n;
		if (n || !fall_asleep())
			continue;
		step(WAIT, NULL, 0);
		if (run.completions)
			inlay_ring_requester_wake(&run.requester);
		else
			inlay_ring_responder_wake(&run.responder);
	}
}

/* What the thread does next in this state. */
static struct pending next_of(const struct state *s, unsigned thread)
{
	struct inlay_ring_requester q = run.requester;
	struct inlay_ring_responder p = run.responder;

	run.state = s;
	run.thread = thread;
	run.at = 0;
	run.pending.op = DONE;
	if (setjmp(run.back) == 0) {
		if (thread == 0)
			put_in();
		else
			take_out();
	}
	run.requester = q;
	run.responder = p;
	return run.pending;
}

static void remember(const struct state *s);

static void grow(void)
{
	struct state *old = search.seen;
	uint8_t *used = search.used;
	size_t room = search.seen_room;

	search.seen_room = room ? room * 2 : 1024;
	search.seen = calloc(search.seen_room, sizeof(*search.seen));
	search.used = calloc(search.seen_room, 1);
	if (!search.seen || !search.used)
		abort();
	search.seen_count = 0;
	for (size_t i = 0; i < room; i++)
		if (used[i])
			remember(&old[i]);
	free(old);
	free(used);
}

static bool known(const struct state *s, size_t *at)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < sizeof(*s); i++)
		hash = (hash ^ ((const uint8_t *)s)[i]) * 1099511628211u;
	for (*at = hash & (search.seen_room - 1); search.used[*at]; *at = (*at + 1) & (search.seen_room - 1))
		if (memcmp(&search.seen[*at], s, sizeof(*s)) == 0)
			return true;
	return false;
}

static void remember(const struct state *s)
{
	size_t at;

	if (known(s, &at))
		return;
	search.seen[at] = *s;
	search.used[at] = 1;
	search.seen_count++;
}

static void go_on_from(const struct state *s)
{
	size_t at;

	if (search.seen_count * 2 >= search.seen_room)
		grow();
	if (known(s, &at))
		return;
	remember(s);
	if (search.count == search.room) {
		search.room = search.room ? search.room * 2 : 256;
		search.states = realloc(search.states, search.room * sizeof(*search.states));
		if (!search.states)
			abort();
	}
	search.states[search.count++] = *s;
}

static void drain_one(struct state *s, unsigned thread)
{
	uint8_t *cell = s->threads[thread].cell, *value = s->threads[thread].value;
	unsigned left = --s->threads[thread].buffered;

	s->cells[cell[0]] = value[0];
	memmove(cell, cell + 1, left);
	memmove(value, value + 1, left);
	cell[left] = value[left] = 0;
}

static uint8_t loaded(const struct state *s, unsigned thread, uint32_t cell)
{
	for (unsigned i = s->threads[thread].buffered; i--;)
		if (s->threads[thread].cell[i] == cell)
			return s->threads[thread].value[i];
	return s->cells[cell];
}

static void buffer(struct state *s, unsigned thread, const struct pending *p)
{
	unsigned at = s->threads[thread].buffered++;

	assert_true(at < BUFFER_MAX);
	s->threads[thread].cell[at] = (uint8_t)p->cell;
	s->threads[thread].value[at] = (uint8_t)p->value;
}

static bool weak(unsigned thread)
{
	return run.flaw == (thread == 0 ? WEAK_PUBLISH : WEAK_SLEEP);
}

/* Does the step. False: it can't be done now. */
static bool take_step(struct state *s, unsigned thread, const struct pending *p)
{
	uint8_t result = 0;

	if (p->op == STORE || (p->op == STORE_SC && weak(thread))) {
		buffer(s, thread, p);
	} else if (p->op == LOAD) {
		result = loaded(s, thread, p->cell);
	} else if (s->threads[thread].buffered) {
		return false; /* a barrier: the buffer drains first */
	} else if (p->op == STORE_SC || p->op == SWAP_SC) {
		result = s->cells[p->cell];
		s->cells[p->cell] = (uint8_t)p->value;
	} else if (p->op == SIGNAL) {
		s->event = 1;
		s->signals++;
	} else if (s->event) {
		s->event = 0;
	} else if (s->timeouts) {
		s->timeouts--; /* woken by something else */
	} else {
		return false;
	}
	if ((p->op == STORE_SC) && p->cell >= REDIRECTOR_ASLEEP && p->value)
		s->sleeps++;
	assert_true(s->threads[thread].steps < STEPS_MAX);
	s->threads[thread].results[s->threads[thread].steps++] = result;
	return true;
}

static void try_all(const struct state *s)
{
	bool moved = false, done = true;

	for (unsigned thread = 0; thread < 2; thread++) {
		struct pending p = next_of(s, thread);
		struct state next = *s;

		done = done && p.op == DONE;
		if (p.op != DONE && take_step(&next, thread, &p)) {
			moved = true;
			go_on_from(&next);
		}
		if (s->threads[thread].buffered) {
			next = *s;
			drain_one(&next, thread);
			moved = true;
			go_on_from(&next);
		}
	}
	if (s->signals > s->sleeps)
		search.oversignalled = true;
	if (!moved && !done)
		search.stuck = true; /* asleep, and nobody will come */
}

/* Visits every state; returns how many there are. */
static size_t explore(enum flaw flaw, bool completions, unsigned count, uint8_t timeouts)
{
	struct state first = {.timeouts = timeouts};
	struct inlay_ring_geometry g;
	size_t found;

	assert_int_equal(inlay_ring_layout(&g, ENTRIES, 1, INLAY_RING_SLOT_MIN), 0);
	memset(&run, 0, sizeof(run));
	memset(&search, 0, sizeof(search));
	run.section = aligned_alloc(4096, g.size);
	assert_non_null(run.section);
	assert_int_equal(inlay_ring_responder_open(&run.responder, run.section, &g), 0);
	run.requester.geometry = g; /* opening it would be steps of the model */
	run.requester.section = run.section;
	run.flaw = flaw;
	run.completions = completions;
	run.count = count;
	go_on_from(&first);
	while (search.count) {
		struct state s = search.states[--search.count];

		try_all(&s);
	}
	found = search.seen_count;
	free(search.states);
	free(search.seen);
	free(search.used);
	free(run.section);
	return found;
}

static void nobody_sleeps_for_ever(void **state)
{
	(void)state;
	for (unsigned completions = 0; completions < 2; completions++)
		for (unsigned count = 1; count <= 3; count++)
			for (uint8_t timeouts = 0; timeouts < 2; timeouts++) {
				size_t found = explore(NONE, completions, count, timeouts);

				assert_true(found > 20 * count); /* it did explore */
				assert_false(search.stuck);
				assert_false(search.oversignalled);
			}
}

static void every_flaw_is_found(void **state)
{
	static const struct {
		enum flaw flaw;
		bool stuck, oversignalled;
	} flaws[] = {{WEAK_PUBLISH, true, false},     {WEAK_SLEEP, true, false}, {NO_RECHECK, true, false},
	             {LOOK_BEFORE_SHOW, true, false}, {NO_SWAP, false, true},    {ALWAYS_SIGNAL, false, true}};

	(void)state;
	assert_int_equal(sizeof(flaws) / sizeof(flaws[0]), FLAWS - 1);
	for (unsigned completions = 0; completions < 2; completions++)
		for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
			explore(flaws[i].flaw, completions, 2, 0);
			assert_int_equal(search.stuck, flaws[i].stuck);
			assert_int_equal(search.oversignalled, flaws[i].oversignalled);
		}
}

RUN_TESTS(cmocka_unit_test(nobody_sleeps_for_ever), cmocka_unit_test(every_flaw_is_found))

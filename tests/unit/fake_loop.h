/*
 * Event loops without threads: tasks, hooks and timers run when a test says so, in turn or shuffled by a seed.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for src/net's loop in a program that includes it.
 */
#ifndef INLAY_TESTS_FAKE_LOOP_H
#define INLAY_TESTS_FAKE_LOOP_H

#include "support.h"

#include "net/loop.h"

#include <stdlib.h>
#include <string.h>

#define LOOPS_MAX 4u

struct inlay_loop {
	struct inlay_list posted, offloaded, hooks;
	int busy;
};

static struct inlay_loop loops[LOOPS_MAX];
static uint64_t loop_time;
static struct inlay_timer *timers[512]; /* NULL: a free place */
static uint64_t shuffle; /* 0: in turn */
static struct inlay_loop *current_loop;

uint64_t inlay_loop_now(const struct inlay_loop *l)
{
	(void)l;
	return loop_time;
}

void inlay_loop_post(struct inlay_loop *l, struct inlay_task *t)
{
	inlay_list_init(&t->link);
	inlay_list_append(&l->posted, &t->link);
}

void inlay_loop_offload(struct inlay_loop *l, struct inlay_task *t)
{
	t->loop = l;
	inlay_list_init(&t->link);
	inlay_list_append(&l->offloaded, &t->link);
}

bool inlay_loop_run(struct inlay_loop *l, struct inlay_task *t)
{
	(void)l, (void)t;
	abort();
}

void inlay_loop_busy(struct inlay_loop *l, int change)
{
	l->busy += change;
	assert_true(l->busy >= 0);
}

struct inlay_loop *inlay_loop_current(void)
{
	return current_loop;
}

void inlay_timer_init(struct inlay_timer *t, void (*fire)(struct inlay_timer *t))
{
	memset(t, 0, sizeof *t);
	t->fire = fire;
}

void inlay_timer_stop(struct inlay_timer *t)
{
	for (unsigned i = 0; i < sizeof timers / sizeof *timers; i++)
		if (timers[i] == t)
			timers[i] = NULL;
	t->loop = NULL;
}

void inlay_timer_start(struct inlay_loop *l, struct inlay_timer *t, uint64_t due_ns)
{
	unsigned i = 0;

	inlay_timer_stop(t);
	t->loop = l;
	t->due_ns = due_ns;
	while (timers[i])
		i++;
	timers[i] = t;
}

void inlay_hook_add(struct inlay_loop *l, struct inlay_hook *h)
{
	inlay_list_init(&h->link);
	inlay_list_append(&l->hooks, &h->link);
}

void inlay_hook_remove(struct inlay_hook *h)
{
	inlay_list_remove(&h->link);
}

/* Descriptors and crews: nobody has any here. The linker takes all of these functions together, or the real loop. */
#define FAKE_LOOP_UNUSED(type, name, ...) \
	type name(__VA_ARGS__); \
	type name(__VA_ARGS__) \
	{ \
		abort(); \
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wredundant-decls"
FAKE_LOOP_UNUSED(int, inlay_loop_add, struct inlay_loop *l, struct inlay_source *s, uint32_t events)
FAKE_LOOP_UNUSED(int, inlay_loop_change, struct inlay_source *s, uint32_t events)
FAKE_LOOP_UNUSED(void, inlay_loop_remove, struct inlay_source *s)
FAKE_LOOP_UNUSED(void, inlay_loop_again, struct inlay_source *s)
FAKE_LOOP_UNUSED(void, inlay_loop_not_again, struct inlay_source *s)
FAKE_LOOP_UNUSED(struct inlay_loop *, inlay_crew_loop, struct inlay_crew *c, unsigned i)
FAKE_LOOP_UNUSED(unsigned, inlay_crew_loops, const struct inlay_crew *c)
#pragma GCC diagnostic pop

static inline uint64_t shuffle_next(void)
{
	shuffle ^= shuffle << 13;
	shuffle ^= shuffle >> 7;
	shuffle ^= shuffle << 17;
	return shuffle;
}

/* The head, or with a seed any of the list; NULL when empty. */
static inline struct inlay_list *pick(struct inlay_list *list)
{
	unsigned count = 0, n;
	struct inlay_list *it = list->next;

	if (!shuffle || inlay_list_empty(list))
		return inlay_list_pop(list);
	for (struct inlay_list *i = list->next; i != list; i = i->next)
		count++;
	for (n = (unsigned)(shuffle_next() % count); n; n--)
		it = it->next;
	inlay_list_remove(it);
	return it;
}

static inline bool run_tasks(struct inlay_loop *l)
{
	struct inlay_list *it;
	struct inlay_task *t;
	bool any = false;

	current_loop = l;
	it = inlay_list_pop(&l->posted); /* in their order: a loop keeps it */
	if (it) {
		t = inlay_container(it, struct inlay_task, link);
		t->done(t);
		any = true;
	}
	it = shuffle && shuffle_next() % 3 == 0 ? NULL : pick(&l->offloaded);
	if (it) {
		t = inlay_container(it, struct inlay_task, link);
		t->work(t);
		if (shuffle)
			inlay_loop_post(l, t);
		else
			t->done(t);
		any = true;
	}
	return any || !inlay_list_empty(&l->offloaded);
}

static inline bool run_hooks(struct inlay_loop *l)
{
	struct inlay_list now, *it;
	bool any = false;

	inlay_list_init(&now);
	while ((it = inlay_list_pop(&l->hooks)))
		inlay_list_append(&now, it);
	while (!inlay_list_empty(&now)) {
		struct inlay_hook *h = inlay_container(now.next, struct inlay_hook, link);

		h->run(h);
		any = true;
	}
	return any;
}

static inline bool run_timers(void)
{
	bool any = false;

	for (unsigned i = 0; i < sizeof timers / sizeof *timers; i++) {
		struct inlay_timer *t = timers[i];

		if (!t || t->due_ns > loop_time)
			continue;
		inlay_timer_stop(t);
		t->fire(t);
		any = true;
	}
	return any;
}

#endif

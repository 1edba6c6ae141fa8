/*
 * Timers of a loop: a pairing heap threaded through the timers themselves.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/crew.h"

#include <stddef.h>

/* prev is the left sibling, or the parent of a first child; the root has neither siblings nor prev. */
static struct inlay_timer *meld(struct inlay_timer *a, struct inlay_timer *b)
{
	struct inlay_timer *top, *sub;

	if (!a || !b)
		return a ? a : b;
	top = b->due_ns < a->due_ns ? b : a;
	sub = top == a ? b : a;
	sub->prev = top;
	sub->next = top->child;
	if (top->child)
		top->child->prev = sub;
	top->child = sub;
	top->next = top->prev = NULL;
	return top;
}

/* Siblings to one heap: pairs from the left, then all pairs from the right; iterative, as lists can be long. */
static struct inlay_timer *meld_siblings(struct inlay_timer *first)
{
	struct inlay_timer *pairs = NULL, *all = NULL;

	while (first) {
		struct inlay_timer *a = first, *b = a->next;

		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct inlay_timer *a = pairs;

		pairs = a->next;
		a->next = NULL;
		all = meld(all, a);
	}
	return all;
}

void inlay_timer_init(struct inlay_timer *t, void (*fire)(struct inlay_timer *t))
{
	*t = (struct inlay_timer){.fire = fire};
}

void inlay_timer_stop(struct inlay_timer *t)
{
	struct inlay_loop *l = t->loop;
	struct inlay_timer *rest;

	if (!l)
		return;
	rest = meld_siblings(t->child);
	if (l->timers == t) {
		l->timers = rest;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		l->timers = meld(l->timers, rest);
	}
	t->child = t->next = t->prev = NULL;
	t->loop = NULL;
}

void inlay_timer_start(struct inlay_loop *l, struct inlay_timer *t, uint64_t due_ns)
{
	inlay_timer_stop(t);
	t->due_ns = due_ns;
	t->loop = l;
	l->timers = meld(l->timers, t);
}

uint64_t inlay_timers_next(const struct inlay_loop *l)
{
	if (!l->timers)
		return 0;
	return l->timers->due_ns ? l->timers->due_ns : 1;
}

bool inlay_timers_fire(struct inlay_loop *l)
{
	struct inlay_timer *t;
	unsigned budget = 1024; /* one that starts itself again for now must not keep the loop here for ever */

	while ((t = l->timers) && t->due_ns <= l->now_ns && budget--) {
		inlay_timer_stop(t);
		t->fire(t);
		if (inlay_loop_current() != l)
			return false;
	}
	return true;
}

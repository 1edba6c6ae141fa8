/*
 * Calls that may block, and how many of them each place and session may have made at a time: a store that hangs, or a client that asks
 * for nothing but slow things, must not take all threads. What is too much waits in a queue of its session's own.
 *
 * The rule is that of descriptors, see origins.c: a place may have so many times what is left of all, a session with few of them a
 * little more. Sooner or later each end of a call begins another one.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/internal.h"

void caller_init(struct caller *c, struct origin *o)
{
	*c = (struct caller){.origin = o};
	inlay_list_init(&c->queue);
	inlay_list_init(&c->link);
}

static bool is_counted(const struct inlay_server *s, const struct caller *c)
{
	return c->origin && s->calls_max;
}

static void count(struct inlay_server *s, struct caller *c, int change)
{
	__atomic_fetch_add(&s->calls, (uint32_t)change, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&c->origin->calls, (uint32_t)change, __ATOMIC_RELAXED);
	__atomic_fetch_add(&c->calls, (uint32_t)change, __ATOMIC_RELAXED);
}

/* It is counted already: whether it should be. */
static bool fits(const struct inlay_server *s, const struct caller *c)
{
	uint32_t own = __atomic_load_n(&c->calls, __ATOMIC_RELAXED), all = __atomic_load_n(&s->calls, __ATOMIC_SEQ_CST) - 1;
	uint32_t left = s->calls_max > all ? s->calls_max - all : 0;
	uint64_t share = INLAY_CALLS_SHARE + INLAY_CALLS_SMALL / (own ? own : 1);

	if (__atomic_load_n(&s->draining, __ATOMIC_RELAXED))
		return true;
	if (c == &c->origin->hellos) /* who may come is not decided by what is asked for */
		return left >= own;
	return left && __atomic_load_n(&c->origin->calls, __ATOMIC_RELAXED) - 1 <= share * left;
}

/* Under calls_lock. The caller's first task, if it may begin now. */
static struct inlay_list *take_one(struct inlay_server *s, struct caller *c)
{
	struct inlay_list *t;

	count(s, c, 1);
	if (!fits(s, c)) {
		count(s, c, -1);
		return NULL;
	}
	t = inlay_list_pop(&c->queue);
	__atomic_fetch_sub(&s->calls_queued, 1, __ATOMIC_SEQ_CST);
	if (inlay_list_empty(&c->queue))
		inlay_list_remove(&c->link);
	return t;
}

/* One of each caller, again and again, as far as they fit. */
static void begin_queued(struct inlay_server *s)
{
	struct inlay_list go, *t;
	bool any = true;

	inlay_list_init(&go);
	pthread_mutex_lock(&s->calls_lock);
	while (any) {
		any = false;
		inlay_list_each_safe(it, tmp, &s->callers) {
			t = take_one(s, inlay_container(it, struct caller, link));
			if (t)
				inlay_list_append(&go, t);
			any |= t != NULL;
		}
	}
	pthread_mutex_unlock(&s->calls_lock);
	while ((t = inlay_list_pop(&go)))
		inlay_loop_offload(inlay_container(t, struct inlay_task, link)->loop, inlay_container(t, struct inlay_task, link));
}

bool call_begin(struct inlay_server *s, struct caller *c, struct inlay_loop *l, struct inlay_task *t)
{
	if (!is_counted(s, c))
		return true;
	count(s, c, 1);
	if (fits(s, c))
		return true;
	t->loop = l;
	pthread_mutex_lock(&s->calls_lock);
	inlay_list_append(&c->queue, &t->link);
	if (inlay_list_empty(&c->link))
		inlay_list_append(&s->callers, &c->link);
	__atomic_fetch_add(&s->calls_queued, 1, __ATOMIC_SEQ_CST);
	count(s, c, -1);
	pthread_mutex_unlock(&s->calls_lock);
	begin_queued(s); /* whoever ended just before has not seen it */
	return false;
}

void call_end(struct inlay_server *s, struct caller *c)
{
	if (!is_counted(s, c))
		return;
	count(s, c, -1);
	if (__atomic_load_n(&s->calls_queued, __ATOMIC_SEQ_CST))
		begin_queued(s);
}

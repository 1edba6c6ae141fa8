/*
 * One loop: rounds of tasks, sources, timers and hooks around the host's poller. Who runs it is crew.c's business.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/loop.h"

#include "base/status.h"
#include "net/crew.h"
#include "net/poller.h"
#include "net/uring.h"
#include "os/clock.h"

#include <assert.h>
#include <sched.h>

#define SPIN_REQUESTS 2    /* more at once, and the batch is worth more than the moment */
#define SPIN_MISSES 4      /* in a row before spinning is thought futile */
#define SPIN_SKIP_MAX 256u /* occasions that pass between two tries, at most */

static __thread struct inlay_loop *current;

struct inlay_loop *inlay_loop_current(void)
{
	return current;
}

uint64_t inlay_loop_now(const struct inlay_loop *l)
{
	return l->now_ns;
}

int inlay_loop_init(struct inlay_loop *l, struct inlay_crew *crew)
{
	*l = (struct inlay_loop){.crew = crew, .now_ns = inlay_clock_ns()};
	inlay_list_init(&l->again);
	inlay_list_init(&l->again_now);
	inlay_list_init(&l->hooks);
	inlay_list_init(&l->hooks_now);
	inlay_list_init(&l->inbox);
	inlay_list_init(&l->orphan);
	return inlay_poller_new(&l->poller);
}

void inlay_loop_done(struct inlay_loop *l)
{
	inlay_uring_free(l->uring);
	inlay_poller_free(l->poller);
}

/* ---- sources ---- */

void inlay_loop_attach(struct inlay_loop *l, struct inlay_source *s)
{
	s->loop = l;
	inlay_list_init(&s->again);
}

void inlay_loop_detach(struct inlay_source *s)
{
	if (s->loop)
		inlay_list_remove(&s->again);
	s->loop = NULL;
}

void inlay_loop_again(struct inlay_source *s)
{
	assert(s->loop);
	if (inlay_list_empty(&s->again))
		inlay_list_append(&s->loop->again, &s->again);
}

void inlay_loop_not_again(struct inlay_source *s)
{
	if (s->loop)
		inlay_list_remove(&s->again);
}

/* ---- hooks ---- */

/* During a pass new hooks still get their turn in it; one that adds itself waits for the next round, as it might for ever. */
void inlay_hook_add(struct inlay_loop *l, struct inlay_hook *h)
{
	if (l->in_hooks && h != l->hook) {
		inlay_list_append(&l->hooks_now, &h->link);
		return;
	}
	inlay_list_append(&l->hooks, &h->link);
	l->rush = l->rush || l->in_hooks;
}

void inlay_hook_remove(struct inlay_hook *h)
{
	inlay_list_remove(&h->link);
}

/* Each step of a round returns false when the loop was lost in a callback: the caller may touch it no more. */

static bool run_hooks(struct inlay_loop *l)
{
	struct inlay_list *node;

	while ((node = inlay_list_pop(&l->hooks)))
		inlay_list_append(&l->hooks_now, node);
	l->in_hooks = true;
	while ((node = inlay_list_pop(&l->hooks_now))) {
		l->hook = inlay_container(node, struct inlay_hook, link);
		inlay_list_append(&l->hooks, node);
		l->hook->run(l->hook);
		if (current != l)
			return false;
	}
	l->in_hooks = false;
	l->hook = NULL;
	return true;
}

/* ---- tasks ---- */

/*
 * Publishing the task and reading `asleep` stand against setting `asleep` and reading `posted` in sleep_until(): all
 * four are sequentially consistent, so that one side always sees the other.
 */
void inlay_loop_post(struct inlay_loop *l, struct inlay_task *t)
{
	struct inlay_list *head = __atomic_load_n(&l->posted, __ATOMIC_RELAXED);

	t->loop = l;
	do {
		t->link.next = head;
	} while (!__atomic_compare_exchange_n(&l->posted, &head, &t->link, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	if (__atomic_load_n(&l->asleep, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&l->asleep, 0, __ATOMIC_SEQ_CST))
		inlay_poller_wake(l->poller);
}

void inlay_loop_ask_stop(struct inlay_loop *l)
{
	__atomic_store_n(&l->stop, 1, __ATOMIC_SEQ_CST);
	inlay_poller_wake(l->poller);
}

static void take_posted(struct inlay_loop *l)
{
	struct inlay_list *node, *next, *end = l->inbox.prev;

	if (!__atomic_load_n(&l->posted, __ATOMIC_RELAXED))
		return;
	for (node = __atomic_exchange_n(&l->posted, NULL, __ATOMIC_ACQUIRE); node; node = next) {
		next = node->next;
		inlay_list_prepend(end, node);
	}
}

static bool run_tasks(struct inlay_loop *l)
{
	struct inlay_list *node;

	take_posted(l);
	while ((node = inlay_list_pop(&l->inbox))) {
		struct inlay_task *t = inlay_container(node, struct inlay_task, link);

		t->done(t);
		if (current != l)
			return false;
	}
	return true;
}

bool inlay_loop_drain(struct inlay_loop *l)
{
	bool any;

	take_posted(l);
	any = !inlay_list_empty(&l->inbox);
	current = l;
	run_tasks(l);
	any = inlay_uring_drain(l->uring) || any;
	current = NULL;
	return any;
}

/* The call word without its flags. */
static uint64_t call_number(const struct inlay_loop *l)
{
	return __atomic_load_n(&l->call, __ATOMIC_RELAXED) & ~(uint64_t)(INLAY_CALL_STEP - 1);
}

bool inlay_loop_run(struct inlay_loop *l, struct inlay_task *t)
{
	uint64_t call = (call_number(l) + INLAY_CALL_STEP) | INLAY_CALL_IN;
	uint64_t expected = call;

	assert(current == l);
	t->loop = l;
	__atomic_store_n(&l->call, call, __ATOMIC_SEQ_CST);
	inlay_watch_wake(l->crew);
	t->work(t);
	if (__atomic_compare_exchange_n(&l->call, &expected, call & ~(uint64_t)INLAY_CALL_IN, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_RELAXED)) {
		t->done(t);
		return current == l; /* done() may have made a slow call of its own */
	}
	current = NULL;
	inlay_loop_post(l, t);
	return false;
}

void inlay_loop_busy(struct inlay_loop *l, int change)
{
	l->busy += change;
	l->spin.touched = true;
	if (change > 0)
		l->spin.begun += (unsigned)change;
}

/* ---- rounds ---- */

static bool run_again(struct inlay_loop *l)
{
	struct inlay_list *node;

	while ((node = inlay_list_pop(&l->again)))
		inlay_list_append(&l->again_now, node);
	while ((node = inlay_list_pop(&l->again_now))) {
		struct inlay_source *s = inlay_container(node, struct inlay_source, again);

		s->ready(s, 0);
		if (current != l)
			return false;
	}
	return true;
}

static bool posted(const struct inlay_loop *l, int order)
{
	return __atomic_load_n(&l->posted, order) || __atomic_load_n(&l->stop, __ATOMIC_RELAXED);
}

static bool spin_wanted(struct inlay_loop *l)
{
	struct inlay_spin *spin = &l->spin;

	if (!l->crew->config.spin_us || l->busy > SPIN_REQUESTS || spin->begun > SPIN_REQUESTS)
		return false;
	if (l->busy <= 0 && !spin->touched)
		return false;
	if (!spin->skip)
		return true;
	spin->skip--;
	return false;
}

static void spin_learn(struct inlay_spin *spin, bool hit)
{
	unsigned futile;

	if (hit) {
		spin->misses = 0;
		return;
	}
	spin->misses++;
	if (spin->misses < SPIN_MISSES)
		return;
	futile = spin->misses - SPIN_MISSES;
	spin->skip = futile < 8 ? 1u << futile : SPIN_SKIP_MAX;
}

/* Polls for a short while; each time round gives way to who else wants this core: likely the one we wait for. */
static bool spin(struct inlay_loop *l, uint64_t until_ns)
{
	uint64_t end = inlay_clock_ns() + l->crew->config.spin_us * 1000ull;
	bool hit;

	if (until_ns && until_ns < end)
		end = until_ns;
	do {
		hit = inlay_poller_poll(l->poller) > 0 || posted(l, __ATOMIC_RELAXED);
		if (hit)
			break;
		sched_yield();
	} while (inlay_clock_ns() < end);
	spin_learn(&l->spin, hit);
	return hit;
}

static void sleep_until(struct inlay_loop *l, uint64_t until_ns)
{
	uint64_t now = until_ns ? inlay_clock_ns() : 0;
	uint64_t wait_ns = !until_ns ? UINT64_MAX : until_ns > now ? until_ns - now : 0;

	__atomic_store_n(&l->asleep, 1, __ATOMIC_SEQ_CST);
	if (posted(l, __ATOMIC_SEQ_CST))
		inlay_poller_poll(l->poller);
	else
		inlay_poller_wait(l->poller, wait_ns);
	__atomic_store_n(&l->asleep, 0, __ATOMIC_RELAXED);
}

static void wait_events(struct inlay_loop *l)
{
	uint64_t until_ns = inlay_timers_next(l);

	if (l->rush || !inlay_list_empty(&l->again) || posted(l, __ATOMIC_RELAXED)) {
		inlay_poller_poll(l->poller);
	} else if (!spin_wanted(l) || !spin(l, until_ns)) {
		sleep_until(l, until_ns);
	}
	l->rush = false;
	l->spin.begun = 0;
	l->spin.touched = false;
	l->now_ns = inlay_clock_ns();
}

/* A loop that was lost in the middle of a round: what was left of it stands before what came later. */
static void adopt(struct inlay_loop *l)
{
	struct inlay_list *node;

	while (!inlay_list_empty(&l->again_now)) {
		node = l->again_now.prev;
		inlay_list_remove(node);
		inlay_list_prepend(&l->again, node);
	}
	while ((node = inlay_list_pop(&l->hooks_now)))
		inlay_list_append(&l->hooks, node);
	l->hook = NULL;
	l->in_hooks = false;
	inlay_poller_adopt(l->poller);
	__atomic_store_n(&l->call, call_number(l), __ATOMIC_RELEASE);
	l->now_ns = inlay_clock_ns();
}

void inlay_loop_own(struct inlay_loop *l)
{
	current = l;
	adopt(l);
	for (;;) {
		if (!inlay_poller_run(l->poller, l) || !run_tasks(l) || !run_again(l) || !inlay_timers_fire(l) || !run_hooks(l))
			return;
		if (__atomic_load_n(&l->stop, __ATOMIC_RELAXED))
			break;
		wait_events(l);
	}
	current = NULL;
}

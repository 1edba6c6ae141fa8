/*
 * The threads: all are alike, and each does what is there to be done - own a loop, or work on an offloaded task.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/crew.h"

#include "base/status.h"
#include "net/uring.h"
#include "os/clock.h"
#include "os/identity.h"
#include "os/thread.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HANDOFF_US_DEFAULT 1000u
#define IDLE_NS 10000000000ull /* a spare that had nothing to do for so long ends */
#define STUCK_NS 5000000000ull
#define DRAIN_ROUNDS 64        /* of tasks that post tasks, when all has stopped */

struct worker {
	struct inlay_list link;
	struct inlay_crew *crew;
	pthread_t thread;
	bool ended; /* crew->lock: may be joined without waiting */
};

struct job {
	struct inlay_loop *loop; /* either */
	struct inlay_task *task; /* or */
};

/* ---- threads; crew->lock held ---- */

static unsigned offloads_max(const struct inlay_crew *c)
{
	return c->config.spares_max > 1 ? c->config.spares_max - 1 : 1;
}

static bool offload_allowed(const struct inlay_crew *c)
{
	return c->offload_count && c->offloading < offloads_max(c);
}

static void reap(struct inlay_crew *c)
{
	inlay_list_each_safe(node, next, &c->workers) {
		struct worker *w = inlay_container(node, struct worker, link);

		if (!w->ended)
			continue;
		pthread_join(w->thread, NULL);
		inlay_list_remove(node);
		free(w);
	}
}

static void *worker_main(void *arg);

static int worker_new(struct inlay_crew *c)
{
	struct worker *w;
	int r;

	if (c->threads >= c->config.loops + c->config.spares_max)
		return -INLAY_ELIMIT;
	reap(c);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -INLAY_ENOMEM;
	w->crew = c;
	r = inlay_thread_new(&w->thread, worker_main, w);
	if (r < 0) {
		free(w);
		return r;
	}
	inlay_list_append(&c->workers, &w->link);
	c->threads++;
	c->idle++; /* from the first moment, so that nobody makes a second one for the same work */
	return 0;
}

/* Makes the threads that waiting work needs and wakes them; work beyond the limit waits for a thread to get free. */
static void feed(struct inlay_crew *c)
{
	unsigned room = offloads_max(c) - c->offloading;
	unsigned wanted = c->orphan_count + (c->offload_count < room ? c->offload_count : room);
	int r = 0;

	if (c->stopping) /* those that still run take what there is; the rest is inlay_crew_stop()'s */
		return;
	while (c->idle < wanted && r == 0)
		r = worker_new(c);
	if (r < 0 && r != -INLAY_ELIMIT) {
		__atomic_store_n(&c->watch_starved, 1, __ATOMIC_SEQ_CST);
		inlay_watch_wake(c);
	}
	for (; wanted; wanted--)
		pthread_cond_signal(&c->work);
}

static bool job_take(struct inlay_crew *c, struct job *ret)
{
	struct inlay_list *node = inlay_list_pop(&c->orphans);

	*ret = (struct job){0};
	if (node) {
		c->orphan_count--;
		ret->loop = inlay_container(node, struct inlay_loop, orphan);
		return true;
	}
	if (!offload_allowed(c))
		return false;
	c->offload_count--;
	c->offloading++;
	ret->task = inlay_container(inlay_list_pop(&c->offloads), struct inlay_task, link);
	return true;
}

/* Counted as idle on entry and on leaving with false. */
static bool job_wait(struct inlay_crew *c, struct job *ret)
{
	bool late = false;

	for (;;) {
		if (job_take(c, ret)) {
			c->idle--;
			return true;
		}
		if (c->stopping || late)
			return false;
		late = !inlay_cond_wait_ns(&c->work, &c->lock, IDLE_NS);
	}
}

/* ---- what a thread does ---- */

static void job_do(struct inlay_crew *c, struct job *job)
{
	struct inlay_loop *l = job->loop;
	struct inlay_task *t = job->task;

	pthread_mutex_unlock(&c->lock);
	if (l) {
		inlay_loop_own(l);
		pthread_mutex_lock(&c->lock);
	} else {
		t->work(t);
		inlay_loop_post(t->loop, t);
		pthread_mutex_lock(&c->lock);
		c->offloading--;
	}
	c->idle++;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct inlay_crew *c = w->crew;
	struct job job;

	pthread_setname_np(pthread_self(), "inlay-crew");
	/* The thread that made this one may have been acting as a user. */
	if (inlay_identity_enter(NULL) < 0)
		abort();
	pthread_mutex_lock(&c->lock);
	while (job_wait(c, &job))
		job_do(c, &job);
	c->idle--;
	c->threads--;
	w->ended = true;
	pthread_cond_signal(&c->gone);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

void inlay_crew_feed(struct inlay_crew *c)
{
	pthread_mutex_lock(&c->lock);
	feed(c);
	pthread_mutex_unlock(&c->lock);
}

void inlay_crew_hand_off(struct inlay_crew *c, struct inlay_loop *l, uint64_t call)
{
	pthread_mutex_lock(&c->lock);
	/* First the thread, then the loop: one that was taken and finds no owner would stand still. */
	if (c->idle <= c->orphan_count)
		(void)!worker_new(c);
	if (c->idle > c->orphan_count &&
	    __atomic_compare_exchange_n(&l->call, &call, call | INLAY_CALL_TAKEN, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_RELAXED)) {
		inlay_list_append(&c->orphans, &l->orphan);
		c->orphan_count++;
		feed(c);
	}
	pthread_mutex_unlock(&c->lock);
}

void inlay_loop_offload(struct inlay_loop *l, struct inlay_task *t)
{
	struct inlay_crew *c = l->crew;

	t->loop = l;
	pthread_mutex_lock(&c->lock);
	inlay_list_append(&c->offloads, &t->link);
	c->offload_count++;
	feed(c);
	pthread_mutex_unlock(&c->lock);
}

/* ---- the crew's life ---- */

static int locks_init(struct inlay_crew *c)
{
	int r;

	/* Neither fails on this host: a mutex without attributes and conditions take no resources. */
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->watch_lock, NULL);
	r = inlay_cond_init(&c->work);
	if (r == 0)
		r = inlay_cond_init(&c->gone);
	if (r == 0)
		r = inlay_cond_init(&c->watch_cond);
	return r;
}

/* aligned_alloc() isn't on every host. */
static struct inlay_loop *loops_new(struct inlay_crew *c, unsigned count)
{
	const uintptr_t line = _Alignof(struct inlay_loop);

	c->loops_room = malloc(count * sizeof(struct inlay_loop) + line);
	return c->loops_room ? (struct inlay_loop *)(((uintptr_t)c->loops_room + line - 1) & ~(line - 1)) : NULL;
}

int inlay_crew_new(const struct inlay_crew_config *config, struct inlay_crew **ret)
{
	struct inlay_crew *c;
	int r;

	if (!config->loops || !config->spares_max)
		return -INLAY_EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -INLAY_ENOMEM;
	c->config = *config;
	if (!c->config.handoff_us)
		c->config.handoff_us = HANDOFF_US_DEFAULT;
	inlay_list_init(&c->workers);
	inlay_list_init(&c->orphans);
	inlay_list_init(&c->offloads);
	r = locks_init(c);
	c->loops = r == 0 ? loops_new(c, config->loops) : NULL;
	if (!c->loops) {
		free(c);
		return r < 0 ? r : -INLAY_ENOMEM;
	}
	c->config.loops = 0; /* counts those that inlay_crew_free has to undo */
	while (r == 0 && c->config.loops < config->loops)
		r = inlay_loop_init(&c->loops[c->config.loops++], c);
	if (r < 0) {
		inlay_crew_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct inlay_loop *inlay_crew_loop(struct inlay_crew *c, unsigned i)
{
	assert(i < c->config.loops);
	return &c->loops[i];
}

unsigned inlay_crew_loops(const struct inlay_crew *c)
{
	return c->config.loops;
}

int inlay_crew_start(struct inlay_crew *c)
{
	int r;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->config.loops; i++) {
		inlay_list_append(&c->orphans, &c->loops[i].orphan);
		c->orphan_count++;
	}
	r = inlay_watch_start(c);
	for (unsigned i = 0; i < c->config.loops && r == 0; i++)
		r = worker_new(c);
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		inlay_crew_stop(c);
	return r;
}

/* Waits for the threads to end, up to STUCK_NS; joins those that did. */
static void threads_stop(struct inlay_crew *c)
{
	uint64_t end = inlay_clock_ns() + STUCK_NS, now;

	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_broadcast(&c->work);
	while (c->threads && (now = inlay_clock_ns()) < end)
		inlay_cond_wait_ns(&c->gone, &c->lock, end - now);
	reap(c);
	pthread_mutex_unlock(&c->lock);
}

/* Offloaded tasks that no thread could be made for are worked on here. */
static bool drain_once(struct inlay_crew *c)
{
	bool any = false;
	struct inlay_list *node;

	while ((node = inlay_list_pop(&c->offloads))) {
		struct inlay_task *t = inlay_container(node, struct inlay_task, link);

		c->offload_count--;
		t->work(t);
		inlay_loop_post(t->loop, t);
	}
	for (unsigned i = 0; i < c->config.loops; i++)
		any = inlay_loop_drain(&c->loops[i]) || any;
	return any;
}

void inlay_crew_stop(struct inlay_crew *c)
{
	assert(!inlay_loop_current());
	inlay_watch_stop(c);
	for (unsigned i = 0; i < c->config.loops; i++)
		inlay_loop_ask_stop(&c->loops[i]);
	threads_stop(c);
	if (c->threads)
		return; /* a stuck one may still own a loop or post to it */
	for (int i = 0; i < DRAIN_ROUNDS && drain_once(c); i++)
		;
}

bool inlay_crew_is_stuck(const struct inlay_crew *c)
{
	if (c->threads)
		return true;
	for (unsigned i = 0; i < c->config.loops; i++) {
		if (inlay_uring_under_way(&c->loops[i])) /* the host hasn't given it back */
			return true;
	}
	return false;
}

void inlay_crew_free(struct inlay_crew *c)
{
	if (!c || inlay_crew_is_stuck(c))
		return;
	for (unsigned i = 0; i < c->config.loops; i++)
		inlay_loop_done(&c->loops[i]);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->gone);
	pthread_cond_destroy(&c->watch_cond);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->watch_lock);
	free(c->loops_room);
	free(c);
}

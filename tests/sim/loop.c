/*
 * Event loops on a virtual clock, in place of src/net's: one thread plays all of them.
 * A call may lose its loop, as a slow one does (see inlay_loop_run): the call is then made at a later time, by "another thread".
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sim.h"

#include "net/chunk.h"
#include "net/linux/source.h"
#include "net/uring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define TURN_MOST (200 * US) /* how long a loop may take to notice */

static struct inlay_loop *current;
static uint64_t passes;

/* ---- processes ---- */

uint64_t sim_proc_clock(const struct sim_proc *p)
{
	return p->clock0 + sim_now + (uint64_t)((int64_t)(sim_now / 1000) * p->drift_ppm / 1000);
}

/* When the process's clock will show that. */
static uint64_t true_time(const struct sim_proc *p, uint64_t clock)
{
	uint64_t now = sim_proc_clock(p);

	/* A little late rather than early: the timer is looked at again then. */
	return clock <= now ? sim_now : sim_now + (clock - now) + (clock - now) / 500 + 1;
}

static void turn(struct sim_event *e);
static void alarmed(struct sim_event *e);

void sim_proc_init(struct sim_proc *p, const char *name, unsigned loops)
{
	memset(p, 0, sizeof *p);
	snprintf(p->name, sizeof p->name, "%s", name);
	p->clock0 = sim_between(1, 1000) * SEC;
	p->drift_ppm = (int32_t)sim_between(0, 1000) - 500;
	p->loops = loops;
	p->crew.proc = p;
	inlay_list_init(&p->works);
	inlay_list_init(&p->socks);
	for (unsigned i = 0; i < loops; i++) {
		struct inlay_loop *l = &p->loop[i];

		l->proc = p;
		l->turn = (struct sim_event){.run = turn, .proc = p};
		l->alarm = (struct sim_event){.run = alarmed, .proc = p};
		l->now_ns = sim_proc_clock(p);
		inlay_list_init(&l->posted);
		inlay_list_init(&l->inbox);
		inlay_list_init(&l->again);
		inlay_list_init(&l->again_now);
		inlay_list_init(&l->hooks);
		inlay_list_init(&l->hooks_now);
		inlay_list_init(&l->socks);
		inlay_list_init(&l->timers);
	}
}

void sim_loop_kick(struct inlay_loop *l)
{
	if (!l->turn.place && l != current)
		sim_set(&l->turn, sim_now + sim_between(1, TURN_MOST));
}

struct inlay_loop *inlay_crew_loop(struct inlay_crew *c, unsigned i)
{
	SIM_REQUIRE(i < c->proc->loops);
	return &c->proc->loop[i];
}

unsigned inlay_crew_loops(const struct inlay_crew *c)
{
	return c->proc->loops;
}

uint64_t inlay_loop_now(const struct inlay_loop *l)
{
	return l == current ? l->now_ns : sim_proc_clock(l->proc);
}

struct inlay_loop *inlay_loop_current(void)
{
	return current;
}

void inlay_loop_busy(struct inlay_loop *l, int change)
{
	l->busy += change;
	SIM_REQUIRE(l->busy >= 0);
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
	SIM_REQUIRE(s->loop);
	if (inlay_list_empty(&s->again))
		inlay_list_append(&s->loop->again, &s->again);
	sim_loop_kick(s->loop);
}

void inlay_loop_not_again(struct inlay_source *s)
{
	if (s->loop)
		inlay_list_remove(&s->again);
}

static uint32_t ready_events(const struct sim_sock *s)
{
	return s->source ? sim_net_ready(s) & (s->source->events | EPOLLERR | EPOLLHUP) : 0;
}

int inlay_loop_add(struct inlay_loop *l, struct inlay_source *s, uint32_t events)
{
	struct sim_sock *sock = sim_net_find(s->fd);

	SIM_REQUIRE(sock && !sock->source && sock->proc == l->proc);
	s->events = events;
	inlay_loop_attach(l, s);
	sock->source = s;
	sock->loop = l;
	inlay_list_append(&l->socks, &sock->of_loop);
	if (ready_events(sock))
		sim_loop_kick(l);
	return 0;
}

int inlay_loop_change(struct inlay_source *s, uint32_t events)
{
	struct sim_sock *sock = sim_net_find(s->fd);

	SIM_REQUIRE(sock && sock->source == s);
	s->events = events;
	if (ready_events(sock))
		sim_loop_kick(sock->loop);
	return 0;
}

void inlay_loop_remove(struct inlay_source *s)
{
	struct sim_sock *sock = sim_net_find(s->fd);

	SIM_REQUIRE(sock && sock->source == s);
	inlay_list_remove(&sock->of_loop);
	sock->source = NULL;
	sock->loop = NULL;
	inlay_loop_detach(s);
}

/* ---- timers: few, so that a list does ---- */

/* The product's timer has room for a heap's links: `child` and `next` serve as this list's. */
static struct inlay_list *timer_link(struct inlay_timer *t)
{
	_Static_assert(offsetof(struct inlay_timer, next) == sizeof(void *), "two pointers in a row");
	return (struct inlay_list *)(void *)&t->child;
}

static struct inlay_timer *timer_of(struct inlay_list *link)
{
	return (struct inlay_timer *)(void *)((char *)link - offsetof(struct inlay_timer, child));
}

static void set_alarm(struct inlay_loop *l)
{
	uint64_t due = UINT64_MAX;

	inlay_list_each(it, &l->timers)
		if (timer_of(it)->due_ns < due)
			due = timer_of(it)->due_ns;
	if (due == UINT64_MAX)
		sim_unset(&l->alarm);
	else
		sim_set(&l->alarm, true_time(l->proc, due));
}

void inlay_timer_init(struct inlay_timer *t, void (*fire)(struct inlay_timer *t))
{
	memset(t, 0, sizeof *t);
	t->fire = fire;
}

void inlay_timer_stop(struct inlay_timer *t)
{
	struct inlay_loop *l = t->loop;

	if (!l)
		return;
	t->loop = NULL;
	inlay_list_remove(timer_link(t));
	set_alarm(l);
}

void inlay_timer_start(struct inlay_loop *l, struct inlay_timer *t, uint64_t due_ns)
{
	inlay_timer_stop(t);
	t->loop = l;
	t->due_ns = due_ns;
	inlay_list_append(&l->timers, timer_link(t));
	set_alarm(l);
}

static void alarmed(struct sim_event *e)
{
	struct inlay_loop *l = inlay_container(e, struct inlay_loop, alarm);

	if (!l->turn.place)
		sim_set(&l->turn, sim_now);
	set_alarm(l);
	if (l->alarm.place && l->alarm.at <= sim_now) /* the turn takes care of what is due now */
		sim_unset(&l->alarm);
}

static struct inlay_timer *due_timer(struct inlay_loop *l)
{
	struct inlay_timer *first = NULL;

	inlay_list_each(it, &l->timers)
		if (!first || timer_of(it)->due_ns < first->due_ns)
			first = timer_of(it);
	return first && first->due_ns <= l->now_ns ? first : NULL;
}

/* ---- hooks ---- */

void inlay_hook_add(struct inlay_loop *l, struct inlay_hook *h)
{
	inlay_list_append(l->in_hooks && h != l->hook ? &l->hooks_now : &l->hooks, &h->link);
	sim_loop_kick(l);
}

void inlay_hook_remove(struct inlay_hook *h)
{
	inlay_list_remove(&h->link);
}

/* ---- tasks ---- */

/* A call that another thread makes. */
struct work {
	struct sim_event event;
	struct inlay_list link; /* proc->works */
	struct inlay_task *task;
};

static void post(struct inlay_loop *l, struct inlay_task *t)
{
	t->loop = l;
	inlay_list_init(&t->link);
	inlay_list_append(&l->posted, &t->link);
	sim_loop_kick(l);
}

void inlay_loop_post(struct inlay_loop *l, struct inlay_task *t)
{
	l->proc->tasks++;
	post(l, t);
}

static void work_now(struct work *w)
{
	struct inlay_task *t = w->task;

	inlay_list_remove(&w->link);
	sim_unset(&w->event);
	free(w);
	t->work(t);
	post(t->loop, t);
}

static void work_happens(struct sim_event *e)
{
	struct work *w = inlay_container(e, struct work, event);

	(void)sim_memory_scarce(!w->event.proc->dead);
	work_now(w);
	(void)sim_memory_scarce(false);
}

static void work_later(struct inlay_loop *l, struct inlay_task *t, uint64_t most)
{
	struct work *w = calloc(1, sizeof *w);

	SIM_REQUIRE(w);
	t->loop = l;
	w->task = t;
	w->event = (struct sim_event){.run = work_happens, .proc = l->proc};
	inlay_list_init(&w->link);
	inlay_list_append(&l->proc->works, &w->link);
	l->proc->tasks++;
	sim_set(&w->event, sim_now + sim_between(1, sim_chance(5) ? 100 * most : most));
}

void inlay_loop_offload(struct inlay_loop *l, struct inlay_task *t)
{
	work_later(l, t, 5 * MS);
}

bool inlay_loop_run(struct inlay_loop *l, struct inlay_task *t)
{
	SIM_REQUIRE(l == current);
	if (!l->proc->dead && sim_chance(l->proc->handoffs)) {
		work_later(l, t, 20 * MS);
		current = NULL; /* until the caller has returned */
		return false;
	}
	t->work(t);
	t->done(t);
	return true;
}

/* Reads of files by a ring: there are no files. */
bool inlay_uring_read(struct inlay_loop *l, struct inlay_uring_op *op, int fd, uint64_t off, struct inlay_chunk *chunk,
                      uint8_t *buf, uint32_t len)
{
	(void)l, (void)op, (void)fd, (void)off, (void)chunk, (void)buf, (void)len;
	return false;
}

/* ---- a turn ---- */

static void take_all(struct inlay_list *from, struct inlay_list *to)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(from)))
		inlay_list_append(to, it);
}

static bool run_tasks(struct inlay_loop *l)
{
	struct inlay_list *it;

	take_all(&l->posted, &l->inbox);
	while ((it = inlay_list_pop(&l->inbox))) {
		struct inlay_task *t = inlay_container(it, struct inlay_task, link);

		l->proc->tasks--;
		t->done(t);
		if (current != l)
			return false;
	}
	return true;
}

static bool run_again(struct inlay_loop *l)
{
	struct inlay_list *it;

	take_all(&l->again, &l->again_now);
	while ((it = inlay_list_pop(&l->again_now))) {
		struct inlay_source *s = inlay_container(it, struct inlay_source, again);

		s->ready(s, 0);
		if (current != l)
			return false;
	}
	return true;
}

/* One that is ready and had no turn in this pass, by chance; NULL: none. */
static struct sim_sock *next_ready(struct inlay_loop *l)
{
	struct sim_sock *found = NULL;
	unsigned seen = 0;

	inlay_list_each(it, &l->socks) {
		struct sim_sock *s = inlay_container(it, struct sim_sock, of_loop);

		if (s->pass != l->pass && ready_events(s) && sim_below(++seen) == 0)
			found = s;
	}
	return found;
}

static bool run_sources(struct inlay_loop *l)
{
	struct sim_sock *s;

	l->pass = ++passes;
	while ((s = next_ready(l))) {
		s->pass = l->pass;
		s->source->ready(s->source, ready_events(s));
		if (current != l)
			return false;
	}
	return true;
}

static bool run_timers(struct inlay_loop *l)
{
	struct inlay_timer *t;

	while ((t = due_timer(l))) {
		inlay_timer_stop(t);
		t->fire(t);
		if (current != l)
			return false;
	}
	return true;
}

static bool run_hooks(struct inlay_loop *l)
{
	struct inlay_list *it;

	take_all(&l->hooks, &l->hooks_now);
	l->in_hooks = true;
	while ((it = inlay_list_pop(&l->hooks_now))) {
		l->hook = inlay_container(it, struct inlay_hook, link);
		inlay_list_append(&l->hooks, it);
		l->hook->run(l->hook);
		if (current != l)
			break;
	}
	l->in_hooks = false;
	l->hook = NULL;
	return current == l;
}

static bool has_more(struct inlay_loop *l)
{
	if (!inlay_list_empty(&l->posted) || !inlay_list_empty(&l->inbox) || !inlay_list_empty(&l->again) ||
	    !inlay_list_empty(&l->again_now) || !inlay_list_empty(&l->hooks) || !inlay_list_empty(&l->hooks_now))
		return true;
	inlay_list_each(it, &l->socks)
		if (ready_events(inlay_container(it, struct sim_sock, of_loop)))
			return true;
	return false;
}

static void turn(struct sim_event *e)
{
	struct inlay_loop *l = inlay_container(e, struct inlay_loop, turn);

	current = l;
	l->now_ns = sim_proc_clock(l->proc);
	(void)sim_memory_scarce(!l->proc->dead);
	(void)(run_tasks(l) && run_again(l) && run_sources(l) && run_timers(l) && run_hooks(l));
	(void)sim_memory_scarce(false);
	current = NULL;
	if (has_more(l) || due_timer(l))
		sim_loop_kick(l);
}

/* ---- the end ---- */

void sim_proc_drain(struct sim_proc *p)
{
	struct sim_proc *outer = sim_running;

	sim_running = p;
	while (p->tasks) {
		while (!inlay_list_empty(&p->works))
			work_now(inlay_container(p->works.next, struct work, link));
		for (unsigned i = 0; i < p->loops; i++) {
			current = &p->loop[i];
			current->now_ns = sim_proc_clock(p);
			(void)run_tasks(current);
		}
		current = NULL;
	}
	sim_running = outer;
}

void sim_proc_done(struct sim_proc *p)
{
	SIM_REQUIRE(!p->tasks && inlay_list_empty(&p->works));
	for (unsigned i = 0; i < p->loops; i++) {
		struct inlay_loop *l = &p->loop[i];

		SIM_REQUIRE(inlay_list_empty(&l->socks) && inlay_list_empty(&l->posted) && inlay_list_empty(&l->hooks));
		sim_unset(&l->turn);
		sim_unset(&l->alarm);
	}
	SIM_REQUIRE(inlay_list_empty(&p->socks));
}

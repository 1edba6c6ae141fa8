/*
 * A loop, a clock and sockets for a fuzzer of src/net's users: one thread, everything at once and in order, and time that
 * passes when the input says so. Stands in for src/net's loop and sockets in the program that includes it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_FAKE_NET_H
#define INLAY_TESTS_FAKE_NET_H

#include "base/status.h"
#include "net/linux/source.h"
#include "net/socket.h"
#include "net/uring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define FAKE_FDS 8u
#define FAKE_FIRST_FD 1000000 /* no descriptor of the host's */

struct inlay_loop {
	struct inlay_list posted, offloaded, hooks, again;
};

/* What the host has of one connection: bytes to be read, bytes taken. */
struct fake_sock {
	bool used, ended;      /* ended: the peer sends no more */
	struct inlay_source *source;
	uint8_t *in, *out;
	size_t in_len, out_len;
	size_t room;           /* bytes that it still takes */
};

static struct inlay_loop fake_loop;
static uint64_t fake_now;
static struct inlay_timer *fake_timers[64];
static struct fake_sock fake_socks[FAKE_FDS];
static bool fake_slow; /* a call that may be slow is: its loop is lost to it */

static inline void fake_net_begin(void)
{
	memset(&fake_loop, 0, sizeof(fake_loop));
	inlay_list_init(&fake_loop.posted);
	inlay_list_init(&fake_loop.offloaded);
	inlay_list_init(&fake_loop.hooks);
	inlay_list_init(&fake_loop.again);
	memset(fake_timers, 0, sizeof(fake_timers));
	memset(fake_socks, 0, sizeof(fake_socks));
	fake_now = 1000000000;
	fake_slow = false;
}

/* ---- tasks, hooks, timers ---- */

struct inlay_loop *inlay_crew_loop(struct inlay_crew *c, unsigned i)
{
	(void)c, (void)i;
	return &fake_loop;
}

unsigned inlay_crew_loops(const struct inlay_crew *c)
{
	(void)c;
	return 1;
}

struct inlay_loop *inlay_loop_current(void)
{
	return &fake_loop;
}

uint64_t inlay_loop_now(const struct inlay_loop *l)
{
	(void)l;
	return fake_now;
}

void inlay_loop_busy(struct inlay_loop *l, int change)
{
	(void)l, (void)change;
}

void inlay_loop_post(struct inlay_loop *l, struct inlay_task *t)
{
	inlay_list_init(&t->link);
	inlay_list_append(&l->posted, &t->link);
}

void inlay_loop_offload(struct inlay_loop *l, struct inlay_task *t)
{
	inlay_list_init(&t->link);
	inlay_list_append(&l->offloaded, &t->link);
}

bool inlay_loop_run(struct inlay_loop *l, struct inlay_task *t)
{
	if (fake_slow) {
		inlay_loop_offload(l, t);
		return false;
	}
	t->work(t);
	t->done(t);
	return true;
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

void inlay_timer_init(struct inlay_timer *t, void (*fire)(struct inlay_timer *t))
{
	memset(t, 0, sizeof(*t));
	t->fire = fire;
}

void inlay_timer_stop(struct inlay_timer *t)
{
	for (size_t i = 0; i < sizeof(fake_timers) / sizeof(fake_timers[0]); i++)
		if (fake_timers[i] == t)
			fake_timers[i] = NULL;
}

void inlay_timer_start(struct inlay_loop *l, struct inlay_timer *t, uint64_t due_ns)
{
	size_t i = 0;

	inlay_timer_stop(t);
	t->loop = l;
	t->due_ns = due_ns;
	while (fake_timers[i])
		i++;
	fake_timers[i] = t;
}

bool inlay_uring_read(struct inlay_loop *l, struct inlay_uring_op *op, int fd, uint64_t off, struct inlay_chunk *chunk,
                      uint8_t *buf, uint32_t len)
{
	(void)l, (void)op, (void)fd, (void)off, (void)chunk, (void)buf, (void)len;
	return false;
}

/* ---- sources and sockets ---- */

static inline struct fake_sock *fake_sock(int fd)
{
	if (fd < FAKE_FIRST_FD || fd >= FAKE_FIRST_FD + (int)FAKE_FDS)
		abort();
	return &fake_socks[fd - FAKE_FIRST_FD];
}

int inlay_loop_add(struct inlay_loop *l, struct inlay_source *s, uint32_t events)
{
	fake_sock(s->fd)->source = s;
	s->loop = l;
	s->events = events;
	inlay_list_init(&s->again);
	return 0;
}

int inlay_loop_change(struct inlay_source *s, uint32_t events)
{
	s->events = events;
	return 0;
}

void inlay_loop_remove(struct inlay_source *s)
{
	fake_sock(s->fd)->source = NULL;
	inlay_list_remove(&s->again);
	s->loop = NULL;
}

void inlay_loop_again(struct inlay_source *s)
{
	if (inlay_list_empty(&s->again))
		inlay_list_append(&s->loop->again, &s->again);
}

void inlay_loop_not_again(struct inlay_source *s)
{
	inlay_list_remove(&s->again);
}

int64_t inlay_socket_send(int fd, const struct inlay_piece *pieces, unsigned count)
{
	struct fake_sock *s = fake_sock(fd);
	int64_t taken = 0;

	for (unsigned i = 0; i < count && s->room; i++) {
		size_t n = pieces[i].len < s->room ? pieces[i].len : s->room;
		uint8_t *grown = realloc(s->out, s->out_len + n);

		if (!grown)
			abort();
		memcpy(grown + s->out_len, pieces[i].p, n);
		s->out = grown;
		s->out_len += n;
		s->room -= n;
		taken += (int64_t)n;
	}
	return taken ? taken : -INLAY_EAGAIN;
}

int64_t inlay_socket_receive(int fd, void *bytes, size_t len)
{
	struct fake_sock *s = fake_sock(fd);
	size_t n = len < s->in_len ? len : s->in_len;

	if (!n)
		return s->ended ? 0 : -INLAY_EAGAIN;
	memcpy(bytes, s->in, n);
	memmove(s->in, s->in + n, s->in_len - n);
	s->in_len -= n;
	return (int64_t)n;
}

int inlay_socket_status(int fd)
{
	(void)fd;
	return 0;
}

uint64_t inlay_socket_unsent(int fd)
{
	(void)fd;
	return 0;
}

void inlay_socket_tune(int fd)
{
	(void)fd;
}

void inlay_socket_close(int fd)
{
	struct fake_sock *s = fake_sock(fd);

	free(s->in);
	free(s->out);
	*s = (struct fake_sock){0};
}

/* A fresh one for `i`, whose number is returned. */
static inline int fake_sock_open(unsigned i)
{
	fake_socks[i] = (struct fake_sock){.used = true, .room = SIZE_MAX};
	return FAKE_FIRST_FD + (int)i;
}

static inline void fake_sock_feed(struct fake_sock *s, const uint8_t *p, size_t len)
{
	uint8_t *grown = realloc(s->in, s->in_len + len + 1);

	if (!grown)
		abort();
	if (len)
		memcpy(grown + s->in_len, p, len);
	s->in = grown;
	s->in_len += len;
}

/* ---- running ---- */

static inline bool fake_run_sources(void)
{
	struct inlay_list *it;
	bool any = false;

	for (unsigned i = 0; i < FAKE_FDS; i++) {
		struct fake_sock *s = &fake_socks[i];
		uint32_t ready = (s->in_len || s->ended ? EPOLLIN : 0u) | (s->room ? EPOLLOUT : 0u);

		if (!s->source || !(ready &= s->source->events))
			continue;
		s->source->ready(s->source, ready);
		any = true;
	}
	while ((it = inlay_list_pop(&fake_loop.again))) {
		struct inlay_source *s = inlay_container(it, struct inlay_source, again);

		s->ready(s, 0);
		any = true;
	}
	return any;
}

static inline bool fake_run_timers(void)
{
	bool any = false;

	for (size_t i = 0; i < sizeof(fake_timers) / sizeof(fake_timers[0]); i++) {
		struct inlay_timer *t = fake_timers[i];

		if (!t || t->due_ns > fake_now)
			continue;
		fake_timers[i] = NULL;
		t->fire(t);
		any = true;
	}
	return any;
}

static inline bool fake_run_tasks(void)
{
	struct inlay_list *it;
	bool any = false;

	while ((it = inlay_list_pop(&fake_loop.posted))) {
		struct inlay_task *t = inlay_container(it, struct inlay_task, link);

		t->done(t);
		any = true;
	}
	while ((it = inlay_list_pop(&fake_loop.offloaded))) {
		struct inlay_task *t = inlay_container(it, struct inlay_task, link);

		t->work(t);
		t->done(t);
		any = true;
	}
	while ((it = inlay_list_pop(&fake_loop.hooks))) {
		struct inlay_hook *h = inlay_container(it, struct inlay_hook, link);

		inlay_list_init(it);
		h->run(h);
		any = true;
	}
	return any;
}

/* Until nothing more happens by itself. */
static inline void fake_settle(void)
{
	for (unsigned rounds = 0; fake_run_tasks() || fake_run_sources() || fake_run_timers(); rounds++)
		if (rounds == 100000)
			abort(); /* it turns and turns */
}

#endif

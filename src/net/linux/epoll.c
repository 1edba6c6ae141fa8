/*
 * The poller on Linux: epoll, and an eventfd to wake it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "net/crew.h"
#include "net/linux/source.h"
#include "net/poller.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

struct inlay_poller {
	int epfd, wakefd; /* constant */
	int next, count;  /* of events: not yet run */
	struct epoll_event events[BATCH];
};

static int poller_open(struct inlay_poller *p)
{
	/* Edge-triggered: each write is an event of its own, and nobody needs to read the counter back. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epfd < 0)
		return inlay_status_from_errno(errno);
	p->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wakefd < 0 || epoll_ctl(p->epfd, EPOLL_CTL_ADD, p->wakefd, &event) < 0)
		return inlay_status_from_errno(errno);
	return 0;
}

int inlay_poller_new(struct inlay_poller **ret)
{
	struct inlay_poller *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -INLAY_ENOMEM;
	p->epfd = p->wakefd = -1;
	r = poller_open(p);
	if (r < 0)
		inlay_poller_free(p);
	else
		*ret = p;
	return r;
}

void inlay_poller_free(struct inlay_poller *p)
{
	if (!p)
		return;
	if (p->epfd >= 0)
		close(p->epfd);
	if (p->wakefd >= 0)
		close(p->wakefd);
	free(p);
}

void inlay_poller_wake(struct inlay_poller *p)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the loop is being woken anyway. */
	while (write(p->wakefd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static int taken(struct inlay_poller *p, int n)
{
	p->next = 0;
	p->count = n > 0 ? n : 0;
	return p->count;
}

int inlay_poller_poll(struct inlay_poller *p)
{
	return taken(p, epoll_wait(p->epfd, p->events, BATCH, 0));
}

int inlay_poller_wait(struct inlay_poller *p, uint64_t wait_ns)
{
	struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u), .tv_nsec = (long)(wait_ns % 1000000000u)};

	return taken(p, epoll_pwait2(p->epfd, p->events, BATCH, wait_ns == UINT64_MAX ? NULL : &timeout, NULL));
}

bool inlay_poller_run(struct inlay_poller *p, struct inlay_loop *l)
{
	while (p->next < p->count) {
		struct epoll_event *event = &p->events[p->next++];
		struct inlay_source *s = event->data.ptr;

		if (!s) /* removed meanwhile, or the wake-up */
			continue;
		s->ready(s, event->events);
		if (inlay_loop_current() != l)
			return false;
	}
	return true;
}

void inlay_poller_adopt(struct inlay_poller *p)
{
	/* Events not yet looked at come again: they are level-triggered. */
	p->next = p->count = 0;
}

/* ---- sources ---- */

int inlay_loop_add(struct inlay_loop *l, struct inlay_source *s, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = s};

	if (epoll_ctl(l->poller->epfd, EPOLL_CTL_ADD, s->fd, &event) < 0)
		return inlay_status_from_errno(errno);
	s->events = events;
	inlay_loop_attach(l, s);
	return 0;
}

int inlay_loop_change(struct inlay_source *s, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = s};
	int epfd = s->loop->poller->epfd, r;

	if (events == s->events)
		return 0;
	if ((events | s->events) & EPOLLEXCLUSIVE) { /* the host doesn't modify exclusive ones */
		epoll_ctl(epfd, EPOLL_CTL_DEL, s->fd, NULL);
		r = epoll_ctl(epfd, EPOLL_CTL_ADD, s->fd, &event);
	} else {
		r = epoll_ctl(epfd, EPOLL_CTL_MOD, s->fd, &event);
	}
	if (r < 0)
		return inlay_status_from_errno(errno);
	s->events = events;
	return 0;
}

void inlay_loop_remove(struct inlay_source *s)
{
	struct inlay_poller *p;

	if (!s->loop)
		return;
	p = s->loop->poller;
	epoll_ctl(p->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	for (int i = p->next; i < p->count; i++) {
		if (p->events[i].data.ptr == s)
			p->events[i].data.ptr = NULL;
	}
	inlay_loop_detach(s);
	s->events = 0;
}

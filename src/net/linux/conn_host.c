/*
 * Connections on Linux: descriptors on the loop's epoll.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "net/conn_out.h"
#include "net/linux/source.h"

#include <sys/epoll.h>

#define RECEIVES_MAX 8 /* per event, then it's the others' turn */

static void host_ready(struct inlay_source *s, uint32_t events)
{
	struct inlay_conn *c = inlay_conn_ref(inlay_container(s, struct inlay_conn, source));
	unsigned what = (events & EPOLLIN ? INLAY_CONN_READABLE : 0u) | (events & EPOLLOUT ? INLAY_CONN_WRITABLE : 0u) |
	                (events & (EPOLLHUP | EPOLLERR) ? INLAY_CONN_FAILED : 0u);

	inlay_conn_serve(c, what);
	inlay_conn_unref(c);
}

int inlay_conn_host_attach(struct inlay_conn *c, struct inlay_loop *l)
{
	c->source.ready = host_ready;
	return inlay_loop_add(l, &c->source, EPOLLIN);
}

void inlay_conn_host_detach(struct inlay_conn *c)
{
	inlay_loop_remove(&c->source);
	inlay_socket_close(c->source.fd);
}

void inlay_conn_host_free(struct inlay_conn *c)
{
	(void)c;
}

/* Waits for exactly what can be used. */
void inlay_conn_host_want(struct inlay_conn *c)
{
	uint32_t events = (inlay_conn_may_read(c) ? EPOLLIN : 0u) | (c->blocked ? EPOLLOUT : 0u);
	int r = inlay_loop_change(&c->source, events);

	if (r < 0)
		inlay_conn_doom(c, r);
}

void inlay_conn_host_rest(struct inlay_conn *c)
{
	inlay_conn_host_want(c);
}

bool inlay_conn_host_receive(struct inlay_conn *c)
{
	for (int i = 0; i < RECEIVES_MAX && inlay_conn_may_read(c); i++) {
		uint32_t room = inlay_conn_room(c);
		int64_t n;

		if (!room) {
			inlay_conn_close(c, -INLAY_ENOMEM);
			return false;
		}
		n = inlay_socket_receive(c->source.fd, c->in->mem + c->in_tail, room);
		if (n == -INLAY_EAGAIN)
			break;
		if (n <= 0) {
			inlay_conn_over(c, (int)n);
			return false;
		}
		if (!inlay_conn_received(c, (uint32_t)n))
			return false;
		if (n < room)
			break;
	}
	return true;
}

bool inlay_conn_host_keeps_input(void)
{
	return false;
}

void inlay_conn_host_before_callback(struct inlay_conn *c)
{
	(void)c; /* epoll is level-triggered: it tells the new owner again */
}

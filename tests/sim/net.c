/*
 * Connections: two byte streams whose pieces arrive in order, late, cut anywhere, or not at all.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sim.h"

#include "server.h"

#include "net/addr.h"
#include "net/socket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define FIRST_FD 1000000
#define PIECES_MOST 6u

struct segment {
	struct sim_event event;
	struct inlay_list link; /* from->way */
	struct sim_sock *from;
	bool eof, reset;
	size_t len;
	uint8_t bytes[];
};

struct sim_net_manners sim_net;
static struct inlay_list all;
static int next_fd;
static unsigned sockets;

void sim_net_begin(void)
{
	SIM_REQUIRE(!sockets);
	inlay_list_init(&all);
	next_fd = 0;
}

static void wake(struct sim_sock *s)
{
	if (s->loop)
		sim_loop_kick(s->loop);
}

struct sim_sock *sim_net_find(int fd)
{
	inlay_list_each(it, &all)
			if (inlay_container(it, struct sim_sock, all)->fd == fd)
			return inlay_container(it, struct sim_sock, all);
	return NULL;
}

bool sim_net_is(int fd)
{
	return fd >= FIRST_FD;
}

unsigned sim_net_count(void)
{
	return sockets;
}

static struct sim_sock *sock_new(struct sim_proc *p)
{
	struct sim_sock *s = calloc(1, sizeof *s);

	SIM_REQUIRE(s);
	s->fd = FIRST_FD + next_fd++;
	s->proc = p;
	s->way_max = sim_between(sim_net.window_min, sim_net.window_max);
	inlay_list_init(&s->way);
	inlay_list_init(&s->of_loop);
	inlay_list_append(&all, &s->all);
	inlay_list_append(&p->socks, &s->of_proc);
	sockets++;
	return s;
}

static void segment_free(struct segment *g)
{
	sim_unset(&g->event);
	inlay_list_remove(&g->link);
	g->from->way_len -= g->len;
	free(g);
}

static void way_drop(struct sim_sock *s)
{
	while (!inlay_list_empty(&s->way))
		segment_free(inlay_container(s->way.next, struct segment, link));
}

/* Closed by its owner and nothing under way any more. */
static void maybe_free(struct sim_sock *s)
{
	if (!s->closed || !inlay_list_empty(&s->way))
		return;
	if (s->peer)
		s->peer->peer = NULL;
	inlay_list_remove(&s->all);
	free(s->in);
	free(s);
	sockets--;
}

static void become_reset(struct sim_sock *s)
{
	if (s->reset)
		return;
	s->reset = true;
	way_drop(s);
	wake(s);
	maybe_free(s);
}

/* ---- on the way ---- */

static void take_in(struct sim_sock *s, const uint8_t *bytes, size_t len)
{
	if (s->in_len + len > s->in_cap) {
		s->in_cap = 2 * (s->in_len + len) + 256;
		s->in = realloc(s->in, s->in_cap);
		SIM_REQUIRE(s->in);
	}
	if (len)
		memcpy(s->in + s->in_len, bytes, len);
	s->in_len += len;
}

static void put_on_way(struct sim_sock *s, const uint8_t *bytes, size_t len, bool eof, bool reset);

static void arrive(struct sim_event *e)
{
	struct segment *g = inlay_container(e, struct segment, event);
	struct sim_sock *from = g->from, *to = from->peer;

	if (to && !to->closed && !to->reset) {
		sim_trace(g->reset ? "reset arrives" : g->eof ? "end arrives" : "bytes arrive", (uint64_t)to->fd, g->len, 0);
		sim_trace_bytes(g->bytes, g->len);
		take_in(to, g->bytes, g->len);
		to->eof = to->eof || g->eof;
		to->reset = to->reset || g->reset;
		if (g->reset)
			way_drop(to);
		wake(to);
	} else if (!from->mute) {
		/* Nobody is there: the host says so, but not at once, and not to who doesn't listen. */
		if (!g->eof && !g->reset && !from->closed && to && !to->reset) {
			put_on_way(to, NULL, 0, false, true);
		} else if (!g->eof && !g->reset && !from->closed) {
			segment_free(g);
			become_reset(from);
			return;
		}
	}
	segment_free(g);
	wake(from); /* room in its window */
	maybe_free(from);
}

static void put_on_way(struct sim_sock *s, const uint8_t *bytes, size_t len, bool eof, bool reset)
{
	struct segment *g = calloc(1, sizeof *g + len);
	uint64_t at = sim_now + sim_between(sim_net.latency_min, sim_net.latency_max);

	SIM_REQUIRE(g);
	if (len)
		memcpy(g->bytes, bytes, len);
	g->len = len;
	g->eof = eof;
	g->reset = reset;
	g->from = s;
	g->event = (struct sim_event){.run = arrive};
	s->way_len += len;
	inlay_list_init(&g->link);
	inlay_list_append(&s->way, &g->link);
	s->way_last = at > s->way_last ? at : s->way_last;
	sim_set(&g->event, s->way_last);
}

/* ---- what the product calls ---- */

int64_t inlay_socket_send(int fd, const struct inlay_piece *pieces, unsigned count)
{
	struct sim_sock *s = sim_net_find(fd);
	uint8_t *gathered;
	size_t len = 0, done = 0, room;

	SIM_REQUIRE(s && !s->closed);
	if (s->reset)
		return -INLAY_ECONNRESET;
	if (s->sent_eof)
		return -INLAY_EPIPE;
	room = s->way_len < s->way_max ? s->way_max - s->way_len : 0;
	for (unsigned i = 0; i < count; i++)
		len += pieces[i].len;
	gathered = malloc(len + 1);
	SIM_REQUIRE(gathered);
	for (unsigned i = 0; i < count; done += pieces[i++].len)
		memcpy(gathered + done, pieces[i].p, pieces[i].len);
	if (len > room)
		len = room;
	if (!len) {
		free(gathered);
		return -INLAY_EAGAIN;
	}
	done = 0;
	for (unsigned i = 0; i < PIECES_MOST && done < len && sim_chance(sim_net.cut); i++) {
		size_t part = 1 + (size_t)sim_below(sim_chance(50) && len - done > 40 ? 40 : len - done);

		part = part > len - done ? len - done : part;
		put_on_way(s, gathered + done, part, false, false);
		done += part;
	}
	if (done < len)
		put_on_way(s, gathered + done, len - done, false, false);
	free(gathered);
	return (int64_t)len;
}

int64_t inlay_socket_receive(int fd, void *bytes, size_t len)
{
	struct sim_sock *s = sim_net_find(fd);
	size_t n;

	SIM_REQUIRE(s && !s->closed);
	if (s->reset && !s->in_len) /* what came before can still be had */
		return -INLAY_ECONNRESET;
	n = s->in_len < len ? s->in_len : len;
	if (n > 1 && sim_chance(sim_net.cut / 2))
		n = 1 + (size_t)sim_below(n);
	if (!n)
		return s->eof ? 0 : -INLAY_EAGAIN;
	memcpy(bytes, s->in, n);
	s->in_len -= n;
	memmove(s->in, s->in + n, s->in_len);
	return (int64_t)n;
}

bool sim_net_readable(const struct sim_sock *s)
{
	return s->in_len || s->eof || s->reset;
}

uint32_t sim_net_ready(const struct sim_sock *s)
{
	return (sim_net_readable(s) ? (uint32_t)EPOLLIN : 0) | (s->reset ? (uint32_t)(EPOLLERR | EPOLLHUP) : 0) |
	       (s->way_len < s->way_max ? (uint32_t)EPOLLOUT : 0);
}

static bool is_readable(void *arg)
{
	return sim_net_readable(arg);
}

/* Blocks its process: the world and the server go on. */
int inlay_socket_wait(int fd, bool out, unsigned ms)
{
	struct sim_sock *s = sim_net_find(fd);

	SIM_REQUIRE(s && !out);
	return sim_nested(sim_server_proc(), is_readable, s, sim_now + ms * MS);
}

int inlay_socket_status(int fd)
{
	const struct sim_sock *s = sim_net_find(fd);

	return s->reset ? -INLAY_ECONNRESET : 0;
}

uint64_t inlay_socket_unsent(int fd)
{
	return sim_net_find(fd)->way_len;
}

void inlay_socket_tune(int fd)
{
	(void)fd;
}

void inlay_socket_end(int fd)
{
	struct sim_sock *s = sim_net_find(fd);

	SIM_REQUIRE(s);
	if (!s->sent_eof && !s->reset)
		put_on_way(s, NULL, 0, true, false);
	s->sent_eof = s->eof = true;
	wake(s);
}

void inlay_socket_close(int fd)
{
	struct sim_sock *s = sim_net_find(fd);

	SIM_REQUIRE(s && !s->closed && !s->source);
	sim_trace("close", (uint64_t)fd, s->in_len, 0);
	/* As the host does it: who closes with bytes unread resets. */
	if (!s->sent_eof && !s->reset)
		put_on_way(s, NULL, 0, true, s->in_len > 0);
	s->sent_eof = true;
	s->closed = true;
	inlay_list_remove(&s->of_proc);
	maybe_free(s);
}

struct arrival {
	struct sim_event event;
	int fd;
	char from[16];
};

static void arrived(struct sim_event *e)
{
	struct arrival *a = inlay_container(e, struct arrival, event);
	struct sim_sock *s = sim_net_find(a->fd);

	if (s && s->arriving) {
		s->arriving = false;
		sim_server_accept(s, a->from);
	}
	free(a);
}

int sim_net_connect(struct sim_proc *p)
{
	struct sim_proc *server = sim_server_proc();
	struct sim_sock *a, *b;
	struct arrival *arrival;

	if (!server || (!sim_calm && sim_chance(sim_net.refused)))
		return sim_chance(50) ? -INLAY_ECONNREFUSED : -INLAY_ETIMEDOUT;
	a = sock_new(p);
	b = sock_new(server);
	a->peer = b;
	b->peer = a;
	b->arriving = true;
	sim_trace("connect", (uint64_t)a->fd, (uint64_t)b->fd, 0);
	arrival = calloc(1, sizeof *arrival);
	SIM_REQUIRE(arrival);
	arrival->event = (struct sim_event){.run = arrived};
	arrival->fd = b->fd;
	snprintf(arrival->from, sizeof arrival->from, "%s", p->name);
	sim_set(&arrival->event, sim_now + sim_between(sim_net.latency_min, sim_net.latency_max));
	return a->fd;
}

int inlay_addr_connect(const struct inlay_addr *a, unsigned timeout_ms, bool insecure, bool *ret_loopback)
{
	(void)a, (void)timeout_ms, (void)insecure;
	*ret_loopback = true;
	return sim_net_connect(sim_running);
}

const char *inlay_addr_text(const struct inlay_addr *a, char buf[INLAY_ADDR_TEXT])
{
	(void)a;
	snprintf(buf, INLAY_ADDR_TEXT, "the server");
	return buf;
}

/* ---- faults ---- */

struct sim_sock *sim_net_any(void)
{
	struct sim_sock *found = NULL;
	unsigned seen = 0;

	inlay_list_each(it, &all) {
		struct sim_sock *s = inlay_container(it, struct sim_sock, all);

		if (!s->closed && !s->reset && s->peer && !s->peer->closed && !s->peer->reset && sim_below(++seen) == 0)
			found = s;
	}
	return found;
}

void sim_net_reset(struct sim_sock *s)
{
	struct sim_sock *peer = s->peer;

	sim_trace("fault: reset", (uint64_t)s->fd, s->way_len, peer ? peer->way_len : 0);
	if (sim_chance(50))
		s->in_len = 0;
	if (peer && sim_chance(50))
		peer->in_len = 0;
	if (peer)
		become_reset(peer);
	become_reset(s);
}

void sim_net_half_close(struct sim_sock *s)
{
	sim_trace("fault: half-close", (uint64_t)s->fd, s->way_len, 0);
	if (!s->sent_eof)
		put_on_way(s, NULL, 0, true, false);
	s->sent_eof = true;
}

void sim_net_stall(struct sim_sock *s, uint64_t until)
{
	sim_trace("fault: stall", (uint64_t)s->fd, until - sim_now, 0);
	if (until <= s->way_last)
		return;
	s->way_last = until;
	inlay_list_each(it, &s->way)
		sim_set(&inlay_container(it, struct segment, link)->event, until);
}

void sim_net_unstall(void)
{
	inlay_list_each(it, &all) {
		struct sim_sock *s = inlay_container(it, struct sim_sock, all);

		s->way_last = sim_now + MS;
		s->mute = false;
		inlay_list_each(g, &s->way)
			sim_set(&inlay_container(g, struct segment, link)->event, s->way_last);
	}
}

void sim_net_leave(struct sim_proc *p)
{
	inlay_list_each(it, &p->socks) {
		struct sim_sock *s = inlay_container(it, struct sim_sock, of_proc);

		sim_trace("left", (uint64_t)s->fd, s->in_len, 0);
		if (!s->sent_eof && !s->reset)
			put_on_way(s, NULL, 0, true, s->in_len > 0);
		s->sent_eof = true;
	}
}

void sim_net_kill(struct sim_proc *p, bool mute)
{
	inlay_list_each_safe(it, tmp, &p->socks) {
		struct sim_sock *s = inlay_container(it, struct sim_sock, of_proc), *peer = s->peer;

		sim_trace("killed", (uint64_t)s->fd, mute, 0);
		way_drop(s);
		s->sent_eof = true;
		s->reset = true;
		if (mute && peer)
			peer->mute = true;
		else if (peer)
			become_reset(peer);
	}
	/* Those that the process has not been told of yet. */
	inlay_list_each_safe(it, tmp, &p->socks) {
		struct sim_sock *s = inlay_container(it, struct sim_sock, of_proc);

		if (s->arriving) {
			s->closed = true;
			inlay_list_remove(&s->of_proc);
			maybe_free(s);
		}
	}
}

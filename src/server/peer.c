/*
 * Connections of the server: taking over, attaching to lanes, time-outs, draining.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/peer.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000) /* in ns */
#define TICK_MAX_MS 1000u
#define TICK_DRAIN_MS 10u

void peer_ref(struct peer *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
}

void peer_unref(struct peer *p)
{
	if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL))
		return;
	inlay_conn_unref(p->conn);
	session_unref(p->session);
	origin_put(p->sl->server, p->origin);
	free(p);
}

/* ---- closing ---- */

static void detach(struct peer *p)
{
	struct inlay_session *ss = p->session;
	struct lane *la = p->lane;
	bool mine;

	if (!la)
		return;
	pthread_mutex_lock(&ss->lock);
	pthread_mutex_lock(&la->lock);
	mine = la->peer == p; /* else another connection has taken its place */
	if (mine) {
		la->peer = NULL;
		if (--ss->live == 0)
			ss->lost_ns = clock_ns();
	}
	pthread_mutex_unlock(&la->lock);
	pthread_mutex_unlock(&ss->lock);
	if (mine) /* the lane's; never the last one, for the loop has its own */
		__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL);
}

static void on_closed(struct inlay_conn *c, int status)
{
	struct peer *p = c->owner;

	inlay_debug("connection of %s closed: %s", p->name, status ? inlay_status_text(status) : "by one end");
	inlay_list_remove(&p->link);
	detach(p);
	__atomic_sub_fetch(&p->sl->server->conns, 1, __ATOMIC_RELAXED);
	origin_leave(p->sl->server, p->origin, false);
	peer_unref(p);
}

static void close_now(struct inlay_task *t)
{
	struct peer *p = inlay_container(t, struct peer, close);

	if (p->conn)
		inlay_conn_close(p->conn, 0);
	peer_unref(p);
}

void peer_close_later(struct peer *p)
{
	if (__atomic_exchange_n(&p->closing, true, __ATOMIC_ACQ_REL))
		return;
	peer_ref(p);
	p->close.done = close_now;
	inlay_loop_post(p->sl->loop, &p->close);
}

/* ---- receiving ---- */

void peer_sent(struct peer *p, size_t len)
{
	__atomic_add_fetch(&p->sl->bytes_out, len, __ATOMIC_RELAXED);
	if (p->conn->queued > INLAY_CONN_QUEUE_MAX && !p->conn->paused)
		inlay_conn_pause(p->conn);
	if (p->conn->queued > INLAY_FRAME_MAX && inlay_chunk_used() > INLAY_BUFFERS_MAX)
		peer_close_later(p); /* who is well comes back, and is answered then */
}

static void on_drained(struct inlay_conn *c)
{
	inlay_conn_resume(c);
}

static bool on_frame(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                     struct inlay_chunk *chunk)
{
	struct peer *p = c->owner;
	struct server_loop *sl = p->sl;

	__atomic_add_fetch(&sl->bytes_in, f->size, __ATOMIC_RELAXED);
	if (__atomic_load_n(&sl->server->draining, __ATOMIC_ACQUIRE) || __atomic_load_n(&p->closing, __ATOMIC_ACQUIRE))
		return true; /* not taken: the client sends it again elsewhere */
	if (p->lane && f->type != INLAY_HELLO)
		return peer_request(p, f, body, data, chunk);
	if (!p->lane && !p->hello_busy && f->type == INLAY_HELLO)
		return peer_hello(p, f, body);
	inlay_conn_close(c, -INLAY_EPROTO);
	return true;
}

bool peer_attach(struct peer *p, struct inlay_session *ss, struct lane *la)
{
	struct peer *old = NULL;
	bool ok;

	pthread_mutex_lock(&ss->lock);
	pthread_mutex_lock(&la->lock);
	ok = !__atomic_load_n(&ss->over, __ATOMIC_ACQUIRE);
	if (ok) {
		old = la->peer;
		la->peer = p;
		peer_ref(p);
		ss->live += old == NULL;
	}
	pthread_mutex_unlock(&la->lock);
	pthread_mutex_unlock(&ss->lock);
	if (!ok)
		return false;
	p->session = ss;
	p->lane = la;
	p->conn->frame_max = INLAY_FRAME_MAX;
	if (old) {
		peer_close_later(old);
		peer_unref(old);
	}
	return true;
}

/* ---- taking over ---- */

static const struct inlay_conn_ops conn_ops = {on_frame, on_closed, on_drained};

static void adopt(struct inlay_task *t)
{
	struct peer *p = inlay_container(t, struct peer, adopt);
	int r = inlay_conn_new(p->sl->loop, p->fd, &conn_ops, p, 1u << INLAY_FRAME_REQUEST, &p->conn);

	if (r < 0) {
		inlay_warning("cannot serve %s: %s", p->name, inlay_status_text(r));
		close(p->fd);
		__atomic_sub_fetch(&p->sl->server->conns, 1, __ATOMIC_RELAXED);
		origin_leave(p->sl->server, p->origin, false);
		peer_unref(p);
		return;
	}
	p->fd = -1;
	p->conn->frame_max = INLAY_HELLO_MAX;
	p->in.left_ns = p->out.left_ns = p->sl->server->lease_ms * MS;
	p->born_ns = inlay_loop_now(p->sl->loop);
	inlay_list_append(&p->sl->peers, &p->link);
}

static void say_refused(struct inlay_server *s, const char *name, int why)
{
	if (!origin_may_complain(s))
		return;
	inlay_warning("connection of %s refused: %s", name, why == -INLAY_ELIMIT ?
		"the limit of connections is reached" : why == -INLAY_EMFILE ?
		"too many connections from there" : "out of memory");
}

static struct peer *peer_new(struct inlay_server *s, const char *name, int *ret_why)
{
	struct peer *p;

	*ret_why = -INLAY_ELIMIT;
	if (__atomic_load_n(&s->conns, __ATOMIC_RELAXED) > s->conns_max)
		return NULL;
	*ret_why = -INLAY_ENOMEM;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	*ret_why = origin_enter(s, name, &p->origin);
	if (*ret_why == 0)
		return p;
	free(p);
	return NULL;
}

void peer_adopt(struct inlay_server *s, int fd, const char *name)
{
	struct peer *p;
	int why;

	__atomic_add_fetch(&s->conns, 1, __ATOMIC_RELAXED);
	p = peer_new(s, name ? name : "unknown", &why);
	if (!p) {
		__atomic_sub_fetch(&s->conns, 1, __ATOMIC_RELAXED);
		say_refused(s, name, why);
		close(fd);
		return;
	}
	p->refs = 1;
	p->fd = fd;
	p->sl = &s->loops[__atomic_fetch_add(&s->next_loop, 1, __ATOMIC_RELAXED) % s->nloops];
	p->adopt.done = adopt;
	inlay_list_init(&p->link);
	snprintf(p->name, sizeof(p->name), "%s", name ? name : "unknown");
	inlay_loop_post(p->sl->loop, &p->adopt);
}

void peers_free(struct server_loop *sl)
{
	while (!inlay_list_empty(&sl->peers))
		inlay_conn_close(inlay_container(sl->peers.next, struct peer, link)->conn, 0);
	works_free(sl);
}

/* ---- time ---- */

static uint32_t tick_ms(const struct inlay_server *s)
{
	uint32_t ms = s->lease_ms / 4 ? s->lease_ms / 4 : 1;

	if (__atomic_load_n(&s->draining, __ATOMIC_ACQUIRE))
		return TICK_DRAIN_MS;
	return ms < TICK_MAX_MS ? ms : TICK_MAX_MS;
}

/* Nothing is owed to it any more. */
static bool is_idle(struct peer *p)
{
	return !__atomic_load_n(&p->under_way, __ATOMIC_ACQUIRE) && !p->hello_busy && !p->conn->queued;
}

/* True: it is over. elapsed_ns: since it was last looked at. */
static bool patience_ends(struct patience *t, bool waiting, uint64_t moved, uint64_t elapsed_ns, uint64_t full_ns)
{
	uint64_t gained = (moved - t->seen) * (1000000000u / INLAY_RATE_MIN);

	t->seen = moved;
	if (!waiting || gained > full_ns || t->left_ns + gained > full_ns)
		t->left_ns = full_ns;
	else
		t->left_ns += gained;
	if (!waiting)
		return false;
	if (t->left_ns <= elapsed_ns)
		return true;
	t->left_ns -= elapsed_ns;
	return false;
}

/* Who keeps us waiting for the rest of a frame, or doesn't take what he asked for, holds memory. */
static bool is_stalled(struct peer *p, uint64_t elapsed_ns)
{
	struct inlay_conn *c = p->conn;
	bool is_short = inlay_chunk_used() > INLAY_BUFFERS_SHORT;
	uint64_t full_ns = (is_short ? INLAY_SHORT_PATIENCE_MS : p->sl->server->lease_ms) * MS;
	bool in = patience_ends(&p->in, inlay_conn_is_unfinished(c), c->bytes_in, elapsed_ns, full_ns);
	bool out = patience_ends(&p->out, c->queued > 0, c->bytes_out, elapsed_ns, full_ns);

	return in || out;
}

static void check_peer(struct peer *p, uint64_t now, uint64_t elapsed_ns)
{
	struct inlay_server *s = p->sl->server;
	uint64_t heard = p->conn->last_in_ns;

	if (__atomic_load_n(&s->draining, __ATOMIC_ACQUIRE)) {
		if (is_idle(p))
			inlay_conn_close(p->conn, 0);
	} else if (!p->lane && now > p->born_ns + INLAY_HELLO_TIMEOUT_MS * MS) {
		inlay_conn_close(p->conn, -INLAY_ETIMEDOUT);
	} else if (p->lane && is_stalled(p, elapsed_ns)) {
		inlay_conn_close(p->conn, -INLAY_ETIMEDOUT);
	} else if (p->lane && !p->conn->paused && is_idle(p) && now > heard + s->lease_ms * MS) {
		inlay_conn_close(p->conn, -INLAY_ETIMEDOUT);
	}
}

static void expire_work(struct inlay_task *t)
{
	sessions_expire(inlay_container(t, struct server_loop, expire)->server);
}

static void expire_done(struct inlay_task *t)
{
	inlay_container(t, struct server_loop, expire)->expiring = false;
}

static void on_tick(struct inlay_timer *t)
{
	struct server_loop *sl = inlay_container(t, struct server_loop, tick);
	uint64_t now = inlay_loop_now(sl->loop);

	inlay_list_each_safe(it, tmp, &sl->peers)
		check_peer(inlay_container(it, struct peer, link), now, now - sl->ticked_ns);
	sl->ticked_ns = now;
	if (sl == sl->server->loops && !sl->expiring) {
		sl->expiring = true; /* ending a session closes files, which may take its time */
		inlay_loop_offload(sl->loop, &sl->expire);
	}
	inlay_timer_start(sl->loop, t, now + tick_ms(sl->server) * MS);
}

void peer_start_loop(struct server_loop *sl)
{
	sl->expire.work = expire_work;
	sl->expire.done = expire_done;
	sl->ticked_ns = inlay_loop_now(sl->loop);
	inlay_timer_init(&sl->tick, on_tick);
	inlay_timer_start(sl->loop, &sl->tick, inlay_loop_now(sl->loop) + tick_ms(sl->server) * MS);
}

void peer_drain_loop(struct server_loop *sl)
{
	inlay_timer_start(sl->loop, &sl->tick, inlay_loop_now(sl->loop));
}

/* ---- events ---- */

struct event {
	struct inlay_task task;
	struct peer *peer;
	struct inlay_event_lock_req body;
};

static void event_send(struct inlay_task *t)
{
	struct event *e = inlay_container(t, struct event, task);
	uint8_t *room = e->peer->conn ? inlay_conn_reserve(e->peer->conn, INLAY_FRAME_HEADER + 64) : NULL;
	struct inlay_writer w;
	uint32_t len;

	if (room) {
		w = inlay_writer(room + INLAY_FRAME_HEADER, 64);
		inlay_put_event_lock_req(&w, &e->body);
		len = (uint32_t)inlay_writer_len(&w);
		inlay_frame_put(room, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + len, .type = INLAY_EVENT_LOCK,
			.kind = INLAY_FRAME_EVENT, .slot = INLAY_NO_SLOT, .body = len});
		inlay_conn_commit(e->peer->conn, INLAY_FRAME_HEADER + len);
		peer_sent(e->peer, INLAY_FRAME_HEADER + len);
	}
	peer_unref(e->peer);
	free(e);
}

void peer_event_lock(struct peer *p, const struct inlay_event_lock_req *body)
{
	struct event *e = calloc(1, sizeof(*e));

	if (!e) {
		peer_close_later(p); /* a lost hint would be waited for: a client that comes back asks again */
		return;
	}
	peer_ref(p);
	e->peer = p;
	e->body = *body;
	e->task.done = event_send;
	inlay_loop_post(p->sl->loop, &e->task);
}

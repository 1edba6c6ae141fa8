/*
 * A visit: the session's lane on a socket, waited for by its one thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/client.h"

#include "base/status.h"
#include "net/socket.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/self.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull               /* in ns */
#define RETRY_NS (200 * MS)         /* between attempts to connect anew */
#define BYE_NS (2000 * MS)
#define IN_SIZE (2 * INLAY_FRAME_MAX)

/* Bytes to be sent: a copy of our own, or a payload that its call keeps alive. */
struct segment {
	const uint8_t *p;
	size_t len;
	uint8_t *owned;
};

struct inlay_visit {
	struct inlay_client client;
	struct inlay_lane lane;
	struct inlay_addr addr;
	struct inlay_cred cred;
	bool insecure;
	unsigned timeout_ms;
	int fd;          /* -1: not connected */
	int lost;        /* why the connection is to be closed; 0: it isn't */
	int why;         /* of the last loss */
	uint64_t retry_ns;
	bool ever_open;
	struct segment *out;
	size_t out_at, out_count, out_cap;
	uint8_t *in;     /* IN_SIZE */
	size_t in_at, in_len;
	/* The call that inlay_visit_call() waits for. */
	struct inlay_call call;
	bool over;
	int status;
	uint32_t body_len, data_len;
	uint8_t room[INLAY_FRAME_HEADER + INLAY_BODY_MAX];
	uint8_t body[INLAY_BODY_MAX];
	uint8_t *data;   /* INLAY_DATA_MAX */
};

/* ---- sending ---- */

static void lose(struct inlay_visit *v, int status)
{
	if (!v->lost)
		v->lost = status ? status : -INLAY_ECONNRESET;
}

static void push(struct inlay_visit *v, const uint8_t *p, size_t len, uint8_t *owned)
{
	if (v->out_count == v->out_cap) {
		size_t cap = v->out_cap * 2 + 64;
		struct segment *grown = realloc(v->out, cap * sizeof(*grown));

		if (!grown) {
			free(owned);
			lose(v, -INLAY_ENOMEM);
			return;
		}
		v->out = grown;
		v->out_cap = cap;
	}
	v->out[v->out_count++] = (struct segment){p, len, owned};
}

static void clear_out(struct inlay_visit *v)
{
	for (size_t i = v->out_at; i < v->out_count; i++)
		free(v->out[i].owned);
	v->out_at = v->out_count = 0;
}

static void lane_sends(struct inlay_lane *l, const struct inlay_call *c)
{
	struct inlay_visit *v = l->owner;
	size_t len = INLAY_FRAME_HEADER + c->body_len;
	/* A copy: the lane may send from its stack. The payload stays where it is. */
	uint8_t *head = malloc(len);

	if (!head) {
		lose(v, -INLAY_ENOMEM);
		return;
	}
	memcpy(head, c->head, len);
	push(v, head, len, head);
	if (c->data_len)
		push(v, c->data, c->data_len, NULL);
}

static void take_sent(struct inlay_visit *v, size_t n)
{
	while (n) {
		struct segment *s = &v->out[v->out_at];
		size_t part = n < s->len ? n : s->len;

		s->p += part;
		s->len -= part;
		n -= part;
		if (!s->len) {
			free(s->owned);
			v->out_at++;
		}
	}
	if (v->out_at == v->out_count)
		v->out_at = v->out_count = 0;
}

static void flush(struct inlay_visit *v)
{
	while (!v->lost && v->out_at < v->out_count) {
		struct inlay_piece pieces[INLAY_SOCKET_PIECES];
		unsigned count = 0;
		int64_t n;

		for (size_t i = v->out_at; i < v->out_count && count < INLAY_SOCKET_PIECES; i++)
			pieces[count++] = (struct inlay_piece){v->out[i].p, v->out[i].len};
		n = inlay_socket_send(v->fd, pieces, count);
		if (n == -INLAY_EAGAIN)
			return;
		if (n < 0)
			lose(v, (int)n);
		else
			take_sent(v, (size_t)n);
	}
}

/* ---- receiving ---- */

static void take_frames(struct inlay_visit *v)
{
	while (!v->lost) {
		const uint8_t *p = v->in + v->in_at;
		struct inlay_frame f;
		int r = inlay_frame_parse(p, v->in_len - v->in_at, 1u << INLAY_FRAME_REPLY | 1u << INLAY_FRAME_EVENT, &f);

		if (r < 0) {
			lose(v, r);
			return;
		}
		if (r == 0 || f.size > v->in_len - v->in_at)
			return;
		v->in_at += f.size;
		(void)inlay_lane_frame(&v->lane, &f, p + INLAY_FRAME_HEADER, p + INLAY_FRAME_HEADER + f.body, NULL, inlay_clock_ns());
	}
}

static void receive(struct inlay_visit *v)
{
	int64_t n;

	if (v->in_at) {
		memmove(v->in, v->in + v->in_at, v->in_len - v->in_at);
		v->in_len -= v->in_at;
		v->in_at = 0;
	}
	n = inlay_socket_receive(v->fd, v->in + v->in_len, IN_SIZE - v->in_len);
	if (n > 0) {
		v->in_len += (size_t)n;
		take_frames(v);
	} else if (n != -INLAY_EAGAIN) {
		lose(v, (int)n);
	}
}

/* ---- connection ---- */

static void close_lost(struct inlay_visit *v)
{
	if (v->fd >= 0)
		inlay_socket_close(v->fd);
	v->fd = -1;
	v->why = v->lost;
	v->lost = 0;
	clear_out(v);
	v->in_at = v->in_len = 0;
	v->retry_ns = inlay_clock_ns() + RETRY_NS;
	inlay_lane_disconnected(&v->lane, inlay_clock_ns());
}

static int connect_now(struct inlay_visit *v, unsigned timeout_ms)
{
	bool loopback;
	int fd = inlay_addr_connect(&v->addr, timeout_ms, v->insecure, &loopback);

	if (fd < 0)
		return fd;
	v->fd = fd;
	inlay_lane_connected(&v->lane, inlay_clock_ns());
	return 0;
}

static void lane_drops(struct inlay_lane *l, int status)
{
	lose(l->owner, status);
}

static void lane_opened(struct inlay_lane *l, bool resumed)
{
	struct inlay_visit *v = l->owner;

	(void)resumed;
	v->ever_open = true;
}

static void lane_died(struct inlay_lane *l, int status)
{
	lose(l->owner, status);
}

static void no_lock(struct inlay_lane *l, const struct inlay_event_lock_req *e)
{
	(void)l;
	(void)e; /* a visit never waits for locks */
}

static void no_recall(struct inlay_lane *l, const struct inlay_event_recall_req *e)
{
	(void)l;
	(void)e; /* nor keeps anything under a lease */
}

static const struct inlay_lane_ops lane_ops = {
	.send = lane_sends,
	.drop = lane_drops,
	.opened = lane_opened,
	.dead = lane_died,
	.event_lock = no_lock,
	.event_recall = no_recall,
};

/* ---- the loop ---- */

static void wait_for_events(struct inlay_visit *v, uint64_t until_ns)
{
	uint64_t now = inlay_clock_ns(), ms = until_ns > now ? (until_ns - now + MS - 1) / MS : 0;

	if (until_ns != UINT64_MAX && ms > 60000)
		ms = 60000;
	if (inlay_socket_wait(v->fd, v->out_at < v->out_count, until_ns == UINT64_MAX ? UINT_MAX : (unsigned)ms))
		receive(v);
}

void inlay_visit_turn(struct inlay_visit *v, unsigned most_ms)
{
	uint64_t due = inlay_lane_tick(&v->lane, inlay_clock_ns());
	uint64_t most = most_ms == UINT_MAX ? UINT64_MAX : inlay_clock_ns() + most_ms * MS;

	if (v->fd < 0 && v->lane.state == INLAY_LANE_DOWN && inlay_clock_ns() >= v->retry_ns) {
		v->retry_ns = inlay_clock_ns() + RETRY_NS;
		(void)connect_now(v, v->timeout_ms < 2000 ? v->timeout_ms : 2000);
		v->retry_ns += inlay_clock_ns() - (v->retry_ns - RETRY_NS);
	}
	if (v->fd >= 0)
		flush(v);
	else if (v->retry_ns < due)
		due = v->retry_ns;
	if (!v->lost)
		wait_for_events(v, due < most ? due : most);
	if (v->lost)
		close_lost(v);
}

void inlay_visit_submit(struct inlay_visit *v, struct inlay_call *c)
{
	inlay_lane_submit(&v->lane, c, inlay_clock_ns());
}

/* ---- one call ---- */

static void call_done(struct inlay_call *c, const struct inlay_reply *r)
{
	struct inlay_visit *v = inlay_container(c, struct inlay_visit, call);

	v->over = true;
	v->status = r->status;
	v->body_len = r->status == 0 ? r->body_len : 0;
	v->data_len = r->status == 0 ? r->data_len : 0;
	if (v->body_len)
		memcpy(v->body, r->body, v->body_len);
	if (v->data_len)
		memcpy(v->data, r->data, v->data_len);
}

struct inlay_writer inlay_visit_begin(struct inlay_visit *v, uint16_t type)
{
	v->call = (struct inlay_call){.done = call_done};
	return inlay_call_begin(&v->call, type, v->room, sizeof(v->room));
}

int inlay_visit_call(struct inlay_visit *v, const struct inlay_writer *w, struct inlay_visit_answer *ret)
{
	int status = inlay_call_end(&v->call, w);

	if (status < 0)
		return status;
	v->over = false;
	inlay_visit_submit(v, &v->call);
	while (!v->over)
		inlay_visit_turn(v, UINT_MAX);
	if (v->status < 0)
		return v->status;
	*ret = (struct inlay_visit_answer){inlay_reader(v->body, v->body_len), v->data, v->data_len};
	return 0;
}

/* ---- begin and end ---- */

static int take_identity(struct inlay_visit *v)
{
	inlay_self_cred(&v->cred);
	inlay_self_host(v->client.host, sizeof(v->client.host));
	return inlay_random(v->client.client.bytes, sizeof(v->client.client.bytes));
}

static void visit_free(struct inlay_visit *v)
{
	inlay_lane_done(&v->lane);
	if (v->fd >= 0)
		inlay_socket_close(v->fd);
	clear_out(v);
	free(v->out);
	free(v->in);
	free(v->data);
	free(v);
}

static const char *advice(int status, bool insecure)
{
	switch (status) {
	case -INLAY_EPERM:
		return insecure ? "the server refuses this client"
				: "plain TCP to another host isn't protected: encrypt the way there, or say --insecure";
	case -INLAY_ECONNREFUSED:
		return "nobody listens there: does inlayd run?";
	case -INLAY_ENOEXPORT:
		return "the server has no export of this name";
	case -INLAY_EPROTO:
	case -INLAY_EVERSION:
		return "this doesn't look like an inlayd of our version";
	default:
		return inlay_status_text(status);
	}
}

static int visit_greet(struct inlay_visit *v)
{
	uint64_t until = inlay_clock_ns() + v->timeout_ms * MS;
	int status = connect_now(v, v->timeout_ms);

	while (status == 0 && !v->ever_open) {
		uint64_t due = inlay_lane_tick(&v->lane, inlay_clock_ns());

		flush(v);
		if (!v->lost)
			wait_for_events(v, due < until ? due : until);
		if (v->lane.state == INLAY_LANE_DEAD)
			status = v->lane.why_dead;
		else if (v->lost)
			status = v->lost;
		else if (!v->ever_open && inlay_clock_ns() >= until)
			status = -INLAY_ETIMEDOUT;
	}
	return status;
}

int inlay_visit_open(const struct inlay_remote_name *name, bool insecure, unsigned timeout_ms, char *why, size_t why_len,
	struct inlay_visit **ret)
{
	struct inlay_visit *v = calloc(1, sizeof(*v));
	char addr[INLAY_ADDR_TEXT];
	int status;

	if (!v || inlay_lane_init(&v->lane, &v->client, 0, &lane_ops, v, inlay_clock_ns()) < 0) {
		free(v);
		snprintf(why, why_len, "%s", inlay_status_text(INLAY_ENOMEM));
		return -INLAY_ENOMEM;
	}
	v->addr = name->addr;
	v->insecure = insecure;
	v->timeout_ms = timeout_ms;
	v->fd = -1;
	v->client.timeout_ns = timeout_ms * MS;
	snprintf(v->client.export_name, sizeof(v->client.export_name), "%s", name->export_name);
	v->in = malloc(IN_SIZE);
	v->data = malloc(INLAY_DATA_MAX);
	status = v->in && v->data ? take_identity(v) : -INLAY_ENOMEM;
	if (status == 0)
		status = visit_greet(v);
	if (status == 0) {
		*ret = v;
		return 0;
	}
	snprintf(why, why_len, "can't visit: %s/%s: %s", inlay_addr_text(&name->addr, addr), name->export_name,
		advice(status, insecure));
	visit_free(v);
	return status;
}

void inlay_visit_close(struct inlay_visit *v)
{
	uint64_t until = inlay_clock_ns() + BYE_NS;
	struct inlay_writer w;

	if (!v)
		return;
	w = inlay_visit_begin(v, INLAY_BYE);
	if (v->lane.state == INLAY_LANE_OPEN && !v->lost && inlay_call_end(&v->call, &w) == 0) {
		v->over = false;
		inlay_visit_submit(v, &v->call);
		/* Just this connection: with it gone, the lease ends the session. */
		while (!v->over && !v->lost && v->fd >= 0 && inlay_clock_ns() < until) {
			flush(v);
			if (!v->lost)
				wait_for_events(v, until);
		}
	}
	visit_free(v);
}

const struct inlay_client *inlay_visit_client(const struct inlay_visit *v)
{
	return &v->client;
}

const struct inlay_cred *inlay_visit_cred(const struct inlay_visit *v)
{
	return &v->cred;
}

/*
 * The remote side: lanes on connections.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/link.h"

#include "base/log.h"
#include "base/status.h"
#include "net/socket.h"
#include "os/clock.h"
#include "os/random.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define OPEN_TIMEOUT_MS 10000u   /* connecting and HELLO at attach */
#define CONNECT_TIMEOUT_MS 5000u /* one attempt later on */
#define BACKOFF_FIRST_MS 20u
#define BACKOFF_MOST_MS 2000u
#define LASTING_MS 5000u         /* a connection that lived for longer was one */
#define GAPS_EVERY 6u            /* times of the sync timer */
#define WANTED_KINDS (1u << INLAY_FRAME_REPLY | 1u << INLAY_FRAME_EVENT)

struct link_lane {
	struct inlay_lane lane;
	struct inlay_link *link;
	struct inlay_loop *loop;
	struct inlay_conn *conn;   /* NULL while there is none */
	int early_fd;              /* lane 0's socket from open to start, -1 otherwise */
	unsigned in_frame;         /* depth: completions are running inside a frame's arrival */
	unsigned backoff_ms;
	uint64_t connected_ns;     /* when conn was made */
	uint64_t reconnects;
	struct inlay_timer tick, retry;
	struct inlay_timer sync;   /* lane 0's */
	unsigned syncs;            /* how often it came */
	struct inlay_task start, connect, stop, nudge;
	bool nudged, nudge_drops;  /* atomic: nudge is posted; it is to drop the connection */
	bool retrying;             /* retry runs */
	int connected_fd;          /* the connect task's answer */
	int failed;                /* why the last attempt failed, to say it once */
};

struct inlay_link {
	struct inlay_side_port port;
	struct inlay_link_config config;
	struct inlay_client client;
	unsigned lanes;
	struct link_lane *lane;
	pthread_mutex_t hello_lock; /* client, while a lane says HELLO or is answered */
	_Atomic bool stopping;
	struct inlay_call bye;
	uint8_t bye_head[INLAY_FRAME_HEADER];
};

static struct link_lane *of_lane(struct inlay_lane *l)
{
	return l->owner;
}

/* ---- sending ---- */

/* At attach, before there are loops: the one HELLO goes out as it is. */
static void send_early(int fd, const struct inlay_call *c)
{
	struct inlay_piece piece = {c->head, INLAY_FRAME_HEADER + c->body_len};

	if (inlay_socket_send(fd, &piece, 1) != (int64_t)piece.len)
		inlay_socket_end(fd); /* the wait for the answer then ends at once */
}

static void lane_send(struct inlay_lane *l, const struct inlay_call *c)
{
	struct link_lane *ll = of_lane(l);
	size_t head = INLAY_FRAME_HEADER + c->body_len;
	bool apart = c->data_hold && c->data_len >= 8192; /* smaller payloads are cheaper copied than queued on their own */
	uint8_t *p;

	if (ll->early_fd >= 0) {
		send_early(ll->early_fd, c);
		return;
	}
	if (!ll->conn)
		return;
	p = inlay_conn_reserve(ll->conn, apart ? head : head + c->data_len);
	if (!p)
		return;
	memcpy(p, c->head, head);
	if (!apart && c->data_len)
		memcpy(p + head, c->data, c->data_len);
	inlay_conn_commit(ll->conn, apart ? head : head + c->data_len);
	if (apart)
		inlay_conn_send_chunk(ll->conn, c->data_hold, c->data, c->data_len);
}

static void lane_drop(struct inlay_lane *l, int status)
{
	struct link_lane *ll = of_lane(l);

	if (ll->conn)
		inlay_conn_close(ll->conn, status);
	else if (ll->early_fd >= 0)
		inlay_socket_end(ll->early_fd);
}

/* Another lane has learnt that the session is over, or that there is a new one to join. */
static void nudged(struct inlay_task *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, nudge);

	__atomic_store_n(&ll->nudged, false, __ATOMIC_RELEASE);
	if (__atomic_exchange_n(&ll->nudge_drops, false, __ATOMIC_ACQ_REL) && ll->conn)
		inlay_conn_close(ll->conn, -INLAY_ENOSESSION);
	else if (ll->retrying)
		inlay_timer_start(ll->loop, &ll->retry, inlay_loop_now(ll->loop));
}

static void nudge_others(struct link_lane *from, bool drop)
{
	struct inlay_link *l = from->link;

	for (unsigned i = 0; i < l->lanes; i++) {
		struct link_lane *ll = &l->lane[i];

		if (ll == from)
			continue;
		__atomic_store_n(&ll->nudge_drops, drop, __ATOMIC_RELEASE);
		if (__atomic_exchange_n(&ll->nudged, true, __ATOMIC_ACQ_REL))
			continue;
		ll->nudge = (struct inlay_task){.done = nudged};
		inlay_loop_post(ll->loop, &ll->nudge);
	}
}

static void lane_opened(struct inlay_lane *l, bool resumed)
{
	struct link_lane *ll = of_lane(l);

	if (l->index == 0) /* whatever was to be reclaimed is */
		inlay_estate_save_client(ll->link->config.estate, l->client);
	if (l->index == 0 && !resumed && ll->reconnects)
		nudge_others(ll, false);
	if (ll->reconnects) {
		inlay_redirect_ask_again(ll->link->config.redirect, INLAY_REMOTE);
		inlay_info("%s: connection %u is back%s", ll->link->config.export_name, l->index,
		           resumed ? "" : "; the server had forgotten the session");
	}
}

static void lane_dead(struct inlay_lane *l, int status)
{
	struct link_lane *ll = of_lane(l);

	inlay_error("%s: the server refused the session: %s", ll->link->config.export_name, inlay_status_text(status));
}

static void lane_event_lock(struct inlay_lane *l, const struct inlay_event_lock_req *e)
{
	inlay_redirect_event_lock(of_lane(l)->link->config.redirect, INLAY_REMOTE, e);
}

static void lane_event_recall(struct inlay_lane *l, const struct inlay_event_recall_req *e)
{
	(void)l, (void)e; /* no leases are asked for, so none can be recalled */
}

static void lane_session_lost(struct inlay_lane *l)
{
	nudge_others(of_lane(l), true);
}

static void reclaim_send(void *arg, struct inlay_call *c)
{
	struct link_lane *ll = arg;

	inlay_lane_reclaim(&ll->lane, c, inlay_loop_now(ll->loop));
}

static void reclaim_over(void *arg, unsigned files, unsigned stale, unsigned lost)
{
	struct link_lane *ll = arg;

	if (stale)
		inlay_warning("%s: %u open files could not be opened again: programs get ESTALE from them",
		              ll->link->config.export_name, stale);
	if (lost)
		inlay_warning("%s: the server's host crashed, and what was written to %u files without a sync may be lost: programs that have them "
		              "open get EIO", ll->link->config.export_name, lost);
	inlay_debug("%s: %u open files opened again", ll->link->config.export_name, files);
	pthread_mutex_lock(&ll->link->hello_lock);
	inlay_lane_reclaimed(&ll->lane, inlay_loop_now(ll->loop));
	pthread_mutex_unlock(&ll->link->hello_lock);
}

static bool lane_reclaim(struct inlay_lane *l)
{
	static const struct inlay_reclaim_ops ops = {reclaim_send, reclaim_over};
	struct link_lane *ll = of_lane(l);

	return inlay_redirect_reclaim(ll->link->config.redirect, &l->client->boot, &ops, ll) == 0;
}

static void lane_late(struct inlay_lane *l, uint16_t type, const uint8_t *body, uint32_t len)
{
	inlay_redirect_late(of_lane(l)->link->config.redirect, l->index, INLAY_REMOTE, type, body, len);
}

static const struct inlay_lane_ops lane_ops = {
	.send = lane_send,
	.drop = lane_drop,
	.opened = lane_opened,
	.dead = lane_dead,
	.event_lock = lane_event_lock,
	.event_recall = lane_event_recall,
	.session_lost = lane_session_lost,
	.reclaim = lane_reclaim,
	.late = lane_late,
};

/* ---- connections ---- */

static void tick(struct inlay_timer *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, tick);
	uint64_t now_ns = inlay_loop_now(ll->loop), due;

	if (ll->conn)
		inlay_lane_moved(&ll->lane, inlay_conn_moved(ll->conn), inlay_conn_is_unfinished(ll->conn) ? ll->conn->last_in_ns : 0, now_ns);
	due = inlay_lane_tick(&ll->lane, now_ns);
	if (due != UINT64_MAX)
		inlay_timer_start(ll->loop, &ll->tick, due);
}

static bool conn_frame(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                       struct inlay_chunk *chunk)
{
	struct link_lane *ll = c->owner;
	bool hello = ll->lane.state == INLAY_LANE_HELLO;

	if (hello)
		pthread_mutex_lock(&ll->link->hello_lock);
	ll->in_frame++;
	(void)inlay_lane_frame(&ll->lane, f, body, data, chunk, inlay_loop_now(ll->loop)); /* a bad one has dropped the connection */
	ll->in_frame--;
	if (hello) {
		pthread_mutex_unlock(&ll->link->hello_lock);
		tick(&ll->tick); /* an open lane has its own times: a short lease wants its first PING early */
	}
	return true;
}

static void retry_later(struct link_lane *ll)
{
	ll->retrying = true;
	inlay_timer_start(ll->loop, &ll->retry, inlay_loop_now(ll->loop) + ll->backoff_ms * MS);
	ll->backoff_ms = 2 * ll->backoff_ms < BACKOFF_MOST_MS ? 2 * ll->backoff_ms : BACKOFF_MOST_MS;
}

static void conn_closed(struct inlay_conn *c, int status)
{
	struct link_lane *ll = c->owner;

	if (ll->conn != c)
		return;
	ll->conn = NULL;
	ll->failed = 0;
	/* A server that takes every connection and serves none must not be asked as quickly as one that has broken once. */
	if (ll->lane.served || inlay_loop_now(ll->loop) - ll->connected_ns > LASTING_MS * MS)
		ll->backoff_ms = BACKOFF_FIRST_MS;
	if (!ll->link->stopping) /* else it is the server's answer to BYE */
		inlay_warning("%s: connection %u lost: %s", ll->link->config.export_name, ll->lane.index,
		              status ? inlay_status_text(status) : "closed by the server");
	inlay_lane_disconnected(&ll->lane, inlay_loop_now(ll->loop));
	inlay_conn_unref(c);
	tick(&ll->tick);
	if (ll->lane.state != INLAY_LANE_DEAD)
		retry_later(ll);
}

/* What is written becomes durable in time, so that it need not be kept. */
static void sync_all(struct inlay_timer *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, sync);

	/* Where nothing is kept, writers are quicker than the disk: it is left alone. */
	if (++ll->syncs % GAPS_EVERY == 0 || inlay_redirect_kept(ll->link->config.redirect))
		inlay_redirect_sync(ll->link->config.redirect, ll->lane.index);
	inlay_timer_start(ll->loop, &ll->sync, inlay_loop_now(ll->loop) + INLAY_UNSYNCED_MS * MS);
}

static const struct inlay_conn_ops conn_ops = {.frame = conn_frame, .closed = conn_closed};

static int adopt(struct link_lane *ll, int fd)
{
	int err = inlay_conn_new(ll->loop, fd, &conn_ops, ll, WANTED_KINDS, &ll->conn);

	if (err < 0)
		inlay_socket_close(fd);
	ll->connected_ns = inlay_loop_now(ll->loop);
	return err;
}

static void connect_work(struct inlay_task *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, connect);
	const struct inlay_link_config *config = &ll->link->config;
	bool loopback;

	ll->connected_fd = inlay_addr_connect(&config->addr, CONNECT_TIMEOUT_MS, config->insecure, &loopback);
}

static void connect_done(struct inlay_task *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, connect);
	int err = ll->connected_fd < 0 ? ll->connected_fd : adopt(ll, ll->connected_fd);

	if (err < 0) {
		if (err != ll->failed)
			inlay_warning("%s: cannot connect again yet: %s", ll->link->config.export_name, inlay_status_text(err));
		ll->failed = err;
		retry_later(ll);
		return;
	}
	pthread_mutex_lock(&ll->link->hello_lock);
	inlay_lane_connected(&ll->lane, inlay_loop_now(ll->loop));
	pthread_mutex_unlock(&ll->link->hello_lock);
	tick(&ll->tick);
}

static void connect_now(struct link_lane *ll)
{
	ll->connect = (struct inlay_task){.work = connect_work, .done = connect_done};
	inlay_loop_offload(ll->loop, &ll->connect);
}

static void retry(struct inlay_timer *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, retry);

	ll->retrying = false;
	ll->reconnects++;
	connect_now(ll);
}

static void start_lane(struct inlay_task *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, start);
	int fd = ll->early_fd;

	ll->early_fd = -1;
	if (fd < 0) {
		connect_now(ll);
	} else if (adopt(ll, fd) < 0) {
		inlay_lane_disconnected(&ll->lane, inlay_loop_now(ll->loop));
		retry_later(ll);
	}
	tick(&ll->tick);
	if (ll->lane.index == 0)
		inlay_timer_start(ll->loop, &ll->sync, inlay_loop_now(ll->loop) + INLAY_UNSYNCED_MS * MS);
}

void inlay_link_start(struct inlay_link *l)
{
	for (unsigned i = 0; i < l->lanes; i++) {
		l->lane[i].start.done = start_lane;
		inlay_loop_post(l->lane[i].loop, &l->lane[i].start);
	}
}

/* ---- opening ---- */

static int receive_early(int fd, uint8_t *buf, size_t want, uint64_t deadline_ns)
{
	for (size_t have = 0; have < want;) {
		uint64_t now = inlay_clock_ns();
		int64_t n;

		if (now >= deadline_ns)
			return -INLAY_ETIMEDOUT;
		if (!inlay_socket_wait(fd, false, (unsigned)((deadline_ns - now) / MS) + 1))
			continue;
		n = inlay_socket_receive(fd, buf + have, want - have);
		if (n == 0)
			return -INLAY_ECONNRESET;
		if (n < 0 && n != -INLAY_EAGAIN)
			return (int)n;
		have += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int shake_hands(struct link_lane *ll)
{
	uint64_t deadline = inlay_clock_ns() + OPEN_TIMEOUT_MS * MS;
	uint8_t *buf = malloc(INLAY_FRAME_HEADER + INLAY_BODY_MAX);
	struct inlay_frame f;
	int err = buf ? 0 : -INLAY_ENOMEM;

	if (err == 0) {
		inlay_lane_connected(&ll->lane, inlay_clock_ns());
		err = receive_early(ll->early_fd, buf, INLAY_FRAME_HEADER, deadline);
	}
	if (err == 0)
		err = inlay_frame_parse(buf, INLAY_FRAME_HEADER, WANTED_KINDS, &f) == 1 &&
		      inlay_frame_data_len(&f) == 0 ? 0 : -INLAY_EPROTO;
	if (err == 0)
		err = receive_early(ll->early_fd, buf + INLAY_FRAME_HEADER, f.body, deadline);
	if (err == 0)
		err = inlay_lane_frame(&ll->lane, &f, buf + INLAY_FRAME_HEADER, NULL, NULL, inlay_clock_ns());
	if (err == 0 && ll->lane.state != INLAY_LANE_OPEN)
		err = ll->lane.state == INLAY_LANE_DEAD ? ll->lane.why_dead : -INLAY_EPROTO;
	free(buf);
	return err;
}

static int open_first(struct inlay_link *l, char *why, size_t why_len)
{
	struct link_lane *ll = &l->lane[0];
	char where[INLAY_ADDR_TEXT];
	bool loopback;
	int err;

	inlay_addr_text(&l->config.addr, where);
	err = inlay_addr_connect(&l->config.addr, OPEN_TIMEOUT_MS, l->config.insecure, &loopback);
	if (err == -INLAY_EPERM && !l->config.insecure) {
		snprintf(why, why_len, "connection is not encrypted and leaves this host: %s: add --insecure if that is meant", where);
		return err;
	}
	if (err < 0) {
		snprintf(why, why_len, "cannot connect: %s: %s: is inlayd running there?", where, inlay_status_text(err));
		return err;
	}
	ll->early_fd = err;
	err = shake_hands(ll);
	if (err == -INLAY_ENOEXPORT)
		snprintf(why, why_len, "no such export: %s: %s: see the server's --export", where, l->config.export_name);
	else if (err == -INLAY_EPROTO || err == -INLAY_EVERSION)
		snprintf(why, why_len, "no inlayd answers there, or one that speaks another version: %s: %s", where,
		         inlay_status_text(err));
	else if (err < 0)
		snprintf(why, why_len, "server did not open a session: %s: %s: try again, or see its log", where,
		         inlay_status_text(err));
	return err;
}

/* ---- the port ---- */

static void port_submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct inlay_link *l = inlay_container(port, struct inlay_link, port);
	struct link_lane *ll = &l->lane[lane];
	uint64_t now_ns = inlay_loop_now(ll->loop);

	inlay_lane_submit(&ll->lane, call, now_ns);
	/* A lane that was idle, or lost its connection then, has no time to look at that is as near as this call's. */
	if (ll->lane.state != INLAY_LANE_OPEN)
		inlay_timer_start(ll->loop, &ll->tick, now_ns);
	else if (l->client.timeout_ns && (!ll->tick.loop || ll->tick.due_ns > now_ns + l->client.timeout_ns / 4))
		inlay_timer_start(ll->loop, &ll->tick, now_ns + l->client.timeout_ns / 4);
}

static void port_cancel(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct inlay_link *l = inlay_container(port, struct inlay_link, port);

	(void)inlay_lane_cancel(&l->lane[lane].lane, call, true);
}

static bool port_is_nested(struct inlay_side_port *port, unsigned lane)
{
	return inlay_container(port, struct inlay_link, port)->lane[lane].in_frame > 0;
}

static void port_settle(struct inlay_side_port *port, unsigned lane, uint64_t origin)
{
	struct inlay_link *l = inlay_container(port, struct inlay_link, port);

	inlay_lane_settle(&l->lane[lane].lane, origin, inlay_loop_now(l->lane[lane].loop));
}

static int init_lane(struct inlay_link *l, unsigned i)
{
	struct link_lane *ll = &l->lane[i];

	ll->link = l;
	ll->loop = inlay_crew_loop(l->config.crew, i);
	ll->early_fd = -1;
	ll->backoff_ms = BACKOFF_FIRST_MS;
	inlay_timer_init(&ll->tick, tick);
	inlay_timer_init(&ll->retry, retry);
	inlay_timer_init(&ll->sync, sync_all);
	return inlay_lane_init(&ll->lane, &l->client, i, &lane_ops, ll, inlay_clock_ns());
}

static void hold_ref(void *hold)
{
	(void)inlay_chunk_ref(hold);
}

static void hold_unref(void *hold)
{
	inlay_chunk_unref(hold);
}

static size_t hold_size(void *hold)
{
	return ((struct inlay_chunk *)hold)->cap;
}

static const struct inlay_hold_ops hold_ops = {hold_ref, hold_unref, hold_size};

/* Lanes are there, and nothing is connected. NULL: out of memory. */
static struct inlay_link *link_new(const struct inlay_link_config *config)
{
	struct inlay_link *l = calloc(1, sizeof *l);
	unsigned lanes = inlay_crew_loops(config->crew);

	if (!l)
		return NULL;
	pthread_mutex_init(&l->hello_lock, NULL);
	l->config = *config;
	config->redirect->hold = &hold_ops;
	l->port = (struct inlay_side_port){.submit = port_submit, .cancel = port_cancel, .is_nested = port_is_nested,
	                                   .settle = port_settle, .present = true};
	l->lane = calloc(lanes, sizeof *l->lane);
	for (; l->lane && l->lanes < lanes; l->lanes++)
		if (init_lane(l, l->lanes) < 0)
			break;
	if (l->lanes == lanes)
		return l;
	inlay_link_free(l);
	return NULL;
}

/* The names given may end with the call: from here on the client's own are used. */
static void name_client(struct inlay_link *l)
{
	l->client.slots_wanted = INLAY_SLOTS_DEFAULT;
	l->client.timeout_ns = l->config.timeout_ms * MS;
	snprintf(l->client.export_name, sizeof l->client.export_name, "%s", l->config.export_name);
	snprintf(l->client.host, sizeof l->client.host, "%s", l->config.host);
	l->config.export_name = l->client.export_name;
	l->config.host = l->client.host;
}

static void take_hello(struct inlay_link *l)
{
	l->port.wants_forget = l->client.export_flags & INLAY_EXPORT_WANTS_FORGET;
	l->port.max_data = l->client.max_data;
}

int inlay_link_open(const struct inlay_link_config *config, char *why, size_t why_len, struct inlay_link **ret)
{
	struct inlay_link *l = link_new(config);
	int err = -INLAY_ENOMEM;

	snprintf(why, why_len, "out of memory");
	if (!l)
		return err;
	name_client(l);
	for (unsigned i = 0; config->estate && i < l->lanes; i++)
		inlay_lane_keep(&l->lane[i].lane, &inlay_estate_lanes(config->estate)[i]);
	err = inlay_random(&l->client.client, sizeof l->client.client);
	if (err == 0)
		err = open_first(l, why, why_len);
	if (err < 0) {
		inlay_link_free(l);
		return err;
	}
	take_hello(l);
	*ret = l;
	return 0;
}

int inlay_link_inherit(const struct inlay_link_config *config, struct inlay_link **ret)
{
	struct inlay_link *l = link_new(config);

	if (!l)
		return -INLAY_ENOMEM;
	if (!inlay_estate_load_client(config->estate, &l->client)) {
		inlay_link_free(l);
		return -INLAY_EPROTO;
	}
	l->client.up = 0;
	l->client.reclaiming = false;
	name_client(l);
	for (unsigned i = 0; i < l->lanes; i++)
		inlay_lane_inherit(&l->lane[i].lane, &inlay_estate_lanes(config->estate)[i], config->is_asked, config->arg);
	take_hello(l);
	*ret = l;
	return 0;
}

static void bye_done(struct inlay_call *c, const struct inlay_reply *r)
{
	(void)c, (void)r; /* the answer is not awaited */
}

/* The session ends at once instead of after its lease time. Best effort. */
static void say_bye(struct link_lane *ll)
{
	struct inlay_link *l = ll->link;

	l->bye = (struct inlay_call){.type = INLAY_BYE, .head = l->bye_head, .done = bye_done};
	inlay_list_init(&l->bye.link);
	inlay_lane_submit(&ll->lane, &l->bye, inlay_clock_ns());
	if (ll->conn)
		inlay_conn_flush(ll->conn);
}

static void stop_lane(struct inlay_task *t)
{
	struct link_lane *ll = inlay_container(t, struct link_lane, stop);

	if (ll->lane.index == 0)
		say_bye(ll);
	ll->retrying = false;
	inlay_timer_stop(&ll->retry);
	inlay_timer_stop(&ll->tick);
	inlay_timer_stop(&ll->sync);
	ll->in_frame++; /* what ends here may ask the local side: not in the middle of this */
	inlay_lane_end(&ll->lane);
	ll->in_frame--;
}

void inlay_link_stop(struct inlay_link *l)
{
	l->stopping = true;
	for (unsigned i = 0; i < l->lanes; i++) {
		l->lane[i].stop.done = stop_lane;
		inlay_loop_post(l->lane[i].loop, &l->lane[i].stop);
	}
}

void inlay_link_free(struct inlay_link *l)
{
	if (!l)
		return;
	if (l->lanes)
		say_bye(&l->lane[0]);
	for (unsigned i = 0; i < l->lanes; i++) {
		struct link_lane *ll = &l->lane[i];
		struct inlay_conn *conn = ll->conn;

		inlay_lane_done(&ll->lane);
		ll->conn = NULL;
		if (conn) {
			inlay_conn_close(conn, 0);
			inlay_conn_unref(conn);
		}
		if (ll->early_fd >= 0)
			inlay_socket_close(ll->early_fd);
	}
	pthread_mutex_destroy(&l->hello_lock);
	free(l->lane);
	free(l);
}

struct inlay_side_port *inlay_link_port(struct inlay_link *l)
{
	return &l->port;
}

const struct inlay_client *inlay_link_client(const struct inlay_link *l)
{
	return &l->client;
}

void inlay_link_picture(struct inlay_link *l, unsigned lane, struct inlay_lane_picture *ret)
{
	const struct inlay_lane *p = &l->lane[lane].lane;

	*ret = (struct inlay_lane_picture){.state = p->state, .outstanding = p->outstanding,
	                                   .reconnects = l->lane[lane].reconnects};
	ret->since_ns = p->state == INLAY_LANE_OPEN || p->state == INLAY_LANE_DEAD ? p->since_ns : p->lost_ns;
	inlay_list_each(it, &p->waiting)
		ret->waiting++;
}

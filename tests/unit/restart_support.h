/*
 * Whole clients and a server that dies and comes back, in one thread: redirectors on real lanes, the server's executor
 * behind real slots, a store in memory that outlives the server, and its state directory. Frames wait in queues until the
 * test moves them; what was under way at a kill is lost with the queues.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_RESTART_SUPPORT_H
#define INLAY_TESTS_RESTART_SUPPORT_H

#include "base/status.h"
#include "redirect/redirect.h"
#include "server/execute.h"
#include "session/slots.h"
#include "store/memory/memory.h"

#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS 3
#define LANES 2
#define SLOTS 8
#define SECOND UINT64_C(1000000000)

/* A whole frame on its way. */
struct parcel {
	struct inlay_list link;
	struct inlay_frame f;
	uint8_t bytes[];
};

struct wire {
	struct client *client;
	struct inlay_lane lane;
	bool connected, dropped;
	struct inlay_list up, down; /* parcels to the server, and to the client */
	struct lane *at;            /* the server's, NULL: it has none yet */
};

struct client {
	struct world *world;
	struct inlay_client session;
	struct wire wire[LANES];
	struct inlay_redirect r;
	struct inlay_side_port port, nowhere;
	struct inlay_list reposted;
	struct inlay_node *root;
	struct inlay_session *ss; /* the server's, NULL for none */
	unsigned stale, lost, reclaims;
};

struct world {
	struct inlay_server *server; /* NULL: it is down */
	struct inlay_store *store;
	struct inlay_store_ops ops; /* the store's, but that a server can't close it */
	void (*close)(struct inlay_store *s);
	struct client client[CLIENTS];
	char state[64];
	uint32_t lease_ms;
	uint64_t now, seed, ticks;
	unsigned hosts; /* crashes of the server's host */
	/* How the server dies at the next request: before it has done it, after that, after it has recorded its answer. */
	enum death { ALIVE, NOTED_ONLY, DONE_ONLY, RECORDED } death;
};

static volatile unsigned in_harness; /* what allocates now is the test's own, or may not fail: a server that greets */

static inline void *harness_alloc(size_t size)
{
	void *p;

	in_harness++;
	p = calloc(1, size);
	in_harness--;
	assert_non_null(p);
	return p;
}

static inline uint32_t chance(struct world *w, uint32_t n)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->seed >> 33) % n;
}

/* No two files are of the same time. */
static inline struct inlay_time file_clock(void *arg)
{
	struct world *w = arg;

	w->ticks++;
	return (struct inlay_time){.sec = 1000000000 + (int64_t)(w->ticks / 1000), .nsec = (uint32_t)(w->ticks % 1000)};
}

/* ---- the server ---- */

static inline void keep_open(struct inlay_store *s)
{
	(void)s;
}

static inline void server_start(struct world *w)
{
	struct inlay_server_config config = {.secret = {{11, 22}}, .banner = "test", .lease_ms = w->lease_ms,
	                                     .state_dir = w->state, .file_clock = file_clock, .file_clock_arg = w};
	struct inlay_export_config export = {.name = "data", .store = w->store, .identity_client = true, .rules = ""};

	assert_null(w->server);
	config.boot.bytes[0] = (uint8_t)(1 + w->hosts);
	assert_int_equal(inlay_server_new(&config, NULL, &w->server), 0);
	assert_int_equal(inlay_server_export_add(w->server, &export), 0);
}

static inline void parcels_drop(struct inlay_list *q)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(q)))
		free(inlay_container(it, struct parcel, link));
}

/* The connection is gone, with all that was on it. */
static inline void wire_cut(struct wire *x)
{
	parcels_drop(&x->up);
	parcels_drop(&x->down);
	x->dropped = false;
	if (!x->connected)
		return;
	x->connected = false;
	inlay_lane_disconnected(&x->lane, x->client->world->now);
}

static inline void session_drop(struct client *c)
{
	for (unsigned i = 0; i < LANES; i++)
		c->wire[i].at = NULL;
	if (c->ss)
		session_unref(c->ss);
	c->ss = NULL;
}

/* As kill -9: nothing is said to anyone, nothing is tidied up. */
static inline void server_kill(struct world *w)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		session_drop(&w->client[i]);
	inlay_server_free(w->server);
	w->server = NULL;
	w->death = ALIVE;
	for (unsigned i = 0; i < CLIENTS * LANES; i++)
		wire_cut(&w->client[i / LANES].wire[i % LANES]);
}

static inline void server_woken(void *arg, const struct inlay_event_lock_req *e)
{
	struct client *c = arg;

	inlay_redirect_event_lock(&c->r, INLAY_REMOTE, e);
}

static inline void send_down(struct wire *x, struct inlay_frame f, const void *body, const void *data)
{
	struct parcel *p = harness_alloc(sizeof *p + f.size);
	uint32_t data_len = inlay_frame_data_len(&f);

	p->f = f;
	memcpy(p->bytes, body ? body : "", f.body);
	memcpy(p->bytes + f.body, data ? data : "", data_len);
	inlay_list_append(&x->down, &p->link);
}

static inline int server_greet(struct wire *x, const struct parcel *p, struct inlay_hello_rep *rep)
{
	struct client *c = x->client;
	struct inlay_reader r = inlay_reader(p->bytes, p->f.body);
	struct inlay_hello_req m;
	static const struct inlay_uuid none;

	assert_int_equal(inlay_get_hello_req(&r, &m), 0);
	if (memcmp(&m.session, &none, sizeof none) == 0) {
		struct inlay_node_id root;

		assert_int_equal(x->lane.index, 0);
		session_drop(c); /* its HELLO's answer was lost: it is left to its lease */
		assert_int_equal(inlay_local_session_new(c->world->server, "data", server_woken, c, &root, &rep->attr, &c->ss), 0);
		inlay_local_session_reclaim(c->ss, &m.client, memcmp(&m.previous, &none, sizeof none) != 0);
	} else if (!c->ss || memcmp(&c->ss->id, &m.session, sizeof m.session)) {
		return -INLAY_ENOSESSION;
	}
	rep->resumed = x->at != NULL;
	if (!x->at) {
		bool resumed;

		assert_int_equal(session_lane(c->ss, x->lane.index, SLOTS, &x->at, &resumed), 0);
	}
	rep->version = INLAY_PROTOCOL_VERSION;
	rep->slots = SLOTS;
	rep->features = m.features & INLAY_FEATURES_KNOWN;
	rep->session = c->ss->id;
	rep->boot = c->world->server->boot;
	rep->lanes = LANES;
	rep->max_data = INLAY_DATA_MAX;
	rep->lease_ms = c->world->lease_ms;
	rep->root = c->ss->ex->root_id;
	rep->attr.mode = 0040755;
	return 0;
}

static inline void server_hello(struct wire *x, const struct parcel *p)
{
	uint8_t body[1024];
	struct inlay_writer w = inlay_writer(body, sizeof body);
	struct inlay_hello_rep rep = {0};
	int status;
	struct inlay_frame f = {.type = INLAY_HELLO, .kind = INLAY_FRAME_REPLY, .slot = INLAY_NO_SLOT,
	                        .seq = p->f.seq};

	in_harness++;
	status = server_greet(x, p, &rep);
	in_harness--;
	f.status = (uint32_t)-status;
	if (status == 0)
		inlay_put_hello_rep(&w, &rep);
	f.body = (uint32_t)inlay_writer_len(&w);
	f.size = INLAY_FRAME_HEADER + f.body;
	send_down(x, f, body, NULL);
}

static inline void server_request(struct wire *x, const struct parcel *p)
{
	struct inlay_request rq = {.session = x->client->ss, .type = p->f.type, .body = p->bytes, .body_len = p->f.body,
	                           .data = p->bytes + p->f.body, .data_len = inlay_frame_data_len(&p->f)};
	bool redo = p->f.flags & INLAY_FRAME_REDO;
	enum death death = x->client->world->death;
	uint8_t kept[INLAY_REPLY_CACHE_MAX];
	const uint8_t *again = NULL;
	size_t len = 0;
	struct inlay_frame f = {.type = p->f.type, .kind = INLAY_FRAME_REPLY, .slot = p->f.slot, .seq = p->f.seq};
	bool keep = inlay_message_flags(p->f.type) & INLAY_MSG_MUTATES;

	if (x->at->record)
		rq.record = redo ? (struct record_ref){x->at->record, p->f.lane & 0xff, p->f.lane >> 8, p->f.status, true} :
			(struct record_ref){x->at->record, p->f.slot, session_tag(x->client->ss), p->f.seq, false};
	rq.record.redo = redo;
	switch (inlay_slots_begin(x->at->slots, p->f.slot, p->f.seq, &again, &len)) {
	case INLAY_SLOT_REPLAY:
		assert_int_equal(inlay_frame_parse(again, len, 1u << INLAY_FRAME_REPLY, &f), 1);
		send_down(x, f, again + INLAY_FRAME_HEADER, NULL);
		return;
	case INLAY_SLOT_NEW:
		break;
	default:
		fail_msg("a slot was used wrongly");
	}
	if (death == NOTED_ONLY && redo_is_noted(&rq) && !redo && rq.record.lane) {
		redo_note(&rq);
		return;
	}
	if (inlay_message_flags(p->f.type) & INLAY_MSG_SESSION)
		rq.reply_body = rq.reply;
	else
		inlay_request_execute(&rq);
	if (death == DONE_ONLY && redo_is_noted(&rq))
		record_unend(&rq.record);
	f.status = (uint32_t)-rq.status;
	f.body = rq.reply_len;
	f.size = INLAY_FRAME_HEADER + f.body + rq.reply_data_len;
	inlay_frame_put(kept, &f);
	if (keep)
		memcpy(kept + INLAY_FRAME_HEADER, rq.reply_body, f.body);
	inlay_slots_end(x->at->slots, p->f.slot, keep ? kept : NULL, keep ? f.size : 0);
	send_down(x, f, rq.reply_body, rq.reply_data);
	inlay_request_done(&rq);
}

/* ---- the client ---- */

static inline void wire_send(struct inlay_lane *l, const struct inlay_call *c)
{
	struct wire *x = l->owner;
	struct parcel *p = harness_alloc(sizeof *p + c->body_len + c->data_len);

	assert_true(x->connected);
	assert_int_equal(inlay_frame_parse(c->head, INLAY_FRAME_HEADER, 1u << INLAY_FRAME_REQUEST, &p->f), 1);
	memcpy(p->bytes, c->head + INLAY_FRAME_HEADER, c->body_len);
	if (c->data_len)
		memcpy(p->bytes + c->body_len, c->data, c->data_len);
	inlay_list_append(&x->up, &p->link);
}

static inline void wire_drop(struct inlay_lane *l, int status)
{
	assert_int_not_equal(status, -INLAY_EPROTO);
	((struct wire *)l->owner)->dropped = true;
}

static inline void wire_opened(struct inlay_lane *l, bool resumed)
{
	struct wire *x = l->owner;

	(void)resumed;
	if (x->client->root)
		inlay_redirect_ask_again(&x->client->r, INLAY_REMOTE);
}

static inline void wire_dead(struct inlay_lane *l, int status)
{
	(void)l;
	fail_msg("a lane is dead: %s", inlay_status_text(status));
}

static inline void wire_event(struct inlay_lane *l, const struct inlay_event_lock_req *e)
{
	(void)l, (void)e;
}

static inline void wire_recall(struct inlay_lane *l, const struct inlay_event_recall_req *e)
{
	(void)l, (void)e;
}

static inline void wire_lost(struct inlay_lane *l)
{
	struct client *c = ((struct wire *)l->owner)->client;

	for (unsigned i = 1; i < LANES; i++)
		c->wire[i].dropped = c->wire[i].connected;
}

static inline void reclaim_send(void *arg, struct inlay_call *call)
{
	struct client *c = arg;

	inlay_lane_reclaim(&c->wire[0].lane, call, c->world->now);
}

static inline void reclaim_over(void *arg, unsigned files, unsigned stale, unsigned lost)
{
	struct client *c = arg;

	(void)files;
	c->lost += lost;
	c->stale += stale;
	c->reclaims++;
	inlay_lane_reclaimed(&c->wire[0].lane, c->world->now);
}

static inline bool wire_reclaim(struct inlay_lane *l)
{
	static const struct inlay_reclaim_ops ops = {reclaim_send, reclaim_over};
	struct client *c = ((struct wire *)l->owner)->client;

	return inlay_redirect_reclaim(&c->r, &c->session.boot, &ops, c) == 0;
}

static const struct inlay_lane_ops wire_ops = {wire_send, wire_drop, wire_opened, wire_dead, wire_event, wire_recall,
                                               wire_lost, wire_reclaim, NULL};

static inline void client_submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct client *c = inlay_container(port, struct client, port);

	inlay_lane_submit(&c->wire[lane].lane, call, c->world->now);
}

static inline void client_cancel(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct client *c = inlay_container(port, struct client, port);

	(void)inlay_lane_cancel(&c->wire[lane].lane, call, true);
}

static inline void client_repost(struct inlay_redirect *r, struct inlay_op *op)
{
	struct client *c = inlay_container(r, struct client, r);

	inlay_list_init(&op->call.link);
	inlay_list_append(&c->reposted, &op->call.link);
}

/* ---- moving things on; each returns whether there was something to do ---- */

static inline bool step_connect(struct wire *x)
{
	struct client *c = x->client;

	if (x->dropped)
		wire_cut(x);
	if (x->connected || !c->world->server)
		return false;
	if (x->lane.index && (c->session.reclaiming || c->wire[0].lane.state != INLAY_LANE_OPEN))
		return false; /* it would only be told to come back later */
	x->connected = true;
	inlay_lane_connected(&x->lane, c->world->now);
	return true;
}

static inline bool step_serve(struct wire *x)
{
	struct inlay_list *it = x->connected && x->client->world->server ? inlay_list_pop(&x->up) : NULL;
	struct parcel *p;

	if (!it)
		return false;
	p = inlay_container(it, struct parcel, link);
	if (p->f.type == INLAY_HELLO)
		server_hello(x, p);
	else
		server_request(x, p);
	if (x->client->world->death)
		server_kill(x->client->world);
	free(p);
	return true;
}

static inline bool step_receive(struct wire *x)
{
	struct inlay_list *it = x->dropped ? NULL : inlay_list_pop(&x->down);
	struct parcel *p;

	if (!it)
		return false;
	p = inlay_container(it, struct parcel, link);
	assert_int_equal(inlay_lane_frame(&x->lane, &p->f, p->bytes, p->bytes + p->f.body, NULL, x->client->world->now), 0);
	free(p);
	return true;
}

static inline bool step_repost(struct client *c)
{
	struct inlay_list *it = inlay_list_pop(&c->reposted);
	struct inlay_op *op;

	if (!it)
		return false;
	op = inlay_container(inlay_container(it, struct inlay_call, link), struct inlay_op, call);
	op->step(op, NULL);
	return true;
}

/* One step somewhere, at random; false when none is possible. */
static inline bool step(struct world *w)
{
	unsigned n = CLIENTS * LANES * 4, from = chance(w, n);

	for (unsigned i = 0; i < n; i++) {
		unsigned what = (from + i) % n;
		struct client *c = &w->client[what / 4 / LANES];
		struct wire *x = &c->wire[what / 4 % LANES];
		bool (*const steps[])(struct wire *x) = {step_connect, step_serve, step_receive};

		if (what % 4 == 3 ? step_repost(c) : steps[what % 4](x))
			return true;
	}
	return false;
}

static inline void settle(struct world *w)
{
	for (unsigned i = 0; step(w); i++)
		assert_true(i < 1000000);
}

/* ---- beginning and end ---- */

static inline void client_init(struct world *w, unsigned number)
{
	struct client *c = &w->client[number];
	const struct inlay_node_id *roots[INLAY_SIDES] = {NULL, &c->session.root};
	const struct inlay_hash_key seed = {{3, 4}};

	c->world = w;
	memset(c->session.client.bytes, (int)number + 1, sizeof c->session.client.bytes);
	c->session.slots_wanted = SLOTS;
	strcpy(c->session.export_name, "data");
	strcpy(c->session.host, "test");
	inlay_list_init(&c->reposted);
	for (unsigned i = 0; i < LANES; i++) {
		struct wire *x = &c->wire[i];

		x->client = c;
		inlay_list_init(&x->up);
		inlay_list_init(&x->down);
		assert_int_equal(inlay_lane_init(&x->lane, &c->session, i, &wire_ops, x, w->now), 0);
	}
	c->port = (struct inlay_side_port){.submit = client_submit, .cancel = client_cancel, .present = true,
	                                   .max_data = INLAY_DATA_MAX};
	while (c->wire[0].lane.state != INLAY_LANE_OPEN)
		assert_true(step(w));
	assert_int_equal(inlay_redirect_init(&c->r, LANES), 0);
	c->r.port[INLAY_REMOTE] = &c->port;
	c->r.port[INLAY_LOCAL] = &c->nowhere;
	c->r.repost = client_repost;
	c->r.boot = c->session.boot;
	c->r.judge = inlay_judge_new();
	assert_int_equal(inlay_nodes_new(&seed, roots, &c->r.nodes), 0);
	c->root = inlay_node_get(c->r.nodes, INLAY_ROOT_NUMBER);
}

static inline void world_init(struct world *w, uint64_t seed, uint32_t lease_ms)
{
	memset(w, 0, sizeof *w);
	w->seed = seed;
	w->now = SECOND;
	w->lease_ms = lease_ms;
	/* In memory where there is such a place: the notes are synced. */
	snprintf(w->state, sizeof w->state, "%s/inlay-restart-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(w->state));
	assert_int_equal(inlay_memory_open(&w->store), 0);
	w->ops = *w->store->ops;
	w->close = w->ops.close;
	w->ops.close = keep_open;
	w->store->ops = &w->ops;
	inlay_memory_set_clock(w->store, file_clock, w);
	for (unsigned i = 0; i < CLIENTS; i++)
		for (unsigned j = 0; j < LANES; j++) {
			inlay_list_init(&w->client[i].wire[j].up);
			inlay_list_init(&w->client[i].wire[j].down);
			w->client[i].wire[j].client = &w->client[i];
			w->client[i].world = w;
			w->client[i].wire[j].connected = true; /* not yet there: nothing to be done for it */
			inlay_list_init(&w->client[i].reposted);
		}
	server_start(w);
	for (unsigned i = 0; i < CLIENTS; i++) {
		for (unsigned j = 0; j < LANES; j++)
			w->client[i].wire[j].connected = false;
		client_init(w, i);
	}
	settle(w);
}

/* The server's host goes down with what was not synced, and comes back. */
static inline void world_crash(struct world *w)
{
	server_kill(w);
	inlay_memory_crash(w->store);
	w->hosts++;
	server_start(w);
	settle(w);
}

static inline void state_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char name[4600];

	assert_non_null(d);
	while ((e = readdir(d))) {
		snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.' && unlink(name) < 0)
			state_remove(name);
	}
	closedir(d);
	rmdir(path);
}

static inline void world_done(struct world *w)
{
	settle(w);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &w->client[i];

		inlay_node_put(c->root);
		assert_int_equal(inlay_table_count(c->r.files), 0);
		inlay_redirect_done(&c->r);
		for (unsigned j = 0; j < LANES; j++) {
			inlay_lane_done(&c->wire[j].lane);
			c->wire[j].connected = false;
		}
	}
	server_kill(w);
	w->close(w->store);
	state_remove(w->state);
}

/* ---- the store, behind the server's back ---- */

enum kind { NOTHING, FILE_, DIRECTORY, LINK };

/* What the name stands for in the root. */
static inline enum kind world_kind(struct world *w, const char *name)
{
	struct inlay_store_node *root, *n;
	struct inlay_attr attr;
	int r;

	assert_int_equal(w->ops.root(w->store, &root), 0);
	r = w->ops.lookup(root, NULL, inlay_str(name), &n, &attr);
	w->ops.node_unref(root);
	if (r < 0)
		return NOTHING;
	w->ops.node_unref(n);
	return (attr.mode & 0170000) == 0040000 ? DIRECTORY : (attr.mode & 0170000) == 0120000 ? LINK : FILE_;
}

/* A program on the server, which is known by the time alone. */
static inline void write_on_server(struct world *w, const char *name, uint64_t off, const char *text)
{
	struct inlay_store_node *root, *n;
	struct inlay_store_file *f;
	struct inlay_attr attr;
	uint64_t size;

	assert_int_equal(w->ops.root(w->store, &root), 0);
	assert_int_equal(w->ops.lookup(root, NULL, inlay_str(name), &n, &attr), 0);
	assert_int_equal(w->ops.open(n, NULL, INLAY_O_WRONLY, &f, &attr), 0);
	assert_int_equal(w->ops.write(f, off, text, strlen(text), 0, &size), strlen(text));
	w->ops.file_unref(f);
	w->ops.node_unref(n);
	w->ops.node_unref(root);
}

/* ---- operations of a client ---- */

struct run {
	struct inlay_op op;
	struct client *client;
	bool done;
	int status;
	uint8_t data[4096];
	uint32_t data_len;
};

static inline void run_finished(struct inlay_op *op, int status)
{
	struct run *t = inlay_container(op, struct run, op);

	assert_false(t->done);
	t->done = true;
	t->status = status;
	if (status == 0 && op->reply && op->reply->data_len && op->reply->data_len <= sizeof t->data) {
		t->data_len = op->reply->data_len;
		memcpy(t->data, op->reply->data, t->data_len);
	}
}

/* name: must outlive it. */
static inline struct run *begin(struct client *c, const char *name, struct inlay_file *f)
{
	struct run *t = harness_alloc(sizeof *t);

	t->client = c;
	inlay_op_init(&t->op, &c->r, chance(c->world, LANES), run_finished);
	if (name) {
		t->op.node = inlay_node_ref(c->root);
		t->op.name = inlay_str(name);
	}
	if (f)
		t->op.file = inlay_file_get(&c->r, f->number);
	return t;
}

/* Its status, once it is done. What was found is forgotten, what was opened is the caller's. */
static inline int finish(struct run *t)
{
	struct client *c = t->client;
	int status = t->status;

	assert_true(t->done);
	inlay_node_put(t->op.node);
	inlay_node_put(t->op.to);
	if (t->op.found) {
		uint64_t number = t->op.found->number;

		inlay_node_put(t->op.found);
		if (!t->op.opened) /* a kernel knows the node of a file for as long as it is open */
			inlay_redirect_forget(&c->r, t->op.lane, number, 1);
	}
	inlay_file_put(&c->r, t->op.file);
	free(t);
	return status;
}

static inline int run_to_end(struct run *t)
{
	while (!t->done)
		assert_true(step(t->client->world));
	return finish(t);
}

static inline struct run *begin_create(struct client *c, const char *name, uint32_t flags)
{
	struct run *t = begin(c, name, NULL);

	t->op.in.make.flags = flags;
	t->op.in.make.mode = 0644;
	inlay_op_create(&t->op);
	return t;
}

static inline struct inlay_file *do_create(struct client *c, const char *name, uint32_t flags)
{
	struct run *t = begin_create(c, name, flags);
	struct inlay_file *f;

	while (!t->done)
		assert_true(step(c->world));
	f = t->op.opened;
	assert_int_equal(finish(t), 0);
	return f;
}

static inline struct run *begin_write(struct client *c, struct inlay_file *f, uint64_t off, const void *data, uint32_t len)
{
	struct run *t = begin(c, NULL, f);

	t->op.in.io.off = off;
	t->op.data = data;
	t->op.data_len = len;
	inlay_op_write(&t->op);
	return t;
}

static inline int do_write(struct client *c, struct inlay_file *f, uint64_t off, const char *text)
{
	return run_to_end(begin_write(c, f, off, text, (uint32_t)strlen(text)));
}

/* What it reads, as text; NULL and *ret_status. */
static inline int do_read(struct client *c, struct inlay_file *f, char *text, uint32_t cap)
{
	struct run *t = begin(c, NULL, f);
	int status;

	t->op.in.io.len = cap - 1;
	inlay_op_read(&t->op);
	while (!t->done)
		assert_true(step(c->world));
	memcpy(text, t->data, t->data_len);
	text[t->data_len] = '\0';
	status = finish(t);
	return status;
}

static inline int do_sync(struct client *c, struct inlay_file *f)
{
	struct run *t = begin(c, NULL, f);

	inlay_op_commit(&t->op);
	return run_to_end(t);
}

/* Within the run's file. */
static inline void ask_copy(struct run *t, uint64_t off, uint64_t to, uint64_t len)
{
	t->op.file2 = t->op.file;
	t->op.in.io.off = off;
	t->op.in.io.to_off = to;
	t->op.in.io.len = len;
	inlay_op_copy(&t->op);
}

static inline int do_copy(struct client *c, struct inlay_file *f, uint64_t off, uint64_t to, uint64_t len)
{
	struct run *t = begin(c, NULL, f);

	ask_copy(t, off, to, len);
	return run_to_end(t);
}

static inline int do_close(struct client *c, struct inlay_file *f)
{
	struct run *t = begin(c, NULL, f);
	uint64_t number = f->node->number;
	int status;

	inlay_op_close(&t->op);
	status = run_to_end(t);
	if (number != INLAY_ROOT_NUMBER)
		inlay_redirect_forget(&c->r, 0, number, 1);
	return status;
}

static inline struct run *begin_remove(struct client *c, const char *name, uint16_t kind)
{
	struct run *t = begin(c, name, NULL);

	inlay_op_remove(&t->op, kind);
	return t;
}

static inline struct run *begin_rename(struct client *c, const char *from, const char *to, uint32_t flags)
{
	struct run *t = begin(c, from, NULL);

	t->op.to = inlay_node_ref(c->root);
	t->op.to_name = inlay_str(to);
	t->op.in.make.flags = flags;
	inlay_op_rename(&t->op);
	return t;
}

static inline struct run *begin_lock(struct client *c, struct inlay_file *f, uint64_t owner, uint32_t kind, uint32_t type,
                                     uint64_t start, uint64_t end, uint32_t flags)
{
	struct run *t = begin(c, NULL, f);

	t->op.in.lock = (struct inlay_lock_req){.owner = owner, .kind = kind, .type = type, .start = start, .end = end,
	                                        .flags = flags, .pid = 1};
	inlay_op_lock(&t->op);
	return t;
}

static inline int do_lock(struct client *c, struct inlay_file *f, uint64_t owner, uint32_t type, uint64_t start, uint64_t end)
{
	return run_to_end(begin_lock(c, f, owner, INLAY_LOCK_POSIX, type, start, end, 0));
}

#endif

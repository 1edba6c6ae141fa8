/*
 * A redirector without hosts: both sides are local sessions of the server core on memory stores, in one thread.
 * A side can hold its calls back, answer with another status, or with bytes that a test makes up.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_FAKE_SIDES_H
#define INLAY_TESTS_FAKE_SIDES_H

#include "base/status.h"
#include "redirect/redirect.h"
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_REQUIRE(what) ((what) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), abort()))

struct fake_side {
	struct inlay_side_port port;
	unsigned *in_side;                 /* the world's */
	struct inlay_session *session;
	struct inlay_node_id root;
	struct inlay_store *store;
	unsigned calls[INLAY_MESSAGE_TOP]; /* executed or not */
	bool hold;                         /* calls wait in `held` */
	struct inlay_list held;
	/* Answers in the session's place when it returns true; r is filled in. Or changes what the session said, below. */
	bool (*script)(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r);
	void (*mangle)(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r);
	uint16_t fail_type;                /* this message, the fail_at-th from now, ends with fail_status instead */
	unsigned fail_at;
	int fail_status;
	void *arg;                         /* the test's */
};

struct fake_world {
	struct inlay_server *server;
	struct fake_side side[INLAY_SIDES];
	struct inlay_redirect r;
	struct inlay_list reposted; /* by op->call.link */
	bool lossy;                 /* handles may be lost: what tells the sides to close them could not be allocated */
	unsigned in_side;           /* a side is at work: not the redirector */
	struct inlay_node *root;
};

static inline void fake_answer(struct fake_side *f, struct inlay_call *c)
{
	struct inlay_request rq = {.session = f->session, .type = c->type, .body = c->head + INLAY_FRAME_HEADER,
	                           .body_len = c->body_len, .data = c->data, .data_len = c->data_len};
	struct inlay_reply r = {0};

	++*f->in_side;
	if (f->fail_type == c->type && f->fail_at && --f->fail_at == 0) {
		r.status = f->fail_status;
	} else if (!f->script || !f->script(f, c, &r)) {
		inlay_request_execute(&rq);
		r = (struct inlay_reply){.status = rq.status, .hold = rq.chunk};
		if (rq.status == 0)
			r = (struct inlay_reply){.body = rq.reply_body, .body_len = rq.reply_len, .data = rq.reply_data,
			                         .data_len = rq.reply_data_len, .hold = rq.chunk};
		if (f->mangle)
			f->mangle(f, c, &r);
	}
	--*f->in_side;
	c->done(c, &r);
	inlay_request_done(&rq);
}

static inline void fake_submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *c)
{
	struct fake_side *f = inlay_container(port, struct fake_side, port);

	(void)lane;
	f->calls[c->type]++;
	inlay_list_init(&c->link);
	if (f->hold)
		inlay_list_append(&f->held, &c->link);
	else
		fake_answer(f, c);
}

static inline void fake_cancel(struct inlay_side_port *port, unsigned lane, struct inlay_call *c)
{
	struct fake_side *f = inlay_container(port, struct fake_side, port);

	(void)lane;
	inlay_list_each(it, &f->held) {
		if (it == &c->link) {
			struct inlay_call *heir = c->heir ? c->heir(c) : NULL;

			if (heir) {
				inlay_list_init(&heir->link);
				inlay_list_append(it, &heir->link);
			}
			inlay_list_remove(it);
			c->done(c, &(struct inlay_reply){.status = -INLAY_EINTR});
			return;
		}
	}
}

/* Answers the call that was held back first; false when there is none. */
static inline bool fake_release(struct fake_side *f)
{
	struct inlay_list *it = inlay_list_pop(&f->held);

	if (it)
		fake_answer(f, inlay_container(it, struct inlay_call, link));
	return it;
}

static inline void fake_repost(struct inlay_redirect *r, struct inlay_op *op)
{
	struct fake_world *w = inlay_container(r, struct fake_world, r);

	inlay_list_init(&op->call.link);
	inlay_list_append(&w->reposted, &op->call.link);
}

/* Runs what was reposted; true when there was something. */
static inline bool fake_run(struct fake_world *w)
{
	struct inlay_list *it;
	bool any = false;

	while ((it = inlay_list_pop(&w->reposted))) {
		struct inlay_op *op = inlay_container(inlay_container(it, struct inlay_call, link), struct inlay_op, call);

		op->step(op, NULL);
		any = true;
	}
	return any;
}

static inline void fake_wake(void *arg, const struct inlay_event_lock_req *e)
{
	struct fake_world *w = arg;

	/* Sessions don't say who they are, but their handles are salted: it fits the waiter of one side only. */
	inlay_redirect_event_lock(&w->r, INLAY_LOCAL, e);
	inlay_redirect_event_lock(&w->r, INLAY_REMOTE, e);
}

/* rules: NULL-terminated or NULL. The two roots are one directory. */
static inline void fake_world_init(struct fake_world *w, const char *const *rules)
{
	static const char *const names[INLAY_SIDES] = {"local", "remote"};
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .banner = "fake"};
	const struct inlay_node_id *roots[INLAY_SIDES];
	const struct inlay_hash_key seed = {{3, 4}};
	const char *why;

	memset(w, 0, sizeof *w);
	inlay_list_init(&w->reposted);
	FAKE_REQUIRE(inlay_server_new(&config, NULL, &w->server) == 0);
	FAKE_REQUIRE(inlay_redirect_init(&w->r, 1) == 0);
	for (int i = 0; i < INLAY_SIDES; i++) {
		struct inlay_export_config export = {.name = names[i], .identity_client = true, .rules = ""};
		struct fake_side *f = &w->side[i];
		struct inlay_attr attr;

		FAKE_REQUIRE(inlay_memory_open(&export.store) == 0);
		f->store = export.store;
		FAKE_REQUIRE(inlay_server_export_add(w->server, &export) == 0);
		FAKE_REQUIRE(inlay_local_session_new(w->server, names[i], fake_wake, w, &f->root, &attr, &f->session) == 0);
		f->port = (struct inlay_side_port){.submit = fake_submit, .present = true, .max_data = INLAY_DATA_MAX};
		inlay_list_init(&f->held);
		f->in_side = &w->in_side;
		w->r.port[i] = &f->port;
		roots[i] = &f->root;
	}
	w->r.port[INLAY_REMOTE]->cancel = fake_cancel;
	w->r.repost = fake_repost;
	w->r.judge = inlay_judge_new();
	FAKE_REQUIRE(w->r.judge);
	for (; rules && *rules; rules++)
		FAKE_REQUIRE(inlay_judge_add(w->r.judge, *rules, &why) == 0);
	FAKE_REQUIRE(inlay_nodes_new(&seed, roots, &w->r.nodes) == 0);
	w->root = inlay_node_get(w->r.nodes, INLAY_ROOT_NUMBER);
}

/* Everything must have been given back: a reference that is left makes the tables abort. */
static inline void fake_world_done(struct fake_world *w)
{
	struct inlay_server_counts counts;

	FAKE_REQUIRE(inlay_list_empty(&w->reposted) && inlay_list_empty(&w->r.waiters));
	/* Nodes of which something is kept are known until it is durable. */
	FAKE_REQUIRE(inlay_nodes_count(w->r.nodes) == 1 + w->r.kept.count); /* the root */
	inlay_redirect_sync(&w->r, 0);
	FAKE_REQUIRE(w->r.kept.count == 0);
	inlay_node_put(w->root);
	FAKE_REQUIRE(inlay_nodes_count(w->r.nodes) == 1); /* the root */
	FAKE_REQUIRE(inlay_table_count(w->r.files) == 0);
	inlay_server_counts(w->server, &counts);
	FAKE_REQUIRE(w->lossy || (counts.handles == 0 && counts.locks == 0));
	inlay_redirect_done(&w->r);
	for (int i = 0; i < INLAY_SIDES; i++) {
		FAKE_REQUIRE(inlay_list_empty(&w->side[i].held));
		inlay_local_session_free(w->side[i].session);
	}
	inlay_server_free(w->server);
}

#endif

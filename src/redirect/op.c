/*
 * Operations: sending their requests, ending, deciding where a name belongs.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/op.h"

#include "redirect/unsynced.h"
#include "redirect/listing.h"

#include <stdlib.h>
#include <string.h>

#define PATH_ROOM 8192u

static void release_file(void *object, void *arg)
{
	struct inlay_file *f = object;

	inlay_estate_file_gone(((struct inlay_redirect *)arg)->estate, f->number);
	if (atomic_load(&f->lock_uses)) /* never closed: the whole attachment ends */
		inlay_held_drop(arg, f);
	inlay_listing_free(f->listing);
	free(f->cred);
	inlay_node_put(f->node);
	free(f);
}

int inlay_redirect_init(struct inlay_redirect *r, unsigned lanes)
{
	r->lanes = lanes;
	r->stats = calloc(lanes, sizeof *r->stats);
	r->files = inlay_table_new(INLAY_HANDLES_MAX, release_file, r);
	pthread_mutex_init(&r->waiters_lock, NULL);
	pthread_mutex_init(&r->held_lock, NULL);
	inlay_list_init(&r->waiters);
	inlay_list_init(&r->undoing);
	inlay_unsynced_init(r);
	return r->stats && r->files ? 0 : -INLAY_ENOMEM;
}

void inlay_redirect_done(struct inlay_redirect *r)
{
	inlay_table_free(r->files);
	inlay_unsynced_done(r);
	inlay_nodes_free(r->nodes);
	inlay_judge_free(r->judge);
	for (unsigned i = 0; r->stats && i < r->lanes; i++)
		for (unsigned kind = 0; kind < INLAY_MESSAGE_TOP; kind++)
			for (int side = 0; side < INLAY_SIDES; side++)
				free(r->stats[i].latency[kind][side]);
	free(r->stats);
	pthread_mutex_destroy(&r->held_lock);
	pthread_mutex_destroy(&r->waiters_lock);
}

void inlay_op_init(struct inlay_op *op, struct inlay_redirect *r, unsigned lane,
                   void (*finish)(struct inlay_op *op, int status))
{
	/* The groups and the room are large and written before they are read. */
	memset(op, 0, offsetof(struct inlay_op, cred));
	op->cred.ngroups = 0;
	memset(&op->node, 0, offsetof(struct inlay_op, room) - offsetof(struct inlay_op, node));
	op->redirect = r;
	op->lane = lane;
	op->finish = finish;
	inlay_list_init(&op->call.link);
	inlay_list_init(&op->waiter);
}

void inlay_op_end(struct inlay_op *op, int status)
{
	op->finish(op, status);
}

static void op_answered(struct inlay_call *c, const struct inlay_reply *r)
{
	struct inlay_op *op = inlay_container(c, struct inlay_op, call);
	static const struct inlay_reply late = {.status = -INLAY_EIO}, stale = {.status = -INLAY_ESTALE};
	/* What is local can be lost, too, where another process had opened it. */
	int status = r && (op->side == INLAY_REMOTE || op->redirect->estate) ? r->status : 0;

	op->reply = r;
	/* A server that stays away longer than it may is to programs what a disk that stays away is. */
	if (status == -INLAY_ETIMEDOUT)
		op->reply = &late;
	/* The program's descriptor is as good as ever: what the server has lost is its own side of it. */
	if (status == -INLAY_EBADF)
		op->reply = &stale;
	op->step(op, op->reply);
}

struct inlay_writer inlay_op_begin(struct inlay_op *op, uint16_t type)
{
	op->call.data = NULL;
	op->call.data_len = 0;
	op->call.data_hold = NULL;
	op->call.heir = NULL;
	op->call.step = 0;
	return inlay_call_begin(&op->call, type, op->room, sizeof op->room);
}

/* False: it was too large, and the operation has ended. */
static bool seal(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side,
                 void (*step)(struct inlay_op *op, const struct inlay_reply *r))
{
	int err = inlay_call_end(&op->call, w);

	if (err < 0) {
		inlay_op_end(op, err);
		return false;
	}
	if (!op->kind)
		op->kind = op->call.type;
	op->side = side;
	op->step = step;
	op->call.done = op_answered;
	return true;
}

void inlay_redirect_submit_later(struct inlay_redirect *r, unsigned lane, enum inlay_side side, struct inlay_call *call)
{
	struct inlay_side_port *port = r->port[side];

	(port->submit_later ? port->submit_later : port->submit)(port, lane, call);
}

void inlay_op_send(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side,
                   void (*step)(struct inlay_op *op, const struct inlay_reply *r))
{
	if (seal(op, w, side, step))
		op->redirect->port[side]->submit(op->redirect->port[side], op->lane, &op->call);
}

void inlay_op_send_later(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side,
                         void (*step)(struct inlay_op *op, const struct inlay_reply *r))
{
	if (seal(op, w, side, step))
		inlay_redirect_submit_later(op->redirect, op->lane, side, &op->call);
}

void inlay_op_step_end(struct inlay_op *op, const struct inlay_reply *r)
{
	inlay_op_end(op, r->status);
}

void inlay_op_fit_attr(struct inlay_op *op, enum inlay_side side)
{
	if (side == INLAY_LOCAL)
		op->attr.ino |= INLAY_LOCAL_INO;
}

int inlay_op_found(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name, enum inlay_side side,
                   const struct inlay_node_id *id, uint32_t mode)
{
	const struct inlay_node_id *ids[INLAY_SIDES] = {NULL, NULL};

	ids[side] = id;
	op->found = inlay_node_learn(dir, name, mode & INLAY_TYPE_MASK, ids, 0);
	return op->found ? 0 : -INLAY_ENOMEM;
}

static struct inlay_cred *cred_copy(const struct inlay_cred *cred)
{
	struct inlay_cred *copy = malloc(offsetof(struct inlay_cred, groups) + cred->ngroups * sizeof cred->groups[0]);

	if (copy)
		inlay_cred_copy(copy, cred);
	return copy;
}

int inlay_op_opened(struct inlay_op *op, struct inlay_node *node, enum inlay_side side, uint64_t handle, bool is_dir,
                    uint64_t token)
{
	struct inlay_file *f = calloc(1, sizeof *f);
	int err = -INLAY_ENOMEM;

	if (f && token && is_dir && !(f->cred = cred_copy(&op->cred))) {
		free(f);
		f = NULL;
	}
	if (f) {
		f->token = token;
		f->side = side;
		f->handle = handle;
		f->is_dir = is_dir;
		f->flags = op->in.make.flags;
		f->node = inlay_node_ref(node);
		err = f->node ? inlay_table_add(op->redirect->files, f, &f->number) : -INLAY_ESTALE;
	}
	if (err < 0) {
		if (f) {
			inlay_node_put(f->node);
			free(f->cred);
		}
		free(f);
		inlay_redirect_close_handle(op->redirect, op->lane, side, handle);
		return err;
	}
	inlay_estate_file(op->redirect->estate, f, op->call.origin);
	op->opened = f;
	inlay_unsynced_opened(op, f);
	return 0;
}

struct inlay_file *inlay_file_get(struct inlay_redirect *r, uint64_t number)
{
	return inlay_table_get(r->files, number);
}

void inlay_file_put(struct inlay_redirect *r, struct inlay_file *f)
{
	if (f)
		inlay_table_put(r->files, f->number);
}

/* ---- deciding ---- */

const struct inlay_rule *inlay_redirect_rule(struct inlay_redirect *r, const char *path, bool is_dir)
{
	return inlay_judge_match(r->judge, path, strlen(path), is_dir);
}

void inlay_op_match_rules(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name)
{
	char path[PATH_ROOM];
	int len;

	op->rule_file = op->rule_dir = op->rule_new_dir = NULL;
	if (!inlay_judge_has_rules(op->redirect->judge))
		return;
	len = inlay_node_path(dir, name, path, sizeof path);
	if (len < 0)
		return; /* deeper than any rule can be written: no rule matches */
	op->rule_file = inlay_judge_match(op->redirect->judge, path, (size_t)len, false);
	op->rule_new_dir = inlay_judge_match(op->redirect->judge, path, (size_t)len, true);
	op->rule_dir = op->rule_new_dir && op->rule_new_dir->contested ? NULL : op->rule_new_dir;
}

bool inlay_op_is_hidden(struct inlay_op *op, struct inlay_node *dir, const struct inlay_dirent *d, enum inlay_side side)
{
	const struct inlay_rule *rule;

	if (!inlay_judge_has_rules(op->redirect->judge) || inlay_str_is(d->name, ".") || inlay_str_is(d->name, ".."))
		return false;
	inlay_op_match_rules(op, dir, d->name);
	rule = d->type == INLAY_TYPE_DIR ? op->rule_dir : op->rule_file;
	return rule && rule->side != side;
}

void inlay_op_send_lookup(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name, enum inlay_side side,
                          void (*step)(struct inlay_op *op, const struct inlay_reply *r))
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_LOOKUP);
	struct inlay_lookup_req req;

	req.dir = dir->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.name = name;
	inlay_put_lookup_req(&w, &req);
	inlay_op_send(op, &w, side, step);
}

static void decided(struct inlay_op *op, enum inlay_side side)
{
	op->side = side;
	op->decide.then(op);
}

static void decide_probed(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	const struct inlay_rule *rule;

	if (r->status == -INLAY_ENOENT) {
		decided(op, inlay_node_on(op->decide.dir, op->decide.favoured) ? op->decide.favoured : INLAY_LOCAL);
		return;
	}
	if (r->status < 0 || INLAY_OP_GET(lookup, r, &rep) < 0) {
		inlay_op_end(op, r->status < 0 ? r->status : -INLAY_EIO);
		return;
	}
	inlay_op_unpin(op, INLAY_LOCAL, &rep.node);
	op->seen[INLAY_LOCAL] = true;
	op->decide.found = rep.attr.mode & INLAY_TYPE_MASK;
	rule = op->decide.found == INLAY_TYPE_DIR ? op->rule_dir : op->rule_file;
	decided(op, rule ? rule->side : INLAY_LOCAL);
}

void inlay_op_decide(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name, uint32_t type,
                     enum inlay_side favoured, void (*then)(struct inlay_op *op))
{
	const struct inlay_rule *rule;
	bool local = inlay_node_on(dir, INLAY_LOCAL), remote = inlay_node_on(dir, INLAY_REMOTE);

	op->decide = (struct inlay_op_decide){.dir = dir, .name = name, .type = type, .favoured = favoured, .then = then};
	inlay_op_match_rules(op, dir, name);
	rule = type != INLAY_TYPE_DIR ? op->rule_file : op->kind == INLAY_MKDIR ? op->rule_new_dir : op->rule_dir;
	if (type == 0 && op->rule_file != op->rule_dir) {
		if (local)
			inlay_op_send_lookup(op, dir, name, INLAY_LOCAL, decide_probed);
		else
			decided(op, INLAY_REMOTE);
	} else if (rule) {
		decided(op, rule->side);
	} else if (local && remote) {
		inlay_op_send_lookup(op, dir, name, INLAY_LOCAL, decide_probed);
	} else {
		decided(op, local ? INLAY_LOCAL : INLAY_REMOTE);
	}
}

/* ---- directories that a rule needs on the other side ---- */

static void ensure_next(struct inlay_op *op);

/* Takes LOOKUP's and MKDIR's reply, which are the same. */
static void ensure_identified(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	struct inlay_node *child = op->ensure.child;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);
	bool is_dir = err == 0 && (rep.attr.mode & INLAY_TYPE_MASK) == INLAY_TYPE_DIR;

	op->ensure.child = NULL;
	if (err == 0 && !(is_dir && inlay_node_add_side(child, op->ensure.side, &rep.node))) {
		inlay_op_unpin(op, op->ensure.side, &rep.node);
		if (!is_dir)
			err = -INLAY_ENOTDIR;
		else if (!inlay_node_on(child, op->ensure.side))
			err = -INLAY_ESTALE; /* it is another node's by now: a new lookup finds that one */
	}
	inlay_node_put(child);
	if (err < 0)
		inlay_op_end(op, err);
	else
		ensure_next(op);
}

static void ensure_made(struct inlay_op *op, const struct inlay_reply *r)
{
	char name[INLAY_NAME_MAX + 1];
	struct inlay_node *parent;

	if (r->status != -INLAY_EEXIST) {
		ensure_identified(op, r);
		return;
	}
	/* Someone else made it, or it is no directory: ask. */
	parent = inlay_node_parent(op->ensure.child, name);
	if (!parent) {
		inlay_node_put(op->ensure.child);
		inlay_op_end(op, -INLAY_ESTALE);
		return;
	}
	inlay_op_send_lookup(op, parent, inlay_str(name), op->ensure.side, ensure_identified);
	inlay_node_put(parent);
}

/* Finds the topmost missing directory on the way to ensure.dir: its parent exists on the side. Both referenced. */
static struct inlay_node *topmost_missing(struct inlay_op *op, struct inlay_node **ret_parent, char *name)
{
	struct inlay_node *child = inlay_node_ref(op->ensure.dir), *parent;

	op->ensure.levels = 1;
	while (child) {
		parent = inlay_node_parent(child, name);
		if (!parent)
			break;
		if (inlay_node_on(parent, op->ensure.side)) {
			*ret_parent = parent;
			return child;
		}
		inlay_node_put(child);
		child = parent;
		op->ensure.levels++;
	}
	inlay_node_put(child);
	return NULL;
}

static void ensure_next(struct inlay_op *op)
{
	char name[INLAY_NAME_MAX + 1];
	struct inlay_node *parent;
	struct inlay_mkdir_req req;
	struct inlay_writer w;

	if (inlay_node_on(op->ensure.dir, op->ensure.side)) {
		op->ensure.then(op);
		return;
	}
	op->ensure.child = topmost_missing(op, &parent, name);
	if (!op->ensure.child) {
		inlay_op_end(op, -INLAY_ESTALE);
		return;
	}
	req.dir = parent->id[op->ensure.side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.mode = 0777;
	req.umask = 022;
	req.name = inlay_str(name);
	w = inlay_op_begin(op, INLAY_MKDIR);
	op->call.step = op->ensure.levels;
	inlay_put_mkdir_req(&w, &req);
	inlay_node_put(parent);
	inlay_op_send(op, &w, op->ensure.side, ensure_made);
}

void inlay_op_ensure_dir(struct inlay_op *op, struct inlay_node *dir, enum inlay_side side,
                         void (*then)(struct inlay_op *op))
{
	op->ensure = (struct inlay_op_ensure){.dir = dir, .side = side, .then = then};
	if (!op->redirect->port[side]->present)
		inlay_op_end(op, -INLAY_EROFS);
	else
		ensure_next(op);
}

/* ---- errands of our own; later, as whoever sends one goes on with its own business and needs its loop for that ---- */

#define FORGET_ENTRY 48u

struct errand {
	struct inlay_call call;
	uint8_t room[INLAY_FRAME_HEADER + 64];
	uint8_t data[]; /* FORGET's entries */
};

static void errand_done(struct inlay_call *c, const struct inlay_reply *r)
{
	(void)r; /* nobody waits: a handle or pin that is lost goes with the session */
	free(inlay_container(c, struct errand, call));
}

static struct errand *errand_new(uint32_t entries)
{
	struct errand *e = calloc(1, sizeof *e + (size_t)entries * FORGET_ENTRY);

	if (e) {
		inlay_list_init(&e->call.link);
		e->call.done = errand_done;
		e->call.patient = true; /* what is to be let go of must be in the end, or it stays as long as the session */
	}
	return e;
}

struct inlay_call *inlay_op_heir(struct inlay_call *c)
{
	struct errand *e = errand_new(0);

	if (!e)
		return NULL;
	memcpy(e->room, c->head, INLAY_FRAME_HEADER + c->body_len);
	e->call.type = c->type;
	e->call.head = e->room;
	e->call.body_len = c->body_len;
	return &e->call;
}

void inlay_redirect_close_handle(struct inlay_redirect *r, unsigned lane, enum inlay_side side, uint64_t handle)
{
	struct errand *e = errand_new(0);
	struct inlay_writer w;

	if (!e)
		return;
	w = inlay_call_begin(&e->call, INLAY_CLOSE, e->room, sizeof e->room);
	inlay_put_close_req(&w, &(struct inlay_close_req){.handle = handle});
	if (inlay_call_end(&e->call, &w) < 0)
		free(e);
	else
		inlay_redirect_submit_later(r, lane, side, &e->call);
}

/* The entries are in e->data. */
static void send_forget(struct inlay_redirect *r, unsigned lane, enum inlay_side side, struct errand *e, uint32_t count)
{
	struct inlay_writer w;

	e->call.data = e->data;
	e->call.data_len = count * FORGET_ENTRY;
	w = inlay_call_begin(&e->call, INLAY_FORGET, e->room, sizeof e->room);
	inlay_put_forget_req(&w, &(struct inlay_forget_req){.count = count});
	if (inlay_call_end(&e->call, &w) < 0)
		free(e);
	else
		inlay_redirect_submit_later(r, lane, side, &e->call);
}

static void put_forget(struct errand *e, uint32_t i, const struct inlay_node_id *id, uint64_t pins)
{
	uint8_t *p = e->data + (size_t)i * FORGET_ENTRY;

	memcpy(p, id->bytes, sizeof id->bytes);
	inlay_store64(p + sizeof id->bytes, pins);
}

static void tell_forget(struct inlay_redirect *r, unsigned lane, enum inlay_side side, const struct inlay_node_id *id,
                        uint64_t pins)
{
	struct errand *e = errand_new(1);

	if (!e)
		return;
	put_forget(e, 0, id, pins);
	send_forget(r, lane, side, e, 1);
}

#define UNPIN_MOST 4096u /* entries of one message */

void inlay_redirect_unpin(struct inlay_redirect *r, unsigned lane, enum inlay_side side, const struct inlay_node_id *ids, uint32_t count)
{
	if (!r->port[side]->wants_forget)
		return;
	for (uint32_t at = 0, some; at < count; at += some) {
		struct errand *e;

		some = count - at < UNPIN_MOST ? count - at : UNPIN_MOST;
		e = errand_new(some);
		if (!e)
			return;
		for (uint32_t i = 0; i < some; i++)
			put_forget(e, i, &ids[at + i], 1);
		send_forget(r, lane, side, e, some);
	}
}

static void late_made(struct inlay_redirect *r, unsigned lane, enum inlay_side side, struct inlay_reader *body)
{
	struct inlay_create_rep made;

	if (inlay_get_create_rep(body, &made) < 0)
		return;
	inlay_redirect_close_handle(r, lane, side, made.handle);
	inlay_redirect_unpin(r, lane, side, &made.node, 1);
}

void inlay_redirect_late(struct inlay_redirect *r, unsigned lane, enum inlay_side side, uint16_t type, const uint8_t *body, uint32_t len)
{
	struct inlay_reader in = inlay_reader(body, len);
	struct inlay_opendir_rep dir;
	struct inlay_open_rep file;

	if (type == INLAY_CREATE || type == INLAY_TMPFILE) /* their answers are alike */
		late_made(r, lane, side, &in);
	else if (type == INLAY_OPEN && inlay_get_open_rep(&in, &file) == 0)
		inlay_redirect_close_handle(r, lane, side, file.handle);
	else if (type == INLAY_OPENDIR && inlay_get_opendir_rep(&in, &dir) == 0)
		inlay_redirect_close_handle(r, lane, side, dir.handle);
}

void inlay_op_unpin(struct inlay_op *op, enum inlay_side side, const struct inlay_node_id *id)
{
	if (op->redirect->port[side]->wants_forget)
		tell_forget(op->redirect, op->lane, side, id, 1);
}

void inlay_redirect_forget(struct inlay_redirect *r, unsigned lane, uint64_t number, uint64_t count)
{
	struct inlay_forgotten gone;

	if (!inlay_node_forget(r->nodes, number, count, &gone))
		return;
	for (int side = 0; side < INLAY_SIDES; side++)
		if (gone.pins[side] && r->port[side]->wants_forget)
			tell_forget(r, lane, (enum inlay_side)side, &gone.id[side], gone.pins[side]);
}

/* ---- counters ---- */

void inlay_stats_add(struct inlay_redirect *r, unsigned lane, unsigned kind, enum inlay_side side, bool failed,
                     uint64_t bytes, uint64_t latency_ns)
{
	struct inlay_stats *s = &r->stats[lane];
	struct inlay_hist *h;

	if (kind >= INLAY_MESSAGE_TOP)
		return;
	s->count[kind][side]++;
	s->errors[kind][side] += failed;
	s->bytes[kind][side] += bytes;
	h = atomic_load_explicit(&s->latency[kind][side], memory_order_relaxed);
	if (!h) {
		h = calloc(1, sizeof *h);
		if (!h)
			return;
		atomic_store_explicit(&s->latency[kind][side], h, memory_order_release);
	}
	inlay_hist_add(h, latency_ns);
}

void inlay_stats_sum(const struct inlay_stats *s, unsigned kind, uint64_t count[INLAY_SIDES], uint64_t errors[INLAY_SIDES],
                     uint64_t bytes[INLAY_SIDES], struct inlay_hist latency[INLAY_SIDES])
{
	for (int side = 0; side < INLAY_SIDES; side++) {
		const struct inlay_hist *h = atomic_load_explicit(&s->latency[kind][side], memory_order_acquire);

		count[side] += s->count[kind][side];
		errors[side] += s->errors[kind][side];
		bytes[side] += s->bytes[kind][side];
		if (h)
			inlay_hist_merge(&latency[side], h);
	}
}

/*
 * Requests that a lost session had under way, asked again: answered from the record; or, when the process died while it
 * worked on one, by looking whether what was asked for is there; or else executed.
 *
 * What can be done twice without a trace is done twice. For the rest the time of the note decides: a name that was made
 * since then is the request's own work, or, where one was to go, not the one that was meant.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

#include <stdlib.h>
#include <string.h>

#define EXECUTE 1 /* of decide functions: it has not been done */
#define TYPE_BITS 0170000u
#define TAIL_MAX (4u << 20) /* bytes behind the old end of a file in which an append is looked for */

enum redo_flags {
	NOTED = 1, /* stands in the record */
	TWICE = 2, /* done twice is as done once: where nothing is known, it is executed */
};

struct redo_row {
	int flags;
	int (*decide)(struct exec *x, const struct record_intent *in); /* NULL: executed */
	int (*again)(struct exec *x, const struct record_found *found); /* NULL: the recorded reply as it is */
};

static int compare(const struct inlay_time *a, const struct inlay_time *b)
{
	if (a->sec != b->sec)
		return a->sec < b->sec ? -1 : 1;
	return (a->nsec > b->nsec) - (a->nsec < b->nsec);
}

/* Against the time of the note: < 0: the file is older, 0: made in the same tick. */
static int age(const struct inlay_attr *attr, const struct record_intent *in)
{
	return compare(attr->btime.sec ? &attr->btime : &attr->ctime, &in->time);
}

/* What the name stands for now, whoever may see it. 0: *ret is the caller's to put. */
static int look(struct exec *x, const struct inlay_node_id *dir_id, struct inlay_str name, struct inlay_store_node **ret,
                struct inlay_attr *ret_attr)
{
	struct inlay_store_node *dir;
	int r = node_get(x->ss, dir_id, &dir);

	if (r < 0)
		return r;
	r = x->ops->lookup(dir, NULL, name, ret, ret_attr);
	node_put(dir);
	return r;
}

/* 1: there, and as old as it may be; 0: there, but another; or a status. */
static int is_old_one(struct exec *x, const struct inlay_node_id *dir, struct inlay_str name, const struct record_intent *in)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = look(x, dir, name, &n, &attr);

	if (r < 0)
		return r;
	node_put(n);
	return age(&attr, in) <= 0;
}

/* ---- by type: 0 with the answer written, EXECUTE, or a status ---- */

static int decide_unlink(struct exec *x, const struct record_intent *in)
{
	struct inlay_unlink_req m;
	int r = inlay_get_unlink_req(&x->in, &m);

	if (r == 0)
		r = is_old_one(x, &m.dir, m.name, in);
	return r == 0 || r == -INLAY_ENOENT ? 0 : EXECUTE;
}

static int decide_rmdir(struct exec *x, const struct record_intent *in)
{
	struct inlay_rmdir_req m;
	int r = inlay_get_rmdir_req(&x->in, &m);

	if (r == 0)
		r = is_old_one(x, &m.dir, m.name, in);
	return r == 0 || r == -INLAY_ENOENT ? 0 : EXECUTE;
}

static bool stands_for(struct exec *x, const struct inlay_node_id *dir, struct inlay_str name, const struct inlay_store_id *id)
{
	struct inlay_store_node *n;
	struct inlay_store_id now = {0};
	struct inlay_attr attr;

	if (look(x, dir, name, &n, &attr) < 0)
		return false;
	x->ops->node_id(n, &now);
	node_put(n);
	return !id || (now.len == id->len && memcmp(now.bytes, id->bytes, id->len) == 0);
}

static int decide_rename(struct exec *x, const struct record_intent *in)
{
	struct inlay_rename_req m;
	int r = inlay_get_rename_req(&x->in, &m);

	if (r < 0)
		return EXECUTE;
	if (m.flags & INLAY_RENAME_EXCHANGE)
		return in->node.len && stands_for(x, &m.to_dir, m.to, &in->node) ? 0 : EXECUTE;
	r = is_old_one(x, &m.from_dir, m.from, in);
	return (r == 0 || r == -INLAY_ENOENT) && stands_for(x, &m.to_dir, m.to, NULL) ? 0 : EXECUTE;
}

static int decide_link(struct exec *x, const struct record_intent *in)
{
	struct inlay_link_req m;
	struct inlay_link_rep rep;
	struct inlay_store_node *n;
	struct inlay_node_id id;
	bool same;

	if (inlay_get_link_req(&x->in, &m) < 0 || look(x, &m.dir, m.name, &n, &rep.attr) < 0)
		return EXECUTE;
	node_id_make(x->ex, n, &id);
	node_put(n);
	same = memcmp(&id, &m.node, sizeof(id)) == 0 && compare(&rep.attr.ctime, &in->time) >= 0;
	if (same)
		inlay_put_link_rep(&x->out, &rep);
	return same ? 0 : EXECUTE;
}

/* A name that was made since, by this caller, of this type: 0 with *ret to be put. */
static int made_here(struct exec *x, const struct inlay_node_id *dir, struct inlay_str name, const struct inlay_cred *cred,
                     uint32_t type, const struct record_intent *in, struct inlay_store_node **ret, struct inlay_attr *attr)
{
	const struct inlay_cred *who = exec_cred(x, cred);

	if (look(x, dir, name, ret, attr) < 0)
		return EXECUTE;
	if (age(attr, in) >= 0 && (attr->mode & TYPE_BITS) == type && (!who || attr->uid == who->uid))
		return 0;
	node_put(*ret);
	return EXECUTE;
}

static int give_made(struct exec *x, struct inlay_store_node *n, const struct inlay_attr *attr)
{
	struct inlay_lookup_rep rep = {.attr = *attr};
	int r = node_give(x->ss, n, &rep.node);

	node_put(n);
	if (r == 0)
		inlay_put_lookup_rep(&x->out, &rep);
	return r;
}

static int decide_mkdir(struct exec *x, const struct record_intent *in)
{
	struct inlay_mkdir_req m;
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r;

	if (inlay_get_mkdir_req(&x->in, &m) < 0)
		return EXECUTE;
	r = made_here(x, &m.dir, m.name, &m.cred, 0040000, in, &n, &attr);
	return r ? r : give_made(x, n, &attr);
}

static int decide_mknod(struct exec *x, const struct record_intent *in)
{
	struct inlay_mknod_req m;
	struct inlay_store_node *n;
	struct inlay_attr attr;
	uint32_t type;
	int r;

	if (inlay_get_mknod_req(&x->in, &m) < 0)
		return EXECUTE;
	type = m.mode & TYPE_BITS ? m.mode & TYPE_BITS : 0100000u;
	r = made_here(x, &m.dir, m.name, &m.cred, type, in, &n, &attr);
	return r ? r : give_made(x, n, &attr);
}

static int decide_symlink(struct exec *x, const struct record_intent *in)
{
	struct inlay_symlink_req m;
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r;

	if (inlay_get_symlink_req(&x->in, &m) < 0)
		return EXECUTE;
	r = made_here(x, &m.dir, m.name, &m.cred, 0120000, in, &n, &attr);
	return r ? r : give_made(x, n, &attr);
}

/* Opens what was opened before, by a handle of this session. n is put. */
static int open_again(struct exec *x, struct inlay_store_node *n, uint32_t flags, uint64_t *ret_handle, struct inlay_attr *attr)
{
	struct inlay_store_file *f;
	int r = exec_open_flags_ok(x, flags);

	if (r >= 0)
		r = x->ops->open(n, NULL, flags & (uint32_t)INLAY_O_AGAIN, &f, attr);
	node_put(n);
	return r < 0 ? r : handle_add(x->ss, f, NULL, ret_handle);
}

static int create_again(struct exec *x, const struct inlay_node_id *id, struct inlay_store_node *n, uint32_t flags)
{
	struct inlay_create_rep rep = {.node = *id, .token = reopen_token(x->ss, id, flags, INLAY_REOPEN_FILE)};
	int r = open_again(x, n, flags, &rep.handle, &rep.attr);

	if (r >= 0)
		inlay_put_create_rep(&x->out, &rep);
	return r;
}

/* With EXCL or without: what it made has the mode that it asked for, which may forbid to open it once more. */
static int decide_create(struct exec *x, const struct record_intent *in)
{
	struct inlay_create_req m;
	struct inlay_store_node *n;
	struct inlay_attr attr;
	struct inlay_node_id id;
	int r;

	if (inlay_get_create_req(&x->in, &m) < 0 || made_here(x, &m.dir, m.name, &m.cred, 0100000, in, &n, &attr))
		return EXECUTE;
	r = node_give(x->ss, n, &id);
	if (r == 0)
		return create_again(x, &id, n, m.flags);
	node_put(n);
	return r;
}

static int again_create(struct exec *x, const struct record_found *found)
{
	struct inlay_reader old = inlay_reader(found->reply, found->len);
	struct inlay_create_req m;
	struct inlay_create_rep rep;
	struct inlay_store_node *n;
	int r;

	if (inlay_get_create_req(&x->in, &m) < 0 || inlay_get_create_rep(&old, &rep) < 0)
		return -INLAY_EIO;
	r = node_get(x->ss, &rep.node, &n);
	return r < 0 ? r : create_again(x, &rep.node, n, m.flags);
}

static int again_open(struct exec *x, const struct record_found *found)
{
	struct inlay_open_req m;
	struct inlay_open_rep rep = {0};
	struct inlay_store_node *n;
	int r;

	(void)found;
	if (inlay_get_open_req(&x->in, &m) < 0)
		return -INLAY_EIO;
	r = node_get(x->ss, &m.node, &n);
	if (r >= 0)
		r = open_again(x, n, m.flags, &rep.handle, &rep.attr);
	rep.token = reopen_token(x->ss, &m.node, m.flags, INLAY_REOPEN_FILE);
	if (r >= 0)
		inlay_put_open_rep(&x->out, &rep);
	return r;
}

/* Where in the file, from off on, the request's bytes stand; < 0: nowhere. */
static int64_t find_append(struct exec *x, struct inlay_store_file *f, uint64_t off)
{
	size_t len = x->rq->data_len;
	uint8_t *tail = len ? malloc(TAIL_MAX) : NULL;
	int64_t n = tail ? x->ops->read(f, off, tail, TAIL_MAX, 0) : -1;
	const uint8_t *at = n > 0 ? memmem(tail, (size_t)n, x->rq->data, len) : NULL;
	int64_t found = at ? (int64_t)off + (at - tail) : -1;

	free(tail);
	return found;
}

/* The file as it is for reading, whatever the handle is for: an append is looked for in it. */
static int64_t find_append_by(struct exec *x, struct handle *h, const struct record_intent *in)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int64_t at;

	if (x->ops->open(h->file->node, NULL, INLAY_O_RDONLY, &f, &attr) < 0)
		return -1;
	at = find_append(x, f, in->size);
	x->ops->file_unref(f);
	return at;
}

static int decide_write(struct exec *x, const struct record_intent *in)
{
	struct inlay_write_req m;
	struct inlay_write_rep rep = {0};
	struct handle *h;
	int64_t at = -1;

	if (inlay_get_write_req(&x->in, &m) < 0 || !(h = handle_get(x->ss, m.handle)))
		return EXECUTE;
	if (h->file->flags & INLAY_O_APPEND && !(m.flags & INLAY_WRITE_ZEROS))
		at = find_append_by(x, h, in);
	handle_put(x->ss, m.handle);
	if (at < 0)
		return EXECUTE;
	rep.count = x->rq->data_len;
	rep.size = (uint64_t)at + rep.count;
	rep.verifier = inlay_load64(x->ex->server->boot.bytes);
	inlay_put_write_rep(&x->out, &rep);
	return 0;
}

static const struct redo_row rows[INLAY_MESSAGE_TOP] = {
	[INLAY_SETATTR] = {NOTED | TWICE, NULL, NULL},
	[INLAY_OPEN] = {NOTED | TWICE, NULL, again_open},
	[INLAY_CREATE] = {NOTED, decide_create, again_create},
	[INLAY_MKDIR] = {NOTED, decide_mkdir, NULL},
	[INLAY_MKNOD] = {NOTED, decide_mknod, NULL},
	[INLAY_SYMLINK] = {NOTED, decide_symlink, NULL},
	[INLAY_LINK] = {NOTED, decide_link, NULL},
	[INLAY_UNLINK] = {NOTED, decide_unlink, NULL},
	[INLAY_RMDIR] = {NOTED, decide_rmdir, NULL},
	[INLAY_RENAME] = {NOTED, decide_rename, NULL},
	[INLAY_WRITE] = {NOTED, decide_write, NULL},
	[INLAY_COMMIT] = {NOTED | TWICE, NULL, NULL},
	[INLAY_SYNCFS] = {NOTED | TWICE, NULL, NULL},
	[INLAY_SETXATTR] = {NOTED | TWICE, NULL, NULL},
	[INLAY_REMOVEXATTR] = {NOTED | TWICE, NULL, NULL},
	[INLAY_FALLOCATE] = {NOTED | TWICE, NULL, NULL},
	[INLAY_COPY] = {NOTED | TWICE, NULL, NULL},
};

/* ---- noting ---- */

/* A write's place: without APPEND it is given, and then nothing has to be known of before. */
static void note_size(struct exec *x, struct record_intent *in)
{
	struct inlay_write_req m;
	struct inlay_attr attr;
	struct handle *h;

	if (inlay_get_write_req(&x->in, &m) < 0 || !(h = handle_get(x->ss, m.handle)))
		return;
	if (h->file->flags & INLAY_O_APPEND && x->ops->getattr(h->file->node, h->file, &attr) == 0)
		in->size = attr.size;
	handle_put(x->ss, m.handle);
}

static void note_node(struct exec *x, struct record_intent *in)
{
	struct inlay_rename_req m;
	struct inlay_store_node *n;
	struct inlay_attr attr;

	if (inlay_get_rename_req(&x->in, &m) < 0 || !(m.flags & INLAY_RENAME_EXCHANGE) ||
	    look(x, &m.from_dir, m.from, &n, &attr) < 0)
		return;
	x->ops->node_id(n, &in->node);
	node_put(n);
}

void redo_note(struct inlay_request *rq)
{
	struct inlay_server *s = rq->session->server;
	struct record_intent in = {.time = s->file_clock(s->file_clock_arg)};
	struct exec x = exec_begin(rq);

	if (rq->type == INLAY_WRITE)
		note_size(&x, &in);
	else if (rq->type == INLAY_RENAME)
		note_node(&x, &in);
	record_begin(&rq->record, rq->type, &in);
}

bool redo_is_noted(const struct inlay_request *rq)
{
	return rq->type < INLAY_MESSAGE_TOP && rows[rq->type].flags & NOTED;
}

/* ---- asked again ---- */

static bool is_twice(const struct inlay_request *rq)
{
	struct inlay_reader r = inlay_reader(rq->body, rq->body_len);
	struct inlay_write_req m;
	struct handle *h;
	bool append;

	if (rq->type != INLAY_WRITE)
		return rows[rq->type].flags & TWICE;
	if (inlay_get_write_req(&r, &m) < 0 || !(h = handle_get(rq->session, m.handle)))
		return true; /* it fails */
	append = h->file->flags & INLAY_O_APPEND;
	handle_put(rq->session, m.handle);
	return !append;
}

/* True: answered. */
static bool decide(struct inlay_request *rq, const struct record_intent *in)
{
	const struct redo_row *row = &rows[rq->type];
	struct exec x = exec_begin(rq);
	int r = row->decide ? row->decide(&x, in) : EXECUTE;

	if (r == EXECUTE)
		return false;
	exec_end(&x, r);
	return true;
}

static void answer(struct inlay_request *rq, const struct record_found *found)
{
	const struct redo_row *row = &rows[rq->type];
	struct exec x = exec_begin(rq);
	uint8_t *room;
	int r = found->status;

	if (r == 0 && row->again) {
		r = row->again(&x, found);
	} else if (r == 0 && (room = inlay_write_bytes(&x.out, found->len))) {
		memcpy(room, found->reply, found->len);
	}
	exec_end(&x, r);
}

bool redo_answer(struct inlay_request *rq)
{
	struct record_found found;
	enum record_state state = rq->record.lane ? record_find(&rq->record, rq->type, &found) : RECORD_UNKNOWN;

	if (state == RECORD_DONE) {
		answer(rq, &found);
		return true;
	}
	if (state == RECORD_BEGUN)
		return decide(rq, &found.intent);
	if (state == RECORD_UNKNOWN && !is_twice(rq)) {
		rq->status = -INLAY_EIO; /* done or not, nobody knows */
		return true;
	}
	if (rq->record.lane)
		redo_note(rq);
	return false;
}

void redo_mend(struct inlay_request *rq)
{
	/* The first time may have done it already. */
	if (rq->type == INLAY_REMOVEXATTR && rq->status == -INLAY_ENODATA)
		rq->status = 0;
}

/*
 * Requests that a lost session had under way, asked again: answered from the record; or, when the process died while it
 * worked on one, by looking whether what was asked for is there; or else executed.
 *
 * What can be done twice without a trace is done twice. For the rest what the name stood for when the request was noted is compared
 * with what it stood for when this server was started (before.h): in between lies nothing but the request, and what ran beside it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/before.h"
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

static struct seen look_now(struct exec *x, const struct inlay_cred *cred, const struct inlay_node_id *dir_id, struct inlay_str name)
{
	struct seen seen = {0};
	struct inlay_store_node *dir, *n;

	if (node_get(x->ss, dir_id, &dir) < 0)
		return seen;
	if (x->ops->lookup(dir, cred, name, &n, &seen.attr) == 0) {
		seen.there = true;
		node_put(n);
	}
	node_put(dir);
	return seen;
}

/* When this server was started. */
static struct seen look_before(struct exec *x, const struct inlay_node_id *dir, struct inlay_str name)
{
	struct seen seen;

	return before_find(x->ss->server->before, dir, name, &seen) ? seen : look_now(x, NULL, dir, name);
}

static bool is_same_file(const struct inlay_attr *a, uint64_t ino, const struct inlay_time *btime)
{
	return a->ino == ino && compare(&a->btime, btime) == 0;
}

/* It stood for the file that it stood for when the request was noted. */
static bool is_as_noted(const struct seen *seen, const struct record_intent *in)
{
	return seen->there && in->name.there && is_same_file(&seen->attr, in->name.ino, &in->name.btime);
}

/* ---- by type: 0 with the answer written, EXECUTE, or a status ---- */

/* Where nothing was, or still is, there is nothing that it could have removed. */
static int decide_removal(struct exec *x, const struct inlay_node_id *dir, struct inlay_str name, const struct record_intent *in)
{
	struct seen then = look_before(x, dir, name);

	return in->name.there && !is_as_noted(&then, in) ? 0 : EXECUTE;
}

static int decide_unlink(struct exec *x, const struct record_intent *in)
{
	struct inlay_unlink_req m;

	return inlay_get_unlink_req(&x->in, &m) < 0 ? EXECUTE : decide_removal(x, &m.dir, m.name, in);
}

static int decide_rmdir(struct exec *x, const struct record_intent *in)
{
	struct inlay_rmdir_req m;

	return inlay_get_rmdir_req(&x->in, &m) < 0 ? EXECUTE : decide_removal(x, &m.dir, m.name, in);
}

static int decide_rename(struct exec *x, const struct record_intent *in)
{
	struct inlay_rename_req m;
	struct seen from, to;

	if (inlay_get_rename_req(&x->in, &m) < 0)
		return EXECUTE;
	from = look_before(x, &m.from_dir, m.from);
	to = look_before(x, &m.to_dir, m.to);
	return !is_as_noted(&from, in) && is_as_noted(&to, in) ? 0 : EXECUTE;
}

static int decide_link(struct exec *x, const struct record_intent *in)
{
	struct inlay_link_req m;
	struct inlay_link_rep rep;
	struct inlay_store_node *n;
	struct seen then;
	int r;

	if (in->name.there || inlay_get_link_req(&x->in, &m) < 0 || node_get(x->ss, &m.node, &n) < 0)
		return EXECUTE;
	r = x->ops->getattr(n, NULL, &rep.attr);
	node_put(n);
	then = look_before(x, &m.dir, m.name);
	if (r < 0 || !then.there || !is_same_file(&then.attr, rep.attr.ino, &rep.attr.btime))
		return EXECUTE;
	inlay_put_link_rep(&x->out, &rep);
	return 0;
}

/*
 * A name that was made, by this caller, of this type, where none was: 0 with *ret to be put; -INLAY_ESTALE: it is gone by now, or
 * another's.
 */
static int made_here(struct exec *x, const struct inlay_node_id *dir, struct inlay_str name, const struct inlay_cred *cred,
                     uint32_t type, const struct record_intent *in, struct inlay_store_node **ret, struct inlay_attr *attr)
{
	const struct inlay_cred *who = exec_cred(x, cred);
	struct seen then = look_before(x, dir, name);

	if (in->name.there || !then.there || age(&then.attr, in) < 0 || (then.attr.mode & TYPE_BITS) != type ||
	    (who && then.attr.uid != who->uid))
		return EXECUTE;
	if (look(x, dir, name, ret, attr) < 0)
		return -INLAY_ESTALE;
	if (is_same_file(attr, then.attr.ino, &then.attr.btime))
		return 0;
	node_put(*ret);
	return -INLAY_ESTALE;
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

	if (inlay_get_create_req(&x->in, &m) < 0)
		return EXECUTE;
	r = made_here(x, &m.dir, m.name, &m.cred, 0100000, in, &n, &attr);
	if (r)
		return r;
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

#define NOWHERE (-INLAY_ENOENT)

/* Where in the file, from off on, the request's bytes stand; NOWHERE; or another status: it can't be told. */
static int64_t find_append(struct exec *x, struct inlay_store_file *f, uint64_t off)
{
	size_t len = x->rq->data_len;
	uint8_t *tail = malloc(TAIL_MAX);
	int64_t n = tail ? x->ops->read(f, off, tail, TAIL_MAX, 0) : -INLAY_ENOMEM;
	const uint8_t *at = n > 0 ? memmem(tail, (size_t)n, x->rq->data, len) : NULL;

	if (at)
		n = (int64_t)off + (at - tail);
	else if (n >= 0)
		n = n < TAIL_MAX ? NOWHERE : -INLAY_EIO;
	free(tail);
	return n;
}

/* The file as it is for reading, whatever the handle is for: an append is looked for in it. */
static int64_t find_append_by(struct exec *x, struct handle *h, const struct record_intent *in)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int64_t at;

	if (x->ops->open(h->file->node, NULL, INLAY_O_RDONLY, &f, &attr) < 0)
		return -INLAY_EIO;
	at = find_append(x, f, in->size);
	x->ops->file_unref(f);
	return at;
}

static int decide_write(struct exec *x, const struct record_intent *in)
{
	struct inlay_write_req m;
	struct inlay_write_rep rep = {0};
	struct handle *h;
	int64_t at = NOWHERE;

	if (inlay_get_write_req(&x->in, &m) < 0 || !(h = handle_get(x->ss, m.handle)))
		return EXECUTE;
	if (exec_appends(h, &m) && !(m.flags & INLAY_WRITE_ZEROS) && x->rq->data_len)
		at = find_append_by(x, h, in);
	handle_put(x->ss, m.handle);
	if (at < 0)
		return at == NOWHERE ? EXECUTE : -INLAY_EIO; /* done or not, nobody knows */
	rep.count = x->rq->data_len;
	rep.size = (uint64_t)at + rep.count;
	rep.verifier = inlay_load64(x->ex->server->boot.bytes);
	rep.flags = INLAY_WRITTEN_SHARED; /* what others have done since, nobody knows */
	rep.modified = exec_modified(x);
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
	if (exec_appends(h, &m) && x->ops->getattr(h->file->node, h->file, &attr) == 0)
		in->size = attr.size;
	handle_put(x->ss, m.handle);
}

/* A request that changes names: who asks for it, and which. */
struct names {
	union {
		struct inlay_create_req create;
		struct inlay_mkdir_req mkdir;
		struct inlay_mknod_req mknod;
		struct inlay_symlink_req symlink;
		struct inlay_link_req link;
		struct inlay_unlink_req unlink;
		struct inlay_rmdir_req rmdir;
		struct inlay_rename_req rename;
	} m;
	const struct inlay_cred *cred;
	unsigned count;
	struct {
		const struct inlay_node_id *dir;
		struct inlay_str name;
	} at[2];
};

#define NAMED(NAME, lower) \
	case INLAY_##NAME: \
		if (inlay_get_##lower##_req(&in, &n->m.lower) == 0) \
			add_name(n, &n->m.lower.cred, &n->m.lower.dir, n->m.lower.name); \
		break;

static void add_name(struct names *n, const struct inlay_cred *cred, const struct inlay_node_id *dir, struct inlay_str name)
{
	n->cred = cred;
	n->at[n->count].dir = dir;
	n->at[n->count++].name = name;
}

/* x->in stays where it is. False: it changes none. */
static bool names_of(const struct exec *x, struct names *n)
{
	struct inlay_reader in = x->in;

	n->count = 0;
	switch (x->rq->type) {
	NAMED(CREATE, create)
	NAMED(MKDIR, mkdir)
	NAMED(MKNOD, mknod)
	NAMED(SYMLINK, symlink)
	NAMED(LINK, link)
	NAMED(UNLINK, unlink)
	NAMED(RMDIR, rmdir)
	case INLAY_RENAME:
		if (inlay_get_rename_req(&in, &n->m.rename) < 0)
			break;
		add_name(n, &n->m.rename.cred, &n->m.rename.from_dir, n->m.rename.from);
		add_name(n, &n->m.rename.cred, &n->m.rename.to_dir, n->m.rename.to);
		break;
	default:
		break;
	}
	return n->count > 0;
}

/* As the caller, so that the thread need not become somebody else: who may not look there may change nothing there either. */
static void note_name(struct exec *x, struct record_intent *in)
{
	struct names n;
	struct seen now;

	if (!names_of(x, &n))
		return;
	now = look_now(x, exec_cred(x, n.cred), n.at[0].dir, n.at[0].name);
	if (now.there)
		in->name = (struct record_name){true, now.attr.ino, now.attr.btime};
}

void redo_keep_names(struct inlay_request *rq)
{
	struct before *b = rq->session->server->before;
	struct exec x;
	struct names n;

	if (!before_is_kept(b))
		return;
	x = exec_begin(rq);
	if (!names_of(&x, &n))
		return;
	for (unsigned i = 0; i < n.count; i++) {
		struct seen now;

		if (before_find(b, n.at[i].dir, n.at[i].name, &now))
			continue;
		now = look_now(&x, NULL, n.at[i].dir, n.at[i].name);
		before_keep(b, n.at[i].dir, n.at[i].name, &now);
	}
}

void redo_note(struct inlay_request *rq)
{
	struct inlay_server *s = rq->session->server;
	struct record_intent in = {.time = s->file_clock(s->file_clock_arg)};
	struct exec x = exec_begin(rq);

	if (rq->type == INLAY_WRITE)
		note_size(&x, &in);
	else
		note_name(&x, &in);
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
	append = exec_appends(h, &m);
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
	if (state == RECORD_BEGUN && decide(rq, &found.intent))
		return true;
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

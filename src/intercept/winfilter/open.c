/*
 * OPEN: which side has the name, and if it is the server's, a number for it and a placeholder where NTFS looks.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     start -> rules -> what stands on NTFS -> walk on the server -> open or create there -> placeholders -> answer
 */
#include "intercept/winfilter/filter.h"

#include "base/log.h"

#include <limits.h>

#define TRIES 4u /* when a name comes or goes on the server or on NTFS in between */

static void start(struct inlay_wf_request *rq);
static void place(struct inlay_wf_request *rq);

bool inlay_wf_is_dir(const struct inlay_attr *attr)
{
	return (attr->mode & INLAY_WF_TYPE_MASK) == INLAY_WF_TYPE_DIR;
}

const struct inlay_rule *inlay_wf_rule(struct inlay_winfilter *w, struct inlay_winpath *path, unsigned parts, bool is_dir)
{
	char *end = path->server + path->server_end[parts - 1], kept = *end;
	const struct inlay_rule *rule;

	if (!inlay_judge_has_rules(w->redirect->judge))
		return NULL;
	*end = '\0';
	rule = inlay_redirect_rule(w->redirect, path->server, is_dir);
	*end = kept;
	return rule;
}

/* ---- the ends ---- */

/* What a try has gathered; not the path. */
static void drop(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_open *o = &rq->u.open;

	for (unsigned i = 0; i < INLAY_WF_USES; i++) {
		if (i == INLAY_WF_READ || o->handle[i] != o->handle[INLAY_WF_READ])
			inlay_wf_abandon(w, o->handle[i]);
	}
	memset(o->handle, 0, sizeof o->handle);
	inlay_wf_node_put(w, o->node);
	o->node = NULL;
	inlay_wf_walk_done(w, &o->walk);
	inlay_wf_changes_free(o->change, o->changes);
	o->change = NULL;
	o->changes = 0;
}

static void end(struct inlay_wf_request *rq)
{
	drop(rq);
	free(rq->u.open.path);
	rq->u.open.path = NULL;
}

static void fail_nt(struct inlay_wf_request *rq, enum inlay_ntstatus status)
{
	end(rq);
	inlay_wf_answer_nt(rq, status);
}

static void fail(struct inlay_wf_request *rq, int status)
{
	end(rq);
	inlay_wf_answer_status(rq, status);
}

static void answer_verdict(struct inlay_wf_request *rq, enum inlay_ring_verdict verdict)
{
	struct inlay_ring_completion c = {.status = INLAY_NT_SUCCESS, .verdict = (uint32_t)verdict};

	end(rq);
	inlay_wf_answer(rq, &c);
}

static void local(struct inlay_wf_request *rq)
{
	answer_verdict(rq, INLAY_RING_LOCAL);
}

static void again(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;

	drop(rq);
	o->created = false;
	if (++o->tries >= TRIES)
		fail_nt(rq, INLAY_NT_SHARING_VIOLATION);
	else
		start(rq);
}

/* A cleanup in case of failure needs nothing more than what a file frees. */
static struct inlay_wf_file *make_file(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_open *o = &rq->u.open;
	struct inlay_wf_file *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->w = w;
	inlay_list_init(&f->link);
	f->type = o->attr.mode & INLAY_WF_TYPE_MASK;
	f->is_link = o->walk.is_link;
	f->merged = o->merged;
	f->path = strdup(o->path->win);
	if (w->config.cred_of)
		f->cred = malloc(sizeof *f->cred);
	if (!f->path || (w->config.cred_of && !f->cred)) {
		inlay_wf_file_free(f);
		return NULL;
	}
	if (f->cred && !w->config.cred_of(w->config.arg, rq->in.process, f->cred))
		*f->cred = w->cred;
	f->node = inlay_wf_node_ref(o->node);
	if (o->path->parts) {
		f->parent = inlay_wf_node_ref(o->walk.parent);
		memcpy(f->name, o->walk.name, sizeof f->name);
	}
	return f;
}

static void succeed(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_open *o = &rq->u.open;
	struct inlay_wf_file *f = make_file(rq);
	struct inlay_ring_completion c = {.status = INLAY_NT_SUCCESS, .verdict = INLAY_RING_REMOTE, .created = o->created};
	int err = f ? inlay_table_add(w->files, f, &f->number) : -INLAY_ENOMEM;

	if (err < 0) {
		if (f)
			inlay_wf_file_free(f);
		fail(rq, err);
		return;
	}
	memcpy(f->handle, o->handle, sizeof f->handle);
	memset(o->handle, 0, sizeof o->handle);
	inlay_list_append(&w->open_files, &f->link);
	c.file = f->number;
	inlay_win_attr_from(&o->attr, &c.attr);
	end(rq);
	inlay_wf_answer(rq, &c);
}

/* ---- placeholders ---- */

static void placed(struct inlay_wf_request *rq, int status)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_open *o = &rq->u.open;
	const struct inlay_placeholder *leaf = &o->stood.leaf;
	bool was_dir = leaf->attr.attributes & INLAY_WIN_DIRECTORY;
	bool stands = o->stood.standing == o->path->parts && leaf->state == INLAY_PLACEHOLDER_MARKED;

	inlay_wf_name_unlock(w, o->lock);
	o->lock = NULL;
	inlay_wf_changes_free(o->change, o->changes);
	o->change = NULL;
	o->changes = 0;
	if (o->verdict == INLAY_RING_REMOTE) {
		/* It could not be brought up to date, but it is there: the driver sets right what programs see of it. */
		if (status == 0 || (stands && was_dir == inlay_wf_is_dir(&o->attr) && status != -INLAY_EEXIST && status != -INLAY_ENOENT))
			succeed(rq);
		else if ((status == -INLAY_EEXIST || status == -INLAY_ENOENT) && !o->created)
			again(rq); /* something local came, or a directory above went */
		else
			fail(rq, status);
	} else if (status == -INLAY_ENOTEMPTY) {
		again(rq); /* there is something local in what was a placeholder: it is none any more */
	} else if (status < 0 && o->verdict == INLAY_RING_ABSENT) {
		fail_nt(rq, INLAY_NT_OBJECT_NAME_NOT_FOUND);
	} else {
		answer_verdict(rq, o->verdict);
	}
}

static int place_work(struct inlay_wf_request *rq)
{
	return inlay_wf_changes_run(rq->w, rq->u.open.change, rq->u.open.changes, false);
}

static void place_woken(struct inlay_wf_request *rq, int status)
{
	/* What was made is to be shown, even to who has given up waiting for it; unless all ends. */
	if (status < 0 && (!rq->u.open.created || rq->w->stopped))
		fail(rq, status);
	else
		place(rq);
}

/* The changes are prepared: nobody else changes this name's placeholder meanwhile. */
static void place(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_open *o = &rq->u.open;
	struct inlay_list *waiting;
	int status = 0;

	o->lock = inlay_wf_name_lock(w, inlay_str(o->path->win), &status, &waiting);
	if (!o->lock && status == -INLAY_EBUSY) {
		inlay_wf_wait(rq, waiting, false, place_woken);
		return;
	}
	if (!o->lock) {
		fail(rq, status);
		return;
	}
	inlay_wf_listing_touch(w, inlay_str(o->path->win));
	inlay_wf_offload(rq, place_work, placed);
}

/* The directories above, and the leaf: to be there as attr, or (attr NULL) not to be there; leaf false: whatever it is. */
static void prepare(struct inlay_wf_request *rq, bool leaf, const struct inlay_attr *attr)
{
	struct inlay_wf_open *o = &rq->u.open;
	const struct inlay_node_id *id = o->node ? &o->node->node->id[INLAY_REMOTE] : NULL;
	int err = inlay_wf_changes_for(rq->w, o->path, &o->stood, o->walk.done, leaf, attr, id, &o->change, &o->changes);

	if (err < 0) {
		fail(rq, err);
		return;
	}
	/* NTFS would not let the maker of a read-only file write what he makes it for: the next OPEN sets it. */
	if (o->created && o->changes)
		o->change[o->changes - 1].want.attr.attributes &= ~(uint32_t)INLAY_WIN_READONLY;
	if (o->changes)
		place(rq);
	else
		placed(rq, 0);
}

/* A file or directory of the server: found or made, and open as far as needed. */
static void prepare_remote(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	const struct inlay_wf_hold *hold = inlay_wf_hold_find(rq->w, inlay_str(o->path->win), NULL);
	bool goes = hold && hold->removal && inlay_winname_same(inlay_str(hold->path), inlay_str(o->path->win));
	bool stands = o->stood.standing == o->path->parts;

	o->verdict = INLAY_RING_REMOTE;
	if (o->merged || goes) /* what is about to be removed must not come back */
		succeed(rq);
	else if (stands && !inlay_wf_differs(&o->stood.leaf, &o->attr, &o->node->node->id[INLAY_REMOTE]))
		succeed(rq);
	else
		prepare(rq, true, &o->attr);
}

static void prepare_local(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	bool stale = o->stood.standing == o->path->parts && o->stood.leaf.state == INLAY_PLACEHOLDER_MARKED;

	o->verdict = INLAY_RING_LOCAL;
	prepare(rq, stale, NULL);
}

static void prepare_absent(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	bool stale = o->stood.standing == o->path->parts && o->stood.leaf.state == INLAY_PLACEHOLDER_MARKED;

	o->verdict = INLAY_RING_ABSENT;
	if (stale)
		prepare(rq, true, NULL);
	else if (o->stood.standing + 1 >= o->path->parts)
		answer_verdict(rq, INLAY_RING_ABSENT);
	else /* its directory is there on the server, though not yet on NTFS, which would say something else */
		fail_nt(rq, INLAY_NT_OBJECT_NAME_NOT_FOUND);
}

/* ---- making it on the server ---- */

static void made(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_open *o = &rq->u.open;
	struct inlay_op *op = &rq->op;

	if (status == 0) {
		o->attr = op->attr;
		o->created = true;
		o->node = inlay_wf_node_new(rq->w, op->found);
		op->found = NULL;
		if (op->opened)
			o->handle[INLAY_WF_READ] = o->handle[INLAY_WF_WRITE] = op->opened->number;
		if (!o->node)
			status = -INLAY_ENOMEM;
	}
	inlay_wf_op_done(rq);
	if (status == -INLAY_EEXIST && rq->in.in.open.disposition != INLAY_WIN_CREATE)
		again(rq);
	else if (status < 0)
		fail(rq, status);
	else
		prepare_remote(rq);
}

static void make(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	bool dir = rq->in.in.open.options & INLAY_WIN_DIRECTORY_FILE;
	struct inlay_op *op;

	if (rq->w->config.readonly) {
		fail_nt(rq, INLAY_NT_MEDIA_WRITE_PROTECTED);
		return;
	}
	op = inlay_wf_op(rq, made);
	op->node = inlay_node_ref(o->walk.parent->node); /* never NULL: the walk counts a lookup */
	op->name = inlay_str(o->walk.name);
	op->in.make.umask = rq->w->config.umask;
	if (dir) {
		op->in.make.mode = 0777;
		inlay_op_make(op, INLAY_MKDIR);
	} else {
		op->in.make.flags = INLAY_O_RDWR | INLAY_O_EXCL;
		op->in.make.mode = rq->in.in.open.attributes & INLAY_WIN_READONLY ? 0444 : 0666;
		inlay_op_create(op);
	}
}

/* The name is free, in a directory that the server has. */
static void missing(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	const struct inlay_rule *rule = rq->in.in.open.options & INLAY_WIN_DIRECTORY_FILE ? o->rule_new_dir : o->rule_file;

	if (rule && rule->side == INLAY_LOCAL)
		prepare_local(rq);
	else if (inlay_win_makes(rq->in.in.open.disposition))
		make(rq);
	else
		prepare_absent(rq);
}

/* ---- opening it on the server ---- */

static void try_open(struct inlay_wf_request *rq, uint32_t flags);

static bool is_refusal(int status)
{
	return status == -INLAY_EACCES || status == -INLAY_EPERM || status == -INLAY_EROFS || status == -INLAY_ETXTBSY;
}

static void opened(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_open *o = &rq->u.open;
	uint64_t number = status == 0 ? rq->op.opened->number : 0;

	inlay_wf_op_done(rq);
	if (status == 0) {
		if (o->flags != INLAY_O_WRONLY)
			o->handle[INLAY_WF_READ] = number;
		if (o->flags != INLAY_O_RDONLY)
			o->handle[INLAY_WF_WRITE] = number;
		prepare_remote(rq);
	} else if (is_refusal(status) && o->flags == INLAY_O_RDWR && !(o->access & INLAY_WIN_ACCESS_WRITE)) {
		try_open(rq, INLAY_O_RDONLY); /* as much as there is */
	} else if (status == -INLAY_EACCES && o->flags == INLAY_O_RDWR && !(o->access & INLAY_WIN_ACCESS_READ)) {
		try_open(rq, INLAY_O_WRONLY);
	} else if (is_refusal(status) && o->access == INLAY_WIN_ACCESS_MOST) {
		prepare_remote(rq); /* its attributes, then */
	} else if (status == -INLAY_ENOENT || status == -INLAY_ESTALE) {
		again(rq);
	} else {
		fail(rq, status);
	}
}

static void try_open(struct inlay_wf_request *rq, uint32_t flags)
{
	struct inlay_wf_open *o = &rq->u.open;
	struct inlay_op *op = inlay_wf_op(rq, opened);

	o->flags = flags;
	op->node = inlay_node_ref(o->node->node);
	op->in.make.flags = flags;
	inlay_op_open(op);
}

static void open_file(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;

	o->access = inlay_win_access_of(rq->in.in.open.access);
	if (inlay_win_overwrites(rq->in.in.open.disposition))
		o->access |= INLAY_WIN_ACCESS_WRITE; /* the driver empties it later: better refused now */
	if (rq->w->config.readonly && o->access & INLAY_WIN_ACCESS_WRITE)
		fail_nt(rq, INLAY_NT_MEDIA_WRITE_PROTECTED);
	else if (o->access == INLAY_WIN_ACCESS_NONE)
		prepare_remote(rq);
	else if (o->access & INLAY_WIN_ACCESS_WRITE || (o->access & INLAY_WIN_ACCESS_MOST && !rq->w->config.readonly))
		try_open(rq, INLAY_O_RDWR);
	else
		try_open(rq, INLAY_O_RDONLY);
}

/* What the program asked for and what there is. SUCCESS: they go together. */
static enum inlay_ntstatus objection(const struct inlay_wf_request *rq, bool dir)
{
	uint32_t options = rq->in.in.open.options, disposition = rq->in.in.open.disposition;

	if (disposition == INLAY_WIN_CREATE)
		return INLAY_NT_OBJECT_NAME_COLLISION;
	if (options & INLAY_WIN_DIRECTORY_FILE && !dir)
		return INLAY_NT_NOT_A_DIRECTORY;
	if (options & INLAY_WIN_NON_DIRECTORY_FILE && dir)
		return INLAY_NT_FILE_IS_A_DIRECTORY;
	if (dir && inlay_win_overwrites(disposition))
		return options & INLAY_WIN_DIRECTORY_FILE ? INLAY_NT_INVALID_PARAMETER : INLAY_NT_OBJECT_NAME_COLLISION;
	return INLAY_NT_SUCCESS;
}

static void found(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	bool dir = inlay_wf_is_dir(&o->walk.attr), file = (o->walk.attr.mode & INLAY_WF_TYPE_MASK) == INLAY_WF_TYPE_REG;
	bool local_stands = !o->stood.marked && o->stood.standing == o->path->parts;
	enum inlay_ntstatus no = objection(rq, dir);

	if (local_stands && !dir) { /* NTFS has a directory there, of its own */
		local(rq);
		return;
	}
	if (!dir && !file) {
		/* Sockets and the like are not shown. Nor can something else be made there. */
		if (inlay_win_makes(rq->in.in.open.disposition))
			fail_nt(rq, INLAY_NT_OBJECT_NAME_COLLISION);
		else
			prepare_absent(rq);
		return;
	}
	if (no != INLAY_NT_SUCCESS) {
		fail_nt(rq, no);
		return;
	}
	o->merged = local_stands;
	o->attr = o->walk.attr;
	o->node = inlay_wf_node_ref(o->walk.found);
	if (dir)
		prepare_remote(rq);
	else
		open_file(rq);
}

/* ---- what there is ---- */

/* Neither there nor just missing: something on the way, or the link itself, leads nowhere. */
static void leads_nowhere(struct inlay_wf_request *rq)
{
	const struct inlay_wf_open *o = &rq->u.open;

	if (o->walk.part + 1 < o->path->parts)
		fail_nt(rq, INLAY_NT_OBJECT_PATH_NOT_FOUND);
	else if (inlay_win_makes(rq->in.in.open.disposition))
		fail_nt(rq, INLAY_NT_OBJECT_NAME_COLLISION);
	else
		prepare_absent(rq);
}

static void walked(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_open *o = &rq->u.open;
	bool nowhere = status == -INLAY_ENOENT || status == -INLAY_ENOTDIR || status == -INLAY_ELOOP;

	if (o->walk.recased) {
		free(o->path);
		o->path = o->walk.recased;
		o->walk.recased = NULL;
	}
	if (status == -INLAY_EEXIST) {
		inlay_warning("%s: names on the server differ in nothing but case, and none is this one: not opened", o->path->win);
		fail_nt(rq, INLAY_NT_OBJECT_NAME_COLLISION);
	} else if (status < 0 && !nowhere) {
		fail(rq, status);
	} else if (status < 0 && !o->stood.marked && o->walk.part < o->stood.standing) {
		local(rq); /* it lies in a directory that the server has not */
	} else if (o->by_rule) {
		if (status < 0)
			local(rq); /* NTFS knows what to say */
		else
			prepare_local(rq);
	} else if (status == 0) {
		found(rq);
	} else if (o->walk.missing) {
		missing(rq);
	} else {
		leads_nowhere(rq);
	}
}

static void walk(struct inlay_wf_request *rq, unsigned parts)
{
	struct inlay_wf_open *o = &rq->u.open;

	memset(&o->walk, 0, sizeof o->walk);
	o->walk.path = o->path;
	o->walk.parts = parts;
	inlay_wf_walk_start(rq, &o->walk, walked);
}

static void hold_woken(struct inlay_wf_request *rq, int status)
{
	if (status < 0)
		fail(rq, status);
	else
		start(rq);
}

static unsigned parts_of(const char *path)
{
	unsigned parts = 1;

	for (; *path; path++)
		parts += *path == '/';
	return parts;
}

/* True: the request waits. A name that is being removed is in nobody's way while it stands: so many parts of the path do. */
static bool wait_for_hold(struct inlay_wf_request *rq, unsigned standing)
{
	struct inlay_wf_hold *hold = inlay_wf_hold_find(rq->w, inlay_str(rq->u.open.path->win), NULL);

	if (!hold || (hold->removal && standing >= parts_of(hold->path)))
		return false;
	inlay_wf_wait(rq, &hold->waiting, true, hold_woken);
	return true;
}

static void stood(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_open *o = &rq->u.open;
	const struct inlay_wf_standing *s = &o->stood;
	unsigned parts = o->path->parts;
	bool stands = s->standing == parts, local_stands = stands && !s->marked && parts;

	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0) {
		fail(rq, status);
	} else if (wait_for_hold(rq, s->standing)) {
		return;
	} else if (!s->marked && !s->is_dir && !stands) {
		local(rq); /* a local file where the path wants a directory */
	} else if (o->by_rule) {
		if (s->standing + 1 >= parts)
			prepare_local(rq);
		else
			walk(rq, parts - 1);
	} else if (local_stands && !s->is_dir && o->rule_file && o->rule_file->side == INLAY_REMOTE) {
		inlay_warning("%s: rule %u says remote, but a local file stands there: not opened", o->path->win, o->rule_file->number);
		fail_nt(rq, INLAY_NT_OBJECT_NAME_COLLISION);
	} else if (local_stands && !s->is_dir) {
		local(rq);
	} else {
		walk(rq, parts);
	}
}

static int stand_work(struct inlay_wf_request *rq)
{
	return inlay_wf_stand(rq->w, rq->u.open.path, &rq->u.open.stood);
}

/* ---- what the rules say ---- */

static bool says_local(const struct inlay_rule *rule)
{
	return rule && rule->side == INLAY_LOCAL;
}

/* Sets the rules of the name; true: they say that it is local, whatever there is. */
static bool judge(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_open *o = &rq->u.open;
	unsigned parts = o->path->parts;
	const struct inlay_rule *rule;

	o->rule_file = o->rule_dir = o->rule_new_dir = NULL;
	if (!parts || !inlay_judge_has_rules(w->redirect->judge))
		return false;
	for (unsigned i = 1; i < parts; i++) {
		rule = inlay_wf_rule(w, o->path, i, true);
		if (says_local(rule) && !rule->contested)
			return true;
	}
	o->rule_file = inlay_wf_rule(w, o->path, parts, false);
	o->rule_new_dir = inlay_wf_rule(w, o->path, parts, true);
	o->rule_dir = o->rule_new_dir && o->rule_new_dir->contested ? NULL : o->rule_new_dir;
	return says_local(o->rule_file) && says_local(o->rule_dir);
}

static void start(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;

	if (wait_for_hold(rq, UINT_MAX))
		return;
	o->by_rule = judge(rq);
	/* What exists locally is NTFS's business alone; what is to be made needs its directory there. */
	if (o->by_rule && !inlay_win_makes(rq->in.in.open.disposition))
		local(rq);
	else
		inlay_wf_offload(rq, stand_work, stood);
}

void inlay_wf_open(struct inlay_wf_request *rq)
{
	struct inlay_wf_open *o = &rq->u.open;
	const uint32_t both = INLAY_WIN_DIRECTORY_FILE | INLAY_WIN_NON_DIRECTORY_FILE;
	const uint8_t *slot = inlay_ring_responder_slot(&rq->w->ring, rq->in.slot);
	int err;

	memset(o, 0, offsetof(struct inlay_wf_open, stood));
	memset((char *)o + offsetof(struct inlay_wf_open, walk), 0, sizeof *o - offsetof(struct inlay_wf_open, walk));
	err = inlay_winpath_parse(slot, rq->in.length, &o->path);
	if (err == -INLAY_EINVAL)
		fail_nt(rq, INLAY_NT_OBJECT_NAME_INVALID);
	else if (err < 0)
		fail(rq, err);
	else if ((rq->in.in.open.options & both) == both)
		fail_nt(rq, INLAY_NT_INVALID_PARAMETER);
	else
		start(rq);
}

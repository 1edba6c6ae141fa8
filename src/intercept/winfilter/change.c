/*
 * RENAME and REMOVE: judged and held at BEGIN, done on the server at END.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     rename: rules -> hold -> what stands on NTFS -> walk to the new name -> is it still the file -> may we -> placeholders
 *     remove: hold -> is it still the file -> may we -> is the directory empty
 */
#include "intercept/winfilter/filter.h"

#include <stdio.h>

#define LOOK 4096u /* payload bytes of a listing that only asks whether there is anything */

static struct inlay_wf_change_names *names(struct inlay_wf_request *rq)
{
	return &rq->u.names;
}

static void drop(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);

	inlay_wf_abandon(rq->w, n->handle);
	inlay_wf_walk_done(rq->w, &n->walk);
	inlay_wf_changes_free(n->change, n->changes);
	inlay_wf_node_put(rq->w, n->to);
	free(n->path);
	free(n->cleared);
}

/* BEGIN ends without a hold. */
static void refuse_nt(struct inlay_wf_request *rq, enum inlay_ntstatus status)
{
	drop(rq);
	if (rq->file)
		inlay_wf_hold_end(rq->file);
	inlay_wf_answer_nt(rq, status);
}

static void refuse(struct inlay_wf_request *rq, int status)
{
	refuse_nt(rq, (enum inlay_ntstatus)inlay_ntstatus_from(status));
}

/* ---- what both ask: is the name still this file's, may we change its directory ---- */

static void verified(struct inlay_wf_request *rq, int status)
{
	const struct inlay_wf_file *f = rq->file;
	struct inlay_node *found = rq->op.found;
	bool same = found && (f->is_link || found == f->node->node ||
	                      memcmp(&found->id[INLAY_REMOTE], &f->node->node->id[INLAY_REMOTE], sizeof found->id[0]) == 0);

	rq->op.found = NULL;
	inlay_wf_op_done(rq);
	if (found) {
		inlay_redirect_forget(rq->w->redirect, 0, found->number, 1);
		inlay_node_put(found);
	}
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status == 0 && !same) /* somebody put another one there: not the program's to move or remove */
		status = -INLAY_ESTALE;
	names(rq)->verified(rq, status);
}

/* then(rq, 0), -INLAY_ENOENT: the name is gone; -INLAY_ESTALE: it is another file's by now; or a status. */
static void verify(struct inlay_wf_request *rq, inlay_wf_step *then)
{
	struct inlay_op *op = inlay_wf_op(rq, verified);

	names(rq)->verified = then;
	op->node = inlay_node_ref(rq->file->parent->node); /* never NULL: the file counts a lookup */
	op->name = inlay_str(rq->file->name);
	inlay_op_lookup(op);
}

static void ask_access(struct inlay_wf_request *rq, struct inlay_wf_node *dir, inlay_wf_step *then)
{
	struct inlay_op *op = inlay_wf_op(rq, then);

	op->node = inlay_node_ref(dir->node);
	op->in.io.flags = INLAY_ACCESS_W | INLAY_ACCESS_X;
	inlay_op_access(op);
}

/* ---- remove: begin ---- */

/*
 * The server's directory is empty. What placeholders are left in NTFS's, others have removed on the server: NTFS would take them for
 * something that is there.
 */
struct leftovers {
	const char *dir;
	char **path;
	unsigned count, cap;
};

static int take_leftover(void *arg, const struct inlay_placeholder *p)
{
	struct leftovers *l = arg;
	size_t size = strlen(l->dir) + strlen(p->name) + 2;

	if (p->state != INLAY_PLACEHOLDER_MARKED)
		return 0;
	if (l->count == l->cap) {
		unsigned cap = l->cap ? 2 * l->cap : 16;
		char **grown = realloc(l->path, cap * sizeof(char *));

		if (!grown)
			return -INLAY_ENOMEM;
		l->path = grown;
		l->cap = cap;
	}
	l->path[l->count] = malloc(size);
	if (!l->path[l->count])
		return -INLAY_ENOMEM;
	snprintf(l->path[l->count++], size, "%s/%s", l->dir, p->name);
	return 0;
}

static int clear_work(struct inlay_wf_request *rq)
{
	const struct inlay_winfilter_config *config = &rq->w->config;
	struct leftovers l = {.dir = rq->u.names.cleared};

	(void)config->placeholders->list(config->placeholders_arg, l.dir, take_leftover, &l);
	for (unsigned i = 0; i < l.count; i++) {
		(void)config->placeholders->remove(config->placeholders_arg, l.path[i]);
		free(l.path[i]);
	}
	free(l.path);
	return 0;
}

static void cleared(struct inlay_wf_request *rq, int status)
{
	(void)status; /* what is left NTFS sees, and says so */
	drop(rq);
	inlay_wf_answer_status(rq, 0);
}

static void look(struct inlay_wf_request *rq);

static void looked(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_change_names *n = names(rq);
	uint32_t len = status == 0 ? rq->op.reply->data_len : 0;
	struct inlay_reader data = inlay_reader(len ? rq->op.reply->data : NULL, len);
	bool others = false;
	struct inlay_dirent d;

	while (data.p < data.end && !others) {
		if (inlay_get_dirent(&data, &d, 0) < 0) {
			status = -INLAY_EIO;
			break;
		}
		n->cookie = d.cookie;
		others = !inlay_str_is(d.name, ".") && !inlay_str_is(d.name, "..");
	}
	inlay_wf_op_done(rq);
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (others)
		status = -INLAY_ENOTEMPTY;
	if (status < 0) {
		refuse(rq, status);
	} else if (len) {
		look(rq);
	} else {
		n->cleared = strdup(rq->file->path); /* a copy: a rename may change it meanwhile */
		if (n->cleared)
			inlay_wf_offload(rq, clear_work, cleared);
		else
			refuse(rq, -INLAY_ENOMEM);
	}
}

static void look(struct inlay_wf_request *rq)
{
	struct inlay_op *op = inlay_wf_op(rq, looked);

	op->file = inlay_file_get(rq->w->redirect, names(rq)->handle);
	op->in.io.off = names(rq)->cookie;
	op->in.io.len = LOOK;
	inlay_op_readdir(op);
}

static void look_opened(struct inlay_wf_request *rq, int status)
{
	if (status == 0)
		names(rq)->handle = rq->op.opened->number;
	inlay_wf_op_done(rq);
	if (status == 0)
		look(rq);
	else if (status == -INLAY_EACCES || status == -INLAY_ENOENT) {
		drop(rq); /* who may not look may find out at the end */
		inlay_wf_answer_status(rq, 0);
	} else {
		refuse(rq, status);
	}
}

static void remove_allowed(struct inlay_wf_request *rq, int status)
{
	struct inlay_op *op;

	inlay_wf_op_done(rq);
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0) {
		refuse(rq, status);
		return;
	}
	if (rq->file->type != INLAY_WF_TYPE_DIR || rq->file->is_link) {
		drop(rq);
		inlay_wf_answer_status(rq, 0);
		return;
	}
	op = inlay_wf_op(rq, look_opened);
	op->node = inlay_node_ref(rq->file->node->node);
	inlay_op_opendir(op);
}

static void remove_verified(struct inlay_wf_request *rq, int status)
{
	if (status == -INLAY_ENOENT) { /* it is gone already: as the program wants it */
		drop(rq);
		inlay_wf_answer_status(rq, 0);
	} else if (status == -INLAY_ESTALE) {
		refuse_nt(rq, INLAY_NT_OBJECT_NAME_NOT_FOUND);
	} else if (status < 0) {
		refuse(rq, status);
	} else {
		ask_access(rq, rq->file->parent, remove_allowed);
	}
}

static void remove_start(struct inlay_wf_request *rq);

static void remove_woken(struct inlay_wf_request *rq, int status)
{
	if (status < 0)
		refuse(rq, status);
	else
		remove_start(rq);
}

static void remove_start(struct inlay_wf_request *rq)
{
	struct inlay_wf_file *f = rq->file;
	struct inlay_wf_hold *other = inlay_wf_hold_find(rq->w, inlay_str(f->path), f);

	/* That another handle is to remove it, too, is fine. */
	if (other && !other->removal) {
		inlay_wf_wait(rq, &other->waiting, true, remove_woken);
		return;
	}
	if (f->hold) { /* another BEGIN of it was quicker */
		drop(rq);
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER);
		return;
	}
	f->hold = inlay_wf_hold_new(rq->w, true, f->path, NULL);
	if (!f->hold)
		refuse(rq, -INLAY_ENOMEM);
	else
		verify(rq, remove_verified);
}

/* What any change of the file's name must not be. */
static enum inlay_ntstatus objection(const struct inlay_wf_request *rq)
{
	if (!rq->file->parent)
		return INLAY_NT_ACCESS_DENIED; /* the filter directory itself */
	return rq->w->config.readonly ? INLAY_NT_MEDIA_WRITE_PROTECTED : INLAY_NT_SUCCESS;
}

void inlay_wf_remove_begin(struct inlay_wf_request *rq)
{
	enum inlay_ntstatus no = objection(rq);

	memset(&rq->u.names, 0, sizeof rq->u.names);
	if (no != INLAY_NT_SUCCESS)
		inlay_wf_answer_nt(rq, no);
	else if (rq->file->hold)
		inlay_wf_answer_nt(rq, rq->file->hold->removal ? INLAY_NT_SUCCESS : INLAY_NT_INVALID_PARAMETER);
	else
		remove_start(rq);
}

/* ---- remove: end ---- */

static void remove_finish(struct inlay_wf_request *rq, int status)
{
	drop(rq);
	inlay_wf_listing_touch(rq->w, inlay_str(rq->file->path));
	inlay_wf_hold_end(rq->file);
	inlay_wf_answer_status(rq, status == -INLAY_ENOENT ? 0 : status);
}

static void removed(struct inlay_wf_request *rq, int status)
{
	inlay_wf_op_done(rq);
	remove_finish(rq, status);
}

static void remove_end_verified(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_file *f = rq->file;
	struct inlay_op *op;

	if (status < 0) {
		/* Another file came to have the name: that one stays, and this one is gone from there. */
		remove_finish(rq, status == -INLAY_ESTALE ? 0 : status);
		return;
	}
	op = inlay_wf_op(rq, removed);
	op->node = inlay_node_ref(f->parent->node);
	op->name = inlay_str(f->name);
	inlay_op_remove(op, f->type == INLAY_WF_TYPE_DIR && !f->is_link ? INLAY_RMDIR : INLAY_UNLINK);
}

void inlay_wf_remove_end(struct inlay_wf_request *rq)
{
	struct inlay_wf_file *f = rq->file;

	memset(&rq->u.names, 0, sizeof rq->u.names);
	if (!f->hold || !f->hold->removal) {
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER);
	} else if (rq->in.flags & INLAY_RING_DONE) {
		verify(rq, remove_end_verified);
	} else {
		inlay_wf_hold_end(f);
		inlay_wf_answer_status(rq, 0);
	}
}

/* ---- rename: begin ---- */

static void rename_start(struct inlay_wf_request *rq);

/* The way is free: what END will need goes into the hold. */
static void rename_granted(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	struct inlay_wf_hold *h = rq->file->hold;

	if (!h) { /* CLOSE came meanwhile */
		refuse_nt(rq, INLAY_NT_INVALID_HANDLE);
		return;
	}
	h->to = n->to;
	n->to = NULL;
	memcpy(h->to_name, n->to_name, sizeof h->to_name);
	h->flags = n->replaces || n->same ? 0 : INLAY_RENAME_NOREPLACE;
	h->unlink = n->same && n->replaces;
	drop(rq);
	inlay_wf_answer_status(rq, 0);
}

static void rename_placed(struct inlay_wf_request *rq, int status)
{
	(void)status; /* what does not stand NTFS will miss, and say so */
	rename_granted(rq);
}

static int rename_place_work(struct inlay_wf_request *rq)
{
	return inlay_wf_changes_run(rq->w, names(rq)->change, names(rq)->changes, false);
}

static void rename_place(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	bool stale = n->stood.standing == n->path->parts && n->stood.marked && !n->replaces && !n->same;
	int err = inlay_wf_changes_for(rq->w, n->path, &n->stood, n->walk.done, stale, NULL, NULL, &n->change, &n->changes);

	if (err < 0)
		refuse(rq, err);
	else if (n->changes)
		inlay_wf_offload(rq, rename_place_work, rename_placed);
	else
		rename_granted(rq);
}

static void rename_to_allowed(struct inlay_wf_request *rq, int status)
{
	inlay_wf_op_done(rq);
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0)
		refuse(rq, status);
	else
		rename_place(rq);
}

static void rename_from_allowed(struct inlay_wf_request *rq, int status)
{
	inlay_wf_op_done(rq);
	if (status < 0)
		refuse(rq, status);
	else
		ask_access(rq, names(rq)->to, rename_to_allowed);
}

static void rename_verified(struct inlay_wf_request *rq, int status)
{
	if (status == -INLAY_ENOENT || status == -INLAY_ESTALE)
		refuse_nt(rq, INLAY_NT_OBJECT_NAME_NOT_FOUND);
	else if (status < 0)
		refuse(rq, status);
	else
		ask_access(rq, rq->file->parent, rename_from_allowed);
}

static bool same_id(const struct inlay_wf_node *a, const struct inlay_wf_node *b)
{
	return memcmp(&a->node->id[INLAY_REMOTE], &b->node->id[INLAY_REMOTE], sizeof a->node->id[0]) == 0;
}

/* Something has the new name on the server. SUCCESS: it may be replaced, or is the file itself. */
static enum inlay_ntstatus rename_onto(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	const struct inlay_wf_file *f = rq->file;
	bool its_own = same_id(n->walk.parent, f->parent) && strcmp(n->walk.name, f->name) == 0;

	if (its_own) { /* its case changes, or nothing: to_name is as the program wants it */
		n->same = true;
		return INLAY_NT_SUCCESS;
	}
	if (!rq->in.in.rename.replace)
		return INLAY_NT_OBJECT_NAME_COLLISION;
	if (inlay_wf_is_dir(&n->walk.attr) || f->type == INLAY_WF_TYPE_DIR)
		return INLAY_NT_ACCESS_DENIED;
	n->replaces = true;
	n->same = !n->walk.is_link && !f->is_link && same_id(n->walk.found, f->node); /* two names of one file */
	memcpy(n->to_name, n->walk.name, sizeof n->to_name);
	return INLAY_NT_SUCCESS;
}

static void rename_walked(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_change_names *n = names(rq);
	bool nowhere = status == -INLAY_ENOENT || status == -INLAY_ENOTDIR || status == -INLAY_ELOOP;
	enum inlay_ntstatus no = INLAY_NT_SUCCESS;

	if (n->walk.recased) {
		free(n->path);
		n->path = n->walk.recased;
		n->walk.recased = NULL;
	}
	if (status == -INLAY_EEXIST)
		no = INLAY_NT_OBJECT_NAME_COLLISION;
	else if (status < 0 && !nowhere)
		no = (enum inlay_ntstatus)inlay_ntstatus_from(status);
	else if (status < 0 && !n->stood.marked && n->walk.part < n->stood.standing)
		no = INLAY_NT_NOT_SAME_DEVICE; /* the new directory is a local one */
	else if (status < 0 && !n->walk.missing && n->walk.part + 1 == n->path->parts)
		no = INLAY_NT_OBJECT_NAME_COLLISION; /* a link that leads nowhere has the name */
	else if (status < 0 && !n->walk.missing)
		no = INLAY_NT_OBJECT_PATH_NOT_FOUND;
	else if (status == 0)
		no = rename_onto(rq);
	if (no != INLAY_NT_SUCCESS) {
		refuse_nt(rq, no);
		return;
	}
	n->to = inlay_wf_node_ref(n->walk.parent);
	verify(rq, rename_verified);
}

/* A local file's new name must not hide what the server has. */
static void local_walked(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_change_names *n = names(rq);
	bool nowhere = status == -INLAY_ENOENT || status == -INLAY_ENOTDIR || status == -INLAY_ELOOP;

	if (n->walk.recased) {
		free(n->path);
		n->path = n->walk.recased;
		n->walk.recased = NULL;
	}
	if (status == 0 || status == -INLAY_EEXIST)
		refuse_nt(rq, INLAY_NT_NOT_SAME_DEVICE);
	else if (nowhere && (n->walk.missing || n->walk.part + 1 < n->path->parts))
		refuse_nt(rq, INLAY_NT_SUCCESS);
	else if (nowhere)
		refuse_nt(rq, INLAY_NT_NOT_SAME_DEVICE);
	else
		refuse(rq, status);
}

static void rename_stood(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_change_names *n = names(rq);
	const struct inlay_wf_standing *s = &n->stood;
	bool stands = s->standing == n->path->parts, local_stands = stands && !s->marked;

	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0) {
		refuse(rq, status);
		return;
	}
	if (n->local && stands) {
		refuse_nt(rq, s->marked ? INLAY_NT_NOT_SAME_DEVICE : INLAY_NT_SUCCESS);
		return;
	}
	if (local_stands) {
		refuse_nt(rq, rq->in.in.rename.replace ? INLAY_NT_NOT_SAME_DEVICE : INLAY_NT_OBJECT_NAME_COLLISION);
		return;
	}
	n->walk.path = n->path;
	n->walk.parts = n->path->parts;
	inlay_wf_walk_start(rq, &n->walk, n->local ? local_walked : rename_walked);
}

static int rename_stand_work(struct inlay_wf_request *rq)
{
	return inlay_wf_stand(rq->w, names(rq)->path, &names(rq)->stood);
}

static void rename_woken(struct inlay_wf_request *rq, int status)
{
	if (status < 0)
		refuse(rq, status);
	else
		rename_start(rq);
}

static void rename_start(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	struct inlay_wf_file *f = rq->file;
	struct inlay_wf_hold *other = inlay_wf_hold_find(rq->w, inlay_str(n->path->win), f);

	if (!other && f)
		other = inlay_wf_hold_find(rq->w, inlay_str(f->path), f);
	if (other) {
		inlay_wf_wait(rq, &other->waiting, true, rename_woken);
		return;
	}
	if (f && f->hold) { /* another BEGIN of it was quicker */
		drop(rq);
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER);
		return;
	}
	if (f) {
		f->hold = inlay_wf_hold_new(rq->w, false, f->path, n->path->win);
		if (!f->hold) {
			refuse(rq, -INLAY_ENOMEM);
			return;
		}
	}
	inlay_wf_offload(rq, rename_stand_work, rename_stood);
}

/* Which side the rules give the new name to: 0 or 1 (enum inlay_side), -1: they don't say. */
static int ruled_side(struct inlay_wf_request *rq, bool is_dir)
{
	struct inlay_wf_change_names *n = names(rq);
	const struct inlay_rule *rule;

	for (unsigned i = 1; i <= n->path->parts; i++) {
		rule = inlay_wf_rule(rq->w, n->path, i, i < n->path->parts || is_dir);
		if (rule && i == n->path->parts)
			return (int)rule->side;
		if (rule && rule->side == INLAY_LOCAL && !rule->contested)
			return INLAY_LOCAL;
	}
	return -1;
}

/* What the names alone say. SUCCESS: go on. */
static enum inlay_ntstatus rename_objection(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	const struct inlay_wf_file *f = rq->file;
	enum inlay_ntstatus no = objection(rq);
	uint32_t end;

	if (no != INLAY_NT_SUCCESS)
		return no;
	if (!n->path->parts)
		return INLAY_NT_ACCESS_DENIED;
	if (f->hold)
		return INLAY_NT_INVALID_PARAMETER;
	if (f->merged)
		return INLAY_NT_NOT_SAME_DEVICE; /* half of it is NTFS's */
	if (inlay_wf_path_is_in(inlay_str(n->path->win), f->path, &end) && n->path->win[end])
		return INLAY_NT_INVALID_PARAMETER; /* into itself */
	return ruled_side(rq, f->type == INLAY_WF_TYPE_DIR) == INLAY_LOCAL ? INLAY_NT_NOT_SAME_DEVICE : INLAY_NT_SUCCESS;
}

static void local_rename(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	int side = n->path->parts ? ruled_side(rq, false) : INLAY_LOCAL;

	n->local = true;
	if (side == INLAY_LOCAL)
		refuse_nt(rq, INLAY_NT_SUCCESS);
	else if (side == INLAY_REMOTE)
		refuse_nt(rq, INLAY_NT_NOT_SAME_DEVICE);
	else
		rename_start(rq);
}

void inlay_wf_rename_begin(struct inlay_wf_request *rq)
{
	struct inlay_wf_change_names *n = names(rq);
	const uint8_t *slot = inlay_ring_responder_slot(&rq->w->ring, rq->in.slot);
	enum inlay_ntstatus no;
	struct inlay_str last;
	int err;

	memset(n, 0, sizeof *n);
	if (rq->in.file && !rq->file) {
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_HANDLE);
		return;
	}
	err = inlay_winpath_parse(slot, rq->in.length, &n->path);
	if (err < 0) {
		inlay_wf_answer_nt(rq, err == -INLAY_EINVAL ? INLAY_NT_OBJECT_NAME_INVALID : (enum inlay_ntstatus)inlay_ntstatus_from(err));
		return;
	}
	if (!rq->file) {
		local_rename(rq);
		return;
	}
	no = rename_objection(rq);
	if (no != INLAY_NT_SUCCESS) {
		drop(rq); /* and not a hold that is there */
		inlay_wf_answer_nt(rq, no);
		return;
	}
	last = inlay_winpath_server(n->path, n->path->parts - 1);
	memcpy(n->to_name, last.p, last.len);
	rename_start(rq);
}

/* ---- rename: end ---- */

/* The file of this name, or of one beneath it, has another path now. Lack of memory leaves an old one: its directory is then not found. */
static void move_path(struct inlay_wf_file *f, const char *path, const char *new_path)
{
	uint32_t end;
	char *moved;

	if (!inlay_wf_path_is_in(inlay_str(f->path), path, &end))
		return;
	moved = malloc(strlen(new_path) + strlen(f->path + end) + 1);
	if (!moved)
		return;
	strcpy(moved, new_path);
	strcat(moved, f->path + end);
	free(f->path);
	f->path = moved;
}

static void move_files(struct inlay_winfilter *w, const struct inlay_wf_hold *h, const struct inlay_wf_file *from)
{
	struct inlay_wf_node *old_parent = inlay_wf_node_ref(from->parent);
	char old_name[INLAY_NAME_MAX + 1];

	memcpy(old_name, from->name, sizeof old_name);
	inlay_list_each(it, &w->open_files) {
		struct inlay_wf_file *f = inlay_container(it, struct inlay_wf_file, link);

		move_path(f, h->path, h->new_path);
		if (!f->parent || !same_id(f->parent, old_parent) || strcmp(f->name, old_name) != 0)
			continue;
		inlay_wf_node_put(w, f->parent);
		f->parent = inlay_wf_node_ref(h->to);
		memcpy(f->name, h->to_name, sizeof f->name);
	}
	inlay_wf_node_put(w, old_parent);
}

static void rename_finish(struct inlay_wf_request *rq, int status)
{
	inlay_wf_hold_end(rq->file);
	inlay_wf_answer_status(rq, status);
}

/* The redirector's nodes learn names by looking them up; that the answer failed is nothing to the program. */
static void rename_learnt(struct inlay_wf_request *rq, int status)
{
	struct inlay_node *found = rq->op.found;

	(void)status;
	rq->op.found = NULL;
	inlay_wf_op_done(rq);
	if (found) {
		inlay_redirect_forget(rq->w->redirect, 0, found->number, 1);
		inlay_node_put(found);
	}
	rename_finish(rq, 0);
}

static void renamed(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_hold *h = rq->file->hold;
	struct inlay_op *op;

	inlay_wf_op_done(rq);
	if (status < 0 || !h) {
		rename_finish(rq, status);
		return;
	}
	inlay_wf_listing_touch(rq->w, inlay_str(h->path));
	inlay_wf_listing_touch(rq->w, inlay_str(h->new_path));
	move_files(rq->w, h, rq->file);
	op = inlay_wf_op(rq, rename_learnt);
	op->node = inlay_node_ref(h->to->node);
	op->name = inlay_str(rq->u.names.to_name);
	inlay_op_lookup(op);
}

void inlay_wf_rename_end(struct inlay_wf_request *rq)
{
	struct inlay_wf_file *f = rq->file;
	struct inlay_wf_hold *h = f->hold;
	struct inlay_op *op;

	memset(&rq->u.names, 0, sizeof rq->u.names);
	if (!h || h->removal || (rq->in.flags & INLAY_RING_DONE && !h->to)) {
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER);
		return;
	}
	if (!(rq->in.flags & INLAY_RING_DONE)) {
		rename_finish(rq, 0);
		return;
	}
	op = inlay_wf_op(rq, renamed);
	op->node = inlay_node_ref(f->parent->node);
	op->name = inlay_str(f->name);
	if (h->unlink) {
		inlay_op_remove(op, INLAY_UNLINK);
		return;
	}
	/* A hold ends with its file, whatever is under way. */
	memcpy(rq->u.names.to_name, h->to_name, sizeof h->to_name);
	op->to = inlay_node_ref(h->to->node);
	op->to_name = inlay_str(rq->u.names.to_name);
	op->in.make.flags = h->flags;
	inlay_op_rename(op);
}

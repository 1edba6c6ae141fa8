/*
 * Operations on names: lookup, create, make, remove, rename, link.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/op.h"

/* ---- lookup: the local side first where it may have the name, then the remote one ---- */

static bool both_rules(const struct inlay_op *op, enum inlay_side side)
{
	return op->rule_file && op->rule_dir && op->rule_file->side == side && op->rule_dir->side == side;
}

static const struct inlay_rule *rule_for(const struct inlay_op *op, uint32_t mode)
{
	return (mode & INLAY_TYPE_MASK) == INLAY_TYPE_DIR ? op->rule_dir : op->rule_file;
}

static void lookup_found(struct inlay_op *op)
{
	const struct inlay_node_id *ids[INLAY_SIDES] = {NULL, NULL};

	for (int side = 0; side < INLAY_SIDES; side++)
		if (op->seen[side])
			ids[side] = &op->ids[side];
	op->side = op->seen[INLAY_LOCAL] ? INLAY_LOCAL : INLAY_REMOTE;
	inlay_op_fit_attr(op, op->side);
	op->found = inlay_node_learn(op->node, op->name, op->attr.mode & INLAY_TYPE_MASK, ids, op->absent);
	inlay_op_end(op, op->found ? 0 : -INLAY_ENOMEM);
}

/* The remote half of a directory that exists locally, too: merged when it is a directory there as well. */
static void lookup_merged(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);

	if (err < 0 && err != -INLAY_ENOENT) {
		inlay_op_end(op, err); /* half a directory would be a lie */
		return;
	}
	op->seen[INLAY_REMOTE] = err == 0 && (rep.attr.mode & INLAY_TYPE_MASK) == INLAY_TYPE_DIR;
	if (op->seen[INLAY_REMOTE])
		op->ids[INLAY_REMOTE] = rep.node;
	else
		op->absent |= 1u << INLAY_REMOTE;
	if (err == 0 && !op->seen[INLAY_REMOTE])
		inlay_op_unpin(op, INLAY_REMOTE, &rep.node);
	lookup_found(op);
}

static void lookup_remote(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	const struct inlay_rule *rule;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);

	if (err == 0) {
		rule = rule_for(op, rep.attr.mode);
		if (rule && rule->side == INLAY_LOCAL) {
			inlay_op_unpin(op, INLAY_REMOTE, &rep.node);
			err = -INLAY_ENOENT; /* the rule hides the server's */
		}
	}
	if (err < 0) {
		inlay_op_end(op, err);
		return;
	}
	op->attr = rep.attr;
	op->ids[INLAY_REMOTE] = rep.node;
	op->seen[INLAY_REMOTE] = true;
	lookup_found(op);
}

static void lookup_try_remote(struct inlay_op *op)
{
	if (inlay_node_on(op->node, INLAY_REMOTE) && !both_rules(op, INLAY_LOCAL))
		inlay_op_send_lookup(op, op->node, op->name, INLAY_REMOTE, lookup_remote);
	else
		inlay_op_end(op, -INLAY_ENOENT);
}

static void lookup_local(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	const struct inlay_rule *rule;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);

	if (err == -INLAY_ENOENT) {
		op->absent |= 1u << INLAY_LOCAL;
		lookup_try_remote(op);
		return;
	}
	if (err < 0) {
		inlay_op_end(op, err);
		return;
	}
	rule = rule_for(op, rep.attr.mode);
	if (rule && rule->side == INLAY_REMOTE) {
		inlay_op_unpin(op, INLAY_LOCAL, &rep.node);
		lookup_try_remote(op);
		return;
	}
	op->attr = rep.attr;
	op->ids[INLAY_LOCAL] = rep.node;
	op->seen[INLAY_LOCAL] = true;
	if (!rule && (rep.attr.mode & INLAY_TYPE_MASK) == INLAY_TYPE_DIR && inlay_node_on(op->node, INLAY_REMOTE))
		inlay_op_send_lookup(op, op->node, op->name, INLAY_REMOTE, lookup_merged);
	else
		lookup_found(op);
}

void inlay_op_lookup(struct inlay_op *op)
{
	op->kind = INLAY_LOOKUP;
	inlay_op_match_rules(op, op->node, op->name);
	if (inlay_node_on(op->node, INLAY_LOCAL) && !both_rules(op, INLAY_REMOTE))
		inlay_op_send_lookup(op, op->node, op->name, INLAY_LOCAL, lookup_local);
	else
		lookup_try_remote(op);
}

/* ---- create and make: decide, see that the directory is there, do it ---- */

static void ensure_then(struct inlay_op *op, struct inlay_node *dir, void (*then)(struct inlay_op *op))
{
	inlay_op_ensure_dir(op, dir, op->side, then);
}

static void created(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_create_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(create, r, &rep);

	if (err < 0) {
		inlay_op_end(op, err);
		return;
	}
	op->attr = rep.attr;
	inlay_op_fit_attr(op, op->side);
	err = inlay_op_found(op, op->node, op->name, op->side, &rep.node, rep.attr.mode);
	if (err < 0)
		inlay_redirect_close_handle(op->redirect, op->lane, op->side, rep.handle);
	else
		err = inlay_op_opened(op, op->found, op->side, rep.handle, false, rep.token);
	if (err < 0 && op->found) {
		inlay_redirect_forget(op->redirect, op->lane, op->found->number, 1);
		inlay_node_put(op->found);
		op->found = NULL;
	}
	inlay_op_end(op, err);
}

static void send_create(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_CREATE);
	struct inlay_create_req req;

	req.dir = op->node->id[op->ensure.side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.flags = op->in.make.flags;
	req.mode = op->in.make.mode;
	req.umask = op->in.make.umask;
	req.pad = 0;
	req.name = op->name;
	inlay_put_create_req(&w, &req);
	inlay_op_send(op, &w, op->ensure.side, created);
}

static void create_decided(struct inlay_op *op)
{
	ensure_then(op, op->node, send_create);
}

void inlay_op_create(struct inlay_op *op)
{
	op->kind = INLAY_CREATE;
	inlay_op_decide(op, op->node, op->name, INLAY_TYPE_REG, INLAY_REMOTE, create_decided);
}

/* A nameless file belongs to the side that a new name in the directory would. */
static void send_tmpfile(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_TMPFILE);
	struct inlay_tmpfile_req req;
	enum inlay_side side = inlay_node_on(op->node, INLAY_REMOTE) ? INLAY_REMOTE : INLAY_LOCAL;

	req.dir = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.flags = op->in.make.flags;
	req.mode = op->in.make.mode;
	req.umask = op->in.make.umask;
	req.pad = 0;
	inlay_put_tmpfile_req(&w, &req);
	inlay_op_send(op, &w, side, created);
}

void inlay_op_tmpfile(struct inlay_op *op)
{
	op->kind = INLAY_TMPFILE;
	op->name = INLAY_STR("(unnamed)");
	send_tmpfile(op);
}

static void made(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_mkdir_rep rep; /* the same as MKNOD's and SYMLINK's */
	int err = r->status < 0 ? r->status : INLAY_OP_GET(mkdir, r, &rep);

	if (err == 0) {
		op->attr = rep.attr;
		inlay_op_fit_attr(op, op->side);
		err = inlay_op_found(op, op->node, op->name, op->side, &rep.node, rep.attr.mode);
	}
	inlay_op_end(op, err);
}

static void put_mkdir(struct inlay_op *op, struct inlay_writer *w)
{
	struct inlay_mkdir_req req;

	req.dir = op->node->id[op->ensure.side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.mode = op->in.make.mode;
	req.umask = op->in.make.umask;
	req.name = op->name;
	inlay_put_mkdir_req(w, &req);
}

static void put_mknod(struct inlay_op *op, struct inlay_writer *w)
{
	struct inlay_mknod_req req;

	req.dir = op->node->id[op->ensure.side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.mode = op->in.make.mode;
	req.umask = op->in.make.umask;
	req.rdev_major = op->in.make.rdev_major;
	req.rdev_minor = op->in.make.rdev_minor;
	req.name = op->name;
	inlay_put_mknod_req(w, &req);
}

static void put_symlink(struct inlay_op *op, struct inlay_writer *w)
{
	struct inlay_symlink_req req;

	req.dir = op->node->id[op->ensure.side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.name = op->name;
	req.target = op->in.make.target;
	inlay_put_symlink_req(w, &req);
}

static void send_make(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, op->kind);

	if (op->kind == INLAY_MKDIR)
		put_mkdir(op, &w);
	else if (op->kind == INLAY_MKNOD)
		put_mknod(op, &w);
	else
		put_symlink(op, &w);
	inlay_op_send(op, &w, op->ensure.side, made);
}

static void make_decided(struct inlay_op *op)
{
	ensure_then(op, op->node, send_make);
}

void inlay_op_make(struct inlay_op *op, uint16_t kind)
{
	op->kind = kind;
	inlay_op_decide(op, op->node, op->name, kind == INLAY_MKDIR ? INLAY_TYPE_DIR : INLAY_TYPE_REG, INLAY_REMOTE,
	                make_decided);
}

/* ---- remove ---- */

static void send_remove(struct inlay_op *op, enum inlay_side side,
                        void (*step)(struct inlay_op *op, const struct inlay_reply *r))
{
	struct inlay_writer w = inlay_op_begin(op, op->kind);
	struct inlay_unlink_req req; /* the same as RMDIR's */

	req.dir = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.name = op->name;
	inlay_put_unlink_req(&w, &req);
	inlay_op_send(op, &w, side, step);
}

static void merged_mended(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_mkdir_rep rep;

	if (r->status == 0 && INLAY_OP_GET(mkdir, r, &rep) == 0)
		inlay_op_unpin(op, INLAY_REMOTE, &rep.node);
	inlay_op_end(op, op->result);
}

/* The remote half of a merged directory is gone; when the local half refuses, the remote one is made again. */
static void merged_local_removed(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_writer w;
	struct inlay_mkdir_req req;

	if (r->status == 0 || !op->seen[INLAY_REMOTE]) {
		inlay_op_end(op, r->status);
		return;
	}
	op->result = r->status;
	req.dir = op->node->id[INLAY_REMOTE];
	inlay_cred_copy(&req.cred, &op->cred);
	req.mode = 0777;
	req.umask = 022;
	req.name = op->name;
	w = inlay_op_begin(op, INLAY_MKDIR);
	inlay_put_mkdir_req(&w, &req);
	inlay_op_send(op, &w, INLAY_REMOTE, merged_mended);
}

static void merged_remote_removed(struct inlay_op *op, const struct inlay_reply *r)
{
	if (r->status < 0 && r->status != -INLAY_ENOENT && r->status != -INLAY_ENOTDIR) {
		inlay_op_end(op, r->status);
		return;
	}
	op->seen[INLAY_REMOTE] = r->status == 0;
	send_remove(op, INLAY_LOCAL, merged_local_removed);
}

static void remove_decided(struct inlay_op *op)
{
	if (!inlay_node_on(op->node, op->side))
		inlay_op_end(op, -INLAY_ENOENT);
	else if (op->kind == INLAY_RMDIR && op->side == INLAY_LOCAL && !op->rule_dir &&
	         op->decide.found == INLAY_TYPE_DIR && inlay_node_on(op->node, INLAY_REMOTE))
		send_remove(op, INLAY_REMOTE, merged_remote_removed);
	else
		send_remove(op, op->side, inlay_op_step_end);
}

void inlay_op_remove(struct inlay_op *op, uint16_t kind)
{
	op->kind = kind;
	inlay_op_decide(op, op->node, op->name, kind == INLAY_RMDIR ? INLAY_TYPE_DIR : INLAY_TYPE_REG, INLAY_REMOTE,
	                remove_decided);
}

/* ---- rename and link: both names must be on one side, else EXDEV ---- */

static void send_rename(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_RENAME);
	struct inlay_rename_req req;
	enum inlay_side side = op->ensure.side;

	req.from_dir = op->node->id[side];
	req.to_dir = op->to->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.flags = op->in.make.flags;
	req.pad = 0;
	req.from = op->name;
	req.to = op->to_name;
	inlay_put_rename_req(&w, &req);
	inlay_op_send(op, &w, side, inlay_op_step_end);
}

/*
 * A local file keeps its side under a new name, unless that name is taken on the server: that would hide it. A local
 * directory that is to be replaced must not be half of a merged one.
 */
static void rename_target_on_server(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);

	if (err == 0)
		inlay_op_unpin(op, INLAY_REMOTE, &rep.node);
	if (err == 0 && (!op->decide.found || (rep.attr.mode & INLAY_TYPE_MASK) == INLAY_TYPE_DIR))
		err = -INLAY_EXDEV;
	if (err < 0 && err != -INLAY_ENOENT)
		inlay_op_end(op, err);
	else
		inlay_op_ensure_dir(op, op->to, INLAY_LOCAL, send_rename);
}

static void rename_target_decided(struct inlay_op *op)
{
	enum inlay_side from = (enum inlay_side)op->result;
	const struct inlay_rule *rule = op->decide.type == INLAY_TYPE_DIR ? op->rule_dir : op->rule_file;
	bool shadows = !op->decide.found || op->decide.found == INLAY_TYPE_DIR;

	if (op->side != from)
		inlay_op_end(op, -INLAY_EXDEV);
	else if (from == INLAY_LOCAL && !rule && shadows && inlay_node_on(op->to, INLAY_REMOTE))
		inlay_op_send_lookup(op, op->to, op->to_name, INLAY_REMOTE, rename_target_on_server);
	else
		inlay_op_ensure_dir(op, op->to, from, send_rename);
}

static void rename_decide_target(struct inlay_op *op, uint32_t type)
{
	inlay_op_decide(op, op->to, op->to_name, type, (enum inlay_side)op->result, rename_target_decided);
}

static void rename_source_typed(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);

	if (err < 0) {
		inlay_op_end(op, err);
		return;
	}
	inlay_op_unpin(op, (enum inlay_side)op->result, &rep.node);
	rename_decide_target(op, rep.attr.mode & INLAY_TYPE_MASK);
}

/* What the rules say of the new name may depend on what the old one stands for. */
static void rename_source_known(struct inlay_op *op)
{
	inlay_op_match_rules(op, op->to, op->to_name);
	if (op->rule_file == op->rule_dir)
		rename_decide_target(op, 0);
	else if (op->in.make.flags & INLAY_RENAME_EXCHANGE)
		inlay_op_end(op, -INLAY_EXDEV); /* two types, two rules: not worth asking for */
	else
		inlay_op_send_lookup(op, op->node, op->name, (enum inlay_side)op->result, rename_source_typed);
}

/* The source is a merged directory when its remote half is a directory, too: that can't move as one. */
static void rename_source_merged(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_lookup_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(lookup, r, &rep);

	if (err == 0)
		inlay_op_unpin(op, INLAY_REMOTE, &rep.node);
	if (err == 0 && (rep.attr.mode & INLAY_TYPE_MASK) == INLAY_TYPE_DIR)
		err = -INLAY_EXDEV;
	if (err < 0 && err != -INLAY_ENOENT)
		inlay_op_end(op, err);
	else
		rename_source_known(op);
}

static void rename_source_decided(struct inlay_op *op)
{
	bool may_be_merged = op->decide.found == 0 || op->decide.found == INLAY_TYPE_DIR;

	op->result = (int)op->side;
	if (!inlay_node_on(op->node, op->side))
		inlay_op_end(op, -INLAY_ENOENT);
	else if (op->in.make.flags & INLAY_RENAME_EXCHANGE && op->rule_file != op->rule_dir)
		inlay_op_end(op, -INLAY_EXDEV);
	else if (op->side == INLAY_LOCAL && may_be_merged && inlay_node_on(op->node, INLAY_REMOTE) && !op->rule_dir)
		inlay_op_send_lookup(op, op->node, op->name, INLAY_REMOTE, rename_source_merged);
	else
		rename_source_known(op);
}

void inlay_op_rename(struct inlay_op *op)
{
	op->kind = INLAY_RENAME;
	inlay_op_decide(op, op->node, op->name, 0, INLAY_REMOTE, rename_source_decided);
}

static void linked(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_link_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(link, r, &rep);

	if (err == 0) {
		op->attr = rep.attr;
		inlay_op_fit_attr(op, op->side);
		err = inlay_op_found(op, op->to, op->to_name, op->side, &op->node->id[op->side], rep.attr.mode);
	}
	inlay_op_end(op, err);
}

static void send_link(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_LINK);
	struct inlay_link_req req;
	enum inlay_side side = op->ensure.side;

	req.node = op->node->id[side];
	req.handle = 0;
	req.dir = op->to->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.name = op->to_name;
	inlay_put_link_req(&w, &req);
	inlay_op_send(op, &w, side, linked);
}

static void link_decided(struct inlay_op *op)
{
	if (op->side != inlay_node_side(op->node))
		inlay_op_end(op, -INLAY_EXDEV);
	else
		inlay_op_ensure_dir(op, op->to, op->side, send_link);
}

void inlay_op_link(struct inlay_op *op)
{
	op->kind = INLAY_LINK;
	inlay_op_decide(op, op->to, op->to_name, INLAY_TYPE_REG, inlay_node_side(op->node), link_decided);
}

/*
 * Operations on a node's attributes: each is one request to the side that answers for the node.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/unsynced.h"

/* The side's handle of the open file that came with the request, where it is on the node's own side. */
static uint64_t file_handle(const struct inlay_op *op, enum inlay_side side)
{
	return op->file && op->file->side == side ? op->file->handle : 0;
}

static void attr_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_getattr_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(getattr, r, &rep);

	if (err == 0) {
		op->attr = rep.attr;
		inlay_op_fit_attr(op, op->side);
	}
	inlay_op_end(op, err);
}

void inlay_op_getattr(struct inlay_op *op)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w = inlay_op_begin(op, INLAY_GETATTR);
	struct inlay_getattr_req req;

	req.node = op->node->id[side];
	req.handle = file_handle(op, side);
	inlay_put_getattr_req(&w, &req);
	inlay_op_send(op, &w, side, attr_answered);
}

static void setattr_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_setattr_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(setattr, r, &rep);

	if (err == 0) {
		op->attr = rep.attr;
		inlay_op_fit_attr(op, op->side);
		inlay_unsynced_attr_set(op, rep.flags);
	}
	inlay_unsynced_end(op->node);
	inlay_op_end(op, err);
}

void inlay_op_setattr(struct inlay_op *op)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w = inlay_op_begin(op, INLAY_SETATTR);

	op->in.set.node = op->node->id[side];
	op->in.set.handle = file_handle(op, side);
	inlay_cred_copy(&op->in.set.cred, &op->cred);
	inlay_put_setattr_req(&w, &op->in.set);
	inlay_unsynced_begin(op->node);
	inlay_op_send(op, &w, side, setattr_answered);
}

void inlay_op_access(struct inlay_op *op)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w = inlay_op_begin(op, INLAY_ACCESS);
	struct inlay_access_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.mask = op->in.io.flags;
	req.pad = 0;
	inlay_put_access_req(&w, &req);
	inlay_op_send(op, &w, side, inlay_op_step_end);
}

static void readlink_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	inlay_op_end(op, r->status < 0 ? r->status : INLAY_OP_GET(readlink, r, &op->out.link));
}

void inlay_op_readlink(struct inlay_op *op)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w = inlay_op_begin(op, INLAY_READLINK);
	struct inlay_readlink_req req = {.node = op->node->id[side]};

	inlay_put_readlink_req(&w, &req);
	inlay_op_send(op, &w, side, readlink_answered);
}

static void statfs_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	inlay_op_end(op, r->status < 0 ? r->status : INLAY_OP_GET(statfs, r, &op->out.statfs));
}

void inlay_op_statfs(struct inlay_op *op)
{
	/* New files of a merged directory go to the server: its free space is the one that counts. */
	enum inlay_side side = inlay_node_on(op->node, INLAY_REMOTE) ? INLAY_REMOTE : INLAY_LOCAL;
	struct inlay_writer w = inlay_op_begin(op, INLAY_STATFS);
	struct inlay_statfs_req req = {.node = op->node->id[side]};

	inlay_put_statfs_req(&w, &req);
	inlay_op_send(op, &w, side, statfs_answered);
}

/* ---- extended attributes ---- */

static void xattr_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	inlay_op_end(op, r->status < 0 ? r->status : INLAY_OP_GET(getxattr, r, &op->out.xattr));
}

static void put_getxattr(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side)
{
	struct inlay_getxattr_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.max = op->in.xattr.max;
	req.pad = 0;
	req.name = op->name;
	inlay_put_getxattr_req(w, &req);
}

static void put_setxattr(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side)
{
	struct inlay_setxattr_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.flags = op->in.xattr.flags;
	req.pad = 0;
	req.name = op->name;
	inlay_put_setxattr_req(w, &req);
	op->call.data = op->data;
	op->call.data_len = op->data_len;
	op->call.data_hold = op->data_hold;
}

static void put_listxattr(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side)
{
	struct inlay_listxattr_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.max = op->in.xattr.max;
	req.pad = 0;
	inlay_put_listxattr_req(w, &req);
}

static void put_removexattr(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side)
{
	struct inlay_removexattr_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.name = op->name;
	inlay_put_removexattr_req(w, &req);
}

void inlay_op_xattr(struct inlay_op *op, uint16_t kind)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w = inlay_op_begin(op, kind);
	bool answers = kind == INLAY_GETXATTR || kind == INLAY_LISTXATTR;

	if (kind == INLAY_GETXATTR)
		put_getxattr(op, &w, side);
	else if (kind == INLAY_SETXATTR)
		put_setxattr(op, &w, side);
	else if (kind == INLAY_LISTXATTR)
		put_listxattr(op, &w, side);
	else
		put_removexattr(op, &w, side);
	inlay_op_send(op, &w, side, answers ? xattr_answered : inlay_op_step_end);
}

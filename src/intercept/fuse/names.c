/*
 * Requests on names.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/fuse/channel.h"

#include <string.h>
#include <sys/sysmacros.h>

static void finish_status(struct inlay_op *op, int status)
{
	inlay_fuse_answer_status(inlay_fuse_request_of(op), status);
}

static void finish_entry(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);
	struct inlay_fuse_channel *ch = rq->channel;
	struct inlay_redirect *r = op->redirect;
	struct fuse_entry_out out;
	uint64_t number;

	if (status < 0) {
		inlay_fuse_answer_status(rq, status);
		return;
	}
	number = op->found->number;
	inlay_fuse_fill_entry(&out, op);
	if (!inlay_fuse_answer(rq, 0, &out, sizeof out))
		inlay_redirect_forget(r, ch->lane, number, 1);
}

/* node = directory and one name behind the fixed part. */
static bool take_entry(struct inlay_fuse_request *rq, const char *p, size_t len)
{
	if (!inlay_fuse_take_node(rq) || !inlay_fuse_take_name(rq, p, len, &rq->op.name))
		return false;
	inlay_fuse_take_cred(rq);
	return true;
}

void inlay_fuse_lookup(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	rq->op.finish = finish_entry;
	if (take_entry(rq, arg, len))
		inlay_op_lookup(&rq->op);
}

void inlay_fuse_forget(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_forget_in *in = arg;
	struct inlay_redirect *r = rq->op.redirect;
	uint64_t number = rq->in->nodeid, count = in->nlookup;
	unsigned lane = rq->channel->lane;

	(void)len;
	inlay_fuse_no_answer(rq);
	inlay_redirect_forget(r, lane, number, count);
}

void inlay_fuse_batch_forget(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_batch_forget_in *in = arg;
	const struct fuse_forget_one *one = (const void *)(in + 1);
	size_t count = (len - sizeof *in) / sizeof *one;

	for (size_t i = 0; i < in->count && i < count; i++)
		inlay_redirect_forget(rq->op.redirect, rq->channel->lane, one[i].nodeid, one[i].nlookup);
	inlay_fuse_no_answer(rq);
}

static void finish_create(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);
	struct inlay_fuse *f = rq->channel->fuse;
	struct inlay_redirect *r = op->redirect;
	struct inlay_file *file = op->opened;
	unsigned lane = op->lane;
	uint64_t node;
	struct {
		struct fuse_entry_out entry;
		struct inlay_fuse_open_out open;
	} out;

	if (status < 0) {
		inlay_fuse_answer_status(rq, status);
		return;
	}
	node = op->found->number;
	inlay_fuse_fill_entry(&out.entry, op);
	inlay_fuse_pass_open(f, file, &out.open);
	if (inlay_fuse_answer(rq, 0, &out, sizeof out)) {
		inlay_estate_file_mark(r->estate, out.open.fh, INLAY_FILE_TAKEN); /* the file may be closed by now */
	} else {
		inlay_fuse_pass_close(f, file);
		inlay_redirect_abandon_file(r, lane, file);
		inlay_redirect_forget(r, lane, node, 1);
	}
}

static void take_make(struct inlay_fuse_request *rq, uint32_t mode, uint32_t umask)
{
	rq->op.in.make.mode = mode;
	rq->op.in.make.umask = umask;
}

void inlay_fuse_create(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_create_in *in = arg;

	rq->op.finish = finish_create;
	take_make(rq, in->mode, in->umask);
	rq->op.in.make.flags = inlay_fuse_open_flags(in->flags, in->open_flags);
	if (take_entry(rq, (const char *)(in + 1), len - sizeof *in))
		inlay_op_create(&rq->op);
}

void inlay_fuse_tmpfile(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_create_in *in = arg;

	(void)len; /* a name follows that stands for nothing */
	rq->op.finish = finish_create;
	take_make(rq, in->mode, in->umask);
	rq->op.in.make.flags = inlay_fuse_open_flags(in->flags, in->open_flags);
	if (!inlay_fuse_take_node(rq))
		return;
	inlay_fuse_take_cred(rq);
	inlay_op_tmpfile(&rq->op);
}

void inlay_fuse_mkdir(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_mkdir_in *in = arg;

	rq->op.finish = finish_entry;
	take_make(rq, in->mode, in->umask);
	if (take_entry(rq, (const char *)(in + 1), len - sizeof *in))
		inlay_op_make(&rq->op, INLAY_MKDIR);
}

void inlay_fuse_mknod(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_mknod_in *in = arg;

	rq->op.finish = finish_entry;
	take_make(rq, in->mode, in->umask);
	/* The kernel's own encoding, see new_encode_dev() in the kernel. */
	rq->op.in.make.rdev_major = (in->rdev & 0xfff00u) >> 8;
	rq->op.in.make.rdev_minor = (in->rdev & 0xffu) | ((in->rdev >> 12) & 0xfff00u);
	if (take_entry(rq, (const char *)(in + 1), len - sizeof *in))
		inlay_op_make(&rq->op, INLAY_MKNOD);
}

void inlay_fuse_symlink(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const char *name = arg, *target;
	const char *end;
	size_t used = strnlen(name, len) + 1;

	rq->op.finish = finish_entry;
	if (!take_entry(rq, name, len))
		return;
	target = name + used;
	end = used < len ? memchr(target, 0, len - used) : NULL;
	if (!end) {
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
		return;
	}
	rq->op.in.make.target = (struct inlay_str){target, (uint32_t)(end - target)};
	inlay_op_make(&rq->op, INLAY_SYMLINK);
}

static void start_remove(struct inlay_fuse_request *rq, const void *arg, size_t len, uint16_t kind)
{
	rq->op.finish = finish_status;
	if (take_entry(rq, arg, len))
		inlay_op_remove(&rq->op, kind);
}

void inlay_fuse_unlink(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	start_remove(rq, arg, len, INLAY_UNLINK);
}

void inlay_fuse_rmdir(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	start_remove(rq, arg, len, INLAY_RMDIR);
}

static bool take_to(struct inlay_fuse_request *rq, uint64_t number)
{
	rq->op.to = inlay_node_get(rq->op.redirect->nodes, number);
	if (!rq->op.to)
		inlay_fuse_answer_status(rq, -INLAY_ESTALE);
	return rq->op.to;
}

static void start_rename(struct inlay_fuse_request *rq, uint64_t to, uint32_t flags, const char *names, size_t len)
{
	size_t used;

	rq->op.finish = finish_status;
	rq->op.in.make.flags = flags;
	if (!inlay_fuse_take_node(rq) || !take_to(rq, to))
		return;
	used = inlay_fuse_take_name(rq, names, len, &rq->op.name);
	if (!used || !inlay_fuse_take_name(rq, names + used, len - used, &rq->op.to_name))
		return;
	inlay_fuse_take_cred(rq);
	inlay_op_rename(&rq->op);
}

void inlay_fuse_rename(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_rename_in *in = arg;

	start_rename(rq, in->newdir, 0, (const char *)(in + 1), len - sizeof *in);
}

void inlay_fuse_rename2(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_rename2_in *in = arg;

	start_rename(rq, in->newdir, in->flags, (const char *)(in + 1), len - sizeof *in);
}

/* The header's node is the directory here, the argument's the file. */
void inlay_fuse_link(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_link_in *in = arg;

	rq->op.finish = finish_entry;
	if (!take_to(rq, rq->in->nodeid) ||
	    !inlay_fuse_take_name(rq, (const char *)(in + 1), len - sizeof *in, &rq->op.to_name))
		return;
	rq->op.node = inlay_node_get(rq->op.redirect->nodes, in->oldnodeid);
	if (!rq->op.node) {
		inlay_fuse_answer_status(rq, -INLAY_ESTALE);
		return;
	}
	inlay_fuse_take_cred(rq);
	inlay_op_link(&rq->op);
}

/*
 * Requests on attributes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/fuse/channel.h"

#include <string.h>

#define STATX_OURS 0xfffu /* STATX_BASIC_STATS | STATX_BTIME, see statx(2) */

static void finish_status(struct inlay_op *op, int status)
{
	inlay_fuse_answer_status(inlay_fuse_request_of(op), status);
}

static void finish_attr(struct inlay_op *op, int status)
{
	struct fuse_attr_out out = {0};

	if (status == 0)
		inlay_fuse_fill_attr(&out.attr, &op->attr);
	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

static void start_getattr(struct inlay_fuse_request *rq, uint32_t flags, uint64_t fh)
{
	if (!inlay_fuse_take_node(rq))
		return;
	if (flags & FUSE_GETATTR_FH)
		rq->op.file = inlay_file_get(rq->op.redirect, fh);
	inlay_op_getattr(&rq->op);
}

void inlay_fuse_getattr(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_getattr_in *in = arg;

	(void)len;
	rq->op.finish = finish_attr;
	start_getattr(rq, in->getattr_flags, in->fh);
}

static struct inlay_fuse_sx_time sx_time(struct inlay_time t)
{
	return (struct inlay_fuse_sx_time){.tv_sec = t.sec, .tv_nsec = t.nsec};
}

static void finish_statx(struct inlay_op *op, int status)
{
	struct inlay_fuse_statx_out out = {0};
	const struct inlay_attr *a = &op->attr;
	struct fuse_attr plain;

	if (status == 0) {
		inlay_fuse_fill_attr(&plain, a);
		out.stat = (struct inlay_fuse_statx){
			.mask = STATX_OURS,
			.blksize = plain.blksize,
			.nlink = a->nlink,
			.uid = a->uid,
			.gid = a->gid,
			.mode = (uint16_t)a->mode,
			.ino = a->ino,
			.size = a->size,
			.blocks = a->blocks,
			.atime = sx_time(a->atime),
			.btime = sx_time(a->btime),
			.ctime = sx_time(a->ctime),
			.mtime = sx_time(a->mtime),
			.rdev_major = a->rdev_major,
			.rdev_minor = a->rdev_minor,
		};
		if (a->btime.sec == 0 && a->btime.nsec == 0)
			out.stat.mask &= ~0x800u; /* the store's file system keeps none */
	}
	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

void inlay_fuse_statx(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct inlay_fuse_statx_in *in = arg;

	(void)len;
	rq->op.finish = finish_statx;
	start_getattr(rq, in->getattr_flags, in->fh);
}

static void take_changes(struct inlay_setattr_req *set, const struct fuse_setattr_in *in)
{
	static const struct {
		uint32_t fuse, ours;
	} map[] = {{FATTR_MODE, INLAY_SET_MODE},           {FATTR_UID, INLAY_SET_UID},
	           {FATTR_GID, INLAY_SET_GID},             {FATTR_SIZE, INLAY_SET_SIZE},
	           {FATTR_ATIME, INLAY_SET_ATIME},         {FATTR_MTIME, INLAY_SET_MTIME},
	           {FATTR_KILL_SUIDGID, INLAY_SET_KILL_PRIV}};

	set->valid = 0;
	for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
		if (in->valid & map[i].fuse)
			set->valid |= map[i].ours;
	/* "Now" is the server's now, and replaces the time that comes with it. */
	if (in->valid & FATTR_ATIME_NOW)
		set->valid = (set->valid & ~(uint32_t)INLAY_SET_ATIME) | INLAY_SET_ATIME_NOW;
	if (in->valid & FATTR_MTIME_NOW)
		set->valid = (set->valid & ~(uint32_t)INLAY_SET_MTIME) | INLAY_SET_MTIME_NOW;
	set->mode = in->mode;
	set->uid = in->uid;
	set->gid = in->gid;
	set->size = in->size;
	/* What isn't set is zero, and not whatever the kernel left there: the codec checks every time that it carries. */
	set->atime = set->mtime = (struct inlay_time){0};
	if (set->valid & INLAY_SET_ATIME)
		set->atime = (struct inlay_time){.sec = (int64_t)in->atime, .nsec = in->atimensec};
	if (set->valid & INLAY_SET_MTIME)
		set->mtime = (struct inlay_time){.sec = (int64_t)in->mtime, .nsec = in->mtimensec};
}

void inlay_fuse_setattr(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_setattr_in *in = arg;

	(void)len;
	rq->op.finish = finish_attr;
	if (!inlay_fuse_take_node(rq))
		return;
	if (in->valid & FATTR_FH)
		rq->op.file = inlay_file_get(rq->op.redirect, in->fh);
	take_changes(&rq->op.in.set, in);
	inlay_fuse_take_cred(rq);
	inlay_op_setattr(&rq->op);
}

void inlay_fuse_access(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_access_in *in = arg;

	(void)len;
	rq->op.finish = finish_status;
	if (!inlay_fuse_take_node(rq))
		return;
	inlay_fuse_take_cred(rq);
	rq->op.in.io.flags = in->mask & (INLAY_ACCESS_X | INLAY_ACCESS_W | INLAY_ACCESS_R);
	inlay_op_access(&rq->op);
}

static void finish_readlink(struct inlay_op *op, int status)
{
	inlay_fuse_answer(inlay_fuse_request_of(op), status, op->out.link.target.p,
	                  status == 0 ? op->out.link.target.len : 0);
}

void inlay_fuse_readlink(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)arg, (void)len;
	rq->op.finish = finish_readlink;
	if (inlay_fuse_take_node(rq))
		inlay_op_readlink(&rq->op);
}

static void finish_statfs(struct inlay_op *op, int status)
{
	const struct inlay_statfs_rep *s = &op->out.statfs;
	struct fuse_statfs_out out = {0};

	if (status == 0)
		out.st = (struct fuse_kstatfs){.blocks = s->blocks, .bfree = s->bfree, .bavail = s->bavail,
		                               .files = s->files, .ffree = s->ffree, .bsize = s->bsize,
		                               .namelen = s->namelen, .frsize = s->frsize};
	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

void inlay_fuse_statfs(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)arg, (void)len;
	rq->op.finish = finish_statfs;
	if (inlay_fuse_take_node(rq))
		inlay_op_statfs(&rq->op);
}

/* ---- extended attributes ---- */

/* rq->size: what the caller has room for; 0 asks for the size alone. */
static void finish_xattr(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);
	struct fuse_getxattr_out out = {.size = op->out.xattr.size};

	if (status < 0)
		inlay_fuse_answer_status(rq, status);
	else if (rq->size == 0)
		inlay_fuse_answer(rq, 0, &out, sizeof out);
	else if (op->reply->data_len > rq->size)
		inlay_fuse_answer_status(rq, -INLAY_ERANGE);
	else
		inlay_fuse_answer(rq, 0, op->reply->data, op->reply->data_len);
}

static bool take_xattr_name(struct inlay_fuse_request *rq, const char *p, size_t len, size_t *ret_used)
{
	const char *nul = memchr(p, 0, len);

	if (!inlay_fuse_take_node(rq))
		return false;
	if (!nul || nul == p || nul - p > (long)INLAY_XATTR_NAME_MAX) {
		inlay_fuse_answer_status(rq, -INLAY_ERANGE);
		return false;
	}
	rq->op.name = (struct inlay_str){p, (uint32_t)(nul - p)};
	if (ret_used)
		*ret_used = (size_t)(nul - p) + 1;
	inlay_fuse_take_cred(rq);
	return true;
}

void inlay_fuse_getxattr(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_getxattr_in *in = arg;

	rq->op.finish = finish_xattr;
	rq->size = in->size;
	rq->op.in.xattr.max = in->size;
	if (take_xattr_name(rq, (const char *)(in + 1), len - sizeof *in, NULL))
		inlay_op_xattr(&rq->op, INLAY_GETXATTR);
}

void inlay_fuse_listxattr(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_getxattr_in *in = arg;

	(void)len;
	rq->op.finish = finish_xattr;
	rq->size = in->size;
	rq->op.in.xattr.max = in->size;
	if (!inlay_fuse_take_node(rq))
		return;
	inlay_fuse_take_cred(rq);
	inlay_op_xattr(&rq->op, INLAY_LISTXATTR);
}

void inlay_fuse_setxattr(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_setxattr_in *in = arg;
	const char *name = (const char *)(in + 1);
	size_t used;

	rq->op.finish = finish_status;
	rq->op.in.xattr.flags = in->flags & (INLAY_XATTR_CREATE | INLAY_XATTR_REPLACE);
	if (in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
		rq->op.in.xattr.flags |= INLAY_XATTR_KILL_SGID;
	if (!take_xattr_name(rq, name, len - sizeof *in, &used))
		return;
	if (in->size > len - sizeof *in - used || in->size > INLAY_XATTR_VALUE_MAX) {
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
		return;
	}
	rq->op.data = (const uint8_t *)name + used;
	rq->op.data_len = in->size;
	rq->op.data_hold = rq->chunk;
	inlay_op_xattr(&rq->op, INLAY_SETXATTR);
}

void inlay_fuse_removexattr(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	rq->op.finish = finish_status;
	if (take_xattr_name(rq, arg, len, NULL))
		inlay_op_xattr(&rq->op, INLAY_REMOVEXATTR);
}

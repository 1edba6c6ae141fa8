/*
 * Between the kernel's structures and ours: names, credentials, flags, attributes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/fuse/channel.h"
#include "os/caller.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Programs size their buffers by it: a larger one means fewer round trips, as NFS clients do it. */
#define REMOTE_BLKSIZE (128u * 1024u)

void inlay_fuse_take_cred(struct inlay_fuse_request *rq)
{
	struct inlay_cred *c = &rq->op.cred;

	c->uid = rq->in->uid;
	c->gid = rq->in->gid;
	/* Root is refused nothing for want of a group. */
	c->ngroups = c->uid == 0 ? 0 : inlay_caller_groups(rq->in->pid, c->groups, INLAY_GROUPS_MAX);
}

bool inlay_fuse_take_node(struct inlay_fuse_request *rq)
{
	rq->op.node = inlay_node_get(rq->op.redirect->nodes, rq->in->nodeid);
	if (!rq->op.node)
		inlay_fuse_answer_status(rq, -INLAY_ESTALE);
	return rq->op.node;
}

bool inlay_fuse_take_file(struct inlay_fuse_request *rq, uint64_t fh, struct inlay_file **ret)
{
	*ret = inlay_file_get(rq->op.redirect, fh);
	if (!*ret)
		inlay_fuse_answer_status(rq, -INLAY_EBADF);
	return *ret;
}

size_t inlay_fuse_take_name(struct inlay_fuse_request *rq, const char *p, size_t len, struct inlay_str *ret)
{
	const char *nul = memchr(p, 0, len);

	if (!nul) {
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
		return 0;
	}
	*ret = (struct inlay_str){p, (uint32_t)(nul - p)};
	if (ret->len > INLAY_NAME_MAX) {
		inlay_fuse_answer_status(rq, -INLAY_ENAMETOOLONG);
		return 0;
	}
	if (!inlay_name_ok(*ret)) {
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
		return 0;
	}
	return ret->len + 1u;
}

uint32_t inlay_fuse_open_flags(uint32_t host, uint32_t fuse_flags)
{
	static const struct {
		uint32_t host, ours;
	} map[] = {{O_EXCL, INLAY_O_EXCL},     {O_TRUNC, INLAY_O_TRUNC},   {O_APPEND, INLAY_O_APPEND},
	           {O_DSYNC, INLAY_O_DSYNC},   {O_DIRECT, INLAY_O_DIRECT}, {O_NOATIME, INLAY_O_NOATIME},
	           {INLAY_FMODE_EXEC, INLAY_O_EXEC}};
	uint32_t flags = host & O_ACCMODE;

	if (flags == O_ACCMODE) /* "no access, ioctl only": some drivers' way; here as read and write */
		flags = INLAY_O_RDWR;
	for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
		if (host & map[i].host)
			flags |= map[i].ours;
	if ((host & O_SYNC) == O_SYNC) /* O_SYNC is O_DSYNC and another bit */
		flags = (flags & ~(uint32_t)INLAY_O_DSYNC) | INLAY_O_SYNC;
	if (fuse_flags & FUSE_OPEN_KILL_SUIDGID)
		flags |= INLAY_O_KILL_PRIV;
	return flags;
}

void inlay_fuse_fill_attr(struct fuse_attr *out, const struct inlay_attr *a)
{
	*out = (struct fuse_attr){
		.ino = a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.atime = (uint64_t)a->atime.sec,
		.mtime = (uint64_t)a->mtime.sec,
		.ctime = (uint64_t)a->ctime.sec,
		.atimensec = a->atime.nsec,
		.mtimensec = a->mtime.nsec,
		.ctimensec = a->ctime.nsec,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		/* The kernel's own encoding, see new_decode_dev() in the kernel. */
		.rdev = (a->rdev_minor & 0xffu) | (a->rdev_major << 8) | ((a->rdev_minor & ~0xffu) << 12),
		.blksize = S_ISREG(a->mode) && a->blksize < REMOTE_BLKSIZE ? REMOTE_BLKSIZE : a->blksize,
	};
}

/* Nothing is valid for any time: until there are leases, every use asks the server. */
void inlay_fuse_fill_entry(struct fuse_entry_out *out, struct inlay_op *op)
{
	*out = (struct fuse_entry_out){.nodeid = op->found->number};
	inlay_fuse_fill_attr(&out->attr, &op->attr);
}

void inlay_fuse_untake_lookup(struct inlay_op *op, struct inlay_fuse_channel *ch)
{
	inlay_redirect_forget(op->redirect, ch->lane, op->found->number, 1);
}

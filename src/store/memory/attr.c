/*
 * Attributes of the in-memory store's files.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#define TIMES (INLAY_SET_ATIME | INLAY_SET_MTIME)
#define TIMES_NOW (INLAY_SET_ATIME_NOW | INLAY_SET_MTIME_NOW)

int memory_op_getattr(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_attr *ret_attr)
{
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_store(n->store), MEMORY_OP_getattr);

	(void)file;
	if (r == 0)
		memory_attr(memory_inode(n), ret_attr);
	return r;
}

int memory_op_access(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t mask)
{
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_store(n->store), MEMORY_OP_access);

	if (r < 0)
		return r;
	if (mask & ~(uint32_t)(INLAY_ACCESS_R | INLAY_ACCESS_W | INLAY_ACCESS_X))
		return -INLAY_EINVAL;
	return memory_may(memory_inode(n), cred, mask);
}

static int check_size(const struct memory_inode *inode, const struct inlay_store_file *file,
                      const struct inlay_cred *cred, uint64_t size)
{
	if (memory_is(inode, MEMORY_S_IFDIR))
		return -INLAY_EISDIR;
	if (!memory_is(inode, MEMORY_S_IFREG) || size > MEMORY_SIZE_MAX)
		return -INLAY_EINVAL;
	if (file && (file->flags & INLAY_O_ACCMODE) != INLAY_O_RDONLY)
		return 0;
	return memory_may(inode, cred, INLAY_ACCESS_W);
}

static int check_owner(const struct memory_inode *inode, const struct inlay_cred *cred,
                       const struct inlay_store_attr_change *c)
{
	const struct inlay_attr *attr = &inode->live.attr;

	if (!(c->valid & (INLAY_SET_UID | INLAY_SET_GID)) || memory_is_super(cred))
		return 0;
	if (cred->uid != attr->uid)
		return -INLAY_EPERM;
	if ((c->valid & INLAY_SET_UID) && c->uid != attr->uid)
		return -INLAY_EPERM;
	if ((c->valid & INLAY_SET_GID) && c->gid != attr->gid && !memory_in_group(cred, c->gid))
		return -INLAY_EPERM;
	return 0;
}

static int check_times(const struct memory_inode *inode, const struct inlay_cred *cred,
                       const struct inlay_store_attr_change *c)
{
	if ((c->valid & INLAY_SET_ATIME) && c->atime.nsec >= 1000000000)
		return -INLAY_EINVAL;
	if ((c->valid & INLAY_SET_MTIME) && c->mtime.nsec >= 1000000000)
		return -INLAY_EINVAL;
	if (memory_owns(inode, cred))
		return 0;
	if (c->valid & TIMES)
		return -INLAY_EPERM;
	return c->valid & TIMES_NOW ? memory_may(inode, cred, INLAY_ACCESS_W) : 0;
}

static int check_change(const struct memory_inode *inode, const struct inlay_store_file *file,
                        const struct inlay_cred *cred, const struct inlay_store_attr_change *c)
{
	int r = 0;

	if (c->valid & ~(uint32_t)INLAY_SET_KNOWN)
		return -INLAY_EINVAL;
	if (c->valid & INLAY_SET_SIZE)
		r = check_size(inode, file, cred, c->size);
	if (r == 0 && (c->valid & INLAY_SET_MODE)) {
		if (memory_is(inode, MEMORY_S_IFLNK))
			r = -INLAY_ENOTSUP;
		else if (!memory_owns(inode, cred))
			r = -INLAY_EPERM;
	}
	if (r == 0)
		r = check_owner(inode, cred, c);
	return r == 0 ? check_times(inode, cred, c) : r;
}

static void apply_owner(struct memory_inode *inode, const struct inlay_cred *cred,
                        const struct inlay_store_attr_change *c)
{
	struct inlay_attr *attr = &inode->live.attr;
	bool keep_sgid = memory_in_group(cred, attr->gid) && !(attr->mode & MEMORY_S_IXGRP);

	/* Even root's chown clears the set-id bits, of anything but a directory. */
	if (!memory_is(inode, MEMORY_S_IFDIR))
		attr->mode &= ~(keep_sgid ? MEMORY_S_ISUID : MEMORY_S_ISUID | MEMORY_S_ISGID);
	if (c->valid & INLAY_SET_UID)
		attr->uid = c->uid;
	if (c->valid & INLAY_SET_GID)
		attr->gid = c->gid;
}

static void apply_mode(struct memory_inode *inode, const struct inlay_cred *cred, uint32_t mode)
{
	struct inlay_attr *attr = &inode->live.attr;

	mode &= 07777;
	if (!memory_in_group(cred, attr->gid))
		mode &= ~MEMORY_S_ISGID;
	attr->mode = (attr->mode & MEMORY_S_IFMT) | mode;
}

static void apply_times(struct memory_inode *inode, const struct inlay_store_attr_change *c)
{
	struct inlay_attr *attr = &inode->live.attr;

	if (c->valid & INLAY_SET_ATIME)
		attr->atime = (struct inlay_time){c->atime.sec, c->atime.nsec, 0};
	else if (c->valid & INLAY_SET_ATIME_NOW)
		attr->atime = attr->ctime;
	if (c->valid & INLAY_SET_MTIME)
		attr->mtime = (struct inlay_time){c->mtime.sec, c->mtime.nsec, 0};
	else if (c->valid & INLAY_SET_MTIME_NOW)
		attr->mtime = attr->ctime;
}

int memory_op_setattr(struct inlay_store_node *n, struct inlay_store_file *file, const struct inlay_cred *cred,
                      const struct inlay_store_attr_change *change, struct inlay_attr *ret_attr)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_setattr);

	if (r == 0)
		r = check_change(inode, file, cred, change);
	/* All is allowed; the size is the one step that may still fail, so it comes first. */
	if (r == 0 && (change->valid & INLAY_SET_SIZE))
		r = memory_resize(inode, change->size);
	if (r < 0)
		return r;
	if ((change->valid & INLAY_SET_KILL_PRIV) || ((change->valid & INLAY_SET_SIZE) && !memory_is_super(cred)))
		memory_kill_priv(inode);
	if (change->valid & (INLAY_SET_UID | INLAY_SET_GID))
		apply_owner(inode, cred, change);
	if (change->valid & INLAY_SET_MODE)
		apply_mode(inode, cred, change->mode);
	if (change->valid)
		memory_touch(inode, change->valid & INLAY_SET_SIZE);
	apply_times(inode, change);
	memory_attr(inode, ret_attr);
	return 0;
}

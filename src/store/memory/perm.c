/*
 * Who may do what, as Linux decides it from owner, group and mode. Without access control lists.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

bool memory_is_super(const struct inlay_cred *cred)
{
	return !cred || cred->uid == 0;
}

bool memory_in_group(const struct inlay_cred *cred, uint32_t gid)
{
	if (memory_is_super(cred) || cred->gid == gid)
		return true;
	for (uint32_t i = 0; i < cred->ngroups; i++)
		if (cred->groups[i] == gid)
			return true;
	return false;
}

bool memory_owns(const struct memory_inode *inode, const struct inlay_cred *cred)
{
	return memory_is_super(cred) || cred->uid == inode->live.attr.uid;
}

int memory_may(const struct memory_inode *inode, const struct inlay_cred *cred, uint32_t mask)
{
	const struct inlay_attr *attr = &inode->live.attr;
	uint32_t has = attr->mode;

	if (memory_is_super(cred)) {
		/* Even root can't run what nobody may run. */
		bool no = (mask & INLAY_ACCESS_X) && !memory_is(inode, MEMORY_S_IFDIR) && !(attr->mode & 0111);

		return no ? -INLAY_EACCES : 0;
	}
	if (cred->uid == attr->uid)
		has >>= 6;
	else if (memory_in_group(cred, attr->gid))
		has >>= 3;
	return mask & ~has & 7 ? -INLAY_EACCES : 0;
}

int memory_may_search(const struct memory_inode *dir, const struct inlay_cred *cred)
{
	if (!memory_is(dir, MEMORY_S_IFDIR))
		return -INLAY_ENOTDIR;
	return memory_may(dir, cred, INLAY_ACCESS_X);
}

int memory_may_make(const struct memory_inode *dir, const struct inlay_cred *cred)
{
	if (!memory_is(dir, MEMORY_S_IFDIR))
		return -INLAY_ENOTDIR;
	if (dir->live.attr.nlink == 0)
		return -INLAY_ENOENT;
	return memory_may(dir, cred, INLAY_ACCESS_W | INLAY_ACCESS_X);
}

int memory_may_remove(const struct memory_inode *dir, const struct memory_inode *victim, const struct inlay_cred *cred,
                      bool want_dir)
{
	bool is_dir = memory_is(victim, MEMORY_S_IFDIR);
	int r = memory_may(dir, cred, INLAY_ACCESS_W | INLAY_ACCESS_X);

	if (r < 0)
		return r;
	if ((dir->live.attr.mode & MEMORY_S_ISVTX) && !memory_owns(dir, cred) && !memory_owns(victim, cred))
		return -INLAY_EPERM;
	if (want_dir != is_dir)
		return want_dir ? -INLAY_ENOTDIR : -INLAY_EISDIR;
	return 0;
}

void memory_kill_priv(struct memory_inode *inode)
{
	struct inlay_attr *attr = &inode->live.attr;
	uint32_t kill = MEMORY_S_ISUID;

	if (!memory_is(inode, MEMORY_S_IFREG))
		return;
	/* Without group execute the bit once meant mandatory locking, and Linux leaves it. */
	if (attr->mode & MEMORY_S_IXGRP)
		kill |= MEMORY_S_ISGID;
	attr->mode &= ~kill;
}

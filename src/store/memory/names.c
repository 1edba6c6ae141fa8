/*
 * Names of the in-memory store: finding, making, linking and removing them.
 * The order of the checks is that of Linux, so that the same status comes back where several would do.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <stdlib.h>
#include <string.h>

int memory_op_lookup(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                     struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_store(dir->store), MEMORY_OP_lookup);
	struct memory_entry *e;

	if (r == 0)
		r = memory_may_search(memory_inode(dir), cred);
	if (r < 0)
		return r;
	e = memory_dir_find(memory_inode(dir), name);
	if (!e)
		return -INLAY_ENOENT;
	e->inode->refs++;
	*ret = &e->inode->node;
	memory_attr(e->inode, ret_attr);
	return 0;
}

int memory_op_readlink(struct inlay_store_node *n, char *buf, size_t cap)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_readlink);
	size_t len;

	if (r < 0)
		return r;
	if (!memory_is(inode, MEMORY_S_IFLNK))
		return -INLAY_EINVAL;
	len = (size_t)inode->live.attr.size < cap ? (size_t)inode->live.attr.size : cap;
	memcpy(buf, inode->target, len);
	return (int)len;
}

/* Checks that name may be made; the name that exists wins over a missing permission, as in Linux. */
static int check_new(const struct memory_inode *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	int r = memory_may_search(dir, cred);

	if (r < 0)
		return r;
	if (memory_dir_find(dir, name))
		return -INLAY_EEXIST;
	return memory_may_make(dir, cred);
}

int memory_make(struct memory_inode *dir, const struct inlay_cred *cred, struct inlay_str name, uint32_t mode,
                const struct inlay_store_make *make, struct memory_inode **ret)
{
	bool is_dir = (mode & MEMORY_S_IFMT) == MEMORY_S_IFDIR;
	struct memory_inode *inode;
	int r = memory_inode_new(memory_owner(dir), dir, cred, mode, &inode);

	if (r < 0)
		return r;
	if (is_dir && dir->live.attr.nlink >= MEMORY_LINK_MAX)
		r = -INLAY_EMLINK;
	if (r == 0)
		r = memory_dir_add(dir, name, inode, 0);
	if (r < 0) {
		memory_reap(inode);
		return r;
	}
	inode->live.attr.nlink = is_dir ? 2 : 1;
	if (make) {
		inode->live.attr.rdev_major = make->rdev_major;
		inode->live.attr.rdev_minor = make->rdev_minor;
	}
	inode->durable.attr = inode->live.attr;
	if (is_dir) {
		inode->parent = dir;
		dir->live.attr.nlink++;
	}
	memory_touch(dir, true);
	*ret = inode;
	return 0;
}

/* Permissions after the umask; a default ACL would do the umask's work, were it enforced. */
uint32_t memory_make_mode(const struct memory_inode *dir, const struct inlay_store_make *make)
{
	for (const struct memory_xattr *x = dir->live.xattrs; x; x = x->next)
		if (strcmp(x->name, "system.posix_acl_default") == 0)
			return make->mode;
	return make->mode & ~(make->umask & 0777);
}

static void answer(struct memory_inode *inode, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	inode->refs++;
	*ret = &inode->node;
	memory_attr(inode, ret_attr);
}

int memory_op_mkdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                    const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct memory_inode *parent = memory_inode(dir), *inode;
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_owner(parent), MEMORY_OP_mkdir);
	uint32_t mode = memory_make_mode(parent, make) & (0777 | MEMORY_S_ISVTX);

	if (r == 0)
		r = check_new(parent, cred, name);
	if (r == 0)
		r = memory_make(parent, cred, name, MEMORY_S_IFDIR | mode, NULL, &inode);
	if (r == 0)
		answer(inode, ret, ret_attr);
	return r;
}

static int check_type(uint32_t type, const struct inlay_store_make *make, const struct inlay_cred *cred)
{
	switch (type) {
	case MEMORY_S_IFREG:
	case MEMORY_S_IFIFO:
	case MEMORY_S_IFSOCK:
		return 0;
	case MEMORY_S_IFCHR:
		if (make->rdev_major == 0 && make->rdev_minor == 0)
			return 0; /* a whiteout is no device */
		return memory_is_super(cred) ? 0 : -INLAY_EPERM;
	case MEMORY_S_IFBLK:
		return memory_is_super(cred) ? 0 : -INLAY_EPERM;
	case MEMORY_S_IFDIR:
		return -INLAY_EPERM;
	default:
		return -INLAY_EINVAL;
	}
}

int memory_op_mknod(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                    const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct memory_inode *parent = memory_inode(dir), *inode;
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_owner(parent), MEMORY_OP_mknod);
	uint32_t type = make->mode & MEMORY_S_IFMT;
	bool device = type == MEMORY_S_IFCHR || type == MEMORY_S_IFBLK;

	if (type == 0)
		type = MEMORY_S_IFREG;
	if (r == 0 && (type == MEMORY_S_IFDIR || check_type(type, make, NULL) == -INLAY_EINVAL))
		r = check_type(type, make, cred);
	if (r == 0)
		r = check_new(parent, cred, name);
	if (r == 0)
		r = check_type(type, make, cred);
	if (r == 0)
		r = memory_make(parent, cred, name, type | (memory_make_mode(parent, make) & 07777), device ? make : NULL,
		                &inode);
	if (r == 0)
		answer(inode, ret, ret_attr);
	return r;
}

int memory_op_symlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                      struct inlay_str target, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct memory_inode *parent = memory_inode(dir), *inode;
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_owner(parent), MEMORY_OP_symlink);
	char *copy;

	if (r < 0)
		return r;
	if (target.len == 0)
		return -INLAY_ENOENT;
	if (target.len >= INLAY_TARGET_MAX)
		return -INLAY_ENAMETOOLONG;
	r = check_new(parent, cred, name);
	if (r < 0)
		return r;
	copy = malloc(target.len);
	if (!copy)
		return -INLAY_ENOMEM;
	memcpy(copy, target.p, target.len);
	r = memory_make(parent, cred, name, MEMORY_S_IFLNK | 0777, NULL, &inode);
	if (r < 0) {
		free(copy);
		return r;
	}
	inode->target = copy;
	inode->live.attr.size = inode->durable.attr.size = target.len;
	answer(inode, ret, ret_attr);
	return 0;
}

int memory_op_link(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_store_node *dir,
                   const struct inlay_cred *cred, struct inlay_str name, struct inlay_attr *ret_attr)
{
	struct memory_inode *inode = memory_inode(n), *parent = memory_inode(dir);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_link);

	(void)file;
	if (r == 0)
		r = check_new(parent, cred, name);
	if (r < 0)
		return r;
	if (memory_is(inode, MEMORY_S_IFDIR))
		return -INLAY_EPERM;
	if (inode->live.attr.nlink == 0 && !inode->linkable)
		return -INLAY_ENOENT;
	if (inode->live.attr.nlink >= MEMORY_LINK_MAX)
		return -INLAY_EMLINK;
	r = memory_dir_add(parent, name, inode, 0);
	if (r < 0)
		return r;
	inode->live.attr.nlink++;
	inode->linkable = false;
	memory_touch(inode, false);
	memory_touch(parent, true);
	memory_attr(inode, ret_attr);
	return 0;
}

/* The entry is gone (or names another): takes away what it counted. */
void memory_unlinked(struct memory_inode *dir, struct memory_inode *victim)
{
	if (memory_is(victim, MEMORY_S_IFDIR)) {
		victim->live.attr.nlink = 0;
		victim->parent = NULL; /* may die before a victim that is held */
		dir->live.attr.nlink--;
	} else {
		victim->live.attr.nlink--;
	}
	memory_touch(victim, false);
	memory_reap(victim);
}

static int remove_name(struct memory_inode *dir, const struct inlay_cred *cred, struct inlay_str name, bool want_dir)
{
	struct memory_entry *e;
	struct memory_inode *victim;
	int r = memory_may_search(dir, cred);

	if (r < 0)
		return r;
	e = memory_dir_find(dir, name);
	if (!e)
		return -INLAY_ENOENT;
	victim = e->inode;
	r = memory_may_remove(dir, victim, cred, want_dir);
	if (r == 0 && want_dir && !memory_dir_empty(victim))
		r = -INLAY_ENOTEMPTY;
	if (r < 0)
		return r;
	memory_dir_remove(dir, e);
	memory_touch(dir, true);
	memory_unlinked(dir, victim);
	return 0;
}

int memory_op_unlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_store(dir->store), MEMORY_OP_unlink);

	return r < 0 ? r : remove_name(memory_inode(dir), cred, name, false);
}

int memory_op_rmdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_store(dir->store), MEMORY_OP_rmdir);

	return r < 0 ? r : remove_name(memory_inode(dir), cred, name, true);
}

/*
 * Open files and listings of the in-memory store.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 32

static int file_new(struct memory_inode *inode, const struct inlay_cred *cred, uint32_t flags,
                    struct inlay_store_file **ret)
{
	struct memory_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -INLAY_ENOMEM;
	f->file.store = inode->node.store;
	f->file.node = &inode->node;
	f->file.flags = flags;
	f->file.is_dir = memory_is(inode, MEMORY_S_IFDIR);
	f->refs = 1;
	f->unprivileged = !memory_is_super(cred);
	inode->refs++;
	*ret = &f->file;
	return 0;
}

void memory_op_file_ref(struct inlay_store_file *f)
{
	MEMORY_LOCKED(f->store);

	memory_file(f)->refs++;
}

void memory_op_file_unref(struct inlay_store_file *f)
{
	struct memory_inode *inode = memory_inode(f->node);
	MEMORY_LOCKED(f->store);

	assert(memory_file(f)->refs > 0);
	if (--memory_file(f)->refs)
		return;
	free(memory_file(f));
	inode->refs--;
	memory_reap(inode);
}

static int check_flags(uint32_t flags)
{
	bool write = (flags & INLAY_O_ACCMODE) != INLAY_O_RDONLY || (flags & INLAY_O_TRUNC);

	if (flags & ~(uint32_t)INLAY_O_KNOWN || (flags & INLAY_O_ACCMODE) == INLAY_O_ACCMODE)
		return -INLAY_EINVAL;
	return (flags & INLAY_O_EXEC) && write ? -INLAY_EINVAL : 0;
}

static int check_open(const struct memory_inode *inode, const struct inlay_cred *cred, uint32_t flags)
{
	uint32_t mode = flags & INLAY_O_ACCMODE, mask = 0;
	int r;

	if (memory_is(inode, MEMORY_S_IFDIR))
		return -INLAY_EISDIR;
	if (memory_is(inode, MEMORY_S_IFLNK))
		return -INLAY_ELOOP;
	if (!memory_is(inode, MEMORY_S_IFREG))
		return -INLAY_ENXIO;
	if (flags & INLAY_O_EXEC)
		mask |= INLAY_ACCESS_X;
	else if (mode != INLAY_O_WRONLY)
		mask |= INLAY_ACCESS_R;
	if (mode != INLAY_O_RDONLY || (flags & INLAY_O_TRUNC))
		mask |= INLAY_ACCESS_W;
	r = memory_may(inode, cred, mask);
	if (r == 0 && (flags & INLAY_O_NOATIME) && !memory_owns(inode, cred))
		r = -INLAY_EPERM;
	return r;
}

static int open_existing(struct memory_inode *inode, const struct inlay_cred *cred, uint32_t flags,
                         struct inlay_store_file **ret)
{
	int r = check_open(inode, cred, flags);

	if (r == 0)
		r = file_new(inode, cred, flags, ret);
	if (r < 0)
		return r;
	if (flags & INLAY_O_TRUNC) {
		(void)memory_resize(inode, 0); /* to nothing never needs memory */
		if ((flags & INLAY_O_KILL_PRIV) || !memory_is_super(cred))
			memory_kill_priv(inode);
		memory_touch(inode, true);
	}
	return 0;
}

int memory_op_open(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t flags,
                   struct inlay_store_file **ret, struct inlay_attr *ret_attr)
{
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_store(n->store), MEMORY_OP_open);

	if (r == 0)
		r = check_flags(flags);
	if (r == 0)
		r = open_existing(memory_inode(n), cred, flags, ret);
	if (r == 0)
		memory_attr(memory_inode(n), ret_attr);
	return r;
}

/* Opens what is new: the mode it got doesn't bind its maker. */
static int open_new(struct memory_inode *inode, const struct inlay_cred *cred, uint32_t flags,
                    struct inlay_store_node **ret, struct inlay_store_file **ret_file, struct inlay_attr *ret_attr)
{
	int r = file_new(inode, cred, flags, ret_file);

	if (r < 0)
		return r;
	inode->refs++;
	*ret = &inode->node;
	memory_attr(inode, ret_attr);
	return 0;
}

static int create_new(struct memory_inode *dir, const struct inlay_cred *cred, struct inlay_str name, uint32_t flags,
                      const struct inlay_store_make *make, struct inlay_store_node **ret,
                      struct inlay_store_file **ret_file, struct inlay_attr *ret_attr)
{
	struct memory_inode *inode;
	int r = memory_may_make(dir, cred);

	if (r == 0)
		r = memory_make(dir, cred, name, MEMORY_S_IFREG | (memory_make_mode(dir, make) & 07777), NULL, &inode);
	if (r < 0)
		return r;
	r = open_new(inode, cred, flags, ret, ret_file, ret_attr);
	if (r < 0) {
		memory_dir_remove(dir, memory_dir_find(dir, name));
		memory_unlinked(dir, inode);
	}
	return r;
}

int memory_op_create(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                     uint32_t flags, const struct inlay_store_make *make, struct inlay_store_node **ret,
                     struct inlay_store_file **ret_file, struct inlay_attr *ret_attr)
{
	struct memory_inode *parent = memory_inode(dir);
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_owner(parent), MEMORY_OP_create);
	struct memory_entry *e;

	if (r == 0)
		r = check_flags(flags);
	if (r == 0)
		r = memory_may_search(parent, cred);
	if (r < 0)
		return r;
	e = memory_dir_find(parent, name);
	if (!e)
		return create_new(parent, cred, name, flags, make, ret, ret_file, ret_attr);
	if (flags & INLAY_O_EXCL)
		return -INLAY_EEXIST;
	r = open_existing(e->inode, cred, flags, ret_file);
	if (r < 0)
		return r;
	e->inode->refs++;
	*ret = &e->inode->node;
	memory_attr(e->inode, ret_attr);
	return 0;
}

int memory_op_tmpfile(struct inlay_store_node *dir, const struct inlay_cred *cred, uint32_t flags,
                      const struct inlay_store_make *make, struct inlay_store_node **ret,
                      struct inlay_store_file **ret_file, struct inlay_attr *ret_attr)
{
	struct memory_inode *parent = memory_inode(dir), *inode;
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_owner(parent), MEMORY_OP_tmpfile);

	if (r == 0)
		r = check_flags(flags);
	if (r == 0 && (flags & INLAY_O_ACCMODE) == INLAY_O_RDONLY)
		r = -INLAY_EINVAL;
	if (r == 0)
		r = memory_may_make(parent, cred);
	if (r == 0)
		r = memory_inode_new(memory_owner(parent), parent, cred,
		                     MEMORY_S_IFREG | (memory_make_mode(parent, make) & 07777), &inode);
	if (r < 0)
		return r;
	inode->linkable = !(flags & INLAY_O_EXCL);
	r = open_new(inode, cred, flags, ret, ret_file, ret_attr);
	if (r < 0)
		memory_reap(inode);
	return r;
}

int memory_op_opendir(struct inlay_store_node *n, const struct inlay_cred *cred, struct inlay_store_file **ret)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_opendir);

	if (r == 0 && !memory_is(inode, MEMORY_S_IFDIR))
		r = -INLAY_ENOTDIR;
	if (r == 0)
		r = memory_may(inode, cred, INLAY_ACCESS_R);
	return r < 0 ? r : file_new(inode, cred, INLAY_O_RDONLY, ret);
}

/* Entries copied out, so that emit runs without the lock and may call the store. */
struct batch {
	unsigned count;
	struct inlay_dirent entries[BATCH];
	char names[BATCH][INLAY_NAME_MAX];
};

static void batch_add(struct batch *b, uint64_t cookie, const struct memory_inode *inode, struct inlay_str name)
{
	memcpy(b->names[b->count], name.p, name.len);
	b->entries[b->count] = (struct inlay_dirent){
		.ino = inode->live.attr.ino,
		.cookie = cookie,
		.type = inode->live.attr.mode & MEMORY_S_IFMT,
		.name = {b->names[b->count], name.len},
	};
	b->count++;
}

static int batch_fill(struct memory_inode *dir, uint64_t cookie, struct batch *b)
{
	MEMORY_LOCKED(dir->node.store);
	const struct memory_dir *d = &dir->dir;

	b->count = 0;
	if (cookie < MEMORY_COOKIE_DOT)
		batch_add(b, MEMORY_COOKIE_DOT, dir, INLAY_STR("."));
	/* The parent of a removed directory may be gone. */
	if (cookie < MEMORY_COOKIE_DOTDOT)
		batch_add(b, MEMORY_COOKIE_DOTDOT, dir->live.attr.nlink ? dir->parent : dir, INLAY_STR(".."));
	for (size_t i = memory_dir_after(dir, cookie); i < d->count && b->count < BATCH; i++) {
		const struct memory_entry *e = d->slots[i].entry;

		if (e)
			batch_add(b, e->cookie, e->inode, (struct inlay_str){e->name, e->len});
	}
	return b->count ? 0 : 1;
}

static int check_readdir(struct inlay_store_file *dir)
{
	MEMORY_LOCKED(dir->store);
	int r = memory_fault(memory_store(dir->store), MEMORY_OP_readdir);

	return r == 0 && !dir->is_dir ? -INLAY_ENOTDIR : r;
}

int memory_op_readdir(struct inlay_store_file *dir, uint64_t cookie, inlay_store_emit *emit, void *arg)
{
	struct batch b;
	int r = check_readdir(dir);

	if (r < 0)
		return r;
	while (batch_fill(memory_inode(dir->node), cookie, &b) == 0) {
		for (unsigned i = 0; i < b.count; i++) {
			if (!emit(arg, &b.entries[i]))
				return 0;
			cookie = b.entries[i].cookie;
		}
	}
	return 1;
}

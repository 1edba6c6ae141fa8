/*
 * The in-memory store: opening, identity, faults and clock. For tests and simulations; nothing outlives the process.
 * Access control lists may be stored as extended attributes, but they are not enforced, nor is a default one inherited.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/memory.h"

#include "store/memory/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BYTES ((uint64_t)64 << 30)
#define DEFAULT_FILES ((uint64_t)1 << 20)
#define CLOCK_START 1000000000

static struct inlay_time logical_clock(void *arg)
{
	uint64_t us = (*(uint64_t *)arg)++;

	return (struct inlay_time){CLOCK_START + (int64_t)(us / 1000000), (uint32_t)(us % 1000000) * 1000, 0};
}

void inlay_memory_set_clock(struct inlay_store *s, struct inlay_time (*now)(void *arg), void *arg)
{
	struct memory_store *m = memory_store(s);
	MEMORY_LOCKED(s);

	m->now = now ? now : logical_clock;
	m->now_arg = now ? arg : &m->ticks;
}

void inlay_memory_set_capacity(struct inlay_store *s, uint64_t bytes, uint64_t files)
{
	struct memory_store *m = memory_store(s);
	MEMORY_LOCKED(s);

	m->room.max = bytes / MEMORY_CHUNK;
	m->files_max = files;
}

void memory_touch(struct memory_inode *inode, bool data)
{
	struct memory_store *s = memory_owner(inode);
	struct inlay_attr *attr = &inode->live.attr;

	attr->ctime = s->now(s->now_arg);
	if (data)
		attr->mtime = attr->ctime;
	attr->change = ++s->changes;
}

static const char *const op_names[] = {
#define OP_NAME(name) #name,
	MEMORY_OPS(OP_NAME)
#undef OP_NAME
};

void inlay_memory_fail(struct inlay_store *s, const char *op, unsigned nth, unsigned count, int status)
{
	const unsigned ops = sizeof(op_names) / sizeof(op_names[0]);
	struct memory_store *m = memory_store(s);
	unsigned which = 0, at = 0;
	MEMORY_LOCKED(s);

	while (which < ops && strcmp(op_names[which], op) != 0)
		which++;
	while (at < MEMORY_FAULTS_MAX && m->faults[at].count)
		at++;
	/* A misspelt name would make a test that can't fail. */
	assert(which < ops && at < MEMORY_FAULTS_MAX && nth > 0 && status != 0);
	m->faults[at] = (struct memory_fault){(enum memory_op)which, nth - 1, count, status < 0 ? status : -status};
}

int memory_fault(struct memory_store *s, enum memory_op op)
{
	int status = 0;

	for (unsigned i = 0; i < MEMORY_FAULTS_MAX; i++) {
		struct memory_fault *f = &s->faults[i];

		if (f->count == 0 || f->op != op)
			continue;
		if (f->skip) {
			f->skip--;
		} else {
			f->count--;
			status = f->status;
		}
	}
	return status;
}

static int op_root(struct inlay_store *s, struct inlay_store_node **ret)
{
	struct memory_store *m = memory_store(s);
	MEMORY_LOCKED(s);
	int r = memory_fault(m, MEMORY_OP_root);

	if (r < 0)
		return r;
	m->root->refs++;
	*ret = &m->root->node;
	return 0;
}

/* Inode numbers are never used twice, so the number alone is the identity. */
static void op_node_id(struct inlay_store_node *n, struct inlay_store_id *ret)
{
	*ret = (struct inlay_store_id){.len = 8};
	inlay_store64(ret->bytes, memory_inode(n)->live.attr.ino);
}

static int op_node_find(struct inlay_store *s, const struct inlay_store_id *id, struct inlay_store_node **ret)
{
	struct memory_store *m = memory_store(s);
	MEMORY_LOCKED(s);
	int r = memory_fault(m, MEMORY_OP_node_find);
	struct memory_inode *inode;

	if (r < 0)
		return r;
	inode = id->len == 8 ? memory_inode_find(m, inlay_load64(id->bytes)) : NULL;
	if (!inode || inode->gone)
		return -INLAY_ESTALE;
	inode->refs++;
	*ret = &inode->node;
	return 0;
}

static void op_node_ref(struct inlay_store_node *n)
{
	MEMORY_LOCKED(n->store);

	memory_inode(n)->refs++;
}

static void op_node_unref(struct inlay_store_node *n)
{
	MEMORY_LOCKED(n->store);

	assert(memory_inode(n)->refs > 0);
	memory_inode(n)->refs--;
	memory_reap(memory_inode(n));
}

static int op_statfs(struct inlay_store_node *n, struct inlay_statfs_rep *ret)
{
	struct memory_store *s = memory_store(n->store);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(s, MEMORY_OP_statfs);
	uint64_t room = s->room.used < s->room.max ? s->room.max - s->room.used : 0;

	if (r < 0)
		return r;
	*ret = (struct inlay_statfs_rep){
		.blocks = s->room.max * (MEMORY_CHUNK / MEMORY_BLOCK),
		.bfree = room * (MEMORY_CHUNK / MEMORY_BLOCK),
		.bavail = room * (MEMORY_CHUNK / MEMORY_BLOCK),
		.files = s->files_max,
		.ffree = s->files < s->files_max ? s->files_max - s->files : 0,
		.bsize = MEMORY_CHUNK,
		.frsize = MEMORY_BLOCK,
		.namelen = INLAY_NAME_MAX,
	};
	return 0;
}

static void store_free(struct memory_store *s)
{
	inlay_list_each_safe (it, tmp, &s->all)
		memory_inode_free(inlay_container(it, struct memory_inode, all));
	inlay_map_done(&s->by_ino);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void op_close(struct inlay_store *store)
{
	struct memory_store *s = memory_store(store);

	s->root->refs--;
	inlay_list_each (it, &s->all)
		assert(inlay_container(it, struct memory_inode, all)->refs == 0);
	store_free(s);
}

static const struct inlay_store_ops memory_ops = {
	.size = sizeof(memory_ops),
	.name = "memory",
	.close = op_close,
	.root = op_root,
	.node_id = op_node_id,
	.node_find = op_node_find,
	.node_ref = op_node_ref,
	.node_unref = op_node_unref,
	.lookup = memory_op_lookup,
	.getattr = memory_op_getattr,
	.setattr = memory_op_setattr,
	.access = memory_op_access,
	.readlink = memory_op_readlink,
	.mkdir = memory_op_mkdir,
	.mknod = memory_op_mknod,
	.symlink = memory_op_symlink,
	.link = memory_op_link,
	.unlink = memory_op_unlink,
	.rmdir = memory_op_rmdir,
	.rename = memory_op_rename,
	.open = memory_op_open,
	.create = memory_op_create,
	.tmpfile = memory_op_tmpfile,
	.opendir = memory_op_opendir,
	.file_ref = memory_op_file_ref,
	.file_unref = memory_op_file_unref,
	.read = memory_op_read,
	.write = memory_op_write,
	.commit = memory_op_commit,
	.fallocate = memory_op_fallocate,
	.seek = memory_op_seek,
	.copy = memory_op_copy,
	.readdir = memory_op_readdir,
	.statfs = op_statfs,
	.syncfs = memory_op_syncfs,
	.getxattr = memory_op_getxattr,
	.setxattr = memory_op_setxattr,
	.listxattr = memory_op_listxattr,
	.removexattr = memory_op_removexattr,
};

int inlay_memory_open(struct inlay_store **ret)
{
	struct memory_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -INLAY_ENOMEM;
	s->store.ops = &memory_ops;
	s->next_ino = 1;
	s->room.max = DEFAULT_BYTES / MEMORY_CHUNK;
	s->files_max = DEFAULT_FILES;
	s->now = logical_clock;
	s->now_arg = &s->ticks;
	inlay_list_init(&s->all);
	inlay_list_init(&s->dead);
	pthread_mutex_init(&s->lock, NULL);
	r = inlay_map_init(&s->by_ino);
	if (r == 0)
		r = memory_inode_new(s, NULL, NULL, MEMORY_S_IFDIR | 0755, &s->root);
	if (r < 0) {
		store_free(s);
		return r;
	}
	s->root->refs = 1; /* the store's own */
	s->root->live.attr.nlink = 2;
	s->root->parent = s->root;
	*ret = &s->store;
	return 0;
}

/*
 * The in-memory store's inside: inodes with a live and a durable state, directories, permissions.
 * Everything here is called with the store's mutex held, unless it says otherwise.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_STORE_MEMORY_INTERNAL_H
#define INLAY_STORE_MEMORY_INTERNAL_H

#include "base/hash.h"
#include "base/list.h"
#include "base/status.h"
#include "store/memory/data.h"
#include "store/memory/memory.h"
#include "store/store.h"

#include <pthread.h>

#define MEMORY_S_IFMT 0170000u
#define MEMORY_S_IFSOCK 0140000u
#define MEMORY_S_IFLNK 0120000u
#define MEMORY_S_IFREG 0100000u
#define MEMORY_S_IFBLK 0060000u
#define MEMORY_S_IFDIR 0040000u
#define MEMORY_S_IFCHR 0020000u
#define MEMORY_S_IFIFO 0010000u
#define MEMORY_S_ISUID 04000u
#define MEMORY_S_ISGID 02000u
#define MEMORY_S_ISVTX 01000u
#define MEMORY_S_IXGRP 00010u

#define MEMORY_LINK_MAX 65000u
#define MEMORY_BLOCK 4096u   /* collapse and insert are aligned to it; statfs counts in it */
#define MEMORY_FAULTS_MAX 32 /* outstanding inlay_memory_fail rules */
#define MEMORY_COOKIE_DOT 1u
#define MEMORY_COOKIE_DOTDOT 2u
#define MEMORY_COOKIE_FIRST 3u

/* Every operation that inlay_memory_fail knows, by its name in struct inlay_store_ops. */
#define MEMORY_OPS(O) \
	O(root) O(node_find) O(lookup) O(getattr) O(setattr) O(access) O(readlink) O(mkdir) O(mknod) O(symlink) O(link) \
	O(unlink) O(rmdir) O(rename) O(open) O(create) O(tmpfile) O(opendir) O(read) O(write) O(commit) O(fallocate) \
	O(seek) O(copy) O(readdir) O(statfs) O(syncfs) O(getxattr) O(setxattr) O(listxattr) O(removexattr)

enum memory_op {
#define MEMORY_OP_ENUM(name) MEMORY_OP_##name,
	MEMORY_OPS(MEMORY_OP_ENUM)
#undef MEMORY_OP_ENUM
};

struct memory_fault {
	enum memory_op op;
	unsigned skip, count; /* calls to let pass, then calls to fail; count 0: the place is free */
	int status;           /* negative */
};

struct memory_xattr {
	struct memory_xattr *next;
	size_t len;
	char name[INLAY_XATTR_NAME_MAX + 1];
	uint8_t value[];
};

/* What a crash takes back: everything of an inode but the names. */
struct memory_state {
	struct inlay_attr attr; /* blocks and nlink of the durable one mean nothing */
	struct memory_data data;
	struct memory_xattr *xattrs;
};

struct memory_entry {
	struct inlay_map_link link;
	uint64_t cookie;
	struct memory_inode *inode;
	uint32_t len;
	char name[];
};

/* Entries by name, and in the order of their cookies. A removed one leaves a NULL until the array is squeezed. */
struct memory_dir {
	struct inlay_map names;
	struct memory_slot {
		uint64_t cookie;
		struct memory_entry *entry;
	} *slots;
	size_t count, cap;
	uint64_t next_cookie;
};

struct memory_inode {
	struct inlay_store_node node; /* stands first: a node is an inode */
	struct inlay_map_link link;   /* of the store's map, by number */
	struct inlay_list all;        /* of the store's list, or of its dead */
	struct inlay_list walk;       /* used by crash only */
	unsigned refs;                /* of callers and open files */
	uint32_t durable_links;       /* durable entries that name it */
	bool gone;                    /* only the durable state knows it: takes no room, is not found */
	bool linkable;                /* a TMPFILE that may still get a name */
	char *target;                 /* symbolic links */
	struct memory_state live, durable;

	/* Directories only. */
	struct memory_inode *parent; /* live; NULL once removed. Not referenced: a parent is not empty, so it lives */
	struct memory_dir dir;
	struct memory_entry **kept; /* durable entries, in the order of cookies */
	size_t kept_count;
	struct inlay_list ties; /* ring of directories that uncommitted renames tied: they commit together */
};

struct memory_file {
	struct inlay_store_file file; /* stands first */
	unsigned refs;
	bool unprivileged; /* opened by a user: what it writes clears set-id bits by itself */
};

struct memory_store {
	struct inlay_store store; /* stands first */
	pthread_mutex_t lock;     /* the only one: guards everything below and every inode and file */
	struct inlay_map by_ino;
	struct inlay_list all;
	struct inlay_list dead; /* to be freed by memory_bury: a list, as a removed tree may be deeper than the stack */
	struct memory_inode *root;
	uint64_t next_ino, changes;
	struct memory_room room;        /* chunks */
	uint64_t files, files_max;      /* inodes that are not gone */
	struct memory_fault faults[MEMORY_FAULTS_MAX];
	struct inlay_time (*now)(void *arg);
	void *now_arg;
	uint64_t ticks; /* of the default clock */
};

static inline struct memory_store *memory_store(struct inlay_store *s)
{
	return (struct memory_store *)(void *)s;
}

static inline struct memory_inode *memory_inode(struct inlay_store_node *n)
{
	return (struct memory_inode *)(void *)n;
}

static inline struct memory_file *memory_file(struct inlay_store_file *f)
{
	return (struct memory_file *)(void *)f;
}

static inline struct memory_store *memory_owner(const struct memory_inode *inode)
{
	return memory_store(inode->node.store);
}

static inline bool memory_is(const struct memory_inode *inode, uint32_t type)
{
	return (inode->live.attr.mode & MEMORY_S_IFMT) == type;
}

static inline pthread_mutex_t *memory_lock(struct inlay_store *s)
{
	pthread_mutex_lock(&memory_store(s)->lock);
	return &memory_store(s)->lock;
}

static inline void memory_unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

/* Holds the store's mutex to the end of the block. Not to be called with it held. */
#define MEMORY_LOCKED(store_) \
	__attribute__((cleanup(memory_unlock), unused)) pthread_mutex_t *memory_guard = memory_lock(store_)

/* memory.c */
int memory_fault(struct memory_store *s, enum memory_op op);
/* A fresh time for a change of data (mtime too) or of attributes only (ctime). */
void memory_touch(struct memory_inode *inode, bool data);

/* inode.c */
/* With no name and no reference yet: give it one, or memory_reap it. -INLAY_ENOSPC, -INLAY_ENOMEM. */
int memory_inode_new(struct memory_store *s, struct memory_inode *parent, const struct inlay_cred *cred, uint32_t mode,
                     struct memory_inode **ret);
struct memory_inode *memory_inode_find(struct memory_store *s, uint64_t ino);
/* Frees the inode if nothing names or holds it, and what only it named; marks it as gone if only the disk names it. */
void memory_reap(struct memory_inode *inode);
/* Frees the dead, and what only they named. */
void memory_bury(struct memory_store *s);
/* The attributes as callers see them. */
void memory_attr(const struct memory_inode *inode, struct inlay_attr *ret);
/* Frees it whatever holds it: the store ends. */
void memory_inode_free(struct memory_inode *inode);

/* dir.c */
struct memory_entry *memory_dir_find(const struct memory_inode *dir, struct inlay_str name);
/* 0 or -INLAY_ENOMEM; counts no links. cookie 0: the next one. */
int memory_dir_add(struct memory_inode *dir, struct inlay_str name, struct memory_inode *inode, uint64_t cookie);
/* Frees the entry; counts no links. */
void memory_dir_remove(struct memory_inode *dir, struct memory_entry *entry);
static inline bool memory_dir_empty(const struct memory_inode *dir)
{
	return dir->dir.names.count == 0;
}
void memory_dir_clear(struct memory_inode *dir);
/* Position of the first slot after cookie. */
size_t memory_dir_after(const struct memory_inode *dir, uint64_t cookie);

/* durable.c */
int memory_commit(struct memory_inode *inode, uint32_t flags);
int memory_op_syncfs(struct inlay_store *store);
void memory_tie(struct memory_inode *a, struct memory_inode *b);
/* Frees the durable entries. counted: their children lose a link, and go to the store's dead with the last. */
void memory_kept_drop(struct memory_inode *dir, bool counted);
void memory_state_done(struct memory_state *state, struct memory_room *room);

/* xattr.c */
void memory_xattrs_free(struct memory_xattr *list);
int memory_xattrs_copy(const struct memory_xattr *list, struct memory_xattr **ret);

/* perm.c */
bool memory_is_super(const struct inlay_cred *cred);
bool memory_in_group(const struct inlay_cred *cred, uint32_t gid);
bool memory_owns(const struct memory_inode *inode, const struct inlay_cred *cred);
/* 0 or -INLAY_EACCES. mask: enum inlay_access_mask. ACLs are not looked at. */
int memory_may(const struct memory_inode *inode, const struct inlay_cred *cred, uint32_t mask);
/* Whether names may be looked up in dir: 0, -INLAY_ENOTDIR, -INLAY_EACCES. */
int memory_may_search(const struct memory_inode *dir, const struct inlay_cred *cred);
/* Whether a name may be made in dir: 0, -INLAY_ENOTDIR, -INLAY_ENOENT (removed), -INLAY_EACCES. */
int memory_may_make(const struct memory_inode *dir, const struct inlay_cred *cred);
/* Whether dir's name of victim may go (want_dir: as rmdir does it). -INLAY_EACCES, EPERM, ENOTDIR, EISDIR. */
int memory_may_remove(const struct memory_inode *dir, const struct memory_inode *victim, const struct inlay_cred *cred,
                      bool want_dir);
/* Clears the set-id bits that a write by an unprivileged user clears. */
void memory_kill_priv(struct memory_inode *inode);

/* names.c: shared by create and rename */
/* Makes an inode and its name; everything has been checked. make: device numbers, or NULL. */
int memory_make(struct memory_inode *dir, const struct inlay_cred *cred, struct inlay_str name, uint32_t mode,
                const struct inlay_store_make *make, struct memory_inode **ret);
uint32_t memory_make_mode(const struct memory_inode *dir, const struct inlay_store_make *make);
void memory_unlinked(struct memory_inode *dir, struct memory_inode *victim);

/* The ops, each in the file of its kind. */
/* attr.c */
int memory_op_getattr(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_attr *ret_attr);
int memory_op_setattr(struct inlay_store_node *n, struct inlay_store_file *file, const struct inlay_cred *cred,
                      const struct inlay_store_attr_change *change, struct inlay_attr *ret_attr);
int memory_op_access(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t mask);
/* names.c */
int memory_op_lookup(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                     struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int memory_op_readlink(struct inlay_store_node *n, char *buf, size_t cap);
int memory_op_mkdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                    const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int memory_op_mknod(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                    const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int memory_op_symlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                      struct inlay_str target, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int memory_op_link(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_store_node *dir,
                   const struct inlay_cred *cred, struct inlay_str name, struct inlay_attr *ret_attr);
int memory_op_unlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name);
int memory_op_rmdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name);
int memory_op_rename(struct inlay_store_node *from_dir, struct inlay_str from, struct inlay_store_node *to_dir,
                     struct inlay_str to, uint32_t flags, const struct inlay_cred *cred);
/* open.c */
int memory_op_open(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t flags,
                   struct inlay_store_file **ret, struct inlay_attr *ret_attr);
int memory_op_create(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                     uint32_t flags, const struct inlay_store_make *make, struct inlay_store_node **ret,
                     struct inlay_store_file **ret_file, struct inlay_attr *ret_attr);
int memory_op_tmpfile(struct inlay_store_node *dir, const struct inlay_cred *cred, uint32_t flags,
                      const struct inlay_store_make *make, struct inlay_store_node **ret,
                      struct inlay_store_file **ret_file, struct inlay_attr *ret_attr);
int memory_op_opendir(struct inlay_store_node *n, const struct inlay_cred *cred, struct inlay_store_file **ret);
void memory_op_file_ref(struct inlay_store_file *f);
void memory_op_file_unref(struct inlay_store_file *f);
int memory_op_readdir(struct inlay_store_file *dir, uint64_t cookie, inlay_store_emit *emit, void *arg);
/* io.c */
int64_t memory_op_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags);
int64_t memory_op_write(struct inlay_store_file *f, uint64_t off, const void *buf, size_t len, uint32_t flags,
                        uint64_t *ret_size);
int memory_op_commit(struct inlay_store_file *f, uint32_t flags);
int memory_op_fallocate(struct inlay_store_file *f, uint64_t off, uint64_t len, uint32_t mode, uint32_t write_flags);
int64_t memory_op_seek(struct inlay_store_file *f, uint64_t off, uint32_t whence);
int64_t memory_op_copy(struct inlay_store_file *from, uint64_t from_off, struct inlay_store_file *to,
                       uint64_t to_off, uint64_t len);
/* Sets a regular file's size. 0 or -INLAY_ENOMEM. */
int memory_resize(struct memory_inode *inode, uint64_t size);
/* xattr.c */
int64_t memory_op_getxattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, void *buf,
                           size_t cap);
int memory_op_setxattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, const void *value,
                       size_t len, uint32_t flags);
int64_t memory_op_listxattr(struct inlay_store_node *n, const struct inlay_cred *cred, char *buf, size_t cap);
int memory_op_removexattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name);

#endif

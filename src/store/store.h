/*
 * Storage back ends behind one ops table. The server (and the client, for what is local) talks to files only here.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Calls may block; they run on any thread, many at once: a store does its own locking. Results are a status or a
 * count; `ret_` outputs are untouched on failure and always set on success. Every object has a reference count:
 * what a call returns, the caller drops (node_unref, file_unref).
 *
 * cred: who asks; NULL = the store's own identity, nothing refused. It is enforced by the store (the posix store
 * lets the kernel decide, acting as that user), and new files belong to it.
 *
 * Names have been checked: 1-255 bytes, no '/', no NUL, not "." or "..". A name never leads out of its directory:
 * symbolic links are not followed, mount points not crossed (unless the store was opened to cross them).
 */
#ifndef INLAY_STORE_STORE_H
#define INLAY_STORE_STORE_H

#include "wire/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inlay_store;
struct inlay_store_node; /* a file, directory, link...: lives on while referenced, even unlinked */
struct inlay_store_file; /* an open regular file or an open directory */

/* A node's lasting identity: equal for equal files, never reused for another while anyone can still ask for it. */
struct inlay_store_id {
	uint32_t len;
	uint8_t bytes[28];
};

struct inlay_store_attr_change {
	uint32_t valid; /* enum inlay_setattr_mask */
	uint32_t mode, uid, gid;
	uint64_t size;
	struct inlay_time atime, mtime;
};

/* What CREATE, TMPFILE, MKDIR and MKNOD make. */
struct inlay_store_make {
	uint32_t mode;  /* permissions, and for mknod the type */
	uint32_t umask; /* applied unless the directory has a default ACL */
	uint32_t rdev_major, rdev_minor;
};

enum inlay_store_read_flags {
	INLAY_STORE_NOWAIT = 1, /* -INLAY_EAGAIN rather than wait for a disk */
};

/*
 * Takes one entry of a listing (name points into the call's buffer; node and attr are not set here). Returns true to
 * go on; false when it did not take this entry: the listing stops before it.
 */
typedef bool inlay_store_emit(void *arg, const struct inlay_dirent *entry);

/* Size first, NULL = not offered (the wrapper answers -INLAY_ENOTSUP), append only. */
struct inlay_store_ops {
	size_t size;
	const char *name;
	bool pins_nodes; /* node ids can't be found again once every reference is gone: clients must FORGET */

	void (*close)(struct inlay_store *s); /* every node and file has been dropped */

	/* -- nodes -- */
	int (*root)(struct inlay_store *s, struct inlay_store_node **ret);
	void (*node_id)(struct inlay_store_node *n, struct inlay_store_id *ret);
	/* -INLAY_ESTALE when no such file exists any more; a removed one may be found a moment longer, until reclaim(). */
	int (*node_find)(struct inlay_store *s, const struct inlay_store_id *id, struct inlay_store_node **ret);
	void (*node_ref)(struct inlay_store_node *n);
	void (*node_unref)(struct inlay_store_node *n);
	int (*lookup)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	              struct inlay_store_node **ret, struct inlay_attr *ret_attr);
	/* file: an open file of the node, or NULL. */
	int (*getattr)(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_attr *ret_attr);
	/* With a writable file, SIZE needs no permission (ftruncate). */
	int (*setattr)(struct inlay_store_node *n, struct inlay_store_file *file, const struct inlay_cred *cred,
	               const struct inlay_store_attr_change *change, struct inlay_attr *ret_attr);
	int (*access)(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t mask);
	/* Returns the length, written to buf without NUL; INLAY_TARGET_MAX bytes always fit in. */
	int (*readlink)(struct inlay_store_node *n, char *buf, size_t cap);

	/* -- names -- */
	int (*mkdir)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	             const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
	int (*mknod)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	             const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
	int (*symlink)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	               struct inlay_str target, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
	/* file: an open file of n or NULL; with it an unlinked or TMPFILE file can be linked again where the host allows. */
	int (*link)(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_store_node *dir,
	            const struct inlay_cred *cred, struct inlay_str name, struct inlay_attr *ret_attr);
	int (*unlink)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name);
	int (*rmdir)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name);
	/* flags: enum inlay_rename_flags. */
	int (*rename)(struct inlay_store_node *from_dir, struct inlay_str from, struct inlay_store_node *to_dir,
	              struct inlay_str to, uint32_t flags, const struct inlay_cred *cred);

	/* -- open files; flags: enum inlay_open_flags -- */
	/* Regular files only: a directory gives -INLAY_EISDIR, anything else -INLAY_ENXIO, a link -INLAY_ELOOP. Never blocks on a FIFO. */
	int (*open)(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t flags,
	            struct inlay_store_file **ret, struct inlay_attr *ret_attr);
	int (*create)(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name, uint32_t flags,
	              const struct inlay_store_make *make, struct inlay_store_node **ret,
	              struct inlay_store_file **ret_file, struct inlay_attr *ret_attr);
	int (*tmpfile)(struct inlay_store_node *dir, const struct inlay_cred *cred, uint32_t flags,
	               const struct inlay_store_make *make, struct inlay_store_node **ret,
	               struct inlay_store_file **ret_file, struct inlay_attr *ret_attr);
	int (*opendir)(struct inlay_store_node *n, const struct inlay_cred *cred, struct inlay_store_file **ret);
	void (*file_ref)(struct inlay_store_file *f);
	void (*file_unref)(struct inlay_store_file *f); /* the last one closes */
	/* Returns bytes read, short only at the end of file. */
	int64_t (*read)(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags);
	/*
	 * Returns bytes written (short only when the store is full after some) and the file's size afterwards where it
	 * is known cheaply, else 0. For INLAY_O_APPEND, unless flags say AT, off is ignored and the size is where these bytes end, which
	 * lie together. flags: enum inlay_write_flags less ZEROS.
	 */
	int64_t (*write)(struct inlay_store_file *f, uint64_t off, const void *buf, size_t len, uint32_t flags,
	                 uint64_t *ret_size);
	/* flags: enum inlay_commit_flags. Files and directories. */
	int (*commit)(struct inlay_store_file *f, uint32_t flags);
	int (*fallocate)(struct inlay_store_file *f, uint64_t off, uint64_t len, uint32_t mode, uint32_t write_flags);
	int64_t (*seek)(struct inlay_store_file *f, uint64_t off, uint32_t whence);
	/* Same store on both sides. Returns bytes copied. */
	int64_t (*copy)(struct inlay_store_file *from, uint64_t from_off, struct inlay_store_file *to, uint64_t to_off,
	                uint64_t len);
	/* cookie 0 or one that an earlier call emitted. 1: the listing came to its end, 0: emit stopped it. */
	int (*readdir)(struct inlay_store_file *dir, uint64_t cookie, inlay_store_emit *emit, void *arg);
	/* The host's descriptor of the open file, for passthrough and for io_uring; stays the store's. -INLAY_ENOTSUP where there is none. */
	int (*file_fd)(struct inlay_store_file *f);

	/* -- the whole -- */
	int (*statfs)(struct inlay_store_node *n, struct inlay_statfs_rep *ret);
	int (*syncfs)(struct inlay_store *s);

	/* -- extended attributes: any namespace the host offers, ACLs included -- */
	/* cap 0 returns the size; a value larger than cap gives -INLAY_ERANGE. */
	int64_t (*getxattr)(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, void *buf,
	                    size_t cap);
	int (*setxattr)(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, const void *value,
	                size_t len, uint32_t flags);
	int64_t (*listxattr)(struct inlay_store_node *n, const struct inlay_cred *cred, char *buf, size_t cap);
	int (*removexattr)(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name);

	/*
	 * Gives back at once the space of removed files that is kept for those who have just looked them up. True: there was
	 * some, so that what failed for want of space may be tried again.
	 */
	bool (*reclaim)(struct inlay_store *s);
};

/* The common head of every back end's own struct. */
struct inlay_store {
	const struct inlay_store_ops *ops;
};
struct inlay_store_node {
	struct inlay_store *store;
	uint64_t writer;               /* atomic; the server's: the client that changed its content last, 0: none yet */
};
struct inlay_store_file {
	struct inlay_store *store;
	struct inlay_store_node *node; /* referenced for the file's life */
	uint32_t flags;                /* enum inlay_open_flags it was opened with */
	bool is_dir;
};

/* Calls of a store go through ops directly: `n->store->ops->lookup(n, ...)`; optional ones through this check. */
#define inlay_store_offers(store_, op) ((store_)->ops->size > offsetof(struct inlay_store_ops, op) && (store_)->ops->op)

/* -- back ends -- */

enum inlay_posix_flags {
	INLAY_POSIX_READONLY = 1,     /* every change gives -INLAY_EROFS */
	INLAY_POSIX_CROSS_MOUNTS = 2, /* a mount point beneath the root is entered (the client's local side) */
};

/*
 * A directory tree of this host. dir_fd: the root, opened O_PATH or not; duplicated. With CAP_DAC_READ_SEARCH and a
 * file system that has file handles, ids survive eviction and restart; otherwise nodes are pinned (ops->pins_nodes).
 */
int inlay_posix_open(int dir_fd, uint32_t flags, struct inlay_store **ret);

/* A store in memory, for tests: same contract, permission checks, sparse files; crash() below is for failure tests. */
int inlay_memory_open(struct inlay_store **ret);
/* Errors on demand: op (a name in the table, "write") fails with -status from its nth call on (1 = the next), count times. */
void inlay_memory_fail(struct inlay_store *s, const char *op, unsigned nth, unsigned count, int status);
/* Forgets every write and name change that was not committed since. Open files stay. */
void inlay_memory_crash(struct inlay_store *s);

#endif

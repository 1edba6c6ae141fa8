/*
 * Private to the posix store: its structs and what its files ask of each other.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Who decides: each call that a client asked for runs as that client's user (inlay_identity_enter), and the kernel
 * says yes or no; nothing here looks at permission bits. Only finding a node by handle, and clearing set-id bits for a
 * caller who acts as root, run as the process itself.
 *
 * A node is one O_PATH descriptor. The cache holds one node per inode, found by id; nodes that nobody references
 * stay open for a while (least recently used go first) when their id finds them again, and are closed at once when not.
 *
 * Locks: a shard's lock, the listing's lock, the mount table's lock, the reaper's lock. No two are ever held together.
 */
#ifndef INLAY_STORE_POSIX_POSIX_H
#define INLAY_STORE_POSIX_POSIX_H

#include "base/hash.h"
#include "base/list.h"
#include "base/status.h"
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define POSIX_SHARDS 64u
#define POSIX_MOUNTS_MAX 64u /* file systems whose nodes have lasting ids; further ones are pinned */
#define POSIX_HANDLE_MAX 24  /* bytes of a kernel file handle that fit in an id beside its head */
#define POSIX_PATH_MAX 32    /* "/proc/self/fd/N" with its NUL */
#define POSIX_IDLE_MS 5000   /* a node that nobody references keeps its descriptor so long: a removed file's space */
#define POSIX_GONE_MS 1000   /* the same for a node that was removed by us: who has just looked it up may still open it */

/* First byte of an id: how the rest is to be read. */
enum posix_id_kind {
	POSIX_ID_HANDLE = 1, /* u8 handle type, u16 file system's index, handle bytes; lasts as long as the file */
	POSIX_ID_INODE = 2,  /* u8 0, u16 0, u64 device, inode, birth time; only cached nodes are found by it */
};

/*
 * lru and gone hold the nodes without references, oldest first; gone those that lost a name through us. lock guards
 * all, and the members that say so in posix_node.
 */
struct posix_shard {
	pthread_mutex_t lock;
	struct inlay_map map;
	struct inlay_list lru, gone;
};

/* A file system, by device number. fd: a plain descriptor on it, for open_by_handle_at; lives as long as the store. */
struct posix_mount {
	dev_t dev;
	int fd;
};

/* Closes idle nodes when nobody calls any more. Started at the first idle node, so that a daemon may fork before. */
struct posix_reaper {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stop; /* under lock */
	atomic_bool asleep; /* nothing was idle: whoever makes a node idle wakes it */
};

struct posix_store {
	struct inlay_store base;
	uint32_t flags; /* enum inlay_posix_flags */
	int root_fd;    /* plain, for syncfs; O_PATH where the root can't be read */
	int root_mount_id;
	uint64_t root_mount_unique; /* statx's number of it */
	struct posix_node *root;    /* a reference of the store's own */
	struct inlay_hash_key key;
	struct posix_shard shards[POSIX_SHARDS];
	atomic_uint idle_count, gone_count; /* gone ones are idle, too */
	unsigned idle_max, idle_ms, gone_ms;
	unsigned idle_all_max; /* of all stores of the process */
	pthread_mutex_t mounts_lock;
	struct posix_mount mounts[POSIX_MOUNTS_MAX]; /* [0] is the root's; none with pinned nodes */
	unsigned mount_count;
	struct posix_reaper reaper;
};

struct posix_node {
	struct inlay_store_node base;
	int fd; /* O_PATH */
	uint32_t type;
	struct inlay_store_id id;
	atomic_uint refs;           /* 0 only under the shard's lock */
	atomic_bool removed;        /* a name of it went away through us: don't keep it open for long */
	bool in_gone;               /* shard; which list it is on while refs is 0 */
	struct inlay_map_link link; /* shard */
	struct inlay_list lru;      /* shard; on lru or gone while refs is 0 */
	int64_t idle_ms;            /* shard; when it came there */
};

struct posix_listing;

struct posix_file {
	struct inlay_store_file base;
	int fd;
	atomic_uint refs;
	struct inlay_cred *cred;       /* the opener, cut off after its groups; NULL for the process itself */
	struct posix_listing *listing; /* of a directory */
	pthread_mutex_t *position;     /* of fd, for as long as an append is under way; NULL: not opened with INLAY_O_APPEND */
};

static inline struct posix_store *posix_store(struct inlay_store *s)
{
	return inlay_container(s, struct posix_store, base);
}

static inline struct posix_node *posix_node(struct inlay_store_node *n)
{
	return inlay_container(n, struct posix_node, base);
}

static inline struct posix_file *posix_file(struct inlay_store_file *f)
{
	return inlay_container(f, struct posix_file, base);
}

static inline struct posix_store *posix_node_store(struct posix_node *n)
{
	return posix_store(n->base.store);
}

static inline int posix_errno(void)
{
	return inlay_status_from_errno(errno);
}

static inline bool posix_readonly(const struct inlay_store *s)
{
	return inlay_container(s, struct posix_store, base)->flags & INLAY_POSIX_READONLY;
}

/* -- store.c -- */
/* Nodes without references that stay open: how many at most, for how long. For tests, before anything else. */
void inlay_posix_set_idle(struct inlay_store *s, unsigned count, unsigned ms);

/* -- host.c: descriptors and paths -- */
/* Opens what fd refers to (O_PATH or not) anew. Never for a link, a FIFO or a device but with O_PATH. -status. */
int posix_reopen(int fd, int host_flags) __attribute__((warn_unused_result));
/* "/proc/self/fd/N": a path of the very inode for calls that know no descriptor, links included. Returns buf. */
const char *posix_path(char buf[POSIX_PATH_MAX], int fd);
/* openat2() of one name, which never leads out of the directory. -status. */
int posix_open_name(struct posix_node *dir, const char *name, int host_flags, mode_t mode)
	__attribute__((warn_unused_result));
/* Copies a checked name. */
void posix_name(char buf[INLAY_NAME_MAX + 1], struct inlay_str name);
/* Monotonic milliseconds, coarse. */
int64_t posix_now_ms(void);

/* -- id.c -- */
/* The id of the open fd; stx was filled from it. */
int posix_id_of(struct posix_store *s, int fd, const struct statx *stx, struct inlay_store_id *ret);
/*
 * The id of a name, without opening it. -INLAY_EXDEV: it is another file system's root; -INLAY_EAGAIN: can't tell
 * without opening it.
 */
int posix_id_of_name(struct posix_node *dir, const char *name, struct inlay_store_id *ret);
/* Opens (O_PATH) the file of an id. The thread is the process itself afterwards. -INLAY_ESTALE. */
int posix_id_open(struct posix_store *s, const struct inlay_store_id *id) __attribute__((warn_unused_result));
/* Tries whether file handles work beneath root_fd; registers the root's file system if so. */
bool posix_id_handles_work(struct posix_store *s);

/* -- cache.c -- */
int posix_cache_init(struct posix_store *s);
void posix_cache_done(struct posix_store *s);
/* With a reference; NULL when not cached. */
struct posix_node *posix_cache_find(struct posix_store *s, const struct inlay_store_id *id);
/* The node of fd, which is taken over in any case. One reference; its attributes if ret_attr. */
int posix_cache_add(struct posix_store *s, int fd, struct posix_node **ret, struct inlay_attr *ret_attr);
/* Tells the cache that a name of this file was removed. */
void posix_cache_removed(struct posix_store *s, const struct inlay_store_id *id);
/* Closes what has been idle since before idle_ms, or gone since before gone_ms. Returns how many that were. */
unsigned posix_cache_trim(struct posix_store *s, int64_t idle_ms, int64_t gone_ms);
void posix_node_ref(struct posix_node *n);
void posix_node_unref(struct posix_node *n);

/* -- reaper.c -- */
int posix_reaper_init(struct posix_store *s);
void posix_reaper_done(struct posix_store *s);
/* A node became idle. Any thread, no lock held. */
void posix_reaper_poke(struct posix_store *s);

/* -- attr.c -- */
#define POSIX_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
int posix_statx(int fd, struct statx *ret);
void posix_attr(const struct statx *stx, struct inlay_attr *ret);
int posix_fd_attr(int fd, struct inlay_attr *ret);
/* True when the kernel won't drop set-id bits for this caller by itself. */
bool posix_is_privileged(const struct inlay_cred *cred);
/* Drops set-id bits as a write by an ordinary user does: set-group-id only of what the group may execute. */
int posix_kill_priv(int fd);
/* chmod of any descriptor but a link's, as whoever the thread is. */
int posix_chmod(int fd, mode_t mode);

/* -- the ops -- */
int posix_lookup(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int posix_getattr(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_attr *ret_attr);
int posix_setattr(struct inlay_store_node *n, struct inlay_store_file *file, const struct inlay_cred *cred,
	const struct inlay_store_attr_change *change, struct inlay_attr *ret_attr);
int posix_access(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t mask);
int posix_readlink(struct inlay_store_node *n, char *buf, size_t cap);
int posix_mkdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int posix_mknod(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int posix_symlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	struct inlay_str target, struct inlay_store_node **ret, struct inlay_attr *ret_attr);
int posix_link(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_store_node *dir,
	const struct inlay_cred *cred, struct inlay_str name, struct inlay_attr *ret_attr);
int posix_unlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name);
int posix_rmdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name);
int posix_rename(struct inlay_store_node *from_dir, struct inlay_str from, struct inlay_store_node *to_dir,
	struct inlay_str to, uint32_t flags, const struct inlay_cred *cred);
int posix_open(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t flags, struct inlay_store_file **ret,
	struct inlay_attr *ret_attr);
int posix_create(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name, uint32_t flags,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_store_file **ret_file,
	struct inlay_attr *ret_attr);
int posix_tmpfile(struct inlay_store_node *dir, const struct inlay_cred *cred, uint32_t flags,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_store_file **ret_file,
	struct inlay_attr *ret_attr);
int posix_opendir(struct inlay_store_node *n, const struct inlay_cred *cred, struct inlay_store_file **ret);
void posix_file_ref(struct inlay_store_file *f);
void posix_file_unref(struct inlay_store_file *f);
int64_t posix_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags);
int64_t posix_write(
	struct inlay_store_file *f, uint64_t off, const void *buf, size_t len, uint32_t flags, uint64_t *ret_size);
int posix_commit(struct inlay_store_file *f, uint32_t flags);
int posix_fallocate_op(struct inlay_store_file *f, uint64_t off, uint64_t len, uint32_t mode, uint32_t write_flags);
int64_t posix_seek(struct inlay_store_file *f, uint64_t off, uint32_t whence);
int64_t posix_copy(
	struct inlay_store_file *from, uint64_t from_off, struct inlay_store_file *to, uint64_t to_off, uint64_t len);
int posix_readdir(struct inlay_store_file *dir, uint64_t cookie, inlay_store_emit *emit, void *arg);
int posix_file_fd(struct inlay_store_file *f);
int64_t posix_getxattr(
	struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, void *buf, size_t cap);
int posix_setxattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, const void *value,
	size_t len, uint32_t flags);
int64_t posix_listxattr(struct inlay_store_node *n, const struct inlay_cred *cred, char *buf, size_t cap);
int posix_removexattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name);

/* -- make.c -- */
/* The mode to hand to the kernel: umask applied unless the directory has a default ACL. */
mode_t posix_make_mode(struct posix_node *dir, const struct inlay_store_make *make);

/* -- file.c -- */
/* A file object that owns fd, whatever it returns. references n. */
int posix_file_new(
	struct posix_node *n, int fd, const struct inlay_cred *cred, uint32_t flags, struct posix_file **ret);

/* -- listing.c -- */
struct posix_listing *posix_listing_new(void); /* NULL: out of memory */
void posix_listing_free(struct posix_listing *l);

#endif

/*
 * The posix store: a directory tree of this host. Opening, closing, the ops tables and what concerns the whole.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/vfs.h>

static void store_free(struct posix_store *s)
{
	posix_reaper_done(s);
	posix_cache_done(s);
	for (unsigned i = 0; i < s->mount_count; i++)
		close(s->mounts[i].fd);
	pthread_mutex_destroy(&s->mounts_lock);
	if (s->root_fd >= 0)
		close(s->root_fd);
	free(s);
}

static void posix_close(struct inlay_store *store)
{
	struct posix_store *s = posix_store(store);

	posix_node_unref(s->root);
	store_free(s);
}

static int posix_root(struct inlay_store *store, struct inlay_store_node **ret)
{
	struct posix_store *s = posix_store(store);

	posix_node_ref(s->root);
	*ret = &s->root->base;
	return 0;
}

static void posix_node_id(struct inlay_store_node *n, struct inlay_store_id *ret)
{
	*ret = posix_node(n)->id;
}

static int posix_node_find(struct inlay_store *store, const struct inlay_store_id *id, struct inlay_store_node **ret)
{
	struct posix_store *s = posix_store(store);
	struct posix_node *n;
	int fd, rc;

	if (id->len > sizeof(id->bytes))
		return -INLAY_ESTALE;
	n = posix_cache_find(s, id);
	if (!n) {
		fd = posix_id_open(s, id);
		rc = fd < 0 ? fd : posix_cache_add(s, fd, &n, NULL);
		if (rc < 0)
			return rc;
	}
	*ret = &n->base;
	return 0;
}

static void op_node_ref(struct inlay_store_node *n)
{
	posix_node_ref(posix_node(n));
}

static void op_node_unref(struct inlay_store_node *n)
{
	posix_node_unref(posix_node(n));
}

static bool posix_reclaim(struct inlay_store *store)
{
	struct posix_store *s = posix_store(store);

	return atomic_load(&s->gone_count) && posix_cache_trim(s, INT64_MIN, INT64_MAX) > 0;
}

static int posix_statfs(struct inlay_store_node *n, struct inlay_statfs_rep *ret)
{
	struct statfs st;

	(void)posix_reclaim(n->store);
	if (TEMP_FAILURE_RETRY(fstatfs(posix_node(n)->fd, &st)) < 0)
		return posix_errno();
	*ret = (struct inlay_statfs_rep){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.frsize = (uint32_t)(st.f_frsize ? st.f_frsize : st.f_bsize),
		.namelen = (uint32_t)st.f_namelen,
	};
	return 0;
}

static int posix_syncfs(struct inlay_store *store)
{
	struct posix_store *s = posix_store(store);
	int rc = syncfs(s->root_fd) < 0 ? posix_errno() : 0, fd;
	unsigned count;

	pthread_mutex_lock(&s->mounts_lock);
	count = s->mount_count;
	pthread_mutex_unlock(&s->mounts_lock);
	/* Entries never change once they count. */
	for (unsigned i = 1; i < count; i++) {
		fd = s->mounts[i].fd;
		if (syncfs(fd) < 0 && rc >= 0)
			rc = posix_errno();
	}
	return rc;
}

/* clang-format off */
#define POSIX_OPS(name_, pins) { \
	.size = sizeof(struct inlay_store_ops), .name = name_, .pins_nodes = pins, \
	.close = posix_close, .root = posix_root, .node_id = posix_node_id, .node_find = posix_node_find, \
	.node_ref = op_node_ref, .node_unref = op_node_unref, .lookup = posix_lookup, .getattr = posix_getattr, \
	.setattr = posix_setattr, .access = posix_access, .readlink = posix_readlink, .mkdir = posix_mkdir, \
	.mknod = posix_mknod, .symlink = posix_symlink, .link = posix_link, .unlink = posix_unlink, \
	.rmdir = posix_rmdir, .rename = posix_rename, .open = posix_open, .create = posix_create, \
	.tmpfile = posix_tmpfile, .opendir = posix_opendir, .file_ref = posix_file_ref, \
	.file_unref = posix_file_unref, .read = posix_read, .write = posix_write, .commit = posix_commit, \
	.fallocate = posix_fallocate_op, .seek = posix_seek, .copy = posix_copy, .readdir = posix_readdir, \
	.file_fd = posix_file_fd, .statfs = posix_statfs, .syncfs = posix_syncfs, .getxattr = posix_getxattr, \
	.setxattr = posix_setxattr, .listxattr = posix_listxattr, .removexattr = posix_removexattr, \
	.reclaim = posix_reclaim, \
}
/* clang-format on */

static const struct inlay_store_ops ops_handles = POSIX_OPS("posix", false);
static const struct inlay_store_ops ops_pinned = POSIX_OPS("posix-pinned", true);

/* Every node and file is a descriptor: take as many as the host lets us, keep a part for idle nodes at most. */
static unsigned idle_bound(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit most = {limit.rlim_max, limit.rlim_max};

		if (setrlimit(RLIMIT_NOFILE, &most) == 0)
			limit = most;
	}
	limit.rlim_cur /= INLAY_DESCRIPTORS_IDLE;
	return limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
}

void inlay_posix_set_idle(struct inlay_store *s, unsigned count, unsigned ms)
{
	posix_store(s)->idle_max = count;
	posix_store(s)->idle_ms = ms;
	posix_store(s)->gone_ms = ms;
}

static int open_root(struct posix_store *s, int dir_fd)
{
	int fd;

	s->root_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		s->root_fd = openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		return posix_errno();
	s->base.ops = posix_id_handles_work(s) ? &ops_handles : &ops_pinned;
	fd = openat(s->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? posix_errno() : posix_cache_add(s, fd, &s->root, NULL);
}

int inlay_posix_open(int dir_fd, uint32_t flags, struct inlay_store **ret)
{
	struct posix_store *s;
	int rc = inlay_identity_enter(NULL);

	if (rc < 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -INLAY_ENOMEM;
	rc = posix_cache_init(s);
	if (rc < 0) {
		free(s);
		return rc;
	}
	/* The process's umask is shared by all threads; each caller's own is applied by hand. */
	umask(0);
	s->flags = flags;
	s->root_fd = -1;
	s->base.ops = &ops_handles;
	s->idle_max = s->idle_all_max = idle_bound();
	s->idle_ms = POSIX_IDLE_MS;
	s->gone_ms = POSIX_GONE_MS;
	pthread_mutex_init(&s->mounts_lock, NULL);
	rc = posix_reaper_init(s);
	if (rc >= 0 && getrandom(&s->key, sizeof(s->key), 0) != (ssize_t)sizeof(s->key))
		rc = posix_errno();
	if (rc >= 0)
		rc = open_root(s, dir_fd);
	if (rc < 0) {
		store_free(s);
		return rc;
	}
	*ret = &s->base;
	return 0;
}

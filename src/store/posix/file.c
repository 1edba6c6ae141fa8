/*
 * Opening and creating files. Only regular files and directories are ever opened for more than O_PATH, and only after
 * their type is known: no driver, no FIFO and no automount is touched.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define CREATE_TRIES 64 /* a name that comes and goes under our hands */

_Static_assert(INLAY_O_RDONLY == O_RDONLY && INLAY_O_WRONLY == O_WRONLY && INLAY_O_RDWR == O_RDWR, "access modes");

/*
 * INLAY_O_DIRECT stays advice: callers' buffers are not aligned, and the kernel would refuse them. With O_APPEND no write could say
 * its place: each that is to append says so (posix_write).
 */
static int host_flags(uint32_t flags)
{
	int host = (int)(flags & INLAY_O_ACCMODE);

	if (flags & INLAY_O_SYNC)
		host |= O_SYNC;
	if (flags & INLAY_O_DSYNC)
		host |= O_DSYNC;
	if (flags & INLAY_O_NOATIME)
		host |= O_NOATIME;
	return host;
}

static bool flags_write(uint32_t flags)
{
	return (flags & INLAY_O_ACCMODE) != INLAY_O_RDONLY || flags & INLAY_O_TRUNC;
}

static int flags_check(uint32_t flags)
{
	if (flags & ~(uint32_t)INLAY_O_KNOWN || (flags & INLAY_O_ACCMODE) == INLAY_O_ACCMODE)
		return -INLAY_EINVAL;
	return flags & INLAY_O_EXEC && flags_write(flags) ? -INLAY_EINVAL : 0;
}

/* A copy cut off after its groups; NULL for the process itself, and where nobody switches. */
static int cred_copy(const struct inlay_cred *cred, struct inlay_cred **ret)
{
	size_t size;

	*ret = NULL;
	if (!cred || !inlay_identity_can_switch())
		return 0;
	size = offsetof(struct inlay_cred, groups) + cred->ngroups * sizeof(cred->groups[0]);
	*ret = malloc(size);
	if (!*ret)
		return -INLAY_ENOMEM;
	memcpy(*ret, cred, size);
	return 0;
}

static int position_lock(struct posix_file *f)
{
	f->position = malloc(sizeof(*f->position));
	return f->position && pthread_mutex_init(f->position, NULL) == 0 ? 0 : -INLAY_ENOMEM;
}

int posix_file_new(struct posix_node *n, int fd, const struct inlay_cred *cred, uint32_t flags, struct posix_file **ret)
{
	struct posix_file *f = calloc(1, sizeof(*f));
	int rc = f ? cred_copy(cred, &f->cred) : -INLAY_ENOMEM;

	if (rc >= 0 && flags & INLAY_O_APPEND)
		rc = position_lock(f);
	if (rc < 0) {
		if (f) {
			free(f->position);
			free(f->cred);
		}
		free(f);
		close(fd);
		return rc;
	}
	posix_node_ref(n);
	f->base = (struct inlay_store_file){.store = n->base.store, .node = &n->base, .flags = flags};
	f->fd = fd;
	atomic_init(&f->refs, 1);
	*ret = f;
	return 0;
}

void posix_file_ref(struct inlay_store_file *f)
{
	atomic_fetch_add(&posix_file(f)->refs, 1);
}

void posix_file_unref(struct inlay_store_file *file)
{
	struct posix_file *f = posix_file(file);

	if (atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	close(f->fd);
	posix_listing_free(f->listing);
	posix_node_unref(posix_node(f->base.node));
	if (f->position)
		pthread_mutex_destroy(f->position);
	free(f->position);
	free(f->cred);
	free(f);
}

int posix_file_fd(struct inlay_store_file *f)
{
	return posix_file(f)->fd;
}

/* What is read from a read-only store keeps its access time. The thread may be the process itself afterwards. */
static void keep_atime(struct posix_store *s, int fd)
{
	int flags;

	if (!(s->flags & INLAY_POSIX_READONLY) || inlay_identity_enter(NULL) < 0)
		return;
	flags = fcntl(fd, F_GETFL);
	/* Refused to a process that neither owns the file nor is root: then it is the host's business. */
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_NOATIME);
}

/* To execute a file needs no right to read it. */
static int open_exec(struct posix_node *n, const struct inlay_cred *cred, int host)
{
	int rc = posix_access(&n->base, cred, INLAY_ACCESS_X);

	if (rc >= 0)
		rc = inlay_identity_enter(NULL);
	return rc < 0 ? rc : posix_reopen(n->fd, host);
}

static int open_as(struct posix_node *n, const struct inlay_cred *cred, int host, bool append)
{
	int rc = inlay_identity_enter(cred), fd = rc < 0 ? rc : posix_reopen(n->fd, host);

	/* One that may only be appended to (chattr +a). */
	return fd == -INLAY_EPERM && append ? posix_reopen(n->fd, host | O_APPEND) : fd;
}

/* A descriptor of a regular file that exists. */
static int open_host(struct posix_node *n, const struct inlay_cred *cred, uint32_t flags)
{
	struct posix_store *s = posix_node_store(n);
	int host = host_flags(flags) | (flags & INLAY_O_TRUNC ? O_TRUNC : 0), fd, rc;

	if (n->type == S_IFDIR)
		return -INLAY_EISDIR;
	if (n->type != S_IFREG)
		return n->type == S_IFLNK ? -INLAY_ELOOP : -INLAY_ENXIO;
	if (flags_write(flags) && s->flags & INLAY_POSIX_READONLY)
		return -INLAY_EROFS;
	fd = flags & INLAY_O_EXEC ? open_exec(n, cred, host) : open_as(n, cred, host, flags & INLAY_O_APPEND);
	if (fd < 0)
		return fd;
	if (flags & INLAY_O_TRUNC && flags & INLAY_O_KILL_PRIV && posix_is_privileged(cred)) {
		rc = posix_kill_priv(fd);
		if (rc < 0) {
			close(fd);
			return rc;
		}
	}
	keep_atime(s, fd);
	return fd;
}

/* flags have been checked. */
static int open_node(struct posix_node *n, const struct inlay_cred *cred, uint32_t flags, struct inlay_store_file **ret,
	struct inlay_attr *ret_attr)
{
	struct inlay_attr attr;
	struct posix_file *f;
	int fd = open_host(n, cred, flags), rc;

	if (fd < 0)
		return fd;
	rc = posix_fd_attr(fd, &attr);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	rc = posix_file_new(n, fd, cred, flags, &f);
	if (rc < 0)
		return rc;
	*ret_attr = attr;
	*ret = &f->base;
	return 0;
}

int posix_open(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t flags, struct inlay_store_file **ret,
	struct inlay_attr *ret_attr)
{
	int rc = flags_check(flags);

	return rc < 0 ? rc : open_node(posix_node(n), cred, flags, ret, ret_attr);
}

int posix_opendir(struct inlay_store_node *node, const struct inlay_cred *cred, struct inlay_store_file **ret)
{
	struct posix_node *n = posix_node(node);
	struct posix_file *f;
	int rc, fd;

	if (n->type != S_IFDIR)
		return -INLAY_ENOTDIR;
	rc = inlay_identity_enter(cred);
	fd = rc < 0 ? rc : posix_reopen(n->fd, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	keep_atime(posix_node_store(n), fd);
	rc = posix_file_new(n, fd, cred, INLAY_O_RDONLY, &f);
	if (rc < 0)
		return rc;
	f->base.is_dir = true;
	f->listing = posix_listing_new();
	if (!f->listing) {
		posix_file_unref(&f->base);
		return -INLAY_ENOMEM;
	}
	*ret = &f->base;
	return 0;
}

/* Node and file of a descriptor that just made a regular file; takes it over. */
static int adopt(struct posix_node *dir, int fd, const struct inlay_cred *cred, uint32_t flags,
	struct inlay_store_node **ret, struct inlay_store_file **ret_file, struct inlay_attr *ret_attr)
{
	struct inlay_attr attr;
	struct posix_node *n;
	struct posix_file *f;
	/* The node gets a descriptor of its own: the file's would keep the right to write alive in the cache. */
	int path_fd = posix_reopen(fd, O_PATH), rc;

	if (path_fd < 0) {
		close(fd);
		return path_fd;
	}
	rc = posix_cache_add(posix_node_store(dir), path_fd, &n, &attr);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	rc = posix_file_new(n, fd, cred, flags, &f);
	if (rc < 0) {
		posix_node_unref(n);
		return rc;
	}
	*ret = &n->base;
	*ret_file = &f->base;
	*ret_attr = attr;
	return 0;
}

/* CREATE of a name that exists. */
static int create_existing(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	uint32_t flags, struct inlay_store_node **ret, struct inlay_store_file **ret_file, struct inlay_attr *ret_attr)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int rc = posix_lookup(dir, cred, name, &n, &attr);

	if (rc < 0)
		return rc;
	rc = flags & INLAY_O_EXCL ? -INLAY_EEXIST : open_node(posix_node(n), cred, flags, ret_file, ret_attr);
	if (rc < 0)
		posix_node_unref(posix_node(n));
	else
		*ret = n;
	return rc;
}

int posix_create(struct inlay_store_node *node, const struct inlay_cred *cred, struct inlay_str name, uint32_t flags,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_store_file **ret_file,
	struct inlay_attr *ret_attr)
{
	struct posix_node *dir = posix_node(node);
	char text[INLAY_NAME_MAX + 1];
	int rc = flags_check(flags), fd;

	if (rc < 0)
		return rc;
	posix_name(text, name);
	/*
	 * New or existing, but never the kernel's "either": O_CREAT alone would open whatever somebody put there
	 * meanwhile, a device too.
	 */
	for (unsigned i = 0; i < CREATE_TRIES; i++) {
		fd = -INLAY_EEXIST;
		if (!posix_readonly(node->store)) {
			rc = inlay_identity_enter(cred);
			if (rc < 0)
				return rc;
			fd = posix_open_name(
				dir, text, host_flags(flags) | O_CREAT | O_EXCL, posix_make_mode(dir, make));
		}
		if (fd >= 0)
			return adopt(dir, fd, cred, flags, ret, ret_file, ret_attr);
		if (fd != -INLAY_EEXIST)
			return fd;
		rc = create_existing(node, cred, name, flags, ret, ret_file, ret_attr);
		if (rc != -INLAY_ENOENT)
			return rc;
		if (posix_readonly(node->store))
			return -INLAY_EROFS;
	}
	return -INLAY_ENOENT;
}

int posix_tmpfile(struct inlay_store_node *node, const struct inlay_cred *cred, uint32_t flags,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_store_file **ret_file,
	struct inlay_attr *ret_attr)
{
	struct posix_node *dir = posix_node(node);
	int rc = flags_check(flags), fd;

	if (rc < 0)
		return rc;
	if (posix_readonly(node->store))
		return -INLAY_EROFS;
	rc = inlay_identity_enter(cred);
	if (rc < 0)
		return rc;
	fd = posix_open_name(dir, ".", host_flags(flags) | O_TMPFILE | (flags & INLAY_O_EXCL ? O_EXCL : 0),
		posix_make_mode(dir, make));
	return fd < 0 ? fd : adopt(dir, fd, cred, flags, ret, ret_file, ret_attr);
}

/*
 * Names: finding, making, linking, moving and removing them. One component at a time, which the kernel is told never
 * to follow out of its directory.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

_Static_assert(INLAY_RENAME_NOREPLACE == RENAME_NOREPLACE && INLAY_RENAME_EXCHANGE == RENAME_EXCHANGE &&
		       INLAY_RENAME_WHITEOUT == RENAME_WHITEOUT,
	"flags go to the kernel as they are");

/* As whoever the thread is. */
static int find_name(struct posix_node *dir, const char *name, struct posix_node **ret, struct inlay_attr *ret_attr)
{
	struct posix_store *s = posix_node_store(dir);
	struct inlay_store_id id;
	struct posix_node *n;
	int rc = posix_id_of_name(dir, name, &id), fd;

	if (rc >= 0) {
		n = posix_cache_find(s, &id);
		if (n) {
			rc = posix_fd_attr(n->fd, ret_attr);
			if (rc < 0)
				posix_node_unref(n);
			else
				*ret = n;
			return rc;
		}
	} else if (rc != -INLAY_EAGAIN) {
		return rc;
	}
	fd = posix_open_name(dir, name, O_PATH, 0);
	return fd < 0 ? fd : posix_cache_add(s, fd, ret, ret_attr);
}

int posix_lookup(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	char text[INLAY_NAME_MAX + 1];
	struct posix_node *n;
	int rc = inlay_identity_enter(cred);

	if (rc < 0)
		return rc;
	posix_name(text, name);
	rc = find_name(posix_node(dir), text, &n, ret_attr);
	if (rc >= 0)
		*ret = &n->base;
	return rc;
}

mode_t posix_make_mode(struct posix_node *dir, const struct inlay_store_make *make)
{
	char path[POSIX_PATH_MAX];
	mode_t mode = make->mode & 07777, masked = mode & ~(make->umask & 0777);

	if (masked == mode || getxattr(posix_path(path, dir->fd), "system.posix_acl_default", NULL, 0) > 0)
		return mode;
	return masked;
}

/* What every call that makes or removes a name starts with. */
static int change_begin(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
	char text[INLAY_NAME_MAX + 1])
{
	if (posix_readonly(dir->store))
		return -INLAY_EROFS;
	posix_name(text, name);
	return inlay_identity_enter(cred);
}

/* After a name was made. host: what the host call returned. */
static int made(
	struct posix_node *dir, int host, const char *name, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct posix_node *n;
	int rc;

	if (host < 0)
		return posix_errno();
	rc = find_name(dir, name, &n, ret_attr);
	if (rc >= 0)
		*ret = &n->base;
	return rc;
}

int posix_mkdir(struct inlay_store_node *node, const struct inlay_cred *cred, struct inlay_str name,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct posix_node *dir = posix_node(node);
	char text[INLAY_NAME_MAX + 1];
	int rc = change_begin(node, cred, name, text);

	if (rc < 0)
		return rc;
	return made(dir, mkdirat(dir->fd, text, posix_make_mode(dir, make)), text, ret, ret_attr);
}

int posix_mknod(struct inlay_store_node *node, const struct inlay_cred *cred, struct inlay_str name,
	const struct inlay_store_make *make, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct posix_node *dir = posix_node(node);
	char text[INLAY_NAME_MAX + 1];
	mode_t mode;
	int rc = change_begin(node, cred, name, text);

	if (rc < 0)
		return rc;
	mode = posix_make_mode(dir, make) | (make->mode & S_IFMT);
	rc = mknodat(dir->fd, text, mode, makedev(make->rdev_major, make->rdev_minor));
	return made(dir, rc, text, ret, ret_attr);
}

int posix_symlink(struct inlay_store_node *node, const struct inlay_cred *cred, struct inlay_str name,
	struct inlay_str target, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	struct posix_node *dir = posix_node(node);
	char text[INLAY_NAME_MAX + 1], to[INLAY_TARGET_MAX];
	int rc = change_begin(node, cred, name, text);

	if (rc < 0)
		return rc;
	if (target.len >= sizeof(to))
		return -INLAY_ENAMETOOLONG;
	memcpy(to, target.p, target.len);
	to[target.len] = 0;
	return made(dir, symlinkat(to, dir->fd, text), text, ret, ret_attr);
}

int posix_link(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_store_node *dir,
	const struct inlay_cred *cred, struct inlay_str name, struct inlay_attr *ret_attr)
{
	char text[INLAY_NAME_MAX + 1], path[POSIX_PATH_MAX];
	int fd = file ? posix_file(file)->fd : posix_node(n)->fd;
	int rc = change_begin(dir, cred, name, text);

	if (rc < 0)
		return rc;
	/* The path is that of the inode itself, a link's too; AT_EMPTY_PATH wants more rights than the caller has. */
	if (linkat(AT_FDCWD, posix_path(path, fd), posix_node(dir)->fd, text, AT_SYMLINK_FOLLOW) < 0)
		return posix_errno();
	return posix_fd_attr(posix_node(n)->fd, ret_attr);
}

static int remove_name(struct inlay_store_node *node, const struct inlay_cred *cred, struct inlay_str name, int flags)
{
	struct posix_node *dir = posix_node(node);
	char text[INLAY_NAME_MAX + 1];
	struct inlay_store_id id;
	bool known;
	int rc = change_begin(node, cred, name, text);

	if (rc < 0)
		return rc;
	/* An idle descriptor must not keep the space of what goes. */
	known = posix_id_of_name(dir, text, &id) >= 0;
	if (unlinkat(dir->fd, text, flags) < 0)
		return posix_errno();
	if (known)
		posix_cache_removed(posix_node_store(dir), &id);
	return 0;
}

int posix_unlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	return remove_name(dir, cred, name, 0);
}

int posix_rmdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	return remove_name(dir, cred, name, AT_REMOVEDIR);
}

int posix_rename(struct inlay_store_node *from_dir, struct inlay_str from, struct inlay_store_node *to_dir,
	struct inlay_str to, uint32_t flags, const struct inlay_cred *cred)
{
	struct posix_node *old = posix_node(from_dir), *new = posix_node(to_dir);
	char from_text[INLAY_NAME_MAX + 1], to_text[INLAY_NAME_MAX + 1];
	struct inlay_store_id id;
	bool known;
	int rc = change_begin(from_dir, cred, from, from_text);

	if (rc < 0)
		return rc;
	posix_name(to_text, to);
	known = !(flags & (INLAY_RENAME_NOREPLACE | INLAY_RENAME_EXCHANGE)) && posix_id_of_name(new, to_text, &id) >= 0;
	if (renameat2(old->fd, from_text, new->fd, to_text, flags) < 0)
		return posix_errno();
	if (known)
		posix_cache_removed(posix_node_store(new), &id);
	return 0;
}

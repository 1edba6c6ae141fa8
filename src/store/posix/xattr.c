/*
 * Extended attributes, ACLs included. The kernel decides who may see and set which, as for a local program.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <string.h>
#include <sys/xattr.h>

_Static_assert(INLAY_XATTR_CREATE == (int)XATTR_CREATE, "flags go to the kernel as they are");
_Static_assert(INLAY_XATTR_REPLACE == (int)XATTR_REPLACE, "flags go to the kernel as they are");

int64_t posix_getxattr(
	struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, void *buf, size_t cap)
{
	char path[POSIX_PATH_MAX];
	int rc = inlay_identity_enter(cred);
	ssize_t len;

	if (rc < 0)
		return rc;
	/* Such a path ends at the inode, also when that is a link. */
	len = getxattr(posix_path(path, posix_node(n)->fd), name, buf, cap);
	return len < 0 ? posix_errno() : len;
}

/* The ACL of a caller outside the file's group ends its set-group-id bit; the kernel does it for all but root. */
static int kill_sgid(struct posix_node *n, const struct inlay_cred *cred)
{
	struct statx stx;
	int rc;

	if (!posix_is_privileged(cred))
		return 0;
	rc = posix_statx(n->fd, &stx);
	if (rc < 0 || !(stx.stx_mode & S_ISGID))
		return rc;
	rc = inlay_identity_enter(NULL);
	return rc < 0 ? rc : posix_chmod(n->fd, stx.stx_mode & 07777 & ~(mode_t)S_ISGID);
}

int posix_setxattr(struct inlay_store_node *node, const struct inlay_cred *cred, const char *name, const void *value,
	size_t len, uint32_t flags)
{
	struct posix_node *n = posix_node(node);
	char path[POSIX_PATH_MAX];
	int rc;

	if (posix_readonly(node->store))
		return -INLAY_EROFS;
	rc = inlay_identity_enter(cred);
	if (rc < 0)
		return rc;
	if (setxattr(posix_path(path, n->fd), name, value, len, (int)flags & (XATTR_CREATE | XATTR_REPLACE)) < 0)
		return posix_errno();
	if (flags & INLAY_XATTR_KILL_SGID && strcmp(name, "system.posix_acl_access") == 0)
		return kill_sgid(n, cred);
	return 0;
}

int64_t posix_listxattr(struct inlay_store_node *n, const struct inlay_cred *cred, char *buf, size_t cap)
{
	char path[POSIX_PATH_MAX];
	int rc = inlay_identity_enter(cred);
	ssize_t len;

	if (rc < 0)
		return rc;
	len = listxattr(posix_path(path, posix_node(n)->fd), buf, cap);
	return len < 0 ? posix_errno() : len;
}

int posix_removexattr(struct inlay_store_node *node, const struct inlay_cred *cred, const char *name)
{
	char path[POSIX_PATH_MAX];
	int rc;

	if (posix_readonly(node->store))
		return -INLAY_EROFS;
	rc = inlay_identity_enter(cred);
	if (rc < 0)
		return rc;
	return removexattr(posix_path(path, posix_node(node)->fd), name) < 0 ? posix_errno() : 0;
}

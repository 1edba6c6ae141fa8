/*
 * Extended attributes of the in-memory store. Who may touch which namespace is decided as Linux does it; values of the
 * system and security namespaces are kept as they come and mean nothing here.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <stdlib.h>
#include <string.h>

void memory_xattrs_free(struct memory_xattr *list)
{
	while (list) {
		struct memory_xattr *next = list->next;

		free(list);
		list = next;
	}
}

static struct memory_xattr *xattr_new(const char *name, const void *value, size_t len)
{
	struct memory_xattr *x = malloc(sizeof(*x) + len);

	if (!x)
		return NULL;
	x->next = NULL;
	x->len = len;
	memcpy(x->name, name, strlen(name) + 1);
	if (len)
		memcpy(x->value, value, len);
	return x;
}

int memory_xattrs_copy(const struct memory_xattr *list, struct memory_xattr **ret)
{
	struct memory_xattr *copy = NULL, **tail = &copy;

	for (; list; list = list->next) {
		*tail = xattr_new(list->name, list->value, list->len);
		if (!*tail) {
			memory_xattrs_free(copy);
			return -INLAY_ENOMEM;
		}
		tail = &(*tail)->next;
	}
	*ret = copy;
	return 0;
}

static bool is_in(const char *name, const char *space)
{
	return strncmp(name, space, strlen(space)) == 0;
}

static int check_user(const struct memory_inode *inode, const struct inlay_cred *cred, bool write)
{
	bool sticky_dir = memory_is(inode, MEMORY_S_IFDIR) && (inode->live.attr.mode & MEMORY_S_ISVTX);

	if (!memory_is(inode, MEMORY_S_IFREG) && !memory_is(inode, MEMORY_S_IFDIR))
		return write ? -INLAY_EPERM : -INLAY_ENODATA;
	if (write && sticky_dir && !memory_owns(inode, cred))
		return -INLAY_EPERM;
	return memory_may(inode, cred, write ? INLAY_ACCESS_W : INLAY_ACCESS_R);
}

static int check_name(const struct memory_inode *inode, const struct inlay_cred *cred, const char *name, bool write)
{
	size_t len = strlen(name);
	int r;

	if (len == 0 || len > INLAY_XATTR_NAME_MAX)
		return -INLAY_ERANGE;
	if (is_in(name, "user.")) {
		r = check_user(inode, cred, write);
		return r == 0 && len == strlen("user.") ? -INLAY_EINVAL : r;
	}
	if (is_in(name, "trusted.")) {
		if (!memory_is_super(cred))
			return write ? -INLAY_EPERM : -INLAY_ENODATA;
		return 0;
	}
	if (is_in(name, "security."))
		return write && !memory_is_super(cred) ? -INLAY_EPERM : 0;
	if (strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0)
		return write && !memory_owns(inode, cred) ? -INLAY_EPERM : 0;
	r = memory_may(inode, cred, write ? INLAY_ACCESS_W : INLAY_ACCESS_R);
	return r < 0 ? r : -INLAY_ENOTSUP;
}

/* The link that holds the attribute, or the list's end. */
static struct memory_xattr **find(struct memory_inode *inode, const char *name)
{
	struct memory_xattr **at = &inode->live.xattrs;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

int64_t memory_op_getxattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, void *buf,
                           size_t cap)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_getxattr);
	const struct memory_xattr *x;

	if (r == 0)
		r = check_name(inode, cred, name, false);
	if (r < 0)
		return r;
	x = *find(inode, name);
	if (!x)
		return -INLAY_ENODATA;
	if (cap && cap < x->len)
		return -INLAY_ERANGE;
	if (cap)
		memcpy(buf, x->value, x->len);
	return (int64_t)x->len;
}

int memory_op_setxattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name, const void *value,
                       size_t len, uint32_t flags)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_setxattr);
	struct memory_xattr **at, *x, *old;

	if (r < 0)
		return r;
	if (flags & ~(uint32_t)(INLAY_XATTR_CREATE | INLAY_XATTR_REPLACE | INLAY_XATTR_KILL_SGID))
		return -INLAY_EINVAL;
	if (len > INLAY_XATTR_VALUE_MAX)
		return -INLAY_ETOOBIG;
	r = check_name(inode, cred, name, true);
	if (r < 0)
		return r;
	at = find(inode, name);
	old = *at;
	if (old && (flags & INLAY_XATTR_CREATE))
		return -INLAY_EEXIST;
	if (!old && (flags & INLAY_XATTR_REPLACE))
		return -INLAY_ENODATA;
	x = xattr_new(name, value, len);
	if (!x)
		return -INLAY_ENOMEM;
	x->next = old ? old->next : NULL;
	*at = x;
	free(old);
	if ((flags & INLAY_XATTR_KILL_SGID) && strcmp(name, "system.posix_acl_access") == 0)
		inode->live.attr.mode &= ~MEMORY_S_ISGID;
	memory_touch(inode, false);
	return 0;
}

static bool is_listed(const struct memory_xattr *x, const struct inlay_cred *cred)
{
	return memory_is_super(cred) || !is_in(x->name, "trusted.");
}

int64_t memory_op_listxattr(struct inlay_store_node *n, const struct inlay_cred *cred, char *buf, size_t cap)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_listxattr);
	size_t total = 0;

	if (r < 0)
		return r;
	for (const struct memory_xattr *x = inode->live.xattrs; x; x = x->next)
		if (is_listed(x, cred))
			total += strlen(x->name) + 1;
	if (cap == 0)
		return (int64_t)total;
	if (cap < total)
		return -INLAY_ERANGE;
	for (const struct memory_xattr *x = inode->live.xattrs; x; x = x->next) {
		if (!is_listed(x, cred))
			continue;
		memcpy(buf, x->name, strlen(x->name) + 1);
		buf += strlen(x->name) + 1;
	}
	return (int64_t)total;
}

int memory_op_removexattr(struct inlay_store_node *n, const struct inlay_cred *cred, const char *name)
{
	struct memory_inode *inode = memory_inode(n);
	MEMORY_LOCKED(n->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_removexattr);
	struct memory_xattr **at, *old;

	if (r == 0)
		r = check_name(inode, cred, name, true);
	if (r < 0)
		return r;
	at = find(inode, name);
	old = *at;
	if (!old)
		return -INLAY_ENODATA;
	*at = old->next;
	free(old);
	memory_touch(inode, false);
	return 0;
}

/*
 * Attributes: reading them, changing them, access checks.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

int posix_statx(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, POSIX_STATX_MASK, ret) < 0)
		return posix_errno();
	return 0;
}

static struct inlay_time time_of(const struct statx_timestamp *t)
{
	return (struct inlay_time){.sec = t->tv_sec, .nsec = t->tv_nsec};
}

/*
 * The kernel keeps its change counter to itself. ctime moves with every change; where the file system's clock is
 * coarse (before 6.13, and few since) two changes in one tick look alike unless size or mtime tell them apart.
 */
static uint64_t change_of(const struct statx *stx)
{
	uint64_t change = (uint64_t)stx->stx_ctime.tv_sec * 1000000000u + stx->stx_ctime.tv_nsec;

	change = change * 0x9e3779b97f4a7c15u + stx->stx_size;
	change = change * 0x9e3779b97f4a7c15u + (uint64_t)stx->stx_mtime.tv_sec;
	return change * 0x9e3779b97f4a7c15u + stx->stx_mtime.tv_nsec;
}

void posix_attr(const struct statx *stx, struct inlay_attr *ret)
{
	*ret = (struct inlay_attr){
		.ino = stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.change = change_of(stx),
		.atime = time_of(&stx->stx_atime),
		.mtime = time_of(&stx->stx_mtime),
		.ctime = time_of(&stx->stx_ctime),
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = stx->stx_uid,
		.gid = stx->stx_gid,
		.rdev_major = stx->stx_rdev_major,
		.rdev_minor = stx->stx_rdev_minor,
		.blksize = stx->stx_blksize,
	};
	if (stx->stx_mask & STATX_BTIME)
		ret->btime = time_of(&stx->stx_btime);
}

int posix_fd_attr(int fd, struct inlay_attr *ret)
{
	struct statx stx;
	int rc = posix_statx(fd, &stx);

	if (rc >= 0)
		posix_attr(&stx, ret);
	return rc;
}

int posix_getattr(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_attr *ret_attr)
{
	(void)file; /* the node's descriptor is of the same inode */
	return posix_fd_attr(posix_node(n)->fd, ret_attr);
}

bool posix_is_privileged(const struct inlay_cred *cred)
{
	return !cred || cred->uid == 0 || !inlay_identity_can_switch();
}

int posix_chmod(int fd, mode_t mode)
{
	char path[POSIX_PATH_MAX];

	if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOSYS)
		return posix_errno();
	return chmod(posix_path(path, fd), mode) < 0 ? posix_errno() : 0;
}

/* Clears these bits as the process itself. */
static int mode_clear(int fd, const struct statx *stx, mode_t bits)
{
	int rc = inlay_identity_enter(NULL);

	return rc < 0 ? rc : posix_chmod(fd, (mode_t)(stx->stx_mode & 07777) & ~bits);
}

int posix_kill_priv(int fd)
{
	struct statx stx;
	mode_t bits = 0;
	int rc = posix_statx(fd, &stx);

	if (rc < 0 || !S_ISREG(stx.stx_mode))
		return rc;
	if (stx.stx_mode & S_ISUID)
		bits |= S_ISUID;
	if ((stx.stx_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		bits |= S_ISGID;
	return bits ? mode_clear(fd, &stx, bits) : 0;
}

static int set_size(struct posix_node *n, struct inlay_store_file *file, uint64_t size)
{
	char path[POSIX_PATH_MAX];
	int rc;

	if (size > INT64_MAX)
		return -INLAY_EFBIG;
	if (n->type == S_IFDIR)
		return -INLAY_EISDIR;
	if (n->type != S_IFREG)
		return -INLAY_EINVAL;
	if (file && !file->is_dir && (file->flags & INLAY_O_ACCMODE) != INLAY_O_RDONLY)
		rc = (int)TEMP_FAILURE_RETRY(ftruncate(posix_file(file)->fd, (off_t)size));
	else
		rc = (int)TEMP_FAILURE_RETRY(truncate(posix_path(path, n->fd), (off_t)size));
	return rc < 0 ? posix_errno() : 0;
}

static struct timespec time_choice(uint32_t valid, uint32_t set, uint32_t now, struct inlay_time t)
{
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (valid & set)
		return (struct timespec){.tv_sec = t.sec, .tv_nsec = t.nsec};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(struct posix_node *n, const struct inlay_store_attr_change *c)
{
	struct timespec times[2] = {
		time_choice(c->valid, INLAY_SET_ATIME, INLAY_SET_ATIME_NOW, c->atime),
		time_choice(c->valid, INLAY_SET_MTIME, INLAY_SET_MTIME_NOW, c->mtime),
	};

	/* UTIME_NOW and UTIME_OMIT are numbers beyond a second: not for clients to say. */
	if (c->atime.nsec > 999999999 || c->mtime.nsec > 999999999)
		return -INLAY_EINVAL;
	return utimensat(n->fd, "", times, AT_EMPTY_PATH) < 0 ? posix_errno() : 0;
}

static int set_owner(struct posix_node *n, const struct inlay_store_attr_change *c)
{
	uid_t uid = c->valid & INLAY_SET_UID ? c->uid : (uid_t)-1;
	gid_t gid = c->valid & INLAY_SET_GID ? c->gid : (gid_t)-1;

	return fchownat(n->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? posix_errno() : 0;
}

int posix_setattr(struct inlay_store_node *node, struct inlay_store_file *file, const struct inlay_cred *cred,
	const struct inlay_store_attr_change *c, struct inlay_attr *ret_attr)
{
	struct posix_node *n = posix_node(node);
	int rc;

	if (posix_readonly(node->store))
		return -INLAY_EROFS;
	rc = inlay_identity_enter(cred);
	/* Owner first: changing it drops set-id bits that a mode given along sets. Times last: a size moves them. */
	if (rc >= 0 && c->valid & (INLAY_SET_UID | INLAY_SET_GID))
		rc = set_owner(n, c);
	if (rc >= 0 && c->valid & INLAY_SET_MODE)
		rc = posix_chmod(n->fd, c->mode & 07777);
	if (rc >= 0 && c->valid & INLAY_SET_SIZE)
		rc = set_size(n, file, c->size);
	if (rc >= 0 && c->valid & (INLAY_SET_ATIME | INLAY_SET_MTIME | INLAY_SET_ATIME_NOW | INLAY_SET_MTIME_NOW))
		rc = set_times(n, c);
	if (rc >= 0 && c->valid & INLAY_SET_KILL_PRIV && !(c->valid & INLAY_SET_MODE) && posix_is_privileged(cred))
		rc = posix_kill_priv(n->fd);
	return rc < 0 ? rc : posix_fd_attr(n->fd, ret_attr);
}

int posix_access(struct inlay_store_node *node, const struct inlay_cred *cred, uint32_t mask)
{
	struct posix_node *n = posix_node(node);
	bool special = n->type == S_IFIFO || n->type == S_IFSOCK || n->type == S_IFCHR || n->type == S_IFBLK;
	int rc = inlay_identity_enter(cred);

	if (rc < 0)
		return rc;
	if (mask & ~(uint32_t)(R_OK | W_OK | X_OK))
		return -INLAY_EINVAL;
	/* AT_EACCESS: the file-system identity counts, which is the caller's. */
	if (syscall(SYS_faccessat2, n->fd, "", mask, AT_EMPTY_PATH | AT_EACCESS) < 0)
		return posix_errno();
	return mask & INLAY_ACCESS_W && !special && posix_readonly(node->store) ? -INLAY_EROFS : 0;
}

int posix_readlink(struct inlay_store_node *node, char *buf, size_t cap)
{
	struct posix_node *n = posix_node(node);
	ssize_t len;

	if (n->type != S_IFLNK)
		return -INLAY_EINVAL;
	len = readlinkat(n->fd, "", buf, cap);
	return len < 0 ? posix_errno() : (int)len;
}

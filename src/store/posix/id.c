/*
 * A node's lasting identity: the kernel's file handle, or device and inode number where there are no handles.
 * An id from outside is checked by the kernel only: it may name any file of the file system, beneath the root or not.
 * Who hands ids to strangers has to seal them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

union posix_handle {
	struct file_handle head;
	uint8_t space[sizeof(struct file_handle) + POSIX_HANDLE_MAX];
};

/* name "" with AT_EMPTY_PATH in flags: fd itself. False and errno where there is no handle that fits. */
static bool handle_get(int fd, const char *name, int flags, union posix_handle *h, int *ret_mount)
{
	h->head.handle_bytes = POSIX_HANDLE_MAX;
	if (name_to_handle_at(fd, name, &h->head, ret_mount, flags) < 0)
		return false;
	/* Types have a byte; the kernel keeps the bits above for its own options. */
	if (h->head.handle_type >= 0 && h->head.handle_type <= 0xff)
		return true;
	errno = EOVERFLOW;
	return false;
}

static void id_from_handle(const union posix_handle *h, unsigned mount, struct inlay_store_id *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->bytes[0] = POSIX_ID_HANDLE;
	ret->bytes[1] = (uint8_t)h->head.handle_type;
	inlay_store16(ret->bytes + 2, (uint16_t)mount);
	memcpy(ret->bytes + 4, h->head.f_handle, h->head.handle_bytes);
	ret->len = 4 + h->head.handle_bytes;
}

static void id_from_inode(const struct statx *stx, struct inlay_store_id *ret)
{
	uint64_t born = 0;

	/* Without a birth time a number may be reused, but not while someone still holds the pinned node. */
	if (stx->stx_mask & STATX_BTIME)
		born = (uint64_t)stx->stx_btime.tv_sec * 1000000000u + stx->stx_btime.tv_nsec;
	memset(ret, 0, sizeof(*ret));
	ret->bytes[0] = POSIX_ID_INODE;
	inlay_store64(ret->bytes + 4, makedev(stx->stx_dev_major, stx->stx_dev_minor));
	inlay_store64(ret->bytes + 12, stx->stx_ino);
	inlay_store64(ret->bytes + 20, born);
	ret->len = 28;
}

/* The index of a registered file system, or -1. */
static int mount_index(struct posix_store *s, dev_t dev)
{
	int found = -1;

	pthread_mutex_lock(&s->mounts_lock);
	for (unsigned i = 0; i < s->mount_count && found < 0; i++)
		if (s->mounts[i].dev == dev)
			found = (int)i;
	pthread_mutex_unlock(&s->mounts_lock);
	return found;
}

/* Takes fd over if it is the first of its file system. */
static int mount_add(struct posix_store *s, dev_t dev, int fd)
{
	unsigned i;

	pthread_mutex_lock(&s->mounts_lock);
	for (i = 0; i < s->mount_count && s->mounts[i].dev != dev; i++)
		;
	if (i == s->mount_count && i < POSIX_MOUNTS_MAX) {
		s->mounts[i] = (struct posix_mount){dev, fd};
		s->mount_count++;
		fd = -1;
	}
	pthread_mutex_unlock(&s->mounts_lock);
	if (fd >= 0)
		close(fd);
	return i < POSIX_MOUNTS_MAX ? (int)i : -1;
}

/* The index of the file system that fd lies on; -1 when its handles can't be opened. */
static int mount_of(struct posix_store *s, int fd, const struct statx *stx, union posix_handle *h)
{
	dev_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
	int index = mount_index(s, dev), plain, again;

	if (index >= 0 || !(s->flags & INLAY_POSIX_CROSS_MOUNTS) || !s->mount_count)
		return index;
	/* The first node of a file system entered beneath the root is the root of that mount. */
	if (!S_ISDIR(stx->stx_mode) || inlay_identity_enter(NULL) < 0)
		return -1;
	plain = posix_reopen(fd, O_RDONLY | O_DIRECTORY);
	if (plain < 0)
		return -1;
	again = open_by_handle_at(plain, &h->head, O_PATH | O_CLOEXEC);
	if (again < 0) {
		close(plain);
		return -1;
	}
	close(again);
	return mount_add(s, dev, plain);
}

int posix_id_of(struct posix_store *s, int fd, const struct statx *stx, struct inlay_store_id *ret)
{
	union posix_handle h;
	int mount_id, index;

	if (s->mount_count && handle_get(fd, "", AT_EMPTY_PATH, &h, &mount_id)) {
		index = mount_of(s, fd, stx, &h);
		if (index >= 0) {
			id_from_handle(&h, (unsigned)index, ret);
			return 0;
		}
	}
	id_from_inode(stx, ret);
	return 0;
}

static int inode_id_of_name(struct posix_store *s, int dir_fd, const char *name, struct inlay_store_id *ret)
{
	struct statx stx;

	if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, POSIX_STATX_MASK, &stx) < 0)
		return posix_errno();
	if (stx.stx_mnt_id != s->root_mount_unique)
		return s->flags & INLAY_POSIX_CROSS_MOUNTS ? -INLAY_EAGAIN : -INLAY_EXDEV;
	id_from_inode(&stx, ret);
	return 0;
}

int posix_id_of_name(struct posix_node *dir, const char *name, struct inlay_store_id *ret)
{
	struct posix_store *s = posix_node_store(dir);
	union posix_handle h;
	int mount_id;

	if (!s->mount_count)
		return inode_id_of_name(s, dir->fd, name, ret);
	if (!handle_get(dir->fd, name, 0, &h, &mount_id))
		return errno == EOPNOTSUPP || errno == EOVERFLOW ? -INLAY_EAGAIN : posix_errno();
	if (mount_id != s->root_mount_id)
		return s->flags & INLAY_POSIX_CROSS_MOUNTS ? -INLAY_EAGAIN : -INLAY_EXDEV;
	id_from_handle(&h, 0, ret);
	return 0;
}

int posix_id_open(struct posix_store *s, const struct inlay_store_id *id)
{
	union posix_handle h, again;
	unsigned index;
	int fd = -1, rc, mount_id;

	if (id->len <= 4 || id->len > sizeof(id->bytes) || id->bytes[0] != POSIX_ID_HANDLE)
		return -INLAY_ESTALE;
	index = (unsigned)(id->bytes[2] | id->bytes[3] << 8);
	h.head.handle_type = id->bytes[1];
	h.head.handle_bytes = id->len - 4;
	memcpy(h.head.f_handle, id->bytes + 4, id->len - 4);
	rc = inlay_identity_enter(NULL);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->mounts_lock);
	if (index < s->mount_count)
		fd = s->mounts[index].fd;
	pthread_mutex_unlock(&s->mounts_lock);
	if (fd < 0)
		return -INLAY_ESTALE;
	fd = (int)TEMP_FAILURE_RETRY(open_by_handle_at(fd, &h.head, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return errno == EINVAL || errno == ENOENT ? -INLAY_ESTALE : posix_errno();
	/* Some file systems take generation 0 for any: only the id that we would give out ourselves is one. */
	if (!handle_get(fd, "", AT_EMPTY_PATH, &again, &mount_id) || again.head.handle_type != h.head.handle_type ||
		again.head.handle_bytes != h.head.handle_bytes ||
		memcmp(again.head.f_handle, h.head.f_handle, h.head.handle_bytes) != 0) {
		close(fd);
		return -INLAY_ESTALE;
	}
	return fd;
}

bool posix_id_handles_work(struct posix_store *s)
{
	union posix_handle h;
	struct statx stx;
	int fd;

	if (posix_statx(s->root_fd, &stx) < 0)
		return false;
	s->root_mount_unique = stx.stx_mnt_id;
	if (!handle_get(s->root_fd, "", AT_EMPTY_PATH, &h, &s->root_mount_id))
		return false;
	fd = open_by_handle_at(s->root_fd, &h.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(fd);
	fd = fcntl(s->root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return false;
	mount_add(s, makedev(stx.stx_dev_major, stx.stx_dev_minor), fd);
	return true;
}

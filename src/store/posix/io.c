/*
 * Data of open files. All I/O is positional: the descriptor's own offset means nothing.
 * Changes run as the opener, so that the kernel counts quotas and drops set-id bits as for a local program.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <fcntl.h>
#include <sys/uio.h>

#define COPY_MAX (1u << 30) /* bytes at once: what the kernel takes, and no thread is gone for minutes */

_Static_assert(INLAY_FALLOC_KEEP_SIZE == FALLOC_FL_KEEP_SIZE && INLAY_FALLOC_PUNCH_HOLE == FALLOC_FL_PUNCH_HOLE &&
		       INLAY_FALLOC_COLLAPSE == FALLOC_FL_COLLAPSE_RANGE && INLAY_FALLOC_ZERO == FALLOC_FL_ZERO_RANGE &&
		       INLAY_FALLOC_INSERT == FALLOC_FL_INSERT_RANGE && INLAY_FALLOC_UNSHARE == FALLOC_FL_UNSHARE_RANGE,
	"modes go to the kernel as they are");

static ssize_t read_some(int fd, void *buf, size_t len, uint64_t off, bool nowait)
{
	struct iovec iov = {buf, len};
	ssize_t got;

	if (nowait) {
		got = TEMP_FAILURE_RETRY(preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT));
		if (got >= 0 || errno != EOPNOTSUPP)
			return got;
	}
	return TEMP_FAILURE_RETRY(pread(fd, buf, len, (off_t)off));
}

int64_t posix_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags)
{
	int fd = posix_file(f)->fd;
	size_t done = 0;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return -INLAY_EINVAL;
	/* A short answer may be the end of what is cached, or of the file: only an empty one is the end of file. */
	while (done < len) {
		ssize_t got = read_some(fd, (char *)buf + done, len - done, off + done, flags & INLAY_STORE_NOWAIT);

		if (got < 0)
			return posix_errno();
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (int64_t)done;
}

/* kill: drop set-id bits. Before the data, so that no new content ever has them. */
static int change_begin(struct posix_file *f, bool kill)
{
	int rc = posix_readonly(f->base.store) ? -INLAY_EROFS : 0;

	/* Where the kernel does it by itself no call is spent. */
	if (rc >= 0 && kill && posix_is_privileged(f->cred))
		rc = posix_kill_priv(f->fd);
	return rc < 0 ? rc : inlay_identity_enter(f->cred);
}

static int write_host_flags(uint32_t flags)
{
	if (flags & INLAY_WRITE_FILE_SYNC)
		return RWF_SYNC;
	return flags & INLAY_WRITE_DATA_SYNC ? RWF_DSYNC : 0;
}

/* In one piece, whose end the kernel leaves as the descriptor's position: others may have appended by the time that one asks for a size. */
static int64_t append(struct posix_file *f, const void *buf, size_t len, int host, uint64_t *ret_end)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	int64_t put;
	off_t end;

	pthread_mutex_lock(f->position);
	put = TEMP_FAILURE_RETRY(pwritev2(f->fd, &iov, 1, -1, host | RWF_APPEND));
	if (put < 0)
		put = posix_errno();
	end = lseek(f->fd, 0, SEEK_CUR);
	pthread_mutex_unlock(f->position);
	if (put >= 0)
		*ret_end = end < 0 ? 0 : (uint64_t)end;
	return put;
}

static int64_t put_at(struct posix_file *f, uint64_t off, const void *buf, size_t len, int host)
{
	size_t done = 0;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return -INLAY_EFBIG;
	/* What may only be appended to has no places. */
	if (f->position && fcntl(f->fd, F_GETFL) & O_APPEND)
		return -INLAY_EPERM;
	while (done < len) {
		struct iovec iov = {(char *)(uintptr_t)buf + done, len - done};
		ssize_t put = TEMP_FAILURE_RETRY(pwritev2(f->fd, &iov, 1, (off_t)(off + done), host));

		if (put < 0 && done == 0)
			return posix_errno();
		if (put <= 0)
			break;
		done += (size_t)put;
	}
	return (int64_t)done;
}

int64_t posix_write(
	struct inlay_store_file *file, uint64_t off, const void *buf, size_t len, uint32_t flags, uint64_t *ret_size)
{
	struct posix_file *f = posix_file(file);
	int host = write_host_flags(flags), rc = change_begin(f, flags & INLAY_WRITE_KILL_PRIV);
	int64_t put;

	if (rc < 0)
		return rc;
	if (f->position && !(flags & INLAY_WRITE_AT))
		return append(f, buf, len, host, ret_size);
	put = put_at(f, off, buf, len, host);
	if (put >= 0)
		*ret_size = 0;
	return put;
}

int posix_commit(struct inlay_store_file *f, uint32_t flags)
{
	int fd = posix_file(f)->fd, rc;

	/* No retry: the kernel reports a failed write-back once. */
	rc = flags & INLAY_COMMIT_DATA_ONLY ? fdatasync(fd) : fsync(fd);
	return rc < 0 ? posix_errno() : 0;
}

int posix_fallocate_op(struct inlay_store_file *file, uint64_t off, uint64_t len, uint32_t mode, uint32_t write_flags)
{
	struct posix_file *f = posix_file(file);
	int rc = change_begin(f, write_flags & INLAY_WRITE_KILL_PRIV);

	if (rc < 0)
		return rc;
	if (mode & ~(uint32_t)INLAY_FALLOC_KNOWN)
		return -INLAY_ENOTSUP;
	if (off > INT64_MAX || len > INT64_MAX - off)
		return -INLAY_EFBIG;
	if (TEMP_FAILURE_RETRY(fallocate(f->fd, (int)mode, (off_t)off, (off_t)len)) < 0)
		return posix_errno();
	return 0;
}

int64_t posix_seek(struct inlay_store_file *f, uint64_t off, uint32_t whence)
{
	off_t found;

	if (whence != INLAY_SEEK_DATA && whence != INLAY_SEEK_HOLE)
		return -INLAY_EINVAL;
	if (off > INT64_MAX)
		return -INLAY_ENXIO;
	found = lseek(posix_file(f)->fd, (off_t)off, whence == INLAY_SEEK_DATA ? SEEK_DATA : SEEK_HOLE);
	return found < 0 ? posix_errno() : (int64_t)found;
}

int64_t posix_copy(
	struct inlay_store_file *from, uint64_t from_off, struct inlay_store_file *to, uint64_t to_off, uint64_t len)
{
	struct posix_file *target = posix_file(to);
	off_t in = (off_t)from_off, out = (off_t)to_off;
	int rc = change_begin(target, false);
	ssize_t done;

	if (rc < 0)
		return rc;
	if (target->position)
		return -INLAY_EBADF;
	if (from_off > INT64_MAX || to_off > INT64_MAX)
		return -INLAY_EINVAL;
	done = TEMP_FAILURE_RETRY(copy_file_range(
		posix_file(from)->fd, &in, target->fd, &out, len < COPY_MAX ? (size_t)len : COPY_MAX, 0));
	if (done >= 0)
		return done;
	/* Between file systems, or where there is none: the caller copies by reading and writing. */
	return errno == EXDEV || errno == ENOSYS ? -INLAY_ENOTSUP : posix_errno();
}

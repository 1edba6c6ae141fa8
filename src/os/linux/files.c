/*
 * Files here, on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/files.h"

#include "base/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct inlay_dir {
	DIR *stream;
};

static int at_of(const struct inlay_dir *d)
{
	return d ? dirfd(d->stream) : AT_FDCWD;
}

static int failed(void)
{
	return inlay_status_from_errno(errno);
}

static int result(int host)
{
	return host < 0 ? failed() : host;
}

static int stat_result(int host, const struct stat *st, struct inlay_file_info *ret)
{
	if (host < 0)
		return failed();
	*ret = (struct inlay_file_info){.mode = st->st_mode, .size = (uint64_t)st->st_size,
		.mtime = {.sec = st->st_mtim.tv_sec, .nsec = (uint32_t)st->st_mtim.tv_nsec}};
	return 0;
}

/* ---- names ---- */

int inlay_file_info(struct inlay_dir *at, const char *name, bool follow, struct inlay_file_info *ret)
{
	struct stat st;

	return stat_result(fstatat(at_of(at), name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW), &st, ret);
}

int inlay_file_open(struct inlay_dir *at, const char *name, bool follow)
{
	return result(openat(at_of(at), name, O_RDONLY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW | O_NONBLOCK)));
}

int inlay_file_create(struct inlay_dir *at, const char *name, uint32_t mode, bool follow)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);

	return result(openat(at_of(at), name, flags, mode));
}

int inlay_link_read(struct inlay_dir *at, const char *name, char target[INLAY_TARGET_MAX + 1])
{
	ssize_t n = readlinkat(at_of(at), name, target, INLAY_TARGET_MAX);

	if (n < 0)
		return failed();
	target[n] = '\0';
	return 0;
}

int inlay_link_make(struct inlay_dir *at, const char *name, const char *target)
{
	return result(symlinkat(target, at_of(at), name));
}

/* ---- directories ---- */

int inlay_dir_open(struct inlay_dir *at, const char *name, bool follow, struct inlay_dir **ret)
{
	int fd = openat(at_of(at), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	struct inlay_dir *d;

	if (fd < 0)
		return failed();
	d = malloc(sizeof(*d));
	if (d)
		d->stream = fdopendir(fd);
	if (!d || !d->stream) {
		free(d);
		close(fd);
		return -INLAY_ENOMEM;
	}
	*ret = d;
	return 0;
}

int inlay_dir_make(struct inlay_dir *at, const char *name, uint32_t mode)
{
	return result(mkdirat(at_of(at), name, mode));
}

int inlay_dir_next(struct inlay_dir *d, char name[INLAY_HERE_NAME_MAX + 1])
{
	struct dirent *e;

	do {
		errno = 0;
		e = readdir(d->stream);
		if (!e)
			return errno ? failed() : 0;
	} while (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
	if (strlen(e->d_name) > INLAY_HERE_NAME_MAX)
		return -INLAY_ENAMETOOLONG;
	strcpy(name, e->d_name);
	return 1;
}

int inlay_dir_info(struct inlay_dir *d, struct inlay_file_info *ret)
{
	return inlay_fd_info(dirfd(d->stream), ret);
}

int inlay_dir_set(struct inlay_dir *d, uint32_t what, const struct inlay_attr *attr)
{
	return inlay_fd_set(dirfd(d->stream), what, attr);
}

void inlay_dir_close(struct inlay_dir *d)
{
	if (!d)
		return;
	closedir(d->stream);
	free(d);
}

/* ---- open files ---- */

int inlay_fd_info(int fd, struct inlay_file_info *ret)
{
	struct stat st;

	return stat_result(fstat(fd, &st), &st, ret);
}

int inlay_fd_set(int fd, uint32_t what, const struct inlay_attr *attr)
{
	struct timespec times[2] = {{attr->atime.sec, attr->atime.nsec}, {attr->mtime.sec, attr->mtime.nsec}};

	if ((what & INLAY_SET_MODE) && fchmod(fd, attr->mode & 07777) < 0)
		return failed();
	if ((what & INLAY_SET_MTIME) && futimens(fd, times) < 0)
		return failed();
	return 0;
}

int inlay_fd_set_size(int fd, uint64_t size)
{
	return result(ftruncate(fd, (off_t)size));
}

void inlay_fd_set_sparse(int fd)
{
	(void)fd; /* any file may have holes */
}

int64_t inlay_fd_read(int fd, void *bytes, size_t len)
{
	ssize_t n;

	do {
		n = read(fd, bytes, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? failed() : n;
}

int64_t inlay_fd_read_at(int fd, void *bytes, size_t len, uint64_t off)
{
	ssize_t n;

	do {
		n = pread(fd, bytes, len, (off_t)off);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? failed() : n;
}

int inlay_fd_write_at(int fd, const void *bytes, size_t len, uint64_t off)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed();
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int64_t inlay_fd_write_some(int fd, const void *bytes, size_t len)
{
	ssize_t n;

	do {
		n = write(fd, bytes, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? failed() : n;
}

bool inlay_fd_wait_writable(int fd, unsigned ms)
{
	struct pollfd ready = {fd, POLLOUT, 0};

	return poll(&ready, 1, (int)ms) != 0;
}

int inlay_fd_find_data(int fd, uint64_t off, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t data = lseek(fd, (off_t)off, SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO)
		return -INLAY_ENXIO;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	*ret_from = hole < 0 ? off : (uint64_t)data;
	*ret_to = hole < 0 ? UINT64_MAX : (uint64_t)hole;
	return 0;
}

int inlay_fd_close(int fd)
{
	return result(close(fd));
}

/* ---- this process ---- */

unsigned inlay_terminal_columns(void)
{
	struct winsize window = {.ws_col = 0};

	if (!isatty(STDERR_FILENO))
		return 0;
	(void)ioctl(STDERR_FILENO, TIOCGWINSZ, &window);
	return window.ws_col ? window.ws_col : 80;
}

bool inlay_fd_is_terminal(int fd)
{
	return isatty(fd);
}

uint32_t inlay_umask(void)
{
	mode_t mask = umask(022);

	umask(mask);
	return mask;
}

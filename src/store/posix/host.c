/*
 * Descriptors and names: the few host calls that every operation is made of.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

const char *posix_path(char buf[POSIX_PATH_MAX], int fd)
{
	snprintf(buf, POSIX_PATH_MAX, "/proc/self/fd/%d", fd);
	return buf;
}

int posix_reopen(int fd, int host_flags)
{
	char path[POSIX_PATH_MAX];
	int got = (int)TEMP_FAILURE_RETRY(open(posix_path(path, fd), host_flags | O_CLOEXEC | O_NOCTTY));

	return got < 0 ? posix_errno() : got;
}

int posix_open_name(struct posix_node *dir, const char *name, int host_flags, mode_t mode)
{
	struct posix_store *s = posix_node_store(dir);
	struct open_how how = {
		.flags = (unsigned)(host_flags | O_NOFOLLOW | O_CLOEXEC),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (!(s->flags & INLAY_POSIX_CROSS_MOUNTS))
		how.resolve |= RESOLVE_NO_XDEV;
	/* EAGAIN: the kernel could not rule out that a rename elsewhere led out; it asks to try again. */
	do
		fd = (int)syscall(SYS_openat2, dir->fd, name, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? posix_errno() : fd;
}

void posix_name(char buf[INLAY_NAME_MAX + 1], struct inlay_str name)
{
	uint32_t len = name.len < INLAY_NAME_MAX ? name.len : INLAY_NAME_MAX;

	memcpy(buf, name.p, len);
	buf[len] = 0;
}

int64_t posix_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

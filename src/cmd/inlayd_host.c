/*
 * The host's side of inlayd: see the header.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/inlayd_host.h"

#include "base/log.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS_MAX (1u << 30)
#define PASSED_FIRST 3 /* SD_LISTEN_FDS_START */

void inlayd_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(addr.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

void inlayd_notify_reloading(void)
{
	struct timespec t;
	char text[96];

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	inlayd_notify(text);
}

size_t inlayd_passed_sockets(int fds[], size_t max)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	size_t n = 0;

	if (pid && count && strtol(pid, NULL, 10) == (long)getpid()) {
		for (int fd = PASSED_FIRST; fd < PASSED_FIRST + atoi(count) && n < max; fd++) {
			if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
				continue;
			fds[n++] = fd;
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return n;
}

static int fill(void *p, size_t len)
{
	return getrandom(p, len, 0) == (ssize_t)len ? 0 : -INLAY_EIO;
}

int inlayd_boot(struct inlay_uuid *ret)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	uint64_t half;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return fill(ret, sizeof(*ret));
	for (unsigned i = 0; i < 2; i++) {
		half = inlay_siphash(&(struct inlay_hash_key){{0, i}}, text, (size_t)n);
		memcpy(ret->bytes + 8 * i, &half, sizeof(half));
	}
	return 0;
}

static int default_dir(char *buf, size_t size)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;

	if (geteuid() == 0)
		n = snprintf(buf, size, "/var/lib/inlay");
	else if (state && state[0] == '/')
		n = snprintf(buf, size, "%s/inlay", state);
	else if (home && home[0] == '/')
		n = snprintf(buf, size, "%s/.local/state/inlay", home);
	else
		return -INLAY_ENOENT;
	return n > 0 && (size_t)n < size ? 0 : -INLAY_ENAMETOOLONG;
}

static int make_dirs(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(path, 0755);
		*p = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? inlay_status_from_errno(errno) : 0;
}

/* -INLAY_ENOENT: there is none yet. */
static int secret_read(const char *path, struct inlay_hash_key *ret)
{
	struct inlay_hash_key key;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return inlay_status_from_errno(errno);
	n = read(fd, &key, sizeof(key));
	close(fd);
	if (n != (ssize_t)sizeof(key))
		return -INLAY_EIO;
	*ret = key;
	return 0;
}

/* Written aside and linked into place, so that of two servers that start together one secret wins, whole. */
static int secret_write(const char *path, const struct inlay_hash_key *key)
{
	char aside[4200];
	int fd, r = 0;

	snprintf(aside, sizeof(aside), "%s.%ld", path, (long)getpid());
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return inlay_status_from_errno(errno);
	if (write(fd, key, sizeof(*key)) != (ssize_t)sizeof(*key) || fsync(fd) < 0 || link(aside, path) < 0)
		r = inlay_status_from_errno(errno);
	close(fd);
	unlink(aside);
	return r == -INLAY_EEXIST ? 0 : r;
}

int inlayd_state_dir(const char *state_dir, char *buf, size_t size)
{
	int n;

	if (!state_dir)
		return default_dir(buf, size);
	n = snprintf(buf, size, "%s", state_dir);
	return n > 0 && (size_t)n < size ? 0 : -INLAY_ENAMETOOLONG;
}

static int secret_kept(const char *state_dir, char *path, size_t size, struct inlay_hash_key *ret)
{
	char dir[INLAYD_STATE_DIR_MAX];
	struct inlay_hash_key key;
	int r = inlayd_state_dir(state_dir, dir, sizeof(dir));

	if (r < 0)
		return r;
	snprintf(path, size, "%s/node-id.secret", dir);
	r = secret_read(path, ret);
	if (r != -INLAY_ENOENT)
		return r;
	r = make_dirs(dir);
	if (r >= 0)
		r = fill(&key, sizeof(key));
	if (r >= 0)
		r = secret_write(path, &key);
	return r < 0 ? r : secret_read(path, ret);
}

int inlayd_secret(const char *state_dir, struct inlay_hash_key *ret)
{
	char path[4096] = "the state directory";
	int r = secret_kept(state_dir, path, sizeof(path), ret);

	if (r >= 0)
		return 0;
	inlay_warning("%s: %s: clients will have to attach again after a restart of this server; "
		"give a directory of your own with --state-dir", path, inlay_status_text(r));
	r = fill(ret, sizeof(*ret));
	return r < 0 ? r : 1;
}

uint32_t inlayd_raise_limits(void)
{
	struct rlimit l, most;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return 0;
	most = (struct rlimit){l.rlim_max, l.rlim_max};
	if (l.rlim_cur < l.rlim_max && setrlimit(RLIMIT_NOFILE, &most) == 0)
		l = most;
	return l.rlim_cur < DESCRIPTORS_MAX ? (uint32_t)l.rlim_cur : DESCRIPTORS_MAX;
}

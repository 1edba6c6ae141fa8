/*
 * What the cases share: files with known content, children, people.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <grp.h>
#include <sys/prctl.h>
#include <time.h>

void put(const char *path, const char *text)
{
	int fd = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	EQ(OK(write(fd, text, strlen(text))), strlen(text));
	OK(close(fd));
}

void want_fd(int fd, const char *text)
{
	char buf[8192];
	size_t len = 0;
	ssize_t n;
	while ((n = OK(pread(fd, buf + len, sizeof buf - 1 - len, (off_t)len))) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	if (len != strlen(text) || memcmp(buf, text, len) != 0)
		posix_fail(__FILE__, __LINE__, "content is \"%.60s\" (%zu bytes), not \"%.60s\"", buf, len, text);
}

void want(const char *path, const char *text)
{
	int fd = OK(open(path, O_RDONLY | O_CLOEXEC));
	want_fd(fd, text);
	OK(close(fd));
}

int create(const char *path, mode_t mode)
{
	mode_t old = umask(0);
	int fd = OK(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
	umask(old);
	return fd;
}

struct stat stat_of(const char *path)
{
	struct stat s;
	if (lstat(path, &s))
		posix_fail(__FILE__, __LINE__, "lstat(%.80s): %s", path, posix_errno_name(errno));
	return s;
}

struct stat fstat_of(int fd)
{
	struct stat s;
	OK(fstat(fd, &s));
	return s;
}

bool exists(const char *path)
{
	struct stat s;
	if (!lstat(path, &s))
		return true;
	EQ(errno, ENOENT);
	return false;
}

static uint8_t pattern_at(uint64_t off)
{
	uint64_t x = (off + 1) * 0x9e3779b97f4a7c15u;
	return (uint8_t)(x >> 56 ^ x >> 24);
}

void fill(void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;
	for (size_t i = 0; i < len; i++)
		p[i] = pattern_at(off + i);
}

void want_filled(const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;
	for (size_t i = 0; i < len; i++)
		if (p[i] != pattern_at(off + i))
			posix_fail(__FILE__, __LINE__, "byte %llu is %u, not %u", (unsigned long long)(off + i), p[i],
			           pattern_at(off + i));
}

int64_t time_diff_ns(struct timespec a, struct timespec b)
{
	return ((int64_t)a.tv_sec - b.tv_sec) * 1000000000 + (a.tv_nsec - b.tv_nsec);
}

struct timespec clock_now(void)
{
	struct timespec t;
	OK(clock_gettime(CLOCK_REALTIME, &t));
	return t;
}

static int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		EQ(errno, EINTR);
	if (WIFSIGNALED(status))
		posix_fail(__FILE__, __LINE__, "child killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) > 76) /* it has said why */
		_exit(WEXITSTATUS(status));
	return WEXITSTATUS(status);
}

pid_t start_child(int (*run)(void *arg), void *arg)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(run(arg));
	}
	return pid;
}

void end_child(pid_t pid)
{
	EQ(reap(pid), 0);
}

int in_child(int (*run)(void *arg), void *arg)
{
	return reap(start_child(run, arg));
}

int as_user(uid_t uid, gid_t gid, int ngroups, const gid_t *groups, int (*run)(void *arg), void *arg)
{
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setgroups((size_t)ngroups, groups));
		OK(setresgid(gid, gid, gid));
		OK(setresuid(uid, uid, uid));
		_exit(run(arg));
	}
	return reap(pid);
}

struct gate gate_new(void)
{
	struct gate g;
	OK(pipe2(g.fd, O_CLOEXEC));
	return g;
}

void gate_open(struct gate *g)
{
	EQ(OK(write(g->fd[1], "x", 1)), 1);
}

void gate_wait(struct gate *g)
{
	char c;
	EQ(OK(read(g->fd[0], &c, 1)), 1);
}

/*
 * Mounting and unmounting: mount(2) for root, fusermount3(1) for everyone else.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "intercept/fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUSERMOUNT "fusermount3"

static int mount_as_root(const struct inlay_fuse_mount_options *o, char *why, size_t why_len)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | (o->readonly ? MS_RDONLY : 0);
	char data[128];
	struct stat st;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), err;

	if (fd < 0) {
		err = inlay_status_from_errno(errno);
		snprintf(why, why_len, "/dev/fuse: %s: load the fuse module, or ask for access to the device", inlay_status_text(err));
		return err;
	}
	if (stat(o->dir, &st) < 0) {
		err = inlay_status_from_errno(errno);
		snprintf(why, why_len, "%s: %s", o->dir, inlay_status_text(err));
		close(fd);
		return err;
	}
	/* Root's programs expect set-id files and devices of the tree to work; others' mounts must not offer them. */
	if (geteuid() == 0)
		flags &= ~(unsigned long)(MS_NOSUID | MS_NODEV);
	snprintf(data, sizeof data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u%s", fd, st.st_mode & S_IFMT, getuid(),
	         getgid(), o->allow_other ? ",allow_other" : "");
	if (mount(o->source, o->dir, "fuse.inlay", flags, data) < 0) {
		err = inlay_status_from_errno(errno);
		snprintf(why, why_len, "%s: cannot mount: %s", o->dir, inlay_status_text(err));
		close(fd);
		return err;
	}
	return fd;
}

/* ---- fusermount3: does it for us and sends the descriptor over a socket, see fusermount3(1) ---- */

static int receive_fd(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

/* The comma and the backslash have a meaning in mount options. */
static void escape(char *out, size_t cap, const char *text)
{
	size_t n = 0;

	for (; *text && n + 2 < cap; text++) {
		if (*text == ',' || *text == '\\')
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n] = '\0';
}

static void run_fusermount(const struct inlay_fuse_mount_options *o, int sock, int err_fd)
{
	char source[1024], options[1200], number[16];

	escape(source, sizeof source, o->source);
	snprintf(options, sizeof options, "fsname=%s,subtype=inlay%s%s", source, o->readonly ? ",ro" : "",
	         o->allow_other ? ",allow_other" : "");
	snprintf(number, sizeof number, "%d", sock);
	setenv("_FUSE_COMMFD", number, 1);
	dup2(err_fd, STDERR_FILENO);
	fcntl(sock, F_SETFD, 0);
	execlp(FUSERMOUNT, FUSERMOUNT, "-o", options, "--", o->dir, (char *)NULL);
	dprintf(STDERR_FILENO, "%s: not found: install Debian's fuse3", FUSERMOUNT);
	_exit(127);
}

/* What the program said, its first line only and without its own name. */
static void read_complaint(int fd, char *why, size_t why_len)
{
	char text[512];
	ssize_t n = read(fd, text, sizeof text - 1);
	const char *line = text;

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(line, FUSERMOUNT ": ", strlen(FUSERMOUNT ": ")) == 0)
		line += strlen(FUSERMOUNT ": ");
	snprintf(why, why_len, "%s", *line ? line : FUSERMOUNT " failed: run as root, or see fusermount3(1)");
}

static int mount_by_helper(const struct inlay_fuse_mount_options *o, char *why, size_t why_len)
{
	int pair[2], errs[2], status, fd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return inlay_status_from_errno(errno);
	if (pipe2(errs, O_CLOEXEC) < 0) {
		close(pair[0]);
		close(pair[1]);
		return inlay_status_from_errno(errno);
	}
	pid = fork();
	if (pid == 0)
		run_fusermount(o, pair[1], errs[1]);
	close(pair[1]);
	close(errs[1]);
	fd = pid < 0 ? -1 : receive_fd(pair[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (fd < 0)
		read_complaint(errs[0], why, why_len);
	else
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	close(pair[0]);
	close(errs[0]);
	return fd < 0 ? -INLAY_EPERM : fd;
}

int inlay_fuse_mount(const struct inlay_fuse_mount_options *o, char *why, size_t why_len)
{
	return geteuid() == 0 ? mount_as_root(o, why, why_len) : mount_by_helper(o, why, why_len);
}

static int unmount_by_helper(const char *dir, bool lazy)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		execlp(FUSERMOUNT, FUSERMOUNT, lazy ? "-uzq" : "-uq", "--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return inlay_status_from_errno(errno);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return -INLAY_EBUSY;
}

int inlay_fuse_unmount(const char *dir, bool lazy)
{
	if (geteuid() != 0)
		return unmount_by_helper(dir, lazy);
	return umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH | MNT_FORCE : 0)) == 0 ? 0 : inlay_status_from_errno(errno);
}

/*
 * The guardian.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/guardian.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASTE_MS 50u  /* a redirector that serves for less than this may be dying of what it took over */
#define HASTES_MOST 100u
#define WAIT_MS 200u    /* before each but the first few of those */

enum word { KEEP = 1, ALL, READY, BYE };

/* A datagram; with KEEP comes a descriptor, with ALL the program's path. */
struct message {
	unsigned word, place;
	char text[PATH_MAX];
};

void inlay_kept_init(struct inlay_kept *k)
{
	for (unsigned i = 0; i < INLAY_KEPT_MOST; i++)
		k->fd[i] = -1;
	*k->program = '\0';
}

void inlay_kept_done(struct inlay_kept *k)
{
	for (unsigned i = 0; i < INLAY_KEPT_MOST; i++) {
		if (k->fd[i] >= 0)
			close(k->fd[i]);
		k->fd[i] = -1;
	}
}

/* ---- datagrams ---- */

static int send_message(int sock, const struct message *m, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)m, m->word == ALL ? sizeof *m : offsetof(struct message, text)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		h.msg_control = control.room;
		h.msg_controllen = sizeof control.room;
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	do {
		n = sendmsg(sock, &h, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? inlay_status_from_errno(errno) : 0;
}

/* 1; 0 at the end of file; or a status. *ret_fd: the caller's, -1 for none. */
static int receive_message(int sock, struct message *ret, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {ret, sizeof *ret};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	ssize_t n;

	memset(ret, 0, sizeof *ret);
	*ret_fd = -1;
	do {
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return inlay_status_from_errno(errno);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	}
	ret->text[sizeof ret->text - 1] = '\0';
	return n > 0;
}

static int tell_all(int sock, const struct inlay_kept *k)
{
	struct message all = {.word = ALL};
	int err = 0;

	for (unsigned i = 0; err == 0 && i < INLAY_KEPT_MOST; i++) {
		if (k->fd[i] >= 0)
			err = send_message(sock, &(struct message){.word = KEEP, .place = i}, k->fd[i]);
	}
	snprintf(all.text, sizeof all.text, "%s", k->program);
	return err < 0 ? err : send_message(sock, &all, -1);
}

int inlay_guardian_receive(int sock, struct inlay_kept *ret)
{
	struct message m;
	int r, fd;

	inlay_kept_init(ret);
	while ((r = receive_message(sock, &m, &fd)) > 0) {
		if (m.word == KEEP && fd >= 0 && m.place < INLAY_KEPT_MOST && ret->fd[m.place] < 0) {
			ret->fd[m.place] = fd;
			continue;
		}
		if (fd >= 0)
			close(fd);
		if (m.word != ALL)
			break;
		snprintf(ret->program, sizeof ret->program, "%s", m.text);
		return 0;
	}
	inlay_kept_done(ret);
	return r < 0 ? r : -INLAY_EPROTO;
}

/* ---- starting one another ---- */

/* Between fork and exec, where threads may have run: nothing but system calls. */
static void become(const char *program, const char *word, int sock)
{
	char number[16], *const argv[] = {"inlay", (char *)(uintptr_t)word, number, NULL};
	unsigned digits = 0;
	char reversed[16];

	for (unsigned n = (unsigned)sock; n || !digits; n /= 10)
		reversed[digits++] = (char)('0' + n % 10);
	for (unsigned i = 0; i < digits; i++)
		number[i] = reversed[digits - 1 - i];
	number[digits] = '\0';
	setsid();
	if (fcntl(sock, F_SETFD, 0) < 0)
		_exit(1);
	if (*program)
		execv(program, argv);
	execv("/proc/self/exe", argv); /* it was removed, or can't be run: as we are, then */
	_exit(1);
}

/* Nobody's child: who starts it may die before it, and must not have to wait for it. Returns our end of the socket. */
static int start(const char *program, const char *word)
{
	int pair[2], status = 0;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return inlay_status_from_errno(errno);
	child = fork();
	if (child == 0) {
		pid_t grandchild = fork();

		if (grandchild == 0)
			become(program, word, pair[1]);
		_exit(grandchild < 0);
	}
	close(pair[1]);
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
		close(pair[0]);
		return -INLAY_EAGAIN;
	}
	return pair[0];
}

int inlay_guardian_start(const struct inlay_kept *k)
{
	int sock = start(k->program, INLAY_GUARDIAN_WORD);
	int err = sock < 0 ? sock : tell_all(sock, k);

	if (err < 0 && sock >= 0)
		close(sock);
	return err < 0 ? err : sock;
}

void inlay_guardian_ready(int sock)
{
	(void)send_message(sock, &(struct message){.word = READY}, -1); /* it may be gone, which is noticed elsewhere */
}

void inlay_guardian_dismiss(int sock)
{
	(void)send_message(sock, &(struct message){.word = BYE}, -1); /* it may be gone already */
}

/* ---- the guardian's own life ---- */

static void settle_in(const struct inlay_kept *k)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(fd == STDERR_FILENO && k->fd[INLAY_KEPT_LOG] >= 0 ? k->fd[INLAY_KEPT_LOG] : null, fd);
	if (null > STDERR_FILENO)
		close(null);
	if (chdir("/") < 0)
		return; /* it holds on to a directory, then */
	/* It ends with the attachment, and not before. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	inlay_log_init("inlay", STDERR_FILENO, INLAY_LOG_WARNING, INLAY_LOG_TEXT);
}

/* Nobody can come back to a mount that is gone. */
static bool is_mounted(const struct inlay_kept *k)
{
	struct pollfd p = {k->fd[INLAY_KEPT_FUSE], POLLIN, 0};

	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

/* True: the redirector ended in order; false: it died. *ret_served_ms: how long it had served. */
static bool watch(int sock, uint64_t *ret_served_ms)
{
	uint64_t ready = 0;
	struct message m;
	int fd;

	*ret_served_ms = 0;
	while (receive_message(sock, &m, &fd) > 0) {
		if (fd >= 0)
			close(fd);
		if (m.word == BYE)
			return true;
		if (m.word == READY)
			ready = inlay_clock_ms();
	}
	*ret_served_ms = ready ? inlay_clock_ms() - ready : 0;
	return false;
}

/* Nobody comes any more who would use it, or remove it. */
static void end_state(const struct inlay_kept *k)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", k->fd[INLAY_KEPT_STATE]);
	n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return;
	path[n] = '\0';
	inlay_statedir_remove(path); /* gone already, when the redirector ended in order */
}

int inlay_guardian_main(int sock)
{
	struct inlay_kept k;
	unsigned hastes = 0;
	uint64_t served;

	close_range((unsigned)sock + 1, ~0u, 0);
	if (sock > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)sock - 1, 0);
	if (fcntl(sock, F_SETFD, FD_CLOEXEC) < 0 || inlay_guardian_receive(sock, &k) < 0)
		return 1;
	settle_in(&k);
	while (!watch(sock, &served) && is_mounted(&k)) {
		close(sock);
		hastes = served < HASTE_MS ? hastes + 1 : 0;
		if (hastes > HASTES_MOST) {
			inlay_error("one redirector after the other dies: the attachment is given up");
			break;
		}
		inlay_warning("the redirector died: another takes over");
		if (hastes > HASTES_MOST / 10)
			inlay_sleep_ms(WAIT_MS);
		sock = start(k.program, INLAY_SUCCESSOR_WORD);
		if (sock < 0) {
			inlay_error("no redirector can be started: %s: the attachment is given up", inlay_status_text(sock));
			break;
		}
		(void)tell_all(sock, &k); /* one that is dead already is watched like any other */
	}
	end_state(&k);
	inlay_kept_done(&k);
	return 0;
}

/*
 * The asking side of control sockets. Every wait has a deadline: the process at the other end may be stopped.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/peer.h"

#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/json.h"
#include "cmd/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (8u * 1024u * 1024u) /* bytes */

static int time_left(uint64_t deadline_ms)
{
	uint64_t now = inlay_clock_ms();

	return now >= deadline_ms ? 0 : (int)(deadline_ms - now);
}

/* Fills a peer from a socket's path. The descriptor doesn't block: a stopped process with a full queue costs nothing. */
static int connect_to(const char *path, const struct inlay_socket_name *name, uid_t owner, struct inlay_peer *ret)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), status;

	if (fd < 0)
		return inlay_status_from_errno(errno);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		status = inlay_status_from_errno(errno);
		close(fd);
		return status;
	}
	/* A socket in a user's folder that another user serves is a trap for root. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != owner) {
		close(fd);
		return -INLAY_EPERM;
	}
	*ret = (struct inlay_peer){.name = *name, .uid = owner, .pid = cred.pid, .fd = fd, .pidfd = -1};
	if (cred.pid > 0)
		ret->pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	return 0;
}

struct search {
	struct inlay_peers peers;
	const struct inlay_socket_name *only; /* this device, NULL for all */
	int status;
};

static bool consider(const char *path, const struct inlay_socket_name *name, uid_t owner, void *arg)
{
	struct search *s = arg;
	struct inlay_peer peer, *grown;
	int status;

	if (s->only && (name->major != s->only->major || name->minor != s->only->minor))
		return true;
	status = connect_to(path, name, owner, &peer);
	if (status == -INLAY_ECONNREFUSED && owner == geteuid())
		unlink(path);
	/* A queue that is full: it's there, but won't answer. */
	if (status == -INLAY_EAGAIN)
		peer = (struct inlay_peer){.name = *name, .uid = owner, .pid = name->pid, .fd = -1, .pidfd = -1};
	else if (status < 0)
		return true;
	grown = realloc(s->peers.peer, (s->peers.count + 1) * sizeof(*grown));
	if (!grown) {
		inlay_peer_done(&peer);
		s->status = -INLAY_ENOMEM;
		return false;
	}
	s->peers.peer = grown;
	s->peers.peer[s->peers.count++] = peer;
	return true;
}

int inlay_peers_find(struct inlay_peers *ret)
{
	struct search s = {0};

	inlay_rundir_each(consider, &s);
	if (s.status < 0)
		inlay_peers_done(&s.peers);
	*ret = s.peers;
	return s.status;
}

int inlay_peer_find(unsigned major, unsigned minor, struct inlay_peer *ret)
{
	struct inlay_socket_name name = {major, minor, 0};
	struct search s = {.only = &name};

	inlay_rundir_each(consider, &s);
	if (s.status == 0 && s.peers.count == 0)
		s.status = -INLAY_ENOENT;
	if (s.status == 0) {
		*ret = s.peers.peer[0];
		s.peers.peer[0] = (struct inlay_peer){.fd = -1, .pidfd = -1};
	}
	inlay_peers_done(&s.peers);
	return s.status;
}

void inlay_peer_done(struct inlay_peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->pidfd >= 0)
		close(p->pidfd);
	free(p->text);
	*p = (struct inlay_peer){.fd = -1, .pidfd = -1};
}

void inlay_peers_done(struct inlay_peers *p)
{
	for (size_t i = 0; i < p->count; i++)
		inlay_peer_done(&p->peer[i]);
	free(p->peer);
	*p = (struct inlay_peers){NULL, 0};
}

int inlay_peer_send(struct inlay_peer *p, const char *request)
{
	struct iovec v[2] = {{(char *)(uintptr_t)request, strlen(request)}, {(char[]){'\n'}, 1}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n;

	if (p->fd < 0)
		return -INLAY_ETIMEDOUT;
	/* A line is far smaller than a socket's buffer: it goes at once or not at all. */
	n = sendmsg(p->fd, &m, MSG_NOSIGNAL);
	if (n < 0)
		return inlay_status_from_errno(errno);
	return (size_t)n == v[0].iov_len + 1 ? 0 : -INLAY_EIO;
}

/* The stream ended: is it a whole answer? */
static int finish(struct inlay_peer *p)
{
	close(p->fd);
	p->fd = -1;
	if (!p->text || strlen(p->text) != p->len || !inlay_json_valid(p->text) || *p->text != '{')
		return -INLAY_EPROTO;
	return 0;
}

int inlay_peer_receive(struct inlay_peer *p, uint64_t deadline_ms)
{
	while (p->fd >= 0) {
		struct pollfd f = {p->fd, POLLIN, 0};
		char piece[8192], *grown;
		ssize_t n;

		if (poll(&f, 1, time_left(deadline_ms)) == 0)
			return -INLAY_ETIMEDOUT;
		n = recv(p->fd, piece, sizeof(piece), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return finish(p);
		grown = p->len < ANSWER_MAX ? realloc(p->text, p->len + (size_t)n + 1) : NULL;
		if (!grown)
			return -INLAY_ENOMEM;
		p->text = grown;
		memcpy(p->text + p->len, piece, (size_t)n);
		p->len += (size_t)n;
		p->text[p->len] = '\0';
	}
	return p->text ? 0 : -INLAY_ETIMEDOUT;
}

int inlay_peer_ask(struct inlay_peer *p, const char *request, unsigned timeout_ms)
{
	int status = inlay_peer_send(p, request);

	return status < 0 ? status : inlay_peer_receive(p, inlay_clock_ms() + timeout_ms);
}

bool inlay_peer_wait_end(const struct inlay_peer *p, unsigned timeout_ms)
{
	struct pollfd f = {p->pidfd, POLLIN, 0};

	return p->pidfd < 0 || poll(&f, 1, (int)timeout_ms) != 0;
}

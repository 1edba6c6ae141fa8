/*
 * Sockets on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/socket.h"

#include "base/status.h"
#include "net/host.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* linux/tcp.h since 6.15 */
#endif
/*
 * Between two attempts to send what a network has lost: however long it was gone, programs go on a second after it is back. The
 * kernel gives a connection up after its usual number of attempts, so sooner than else, and another one is made.
 */
#define RTO_MAX_MS 1000

/* Network errors that the status list has no row for get the nearest one. */
static int net_status(int host_errno)
{
	switch (host_errno) {
	case EADDRINUSE:
		return -INLAY_EBUSY;
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
		return -INLAY_ENXIO;
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return -INLAY_EHOSTUNREACH;
	default:
		return inlay_status_from_errno(host_errno);
	}
}

int inlay_host_begin(void)
{
	return 0;
}

int inlay_host_status(void)
{
	return net_status(errno);
}

int inlay_host_resolve_status(int code)
{
	switch (code) {
	case EAI_MEMORY:
		return -INLAY_ENOMEM;
	case EAI_SYSTEM:
		return net_status(errno);
	default:
		return -INLAY_EHOSTUNREACH;
	}
}

int inlay_host_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? net_status(errno) : fd;
}

int inlay_host_connect(int fd, const struct sockaddr *s, socklen_t len)
{
	if (connect(fd, s, len) == 0)
		return 0;
	if (errno == EINPROGRESS || errno == EINTR)
		return 1;
	return net_status(errno); /* EAGAIN: a Unix socket's queue is full */
}

int inlay_host_unix_address(const struct inlay_addr *a, struct sockaddr_storage *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	size_t len = strlen(a->host);

	*ret = (struct sockaddr_storage){.ss_family = AF_UNIX};
	if (len >= sizeof(un->sun_path))
		return -INLAY_ENAMETOOLONG;
	memcpy(un->sun_path, a->host, len + 1);
	return (int)sizeof(*un);
}

size_t inlay_host_socket_prefix(const char *path)
{
	char part[sizeof(((struct inlay_addr *)NULL)->host)];
	struct stat st;

	for (size_t len = 1; len < sizeof(part); len++) {
		if (path[len - 1] == '\0')
			break;
		if (path[len] != '/' && path[len] != '\0')
			continue;
		memcpy(part, path, len);
		part[len] = '\0';
		if (stat(part, &st) == 0 && S_ISSOCK(st.st_mode))
			return len;
	}
	return 0;
}

int64_t inlay_socket_send(int fd, const struct inlay_piece *pieces, unsigned count)
{
	struct iovec iov[INLAY_SOCKET_PIECES];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;

	for (unsigned i = 0; i < count; i++)
		iov[i] = (struct iovec){(void *)(uintptr_t)pieces[i].p, pieces[i].len};
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ENOBUFS ? -INLAY_EAGAIN : inlay_status_from_errno(errno);
	return n;
}

int64_t inlay_socket_receive(int fd, void *bytes, size_t len)
{
	ssize_t n;

	do {
		n = recv(fd, bytes, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? inlay_status_from_errno(errno) : n;
}

int inlay_socket_wait(int fd, bool out, unsigned ms)
{
	struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (out ? POLLOUT : 0))};

	/* A negative descriptor is left out: poll() then only waits. */
	return poll(&p, 1, ms > INT_MAX ? -1 : (int)ms) > 0;
}

int inlay_socket_status(int fd)
{
	int host = 0;
	socklen_t len = sizeof(host);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &host, &len) < 0)
		return net_status(errno);
	return host ? net_status(host) : 0;
}

uint64_t inlay_socket_unsent(int fd)
{
	int len = 0;

	return ioctl(fd, SIOCOUTQ, &len) == 0 && len > 0 ? (uint64_t)len : 0;
}

void inlay_socket_tune(int fd)
{
	int one = 1, rto_ms = RTO_MAX_MS;

	/* None is known to Unix sockets, and a host without cubic, or older than Linux 6.15, still works. */
	setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &rto_ms, sizeof(rto_ms));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

void inlay_socket_end(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

void inlay_socket_close(int fd)
{
	close(fd);
}

/*
 * A connected pair of stream sockets for tests of connections: one end for the connection, the other for the test, which plays the
 * peer by plain calls of the host.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_NET_SUPPORT_H
#define INLAY_TESTS_NET_SUPPORT_H

#include "net/host.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32

/* By loopback TCP, with small buffers. False: the host refuses. */
static inline bool pair_make(int fds[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int len = sizeof(a), room = 65536, on = 1;
	u_long non_blocking = 1;
	SOCKET listener, s[2];

	if (inlay_host_begin() < 0)
		return false;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&a, len) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &len) != 0)
		return false;
	s[0] = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
	if (connect(s[0], (struct sockaddr *)&a, len) != 0)
		return false;
	s[1] = accept(listener, NULL, NULL);
	closesocket(listener);
	for (int i = 0; i < 2; i++) {
		setsockopt(s[i], SOL_SOCKET, SO_SNDBUF, (const char *)&room, sizeof(room));
		setsockopt(s[i], SOL_SOCKET, SO_RCVBUF, (const char *)&room, sizeof(room));
		fds[i] = (int)s[i];
	}
	setsockopt(s[1], IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof(on));
	return ioctlsocket(s[0], (long)FIONBIO, &non_blocking) == 0;
}

static inline int64_t peer_send(int fd, const void *p, size_t len)
{
	return send(inlay_host_handle(fd), p, (int)len, 0);
}

static inline int64_t peer_receive(int fd, void *p, size_t len)
{
	return recv(inlay_host_handle(fd), p, (int)len, 0);
}

static inline bool peer_readable(int fd, int ms)
{
	struct timeval time = {ms / 1000, ms % 1000 * 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(inlay_host_handle(fd), &set);
	return select(0, &set, NULL, NULL, &time) == 1;
}

static inline void peer_end_sending(int fd)
{
	shutdown(inlay_host_handle(fd), SD_SEND);
}

static inline void peer_close(int fd)
{
	if (fd >= 0)
		closesocket(inlay_host_handle(fd));
}

/* Gone, and the other end is told at once. */
static inline void peer_vanish(int fd)
{
	struct linger none = {.l_onoff = 1};

	setsockopt(inlay_host_handle(fd), SOL_SOCKET, SO_LINGER, (const char *)&none, sizeof(none));
	closesocket(inlay_host_handle(fd));
}

#else

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static inline bool pair_make(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

static inline int64_t peer_send(int fd, const void *p, size_t len)
{
	return send(fd, p, len, MSG_NOSIGNAL);
}

static inline int64_t peer_receive(int fd, void *p, size_t len)
{
	return recv(fd, p, len, 0);
}

static inline bool peer_readable(int fd, int ms)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	return poll(&ready, 1, ms) == 1;
}

static inline void peer_end_sending(int fd)
{
	shutdown(fd, SHUT_WR);
}

static inline void peer_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

static inline void peer_vanish(int fd)
{
	close(fd);
}

#endif
#endif

/*
 * Resolving and connecting.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "net/host.h"
#include "net/socket.h"
#include "os/clock.h"
#include "os/identity.h"

#include <stdio.h>
#include <string.h>

#define RETRY_MS 5 /* between two tries at a Unix socket whose queue is full */

bool inlay_host_is_loopback(const struct sockaddr *s)
{
	const struct in6_addr *v6;

	switch (s->sa_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohl(((const struct sockaddr_in *)(const void *)s)->sin_addr.s_addr) >> 24 == 127;
	case AF_INET6:
		v6 = &((const struct sockaddr_in6 *)(const void *)s)->sin6_addr;
		return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
	default:
		return false;
	}
}

int inlay_host_resolve(const struct inlay_addr *a, int flags, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	char port[8];
	int r = inlay_host_begin();

	if (r < 0)
		return r;
	hints.ai_flags = AI_NUMERICSERV | flags;
	snprintf(port, sizeof(port), "%u", (unsigned)a->port);
	r = getaddrinfo(a->host[0] ? a->host : NULL, port, &hints, ret);
	return r ? inlay_host_resolve_status(r) : 0;
}

static uint64_t clock_ms(void)
{
	return inlay_clock_ns() / 1000000;
}

static unsigned ms_left(uint64_t end_ms)
{
	uint64_t now = clock_ms();

	return now >= end_ms ? 0 : end_ms - now > 1000000 ? 1000000 : (unsigned)(end_ms - now);
}

/* A client may get the very port that it calls, when nobody listens there, and then is connected to itself. */
static bool is_self(int fd)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	if (getsockname(inlay_host_handle(fd), (struct sockaddr *)&own, &own_len) < 0 ||
	    getpeername(inlay_host_handle(fd), (struct sockaddr *)&peer, &peer_len) < 0 || own.ss_family == AF_UNIX)
		return false;
	return own_len == peer_len && memcmp(&own, &peer, (size_t)own_len) == 0;
}

/* 0, or a status once the connection is refused or the time over. */
static int connect_wait(int fd, uint64_t end_ms)
{
	do {
		if (inlay_socket_wait(fd, true, ms_left(end_ms)))
			return inlay_socket_status(fd);
	} while (ms_left(end_ms)); /* a signal came */
	return -INLAY_ETIMEDOUT;
}

static int connect_fd(int fd, const struct sockaddr *s, socklen_t len, uint64_t end_ms)
{
	for (;;) {
		int r = inlay_host_connect(fd, s, len);

		if (r == 1)
			return connect_wait(fd, end_ms);
		if (r != -INLAY_EAGAIN)
			return r;
		if (!ms_left(end_ms))
			return -INLAY_ETIMEDOUT;
		inlay_socket_wait(-1, false, RETRY_MS);
	}
}

int inlay_host_connect_one(const struct sockaddr *s, socklen_t len, unsigned timeout_ms)
{
	uint64_t end_ms = clock_ms() + timeout_ms;
	int fd = inlay_host_socket(s->sa_family), r;

	if (fd < 0)
		return fd;
	r = connect_fd(fd, s, len, end_ms);
	if (r == 0 && is_self(fd))
		r = -INLAY_ECONNREFUSED;
	if (r < 0) {
		inlay_socket_close(fd);
		return r;
	}
	return fd;
}

/* Each address gets its share of the time that is left, so that a silent one leaves some to the next. */
static int connect_any(const struct addrinfo *list, uint64_t end_ms, bool insecure, bool *ret_loopback)
{
	int last = -INLAY_EPERM, fd;
	unsigned left = 0;

	for (const struct addrinfo *i = list; i; i = i->ai_next)
		left += insecure || inlay_host_is_loopback(i->ai_addr);
	for (const struct addrinfo *i = list; i; i = i->ai_next) {
		unsigned share;

		if (!insecure && !inlay_host_is_loopback(i->ai_addr))
			continue;
		share = ms_left(end_ms) / left--;
		fd = inlay_host_connect_one(i->ai_addr, (socklen_t)i->ai_addrlen, share);
		if (fd >= 0) {
			*ret_loopback = inlay_host_is_loopback(i->ai_addr);
			return fd;
		}
		last = fd;
	}
	return last;
}

int inlay_addr_connect(const struct inlay_addr *a, unsigned timeout_ms, bool insecure, bool *ret_loopback)
{
	uint64_t end_ms = clock_ms() + timeout_ms;
	struct sockaddr_storage un;
	struct addrinfo *list;
	int r = inlay_identity_enter(NULL); /* a socket belongs to whom the thread acts as: servers look at that */

	if (r == 0)
		r = inlay_host_begin();
	if (r < 0)
		return r;
	if (a->is_unix) {
		r = inlay_host_unix_address(a, &un);
		if (r >= 0)
			r = inlay_host_connect_one((struct sockaddr *)&un, (socklen_t)r, timeout_ms);
		if (r >= 0)
			*ret_loopback = true;
		return r;
	}
	r = inlay_host_resolve(a, 0, &list);
	if (r < 0)
		return r;
	r = connect_any(list, end_ms, insecure, ret_loopback);
	freeaddrinfo(list);
	return r;
}

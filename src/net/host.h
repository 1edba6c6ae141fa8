/*
 * What resolving and connecting need of the host; for the files of this room only.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_HOST_H
#define INLAY_NET_HOST_H

#include "net/addr.h"

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>

/* Sockets are kernel handles: 32 bits say all of them, so that they are numbers as elsewhere. */
static inline SOCKET inlay_host_handle(int fd)
{
	return (SOCKET)fd;
}
#else
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

static inline int inlay_host_handle(int fd)
{
	return fd;
}
#endif

/* Before any other call of this room: 0 or a status. */
int inlay_host_begin(void);
/* The negative status of the socket call on this thread that has just failed. */
int inlay_host_status(void);
/* A non-blocking stream socket that children don't inherit, or a status. */
int inlay_host_socket(int family);
/* 0: connected; 1: under way; -INLAY_EAGAIN: try again a little later; another status. */
int inlay_host_connect(int fd, const struct sockaddr *s, socklen_t len);
/* What getaddrinfo() said, as a negative status. */
int inlay_host_resolve_status(int code);

/* The address of a Unix socket: its length, or a status. */
int inlay_host_unix_address(const struct inlay_addr *a, struct sockaddr_storage *ret);
/* The length of the shortest leading part of path that is a socket; 0 when none is. */
size_t inlay_host_socket_prefix(const char *path);

/* connect.c */
bool inlay_host_is_loopback(const struct sockaddr *s);
/* A connected socket or a status, within timeout_ms. */
int inlay_host_connect_one(const struct sockaddr *s, socklen_t len, unsigned timeout_ms);
int inlay_host_resolve(const struct inlay_addr *a, int flags, struct addrinfo **ret);

#endif

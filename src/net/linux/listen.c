/*
 * Listening, and whose sockets are whose: the server's side, on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "net/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* ---- sockets' addresses ---- */

static void sockaddr_text(const struct sockaddr_storage *s, socklen_t len, char buf[INLAY_ADDR_TEXT])
{
	char host[128], port[16];

	if (getnameinfo((const struct sockaddr *)s, len, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(buf, INLAY_ADDR_TEXT, "unknown");
	else
		snprintf(buf, INLAY_ADDR_TEXT, s->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static const char *unix_text(const struct sockaddr_storage *s, socklen_t len, char buf[INLAY_ADDR_TEXT])
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)s;
	size_t path = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;

	snprintf(buf, INLAY_ADDR_TEXT, "unix:%.*s", (int)path, un->sun_path);
	return buf;
}

const char *inlay_addr_peer(int fd, char buf[INLAY_ADDR_TEXT])
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s), cred_len;
	struct ucred cred;

	if (getpeername(fd, (struct sockaddr *)&s, &len) < 0) {
		snprintf(buf, INLAY_ADDR_TEXT, "unknown");
		return buf;
	}
	if (s.ss_family != AF_UNIX) {
		sockaddr_text(&s, len, buf);
		return buf;
	}
	cred_len = sizeof(cred);
	if (len > offsetof(struct sockaddr_un, sun_path) || /* named: the server's end */
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
		return unix_text(&s, len, buf);
	snprintf(buf, INLAY_ADDR_TEXT, "unix:pid=%d,uid=%u", (int)cred.pid, (unsigned)cred.uid);
	return buf;
}

const char *inlay_addr_own(int fd, char buf[INLAY_ADDR_TEXT])
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);

	if (getsockname(fd, (struct sockaddr *)&s, &len) < 0)
		snprintf(buf, INLAY_ADDR_TEXT, "unknown");
	else if (s.ss_family == AF_UNIX)
		unix_text(&s, len, buf);
	else
		sockaddr_text(&s, len, buf);
	return buf;
}

bool inlay_addr_is_local(int listening_fd)
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);

	return getsockname(listening_fd, (struct sockaddr *)&s, &len) == 0 && inlay_host_is_loopback((struct sockaddr *)&s);
}

/* ---- listening ---- */

/* Makes way for a new Unix socket: 0 when nothing is there any more. */
static int unix_clear(const struct sockaddr_un *un)
{
	struct stat st;
	int fd;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : inlay_host_status();
	if (!S_ISSOCK(st.st_mode))
		return -INLAY_EEXIST;
	fd = inlay_host_connect_one((const struct sockaddr *)un, sizeof(*un), 0);
	if (fd >= 0)
		close(fd);
	if (fd != -INLAY_ECONNREFUSED)
		return -INLAY_EBUSY; /* answered, or is too busy to */
	return unlink(un->sun_path) < 0 && errno != ENOENT ? inlay_host_status() : 0;
}

static int listen_unix(const struct inlay_addr *a)
{
	struct sockaddr_storage s;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&s;
	int r = inlay_host_unix_address(a, &s), fd;

	if (r >= 0)
		r = unix_clear(un);
	if (r < 0)
		return r;
	fd = inlay_host_socket(AF_UNIX);
	if (fd < 0)
		return fd;
	/* The mode set before bind is the file's from the start, less the umask. */
	if (fchmod(fd, 0666) < 0 || bind(fd, (const struct sockaddr *)&s, sizeof(*un)) < 0 || listen(fd, BACKLOG) < 0) {
		r = inlay_host_status();
		close(fd);
		return r;
	}
	return fd;
}

static int listen_inet(const struct sockaddr *s, socklen_t len)
{
	int fd = inlay_host_socket(s->sa_family), one = 1, r;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->sa_family == AF_INET6) /* IPv4 has a socket of its own */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, s, len) < 0 || listen(fd, BACKLOG) < 0) {
		r = inlay_host_status();
		close(fd);
		return r;
	}
	return fd;
}

static void port_set(struct sockaddr *s, unsigned short net_port)
{
	if (s->sa_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)s)->sin6_port = net_port;
	else
		((struct sockaddr_in *)(void *)s)->sin_port = net_port;
}

static unsigned short port_of(int fd)
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);

	if (getsockname(fd, (struct sockaddr *)&s, &len) < 0)
		return 0;
	return s.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&s)->sin6_port : ((struct sockaddr_in *)&s)->sin_port;
}

/* A family that this host doesn't have is passed over as long as another one works. */
static int listen_all(struct addrinfo *list, bool choose_port, int fds[], size_t max)
{
	int count = 0, r = -INLAY_ENXIO;

	for (struct addrinfo *i = list; i && (size_t)count < max; i = i->ai_next) {
		if (choose_port && count)
			port_set(i->ai_addr, port_of(fds[0])); /* the same for all */
		r = listen_inet(i->ai_addr, i->ai_addrlen);
		if (r >= 0)
			fds[count++] = r;
		else if (r != -INLAY_ENXIO)
			break;
	}
	if (count && (r >= 0 || r == -INLAY_ENXIO))
		return count;
	while (count)
		close(fds[--count]);
	return r;
}

int inlay_addr_listen(const struct inlay_addr *a, bool insecure, int fds[], size_t max)
{
	struct addrinfo *list;
	int r;

	if (!max)
		return -INLAY_EINVAL;
	if (a->is_unix) {
		r = listen_unix(a);
		if (r < 0)
			return r;
		fds[0] = r;
		return 1;
	}
	r = inlay_host_resolve(a, AI_PASSIVE, &list);
	if (r < 0)
		return r;
	for (const struct addrinfo *i = list; i && r == 0; i = i->ai_next) {
		if (!insecure && !inlay_host_is_loopback(i->ai_addr))
			r = -INLAY_EPERM;
	}
	if (r == 0)
		r = listen_all(list, a->port == 0, fds, max);
	freeaddrinfo(list);
	return r;
}

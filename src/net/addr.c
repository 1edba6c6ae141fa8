/*
 * Addresses: from text and to text, resolved, connected and listened on.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/addr.h"

#include "base/status.h"
#include "os/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
#define RETRY_MS 5 /* between two tries at a Unix socket whose queue is full */

/* ---- text ---- */

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -INLAY_EINVAL;
}

/* Copies len bytes of text as a string; false when they don't fit. */
static bool copy_text(char *to, size_t size, const char *text, size_t len)
{
	if (len >= size)
		return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

static int port_parse(const char *text, size_t len, unsigned short *ret)
{
	unsigned long port = 0;

	if (!len || len > 5)
		return -INLAY_EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -INLAY_EINVAL;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (port > 65535)
		return -INLAY_EINVAL;
	*ret = (unsigned short)port;
	return 0;
}

/* Finds the host's end and the port's start (NULL: none) in "host:port" or "[v6]:port". */
static int host_split(const char *text, size_t len, const char **ret_host, size_t *ret_host_len, const char **ret_port,
                      const char **ret_why)
{
	const char *end = text + len, *colon, *close;

	if (len && text[0] == '[') {
		close = memchr(text, ']', len);
		if (!close)
			return refuse(ret_why, "'[' without ']' in the address");
		if (close + 1 < end && close[1] != ':')
			return refuse(ret_why, "after ']' only :PORT may follow");
		*ret_host = text + 1;
		*ret_host_len = (size_t)(close - text) - 1;
		*ret_port = close + 1 < end ? close + 2 : NULL;
		return *ret_host_len ? 0 : refuse(ret_why, "empty address between '[' and ']'");
	}
	colon = memchr(text, ':', len);
	if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
		return refuse(ret_why, "an IPv6 address stands in brackets: [::1]:4652");
	*ret_host = text;
	*ret_host_len = colon ? (size_t)(colon - text) : len;
	*ret_port = colon ? colon + 1 : NULL;
	return 0;
}

static int inet_parse(const char *text, size_t len, struct inlay_addr *ret, const char **ret_why)
{
	struct inlay_addr a = {.port = INLAY_PORT_DEFAULT};
	const char *host, *port;
	size_t host_len;
	int r = host_split(text, len, &host, &host_len, &port, ret_why);

	if (r < 0)
		return r;
	if (memchr(host, '\0', host_len) || !copy_text(a.host, sizeof(a.host), host, host_len))
		return refuse(ret_why, "the host's name is too long");
	if (port && port_parse(port, (size_t)(text + len - port), &a.port) < 0)
		return refuse(ret_why, "a port is a number from 0 to 65535");
	if (!port && host_len && strspn(a.host, "0123456789") == host_len)
		return refuse(ret_why, "a number alone is no address; a port is written :PORT");
	*ret = a;
	return 0;
}

static int unix_parse(const char *path, size_t len, struct inlay_addr *ret, const char **ret_why)
{
	struct inlay_addr a = {.is_unix = true};
	struct sockaddr_un un;

	if (!len)
		return refuse(ret_why, "unix: needs the path of a socket");
	if (len >= sizeof(un.sun_path) || !copy_text(a.host, sizeof(a.host), path, len))
		return refuse(ret_why, "the path of a Unix socket has at most 107 bytes");
	*ret = a;
	return 0;
}

int inlay_addr_parse(const char *text, struct inlay_addr *ret, const char **ret_why)
{
	if (strncmp(text, "unix:", 5) == 0)
		return unix_parse(text + 5, strlen(text + 5), ret, ret_why);
	if (strchr(text, '/'))
		return refuse(ret_why, "'/' in an address; a socket is written unix:PATH");
	return inet_parse(text, strlen(text), ret, ret_why);
}

/* The shortest leading part of path that is a socket; 0 when none is. */
static size_t socket_prefix(const char *path)
{
	char part[sizeof(((struct inlay_addr *)NULL)->host)];
	struct stat st;

	for (size_t len = 1; len < sizeof(part); len++) {
		if (path[len - 1] == '\0')
			break;
		if (path[len] != '/' && path[len] != '\0')
			continue;
		copy_text(part, sizeof(part), path, len);
		if (stat(part, &st) == 0 && S_ISSOCK(st.st_mode))
			return len;
	}
	return 0;
}

/* "/EXPORT[/PATH]" or "" */
static int export_parse(const char *text, struct inlay_remote_name *ret, const char **ret_why)
{
	const char *path;
	size_t len;

	if (text[0] != '/')
		return refuse(ret_why, "the export's name is missing: SERVER/EXPORT");
	text++;
	len = strcspn(text, "/");
	if (!len)
		return refuse(ret_why, "the export's name is missing: SERVER/EXPORT");
	if (!copy_text(ret->export_name, sizeof(ret->export_name), text, len))
		return refuse(ret_why, "the export's name is longer than 255 bytes");
	path = text + len + strspn(text + len, "/");
	len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	if (!copy_text(ret->path, sizeof(ret->path), path, len))
		return refuse(ret_why, "the path is longer than 4095 bytes");
	return 0;
}

int inlay_remote_name_parse(const char *text, struct inlay_remote_name *ret, const char **ret_why)
{
	struct inlay_remote_name name = {0};
	size_t len;
	int r;

	if (strncmp(text, "unix:", 5) == 0) {
		text += 5;
		len = socket_prefix(text);
		if (!len)
			return refuse(ret_why, "no part of the path after unix: is a socket");
		r = unix_parse(text, len, &name.addr, ret_why);
	} else {
		len = strcspn(text, "/");
		if (!len)
			return refuse(ret_why, "the server's name is missing: SERVER/EXPORT");
		r = inet_parse(text, len, &name.addr, ret_why);
		if (r == 0 && !name.addr.host[0])
			return refuse(ret_why, "the server's name is missing: SERVER/EXPORT");
		if (r == 0 && !name.addr.port)
			return refuse(ret_why, "a server's port is a number from 1 to 65535");
	}
	if (r == 0)
		r = export_parse(text + len, &name, ret_why);
	if (r == 0)
		*ret = name;
	return r;
}

const char *inlay_addr_text(const struct inlay_addr *a, char buf[INLAY_ADDR_TEXT])
{
	const char *shape = strchr(a->host, ':') ? "[%s]:%u" : "%s:%u";

	if (a->is_unix)
		snprintf(buf, INLAY_ADDR_TEXT, "unix:%s", a->host);
	else if (a->host[0])
		snprintf(buf, INLAY_ADDR_TEXT, shape, a->host, (unsigned)a->port);
	else
		snprintf(buf, INLAY_ADDR_TEXT, "*:%u", (unsigned)a->port);
	return buf;
}

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

static bool is_loopback(const struct sockaddr *s)
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

bool inlay_addr_is_local(int listening_fd)
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);

	return getsockname(listening_fd, (struct sockaddr *)&s, &len) == 0 && is_loopback((struct sockaddr *)&s);
}

/* ---- resolving ---- */

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

static int resolve(const struct inlay_addr *a, int flags, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	char port[8];

	hints.ai_flags = AI_NUMERICSERV | flags;
	snprintf(port, sizeof(port), "%u", (unsigned)a->port);
	switch (getaddrinfo(a->host[0] ? a->host : NULL, port, &hints, ret)) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return -INLAY_ENOMEM;
	case EAI_SYSTEM:
		return net_status(errno);
	default:
		return -INLAY_EHOSTUNREACH;
	}
}

static int unix_address(const struct inlay_addr *a, struct sockaddr_un *ret)
{
	size_t len = strlen(a->host);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len >= sizeof(ret->sun_path))
		return -INLAY_ENAMETOOLONG;
	memcpy(ret->sun_path, a->host, len + 1);
	return 0;
}

static int socket_new(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? net_status(errno) : fd;
}

/* ---- connecting ---- */

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int ms_left(uint64_t end_ms)
{
	uint64_t now = clock_ms();

	return now >= end_ms ? 0 : end_ms - now > 1000000 ? 1000000 : (int)(end_ms - now);
}

/* A client may get the very port that it calls, when nobody listens there, and then is connected to itself. */
static bool is_self(int fd)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0 || own.ss_family == AF_UNIX)
		return false;
	return own_len == peer_len && memcmp(&own, &peer, own_len) == 0;
}

/* 0, or a status once the connection is refused or the time over. */
static int connect_wait(int fd, uint64_t end_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int host = 0, r;
	socklen_t len = sizeof(host);

	do {
		r = poll(&p, 1, ms_left(end_ms));
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return -INLAY_ETIMEDOUT;
	if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &host, &len) < 0)
		return net_status(errno);
	return host ? net_status(host) : 0;
}

static int connect_fd(int fd, const struct sockaddr *s, socklen_t len, uint64_t end_ms)
{
	for (;;) {
		if (connect(fd, s, len) == 0)
			return 0;
		if (errno == EINPROGRESS || errno == EINTR)
			return connect_wait(fd, end_ms);
		if (errno != EAGAIN) /* a Unix socket's queue is full */
			return net_status(errno);
		if (!ms_left(end_ms))
			return -INLAY_ETIMEDOUT;
		poll(NULL, 0, RETRY_MS);
	}
}

static int connect_one(const struct sockaddr *s, socklen_t len, uint64_t end_ms)
{
	int fd = socket_new(s->sa_family), r;

	if (fd < 0)
		return fd;
	r = connect_fd(fd, s, len, end_ms);
	if (r == 0 && is_self(fd))
		r = -INLAY_ECONNREFUSED;
	if (r < 0) {
		close(fd);
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
		left += insecure || is_loopback(i->ai_addr);
	for (const struct addrinfo *i = list; i; i = i->ai_next) {
		uint64_t share;

		if (!insecure && !is_loopback(i->ai_addr))
			continue;
		share = (uint64_t)ms_left(end_ms) / left--;
		fd = connect_one(i->ai_addr, i->ai_addrlen, clock_ms() + share);
		if (fd >= 0) {
			*ret_loopback = is_loopback(i->ai_addr);
			return fd;
		}
		last = fd;
	}
	return last;
}

int inlay_addr_connect(const struct inlay_addr *a, unsigned timeout_ms, bool insecure, bool *ret_loopback)
{
	uint64_t end_ms = clock_ms() + timeout_ms;
	struct addrinfo *list;
	struct sockaddr_un un;
	int r = inlay_identity_enter(NULL); /* a socket belongs to whom the thread acts as: servers look at that */

	if (r < 0)
		return r;
	if (a->is_unix) {
		r = unix_address(a, &un);
		if (r == 0)
			r = connect_one((struct sockaddr *)&un, sizeof(un), end_ms);
		if (r >= 0)
			*ret_loopback = true;
		return r;
	}
	r = resolve(a, 0, &list);
	if (r < 0)
		return r;
	r = connect_any(list, end_ms, insecure, ret_loopback);
	freeaddrinfo(list);
	return r;
}

/* ---- listening ---- */

/* Makes way for a new Unix socket: 0 when nothing is there any more. */
static int unix_clear(const struct sockaddr_un *un)
{
	struct stat st;
	int fd;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : net_status(errno);
	if (!S_ISSOCK(st.st_mode))
		return -INLAY_EEXIST;
	fd = connect_one((const struct sockaddr *)un, sizeof(*un), clock_ms());
	if (fd >= 0)
		close(fd);
	if (fd != -INLAY_ECONNREFUSED)
		return -INLAY_EBUSY; /* answered, or is too busy to */
	return unlink(un->sun_path) < 0 && errno != ENOENT ? net_status(errno) : 0;
}

static int listen_unix(const struct inlay_addr *a)
{
	struct sockaddr_un un;
	int r = unix_address(a, &un), fd;

	if (r == 0)
		r = unix_clear(&un);
	if (r < 0)
		return r;
	fd = socket_new(AF_UNIX);
	if (fd < 0)
		return fd;
	/* The mode set before bind is the file's from the start, less the umask. */
	if (fchmod(fd, 0666) < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, BACKLOG) < 0) {
		r = net_status(errno);
		close(fd);
		return r;
	}
	return fd;
}

static int listen_inet(const struct sockaddr *s, socklen_t len)
{
	int fd = socket_new(s->sa_family), one = 1, r;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->sa_family == AF_INET6) /* IPv4 has a socket of its own */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, s, len) < 0 || listen(fd, BACKLOG) < 0) {
		r = net_status(errno);
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
	r = resolve(a, AI_PASSIVE, &list);
	if (r < 0)
		return r;
	for (const struct addrinfo *i = list; i && r == 0; i = i->ai_next) {
		if (!insecure && !is_loopback(i->ai_addr))
			r = -INLAY_EPERM;
	}
	if (r == 0)
		r = listen_all(list, a->port == 0, fds, max);
	freeaddrinfo(list);
	return r;
}

/*
 * Addresses as people write them: "host", "host:4652", "[::1]:4652", "unix:/run/inlay.sock".
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_ADDR_H
#define INLAY_NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#define INLAY_PORT_DEFAULT 4652
#define INLAY_ADDR_TEXT 320 /* bytes that any address's text fits in */

/* Where a client wants to go, or a server to listen: text only, not resolved. */
struct inlay_addr {
	bool is_unix;
	char host[256]; /* name, IPv4 or IPv6 without brackets; or the socket's path. Listening: "" = every address */
	unsigned short port;
};

/*
 * SERVER[:PORT]/EXPORT[/PATH] or unix:SOCKET/EXPORT[/PATH], taken apart. For unix: the socket is the shortest leading
 * part of the path that is a socket on this host (so that it must exist). export and path are copied, path without
 * leading or trailing '/'. 0, or -INLAY_EINVAL with *ret_why a static one-line text.
 */
struct inlay_remote_name {
	struct inlay_addr addr;
	char export_name[256];
	char path[4096];
};
int inlay_remote_name_parse(const char *text, struct inlay_remote_name *ret, const char **ret_why);
/* "[ADDRESS][:PORT]" or "unix:PATH", for --listen. An IPv6 address stands in brackets. */
int inlay_addr_parse(const char *text, struct inlay_addr *ret, const char **ret_why);
/* Back to text; returns buf. */
const char *inlay_addr_text(const struct inlay_addr *a, char buf[INLAY_ADDR_TEXT]);
/* The peer of a connected socket, as text ("unix:pid=7,uid=0" for who called a Unix socket); returns buf. */
const char *inlay_addr_peer(int fd, char buf[INLAY_ADDR_TEXT]);
/* What a socket is bound to, as text: tells the port that the host chose. Returns buf. */
const char *inlay_addr_own(int fd, char buf[INLAY_ADDR_TEXT]);

/*
 * Resolves and connects, as the process itself, within timeout_ms (blocking; not on a loop), trying each address. Returns a non-blocking,
 * close-on-exec socket or a status; *ret_loopback: the connection stays on this host (loopback address or Unix socket).
 * insecure: false refuses addresses that are not loopback with -INLAY_EPERM before sending a byte. Looking up a name
 * takes the resolver's time, which isn't counted.
 */
int inlay_addr_connect(const struct inlay_addr *a, unsigned timeout_ms, bool insecure, bool *ret_loopback);
/*
 * Binds and listens. A stale Unix socket (nobody answers) is replaced; a live one is -INLAY_EBUSY. port 0: the host
 * chooses one, the same for all addresses. fds: listening sockets (a name can stand for several addresses),
 * non-blocking. insecure: false refuses what others can reach with -INLAY_EPERM. A Unix socket gets mode 0666 less the
 * umask. Returns how many, or a status.
 */
int inlay_addr_listen(const struct inlay_addr *a, bool insecure, int fds[], size_t max);
/* True when what the socket is bound to can be reached from this host only. */
bool inlay_addr_is_local(int listening_fd);

#endif

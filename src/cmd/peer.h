/*
 * The asking side of control sockets: attachments found, asked one by one or all at once, never waited for without limit.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_PEER_H
#define INLAY_CMD_PEER_H

#include "cmd/rundir.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An attachment's process that listens (it may be stopped nevertheless). */
struct inlay_peer {
	struct inlay_socket_name name;
	uid_t uid;
	pid_t pid;  /* as we see it; 0: in a pid namespace of its own */
	int fd;     /* connected; -1 once it has answered or failed */
	int pidfd;  /* readable when it has ended; -1 for none */
	char *text; /* what has come so far */
	size_t len;
};

struct inlay_peers {
	struct inlay_peer *peer;
	size_t count;
};

/*
 * Connects to every attachment of this user (root: of all). Sockets without a listener are removed, where they are ours. 0 or a
 * status; an empty list is no failure.
 */
int inlay_peers_find(struct inlay_peers *ret);
/* The one that serves this device: 0, -INLAY_ENOENT when none listens there, or another status. */
int inlay_peer_find(unsigned major, unsigned minor, struct inlay_peer *ret);
void inlay_peers_done(struct inlay_peers *p);
void inlay_peer_done(struct inlay_peer *p);

/* Sends a request line (without its newline). 0 or a status. */
int inlay_peer_send(struct inlay_peer *p, const char *request);
/*
 * Reads until the answer is whole and valid JSON, at most until deadline_ms of inlay_clock_ms(). 0, -INLAY_ETIMEDOUT (call it again to go
 * on), or -INLAY_EPROTO: it ended or made no sense. The answer belongs to the peer: p->text.
 */
int inlay_peer_receive(struct inlay_peer *p, uint64_t deadline_ms);
/* Both, on a fresh peer. */
int inlay_peer_ask(struct inlay_peer *p, const char *request, unsigned timeout_ms);
/* Waits until the process has ended. True when it has (or can't be watched). */
bool inlay_peer_wait_end(const struct inlay_peer *p, unsigned timeout_ms);

#endif

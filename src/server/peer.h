/*
 * A connection of the server and the requests under way on it; shared by peer.c, hello.c and work.c.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SERVER_PEER_H
#define INLAY_SERVER_PEER_H

#include "net/conn.h"
#include "server/internal.h"

/* How long it is still waited for bytes to come, or to be taken. */
struct patience {
	uint64_t left_ns, seen; /* seen: bytes that had moved when it was last looked at */
};

/* Touched by its loop's owner, but for what is marked. */
struct peer {
	struct inlay_list link; /* server_loop.peers */
	struct server_loop *sl; /* fixed */
	struct inlay_conn *conn;
	uint32_t refs;          /* atomic */
	uint32_t under_way;     /* atomic: requests whose reply is meant for it */
	bool closing;           /* atomic: close is posted */
	bool hello_busy;
	int fd;                 /* until conn has it */
	uint64_t born_ns;
	struct patience in, out;
	struct origin *origin;  /* where it comes from; counted there */
	struct inlay_session *session; /* referenced; set by HELLO, for the peer's life */
	struct lane *lane;
	struct inlay_task adopt, close;
	char name[128];
};

/* A request under way: from its frame to its reply. */
struct work {
	struct inlay_task task;
	struct inlay_request rq;
	struct server_loop *sl;     /* whose owner finishes it */
	struct inlay_session *session; /* referenced */
	struct lane *lane;
	struct peer *peer;          /* who gets the reply; referenced; under lane.lock until it is finished */
	struct inlay_chunk *hold;   /* the frame's bytes */
	uint64_t seq;
	uint32_t slot;
	bool called;       /* call_begin() was asked for it */
	struct work *next; /* free list */
};

/* HELLO on a connection that has no lane yet. */
bool peer_hello(struct peer *p, const struct inlay_frame *f, const uint8_t *body);
/* Any other request. False: return to the loop at once. */
bool peer_request(struct peer *p, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                  struct inlay_chunk *chunk);
void works_free(struct server_loop *sl);
/* The connection replaces the lane's earlier one. False: the session is over. Owner thread. */
bool peer_attach(struct peer *p, struct inlay_session *ss, struct lane *la);
/* Counts the bytes that were queued, and stops reading from a client that doesn't take its replies. */
void peer_sent(struct peer *p, size_t len);

#endif

/*
 * The inside of connections: what conn.c, conn_out.c and the host's conn_host.c offer each other.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_CONN_OUT_H
#define INLAY_NET_CONN_OUT_H

#include "net/conn.h"
#include "net/socket.h"

/* What the host tells of a connection; any of them. */
enum {
	INLAY_CONN_READABLE = 1, /* bytes have come, or the stream's end */
	INLAY_CONN_WRITABLE = 2, /* the host has room again */
	INLAY_CONN_FAILED = 4,   /* or hung up; told even when nothing was asked for */
};

/* ---- conn.c ---- */

/* Has the loop close it in the next round. */
void inlay_conn_doom(struct inlay_conn *c, int status);
/* Does what is to be done. what: of the list above; 0 when called without waiting. The caller holds a reference. */
void inlay_conn_serve(struct inlay_conn *c, unsigned what);
/* Not paused and not choked. */
bool inlay_conn_may_read(const struct inlay_conn *c);
/* Bytes to receive next, with room for them at in->mem + in_tail; 0: out of memory. */
uint32_t inlay_conn_room(struct inlay_conn *c);
/* n bytes have been received there. Hands out frames; false: closed, or the loop is lost: the caller returns. */
bool inlay_conn_received(struct inlay_conn *c, uint32_t n);
/* Hands out whole frames that are there already. False as above. */
bool inlay_conn_parse(struct inlay_conn *c);
/* The stream is over: what is queued is offered to the host once more, then it closes. */
void inlay_conn_over(struct inlay_conn *c, int status);

/* ---- conn_out.c ---- */

void inlay_conn_out_hook(struct inlay_hook *h);
void inlay_conn_out_drop(struct inlay_conn *c);
size_t inlay_conn_out_memory(const struct inlay_conn *c);
/* The first of what is queued: how many pieces (at most INLAY_SOCKET_PIECES), their chunks where chunks isn't NULL. */
unsigned inlay_conn_out_pieces(const struct inlay_conn *c, struct inlay_piece *ret, struct inlay_chunk **ret_chunks);
/* The host took len bytes of it. */
void inlay_conn_out_taken(struct inlay_conn *c, size_t len);

/* ---- the host's conn_host.c ---- */

/* Puts it on the loop: 0 or a status. detach: takes it off and closes the socket. free: the last reference is gone. */
int inlay_conn_host_attach(struct inlay_conn *c, struct inlay_loop *l);
void inlay_conn_host_detach(struct inlay_conn *c);
void inlay_conn_host_free(struct inlay_conn *c);
/* Tells the host what to wait for: bytes when it may read, room when it is blocked. Anywhere on the owner's thread. */
void inlay_conn_host_want(struct inlay_conn *c);
/* The last thing that serving does: the same, and starts receiving. */
void inlay_conn_host_rest(struct inlay_conn *c);
/* Takes what has come, by inlay_conn_received. False as there. */
bool inlay_conn_host_receive(struct inlay_conn *c);
/* The input's chunk stays where it is, even for few bytes: the host receives into it. */
bool inlay_conn_host_keeps_input(void);
/* Before a callback in which the loop may be lost: has what is needed come again. */
void inlay_conn_host_before_callback(struct inlay_conn *c);

#endif

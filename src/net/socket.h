/*
 * Non-blocking stream sockets, the few calls that clients need, alike on every host. Sockets are numbers >= 0.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_SOCKET_H
#define INLAY_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INLAY_SOCKET_PIECES 64u /* of one call, at most */

struct inlay_piece {
	const void *p;
	size_t len;
};

/* Bytes taken, or a status; -INLAY_EAGAIN: the host's buffer is full. Never a signal. */
int64_t inlay_socket_send(int fd, const struct inlay_piece *pieces, unsigned count);
/* Bytes received, 0 when the peer sends no more, or a status; -INLAY_EAGAIN: there are none yet. */
int64_t inlay_socket_receive(int fd, void *bytes, size_t len);
/*
 * Waits for at most ms until it can be read or, with `out`, written (a failure counts as both). 1; 0 when time is over (or a signal
 * came). fd -1: only waits.
 */
int inlay_socket_wait(int fd, bool out, unsigned ms);
/* What went wrong with it since it was last asked, as a status; 0: nothing. */
int inlay_socket_status(int fd);
/* Bytes sent that the peer's host has not taken yet; 0 where ours doesn't tell. */
uint64_t inlay_socket_unsent(int fd);
/* For TCP: NODELAY and, where the host knows it, the cubic congestion control. */
void inlay_socket_tune(int fd);
/* Ends both directions: who waits for it is woken. */
void inlay_socket_end(int fd);
void inlay_socket_close(int fd);

#endif

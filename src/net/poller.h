/*
 * The host's events for one loop: epoll on Linux, a completion port on Windows. For loop.c and the host's files of this room.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_POLLER_H
#define INLAY_NET_POLLER_H

#include "net/loop.h"

struct inlay_poller;

/* 0 or a status. */
int inlay_poller_new(struct inlay_poller **ret);
void inlay_poller_free(struct inlay_poller *p); /* NULL is fine */

/* Ends the wait that lasts, or the next one. Any thread. */
void inlay_poller_wake(struct inlay_poller *p);

/* ---- on the loop's owner ---- */

/*
 * Takes a batch of what is ready, the one before having been run: at once; or after waiting for at most wait_ns (UINT64_MAX: for
 * ever). Returns how many; a wake-up may be one of them.
 */
int inlay_poller_poll(struct inlay_poller *p);
int inlay_poller_wait(struct inlay_poller *p, uint64_t wait_ns);
/* Calls what was taken. False: the loop was lost on the way; the caller touches it no more. */
bool inlay_poller_run(struct inlay_poller *p, struct inlay_loop *l) __attribute__((warn_unused_result));
/* A new owner, when the one before was lost in the middle of a batch. */
void inlay_poller_adopt(struct inlay_poller *p);

#endif

/*
 * Byte-range and whole-file locks of one export, and who waits for them. Any thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SERVER_LOCKS_H
#define INLAY_SERVER_LOCKS_H

#include "server/internal.h"

#define LOCK_END_MAX INT64_MAX /* the last byte that a range can have */

struct locks *locks_new(void); /* NULL: out of memory */
void locks_free(struct locks *k); /* every session on it has ended */

/*
 * Takes, changes or drops (type UNLOCK) a lock through the open file h. 0; -INLAY_EAGAIN when another holds it;
 * -INLAY_EQUEUED instead with INLAY_LOCK_WAIT: the waiter is noted, its session is woken once when it may succeed,
 * and it must ask again; -INLAY_EDEADLK; -INLAY_ENOLCK. An owner may wait for several things: its threads are not told apart.
 */
int locks_set(struct locks *k, struct handle *h, const struct inlay_lock_req *m);
void locks_test(struct locks *k, struct handle *h, const struct inlay_testlock_req *m, struct inlay_testlock_rep *ret);
/* Nothing is waited for through h any more. Did more than one wait, the session is woken: those that still do ask again. */
void locks_cancel(struct locks *k, struct handle *h, uint64_t owner, uint32_t kind);
/* Drops what was taken or is waited for through h; through any handle of the session (h NULL). */
void locks_drop(struct locks *k, struct inlay_session *ss, struct handle *h);

#endif

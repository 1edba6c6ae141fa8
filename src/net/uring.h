/*
 * Reads of files without a thread: one io_uring per loop, for what the page cache doesn't have.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Only reads: the host does a sync by a thread of its own, which measured no better than ours, and that thread is bound
 * to the one that submitted.
 *
 * Asking costs no system call: what was asked for in a batch of events is handed to the host when the batch ends, and
 * completions come back as events of the loop. The ring is made when it is first asked for. Where the host refuses it
 * (old kernels, containers, io_uring_disabled, INLAY_IO_URING=off in the environment), and when too much is
 * under way, asking says false, and the caller takes a thread: inlay_loop_offload().
 */
#ifndef INLAY_NET_URING_H
#define INLAY_NET_URING_H

#include "net/chunk.h"
#include "net/loop.h"

#define INLAY_URING_DEPTH 256u /* requests under way per loop */

struct inlay_uring;

/* A request to the ring. Embedded by its user. */
struct inlay_uring_op {
	/*
	 * Once, on the loop's owner; may free the op and ask for more. result: bytes read (short only at the end of
	 * file), a status; or -INLAY_EAGAIN: it was not done this way and is to be done in another one. Its memory may
	 * then still be written to: the ring's reference keeps the chunk, whose bytes must not be used again.
	 */
	void (*done)(struct inlay_uring_op *op, int64_t result);
};

#ifdef __linux__

/* ---- on the owner's thread; the descriptor stays open until done() ---- */

/* Reads into memory that lies in the chunk; the ring takes a reference of its own. len > 0. False: done() won't be called. */
bool inlay_uring_read(struct inlay_loop *l, struct inlay_uring_op *op, int fd, uint64_t off, struct inlay_chunk *chunk,
                      uint8_t *buf, uint32_t len) __attribute__((warn_unused_result));
/* What the host still works on, reads that nobody waits for any more included. Also once the crew has stopped. */
unsigned inlay_uring_under_way(const struct inlay_loop *l);

/* ---- for loop.c, when the crew has stopped; on the thread that counts as the owner ---- */

/* Ends what is under way; true when a done() was called. False with some under way: the host doesn't give it back. */
bool inlay_uring_drain(struct inlay_uring *u);
/* Memory that the host still uses is left to it, never freed. NULL is fine. */
void inlay_uring_free(struct inlay_uring *u);

#else /* no io_uring here: never any */

static inline unsigned inlay_uring_under_way(const struct inlay_loop *l)
{
	(void)l;
	return 0;
}

static inline bool inlay_uring_drain(struct inlay_uring *u)
{
	(void)u;
	return false;
}

static inline void inlay_uring_free(struct inlay_uring *u)
{
	(void)u;
}

#endif
#endif

/*
 * Reference-counted I/O buffers from a pool: what travels between sockets, the kernel filter and stores without copies.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_CHUNK_H
#define INLAY_NET_CHUNK_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INLAY_CHUNK_SMALL (64u * 1024u)                    /* bytes of the small class */
#define INLAY_CHUNK_LARGE (INLAY_FRAME_MAX + 64u * 1024u)  /* bytes of the large class: a whole frame and more */

struct inlay_chunk {
	uint32_t refs; /* atomic */
	uint32_t cap;  /* bytes at mem */
	uint8_t *mem;  /* page-aligned */
	struct inlay_chunk *next_free; /* the pool's */
};

/*
 * A chunk with cap >= len and one reference; NULL when out of memory (or len > INLAY_CHUNK_LARGE). Its content is
 * undefined. The pool keeps a bounded number of free chunks per class, last in first out, so that hot memory is used
 * again; what is beyond goes back to the host. Any thread.
 */
struct inlay_chunk *inlay_chunk_new(size_t len);
struct inlay_chunk *inlay_chunk_ref(struct inlay_chunk *c);
void inlay_chunk_unref(struct inlay_chunk *c); /* NULL is fine */
/* Bytes of all chunks that have references now. Any thread: a picture of the moment. */
uint64_t inlay_chunk_used(void);
/* True when the caller's reference is the only one. */
int inlay_chunk_is_private(const struct inlay_chunk *c);

#endif

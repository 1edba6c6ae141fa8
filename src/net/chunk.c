/*
 * The pool of I/O buffers: two classes, each a bounded stack of free chunks behind a lock.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/chunk.h"

#include "os/pages.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* Under a sanitizer nothing is kept, so that a chunk used after its last unref faults instead of going unnoticed. */
#if defined(__SANITIZE_ADDRESS__)
#define KEEP(count) 0u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP(count) 0u
#else
#define KEEP(count) (count)
#endif
#else
#define KEEP(count) (count)
#endif

_Static_assert(INLAY_CHUNK_SMALL % 4096 == 0 && INLAY_CHUNK_LARGE >= INLAY_FRAME_MAX, "whole pages, a whole frame");

struct pool {
	pthread_mutex_t lock;
	struct inlay_chunk *free;
	unsigned count, keep; /* free ones now, at most */
	unsigned used;        /* with references; read without the lock, too */
	uint32_t cap;
};

static struct pool small = {PTHREAD_MUTEX_INITIALIZER, NULL, 0, KEEP(128u), 0, INLAY_CHUNK_SMALL};
static struct pool large = {PTHREAD_MUTEX_INITIALIZER, NULL, 0, KEEP(32u), 0, INLAY_CHUNK_LARGE};

static void count_used(struct pool *pool, int change)
{
	__atomic_store_n(&pool->used, pool->used + (unsigned)change, __ATOMIC_RELAXED); /* under the lock */
}

/* Counts one as used, also when it returns NULL. */
static struct inlay_chunk *pool_take(struct pool *pool)
{
	struct inlay_chunk *c;

	pthread_mutex_lock(&pool->lock);
	count_used(pool, 1);
	c = pool->free;
	if (c) {
		pool->free = c->next_free;
		pool->count--;
	}
	pthread_mutex_unlock(&pool->lock);
	return c;
}

/* The chunk is used no more. False: the pool is full and the chunk still the caller's. */
static bool pool_keep(struct pool *pool, struct inlay_chunk *c)
{
	bool kept;

	pthread_mutex_lock(&pool->lock);
	count_used(pool, -1);
	kept = pool->count < pool->keep;
	if (kept) {
		c->next_free = pool->free;
		pool->free = c;
		pool->count++;
	}
	pthread_mutex_unlock(&pool->lock);
	return kept;
}

/* Mapped, not malloc'ed: what the pool doesn't keep really goes back to the host, and pages are touched only when used. */
static struct inlay_chunk *chunk_map(uint32_t cap)
{
	struct inlay_chunk *c = malloc(sizeof(*c));
	void *mem;

	if (!c)
		return NULL;
	mem = inlay_pages_new(cap);
	if (!mem) {
		free(c);
		return NULL;
	}
	*c = (struct inlay_chunk){.cap = cap, .mem = mem};
	return c;
}

struct inlay_chunk *inlay_chunk_new(size_t len)
{
	struct pool *pool = len <= INLAY_CHUNK_SMALL ? &small : &large;
	struct inlay_chunk *c;

	if (len > INLAY_CHUNK_LARGE)
		return NULL;
	c = pool_take(pool);
	if (!c)
		c = chunk_map(pool->cap);
	if (c) {
		__atomic_store_n(&c->refs, 1, __ATOMIC_RELAXED);
		return c;
	}
	pthread_mutex_lock(&pool->lock);
	count_used(pool, -1);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

uint64_t inlay_chunk_used(void)
{
	return (uint64_t)__atomic_load_n(&small.used, __ATOMIC_RELAXED) * small.cap +
	       (uint64_t)__atomic_load_n(&large.used, __ATOMIC_RELAXED) * large.cap;
}

struct inlay_chunk *inlay_chunk_ref(struct inlay_chunk *c)
{
	uint32_t before = __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);

	assert(before > 0);
	return c;
}

void inlay_chunk_unref(struct inlay_chunk *c)
{
	uint32_t before;

	if (!c)
		return;
	before = __atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before > 1 || pool_keep(c->cap == INLAY_CHUNK_SMALL ? &small : &large, c))
		return;
	inlay_pages_free(c->mem, c->cap);
	free(c);
}

int inlay_chunk_is_private(const struct inlay_chunk *c)
{
	return __atomic_load_n(&c->refs, __ATOMIC_ACQUIRE) == 1;
}

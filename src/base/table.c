/*
 * The handle table. Entries live in chunks that never move or go away before the table does, so that a reader may
 * look at one without a lock; one atomic word per entry decides whether it may use what it sees:
 *
 *   63        32   31   30         0
 *   generation     LIVE references       LIVE: the id is valid, and the table itself holds one of the references
 *
 * Chunk k holds 64 << k entries: a table of few handles is small, and one of 2^32 has 27 chunks.
 * Removed entries go onto a stack. Any thread pushes; only the holder of the lock pops, which is why a head that was
 * popped and pushed again in the middle of a pop (ABA) can't happen.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/table.h"

#include "base/status.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define FIRST_BITS 6u
#define CHUNKS (32u - FIRST_BITS + 1)
#define LIVE (UINT64_C(1) << 31)
#define REFS (LIVE - 1)

struct entry {
	_Atomic uint64_t word;
	void *object;              /* written before LIVE is published, read under a reference */
	_Atomic uint32_t next_free; /* index + 1 of the next on the stack */
};

struct inlay_table {
	uint32_t max;
	void (*release)(void *object, void *arg);
	void *arg;
	_Atomic(struct entry *) chunks[CHUNKS];
	_Atomic uint32_t top;   /* entries ever used; grows under the lock */
	_Atomic uint32_t free;  /* index + 1 of the stack's first, 0 = empty */
	_Atomic uint32_t count; /* LIVE entries */
	uint32_t first;         /* generation of entries that were never used */
	pthread_mutex_t lock;   /* taken by adders alone */
};

static unsigned chunk_of(uint32_t index)
{
	return 63u - (unsigned)__builtin_clzll((uint64_t)index + (1u << FIRST_BITS)) - FIRST_BITS;
}

static uint32_t chunk_size(unsigned chunk)
{
	return 1u << (FIRST_BITS + chunk);
}

/* NULL where no entry was ever. */
static struct entry *entry_at(struct inlay_table *t, uint32_t index)
{
	unsigned chunk = chunk_of(index);
	struct entry *entries = atomic_load_explicit(&t->chunks[chunk], memory_order_acquire);

	return entries ? &entries[(uint64_t)index + (1u << FIRST_BITS) - chunk_size(chunk)] : NULL;
}

static uint32_t index_of(uint64_t id)
{
	return (uint32_t)id - 1;
}

static struct entry *entry_of(struct inlay_table *t, uint64_t id)
{
	return (uint32_t)id ? entry_at(t, index_of(id)) : NULL;
}

static bool word_valid_for(uint64_t word, uint64_t id)
{
	return (word & LIVE) && word >> 32 == id >> 32;
}

struct inlay_table *inlay_table_new(uint32_t max, void (*release)(void *object, void *arg), void *arg)
{
	struct inlay_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (pthread_mutex_init(&t->lock, NULL) != 0) {
		free(t);
		return NULL;
	}
	/* Index + 1 must fit into 32 bits. */
	t->max = max < UINT32_MAX ? max : UINT32_MAX - 1;
	t->first = 1;
	t->release = release;
	t->arg = arg;
	return t;
}

static void push_free(struct inlay_table *t, struct entry *e, uint32_t index)
{
	uint32_t head = atomic_load_explicit(&t->free, memory_order_relaxed);

	do {
		atomic_store_explicit(&e->next_free, head, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(
		&t->free, &head, index + 1, memory_order_release, memory_order_relaxed));
}

/* Under the lock. */
static struct entry *pop_free(struct inlay_table *t, uint32_t *ret_index)
{
	uint32_t head = atomic_load_explicit(&t->free, memory_order_acquire), next;
	struct entry *e;

	do {
		if (!head)
			return NULL;
		e = entry_at(t, head - 1);
		next = atomic_load_explicit(&e->next_free, memory_order_relaxed);
	} while (!atomic_compare_exchange_weak_explicit(
		&t->free, &head, next, memory_order_acquire, memory_order_acquire));
	*ret_index = head - 1;
	return e;
}

/* An entry that was never used. Under the lock. */
static int take_new(struct inlay_table *t, struct entry **ret_entry, uint32_t *ret_index)
{
	uint32_t index = atomic_load_explicit(&t->top, memory_order_relaxed);
	unsigned chunk = chunk_of(index);

	if (index >= t->max)
		return -INLAY_ELIMIT;
	if (!entry_at(t, index)) {
		struct entry *entries = calloc(chunk_size(chunk), sizeof(*entries));

		if (!entries)
			return -INLAY_ENOMEM;
		atomic_store_explicit(&t->chunks[chunk], entries, memory_order_release);
	}
	atomic_store_explicit(&t->top, index + 1, memory_order_release);
	*ret_entry = entry_at(t, index);
	*ret_index = index;
	return 0;
}

int inlay_table_add(struct inlay_table *t, void *object, uint64_t *ret_id)
{
	struct entry *e;
	uint32_t index;
	uint64_t generation;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	e = pop_free(t, &index);
	if (!e)
		r = take_new(t, &e, &index);
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		return r;

	generation = atomic_load_explicit(&e->word, memory_order_relaxed) >> 32;
	if (!generation)
		generation = t->first;
	e->object = object;
	atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
	/* The id goes out before the word does: once that is published, another thread may use and remove the entry. */
	*ret_id = generation << 32 | (index + 1);
	atomic_store_explicit(&e->word, generation << 32 | LIVE | 1, memory_order_release);
	return 1;
}

void inlay_table_begin_at(struct inlay_table *t, uint32_t generation)
{
	t->first = generation ? generation : 1;
}

bool inlay_table_restore(struct inlay_table *t, void *object, uint64_t id)
{
	uint32_t wanted = index_of(id), index = 0;
	struct entry *e = NULL;
	int r = 0;

	if (!(uint32_t)id || !(id >> 32) || wanted < atomic_load_explicit(&t->top, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&t->lock);
	while ((r = take_new(t, &e, &index)) == 0 && index < wanted)
		push_free(t, e, index);
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		return false;
	e->object = object;
	atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
	atomic_store_explicit(&e->word, (id >> 32) << 32 | LIVE | 1, memory_order_release);
	return true;
}

void *inlay_table_get(struct inlay_table *t, uint64_t id)
{
	struct entry *e = entry_of(t, id);
	uint64_t word;

	if (!e)
		return NULL;
	word = atomic_load_explicit(&e->word, memory_order_relaxed);
	do {
		if (!word_valid_for(word, id))
			return NULL;
		assert((word & REFS) < REFS);
	} while (!atomic_compare_exchange_weak_explicit(
		&e->word, &word, word + 1, memory_order_acquire, memory_order_relaxed));
	return e->object;
}

/* The last reference is gone, and with LIVE cleared nobody can take another: the entry is this thread's alone. */
static void finish(struct inlay_table *t, struct entry *e, uint64_t id)
{
	void *object = e->object;
	uint64_t generation = (id >> 32) + 1;

	e->object = NULL;
	/* Generation 0 is left out, so that no id is ever 0 above: the next add makes it 1. */
	atomic_store_explicit(&e->word, generation << 32, memory_order_relaxed);
	push_free(t, e, index_of(id));
	t->release(object, t->arg);
}

void inlay_table_put(struct inlay_table *t, uint64_t id)
{
	struct entry *e = entry_of(t, id);
	uint64_t before;

	assert(e);
	before = atomic_fetch_sub_explicit(&e->word, 1, memory_order_acq_rel);
	assert(before >> 32 == id >> 32 && (before & REFS) > 0);
	if ((before & REFS) == 1) {
		assert(!(before & LIVE));
		finish(t, e, id);
	}
}

int inlay_table_remove(struct inlay_table *t, uint64_t id)
{
	struct entry *e = entry_of(t, id);
	uint64_t word;

	if (!e)
		return -INLAY_EBADF;
	word = atomic_load_explicit(&e->word, memory_order_relaxed);
	do {
		if (!word_valid_for(word, id))
			return -INLAY_EBADF;
	} while (!atomic_compare_exchange_weak_explicit(
		&e->word, &word, (word & ~LIVE) - 1, memory_order_acq_rel, memory_order_relaxed));
	atomic_fetch_sub_explicit(&t->count, 1, memory_order_relaxed);
	if ((word & REFS) == 1)
		finish(t, e, id);
	return 0;
}

uint32_t inlay_table_count(const struct inlay_table *t)
{
	return atomic_load_explicit(&t->count, memory_order_relaxed);
}

void inlay_table_each(struct inlay_table *t, void (*fn)(uint64_t id, void *object, void *arg), void *arg)
{
	uint32_t top = atomic_load_explicit(&t->top, memory_order_acquire);

	for (uint32_t index = 0; index < top; index++) {
		uint64_t word = atomic_load_explicit(&entry_at(t, index)->word, memory_order_relaxed);
		uint64_t id = (word >> 32 << 32) | (index + 1);
		void *object = word & LIVE ? inlay_table_get(t, id) : NULL;

		if (object) {
			fn(id, object, arg);
			inlay_table_put(t, id);
		}
	}
}

void inlay_table_free(struct inlay_table *t)
{
	if (!t)
		return;
	for (uint32_t index = 0; index < atomic_load_explicit(&t->top, memory_order_acquire); index++) {
		uint64_t word = atomic_load_explicit(&entry_at(t, index)->word, memory_order_acquire);

		assert((word & REFS) == (word & LIVE ? 1 : 0));
		if (word & LIVE)
			inlay_table_remove(t, (word >> 32 << 32) | (index + 1));
	}
	for (unsigned chunk = 0; chunk < CHUNKS; chunk++)
		free(atomic_load_explicit(&t->chunks[chunk], memory_order_relaxed));
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/*
 * Buffers: sizes, references, reuse, and the pool under many threads.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/chunk.h"

#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 2000

static void sizes(void **state)
{
	static const size_t lens[] = {0, 1, INLAY_CHUNK_SMALL, INLAY_CHUNK_SMALL + 1, INLAY_FRAME_MAX, INLAY_CHUNK_LARGE};

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct inlay_chunk *c = inlay_chunk_new(lens[i]);

		assert_non_null(c);
		assert_true(c->cap >= lens[i]);
		assert_int_equal((uintptr_t)c->mem % 4096, 0);
		memset(c->mem, 0x5a, c->cap);
		inlay_chunk_unref(c);
	}
	assert_null(inlay_chunk_new(INLAY_CHUNK_LARGE + 1));
	assert_null(inlay_chunk_new(SIZE_MAX));
	inlay_chunk_unref(NULL);
}

static void references(void **state)
{
	struct inlay_chunk *c = inlay_chunk_new(10);

	(void)state;
	assert_true(inlay_chunk_is_private(c));
	assert_ptr_equal(inlay_chunk_ref(c), c);
	assert_false(inlay_chunk_is_private(c));
	inlay_chunk_unref(c);
	assert_true(inlay_chunk_is_private(c));
	inlay_chunk_unref(c);
}

/* A chunk in use is nobody else's: each holder finds what it wrote. */
static void *holder(void *arg)
{
	uint8_t mark = *(uint8_t *)arg;
	struct inlay_chunk *held[8] = {0};
	unsigned seed = mark;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned slot = (unsigned)rand_r(&seed) % 8;

		if (held[slot]) {
			if (held[slot]->mem[0] != mark || held[slot]->mem[held[slot]->cap - 1] != slot)
				return arg;
			inlay_chunk_unref(held[slot]);
		}
		held[slot] = inlay_chunk_new(slot % 4 ? 100 : INLAY_FRAME_MAX);
		if (!held[slot])
			return arg;
		held[slot]->mem[0] = mark;
		held[slot]->mem[held[slot]->cap - 1] = (uint8_t)slot;
	}
	for (unsigned slot = 0; slot < 8; slot++)
		inlay_chunk_unref(held[slot]);
	return NULL;
}

static void many_threads(void **state)
{
	pthread_t threads[THREADS];
	uint8_t marks[THREADS];
	void *failed;

	(void)state;
	for (uint8_t i = 0; i < THREADS; i++) {
		marks[i] = (uint8_t)(i + 100);
		assert_int_equal(pthread_create(&threads[i], NULL, holder, &marks[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

RUN_TESTS(cmocka_unit_test(sizes), cmocka_unit_test(references), cmocka_unit_test(many_threads))

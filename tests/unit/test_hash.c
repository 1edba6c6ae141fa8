/*
 * SipHash against the vectors of its authors, and the map against a model.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/hash.h"

#include "support.h"

#include "base/list.h"

#include <stdlib.h>
#include <string.h>

/* Key 00..0f; the n-th is of the n bytes 00, 01, 02, ... */
static const uint64_t vectors[64] = {
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
	0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
	0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
	0x3f2acc7f57c29bdb, 0x699ae9f52cbe4794, 0x4bc1b3f0968dd39c, 0xbb6dc91da77961bd,
	0xbed65cf21aa2ee98, 0xd0f2cbb02e3b67c7, 0x93536795e3a33e88, 0xa80c038ccd5ccec8,
	0xb8ad50c6f649af94, 0xbce192de8a85b8ea, 0x17d835b85bbb15f3, 0x2f2e6163076bcfad,
	0xde4daaaca71dc9a5, 0xa6a2506687956571, 0xad87a3535c49ef28, 0x32d892fad841c342,
	0x7127512f72f27cce, 0xa7f32346f95978e3, 0x12e0b01abb051238, 0x15e034d40fa197ae,
	0x314dffbe0815a3b4, 0x027990f029623981, 0xcadcd4e59ef40c4d, 0x9abfd8766a33735c,
	0x0e3ea96b5304a7d0, 0xad0c42d6fc585992, 0x187306c89bc215a9, 0xd4a60abcf3792b95,
	0xf935451de4f21df2, 0xa9538f0419755787, 0xdb9acddff56ca510, 0xd06c98cd5c0975eb,
	0xe612a3cb9ecba951, 0xc766e62cfcadaf96, 0xee64435a9752fe72, 0xa192d576b245165a,
	0x0a8787bf8ecb74b2, 0x81b3e73d20b49b6f, 0x7fa8220ba3b2ecea, 0x245731c13ca42499,
	0xb78dbfaf3a8d83bd, 0xea1ad565322a1a0b, 0x60e61c23a3795013, 0x6606d7e446282b93,
	0x6ca4ecb15c5f91e1, 0x9f626da15c9625f3, 0xe51b38608ef25f57, 0x958a324ceb064572,
};

static const struct inlay_hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

static void siphash_vectors(void **state)
{
	/* One byte in, so that no alignment is taken for granted. */
	uint8_t bytes[65];

	(void)state;
	for (size_t n = 0; n < 64; n++) {
		bytes[n + 1] = (uint8_t)n;
		assert_true(inlay_siphash(&key, bytes + 1, n) == vectors[n]);
	}
}

static void siphash_depends_on_each_bit(void **state)
{
	uint8_t bytes[16] = {0};
	uint64_t plain = inlay_siphash(&key, bytes, sizeof(bytes));

	(void)state;
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_true(inlay_siphash(&key, bytes, sizeof(bytes)) != plain);
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t bit = 0; bit < 128; bit++) {
		struct inlay_hash_key other = key;

		other.k[bit / 64] ^= UINT64_C(1) << (bit % 64);
		assert_true(inlay_siphash(&other, bytes, sizeof(bytes)) != plain);
	}
	assert_true(inlay_siphash(&key, bytes, 15) != plain);
}

struct thing {
	struct inlay_map_link link;
	unsigned id;
	bool in;
};

#define THINGS 500u

/* Few hashes for many things: chains and equal hashes are the rule. */
static uint64_t hash_of(unsigned id)
{
	return (id % 7) * UINT64_C(0x100000001) + (id % 3 ? 0 : id);
}

static bool found(const struct inlay_map *m, const struct thing *t)
{
	for (struct inlay_map_link *l = inlay_map_find(m, hash_of(t->id)); l; l = inlay_map_find_next(l)) {
		assert_true(l->hash == hash_of(t->id));
		if (l == &t->link)
			return true;
	}
	return false;
}

static void map_against_model(void **state)
{
	static struct thing things[THINGS];
	struct inlay_map m;
	uint32_t seed = 12345;
	size_t count = 0;

	(void)state;
	assert_int_equal(inlay_map_init(&m), 0);
	for (unsigned i = 0; i < THINGS; i++)
		things[i].id = i;
	for (unsigned step = 0; step < 20000; step++) {
		struct thing *t;

		seed = seed * 1664525 + 1013904223;
		t = &things[(seed >> 8) % THINGS];
		if (t->in) {
			inlay_map_remove(&m, &t->link);
			count--;
		} else {
			inlay_map_add(&m, &t->link, hash_of(t->id));
			count++;
		}
		t->in = !t->in;
		assert_int_equal(m.count, count);
		assert_int_equal(found(&m, t), t->in);
		if (step % 1000 == 0) {
			for (unsigned i = 0; i < THINGS; i++)
				assert_int_equal(found(&m, &things[i]), things[i].in);
		}
	}
	inlay_map_done(&m);
}

static void map_grows(void **state)
{
	struct thing *things = calloc(10000, sizeof(*things));
	struct inlay_map m;

	(void)state;
	assert_non_null(things);
	assert_int_equal(inlay_map_init(&m), 0);
	for (unsigned i = 0; i < 10000; i++)
		inlay_map_add(&m, &things[i].link, inlay_siphash(&key, &i, sizeof(i)));
	assert_int_equal(m.count, 10000);
	assert_true(m.mask + 1 >= 8192);
	assert_int_equal(m.mask & (m.mask + 1), 0); /* every bucket is used */
	for (unsigned i = 0; i < 10000; i++)
		assert_ptr_equal(inlay_map_find(&m, things[i].link.hash), &things[i].link);
	inlay_map_done(&m);
	free(things);
}

static void map_misses(void **state)
{
	struct thing t = {.id = 1};
	struct inlay_map m;

	(void)state;
	assert_int_equal(inlay_map_init(&m), 0);
	assert_null(inlay_map_find(&m, 0));
	inlay_map_add(&m, &t.link, 5);
	assert_null(inlay_map_find(&m, 6));
	assert_null(inlay_map_find(&m, 5 + 16)); /* the same bucket */
	assert_null(inlay_map_find_next(inlay_map_find(&m, 5)));
	inlay_map_remove(&m, &t.link);
	assert_null(inlay_map_find(&m, 5));
	inlay_map_done(&m);
}

static void visit_and_free(struct inlay_map_link *link, void *arg)
{
	struct inlay_map *m = arg;

	inlay_map_remove(m, link);
	free(inlay_container(link, struct thing, link));
}

static void each_may_remove_and_free(void **state)
{
	struct inlay_map m;

	(void)state;
	assert_int_equal(inlay_map_init(&m), 0);
	for (unsigned i = 0; i < 100; i++) {
		struct thing *t = calloc(1, sizeof(*t));

		assert_non_null(t);
		inlay_map_add(&m, &t->link, hash_of(i));
	}
	inlay_map_each(&m, visit_and_free, &m);
	assert_int_equal(m.count, 0);
	inlay_map_done(&m);
}

RUN_TESTS(
	cmocka_unit_test(siphash_vectors), cmocka_unit_test(siphash_depends_on_each_bit),
	cmocka_unit_test(map_against_model), cmocka_unit_test(map_grows), cmocka_unit_test(map_misses),
	cmocka_unit_test(each_may_remove_and_free))

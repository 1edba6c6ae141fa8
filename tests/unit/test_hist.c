/*
 * The histogram: edges within the promised error, percentiles, merging.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/hist.h"

#include "support.h"

#include <string.h>

static uint64_t edge_of(uint64_t ns)
{
	struct inlay_hist h = {0};

	inlay_hist_add(&h, ns);
	assert_int_equal(h.count, 1);
	return inlay_hist_permille(&h, 500);
}

static void edges_hold_the_promise(void **state)
{
	(void)state;
	for (unsigned power = 0; power < 43; power++) {
		for (uint64_t part = 0; part < 64; part++) {
			uint64_t ns = (UINT64_C(1) << power) + ((UINT64_C(1) << power) * part >> 6);
			uint64_t edge = edge_of(ns);

			assert_true(edge >= ns);
			assert_true((edge - ns) * 1000 <= ns * 63);
		}
	}
	assert_int_equal(edge_of(0), 0);
}

static void edges_never_fall(void **state)
{
	uint64_t before = 0;

	(void)state;
	for (uint64_t ns = 0; ns < 100000; ns++) {
		uint64_t edge = edge_of(ns);

		assert_true(edge >= before);
		before = edge;
	}
}

static void too_long_lands_in_the_last(void **state)
{
	uint64_t last = (UINT64_C(1) << 43) - 1;

	(void)state;
	assert_true(edge_of(last) == last);
	assert_true(edge_of(last + 1) == last);
	assert_true(edge_of(UINT64_MAX) == last);
}

static void permilles(void **state)
{
	static struct inlay_hist h;

	(void)state;
	assert_int_equal(inlay_hist_permille(&h, 500), 0);
	for (unsigned i = 1; i <= 10; i++)
		inlay_hist_add(&h, i);
	assert_int_equal(inlay_hist_permille(&h, 0), 1);
	assert_int_equal(inlay_hist_permille(&h, 100), 1);
	assert_int_equal(inlay_hist_permille(&h, 101), 2);
	assert_int_equal(inlay_hist_permille(&h, 500), 5);
	assert_int_equal(inlay_hist_permille(&h, 900), 9);
	assert_int_equal(inlay_hist_permille(&h, 901), 10);
	assert_int_equal(inlay_hist_permille(&h, 1000), 10);
	assert_int_equal(inlay_hist_permille(&h, 5000), 10);
}

static void huge_counts_do_not_overflow(void **state)
{
	static struct inlay_hist h;

	(void)state;
	h.bucket[3] = UINT64_MAX / 2;
	h.bucket[7] = UINT64_MAX / 2;
	h.count = UINT64_MAX - 1;
	assert_int_equal(inlay_hist_permille(&h, 499), 3);
	assert_int_equal(inlay_hist_permille(&h, 501), 7);
	assert_int_equal(inlay_hist_permille(&h, 1000), 7);
}

static void merge_adds(void **state)
{
	static struct inlay_hist a, b, sum;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		inlay_hist_add(i % 2 ? &a : &b, i * i);
		inlay_hist_add(&sum, i * i);
	}
	inlay_hist_merge(&a, &b);
	assert_memory_equal(&a, &sum, sizeof(a));
	assert_memory_not_equal(&b, &sum, sizeof(b));
}

RUN_TESTS(
	cmocka_unit_test(edges_hold_the_promise), cmocka_unit_test(edges_never_fall),
	cmocka_unit_test(too_long_lands_in_the_last), cmocka_unit_test(permilles),
	cmocka_unit_test(huge_counts_do_not_overflow), cmocka_unit_test(merge_adds))

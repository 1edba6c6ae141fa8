/*
 * Byte cursors: little-endian layout, and the sticky error at every length.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"

#include "support.h"

#include <string.h>

static const uint8_t eight[] = {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x81};

static void loads_little_endian(void **state)
{
	(void)state;
	assert_int_equal(inlay_load16(eight), 0x0708);
	assert_int_equal(inlay_load32(eight), 0x05060708);
	assert_true(inlay_load64(eight) == 0x8102030405060708);
	assert_int_equal(inlay_load16(eight + 6), 0x8102);
	assert_true(inlay_load32(eight + 4) == 0x81020304);
}

static void stores_little_endian(void **state)
{
	uint8_t got[8];

	(void)state;
	inlay_store64(got, 0x8102030405060708);
	assert_memory_equal(got, eight, 8);
	inlay_store32(got, 0x05060708);
	assert_memory_equal(got, eight, 4);
	inlay_store16(got, 0x0708);
	assert_memory_equal(got, eight, 2);
}

static void reads_in_order(void **state)
{
	struct inlay_reader r = inlay_reader(eight, sizeof(eight));

	(void)state;
	assert_int_equal(inlay_read32(&r), 0x05060708);
	assert_ptr_equal(inlay_read_bytes(&r, 2), eight + 4);
	assert_ptr_equal(inlay_read_bytes(&r, 0), eight + 6);
	assert_ptr_equal(inlay_read_bytes(&r, 2), eight + 6);
	assert_false(r.bad);
	assert_ptr_equal(r.p, r.end);
}

static void reading_past_the_end_sticks(void **state)
{
	(void)state;
	for (size_t len = 0; len < 8; len++) {
		struct inlay_reader r = inlay_reader(eight, len);

		assert_true(inlay_read64(&r) == 0);
		assert_true(r.bad);
		/* Even what is there is not handed out any more. */
		assert_null(inlay_read_bytes(&r, 0));
		assert_int_equal(inlay_read32(&r), 0);
		assert_ptr_equal(r.p, eight);
	}
}

static void huge_length_is_refused(void **state)
{
	uint8_t out[4];
	struct inlay_reader r = inlay_reader(eight, sizeof(eight));
	struct inlay_writer w = inlay_writer(out, sizeof(out));

	(void)state;
	assert_null(inlay_read_bytes(&r, SIZE_MAX));
	assert_true(r.bad);
	assert_null(inlay_write_bytes(&w, SIZE_MAX));
	assert_true(w.full);
}

static void writes_in_order(void **state)
{
	uint8_t out[12];
	struct inlay_writer w = inlay_writer(out, sizeof(out));

	(void)state;
	inlay_write64(&w, 0x8102030405060708);
	inlay_write32(&w, 0x05060708);
	assert_false(w.full);
	assert_int_equal(inlay_writer_len(&w), 12);
	assert_memory_equal(out, eight, 8);
	assert_memory_equal(out + 8, eight, 4);
}

static void writing_past_the_end_sticks(void **state)
{
	(void)state;
	for (size_t room = 0; room < 8; room++) {
		uint8_t out[9];
		struct inlay_writer w = inlay_writer(out, room);

		memset(out, 0xee, sizeof(out));
		inlay_write64(&w, 0);
		assert_true(w.full);
		inlay_write32(&w, 0); /* would fit for room >= 4, but comes after the error */
		assert_int_equal(inlay_writer_len(&w), 0);
		for (size_t i = 0; i < sizeof(out); i++)
			assert_int_equal(out[i], 0xee);
	}
}

static void strings_compare_by_length_and_bytes(void **state)
{
	(void)state;
	assert_true(inlay_str_is(INLAY_STR("abc"), "abc"));
	assert_true(inlay_str_is(inlay_str(""), ""));
	assert_false(inlay_str_is(INLAY_STR("abc"), "ab"));
	assert_false(inlay_str_is(INLAY_STR("abc"), "abcd"));
	assert_false(inlay_str_is(INLAY_STR("abc"), "abd"));
	assert_int_equal(INLAY_STR("a\0b").len, 3);
	assert_false(inlay_str_is(INLAY_STR("a\0b"), "a"));
}

RUN_TESTS(
	cmocka_unit_test(loads_little_endian), cmocka_unit_test(stores_little_endian), cmocka_unit_test(reads_in_order),
	cmocka_unit_test(reading_past_the_end_sticks), cmocka_unit_test(huge_length_is_refused),
	cmocka_unit_test(writes_in_order), cmocka_unit_test(writing_past_the_end_sticks),
	cmocka_unit_test(strings_compare_by_length_and_bytes))

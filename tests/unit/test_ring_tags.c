/*
 * Tags and slots: taken once, given back once, and what is stale or made up finds nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/tags.h"

#include "base/status.h"

#include "support.h"

#include <stdbool.h>

#define COUNT 4u

static char owners[COUNT + 1];

static void tags_are_taken_found_and_given(void **state)
{
	struct inlay_ring_tag room[COUNT];
	struct inlay_ring_tags t;
	uint64_t tags[COUNT];
	uint32_t at = 0;

	(void)state;
	inlay_ring_tags_init(&t, room, COUNT);
	assert_int_equal(inlay_ring_tags_take(&t, NULL), 0);
	assert_null(inlay_ring_tags_next(&t, &at));
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(t.taken, i);
		tags[i] = inlay_ring_tags_take(&t, &owners[i]);
		assert_int_not_equal(tags[i], 0);
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(tags[i], tags[j]);
	}
	assert_int_equal(inlay_ring_tags_take(&t, &owners[COUNT]), 0);
	at = 0;
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_ptr_equal(inlay_ring_tags_find(&t, tags[i]), &owners[i]);
		assert_ptr_equal(inlay_ring_tags_next(&t, &at), &owners[i]);
	}
	assert_null(inlay_ring_tags_next(&t, &at));
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_ptr_equal(inlay_ring_tags_give(&t, tags[i]), &owners[i]);
		assert_null(inlay_ring_tags_find(&t, tags[i]));
		assert_null(inlay_ring_tags_give(&t, tags[i])); /* twice */
	}
	assert_int_equal(t.taken, 0);
}

static void stale_and_made_up_tags_find_nothing(void **state)
{
	struct inlay_ring_tag room[COUNT];
	struct inlay_ring_tags t;
	uint64_t old, tag;

	(void)state;
	inlay_ring_tags_init(&t, room, COUNT);
	old = inlay_ring_tags_take(&t, &owners[0]);
	inlay_ring_tags_give(&t, old);
	tag = inlay_ring_tags_take(&t, &owners[1]);
	assert_int_equal((uint32_t)tag, (uint32_t)old); /* the same index again */
	assert_int_not_equal(tag, old);
	assert_null(inlay_ring_tags_give(&t, old));
	assert_null(inlay_ring_tags_give(&t, 0));
	assert_null(inlay_ring_tags_give(&t, UINT64_MAX));
	assert_null(inlay_ring_tags_give(&t, tag + 1)); /* the next index, which is free */
	assert_null(inlay_ring_tags_give(&t, (1ull << 32) + 1)); /* what the next take would give */
	assert_null(inlay_ring_tags_give(&t, tag + COUNT));
	assert_null(inlay_ring_tags_give(&t, tag + (1ull << 32)));
	assert_int_equal(t.taken, 1); /* and nothing was changed */
	assert_ptr_equal(inlay_ring_tags_give(&t, tag), &owners[1]);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_not_equal(inlay_ring_tags_take(&t, &owners[i]), 0);
	assert_int_equal(inlay_ring_tags_take(&t, &owners[COUNT]), 0);
}

static void generations_wrap_without_a_zero(void **state)
{
	struct inlay_ring_tag room[1];
	struct inlay_ring_tags t;
	uint64_t tag;

	(void)state;
	inlay_ring_tags_init(&t, room, 1);
	room[0].generation = 0xffffffffu;
	tag = inlay_ring_tags_take(&t, owners);
	assert_int_equal(tag, 0xffffffff00000000ull);
	assert_ptr_equal(inlay_ring_tags_give(&t, tag), owners);
	assert_int_equal(inlay_ring_tags_take(&t, owners), 1ull << 32);
}

static void slots_come_back_last_in_first_out(void **state)
{
	uint32_t room[COUNT];
	struct inlay_ring_slots s;
	bool seen[COUNT] = {false};

	(void)state;
	inlay_ring_slots_init(&s, room, COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t slot = inlay_ring_slots_take(&s);

		assert_true(slot < COUNT && !seen[slot]);
		seen[slot] = true;
	}
	assert_int_equal(inlay_ring_slots_take(&s), INLAY_RING_NO_SLOT);
	assert_int_equal(s.taken, COUNT);
	assert_int_equal(inlay_ring_slots_give(&s, 3), 0);
	assert_int_equal(inlay_ring_slots_give(&s, 1), 0);
	assert_int_equal(inlay_ring_slots_take(&s), 1);
	assert_int_equal(inlay_ring_slots_take(&s), 3);
}

static void slots_that_are_not_taken_can_not_be_given(void **state)
{
	uint32_t room[COUNT];
	struct inlay_ring_slots s;
	uint32_t slot;

	(void)state;
	inlay_ring_slots_init(&s, room, COUNT);
	for (uint32_t i = 0; i <= COUNT; i++)
		assert_int_equal(inlay_ring_slots_give(&s, i), -INLAY_EINVAL);
	assert_int_equal(inlay_ring_slots_give(&s, INLAY_RING_NO_SLOT), -INLAY_EINVAL);
	slot = inlay_ring_slots_take(&s);
	assert_int_equal(inlay_ring_slots_give(&s, slot), 0);
	assert_int_equal(inlay_ring_slots_give(&s, slot), -INLAY_EINVAL);
	assert_int_equal(s.taken, 0);
}

RUN_TESTS(cmocka_unit_test(tags_are_taken_found_and_given), cmocka_unit_test(stale_and_made_up_tags_find_nothing),
          cmocka_unit_test(generations_wrap_without_a_zero), cmocka_unit_test(slots_come_back_last_in_first_out),
          cmocka_unit_test(slots_that_are_not_taken_can_not_be_given))

/*
 * The server's slots: order, repetition, kept replies, violations.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "session/slots.h"

#include "base/limits.h"

#include "support.h"

#include <string.h>

static enum inlay_slot_verdict begin(struct inlay_slots *s, uint32_t slot, uint64_t seq)
{
	const uint8_t *reply = NULL;
	size_t len = 0;

	return inlay_slots_begin(s, slot, seq, &reply, &len);
}

static void numbers_must_follow(void **state)
{
	struct inlay_slots *s = inlay_slots_new(2);

	(void)state;
	assert_int_equal(inlay_slots_count(s), 2);
	assert_int_equal(begin(s, 0, 0), INLAY_SLOT_BAD);
	assert_int_equal(begin(s, 0, 2), INLAY_SLOT_BAD);
	assert_int_equal(begin(s, 2, 1), INLAY_SLOT_BAD);
	assert_int_equal(begin(s, 0xffffffff, 1), INLAY_SLOT_BAD);
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_NEW);
	assert_int_equal(begin(s, 0, 2), INLAY_SLOT_BAD); /* under way */
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_BUSY);
	inlay_slots_end(s, 0, NULL, 0);
	assert_int_equal(begin(s, 0, 3), INLAY_SLOT_BAD);
	assert_int_equal(begin(s, 0, 2), INLAY_SLOT_NEW);
	assert_int_equal(begin(s, 1, 1), INLAY_SLOT_NEW); /* each slot counts for itself */
	inlay_slots_free(s);
}

static void kept_replies_are_answered_again(void **state)
{
	struct inlay_slots *s = inlay_slots_new(1);
	uint8_t big[INLAY_REPLY_CACHE_MAX];
	const uint8_t *reply = NULL;
	size_t before = inlay_slots_memory(s), len = 0;

	(void)state;
	memset(big, 7, sizeof(big));
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_NEW);
	inlay_slots_end(s, 0, big, sizeof(big));
	assert_int_equal(inlay_slots_memory(s), before + sizeof(big));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(inlay_slots_begin(s, 0, 1, &reply, &len), INLAY_SLOT_REPLAY);
		assert_int_equal(len, sizeof(big));
		assert_memory_equal(reply, big, len);
	}
	assert_int_equal(begin(s, 0, 2), INLAY_SLOT_NEW);
	assert_int_equal(inlay_slots_memory(s), before);
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_BAD); /* older than the last */
	inlay_slots_free(s);
}

static void what_keeps_no_reply_is_done_again(void **state)
{
	struct inlay_slots *s = inlay_slots_new(1);

	(void)state;
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_NEW);
	inlay_slots_end(s, 0, NULL, 0);
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_NEW);
	assert_int_equal(begin(s, 0, 1), INLAY_SLOT_BUSY);
	inlay_slots_end(s, 0, NULL, 0);
	inlay_slots_free(s);
	inlay_slots_free(NULL);
}

RUN_TESTS(cmocka_unit_test(numbers_must_follow), cmocka_unit_test(kept_replies_are_answered_again),
	cmocka_unit_test(what_keeps_no_reply_is_done_again))

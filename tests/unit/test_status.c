/*
 * Statuses: numbers, errno rows both ways, texts.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"

#include "support.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static const struct {
	int number, host;
	const char *text;
} rows[] = {
#define ROW(name, number, host, text) {number, host, text},
	INLAY_STATUSES(ROW)
#undef ROW
};

#define ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

static void numbers_are_frozen(void **state)
{
	(void)state;
	/* Numbers travel: one that changes breaks every peer. First, last, and some between. */
	assert_int_equal(INLAY_OK, 0);
	assert_int_equal(INLAY_EPERM, 1);
	assert_int_equal(INLAY_EINVAL, 17);
	assert_int_equal(INLAY_ENOTEMPTY, 32);
	assert_int_equal(INLAY_ESTALE, 38);
	assert_int_equal(INLAY_EPROTO, 45);
	assert_int_equal(INLAY_EUNKNOWN, 51);
	for (int i = 0; i < ROWS; i++)
		assert_int_equal(rows[i].number, i + 1);
}

static void errno_of_each_row(void **state)
{
	(void)state;
	for (int i = 0; i < ROWS; i++) {
		assert_int_equal(inlay_status_errno(rows[i].number), rows[i].host);
		assert_int_equal(inlay_status_errno(-rows[i].number), rows[i].host);
		assert_string_equal(inlay_status_text(-rows[i].number), rows[i].text);
		assert_string_equal(inlay_status_text(rows[i].number), rows[i].text);
	}
	assert_int_equal(inlay_status_errno(0), 0);
}

static void unknown_numbers_are_io_errors(void **state)
{
	static const int unknown[] = {ROWS + 1, -ROWS - 1, 1000, -1000, INT_MAX, -INT_MAX, INT_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_int_equal(inlay_status_errno(unknown[i]), EIO);
		assert_string_equal(inlay_status_text(unknown[i]), "unknown error");
	}
}

static void from_errno_round_trips(void **state)
{
	(void)state;
	for (int i = 0; i < ROWS; i++) {
		int status = inlay_status_from_errno(rows[i].host);

		assert_true(status < 0);
		assert_int_equal(inlay_status_errno(status), rows[i].host);
	}
}

static void from_errno_prefers_the_general(void **state)
{
	(void)state;
	assert_int_equal(inlay_status_from_errno(ENOENT), -INLAY_ENOENT);
	assert_int_equal(inlay_status_from_errno(ESTALE), -INLAY_ESTALE);
	assert_int_equal(inlay_status_from_errno(EAGAIN), -INLAY_EAGAIN);
	assert_int_equal(inlay_status_from_errno(EIO), -INLAY_EIO);
}

static void from_errno_knows_the_like(void **state)
{
	(void)state;
	assert_int_equal(inlay_status_from_errno(ECONNABORTED), -INLAY_ECONNRESET);
	assert_int_equal(inlay_status_from_errno(ENETRESET), -INLAY_ECONNRESET);
	assert_int_equal(inlay_status_from_errno(ENETDOWN), -INLAY_EHOSTUNREACH);
	assert_int_equal(inlay_status_from_errno(ENETUNREACH), -INLAY_EHOSTUNREACH);
	assert_int_equal(inlay_status_from_errno(0), -INLAY_EUNKNOWN);
}

static void from_errno_without_a_row(void **state)
{
	(void)state;
	assert_int_equal(inlay_status_from_errno(0), -INLAY_EUNKNOWN);
	assert_int_equal(inlay_status_from_errno(-ENOENT), -INLAY_EUNKNOWN);
	assert_int_equal(inlay_status_from_errno(ENOTBLK), -INLAY_EUNKNOWN);
	assert_int_equal(inlay_status_from_errno(INT_MAX), -INLAY_EUNKNOWN);
}

RUN_TESTS(
	cmocka_unit_test(numbers_are_frozen), cmocka_unit_test(errno_of_each_row),
	cmocka_unit_test(unknown_numbers_are_io_errors), cmocka_unit_test(from_errno_round_trips),
	cmocka_unit_test(from_errno_prefers_the_general),
	cmocka_unit_test(from_errno_knows_the_like), cmocka_unit_test(from_errno_without_a_row))

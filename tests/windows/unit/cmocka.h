/*
 * What the unit tests use of cmocka, for hosts that have none: the same names, results as TAP. A failed assertion ends its test.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_WINDOWS_CMOCKA_H
#define INLAY_TESTS_WINDOWS_CMOCKA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct CMUnitTest {
	const char *name;
	void (*test)(void **state);
	int (*setup)(void **state);
	int (*teardown)(void **state);
};

#define cmocka_unit_test(f) {#f, f, NULL, NULL}
#define cmocka_unit_test_setup_teardown(f, setup, teardown) {#f, f, setup, teardown}
#define cmocka_run_group_tests(tests, setup, teardown) stand_in_run(tests, sizeof(tests) / sizeof(tests[0]), setup, teardown)

/* How many failed. */
int stand_in_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state), int (*teardown)(void **state));
void stand_in_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(gnu_printf, 3, 4)));
void stand_in_skip(void) __attribute__((noreturn));
void stand_in_int(uint64_t a, uint64_t b, bool same, const char *text, const char *file, int line);
void stand_in_memory(const void *a, const void *b, size_t len, bool same, const char *text, const char *file, int line);
void stand_in_string(const char *a, const char *b, const char *text, const char *file, int line);

#define stand_in_check(good, text) ((good) ? (void)0 : stand_in_fail(__FILE__, __LINE__, "%s", text))

#define assert_true(x) stand_in_check(x, "is false: " #x)
#define assert_false(x) stand_in_check(!(x), "is true: " #x)
#define assert_null(x) stand_in_check((x) == NULL, "is not NULL: " #x)
#define assert_non_null(x) stand_in_check((x) != NULL, "is NULL: " #x)
#define assert_ptr_equal(a, b) stand_in_check((const void *)(a) == (const void *)(b), "differ: " #a ", " #b)
#define assert_ptr_not_equal(a, b) stand_in_check((const void *)(a) != (const void *)(b), "are the same: " #a ", " #b)
#define assert_int_equal(a, b) stand_in_int((uint64_t)(a), (uint64_t)(b), true, #a ", " #b, __FILE__, __LINE__)
#define assert_int_not_equal(a, b) stand_in_int((uint64_t)(a), (uint64_t)(b), false, #a ", " #b, __FILE__, __LINE__)
#define assert_in_range(x, low, high) \
	stand_in_check((uint64_t)(x) >= (uint64_t)(low) && (uint64_t)(x) <= (uint64_t)(high), "not from " #low " to " #high ": " #x)
#define assert_memory_equal(a, b, len) stand_in_memory(a, b, len, true, #a ", " #b, __FILE__, __LINE__)
#define assert_memory_not_equal(a, b, len) stand_in_memory(a, b, len, false, #a ", " #b, __FILE__, __LINE__)
#define assert_string_equal(a, b) stand_in_string(a, b, #a ", " #b, __FILE__, __LINE__)
#define fail() stand_in_fail(__FILE__, __LINE__, "fail()")
#define fail_msg(...) stand_in_fail(__FILE__, __LINE__, __VA_ARGS__)
#define skip() stand_in_skip()
#define print_message(...) printf(__VA_ARGS__)

#endif

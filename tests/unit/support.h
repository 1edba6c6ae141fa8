/*
 * What every unit test includes: cmocka with the headers it wants first, and the run of a table of tests.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_SUPPORT_H
#define INLAY_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* main() of a test program: RUN_TESTS(cmocka_unit_test(a), cmocka_unit_test(b)) */
#define RUN_TESTS(...) \
	int main(void) \
	{ \
		const struct CMUnitTest tests[] = {__VA_ARGS__}; \
\
		return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0; \
	}

#endif

/*
 * The stand-in for cmocka. A test ends by longjmp, from its own thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmocka.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

enum { RAN = 0, FAILED = 1, SKIPPED = 2 };

static jmp_buf end;

void stand_in_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	longjmp(end, FAILED);
}

void stand_in_skip(void)
{
	longjmp(end, SKIPPED);
}

void stand_in_int(uint64_t a, uint64_t b, bool same, const char *text, const char *file, int line)
{
	if ((a == b) != same)
		stand_in_fail(file, line, "%" PRId64 " (0x%" PRIx64 ") and %" PRId64 " (0x%" PRIx64 "): %s", (int64_t)a, a, (int64_t)b, b, text);
}

void stand_in_memory(const void *a, const void *b, size_t len, bool same, const char *text, const char *file, int line)
{
	size_t at = 0;

	while (at < len && ((const char *)a)[at] == ((const char *)b)[at])
		at++;
	if ((at == len) != same)
		stand_in_fail(file, line, same ? "differ at byte %zu: %s" : "%zu bytes are the same: %s", at, text);
}

void stand_in_string(const char *a, const char *b, const char *text, const char *file, int line)
{
	if (strcmp(a, b) != 0)
		stand_in_fail(file, line, "\"%s\" and \"%s\": %s", a, b, text);
}

static int run_one(const struct CMUnitTest *t)
{
	void *state = NULL;
	int r = setjmp(end);

	if (r == 0) {
		if (t->setup && t->setup(&state) != 0)
			return FAILED;
		t->test(&state);
	}
	if (t->teardown && setjmp(end) == 0 && t->teardown(&state) != 0)
		r = FAILED;
	return r;
}

int stand_in_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state), int (*teardown)(void **state))
{
	void *state = NULL;
	int failed = 0;

	setvbuf(stdout, NULL, _IONBF, 0);
	printf("1..%zu\n", count);
	if (setup && setup(&state) != 0)
		return 1;
	for (size_t i = 0; i < count; i++) {
		int r = run_one(&tests[i]);

		failed += r == FAILED;
		printf("%sok %zu - %s%s\n", r == FAILED ? "not " : "", i + 1, tests[i].name, r == SKIPPED ? " # SKIP" : "");
	}
	if (teardown && teardown(&state) != 0)
		failed++;
	return failed;
}

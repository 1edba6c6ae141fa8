/*
 * Allocation that fails on demand: malloc and its like, in the place of the C library's. The includer says what is spared.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_FAILING_MEMORY_H
#define INLAY_TESTS_FAILING_MEMORY_H

/* The thread sanitizer needs malloc before it can be asked for one: there this is left to the other builds. */
#ifndef __SANITIZE_THREAD__
#define ALLOCATIONS_FAIL 1

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

static volatile unsigned fail_at;     /* the fail_at-th from now; 0: none */
static volatile bool for_good, failed; /* and all after it; one has */

/* What allocates now is not what is tested. */
static bool is_spared(void);

static bool must_fail(void)
{
	if (!fail_at || is_spared())
		return false;
	if (fail_at > 1 && --fail_at)
		return false;
	failed = true;
	fail_at = for_good;
	return true;
}

void *malloc(size_t size)
{
	static void *(*real)(size_t);

	if (!real)
		real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return must_fail() ? NULL : real(size);
}

void *realloc(void *p, size_t size)
{
	static void *(*real)(void *, size_t);

	if (!real)
		real = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	return must_fail() ? NULL : real(p, size);
}

void *calloc(size_t count, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (!real)
		real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	return must_fail() ? NULL : real(count, size);
}
#endif

#endif

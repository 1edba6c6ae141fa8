/*
 * Functions of glibc that unit tests use and mingw-w64 lacks. Included before every test by the build for Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_WINDOWS_MISSING_H
#define INLAY_TESTS_WINDOWS_MISSING_H

#include <stdint.h>
#include <string.h>

static inline int rand_r(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return (int)(*seed >> 1 ^ *seed >> 17) & 0x7fffffff;
}

static inline char *strchrnul(const char *text, int c)
{
	char *found = strchr(text, c);

	return found ? found : (char *)(uintptr_t)text + strlen(text);
}

#endif

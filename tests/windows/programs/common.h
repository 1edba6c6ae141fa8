/*
 * What the test programs for Windows share. Plain Win32; each runs on any drive, so that the same program can be tried on another.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_COMMON_H
#define INLAY_COMMON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

/* Ends the process with a line of what was wrong, the place, and the last error. */
#define CHECK(good, ...) \
	do { \
		if (!(good)) \
			failed(__FILE__, __LINE__, #good, __VA_ARGS__); \
	} while (0)
#define CHECK_ERROR(call, wanted, ...) \
	do { \
		SetLastError(0); \
		DWORD error_seen = (call) ? 0 : GetLastError(); \
		if (error_seen != (DWORD)(wanted)) \
			failed_error(__FILE__, __LINE__, #call, error_seen, (DWORD)(wanted), __VA_ARGS__); \
	} while (0)

/* What a program has to say beside that, or NULL. */
extern void (*failed_more)(void);

void failed(const char *file, int line, const char *what, const char *format, ...)
	__attribute__((noreturn, format(gnu_printf, 4, 5)));
void failed_error(const char *file, int line, const char *what, DWORD seen, DWORD wanted, const char *format, ...)
	__attribute__((noreturn, format(gnu_printf, 6, 7)));

/* A generator of its own for each thread. */
struct random {
	uint64_t state;
};
uint64_t random_next(struct random *random);
uint32_t random_below(struct random *random, uint32_t limit);
void random_fill(struct random *random, void *buffer, size_t length);

/* FNV-1a, 64 bits, as the test runner computes it too. */
uint64_t hash_of(const void *data, size_t length);
#define HASH_START 0xcbf29ce484222325ull
uint64_t hash_more(uint64_t hash, const void *data, size_t length);

HANDLE open_file(const char *path, DWORD access, DWORD share, DWORD disposition, DWORD flags);
double seconds(void);

#endif

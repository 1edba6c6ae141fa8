/*
 * What the test programs for Windows share.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common.h"

#include <stdarg.h>

void (*failed_more)(void);

static void tell(const char *file, int line, const char *what, const char *format, va_list arguments)
{
	fprintf(stderr, "FAILED %s:%d: %s: ", file, line, what);
	vfprintf(stderr, format, arguments);
}

void failed(const char *file, int line, const char *what, const char *format, ...)
{
	DWORD error = GetLastError();
	va_list arguments;

	va_start(arguments, format);
	tell(file, line, what, format, arguments);
	va_end(arguments);
	fprintf(stderr, " (last error %lu)\n", error);
	if (failed_more)
		failed_more();
	fflush(NULL);
	ExitProcess(1);
}

void failed_error(const char *file, int line, const char *what, DWORD seen, DWORD wanted, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell(file, line, what, format, arguments);
	va_end(arguments);
	fprintf(stderr, " (error %lu, wanted %lu)\n", seen, wanted);
	if (failed_more)
		failed_more();
	fflush(NULL);
	ExitProcess(1);
}

uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)(random_next(random) % limit);
}

void random_fill(struct random *random, void *buffer, size_t length)
{
	unsigned char *bytes = buffer;

	for (size_t i = 0; i < length; i += 8) {
		uint64_t word = random_next(random);

		memcpy(bytes + i, &word, length - i < 8 ? length - i : 8);
	}
}

uint64_t hash_more(uint64_t hash, const void *data, size_t length)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash;
}

uint64_t hash_of(const void *data, size_t length)
{
	return hash_more(HASH_START, data, length);
}

HANDLE open_file(const char *path, DWORD access, DWORD share, DWORD disposition, DWORD flags)
{
	return CreateFileA(path, access, share, NULL, disposition, flags, NULL);
}

double seconds(void)
{
	LARGE_INTEGER now, each;

	QueryPerformanceCounter(&now);
	QueryPerformanceFrequency(&each);
	return (double)now.QuadPart / (double)each.QuadPart;
}

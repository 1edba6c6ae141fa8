/*
 * Functions of POSIX and GNU that mingw-w64's C library lacks.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/windows/missing.h"

#include <stdlib.h>
#include <string.h>

char *strndup(const char *text, size_t len)
{
	size_t used = strnlen(text, len);
	char *copy = malloc(used + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, used);
	copy[used] = '\0';
	return copy;
}

char *strsep(char **cursor, const char *delimiters)
{
	char *word = *cursor, *end;

	if (!word)
		return NULL;
	end = word + strcspn(word, delimiters);
	*cursor = *end ? end + 1 : NULL;
	*end = '\0';
	return word;
}

struct tm *gmtime_r(const time_t *when, struct tm *ret)
{
	return gmtime_s(ret, when) == 0 ? ret : NULL;
}

struct tm *localtime_r(const time_t *when, struct tm *ret)
{
	return localtime_s(ret, when) == 0 ? ret : NULL;
}

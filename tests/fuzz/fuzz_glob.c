/*
 * Fuzzes the judge's globs: the first line is the pattern, the rest the path.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/glob.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Relative, without '/' at its ends: what glob.h asks for. */
static bool path_ok(const char *path, size_t len)
{
	return len > 0 && path[0] != '/' && path[len - 1] != '/';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t len = newline ? (size_t)(newline - data) : size;
	size_t path_len = newline ? size - len - 1 : 0;
	char *pattern = malloc(len + 1), *path = malloc(path_len + 1);
	const char *why = NULL;
	int r;

	if (!pattern || !path)
		abort();
	memcpy(pattern, data, len);
	pattern[len] = 0;
	if (path_len)
		memcpy(path, newline + 1, path_len);
	r = inlay_glob_check(pattern, &why);
	if (r < 0 && !why)
		abort();
	if (r == 0 && path_ok(path, path_len)) {
		bool as_file = inlay_glob_match(pattern, path, path_len, false);

		/* Being a directory never takes a match away. */
		if (as_file && !inlay_glob_match(pattern, path, path_len, true))
			abort();
	}
	free(pattern);
	free(path);
	return 0;
}

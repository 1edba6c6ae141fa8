/*
 * A calling process's groups.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Read anew for each request: a process may change them, and its number may be another's a moment later.
 */
#include "os/caller.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t parse(const char *p, uint32_t *groups, uint32_t max)
{
	uint32_t count = 0;

	while (count < max) {
		char *end;
		unsigned long g = strtoul(p, &end, 10); /* skips blanks, and stops at the line's end: "Kthread:" follows */

		if (end == p || memchr(p, '\n', (size_t)(end - p)))
			break;
		groups[count++] = (uint32_t)g;
		p = end;
	}
	return count;
}

uint32_t inlay_caller_groups(uint32_t pid, uint32_t *groups, uint32_t max)
{
	char path[40], text[16384], *line;
	ssize_t n;
	int fd;

	if (pid == 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%u/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	line = strstr(text, "\nGroups:");
	return line ? parse(line + strlen("\nGroups:"), groups, max) : 0;
}

/*
 * A calling process's groups, and whether it lives.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Read anew for each request: a process may change them, and its number may be another's a moment later.
 */
#include "os/caller.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PF_EXITING 4ul /* of the kernel's include/linux/sched.h, in proc_pid_stat(5)'s flags */

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

/* A file of /proc/PID, as text; false when it can't be read. */
static bool read_proc(uint32_t pid, const char *name, char *text, size_t size)
{
	char path[40];
	ssize_t n;
	int fd;

	if (pid == 0)
		return false;
	snprintf(path, sizeof path, "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

bool inlay_caller_is_dying(uint32_t pid)
{
	char text[2048], state;
	const char *after;
	unsigned long flags, pending;

	if (!read_proc(pid, "stat", text, sizeof text))
		return false;
	after = strrchr(text, ')'); /* the name before it may hold anything */
	/* state ppid pgrp session tty tpgid flags; then 21 more up to the pending signals */
	if (!after || sscanf(after, ") %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %*u %*d"
	                            " %*u %*u %*u %*u %*u %*u %lu", &state, &flags, &pending) != 3)
		return false;
	/* Whatever the signal that ends a process, the kernel gives SIGKILL to each of its threads. */
	return flags & PF_EXITING || pending & 1ul << (SIGKILL - 1) || state == 'Z' || state == 'X';
}

uint32_t inlay_caller_groups(uint32_t pid, uint32_t *groups, uint32_t max)
{
	char text[16384], *line;

	if (!read_proc(pid, "status", text, sizeof text))
		return 0;
	line = strstr(text, "\nGroups:");
	return line ? parse(line + strlen("\nGroups:"), groups, max) : 0;
}

/*
 * A process of this program that attaches: started by the service, which hears its one word and its log.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_CHILD_H
#define INLAY_CMD_WINDOWS_CHILD_H

#include <stddef.h>

#define INLAY_EXIT_STARTED_NOT 259u
#define INLAY_EXIT_DETACHED 10u /* of such a process: in good order. A killed one may end with 0 */

struct inlay_child {
	void *process, *report, *log, *event; /* handles */
	unsigned long pid;
};

/* `inlay attach --foreground ARGUMENT...`. 0 or a status. Any thread, one at a time within. */
int inlay_child_start(struct inlay_child *c, char *const *argument);
/* Waits for its one line: "ok", or what failed. */
void inlay_child_hear(struct inlay_child *c, char *line, size_t size);
/* Passes on its log, line by line, until it ends; returns its exit code and lets go of it. */
unsigned long inlay_child_wait(struct inlay_child *c, void (*line)(void *arg, const char *text), void *arg);

#endif

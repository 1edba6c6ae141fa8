/*
 * What the host knows of a process that asks for something.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_CALLER_H
#define INLAY_OS_CALLER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The supplementary groups of a thread, at most max, from /proc/PID/status (proc(5)). Returns their count; 0 when the
 * thread is gone or can't be looked at: it then has the rights of its user and first group only. Any thread.
 */
uint32_t inlay_caller_groups(uint32_t pid, uint32_t *groups, uint32_t max);

/* Whether a thread was killed, by whatever signal, or exits: nobody will read what it waits for. False when it can't be looked at. */
bool inlay_caller_is_dying(uint32_t pid);

#endif

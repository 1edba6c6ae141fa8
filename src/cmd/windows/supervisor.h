/*
 * The service's work: a process for each attachment, started again when it dies, and the pipe on which `inlay attach` asks.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   attach ARG...          {"ok":true} once the directory is usable, or what failed. ARGs of `inlay attach`, each behind a tab, "\\" and
 *   attach-always ARG...   "\n" escaped as in C; the second is remembered in the registry
 */
#ifndef INLAY_CMD_WINDOWS_SUPERVISOR_H
#define INLAY_CMD_WINDOWS_SUPERVISOR_H

#include <stddef.h>

struct inlay_supervisor;

/* Listens, and begins to attach what is remembered. 0; or a status with one line in why. */
int inlay_supervisor_start(struct inlay_supervisor **ret, char *why, size_t why_len);
/*
 * Detaches everything: in order, for 10 s, then by force. Calls progress() (NULL: not) every second or more often. What is
 * remembered stays so.
 */
void inlay_supervisor_stop(struct inlay_supervisor *s, void (*progress)(void));

#endif

/*
 * What this machine knows of attachments, in the registry under HKLM\SOFTWARE\Inlay: those that run now (volatile keys, one for
 * each process) and those that the service starts. Administrators write, everybody reads.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_REGISTRY_H
#define INLAY_CMD_WINDOWS_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

struct inlay_running {
	uint32_t pid;
	char *dir, *source;
};

/* This process serves dir from now on. 0 or a status. */
int inlay_running_add(const char *dir, const char *source);
void inlay_running_remove(uint32_t pid);
/* All, those of dead processes too. 0 or a status; an empty list is no failure. */
int inlay_running_list(struct inlay_running **ret, size_t *ret_count);
void inlay_running_free(struct inlay_running *r, size_t count);
/* The control pipe of a process; name has INLAY_PIPE_NAME characters. */
void inlay_running_pipe(uint32_t pid, wchar_t *name);

struct inlay_remembered {
	char *dir;
	char **argument; /* of `inlay attach`, NULL-terminated */
};

/* The service attaches dir with these arguments when it starts. 0 or a status. */
int inlay_remember(const char *dir, const char *const *arguments);
/* True: it was remembered. */
bool inlay_forget(const char *dir);
int inlay_remembered_list(struct inlay_remembered **ret, size_t *ret_count);
void inlay_remembered_free(struct inlay_remembered *r, size_t count);

#endif

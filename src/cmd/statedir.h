/*
 * The state directory of an attachment's local side: a folder beneath the control sockets', there as long as the attachment is.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_STATEDIR_H
#define INLAY_CMD_STATEDIR_H

#include <stddef.h>

/*
 * Makes one, and removes those that nobody holds any more. Returns a descriptor: whoever has it, or a duplicate of it, holds the
 * directory. Or a status.
 */
int inlay_statedir_make(char *path, size_t size);
/* Removes those that nobody holds any more. */
void inlay_statedir_sweep(void);
/* With all that is in it. */
void inlay_statedir_remove(const char *path);

#endif

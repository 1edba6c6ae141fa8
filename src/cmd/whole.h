/*
 * Small whole files: read at once; all bytes of a buffer written.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WHOLE_H
#define INLAY_CMD_WHOLE_H

#include <stddef.h>

#define INLAY_WHOLE_MAX (64u * 1024u * 1024u) /* bytes; more is -INLAY_EFBIG */

/* Allocated, with a NUL behind it; ret_len may be NULL. 0 or a status. Works on /proc, whose files have no size. */
int inlay_whole_read(const char *path, char **ret_text, size_t *ret_len);
/* The same from an open descriptor, up to its end. */
int inlay_whole_read_fd(int fd, char **ret_text, size_t *ret_len);
/* Writes everything to a blocking descriptor. 0 or a status. */
int inlay_whole_write(int fd, const void *bytes, size_t len);

#endif

/*
 * The control socket of an attachment: one text line asks, one line of JSON answers, then the connection ends.
 *
 *   status         {"ok":true,"dir":...}          everything that `inlay status` shows
 *   explain PATH   {"ok":true,"side":"local",...} PATH relative to the directory; "\\" and "\n" escaped as in C
 *   detach [force] {"ok":true}
 *   restart        {"ok":true}                    or no answer: another process takes over at once
 *   what fails     {"ok":false,"status":11,"error":"resource busy"}, status as in base/status.h
 *
 * Served to root and to the attachment's own user only. Each request has a thread, so that one which waits for the
 * server doesn't hold up the others.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_CONTROL_H
#define INLAY_CMD_CONTROL_H

#include "cmd/attachment.h"
#include "cmd/json.h"

#include <stdbool.h>

struct inlay_control;

/* Listens and starts the thread; the attachment is mounted at dir. 0 or a status, with the socket's place in where. */
int inlay_control_start(struct inlay_attachment *a, const char *dir, char *where, size_t where_len,
	struct inlay_control **ret);
/*
 * Removes the socket, ends the thread and waits for requests under way, for at most 2 s. False: one of them still runs
 * in the attachment, which therefore must not be freed; the memory stays.
 */
bool inlay_control_stop(struct inlay_control *c);

/* One request line, without the newline, to its answer. For tests too: a may be NULL for requests that don't need it. */
void inlay_control_answer(struct inlay_attachment *a, const char *request, struct inlay_json *j);
/* {"ok":false,...}; text NULL: the status's own. */
void inlay_control_error(struct inlay_json *j, int status, const char *text);
/* A path for a request line: escaped into out, which has room for 2 * strlen(path) + 1 bytes; and back, in place. */
void inlay_control_escape(const char *path, char *out);
void inlay_control_unescape(char *path);

#endif

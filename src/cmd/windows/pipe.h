/*
 * Named pipes for administrators: one text line asks, one line of JSON answers, then the connection ends. Both ends, every
 * wait with a limit in time.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_PIPE_H
#define INLAY_CMD_WINDOWS_PIPE_H

#include "cmd/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#define INLAY_PIPE_REQUEST_MAX 65536u /* bytes of a line: the longest path, escaped, and the word before it */
#define INLAY_PIPE_NAME 64            /* characters of a pipe's whole name, with its NUL */

struct inlay_pipe_server;

struct inlay_pipe_server_config {
	const wchar_t *name; /* "\\.\pipe\inlay-..." */
	/* Puts one JSON value into j. On a thread of the request's own; may block; may write to request. */
	void (*answer)(void *arg, char *request, struct inlay_json *j);
	void *arg;
};

/*
 * Listens, for local administrators and the system only, and starts the thread. 0 or a status: -INLAY_EEXIST when somebody has
 * a pipe of that name.
 */
int inlay_pipe_serve(const struct inlay_pipe_server_config *config, struct inlay_pipe_server **ret);
/*
 * Ends the thread and waits for requests under way, for at most 2 s. False: one of them still runs, so what arg leads to must not be
 * freed; the server's memory stays.
 */
bool inlay_pipe_stop(struct inlay_pipe_server *s);

/*
 * Reads what is there from an overlapped pipe; event: a manual-reset one of the caller's. How many bytes; 0 or -1 when the time is over, stop (an
 * event, a process; NULL: none) is set, or nobody writes any more.
 */
int64_t inlay_pipe_read(void *pipe, void *event, void *stop, void *buf, size_t size, unsigned timeout_ms);

/* The asking end. */
struct inlay_talk {
	void *pipe, *event; /* handles; NULL: none */
	char *text;         /* what has come so far */
	size_t len;
};

/* -INLAY_ENOENT: nobody listens there; -INLAY_EACCES: the caller is no administrator; -INLAY_ETIMEDOUT; or another status. */
int inlay_talk_open(const wchar_t *name, unsigned timeout_ms, struct inlay_talk *ret);
/* Sends a request line (without its newline). 0 or a status. */
int inlay_talk_send(struct inlay_talk *t, const char *request);
/*
 * Reads until the answer is whole and valid JSON, at most until deadline_ms of inlay_clock_ms(). 0, -INLAY_ETIMEDOUT (call it
 * again to go on), or -INLAY_EPROTO: it ended or made no sense. The answer belongs to the talk: t->text.
 */
int inlay_talk_receive(struct inlay_talk *t, uint64_t deadline_ms);
void inlay_talk_done(struct inlay_talk *t);

#endif

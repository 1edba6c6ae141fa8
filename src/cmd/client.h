/*
 * A visit to a server without attaching: one connection, one thread, its own blocking loop. Calls are answered one by one
 * (inlay_visit_call) or many at a time (inlay_visit_submit and inlay_visit_turn).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_CLIENT_H
#define INLAY_CMD_CLIENT_H

#include "net/addr.h"
#include "session/client.h"

#include <stdbool.h>
#include <stddef.h>

struct inlay_visit;

/*
 * Connects and says HELLO. timeout_ms (not 0): for connecting, and later for how long a lost connection is tried again. 0, or a
 * status with one line for the user in why.
 */
int inlay_visit_open(const struct inlay_remote_name *name, bool insecure, unsigned timeout_ms, char *why, size_t why_len,
	struct inlay_visit **ret);
/* Says BYE (waits shortly for the answer) and frees it. No call may be outstanding. NULL is fine. */
void inlay_visit_close(struct inlay_visit *v);
/* What HELLO told: root, sizes, flags. */
const struct inlay_client *inlay_visit_client(const struct inlay_visit *v);
/* The caller of every request: this process's user and groups. */
const struct inlay_cred *inlay_visit_cred(const struct inlay_visit *v);

/* See struct inlay_call; done() runs within inlay_visit_turn() or at once. */
void inlay_visit_submit(struct inlay_visit *v, struct inlay_call *c);
/*
 * Sends, waits for something to happen (most_ms at most, UINT_MAX for no limit), receives, completes. Lost connections are
 * made anew meanwhile.
 */
void inlay_visit_turn(struct inlay_visit *v, unsigned most_ms);

/* The answer of one call; body and data lie in the visit until its next inlay_visit_call(). */
struct inlay_visit_answer {
	struct inlay_reader body;
	const uint8_t *data;
	uint32_t data_len;
};
/* Where the request's body is written before inlay_visit_call(). */
struct inlay_writer inlay_visit_begin(struct inlay_visit *v, uint16_t type);
/* 0 or a status. Not from within done(). */
int inlay_visit_call(struct inlay_visit *v, const struct inlay_writer *w, struct inlay_visit_answer *ret)
	__attribute__((warn_unused_result));

#endif

/*
 * What the commands that ask about attachments (status, explain, detach) have in common on every host: options, requests, words.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_ASKING_H
#define INLAY_CMD_ASKING_H

#include "cmd/json.h"
#include "cmd/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inlay_json_options {
	bool json;
};

struct inlay_detach_options {
	bool force;
	unsigned timeout_ms;
};

/* Of the first two into the first struct, of the third into the second. */
extern const struct inlay_option inlay_status_options[], inlay_explain_options[], inlay_detach_options[];

/* "explain PATH", escaped. Allocated; NULL: no memory. */
char *inlay_explain_request(const char *path);
/* Prints the answer, or says why there is none; path as the user gave it. True: it was an explanation. */
bool inlay_explain_answer(const char *answer, const char *path, bool json);

/* status --json: put() writes the members of the i-th attachment. */
void inlay_status_print_json(size_t count, void (*put)(struct inlay_json *j, const void *arg, size_t i), const void *arg);

/* A line on stderr that stands until it is hidden. */
void inlay_waiting_show(uint64_t deadline_ms, const char *what);
void inlay_waiting_hide(void);

#endif

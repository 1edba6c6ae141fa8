/*
 * Answers of the control channel (control.h), as people and programs see them: the same words on every host.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_ANSWER_TEXT_H
#define INLAY_CMD_ANSWER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* {"ok":true,...}: 0; else the negative status in it, with its text in buf. */
int inlay_answer_status(const char *json, char *buf, size_t size);

/* One fact to stdout: "  label        text", made safe for a terminal. */
void inlay_answer_line(const char *label, const char *text);
/* All that an answer to "status" tells but for directory and source, to stdout. */
void inlay_answer_print_facts(const char *json);
/* An answer to "explain PATH", to stdout; path as the user gave it. json: one object, else one line for people. */
void inlay_answer_print_explanation(const char *answer, const char *path, bool json);

#endif

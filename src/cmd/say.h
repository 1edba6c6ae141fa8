/*
 * What commands say to people: one line per failure, `program: what: where: what to do`, safe on a terminal.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_SAY_H
#define INLAY_CMD_SAY_H

#include <stddef.h>
#include <stdio.h>

/* Exit codes of every command. */
enum { INLAY_EXIT_OK = 0, INLAY_EXIT_FAILED = 1, INLAY_EXIT_USAGE = 2 };

/* The name before each line; kept, not copied. "inlay" until set. */
void inlay_say_program(const char *program);
/* One line to stderr, written at once; control bytes escaped. No newline in fmt. Any thread. */
void inlay_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Bytes made safe for a terminal: control bytes (C1 ones in UTF-8 too) and a backslash become \xHH, what isn't UTF-8 as well.
 * Writes at most size - 1 bytes and a NUL; returns how many bytes the whole would take, as snprintf does.
 */
size_t inlay_printable(const char *text, size_t len, char *buf, size_t size);
/* The same to a stream. */
void inlay_print_name(const char *text, FILE *to);
/* A path of this host: on Windows a backslash stays one. */
void inlay_print_path(const char *text, FILE *to);
/* Columns that inlay_print_name() takes, one per code point. */
size_t inlay_name_width(const char *text);

#endif

/*
 * Command lines: one table per command makes getopt_long's input, the --help text and the checks of values.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   struct serve_options { bool check; const char *config; unsigned threads; struct inlay_option_list exports; };
 *   static const struct inlay_option serve_table[] = {
 *           {.name = "export", .letter = 'e', .kind = INLAY_OPTION_LIST, .value = "NAME=DIR", .help = "serve DIR",
 *            .at = offsetof(struct serve_options, exports)},
 *           {.name = NULL},
 *   };
 */
#ifndef INLAY_CMD_OPTIONS_H
#define INLAY_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum inlay_option_kind {
	INLAY_OPTION_FLAG,    /* bool, set to true */
	INLAY_OPTION_TEXT,    /* const char *, points into argv; the last one wins */
	INLAY_OPTION_NUMBER,  /* unsigned, from min to max */
	INLAY_OPTION_SECONDS, /* unsigned, milliseconds; min and max in seconds. Fractions are accepted */
	INLAY_OPTION_LIST,    /* struct inlay_option_list, in the order given */
	INLAY_OPTION_CALL,    /* whatever set() does */
	INLAY_OPTION_VERSION, /* prints program and version; no place */
};

/* Zero it before parsing; free(item) afterwards. The texts point into argv. */
struct inlay_option_list {
	const char **item;
	size_t count;
};

struct inlay_option {
	const char *name;  /* without the dashes; NULL ends the table */
	char letter;       /* 0: none */
	enum inlay_option_kind kind;
	const char *value; /* how --help calls the value; NULL for FLAG and VERSION */
	const char *help;  /* one line, no full stop */
	size_t at;         /* offset in the struct that is filled; not used by CALL and VERSION */
	unsigned min, max; /* NUMBER, SECONDS */
	/* CALL: `into` is the whole struct. 0, or a status with *ret_why a text that lives on: what is wrong with value. */
	int (*set)(void *into, const char *value, const char **ret_why);
};

struct inlay_command {
	const char *name;     /* as typed: "inlay attach", "inlayd" */
	const char *operands; /* "SERVER[:PORT]/EXPORT DIR", "" for none */
	const char *summary;  /* one line */
	const char *details;  /* shown last, NULL for none; ends with a newline */
	unsigned operands_min, operands_max;
	const struct inlay_option *options; /* -h, --help is always there and stands in no table */
};

enum { INLAY_OPTIONS_WRONG = -1, INLAY_OPTIONS_DONE = -2 };

/*
 * argv[0] is skipped. Returns the index of the first operand: options and operands may come mixed, argv is reordered.
 * WRONG: one line about it went to stderr, exit 2. DONE: help or version went to stdout, exit 0. Main thread only.
 */
int inlay_options_parse(const struct inlay_command *c, int argc, char **argv, void *into)
	__attribute__((warn_unused_result));
void inlay_options_help(const struct inlay_command *c, FILE *to);

/* "1.5" as milliseconds. 0, or -INLAY_EINVAL when it isn't a number of seconds from min to max. */
int inlay_seconds_parse(const char *text, unsigned min, unsigned max, unsigned *ret_ms);
/* A decimal number from min to max and nothing else. 0 or -INLAY_EINVAL. */
int inlay_number_parse(const char *text, unsigned min, unsigned max, unsigned *ret);

#endif

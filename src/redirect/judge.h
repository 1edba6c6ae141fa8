/*
 * The judge's rules: an ordered list of "local GLOB" and "remote GLOB", first match wins.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Immutable once built, so any thread may ask.
 */
#ifndef INLAY_REDIRECT_JUDGE_H
#define INLAY_REDIRECT_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

enum inlay_side { INLAY_LOCAL = 0, INLAY_REMOTE = 1 };
#define INLAY_SIDES 2

struct inlay_rule {
	enum inlay_side side;
	unsigned number; /* from 1, for people */
	char *text;      /* as written */
	const char *glob; /* within text */
	/*
	 * An earlier rule sends something to the other side, perhaps beneath a directory that this one matches: such a
	 * directory is shown and walked through where it exists, whichever side that is; what lies in it has its own rules.
	 */
	bool contested;
};

struct inlay_judge;

struct inlay_judge *inlay_judge_new(void); /* NULL: out of memory */
void inlay_judge_free(struct inlay_judge *j);
/* Appends. 0; -INLAY_EINVAL with *ret_why a static text; -INLAY_ENOMEM. */
int inlay_judge_add(struct inlay_judge *j, const char *rule, const char **ret_why);
/* Letters of ASCII match in either case from now on: for a host whose names do. Before any thread asks. */
void inlay_judge_ignore_case(struct inlay_judge *j);
bool inlay_judge_has_rules(const struct inlay_judge *j);
/* The first rule that matches the path (relative to the filter directory), NULL for none. */
const struct inlay_rule *inlay_judge_match(const struct inlay_judge *j, const char *path, size_t len, bool is_dir);

#endif

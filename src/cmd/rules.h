/*
 * Rules as users give them: "local GLOB" and "remote GLOB", one by one or in files, kept in order.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_RULES_H
#define INLAY_CMD_RULES_H

#include <stddef.h>

/* Zero it to begin. rule is NULL-terminated once there is one. */
struct inlay_rules {
	char **rule;
	size_t count;
};

/* 0, or -INLAY_EINVAL with *ret_why a static text. */
int inlay_rule_check(const char *rule, const char **ret_why);
/* Checks and copies one; surrounding blanks are left out, and the word and the glob end up one space apart. */
int inlay_rules_add(struct inlay_rules *r, const char *rule, const char **ret_why);
/*
 * Adds those of a file: one a line, '#' begins a comment line, empty lines are skipped. On failure why holds one line:
 * what, and where in the file.
 */
int inlay_rules_add_file(struct inlay_rules *r, const char *path, char *why, size_t why_len);
void inlay_rules_done(struct inlay_rules *r);

#endif

/*
 * Rules as users give them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/rules.h"

#include "base/glob.h"
#include "base/status.h"
#include "cmd/whole.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANK " \t\r"

/* The glob of a rule, and its side in *ret_local; NULL when it is none. */
static const char *split(const char *rule, int *ret_local)
{
	size_t word;

	rule += strspn(rule, BLANK);
	word = strcspn(rule, BLANK);
	*ret_local = word == 5 && memcmp(rule, "local", 5) == 0;
	if (!*ret_local && !(word == 6 && memcmp(rule, "remote", 6) == 0))
		return NULL;
	return rule + word + strspn(rule + word, BLANK);
}

int inlay_rules_add(struct inlay_rules *r, const char *rule, const char **ret_why)
{
	int local;
	const char *glob = split(rule, &local);
	char *copy, **grown;
	size_t len;

	if (!glob) {
		*ret_why = "a rule is \"local GLOB\" or \"remote GLOB\"";
		return -INLAY_EINVAL;
	}
	*ret_why = inlay_status_text(INLAY_ENOMEM);
	grown = realloc(r->rule, (r->count + 2) * sizeof(*grown));
	if (!grown)
		return -INLAY_ENOMEM;
	r->rule = grown;
	grown[r->count] = NULL;
	if (asprintf(&copy, "%s %s", local ? "local" : "remote", glob) < 0)
		return -INLAY_ENOMEM;
	/* A blank at the end belongs to the glob only when it is escaped. */
	for (len = strlen(copy); strchr(BLANK, copy[len - 1]) && copy[len - 2] != '\\' && len > (local ? 6u : 7u); len--)
		copy[len - 1] = '\0';
	if (inlay_glob_check(copy + (local ? 6 : 7), ret_why) < 0) {
		free(copy);
		return -INLAY_EINVAL;
	}
	grown[r->count++] = copy;
	grown[r->count] = NULL;
	return 0;
}

int inlay_rule_check(const char *rule, const char **ret_why)
{
	struct inlay_rules r = {0};
	int status = inlay_rules_add(&r, rule, ret_why);

	inlay_rules_done(&r);
	return status;
}

int inlay_rules_add_file(struct inlay_rules *r, const char *path, char *why, size_t why_len)
{
	char *text, *cursor, *line;
	size_t len;
	unsigned number = 0;
	int status = inlay_whole_read(path, &text, &len);

	if (status < 0) {
		snprintf(why, why_len, "%s", inlay_status_text(status));
		return status;
	}
	if (strlen(text) != len) {
		snprintf(why, why_len, "holds a NUL byte: not a text file");
		status = -INLAY_EINVAL;
	}
	cursor = text;
	while (status == 0 && (line = strsep(&cursor, "\n")) != NULL) {
		const char *wrong;

		number++;
		line += strspn(line, BLANK);
		if (*line == '#' || !*line)
			continue;
		status = inlay_rules_add(r, line, &wrong);
		if (status < 0)
			snprintf(why, why_len, "line %u: \"%.200s\": %s", number, line, wrong);
	}
	free(text);
	return status;
}

void inlay_rules_done(struct inlay_rules *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->rule[i]);
	free(r->rule);
	*r = (struct inlay_rules){NULL, 0};
}

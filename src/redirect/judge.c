/*
 * The judge's rules.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/judge.h"

#include "base/glob.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

struct inlay_judge {
	struct inlay_rule *rules;
	unsigned count;
	bool either_case;
};

struct inlay_judge *inlay_judge_new(void)
{
	return calloc(1, sizeof(struct inlay_judge));
}

void inlay_judge_free(struct inlay_judge *j)
{
	if (!j)
		return;
	for (unsigned i = 0; i < j->count; i++)
		free(j->rules[i].text);
	free(j->rules);
	free(j);
}

/* Steps over the side's word and the blanks after it; NULL when the rule starts with neither word. */
static const char *parse_side(const char *rule, enum inlay_side *ret_side)
{
	static const char *const words[INLAY_SIDES] = {[INLAY_LOCAL] = "local", [INLAY_REMOTE] = "remote"};

	for (int side = 0; side < INLAY_SIDES; side++) {
		size_t len = strlen(words[side]);

		if (strncmp(rule, words[side], len) == 0 && (rule[len] == ' ' || rule[len] == '\t')) {
			*ret_side = (enum inlay_side)side;
			return rule + len + strspn(rule + len, " \t");
		}
	}
	return NULL;
}

int inlay_judge_add(struct inlay_judge *j, const char *rule, const char **ret_why)
{
	struct inlay_rule *grown, r = {.number = j->count + 1};
	const char *glob = parse_side(rule, &r.side);
	int err;

	if (!glob) {
		*ret_why = "a rule is \"local GLOB\" or \"remote GLOB\"";
		return -INLAY_EINVAL;
	}
	err = inlay_glob_check(glob, ret_why);
	if (err < 0)
		return err;
	*ret_why = "out of memory";
	grown = realloc(j->rules, (j->count + 1) * sizeof *grown);
	if (!grown)
		return -INLAY_ENOMEM;
	j->rules = grown;
	for (unsigned i = 0; i < j->count; i++)
		r.contested = r.contested || grown[i].side != r.side;
	r.text = strdup(rule);
	if (!r.text)
		return -INLAY_ENOMEM;
	r.glob = r.text + (glob - rule);
	j->rules[j->count++] = r;
	return 0;
}

void inlay_judge_ignore_case(struct inlay_judge *j)
{
	j->either_case = true;
}

bool inlay_judge_has_rules(const struct inlay_judge *j)
{
	return j->count > 0;
}

const struct inlay_rule *inlay_judge_match(const struct inlay_judge *j, const char *path, size_t len, bool is_dir)
{
	bool (*match)(const char *pattern, const char *path, size_t path_len, bool dir) =
		j->either_case ? inlay_glob_match_either_case : inlay_glob_match;

	for (unsigned i = 0; i < j->count; i++)
		if (match(j->rules[i].glob, path, len, is_dir))
			return &j->rules[i];
	return NULL;
}

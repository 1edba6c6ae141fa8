/*
 * Bytes as rules, one a line, and after an empty line as paths: what is taken must be matched without harm, always with
 * the same answer, and by a rule that is there.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "redirect/judge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void ask(const struct inlay_judge *j, const char *path, size_t len, unsigned rules)
{
	for (int dir = 0; dir <= 1; dir++) {
		const struct inlay_rule *r = inlay_judge_match(j, path, len, dir);

		require(r == inlay_judge_match(j, path, len, dir));
		require(!r || (r->number >= 1 && r->number <= rules && (r->side == INLAY_LOCAL || r->side == INLAY_REMOTE)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inlay_judge *j = inlay_judge_new();
	char *text = malloc(size + 1), *rest = text, *line;
	unsigned rules = 0;

	if (!j || !text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	while ((line = strsep(&rest, "\n")) && *line && rules < 64) {
		const char *why = NULL;
		int err = strlen(line) < 256 ? inlay_judge_add(j, line, &why) : -INLAY_EINVAL;

		require(err == 0 || err == -INLAY_EINVAL);
		require(err == 0 || strlen(line) >= 256 || (why && *why));
		rules += err == 0;
	}
	require(inlay_judge_has_rules(j) == (rules > 0));
	for (unsigned n = 0; n < 64 && (line = strsep(&rest, "\n")); n++) {
		size_t len = strlen(line);

		if (*line && line[0] != '/' && line[len - 1] != '/' && len < 256)
			ask(j, line, len, rules);
	}
	inlay_judge_free(j);
	free(text);
	return 0;
}

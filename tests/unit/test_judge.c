/*
 * Rules: how they are written, what they match, in which order.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "redirect/judge.h"

#include "support.h"

#include <stdio.h>
#include <string.h>

static struct inlay_judge *judge(const char *const *rules)
{
	struct inlay_judge *j = inlay_judge_new();
	const char *why = NULL;

	assert_non_null(j);
	for (; *rules; rules++)
		assert_int_equal(inlay_judge_add(j, *rules, &why), 0);
	return j;
}

/* 'l', 'r' or '-' for no rule. */
static char says(const struct inlay_judge *j, const char *path, bool is_dir)
{
	const struct inlay_rule *r = inlay_judge_match(j, path, strlen(path), is_dir);

	return !r ? '-' : r->side == INLAY_LOCAL ? 'l' : 'r';
}

static void no_rules_match_nothing(void **state)
{
	struct inlay_judge *j = inlay_judge_new();

	(void)state;
	assert_false(inlay_judge_has_rules(j));
	assert_int_equal(says(j, "a", false), '-');
	assert_int_equal(says(j, "a/b", true), '-');
	inlay_judge_free(j);
	inlay_judge_free(NULL);
}

static void the_first_match_wins(void **state)
{
	static const char *const rules[] = {"remote keep.o", "local *.o", "remote *", NULL};
	struct inlay_judge *j = judge(rules);
	const struct inlay_rule *r;

	(void)state;
	assert_true(inlay_judge_has_rules(j));
	assert_int_equal(says(j, "keep.o", false), 'r');
	assert_int_equal(says(j, "other.o", false), 'l');
	assert_int_equal(says(j, "other.c", false), 'r');
	r = inlay_judge_match(j, "x.o", 3, false);
	assert_int_equal(r->number, 2);
	assert_string_equal(r->text, "local *.o");
	assert_string_equal(r->glob, "*.o");
	inlay_judge_free(j);
}

static void a_slash_at_the_end_means_directories(void **state)
{
	static const char *const rules[] = {"local build/", "remote \t deep/**/x", NULL};
	struct inlay_judge *j = judge(rules);

	(void)state;
	assert_int_equal(says(j, "build", true), 'l');
	assert_int_equal(says(j, "build", false), '-');
	assert_int_equal(says(j, "deep/a/b/x", false), 'r');
	assert_int_equal(says(j, "deep/a/b/y", false), '-');
	inlay_judge_free(j);
}

/* The length counts, not a NUL. */
static void paths_are_taken_by_length(void **state)
{
	static const char *const rules[] = {"local ab", NULL};
	struct inlay_judge *j = judge(rules);

	(void)state;
	assert_non_null(inlay_judge_match(j, "abc", 2, false));
	assert_null(inlay_judge_match(j, "abc", 3, false));
	assert_null(inlay_judge_match(j, "ab", 1, false));
	inlay_judge_free(j);
}

static void bad_rules_are_refused_and_leave_no_trace(void **state)
{
	static const char *const bad[] = {"", "local", "local ", "local\t", "remote", "loca x", "localx", "LOCAL x", " local x",
	                                  "remotely x", "local ../up", "local a//b", "local [x", NULL};
	struct inlay_judge *j = inlay_judge_new();

	(void)state;
	for (const char *const *rule = bad; *rule; rule++) {
		const char *why = NULL;

		if (inlay_judge_add(j, *rule, &why) == 0)
			fail_msg("taken: '%s'", *rule);
		assert_non_null(why);
		assert_true(strlen(why) > 4 && !strchr(why, '\n'));
	}
	assert_false(inlay_judge_has_rules(j));
	inlay_judge_free(j);
}

static void many_rules_keep_their_order(void **state)
{
	struct inlay_judge *j = inlay_judge_new();
	const char *why;
	char text[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof text, "%s name%d", i % 2 ? "local" : "remote", i / 2);
		assert_int_equal(inlay_judge_add(j, text, &why), 0);
	}
	for (unsigned i = 0; i < 500; i++) {
		const struct inlay_rule *r;

		snprintf(text, sizeof text, "name%u", i);
		r = inlay_judge_match(j, text, strlen(text), false);
		assert_non_null(r);
		assert_int_equal(r->number, 2 * i + 1);
		assert_int_equal(r->side, INLAY_REMOTE);
	}
	inlay_judge_free(j);
}

RUN_TESTS(cmocka_unit_test(no_rules_match_nothing), cmocka_unit_test(the_first_match_wins),
          cmocka_unit_test(a_slash_at_the_end_means_directories), cmocka_unit_test(paths_are_taken_by_length),
          cmocka_unit_test(bad_rules_are_refused_and_leave_no_trace), cmocka_unit_test(many_rules_keep_their_order))

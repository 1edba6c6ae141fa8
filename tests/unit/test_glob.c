/*
 * Globs: what matches, what doesn't, what is refused, and that time stays bounded.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/glob.h"

#include "support.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum expected { NO, YES };

/* A path that ends in '/' is a directory (the slash is not part of what is handed over). */
static const struct {
	const char *pattern, *path;
	enum expected expected;
} cases[] = {
	/* Without a slash: at any depth. */
	{"a", "a", YES}, {"a", "b", NO}, {"a", "x/a", YES}, {"a", "x/y/z/a", YES}, {"a", "aa", NO}, {"aa", "a", NO},
	{"a", "xa", NO}, {"a", "x/ab", NO}, {"A", "a", NO},
	/* What lies beneath a directory that matched. */
	{"a", "a/b", YES}, {"a", "x/a/b/c", YES}, {"a", "x/ab/c", NO}, {"*.o", "x/y.o/z", YES},
	/* '*' within one name. */
	{"*", "a", YES}, {"*", "a/b", YES}, {"*.o", "a.o", YES}, {"*.o", "x/a.o", YES}, {"*.o", "a.oo", NO}, {"*.o", ".o", YES},
	{"a*", "a", YES}, {"a*", "abc", YES}, {"a*c", "abc", YES}, {"a*c", "abcd", NO}, {"a*b*c", "axxbxxc", YES},
	{"a*b*c", "axxcxxb", NO}, {"a*bc", "abbc", YES}, {"*a*b", "xaxxb", YES}, {"*a*b", "xbxa", NO}, {"a*a", "a", NO},
	{"/a*b", "a/b", NO}, {"/*", "a", YES}, {"/*/b", "a/b", YES}, {"/*/b", "b", NO}, {"/*/b", "a/c/b", NO},
	/* '?' */
	{"?", "a", YES}, {"?", "ab", NO}, {"a?c", "abc", YES}, {"a?c", "ac", NO}, {"/a?c", "a/c", NO}, {"??", "ab", YES},
	/* Sets. */
	{"[abc]", "b", YES}, {"[abc]", "d", NO}, {"[a-c]x", "bx", YES}, {"[a-c]x", "dx", NO}, {"[!a-c]", "d", YES},
	{"[!a-c]", "a", NO}, {"[]]", "]", YES}, {"[]]", "x", NO}, {"[!]]", "x", YES}, {"[!]]", "]", NO}, {"[a-]", "-", YES},
	{"[a-]", "b", NO}, {"[-a]", "-", YES}, {"[\\]]", "]", YES}, {"[a\\-c]", "-", YES}, {"[a\\-c]", "b", NO},
	{"/[!x]b", "a/b", NO}, {"[*]", "*", YES}, {"[*]", "a", NO}, {"[**]", "*", YES}, {"[?]", "a", NO},
	{"[a-z][0-9]", "k7", YES}, {"[a-z][0-9]", "7k", NO}, {"*[0-9]", "file10", YES}, {"*[0-9]", "file", NO},
	{"[\x80-\xff]", "\xc3", YES}, {"[\x80-\xff]", "a", NO}, {"[^a]", "a", YES}, {"[a!]", "!", YES},
	/* Escapes. */
	{"\\*", "*", YES}, {"\\*", "a", NO}, {"a\\?", "a?", YES}, {"a\\?", "ab", NO}, {"\\[a]", "[a]", YES}, {"\\[a]", "a", NO},
	{"\\a", "a", YES}, {"\\\\", "\\", YES}, {"\\**", "*x", YES}, {"\\**", "x", NO},
	/* With a slash: anchored. */
	{"/a", "a", YES}, {"/a", "x/a", NO}, {"a/b", "a/b", YES}, {"a/b", "x/a/b", NO}, {"a/b", "a/b/c", YES}, {"a/b", "a", NO},
	{"a/b", "a/bc", NO}, {"/a/b", "a/b", YES}, {"/a/b", "a/c", NO},
	/* A trailing slash: directories only. */
	{"a/", "a/", YES}, {"a/", "a", NO}, {"a/", "x/a/", YES}, {"a/", "x/a", NO}, {"a/", "a/b", YES}, {"a/", "x/a/b", YES},
	{"/a/", "x/a/", NO}, {"/a/", "a/", YES}, {"a/b/", "a/b", NO}, {"a/b/", "a/b/", YES}, {"a/b/", "a/b/c", YES}, {"*/", "a", NO},
	{"*/", "a/", YES}, {"*/", "a/b", YES},
	/* "**" as a whole name. */
	{"**", "a", YES}, {"**", "a/b/c", YES}, {"**/a", "a", YES}, {"**/a", "x/y/a", YES}, {"**/a", "x/y/b", NO},
	{"**/a", "xa", NO}, {"a/**/b", "a/b", YES}, {"a/**/b", "a/x/b", YES}, {"a/**/b", "a/x/y/b", YES}, {"a/**/b", "x/a/b", NO},
	{"a/**/b", "a/x/c", NO}, {"a/**/b", "ab", NO}, {"a/**", "a/b", YES}, {"a/**", "a/b/c", YES}, {"a/**", "a/", YES},
	{"a/**", "a", NO}, {"a/**", "b", NO}, {"a/**", "x/a/b", NO}, {"/**/a", "x/a", YES}, {"**/a/**/b", "x/a/y/b", YES},
	{"**/a/**/b", "x/b/y/a", NO}, {"**/a/b", "a/a/b", YES}, {"**/a/b", "a/x/b", NO}, {"a/**/b/**/c", "a/b/x/b/c", YES},
	{"a/**/b/**/c", "a/c/b", NO}, {"**/**/a", "a", YES}, {"**/", "a", NO}, {"**/", "a/", YES}, {"**/", "a/b", YES},
	{"a/**/", "a/", NO}, {"a/**/", "a/b", NO}, {"a/**/", "a/b/", YES}, {"a/**/", "a/b/c", YES},
	{"a/**/*.o", "a/x/y.o", YES}, {"a/**/*.o", "a/x/y.c", NO}, {"**/a/", "x/a", NO}, {"**/a/", "x/a/", YES},
	/* The same name twice on the way: the first match must not hide the second. */
	{"a/", "a/a", YES}, {"**/a/b", "a/c/a/b", YES}, {"**/*.d/x", "1.d/2.d/x", YES},
	/* The filter directory itself. */
	{"*", "", NO}, {"a", "", NO}, {"/a", "", NO}, {"**/a", "", NO},
};

static void table_of_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *path = cases[i].path, *why = NULL;
		size_t len = strlen(path);
		bool is_dir = len > 0 && path[len - 1] == '/';

		if (inlay_glob_check(cases[i].pattern, &why) != 0)
			fail_msg("pattern %s is refused: %s", cases[i].pattern, why);
		if (inlay_glob_match(cases[i].pattern, path, len - is_dir, is_dir) != (cases[i].expected == YES))
			fail_msg("pattern %s, path %s", cases[i].pattern, path);
	}
}

static void path_ends_at_its_length(void **state)
{
	(void)state;
	assert_true(inlay_glob_match("ab", "abc", 2, false));
	assert_false(inlay_glob_match("abc", "abc", 2, false));
	assert_true(inlay_glob_match("a?c", "a\nc", 3, false));
	assert_true(inlay_glob_match("a*c", "a\xff\xfe" "c", 4, false));
}

static void check_refuses(void **state)
{
	static const char *const bad[][2] = {
		{"", "the pattern is empty"},
		{"/", "the pattern is empty"},
		{"//", "two '/' in a row"},
		{"a//b", "two '/' in a row"},
		{"a//", "two '/' in a row"},
		{"[", "a set '[' is not closed"},
		{"[]", "a set '[' is not closed"},
		{"[!]", "a set '[' is not closed"},
		{"a[b", "a set '[' is not closed"},
		{"[a-", "a set '[' is not closed"},
		{"[a/b]", "a set '[' is not closed"},
		{"[a-/]", "a set '[' is not closed"},
		{"[a\\", "a set '[' is not closed"},
		{"[a\\]", "a set '[' is not closed"},
		{"[a-\\", "a set '[' is not closed"},
		{"[z-a]", "a range in a set runs backwards"},
		{"a\\", "a '\\' stands at the end"},
		{"a\\/b", "a '\\' stands before a '/'"},
		{"a**", "\"**\" must be a whole name between slashes"},
		{"**a", "\"**\" must be a whole name between slashes"},
		{"***", "\"**\" must be a whole name between slashes"},
		{"x/a**/b", "\"**\" must be a whole name between slashes"},
		{"x/**b/c", "\"**\" must be a whole name between slashes"},
		{".", "\".\" and \"..\" never match"},
		{"./a", "\".\" and \"..\" never match"},
		{"a/../b", "\".\" and \"..\" never match"},
		{"a/..", "\".\" and \"..\" never match"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		if (inlay_glob_check(bad[i][0], &why) != -INLAY_EINVAL)
			fail_msg("pattern %s is accepted", bad[i][0]);
		assert_string_equal(why, bad[i][1]);
	}
}

static void check_accepts_and_leaves_the_reason(void **state)
{
	static const char *const good[] = {"a", "/a", "a/", "**", "**/", "/**", "a/**/b", "[]a]", "[!]]", "[a-]", "\\*\\*", "..."};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *why = NULL;

		assert_int_equal(inlay_glob_check(good[i], &why), 0);
	}
}

/* Patterns on which backtracking without a bound would take longer than anybody lives. */
static void no_explosion(void **state)
{
	char pattern[4096] = "", path[4096] = "";
	clock_t start = clock();

	(void)state;
	for (int i = 0; i < 1000; i++)
		memcpy(pattern + 2 * i, "*a", 3);
	strcat(pattern, "b");
	memset(path, 'a', 4000);
	assert_false(inlay_glob_match(pattern, path, strlen(path), false));

	pattern[0] = path[0] = 0;
	for (int i = 0; i < 500; i++)
		memcpy(pattern + 5 * i, "**/a/", 6);
	strcat(pattern, "b");
	for (int i = 0; i < 1500; i++)
		memcpy(path + 2 * i, "a/", 3);
	strcat(path, "c");
	assert_false(inlay_glob_match(pattern, path, strlen(path), false));

	/* Both match when their end does: the loops above did reach it. */
	path[strlen(path) - 1] = 'b';
	assert_true(inlay_glob_match(pattern, path, strlen(path), false));
	assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5);
}

/*
 * The obvious exponential matcher, straight from the contract, as a model: names of the pattern against names of the
 * path, by recursion. Small alphabets make both answers frequent.
 */
static bool model_name(const char *p, const char *p_end, const char *s, const char *s_end)
{
	if (p == p_end)
		return s == s_end;
	if (*p == '*')
		return model_name(p + 1, p_end, s, s_end) || (s < s_end && model_name(p, p_end, s + 1, s_end));
	return s < s_end && (*p == '?' || *p == *s) && model_name(p + 1, p_end, s + 1, s_end);
}

static bool model_path(const char *p, const char *s, bool only_dir, bool is_dir)
{
	const char *p_end = strchrnul(p, '/'), *s_end = strchrnul(s, '/');
	const char *p_next = *p_end ? p_end + 1 : p_end, *s_next = *s_end ? s_end + 1 : s_end;

	if (!*p)
		return *s || is_dir || !only_dir;
	if (strncmp(p, "**", 2) == 0)
		return model_path(p_next, s, only_dir, is_dir) || (*s && model_path(p, s_next, only_dir, is_dir));
	return *s && model_name(p, p_end, s, s_end) && model_path(p_next, s_next, only_dir, is_dir);
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 10) % below;
}

static void make(uint32_t *seed, char *out, const char *const *names, uint32_t kinds, uint32_t max)
{
	*out = 0;
	for (uint32_t n = 1 + draw(seed, max), i = 0; i < n; i++) {
		strcat(out, i ? "/" : "");
		strcat(out, names[draw(seed, kinds)]);
	}
}

static void against_a_model(void **state)
{
	static const char *const pattern_names[] = {"a", "b", "*", "?", "a*", "*b", "**", "**", "*a*b"};
	static const char *const path_names[] = {"a", "b", "ab", "aab", "abab"};
	uint32_t seed = 7, matches = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char pattern[64] = "/", path[64];
		bool is_dir = draw(&seed, 2), only_dir = draw(&seed, 2), got, wanted;

		make(&seed, pattern + 1, pattern_names, 9, 5);
		/* A "**" at the end has its own rule, which the table above pins. */
		strcat(pattern, strcmp(pattern + strlen(pattern) - 2, "**") == 0 ? "/a" : "");
		make(&seed, path, path_names, 5, 6);
		wanted = model_path(pattern + 1, path, only_dir, is_dir);
		strcat(pattern, only_dir ? "/" : "");
		got = inlay_glob_match(pattern, path, strlen(path), is_dir);
		if (got != wanted)
			fail_msg("pattern %s, path %s, directory %d: %d", pattern, path, is_dir, got);
		matches += got;
	}
	assert_in_range(matches, 20000, 180000);
}

static void letters_in_either_case(void **state)
{
	static const struct {
		const char *pattern, *path;
		enum expected expected;
	} either[] = {
		{"*.TMP", "a.tmp", YES}, {"*.tmp", "x/A.TMP", YES}, {"[a-c]x", "BX", YES}, {"[!a-c]", "B", NO}, {"[A-C]", "b", YES},
		{"\\A", "a", YES}, {"a@", "A`", NO}, {"\xc3\xa4", "\xc3\x84", NO}, {"dir/**", "DIR/x", YES},
	};

	(void)state;
	for (size_t i = 0; i < sizeof either / sizeof *either; i++) {
		bool is = inlay_glob_match_either_case(either[i].pattern, either[i].path, strlen(either[i].path), false);

		if (is != (either[i].expected == YES))
			fail_msg("%s %s", either[i].pattern, either[i].path);
		/* The exact one tells them apart. */
		if (either[i].expected == YES)
			assert_false(inlay_glob_match(either[i].pattern, either[i].path, strlen(either[i].path), false));
	}
}

RUN_TESTS(cmocka_unit_test(letters_in_either_case), 
	cmocka_unit_test(table_of_cases), cmocka_unit_test(path_ends_at_its_length), cmocka_unit_test(check_refuses),
	cmocka_unit_test(check_accepts_and_leaves_the_reason), cmocka_unit_test(no_explosion),
	cmocka_unit_test(against_a_model))

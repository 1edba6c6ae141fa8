/*
 * Command lines: values reach their places, mistakes are refused, and every command's table is sound.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/options.h"

#include "support.h"

#include "base/status.h"
#include "cmd/commands.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct options {
	bool flag;
	const char *text;
	unsigned number, ms;
	struct inlay_option_list list;
	char called[64];
};

static int set(void *into, const char *value, const char **ret_why)
{
	struct options *o = into;

	if (strcmp(value, "bad") == 0) {
		*ret_why = "a bad value";
		return -INLAY_EINVAL;
	}
	strcat(strcat(o->called, value), ";");
	return 0;
}

static const struct inlay_option table[] = {
	{.name = "flag", .letter = 'f', .kind = INLAY_OPTION_FLAG, .help = "h", .at = offsetof(struct options, flag)},
	{.name = "text", .kind = INLAY_OPTION_TEXT, .value = "T", .help = "h", .at = offsetof(struct options, text)},
	{.name = "number", .letter = 'n', .kind = INLAY_OPTION_NUMBER, .value = "N", .min = 2, .max = 9, .help = "h",
		.at = offsetof(struct options, number)},
	{.name = "seconds", .kind = INLAY_OPTION_SECONDS, .value = "S", .max = 100, .help = "h", .at = offsetof(struct options, ms)},
	{.name = "list", .kind = INLAY_OPTION_LIST, .value = "L", .help = "h", .at = offsetof(struct options, list)},
	{.name = "call", .kind = INLAY_OPTION_CALL, .value = "C", .help = "h", .set = set},
	{.name = NULL},
};
static const struct inlay_command command = {
	.name = "try", .operands = "A [B]", .summary = "s", .operands_min = 1, .operands_max = 2, .options = table};

/* Words separated by one blank. Errors go to *ret_said. */
static int parse(const char *line, struct options *o, char said[512])
{
	static char words[512];
	char *argv[32] = {(char[]){"try"}}, *cursor = words;
	int argc = 1, saved = dup(STDERR_FILENO), fd = memfd_create("said", MFD_CLOEXEC), result;
	ssize_t n;

	memset(o, 0, sizeof(*o));
	strcpy(words, line);
	while (cursor && argc < 31)
		argv[argc++] = strsep(&cursor, " ");
	if (!*line)
		argc = 1;
	argv[argc] = NULL;
	dup2(fd, STDERR_FILENO);
	result = inlay_options_parse(&command, argc, argv, o);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(fd, said, 511, 0);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	return result;
}

static void test_values(void **state)
{
	struct options o;
	char said[512];

	(void)state;
	assert_int_equal(parse("a -f --text=x --text y -n 3 --seconds 1.25 --list p --call c1 --list q --call c2 b", &o, said), 17);
	assert_true(o.flag);
	assert_string_equal(o.text, "y");
	assert_int_equal(o.number, 3);
	assert_int_equal(o.ms, 1250);
	assert_int_equal(o.list.count, 2);
	assert_string_equal(o.list.item[0], "p");
	assert_string_equal(o.list.item[1], "q");
	assert_string_equal(o.called, "c1;c2;");
	assert_string_equal(said, "");
	free(o.list.item);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *line, *said;
	} cases[] = {
		{"", "inlay: operand missing: A [B]: see \"try --help\"\n"},
		{"a b c", "inlay: too many operands: c: see \"try --help\"\n"},
		{"a --nope", "inlay: unknown or ambiguous option: --nope: see \"try --help\"\n"},
		{"a -x", "inlay: unknown option: -x: see \"try --help\"\n"},
		{"a --flag=1", "inlay: takes no value: --flag=1: see \"try --help\"\n"},
		{"a --text", "inlay: value missing: --text: see \"try --help\"\n"},
		{"a -n", "inlay: value missing: -n: see \"try --help\"\n"},
		{"a -n 1", "inlay: not a number from 2 to 9: --number 1: see \"try --help\"\n"},
		{"a -n 10", "inlay: not a number from 2 to 9: --number 10: see \"try --help\"\n"},
		{"a -n 5x", "inlay: not a number from 2 to 9: --number 5x: see \"try --help\"\n"},
		{"a --seconds 101", "inlay: not a number of seconds from 0 to 100: --seconds 101: see \"try --help\"\n"},
		{"a --call bad", "inlay: a bad value: --call bad: see \"try --help\"\n"},
		{"a --\033[31m", "inlay: unknown or ambiguous option: --\\x1b[31m: see \"try --help\"\n"},
	};
	struct options o;
	char said[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].line, &o, said), INLAY_OPTIONS_WRONG);
		assert_string_equal(said, cases[i].said);
	}
	/* The same words where they are right. */
	assert_int_equal(parse("-n 2 -- --nope", &o, said), 4);
}

static void test_seconds(void **state)
{
	static const char *const wrong[] = {"", ".", ".5", "1.", "-1", "+1", "1e3", "nan", " 1", "1 ", "1,5", "0x1", "9999999999", "11"};
	unsigned ms = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(inlay_seconds_parse(wrong[i], 0, 10, &ms), -INLAY_EINVAL);
		assert_int_equal(ms, 7);
	}
	assert_int_equal(inlay_seconds_parse("0", 0, 10, &ms), 0);
	assert_int_equal(ms, 0);
	assert_int_equal(inlay_seconds_parse("0.5", 0, 10, &ms), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(inlay_seconds_parse("10.0009", 0, 10, &ms), 0);
	assert_int_equal(ms, 10000);
	assert_int_equal(inlay_seconds_parse("0.9", 1, 10, &ms), -INLAY_EINVAL);
}

/* Each name once, each letter once, a help for each; and that the help names them. */
static void check_table(const struct inlay_command *c)
{
	char help[8192] = "", wanted[64];
	FILE *to = fmemopen(help, sizeof(help), "w");

	inlay_options_help(c, to);
	fclose(to);
	assert_non_null(strstr(help, "--help"));
	for (const struct inlay_option *o = c->options; o->name; o++) {
		snprintf(wanted, sizeof(wanted), "--%s", o->name);
		assert_non_null(strstr(help, wanted));
		assert_non_null(o->help);
		assert_true(strcmp(o->name, "help") != 0 && o->letter != 'h');
		assert_int_equal(o->value == NULL, o->kind == INLAY_OPTION_FLAG || o->kind == INLAY_OPTION_VERSION);
		assert_int_equal(o->set != NULL, o->kind == INLAY_OPTION_CALL);
		assert_true((o->kind != INLAY_OPTION_NUMBER && o->kind != INLAY_OPTION_SECONDS) || o->max > o->min);
		for (const struct inlay_option *p = c->options; p != o; p++) {
			assert_true(strcmp(p->name, o->name) != 0);
			assert_true(!o->letter || p->letter != o->letter);
		}
	}
}

static void test_tables_of_commands(void **state)
{
	static const struct inlay_command *const all[] = {&inlay_attach_command, &inlay_detach_command, &inlay_status_command,
		&inlay_explain_command, &inlay_list_command, &inlay_cat_command, &inlay_copy_command, &command};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		check_table(all[i]);
}

RUN_TESTS(
	cmocka_unit_test(test_values), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_seconds),
	cmocka_unit_test(test_tables_of_commands))

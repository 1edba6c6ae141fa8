/*
 * inlayd's manual page and its --help speak of the same options.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/inlayd_config.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char page[65536], help[65536];

static void read_all(FILE *f, char *to, size_t size)
{
	size_t n = fread(to, 1, size - 1, f);

	to[n] = '\0';
	fclose(f);
}

static void load(void)
{
	const char *root = getenv("INLAY_SOURCE_ROOT");
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/docs/man/inlayd.8.scd", root ? root : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	read_all(f, page, sizeof(page));
	f = tmpfile();
	assert_non_null(f);
	inlay_options_help(&inlayd_command, f);
	rewind(f);
	read_all(f, help, sizeof(help));
}

static void every_option_is_in_the_page_and_in_help(void **state)
{
	(void)state;
	load();
	for (const struct inlay_option *o = inlayd_command.options; o->name; o++) {
		char in_page[512], in_help[512];

		if (o->value)
			snprintf(in_page, sizeof(in_page), "*--%s* _%s_\n", o->name, o->value);
		else
			snprintf(in_page, sizeof(in_page), "*--%s*\n", o->name);
		snprintf(in_help, sizeof(in_help), "--%s", o->name);
		if (!strstr(page, in_page))
			fail_msg("the page lacks: %s", in_page);
		assert_non_null(strstr(help, in_help));
	}
}

/* The other way round: each line of the page that begins an option names one. */
static void every_option_of_the_page_exists(void **state)
{
	unsigned count = 0, known = 1; /* --help */

	(void)state;
	load();
	for (const struct inlay_option *o = inlayd_command.options; o->name; o++)
		known++;
	for (const char *p = strstr(page, "# OPTIONS"); p && (p = strstr(p, "\n*-")); p++)
		count++;
	assert_int_equal(count, known);
}

RUN_TESTS(cmocka_unit_test(every_option_is_in_the_page_and_in_help), cmocka_unit_test(every_option_of_the_page_exists))

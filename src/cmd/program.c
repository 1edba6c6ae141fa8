/*
 * A program of commands.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/program.h"

#include "cmd/say.h"

#include <stdio.h>
#include <string.h>

static int help(const struct inlay_program_entry *commands)
{
	fputs("Usage: inlay COMMAND [OPTION]... [OPERAND]...\n"
	      "Sets a server's files into a directory that already exists; local files in it stay local.\n\nCommands:\n", stdout);
	for (const struct inlay_program_entry *e = commands; e->name; e++)
		printf("  %-8s  %s\n", e->name, e->command->summary);
	fputs("\nOptions:\n  -h, --help     show this help\n  -V, --version  show the version\n\n"
	      "\"inlay COMMAND --help\" tells more.\n", stdout);
	return INLAY_EXIT_OK;
}

/* "attach, detach, ls or cp" */
static void names_text(const struct inlay_program_entry *commands, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (const struct inlay_program_entry *e = commands; e->name && used < size; e++) {
		const char *before = e == commands ? "" : e[1].name ? ", " : " or ";

		used += (size_t)snprintf(buf + used, size - used, "%s%s", before, e->name);
	}
}

static int run(const struct inlay_program_entry *commands, int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	char names[256];

	if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		return help(commands);
	if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0) {
		puts("inlay " INLAY_VERSION);
		return INLAY_EXIT_OK;
	}
	for (const struct inlay_program_entry *e = commands; e->name; e++) {
		if (strcmp(word, e->name) == 0)
			return e->main(argc - 1, argv + 1);
	}
	names_text(commands, names, sizeof(names));
	if (!*word)
		inlay_say("command missing: %s: see \"inlay --help\"", names);
	else
		inlay_say("unknown %s: %s: see \"inlay --help\"", *word == '-' ? "option" : "command", word);
	return INLAY_EXIT_USAGE;
}

/* Output that could not be written (a full disk, say) is a failure, even if the rest went well. */
static int flush(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	inlay_say("can't write: standard output: no space, or closed");
	return code ? code : INLAY_EXIT_FAILED;
}

int inlay_program_main(const struct inlay_program_entry *commands, int argc, char **argv)
{
	return flush(run(commands, argc, argv));
}

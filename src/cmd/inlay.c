/*
 * The `inlay` program: finds the command and hands over; mount(8)'s helper when called mount.inlay.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/commands.h"
#include "cmd/say.h"

#include <stdio.h>
#include <string.h>

struct entry {
	const char *name;
	int (*main)(int argc, char **argv);
	const struct inlay_command *command;
};

static const struct entry commands[] = {
	{"attach", inlay_attach_main, &inlay_attach_command},
	{"detach", inlay_detach_main, &inlay_detach_command},
	{"status", inlay_status_main, &inlay_status_command},
	{"explain", inlay_explain_main, &inlay_explain_command},
	{"ls", inlay_list_main, &inlay_list_command},
	{"cat", inlay_cat_main, &inlay_cat_command},
	{"cp", inlay_copy_main, &inlay_copy_command},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(FILE *to)
{
	fputs("Usage: inlay COMMAND [OPTION]... [OPERAND]...\n"
	      "Sets a server's files into a directory that already exists; local files in it stay local.\n\nCommands:\n", to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-8s  %s\n", commands[i].name, commands[i].command->summary);
	fputs("\nOptions:\n  -h, --help     show this help\n  -V, --version  show the version\n\n"
	      "\"inlay COMMAND --help\" tells more.\n", to);
	return INLAY_EXIT_OK;
}

static int run(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		return help(stdout);
	if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0) {
		puts("inlay " INLAY_VERSION);
		return INLAY_EXIT_OK;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	}
	if (!*word)
		inlay_say("command missing: attach, detach, status, explain, ls, cat or cp: see \"inlay --help\"");
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

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = !argc ? "" : slash ? slash + 1 : argv[0];

	if (strcmp(name, "mount.inlay") == 0) {
		inlay_say_program("mount.inlay");
		return inlay_mount_main(argc, argv);
	}
	return flush(run(argc, argv));
}

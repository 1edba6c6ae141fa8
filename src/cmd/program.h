/*
 * A program of commands: finds the one that was asked for and hands over.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_PROGRAM_H
#define INLAY_CMD_PROGRAM_H

#include "cmd/options.h"

struct inlay_program_entry {
	const char *name; /* NULL ends the table */
	int (*main)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
	const struct inlay_command *command;
};

/* `inlay COMMAND ...`, --help and --version. Output is flushed; returns the exit code. */
int inlay_program_main(const struct inlay_program_entry *commands, int argc, char **argv);

#endif

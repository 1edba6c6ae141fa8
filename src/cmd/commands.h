/*
 * The subcommands of `inlay`, each with its table of options. argv[0] is the subcommand; the result is the exit code.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_COMMANDS_H
#define INLAY_CMD_COMMANDS_H

#include "cmd/options.h"

extern const struct inlay_command inlay_attach_command, inlay_detach_command, inlay_status_command, inlay_explain_command,
	inlay_restart_command, inlay_list_command, inlay_cat_command, inlay_copy_command;

int inlay_attach_main(int argc, char **argv);
int inlay_detach_main(int argc, char **argv);
int inlay_status_main(int argc, char **argv);
int inlay_explain_main(int argc, char **argv);
int inlay_restart_main(int argc, char **argv);
int inlay_list_main(int argc, char **argv);
int inlay_cat_main(int argc, char **argv);
int inlay_copy_main(int argc, char **argv);

/* mount(8)'s helper, when the program is called mount.inlay. */
int inlay_mount_main(int argc, char **argv);

#endif

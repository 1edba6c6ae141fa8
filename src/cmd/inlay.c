/*
 * The `inlay` program: finds the command and hands over; mount(8)'s helper when called mount.inlay.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/attach.h"
#include "cmd/commands.h"
#include "cmd/guardian.h"
#include "cmd/program.h"
#include "cmd/say.h"

#include <stdlib.h>
#include <string.h>

static const struct inlay_program_entry commands[] = {
	{"attach", inlay_attach_main, &inlay_attach_command},
	{"detach", inlay_detach_main, &inlay_detach_command},
	{"status", inlay_status_main, &inlay_status_command},
	{"explain", inlay_explain_main, &inlay_explain_command},
	{"restart", inlay_restart_main, &inlay_restart_command},
	{"ls", inlay_list_main, &inlay_list_command},
	{"cat", inlay_cat_main, &inlay_cat_command},
	{"cp", inlay_copy_main, &inlay_copy_command},
	{NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = !argc ? "" : slash ? slash + 1 : argv[0];

	if (strcmp(name, "mount.inlay") == 0) {
		inlay_say_program("mount.inlay");
		return inlay_mount_main(argc, argv);
	}
	/* Not for people: how a guardian and the redirectors it looks after start one another. */
	if (argc == 3 && strcmp(argv[1], INLAY_GUARDIAN_WORD) == 0)
		return inlay_guardian_main(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], INLAY_SUCCESSOR_WORD) == 0)
		return inlay_take_over(atoi(argv[2]));
	return inlay_program_main(commands, argc, argv);
}

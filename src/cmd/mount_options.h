/*
 * mount(8)'s -o list: our options, the flags of the mount itself, and those that are mount's own business.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_MOUNT_OPTIONS_H
#define INLAY_CMD_MOUNT_OPTIONS_H

#include "cmd/attach.h"

#include <stdbool.h>
#include <stddef.h>

struct inlay_mount_options {
	struct inlay_attach_options attach;
	unsigned long set, clear; /* MS_* of the mount point: asked for; asked not to be */
	bool sloppy;              /* unknown options are ignored */
	char **text;              /* what the options above point into; owned */
	size_t texts;
};

/*
 * Adds a comma-separated list; "\," and "\\" stand for the byte itself, so that a glob may hold a comma. Zero *ret at first. 0, or a status
 * with one line in why: what is wrong, and where. Unless sloppy, an unknown option is -INLAY_EINVAL.
 */
int inlay_mount_options_add(struct inlay_mount_options *ret, const char *list, char *why, size_t why_len);
void inlay_mount_options_done(struct inlay_mount_options *o);

/* The names of our own options, NULL-terminated: for the manual page's check and the help text. */
extern const char *const inlay_mount_option_names[];

#endif

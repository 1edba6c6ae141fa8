/*
 * Who still holds an attachment: programs with files open, mapped or run from it, or standing in it; mounts and loop
 * devices on top of it. Found in /proc, /sys and the mount list alone: nothing looks into the attachment itself.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_HOLDERS_H
#define INLAY_CMD_HOLDERS_H

#include "cmd/mounts.h"

#include <stddef.h>
#include <sys/types.h>

#define INLAY_HOLDERS_MAX 1000u

struct inlay_holder {
	pid_t pid;        /* 0: the kernel itself */
	char program[32]; /* "vim"; for the kernel "mount" or the loop device */
	const char *how;  /* "open", "working directory", "root directory", "program", "mapped", "mounted", "loop device" */
	char *path;       /* which file; owned */
};

struct inlay_holders {
	struct inlay_holder *holder; /* by pid */
	size_t count;
	bool more;   /* there are more than INLAY_HOLDERS_MAX */
	bool hidden; /* some processes are not ours to look into */
};

/* 0 or a status. skip: a process to leave out (who serves the attachment), 0 for none. */
int inlay_holders_find(const struct inlay_mounts *mounts, const struct inlay_mount *mount, pid_t skip,
	struct inlay_holders *ret);
void inlay_holders_done(struct inlay_holders *h);

#endif

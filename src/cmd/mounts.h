/*
 * What is mounted where, read from the kernel's list: never by looking into a file system, so that none can hang us.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_MOUNTS_H
#define INLAY_CMD_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#define INLAY_MOUNT_TYPE "fuse.inlay"

/* A line of mountinfo; texts unescaped, they lie in the list's own memory. */
struct inlay_mount {
	unsigned id, parent;
	unsigned major, minor; /* the file system's device: the same in every mount namespace */
	unsigned owner;        /* FUSE: who mounted it, by user number; 0 otherwise */
	const char *dir, *options, *type, *source;
};

struct inlay_mounts {
	struct inlay_mount *mount; /* in the order of the list: what covers comes after what is covered */
	size_t count;
	char *text;
};

/* Of a process ("self" or a pid). 0 or a status; free it with inlay_mounts_free(), which accepts a zeroed one. */
int inlay_mounts_read(const char *process, struct inlay_mounts *ret);
/* Takes text over (malloc'd, changed in place), whatever comes of it. Lines that aren't understood are left out. */
int inlay_mounts_parse(char *text, struct inlay_mounts *ret);
void inlay_mounts_free(struct inlay_mounts *m);

bool inlay_mount_is_ours(const struct inlay_mount *m);
/* The topmost mount at exactly this absolute path, NULL for none. */
const struct inlay_mount *inlay_mounts_at(const struct inlay_mounts *m, const char *dir);
/*
 * The attachment that a path, as a user wrote it, leads into, NULL for none. Symbolic links are followed up to the attachment's
 * directory, not in it. rest: the remaining path, normalised ("." and ".." by text); "" for the directory itself.
 */
const struct inlay_mount *inlay_mounts_resolve(const struct inlay_mounts *m, const char *path, char *rest, size_t size);

#endif

/*
 * A filter directory: its handle, and what it is called by programs and by the driver.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_DIRECTORY_H
#define INLAY_CMD_WINDOWS_DIRECTORY_H

#include "ring/abi.h"

#include <stddef.h>
#include <wchar.h>

/* Zero it before opening. */
struct inlay_directory {
	void *handle;                 /* held: nobody renames or removes the directory meanwhile. NULL: not open */
	char *name;                   /* as programs call it: "D:\disks", UTF-8 */
	wchar_t *volume, *path;       /* as the driver sees it: "\Device\HarddiskVolume3", "\disks" */
	struct inlay_ring_attr times; /* as it was when it was opened */
};

/* 0; or a status with one line for the user in why. inlay_directory_close() in both cases. */
int inlay_directory_open(struct inlay_directory *d, const char *dir, char *why, size_t why_len);
/* Puts the times back: placeholders came and went in it. Fine when it is not open. */
void inlay_directory_restore(const struct inlay_directory *d);
void inlay_directory_close(struct inlay_directory *d);

/* "D:\disks\x" of what the user wrote; need not exist. Allocated; NULL: no memory, or no path. */
char *inlay_directory_full(const char *path);
/* What of `path` lies beneath `dir` (both full): "" for itself; NULL when it doesn't. By the letters, case aside. */
const char *inlay_directory_rest(const char *dir, const char *path);

#endif

/*
 * State directories of local sides.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/statedir.h"

#include "base/status.h"
#include "cmd/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNDIR_MAX 200

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)at;
	return type == FTW_DP || type == FTW_D ? rmdir(path) : unlink(path);
}

void inlay_statedir_remove(const char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* What was left by processes that were all killed. */
static void sweep(const char *rundir)
{
	char pattern[256];
	glob_t found;

	snprintf(pattern, sizeof pattern, "%s/local-??????", rundir);
	if (glob(pattern, GLOB_NOESCAPE, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int fd = open(found.gl_pathv[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			inlay_statedir_remove(found.gl_pathv[i]);
		close(fd);
	}
	globfree(&found);
}

void inlay_statedir_sweep(void)
{
	char rundir[RUNDIR_MAX];

	if (inlay_rundir_make(rundir, sizeof rundir) == 0)
		sweep(rundir);
}

/* A sweep may come between its making and its lock: then it is gone, and made again. */
static int make(const char *rundir, char *path, size_t size)
{
	struct stat there, held;
	int fd;

	if (snprintf(path, size, "%s/local-XXXXXX", rundir) >= (int)size)
		return -INLAY_ENAMETOOLONG;
	if (!mkdtemp(path))
		return inlay_status_from_errno(errno);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -INLAY_EAGAIN : inlay_status_from_errno(errno);
	if (flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &held) == 0 && stat(path, &there) == 0 && there.st_ino == held.st_ino)
		return fd;
	close(fd);
	return -INLAY_EAGAIN;
}

int inlay_statedir_make(char *path, size_t size)
{
	char rundir[RUNDIR_MAX];
	int r = inlay_rundir_make(rundir, sizeof rundir);

	if (r < 0)
		return r;
	sweep(rundir);
	do {
		r = make(rundir, path, size);
	} while (r == -INLAY_EAGAIN);
	return r;
}

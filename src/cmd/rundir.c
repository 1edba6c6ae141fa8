/*
 * The runtime folders. Those in /tmp may be laid by anyone: owner, type and mode are checked before a name in one is used.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/rundir.h"

#include "base/status.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of that owner's which nobody else can write to. */
static bool is_private(const char *path, uid_t owner)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == owner && !(st.st_mode & 022);
}

static int make(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return inlay_status_from_errno(errno);
	return is_private(path, geteuid()) ? 0 : -INLAY_EPERM;
}

/* Room for the longest socket's name must remain. */
static bool fits(int len, size_t size)
{
	return len > 0 && (size_t)len < size && len + 40 < INLAY_SOCKET_PATH;
}

int inlay_rundir_make(char *buf, size_t size)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();

	if (uid == 0)
		return fits(snprintf(buf, size, "/run/inlay"), size) ? make(buf, 0700) : -INLAY_ENAMETOOLONG;
	if (xdg && *xdg == '/' && is_private(xdg, uid) && fits(snprintf(buf, size, "%s/inlay", xdg), size) &&
		make(buf, 0700) == 0)
		return 0;
	if (!fits(snprintf(buf, size, "/tmp/inlay-%u", uid), size))
		return -INLAY_ENAMETOOLONG;
	return make(buf, 0700);
}

bool inlay_socket_name_parse(const char *file, struct inlay_socket_name *ret)
{
	int pid, used = 0;

	if (*file < '0' || *file > '9' || sscanf(file, "%u:%u-%d.sock%n", &ret->major, &ret->minor, &pid, &used) != 3)
		return false;
	ret->pid = pid;
	return used > 0 && !file[used] && pid > 0;
}

struct walk {
	bool (*fn)(const char *path, const struct inlay_socket_name *name, uid_t owner, void *arg);
	void *arg;
	bool over;
};

static void walk_folder(struct walk *w, const char *folder, uid_t owner)
{
	char pattern[256];
	glob_t found;

	if (w->over || !is_private(folder, owner))
		return;
	snprintf(pattern, sizeof(pattern), "%s/*.sock", folder);
	if (glob(pattern, GLOB_NOESCAPE, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && !w->over; i++) {
			struct inlay_socket_name name;
			const char *file = strrchr(found.gl_pathv[i], '/') + 1;

			if (strlen(found.gl_pathv[i]) < INLAY_SOCKET_PATH && inlay_socket_name_parse(file, &name))
				w->over = !w->fn(found.gl_pathv[i], &name, owner, w->arg);
		}
	}
	globfree(&found);
}

/* Folders that a user has, by pattern; the owner is the one of the folder. */
static void walk_users(struct walk *w, const char *pattern)
{
	glob_t found;

	if (glob(pattern, GLOB_NOESCAPE, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && !w->over; i++) {
			struct stat st;

			if (lstat(found.gl_pathv[i], &st) == 0)
				walk_folder(w, found.gl_pathv[i], st.st_uid);
		}
	}
	globfree(&found);
}

void inlay_rundir_each(bool (*fn)(const char *path, const struct inlay_socket_name *name, uid_t owner, void *arg), void *arg)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	struct walk w = {fn, arg, false};
	uid_t uid = geteuid();
	char folder[128], standard[128];

	if (uid == 0) {
		walk_folder(&w, "/run/inlay", 0);
		walk_users(&w, "/run/user/*/inlay");
		walk_users(&w, "/tmp/inlay-*");
		return;
	}
	/* An attachment may have been made with another environment than ours: look into each place. */
	snprintf(standard, sizeof(standard), "/run/user/%u/inlay", uid);
	walk_folder(&w, standard, uid);
	if (xdg && *xdg == '/' && fits(snprintf(folder, sizeof(folder), "%s/inlay", xdg), sizeof(folder)) &&
		strcmp(folder, standard) != 0)
		walk_folder(&w, folder, uid);
	snprintf(folder, sizeof(folder), "/tmp/inlay-%u", uid);
	walk_folder(&w, folder, uid);
}

/*
 * Who still holds an attachment. Links in /proc are read with readlink(2), which doesn't follow them, and open files
 * are recognised by the mount id in fdinfo, so that a server that is gone can't hang the search.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/holders.h"

#include "base/status.h"
#include "cmd/whole.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
	const struct inlay_mount *mount;
	struct inlay_holders *found;
	unsigned *id; /* of the file system's mounts in the namespaces seen so far */
	size_t ids;
	char namespace_seen[128]; /* the last one, as processes of one stand together */
	int status;
};

static void add(struct search *s, pid_t pid, const char *program, const char *how, const char *path)
{
	struct inlay_holders *f = s->found;
	struct inlay_holder *grown;

	if (f->count >= INLAY_HOLDERS_MAX) {
		f->more = true;
		return;
	}
	/* A mapped library stands in several lines. */
	for (size_t i = f->count; i-- > 0 && f->holder[i].pid == pid;) {
		if (f->holder[i].how == how && strcmp(f->holder[i].path, path) == 0)
			return;
	}
	grown = realloc(f->holder, (f->count + 1) * sizeof(*grown));
	if (!grown) {
		s->status = -INLAY_ENOMEM;
		return;
	}
	f->holder = grown;
	grown[f->count] = (struct inlay_holder){.pid = pid, .how = how, .path = strdup(path)};
	if (!grown[f->count].path) {
		s->status = -INLAY_ENOMEM;
		return;
	}
	snprintf(grown[f->count].program, sizeof(grown->program), "%.31s", program);
	f->count++;
}

static bool is_beneath(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool read_link(const char *path, char *text, size_t size)
{
	ssize_t n = readlink(path, text, size - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

/* ---- mount ids ---- */

static void add_ids(struct search *s, const struct inlay_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		const struct inlay_mount *m = &mounts->mount[i];
		unsigned *grown;

		if (m->major != s->mount->major || m->minor != s->mount->minor)
			continue;
		grown = realloc(s->id, (s->ids + 1) * sizeof(*grown));
		if (!grown) {
			s->status = -INLAY_ENOMEM;
			return;
		}
		s->id = grown;
		s->id[s->ids++] = m->id;
	}
}

/* A process in another mount namespace sees the same file system under another mount id. */
static void learn_namespace(struct search *s, const char *pid)
{
	struct inlay_mounts mounts;
	char path[320], text[128];

	snprintf(path, sizeof(path), "/proc/%s/ns/mnt", pid);
	if (!read_link(path, text, sizeof(text)) || strcmp(text, s->namespace_seen) == 0)
		return;
	strcpy(s->namespace_seen, text);
	if (inlay_mounts_read(pid, &mounts) < 0)
		return;
	add_ids(s, &mounts);
	inlay_mounts_free(&mounts);
}

static bool is_ours(const struct search *s, unsigned id)
{
	for (size_t i = 0; i < s->ids; i++) {
		if (s->id[i] == id)
			return true;
	}
	return false;
}

/* ---- processes ---- */

static bool fd_is_ours(const struct search *s, const char *pid, const char *fd)
{
	char path[640], *text, *at;
	bool ours;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	if (inlay_whole_read(path, &text, NULL) < 0)
		return false;
	at = strstr(text, "mnt_id:");
	ours = at && is_ours(s, (unsigned)strtoul(at + 7, NULL, 10));
	free(text);
	return ours;
}

static void look_at_files(struct search *s, const char *pid, const char *program)
{
	char path[640], target[PATH_MAX];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	if (!d) {
		s->found->hidden = s->found->hidden || errno == EACCES || errno == EPERM;
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || !fd_is_ours(s, pid, e->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		if (read_link(path, target, sizeof(target)))
			add(s, atoi(pid), program, "open", target);
	}
	closedir(d);
}

static void look_at_links(struct search *s, const char *pid, const char *program)
{
	static const struct {
		const char *link, *how;
	} links[] = {{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "program"}};
	char path[320], target[PATH_MAX];

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%s/%s", pid, links[i].link);
		if (read_link(path, target, sizeof(target)) && is_beneath(target, s->mount->dir))
			add(s, atoi(pid), program, links[i].how, target);
	}
}

/* "7f00-7f01 r-xp 00000000 00:39 1234     /mnt/lib.so": the device says whose it is. */
static void look_at_maps(struct search *s, const char *pid, const char *program)
{
	char path[320], *text, *cursor, *line;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	if (inlay_whole_read(path, &text, NULL) < 0)
		return;
	cursor = text;
	while ((line = strsep(&cursor, "\n")) != NULL) {
		unsigned major, minor;
		int at = 0;

		if (sscanf(line, "%*s %*s %*s %x:%x %*s %n", &major, &minor, &at) == 2 && at && major == s->mount->major &&
			minor == s->mount->minor)
			add(s, atoi(pid), program, "mapped", line + at);
	}
	free(text);
}

static void look_at_process(struct search *s, const char *pid)
{
	char path[320], *program;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (inlay_whole_read(path, &program, NULL) < 0)
		return;
	program[strcspn(program, "\n")] = '\0';
	learn_namespace(s, pid);
	look_at_links(s, pid, program);
	look_at_files(s, pid, program);
	look_at_maps(s, pid, program);
	free(program);
}

static void look_at_processes(struct search *s, pid_t skip)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL && s->status == 0) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9' || atoi(e->d_name) == skip || atoi(e->d_name) == getpid())
			continue;
		look_at_process(s, e->d_name);
	}
	if (d)
		closedir(d);
}

/* ---- the kernel ---- */

static void look_at_mounts(struct search *s, const struct inlay_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		const struct inlay_mount *m = &mounts->mount[i];

		if (m != s->mount && m->parent == s->mount->id)
			add(s, 0, "mount", "mounted", m->dir);
	}
}

static void look_at_loop_devices(struct search *s)
{
	glob_t found;

	if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *name = found.gl_pathv[i] + strlen("/sys/block/");
			char program[32], *text;

			if (inlay_whole_read(found.gl_pathv[i], &text, NULL) < 0)
				continue;
			text[strcspn(text, "\n")] = '\0';
			snprintf(program, sizeof(program), "%.*s", (int)strcspn(name, "/"), name);
			if (is_beneath(text, s->mount->dir))
				add(s, 0, program, "loop device", text);
			free(text);
		}
	}
	globfree(&found);
}

int inlay_holders_find(const struct inlay_mounts *mounts, const struct inlay_mount *mount, pid_t skip,
	struct inlay_holders *ret)
{
	struct search s = {.mount = mount, .found = ret};

	*ret = (struct inlay_holders){NULL, 0, false, false};
	add_ids(&s, mounts);
	look_at_mounts(&s, mounts);
	look_at_loop_devices(&s);
	look_at_processes(&s, skip);
	free(s.id);
	if (s.status < 0)
		inlay_holders_done(ret);
	return s.status;
}

void inlay_holders_done(struct inlay_holders *h)
{
	for (size_t i = 0; i < h->count; i++)
		free(h->holder[i].path);
	free(h->holder);
	*h = (struct inlay_holders){NULL, 0, false, false};
}

/*
 * The kernel's list of mounts. Only calls that stop at a mount point are made: readlink(2) and realpath(3) of the
 * directories above an attachment, never of a name in it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/mounts.h"

#include "base/status.h"
#include "cmd/whole.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* \040 and its like, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (*p == '\\' && strspn(p + 1, "01234567") >= 3) {
			*to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

static char *take_word(char **cursor)
{
	char *word = strsep(cursor, " ");

	return word && *word ? word : NULL;
}

/* "36 35 0:57 / /mnt rw,noatime shared:1 - fuse.inlay host/export rw" */
static bool parse_line(char *line, struct inlay_mount *ret)
{
	char *device, *root, *dir, *options, *tail = strstr(line, " - "), *type, *source, *owner, *cursor = line;
	char *id = take_word(&cursor), *parent = take_word(&cursor);

	device = take_word(&cursor);
	root = take_word(&cursor);
	dir = take_word(&cursor);
	options = take_word(&cursor);
	if (!tail || !id || !parent || !device || !root || !dir || !options)
		return false;
	cursor = tail + 3;
	type = take_word(&cursor);
	source = cursor ? strsep(&cursor, " ") : NULL; /* may be empty */
	owner = cursor ? strstr(cursor, "user_id=") : NULL;
	if (!type || !source || sscanf(device, "%u:%u", &ret->major, &ret->minor) != 2)
		return false;
	unescape(dir);
	unescape(type);
	unescape(source);
	ret->id = (unsigned)strtoul(id, NULL, 10);
	ret->parent = (unsigned)strtoul(parent, NULL, 10);
	ret->owner = owner ? (unsigned)strtoul(owner + 8, NULL, 10) : 0;
	ret->dir = dir;
	ret->options = options;
	ret->type = type;
	ret->source = source;
	return true;
}

int inlay_mounts_parse(char *text, struct inlay_mounts *ret)
{
	size_t lines = 1;
	char *cursor = text, *line;

	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	*ret = (struct inlay_mounts){calloc(lines, sizeof(*ret->mount)), 0, text};
	if (!ret->mount) {
		inlay_mounts_free(ret);
		return -INLAY_ENOMEM;
	}
	while ((line = strsep(&cursor, "\n")) != NULL)
		ret->count += parse_line(line, &ret->mount[ret->count]);
	return 0;
}

int inlay_mounts_read(const char *process, struct inlay_mounts *ret)
{
	char path[64], *text;
	int status;

	*ret = (struct inlay_mounts){NULL, 0, NULL};
	snprintf(path, sizeof(path), "/proc/%s/mountinfo", process);
	status = inlay_whole_read(path, &text, NULL);
	return status < 0 ? status : inlay_mounts_parse(text, ret);
}

void inlay_mounts_free(struct inlay_mounts *m)
{
	free(m->mount);
	free(m->text);
	*m = (struct inlay_mounts){NULL, 0, NULL};
}

bool inlay_mount_is_ours(const struct inlay_mount *m)
{
	return strcmp(m->type, INLAY_MOUNT_TYPE) == 0;
}

const struct inlay_mount *inlay_mounts_at(const struct inlay_mounts *m, const char *dir)
{
	for (size_t i = m->count; i-- > 0;) {
		if (strcmp(m->mount[i].dir, dir) == 0)
			return &m->mount[i];
	}
	return NULL;
}

/* Appends the names of path to text, "." and ".." worked off. False when it is too long. */
static bool normalise(const char *path, char *text, size_t size)
{
	size_t used = strlen(text);

	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && memcmp(path, "..", 2) == 0) {
			char *slash = strrchr(text, '/');

			used = slash ? (size_t)(slash - text) : 0;
			text[used] = '\0';
		} else if (len && !(len == 1 && *path == '.')) {
			if (used + len + 2 > size)
				return false;
			if (used)
				text[used++] = '/';
			memcpy(text + used, path, len);
			used += len;
			text[used] = '\0';
		}
		path += len;
		path += strspn(path, "/");
	}
	return true;
}

/* Attachments within attachments: the deepest one that holds base/rest. */
static const struct inlay_mount *deepest(
	const struct inlay_mounts *m, const struct inlay_mount *base, char *rest, size_t size)
{
	const struct inlay_mount *best = base;
	char whole[2 * PATH_MAX];
	size_t best_len = strlen(base->dir);

	if (snprintf(whole, sizeof(whole), "%s/%s", base->dir, rest) >= (int)sizeof(whole))
		return base;
	for (size_t i = 0; i < m->count; i++) {
		size_t len = strlen(m->mount[i].dir);

		if (inlay_mount_is_ours(&m->mount[i]) && len > best_len && strncmp(whole, m->mount[i].dir, len) == 0 &&
			(whole[len] == '/' || !whole[len])) {
			best = &m->mount[i];
			best_len = len;
		}
	}
	if (best != base)
		snprintf(rest, size, "%s", whole + best_len + (whole[best_len] == '/'));
	return best;
}

const struct inlay_mount *inlay_mounts_resolve(const struct inlay_mounts *m, const char *path, char *rest, size_t size)
{
	char whole[2 * PATH_MAX] = "", prefix[2 * PATH_MAX], real[PATH_MAX];
	size_t at = 0;

	/* A relative path in a directory that has been attached over meanwhile: the text of the working directory counts. */
	if (*path != '/' && !getcwd(whole, PATH_MAX))
		return NULL;
	if (strlen(whole) + strlen(path) + 2 > sizeof(whole))
		return NULL;
	if (*path != '/')
		strcat(whole, "/");
	strcat(whole, path);
	while (whole[at]) {
		const struct inlay_mount *found;

		at += strspn(whole + at, "/");
		at += strcspn(whole + at, "/");
		memcpy(prefix, whole, at);
		prefix[at] = '\0';
		if (!realpath(prefix, real))
			return NULL;
		found = inlay_mounts_at(m, real);
		if (found && inlay_mount_is_ours(found)) {
			rest[0] = '\0';
			return normalise(whole + at, rest, size) ? deepest(m, found, rest, size) : NULL;
		}
	}
	return NULL;
}

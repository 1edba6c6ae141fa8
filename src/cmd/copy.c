/*
 * `inlay cp`: between here and a server, without attaching. Finds out which way, and what the target's name is.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/copy.h"

#include "base/status.h"
#include "cmd/commands.h"
#include "cmd/here.h"
#include "cmd/place.h"
#include "cmd/say.h"

#include <stdlib.h>
#include <string.h>

struct copy_options {
	bool preserve, recursive, insecure;
	unsigned timeout_ms;
};

static const struct inlay_option copy_options[] = {
	{.name = "preserve", .letter = 'p', .kind = INLAY_OPTION_FLAG, .help = "keep mode and times",
		.at = offsetof(struct copy_options, preserve)},
	{.name = "recursive", .letter = 'r', .kind = INLAY_OPTION_FLAG, .help = "copy directories with what is in them",
		.at = offsetof(struct copy_options, recursive)},
	{.name = "insecure", .kind = INLAY_OPTION_FLAG, .help = "allow plain TCP to another host",
		.at = offsetof(struct copy_options, insecure)},
	INLAY_PLACE_OPTIONS
	{.name = "timeout", .kind = INLAY_OPTION_SECONDS, .value = "SECONDS", .min = 1, .max = 86400,
		.help = "how long to wait for the server; default 30", .at = offsetof(struct copy_options, timeout_ms)},
	{.name = NULL},
};

const struct inlay_command inlay_copy_command = {
	.name = "inlay cp",
	.operands = "SRC DST",
	.summary = "Copies a file between here and a server without attaching it",
	.details = "One of them is SERVER[:PORT]/EXPORT/PATH, or inlay://SERVER[:PORT]/EXPORT/PATH when a file here has\n"
		   "the same name; the other is a file here. Holes in files stay holes.\n",
	.operands_min = 2,
	.operands_max = 2,
	.options = copy_options,
};

/* The name that a copy gets in a directory; NULL: the directory itself takes what is in the source. */
static const char *name_in_dir(const struct inlay_place *from)
{
	const char *base = inlay_place_base(from);

	if (from->remote && !*base)
		return from->name.export_name;
	return !*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0 ? NULL : base;
}

static bool is_separator(char c)
{
#ifdef _WIN32
	return c == '/' || c == '\\';
#else
	return c == '/';
#endif
}

/* Without the slashes at the end; "/" stays (and "C:/"). Allocated. */
static char *trimmed(const char *text)
{
	size_t len = strlen(text);

	while (len > 1 && is_separator(text[len - 1]) && text[len - 2] != ':')
		len--;
	return strndup(text, len);
}

static bool is_dir(const struct inlay_file_info *info)
{
	return (info->mode & INLAY_MODE_TYPE) == INLAY_MODE_DIR;
}

/* ---- from the server ---- */

static bool get_to(struct inlay_copy *c, const struct inlay_place *from, const struct inlay_remote_file *file, const char *to)
{
	const char *base = name_in_dir(from);
	char name[INLAY_HERE_NAME_MAX + 1];
	struct inlay_file_info info;
	struct inlay_dir *dir;
	bool good;
	int status;

	if (inlay_file_info(NULL, to, true, &info) < 0 || !is_dir(&info) || !base)
		return inlay_copy_get(c, file, from->text, NULL, to);
	status = inlay_name_here(base, name);
	if (status == 0)
		status = inlay_dir_open(NULL, to, true, &dir);
	if (status < 0) {
		inlay_say("can't enter the directory: %s: %s", to, inlay_status_text(status));
		return false;
	}
	if (inlay_file_info(dir, name, true, &info) == 0 && is_dir(&info) && inlay_attr_type(&file->attr) != INLAY_MODE_DIR) {
		inlay_say("is a directory: %s/%s: a file can't take its place", to, name);
		good = false;
	} else {
		good = inlay_copy_get(c, file, from->text, dir, name);
	}
	inlay_dir_close(dir);
	return good;
}

static bool get(struct inlay_copy *c, const struct inlay_place *from, const struct inlay_place *to)
{
	struct inlay_remote_file file;
	int status = inlay_remote_walk(c->visit, from->name.path, true, &file);
	char *path;
	bool good;

	if (status < 0) {
		inlay_say("can't find: %s: %s", from->text, inlay_status_text(status));
		return false;
	}
	path = trimmed(to->text);
	good = path && get_to(c, from, &file, path);
	free(path);
	return good;
}

/* ---- to the server ---- */

/* Where a copy goes: the remote directory and the name in it; sets c->existing. */
static int find_target(struct inlay_copy *c, const struct inlay_place *from, const struct inlay_place *to,
	struct inlay_remote_file *ret_dir, char name[INLAY_NAME_MAX + 1])
{
	static struct inlay_remote_file there;
	const char *base = name_in_dir(from);
	int status = inlay_remote_walk(c->visit, to->name.path, true, &there);

	if (status == 0 && inlay_attr_type(&there.attr) == INLAY_MODE_DIR && base) {
		*ret_dir = there;
		return inlay_name_there(base, name);
	}
	if (status < 0 && status != -INLAY_ENOENT)
		return status;
	if (status == 0 && inlay_attr_type(&there.attr) == INLAY_MODE_FILE)
		c->existing = &there;
	return inlay_remote_walk_parent(c->visit, to->name.path, ret_dir, name);
}

static bool put(struct inlay_copy *c, const struct inlay_place *from, const struct inlay_place *to)
{
	struct inlay_place source = *from;
	struct inlay_remote_file dir;
	char name[INLAY_NAME_MAX + 1], *path = trimmed(from->text);
	bool good = false;
	int status;

	if (!path)
		return false;
	source.text = path;
	status = find_target(c, &source, to, &dir, name);
	if (status < 0)
		inlay_say("can't write: %s: %s", to->text, inlay_status_text(status));
	else
		good = inlay_copy_put(c, NULL, path, path, &dir.node, name);
	free(path);
	return good;
}

/* ---- both ---- */

static bool check_places(const struct inlay_place *from, const struct inlay_place *to)
{
	if (!from->remote && !to->remote) {
		inlay_say("neither name is on a server: %s, %s: write inlay://SERVER/EXPORT/PATH for one, or use cp(1)", from->text,
			to->text);
		return false;
	}
	if (from->remote && to->remote) {
		inlay_say("both names are on servers: %s, %s: attach one of them, or copy by way of a file here", from->text,
			to->text);
		return false;
	}
	return true;
}

int inlay_copy_main(int argc, char **argv)
{
	struct copy_options o = {.timeout_ms = 30000};
	int first = inlay_options_parse(&inlay_copy_command, argc, argv, &o);
	struct inlay_place from, to;
	struct inlay_copy c = {.preserve = o.preserve, .recursive = o.recursive};
	bool good;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	if (inlay_place_parse(argv[first], false, &from) < 0 || inlay_place_parse(argv[first + 1], true, &to) < 0 ||
		!check_places(&from, &to))
		return INLAY_EXIT_USAGE;
	c.visit = inlay_place_visit(from.remote ? &from : &to, o.insecure, o.timeout_ms);
	if (!c.visit)
		return INLAY_EXIT_FAILED;
	good = from.remote ? get(&c, &from, &to) : put(&c, &from, &to);
	inlay_visit_close(c.visit);
	return good ? INLAY_EXIT_OK : INLAY_EXIT_FAILED;
}

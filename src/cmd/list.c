/*
 * `inlay ls`: lists a server's directory without attaching it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/commands.h"
#include "cmd/place.h"
#include "cmd/remote.h"
#include "cmd/say.h"
#include "os/files.h"

#include <string.h>
#include <time.h>

struct list_options {
	bool all, details, insecure;
	unsigned timeout_ms;
};

static const struct inlay_option list_options[] = {
	{.name = "all", .letter = 'a', .kind = INLAY_OPTION_FLAG, .help = "names that begin with a dot too",
		.at = offsetof(struct list_options, all)},
	{.name = "long", .letter = 'l', .kind = INLAY_OPTION_FLAG, .help = "mode, links, owner, group, size and time as well",
		.at = offsetof(struct list_options, details)},
	{.name = "insecure", .kind = INLAY_OPTION_FLAG, .help = "allow plain TCP to another host",
		.at = offsetof(struct list_options, insecure)},
	INLAY_PLACE_OPTIONS
	{.name = "timeout", .kind = INLAY_OPTION_SECONDS, .value = "SECONDS", .min = 1, .max = 86400,
		.help = "how long to wait for the server; default 30", .at = offsetof(struct list_options, timeout_ms)},
	{.name = NULL},
};

const struct inlay_command inlay_list_command = {
	.name = "inlay ls",
	.operands = "SERVER[:PORT]/EXPORT[/PATH]",
	.summary = "Lists a directory on a server without attaching it",
	.details = "Owners and groups are the server's numbers.\n",
	.operands_min = 1,
	.operands_max = 1,
	.options = list_options,
};

static void mode_text(uint32_t mode, char out[11])
{
	static const char types[] = "?pc?d?b?-?l?s???", bits[] = "rwxrwxrwx";

	out[0] = types[mode >> 12 & 15];
	for (unsigned i = 0; i < 9; i++)
		out[i + 1] = mode >> (8 - i) & 1 ? bits[i] : '-';
	if (mode & INLAY_MODE_SETUID)
		out[3] = mode & 0100 ? 's' : 'S';
	if (mode & INLAY_MODE_SETGID)
		out[6] = mode & 0010 ? 's' : 'S';
	if (mode & INLAY_MODE_STICKY)
		out[9] = mode & 0001 ? 't' : 'T';
	out[10] = '\0';
}

/* Safe on a terminal; the very bytes where a program reads them. */
static void print_name(const char *name)
{
	if (inlay_fd_is_terminal(fileno(stdout)))
		inlay_print_name(name, stdout);
	else
		fputs(name, stdout);
}

static void print_entry(struct inlay_visit *v, const char *name, const struct inlay_remote_file *f, const struct list_options *o)
{
	char mode[11], when[32], size[48], target[INLAY_TARGET_MAX + 1];
	time_t mtime = (time_t)f->attr.mtime.sec;
	struct tm tm;

	if (o->details) {
		mode_text(f->attr.mode, mode);
		if (!localtime_r(&mtime, &tm) || !strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm))
			strcpy(when, "?");
		if (inlay_attr_type(&f->attr) == INLAY_MODE_CHAR || inlay_attr_type(&f->attr) == INLAY_MODE_BLOCK)
			snprintf(size, sizeof(size), "%u, %u", f->attr.rdev_major, f->attr.rdev_minor);
		else
			snprintf(size, sizeof(size), "%llu", (unsigned long long)f->attr.size);
		printf("%s %3u %5u %5u %13s %s ", mode, f->attr.nlink, f->attr.uid, f->attr.gid, size, when);
	}
	print_name(name);
	if (o->details && inlay_attr_type(&f->attr) == INLAY_MODE_LINK && inlay_remote_readlink(v, &f->node, target) == 0) {
		fputs(" -> ", stdout);
		print_name(target);
	}
	putchar('\n');
}

static int list(struct inlay_visit *v, const struct inlay_place *p, const struct list_options *o)
{
	struct inlay_remote_listing l;
	struct inlay_remote_file f;
	/* As ls does: a link to a directory is listed as that directory, unless details are asked for. */
	int status = inlay_remote_walk(v, p->name.path, !o->details, &f);

	if (status < 0)
		return status;
	if (inlay_attr_type(&f.attr) != INLAY_MODE_DIR) {
		print_entry(v, inlay_place_base(p), &f, o);
		return 0;
	}
	status = inlay_remote_list(v, &f.node, &l);
	if (status < 0)
		return status;
	for (size_t i = 0; i < l.count; i++) {
		if (o->all || l.entry[i].name[0] != '.')
			print_entry(v, l.entry[i].name, &l.entry[i].file, o);
	}
	inlay_remote_listing_done(&l);
	return 0;
}

int inlay_list_main(int argc, char **argv)
{
	struct list_options o = {.timeout_ms = 30000};
	int first = inlay_options_parse(&inlay_list_command, argc, argv, &o), status;
	struct inlay_place p;
	struct inlay_visit *v;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	if (inlay_place_parse_remote(argv[first], &p) < 0)
		return INLAY_EXIT_USAGE;
	v = inlay_place_visit(&p, o.insecure, o.timeout_ms);
	if (!v)
		return INLAY_EXIT_FAILED;
	status = list(v, &p, &o);
	if (status < 0)
		inlay_say("can't list: %s: %s", p.text, inlay_status_text(status));
	inlay_visit_close(v);
	return status < 0 ? INLAY_EXIT_FAILED : INLAY_EXIT_OK;
}

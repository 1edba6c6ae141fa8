/*
 * mount(8)'s -o list.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/mount_options.h"

#include "base/status.h"
#include "cmd/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

const char *const inlay_mount_option_names[] = {
	"ro", "rule", "rules_file", "no_server_rules", "timeout", "connections", "insecure", "allow_other", "no_guardian",
	"log_file", NULL};

/* Flags of a mount point, each with its opposite. */
static const struct {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{"noexec", MS_NOEXEC, 0}, {"exec", 0, MS_NOEXEC}, {"nosuid", MS_NOSUID, 0}, {"suid", 0, MS_NOSUID},
	{"nodev", MS_NODEV, 0}, {"dev", 0, MS_NODEV}, {"noatime", MS_NOATIME, 0}, {"atime", 0, MS_NOATIME},
	{"nodiratime", MS_NODIRATIME, 0}, {"diratime", 0, MS_NODIRATIME}, {"relatime", MS_RELATIME, 0},
	{"norelatime", 0, MS_RELATIME}, {"user", MS_NOEXEC | MS_NOSUID | MS_NODEV, 0},
	{"users", MS_NOEXEC | MS_NOSUID | MS_NODEV, 0}, {"owner", MS_NOSUID | MS_NODEV, 0}, {"group", MS_NOSUID | MS_NODEV, 0},
};

/* What mount(8), fstab's other readers or nobody needs to hear about. */
static const char *const ignored[] = {"rw", "defaults", "auto", "noauto", "nouser", "nogroup", "noowner", "nousers", "_netdev",
	"nofail", "async", "silent", "loud", "strictatime", "nostrictatime", "lazytime", "nolazytime", "iversion", "noiversion",
	"mand", "nomand", NULL};

static bool is_ignored(const char *name)
{
	for (size_t i = 0; ignored[i]; i++) {
		if (strcmp(name, ignored[i]) == 0)
			return true;
	}
	return strncmp(name, "x-", 2) == 0 || strncmp(name, "X-", 2) == 0 || strcmp(name, "comment") == 0 ||
	       strcmp(name, "helper") == 0 || strcmp(name, "uhelper") == 0;
}

static bool set_flag(struct inlay_mount_options *o, const char *name)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(name, flags[i].name) != 0)
			continue;
		o->set = (o->set & ~flags[i].clear) | flags[i].set;
		o->clear = (o->clear & ~flags[i].set) | flags[i].clear;
		return true;
	}
	return false;
}

static int set_switch(struct inlay_mount_options *o, const char *name)
{
	struct inlay_attach_options *a = &o->attach;
	const struct {
		const char *name;
		bool *at;
	} switches[] = {{"ro", &a->readonly}, {"insecure", &a->insecure}, {"allow_other", &a->allow_other},
		{"no_server_rules", &a->no_server_rules}, {"no_guardian", &a->no_guardian}};

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (strcmp(name, switches[i].name) == 0) {
			*switches[i].at = true;
			return 1;
		}
	}
	return 0;
}

/* 1: it was one of ours. 0: it wasn't. Else a status. */
static int set_value(struct inlay_mount_options *o, const char *name, const char *value, char *why, size_t why_len)
{
	struct inlay_attach_options *a = &o->attach;
	const char *wrong = NULL;
	int status = 1;

	if (strcmp(name, "rule") == 0) {
		status = inlay_rules_add(&a->rules, value, &wrong);
	} else if (strcmp(name, "rules_file") == 0) {
		status = inlay_rules_add_file(&a->rules, value, why, why_len);
		wrong = status < 0 ? why : NULL;
	} else if (strcmp(name, "timeout") == 0) {
		status = inlay_seconds_parse(value, 0, 1000000, &a->timeout_ms);
		wrong = "not a number of seconds from 0 to 1000000";
	} else if (strcmp(name, "connections") == 0) {
		status = inlay_number_parse(value, 0, INLAY_LANES_MAX, &a->connections);
		wrong = "not a number of connections from 0 to 64";
	} else if (strcmp(name, "log_file") == 0) {
		a->log_file = value;
	} else {
		return 0;
	}
	if (status < 0) {
		char text[512];

		snprintf(text, sizeof(text), "%.400s", wrong);
		snprintf(why, why_len, "%s: -o %s=%s", text, name, value);
		return status;
	}
	return 1;
}

/* item: one option, unescaped; lives as long as *o. */
static int add_item(struct inlay_mount_options *o, char *item, char *why, size_t why_len)
{
	char *value = strchr(item, '=');
	int taken = 0;

	if (value)
		*value++ = '\0';
	if (!*item)
		return 0;
	if (strcmp(item, "rw") == 0)
		o->attach.readonly = false;
	if (is_ignored(item) || set_flag(o, item))
		return 0;
	if (strcmp(item, "remount") == 0) {
		snprintf(why, why_len, "can't be remounted: -o remount: detach and attach again");
		return -INLAY_ENOTSUP;
	}
	taken = value ? set_value(o, item, value, why, why_len) : set_switch(o, item);
	if (taken != 0)
		return taken < 0 ? taken : 0;
	if (o->sloppy)
		return 0;
	for (size_t i = 0; inlay_mount_option_names[i]; i++) {
		if (strcmp(item, inlay_mount_option_names[i]) == 0) {
			snprintf(why, why_len, "%s: -o %s", value ? "takes no value" : "value missing", item);
			return -INLAY_EINVAL;
		}
	}
	snprintf(why, why_len, "unknown option: -o %s: see mount.inlay(8)", item);
	return -INLAY_EINVAL;
}

/* Cuts the next option off *cursor in place, unescaped; NULL at the end. */
static char *take_item(char **cursor)
{
	char *item = *cursor, *to = item;

	if (!item || !*item)
		return NULL;
	for (const char *p = item;; p++) {
		if (*p == '\\' && (p[1] == ',' || p[1] == '\\')) {
			/* A glob's own escapes stay: "\\" is handed on as it is. */
			if (p[1] == '\\')
				*to++ = '\\';
			*to++ = *++p;
		} else if (*p == ',' || !*p) {
			*cursor = item + (p - item) + (*p == ',');
			*to = '\0';
			return item;
		} else {
			*to++ = *p;
		}
	}
}

int inlay_mount_options_add(struct inlay_mount_options *ret, const char *list, char *why, size_t why_len)
{
	char **grown = realloc(ret->text, (ret->texts + 1) * sizeof(*grown));
	char *cursor = strdup(list), *item;
	int status = 0;

	ret->text = grown ? grown : ret->text;
	if (!grown || !cursor) {
		free(cursor);
		snprintf(why, why_len, "%s", inlay_status_text(INLAY_ENOMEM));
		return -INLAY_ENOMEM;
	}
	ret->text[ret->texts++] = cursor;
	while (status == 0 && (item = take_item(&cursor)) != NULL)
		status = add_item(ret, item, why, why_len);
	return status;
}

void inlay_mount_options_done(struct inlay_mount_options *o)
{
	inlay_rules_done(&o->attach.rules);
	for (size_t i = 0; i < o->texts; i++)
		free(o->text[i]);
	free(o->text);
	*o = (struct inlay_mount_options){.text = NULL};
}

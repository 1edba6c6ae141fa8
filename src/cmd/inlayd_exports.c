/*
 * One export as it is written: taken apart, checked, its user looked up.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/inlayd_config.h"
#include "os/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRONG(...) (snprintf(why, INLAYD_WHY, __VA_ARGS__), -INLAY_EINVAL)

void inlayd_export_done(struct inlayd_export *e)
{
	free(e->name);
	free(e->dir);
	free(e->identity);
	free(e->user);
	inlay_rules_done(&e->rules);
	memset(e, 0, sizeof(*e));
}

/* Takes the last ",word" off; false when it is none of ours: a directory's name may have commas in it. */
static bool take_word(struct inlayd_export *e, char *text)
{
	char *word = strrchr(text, ',');

	if (!word)
		return false;
	if (strcmp(word, ",ro") == 0) {
		e->readonly = true;
	} else if (strncmp(word, ",identity=", 10) == 0 && !e->identity) {
		e->identity = strdup(word + 10);
	} else {
		return false;
	}
	*word = '\0';
	return true;
}

int inlayd_export_parse(const char *text, struct inlayd_export *ret, char why[INLAYD_WHY])
{
	const char *dir = strchr(text, '=');
	struct inlayd_export e = {0};

	if (!dir || dir == text || !dir[1])
		return WRONG("--export %.300s: not of the form NAME=DIR[,ro][,identity=client|USER]", text);
	e.name = strndup(text, (size_t)(dir - text));
	e.dir = strdup(dir + 1);
	if (!e.name || !e.dir) {
		inlayd_export_done(&e);
		return WRONG("out of memory");
	}
	while (take_word(&e, e.dir))
		;
	*ret = e;
	return 0;
}

static int user_groups(const struct passwd *pw, struct inlay_cred *cred)
{
	gid_t groups[INLAY_GROUPS_MAX];
	int count = (int)INLAY_GROUPS_MAX;

	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &count) < 0)
		return -INLAY_ERANGE;
	cred->uid = pw->pw_uid;
	cred->gid = pw->pw_gid;
	cred->ngroups = (uint32_t)count;
	for (int i = 0; i < count; i++)
		cred->groups[i] = groups[i];
	return 0;
}

static int resolve_user(struct inlayd_export *e, char why[INLAYD_WHY])
{
	unsigned number;
	bool is_number = inlay_number_parse(e->identity, 0, 0xfffffffeu, &number) == 0;
	struct passwd *pw = is_number ? getpwuid(number) : getpwnam(e->identity);

	if (!pw && !is_number)
		return WRONG("export '%s': no user '%.100s' on this host: give a user's name or number, or identity=client",
			e->name, e->identity);
	if ((pw ? pw->pw_uid : number) == geteuid())
		return 0; /* the process itself */
	if (!inlay_identity_can_switch())
		return WRONG("export '%s': identity=%.100s needs the right to act as other users: run inlayd as root",
			e->name, e->identity);
	e->user = calloc(1, sizeof(*e->user));
	if (!e->user)
		return WRONG("out of memory");
	if (!pw)
		e->user->uid = e->user->gid = number;
	else if (user_groups(pw, e->user) < 0)
		return WRONG("export '%s': user '%s' is in too many groups", e->name, pw->pw_name);
	return 0;
}

static int check_identity(struct inlayd_export *e, char why[INLAYD_WHY])
{
	if (!e->identity) {
		e->identity_client = inlay_identity_can_switch();
		return 0;
	}
	if (strcmp(e->identity, "client") != 0)
		return resolve_user(e, why);
	if (!inlay_identity_can_switch())
		return WRONG("export '%s': identity=client needs the right to act as other users: run inlayd as root, or leave "
			"identity out", e->name);
	e->identity_client = true;
	return 0;
}

static int check_rules(const struct inlayd_export *e, char why[INLAYD_WHY])
{
	const char *what;
	size_t total = 0;

	for (size_t i = 0; i < e->rules.count; i++) {
		if (inlay_rule_check(e->rules.rule[i], &what) < 0)
			return WRONG("export '%s': rule '%.200s': %s", e->name, e->rules.rule[i], what);
		total += strlen(e->rules.rule[i]) + 1;
	}
	return total > INLAY_RULES_MAX ? WRONG("export '%s': more than %u bytes of rules", e->name, INLAY_RULES_MAX) : 0;
}

int inlayd_export_check(struct inlayd_export *e, char why[INLAYD_WHY])
{
	size_t len = strlen(e->name);
	int fd, r;

	if (!len || len > 255 || strchr(e->name, '/'))
		return WRONG("export '%.300s': a name has 1 to 255 bytes and no '/'", e->name);
	fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, INLAYD_WHY, "export '%s': %.700s: %s", e->name, e->dir,
			errno == ENOENT ? "no such directory: create it, or correct the export" : strerror(errno));
		return inlay_status_from_errno(errno);
	}
	close(fd);
	r = check_identity(e, why);
	return r < 0 ? r : check_rules(e, why);
}

bool inlayd_export_same(const struct inlayd_export *a, const struct inlayd_export *b)
{
	if (strcmp(a->name, b->name) || strcmp(a->dir, b->dir) || a->readonly != b->readonly ||
	    a->identity_client != b->identity_client || !a->user != !b->user || a->rules.count != b->rules.count)
		return false;
	if (a->user && memcmp(a->user, b->user, sizeof(*a->user)))
		return false;
	for (size_t i = 0; i < a->rules.count; i++)
		if (strcmp(a->rules.rule[i], b->rules.rule[i]))
			return false;
	return true;
}

char *inlayd_export_rules(const struct inlayd_export *e)
{
	char *text = calloc(1, INLAY_RULES_MAX + 1), *p = text;

	for (size_t i = 0; text && i < e->rules.count; i++)
		p += sprintf(p, "%s\n", e->rules.rule[i]); /* fits: inlayd_export_check */
	return text;
}

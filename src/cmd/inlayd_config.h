/*
 * What inlayd is told: by options and by its configuration file, in the same words.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_INLAYD_CONFIG_H
#define INLAY_CMD_INLAYD_CONFIG_H

#include "cmd/options.h"
#include "cmd/rules.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stddef.h>

#define INLAYD_WHY 1024 /* bytes that any complaint fits in */

struct inlayd_export {
	char *name, *dir;
	char *identity; /* "client", a user's name or number; NULL for the default */
	bool readonly;
	struct inlay_rules rules;
	/* Resolved: */
	bool identity_client;
	struct inlay_cred *user; /* NULL: as the server's own process */
};

/* The command line, as parsed. */
struct inlayd_options {
	struct inlay_option_list exports, listens;
	const char *config, *state_dir, *log_format, *log_level, *rules;
	unsigned threads;
	bool insecure, check;
};
extern const struct inlay_command inlayd_command;

struct inlayd_config {
	struct inlayd_export *exports;
	size_t nexports;
	char **listens; /* as written */
	size_t nlistens;
	bool listens_default;
	char *state_dir, *log_format, *log_level;
	unsigned threads; /* 0: one per core */
	bool insecure;
	char *file; /* what was read, NULL for none */
};

/*
 * Reads the file (the one named, or the default one where it exists) and puts the options over it: single values
 * replace, lists add, listening addresses replace. Then checks everything: names, directories, users, rules,
 * addresses. 0, or a status with why one line: what, where, what to do. -INLAY_EINVAL: the words are wrong.
 */
int inlayd_config_load(const struct inlayd_options *o, struct inlayd_config *ret, char why[INLAYD_WHY]);
void inlayd_config_done(struct inlayd_config *c);
/* True when both stand for the same thing, so that a reload leaves it alone. */
bool inlayd_export_same(const struct inlayd_export *a, const struct inlayd_export *b);
/* All rules, one a line; the caller frees it. NULL: out of memory. */
char *inlayd_export_rules(const struct inlayd_export *e);

/* ---- inlayd_exports.c ---- */

/* NAME=DIR[,ro][,identity=client|USER] */
int inlayd_export_parse(const char *text, struct inlayd_export *ret, char why[INLAYD_WHY]);
/* Name, directory, identity, rules; resolves the identity. */
int inlayd_export_check(struct inlayd_export *e, char why[INLAYD_WHY]);
void inlayd_export_done(struct inlayd_export *e);

#endif

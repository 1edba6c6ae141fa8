/*
 * Attaching, as `inlay attach` and mount(8)'s helper both do it: checks, the process that stays, the answer.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_ATTACH_H
#define INLAY_CMD_ATTACH_H

#include "cmd/attachment.h"
#include "cmd/rules.h"

#include <stdbool.h>

struct inlay_attach_options {
	struct inlay_rules rules;
	bool readonly, foreground, insecure, allow_other, no_server_rules, no_guardian;
	unsigned timeout_ms;  /* 0: for ever */
	unsigned connections; /* 0: by the number of cores */
	const char *log_file; /* NULL: none */
	bool check_only;      /* all checks, nothing attached */
};

/*
 * Returns the exit code, once the directory is usable or an error has been said; with foreground, once it is over. May fork:
 * no thread may run.
 */
int inlay_attach(const char *source, const char *dir, const struct inlay_attach_options *o);

/* The process that a guardian starts: serves the attachment until it is over. Returns the exit code. */
int inlay_take_over(int sock);

#endif

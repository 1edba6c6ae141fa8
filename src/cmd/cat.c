/*
 * `inlay cat`: a server's file to standard output, without attaching.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/commands.h"
#include "cmd/place.h"
#include "cmd/remote.h"
#include "cmd/say.h"
#include "cmd/transfer.h"
#include "os/files.h"

#include <stdio.h>

struct cat_options {
	bool insecure;
	unsigned timeout_ms;
};

static const struct inlay_option cat_options[] = {
	{.name = "insecure", .kind = INLAY_OPTION_FLAG, .help = "allow plain TCP to another host",
		.at = offsetof(struct cat_options, insecure)},
	INLAY_PLACE_OPTIONS
	{.name = "timeout", .kind = INLAY_OPTION_SECONDS, .value = "SECONDS", .min = 1, .max = 86400,
		.help = "how long to wait for the server; default 30", .at = offsetof(struct cat_options, timeout_ms)},
	{.name = NULL},
};

const struct inlay_command inlay_cat_command = {
	.name = "inlay cat",
	.operands = "SERVER[:PORT]/EXPORT/PATH",
	.summary = "Writes a server's file to standard output without attaching it",
	.details = "A progress bar is shown when standard output is not a terminal, but standard error is.\n",
	.operands_min = 1,
	.operands_max = 1,
	.options = cat_options,
};

static int print(struct inlay_visit *v, const struct inlay_place *p, bool *ret_here)
{
	struct inlay_progress progress;
	struct inlay_remote_file f;
	struct inlay_attr attr;
	uint64_t handle;
	int status = inlay_remote_walk(v, p->name.path, true, &f);

	*ret_here = false;
	if (status < 0)
		return status;
	if (inlay_attr_type(&f.attr) == INLAY_MODE_DIR)
		return -INLAY_EISDIR;
	status = inlay_remote_open(v, &f.node, INLAY_O_RDONLY, &handle, &attr);
	if (status < 0)
		return status;
	inlay_progress_begin(&progress, inlay_place_base(p), attr.size);
	progress.on = progress.on && !inlay_fd_is_terminal(fileno(stdout));
	status = inlay_transfer_get(v, handle, &attr, fileno(stdout), false, &progress, ret_here);
	inlay_progress_end(&progress);
	(void)inlay_remote_close(v, handle);
	return status;
}

int inlay_cat_main(int argc, char **argv)
{
	struct cat_options o = {.timeout_ms = 30000};
	int first = inlay_options_parse(&inlay_cat_command, argc, argv, &o), status;
	struct inlay_place p;
	struct inlay_visit *v;
	bool here;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	if (inlay_place_parse_remote(argv[first], &p) < 0)
		return INLAY_EXIT_USAGE;
	v = inlay_place_visit(&p, o.insecure, o.timeout_ms);
	if (!v)
		return INLAY_EXIT_FAILED;
	status = print(v, &p, &here);
	if (status < 0)
		inlay_say("can't %s: %s: %s", here ? "write" : "read", here ? "standard output" : p.text,
			inlay_status_text(status));
	inlay_visit_close(v);
	return status < 0 ? INLAY_EXIT_FAILED : INLAY_EXIT_OK;
}

/*
 * The process that stays while a directory is attached: attachment, control socket, signals, the way out.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_KEEPER_H
#define INLAY_CMD_KEEPER_H

#include "cmd/attachment.h"

/* What the starter waits for: one line on this descriptor, "ok" or what failed; then it is closed. -1: nobody waits. */
struct inlay_keeper_config {
	const struct inlay_attachment_config *attachment;
	int report_fd;
	int log_fd; /* where log lines go once it runs; becomes stderr */
	/* Linux: what a predecessor left, and the socket to its guardian; both are taken over. NULL: attach anew. */
	struct inlay_kept *inherited;
	int guardian;
};

/*
 * Attaches, reports, and stays until the file system is unmounted, the attachment is over or a signal ends it. A first SIGTERM or SIGINT drains:
 * programs have 10 s to let go; a second one, or that time, forces. Returns the exit code.
 */
int inlay_keeper_run(const struct inlay_keeper_config *config);

#endif

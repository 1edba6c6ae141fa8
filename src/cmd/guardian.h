/*
 * The guardian: a small process that holds on to what an attachment can't do without - the kernel's descriptors, the
 * underlying directory, the estate's memory - and starts another redirector when the one that there is dies.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   redirector --KEEP descriptor ... ALL--> guardian            over a socket pair, in datagrams
 *   redirector --BYE--> guardian                                it ends in order: so does the guardian
 *   redirector --(end of file)                                  it died: the guardian starts the next and tells it all
 *   guardian --(end of file)                                    it died: the redirector starts another guardian
 */
#ifndef INLAY_CMD_GUARDIAN_H
#define INLAY_CMD_GUARDIAN_H

#include "base/limits.h"

#include <limits.h>
#include <stdbool.h>

enum inlay_kept_place { INLAY_KEPT_ESTATE, INLAY_KEPT_DIR, INLAY_KEPT_STATE, INLAY_KEPT_LOG, INLAY_KEPT_FUSE /* and on, one a loop */ };
#define INLAY_KEPT_MOST (INLAY_KEPT_FUSE + INLAY_LANES_MAX)

/* Descriptors by place, -1: none; and the program that a successor runs. */
struct inlay_kept {
	int fd[INLAY_KEPT_MOST];
	char program[PATH_MAX];
};

void inlay_kept_init(struct inlay_kept *k);
/* Closes what is in it. */
void inlay_kept_done(struct inlay_kept *k);

/* ---- the redirector's side ---- */

/*
 * Starts a guardian (a fork and an exec, so that threads may run) and gives it duplicates of all that is kept. Returns the socket to it,
 * which is readable once it has died; or a status.
 */
int inlay_guardian_start(const struct inlay_kept *k);
/* What the guardian keeps, to its new redirector. 0 or a status. */
int inlay_guardian_receive(int sock, struct inlay_kept *ret);
/* The redirector serves: should it die now, that is no fault of the take-over. */
void inlay_guardian_ready(int sock);
/* The attachment is over, or is about to be: the guardian ends. Any thread. */
void inlay_guardian_dismiss(int sock);

/* ---- the processes' own ends: both are started with the socket's number as their operand ---- */

#define INLAY_GUARDIAN_WORD "guard"
#define INLAY_SUCCESSOR_WORD "take-over"
/* The guardian's main(). */
int inlay_guardian_main(int sock);

#endif

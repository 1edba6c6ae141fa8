/*
 * A reclaim under way, as reclaim.c (files and locks) and resend.c (what was written to them) share it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/redirect.
 */
#ifndef INLAY_REDIRECT_RECLAIM_H
#define INLAY_REDIRECT_RECLAIM_H

#include "redirect/unsynced.h"

#define RECLAIM_AT_A_TIME 32u
#define RECLAIM_ROOM (INLAY_FRAME_HEADER + 256u + 4u * INLAY_GROUPS_MAX)

struct reclaim;

/* One file under way. */
struct reclaim_item {
	struct inlay_call call;
	struct reclaim *reclaim;
	struct inlay_file *file;      /* referenced; NULL: none */
	struct inlay_unsynced_file *kept; /* being sent again; NULL: nothing is */
	const struct inlay_change *change;
	uint64_t handle;              /* it is open by */
	uint8_t room[RECLAIM_ROOM];
};

struct reclaim {
	struct inlay_redirect *redirect;
	const struct inlay_reclaim_ops *ops;
	void *arg;
	uint32_t run;
	uint64_t *numbers; /* of files to do */
	size_t count, cap, next;
	unsigned busy, files, stale, lost;
	bool canceled, told, crashed;
	bool resends;      /* all files and locks are there: what was written to them follows */
	struct reclaim_item item[RECLAIM_AT_A_TIME];
};

void reclaim_send(struct reclaim_item *it, struct inlay_writer *w, void (*done)(struct inlay_call *c, const struct inlay_reply *r));
/* First in every done: True: nothing more is to be sent, and the item is idle; it may be gone. */
bool reclaim_answered(struct reclaim_item *it, const struct inlay_reply *r);
/* The item is idle: takes what is next. It may be gone then. */
void reclaim_go_on(struct reclaim_item *it);

/* resend.c: takes a file of which something is kept, and sends that again. False: there is none left. */
bool resend_next(struct reclaim_item *it);

#endif

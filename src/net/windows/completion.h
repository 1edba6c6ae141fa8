/*
 * Completions on a loop: what the host does meanwhile (overlapped calls) ends as a callback of the loop's owner.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_WINDOWS_COMPLETION_H
#define INLAY_NET_WINDOWS_COMPLETION_H

#include "net/loop.h"

#include <winsock2.h>
#include <windows.h>

/* One call under way. Embedded by its user; must stay until done(). */
struct inlay_completion {
	OVERLAPPED overlapped; /* of the call; zeroed by inlay_completion_begin */
	/*
	 * The loop's owner, once for each begin that was not taken back: bytes moved, or a status. After the loop has stopped also the
	 * thread that frees it, which counts as the owner. Moving on from the loop: see inlay_loop_run.
	 */
	void (*done)(struct inlay_completion *c, int64_t result);
	struct inlay_loop *loop;
};

/* Has the calls on this handle complete on the loop, for as long as it is open. 0 or a status. Any thread. */
int inlay_loop_bind(struct inlay_loop *l, HANDLE h);

/* Before the call is made. forget: it was not, or failed at once, so that done() won't be called. Owner thread. */
void inlay_completion_begin(struct inlay_loop *l, struct inlay_completion *c);
void inlay_completion_forget(struct inlay_completion *c);
/* Ends a begun one from any thread, without the host. */
void inlay_completion_post(struct inlay_completion *c);

#endif

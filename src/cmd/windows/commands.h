/*
 * What the commands of Windows share: where the service listens, how attachments are found and asked.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_COMMANDS_H
#define INLAY_CMD_WINDOWS_COMMANDS_H

#include "cmd/options.h"
#include "cmd/windows/pipe.h"
#include "cmd/windows/registry.h"

#include <stdbool.h>

#define INLAY_SERVICE_NAME L"InlayService"
#define INLAY_SERVICE_PIPE L"\\\\.\\pipe\\inlay-service"
#define INLAY_REPORT_VARIABLE L"INLAY_REPORT" /* handle, in decimal: where `attach --foreground` of the service says what came of it */

extern const struct inlay_command inlay_service_command;
int inlay_service_main(int argc, char **argv);

/* An attachment that runs, and the talk to it. */
struct inlay_peer {
	const struct inlay_running *running;
	struct inlay_talk talk;
	int status;    /* of opening the talk: 0, -INLAY_ENOENT (its process is gone) ... */
	void *process; /* to wait for its end; NULL: can't be watched */
};

/* Talks to every one. Keys of processes that are gone are removed, and the entries left out. */
struct inlay_peers {
	struct inlay_running *running; /* listed of them */
	struct inlay_peer *peer;       /* count of them */
	size_t listed, count;
};

/* 0 or a status. */
int inlay_peers_find(struct inlay_peers *ret);
void inlay_peers_done(struct inlay_peers *p);
/* The one whose directory the path (full) is or lies beneath, with what lies beneath in *ret_rest; NULL: none. */
struct inlay_peer *inlay_peers_at(struct inlay_peers *p, const char *path, const char **ret_rest);
/* Another connection to the same one: each takes one request. */
int inlay_peer_again(const struct inlay_peer *p, struct inlay_talk *ret);
/* Waits until its process has ended. True when it has, or can't be watched. */
bool inlay_peer_wait_end(const struct inlay_peer *p, unsigned timeout_ms);
/* Asks, and waits for the answer. 0 with the answer in talk->text, or a status. */
int inlay_talk_ask(struct inlay_talk *t, const char *request, unsigned timeout_ms);

#endif

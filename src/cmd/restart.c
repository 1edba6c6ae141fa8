/*
 * `inlay restart`: another process takes an attachment over, programs go on. After an update of the program it is the new one.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/answer_text.h"
#include "cmd/clock.h"
#include "cmd/commands.h"
#include "cmd/json.h"
#include "cmd/mounts.h"
#include "cmd/peer.h"
#include "cmd/say.h"

#include <limits.h>
#include <stdio.h>

#define ASK_MS 5000u
#define COME_MS 10000u /* for the one that takes over */
#define RETRY_MS 20u

static const struct inlay_option restart_options[] = {{.name = NULL}};

const struct inlay_command inlay_restart_command = {
	.name = "inlay restart",
	.operands = "DIR",
	.summary = "Has another process, of the program as it is installed now, take over the attachment",
	.details = "Open files and locks live on; programs see a pause.\n",
	.operands_min = 1,
	.operands_max = 1,
	.options = restart_options,
};

/* True: the request was heard, or the process went before its answer. */
static bool ask(struct inlay_peer *peer, const char *dir)
{
	char why[256];
	int status = inlay_peer_ask(peer, "restart", ASK_MS);

	if (status == 0)
		status = inlay_answer_status(peer->text, why, sizeof why);
	else
		snprintf(why, sizeof why, "%s", inlay_status_text(status));
	if (status == 0 || status == -INLAY_EPROTO)
		return true;
	inlay_say("can't restart: %s: %s", dir, why);
	return false;
}

/* Its process, once one answers that isn't `old`; 0 if none does in time. */
static pid_t wait_for_another(const struct inlay_mount *m, pid_t old)
{
	uint64_t deadline = inlay_clock_ms() + COME_MS;
	struct inlay_peer peer;
	pid_t found = 0;

	while (!found && inlay_clock_ms() < deadline) {
		inlay_sleep_ms(RETRY_MS);
		if (inlay_peer_find(m->major, m->minor, &peer) < 0)
			continue;
		if (peer.name.pid != old && inlay_peer_ask(&peer, "status", ASK_MS) == 0)
			found = peer.name.pid;
		inlay_peer_done(&peer);
	}
	return found;
}

static int restart(const struct inlay_mount *m, const char *dir)
{
	struct inlay_peer peer;
	pid_t old, found;
	bool asked;

	if (inlay_peer_find(m->major, m->minor, &peer) < 0) {
		inlay_say("nobody serves it: %s: see \"inlay status\"", dir);
		return INLAY_EXIT_FAILED;
	}
	old = peer.name.pid;
	asked = ask(&peer, dir);
	inlay_peer_done(&peer);
	if (!asked)
		return INLAY_EXIT_FAILED;
	found = wait_for_another(m, old);
	if (!found) {
		inlay_say("no other process has come: %s: see \"inlay status\" and the log", dir);
		return INLAY_EXIT_FAILED;
	}
	printf("%s: process %d took over from %d\n", m->dir, (int)found, (int)old);
	return INLAY_EXIT_OK;
}

int inlay_restart_main(int argc, char **argv)
{
	char rest[2 * PATH_MAX], none = 0;
	int first = inlay_options_parse(&inlay_restart_command, argc, argv, &none), code = INLAY_EXIT_FAILED, status;
	const struct inlay_mount *m;
	struct inlay_mounts mounts;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	status = inlay_mounts_read("self", &mounts);
	if (status < 0) {
		inlay_say("can't read the list of mounts: /proc/self/mountinfo: %s", inlay_status_text(status));
		return code;
	}
	m = inlay_mounts_resolve(&mounts, argv[first], rest, sizeof rest);
	if (m && !*rest)
		code = restart(m, argv[first]);
	else
		inlay_say("not attached: %s: \"inlay status\" shows what is", argv[first]);
	inlay_mounts_free(&mounts);
	return code;
}

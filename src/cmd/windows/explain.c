/*
 * `inlay explain` on Windows: who serves a path, and why.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/asking.h"
#include "cmd/commands.h"
#include "cmd/say.h"
#include "cmd/windows/commands.h"
#include "cmd/windows/directory.h"

#include <limits.h>
#include <stdlib.h>

#define PATIENCE_MS 10000u /* the server may have to be asked */

const struct inlay_command inlay_explain_command = {
	.name = "inlay explain",
	.operands = "DIR\\PATH...",
	.summary = "Tells for each path whether it is local or remote, and which rule says so",
	.details = "The paths need not exist.\n",
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.options = inlay_explain_options,
};

/* 0 with the JSON answer in talk->text, or -1 when the failure has been said. */
static int ask(const struct inlay_peer *peer, const char *path, const char *rest, struct inlay_talk *talk)
{
	char *request = inlay_explain_request(rest);
	int status = request ? inlay_peer_again(peer, talk) : -INLAY_ENOMEM;

	if (status < 0) {
		inlay_say(status == -INLAY_EACCES ? "no permission to ask: %s: start a console as administrator"
						  : "nobody serves it: %s: see \"inlay status\"", path);
		free(request);
		return -1;
	}
	status = inlay_talk_ask(talk, request, PATIENCE_MS);
	free(request);
	if (status == 0)
		return 0;
	inlay_say("%s: %s: see \"inlay status\"", status == -INLAY_ETIMEDOUT ? "no answer" : inlay_status_text(status), path);
	inlay_talk_done(talk);
	return -1;
}

static bool explain(struct inlay_peers *peers, const char *path, const struct inlay_json_options *o)
{
	char *full = inlay_directory_full(path);
	const char *rest = "";
	const struct inlay_peer *peer = full ? inlay_peers_at(peers, full, &rest) : NULL;
	struct inlay_talk talk;
	bool ok = false;

	if (!peer) {
		inlay_say("not in an attached directory: %s: see \"inlay status\"", path);
	} else if (ask(peer, path, rest, &talk) == 0) {
		ok = inlay_explain_answer(talk.text, path, o->json);
		inlay_talk_done(&talk);
	}
	free(full);
	return ok;
}

int inlay_explain_main(int argc, char **argv)
{
	struct inlay_json_options o = {0};
	struct inlay_peers peers;
	int first = inlay_options_parse(&inlay_explain_command, argc, argv, &o), code = INLAY_EXIT_OK, status;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	status = inlay_peers_find(&peers);
	if (status < 0) {
		inlay_say("can't look for attachments: %s", inlay_status_text(status));
		return INLAY_EXIT_FAILED;
	}
	for (int i = first; i < argc; i++) {
		if (!explain(&peers, argv[i], &o))
			code = INLAY_EXIT_FAILED;
	}
	inlay_peers_done(&peers);
	return code;
}

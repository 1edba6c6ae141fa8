/*
 * `inlay explain`: who serves a path, and why.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/asking.h"
#include "cmd/commands.h"
#include "cmd/mounts.h"
#include "cmd/peer.h"
#include "cmd/say.h"

#include <limits.h>
#include <stdlib.h>

#define PATIENCE_MS 10000u /* the server may have to be asked */

const struct inlay_command inlay_explain_command = {
	.name = "inlay explain",
	.operands = "DIR/PATH...",
	.summary = "Tells for each path whether it is local or remote, and which rule says so",
	.details = "The paths need not exist.\n",
	.operands_min = 1,
	.operands_max = UINT_MAX,
	.options = inlay_explain_options,
};

/* Asks whoever serves the mount. 0 with the JSON answer in peer->text, or -1 when the failure has been said. */
static int ask(const struct inlay_mount *mount, const char *path, const char *rest, struct inlay_peer *peer)
{
	char *request = inlay_explain_request(rest);
	int status = request ? inlay_peer_find(mount->major, mount->minor, peer) : -INLAY_ENOMEM;

	if (status < 0) {
		inlay_say("nobody serves it: %s: see \"inlay status\"", path);
		free(request);
		return -1;
	}
	status = inlay_peer_ask(peer, request, PATIENCE_MS);
	free(request);
	if (status == 0)
		return 0;
	inlay_say("%s: %s: see \"inlay status\"", status == -INLAY_ETIMEDOUT ? "no answer" : inlay_status_text(status), path);
	inlay_peer_done(peer);
	return -1;
}

static bool explain(const struct inlay_mounts *mounts, const char *path, const struct inlay_json_options *o)
{
	char rest[2 * PATH_MAX];
	const struct inlay_mount *mount = inlay_mounts_resolve(mounts, path, rest, sizeof(rest));
	struct inlay_peer peer;
	bool ok;

	if (!mount) {
		inlay_say("not in an attached directory: %s: see \"inlay status\"", path);
		return false;
	}
	if (ask(mount, path, rest, &peer) < 0)
		return false;
	ok = inlay_explain_answer(peer.text, path, o->json);
	inlay_peer_done(&peer);
	return ok;
}

int inlay_explain_main(int argc, char **argv)
{
	struct inlay_json_options o = {0};
	struct inlay_mounts mounts;
	int first = inlay_options_parse(&inlay_explain_command, argc, argv, &o), code = INLAY_EXIT_OK, status;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	status = inlay_mounts_read("self", &mounts);
	if (status < 0) {
		inlay_say("can't read the list of mounts: /proc/self/mountinfo: %s", inlay_status_text(status));
		return INLAY_EXIT_FAILED;
	}
	for (int i = first; i < argc; i++) {
		if (!explain(&mounts, argv[i], &o))
			code = INLAY_EXIT_FAILED;
	}
	inlay_mounts_free(&mounts);
	return code;
}

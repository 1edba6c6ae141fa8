/*
 * Operands of `inlay ls`, `cat` and `cp`: which are remote names, which are files here.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_PLACE_H
#define INLAY_CMD_PLACE_H

#include "cmd/client.h"
#include "net/addr.h"

#include <stdbool.h>

#define INLAY_URL "inlay://"

/* What the commands' tables have more on hosts whose users have no numbers that a server knows. */
#ifdef _WIN32
#define INLAY_PLACE_OPTIONS \
	{.name = "user", .kind = INLAY_OPTION_CALL, .value = "UID:GID", .set = inlay_place_user, \
		.help = "who you are on the server; default 65534:65534, nobody"},
#else
#define INLAY_PLACE_OPTIONS
#endif

struct inlay_place {
	bool remote;
	const char *text;              /* as given, without inlay:// */
	struct inlay_remote_name name; /* remote only */
};

/*
 * What a name must be when it says so itself ("inlay://", or '/' or '.' at its beginning), else what exists: a file here, or (for a
 * file to be made, target) its directory here, else a remote name. 0, or -INLAY_EINVAL after a line to the user.
 */
int inlay_place_parse(const char *text, bool target, struct inlay_place *ret);
/* A remote name, or -INLAY_EINVAL after a line to the user. */
int inlay_place_parse_remote(const char *text, struct inlay_place *ret);

/* Takes "UID:GID"; see struct inlay_option. Windows only. */
int inlay_place_user(void *into, const char *value, const char **ret_why);

/* Opens the visit, or says why not. NULL on failure. */
struct inlay_visit *inlay_place_visit(const struct inlay_place *p, bool insecure, unsigned timeout_ms);
/* The last name of a path or remote name; "" for an export itself. */
const char *inlay_place_base(const struct inlay_place *p);

#endif

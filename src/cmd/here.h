/*
 * Names of the server's files here, and back: the same on Linux; on Windows what can't stand in a name stands for itself
 * otherwise (intercept/winfilter/names.h).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_HERE_H
#define INLAY_CMD_HERE_H

#include "base/status.h"
#include "os/files.h"

#include <string.h>

#ifdef _WIN32
#include "intercept/winfilter/names.h"

_Static_assert(INLAY_WINNAME_MAX <= INLAY_HERE_NAME_MAX, "a mapped name fits");
#endif

/* One name. 0, or a status when it has none. */
static inline int inlay_name_here(const char *server, char ret[INLAY_HERE_NAME_MAX + 1])
{
#ifdef _WIN32
	int r = inlay_winname_from_server(inlay_str(server), ret);

	return r < 0 ? r : 0;
#else
	if (strlen(server) > INLAY_HERE_NAME_MAX)
		return -INLAY_ENAMETOOLONG;
	strcpy(ret, server);
	return 0;
#endif
}

static inline int inlay_name_there(const char *here, char ret[INLAY_NAME_MAX + 1])
{
#ifdef _WIN32
	int r = inlay_winname_to_server(inlay_str(here), ret);

	return r < 0 ? r : 0;
#else
	if (strlen(here) > INLAY_NAME_MAX)
		return -INLAY_ENAMETOOLONG;
	strcpy(ret, here);
	return 0;
#endif
}

#endif

/*
 * Remote names and files here.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/place.h"

#include "base/status.h"
#include "cmd/say.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_url(const char *text)
{
	return strncmp(text, INLAY_URL, strlen(INLAY_URL)) == 0;
}

/* The directory that a new file of this name would lie in exists here, and the name has one. */
static bool parent_exists(const char *text)
{
	const char *slash = strrchr(text, '/');
	struct stat st;
	char *parent;
	bool found;

	if (!slash)
		return true;
	parent = strndup(text, (size_t)(slash - text));
	found = parent && stat(parent, &st) == 0 && S_ISDIR(st.st_mode);
	free(parent);
	return found;
}

static bool is_here(const char *text, bool target)
{
	struct stat st;

	if (is_url(text))
		return false;
	if (*text == '/' || *text == '.' || !strchr(text, '/'))
		return true;
	return lstat(text, &st) == 0 || (target && parent_exists(text));
}

int inlay_place_parse_remote(const char *text, struct inlay_place *ret)
{
	const char *why = "";

	*ret = (struct inlay_place){.remote = true, .text = is_url(text) ? text + strlen(INLAY_URL) : text};
	if (inlay_remote_name_parse(ret->text, &ret->name, &why) == 0)
		return 0;
	inlay_say("%s: %s: write SERVER[:PORT]/EXPORT[/PATH]", why, text);
	return -INLAY_EINVAL;
}

int inlay_place_parse(const char *text, bool target, struct inlay_place *ret)
{
	*ret = (struct inlay_place){.text = text};
	if (!*text) {
		inlay_say("empty name: \"\": name a file, or SERVER/EXPORT/PATH");
		return -INLAY_EINVAL;
	}
	return is_here(text, target) ? 0 : inlay_place_parse_remote(text, ret);
}

struct inlay_visit *inlay_place_visit(const struct inlay_place *p, bool insecure, unsigned timeout_ms)
{
	struct inlay_visit *v;
	char why[1024];

	if (inlay_visit_open(&p->name, insecure, timeout_ms, why, sizeof(why), &v) == 0)
		return v;
	inlay_say("%s", why);
	return NULL;
}

const char *inlay_place_base(const struct inlay_place *p)
{
	const char *path = p->remote ? p->name.path : p->text;
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * Remote names and files here.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/place.h"

#include "base/status.h"
#include "cmd/options.h"
#include "cmd/say.h"
#include "os/files.h"
#include "os/self.h"

#include <stdlib.h>
#include <string.h>

static bool is_url(const char *text)
{
	return strncmp(text, INLAY_URL, strlen(INLAY_URL)) == 0;
}

static const char *last_separator(const char *text)
{
	const char *slash = strrchr(text, '/');
#ifdef _WIN32
	const char *back = strrchr(text, '\\');

	if (!slash || (back && back > slash))
		slash = back;
#endif
	return slash;
}

/* The directory that a new file of this name would lie in exists here, and the name has one. */
static bool parent_exists(const char *text)
{
	const char *slash = last_separator(text);
	struct inlay_file_info info;
	char *parent;
	bool found;

	if (!slash)
		return true;
	parent = strndup(text, (size_t)(slash - text));
	found = parent && inlay_file_info(NULL, parent, true, &info) == 0 && (info.mode & INLAY_MODE_TYPE) == INLAY_MODE_DIR;
	free(parent);
	return found;
}

/* "/x", "./x", "x": no server's name begins or is like that. On Windows "C:..." and "\..." are no server's, too. */
static bool says_here(const char *text)
{
#ifdef _WIN32
	bool letter = (*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z');

	if ((letter && text[1] == ':' && (text[2] == '\\' || text[2] == '/')) || *text == '\\')
		return true;
#endif
	return *text == '/' || *text == '.' || !strchr(text, '/');
}

static bool is_here(const char *text, bool target)
{
	struct inlay_file_info info;

	if (is_url(text))
		return false;
	return says_here(text) || inlay_file_info(NULL, text, false, &info) == 0 || (target && parent_exists(text));
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

#ifdef _WIN32
int inlay_place_user(void *into, const char *value, const char **ret_why)
{
	struct inlay_cred cred = {0};
	size_t digits = strspn(value, "0123456789");
	char uid[16];

	(void)into;
	*ret_why = "not UID:GID, two numbers";
	if (digits >= sizeof(uid) || value[digits] != ':')
		return -INLAY_EINVAL;
	memcpy(uid, value, digits);
	uid[digits] = '\0';
	if (inlay_number_parse(uid, 0, 0xfffffffeu, &cred.uid) < 0 || inlay_number_parse(value + digits + 1, 0, 0xfffffffeu, &cred.gid) < 0)
		return -INLAY_EINVAL;
	inlay_self_set(&cred);
	return 0;
}
#endif

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
	const char *slash = p->remote ? strrchr(path, '/') : last_separator(path);

	return slash ? slash + 1 : path;
}

/*
 * Bytes as a name of the server, as a name of Windows and as a path of the ring: what is taken must come back as it was, and what is
 * refused must be refused whichever way it comes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "intercept/winfilter/names.h"
#include "intercept/winfilter/security.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void from_server(const char *bytes, size_t size)
{
	struct inlay_str name = {bytes, size < 300 ? (uint32_t)size : 300};
	char win[INLAY_WINNAME_MAX + 1], back[INLAY_NAME_MAX + 1];
	uint16_t units[INLAY_WINNAME_UNITS + 1];
	int len = inlay_winname_from_server(name, win);
	int64_t count;

	if (len < 0) {
		require(len == -INLAY_EINVAL);
		return;
	}
	require(strlen(win) == (size_t)len);
	require(inlay_winname_to_server((struct inlay_str){win, (uint32_t)len}, back) == (int)name.len);
	require(memcmp(back, name.p, name.len) == 0);
	count = inlay_wtf8_to_utf16((struct inlay_str){win, (uint32_t)len}, units, INLAY_WINNAME_UNITS + 1);
	require(count > 0 && count <= (int64_t)INLAY_WINNAME_UNITS);
	for (int64_t i = 0; i < count; i++)
		require(units[i] >= 32 && (units[i] >= 128 || !strchr("\"*:<>?/\\|", units[i])));
	require(units[count - 1] != '.' && units[count - 1] != ' ');
	require(inlay_winname_same((struct inlay_str){win, (uint32_t)len}, (struct inlay_str){win, (uint32_t)len}));
}

static void from_windows(const char *bytes, size_t size)
{
	struct inlay_str win = {bytes, size < 1000 ? (uint32_t)size : 1000};
	char server[INLAY_NAME_MAX + 1], back[INLAY_WINNAME_MAX + 1];
	int len = inlay_winname_to_server(win, server);

	if (len < 0)
		return;
	require(len > 0 && !memchr(server, '/', (size_t)len) && strlen(server) == (size_t)len);
	require(inlay_winname_from_server((struct inlay_str){server, (uint32_t)len}, back) == (int)win.len);
	require(memcmp(back, win.p, win.len) == 0);
}

static void path(const uint8_t *data, size_t size)
{
	struct inlay_winpath *p, *q;
	uint32_t win = 0, server = 0;

	if (inlay_winpath_parse(data, size, &p) < 0)
		return;
	for (unsigned i = 0; i < p->parts; i++) {
		struct inlay_str a = inlay_winpath_win(p, i), b = inlay_winpath_server(p, i);
		char name[INLAY_NAME_MAX + 1];

		require(a.len && b.len && b.len <= INLAY_NAME_MAX && !inlay_str_is(b, "..") && !inlay_str_is(b, "."));
		require(a.p == p->win + win + (i > 0) && b.p == p->server + server + (i > 0));
		require(inlay_winname_to_server(a, name) == (int)b.len && memcmp(name, b.p, b.len) == 0);
		win = p->win_end[i];
		server = p->server_end[i];
	}
	require(strlen(p->win) == win && strlen(p->server) == server);
	require(inlay_winpath_make(inlay_str(p->win), &q) == 0);
	require(q->parts == p->parts && strcmp(q->server, p->server) == 0);
	free(p);
	free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inlay_security_mode mode;

	from_server((const char *)data, size);
	from_windows((const char *)data, size);
	path(data, size);
	if (inlay_security_to_mode(data, size, NULL, &mode) == 0)
		require((mode.mode & ~0777u) == 0);
	return 0;
}

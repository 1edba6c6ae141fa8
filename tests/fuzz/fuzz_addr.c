/*
 * Bytes as an address and as SERVER/EXPORT/PATH: what is taken reads the same when it is written again, what is refused
 * says why and touches nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "net/addr.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void address(const char *text)
{
	struct inlay_addr a = {.port = 7}, again;
	char buf[INLAY_ADDR_TEXT];
	const char *why = NULL;
	int r = inlay_addr_parse(text, &a, &why);

	require(r == 0 || (r == -INLAY_EINVAL && why && *why && a.port == 7 && !a.host[0]));
	if (r < 0)
		return;
	inlay_addr_text(&a, buf);
	if (!a.host[0] || (!a.is_unix && strcmp(a.host, "unix") == 0)) /* "*", and a host of that name: for people only */
		return;
	require(inlay_addr_parse(buf, &again, &why) == 0);
	require(strcmp(again.host, a.host) == 0 && again.port == a.port && again.is_unix == a.is_unix);
}

static void remote(const char *text)
{
	struct inlay_remote_name n = {0};
	const char *why = NULL;
	int r = inlay_remote_name_parse(text, &n, &why);

	require(r == 0 || (r == -INLAY_EINVAL && why && *why && !n.export_name[0]));
	if (r < 0)
		return;
	require(n.export_name[0] && !strchr(n.export_name, '/') && n.addr.host[0]);
	require(n.path[0] != '/' && (!n.path[0] || n.path[strlen(n.path) - 1] != '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text);
	memcpy(text, data, size);
	text[size] = '\0';
	address(text);
	remote(text);
	free(text);
	return 0;
}

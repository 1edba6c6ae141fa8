/*
 * What stands behind an option: quantities, exports, mount's -o list, names of control sockets. The first byte chooses.
 * What is wrong is said in one line; what is taken lies within its bounds.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/inlayd_config.h"
#include "cmd/mount_options.h"
#include "cmd/options.h"
#include "cmd/rundir.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void quantity(const char *text)
{
	unsigned value = 3;
	int r = inlay_seconds_parse(text, 1, 86400, &value);

	require(r == 0 ? value >= 1000 && value <= 86400000 : r == -INLAY_EINVAL && value == 3);
	value = 3;
	r = inlay_number_parse(text, 5, 64, &value);
	require(r == 0 ? value >= 5 && value <= 64 : r == -INLAY_EINVAL && value == 3);
}

static void export(const char *text)
{
	char why[INLAYD_WHY] = "";
	struct inlayd_export e;
	int r = inlayd_export_parse(text, &e, why);

	require(r == 0 || (*why && (strchr(text, '\n') || !strchr(why, '\n'))));
	if (r < 0)
		return;
	require(e.name && e.dir);
	/* What stands in the directory's place must be no other than this process may look at; only names are checked here. */
	if (strncmp(e.dir, "/nonexistent", 12) == 0)
		require(inlayd_export_check(&e, why) < 0 && *why);
	inlayd_export_done(&e);
}

static void mount_list(const char *text)
{
	struct inlay_mount_options o = {.sloppy = text[0] == 's'};
	char why[512] = "";
	int r;

	if (strstr(text, "file")) /* it would be read or written, whatever it is */
		return;
	r = inlay_mount_options_add(&o, text, why, sizeof(why));
	require(r == 0 || *why);
	if (r == 0)
		require(inlay_mount_options_add(&o, "ro", why, sizeof(why)) == 0);
	inlay_mount_options_done(&o);
}

static void socket_name(const char *text)
{
	struct inlay_socket_name name = {0, 0, 0};

	require(!inlay_socket_name_parse(text, &name) || name.pid > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text) = {quantity, export, mount_list, socket_name};
	char *text = malloc(size + 1);

	require(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (size)
		parsers[data[0] % 4](text + 1);
	free(text);
	return 0;
}

/*
 * Bytes as inlayd's configuration file: a configuration, or one line that says what is wrong.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/inlayd_config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], why[INLAYD_WHY] = "";
	struct inlayd_options o = {0};
	struct inlayd_config config;
	int fd = memfd_create("inlayd.conf", MFD_CLOEXEC), err;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	o.config = path;
	err = inlayd_config_load(&o, &config, why);
	if (err < 0 && (!*why || strchr(why, '\n'))) {
		fprintf(stderr, "no line: '%s'\n", why);
		abort();
	}
	if (err == 0) {
		for (size_t i = 0; i < config.nexports; i++)
			free(inlayd_export_rules(&config.exports[i]));
		inlayd_config_done(&config);
	}
	close(fd);
	return 0;
}

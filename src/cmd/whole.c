/*
 * Small whole files.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/whole.h"

#include "base/status.h"
#include "os/files.h"

#include <stdlib.h>

int inlay_whole_read_fd(int fd, char **ret_text, size_t *ret_len)
{
	size_t cap = 16384, len = 0;
	char *text = malloc(cap);
	int status = text ? 0 : -INLAY_ENOMEM;

	while (status == 0) {
		int64_t n = inlay_fd_read(fd, text + len, cap - len - 1);

		if (n == 0)
			break;
		if (n < 0) {
			status = (int)n;
			continue;
		}
		len += (size_t)n;
		if (len > INLAY_WHOLE_MAX) {
			status = -INLAY_EFBIG;
		} else if (cap - len < 4096) {
			char *grown = realloc(text, cap *= 2);

			text = grown ? grown : text;
			status = grown ? 0 : -INLAY_ENOMEM;
		}
	}
	if (status < 0) {
		free(text);
		return status;
	}
	text[len] = '\0';
	*ret_text = text;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int inlay_whole_read(const char *path, char **ret_text, size_t *ret_len)
{
	int fd = inlay_file_open(NULL, path, true), status;

	if (fd < 0)
		return fd;
	status = inlay_whole_read_fd(fd, ret_text, ret_len);
	(void)inlay_fd_close(fd);
	return status;
}

int inlay_whole_write(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		int64_t n = inlay_fd_write_some(fd, p, len);

		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

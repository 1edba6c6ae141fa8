/*
 * Small whole files.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/whole.h"

#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int inlay_whole_read_fd(int fd, char **ret_text, size_t *ret_len)
{
	size_t cap = 16384, len = 0;
	char *text = malloc(cap);
	int status = text ? 0 : -INLAY_ENOMEM;

	while (status == 0) {
		ssize_t n = read(fd, text + len, cap - len - 1);

		if (n == 0)
			break;
		if (n < 0) {
			status = errno == EINTR ? 0 : inlay_status_from_errno(errno);
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
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		return inlay_status_from_errno(errno);
	status = inlay_whole_read_fd(fd, ret_text, ret_len);
	close(fd);
	return status;
}

int inlay_whole_write(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return inlay_status_from_errno(errno);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

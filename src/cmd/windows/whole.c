/*
 * Small whole files on Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/whole.h"

#include "base/status.h"
#include "os/windows/text.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>

#define PIECE 65536u

int inlay_whole_read_fd(int fd, char **ret_text, size_t *ret_len)
{
	size_t len = 0, cap = 4096;
	char *text = malloc(cap + 1), *grown;
	int n;

	while (text && (n = _read(fd, text + len, (unsigned)(cap - len < PIECE ? cap - len : PIECE))) != 0) {
		if (n < 0 || (len += (size_t)n) > INLAY_WHOLE_MAX) {
			free(text);
			return n < 0 ? inlay_status_from_errno(errno) : -INLAY_EFBIG;
		}
		if (len < cap)
			continue;
		cap *= 2;
		grown = realloc(text, cap + 1);
		if (!grown)
			free(text);
		text = grown;
	}
	if (!text)
		return -INLAY_ENOMEM;
	text[len] = '\0';
	*ret_text = text;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int inlay_whole_read(const char *path, char **ret_text, size_t *ret_len)
{
	wchar_t *wide = inlay_text_wide(path);
	int fd = wide ? _wopen(wide, _O_RDONLY | _O_BINARY | _O_NOINHERIT) : -1;
	int status = !wide ? -INLAY_ENOMEM : fd < 0 ? inlay_status_from_errno(errno) : 0;

	free(wide);
	if (status < 0)
		return status;
	status = inlay_whole_read_fd(fd, ret_text, ret_len);
	_close(fd);
	return status;
}

int inlay_whole_write(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		int n = _write(fd, p, (unsigned)(len < PIECE ? len : PIECE));

		if (n < 0)
			return inlay_status_from_errno(errno);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

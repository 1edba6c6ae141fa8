/*
 * Addresses: from text and to text.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/addr.h"

#include "base/status.h"
#include "net/host.h"

#include <stdio.h>
#include <string.h>

#define UNIX_PATH_MAX 107u /* bytes, without the NUL */

/* ---- text ---- */

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -INLAY_EINVAL;
}

/* Copies len bytes of text as a string; false when they don't fit. */
static bool copy_text(char *to, size_t size, const char *text, size_t len)
{
	if (len >= size)
		return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

static int port_parse(const char *text, size_t len, unsigned short *ret)
{
	unsigned long port = 0;

	if (!len || len > 5)
		return -INLAY_EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -INLAY_EINVAL;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (port > 65535)
		return -INLAY_EINVAL;
	*ret = (unsigned short)port;
	return 0;
}

/* Finds the host's end and the port's start (NULL: none) in "host:port" or "[v6]:port". */
static int host_split(const char *text, size_t len, const char **ret_host, size_t *ret_host_len, const char **ret_port,
                      const char **ret_why)
{
	const char *end = text + len, *colon, *close;

	if (len && text[0] == '[') {
		close = memchr(text, ']', len);
		if (!close)
			return refuse(ret_why, "'[' without ']' in the address");
		if (close + 1 < end && close[1] != ':')
			return refuse(ret_why, "after ']' only :PORT may follow");
		*ret_host = text + 1;
		*ret_host_len = (size_t)(close - text) - 1;
		*ret_port = close + 1 < end ? close + 2 : NULL;
		return *ret_host_len ? 0 : refuse(ret_why, "empty address between '[' and ']'");
	}
	colon = memchr(text, ':', len);
	if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
		return refuse(ret_why, "an IPv6 address stands in brackets: [::1]:4652");
	*ret_host = text;
	*ret_host_len = colon ? (size_t)(colon - text) : len;
	*ret_port = colon ? colon + 1 : NULL;
	return 0;
}

static int inet_parse(const char *text, size_t len, struct inlay_addr *ret, const char **ret_why)
{
	struct inlay_addr a = {.port = INLAY_PORT_DEFAULT};
	const char *host, *port;
	size_t host_len;
	int r = host_split(text, len, &host, &host_len, &port, ret_why);

	if (r < 0)
		return r;
	if (memchr(host, '\0', host_len) || !copy_text(a.host, sizeof(a.host), host, host_len))
		return refuse(ret_why, "the host's name is too long");
	if (strpbrk(a.host, "[]"))
		return refuse(ret_why, "'[' and ']' stand around the whole of an address");
	if (port && port_parse(port, (size_t)(text + len - port), &a.port) < 0)
		return refuse(ret_why, "a port is a number from 0 to 65535");
	if (!port && host_len && strspn(a.host, "0123456789") == host_len)
		return refuse(ret_why, "a number alone is no address; a port is written :PORT");
	*ret = a;
	return 0;
}

static int unix_parse(const char *path, size_t len, struct inlay_addr *ret, const char **ret_why)
{
	struct inlay_addr a = {.is_unix = true};

	if (!len)
		return refuse(ret_why, "unix: needs the path of a socket");
	if (len > UNIX_PATH_MAX || !copy_text(a.host, sizeof(a.host), path, len))
		return refuse(ret_why, "the path of a Unix socket has at most 107 bytes");
	*ret = a;
	return 0;
}

int inlay_addr_parse(const char *text, struct inlay_addr *ret, const char **ret_why)
{
	if (strncmp(text, "unix:", 5) == 0)
		return unix_parse(text + 5, strlen(text + 5), ret, ret_why);
	if (strchr(text, '/'))
		return refuse(ret_why, "'/' in an address; a socket is written unix:PATH");
	return inet_parse(text, strlen(text), ret, ret_why);
}

/* "/EXPORT[/PATH]" or "" */
static int export_parse(const char *text, struct inlay_remote_name *ret, const char **ret_why)
{
	const char *path;
	size_t len;

	if (text[0] != '/')
		return refuse(ret_why, "the export's name is missing: SERVER/EXPORT");
	text++;
	len = strcspn(text, "/");
	if (!len)
		return refuse(ret_why, "the export's name is missing: SERVER/EXPORT");
	if (!copy_text(ret->export_name, sizeof(ret->export_name), text, len))
		return refuse(ret_why, "the export's name is longer than 255 bytes");
	path = text + len + strspn(text + len, "/");
	len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	if (!copy_text(ret->path, sizeof(ret->path), path, len))
		return refuse(ret_why, "the path is longer than 4095 bytes");
	return 0;
}

int inlay_remote_name_parse(const char *text, struct inlay_remote_name *ret, const char **ret_why)
{
	struct inlay_remote_name name = {0};
	size_t len;
	int r;

	if (strncmp(text, "unix:", 5) == 0) {
		text += 5;
		len = inlay_host_socket_prefix(text);
		if (!len)
			return refuse(ret_why, "no part of the path after unix: is a socket");
		r = unix_parse(text, len, &name.addr, ret_why);
	} else {
		len = strcspn(text, "/");
		if (!len)
			return refuse(ret_why, "the server's name is missing: SERVER/EXPORT");
		r = inet_parse(text, len, &name.addr, ret_why);
		if (r == 0 && !name.addr.host[0])
			return refuse(ret_why, "the server's name is missing: SERVER/EXPORT");
		if (r == 0 && !name.addr.port)
			return refuse(ret_why, "a server's port is a number from 1 to 65535");
	}
	if (r == 0)
		r = export_parse(text + len, &name, ret_why);
	if (r == 0)
		*ret = name;
	return r;
}

const char *inlay_addr_text(const struct inlay_addr *a, char buf[INLAY_ADDR_TEXT])
{
	const char *shape = strchr(a->host, ':') ? "[%s]:%u" : "%s:%u";

	if (a->is_unix)
		snprintf(buf, INLAY_ADDR_TEXT, "unix:%s", a->host);
	else if (a->host[0])
		snprintf(buf, INLAY_ADDR_TEXT, shape, a->host, (unsigned)a->port);
	else
		snprintf(buf, INLAY_ADDR_TEXT, "*:%u", (unsigned)a->port);
	return buf;
}

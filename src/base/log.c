/*
 * Log lines. Lives beside the core but belongs to the host's library: it writes and reads the clock.
 * What goes into a line may come from a peer, so neither format lets it forge a second line or a terminal's escape.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 2048u                   /* bytes of a message before escaping; the rest is cut off */
#define LINE_MAX_BYTES (TEXT_MAX * 6 + 512) /* each byte may become \u0000 */

static struct {
	const char *program;
	int fd;
	enum inlay_log_level most;
	enum inlay_log_format format;
} config = {"inlay", STDERR_FILENO, INLAY_LOG_INFO, INLAY_LOG_TEXT};

static const char *const level_names[] = {
	[INLAY_LOG_ERROR] = "error",
	[INLAY_LOG_WARNING] = "warning",
	[INLAY_LOG_INFO] = "info",
	[INLAY_LOG_DEBUG] = "debug",
};

struct line {
	char *p, *end;
};

static void put_bytes(struct line *l, const char *bytes, size_t len)
{
	if (len > (size_t)(l->end - l->p))
		len = (size_t)(l->end - l->p);
	memcpy(l->p, bytes, len);
	l->p += len;
}

static void put_text(struct line *l, const char *text)
{
	put_bytes(l, text, strlen(text));
}

/* Length of the UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate), 0 when there is none. */
static size_t utf8_len(const unsigned char *p)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return len;
}

static void put_json(struct line *l, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t len = utf8_len(p);
		char escaped[8];

		if (!len) {
			put_text(l, "\\ufffd");
			p++;
			continue;
		}
		if (*p == '"' || *p == '\\') {
			put_bytes(l, (const char[]){'\\', (char)*p}, 2);
		} else if (*p < 0x20 || *p == 0x7f) {
			snprintf(escaped, sizeof(escaped), "\\u%04x", *p);
			put_text(l, escaped);
		} else {
			put_bytes(l, (const char *)p, len);
		}
		p += len;
	}
}

/* As it is, but for control bytes. */
static void put_plain(struct line *l, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		char escaped[8];

		if (*p >= 0x20 && *p != 0x7f) {
			put_bytes(l, (const char *)p, 1);
			continue;
		}
		snprintf(escaped, sizeof(escaped), "\\x%02x", *p);
		put_text(l, escaped);
	}
}

/* RFC 3339 in UTC, to the microsecond. */
static void put_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char text[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	put_bytes(l, text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm));
	snprintf(text, sizeof(text), ".%06ldZ", now.tv_nsec / 1000);
	put_text(l, text);
}

void inlay_log_init(const char *program, int fd, enum inlay_log_level most, enum inlay_log_format format)
{
	config.program = program;
	config.fd = fd;
	config.most = most;
	config.format = format;
}

/* One write, so that lines of several threads and processes don't mix; what can't be written is lost. */
static void write_line(const char *bytes, size_t len)
{
	ssize_t n;

	do {
		n = write(config.fd, bytes, (unsigned)len); /* unsigned: as wide as the narrowest host has it */
	} while (n < 0 && errno == EINTR);
}

void inlay_log(enum inlay_log_level level, const char *fmt, ...)
{
	char text[TEXT_MAX], bytes[LINE_MAX_BYTES];
	struct line l = {bytes, bytes + sizeof(bytes) - 1};
	int saved = errno;
	va_list args;

	if (level > config.most)
		return;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) >= (int)sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	va_end(args);

	if (config.format == INLAY_LOG_JSON) {
		put_text(&l, "{\"time\":\"");
		put_time(&l);
		put_text(&l, "\",\"level\":\"");
		put_text(&l, level_names[level]);
		put_text(&l, "\",\"program\":\"");
		put_json(&l, config.program);
		put_text(&l, "\",\"message\":\"");
		put_json(&l, text);
		put_text(&l, "\"}");
	} else {
		put_plain(&l, config.program);
		put_text(&l, ": ");
		put_text(&l, level_names[level]);
		put_text(&l, ": ");
		put_plain(&l, text);
	}
	*l.p++ = '\n';
	write_line(bytes, (size_t)(l.p - bytes));
	errno = saved;
}

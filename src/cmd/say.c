/*
 * Lines for people. Names come from users and peers: none of them may forge a line or drive a terminal.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/say.h"

#include "cmd/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 4096u

static const char *program_name = "inlay";

void inlay_say_program(const char *program)
{
	program_name = program;
}

/* C0, DEL and C1 (U+0080 to U+009F: some terminals obey them). */
static int is_control(const unsigned char *p, size_t len)
{
	return *p < 0x20 || *p == 0x7f || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

size_t inlay_printable(const char *text, size_t len, char *buf, size_t size)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	size_t used = 0, kept = 0;

	while (p < end) {
		size_t step = inlay_utf8_len(p, (size_t)(end - p)), out;
		char piece[4 * 4 + 1];

		if (!step || is_control(p, step) || *p == '\\') {
			step = step ? step : 1;
			for (size_t i = 0; i < step; i++)
				snprintf(piece + 4 * i, 5, "\\x%02x", p[i]);
			out = 4 * step;
		} else {
			memcpy(piece, p, step);
			out = step;
		}
		if (used == kept && used + out < size) {
			memcpy(buf + used, piece, out);
			kept += out;
		}
		used += out;
		p += step;
	}
	if (size)
		buf[kept] = '\0';
	return used;
}

static void print(const char *text, FILE *to, bool plain_backslash)
{
	char piece[64];
	size_t len = strlen(text);

	while (len) {
		/* Whole code points at a time: never cut one that is well-formed. */
		size_t step = inlay_utf8_len((const unsigned char *)text, len);

		step = step ? step : 1;
		inlay_printable(text, step, piece, sizeof(piece));
		fputs(plain_backslash && *text == '\\' ? "\\" : piece, to);
		text += step;
		len -= step;
	}
}

void inlay_print_name(const char *text, FILE *to)
{
	print(text, to, false);
}

void inlay_print_path(const char *text, FILE *to)
{
#ifdef _WIN32
	print(text, to, true);
#else
	print(text, to, false);
#endif
}

size_t inlay_name_width(const char *text)
{
	size_t len = strlen(text), width = 0;

	while (len) {
		size_t step = inlay_utf8_len((const unsigned char *)text, len);
		char piece[64];
		size_t out;

		step = step ? step : 1;
		out = inlay_printable(text, step, piece, sizeof(piece));
		width += out == step ? 1 : out;
		text += step;
		len -= step;
	}
	return width;
}

/* As it is but for control bytes: a message's own quotes and backslashes stay readable. */
static size_t put_line(char *out, const char *text)
{
	size_t len = strlen(text), used = 0;

	while (len) {
		size_t step = inlay_utf8_len((const unsigned char *)text, len);

		step = step ? step : 1;
		if (*text == '\\')
			out[used++] = '\\';
		else
			used += inlay_printable(text, step, out + used, 17);
		text += step;
		len -= step;
	}
	return used;
}

void inlay_say(const char *fmt, ...)
{
	char text[TEXT_MAX], line[TEXT_MAX * 4 + 256];
	size_t len;
	ssize_t n;
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) >= (int)sizeof(text))
		memcpy(text + sizeof(text) - 4, "...", 4);
	va_end(args);
	len = (size_t)snprintf(line, 128, "%.100s: ", program_name);
	len += put_line(line + len, text);
	line[len++] = '\n';
	do {
		n = write(STDERR_FILENO, line, (unsigned)len);
	} while (n < 0 && errno == EINTR);
}

/*
 * JSON, written strictly and read back just far enough for what was written here.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

size_t inlay_utf8_len(const unsigned char *p, size_t len)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t want;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	want = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (len < want || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < want; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return want;
}

/* ---- writing ---- */

static void put(struct inlay_json *j, const char *bytes, size_t len)
{
	if (j->failed)
		return;
	if (len + 1 > j->cap - j->len) {
		size_t cap = (j->cap + len) * 2 + 256;
		char *grown = realloc(j->text, cap);

		if (!grown) {
			j->failed = true;
			return;
		}
		j->text = grown;
		j->cap = cap;
	}
	memcpy(j->text + j->len, bytes, len);
	j->len += len;
	j->text[j->len] = '\0';
}

static void put_text(struct inlay_json *j, const char *text)
{
	put(j, text, strlen(text));
}

static void put_string(struct inlay_json *j, const char *text, const char *suffix)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len = strlen(text);

	put_text(j, "\"");
	while (len) {
		size_t step = inlay_utf8_len(p, len);
		char escaped[8];

		if (!step) {
			put_text(j, "\\ufffd");
			step = 1;
		} else if (*p == '"' || *p == '\\') {
			put(j, (const char[]){'\\', (char)*p}, 2);
		} else if (*p < 0x20 || *p == 0x7f) {
			snprintf(escaped, sizeof(escaped), "\\u%04x", *p);
			put_text(j, escaped);
		} else {
			put(j, (const char *)p, step);
		}
		p += step;
		len -= step;
	}
	put_text(j, suffix);
	put_text(j, "\"");
}

static void begin_value(struct inlay_json *j, const char *name, const char *suffix)
{
	if (j->comma)
		put_text(j, ",");
	if (name) {
		put_string(j, name, suffix);
		put_text(j, ":");
	}
	j->comma = true;
}

void inlay_json_object(struct inlay_json *j, const char *name)
{
	begin_value(j, name, "");
	put_text(j, "{");
	j->comma = false;
}

void inlay_json_object_end(struct inlay_json *j)
{
	put_text(j, "}");
	j->comma = true;
}

void inlay_json_array(struct inlay_json *j, const char *name)
{
	begin_value(j, name, "");
	put_text(j, "[");
	j->comma = false;
}

void inlay_json_array_end(struct inlay_json *j)
{
	put_text(j, "]");
	j->comma = true;
}

void inlay_json_string(struct inlay_json *j, const char *name, const char *value)
{
	begin_value(j, name, "");
	if (value)
		put_string(j, value, "");
	else
		put_text(j, "null");
}

void inlay_json_number(struct inlay_json *j, const char *name, uint64_t value)
{
	char text[24];

	begin_value(j, name, "");
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	put_text(j, text);
}

void inlay_json_bool(struct inlay_json *j, const char *name, bool value)
{
	begin_value(j, name, "");
	put_text(j, value ? "true" : "false");
}

void inlay_json_name(struct inlay_json *j, const char *name, const char *value)
{
	const unsigned char *p = (const unsigned char *)value;
	size_t len = strlen(value), step;

	inlay_json_string(j, name, value);
	for (; len && (step = inlay_utf8_len(p, len)) != 0; p += step)
		len -= step;
	if (!len)
		return;
	begin_value(j, name, "_hex");
	put_text(j, "\"");
	for (p = (const unsigned char *)value; *p; p++) {
		char hex[3];

		snprintf(hex, sizeof(hex), "%02x", *p);
		put_text(j, hex);
	}
	put_text(j, "\"");
}


/* ---- checking ---- */

static const char *space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *check_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		size_t step = inlay_utf8_len((const unsigned char *)p, strnlen(p, 4));

		if (!step || (unsigned char)*p < 0x20)
			return NULL;
		if (*p == '\\') {
			p++;
			if (*p == 'u' && strspn(p + 1, "0123456789abcdefABCDEF") >= 4)
				p += 4;
			else if (!*p || !strchr("\"\\/bfnrt", *p))
				return NULL;
			step = 1;
		}
		p += step;
	}
	return p + 1;
}

static const char *check_digits(const char *p)
{
	size_t digits = strspn(p, "0123456789");

	return digits ? p + digits : NULL;
}

static const char *check_number(const char *p)
{
	p += *p == '-';
	if (p[0] == '0' && p[1] >= '0' && p[1] <= '9')
		return NULL;
	p = check_digits(p);
	if (p && *p == '.')
		p = check_digits(p + 1);
	if (p && (*p == 'e' || *p == 'E'))
		p = check_digits(p + 1 + (p[1] == '+' || p[1] == '-'));
	return p;
}

static const char *check_value(const char *p, int depth);

/* What stands between '{' and '}', or '[' and ']'. */
static const char *check_members(const char *p, int depth, bool object)
{
	char close = object ? '}' : ']';

	p = space(p + 1);
	if (*p == close)
		return p + 1;
	for (;;) {
		if (object) {
			p = check_string(space(p));
			if (!p || *(p = space(p)) != ':')
				return NULL;
			p++;
		}
		p = check_value(p, depth + 1);
		if (!p)
			return NULL;
		p = space(p);
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static const char *check_value(const char *p, int depth)
{
	static const char *const words[] = {"true", "false", "null"};

	p = space(p);
	if (depth > DEPTH_MAX)
		return NULL;
	if (*p == '{' || *p == '[')
		return check_members(p, depth, *p == '{');
	if (*p == '"')
		return check_string(p);
	for (size_t i = 0; i < 3; i++) {
		if (strncmp(p, words[i], strlen(words[i])) == 0)
			return p + strlen(words[i]);
	}
	return check_number(p);
}

bool inlay_json_valid(const char *text)
{
	const char *end = check_value(text, 0);

	return end && !*space(end);
}

/* ---- reading ---- */

void inlay_json_members(struct inlay_json *j, const char *object)
{
	const char *first = space(object), *end = inlay_json_skip(first);

	first = space(first + 1);
	if (end[-1] != '}' || first >= end - 1)
		return;
	begin_value(j, NULL, "");
	put(j, first, (size_t)(end - 1 - first));
}

const char *inlay_json_skip(const char *value)
{
	const char *end = check_value(value, 0);

	return end ? end : value + strlen(value);
}

const char *inlay_json_find(const char *json, const char *name)
{
	const char *p = space(json);

	if (*p != '{')
		return NULL;
	for (p = space(p + 1); *p == '"'; p = space(p + 1)) {
		const char *key = p;
		char text[128];

		p = space(inlay_json_skip(p));
		if (*p != ':')
			return NULL;
		p = space(p + 1);
		if (strcmp(inlay_json_text(key, text, sizeof(text)), name) == 0)
			return p;
		p = space(inlay_json_skip(p));
		if (*p != ',')
			return NULL;
	}
	return NULL;
}

const char *inlay_json_first(const char *array)
{
	const char *p;

	if (!array || *(p = space(array)) != '[')
		return NULL;
	p = space(p + 1);
	return *p && *p != ']' ? p : NULL;
}

const char *inlay_json_next(const char *element)
{
	const char *p = space(inlay_json_skip(element));

	return *p == ',' ? space(p + 1) : NULL;
}

/* The four hex digits of \uXXXX, as UTF-8; only what put_string() writes: below U+0080, or U+FFFD. */
static size_t unescape(const char *digits, char out[4])
{
	unsigned long code;
	char text[5];

	memcpy(text, digits, 4);
	text[4] = '\0';
	code = strtoul(text, NULL, 16);
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	memcpy(out, "\xef\xbf\xbd", 3);
	return 3;
}

const char *inlay_json_text(const char *value, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	if (!value || *value != '"')
		return buf;
	for (const char *p = value + 1; *p && *p != '"';) {
		char piece[4] = {*p};
		size_t len = 1;

		if (*p == '\\' && p[1] == 'u' && strnlen(p + 2, 4) == 4) {
			len = unescape(p + 2, piece);
			p += 6;
		} else if (*p == '\\' && p[1]) {
			static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
			const char *known = strchr(from, p[1]);

			piece[0] = known ? to[known - from] : p[1];
			p += 2;
		} else {
			p++;
		}
		if (used + len >= size)
			break;
		memcpy(buf + used, piece, len);
		used += len;
	}
	buf[used] = '\0';
	return buf;
}

uint64_t inlay_json_uint(const char *value)
{
	return value && *value >= '0' && *value <= '9' ? strtoull(value, NULL, 10) : 0;
}

bool inlay_json_true(const char *value)
{
	return value && strncmp(value, "true", 4) == 0;
}

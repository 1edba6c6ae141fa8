/*
 * Bytes as what a control socket says, and as what it is asked: only valid JSON is taken apart, and every walk through it
 * ends within it; a path comes out of its escapes as it went in.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/control.h"
#include "cmd/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static const char *end;

static void look(const char *value, int depth)
{
	static const char *const names[] = {"ok", "dir", "operations", "name", "a", ""};
	char buf[16];

	require(value < end && inlay_json_skip(value) <= end);
	require(strlen(inlay_json_text(value, buf, sizeof(buf))) < sizeof(buf));
	(void)inlay_json_uint(value);
	(void)inlay_json_true(value);
	if (depth == 4)
		return;
	for (size_t i = 0; *value == '{' && i < sizeof(names) / sizeof(names[0]); i++) {
		const char *found = inlay_json_find(value, names[i]);

		if (found)
			look(found, depth + 1);
	}
	if (*value == '[')
		for (const char *e = inlay_json_first(value); e; e = inlay_json_next(e))
			look(e, depth + 1);
}

/* Any bytes as strings: what is written must be valid, and the same when read back as far as it is text. */
static void write_back(const char *text)
{
	struct inlay_json j = {0};
	struct inlay_json outer = {0};

	inlay_json_object(&j, NULL);
	inlay_json_name(&j, "dir", text);
	inlay_json_string(&j, "name", text);
	inlay_json_object_end(&j);
	require(!j.failed && inlay_json_valid(j.text));
	inlay_json_object(&outer, NULL);
	inlay_json_members(&outer, j.text);
	inlay_json_object_end(&outer);
	require(!outer.failed && inlay_json_valid(outer.text));
	free(j.text);
	free(outer.text);
}

static void request(const char *text, size_t len)
{
	struct inlay_json j = {0};
	char *escaped = malloc(2 * len + 1);

	require(escaped);
	inlay_control_escape(text, escaped);
	require(!strchr(escaped, '\n') && strlen(escaped) <= 2 * len);
	inlay_control_unescape(escaped);
	require(strcmp(escaped, text) == 0);
	strcpy(escaped, text);
	inlay_control_unescape(escaped);
	require(strlen(escaped) <= len);
	free(escaped);
	if (strcmp(text, "status") == 0 || strcmp(text, "restart") == 0 || strncmp(text, "explain ", 8) == 0 ||
	    strncmp(text, "detach", 6) == 0)
		return; /* these ask an attachment */
	inlay_control_answer(NULL, text, &j);
	require(!j.failed && inlay_json_valid(j.text));
	free(j.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text);
	memcpy(text, data, size);
	text[size] = '\0';
	end = text + strlen(text);
	if (inlay_json_valid(text))
		look(text + strspn(text, " \t\r\n"), 0);
	write_back(text);
	request(text, strlen(text));
	free(text);
	return 0;
}

/*
 * What the commands that ask about attachments have in common on every host.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/asking.h"

#include "base/status.h"
#include "cmd/answer_text.h"
#include "cmd/clock.h"
#include "cmd/control.h"
#include "cmd/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ---- */

const struct inlay_option inlay_status_options[] = {
	{.name = "json", .kind = INLAY_OPTION_FLAG, .help = "for programs: everything, in one JSON object",
		.at = offsetof(struct inlay_json_options, json)},
	{.name = NULL},
};

const struct inlay_option inlay_explain_options[] = {
	{.name = "json", .kind = INLAY_OPTION_FLAG, .help = "one JSON object a line",
		.at = offsetof(struct inlay_json_options, json)},
	{.name = NULL},
};

const struct inlay_option inlay_detach_options[] = {
	{.name = "force", .kind = INLAY_OPTION_FLAG,
		.help = "don't wait for programs, process or server: what is under way fails",
		.at = offsetof(struct inlay_detach_options, force)},
	{.name = "timeout", .kind = INLAY_OPTION_SECONDS, .value = "SECONDS", .max = 1000000,
		.help = "how long to wait for programs that hold files; default 10",
		.at = offsetof(struct inlay_detach_options, timeout_ms)},
	{.name = NULL},
};

/* ---- explain ---- */

char *inlay_explain_request(const char *path)
{
	char *request = malloc(2 * strlen(path) + 16);

	if (request) {
		strcpy(request, "explain ");
		inlay_control_escape(path, request + 8);
	}
	return request;
}

bool inlay_explain_answer(const char *answer, const char *path, bool json)
{
	char text[256];
	int status = inlay_answer_status(answer, text, sizeof(text));

	if (status < 0)
		inlay_say("%s: %s", text, path);
	else
		inlay_answer_print_explanation(answer, path, json);
	return status == 0;
}

/* ---- status ---- */

void inlay_status_print_json(size_t count, void (*put)(struct inlay_json *j, const void *arg, size_t i), const void *arg)
{
	struct inlay_json j = {0};

	inlay_json_object(&j, NULL);
	inlay_json_array(&j, "attachments");
	for (size_t i = 0; i < count; i++)
		put(&j, arg, i);
	inlay_json_array_end(&j);
	inlay_json_object_end(&j);
	if (!j.failed)
		puts(j.text);
	free(j.text);
}

/* ---- detach ---- */

void inlay_waiting_show(uint64_t deadline_ms, const char *what)
{
	uint64_t now = inlay_clock_ms();

	fprintf(stderr, "\r\033[Kwaiting: %s, %llu s left", what,
		(unsigned long long)(now < deadline_ms ? (deadline_ms - now + 999) / 1000 : 0));
	fflush(stderr);
}

void inlay_waiting_hide(void)
{
	fputs("\r\033[K", stderr);
}

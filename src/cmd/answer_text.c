/*
 * Answers of the control channel, as people and programs see them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/answer_text.h"

#include "base/status.h"
#include "cmd/json.h"
#include "cmd/say.h"
#include "cmd/units.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int inlay_answer_status(const char *json, char *buf, size_t size)
{
	uint64_t status;

	if (inlay_json_true(inlay_json_find(json, "ok")))
		return 0;
	inlay_json_text(inlay_json_find(json, "error"), buf, size);
	status = inlay_json_uint(inlay_json_find(json, "status"));
	return status && status < INLAY_EUNKNOWN ? -(int)status : -INLAY_EUNKNOWN;
}

static const char *member(const char *json, const char *name, char *buf, size_t size)
{
	return inlay_json_text(inlay_json_find(json, name), buf, size);
}

static uint64_t count(const char *json, const char *name)
{
	return inlay_json_uint(inlay_json_find(json, name));
}

void inlay_answer_line(const char *label, const char *text)
{
	printf("  %-12s ", label);
	inlay_print_name(text, stdout);
	putchar('\n');
}

static void print_row(const char *name, const char *side, const char *s)
{
	char p50[INLAY_UNIT_TEXT], p90[INLAY_UNIT_TEXT], p99[INLAY_UNIT_TEXT], max[INLAY_UNIT_TEXT], bytes[INLAY_UNIT_TEXT];
	bool timed = count(s, "timed") > 0;
	uint64_t moved = count(s, "bytes");

	if (!count(s, "count"))
		return;
	printf("  %-12s %-6s %10llu %8llu %9s %9s %9s %9s %10s\n", name, side, (unsigned long long)count(s, "count"),
		(unsigned long long)count(s, "errors"), timed ? inlay_latency_text(count(s, "p50_ns"), p50) : "-",
		timed ? inlay_latency_text(count(s, "p90_ns"), p90) : "-",
		timed ? inlay_latency_text(count(s, "p99_ns"), p99) : "-",
		timed ? inlay_latency_text(count(s, "max_ns"), max) : "-", moved ? inlay_bytes_text(moved, bytes) : "-");
}

static void print_operations(const char *json)
{
	const char *op = inlay_json_first(inlay_json_find(json, "operations"));
	char name[32];

	if (!op)
		return;
	printf("\n  %-12s %-6s %10s %8s %9s %9s %9s %9s %10s\n", "operation", "side", "count", "errors", "p50", "p90", "p99",
		"max", "bytes");
	for (; op; op = inlay_json_next(op)) {
		member(op, "name", name, sizeof(name));
		print_row(name, "local", inlay_json_find(op, "local"));
		print_row(name, "remote", inlay_json_find(op, "remote"));
	}
}

void inlay_answer_print_facts(const char *json)
{
	char a[1100], b[256], since[INLAY_UNIT_TEXT], up[INLAY_UNIT_TEXT];

	inlay_answer_line("server", member(json, "server", a, sizeof(a)));
	snprintf(a, sizeof(a), "%s for %s, up %s", member(json, "health", b, 64),
		inlay_duration_text(count(json, "health_since_ms"), since),
		inlay_duration_text(count(json, "uptime_ms"), up));
	inlay_answer_line("health", a);
	snprintf(a, sizeof(a), "%llu of %llu; %llu requests at the server, %llu waiting, %llu reconnects",
		(unsigned long long)count(json, "connected"), (unsigned long long)count(json, "connections"),
		(unsigned long long)count(json, "outstanding"), (unsigned long long)count(json, "waiting"),
		(unsigned long long)count(json, "reconnects"));
	inlay_answer_line("connections", a);
	inlay_answer_line("access", inlay_json_true(inlay_json_find(json, "readonly")) ? "read-only" : "read and write");
	if (inlay_json_true(inlay_json_find(json, "passthrough")))
		snprintf(a, sizeof(a), "passthrough: the kernel alone");
	else
		snprintf(a, sizeof(a), "forwarded, no passthrough: %s", member(json, "passthrough_why", b, sizeof(b)));
	inlay_answer_line("local files", a);
	inlay_answer_line("transport", member(json, "transport", b, sizeof(b)));
	snprintf(a, sizeof(a), "%llu files and directories, %llu open", (unsigned long long)count(json, "nodes"),
		(unsigned long long)count(json, "files"));
	inlay_answer_line("known", a);
	snprintf(a, sizeof(a), "%llu, user %llu", (unsigned long long)count(json, "pid"), (unsigned long long)count(json, "uid"));
	inlay_answer_line("process", a);
	if (inlay_json_true(inlay_json_find(json, "guarded")))
		snprintf(a, sizeof(a), "guarded: another process takes over should this one die; %llu did so far",
			(unsigned long long)count(json, "takeovers"));
	else
		snprintf(a, sizeof(a), "not guarded: %s", member(json, "guarded_why", b, sizeof(b)));
	if (inlay_json_find(json, "guarded"))
		inlay_answer_line("", a);
	print_operations(json);
}

static void print_text(const char *answer, const char *path)
{
	char side[16], why[512];

	printf("%-6s  ", inlay_json_text(inlay_json_find(answer, "side"), side, sizeof(side)));
	inlay_print_path(path, stdout);
	fputs("  ", stdout);
	inlay_print_name(inlay_json_text(inlay_json_find(answer, "why"), why, sizeof(why)), stdout);
	putchar('\n');
}

static void print_json(const char *answer, const char *path)
{
	struct inlay_json j = {0};
	char side[16], why[512];

	inlay_json_object(&j, NULL);
	inlay_json_name(&j, "path", path);
	inlay_json_string(&j, "side", inlay_json_text(inlay_json_find(answer, "side"), side, sizeof(side)));
	inlay_json_bool(&j, "merged", inlay_json_true(inlay_json_find(answer, "merged")));
	inlay_json_string(&j, "why", inlay_json_text(inlay_json_find(answer, "why"), why, sizeof(why)));
	inlay_json_object_end(&j);
	if (!j.failed)
		puts(j.text);
	free(j.text);
}

void inlay_answer_print_explanation(const char *answer, const char *path, bool json)
{
	if (json)
		print_json(answer, path);
	else
		print_text(answer, path);
}

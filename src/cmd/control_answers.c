/*
 * What the control channel answers: requests as text lines, answers as JSON. How they come and go is the host's.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/control.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

void inlay_control_error(struct inlay_json *j, int status, const char *text)
{
	inlay_json_object(j, NULL);
	inlay_json_bool(j, "ok", false);
	inlay_json_number(j, "status", (uint64_t)(status < 0 ? -status : status));
	inlay_json_string(j, "error", text ? text : inlay_status_text(status));
	inlay_json_object_end(j);
}

static void put_side(struct inlay_json *j, const char *name, const struct inlay_op_stat *op, enum inlay_side side)
{
	const struct inlay_hist *h = &op->latency[side];

	inlay_json_object(j, name);
	inlay_json_number(j, "count", op->count[side]);
	inlay_json_number(j, "errors", op->errors[side]);
	inlay_json_number(j, "bytes", op->bytes[side]);
	inlay_json_number(j, "timed", h->count);
	inlay_json_number(j, "p50_ns", inlay_hist_permille(h, 500));
	inlay_json_number(j, "p90_ns", inlay_hist_permille(h, 900));
	inlay_json_number(j, "p99_ns", inlay_hist_permille(h, 990));
	inlay_json_number(j, "max_ns", inlay_hist_permille(h, 1000));
	inlay_json_object_end(j);
}

static void put_status(struct inlay_json *j, const struct inlay_attachment_status *s)
{
	inlay_json_object(j, NULL);
	inlay_json_bool(j, "ok", true);
	inlay_json_name(j, "dir", s->dir);
	inlay_json_name(j, "source", s->source);
	inlay_json_string(j, "server", s->server);
	inlay_json_number(j, "pid", s->pid);
	inlay_json_number(j, "uid", s->uid);
	inlay_json_string(j, "health", s->health);
	inlay_json_number(j, "health_since_ms", s->health_since_ms);
	inlay_json_number(j, "uptime_ms", s->uptime_ms);
	inlay_json_number(j, "connections", s->connections);
	inlay_json_number(j, "connected", s->connected);
	inlay_json_number(j, "outstanding", s->outstanding);
	inlay_json_number(j, "waiting", s->waiting);
	inlay_json_number(j, "reconnects", s->reconnects);
	inlay_json_bool(j, "readonly", s->readonly);
	inlay_json_bool(j, "passthrough", s->passthrough);
	inlay_json_string(j, "passthrough_why", s->passthrough_why);
	inlay_json_string(j, "transport", s->transport);
	inlay_json_bool(j, "guarded", s->guarded);
	inlay_json_string(j, "guarded_why", s->guarded_why);
	inlay_json_number(j, "takeovers", s->takeovers);
	inlay_json_number(j, "nodes", s->nodes);
	inlay_json_number(j, "files", s->files);
	if (*s->progress)
		inlay_json_string(j, "progress", s->progress);
	inlay_json_array(j, "operations");
	for (unsigned i = 0; i < s->ops; i++) {
		inlay_json_object(j, NULL);
		inlay_json_string(j, "name", s->op[i].name);
		put_side(j, "local", &s->op[i], INLAY_LOCAL);
		put_side(j, "remote", &s->op[i], INLAY_REMOTE);
		inlay_json_object_end(j);
	}
	inlay_json_array_end(j);
	inlay_json_object_end(j);
}

static void answer_status(struct inlay_attachment *a, struct inlay_json *j)
{
	struct inlay_attachment_status *s = calloc(1, sizeof(*s));
	int status = s ? inlay_attachment_status(a, s) : -INLAY_ENOMEM;

	if (status < 0) {
		inlay_control_error(j, status, NULL);
	} else {
		put_status(j, s);
		free(s->op);
	}
	free(s);
}

static void answer_explain(struct inlay_attachment *a, const char *escaped, struct inlay_json *j)
{
	struct inlay_explanation e = {0};
	char *path = strdup(escaped);
	int status = -INLAY_ENOMEM;

	if (path) {
		inlay_control_unescape(path);
		status = inlay_attachment_explain(a, path, &e);
		free(path);
	}
	if (status < 0) {
		inlay_control_error(j, status, NULL);
		return;
	}
	inlay_json_object(j, NULL);
	inlay_json_bool(j, "ok", true);
	inlay_json_string(j, "side", e.side == INLAY_LOCAL ? "local" : "remote");
	inlay_json_bool(j, "merged", e.merged);
	inlay_json_string(j, "why", e.why);
	inlay_json_object_end(j);
}

static void answer_detach(struct inlay_attachment *a, bool force, struct inlay_json *j)
{
	int status = inlay_attachment_detach(a, force);

	if (status < 0) {
		inlay_control_error(j, status, NULL);
		return;
	}
	inlay_json_object(j, NULL);
	inlay_json_bool(j, "ok", true);
	inlay_json_object_end(j);
}

static void answer_restart(struct inlay_attachment *a, struct inlay_json *j)
{
	int status = inlay_attachment_restart(a);

	if (status < 0) {
		inlay_control_error(j, status, status == -INLAY_ENOTSUP ? "it has no guardian, see \"inlay status\"" : NULL);
		return;
	}
	inlay_json_object(j, NULL);
	inlay_json_bool(j, "ok", true);
	inlay_json_object_end(j);
}

void inlay_control_answer(struct inlay_attachment *a, const char *request, struct inlay_json *j)
{
	if (strcmp(request, "status") == 0)
		answer_status(a, j);
	else if (strncmp(request, "explain ", 8) == 0)
		answer_explain(a, request + 8, j);
	else if (strcmp(request, "detach") == 0)
		answer_detach(a, false, j);
	else if (strcmp(request, "detach force") == 0)
		answer_detach(a, true, j);
	else if (strcmp(request, "restart") == 0)
		answer_restart(a, j);
	else
		inlay_control_error(j, -INLAY_EINVAL, "unknown request");
}

void inlay_control_escape(const char *path, char *out)
{
	for (; *path; path++) {
		if (*path == '\\' || *path == '\n')
			*out++ = '\\';
		*out++ = *path == '\n' ? 'n' : *path;
	}
	*out = '\0';
}

void inlay_control_unescape(char *path)
{
	char *to = path;

	for (const char *p = path; *p; p++) {
		if (*p == '\\' && p[1])
			*to++ = *++p == 'n' ? '\n' : *p;
		else
			*to++ = *p;
	}
	*to = '\0';
}

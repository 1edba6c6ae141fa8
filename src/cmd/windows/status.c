/*
 * `inlay status` on Windows: what the registry lists, facts from the processes that serve it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/answer_text.h"
#include "cmd/asking.h"
#include "cmd/clock.h"
#include "cmd/commands.h"
#include "cmd/say.h"
#include "cmd/windows/commands.h"
#include "cmd/windows/directory.h"

#include <stdlib.h>

#define PATIENCE_MS 3000u

const struct inlay_command inlay_status_command = {
	.name = "inlay status",
	.operands = "[DIR]",
	.summary = "Shows attached directories: health, server, operations and their latency",
	.details = "Exit code 1: DIR isn't attached, or an attachment doesn't answer.\n",
	.operands_max = 1,
	.options = inlay_status_options,
};

/* What becomes of each: "attached", "not answering" or "another user's". */
struct picture {
	struct inlay_peers peers;
	const struct inlay_peer *only; /* NULL: all */
	const char **state;            /* by peer */
};

static bool is_shown(const struct picture *p, size_t i)
{
	return !p->only || p->only == &p->peers.peer[i];
}

/* All are asked before any is waited for: together they have PATIENCE_MS. */
static void picture_ask(struct picture *p)
{
	uint64_t deadline = inlay_clock_ms() + PATIENCE_MS;
	char text[256];

	for (size_t i = 0; i < p->peers.count; i++) {
		struct inlay_peer *peer = &p->peers.peer[i];

		if (peer->status == 0 && is_shown(p, i))
			peer->status = inlay_talk_send(&peer->talk, "status");
	}
	for (size_t i = 0; i < p->peers.count; i++) {
		struct inlay_peer *peer = &p->peers.peer[i];

		if (peer->status == 0 && is_shown(p, i))
			peer->status = inlay_talk_receive(&peer->talk, deadline);
		if (peer->status == 0 && is_shown(p, i))
			peer->status = inlay_answer_status(peer->talk.text, text, sizeof(text));
		p->state[i] = peer->status == 0 ? "attached" : peer->status == -INLAY_EACCES ? "another user's" : "not answering";
	}
}

static void print_entry(const struct inlay_peer *peer, const char *state)
{
	char text[256];

	inlay_print_path(peer->running->dir, stdout);
	putchar('\n');
	inlay_answer_line("source", peer->running->source);
	if (peer->status == 0) {
		inlay_answer_print_facts(peer->talk.text);
		return;
	}
	if (peer->status == -INLAY_EACCES)
		snprintf(text, sizeof(text), "%s: ask as administrator", state);
	else
		snprintf(text, sizeof(text), "%s; \"inlay detach --force\" frees the directory", state);
	inlay_answer_line("health", text);
	snprintf(text, sizeof(text), "%lu", (unsigned long)peer->running->pid);
	inlay_answer_line("process", text);
}

static void print_text(const struct picture *p)
{
	bool first = true;

	if (!p->peers.count)
		puts("no attachments");
	for (size_t i = 0; i < p->peers.count; i++) {
		if (!is_shown(p, i))
			continue;
		if (!first)
			putchar('\n');
		first = false;
		print_entry(&p->peers.peer[i], p->state[i]);
	}
}

static void put_entry(struct inlay_json *j, const void *arg, size_t i)
{
	const struct picture *p = arg;
	const struct inlay_peer *peer = &p->peers.peer[i];

	if (!is_shown(p, i))
		return;
	inlay_json_object(j, NULL);
	inlay_json_string(j, "state", p->state[i]);
	inlay_json_bool(j, "mounted", true);
	if (peer->status == 0) {
		inlay_json_members(j, peer->talk.text);
	} else {
		inlay_json_name(j, "dir", peer->running->dir);
		inlay_json_name(j, "source", peer->running->source);
		inlay_json_number(j, "pid", peer->running->pid);
	}
	inlay_json_object_end(j);
}

static int show(struct picture *p, const struct inlay_json_options *o)
{
	int code = INLAY_EXIT_OK;

	p->state = calloc(p->peers.count + 1, sizeof(*p->state));
	if (!p->state) {
		inlay_say("out of memory: status: free some");
		return INLAY_EXIT_FAILED;
	}
	picture_ask(p);
	if (o->json)
		inlay_status_print_json(p->peers.count, put_entry, p);
	else
		print_text(p);
	for (size_t i = 0; i < p->peers.count; i++) {
		if (is_shown(p, i) && p->peers.peer[i].status < 0 && (p->only || p->peers.peer[i].status != -INLAY_EACCES))
			code = INLAY_EXIT_FAILED;
	}
	free(p->state);
	return code;
}

int inlay_status_main(int argc, char **argv)
{
	struct inlay_json_options o = {0};
	struct picture p = {0};
	int first = inlay_options_parse(&inlay_status_command, argc, argv, &o), code = INLAY_EXIT_FAILED, status;
	const char *rest = "";
	char *full = NULL;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	status = inlay_peers_find(&p.peers);
	if (status < 0) {
		inlay_say("can't look for attachments: %s", inlay_status_text(status));
		return INLAY_EXIT_FAILED;
	}
	if (first < argc) {
		full = inlay_directory_full(argv[first]);
		p.only = full ? inlay_peers_at(&p.peers, full, &rest) : NULL;
	}
	if (first < argc && (!p.only || *rest))
		inlay_say("not attached: %s: \"inlay status\" shows what is", argv[first]);
	else
		code = show(&p, &o);
	free(full);
	inlay_peers_done(&p.peers);
	return code;
}

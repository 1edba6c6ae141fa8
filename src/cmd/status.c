/*
 * `inlay status`: what is attached, how it is, what it did. Mounts come from the kernel's list, facts from the processes
 * that serve them; a mount without an answer is shown as what it is.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/answer_text.h"
#include "cmd/asking.h"
#include "cmd/clock.h"
#include "cmd/commands.h"
#include "cmd/mounts.h"
#include "cmd/peer.h"
#include "cmd/say.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 2000u
#define TAKEOVER_MS 1000u
#define LOOK_AGAIN_US 50000u

const struct inlay_command inlay_status_command = {
	.name = "inlay status",
	.operands = "[DIR]",
	.summary = "Shows attached directories: health, server, operations and their latency",
	.details = "Exit code 1: DIR isn't attached, or an attachment doesn't answer.\n",
	.operands_max = 1,
	.options = inlay_status_options,
};

/* One attachment: its mount (NULL: not mounted here, or not any more) and who serves it (NULL: nobody). */
struct entry {
	const struct inlay_mount *mount;
	struct inlay_peer *peer;
	bool answered;
	const char *state; /* "attached", "not answering", "dead" or "another user's" */
};

struct picture {
	struct inlay_mounts mounts;
	struct inlay_peers peers;
	struct entry *entry;
	size_t count;
};

static struct inlay_peer *peer_of(struct picture *p, const struct inlay_mount *m)
{
	for (size_t i = 0; i < p->peers.count; i++) {
		struct inlay_peer *peer = &p->peers.peer[i];

		if (peer->name.major == m->major && peer->name.minor == m->minor)
			return peer;
	}
	return NULL;
}

static bool has_entry(const struct picture *p, const struct inlay_peer *peer)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->entry[i].peer == peer)
			return true;
	}
	return false;
}

/* only: this mount alone, NULL for all. */
static int picture_take(struct picture *p, const struct inlay_mount *only)
{
	int status = inlay_peers_find(&p->peers);

	if (status < 0)
		return status;
	p->entry = calloc(p->mounts.count + p->peers.count + 1, sizeof(*p->entry));
	if (!p->entry)
		return -INLAY_ENOMEM;
	for (size_t i = 0; i < p->mounts.count; i++) {
		const struct inlay_mount *m = &p->mounts.mount[i];

		if (!inlay_mount_is_ours(m) || (only && m != only))
			continue;
		p->entry[p->count++] = (struct entry){.mount = m, .peer = peer_of(p, m)};
	}
	/* Detached lazily and still in use, or mounted where we can't see it. */
	for (size_t i = 0; i < p->peers.count && !only; i++) {
		if (!has_entry(p, &p->peers.peer[i]))
			p->entry[p->count++] = (struct entry){.peer = &p->peers.peer[i]};
	}
	return 0;
}

/* All are asked before any is waited for: together they have PATIENCE_MS. */
static void picture_ask(struct picture *p)
{
	uint64_t deadline = inlay_clock_ms() + PATIENCE_MS;

	for (size_t i = 0; i < p->count; i++) {
		if (p->entry[i].peer && !p->entry[i].peer->text)
			(void)inlay_peer_send(p->entry[i].peer, "status");
	}
	for (size_t i = 0; i < p->count; i++) {
		struct entry *e = &p->entry[i];
		char text[256];

		if (!e->peer) {
			e->state = geteuid() == 0 || e->mount->owner == geteuid() ? "dead" : "another user's";
			continue;
		}
		e->answered = inlay_peer_receive(e->peer, deadline) == 0 &&
			      inlay_answer_status(e->peer->text, text, sizeof(text)) == 0;
		e->state = e->answered ? "attached" : "not answering";
	}
}

static void picture_drop(struct picture *p)
{
	inlay_peers_done(&p->peers);
	free(p->entry);
	p->entry = NULL;
	p->count = 0;
}

static bool all_told(const struct picture *p)
{
	for (size_t i = 0; i < p->count; i++) {
		if (!p->entry[i].answered && strcmp(p->entry[i].state, "another user's") != 0)
			return false;
	}
	return true;
}

/* Whoever has just died is followed by another process within a fraction of a second: nobody is called dead before that. */
static int picture_settle(struct picture *p, const struct inlay_mount *only)
{
	uint64_t end_ms = inlay_clock_ms() + TAKEOVER_MS;

	for (;;) {
		int status = picture_take(p, only);

		if (status < 0)
			return status;
		picture_ask(p);
		if (all_told(p) || inlay_clock_ms() >= end_ms)
			return 0;
		picture_drop(p);
		usleep(LOOK_AGAIN_US);
	}
}

/* ---- for people ---- */

static void print_entry(const struct entry *e)
{
	char text[8192], source[1024];

	if (e->mount)
		inlay_print_name(e->mount->dir, stdout);
	else
		inlay_print_name(e->answered ? inlay_json_text(inlay_json_find(e->peer->text, "dir"), text, sizeof(text)) : "(no directory)", stdout);
	fputs(e->mount ? "\n" : "  (not mounted here)\n", stdout);
	if (e->mount)
		inlay_answer_line("source", e->mount->source);
	else if (e->answered)
		inlay_answer_line("source", inlay_json_text(inlay_json_find(e->peer->text, "source"), source, sizeof(source)));
	if (e->answered) {
		inlay_answer_print_facts(e->peer->text);
		return;
	}
	if (!e->peer && strcmp(e->state, "dead") != 0)
		snprintf(text, sizeof(text), "user %u's: ask that user, or root", e->mount->owner);
	else
		snprintf(text, sizeof(text), "%s%s%s", e->state, e->peer ? "" : ": its process is gone",
			e->mount ? "; \"inlay detach --force\" frees the directory" : "");
	inlay_answer_line("health", text);
	if (e->peer) {
		snprintf(text, sizeof(text), "%d, user %u", (int)e->peer->name.pid, e->peer->uid);
		inlay_answer_line("process", text);
	}
}

static void print_text(const struct picture *p)
{
	if (!p->count)
		puts("no attachments");
	for (size_t i = 0; i < p->count; i++) {
		if (i)
			putchar('\n');
		print_entry(&p->entry[i]);
	}
}

/* ---- for programs ---- */

static void put_entry(struct inlay_json *j, const void *arg, size_t i)
{
	const struct entry *e = &((const struct picture *)arg)->entry[i];

	inlay_json_object(j, NULL);
	inlay_json_string(j, "state", e->state);
	inlay_json_bool(j, "mounted", e->mount != NULL);
	if (e->answered) {
		inlay_json_members(j, e->peer->text);
	} else {
		if (e->mount) {
			inlay_json_name(j, "dir", e->mount->dir);
			inlay_json_name(j, "source", e->mount->source);
		}
		if (e->peer)
			inlay_json_number(j, "pid", (uint64_t)e->peer->name.pid);
	}
	inlay_json_object_end(j);
}

static int show(struct picture *p, const struct inlay_mount *only, const struct inlay_json_options *o)
{
	int status = picture_settle(p, only), code = INLAY_EXIT_OK;

	if (status < 0) {
		inlay_say("can't look for attachments: %s", inlay_status_text(status));
		return INLAY_EXIT_FAILED;
	}
	if (o->json)
		inlay_status_print_json(p->count, put_entry, p);
	else
		print_text(p);
	for (size_t i = 0; i < p->count; i++) {
		if (!p->entry[i].answered && (only || strcmp(p->entry[i].state, "another user's") != 0))
			code = INLAY_EXIT_FAILED;
	}
	return code;
}

int inlay_status_main(int argc, char **argv)
{
	struct inlay_json_options o = {0};
	struct picture p = {0};
	const struct inlay_mount *only = NULL;
	char rest[2 * PATH_MAX];
	int first = inlay_options_parse(&inlay_status_command, argc, argv, &o), code = INLAY_EXIT_FAILED, status;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	status = inlay_mounts_read("self", &p.mounts);
	if (status < 0) {
		inlay_say("can't read the list of mounts: /proc/self/mountinfo: %s", inlay_status_text(status));
		return INLAY_EXIT_FAILED;
	}
	if (first < argc)
		only = inlay_mounts_resolve(&p.mounts, argv[first], rest, sizeof(rest));
	if (first < argc && (!only || *rest))
		inlay_say("not attached: %s: \"inlay status\" shows what is", argv[first]);
	else
		code = show(&p, only, &o);
	picture_drop(&p);
	inlay_mounts_free(&p.mounts);
	return code;
}

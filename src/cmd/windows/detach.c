/*
 * `inlay detach` on Windows: in good order by asking the process that serves the directory; by force; and what a process left
 * that died is removed here. Every step has a limit in time.
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
#include "cmd/windows/driver.h"
#include "cmd/windows/placeholders.h"
#include "cmd/windows/privileges.h"

#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define RETRY_MS 250u
#define STEP_MS 500u         /* between looks at the progress */
#define FORCE_ASK_MS 30000u  /* for a process that may be stopped, and for many placeholders */
#define END_MS 5000u

const struct inlay_command inlay_detach_command = {
	.name = "inlay detach",
	.operands = "DIR",
	.summary = "Takes a server's export out of a directory; the directory is then as it was before",
	.details = "Without --force, programs that hold files are waited for.\n",
	.operands_min = 1,
	.operands_max = 1,
	.options = inlay_detach_options,
};

struct target {
	struct inlay_peer *peer;
	const char *dir;
	unsigned long long shown; /* open files told last */
	bool progress;            /* stderr is a terminal */
};

/* ---- people ---- */

static void show_progress(const struct target *t, uint64_t deadline, const char *what)
{
	if (t->progress)
		inlay_waiting_show(deadline, what);
}

static void hide_progress(const struct target *t)
{
	if (t->progress)
		inlay_waiting_hide();
}

/* A member of its status; false when it doesn't answer soon. */
static bool ask_status(const struct target *t, struct inlay_talk *talk)
{
	if (inlay_peer_again(t->peer, talk) < 0)
		return false;
	if (inlay_talk_ask(talk, "status", STEP_MS) == 0)
		return true;
	inlay_talk_done(talk);
	return false;
}

static void describe(const struct target *t, char *buf, size_t size)
{
	struct inlay_talk talk;

	snprintf(buf, size, "removing placeholders");
	if (!ask_status(t, &talk))
		return;
	if (inlay_json_find(talk.text, "progress"))
		inlay_json_text(inlay_json_find(talk.text, "progress"), buf, size);
	inlay_talk_done(&talk);
}

/* How many files programs hold; said when it is another number than last time, unless always. */
static void tell_held(struct target *t, bool always)
{
	struct inlay_talk talk;
	unsigned long long files;

	if (!ask_status(t, &talk))
		return;
	files = inlay_json_uint(inlay_json_find(talk.text, "files"));
	inlay_talk_done(&talk);
	if (!always && files == t->shown)
		return;
	if (files)
		inlay_say("held: programs have %llu of its files and directories open: %s", files, t->dir);
	else
		inlay_say("held: a program is in one of its directories, or has just opened something: %s", t->dir);
	t->shown = files;
}

/* ---- by force ---- */

/* What a process left that is gone: the driver has let go, the placeholders are still there. */
static int clear_leftover(const char *dir)
{
	struct inlay_driver driver = {0};
	struct inlay_directory d = {0};
	struct inlay_placeholders p = {0};
	struct inlay_clearing c = {0};
	struct inlay_uuid whose;
	char why[1024];
	int status;

	inlay_privileges_enable();
	(void)inlay_driver_open_device(&driver); /* without a driver nothing is hidden */
	if (inlay_directory_open(&d, dir, why, sizeof(why)) < 0) {
		inlay_say("%s", why);
		inlay_directory_close(&d);
		inlay_driver_close(&driver);
		return INLAY_EXIT_FAILED;
	}
	p.root = d.handle;
	if (inlay_placeholders_root_mark(&p, &whose) <= 0) {
		inlay_say("not attached: %s: \"inlay status\" shows what is", dir);
		inlay_directory_close(&d);
		inlay_driver_close(&driver);
		return INLAY_EXIT_FAILED;
	}
	inlay_say("its process is gone: %s: removing what it left", d.name);
	status = inlay_placeholders_clear(&p, &c);
	if (status == 0)
		status = inlay_placeholders_set_root_mark(&p, false);
	if (status < 0)
		inlay_say("can't remove: %s\\%s: %s: %s", d.name, c.where, inlay_status_text(status),
			status == -INLAY_EBUSY ? "end the programs that hold it, then detach again" : "detach again as administrator");
	inlay_directory_close(&d);
	inlay_driver_close(&driver);
	return status < 0 ? INLAY_EXIT_FAILED : INLAY_EXIT_OK;
}

static int detach_by_force(struct target *t)
{
	char dir[4096];
	int status = t->peer->status;

	if (status == 0)
		status = inlay_talk_ask(&t->peer->talk, "detach force", FORCE_ASK_MS);
	if (status == 0 && inlay_peer_wait_end(t->peer, FORCE_ASK_MS))
		return INLAY_EXIT_OK;
	snprintf(dir, sizeof(dir), "%s", t->dir);
	if (t->peer->process && TerminateProcess(t->peer->process, INLAY_EXIT_FAILED))
		(void)inlay_peer_wait_end(t->peer, END_MS);
	inlay_running_remove(t->peer->running->pid);
	return clear_leftover(dir);
}

/* ---- in good order ---- */

/* One attempt. 0: detached, process ended. -INLAY_EBUSY: held. -INLAY_ETIMEDOUT: no answer until the deadline. */
static int attempt(struct target *t, uint64_t deadline, char *why, size_t why_len)
{
	struct inlay_talk talk;
	char what[160];
	int status = inlay_peer_again(t->peer, &talk);

	snprintf(why, why_len, "%s", inlay_status_text(status));
	if (status == -INLAY_ENOENT && inlay_peer_wait_end(t->peer, 0))
		return 0; /* of an earlier attempt's doing */
	if (status < 0)
		return status;
	status = inlay_talk_send(&talk, "detach");
	while (status == 0) {
		uint64_t step = inlay_clock_ms() + STEP_MS;

		status = inlay_talk_receive(&talk, step < deadline ? step : deadline);
		if (status != -INLAY_ETIMEDOUT || inlay_clock_ms() >= deadline)
			break;
		if (t->progress) {
			describe(t, what, sizeof(what));
			show_progress(t, deadline, what);
		}
		status = 0;
	}
	if (status == 0) {
		status = inlay_answer_status(talk.text, why, why_len);
		if (status == 0 && !inlay_peer_wait_end(t->peer, END_MS))
			inlay_say("detached, but its process %lu is slow to end: %s", (unsigned long)t->peer->running->pid, t->dir);
	} else {
		snprintf(why, why_len, "%s", inlay_status_text(status));
	}
	inlay_talk_done(&talk);
	hide_progress(t);
	return status;
}

static int detach_in_order(struct target *t, unsigned timeout_ms)
{
	uint64_t deadline = inlay_clock_ms() + timeout_ms;
	bool held = false;
	char why[256];
	int status;

	for (;;) {
		status = attempt(t, deadline, why, sizeof(why));
		if (status == 0)
			return INLAY_EXIT_OK;
		if (status == -INLAY_ETIMEDOUT && held)
			status = -INLAY_EBUSY; /* the last attempt came too late to be answered */
		held = held || status == -INLAY_EBUSY;
		if (status != -INLAY_EBUSY || inlay_clock_ms() >= deadline)
			break;
		tell_held(t, false);
		show_progress(t, deadline, "programs hold it");
		inlay_sleep_ms(RETRY_MS);
		hide_progress(t);
	}
	if (status == -INLAY_EBUSY) {
		tell_held(t, true);
		inlay_say("still in use: %s: end these programs, or detach with --force", t->dir);
	} else if (status == -INLAY_ETIMEDOUT) {
		inlay_say("its process %lu is not done yet: %s: wait longer with --timeout, or detach with --force",
			(unsigned long)t->peer->running->pid, t->dir);
	} else {
		inlay_say("can't detach: %s: %s", t->dir, why);
	}
	return INLAY_EXIT_FAILED;
}

static int detach(struct inlay_peers *peers, const char *full, const struct inlay_detach_options *o)
{
	struct target t = {.progress = _isatty(_fileno(stderr)), .shown = ~0ull};
	const char *rest = "";
	int code;

	t.peer = inlay_peers_at(peers, full, &rest);
	if (t.peer && *rest) {
		inlay_say("not attached itself: %s: %s is", full, t.peer->running->dir);
		return INLAY_EXIT_FAILED;
	}
	if (!t.peer)
		return clear_leftover(full);
	t.dir = t.peer->running->dir;
	if (t.peer->status == -INLAY_EACCES) {
		inlay_say("no permission: %s: start a console as administrator", t.dir);
		return INLAY_EXIT_FAILED;
	}
	code = o->force ? detach_by_force(&t) : detach_in_order(&t, o->timeout_ms);
	if (code == INLAY_EXIT_OK)
		(void)inlay_forget(t.dir);
	return code;
}

int inlay_detach_main(int argc, char **argv)
{
	struct inlay_detach_options o = {.timeout_ms = 10000};
	struct inlay_peers peers = {0};
	int first = inlay_options_parse(&inlay_detach_command, argc, argv, &o), code = INLAY_EXIT_FAILED, status;
	char *full;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	full = inlay_directory_full(argv[first]);
	status = full ? inlay_peers_find(&peers) : -INLAY_ENOENT;
	if (status < 0)
		inlay_say("can't look for attachments: %s: %s", argv[first], inlay_status_text(status));
	else
		code = detach(&peers, full, &o);
	inlay_peers_done(&peers);
	free(full);
	return code;
}

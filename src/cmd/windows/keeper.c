/*
 * The process that stays, on Windows: in a console until Ctrl-C, or beneath the service until it is asked to detach.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/keeper.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/control.h"
#include "cmd/say.h"
#include "cmd/whole.h"
#include "cmd/windows/registry.h"
#include "os/thread.h"

#include <io.h>
#include <stdatomic.h>
#include <stdio.h>
#include <windows.h>

#define DRAIN_MS 10000u   /* from Ctrl-C to force */
#define RETRY_MS 200u     /* between attempts to detach */
#define GIVE_UP_MS 20000u /* from force to leaving, come what may */
#define HURRY_MS 15000u   /* what Windows leaves a console program that it closes, more or less */

struct keeper {
	const struct inlay_keeper_config *config;
	struct inlay_attachment *attachment;
	struct inlay_control *control;
	pthread_t drainer, forcer;
	bool draining, forced;
	atomic_bool stop_draining;
	uint64_t deadline_ms; /* of the present stage; UINT64_MAX: none */
};

/* The console's handler runs on a thread of its own and knows nothing but these. */
static HANDLE interrupted;
static atomic_uint hurry;

static BOOL WINAPI console_event(DWORD kind)
{
	if (kind != CTRL_C_EVENT && kind != CTRL_BREAK_EVENT) {
		/* When this returns, the process is ended: the main thread has the time until then. */
		hurry = 1;
		SetEvent(interrupted);
		Sleep(HURRY_MS);
		return TRUE;
	}
	SetEvent(interrupted);
	return TRUE;
}

/* False: nobody is there any more to hear it. */
static bool report(const struct keeper *k, const char *line)
{
	char text[2048];
	int fd = k->config->report_fd, len, status;

	if (fd < 0)
		return true;
	len = snprintf(text, sizeof(text), "%s\n", line);
	status = inlay_whole_write(fd, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
	_close(fd);
	return status == 0;
}

static int keeper_start(struct keeper *k, char *why, size_t why_len)
{
	const struct inlay_attachment_config *config = k->config->attachment;
	char where[256];
	int status = inlay_attachment_open(config, why, why_len, &k->attachment);

	if (status < 0)
		return status;
	status = inlay_attachment_start(k->attachment);
	if (status == -INLAY_EEXIST) {
		snprintf(why, why_len, "within or above an attached directory: %s: see \"inlay status\"", config->dir);
		return status;
	}
	if (status < 0) {
		snprintf(why, why_len, "can't start: %s: %s", config->source, inlay_status_text(status));
		return status;
	}
	status = inlay_control_start(k->attachment, config->dir, where, sizeof(where), &k->control);
	if (status < 0) {
		snprintf(why, why_len, "can't make the control pipe: %s: %s", where, inlay_status_text(status));
		return status;
	}
	status = inlay_running_add(inlay_attachment_dir(k->attachment), config->source);
	if (status < 0)
		snprintf(why, why_len, "can't write to the registry: HKLM\\SOFTWARE\\Inlay: %s", inlay_status_text(status));
	return status;
}

/* Removing placeholders takes its time: not on the thread that watches the clock. */
static void *drain(void *arg)
{
	struct keeper *k = arg;

	while (!k->stop_draining && inlay_attachment_detach(k->attachment, false) < 0)
		inlay_sleep_ms(RETRY_MS);
	return NULL;
}

static void *force(void *arg)
{
	struct keeper *k = arg;

	(void)inlay_attachment_detach(k->attachment, true);
	return NULL;
}

static void begin_force(struct keeper *k)
{
	if (k->forced)
		return;
	k->stop_draining = true;
	inlay_warning("detaching by force");
	k->deadline_ms = inlay_clock_ms() + GIVE_UP_MS;
	k->forced = inlay_thread_new(&k->forcer, force, k) == 0;
}

static void begin_drain(struct keeper *k)
{
	if (k->draining || hurry) {
		begin_force(k);
		return;
	}
	inlay_info("detaching: programs have %u s to let go", DRAIN_MS / 1000);
	k->deadline_ms = inlay_clock_ms() + DRAIN_MS;
	k->draining = inlay_thread_new(&k->drainer, drain, k) == 0;
	if (!k->draining)
		begin_force(k);
}

/* True: it is over in good order. False: given up. */
static bool keeper_wait(struct keeper *k)
{
	HANDLE handles[2] = {inlay_attachment_over_event(k->attachment), interrupted};

	for (;;) {
		uint64_t now = inlay_clock_ms();
		DWORD timeout = k->deadline_ms == UINT64_MAX ? INFINITE : now >= k->deadline_ms ? 0 : (DWORD)(k->deadline_ms - now);
		DWORD which = WaitForMultipleObjects(2, handles, FALSE, timeout);

		if (which == WAIT_OBJECT_0)
			return true;
		if (which == WAIT_OBJECT_0 + 1)
			begin_drain(k);
		if (inlay_clock_ms() >= k->deadline_ms) {
			if (k->forced)
				return false;
			begin_force(k);
		}
	}
}

/* Frees what is free of users; what isn't dies with the process. */
static int keeper_end(struct keeper *k, bool over)
{
	bool idle = !k->control || inlay_control_stop(k->control);

	k->stop_draining = true;
	inlay_running_remove(GetCurrentProcessId());
	if (!over || !idle) {
		inlay_error("something still waits for the server or for a program: leaving without it");
		ExitProcess(INLAY_EXIT_FAILED);
	}
	if (k->draining)
		pthread_join(k->drainer, NULL);
	if (k->forced)
		pthread_join(k->forcer, NULL);
	inlay_attachment_close(k->attachment);
	return INLAY_EXIT_OK;
}

static void fail(struct keeper *k, const char *why)
{
	if (k->control)
		(void)inlay_control_stop(k->control);
	if (k->attachment) {
		(void)inlay_attachment_detach(k->attachment, true);
		inlay_attachment_close(k->attachment);
	}
	if (k->config->report_fd < 0)
		inlay_say("%s", why);
	else
		(void)report(k, why);
}

int inlay_keeper_run(const struct inlay_keeper_config *config)
{
	struct keeper k = {.config = config, .deadline_ms = UINT64_MAX};
	char why[1024] = "";
	bool heard, over;

	interrupted = CreateEventW(NULL, FALSE, FALSE, NULL);
	/* A service is told of users who leave: they are none of its business. */
	if (interrupted && config->report_fd < 0)
		SetConsoleCtrlHandler(console_event, TRUE);
	if (!interrupted || keeper_start(&k, why, sizeof(why)) < 0) {
		fail(&k, *why ? why : "out of memory");
		return INLAY_EXIT_FAILED;
	}
	heard = report(&k, "ok");
	inlay_info("attached %s to %s", config->attachment->source, inlay_attachment_dir(k.attachment));
	/* The starter was interrupted: what it began is undone. */
	if (!heard)
		begin_drain(&k);
	over = keeper_wait(&k);
	inlay_info("detached %s", config->attachment->dir);
	return keeper_end(&k, over);
}

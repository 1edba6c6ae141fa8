/*
 * The process that stays.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/keeper.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/control.h"
#include "cmd/peer.h"
#include "cmd/say.h"
#include "cmd/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS 10000u   /* from a signal to force */
#define RETRY_MS 200u     /* between attempts to unmount */
#define GIVE_UP_MS 5000u  /* from force to leaving, come what may */

struct keeper {
	const struct inlay_keeper_config *config;
	struct inlay_attachment *attachment;
	struct inlay_control *control;
	int signal_fd;
	pthread_t drainer;
	bool draining, forced;
	atomic_bool stop_draining;
	uint64_t deadline_ms; /* of the present stage; UINT64_MAX: none */
};

/* Signals come by descriptor, from before the first thread: threads inherit the mask. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
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
	close(fd);
	return status == 0;
}

static int keeper_start(struct keeper *k, char *why, size_t why_len)
{
	const struct inlay_keeper_config *config = k->config;
	const char *dir;
	char where[256];
	int status = config->inherited ?
		inlay_attachment_inherit(config->inherited, config->guardian, why, why_len, &k->attachment) :
		inlay_attachment_open(config->attachment, why, why_len, &k->attachment);

	if (status < 0)
		return status;
	dir = inlay_attachment_dir(k->attachment);
	status = inlay_attachment_start(k->attachment);
	if (status < 0) {
		snprintf(why, why_len, "can't start: %s: %s", dir, inlay_status_text(status));
		return status;
	}
	status = inlay_control_start(k->attachment, dir, where, sizeof(where), &k->control);
	if (status < 0)
		snprintf(why, why_len, "can't make the control socket: %s: %s", where,
			status == -INLAY_EPERM ? "not a private folder of yours: remove it" : inlay_status_text(status));
	return status;
}

/* An unmount may wait for the server to take unwritten data: not on the thread that watches the time. */
static void *drain(void *arg)
{
	struct keeper *k = arg;

	while (!k->stop_draining && inlay_attachment_detach(k->attachment, false) < 0)
		inlay_sleep_ms(RETRY_MS);
	return NULL;
}

static void begin_force(struct keeper *k)
{
	if (k->forced)
		return;
	k->forced = true;
	k->stop_draining = true;
	inlay_warning("detaching by force");
	(void)inlay_attachment_detach(k->attachment, true);
	k->deadline_ms = inlay_clock_ms() + GIVE_UP_MS;
}

static void begin_drain(struct keeper *k)
{
	if (k->draining) {
		begin_force(k);
		return;
	}
	inlay_info("detaching: programs have %u s to let go", DRAIN_MS / 1000);
	k->deadline_ms = inlay_clock_ms() + DRAIN_MS;
	k->draining = true;
	if (pthread_create(&k->drainer, NULL, drain, k) != 0) {
		k->draining = false;
		begin_force(k);
	}
}

static void take_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	while (read(k->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		/* A service's terminal never hangs up; one that runs in the foreground ends with it. */
		if (info.ssi_signo != SIGHUP || k->config->report_fd < 0)
			begin_drain(k);
	}
}

/* A successor is made for a process that is killed: there is no other way to hand over. */
static void restart(struct keeper *k)
{
	eventfd_t count;

	(void)eventfd_read(inlay_attachment_restart_fd(k->attachment), &count);
	if (k->draining || inlay_attachment_guardian_fd(k->attachment) < 0)
		return;
	inlay_warning("restarting: another process takes over");
	_exit(INLAY_EXIT_OK);
}

/* As poll's timeout. */
static int wait_until(uint64_t due_ms)
{
	uint64_t now = inlay_clock_ms();

	return due_ms == UINT64_MAX ? -1 : now >= due_ms ? 0 : (int)(due_ms - now);
}

/* True: it is over in good order. False: given up. */
static bool keeper_wait(struct keeper *k)
{
	int over_fd = inlay_attachment_over_fd(k->attachment);

	for (;;) {
		struct pollfd p[4] = {{over_fd, POLLIN, 0}, {k->signal_fd, POLLIN, 0},
			{inlay_attachment_guardian_fd(k->attachment), POLLIN, 0},
			{inlay_attachment_restart_fd(k->attachment), POLLIN, 0}};
		uint64_t guardian_due = inlay_attachment_guardian_due(k->attachment);

		if (poll(p, 4, wait_until(k->deadline_ms < guardian_due ? k->deadline_ms : guardian_due)) < 0 && errno != EINTR)
			return false;
		if (p[0].revents)
			return true;
		if (p[1].revents)
			take_signal(k);
		if (p[2].revents || inlay_clock_ms() >= guardian_due)
			inlay_attachment_guard_again(k->attachment);
		if (p[3].revents) /* after that: who hands over must have a guardian that lives */
			restart(k);
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
	if (!over || !idle) {
		(void)inlay_attachment_detach(k->attachment, true);
		inlay_error("something still waits for the server: leaving without it");
		_exit(INLAY_EXIT_FAILED);
	}
	if (k->draining)
		pthread_join(k->drainer, NULL);
	inlay_attachment_close(k->attachment);
	return INLAY_EXIT_OK;
}

int inlay_keeper_run(const struct inlay_keeper_config *config)
{
	struct keeper k = {.config = config, .deadline_ms = UINT64_MAX};
	char why[1024] = "";
	bool heard, over;

	k.signal_fd = open_signals();
	if (k.signal_fd < 0 || keeper_start(&k, why, sizeof(why)) < 0) {
		if (k.control)
			(void)inlay_control_stop(k.control);
		if (k.attachment)
			inlay_attachment_close(k.attachment);
		if (config->inherited)
			inlay_error("%s", why);
		else if (config->report_fd < 0)
			inlay_say("%s", *why ? why : "can't take signals");
		else
			(void)report(&k, *why ? why : "can't take signals");
		return INLAY_EXIT_FAILED;
	}
	heard = report(&k, "ok");
	if (config->log_fd >= 0)
		dup2(config->log_fd, STDERR_FILENO);
	if (config->inherited)
		inlay_warning("took over %s", inlay_attachment_dir(k.attachment));
	else
		inlay_info("attached %s to %s", config->attachment->source, config->attachment->dir);
	/* The starter was interrupted: what it began is undone. */
	if (!heard)
		begin_drain(&k);
	over = keeper_wait(&k);
	inlay_info("detached %s", inlay_attachment_dir(k.attachment));
	return keeper_end(&k, over);
}

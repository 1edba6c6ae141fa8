/*
 * The service's work. Each attachment has a warden: a thread that starts its process, hears what came of it, passes its log on
 * and waits for its end.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/supervisor.h"

#include "base/list.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/control.h"
#include "cmd/windows/child.h"
#include "cmd/windows/commands.h"
#include "cmd/windows/eventlog.h"
#include "os/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define AGAIN_FIRST_MS 1000u
#define AGAIN_MOST_MS 60000u
#define STEADY_MS 60000u /* a process that ran for so long begins anew with AGAIN_FIRST_MS */
#define DRAIN_MS 10000u
#define FORCE_MS 10000u
#define REPORT_MAX 1024u

/* The lock is the supervisor's, and guards all but what is constant. */
struct warden {
	struct inlay_list link;
	struct inlay_supervisor *supervisor;
	char **argument;      /* of `inlay attach`; the last is the directory. Constant */
	const char *dir;      /* constant */
	bool remembered;      /* constant: the service keeps trying from the first time on */
	pthread_t thread;
	DWORD pid;            /* 0: no process now */
	bool reported;        /* the first attempt has ended: report says how, "" for well */
	char report[REPORT_MAX];
	bool asked;           /* somebody waits for the report: not to be freed before */
	bool over;            /* the thread ends: to be joined */
};

struct inlay_supervisor {
	struct inlay_pipe_server *pipe;
	pthread_mutex_t lock; /* guards the wardens and their list */
	pthread_cond_t change; /* of a warden */
	struct inlay_list wardens;
	HANDLE stopping;      /* event, manual */
};

/* ---- a warden ---- */

static void set_pid(struct warden *w, DWORD pid)
{
	pthread_mutex_lock(&w->supervisor->lock);
	w->pid = pid;
	pthread_cond_broadcast(&w->supervisor->change);
	pthread_mutex_unlock(&w->supervisor->lock);
}

static void set_report(struct warden *w, const char *line)
{
	pthread_mutex_lock(&w->supervisor->lock);
	snprintf(w->report, sizeof(w->report), "%s", line);
	w->reported = true;
	pthread_cond_broadcast(&w->supervisor->change);
	pthread_mutex_unlock(&w->supervisor->lock);
}

static void forward(void *arg, const char *line)
{
	inlay_event_forward(((struct warden *)arg)->dir, line);
}

/* One process from its start to its end. True: it attached; *ret_code is how it ended. */
static bool run_once(struct warden *w, DWORD *ret_code)
{
	char report[REPORT_MAX];
	struct inlay_child child = {0};
	bool attached;
	int status = inlay_child_start(&child, w->argument);

	*ret_code = INLAY_EXIT_STARTED_NOT;
	if (status < 0) {
		snprintf(report, sizeof(report), "can't start a process: %s", inlay_status_text(status));
		set_report(w, report);
		return false;
	}
	set_pid(w, child.pid);
	inlay_child_hear(&child, report, sizeof(report));
	attached = strcmp(report, "ok") == 0;
	set_report(w, attached ? "" : report);
	*ret_code = inlay_child_wait(&child, forward, w);
	set_pid(w, 0);
	return attached;
}

static bool is_stopping(const struct warden *w, DWORD wait_ms)
{
	return WaitForSingleObject(w->supervisor->stopping, wait_ms) == WAIT_OBJECT_0;
}

static void *watch(void *arg)
{
	struct warden *w = arg;
	DWORD again_ms = AGAIN_FIRST_MS, code;
	bool ever = w->remembered;
	char said[REPORT_MAX] = ""; /* once is enough, however often it is tried */

	for (;;) {
		uint64_t begin = inlay_clock_ms();
		bool attached = run_once(w, &code);

		ever = ever || attached;
		/* Detached in order, refused when a user asked for it, or all is over: that was it. */
		if ((attached && code == INLAY_EXIT_DETACHED) || !ever || is_stopping(w, 0))
			break;
		if (inlay_clock_ms() - begin > STEADY_MS)
			again_ms = AGAIN_FIRST_MS;
		if (attached)
			inlay_event(INLAY_LOG_ERROR, "%s: its process ended with code %lu: attaching again in %lu s", w->dir, code, again_ms / 1000);
		else if (strcmp(said, w->report) != 0)
			inlay_event(INLAY_LOG_WARNING, "%s: %s: trying again, at least every minute", w->dir, w->report);
		snprintf(said, sizeof(said), "%s", w->report);
		if (is_stopping(w, again_ms))
			break;
		again_ms = 2 * again_ms < AGAIN_MOST_MS ? 2 * again_ms : AGAIN_MOST_MS;
	}
	pthread_mutex_lock(&w->supervisor->lock);
	w->over = true;
	pthread_cond_broadcast(&w->supervisor->change);
	pthread_mutex_unlock(&w->supervisor->lock);
	return NULL;
}

/* Not under the lock. */
static void warden_free(struct warden *w)
{
	for (char **argument = w->argument; argument && *argument; argument++)
		free(*argument);
	free(w->argument);
	free(w);
}

/* Those that are over. */
static void bury(struct inlay_supervisor *s)
{
	for (;;) {
		struct warden *found = NULL;

		pthread_mutex_lock(&s->lock);
		for (struct inlay_list *l = s->wardens.next; l != &s->wardens && !found; l = l->next) {
			struct warden *w = inlay_container(l, struct warden, link);

			if (w->over && !w->asked)
				found = w;
		}
		if (found)
			inlay_list_remove(&found->link);
		pthread_mutex_unlock(&s->lock);
		if (!found)
			return;
		pthread_join(found->thread, NULL);
		warden_free(found);
	}
}

/* Takes over the arguments. The warden stays with the supervisor until it is over. NULL: no memory; the arguments are freed. */
static struct warden *begin(struct inlay_supervisor *s, char **argument, bool remembered)
{
	struct warden *w = calloc(1, sizeof(*w));
	char **last = argument;

	while (*last && last[1])
		last++;
	if (w) {
		*w = (struct warden){.supervisor = s, .argument = argument, .dir = *last ? *last : "", .remembered = remembered,
		                    .asked = !remembered};
		pthread_mutex_lock(&s->lock);
		if (inlay_thread_new(&w->thread, watch, w) == 0) {
			inlay_list_append(&s->wardens, &w->link);
			pthread_mutex_unlock(&s->lock);
			return w;
		}
		pthread_mutex_unlock(&s->lock);
		warden_free(w);
		return NULL;
	}
	for (last = argument; *last; last++)
		free(*last);
	free(argument);
	return NULL;
}

/* ---- requests ---- */

/* The words behind the first, unescaped. Allocated, NULL-terminated; NULL: no memory. */
static char **split(char *text)
{
	size_t count = 0;
	char **argument, *word;

	for (const char *p = text; *p; p++)
		count += *p == '\t';
	argument = calloc(count + 2, sizeof(*argument));
	if (!argument)
		return NULL;
	count = 0;
	(void)strsep(&text, "\t");
	while ((word = strsep(&text, "\t")) != NULL) {
		inlay_control_unescape(word);
		argument[count++] = strdup(word);
	}
	return argument;
}

/* How the first attempt went: "" for well. The warden may be gone afterwards. */
static void await(struct inlay_supervisor *s, struct warden *w, bool always, char *report, size_t size)
{
	pthread_mutex_lock(&s->lock);
	while (!w->reported)
		(void)inlay_cond_wait_ns(&s->change, &s->lock, 1000000000u);
	snprintf(report, size, "%s", w->report);
	if (always && *report)
		(void)inlay_forget(w->dir);
	w->asked = false;
	pthread_mutex_unlock(&s->lock);
}

static void attach(struct inlay_supervisor *s, char *request, bool always, struct inlay_json *j)
{
	char **argument = split(request), report[REPORT_MAX] = "out of memory";
	struct warden *w = NULL;
	int status = 0;

	bury(s);
	/* Remembered first: whatever happens between, what was promised is kept. */
	if (argument && argument[0]) {
		char **last = argument;

		while (last[1])
			last++;
		if (always)
			status = inlay_remember(*last, (const char *const *)argument);
		if (status < 0)
			snprintf(report, sizeof(report), "can't write to the registry: HKLM\\SOFTWARE\\Inlay: %s", inlay_status_text(status));
		w = begin(s, argument, false);
	}
	if (w)
		await(s, w, always, report, sizeof(report));
	if (!w || *report) {
		inlay_control_error(j, -INLAY_EIO, report);
		return;
	}
	inlay_json_object(j, NULL);
	inlay_json_bool(j, "ok", true);
	inlay_json_object_end(j);
}

static void answer(void *arg, char *request, struct inlay_json *j)
{
	struct inlay_supervisor *s = arg;

	if (WaitForSingleObject(s->stopping, 0) == WAIT_OBJECT_0)
		inlay_control_error(j, -INLAY_ECANCELED, "the service is stopping");
	else if (strncmp(request, "attach\t", 7) == 0)
		attach(s, request, false, j);
	else if (strncmp(request, "attach-always\t", 14) == 0)
		attach(s, request, true, j);
	else
		inlay_control_error(j, -INLAY_EINVAL, "unknown request");
}

/* ---- the whole ---- */

static void attach_remembered(struct inlay_supervisor *s)
{
	struct inlay_remembered *list = NULL;
	size_t count = 0;
	int status = inlay_remembered_list(&list, &count);

	if (status < 0)
		inlay_event(INLAY_LOG_ERROR, "can't read the registry: HKLM\\SOFTWARE\\Inlay\\Attachments: %s", inlay_status_text(status));
	for (size_t i = 0; i < count; i++) {
		char **argument = list[i].argument;

		if (!argument || !argument[0])
			continue;
		list[i].argument = NULL; /* the warden's now */
		if (!begin(s, argument, true))
			inlay_event(INLAY_LOG_ERROR, "%s: out of memory: not attached", list[i].dir ? list[i].dir : "?");
	}
	inlay_remembered_free(list, count);
}

/* The pipe's name is claimed as its first instance; asking first makes the message right where that is not enforced. */
static bool another_runs(void)
{
	struct inlay_talk talk;

	if (inlay_talk_open(INLAY_SERVICE_PIPE, 100, &talk) < 0)
		return false;
	inlay_talk_done(&talk);
	return true;
}

int inlay_supervisor_start(struct inlay_supervisor **ret, char *why, size_t why_len)
{
	struct inlay_supervisor *s = calloc(1, sizeof(*s));
	struct inlay_pipe_server_config config = {.name = INLAY_SERVICE_PIPE, .answer = answer, .arg = s};
	int status;

	snprintf(why, why_len, "out of memory");
	if (!s)
		return -INLAY_ENOMEM;
	inlay_list_init(&s->wardens);
	pthread_mutex_init(&s->lock, NULL);
	status = inlay_cond_init(&s->change);
	s->stopping = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (status < 0 || !s->stopping) {
		free(s);
		return -INLAY_ENOMEM;
	}
	status = another_runs() ? -INLAY_EEXIST : inlay_pipe_serve(&config, &s->pipe);
	if (status < 0) {
		snprintf(why, why_len, "can't make the pipe: %ls: %s", INLAY_SERVICE_PIPE,
			status == -INLAY_EEXIST ? "another service runs" : inlay_status_text(status));
		CloseHandle(s->stopping);
		free(s);
		return status;
	}
	attach_remembered(s);
	*ret = s;
	return 0;
}

/* Asks the process of each warden. */
static void ask_all(struct inlay_supervisor *s, const char *request)
{
	DWORD pid[64];
	size_t count = 0;

	pthread_mutex_lock(&s->lock);
	for (struct inlay_list *l = s->wardens.next; l != &s->wardens && count < 64; l = l->next) {
		struct warden *w = inlay_container(l, struct warden, link);

		if (w->pid && !w->over)
			pid[count++] = w->pid;
	}
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < count; i++) {
		wchar_t name[INLAY_PIPE_NAME];
		struct inlay_talk talk;

		inlay_running_pipe(pid[i], name);
		if (inlay_talk_open(name, 200, &talk) < 0)
			continue;
		/* Not waited for: the process's end tells. */
		if (inlay_talk_send(&talk, request) == 0)
			(void)inlay_talk_receive(&talk, inlay_clock_ms() + 500);
		inlay_talk_done(&talk);
	}
}

static bool all_over(struct inlay_supervisor *s)
{
	bool over;

	bury(s);
	pthread_mutex_lock(&s->lock);
	over = s->wardens.next == &s->wardens;
	pthread_mutex_unlock(&s->lock);
	return over;
}

static bool ask_until(struct inlay_supervisor *s, const char *request, unsigned ms, void (*progress)(void))
{
	uint64_t deadline = inlay_clock_ms() + ms;

	while (!all_over(s)) {
		if (inlay_clock_ms() >= deadline)
			return false;
		if (progress)
			progress();
		ask_all(s, request);
		inlay_sleep_ms(100);
	}
	return true;
}

void inlay_supervisor_stop(struct inlay_supervisor *s, void (*progress)(void))
{
	SetEvent(s->stopping);
	if (!ask_until(s, "detach", DRAIN_MS, progress) && !ask_until(s, "detach force", FORCE_MS, progress)) {
		inlay_event(INLAY_LOG_ERROR, "some attachments don't end: leaving without them");
		return; /* their threads still use all this; the process ends soon */
	}
	if (!inlay_pipe_stop(s->pipe))
		return;
	CloseHandle(s->stopping);
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/*
 * The loop on Windows: completions of a batch are not lost with the loop, event handles, errors to statuses, threads that wait.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/windows/completion.h"
#include "net/windows/wait.h"

#include "base/status.h"
#include "os/windows/error.h"

#include "support.h"

#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_MS 10000
#define COUNT 200

struct rig {
	struct inlay_crew *crew;
	struct inlay_loop *loop;
	struct inlay_task act;
	void (*do_act)(struct rig *r);
	sem_t ran, done;
	unsigned wrong;
	/* completions' */
	struct one {
		struct inlay_completion completion;
		struct rig *rig;
		unsigned done;
		int64_t result;
	} one[COUNT];
	unsigned slow_every;
	/* events' */
	HANDLE event;
	struct inlay_wait *wait;
	unsigned calls, end_at;
};

static bool wait_for(sem_t *sem)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += PATIENCE_MS / 1000;
	return sem_timedwait(sem, &t) == 0;
}

static struct rig *rig_new(void)
{
	struct inlay_crew_config config = {.loops = 1, .spares_max = 3};
	struct rig *r = calloc(1, sizeof(*r));

	sem_init(&r->ran, 0, 0);
	sem_init(&r->done, 0, 0);
	assert_int_equal(inlay_crew_new(&config, &r->crew), 0);
	r->loop = inlay_crew_loop(r->crew, 0);
	r->event = CreateEventW(NULL, FALSE, FALSE, NULL);
	assert_non_null(r->event);
	assert_int_equal(inlay_crew_start(r->crew), 0);
	return r;
}

static void rig_free(struct rig *r)
{
	inlay_crew_stop(r->crew);
	inlay_crew_free(r->crew);
	CloseHandle(r->event);
	assert_int_equal(r->wrong, 0);
	free(r);
}

static void act_done(struct inlay_task *t)
{
	struct rig *r = inlay_container(t, struct rig, act);

	r->do_act(r);
	sem_post(&r->ran);
}

/* Has something done on the loop and waits for it. */
static void rig_do(struct rig *r, void (*act)(struct rig *r))
{
	r->do_act = act;
	r->act.done = act_done;
	inlay_loop_post(r->loop, &r->act);
	assert_true(wait_for(&r->ran));
}

/* ---- completions ---- */

static void slow_work(struct inlay_task *t)
{
	(void)t;
	Sleep(4);
}

static void slow_done(struct inlay_task *t)
{
	free(t);
}

static void one_done(struct inlay_completion *c, int64_t result)
{
	struct one *o = inlay_container(c, struct one, completion);
	struct rig *r = o->rig;
	struct inlay_task *t;

	r->wrong += inlay_loop_current() != r->loop || o->done++ || o->result != result;
	sem_post(&r->done);
	if (!r->slow_every || (o - r->one) % r->slow_every != 0)
		return;
	t = malloc(sizeof(*t));
	*t = (struct inlay_task){.work = slow_work, .done = slow_done};
	(void)!inlay_loop_run(r->loop, t); /* nothing is left to do here, whoever has the loop now */
}

static void post_all(struct rig *r)
{
	for (unsigned i = 0; i < COUNT; i++) {
		r->one[i].rig = r;
		r->one[i].completion.done = one_done;
		inlay_completion_begin(r->loop, &r->one[i].completion);
		inlay_completion_post(&r->one[i].completion);
	}
}

/* Each comes once: also those of a batch in whose middle the loop was lost. */
static void completions(unsigned slow_every)
{
	struct rig *r = rig_new();

	r->slow_every = slow_every;
	rig_do(r, post_all);
	for (unsigned i = 0; i < COUNT; i++)
		assert_true(wait_for(&r->done));
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(r->one[i].done, 1);
	rig_free(r);
}

static void completions_come_once(void **state)
{
	(void)state;
	completions(0);
}

static void completions_outlive_a_lost_loop(void **state)
{
	(void)state;
	completions(9);
}

/* A file's overlapped read, as an example of the host's own. */
static void read_begin(struct rig *r, HANDLE file, uint64_t off, uint8_t *bytes, DWORD len)
{
	struct one *o = &r->one[0];

	inlay_completion_begin(r->loop, &o->completion);
	o->completion.overlapped.Offset = (DWORD)off;
	if (!ReadFile(file, bytes, len, NULL, &o->completion.overlapped) && GetLastError() != ERROR_IO_PENDING) {
		o->result = inlay_status_from_win32(GetLastError());
		inlay_completion_forget(&o->completion);
		sem_post(&r->done);
	}
}

static HANDLE pipe_server, pipe_client;
static uint8_t received[100];

static void read_pipe(struct rig *r)
{
	r->one[0].rig = r;
	r->one[0].completion.done = one_done;
	r->wrong += inlay_loop_bind(r->loop, pipe_server) != 0;
	read_begin(r, pipe_server, 0, received, sizeof(received));
}

static void read_pipe_again(struct rig *r)
{
	r->one[0].done = 0;
	read_begin(r, pipe_server, 0, received, sizeof(received));
}

static void results_and_statuses(void **state)
{
	struct rig *r = rig_new();
	wchar_t name[64];
	DWORD n;

	(void)state;
	swprintf(name, 64, L"\\\\.\\pipe\\inlay-test-%u", (unsigned)GetCurrentProcessId());
	pipe_server = CreateNamedPipeW(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE, 1, 4096, 4096, 0, NULL);
	assert_true(pipe_server != INVALID_HANDLE_VALUE);
	pipe_client = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
	assert_true(pipe_client != INVALID_HANDLE_VALUE);
	r->one[0].result = 7;
	rig_do(r, read_pipe);
	assert_true(WriteFile(pipe_client, "content", 7, &n, NULL));
	assert_true(wait_for(&r->done));
	assert_memory_equal(received, "content", 7);
	r->one[0].result = -INLAY_EPIPE;
	rig_do(r, read_pipe_again);
	CloseHandle(pipe_client);
	assert_true(wait_for(&r->done));
	CloseHandle(pipe_server);
	rig_free(r);
}

/* ---- event handles ---- */

static void event_ready(void *arg)
{
	struct rig *r = arg;

	r->wrong += inlay_loop_current() != r->loop;
	if (++r->calls == r->end_at) {
		inlay_wait_end(r->wait);
		r->wait = NULL;
	}
	sem_post(&r->done);
}

static void begin_wait(struct rig *r)
{
	r->wrong += inlay_loop_wait_handle(r->loop, r->event, event_ready, r, &r->wait) != 0;
}

static void end_wait(struct rig *r)
{
	inlay_wait_end(r->wait);
	r->wait = NULL;
}

static void nothing(struct rig *r)
{
	(void)r;
}

/* One call for each time, when each is waited for; at least one after the last, when not. */
static void events(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	rig_do(r, begin_wait);
	for (unsigned i = 0; i < 300; i++) {
		assert_true(SetEvent(r->event));
		assert_true(wait_for(&r->done));
	}
	assert_int_equal(r->calls, 300);
	for (unsigned i = 0; i < 3000; i++)
		assert_true(SetEvent(r->event));
	assert_true(wait_for(&r->done));
	rig_do(r, end_wait);
	assert_true(r->calls > 300 && r->calls <= 3300);
	r->calls = 0;
	assert_true(SetEvent(r->event));
	Sleep(50);
	rig_do(r, nothing);
	assert_int_equal(r->calls, 0);
	rig_free(r);
}

/* Ended while its call is on its way. */
static void set_and_end(struct rig *r)
{
	SetEvent(r->event);
	Sleep(5);
	end_wait(r);
}

/* Ended from its own callback, right after the event was set, and a little later, over and over. */
static void wait_ends_at_any_moment(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		r->calls = 0;
		r->end_at = i % 3 == 1;
		rig_do(r, begin_wait);
		if (i % 3 != 2)
			SetEvent(r->event);
		if (i % 3 == 1)
			assert_true(wait_for(&r->done));
		else
			rig_do(r, i % 3 ? set_and_end : end_wait);
		rig_do(r, nothing);
		ResetEvent(r->event);
	}
	rig_free(r);
}

/* Still waiting when the crew ends. */
static void wait_ends_after_the_crew(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	rig_do(r, begin_wait);
	inlay_crew_stop(r->crew);
	SetEvent(r->event);
	Sleep(20);
	inlay_wait_end(r->wait);
	inlay_crew_free(r->crew);
	assert_int_equal(r->calls, 0);
	CloseHandle(r->event);
	free(r);
}

/* ---- errors ---- */

static void errors_become_statuses(void **state)
{
	(void)state;
	assert_int_equal(inlay_status_from_win32(ERROR_FILE_NOT_FOUND), -INLAY_ENOENT);
	assert_int_equal(inlay_status_from_win32(ERROR_DISK_FULL), -INLAY_ENOSPC);
	assert_int_equal(inlay_status_from_win32(WSAECONNREFUSED), -INLAY_ECONNREFUSED);
	assert_int_equal(inlay_status_from_win32(WSAEWOULDBLOCK), -INLAY_EAGAIN);
	assert_int_equal(inlay_status_from_win32(54321), -INLAY_EUNKNOWN);
	/* What this host's C library lacks has numbers of its own, and no two rows are mixed up. */
	for (int i = 1; i < INLAY_EVERSION; i++)
		assert_int_equal(inlay_status_from_errno(inlay_status_errno(i)), -i);
}

RUN_TESTS(
	cmocka_unit_test(completions_come_once),
	cmocka_unit_test(completions_outlive_a_lost_loop),
	cmocka_unit_test(results_and_statuses),
	cmocka_unit_test(events),
	cmocka_unit_test(wait_ends_at_any_moment),
	cmocka_unit_test(wait_ends_after_the_crew),
	cmocka_unit_test(errors_become_statuses))

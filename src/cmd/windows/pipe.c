/*
 * Named pipes, serving and asking. Every operation is overlapped: a peer that is stopped costs a time-out, never a thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/pipe.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"

#include <process.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <sddl.h>

#define REQUESTS_MAX 32u   /* threads at a time; more wait for a pipe */
#define LINE_TIMEOUT_MS 2000u
#define STOP_MS 2000u
#define BUFFER 65536u
#define ANSWER_MAX (8u * 1024u * 1024u) /* bytes */

struct inlay_pipe_server {
	struct inlay_pipe_server_config config;
	wchar_t name[INLAY_PIPE_NAME];
	PSECURITY_DESCRIPTOR security;
	HANDLE next;   /* the instance that waits for its visitor; the thread's */
	HANDLE stop;   /* event */
	HANDLE thread;
	SRWLOCK lock;  /* guards active */
	CONDITION_VARIABLE idle; /* active fell */
	unsigned active; /* request threads */
};

/* What a request thread gets; it frees it. */
struct visitor {
	struct inlay_pipe_server *server;
	HANDLE pipe;
};

/*
 * Waits for an overlapped operation: how many bytes it moved, or -1. After the time, or when stop (NULL: none) is set, it is cancelled: what
 * had been moved by then counts.
 */
static int64_t finish(HANDLE pipe, OVERLAPPED *o, BOOL done, HANDLE stop, DWORD timeout_ms)
{
	HANDLE handles[2] = {o->hEvent, stop};
	DWORD count;

	if (!done && GetLastError() != ERROR_IO_PENDING)
		return -1;
	if (WaitForMultipleObjects(stop ? 2 : 1, handles, FALSE, timeout_ms) != WAIT_OBJECT_0)
		CancelIoEx(pipe, o);
	return GetOverlappedResult(pipe, o, &count, TRUE) ? (int64_t)count : -1;
}

int64_t inlay_pipe_read(void *pipe, void *event, void *stop, void *buf, size_t size, unsigned timeout_ms)
{
	OVERLAPPED o = {.hEvent = event};

	return finish(pipe, &o, ReadFile(pipe, buf, (DWORD)size, NULL, &o), stop, timeout_ms);
}

static bool write_whole(HANDLE pipe, HANDLE event, HANDLE stop, const char *data, size_t len)
{
	while (len) {
		OVERLAPPED o = {.hEvent = event};
		DWORD piece = len < BUFFER ? (DWORD)len : BUFFER;
		int64_t n = finish(pipe, &o, WriteFile(pipe, data, piece, NULL, &o), stop, LINE_TIMEOUT_MS);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* ---- serving ---- */

/* One line, without its newline; false when it doesn't come in time or is too long, or all is over. */
static bool read_line(const struct visitor *v, HANDLE event, char *line, size_t size)
{
	size_t used = 0;

	while (used < size - 1) {
		int64_t n = inlay_pipe_read(v->pipe, event, v->server->stop, line + used, size - 1 - used, LINE_TIMEOUT_MS);
		char *end = n > 0 ? memchr(line + used, '\n', (size_t)n) : NULL;

		if (n <= 0)
			return false;
		if (end) {
			*end = '\0';
			return true;
		}
		used += (size_t)n;
	}
	return false;
}

static void converse(const struct visitor *v, HANDLE event, char *line)
{
	struct inlay_json j = {0};
	char rest;

	if (read_line(v, event, line, INLAY_PIPE_REQUEST_MAX))
		v->server->config.answer(v->server->config.arg, line, &j);
	if (!j.failed && j.text && write_whole(v->pipe, event, NULL, j.text, j.len) &&
	    write_whole(v->pipe, event, NULL, "\n", 1))
		(void)inlay_pipe_read(v->pipe, event, v->server->stop, &rest, 1, LINE_TIMEOUT_MS); /* until it has read all and closed */
	free(j.text);
}

static void visitor_end(struct inlay_pipe_server *s)
{
	AcquireSRWLockExclusive(&s->lock);
	s->active--;
	WakeAllConditionVariable(&s->idle);
	ReleaseSRWLockExclusive(&s->lock);
}

static unsigned __stdcall serve_visitor(void *arg)
{
	struct visitor *v = arg;
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
	char *line = malloc(INLAY_PIPE_REQUEST_MAX);

	if (event && line)
		converse(v, event, line);
	free(line);
	if (event)
		CloseHandle(event);
	CloseHandle(v->pipe);
	visitor_end(v->server);
	free(v);
	return 0;
}

/* Takes over the pipe. */
static void receive_visitor(struct inlay_pipe_server *s, HANDLE pipe)
{
	struct visitor *v = malloc(sizeof(*v));
	uintptr_t thread = 0;

	AcquireSRWLockExclusive(&s->lock);
	while (s->active >= REQUESTS_MAX)
		SleepConditionVariableSRW(&s->idle, &s->lock, INFINITE, 0);
	s->active++;
	ReleaseSRWLockExclusive(&s->lock);
	if (v) {
		*v = (struct visitor){s, pipe};
		thread = _beginthreadex(NULL, 0, serve_visitor, v, 0, NULL);
	}
	if (thread) {
		CloseHandle((HANDLE)thread);
		return;
	}
	free(v);
	CloseHandle(pipe);
	visitor_end(s);
}

static HANDLE make_instance(struct inlay_pipe_server *s, bool first)
{
	SECURITY_ATTRIBUTES security = {.nLength = sizeof(security), .lpSecurityDescriptor = s->security};
	HANDLE pipe = CreateNamedPipeW(s->name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | (first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
		PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, PIPE_UNLIMITED_INSTANCES, BUFFER, BUFFER, 0,
		&security);

	return pipe == INVALID_HANDLE_VALUE ? NULL : pipe;
}

/* False: all is over. */
static bool await_visitor(const struct inlay_pipe_server *s, HANDLE event)
{
	OVERLAPPED o = {.hEvent = event};
	BOOL done = ConnectNamedPipe(s->next, &o);

	if (!done && GetLastError() == ERROR_PIPE_CONNECTED)
		return true;
	if (finish(s->next, &o, done, s->stop, INFINITE) < 0 && WaitForSingleObject(s->stop, 0) != WAIT_OBJECT_0)
		inlay_debug("pipe: a visitor went before it was received: error %lu", GetLastError());
	return WaitForSingleObject(s->stop, 0) != WAIT_OBJECT_0;
}

static unsigned __stdcall serve(void *arg)
{
	struct inlay_pipe_server *s = arg;
	HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);

	while (event && s->next && await_visitor(s, event)) {
		HANDLE pipe = s->next;

		/* The next one stands before this one is served: the name is never free for others. */
		s->next = make_instance(s, false);
		if (!s->next)
			inlay_error("no more pipes: %ls: error %lu: restart it to reach it again", s->name, GetLastError());
		receive_visitor(s, pipe);
	}
	if (event)
		CloseHandle(event);
	return 0;
}

static void server_free(struct inlay_pipe_server *s)
{
	if (s->thread)
		CloseHandle(s->thread);
	if (s->next)
		CloseHandle(s->next);
	if (s->stop)
		CloseHandle(s->stop);
	if (s->security)
		LocalFree(s->security);
	free(s);
}

static int server_start(struct inlay_pipe_server *s)
{
	/* All for the system and for administrators, nothing for others, nothing inherited. */
	if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(L"D:P(A;;GA;;;SY)(A;;GA;;;BA)", SDDL_REVISION_1, &s->security, NULL))
		return -INLAY_EIO;
	s->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!s->stop)
		return -INLAY_ENOMEM;
	s->next = make_instance(s, true);
	if (!s->next)
		return GetLastError() == ERROR_ACCESS_DENIED ? -INLAY_EEXIST : -INLAY_EIO;
	s->thread = (HANDLE)_beginthreadex(NULL, 0, serve, s, 0, NULL);
	return s->thread ? 0 : -INLAY_EAGAIN;
}

int inlay_pipe_serve(const struct inlay_pipe_server_config *config, struct inlay_pipe_server **ret)
{
	struct inlay_pipe_server *s = calloc(1, sizeof(*s));
	int status;

	if (!s)
		return -INLAY_ENOMEM;
	s->config = *config;
	wcsncpy(s->name, config->name, INLAY_PIPE_NAME - 1);
	InitializeSRWLock(&s->lock);
	InitializeConditionVariable(&s->idle);
	status = server_start(s);
	if (status < 0) {
		server_free(s);
		return status;
	}
	*ret = s;
	return 0;
}

bool inlay_pipe_stop(struct inlay_pipe_server *s)
{
	uint64_t deadline = inlay_clock_ms() + STOP_MS, now;
	bool idle;

	SetEvent(s->stop);
	AcquireSRWLockExclusive(&s->lock);
	while (s->active && (now = inlay_clock_ms()) < deadline)
		SleepConditionVariableSRW(&s->idle, &s->lock, (DWORD)(deadline - now), 0);
	idle = s->active == 0;
	ReleaseSRWLockExclusive(&s->lock);
	/* The thread begins none any more once it has ended; one it began in between was counted before. */
	if (!idle || WaitForSingleObject(s->thread, STOP_MS) != WAIT_OBJECT_0 || s->active) {
		inlay_warning("control pipe: a request is still waiting for the server");
		return false;
	}
	server_free(s);
	return true;
}

/* ---- asking ---- */

static int status_of_error(DWORD error)
{
	switch (error) {
	case ERROR_FILE_NOT_FOUND:
	case ERROR_PATH_NOT_FOUND:
		return -INLAY_ENOENT;
	case ERROR_ACCESS_DENIED:
		return -INLAY_EACCES;
	case ERROR_SEM_TIMEOUT:
	case ERROR_PIPE_BUSY:
		return -INLAY_ETIMEDOUT;
	default:
		return -INLAY_EIO;
	}
}

int inlay_talk_open(const wchar_t *name, unsigned timeout_ms, struct inlay_talk *ret)
{
	uint64_t deadline = inlay_clock_ms() + timeout_ms;
	struct inlay_talk t = {0};

	for (;;) {
		uint64_t now = inlay_clock_ms();
		HANDLE pipe = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
			/* Whoever listens may learn who asks, never act in our name. */
			FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);

		if (pipe != INVALID_HANDLE_VALUE) {
			t.pipe = pipe;
			break;
		}
		if (GetLastError() != ERROR_PIPE_BUSY || now >= deadline)
			return status_of_error(GetLastError());
		if (!WaitNamedPipeW(name, (DWORD)(deadline - now)) && GetLastError() != ERROR_SEM_TIMEOUT)
			return status_of_error(GetLastError());
	}
	t.event = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!t.event) {
		inlay_talk_done(&t);
		return -INLAY_ENOMEM;
	}
	*ret = t;
	return 0;
}

int inlay_talk_send(struct inlay_talk *t, const char *request)
{
	size_t len = strlen(request);
	char *line = malloc(len + 1);
	bool sent;

	if (!line)
		return -INLAY_ENOMEM;
	memcpy(line, request, len);
	line[len] = '\n';
	sent = write_whole(t->pipe, t->event, NULL, line, len + 1);
	free(line);
	return sent ? 0 : -INLAY_EPROTO;
}

int inlay_talk_receive(struct inlay_talk *t, uint64_t deadline_ms)
{
	char piece[4096];

	for (;;) {
		uint64_t now = inlay_clock_ms();
		int64_t n = inlay_pipe_read(t->pipe, t->event, NULL, piece, sizeof(piece), now >= deadline_ms ? 0 : (DWORD)(deadline_ms - now));
		char *grown;

		if (n < 0)
			return GetLastError() == ERROR_OPERATION_ABORTED ? -INLAY_ETIMEDOUT : -INLAY_EPROTO;
		grown = t->len + (size_t)n < ANSWER_MAX ? realloc(t->text, t->len + (size_t)n + 1) : NULL;
		if (!grown)
			return -INLAY_EPROTO;
		memcpy(grown + t->len, piece, (size_t)n);
		t->text = grown;
		t->len += (size_t)n;
		grown[t->len] = '\0';
		if (t->len && grown[t->len - 1] == '\n')
			return strlen(grown) == t->len && inlay_json_valid(grown) ? 0 : -INLAY_EPROTO;
	}
}

void inlay_talk_done(struct inlay_talk *t)
{
	if (t->event)
		CloseHandle(t->event);
	if (t->pipe)
		CloseHandle(t->pipe);
	free(t->text);
	*t = (struct inlay_talk){0};
}

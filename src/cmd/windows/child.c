/*
 * Processes of the service.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/child.h"

#include "base/status.h"
#include "cmd/windows/commands.h"
#include "os/windows/error.h"
#include "os/windows/text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define LINE_MAX_BYTES 8192u

/* Handles that a child may inherit exist only while this is held: no other child gets them. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

struct command_line {
	wchar_t *text;
	size_t len, cap;
	bool failed;
};

static void put(struct command_line *c, wchar_t unit)
{
	if (c->len + 2 > c->cap) {
		size_t cap = 2 * c->cap + 256;
		wchar_t *grown = realloc(c->text, cap * sizeof(*grown));

		if (!grown) {
			c->failed = true;
			return;
		}
		c->text = grown;
		c->cap = cap;
	}
	c->text[c->len++] = unit;
	c->text[c->len] = L'\0';
}

/* In quotes, as CommandLineToArgvW reads it: backslashes count double before a quote, and only there. */
static void put_argument(struct command_line *c, const wchar_t *text)
{
	size_t backslashes = 0;

	if (c->len)
		put(c, L' ');
	put(c, L'"');
	for (; *text; text++) {
		size_t more = *text == L'"' ? backslashes + 1 : 0;

		backslashes = *text == L'\\' ? backslashes + 1 : 0;
		while (more--)
			put(c, L'\\');
		put(c, *text);
	}
	while (backslashes--)
		put(c, L'\\');
	put(c, L'"');
}

static wchar_t *make_command_line(const wchar_t *program, char *const *argument)
{
	struct command_line c = {0};

	put_argument(&c, program);
	put_argument(&c, L"attach");
	put_argument(&c, L"--foreground");
	for (; *argument; argument++) {
		wchar_t *wide = inlay_text_wide(*argument);

		if (wide)
			put_argument(&c, wide);
		c.failed = c.failed || !wide;
		free(wide);
	}
	if (!c.failed)
		return c.text;
	free(c.text);
	return NULL;
}

/* The end to write is inherited; the one to read is overlapped: a process's end counts, whoever else may hold the pipe. */
static bool make_pipe(HANDLE *ret_read, HANDLE *ret_write)
{
	static LONG number;
	SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
	wchar_t name[INLAY_PIPE_NAME];
	HANDLE in, out;

	_snwprintf(name, INLAY_PIPE_NAME, L"\\\\.\\pipe\\inlay-child-%lu-%ld", GetCurrentProcessId(), InterlockedIncrement(&number));
	in = CreateNamedPipeW(name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
		PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 0, LINE_MAX_BYTES, 0, NULL);
	if (in == INVALID_HANDLE_VALUE)
		return false;
	out = CreateFileW(name, GENERIC_WRITE, 0, &inherited, OPEN_EXISTING, 0, NULL);
	if (out == INVALID_HANDLE_VALUE) {
		CloseHandle(in);
		return false;
	}
	*ret_read = in;
	*ret_write = out;
	return true;
}

static bool create(wchar_t *line, HANDLE report, HANDLE log, PROCESS_INFORMATION *ret)
{
	SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
	STARTUPINFOW how = {.cb = sizeof(how), .dwFlags = STARTF_USESTDHANDLES, .hStdError = log};
	wchar_t number[32];
	BOOL ok;

	how.hStdInput = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited, OPEN_EXISTING, 0, NULL);
	how.hStdOutput = how.hStdInput;
	_snwprintf(number, 32, L"%llu", (unsigned long long)(uintptr_t)report);
	SetEnvironmentVariableW(INLAY_REPORT_VARIABLE, number);
	ok = CreateProcessW(NULL, line, NULL, NULL, TRUE, DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP, NULL, NULL, &how, ret);
	SetEnvironmentVariableW(INLAY_REPORT_VARIABLE, NULL);
	if (how.hStdInput != INVALID_HANDLE_VALUE)
		CloseHandle(how.hStdInput);
	return ok;
}

static void close_child(struct inlay_child *c)
{
	HANDLE *all[] = {&c->process, &c->report, &c->log, &c->event};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i])
			CloseHandle(*all[i]);
		*all[i] = NULL;
	}
}

/* Under the lock. */
static int start(struct inlay_child *c, wchar_t *line)
{
	HANDLE report = NULL, log = NULL;
	PROCESS_INFORMATION made;
	bool ok = make_pipe(&c->report, &report) && make_pipe(&c->log, &log) && (c->event = CreateEventW(NULL, TRUE, FALSE, NULL)) != NULL &&
	          create(line, report, log, &made);
	int status = ok ? 0 : inlay_status_from_win32(GetLastError());

	if (report)
		CloseHandle(report);
	if (log)
		CloseHandle(log);
	if (!ok) {
		close_child(c);
		return status;
	}
	CloseHandle(made.hThread);
	c->process = made.hProcess;
	c->pid = made.dwProcessId;
	return 0;
}

int inlay_child_start(struct inlay_child *c, char *const *argument)
{
	wchar_t program[MAX_PATH], *line = NULL;
	DWORD len = GetModuleFileNameW(NULL, program, MAX_PATH);
	int status = -INLAY_ENOMEM;

	if (len > 0 && len < MAX_PATH)
		line = make_command_line(program, argument);
	if (line) {
		pthread_mutex_lock(&starting);
		status = start(c, line);
		pthread_mutex_unlock(&starting);
	}
	free(line);
	return status;
}

void inlay_child_hear(struct inlay_child *c, char *line, size_t size)
{
	size_t used = 0;
	int64_t n;

	while (used < size - 1 && !memchr(line, '\n', used) &&
	       (n = inlay_pipe_read(c->report, c->event, c->process, line + used, size - 1 - used, INFINITE)) > 0)
		used += (size_t)n;
	/* What it said before it ended. */
	if (!memchr(line, '\n', used) && (n = inlay_pipe_read(c->report, c->event, NULL, line + used, size - 1 - used, 0)) > 0)
		used += (size_t)n;
	line[used] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (!*line)
		snprintf(line, size, "the process ended without a word: run it with --foreground to see why");
}

/* Passes on the lines that are whole; what is left moves to the front. Returns how much that is. */
static size_t pass_on(char *text, size_t size, void (*line)(void *arg, const char *text), void *arg)
{
	char *begin = text, *end;
	size_t left;

	while ((end = strchr(begin, '\n')) != NULL) {
		*end = '\0';
		line(arg, begin);
		begin = end + 1;
	}
	left = strlen(begin);
	if (begin == text && left == size - 1)
		return 0; /* longer than any line of ours */
	memmove(text, begin, left + 1);
	return left;
}

unsigned long inlay_child_wait(struct inlay_child *c, void (*line)(void *arg, const char *text), void *arg)
{
	char text[LINE_MAX_BYTES];
	size_t used = 0;
	DWORD code = INLAY_EXIT_STARTED_NOT;
	bool ended = false;

	for (;;) {
		int64_t n = inlay_pipe_read(c->log, c->event, ended ? NULL : c->process, text + used, sizeof(text) - 1 - used, ended ? 0 : INFINITE);

		if (n > 0) {
			used += (size_t)n;
			text[used] = '\0';
			used = pass_on(text, sizeof(text), line, arg);
		} else if (ended) {
			break;
		} else {
			/* It has ended, or closed its log: once more for what it wrote last. */
			WaitForSingleObject(c->process, INFINITE);
			ended = true;
		}
	}
	GetExitCodeProcess(c->process, &code);
	close_child(c);
	return code;
}

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

/* The end to write is inherited. */
static bool make_pipe(HANDLE *ret_read, HANDLE *ret_write)
{
	SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};

	if (!CreatePipe(ret_read, ret_write, &inherited, 0))
		return false;
	SetHandleInformation(*ret_read, HANDLE_FLAG_INHERIT, 0);
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

/* Under the lock. */
static int start(struct inlay_child *c, wchar_t *line)
{
	HANDLE report = NULL, log = NULL;
	PROCESS_INFORMATION made;
	bool ok = make_pipe(&c->report, &report) && make_pipe(&c->log, &log) && create(line, report, log, &made);
	int status = ok ? 0 : inlay_status_from_win32(GetLastError());

	if (report)
		CloseHandle(report);
	if (log)
		CloseHandle(log);
	if (!ok) {
		if (c->report)
			CloseHandle(c->report);
		if (c->log)
			CloseHandle(c->log);
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
	DWORD n;

	while (used < size - 1 && !memchr(line, '\n', used) && ReadFile(c->report, line + used, (DWORD)(size - 1 - used), &n, NULL) && n)
		used += n;
	line[used] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (!*line)
		snprintf(line, size, "the process ended without a word: run it with --foreground to see why");
	CloseHandle(c->report);
	c->report = NULL;
}

unsigned long inlay_child_wait(struct inlay_child *c, void (*line)(void *arg, const char *text), void *arg)
{
	char text[LINE_MAX_BYTES];
	size_t used = 0;
	DWORD n, code = INLAY_EXIT_STARTED_NOT;

	while (ReadFile(c->log, text + used, (DWORD)(sizeof(text) - 1 - used), &n, NULL) && n) {
		char *begin = text, *end;

		used += n;
		text[used] = '\0';
		while ((end = strchr(begin, '\n')) != NULL) {
			*end = '\0';
			line(arg, begin);
			begin = end + 1;
		}
		used = strlen(begin);
		if (begin == text && used == sizeof(text) - 1)
			used = 0; /* longer than any line of ours */
		memmove(text, begin, used + 1);
	}
	CloseHandle(c->log);
	WaitForSingleObject(c->process, INFINITE);
	GetExitCodeProcess(c->process, &code);
	CloseHandle(c->process);
	return code;
}

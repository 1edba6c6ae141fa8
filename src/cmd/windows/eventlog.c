/*
 * The service's log.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/eventlog.h"

#include "base/status.h"
#include "os/windows/error.h"
#include "os/windows/text.h"

#include <fcntl.h>
#include <io.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <windows.h>

#define SOURCE L"Inlay"
#define KEY L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\" SOURCE

/* messages.mc: severity in the two highest bits. */
static const struct {
	WORD type;
	DWORD id;
	const char *word;
} levels[] = {
	[INLAY_LOG_ERROR] = {EVENTLOG_ERROR_TYPE, 0xc0000001u, "error"},
	[INLAY_LOG_WARNING] = {EVENTLOG_WARNING_TYPE, 0x80000002u, "warning"},
	[INLAY_LOG_INFO] = {EVENTLOG_INFORMATION_TYPE, 0x40000003u, "info"},
	[INLAY_LOG_DEBUG] = {EVENTLOG_INFORMATION_TYPE, 0x40000003u, "debug"},
};

static HANDLE source; /* NULL: lines go to the log file */

static int set_value(HKEY key, const wchar_t *name, DWORD type, const void *data, size_t size)
{
	LONG error = RegSetValueExW(key, name, 0, type, data, (DWORD)size);

	return error ? inlay_status_from_win32((unsigned long)error) : 0;
}

int inlay_eventlog_register(void)
{
	wchar_t program[MAX_PATH];
	DWORD len = GetModuleFileNameW(NULL, program, MAX_PATH), types = EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE;
	HKEY key;
	LONG error = RegCreateKeyExW(HKEY_LOCAL_MACHINE, KEY, 0, NULL, 0, KEY_WRITE | KEY_WOW64_64KEY, NULL, &key, NULL);
	int status;

	if (error || !len || len >= MAX_PATH)
		return error ? inlay_status_from_win32((unsigned long)error) : -INLAY_ENAMETOOLONG;
	status = set_value(key, L"EventMessageFile", REG_EXPAND_SZ, program, (len + 1) * sizeof(*program));
	if (status == 0)
		status = set_value(key, L"TypesSupported", REG_DWORD, &types, sizeof(types));
	RegCloseKey(key);
	return status;
}

void inlay_eventlog_unregister(void)
{
	RegDeleteKeyExW(HKEY_LOCAL_MACHINE, KEY, KEY_WOW64_64KEY, 0);
}

int inlay_eventlog_open(const char *file)
{
	wchar_t *wide;
	int fd;

	if (!file) {
		source = RegisterEventSourceW(NULL, SOURCE);
		return source ? 0 : inlay_status_from_win32(GetLastError());
	}
	wide = inlay_text_wide(file);
	fd = wide ? _wopen(wide, _O_WRONLY | _O_CREAT | _O_APPEND | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE) : -1;
	free(wide);
	if (fd < 0)
		return -INLAY_EACCES;
	inlay_log_init("inlay", fd, INLAY_LOG_INFO, INLAY_LOG_TEXT);
	return 0;
}

static void put(enum inlay_log_level level, const char *text)
{
	wchar_t *wide;
	const wchar_t *strings[1];

	if (!source) {
		inlay_log(level, "%s", text);
		return;
	}
	wide = inlay_text_wide(text);
	strings[0] = wide ? wide : L"out of memory";
	ReportEventW(source, levels[level].type, 0, levels[level].id, NULL, 1, 0, strings, NULL);
	free(wide);
}

void inlay_event(enum inlay_log_level level, const char *fmt, ...)
{
	char text[2048];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put(level, text);
}

void inlay_event_forward(const char *dir, const char *line)
{
	enum inlay_log_level level = INLAY_LOG_ERROR; /* what a command says to people is a failure */
	const char *rest = strncmp(line, "inlay: ", 7) == 0 ? line + 7 : line;

	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		size_t len = strlen(levels[i].word);

		if (strncmp(rest, levels[i].word, len) == 0 && strncmp(rest + len, ": ", 2) == 0) {
			level = (enum inlay_log_level)i;
			rest += len + 2;
			break;
		}
	}
	inlay_event(level, "%s: %s", dir, rest);
}

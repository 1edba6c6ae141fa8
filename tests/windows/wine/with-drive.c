/*
 * Starts a program with the simulated drive: with-drive PROGRAM ARGUMENT...; ends with the program's status.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "hook/hook.h"

/* The command line behind the first word, as it was given. */
static WCHAR *rest_of(WCHAR *line)
{
	bool quoted = false;

	for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++)
		if (*line == '"')
			quoted = !quoted;
	while (*line == ' ' || *line == '\t')
		line++;
	return line;
}

int main(void)
{
	WCHAR *line = rest_of(GetCommandLineW()), library[MAX_PATH];
	STARTUPINFOW how = { .cb = sizeof(how) };
	PROCESS_INFORMATION made;
	DWORD code = 125, length = GetModuleFileNameW(NULL, library, MAX_PATH);

	while (length && library[length - 1] != '\\')
		length--;
	if (!*line || length + 9 > MAX_PATH) {
		fprintf(stderr, "usage: with-drive PROGRAM ARGUMENT...\n");
		return 125;
	}
	wcscpy(library + length, L"hook.dll");
	GetStartupInfoW(&how);
	how.lpReserved2 = NULL;
	how.cbReserved2 = 0;
	if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &how, &made)) {
		fprintf(stderr, "with-drive: can't start it: error %lu\n", GetLastError());
		return 125;
	}
	if (!hook_inject(made.hProcess, library)) {
		fprintf(stderr, "with-drive: can't load %ls into it: error %lu\n", library, GetLastError());
		TerminateProcess(made.hProcess, 125);
		return 125;
	}
	ResumeThread(made.hThread);
	WaitForSingleObject(made.hProcess, INFINITE);
	GetExitCodeProcess(made.hProcess, &code);
	return (int)code;
}

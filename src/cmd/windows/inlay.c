/*
 * inlay.exe: the console and its arguments in UTF-8, then as on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/commands.h"
#include "cmd/program.h"
#include "cmd/say.h"
#include "cmd/windows/commands.h"
#include "os/windows/text.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

static const struct inlay_program_entry commands[] = {
	{"attach", inlay_attach_main, &inlay_attach_command},
	{"detach", inlay_detach_main, &inlay_detach_command},
	{"status", inlay_status_main, &inlay_status_command},
	{"explain", inlay_explain_main, &inlay_explain_command},
	{"service", inlay_service_main, &inlay_service_command},
	{"ls", inlay_list_main, &inlay_list_command},
	{"cat", inlay_cat_main, &inlay_cat_command},
	{"cp", inlay_copy_main, &inlay_copy_command},
	{NULL, NULL, NULL},
};

static char **arguments(int argc, wchar_t **wide)
{
	char **argv = calloc((size_t)argc + 1, sizeof(*argv));

	for (int i = 0; argv && i < argc; i++) {
		argv[i] = inlay_text_narrow(wide[i]);
		if (!argv[i])
			return NULL;
	}
	return argv;
}

/* The console takes bytes in one code page for all who write to it: the one that was set comes back at the end. */
static UINT console_before;

static void console_restore(void)
{
	SetConsoleOutputCP(console_before);
}

static void console_open(void)
{
	/* The same bytes as on Linux, wherever they go: files get no carriage returns, data stays as it is. */
	_setmode(_fileno(stdin), _O_BINARY);
	_setmode(_fileno(stdout), _O_BINARY);
	_setmode(_fileno(stderr), _O_BINARY);
	/* In large pieces: byte by byte, as this C library writes to a console, no letter beyond ASCII would come out whole. */
	setvbuf(stdout, NULL, _IOFBF, 65536);
	console_before = GetConsoleOutputCP();
	if (console_before && console_before != CP_UTF8 && SetConsoleOutputCP(CP_UTF8))
		atexit(console_restore);
}

int wmain(int argc, wchar_t **wide)
{
	char **argv = arguments(argc, wide);

	if (!argv) {
		inlay_say("out of memory: reading the arguments: free some");
		return INLAY_EXIT_FAILED;
	}
	console_open();
	return inlay_program_main(commands, argc, argv);
}

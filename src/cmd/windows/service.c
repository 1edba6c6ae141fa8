/*
 * `inlay service`: the Windows service that starts attachments and starts them again.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/say.h"
#include "cmd/windows/commands.h"
#include "cmd/windows/directory.h"
#include "cmd/windows/eventlog.h"
#include "cmd/windows/supervisor.h"
#include "os/windows/text.h"

#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define PATH_UNITS 32768u
#define WAIT_MS 40000u     /* for the service to start or stop */
#define STOP_HINT_MS 5000u /* until the next word, while stopping */

struct service_options {
	const char *log_file;
	bool manual, foreground;
};

static const struct inlay_option service_options[] = {
	{.name = "log-file", .kind = INLAY_OPTION_TEXT, .value = "FILE",
		.help = "install, run: append log lines to FILE instead of the event log",
		.at = offsetof(struct service_options, log_file)},
	{.name = "manual", .kind = INLAY_OPTION_FLAG, .help = "install: don't start it with Windows",
		.at = offsetof(struct service_options, manual)},
	{.name = "foreground", .letter = 'f', .kind = INLAY_OPTION_FLAG, .help = "run: in this console, until Ctrl-C",
		.at = offsetof(struct service_options, foreground)},
	{.name = NULL},
};

const struct inlay_command inlay_service_command = {
	.name = "inlay service",
	.operands = "install|remove|start|stop|run",
	.summary = "Installs, removes, starts or stops the service that keeps attachments",
	.details = "run is what the service itself does: Windows calls it, or a person with --foreground.\n",
	.operands_min = 1,
	.operands_max = 1,
	.options = service_options,
};

/* ---- the service's own process ---- */

static struct {
	SERVICE_STATUS_HANDLE handle;
	SERVICE_STATUS status;
	HANDLE stop; /* event */
	const char *log_file;
	int code;
} service;

static void tell(DWORD state, DWORD hint_ms)
{
	service.status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
	service.status.dwCurrentState = state;
	service.status.dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN : 0;
	service.status.dwWaitHint = hint_ms;
	service.status.dwCheckPoint = hint_ms ? service.status.dwCheckPoint + 1 : 0;
	if (service.handle)
		SetServiceStatus(service.handle, &service.status);
}

static void stopping(void)
{
	tell(SERVICE_STOP_PENDING, STOP_HINT_MS);
}

/* From start to stop, wherever it runs. The exit code. */
static int work(void)
{
	struct inlay_supervisor *s;
	char why[512];
	int status = inlay_eventlog_open(service.log_file);

	if (status < 0) {
		inlay_say("can't write the log: %s: %s", service.log_file ? service.log_file : "event log", inlay_status_text(status));
		return INLAY_EXIT_FAILED;
	}
	if (inlay_supervisor_start(&s, why, sizeof(why)) < 0) {
		inlay_event(INLAY_LOG_ERROR, "%s", why);
		inlay_say("%s", why);
		return INLAY_EXIT_FAILED;
	}
	inlay_event(INLAY_LOG_INFO, "started, version " INLAY_VERSION);
	tell(SERVICE_RUNNING, 0);
	WaitForSingleObject(service.stop, INFINITE);
	stopping();
	inlay_supervisor_stop(s, stopping);
	inlay_event(INLAY_LOG_INFO, "stopped");
	return INLAY_EXIT_OK;
}

static DWORD WINAPI control(DWORD what, DWORD kind, void *data, void *context)
{
	(void)kind, (void)data, (void)context;
	switch (what) {
	case SERVICE_CONTROL_STOP:
	case SERVICE_CONTROL_PRESHUTDOWN:
		stopping();
		SetEvent(service.stop);
		return NO_ERROR;
	case SERVICE_CONTROL_INTERROGATE:
		return NO_ERROR;
	default:
		return ERROR_CALL_NOT_IMPLEMENTED;
	}
}

static void WINAPI service_main(DWORD argc, wchar_t **argv)
{
	(void)argc, (void)argv;
	service.handle = RegisterServiceCtrlHandlerExW(INLAY_SERVICE_NAME, control, NULL);
	if (!service.handle)
		return;
	tell(SERVICE_START_PENDING, STOP_HINT_MS);
	service.code = work();
	service.status.dwWin32ExitCode = service.code ? ERROR_SERVICE_SPECIFIC_ERROR : NO_ERROR;
	service.status.dwServiceSpecificExitCode = (DWORD)service.code;
	tell(SERVICE_STOPPED, 0);
}

static BOOL WINAPI interrupted(DWORD kind)
{
	(void)kind;
	SetEvent(service.stop);
	return TRUE;
}

static int run(const struct service_options *o)
{
	wchar_t name[] = INLAY_SERVICE_NAME;
	SERVICE_TABLE_ENTRYW table[] = {{name, service_main}, {NULL, NULL}};

	service.log_file = o->log_file;
	service.stop = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (!service.stop) {
		inlay_say("out of memory: service: free some");
		return INLAY_EXIT_FAILED;
	}
	if (o->foreground) {
		SetConsoleCtrlHandler(interrupted, TRUE);
		return work();
	}
	if (StartServiceCtrlDispatcherW(table))
		return service.code;
	if (GetLastError() == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT)
		inlay_say("started by hand: service run: \"inlay service start\", or use --foreground");
	else
		inlay_say("can't reach the service manager: service: error %lu", GetLastError());
	return INLAY_EXIT_FAILED;
}

/* ---- the manager's side ---- */

static int complain(const char *what, DWORD error)
{
	switch (error) {
	case ERROR_ACCESS_DENIED:
		inlay_say("no permission to %s: service: start a console as administrator", what);
		break;
	case ERROR_SERVICE_DOES_NOT_EXIST:
		inlay_say("can't %s: service: not installed: \"inlay service install\" first", what);
		break;
	case ERROR_SERVICE_EXISTS:
		inlay_say("can't %s: service: installed already: \"inlay service remove\" first", what);
		break;
	case ERROR_SERVICE_MARKED_FOR_DELETE:
		inlay_say("can't %s: service: being removed: close what shows services, then try again", what);
		break;
	default:
		inlay_say("can't %s: service: error %lu", what, error);
	}
	return INLAY_EXIT_FAILED;
}

/* NULL when it has been said why. manager: closed by the caller in both cases. */
static SC_HANDLE open_service(SC_HANDLE *ret_manager, DWORD access, const char *what)
{
	SC_HANDLE found = NULL;

	*ret_manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
	if (*ret_manager)
		found = OpenServiceW(*ret_manager, INLAY_SERVICE_NAME, access);
	if (!found)
		complain(what, GetLastError());
	return found;
}

static void close_service(SC_HANDLE manager, SC_HANDLE found)
{
	if (found)
		CloseServiceHandle(found);
	if (manager)
		CloseServiceHandle(manager);
}

/* "program" service run [--log-file "FILE"]; allocated. */
static wchar_t *command_line(const char *log_file)
{
	wchar_t *line = malloc(2 * PATH_UNITS * sizeof(*line)), *program = malloc(PATH_UNITS * sizeof(*program)), *wide = NULL;
	char *full = log_file ? inlay_directory_full(log_file) : NULL;
	DWORD len = program ? GetModuleFileNameW(NULL, program, PATH_UNITS) : 0;

	if (full)
		wide = inlay_text_wide(full);
	if (line && len > 0 && len < PATH_UNITS && (!log_file || wide)) {
		_snwprintf(line, 2 * PATH_UNITS, L"\"%ls\" service run%ls%ls%ls", program, wide ? L" --log-file \"" : L"", wide ? wide : L"",
			wide ? L"\"" : L"");
	} else {
		free(line);
		line = NULL;
	}
	free(program);
	free(wide);
	free(full);
	return line;
}

/* A process that died takes its attachments' supervision with it, not the attachments: it is started again. */
static void configure(SC_HANDLE made)
{
	SERVICE_DESCRIPTIONW description = {L"Attaches directories of Unix servers, and keeps them attached."};
	SC_ACTION again[3] = {{SC_ACTION_RESTART, 1000}, {SC_ACTION_RESTART, 10000}, {SC_ACTION_RESTART, 60000}};
	SERVICE_FAILURE_ACTIONSW failure = {.dwResetPeriod = 3600, .cActions = 3, .lpsaActions = again};
	SERVICE_PRESHUTDOWN_INFO shutdown = {60000};

	ChangeServiceConfig2W(made, SERVICE_CONFIG_DESCRIPTION, &description);
	ChangeServiceConfig2W(made, SERVICE_CONFIG_FAILURE_ACTIONS, &failure);
	ChangeServiceConfig2W(made, SERVICE_CONFIG_PRESHUTDOWN_INFO, &shutdown);
}

static int install(const struct service_options *o)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE), made = NULL;
	wchar_t *line = command_line(o->log_file);
	int code = INLAY_EXIT_OK, status;

	if (manager && line)
		made = CreateServiceW(manager, INLAY_SERVICE_NAME, L"Inlay redirector", SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS,
			o->manual ? SERVICE_DEMAND_START : SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, line, NULL, NULL, L"Tcpip\0", NULL, NULL);
	if (!made) {
		code = line ? complain("install", GetLastError()) : complain("install", ERROR_OUTOFMEMORY);
	} else {
		configure(made);
		status = inlay_eventlog_register();
		if (status < 0)
			inlay_say("its events will have no text: event log: %s", inlay_status_text(status));
	}
	free(line);
	close_service(manager, made);
	return code;
}

static bool wait_state(SC_HANDLE found, DWORD wanted, DWORD *ret_state)
{
	SERVICE_STATUS now = {0};

	for (unsigned waited = 0; waited < WAIT_MS; waited += 100) {
		if (!QueryServiceStatus(found, &now))
			return false;
		*ret_state = now.dwCurrentState;
		if (now.dwCurrentState == wanted)
			return true;
		if (wanted == SERVICE_RUNNING && now.dwCurrentState == SERVICE_STOPPED)
			return false;
		Sleep(100);
	}
	return false;
}

static int start(void)
{
	SC_HANDLE manager, found = open_service(&manager, SERVICE_START | SERVICE_QUERY_STATUS, "start");
	int code = found ? INLAY_EXIT_OK : INLAY_EXIT_FAILED;
	DWORD state = 0;

	if (found && !StartServiceW(found, 0, NULL) && GetLastError() != ERROR_SERVICE_ALREADY_RUNNING) {
		code = complain("start", GetLastError());
	} else if (found && !wait_state(found, SERVICE_RUNNING, &state)) {
		inlay_say("can't start: service: %s: see the event log", state == SERVICE_STOPPED ? "it ended at once" : "it takes too long");
		code = INLAY_EXIT_FAILED;
	}
	close_service(manager, found);
	return code;
}

static int stop(SC_HANDLE found)
{
	SERVICE_STATUS now;
	DWORD state = 0;

	if (!ControlService(found, SERVICE_CONTROL_STOP, &now)) {
		DWORD error = GetLastError();

		if (error != ERROR_SERVICE_NOT_ACTIVE && error != ERROR_SERVICE_CANNOT_ACCEPT_CTRL)
			return complain("stop", error);
	}
	if (wait_state(found, SERVICE_STOPPED, &state))
		return INLAY_EXIT_OK;
	inlay_say("can't stop: service: it takes too long: see the event log");
	return INLAY_EXIT_FAILED;
}

static int stop_or_remove(bool removes)
{
	const char *what = removes ? "remove" : "stop";
	SC_HANDLE manager, found = open_service(&manager, SERVICE_STOP | SERVICE_QUERY_STATUS | (removes ? DELETE : 0), what);
	int code = found ? stop(found) : INLAY_EXIT_FAILED;

	if (found && removes) {
		if (!DeleteService(found))
			code = complain(what, GetLastError());
		else
			inlay_eventlog_unregister();
	}
	close_service(manager, found);
	return code;
}

int inlay_service_main(int argc, char **argv)
{
	struct service_options o = {0};
	int first = inlay_options_parse(&inlay_service_command, argc, argv, &o);
	const char *word;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	word = argv[first];
	if (strcmp(word, "install") == 0)
		return install(&o);
	if (strcmp(word, "remove") == 0)
		return stop_or_remove(true);
	if (strcmp(word, "start") == 0)
		return start();
	if (strcmp(word, "stop") == 0)
		return stop_or_remove(false);
	if (strcmp(word, "run") == 0)
		return run(&o);
	inlay_say("unknown word: %s: write install, remove, start, stop or run", word);
	return INLAY_EXIT_USAGE;
}

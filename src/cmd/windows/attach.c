/*
 * `inlay attach` on Windows: the service starts a process that stays; with --foreground it is this one.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"
#include "base/status.h"
#include "cmd/answer_text.h"
#include "cmd/commands.h"
#include "cmd/control.h"
#include "cmd/keeper.h"
#include "cmd/place.h"
#include "cmd/rules.h"
#include "cmd/say.h"
#include "cmd/windows/child.h"
#include "cmd/windows/commands.h"
#include "cmd/windows/directory.h"
#include "os/self.h"
#include "os/windows/text.h"

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <windows.h>

#define SERVICE_MS 60000u /* connecting may take a while */
#define ARGUMENTS_MORE 24u /* beside the rules */

struct attach_options {
	struct inlay_rules rules;
	bool readonly, foreground, insecure, no_server_rules, persistent, server_permissions;
	unsigned timeout_ms, connections;
	const char *user, *timeout; /* as given, for the service */
	const char *log_file;       /* NULL: none */
};

static int set_rule(void *into, const char *value, const char **ret_why)
{
	return inlay_rules_add(&((struct attach_options *)into)->rules, value, ret_why);
}

static int set_rules_file(void *into, const char *value, const char **ret_why)
{
	static char why[512];
	int status = inlay_rules_add_file(&((struct attach_options *)into)->rules, value, why, sizeof(why));

	*ret_why = why;
	return status;
}

static int set_user(void *into, const char *value, const char **ret_why)
{
	((struct attach_options *)into)->user = value;
	return inlay_place_user(into, value, ret_why);
}

static int set_timeout(void *into, const char *value, const char **ret_why)
{
	struct attach_options *o = into;

	*ret_why = "not a number of seconds from 0 to 1000000";
	o->timeout = value;
	return inlay_seconds_parse(value, 0, 1000000, &o->timeout_ms);
}

static const struct inlay_option attach_options[] = {
	{.name = "rule", .kind = INLAY_OPTION_CALL, .value = "RULE", .set = set_rule,
		.help = "\"local GLOB\" or \"remote GLOB\": who serves matching paths; the first match wins"},
	{.name = "rules-file", .kind = INLAY_OPTION_CALL, .value = "FILE", .set = set_rules_file,
		.help = "rules from a file, one a line, in place of this option"},
	{.name = "no-server-rules", .kind = INLAY_OPTION_FLAG, .help = "ignore the rules that the server suggests",
		.at = offsetof(struct attach_options, no_server_rules)},
	{.name = "ro", .kind = INLAY_OPTION_FLAG, .help = "read-only",
		.at = offsetof(struct attach_options, readonly)},
	{.name = "timeout", .kind = INLAY_OPTION_CALL, .value = "SECONDS", .set = set_timeout,
		.help = "how long a request waits for a lost server before it fails; 0, the default: for ever"},
	{.name = "connections", .kind = INLAY_OPTION_NUMBER, .value = "N", .max = INLAY_LANES_MAX,
		.help = "connections to the server; 0, the default: one per core, at most 4",
		.at = offsetof(struct attach_options, connections)},
	{.name = "user", .kind = INLAY_OPTION_CALL, .value = "UID:GID", .set = set_user,
		.help = "who the programs of this machine are on the server; default 65534:65534, nobody"},
	{.name = "server-permissions", .kind = INLAY_OPTION_FLAG,
		.help = "files show the server's owners and modes as their security, not what DIR hands down",
		.at = offsetof(struct attach_options, server_permissions)},
	{.name = "insecure", .kind = INLAY_OPTION_FLAG, .help = "allow plain TCP to another host: anyone between can read and change",
		.at = offsetof(struct attach_options, insecure)},
	{.name = "persistent", .kind = INLAY_OPTION_FLAG, .help = "attach it again each time the service starts, until it is detached",
		.at = offsetof(struct attach_options, persistent)},
	{.name = "foreground", .letter = 'f', .kind = INLAY_OPTION_FLAG, .help = "stay, without the service, and log to stderr",
		.at = offsetof(struct attach_options, foreground)},
	{.name = "log-file", .kind = INLAY_OPTION_TEXT, .value = "FILE", .help = "append log lines to FILE",
		.at = offsetof(struct attach_options, log_file)},
	{.name = NULL},
};

const struct inlay_command inlay_attach_command = {
	.name = "inlay attach",
	.operands = "SERVER[:PORT]/EXPORT DIR",
	.summary = "Sets a server's export into an existing directory, whose local files stay local",
	.details = "SERVER is a name or an address, DIR a directory on an NTFS volume. Without a matching rule, what exists in DIR\n"
		   "is local and everything else is remote. Returns when DIR is usable.\n",
	.operands_min = 2,
	.operands_max = 2,
	.options = attach_options,
};

/* ---- checks ---- */

static bool check_source(const char *source, struct inlay_remote_name *remote)
{
	const char *why = "";

	if (inlay_remote_name_parse(source, remote, &why) < 0) {
		inlay_say("%s: %s: write SERVER[:PORT]/EXPORT", why, source);
		return false;
	}
	if (remote->path[0]) {
		inlay_say("only a whole export can be attached: %s: leave out \"/%s\"", source, remote->path);
		return false;
	}
	return true;
}

/* Neither attached, nor within nor above what is. */
static bool check_free(const char *dir)
{
	struct inlay_peers peers;
	bool ok = true;

	if (inlay_peers_find(&peers) < 0)
		return true; /* the driver says it, too */
	for (size_t i = 0; i < peers.count && ok; i++) {
		const char *other = peers.peer[i].running->dir, *rest = inlay_directory_rest(other, dir);

		ok = !rest && !inlay_directory_rest(dir, other);
		if (rest && !*rest)
			inlay_say("attached already: %s: see \"inlay status\", or \"inlay detach\" it first", dir);
		else if (!ok)
			inlay_say("%s an attached directory: %s: %s is attached: name another one", rest ? "within" : "above", dir, other);
	}
	inlay_peers_done(&peers);
	return ok;
}

/* The directory's full name, by its handle: links and short names resolved. Allocated; NULL when it has been said what is wrong. */
static char *check_dir(const char *dir)
{
	struct inlay_directory d = {0};
	char why[1024], *name = NULL;

	if (inlay_directory_open(&d, dir, why, sizeof(why)) < 0)
		inlay_say("%s", why);
	else if (check_free(d.name))
		name = strdup(d.name);
	inlay_directory_close(&d);
	return name;
}

/* ---- in this process ---- */

static int open_log(const struct attach_options *o)
{
	wchar_t *wide;
	int fd;

	if (!o->log_file)
		return STDERR_FILENO;
	wide = inlay_text_wide(o->log_file);
	fd = wide ? _wopen(wide, _O_WRONLY | _O_CREAT | _O_APPEND | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE) : -1;
	free(wide);
	if (fd < 0)
		inlay_say("can't write the log: %s: name a file that you may write", o->log_file);
	return fd;
}

/* Where the service waits for a word; -1: nobody waits. */
static int report_fd(void)
{
	wchar_t text[32];
	DWORD len = GetEnvironmentVariableW(INLAY_REPORT_VARIABLE, text, 32);

	if (!len || len >= 32)
		return -1;
	SetEnvironmentVariableW(INLAY_REPORT_VARIABLE, NULL);
	return _open_osfhandle((intptr_t)_wcstoui64(text, NULL, 10), _O_WRONLY | _O_BINARY);
}

static int stay(const char *source, const char *dir, const struct inlay_remote_name *remote, const struct attach_options *o)
{
	static const char *const no_rules[] = {NULL};
	struct inlay_attachment_config config = {.remote = *remote, .source = source, .dir = dir,
	                                         .rules = o->rules.rule ? (const char *const *)o->rules.rule : no_rules,
	                                         .readonly = o->readonly, .insecure = o->insecure,
	                                         .server_rules = !o->no_server_rules, .timeout_ms = o->timeout_ms,
	                                         .connections = o->connections,
	                                         .server_permissions = o->server_permissions};
	struct inlay_keeper_config keeper = {.attachment = &config, .report_fd = report_fd(), .log_fd = open_log(o)};

	struct inlay_cred cred;
	int code;

	inlay_self_cred(&cred);
	config.uid = cred.uid;
	config.gid = cred.gid;
	if (keeper.log_fd < 0)
		return INLAY_EXIT_FAILED;
	inlay_log_init("inlay", keeper.log_fd, INLAY_LOG_INFO, INLAY_LOG_TEXT);
	code = inlay_keeper_run(&keeper);
	return code == INLAY_EXIT_OK && keeper.report_fd >= 0 ? (int)INLAY_EXIT_DETACHED : code;
}

/* ---- by the service ---- */

/* The arguments that say the same without this process's files and place. NULL-terminated; free() it. */
static const char **arguments(const char *source, const char *dir, const struct attach_options *o, char connections[16])
{
	const char **a = calloc(2 * o->rules.count + ARGUMENTS_MORE, sizeof(*a)), **p = a;

	if (!a)
		return NULL;
	for (size_t i = 0; i < o->rules.count; i++) {
		*p++ = "--rule";
		*p++ = o->rules.rule[i];
	}
	snprintf(connections, 16, "%u", o->connections);
	*p++ = "--connections";
	*p++ = connections;
	if (o->timeout) {
		*p++ = "--timeout";
		*p++ = o->timeout;
	}
	if (o->user) {
		*p++ = "--user";
		*p++ = o->user;
	}
	if (o->log_file) {
		*p++ = "--log-file";
		*p++ = o->log_file;
	}
	if (o->readonly)
		*p++ = "--ro";
	if (o->insecure)
		*p++ = "--insecure";
	if (o->no_server_rules)
		*p++ = "--no-server-rules";
	if (o->server_permissions)
		*p++ = "--server-permissions";
	*p++ = "--";
	*p++ = source;
	*p = dir;
	return a;
}

/* "attach", or "attach-always", and the arguments, escaped, each behind a tab. Allocated. */
static char *make_request(const char *const *argument, bool persistent)
{
	size_t size = 32;
	char *request, *end;

	for (const char *const *p = argument; *p; p++)
		size += 2 * strlen(*p) + 1;
	request = malloc(size);
	if (!request)
		return NULL;
	end = request + sprintf(request, persistent ? "attach-always" : "attach");
	for (; *argument; argument++) {
		*end++ = '\t';
		inlay_control_escape(*argument, end);
		end += strlen(end);
	}
	return request;
}

static int ask_service(const char *request)
{
	struct inlay_talk talk;
	char text[1024];
	int status = inlay_talk_open(INLAY_SERVICE_PIPE, 5000, &talk);

	if (status == -INLAY_ENOENT) {
		inlay_say("the service does not run: attach: \"inlay service start\" as administrator, or use --foreground");
		return INLAY_EXIT_FAILED;
	}
	if (status == -INLAY_EACCES) {
		inlay_say("no permission to ask the service: attach: start a console as administrator");
		return INLAY_EXIT_FAILED;
	}
	if (status == 0)
		status = inlay_talk_ask(&talk, request, SERVICE_MS);
	if (status < 0) {
		inlay_say("the service does not answer: attach: %s: see the event log", inlay_status_text(status));
		inlay_talk_done(&talk);
		return INLAY_EXIT_FAILED;
	}
	status = inlay_answer_status(talk.text, text, sizeof(text));
	if (status < 0)
		inlay_say("%s", text);
	inlay_talk_done(&talk);
	return status < 0 ? INLAY_EXIT_FAILED : INLAY_EXIT_OK;
}

static int have_service_attach(const char *source, const char *dir, struct attach_options *o)
{
	char connections[16], *log_file = o->log_file ? inlay_directory_full(o->log_file) : NULL, *request = NULL;
	const char **argument;
	int code = INLAY_EXIT_FAILED;

	if (log_file)
		o->log_file = log_file;
	argument = arguments(source, dir, o, connections);
	if (argument)
		request = make_request(argument, o->persistent);
	if (!request)
		inlay_say("out of memory: attach: free some");
	else if (strlen(request) + 1 >= INLAY_PIPE_REQUEST_MAX)
		inlay_say("too much to ask of the service: attach: fewer rules, or use --foreground");
	else
		code = ask_service(request);
	free(request);
	free(argument);
	free(log_file);
	return code;
}

static int attach(const char *source, const char *dir, struct attach_options *o)
{
	struct inlay_remote_name remote;
	char *full;
	int code;

	if (!check_source(source, &remote))
		return INLAY_EXIT_USAGE;
	if (o->foreground && o->persistent) {
		inlay_say("only the service attaches again: --persistent: leave out --foreground");
		return INLAY_EXIT_USAGE;
	}
	full = check_dir(dir);
	if (!full)
		return INLAY_EXIT_FAILED;
	code = o->foreground ? stay(source, full, &remote, o) : have_service_attach(source, full, o);
	free(full);
	return code;
}

int inlay_attach_main(int argc, char **argv)
{
	struct attach_options o = {0};
	int first = inlay_options_parse(&inlay_attach_command, argc, argv, &o), code;

	if (first < 0)
		code = first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	else
		code = attach(argv[first], argv[first + 1], &o);
	inlay_rules_done(&o.rules);
	return code;
}

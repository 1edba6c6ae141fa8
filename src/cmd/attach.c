/*
 * `inlay attach`: checks what can be checked before anything is changed, then leaves a process behind and its answer.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/attach.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/commands.h"
#include "cmd/guardian.h"
#include "cmd/json.h"
#include "cmd/keeper.h"
#include "cmd/mounts.h"
#include "cmd/peer.h"
#include "cmd/say.h"
#include "cmd/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE "/dev/fuse"
#define HELPER "fusermount3"
#define DEAD_MS 1000u

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

/* device: of the file system there, where it is ours. */
static bool is_attached(const char *dir, struct inlay_socket_name *device)
{
	const struct inlay_mount *mount;
	struct inlay_mounts mounts;
	bool ours;

	if (inlay_mounts_read("self", &mounts) < 0)
		return false;
	mount = inlay_mounts_at(&mounts, dir);
	ours = mount && inlay_mount_is_ours(mount);
	if (ours)
		*device = (struct inlay_socket_name){.major = mount->major, .minor = mount->minor};
	inlay_mounts_free(&mounts);
	return ours;
}

/* Whoever saw its process die may well attach again: but another one has taken over meanwhile, and what was wanted is so. */
static bool was_taken_over(const struct inlay_socket_name *device, const char *source)
{
	char text[1024];
	struct inlay_peer peer;
	bool so;

	if (inlay_peer_find(device->major, device->minor, &peer) < 0)
		return false;
	so = inlay_peer_ask(&peer, "status", 2000) == 0 && inlay_json_uint(inlay_json_find(peer.text, "takeovers")) > 0 &&
	     strcmp(inlay_json_text(inlay_json_find(peer.text, "source"), text, sizeof text), source) == 0;
	inlay_peer_done(&peer);
	return so;
}

/*
 * All that served it are gone, the guardian too: then any request fails with ENOTCONN. While another takes over, or the server is away, it
 * waits instead: so a child asks.
 */
static bool is_dead(const char *dir)
{
	uint64_t end_ms = inlay_clock_ms() + DEAD_MS;
	pid_t child = fork();
	struct statfs fs;
	int status = 0;

	if (child < 0)
		return false;
	if (child == 0)
		_exit(statfs(dir, &fs) < 0 && errno == ENOTCONN ? 0 : 1);
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (inlay_clock_ms() >= end_ms) {
			kill(child, SIGKILL);
			return false;
		}
		inlay_sleep_ms(5);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What a killed attachment left is cleaned up as `inlay detach` does, which says so. */
static bool remove_dead(const struct inlay_socket_name *device, char *dir)
{
	char *argv[] = {"inlay detach", dir, NULL};
	struct inlay_peer peer;

	if (inlay_peer_find(device->major, device->minor, &peer) == 0) {
		inlay_peer_done(&peer);
		return false;
	}
	return is_dead(dir) && inlay_detach_main(2, argv) == INLAY_EXIT_OK;
}

enum check { REFUSED, FREE, ATTACHED };

static enum check check_dir(const char *source, const char *dir, bool change, char real[PATH_MAX])
{
	struct inlay_socket_name device;
	struct stat st;

	if (!realpath(dir, real)) {
		inlay_say("%s: %s: %s", errno == ENOENT ? "no such directory" : strerror(errno), dir,
			errno == ENOENT ? "make it first" : "name an existing directory");
		return REFUSED;
	}
	/* Before stat(2), which would ask the attachment that is there. */
	if (is_attached(real, &device)) {
		if (was_taken_over(&device, source)) {
			inlay_say("still attached: %s: another process took over from one that had died", real);
			return ATTACHED;
		}
		if (change && remove_dead(&device, real))
			return check_dir(source, dir, change, real); /* something else may lie beneath */
		inlay_say("attached already: %s: see \"inlay status\", or \"inlay detach\" it first", real);
		return REFUSED;
	}
	if (stat(real, &st) < 0) {
		inlay_say("%s: %s: name an existing directory", strerror(errno), real);
		return REFUSED;
	}
	if (!S_ISDIR(st.st_mode)) {
		inlay_say("not a directory: %s: name an existing directory", real);
		return REFUSED;
	}
	return FREE;
}

/* fusermount3 where a shell would find it. */
static bool have_helper(void)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t len = strcspn(path, ":");

		if (snprintf(file, sizeof(file), "%.*s/" HELPER, (int)len, path) < (int)sizeof(file) && access(file, X_OK) == 0)
			return true;
		path += len;
		path += *path == ':';
	}
	return access("/usr/bin/" HELPER, X_OK) == 0;
}

static bool user_may_allow_other(void)
{
	char *text, *cursor, *line;
	bool allowed = false;

	if (inlay_whole_read("/etc/fuse.conf", &text, NULL) < 0)
		return false;
	cursor = text;
	while ((line = strsep(&cursor, "\n")) != NULL) {
		line += strspn(line, " \t");
		allowed = allowed || (strncmp(line, "user_allow_other", 16) == 0 && strspn(line + 16, " \t\r") == strlen(line + 16));
	}
	free(text);
	return allowed;
}

static bool check_fuse(const struct inlay_attach_options *o)
{
	int fd;

	if (access(DEVICE, F_OK) < 0) {
		inlay_say("no FUSE on this host: " DEVICE ": load the kernel module \"fuse\", or give the container this device");
		return false;
	}
	/* fusermount3 opens it as the user, too. */
	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		inlay_say("no permission to use FUSE: " DEVICE ": %s: %s", strerror(errno),
			geteuid() == 0 ? "in a container, give it this device" : "root can \"chmod 666 " DEVICE "\", or attach");
		return false;
	}
	close(fd);
	if (geteuid() == 0)
		return true;
	if (!have_helper()) {
		inlay_say("no permission to use FUSE: " HELPER ": install the package fuse3, or attach as root");
		return false;
	}
	if (o->allow_other && !user_may_allow_other()) {
		inlay_say("other users may not be let in: --allow-other: root can put \"user_allow_other\" into /etc/fuse.conf");
		return false;
	}
	return true;
}

/* ---- the process that stays ---- */

static int open_log(const struct inlay_attach_options *o)
{
	int fd;

	if (!o->log_file && o->foreground)
		return STDERR_FILENO;
	fd = open(o->log_file ? o->log_file : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		inlay_say("can't write the log: %s: %s", o->log_file ? o->log_file : "/dev/null", strerror(errno));
	return fd;
}

/*
 * Whoever waits for the end of a pipe that was inherited here would wait until the detach. Standard streams stay, and
 * these two.
 */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a), from = STDERR_FILENO + 1;

	if (low > from)
		close_range(from, low - 1, 0);
	from = low >= from ? low + 1 : from;
	if (high > from)
		close_range(from, high - 1, 0);
	close_range(high >= from ? high + 1 : from, ~0u, 0);
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/") < 0 || null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
}

static void raise_limits(void)
{
	struct rlimit files;

	/* Each local file that a program holds open is a descriptor here. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(0); /* the programs' own ones count */
}

static int keep(const struct inlay_attachment_config *config, const struct inlay_attach_options *o, int report_fd, int log_fd)
{
	struct inlay_keeper_config keeper = {.attachment = config, .report_fd = report_fd, .log_fd = log_fd, .guardian = -1};

	raise_limits();
	/* Never to the user's terminal but in the foreground: what fails there is said once, by the one who waits. */
	inlay_log_init("inlay", log_fd, o->log_file || o->foreground ? INLAY_LOG_INFO : INLAY_LOG_WARNING, INLAY_LOG_TEXT);
	return inlay_keeper_run(&keeper);
}

/* The child's one line. */
static int hear(int fd, pid_t child)
{
	char *line = NULL;
	int code = INLAY_EXIT_FAILED;

	if (inlay_whole_read_fd(fd, &line, NULL) == 0 && strcmp(line, "ok\n") == 0) {
		code = INLAY_EXIT_OK;
	} else if (line && *line) {
		line[strcspn(line, "\n")] = '\0';
		inlay_say("%s", line);
	} else {
		int status = 0;

		waitpid(child, &status, 0);
		inlay_say("the process ended without a word (%s %d): attach: run it with --foreground to see why",
			WIFSIGNALED(status) ? "signal" : "exit code",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	free(line);
	return code;
}

static int leave_behind(const struct inlay_attachment_config *config, const struct inlay_attach_options *o, int log_fd)
{
	int pipe_fd[2], code;
	pid_t child;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		inlay_say("can't start a process: attach: %s", strerror(errno));
		return INLAY_EXIT_FAILED;
	}
	if (child == 0) {
		close_others(pipe_fd[1], log_fd);
		leave_terminal();
		_exit(keep(config, o, pipe_fd[1], log_fd));
	}
	close(pipe_fd[1]);
	code = hear(pipe_fd[0], child);
	close(pipe_fd[0]);
	return code;
}

int inlay_attach(const char *source, const char *dir, const struct inlay_attach_options *o)
{
	struct inlay_attachment_config config = {
		.source = source,
		.rules = (const char *const *)o->rules.rule,
		.readonly = o->readonly,
		.insecure = o->insecure,
		.allow_other = o->allow_other || geteuid() == 0,
		.server_rules = !o->no_server_rules,
		.timeout_ms = o->timeout_ms,
		.connections = o->connections,
	};
	static const char *const no_rules[] = {NULL};
	char real[PATH_MAX];
	enum check check;
	int log_fd, code;

	if (!check_source(source, &config.remote))
		return INLAY_EXIT_USAGE;
	check = check_dir(source, dir, !o->check_only, real);
	if (check == ATTACHED)
		return INLAY_EXIT_OK;
	if (check == REFUSED || !check_fuse(o))
		return INLAY_EXIT_FAILED;
	if (o->check_only)
		return INLAY_EXIT_OK;
	log_fd = open_log(o);
	if (log_fd < 0)
		return INLAY_EXIT_FAILED;
	config.dir = real;
	config.guarded = !o->foreground && !o->no_guardian; /* in the foreground whoever started it looks after it */
	config.log_fd = o->log_file ? log_fd : -1;
	config.rules = config.rules ? config.rules : no_rules;
	code = o->foreground ? keep(&config, o, -1, log_fd) : leave_behind(&config, o, log_fd);
	if (log_fd != STDERR_FILENO)
		close(log_fd);
	return code;
}

int inlay_take_over(int sock)
{
	struct inlay_keeper_config keeper = {.report_fd = -1, .guardian = sock};
	struct inlay_kept kept;
	int code;

	if (fcntl(sock, F_SETFD, FD_CLOEXEC) < 0 || inlay_guardian_receive(sock, &kept) < 0)
		return INLAY_EXIT_FAILED;
	leave_terminal();
	keeper.inherited = &kept;
	keeper.log_fd = kept.fd[INLAY_KEPT_LOG] >= 0 ? kept.fd[INLAY_KEPT_LOG] : STDERR_FILENO;
	raise_limits();
	inlay_log_init("inlay", keeper.log_fd, INLAY_LOG_INFO, INLAY_LOG_TEXT);
	code = inlay_keeper_run(&keeper);
	inlay_kept_done(&kept);
	return code;
}

/* ---- the command line ---- */

static int set_rule(void *into, const char *value, const char **ret_why)
{
	return inlay_rules_add(&((struct inlay_attach_options *)into)->rules, value, ret_why);
}

static int set_rules_file(void *into, const char *value, const char **ret_why)
{
	static char why[512];
	int status = inlay_rules_add_file(&((struct inlay_attach_options *)into)->rules, value, why, sizeof(why));

	*ret_why = why;
	return status;
}

static const struct inlay_option attach_options[] = {
	{.name = "rule", .kind = INLAY_OPTION_CALL, .value = "RULE", .set = set_rule,
		.help = "\"local GLOB\" or \"remote GLOB\": who serves matching paths; the first match wins"},
	{.name = "rules-file", .kind = INLAY_OPTION_CALL, .value = "FILE", .set = set_rules_file,
		.help = "rules from a file, one a line, in place of this option"},
	{.name = "no-server-rules", .kind = INLAY_OPTION_FLAG, .help = "ignore the rules that the server suggests",
		.at = offsetof(struct inlay_attach_options, no_server_rules)},
	{.name = "ro", .kind = INLAY_OPTION_FLAG, .help = "read-only",
		.at = offsetof(struct inlay_attach_options, readonly)},
	{.name = "timeout", .kind = INLAY_OPTION_SECONDS, .value = "SECONDS", .max = 1000000,
		.help = "how long a request waits for a lost server before it fails; 0, the default: for ever",
		.at = offsetof(struct inlay_attach_options, timeout_ms)},
	{.name = "connections", .kind = INLAY_OPTION_NUMBER, .value = "N", .max = INLAY_LANES_MAX,
		.help = "connections to the server; 0, the default: one per core, at most 4",
		.at = offsetof(struct inlay_attach_options, connections)},
	{.name = "insecure", .kind = INLAY_OPTION_FLAG, .help = "allow plain TCP to another host: anyone between can read and change",
		.at = offsetof(struct inlay_attach_options, insecure)},
	{.name = "allow-other", .kind = INLAY_OPTION_FLAG, .help = "let other users in (always so for root)",
		.at = offsetof(struct inlay_attach_options, allow_other)},
	{.name = "no-guardian", .kind = INLAY_OPTION_FLAG, .help = "when the process that serves it is killed, the attachment is over",
		.at = offsetof(struct inlay_attach_options, no_guardian)},
	{.name = "foreground", .letter = 'f', .kind = INLAY_OPTION_FLAG, .help = "stay, and log to stderr",
		.at = offsetof(struct inlay_attach_options, foreground)},
	{.name = "log-file", .kind = INLAY_OPTION_TEXT, .value = "FILE", .help = "append log lines to FILE",
		.at = offsetof(struct inlay_attach_options, log_file)},
	{.name = NULL},
};

const struct inlay_command inlay_attach_command = {
	.name = "inlay attach",
	.operands = "SERVER[:PORT]/EXPORT DIR",
	.summary = "Sets a server's export into an existing directory, whose local files stay local",
	.details = "SERVER is a name, an address, or unix:SOCKET. Without a matching rule, what exists in DIR is local and\n"
		   "everything else is remote. Returns when DIR is usable.\n",
	.operands_min = 2,
	.operands_max = 2,
	.options = attach_options,
};

int inlay_attach_main(int argc, char **argv)
{
	struct inlay_attach_options o = {0};
	int first = inlay_options_parse(&inlay_attach_command, argc, argv, &o), code;

	if (first < 0)
		code = first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	else
		code = inlay_attach(argv[first], argv[first + 1], &o);
	inlay_rules_done(&o.rules);
	return code;
}

/*
 * inlayd, the server's program: start, listen, reload, drain. Everything it does for clients is in server/.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"
#include "base/status.h"
#include "cmd/inlayd_config.h"
#include "cmd/inlayd_host.h"
#include "cmd/say.h"
#include "net/addr.h"
#include "os/peer_identity.h"
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LISTENERS_MAX 64
#define DRAIN_MS 10000
#define LOOPS_MAX 16u
#define SPARES_MAX 64u
_Static_assert(INLAY_CALLS_MAX < SPARES_MAX, "some are left for the server itself");
#define SPIN_US 20u

struct daemon {
	struct inlayd_options options;
	struct inlayd_config config;
	struct inlay_crew *crew;
	struct inlay_server *server;
	int signals;
	int fds[LISTENERS_MAX];
	size_t nfds;
	uint32_t descriptors; /* that we may have; 0: unknown */
	char *sockets[LISTENERS_MAX]; /* paths of Unix sockets that are ours to remove */
	size_t nsockets;
	mode_t umask; /* as started; the stores set the process's own to 0, for each caller's counts */
};

/* ---- exports ---- */

static int serve(struct daemon *d, const struct inlayd_export *e)
{
	struct inlay_export_config config = {.name = e->name, .readonly = e->readonly,
		.identity_client = e->identity_client, .user = e->user};
	int fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	char *rules;

	if (fd < 0) {
		inlay_error("export '%s': %s: %s", e->name, e->dir, strerror(errno));
		return -INLAY_EIO;
	}
	r = inlay_posix_open(fd, e->readonly ? INLAY_POSIX_READONLY : 0, &config.store);
	close(fd);
	if (r < 0) {
		inlay_error("export '%s': %s: %s", e->name, e->dir, inlay_status_text(r));
		return r;
	}
	rules = inlayd_export_rules(e);
	config.rules = rules ? rules : "";
	r = inlay_server_export_add(d->server, &config);
	free(rules);
	if (r < 0) {
		config.store->ops->close(config.store);
		inlay_error("export '%s': %s", e->name, inlay_status_text(r));
		return r;
	}
	inlay_info("export '%s': %s%s, identity %s", e->name, e->dir, e->readonly ? ", read-only" : "",
		e->identity_client ? "of the client" : e->user ? e->identity : "of this process");
	return 0;
}

static const struct inlayd_export *find_same(const struct inlayd_config *c, const struct inlayd_export *e)
{
	for (size_t i = 0; i < c->nexports; i++)
		if (inlayd_export_same(&c->exports[i], e))
			return &c->exports[i];
	return NULL;
}

static void reload(struct daemon *d)
{
	struct inlayd_config fresh;
	char why[INLAYD_WHY];
	unsigned gone = 0, added = 0;

	inlayd_notify_reloading();
	if (inlayd_config_load(&d->options, &fresh, why) < 0) {
		inlay_error("reload: nothing is changed: %s", why);
		inlayd_notify("READY=1");
		return;
	}
	for (size_t i = 0; i < d->config.nexports; i++) {
		if (find_same(&fresh, &d->config.exports[i]))
			continue;
		gone += inlay_server_export_remove(d->server, d->config.exports[i].name) >= 0;
	}
	for (size_t i = 0; i < fresh.nexports; i++)
		if (!find_same(&d->config, &fresh.exports[i]))
			added += serve(d, &fresh.exports[i]) >= 0;
	inlayd_config_done(&d->config);
	d->config = fresh;
	inlay_info("reloaded: %u exports removed, %u added, %zu in all", gone, added, fresh.nexports);
	inlayd_notify("READY=1");
}

/* ---- listening ---- */

/* What the socket is really bound to: port 0 has become a number, a name an address. */
static void listening(int fd)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return;
	if (addr.ss_family == AF_UNIX)
		inlay_info("listening on unix:%s", ((struct sockaddr_un *)(void *)&addr)->sun_path);
	else if (getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		inlay_info(addr.ss_family == AF_INET6 ? "listening on [%s]:%s" : "listening on %s:%s", host, port);
}

static int listen_on(struct daemon *d, const char *text)
{
	struct inlay_addr a;
	const char *why;
	int r = inlay_addr_parse(text, &a, &why); /* checked before */
	mode_t stores = umask(d->umask);          /* no thread runs yet that would make files */

	if (r >= 0)
		r = inlay_addr_listen(&a, d->config.insecure, d->fds + d->nfds, LISTENERS_MAX - d->nfds);
	umask(stores);
	if (r == -INLAY_EPERM && !a.is_unix)
		inlay_error("listen %s: refused: clients beyond this host would send everything unencrypted and unauthenticated; "
			"use a loopback address or unix:PATH with a tunnel, or add --insecure on a network that you trust", text);
	else if (r < 0 && !d->config.listens_default)
		inlay_error("listen %s: %s%s", text, inlay_status_text(r),
			r == -INLAY_EBUSY || r == -INLAY_EEXIST ? ": is another server running there?" : "");
	if (r < 0)
		return r;
	if (a.is_unix && d->nsockets < LISTENERS_MAX)
		d->sockets[d->nsockets++] = strdup(a.host);
	for (int i = 0; i < r; i++)
		listening(d->fds[d->nfds + (size_t)i]);
	d->nfds += (size_t)r;
	return 0;
}

static int take_passed(struct daemon *d)
{
	d->nfds = inlayd_passed_sockets(d->fds, LISTENERS_MAX);
	for (size_t i = 0; i < d->nfds; i++) {
		if (!d->config.insecure && !inlay_addr_is_local(d->fds[i])) {
			inlay_error("a socket of the service manager can be reached from other hosts: refused without --insecure, "
				"for nothing is encrypted: let it listen on a loopback address or a Unix socket");
			return -INLAY_EPERM;
		}
		listening(d->fds[i]);
	}
	return 0;
}

static int listen_all(struct daemon *d)
{
	int r = take_passed(d), last = 0;

	if (r < 0 || d->nfds)
		return r;
	for (size_t i = 0; i < d->config.nlistens; i++) {
		r = listen_on(d, d->config.listens[i]);
		if (r < 0 && !d->config.listens_default)
			return r;
		if (r < 0)
			last = r;
	}
	if (d->nfds)
		return 0; /* of the two default addresses one is enough: a host may lack IPv6 */
	inlay_error("listen 127.0.0.1:%d: %s: is another server running there? Choose another address with --listen",
		INLAY_PORT_DEFAULT, inlay_status_text(last));
	return last;
}

static void stop_listening(struct daemon *d)
{
	for (size_t i = 0; i < d->nfds; i++)
		close(d->fds[i]);
	for (size_t i = 0; i < d->nsockets; i++) {
		if (d->sockets[i])
			unlink(d->sockets[i]);
		free(d->sockets[i]);
	}
	d->nfds = d->nsockets = 0;
}

static void accept_some(struct daemon *d, int listener)
{
	for (int i = 0; i < 64; i++) {
		char peer[INLAY_ADDR_TEXT];
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			inlay_server_accept(d->server, fd, inlay_addr_peer(fd, peer));
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			inlay_warning("cannot accept a connection: %s", strerror(errno));
			poll(NULL, 0, 100); /* the listener stays readable: don't spin on it */
		}
		return;
	}
}

/* ---- running ---- */

static int next_signal(struct daemon *d)
{
	struct signalfd_siginfo info;

	return read(d->signals, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static void run(struct daemon *d)
{
	struct pollfd p[LISTENERS_MAX + 1];

	for (;;) {
		int sig;

		p[0] = (struct pollfd){d->signals, POLLIN, 0};
		for (size_t i = 0; i < d->nfds; i++)
			p[i + 1] = (struct pollfd){d->fds[i], POLLIN, 0};
		if (poll(p, d->nfds + 1, -1) < 0)
			continue;
		sig = p[0].revents ? next_signal(d) : 0;
		if (sig == SIGTERM || sig == SIGINT)
			return;
		if (sig == SIGHUP)
			reload(d);
		for (size_t i = 0; i < d->nfds; i++)
			if (p[i + 1].revents)
				accept_some(d, d->fds[i]);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void drain(struct daemon *d)
{
	int64_t end = now_ms() + DRAIN_MS;
	struct inlay_server_counts counts;

	inlay_server_counts(d->server, &counts);
	inlay_info("stopping: %u connections, %u requests under way", counts.conns, counts.requests);
	inlayd_notify("STOPPING=1\nSTATUS=Finishing requests");
	stop_listening(d);
	inlay_server_drain(d->server);
	while (counts.conns && now_ms() < end) {
		struct pollfd p = {d->signals, POLLIN, 0};

		if (poll(&p, 1, 20) > 0) {
			int sig = next_signal(d);

			if (sig == SIGTERM || sig == SIGINT)
				break;
		}
		inlay_server_counts(d->server, &counts);
	}
	if (counts.conns)
		inlay_warning("stopped with %u connections open and %u requests under way", counts.conns, counts.requests);
	else
		inlay_info("stopped");
}

/* ---- starting ---- */

static int block_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signals < 0 ? inlay_status_from_errno(errno) : 0;
}

static void start_log(const struct inlayd_config *c)
{
	const char *const levels[] = {"error", "warning", "info", "debug"};
	enum inlay_log_level level = INLAY_LOG_INFO;

	for (unsigned i = 0; c->log_level && i < 4; i++)
		if (strcmp(c->log_level, levels[i]) == 0)
			level = (enum inlay_log_level)i;
	inlay_log_init("inlayd", STDERR_FILENO, level,
		c->log_format && strcmp(c->log_format, "json") == 0 ? INLAY_LOG_JSON : INLAY_LOG_TEXT);
}

static unsigned loops_wanted(const struct inlayd_config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->threads)
		return c->threads;
	return cores < 1 ? 1 : cores > (long)LOOPS_MAX ? LOOPS_MAX : (unsigned)cores;
}

static int make(struct daemon *d)
{
	struct inlay_crew_config crew = {.loops = loops_wanted(&d->config), .spares_max = SPARES_MAX, .spin_us = SPIN_US};
	struct inlay_server_config config = {.banner = "inlayd " INLAY_VERSION, .identify = inlay_peer_identity, .descriptors = d->descriptors,
		.calls_max = INLAY_CALLS_MAX};
	char state_dir[INLAYD_STATE_DIR_MAX];
	int r = inlayd_boot(&config.boot);

	if (r >= 0)
		r = inlayd_secret(d->config.state_dir, &config.secret);
	if (r == 0 && inlayd_state_dir(d->config.state_dir, state_dir, sizeof(state_dir)) == 0)
		config.state_dir = state_dir; /* without a lasting secret nothing in it would be known again */
	if (r >= 0)
		r = block_signals(d);
	if (r >= 0)
		r = inlay_crew_new(&crew, &d->crew);
	if (r >= 0)
		r = inlay_server_new(&config, d->crew, &d->server);
	if (r < 0)
		inlay_error("cannot start: %s", inlay_status_text(r));
	for (size_t i = 0; r >= 0 && i < d->config.nexports; i++)
		r = serve(d, &d->config.exports[i]);
	if (r >= 0)
		r = listen_all(d);
	if (r < 0)
		return r;
	r = inlay_crew_start(d->crew);
	if (r < 0)
		inlay_error("cannot start threads: %s", inlay_status_text(r));
	return r;
}

static int work(struct daemon *d)
{
	int r = make(d);

	if (r >= 0) {
		inlay_info("inlayd %s started, %u threads", INLAY_VERSION, inlay_crew_loops(d->crew));
		inlayd_notify("READY=1\nSTATUS=Serving");
		run(d);
		drain(d);
		inlay_crew_stop(d->crew);
	}
	stop_listening(d);
	inlay_server_free(d->server);
	if (d->crew)
		inlay_crew_free(d->crew);
	return r < 0 ? INLAY_EXIT_FAILED : INLAY_EXIT_OK;
}

static void say_checked(const struct inlayd_config *c)
{
	for (size_t i = 0; i < c->nexports; i++) {
		const struct inlayd_export *e = &c->exports[i];

		printf("export %s: %s, %s, identity %s, %zu rules\n", e->name, e->dir, e->readonly ? "read-only" : "read-write",
			e->identity_client ? "client" : e->user ? e->identity : "own", e->rules.count);
	}
	printf("configuration is good\n");
}

int main(int argc, char **argv)
{
	static struct daemon d;
	char why[INLAYD_WHY];
	int r;

	inlay_say_program("inlayd");
	r = inlay_options_parse(&inlayd_command, argc, argv, &d.options);
	if (r < 0)
		return r == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	r = inlayd_config_load(&d.options, &d.config, why);
	if (r < 0) {
		inlay_say("%s", why);
		r = r == -INLAY_EINVAL && !d.options.check ? INLAY_EXIT_USAGE : INLAY_EXIT_FAILED;
	} else if (d.options.check) {
		say_checked(&d.config);
		r = INLAY_EXIT_OK;
	} else {
		start_log(&d.config);
		d.descriptors = inlayd_raise_limits();
		umask(d.umask = umask(0)); /* there is no other way to ask */
		r = work(&d);
	}
	inlayd_config_done(&d.config);
	free(d.options.exports.item);
	free(d.options.listens.item);
	return r;
}

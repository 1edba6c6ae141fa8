/*
 * An attachment: sides, redirector and filter put together, and what people ask about it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/attachment.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/guardian.h"
#include "cmd/handover.h"
#include "cmd/link.h"
#include "cmd/local_side.h"
#include "cmd/mounts.h"
#include "cmd/parts.h"
#include "cmd/peer.h"
#include "cmd/pictures.h"
#include "cmd/statedir.h"
#include "intercept/fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUARDIAN_AGAIN_MS 5000 /* until it is tried again to start one */

struct inlay_attachment {
	char source[512], dir[4096];
	bool readonly;
	struct inlay_crew *crew;
	struct inlay_redirect redirect;
	struct inlay_link *link;
	struct inlay_local_side *local;
	struct inlay_fuse *fuse;
	int dir_fd;       /* the underlying directory */
	int over_fd, restart_fd;
	int state_fd;     /* holds the local side's state directory; -1: it has none */
	int log_fd;       /* the caller's */
	bool mounted;
	bool running;     /* the crew */
	uint64_t start_ms;
	struct inlay_handover handover; /* estate NULL: there will be no successor */
	int guardian;     /* the socket to it, -1: none; the keeper's thread alone changes it */
	_Atomic bool dismissed; /* the guardian is told to go */
	uint64_t guardian_due_ms; /* inlay_clock_ms: when to try again to start one; UINT64_MAX: there is one, or shall be none */
	char guarded_why[128];
	char program[PATH_MAX]; /* what a successor runs: by its path, so that it is the new one when that was replaced; "": unknown */
};

static void over(void *arg)
{
	struct inlay_attachment *a = arg;

	if (eventfd_write(a->over_fd, 1) < 0)
		inlay_error("eventfd: %s", strerror(errno));
}

static int local_fd(void *arg, uint64_t handle)
{
	return inlay_local_side_fd(((struct inlay_attachment *)arg)->local, handle);
}

/* ---- opening ---- */

static bool is_asked(void *arg, uint64_t origin)
{
	return inlay_fuse_is_asked(((struct inlay_attachment *)arg)->fuse, origin);
}

/* host: who we are, for the server's logs. */
static struct inlay_link_config link_config(struct inlay_attachment *a, const struct inlay_attachment_config *config, char host[256])
{
	char name[200] = "";

	(void)gethostname(name, sizeof name - 1);
	snprintf(host, 256, "%s (inlay %s, pid %d)", name, INLAY_VERSION, (int)getpid());
	return (struct inlay_link_config){.addr = config->remote.addr, .export_name = config->remote.export_name, .host = host,
	                                  .insecure = config->insecure, .timeout_ms = config->timeout_ms, .crew = a->crew,
	                                  .redirect = &a->redirect, .estate = a->handover.estate, .is_asked = is_asked, .arg = a};
}

static int open_local_side(struct inlay_attachment *a, bool inherited)
{
	struct inlay_local_config local = {.dir_fd = a->dir_fd, .readonly = a->readonly, .crew = a->crew, .redirect = &a->redirect,
	                                   .past = a->handover.estate ? &a->handover.papers->local : NULL, .inherited = inherited,
	                                   .is_asked = is_asked, .arg = a};

	return inlay_local_side_open(&local, &a->local);
}

static int open_sides(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	char host[256];
	struct inlay_link_config link = link_config(a, config, host);
	int err = inlay_link_open(&link, why, why_len, &a->link);

	if (err < 0)
		return err;
	a->dir_fd = open(config->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->dir_fd < 0) {
		err = inlay_status_from_errno(errno);
		snprintf(why, why_len, "%s: %s: choose a directory that you may read", config->dir, inlay_status_text(err));
		return err;
	}
	err = open_local_side(a, false);
	if (err < 0)
		snprintf(why, why_len, "%s: the local side does not open: %s", config->dir, inlay_status_text(err));
	return err;
}

static int join_sides(struct inlay_attachment *a)
{
	const struct inlay_node_id *roots[INLAY_SIDES] = {
		[INLAY_LOCAL] = inlay_local_side_root(a->local),
		[INLAY_REMOTE] = &inlay_link_client(a->link)->root,
	};
	struct inlay_hash_key seed;

	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return inlay_status_from_errno(errno);
	a->redirect.port[INLAY_LOCAL] = inlay_local_side_port(a->local);
	a->redirect.port[INLAY_REMOTE] = inlay_link_port(a->link);
	a->redirect.boot = inlay_link_client(a->link)->boot;
	a->redirect.repost = inlay_fuse_repost;
	a->redirect.estate = a->handover.estate;
	return inlay_nodes_new(&seed, roots, &a->redirect.nodes);
}

/* The number by which the kernel lists this connection: the device's minor number. */
static unsigned connection_number(const char *dir)
{
	const struct inlay_mount *m;
	struct inlay_mounts mounts;
	unsigned number = 0;

	if (inlay_mounts_read("self", &mounts) < 0)
		return 0;
	m = inlay_mounts_at(&mounts, dir);
	if (m && inlay_mount_is_ours(m))
		number = m->minor;
	inlay_mounts_free(&mounts);
	return number;
}

static struct inlay_fuse_config filter_config(struct inlay_attachment *a)
{
	return (struct inlay_fuse_config){.redirect = &a->redirect, .crew = a->crew, .readonly = a->readonly,
	                                  .connection = connection_number(a->dir), .local_fd = local_fd, .over = over, .arg = a};
}

static int open_filter(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	struct inlay_fuse_mount_options mount = {.dir = a->dir, .source = a->source, .readonly = config->readonly,
	                                         .allow_other = config->allow_other || geteuid() == 0};
	struct inlay_fuse_config fuse;
	int fd = inlay_fuse_mount(&mount, why, why_len), err;

	if (fd < 0)
		return fd;
	a->mounted = true;
	fuse = filter_config(a);
	err = inlay_fuse_new(&fuse, fd, &a->fuse);
	if (err < 0)
		snprintf(why, why_len, "%s: the kernel's FUSE does not get along: %s: Linux 5.4 or newer is needed", a->dir,
		         inlay_status_text(err));
	return err;
}

/* ---- what a successor needs ---- */

static void unguarded(struct inlay_attachment *a, const char *why)
{
	snprintf(a->guarded_why, sizeof a->guarded_why, "%s", why);
	a->redirect.estate = NULL;
}

/* Before the sides are opened: they write to it. */
static void prepare_handover(struct inlay_attachment *a, const struct inlay_attachment_config *config)
{
	int err;

	if (!config->guarded || geteuid() != 0) {
		unguarded(a, config->guarded ? "it needs root" : "it was attached so");
		return;
	}
	err = inlay_handover_new(&a->handover);
	if (err == 0)
		a->state_fd = err = inlay_statedir_make(a->handover.papers->local.state_dir, sizeof a->handover.papers->local.state_dir);
	if (err < 0) {
		inlay_handover_close(&a->handover);
		unguarded(a, inlay_status_text(err));
	}
}

/* Borrowed descriptors: nothing in it is to be closed. */
static void list_kept(const struct inlay_attachment *a, struct inlay_kept *ret)
{
	inlay_kept_init(ret);
	ret->fd[INLAY_KEPT_ESTATE] = a->handover.fd;
	ret->fd[INLAY_KEPT_DIR] = a->dir_fd;
	ret->fd[INLAY_KEPT_STATE] = a->state_fd;
	ret->fd[INLAY_KEPT_LOG] = a->log_fd;
	(void)inlay_fuse_fds(a->fuse, ret->fd + INLAY_KEPT_FUSE, INLAY_LANES_MAX);
	memcpy(ret->program, a->program, sizeof ret->program);
}

/* What a guardian needs is kept also when none can be started: for want of memory or descriptors, which passes. */
static void start_guardian(struct inlay_attachment *a)
{
	struct inlay_kept kept;
	int sock;

	list_kept(a, &kept);
	sock = inlay_guardian_start(&kept);
	a->guardian = sock < 0 ? -1 : sock;
	a->guardian_due_ms = sock < 0 ? inlay_clock_ms() + GUARDIAN_AGAIN_MS : UINT64_MAX;
	if (sock < 0)
		snprintf(a->guarded_why, sizeof a->guarded_why, "%s: it is tried again", inlay_status_text(sock));
}

/* Once it is mounted. */
static void finish_handover(struct inlay_attachment *a, const struct inlay_attachment_config *config)
{
	ssize_t n;
	int err;

	if (!a->handover.estate)
		return;
	n = readlink("/proc/self/exe", a->program, sizeof a->program - 1);
	a->program[n > 0 ? n : 0] = '\0';
	inlay_fuse_leave(a->fuse, &a->handover.papers->fuse);
	a->handover.papers->start_ms = a->start_ms;
	err = inlay_handover_write(&a->handover, config, inlay_crew_loops(a->crew));
	if (!inlay_fuse_can_inherit(a->fuse))
		unguarded(a, "this kernel can't ask again for what a process left");
	else if (err < 0)
		unguarded(a, inlay_status_text(err));
	else
		start_guardian(a);
}

int inlay_attachment_guardian_fd(const struct inlay_attachment *a)
{
	return a->guardian;
}

uint64_t inlay_attachment_guardian_due(const struct inlay_attachment *a)
{
	return a->guardian_due_ms;
}

void inlay_attachment_guard_again(struct inlay_attachment *a)
{
	bool died = a->guardian >= 0;

	if (died)
		close(a->guardian);
	a->guardian = -1;
	a->guardian_due_ms = UINT64_MAX;
	if (atomic_load(&a->dismissed))
		return;
	if (died)
		inlay_warning("%s: the guardian died: another one is started", a->dir);
	start_guardian(a);
	if (a->guardian >= 0)
		inlay_guardian_ready(a->guardian);
	else if (died)
		inlay_warning("%s: no guardian: %s", a->dir, a->guarded_why);
}

int inlay_attachment_restart(struct inlay_attachment *a)
{
	if (a->guardian < 0)
		return -INLAY_ENOTSUP;
	return eventfd_write(a->restart_fd, 1) < 0 ? inlay_status_from_errno(errno) : 0;
}

int inlay_attachment_restart_fd(const struct inlay_attachment *a)
{
	return a->restart_fd;
}

/* ---- opening it all ---- */

static struct inlay_attachment *attachment_new(const struct inlay_attachment_config *config)
{
	struct inlay_attachment *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	snprintf(a->source, sizeof a->source, "%s", config->source);
	snprintf(a->dir, sizeof a->dir, "%s", config->dir);
	a->readonly = config->readonly;
	a->dir_fd = a->state_fd = a->guardian = a->handover.fd = -1;
	a->guardian_due_ms = UINT64_MAX;
	a->log_fd = config->log_fd;
	a->start_ms = inlay_clock_ms();
	a->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->restart_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return a;
}

static int begin(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	int err = -INLAY_ENOMEM;

	snprintf(why, why_len, "out of memory");
	if (a->over_fd >= 0 && a->restart_fd >= 0 && inlay_parts_crew(config->connections, &a->crew) == 0)
		err = inlay_redirect_init(&a->redirect, inlay_crew_loops(a->crew));
	a->redirect.readonly = config->readonly;
	if (err == 0)
		err = inlay_parts_rules(config->rules, &a->redirect.judge, why, why_len);
	return err;
}

int inlay_attachment_open(const struct inlay_attachment_config *config, char *why, size_t why_len,
                          struct inlay_attachment **ret)
{
	struct inlay_attachment *a = attachment_new(config);
	int err;

	snprintf(why, why_len, "out of memory");
	if (!a)
		return -INLAY_ENOMEM;
	err = begin(a, config, why, why_len);
	if (err == 0)
		prepare_handover(a, config);
	if (err == 0)
		err = open_sides(a, config, why, why_len);
	if (err == 0 && config->server_rules)
		inlay_parts_server_rules(a->redirect.judge, inlay_link_client(a->link));
	if (err == 0)
		err = join_sides(a);
	if (err == 0)
		err = open_filter(a, config, why, why_len);
	if (err < 0) {
		inlay_attachment_close(a);
		return err;
	}
	inlay_nodes_keep(a->redirect.nodes, a->redirect.estate);
	finish_handover(a, config);
	*ret = a;
	return 0;
}

/* ---- taking over ---- */

static int lane_of(void *arg, uint64_t origin)
{
	const struct inlay_attachment *a = arg;

	return inlay_lane_of_origin(inlay_estate_lanes(a->handover.estate), inlay_crew_loops(a->crew), origin);
}

static int inherit_filter(struct inlay_attachment *a, struct inlay_kept *kept)
{
	struct inlay_fuse_config fuse = filter_config(a);
	int fds[INLAY_LANES_MAX];
	unsigned count = 0;

	for (; count < INLAY_LANES_MAX && kept->fd[INLAY_KEPT_FUSE + count] >= 0; count++) {
		fds[count] = kept->fd[INLAY_KEPT_FUSE + count];
		kept->fd[INLAY_KEPT_FUSE + count] = -1;
	}
	a->mounted = true;
	return inlay_fuse_inherit(&fuse, &a->handover.papers->fuse, fds, count, &a->fuse);
}

static int inherit_sides(struct inlay_attachment *a, const struct inlay_attachment_config *config)
{
	char host[256];
	struct inlay_link_config link = link_config(a, config, host);
	int err = inlay_link_inherit(&link, &a->link);

	if (err == 0)
		err = open_local_side(a, true);
	if (err == 0 && config->server_rules)
		inlay_parts_server_rules(a->redirect.judge, inlay_link_client(a->link));
	if (err == 0)
		err = join_sides(a);
	return err;
}

static int inherit(struct inlay_attachment *a, const struct inlay_attachment_config *config, struct inlay_kept *kept)
{
	unsigned stale;
	int err = inherit_filter(a, kept);

	if (err == 0)
		err = inherit_sides(a, config);
	if (err == 0)
		err = inlay_estate_restore(a->handover.estate, &a->redirect, is_asked, a);
	if (err < 0)
		return err;
	stale = inlay_local_side_reclaim(a->local);
	if (stale)
		inlay_warning("%s: %u local files could not be opened again: programs get ESTALE from them", a->dir, stale);
	inlay_fuse_route(a->fuse, lane_of, a);
	a->start_ms = a->handover.papers->start_ms;
	a->handover.papers->takeovers++;
	return 0;
}

static int take_kept(struct inlay_kept *kept, enum inlay_kept_place place)
{
	int fd = kept->fd[place];

	kept->fd[place] = -1;
	return fd;
}

/* All stays as it is, for another try of the guardian's. */
static void leave_it(struct inlay_attachment *a)
{
	a->mounted = false;
	close(a->guardian);
	if (a->state_fd >= 0)
		close(a->state_fd);
	a->guardian = a->state_fd = -1;
}

int inlay_attachment_inherit(struct inlay_kept *kept, int guardian, char *why, size_t why_len, struct inlay_attachment **ret)
{
	struct inlay_attachment_config config = {0};
	struct inlay_handover h;
	struct inlay_attachment *a = NULL;
	const char **words = NULL, *name_why;
	int err = inlay_handover_open(take_kept(kept, INLAY_KEPT_ESTATE), &h);

	if (err == 0)
		err = inlay_handover_read(&h, &config, &words);
	if (err == 0)
		err = inlay_remote_name_parse(config.source, &config.remote, &name_why);
	config.log_fd = kept->fd[INLAY_KEPT_LOG];
	if (err == 0 && !(a = attachment_new(&config)))
		err = -INLAY_ENOMEM;
	if (!a) {
		inlay_handover_close(&h);
		close(guardian);
	} else {
		a->handover = h;
		a->guardian = guardian;
		memcpy(a->program, kept->program, sizeof a->program);
		a->dir_fd = take_kept(kept, INLAY_KEPT_DIR);
		a->state_fd = take_kept(kept, INLAY_KEPT_STATE);
		err = begin(a, &config, why, why_len);
		if (err == 0)
			err = inherit(a, &config, kept);
	}
	free(words);
	if (err < 0) {
		snprintf(why, why_len, "can't take over: %s", inlay_status_text(err));
		if (a && err != -INLAY_ENOTCONN)
			leave_it(a);
		inlay_attachment_close(a);
		return err;
	}
	*ret = a;
	return 0;
}

int inlay_attachment_start(struct inlay_attachment *a)
{
	int err = inlay_fuse_start(a->fuse);

	if (err < 0)
		return err;
	inlay_link_start(a->link);
	err = inlay_crew_start(a->crew);
	a->running = err == 0;
	if (a->guardian >= 0)
		inlay_guardian_ready(a->guardian);
	return err;
}

int inlay_attachment_over_fd(const struct inlay_attachment *a)
{
	return a->over_fd;
}

const char *inlay_attachment_dir(const struct inlay_attachment *a)
{
	return a->dir;
}

void inlay_attachment_close(struct inlay_attachment *a)
{
	if (!a)
		return;
	/* Lazily: whoever still stands in it must not keep us. The kernel's last requests then fail, as they must. */
	if (a->mounted && !(a->fuse && inlay_fuse_is_over(a->fuse)))
		(void)inlay_fuse_unmount(a->dir, true);
	if (a->running) {
		/* What is under way ends now, each on its own thread: nothing may refer to it when it is freed below. */
		inlay_link_stop(a->link);
		inlay_redirect_stop_waiting(&a->redirect);
		inlay_crew_stop(a->crew);
		if (inlay_crew_is_stuck(a->crew)) {
			inlay_error("%s: a local file does not answer: left as it is", a->dir);
			return; /* its thread may still come back and use all this; the process ends soon */
		}
	}
	inlay_fuse_free(a->fuse);
	inlay_link_free(a->link);
	inlay_redirect_done(&a->redirect);
	inlay_local_side_free(a->local);
	if (a->state_fd >= 0) {
		inlay_statedir_remove(a->handover.papers->local.state_dir);
		close(a->state_fd);
	}
	inlay_handover_close(&a->handover);
	if (a->guardian >= 0) {
		inlay_guardian_dismiss(a->guardian);
		close(a->guardian);
	}
	if (a->crew)
		inlay_crew_free(a->crew);
	if (a->dir_fd >= 0)
		close(a->dir_fd);
	if (a->over_fd >= 0)
		close(a->over_fd);
	if (a->restart_fd >= 0)
		close(a->restart_fd);
	free(a);
}

int inlay_attachment_detach(struct inlay_attachment *a, bool force)
{
	if (!force)
		return inlay_fuse_unmount(a->dir, false);
	/* Nobody is to come after us. */
	if (a->guardian >= 0 && !atomic_exchange(&a->dismissed, true))
		inlay_guardian_dismiss(a->guardian);
	inlay_fuse_abort(a->fuse);
	(void)inlay_fuse_unmount(a->dir, true);
	return 0;
}

/* ---- for people ---- */

int inlay_attachment_status(struct inlay_attachment *a, struct inlay_attachment_status *ret)
{
	struct inlay_pictures *p = inlay_pictures_take(a->crew, a->link);
	bool readonly_export = inlay_link_client(a->link)->export_flags & INLAY_EXPORT_READONLY;
	struct inlay_attachment_status s = {.pid = (uint64_t)getpid(), .uid = geteuid(),
	                                    .uptime_ms = inlay_clock_ms() - a->start_ms,
	                                    .readonly = a->readonly || readonly_export,
	                                    .passthrough = inlay_fuse_passthrough(a->fuse),
	                                    .guarded = a->guardian >= 0,
	                                    .takeovers = a->handover.papers ? a->handover.papers->takeovers : 0,
	                                    .nodes = inlay_nodes_count(a->redirect.nodes),
	                                    .files = inlay_table_count(a->redirect.files)};
	int err;

	if (!p)
		return -INLAY_ENOMEM;
	snprintf(s.source, sizeof s.source, "%s", a->source);
	snprintf(s.dir, sizeof s.dir, "%s", a->dir);
	snprintf(s.server, sizeof s.server, "%s", inlay_link_client(a->link)->server);
	snprintf(s.transport, sizeof s.transport, "/dev/fuse");
	snprintf(s.passthrough_why, sizeof s.passthrough_why, "%s", inlay_fuse_passthrough_why(a->fuse));
	snprintf(s.guarded_why, sizeof s.guarded_why, "%s", s.guarded ? "" : a->guarded_why);
	inlay_parts_health(p, &s);
	inlay_pictures_drop(p);
	err = inlay_parts_operations(&a->redirect, &s);
	if (err == 0)
		*ret = s;
	return err;
}

static bool exists_locally(const struct inlay_attachment *a, const char *path, bool *ret_is_dir)
{
	struct stat st;

	*ret_is_dir = false;
	if (fstatat(a->dir_fd, *path ? path : ".", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret_is_dir = S_ISDIR(st.st_mode);
	return true;
}

static int remote_is_dir(struct inlay_attachment *a, const char *path, bool *ret)
{
	return inlay_remote_is_dir(a->crew, a->link, (uint32_t)getuid(), (uint32_t)getgid(), path, ret);
}

/* The deepest directory above `path` that exists locally or is a remote one decides for names that don't exist locally. */
static void explain_unruled(struct inlay_attachment *a, const char *path, struct inlay_explanation *e)
{
	bool is_dir, local = exists_locally(a, path, &is_dir), remote_dir;
	char parent[4096];

	e->side = local ? INLAY_LOCAL : INLAY_REMOTE;
	if (local && is_dir && remote_is_dir(a, path, &remote_dir) == 0 && remote_dir) {
		e->merged = true;
		snprintf(e->why, sizeof e->why, "no rule; a directory on both sides: listings show both, new names go to the server");
	} else if (local) {
		snprintf(e->why, sizeof e->why, "no rule; exists in the local directory");
	} else {
		snprintf(e->why, sizeof e->why, "no rule; not in the local directory");
		snprintf(parent, sizeof parent, "%s", path);
		char *slash = strrchr(parent, '/');

		*(slash ? slash : parent) = '\0';
		if (*parent && exists_locally(a, parent, &is_dir) && is_dir &&
		    remote_is_dir(a, parent, &remote_dir) == 0 && !remote_dir) {
			e->side = INLAY_LOCAL;
			snprintf(e->why, sizeof e->why, "no rule; its directory exists on the local side only");
		}
	}
}

int inlay_attachment_explain(struct inlay_attachment *a, const char *path, struct inlay_explanation *ret)
{
	struct inlay_explanation e = {0};
	const struct inlay_rule *rule;
	bool is_dir, remote_dir = false;

	if (!exists_locally(a, path, &is_dir) && inlay_judge_has_rules(a->redirect.judge) &&
	    remote_is_dir(a, path, &remote_dir) == 0)
		is_dir = remote_dir;
	rule = *path ? inlay_redirect_rule(&a->redirect, path, is_dir) : NULL;
	if (rule) {
		e.side = rule->side;
		snprintf(e.why, sizeof e.why, "rule %u: %s", rule->number, rule->text);
	} else {
		explain_unruled(a, path, &e);
	}
	*ret = e;
	return 0;
}

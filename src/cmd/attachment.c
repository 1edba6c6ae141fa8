/*
 * An attachment: sides, redirector and filter put together, and what people ask about it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/attachment.h"

#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/link.h"
#include "cmd/local_side.h"
#include "cmd/mounts.h"
#include "cmd/parts.h"
#include "cmd/peer.h"
#include "cmd/pictures.h"
#include "intercept/fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct inlay_attachment {
	char source[512], dir[4096];
	bool readonly;
	struct inlay_crew *crew;
	struct inlay_redirect redirect;
	struct inlay_link *link;
	struct inlay_local_side *local;
	struct inlay_fuse *fuse;
	int dir_fd;       /* the underlying directory */
	int over_fd;
	bool mounted;
	bool running;     /* the crew */
	uint64_t start_ms;
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

static int open_sides(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	struct inlay_link_config link = {.addr = config->remote.addr, .export_name = config->remote.export_name,
	                                 .insecure = config->insecure, .timeout_ms = config->timeout_ms, .crew = a->crew,
	                                 .redirect = &a->redirect};
	char name[200] = "", host[256];
	int err;

	(void)gethostname(name, sizeof name - 1);
	snprintf(host, sizeof host, "%s (inlay %s, pid %d)", name, INLAY_VERSION, (int)getpid());
	link.host = host;
	err = inlay_link_open(&link, why, why_len, &a->link);
	if (err < 0)
		return err;
	a->dir_fd = open(config->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->dir_fd < 0) {
		err = inlay_status_from_errno(errno);
		snprintf(why, why_len, "%s: %s: choose a directory that you may read", config->dir, inlay_status_text(err));
		return err;
	}
	err = inlay_local_side_open(a->dir_fd, config->readonly, a->crew, &a->redirect, &a->local);
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

static int open_filter(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	struct inlay_fuse_mount_options mount = {.dir = a->dir, .source = a->source, .readonly = config->readonly,
	                                         .allow_other = config->allow_other || geteuid() == 0};
	struct inlay_fuse_config fuse = {.redirect = &a->redirect, .crew = a->crew, .readonly = config->readonly,
	                                 .local_fd = local_fd, .over = over, .arg = a};
	int fd = inlay_fuse_mount(&mount, why, why_len), err;

	if (fd < 0)
		return fd;
	a->mounted = true;
	fuse.connection = connection_number(a->dir);
	err = inlay_fuse_new(&fuse, fd, &a->fuse);
	if (err < 0)
		snprintf(why, why_len, "%s: the kernel's FUSE does not get along: %s: Linux 5.4 or newer is needed", a->dir,
		         inlay_status_text(err));
	return err;
}

int inlay_attachment_open(const struct inlay_attachment_config *config, char *why, size_t why_len,
                          struct inlay_attachment **ret)
{
	struct inlay_attachment *a = calloc(1, sizeof *a);
	int err = -INLAY_ENOMEM;

	snprintf(why, why_len, "out of memory");
	if (!a)
		return err;
	snprintf(a->source, sizeof a->source, "%s", config->source);
	snprintf(a->dir, sizeof a->dir, "%s", config->dir);
	a->readonly = config->readonly;
	a->dir_fd = -1;
	a->start_ms = inlay_clock_ms();
	a->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->over_fd >= 0 && inlay_parts_crew(config->connections, &a->crew) == 0)
		err = inlay_redirect_init(&a->redirect, inlay_crew_loops(a->crew));
	a->redirect.readonly = config->readonly;
	if (err == 0)
		err = inlay_parts_rules(config->rules, &a->redirect.judge, why, why_len);
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
	return err;
}

int inlay_attachment_over_fd(const struct inlay_attachment *a)
{
	return a->over_fd;
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
	if (a->crew)
		inlay_crew_free(a->crew);
	if (a->dir_fd >= 0)
		close(a->dir_fd);
	if (a->over_fd >= 0)
		close(a->over_fd);
	free(a);
}

int inlay_attachment_detach(struct inlay_attachment *a, bool force)
{
	if (!force)
		return inlay_fuse_unmount(a->dir, false);
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

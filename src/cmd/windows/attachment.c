/*
 * An attachment on Windows: server's side, redirector, filter and placeholders put together, and what people ask about it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/attachment.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/link.h"
#include "cmd/parts.h"
#include "cmd/windows/directory.h"
#include "cmd/windows/driver.h"
#include "cmd/windows/placeholders.h"
#include "cmd/windows/privileges.h"
#include "intercept/winfilter/names.h"
#include "intercept/winfilter/winfilter.h"
#include "net/windows/wait.h"
#include "os/random.h"
#include "os/self.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY 1u             /* the filter directory's number: each attachment has a handle of its own at the driver */
#define UMASK 022u
#define RING_TIMEOUT_MORE_MS 5000u /* beyond --timeout: the redirector's answer comes first */

struct inlay_attachment {
	char source[512];
	bool readonly;
	unsigned timeout_ms;
	struct inlay_directory directory;
	struct inlay_driver driver;
	struct inlay_placeholders placeholders;
	struct inlay_crew *crew;
	struct inlay_redirect redirect;
	struct inlay_side_port nothing; /* the local side: NTFS's own */
	struct inlay_link *link;
	struct inlay_winfilter *filter;
	struct inlay_wait *requests;    /* the driver's event, on home's loop */
	struct inlay_task begin;
	struct inlay_cred cred;
	HANDLE over;                    /* event: detached, or it can't go on */
	uint64_t start_ms;
	bool running;                   /* the crew */
	pthread_mutex_t lock;           /* guards down to detached: one detaches at a time */
	bool added, was_added;          /* the driver knows the directory; has ever known it */
	bool detached;
	struct inlay_clearing clearing; /* of the attempt under way */
};

/* ---- opening ---- */

static void local_submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct inlay_reply reply = {.status = -INLAY_ENOSYS};

	(void)port, (void)lane;
	call->done(call, &reply);
}

static int open_link(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	struct inlay_link_config link = {.addr = config->remote.addr, .export_name = config->remote.export_name,
	                                 .insecure = config->insecure, .timeout_ms = config->timeout_ms, .crew = a->crew,
	                                 .redirect = &a->redirect};
	char name[200], host[256];

	inlay_self_host(name, sizeof(name));
	snprintf(host, sizeof(host), "%s (inlay %s, pid %lu)", name, INLAY_VERSION, GetCurrentProcessId());
	link.host = host;
	return inlay_link_open(&link, why, why_len, &a->link);
}

static int open_redirect(struct inlay_attachment *a)
{
	const struct inlay_node_id *roots[INLAY_SIDES] = {[INLAY_REMOTE] = &inlay_link_client(a->link)->root};
	struct inlay_hash_key seed;
	int status = inlay_random(&seed, sizeof(seed));

	if (status < 0)
		return status;
	a->nothing = (struct inlay_side_port){.submit = local_submit};
	a->redirect.port[INLAY_LOCAL] = &a->nothing;
	a->redirect.port[INLAY_REMOTE] = inlay_link_port(a->link);
	a->redirect.repost = inlay_winfilter_repost;
	return inlay_nodes_new(&seed, roots, &a->redirect.nodes);
}

/*
 * What an attachment left whose process died: of the same server and directory it is taken over as it stands, of another it is
 * cleared away first.
 */
static int take_over(struct inlay_attachment *a, char *why, size_t why_len)
{
	struct inlay_uuid left;
	int found = inlay_placeholders_root_mark(&a->placeholders, &left), status = 0;

	if (found > 0 && memcmp(&left, &a->placeholders.attachment, sizeof(left)) != 0) {
		inlay_info("%s: removing what another attachment left", a->directory.name);
		status = inlay_placeholders_clear(&a->placeholders, &a->clearing);
		if (status < 0)
			snprintf(why, why_len, "what an earlier attachment left can't be removed: %s\\%s: %s", a->directory.name,
				a->clearing.where, inlay_status_text(status));
	}
	if (status < 0)
		return status;
	status = inlay_placeholders_set_root_mark(&a->placeholders, true);
	if (status < 0)
		snprintf(why, why_len, "%s: %s: name a directory on an NTFS volume that you may change",
			status == -INLAY_ENOTSUP ? "no extended attributes here" : inlay_status_text(status), a->directory.name);
	return status;
}

/* The same for the same export and directory, whenever: what was left of it is known again. */
static void make_identity(struct inlay_attachment *a, const struct inlay_attachment_config *config)
{
	static const struct inlay_hash_key key[2] = {{{0x1a1a, 1}}, {{0x1a1a, 2}}};
	char text[8192];
	int len = snprintf(text, sizeof(text), "%s\n%s\n", config->remote.export_name, a->directory.name);
	size_t used = len < (int)sizeof(text) ? (size_t)len : sizeof(text);

	for (int i = 0; i < 2; i++) {
		uint64_t half = inlay_siphash(&key[i], text, used) ^
		                inlay_siphash(&key[i], &inlay_link_client(a->link)->root, sizeof(struct inlay_node_id));

		memcpy(a->placeholders.attachment.bytes + 8 * i, &half, sizeof(half));
	}
	a->placeholders.root = a->directory.handle;
}

static void wake_driver(void *arg)
{
	inlay_driver_wake(&((struct inlay_attachment *)arg)->driver);
}

static void broken(void *arg, int status)
{
	struct inlay_attachment *a = arg;

	inlay_error("%s: the driver does not keep to its rules (%s): leaving", a->directory.name, inlay_status_text(status));
	SetEvent(a->over);
}

static int open_filter(struct inlay_attachment *a, const struct inlay_attachment_config *config)
{
	struct inlay_loop *loops[INLAY_LANES_MAX];
	bool readonly_export = inlay_link_client(a->link)->export_flags & INLAY_EXPORT_READONLY;
	struct inlay_winfilter_config filter = {.redirect = &a->redirect, .loop = loops, .section = a->driver.view,
	                                        .geometry = a->driver.geometry, .directory = DIRECTORY,
	                                        .readonly = config->readonly || readonly_export,
	                                        .attachment = a->placeholders.attachment,
	                                        .placeholders = &inlay_placeholders_ops, .placeholders_arg = &a->placeholders,
	                                        .wake_driver = wake_driver, .broken = broken, .arg = a, .cred = a->cred,
	                                        .security = config->server_permissions, .umask = UMASK};

	for (unsigned i = 0; i < inlay_crew_loops(a->crew); i++)
		loops[i] = inlay_crew_loop(a->crew, i);
	return inlay_winfilter_new(&filter, &a->filter);
}

static int open_server(struct inlay_attachment *a, const struct inlay_attachment_config *config, char *why, size_t why_len)
{
	int status = inlay_parts_crew(config->connections, &a->crew);

	if (status == 0)
		status = inlay_redirect_init(&a->redirect, inlay_crew_loops(a->crew));
	a->redirect.readonly = config->readonly;
	if (status == 0)
		status = inlay_parts_rules(config->rules, &a->redirect.judge, why, why_len);
	if (status == 0)
		status = open_link(a, config, why, why_len);
	if (status == 0 && config->server_rules)
		inlay_parts_server_rules(a->redirect.judge, inlay_link_client(a->link));
	if (status == 0)
		status = open_redirect(a);
	return status;
}

int inlay_attachment_open(const struct inlay_attachment_config *config, char *why, size_t why_len,
                          struct inlay_attachment **ret)
{
	struct inlay_attachment *a = calloc(1, sizeof(*a));
	int status;

	snprintf(why, why_len, "out of memory");
	if (!a)
		return -INLAY_ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	snprintf(a->source, sizeof(a->source), "%s", config->source);
	a->readonly = config->readonly;
	a->timeout_ms = config->timeout_ms;
	a->cred = (struct inlay_cred){.uid = config->uid, .gid = config->gid};
	a->start_ms = inlay_clock_ms();
	a->over = CreateEventW(NULL, TRUE, FALSE, NULL);
	inlay_privileges_enable();
	status = a->over ? inlay_directory_open(&a->directory, config->dir, why, why_len) : -INLAY_ENOMEM;
	if (status == 0)
		status = inlay_driver_open(&a->driver, why, why_len);
	if (status == 0)
		status = open_server(a, config, why, why_len);
	if (status == 0) {
		make_identity(a, config);
		status = take_over(a, why, why_len);
	}
	if (status == 0)
		status = open_filter(a, config);
	if (status < 0) {
		inlay_attachment_close(a);
		return status;
	}
	*ret = a;
	return 0;
}

/* ---- running ---- */

static void requests_came(void *arg)
{
	inlay_winfilter_ready(((struct inlay_attachment *)arg)->filter);
}

/* On home's thread: what the driver asked before anybody listened. */
static void begin(struct inlay_task *t)
{
	inlay_winfilter_ready(inlay_container(t, struct inlay_attachment, begin)->filter);
}

/* The driver is told: first of the ring, then of the directory, from when on requests come. */
static int register_filter(struct inlay_attachment *a)
{
	int status = inlay_driver_set_ring(&a->driver, a->timeout_ms ? a->timeout_ms + RING_TIMEOUT_MORE_MS : 0);

	if (status < 0) {
		inlay_error("%s: the driver takes no section of %llu bytes: %s", a->directory.name,
			(unsigned long long)a->driver.geometry.size, inlay_status_text(status));
		return status;
	}
	a->begin.done = begin;
	inlay_loop_post(inlay_crew_loop(a->crew, 0), &a->begin);
	status = inlay_driver_add(&a->driver, DIRECTORY, a->directory.volume, a->directory.path);
	a->added = a->was_added = status == 0;
	if (status < 0)
		inlay_error("%s: the driver does not take %ls%ls: %s", a->directory.name, a->directory.volume, a->directory.path,
			inlay_status_text(status));
	return status;
}

int inlay_attachment_start(struct inlay_attachment *a)
{
	int status = inlay_loop_wait_handle(inlay_crew_loop(a->crew, 0), a->driver.requests, requests_came, a, &a->requests);

	if (status < 0)
		return status;
	inlay_link_start(a->link);
	status = inlay_crew_start(a->crew);
	a->running = status == 0;
	return status < 0 ? status : register_filter(a);
}

void *inlay_attachment_over_event(const struct inlay_attachment *a)
{
	return a->over;
}

const char *inlay_attachment_dir(const struct inlay_attachment *a)
{
	return a->directory.name;
}

/* The threads, and what is under way on them. False: one is stuck, and may still use all this. */
static bool stop_running(struct inlay_attachment *a)
{
	if (a->running) {
		inlay_link_stop(a->link);
		inlay_redirect_stop_waiting(&a->redirect);
		inlay_crew_stop(a->crew);
		if (inlay_crew_is_stuck(a->crew)) {
			inlay_error("%s: a file does not answer: left as it is", a->directory.name);
			return false;
		}
	}
	inlay_wait_end(a->requests);
	if (a->filter)
		inlay_winfilter_stop(a->filter);
	return true;
}

void inlay_attachment_close(struct inlay_attachment *a)
{
	if (!a)
		return;
	if (a->added)
		(void)inlay_driver_remove(&a->driver, DIRECTORY);
	/* Its handle's end completes what programs wait for; nothing new comes. */
	inlay_driver_let_go(&a->driver);
	if (!stop_running(a))
		return;
	inlay_winfilter_free(a->filter);
	inlay_link_free(a->link);
	inlay_redirect_done(&a->redirect);
	if (a->crew)
		inlay_crew_free(a->crew);
	inlay_driver_close(&a->driver);
	inlay_directory_close(&a->directory);
	if (a->over)
		CloseHandle(a->over);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- detaching ---- */

/* The directory is NTFS's alone already. 0, or -INLAY_EBUSY: programs hold some of the placeholders. */
static int clear(struct inlay_attachment *a)
{
	int status;

	a->clearing = (struct inlay_clearing){0};
	status = inlay_placeholders_clear(&a->placeholders, &a->clearing);
	if (status == 0)
		status = inlay_placeholders_set_root_mark(&a->placeholders, false);
	if (status == 0)
		inlay_directory_restore(&a->directory);
	return status;
}

static int detach_in_order(struct inlay_attachment *a)
{
	struct inlay_control_usage usage;
	int status = inlay_driver_usage(&a->driver, DIRECTORY, &usage);

	if (status < 0)
		return status;
	if (usage.open_files)
		return -INLAY_EBUSY;
	status = inlay_driver_remove(&a->driver, DIRECTORY);
	if (status < 0)
		return status;
	a->added = false;
	status = clear(a);
	if (status == 0)
		return 0;
	inlay_info("%s: not yet removed: %s: %s", a->directory.name, a->clearing.where, inlay_status_text(status));
	/* It goes on working: what was removed comes again when it is asked for. */
	if (inlay_driver_add(&a->driver, DIRECTORY, a->directory.volume, a->directory.path) == 0) {
		a->added = true;
		(void)inlay_placeholders_set_root_mark(&a->placeholders, true);
	}
	return status;
}

static void detach_by_force(struct inlay_attachment *a)
{
	if (a->added)
		(void)inlay_driver_remove(&a->driver, DIRECTORY);
	a->added = false;
	/* Never served: nothing was made, and what lies there may be that of the attachment around it. */
	if (!a->was_added)
		(void)inlay_placeholders_set_root_mark(&a->placeholders, false);
	else if (clear(a) < 0)
		inlay_warning("%s: %llu placeholders are left, the first is %s: \"inlay detach --force\" again when no program holds them",
			a->directory.name, (unsigned long long)(a->clearing.busy ? a->clearing.busy : 1), a->clearing.where);
}

int inlay_attachment_detach(struct inlay_attachment *a, bool force)
{
	int status = 0;

	/* An attempt that is clearing must not hold up force. */
	if (force)
		a->clearing.stop = true;
	pthread_mutex_lock(&a->lock);
	if (!a->detached) {
		if (force)
			detach_by_force(a);
		else
			status = detach_in_order(a);
		a->detached = status == 0;
	}
	pthread_mutex_unlock(&a->lock);
	if (status == 0)
		SetEvent(a->over);
	return status;
}

/* ---- for people ---- */

int inlay_attachment_status(struct inlay_attachment *a, struct inlay_attachment_status *ret)
{
	struct inlay_pictures *p = inlay_pictures_take(a->crew, a->link);
	bool readonly_export = inlay_link_client(a->link)->export_flags & INLAY_EXPORT_READONLY;
	struct inlay_attachment_status s = {.pid = GetCurrentProcessId(), .uid = a->cred.uid,
	                                    .uptime_ms = inlay_clock_ms() - a->start_ms,
	                                    .readonly = a->readonly || readonly_export, .passthrough = true,
	                                    .nodes = inlay_nodes_count(a->redirect.nodes)};
	struct inlay_control_usage usage = {0};
	uint64_t removed = a->clearing.removed, looked = a->clearing.looked;
	int status;

	if (!p)
		return -INLAY_ENOMEM;
	snprintf(s.source, sizeof(s.source), "%s", a->source);
	snprintf(s.dir, sizeof(s.dir), "%s", a->directory.name);
	snprintf(s.server, sizeof(s.server), "%s", inlay_link_client(a->link)->server);
	snprintf(s.transport, sizeof(s.transport), "inlay.sys");
	snprintf(s.guarded_why, sizeof(s.guarded_why), "on Windows its open files end with it; the service attaches again");
	if (inlay_driver_usage(&a->driver, DIRECTORY, &usage) == 0)
		s.files = usage.open_files;
	if (looked)
		snprintf(s.progress, sizeof(s.progress), "removing placeholders: %llu removed, %llu names looked at",
			(unsigned long long)removed, (unsigned long long)looked);
	inlay_parts_health(p, &s);
	inlay_pictures_drop(p);
	status = inlay_parts_operations(&a->redirect, &s);
	if (status == 0)
		*ret = s;
	return status;
}

static int remote_is_dir(struct inlay_attachment *a, const char *path, bool *ret)
{
	return inlay_remote_is_dir(a->crew, a->link, a->cred.uid, a->cred.gid, path, ret);
}

/* What NTFS has there without our mark. */
static bool exists_locally(struct inlay_attachment *a, const char *win, bool *ret_is_dir)
{
	struct inlay_placeholder it;

	*ret_is_dir = false;
	if (inlay_placeholders_ops.inspect(&a->placeholders, win, &it) < 0 || it.state != INLAY_PLACEHOLDER_LOCAL)
		return false;
	*ret_is_dir = it.attr.attributes & FILE_ATTRIBUTE_DIRECTORY;
	return true;
}

/* A new name in a directory that only this side has is made there. */
static bool lies_locally(struct inlay_attachment *a, const struct inlay_winpath *names)
{
	struct inlay_str win, server;
	char *win_dir, *server_dir;
	bool is_dir, remote_dir, only_here;

	if (names->parts < 2)
		return false;
	win = inlay_winpath_win(names, names->parts - 2);
	server = inlay_winpath_server(names, names->parts - 2);
	win_dir = strndup(names->win, (size_t)(win.p + win.len - names->win));
	server_dir = strndup(names->server, (size_t)(server.p + server.len - names->server));
	only_here = win_dir && server_dir && exists_locally(a, win_dir, &is_dir) && is_dir &&
	            remote_is_dir(a, server_dir, &remote_dir) == 0 && !remote_dir;
	free(win_dir);
	free(server_dir);
	return only_here;
}

static void explain_unruled(struct inlay_attachment *a, const struct inlay_winpath *names, struct inlay_explanation *e)
{
	bool is_dir, remote_dir, local = exists_locally(a, names->win, &is_dir);

	e->side = local ? INLAY_LOCAL : INLAY_REMOTE;
	if (local && is_dir && remote_is_dir(a, names->server, &remote_dir) == 0 && remote_dir) {
		e->merged = true;
		snprintf(e->why, sizeof(e->why), "no rule; a directory on both sides: listings show both, new names go to the server");
	} else if (local) {
		snprintf(e->why, sizeof(e->why), "no rule; exists in the local directory");
	} else if (lies_locally(a, names)) {
		e->side = INLAY_LOCAL;
		snprintf(e->why, sizeof(e->why), "no rule; its directory exists on the local side only");
	} else {
		snprintf(e->why, sizeof(e->why), "no rule; not in the local directory");
	}
}

/* The path as either side writes it. */
static int both_names(const char *path, struct inlay_winpath **ret)
{
	size_t len = strlen(path);
	uint16_t *units = malloc(2 * len + 2);
	int64_t count;
	int status;

	if (!units)
		return -INLAY_ENOMEM;
	count = inlay_wtf8_to_utf16(inlay_str(path), units, len);
	for (int64_t i = 0; i < count; i++)
		units[i] = units[i] == '/' ? '\\' : units[i];
	status = count < 0 ? (int)count : inlay_winpath_parse((const uint8_t *)units, 2 * (size_t)count, ret);
	free(units);
	return status;
}

int inlay_attachment_restart(struct inlay_attachment *a)
{
	(void)a;
	return -INLAY_ENOTSUP;
}

int inlay_attachment_explain(struct inlay_attachment *a, const char *path, struct inlay_explanation *ret)
{
	struct inlay_explanation e = {0};
	const struct inlay_rule *rule;
	struct inlay_winpath *names;
	bool is_dir, remote_dir = false;
	int status = both_names(path, &names);

	if (status < 0)
		return status;
	if (!exists_locally(a, names->win, &is_dir) && inlay_judge_has_rules(a->redirect.judge) &&
	    remote_is_dir(a, names->server, &remote_dir) == 0)
		is_dir = remote_dir;
	rule = names->parts ? inlay_redirect_rule(&a->redirect, names->server, is_dir) : NULL;
	if (rule) {
		e.side = rule->side;
		snprintf(e.why, sizeof(e.why), "rule %u: %s", rule->number, rule->text);
	} else {
		explain_unruled(a, names, &e);
	}
	free(names);
	*ret = e;
	return 0;
}

/*
 * The server's process: its life, the store's decorator that fails on demand and tells the model, and what must hold in it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server.h"

#include "ledger.h"
#include "tree.h"

#include "server/execute.h"
#include "server/internal.h"
#include "server/locks.h"
#include "server/record.h"
#include "session/slots.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The store as the server has it, one per start: the real one stays. */
struct front {
	struct inlay_store store; /* stands first */
};

static struct sim_proc proc;
static struct inlay_server *server;
static struct inlay_store *inner;
static struct inlay_store_ops front_ops;
static struct sim_store_faults faults;
static bool faulty;
static uint32_t lease;
static unsigned loops;
static uint64_t boots, crashes;
static bool dying, keeps;
static char state_dir[64];
static struct inlay_uuid host_boot;

/* To die in the middle of a request. */
static enum { NOT_MIDWAY, BEFORE_EFFECT, AFTER_EFFECT } midway;
static void (*midway_died)(void);
static struct sim_event midway_event;

struct inlay_store *sim_store(void)
{
	return inner;
}

bool sim_server_faulty(void)
{
	return faulty;
}

bool sim_server_up(void)
{
	return server != NULL;
}

struct sim_proc *sim_server_proc(void)
{
	return server && !dying ? &proc : NULL;
}

struct inlay_server *sim_server(void)
{
	return server;
}

uint64_t sim_server_boots(void)
{
	return boots;
}

uint64_t sim_server_crashes(void)
{
	return crashes;
}

void sim_server_fault(const struct sim_store_faults *f)
{
	faults = f ? *f : (struct sim_store_faults){0};
	faulty |= f != NULL;
	if (f)
		sim_trace("fault: store", f->percent, (uint64_t)-f->status, 0);
}

void sim_server_room(uint64_t bytes, uint64_t nodes)
{
	faulty = true;
	sim_trace("fault: store has room", bytes, nodes, 0);
	inlay_memory_set_capacity(inner, bytes, nodes);
}

/* ---- requests ---- */

void __real_inlay_request_execute(struct inlay_request *rq);
void __wrap_inlay_request_execute(struct inlay_request *rq);

static void midway_ends(struct sim_event *e)
{
	(void)e;
	sim_server_kill(false);
	midway_died();
}

/* From here on nothing leaves the process; it is buried when the turn is over. */
static void die_midway(void)
{
	sim_trace("fault: server dies midway", midway, 0, 0);
	midway = NOT_MIDWAY;
	sim_net_kill(&proc, false);
	dying = true;
	proc.dead = true;
	midway_event = (struct sim_event){.run = midway_ends};
	sim_set(&midway_event, sim_now);
}

void sim_server_kill_midway(bool before, void (*died_then)(void))
{
	midway = !died_then ? NOT_MIDWAY : before ? BEFORE_EFFECT : AFTER_EFFECT;
	midway_died = died_then;
}

void __wrap_inlay_request_execute(struct inlay_request *rq)
{
	if (!ledger_before(rq)) {
		rq->status = -INLAY_EIO;
		return;
	}
	__real_inlay_request_execute(rq);
	if (!dying && midway == AFTER_EFFECT && rq->record.lane && redo_is_noted(rq)) {
		ledger_torn();
		die_midway();
	}
	if (!dying)
		ledger_after(rq);
	else if (rq->record.lane && redo_is_noted(rq))
		record_unend(&rq->record);
}

/* ---- the store's front ---- */

/* A change by the store that the front stands for: it is the disk, and has its own memory. */
#define INNER(r, call) \
	do { \
		bool scarce = sim_memory_scarce(false); \
\
		r = inner->ops->call; \
		(void)sim_memory_scarce(scarce); \
	} while (0)

static int fault(void)
{
	if (midway == BEFORE_EFFECT && ledger_running()) {
		ledger_torn();
		die_midway();
	}
	if (dying)
		return -INLAY_EIO;
	return faults.status && sim_chance(faults.percent) ? faults.status : 0;
}

static void front_close(struct inlay_store *s)
{
	free(s);
}

static int front_root(struct inlay_store *s, struct inlay_store_node **ret)
{
	(void)s;
	return inner->ops->root(inner, ret);
}

static int front_find(struct inlay_store *s, const struct inlay_store_id *id, struct inlay_store_node **ret)
{
	(void)s;
	return inner->ops->node_find(inner, id, ret);
}

static int front_syncfs(struct inlay_store *s)
{
	int r = fault();

	(void)s;
	if (r == 0)
		INNER(r, syncfs(inner));
	return r;
}

static int front_create(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name, uint32_t flags,
                        const struct inlay_store_make *m, struct inlay_store_node **ret, struct inlay_store_file **ret_file,
                        struct inlay_attr *ret_attr)
{
	int n = tree_name(name), r = fault();
	uint64_t ino;

	SIM_REQUIRE(n >= 0);
	if (r == 0)
		INNER(r, create(dir, cred, name, flags, m, ret, ret_file, ret_attr));
	if (r < 0)
		return r;
	ino = tree_ino(*ret);
	if (tree_find(tree_ino(dir), n) != ino || flags & INLAY_O_EXCL) {
		tree_made(tree_ino(dir), n, ino, false);
		ledger_made(ino);
		ledger_effect();
	}
	return r;
}

static int front_mkdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name,
                       const struct inlay_store_make *m, struct inlay_store_node **ret, struct inlay_attr *ret_attr)
{
	int r = fault();

	if (r == 0)
		INNER(r, mkdir(dir, cred, name, m, ret, ret_attr));
	if (r == 0) {
		tree_made(tree_ino(dir), tree_name(name), tree_ino(*ret), true);
		ledger_effect();
	}
	return r;
}

static int front_link(struct inlay_store_node *n, struct inlay_store_file *file, struct inlay_store_node *dir,
                      const struct inlay_cred *cred, struct inlay_str name, struct inlay_attr *ret_attr)
{
	int r = fault();

	if (r == 0)
		INNER(r, link(n, file, dir, cred, name, ret_attr));
	if (r == 0) {
		tree_linked(tree_ino(dir), tree_name(name), tree_ino(n));
		ledger_effect();
	}
	return r;
}

static int front_unlink(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	int r = fault();

	if (r == 0)
		INNER(r, unlink(dir, cred, name));
	if (r == 0) {
		tree_removed(tree_ino(dir), tree_name(name));
		ledger_effect();
	}
	return r;
}

static int front_rmdir(struct inlay_store_node *dir, const struct inlay_cred *cred, struct inlay_str name)
{
	int r = fault();

	if (r == 0)
		INNER(r, rmdir(dir, cred, name));
	if (r == 0) {
		tree_removed(tree_ino(dir), tree_name(name));
		ledger_effect();
	}
	return r;
}

static int front_rename(struct inlay_store_node *from_dir, struct inlay_str from, struct inlay_store_node *to_dir,
                        struct inlay_str to, uint32_t flags, const struct inlay_cred *cred)
{
	int r = fault();

	if (r == 0)
		INNER(r, rename(from_dir, from, to_dir, to, flags, cred));
	if (r == 0 && tree_renamed(tree_ino(from_dir), tree_name(from), tree_ino(to_dir), tree_name(to), flags))
		ledger_effect();
	return r;
}

static int64_t front_write(struct inlay_store_file *f, uint64_t off, const void *buf, size_t len, uint32_t flags,
                           uint64_t *ret_size)
{
	uint32_t unit = tree_is_log(tree_ino(f->node)) ? TREE_RECORD : TREE_BLOCK;
	int64_t r = fault();

	if (faults.percent && !faults.status && len > unit && sim_chance(faults.percent))
		len = unit * (size_t)sim_between(1, len / unit - 1);
	if (r == 0)
		INNER(r, write(f, off, buf, len, flags, ret_size));
	if (r > 0) {
		tree_wrote(tree_ino(f->node), f->flags & INLAY_O_APPEND && !(flags & INLAY_WRITE_AT) ? *ret_size - (uint64_t)r : off, buf, (size_t)r);
		ledger_wrote((uint64_t)r);
		ledger_effect();
	}
	return r;
}

static int front_commit(struct inlay_store_file *f, uint32_t flags)
{
	int r = fault();

	if (r == 0)
		INNER(r, commit(f, flags));
	if (r == 0)
		ledger_synced();
	return r;
}

static struct inlay_store *front_new(void)
{
	struct front *front = calloc(1, sizeof *front);

	SIM_REQUIRE(front);
	front_ops = *inner->ops;
	front_ops.close = front_close;
	front_ops.root = front_root;
	front_ops.node_find = front_find;
	front_ops.syncfs = front_syncfs;
	front_ops.create = front_create;
	front_ops.mkdir = front_mkdir;
	front_ops.link = front_link;
	front_ops.unlink = front_unlink;
	front_ops.rmdir = front_rmdir;
	front_ops.rename = front_rename;
	front_ops.write = front_write;
	front_ops.commit = front_commit;
	front->store.ops = &front_ops;
	return &front->store;
}

/* ---- its life ---- */

/* What files and the server's notes have their times from: true time, in ticks. */
static struct inlay_time file_clock(void *arg)
{
	uint64_t now = 1000000000 * SEC + sim_now / (4 * MS) * (4 * MS);

	(void)arg;
	return (struct inlay_time){.sec = (int64_t)(now / SEC), .nsec = (uint32_t)(now % SEC)};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_state(void)
{
	if (keeps)
		nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	keeps = false;
}

void sim_server_begin(uint32_t lease_ms, unsigned loop_count, bool keeps_state)
{
	lease = lease_ms;
	loops = loop_count;
	keeps = keeps_state;
	boots = crashes = 0;
	midway = NOT_MIDWAY;
	faults = (struct sim_store_faults){0};
	faulty = false;
	host_boot.bytes[0] = 1;
	if (keeps) {
		snprintf(state_dir, sizeof state_dir, "%s/inlay-sim-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		SIM_REQUIRE(mkdtemp(state_dir));
		sim_will(remove_state);
	}
	SIM_REQUIRE(inlay_memory_open(&inner) == 0);
	inlay_memory_set_clock(inner, file_clock, NULL);
	tree_begin(inner);
}

void sim_server_start(void)
{
	struct inlay_server_config config = {.secret = {{11, 22}}, .lease_ms = lease, .banner = "inlayd",
	                                     .state_dir = keeps ? state_dir : NULL, .boot = host_boot,
	                                     .file_clock = file_clock};
	struct inlay_export_config export = {.name = "x", .identity_client = true, .rules = ""};

	SIM_REQUIRE(!server);
	sim_proc_init(&proc, "server", loops);
	proc.handoffs = sim_chance(50) ? 10 : 0;
	sim_trace("server starts", ++boots, 0, 0);
	sim_running = &proc;
	SIM_REQUIRE(inlay_server_new(&config, &proc.crew, &server) == 0);
	export.store = front_new();
	SIM_REQUIRE(inlay_server_export_add(server, &export) == 0);
	sim_running = NULL;
}

static void session_over(const struct inlay_uuid *id, const char *host)
{
	struct sim_client *c = client_of(host);

	sim_trace("session over", inlay_load64(id->bytes), 0, 0);
	locks_session_over(id, keeps && (dying || !server));
	if (c)
		c->lost_at = sim_now;
}

/* Sessions seen by the last check. */
static struct seen {
	struct inlay_uuid id;
	char host[128];
} seen[64];
static unsigned seen_count;

static void look_at_sessions(void)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < seen_count; i++) {
		if (sim_session_alive(&seen[i].id))
			seen[kept++] = seen[i];
		else
			session_over(&seen[i].id, seen[i].host);
	}
	seen_count = kept;
	if (!server)
		return;
	inlay_list_each(it, &server->sessions) {
		struct inlay_session *ss = inlay_container(it, struct inlay_session, link);
		bool known = false;

		for (unsigned i = 0; i < seen_count; i++)
			known = known || memcmp(&seen[i].id, &ss->id, sizeof ss->id) == 0;
		if (known)
			continue;
		SIM_REQUIRE(seen_count < 64);
		seen[seen_count].id = ss->id;
		memcpy(seen[seen_count].host, ss->host, sizeof seen[0].host);
		seen_count++;
	}
}

bool sim_session_alive(const struct inlay_uuid *id)
{
	if (server && !dying)
		inlay_list_each(it, &server->sessions)
			if (memcmp(&inlay_container(it, struct inlay_session, link)->id, id, sizeof *id) == 0)
				return true;
	return false;
}

unsigned sim_server_sessions(const char *client)
{
	unsigned count = 0;

	if (server)
		inlay_list_each(it, &server->sessions)
			count += !client || strcmp(inlay_container(it, struct inlay_session, link)->host, client) == 0;
	return count;
}

static void no_work(struct inlay_task *t)
{
	(void)t;
}

void sim_server_kill(bool host)
{
	if (!server)
		return;
	sim_trace("fault: server killed", host, 0, 0);
	if (host)
		ledger_crash();
	sim_net_kill(&proc, host && sim_chance(50));
	dying = true;
	proc.dead = true;
	look_at_sessions();
	for (unsigned i = 0; i < server->nloops; i++) /* who is dead ends no sessions any more */
		server->loops[i].expire.work = no_work;
	sim_proc_drain(&proc);
	sim_running = &proc;
	inlay_server_free(server);
	server = NULL;
	sim_proc_drain(&proc);
	sim_running = NULL;
	sim_proc_done(&proc);
	dying = false;
	if (host && sim_chance(50))
		tree_spill();
	midway = NOT_MIDWAY;
	sim_unset(&midway_event);
	if (host) {
		crashes++;
		host_boot.bytes[0]++;
		inlay_memory_crash(inner);
	}
	tree_check(host);
}

void sim_server_drain(void)
{
	if (!server)
		return;
	sim_trace("fault: server drains", 0, 0, 0);
	sim_running = &proc;
	inlay_server_drain(server);
	sim_running = NULL;
}

void sim_server_end(void)
{
	sim_server_kill(false);
	remove_state();
	inner->ops->close(inner);
	inner = NULL;
	tree_end();
	seen_count = 0;
}

bool sim_server_dying(void)
{
	return dying;
}

void sim_server_accept(struct sim_sock *s, const char *from)
{
	struct sim_proc *outer = sim_running;

	sim_running = &proc;
	inlay_server_accept(server, s->fd, from);
	sim_running = outer;
}

/* ---- what must hold ---- */

static unsigned lane_busy(const struct lane *la)
{
	unsigned busy = 0;

	for (uint32_t i = 0; i < inlay_slots_count(la->slots); i++)
		busy += la->busy[i] != NULL;
	return busy;
}

void sim_server_check(void)
{
	uint32_t locks = 0, busy = 0, live = 0;

	look_at_sessions();
	if (!server)
		return;
	if (sim_proc_clock(&proc) >= server->grace_end_ns)
		locks_grace_over();
	inlay_list_each(it, &server->sessions) {
		struct inlay_session *ss = inlay_container(it, struct inlay_session, link);

		locks += ss->locks_held;
		for (unsigned i = 0; i < INLAY_LANES_MAX; i++) {
			if (!ss->lanes[i])
				continue;
			busy += lane_busy(ss->lanes[i]);
			live += ss->lanes[i]->peer != NULL;
		}
	}
	if (locks != server->locks)
		sim_fail("sessions hold %u locks, the server counts %u", locks, server->locks);
	/* Nothing is being worked on: then no slot may be taken, and no request counted. */
	if (!proc.tasks && (busy || server->under_way || proc.loop[0].busy + proc.loop[1].busy))
		sim_fail("no call is under way in the server, but %u slots are busy and %u requests counted", busy, server->under_way);
	if (live > server->conns)
		sim_fail("%u lanes have connections, the server counts %u", live, server->conns);
}

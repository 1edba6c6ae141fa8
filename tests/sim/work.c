/*
 * What programs do: names, data, durability, locks; at random, one thing after another.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ledger.h"

#include "server.h"

#include <stdlib.h>
#include <string.h>

#define DIRS 2u /* of tree_names: the first ones */

static uint64_t dir_ino(const struct sim_prog *g)
{
	struct inlay_node_id *id = g->dir ? &g->dir->id[INLAY_REMOTE] : NULL;

	return id ? inlay_load64(id->bytes + 4) : tree_root();
}

static struct inlay_node *dir_node(struct sim_prog *g)
{
	return inlay_node_ref(g->dir ? g->dir : g->client->root);
}

/* A node is needed no more by who had it; the kernel forgets none that is open. */
static void let_go(struct sim_prog *g, unsigned lane, struct inlay_node *n)
{
	for (unsigned i = 0; n && i < FILES_MAX; i++) {
		struct sim_file *f = &g->files[i];

		if (!f->file || f->node || f->file->node != n)
			continue;
		f->node = n;
		return;
	}
	client_forget(g->client, lane, n);
}

static void leave_dir(struct sim_prog *g)
{
	struct inlay_node *n = g->dir;

	g->dir = NULL;
	let_go(g, g->number % g->client->loops, n);
}

static struct sim_file *free_file(struct sim_prog *g)
{
	for (unsigned i = 0; i < FILES_MAX; i++)
		if (!g->files[i].file)
			return &g->files[i];
	return NULL;
}

/* One that is open; dirs: whether directories will do. */
static struct sim_file *some_file(struct sim_prog *g, bool dirs)
{
	unsigned from = (unsigned)sim_below(FILES_MAX);

	for (unsigned i = 0; i < FILES_MAX; i++) {
		struct sim_file *f = &g->files[(from + i) % FILES_MAX];

		if (f->file && (dirs || !f->is_dir))
			return f;
	}
	return NULL;
}

static void nothing_more(struct sim_op *o, int status)
{
	(void)o, (void)status;
}

/* ---- names ---- */

static struct sim_op *name_op(struct sim_prog *g, uint16_t type, int name, void (*then)(struct sim_op *o, int status))
{
	struct sim_op *o = client_op(g, type, then);

	o->op.node = dir_node(g);
	o->op.name = inlay_str(tree_names[name]);
	o->name = name;
	o->dir = dir_ino(g);
	return o;
}

static int any_file_name(void)
{
	return (int)sim_between(DIRS, TREE_NAMES - 1);
}

static void entered(struct sim_op *o, int status)
{
	if (status < 0 || !tree_is_dir(o->op.attr.ino))
		return;
	leave_dir(o->prog);
	o->prog->dir = o->op.found;
	o->op.found = NULL;
}

static void enter(struct sim_prog *g)
{
	if (g->dir && sim_chance(70)) {
		leave_dir(g);
		work_on(g);
		return;
	}
	client_start(name_op(g, INLAY_LOOKUP, (int)sim_below(DIRS), entered));
}

static void make_dir(struct sim_prog *g)
{
	struct sim_op *o = name_op(g, INLAY_MKDIR, (int)sim_below(DIRS), nothing_more);

	o->op.in.make.mode = 0755;
	client_start(o);
}

static void remove_name(struct sim_prog *g)
{
	bool dir = sim_chance(30);
	struct sim_op *o = name_op(g, dir ? INLAY_RMDIR : INLAY_UNLINK, dir ? (int)sim_below(DIRS) : any_file_name(), nothing_more);

	client_start(o);
}

static void rename_name(struct sim_prog *g)
{
	bool dir = sim_chance(20), to_root = sim_chance(30);
	struct sim_op *o = name_op(g, INLAY_RENAME, dir ? (int)sim_below(DIRS) : any_file_name(), nothing_more);

	o->to_name = dir ? (int)sim_below(DIRS) : any_file_name();
	o->op.to = to_root ? inlay_node_ref(g->client->root) : inlay_node_ref(o->op.node);
	o->to_dir = to_root ? tree_root() : o->dir;
	o->op.to_name = inlay_str(tree_names[o->to_name]);
	o->op.in.make.flags = sim_chance(70) ? 0 : sim_chance(50) ? INLAY_RENAME_NOREPLACE : INLAY_RENAME_EXCHANGE;
	client_start(o);
}

/* What was looked up stays known until the operation that it was looked up for is over. */
static void take_found(struct sim_op *from, struct sim_op *to)
{
	to->found = from->op.found;
	from->op.found = NULL;
	to->op.node = inlay_node_ref(to->found);
}

static void found_to_link(struct sim_op *o, int status)
{
	struct sim_prog *g = o->prog;
	struct sim_op *next;

	if (status < 0 || tree_is_dir(o->op.attr.ino) || !g->client->up)
		return;
	next = client_op(g, INLAY_LINK, nothing_more);
	take_found(o, next);
	next->dir = dir_ino(g);
	next->name = any_file_name();
	next->op.to = dir_node(g);
	next->op.to_name = inlay_str(tree_names[next->name]);
	client_start(next);
}

static void link_name(struct sim_prog *g)
{
	client_start(name_op(g, INLAY_LOOKUP, any_file_name(), found_to_link));
}

/* ---- opening and closing ---- */

static void opened(struct sim_op *o, int status)
{
	struct sim_file *f = o->on;
	const struct inlay_uuid *session = ledger_session(o->number);

	if (status < 0)
		return;
	SIM_REQUIRE(session);
	f->file = o->op.opened;
	o->op.opened = NULL;
	f->fh = f->file->number;
	heir_step();
	inlay_estate_file_mark(o->client->redirect.estate, f->fh, INLAY_FILE_TAKEN);
	f->node = o->op.found ? o->op.found : o->found;
	o->op.found = o->found = NULL;
	f->is_dir = o->type == INLAY_OPENDIR;
	f->locked = false;
	f->ino = inlay_load64(f->file->node->id[INLAY_REMOTE].bytes + 4);
	f->session = *session;
	f->number = o->number;
	f->opened = f->crashes = sim_server_crashes();
	f->lost = 0;
	f->told_at = 0;
	f->whole = true;
	f->writes = !f->is_dir && tree_is_log(f->ino) == ((o->op.in.make.flags & INLAY_O_APPEND) != 0);
}

static void create(struct sim_prog *g)
{
	int name = any_file_name();
	struct sim_op *o = name_op(g, INLAY_CREATE, name, opened);

	o->on = free_file(g);
	o->op.in.make.mode = 0644;
	o->op.in.make.flags = INLAY_O_RDWR | (tree_names[name][0] == 'l' ? (uint32_t)INLAY_O_APPEND : 0) |
	                      (sim_chance(50) ? (uint32_t)INLAY_O_EXCL : 0);
	client_start(o);
}

static void open_dir(struct sim_prog *g)
{
	struct sim_op *o = client_op(g, INLAY_OPENDIR, opened);

	o->op.node = dir_node(g);
	o->on = free_file(g);
	client_start(o);
}

static void found_to_open(struct sim_op *o, int status)
{
	struct sim_prog *g = o->prog;
	struct sim_op *next;

	if (status < 0 || !g->client->up || tree_is_dir(o->op.attr.ino))
		return;
	next = client_op(g, INLAY_OPEN, opened);
	take_found(o, next);
	next->on = free_file(g);
	next->op.in.make.flags = INLAY_O_RDWR | (tree_is_log(o->op.attr.ino) ? (uint32_t)INLAY_O_APPEND : 0);
	client_start(next);
}

static void open_file(struct sim_prog *g)
{
	client_start(name_op(g, INLAY_LOOKUP, any_file_name(), found_to_open));
}

static struct sim_op *file_op(struct sim_prog *g, struct sim_file *f, uint16_t type, void (*then)(struct sim_op *o, int status))
{
	struct sim_op *o = client_op(g, type, then);

	o->on = f;
	o->op.file = inlay_file_get(&g->client->redirect, f->file->number);
	SIM_REQUIRE(o->op.file);
	return o;
}

static void closed(struct sim_op *o, int status)
{
	struct inlay_node *n = o->on->node;

	(void)status; /* whatever it says, the number is gone */
	o->on->file = NULL;
	o->on->node = NULL;
	let_go(o->prog, o->op.lane, n);
}

static void close_file(struct sim_prog *g, struct sim_file *f)
{
	if (g->holds && g->lock.on == f) {
		locks_let_go(g);
		g->holds = false;
	}
	client_start(file_op(g, f, INLAY_CLOSE, closed));
}

/* What the server has lost is closed next. */
static void maybe_stale(struct sim_op *o, int status)
{
	if (status == -INLAY_ESTALE || status == -INLAY_EIO)
		o->on->writes = false;
}

/* ---- data ---- */

static void write_file(struct sim_prog *g, struct sim_file *f)
{
	bool log = tree_is_log(f->ino);
	uint32_t unit = log ? TREE_RECORD : TREE_BLOCK, blocks = log ? 1 : (uint32_t)sim_between(1, sim_chance(20) ? 16 : 3);
	uint32_t at = log ? 0 : (uint32_t)sim_below(TREE_BLOCKS - blocks + 1);
	struct sim_op *o = file_op(g, f, INLAY_WRITE, maybe_stale);

	o->data = malloc((size_t)blocks * unit);
	SIM_REQUIRE(o->data);
	for (uint32_t i = 0; i < blocks; i++)
		tree_fill(o->data + (size_t)i * unit, unit, o->number, log ? 0 : at + i);
	o->op.data = o->data;
	o->op.data_len = blocks * unit;
	o->op.in.io.off = log ? 0 : TREE_BASE + (uint64_t)at * unit;
	o->op.in.io.flags = !log && sim_chance(10) ? INLAY_WRITE_FILE_SYNC : 0;
	client_start(o);
}

static void read_file(struct sim_prog *g, struct sim_file *f)
{
	struct sim_op *o = file_op(g, f, INLAY_READ, maybe_stale);

	o->op.in.io.off = tree_is_log(f->ino) ? 0 : TREE_BASE + sim_below(TREE_BLOCKS) * TREE_BLOCK;
	o->op.in.io.len = sim_between(1, 16) * TREE_BLOCK;
	client_start(o);
}

static void commit(struct sim_prog *g, struct sim_file *f)
{
	struct sim_op *o = file_op(g, f, INLAY_COMMIT, maybe_stale);

	o->op.in.io.flags = f->is_dir ? 0 : sim_chance(50) ? INLAY_COMMIT_DATA_ONLY : 0;
	client_start(o);
}

static void list(struct sim_prog *g, struct sim_file *f)
{
	struct sim_op *o = file_op(g, f, INLAY_READDIR, maybe_stale);

	o->op.in.io.len = 8192;
	o->op.in.io.flags = sim_chance(50) ? INLAY_READDIR_ATTRS : 0;
	client_start(o);
}

/* ---- locks ---- */

static uint64_t owner_of(const struct sim_prog *g)
{
	return 1 + g->number;
}

static void set_lock(struct sim_op *o, const struct sim_lock *l, uint32_t type, uint32_t flags)
{
	sim_trace("lock: owner, inode, type", l->owner, l->on->ino, type);
	sim_trace("lock: file, start, end", l->on->file->number, l->start, l->end);
	o->op.in.lock = (struct inlay_lock_req){.owner = l->owner,
	                                        .start = l->start, .end = l->end, .kind = l->kind, .type = type,
	                                        .pid = o->prog->number + 1u, .flags = flags};
}

static void ask_for_lock(struct sim_prog *g);

static void locked(struct sim_op *o, int status)
{
	struct sim_prog *g = o->prog;
	const struct inlay_uuid *session = ledger_session(o->number);

	maybe_stale(o, status);
	if (status == -INLAY_EINTR && g->client->up && !sim_calm && sim_chance(85))
		ask_for_lock(g); /* as a program does whose signal handler returns */
	if (status < 0)
		return;
	SIM_REQUIRE(session);
	g->holds = true;
	locks_granted(g, session);
}

static void ask_for_lock(struct sim_prog *g)
{
	struct sim_op *o = file_op(g, g->lock.on, INLAY_LOCK, locked);

	set_lock(o, &g->lock, g->lock.type, sim_chance(70) ? INLAY_LOCK_WAIT : 0);
	client_start(o);
	if (g->busy && sim_chance(60)) /* some give up waiting */
		sim_set(&g->next, sim_now + sim_between(1, sim_chance(50) ? 5 * MS : 3 * SEC));
}

static void lock_file(struct sim_prog *g, struct sim_file *f)
{
	bool flock = sim_chance(40);
	uint64_t start = sim_below(3);

	f->locked = true;
	g->lock = (struct sim_lock){.on = f, .ino = f->ino, .owner = owner_of(g), .kind = flock ? INLAY_LOCK_FLOCK : INLAY_LOCK_POSIX,
	                            .start = flock ? 0 : start, .end = flock || sim_chance(30) ? INT64_MAX : start + sim_below(3),
	                            .type = sim_chance(60) ? INLAY_LOCK_WRITE : INLAY_LOCK_READ};
	ask_for_lock(g);
}

static void unlock_file(struct sim_prog *g)
{
	struct sim_op *o = file_op(g, g->lock.on, INLAY_LOCK, maybe_stale);

	locks_let_go(g);
	g->holds = false;
	set_lock(o, &g->lock, INLAY_LOCK_UNLOCK, 0);
	client_start(o);
}

static void test_lock(struct sim_prog *g, struct sim_file *f)
{
	struct sim_op *o = file_op(g, f, INLAY_TESTLOCK, maybe_stale);
	struct sim_lock l = {.on = f, .owner = owner_of(g), .kind = INLAY_LOCK_POSIX, .start = 0, .end = INT64_MAX};

	set_lock(o, &l, INLAY_LOCK_WRITE, 0);
	client_start(o);
}

/* A signal comes while it waits for a lock. */
static void interrupt(struct sim_op *o)
{
	sim_trace("interrupt", o->number, 0, 0);
	o->interrupted = true;
	client_interrupt(o);
}

/* ---- one thing after another ---- */

static void on_names(struct sim_prog *g)
{
	bool room = free_file(g) != NULL;

	switch (sim_below(room ? 10 : 6)) {
	case 0:
		enter(g);
		break;
	case 1:
		make_dir(g);
		break;
	case 2:
		remove_name(g);
		break;
	case 3:
	case 4:
		rename_name(g);
		break;
	case 5:
		link_name(g);
		break;
	case 6:
	case 7:
		create(g);
		break;
	case 8:
		open_file(g);
		break;
	default:
		open_dir(g);
	}
}

static void on_file(struct sim_prog *g, struct sim_file *f)
{
	uint64_t what = sim_below(10);

	if (what < 4 && f->writes && tree_records(f->ino) < TREE_RECORDS)
		write_file(g, f);
	else if (what < 5)
		read_file(g, f);
	else if (what < 7 && g->holds)
		unlock_file(g);
	else if (what < 7)
		lock_file(g, f);
	else if (what < 8)
		test_lock(g, f);
	else if (what < 9)
		commit(g, f);
	else
		close_file(g, f);
}

static void on_dir(struct sim_prog *g, struct sim_file *f)
{
	if (sim_chance(60))
		commit(g, f);
	else if (sim_chance(50))
		list(g, f);
	else
		close_file(g, f);
}

static void give_back(struct sim_prog *g)
{
	struct sim_file *f = some_file(g, true);

	if (f)
		close_file(g, f);
	else
		leave_dir(g);
}

static void next(struct sim_event *e)
{
	struct sim_prog *g = inlay_container(e, struct sim_prog, next);
	struct sim_file *f = some_file(g, true);

	if (!g->client->up)
		return;
	if (g->busy) {
		if (g->busy->type == INLAY_LOCK && !g->busy->interrupted)
			interrupt(g->busy);
		return;
	}
	if (g->closing)
		give_back(g);
	else if (g->resting)
		return;
	else if (!f || sim_chance(40))
		on_names(g);
	else if (f->is_dir)
		on_dir(g, f);
	else
		on_file(g, f);
}

void work_on(struct sim_prog *g)
{
	if (g->busy && g->resting) /* whoever waits for a lock gives up */
		sim_set(&g->next, sim_now + sim_below(SEC));
	if (g->busy || !g->client->up || work_idle(g))
		return;
	sim_set(&g->next, sim_now + (sim_chance(80) ? sim_below(20 * MS) : sim_below(2 * SEC)));
}

void work_startle(struct sim_prog *g)
{
	if (g->busy && g->busy->type == INLAY_LOCK && !g->busy->interrupted)
		sim_set(&g->next, sim_now + sim_below(20 * MS));
}

bool work_idle(const struct sim_prog *g)
{
	for (unsigned i = 0; i < FILES_MAX; i++)
		if (g->files[i].file)
			return false;
	return g->closing && !g->busy && !g->dir;
}

void work_begin(struct sim_prog *g)
{
	bool closing = g->closing, resting = g->resting;

	*g = (struct sim_prog){.client = g->client, .number = g->number, .closing = closing, .resting = resting};
	g->next = (struct sim_event){.run = next, .proc = &g->client->proc};
	work_on(g);
}

void work_lost(struct sim_prog *g)
{
	SIM_REQUIRE(!g->busy);
	sim_unset(&g->next);
	inlay_node_put(g->dir);
	g->dir = NULL;
	for (unsigned i = 0; i < FILES_MAX; i++)
		inlay_node_put(g->files[i].node);
	memset(g->files, 0, sizeof g->files);
	g->holds = false;
}

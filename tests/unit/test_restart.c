/*
 * A server that is killed and started again: what was open and locked is so afterwards, for those who had it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "restart_support.h"

#include "base/log.h"

#include <fcntl.h>

#define A (&w.client[0])
#define B (&w.client[1])
#define C (&w.client[2])
#define MAX INT64_MAX

static struct world w;

static void restart(void)
{
	server_kill(&w);
	server_start(&w);
}

static void open_files_live_on(void **state)
{
	struct inlay_file *f, *g, *h;
	char text[100];

	(void)state;
	world_init(&w, 1, 1000);
	f = do_create(A, "f", INLAY_O_RDWR | INLAY_O_EXCL);
	g = do_create(A, "log", INLAY_O_WRONLY | INLAY_O_APPEND);
	h = do_create(B, "f", INLAY_O_RDONLY);
	assert_int_equal(do_write(A, f, 0, "before"), 0);
	assert_int_equal(do_write(A, g, 0, "one "), 0);
	restart();
	assert_int_equal(do_read(A, f, text, sizeof text), 0);
	assert_string_equal(text, "before");
	assert_int_equal(do_write(A, f, 6, " and after"), 0);
	assert_int_equal(do_write(A, g, 0, "two"), 0);
	restart();
	assert_int_equal(do_read(B, h, text, sizeof text), 0);
	assert_string_equal(text, "before and after");
	assert_int_equal(do_write(B, h, 0, "no"), -INLAY_ESTALE); /* EBADF of the server: not open for writing */
	assert_int_equal(do_close(B, h), 0);
	h = do_create(B, "log", INLAY_O_RDONLY);
	assert_int_equal(do_read(B, h, text, sizeof text), 0);
	assert_string_equal(text, "one two"); /* it appends still */
	assert_int_equal(do_close(B, h), 0);
	assert_int_equal(do_close(A, f), 0);
	assert_int_equal(do_close(A, g), 0);
	assert_int_equal(A->stale + B->stale, 0);
	assert_true(A->reclaims >= 2);
	world_done(&w);
}

static int set_mode(struct client *c, struct inlay_file *f, uint32_t mode)
{
	struct run *t = begin(c, NULL, f);

	t->op.node = inlay_node_ref(f->node);
	t->op.in.set.valid = INLAY_SET_MODE;
	t->op.in.set.mode = mode;
	inlay_op_setattr(&t->op);
	return run_to_end(t);
}

static void what_could_not_be_opened_any_more_is(void **state)
{
	struct inlay_file *renamed, *forbidden, *gone;
	char text[100];

	(void)state;
	world_init(&w, 2, 1000);
	renamed = do_create(A, "old", INLAY_O_RDWR);
	forbidden = do_create(A, "forbidden", INLAY_O_RDWR);
	gone = do_create(A, "gone", INLAY_O_RDWR);
	assert_int_equal(do_write(A, renamed, 0, "moved"), 0);
	assert_int_equal(do_write(A, forbidden, 0, "secret"), 0);
	assert_int_equal(run_to_end(begin_rename(B, "old", "new", 0)), 0);
	assert_int_equal(set_mode(A, forbidden, 0), 0);
	assert_int_equal(run_to_end(begin_remove(B, "gone", INLAY_UNLINK)), 0);
	restart();
	assert_int_equal(do_read(A, renamed, text, sizeof text), 0);
	assert_string_equal(text, "moved");
	assert_int_equal(do_read(A, forbidden, text, sizeof text), 0);
	assert_string_equal(text, "secret");
	assert_int_equal(do_read(A, gone, text, sizeof text), -INLAY_ESTALE);
	assert_int_equal(A->stale, 1);
	do_close(A, gone);
	do_close(A, renamed);
	do_close(A, forbidden);
	world_done(&w);
}

static uint64_t list_some(struct client *c, struct inlay_file *d, uint64_t cookie, char *text)
{
	struct run *t = begin(c, NULL, d);
	struct inlay_reader in;
	struct inlay_dirent e;

	t->op.in.io.off = cookie;
	t->op.in.io.len = 80;
	inlay_op_readdir(&t->op);
	while (!t->done)
		assert_true(step(&w));
	in = inlay_reader(t->data, t->data_len);
	while (in.p < in.end) {
		assert_int_equal(inlay_get_dirent(&in, &e, 0), 0);
		cookie = e.cookie;
		if (e.name.p[0] != '.')
			strncat(text, e.name.p, e.name.len);
	}
	assert_int_equal(finish(t), 0);
	return cookie;
}

static void listings_go_on(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
	struct inlay_file *d;
	uint64_t cookie = 0, before;
	char text[100] = "";
	struct run *t;

	(void)state;
	world_init(&w, 3, 1000);
	for (unsigned i = 0; i < 7; i++)
		do_close(A, do_create(A, names[i], INLAY_O_RDWR));
	t = begin(B, "", NULL);
	inlay_op_opendir(&t->op);
	while (!t->done)
		assert_true(step(&w));
	d = t->op.opened;
	assert_int_equal(finish(t), 0);
	do {
		before = cookie;
		cookie = list_some(B, d, cookie, text);
		restart();
	} while (cookie != before);
	assert_string_equal(text, "abcdefg");
	do_close(B, d);
	world_done(&w);
}

static void locks_are_kept_for_their_holders(void **state)
{
	struct inlay_file *a, *b, *c;
	struct run *t, *u, *v;

	(void)state;
	world_init(&w, 4, 60000);
	a = do_create(A, "f", INLAY_O_RDWR);
	b = do_create(B, "f", INLAY_O_RDWR);
	c = do_create(C, "f", INLAY_O_RDWR);
	assert_int_equal(do_lock(A, a, 1, INLAY_LOCK_WRITE, 0, 99), 0);
	assert_int_equal(do_lock(A, a, 1, INLAY_LOCK_UNLOCK, 40, 59), 0);
	assert_int_equal(do_lock(A, a, 1, INLAY_LOCK_READ, 90, 99), 0);
	assert_int_equal(do_lock(B, b, 2, INLAY_LOCK_WRITE, 40, 59), 0);
	server_kill(&w);
	server_start(&w);
	/* C is there first. */
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = B->wire[i].connected = true;
	t = begin_lock(C, c, 3, INLAY_LOCK_POSIX, INLAY_LOCK_WRITE, 0, 99, 0);
	u = begin_lock(C, c, 5, INLAY_LOCK_POSIX, INLAY_LOCK_WRITE, 60, 89, INLAY_LOCK_WAIT);
	v = begin(C, NULL, c);
	v->op.in.lock = (struct inlay_lock_req){.owner = 4, .start = 45, .end = 45, .type = INLAY_LOCK_READ};
	inlay_op_testlock(&v->op);
	settle(&w);
	assert_false(t->done || u->done || v->done);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = false;
	settle(&w);
	assert_false(t->done || u->done || v->done);
	for (unsigned i = 0; i < LANES; i++)
		B->wire[i].connected = false;
	settle(&w);
	assert_true(t->done && v->done);
	assert_false(u->done);
	assert_int_equal(finish(t), -INLAY_EAGAIN);
	assert_int_equal(v->op.out.lock.type, INLAY_LOCK_WRITE);
	assert_int_equal(v->op.out.lock.start, 40);
	assert_int_equal(finish(v), 0);
	/* The very ranges and kinds that there were. */
	assert_int_equal(do_lock(C, c, 3, INLAY_LOCK_READ, 90, 99), 0);
	assert_int_equal(do_lock(C, c, 3, INLAY_LOCK_READ, 89, 89), -INLAY_EAGAIN);
	assert_int_equal(do_lock(C, c, 3, INLAY_LOCK_READ, 39, 39), -INLAY_EAGAIN);
	assert_int_equal(do_lock(C, c, 3, INLAY_LOCK_READ, 59, 59), -INLAY_EAGAIN);
	do_close(A, a);
	settle(&w);
	assert_true(u->done);
	assert_int_equal(finish(u), 0);
	do_close(B, b);
	do_close(C, c);
	world_done(&w);
}

static void who_stays_away_loses_its_locks(void **state)
{
	struct inlay_file *a, *c;
	struct run *t;
	char text[10];

	(void)state;
	world_init(&w, 5, 50);
	a = do_create(A, "f", INLAY_O_RDWR);
	c = do_create(C, "f", INLAY_O_RDWR);
	assert_int_equal(run_to_end(begin_lock(A, a, 1, INLAY_LOCK_FLOCK, INLAY_LOCK_WRITE, 0, 0, 0)), 0);
	server_kill(&w);
	server_start(&w);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = true;
	t = begin_lock(C, c, 3, INLAY_LOCK_FLOCK, INLAY_LOCK_WRITE, 0, 0, INLAY_LOCK_WAIT);
	settle(&w);
	assert_false(t->done);
	usleep(60000);
	sessions_expire(w.server);
	settle(&w);
	assert_true(t->done);
	assert_int_equal(finish(t), 0);
	/* Back too late: a program that thinks it has the lock must not go on. */
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = false;
	settle(&w);
	assert_int_equal(A->stale, 1);
	assert_int_equal(do_read(A, a, text, sizeof text), -INLAY_ESTALE);
	/* For good: another restart, which opens everything again, doesn't give the lock back. */
	restart();
	assert_int_equal(do_read(A, a, text, sizeof text), -INLAY_ESTALE);
	do_close(A, a);
	do_close(C, c);
	world_done(&w);
}

/* An interrupt ends the wait of who did not ask to wait, too. */
static void a_lock_that_is_put_off_can_be_given_up(void **state)
{
	struct inlay_file *a, *c;
	struct run *t;

	(void)state;
	world_init(&w, 6, 60000);
	a = do_create(A, "f", INLAY_O_RDWR);
	c = do_create(C, "f", INLAY_O_RDWR);
	assert_int_equal(do_lock(A, a, 1, INLAY_LOCK_WRITE, 0, 9), 0);
	server_kill(&w);
	server_start(&w);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = true;
	t = begin_lock(C, c, 3, INLAY_LOCK_POSIX, INLAY_LOCK_WRITE, 0, 9, 0);
	settle(&w);
	assert_false(t->done);
	(void)inlay_op_lock_interrupt(&t->op);
	settle(&w);
	assert_true(t->done);
	assert_int_equal(finish(t), -INLAY_EINTR);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = false;
	settle(&w);
	do_close(A, a);
	do_close(C, c);
	world_done(&w);
}

/* ---- what a client may not ---- */

static int call(struct client *c, uint16_t type, const uint8_t *body, size_t len)
{
	struct inlay_request rq = {.session = c->ss, .type = type, .body = body, .body_len = (uint32_t)len};

	inlay_request_execute(&rq);
	inlay_request_done(&rq);
	return rq.status;
}

static int ask_reopen(struct client *c, const struct inlay_file *f, uint64_t handle, uint32_t flags, uint32_t kind, uint64_t token)
{
	uint8_t body[200];
	struct inlay_writer b = inlay_writer(body, sizeof body);
	struct inlay_reopen_req m = {.handle = handle, .node = f->node->id[INLAY_REMOTE], .flags = flags, .kind = kind, .token = token};

	inlay_put_reopen_req(&b, &m);
	return call(c, INLAY_REOPEN, body, inlay_writer_len(&b));
}

static int ask_lock(struct client *c, uint64_t handle, uint32_t flags)
{
	uint8_t body[200];
	struct inlay_writer b = inlay_writer(body, sizeof body);

	inlay_put_lock_req(&b, &(struct inlay_lock_req){.handle = handle, .owner = 9, .end = 9, .type = INLAY_LOCK_WRITE, .flags = flags});
	return call(c, INLAY_LOCK, body, inlay_writer_len(&b));
}

static void only_what_was_open_is_opened_again(void **state)
{
	struct inlay_file *f, *g;

	(void)state;
	world_init(&w, 7, 60000);
	f = do_create(A, "f", INLAY_O_RDONLY);
	g = do_create(B, "f", INLAY_O_RDONLY);
	assert_int_equal(ask_reopen(A, f, 77, 0, 0, f->token), -INLAY_EINVAL); /* there is nothing to reclaim */
	server_kill(&w);
	server_start(&w);
	while (A->wire[0].lane.state != INLAY_LANE_RECLAIM)
		step(&w);
	assert_int_equal(ask_reopen(A, f, 77, INLAY_O_RDWR, 0, f->token), -INLAY_ESTALE);
	assert_int_equal(ask_reopen(A, f, 77, 0, INLAY_REOPEN_DIR, f->token), -INLAY_ESTALE);
	assert_int_equal(ask_reopen(A, f, 77, 0, 0, g->token), -INLAY_ESTALE); /* another client's */
	assert_int_equal(ask_reopen(A, f, 77, INLAY_O_TRUNC, 0, f->token), -INLAY_EINVAL);
	assert_int_equal(ask_reopen(A, f, 77, 0, 2, f->token), -INLAY_EINVAL);
	assert_int_equal(ask_reopen(A, f, 0, 0, 0, f->token), -INLAY_EINVAL);
	assert_int_equal(ask_reopen(A, f, 77, 0, 0, f->token), 0);
	assert_int_equal(ask_reopen(A, f, 77, 0, 0, f->token), -INLAY_EINVAL); /* twice */
	assert_int_equal(ask_lock(A, 77, INLAY_LOCK_RECLAIM), -INLAY_ENOLCK); /* it held none */
	settle(&w);
	assert_int_equal(ask_reopen(A, f, 78, 0, 0, f->token), -INLAY_EINVAL); /* over */
	assert_int_equal(ask_lock(A, 77, INLAY_LOCK_RECLAIM), -INLAY_EINVAL);
	do_close(A, f);
	do_close(B, g);
	world_done(&w);
}

/* Garbage, a cut, another server's: no entry of it counts, and nothing breaks. */
static void a_damaged_roster_is_an_empty_one(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		struct inlay_file *a, *c;
		char path[100];
		int fd;

		world_init(&w, 8 + round, 60000);
		a = do_create(A, "f", INLAY_O_RDWR);
		c = do_create(C, "f", INLAY_O_RDWR);
		assert_int_equal(do_lock(A, a, 1, INLAY_LOCK_WRITE, 0, 9), 0);
		server_kill(&w);
		snprintf(path, sizeof path, "%s/lock-holders", w.state);
		fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		for (unsigned i = 0; i < 8; i++) {
			uint8_t byte = (uint8_t)(1 + chance(&w, 255));

			assert_int_equal(pwrite(fd, &byte, 1, chance(&w, 32) + (i ? 0 : 4096)), 1);
		}
		if (round % 3 == 0)
			assert_int_equal(ftruncate(fd, 17), 0);
		close(fd);
		server_start(&w);
		settle(&w);
		assert_int_equal(do_lock(C, c, 1, INLAY_LOCK_WRITE, 0, 9), 0);
		assert_int_equal(A->stale, 1);
		do_close(A, a);
		do_close(C, c);
		world_done(&w);
	}
}

/* ---- at random ---- */

static uint64_t current_seed;

/* A failing seed says so: INLAY_SEED=N runs it alone. */
static int say_seed(void **state)
{
	(void)state;
	print_message("# last seed: %llu\n", (unsigned long long)current_seed);
	return 0;
}

#define FILES 4

struct person {
	struct inlay_file *file[FILES];
	bool holds[FILES]; /* the write lock of all of it */
	struct run *lock[FILES];
};

static void check_locks(struct person *p)
{
	for (unsigned f = 0; f < FILES; f++) {
		unsigned holders = 0;

		for (unsigned i = 0; i < CLIENTS; i++)
			holders += p[i].holds[f];
		assert_true(holders <= 1);
	}
}

static void take_outcome(struct person *p, unsigned f, uint32_t type)
{
	struct run *t = p->lock[f];
	int status;

	if (!t || !t->done)
		return;
	p->lock[f] = NULL;
	status = finish(t);
	if (status != 0 && status != -INLAY_EAGAIN && status != -INLAY_EDEADLK)
		fail_msg("a lock: %s", inlay_status_text(status));
	p->holds[f] = status == 0 && type == INLAY_LOCK_WRITE;
}

static void person_acts(unsigned i, struct person *p)
{
	struct client *c = &w.client[i];
	unsigned f = chance(&w, FILES);
	uint32_t type = p->holds[f] ? INLAY_LOCK_UNLOCK : INLAY_LOCK_WRITE;

	if (p->lock[f]) {
		take_outcome(p, f, p->lock[f]->op.in.lock.type);
	} else {
		if (type == INLAY_LOCK_UNLOCK)
			p->holds[f] = false; /* from when it asks on, others may have it */
		p->lock[f] = begin_lock(c, p->file[f], i + 1, INLAY_LOCK_POSIX, type, 0, MAX,
		                        chance(&w, 2) ? INLAY_LOCK_WAIT : 0);
	}
}

static void round_of_locks(uint64_t seed)
{
	static const char *const names[FILES] = {"a", "b", "c", "d"};
	struct person people[CLIENTS] = {0};

	world_init(&w, seed, 60000);
	for (unsigned i = 0; i < CLIENTS * FILES; i++)
		people[i / FILES].file[i % FILES] = do_create(&w.client[i / FILES], names[i % FILES], INLAY_O_RDWR);
	for (unsigned n = 0; n < 600; n++) {
		unsigned who = chance(&w, CLIENTS);

		if (w.server && chance(&w, 60) == 0)
			server_kill(&w);
		else if (!w.server && chance(&w, 4) == 0)
			server_start(&w);
		else if (w.server && chance(&w, 40) == 0)
			wire_cut(&w.client[who].wire[chance(&w, LANES)]);
		if (chance(&w, 5) == 0)
			person_acts(who, &people[who]);
		else
			step(&w);
		check_locks(people);
	}
	if (!w.server)
		server_start(&w);
	for (unsigned i = 0; i < CLIENTS * FILES; i++) /* closing gives back all, and so everybody gets his turn */
		do_close(&w.client[i / FILES], people[i / FILES].file[i % FILES]);
	settle(&w);
	for (unsigned i = 0; i < CLIENTS * FILES; i++) {
		if (people[i / FILES].lock[i % FILES]) {
			(void)inlay_op_lock_interrupt(&people[i / FILES].lock[i % FILES]->op);
			settle(&w);
			assert_true(people[i / FILES].lock[i % FILES]->done);
			finish(people[i / FILES].lock[i % FILES]);
		}
		assert_int_equal(w.client[i / FILES].stale, 0);
	}
	world_done(&w);
}

static void no_lock_is_held_twice(void **state)
{
	const char *one = getenv("INLAY_SEED");

	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		if (one && seed != strtoull(one, NULL, 0))
			continue;
		current_seed = seed;
		round_of_locks(seed);
	}
}

/* ---- exactly once ---- */

#define NAMES 5
#define UNDER_WAY 4

enum kind { NOTHING, FILE_, DIRECTORY, LINK };

struct actor {
	char name[NAMES][16];
	enum kind kind[NAMES];
	bool busy[NAMES];
	struct {
		struct run *run;
		unsigned a, b; /* names it is about; NAMES: none */
		enum kind then_a, then_b;
		int expect;
		char text[24];
	} op[UNDER_WAY];
	struct inlay_file *log;
	unsigned appended; /* records, each of which must be there once */
};

static struct actor actors[CLIENTS];

static struct run *begin_make(struct client *c, const char *name, uint16_t kind)
{
	struct run *t = begin(c, name, NULL);

	t->op.in.make.mode = 0755;
	if (kind == INLAY_SYMLINK)
		t->op.in.make.target = INLAY_STR("there");
	inlay_op_make(&t->op, kind);
	return t;
}

/* What an actor may do with one of its names, as it is now. */
static void act_on_one(unsigned who, unsigned slot, unsigned a)
{
	struct actor *p = &actors[who];
	struct client *c = &w.client[who];
	static const uint16_t makes[] = {[FILE_] = INLAY_CREATE, [DIRECTORY] = INLAY_MKDIR, [LINK] = INLAY_SYMLINK};
	enum kind kind = p->kind[a], made = (enum kind)(FILE_ + chance(&w, 3));
	bool remove = kind != NOTHING && chance(&w, 3);

	p->op[slot].then_a = remove ? NOTHING : kind == NOTHING ? made : kind;
	p->op[slot].expect = remove || kind == NOTHING ? 0 : -INLAY_EEXIST;
	if (remove)
		p->op[slot].run = begin_remove(c, p->name[a], kind == DIRECTORY ? INLAY_RMDIR : INLAY_UNLINK);
	else if (made == FILE_)
		p->op[slot].run = begin_create(c, p->name[a], INLAY_O_RDWR | INLAY_O_EXCL);
	else
		p->op[slot].run = begin_make(c, p->name[a], makes[made]);
}

static void act_on_two(unsigned who, unsigned slot, unsigned a, unsigned b)
{
	struct actor *p = &actors[who];
	bool exchange = p->kind[b] != NOTHING;

	p->op[slot].b = b;
	p->op[slot].then_a = exchange ? p->kind[b] : NOTHING;
	p->op[slot].then_b = p->kind[a];
	p->op[slot].run = begin_rename(&w.client[who], p->name[a], p->name[b], exchange ? INLAY_RENAME_EXCHANGE : INLAY_RENAME_NOREPLACE);
}

static void append(unsigned who, unsigned slot)
{
	struct actor *p = &actors[who];

	p->op[slot].a = NAMES;
	snprintf(p->op[slot].text, sizeof p->op[slot].text, "<%u.%u>", who, p->appended++);
	p->op[slot].run = begin_write(&w.client[who], p->log, 0, p->op[slot].text, (uint32_t)strlen(p->op[slot].text));
}

static void actor_begins(unsigned who, unsigned slot)
{
	struct actor *p = &actors[who];
	unsigned a = chance(&w, NAMES), b = chance(&w, NAMES);

	p->op[slot].expect = 0;
	p->op[slot].a = a;
	p->op[slot].b = NAMES;
	if (chance(&w, 4) == 0) {
		append(who, slot);
		return;
	}
	if (p->busy[a])
		return;
	if (a != b && !p->busy[b] && p->kind[a] != NOTHING && chance(&w, 2))
		act_on_two(who, slot, a, b);
	else
		act_on_one(who, slot, a);
	p->busy[a] = true;
	if (p->op[slot].b < NAMES)
		p->busy[b] = true;
}

static void actor_ends(unsigned who, unsigned slot)
{
	struct actor *p = &actors[who];
	struct run *t = p->op[slot].run;
	struct inlay_file *f;
	struct client *c = &w.client[who];
	uint16_t kind;
	int status;

	if (!t || !t->done)
		return;
	p->op[slot].run = NULL;
	f = t->op.opened;
	kind = t->op.kind;
	status = finish(t);
	if (status != p->op[slot].expect)
		fail_msg("%s: %s, not %s", inlay_message_name(kind), inlay_status_text(status), inlay_status_text(p->op[slot].expect));
	if (p->op[slot].a < NAMES) {
		p->kind[p->op[slot].a] = p->op[slot].then_a;
		p->busy[p->op[slot].a] = false;
	}
	if (p->op[slot].a < NAMES && p->op[slot].b < NAMES) {
		p->kind[p->op[slot].b] = p->op[slot].then_b;
		p->busy[p->op[slot].b] = false;
	}
	if (f) {
		struct run *u = begin(c, NULL, f); /* nobody waits for it */

		inlay_op_close(&u->op);
		while (!u->done) {
			if (!w.server)
				server_start(&w);
			assert_true(step(&w));
		}
		finish(u);
	}
}

static enum kind really(const char *name)
{
	struct inlay_store_node *root, *n;
	struct inlay_attr attr;
	int r;

	assert_int_equal(w.ops.root(w.store, &root), 0);
	r = w.ops.lookup(root, NULL, inlay_str(name), &n, &attr);
	w.ops.node_unref(root);
	if (r < 0)
		return NOTHING;
	w.ops.node_unref(n);
	return (attr.mode & 0170000) == 0040000 ? DIRECTORY : (attr.mode & 0170000) == 0120000 ? LINK : FILE_;
}

static void check_log(void)
{
	static char text[65536];
	struct inlay_store_node *root, *n;
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int64_t len;

	assert_int_equal(w.ops.root(w.store, &root), 0);
	assert_int_equal(w.ops.lookup(root, NULL, INLAY_STR("log"), &n, &attr), 0);
	assert_int_equal(w.ops.open(n, NULL, INLAY_O_RDONLY, &f, &attr), 0);
	len = w.ops.read(f, 0, text, sizeof text - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	w.ops.file_unref(f);
	w.ops.node_unref(n);
	w.ops.node_unref(root);
	for (unsigned i = 0; i < CLIENTS; i++)
		for (unsigned k = 0; k < actors[i].appended; k++) {
			char one[24], *at;

			snprintf(one, sizeof one, "<%u.%u>", i, k);
			at = strstr(text, one);
			if (!at || strstr(at + 1, one))
				fail_msg("the record %s is there %s", one, at ? "twice" : "not at all");
		}
}

static void something_happens(void)
{
	if (!w.server) {
		if (chance(&w, 3) == 0)
			server_start(&w);
	} else if (chance(&w, 60) == 0) {
		w.death = (enum death)chance(&w, 4);
		if (w.death == ALIVE)
			server_kill(&w);
	} else if (chance(&w, 50) == 0) {
		wire_cut(&w.client[chance(&w, CLIENTS)].wire[chance(&w, LANES)]);
	}
}

static void round_of_changes(uint64_t seed)
{
	world_init(&w, seed, 60000);
	memset(actors, 0, sizeof actors);
	for (unsigned i = 0; i < CLIENTS; i++) {
		for (unsigned n = 0; n < NAMES; n++)
			snprintf(actors[i].name[n], sizeof actors[i].name[n], "%u-%u", i, n);
		actors[i].log = do_create(&w.client[i], "log", INLAY_O_WRONLY | INLAY_O_APPEND);
	}
	for (unsigned n = 0; n < 500; n++) {
		unsigned who = chance(&w, CLIENTS), slot = chance(&w, UNDER_WAY);

		something_happens();
		if (chance(&w, 4))
			step(&w);
		else if (actors[who].op[slot].run)
			actor_ends(who, slot);
		else
			actor_begins(who, slot);
	}
	w.death = ALIVE;
	if (!w.server)
		server_start(&w);
	settle(&w);
	for (unsigned i = 0; i < CLIENTS * UNDER_WAY; i++) {
		actor_ends(i / UNDER_WAY, i % UNDER_WAY);
		assert_null(actors[i / UNDER_WAY].op[i % UNDER_WAY].run);
	}
	for (unsigned i = 0; i < CLIENTS * NAMES; i++)
		assert_int_equal(really(actors[i / NAMES].name[i % NAMES]), actors[i / NAMES].kind[i % NAMES]);
	for (unsigned i = 0; i < CLIENTS; i++)
		do_close(&w.client[i], actors[i].log);
	check_log();
	world_done(&w);
}

static void each_change_happens_once(void **state)
{
	const char *one = getenv("INLAY_SEED");

	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		if (one && seed != strtoull(one, NULL, 0))
			continue;
		current_seed = seed;
		round_of_changes(seed);
	}
}

/* A request at which the server dies, in that way. */
static struct run *dying(enum death death, struct run *(*begin_it)(struct client *c, void *arg), void *arg)
{
	struct run *t;

	settle(&w);
	w.death = death;
	t = begin_it(A, arg);
	settle(&w);
	assert_null(w.server);
	assert_false(t->done);
	return t;
}

static struct run *it_unlinks(struct client *c, void *name)
{
	return begin_remove(c, name, INLAY_UNLINK);
}

static struct run *it_renames(struct client *c, void *name)
{
	return begin_rename(c, name, "new", 0);
}

static struct run *it_creates(struct client *c, void *name)
{
	return begin_create(c, name, INLAY_O_RDWR | INLAY_O_EXCL);
}

static struct run *it_appends(struct client *c, void *file)
{
	return begin_write(c, file, 0, "same", 4);
}

/* By a program on the server. */
static void made_there(const char *name)
{
	const struct inlay_store_make make = {.mode = 0100644};
	struct inlay_store_node *root, *n;
	struct inlay_attr attr;

	assert_int_equal(w.ops.root(w.store, &root), 0);
	assert_int_equal(w.ops.mknod(root, NULL, inlay_str(name), &make, &n, &attr), 0);
	w.ops.node_unref(n);
	w.ops.node_unref(root);
}

static int after(struct run *t)
{
	server_start(&w);
	settle(&w);
	return finish(t);
}

static void what_others_made_meanwhile_is_theirs(void **state)
{
	struct run *t;

	(void)state;
	world_init(&w, 9, 60000);
	made_there("f");
	t = dying(DONE_ONLY, it_unlinks, "f");
	made_there("f");
	assert_int_equal(after(t), 0);
	assert_int_equal(really("f"), FILE_);
	t = dying(DONE_ONLY, it_renames, "f");
	made_there("f");
	assert_int_equal(after(t), 0);
	assert_int_equal(really("f"), FILE_);
	assert_int_equal(really("new"), FILE_);
	/* Not done when the server died, and then another was quicker: as if it had come a moment later. */
	t = dying(NOTED_ONLY, it_unlinks, "new");
	assert_int_equal(after(t), 0);
	assert_int_equal(really("new"), NOTHING);
	world_done(&w);
}

/* Client A doesn't come back before B has done that. */
static int meanwhile(struct run *(*begin_it)(struct client *c, void *arg), void *arg)
{
	struct run *t;
	struct inlay_file *f;
	int status;

	server_start(&w);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = true;
	t = begin_it(B, arg);
	settle(&w);
	f = t->op.opened;
	status = finish(t);
	if (f)
		do_close(B, f);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = false;
	return status;
}

static int returns(struct run *t)
{
	settle(&w);
	return finish(t);
}

/* Of two clients of one user each change succeeds for one, whoever's server died in the middle of it. */
static void what_others_did_before_it_is_redone_is_theirs(void **state)
{
	struct run *t;

	(void)state;
	world_init(&w, 12, 60000);
	t = dying(NOTED_ONLY, it_creates, "f");
	assert_int_equal(meanwhile(it_creates, "f"), 0);
	assert_int_equal(returns(t), -INLAY_EEXIST);
	t = dying(NOTED_ONLY, it_unlinks, "f");
	assert_int_equal(meanwhile(it_unlinks, "f"), 0);
	assert_int_equal(returns(t), -INLAY_ENOENT);
	made_there("f");
	t = dying(DONE_ONLY, it_unlinks, "f");
	assert_int_equal(meanwhile(it_creates, "f"), 0);
	assert_int_equal(returns(t), 0);
	assert_int_equal(really("f"), FILE_);
	t = dying(NOTED_ONLY, it_renames, "f");
	assert_int_equal(meanwhile(it_renames, "f"), 0);
	assert_int_equal(returns(t), -INLAY_ENOENT);
	/* Made and removed by others since: it was made, and there is nothing to open. */
	t = dying(DONE_ONLY, it_creates, "f");
	assert_int_equal(meanwhile(it_unlinks, "f"), 0);
	assert_int_equal(returns(t), -INLAY_ESTALE);
	assert_int_equal(really("f"), NOTHING);
	/* What was not there when it was asked for was not removed by it. */
	assert_int_equal(after(dying(NOTED_ONLY, it_unlinks, "f")), -INLAY_ENOENT);
	world_done(&w);
}

static void remove_records(void)
{
	char path[200];

	snprintf(path, sizeof path, "%s/records", w.state);
	state_remove(path);
}

/* What it doesn't say may have been done before it was begun, also after the next restart. */
static void a_record_begun_anew_knows_nothing_of_before(void **state)
{
	struct run *t;

	(void)state;
	world_init(&w, 13, 60000);
	made_there("f");
	t = dying(DONE_ONLY, it_unlinks, "f");
	remove_records();
	made_there("f");
	for (unsigned i = 0; i < 3; i++) {
		server_start(&w);
		while (!A->ss)
			assert_true(step(&w));
		server_kill(&w);
	}
	assert_int_equal(after(t), -INLAY_EIO);
	assert_int_equal(really("f"), FILE_);
	world_done(&w);
}

static void equal_appends_are_told_apart(void **state)
{
	static const enum death deaths[] = {NOTED_ONLY, DONE_ONLY, RECORDED, NOTED_ONLY};
	struct inlay_file *log;
	char text[100], wanted[100] = "same";

	(void)state;
	world_init(&w, 10, 60000);
	log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	assert_int_equal(do_write(A, log, 0, "same"), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(after(dying(deaths[i], it_appends, log)), 0);
		strcat(wanted, "same");
		assert_int_equal(do_read(A, log, text, sizeof text), 0);
		assert_string_equal(text, wanted);
	}
	do_close(A, log);
	world_done(&w);
}

/* As if they were there: nobody but A comes back. */
static void others_stay_away(bool away)
{
	for (unsigned i = 0; i < CLIENTS * LANES; i++)
		if (&w.client[i / LANES] != A)
			w.client[i / LANES].wire[i % LANES].connected = away;
}

/* A's next request is one of that type. */
static bool is_next(uint16_t type)
{
	for (unsigned i = 0; i < LANES; i++)
		if (!inlay_list_empty(&A->wire[i].up))
			return inlay_container(A->wire[i].up.next, struct parcel, link)->f.type == type;
	return false;
}

/* A crash made the file shorter than it was when the append was noted first; then the server dies over it a second time. */
static void an_append_is_done_once_though_its_server_dies_twice(void **state)
{
	struct inlay_file *log;
	struct run *t;
	char text[100];

	(void)state;
	world_init(&w, 14, 60000);
	log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	assert_int_equal(do_write(A, log, 0, "kept"), 0);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_sync(A, log), 0); /* so that it is not the first to be written again */
	write_on_server(&w, "log", 4, "gone with the crash");
	t = dying(NOTED_ONLY, it_appends, log);
	inlay_memory_crash(w.store);
	w.hosts++;
	server_start(&w);
	others_stay_away(true);
	while (!is_next(INLAY_WRITE))
		assert_true(step(&w));
	w.death = DONE_ONLY;
	while (w.server)
		assert_true(step(&w));
	others_stay_away(false);
	assert_int_equal(after(t), 0);
	assert_int_equal(do_read(A, log, text, sizeof text), 0);
	assert_string_equal(text, "keptsame");
	do_close(A, log);
	world_done(&w);
}

static int64_t broken_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags)
{
	(void)f, (void)off, (void)buf, (void)len, (void)flags;
	return -INLAY_EIO;
}

/* Whether it was done can't be looked at: then it isn't done once more. */
static void an_append_is_not_repeated_blindly(void **state)
{
	struct inlay_file *log;
	struct run *t;
	char text[100];

	(void)state;
	world_init(&w, 15, 60000);
	log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	t = dying(DONE_ONLY, it_appends, log);
	int64_t (*whole)(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags) = w.ops.read;
	w.ops.read = broken_read;
	assert_int_equal(after(t), -INLAY_EIO);
	w.ops.read = whole;
	assert_int_equal(do_read(A, log, text, sizeof text), 0);
	assert_string_equal(text, "same");
	do_close(A, log);
	world_done(&w);
}

/* What the record says was done, the host's crash has undone. */
static void a_crash_of_the_host_undoes_what_was_recorded(void **state)
{
	struct run *t;
	struct inlay_file *f;

	(void)state;
	world_init(&w, 11, 60000);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	t = dying(RECORDED, it_creates, "f");
	inlay_memory_crash(w.store);
	w.hosts++;
	assert_int_equal(really("f"), NOTHING);
	server_start(&w);
	settle(&w);
	assert_true(t->done);
	f = t->op.opened;
	assert_int_equal(finish(t), 0);
	assert_int_equal(really("f"), FILE_);
	do_close(A, f);
	world_done(&w);
}

/* Damaged at random: an answer may be EIO, but nothing is done twice, and nothing breaks. */
static void a_damaged_record_does_no_harm(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct run *t;
		char path[200];
		struct dirent *e;
		DIR *d;
		int status;

		world_init(&w, 20 + round, 60000);
		made_there("f");
		t = dying((enum death)(NOTED_ONLY + round % 3), it_unlinks, "f");
		snprintf(path, sizeof path, "%s/records", w.state);
		d = opendir(path);
		assert_non_null(d);
		while ((e = readdir(d))) {
			int fd = e->d_name[0] != '.' ? openat(dirfd(d), e->d_name, O_RDWR) : -1;

			if (fd < 0)
				continue;
			for (unsigned i = 0; i < 1 + round % 40; i++) {
				uint8_t byte = (uint8_t)chance(&w, 256);

				assert_int_equal(pwrite(fd, &byte, 1, chance(&w, 2) ? 4096 + chance(&w, 2000) : chance(&w, 90000)), 1);
			}
			if (round % 7 == 0)
				assert_int_equal(ftruncate(fd, chance(&w, 6000)), 0);
			close(fd);
		}
		closedir(d);
		status = after(t);
		assert_true(status == 0 || status == -INLAY_EIO || status == -INLAY_ENOENT);
		world_done(&w);
	}
}

static int do_flush(struct client *c, struct inlay_file *f)
{
	struct run *t = begin(c, NULL, f);

	t->op.in.lock.owner = 1;
	inlay_op_flush(&t->op);
	return run_to_end(t);
}

static void crash(void)
{
	world_crash(&w);
}

static void lost_writes_are_told_once_for_each_open_file(void **state)
{
	struct inlay_file *a, *again, *b, *reader, *other, *safe;
	char text[100];

	(void)state;
	world_init(&w, 12, 60000);
	a = do_create(A, "f", INLAY_O_RDWR);
	again = do_create(A, "f", INLAY_O_RDWR);
	reader = do_create(A, "f", INLAY_O_RDONLY);
	other = do_create(A, "g", INLAY_O_RDWR);
	safe = do_create(A, "h", INLAY_O_RDWR | INLAY_O_SYNC);
	b = do_create(B, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_write(A, a, 0, "kept"), 0);
	assert_int_equal(do_write(A, other, 0, "kept"), 0);
	assert_int_equal(do_write(A, safe, 0, "kept"), 0);
	assert_int_equal(do_sync(A, again), 0); /* of the file, whoever asks */
	assert_int_equal(do_sync(A, other), 0);
	crash();
	assert_int_equal(do_sync(A, a) + do_sync(A, again) + do_sync(A, other) + do_sync(A, safe) + do_sync(B, b), 0);
	assert_int_equal(do_write(A, a, 0, "lost"), 0);
	assert_int_equal(do_copy(A, a, 0, 4, 4), 0); /* else it would be sent again */
	restart(); /* that alone loses nothing */
	assert_int_equal(do_read(A, a, text, sizeof text), 0);
	assert_string_equal(text, "lostlost");
	crash();
	assert_int_equal(do_read(A, a, text, sizeof text), 0);
	assert_string_equal(text, "kept");
	assert_int_equal(do_sync(A, a), -INLAY_EIO);
	assert_int_equal(do_sync(A, a), 0);
	assert_int_equal(do_flush(A, a), 0);
	assert_int_equal(do_flush(A, again), -INLAY_EIO); /* of a copy that a child of the program didn't want, maybe */
	assert_int_equal(do_flush(A, again), -INLAY_EIO);
	assert_int_equal(do_sync(A, again), -INLAY_EIO);
	assert_int_equal(do_sync(A, again) + do_flush(A, again), 0);
	assert_int_equal(do_sync(A, reader) + do_sync(A, other) + do_sync(A, safe) + do_sync(B, b), 0);
	crash(); /* told once, not again */
	assert_int_equal(do_sync(A, a) + do_flush(A, again), 0);
	do_close(A, a);
	do_close(A, again);
	do_close(A, reader);
	do_close(A, other);
	do_close(A, safe);
	do_close(B, b);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_files_live_on),
		cmocka_unit_test(what_could_not_be_opened_any_more_is),
		cmocka_unit_test(listings_go_on),
		cmocka_unit_test(locks_are_kept_for_their_holders),
		cmocka_unit_test(who_stays_away_loses_its_locks),
		cmocka_unit_test(a_lock_that_is_put_off_can_be_given_up),
		cmocka_unit_test(only_what_was_open_is_opened_again),
		cmocka_unit_test(a_damaged_roster_is_an_empty_one),
		cmocka_unit_test_teardown(no_lock_is_held_twice, say_seed),
		cmocka_unit_test_teardown(each_change_happens_once, say_seed),
		cmocka_unit_test(what_others_made_meanwhile_is_theirs),
		cmocka_unit_test(equal_appends_are_told_apart),
		cmocka_unit_test(an_append_is_done_once_though_its_server_dies_twice),
		cmocka_unit_test(an_append_is_not_repeated_blindly),
		cmocka_unit_test(a_crash_of_the_host_undoes_what_was_recorded),
		cmocka_unit_test(a_damaged_record_does_no_harm),
		cmocka_unit_test(what_others_did_before_it_is_redone_is_theirs),
		cmocka_unit_test(a_record_begun_anew_knows_nothing_of_before),
		cmocka_unit_test(lost_writes_are_told_once_for_each_open_file),
	};

	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The redirector's open files: listings, locks that wait, and sides that answer rubbish or run out of memory.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect_support.h"

#include <dlfcn.h>

/* ---- allocation that fails on demand, only in what is tested: not while a side is at work ---- */

/* The thread sanitizer needs malloc before it can be asked for one: there the case is left to the other builds. */
#ifndef __SANITIZE_THREAD__
#define ALLOCATIONS_FAIL 1
#endif

#ifdef ALLOCATIONS_FAIL
static unsigned fail_at; /* the fail_at-th from now; 0: none */
static bool failed;

static bool must_fail(void)
{
	if (!fail_at || w.in_side || --fail_at)
		return false;
	failed = true;
	return true;
}

void *malloc(size_t size)
{
	static void *(*real)(size_t);

	if (!real)
		real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return must_fail() ? NULL : real(size);
}

void *realloc(void *p, size_t size)
{
	static void *(*real)(void *, size_t);

	if (!real)
		real = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	return must_fail() ? NULL : real(p, size);
}

void *calloc(size_t count, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (!real)
		real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	return must_fail() ? NULL : real(count, size);
}
#endif

/* ---- listings ---- */

static void make_many(int side, const char *dir, const char *prefix, unsigned count)
{
	char path[256];

	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%s%03u", dir, prefix, i);
		side_make(side, path);
	}
}

static unsigned words(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == ' ';
	return n;
}

static void begin_listing(const char *const *rules)
{
	start(rules);
	for (int side = 0; side < INLAY_SIDES; side++) {
		side_make(side, "d/");
		make_many(side, "d", "both", 50);
		make_many(side, "d", side == INLAY_LOCAL ? "local" : "remote", 300);
	}
	side_make(INLAY_REMOTE, "r/");
	make_many(INLAY_REMOTE, "r", "a", 200);
	make_many(INLAY_REMOTE, "r", "b", 3);
}

static void each_name_is_listed_once(void **state)
{
	static const uint32_t lens[] = {64, 100, 4096, 1u << 20};
	char text[65536];

	(void)state;
	begin_listing(NULL);
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		assert_int_equal(t_list("d", lens[i], text), 0);
		assert_int_equal(words(text), 650);
		assert_int_equal(t_list("r", lens[i], text), 0);
		assert_int_equal(words(text), 203);
	}
	stop();
}

/* What lookup would not find is not listed, on merged directories and on others; a batch of hidden names is no end. */
static void hidden_names_are_not_listed(void **state)
{
	static const char *const rules[] = {"local a*", "remote local00*", "local both01*", "local remote1*", NULL};
	char text[65536];

	(void)state;
	begin_listing(rules);
	assert_int_equal(t_list("r", 100, text), 0);
	assert_string_equal(text, "b000 b001 b002 ");
	assert_int_equal(t_list("d", 4096, text), 0);
	assert_int_equal(words(text), 650 - 10 - 100);
	assert_null(strstr(text, "local005"));
	assert_null(strstr(text, "remote123"));
	assert_non_null(strstr(text, "both010"));
	stop();
}

static void listings_can_be_read_again_and_from_the_middle(void **state)
{
	struct inlay_file *f;
	char first[65536] = "", again[65536] = "", rest[65536] = "";
	uint64_t cookie, middle;
	int status;

	(void)state;
	begin_listing(NULL);
	f = t_open("d", 0, &status);
	assert_non_null(f);
	assert_int_equal(t_readdir(f, 0, 4096, first, &middle), 0);
	assert_int_equal(t_readdir(f, middle, 65536, rest, &cookie), 0);
	side_make(INLAY_REMOTE, "d/zzz");
	assert_int_equal(t_readdir(f, 0, 4096, again, &cookie), 0);
	assert_string_equal(first, again);
	assert_int_equal(t_readdir(f, 1000000, 4096, again, &cookie), 0); /* beyond the end */
	assert_int_equal(t_readdir(f, UINT64_MAX, 4096, again, &cookie), 0);
	rest[0] = '\0';
	assert_int_equal(t_readdir(f, middle, 65536, rest, &cookie), 0);
	assert_non_null(strstr(rest, "zzz"));
	assert_int_equal(t_close(f), 0);
	stop();
}

static void a_listing_without_one_half_fails(void **state)
{
	char text[65536];

	(void)state;
	begin_listing(NULL);
	for (int side = 0; side < INLAY_SIDES; side++) {
		for (unsigned at = 1; at <= 2; at++) {
			w.side[side].fail_type = at == 1 ? INLAY_OPENDIR : INLAY_READDIR;
			w.side[side].fail_at = 1;
			w.side[side].fail_status = -INLAY_EACCES;
			assert_int_equal(t_list("d", 4096, text), -INLAY_EACCES);
		}
	}
	assert_int_equal(t_list("d", 4096, text), 0);
	stop();
}

/* ---- locks ---- */

static struct run *lock(struct inlay_file *f, uint64_t owner, uint32_t type, uint32_t flags)
{
	struct run *t = on_file(f);

	t->op.in.lock = (struct inlay_lock_req){.owner = owner, .start = 0, .end = INT64_MAX, .type = type, .flags = flags,
	                                        .pid = (uint32_t)owner};
	inlay_op_lock(&t->op);
	return t;
}

static struct run *lock_now(struct inlay_file *f, uint64_t owner, uint32_t type, uint64_t from, uint64_t to)
{
	struct run *t = on_file(f);

	t->op.in.lock = (struct inlay_lock_req){.owner = owner, .start = from, .end = to, .type = type, .pid = 1};
	inlay_op_lock(&t->op);
	return t;
}

static int unlock(struct inlay_file *f, uint64_t owner)
{
	return drop(lock(f, owner, INLAY_LOCK_UNLOCK, 0));
}

static struct inlay_file *lock_file(int side)
{
	int status;
	struct inlay_file *f;

	side_make(side, "lf");
	f = t_open("lf", INLAY_O_RDWR, &status);
	assert_non_null(f);
	assert_int_equal(f->side, side);
	return f;
}

static void locks_wait_and_are_woken(void **state)
{
	(void)state;
	for (int side = 0; side < INLAY_SIDES; side++) {
		struct inlay_file *f;
		struct run *a, *b;

		start(NULL);
		f = lock_file(side);
		assert_int_equal(drop(lock(f, 1, INLAY_LOCK_WRITE, 0)), 0);
		assert_int_equal(drop(lock(f, 2, INLAY_LOCK_WRITE, 0)), -INLAY_EAGAIN);
		a = lock(f, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
		b = lock(f, 3, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
		assert_false(a->done || b->done);
		assert_false(fake_run(&w));
		assert_int_equal(unlock(f, 1), 0);
		while (fake_run(&w))
			;
		assert_true(a->done != b->done);
		assert_int_equal(unlock(f, a->done ? 2 : 3), 0);
		while (fake_run(&w))
			;
		assert_true(a->done && b->done);
		assert_int_equal(drop(a), 0);
		assert_int_equal(drop(b), 0);
		assert_int_equal(t_close(f), 0);
		stop();
	}
}

/* The hint comes between the server's "queued" and the moment at which we read it. */
static void a_hint_that_overtakes_the_answer_is_kept(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_event_lock_req e;
	struct inlay_file *file;
	struct run *a;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	f->hold = true;
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	e = (struct inlay_event_lock_req){.handle = file->handle, .owner = 2};
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &e);
	inlay_redirect_event_lock(&w.r, INLAY_LOCAL, &e);
	assert_false(fake_run(&w));
	f->fail_type = INLAY_LOCK;
	f->fail_at = 1;
	f->fail_status = -INLAY_EQUEUED;
	assert_true(fake_release(f));
	assert_false(a->done);
	assert_true(fake_release(f)); /* asked again at once */
	assert_true(a->done);
	f->hold = false;
	assert_int_equal(drop(a), 0);
	/* One for another owner or file wakes nobody. */
	f->fail_at = 1;
	assert_false((a = lock(file, 4, INLAY_LOCK_READ, INLAY_LOCK_WAIT))->done);
	e.owner = 5;
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &e);
	e.owner = 4;
	e.handle++;
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &e);
	assert_false(fake_run(&w));
	inlay_redirect_ask_again(&w.r, INLAY_LOCAL);
	assert_false(fake_run(&w));
	inlay_redirect_ask_again(&w.r, INLAY_REMOTE);
	assert_true(fake_run(&w));
	assert_false(a->done); /* it asked, and is queued again */
	assert_int_equal(unlock(file, 2), 0);
	assert_true(fake_run(&w));
	assert_int_equal(drop(a), 0);
	assert_int_equal(unlock(file, 4), 0);
	assert_int_equal(t_close(file), 0);
	stop();
}

static struct run *lock_range(struct inlay_file *f, uint64_t owner, uint32_t type, uint64_t from, uint64_t to)
{
	struct run *t = on_file(f);

	t->op.in.lock = (struct inlay_lock_req){.owner = owner, .start = from, .end = to, .type = type, .flags = INLAY_LOCK_WAIT, .pid = 1};
	inlay_op_lock(&t->op);
	return t;
}

/* The side has given it, but nobody waits for it any more: what its owner had before stays, and nothing else. */
static void a_lock_given_up_at_the_port_is_undone(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_file *file;
	struct run *a, *b, *c;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	assert_int_equal(drop(lock_range(file, 2, INLAY_LOCK_READ, 10, 19)), 0);
	assert_int_equal(drop(lock_range(file, 2, INLAY_LOCK_WRITE, 40, 49)), 0);
	f->hold = true;
	a = lock_range(file, 2, INLAY_LOCK_WRITE, 0, 99);
	f->port.cancel(&f->port, 0, &a->op.call);
	assert_int_equal(drop(a), -INLAY_EINTR);
	/* What the same owner asks for now waits for that, and can be given up, too; what others ask for goes its way. */
	b = lock_range(file, 2, INLAY_LOCK_WRITE, 60, 69);
	c = lock_range(file, 2, INLAY_LOCK_WRITE, 70, 79);
	assert_false(b->done || c->done);
	assert_int_equal(f->calls[INLAY_LOCK], 3);
	assert_false(inlay_op_lock_interrupt(&c->op));
	assert_true(fake_run(&w));
	assert_int_equal(drop(c), -INLAY_EINTR);
	f->hold = false;
	while (fake_release(f))
		;
	while (fake_run(&w))
		;
	assert_int_equal(drop(b), 0);
	for (uint64_t at = 0; at < 100; at += 5) {
		bool shared = at >= 10 && at < 20, alone = (at >= 40 && at < 50) || (at >= 60 && at < 70);
		int reads = drop(lock_now(file, 3, INLAY_LOCK_READ, at, at + 4)), writes = drop(lock_now(file, 4, INLAY_LOCK_WRITE, at, at + 4));

		assert_int_equal(reads, alone ? -INLAY_EAGAIN : 0);
		assert_int_equal(writes, -INLAY_EAGAIN);
		assert_int_equal(drop(lock_now(file, 3, INLAY_LOCK_UNLOCK, at, at + 4)), 0);
		assert_int_equal(drop(lock_now(file, 4, INLAY_LOCK_WRITE, at, at + 4)), shared || alone ? -INLAY_EAGAIN : 0);
		assert_int_equal(drop(lock_now(file, 4, INLAY_LOCK_UNLOCK, at, at + 4)), 0);
	}
	assert_int_equal(t_close(file), 0);
	stop();
}

/* An unlock that is given up before it was sent is done all the same: its program holds nothing any more. */
static void an_unlock_given_up_at_the_port_is_done(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_file *file;
	struct run *a;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	assert_int_equal(drop(lock(file, 2, INLAY_LOCK_WRITE, 0)), 0);
	f->hold = true;
	a = lock(file, 2, INLAY_LOCK_UNLOCK, 0);
	f->port.cancel(&f->port, 0, &a->op.call);
	assert_int_equal(drop(a), -INLAY_EINTR);
	f->hold = false;
	while (fake_release(f))
		;
	assert_int_equal(drop(lock(file, 3, INLAY_LOCK_WRITE, 0)), 0);
	assert_int_equal(t_close(file), 0);
	stop();
}

/* So is a close: what was locked through the file is free for others. */
static void a_close_given_up_at_the_port_is_done(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_file *file, *other;
	struct run *a;
	int status;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	other = t_open("lf", INLAY_O_RDWR, &status);
	assert_int_equal(drop(lock(file, 2, INLAY_LOCK_WRITE, 0)), 0);
	f->hold = true;
	a = on_file(file);
	inlay_op_close(&a->op);
	f->port.cancel(&f->port, 0, &a->op.call);
	assert_int_equal(drop(a), -INLAY_EINTR);
	f->hold = false;
	while (fake_release(f))
		;
	assert_int_equal(drop(lock(other, 3, INLAY_LOCK_WRITE, 0)), 0);
	assert_int_equal(t_close(other), 0);
	stop();
}

/* The side takes the next waiter off its list, the same owner's: it asks again once the cancel is answered. */
static void a_late_cancel_takes_nobody_elses_place(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_file *file;
	struct run *a, *b;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	assert_int_equal(drop(lock(file, 1, INLAY_LOCK_WRITE, 0)), 0);
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	f->hold = true;
	assert_false(inlay_op_lock_interrupt(&a->op));
	assert_true(fake_run(&w));
	assert_int_equal(drop(a), -INLAY_EINTR); /* its cancel is held back */
	f->hold = false;
	b = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	assert_true(fake_release(f));
	while (fake_run(&w))
		;
	assert_false(b->done);
	assert_int_equal(unlock(file, 1), 0);
	while (fake_run(&w))
		;
	assert_int_equal(drop(b), 0);
	assert_int_equal(t_close(file), 0);
	stop();
}

/* Interrupted before its first answer, while it is queued, on its way to ask again, and twice. */
static void locks_can_be_interrupted_at_every_moment(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_event_lock_req e;
	struct inlay_file *file;
	struct run *a;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	assert_int_equal(drop(lock(file, 1, INLAY_LOCK_WRITE, 0)), 0);
	e = (struct inlay_event_lock_req){.handle = file->handle, .owner = 2};
	/* Under way: the answer decides. */
	f->hold = true;
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	assert_true(inlay_op_lock_interrupt(&a->op));
	assert_false(a->done || fake_run(&w));
	f->hold = false;
	assert_true(fake_release(f));
	assert_int_equal(drop(a), -INLAY_EINTR);
	/* Under way and given up at the port. */
	f->hold = true;
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	assert_true(inlay_op_lock_interrupt(&a->op));
	f->port.cancel(&f->port, 0, &a->op.call);
	f->hold = false;
	assert_int_equal(drop(a), -INLAY_EINTR);
	assert_true(fake_release(f)); /* what is left of it */
	/* Queued. */
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	assert_false(inlay_op_lock_interrupt(&a->op));
	assert_false(inlay_op_lock_interrupt(&a->op)); /* the port has nothing to cancel */
	assert_true(fake_run(&w));
	assert_int_equal(drop(a), -INLAY_EINTR);
	/* Hinted, then interrupted, before it could ask. */
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &e);
	assert_false(inlay_op_lock_interrupt(&a->op));
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &e);
	assert_true(fake_run(&w));
	assert_int_equal(drop(a), -INLAY_EINTR);
	/* Before it began. */
	a = on_file(file);
	a->op.in.lock = (struct inlay_lock_req){.owner = 2, .end = INT64_MAX, .type = INLAY_LOCK_WRITE,
	                                        .flags = INLAY_LOCK_WAIT};
	a->op.canceled = true;
	inlay_op_lock(&a->op);
	assert_int_equal(drop(a), -INLAY_EINTR);
	/* The server that is told does not answer: nobody waits for that. */
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	f->hold = true;
	(void)inlay_op_lock_interrupt(&a->op);
	assert_true(fake_run(&w));
	assert_int_equal(drop(a), -INLAY_EINTR);
	f->hold = false;
	assert_true(fake_release(f));
	/* None of them left something that is in the way. */
	assert_int_equal(unlock(file, 1), 0);
	assert_int_equal(drop(lock(file, 3, INLAY_LOCK_WRITE, 0)), 0);
	assert_int_equal(t_close(file), 0);
	stop();
}

static void all_waiting_ends_at_the_end(void **state)
{
	struct inlay_file *file;
	struct run *a, *b, *c;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_LOCAL);
	assert_int_equal(drop(lock(file, 1, INLAY_LOCK_WRITE, 0)), 0);
	a = lock(file, 2, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	b = lock(file, 3, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	inlay_redirect_stop_waiting(&w.r);
	assert_true(fake_run(&w));
	c = lock(file, 4, INLAY_LOCK_WRITE, INLAY_LOCK_WAIT);
	assert_int_equal(drop(a), -INLAY_EINTR);
	assert_int_equal(drop(b), -INLAY_EINTR);
	assert_int_equal(drop(c), -INLAY_EINTR);
	assert_int_equal(t_close(file), 0);
	stop();
}

/* Closing releases; who was refused for its sake meanwhile asks again. */
static void closing_is_waited_for(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_file *one, *two;
	struct run *closing, *a;
	int status;

	(void)state;
	start(NULL);
	one = lock_file(INLAY_REMOTE);
	two = t_open("lf", INLAY_O_RDWR, &status);
	assert_int_equal(drop(lock(one, 1, INLAY_LOCK_WRITE, 0)), 0);
	closing = on_file(one);
	f->hold = true;
	inlay_op_close(&closing->op);
	f->hold = false;
	a = lock(two, 2, INLAY_LOCK_WRITE, 0);
	assert_false(a->done);
	assert_true(fake_release(f));
	assert_true(closing->done);
	assert_true(fake_run(&w));
	assert_int_equal(drop(a), 0);
	assert_int_equal(drop(closing), 0);
	assert_int_equal(t_close(two), 0);
	stop();
}

/* After a restart the server may put off any lock, but none that is given back. */
static void who_did_not_ask_to_wait_may_be_put_off(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_file *file;
	struct run *t;

	(void)state;
	start(NULL);
	file = lock_file(INLAY_REMOTE);
	f->fail_type = INLAY_LOCK;
	f->fail_status = -INLAY_EQUEUED;
	f->fail_at = 1;
	t = lock(file, 1, INLAY_LOCK_WRITE, 0);
	assert_false(t->done);
	inlay_redirect_event_lock(&w.r, INLAY_LOCAL, &(struct inlay_event_lock_req){0});
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &(struct inlay_event_lock_req){.handle = 1, .owner = 1});
	assert_false(fake_run(&w));
	inlay_redirect_event_lock(&w.r, INLAY_REMOTE, &(struct inlay_event_lock_req){0});
	assert_true(fake_run(&w));
	assert_int_equal(drop(t), 0);
	f->fail_at = 1;
	assert_int_equal(drop(lock(file, 1, INLAY_LOCK_UNLOCK, 0)), -INLAY_EIO);
	f->fail_at = 1;
	t = on_file(file);
	inlay_op_flush(&t->op);
	assert_int_equal(drop(t), -INLAY_EIO);
	assert_int_equal(t_close(file), 0);
	stop();
}

/* ---- all operations, on a server that goes wrong ---- */

static struct inlay_file *rfile, *rdir, *merged, *lfile;
static struct inlay_node *rnode;

static int op_lookup(void)
{
	struct run *t = begin(w.root, "r");

	inlay_op_lookup(&t->op);
	return drop(t);
}

static int op_lookup_merged(void)
{
	struct run *t = begin(w.root, "m");

	inlay_op_lookup(&t->op);
	return drop(t);
}

static int op_on_node(void (*fn)(struct inlay_op *op))
{
	struct run *t = begin(rnode, "user.x");
	struct inlay_file *f;
	int status;

	t->op.in.xattr.max = 100;
	fn(&t->op);
	f = t->op.opened;
	status = drop(t);
	if (f)
		inlay_redirect_abandon_file(&w.r, 0, f);
	return status;
}

static void set_mode(struct inlay_op *op)
{
	op->in.set = (struct inlay_setattr_req){.valid = INLAY_SET_MODE, .mode = 0600};
	inlay_op_setattr(op);
}

static void get_xattr(struct inlay_op *op)
{
	inlay_op_xattr(op, INLAY_GETXATTR);
}

static void list_xattr(struct inlay_op *op)
{
	inlay_op_xattr(op, INLAY_LISTXATTR);
}

static void set_xattr(struct inlay_op *op)
{
	op->in.xattr.flags = 0;
	op->data = (const uint8_t *)"v";
	op->data_len = 1;
	inlay_op_xattr(op, INLAY_SETXATTR);
}

static void remove_xattr(struct inlay_op *op)
{
	inlay_op_xattr(op, INLAY_REMOVEXATTR);
}

static int op_getattr(void) { return op_on_node(inlay_op_getattr); }
static int op_setattr(void) { return op_on_node(set_mode); }
static int op_access(void) { return op_on_node(inlay_op_access); }
static int op_readlink(void) { return op_on_node(inlay_op_readlink); }
static int op_statfs(void) { return op_on_node(inlay_op_statfs); }
static int op_open(void) { return op_on_node(inlay_op_open); }
static int op_getxattr(void) { return op_on_node(get_xattr); }
static int op_listxattr(void) { return op_on_node(list_xattr); }
static int op_setxattr(void) { return op_on_node(set_xattr); }
static int op_removexattr(void) { return op_on_node(remove_xattr); }

static int op_in_root(void (*fn)(struct inlay_op *op))
{
	struct run *t = begin(w.root, "new");
	struct inlay_file *f;
	int status;

	t->op.in.make.flags = INLAY_O_RDWR;
	t->op.in.make.mode = 0644;
	fn(&t->op);
	f = t->op.opened;
	status = drop(t);
	if (f)
		inlay_redirect_abandon_file(&w.r, 0, f);
	return status;
}

static void make_dir(struct inlay_op *op)
{
	inlay_op_make(op, INLAY_MKDIR);
}

static void make_symlink(struct inlay_op *op)
{
	op->in.make.target = INLAY_STR("t");
	inlay_op_make(op, INLAY_SYMLINK);
}

static void make_node(struct inlay_op *op)
{
	op->in.make.mode = 0010644;
	inlay_op_make(op, INLAY_MKNOD);
}

static void remove_file(struct inlay_op *op)
{
	op->name = INLAY_STR("r");
	inlay_op_remove(op, INLAY_UNLINK);
}

static void remove_merged(struct inlay_op *op)
{
	op->name = INLAY_STR("m");
	inlay_op_remove(op, INLAY_RMDIR);
}

static void rename_remote(struct inlay_op *op)
{
	op->name = INLAY_STR("r");
	op->to = inlay_node_ref(w.root);
	op->to_name = INLAY_STR("r9");
	op->in.make.flags = 0;
	inlay_op_rename(op);
}

static void rename_local(struct inlay_op *op)
{
	rename_remote(op);
}

static void link_remote(struct inlay_op *op)
{
	inlay_node_put(op->node);
	op->node = inlay_node_ref(rnode);
	op->to = inlay_node_ref(w.root);
	op->to_name = INLAY_STR("r8");
	inlay_op_link(op);
}

static void open_merged(struct inlay_op *op)
{
	inlay_op_opendir(op);
}

static int op_create(void) { return op_in_root(inlay_op_create); }
static int op_tmpfile(void) { return op_in_root(inlay_op_tmpfile); }
static int op_mkdir(void) { return op_in_root(make_dir); }
static int op_symlink(void) { return op_in_root(make_symlink); }
static int op_mknod(void) { return op_in_root(make_node); }
static int op_unlink(void) { return op_in_root(remove_file); }
static int op_rmdir(void) { return op_in_root(remove_merged); }
static int op_rename(void) { return op_in_root(rename_remote); }
static int op_rename_local(void) { return op_in_root(rename_local); }
static int op_link(void) { return op_in_root(link_remote); }
static int op_opendir(void) { return op_in_root(open_merged); }

static int op_on_file(struct inlay_file *f, void (*fn)(struct inlay_op *op))
{
	struct run *t = on_file(f);

	t->op.in.io.len = 4096;
	t->op.data = (const uint8_t *)"abc";
	t->op.data_len = 3;
	t->op.file2 = inlay_file_get(&w.r, rfile->number);
	fn(&t->op);
	return drop(t);
}

static void test_lock(struct inlay_op *op)
{
	op->in.lock = (struct inlay_lock_req){.owner = 9, .end = INT64_MAX, .type = INLAY_LOCK_WRITE};
	inlay_op_testlock(op);
}

static void take_lock(struct inlay_op *op)
{
	op->in.lock = (struct inlay_lock_req){.owner = 9, .end = INT64_MAX, .type = INLAY_LOCK_WRITE, .flags = INLAY_LOCK_WAIT};
	inlay_op_lock(op);
}

static int op_read(void) { return op_on_file(rfile, inlay_op_read); }
static int op_write(void) { return op_on_file(rfile, inlay_op_write); }
static int op_commit(void) { return op_on_file(rfile, inlay_op_commit); }
static int op_fallocate(void) { return op_on_file(rfile, inlay_op_fallocate); }
static int op_seek(void) { return op_on_file(rfile, inlay_op_seek); }
static int op_copy(void) { return op_on_file(rfile, inlay_op_copy); }
static int op_copy_across(void) { return op_on_file(lfile, inlay_op_copy); }
static int op_readdir(void) { return op_on_file(rdir, inlay_op_readdir); }
static int op_readdir_merged(void) { return op_on_file(merged, inlay_op_readdir); }
static int op_testlock(void) { return op_on_file(rfile, test_lock); }
static int op_lock(void) { return op_on_file(rfile, take_lock); }
static int op_flush(void) { return op_on_file(rfile, inlay_op_flush); }

/* bodiless: the answer has nothing that must be understood. */
static const struct {
	const char *name;
	int (*run)(void);
	bool bodiless;
} ops[] = {
	{"lookup", op_lookup, false},
	{"lookup merged", op_lookup_merged, false},
	{"getattr", op_getattr, false},
	{"setattr", op_setattr, false},
	{"access", op_access, true},
	{"readlink", op_readlink, false},
	{"statfs", op_statfs, false},
	{"open", op_open, false},
	{"getxattr", op_getxattr, false},
	{"listxattr", op_listxattr, false},
	{"setxattr", op_setxattr, true},
	{"removexattr", op_removexattr, true},
	{"create", op_create, false},
	{"tmpfile", op_tmpfile, false},
	{"mkdir", op_mkdir, false},
	{"symlink", op_symlink, false},
	{"mknod", op_mknod, false},
	{"opendir", op_opendir, false},
	{"link", op_link, false},
	{"read", op_read, false},
	{"write", op_write, false},
	{"commit", op_commit, true},
	{"fallocate", op_fallocate, true},
	{"seek", op_seek, false},
	{"copy", op_copy, false},
	{"readdir", op_readdir, false},
	{"readdir merged", op_readdir_merged, false},
	{"testlock", op_testlock, false},
	{"lock", op_lock, true},
	{"flush", op_flush, true},
	{"copy across", op_copy_across, true},
	{"rename local", op_rename_local, true},
	{"rename", op_rename, true},
	{"rmdir", op_rmdir, true},
	{"unlink", op_unlink, true},
};
#define OPS (sizeof ops / sizeof ops[0])

static void begin_all(void)
{
	int status;

	start(NULL);
	side_make(INLAY_REMOTE, "r");
	side_make(INLAY_REMOTE, "rd/");
	side_make(INLAY_REMOTE, "rd/x");
	side_make(INLAY_LOCAL, "l");
	side_make(INLAY_LOCAL, "m/");
	side_make(INLAY_REMOTE, "m/");
	rnode = walk("r");
	rfile = t_open("r", INLAY_O_RDWR, &status);
	lfile = t_open("l", INLAY_O_RDWR, &status);
	rdir = t_open("rd", 0, &status);
	merged = t_open("", 0, &status);
	assert_true(rfile && lfile && rdir && merged);
}

static void end_all(void)
{
	assert_int_equal(t_close(rfile), 0);
	assert_int_equal(t_close(lfile), 0);
	assert_int_equal(t_close(rdir), 0);
	assert_int_equal(t_close(merged), 0);
	inlay_node_put(rnode);
	stop();
}

static void operations_work(void **state)
{
	static const char *const fail_rightly[] = {"readlink", "getxattr", "removexattr", "fallocate", "seek", "copy across", NULL};

	(void)state;
	for (size_t i = 0; i < OPS; i++) {
		int status;
		bool may_fail = false;

		begin_all();
		for (const char *const *name = fail_rightly; *name; name++)
			may_fail = may_fail || strcmp(*name, ops[i].name) == 0;
		status = ops[i].run();
		if (status < 0 && !may_fail)
			fail_msg("%s: %s", ops[i].name, inlay_status_text(status));
		end_all();
	}
}

static unsigned rubbish; /* which */

static bool answer_rubbish(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	static uint8_t body[4096], data[1u << 20];

	(void)f, (void)c;
	memset(body, rubbish & 1 ? 0xff : 0, sizeof body);
	memset(data, 0xff, sizeof data);
	*r = (struct inlay_reply){.body = body, .data = data};
	r->body_len = rubbish < 2 ? 0 : rubbish < 4 ? 4 : rubbish < 6 ? 12 : 2048;
	r->data_len = rubbish < 6 ? 0 : sizeof data;
	return true;
}

static void rubbish_is_an_io_error(void **state)
{
	(void)state;
	for (rubbish = 0; rubbish < 8; rubbish++) {
		for (size_t i = 0; i < OPS; i++) {
			int status;

			begin_all();
			w.side[INLAY_REMOTE].script = answer_rubbish;
			status = ops[i].run();
			w.side[INLAY_REMOTE].script = NULL;
			if (!ops[i].bodiless && status != -INLAY_EIO)
				fail_msg("%s, rubbish %u: %s", ops[i].name, rubbish, inlay_status_text(status));
			end_all();
		}
	}
}

/* Stale numbers, full stores, lost servers: whatever a side says reaches the program, and nothing is left behind. */
static int fail_all_with;

static bool answer_failure(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	(void)f, (void)c;
	r->status = fail_all_with;
	return true;
}

static void failures_reach_the_program(void **state)
{
	static const int failures[] = {-INLAY_ESTALE, -INLAY_EIO, -INLAY_ENOSPC, -INLAY_EACCES, -INLAY_ECANCELED, -INLAY_EINTR,
	                               -INLAY_EUNKNOWN};

	(void)state;
	for (size_t n = 0; n < sizeof failures / sizeof failures[0]; n++) {
		for (size_t i = 0; i < OPS; i++) {
			int status;

			begin_all();
			fail_all_with = failures[n];
			w.side[INLAY_REMOTE].script = answer_failure;
			status = ops[i].run();
			w.side[INLAY_REMOTE].script = NULL;
			if (status != failures[n] && strcmp(ops[i].name, "copy across") != 0 && strcmp(ops[i].name, "flush") != 0)
				fail_msg("%s: %s, wanted %s", ops[i].name, inlay_status_text(status), inlay_status_text(failures[n]));
			end_all();
		}
	}
}

#ifdef ALLOCATIONS_FAIL
static void failed_allocations_are_survived(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (size_t i = 0; i < OPS; i++) {
		for (unsigned at = 1; at < 100; at++) {
			int status;

			begin_all();
			w.lossy = true;
			failed = false;
			fail_at = at + 1; /* the first is the test's own */
			status = ops[i].run();
			fail_at = 0;
			end_all();
			failures += failed;
			if (!failed)
				break;
			(void)status;
		}
	}
	if (failures <= 20)
		fail_msg("only %u allocations failed", failures);
}
#define FAILED_ALLOCATIONS cmocka_unit_test(failed_allocations_are_survived),
#else
#define FAILED_ALLOCATIONS
#endif

/* More than asked for, and names that lie about their length. */
static uint32_t listing_count, listing_eof, listing_bytes;

static bool answer_listing(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	static uint8_t body[8], data[1u << 20];
	struct inlay_writer b = inlay_writer(body, sizeof body), d = inlay_writer(data, sizeof data);

	(void)f;
	if (c->type != INLAY_READDIR)
		return false;
	for (uint64_t i = 1; i <= 100; i++)
		inlay_put_dirent(&d, &(struct inlay_dirent){.ino = i, .cookie = i, .type = 0100000, .name = INLAY_STR("same")}, 0);
	inlay_put_readdir_rep(&b, &(struct inlay_readdir_rep){.count = listing_count, .eof = listing_eof});
	*r = (struct inlay_reply){.body = body, .body_len = 8, .data = data, .data_len = listing_bytes};
	return true;
}

static void lying_listings_do_no_harm(void **state)
{
	struct run *t;

	(void)state;
	begin_all();
	listing_eof = 1;
	w.side[INLAY_REMOTE].script = answer_listing;
	for (listing_bytes = 0; listing_bytes < 200; listing_bytes += 3) {
		listing_count = 1000; /* more than there are */
		assert_int_equal(op_readdir_merged(), -INLAY_EIO);
		listing_count = 0;
		assert_int_equal(op_readdir_merged(), 0);
	}
	listing_bytes = 3200;
	listing_count = 100;
	assert_int_equal(op_readdir_merged(), 0); /* one name a hundred times is one name */
	listing_eof = 0; /* it never ends */
	w.side[INLAY_REMOTE].hold = true;
	t = on_file(merged);
	t->op.in.io.len = 4096;
	inlay_op_readdir(&t->op);
	while (fake_release(&w.side[INLAY_REMOTE]))
		;
	assert_int_equal(drop(t), -INLAY_EOVERFLOW);
	w.side[INLAY_REMOTE].hold = false;
	w.side[INLAY_REMOTE].script = NULL;
	end_all();
}

RUN_TESTS(cmocka_unit_test(each_name_is_listed_once), cmocka_unit_test(hidden_names_are_not_listed),
          cmocka_unit_test(listings_can_be_read_again_and_from_the_middle),
          cmocka_unit_test(a_listing_without_one_half_fails), cmocka_unit_test(locks_wait_and_are_woken),
          cmocka_unit_test(a_hint_that_overtakes_the_answer_is_kept),
          cmocka_unit_test(a_lock_given_up_at_the_port_is_undone), cmocka_unit_test(an_unlock_given_up_at_the_port_is_done),
          cmocka_unit_test(a_late_cancel_takes_nobody_elses_place), cmocka_unit_test(a_close_given_up_at_the_port_is_done),
          cmocka_unit_test(locks_can_be_interrupted_at_every_moment), cmocka_unit_test(all_waiting_ends_at_the_end),
          cmocka_unit_test(closing_is_waited_for), cmocka_unit_test(who_did_not_ask_to_wait_may_be_put_off),
          cmocka_unit_test(operations_work), cmocka_unit_test(rubbish_is_an_io_error),
          cmocka_unit_test(failures_reach_the_program), FAILED_ALLOCATIONS
          cmocka_unit_test(lying_listings_do_no_harm))

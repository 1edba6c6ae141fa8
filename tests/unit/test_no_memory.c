/*
 * Whole clients and a server whose memory runs out: each allocation of the redirector, the sessions, the server and its store fails in
 * turn, once or from then on until what was begun has come to its end. Nothing breaks, nothing is left, and what a program was told
 * is so.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "failing_memory.h"
#include "restart_support.h"

#ifdef ALLOCATIONS_FAIL
static bool is_spared(void)
{
	return in_harness;
}

/* ---- what is done while memory is short ---- */

static struct world w;
#define A (&w.client[0])
#define B (&w.client[1])

static struct inlay_file *file, *others; /* the same file, open in A and in B */
static struct run *run;                  /* what is being done */
static int given_back;                   /* < 0: B could not give back its lock, and was told so */

static bool is_there(const char *name)
{
	struct inlay_store_node *root, *n;
	struct inlay_attr attr;
	int r;

	assert_int_equal(w.ops.root(w.store, &root), 0);
	r = w.ops.lookup(root, NULL, inlay_str(name), &n, &attr);
	if (r == 0)
		w.ops.node_unref(n);
	w.ops.node_unref(root);
	return r == 0;
}

static struct run *creates(void)
{
	return begin_create(A, "new", INLAY_O_RDWR | INLAY_O_EXCL);
}

static void created(int status)
{
	assert_true(status < 0 || is_there("new"));
}

static struct run *makes(void)
{
	struct run *t = begin(A, "new", NULL);

	t->op.in.make.mode = 0755;
	inlay_op_make(&t->op, INLAY_MKDIR);
	return t;
}

static struct run *unlinks(void)
{
	return begin_remove(A, "old", INLAY_UNLINK);
}

static void unlinked(int status)
{
	assert_true(status < 0 || !is_there("old"));
}

static struct run *renames(void)
{
	return begin_rename(A, "old", "new", 0);
}

static void renamed(int status)
{
	assert_true(status == 0 ? is_there("new") && !is_there("old") : is_there("new") != is_there("old"));
}

static struct run *writes(void)
{
	return begin_write(A, file, 0, "written", 7);
}

static void written(int status)
{
	char text[20];

	if (status == 0) {
		assert_int_equal(do_read(B, others, text, sizeof text), 0);
		assert_string_equal(text, "written");
	}
}

static struct run *reads(void)
{
	struct run *t = begin(A, NULL, file);

	t->op.in.io.len = 16;
	inlay_op_read(&t->op);
	return t;
}

static struct run *lists(void)
{
	struct run *t = begin(A, NULL, NULL);

	t->op.node = inlay_node_ref(A->root);
	inlay_op_opendir(&t->op);
	return t;
}

static void whatever(int status)
{
	(void)status;
}

static struct run *locks(void)
{
	return begin_lock(A, file, 1, INLAY_LOCK_POSIX, INLAY_LOCK_WRITE, 0, 9, 0);
}

static void locked(int status)
{
	int other = do_lock(B, others, 2, INLAY_LOCK_WRITE, 5, 5);

	assert_int_equal(other, status == 0 ? -INLAY_EAGAIN : 0);
}

static struct run *unlocks(void)
{
	in_harness++; /* until it holds it */
	assert_int_equal(do_lock(A, file, 1, INLAY_LOCK_WRITE, 0, 9), 0);
	in_harness--;
	return begin_lock(A, file, 1, INLAY_LOCK_POSIX, INLAY_LOCK_UNLOCK, 3, 5, 0);
}

static void unlocked(int status)
{
	assert_true(status < 0 || do_lock(B, others, 2, INLAY_LOCK_WRITE, 4, 4) == 0);
}

/* B gives back what A waits for. */
static struct run *waits(void)
{
	struct run *t;

	in_harness++; /* until it waits */
	assert_int_equal(do_lock(B, others, 2, INLAY_LOCK_WRITE, 0, 9), 0);
	t = begin_lock(A, file, 1, INLAY_LOCK_POSIX, INLAY_LOCK_WRITE, 0, 9, INLAY_LOCK_WAIT);
	settle(&w);
	in_harness--;
	assert_false(t->done);
	given_back = do_lock(B, others, 2, INLAY_LOCK_UNLOCK, 0, 9);
	return t;
}

/* The server dies in the middle of it; A comes back with an open file and a lock. */
static struct run *unlinks_across_a_restart(void)
{
	struct run *t;

	in_harness++;
	assert_int_equal(do_lock(A, file, 1, INLAY_LOCK_WRITE, 0, 9), 0);
	settle(&w);
	w.death = DONE_ONLY;
	t = unlinks();
	settle(&w);
	assert_null(w.server);
	server_start(&w);
	in_harness--;
	return t;
}

/* Either the lock is still held, or A is told that its file is lost; so is B, whose memory was short as well. */
static void unlinked_across_a_restart(int status)
{
	char text[20];
	int other;

	assert_false(is_there("old"));
	assert_true(status == 0 || status == -INLAY_EIO || status == -INLAY_ENOMEM);
	if (do_read(A, file, text, sizeof text) < 0)
		return;
	other = do_lock(B, others, 2, INLAY_LOCK_WRITE, 5, 5);
	assert_true(other == -INLAY_EAGAIN || other == -INLAY_ESTALE);
}

static const struct {
	const char *what;
	struct run *(*begin)(void);
	void (*check)(int status);
} acts[] = {
	{"create", creates, created},   {"mkdir", makes, created},   {"unlink", unlinks, unlinked}, {"rename", renames, renamed},
	{"write", writes, written},     {"read", reads, whatever},   {"opendir", lists, whatever},  {"lock", locks, locked},
	{"unlock", unlocks, unlocked},  {"waiting lock", waits, locked},
	{"restart", unlinks_across_a_restart, unlinked_across_a_restart},
};
#define ACTS (sizeof acts / sizeof acts[0])

/* Opened in both clients. */
static struct inlay_file *open_in(struct client *c, const char *name)
{
	return do_create(c, name, INLAY_O_RDWR);
}

/* True: an allocation failed. */
static bool act(size_t i, unsigned at, bool always)
{
	struct inlay_file *opened;
	int status;

	world_init(&w, 1 + i * 1000 + at, 60000);
	file = open_in(A, "f");
	others = open_in(B, "f");
	do_close(A, open_in(A, "old"));
	settle(&w);
	failed = false;
	given_back = 0;
	for_good = always;
	fail_at = at;
	run = acts[i].begin();
	settle(&w);
	fail_at = 0;
	if (given_back < 0)
		given_back = do_lock(B, others, 2, INLAY_LOCK_UNLOCK, 0, 9);
	settle(&w);
	if (!run->done)
		fail_msg("%s: it waits for ever when allocation %u fails%s", acts[i].what, at, always ? " and all after it" : "");
	opened = run->op.opened;
	status = finish(run);
	if (!failed)
		assert_int_equal(status, 0);
	acts[i].check(status);
	if (opened)
		do_close(A, opened);
	do_close(A, file);
	do_close(B, others);
	assert_int_equal(do_close(B, open_in(B, "f")), 0); /* all is well again */
	world_done(&w);
	return failed;
}

static void each_allocation_fails_in_turn(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (size_t i = 0; i < ACTS; i++)
		for (unsigned always = 0; always < 2; always++)
			for (unsigned at = 1; act(i, at, always); at++)
				failures++;
	printf("# %u failures\n", failures);
	assert_true(failures > 50);
}

RUN_TESTS(cmocka_unit_test(each_allocation_fails_in_turn))
#else
static void no_memory_is_tested_elsewhere(void **state)
{
	(void)state;
}

RUN_TESTS(cmocka_unit_test(no_memory_is_tested_elsewhere))
#endif

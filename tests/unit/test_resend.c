/*
 * The server's host crashes: what was written and not synced is sent again, or told; within bounds.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "restart_support.h"

#include "base/log.h"
#include "redirect/estate_rows.h"
#include "redirect/unsynced.h"

#define A (&w.client[0])
#define B (&w.client[1])
#define MIB (1u << 20)

static struct world w;

static int do_truncate(struct client *c, struct inlay_file *f, uint64_t size)
{
	struct run *t = begin(c, NULL, f);

	t->op.node = inlay_node_ref(f->node);
	t->op.in.set.valid = INLAY_SET_SIZE;
	t->op.in.set.size = size;
	inlay_op_setattr(&t->op);
	return run_to_end(t);
}

static int do_allocate(struct client *c, struct inlay_file *f, uint64_t off, uint64_t len, uint32_t mode)
{
	struct run *t = begin(c, NULL, f);

	t->op.in.io.off = off;
	t->op.in.io.len = len;
	t->op.in.io.flags = mode;
	inlay_op_fallocate(&t->op);
	return run_to_end(t);
}

/* Moves what is on the lane of t alone, until t has ended. */
static int run_alone(struct run *t)
{
	struct wire *x = &A->wire[t->op.lane];

	while (!t->done)
		assert_true(step_serve(x) || step_receive(x));
	return finish(t);
}

/* A write on that lane, while all else stands still. */
static int write_on_lane(struct inlay_file *f, unsigned lane, const char *text)
{
	struct run *t = begin(A, NULL, f);

	t->op.lane = lane;
	t->op.data = (const uint8_t *)text;
	t->op.data_len = (uint32_t)strlen(text);
	inlay_op_write(&t->op);
	return run_alone(t);
}

static void crash(void)
{
	world_crash(&w);
}

static void must_hold(struct inlay_file *f, const char *text)
{
	char found[200];

	assert_int_equal(do_read(A, f, found, sizeof found), 0);
	assert_string_equal(found, text);
}

static void all_kinds_in_their_order(void **state)
{
	struct inlay_file *f, *closed;

	(void)state;
	world_init(&w, 1, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	closed = do_create(A, "g", INLAY_O_WRONLY);
	assert_int_equal(do_write(A, f, 0, "old old old old"), 0);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_sync(A, f), 0);
	assert_ptr_equal(f->node->kept, NULL);
	assert_int_equal(do_write(A, f, 0, "first"), 0);
	assert_int_equal(do_write(A, f, 2, "SECOND"), 0);
	assert_int_equal(do_truncate(A, f, 6), 0);
	assert_int_equal(do_allocate(A, f, 0, 10, 0), 0);
	assert_int_equal(do_allocate(A, f, 1, 1, INLAY_FALLOC_PUNCH_HOLE | INLAY_FALLOC_KEEP_SIZE), 0);
	assert_int_equal(do_write(A, f, 1, "1"), 0);
	assert_int_equal(do_write(A, f, 8, "x"), 0);
	assert_int_equal(do_write(A, f, 6, "yy"), 0);
	assert_int_equal(do_truncate(A, f, 9), 0);
	assert_int_equal(do_write(A, closed, 0, "closed"), 0);
	assert_int_equal(do_close(A, closed), 0); /* the kernel forgets it, too */
	/* As often as it likes: it is kept until it is durable. */
	for (unsigned i = 0; i < 3; i++) {
		crash();
		must_hold(f, "f1SECOyyx");
	}
	assert_int_equal(A->lost, 0);
	closed = do_create(A, "g", INLAY_O_RDWR);
	must_hold(closed, "closed");
	assert_int_equal(do_sync(A, f) + do_sync(A, closed), 0);
	crash();
	must_hold(f, "f1SECOyyx");
	must_hold(closed, "closed");
	assert_int_equal(A->r.kept.bytes, 0);
	do_close(A, f);
	do_close(A, closed);
	world_done(&w);
}

/* Sent again, they stand where they stood: a crash may have left some of what was before them, or after. */
static void appends_have_their_places(void **state)
{
	struct inlay_file *log, *f;

	(void)state;
	for (unsigned durable = 0; durable < 3; durable++) {
		world_init(&w, 20 + durable, 60000);
		log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
		f = do_create(A, "log", INLAY_O_RDWR);
		assert_int_equal(w.ops.syncfs(w.store), 0);
		assert_int_equal(do_write(A, log, 0, "one "), 0);
		assert_int_equal(do_write(A, log, 0, "two "), 0);
		if (durable) /* by the host, and nobody was told */
			assert_int_equal(w.ops.syncfs(w.store), 0);
		assert_int_equal(do_write(A, f, 0, "ONE"), 0);
		assert_int_equal(do_write(A, log, 7, "three"), 0);
		if (durable > 1)
			assert_int_equal(w.ops.syncfs(w.store), 0);
		for (unsigned i = 0; i < 2; i++) {
			crash();
			must_hold(f, "ONE two three");
		}
		assert_int_equal(do_sync(A, log) + do_sync(A, f), 0);
		assert_int_equal(A->lost, 0);
		do_close(A, f);
		do_close(A, log);
		world_done(&w);
	}
}

/* Whoever has it open for nothing but that. */
static void a_log_alone_is_sent_again(void **state)
{
	struct inlay_file *log, *again;

	(void)state;
	world_init(&w, 23, 60000);
	log = do_create(A, "log", INLAY_O_WRONLY | INLAY_O_APPEND);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_write(A, log, 0, "one "), 0);
	assert_int_equal(do_write(A, log, 0, "two"), 0);
	assert_int_equal(do_close(A, log), 0);
	crash();
	again = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	must_hold(again, "one two");
	assert_int_equal(do_sync(A, again), 0);
	do_close(A, again);
	world_done(&w);
}

static void an_empty_file_begins_anew(void **state)
{
	struct inlay_file *f, *again;

	(void)state;
	world_init(&w, 2, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(do_write(A, f, 0, "long, long ago"), 0);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_copy(A, f, 0, 20, 4), 0); /* can't be repeated */
	again = do_create(A, "f", INLAY_O_RDWR | INLAY_O_TRUNC);
	assert_int_equal(do_write(A, again, 0, "new"), 0);
	crash();
	must_hold(f, "new");
	assert_int_equal(do_sync(A, f) + do_sync(A, again), 0);
	do_close(A, f);
	do_close(A, again);
	world_done(&w);
}

static void what_cannot_be_repeated_is_told(void **state)
{
	struct inlay_file *f, *zeros;

	(void)state;
	world_init(&w, 3, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	zeros = do_create(A, "g", INLAY_O_RDWR);
	assert_int_equal(do_write(A, f, 0, "abcd"), 0);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_copy(A, f, 0, 4, 4), 0);
	assert_int_equal(do_write(A, f, 0, "later"), 0);
	assert_int_equal(do_write(A, zeros, 0, "abcd"), 0);
	assert_int_equal(do_allocate(A, zeros, 0, 4096, INLAY_FALLOC_INSERT), 0);
	crash();
	must_hold(f, "abcd");
	assert_int_equal(do_sync(A, f), -INLAY_EIO);
	assert_int_equal(do_sync(A, f), 0);
	assert_int_equal(do_sync(A, zeros), -INLAY_EIO);
	assert_int_equal(A->lost, 2);
	/* From then on all is kept again. */
	assert_int_equal(do_write(A, f, 0, "ABCD"), 0);
	crash();
	must_hold(f, "ABCD");
	assert_int_equal(do_sync(A, f), 0);
	/* A sync in the background makes good a gap, too. */
	assert_int_equal(do_copy(A, f, 0, 4, 4), 0);
	inlay_redirect_sync(&A->r, 0);
	assert_int_equal(do_write(A, f, 0, "1234"), 0);
	settle(&w);
	crash();
	must_hold(f, "1234ABCD");
	assert_int_equal(do_sync(A, f), 0);
	do_close(A, f);
	do_close(A, zeros);
	world_done(&w);
}

static void what_others_wrote_later_stays(void **state)
{
	struct inlay_file *a, *b;

	(void)state;
	for (unsigned between = 0; between < 3; between++) {
		world_init(&w, 4 + between, 60000);
		a = do_create(A, "f", INLAY_O_RDWR);
		b = do_create(B, "f", INLAY_O_RDWR);
		assert_int_equal(w.ops.syncfs(w.store), 0);
		assert_int_equal(do_write(A, a, 0, "A first"), 0);
		assert_int_equal(do_write(B, b, 0, "B"), 0);
		assert_int_equal(do_sync(B, b), 0);
		if (between == 1) /* it has written since, and can't tell by the time */
			assert_int_equal(do_write(A, a, 7, "!"), 0);
		if (between == 2)
			assert_int_equal(do_truncate(A, a, 6), 0);
		crash();
		must_hold(a, "B first");
		assert_int_equal(do_sync(A, a), -INLAY_EIO);
		assert_int_equal(do_sync(A, a) + do_sync(B, b), 0);
		do_close(A, a);
		do_close(B, b);
		world_done(&w);
	}
}

/* Our own later write would hide what the file's time says: so each opening looks at it. */
static void an_opening_sees_that_others_were_there(void **state)
{
	struct inlay_file *f, *again;

	(void)state;
	world_init(&w, 18, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_write(A, f, 0, "A first"), 0);
	write_on_server(&w, "f", 0, "B");
	assert_int_equal(w.ops.syncfs(w.store), 0);
	again = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(do_write(A, again, 7, "!"), 0);
	crash();
	must_hold(f, "B first");
	assert_int_equal(do_sync(A, f), -INLAY_EIO);
	do_close(A, f);
	do_close(A, again);
	world_done(&w);
}

/* A time that a program gives its file is no sign of others. */
static void times_that_are_set_are_no_sign(void **state)
{
	struct inlay_file *f, *again;
	struct run *t;

	(void)state;
	world_init(&w, 19, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_write(A, f, 0, "data"), 0);
	t = begin(A, NULL, f);
	t->op.node = inlay_node_ref(f->node);
	t->op.in.set.valid = INLAY_SET_MTIME;
	t->op.in.set.mtime.sec = INT64_C(1) << 32;
	inlay_op_setattr(&t->op);
	assert_int_equal(run_to_end(t), 0);
	again = do_create(A, "f", INLAY_O_RDWR);
	crash();
	must_hold(f, "data");
	assert_int_equal(do_sync(A, f), 0);
	do_close(A, f);
	do_close(A, again);
	world_done(&w);
}

static void a_durable_write_comes_after_older_ones(void **state)
{
	struct inlay_file *f, *sync;

	(void)state;
	world_init(&w, 7, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	sync = do_create(A, "f", INLAY_O_RDWR | INLAY_O_SYNC);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_write(A, f, 0, "unstable"), 0);
	assert_int_equal(do_write(A, sync, 0, "STA"), 0);
	crash();
	must_hold(f, "STAtable");
	assert_int_equal(A->lost, 0);
	do_close(A, f);
	do_close(A, sync);
	world_done(&w);
}

static void what_failed_to_be_synced_stays_kept(void **state)
{
	struct inlay_file *f;

	(void)state;
	world_init(&w, 13, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_write(A, f, 0, "data"), 0);
	inlay_memory_fail(w.store, "commit", 1, 1, -INLAY_EIO);
	assert_int_equal(do_sync(A, f), -INLAY_EIO);
	inlay_memory_fail(w.store, "syncfs", 1, 1, -INLAY_EIO);
	inlay_redirect_sync(&A->r, 0);
	settle(&w);
	crash();
	must_hold(f, "data");
	/* What is written while a sync is under way isn't covered by it. */
	inlay_redirect_sync(&A->r, 0);
	assert_true(step_serve(&A->wire[0]));
	assert_int_equal(write_on_lane(f, 1, "DATA"), 0);
	settle(&w);
	assert_non_null(f->node->kept);
	crash();
	must_hold(f, "DATA");
	inlay_redirect_sync(&A->r, 0);
	settle(&w);
	assert_null(f->node->kept);
	do_close(A, f);
	world_done(&w);
}

static void a_commit_covers_nothing_later(void **state)
{
	(void)state;
	for (unsigned gap = 0; gap < 2; gap++) {
		struct inlay_file *f;
		struct run *commit, *later;

		world_init(&w, 16, 60000);
		f = do_create(A, "f", INLAY_O_RDWR);
		assert_int_equal(do_write(A, f, 0, "data"), 0);
		assert_int_equal(w.ops.syncfs(w.store), 0);
		commit = begin(A, NULL, f);
		inlay_op_commit(&commit->op);
		assert_true(step_serve(&A->wire[commit->op.lane])); /* done, and its answer is on the way */
		if (gap) {
			later = begin(A, NULL, f);
			later->op.lane = !commit->op.lane;
			ask_copy(later, 0, 4, 4);
			assert_int_equal(run_alone(later), 0);
		} else {
			assert_int_equal(write_on_lane(f, !commit->op.lane, "DATA"), 0);
		}
		assert_int_equal(run_to_end(commit), 0);
		crash();
		if (!gap)
			must_hold(f, "DATA");
		assert_int_equal(do_sync(A, f), gap ? -INLAY_EIO : 0);
		do_close(A, f);
		world_done(&w);
	}
}

/* The same of a gap that came after it, though the file had one before. */
static void a_commit_covers_no_later_gap(void **state)
{
	struct inlay_file *f;
	struct run *commit;

	(void)state;
	world_init(&w, 17, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(do_write(A, f, 0, "data"), 0);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_copy(A, f, 0, 4, 4), 0);
	commit = begin(A, NULL, f);
	inlay_op_commit(&commit->op);
	assert_true(step_serve(&A->wire[commit->op.lane]));
	inlay_unsynced_not_whole(&A->r, f->node, 0);
	assert_int_equal(run_to_end(commit), 0);
	/* It is found by the next sync still. */
	assert_non_null(f->node->kept);
	inlay_redirect_sync(&A->r, 0);
	settle(&w);
	assert_null(f->node->kept);
	assert_int_equal(do_write(A, f, 0, "kept"), 0);
	crash();
	must_hold(f, "keptdata");
	assert_int_equal(do_sync(A, f), 0);
	do_close(A, f);
	world_done(&w);
}

static void what_the_store_refuses_is_told(void **state)
{
	struct inlay_file *f, *gone;

	(void)state;
	world_init(&w, 8, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	gone = do_create(A, "gone", INLAY_O_RDWR); /* its name isn't durable */
	assert_int_equal(do_write(A, f, 0, "data"), 0);
	assert_int_equal(do_write(A, gone, 0, "data"), 0);
	inlay_memory_fail(w.store, "write", 1, 1, -INLAY_ENOSPC);
	crash();
	must_hold(f, "");
	assert_int_equal(A->lost, 2);
	assert_int_equal(do_sync(A, f), -INLAY_EIO);
	assert_int_equal(do_sync(A, f), 0);
	assert_int_equal(do_sync(A, gone), -INLAY_ESTALE);
	do_close(A, f);
	do_close(A, gone);
	world_done(&w);
}

static const struct estate_file *watched;
static unsigned marks_at_end;
static void (*usual_end)(struct inlay_op *op, int status);

static void ended(struct inlay_op *op, int status)
{
	marks_at_end = watched->marks;
	usual_end(op, status);
}

/* The file's marks in the moment in which the program is told. */
static int sync_watched(struct client *c, struct inlay_file *f, const struct estate_file *row)
{
	struct run *t = begin(c, NULL, f);

	watched = row;
	usual_end = t->op.finish;
	t->op.finish = ended;
	inlay_op_commit(&t->op);
	return run_to_end(t);
}

/* What is still to be told outlives the process, and what was told doesn't. */
static void a_loss_is_left_to_the_successor(void **state)
{
	static const struct inlay_estate_caps caps = {.nodes = 64, .files = 64, .locks = 8};
	void *memory = calloc(1, inlay_estate_len(&caps));
	struct inlay_estate *e;
	struct inlay_file *f;
	const struct estate_file *row;

	(void)state;
	assert_non_null(memory);
	assert_int_equal(inlay_estate_new(memory, &caps, &e), 0);
	for (unsigned gap = 0; gap < 2; gap++) {
		world_init(&w, 14, 60000);
		A->r.estate = e;
		f = do_create(A, "f", INLAY_O_RDWR);
		row = &e->files[(uint32_t)f->number - 1];
		assert_int_equal(row->number, f->number);
		assert_int_equal(w.ops.syncfs(w.store), 0);
		assert_int_equal(do_write(A, f, 0, "data"), 0);
		if (gap)
			assert_int_equal(do_copy(A, f, 0, 4, 4), 0);
		else
			inlay_memory_fail(w.store, "write", 1, 1, -INLAY_ENOSPC); /* when it is sent again */
		assert_false(row->marks & INLAY_FILE_LOST);
		crash();
		assert_true(row->marks & INLAY_FILE_LOST);
		assert_int_equal(sync_watched(A, f, row), -INLAY_EIO);
		assert_true(marks_at_end & INLAY_FILE_LOST); /* whoever is killed before the kernel has the answer has told nobody */
		assert_false(row->marks & INLAY_FILE_LOST);
		assert_int_equal(do_sync(A, f), 0);
		do_close(A, f);
		A->r.estate = NULL;
		world_done(&w);
	}
	inlay_estate_free(e);
	free(memory);
}

/* ---- bounds ---- */

static int write_much(struct inlay_file *f, unsigned at)
{
	static uint8_t much[MIB];

	memset(much, (int)at + 1, sizeof much);
	return run_to_end(begin_write(A, f, (uint64_t)at * MIB, much, MIB));
}

static void memory_is_bounded(void **state)
{
	struct inlay_file *f, *g, *other;

	(void)state;
	world_init(&w, 9, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	g = do_create(A, "g", INLAY_O_RDWR);
	other = do_create(A, "other", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	inlay_memory_fail(w.store, "syncfs", 1, 1000000, -INLAY_EIO);
	assert_int_equal(do_write(A, other, 0, "small"), 0);
	for (unsigned i = 0; i < 80; i++) {
		assert_int_equal(write_much(i % 2 ? f : g, i / 2), 0);
		assert_true(A->r.kept.bytes <= INLAY_UNSYNCED_MAX);
		assert_true(!f->node->kept || f->node->kept->bytes <= INLAY_UNSYNCED_FILE_MAX);
	}
	assert_true(A->r.kept.bytes < INLAY_UNSYNCED_SYNC); /* both have become too large, and then nothing of them is kept */
	crash();
	assert_int_equal(do_sync(A, f), -INLAY_EIO);
	assert_int_equal(do_sync(A, g), -INLAY_EIO);
	must_hold(other, "small");
	assert_int_equal(do_sync(A, other), 0);
	do_close(A, f);
	do_close(A, g);
	do_close(A, other);
	world_done(&w);
}

/* Nor do many small files outgrow a bound: they are let go like any others. */
static void so_is_the_number_of_files(void **state)
{
	struct inlay_file *f, *log;

	(void)state;
	world_init(&w, 15, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	inlay_memory_fail(w.store, "syncfs", 1, 1000000, -INLAY_EIO);
	assert_int_equal(do_write(A, f, 0, "data"), 0);
	for (unsigned i = 0; i < INLAY_UNSYNCED_FILES + 500; i++) {
		char name[16];

		snprintf(name, sizeof name, "%u", i);
		log = do_create(A, name, INLAY_O_RDWR | INLAY_O_TRUNC);
		assert_int_equal(do_write(A, log, 0, "line"), 0);
		if (i % 2)
			assert_int_equal(do_copy(A, log, 0, 4, 4), 0);
		assert_int_equal(do_close(A, log), 0);
	}
	assert_true(inlay_nodes_count(A->r.nodes) <= INLAY_UNSYNCED_FILES + 2);
	log = do_create(A, "log", INLAY_O_RDWR);
	assert_int_equal(do_write(A, log, 0, "line"), 0);
	crash();
	must_hold(f, "data");
	assert_int_equal(do_sync(A, f), 0);
	assert_int_equal(do_sync(A, log), -INLAY_ESTALE); /* its name is gone */
	do_close(A, f);
	do_close(A, log);
	world_done(&w);
}

/* Where the store keeps up, a stream is synced as it goes, and stays whole. */
static void a_stream_is_synced_as_it_goes(void **state)
{
	struct inlay_file *f;

	(void)state;
	world_init(&w, 10, 60000);
	f = do_create(A, "f", INLAY_O_RDWR);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(write_much(f, i), 0);
		settle(&w);
		assert_true(A->r.kept.bytes <= INLAY_UNSYNCED_SYNC);
		assert_int_equal(atomic_load(&f->node->changes), 0);
	}
	crash();
	assert_int_equal(do_sync(A, f), 0);
	do_close(A, f);
	world_done(&w);
}

/* What is referred to in place of being copied is given back. */
static unsigned held;

static void hold_ref(void *hold)
{
	(void)hold;
	held++;
}

static void hold_unref(void *hold)
{
	(void)hold;
	held--;
}

static size_t hold_size(void *hold)
{
	(void)hold;
	return 8192;
}

static void large_parts_are_referred_to(void **state)
{
	static const struct inlay_hold_ops ops = {hold_ref, hold_unref, hold_size};
	static uint8_t bytes[8192];
	struct inlay_file *f;

	(void)state;
	world_init(&w, 11, 60000);
	A->r.hold = &ops;
	f = do_create(A, "f", INLAY_O_RDWR);
	for (unsigned len = 1; len <= sizeof bytes; len *= 2) {
		struct run *t = begin(A, NULL, f);

		t->op.data = bytes;
		t->op.data_len = len;
		t->op.data_hold = bytes;
		inlay_op_write(&t->op);
		assert_int_equal(run_to_end(t), 0);
	}
	assert_int_equal(held, 3); /* 2048, 4096, 8192 */
	assert_true(f->node->kept->bytes > 3 * 8192 && f->node->kept->bytes < 3 * 8192 + 2048 + 14 * 200);
	assert_int_equal(do_sync(A, f), 0);
	assert_int_equal(held, 0);
	do_close(A, f);
	world_done(&w);
}

/* The session is lost again, at any moment of the resending. */
static void resending_is_begun_again(void **state)
{
	(void)state;
	for (unsigned steps = 0; steps < 120; steps++) {
		struct inlay_file *f, *g;

		world_init(&w, 12, 60000);
		f = do_create(A, "f", INLAY_O_RDWR);
		g = do_create(A, "g", INLAY_O_RDWR);
		assert_int_equal(w.ops.syncfs(w.store), 0);
		assert_int_equal(do_write(A, f, 0, "one two"), 0);
		assert_int_equal(do_write(A, f, 4, "TWO"), 0);
		assert_int_equal(do_write(A, g, 0, "three"), 0);
		server_kill(&w);
		inlay_memory_crash(w.store);
		w.hosts++;
		server_start(&w);
		for (unsigned i = 0; i < steps; i++)
			(void)step(&w);
		server_kill(&w); /* the process alone */
		server_start(&w);
		settle(&w);
		must_hold(f, "one TWO");
		must_hold(g, "three");
		assert_int_equal(do_sync(A, f) + do_sync(A, g), 0);
		do_close(A, f);
		do_close(A, g);
		world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_in_their_order),
		cmocka_unit_test(appends_have_their_places),
		cmocka_unit_test(a_log_alone_is_sent_again),
		cmocka_unit_test(an_empty_file_begins_anew),
		cmocka_unit_test(what_cannot_be_repeated_is_told),
		cmocka_unit_test(what_others_wrote_later_stays),
		cmocka_unit_test(an_opening_sees_that_others_were_there),
		cmocka_unit_test(times_that_are_set_are_no_sign),
		cmocka_unit_test(a_durable_write_comes_after_older_ones),
		cmocka_unit_test(what_failed_to_be_synced_stays_kept),
		cmocka_unit_test(a_commit_covers_nothing_later),
		cmocka_unit_test(a_commit_covers_no_later_gap),
		cmocka_unit_test(what_the_store_refuses_is_told),
		cmocka_unit_test(a_loss_is_left_to_the_successor),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(so_is_the_number_of_files),
		cmocka_unit_test(a_stream_is_synced_as_it_goes),
		cmocka_unit_test(large_parts_are_referred_to),
		cmocka_unit_test(resending_is_begun_again),
	};

	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The estate: what a redirector leaves is what its successor has.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect_support.h"

#include "redirect/estate_rows.h"
#include "redirect/op.h"
#include "redirect/unsynced.h"

#include <stdlib.h>
#include <string.h>

static const struct inlay_estate_caps caps = {.nodes = 512, .files = 64, .locks = 32};

struct heir {
	uint64_t asked[8];
	unsigned count;
};

static bool is_asked(void *arg, uint64_t origin)
{
	const struct heir *h = arg;

	for (unsigned i = 0; i < h->count; i++)
		if (h->asked[i] == origin)
			return true;
	return false;
}

static struct inlay_estate *will(void)
{
	struct inlay_estate *e;
	void *memory = calloc(1, inlay_estate_len(&caps));

	assert_non_null(memory);
	assert_int_equal(inlay_estate_new(memory, &caps, &e), 0);
	w.r.estate = e;
	inlay_nodes_keep(w.r.nodes, e);
	return e;
}

static void estate_done(struct inlay_estate *e)
{
	void *memory = e->head;

	inlay_estate_free(e);
	free(memory);
}

/* The redirector is killed and another has its estate, on the same sides. */
static struct inlay_estate *kill_and_inherit(struct inlay_estate *e, struct heir *h)
{
	const struct inlay_node_id *roots[INLAY_SIDES] = {&w.side[0].root, &w.side[1].root};
	const struct inlay_hash_key seed = {{5, 6}};
	size_t len = inlay_estate_len(&caps);
	struct inlay_side_port *port[INLAY_SIDES] = {w.r.port[0], w.r.port[1]};
	struct inlay_judge *judge = w.r.judge;
	struct inlay_estate *mine;
	void *memory = malloc(len);

	assert_non_null(memory);
	memcpy(memory, e->head, len);
	assert_int_equal(inlay_estate_open(memory, len, &mine), 0);
	inlay_node_put(w.root);
	w.r.judge = NULL;
	inlay_redirect_done(&w.r);
	estate_done(e);
	memset(&w.r, 0, sizeof w.r);
	assert_int_equal(inlay_redirect_init(&w.r, 1), 0);
	w.r.judge = judge;
	w.r.repost = fake_repost;
	for (int side = 0; side < INLAY_SIDES; side++)
		w.r.port[side] = port[side];
	assert_int_equal(inlay_nodes_new(&seed, roots, &w.r.nodes), 0);
	w.r.estate = mine;
	assert_int_equal(inlay_estate_restore(mine, &w.r, is_asked, h), 0);
	w.root = inlay_node_get(w.r.nodes, INLAY_ROOT_NUMBER);
	return mine;
}

static void expect_path(uint64_t number, const char *path)
{
	struct inlay_node *n = inlay_node_get(w.r.nodes, number);
	char buf[256];

	assert_non_null(n);
	assert_true(inlay_node_path(n, INLAY_STR(""), buf, sizeof buf) >= 0);
	assert_string_equal(buf, path);
	inlay_node_put(n);
}

static uint64_t number_of(const char *path)
{
	struct inlay_node *n = walk(path);
	uint64_t number = n->number;

	inlay_node_put(n);
	return number;
}

static void nodes_keep_numbers_names_and_counts(void **state)
{
	struct heir h = {0};
	struct inlay_estate *e;
	uint64_t file, deep, moved;
	unsigned known;

	(void)state;
	start(NULL);
	e = will();
	assert_int_equal(t_make("dir", INLAY_MKDIR), 0);
	assert_int_equal(t_make("dir/sub", INLAY_MKDIR), 0);
	assert_int_equal(t_touch("dir/sub/deep"), 0);
	assert_int_equal(t_touch("file"), 0);
	assert_int_equal(t_touch("old"), 0);
	file = number_of("file");
	deep = number_of("dir/sub/deep");
	assert_int_equal(t_rename("old", "dir/new", 0), 0);
	moved = number_of("dir/new");
	known = (unsigned)inlay_nodes_count(w.r.nodes);
	e = kill_and_inherit(e, &h);
	assert_int_equal(inlay_nodes_count(w.r.nodes), known);
	expect_path(file, "file");
	expect_path(deep, "dir/sub/deep");
	expect_path(moved, "dir/new");
	/* The same files are the same nodes, and all lookups of both lives are there to be forgotten: stop() checks that. */
	assert_true(number_of("file") == file && number_of("dir/sub/deep") == deep);
	e = kill_and_inherit(e, &h);
	expect_path(deep, "dir/sub/deep");
	stop();
	estate_done(e);
}

static struct inlay_file *file_of(uint64_t number)
{
	struct inlay_file *f = inlay_file_get(&w.r, number);

	inlay_file_put(&w.r, f);
	return f;
}

/* Opened for origin, known to the kernel or not. */
static struct inlay_file *open_for(const char *path, uint64_t origin, bool taken)
{
	int status;
	struct inlay_file *f = t_open(path, INLAY_O_RDWR, &status);

	assert_int_equal(status, 0);
	inlay_estate_file(w.r.estate, f, origin);
	if (taken)
		inlay_estate_file_mark(w.r.estate, f->number, INLAY_FILE_TAKEN);
	return f;
}

static void close_on_side(uint64_t handle)
{
	uint8_t mem[64];
	struct inlay_writer b = inlay_writer(mem, sizeof mem);
	struct inlay_request rq;

	inlay_put_close_req(&b, &(struct inlay_close_req){.handle = handle});
	assert_int_equal(side_call(&w.side[INLAY_REMOTE], INLAY_CLOSE, &b, mem, &rq), 0);
}

static void files_live_on_unless_they_are_asked_for_anew(void **state)
{
	struct heir h = {.asked = {12, 14}, .count = 2};
	struct inlay_estate *e;
	uint64_t number[5], handle[5];

	(void)state;
	start(NULL);
	e = will();
	assert_int_equal(t_touch("x"), 0);
	number[0] = open_for("x", 11, true)->number;  /* told */
	number[1] = open_for("x", 12, false)->number; /* not told, asked again: it is opened anew */
	number[2] = open_for("x", 13, false)->number; /* told, but that was not noted any more */
	number[3] = open_for("x", 15, true)->number;
	number[4] = open_for("x", 16, true)->number;
	for (unsigned i = 0; i < 5; i++)
		handle[i] = file_of(number[i])->handle;
	inlay_estate_file_closing(e, number[3], 14); /* asked again */
	inlay_estate_file_closing(e, number[4], 17); /* it is over */
	e = kill_and_inherit(e, &h);
	assert_non_null(file_of(number[0]));
	assert_null(file_of(number[1]));
	assert_non_null(file_of(number[2]));
	assert_non_null(file_of(number[3]));
	assert_null(file_of(number[4]));
	/* What was written before is not known here: a crash of the server's host must be told. */
	assert_true(file_of(number[0])->node->changes != file_of(number[0])->node->synced);
	/* Until all is on its disk. */
	inlay_redirect_sync(&w.r, 0);
	assert_int_equal(file_of(number[0])->node->changes, file_of(number[0])->node->synced);
	for (unsigned i = 0; i < 4; i += i ? 1 : 2)
		assert_int_equal(t_close(file_of(number[i])), 0);
	close_on_side(handle[1]); /* the two that are gone are open there still */
	close_on_side(handle[4]);
	stop();
	estate_done(e);
}

static int lock(struct inlay_file *f, uint32_t type, uint64_t from, uint64_t to)
{
	struct run *t = on_file(f);

	t->op.in.lock = (struct inlay_lock_req){.owner = 7, .start = from, .end = to, .type = type, .kind = INLAY_LOCK_POSIX};
	inlay_op_lock(&t->op);
	return drop(t);
}

static void locks_live_on_as_they_were_cut(void **state)
{
	struct heir h = {0};
	struct inlay_estate *e;
	struct inlay_lock_req l[2];
	struct inlay_file *f;
	uint64_t number;

	(void)state;
	start(NULL);
	e = will();
	assert_int_equal(t_touch("x"), 0);
	f = open_for("x", 11, true);
	number = f->number;
	assert_int_equal(lock(f, INLAY_LOCK_WRITE, 0, 99), 0);
	assert_int_equal(lock(f, INLAY_LOCK_UNLOCK, 40, 59), 0);
	e = kill_and_inherit(e, &h);
	f = file_of(number);
	assert_int_equal(f->lock_uses, 1);
	assert_true(inlay_held_next(&w.r, f, 1, &l[0]) && inlay_held_next(&w.r, f, 1, &l[1]));
	assert_false(inlay_held_next(&w.r, f, 1, &l[0]));
	assert_int_equal(l[0].start + l[1].start, 60);
	assert_int_equal(l[0].end + l[1].end, 39 + 99);
	/* Rows are used again. */
	for (unsigned i = 0; i < 3 * caps.locks; i++) {
		assert_int_equal(lock(f, INLAY_LOCK_WRITE, 200, 210), 0);
		assert_int_equal(lock(f, INLAY_LOCK_UNLOCK, 200, 210), 0);
	}
	assert_true(e->head->locks <= 4);
	assert_int_equal(t_close(f), 0);
	stop();
	estate_done(e);
}

static struct run *lock_again(struct inlay_file *f, uint64_t from, uint64_t to)
{
	struct run *t = on_file(f);

	t->op.in.lock = (struct inlay_lock_req){.owner = 7, .start = from, .end = to, .type = INLAY_LOCK_WRITE, .kind = INLAY_LOCK_POSIX,
	                                        .flags = INLAY_LOCK_WAIT};
	w.side[INLAY_REMOTE].hold = true;
	inlay_op_lock(&t->op);
	t->op.call.inherited = true; /* as a lane says */
	return t;
}

/* It was granted, and noted, and then the redirector was killed: the kernel asks again, and a signal comes. */
static void a_lock_that_was_had_is_not_given_up(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct heir h = {.asked = {12}, .count = 1};
	struct inlay_estate *e;
	struct inlay_file *file;
	uint64_t number;
	struct run *t;

	(void)state;
	start(NULL);
	e = will();
	assert_int_equal(t_touch("x"), 0);
	file = open_for("x", 11, true);
	number = file->number;
	assert_int_equal(lock(file, INLAY_LOCK_WRITE, 0, 49), 0);
	assert_int_equal(lock(file, INLAY_LOCK_WRITE, 50, 99), 0);
	e = kill_and_inherit(e, &h);
	file = file_of(number);
	t = lock_again(file, 10, 80);
	assert_false(inlay_op_lock_interrupt(&t->op));
	assert_true(fake_release(f));
	f->hold = false;
	assert_int_equal(drop(t), 0);
	/* What was not had may be. */
	t = lock_again(file, 90, 100);
	assert_true(inlay_op_lock_interrupt(&t->op));
	f->port.cancel(&f->port, 0, &t->op.call);
	f->hold = false;
	assert_int_equal(drop(t), -INLAY_EINTR);
	while (fake_release(f))
		;
	assert_int_equal(t_close(file), 0);
	stop();
	estate_done(e);
}

/* The hint may have gone to a process that is dead. */
static void an_old_answer_of_queued_is_not_believed(void **state)
{
	struct fake_side *f = &w.side[INLAY_REMOTE];
	struct inlay_estate *e;
	struct inlay_file *file;
	struct run *t;

	(void)state;
	start(NULL);
	e = will();
	assert_int_equal(t_touch("x"), 0);
	file = open_for("x", 11, true);
	t = lock_again(file, 0, 9);
	f->fail_type = INLAY_LOCK;
	f->fail_at = 1;
	f->fail_status = -INLAY_EQUEUED;
	assert_true(fake_release(f));
	assert_false(t->done);
	t->op.call.inherited = false; /* it asks by itself now */
	assert_true(fake_release(f));
	f->hold = false;
	assert_int_equal(drop(t), 0);
	assert_int_equal(t_close(file), 0);
	stop();
	estate_done(e);
}

static int commit(struct inlay_file *f)
{
	struct run *t = on_file(f);

	inlay_op_commit(&t->op);
	return drop(t);
}

static struct estate_file *row_of(struct inlay_estate *e, const struct inlay_file *f)
{
	return &e->files[(uint32_t)f->number - 1];
}

static void a_loss_is_told_once_over_take_overs(void **state)
{
	struct heir h = {0};
	struct inlay_estate *e;
	struct inlay_file *f;
	uint64_t number;
	struct run *t;

	(void)state;
	start(NULL);
	e = will();
	assert_int_equal(t_touch("x"), 0);
	f = open_for("x", 11, true);
	number = f->number;
	t = on_file(f);
	t->op.data = (const uint8_t *)"kept";
	t->op.data_len = 4;
	inlay_op_write(&t->op);
	assert_int_equal(drop(t), 0);
	assert_non_null(f->node->kept);
	inlay_unsynced_lost(&w.r, f->node->kept, 0); /* as when it can't be sent again */
	assert_true(row_of(e, f)->marks & INLAY_FILE_LOST);
	e = kill_and_inherit(e, &h);
	assert_int_equal(commit(file_of(number)), -INLAY_EIO);
	e = kill_and_inherit(e, &h);
	assert_int_equal(commit(file_of(number)), 0);
	assert_int_equal(t_close(file_of(number)), 0);
	stop();
	estate_done(e);
}

static void another_version_is_refused(void **state)
{
	struct inlay_estate *e;
	size_t len = inlay_estate_len(&caps);
	struct estate_head *head = calloc(1, len);

	(void)state;
	assert_non_null(head);
	assert_int_equal(inlay_estate_open(head, len, &e), -INLAY_EPROTO);
	assert_int_equal(inlay_estate_new(head, &caps, &e), 0);
	inlay_estate_free(e);
	assert_int_equal(inlay_estate_open(head, len - 1, &e), -INLAY_EPROTO);
	head->node_size++;
	assert_int_equal(inlay_estate_open(head, len, &e), -INLAY_EPROTO);
	head->node_size--;
	head->files = caps.files + 1;
	assert_int_equal(inlay_estate_open(head, len, &e), -INLAY_EPROTO);
	head->files = 0;
	assert_int_equal(inlay_estate_open(head, len, &e), 0);
	inlay_estate_free(e);
	free(head);
}

RUN_TESTS(cmocka_unit_test(nodes_keep_numbers_names_and_counts), cmocka_unit_test(files_live_on_unless_they_are_asked_for_anew),
	cmocka_unit_test(locks_live_on_as_they_were_cut), cmocka_unit_test(a_lock_that_was_had_is_not_given_up),
	cmocka_unit_test(an_old_answer_of_queued_is_not_believed), cmocka_unit_test(a_loss_is_told_once_over_take_overs),
	cmocka_unit_test(another_version_is_refused))

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
		cmocka_unit_test(lost_writes_are_told_once_for_each_open_file),
	};

	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

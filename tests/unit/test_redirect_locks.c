/*
 * The redirector's locks: waiting, woken, given up at any moment; and what closing a file does to them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect_support.h"

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

RUN_TESTS(cmocka_unit_test(locks_wait_and_are_woken), cmocka_unit_test(a_hint_that_overtakes_the_answer_is_kept),
          cmocka_unit_test(a_lock_given_up_at_the_port_is_undone), cmocka_unit_test(an_unlock_given_up_at_the_port_is_done),
          cmocka_unit_test(a_late_cancel_takes_nobody_elses_place), cmocka_unit_test(a_close_given_up_at_the_port_is_done),
          cmocka_unit_test(locks_can_be_interrupted_at_every_moment), cmocka_unit_test(all_waiting_ends_at_the_end),
          cmocka_unit_test(closing_is_waited_for), cmocka_unit_test(who_did_not_ask_to_wait_may_be_put_off))

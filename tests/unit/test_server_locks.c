/*
 * Locks through local sessions: ranges, kinds, waiting, deadlocks, what closing drops, and a model byte by byte.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server_support.h"

#define MAX INT64_MAX

static struct inlay_server *server;
static struct local a, b;
static uint64_t ha, hb;

static void setup(void)
{
	server = make_server(NULL, 0);
	add_export(server, "data", false);
	local_open(&a, server, "data");
	local_open(&b, server, "data");
	ha = local_create(&a, "f", INLAY_O_RDWR);
	hb = local_create(&b, "f", INLAY_O_RDWR);
}

static uint32_t locks_now(void)
{
	struct inlay_server_counts counts;

	inlay_server_counts(server, &counts);
	return counts.locks;
}

static void teardown(void)
{
	local_close(&a);
	local_close(&b);
	assert_int_equal(locks_now(), 0);
	inlay_server_free(server);
}

static int lock(struct local *l, uint64_t handle, uint64_t owner, uint32_t type, uint64_t start, uint64_t end,
                uint32_t flags)
{
	return CALL(l, LOCK, lock, .handle = handle, .owner = owner, .start = start, .end = end, .type = type,
		.pid = (uint32_t)owner, .flags = flags);
}

static int flock_(struct local *l, uint64_t handle, uint64_t owner, uint32_t type, uint32_t flags)
{
	return CALL(l, LOCK, lock, .handle = handle, .owner = owner, .kind = INLAY_LOCK_FLOCK, .type = type, .flags = flags);
}

enum { R = INLAY_LOCK_READ, W = INLAY_LOCK_WRITE, U = INLAY_LOCK_UNLOCK };

static void ranges_split_merge_and_conflict(void **state)
{
	struct inlay_testlock_rep t;

	(void)state;
	setup();
	assert_int_equal(lock(&a, ha, 1, W, 0, 99, 0), 0);
	assert_int_equal(lock(&a, ha, 1, U, 40, 59, 0), 0);
	assert_int_equal(locks_now(), 2);
	assert_int_equal(lock(&b, hb, 1, W, 40, 59, 0), 0); /* the same number, but another session: another owner */
	assert_int_equal(lock(&b, hb, 1, R, 39, 39, 0), -INLAY_EAGAIN);
	assert_int_equal(lock(&b, hb, 1, R, 60, MAX, 0), -INLAY_EAGAIN);
	assert_int_equal(lock(&b, hb, 1, U, 0, MAX, 0), 0);
	assert_int_equal(lock(&a, ha, 1, W, 40, 59, 0), 0);
	assert_int_equal(locks_now(), 1); /* one again */
	assert_int_equal(lock(&a, ha, 1, R, 0, 99, 0), 0); /* downgraded */
	assert_int_equal(lock(&b, hb, 1, R, 50, 150, 0), 0);
	assert_int_equal(lock(&a, ha, 1, W, 0, 99, 0), -INLAY_EAGAIN);
	assert_int_equal(CALL(&a, TESTLOCK, testlock, .handle = ha, .owner = 1, .start = 0, .end = MAX, .type = W), 0);
	REPLY(&a, testlock, &t);
	assert_int_equal(t.start, 50);
	assert_int_equal(t.end, 150);
	assert_int_equal(t.type, R);
	assert_int_equal(t.pid, 1);
	assert_int_equal(CALL(&a, TESTLOCK, testlock, .handle = ha, .owner = 1, .start = 0, .end = 49, .type = W), 0);
	REPLY(&a, testlock, &t);
	assert_int_equal(t.type, U);
	teardown();
}

static void nonsense_is_refused(void **state)
{
	uint64_t r;

	(void)state;
	setup();
	assert_int_equal(lock(&a, ha, 1, 3, 0, 1, 0), -INLAY_EINVAL);
	assert_int_equal(lock(&a, ha, 1, W, 2, 1, 0), -INLAY_EINVAL);
	assert_int_equal(lock(&a, ha, 1, W, 0, 1ull << 63, 0), -INLAY_EINVAL);
	assert_int_equal(lock(&a, ha, 1, W, 0, 1, INLAY_LOCK_RECLAIM), -INLAY_EINVAL);
	assert_int_equal(lock(&a, hb, 1, W, 0, 1, 0), -INLAY_EBADF);
	r = local_create(&a, "f", INLAY_O_RDONLY);
	assert_int_equal(lock(&a, r, 1, W, 0, 1, 0), -INLAY_EBADF); /* as fcntl(2): not open for writing */
	assert_int_equal(lock(&a, r, 1, R, 0, 1, 0), 0);
	assert_int_equal(flock_(&a, r, 1, W, 0), 0);
	teardown();
}

static void waiters_are_woken_when_it_is_their_turn(void **state)
{
	(void)state;
	setup();
	assert_int_equal(lock(&a, ha, 1, W, 0, 9, 0), 0);
	assert_int_equal(lock(&b, hb, 2, W, 5, 20, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(lock(&a, ha, 1, U, 0, 4, 0), 0); /* not what is waited for */
	assert_int_equal(b.wakes, 0);
	assert_int_equal(lock(&a, ha, 1, U, 0, 9, 0), 0);
	assert_int_equal(b.wakes, 1);
	assert_int_equal(b.woken.handle, hb);
	assert_int_equal(b.woken.owner, 2);
	assert_int_equal(b.woken.kind, INLAY_LOCK_POSIX);
	assert_int_equal(lock(&b, hb, 2, W, 5, 20, INLAY_LOCK_WAIT), 0);
	assert_int_equal(lock(&a, ha, 1, W, 5, 5, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(CALL(&a, LOCK_CANCEL, lock_cancel, .handle = ha, .owner = 1), 0);
	assert_int_equal(lock(&b, hb, 2, U, 0, MAX, 0), 0);
	assert_int_equal(a.wakes, 0); /* cancelled */
	teardown();
}

/* The threads of a process are one owner, and each may wait for something else. */
static void one_owner_may_wait_for_several(void **state)
{
	(void)state;
	setup();
	assert_int_equal(lock(&a, ha, 1, W, 0, 9, 0), 0);
	assert_int_equal(lock(&a, ha, 1, W, 20, 29, 0), 0);
	assert_int_equal(lock(&b, hb, 7, W, 0, 9, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(lock(&b, hb, 7, W, 20, 29, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(lock(&b, hb, 7, W, 40, 49, 0), 0); /* a third thread */
	assert_int_equal(lock(&b, hb, 7, U, 40, 49, 0), 0);
	assert_int_equal(lock(&a, ha, 1, U, 0, 9, 0), 0);
	assert_int_equal(b.wakes, 1);
	assert_int_equal(lock(&b, hb, 7, W, 0, 9, INLAY_LOCK_WAIT), 0);
	assert_int_equal(lock(&a, ha, 1, U, 20, 29, 0), 0);
	assert_int_equal(b.wakes, 2);
	assert_int_equal(lock(&b, hb, 7, W, 20, 29, INLAY_LOCK_WAIT), 0);
	/* A circle is found through whichever thread. */
	assert_int_equal(lock(&a, ha, 1, W, 60, 69, 0), 0);
	assert_int_equal(lock(&a, ha, 2, W, 80, 89, 0), 0);
	assert_int_equal(lock(&b, hb, 7, W, 60, 69, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(lock(&b, hb, 7, W, 80, 89, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(lock(&a, ha, 1, W, 0, 9, INLAY_LOCK_WAIT), -INLAY_EDEADLK);
	assert_int_equal(lock(&a, ha, 2, W, 0, 9, INLAY_LOCK_WAIT), -INLAY_EDEADLK);
	/* One of them gives up: the other is told to ask again. */
	assert_int_equal(CALL(&b, LOCK_CANCEL, lock_cancel, .handle = hb, .owner = 7), 0);
	assert_int_equal(b.wakes, 3);
	assert_int_equal(lock(&b, hb, 7, W, 60, 69, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(CALL(&b, LOCK_CANCEL, lock_cancel, .handle = hb, .owner = 7), 0);
	assert_int_equal(b.wakes, 3); /* none is left */
	assert_int_equal(lock(&a, ha, 1, W, 0, 9, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	teardown();
}

static void closing_drops_what_the_handle_took(void **state)
{
	uint64_t second;

	(void)state;
	setup();
	second = local_create(&a, "f", INLAY_O_RDWR);
	assert_int_equal(lock(&a, ha, 1, W, 0, 9, 0), 0);
	assert_int_equal(lock(&a, second, 1, W, 20, 29, 0), 0);
	assert_int_equal(lock(&b, hb, 1, W, 0, 9, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(CALL(&a, CLOSE, close, .handle = ha), 0);
	assert_int_equal(b.wakes, 1);
	assert_int_equal(lock(&b, hb, 1, W, 0, 9, 0), 0);
	assert_int_equal(lock(&b, hb, 1, W, 20, 29, 0), -INLAY_EAGAIN); /* the twin: the other handle's stays */
	teardown();
}

static void a_session_takes_its_locks_along(void **state)
{
	(void)state;
	setup();
	assert_int_equal(lock(&a, ha, 1, W, 0, MAX, 0), 0);
	assert_int_equal(flock_(&a, ha, 1, W, 0), 0);
	assert_int_equal(lock(&b, hb, 1, R, 0, 0, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(flock_(&b, hb, 1, R, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	local_close(&a);
	assert_int_equal(b.wakes, 2);
	assert_int_equal(lock(&b, hb, 1, R, 0, 0, 0), 0);
	assert_int_equal(flock_(&b, hb, 1, R, 0), 0);
	local_open(&a, server, "data");
	teardown();
}

static void circles_of_waiters_are_refused(void **state)
{
	(void)state;
	setup();
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(lock(&a, ha, 10 + i, W, i, i, 0), 0);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(lock(&a, ha, 10 + i, W, i + 1, i + 1, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(lock(&a, ha, 14, W, 0, 0, INLAY_LOCK_WAIT), -INLAY_EDEADLK);
	assert_int_equal(lock(&a, ha, 14, W, 0, 0, 0), -INLAY_EAGAIN);
	assert_int_equal(lock(&b, hb, 14, W, 0, 0, INLAY_LOCK_WAIT), -INLAY_EQUEUED); /* not of the circle */
	assert_int_equal(CALL(&a, LOCK_CANCEL, lock_cancel, .handle = ha, .owner = 12), 0);
	assert_int_equal(lock(&a, ha, 14, W, 0, 0, INLAY_LOCK_WAIT), -INLAY_EQUEUED); /* broken */
	teardown();
}

static void flock_lives_apart(void **state)
{
	(void)state;
	setup();
	assert_int_equal(lock(&a, ha, 1, W, 0, MAX, 0), 0);
	assert_int_equal(flock_(&b, hb, 1, R, 0), 0);
	assert_int_equal(flock_(&a, ha, 1, R, 0), 0);
	assert_int_equal(flock_(&a, ha, 2, W, 0), -INLAY_EAGAIN);
	/* two that upgrade: the first one's shared lock is gone while it waits, so that the second gets through */
	assert_int_equal(flock_(&a, ha, 1, W, INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(flock_(&b, hb, 1, W, INLAY_LOCK_WAIT), 0);
	assert_int_equal(flock_(&b, hb, 1, U, 0), 0);
	assert_int_equal(a.wakes, 1);
	assert_int_equal(flock_(&a, ha, 1, W, INLAY_LOCK_WAIT), 0);
	teardown();
}

/* ---- the model: who holds each byte how ---- */

#define BYTES 40
#define OWNERS 4

static uint8_t model[BYTES][OWNERS]; /* 0 free, 1 read, 2 write */
static uint64_t seed = 5;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static bool model_conflict(uint32_t owner, uint32_t type, uint32_t start, uint32_t end)
{
	for (uint32_t i = start; i <= end; i++)
		for (uint32_t o = 0; o < OWNERS; o++)
			if (o != owner && model[i][o] && (model[i][o] == 2 || type == W))
				return true;
	return false;
}

/* Each owner's bytes as runs of one type: what the server must hold, record by record. */
static uint32_t model_runs(void)
{
	uint32_t runs = 0;

	for (uint32_t o = 0; o < OWNERS; o++)
		for (uint32_t i = 0; i < BYTES; i++)
			runs += model[i][o] && (i == 0 || model[i - 1][o] != model[i][o]);
	return runs;
}

static void random_locks_agree_with_the_model(void **state)
{
	(void)state;
	setup();
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t owner = rnd(OWNERS), type = rnd(3), start = rnd(BYTES), end = start + rnd(BYTES - start);
		struct local *l = owner % 2 ? &b : &a;
		bool held = type != U && model_conflict(owner, type, start, end);

		assert_int_equal(lock(l, owner % 2 ? hb : ha, owner, type, start, end, 0), held ? -INLAY_EAGAIN : 0);
		for (uint32_t i = start; !held && i <= end; i++)
			model[i][owner] = type == U ? 0 : type == W ? 2 : 1;
		assert_int_equal(locks_now(), model_runs());
	}
	teardown();
}

static void one_file_has_so_many_locks_and_waiters(void **state)
{
	uint64_t i = 0;
	int r = 0;

	(void)state;
	setup();
	assert_int_equal(lock(&b, hb, 1, R, 1u << 30, 1u << 30, 0), 0);
	while (r == 0 && i < 2 * INLAY_FILE_LOCKS_MAX) {
		r = lock(&a, ha, i, R, i, i, 0); /* of an owner of its own each: they never become one */
		i += r == 0;
	}
	assert_int_equal(r, -INLAY_ENOLCK);
	assert_in_range(i, INLAY_FILE_LOCKS_MAX - 2, INLAY_FILE_LOCKS_MAX);
	assert_int_equal(lock(&a, ha, 0, U, 0, MAX, 0), 0); /* what is there can be given back */
	assert_int_equal(CALL(&a, CLOSE, close, .handle = ha), 0);
	ha = local_create(&a, "f", INLAY_O_RDWR);
	r = -INLAY_EQUEUED;
	for (i = 0; r == -INLAY_EQUEUED && i < 2 * INLAY_FILE_WAITERS_MAX; i += r == -INLAY_EQUEUED)
		r = lock(&a, ha, i, W, 1u << 30, 1u << 30, INLAY_LOCK_WAIT);
	assert_int_equal(r, -INLAY_ENOLCK);
	assert_int_equal(i, INLAY_FILE_WAITERS_MAX);
	teardown();
}

RUN_TESTS(cmocka_unit_test(one_file_has_so_many_locks_and_waiters), cmocka_unit_test(ranges_split_merge_and_conflict), cmocka_unit_test(nonsense_is_refused),
	cmocka_unit_test(waiters_are_woken_when_it_is_their_turn), cmocka_unit_test(one_owner_may_wait_for_several),
	cmocka_unit_test(closing_drops_what_the_handle_took),
	cmocka_unit_test(a_session_takes_its_locks_along), cmocka_unit_test(circles_of_waiters_are_refused),
	cmocka_unit_test(flock_lives_apart), cmocka_unit_test(random_locks_agree_with_the_model))

/*
 * The ring of a loop: reads at depth, the end of file, errors, a full ring, stopping, loops that change hands, and hosts without.
 * Pipes stand for slow disks: a read of an empty one stays under way until the test writes to it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/uring.h"

#include "base/status.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE (1u << 20)
#define TAIL 5000u
#define NOT_TAKEN (-1000000) /* result: the ring said false */
#define PENDING (-1000001)

/* cmocka asserts on its own thread only: callbacks note, the test looks. */

struct want {
	struct inlay_task post;    /* asks on the loop */
	struct inlay_task instead; /* what its user does when the ring didn't */
	struct inlay_uring_op op;
	struct inlay_loop *loop;
	int fd;
	bool fall_back;
	uint64_t off;
	uint32_t len;
	struct inlay_chunk *chunk;
	int64_t result;
	unsigned done;
	bool wrong_owner, by_thread;
	sem_t told;
};

static void want_end(struct want *w, int64_t result)
{
	if (inlay_loop_current() != w->loop)
		w->wrong_owner = true;
	w->result = result;
	w->done++;
	sem_post(&w->told);
}

static void instead_work(struct inlay_task *t)
{
	struct want *w = inlay_container(t, struct want, instead);

	w->by_thread = true;
	w->result = pread(w->fd, w->chunk->mem, w->len, (off_t)w->off);
}

static void instead_done(struct inlay_task *t)
{
	struct want *w = inlay_container(t, struct want, instead);

	want_end(w, w->result);
}

static void want_instead(struct want *w, int64_t result)
{
	if (!w->fall_back) {
		want_end(w, result);
		return;
	}
	inlay_chunk_unref(w->chunk);
	w->chunk = inlay_chunk_new(w->len ? w->len : 1);
	w->instead = (struct inlay_task){.work = instead_work, .done = instead_done};
	inlay_loop_offload(w->loop, &w->instead);
}

static void op_done(struct inlay_uring_op *op, int64_t result)
{
	struct want *w = inlay_container(op, struct want, op);

	if (result == -INLAY_EAGAIN)
		want_instead(w, result);
	else
		want_end(w, result);
}

static void want_ask(struct inlay_task *t)
{
	struct want *w = inlay_container(t, struct want, post);
	bool taken;

	w->op.done = op_done;
	taken = inlay_uring_read(w->loop, &w->op, w->fd, w->off, w->chunk, w->chunk->mem, w->len);
	if (!taken)
		want_instead(w, NOT_TAKEN);
}

static void want_init(struct want *w, struct inlay_crew *c, int fd, uint64_t off, uint32_t len)
{
	*w = (struct want){.post = {.done = want_ask}, .loop = inlay_crew_loop(c, 0), .fd = fd, .off = off, .len = len,
		.result = PENDING};
	w->chunk = inlay_chunk_new(len ? len : 1);
	assert_non_null(w->chunk);
	sem_init(&w->told, 0, 0);
}

static void want_free(struct want *w)
{
	inlay_chunk_unref(w->chunk);
	sem_destroy(&w->told);
}

static void want_post(struct want *w)
{
	inlay_loop_post(w->loop, &w->post);
}

static bool told_within(struct want *w, unsigned ms)
{
	struct timespec t;
	int r;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	do
		r = sem_timedwait(&w->told, &t);
	while (r < 0 && errno == EINTR);
	return r == 0;
}

static void want_result(struct want *w, int64_t expected)
{
	assert_true(told_within(w, 20000));
	assert_int_equal(w->result, expected);
	assert_int_equal(w->done, 1);
	assert_false(w->wrong_owner);
}

static int64_t one(struct inlay_crew *c, int fd, uint64_t off, uint32_t len)
{
	struct want w;
	int64_t result;

	want_init(&w, c, fd, off, len);
	want_post(&w);
	assert_true(told_within(&w, 20000));
	result = w.result;
	want_free(&w);
	return result;
}

/* Runs on the loop, so that the answer is of a quiet moment. */
struct count {
	struct inlay_task task;
	sem_t told;
	unsigned n;
};

static void count_run(struct inlay_task *t)
{
	struct count *k = inlay_container(t, struct count, task);

	k->n = inlay_uring_under_way(t->loop);
	sem_post(&k->told);
}

static unsigned under_way(struct inlay_crew *c)
{
	struct count k = {.task = {.done = count_run}};

	sem_init(&k.told, 0, 0);
	inlay_loop_post(inlay_crew_loop(c, 0), &k.task);
	while (sem_wait(&k.told) < 0)
		;
	sem_destroy(&k.told);
	return k.n;
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static bool under_way_becomes(struct inlay_crew *c, unsigned n)
{
	for (int i = 0; i < 1000; i++) {
		if (under_way(c) == n)
			return true;
		sleep_ms(5);
	}
	return false;
}

static struct inlay_crew *crew_started(void)
{
	struct inlay_crew_config config = {.loops = 1, .spares_max = 4};
	struct inlay_crew *c = NULL;

	assert_int_equal(inlay_crew_new(&config, &c), 0);
	assert_int_equal(inlay_crew_start(c), 0);
	return c;
}

static void crew_end(struct inlay_crew *c)
{
	inlay_crew_stop(c);
	inlay_crew_free(c);
}

/* A host without io_uring runs what needs none. */
static void need_ring(void)
{
	struct io_uring ring;

	if (io_uring_queue_init(1, &ring, 0) < 0) {
		skip();
		return;
	}
	io_uring_queue_exit(&ring);
}

static struct inlay_crew *crew_with_ring(void)
{
	need_ring();
	return crew_started();
}

/* Each 8 bytes hold their own number, so that misplaced data shows. FILE_SIZE + TAIL bytes; its name is gone already. */
static int file_new(void)
{
	char path[] = "/tmp/inlay-uring-XXXXXX";
	size_t len = FILE_SIZE + TAIL;
	uint64_t *words = calloc(1, len);
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_non_null(words);
	unlink(path);
	for (size_t i = 0; i < len / 8; i++)
		words[i] = i;
	assert_int_equal(write(fd, words, len), (ssize_t)len);
	free(words);
	return fd;
}

static bool data_right(const struct want *w)
{
	for (size_t i = 0; i < w->len / 8; i++) {
		uint64_t word;

		memcpy(&word, w->chunk->mem + i * 8, 8);
		if (word != w->off / 8 + i)
			return false;
	}
	return true;
}

/* ---- reads ---- */

static void many(struct want *w, struct inlay_crew *c, unsigned n, int fd, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		want_init(&w[i], c, fd, (uint64_t)(i * 37 % 256) * 4096, len);
		w[i].fall_back = true;
	}
	for (unsigned i = 0; i < n; i++)
		want_post(&w[i]);
	for (unsigned i = 0; i < n; i++) {
		want_result(&w[i], len);
		assert_true(data_right(&w[i]));
		want_free(&w[i]);
	}
}

/* Out of the page cache, too, where the host drops it when asked. */
static void reads_at_depth(void **state)
{
	struct inlay_crew *c = crew_started();
	struct want *w = calloc(64, sizeof(*w));
	int fd = file_new();

	(void)state;
	assert_non_null(w);
	fdatasync(fd);
	for (int round = 0; round < 10; round++) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		many(w, c, 64, fd, 4096);
	}
	assert_int_equal(under_way(c), 0);
	crew_end(c);
	close(fd);
	free(w);
}

static void end_of_file(void **state)
{
	struct inlay_crew *c = crew_with_ring();
	int fd = file_new();

	(void)state;
	assert_int_equal(one(c, fd, FILE_SIZE, 8192), TAIL);
	assert_int_equal(one(c, fd, FILE_SIZE + TAIL - 1, 4096), 1);
	assert_int_equal(one(c, fd, FILE_SIZE + TAIL, 4096), 0);
	assert_int_equal(one(c, fd, FILE_SIZE * 2, 1), 0);
	assert_int_equal(one(c, fd, 0, FILE_SIZE), FILE_SIZE);
	crew_end(c);
	close(fd);
}

/* A short answer of the host is no end of file. */
static void short_reads_go_on(void **state)
{
	struct inlay_crew *c = crew_with_ring();
	struct want w;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	want_init(&w, c, p[0], 0, 10);
	want_post(&w);
	assert_int_equal(write(p[1], "0123", 4), 4);
	assert_false(told_within(&w, 50));
	assert_int_equal(under_way(c), 1);
	assert_int_equal(write(p[1], "456789", 6), 6);
	want_result(&w, 10);
	assert_memory_equal(w.chunk->mem, "0123456789", 10);
	want_free(&w);
	want_init(&w, c, p[0], 0, 10);
	want_post(&w);
	assert_int_equal(write(p[1], "abc", 3), 3);
	close(p[1]);
	want_result(&w, 3);
	want_free(&w);
	close(p[0]);
	crew_end(c);
}

static void errors(void **state)
{
	struct inlay_crew *c = crew_with_ring();
	int dir = open("/", O_RDONLY | O_DIRECTORY), none = open("/proc/self/mem", O_RDONLY);

	(void)state;
	assert_int_equal(one(c, 1000000, 0, 8), -INLAY_EBADF);
	assert_int_equal(one(c, dir, 0, 8), -INLAY_EISDIR);
	assert_int_equal(one(c, none, 0, 8), -INLAY_EIO); /* nothing is mapped there */
	assert_int_equal(under_way(c), 0);
	crew_end(c);
	close(dir);
	close(none);
}

/* ---- limits, stopping, hand-off ---- */

static void full_ring(void **state)
{
	unsigned n = INLAY_URING_DEPTH;
	struct inlay_crew *c = crew_with_ring();
	struct want *w = calloc(n + 1, sizeof(*w));
	int p[2], fd = file_new();

	(void)state;
	assert_non_null(w);
	assert_int_equal(pipe(p), 0);
	for (unsigned i = 0; i < n; i++) {
		want_init(&w[i], c, p[0], 0, 1);
		want_post(&w[i]);
	}
	assert_true(under_way_becomes(c, n));
	want_init(&w[n], c, fd, 0, 4096);
	want_post(&w[n]);
	want_result(&w[n], NOT_TAKEN);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_true(under_way_becomes(c, n - 1));
	assert_int_equal(one(c, fd, 0, 4096), 4096); /* there is room again */
	for (unsigned i = 1; i < n; i++)
		assert_int_equal(write(p[1], "x", 1), 1);
	for (unsigned i = 0; i < n; i++)
		want_result(&w[i], 1);
	for (unsigned i = 0; i <= n; i++)
		want_free(&w[i]);
	crew_end(c);
	close(p[0]);
	close(p[1]);
	close(fd);
	free(w);
}

/* What is under way comes back, once, on the thread that counts as the owner. */
static void stop_under_way(void **state)
{
	struct inlay_crew *c = crew_with_ring();
	struct want w[8];
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (unsigned i = 0; i < 8; i++) {
		want_init(&w[i], c, p[0], 0, 4096);
		want_post(&w[i]);
	}
	assert_true(under_way_becomes(c, 8));
	inlay_crew_stop(c);
	for (unsigned i = 0; i < 8; i++) {
		want_result(&w[i], -INLAY_EAGAIN);
		assert_true(inlay_chunk_is_private(w[i].chunk)); /* the host is done with it */
		want_free(&w[i]);
	}
	assert_int_equal(inlay_uring_under_way(inlay_crew_loop(c, 0)), 0);
	inlay_crew_free(c);
	close(p[0]);
	close(p[1]);
}

/* A user who falls back does so even when the crew has stopped. */
static void stop_falls_back(void **state)
{
	struct inlay_crew *c = crew_with_ring();
	int fd = file_new();
	struct want w;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	want_init(&w, c, p[0], 0, 4);
	want_post(&w);
	assert_true(under_way_becomes(c, 1));
	w.fall_back = true;
	w.fd = fd;
	inlay_crew_stop(c);
	want_result(&w, 4);
	assert_true(w.by_thread);
	want_free(&w);
	inlay_crew_free(c);
	close(p[0]);
	close(p[1]);
	close(fd);
}

struct slow {
	struct inlay_task post, task;
	unsigned ms;
	bool kept, over;
};

static void slow_work(struct inlay_task *t)
{
	struct slow *s = inlay_container(t, struct slow, task);

	sleep_ms(s->ms);
	__atomic_store_n(&s->over, true, __ATOMIC_SEQ_CST);
}

static void slow_done(struct inlay_task *t)
{
	(void)t;
}

static void slow_start(struct inlay_task *t)
{
	struct slow *s = inlay_container(t, struct slow, post);

	s->kept = inlay_loop_run(t->loop, &s->task);
}

/* The reads of a thread that is stuck are given back by the loop's next owner while it still is; their memory is kept. */
static void handed_off(void **state)
{
	struct slow slow = {.post = {.done = slow_start}, .task = {.work = slow_work, .done = slow_done}, .ms = 1500};
	struct inlay_crew *c = crew_with_ring();
	struct want w[4], other;
	int p[2], fd = file_new();

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (unsigned i = 0; i < 4; i++) {
		want_init(&w[i], c, p[0], 0, 1);
		want_post(&w[i]);
	}
	assert_true(under_way_becomes(c, 4));
	inlay_loop_post(inlay_crew_loop(c, 0), &slow.post);
	for (unsigned i = 0; i < 4; i++) {
		want_result(&w[i], -INLAY_EAGAIN);
		assert_false(inlay_chunk_is_private(w[i].chunk)); /* the host may still write there */
	}
	assert_false(__atomic_load_n(&slow.over, __ATOMIC_SEQ_CST));
	assert_int_equal(under_way(c), 4);
	want_init(&other, c, fd, 4096, 4096); /* the new owner's own works meanwhile */
	want_post(&other);
	want_result(&other, 4096);
	assert_true(data_right(&other));
	assert_int_equal(write(p[1], "1234", 4), 4);
	assert_true(under_way_becomes(c, 0));
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(w[i].done, 1);
		assert_true(inlay_chunk_is_private(w[i].chunk));
		want_free(&w[i]);
	}
	want_free(&other);
	crew_end(c);
	assert_false(slow.kept);
	close(p[0]);
	close(p[1]);
	close(fd);
}

/* ---- without ---- */

static void refused(void **state)
{
	struct inlay_crew *c;
	int fd = file_new();
	struct want w;

	(void)state;
	setenv("INLAY_IO_URING", "off", 1);
	c = crew_started();
	assert_int_equal(one(c, fd, 0, 4096), NOT_TAKEN);
	want_init(&w, c, fd, 8192, 4096);
	w.fall_back = true;
	want_post(&w);
	want_result(&w, 4096);
	assert_true(w.by_thread);
	assert_true(data_right(&w));
	want_free(&w);
	crew_end(c);
	unsetenv("INLAY_IO_URING");
	/* The twin: the next crew has a ring. */
	c = crew_with_ring();
	assert_int_equal(one(c, fd, 0, 4096), 4096);
	crew_end(c);
	close(fd);
}

RUN_TESTS(cmocka_unit_test(reads_at_depth), cmocka_unit_test(end_of_file), cmocka_unit_test(short_reads_go_on),
	cmocka_unit_test(errors), cmocka_unit_test(full_ring), cmocka_unit_test(stop_under_way),
	cmocka_unit_test(stop_falls_back), cmocka_unit_test(handed_off), cmocka_unit_test(refused))

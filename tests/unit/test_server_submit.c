/*
 * READ by the loop's ring gives what executing it gives; what can't be submitted is said at once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server_support.h"

#include <fcntl.h>
#include <liburing.h>
#include <semaphore.h>
#include <unistd.h>

#define DATA_LEN 70000u

struct world {
	struct inlay_crew *crew;
	struct inlay_server *server;
	struct local l;
	char path[32];
	uint8_t data[DATA_LEN];
};

/* On the loop. */
struct submission {
	struct inlay_task task;
	struct inlay_request *rq;
	bool taken, executed;
	sem_t told;
};

static struct submission *now; /* one at a time */

static void told(struct inlay_request *rq, bool executed)
{
	(void)rq;
	now->executed = executed;
	sem_post(&now->told);
}

static void submit_run(struct inlay_task *t)
{
	struct submission *s = inlay_container(t, struct submission, task);

	s->taken = inlay_request_submit(s->rq, t->loop, told);
	if (!s->taken)
		sem_post(&s->told);
}

/* The status, or 1 when it was not taken. */
static int submit(struct world *w, uint16_t type, size_t len)
{
	struct submission s = {.task = {.done = submit_run}, .rq = &w->l.rq};

	inlay_request_done(&w->l.rq);
	w->l.rq = (struct inlay_request){.session = w->l.ss, .type = type, .body = w->l.body, .body_len = (uint32_t)len};
	sem_init(&s.told, 0, 0);
	now = &s;
	inlay_loop_post(inlay_crew_loop(w->crew, 0), &s.task);
	while (sem_wait(&s.told) < 0)
		;
	sem_destroy(&s.told);
	if (!s.taken)
		return 1;
	assert_true(s.executed);
	return w->l.rq.status;
}

#define SUBMIT(world, NAME, lower, ...) \
	((world)->l.w = inlay_writer((world)->l.body, sizeof((world)->l.body)), \
		inlay_put_##lower##_req(&(world)->l.w, &(struct inlay_##lower##_req){__VA_ARGS__}), \
		submit((world), INLAY_##NAME, inlay_writer_len(&(world)->l.w)))

static void need_ring(void)
{
	struct io_uring ring;

	if (io_uring_queue_init(1, &ring, 0) < 0) {
		skip();
		return;
	}
	io_uring_queue_exit(&ring);
}

static void world_open(struct world *w, bool posix)
{
	struct inlay_crew_config crew = {.loops = 1, .spares_max = 2};
	struct inlay_export_config export = {.name = "e", .rules = ""};
	int dir;

	*w = (struct world){.path = "/tmp/inlay-submit-XXXXXX"};
	assert_non_null(mkdtemp(w->path));
	assert_int_equal(inlay_crew_new(&crew, &w->crew), 0);
	assert_int_equal(inlay_crew_start(w->crew), 0);
	w->server = make_server(NULL, 0);
	dir = open(w->path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(posix ? inlay_posix_open(dir, 0, &export.store) : inlay_memory_open(&export.store), 0);
	close(dir);
	assert_int_equal(inlay_server_export_add(w->server, &export), 0);
	local_open(&w->l, w->server, "e");
	for (size_t i = 0; i < DATA_LEN; i++)
		w->data[i] = (uint8_t)(i * 7 + 1);
}

static void world_close(struct world *w)
{
	char name[64];

	inlay_crew_stop(w->crew);
	inlay_crew_free(w->crew);
	local_close(&w->l);
	inlay_server_free(w->server);
	snprintf(name, sizeof(name), "%s/f", w->path);
	unlink(name);
	assert_int_equal(rmdir(w->path), 0);
}

/* A file "f": the data, then 16 KiB of zeros. */
static uint64_t make_file(struct world *w, uint32_t flags)
{
	uint64_t h = local_create(&w->l, "f", flags);

	assert_int_equal(CALL_DATA(&w->l, WRITE, write, w->data, DATA_LEN, .handle = h), 0);
	assert_int_equal(CALL(&w->l, WRITE, write, .handle = h, .off = DATA_LEN, .flags = INLAY_WRITE_ZEROS, .zeros = 16384), 0);
	assert_int_equal(CALL(&w->l, COMMIT, commit, .handle = h), 0);
	return h;
}

static void read_gives(struct world *w, uint64_t h, uint64_t off, uint32_t len, uint32_t got, uint32_t zero)
{
	struct inlay_read_rep rep;

	assert_int_equal(SUBMIT(w, READ, read, .handle = h, .off = off, .len = len), 0);
	REPLY(&w->l, read, &rep);
	assert_int_equal(rep.zeros, zero);
	assert_int_equal(w->l.rq.reply_data_len, got);
	if (got)
		assert_memory_equal(w->l.rq.reply_data, w->data + off, got);
}

static void reads(void **state)
{
	struct world w;
	uint64_t h;

	(void)state;
	need_ring();
	world_open(&w, true);
	h = make_file(&w, INLAY_O_RDWR);
	read_gives(&w, h, 0, 4096, 4096, 0);
	read_gives(&w, h, 12345, 50000, 50000, 0);
	read_gives(&w, h, DATA_LEN, 16384, 0, 16384);
	read_gives(&w, h, DATA_LEN, 100000, 0, 16384); /* cut short by the end of file */
	read_gives(&w, h, DATA_LEN + 16384, 4096, 0, 0);
	read_gives(&w, h, 0, 1, 1, 0);
	assert_int_equal(CALL(&w.l, CLOSE, close, .handle = h), 0);
	world_close(&w);
}

/* Not taken, and executing them says why. */
static void refused(void **state)
{
	struct world w;
	uint64_t h;

	(void)state;
	need_ring();
	world_open(&w, true);
	h = make_file(&w, INLAY_O_WRONLY);
	assert_int_equal(SUBMIT(&w, READ, read, .handle = h, .len = 1), 1);
	assert_int_equal(SUBMIT(&w, READ, read, .handle = h + 1, .len = 1), 1);
	assert_int_equal(SUBMIT(&w, COMMIT, commit, .handle = h), 1);
	assert_int_equal(SUBMIT(&w, CLOSE, close, .handle = h), 1);
	assert_int_equal(submit(&w, INLAY_READ, 3), 1);
	assert_int_equal(CALL(&w.l, CLOSE, close, .handle = h), 0); /* nothing held it */
	world_close(&w);
}

static void store_without(void **state)
{
	struct world w;
	uint64_t h;

	(void)state;
	world_open(&w, false);
	h = make_file(&w, INLAY_O_RDWR);
	assert_int_equal(SUBMIT(&w, READ, read, .handle = h, .len = 4096), 1);
	assert_int_equal(CALL(&w.l, READ, read, .handle = h, .len = 4096), 0);
	assert_int_equal(w.l.rq.reply_data_len, 4096);
	world_close(&w);
}

RUN_TESTS(cmocka_unit_test(reads), cmocka_unit_test(refused), cmocka_unit_test(store_without))

/*
 * The Windows filter's user side on real loops: the driver in one thread, home and the other lanes in theirs, placeholders on spare
 * threads. For the thread sanitizer above all.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support.h"

#include "intercept/winfilter/convert.h"
#include "intercept/winfilter/winfilter.h"
#include "net/loop.h"
#include "ring/ring.h"
#include "ring/tags.h"
#include "server/server.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LANES 3u
#define ENTRIES 64u
#define SLOT_SIZE (64u * 1024u)
#define WORKERS 24u
#define ROUNDS 20u
#define BLOCKS 4u
#define BLOCK 3000u

/* ---- the server: a session in the process, whose calls are answered at once or from a spare thread ---- */

struct pending {
	struct inlay_task task;
	struct inlay_request rq;
	struct inlay_call *call;
};

static struct {
	struct inlay_crew *crew;
	struct inlay_server *server;
	struct inlay_session *session;
	struct inlay_side_port port, nothing;
	struct inlay_redirect redirect;
	struct inlay_winfilter *filter;
	_Atomic unsigned turn;
} world;

static void execute(struct inlay_task *t)
{
	inlay_request_execute(&inlay_container(t, struct pending, task)->rq);
}

static void executed(struct inlay_task *t)
{
	struct pending *p = inlay_container(t, struct pending, task);
	struct inlay_reply r = {.status = p->rq.status, .hold = p->rq.chunk};

	if (p->rq.status == 0)
		r = (struct inlay_reply){.body = p->rq.reply_body, .body_len = p->rq.reply_len, .data = p->rq.reply_data,
		                         .data_len = p->rq.reply_data_len, .hold = p->rq.chunk};
	p->call->done(p->call, &r);
	inlay_request_done(&p->rq);
	free(p);
}

static void submit_call(struct inlay_side_port *port, unsigned lane, struct inlay_call *c)
{
	struct pending *p = malloc(sizeof *p);

	(void)port;
	if (!p)
		abort();
	p->call = c;
	p->rq = (struct inlay_request){.session = world.session, .type = c->type, .body = c->head + INLAY_FRAME_HEADER,
	                               .body_len = c->body_len, .data = c->data, .data_len = c->data_len};
	p->task = (struct inlay_task){.work = execute, .done = executed};
	if (atomic_fetch_add(&world.turn, 1) % 4) {
		execute(&p->task);
		executed(&p->task);
	} else {
		inlay_loop_offload(inlay_crew_loop(world.crew, lane), &p->task);
	}
}

static void no_event(void *arg, const struct inlay_event_lock_req *e)
{
	(void)arg, (void)e;
}

/* ---- NTFS: which of the workers' files have a placeholder ---- */

static struct {
	pthread_mutex_t lock;
	bool there[WORKERS];
	struct inlay_placeholder_want want[WORKERS];
	unsigned puts;
} ntfs = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int inspect(void *arg, const char *path, struct inlay_placeholder *ret)
{
	unsigned i = (unsigned)atoi(path);

	(void)arg;
	pthread_mutex_lock(&ntfs.lock);
	ret->state = ntfs.there[i] ? INLAY_PLACEHOLDER_MARKED : INLAY_PLACEHOLDER_ABSENT;
	ret->attr = ntfs.want[i].attr;
	ret->mark = ntfs.want[i].mark;
	snprintf(ret->name, sizeof ret->name, "%s", path);
	pthread_mutex_unlock(&ntfs.lock);
	return 0;
}

static int put(void *arg, const char *path, const struct inlay_placeholder_want *want)
{
	unsigned i = (unsigned)atoi(path);

	(void)arg;
	pthread_mutex_lock(&ntfs.lock);
	ntfs.there[i] = true;
	ntfs.want[i] = *want;
	ntfs.puts++;
	pthread_mutex_unlock(&ntfs.lock);
	return 0;
}

static int remove_it(void *arg, const char *path)
{
	(void)arg;
	pthread_mutex_lock(&ntfs.lock);
	ntfs.there[atoi(path)] = false;
	pthread_mutex_unlock(&ntfs.lock);
	return 0;
}

static int list_all(void *arg, const char *path, int (*each)(void *each_arg, const struct inlay_placeholder *p), void *each_arg)
{
	(void)path;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct inlay_placeholder p;
		char name[16];

		snprintf(name, sizeof name, "%u", i);
		inspect(arg, name, &p);
		if (p.state != INLAY_PLACEHOLDER_ABSENT && each(each_arg, &p) < 0)
			return -INLAY_ENOMEM;
	}
	return 0;
}

static const struct inlay_placeholders_ops ntfs_ops = {
	.size = sizeof ntfs_ops, .inspect = inspect, .put = put, .remove = remove_it, .list = list_all,
};

/* ---- the driver: workers that each open, write, read back and close ---- */

enum stage { OPEN, WRITE, READ, CLOSE, OVER };

struct worker {
	unsigned index, round, block;
	enum stage stage;
	uint64_t file;
	struct inlay_ring_request q;
};

static struct {
	void *section;
	struct inlay_ring_geometry geometry;
	struct inlay_ring_requester ring;
	struct inlay_ring_tag tag_room[ENTRIES];
	struct inlay_ring_tags tags;
	int completions;
	_Atomic bool told;
	struct inlay_task tell;
} driver;

static void told(struct inlay_task *t)
{
	(void)t;
	atomic_store(&driver.told, false);
	inlay_winfilter_ready(world.filter);
}

static void tell(void)
{
	if (!atomic_exchange(&driver.told, true))
		inlay_loop_post(inlay_crew_loop(world.crew, 0), &driver.tell);
}

static void wake_driver(void *arg)
{
	(void)arg;
	assert_int_equal(eventfd_write(driver.completions, 1), 0);
}

static void fill_block(uint8_t *p, const struct worker *k)
{
	for (unsigned i = 0; i < BLOCK; i++)
		p[i] = (uint8_t)(k->index * 31 + k->round * 7 + k->block * 3 + i);
}

/* A worker's slot is its own. */
static void send(struct worker *k)
{
	static const uint32_t kinds[] = {[OPEN] = INLAY_RING_OPEN, [WRITE] = INLAY_RING_WRITE, [READ] = INLAY_RING_READ,
		[CLOSE] = INLAY_RING_CLOSE};
	uint8_t *slot = inlay_ring_requester_slot(&driver.ring, k->index);

	k->q = (struct inlay_ring_request){.kind = kinds[k->stage], .file = k->file, .directory = 1, .slot = k->index,
	                                   .tag = inlay_ring_tags_take(&driver.tags, k)};
	if (k->stage == OPEN) {
		char name[16];

		snprintf(name, sizeof name, "%u", k->index);
		for (unsigned i = 0; name[i]; i++)
			inlay_store16(slot + 2 * i, (uint8_t)name[i]);
		k->q.length = 2 * (uint32_t)strlen(name);
		k->q.in.open.disposition = INLAY_WIN_OPEN_IF;
		k->q.in.open.access = 3;
		k->q.file = 0;
	} else if (k->stage == WRITE || k->stage == READ) {
		k->q.offset = (uint64_t)k->block * BLOCK;
		k->q.length = BLOCK;
		if (k->stage == WRITE)
			fill_block(slot, k);
		else
			memset(slot, 0, BLOCK);
	}
	assert_int_not_equal(k->q.tag, 0);
	assert_int_equal(inlay_ring_requester_push(&driver.ring, &k->q), 0);
}

static void step(struct worker *k, struct inlay_ring_completion *c)
{
	static uint8_t want[BLOCK];

	assert_int_equal(inlay_ring_completion_check(&k->q, c), 0);
	assert_int_equal(c->status, 0);
	switch (k->stage) {
	case OPEN:
		assert_int_equal(c->verdict, INLAY_RING_REMOTE);
		assert_int_equal(c->created, k->round == 0);
		k->file = c->file;
		k->block = 0;
		k->stage = WRITE;
		break;
	case WRITE:
		assert_int_equal(c->length, BLOCK);
		if (++k->block == BLOCKS) {
			k->block = 0;
			k->stage = READ;
		}
		break;
	case READ:
		assert_int_equal(c->length, BLOCK);
		fill_block(want, k);
		assert_memory_equal(inlay_ring_requester_slot(&driver.ring, k->index), want, BLOCK);
		if (++k->block == BLOCKS)
			k->stage = CLOSE;
		break;
	default:
		k->stage = ++k->round == ROUNDS ? OVER : OPEN;
	}
	if (k->stage != OVER)
		send(k);
}

static void wait_for_completions(void)
{
	struct pollfd p = {.fd = driver.completions, .events = POLLIN};
	eventfd_t n;

	if (!inlay_ring_requester_sleep(&driver.ring))
		return;
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(eventfd_read(driver.completions, &n), 0);
	inlay_ring_requester_wake(&driver.ring);
}

static void run_workers(void)
{
	static struct worker workers[WORKERS];
	struct inlay_ring_completion c[16];
	unsigned left = WORKERS;

	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.index = i};
		send(&workers[i]);
	}
	while (left) {
		int count;

		if (inlay_ring_requester_publish(&driver.ring))
			tell();
		count = inlay_ring_requester_pop(&driver.ring, c, 16);
		assert_true(count >= 0);
		for (int i = 0; i < count; i++) {
			struct worker *k = inlay_ring_tags_give(&driver.tags, c[i].tag);

			assert_non_null(k);
			step(k, &c[i]);
			left -= k->stage == OVER;
		}
		if (!count)
			wait_for_completions();
	}
}

/* ---- the world ---- */

static void make_redirect(void)
{
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .banner = "threads"};
	struct inlay_export_config export = {.name = "remote", .identity_client = true, .rules = ""};
	const struct inlay_node_id *roots[INLAY_SIDES] = {NULL, NULL};
	const struct inlay_hash_key seed = {{3, 4}};
	struct inlay_node_id root;
	struct inlay_attr attr;

	assert_int_equal(inlay_server_new(&config, NULL, &world.server), 0);
	assert_int_equal(inlay_memory_open(&export.store), 0);
	assert_int_equal(inlay_server_export_add(world.server, &export), 0);
	assert_int_equal(inlay_local_session_new(world.server, "remote", no_event, NULL, &root, &attr, &world.session), 0);
	world.port = (struct inlay_side_port){.submit = submit_call, .present = true, .max_data = INLAY_DATA_MAX};
	world.redirect.port[INLAY_REMOTE] = &world.port;
	world.redirect.port[INLAY_LOCAL] = &world.nothing;
	world.redirect.repost = inlay_winfilter_repost;
	world.redirect.judge = inlay_judge_new();
	assert_non_null(world.redirect.judge);
	assert_int_equal(inlay_redirect_init(&world.redirect, LANES), 0);
	roots[INLAY_REMOTE] = &root;
	assert_int_equal(inlay_nodes_new(&seed, roots, &world.redirect.nodes), 0);
}

static void make_filter(void)
{
	struct inlay_loop *loops[LANES];
	struct inlay_winfilter_config config = {.redirect = &world.redirect, .loop = loops, .directory = 1, .placeholders = &ntfs_ops,
	                                        .wake_driver = wake_driver, .umask = 022};

	for (unsigned i = 0; i < LANES; i++)
		loops[i] = inlay_crew_loop(world.crew, i);
	assert_int_equal(inlay_ring_layout(&driver.geometry, ENTRIES, WORKERS, SLOT_SIZE), 0);
	driver.section = aligned_alloc(4096, driver.geometry.size);
	assert_non_null(driver.section);
	driver.completions = eventfd(0, EFD_CLOEXEC);
	inlay_ring_tags_init(&driver.tags, driver.tag_room, ENTRIES);
	driver.tell.done = told;
	config.section = driver.section;
	config.geometry = driver.geometry;
	assert_int_equal(inlay_winfilter_new(&config, &world.filter), 0);
	assert_int_equal(inlay_ring_requester_open(&driver.ring, driver.section, driver.geometry.size), 0);
}

static void test_threads(void **state)
{
	struct inlay_crew_config config = {.loops = LANES, .spares_max = 8, .spin_us = 20};
	struct inlay_winfilter_counts counts;
	struct inlay_server_counts server;

	(void)state;
	assert_int_equal(inlay_crew_new(&config, &world.crew), 0);
	make_redirect();
	make_filter();
	assert_int_equal(inlay_crew_start(world.crew), 0);
	tell();
	run_workers();
	inlay_crew_stop(world.crew);
	inlay_winfilter_counts(world.filter, &counts);
	assert_int_equal(counts.outstanding, 0);
	assert_int_equal(counts.files, 0);
	assert_int_equal(counts.answers, WORKERS * ROUNDS * (2 + 2 * BLOCKS));
	assert_int_equal(counts.errors, 0);
	assert_true(ntfs.puts >= WORKERS);
	inlay_winfilter_stop(world.filter);
	inlay_winfilter_free(world.filter);
	inlay_server_counts(world.server, &server);
	assert_int_equal(server.handles, 0);
	inlay_redirect_done(&world.redirect);
	inlay_local_session_free(world.session);
	inlay_server_free(world.server);
	inlay_crew_free(world.crew);
	close(driver.completions);
	free(driver.section);
}

RUN_TESTS(cmocka_unit_test(test_threads))

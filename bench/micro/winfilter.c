/*
 * What the Windows filter's user side costs by itself, natively: the driver's side of the ring in this thread, home in another, a server that
 * answers at once in the process. Not part of the check.
 * Usage: winfilter [SECONDS]. Prints a line per case: answers a second, us each, CPU us each (both threads) and how much of it is the
 * server's work, signals to home per answer. What is left of the CPU is the driver's stand-in, ring, filter, redirector and codec.
 * Built by: cc -O2 -std=gnu11 -D_GNU_SOURCE -Isrc -DINLAY_VERSION='"bench"' -o winfilter bench/micro/winfilter.c $(tools/sources src/base
 * src/wire src/session src/ring src/redirect src/os src/net src/store src/server src/intercept/winfilter) -luring -pthread
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/convert.h"
#include "intercept/winfilter/winfilter.h"
#include "net/loop.h"
#include "ring/ring.h"
#include "ring/tags.h"
#include "server/server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES 256u
#define SLOTS 64u
#define SLOT_SIZE (256u * 1024u)
#define REQUIRE(what) ((what) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), abort()))

struct setting {
	const char *name;
	uint32_t kind;   /* 0: OPEN and CLOSE, by turns */
	uint32_t bytes;
	unsigned depth;
};

static const struct setting settings[] = {
	{"getattr", INLAY_RING_GETATTR, 0, 1},    {"getattr", INLAY_RING_GETATTR, 0, 32},
	{"read 4 KiB", INLAY_RING_READ, 4096, 1}, {"read 4 KiB", INLAY_RING_READ, 4096, 32},
	{"read 256 KiB", INLAY_RING_READ, SLOT_SIZE, 8},
	{"write 4 KiB", INLAY_RING_WRITE, 4096, 1}, {"write 4 KiB", INLAY_RING_WRITE, 4096, 32},
	{"open and close", 0, 0, 1}, {"open and close", 0, 0, 32},
};

static struct {
	struct inlay_crew *crew;
	struct inlay_server *server;
	struct inlay_session *session;
	struct inlay_side_port port, nothing;
	struct inlay_redirect redirect;
	struct inlay_winfilter *filter;
	uint64_t server_ns; /* home's: how long the server took */
	void *section;
	struct inlay_ring_geometry geometry;
	struct inlay_ring_requester ring;
	struct inlay_ring_tag tag_room[ENTRIES];
	struct inlay_ring_tags tags;
	int completions;
	_Atomic bool told;
	struct inlay_task tell;
	uint64_t signals;
} b;

static uint64_t clock_read(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the server ---- */

static void submit_call(struct inlay_side_port *port, unsigned lane, struct inlay_call *c)
{
	struct inlay_request rq = {.session = b.session, .type = c->type, .body = c->head + INLAY_FRAME_HEADER,
	                           .body_len = c->body_len, .data = c->data, .data_len = c->data_len};
	struct inlay_reply r;
	uint64_t start = clock_read(CLOCK_MONOTONIC);

	(void)port, (void)lane;
	inlay_request_execute(&rq);
	b.server_ns += clock_read(CLOCK_MONOTONIC) - start;
	r = (struct inlay_reply){.status = rq.status, .hold = rq.chunk};
	if (rq.status == 0)
		r = (struct inlay_reply){.body = rq.reply_body, .body_len = rq.reply_len, .data = rq.reply_data,
		                         .data_len = rq.reply_data_len, .hold = rq.chunk};
	c->done(c, &r);
	inlay_request_done(&rq);
}

static void no_event(void *arg, const struct inlay_event_lock_req *e)
{
	(void)arg, (void)e;
}

/* ---- NTFS: one placeholder, always as it should be after the first put ---- */

static struct inlay_placeholder_want put_want;
static _Atomic bool was_put;

static int inspect(void *arg, const char *path, struct inlay_placeholder *ret)
{
	(void)arg;
	ret->state = atomic_load(&was_put) ? INLAY_PLACEHOLDER_MARKED : INLAY_PLACEHOLDER_ABSENT;
	ret->attr = put_want.attr;
	ret->mark = put_want.mark;
	snprintf(ret->name, sizeof ret->name, "%s", path);
	return 0;
}

static int put(void *arg, const char *path, const struct inlay_placeholder_want *want)
{
	(void)arg, (void)path;
	put_want = *want;
	atomic_store(&was_put, true);
	return 0;
}

static int remove_it(void *arg, const char *path)
{
	(void)arg, (void)path;
	return 0;
}

static int list_all(void *arg, const char *path, int (*each)(void *each_arg, const struct inlay_placeholder *p), void *each_arg)
{
	(void)arg, (void)path, (void)each, (void)each_arg;
	return 0;
}

static const struct inlay_placeholders_ops ntfs_ops = {
	.size = sizeof ntfs_ops, .inspect = inspect, .put = put, .remove = remove_it, .list = list_all,
};

/* ---- the driver ---- */

static void told(struct inlay_task *t)
{
	(void)t;
	atomic_store(&b.told, false);
	inlay_winfilter_ready(b.filter);
}

static void tell(void)
{
	b.signals++;
	if (!atomic_exchange(&b.told, true))
		inlay_loop_post(inlay_crew_loop(b.crew, 0), &b.tell);
}

static void wake_driver(void *arg)
{
	(void)arg;
	REQUIRE(eventfd_write(b.completions, 1) == 0);
}

static void wait_for_completions(void)
{
	eventfd_t n;

	if (!inlay_ring_requester_sleep(&b.ring))
		return;
	REQUIRE(eventfd_read(b.completions, &n) == 0);
	inlay_ring_requester_wake(&b.ring);
}

struct asker {
	uint32_t slot;
	uint64_t file;
	bool open;      /* of OPEN and CLOSE: what comes next is CLOSE */
};

static void send(const struct setting *s, struct asker *a, uint64_t turn)
{
	struct inlay_ring_request q = {.kind = s->kind, .file = a->file, .directory = 1, .slot = a->slot, .length = s->bytes,
	                               .tag = inlay_ring_tags_take(&b.tags, a)};
	uint8_t *slot = inlay_ring_requester_slot(&b.ring, a->slot);

	if (s->bytes)
		q.offset = turn % 64 * s->bytes;
	if (!s->kind) {
		q.kind = a->open ? INLAY_RING_CLOSE : INLAY_RING_OPEN;
		q.file = a->open ? a->file : 0;
		if (!a->open) {
			memcpy(slot, "f\0i\0l\0e\0", 8);
			q.length = 8;
			q.in.open.disposition = INLAY_WIN_OPEN_IF;
			q.in.open.access = 3;
		}
	}
	REQUIRE(q.tag && inlay_ring_requester_push(&b.ring, &q) == 0);
}

/* Runs askers until the time is over and all have their answers; returns how many there were. */
static uint64_t run(const struct setting *s, uint64_t file, uint64_t ns)
{
	static struct asker askers[SLOTS];
	struct inlay_ring_completion c[64];
	uint64_t end = clock_read(CLOCK_MONOTONIC) + ns, answers = 0;
	unsigned under_way = s->depth;

	for (unsigned i = 0; i < s->depth; i++) {
		askers[i] = (struct asker){.slot = i, .file = s->kind ? file : 0};
		send(s, &askers[i], i);
	}
	while (under_way) {
		bool over = clock_read(CLOCK_MONOTONIC) >= end;
		int count;

		if (inlay_ring_requester_publish(&b.ring))
			tell();
		count = inlay_ring_requester_pop(&b.ring, c, 64);
		REQUIRE(count >= 0);
		for (int i = 0; i < count; i++) {
			struct asker *a = inlay_ring_tags_give(&b.tags, c[i].tag);

			REQUIRE(a && c[i].status == 0);
			answers++;
			if (!s->kind) {
				a->file = c[i].file;
				a->open = !a->open;
			}
			if (over && !a->open)
				under_way--;
			else
				send(s, a, answers);
		}
		if (!count)
			wait_for_completions();
	}
	return answers;
}

static void measure(const struct setting *s, uint64_t file, uint64_t ns)
{
	uint64_t start, cpu, answers;

	(void)run(s, file, ns / 10); /* warm */
	b.server_ns = b.signals = 0;
	start = clock_read(CLOCK_MONOTONIC);
	cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID);
	answers = run(s, file, ns);
	start = clock_read(CLOCK_MONOTONIC) - start;
	cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%-15s depth %2u: %8.0f/s  %7.2f us each  %7.2f us CPU each, of it the server %7.2f  %.2f signals each\n", s->name, s->depth,
	       (double)answers * 1e9 / (double)start, (double)start / 1e3 / (double)answers, (double)cpu / 1e3 / (double)answers,
	       (double)b.server_ns / 1e3 / (double)answers, (double)b.signals / (double)answers);
}

/* ---- the world ---- */

static void make_redirect(void)
{
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .banner = "bench"};
	struct inlay_export_config export = {.name = "remote", .identity_client = true, .rules = ""};
	const struct inlay_node_id *roots[INLAY_SIDES] = {NULL, NULL};
	const struct inlay_hash_key seed = {{3, 4}};
	struct inlay_node_id root;
	struct inlay_attr attr;

	REQUIRE(inlay_server_new(&config, NULL, &b.server) == 0 && inlay_memory_open(&export.store) == 0);
	REQUIRE(inlay_server_export_add(b.server, &export) == 0);
	REQUIRE(inlay_local_session_new(b.server, "remote", no_event, NULL, &root, &attr, &b.session) == 0);
	b.port = (struct inlay_side_port){.submit = submit_call, .present = true, .max_data = INLAY_DATA_MAX};
	b.redirect.port[INLAY_REMOTE] = &b.port;
	b.redirect.port[INLAY_LOCAL] = &b.nothing;
	b.redirect.repost = inlay_winfilter_repost;
	b.redirect.judge = inlay_judge_new();
	REQUIRE(b.redirect.judge && inlay_redirect_init(&b.redirect, 1) == 0);
	roots[INLAY_REMOTE] = &root;
	REQUIRE(inlay_nodes_new(&seed, roots, &b.redirect.nodes) == 0);
}

static void make_filter(void)
{
	struct inlay_loop *loop = inlay_crew_loop(b.crew, 0);
	struct inlay_winfilter_config config = {.redirect = &b.redirect, .loop = &loop, .directory = 1, .placeholders = &ntfs_ops,
	                                        .wake_driver = wake_driver, .umask = 022};

	REQUIRE(inlay_ring_layout(&b.geometry, ENTRIES, SLOTS, SLOT_SIZE) == 0);
	b.section = aligned_alloc(4096, b.geometry.size);
	b.completions = eventfd(0, EFD_CLOEXEC);
	REQUIRE(b.section && b.completions >= 0);
	inlay_ring_tags_init(&b.tags, b.tag_room, ENTRIES);
	b.tell.done = told;
	config.section = b.section;
	config.geometry = b.geometry;
	REQUIRE(inlay_winfilter_new(&config, &b.filter) == 0);
	REQUIRE(inlay_ring_requester_open(&b.ring, b.section, b.geometry.size) == 0);
}

/* The file that all cases use, as large as the furthest read. */
static uint64_t make_file(void)
{
	static const struct setting filling = {"", INLAY_RING_WRITE, SLOT_SIZE, 1};
	struct inlay_ring_request q = {.kind = INLAY_RING_OPEN, .directory = 1, .slot = 0, .length = 8, .tag = 1};
	struct inlay_ring_completion c;

	memcpy(inlay_ring_requester_slot(&b.ring, 0), "f\0i\0l\0e\0", 8);
	q.in.open.disposition = INLAY_WIN_OPEN_IF;
	q.in.open.access = 3;
	REQUIRE(inlay_ring_requester_push(&b.ring, &q) == 0);
	if (inlay_ring_requester_publish(&b.ring))
		tell();
	while (inlay_ring_requester_pop(&b.ring, &c, 1) == 0)
		wait_for_completions();
	REQUIRE(c.status == 0);
	(void)run(&filling, c.file, 20000000);
	return c.file;
}

int main(int argc, char **argv)
{
	struct inlay_crew_config config = {.loops = 1, .spares_max = 4, .spin_us = 50};
	uint64_t ns = (uint64_t)((argc > 1 ? atof(argv[1]) : 1) * 1e9), file;

	REQUIRE(inlay_crew_new(&config, &b.crew) == 0);
	make_redirect();
	make_filter();
	REQUIRE(inlay_crew_start(b.crew) == 0);
	tell();
	file = make_file();
	for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++)
		measure(&settings[i], file, ns);
	inlay_crew_stop(b.crew);
	inlay_winfilter_stop(b.filter);
	inlay_winfilter_free(b.filter);
	inlay_redirect_done(&b.redirect);
	inlay_local_session_free(b.session);
	inlay_server_free(b.server);
	inlay_crew_free(b.crew);
	close(b.completions);
	free(b.section);
	return 0;
}

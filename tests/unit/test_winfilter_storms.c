/*
 * The Windows filter's user side under storms: drivers that say anything, requests given up, servers that go and come, NTFS and memory
 * that fail, many requests at once in any order.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "failing_memory.h"
#include "winfilter_support.h"

#define NT(name) ((uint32_t)INLAY_NT_##name)

#ifdef ALLOCATIONS_FAIL
/* A side, NTFS or the test is at work. */
static bool is_spared(void)
{
	return w.in_side;
}
#endif

/* ---- a driver that breaks the rules of the ring ---- */

static void broken_with(void (*change)(struct inlay_ring_request *q))
{
	struct inlay_ring_request q = {.kind = INLAY_RING_GETATTR, .file = 1, .slot = INLAY_RING_NO_SLOT, .directory = DIRECTORY, .tag = 77};
	struct inlay_winfilter_counts counts;

	filter_start(NULL);
	change(&q);
	assert_int_equal(inlay_ring_requester_push(&driver.ring, &q), 0);
	driver.event = inlay_ring_requester_publish(&driver.ring);
	pump();
	assert_int_equal(driver.broken, 1);
	inlay_winfilter_ready(filter);
	assert_int_equal(driver.broken, 1);
	inlay_winfilter_counts(filter, &counts);
	assert_int_equal(counts.answers, 0);
	filter_stop();
}

static void change_kind(struct inlay_ring_request *q)
{
	q->kind = 99;
}

static void change_slot(struct inlay_ring_request *q)
{
	q->kind = INLAY_RING_READ;
	q->slot = SLOTS;
	q->length = 1;
}

static void change_length(struct inlay_ring_request *q)
{
	q->kind = INLAY_RING_READ;
	q->slot = 0;
	q->length = SLOT_SIZE + 1;
}

static void change_name(struct inlay_ring_request *q)
{
	q->kind = INLAY_RING_OPEN;
	q->slot = 0;
	q->length = 7;
}

static void test_broken_rings(void **state)
{
	(void)state;
	broken_with(change_kind);
	broken_with(change_slot);
	broken_with(change_length);
	broken_with(change_name);
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {"a//b", "/a", "a/", ".", "..", "a/../b", "a:stream", "a*", "a/con", "x.", "\xef\x80\xaf"};
	struct driver_call *call;
	struct inlay_winfilter_counts counts;

	(void)state;
	filter_start(NULL);
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		if (open_as(bad[i], INLAY_WIN_OPEN_IF, 0, ALL_ACCESS).status != NT(OBJECT_NAME_INVALID))
			fail_msg("%s is opened", bad[i]);
	call = prepare(INLAY_RING_OPEN, 0);
	memcpy(slot_of(call), "a\0\0\0b\0", 6);
	call->q.length = 6;
	assert_int_equal(ask(call).status, NT(OBJECT_NAME_INVALID));
	call = prepare_open("a", INLAY_WIN_OPEN_IF, 0, ALL_ACCESS);
	call->q.directory = DIRECTORY + 1;
	assert_int_equal(ask(call).status, NT(OBJECT_PATH_NOT_FOUND));
	for (uint32_t kind = INLAY_RING_CLOSE; kind < INLAY_RING_KIND_TOP; kind++)
		if (kind != INLAY_RING_CANCEL)
			assert_int_equal(ask(prepare(kind, 0x1234567812345678)).status, NT(INVALID_HANDLE));
	inlay_winfilter_counts(filter, &counts);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(ntfs.count, 0);
	filter_stop();
}

/* ---- giving up ---- */

/* The server is away: what was asked waits, what is given up ends, and when it is back all is as it was. */
static void test_server_away(void **state)
{
	struct driver_call *call[6];
	struct fake_side *remote = &w.side[INLAY_REMOTE];
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("file", "hello");
	f = open_file("file", INLAY_WIN_OPEN, ALL_ACCESS);
	remote->hold = true;
	call[0] = prepare(INLAY_RING_READ, f);
	call[0]->q.length = 5;
	call[1] = prepare(INLAY_RING_WRITE, f);
	call[1]->q.length = 5;
	memcpy(slot_of(call[1]), "HELLO", 5);
	call[2] = prepare_open("file", INLAY_WIN_OPEN, 0, READ_ACCESS);
	call[3] = prepare(INLAY_RING_GETATTR, f);
	call[4] = prepare_open("other", INLAY_WIN_CREATE, 0, ALL_ACCESS);
	call[5] = prepare(INLAY_RING_FLUSH, f);
	for (unsigned i = 0; i < 6; i++)
		submit(call[i]);
	pump();
	pass_time(100000);
	for (unsigned i = 0; i < 6; i++)
		assert_false(call[i]->done);
	cancel(call[0]);
	cancel(call[0]);
	cancel(call[2]);
	cancel(call[4]);
	pump();
	assert_int_equal(take_answer(call[0]).status, NT(CANCELLED));
	assert_int_equal(take_answer(call[2]).status, NT(CANCELLED));
	assert_int_equal(take_answer(call[4]).status, NT(CANCELLED));
	remote->hold = false;
	while (fake_release(remote))
		;
	pump();
	assert_int_equal(take_answer(call[1]).status, 0);
	assert_int_equal(take_answer(call[3]).status, 0);
	assert_int_equal(take_answer(call[5]).status, 0);
	assert_string_equal(server_read("file"), "HELLO");
	assert_int_equal(side_has(INLAY_REMOTE, "other"), '-');
	close_file(f);
	filter_stop();
}

static void test_cancel_what_waits(void **state)
{
	struct driver_call *begin = NULL, *open;
	struct inlay_ring_completion c;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("a", "a");
	f = open_file("a", INLAY_WIN_OPEN, ATTR_ACCESS);
	begin = prepare(INLAY_RING_RENAME_BEGIN, f);
	begin->q.length = put_name(slot_of(begin), "b");
	assert_int_equal(ask(begin).status, 0);
	open = prepare_open("b", INLAY_WIN_OPEN, 0, READ_ACCESS);
	submit(open);
	pump();
	assert_false(open->done);
	cancel(open);
	pump();
	assert_int_equal(take_answer(open).status, NT(CANCELLED));
	cancel(open); /* too late: nobody has that tag */
	pump();
	/* Whatever waits when all ends is answered. */
	open = prepare_open("b", INLAY_WIN_OPEN, 0, READ_ACCESS);
	submit(open);
	pump();
	inlay_winfilter_stop(filter);
	pump();
	assert_int_equal(take_answer(open).status, NT(CANCELLED));
	c = open_as("c", INLAY_WIN_OPEN, 0, READ_ACCESS);
	assert_int_equal(c.status, NT(DEVICE_NOT_CONNECTED));
	close_file(f); /* is refused, too */
	{
		struct inlay_winfilter_counts counts;

		inlay_winfilter_counts(filter, &counts);
		assert_int_equal(counts.outstanding, 0);
		assert_int_equal(counts.files, 1);
	}
	inlay_winfilter_free(filter);
	free(driver.section);
	while (ntfs.count)
		ntfs_drop(0);
	free(ntfs.entry);
	inlay_map_done(&ntfs.by_path);
	stop();
}

/* Given up while nothing can be given up: it goes no further than the step under way. */
static void test_cancel_between_steps(void **state)
{
	struct driver_call *open;

	(void)state;
	filter_start(NULL);
	open = prepare_open("new", INLAY_WIN_CREATE, 0, ALL_ACCESS);
	submit(open);
	driver.event = false;
	inlay_winfilter_ready(filter); /* it waits for NTFS now */
	cancel(open);
	driver.event = false;
	inlay_winfilter_ready(filter);
	pump();
	assert_int_equal(take_answer(open).status, NT(CANCELLED));
	assert_int_equal(side_has(INLAY_REMOTE, "new"), '-');
	filter_stop();
}

/* ---- many at once ---- */

static void run_many(unsigned lanes)
{
	struct driver_call *call[SLOTS];
	char text[16], want[16];
	uint64_t f;

	filter_start_with(NULL, lanes, NULL);
	f = open_file("file", INLAY_WIN_CREATE, ALL_ACCESS);
	shuffle = 12345 + lanes;
	for (unsigned i = 0; i < SLOTS; i++) {
		call[i] = prepare(INLAY_RING_WRITE, f);
		call[i]->q.offset = 8 * i;
		call[i]->q.length = 8;
		snprintf(text, sizeof text, "%08u", i);
		memcpy(slot_of(call[i]), text, 8);
		submit(call[i]);
	}
	pump();
	for (unsigned i = 0; i < SLOTS; i++)
		assert_int_equal(take_answer(call[i]).status, 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		call[i] = prepare(INLAY_RING_READ, f);
		call[i]->q.offset = 8 * (SLOTS - 1 - i);
		call[i]->q.length = 8;
		memset(slot_of(call[i]), 0xee, 8);
		submit(call[i]);
	}
	w.side[INLAY_REMOTE].hold = true;
	pump();
	w.side[INLAY_REMOTE].hold = false;
	cancel(call[SLOTS - 1]);
	while (fake_release(&w.side[INLAY_REMOTE]))
		;
	pump();
	for (unsigned i = 0; i < SLOTS; i++) {
		const uint8_t *slot = inlay_ring_requester_slot(&driver.ring, call[i]->q.slot);

		snprintf(want, sizeof want, "%08u", SLOTS - 1 - i);
		if (take_answer(call[i]).status == 0)
			assert_memory_equal(slot, want, 8);
	}
	for (unsigned lane = 0; lane < lanes; lane++)
		assert_true(w.r.stats[lane].count[INLAY_READ][INLAY_REMOTE] > 0);
	assert_int_equal(close_file(f), 0);
	filter_stop();
}

static void test_many(void **state)
{
	(void)state;
	run_many(1);
}

/* Data is spread over the lanes; answers come from each. */
static void test_many_lanes(void **state)
{
	(void)state;
	run_many(3);
	/* One that was handed over is given up on its own lane. */
	{
		struct driver_call *call[12];
		uint64_t f;

		filter_start_with(NULL, 2, NULL);
		f = open_file("file", INLAY_WIN_CREATE, ALL_ACCESS);
		w.side[INLAY_REMOTE].hold = true;
		for (unsigned i = 0; i < 12; i++) {
			call[i] = prepare(INLAY_RING_READ, f);
			call[i]->q.length = 8;
			submit(call[i]);
		}
		pump();
		cancel(call[11]);
		pump();
		assert_int_equal(take_answer(call[11]).status, NT(CANCELLED));
		w.side[INLAY_REMOTE].hold = false;
		while (fake_release(&w.side[INLAY_REMOTE]))
			;
		pump();
		for (unsigned i = 0; i < 11; i++)
			assert_int_equal(take_answer(call[i]).status, 0);
		close_file(f);
		filter_stop();
	}
}

/* More requests than are taken in one go: the loop's other business has its turn in between. */
static void test_batches(void **state)
{
	struct driver_call *call[ENTRIES];
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("file", "x");
	f = open_file("file", INLAY_WIN_OPEN, READ_ACCESS);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < ENTRIES; i++) {
			call[i] = prepare(INLAY_RING_GETATTR, f);
			submit(call[i]);
		}
		pump();
		for (unsigned i = 0; i < ENTRIES; i++)
			assert_int_equal(take_answer(call[i]).status, 0);
	}
	/* The event comes again while the rest is to be taken: it is taken once. */
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ENTRIES; i++) {
			call[i] = prepare(INLAY_RING_GETATTR, f);
			submit(call[i]);
		}
		driver.event = false;
		inlay_winfilter_ready(filter);
		run_hooks(&loops[0]);
		while (collect())
			;
		for (unsigned i = 0; i < ENTRIES && round == 0; i++)
			assert_true(call[i]->done);
		if (round == 0) {
			for (unsigned i = 0; i < ENTRIES; i++)
				take_answer(call[i]);
			continue;
		}
		pump();
		for (unsigned i = 0; i < ENTRIES; i++)
			assert_int_equal(take_answer(call[i]).status, 0);
	}
	close_file(f);
	filter_stop();
}

/* ---- storms ---- */

static const char *const words_of_names[] = {"a", "A", "b", "dir", "DIR", "sub", "link", "x.tmp", "CON", "a:b", ".", "..", "", "\xef\x81\xa3on",
	"c", "d", "e", "dirlink"};

static const char *random_path(void)
{
	static char path[256];
	unsigned parts = (unsigned)(shuffle_next() % 4);

	path[0] = '\0';
	for (unsigned i = 0; i < parts; i++) {
		const char *word = words_of_names[shuffle_next() % (sizeof words_of_names / sizeof *words_of_names)];

		/* Mostly names that are some. */
		if (!*word && shuffle_next() % 8)
			word = "dir";
		snprintf(path + strlen(path), sizeof path - strlen(path), "%s%s", i ? "/" : "", word);
	}
	return path;
}

static struct {
	uint64_t open[512];
	unsigned count;
	struct driver_call *under_way[SLOTS];
	unsigned calls;
} storm;

static uint64_t random_file(void)
{
	uint64_t n = shuffle_next();

	if (!storm.count || n % 50 == 0)
		return n | 1;
	return storm.open[(n >> 8) % storm.count];
}

static void fill(struct driver_call *call)
{
	uint32_t kind = call->q.kind;

	call->q.flags = (uint32_t)shuffle_next() & INLAY_RING_FLAGS_KNOWN;
	if (kind == INLAY_RING_OPEN || kind == INLAY_RING_RENAME_BEGIN)
		call->q.length = put_name(slot_of(call), random_path());
	if (kind == INLAY_RING_OPEN) {
		call->q.in.open.disposition = (uint32_t)(shuffle_next() % 6);
		call->q.in.open.options = shuffle_next() % 4 ? 0 : (uint32_t)shuffle_next() & 0x41;
		call->q.in.open.access = shuffle_next() % 2 ? ALL_ACCESS : (uint32_t)shuffle_next();
		call->q.in.open.attributes = shuffle_next() % 4 ? 0 : INLAY_WIN_READONLY;
	} else if (kind == INLAY_RING_RENAME_BEGIN) {
		call->q.in.rename.replace = shuffle_next() % 2;
		if (shuffle_next() % 8 == 0)
			call->q.file = 0;
	} else if (kind == INLAY_RING_SETATTR) {
		call->q.in.set.mask = (uint32_t)shuffle_next() & 7;
		call->q.in.set.attr.size = shuffle_next() % 3 ? shuffle_next() % 9000 : UINT64_MAX;
		call->q.in.set.attr.written = (int64_t)shuffle_next();
		call->q.in.set.attr.attributes = (uint32_t)shuffle_next();
	} else if (kind == INLAY_RING_READ || kind == INLAY_RING_WRITE) {
		call->q.offset = shuffle_next() % 3 ? shuffle_next() % 9000 : (uint64_t)INT64_MAX / 2;
		call->q.length = (uint32_t)(shuffle_next() % 9000);
	}
}

static void storm_collect(void)
{
	for (unsigned i = 0; i < storm.calls;) {
		struct driver_call *call = storm.under_way[i];

		if (!call->done) {
			i++;
			continue;
		}
		if (call->q.kind == INLAY_RING_OPEN && call->c.status == 0 && call->c.verdict == INLAY_RING_REMOTE) {
			assert_true(storm.count < 512);
			storm.open[storm.count++] = call->c.file;
		}
		call->used = false;
		storm.under_way[i] = storm.under_way[--storm.calls];
	}
}

static void storm_submit(void)
{
	static const uint8_t kinds[] = {INLAY_RING_OPEN, INLAY_RING_OPEN, INLAY_RING_OPEN, INLAY_RING_CLOSE, INLAY_RING_READ, INLAY_RING_WRITE,
		INLAY_RING_FLUSH, INLAY_RING_GETATTR, INLAY_RING_SETATTR, INLAY_RING_LIST, INLAY_RING_RENAME_BEGIN,
		INLAY_RING_RENAME_END, INLAY_RING_REMOVE_BEGIN, INLAY_RING_REMOVE_END, INLAY_RING_STATFS};
	uint32_t kind = kinds[shuffle_next() % sizeof kinds];
	struct driver_call *call;

	if (storm.calls == SLOTS || (kind == INLAY_RING_OPEN && storm.count > 400))
		return;
	call = prepare(kind, kind == INLAY_RING_OPEN ? 0 : random_file());
	fill(call);
	submit(call);
	storm.under_way[storm.calls++] = call;
}

static void local_changes(void)
{
	const char *path = random_path();
	struct ntfs_entry *e = ntfs_find(path);

	if (e && shuffle_next() % 3 == 0)
		e->busy = !e->busy;
	else if (e && !e->dir)
		ntfs_delete(path);
	else if (!e && *path && !strstr(path, "//") && path[strlen(path) - 1] != '/' && *path != '/' && ntfs_parent_stands(path))
		ntfs_add(path, shuffle_next() % 4 == 0);
}

static void storm_step(void)
{
	struct fake_side *remote = &w.side[INLAY_REMOTE];
	unsigned what = (unsigned)(shuffle_next() % 16);

	if (what < 6) {
		storm_submit();
	} else if (what == 6 && storm.calls) {
		if (inlay_ring_requester_room(&driver.ring))
			cancel(storm.under_way[shuffle_next() % storm.calls]);
	} else if (what == 7) {
		remote->hold = shuffle_next() % 4 == 0;
	} else if (what == 8) {
		fake_release(remote);
	} else if (what == 9) {
		local_changes();
	} else if (what == 10) {
		loop_time += shuffle_next() % 400000000;
		run_timers();
	} else if (what == 11 && shuffle_next() % 4 == 0) {
		remote->fail_type = (uint16_t)(INLAY_LOOKUP + shuffle_next() % 24);
		remote->fail_at = (unsigned)(shuffle_next() % 5);
		remote->fail_status = -(int)(shuffle_next() % INLAY_EUNKNOWN + 1);
	} else if (driver.event) {
		driver.event = false;
		current_loop = &loops[0];
		inlay_winfilter_ready(filter);
	} else {
		struct inlay_loop *l = &loops[shuffle_next() % w.r.lanes];

		run_tasks(l);
		run_hooks(l);
	}
	collect();
	storm_collect();
}

static void storm_end(void)
{
	struct fake_side *remote = &w.side[INLAY_REMOTE];

	remote->hold = false;
	remote->fail_at = 0;
	ntfs.fail_one_in = 0;
	do {
		pump();
	} while (fake_release(remote));
	storm_collect();
	/* What still waits, waits for a hold, and those end with their files. */
	while (storm.count || storm.calls) {
		struct driver_call *call;

		storm_collect();
		assert_true(storm.count > 0);
		call = prepare(INLAY_RING_CLOSE, storm.open[--storm.count]);
		submit(call);
		pump();
		assert_true(call->done);
		call->used = false;
		storm_collect();
	}
}

static void server_tree(void)
{
	side_make(INLAY_REMOTE, "dir/");
	side_make(INLAY_REMOTE, "dir/sub/");
	side_make(INLAY_REMOTE, "dir/a");
	side_make(INLAY_REMOTE, "dir/A");
	side_make(INLAY_REMOTE, "a");
	side_make(INLAY_REMOTE, "b");
	side_make(INLAY_REMOTE, "con");
	server_link("link", "dir/a");
	server_link("dirlink", "dir");
	server_link("dir/sub/link", "../../dirlink/sub/../link");
}

static void test_storms(void **state)
{
	static const char *const rules[] = {"remote dir/x.tmp", "local *.tmp", "local e/", NULL};

	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++) {
		filter_start_with(seed % 3 ? NULL : rules, seed % 2 ? 1 : 3, NULL);
		server_tree();
		memset(&storm, 0, sizeof storm);
		shuffle = seed * 0x9e3779b97f4a7c15u;
		ntfs.fail_one_in = seed % 4 ? 0 : 10;
		w.r.port[INLAY_REMOTE]->max_data = 4096;
		for (unsigned i = 0; i < 1500; i++)
			storm_step();
		storm_end();
		assert_int_equal(driver.broken, 0);
		w.lossy = true; /* a failed CLOSE leaves the server with a handle */
		filter_stop();
	}
}

#ifdef ALLOCATIONS_FAIL
/* A number, even if it is nobody's: 0 the ring would not take. */
static uint64_t try_open(const char *path, uint32_t disposition, uint32_t access)
{
	uint64_t f = open_as(path, disposition, 0, access).file;

	return f ? f : UINT64_MAX;
}

/* Each allocation fails in turn, while a session of everything runs. */
static void everything(void)
{
	uint64_t f = try_open("dir/sub/none", INLAY_WIN_OPEN_IF, ALL_ACCESS), root, g;
	struct driver_call *call;

	write_file(f, 0, "hello", 5, 0);
	write_file(f, 0, "hello", 5, INLAY_RING_APPEND);
	close_file(f);
	root = try_open("", INLAY_WIN_OPEN, ATTR_ACCESS);
	ask(prepare(INLAY_RING_LIST, root));
	g = try_open("DIRLINK/A", INLAY_WIN_OPEN, READ_ACCESS);
	read_file(g, 0, 5, NULL);
	call = prepare(INLAY_RING_RENAME_BEGIN, g);
	call->q.length = put_name(slot_of(call), "dir/sub/new");
	ask(call);
	call = prepare(INLAY_RING_RENAME_END, g);
	call->q.flags = INLAY_RING_DONE;
	ask(call);
	ask(prepare(INLAY_RING_REMOVE_BEGIN, g));
	call = prepare(INLAY_RING_REMOVE_END, g);
	call->q.flags = INLAY_RING_DONE;
	ask(call);
	close_file(g);
	close_file(root);
}

static void test_failed_allocations(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (unsigned at = 1; at < 2000; at++) {
		filter_start_with(NULL, 1, NULL);
		server_tree();
		w.lossy = true;
		failed = false;
		fail_at = at;
		everything();
		fail_at = 0;
		/* What was opened and could not be closed for want of a request. */
		for (unsigned i = 0; i < 4; i++) {
			for (uint64_t generation = 1; generation < 8; generation++)
				close_file(generation << 32 | i);
		}
		filter_stop();
		failures += failed;
		if (!failed)
			break;
	}
	if (failures < 100)
		fail_msg("only %u allocations failed", failures);
}
#define FAILED_ALLOCATIONS , cmocka_unit_test(test_failed_allocations)
#else
#define FAILED_ALLOCATIONS
#endif

RUN_TESTS(cmocka_unit_test(test_broken_rings), cmocka_unit_test(test_refusals), cmocka_unit_test(test_server_away),
          cmocka_unit_test(test_cancel_what_waits), cmocka_unit_test(test_cancel_between_steps), cmocka_unit_test(test_many), cmocka_unit_test(test_many_lanes),
          cmocka_unit_test(test_batches), cmocka_unit_test(test_storms) FAILED_ALLOCATIONS)

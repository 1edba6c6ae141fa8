/*
 * A server that dies in the middle of a request, asked for it again: done once, and told apart from what others did meanwhile.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "restart_support.h"

#include "base/log.h"

#include <fcntl.h>

#define A (&w.client[0])
#define B (&w.client[1])

static struct world w;

/* A request at which the server dies, in that way. */
static struct run *dying(enum death death, struct run *(*begin_it)(struct client *c, void *arg), void *arg)
{
	struct run *t;

	settle(&w);
	w.death = death;
	t = begin_it(A, arg);
	settle(&w);
	assert_null(w.server);
	assert_false(t->done);
	return t;
}

static struct run *it_unlinks(struct client *c, void *name)
{
	return begin_remove(c, name, INLAY_UNLINK);
}

static struct run *it_renames(struct client *c, void *name)
{
	return begin_rename(c, name, "new", 0);
}

static struct run *it_creates(struct client *c, void *name)
{
	return begin_create(c, name, INLAY_O_RDWR | INLAY_O_EXCL);
}

static struct run *it_appends(struct client *c, void *file)
{
	return begin_write(c, file, 0, "same", 4);
}

/* By a program on the server. */
static void made_there(const char *name)
{
	const struct inlay_store_make make = {.mode = 0100644};
	struct inlay_store_node *root, *n;
	struct inlay_attr attr;

	assert_int_equal(w.ops.root(w.store, &root), 0);
	assert_int_equal(w.ops.mknod(root, NULL, inlay_str(name), &make, &n, &attr), 0);
	w.ops.node_unref(n);
	w.ops.node_unref(root);
}

static int after(struct run *t)
{
	server_start(&w);
	settle(&w);
	return finish(t);
}

static void what_others_made_meanwhile_is_theirs(void **state)
{
	struct run *t;

	(void)state;
	world_init(&w, 9, 60000);
	made_there("f");
	t = dying(DONE_ONLY, it_unlinks, "f");
	made_there("f");
	assert_int_equal(after(t), 0);
	assert_int_equal(world_kind(&w, "f"), FILE_);
	t = dying(DONE_ONLY, it_renames, "f");
	made_there("f");
	assert_int_equal(after(t), 0);
	assert_int_equal(world_kind(&w, "f"), FILE_);
	assert_int_equal(world_kind(&w, "new"), FILE_);
	/* Not done when the server died, and then another was quicker: as if it had come a moment later. */
	t = dying(NOTED_ONLY, it_unlinks, "new");
	assert_int_equal(after(t), 0);
	assert_int_equal(world_kind(&w, "new"), NOTHING);
	world_done(&w);
}

/* Client A doesn't come back before B has done that. */
static int meanwhile(struct run *(*begin_it)(struct client *c, void *arg), void *arg)
{
	struct run *t;
	struct inlay_file *f;
	int status;

	server_start(&w);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = true;
	t = begin_it(B, arg);
	settle(&w);
	f = t->op.opened;
	status = finish(t);
	if (f)
		do_close(B, f);
	for (unsigned i = 0; i < LANES; i++)
		A->wire[i].connected = false;
	return status;
}

static int returns(struct run *t)
{
	settle(&w);
	return finish(t);
}

/* Of two clients of one user each change succeeds for one, whoever's server died in the middle of it. */
static void what_others_did_before_it_is_redone_is_theirs(void **state)
{
	struct run *t;

	(void)state;
	world_init(&w, 12, 60000);
	t = dying(NOTED_ONLY, it_creates, "f");
	assert_int_equal(meanwhile(it_creates, "f"), 0);
	assert_int_equal(returns(t), -INLAY_EEXIST);
	t = dying(NOTED_ONLY, it_unlinks, "f");
	assert_int_equal(meanwhile(it_unlinks, "f"), 0);
	assert_int_equal(returns(t), -INLAY_ENOENT);
	made_there("f");
	t = dying(DONE_ONLY, it_unlinks, "f");
	assert_int_equal(meanwhile(it_creates, "f"), 0);
	assert_int_equal(returns(t), 0);
	assert_int_equal(world_kind(&w, "f"), FILE_);
	t = dying(NOTED_ONLY, it_renames, "f");
	assert_int_equal(meanwhile(it_renames, "f"), 0);
	assert_int_equal(returns(t), -INLAY_ENOENT);
	/* Made and removed by others since: it was made, and there is nothing to open. */
	t = dying(DONE_ONLY, it_creates, "f");
	assert_int_equal(meanwhile(it_unlinks, "f"), 0);
	assert_int_equal(returns(t), -INLAY_ESTALE);
	assert_int_equal(world_kind(&w, "f"), NOTHING);
	/* What was not there when it was asked for was not removed by it. */
	assert_int_equal(after(dying(NOTED_ONLY, it_unlinks, "f")), -INLAY_ENOENT);
	world_done(&w);
}

static void remove_records(void)
{
	char path[200];

	snprintf(path, sizeof path, "%s/records", w.state);
	state_remove(path);
}

/* What it doesn't say may have been done before it was begun, also after the next restart. */
static void a_record_begun_anew_knows_nothing_of_before(void **state)
{
	struct run *t;

	(void)state;
	world_init(&w, 13, 60000);
	made_there("f");
	t = dying(DONE_ONLY, it_unlinks, "f");
	remove_records();
	made_there("f");
	for (unsigned i = 0; i < 3; i++) {
		server_start(&w);
		while (!A->ss)
			assert_true(step(&w));
		server_kill(&w);
	}
	assert_int_equal(after(t), -INLAY_EIO);
	assert_int_equal(world_kind(&w, "f"), FILE_);
	world_done(&w);
}

static void equal_appends_are_told_apart(void **state)
{
	static const enum death deaths[] = {NOTED_ONLY, DONE_ONLY, RECORDED, NOTED_ONLY};
	struct inlay_file *log;
	char text[100], wanted[100] = "same";

	(void)state;
	world_init(&w, 10, 60000);
	log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	assert_int_equal(do_write(A, log, 0, "same"), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(after(dying(deaths[i], it_appends, log)), 0);
		strcat(wanted, "same");
		assert_int_equal(do_read(A, log, text, sizeof text), 0);
		assert_string_equal(text, wanted);
	}
	do_close(A, log);
	world_done(&w);
}

/* As if they were there: nobody but A comes back. */
static void others_stay_away(bool away)
{
	for (unsigned i = 0; i < CLIENTS * LANES; i++)
		if (&w.client[i / LANES] != A)
			w.client[i / LANES].wire[i % LANES].connected = away;
}

/* A's next request is one of that type. */
static bool is_next(uint16_t type)
{
	for (unsigned i = 0; i < LANES; i++)
		if (!inlay_list_empty(&A->wire[i].up))
			return inlay_container(A->wire[i].up.next, struct parcel, link)->f.type == type;
	return false;
}

/* A crash made the file shorter than it was when the append was noted first; then the server dies over it a second time. */
static void an_append_is_done_once_though_its_server_dies_twice(void **state)
{
	struct inlay_file *log;
	struct run *t;
	char text[100];

	(void)state;
	world_init(&w, 14, 60000);
	log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	assert_int_equal(do_write(A, log, 0, "kept"), 0);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	assert_int_equal(do_sync(A, log), 0); /* so that it is not the first to be written again */
	write_on_server(&w, "log", 4, "gone with the crash");
	t = dying(NOTED_ONLY, it_appends, log);
	inlay_memory_crash(w.store);
	w.hosts++;
	server_start(&w);
	others_stay_away(true);
	while (!is_next(INLAY_WRITE))
		assert_true(step(&w));
	w.death = DONE_ONLY;
	while (w.server)
		assert_true(step(&w));
	others_stay_away(false);
	assert_int_equal(after(t), 0);
	assert_int_equal(do_read(A, log, text, sizeof text), 0);
	assert_string_equal(text, "keptsame");
	do_close(A, log);
	world_done(&w);
}

static int64_t broken_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags)
{
	(void)f, (void)off, (void)buf, (void)len, (void)flags;
	return -INLAY_EIO;
}

/* Whether it was done can't be looked at: then it isn't done once more. */
static void an_append_is_not_repeated_blindly(void **state)
{
	struct inlay_file *log;
	struct run *t;
	char text[100];

	(void)state;
	world_init(&w, 15, 60000);
	log = do_create(A, "log", INLAY_O_RDWR | INLAY_O_APPEND);
	t = dying(DONE_ONLY, it_appends, log);
	int64_t (*whole)(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags) = w.ops.read;
	w.ops.read = broken_read;
	assert_int_equal(after(t), -INLAY_EIO);
	w.ops.read = whole;
	assert_int_equal(do_read(A, log, text, sizeof text), 0);
	assert_string_equal(text, "same");
	do_close(A, log);
	world_done(&w);
}

/* What the record says was done, the host's crash has undone. */
static void a_crash_of_the_host_undoes_what_was_recorded(void **state)
{
	struct run *t;
	struct inlay_file *f;

	(void)state;
	world_init(&w, 11, 60000);
	assert_int_equal(w.ops.syncfs(w.store), 0);
	t = dying(RECORDED, it_creates, "f");
	inlay_memory_crash(w.store);
	w.hosts++;
	assert_int_equal(world_kind(&w, "f"), NOTHING);
	server_start(&w);
	settle(&w);
	assert_true(t->done);
	f = t->op.opened;
	assert_int_equal(finish(t), 0);
	assert_int_equal(world_kind(&w, "f"), FILE_);
	do_close(A, f);
	world_done(&w);
}

/* Damaged at random: an answer may be EIO, but nothing is done twice, and nothing breaks. */
static void a_damaged_record_does_no_harm(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct run *t;
		char path[200];
		struct dirent *e;
		DIR *d;
		int status;

		world_init(&w, 20 + round, 60000);
		made_there("f");
		t = dying((enum death)(NOTED_ONLY + round % 3), it_unlinks, "f");
		snprintf(path, sizeof path, "%s/records", w.state);
		d = opendir(path);
		assert_non_null(d);
		while ((e = readdir(d))) {
			int fd = e->d_name[0] != '.' ? openat(dirfd(d), e->d_name, O_RDWR) : -1;

			if (fd < 0)
				continue;
			for (unsigned i = 0; i < 1 + round % 40; i++) {
				uint8_t byte = (uint8_t)chance(&w, 256);

				assert_int_equal(pwrite(fd, &byte, 1, chance(&w, 2) ? 4096 + chance(&w, 2000) : chance(&w, 90000)), 1);
			}
			if (round % 7 == 0)
				assert_int_equal(ftruncate(fd, chance(&w, 6000)), 0);
			close(fd);
		}
		closedir(d);
		status = after(t);
		assert_true(status == 0 || status == -INLAY_EIO || status == -INLAY_ENOENT);
		world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_others_made_meanwhile_is_theirs),
		cmocka_unit_test(equal_appends_are_told_apart),
		cmocka_unit_test(an_append_is_done_once_though_its_server_dies_twice),
		cmocka_unit_test(an_append_is_not_repeated_blindly),
		cmocka_unit_test(a_crash_of_the_host_undoes_what_was_recorded),
		cmocka_unit_test(a_damaged_record_does_no_harm),
		cmocka_unit_test(what_others_did_before_it_is_redone_is_theirs),
		cmocka_unit_test(a_record_begun_anew_knows_nothing_of_before),
	};

	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

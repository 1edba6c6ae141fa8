/*
 * What only the in-memory store does: failing on demand, crashing, running full, keeping a given time.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/memory.h"

#include "store_contract.h"

#include <string.h>

static struct contract c;

static int start(void **state)
{
	(void)state;
	contract_start(&c, &contract_memory);
	return 0;
}

static int end(void **state)
{
	(void)state;
	contract_end(&c);
	return 0;
}

static struct inlay_store_file *make(const char *path)
{
	struct inlay_store_file *f = NULL;

	OK(sc_create(&c, NULL, path, INLAY_O_RDWR, 0644, &f));
	return f;
}

static void commit_dir(const char *path)
{
	struct inlay_store_file *d;

	OK(sc_opendir(&c, NULL, path, &d));
	OK(c.ops->commit(d, 0));
	sc_close(&c, d);
}

/* -- failing -- */

static void fails_at_the_nth_call(void **state)
{
	struct inlay_store_file *f = make("f");

	(void)state;
	inlay_memory_fail(c.store, "write", 2, 2, INLAY_EIO);
	assert_int_equal(sc_write(f, 0, "a", 1), 1);
	IS(sc_write(f, 1, "b", 1), IO);
	IS(sc_write(f, 1, "b", 1), IO);
	assert_int_equal(sc_write(f, 1, "c", 1), 1);
	sc_check(&c, "f", "ac");
}

static void fails_one_operation_only(void **state)
{
	struct inlay_store_file *f = make("f");
	char buf[4];

	(void)state;
	inlay_memory_fail(c.store, "read", 1, 1, INLAY_EIO);
	inlay_memory_fail(c.store, "commit", 1, 1, INLAY_ENOSPC);
	assert_int_equal(sc_write(f, 0, "a", 1), 1);
	OK(sc_mkdir(&c, NULL, "d", 0755));
	IS(sc_read(f, 0, buf, 1), IO);
	IS(c.ops->commit(f, 0), NOSPC);
	assert_int_equal(sc_read(f, 0, buf, 1), 1);
	OK(c.ops->commit(f, 0));
}

static void failed_operation_does_nothing(void **state)
{
	struct inlay_store_file *f = NULL;

	(void)state;
	sc_put(&c, "a", "text");
	inlay_memory_fail(c.store, "unlink", 1, 1, INLAY_EIO);
	inlay_memory_fail(c.store, "rename", 1, 1, -INLAY_EDQUOT);
	inlay_memory_fail(c.store, "create", 1, 1, INLAY_ENOSPC);
	inlay_memory_fail(c.store, "setattr", 1, 1, INLAY_EROFS);
	IS(sc_unlink(&c, NULL, "a"), IO);
	IS(sc_rename(&c, NULL, "a", "b", 0), DQUOT);
	IS(sc_create(&c, NULL, "x", INLAY_O_RDWR, 0644, &f), NOSPC);
	IS(sc_truncate(&c, NULL, "a", 0), ROFS);
	assert_null(f);
	assert_false(sc_exists(&c, "x"));
	assert_false(sc_exists(&c, "b"));
	sc_check(&c, "a", "text");
}

static void failed_commit_commits_nothing(void **state)
{
	struct inlay_store_file *f = make("f");

	(void)state;
	commit_dir("");
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	inlay_memory_fail(c.store, "commit", 1, 1, INLAY_EIO);
	IS(c.ops->commit(f, 0), IO);
	inlay_memory_crash(c.store);
	sc_check(&c, "f", "");
}

/* -- crashing -- */

static void crash_forgets_what_was_not_committed(void **state)
{
	(void)state;
	sc_put(&c, "f", "abc");
	OK(sc_mkdir(&c, NULL, "d", 0755));
	inlay_memory_crash(c.store);
	assert_false(sc_exists(&c, "f"));
	assert_false(sc_exists(&c, "d"));
	sc_put(&c, "f", "again");
	sc_check(&c, "f", "again");
}

static void syncfs_keeps_everything(void **state)
{
	(void)state;
	OK(sc_mkdir(&c, NULL, "d", 0750));
	sc_put(&c, "d/f", "abc");
	OK(sc_symlink(&c, NULL, "d/s", "target"));
	OK(sc_link(&c, NULL, "d/f", "g"));
	OK(c.ops->syncfs(c.store));
	OK(sc_unlink(&c, NULL, "g"));
	OK(sc_truncate(&c, NULL, "d/f", 0));
	OK(sc_rename(&c, NULL, "d", "e", 0));
	inlay_memory_crash(c.store);
	sc_check(&c, "d/f", "abc");
	sc_check(&c, "g", "abc");
	assert_int_equal(sc_stat(&c, "g").nlink, 2);
	assert_int_equal(sc_stat(&c, "").nlink, 3);
	assert_int_equal(sc_stat(&c, "d").mode, S_IFDIR | 0750);
	assert_int_equal(sc_stat(&c, "d/s").size, 6);
	assert_false(sc_exists(&c, "e"));
}

static void commit_keeps_data_and_attributes(void **state)
{
	struct inlay_store_file *f = make("f");
	char buf[8];

	(void)state;
	commit_dir("");
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	OK(sc_chmod(&c, NULL, "f", 0600));
	OK(c.ops->commit(f, 0));
	assert_int_equal(sc_write(f, 0, "XYZ1", 4), 4);
	OK(sc_chmod(&c, NULL, "f", 0666));
	inlay_memory_crash(c.store);
	sc_check(&c, "f", "abc");
	assert_int_equal(sc_stat(&c, "f").mode, S_IFREG | 0600);
	/* The open file stays, and is the same file. */
	assert_int_equal(sc_read(f, 0, buf, sizeof(buf)), 3);
	assert_int_equal(sc_write(f, 3, "d", 1), 1);
	sc_check(&c, "f", "abcd");
}

static void commit_of_data_only(void **state)
{
	struct inlay_store_file *f = make("f");

	(void)state;
	commit_dir("");
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	OK(sc_chmod(&c, NULL, "f", 0600));
	OK(c.ops->commit(f, INLAY_COMMIT_DATA_ONLY));
	inlay_memory_crash(c.store);
	sc_check(&c, "f", "abc");
	assert_int_equal(sc_stat(&c, "f").mode, S_IFREG | 0644);
}

static void commit_of_a_file_does_not_keep_its_name(void **state)
{
	struct inlay_store_file *f = make("f");
	struct inlay_attr attr;

	(void)state;
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	OK(c.ops->commit(f, 0));
	inlay_memory_crash(c.store);
	assert_false(sc_exists(&c, "f"));
	OK(c.ops->getattr(f->node, f, &attr));
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 3);
}

static void sync_writes_need_no_commit(void **state)
{
	struct inlay_store_file *f, *g = make("g");
	uint64_t size;

	(void)state;
	OK(sc_create(&c, NULL, "f", INLAY_O_RDWR | INLAY_O_DSYNC, 0644, &f));
	commit_dir("");
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	assert_int_equal(c.ops->write(g, 0, "def", 3, INLAY_WRITE_DATA_SYNC, &size), 3);
	assert_int_equal(sc_write(g, 3, "lost", 4), 4);
	inlay_memory_crash(c.store);
	sc_check(&c, "f", "abc");
	sc_check(&c, "g", "def");
}

static void unlink_comes_back_until_committed(void **state)
{
	(void)state;
	sc_put(&c, "f", "abc");
	OK(c.ops->syncfs(c.store));
	OK(sc_unlink(&c, NULL, "f"));
	inlay_memory_crash(c.store);
	sc_check(&c, "f", "abc");
	OK(sc_unlink(&c, NULL, "f"));
	commit_dir("");
	inlay_memory_crash(c.store);
	assert_false(sc_exists(&c, "f"));
}

static void rename_between_directories_is_one_step(void **state)
{
	(void)state;
	OK(sc_mkdir(&c, NULL, "a", 0755));
	OK(sc_mkdir(&c, NULL, "b", 0755));
	OK(sc_mkdir(&c, NULL, "a/d", 0755));
	OK(c.ops->syncfs(c.store));
	OK(sc_rename(&c, NULL, "a/d", "b/d", 0));
	inlay_memory_crash(c.store);
	assert_true(sc_exists(&c, "a/d"));
	assert_false(sc_exists(&c, "b/d"));
	OK(sc_rename(&c, NULL, "a/d", "b/d", 0));
	commit_dir("b");
	inlay_memory_crash(c.store);
	assert_false(sc_exists(&c, "a/d"));
	assert_true(sc_exists(&c, "b/d"));
	assert_int_equal(sc_stat(&c, "a").nlink, 2);
	assert_int_equal(sc_stat(&c, "b").nlink, 3);
}

static void lost_tree_is_freed(void **state)
{
	char path[200] = "t";
	struct inlay_statfs_rep before, after;

	(void)state;
	OK(c.ops->statfs(c.root, &before));
	for (unsigned i = 0; i < 60; i++) {
		OK(sc_mkdir(&c, NULL, path, 0755));
		commit_dir(path);
		strcat(path, "/t");
	}
	inlay_memory_crash(c.store); /* the root never heard of them */
	OK(c.ops->statfs(c.root, &after));
	assert_int_equal(before.ffree, after.ffree);
}

/* -- room and time -- */

static void full_store_says_so(void **state)
{
	static char big[3 * 65536];
	struct inlay_store_file *f = make("f"), *g = NULL;
	struct inlay_statfs_rep st;

	(void)state;
	memset(big, 'x', sizeof(big));
	inlay_memory_set_capacity(c.store, 2 * 65536, 3);
	assert_int_equal(sc_write(f, 0, big, sizeof(big)), 2 * 65536);
	IS(sc_write(f, 2 * 65536, "x", 1), NOSPC);
	IS(c.ops->fallocate(f, 2 * 65536, 1, 0, 0), NOSPC);
	assert_int_equal(sc_stat(&c, "f").size, 2 * 65536);
	assert_int_equal(sc_write(f, 5, "over", 4), 4);
	OK(c.ops->statfs(c.root, &st));
	assert_int_equal(st.bfree, 0);
	sc_put(&c, "empty", "");
	IS(sc_create(&c, NULL, "g", INLAY_O_RDWR, 0644, &g), NOSPC);
	IS(sc_mkdir(&c, NULL, "d", 0755), NOSPC);
	OK(sc_truncate(&c, NULL, "f", 65536));
	assert_int_equal(sc_write(f, 65536, "x", 1), 1);
	OK(sc_unlink(&c, NULL, "empty"));
	OK(sc_mkdir(&c, NULL, "d", 0755));
}

static void removed_files_give_their_room_back(void **state)
{
	struct inlay_store_file *f;

	(void)state;
	inlay_memory_set_capacity(c.store, 65536, 2);
	for (unsigned i = 0; i < 3; i++) {
		f = make("f");
		assert_int_equal(sc_write(f, 0, "x", 1), 1);
		OK(c.ops->syncfs(c.store));
		OK(sc_unlink(&c, NULL, "f"));
		sc_close(&c, f);
	}
	inlay_memory_crash(c.store);
	sc_check(&c, "f", "x");
}

static struct inlay_time given_time(void *arg)
{
	return *(const struct inlay_time *)arg;
}

static void clock_is_settable(void **state)
{
	struct inlay_time now = {77, 123, 0};

	(void)state;
	inlay_memory_set_clock(c.store, given_time, &now);
	sc_put(&c, "f", "x");
	assert_int_equal(sc_stat(&c, "f").mtime.sec, 77);
	assert_int_equal(sc_stat(&c, "f").btime.nsec, 123);
	now.sec = 78;
	OK(sc_chmod(&c, NULL, "f", 0600));
	assert_int_equal(sc_stat(&c, "f").ctime.sec, 78);
	assert_int_equal(sc_stat(&c, "f").mtime.sec, 77);
	inlay_memory_set_clock(c.store, NULL, NULL);
	OK(sc_chmod(&c, NULL, "f", 0600));
	assert_true(sc_stat(&c, "f").ctime.sec >= 1000000000);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fails_at_the_nth_call),
		TEST(fails_one_operation_only),
		TEST(failed_operation_does_nothing),
		TEST(failed_commit_commits_nothing),
		TEST(crash_forgets_what_was_not_committed),
		TEST(syncfs_keeps_everything),
		TEST(commit_keeps_data_and_attributes),
		TEST(commit_of_data_only),
		TEST(commit_of_a_file_does_not_keep_its_name),
		TEST(sync_writes_need_no_commit),
		TEST(unlink_comes_back_until_committed),
		TEST(rename_between_directories_is_one_step),
		TEST(lost_tree_is_freed),
		TEST(full_store_says_so),
		TEST(removed_files_give_their_room_back),
		TEST(clock_is_settable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}

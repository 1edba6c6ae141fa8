/*
 * The Windows filter's user side: opening, reading, writing, attributes, closing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "winfilter_support.h"

static void test_open_read_write_close(void **state)
{
	struct inlay_ring_completion c;
	uint64_t f;
	char got[64] = "";

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	server_write("dir/file", "hello");
	c = open_as("dir/file", INLAY_WIN_OPEN, 0, ALL_ACCESS);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.verdict, INLAY_RING_REMOTE);
	assert_int_equal(c.created, 0);
	assert_int_equal(c.attr.size, 5);
	assert_int_equal(c.attr.attributes, INLAY_WIN_ARCHIVE);
	assert_int_equal(ntfs_has("dir"), 'P');
	assert_int_equal(ntfs_has("dir/file"), 'p');
	assert_int_equal(ntfs_find("dir/file")->attr.size, 5);
	f = c.file;
	c = read_file(f, 1, 64, got);
	assert_int_equal(c.length, 4);
	assert_memory_equal(got, "ello", 4);
	c = write_file(f, 5, " world", 6, 0);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.length, 6);
	assert_int_equal(c.attr.size, 11);
	assert_string_equal(server_read("dir/file"), "hello world");
	assert_int_equal(ask(prepare(INLAY_RING_FLUSH, f)).status, 0);
	c = ask(prepare(INLAY_RING_GETATTR, f));
	assert_int_equal(c.attr.size, 11);
	assert_int_equal(close_file(f), 0);
	assert_int_equal(close_file(f), (uint32_t)INLAY_NT_INVALID_HANDLE);
	filter_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_read_write_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

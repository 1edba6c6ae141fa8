/*
 * The Windows filter's user side: listing, renaming, removing, and who waits for whom.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "winfilter_support.h"

#define NT(name) ((uint32_t)INLAY_NT_##name)

static uint32_t list_dir(const char *path)
{
	uint64_t f = open_file(path, INLAY_WIN_OPEN, ATTR_ACCESS);
	uint32_t status = ask(prepare(INLAY_RING_LIST, f)).status;

	close_file(f);
	return status;
}

/* ---- listing ---- */

static void test_list(void **state)
{
	uint64_t f;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	side_make(INLAY_REMOTE, "dir/sub/");
	server_write("dir/new", "12345");
	server_write("dir/old", "1");
	server_write("dir/ours", "x");
	server_write("dir/CON", "x");
	server_write("dir/a:b", "x");
	server_link("dir/link", "old");
	server_link("dir/nowhere", "none");
	assert_int_equal(t_make("dir/pipe", INLAY_MKNOD), 0);
	f = open_file("dir/old", INLAY_WIN_OPEN, READ_ACCESS);
	close_file(f);
	server_write("dir/old", "123456789");
	ntfs_add("dir/ours", false);
	ntfs_add("dir/local", false);
	ntfs_add("dir/gone", false)->marked = true;
	ntfs_add("dir/sub", false)->marked = true; /* was a file */
	assert_int_equal(list_dir("dir"), 0);
	assert_int_equal(ntfs_has("dir/sub"), 'P');
	assert_int_equal(ntfs_has("dir/new"), 'p');
	assert_int_equal(ntfs_find("dir/new")->attr.size, 5);
	assert_int_equal(ntfs_find("dir/old")->attr.size, 9);
	assert_int_equal(ntfs_has("dir/ours"), 'l');
	assert_int_equal(ntfs_has("dir/local"), 'l');
	assert_int_equal(ntfs_has("dir/gone"), '-');
	assert_int_equal(ntfs_has("dir/link"), 'p');
	assert_int_equal(ntfs_find("dir/link")->attr.size, 9);
	assert_int_equal(ntfs_has("dir/nowhere"), '-');
	assert_int_equal(ntfs_has("dir/pipe"), '-');
	assert_int_equal(ntfs_has("dir/\xef\x81\x83ON"), 'p');
	assert_int_equal(ntfs_has("dir/a\xef\x80\xba" "b"), 'p');
	assert_int_equal(ntfs.count, 1 + 8);
	/* Once more: nothing is left to do. */
	memset(ntfs.calls, 0, sizeof ntfs.calls);
	assert_int_equal(list_dir("dir"), 0);
	assert_int_equal(ntfs.calls[1] + ntfs.calls[2], 0);
	/* And the root, which is never a placeholder. */
	assert_int_equal(list_dir(""), 0);
	assert_int_equal(ntfs_has("dir"), 'P');
	filter_stop();
}

static void test_list_rules(void **state)
{
	static const char *const rules[] = {"local *.tmp", "local private/", NULL};

	(void)state;
	filter_start(rules);
	side_make(INLAY_REMOTE, "private/");
	side_make(INLAY_REMOTE, "a.tmp");
	side_make(INLAY_REMOTE, "a.txt");
	ntfs_add("b.tmp", false);
	assert_int_equal(list_dir(""), 0);
	assert_int_equal(ntfs_has("private"), '-');
	assert_int_equal(ntfs_has("a.tmp"), '-');
	assert_int_equal(ntfs_has("a.txt"), 'p');
	assert_int_equal(ntfs_has("b.tmp"), 'l');
	filter_stop();
}

/* NTFS holds one of those that differ in case only: the same one each time, with its case on the server. */
static void test_list_case(void **state)
{
	(void)state;
	filter_start(NULL);
	server_write("name", "12");
	server_write("Name", "1");
	assert_int_equal(list_dir(""), 0);
	assert_int_equal(ntfs.count, 1);
	assert_string_equal(ntfs.entry[0]->path, "Name");
	assert_int_equal(ntfs.entry[0]->attr.size, 1);
	memset(ntfs.calls, 0, sizeof ntfs.calls);
	assert_int_equal(list_dir(""), 0);
	assert_int_equal(ntfs.calls[1] + ntfs.calls[2], 0);
	side_remove(INLAY_REMOTE, "Name");
	assert_int_equal(list_dir(""), 0);
	assert_string_equal(ntfs.entry[0]->path, "name");
	assert_int_equal(ntfs.entry[0]->attr.size, 2);
	side_make(INLAY_REMOTE, "dir/");
	side_make(INLAY_REMOTE, "dir/A");
	side_make(INLAY_REMOTE, "dir/a");
	assert_int_equal(list_dir("dir"), 0);
	assert_string_equal(ntfs_find("dir/a")->path, "dir/A"); /* whichever is listed first */
	filter_stop();
}

static void test_list_errors(void **state)
{
	uint64_t f;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	for (unsigned i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof name, "dir/f%u", i);
		side_make(INLAY_REMOTE, name);
	}
	f = open_file("dir/f0", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_LIST, f)).status, NT(INVALID_PARAMETER));
	close_file(f);
	/* One that can't be made is no reason to show none. */
	ntfs.fail_put = -INLAY_EIO;
	ntfs.fail_puts = 3;
	f = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(ntfs_has("dir"), 'P');
	ntfs.fail_puts = 3;
	assert_int_equal(ask(prepare(INLAY_RING_LIST, f)).status, 0);
	assert_int_equal(ntfs.count, 201 - 3);
	w.side[INLAY_REMOTE].fail_type = INLAY_READDIR;
	w.side[INLAY_REMOTE].fail_at = 1;
	w.side[INLAY_REMOTE].fail_status = -INLAY_EIO;
	assert_int_equal(ask(prepare(INLAY_RING_LIST, f)).status, NT(IO_DEVICE_ERROR));
	assert_int_equal(ask(prepare(INLAY_RING_LIST, f)).status, 0);
	assert_int_equal(ntfs.count, 201);
	close_file(f);
	filter_stop();
}

/* Who asks while a listing is under way has its answer if the server had not been asked yet, else one of his own. */
static void test_list_together(void **state)
{
	struct driver_call *a, *b, *c;
	uint64_t f;
	unsigned lists;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	f = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	memset(ntfs.calls, 0, sizeof ntfs.calls);
	a = prepare(INLAY_RING_LIST, f);
	b = prepare(INLAY_RING_LIST, f);
	submit(a);
	submit(b);
	w.side[INLAY_REMOTE].hold = true;
	pump();
	assert_false(a->done || b->done);
	assert_int_equal(ntfs.calls[3], 1);
	lists = w.side[INLAY_REMOTE].calls[INLAY_OPENDIR];
	side_make(INLAY_REMOTE, "dir/file");
	c = prepare(INLAY_RING_LIST, f);
	submit(c);
	pump();
	w.side[INLAY_REMOTE].hold = false;
	while (fake_release(&w.side[INLAY_REMOTE]))
		pump();
	pump();
	assert_int_equal(take_answer(a).status, 0);
	assert_int_equal(take_answer(b).status, 0);
	assert_int_equal(take_answer(c).status, 0);
	assert_int_equal(ntfs.calls[3], 2);
	assert_int_equal(w.side[INLAY_REMOTE].calls[INLAY_OPENDIR], lists + 1);
	assert_int_equal(ntfs_has("dir/file"), 'p');
	close_file(f);
	filter_stop();
}

/* A file that is made while the directory is listed: the listing does not know it, and leaves it alone. */
static void test_list_and_create(void **state)
{
	struct fake_side *remote = &w.side[INLAY_REMOTE];
	struct driver_call *list;
	struct inlay_call *held;
	uint64_t dir, f;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	server_link("dir/link", "none");
	dir = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	ntfs_add("dir/stale", false)->marked = true;
	list = prepare(INLAY_RING_LIST, dir);
	submit(list);
	remote->hold = true;
	/* All entries have been read when it is asked where the link leads. */
	for (;;) {
		pump();
		assert_false(inlay_list_empty(&remote->held));
		held = inlay_container(remote->held.next, struct inlay_call, link);
		if (held->type == INLAY_LOOKUP)
			break;
		fake_release(remote);
	}
	inlay_list_remove(&held->link);
	remote->hold = false;
	f = open_file("dir/stale", INLAY_WIN_CREATE, ALL_ACCESS);
	assert_int_equal(ntfs_has("dir/stale"), 'p');
	fake_answer(remote, held);
	pump();
	assert_int_equal(take_answer(list).status, 0);
	assert_int_equal(ntfs_has("dir/stale"), 'p');
	close_file(f);
	/* The next one knows better. */
	side_remove(INLAY_REMOTE, "dir/stale");
	assert_int_equal(ask(prepare(INLAY_RING_LIST, dir)).status, 0);
	assert_int_equal(ntfs_has("dir/stale"), '-');
	close_file(dir);
	filter_stop();
}

static void test_list_ten_thousand(void **state)
{
	uint64_t f;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	f = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	for (unsigned i = 0; i < 10000; i++) {
		char name[32];

		snprintf(name, sizeof name, "dir/file%u", i);
		side_make(INLAY_REMOTE, name);
	}
	assert_int_equal(ask(prepare(INLAY_RING_LIST, f)).status, 0);
	assert_int_equal(ntfs.count, 10001);
	close_file(f);
	filter_stop();
}

/* ---- renaming ---- */

static struct inlay_ring_completion rename_begin(uint64_t f, const char *to, bool replace)
{
	struct driver_call *call = prepare(INLAY_RING_RENAME_BEGIN, f);

	call->q.length = put_name(slot_of(call), to);
	call->q.in.rename.replace = replace;
	return ask(call);
}

static uint32_t end(uint32_t kind, uint64_t f, bool done)
{
	struct driver_call *call = prepare(kind, f);

	call->q.flags = done ? INLAY_RING_DONE : 0;
	return ask(call).status;
}

static uint32_t rename_file(uint64_t f, const char *from, const char *to, bool replace)
{
	uint32_t status = rename_begin(f, to, replace).status;

	if (status)
		return status;
	if (ntfs_find(to) && !inlay_winname_same(inlay_str(from), inlay_str(to)))
		ntfs_delete(to);
	ntfs_rename(from, to);
	return end(INLAY_RING_RENAME_END, f, true);
}

static void test_rename(void **state)
{
	uint64_t f, dir, in;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "from/");
	side_make(INLAY_REMOTE, "to/");
	server_write("from/a", "a");
	server_write("to/taken", "t");
	ntfs_add("ours", false);
	ntfs_add("localdir", true);
	f = open_file("from/a", INLAY_WIN_OPEN, ALL_ACCESS);
	assert_int_equal(rename_file(f, "from/a", "to/b", false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "from/a"), '-');
	assert_int_equal(side_has(INLAY_REMOTE, "to/b"), 'f');
	assert_int_equal(ntfs_has("to/b"), 'p'); /* and so was its directory, before NTFS needed it */
	assert_int_equal(rename_begin(f, "to/taken", false).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(rename_file(f, "to/b", "to/taken", true), 0);
	assert_string_equal(server_read("to/taken"), "a");
	assert_int_equal(side_has(INLAY_REMOTE, "to/b"), '-');
	/* Its case alone; to itself. */
	assert_int_equal(rename_file(f, "to/taken", "to/TAKEN", false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "to/TAKEN"), 'f');
	assert_int_equal(side_has(INLAY_REMOTE, "to/taken"), '-');
	assert_int_equal(rename_file(f, "to/TAKEN", "to/TAKEN", false), 0);
	/* What can't be. */
	assert_int_equal(rename_begin(f, "none/x", true).status, NT(OBJECT_PATH_NOT_FOUND));
	assert_int_equal(rename_begin(f, "from", true).status, NT(ACCESS_DENIED));
	assert_int_equal(rename_begin(f, "ours", false).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(rename_begin(f, "ours", true).status, NT(NOT_SAME_DEVICE));
	assert_int_equal(rename_begin(f, "localdir/x", true).status, NT(NOT_SAME_DEVICE));
	assert_int_equal(rename_begin(f, "", true).status, NT(ACCESS_DENIED));
	assert_int_equal(rename_begin(f, "to\\", true).status, NT(OBJECT_NAME_INVALID));
	assert_int_equal(end(INLAY_RING_RENAME_END, f, true), NT(INVALID_PARAMETER));
	close_file(f);
	/* A directory takes with it what is open in it. */
	dir = open_file("to", INLAY_WIN_OPEN, ATTR_ACCESS);
	in = open_file("to/TAKEN", INLAY_WIN_OPEN, ALL_ACCESS);
	assert_int_equal(rename_begin(dir, "to/sub", false).status, NT(INVALID_PARAMETER));
	assert_int_equal(rename_file(dir, "to", "from/moved", false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "from/moved/TAKEN"), 'f');
	assert_int_equal(ask(prepare(INLAY_RING_LIST, dir)).status, 0);
	assert_int_equal(rename_file(in, "from/moved/TAKEN", "back", false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "back"), 'f');
	close_file(in);
	close_file(dir);
	filter_stop();
}

static void test_rename_undone(void **state)
{
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("a", "a");
	f = open_file("a", INLAY_WIN_OPEN, ALL_ACCESS);
	/* NTFS refused: nothing happened. */
	assert_int_equal(rename_begin(f, "b", false).status, 0);
	assert_int_equal(end(INLAY_RING_RENAME_END, f, false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "a"), 'f');
	/* Somebody took the name meanwhile: the driver undoes it. */
	assert_int_equal(rename_begin(f, "b", false).status, 0);
	server_write("b", "another's");
	assert_int_equal(end(INLAY_RING_RENAME_END, f, true), NT(OBJECT_NAME_COLLISION));
	assert_string_equal(server_read("b"), "another's");
	/* Somebody replaced the file itself: it is not ours to move. */
	side_remove(INLAY_REMOTE, "a");
	server_write("a", "new");
	assert_int_equal(rename_begin(f, "c", false).status, NT(OBJECT_NAME_NOT_FOUND));
	close_file(f);
	filter_stop();
}

static void test_rename_rules(void **state)
{
	static const char *const rules[] = {"local *.tmp", "remote *.disk", NULL};
	uint64_t f;

	(void)state;
	filter_start(rules);
	side_make(INLAY_REMOTE, "dir/");
	server_write("a", "a");
	f = open_file("a", INLAY_WIN_OPEN, ALL_ACCESS);
	assert_int_equal(rename_begin(f, "a.tmp", true).status, NT(NOT_SAME_DEVICE));
	close_file(f);
	/* A local file's new name. */
	assert_int_equal(rename_begin(0, "b.tmp", true).status, 0);
	assert_int_equal(rename_begin(0, "b.disk", true).status, NT(NOT_SAME_DEVICE));
	assert_int_equal(rename_begin(0, "dir/b", true).status, 0);
	assert_int_equal(rename_begin(0, "a", true).status, NT(NOT_SAME_DEVICE)); /* it would hide the server's */
	assert_int_equal(rename_begin(0, "A", true).status, NT(NOT_SAME_DEVICE));
	ntfs_add("ours", false);
	assert_int_equal(rename_begin(0, "ours", true).status, 0);
	assert_int_equal(rename_begin(0, "a*b", true).status, NT(OBJECT_NAME_INVALID));
	filter_stop();
}

/* Two names of one file: the server would do nothing and call it done. */
static void test_rename_links(void **state)
{
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("a", "a");
	assert_int_equal(t_link("a", "b"), 0);
	f = open_file("a", INLAY_WIN_OPEN, ALL_ACCESS);
	assert_int_equal(rename_begin(f, "b", false).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(rename_file(f, "a", "b", true), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "a"), '-');
	assert_int_equal(side_has(INLAY_REMOTE, "b"), 'f');
	close_file(f);
	/* A symbolic link moves, not what it leads to. */
	server_link("link", "b");
	f = open_file("link", INLAY_WIN_OPEN, ALL_ACCESS);
	assert_int_equal(rename_file(f, "link", "link2", false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "link"), '-');
	assert_int_equal(side_has(INLAY_REMOTE, "b"), 'f');
	close_file(f);
	filter_stop();
}

/* ---- removing ---- */

static uint32_t remove_file(uint64_t f, const char *path)
{
	uint32_t status = ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status;

	if (status)
		return status;
	ntfs_delete(path);
	return end(INLAY_RING_REMOVE_END, f, true);
}

static void test_remove(void **state)
{
	uint64_t f, g;
	char got[4];

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	side_make(INLAY_REMOTE, "empty/");
	server_write("dir/file", "x");
	server_link("link", "dir");
	f = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, NT(DIRECTORY_NOT_EMPTY));
	close_file(f);
	f = open_file("empty", INLAY_WIN_OPEN, ATTR_ACCESS);
	/* What others removed from it must not be in NTFS's way; what is local must. */
	ntfs_add("empty/stale", false)->marked = true;
	ntfs_add("empty/ours", false);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	assert_int_equal(ntfs_has("empty/stale"), '-');
	assert_int_equal(ntfs_has("empty/ours"), 'l');
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, false), 0);
	ntfs_delete("empty/ours");
	assert_int_equal(remove_file(f, "empty"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "empty"), '-');
	close_file(f);
	f = open_file("dir/file", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, false), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "dir/file"), 'f');
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, true), NT(INVALID_PARAMETER));
	/* By two handles; what is open stays readable. */
	g = open_file("dir/file", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	assert_int_equal(remove_file(g, "dir/file"), 0);
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, true), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "dir/file"), '-');
	assert_int_equal(read_file(f, 0, 4, got).length, 1);
	close_file(f);
	close_file(g);
	/* A link to a directory: the link goes. */
	f = open_file("link", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(remove_file(f, "link"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "dir"), 'd');
	close_file(f);
	/* Another file has the name by now: it stays. */
	server_write("file", "1");
	f = open_file("file", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	side_remove(INLAY_REMOTE, "file");
	server_write("file", "2");
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, true), 0);
	assert_string_equal(server_read("file"), "2");
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, NT(OBJECT_NAME_NOT_FOUND));
	close_file(f);
	filter_stop();
}

/* ---- held names ---- */

static void test_opens_wait_for_a_rename(void **state)
{
	struct driver_call *a, *b, *c;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	server_write("dir/a", "a");
	server_write("dirt", "x");
	f = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(rename_begin(f, "new", false).status, 0);
	a = prepare_open("DIR/a", INLAY_WIN_OPEN, 0, READ_ACCESS);
	b = prepare_open("new/a", INLAY_WIN_OPEN, 0, READ_ACCESS);
	c = prepare_open("dirt", INLAY_WIN_OPEN, 0, READ_ACCESS);
	submit(a);
	submit(b);
	submit(c);
	pump();
	assert_false(a->done || b->done);
	assert_true(c->done);
	close_file(take_answer(c).file);
	ntfs_rename("dir", "new");
	assert_int_equal(end(INLAY_RING_RENAME_END, f, true), 0);
	assert_int_equal(take_answer(a).status, NT(OBJECT_PATH_NOT_FOUND));
	assert_int_equal(b->c.status, 0);
	close_file(take_answer(b).file);
	close_file(f);
	filter_stop();
}

/* The driver never ends it: nobody waits for ever, and the file's end is the hold's. */
static void test_holds_end(void **state)
{
	struct driver_call *a, *b;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("a", "a");
	f = open_file("a", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(rename_begin(f, "b", false).status, 0);
	a = prepare_open("a", INLAY_WIN_OPEN, 0, READ_ACCESS);
	submit(a);
	pump();
	pass_time(4999);
	assert_false(a->done);
	b = prepare_open("b", INLAY_WIN_OPEN, 0, READ_ACCESS);
	submit(b);
	pass_time(2);
	assert_int_equal(take_answer(a).status, NT(IO_TIMEOUT));
	assert_false(b->done);
	assert_int_equal(close_file(f), 0);
	assert_int_equal(take_answer(b).verdict, INLAY_RING_ABSENT);
	filter_stop();
}

/* While NTFS still has the name, it is NTFS that says whether a second open is fine; once it has not, the server's file is going. */
static void test_opens_of_what_is_removed(void **state)
{
	struct driver_call *a;
	uint64_t f, g;

	(void)state;
	filter_start(NULL);
	server_write("a", "a");
	f = open_file("a", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	server_write("a", "longer"); /* the placeholder would be brought up to date, were it not about to go */
	memset(ntfs.calls, 0, sizeof ntfs.calls);
	g = open_file("a", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ntfs.calls[1], 0);
	close_file(g);
	ntfs_delete("a");
	a = prepare_open("a", INLAY_WIN_OPEN_IF, 0, ALL_ACCESS);
	submit(a);
	pump();
	assert_false(a->done);
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, true), 0);
	assert_int_equal(a->c.created, 1);
	assert_int_equal(ntfs_has("a"), 'p');
	close_file(take_answer(a).file);
	close_file(f);
	filter_stop();
}

/* A directory that goes when its last handle does is a directory until then. */
static void test_opens_in_what_is_removed(void **state)
{
	struct driver_call *a;
	uint64_t f, g;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	f = open_file("dir", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	g = open_file("dir/new", INLAY_WIN_CREATE, ALL_ACCESS);
	assert_int_equal(ntfs_has("dir/new"), 'p');
	close_file(g);
	ntfs_delete("dir/new");
	ntfs_delete("dir");
	a = prepare_open("dir/new", INLAY_WIN_OPEN, 0, READ_ACCESS);
	submit(a);
	pump();
	assert_false(a->done);
	side_remove(INLAY_REMOTE, "dir/new");
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, true), 0);
	assert_int_equal(take_answer(a).status, NT(OBJECT_PATH_NOT_FOUND));
	close_file(f);
	filter_stop();
}

/* A listing leaves held names alone, too. */
static void test_list_and_remove(void **state)
{
	uint64_t f, root;

	(void)state;
	filter_start(NULL);
	server_write("a", "a");
	f = open_file("a", INLAY_WIN_OPEN, ATTR_ACCESS);
	root = open_file("", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, 0);
	ntfs_delete("a");
	assert_int_equal(ask(prepare(INLAY_RING_LIST, root)).status, 0);
	assert_int_equal(ntfs_has("a"), '-');
	assert_int_equal(end(INLAY_RING_REMOVE_END, f, true), 0);
	close_file(f);
	close_file(root);
	filter_stop();
}

RUN_TESTS(cmocka_unit_test(test_list), cmocka_unit_test(test_list_rules), cmocka_unit_test(test_list_case),
          cmocka_unit_test(test_list_errors), cmocka_unit_test(test_list_together), cmocka_unit_test(test_list_and_create),
          cmocka_unit_test(test_list_ten_thousand), cmocka_unit_test(test_rename), cmocka_unit_test(test_rename_undone),
          cmocka_unit_test(test_rename_rules), cmocka_unit_test(test_rename_links), cmocka_unit_test(test_remove),
          cmocka_unit_test(test_opens_wait_for_a_rename), cmocka_unit_test(test_holds_end),
          cmocka_unit_test(test_opens_of_what_is_removed), cmocka_unit_test(test_opens_in_what_is_removed),
          cmocka_unit_test(test_list_and_remove))

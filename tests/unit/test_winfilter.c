/*
 * The Windows filter's user side: opening, reading, writing, attributes, closing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "winfilter_support.h"

#define NT(name) ((uint32_t)INLAY_NT_##name)

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
	c = read_file(f, 5, 64, got);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.length, 0);
	c = write_file(f, 5, " world", 6, 0);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.length, 6);
	assert_int_equal(c.attr.size, 11);
	assert_string_equal(server_read("dir/file"), "hello world");
	assert_int_equal(ask(prepare(INLAY_RING_FLUSH, f)).status, 0);
	c = ask(prepare(INLAY_RING_GETATTR, f));
	assert_int_equal(c.attr.size, 11);
	assert_int_equal(close_file(f), 0);
	assert_int_equal(close_file(f), NT(INVALID_HANDLE));
	filter_stop();
}

/* The second open finds the placeholder as it should be, and leaves it alone; one that is out of date it refreshes. */
static void test_placeholders_are_refreshed(void **state)
{
	uint64_t f;
	unsigned puts;

	(void)state;
	filter_start(NULL);
	server_write("file", "abc");
	close_file(open_file("file", INLAY_WIN_OPEN, READ_ACCESS));
	puts = ntfs.calls[1];
	close_file(open_file("file", INLAY_WIN_OPEN, READ_ACCESS));
	assert_int_equal(ntfs.calls[1], puts);
	server_write("file", "abcdef");
	f = open_file("file", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ntfs.calls[1], puts + 1);
	assert_int_equal(ntfs_find("file")->attr.size, 6);
	close_file(f);
	/* One that is in use stays as it is: the driver knows better. */
	server_write("file", "abcdefghi");
	ntfs_find("file")->busy = true;
	f = open_file("file", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ntfs_find("file")->attr.size, 6);
	close_file(f);
	ntfs_find("file")->busy = false;
	/* Gone on the server, gone here. */
	side_remove(INLAY_REMOTE, "file");
	assert_int_equal(open_as("file", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_ABSENT);
	assert_int_equal(ntfs_has("file"), '-');
	/* A directory by now: the file's placeholder gives way, with what is above it. */
	server_write("file", "x");
	close_file(open_file("file", INLAY_WIN_OPEN, READ_ACCESS));
	side_remove(INLAY_REMOTE, "file");
	side_make(INLAY_REMOTE, "file/");
	server_write("file/in", "x");
	close_file(open_file("file/in", INLAY_WIN_OPEN, READ_ACCESS));
	assert_int_equal(ntfs_has("file"), 'P');
	assert_int_equal(ntfs_has("file/in"), 'p');
	filter_stop();
}

static void test_what_is_local(void **state)
{
	struct inlay_ring_completion c;
	unsigned lookups;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "both/");
	server_write("both/theirs", "x");
	server_write("mine", "the server's");
	ntfs_add("mine", false);
	ntfs_add("both", true);
	ntfs_add("both/ours", false);
	ntfs_add("only", true);
	lookups = w.side[INLAY_REMOTE].calls[INLAY_LOOKUP];
	assert_int_equal(open_as("mine", INLAY_WIN_OPEN, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(open_as("both/ours", INLAY_WIN_OVERWRITE_IF, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(w.side[INLAY_REMOTE].calls[INLAY_LOOKUP], lookups); /* what exists locally costs the server nothing */
	close_file(open_file("both/theirs", INLAY_WIN_OPEN, READ_ACCESS));
	/* New things go to the server, where it has the directory; else they are local. */
	c = open_as("both/new", INLAY_WIN_CREATE, 0, ALL_ACCESS);
	assert_int_equal(c.verdict, INLAY_RING_REMOTE);
	close_file(c.file);
	assert_int_equal(side_has(INLAY_REMOTE, "both/new"), 'f');
	assert_int_equal(open_as("only/new", INLAY_WIN_CREATE, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(open_as("only/sub/new", INLAY_WIN_CREATE, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(open_as("only", INLAY_WIN_OPEN, 0, ATTR_ACCESS).verdict, INLAY_RING_LOCAL);
	/* A merged directory is the server's to list, and has no mark. */
	c = open_as("both", INLAY_WIN_OPEN, INLAY_WIN_DIRECTORY_FILE, ATTR_ACCESS);
	assert_int_equal(c.verdict, INLAY_RING_REMOTE);
	assert_int_equal(ntfs_has("both"), 'L');
	close_file(c.file);
	/* A local file in the way of a path. */
	assert_int_equal(open_as("mine/x", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_LOCAL);
	filter_stop();
}

static void test_rules(void **state)
{
	static const char *const rules[] = {"local build/", "remote keep/special.tmp", "local *.tmp", "remote *.disk", NULL};
	struct inlay_ring_completion c;

	(void)state;
	filter_start(rules);
	side_make(INLAY_REMOTE, "keep/");
	side_make(INLAY_REMOTE, "build/");
	side_make(INLAY_REMOTE, "build/out"); /* not through the redirector, whose rules hide some */
	side_make(INLAY_REMOTE, "keep/a.tmp");
	side_make(INLAY_REMOTE, "keep/special.tmp");
	assert_int_equal(open_as("keep/a.tmp", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(open_as("build/out", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(ntfs_has("build"), '-');
	close_file(open_file("keep/special.tmp", INLAY_WIN_OPEN, READ_ACCESS));
	ntfs_delete("keep/special.tmp");
	ntfs_delete("keep");
	/* A new local file finds its directory there. */
	c = open_as("keep/new.tmp", INLAY_WIN_CREATE, 0, ALL_ACCESS);
	assert_int_equal(c.verdict, INLAY_RING_LOCAL);
	assert_int_equal(ntfs_has("keep"), 'P');
	assert_int_equal(side_has(INLAY_REMOTE, "keep/new.tmp"), '-');
	/* A placeholder that a rule makes local gives way. */
	ntfs_add("keep/new.tmp", false)->marked = true;
	assert_int_equal(open_as("keep/new.tmp", INLAY_WIN_OPEN_IF, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(ntfs_has("keep/new.tmp"), '-');
	/* What a rule sends to the server can't be served while something local stands there: said, not served wrongly. */
	server_write("x.disk", "x");
	ntfs_add("x.disk", false);
	assert_int_equal(open_as("x.disk", INLAY_WIN_OPEN, 0, READ_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	filter_stop();
}

static void test_dispositions(void **state)
{
	struct inlay_ring_completion c;
	char got[8];

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	server_write("old", "old");
	assert_int_equal(open_as("old", INLAY_WIN_CREATE, 0, ALL_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(open_as("dir", INLAY_WIN_CREATE, INLAY_WIN_DIRECTORY_FILE, ALL_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(open_as("new", INLAY_WIN_OPEN, 0, ALL_ACCESS).verdict, INLAY_RING_ABSENT);
	assert_int_equal(open_as("new", INLAY_WIN_OVERWRITE, 0, ALL_ACCESS).verdict, INLAY_RING_ABSENT);
	assert_int_equal(open_as("no/new", INLAY_WIN_OPEN, 0, ALL_ACCESS).status, NT(OBJECT_PATH_NOT_FOUND));
	assert_int_equal(open_as("no/new", INLAY_WIN_CREATE, 0, ALL_ACCESS).status, NT(OBJECT_PATH_NOT_FOUND));
	assert_int_equal(open_as("old/new", INLAY_WIN_CREATE, 0, ALL_ACCESS).status, NT(OBJECT_PATH_NOT_FOUND));
	/* The directory is on the server alone as yet: NTFS would not know what is missing. */
	assert_int_equal(open_as("dir/none", INLAY_WIN_OPEN, 0, ALL_ACCESS).status, NT(OBJECT_NAME_NOT_FOUND));
	for (uint32_t d = INLAY_WIN_SUPERSEDE; d <= INLAY_WIN_OVERWRITE_IF; d++) {
		char name[16];

		if (!inlay_win_makes(d))
			continue;
		snprintf(name, sizeof name, "dir/n%u", d);
		c = open_as(name, d, 0, ALL_ACCESS);
		assert_int_equal(c.status, 0);
		assert_int_equal(c.created, 1);
		assert_int_equal(side_has(INLAY_REMOTE, name), 'f');
		assert_int_equal(ntfs_has(name), 'p');
		assert_int_equal(write_file(c.file, 0, "x", 1, 0).status, 0);
		close_file(c.file);
	}
	/* Overwriting is the driver's, later: nothing is lost yet, if NTFS should refuse. */
	c = open_as("old", INLAY_WIN_OVERWRITE_IF, 0, ALL_ACCESS);
	assert_int_equal(c.created, 0);
	assert_int_equal(read_file(c.file, 0, 8, got).length, 3);
	close_file(c.file);
	c = open_as("made", INLAY_WIN_CREATE, INLAY_WIN_DIRECTORY_FILE, ATTR_ACCESS);
	assert_int_equal(c.created, 1);
	assert_int_equal(c.attr.attributes, INLAY_WIN_DIRECTORY);
	assert_int_equal(side_has(INLAY_REMOTE, "made"), 'd');
	assert_int_equal(ntfs_has("made"), 'P');
	close_file(c.file);
	filter_stop();
}

static void test_types(void **state)
{
	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	server_write("file", "x");
	assert_int_equal(open_as("file", INLAY_WIN_OPEN, INLAY_WIN_DIRECTORY_FILE, ATTR_ACCESS).status, NT(NOT_A_DIRECTORY));
	assert_int_equal(open_as("dir", INLAY_WIN_OPEN, INLAY_WIN_NON_DIRECTORY_FILE, ATTR_ACCESS).status, NT(FILE_IS_A_DIRECTORY));
	assert_int_equal(open_as("dir", INLAY_WIN_OPEN, INLAY_WIN_NON_DIRECTORY_FILE | INLAY_WIN_DIRECTORY_FILE, ATTR_ACCESS).status,
	                 NT(INVALID_PARAMETER));
	assert_int_equal(open_as("dir", INLAY_WIN_OVERWRITE, 0, ATTR_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(t_make("pipe", INLAY_MKNOD), 0);
	assert_int_equal(open_as("pipe", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_ABSENT);
	assert_int_equal(open_as("pipe", INLAY_WIN_OPEN_IF, 0, READ_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	filter_stop();
}

static void test_root(void **state)
{
	struct inlay_ring_completion c;

	(void)state;
	filter_start(NULL);
	c = open_as("", INLAY_WIN_OPEN, INLAY_WIN_DIRECTORY_FILE, ATTR_ACCESS);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.verdict, INLAY_RING_REMOTE);
	assert_int_equal(c.attr.attributes, INLAY_WIN_DIRECTORY);
	assert_int_equal(ntfs.count, 0);
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, c.file)).status, NT(ACCESS_DENIED));
	assert_int_equal(ask(prepare(INLAY_RING_READ, c.file)).status, NT(INVALID_DEVICE_REQUEST));
	assert_int_equal(ask(prepare(INLAY_RING_STATFS, c.file)).status, 0);
	close_file(c.file);
	assert_int_equal(open_as("", INLAY_WIN_CREATE, 0, ATTR_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	filter_stop();
}

/* ---- case ---- */

static void test_case(void **state)
{
	uint64_t f;
	unsigned lists;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "Dir/");
	server_write("Dir/ReadMe.txt", "x");
	f = open_file("DIR/README.TXT", INLAY_WIN_OPEN, READ_ACCESS);
	/* The placeholders have the server's case, whoever asked for them how. */
	assert_string_equal(ntfs_find("dir/readme.txt")->path, "Dir/ReadMe.txt");
	assert_string_equal(ntfs_find("dir")->path, "Dir");
	close_file(f);
	/* One name exactly, others in case only: the exact one. None exactly: not guessed. */
	server_write("Dir/a", "small");
	server_write("Dir/A", "large");
	f = open_file("Dir/A", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_GETATTR, f)).attr.size, 5);
	close_file(f);
	server_write("Dir/bB", "x");
	server_write("Dir/Bb", "x");
	assert_int_equal(open_as("Dir/BB", INLAY_WIN_OPEN, 0, READ_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	assert_int_equal(open_as("Dir/BB", INLAY_WIN_OPEN_IF, 0, READ_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	/* A new name that differs from another in case only is that one. */
	assert_int_equal(open_as("Dir/README.txt", INLAY_WIN_CREATE, 0, ALL_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	f = open_file("Dir/README.txt", INLAY_WIN_OPEN_IF, ALL_ACCESS);
	close_file(f);
	assert_int_equal(side_has(INLAY_REMOTE, "Dir/README.txt"), '-');
	/* Names that are not there are asked for again and again, and listed for once. */
	pass_time(1000);
	open_as("Dir/none", INLAY_WIN_OPEN, 0, READ_ACCESS);
	pass_time(1000);
	open_as("Dir/none", INLAY_WIN_OPEN, 0, READ_ACCESS);
	lists = w.side[INLAY_REMOTE].calls[INLAY_OPENDIR];
	assert_int_equal(open_as("Dir/none", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_ABSENT);
	assert_int_equal(open_as("Dir/nothing", INLAY_WIN_OPEN, 0, READ_ACCESS).verdict, INLAY_RING_ABSENT);
	assert_int_equal(w.side[INLAY_REMOTE].calls[INLAY_OPENDIR], lists);
	/* But a change of the directory is seen. */
	server_write("Dir/None", "x");
	f = open_file("Dir/none", INLAY_WIN_OPEN, READ_ACCESS);
	close_file(f);
	filter_stop();
}

/* Two changes within one tick of the server's clock look like one: what was listed in between is not believed for long. */
static void same_change(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	(void)f;
	if (r->status == 0 && c->type == INLAY_LOOKUP)
		inlay_store64((uint8_t *)(uintptr_t)r->body + 40 + 24, 4711); /* ATTR's change, behind NODE */
}

static void test_case_within_a_tick(void **state)
{
	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	w.side[INLAY_REMOTE].mangle = same_change;
	assert_int_equal(open_as("dir/NAME", INLAY_WIN_OPEN, 0, READ_ACCESS).status, NT(OBJECT_NAME_NOT_FOUND));
	side_make(INLAY_REMOTE, "dir/name");
	close_file(open_file("dir/NAME", INLAY_WIN_OPEN, READ_ACCESS));
	filter_stop();
}

/* ---- symbolic links ---- */

static void test_links(void **state)
{
	static const char *const bad[] = {"out", "absolute", "dangling", "round", "through"};
	struct inlay_ring_completion c;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	side_make(INLAY_REMOTE, "dir/");
	side_make(INLAY_REMOTE, "dir/sub/");
	server_write("dir/file", "hello");
	server_link("link", "dir/file");
	server_link("dirlink", "./dir//sub/..");
	server_link("dir/sub/up", "../../link");
	server_link("out", "../dir/file"); /* the root has no "..", not even itself */
	server_link("absolute", "/dir/file");
	server_link("dangling", "dir/none");
	server_link("round", "round");
	server_link("through", "dir/file/x");
	f = open_file("link", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_GETATTR, f)).attr.size, 5);
	assert_int_equal(ntfs_has("link"), 'p');
	close_file(f);
	f = open_file("dirlink/sub/up", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(ask(prepare(INLAY_RING_GETATTR, f)).attr.size, 5);
	assert_int_equal(ntfs_has("dirlink"), 'P');
	close_file(f);
	c = open_as("dirlink/new", INLAY_WIN_CREATE, 0, ALL_ACCESS);
	assert_int_equal(c.created, 1);
	assert_int_equal(side_has(INLAY_REMOTE, "dir/new"), 'f');
	close_file(c.file);
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		c = open_as(bad[i], INLAY_WIN_OPEN, 0, READ_ACCESS);
		assert_int_equal(c.status, 0);
		assert_int_equal(c.verdict, INLAY_RING_ABSENT);
		assert_int_equal(open_as(bad[i], INLAY_WIN_OPEN_IF, 0, READ_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	}
	assert_int_equal(open_as("dangling/x", INLAY_WIN_OPEN, 0, READ_ACCESS).status, NT(OBJECT_PATH_NOT_FOUND));
	filter_stop();
}

/* ---- data ---- */

/* More than the server takes at once, into one slot and out of it. */
static void test_large(void **state)
{
	static uint8_t data[SLOT_SIZE], got[SLOT_SIZE];
	struct inlay_ring_completion c;
	struct driver_call *call;
	const uint8_t *slot;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	w.r.port[INLAY_REMOTE]->max_data = 10000;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	f = open_file("big", INLAY_WIN_CREATE, ALL_ACCESS);
	c = write_file(f, 100, data, SLOT_SIZE, 0);
	assert_int_equal(c.length, SLOT_SIZE);
	assert_int_equal(c.attr.size, SLOT_SIZE + 100);
	c = read_file(f, 100, SLOT_SIZE, got);
	assert_int_equal(c.length, SLOT_SIZE);
	assert_memory_equal(got, data, SLOT_SIZE);
	c = read_file(f, SLOT_SIZE, SLOT_SIZE, got);
	assert_int_equal(c.length, 100);
	assert_memory_equal(got, data + SLOT_SIZE - 100, 100);
	close_file(f);
	/* A hole travels as a number, and reads as zeros whatever was in the slot. */
	f = open_file("hole", INLAY_WIN_CREATE, ALL_ACCESS);
	write_file(f, 100000, "x", 1, 0);
	call = prepare(INLAY_RING_READ, f);
	call->q.length = 60000;
	slot = slot_of(call);
	memset(slot_of(call), 0xee, 60000);
	c = ask(call);
	assert_int_equal(c.length, 60000);
	for (unsigned i = 0; i < 60000; i++)
		assert_int_equal(slot[i], 0);
	close_file(f);
	filter_stop();
}

static void test_append(void **state)
{
	struct inlay_ring_completion c;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("log", "one ");
	f = open_file("log", INLAY_WIN_OPEN, 4);
	c = write_file(f, 0, "two ", 4, INLAY_RING_APPEND);
	assert_int_equal(c.attr.size, 8);
	server_write("log", "another ");
	c = write_file(f, UINT64_MAX, "three", 5, INLAY_RING_APPEND | INLAY_RING_WRITE_THROUGH);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.attr.size, 13);
	assert_string_equal(server_read("log"), "another three");
	close_file(f);
	filter_stop();
}

/* The memory manager writes through whatever file object it has, and whole pages. */
static void test_paging(void **state)
{
	struct inlay_ring_completion c;
	char got[8] = "";
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("mapped", "0123456789");
	f = open_file("mapped", INLAY_WIN_OPEN, READ_ACCESS);
	c = write_file(f, 8, "abcdefgh", 8, INLAY_RING_PAGING);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.length, 8);
	assert_int_equal(c.attr.size, 10);
	assert_string_equal(server_read("mapped"), "01234567ab");
	c = write_file(f, 4096, "abcdefgh", 8, INLAY_RING_PAGING);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.length, 8);
	assert_string_equal(server_read("mapped"), "01234567ab");
	close_file(f);
	/* And reads through one that is open for its attributes, or for writing, alone. */
	f = open_file("mapped", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(read_file(f, 0, 8, got).length, 8);
	assert_int_equal(ask(prepare(INLAY_RING_FLUSH, f)).status, 0);
	close_file(f);
	f = open_file("mapped", INLAY_WIN_OPEN, WRITE_ACCESS);
	assert_int_equal(read_file(f, 0, 8, got).length, 8);
	/* Nothing is nothing, but says how large the file is. */
	c = write_file(f, 3, "", 0, 0);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.attr.size, 10);
	assert_int_equal(read_file(f, 0, 0, NULL).length, 0);
	close_file(f);
	filter_stop();
}

/* ---- who may what ---- */

static void as_user(struct inlay_winfilter_config *c)
{
	c->cred.uid = c->cred.gid = 1000;
}

static void test_access(void **state)
{
	struct inlay_ring_completion c;
	uint64_t f;
	char got[4];

	(void)state;
	filter_start_with(NULL, 1, as_user);
	server_write("roots", "x"); /* 0644, root's */
	f = open_file("roots", INLAY_WIN_OPEN, READ_ACCESS);
	assert_int_equal(write_file(f, 0, "y", 1, INLAY_RING_PAGING).status, NT(ACCESS_DENIED));
	close_file(f);
	assert_int_equal(open_as("roots", INLAY_WIN_OPEN, 0, WRITE_ACCESS).status, NT(ACCESS_DENIED));
	assert_int_equal(open_as("roots", INLAY_WIN_OVERWRITE, 0, READ_ACCESS).status, NT(ACCESS_DENIED));
	assert_int_equal(open_as("mine", INLAY_WIN_CREATE, 0, ALL_ACCESS).status, NT(ACCESS_DENIED));
	assert_int_equal(ntfs_has("mine"), '-');
	/* The most that there is. */
	f = open_file("roots", INLAY_WIN_OPEN, 0x02000000);
	assert_int_equal(read_file(f, 0, 4, got).length, 1);
	close_file(f);
	/* Attributes need no permission. */
	c = open_as("roots", INLAY_WIN_OPEN, 0, ATTR_ACCESS);
	assert_int_equal(c.status, 0);
	close_file(c.file);
	filter_stop();
}

static void make_readonly(struct inlay_winfilter_config *c)
{
	c->readonly = true;
}

static void test_readonly(void **state)
{
	struct driver_call *call;
	uint64_t f;

	(void)state;
	filter_start_with(NULL, 1, make_readonly);
	server_write("file", "x");
	assert_int_equal(open_as("file", INLAY_WIN_OPEN, 0, WRITE_ACCESS).status, NT(MEDIA_WRITE_PROTECTED));
	assert_int_equal(open_as("file", INLAY_WIN_OVERWRITE_IF, 0, READ_ACCESS).status, NT(MEDIA_WRITE_PROTECTED));
	assert_int_equal(open_as("new", INLAY_WIN_OPEN_IF, 0, READ_ACCESS).status, NT(MEDIA_WRITE_PROTECTED));
	f = open_file("file", INLAY_WIN_OPEN, 0x02000000);
	assert_int_equal(write_file(f, 0, "y", 1, 0).status, NT(MEDIA_WRITE_PROTECTED));
	call = prepare(INLAY_RING_SETATTR, f);
	call->q.in.set.mask = INLAY_RING_SET_SIZE;
	assert_int_equal(ask(call).status, NT(MEDIA_WRITE_PROTECTED));
	assert_int_equal(ask(prepare(INLAY_RING_REMOVE_BEGIN, f)).status, NT(MEDIA_WRITE_PROTECTED));
	close_file(f);
	filter_stop();
}

/* ---- attributes ---- */

static struct inlay_ring_completion set_attr(uint64_t f, uint32_t mask, const struct inlay_ring_attr *attr)
{
	struct driver_call *call = prepare(INLAY_RING_SETATTR, f);

	call->q.in.set.mask = mask;
	call->q.in.set.attr = *attr;
	return ask(call);
}

static void test_attributes(void **state)
{
	struct inlay_ring_completion c;
	struct inlay_lookup_rep rep;
	const int64_t when = 131000000000000000, earlier = 130000000001234500;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("file", "0123456789");
	f = open_file("file", INLAY_WIN_OPEN, ALL_ACCESS);
	c = set_attr(f, INLAY_RING_SET_SIZE, &(struct inlay_ring_attr){.size = 4});
	assert_int_equal(c.status, 0);
	assert_int_equal(c.attr.size, 4);
	assert_string_equal(server_read("file"), "0123");
	c = set_attr(f, INLAY_RING_SET_SIZE, &(struct inlay_ring_attr){.size = UINT64_MAX});
	assert_int_equal(c.status, NT(INVALID_PARAMETER));
	c = set_attr(f, INLAY_RING_SET_TIMES, &(struct inlay_ring_attr){.written = when, .accessed = earlier});
	assert_int_equal(c.attr.written, when);
	assert_int_equal(c.attr.accessed, earlier);
	c = set_attr(f, INLAY_RING_SET_TIMES, &(struct inlay_ring_attr){.accessed = when});
	assert_int_equal(c.attr.written, when); /* 0: left */
	assert_int_equal(c.attr.accessed, when);
	/* Read-only is a mode without w; execute bits and others' stay. */
	c = set_attr(f, INLAY_RING_SET_ATTRIBUTES, &(struct inlay_ring_attr){.attributes = INLAY_WIN_READONLY});
	assert_int_equal(c.attr.attributes, INLAY_WIN_ARCHIVE | INLAY_WIN_READONLY);
	assert_int_equal(side_find(INLAY_REMOTE, "file", &rep), 0);
	assert_int_equal(rep.attr.mode & 07777, 0444);
	c = set_attr(f, INLAY_RING_SET_ATTRIBUTES, &(struct inlay_ring_attr){.attributes = 0});
	assert_true(c.attr.attributes & INLAY_WIN_READONLY);
	c = set_attr(f, INLAY_RING_SET_ATTRIBUTES, &(struct inlay_ring_attr){.attributes = INLAY_WIN_NORMAL});
	assert_int_equal(c.attr.attributes, INLAY_WIN_ARCHIVE);
	assert_int_equal(side_find(INLAY_REMOTE, "file", &rep), 0);
	assert_int_equal(rep.attr.mode & 07777, 0644);
	close_file(f);
	filter_stop();
}

/* NTFS would not let the maker write to a placeholder that is read-only already. */
static void test_made_readonly(void **state)
{
	struct driver_call *call;
	struct inlay_ring_completion c;
	struct inlay_lookup_rep rep;

	(void)state;
	filter_start(NULL);
	call = prepare_open("file", INLAY_WIN_CREATE, 0, ALL_ACCESS);
	call->q.in.open.attributes = INLAY_WIN_READONLY;
	c = ask(call);
	assert_int_equal(c.status, 0);
	assert_true(c.attr.attributes & INLAY_WIN_READONLY);
	assert_false(ntfs_find("file")->attr.attributes & INLAY_WIN_READONLY);
	assert_int_equal(write_file(c.file, 0, "x", 1, 0).status, 0);
	close_file(c.file);
	assert_int_equal(side_find(INLAY_REMOTE, "file", &rep), 0);
	assert_int_equal(rep.attr.mode & 07777, 0444);
	close_file(open_file("file", INLAY_WIN_OPEN, READ_ACCESS));
	assert_true(ntfs_find("file")->attr.attributes & INLAY_WIN_READONLY);
	filter_stop();
}

static void with_security(struct inlay_winfilter_config *c)
{
	c->security = true;
}

static void test_security_is_handed_on(void **state)
{
	(void)state;
	filter_start_with(NULL, 1, with_security);
	server_write("file", "x");
	close_file(open_file("file", INLAY_WIN_OPEN, READ_ACCESS));
	assert_true(ntfs_find("file")->security_len > 0);
	filter_stop();
}

/* Rules match in either case, as names do; and what a rule makes local has its directory on NTFS before it is made. */
static void test_rules_and_case(void **state)
{
	static const char *const rules[] = {"local *.TMP", "local Build/", NULL};

	(void)state;
	filter_start(rules);
	side_make(INLAY_REMOTE, "dir/");
	side_make(INLAY_REMOTE, "dir/sub/");
	assert_int_equal(open_as("dir/sub/x.tmp", INLAY_WIN_CREATE, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(ntfs_has("dir/sub"), 'P');
	assert_int_equal(open_as("dir/Y.Tmp", INLAY_WIN_OPEN_IF, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(open_as("BUILD/out", INLAY_WIN_CREATE, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(open_as("none/x.tmp", INLAY_WIN_CREATE, 0, ALL_ACCESS).verdict, INLAY_RING_LOCAL);
	assert_int_equal(ntfs_has("none"), '-');
	filter_stop();
}

/* A name that comes, or goes, between the question and the answer. */
static struct {
	uint16_t before; /* the message before which it happens */
	void (*happens)(void);
} moment;

static bool at_the_moment(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	(void)r;
	if (moment.before == c->type && moment.happens) {
		void (*happens)(void) = moment.happens;

		moment.happens = NULL;
		f->script = NULL;
		happens();
	}
	return false;
}

static void appears(void)
{
	server_write("file", "another's");
}

static void vanishes(void)
{
	side_remove(INLAY_REMOTE, "file");
}

static void test_races(void **state)
{
	struct inlay_ring_completion c;
	uint64_t f;

	(void)state;
	filter_start(NULL);
	moment.before = INLAY_CREATE;
	moment.happens = appears;
	w.side[INLAY_REMOTE].script = at_the_moment;
	c = open_as("file", INLAY_WIN_OPEN_IF, 0, ALL_ACCESS);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.created, 0);
	assert_int_equal(c.attr.size, 9);
	close_file(c.file);
	side_remove(INLAY_REMOTE, "file");
	moment.happens = appears;
	w.side[INLAY_REMOTE].script = at_the_moment;
	assert_int_equal(open_as("file", INLAY_WIN_CREATE, 0, ALL_ACCESS).status, NT(OBJECT_NAME_COLLISION));
	moment.before = INLAY_OPEN;
	moment.happens = vanishes;
	w.side[INLAY_REMOTE].script = at_the_moment;
	f = open_file("file", INLAY_WIN_OPEN_IF, ALL_ACCESS);
	assert_int_equal(side_has(INLAY_REMOTE, "file"), 'f');
	close_file(f);
	/* Something local comes while the placeholder is made. */
	ntfs_delete("file");
	ntfs.fail_put = -INLAY_EEXIST;
	ntfs.fail_puts = 100;
	assert_int_equal(open_as("file", INLAY_WIN_OPEN, 0, READ_ACCESS).status, NT(SHARING_VIOLATION)); /* it can't be told what */
	assert_int_equal(ntfs.fail_puts, 100 - 4);
	filter_stop();
}

/* ---- identities ---- */

static bool even_processes_are_users(void *arg, uint32_t process, struct inlay_cred *ret)
{
	(void)arg;
	ret->uid = ret->gid = 1000;
	ret->ngroups = 0;
	return process % 2 == 0;
}

static void with_identities(struct inlay_winfilter_config *c)
{
	c->cred_of = even_processes_are_users;
}

static void test_identities(void **state)
{
	struct driver_call *call;
	uint64_t f;

	(void)state;
	filter_start_with(NULL, 1, with_identities);
	server_write("roots", "x");
	assert_int_equal(open_as("roots", INLAY_WIN_OPEN, 0, WRITE_ACCESS).status, NT(ACCESS_DENIED)); /* process 42 */
	call = prepare_open("roots", INLAY_WIN_OPEN, 0, ATTR_ACCESS);
	call->q.process = 43;
	f = ask(call).file;
	/* The number keeps its opener's: whoever pages through it. */
	assert_int_equal(write_file(f, 0, "y", 1, 0).status, 0);
	close_file(f);
	f = open_file("roots", INLAY_WIN_OPEN, ATTR_ACCESS);
	assert_int_equal(write_file(f, 0, "z", 1, 0).status, NT(ACCESS_DENIED));
	close_file(f);
	filter_stop();
}

/* ---- waking ---- */

static void test_one_signal_for_many(void **state)
{
	struct driver_call *call[20];
	uint64_t f;

	(void)state;
	filter_start(NULL);
	server_write("file", "x");
	f = open_file("file", INLAY_WIN_OPEN, READ_ACCESS);
	assert_true(inlay_ring_requester_sleep(&driver.ring));
	driver.wakes = 0;
	for (unsigned i = 0; i < 20; i++) {
		call[i] = prepare(INLAY_RING_GETATTR, f);
		submit(call[i]);
	}
	pump();
	assert_int_equal(driver.wakes, 1);
	for (unsigned i = 0; i < 20; i++)
		take_answer(call[i]);
	/* While it is awake it is left in peace. */
	ask(prepare(INLAY_RING_GETATTR, f));
	assert_int_equal(driver.wakes, 1);
	close_file(f);
	filter_stop();
}

static void test_bad_configuration(void **state)
{
	struct inlay_winfilter_config c;
	struct inlay_winfilter *other;

	(void)state;
	filter_start(NULL);
	c = filter_config;
	c.geometry.entries = 3;
	assert_int_equal(inlay_winfilter_new(&c, &other), -INLAY_EINVAL);
	c = filter_config;
	c.owner_sid_len = 100;
	assert_int_equal(inlay_winfilter_new(&c, &other), -INLAY_EINVAL);
	inlay_winfilter_free(NULL);
	filter_stop();
}

RUN_TESTS(cmocka_unit_test(test_open_read_write_close), cmocka_unit_test(test_placeholders_are_refreshed),
          cmocka_unit_test(test_what_is_local), cmocka_unit_test(test_rules), cmocka_unit_test(test_dispositions),
          cmocka_unit_test(test_types), cmocka_unit_test(test_root), cmocka_unit_test(test_case), cmocka_unit_test(test_case_within_a_tick), cmocka_unit_test(test_links),
          cmocka_unit_test(test_large), cmocka_unit_test(test_append), cmocka_unit_test(test_paging),
          cmocka_unit_test(test_access), cmocka_unit_test(test_readonly), cmocka_unit_test(test_attributes),
          cmocka_unit_test(test_made_readonly), cmocka_unit_test(test_security_is_handed_on),
          cmocka_unit_test(test_rules_and_case), cmocka_unit_test(test_races), cmocka_unit_test(test_identities),
          cmocka_unit_test(test_one_signal_for_many), cmocka_unit_test(test_bad_configuration))

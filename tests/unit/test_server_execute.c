/*
 * Every message through a local session on the memory store; read-only exports, forged ids, hostile bodies.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server_support.h"

static struct inlay_server *server;
static struct local l;

static void setup(bool readonly)
{
	server = make_server(NULL, 0);
	add_export(server, "data", readonly);
	local_open(&l, server, "data");
}

static void teardown(void)
{
	local_close(&l);
	inlay_server_free(server);
}

static void files_are_made_written_and_read(void **state)
{
	struct inlay_create_rep file;
	struct inlay_write_rep wrote;
	struct inlay_read_rep got;
	struct inlay_lookup_rep found;
	struct inlay_commit_rep commit;

	(void)state;
	setup(false);
	assert_int_equal(CALL(&l, CREATE, create, .dir = l.root, .name = INLAY_STR("f"), .mode = 0640,
		.flags = INLAY_O_RDWR | INLAY_O_EXCL), 0);
	REPLY(&l, create, &file);
	assert_int_equal(file.attr.mode & 07777, 0640);
	assert_int_equal(CALL(&l, CREATE, create, .dir = l.root, .name = INLAY_STR("f"), .flags = INLAY_O_EXCL),
		-INLAY_EEXIST);
	assert_int_equal(CALL_DATA(&l, WRITE, write, "hello", 5, .handle = file.handle, .off = 3), 0);
	REPLY(&l, write, &wrote);
	assert_int_equal(wrote.count, 5);
	assert_int_equal(CALL(&l, COMMIT, commit, .handle = file.handle), 0);
	REPLY(&l, commit, &commit);
	assert_int_equal(commit.verifier, wrote.verifier);
	assert_int_equal(commit.verifier, 0x0807060504030201ull);
	assert_int_equal(CALL(&l, READ, read, .handle = file.handle, .off = 1, .len = 100), 0);
	REPLY(&l, read, &got);
	assert_int_equal(l.rq.reply_data_len, 7);
	assert_memory_equal(l.rq.reply_data, "\0\0hello", 7);
	assert_int_equal(CALL(&l, LOOKUP, lookup, .dir = l.root, .name = INLAY_STR("f")), 0);
	REPLY(&l, lookup, &found);
	assert_memory_equal(&found.node, &file.node, sizeof(found.node));
	assert_int_equal(found.attr.size, 8);
	assert_int_equal(CALL(&l, CLOSE, close, .handle = file.handle), 0);
	assert_int_equal(CALL(&l, CLOSE, close, .handle = file.handle), -INLAY_EBADF);
	assert_int_equal(CALL(&l, READ, read, .handle = file.handle, .len = 1), -INLAY_EBADF);
	assert_int_equal(CALL(&l, UNLINK, unlink, .dir = l.root, .name = INLAY_STR("f")), 0);
	assert_int_equal(CALL(&l, LOOKUP, lookup, .dir = l.root, .name = INLAY_STR("f")), -INLAY_ENOENT);
	teardown();
}

static void zeros_travel_as_a_number(void **state)
{
	static uint8_t block[8192];
	struct inlay_write_rep wrote;
	struct inlay_read_rep got;
	uint64_t h;

	(void)state;
	setup(false);
	h = local_create(&l, "z", INLAY_O_RDWR);
	memset(block, 1, sizeof(block));
	assert_int_equal(CALL_DATA(&l, WRITE, write, block, sizeof(block), .handle = h, .off = 0), 0);
	assert_int_equal(CALL(&l, WRITE, write, .handle = h, .off = 4096, .flags = INLAY_WRITE_ZEROS, .zeros = 16384), 0);
	REPLY(&l, write, &wrote);
	assert_int_equal(wrote.count, 16384);
	assert_int_equal(CALL(&l, READ, read, .handle = h, .off = 4096, .len = 100000), 0);
	REPLY(&l, read, &got);
	assert_int_equal(got.zeros, 16384);
	assert_int_equal(l.rq.reply_data_len, 0);
	assert_int_equal(CALL(&l, READ, read, .handle = h, .off = 0, .len = 8192), 0); /* the twin: half of it is data */
	REPLY(&l, read, &got);
	assert_int_equal(got.zeros, 0);
	assert_int_equal(l.rq.reply_data_len, 8192);
	assert_int_equal(CALL(&l, WRITE, write, .handle = h, .zeros = 1), -INLAY_EINVAL);
	assert_int_equal(CALL_DATA(&l, WRITE, write, block, 1, .handle = h, .flags = INLAY_WRITE_ZEROS), -INLAY_EINVAL);
	teardown();
}

static void listings_carry_nodes_and_attributes(void **state)
{
	struct inlay_opendir_rep dir;
	struct inlay_readdir_rep rep;
	struct inlay_reader r;
	struct inlay_dirent d;
	unsigned seen = 0;
	uint64_t cookie = 0;

	(void)state;
	setup(false);
	for (char name[] = "a"; name[0] <= 'z'; name[0]++)
		local_create(&l, name, INLAY_O_RDWR);
	assert_int_equal(CALL(&l, OPENDIR, opendir, .node = l.root), 0);
	REPLY(&l, opendir, &dir);
	assert_int_equal(CALL(&l, READDIR, readdir, .handle = dir.handle, .max = 8), -INLAY_EINVAL);
	for (rep.eof = 0; !rep.eof;) {
		assert_int_equal(CALL(&l, READDIR, readdir, .handle = dir.handle, .cookie = cookie, .max = 1000,
			.flags = INLAY_READDIR_ATTRS), 0);
		REPLY(&l, readdir, &rep);
		r = inlay_reader(l.rq.reply_data, l.rq.reply_data_len);
		for (uint32_t i = 0; i < rep.count; i++) {
			assert_int_equal(inlay_get_dirent(&r, &d, INLAY_READDIR_ATTRS), 0);
			cookie = d.cookie;
			if (d.name.p[0] == '.')
				continue;
			seen |= 1u << (d.name.p[0] - 'a');
			assert_int_equal(d.attr.mode & 0777, 0644);
			assert_int_equal(d.attr.ino, d.ino);
		}
		assert_int_equal(r.p == r.end, 1);
	}
	assert_int_equal(seen, (1u << 26) - 1);
	dir.handle = local_create(&l, "a", 0);
	assert_int_equal(CALL(&l, READDIR, readdir, .handle = dir.handle, .max = 1000), -INLAY_ENOTDIR);
	teardown();
}

static void readonly_exports_refuse_changes(void **state)
{
	struct inlay_setattr_req set = {.valid = 0};

	(void)state;
	setup(true);
	assert_int_equal(CALL(&l, MKDIR, mkdir, .dir = l.root, .name = INLAY_STR("d")), -INLAY_EROFS);
	assert_int_equal(CALL(&l, CREATE, create, .dir = l.root, .name = INLAY_STR("d")), -INLAY_EROFS);
	assert_int_equal(CALL(&l, TMPFILE, tmpfile, .dir = l.root), -INLAY_EROFS);
	assert_int_equal(CALL(&l, OPEN, open, .node = l.root, .flags = INLAY_O_WRONLY), -INLAY_EROFS);
	assert_int_equal(CALL(&l, OPEN, open, .node = l.root, .flags = INLAY_O_TRUNC), -INLAY_EROFS);
	assert_int_equal(CALL(&l, OPEN, open, .node = l.root), -INLAY_EISDIR); /* the twin reaches the store */
	assert_int_equal(CALL(&l, WRITE, write, .handle = 1), -INLAY_EROFS);
	assert_int_equal(CALL(&l, ACCESS, access, .node = l.root, .mask = INLAY_ACCESS_W), -INLAY_EROFS);
	assert_int_equal(CALL(&l, ACCESS, access, .node = l.root, .mask = INLAY_ACCESS_R), 0);
	set.node = l.root;
	l.w = inlay_writer(l.body, sizeof(l.body));
	inlay_put_setattr_req(&l.w, &set);
	assert_int_equal(local_raw(&l, INLAY_SETATTR, l.body, inlay_writer_len(&l.w), NULL, 0), -INLAY_EROFS);
	teardown();
}

static void forged_ids_are_stale(void **state)
{
	struct inlay_node_id id;
	struct inlay_lookup_rep a;
	struct local other;

	(void)state;
	setup(false);
	local_create(&l, "f", INLAY_O_RDWR);
	assert_int_equal(CALL(&l, LOOKUP, lookup, .dir = l.root, .name = INLAY_STR("f")), 0);
	REPLY(&l, lookup, &a);
	assert_int_equal(CALL(&l, GETATTR, getattr, .node = a.node), 0);
	for (size_t i = 0; i < sizeof(id.bytes); i++) {
		id = a.node;
		id.bytes[i] ^= 1;
		assert_int_equal(CALL(&l, GETATTR, getattr, .node = id), -INLAY_ESTALE);
	}
	memset(&id, 0, sizeof(id));
	assert_int_equal(CALL(&l, GETATTR, getattr, .node = id), -INLAY_ESTALE);
	add_export(server, "other", false); /* the same ids in its store, but another key */
	local_open(&other, server, "other");
	assert_int_equal(CALL(&other, GETATTR, getattr, .node = a.node), -INLAY_ESTALE);
	local_close(&other);
	teardown();
}

static void handles_are_a_sessions_own(void **state)
{
	struct local other;
	uint64_t h;

	(void)state;
	setup(false);
	h = local_create(&l, "f", INLAY_O_RDWR);
	local_open(&other, server, "data");
	assert_int_equal(CALL(&other, READ, read, .handle = h, .len = 1), -INLAY_EBADF);
	assert_int_equal(CALL(&other, CLOSE, close, .handle = h), -INLAY_EBADF);
	assert_int_equal(CALL(&l, READ, read, .handle = h, .len = 1), 0);
	assert_int_equal(CALL(&l, READ, read, .handle = 0, .len = 1), -INLAY_EBADF);
	local_close(&other);
	teardown();
}

static void access_modes_are_kept(void **state)
{
	struct inlay_opendir_rep dir;
	uint64_t r, w;

	(void)state;
	setup(false);
	w = local_create(&l, "f", INLAY_O_WRONLY);
	r = local_create(&l, "f", INLAY_O_RDONLY);
	assert_int_equal(CALL(&l, READ, read, .handle = w, .len = 1), -INLAY_EBADF);
	assert_int_equal(CALL_DATA(&l, WRITE, write, "x", 1, .handle = r), -INLAY_EBADF);
	assert_int_equal(CALL(&l, FALLOCATE, fallocate, .handle = r, .len = 1), -INLAY_EBADF);
	assert_int_equal(CALL_DATA(&l, WRITE, write, "x", 1, .handle = w), 0);
	assert_int_equal(CALL_DATA(&l, WRITE, write, "x", 1, .handle = w, .off = INT64_MAX), -INLAY_EFBIG);
	assert_int_equal(CALL(&l, READ, read, .handle = r, .off = 1ull << 63, .len = 1), -INLAY_EINVAL);
	assert_int_equal(CALL(&l, READ, read, .handle = r, .len = 0xffffffffu), 0);
	assert_int_equal(CALL(&l, OPENDIR, opendir, .node = l.root), 0);
	REPLY(&l, opendir, &dir);
	assert_int_equal(CALL(&l, READ, read, .handle = dir.handle, .len = 1), -INLAY_EISDIR);
	assert_int_equal(CALL(&l, OPEN, open, .node = l.root, .flags = 1u << 20), -INLAY_EINVAL);
	assert_int_equal(CALL(&l, OPEN, open, .node = l.root, .flags = 3), -INLAY_EINVAL);
	teardown();
}

/* With a handle, a store asks for less permission: a handle of another file must not lend it. */
static void a_handle_speaks_for_its_own_file_only(void **state)
{
	struct inlay_create_rep a, b;

	(void)state;
	setup(false);
	assert_int_equal(CALL(&l, CREATE, create, .dir = l.root, .name = INLAY_STR("a"), .flags = 2, .mode = 0600), 0);
	REPLY(&l, create, &a);
	assert_int_equal(CALL(&l, CREATE, create, .dir = l.root, .name = INLAY_STR("b"), .flags = 2, .mode = 0600), 0);
	REPLY(&l, create, &b);
	assert_int_equal(CALL(&l, SETATTR, setattr, .node = a.node, .handle = b.handle, .valid = INLAY_SET_SIZE),
		-INLAY_EINVAL);
	assert_int_equal(CALL(&l, SETATTR, setattr, .node = a.node, .handle = a.handle, .valid = INLAY_SET_SIZE), 0);
	assert_int_equal(CALL(&l, SETATTR, setattr, .node = a.node, .valid = 1u << 30), -INLAY_EINVAL);
	teardown();
}

static void attributes_links_and_the_rest(void **state)
{
	char target[4000];
	struct inlay_lookup_rep link;
	struct inlay_readlink_rep text;
	struct inlay_getxattr_rep value;
	struct inlay_create_rep f;

	(void)state;
	setup(false);
	memset(target, 'x', sizeof(target));
	for (uint32_t len = 10; len <= sizeof(target); len += sizeof(target) - 10) { /* inline, and in a chunk */
		assert_int_equal(CALL(&l, SYMLINK, symlink, .dir = l.root, .name = INLAY_STR("s"), .target = {target, len}), 0);
		REPLY(&l, lookup, &link);
		assert_int_equal(CALL(&l, READLINK, readlink, .node = link.node), 0);
		REPLY(&l, readlink, &text);
		assert_int_equal(text.target.len, len);
		assert_memory_equal(text.target.p, target, len);
		assert_int_equal(CALL(&l, UNLINK, unlink, .dir = l.root, .name = INLAY_STR("s")), 0);
	}
	assert_int_equal(CALL(&l, CREATE, create, .dir = l.root, .name = INLAY_STR("f"), .flags = 2, .mode = 0600), 0);
	REPLY(&l, create, &f);
	assert_int_equal(CALL_DATA(&l, SETXATTR, setxattr, "value", 5, .node = f.node, .name = INLAY_STR("user.k")), 0);
	assert_int_equal(CALL(&l, GETXATTR, getxattr, .node = f.node, .name = INLAY_STR("user.k")), 0);
	REPLY(&l, getxattr, &value);
	assert_int_equal(value.size, 5);
	assert_int_equal(l.rq.reply_data_len, 0);
	assert_int_equal(CALL(&l, GETXATTR, getxattr, .node = f.node, .name = INLAY_STR("user.k"), .max = 4), -INLAY_ERANGE);
	assert_int_equal(CALL(&l, GETXATTR, getxattr, .node = f.node, .name = INLAY_STR("user.k"), .max = 9), 0);
	assert_memory_equal(l.rq.reply_data, "value", 5);
	assert_int_equal(CALL(&l, GETXATTR, getxattr, .node = f.node, .name = {"", 0}), -INLAY_ERANGE);
	assert_int_equal(CALL(&l, LISTXATTR, listxattr, .node = f.node, .max = 100), 0);
	assert_memory_equal(l.rq.reply_data, "user.k", 7);
	assert_int_equal(CALL(&l, REMOVEXATTR, removexattr, .node = f.node, .name = INLAY_STR("user.k")), 0);
	assert_int_equal(CALL(&l, RENAME, rename, .from_dir = l.root, .to_dir = l.root, .from = INLAY_STR("f"),
		.to = INLAY_STR("g")), 0);
	assert_int_equal(CALL(&l, RENAME, rename, .from_dir = l.root, .to_dir = l.root, .from = INLAY_STR("g"),
		.to = INLAY_STR("f"), .flags = 8), -INLAY_EINVAL);
	assert_int_equal(CALL(&l, LINK, link, .node = f.node, .dir = l.root, .name = INLAY_STR("h")), 0);
	assert_int_equal(CALL(&l, STATFS, statfs, .node = l.root), 0);
	assert_int_equal(CALL(&l, SYNCFS, syncfs, .node = l.root), 0);
	assert_int_equal(CALL(&l, SEEK, seek, .handle = f.handle, .whence = 2), -INLAY_EINVAL);
	assert_int_equal(CALL(&l, FALLOCATE, fallocate, .handle = f.handle, .len = 1, .mode = 1u << 20), -INLAY_ENOTSUP);
	assert_int_equal(CALL(&l, COPY, copy, .from = f.handle, .to = f.handle, .to_off = 4096, .len = 100), 0);
	teardown();
}

static void pinned_nodes_are_forgotten(void **state)
{
	struct inlay_lookup_rep n;
	uint8_t entry[48] = {0};

	(void)state;
	setup(false);
	local_create(&l, "f", 2);
	assert_int_equal(CALL(&l, LOOKUP, lookup, .dir = l.root, .name = INLAY_STR("f")), 0);
	REPLY(&l, lookup, &n);
	memcpy(entry, n.node.bytes, 40);
	inlay_store64(entry + 40, 2);
	assert_int_equal(CALL_DATA(&l, FORGET, forget, entry, 48, .count = 1), 0);
	assert_int_equal(CALL_DATA(&l, FORGET, forget, entry, 48, .count = 1), 0); /* unknown: nothing to do */
	assert_int_equal(CALL_DATA(&l, FORGET, forget, entry, 48, .count = 2), -INLAY_EPROTO);
	assert_int_equal(CALL_DATA(&l, FORGET, forget, entry, 47, .count = 1), -INLAY_EPROTO);
	teardown();
}

static void sessions_end_with_their_export(void **state)
{
	struct inlay_server_counts counts;

	(void)state;
	setup(false);
	local_create(&l, "f", 2);
	inlay_server_counts(server, &counts);
	assert_int_equal(counts.sessions, 1);
	assert_int_equal(counts.handles, 1);
	assert_int_equal(inlay_server_export_remove(server, "data"), 0);
	assert_int_equal(inlay_server_export_remove(server, "data"), -INLAY_ENOEXPORT);
	assert_int_equal(CALL(&l, GETATTR, getattr, .node = l.root), -INLAY_ENOSESSION);
	inlay_server_counts(server, &counts);
	assert_int_equal(counts.sessions, 0);
	teardown();
}

static uint64_t seed = 7;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

/* A request whose fields are all zero: most of it is valid. */
static size_t empty_request(unsigned type, uint8_t *body, size_t cap)
{
	struct inlay_writer w = inlay_writer(body, cap);

	switch (type) {
#define EMPTY(NAME, lower, number, flags) \
	case INLAY_##NAME: { \
		static const struct inlay_##lower##_req m; \
\
		inlay_put_##lower##_req(&w, &m); \
		break; \
	}
		INLAY_MESSAGES(EMPTY)
#undef EMPTY
	}
	return inlay_writer_len(&w);
}

/* Random bytes, and nearly valid ones: nodes of the export, names, small numbers. No handler may break over them. */
static void hostile_bodies_break_nothing(void **state)
{
	static uint8_t body[512], data[4096];
	unsigned refused = 0, taken = 0;

	(void)state;
	setup(false);
	local_create(&l, "a", INLAY_O_RDWR);
	for (unsigned i = 0; i < 60000; i++) {
		uint16_t type = (uint16_t)(rnd() % (INLAY_MESSAGE_TOP + 2));
		size_t len = empty_request(type, body, sizeof(body));

		if (len > 48 && rnd() % 4)
			memcpy(body, l.root.bytes, sizeof(l.root.bytes));
		if (len > 8 && rnd() % 4)
			memcpy(body + len - 8, "\1\0\0\0a\0\0\0", 8);
		for (unsigned k = rnd() % 3; k > 0 && len; k--)
			body[rnd() % len] = (uint8_t)rnd();
		if (rnd() % 8 == 0)
			len = 8 * (rnd() % (sizeof(body) / 8));
		if (local_raw(&l, type, body, len, data, rnd() % 2 ? sizeof(data) : 0) == -INLAY_EPROTO)
			refused++;
		else
			taken++;
	}
	assert_true(refused > 1000);
	assert_true(taken > 1000);
	assert_int_equal(CALL(&l, GETATTR, getattr, .node = l.root), 0);
	teardown();
}

static void slow_requests_are_known(void **state)
{
	struct inlay_request rq = {.type = INLAY_COMMIT};

	(void)state;
	assert_true(inlay_request_is_slow(&rq));
	rq.type = INLAY_READ;
	assert_false(inlay_request_is_slow(&rq));
	rq.type = INLAY_FALLOCATE; /* no body: judged when executed */
	assert_false(inlay_request_is_slow(&rq));
}

RUN_TESTS(cmocka_unit_test(files_are_made_written_and_read), cmocka_unit_test(zeros_travel_as_a_number),
	cmocka_unit_test(listings_carry_nodes_and_attributes), cmocka_unit_test(readonly_exports_refuse_changes),
	cmocka_unit_test(forged_ids_are_stale), cmocka_unit_test(handles_are_a_sessions_own),
	cmocka_unit_test(access_modes_are_kept), cmocka_unit_test(a_handle_speaks_for_its_own_file_only),
	cmocka_unit_test(attributes_links_and_the_rest), cmocka_unit_test(pinned_nodes_are_forgotten),
	cmocka_unit_test(sessions_end_with_their_export), cmocka_unit_test(hostile_bodies_break_nothing),
	cmocka_unit_test(slow_requests_are_known))

/*
 * The store's contract: open files, data, holes, copies.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_contract.h"

#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define KIB64 ((uint64_t)65536)

static struct inlay_store_file *make(struct contract *c, const char *path)
{
	struct inlay_store_file *f = NULL;

	OK(sc_create(c, NULL, path, INLAY_O_RDWR | INLAY_O_EXCL, 0644, &f));
	return f;
}

static uint64_t size_of(struct contract *c, struct inlay_store_file *f)
{
	struct inlay_attr attr;

	OK(c->ops->getattr(f->node, f, &attr));
	return attr.size;
}

static void expect(struct inlay_store_file *f, uint64_t off, const char *text)
{
	char buf[64];

	assert_int_equal(sc_read(f, off, buf, strlen(text)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void expect_zeros(struct inlay_store_file *f, uint64_t off, size_t len)
{
	char *buf = malloc(len);

	assert_non_null(buf);
	memset(buf, 1, len);
	assert_int_equal(sc_read(f, off, buf, len), len);
	for (size_t i = 0; i < len; i++)
		if (buf[i])
			fail_msg("byte %zu is not zero", i);
	free(buf);
}

/* Bytes that tell their place, so that a shift shows. */
static void write_pattern(struct inlay_store_file *f, uint64_t off, size_t len)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(1 + (off + i) / 4096 % 250);
	assert_int_equal(sc_write(f, off, buf, len), len);
	free(buf);
}

/* What stands at off was written at was_at. */
static void expect_pattern(struct inlay_store_file *f, uint64_t off, uint64_t was_at, size_t len)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(sc_read(f, off, buf, len), len);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != 1 + (was_at + i) / 4096 % 250)
			fail_msg("byte %zu is from elsewhere", i);
	free(buf);
}

static void written_bytes_come_back(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	assert_int_equal(sc_write(f, 0, "hello", 5), 5);
	assert_int_equal(sc_write(f, 5, " world", 6), 6);
	expect(f, 0, "hello world");
	assert_int_equal(sc_write(f, 3, "LO W", 4), 4);
	expect(f, 0, "helLO World");
	assert_int_equal(size_of(c, f), 11);
	write_pattern(f, 12345, 300000);
	expect_pattern(f, 12345, 12345, 300000);
}

static void read_ends_at_the_end(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	char buf[16];

	assert_int_equal(sc_read(f, 0, buf, sizeof(buf)), 0);
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	assert_int_equal(sc_read(f, 1, buf, sizeof(buf)), 2);
	assert_int_equal(sc_read(f, 3, buf, sizeof(buf)), 0);
	assert_int_equal(sc_read(f, MIB, buf, sizeof(buf)), 0);
	assert_int_equal(sc_read(f, 0, buf, 0), 0);
}

static void write_past_the_end_leaves_zeros(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	assert_int_equal(sc_write(f, 0, "a", 1), 1);
	assert_int_equal(sc_write(f, 200000, "b", 1), 1);
	assert_int_equal(size_of(c, f), 200001);
	expect_zeros(f, 1, 199999);
	expect(f, 200000, "b");
}

static void write_far_away(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	assert_int_equal(sc_write(f, (uint64_t)1 << 40, "x", 1), 1);
	assert_int_equal(size_of(c, f), ((uint64_t)1 << 40) + 1);
	expect_zeros(f, ((uint64_t)1 << 40) - 100, 100);
	expect(f, (uint64_t)1 << 40, "x");
}

static bool too_far(int64_t r)
{
	return r == -INLAY_EINVAL || r == -INLAY_EFBIG || r == -INLAY_EOVERFLOW;
}

static void write_beyond_all_bounds_is_refused(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	char buf[4] = "abc";

	assert_true(too_far(sc_write(f, INT64_MAX, buf, 3)));
	assert_true(too_far(sc_write(f, UINT64_MAX, buf, 3)));
	assert_true(too_far(sc_write(f, (uint64_t)1 << 63, buf, 3)));
	IS(sc_read(f, UINT64_MAX, buf, 3), INVAL);
	assert_true(too_far(sc_truncate(c, NULL, "f", UINT64_MAX)));
	assert_int_equal(size_of(c, f), 0);
}

static void access_mode_binds(struct contract *c)
{
	struct inlay_store_file *r, *w;
	char buf[4];

	sc_put(c, "f", "abc");
	OK(sc_open(c, NULL, "f", INLAY_O_RDONLY, &r));
	OK(sc_open(c, NULL, "f", INLAY_O_WRONLY, &w));
	IS(sc_write(r, 0, "x", 1), BADF);
	IS(sc_read(w, 0, buf, 1), BADF);
	assert_int_equal(sc_write(w, 0, "x", 1), 1);
	expect(r, 0, "xbc");
}

static void open_refuses(struct contract *c)
{
	struct inlay_store_file *f = NULL;

	sc_put(c, "f", "");
	OK(sc_mkdir(c, NULL, "d", 0755));
	IS(sc_open(c, NULL, "d", INLAY_O_RDONLY, &f), ISDIR);
	IS(sc_open(c, NULL, "d", INLAY_O_RDWR, &f), ISDIR);
	IS(sc_open(c, NULL, "f", INLAY_O_ACCMODE, &f), INVAL);
	IS(sc_open(c, NULL, "f", 1u << 30, &f), INVAL);
	IS(sc_open(c, NULL, "f", INLAY_O_EXEC | INLAY_O_TRUNC, &f), INVAL);
	IS(sc_create(c, NULL, "d", INLAY_O_RDWR, 0644, &f), ISDIR);
	IS(sc_create(c, NULL, "d", INLAY_O_RDWR | INLAY_O_EXCL, 0644, &f), EXIST);
	IS(sc_create(c, NULL, "f/x", INLAY_O_RDWR, 0644, &f), NOTDIR);
	assert_null(f);
}

static void create_opens_what_exists(struct contract *c)
{
	struct inlay_store_file *f;

	sc_put(c, "f", "abc");
	OK(sc_chmod(c, NULL, "f", 0600));
	OK(sc_create(c, NULL, "f", INLAY_O_RDWR, 0644, &f));
	expect(f, 0, "abc");
	assert_int_equal(sc_stat(c, "f").mode, S_IFREG | 0600);
	IS(sc_create(c, NULL, "f", INLAY_O_RDWR | INLAY_O_EXCL, 0644, &f), EXIST);
	OK(sc_create(c, NULL, "f", INLAY_O_RDWR | INLAY_O_TRUNC, 0644, &f));
	assert_int_equal(size_of(c, f), 0);
}

static void open_truncates(struct contract *c)
{
	struct inlay_store_file *f;

	sc_put(c, "f", "abc");
	OK(sc_open(c, NULL, "f", INLAY_O_WRONLY, &f));
	sc_check(c, "f", "abc");
	OK(sc_open(c, NULL, "f", INLAY_O_WRONLY | INLAY_O_TRUNC, &f));
	sc_check(c, "f", "");
}

static void append_ignores_the_offset(struct contract *c)
{
	struct inlay_store_file *a, *b;

	sc_put(c, "f", "1");
	OK(sc_open(c, NULL, "f", INLAY_O_WRONLY | INLAY_O_APPEND, &a));
	OK(sc_open(c, NULL, "f", INLAY_O_RDWR | INLAY_O_APPEND, &b));
	assert_int_equal(sc_write(a, 0, "2", 1), 1);
	assert_int_equal(sc_write(b, 0, "3", 1), 1);
	assert_int_equal(sc_write(a, 100, "4", 1), 1);
	sc_check(c, "f", "1234");
	expect(b, 1, "234");
}

/* It says where it went, and what has a place keeps it. */
static void append_has_an_end(struct contract *c)
{
	struct inlay_store_file *a, *b;
	uint64_t end;

	sc_put(c, "f", "1");
	OK(sc_open(c, NULL, "f", INLAY_O_WRONLY | INLAY_O_APPEND, &a));
	OK(sc_open(c, NULL, "f", INLAY_O_RDWR | INLAY_O_APPEND | INLAY_O_DSYNC, &b));
	assert_int_equal(c->ops->write(a, 100, "22", 2, 0, &end), 2);
	assert_int_equal(end, 3);
	assert_int_equal(c->ops->write(b, 0, "333", 3, 0, &end), 3);
	assert_int_equal(end, 6);
	assert_int_equal(c->ops->write(a, 1, "x", 1, INLAY_WRITE_AT, &end), 1);
	assert_int_equal(c->ops->write(a, 0, "4", 1, INLAY_WRITE_DATA_SYNC, &end), 1);
	assert_int_equal(end, 7);
	sc_check(c, "f", "1x23334");
}

static void write_tells_the_size(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	uint64_t size = 77;

	assert_int_equal(c->ops->write(f, 10, "ab", 2, 0, &size), 2);
	assert_true(size == 0 || size == 12);
	assert_int_equal(c->ops->write(f, 0, "ab", 2, 0, &size), 2);
	assert_true(size == 0 || size == 12);
}

static void empty_write_changes_nothing(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	struct inlay_attr before, after;

	OK(c->ops->getattr(f->node, f, &before));
	assert_int_equal(sc_write(f, 100, "", 0), 0);
	OK(c->ops->getattr(f->node, f, &after));
	assert_int_equal(after.size, 0);
	assert_memory_equal(&before.mtime, &after.mtime, sizeof(before.mtime));
}

static void truncate_cuts_and_grows(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	write_pattern(f, 0, 200000);
	OK(sc_truncate(c, NULL, "f", 70000));
	assert_int_equal(size_of(c, f), 70000);
	OK(sc_truncate(c, NULL, "f", 300000));
	expect_pattern(f, 0, 0, 70000);
	expect_zeros(f, 70000, 230000);
	OK(sc_truncate(c, NULL, "f", 0));
	assert_int_equal(size_of(c, f), 0);
}

static void truncate_refuses(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_mknod(c, NULL, "p", S_IFIFO | 0644, 0));
	IS(sc_truncate(c, NULL, "d", 0), ISDIR);
	IS(sc_truncate(c, NULL, "p", 0), INVAL);
}

static void truncate_through_a_writable_file(struct contract *c)
{
	struct inlay_store_attr_change change = {.valid = INLAY_SET_SIZE, .size = 1};
	struct inlay_store_file *r, *w;
	struct inlay_attr attr;

	sc_put(c, "f", "abc");
	OK(sc_open(c, NULL, "f", INLAY_O_RDONLY, &r));
	OK(sc_open(c, NULL, "f", INLAY_O_WRONLY, &w));
	OK(sc_chmod(c, NULL, "f", 0444));
	/* One that can't write adds nothing to what the caller may do. */
	IS(c->ops->setattr(r->node, r, &sc_alice, &change, &attr), ACCES);
	OK(c->ops->setattr(w->node, w, &sc_alice, &change, &attr));
	assert_int_equal(attr.size, 1);
}

static void seek_finds_data_and_holes(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	OK(sc_truncate(c, NULL, "f", 4 * MIB));
	write_pattern(f, MIB, KIB64);
	write_pattern(f, 3 * MIB, KIB64);
	assert_int_equal(c->ops->seek(f, 0, INLAY_SEEK_DATA), MIB);
	assert_int_equal(c->ops->seek(f, 0, INLAY_SEEK_HOLE), 0);
	assert_int_equal(c->ops->seek(f, MIB + 5, INLAY_SEEK_DATA), MIB + 5);
	assert_int_equal(c->ops->seek(f, MIB + 5, INLAY_SEEK_HOLE), MIB + KIB64);
	assert_int_equal(c->ops->seek(f, MIB + KIB64, INLAY_SEEK_DATA), 3 * MIB);
	IS(c->ops->seek(f, 3 * MIB + KIB64, INLAY_SEEK_DATA), NXIO);
	assert_int_equal(c->ops->seek(f, 3 * MIB + KIB64, INLAY_SEEK_HOLE), 3 * MIB + KIB64);
}

static void seek_refuses(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	IS(c->ops->seek(f, 0, INLAY_SEEK_DATA), NXIO);
	IS(c->ops->seek(f, 0, INLAY_SEEK_HOLE), NXIO);
	write_pattern(f, 0, KIB64);
	assert_int_equal(c->ops->seek(f, 0, INLAY_SEEK_HOLE), KIB64);
	IS(c->ops->seek(f, KIB64, INLAY_SEEK_HOLE), NXIO);
	IS(c->ops->seek(f, MIB, INLAY_SEEK_DATA), NXIO);
	IS(c->ops->seek(f, 0, 7), INVAL);
}

static void punch_makes_a_hole(struct contract *c)
{
	const uint32_t punch = INLAY_FALLOC_PUNCH_HOLE | INLAY_FALLOC_KEEP_SIZE;
	struct inlay_store_file *f = make(c, "f");

	write_pattern(f, 0, 5 * KIB64);
	OK(c->ops->fallocate(f, KIB64, 2 * KIB64, punch, 0));
	OK(c->ops->fallocate(f, 4 * KIB64 + 100, 1000, punch, 0));
	OK(c->ops->fallocate(f, 5 * KIB64 - 10, MIB, punch, 0));
	assert_int_equal(size_of(c, f), 5 * KIB64);
	expect_pattern(f, 0, 0, KIB64);
	expect_zeros(f, KIB64, 2 * KIB64);
	expect_pattern(f, 3 * KIB64, 3 * KIB64, KIB64 + 100);
	expect_zeros(f, 4 * KIB64 + 100, 1000);
	expect_pattern(f, 4 * KIB64 + 1100, 4 * KIB64 + 1100, KIB64 - 1110);
	expect_zeros(f, 5 * KIB64 - 10, 10);
	assert_int_equal(c->ops->seek(f, 0, INLAY_SEEK_HOLE), KIB64);
	assert_int_equal(c->ops->seek(f, KIB64, INLAY_SEEK_DATA), 3 * KIB64);
}

static void fallocate_grows(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	OK(c->ops->fallocate(f, 0, 100000, INLAY_FALLOC_KEEP_SIZE, 0));
	assert_int_equal(size_of(c, f), 0);
	OK(c->ops->fallocate(f, 0, 100000, 0, 0));
	assert_int_equal(size_of(c, f), 100000);
	expect_zeros(f, 0, 100000);
	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	OK(c->ops->fallocate(f, 0, 50000, 0, 0));
	assert_int_equal(size_of(c, f), 100000);
	expect(f, 0, "abc");
	assert_true(sc_stat(c, "f").blocks >= 100000 / 512);
}

static void fallocate_zeros(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");

	write_pattern(f, 0, 3 * KIB64);
	OK(c->ops->fallocate(f, 1000, KIB64, INLAY_FALLOC_ZERO | INLAY_FALLOC_KEEP_SIZE, 0));
	expect_pattern(f, 0, 0, 1000);
	expect_zeros(f, 1000, KIB64);
	expect_pattern(f, 1000 + KIB64, 1000 + KIB64, KIB64);
	OK(c->ops->fallocate(f, 2 * KIB64, 2 * KIB64, INLAY_FALLOC_ZERO | INLAY_FALLOC_KEEP_SIZE, 0));
	assert_int_equal(size_of(c, f), 3 * KIB64);
	OK(c->ops->fallocate(f, 2 * KIB64, 2 * KIB64, INLAY_FALLOC_ZERO, 0));
	assert_int_equal(size_of(c, f), 4 * KIB64);
	expect_zeros(f, 2 * KIB64, 2 * KIB64);
}

static void fallocate_refuses(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f"), *r;

	write_pattern(f, 0, KIB64);
	IS(c->ops->fallocate(f, 0, 0, 0, 0), INVAL);
	IS(c->ops->fallocate(f, 0, 10, INLAY_FALLOC_PUNCH_HOLE, 0), NOTSUP);
	IS(c->ops->fallocate(f, 0, 10, 1u << 20, 0), NOTSUP);
	assert_true(too_far(c->ops->fallocate(f, INT64_MAX, INT64_MAX, 0, 0)));
	OK(sc_open(c, NULL, "f", INLAY_O_RDONLY, &r));
	IS(c->ops->fallocate(r, 0, 10, 0, 0), BADF);
	expect_pattern(f, 0, 0, KIB64);
}

static void collapse_closes_up(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	int r;

	write_pattern(f, 0, 3 * KIB64 + 5);
	r = c->ops->fallocate(f, 8192, 69632, INLAY_FALLOC_COLLAPSE, 0);
	if (r == -INLAY_ENOTSUP)
		skip();
	OK(r);
	assert_int_equal(size_of(c, f), 3 * KIB64 + 5 - 69632);
	expect_pattern(f, 0, 0, 8192);
	expect_pattern(f, 8192, 8192 + 69632, 3 * KIB64 + 5 - 69632 - 8192);
	IS(c->ops->fallocate(f, 0, 100, INLAY_FALLOC_COLLAPSE, 0), INVAL);
	IS(c->ops->fallocate(f, 65536, 1048576, INLAY_FALLOC_COLLAPSE, 0), INVAL);
}

static void insert_opens_up(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	int r;

	write_pattern(f, 0, 2 * KIB64 + 5);
	r = c->ops->fallocate(f, 8192, 69632, INLAY_FALLOC_INSERT, 0);
	if (r == -INLAY_ENOTSUP)
		skip();
	OK(r);
	assert_int_equal(size_of(c, f), 2 * KIB64 + 5 + 69632);
	expect_pattern(f, 0, 0, 8192);
	expect_zeros(f, 8192, 69632);
	expect_pattern(f, 8192 + 69632, 8192, 2 * KIB64 + 5 - 8192);
	IS(c->ops->fallocate(f, 0, 100, INLAY_FALLOC_INSERT, 0), INVAL);
	IS(c->ops->fallocate(f, MIB, 65536, INLAY_FALLOC_INSERT, 0), INVAL);
}

/* A copy may be short: the caller goes on, as programs do. */
static int64_t copy_all(struct contract *c, struct inlay_store_file *from, uint64_t from_off,
                        struct inlay_store_file *to, uint64_t to_off, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		int64_t n = c->ops->copy(from, from_off + done, to, to_off + done, len - done);

		if (n < 0)
			return done ? (int64_t)done : n;
		if (n == 0)
			break;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

static void copy_copies(struct contract *c)
{
	struct inlay_store_file *a = make(c, "a"), *b = make(c, "b");

	write_pattern(a, 0, 200000);
	assert_int_equal(copy_all(c, a, 100, b, 5000, 150000), 150000);
	assert_int_equal(size_of(c, b), 155000);
	expect_zeros(b, 0, 5000);
	expect_pattern(b, 5000, 100, 150000);
	assert_int_equal(copy_all(c, a, 199000, b, 0, 5000), 1000);
	expect_pattern(b, 0, 199000, 1000);
	assert_int_equal(c->ops->copy(a, 200000, b, 0, 10), 0);
	assert_int_equal(c->ops->copy(a, 0, b, 0, 0), 0);
	assert_int_equal(copy_all(c, a, 0, a, 300000, 100), 100);
	expect_pattern(a, 300000, 0, 100);
}

static void copy_refuses(struct contract *c)
{
	struct inlay_store_file *a = make(c, "a"), *r, *w, *append;

	write_pattern(a, 0, 10000);
	OK(sc_open(c, NULL, "a", INLAY_O_RDONLY, &r));
	OK(sc_open(c, NULL, "a", INLAY_O_WRONLY, &w));
	OK(sc_open(c, NULL, "a", INLAY_O_RDWR | INLAY_O_APPEND, &append));
	IS(c->ops->copy(a, 0, a, 10, 100), INVAL);
	IS(c->ops->copy(a, 0, r, 20000, 100), BADF);
	IS(c->ops->copy(w, 0, a, 20000, 100), BADF);
	IS(c->ops->copy(a, 0, append, 20000, 100), BADF);
	assert_int_equal(size_of(c, a), 10000);
}

static void tmpfile_has_no_name(struct contract *c)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;

	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_tmpfile(c, NULL, "d", INLAY_O_RDWR, 0640, &f));
	assert_int_equal(sc_write(f, 0, "tmp", 3), 3);
	OK(c->ops->getattr(f->node, f, &attr));
	assert_int_equal(attr.mode, S_IFREG | 0640);
	OK(c->ops->link(f->node, f, c->root, NULL, INLAY_STR("named"), &attr));
	assert_int_equal(attr.nlink, 1);
	sc_check(c, "named", "tmp");
	OK(sc_rmdir(c, NULL, "d"));
}

static void tmpfile_refuses(struct contract *c)
{
	struct inlay_store_file *f = NULL;
	struct inlay_attr attr;

	sc_put(c, "file", "");
	IS(sc_tmpfile(c, NULL, "", INLAY_O_RDONLY, 0640, &f), INVAL);
	IS(sc_tmpfile(c, NULL, "file", INLAY_O_RDWR, 0640, &f), NOTDIR);
	OK(sc_tmpfile(c, NULL, "", INLAY_O_RDWR | INLAY_O_EXCL, 0640, &f));
	IS(c->ops->link(f->node, f, c->root, NULL, INLAY_STR("named"), &attr), NOENT);
	assert_false(sc_exists(c, "named"));
}

static void commit_takes_files_and_directories(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f"), *d;
	uint64_t size;

	assert_int_equal(sc_write(f, 0, "abc", 3), 3);
	OK(c->ops->commit(f, INLAY_COMMIT_DATA_ONLY));
	OK(c->ops->commit(f, 0));
	OK(sc_opendir(c, NULL, "", &d));
	OK(c->ops->commit(d, 0));
	OK(c->ops->syncfs(c->store));
	assert_int_equal(c->ops->write(f, 0, "x", 1, INLAY_WRITE_DATA_SYNC, &size), 1);
	assert_int_equal(c->ops->write(f, 0, "x", 1, INLAY_WRITE_FILE_SYNC, &size), 1);
	sc_check(c, "f", "xbc");
}

static void directory_handle_has_no_data(struct contract *c)
{
	struct inlay_store_file *d;
	uint64_t size;
	char buf[4];

	OK(sc_opendir(c, NULL, "", &d));
	IS(c->ops->read(d, 0, buf, 1, 0), ISDIR);
	IS(c->ops->write(d, 0, "x", 1, 0, &size), BADF);
	assert_true(d->is_dir);
}

static void file_outlives_its_node(struct contract *c)
{
	struct inlay_store_file *f = NULL;
	struct inlay_store_node *n;

	sc_put(c, "f", "abc");
	n = sc_node(c, "f");
	OK(sc_open(c, NULL, "f", INLAY_O_RDWR, &f));
	sc_drop(c, n);
	OK(sc_unlink(c, NULL, "f"));
	c->ops->file_ref(f);
	c->ops->file_unref(f);
	expect(f, 0, "abc");
	assert_true(f->node && f->store == c->store && !f->is_dir);
}

static void writes_move_the_times(struct contract *c)
{
	struct inlay_store_attr_change old = {.valid = INLAY_SET_MTIME, .mtime = {1000, 5, 0}};
	struct inlay_store_file *f = make(c, "f");
	struct inlay_attr before, after;

	OK(sc_setattr(c, NULL, "f", &old));
	OK(c->ops->getattr(f->node, f, &before));
	assert_int_equal(before.mtime.sec, 1000);
	assert_int_equal(sc_write(f, 0, "x", 1), 1);
	OK(c->ops->getattr(f->node, f, &after));
	assert_true(after.mtime.sec > 1000);
	assert_true(after.change != before.change);
}

static void kill_priv_clears_set_id(struct contract *c)
{
	struct inlay_store_file *f = make(c, "f");
	uint64_t size;

	OK(sc_chmod(c, NULL, "f", 06755));
	assert_int_equal(c->ops->write(f, 0, "x", 1, 0, &size), 1);
	assert_int_equal(sc_stat(c, "f").mode & 07777, 06755);
	assert_int_equal(c->ops->write(f, 0, "x", 1, INLAY_WRITE_KILL_PRIV, &size), 1);
	assert_int_equal(sc_stat(c, "f").mode & 07777, 0755);
}

static void exec_opens_what_may_run(struct contract *c)
{
	struct inlay_store_file *f;

	OK(sc_mkdir(c, NULL, "d", 0777));
	sc_put(c, "d/f", "abc");
	OK(sc_chmod(c, NULL, "d/f", 0711));
	OK(sc_open(c, &sc_alice, "d/f", INLAY_O_EXEC, &f));
	expect(f, 0, "abc");
	IS(sc_open(c, &sc_alice, "d/f", INLAY_O_RDONLY, &f), ACCES);
	OK(sc_chmod(c, NULL, "d/f", 0644));
	IS(sc_open(c, &sc_alice, "d/f", INLAY_O_EXEC, &f), ACCES);
	OK(sc_open(c, &sc_alice, "d/f", INLAY_O_RDONLY, &f));
}

const struct contract_case contract_data_cases[] = {
	CONTRACT_CASE(written_bytes_come_back),
	CONTRACT_CASE(read_ends_at_the_end),
	CONTRACT_CASE(write_past_the_end_leaves_zeros),
	CONTRACT_CASE(write_far_away),
	CONTRACT_CASE(write_beyond_all_bounds_is_refused),
	CONTRACT_CASE(access_mode_binds),
	CONTRACT_CASE(open_refuses),
	CONTRACT_CASE(create_opens_what_exists),
	CONTRACT_CASE(open_truncates),
	CONTRACT_CASE(append_ignores_the_offset), CONTRACT_CASE(append_has_an_end),
	CONTRACT_CASE(write_tells_the_size),
	CONTRACT_CASE(empty_write_changes_nothing),
	CONTRACT_CASE(truncate_cuts_and_grows),
	CONTRACT_CASE(truncate_refuses),
	CONTRACT_USERS(truncate_through_a_writable_file),
	CONTRACT_CASE(seek_finds_data_and_holes),
	CONTRACT_CASE(seek_refuses),
	CONTRACT_CASE(punch_makes_a_hole),
	CONTRACT_CASE(fallocate_grows),
	CONTRACT_CASE(fallocate_zeros),
	CONTRACT_CASE(fallocate_refuses),
	CONTRACT_CASE(collapse_closes_up),
	CONTRACT_CASE(insert_opens_up),
	CONTRACT_CASE(copy_copies),
	CONTRACT_CASE(copy_refuses),
	CONTRACT_CASE(tmpfile_has_no_name),
	CONTRACT_CASE(tmpfile_refuses),
	CONTRACT_CASE(commit_takes_files_and_directories),
	CONTRACT_CASE(directory_handle_has_no_data),
	CONTRACT_CASE(file_outlives_its_node),
	CONTRACT_CASE(writes_move_the_times),
	CONTRACT_CASE(kill_priv_clears_set_id),
	CONTRACT_USERS(exec_opens_what_may_run),
	{0},
};

/*
 * Holes, allocation and copies within the file system.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

enum { BLOCK = 65536 };

/* Blocks of content (1) and holes (0), synced so that a store that delays its allocation has decided. */
static int make_sparse(const char *path, const char *layout)
{
	int fd = create(path, 0644);
	static uint8_t buf[BLOCK];
	for (off_t i = 0; layout[i]; i++) {
		fill(buf, BLOCK, (uint64_t)i * BLOCK);
		if (layout[i] == '1')
			EQ(OK(pwrite(fd, buf, BLOCK, i * BLOCK)), BLOCK);
	}
	OK(ftruncate(fd, (off_t)strlen(layout) * BLOCK));
	OK(fsync(fd));
	return fd;
}

/* '1': the block's content, '0': zeros. */
static void want_layout(int fd, const char *layout)
{
	static uint8_t buf[BLOCK];
	EQ(fstat_of(fd).st_size, (off_t)strlen(layout) * BLOCK);
	for (off_t i = 0; layout[i]; i++) {
		posix_note("block %d of %s", (int)i, layout);
		EQ(OK(pread(fd, buf, BLOCK, i * BLOCK)), BLOCK);
		if (layout[i] == '1')
			want_filled(buf, BLOCK, (uint64_t)i * BLOCK);
		else
			for (unsigned k = 0; k < BLOCK; k++)
				EQ(buf[k], 0);
	}
	posix_note("%s", "");
}

CASE(sparse_seek)
{
	int fd = make_sparse("f", "01001");
	EQ(OK(lseek(fd, 0, SEEK_DATA)), BLOCK);
	EQ(OK(lseek(fd, 0, SEEK_HOLE)), 0);
	EQ(OK(lseek(fd, BLOCK, SEEK_DATA)), BLOCK);
	EQ(OK(lseek(fd, BLOCK + 5, SEEK_DATA)), BLOCK + 5);
	EQ(OK(lseek(fd, BLOCK, SEEK_HOLE)), 2 * BLOCK);
	EQ(OK(lseek(fd, 2 * BLOCK, SEEK_DATA)), 4 * BLOCK);
	EQ(OK(lseek(fd, 4 * BLOCK, SEEK_HOLE)), 5 * BLOCK); /* the end counts as one */
	FAILS(lseek(fd, 5 * BLOCK, SEEK_DATA), ENXIO);
	FAILS(lseek(fd, 5 * BLOCK, SEEK_HOLE), ENXIO);
	FAILS(lseek(fd, -1, SEEK_DATA), ENXIO);
	TRUE(fstat_of(fd).st_blocks <= 3 * BLOCK / 512);
}

CASE(sparse_seek_all_hole)
{
	int fd = create("f", 0644);
	FAILS(lseek(fd, 0, SEEK_DATA), ENXIO);
	FAILS(lseek(fd, 0, SEEK_HOLE), ENXIO);
	OK(ftruncate(fd, (off_t)1 << 40));
	FAILS(lseek(fd, 0, SEEK_DATA), ENXIO);
	EQ(OK(lseek(fd, 1000, SEEK_HOLE)), 1000);
	EQ(fstat_of(fd).st_blocks, 0);
}

CASE(sparse_read_of_holes)
{
	want_layout(make_sparse("f", "0100010"), "0100010");
	want_layout(make_sparse("g", "0000000"), "0000000");
	want_layout(make_sparse("h", "1111111"), "1111111");
}

CASE(sparse_punch)
{
	int fd = make_sparse("f", "1111");
	blkcnt_t before = fstat_of(fd).st_blocks;
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, 2 * BLOCK));
	want_layout(fd, "1001");
	TRUE(fstat_of(fd).st_blocks < before);
	EQ(OK(lseek(fd, 0, SEEK_HOLE)), BLOCK);
	FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, BLOCK), EOPNOTSUPP);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 100)); /* within a block: zeros */
	uint8_t buf[200];
	EQ(OK(pread(fd, buf, sizeof buf, 0)), sizeof buf);
	want_filled(buf, 10, 0);
	for (unsigned i = 10; i < 110; i++)
		EQ(buf[i], 0);
	want_filled(buf + 110, 90, 110);
}

CASE(sparse_punch_is_seen_by_others)
{
	int fd = make_sparse("f", "11"), other = OK(open("f", O_RDONLY));
	uint8_t c;
	EQ(OK(pread(other, &c, 1, 0)), 1);
	want_filled(&c, 1, 0);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK));
	want_layout(other, "01");
}

CASE(sparse_zero_range)
{
	int fd = make_sparse("f", "1111");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, BLOCK, BLOCK));
	want_layout(fd, "1011");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 3 * BLOCK, 2 * BLOCK));
	want_layout(fd, "1010");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 4 * BLOCK, BLOCK));
	want_layout(fd, "10100");
}

CASE(sparse_collapse_and_insert)
{
	int fd = make_sparse("f", "1111");
	if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, BLOCK, BLOCK) < 0) {
		EQ(errno, EOPNOTSUPP);
		want_layout(fd, "1111");
		if (posix_on_fuse())
			posix_limit("the kernel's FUSE passes no collapse or insert on");
		posix_skip("the file system has none");
	}
	EQ(fstat_of(fd).st_size, 3 * BLOCK);
	uint8_t c;
	EQ(OK(pread(fd, &c, 1, BLOCK)), 1);
	want_filled(&c, 1, 2 * BLOCK);
	OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, BLOCK, BLOCK));
	EQ(OK(pread(fd, &c, 1, BLOCK)), 1);
	EQ(c, 0);
	EQ(fstat_of(fd).st_size, 4 * BLOCK);
}

CASE(sparse_allocate)
{
	int fd = create("f", 0644);
	OK(fallocate(fd, 0, 0, 100000));
	EQ(fstat_of(fd).st_size, 100000);
	TRUE(fstat_of(fd).st_blocks >= 100000 / 512);
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000000));
	EQ(fstat_of(fd).st_size, 100000);
	TRUE(fstat_of(fd).st_blocks >= 1000000 / 512);
	OK(fallocate(fd, 0, 50, 10)); /* nothing to do, content stays */
	EQ(OK(pwrite(fd, "x", 1, 60)), 1);
	OK(fallocate(fd, 0, 0, 100));
	char c;
	EQ(OK(pread(fd, &c, 1, 60)), 1);
	EQ(c, 'x');
	EQ(posix_fallocate(fd, 0, 200000), 0);
	EQ(fstat_of(fd).st_size, 200000);
}

CASE(sparse_allocate_wrong)
{
	int fd = create("f", 0644);
	FAILS(fallocate(fd, 0, -1, 10), EINVAL);
	FAILS(fallocate(fd, 0, 0, 0), EINVAL);
	FAILS(fallocate(fd, 0x4000, 0, 10), EOPNOTSUPP);
	FAILS(fallocate(fd, 0, INT64_MAX, 10), EFBIG);
	FAILS(fallocate(fd, 0, (off_t)1 << 60, 10), EFBIG);
	int dir = OK(open(".", O_RDONLY | O_DIRECTORY));
	FAILS_EITHER(fallocate(dir, 0, 0, 10), EBADF, EISDIR);
	EQ(fstat_of(fd).st_size, 0);
}

CASE(copy_range)
{
	int from = make_sparse("f", "1011"), to = create("g", 0644);
	off_t in = 0, out = 0, left = 4 * BLOCK;
	while (left > 0) {
		ssize_t n = OK(copy_file_range(from, &in, to, &out, (size_t)left, 0));
		TRUE(n > 0);
		left -= n;
	}
	want_layout(to, "1011");
	EQ(in, 4 * BLOCK);
	EQ(OK(copy_file_range(from, &in, to, &out, 100, 0)), 0); /* at the end */
}

CASE(copy_range_at_odd_places)
{
	int from = make_sparse("f", "11"), to = create("g", 0644);
	EQ(OK(write(to, "head", 4)), 4);
	off_t in = 1001, out = 4;
	EQ(OK(copy_file_range(from, &in, to, &out, 5000, 0)), 5000);
	EQ(fstat_of(to).st_size, 5004);
	uint8_t buf[5004];
	EQ(OK(pread(to, buf, sizeof buf, 0)), sizeof buf);
	TRUE(!memcmp(buf, "head", 4));
	want_filled(buf + 4, 5000, 1001);
	EQ(OK(lseek(from, 0, SEEK_CUR)), 0); /* offsets given are used, the files' own stay */
	OK(lseek(to, 5004, SEEK_SET));
	EQ(OK(copy_file_range(from, NULL, to, NULL, 10, 0)), 10);
	EQ(OK(lseek(from, 0, SEEK_CUR)), 10);
	EQ(OK(lseek(to, 0, SEEK_CUR)), 5014);
}

CASE(copy_range_within_file)
{
	int fd = make_sparse("f", "10");
	off_t in = 0, out = BLOCK;
	EQ(OK(copy_file_range(fd, &in, fd, &out, BLOCK, 0)), BLOCK);
	uint8_t buf[BLOCK];
	EQ(OK(pread(fd, buf, BLOCK, BLOCK)), BLOCK);
	want_filled(buf, BLOCK, 0);
	in = 0, out = 10;
	FAILS(copy_file_range(fd, &in, fd, &out, 100, 0), EINVAL); /* overlapping */
}

CASE(copy_range_wrong)
{
	int from = make_sparse("f", "1"), to = create("g", 0644), readonly = OK(open("g", O_RDONLY));
	int append = OK(open("g", O_WRONLY | O_APPEND)), dir = OK(open(".", O_RDONLY | O_DIRECTORY));
	FAILS(copy_file_range(from, NULL, readonly, NULL, 10, 0), EBADF);
	FAILS(copy_file_range(from, NULL, append, NULL, 10, 0), EBADF);
	FAILS(copy_file_range(from, NULL, to, NULL, 10, 77), EINVAL);
	FAILS(copy_file_range(dir, NULL, to, NULL, 10, 0), EISDIR);
	EQ(OK(copy_file_range(from, NULL, to, NULL, 0, 0)), 0);
}

CASE(copy_range_sees_fresh_writes)
{
	int from = create("f", 0644), to = create("g", 0644);
	for (char c = 'a'; c < 'k'; c++) {
		char buf[100], got[100];
		memset(buf, c, sizeof buf);
		EQ(OK(pwrite(from, buf, sizeof buf, 0)), sizeof buf);
		off_t in = 0, out = 0;
		EQ(OK(copy_file_range(from, &in, to, &out, sizeof buf, 0)), sizeof buf);
		EQ(OK(pread(to, got, sizeof got, 0)), sizeof got);
		TRUE(!memcmp(buf, got, sizeof buf));
	}
}

CASE(copy_clone)
{
	int from = make_sparse("f", "11"), to = create("g", 0644);
	if (ioctl(to, FICLONE, from) < 0) {
		TRUE(errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EXDEV);
		EQ(fstat_of(to).st_size, 0);
		if (posix_on_fuse())
			posix_limit("the kernel's FUSE passes no FICLONE on");
		posix_skip("the file system shares no blocks");
	}
	want_layout(to, "11");
}

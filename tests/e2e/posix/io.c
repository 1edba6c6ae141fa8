/*
 * Reading, writing, seeking and their edges; durability calls.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/vfs.h>

CASE(io_write_then_read)
{
	int fd = create("f", 0644);
	EQ(OK(write(fd, "hello", 5)), 5);
	EQ(fstat_of(fd).st_size, 5);
	EQ(stat_of("f").st_size, 5);
	EQ(OK(lseek(fd, 0, SEEK_CUR)), 5);
	char buf[16];
	EQ(OK(read(fd, buf, sizeof buf)), 0);
	EQ(OK(lseek(fd, 0, SEEK_SET)), 0);
	EQ(OK(read(fd, buf, sizeof buf)), 5);
	TRUE(!memcmp(buf, "hello", 5));
}

/* Sizes about every border that matters: page, FUSE's and the protocol's largest transfer. */
static const size_t sizes[] = {1, 511, 512, 513, 4095, 4096, 4097, 65535, 65536, 65537, 131071, 131072, 131073,
                               1048575, 1048576, 1048577, 2097152, 3145729, 8388608};
#define SIZES (sizeof sizes / sizeof *sizes)

CASES(io_sizes, SIZES)
{
	size_t size = sizes[index];
	uint8_t *buf = malloc(size + 1);
	TRUE(buf);
	fill(buf, size, 0);
	int fd = create("f", 0644);
	EQ(OK(write(fd, buf, size)), size);
	EQ(fstat_of(fd).st_size, size);
	memset(buf, 0, size);
	EQ(OK(pread(fd, buf, size + 1, 0)), size);
	want_filled(buf, size, 0);
	EQ(OK(pread(fd, buf, size, (off_t)size)), 0);
	EQ(OK(pread(fd, buf, size, (off_t)size - 1)), 1);
	want_filled(buf, 1, size - 1);
}

CASES(io_sizes_at_odd_offset, SIZES)
{
	size_t size = sizes[index];
	uint8_t *buf = malloc(size + 1);
	TRUE(buf);
	fill(buf, size, 4093);
	int fd = create("f", 0644);
	EQ(OK(pwrite(fd, buf, size, 4093)), size);
	EQ(fstat_of(fd).st_size, size + 4093);
	int again = OK(open("f", O_RDONLY));
	memset(buf, 0xff, size);
	EQ(OK(pread(again, buf, size, 4093)), size);
	want_filled(buf, size, 4093);
	EQ(OK(pread(again, buf, 1, 4092)), 1);
	EQ(buf[0], 0);
}

CASE(io_zero_length)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR));
	EQ(OK(write(fd, "", 0)), 0);
	EQ(OK(pwrite(fd, "", 0, 100)), 0);
	EQ(fstat_of(fd).st_size, 3);
	char c;
	EQ(OK(read(fd, &c, 0)), 0);
	EQ(OK(pread(fd, &c, 0, 100)), 0);
}

CASE(io_gap_reads_as_zeros)
{
	int fd = create("f", 0644);
	EQ(OK(pwrite(fd, "x", 1, 100000)), 1);
	uint8_t buf[4096];
	for (off_t off = 0; off < 100000 - 4096; off += 4096) {
		EQ(OK(pread(fd, buf, sizeof buf, off)), sizeof buf);
		for (unsigned i = 0; i < sizeof buf; i++)
			EQ(buf[i], 0);
	}
	EQ(OK(pread(fd, buf, sizeof buf, 99999)), 2);
	EQ(buf[0], 0);
	EQ(buf[1], 'x');
}

CASE(io_overwrite_middle)
{
	put("f", "0123456789");
	int fd = OK(open("f", O_WRONLY));
	EQ(OK(pwrite(fd, "abc", 3, 4)), 3);
	want("f", "0123abc789");
}

CASE(io_vectors)
{
	int fd = create("f", 0644);
	char a[] = "one", b[] = "", c[] = "three";
	struct iovec v[3] = {{a, 3}, {b, 0}, {c, 5}};
	EQ(OK(writev(fd, v, 3)), 8);
	want_fd(fd, "onethree");
	char x[2], y[100];
	struct iovec r[2] = {{x, 2}, {y, 100}};
	EQ(OK(preadv(fd, r, 2, 1)), 7);
	TRUE(!memcmp(x, "ne", 2) && !memcmp(y, "three", 5));
	EQ(OK(pwritev(fd, v, 3, 2)), 8);
	want_fd(fd, "ononethree");
	EQ(OK(lseek(fd, 0, SEEK_SET)), 0);
	EQ(OK(readv(fd, r, 2)), 10);
}

CASE(io_many_vectors)
{
	enum { COUNT = 1024, EACH = 100 };
	uint8_t *buf = malloc(COUNT * EACH);
	struct iovec v[COUNT];
	fill(buf, COUNT * EACH, 0);
	for (unsigned i = 0; i < COUNT; i++)
		v[i] = (struct iovec){buf + i * EACH, EACH};
	int fd = create("f", 0644);
	EQ(OK(writev(fd, v, COUNT)), COUNT * EACH);
	memset(buf, 0, COUNT * EACH);
	EQ(OK(preadv(fd, v, COUNT, 0)), COUNT * EACH);
	want_filled(buf, COUNT * EACH, 0);
}

CASE(io_vectors_wrong)
{
	int fd = create("f", 0644);
	char a[4] = "";
	struct iovec v = {a, 4};
	volatile int negative = -1;
	FAILS(writev(fd, &v, negative), EINVAL);
	FAILS(preadv(fd, &v, 1, -1), EINVAL);
}

CASE(io_bad_addresses)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR));
	void *volatile nowhere = (void *)8;
	FAILS(write(fd, nowhere, 4), EFAULT);
	FAILS(read(fd, nowhere, 4), EFAULT);
	want("f", "abc");
}

CASE(io_negative_offsets)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR));
	char c;
	FAILS(pread(fd, &c, 1, -1), EINVAL);
	FAILS(pwrite(fd, &c, 1, -1), EINVAL);
	FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
	FAILS(lseek(fd, -4, SEEK_END), EINVAL);
	FAILS(lseek(fd, 0, 77), EINVAL);
}

CASE(io_seek)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR));
	EQ(OK(lseek(fd, 0, SEEK_END)), 3);
	EQ(OK(lseek(fd, -1, SEEK_END)), 2);
	EQ(OK(lseek(fd, 5, SEEK_CUR)), 7);
	char c;
	EQ(OK(read(fd, &c, 1)), 0);
	EQ(OK(write(fd, "z", 1)), 1);
	EQ(fstat_of(fd).st_size, 8);
}

CASE(io_seek_end_sees_others_growth)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDONLY)), other = OK(open("f", O_WRONLY | O_APPEND));
	EQ(OK(lseek(fd, 0, SEEK_END)), 3);
	EQ(OK(write(other, "defg", 4)), 4);
	EQ(OK(lseek(fd, 0, SEEK_END)), 7);
}

CASE(io_large_offsets)
{
	int fd = create("f", 0644);
	off_t off = (off_t)3 << 40; /* beyond 32 bits, within ext4's 16 TiB */
	EQ(OK(pwrite(fd, "x", 1, off)), 1);
	EQ(fstat_of(fd).st_size, off + 1);
	char c;
	EQ(OK(pread(fd, &c, 1, off)), 1);
	EQ(c, 'x');
	EQ(OK(pread(fd, &c, 1, off - 1)), 1);
	EQ(c, 0);
	EQ(OK(lseek(fd, off, SEEK_SET)), off);
	EQ(OK(read(fd, &c, 1)), 1);
	TRUE(fstat_of(fd).st_blocks < 1000);
}

CASE(io_limit_of_offsets)
{
	int fd = create("f", 0644);
	FAILS_EITHER(pwrite(fd, "x", 1, INT64_MAX), EFBIG, EINVAL);
	FAILS_EITHER(pwrite(fd, "xy", 2, INT64_MAX - 1), EFBIG, EINVAL);
	FAILS(pwrite(fd, "x", 1, (off_t)1 << 62), EFBIG);
	FAILS(ftruncate(fd, INT64_MAX), EFBIG);
	FAILS(ftruncate(fd, -1), EINVAL);
	EQ(fstat_of(fd).st_size, 0);
	char c;
	EQ(OK(pread(fd, &c, 1, (off_t)1 << 62)), 0);
	FAILS(lseek(fd, INT64_MAX, SEEK_CUR) == INT64_MAX ? lseek(fd, 1, SEEK_CUR) : -1, errno);
}

CASE(io_file_size_limit)
{
	struct rlimit limit = {10000, RLIM_INFINITY};
	OK(setrlimit(RLIMIT_FSIZE, &limit));
	signal(SIGXFSZ, SIG_IGN);
	int fd = create("f", 0644);
	char buf[20000] = "";
	EQ(OK(write(fd, buf, sizeof buf)), 10000);
	FAILS(write(fd, buf, 1), EFBIG);
	FAILS(ftruncate(fd, 10001), EFBIG);
	FAILS(fallocate(fd, 0, 0, 10001), EFBIG);
	EQ(fstat_of(fd).st_size, 10000);
}

CASE(io_sync_calls)
{
	int fd = create("f", 0644);
	EQ(OK(write(fd, "abc", 3)), 3);
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(syncfs(fd));
	OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	int dir = OK(open(".", O_RDONLY | O_DIRECTORY));
	OK(fsync(dir));
	OK(fdatasync(dir));
	OK(syncfs(dir));
	int readonly = OK(open("f", O_RDONLY));
	OK(fsync(readonly));
	OK(unlink("f"));
	OK(fsync(fd));
	FAILS(fsync(999), EBADF);
}

CASE(io_fsync_of_special)
{
	OK(mkfifo("p", 0600));
	FAILS(fsync(OK(open("p", O_RDWR))), EINVAL);
}

CASE(io_rwf_flags)
{
	int fd = create("f", 0644);
	char data[] = "abc";
	struct iovec v = {data, 3};
	EQ(OK(pwritev2(fd, &v, 1, 0, RWF_DSYNC)), 3);
	EQ(OK(pwritev2(fd, &v, 1, 3, RWF_SYNC)), 3);
	EQ(OK(pwritev2(fd, &v, 1, 0, RWF_APPEND)), 3);
	EQ(OK(preadv2(fd, &v, 1, 0, RWF_HIPRI)), 3);
	FAILS(pwritev2(fd, &v, 1, 0, 0x40000000), EOPNOTSUPP);
	want_fd(fd, "abcabcabc");
}

CASE(io_sendfile_and_splice)
{
	put("f", "0123456789");
	int in = OK(open("f", O_RDONLY)), out = create("g", 0644);
	off_t off = 2;
	EQ(OK(sendfile(out, in, &off, 5)), 5);
	EQ(off, 7);
	int pipes[2];
	OK(pipe(pipes));
	EQ(OK(splice(in, NULL, pipes[1], NULL, 4, 0)), 4);
	EQ(OK(splice(pipes[0], NULL, out, NULL, 4, 0)), 4);
	want("g", "234560123");
}

CASE(io_ftruncate)
{
	put("f", "0123456789");
	int fd = OK(open("f", O_RDWR));
	OK(ftruncate(fd, 4));
	want_fd(fd, "0123");
	OK(ftruncate(fd, 8));
	EQ(fstat_of(fd).st_size, 8);
	char buf[16];
	EQ(OK(pread(fd, buf, 16, 0)), 8);
	TRUE(!memcmp(buf, "0123\0\0\0\0", 8)); /* what was cut off stays gone */
	OK(ftruncate(fd, 0));
	want_fd(fd, "");
	OK(ftruncate(fd, (off_t)1 << 40));
	EQ(stat_of("f").st_size, (off_t)1 << 40);
}

CASE(io_truncate_by_path)
{
	put("f", "0123456789");
	OK(truncate("f", 3));
	want("f", "012");
	FAILS(truncate("missing", 0), ENOENT);
	FAILS(truncate("f/x", 0), ENOTDIR);
	FAILS(truncate(".", 0), EISDIR);
	FAILS(truncate("f", -1), EINVAL);
	OK(symlink("f", "l"));
	OK(truncate("l", 1));
	want("f", "0");
	OK(mkfifo("p", 0600));
	FAILS(truncate("p", 0), EINVAL);
}

CASE(io_truncate_within_page_then_grow)
{
	int fd = create("f", 0644);
	uint8_t buf[8192];
	memset(buf, 0xaa, sizeof buf);
	EQ(OK(write(fd, buf, sizeof buf)), sizeof buf);
	OK(ftruncate(fd, 100));
	EQ(OK(pwrite(fd, "z", 1, 5000)), 1);
	EQ(OK(pread(fd, buf, sizeof buf, 0)), 5001);
	for (unsigned i = 0; i < 5001; i++)
		EQ(buf[i], i < 100 ? 0xaa : i == 5000 ? 'z' : 0);
}

CASE(io_truncate_seen_through_other_descriptor)
{
	put("f", "0123456789");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDONLY));
	char buf[16];
	EQ(OK(pread(b, buf, 16, 0)), 10);
	OK(ftruncate(a, 5));
	EQ(OK(pread(b, buf, 16, 0)), 5);
	EQ(OK(pread(b, buf, 16, 5)), 0);
	EQ(fstat_of(b).st_size, 5);
}

CASE(io_reads_of_unlinked)
{
	int fd = create("f", 0644);
	EQ(OK(write(fd, "abc", 3)), 3);
	OK(unlink("f"));
	EQ(fstat_of(fd).st_nlink, 0);
	want_fd(fd, "abc");
	EQ(OK(pwrite(fd, "xyz123", 6, 1)), 6);
	want_fd(fd, "axyz123");
	OK(ftruncate(fd, 2));
	want_fd(fd, "ax");
	OK(fchmod(fd, 0600));
	EQ(fstat_of(fd).st_mode & 07777, 0600);
	put("f", "another"); /* the name is free again */
	want_fd(fd, "ax");
	want("f", "another");
	OK(fsync(fd));
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	int again = OK(open(name, O_RDONLY));
	want_fd(again, "ax");
}

CASE(io_reads_of_renamed)
{
	int fd = create("f", 0644);
	EQ(OK(write(fd, "abc", 3)), 3);
	OK(mkdir("d", 0755));
	OK(rename("f", "d/g"));
	EQ(OK(write(fd, "def", 3)), 3);
	want_fd(fd, "abcdef");
	want("d/g", "abcdef");
	put("f", "new");
	want_fd(fd, "abcdef");
	OK(rename("d", "e"));
	EQ(OK(write(fd, "ghi", 3)), 3);
	want("e/g", "abcdefghi");
}

CASE(io_open_file_replaced_by_rename)
{
	put("old", "old");
	put("new", "new");
	int fd = OK(open("old", O_RDWR));
	OK(rename("new", "old"));
	EQ(fstat_of(fd).st_nlink, 0);
	want_fd(fd, "old");
	want("old", "new");
	EQ(OK(write(fd, "OLD", 3)), 3);
	want("old", "new");
}

CASE(io_blocks_count)
{
	int fd = create("f", 0644);
	char buf[65536];
	memset(buf, 1, sizeof buf);
	EQ(OK(write(fd, buf, sizeof buf)), sizeof buf);
	OK(fsync(fd));
	EQ(fstat_of(fd).st_blocks, 128);
	TRUE(fstat_of(fd).st_blksize >= 512);
}

CASE(io_readahead_and_advice)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDONLY));
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED), 0);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	OK(readahead(fd, 0, 4096));
	want_fd(fd, "abc");
}

CASE(io_statfs)
{
	struct statfs s;
	OK(statfs(".", &s));
	TRUE(s.f_bsize >= 512);
	TRUE(s.f_blocks > 0);
	TRUE(s.f_bfree <= s.f_blocks);
	TRUE(s.f_bavail <= s.f_bfree);
	TRUE(s.f_files > 0);
	TRUE(s.f_ffree <= s.f_files);
	EQ(s.f_namelen, 255);
	struct statfs f;
	int fd = create("f", 0644);
	OK(fstatfs(fd, &f));
	EQ(f.f_type, s.f_type);
	EQ(f.f_blocks, s.f_blocks);
	FAILS(statfs("missing", &s), ENOENT);
}

CASE(io_random_against_model)
{
	enum { SIZE = 300000, STEPS = 400 };
	static uint8_t model[SIZE], buf[SIZE];
	size_t len = 0;
	int fd = create("f", 0644), other = OK(open("f", O_RDWR));
	uint64_t x = 88172645463325252u;
	for (unsigned step = 0; step < STEPS; step++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		size_t off = (size_t)(x % (SIZE / 2)), n = (size_t)((x >> 20) % (SIZE / 4)) + 1;
		int at = x >> 63 ? fd : other;
		posix_note("step %u: offset %zu, %zu bytes", step, off, n);
		switch ((x >> 40) % 5) {
		case 0:
		case 1:
			fill(buf, n, x);
			memcpy(model + off, buf, n);
			EQ(OK(pwrite(at, buf, n, (off_t)off)), n);
			len = off + n > len ? off + n : len;
			break;
		case 2:
			OK(ftruncate(at, (off_t)off));
			if (off < len)
				memset(model + off, 0, len - off);
			len = off;
			break;
		default: {
			size_t there = off >= len ? 0 : len - off < n ? len - off : n;
			EQ(OK(pread(at, buf, n, (off_t)off)), there);
			TRUE(!memcmp(buf, model + off, there));
		}
		}
		EQ(fstat_of(at).st_size, len);
	}
}

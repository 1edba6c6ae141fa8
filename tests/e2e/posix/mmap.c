/*
 * Mapped files: shared and private, writing, msync, truncation beneath a mapping, other descriptors beside it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <setjmp.h>
#include <sys/mman.h>

static uint8_t *map(int fd, size_t len, int protection, int flags)
{
	uint8_t *p = mmap(NULL, len, protection, flags, fd, 0);
	if (p == MAP_FAILED)
		posix_fail(__FILE__, __LINE__, "mmap: %s", posix_errno_name(errno));
	return p;
}

static int filled_file(const char *path, size_t len)
{
	int fd = create(path, 0644);
	uint8_t *buf = malloc(len);
	TRUE(buf);
	fill(buf, len, 0);
	EQ(OK(write(fd, buf, len)), len);
	free(buf);
	return fd;
}

CASE(mmap_read)
{
	int fd = filled_file("f", 300000);
	uint8_t *p = map(fd, 300000, PROT_READ, MAP_SHARED), *q = map(fd, 300000, PROT_READ, MAP_PRIVATE);
	want_filled(p, 300000, 0);
	want_filled(q, 300000, 0);
	OK(close(fd)); /* the mapping stays */
	OK(unlink("f"));
	want_filled(p, 300000, 0);
}

CASE(mmap_shared_write)
{
	int fd = filled_file("f", 10000);
	uint8_t *p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_SHARED);
	memcpy(p + 5000, "mapped", 6);
	OK(msync(p, 10000, MS_SYNC));
	char buf[8] = "";
	EQ(OK(pread(fd, buf, 6, 5000)), 6);
	TRUE(!memcmp(buf, "mapped", 6));
	int other = OK(open("f", O_RDONLY));
	EQ(OK(pread(other, buf, 6, 5000)), 6);
	TRUE(!memcmp(buf, "mapped", 6));
	EQ(fstat_of(fd).st_size, 10000);
}

CASE(mmap_shared_write_survives_unmap)
{
	int fd = filled_file("f", 1 << 20);
	uint8_t *p = map(fd, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(p, 'z', 1 << 20);
	OK(munmap(p, 1 << 20));
	OK(close(fd));
	fd = OK(open("f", O_RDONLY));
	uint8_t buf[4096];
	for (off_t off = 0; off < 1 << 20; off += 4096) {
		EQ(OK(pread(fd, buf, sizeof buf, off)), sizeof buf);
		for (unsigned i = 0; i < sizeof buf; i++)
			EQ(buf[i], 'z');
	}
}

CASE(mmap_private_write_stays_private)
{
	int fd = filled_file("f", 10000);
	uint8_t *p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memset(p, 'x', 10000);
	uint8_t buf[10000];
	EQ(OK(pread(fd, buf, sizeof buf, 0)), sizeof buf);
	want_filled(buf, sizeof buf, 0);
}

CASE(mmap_private_write_of_readonly)
{
	OK(close(filled_file("f", 10000)));
	int fd = OK(open("f", O_RDONLY));
	uint8_t *p = map(fd, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	p[0] = 'x';
	EQ(p[0], 'x');
	TRUE(mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	int writer = OK(open("f", O_WRONLY));
	TRUE(mmap(NULL, 10000, PROT_READ, MAP_SHARED, writer, 0) == MAP_FAILED && errno == EACCES);
}

CASE(mmap_wrong)
{
	int fd = filled_file("f", 10000), dir = OK(open(".", O_RDONLY));
	TRUE(mmap(NULL, 10000, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED && errno == EINVAL);
	TRUE(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	TRUE(mmap(NULL, 4096, PROT_READ, MAP_SHARED, dir, 0) == MAP_FAILED && errno == ENODEV);
	TRUE(mmap(NULL, 4096, PROT_READ, MAP_SHARED, 999, 0) == MAP_FAILED && errno == EBADF);
}

CASE(mmap_sees_writes)
{
	int fd = filled_file("f", 10000), other = OK(open("f", O_RDWR));
	uint8_t *p = map(fd, 10000, PROT_READ, MAP_SHARED);
	want_filled(p, 10000, 0);
	EQ(OK(pwrite(other, "fresh", 5, 4094)), 5);
	TRUE(!memcmp(p + 4094, "fresh", 5));
	EQ(OK(pwrite(fd, "again", 5, 4094)), 5);
	TRUE(!memcmp(p + 4094, "again", 5));
}

CASE(mmap_writes_seen_by_read_at_once)
{
	int fd = filled_file("f", 8192), other = OK(open("f", O_RDONLY));
	uint8_t *p = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned i = 0; i < 50; i++) {
		p[4096] = (uint8_t)i;
		uint8_t c;
		EQ(OK(pread(fd, &c, 1, 4096)), 1);
		EQ(c, i);
		EQ(OK(pread(other, &c, 1, 4096)), 1);
		EQ(c, i);
	}
}

CASE(mmap_two_mappings)
{
	int fd = filled_file("f", 8192), other = OK(open("f", O_RDWR));
	uint8_t *p = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED), *q = map(other, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	p[10] = 'p';
	EQ(q[10], 'p');
	q[5000] = 'q';
	EQ(p[5000], 'q');
}

static int write_through_map(void *arg)
{
	int fd = OK(open("f", O_RDWR));
	uint8_t *p = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	p[*(unsigned *)arg] = 'c';
	return 0;
}

CASE(mmap_between_processes)
{
	int fd = filled_file("f", 8192);
	uint8_t *p = map(fd, 8192, PROT_READ, MAP_SHARED);
	unsigned at = 4500;
	EQ(in_child(write_through_map, &at), 0);
	EQ(p[4500], 'c');
}

CASE(mmap_end_of_file_within_page)
{
	int fd = filled_file("f", 5000);
	uint8_t *p = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned i = 5000; i < 8192; i++)
		EQ(p[i], 0);
	p[6000] = 'x'; /* beyond the end: goes nowhere */
	OK(msync(p, 8192, MS_SYNC));
	EQ(fstat_of(fd).st_size, 5000);
	OK(munmap(p, 8192));
	OK(ftruncate(fd, 8192));
	uint8_t c;
	EQ(OK(pread(fd, &c, 1, 6000)), 1);
	EQ(c, 0);
}

static sigjmp_buf jump;
static void on_bus(int number)
{
	siglongjmp(jump, number);
}

CASE(mmap_truncated_beneath)
{
	int fd = filled_file("f", 16384);
	uint8_t *p = map(fd, 16384, PROT_READ, MAP_SHARED);
	want_filled(p, 16384, 0);
	OK(ftruncate(fd, 4096));
	signal(SIGBUS, on_bus);
	if (sigsetjmp(jump, 1) == 0) {
		volatile uint8_t c = p[8192];
		posix_fail(__FILE__, __LINE__, "no SIGBUS beyond the end, but %u", c);
	}
	want_filled(p, 4096, 0);
	OK(ftruncate(fd, 16384));
	EQ(p[8192], 0);
	want_filled(p, 4096, 0);
}

CASE(mmap_truncated_beneath_while_writing)
{
	int fd = filled_file("f", 16384);
	uint8_t *p = map(fd, 16384, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(p, 'd', 16384); /* dirty */
	OK(ftruncate(fd, 6000));
	OK(msync(p, 4096, MS_SYNC));
	EQ(fstat_of(fd).st_size, 6000);
	OK(ftruncate(fd, 16384));
	EQ(p[5999], 'd');
	EQ(p[6000], 0);
	EQ(p[9000], 0);
}

CASE(mmap_grown)
{
	int fd = create("f", 0644);
	OK(ftruncate(fd, 4096));
	uint8_t *p = map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(p, 'a', 4096);
	OK(ftruncate(fd, 1 << 20));
	p = mremap(p, 4096, 1 << 20, MREMAP_MAYMOVE);
	TRUE(p != MAP_FAILED);
	p[(1 << 20) - 1] = 'z';
	EQ(p[0], 'a');
	OK(msync(p, 1 << 20, MS_SYNC));
	uint8_t c;
	EQ(OK(pread(fd, &c, 1, (1 << 20) - 1)), 1);
	EQ(c, 'z');
}

CASE(mmap_changes_mtime)
{
	int fd = filled_file("f", 4096);
	struct stat before = fstat_of(fd);
	usleep(50000);
	uint8_t *p = map(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	p[0] ^= 1;
	OK(msync(p, 4096, MS_SYNC));
	OK(munmap(p, 4096));
	TRUE(time_diff_ns(fstat_of(fd).st_mtim, before.st_mtim) > 0);
}

CASE(mmap_of_direct_file)
{
	OK(close(filled_file("f", 8192)));
	int fd = OK(open("f", O_RDWR | O_DIRECT));
	uint8_t *p = map(fd, 8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	want_filled(p, 8192, 0);
	p[0] = 'x';
	OK(msync(p, 8192, MS_SYNC));
	int other = OK(open("f", O_RDONLY));
	uint8_t c;
	EQ(OK(pread(other, &c, 1, 0)), 1);
	EQ(c, 'x');
}

CASE(mmap_write_from_own_mapping)
{
	int fd = filled_file("f", 1 << 20);
	uint8_t *p = map(fd, 1 << 20, PROT_READ, MAP_SHARED);
	int out = create("g", 0644);
	EQ(OK(write(out, p, 1 << 20)), 1 << 20); /* the source is a page of the same file system */
	EQ(OK(pwrite(fd, p + 4096, 4096, 0)), 4096);
	want_filled(p, 4096, 4096);
	uint8_t *q = map(out, 1 << 20, PROT_READ, MAP_SHARED);
	want_filled(q, 1 << 20, 0);
}

CASE(mmap_executable)
{
	int fd = filled_file("f", 4096);
	OK(fchmod(fd, 0755));
	uint8_t *p = map(fd, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE);
	want_filled(p, 4096, 0);
}

CASE(mmap_advice)
{
	int fd = filled_file("f", 1 << 20);
	uint8_t *p = map(fd, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED);
	OK(madvise(p, 1 << 20, MADV_WILLNEED));
	memset(p, 'k', 4096);
	OK(madvise(p, 1 << 20, MADV_DONTNEED));
	EQ(p[0], 'k');
	OK(msync(p, 1 << 20, MS_ASYNC));
	OK(msync(p, 1 << 20, MS_SYNC | MS_INVALIDATE));
	EQ(p[0], 'k');
	want_filled(p + 4096, 4096, 4096);
}

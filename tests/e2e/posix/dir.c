/*
 * Listing directories; times.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { MANY = 3000 };

static void number(char name[16], unsigned i)
{
	snprintf(name, 16, "file%05u", i);
}

static void make_many(const char *dir, unsigned count)
{
	char name[16];
	OK(mkdir(dir, 0755));
	int fd = OK(open(dir, O_RDONLY | O_DIRECTORY));
	for (unsigned i = 0; i < count; i++) {
		number(name, i);
		OK(close(OK(openat(fd, name, O_WRONLY | O_CREAT | O_EXCL, 0644))));
	}
	OK(close(fd));
}

/* Counts the entries, each of which has to come once; *ret_dots: "." and "..". */
static unsigned count_entries(DIR *d, unsigned *ret_dots)
{
	static uint8_t seen[MANY * 2];
	memset(seen, 0, sizeof seen);
	unsigned count = 0, dots = 0;
	const struct dirent *e;
	while (errno = 0, (e = readdir(d))) {
		unsigned n;
		if (e->d_name[0] == '.') {
			dots++;
			continue;
		}
		EQ(sscanf(e->d_name, "file%5u", &n), 1);
		posix_note("%s", e->d_name);
		EQ(seen[n]++, 0);
		count++;
	}
	EQ(errno, 0);
	*ret_dots = dots;
	return count;
}

CASE(dir_empty)
{
	OK(mkdir("d", 0755));
	DIR *d = opendir("d");
	TRUE(d);
	unsigned dots;
	EQ(count_entries(d, &dots), 0);
	EQ(dots, 2);
}

CASE(dir_lists_each_once)
{
	make_many("d", MANY);
	DIR *d = opendir("d");
	TRUE(d);
	unsigned dots;
	EQ(count_entries(d, &dots), MANY);
	EQ(dots, 2);
	rewinddir(d);
	EQ(count_entries(d, &dots), MANY);
}

CASE(dir_types_and_inodes)
{
	put("f", "");
	OK(mkdir("d", 0755));
	OK(symlink("x", "l"));
	OK(mkfifo("p", 0644));
	OK(mknod("s", S_IFSOCK | 0644, 0));
	DIR *d = opendir(".");
	TRUE(d);
	unsigned count = 0;
	const struct dirent *e;
	while ((e = readdir(d))) {
		posix_note("%s", e->d_name);
		if (!strcmp(e->d_name, ".."))
			continue;
		count++;
		struct stat s = stat_of(e->d_name);
		EQ(e->d_ino, s.st_ino);
		EQ(e->d_type, IFTODT(s.st_mode));
	}
	EQ(count, 6);
}

CASE(dir_seek_and_tell)
{
	make_many("d", 500);
	DIR *d = opendir("d");
	TRUE(d);
	long where[502];
	char names[502][16];
	unsigned count = 0;
	for (;;) {
		long at = telldir(d);
		const struct dirent *e = readdir(d);
		if (!e)
			break;
		TRUE(count < 502);
		where[count] = at;
		snprintf(names[count++], 16, "%.15s", e->d_name);
	}
	EQ(count, 502);
	for (unsigned i = count; i-- > 0;) {
		seekdir(d, where[i]);
		const struct dirent *e = readdir(d);
		TRUE(e);
		posix_note("entry %u: %s, not %s", i, e->d_name, names[i]);
		TRUE(!strcmp(e->d_name, names[i]));
	}
}

CASE(dir_small_buffers)
{
	make_many("d", 300);
	int fd = OK(open("d", O_RDONLY | O_DIRECTORY));
	char buf[64];
	unsigned count = 0;
	long n;
	while ((n = OK(syscall(SYS_getdents64, fd, buf, sizeof buf))) > 0)
		for (long i = 0; i < n; count++) {
			unsigned short len;
			memcpy(&len, buf + i + 16, sizeof len);
			i += len;
		}
	EQ(count, 302);
	OK(lseek(fd, 0, SEEK_SET));
	FAILS(syscall(SYS_getdents64, fd, buf, 4), EINVAL);
}

CASE(dir_changes_while_listed)
{
	/* What is there all the time is listed exactly once, whatever comes and goes meanwhile. */
	make_many("d", MANY);
	DIR *d = opendir("d");
	TRUE(d);
	static uint8_t seen[MANY];
	char name[32];
	unsigned step = 0;
	const struct dirent *e;
	while ((e = readdir(d))) {
		unsigned n;
		if (sscanf(e->d_name, "file%5u", &n) == 1 && n < MANY)
			EQ(seen[n]++, 0);
		if (step++ % 10)
			continue;
		snprintf(name, sizeof name, "d/new%u", step);
		put(name, "");
		if (step % 20 == 1) {
			snprintf(name, sizeof name, "d/new%u", step - 10);
			if (step > 20)
				unlink(name);
		}
	}
	for (unsigned i = 0; i < MANY; i++) {
		posix_note("file%05u", i);
		EQ(seen[i], 1);
	}
}

CASE(dir_removed_while_listed)
{
	make_many("d", 1000);
	DIR *d = opendir("d");
	TRUE(d);
	unsigned count = 0;
	const struct dirent *e;
	char name[300];
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof name, "d/%s", e->d_name);
		OK(unlink(name)); /* as rm -r does */
		count++;
	}
	EQ(count, 1000);
	OK(rmdir("d"));
}

CASE(dir_new_entries_after_rewind)
{
	OK(mkdir("d", 0755));
	DIR *d = opendir("d");
	TRUE(d);
	unsigned dots;
	EQ(count_entries(d, &dots), 0);
	put("d/file00001", "");
	rewinddir(d);
	EQ(count_entries(d, &dots), 1);
	OK(unlink("d/file00001"));
	rewinddir(d);
	EQ(count_entries(d, &dots), 0);
}

CASE(dir_long_names)
{
	char name[256];
	memset(name, 'n', 255);
	name[255] = '\0';
	OK(mkdir("d", 0755));
	int fd = OK(open("d", O_RDONLY | O_DIRECTORY));
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, 4, "%03u", i);
		name[3] = 'n';
		OK(close(OK(openat(fd, name, O_WRONLY | O_CREAT, 0644))));
	}
	DIR *d = opendir("d");
	TRUE(d);
	unsigned count = 0;
	const struct dirent *e;
	while ((e = readdir(d)))
		count += strlen(e->d_name) == 255;
	EQ(count, 500);
}

CASE(dir_link_counts)
{
	char name[16];
	for (unsigned i = 0; i < 50; i++) {
		number(name, i);
		OK(mkdir(name, 0755));
	}
	EQ(stat_of(".").st_nlink, 52);
	for (unsigned i = 0; i < 50; i += 2) {
		number(name, i);
		OK(rmdir(name));
	}
	EQ(stat_of(".").st_nlink, 27);
}

CASE(dir_parent_entry)
{
	OK(mkdir("d", 0755));
	struct stat here = stat_of("."), parent;
	OK(stat("d/..", &parent));
	EQ(parent.st_ino, here.st_ino);
	OK(mkdir("e", 0755));
	OK(rename("d", "e/d"));
	OK(stat("e/d/..", &parent));
	EQ(parent.st_ino, stat_of("e").st_ino);
}

/* ---- times ---- */

CASES(time_set, 8)
{
	static const struct timespec values[] = {{0, 0},          {1, 1},          {1000000000, 999999999}, {2147483647, 5},
	                                         {2147483648, 6}, {4294967296, 7}, {-1, 0},                 {-2147483647, 123456789}};
	put("f", "");
	struct timespec t[2] = {values[index], {values[index].tv_sec + 1, values[index].tv_nsec}};
	OK(utimensat(AT_FDCWD, "f", t, 0));
	struct stat s = stat_of("f");
	EQ(s.st_atim.tv_sec, t[0].tv_sec);
	EQ(s.st_atim.tv_nsec, t[0].tv_nsec);
	EQ(s.st_mtim.tv_sec, t[1].tv_sec);
	EQ(s.st_mtim.tv_nsec, t[1].tv_nsec);
	int fd = OK(open("f", O_RDONLY));
	t[0].tv_nsec = 42;
	OK(futimens(fd, t));
	EQ(fstat_of(fd).st_atim.tv_nsec, 42);
}

CASE(time_omit_and_now)
{
	put("f", "");
	struct timespec t[2] = {{1000, 1}, {2000, 2}};
	OK(utimensat(AT_FDCWD, "f", t, 0));
	t[0].tv_nsec = UTIME_OMIT;
	t[1] = (struct timespec){3000, 3};
	OK(utimensat(AT_FDCWD, "f", t, 0));
	EQ(stat_of("f").st_atim.tv_sec, 1000);
	EQ(stat_of("f").st_mtim.tv_sec, 3000);
	t[0] = (struct timespec){0, UTIME_NOW};
	t[1].tv_nsec = UTIME_OMIT;
	struct timespec before = clock_now();
	OK(utimensat(AT_FDCWD, "f", t, 0));
	EQ(stat_of("f").st_mtim.tv_sec, 3000);
	TRUE(time_diff_ns(stat_of("f").st_atim, before) > -1000000000);
	t[0].tv_nsec = t[1].tv_nsec = UTIME_OMIT;
	struct stat was = stat_of("f");
	OK(utimensat(AT_FDCWD, "f", t, 0));
	EQ(time_diff_ns(stat_of("f").st_ctim, was.st_ctim), 0);
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	TRUE(time_diff_ns(stat_of("f").st_mtim, before) > -1000000000);
	t[0].tv_nsec = 1000000000;
	FAILS(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
	FAILS(utimensat(AT_FDCWD, "missing", NULL, 0), ENOENT);
}

CASE(time_of_writes)
{
	int fd = create("f", 0644);
	struct timespec t[2] = {{1000, 1}, {1000, 1}};
	OK(futimens(fd, t));
	struct timespec now = clock_now();
	EQ(OK(write(fd, "x", 1)), 1);
	TRUE(time_diff_ns(fstat_of(fd).st_mtim, now) > -1000000000);
	TRUE(time_diff_ns(fstat_of(fd).st_ctim, now) > -1000000000);
	EQ(fstat_of(fd).st_atim.tv_sec, 1000);
	OK(futimens(fd, t));
	EQ(fstat_of(fd).st_mtim.tv_sec, 1000); /* set after a write: stays so */
	OK(close(fd));
	EQ(stat_of("f").st_mtim.tv_sec, 1000);
	OK(truncate("f", 1)); /* the same size: time changes nevertheless */
	TRUE(stat_of("f").st_mtim.tv_sec != 1000);
}

CASE(time_set_after_buffered_write)
{
	/* What tar does: write, set times, close. */
	int fd = create("f", 0644);
	char buf[100000] = "";
	EQ(OK(write(fd, buf, sizeof buf)), sizeof buf);
	struct timespec t[2] = {{5000, 5}, {6000, 6}};
	OK(futimens(fd, t));
	OK(close(fd));
	EQ(stat_of("f").st_mtim.tv_sec, 6000);
	EQ(stat_of("f").st_mtim.tv_nsec, 6);
	usleep(100000);
	EQ(stat_of("f").st_mtim.tv_sec, 6000);
}

CASE(time_of_reads)
{
	put("f", "abc");
	struct timespec t[2] = {{1000, 1}, {2000, 2}};
	OK(utimensat(AT_FDCWD, "f", t, 0));
	want("f", "abc");
	EQ(stat_of("f").st_mtim.tv_sec, 2000); /* atime may follow or not (relatime), mtime may not */
}

CASE(time_of_empty_write)
{
	int fd = create("f", 0644);
	struct timespec t[2] = {{1000, 1}, {1000, 1}};
	OK(futimens(fd, t));
	EQ(OK(write(fd, "", 0)), 0);
	EQ(fstat_of(fd).st_mtim.tv_sec, 1000);
}

CASE(time_of_birth)
{
	put("f", "");
	struct statx x, y;
	OK(statx(AT_FDCWD, "f", 0, STATX_ALL, &x));
	if (!(x.stx_mask & STATX_BTIME) && posix_on_fuse())
		posix_limit("this kernel's FUSE tells no time of birth");
	if (!(x.stx_mask & STATX_BTIME))
		posix_skip("the file system has no time of birth");
	usleep(20000);
	put("f", "changed");
	OK(statx(AT_FDCWD, "f", 0, STATX_ALL, &y));
	EQ(x.stx_btime.tv_sec, y.stx_btime.tv_sec);
	EQ(x.stx_btime.tv_nsec, y.stx_btime.tv_nsec);
}

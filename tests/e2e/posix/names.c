/*
 * Names: links, special files, directories, removal, long and strange names, deep paths.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <limits.h>
#include <sys/sysmacros.h>

static void long_name(char *name, size_t len)
{
	memset(name, 'n', len);
	name[len] = '\0';
}

CASE(link_counts)
{
	put("f", "abc");
	OK(link("f", "g"));
	EQ(stat_of("f").st_nlink, 2);
	EQ(stat_of("g").st_ino, stat_of("f").st_ino);
	OK(mkdir("d", 0755));
	OK(link("f", "d/h"));
	EQ(stat_of("g").st_nlink, 3);
	OK(unlink("f"));
	EQ(stat_of("g").st_nlink, 2);
	want("d/h", "abc");
	put("g", "xyz");
	want("d/h", "xyz");
	OK(unlink("g"));
	EQ(stat_of("d/h").st_nlink, 1);
}

CASE(link_count_seen_through_descriptor)
{
	int fd = create("f", 0644);
	OK(link("f", "g"));
	EQ(fstat_of(fd).st_nlink, 2);
	OK(unlink("f"));
	OK(unlink("g"));
	EQ(fstat_of(fd).st_nlink, 0);
}

CASE(link_changes_ctime_alone)
{
	put("f", "abc");
	struct stat before = stat_of("f");
	usleep(20000);
	OK(link("f", "g"));
	TRUE(time_diff_ns(stat_of("f").st_ctim, before.st_ctim) > 0);
	EQ(time_diff_ns(stat_of("f").st_mtim, before.st_mtim), 0);
}

CASE(link_wrong)
{
	put("f", "");
	OK(mkdir("d", 0755));
	FAILS(link("missing", "x"), ENOENT);
	FAILS(link("f", "f"), EEXIST);
	FAILS(link("f", "d"), EEXIST);
	FAILS(link("d", "x"), EPERM);
	FAILS(link("f", "missing/x"), ENOENT);
	FAILS(link("f", "f/x"), ENOTDIR);
	FAILS(link("f/x", "y"), ENOTDIR);
	FAILS(link("f", "/dev/inlay-no-such"), EXDEV);
	FAILS(link("f", "x/"), ENOENT);
}

CASE(link_of_symlink)
{
	put("f", "abc");
	OK(symlink("f", "l"));
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "hard", 0));
	TRUE(S_ISLNK(stat_of("hard").st_mode));
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	EQ(stat_of("followed").st_ino, stat_of("f").st_ino);
}

CASE(link_of_unlinked)
{
	int fd = create("f", 0644);
	OK(unlink("f"));
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	FAILS(linkat(AT_FDCWD, name, AT_FDCWD, "g", AT_SYMLINK_FOLLOW), ENOENT);
}

CASE(symlink_basics)
{
	OK(symlink("target", "l"));
	struct stat s = stat_of("l");
	TRUE(S_ISLNK(s.st_mode));
	EQ(s.st_size, 6);
	EQ(s.st_nlink, 1);
	EQ(s.st_mode & 0777, 0777);
	char buf[16] = "";
	EQ(OK(readlink("l", buf, sizeof buf)), 6);
	TRUE(!memcmp(buf, "target", 7));
	EQ(OK(readlink("l", buf, 3)), 3);
	FAILS(open("l", O_RDONLY), ENOENT);
	struct stat t;
	FAILS(stat("l", &t), ENOENT);
	FAILS(symlink("other", "l"), EEXIST);
	FAILS(symlink("", "m"), ENOENT);
	FAILS(symlink("t", ""), ENOENT);
	FAILS(readlink("missing", buf, 1), ENOENT);
	put("f", "");
	FAILS(readlink("f", buf, 1), EINVAL);
	FAILS(readlink("f/x", buf, 1), ENOTDIR);
	FAILS(symlink("t", "f/x"), ENOTDIR);
}

CASES(symlink_lengths, 5)
{
	static const size_t lengths[] = {1, 59, 60, 255, 4095};
	char target[PATH_MAX], buf[PATH_MAX + 1];
	long_name(target, lengths[index]);
	OK(symlink(target, "l"));
	EQ(OK(readlink("l", buf, sizeof buf)), lengths[index]);
	TRUE(!memcmp(buf, target, lengths[index]));
	EQ(stat_of("l").st_size, lengths[index]);
}

CASE(symlink_too_long)
{
	char target[PATH_MAX + 2];
	long_name(target, PATH_MAX);
	FAILS(symlink(target, "l"), ENAMETOOLONG);
	TRUE(!exists("l"));
}

CASE(symlink_followed)
{
	OK(mkdir("d", 0755));
	put("d/f", "abc");
	OK(symlink("d", "l"));
	want("l/f", "abc");
	put("l/g", "xyz");
	want("d/g", "xyz");
	OK(symlink("../d/f", "d/up"));
	want("d/up", "abc");
	char here[PATH_MAX], absolute[PATH_MAX + 8];
	TRUE(getcwd(here, sizeof here));
	snprintf(absolute, sizeof absolute, "%s/d/f", here);
	OK(symlink(absolute, "a"));
	want("a", "abc");
	OK(symlink("l/", "s"));
	want("s/f", "abc");
}

CASE(symlink_loops)
{
	OK(symlink("b", "a"));
	OK(symlink("a", "b"));
	OK(symlink("self", "self"));
	struct stat s;
	FAILS(open("a", O_RDONLY), ELOOP);
	FAILS(stat("a", &s), ELOOP);
	FAILS(open("self/x", O_RDONLY), ELOOP);
	FAILS(truncate("self", 0), ELOOP);
	FAILS(chmod("self", 0), ELOOP);
	FAILS(mkdir("self/x", 0755), ELOOP);
	FAILS(rename("self/x", "y"), ELOOP);
	FAILS(link("self/x", "y"), ELOOP);
	OK(lstat("a", &s));
}

CASE(symlink_chain)
{
	put("l0", "end");
	char from[16], to[16];
	for (int i = 1; i <= 41; i++) {
		snprintf(to, sizeof to, "l%d", i - 1);
		snprintf(from, sizeof from, "l%d", i);
		OK(symlink(to, from));
	}
	want("l40", "end");
	FAILS(open("l41", O_RDONLY), ELOOP);
}

CASE(symlink_dotdot_out_and_back)
{
	char here[PATH_MAX], *base;
	TRUE(getcwd(here, sizeof here));
	base = strrchr(here, '/') + 1;
	char target[PATH_MAX];
	snprintf(target, sizeof target, "../%s/f", base);
	put("f", "abc");
	OK(symlink(target, "l"));
	want("l", "abc");
}

CASE(symlink_owner_and_times)
{
	OK(symlink("nowhere", "l"));
	struct timespec t[2] = {{1000, 1}, {2000, 2}};
	OK(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	EQ(stat_of("l").st_mtim.tv_sec, 2000);
	EQ(stat_of("l").st_mtim.tv_nsec, 2);
	OK(fchownat(AT_FDCWD, "l", geteuid(), getegid(), AT_SYMLINK_NOFOLLOW));
	FAILS(fchownat(AT_FDCWD, "l", geteuid(), getegid(), 0), ENOENT);
}

CASE(mkdir_basics)
{
	OK(mkdir("d", 0750));
	struct stat s = stat_of("d");
	EQ(s.st_mode, S_IFDIR | 0750);
	EQ(s.st_nlink, 2);
	EQ(s.st_uid, geteuid());
	EQ(s.st_gid, getegid());
	EQ(stat_of(".").st_nlink, 3);
	OK(mkdir("d/e", 0755));
	EQ(stat_of("d").st_nlink, 3);
	EQ(stat_of("d/e/..").st_ino, stat_of("d").st_ino);
	OK(rmdir("d/e"));
	EQ(stat_of("d").st_nlink, 2);
	OK(mkdir("slash/", 0755));
}

CASE(mkdir_wrong)
{
	put("f", "");
	OK(symlink("missing", "l"));
	FAILS(mkdir("f", 0755), EEXIST);
	FAILS(mkdir("l", 0755), EEXIST);
	FAILS(mkdir(".", 0755), EEXIST);
	FAILS(mkdir("..", 0755), EEXIST);
	FAILS(mkdir("f/d", 0755), ENOTDIR);
	FAILS(mkdir("missing/d", 0755), ENOENT);
	FAILS(mkdir("", 0755), ENOENT);
}

CASE(mkdir_changes_parent_times)
{
	OK(mkdir("p", 0755));
	struct stat before = stat_of("p");
	usleep(20000);
	OK(mkdir("p/d", 0755));
	TRUE(time_diff_ns(stat_of("p").st_mtim, before.st_mtim) > 0);
	TRUE(time_diff_ns(stat_of("p").st_ctim, before.st_ctim) > 0);
	before = stat_of("p");
	usleep(20000);
	OK(rmdir("p/d"));
	TRUE(time_diff_ns(stat_of("p").st_mtim, before.st_mtim) > 0);
}

CASE(rmdir_wrong)
{
	OK(mkdir("d", 0755));
	put("d/f", "");
	put("f", "");
	OK(symlink("d", "l"));
	FAILS(rmdir("d"), ENOTEMPTY);
	FAILS(rmdir("f"), ENOTDIR);
	FAILS(rmdir("l"), ENOTDIR);
	FAILS(rmdir("l/"), ENOTDIR);
	FAILS(rmdir("missing"), ENOENT);
	FAILS(rmdir("."), EINVAL);
	FAILS(rmdir("d/."), EINVAL);
	FAILS(rmdir("d/.."), ENOTEMPTY);
	FAILS(rmdir(""), ENOENT);
	FAILS(rmdir("f/x"), ENOTDIR);
	OK(unlink("d/f"));
	OK(rmdir("d/"));
	TRUE(!exists("d"));
}

CASE(rmdir_of_cwd)
{
	OK(mkdir("d", 0755));
	OK(chdir("d"));
	OK(rmdir("../d"));
	struct stat s;
	OK(stat(".", &s));
	EQ(s.st_nlink, 0);
	FAILS(open("f", O_RDWR | O_CREAT, 0644), ENOENT);
	FAILS(mkdir("x", 0755), ENOENT);
	FAILS(stat("f", &s), ENOENT);
	char buf[PATH_MAX];
	TRUE(!getcwd(buf, sizeof buf) && errno == ENOENT);
	OK(chdir(".."));
	TRUE(!exists("d"));
}

CASE(rmdir_of_open_directory)
{
	OK(mkdir("d", 0755));
	int fd = OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(rmdir("d"));
	EQ(fstat_of(fd).st_nlink, 0);
	FAILS(openat(fd, "f", O_RDWR | O_CREAT, 0644), ENOENT);
	OK(mkdir("d", 0700)); /* the name is free */
	TRUE(fstat_of(fd).st_ino != stat_of("d").st_ino || fstat_of(fd).st_nlink == 0);
}

CASE(unlink_wrong)
{
	OK(mkdir("d", 0755));
	put("f", "");
	FAILS_EITHER(unlink("d"), EISDIR, EPERM);
	FAILS(unlink("missing"), ENOENT);
	FAILS(unlink("f/x"), ENOTDIR);
	FAILS(unlink("f/"), ENOTDIR);
	FAILS(unlink(""), ENOENT);
	FAILS_EITHER(unlink("."), EISDIR, EPERM);
	FAILS(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	FAILS(unlinkat(AT_FDCWD, "f", 0x4000), EINVAL);
	OK(unlink("f"));
}

CASE(unlink_updates_parent)
{
	OK(mkdir("d", 0755));
	put("d/f", "");
	struct stat before = stat_of("d");
	usleep(20000);
	OK(unlink("d/f"));
	TRUE(time_diff_ns(stat_of("d").st_mtim, before.st_mtim) > 0);
	TRUE(time_diff_ns(stat_of("d").st_ctim, before.st_ctim) > 0);
}

CASE(unlink_then_same_name_is_a_new_file)
{
	for (unsigned i = 0; i < 20; i++) {
		int fd = create("f", 0644);
		EQ(fstat_of(fd).st_size, 0);
		EQ(stat_of("f").st_ino, fstat_of(fd).st_ino);
		EQ(OK(write(fd, "x", 1)), 1);
		OK(unlink("f"));
		TRUE(!exists("f"));
	}
}

CASES(names_of_every_byte, 8)
{
	/* Every byte but '/' and NUL, alone and within a name; thirty-two a case. */
	for (unsigned i = index * 32; i < index * 32 + 32; i++) {
		char name[4] = {(char)i, 0}, within[8] = {'a', (char)i, 'z', 0};
		if (i == 0 || i == '/')
			continue;
		posix_note("byte %u", i);
		if (i != '.') {
			put(name, within);
			want(name, within);
		}
		put(within, name);
		want(within, name);
		EQ(stat_of(within).st_nlink, 1);
		OK(unlink(within));
	}
}

CASES(names_that_look_special, 10)
{
	static const char *const names[] = {"...", ".hidden", " ", "a b", "-rf", "~", "a\nb", "\xff\xfe", "\xc3\x28", "*?[a]"};
	put(names[index], "x");
	want(names[index], "x");
	OK(rename(names[index], "plain"));
	OK(mkdir(names[index], 0755));
	OK(rename("plain", "plainer"));
	OK(rmdir(names[index]));
}

CASE(names_that_differ_by_case_or_form)
{
	static const char *const names[] = {"readme", "README", "Readme", "\xc3\xa9", "e\xcc\x81"};
	for (unsigned i = 0; i < 5; i++)
		put(names[i], names[i]);
	for (unsigned i = 0; i < 5; i++)
		want(names[i], names[i]);
}

CASE(names_of_255_and_256)
{
	char name[260], other[260];
	long_name(name, 255);
	put(name, "x");
	want(name, "x");
	memcpy(other, name, 256);
	other[254] = 'm';
	OK(rename(name, other));
	OK(link(other, name));
	OK(unlink(other));
	OK(symlink(name, other));
	OK(unlink(other));
	OK(mkdir(other, 0755));
	OK(rmdir(other));
	OK(mkfifo(other, 0644));
	OK(unlink(other));

	char too_long[260];
	long_name(too_long, 256);
	struct stat s;
	FAILS(open(too_long, O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
	FAILS(open(too_long, O_RDONLY), ENAMETOOLONG);
	FAILS(stat(too_long, &s), ENAMETOOLONG);
	FAILS(mkdir(too_long, 0755), ENAMETOOLONG);
	FAILS(rmdir(too_long), ENAMETOOLONG);
	FAILS(unlink(too_long), ENAMETOOLONG);
	FAILS(link(name, too_long), ENAMETOOLONG);
	FAILS(symlink("x", too_long), ENAMETOOLONG);
	FAILS(rename(name, too_long), ENAMETOOLONG);
	FAILS(rename(too_long, "x"), ENAMETOOLONG);
	FAILS(mkfifo(too_long, 0644), ENAMETOOLONG);
	FAILS(truncate(too_long, 0), ENAMETOOLONG);
	FAILS(chmod(too_long, 0), ENAMETOOLONG);
}

CASE(names_of_255_arbitrary_bytes)
{
	char name[256];
	for (unsigned i = 0; i < 255; i++)
		name[i] = (char)(i + 1 == '/' ? 'x' : i + 1);
	name[255] = '\0';
	put(name, "x");
	want(name, "x");
	OK(unlink(name));
}

CASE(path_of_4096)
{
	char path[PATH_MAX + 8] = "";
	while (strlen(path) < PATH_MAX)
		strncat(path, "./", sizeof path - strlen(path) - 1);
	struct stat s;
	path[PATH_MAX] = '\0';
	FAILS(stat(path, &s), ENAMETOOLONG);
	path[PATH_MAX - 2] = '\0';
	OK(stat(path, &s));
}

CASE(path_deeper_than_4096)
{
	enum { DEPTH = 40 };
	char name[201];
	long_name(name, 200);
	int fd = OK(open(".", O_RDONLY | O_DIRECTORY)), top = fd;
	for (unsigned i = 0; i < DEPTH; i++) {
		OK(mkdirat(fd, name, 0755));
		fd = OK(openat(fd, name, O_RDONLY | O_DIRECTORY));
	}
	int f = OK(openat(fd, "deep", O_RDWR | O_CREAT, 0644));
	EQ(OK(write(f, "abc", 3)), 3);
	want_fd(f, "abc");
	EQ(fstat_of(f).st_nlink, 1);
	for (unsigned i = 0; i < DEPTH; i++)
		OK(chdir(name));
	want("deep", "abc");
	OK(rename("deep", "deeper"));
	OK(linkat(fd, "deeper", top, "shallow", 0));
	for (unsigned i = 0; i < DEPTH; i++)
		OK(chdir(".."));
	want("shallow", "abc");
	EQ(stat_of(".").st_ino, fstat_of(top).st_ino);
}

CASE(special_fifo)
{
	OK(mkfifo("p", 0644));
	TRUE(S_ISFIFO(stat_of("p").st_mode));
	EQ(stat_of("p").st_mode & 0777, 0644);
	FAILS(mkfifo("p", 0644), EEXIST);
	OK(link("p", "q"));
	EQ(stat_of("q").st_nlink, 2);
	OK(rename("q", "r"));
	OK(chmod("r", 0600));
	EQ(stat_of("p").st_mode & 0777, 0600);
	OK(mknod("n", S_IFIFO | 0600, 0));
	OK(mknod("s", S_IFSOCK | 0600, 0));
	TRUE(S_ISSOCK(stat_of("s").st_mode));
	OK(mknod("f", S_IFREG | 0640, 0));
	EQ(stat_of("f").st_mode, S_IFREG | 0640);
	OK(mknod("g", 0640, 0));
	EQ(stat_of("g").st_mode, S_IFREG | 0640);
	FAILS(mknod("d", S_IFDIR | 0755, 0), EPERM);
}

ROOT_CASE(special_devices)
{
	OK(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	OK(mknod("b", S_IFBLK | 0600, makedev(7, 100000)));
	TRUE(S_ISCHR(stat_of("c").st_mode));
	EQ(stat_of("c").st_rdev, makedev(1, 3));
	TRUE(S_ISBLK(stat_of("b").st_mode));
	EQ(stat_of("b").st_rdev, makedev(7, 100000));
	OK(mknod("w", S_IFCHR | 0600, makedev(0, 0)));
	EQ(stat_of("w").st_rdev, 0);
}

USER_CASE(special_devices_refused)
{
	FAILS(mknod("c", S_IFCHR | 0666, makedev(1, 3)), EPERM);
	FAILS(mknod("b", S_IFBLK | 0666, makedev(7, 0)), EPERM);
}

CASE(stat_wrong)
{
	struct stat s;
	put("f", "");
	FAILS(stat("missing", &s), ENOENT);
	FAILS(stat("f/", &s), ENOTDIR);
	FAILS(stat("f/x", &s), ENOTDIR);
	FAILS(stat("", &s), ENOENT);
	FAILS(fstat(999, &s), EBADF);
	OK(fstatat(OK(open("f", O_RDONLY)), "", &s, AT_EMPTY_PATH));
	FAILS(access("missing", F_OK), ENOENT);
	FAILS(access("f", 0x40), EINVAL);
}

CASE(stat_inodes_are_stable_and_distinct)
{
	enum { COUNT = 100 };
	ino_t ino[COUNT];
	char name[16];
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "f%u", i);
		put(name, name);
		ino[i] = stat_of(name).st_ino;
		for (unsigned k = 0; k < i; k++)
			TRUE(ino[k] != ino[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof name, "f%u", i);
		EQ(stat_of(name).st_ino, ino[i]);
		EQ(stat_of(name).st_dev, stat_of(".").st_dev);
	}
	OK(rename("f0", "other"));
	EQ(stat_of("other").st_ino, ino[0]);
	OK(chmod("other", 0600));
	put("other", "changed");
	EQ(stat_of("other").st_ino, ino[0]);
}

/*
 * open(2) with every flag.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <sys/socket.h>
#include <sys/un.h>

CASE(open_missing)
{
	FAILS(open("f", O_RDONLY), ENOENT);
	FAILS(open("d/f", O_RDONLY), ENOENT);
	FAILS(open("d/f", O_RDWR | O_CREAT, 0644), ENOENT);
	FAILS(open("", O_RDONLY), ENOENT);
	FAILS(open("", O_RDWR | O_CREAT, 0644), ENOENT);
}

CASE(open_through_file)
{
	put("f", "x");
	FAILS(open("f/g", O_RDONLY), ENOTDIR);
	FAILS(open("f/", O_RDONLY), ENOTDIR);
	FAILS(open("f/g", O_RDWR | O_CREAT, 0644), ENOTDIR);
	FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

CASE(open_creat)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0640));
	EQ(fstat_of(fd).st_mode, S_IFREG | 0640);
	EQ(fstat_of(fd).st_uid, geteuid());
	EQ(fstat_of(fd).st_gid, getegid());
	EQ(fstat_of(fd).st_size, 0);
	EQ(fstat_of(fd).st_nlink, 1);
	TRUE(exists("f"));
	int again = OK(open("f", O_RDWR | O_CREAT, 0777)); /* the mode counts for new files only */
	EQ(fstat_of(again).st_mode, S_IFREG | 0640);
	EQ(fstat_of(again).st_ino, fstat_of(fd).st_ino);
}

CASE(open_creat_excl)
{
	OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
	FAILS(open("f", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	OK(mkdir("d", 0755));
	FAILS(open("d", O_RDONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	OK(symlink("nowhere", "l"));
	FAILS(open("l", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	TRUE(!exists("nowhere"));
}

CASE(open_creat_dangling_symlink)
{
	OK(symlink("target", "l"));
	int fd = OK(open("l", O_RDWR | O_CREAT, 0644));
	EQ(stat_of("target").st_ino, fstat_of(fd).st_ino);
}

CASE(open_creat_readonly_mode_is_writable)
{
	/* The mode of a new file doesn't bind the descriptor that makes it. */
	int fd = OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0000));
	EQ(OK(write(fd, "abc", 3)), 3);
	want_fd(fd, "abc");
	EQ(fstat_of(fd).st_mode, S_IFREG);
}

USER_CASE(open_mode_0_again)
{
	OK(close(OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0000))));
	FAILS(open("f", O_RDONLY), EACCES);
	FAILS(open("f", O_WRONLY), EACCES);
	FAILS(open("f", O_RDWR | O_CREAT, 0644), EACCES);
	OK(close(OK(open("f", O_PATH))));
}

CASE(open_trunc)
{
	put("f", "hello");
	struct stat before = stat_of("f");
	usleep(20000);
	int fd = OK(open("f", O_RDWR | O_TRUNC));
	EQ(fstat_of(fd).st_size, 0);
	EQ(fstat_of(fd).st_ino, before.st_ino);
	TRUE(time_diff_ns(fstat_of(fd).st_mtim, before.st_mtim) > 0);
	TRUE(time_diff_ns(fstat_of(fd).st_ctim, before.st_ctim) > 0);
	want_fd(fd, "");
}

CASE(open_creat_trunc_existing)
{
	put("f", "hello");
	int other = OK(open("f", O_RDONLY));
	OK(open("f", O_WRONLY | O_CREAT | O_TRUNC, 0600));
	EQ(fstat_of(other).st_size, 0);
	want_fd(other, "");
}

CASE(open_directory)
{
	OK(mkdir("d", 0755));
	int fd = OK(open("d", O_RDONLY));
	FAILS(open("d", O_WRONLY), EISDIR);
	FAILS(open("d", O_RDWR), EISDIR);
	FAILS(open("d", O_RDONLY | O_TRUNC), EISDIR);
	FAILS(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
	FAILS(open("new/", O_RDWR | O_CREAT, 0644), EISDIR);
	char c;
	FAILS(read(fd, &c, 1), EISDIR);
	FAILS(pread(fd, &c, 1, 0), EISDIR);
	FAILS(write(fd, &c, 1), EBADF);
	FAILS(ftruncate(fd, 0), EINVAL);
	OK(open("d", O_RDONLY | O_DIRECTORY));
	OK(open("d/", O_RDONLY | O_DIRECTORY));
	OK(open("d/.", O_RDONLY | O_DIRECTORY));
	OK(open("d/..", O_RDONLY | O_DIRECTORY));
	OK(fsync(fd));
}

CASE(open_nofollow)
{
	put("f", "x");
	OK(symlink("f", "l"));
	FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	FAILS(open("l", O_RDWR | O_CREAT | O_NOFOLLOW, 0644), ELOOP);
	OK(open("f", O_RDONLY | O_NOFOLLOW));
	OK(mkdir("d", 0755));
	OK(symlink("d", "ld"));
	FAILS_EITHER(open("ld", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR, ELOOP);
	put("d/g", "y");
	OK(open("ld/g", O_RDONLY | O_NOFOLLOW)); /* the last component alone counts */
}

CASE(open_path)
{
	put("f", "hello");
	int fd = OK(open("f", O_PATH));
	char c;
	FAILS(read(fd, &c, 1), EBADF);
	FAILS(write(fd, &c, 1), EBADF);
	FAILS(fchmod(fd, 0600), EBADF);
	FAILS(ftruncate(fd, 0), EBADF);
	FAILS(fsync(fd), EBADF);
	EQ(fstat_of(fd).st_size, 5);
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	int again = OK(open(name, O_RDWR));
	want_fd(again, "hello");
	OK(unlink("f"));
	EQ(fstat_of(fd).st_nlink, 0);
	OK(write(again, "J", 1));
	want_fd(again, "Jello");
}

CASE(open_path_symlink)
{
	OK(symlink("somewhere", "l"));
	int fd = OK(open("l", O_PATH | O_NOFOLLOW));
	TRUE(S_ISLNK(fstat_of(fd).st_mode));
	char buf[64];
	EQ(OK(readlinkat(fd, "", buf, sizeof buf)), 9);
	struct stat s;
	OK(fstatat(fd, "", &s, AT_EMPTY_PATH));
	EQ(s.st_size, 9);
}

CASE(open_path_directory)
{
	OK(mkdir("d", 0755));
	int fd = OK(open("d", O_PATH));
	OK(close(OK(openat(fd, "f", O_RDWR | O_CREAT, 0644))));
	OK(fchdir(fd));
	TRUE(exists("f"));
}

CASE(open_append)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR | O_APPEND));
	EQ(OK(lseek(fd, 0, SEEK_CUR)), 0);
	EQ(OK(write(fd, "def", 3)), 3);
	EQ(OK(lseek(fd, 0, SEEK_CUR)), 6);
	OK(lseek(fd, 1, SEEK_SET));
	char c;
	EQ(OK(read(fd, &c, 1)), 1);
	EQ(c, 'b');
	EQ(OK(write(fd, "g", 1)), 1);
	want_fd(fd, "abcdefg");
	EQ(OK(pwrite(fd, "h", 1, 0)), 1); /* Linux appends whatever the offset */
	want_fd(fd, "abcdefgh");
}

CASE(open_append_by_fcntl)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR));
	OK(fcntl(fd, F_SETFL, O_APPEND));
	EQ(OK(write(fd, "def", 3)), 3);
	want_fd(fd, "abcdef");
	OK(fcntl(fd, F_SETFL, 0));
	EQ(OK(pwrite(fd, "X", 1, 0)), 1);
	want_fd(fd, "Xbcdef");
}

CASE(open_append_two_descriptors)
{
	int a = OK(open("f", O_WRONLY | O_CREAT | O_APPEND, 0644)), b = OK(open("f", O_WRONLY | O_APPEND));
	for (unsigned i = 0; i < 20; i++) {
		EQ(OK(write(a, "a", 1)), 1);
		EQ(OK(write(b, "b", 1)), 1);
	}
	want("f", "abababababababababababababababababababab");
}

static int append_lines(void *arg)
{
	int fd = OK(open("f", O_WRONLY | O_APPEND));
	char line[16];
	for (unsigned i = 0; i < 200; i++) {
		snprintf(line, sizeof line, "%c%06u\n", *(char *)arg, i);
		EQ(OK(write(fd, line, 8)), 8);
	}
	return 0;
}

CASE(open_append_many_processes)
{
	put("f", "");
	char names[4] = "wxyz";
	pid_t pids[4];
	for (unsigned i = 0; i < 4; i++)
		pids[i] = start_child(append_lines, &names[i]);
	for (unsigned i = 0; i < 4; i++)
		end_child(pids[i]);
	EQ(stat_of("f").st_size, 4 * 200 * 8);
	unsigned next[4] = {0};
	FILE *f = fopen("f", "r");
	TRUE(f);
	char line[16];
	while (fgets(line, sizeof line, f)) {
		EQ(strlen(line), 8);
		unsigned who = (unsigned)(line[0] - 'w');
		TRUE(who < 4);
		EQ(strtoul(line + 1, NULL, 10), next[who]++);
	}
	EQ(next[0] + next[1] + next[2] + next[3], 800);
}

CASES(open_sync_flags, 4)
{
	static const int flags[] = {O_SYNC, O_DSYNC, O_SYNC | O_APPEND, O_SYNC | O_TRUNC};
	put("f", "abc");
	int fd = OK(open("f", O_RDWR | flags[index]));
	TRUE((OK(fcntl(fd, F_GETFL)) & flags[index] & ~O_TRUNC) == (flags[index] & ~O_TRUNC));
	EQ(OK(write(fd, "defghi", 6)), 6);
	want("f", index == 2 ? "abcdefghi" : "defghi");
}

CASE(open_direct)
{
	int fd = OK(open("f", O_RDWR | O_CREAT | O_DIRECT, 0644));
	char *buf = aligned_alloc(4096, 65536);
	TRUE(buf);
	fill(buf, 65536, 0);
	EQ(OK(pwrite(fd, buf, 65536, 0)), 65536);
	memset(buf, 0, 65536);
	EQ(OK(pread(fd, buf, 4096, 8192)), 4096);
	want_filled(buf, 4096, 8192);
	EQ(OK(pread(fd, buf, 65536, 32768)), 32768); /* short at the end of file */
	want_filled(buf, 32768, 32768);
	EQ(OK(pread(fd, buf, 4096, 65536)), 0);
	EQ(fstat_of(fd).st_size, 65536);
}

CASE(open_direct_beside_buffered)
{
	int direct = OK(open("f", O_RDWR | O_CREAT | O_DIRECT, 0644)), plain = OK(open("f", O_RDWR));
	char *buf = aligned_alloc(4096, 4096);
	TRUE(buf);
	for (unsigned i = 0; i < 8; i++) {
		memset(buf, (int)('a' + i), 4096);
		EQ(OK(pwrite(direct, buf, 4096, 0)), 4096);
		char c[2];
		EQ(OK(pread(plain, c, 1, 4095)), 1);
		EQ(c[0], 'a' + (int)i);
		EQ(OK(pwrite(plain, "Z", 1, 7)), 1);
		EQ(OK(pread(direct, buf, 4096, 0)), 4096);
		EQ(buf[7], 'Z');
		EQ(buf[8], 'a' + (int)i);
	}
}

CASE(open_tmpfile)
{
	int fd = OK(open(".", O_TMPFILE | O_RDWR, 0640));
	EQ(fstat_of(fd).st_nlink, 0);
	EQ(fstat_of(fd).st_mode, S_IFREG | 0640);
	EQ(OK(write(fd, "secret", 6)), 6);
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	EQ(fstat_of(fd).st_nlink, 1);
	EQ(stat_of("named").st_ino, fstat_of(fd).st_ino);
	want("named", "secret");
	FAILS(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), EEXIST);
}

ROOT_CASE(open_tmpfile_link_empty_path)
{
	int fd = OK(open(".", O_TMPFILE | O_RDWR, 0600));
	EQ(OK(write(fd, "x", 1)), 1);
	OK(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	want("named", "x");
}

CASE(open_tmpfile_excl)
{
	int fd = OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	FAILS(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
}

CASE(open_tmpfile_wrong)
{
	FAILS(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	put("f", "");
	FAILS(open("f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
	FAILS(open("missing", O_TMPFILE | O_RDWR, 0600), ENOENT);
}

CASE(open_tmpfile_leaves_nothing)
{
	for (unsigned i = 0; i < 20; i++)
		OK(close(OK(open(".", O_TMPFILE | O_WRONLY, 0600))));
	EQ(stat_of(".").st_nlink, 2);
	OK(mkdir("d", 0755));
	int fd = OK(open("d", O_TMPFILE | O_WRONLY, 0600));
	OK(rmdir("d")); /* it counts as empty */
	EQ(OK(write(fd, "x", 1)), 1);
}

CASE(open_nonblock_and_cloexec_are_harmless)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_LARGEFILE));
	want_fd(fd, "abc");
	EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
}

CASE(open_noatime)
{
	put("f", "abc");
	int fd = OK(open("f", O_RDONLY | O_NOATIME));
	struct timespec before = fstat_of(fd).st_atim;
	usleep(20000);
	want_fd(fd, "abc");
	EQ(time_diff_ns(fstat_of(fd).st_atim, before), 0);
}

CASE(open_wrong_access)
{
	put("f", "abc");
	char c = 0;
	FAILS(write(OK(open("f", O_RDONLY)), &c, 1), EBADF);
	FAILS(read(OK(open("f", O_WRONLY)), &c, 1), EBADF);
	FAILS(ftruncate(OK(open("f", O_RDONLY)), 0), EINVAL);
	FAILS(fallocate(OK(open("f", O_RDONLY)), 0, 0, 1), EBADF);
}

CASE(open_fifo)
{
	OK(mkfifo("p", 0644));
	FAILS(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	int in = OK(open("p", O_RDONLY | O_NONBLOCK));
	int out = OK(open("p", O_WRONLY | O_NONBLOCK));
	EQ(OK(write(out, "abc", 3)), 3);
	char buf[8];
	EQ(OK(read(in, buf, sizeof buf)), 3);
	FAILS(lseek(in, 0, SEEK_SET), ESPIPE);
}

static int say_to_fifo(void *arg)
{
	int fd = OK(open(arg, O_WRONLY));
	EQ(OK(write(fd, "through", 7)), 7);
	return 0;
}

CASE(open_fifo_between_processes)
{
	char name[] = "p", buf[16];
	OK(mkfifo(name, 0600));
	pid_t pid = start_child(say_to_fifo, name);
	int fd = OK(open(name, O_RDONLY));
	EQ(OK(read(fd, buf, sizeof buf)), 7);
	EQ(OK(read(fd, buf, sizeof buf)), 0);
	end_child(pid);
}

CASE(open_socket)
{
	int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"};
	OK(bind(listener, (struct sockaddr *)&at, sizeof at));
	OK(listen(listener, 1));
	TRUE(S_ISSOCK(stat_of("s").st_mode));
	FAILS(open("s", O_RDWR), ENXIO);
	int peer = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(connect(peer, (struct sockaddr *)&at, sizeof at));
	int served = OK(accept(listener, NULL, NULL));
	EQ(OK(write(peer, "hi", 2)), 2);
	char buf[8];
	EQ(OK(read(served, buf, sizeof buf)), 2);
	FAILS(bind(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&at, sizeof at), EADDRINUSE);
	OK(unlink("s"));
	FAILS(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&at, sizeof at), ENOENT);
}

CASE(open_many_descriptors_of_one_file)
{
	put("f", "abc");
	int fds[200];
	for (unsigned i = 0; i < 200; i++)
		fds[i] = OK(open("f", i % 2 ? O_RDWR : O_RDONLY));
	OK(unlink("f"));
	ino_t ino = fstat_of(fds[0]).st_ino;
	for (unsigned i = 0; i < 200; i++) {
		EQ(fstat_of(fds[i]).st_ino, ino);
		OK(close(fds[i]));
	}
}

CASE(open_offsets_are_each_ones_own)
{
	put("f", "abcdef");
	int a = OK(open("f", O_RDONLY)), b = OK(open("f", O_RDONLY)), shared = OK(dup(a));
	char buf[4];
	EQ(OK(read(a, buf, 2)), 2);
	EQ(OK(read(b, buf, 1)), 1);
	EQ(buf[0], 'a');
	EQ(OK(read(shared, buf, 1)), 1);
	EQ(buf[0], 'c');
}

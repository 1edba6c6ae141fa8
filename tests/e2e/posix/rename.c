/*
 * rename(2) with every flag and every combination of types.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <linux/fs.h>
#include <sys/sysmacros.h>

enum kind { NONE, FILE_, EMPTY_DIR, FULL_DIR, SYMLINK, FIFO, KINDS };
static const char *const kind_names[] = {"nothing", "file", "empty directory", "full directory", "symlink", "fifo"};
static const unsigned flag_list[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};

static void make(enum kind kind, const char *name)
{
	char inner[64];
	switch (kind) {
	case FILE_:
		put(name, name);
		break;
	case EMPTY_DIR:
		OK(mkdir(name, 0755));
		break;
	case FULL_DIR:
		OK(mkdir(name, 0755));
		snprintf(inner, sizeof inner, "%s/inner", name);
		put(inner, name);
		break;
	case SYMLINK:
		OK(symlink(name, name));
		break;
	case FIFO:
		OK(mkfifo(name, 0644));
		break;
	default:
		break;
	}
}

static bool is_dir(enum kind kind)
{
	return kind == EMPTY_DIR || kind == FULL_DIR;
}

static int expected(enum kind from, enum kind to, unsigned flags)
{
	if (from == NONE)
		return ENOENT;
	if (flags & RENAME_NOREPLACE)
		return to == NONE ? 0 : EEXIST;
	if (flags & RENAME_EXCHANGE)
		return to == NONE ? ENOENT : 0;
	if (to == NONE)
		return 0;
	if (is_dir(from) && !is_dir(to))
		return ENOTDIR;
	if (!is_dir(from) && is_dir(to))
		return EISDIR;
	return to == FULL_DIR ? ENOTEMPTY : 0;
}

/* Within one directory, and from one directory to another. */
static void rename_pair(unsigned index, const char *from, const char *to)
{
	enum kind a = index % KINDS, b = index / KINDS % KINDS;
	unsigned flags = flag_list[index / KINDS / KINDS];
	posix_note("%s to %s, flags %u", kind_names[a], kind_names[b], flags);
	OK(mkdir("d1", 0755));
	OK(mkdir("d2", 0755));
	make(a, from);
	make(b, to);
	ino_t from_ino = a == NONE ? 0 : stat_of(from).st_ino, to_ino = b == NONE ? 0 : stat_of(to).st_ino;
	int wanted = expected(a, b, flags);
	GIVES(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags), wanted);
	if (wanted) {
		EQ(exists(from) ? stat_of(from).st_ino : 0, from_ino);
		EQ(exists(to) ? stat_of(to).st_ino : 0, to_ino);
		return;
	}
	EQ(stat_of(to).st_ino, from_ino);
	if (flags & RENAME_EXCHANGE)
		EQ(stat_of(from).st_ino, to_ino);
	else
		TRUE(!exists(from));
	bool across = strncmp(from, to, 3) != 0;
	nlink_t in_to = 2 + (is_dir(a) ? 1 : 0), in_from = 2;
	if (flags & RENAME_EXCHANGE)
		in_from += is_dir(b) ? 1 : 0;
	if (across) {
		EQ(stat_of("d2").st_nlink, in_to);
		EQ(stat_of("d1").st_nlink, in_from);
	}
}

CASES(rename_in_one_directory, KINDS * KINDS * 3)
{
	rename_pair(index, "d1/from", "d1/to");
}

CASES(rename_between_directories, KINDS * KINDS * 3)
{
	rename_pair(index, "d1/from", "d2/to");
}

CASE(rename_onto_itself)
{
	put("f", "abc");
	OK(rename("f", "f"));
	want("f", "abc");
	OK(link("f", "g"));
	OK(rename("f", "g")); /* two names of one file: nothing happens */
	TRUE(exists("f") && exists("g"));
	EQ(stat_of("f").st_nlink, 2);
	OK(mkdir("d", 0755));
	OK(rename("d", "d"));
	FAILS(renameat2(AT_FDCWD, "f", AT_FDCWD, "f", RENAME_NOREPLACE), EEXIST);
	OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "f", RENAME_EXCHANGE));
}

CASE(rename_into_own_subtree)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	FAILS(rename("d", "d/x"), EINVAL);
	FAILS(rename("d", "d/e/x"), EINVAL);
	FAILS(rename("d/e", "d"), ENOTEMPTY);
	FAILS(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE), EINVAL);
}

CASE(rename_dots)
{
	OK(mkdir("d", 0755));
	FAILS(rename(".", "x"), EBUSY);
	FAILS(rename("..", "x"), EBUSY);
	FAILS(rename("d/.", "x"), EBUSY);
	FAILS(rename("d", "."), EBUSY);
	FAILS(rename("d", "d/.."), EBUSY);
}

CASE(rename_wrong)
{
	put("f", "");
	OK(mkdir("d", 0755));
	FAILS(rename("f", "missing/x"), ENOENT);
	FAILS(rename("f", "f/x"), ENOTDIR);
	FAILS(rename("f/x", "y"), ENOTDIR);
	FAILS(rename("", "y"), ENOENT);
	FAILS(rename("f", ""), ENOENT);
	FAILS(rename("f", "/dev/inlay-no-such"), EXDEV);
	FAILS(rename("f/", "y"), ENOTDIR);
	FAILS(rename("f", "y/"), ENOTDIR);
	OK(rename("d/", "e/"));
	FAILS(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
	FAILS(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", 1u << 20), EINVAL);
}

CASE(rename_updates_times)
{
	put("f", "abc");
	struct stat before = stat_of("f"), dir = stat_of(".");
	usleep(20000);
	OK(rename("f", "g"));
	struct stat after = stat_of("g");
	EQ(time_diff_ns(after.st_mtim, before.st_mtim), 0);
	TRUE(time_diff_ns(after.st_ctim, before.st_ctim) >= 0);
	TRUE(time_diff_ns(stat_of(".").st_mtim, dir.st_mtim) > 0);
}

CASE(rename_moves_a_tree)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	put("a/b/c/f", "deep");
	OK(mkdir("z", 0755));
	ino_t ino = stat_of("a/b/c/f").st_ino;
	int fd = OK(open("a/b/c/f", O_RDWR)), dir = OK(open("a/b/c", O_RDONLY | O_DIRECTORY));
	OK(rename("a/b", "z/y"));
	want("z/y/c/f", "deep");
	EQ(stat_of("z/y/c/f").st_ino, ino);
	EQ(stat_of("z/y/..").st_ino, stat_of("z").st_ino);
	TRUE(!exists("a/b"));
	EQ(OK(write(fd, "DEEP", 4)), 4);
	want("z/y/c/f", "DEEP");
	OK(close(OK(openat(dir, "new", O_RDWR | O_CREAT, 0644))));
	TRUE(exists("z/y/c/new"));
}

CASE(rename_exchange_contents)
{
	OK(mkdir("d", 0755));
	put("d/in", "x");
	put("f", "file");
	int fd = OK(open("f", O_RDWR));
	OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE));
	want("d", "file");
	want("f/in", "x");
	EQ(OK(pwrite(fd, "F", 1, 0)), 1);
	want("d", "File");
}

CASE(rename_whiteout)
{
	put("f", "abc");
	OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_WHITEOUT));
	want("g", "abc");
	TRUE(S_ISCHR(stat_of("f").st_mode));
	EQ(stat_of("f").st_rdev, makedev(0, 0));
}

CASE(rename_cwd)
{
	OK(mkdir("d", 0755));
	OK(chdir("d"));
	OK(rename("../d", "../e"));
	put("f", "x");
	want("../e/f", "x");
	char buf[4096];
	TRUE(getcwd(buf, sizeof buf));
	TRUE(!strcmp(strrchr(buf, '/'), "/e"));
}

static int flip(void *arg)
{
	for (unsigned i = 0; i < 300; i++) {
		OK(rename("new", "cur"));
		int fd = OK(open("new", O_WRONLY | O_CREAT | O_EXCL, 0644));
		EQ(OK(write(fd, "content", 7)), 7);
		OK(close(fd));
	}
	*(int *)arg = 0;
	return 0;
}

CASE(rename_replacement_is_atomic)
{
	put("cur", "content");
	put("new", "content");
	int unused = 0;
	pid_t pid = start_child(flip, &unused);
	int status;
	unsigned seen = 0;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		want("cur", "content"); /* never missing, never partial */
		seen++;
	}
	EQ(status, 0);
	TRUE(seen > 0);
}

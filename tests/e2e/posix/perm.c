/*
 * Who may do what: rwx for owner, group and others, supplementary groups, set-id and sticky bits, umask, ownership.
 * The root pass forks people; the user's pass sees what an ordinary user can see alone.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <sys/sendfile.h>

/* The people that try; which class of the file's bits applies to each. */
struct person {
	uid_t uid;
	gid_t gid, group;
	unsigned shift; /* of the bits that count */
};
static const struct person people[] = {
	{USER_UID, USER_GID, USER_GROUP1, 6},  /* owner */
	{OTHER_UID, USER_GID, OTHER_GID, 3},   /* by the main group */
	{OTHER_UID, OTHER_GID, USER_GID, 3},   /* by a supplementary group */
	{OTHER_UID, OTHER_GID, OTHER_GID, 0},  /* by none */
};
#define PEOPLE (sizeof people / sizeof *people)

static int as_person(const struct person *p, int (*run)(void *arg), void *arg)
{
	return as_user(p->uid, p->gid, 1, &p->group, run, arg);
}

struct trial {
	unsigned bits; /* rwx that this person has */
};

static int try_file(void *arg)
{
	const struct trial *t = arg;
	GIVES(open("f", O_RDONLY), t->bits & 4 ? 0 : EACCES);
	GIVES(open("f", O_WRONLY), t->bits & 2 ? 0 : EACCES);
	GIVES(open("f", O_RDWR), (t->bits & 6) == 6 ? 0 : EACCES);
	GIVES(open("f", O_RDONLY | O_CREAT, 0644), t->bits & 4 ? 0 : EACCES);
	GIVES(access("f", R_OK), t->bits & 4 ? 0 : EACCES);
	GIVES(access("f", W_OK), t->bits & 2 ? 0 : EACCES);
	GIVES(access("f", X_OK), t->bits & 1 ? 0 : EACCES);
	GIVES(access("f", R_OK | W_OK | X_OK), t->bits == 7 ? 0 : EACCES);
	GIVES(access("f", F_OK), 0);
	GIVES(truncate("f", 0), t->bits & 2 ? 0 : EACCES);
	GIVES(open("f", O_RDONLY | O_TRUNC), t->bits == 6 || t->bits == 7 ? 0 : EACCES);
	struct stat s;
	GIVES(stat("f", &s), 0);
	return 0;
}

/* Each person, each of the eight bits of their class; the other classes have the opposite. */
ROOT_CASES(perm_file, PEOPLE * 8)
{
	const struct person *p = &people[index % PEOPLE];
	struct trial t = {(unsigned)(index / PEOPLE)};
	mode_t mode = ((7u ^ t.bits) * 0111u & ~(7u << p->shift)) | t.bits << p->shift;
	posix_note("mode %04o, class %u", mode, p->shift);
	put("f", "abc");
	OK(chmod("f", mode));
	OK(chown("f", USER_UID, USER_GID));
	EQ(as_person(p, try_file, &t), 0);
}

static int try_dir(void *arg)
{
	const struct trial *t = arg;
	bool read = t->bits & 4, write = t->bits & 2, search = t->bits & 1;
	struct stat s;
	GIVES(open("d", O_RDONLY | O_DIRECTORY), read ? 0 : EACCES);
	GIVES(stat("d/f", &s), search ? 0 : EACCES);
	GIVES(open("d/f", O_RDONLY), search ? 0 : EACCES);
	GIVES(stat("d/missing", &s), search ? ENOENT : EACCES);
	GIVES(chdir("d"), search ? 0 : EACCES);
	if (search)
		OK(chdir(".."));
	int change = write && search ? 0 : EACCES;
	GIVES(open("d/new", O_RDWR | O_CREAT | O_EXCL, 0644), change);
	GIVES(mkdir("d/newdir", 0755), change);
	GIVES(symlink("x", "d/newlink"), change);
	GIVES(mkfifo("d/newfifo", 0644), change);
	GIVES(rename("d/f", "d/g"), change);
	GIVES(rename("d/g", "d/f"), change && search ? ENOENT : change);
	GIVES(unlink("d/f"), change);
	GIVES(rmdir("d/e"), change);
	GIVES(open("d", O_TMPFILE | O_RDWR, 0600), change);
	return 0;
}

ROOT_CASES(perm_directory, PEOPLE * 8)
{
	const struct person *p = &people[index % PEOPLE];
	struct trial t = {(unsigned)(index / PEOPLE)};
	mode_t mode = ((7u ^ t.bits) * 0111u & ~(7u << p->shift)) | t.bits << p->shift;
	posix_note("mode %04o, class %u", mode, p->shift);
	OK(mkdir("d", 0755));
	put("d/f", "abc");
	OK(chmod("d/f", 0666));
	OK(mkdir("d/e", 0755));
	OK(chmod("d", mode));
	OK(chown("d", USER_UID, USER_GID));
	EQ(as_person(p, try_dir, &t), 0);
}

static int try_as_owner(void *arg)
{
	(void)arg;
	OK(chmod("mine", 0600));
	FAILS(chmod("roots", 0666), EPERM);
	FAILS(chown("mine", OTHER_UID, (gid_t)-1), EPERM);
	FAILS(chown("mine", (uid_t)-1, OTHER_GID), EPERM);
	OK(chown("mine", USER_UID, USER_GID));
	OK(chown("mine", (uid_t)-1, USER_GROUP2));
	EQ(stat_of("mine").st_gid, USER_GROUP2);
	OK(chown("mine", (uid_t)-1, (gid_t)-1));
	FAILS(chown("roots", (uid_t)-1, USER_GID), EPERM);
	struct timespec t[2] = {{1, 0}, {2, 0}};
	OK(utimensat(AT_FDCWD, "mine", t, 0));
	FAILS(utimensat(AT_FDCWD, "roots", t, 0), EPERM);
	FAILS(utimensat(AT_FDCWD, "roots", NULL, 0), EACCES);
	OK(utimensat(AT_FDCWD, "anyones", NULL, 0));
	FAILS(utimensat(AT_FDCWD, "anyones", t, 0), EPERM);
	return 0;
}

ROOT_CASE(perm_ownership)
{
	put("mine", "");
	put("roots", "");
	put("anyones", "");
	OK(chmod("anyones", 0666));
	OK(chown("mine", USER_UID, USER_GID));
	gid_t groups[] = {USER_GROUP1, USER_GROUP2};
	EQ(as_user(USER_UID, USER_GID, 2, groups, try_as_owner, NULL), 0);
}

ROOT_CASE(perm_many_groups)
{
	gid_t groups[300];
	for (unsigned i = 0; i < 300; i++)
		groups[i] = 100000 + i;
	put("f", "abc");
	OK(chmod("f", 0060));
	OK(chown("f", 0, 100299));
	struct trial t = {6};
	EQ(as_user(OTHER_UID, OTHER_GID, 300, groups, try_file, &t), 0);
	put("f", "abc");
	t.bits = 0;
	EQ(as_user(OTHER_UID, OTHER_GID, 299, groups, try_file, &t), 0);
}

ROOT_CASE(perm_root_may_all)
{
	put("f", "abc");
	OK(chmod("f", 0000));
	OK(chown("f", USER_UID, USER_GID));
	want("f", "abc");
	OK(close(OK(open("f", O_RDWR))));
	OK(access("f", R_OK | W_OK));
	FAILS(access("f", X_OK), EACCES);
	OK(chmod("f", 0010));
	OK(access("f", X_OK));
	OK(mkdir("d", 0000));
	put("d/f", "x");
	want("d/f", "x");
	OK(chown("f", 4000000000u, 4000000001u));
	EQ(stat_of("f").st_uid, 4000000000u);
	EQ(stat_of("f").st_gid, 4000000001u);
}

static int make_all(void *arg)
{
	(void)arg;
	put("shared/f", "");
	OK(mkdir("shared/d", 0755));
	OK(symlink("x", "shared/l"));
	OK(mkfifo("shared/p", 0644));
	return 0;
}

ROOT_CASE(perm_new_files_belong_to_their_maker)
{
	OK(mkdir("shared", 0777));
	OK(chmod("shared", 0777));
	gid_t group = USER_GROUP1;
	EQ(as_user(USER_UID, USER_GID, 1, &group, make_all, NULL), 0);
	static const char *const names[] = {"shared/f", "shared/d", "shared/l", "shared/p"};
	for (unsigned i = 0; i < 4; i++) {
		EQ(stat_of(names[i]).st_uid, USER_UID);
		EQ(stat_of(names[i]).st_gid, USER_GID);
	}
}

ROOT_CASE(perm_setgid_directory)
{
	OK(mkdir("shared", 0777));
	OK(chown("shared", 0, USER_GROUP2));
	OK(chmod("shared", 02777));
	gid_t group = USER_GROUP1;
	EQ(as_user(USER_UID, USER_GID, 1, &group, make_all, NULL), 0);
	EQ(stat_of("shared/f").st_gid, USER_GROUP2);
	EQ(stat_of("shared/l").st_gid, USER_GROUP2);
	EQ(stat_of("shared/p").st_gid, USER_GROUP2);
	EQ(stat_of("shared/d").st_gid, USER_GROUP2);
	EQ(stat_of("shared/d").st_mode & 07777, 02755); /* handed down */
	EQ(stat_of("shared/f").st_mode & 07777, 0644);
}

static int make_setgid(void *arg)
{
	(void)arg;
	umask(0);
	OK(close(OK(open("shared/f", O_RDWR | O_CREAT | O_EXCL, 02775))));
	return 0;
}

ROOT_CASE(perm_setgid_file_in_foreign_group)
{
	OK(mkdir("shared", 0777));
	OK(chown("shared", 0, USER_GROUP2));
	OK(chmod("shared", 02777));
	gid_t group = USER_GROUP1;
	EQ(as_user(USER_UID, USER_GID, 1, &group, make_setgid, NULL), 0);
	EQ(stat_of("shared/f").st_mode & 07777, 0775); /* not a member: no set-group-id */
	OK(unlink("shared/f"));
	group = USER_GROUP2;
	EQ(as_user(USER_UID, USER_GID, 1, &group, make_setgid, NULL), 0);
	EQ(stat_of("shared/f").st_mode & 07777, 02775);
}

static int chmod_setgid(void *arg)
{
	(void)arg;
	OK(chmod("f", 02775));
	return 0;
}

ROOT_CASE(perm_chmod_setgid_by_non_member)
{
	put("f", "");
	OK(chown("f", USER_UID, USER_GROUP2));
	gid_t group = USER_GROUP1;
	EQ(as_user(USER_UID, USER_GID, 1, &group, chmod_setgid, NULL), 0);
	EQ(stat_of("f").st_mode & 07777, 0775);
	group = USER_GROUP2;
	EQ(as_user(USER_UID, USER_GID, 1, &group, chmod_setgid, NULL), 0);
	EQ(stat_of("f").st_mode & 07777, 02775);
}

static int change_write(void *arg)
{
	(void)arg;
	int fd = OK(open("f", O_WRONLY));
	EQ(OK(pwrite(fd, "x", 1, 0)), 1);
	return 0;
}

static int change_truncate(void *arg)
{
	(void)arg;
	OK(truncate("f", 1));
	return 0;
}

static int change_ftruncate(void *arg)
{
	(void)arg;
	OK(ftruncate(OK(open("f", O_WRONLY)), 2));
	return 0;
}

static int change_open_trunc(void *arg)
{
	(void)arg;
	OK(open("f", O_WRONLY | O_TRUNC));
	return 0;
}

static int change_chgrp(void *arg)
{
	(void)arg;
	OK(chown("f", (uid_t)-1, USER_GROUP1));
	return 0;
}

static int change_fallocate(void *arg)
{
	(void)arg;
	OK(fallocate(OK(open("f", O_RDWR)), 0, 0, 10000));
	return 0;
}

static int change_append(void *arg)
{
	(void)arg;
	EQ(OK(write(OK(open("f", O_WRONLY | O_APPEND)), "zz", 2)), 2);
	return 0;
}

static int change_nothing(void *arg)
{
	(void)arg;
	OK(chmod("f", 06777));
	want("f", "content");
	return 0;
}

/* What drops set-user-id and set-group-id when an ordinary user does it, and what doesn't. */
ROOT_CASES(perm_setid_cleared, 8)
{
	static int (*const changes[])(void *) = {change_write,      change_truncate, change_ftruncate, change_open_trunc,
	                                         change_chgrp,      change_fallocate, change_append,   change_nothing};
	posix_note("change %u", index);
	put("f", "content");
	OK(chown("f", USER_UID, USER_GID));
	OK(chmod("f", 06777));
	EQ(stat_of("f").st_mode & 07777, 06777);
	gid_t group = USER_GROUP1;
	EQ(as_user(USER_UID, USER_GID, 1, &group, changes[index], NULL), 0);
	EQ(stat_of("f").st_mode & 07777, index == 7 ? 06777 : 0777);
}

ROOT_CASE(perm_setid_kept_for_root_writes)
{
	put("f", "content");
	OK(chmod("f", 06777));
	EQ(change_write(NULL), 0);
	EQ(stat_of("f").st_mode & 07777, 06777);
	OK(chown("f", USER_UID, USER_GID)); /* but never over a change of owner */
	EQ(stat_of("f").st_mode & 07777, 0777);
	OK(chmod("f", 02767)); /* without group execution the bit means mandatory locking, and stays */
	OK(chown("f", OTHER_UID, USER_GID));
	EQ(stat_of("f").st_mode & 07777, 02767);
}

USER_CASE(perm_setid_cleared_by_own_write)
{
	put("f", "content");
	OK(chmod("f", 06777));
	EQ(stat_of("f").st_mode & 07777, 06777);
	EQ(change_write(NULL), 0);
	EQ(stat_of("f").st_mode & 07777, 0777);
}

static int try_sticky(void *arg)
{
	(void)arg;
	FAILS(unlink("tmp/roots"), EPERM);
	FAILS(rename("tmp/roots", "tmp/x"), EPERM);
	FAILS(rmdir("tmp/rootsdir"), EPERM);
	put("tmp/mine", "");
	FAILS(rename("tmp/mine", "tmp/roots"), EPERM);
	OK(rename("tmp/mine", "tmp/mine2"));
	OK(unlink("tmp/mine2"));
	return 0;
}

static int use_sticky_as_owner(void *arg)
{
	(void)arg;
	OK(rename("tmp/roots", "tmp/renamed"));
	OK(unlink("tmp/renamed"));
	OK(rmdir("tmp/rootsdir"));
	return 0;
}

ROOT_CASE(perm_sticky_directory)
{
	OK(mkdir("tmp", 0777));
	OK(chmod("tmp", 01777));
	put("tmp/roots", "");
	OK(mkdir("tmp/rootsdir", 0777));
	gid_t group = USER_GROUP1;
	EQ(as_user(USER_UID, USER_GID, 1, &group, try_sticky, NULL), 0);
	OK(chown("tmp", OTHER_UID, 0)); /* the directory's owner may */
	EQ(as_user(OTHER_UID, OTHER_GID, 0, NULL, use_sticky_as_owner, NULL), 0);
}

CASES(perm_umask, 5)
{
	static const mode_t masks[] = {0, 022, 027, 077, 0777};
	umask(masks[index]);
	OK(close(OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0666))));
	EQ(stat_of("f").st_mode & 07777, 0666 & ~masks[index]);
	OK(mkdir("d", 0777));
	EQ(stat_of("d").st_mode & 07777, 0777 & ~masks[index]);
	OK(mkfifo("p", 0666));
	EQ(stat_of("p").st_mode & 07777, 0666 & ~masks[index]);
	OK(mknod("s", S_IFSOCK | 0777, 0));
	EQ(stat_of("s").st_mode & 07777, 0777 & ~masks[index]);
	EQ(fstat_of(OK(open(".", O_TMPFILE | O_RDWR, 0666))).st_mode & 07777, 0666 & ~masks[index]);
}

CASE(perm_chmod)
{
	static const mode_t modes[] = {0, 0777, 0644, 01644, 04755, 02755, 06755, 07777};
	put("f", "");
	int fd = OK(open("f", O_RDONLY));
	for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
		OK(chmod("f", modes[i]));
		EQ(stat_of("f").st_mode, S_IFREG | modes[i]);
		OK(fchmod(fd, modes[i] ^ 0111));
		EQ(fstat_of(fd).st_mode, S_IFREG | (modes[i] ^ 0111));
	}
	OK(mkdir("d", 0755));
	OK(chmod("d", 01711));
	EQ(stat_of("d").st_mode, S_IFDIR | 01711);
	FAILS(chmod("missing", 0), ENOENT);
	FAILS(chmod("f/x", 0), ENOTDIR);
}

CASE(perm_chmod_changes_ctime_alone)
{
	put("f", "");
	struct stat before = stat_of("f");
	usleep(20000);
	OK(chmod("f", 0600));
	TRUE(time_diff_ns(stat_of("f").st_ctim, before.st_ctim) > 0);
	EQ(time_diff_ns(stat_of("f").st_mtim, before.st_mtim), 0);
	before = stat_of("f");
	usleep(20000);
	OK(chown("f", (uid_t)-1, getegid()));
	TRUE(time_diff_ns(stat_of("f").st_ctim, before.st_ctim) > 0);
}

USER_CASE(perm_user_own_bits)
{
	put("f", "abc");
	OK(chmod("f", 0400));
	OK(close(OK(open("f", O_RDONLY))));
	FAILS(open("f", O_WRONLY), EACCES);
	FAILS(truncate("f", 0), EACCES);
	OK(chmod("f", 0200));
	FAILS(open("f", O_RDONLY), EACCES);
	OK(mkdir("d", 0755));
	put("d/f", "");
	OK(chmod("d", 0500));
	FAILS(unlink("d/f"), EACCES);
	FAILS(open("d/g", O_RDWR | O_CREAT, 0644), EACCES);
	FAILS(rename("d/f", "x"), EACCES);
	FAILS(link("f", "d/x"), EACCES);
	OK(chmod("d", 0600));
	struct stat s;
	FAILS(stat("d/f", &s), EACCES);
	OK(chmod("d", 0300));
	FAILS(open("d", O_RDONLY | O_DIRECTORY), EACCES);
	OK(stat("d/f", &s));
}

USER_CASE(perm_user_ownership)
{
	put("f", "");
	FAILS(chown("f", 0, (gid_t)-1), EPERM);
	FAILS(chown("f", (uid_t)-1, OTHER_GID), EPERM);
	OK(chown("f", (uid_t)-1, USER_GROUP2));
	EQ(stat_of("f").st_gid, USER_GROUP2);
	OK(chown("f", USER_UID, USER_GID));
}

USER_CASE(perm_moving_anothers_directory)
{
	/* A directory without write permission can't be moved elsewhere: its ".." would change. */
	OK(mkdir("d", 0755));
	OK(mkdir("d/sub", 0555));
	OK(mkdir("e", 0755));
	FAILS(rename("d/sub", "e/sub"), EACCES);
	OK(rename("d/sub", "d/sub2"));
	OK(chmod("d/sub2", 0755));
	OK(rename("d/sub2", "e/sub"));
}

static int run_it(void *arg)
{
	(void)arg;
	execl("./prog", "prog", (char *)NULL);
	return errno == EACCES ? 13 : 1;
}

CASE(perm_execute)
{
	put("prog", "#!/bin/sh\nexit 42\n");
	OK(chmod("prog", 0644));
	EQ(in_child(run_it, NULL), 13);
	OK(chmod("prog", 0755));
	EQ(in_child(run_it, NULL), 42);
}

ROOT_CASE(perm_execute_without_read)
{
	put("prog", "x");
	int out = OK(open("prog", O_WRONLY | O_TRUNC)), in = OK(open("/bin/true", O_RDONLY));
	while (OK(sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	OK(close(out));
	OK(chmod("prog", 0711));
	EQ(as_user(OTHER_UID, OTHER_GID, 0, NULL, run_it, NULL), 0);
	OK(chmod("prog", 0700));
	EQ(as_user(OTHER_UID, OTHER_GID, 0, NULL, run_it, NULL), 13);
}

CASE(perm_text_busy)
{
	put("prog", "x");
	int out = OK(open("prog", O_WRONLY | O_TRUNC)), in = OK(open("/bin/sleep", O_RDONLY));
	while (OK(sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	OK(chmod("prog", 0755));
	pid_t pid = OK(fork());
	if (pid == 0) {
		execl("./prog", "sleep", "20", (char *)NULL);
		_exit(errno == ETXTBSY ? 26 : 1);
	}
	int status;
	OK(waitpid(pid, &status, 0)); /* it is open for writing */
	EQ(WEXITSTATUS(status), 26);
	OK(close(out));
	int execed[2]; /* closed by the exec, so that nothing is opened for writing before it */
	OK(pipe2(execed, O_CLOEXEC));
	pid = OK(fork());
	if (pid == 0) {
		execl("./prog", "sleep", "20", (char *)NULL);
		_exit(1);
	}
	OK(close(execed[1]));
	char byte;
	EQ(OK(read(execed[0], &byte, 1)), 0);
	OK(close(execed[0]));
	FAILS(open("prog", O_WRONLY), ETXTBSY);
	FAILS(truncate("prog", 0), ETXTBSY);
	kill(pid, SIGKILL);
	OK(waitpid(pid, &status, 0));
	OK(close(OK(open("prog", O_WRONLY))));
}

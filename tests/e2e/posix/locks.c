/*
 * flock, POSIX record locks and open-file-description locks: conflict, waiting, interruption, deadlock, release.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <sys/file.h>
#include <time.h>

static struct flock range(short type, off_t start, off_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static int record(int fd, int command, short type, off_t start, off_t len)
{
	struct flock l = range(type, start, len);
	return fcntl(fd, command, &l);
}

struct lock_job {
	int command;          /* F_SETLK, F_SETLKW, F_OFD_...; -1: flock */
	short type;
	off_t start, len;
	struct gate ready, go;
};

/* Takes a lock, says so, and keeps it until told. */
static int hold(void *arg)
{
	struct lock_job *j = arg;
	int fd = OK(open("f", O_RDWR));
	if (j->command == -1)
		OK(flock(fd, j->type == F_RDLCK ? LOCK_SH : LOCK_EX));
	else
		OK(record(fd, j->command, j->type, j->start, j->len));
	gate_open(&j->ready);
	gate_wait(&j->go);
	return 0;
}

static struct lock_job job(int command, short type, off_t start, off_t len)
{
	return (struct lock_job){command, type, start, len, gate_new(), gate_new()};
}

/* Rows: what is held (type, range), what is asked, whether that conflicts. */
static const struct {
	short held;
	off_t start, len;
	short asked;
	off_t at, count;
	bool conflict;
} conflicts[] = {
	{F_RDLCK, 0, 10, F_RDLCK, 0, 10, false}, {F_RDLCK, 0, 10, F_WRLCK, 0, 10, true},
	{F_WRLCK, 0, 10, F_RDLCK, 0, 10, true},  {F_WRLCK, 0, 10, F_WRLCK, 0, 10, true},
	{F_WRLCK, 0, 10, F_WRLCK, 10, 5, false}, {F_WRLCK, 0, 10, F_WRLCK, 9, 1, true},
	{F_WRLCK, 5, 5, F_WRLCK, 0, 5, false},   {F_WRLCK, 5, 5, F_WRLCK, 0, 6, true},
	{F_WRLCK, 5, 0, F_WRLCK, 0, 5, false},   {F_WRLCK, 5, 0, F_WRLCK, 1000000, 1, true},
	{F_WRLCK, 0, 1, F_WRLCK, 1, 0, false},   {F_WRLCK, 100, 1, F_WRLCK, 0, 0, true},
	{F_WRLCK, 0x7ffffffffffffffe, 1, F_WRLCK, 0x7ffffffffffffffd, 1, false},
	{F_WRLCK, 0x7ffffffffffffffe, 1, F_RDLCK, 0x7ffffffffffffffe, 1, true},
	{F_WRLCK, (off_t)1 << 40, 10, F_WRLCK, ((off_t)1 << 40) + 9, 1, true},
};
#define ROWS (sizeof conflicts / sizeof *conflicts)

/* Each row with POSIX against POSIX, OFD against OFD, POSIX against OFD and OFD against POSIX. */
CASES(lock_conflicts, ROWS * 4)
{
	unsigned row = (unsigned)(index % ROWS), kinds = (unsigned)(index / ROWS);
	int ask = kinds & 1 ? F_OFD_SETLK : F_SETLK, test = kinds & 1 ? F_OFD_GETLK : F_GETLK;
	posix_note("row %u, kinds %u", row, kinds);
	put("f", "content");
	struct lock_job j = job(kinds & 2 ? F_OFD_SETLK : F_SETLK, conflicts[row].held, conflicts[row].start, conflicts[row].len);
	pid_t pid = start_child(hold, &j);
	gate_wait(&j.ready);
	int fd = OK(open("f", O_RDWR));
	struct flock l = range(conflicts[row].asked, conflicts[row].at, conflicts[row].count);
	OK(fcntl(fd, test, &l));
	if (conflicts[row].conflict) {
		EQ(l.l_type, conflicts[row].held);
		EQ(l.l_start, conflicts[row].start);
		EQ(l.l_len, conflicts[row].len);
		EQ(l.l_whence, SEEK_SET);
		/* Asked by F_OFD_GETLK, the kernel tells no pid of a lock that a FUSE file system reported. */
		if (!(kinds & 2) && !(kinds & 1 && l.l_pid == -1))
			EQ(l.l_pid, pid);
	} else {
		EQ(l.l_type, F_UNLCK);
	}
	GIVES(record(fd, ask, conflicts[row].asked, conflicts[row].at, conflicts[row].count),
	      conflicts[row].conflict ? EAGAIN : 0);
	gate_open(&j.go);
	end_child(pid);
	OK(record(fd, ask, conflicts[row].asked, conflicts[row].at, conflicts[row].count));
}

CASES(lock_flock_conflicts, 4)
{
	short held = index & 1 ? F_WRLCK : F_RDLCK;
	int asked = index & 2 ? LOCK_EX : LOCK_SH;
	put("f", "");
	struct lock_job j = job(-1, held, 0, 0);
	pid_t pid = start_child(hold, &j);
	gate_wait(&j.ready);
	int fd = OK(open("f", O_RDONLY));
	GIVES(flock(fd, asked | LOCK_NB), index == 0 ? 0 : EWOULDBLOCK);
	gate_open(&j.go);
	end_child(pid);
	OK(flock(fd, asked | LOCK_NB));
}

CASE(lock_flock_is_the_descriptions)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR)), shared = OK(dup(a));
	OK(flock(a, LOCK_EX));
	OK(flock(shared, LOCK_EX | LOCK_NB)); /* the same description */
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(close(a));
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(close(shared));
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(flock(b, LOCK_UN));
	FAILS(flock(b, 77), EINVAL);
}

CASE(lock_flock_converts)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH));
	FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(b, LOCK_UN));
	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(flock(a, LOCK_SH | LOCK_NB));
	OK(flock(b, LOCK_SH | LOCK_NB));
}

CASE(lock_kinds_are_apart)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(flock(a, LOCK_EX));
	OK(record(b, F_OFD_SETLK, F_WRLCK, 0, 0)); /* flock and record locks don't know each other */
}

CASE(lock_posix_is_the_processs)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(record(a, F_SETLK, F_WRLCK, 0, 10));
	OK(record(b, F_SETLK, F_WRLCK, 0, 10));
	struct flock l = range(F_WRLCK, 0, 0);
	OK(fcntl(b, F_GETLK, &l));
	EQ(l.l_type, F_UNLCK);
}

static int try_posix(void *arg)
{
	(void)arg;
	int fd = OK(open("f", O_RDWR));
	return record(fd, F_SETLK, F_WRLCK, 0, 10) == 0 ? 0 : errno == EAGAIN ? 1 : 2;
}

CASE(lock_posix_released_by_any_close)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDONLY));
	OK(record(a, F_SETLK, F_WRLCK, 0, 10));
	EQ(in_child(try_posix, NULL), 1);
	OK(close(b)); /* POSIX: closing any descriptor of the file drops them all */
	EQ(in_child(try_posix, NULL), 0);
}

CASE(lock_posix_released_by_exit)
{
	put("f", "");
	struct lock_job j = job(F_SETLK, F_WRLCK, 0, 10);
	pid_t pid = start_child(hold, &j);
	gate_wait(&j.ready);
	EQ(in_child(try_posix, NULL), 1);
	kill(pid, SIGKILL);
	int status;
	OK(waitpid(pid, &status, 0));
	EQ(in_child(try_posix, NULL), 0);
}

CASE(lock_posix_not_inherited_by_fork)
{
	put("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(record(fd, F_SETLK, F_WRLCK, 0, 10));
	EQ(in_child(try_posix, NULL), 1);
	EQ(in_child(try_posix, NULL), 1); /* and the child's close took nothing */
}

CASE(lock_ofd_released_by_last_close)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR)), shared = OK(dup(a));
	OK(record(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	FAILS(record(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
	OK(close(a));
	FAILS(record(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
	OK(close(shared));
	OK(record(b, F_OFD_SETLK, F_WRLCK, 5, 1));
}

CASE(lock_ofd_not_released_by_other_close)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(record(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	OK(close(OK(open("f", O_RDONLY))));
	FAILS(record(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
}

CASE(lock_posix_splits_and_merges)
{
	put("f", "");
	int fd = OK(open("f", O_RDWR)), other = OK(open("f", O_RDWR));
	OK(record(fd, F_SETLK, F_WRLCK, 0, 100));
	OK(record(fd, F_SETLK, F_UNLCK, 40, 20));
	FAILS(record(other, F_OFD_SETLK, F_WRLCK, 39, 1), EAGAIN);
	OK(record(other, F_OFD_SETLK, F_WRLCK, 40, 20));
	FAILS(record(other, F_OFD_SETLK, F_WRLCK, 60, 1), EAGAIN);
	OK(record(fd, F_SETLK, F_RDLCK, 0, 20)); /* weaker in a part */
	OK(record(other, F_OFD_SETLK, F_RDLCK, 0, 20));
	FAILS(record(other, F_OFD_SETLK, F_RDLCK, 20, 1), EAGAIN);
	OK(record(fd, F_SETLK, F_UNLCK, 0, 0));
	OK(record(other, F_OFD_SETLK, F_WRLCK, 0, 0));
}

CASE(lock_needs_access)
{
	put("f", "");
	FAILS(record(OK(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 1), EBADF);
	FAILS(record(OK(open("f", O_WRONLY)), F_SETLK, F_RDLCK, 0, 1), EBADF);
	int fd = OK(open("f", O_RDWR));
	FAILS(record(fd, F_SETLK, F_WRLCK, -1, 1), EINVAL);
	FAILS(record(fd, F_SETLK, 77, 0, 1), EINVAL);
	OK(record(fd, F_SETLK, F_WRLCK, 10, -5));
	struct flock l = range(F_WRLCK, 5, 1);
	OK(fcntl(OK(open("f", O_RDWR)), F_OFD_GETLK, &l));
	EQ(l.l_start, 5);
	EQ(l.l_len, 5);
}

/* Waits for the lock that the parent has, then says when it came. */
static int wait_for_lock(void *arg)
{
	struct lock_job *j = arg;
	int fd = OK(open("f", O_RDWR));
	gate_open(&j->ready);
	if (j->command == -1)
		OK(flock(fd, LOCK_EX));
	else
		OK(record(fd, j->command, F_WRLCK, 0, 10));
	gate_open(&j->go);
	return 0;
}

static bool opened_within(struct gate *g, int ms)
{
	for (int i = 0; i < ms; i += 10) {
		char c;
		OK(fcntl(g->fd[0], F_SETFL, O_NONBLOCK));
		ssize_t n = read(g->fd[0], &c, 1);
		if (n == 1)
			return true;
		EQ(errno, EAGAIN);
		usleep(10000);
	}
	return false;
}

CASES(lock_waits_until_released, 3)
{
	static const int waits[] = {-1, F_SETLKW, F_OFD_SETLKW};
	struct lock_job j = job(waits[index], F_WRLCK, 0, 10);
	put("f", "");
	int fd = OK(open("f", O_RDWR));
	if (index == 0)
		OK(flock(fd, LOCK_EX));
	else
		OK(record(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	pid_t pid = start_child(wait_for_lock, &j);
	gate_wait(&j.ready);
	TRUE(!opened_within(&j.go, 200));
	if (index == 0)
		OK(flock(fd, LOCK_UN));
	else
		OK(record(fd, F_OFD_SETLK, F_UNLCK, 0, 10));
	TRUE(opened_within(&j.go, 5000));
	end_child(pid);
}

CASE(lock_waits_for_part)
{
	struct lock_job j = job(F_SETLKW, F_WRLCK, 0, 10);
	put("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(record(fd, F_OFD_SETLK, F_WRLCK, 5, 100));
	pid_t pid = start_child(wait_for_lock, &j);
	gate_wait(&j.ready);
	TRUE(!opened_within(&j.go, 150));
	OK(record(fd, F_OFD_SETLK, F_UNLCK, 5, 5));
	TRUE(opened_within(&j.go, 5000));
	end_child(pid);
}

static void on_alarm(int number)
{
	(void)number;
}

static int wait_interrupted(void *arg)
{
	int command = *(int *)arg;
	struct sigaction act = {.sa_handler = on_alarm};
	OK(sigaction(SIGALRM, &act, NULL));
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	struct itimerspec in = {.it_value = {0, 200000000}, .it_interval = {0, 200000000}};
	OK(timer_settime(timer, 0, &in, NULL));
	int fd = OK(open("f", O_RDWR));
	if (command == -1)
		FAILS(flock(fd, LOCK_EX), EINTR);
	else
		FAILS(record(fd, command, F_WRLCK, 0, 10), EINTR);
	return 0;
}

CASES(lock_wait_is_interrupted, 3)
{
	static int waits[] = {-1, F_SETLKW, F_OFD_SETLKW};
	put("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(flock(fd, LOCK_EX));
	OK(record(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	EQ(in_child(wait_interrupted, &waits[index]), 0);
	OK(flock(fd, LOCK_UN));
	OK(record(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
	int other = OK(open("f", O_RDWR)); /* the one who gave up holds nothing, and waits no longer */
	OK(flock(other, LOCK_EX | LOCK_NB));
	OK(record(other, F_OFD_SETLK, F_WRLCK, 0, 0));
}

CASES(lock_waiter_killed, 3)
{
	static const int waits[] = {-1, F_SETLKW, F_OFD_SETLKW};
	struct lock_job j = job(waits[index], F_WRLCK, 0, 10);
	put("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(flock(fd, LOCK_EX));
	OK(record(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
	pid_t pid = start_child(wait_for_lock, &j);
	gate_wait(&j.ready);
	usleep(100000);
	kill(pid, SIGKILL);
	int status;
	OK(waitpid(pid, &status, 0));
	OK(close(fd));
	int other = OK(open("f", O_RDWR));
	OK(flock(other, LOCK_EX | LOCK_NB));
	OK(record(other, F_OFD_SETLK, F_WRLCK, 0, 0));
}

/* Two processes that each have one half and want the other's: one of them is told. */
static int deadlock_partner(void *arg)
{
	struct lock_job *j = arg;
	int fd = OK(open("f", O_RDWR));
	OK(record(fd, F_SETLK, F_WRLCK, 0, 1));
	gate_open(&j->ready);
	gate_wait(&j->go);
	int result = record(fd, F_SETLKW, F_WRLCK, 1, 1);
	return result == 0 ? 0 : errno == EDEADLK ? 35 : 1;
}

CASE(lock_deadlock_is_found)
{
	struct lock_job j = job(F_SETLK, F_WRLCK, 0, 1);
	put("f", "");
	int fd = OK(open("f", O_RDWR));
	pid_t pid = start_child(deadlock_partner, &j);
	OK(record(fd, F_SETLK, F_WRLCK, 1, 1));
	gate_wait(&j.ready);
	gate_open(&j.go);
	usleep(200000);
	int mine = record(fd, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : errno;
	OK(record(fd, F_SETLK, F_UNLCK, 0, 0));
	int status;
	OK(waitpid(pid, &status, 0));
	TRUE(WIFEXITED(status));
	TRUE((mine == EDEADLK) != (WEXITSTATUS(status) == 35)); /* exactly one */
}

static int count_up(void *arg)
{
	int command = *(int *)arg;
	for (unsigned i = 0; i < 100; i++) {
		int fd = OK(open("f", O_RDWR));
		if (command == -1)
			OK(flock(fd, LOCK_EX));
		else
			OK(record(fd, command, F_WRLCK, 0, 0));
		char buf[32] = "";
		OK(pread(fd, buf, sizeof buf - 1, 0));
		int len = snprintf(buf, sizeof buf, "%08lu", strtoul(buf, NULL, 10) + 1);
		EQ(OK(pwrite(fd, buf, (size_t)len, 0)), len);
		OK(close(fd));
	}
	return 0;
}

CASES(lock_protects_a_counter, 3)
{
	static int kinds[] = {-1, F_SETLKW, F_OFD_SETLKW};
	put("f", "00000000");
	pid_t pids[4];
	for (unsigned i = 0; i < 4; i++)
		pids[i] = start_child(count_up, &kinds[index]);
	for (unsigned i = 0; i < 4; i++)
		end_child(pids[i]);
	want("f", "00000400");
}

CASE(lock_survives_rename_and_unlink)
{
	put("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(flock(a, LOCK_EX));
	OK(rename("f", "g"));
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(unlink("g"));
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(close(a));
	OK(flock(b, LOCK_EX | LOCK_NB));
}

CASE(lock_of_directory)
{
	OK(mkdir("d", 0755));
	int a = OK(open("d", O_RDONLY)), b = OK(open("d", O_RDONLY));
	OK(flock(a, LOCK_EX));
	FAILS(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
}

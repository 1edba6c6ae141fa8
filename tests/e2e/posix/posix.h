/*
 * The conformance exerciser's frame: each case is a small function that runs in a fresh, empty directory of the file
 * system under test, in a process of its own. It says nothing of any product: it has to pass on ext4 just as well.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_E2E_POSIX_H
#define INLAY_E2E_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* The ordinary user that the user's pass runs as, and the groups that process has besides its own. */
#define USER_UID 12345u
#define USER_GID 12345u
#define USER_GROUP1 23451u
#define USER_GROUP2 23452u
/* Somebody else, who shares no group with that user. */
#define OTHER_UID 54321u
#define OTHER_GID 54321u

enum case_who { AS_ANY = 0, AS_ROOT = 1, AS_USER = 2 };

struct posix_case {
	const char *name;
	void (*run)(unsigned index);
	unsigned count; /* runs as index 0 ... count - 1 */
	enum case_who who;
	struct posix_case *next;
};
void posix_register(struct posix_case *c);

#define CASE_DEFINE(name_, count_, who_) \
	static void name_(unsigned index); \
	__attribute__((constructor)) static void register_##name_(void) \
	{ \
		static struct posix_case c = {#name_, name_, count_, who_, NULL}; \
		posix_register(&c); \
	} \
	static void name_(__attribute__((unused)) unsigned index)
/* For every user; for root alone (it may fork children that are others); for an ordinary user alone. */
#define CASE(name_) CASE_DEFINE(name_, 1, AS_ANY)
#define ROOT_CASE(name_) CASE_DEFINE(name_, 1, AS_ROOT)
#define USER_CASE(name_) CASE_DEFINE(name_, 1, AS_USER)
/* A table: the body finds its row by `index`. */
#define CASES(name_, count_) CASE_DEFINE(name_, count_, AS_ANY)
#define ROOT_CASES(name_, count_) CASE_DEFINE(name_, count_, AS_ROOT)

/* Ends the case. A limit is something that the kernel's FUSE does not offer to any file system; said, not counted as failure. */
void posix_fail(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));
void posix_skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void posix_limit(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Text that precedes a failure: which row of a table, say. */
void posix_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *posix_errno_name(int number);
bool posix_on_fuse(void);

/* What the macros below call; they return what they were given, or end the case. */
long long posix_ok(const char *file, int line, const char *text, long long result);
void posix_fails(const char *file, int line, const char *text, long long result, int want_errno, int or_errno);
void posix_equal(const char *file, int line, const char *text, long long result, long long wanted);
void posix_gives(const char *file, int line, const char *text, long long result, int want_errno);

#define OK(expr) ({ (__typeof__(expr))posix_ok(__FILE__, __LINE__, #expr, (long long)(expr)); })
#define FAILS(expr, want_errno) posix_fails(__FILE__, __LINE__, #expr, (long long)(expr), want_errno, want_errno)
#define FAILS_EITHER(expr, want_errno, or_errno) \
	posix_fails(__FILE__, __LINE__, #expr, (long long)(expr), want_errno, or_errno)
#define EQ(expr, wanted) posix_equal(__FILE__, __LINE__, #expr, (long long)(expr), (long long)(wanted))
#define TRUE(expr) \
	do { \
		if (!(expr)) \
			posix_fail(__FILE__, __LINE__, "not so: %s", #expr); \
	} while (0)
/* Either succeeds (0) or gives the errno wanted. */
#define GIVES(expr, want_errno) posix_gives(__FILE__, __LINE__, #expr, (long long)(expr), want_errno)

/* ---- helpers; they end the case when they fail ---- */

/* Makes a file of that content; returns nothing open. */
void put(const char *path, const char *text);
/* The content equals text. */
void want(const char *path, const char *text);
void want_fd(int fd, const char *text);
int create(const char *path, mode_t mode); /* O_CREAT | O_EXCL | O_RDWR, exactly that mode */
struct stat stat_of(const char *path);     /* lstat */
struct stat fstat_of(int fd);
bool exists(const char *path);
/* Fills with bytes that depend on their offset, and checks them. */
void fill(void *buf, size_t len, uint64_t off);
void want_filled(const void *buf, size_t len, uint64_t off);
int64_t time_diff_ns(struct timespec a, struct timespec b); /* a - b */
struct timespec clock_now(void);

/*
 * Runs a function in a child process, as somebody else (root only) or as oneself; the child's failure is the case's.
 * Returns the child's exit status (0 ... 76) that the function returned.
 */
int in_child(int (*run)(void *arg), void *arg);
int as_user(uid_t uid, gid_t gid, int ngroups, const gid_t *groups, int (*run)(void *arg), void *arg);
/* Two-way signalling between a parent and a child. */
struct gate {
	int fd[2];
};
struct gate gate_new(void);
void gate_open(struct gate *g);
void gate_wait(struct gate *g);
/* Like in_child, but it runs beside; end_child waits for it and checks that it returned 0. */
pid_t start_child(int (*run)(void *arg), void *arg);
void end_child(pid_t pid);

#endif

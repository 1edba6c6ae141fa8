/*
 * The conformance exerciser: posix [-u] [-l] [-s] DIR [PATTERN]. Runs every case in a directory of its own under DIR,
 * -u as an ordinary user, -s each failure's stack kept short; -l lists. A line for each: name, pass|fail|skip|limit, why.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <dirent.h>
#include <fnmatch.h>
#include <grp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <time.h>

#define CASE_SECONDS 30u
enum { EXIT_FAIL = 97, EXIT_SKIP = 98, EXIT_LIMIT = 99 };

static struct posix_case *cases, **cases_end = &cases;
static int why_fd = -1; /* a case says here why it ended */
static char note[256];
static pid_t case_pid;

void posix_register(struct posix_case *c)
{
	*cases_end = c;
	cases_end = &c->next;
}

const char *posix_errno_name(int number)
{
	const char *name = number ? strerrorname_np(number) : "success";
	return name ? name : "unknown errno";
}

void posix_note(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(note, sizeof note, format, ap);
	va_end(ap);
}

static void say(const char *format, va_list ap, const char *where)
{
	char text[1024];
	int len = snprintf(text, sizeof text, "%s%s%s", where, note, note[0] ? ": " : "");
	vsnprintf(text + len, sizeof text - (size_t)len, format, ap);
	ssize_t n = write(why_fd, text, strlen(text));
	(void)n;
}

void posix_fail(const char *file, int line, const char *format, ...)
{
	char where[128];
	const char *slash = strrchr(file, '/');
	snprintf(where, sizeof where, "%s:%d: ", slash ? slash + 1 : file, line);
	va_list ap;
	va_start(ap, format);
	say(format, ap, where);
	va_end(ap);
	_exit(EXIT_FAIL);
}

void posix_skip(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	say(format, ap, "");
	va_end(ap);
	_exit(EXIT_SKIP);
}

void posix_limit(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	say(format, ap, "");
	va_end(ap);
	_exit(EXIT_LIMIT);
}

long long posix_ok(const char *file, int line, const char *text, long long result)
{
	if (result == -1)
		posix_fail(file, line, "%s: %s", text, posix_errno_name(errno));
	return result;
}

void posix_fails(const char *file, int line, const char *text, long long result, int want_errno, int or_errno)
{
	int number = errno;
	if (result != -1)
		posix_fail(file, line, "%s: %lld, not %s", text, result, posix_errno_name(want_errno));
	if (number != want_errno && number != or_errno)
		posix_fail(file, line, "%s: %s, not %s", text, posix_errno_name(number), posix_errno_name(want_errno));
}

void posix_equal(const char *file, int line, const char *text, long long result, long long wanted)
{
	if (result != wanted)
		posix_fail(file, line, "%s: %lld, not %lld", text, result, wanted);
}

void posix_gives(const char *file, int line, const char *text, long long result, int want_errno)
{
	int number = result == -1 ? errno : 0;
	if (number != want_errno)
		posix_fail(file, line, "%s: %s, not %s", text, posix_errno_name(number), posix_errno_name(want_errno));
}

bool posix_on_fuse(void)
{
	struct statfs s;
	OK(statfs(".", &s));
	return s.f_type == 0x65735546;
}

/* Removes what a case left behind, however deep. Errors are seen by the rmdir of the caller. */
static void empty_dir(int fd)
{
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	const struct dirent *e;
	while ((e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(dir), e->d_name, 0))
			continue;
		fchmodat(dirfd(dir), e->d_name, 0700, 0);
		int sub = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			empty_dir(sub);
		unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

static int remove_tree(const char *name)
{
	chmod(name, 0700);
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		empty_dir(fd);
	return rmdir(name);
}

static void run_child(const struct posix_case *c, unsigned index, const char *dir)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	umask(022);
	if (chdir(dir))
		posix_fail(__FILE__, __LINE__, "chdir(%s): %s", dir, posix_errno_name(errno));
	c->run(index);
	_exit(0);
}

/* Waits for the case; one that hangs is told of and killed, with all that it forked. */
static int wait_child(pid_t pid, bool *timed_out)
{
	struct timespec tick = {0, 2000000};
	int status;
	*timed_out = false;
	for (unsigned ms = 0; waitpid(pid, &status, WNOHANG) == 0; ms += 2) {
		if (ms > CASE_SECONDS * 1000) {
			*timed_out = true;
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
		nanosleep(&tick, NULL);
	}
	kill(-pid, SIGKILL);
	return status;
}

enum { PASS, FAIL, SKIP, LIMIT, VERDICTS };
static const char *const verdict_names[] = {"pass", "fail", "skip", "limit"};

static int judge(int status, bool timed_out, char *why, size_t cap)
{
	if (timed_out)
		snprintf(why, cap, "no end after %u s", CASE_SECONDS);
	else if (WIFSIGNALED(status))
		snprintf(why, cap, "killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 0)
		return PASS;
	else if (WEXITSTATUS(status) == EXIT_SKIP)
		return SKIP;
	else if (WEXITSTATUS(status) == EXIT_LIMIT)
		return LIMIT;
	return FAIL;
}

static int run_case(const struct posix_case *c, unsigned index)
{
	char dir[128], name[128], why[1100] = "";
	snprintf(name, sizeof name, c->count > 1 ? "%s[%u]" : "%s", c->name, index);
	snprintf(dir, sizeof dir, "case.%s.%u", c->name, index);
	int result = FAIL;
	int pipes[2];
	if (mkdir(dir, 0755)) {
		snprintf(why, sizeof why, "mkdir(%s): %s", dir, posix_errno_name(errno));
	} else if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK)) {
		snprintf(why, sizeof why, "pipe: %s", posix_errno_name(errno));
	} else {
		why_fd = pipes[1];
		case_pid = fork();
		if (case_pid == 0)
			run_child(c, index, dir);
		bool timed_out;
		int status = wait_child(case_pid, &timed_out);
		ssize_t len = read(pipes[0], why, sizeof why - 1);
		why[len > 0 ? len : 0] = '\0';
		close(pipes[0]);
		close(pipes[1]);
		result = judge(status, timed_out, why, sizeof why);
		if (remove_tree(dir) && result != FAIL) {
			snprintf(why, sizeof why, "can't be removed afterwards: %s", posix_errno_name(errno));
			result = FAIL;
		}
	}
	printf("%s\t%s\t%s\n", name, verdict_names[result], why);
	fflush(stdout);
	return result;
}

static void become_user(void)
{
	gid_t groups[] = {USER_GROUP1, USER_GROUP2};
	if (geteuid() == USER_UID)
		return;
	if (setgroups(2, groups) || setresgid(USER_GID, USER_GID, USER_GID) || setresuid(USER_UID, USER_UID, USER_UID)) {
		perror("posix: can't become an ordinary user");
		exit(2);
	}
	prctl(PR_SET_DUMPABLE, 1);
}

int main(int argc, char **argv)
{
	bool user = false, list = false;
	int opt;
	while ((opt = getopt(argc, argv, "ul")) != -1) {
		if (opt == 'u')
			user = true;
		else if (opt == 'l')
			list = true;
		else
			return 2;
	}
	if (!list && optind >= argc) {
		fprintf(stderr, "usage: posix [-u] [-l] DIR [PATTERN]\n");
		return 2;
	}
	if (user)
		become_user();
	if (!list && chdir(argv[optind])) {
		perror(argv[optind]);
		return 2;
	}
	const char *pattern = optind + 1 < argc ? argv[optind + 1] : "*";
	unsigned counts[VERDICTS] = {0};
	for (const struct posix_case *c = cases; c; c = c->next) {
		if (c->who == (geteuid() == 0 ? AS_USER : AS_ROOT) || fnmatch(pattern, c->name, 0))
			continue;
		for (unsigned i = 0; i < c->count; i++) {
			if (list)
				printf("%s %u\n", c->name, i);
			else
				counts[run_case(c, i)]++;
		}
	}
	if (!list)
		printf("total\t%u passed, %u failed, %u skipped, %u limits of the kernel's FUSE\n", counts[PASS], counts[FAIL],
		       counts[SKIP], counts[LIMIT]);
	return counts[FAIL] > 0 || (!list && !counts[PASS]);
}

/*
 * Small files, as programs meet them: smallfiles DIR FILES THREADS PHASE... Each thread has a folder of its own; a phase
 * prints its operations per second. Phases: create (open, write 4 KiB, close), stat, read (open, read, close), list
 * (names alone), walk (names and attributes, as `ls -l`), rename, unlink. PHASE:SECONDS repeats a phase that changes
 * nothing until that time has passed, so that fast ones are measured over more than a few milliseconds.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 4096 };

struct worker {
	pthread_t thread;
	int dir;
	unsigned files;
	unsigned long done; /* operations */
	double seconds;	    /* the phase repeats until then */
	void (*phase)(struct worker *w);
};

static char content[BYTES];

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void name_of(char name[32], unsigned i, const char *suffix)
{
	snprintf(name, 32, "file%06u%s", i, suffix);
}

static void create(struct worker *w)
{
	char name[32];
	for (unsigned i = 0; i < w->files; i++, w->done++) {
		name_of(name, i, "");
		int fd = openat(w->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, content, BYTES) != BYTES || close(fd) < 0)
			err(1, "create %s", name);
	}
}

static void stat_each(struct worker *w)
{
	char name[32];
	struct stat s;
	for (unsigned i = 0; i < w->files; i++, w->done++) {
		name_of(name, i, "");
		if (fstatat(w->dir, name, &s, 0) < 0 || s.st_size != BYTES)
			err(1, "stat %s", name);
	}
}

static void read_each(struct worker *w)
{
	char name[32], buf[BYTES];
	for (unsigned i = 0; i < w->files; i++, w->done++) {
		name_of(name, i, "");
		int fd = openat(w->dir, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, buf, BYTES) != BYTES || memcmp(buf, content, BYTES) != 0)
			err(1, "read %s", name);
		close(fd);
	}
}

static void list_each(struct worker *w, int with_attributes)
{
	struct stat s;
	const struct dirent *e;
	unsigned seen = 0;
	DIR *d = fdopendir(openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!d)
		err(1, "opendir");
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (with_attributes && fstatat(w->dir, e->d_name, &s, AT_SYMLINK_NOFOLLOW) < 0)
			err(1, "stat %s", e->d_name);
		seen++;
	}
	closedir(d);
	if (seen != w->files)
		errx(1, "%u entries, not %u", seen, w->files);
	w->done += seen;
}

static void list(struct worker *w)
{
	list_each(w, 0);
}

static void walk(struct worker *w)
{
	list_each(w, 1);
}

static void rename_each(struct worker *w)
{
	char from[32], to[32];
	for (unsigned i = 0; i < w->files; i++, w->done++) {
		name_of(from, i, "");
		name_of(to, i, ".new");
		if (renameat(w->dir, from, w->dir, to) < 0)
			err(1, "rename %s", from);
	}
}

static void unlink_each(struct worker *w)
{
	char name[32];
	for (unsigned i = 0; i < w->files; i++, w->done++) {
		name_of(name, i, ".new");
		if (unlinkat(w->dir, name, 0) < 0)
			err(1, "unlink %s", name);
	}
}

static const struct {
	const char *name;
	void (*run)(struct worker *w);
	int changes; /* can't run twice */
} phases[] = {
	{"create", create, 1}, {"stat", stat_each, 0},	   {"read", read_each, 0},     {"list", list, 0},
	{"walk", walk, 0},     {"rename", rename_each, 1}, {"unlink", unlink_each, 1},
};

static void *work(void *arg)
{
	struct worker *w = arg;
	double begin = now_s();
	do
		w->phase(w);
	while (now_s() - begin < w->seconds);
	return NULL;
}

/* The place in phases of the one that this argument names, and how long it shall repeat. */
static unsigned phase_find(const char *arg, double *ret_seconds)
{
	size_t len = strcspn(arg, ":");
	*ret_seconds = arg[len] ? atof(arg + len + 1) : 0;
	for (unsigned p = 0; p < sizeof(phases) / sizeof(*phases); p++) {
		if (strlen(phases[p].name) != len || strncmp(phases[p].name, arg, len) != 0)
			continue;
		if (phases[p].changes && *ret_seconds > 0)
			errx(2, "%s can't be repeated", phases[p].name);
		return p;
	}
	errx(2, "no such phase: %s", arg);
}

static void run_phase(const char *arg, struct worker *workers, unsigned threads)
{
	double repeat;
	unsigned p = phase_find(arg, &repeat);
	unsigned long done = 0;
	double begin = now_s();
	for (unsigned i = 0; i < threads; i++) {
		workers[i].phase = phases[p].run;
		workers[i].done = 0;
		workers[i].seconds = repeat;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			errx(1, "no thread");
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		done += workers[i].done;
	}
	printf("%s %.1f\n", phases[p].name, (double)done / (now_s() - begin));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct worker workers[64];
	if (argc < 5)
		errx(2, "usage: smallfiles DIR FILES THREADS PHASE...");
	unsigned files = (unsigned)atoi(argv[2]), threads = (unsigned)atoi(argv[3]);
	if (files < 1 || threads < 1 || threads > 64)
		errx(2, "FILES and THREADS must be positive, THREADS at most 64");
	memset(content, 'x', sizeof(content));
	for (unsigned i = 0; i < threads; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/t%u", argv[1], i);
		mkdir(path, 0755);
		workers[i] = (struct worker){.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .files = files / threads};
		if (workers[i].dir < 0)
			err(1, "%s", path);
	}
	for (int i = 4; i < argc; i++)
		run_phase(argv[i], workers, threads);
	for (unsigned i = 0; i < threads; i++)
		close(workers[i].dir);
	return 0;
}

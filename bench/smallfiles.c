/*
 * Measures one operation on many small files, by some threads at once, each in a directory tree of its own.
 * Usage: smallfiles PHASE DIR FILES THREADS [SECONDS]. PHASE: create stat read list walk rename unlink.
 * Prints operations a second. A phase that changes nothing runs again until SECONDS have passed (default 0: once).
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE 4096
#define FILES_PER_DIR 100
#define THREADS_MAX 64
#define PATH_LEN 1024

struct worker {
	const char *top;
	int number;
	int files;
	double seconds;
	const struct phase *phase;
	long count; /* operations done */
};

struct phase {
	const char *name;
	long (*pass)(const struct worker *w); /* returns how many operations it did */
	bool repeats;			      /* changes nothing, may run again */
};

static pthread_barrier_t start_line;
static char content[FILE_SIZE];

static void __attribute__((noreturn)) die(const char *what, const char *path)
{
	fprintf(stderr, "smallfiles: %s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *dir_path(const struct worker *w, int dir, char path[PATH_LEN])
{
	snprintf(path, PATH_LEN, "%s/t%d/d%d", w->top, w->number, dir);
	return path;
}

static const char *file_path(const struct worker *w, int file, const char *prefix, char path[PATH_LEN])
{
	snprintf(path, PATH_LEN, "%s/t%d/d%d/%s%d", w->top, w->number, file / FILES_PER_DIR, prefix, file);
	return path;
}

static int dir_count(const struct worker *w)
{
	return (w->files + FILES_PER_DIR - 1) / FILES_PER_DIR;
}

/* Not timed: the directories that create fills. */
static void make_dirs(const struct worker *w)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/t%d", w->top, w->number);
	if (mkdir(path, 0755) < 0)
		die("mkdir", path);
	for (int i = 0; i < dir_count(w); i++)
		if (mkdir(dir_path(w, i, path), 0755) < 0)
			die("mkdir", path);
}

static long pass_create(const struct worker *w)
{
	char path[PATH_LEN];

	for (int i = 0; i < w->files; i++) {
		int fd = open(file_path(w, i, "f", path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

		if (fd < 0)
			die("create", path);
		if (write(fd, content, sizeof(content)) != (ssize_t)sizeof(content))
			die("write", path);
		if (close(fd) < 0)
			die("close", path);
	}
	return w->files;
}

static long pass_stat(const struct worker *w)
{
	char path[PATH_LEN];
	struct stat s;

	for (int i = 0; i < w->files; i++) {
		if (stat(file_path(w, i, "f", path), &s) < 0)
			die("stat", path);
		if (s.st_size != FILE_SIZE) {
			errno = EIO;
			die("wrong size of", path);
		}
	}
	return w->files;
}

static long pass_read(const struct worker *w)
{
	char path[PATH_LEN], data[FILE_SIZE];

	for (int i = 0; i < w->files; i++) {
		int fd = open(file_path(w, i, "f", path), O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			die("open", path);
		if (read(fd, data, sizeof(data)) != (ssize_t)sizeof(data) || memcmp(data, content, sizeof(data)) != 0)
			die("read", path);
		if (close(fd) < 0)
			die("close", path);
	}
	return w->files;
}

static long list_dir(const char *path, bool with_stat)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct stat s;
	long count = 0;

	if (!dir)
		die("list", path);
	for (errno = 0; (entry = readdir(dir)); errno = 0) {
		if (entry->d_name[0] == '.')
			continue;
		if (with_stat && fstatat(dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) < 0)
			die("stat in", path);
		count++;
	}
	if (errno)
		die("list", path);
	closedir(dir);
	return count;
}

static long list_dirs(const struct worker *w, bool with_stat)
{
	char path[PATH_LEN];
	long count = 0;

	for (int i = 0; i < dir_count(w); i++)
		count += list_dir(dir_path(w, i, path), with_stat);
	if (count != w->files) {
		errno = EIO;
		die("wrong number of files in", path);
	}
	return count;
}

static long pass_list(const struct worker *w)
{
	return list_dirs(w, false);
}

static long pass_walk(const struct worker *w)
{
	return list_dirs(w, true);
}

static long pass_rename(const struct worker *w)
{
	char from[PATH_LEN], to[PATH_LEN];

	for (int i = 0; i < w->files; i++)
		if (rename(file_path(w, i, "f", from), file_path(w, i, "r", to)) < 0)
			die("rename", from);
	return w->files;
}

static long pass_unlink(const struct worker *w)
{
	char path[PATH_LEN];

	for (int i = 0; i < w->files; i++)
		if (unlink(file_path(w, i, "r", path)) < 0)
			die("unlink", path);
	return w->files;
}

static const struct phase phases[] = {
	{"create", pass_create, false}, {"stat", pass_stat, true}, {"read", pass_read, true},
	{"list", pass_list, true},	{"walk", pass_walk, true}, {"rename", pass_rename, false},
	{"unlink", pass_unlink, false},
};

static void *work(void *arg)
{
	struct worker *w = arg;
	double start;

	pthread_barrier_wait(&start_line);
	start = now_s();
	do
		w->count += w->phase->pass(w);
	while (w->phase->repeats && now_s() - start < w->seconds);
	return NULL;
}

static const struct phase *phase_find(const char *name)
{
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (strcmp(phases[i].name, name) == 0)
			return &phases[i];
	fprintf(stderr, "smallfiles: no phase '%s'\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	int thread_count = argc > 4 ? atoi(argv[4]) : 0;
	double start, seconds;
	long count = 0;

	if (thread_count < 1 || thread_count > THREADS_MAX || atoi(argv[3]) < thread_count) {
		fprintf(stderr, "usage: smallfiles PHASE DIR FILES THREADS [SECONDS]\n");
		return 2;
	}
	memset(content, 'i', sizeof(content));
	pthread_barrier_init(&start_line, NULL, (unsigned)thread_count + 1);
	for (int i = 0; i < thread_count; i++) {
		workers[i] = (struct worker){.top = argv[2], .number = i, .files = atoi(argv[3]) / thread_count,
			.seconds = argc > 5 ? atof(argv[5]) : 0, .phase = phase_find(argv[1])};
		if (workers[i].phase->pass == pass_create)
			make_dirs(&workers[i]);
		if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
			die("thread", argv[2]);
	}
	pthread_barrier_wait(&start_line);
	start = now_s();
	for (int i = 0; i < thread_count; i++) {
		pthread_join(threads[i], NULL);
		count += workers[i].count;
	}
	seconds = now_s() - start;
	printf("%.1f\n", (double)count / seconds);
	return 0;
}

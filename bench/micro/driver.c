/*
 * What a request costs natively with the driver's logic as a library: program's thread -> simulated filter manager -> driver -> ring ->
 * redirector -> ring -> driver's thread -> program. In one run, by turns, with two redirectors: a model of one that answers from its memory,
 * and the product's (filter's user side, redirector, session) before an inlayd over a Unix socket. Not part of the check.
 *
 * Usage: bench-driver [SECONDS]. Per number of programs a line for each redirector: how long a program waits for a read (mean), and the CPU
 * that each part spends on one: "driver" is programs, filter manager, driver and volume, the simulation's checks included; "server" inlayd.
 * Then, for the product's: its time as a multiple of the model's; the median of its wait for inlayd; its threads' part of the whole CPU; and,
 * with one program, its own part of the time: what is left without the model's time and without the wait for inlayd.
 * Built by: meson compile -C build inlayd bench-driver
 * SPDX-License-Identifier: Apache-2.0
 */
#include "world.h"

#include "redirector.h"

#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE (256u * 1024u)
#define ROUNDS 8 /* of each redirector, by turns */
#define ENTRIES 16u /* of either's ring */
#define SLOTS 8u

struct program {
	pthread_t thread;
	struct sim_file *file;
	ULONG length;
	_Atomic bool *stop;
	uint64_t done;
};

/* Seconds, by who spent them; wall among them. */
struct spent {
	double wall, all, redirector, server;
	struct inlay_hist there;
	uint64_t done;
};

static struct {
	struct world world;
	struct redirector redirector;
	char home[64], files[80], address[96];
	pid_t inlayd;
} b;

static void must(bool fine, const char *what)
{
	if (!fine) {
		fprintf(stderr, "bench-driver: %s\n", what);
		exit(1);
	}
}

/* ---- who spent what ---- */

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool is_redirectors(const char *task)
{
	char path[300], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
	f = fopen(path, "re");
	if (f && !fgets(name, sizeof(name), f))
		name[0] = '\0';
	if (f)
		fclose(f);
	return strncmp(name, "inlay-", 6) == 0 || strcmp(name, "process 200\n") == 0; /* the crew's; REDIRECTOR's */
}

static double redirector_seconds(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned long long ns;
	double sum = 0;

	must(tasks != NULL, "/proc");
	for (const struct dirent *e; (e = readdir(tasks));) {
		char path[300];
		FILE *f;

		if (e->d_name[0] == '.' || !is_redirectors(e->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", e->d_name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += (double)ns / 1e9;
		if (f)
			fclose(f);
	}
	closedir(tasks);
	return sum;
}

static void look(struct spent *now)
{
	uint64_t count[INLAY_SIDES], errors[INLAY_SIDES], bytes[INLAY_SIDES];
	struct inlay_hist latency[INLAY_SIDES];
	clockid_t server;

	must(clock_getcpuclockid(b.inlayd, &server) == 0, "inlayd is gone");
	memset(latency, 0, sizeof(latency));
	inlay_stats_sum(b.redirector.redirect.stats, INLAY_READ, count, errors, bytes, latency);
	now->there = latency[INLAY_REMOTE];
	now->wall = seconds(CLOCK_MONOTONIC);
	now->all = seconds(CLOCK_PROCESS_CPUTIME_ID);
	now->redirector = redirector_seconds();
	now->server = seconds(server);
}

static void add_difference(struct spent *sum, const struct spent *before, const struct spent *after)
{
	sum->wall += after->wall - before->wall;
	sum->all += after->all - before->all;
	sum->redirector += after->redirector - before->redirector;
	sum->server += after->server - before->server;
	sum->there.count += after->there.count - before->there.count;
	for (unsigned i = 0; i < INLAY_HIST_BUCKETS; i++)
		sum->there.bucket[i] += after->there.bucket[i] - before->there.bucket[i];
}

/* ---- reading ---- */

static void *program_main(void *arg)
{
	struct program *p = arg;
	uint8_t *buffer = malloc(p->length);

	for (uint64_t at = 0; buffer && !atomic_load(p->stop); at = (at + p->length) % FILE_SIZE) {
		if (world_read(p->file, at, buffer, p->length) != (int64_t)p->length || !world_check(buffer, at, 16, 1))
			abort();
		p->done++;
	}
	free(buffer);
	return NULL;
}

static void run(const WCHAR *path, unsigned threads, ULONG length, double how_long, struct spent *sum)
{
	struct timespec pause = {(time_t)how_long, (long)((how_long - (double)(time_t)how_long) * 1e9)};
	static struct spent before, after;
	struct program programs[8] = {0};
	_Atomic bool stop = false;

	for (unsigned i = 0; i < threads; i++) {
		programs[i] = (struct program){.length = length, .stop = &stop};
		must(NT_SUCCESS(world_open(&b.world, &programs[i].file, .path = path)), "the file can't be opened");
	}
	look(&before);
	for (unsigned i = 0; i < threads; i++)
		must(pthread_create(&programs[i].thread, NULL, program_main, &programs[i]) == 0, "no thread");
	nanosleep(&pause, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(programs[i].thread, NULL);
	look(&after);
	add_difference(sum, &before, &after);
	for (unsigned i = 0; i < threads; i++) {
		sum->done += programs[i].done;
		sim_cleanup(programs[i].file);
		sim_close(programs[i].file);
	}
}

static void print(const char *who, const struct spent *s, unsigned threads, double *ret_wait)
{
	double us = 1e6 / (double)s->done;

	*ret_wait = s->wall * us * threads;
	printf("    %-5s %8.2f us, CPU %7.2f us: driver %7.2f, redirector %7.2f, server %6.2f\n", who, *ret_wait, (s->all + s->server) * us,
	       (s->all - s->redirector) * us, s->redirector * us, s->server * us);
}

static void print_both(const struct spent *model, const struct spent *real, unsigned threads)
{
	double of_model, wait, there = (double)inlay_hist_permille(&real->there, 500) / 1e3;

	print("model", model, threads, &of_model);
	print("inlay", real, threads, &wait);
	printf("          %.2f times the model's time; waits %.1f us for inlayd; the redirector: %.0f %% of the CPU", wait / of_model, there,
	       100 * real->redirector / (real->all + real->server));
	if (threads == 1)
		printf(", %.0f %% of the time", 100 * (wait - of_model - there) / wait);
	printf("\n");
}

static void measure(unsigned threads, ULONG length, double how_long)
{
	static struct spent model, real;

	memset(&model, 0, sizeof(model));
	memset(&real, 0, sizeof(real));
	for (int i = 0; i < ROUNDS; i++) {
		run(L"\\work\\file", threads, length, how_long / ROUNDS, &model);
		run(L"\\real\\file", threads, length, how_long / ROUNDS, &real);
	}
	printf("reads of %u bytes, %u program%s\n", length, threads, threads > 1 ? "s" : "");
	print_both(&model, &real, threads);
}

/* ---- the server's process ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void stop_server(void)
{
	if (b.inlayd > 0) {
		kill(b.inlayd, SIGTERM);
		waitpid(b.inlayd, NULL, 0);
	}
	(void)nftw(b.home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void start_server(const void *data)
{
	char path[128], export[128], state[96];
	struct stat st;
	int fd;

	snprintf(b.home, sizeof(b.home), "/tmp/inlay-bench-XXXXXX");
	must(mkdtemp(b.home) != NULL, "no folder in /tmp");
	atexit(stop_server);
	snprintf(b.files, sizeof(b.files), "%s/files", b.home);
	snprintf(path, sizeof(path), "%s/file", b.files);
	snprintf(b.address, sizeof(b.address), "unix:%s/socket", b.home);
	snprintf(export, sizeof(export), "bench=%s", b.files);
	snprintf(state, sizeof(state), "%s/state", b.home);
	must(mkdir(b.files, 0755) == 0 && mkdir(state, 0700) == 0, "no folder in /tmp");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	must(fd >= 0 && write(fd, data, FILE_SIZE) == (ssize_t)FILE_SIZE && close(fd) == 0, "its file");
	b.inlayd = fork();
	if (b.inlayd == 0) {
		execl(BENCH_INLAYD, "inlayd", "--listen", b.address, "--export", export, "--state-dir", state, "--log-level", "warning", (char *)NULL);
		_exit(127);
	}
	snprintf(path, sizeof(path), "%s/socket", b.home);
	for (int i = 0; i < 500 && stat(path, &st) != 0; i++)
		usleep(10000);
	must(b.inlayd > 0 && stat(path, &st) == 0, "inlayd does not start: is it built? meson compile -C build inlayd");
}

int main(int argc, char **argv)
{
	static uint8_t data[FILE_SIZE];
	double how_long = argc > 1 ? atof(argv[1]) : 2;
	struct redirector_config config = {.root = L"\\real", .number = 9, .server = b.address, .export_name = "bench", .lanes = 1,
	                                   .entries = ENTRIES, .slots = SLOTS};

	inlay_log_init("bench-driver", STDERR_FILENO, INLAY_LOG_WARNING, INLAY_LOG_TEXT);
	signal(SIGPIPE, SIG_IGN);
	world_fill(data, 0, FILE_SIZE, 1);
	start_server(data);
	world_new(&b.world, 0);
	model_add(&b.world.model, L"file", false, data, sizeof(data));
	must(NT_SUCCESS(model_start(&b.world.model, ENTRIES, SLOTS, 0)), "the model's start");
	config.volume = b.world.volume;
	redirector_start(&b.redirector, &config);
	measure(1, 4096, how_long);
	measure(4, 4096, how_long);
	measure(8, 4096, how_long);
	measure(1, 65536, how_long);
	measure(4, 65536, how_long);
	redirector_stop(&b.redirector);
	world_detach(&b.world, false);
	return world_free(&b.world) ? 0 : 1;
}

/*
 * What a request costs natively with the driver's logic as a library: program's thread -> simulated filter manager -> driver -> ring ->
 * redirector's thread (a model that answers from memory) -> ring -> driver's thread -> program. Not part of the check.
 * Usage: bench-driver [SECONDS]. A line per case: requests a second, us each, CPU us each of all threads together.
 * The simulation checks as it goes, so that its own share is in the figures; bench/micro/winfilter.c has the redirector's real side.
 * Built by: ninja -C build tests/windows/bench-driver
 * SPDX-License-Identifier: Apache-2.0
 */
#include "world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FILE_SIZE (256u * 1024u)

struct program {
	pthread_t thread;
	struct sim_file *file;
	ULONG length;
	_Atomic bool *stop;
	uint64_t done;
};

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *program_main(void *arg)
{
	struct program *p = arg;
	uint8_t *buffer = malloc(p->length);

	for (uint64_t at = 0; buffer && !atomic_load(p->stop); at = (at + p->length) % FILE_SIZE) {
		if (world_read(p->file, at, buffer, p->length) != (int64_t)p->length)
			abort();
		p->done++;
	}
	free(buffer);
	return NULL;
}

static void run(struct world *w, unsigned threads, ULONG length, double how_long)
{
	struct timespec pause = {(time_t)how_long, (long)((how_long - (double)(time_t)how_long) * 1e9)};
	struct program programs[8] = {0};
	_Atomic bool stop = false;
	double wall, cpu;
	uint64_t done = 0;

	for (unsigned i = 0; i < threads; i++) {
		programs[i] = (struct program){.length = length, .stop = &stop};
		if (world_open(w, &programs[i].file, .path = L"\\work\\file"))
			abort();
	}
	wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&programs[i].thread, NULL, program_main, &programs[i]))
			abort();
	nanosleep(&pause, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(programs[i].thread, NULL);
	wall = seconds(CLOCK_MONOTONIC) - wall, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	for (unsigned i = 0; i < threads; i++) {
		done += programs[i].done;
		sim_cleanup(programs[i].file);
		sim_close(programs[i].file);
	}
	printf("read %6u bytes, %u programs: %9.0f /s %8.2f us, CPU %8.2f us\n", length, threads, (double)done / wall,
	       wall * 1e6 / (double)done, cpu * 1e6 / (double)done);
}

int main(int argc, char **argv)
{
	static uint8_t data[FILE_SIZE];
	double how_long = argc > 1 ? atof(argv[1]) : 1;
	struct world w;

	world_new(&w, 0);
	model_add(&w.model, L"file", false, data, sizeof(data));
	world_attach(&w);
	run(&w, 1, 4096, how_long);
	run(&w, 4, 4096, how_long);
	run(&w, 8, 4096, how_long);
	run(&w, 1, 65536, how_long);
	run(&w, 4, 65536, how_long);
	world_detach(&w, false);
	return world_free(&w) ? 0 : 1;
}

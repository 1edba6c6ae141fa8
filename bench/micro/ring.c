/*
 * What the ring costs by itself: two threads over one section, one asks, one answers; each sleeps on an eventfd. Not part of the check.
 * Usage: ring [SECONDS]. Prints a line per case: answers a second, us each, signals per answer, CPU us each (both threads together).
 * Built by: cc -O2 -std=gnu11 -D_GNU_SOURCE -Isrc -o ring bench/micro/ring.c src/ring/ring.c src/ring/check.c -pthread
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/ring.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES 256u
#define SLOTS 256u

struct setting {
	const char *name;
	uint32_t depth; /* requests under way */
	uint32_t batch; /* answers per publishing, at most */
	uint32_t bytes; /* copied into the slot by the responder and out of it by the requester */
	unsigned spin;  /* looks before it sleeps */
};

struct bench {
	const struct setting *setting;
	struct inlay_ring_requester q;
	struct inlay_ring_responder p;
	int requests, completions; /* eventfds */
	bool stop;
	uint64_t signals;          /* both sides', relaxed */
	uint8_t data[INLAY_RING_SLOT_MIN], copy[INLAY_RING_SLOT_MIN];
};

static double clock_read(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "ring: %s\n", what);
	exit(1);
}

static void event_set(struct bench *b, int fd)
{
	__atomic_fetch_add(&b->signals, 1, __ATOMIC_RELAXED);
	if (eventfd_write(fd, 1) < 0)
		die("eventfd");
}

static void event_wait(int fd)
{
	eventfd_t value;

	if (eventfd_read(fd, &value) < 0)
		die("eventfd");
}

static void *answer(void *argument)
{
	struct bench *b = argument;
	struct inlay_ring_request q[ENTRIES];
	unsigned idle = 0;

	while (!__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
		int n = inlay_ring_responder_pop(&b->p, q, b->setting->batch);

		if (n < 0)
			die("the responder's ring died");
		for (int i = 0; i < n; i++) {
			struct inlay_ring_completion c = {.tag = q[i].tag, .length = q[i].length};

			memcpy(inlay_ring_responder_slot(&b->p, q[i].slot), b->data, q[i].length);
			if (inlay_ring_responder_push(&b->p, &c) < 0)
				die("no room for an answer");
		}
		if (inlay_ring_responder_publish(&b->p))
			event_set(b, b->completions);
		idle = n ? 0 : idle + 1;
		if (idle > b->setting->spin && inlay_ring_responder_sleep(&b->p)) {
			event_wait(b->requests);
			inlay_ring_responder_wake(&b->p);
			idle = 0;
		}
	}
	return NULL;
}

static void ask(struct bench *b, uint32_t slot)
{
	struct inlay_ring_request q = {.tag = slot + 1u, .kind = INLAY_RING_READ, .file = 1, .length = b->setting->bytes, .slot = slot};

	if (inlay_ring_requester_push(&b->q, &q) < 0)
		die("no room for a request");
}

/* Takes in what is there, each answer followed by another request, unless it is the end. How many. */
static uint32_t take_in(struct bench *b, bool more)
{
	struct inlay_ring_completion c[ENTRIES];
	int n = inlay_ring_requester_pop(&b->q, c, b->setting->batch);

	if (n < 0)
		die("the requester's ring died");
	for (int i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)c[i].tag - 1;

		memcpy(b->copy, inlay_ring_requester_slot(&b->q, slot), c[i].length);
		if (more)
			ask(b, slot);
	}
	if (inlay_ring_requester_publish(&b->q))
		event_set(b, b->requests);
	return (uint32_t)n;
}

static uint64_t converse(struct bench *b, double seconds)
{
	double end = clock_read(CLOCK_MONOTONIC) + seconds;
	uint32_t out = b->setting->depth;
	uint64_t count = 0;
	unsigned idle = 0;

	for (uint32_t i = 0; i < out; i++)
		ask(b, i);
	if (inlay_ring_requester_publish(&b->q))
		event_set(b, b->requests);
	for (unsigned looks = 0, over = 0; out; looks++) {
		uint32_t n;

		if (looks % 64 == 0)
			over = clock_read(CLOCK_MONOTONIC) > end;
		n = take_in(b, !over);
		count += n;
		out -= over ? n : 0;
		idle = n ? 0 : idle + 1;
		if (out && idle > b->setting->spin && inlay_ring_requester_sleep(&b->q)) {
			event_wait(b->completions);
			inlay_ring_requester_wake(&b->q);
			idle = 0;
		}
	}
	return count;
}

static void measure(const struct setting *s, double seconds)
{
	static struct bench b;
	struct inlay_ring_geometry g;
	pthread_t thread;
	uint64_t count;
	double wall, cpu;
	void *section;

	memset(&b, 0, sizeof(b));
	b.setting = s;
	b.requests = eventfd(0, EFD_CLOEXEC);
	b.completions = eventfd(0, EFD_CLOEXEC);
	if (b.requests < 0 || b.completions < 0 || inlay_ring_layout(&g, ENTRIES, SLOTS, INLAY_RING_SLOT_MIN) < 0)
		die("no events");
	section = aligned_alloc(4096, g.size);
	if (!section || inlay_ring_responder_open(&b.p, section, &g) < 0 || inlay_ring_requester_open(&b.q, section, g.size) < 0 ||
	    pthread_create(&thread, NULL, answer, &b) != 0)
		die("no ring");
	wall = clock_read(CLOCK_MONOTONIC);
	cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID);
	count = converse(&b, seconds);
	wall = clock_read(CLOCK_MONOTONIC) - wall;
	cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	__atomic_store_n(&b.stop, true, __ATOMIC_RELEASE);
	event_set(&b, b.requests);
	pthread_join(thread, NULL);
	printf("%-34s %10.0f/s %8.2f us each, %5.2f signals each, CPU %6.2f us each\n", s->name, (double)count / wall,
	       wall * 1e6 / (double)count, (double)(b.signals - 1) / (double)count, cpu * 1e6 / (double)count);
	fflush(stdout);
	close(b.requests);
	close(b.completions);
	free(section);
}

int main(int argc, char **argv)
{
	static const struct setting settings[] = {
		{"depth 1", 1, 1, 0, 0},
		{"depth 1, looks 1,000 times first", 1, 1, 0, 1000},
		{"depth 1, 4 KiB", 1, 1, 4096, 0},
		{"depth 32, one by one", 32, 1, 0, 0},
		{"depth 32, batches of 8", 32, 8, 0, 0},
		{"depth 32, batches of 32", 32, 32, 0, 0},
		{"depth 256, batches of 64", 256, 64, 0, 0},
		{"depth 32, batches of 8, 4 KiB", 32, 8, 4096, 0},
		{"depth 8, batches of 8, 64 KiB", 8, 8, 65536, 0},
	};
	double seconds = argc > 1 ? atof(argv[1]) : 1.0;

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		measure(&settings[i], seconds);
	return 0;
}

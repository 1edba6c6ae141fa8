/*
 * Time, order, chance and the trace.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sim.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 65536u

uint64_t sim_now;
struct sim_proc *sim_running;
bool sim_verbose, sim_calm;

static uint64_t seed_of_run, state, order, hash;
static struct sim_event *heap[EVENTS_MAX + 1]; /* from 1 */
static unsigned count;

static void (*last_will)(void);

void sim_will(void (*will)(void))
{
	last_will = will;
}

static void say_again(void)
{
	if (last_will)
		last_will();
	printf("  trace so far: %016llx; again, with every event: tests/sim/run --seed %llu --trace\n", (unsigned long long)hash,
	       (unsigned long long)seed_of_run);
	fflush(stdout);
}

/* The product asserted, or worse: stdio is good enough for last words. */
static void die(void)
{
	printf("seed %llu died at %llu.%09llu s\n", (unsigned long long)seed_of_run, (unsigned long long)(sim_now / SEC),
	       (unsigned long long)(sim_now % SEC));
	say_again();
}

static void died(int signal_number)
{
	signal(signal_number, SIG_DFL);
	die();
	raise(signal_number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

void sim_watch(void)
{
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(die);
	else
		signal(SIGSEGV, died);
	signal(SIGABRT, died);
}

void sim_begin(uint64_t seed)
{
	seed_of_run = seed;
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 0x1234567;
	order = count = 0;
	hash = UINT64_C(0xcbf29ce484222325);
	sim_now = 0;
	sim_running = NULL;
	sim_calm = false;
	sim_host_begin();
	sim_net_begin();
}

/* ---- chance ---- */

uint64_t sim_random(void)
{
	uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t below)
{
	return below ? sim_random() % below : 0;
}

uint64_t sim_between(uint64_t from, uint64_t to)
{
	return from + sim_below(to - from + 1);
}

bool sim_chance(unsigned percent)
{
	return sim_below(100) < percent;
}

/* ---- events: a heap by time and order ---- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void put(unsigned i, struct sim_event *e)
{
	heap[i] = e;
	e->place = i;
}

static void sift(unsigned i, struct sim_event *e)
{
	for (; i > 1 && earlier(e, heap[i / 2]); i /= 2)
		put(i, heap[i / 2]);
	for (unsigned child; (child = 2 * i) <= count; i = child) {
		if (child < count && earlier(heap[child + 1], heap[child]))
			child++;
		if (!earlier(heap[child], e))
			break;
		put(i, heap[child]);
	}
	put(i, e);
}

void sim_unset(struct sim_event *e)
{
	unsigned i = e->place;
	struct sim_event *last;

	if (!i)
		return;
	e->place = 0;
	last = heap[count--];
	if (last != e)
		sift(i, last);
}

void sim_set(struct sim_event *e, uint64_t at)
{
	sim_unset(e);
	SIM_REQUIRE(count < EVENTS_MAX);
	e->at = at < sim_now ? sim_now : at;
	e->order = ++order;
	sift(++count, e);
}

unsigned sim_events(void)
{
	return count;
}

static void take(struct sim_event *e)
{
	struct sim_proc *outer = sim_running;

	sim_unset(e);
	if (e->at > sim_now)
		sim_now = e->at;
	if (e->proc && e->proc->frozen > sim_now) {
		sim_set(e, e->proc->frozen);
		return;
	}
	sim_running = e->proc;
	e->run(e);
	sim_running = outer;
}

bool sim_step(uint64_t until)
{
	if (!count || heap[1]->at > until) {
		sim_now = sim_now < until ? until : sim_now;
		return false;
	}
	take(heap[1]);
	return true;
}

/* The first that is the world's or `only`'s, and not after `until`; NULL: none. */
static struct sim_event *first_of(const struct sim_proc *only, uint64_t until)
{
	struct sim_event *first = NULL;

	for (unsigned i = 1; i <= count; i++) {
		struct sim_event *e = heap[i];

		if ((!e->proc || e->proc == only) && e->at <= until && (!first || earlier(e, first)))
			first = e;
	}
	return first;
}

bool sim_nested(struct sim_proc *only, bool (*done)(void *arg), void *arg, uint64_t until)
{
	struct sim_event *e;

	while (!done(arg)) {
		e = first_of(only, until);
		if (!e) {
			sim_now = sim_now < until ? until : sim_now;
			return false;
		}
		take(e);
	}
	return true;
}

void sim_end(void)
{
	while (count)
		sim_unset(heap[1]);
}

/* ---- the trace ---- */

void sim_trace_bytes(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t w;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		hash = (hash ^ w) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
	}
	for (; len; p++, len--)
		hash = (hash ^ *p) * UINT64_C(0x100000001b3);
}

static void say_when(void)
{
	printf("%4llu.%09llu %-8s ", (unsigned long long)(sim_now / SEC), (unsigned long long)(sim_now % SEC),
	       sim_running ? sim_running->name : "-");
}

void sim_trace(const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t words[4] = {sim_now, a, b, c};

	sim_trace_bytes(words, sizeof words);
	sim_trace_bytes(what, strlen(what));
	if (!sim_verbose)
		return;
	say_when();
	printf("%s %lld %lld %lld\n", what, (long long)a, (long long)b, (long long)c);
}

void sim_trace_text(const char *what, const char *text)
{
	sim_trace_bytes(&sim_now, sizeof sim_now);
	sim_trace_bytes(text, strlen(text));
	if (!sim_verbose)
		return;
	say_when();
	printf("%s: %s\n", what, text);
}

uint64_t sim_trace_hash(void)
{
	return hash;
}

void sim_fail(const char *fmt, ...)
{
	va_list args;

	printf("seed %llu failed at %llu.%09llu s (%s): ", (unsigned long long)seed_of_run, (unsigned long long)(sim_now / SEC),
	       (unsigned long long)(sim_now % SEC), sim_running ? sim_running->name : "the world");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	say_again();
	_Exit(1);
}

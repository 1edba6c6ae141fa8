/*
 * Threads by turns or freely. By turns: one thread holds the baton; whenever it waits, or comes to a point where the seed says so,
 * the next one is drawn among those that can go on. When none can, the clock jumps to the next deadline; without one, it is a deadlock.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "turns.h"

#include "host.h"
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EPOCH 133500000000000000ll /* some day in 2024, in Windows' time */
#define SWITCH_ONE_IN 4u
#define LONGEST (3600 * 10000000ll) /* of one test's own time: by then somebody waits for what never comes */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_ENTRY threads = { &threads, &threads }, known = { &known, &known };
static uint32_t thread_count;
static struct native_thread *baton;
static bool stepping;
static uint64_t random_state;
static int64_t offset; /* of the clock; by turns it is the clock */
static __thread struct native_thread *self;
static __thread uint64_t free_state;

void sched_lock(void)
{
	pthread_mutex_lock(&lock);
}

void sched_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* ---- clock and chance ---- */

static int64_t real_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 10000000 + now.tv_nsec / 100;
}

int64_t native_time(void)
{
	return EPOCH + __atomic_load_n(&offset, __ATOMIC_RELAXED) + (stepping ? 0 : real_time());
}

static uint64_t draw(void)
{
	if (!stepping) { /* no lock: it would order threads that are not ordered, and hide races from the sanitizer */
		free_state = free_state * 6364136223846793005ull + 1442695040888963407ull;
		return free_state;
	}
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dull;
}

uint32_t native_random(uint32_t n)
{
	uint32_t number;

	if (!stepping) {
		if (!free_state)
			free_state = (uint64_t)(uintptr_t)&number * 0x9e3779b97f4a7c15ull ^ (uint64_t)real_time();
		return (uint32_t)(draw() >> 33) % n;
	}
	sched_lock();
	number = (uint32_t)(draw() >> 33) % n;
	sched_unlock();
	return number;
}

void native_steps(uint64_t seed)
{
	struct native_thread *me = sched_self();

	sched_lock();
	stepping = seed != 0;
	random_state = seed * 0x9e3779b97f4a7c15ull + 0x1234567;
	offset = 0;
	baton = stepping ? me : NULL;
	sched_unlock();
}

bool native_stepping(void)
{
	return stepping;
}

/* ---- turns ---- */

struct native_thread *sched_self(void)
{
	if (!self) { /* a thread that the test made itself: the main one */
		self = calloc(1, sizeof(*self));
		if (!self)
			abort();
		pthread_cond_init(&self->turn, NULL);
		self->process = 4;
		self->foreign = true;
		sched_lock();
		InsertTailList(&threads, &self->link);
		sched_unlock();
	}
	return self;
}

static bool can_go(struct native_thread *thread)
{
	if (thread->over)
		return false;
	if (!thread->waiting || thread->granted)
		return true;
	if (!thread->ready(thread->arg))
		return false;
	thread->granted = true;
	return true;
}

static void report_deadlock(void)
{
	sim_violate("a deadlock: those who wait wait for ever", NULL, 0);
	for (LIST_ENTRY *entry = threads.Flink; entry != &threads; entry = entry->Flink) {
		struct native_thread *thread = CONTAINING_RECORD(entry, struct native_thread, link);

		fprintf(stderr, "  thread %p of process %u waits for %s\n", (void *)thread, thread->process, thread->what ? thread->what : "?");
	}
	abort();
}

static struct native_thread *at(uint32_t index)
{
	LIST_ENTRY *entry = threads.Flink;

	while (index--)
		entry = entry->Flink;
	return CONTAINING_RECORD(entry, struct native_thread, link);
}

/* The next that can go on, from a drawn place on; NULL: none. */
static struct native_thread *next_thread(void)
{
	uint32_t count = 0, first;

	for (LIST_ENTRY *entry = threads.Flink; entry != &threads; entry = entry->Flink)
		count++;
	first = (uint32_t)(draw() >> 33) % count;
	for (uint32_t i = 0; i < count; i++) {
		struct native_thread *thread = at((first + i) % count);

		if (can_go(thread))
			return thread;
	}
	return NULL;
}

static struct native_thread *earliest(void)
{
	struct native_thread *found = NULL;

	for (LIST_ENTRY *entry = threads.Flink; entry != &threads; entry = entry->Flink) {
		struct native_thread *thread = CONTAINING_RECORD(entry, struct native_thread, link);

		if (!thread->over && thread->deadline && (!found || thread->deadline < found->deadline))
			found = thread;
	}
	return found;
}

/* Gives the baton on, and waits until it comes back (unless the caller is over). */
static void pass_baton(struct native_thread *me)
{
	struct native_thread *next = next_thread();

	if (!next) {
		next = earliest();
		if (!next)
			report_deadlock();
		if (next->deadline > EPOCH + offset)
			__atomic_store_n(&offset, next->deadline - EPOCH, __ATOMIC_RELAXED);
		if (offset > LONGEST)
			report_deadlock();
	}
	baton = next;
	if (next == me)
		return;
	pthread_cond_signal(&next->turn);
	while (!me->over && baton != me)
		pthread_cond_wait(&me->turn, &lock);
}

void native_point(void)
{
	struct native_thread *me;

	if (!stepping)
		return;
	me = sched_self();
	sched_lock();
	if (draw() >> 40 < (1u << 24) / SWITCH_ONE_IN)
		pass_baton(me);
	sched_unlock();
}

void native_yield(void)
{
	native_point();
}

static bool wait_by_turns(struct native_thread *me)
{
	do
		pass_baton(me);
	while (!me->granted && !(me->deadline && EPOCH + offset >= me->deadline));
	return me->granted;
}

static bool wait_freely(struct native_thread *me)
{
	struct timespec until;

	while (!me->ready(me->arg)) {
		int64_t left = me->deadline ? me->deadline - native_time() : 10000000;

		if (me->deadline && left <= 0)
			return false;
		clock_gettime(CLOCK_REALTIME, &until);
		left = left > 10000000 ? 10000000 : left; /* the clock may be moved */
		until.tv_nsec += (long)(left % 10000000) * 100;
		until.tv_sec += (time_t)(left / 10000000) + until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&me->turn, &lock, &until);
	}
	return true;
}

bool sched_wait(bool (*ready)(void *arg), void *arg, int64_t deadline, const char *what)
{
	struct native_thread *me = self;
	bool fine;

	if (ready(arg))
		return true;
	if (deadline && deadline <= native_time())
		return false;
	me->ready = ready;
	me->arg = arg;
	me->deadline = deadline;
	me->what = what;
	me->granted = false;
	me->waiting = true;
	fine = stepping ? wait_by_turns(me) : wait_freely(me);
	me->waiting = me->granted = false;
	me->deadline = 0;
	me->what = NULL;
	return fine;
}

void sched_changed(void)
{
	if (stepping)
		return; /* who can go on is found out when the baton is passed */
	for (LIST_ENTRY *entry = threads.Flink; entry != &threads; entry = entry->Flink) {
		struct native_thread *thread = CONTAINING_RECORD(entry, struct native_thread, link);

		if (thread->waiting)
			pthread_cond_signal(&thread->turn);
	}
}

void native_time_advance(int64_t ticks)
{
	sched_self();
	sched_lock();
	__atomic_add_fetch(&offset, ticks, __ATOMIC_RELAXED);
	sched_changed();
	sched_unlock();
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void native_sleep_ms(uint32_t ms)
{
	sched_self();
	sched_lock();
	sched_wait(never, NULL, native_time() + (int64_t)ms * 10000, "time");
	sched_unlock();
}

/* ---- threads ---- */

static void finish(struct native_thread *me)
{
	if (me->irql != PASSIVE_LEVEL)
		sim_violate("a thread ends at another level than PASSIVE_LEVEL", NULL, me->irql);
	if (me->critical)
		sim_violate("a thread ends in a critical region", NULL, (ULONG)me->critical);
	sched_lock();
	me->over = true;
	RemoveEntryList(&me->link);
	thread_count--;
	sched_changed();
	if (stepping)
		pass_baton(me);
	sched_unlock();
	sim_host_object_unref(me);
}

static void *thread_main(void *arg)
{
	char name[16];

	self = arg;
	snprintf(name, sizeof(name), "process %u", self->process);
	pthread_setname_np(pthread_self(), name);
	sched_lock();
	while (stepping && baton != self)
		pthread_cond_wait(&self->turn, &lock);
	sched_unlock();
	if (self->start)
		self->start(self->opaque);
	else
		self->run(self->opaque);
	finish(self);
	return NULL;
}

DECLSPEC_NORETURN void sched_exit(void)
{
	finish(self);
	pthread_exit(NULL);
}

static void thread_gone(void *object)
{
	struct native_thread *thread = object;

	sched_lock();
	RemoveEntryList(&thread->known);
	sched_unlock();
	pthread_cond_destroy(&thread->turn);
	sim_host_object_free(thread);
}

struct native_thread *sched_start(void (*run)(void *opaque), PKSTART_ROUTINE start, void *opaque, uint32_t process)
{
	struct native_thread *thread = sim_host_object_new(sizeof(*thread), thread_gone);
	pthread_attr_t attributes;

	sched_self();
	if (!thread)
		return NULL;
	pthread_cond_init(&thread->turn, NULL);
	thread->run = run;
	thread->start = start;
	thread->opaque = opaque;
	thread->process = process;
	sim_host_object_ref(thread); /* one for the caller, one for the thread itself */
	sched_lock();
	InsertTailList(&threads, &thread->link);
	InsertTailList(&known, &thread->known);
	thread_count++;
	sched_unlock();
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread->pthread, &attributes, thread_main, thread))
		abort();
	pthread_attr_destroy(&attributes);
	native_point();
	return thread;
}

bool sched_is_thread(const void *object)
{
	for (LIST_ENTRY *entry = known.Flink; entry != &known; entry = entry->Flink)
		if (CONTAINING_RECORD(entry, struct native_thread, known) == object)
			return true;
	return false;
}

bool sched_over(void *thread)
{
	return ((struct native_thread *)thread)->over;
}

struct native_thread *native_thread_new(void (*run)(void *opaque), void *opaque, uint32_t process)
{
	return sched_start(run, NULL, opaque, process);
}

void native_thread_join(struct native_thread *thread)
{
	sched_lock();
	sched_wait(sched_over, thread, 0, "a thread's end");
	sched_unlock();
	sim_host_object_unref(thread);
}

static bool alone(void *arg)
{
	(void)arg;
	return thread_count == 0;
}

void native_threads_settle(void)
{
	sched_self();
	sched_lock();
	if (!sched_wait(alone, NULL, native_time() + 60 * 10000000ll, "all threads' end"))
		sim_violate("threads are left over", NULL, thread_count);
	sched_unlock();
}

uint32_t native_process(void)
{
	return sched_self()->process;
}

uint32_t native_process_set(uint32_t process)
{
	struct native_thread *me = sched_self();
	uint32_t before = me->process;

	me->process = process;
	return before;
}

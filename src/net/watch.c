/*
 * The watcher: a thread that looks at the loops' call words every few milliseconds while they change, sooner while one lasts,
 * and sleeps when there are none.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/crew.h"

#include "os/clock.h"
#include "os/thread.h"

#define TICK_NS 1000000ull     /* at first */
#define TICK_MAX_NS 4000000ull /* while no call is seen to last; the limit and this is the longest that a loop is stuck */
#define TICK_MIN_NS 100000ull  /* to catch a call that is nearly overdue */
#define QUIET_NS 500000000ull  /* without a call for so long, it sleeps till it is woken */

static uint64_t call_read(const struct inlay_loop *l, int order)
{
	return __atomic_load_n(&l->call, order);
}

/*
 * Looks at one loop. True when calls were made since the last look; *wait_ns becomes shorter when one lasts and is to be
 * looked at again soon.
 */
static bool look(struct inlay_crew *c, struct inlay_loop *l, uint64_t now_ns, uint64_t *wait_ns)
{
	uint64_t limit = c->config.handoff_us * 1000ull;
	uint64_t call = call_read(l, __ATOMIC_ACQUIRE), left;
	bool fresh = call != l->watch_call;

	if (fresh) {
		l->watch_call = call;
		l->watch_since = now_ns;
	}
	if (!(call & INLAY_CALL_IN) || (call & INLAY_CALL_TAKEN))
		return fresh;
	left = TICK_NS; /* when it is overdue but no thread is free: try again */
	if (now_ns - l->watch_since >= limit)
		inlay_crew_hand_off(c, l, call);
	else
		left = limit - (now_ns - l->watch_since);
	if (left < *wait_ns)
		*wait_ns = left > TICK_MIN_NS ? left : TICK_MIN_NS;
	return true;
}

/* Stands against storing the call word and reading watch_asleep in inlay_loop_run(): one side sees the other. */
static bool may_sleep(struct inlay_crew *c)
{
	__atomic_store_n(&c->watch_asleep, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < c->config.loops; i++) {
		if (call_read(&c->loops[i], __ATOMIC_SEQ_CST) != c->loops[i].watch_call)
			return false;
	}
	return !__atomic_load_n(&c->watch_starved, __ATOMIC_SEQ_CST);
}

static void sleep_till_woken(struct inlay_crew *c)
{
	if (may_sleep(c)) {
		pthread_mutex_lock(&c->watch_lock);
		while (__atomic_load_n(&c->watch_asleep, __ATOMIC_SEQ_CST) && !c->watch_stop)
			pthread_cond_wait(&c->watch_cond, &c->watch_lock);
		pthread_mutex_unlock(&c->watch_lock);
	}
	__atomic_store_n(&c->watch_asleep, 0, __ATOMIC_SEQ_CST);
}

/* False: the watch is over. */
static bool pause_for(struct inlay_crew *c, uint64_t ns)
{
	bool over;

	pthread_mutex_lock(&c->watch_lock);
	if (!c->watch_stop)
		inlay_cond_wait_ns(&c->watch_cond, &c->watch_lock, ns);
	over = c->watch_stop;
	pthread_mutex_unlock(&c->watch_lock);
	return !over;
}

static void *watch_main(void *arg)
{
	struct inlay_crew *c = arg;
	uint64_t tick_ns = TICK_NS, wait_ns, active_ns = inlay_clock_ns(), now_ns;

	do {
		bool active = false;

		now_ns = inlay_clock_ns();
		/* Calls that come and go between two looks are quick: no need to look more often. */
		wait_ns = tick_ns < TICK_MAX_NS ? tick_ns * 2 : tick_ns;
		for (unsigned i = 0; i < c->config.loops; i++)
			active = look(c, &c->loops[i], now_ns, &wait_ns) || active;
		if (__atomic_exchange_n(&c->watch_starved, 0, __ATOMIC_SEQ_CST)) {
			inlay_crew_feed(c);
			active = true;
		}
		tick_ns = wait_ns;
		if (active) {
			active_ns = now_ns;
		} else if (now_ns - active_ns > QUIET_NS) {
			sleep_till_woken(c);
			active_ns = inlay_clock_ns();
			tick_ns = TICK_NS;
		}
	} while (pause_for(c, tick_ns));
	return NULL;
}

void inlay_watch_wake(struct inlay_crew *c)
{
	if (!__atomic_load_n(&c->watch_asleep, __ATOMIC_SEQ_CST) ||
	    !__atomic_exchange_n(&c->watch_asleep, 0, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&c->watch_lock);
	pthread_cond_signal(&c->watch_cond);
	pthread_mutex_unlock(&c->watch_lock);
}

int inlay_watch_start(struct inlay_crew *c)
{
	int r = inlay_thread_new(&c->watcher, watch_main, c);

	c->watching = r == 0;
	if (c->watching)
		pthread_setname_np(c->watcher, "inlay-watch");
	return r;
}

void inlay_watch_stop(struct inlay_crew *c)
{
	if (!c->watching)
		return;
	pthread_mutex_lock(&c->watch_lock);
	c->watch_stop = true;
	pthread_cond_signal(&c->watch_cond);
	pthread_mutex_unlock(&c->watch_lock);
	pthread_join(c->watcher, NULL);
	c->watching = false;
}

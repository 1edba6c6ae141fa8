/*
 * Closes nodes that have been idle for long, so that a file removed behind the server's back gives its space back.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "os/identity.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* Under the reaper's lock: waits for a tick, or without limit when nothing is idle. */
static void reaper_wait(struct posix_store *s)
{
	struct posix_reaper *r = &s->reaper;
	struct timespec until;
	unsigned tick_ms;

	/* Set before looking: whoever makes a node idle after the look sees it. */
	atomic_store(&r->asleep, true);
	if (atomic_load(&s->idle_count) == 0) {
		while (atomic_load(&r->asleep) && !r->stop)
			pthread_cond_wait(&r->wake, &r->lock);
		return;
	}
	atomic_store(&r->asleep, false);
	tick_ms = s->idle_ms / 2;
	if (atomic_load(&s->gone_count) && tick_ms > s->gone_ms / 2)
		tick_ms = s->gone_ms / 2;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += tick_ms / 1000;
	until.tv_nsec += tick_ms % 1000 * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&r->wake, &r->lock, &until);
}

static void *reaper_run(void *arg)
{
	struct posix_store *s = arg;
	struct posix_reaper *r = &s->reaper;

	/* The thread that made this one may have been acting as a user. */
	if (inlay_identity_enter(NULL) < 0)
		abort();
	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		reaper_wait(s);
		pthread_mutex_unlock(&r->lock);
		(void)posix_cache_trim(s, posix_now_ms() - s->idle_ms, posix_now_ms() - s->gone_ms);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int posix_reaper_init(struct posix_store *s)
{
	struct posix_reaper *r = &s->reaper;
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&r->lock, NULL);
	atomic_init(&r->asleep, true);
	return 0;
}

void posix_reaper_poke(struct posix_store *s)
{
	struct posix_reaper *r = &s->reaper;
	sigset_t all, old;

	if (!atomic_load(&r->asleep) || !atomic_exchange(&r->asleep, false))
		return;
	pthread_mutex_lock(&r->lock);
	if (r->running) {
		pthread_cond_signal(&r->wake);
	} else {
		/* Signals are the program's business. Without a thread idle nodes just stay within their bound. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		r->running = pthread_create(&r->thread, NULL, reaper_run, s) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_mutex_unlock(&r->lock);
}

void posix_reaper_done(struct posix_store *s)
{
	struct posix_reaper *r = &s->reaper;

	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (r->running)
		pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
}

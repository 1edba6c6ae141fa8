/*
 * Threads on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/thread.h"

#include "base/status.h"
#include "os/clock.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

int inlay_thread_new(pthread_t *ret, void *(*main)(void *), void *arg)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r ? inlay_status_from_errno(r) : 0;
}

int inlay_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return r ? inlay_status_from_errno(r) : 0;
}

bool inlay_cond_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns)
{
	uint64_t end = inlay_clock_ns() + ns;
	struct timespec t = {.tv_sec = (time_t)(end / 1000000000u), .tv_nsec = (long)(end % 1000000000u)};

	return pthread_cond_timedwait(cond, lock, &t) != ETIMEDOUT;
}

/*
 * Threads on Windows: winpthreads. No signals there; its conditions count wall-clock time, but for a call of their own.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/thread.h"

#include "base/status.h"

#include <errno.h>
#include <time.h>

int inlay_thread_new(pthread_t *ret, void *(*main)(void *), void *arg)
{
	int r = pthread_create(ret, NULL, main, arg);

	return r ? inlay_status_from_errno(r) : 0;
}

int inlay_cond_init(pthread_cond_t *cond)
{
	int r = pthread_cond_init(cond, NULL);

	return r ? inlay_status_from_errno(r) : 0;
}

bool inlay_cond_wait_ns(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

	return pthread_cond_timedwait_relative_np(cond, lock, &t) != ETIMEDOUT;
}

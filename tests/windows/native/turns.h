/*
 * Threads of the native kernel: waiting on conditions, by turns or freely. All shared state of waits lies under one lock.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_TURNS_H
#define INLAY_NATIVE_TURNS_H

#include "native.h"

#include <pthread.h>

struct native_thread {
	LIST_ENTRY link; /* of all */
	LIST_ENTRY known; /* of those whose memory is there */
	pthread_t pthread;
	pthread_cond_t turn;
	void (*run)(void *opaque);
	void *opaque;
	PKSTART_ROUTINE start; /* a system thread's, instead of run */
	uint32_t process;
	KIRQL irql;
	LONG critical;        /* KeEnterCriticalRegion's depth */
	bool waiting, granted, over, joined, foreign;
	bool (*ready)(void *arg);
	void *arg;
	int64_t deadline;     /* 0: none */
	const char *what;     /* it waits for, in a report */
};

struct native_thread *sched_self(void);

void sched_lock(void);
void sched_unlock(void);
/* Under the lock: waits until ready(arg), which may take what it finds, says true. deadline in native_time, 0 = none. False: too late. */
bool sched_wait(bool (*ready)(void *arg), void *arg, int64_t deadline, const char *what);
/* Under the lock: something has changed that others may wait for. */
void sched_changed(void);

struct native_thread *sched_start(void (*run)(void *opaque), PKSTART_ROUTINE start, void *opaque, uint32_t process);
DECLSPEC_NORETURN void sched_exit(void);
/* Under the lock. Is it one, running or referenced? Has it ended? */
bool sched_is_thread(const void *object);
bool sched_over(void *thread);

void sim_level_check(KIRQL irql, const char *function); /* reports when the level is above */

#endif

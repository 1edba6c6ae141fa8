/*
 * The simulation's lock: an atomic while nobody else wants it, an event when somebody does.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "host.h"

void sim_mutex_init(struct sim_mutex *lock)
{
	__atomic_store_n(&lock->state, 0, __ATOMIC_RELAXED);
	lock->owner = NULL;
	KeInitializeEvent(&lock->event, SynchronizationEvent, FALSE);
}

void sim_mutex_lock(struct sim_mutex *lock)
{
	LONG expected = 0;

	sim_host_point();
	if (__atomic_compare_exchange_n(&lock->state, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		lock->owner = KeGetCurrentThread();
		return;
	}
	while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0)
		sim_host_wait(&lock->event);
	lock->owner = KeGetCurrentThread();
}

void sim_mutex_unlock(struct sim_mutex *lock)
{
	lock->owner = NULL;
	if (__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)
		KeSetEvent(&lock->event, 0, FALSE);
}

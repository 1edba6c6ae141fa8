/*
 * What the simulation asks of the kernel it runs in, and all it asks beside string functions. Natively ../native/host.c,
 * under Wine ../wine/fltmgr/host.c.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SIM_HOST_H
#define INLAY_SIM_HOST_H

#include <ntifs.h>
#include <stdbool.h>

/* Zeroed memory, not counted as a driver's; NULL when there is none. Any IRQL. */
void *sim_host_alloc(SIZE_T bytes);
void sim_host_free(void *memory);

/* An object that ObReferenceObject knows: count 1. `last` runs once when the count is 0, and then owns the memory again
 * until it calls sim_host_object_free. Natively reported as a violation when that happens above APC_LEVEL. */
void *sim_host_object_new(SIZE_T bytes, void (*last)(void *object));
void sim_host_object_ref(void *object);
bool sim_host_object_try_ref(void *object); /* false: the last reference is gone already */
void sim_host_object_unref(void *object);
void sim_host_object_free(void *object);

/* Waits without the verifier's checks: the simulation waits for others where Windows would not. timeout: 100 ns, 0 = for ever. */
void sim_host_wait(PKEVENT event);
bool sim_host_wait_for(PKEVENT event, LONGLONG timeout);

LONGLONG sim_host_time(void); /* 100 ns since 1601 */
void sim_host_log(const char *text);

/* A thread that nobody joins; false: none to be had. */
bool sim_host_start(void (*run)(void *context), void *context);

/* Level and process of the calling thread, as the driver sees them. The setters return what was before; no-ops under Wine. */
KIRQL sim_host_irql(void);
KIRQL sim_host_set_irql(KIRQL irql);
ULONG sim_host_set_process(ULONG process);
ULONG sim_host_process(void); /* 0: not known */

/* Tools of the address sanitizer, where there is one. */
void sim_host_hide(void *memory, SIZE_T bytes);
void sim_host_show(void *memory, SIZE_T bytes);

/* The object is signalled: 0; cancel is: 1; time is over: -1. timeout as KeWaitForSingleObject's. */
int sim_host_wait_either(PVOID object, PKEVENT cancel, PLARGE_INTEGER timeout);

/* Whether the test wants this request for resources to fail. */
bool sim_host_fails(void);

/* Where schedules may switch threads. */
void sim_host_point(void);

/* A lock that may be held over no wait; contended it waits. {0} is not enough: sim_mutex_init. */
struct sim_mutex {
	volatile LONG state; /* 0 free, 1 held, 2 held and waited for */
	void *owner;
	KEVENT event;
};
void sim_mutex_init(struct sim_mutex *lock);
void sim_mutex_lock(struct sim_mutex *lock);
void sim_mutex_unlock(struct sim_mutex *lock);

#endif

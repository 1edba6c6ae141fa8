/*
 * Levels, spin locks, events, waits, mutexes, time: with the checks of level that Driver Verifier makes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "turns.h"

#include "sim.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

void sim_level_check(KIRQL irql, const char *function)
{
	KIRQL now = KeGetCurrentIrql();

	if (now > irql)
		sim_violate("called at too high a level", function, now);
}

/* ---- levels ---- */

KIRQL KeGetCurrentIrql(VOID)
{
	return sched_self()->irql;
}

VOID KeRaiseIrql(KIRQL NewIrql, PKIRQL OldIrql)
{
	*OldIrql = KeGetCurrentIrql();
	if (NewIrql < *OldIrql)
		sim_violate("the level is raised to a lower one", NULL, NewIrql);
	sched_self()->irql = NewIrql;
}

KIRQL KeRaiseIrqlToDpcLevel(VOID)
{
	KIRQL old;

	KeRaiseIrql(DISPATCH_LEVEL, &old);
	return old;
}

VOID KeLowerIrql(KIRQL NewIrql)
{
	if (NewIrql > KeGetCurrentIrql())
		sim_violate("the level is lowered to a higher one", NULL, NewIrql);
	sched_self()->irql = NewIrql;
}

VOID native_paged_code(const char *function)
{
	sim_level_check(APC_LEVEL, function);
}

VOID KeEnterCriticalRegion(VOID)
{
	sched_self()->critical++;
}

VOID KeLeaveCriticalRegion(VOID)
{
	if (--sched_self()->critical < 0)
		sim_violate("KeLeaveCriticalRegion without KeEnterCriticalRegion", NULL, 0);
}

/* ---- spin locks: the word holds the owner ---- */

VOID KeInitializeSpinLock(PKSPIN_LOCK SpinLock)
{
	__atomic_store_n(SpinLock, 0, __ATOMIC_RELAXED);
}

static bool spin_ready(void *arg)
{
	KSPIN_LOCK expected = 0;

	(void)expected;
	return __atomic_load_n((PKSPIN_LOCK)arg, __ATOMIC_RELAXED) == 0;
}

static void spin_take(PKSPIN_LOCK lock)
{
	KSPIN_LOCK expected = 0, me = (KSPIN_LOCK)sched_self();

	if (__atomic_load_n(lock, __ATOMIC_RELAXED) == me) {
		sim_violate("a spin lock is taken twice by one thread", NULL, 0);
		abort();
	}
	while (!__atomic_compare_exchange_n(lock, &expected, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		expected = 0;
		if (native_stepping()) {
			sched_lock();
			sched_wait(spin_ready, lock, 0, "a spin lock");
			sched_unlock();
		} else {
			sched_yield();
		}
	}
}

static void spin_give(PKSPIN_LOCK lock)
{
	if (__atomic_load_n(lock, __ATOMIC_RELAXED) != (KSPIN_LOCK)sched_self())
		sim_violate("a spin lock is released by who does not hold it", NULL, 0);
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock)
{
	KIRQL old = KeGetCurrentIrql();

	sim_level_check(DISPATCH_LEVEL, "KeAcquireSpinLock");
	native_point();
	sched_self()->irql = DISPATCH_LEVEL;
	spin_take(SpinLock);
	return old;
}

VOID KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql)
{
	spin_give(SpinLock);
	if (KeGetCurrentIrql() != DISPATCH_LEVEL)
		sim_violate("a spin lock is released at another level", NULL, KeGetCurrentIrql());
	sched_self()->irql = NewIrql;
	native_point();
}

VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock)
{
	if (KeGetCurrentIrql() < DISPATCH_LEVEL)
		sim_violate("KeAcquireSpinLockAtDpcLevel below DISPATCH_LEVEL", NULL, 0);
	spin_take(SpinLock);
}

VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock)
{
	spin_give(SpinLock);
}

/* ---- events ---- */

#define TYPE_NOTIFICATION 0
#define TYPE_SYNCHRONIZATION 1

VOID KeInitializeEvent(PKEVENT Event, EVENT_TYPE Type, BOOLEAN State)
{
	memset(Event, 0, sizeof(*Event));
	Event->Header.Type = Type == SynchronizationEvent ? TYPE_SYNCHRONIZATION : TYPE_NOTIFICATION;
	Event->Header.Size = sizeof(KEVENT) / sizeof(LONG);
	__atomic_store_n(&Event->Header.SignalState, State, __ATOMIC_RELAXED);
}

LONG KeSetEvent(PKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
	LONG before;

	(void)Increment;
	(void)Wait;
	sim_level_check(DISPATCH_LEVEL, "KeSetEvent");
	sched_self();
	sched_lock();
	before = __atomic_exchange_n(&Event->Header.SignalState, 1, __ATOMIC_SEQ_CST);
	sched_changed();
	sched_unlock();
	return before;
}

LONG KeResetEvent(PKEVENT Event)
{
	LONG before;

	sched_lock();
	before = __atomic_exchange_n(&Event->Header.SignalState, 0, __ATOMIC_SEQ_CST);
	sched_unlock();
	return before;
}

VOID KeClearEvent(PKEVENT Event)
{
	KeResetEvent(Event);
}

LONG KeReadStateEvent(PKEVENT Event)
{
	return __atomic_load_n(&Event->Header.SignalState, __ATOMIC_SEQ_CST);
}

/* ---- waits: events, and objects of threads ---- */

static bool take(void *object)
{
	PKEVENT event = object;

	if (sched_is_thread(object))
		return sched_over(object);
	if (event->Header.SignalState <= 0)
		return false;
	if (event->Header.Type == TYPE_SYNCHRONIZATION)
		event->Header.SignalState--;
	return true;
}

struct wait {
	ULONG count, which;
	PVOID *objects;
};

static bool take_any(void *arg)
{
	struct wait *wait = arg;

	for (ULONG i = 0; i < wait->count; i++) {
		if (take(wait->objects[i])) {
			wait->which = i;
			return true;
		}
	}
	return false;
}

static int64_t deadline_of(PLARGE_INTEGER timeout)
{
	if (!timeout)
		return 0;
	return timeout->QuadPart > 0 ? timeout->QuadPart : native_time() - timeout->QuadPart;
}

static NTSTATUS wait_any(ULONG count, PVOID *objects, PLARGE_INTEGER timeout)
{
	struct wait wait = { .count = count, .objects = objects };
	bool fine;

	sched_self();
	native_point();
	sched_lock();
	if (timeout && !timeout->QuadPart)
		fine = take_any(&wait);
	else
		fine = sched_wait(take_any, &wait, deadline_of(timeout), "an object");
	sched_unlock();
	return fine ? (NTSTATUS)wait.which : STATUS_TIMEOUT;
}

/* The simulation's own, unchecked. */
NTSTATUS native_wait(ULONG count, PVOID *objects, PLARGE_INTEGER timeout)
{
	return wait_any(count, objects, timeout);
}

static void check_wait(PLARGE_INTEGER timeout, const char *function)
{
	sim_level_check(timeout && !timeout->QuadPart ? DISPATCH_LEVEL : APC_LEVEL, function);
}

NTSTATUS KeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
	(void)WaitReason;
	(void)WaitMode;
	(void)Alertable;
	check_wait(Timeout, __func__);
	return wait_any(1, &Object, Timeout);
}

NTSTATUS KeWaitForMultipleObjects(ULONG Count, PVOID Objects[], WAIT_TYPE WaitType, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
	BOOLEAN Alertable, PLARGE_INTEGER Timeout, PVOID WaitBlockArray)
{
	(void)WaitReason;
	(void)WaitMode;
	(void)Alertable;
	check_wait(Timeout, __func__);
	if (Count > 3 && !WaitBlockArray)
		sim_violate("KeWaitForMultipleObjects for more than three without wait blocks", NULL, Count);
	if (WaitType != WaitAny)
		sim_violate("waiting for all is not simulated", NULL, 0);
	return wait_any(Count, Objects, Timeout);
}

NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval)
{
	KEVENT nothing;
	PVOID object = &nothing;

	(void)WaitMode;
	(void)Alertable;
	sim_level_check(APC_LEVEL, __func__);
	KeInitializeEvent(&nothing, NotificationEvent, FALSE);
	wait_any(1, &object, Interval);
	return STATUS_SUCCESS;
}

/* ---- mutexes and resources ---- */

VOID ExInitializeFastMutex(PFAST_MUTEX Mutex)
{
	memset(Mutex, 0, sizeof(*Mutex));
	Mutex->Count = 1;
	KeInitializeEvent(&Mutex->Event, SynchronizationEvent, FALSE);
}

static bool fast_ready(void *arg)
{
	PFAST_MUTEX mutex = arg;

	if (mutex->Count != 1)
		return false;
	mutex->Count = 0;
	return true;
}

VOID ExAcquireFastMutex(PFAST_MUTEX Mutex)
{
	struct native_thread *me = sched_self();

	sim_level_check(APC_LEVEL, __func__);
	if (__atomic_load_n(&Mutex->Owner, __ATOMIC_RELAXED) == (PKTHREAD)me) {
		sim_violate("a fast mutex is taken twice by one thread", NULL, 0);
		abort();
	}
	native_point();
	sched_lock();
	sched_wait(fast_ready, Mutex, 0, "a fast mutex");
	sched_unlock();
	__atomic_store_n(&Mutex->Owner, (PKTHREAD)me, __ATOMIC_RELAXED);
	Mutex->OldIrql = me->irql;
	me->irql = APC_LEVEL;
}

VOID ExReleaseFastMutex(PFAST_MUTEX Mutex)
{
	struct native_thread *me = sched_self();
	KIRQL old = (KIRQL)Mutex->OldIrql;

	if (Mutex->Owner != (PKTHREAD)me || me->irql != APC_LEVEL)
		sim_violate("a fast mutex is released by who does not hold it, or at another level", NULL, me->irql);
	__atomic_store_n(&Mutex->Owner, NULL, __ATOMIC_RELAXED);
	sched_lock();
	Mutex->Count = 1;
	sched_changed();
	sched_unlock();
	me->irql = old;
	native_point();
}

/* ActiveCount: -1 exclusive, else how many share it. OwnerEntry[0]: the exclusive owner. */
NTSTATUS ExInitializeResourceLite(PERESOURCE Resource)
{
	memset(Resource, 0, sizeof(*Resource));
	return STATUS_SUCCESS;
}

NTSTATUS ExDeleteResourceLite(PERESOURCE Resource)
{
	if (Resource->ActiveCount)
		sim_violate("a resource is deleted that somebody holds", NULL, 0);
	return STATUS_SUCCESS;
}

static bool exclusive_ready(void *arg)
{
	PERESOURCE resource = arg;

	if (resource->ActiveCount)
		return false;
	resource->ActiveCount = -1;
	return true;
}

static bool shared_ready(void *arg)
{
	PERESOURCE resource = arg;

	if (resource->ActiveCount < 0)
		return false;
	resource->ActiveCount++;
	return true;
}

static BOOLEAN resource_take(PERESOURCE resource, bool (*ready)(void *), BOOLEAN wait)
{
	struct native_thread *me = sched_self();
	bool fine;

	sim_level_check(APC_LEVEL, "ExAcquireResource");
	if (!me->critical && me->irql < APC_LEVEL && wait)
		sim_violate("a resource is taken outside of a critical region", NULL, 0);
	native_point();
	sched_lock();
	fine = wait ? sched_wait(ready, resource, 0, "a resource") : ready(resource);
	sched_unlock();
	return fine;
}

BOOLEAN ExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait)
{
	return resource_take(Resource, exclusive_ready, Wait);
}

BOOLEAN ExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait)
{
	return resource_take(Resource, shared_ready, Wait);
}

VOID ExReleaseResourceLite(PERESOURCE Resource)
{
	sched_lock();
	if (!Resource->ActiveCount)
		sim_violate("a resource is released that nobody holds", NULL, 0);
	Resource->ActiveCount = (SHORT)(Resource->ActiveCount < 0 ? 0 : Resource->ActiveCount - 1);
	sched_changed();
	sched_unlock();
	native_point();
}

/* ---- time ---- */

VOID KeQuerySystemTime(PLARGE_INTEGER CurrentTime)
{
	CurrentTime->QuadPart = native_time();
}

ULONGLONG KeQueryInterruptTime(VOID)
{
	return (ULONGLONG)native_time();
}

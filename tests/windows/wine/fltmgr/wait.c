/*
 * Waiting for a word in memory: ntdll's, which Wine's driver host has loaded, though drivers may not import from it. And the locks that
 * are better made of it here: Wine's spin locks spin, for whole time slices when their holder does not run.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"
#include "host.h"

static NTSTATUS(NTAPI *wait_on)(volatile void *address, PVOID compare, SIZE_T size, PLARGE_INTEGER timeout);
static VOID(NTAPI *wake_one)(PVOID address);
static VOID(NTAPI *wake_all)(PVOID address);

/* Of the process environment's public description: its loader's list of modules by load order; ntdll is the second. */
static const UCHAR *ntdll(void)
{
	enum { TEB_PEB = 0x60, PEB_LDR = 0x18, LDR_MODULES = 0x10, MODULE_BASE = 0x30 };
	const UCHAR *peb = (const UCHAR *)__readgsqword(TEB_PEB);
	const LIST_ENTRY *modules = (const LIST_ENTRY *)(*(const UCHAR *const *)(peb + PEB_LDR) + LDR_MODULES);

	return *(const UCHAR *const *)((const UCHAR *)modules->Flink->Flink + MODULE_BASE);
}

NTSTATUS glue_wait_start(void)
{
	const UCHAR *image = ntdll();

	wait_on = (NTSTATUS(NTAPI *)(volatile void *, PVOID, SIZE_T, PLARGE_INTEGER))glue_export(image, "RtlWaitOnAddress");
	wake_one = (VOID(NTAPI *)(PVOID))glue_export(image, "RtlWakeAddressSingle");
	wake_all = (VOID(NTAPI *)(PVOID))glue_export(image, "RtlWakeAddressAll");
	return wait_on && wake_one && wake_all ? STATUS_SUCCESS : STATUS_ENTRYPOINT_NOT_FOUND;
}

void glue_wait(volatile LONG *word, LONG seen)
{
	(void)wait_on(word, &seen, sizeof(seen), NULL);
}

void glue_wake_one(volatile LONG *word)
{
	wake_one((PVOID)(ULONG_PTR)word);
}

void glue_wake_all(volatile LONG *word)
{
	wake_all((PVOID)(ULONG_PTR)word);
}

static void word_lock(volatile LONG *word)
{
	if (InterlockedCompareExchange(word, 1, 0) == 0)
		return;
	while (InterlockedExchange(word, 2) != 0)
		glue_wait(word, 2);
}

static void word_unlock(volatile LONG *word)
{
	if (InterlockedExchange(word, 0) == 2)
		glue_wake_one(word);
}

KIRQL NTAPI poly_KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock)
{
	word_lock((volatile LONG *)lock);
	return PASSIVE_LEVEL;
}

VOID NTAPI poly_KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL irql)
{
	(void)irql;
	word_unlock((volatile LONG *)lock);
}

/* In place of sim/lock.c. */
void sim_mutex_init(struct sim_mutex *lock)
{
	lock->state = 0;
	lock->owner = NULL;
}

void sim_mutex_lock(struct sim_mutex *lock)
{
	word_lock(&lock->state);
	lock->owner = KeGetCurrentThread();
}

void sim_mutex_unlock(struct sim_mutex *lock)
{
	lock->owner = NULL;
	word_unlock(&lock->state);
}

/*
 * Waiting for a word in memory: ntdll's, which Wine's driver host has loaded, though drivers may not import from it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"

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

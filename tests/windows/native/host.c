/*
 * The simulation's host, natively.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "host.h"
#include "turns.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

NTSTATUS native_wait(ULONG count, PVOID *objects, PLARGE_INTEGER timeout);

void *sim_host_alloc(SIZE_T bytes)
{
	return calloc(1, bytes);
}

void sim_host_free(void *memory)
{
	free(memory);
}

void sim_host_wait(PKEVENT event)
{
	PVOID object = event;

	native_wait(1, &object, NULL);
}

bool sim_host_wait_for(PKEVENT event, LONGLONG timeout)
{
	LARGE_INTEGER relative = { .QuadPart = -timeout };
	PVOID object = event;

	return native_wait(1, &object, &relative) == STATUS_SUCCESS;
}

int sim_host_wait_either(PVOID object, PKEVENT cancel, PLARGE_INTEGER timeout)
{
	PVOID objects[2] = { object, cancel };
	NTSTATUS status = native_wait(cancel ? 2 : 1, objects, timeout);

	return status == STATUS_TIMEOUT ? -1 : (int)status;
}

LONGLONG sim_host_time(void)
{
	return native_time();
}

void sim_host_log(const char *text)
{
	fprintf(stderr, "violation: %s\n", text);
}

bool sim_host_start(void (*run)(void *context), void *context)
{
	struct native_thread *thread = sched_start(run, NULL, context, 4);

	if (thread)
		sim_host_object_unref(thread);
	return thread != NULL;
}

KIRQL sim_host_irql(void)
{
	return sched_self()->irql;
}

KIRQL sim_host_set_irql(KIRQL irql)
{
	KIRQL before = sched_self()->irql;

	sched_self()->irql = irql;
	return before;
}

ULONG sim_host_set_process(ULONG process)
{
	return native_process_set(process);
}

ULONG sim_host_process(void)
{
	return native_process();
}

void sim_host_hide(void *memory, SIZE_T bytes)
{
#ifdef SIM_ASAN
	__asan_poison_memory_region(memory, bytes);
#else
	(void)memory;
	(void)bytes;
#endif
}

void sim_host_show(void *memory, SIZE_T bytes)
{
#ifdef SIM_ASAN
	__asan_unpoison_memory_region(memory, bytes);
#else
	(void)memory;
	(void)bytes;
#endif
}

void sim_host_point(void)
{
	native_point();
}

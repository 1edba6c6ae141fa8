/*
 * The simulation's host (sim/host.h) in Wine's driver host.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "host.h"

#include "glue.h"

/* In front of each object of the simulation's: what a filter references is told from Wine's own objects by the magic. */
struct object {
	ULONGLONG magic;
	volatile LONG references;
	void (*last)(void *object);
};
#define OBJECT_MAGIC 0x7463656a624f6d53ull
_Static_assert(sizeof(struct object) % 8 == 0, "alignment of what follows");

struct start {
	void (*run)(void *context);
	void *context;
};

static const ULONG tag = 0x486d6953; /* "SimH" */

void *sim_host_alloc(SIZE_T bytes)
{
	void *memory = ExAllocatePoolWithTag(NonPagedPool, bytes ? bytes : 1, tag);

	if (memory)
		RtlZeroMemory(memory, bytes);
	return memory;
}

void sim_host_free(void *memory)
{
	if (memory)
		ExFreePoolWithTag(memory, tag);
}

static struct object *object_of(void *object)
{
	struct object *head = (struct object *)object - 1;

	return head->magic == OBJECT_MAGIC ? head : NULL;
}

void *sim_host_object_new(SIZE_T bytes, void (*last)(void *object))
{
	struct object *head = sim_host_alloc(sizeof(*head) + bytes);

	if (!head)
		return NULL;
	head->magic = OBJECT_MAGIC;
	head->references = 1;
	head->last = last;
	return head + 1;
}

void sim_host_object_ref(void *object)
{
	InterlockedIncrement(&object_of(object)->references);
}

bool sim_host_object_try_ref(void *object)
{
	struct object *head = object_of(object);
	LONG seen = head->references;

	while (seen > 0) {
		LONG before = InterlockedCompareExchange(&head->references, seen + 1, seen);

		if (before == seen)
			return true;
		seen = before;
	}
	return false;
}

void sim_host_object_unref(void *object)
{
	struct object *head = object_of(object);
	LONG left = InterlockedDecrement(&head->references);

	if (left < 0)
		sim_violate("an object is dereferenced that has no reference", NULL, 0);
	else if (left == 0)
		head->last(object);
}

void sim_host_object_free(void *object)
{
	struct object *head = object_of(object);

	head->magic = 0;
	sim_host_free(head);
}

LONG_PTR glue_object_ref(void *object)
{
	struct object *head = object_of(object);

	if (!head)
		return ObfReferenceObject(object);
	return InterlockedIncrement(&head->references);
}

LONG_PTR glue_object_unref(void *object)
{
	if (object_of(object))
		sim_host_object_unref(object);
	else
		ObDereferenceObject(object);
	return 0;
}

void sim_host_wait(PKEVENT event)
{
	KeWaitForSingleObject(event, Executive, KernelMode, FALSE, NULL);
}

bool sim_host_wait_for(PKEVENT event, LONGLONG timeout)
{
	LARGE_INTEGER until = { .QuadPart = -timeout };

	return KeWaitForSingleObject(event, Executive, KernelMode, FALSE, timeout ? &until : NULL) == STATUS_SUCCESS;
}

int sim_host_wait_either(PVOID object, PKEVENT cancel, PLARGE_INTEGER timeout)
{
	PVOID both[2] = { object, cancel };
	NTSTATUS status = KeWaitForMultipleObjects(cancel ? 2 : 1, both, WaitAny, Executive, KernelMode, FALSE, timeout, NULL);

	return status == STATUS_WAIT_0 ? 0 : status == STATUS_WAIT_1 ? 1 : -1;
}

bool sim_host_fails(void)
{
	return false;
}

/* The header's macro reads a page that only a real kernel has. */
#undef KeQuerySystemTime
NTKERNELAPI VOID NTAPI KeQuerySystemTime(PLARGE_INTEGER time);

LONGLONG sim_host_time(void)
{
	LARGE_INTEGER time;

	KeQuerySystemTime(&time);
	return time.QuadPart;
}

void sim_host_log(const char *text)
{
	DbgPrint("fltmgr: %s\n", text);
}

static void NTAPI started(void *context)
{
	struct start start = *(struct start *)context;

	sim_host_free(context);
	start.run(start.context);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

bool sim_host_start(void (*run)(void *context), void *context)
{
	struct start *start = sim_host_alloc(sizeof(*start));
	HANDLE thread;

	if (!start)
		return false;
	start->run = run;
	start->context = context;
	if (!NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, started, start))) {
		sim_host_free(start);
		return false;
	}
	ZwClose(thread);
	return true;
}

/* Wine's own: the header's function reads the processor's block. */
PKTHREAD glue_thread(void)
{
	static PKTHREAD (NTAPI * current)(void);
	UNICODE_STRING name = RTL_CONSTANT_STRING(L"KeGetCurrentThread");

	if (!current)
		current = (PKTHREAD(NTAPI *)(void))(ULONG_PTR)MmGetSystemRoutineAddress(&name);
	return current();
}

KIRQL sim_host_irql(void)
{
	return PASSIVE_LEVEL;
}

KIRQL sim_host_set_irql(KIRQL irql)
{
	(void)irql;
	return PASSIVE_LEVEL;
}

ULONG sim_host_set_process(ULONG process)
{
	(void)process;
	return 0;
}

ULONG sim_host_process(void)
{
	return 0;
}

void sim_host_hide(void *memory, SIZE_T bytes)
{
	(void)memory;
	(void)bytes;
}

void sim_host_show(void *memory, SIZE_T bytes)
{
	(void)memory;
	(void)bytes;
}

void sim_host_point(void)
{
}

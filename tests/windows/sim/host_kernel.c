/*
 * The simulation's host in a true kernel, or Wine's: pool, events, system threads. Levels and processes are the host's own
 * affair there. Not part of the native build.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifdef _WIN32
#include "host.h"
#include "sim.h"

#define TAG 0x206d6953 /* "Sim " */
#define OBJECT_ALIVE 0x7463656a624f4e57ull

struct object {
	ULONGLONG magic;
	volatile LONG references;
	void (*last)(void *object);
	DECLSPEC_ALIGN(16) UCHAR body[];
};

void *sim_host_alloc(SIZE_T bytes)
{
	void *memory = ExAllocatePoolWithTag(NonPagedPool, bytes ? bytes : 1, TAG);

	if (memory)
		memset(memory, 0, bytes);
	return memory;
}

void sim_host_free(void *memory)
{
	if (memory)
		ExFreePoolWithTag(memory, TAG);
}

static struct object *object_of(void *body)
{
	return CONTAINING_RECORD(body, struct object, body);
}

void *sim_host_object_new(SIZE_T bytes, void (*last)(void *object))
{
	struct object *object = sim_host_alloc(sizeof(*object) + bytes);

	if (!object)
		return NULL;
	object->magic = OBJECT_ALIVE;
	object->references = 1;
	object->last = last;
	return object->body;
}

void sim_host_object_ref(void *body)
{
	__atomic_add_fetch(&object_of(body)->references, 1, __ATOMIC_RELAXED);
}

bool sim_host_object_try_ref(void *body)
{
	struct object *object = object_of(body);
	LONG count = __atomic_load_n(&object->references, __ATOMIC_RELAXED);

	while (count > 0)
		if (__atomic_compare_exchange_n(&object->references, &count, count + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return true;
	return false;
}

void sim_host_object_unref(void *body)
{
	struct object *object = object_of(body);
	LONG left;

	if (object->magic != OBJECT_ALIVE) {
		sim_violate("what is no object of the simulation, or not any more, is released", NULL, 0);
		return;
	}
	left = __atomic_sub_fetch(&object->references, 1, __ATOMIC_ACQ_REL);
	if (left < 0)
		sim_violate("an object's reference was released that nobody had", NULL, 0);
	if (!left)
		object->last(body);
}

void sim_host_object_free(void *body)
{
	object_of(body)->magic = 0;
	sim_host_free(object_of(body));
}

void sim_host_wait(PKEVENT event)
{
	KeWaitForSingleObject(event, Executive, KernelMode, FALSE, NULL);
}

bool sim_host_wait_for(PKEVENT event, LONGLONG timeout)
{
	LARGE_INTEGER relative;

	relative.QuadPart = -timeout;
	return KeWaitForSingleObject(event, Executive, KernelMode, FALSE, &relative) == STATUS_SUCCESS;
}

int sim_host_wait_either(PVOID object, PKEVENT cancel, PLARGE_INTEGER timeout)
{
	PVOID objects[2] = { object, cancel };
	NTSTATUS status = KeWaitForMultipleObjects(cancel ? 2 : 1, objects, WaitAny, Executive, KernelMode, FALSE, timeout, NULL);

	return status == STATUS_TIMEOUT ? -1 : (int)status;
}

LONGLONG sim_host_time(void)
{
	LARGE_INTEGER now;

	KeQuerySystemTime(&now);
	return now.QuadPart;
}

void sim_host_log(const char *text)
{
	DbgPrint("violation: %s\n", text);
}

struct start {
	void (*run)(void *context);
	void *context;
};

static VOID NTAPI thread_main(PVOID context)
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
	if (!NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, thread_main, start))) {
		sim_host_free(start);
		return false;
	}
	ZwClose(thread);
	return true;
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

bool sim_host_fails(void)
{
	return false;
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
#endif

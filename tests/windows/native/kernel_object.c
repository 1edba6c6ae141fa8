/*
 * Counted objects, handles, sections, threads, pool.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "host.h"
#include "turns.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- failing on purpose ---- */

static volatile uint32_t fail_at, requests;
static volatile bool fail_on;

void native_fail(uint32_t n, bool on)
{
	__atomic_store_n(&requests, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&fail_on, on, __ATOMIC_SEQ_CST);
	__atomic_store_n(&fail_at, n, __ATOMIC_SEQ_CST);
}

uint32_t native_fail_count(void)
{
	return __atomic_load_n(&requests, __ATOMIC_SEQ_CST);
}

bool sim_host_fails(void)
{
	uint32_t number = __atomic_add_fetch(&requests, 1, __ATOMIC_SEQ_CST), at = __atomic_load_n(&fail_at, __ATOMIC_SEQ_CST);

	return at && (number == at || (number > at && fail_on));
}

/* ---- objects ---- */

#define OBJECT_ALIVE 0x7463656a624f4e57ull

struct object {
	uint64_t magic;
	volatile LONG references;
	POBJECT_TYPE type;
	void (*last)(void *object);
	DECLSPEC_ALIGN(16) UCHAR body[];
};

/* Only their addresses count. */
static UCHAR type_names[5];
static POBJECT_TYPE section_type = (POBJECT_TYPE)(PVOID)&type_names[0], event_type = (POBJECT_TYPE)(PVOID)&type_names[1],
	thread_type = (POBJECT_TYPE)(PVOID)&type_names[2], file_type = (POBJECT_TYPE)(PVOID)&type_names[3],
	process_type = (POBJECT_TYPE)(PVOID)&type_names[4];
POBJECT_TYPE *MmSectionObjectType = &section_type, *ExEventObjectType = &event_type, *PsThreadType = &thread_type,
	*IoFileObjectType = &file_type, *PsProcessType = &process_type;

static struct object *object_of(void *body)
{
	struct object *object = CONTAINING_RECORD(body, struct object, body);

	if (object->magic != OBJECT_ALIVE) {
		sim_violate("what is no object, or not any more", NULL, 0);
		abort();
	}
	return object;
}

static void *object_new(SIZE_T bytes, POBJECT_TYPE type, void (*last)(void *object))
{
	struct object *object = calloc(1, sizeof(*object) + bytes);

	if (!object)
		return NULL;
	object->magic = OBJECT_ALIVE;
	object->references = 1;
	object->type = type;
	object->last = last;
	return object->body;
}

void *sim_host_object_new(SIZE_T bytes, void (*last)(void *object))
{
	return object_new(bytes, file_type, last);
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
	LONG left = __atomic_sub_fetch(&object->references, 1, __ATOMIC_ACQ_REL);

	if (left < 0)
		sim_violate("an object's reference was released that nobody had", NULL, 0);
	if (left)
		return;
	if (object->type == file_type && KeGetCurrentIrql() > APC_LEVEL)
		sim_violate("the last reference to a file object goes at too high a level", NULL, KeGetCurrentIrql());
	object->last(body);
}

void sim_host_object_free(void *body)
{
	struct object *object = CONTAINING_RECORD(body, struct object, body);

	object->magic = 0;
	free(object);
}

LONG_PTR ObfReferenceObject(PVOID Object)
{
	sim_host_object_ref(Object);
	return 1;
}

LONG_PTR ObfDereferenceObject(PVOID Object)
{
	sim_host_object_unref(Object);
	return 1;
}

/* ---- handles ---- */

#define HANDLES 1024u

struct handle {
	void *body;
	uint32_t process;
};

static struct handle handles[HANDLES]; /* under the scheduler's lock; handle number n + 1 times 4 */

static HANDLE handle_new(void *body, uint32_t process)
{
	HANDLE handle = NULL;

	sched_self();
	sched_lock();
	for (uint32_t i = 0; i < HANDLES && !handle; i++) {
		if (!handles[i].body) {
			handles[i].body = body;
			handles[i].process = process;
			handle = (HANDLE)(ULONG_PTR)((i + 1) * 4);
		}
	}
	sched_unlock();
	return handle;
}

static struct handle *handle_at(HANDLE handle)
{
	ULONG_PTR number = (ULONG_PTR)handle;

	return number && number % 4 == 0 && number / 4 <= HANDLES && handles[number / 4 - 1].body ? &handles[number / 4 - 1] : NULL;
}

uint32_t native_handles(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < HANDLES; i++)
		count += handles[i].body != NULL;
	return count;
}

NTSTATUS NtClose(HANDLE Handle)
{
	struct handle *handle;
	void *body = NULL;

	sched_self();
	sched_lock();
	handle = handle_at(Handle);
	if (handle) {
		body = handle->body;
		handle->body = NULL;
	}
	sched_unlock();
	if (!body)
		return STATUS_INVALID_HANDLE;
	sim_host_object_unref(body);
	return STATUS_SUCCESS;
}

NTSTATUS ZwClose(HANDLE Handle)
{
	NTSTATUS status;

	sim_level_check(PASSIVE_LEVEL, __func__);
	status = NtClose(Handle);
	if (!NT_SUCCESS(status))
		sim_violate("ZwClose of what is no handle", NULL, (ULONG_PTR)Handle);
	return status;
}

void native_handle_close(HANDLE handle)
{
	NtClose(handle);
}

NTSTATUS ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
	PVOID *Object, PVOID HandleInformation)
{
	struct handle *handle;
	NTSTATUS status = STATUS_INVALID_HANDLE;

	(void)DesiredAccess;
	(void)HandleInformation;
	sim_level_check(PASSIVE_LEVEL, __func__);
	*Object = NULL;
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	sched_lock();
	handle = handle_at(Handle);
	if (handle && (AccessMode == KernelMode || handle->process == native_process())) {
		status = ObjectType && object_of(handle->body)->type != ObjectType ? STATUS_OBJECT_TYPE_MISMATCH : STATUS_SUCCESS;
		if (NT_SUCCESS(status)) {
			sim_host_object_ref(handle->body);
			*Object = handle->body;
		}
	}
	sched_unlock();
	return status;
}

NTSTATUS ObOpenObjectByPointer(PVOID Object, ULONG Attributes, PACCESS_STATE PassedAccessState, ACCESS_MASK DesiredAccess,
	POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode, PHANDLE Handle)
{
	(void)PassedAccessState;
	(void)DesiredAccess;
	(void)ObjectType;
	(void)AccessMode;
	sim_level_check(PASSIVE_LEVEL, __func__);
	if (!(Attributes & OBJ_KERNEL_HANDLE))
		sim_violate("a handle for the driver without OBJ_KERNEL_HANDLE", NULL, 0);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	sim_host_object_ref(Object);
	*Handle = handle_new(Object, 0);
	return STATUS_SUCCESS;
}

NTSTATUS ZwSetSecurityObject(HANDLE Handle, SECURITY_INFORMATION SecurityInformation, PSECURITY_DESCRIPTOR SecurityDescriptor)
{
	(void)SecurityInformation;
	sim_level_check(PASSIVE_LEVEL, __func__);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	return handle_at(Handle) && *(UCHAR *)SecurityDescriptor == SECURITY_DESCRIPTOR_REVISION ? STATUS_SUCCESS :
		STATUS_INVALID_SECURITY_DESCR;
}

/* ---- sections: a file without a name, mapped once for the process and once for the driver ---- */

struct section {
	int fd;
	void *memory;
	uint64_t size;
};

struct view {
	LIST_ENTRY link;
	void *base;
	uint64_t size;
};

static LIST_ENTRY views = { &views, &views };

static void section_last(void *body)
{
	struct section *section = body;

	munmap(section->memory, section->size);
	close(section->fd);
	sim_host_object_free(body);
}

bool native_section_new(struct native_section *ret, uint32_t process, uint64_t size)
{
	struct section *section = object_new(sizeof(*section), section_type, section_last);

	if (!section)
		return false;
	section->size = size;
	section->fd = memfd_create("section", MFD_CLOEXEC);
	if (section->fd < 0 || ftruncate(section->fd, (off_t)size))
		abort();
	section->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, section->fd, 0);
	if (section->memory == MAP_FAILED)
		abort();
	ret->handle = handle_new(section, process);
	ret->memory = section->memory;
	ret->size = size;
	return ret->handle != NULL;
}

NTSTATUS MmMapViewInSystemSpace(PVOID Section, PVOID *MappedBase, PSIZE_T ViewSize)
{
	struct section *section = Section;
	struct view *view;

	sim_level_check(PASSIVE_LEVEL, __func__);
	if (object_of(Section)->type != section_type) {
		sim_violate("a view of what is no section", NULL, 0);
		return STATUS_INVALID_PARAMETER;
	}
	if (*ViewSize > section->size)
		return STATUS_INVALID_VIEW_SIZE;
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	view = calloc(1, sizeof(*view));
	if (!view)
		abort();
	view->size = *ViewSize ? *ViewSize : section->size;
	view->base = mmap(NULL, view->size, PROT_READ | PROT_WRITE, MAP_SHARED, section->fd, 0);
	if (view->base == MAP_FAILED)
		abort();
	*MappedBase = view->base;
	*ViewSize = view->size;
	sched_lock();
	InsertTailList(&views, &view->link);
	sched_unlock();
	return STATUS_SUCCESS;
}

NTSTATUS MmUnmapViewInSystemSpace(PVOID MappedBase)
{
	struct view *found = NULL;

	sim_level_check(PASSIVE_LEVEL, __func__);
	sched_lock();
	for (LIST_ENTRY *entry = views.Flink; entry != &views && !found; entry = entry->Flink)
		if (CONTAINING_RECORD(entry, struct view, link)->base == MappedBase)
			found = CONTAINING_RECORD(entry, struct view, link);
	if (found)
		RemoveEntryList(&found->link);
	sched_unlock();
	if (!found) {
		sim_violate("a view is unmapped that is none", NULL, 0);
		return STATUS_INVALID_PARAMETER;
	}
	munmap(found->base, found->size);
	free(found);
	return STATUS_SUCCESS;
}

/* ---- events of processes ---- */

static void event_last(void *body)
{
	sim_host_object_free(body);
}

bool native_event_new(struct native_event *ret, uint32_t process, bool signalled)
{
	PKEVENT event = object_new(sizeof(*event), event_type, event_last);

	if (!event)
		return false;
	KeInitializeEvent(event, SynchronizationEvent, signalled);
	ret->event = event;
	ret->handle = handle_new(event, process);
	return ret->handle != NULL;
}

/* ---- threads ---- */

NTSTATUS PsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
	PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
	struct native_thread *thread;

	(void)DesiredAccess;
	(void)ClientId;
	sim_level_check(PASSIVE_LEVEL, __func__);
	if (ProcessHandle)
		sim_violate("a system thread in another process is not simulated", NULL, 0);
	if (!ObjectAttributes || !(ObjectAttributes->Attributes & OBJ_KERNEL_HANDLE))
		sim_violate("a handle for the driver without OBJ_KERNEL_HANDLE", "PsCreateSystemThread", 0);
	thread = sim_host_fails() ? NULL : sched_start(NULL, StartRoutine, StartContext, 4);
	if (!thread)
		return STATUS_INSUFFICIENT_RESOURCES;
	object_of(thread)->type = thread_type;
	*ThreadHandle = handle_new(thread, 0);
	return STATUS_SUCCESS;
}

DECLSPEC_NORETURN NTSTATUS PsTerminateSystemThread(NTSTATUS Status)
{
	(void)Status;
	sched_exit();
}

PKTHREAD KeGetCurrentThread(VOID)
{
	return (PKTHREAD)(PVOID)sched_self();
}

HANDLE PsGetCurrentThreadId(VOID)
{
	return (HANDLE)sched_self();
}

HANDLE PsGetCurrentProcessId(VOID)
{
	return (HANDLE)(ULONG_PTR)native_process();
}

NTSTATUS ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
	struct handle *handle = handle_at(Handle);

	if (!handle) {
		sim_violate("ZwWaitForSingleObject of what is no handle", NULL, 0);
		return STATUS_INVALID_HANDLE;
	}
	return KeWaitForSingleObject(handle->body, Executive, KernelMode, Alertable, Timeout);
}

/* ---- pool ---- */

#define BLOCK_ALIVE 0x6b636f6c426c6f50ull

struct block {
	uint64_t magic;
	ULONG tag;
	POOL_TYPE type;
	SIZE_T size;
	uint64_t pad;
	UCHAR body[];
};

static volatile uint32_t live;

uint32_t native_pool_live(void)
{
	return __atomic_load_n(&live, __ATOMIC_SEQ_CST);
}

PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
	struct block *block;

	sim_level_check(PoolType == PagedPool ? APC_LEVEL : DISPATCH_LEVEL, __func__);
	if (!NumberOfBytes)
		sim_violate("an allocation of no bytes", NULL, Tag);
	native_point();
	block = sim_host_fails() ? NULL : malloc(sizeof(*block) + NumberOfBytes);
	if (!block)
		return NULL;
	block->magic = BLOCK_ALIVE;
	block->tag = Tag;
	block->type = PoolType;
	block->size = NumberOfBytes;
	memset(block->body, 0xcc, NumberOfBytes);
	__atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
	return block->body;
}

VOID ExFreePoolWithTag(PVOID P, ULONG Tag)
{
	struct block *block = CONTAINING_RECORD(P, struct block, body);

	sim_level_check(DISPATCH_LEVEL, __func__);
	if (!P || block->magic != BLOCK_ALIVE) {
		sim_violate("what is freed is no pool block, or not any more", NULL, Tag);
		return;
	}
	if (Tag && block->tag != Tag)
		sim_violate("a pool block is freed with another tag", NULL, Tag);
	sim_level_check(block->type == PagedPool ? APC_LEVEL : DISPATCH_LEVEL, __func__);
	block->magic = 0;
	memset(block->body, 0xdd, block->size);
	__atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
	free(block);
}

VOID ExFreePool(PVOID P)
{
	ExFreePoolWithTag(P, 0);
}

/* ---- MDLs ---- */

PMDL IoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota, PIRP Irp)
{
	PMDL mdl;

	(void)SecondaryBuffer;
	(void)ChargeQuota;
	(void)Irp;
	sim_level_check(DISPATCH_LEVEL, __func__);
	mdl = sim_host_fails() ? NULL : calloc(1, sizeof(*mdl));
	if (!mdl)
		return NULL;
	mdl->StartVa = (PVOID)((ULONG_PTR)VirtualAddress & ~(ULONG_PTR)(PAGE_SIZE - 1));
	mdl->ByteOffset = (ULONG)((ULONG_PTR)VirtualAddress & (PAGE_SIZE - 1));
	mdl->ByteCount = Length;
	__atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
	return mdl;
}

VOID IoFreeMdl(PMDL Mdl)
{
	if (Mdl->MdlFlags & MDL_PAGES_LOCKED)
		sim_violate("an MDL is freed with its pages locked", NULL, 0);
	__atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
	free(Mdl);
}

VOID MmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
	(void)AccessMode;
	(void)Operation;
	sim_level_check(APC_LEVEL, __func__);
	MemoryDescriptorList->MdlFlags |= MDL_PAGES_LOCKED;
	MemoryDescriptorList->MappedSystemVa = (PCHAR)MemoryDescriptorList->StartVa + MemoryDescriptorList->ByteOffset;
}

VOID MmUnlockPages(PMDL MemoryDescriptorList)
{
	if (!(MemoryDescriptorList->MdlFlags & MDL_PAGES_LOCKED))
		sim_violate("pages are unlocked that are not locked", NULL, 0);
	MemoryDescriptorList->MdlFlags &= ~MDL_PAGES_LOCKED;
}

PVOID MmGetSystemAddressForMdlSafe(PMDL Mdl, ULONG Priority)
{
	(void)Priority;
	if (!(Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL)))
		sim_violate("a system address of pages that are not locked", NULL, 0);
	return sim_host_fails() ? NULL : Mdl->MappedSystemVa;
}

void native_check(void)
{
	if (native_pool_live())
		sim_violate("pool blocks were not freed", NULL, native_pool_live());
	if (!IsListEmpty(&views))
		sim_violate("views were not unmapped", NULL, 0);
	for (uint32_t i = 0; i < HANDLES; i++)
		if (handles[i].body && !handles[i].process)
			sim_violate("a handle of the driver was not closed", NULL, (i + 1) * 4);
}

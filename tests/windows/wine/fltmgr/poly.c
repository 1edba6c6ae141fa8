/*
 * Kernel functions that Wine has not, or not as the driver needs them: what poly_NAME does, loaded filters get for NAME.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Sections and events of another process's handles; views in system space; the driver's pool, counted and watched.
 */
#include "glue.h"

#include <fltkernel.h>

NTSYSAPI NTSTATUS NTAPI ZwMapViewOfSection(HANDLE section, HANDLE process, PVOID *base, ULONG_PTR zero, SIZE_T commit,
	PLARGE_INTEGER offset, PSIZE_T size, SECTION_INHERIT inherit, ULONG type, ULONG protection);
NTSYSAPI NTSTATUS NTAPI ZwUnmapViewOfSection(HANDLE process, PVOID base);
NTSYSAPI NTSTATUS NTAPI ZwOpenProcess(PHANDLE process, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, PCLIENT_ID id);
NTSYSAPI NTSTATUS NTAPI ZwDuplicateObject(HANDLE source, HANDLE handle, HANDLE target, PHANDLE ret, ACCESS_MASK access,
	ULONG attributes, ULONG options);

enum { POOL_HEAD = 32, POOL_TAIL = 16, TAIL = 0xa5, FREED = 0xdd };
#define POOL_ALIVE 0x6c6f6f50u /* "Pool" */
#define POOL_DEAD 0x64616544u

/* In front of every allocation of a filter's; behind it POOL_TAIL bytes of TAIL. */
struct pool_head {
	ULONG magic, tag;
	SIZE_T size;
	ULONGLONG unused[2];
};
_Static_assert(sizeof(struct pool_head) == POOL_HEAD, "alignment of what follows");

static LONG pool_count;

/* A section of a program's. Told from other objects by its magic, which nothing else has there. */
struct section {
	ULONGLONG magic;
	LONG references;
	HANDLE handle;
};
#define SECTION_MAGIC 0x6e6f697463655321ull

/* What drivers find behind MmSectionObjectType. */
static ULONGLONG section_type[32];
POBJECT_TYPE poly_MmSectionObjectType = (POBJECT_TYPE)section_type;

ULONG glue_pool(void)
{
	return (ULONG)pool_count;
}

PVOID NTAPI poly_ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	struct pool_head *head = ExAllocatePoolWithTag(type, size + POOL_HEAD + POOL_TAIL, tag);

	if (!head)
		return NULL;
	head->magic = POOL_ALIVE;
	head->tag = tag;
	head->size = size;
	RtlFillMemory((UCHAR *)(head + 1) + size, POOL_TAIL, TAIL);
	/* what the driver does not set itself shows */
	RtlFillMemory(head + 1, size, 0xcd);
	InterlockedIncrement(&pool_count);
	return head + 1;
}

PVOID NTAPI poly_ExAllocatePool2(ULONGLONG flags, SIZE_T size, ULONG tag)
{
	PVOID memory = poly_ExAllocatePoolWithTag(NonPagedPool, size, tag);

	/* POOL_FLAG_UNINITIALIZED */
	if (memory && !(flags & 2))
		RtlZeroMemory(memory, size);
	return memory;
}

VOID NTAPI poly_ExFreePoolWithTag(PVOID memory, ULONG tag)
{
	struct pool_head *head = (struct pool_head *)memory - 1;
	const UCHAR *tail;

	if (!memory || head->magic != POOL_ALIVE) {
		sim_violate("pool freed that is not allocated, or freed twice", NULL, (ULONG_PTR)memory);
		return;
	}
	if (tag && tag != head->tag)
		sim_violate("pool freed with another tag", NULL, tag);
	tail = (const UCHAR *)memory + head->size;
	for (int i = 0; i < POOL_TAIL; i++)
		if (tail[i] != TAIL) {
			sim_violate("written behind a pool allocation", NULL, head->size);
			break;
		}
	head->magic = POOL_DEAD;
	RtlFillMemory(memory, head->size, FREED);
	InterlockedDecrement(&pool_count);
	ExFreePoolWithTag(head, head->tag);
}

VOID NTAPI poly_ExFreePool(PVOID memory)
{
	poly_ExFreePoolWithTag(memory, 0);
}

/* The program that the dispatcher's thread serves now. */
static NTSTATUS handle_take(HANDLE theirs, ACCESS_MASK access, HANDLE *ret)
{
	OBJECT_ATTRIBUTES attributes;
	CLIENT_ID id = { .UniqueProcess = PsGetCurrentProcessId() };
	HANDLE process;
	NTSTATUS status;

	InitializeObjectAttributes(&attributes, NULL, 0, NULL, NULL);
	status = ZwOpenProcess(&process, PROCESS_DUP_HANDLE, &attributes, &id);
	if (!NT_SUCCESS(status))
		return status;
	status = ZwDuplicateObject(process, theirs, ZwCurrentProcess(), ret, access, 0, 0);
	ZwClose(process);
	return status;
}

static BOOLEAN is_section(HANDLE handle)
{
	struct {
		UNICODE_STRING name;
		WCHAR room[256];
	} type;
	UNICODE_STRING wanted = RTL_CONSTANT_STRING(L"Section");
	ULONG length;

	return NT_SUCCESS(ZwQueryObject(handle, ObjectTypeInformation, &type, sizeof(type), &length)) &&
		RtlEqualUnicodeString(&type.name, &wanted, TRUE);
}

NTSTATUS NTAPI poly_ObReferenceObjectByHandle(HANDLE handle, ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
	PVOID *ret_object, POBJECT_HANDLE_INFORMATION info)
{
	struct section *section;
	HANDLE own;
	NTSTATUS status;

	if (mode == KernelMode)
		return ObReferenceObjectByHandle(handle, access, type, mode, ret_object, info);
	status = handle_take(handle, access, &own);
	if (!NT_SUCCESS(status))
		return status;
	if (type != poly_MmSectionObjectType) {
		status = ObReferenceObjectByHandle(own, access, type, KernelMode, ret_object, info);
		ZwClose(own);
		return status;
	}
	if (!is_section(own)) {
		ZwClose(own);
		return STATUS_OBJECT_TYPE_MISMATCH;
	}
	section = glue_alloc(sizeof(*section));
	if (!section) {
		ZwClose(own);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	section->magic = SECTION_MAGIC;
	section->references = 1;
	section->handle = own;
	*ret_object = section;
	return STATUS_SUCCESS;
}

static VOID section_unref(struct section *section)
{
	if (InterlockedDecrement(&section->references) != 0)
		return;
	section->magic = 0;
	ZwClose(section->handle);
	ExFreePoolWithTag(section, GLUE_TAG);
}

LONG_PTR NTAPI poly_ObfDereferenceObject(PVOID object)
{
	if (((struct section *)object)->magic != SECTION_MAGIC)
		return glue_object_unref(object);
	section_unref(object);
	return 0;
}

LONG_PTR NTAPI poly_ObfReferenceObject(PVOID object)
{
	if (((struct section *)object)->magic != SECTION_MAGIC)
		return glue_object_ref(object);
	return InterlockedIncrement(&((struct section *)object)->references);
}

VOID NTAPI poly_ObDereferenceObject(PVOID object)
{
	(void)poly_ObfDereferenceObject(object);
}

NTSTATUS NTAPI poly_MmMapViewInSystemSpace(PVOID section, PVOID *ret_base, PSIZE_T size)
{
	PVOID base = NULL;
	NTSTATUS status;

	if (((struct section *)section)->magic != SECTION_MAGIC)
		return STATUS_INVALID_PARAMETER;
	status = ZwMapViewOfSection(((struct section *)section)->handle, ZwCurrentProcess(), &base, 0, 0, NULL, size, ViewUnmap, 0,
		PAGE_READWRITE);
	if (NT_SUCCESS(status))
		*ret_base = base;
	return status;
}

NTSTATUS NTAPI poly_MmUnmapViewInSystemSpace(PVOID base)
{
	return ZwUnmapViewOfSection(ZwCurrentProcess(), base);
}

/* Every address is a kernel address here, and stays where it is. */
PVOID NTAPI poly_MmMapLockedPagesSpecifyCache(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE cache, PVOID base, ULONG bug_check,
	ULONG priority)
{
	(void)mode, (void)cache, (void)base, (void)bug_check, (void)priority;
	return (UCHAR *)mdl->StartVa + mdl->ByteOffset;
}

static VOID NTAPI filter_unload(PDRIVER_OBJECT driver)
{
	(void)sim_filter_unload(driver, true);
}

/* The real filter manager takes over a filter's unloading, too. */
NTSTATUS FLTAPI poly_FltRegisterFilter(PDRIVER_OBJECT driver, CONST FLT_REGISTRATION *registration, PFLT_FILTER *ret_filter)
{
	NTSTATUS status = FltRegisterFilter(driver, registration, ret_filter);

	if (NT_SUCCESS(status))
		driver->DriverUnload = filter_unload;
	return status;
}

/*
 * Memory of the driver, and the few names that mingw's and Microsoft's headers spell differently.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_MEMORY_H
#define INLAY_DRIVER_MEMORY_H

#include <ntifs.h>
#include <stdint.h>

#define INLAY_TAG ((ULONG)0x796c6e49) /* "Inly" in a dump */

/* Pool that data can't be executed from. */
#define INLAY_POOL ((POOL_TYPE)512)

#ifndef MdlMappingNoExecute
#define MdlMappingNoExecute 0x40000000
#endif

/* mingw declares these as imports, which takes one step from the import table to the variable; Microsoft's headers leave it to the user. */
#ifdef __MINGW32__
extern POBJECT_TYPE NTSYSAPI *MmSectionObjectType;
#define INLAY_OBJECT_TYPE(name) ((POBJECT_TYPE)(void *)(name))
#else
#define INLAY_OBJECT_TYPE(name) (*(name))
#endif

/* Zeroed, never paged. NULL: there is none. IRQL: DISPATCH_LEVEL. */
static inline void *inlay_alloc(SIZE_T size)
{
	void *p = ExAllocatePoolWithTag(INLAY_POOL, size, INLAY_TAG);

	if (p)
		RtlZeroMemory(p, size);
	return p;
}

/* p may be NULL. IRQL: DISPATCH_LEVEL. */
static inline void inlay_free(void *p)
{
	if (p)
		ExFreePoolWithTag(p, INLAY_TAG);
}

#endif

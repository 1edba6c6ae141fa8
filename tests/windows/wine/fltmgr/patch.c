/*
 * Imports of a driver that Wine lacks, or only has as stubs: each that this file exports too leads here instead. The driver's
 * own file stays as it would be installed.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"

/* Of the PE format's public description; the kernel's headers have none of it. */
struct import_descriptor {
	ULONG names, time, forwarder, name, slots;
};

struct export_directory {
	ULONG flags, time;
	USHORT major, minor;
	ULONG name, base, functions_count, names_count, functions, names, ordinals;
};

enum { PE_OFFSET = 0x3c, DIRECTORIES = 24 + 112, DIRECTORY_EXPORT = 0, DIRECTORY_IMPORT = 1 };

NTSYSAPI NTSTATUS NTAPI ZwProtectVirtualMemory(HANDLE process, PVOID *address, SIZE_T *size, ULONG protection, ULONG *old);

static const UCHAR *self; /* this image */
static LONG patched;

/* Where a data directory of a 64-bit image lies: from its start, 0 for none. */
static ULONG directory_of(const UCHAR *image, ULONG index)
{
	return *(const ULONG *)(image + *(const ULONG *)(image + PE_OFFSET) + DIRECTORIES + 8 * index);
}

static BOOLEAN same(const char *a, const char *b, BOOLEAN fold)
{
	for (; *a || *b; a++, b++) {
		char x = fold && *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a;
		char y = fold && *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;

		if (x != y)
			return FALSE;
	}
	return TRUE;
}

void *glue_export(const UCHAR *image, const char *name)
{
	const struct export_directory *exports = (const struct export_directory *)(image + directory_of(image, DIRECTORY_EXPORT));
	const ULONG *names = (const ULONG *)(image + exports->names);
	const USHORT *ordinals = (const USHORT *)(image + exports->ordinals);
	const ULONG *functions = (const ULONG *)(image + exports->functions);

	for (ULONG i = 0; i < exports->names_count; i++)
		if (same((const char *)image + names[i], name, FALSE))
			return (void *)((ULONG_PTR)image + functions[ordinals[i]]);
	return NULL;
}

static void patch_one(UCHAR *image, const struct import_descriptor *from)
{
	const ULONGLONG *names = (const ULONGLONG *)(image + from->names);
	ULONG_PTR *slots = (ULONG_PTR *)(image + from->slots);

	for (; *names; names++, slots++) {
		ULONG_PTR here;
		void *page = slots;
		SIZE_T size = sizeof(*slots);
		ULONG old;

		if (*names >> 63)
			continue;
		here = (ULONG_PTR)glue_export(self, (const char *)image + *names + 2);
		if (!here || here == *slots)
			continue;
		if (!NT_SUCCESS(ZwProtectVirtualMemory(ZwCurrentProcess(), &page, &size, PAGE_READWRITE, &old)))
			continue;
		*slots = here;
		page = slots;
		size = sizeof(*slots);
		(void)ZwProtectVirtualMemory(ZwCurrentProcess(), &page, &size, old, &old);
		InterlockedIncrement(&patched);
	}
}

static BOOLEAN from_here(const UCHAR *image, const struct import_descriptor *from)
{
	return same((const char *)image + from->name, "fltmgr.sys", TRUE);
}

/* Only drivers that import from this file. */
static void patch(UCHAR *image)
{
	ULONG offset = directory_of(image, DIRECTORY_IMPORT);
	const struct import_descriptor *all = (const struct import_descriptor *)(image + offset);
	BOOLEAN filter = FALSE;

	if (!offset || image == self)
		return;
	for (const struct import_descriptor *i = all; i->name; i++)
		filter |= from_here(image, i);
	for (const struct import_descriptor *i = all; filter && i->name; i++)
		if (!from_here(image, i))
			patch_one(image, i);
}

static void NTAPI on_image(PUNICODE_STRING name, HANDLE process, PIMAGE_INFO info)
{
	(void)name;
	(void)process;
	patch(info->ImageBase);
}

ULONG glue_patched(void)
{
	return (ULONG)patched;
}

NTSTATUS glue_patch_start(PDRIVER_OBJECT driver)
{
	self = driver->DriverStart;
	return PsSetLoadImageNotifyRoutine(on_image);
}

void glue_patch_stop(void)
{
	(void)PsRemoveLoadImageNotifyRoutine(on_image);
}

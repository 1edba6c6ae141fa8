/*
 * NTFS's end of file, which follows the server's, and pages of views, which agree with what is read and written beside them.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Never called by the queue's thread nor for paging I/O: NTFS takes the file's locks, whose holder may wait for an answer.
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

#define BUCKETS 16u

/* Serialises moves of one file's end. The event is the lock: it may be held over calls to NTFS, which want PASSIVE_LEVEL. */
static struct {
	KEVENT free;
	LONG epoch; /* moves so far; changed with the lock, read with and without */
} buckets[BUCKETS];

void inlay_sizes_init(void)
{
	for (ULONG i = 0; i < BUCKETS; i++)
		KeInitializeEvent(&buckets[i].free, SynchronizationEvent, TRUE);
}

static ULONG bucket_of(PFILE_OBJECT object)
{
	ULONG_PTR p = (ULONG_PTR)object->FsContext;

	return (ULONG)(p >> 6 ^ p >> 12) % BUCKETS;
}

static void lock(ULONG bucket)
{
	KeEnterCriticalRegion(); /* whoever holds it must not be suspended */
	KeWaitForSingleObject(&buckets[bucket].free, Executive, KernelMode, FALSE, NULL);
}

static void unlock(ULONG bucket)
{
	KeSetEvent(&buckets[bucket].free, IO_NO_INCREMENT, FALSE);
	KeLeaveCriticalRegion();
}

/* IRQL: any */
uint64_t inlay_size_of(PFILE_OBJECT object)
{
	PFSRTL_COMMON_FCB_HEADER header = object->FsContext;

	return header ? (uint64_t)__atomic_load_n(&header->FileSize.QuadPart, __ATOMIC_RELAXED) : 0;
}

/* IRQL: any */
bool inlay_is_mapped(PFILE_OBJECT object)
{
	return object->SectionObjectPointer && __atomic_load_n(&object->SectionObjectPointer->DataSectionObject, __ATOMIC_RELAXED);
}

/* IRQL: any */
ULONG inlay_size_epoch(PFILE_OBJECT object)
{
	return (ULONG)__atomic_load_n(&buckets[bucket_of(object)].epoch, __ATOMIC_ACQUIRE);
}

/* Lock held. */
static NTSTATUS set(PCFLT_RELATED_OBJECTS objects, uint64_t size, ULONG bucket)
{
	FILE_END_OF_FILE_INFORMATION end = {.EndOfFile.QuadPart = (LONGLONG)size};

	__atomic_add_fetch(&buckets[bucket].epoch, 1, __ATOMIC_RELEASE);
	return FltSetInformationFile(objects->Instance, objects->FileObject, &end, sizeof(end), FileEndOfFileInformation);
}

/* IRQL: PASSIVE_LEVEL */
void inlay_size_follow(PCFLT_RELATED_OBJECTS objects, uint64_t size, ULONG epoch)
{
	ULONG bucket = bucket_of(objects->FileObject);

	if (inlay_size_of(objects->FileObject) == size)
		return;
	lock(bucket);
	if ((ULONG)buckets[bucket].epoch == epoch && !inlay_is_mapped(objects->FileObject))
		(void)set(objects, size, bucket); /* a cosmetic matter until the next write or view, which set it again */
	unlock(bucket);
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_size_grow(PCFLT_RELATED_OBJECTS objects, uint64_t size)
{
	ULONG bucket = bucket_of(objects->FileObject);
	NTSTATUS status = STATUS_SUCCESS;

	if (inlay_size_of(objects->FileObject) >= size)
		return status;
	lock(bucket);
	if (inlay_size_of(objects->FileObject) < size)
		status = set(objects, size, bucket);
	unlock(bucket);
	return status;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_size_move(PCFLT_RELATED_OBJECTS objects, uint64_t size)
{
	ULONG bucket = bucket_of(objects->FileObject);
	NTSTATUS status;

	lock(bucket);
	status = set(objects, size, bucket);
	unlock(bucket);
	return status;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_pages_flush(PFILE_OBJECT object, PLARGE_INTEGER offset, ULONG length)
{
	IO_STATUS_BLOCK status = {.Status = STATUS_SUCCESS};

	if (!inlay_is_mapped(object))
		return STATUS_SUCCESS;
	CcFlushCache(object->SectionObjectPointer, offset, length, &status);
	return status.Status;
}

/* IRQL: PASSIVE_LEVEL */
void inlay_pages_purge(PFILE_OBJECT object, PLARGE_INTEGER offset, ULONG length)
{
	if (inlay_is_mapped(object))
		(void)CcPurgeCacheSection(object->SectionObjectPointer, offset, length, FALSE);
}

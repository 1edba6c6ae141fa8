/*
 * IRP_MJ_READ, WRITE and FLUSH_BUFFERS at the volume, and byte-range locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define SECTOR 512u

/* ---- locks ---- */

bool sim_range_conflicts(struct sim_node *node, struct sim_open *open, ULONGLONG offset, ULONGLONG length, bool write)
{
	SIM_EACH(entry, &node->locks) {
		struct sim_range *range = CONTAINING_RECORD(entry, struct sim_range, link);

		if (!length || offset + length - 1 < range->offset || range->offset + range->length - 1 < offset)
			continue;
		if (range->open == open ? write && !range->exclusive : write || range->exclusive)
			return true;
	}
	return false;
}

void sim_range_drop(struct sim_node *node, struct sim_open *open)
{
	SIM_EACH(entry, &node->locks) {
		struct sim_range *range = CONTAINING_RECORD(entry, struct sim_range, link);

		if (range->open == open) {
			RemoveEntryList(&range->link);
			sim_host_free(range);
		}
	}
}

static NTSTATUS range_add(struct sim_open *open, ULONGLONG offset, ULONGLONG length, bool exclusive)
{
	struct sim_node *node = open->node;
	struct sim_range *range;

	SIM_EACH(entry, &node->locks) {
		struct sim_range *other = CONTAINING_RECORD(entry, struct sim_range, link);

		if (length && offset + length - 1 >= other->offset && other->offset + other->length - 1 >= offset &&
			(exclusive || other->exclusive))
			return STATUS_LOCK_NOT_GRANTED;
	}
	range = sim_host_alloc(sizeof(*range));
	if (!range)
		return STATUS_INSUFFICIENT_RESOURCES;
	range->open = open;
	range->offset = offset;
	range->length = length;
	range->exclusive = exclusive;
	InsertTailList(&node->locks, &range->link);
	return STATUS_SUCCESS;
}

static NTSTATUS range_remove(struct sim_open *open, ULONGLONG offset, ULONGLONG length)
{
	SIM_EACH(entry, &open->node->locks) {
		struct sim_range *range = CONTAINING_RECORD(entry, struct sim_range, link);

		if (range->open == open && range->offset == offset && range->length == length) {
			RemoveEntryList(&range->link);
			sim_host_free(range);
			return STATUS_SUCCESS;
		}
	}
	return STATUS_RANGE_NOT_LOCKED;
}

NTSTATUS sim_ntfs_lock(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	ULONGLONG offset = (ULONGLONG)p->LockControl.ByteOffset.QuadPart, length = (ULONGLONG)p->LockControl.Length->QuadPart;
	NTSTATUS status;

	sim_mutex_lock(&sim_big);
	if (request->data->iopb.MinorFunction == IRP_MN_LOCK)
		status = range_add(request->open, offset, length, p->LockControl.ExclusiveLock);
	else
		status = range_remove(request->open, offset, length);
	sim_mutex_unlock(&sim_big);
	return status;
}

/* ---- reads ---- */

/* From the disk. Bytes, or an error. */
static NTSTATUS read_direct(struct sim_node *node, ULONGLONG offset, PVOID buffer, ULONG length, ULONG_PTR *ret_done)
{
	ULONGLONG size;

	sim_mutex_lock(&sim_big);
	size = sim_node_size(node);
	if (offset >= size) {
		sim_mutex_unlock(&sim_big);
		return STATUS_END_OF_FILE;
	}
	if (length > size - offset)
		length = (ULONG)(size - offset);
	sim_pages_read(&node->data, offset, buffer, length);
	sim_mutex_unlock(&sim_big);
	*ret_done = length;
	return STATUS_SUCCESS;
}

static NTSTATUS read_cached(struct sim_open *open, ULONGLONG offset, PVOID buffer, ULONG length, ULONG_PTR *ret_done)
{
	ULONGLONG size = sim_node_size(open->node);
	NTSTATUS status;

	if (offset >= size)
		return STATUS_END_OF_FILE;
	if (length > size - offset)
		length = (ULONG)(size - offset);
	status = sim_cache_read(open, offset, buffer, length, false);
	*ret_done = NT_SUCCESS(status) ? length : 0;
	return status;
}

static void move_position(struct sim_request *request, ULONGLONG offset, ULONG_PTR done)
{
	PFILE_OBJECT object = &request->open->object;

	if ((object->Flags & FO_SYNCHRONOUS_IO) && !request->paging)
		object->CurrentByteOffset.QuadPart = (LONGLONG)(offset + done);
}

NTSTATUS sim_ntfs_read(struct sim_request *request)
{
	const FLT_IO_PARAMETER_BLOCK *iopb = &request->data->iopb;
	ULONGLONG offset = (ULONGLONG)iopb->Parameters.Read.ByteOffset.QuadPart;
	ULONG length = iopb->Parameters.Read.Length;
	struct sim_node *node = request->open->node;
	PVOID buffer = sim_buffer_data(request);
	ULONG_PTR done = 0;
	NTSTATUS status;
	bool conflict;

	if (node->directory)
		return STATUS_INVALID_DEVICE_REQUEST;
	SIM_COUNT_BY(reads, length);
	sim_mutex_lock(&sim_big);
	conflict = !request->paging && sim_range_conflicts(node, request->open, offset, length, false);
	sim_mutex_unlock(&sim_big);
	if (conflict)
		return STATUS_FILE_LOCK_CONFLICT;
	if (request->paging) {
		status = read_direct(node, offset, buffer, length, &done);
	} else if (iopb->IrpFlags & IRP_NOCACHE) {
		if (offset % SECTOR || length % SECTOR)
			return STATUS_INVALID_PARAMETER;
		status = sim_cache_flush(node, offset, length);
		if (NT_SUCCESS(status))
			status = read_direct(node, offset, buffer, length, &done);
	} else {
		status = length ? read_cached(request->open, offset, buffer, length, &done) : STATUS_SUCCESS;
	}
	request->data->data.IoStatus.Information = done;
	if (NT_SUCCESS(status))
		move_position(request, offset, done);
	return status;
}

/* ---- writes ---- */

/* Under sim_big. */
static NTSTATUS write_direct(struct sim_node *node, ULONGLONG offset, const void *buffer, ULONG length)
{
	struct sim_volume *volume = node->volume;
	ULONG before = node->data.count;
	bool fine;

	if (volume->used + ((ULONGLONG)length / SIM_PAGE + 2) * SIM_PAGE > volume->room)
		return STATUS_DISK_FULL;
	fine = sim_pages_write(&node->data, offset, buffer, length);
	volume->used += (ULONGLONG)(node->data.count - before) * SIM_PAGE;
	__atomic_store_n(&node->header.AllocationSize.QuadPart, (LONGLONG)sim_node_allocation(node), __ATOMIC_RELAXED);
	return fine ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

static NTSTATUS write_paging(struct sim_node *node, ULONGLONG offset, const void *buffer, ULONG length)
{
	ULONGLONG size;
	NTSTATUS status = STATUS_SUCCESS;

	sim_mutex_lock(&sim_big);
	size = sim_node_size(node);
	if (offset < size)
		status = write_direct(node, offset, buffer, length < size - offset ? length : (ULONG)(size - offset));
	sim_mutex_unlock(&sim_big);
	return status;
}

/* The size grows before the data comes, as with the cache manager. */
static NTSTATUS prepare(struct sim_request *request, ULONGLONG *offset, ULONG length, LIST_ENTRY *ready)
{
	struct sim_open *open = request->open;
	struct sim_node *node = open->node;
	bool append = (open->granted & (FILE_WRITE_DATA | FILE_APPEND_DATA)) == FILE_APPEND_DATA;

	if (*offset == ~0ull || append)
		*offset = sim_node_size(node);
	if (*offset + length > 1ull << 44)
		return STATUS_INVALID_PARAMETER;
	if (sim_range_conflicts(node, open, *offset, length, true))
		return STATUS_FILE_LOCK_CONFLICT;
	if (node->volume->used + length > node->volume->room)
		return STATUS_DISK_FULL;
	node->written = node->changed = sim_host_time();
	node->attributes |= FILE_ATTRIBUTE_ARCHIVE;
	sim_notify_node(node, FILE_ACTION_MODIFIED, FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE, ready);
	return STATUS_SUCCESS;
}

static NTSTATUS write_nocache(struct sim_node *node, ULONGLONG offset, const void *buffer, ULONG length)
{
	NTSTATUS status = sim_cache_flush(node, offset, length);

	if (!NT_SUCCESS(status))
		return status;
	sim_cache_purge(node, offset, length);
	sim_mutex_lock(&sim_big);
	if (offset + length > sim_node_size(node))
		sim_node_set_size(node, offset + length);
	status = write_direct(node, offset, buffer, length);
	sim_mutex_unlock(&sim_big);
	return status;
}

static NTSTATUS write_cached(struct sim_request *request, ULONGLONG offset, const void *buffer, ULONG length)
{
	struct sim_open *open = request->open;
	NTSTATUS status = sim_cache_write(open, offset, buffer, length, false);

	if (NT_SUCCESS(status) && ((open->object.Flags & FO_WRITE_THROUGH) || (request->data->iopb.OperationFlags & SL_WRITE_THROUGH)))
		status = sim_cache_flush(open->node, offset, length);
	return status;
}

static NTSTATUS write_checked(struct sim_request *request, ULONGLONG *offset, const void *buffer, ULONG length)
{
	struct sim_node *node = request->open->node;
	bool nocache = (request->data->iopb.IrpFlags & IRP_NOCACHE) != 0;
	LIST_ENTRY ready;
	NTSTATUS status;

	if (nocache && *offset != ~0ull && (*offset % SECTOR || length % SECTOR))
		return STATUS_INVALID_PARAMETER;
	InitializeListHead(&ready);
	sim_mutex_lock(&sim_big);
	status = prepare(request, offset, length, &ready);
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&ready);
	if (!NT_SUCCESS(status) || !length)
		return status;
	return nocache ? write_nocache(node, *offset, buffer, length) : write_cached(request, *offset, buffer, length);
}

NTSTATUS sim_ntfs_write(struct sim_request *request)
{
	const FLT_IO_PARAMETER_BLOCK *iopb = &request->data->iopb;
	ULONGLONG offset = (ULONGLONG)iopb->Parameters.Write.ByteOffset.QuadPart;
	ULONG length = iopb->Parameters.Write.Length;
	PVOID buffer = sim_buffer_data(request);
	NTSTATUS status;

	if (request->open->node->directory)
		return STATUS_INVALID_DEVICE_REQUEST;
	SIM_COUNT_BY(writes, length);
	status = request->paging ? write_paging(request->open->node, offset, buffer, length) :
		write_checked(request, &offset, buffer, length);
	request->data->data.IoStatus.Information = NT_SUCCESS(status) ? length : 0;
	if (NT_SUCCESS(status))
		move_position(request, offset, length);
	return status;
}

NTSTATUS sim_ntfs_flush(struct sim_request *request)
{
	return request->open->node->directory ? STATUS_SUCCESS : sim_cache_flush(request->open->node, 0, ~0ull);
}

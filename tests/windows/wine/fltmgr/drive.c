/*
 * The simulated drive's device: bare handles, and what Wine forwards on them.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"

struct sim_volume *glue_volume;

static PDEVICE_OBJECT device;
static KSPIN_LOCK lock; /* the list and its numbers */
static LIST_ENTRY bindings;
static ULONGLONG numbers;
static ULONGLONG count;

void glue_unref(struct binding *binding)
{
	if (InterlockedDecrement(&binding->references) == 0) {
		if (binding->view)
			sim_unmap(binding->view);
		if (binding->file)
			sim_close(binding->file);
		ExFreePoolWithTag(binding, GLUE_TAG);
	}
}

struct binding *glue_find(ULONGLONG number)
{
	struct binding *found = NULL;
	KIRQL irql;

	KeAcquireSpinLock(&lock, &irql);
	for (LIST_ENTRY *i = bindings.Flink; i != &bindings; i = i->Flink) {
		struct binding *binding = CONTAINING_RECORD(i, struct binding, link);

		if (binding->number == number) {
			InterlockedIncrement(&binding->references);
			found = binding;
			break;
		}
	}
	KeReleaseSpinLock(&lock, irql);
	return found;
}

ULONGLONG glue_handles(void)
{
	KIRQL irql;
	ULONGLONG n;

	KeAcquireSpinLock(&lock, &irql);
	n = count;
	KeReleaseSpinLock(&lock, irql);
	return n;
}

BOOLEAN glue_remount(void)
{
	struct sim_volume *fresh;

	if (!sim_volume_free(glue_volume))
		return FALSE;
	fresh = sim_volume_new(DRIVE_DEVICE);
	if (!fresh)
		KeBugCheck(GLUE_TAG);
	glue_volume = fresh;
	return TRUE;
}

static NTSTATUS complete(PIRP irp, NTSTATUS status)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = 0;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

static NTSTATUS on_create(PDEVICE_OBJECT of, PIRP irp)
{
	struct binding *binding = glue_alloc(sizeof(*binding));
	KIRQL irql;

	(void)of;
	if (!binding)
		return complete(irp, STATUS_INSUFFICIENT_RESOURCES);
	binding->references = 1;
	KeAcquireSpinLock(&lock, &irql);
	binding->number = ++numbers;
	count++;
	InsertTailList(&bindings, &binding->link);
	KeReleaseSpinLock(&lock, irql);
	IoGetCurrentIrpStackLocation(irp)->FileObject->FsContext = binding;
	return complete(irp, STATUS_SUCCESS);
}

/* A program that died comes here without a CLEANUP call: the job then does both. */
static NTSTATUS on_close(PDEVICE_OBJECT of, PIRP irp)
{
	PFILE_OBJECT object = IoGetCurrentIrpStackLocation(irp)->FileObject;
	struct binding *binding = object ? object->FsContext : NULL;
	KIRQL irql;

	(void)of;
	if (binding) {
		object->FsContext = NULL;
		KeAcquireSpinLock(&lock, &irql);
		RemoveEntryList(&binding->link);
		count--;
		KeReleaseSpinLock(&lock, irql);
		glue_submit_end(binding);
	}
	return complete(irp, STATUS_SUCCESS);
}

static NTSTATUS on_request(PDEVICE_OBJECT of, PIRP irp)
{
	PFILE_OBJECT object = IoGetCurrentIrpStackLocation(irp)->FileObject;

	(void)of;
	if (!object || !object->FsContext)
		return complete(irp, STATUS_INVALID_HANDLE);
	if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_DEVICE_CONTROL &&
		IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode == DRIVE_BENCH_NEXT)
		return glue_bench_next(irp);
	return glue_submit(irp, object->FsContext);
}

NTSTATUS glue_drive_new(PDRIVER_OBJECT driver)
{
	UNICODE_STRING name = RTL_CONSTANT_STRING(DRIVE_DEVICE), letter = RTL_CONSTANT_STRING(DRIVE_LINK);
	NTSTATUS status;

	KeInitializeSpinLock(&lock);
	InitializeListHead(&bindings);
	glue_bench_start();
	glue_volume = sim_volume_new(DRIVE_DEVICE);
	if (!glue_volume)
		return STATUS_INSUFFICIENT_RESOURCES;
	driver->MajorFunction[IRP_MJ_CREATE] = on_create;
	driver->MajorFunction[IRP_MJ_CLOSE] = on_close;
	driver->MajorFunction[IRP_MJ_READ] = on_request;
	driver->MajorFunction[IRP_MJ_WRITE] = on_request;
	driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = on_request;
	driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = on_request;
	status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_DISK, 0, FALSE, &device);
	if (NT_SUCCESS(status)) {
		device->Flags |= DO_BUFFERED_IO;
		device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
		status = IoCreateSymbolicLink(&letter, &name);
		if (NT_SUCCESS(status))
			return status;
		IoDeleteDevice(device);
	}
	sim_volume_free(glue_volume);
	return status;
}

void glue_drive_free(void)
{
	UNICODE_STRING letter = RTL_CONSTANT_STRING(DRIVE_LINK);

	IoDeleteSymbolicLink(&letter);
	IoDeleteDevice(device);
	if (!sim_volume_free(glue_volume))
		DbgPrint("fltmgr: files are open at unload\n");
}

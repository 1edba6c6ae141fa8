/*
 * inlay.sys: entry, registration with the filter manager, and the end.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "fltkernel.h"

#include "control.h"
#include "directories.h"
#include "filter.h"
#include "memory.h"

PFLT_FILTER inlay_filter;

DRIVER_INITIALIZE DriverEntry;

static const FLT_CONTEXT_REGISTRATION contexts[] = {
	{.ContextType = FLT_STREAMHANDLE_CONTEXT, .ContextCleanupCallback = inlay_file_cleanup, .Size = sizeof(struct inlay_file),
	 .PoolTag = INLAY_TAG},
	{.ContextType = FLT_CONTEXT_END},
};

static const FLT_OPERATION_REGISTRATION operations[] = {
	{.MajorFunction = IRP_MJ_CREATE, .PreOperation = inlay_pre_create, .PostOperation = inlay_post_create},
	{.MajorFunction = IRP_MJ_CLEANUP, .PreOperation = inlay_pre_cleanup, .PostOperation = inlay_post_cleanup},
	{.MajorFunction = IRP_MJ_READ, .PreOperation = inlay_pre_read},
	{.MajorFunction = IRP_MJ_WRITE, .PreOperation = inlay_pre_write},
	{.MajorFunction = IRP_MJ_QUERY_INFORMATION, .PreOperation = inlay_pre_query, .PostOperation = inlay_post_query},
	{.MajorFunction = IRP_MJ_SET_INFORMATION, .PreOperation = inlay_pre_set, .PostOperation = inlay_post_set},
	{.MajorFunction = IRP_MJ_QUERY_EA, .PreOperation = inlay_pre_query_ea},
	{.MajorFunction = IRP_MJ_SET_EA, .PreOperation = inlay_pre_set_ea},
	{.MajorFunction = IRP_MJ_FLUSH_BUFFERS, .PreOperation = inlay_pre_flush},
	{.MajorFunction = IRP_MJ_QUERY_VOLUME_INFORMATION, .PreOperation = inlay_pre_query_volume,
	 .PostOperation = inlay_post_query_volume},
	{.MajorFunction = IRP_MJ_DIRECTORY_CONTROL, .PreOperation = inlay_pre_directory},
	{.MajorFunction = IRP_MJ_FILE_SYSTEM_CONTROL, .PreOperation = inlay_pre_fsctl},
	{.MajorFunction = IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION, .PreOperation = inlay_pre_section},
	{.MajorFunction = IRP_MJ_NETWORK_QUERY_OPEN, .PreOperation = inlay_pre_network_query_open},
	{.MajorFunction = IRP_MJ_FAST_IO_CHECK_IF_POSSIBLE, .PreOperation = inlay_pre_fast},
	{.MajorFunction = IRP_MJ_MDL_READ, .PreOperation = inlay_pre_fast},
	{.MajorFunction = IRP_MJ_PREPARE_MDL_WRITE, .PreOperation = inlay_pre_fast},
	{.MajorFunction = IRP_MJ_OPERATION_END},
};

#define VOLUME_NAME_UNITS 128 /* "\Device\HarddiskVolume3", "\Device\Volume{GUID}": one that is longer holds no filter directory */

struct volume_name {
	UNICODE_STRING text;
	WCHAR room[VOLUME_NAME_UNITS];
};

/* Without memory of the pool, so that an instance's end can't fail. IRQL: PASSIVE_LEVEL */
static bool name_of(PCFLT_RELATED_OBJECTS objects, struct volume_name *ret)
{
	ret->text = (UNICODE_STRING){.MaximumLength = sizeof(ret->room), .Buffer = ret->room};
	return NT_SUCCESS(FltGetVolumeName(objects->Volume, &ret->text, NULL));
}

/* Only volumes that hold a filter directory. IRQL: PASSIVE_LEVEL */
static NTSTATUS FLTAPI on_setup(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_SETUP_FLAGS flags, ULONG type, FLT_FILESYSTEM_TYPE system)
{
	struct volume_name name;

	(void)flags;
	(void)type;
	(void)system;
	if (!inlay_directories_any() || !name_of(objects, &name) || !inlay_directories_volume(&name.text, true))
		return STATUS_FLT_DO_NOT_ATTACH;
	return STATUS_SUCCESS;
}

/*
 * By hand (fltmc detach): no, while there may be placeholders, whose data programs would take for zeros. Detaching the directory or
 * unloading the driver is the way. IRQL: PASSIVE_LEVEL
 */
static NTSTATUS FLTAPI on_query_teardown(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_QUERY_TEARDOWN_FLAGS flags)
{
	struct volume_name name;

	(void)flags;
	return name_of(objects, &name) && inlay_directories_on(&name.text) ? STATUS_FLT_DO_NOT_DETACH : STATUS_SUCCESS;
}

/*
 * The volume goes, with files open perhaps, or the driver. The filter manager waits for all operations that are inside a callback or pended:
 * they end now, whatever the server does. IRQL: PASSIVE_LEVEL
 */
static VOID FLTAPI on_teardown(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_TEARDOWN_FLAGS reason)
{
	struct volume_name name;

	(void)reason;
	if (name_of(objects, &name))
		(void)inlay_directories_volume(&name.text, false);
	inlay_removals_drop(objects->Instance);
}

/* Whoever waits for an answer gets one first, then the filter manager waits for callbacks and contexts. IRQL: PASSIVE_LEVEL */
static NTSTATUS FLTAPI on_unload(FLT_FILTER_UNLOAD_FLAGS flags)
{
	(void)flags;
	inlay_control_stop();
	inlay_queues_done();
	inlay_removals_done();
	FltUnregisterFilter(inlay_filter);
	inlay_control_delete();
	inlay_directories_done();
	inlay_queues_done();
	return STATUS_SUCCESS;
}

static const FLT_REGISTRATION registration = {
	.Size = sizeof(registration),
	.Version = FLT_REGISTRATION_VERSION,
	.ContextRegistration = contexts,
	.OperationRegistration = operations,
	.FilterUnloadCallback = on_unload,
	.InstanceSetupCallback = on_setup,
	.InstanceQueryTeardownCallback = on_query_teardown,
	.InstanceTeardownStartCallback = on_teardown,
};

/* IRQL: PASSIVE_LEVEL */
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
	NTSTATUS status;

	(void)path;
	inlay_queues_init();
	inlay_sizes_init();
	inlay_removals_init();
	status = inlay_directories_init();
	if (!NT_SUCCESS(status))
		return status;
	status = FltRegisterFilter(driver, &registration, &inlay_filter);
	if (!NT_SUCCESS(status))
		goto undo_directories;
	status = inlay_control_start(driver, inlay_filter);
	if (!NT_SUCCESS(status))
		goto undo_filter;
	status = FltStartFiltering(inlay_filter);
	if (!NT_SUCCESS(status))
		goto undo_control;
	return STATUS_SUCCESS;
undo_control:
	inlay_control_stop();
	inlay_control_delete();
undo_filter:
	FltUnregisterFilter(inlay_filter);
undo_directories:
	inlay_directories_done();
	return status;
}

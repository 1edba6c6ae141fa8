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

/* Only volumes that hold a filter directory. IRQL: PASSIVE_LEVEL */
static NTSTATUS FLTAPI on_setup(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_SETUP_FLAGS flags, ULONG type, FLT_FILESYSTEM_TYPE system)
{
	UNICODE_STRING name = {0};
	ULONG length = 0;
	NTSTATUS status;
	bool wanted;

	(void)flags;
	(void)type;
	(void)system;
	if (!inlay_directories_any())
		return STATUS_FLT_DO_NOT_ATTACH;
	status = FltGetVolumeName(objects->Volume, NULL, &length);
	if ((!NT_SUCCESS(status) && status != STATUS_BUFFER_TOO_SMALL) || !length || length > 0xfffe)
		return STATUS_FLT_DO_NOT_ATTACH;
	name.Buffer = inlay_alloc(length);
	if (!name.Buffer)
		return STATUS_INSUFFICIENT_RESOURCES;
	name.MaximumLength = (USHORT)length;
	status = FltGetVolumeName(objects->Volume, &name, NULL);
	wanted = NT_SUCCESS(status) && inlay_directories_on(&name);
	inlay_free(name.Buffer);
	return wanted ? STATUS_SUCCESS : STATUS_FLT_DO_NOT_ATTACH;
}

/* By hand (fltmc detach): the administrator's choice. IRQL: PASSIVE_LEVEL */
static NTSTATUS FLTAPI on_query_teardown(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_QUERY_TEARDOWN_FLAGS flags)
{
	(void)objects;
	(void)flags;
	return STATUS_SUCCESS;
}

/* The instance's contexts must go. IRQL: PASSIVE_LEVEL */
static VOID FLTAPI on_teardown(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_TEARDOWN_FLAGS reason)
{
	(void)reason;
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

/*
 * The verifier is verified: a toy filter with one bug at a time, each of which must be reported, and none must not.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

#include <fltkernel.h>

#include "host.h"

#define TAG 0x796f5420u

enum bug {
	NONE, CONTEXT_LEAK, CONTEXT_OVER_RELEASE, CONTEXT_UNREGISTERED, NAME_LEAK, NAME_TWICE, COMPLETE_TWICE, COMPLETE_UNPENDED, NO_STATUS,
	PENDING_STATUS, NOT_DIRTY, LEVEL_KEPT, LEVEL_KEPT_IN_POST, WAIT_AT_DISPATCH, FREE_TWICE, LATE_WRITE, POOL_LEAK, WRONG_TAG, POOL_LEVEL,
	CONTEXT_WITHOUT_POST, POST_UNREGISTERED, CANCEL_OPEN_OUTSIDE, VOLUME_LEAK, INSTANCE_LEAK, SET_IN_PAGING, PEND_FAST, SYNCHRONIZE_FAST,
	SPIN_NOT_HELD, HANDLE_LEAK, FAIL_WITHOUT_CANCEL, CANCEL_ROUTINE_KEPT, TOO_MANY_BYTES, LOCK_ELSEWHERE, RESOURCE_UNPROTECTED,
	NOT_UNREGISTERED, NO_KERNEL_HANDLE, DISALLOW_IRP, LAST_UNREF_AT_DISPATCH, RELEASE_AT_DISPATCH, FILE_REF_LEAK, NOT_IN_VOLUME, BUGS
};

/* What must be said, as a part of the text. */
static const char *const said[BUGS] = {
	[CONTEXT_LEAK] = "contexts are not released", [CONTEXT_OVER_RELEASE] = "context", [CONTEXT_UNREGISTERED] = "not registered",
	[NAME_LEAK] = "name information is not released", [NAME_TWICE] = "name information is released",
	[COMPLETE_TWICE] = "operation that is over", [COMPLETE_UNPENDED] = "but not pended", [NO_STATUS] = "without a status",
	[PENDING_STATUS] = "without a status", [NOT_DIRTY] = "FltSetCallbackDataDirty", [LEVEL_KEPT] = "at another level",
	[LEVEL_KEPT_IN_POST] = "at another level", [WAIT_AT_DISPATCH] = "too high a level", [FREE_TWICE] = "no pool block",
	[LATE_WRITE] = "written after", [POOL_LEAK] = "not freed", [WRONG_TAG] = "another tag", [POOL_LEVEL] = "too high a level",
	[CONTEXT_WITHOUT_POST] = "no post-operation callback", [POST_UNREGISTERED] = "did not register",
	[CANCEL_OPEN_OUTSIDE] = "outside of a post-create", [VOLUME_LEAK] = "references a volume", [INSTANCE_LEAK] = "referenced at unload",
	[SET_IN_PAGING] = "inside paging I/O", [PEND_FAST] = "FLT_PREOP_PENDING for what is no IRP",
	[SYNCHRONIZE_FAST] = "FLT_PREOP_SYNCHRONIZE for what is no IRP", [SPIN_NOT_HELD] = "who does not hold it",
	[HANDLE_LEAK] = "referenced at unload", [FAIL_WITHOUT_CANCEL] = "without FltCancelFileOpen",
	[CANCEL_ROUTINE_KEPT] = "cancel routine set", [TOO_MANY_BYTES] = "more bytes", [LOCK_ELSEWHERE] = "another thread than",
	[RESOURCE_UNPROTECTED] = "critical region", [NOT_UNREGISTERED] = "without FltUnregisterFilter", [NO_KERNEL_HANDLE] = "OBJ_KERNEL_HANDLE",
	[DISALLOW_IRP] = "DISALLOW_FASTIO for what", [LAST_UNREF_AT_DISPATCH] = "at too high a level", [RELEASE_AT_DISPATCH] = "too high a level",
	[FILE_REF_LEAK] = "still open", [NOT_IN_VOLUME] = "that the volume has not seen",
};

static enum bug bug;
static PFLT_FILTER filter;
static PFLT_VOLUME kept_volume;
static PFLT_INSTANCE kept_instance;
static PFLT_CALLBACK_DATA kept_data;
static void *volatile lost[2]; /* what is leaked on purpose: the leak sanitizer need not know */
static PFILE_OBJECT kept_object;
static HANDLE kept_handle;
static PVOID kept_pool;

static FLT_PREOP_CALLBACK_STATUS complete(PFLT_CALLBACK_DATA data, NTSTATUS status, ULONG_PTR information)
{
	data->IoStatus.Status = status;
	data->IoStatus.Information = information;
	return FLT_PREOP_COMPLETE;
}

static void finish_elsewhere(void *opaque)
{
	PFLT_CALLBACK_DATA data = opaque;

	if (bug == LOCK_ELSEWHERE)
		FltLockUserBuffer(data);
	complete(data, STATUS_END_OF_FILE, 0);
	FltCompletePendedPreOperation(data, FLT_PREOP_COMPLETE, NULL);
	if (bug == COMPLETE_TWICE)
		FltCompletePendedPreOperation(data, FLT_PREOP_COMPLETE, NULL);
}

static VOID FLTAPI never_cancelled(PFLT_CALLBACK_DATA data)
{
	(void)data;
}

static void pool_bugs(void)
{
	PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, 10, TAG);
	KIRQL irql;

	if (bug == POOL_LEAK) {
		kept_pool = block;
		return;
	}
	if (bug == POOL_LEVEL) {
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
		ExFreePoolWithTag(ExAllocatePoolWithTag(PagedPool, 10, TAG), TAG);
		KeLowerIrql(irql);
	}
	ExFreePoolWithTag(block, bug == WRONG_TAG ? 0x1234 : TAG);
}

static void lock_bugs(void)
{
	KSPIN_LOCK spin;
	KIRQL irql;
	KEVENT event;
	ERESOURCE resource;

	if (bug == WAIT_AT_DISPATCH) {
		KeInitializeEvent(&event, NotificationEvent, TRUE);
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
		KeLowerIrql(irql);
	} else if (bug == SPIN_NOT_HELD) {
		KeInitializeSpinLock(&spin);
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
		KeReleaseSpinLock(&spin, irql);
	} else if (bug == RESOURCE_UNPROTECTED) {
		ExInitializeResourceLite(&resource);
		ExAcquireResourceSharedLite(&resource, TRUE);
		ExReleaseResourceLite(&resource);
	}
}

static void context_bugs(PCFLT_RELATED_OBJECTS objects)
{
	PFLT_CONTEXT context;
	KIRQL irql;

	if (bug == CONTEXT_UNREGISTERED)
		FltAllocateContext(filter, FLT_STREAM_CONTEXT, 8, NonPagedPool, &context);
	if (bug != CONTEXT_LEAK && bug != CONTEXT_OVER_RELEASE && bug != RELEASE_AT_DISPATCH && bug != NONE)
		return;
	if (!NT_SUCCESS(FltAllocateContext(filter, FLT_STREAMHANDLE_CONTEXT, 16, NonPagedPool, &context)))
		return;
	FltSetStreamHandleContext(objects->Instance, objects->FileObject, FLT_SET_CONTEXT_KEEP_IF_EXISTS, context, NULL);
	if (bug == CONTEXT_LEAK) {
		FltReferenceContext(context);
		lost[0] = context;
	}
	if (bug == CONTEXT_OVER_RELEASE)
		FltReleaseContext(context);
	if (bug == RELEASE_AT_DISPATCH)
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
	FltReleaseContext(context);
	if (bug == RELEASE_AT_DISPATCH)
		KeLowerIrql(irql);
}

static void reference_bugs(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects)
{
	UNICODE_STRING name;
	PFLT_FILE_NAME_INFORMATION info;

	if (bug == NAME_LEAK || bug == NAME_TWICE || bug == NONE) {
		FltGetFileNameInformation(data, FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_QUERY_DEFAULT, &info);
		lost[1] = bug == NAME_LEAK ? info : lost[1];
		if (bug != NAME_LEAK)
			FltReleaseFileNameInformation(info);
		if (bug == NAME_TWICE)
			FltReleaseFileNameInformation(info);
	}
	RtlInitUnicodeString(&name, L"\\Device\\HarddiskVolume3");
	if (bug == VOLUME_LEAK || bug == NONE) {
		FltGetVolumeFromName(filter, &name, &kept_volume);
		if (bug == NONE)
			FltObjectDereference(kept_volume);
	}
	if (bug == FILE_REF_LEAK) {
		ObReferenceObject(objects->FileObject);
		kept_object = objects->FileObject;
	}
}

static void open_file(PCFLT_RELATED_OBJECTS objects)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES attributes;
	IO_STATUS_BLOCK result;
	PFILE_OBJECT object;
	HANDLE handle;
	KIRQL irql;

	RtlInitUnicodeString(&name, L"\\Device\\HarddiskVolume3\\other");
	InitializeObjectAttributes(&attributes, &name, bug == NO_KERNEL_HANDLE ? 0 : OBJ_KERNEL_HANDLE, NULL, NULL);
	if (!NT_SUCCESS(FltCreateFileEx(filter, objects->Instance, &handle, &object, FILE_READ_DATA, &attributes, &result, NULL, 0, 7, FILE_OPEN_IF, 0,
		NULL, 0, 0)))
		return;
	if (bug == HANDLE_LEAK) {
		ObDereferenceObject(object);
		kept_handle = handle;
		return;
	}
	FltClose(handle);
	if (bug == LAST_UNREF_AT_DISPATCH)
		KeRaiseIrql(DISPATCH_LEVEL, &irql);
	ObDereferenceObject(object);
	if (bug == LAST_UNREF_AT_DISPATCH)
		KeLowerIrql(irql);
}

static FLT_PREOP_CALLBACK_STATUS FLTAPI pre_create(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID *context)
{
	(void)objects;
	(void)context;
	if (bug == NOT_IN_VOLUME)
		return complete(data, STATUS_SUCCESS, FILE_OPENED);
	if (bug == NOT_DIRTY)
		data->Iopb->Parameters.Create.Options ^= FILE_SEQUENTIAL_ONLY;
	return FLT_PREOP_SUCCESS_WITH_CALLBACK;
}

static FLT_POSTOP_CALLBACK_STATUS FLTAPI post_create(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID context, ULONG flags)
{
	(void)context;
	(void)flags;
	if (!NT_SUCCESS(data->IoStatus.Status))
		return FLT_POSTOP_FINISHED_PROCESSING;
	context_bugs(objects);
	reference_bugs(data, objects);
	if (bug == FAIL_WITHOUT_CANCEL)
		data->IoStatus.Status = STATUS_ACCESS_DENIED;
	return FLT_POSTOP_FINISHED_PROCESSING;
}

static FLT_PREOP_CALLBACK_STATUS read_irp(PFLT_CALLBACK_DATA data, PVOID *context)
{
	KIRQL irql;

	switch (bug) {
	case LEVEL_KEPT: KeRaiseIrql(DISPATCH_LEVEL, &irql); return FLT_PREOP_SUCCESS_NO_CALLBACK;
	case CONTEXT_WITHOUT_POST: *context = &bug; return FLT_PREOP_SUCCESS_NO_CALLBACK;
	case NO_STATUS: return FLT_PREOP_COMPLETE;
	case PENDING_STATUS: return complete(data, STATUS_PENDING, 0);
	case TOO_MANY_BYTES: return complete(data, STATUS_SUCCESS, data->Iopb->Parameters.Read.Length + 1);
	case DISALLOW_IRP: return FLT_PREOP_DISALLOW_FASTIO;
	case COMPLETE_UNPENDED:
		complete(data, STATUS_END_OF_FILE, 0);
		FltCompletePendedPreOperation(data, FLT_PREOP_COMPLETE, NULL);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	case CANCEL_ROUTINE_KEPT:
		FltSetCancelCompletion(data, never_cancelled);
		return complete(data, STATUS_END_OF_FILE, 0);
	case COMPLETE_TWICE:
	case LOCK_ELSEWHERE: {
		struct native_thread *thread = native_thread_new(finish_elsewhere, data, 4);

		sim_host_object_unref(thread);
		return FLT_PREOP_PENDING;
	}
	case LATE_WRITE: kept_data = data; return FLT_PREOP_SUCCESS_NO_CALLBACK;
	default: return FLT_PREOP_SUCCESS_WITH_CALLBACK;
	}
}

static FLT_PREOP_CALLBACK_STATUS FLTAPI pre_read(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID *context)
{
	FILE_END_OF_FILE_INFORMATION end = { .EndOfFile.QuadPart = 100 };

	if (data->Iopb->IrpFlags & IRP_PAGING_IO) {
		if (bug == SET_IN_PAGING)
			FltSetInformationFile(objects->Instance, objects->FileObject, &end, sizeof(end), FileEndOfFileInformation);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	if (FLT_IS_FASTIO_OPERATION(data))
		return bug == PEND_FAST ? FLT_PREOP_PENDING : bug == SYNCHRONIZE_FAST ? FLT_PREOP_SYNCHRONIZE : FLT_PREOP_SUCCESS_NO_CALLBACK;
	pool_bugs();
	lock_bugs();
	if (bug == CANCEL_OPEN_OUTSIDE)
		FltCancelFileOpen(objects->Instance, objects->FileObject);
	if (bug == NONE || bug == NO_KERNEL_HANDLE || bug == HANDLE_LEAK || bug == LAST_UNREF_AT_DISPATCH)
		open_file(objects);
	return read_irp(data, context);
}

static FLT_POSTOP_CALLBACK_STATUS FLTAPI post_read(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID context, ULONG flags)
{
	(void)data;
	(void)objects;
	(void)context;
	(void)flags;
	if (bug == LEVEL_KEPT_IN_POST)
		KeLowerIrql(PASSIVE_LEVEL);
	return FLT_POSTOP_FINISHED_PROCESSING;
}

static FLT_PREOP_CALLBACK_STATUS FLTAPI pre_query(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID *context)
{
	(void)data;
	(void)objects;
	(void)context;
	if (bug == LATE_WRITE && kept_data) { /* of the read before */
		sim_host_show(&kept_data->IoStatus, sizeof(kept_data->IoStatus)); /* the address sanitizer would stop here */
		kept_data->IoStatus.Information = 77;
	}
	return bug == POST_UNREGISTERED ? FLT_PREOP_SUCCESS_WITH_CALLBACK : FLT_PREOP_SUCCESS_NO_CALLBACK;
}

static NTSTATUS FLTAPI setup(PCFLT_RELATED_OBJECTS objects, FLT_INSTANCE_SETUP_FLAGS flags, ULONG type, FLT_FILESYSTEM_TYPE system)
{
	(void)objects;
	(void)type;
	(void)system;
	return bug == INSTANCE_LEAK && !(flags & FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT) ? STATUS_FLT_DO_NOT_ATTACH : STATUS_SUCCESS;
}

static NTSTATUS FLTAPI unload(FLT_FILTER_UNLOAD_FLAGS flags)
{
	(void)flags;
	if (bug != NOT_UNREGISTERED)
		FltUnregisterFilter(filter);
	return STATUS_SUCCESS;
}

static const FLT_CONTEXT_REGISTRATION contexts[] = {
	{ .ContextType = FLT_STREAMHANDLE_CONTEXT, .Size = 16, .PoolTag = TAG }, { .ContextType = FLT_CONTEXT_END },
};

static const FLT_OPERATION_REGISTRATION operations[] = {
	{ .MajorFunction = IRP_MJ_CREATE, .PreOperation = pre_create, .PostOperation = post_create },
	{ .MajorFunction = IRP_MJ_READ, .PreOperation = pre_read, .PostOperation = post_read },
	{ .MajorFunction = IRP_MJ_QUERY_INFORMATION, .PreOperation = pre_query }, { .MajorFunction = IRP_MJ_OPERATION_END },
};

static const FLT_REGISTRATION registration = {
	.Size = sizeof(registration), .Version = FLT_REGISTRATION_VERSION, .ContextRegistration = contexts, .OperationRegistration = operations,
	.FilterUnloadCallback = unload, .InstanceSetupCallback = setup,
};

/* What programs do with the toy above the volume. */
static void use(struct sim_volume *volume)
{
	struct sim_create how = { .access = GENERIC_READ | GENERIC_WRITE, .share = 7, .disposition = FILE_OPEN_IF, .process = PROGRAM };
	FILE_STANDARD_INFORMATION info;
	IO_STATUS_BLOCK result;
	LARGE_INTEGER at = { .QuadPart = 0 };
	struct sim_file *file;
	char back[16];

	RtlInitUnicodeString(&how.path, L"\\toy");
	if (!NT_SUCCESS(sim_create(volume, &how, &file, NULL)))
		return;
	sim_write(file, NULL, "hello", 5, &at, 0, &result);
	sim_read(file, NULL, back, 5, &at, SIM_IO_NO_FAST, &result);
	sim_read(file, NULL, back, 5, &at, 0, &result);
	sim_query_info(file, FileStandardInformation, &info, sizeof(info), &result);
	sim_flush(file, NULL, &result);
	sim_read(file, NULL, back, 5, &at, SIM_IO_NO_FAST | SIM_IO_PAGING, &result);
	sim_close(file);
}

/* Everything that bugs have kept, so that the next one starts clean, and nothing is reported twice. */
static void tidy(void)
{
	if (bug == POOL_LEAK)
		native_check();
	if (bug == FREE_TWICE) {
		static UCHAR nothing[64];

		ExFreePoolWithTag(nothing + 48, TAG);
	}
}

static void untangle(void)
{
	if (kept_pool)
		ExFreePoolWithTag(kept_pool, TAG);
	if (kept_object)
		ObDereferenceObject(kept_object);
	if (kept_handle)
		sim_close(kept_handle);
	kept_data = NULL;
	kept_handle = NULL;
	kept_pool = NULL;
	kept_object = NULL;
}

static bool heard(const char *part)
{
	for (uint32_t i = 0; i < sim_violations(); i++)
		if (strstr(sim_violation(i), part))
			return true;
	return false;
}

static void run_bug(struct sim_volume *volume)
{
	static DRIVER_OBJECT driver;

	assert_status(FltRegisterFilter(&driver, &registration, &filter), STATUS_SUCCESS);
	assert_status(FltStartFiltering(filter), STATUS_SUCCESS);
	if (bug == INSTANCE_LEAK)
		assert_status(FltAttachVolume(filter, (PFLT_VOLUME)volume, NULL, &kept_instance), STATUS_SUCCESS);
	use(volume);
	sim_lazy_write(volume);
	sim_filter_unload(&driver, true);
	if (bug == NOT_UNREGISTERED)
		FltUnregisterFilter(filter);
	tidy();
}

static void test_bugs(void **state)
{
	(void)state;
	for (bug = NONE; bug < BUGS; bug++) {
		struct sim_volume *volume;
		bool freed;

		sim_violations_forget();
		native_steps(bug + 1u);
		volume = sim_volume_new(L"\\Device\\HarddiskVolume3");
		run_bug(volume);
		freed = sim_volume_free(volume);
		if (!freed)
			sim_violate("files are still open", NULL, 0);
		native_threads_settle();
		if (bug == NONE)
			assert_int_equal(sim_violations(), 0);
		else if (!heard(said[bug]))
			fail_msg("bug %d (%s) was not reported; %u violations: %s", bug, said[bug], sim_violations(), sim_violation(0));
		untangle();
		if (!freed && !sim_volume_free(volume))
			print_message("bug %d keeps its volume\n", bug);
		native_steps(0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_bugs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

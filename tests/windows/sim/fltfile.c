/*
 * Files as filters open and ask them: everything starts below the caller's instance.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

/* What takes the file's main resource would deadlock there on Windows. */
static void check_paging(const char *function)
{
	if (sim_in_paging())
		sim_violate("called inside paging I/O", function, 0);
}

NTSTATUS FLTAPI FltQueryInformationFile(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
	FILE_INFORMATION_CLASS FileInformationClass, PULONG LengthReturned)
{
	IO_STATUS_BLOCK result = { 0 };
	NTSTATUS status;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	check_paging(__func__);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	status = sim_open_query(sim_open_of(FileObject), Instance, (ULONG)FileInformationClass, FileInformation, Length, &result);
	if (LengthReturned)
		*LengthReturned = (ULONG)result.Information;
	return status;
}

NTSTATUS FLTAPI FltSetInformationFile(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
	FILE_INFORMATION_CLASS FileInformationClass)
{
	IO_STATUS_BLOCK result;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	check_paging(__func__);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	return sim_open_set(sim_open_of(FileObject), Instance, (ULONG)FileInformationClass, FileInformation, Length, &result);
}

NTSTATUS FLTAPI FltQueryEaFile(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID ReturnedEaData, ULONG Length,
	BOOLEAN ReturnSingleEntry, PVOID EaList, ULONG EaListLength, PULONG EaIndex, BOOLEAN RestartScan, PULONG LengthReturned)
{
	IO_STATUS_BLOCK result = { 0 };
	NTSTATUS status;

	(void)EaIndex;
	sim_level_at_most(PASSIVE_LEVEL, __func__);
	check_paging(__func__);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	status = sim_open_query_ea(sim_open_of(FileObject), Instance, ReturnedEaData, Length, EaList, EaListLength, RestartScan,
		ReturnSingleEntry, &result);
	if (LengthReturned)
		*LengthReturned = (ULONG)result.Information;
	return status;
}

bool sim_strip_device(const struct sim_volume *volume, UNICODE_STRING *path)
{
	USHORT length = volume->device.Length;
	UNICODE_STRING head = { .Length = length, .MaximumLength = length, .Buffer = path->Buffer };

	if (path->Length <= length || path->Buffer[length / sizeof(WCHAR)] != '\\' || !RtlEqualUnicodeString(&head, &volume->device, TRUE))
		return false;
	path->Buffer += length / sizeof(WCHAR);
	path->Length = path->MaximumLength = (USHORT)(path->Length - length);
	return true;
}

NTSTATUS FLTAPI FltCreateFileEx(PFLT_FILTER Filter, PFLT_INSTANCE Instance, PHANDLE FileHandle, PFILE_OBJECT *FileObject,
	ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize,
	ULONG FileAttributes, ULONG ShareAccess, ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength, ULONG Flags)
{
	struct sim_create how = {
		.access = DesiredAccess, .share = ShareAccess, .disposition = CreateDisposition, .options = CreateOptions,
		.attributes = FileAttributes, .ea = EaBuffer, .ea_length = EaLength, .process = SIM_SYSTEM_PROCESS,
		.allocation = AllocationSize ? AllocationSize->QuadPart : 0, .related = ObjectAttributes->RootDirectory,
	};
	struct sim_file *file;
	NTSTATUS status = STATUS_SUCCESS;

	(void)Filter;
	(void)Flags;
	sim_level_at_most(PASSIVE_LEVEL, __func__);
	check_paging(__func__);
	if (!(ObjectAttributes->Attributes & OBJ_KERNEL_HANDLE))
		sim_violate("FltCreateFileEx without OBJ_KERNEL_HANDLE", NULL, 0);
	how.path = *ObjectAttributes->ObjectName;
	if (!how.related && !(CreateOptions & FILE_OPEN_BY_FILE_ID) && !sim_strip_device(Instance->volume, &how.path))
		status = STATUS_OBJECT_PATH_NOT_FOUND;
	file = NT_SUCCESS(status) && !sim_host_fails() ? sim_host_alloc(sizeof(*file)) : NULL;
	if (!file)
		return NT_SUCCESS(status) ? STATUS_INSUFFICIENT_RESOURCES : status;
	status = sim_open_create(Instance->volume, &how, Instance, KernelMode, &file->open, &IoStatusBlock->Information);
	IoStatusBlock->Status = status;
	if (!NT_SUCCESS(status)) {
		sim_host_free(file);
		return status;
	}
	*FileHandle = file;
	__atomic_add_fetch(&Instance->filter->references, 1, __ATOMIC_SEQ_CST);
	file->filter = Instance->filter;
	if (FileObject) {
		sim_host_object_ref(file->open);
		*FileObject = &file->open->object;
	}
	return STATUS_SUCCESS;
}

NTSTATUS FLTAPI FltClose(HANDLE FileHandle)
{
	struct sim_file *file = FileHandle;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (file->filter)
		__atomic_sub_fetch(&file->filter->references, 1, __ATOMIC_SEQ_CST);
	sim_close(file);
	return STATUS_SUCCESS;
}

/* Below the instance the file was opened, and is now closed again; above it the create fails. */
VOID FLTAPI FltCancelFileOpen(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject)
{
	struct sim_open *open = sim_open_of(FileObject);
	PFLT_INSTANCE below = open->below;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (open->opened || !open->node) {
		sim_violate("FltCancelFileOpen outside of a post-create", NULL, 0);
		return;
	}
	open->below = Instance;
	sim_open_cleanup(open);
	sim_open_send_close(open);
	open->below = below;
	FileObject->FsContext = FileObject->FsContext2 = NULL;
	FileObject->SectionObjectPointer = NULL;
}

ULONG FLTAPI FltGetRequestorProcessId(PFLT_CALLBACK_DATA CallbackData)
{
	struct sim_request *request = sim_request_of(CallbackData, __func__);

	return request ? request->process : 0;
}

static void mdl_put(PFLT_PARAMETERS p, UCHAR major, PMDL mdl)
{
	switch (major) {
	case IRP_MJ_READ:
	case IRP_MJ_WRITE:
		p->Read.MdlAddress = mdl;
		break;
	case IRP_MJ_DIRECTORY_CONTROL:
		p->DirectoryControl.QueryDirectory.MdlAddress = mdl;
		break;
	case IRP_MJ_FILE_SYSTEM_CONTROL:
		p->FileSystemControl.Neither.OutputMdlAddress = mdl;
		break;
	default:
		sim_violate("FltLockUserBuffer for what has no user buffer", NULL, major);
	}
}

NTSTATUS FLTAPI FltLockUserBuffer(PFLT_CALLBACK_DATA CallbackData)
{
	struct sim_request *request = sim_request_of(CallbackData, __func__);
	PFLT_PARAMETERS p;
	NTSTATUS status;

	if (!request)
		return STATUS_INVALID_PARAMETER;
	sim_level_at_most(APC_LEVEL, __func__);
	p = &request->data->iopb.Parameters;
	if (request->buffer.mdl)
		return STATUS_SUCCESS;
	if (KeGetCurrentThread() != request->thread) {
		sim_violate("FltLockUserBuffer in another thread than the requestor's", NULL, 0);
		return STATUS_INVALID_USER_BUFFER;
	}
	if (!FLT_IS_IRP_OPERATION(CallbackData))
		sim_violate("FltLockUserBuffer for what is no IRP", NULL, CallbackData->Iopb->MajorFunction);
	status = sim_host_fails() ? STATUS_INSUFFICIENT_RESOURCES : sim_buffer_lock(request);
	if (!NT_SUCCESS(status))
		return status;
	mdl_put(p, CallbackData->Iopb->MajorFunction, request->buffer.mdl);
	for (ULONG i = 0; i <= request->frame && i < request->frame_count; i++) /* the manager's own change is not the filter's */
		mdl_put(&request->frames[i].seen.Parameters, CallbackData->Iopb->MajorFunction, request->buffer.mdl);
	return STATUS_SUCCESS;
}

VOID FLTAPI FltSetCallbackDataDirty(PFLT_CALLBACK_DATA Data)
{
	if (sim_request_of(Data, __func__))
		Data->Flags |= FLTFL_CALLBACK_DATA_DIRTY;
}

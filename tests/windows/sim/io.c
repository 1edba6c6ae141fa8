/*
 * File objects, and the operations on them as requests: what the I/O manager builds, for handles and for filters.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define IO_TYPE_FILE 5

struct sim_open *sim_open_of(PFILE_OBJECT object)
{
	return object && object->Type == IO_TYPE_FILE ? CONTAINING_RECORD(object, struct sim_open, object) : NULL;
}

/* ---- the file object's life ---- */

void sim_open_send_close(struct sim_open *open)
{
	struct sim_request *request = sim_request_new(open->volume, open, IRP_MJ_CLOSE, 0);

	if (!request) {
		sim_violate("the simulation's own: no memory for a close", NULL, 0);
		return;
	}
	sim_frames_take(request, open->below);
	sim_request_run(request);
	sim_request_unref(request);
}

/* The last reference is gone. */
static void open_last(void *object)
{
	struct sim_open *open = object;
	ULONG process;

	if (open->opened) {
		process = sim_host_set_process(open->process);
		sim_open_send_close(open);
		sim_host_set_process(process);
	}
	sim_contexts_drop(&open->contexts, NULL);
	sim_mutex_lock(&sim_big);
	RemoveEntryList(&open->link);
	sim_mutex_unlock(&sim_big);
	if (open->object.RelatedFileObject)
		sim_host_object_unref(sim_open_of(open->object.RelatedFileObject));
	sim_string_free(&open->object.FileName);
	memset(open, 0xdd, sizeof(*open));
	sim_host_object_free(open);
}

struct sim_open *sim_open_new(struct sim_volume *volume, ULONG process, PFLT_INSTANCE below)
{
	struct sim_open *open = sim_host_object_new(sizeof(*open), open_last);

	if (!open)
		return NULL;
	open->object.Type = IO_TYPE_FILE;
	open->object.Size = sizeof(FILE_OBJECT);
	open->volume = volume;
	open->process = process;
	open->below = below;
	InitializeListHead(&open->requests);
	sim_contexts_init(&open->contexts);
	sim_mutex_lock(&sim_big);
	InsertTailList(&volume->opens, &open->link);
	sim_mutex_unlock(&sim_big);
	return open;
}

ACCESS_MASK sim_access_map(ACCESS_MASK access)
{
	if (access & GENERIC_READ)
		access |= FILE_GENERIC_READ;
	if (access & GENERIC_WRITE)
		access |= FILE_GENERIC_WRITE;
	if (access & GENERIC_EXECUTE)
		access |= FILE_GENERIC_EXECUTE;
	if (access & GENERIC_ALL)
		access |= FILE_ALL_ACCESS;
	return access & ~(ACCESS_MASK)(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
}

static NTSTATUS create_valid(const struct sim_create *how, ACCESS_MASK access)
{
	ULONG options = how->options;
	bool synchronous = (options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)) != 0;

	if (how->disposition > FILE_MAXIMUM_DISPOSITION || (how->share & ~(ULONG)FILE_SHARE_VALID_FLAGS))
		return STATUS_INVALID_PARAMETER;
	if ((options & FILE_DIRECTORY_FILE) && (options & FILE_NON_DIRECTORY_FILE))
		return STATUS_INVALID_PARAMETER;
	if ((options & FILE_DIRECTORY_FILE) && how->disposition != FILE_CREATE && how->disposition != FILE_OPEN &&
		how->disposition != FILE_OPEN_IF)
		return STATUS_INVALID_PARAMETER;
	if (synchronous && !(access & (SYNCHRONIZE | MAXIMUM_ALLOWED)))
		return STATUS_INVALID_PARAMETER;
	if ((options & FILE_DELETE_ON_CLOSE) && !(access & (DELETE | MAXIMUM_ALLOWED)))
		return STATUS_INVALID_PARAMETER;
	if ((options & FILE_NO_INTERMEDIATE_BUFFERING) && (access & FILE_APPEND_DATA) && !(access & FILE_WRITE_DATA))
		return STATUS_INVALID_PARAMETER;
	return access ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
}

static void create_flags(struct sim_open *open, const struct sim_create *how)
{
	ULONG options = how->options, flags = 0;

	if (options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT))
		flags |= FO_SYNCHRONOUS_IO;
	if (options & FILE_NO_INTERMEDIATE_BUFFERING)
		flags |= FO_NO_INTERMEDIATE_BUFFERING;
	else
		flags |= FO_CACHE_SUPPORTED;
	if (options & FILE_WRITE_THROUGH)
		flags |= FO_WRITE_THROUGH;
	if (options & FILE_DELETE_ON_CLOSE)
		flags |= FO_DELETE_ON_CLOSE;
	open->object.Flags = flags;
	open->options = options;
	open->share = how->share;
}

static NTSTATUS create_request(struct sim_request *request, const struct sim_create *how, ACCESS_MASK access)
{
	FLT_PARAMETERS *p = &request->data->iopb.Parameters;

	request->security.DesiredAccess = access;
	request->security.FullCreateOptions = how->options;
	p->Create.SecurityContext = &request->security;
	p->Create.Options = how->disposition << 24 | (how->options & 0xffffff);
	p->Create.FileAttributes = (USHORT)how->attributes;
	p->Create.ShareAccess = (USHORT)how->share;
	p->Create.AllocationSize.QuadPart = how->allocation;
	request->data->iopb.OperationFlags = (UCHAR)how->flags;
	request->data->iopb.IrpFlags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API;
	if (!how->ea_length)
		return STATUS_SUCCESS;
	request->info = sim_host_alloc(how->ea_length);
	if (!request->info)
		return STATUS_INSUFFICIENT_RESOURCES;
	memcpy(request->info, how->ea, how->ea_length);
	p->Create.EaBuffer = request->info;
	p->Create.EaLength = how->ea_length;
	return STATUS_SUCCESS;
}

static NTSTATUS create_send(struct sim_open *open, const struct sim_create *how, ACCESS_MASK access, KPROCESSOR_MODE mode,
	ULONG_PTR *ret_information)
{
	struct sim_request *request = sim_request_new(open->volume, open, IRP_MJ_CREATE, 0);
	NTSTATUS status;

	if (!request)
		return STATUS_INSUFFICIENT_RESOURCES;
	request->data->data.RequestorMode = mode;
	status = create_request(request, how, access);
	if (NT_SUCCESS(status)) {
		sim_frames_take(request, open->below);
		status = sim_request_run(request);
		*ret_information = request->status.Information;
	}
	if (NT_SUCCESS(status)) {
		if (open->node)
			open->opened = true;
		else
			sim_violate("a create succeeded that the volume has not seen", NULL, 0);
	} else if (open->node) {
		sim_violate("a create failed after the volume had opened the file, without FltCancelFileOpen", NULL, (ULONG)status);
		open->opened = true;
		sim_open_cleanup(open);
	}
	sim_request_unref(request);
	return status;
}

NTSTATUS sim_open_create(struct sim_volume *volume, const struct sim_create *how, PFLT_INSTANCE below, KPROCESSOR_MODE mode,
	struct sim_open **ret_open, ULONG_PTR *ret_information)
{
	ACCESS_MASK access = sim_access_map(how->access);
	ULONG_PTR information = 0;
	struct sim_open *open;
	NTSTATUS status = create_valid(how, access);

	*ret_information = 0;
	if (!NT_SUCCESS(status))
		return status;
	open = sim_open_new(volume, how->process, below);
	if (!open)
		return STATUS_INSUFFICIENT_RESOURCES;
	create_flags(open, how);
	if (how->related) {
		open->object.RelatedFileObject = &how->related->open->object;
		sim_host_object_ref(how->related->open);
	}
	status = sim_string_copy(&open->object.FileName, &how->path) ?
		create_send(open, how, access, mode, &information) : STATUS_INSUFFICIENT_RESOURCES;
	*ret_information = information;
	if (NT_SUCCESS(status) && open->opened) {
		open->object.Flags |= FO_HANDLE_CREATED;
		*ret_open = open;
		return status;
	}
	sim_host_object_unref(open);
	return NT_SUCCESS(status) ? STATUS_INTERNAL_ERROR : status;
}

void sim_open_cleanup(struct sim_open *open)
{
	struct sim_request *request = sim_request_new(open->volume, open, IRP_MJ_CLEANUP, 0);

	if (!request) {
		sim_violate("the simulation's own: no memory for a cleanup", NULL, 0);
		return;
	}
	sim_frames_take(request, open->below);
	sim_request_run(request);
	sim_request_unref(request);
}

/* ---- requests with a system buffer ---- */

/* A request that waits; NULL: no memory. `caller` in or out, by `input`. */
static struct sim_request *buffered(struct sim_open *open, PFLT_INSTANCE below, UCHAR major, PVOID caller, ULONG length, bool input)
{
	struct sim_request *request = sim_request_new(open->volume, open, major, 0);

	if (!request)
		return NULL;
	request->data->iopb.IrpFlags = IRP_SYNCHRONOUS_API;
	if (!NT_SUCCESS(sim_buffer_set(request, caller, length, input, true))) {
		sim_request_unref(request);
		return NULL;
	}
	sim_frames_take(request, below ? below : open->below);
	return request;
}

static NTSTATUS run_and_drop(struct sim_request *request, IO_STATUS_BLOCK *ret_status)
{
	NTSTATUS status = sim_request_run(request);

	*ret_status = request->status;
	sim_request_unref(request);
	return status;
}

static NTSTATUS no_memory(IO_STATUS_BLOCK *ret_status)
{
	ret_status->Status = STATUS_INSUFFICIENT_RESOURCES;
	ret_status->Information = 0;
	return STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS sim_open_query(struct sim_open *open, PFLT_INSTANCE below, ULONG class, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request = buffered(open, below, IRP_MJ_QUERY_INFORMATION, buffer, length, false);
	FLT_PARAMETERS *p;

	if (!request)
		return no_memory(ret_status);
	p = &request->data->iopb.Parameters;
	p->QueryFileInformation.Length = length;
	p->QueryFileInformation.FileInformationClass = (FILE_INFORMATION_CLASS)class;
	p->QueryFileInformation.InfoBuffer = request->buffer.user;
	return run_and_drop(request, ret_status);
}

/* The directory of a rename's target, opened as the I/O manager does it; NULL with success: a bare name. */
static NTSTATUS target_parent(struct sim_open *open, PFLT_INSTANCE below, const void *buffer, ULONG length, struct sim_open **ret_parent)
{
	const FILE_RENAME_INFORMATION *info = buffer;
	struct sim_create how = {
		.access = (open->node->directory ? FILE_ADD_SUBDIRECTORY : FILE_ADD_FILE) | SYNCHRONIZE, .share = FILE_SHARE_VALID_FLAGS,
		.disposition = FILE_OPEN, .options = FILE_OPEN_FOR_BACKUP_INTENT, .process = open->process, .flags = SL_OPEN_TARGET_DIRECTORY,
	};
	ULONG_PTR information;

	*ret_parent = NULL;
	if (length < offsetof(FILE_RENAME_INFORMATION, FileName) || info->FileNameLength > MAXUSHORT - 2 ||
		info->FileNameLength > length - offsetof(FILE_RENAME_INFORMATION, FileName) || !info->FileNameLength)
		return STATUS_INVALID_PARAMETER;
	if (info->FileName[0] != '\\')
		return STATUS_SUCCESS;
	how.path.Buffer = (PWSTR)(ULONG_PTR)info->FileName;
	how.path.Length = how.path.MaximumLength = (USHORT)info->FileNameLength;
	sim_strip_device(open->volume, &how.path);
	return sim_open_create(open->volume, &how, below, KernelMode, ret_parent, &information);
}

static bool renames(ULONG class)
{
	return class == FileRenameInformation || class == FileLinkInformation || class == 65 || class == 72;
}

NTSTATUS sim_open_set(struct sim_open *open, PFLT_INSTANCE below, ULONG class, const void *buffer, ULONG length,
	IO_STATUS_BLOCK *ret_status)
{
	struct sim_open *parent = NULL;
	struct sim_request *request;
	FLT_PARAMETERS *p;
	NTSTATUS status = renames(class) ? target_parent(open, below ? below : open->below, buffer, length, &parent) : STATUS_SUCCESS;

	ret_status->Status = status;
	ret_status->Information = 0;
	if (!NT_SUCCESS(status))
		return status;
	request = buffered(open, below, IRP_MJ_SET_INFORMATION, (PVOID)(ULONG_PTR)buffer, length, true);
	if (request) {
		p = &request->data->iopb.Parameters;
		p->SetFileInformation.Length = length;
		p->SetFileInformation.FileInformationClass = (FILE_INFORMATION_CLASS)class;
		p->SetFileInformation.InfoBuffer = request->buffer.user;
		p->SetFileInformation.ParentOfTarget = parent ? &parent->object : NULL;
		if (class == FileRenameInformation || class == FileLinkInformation)
			p->SetFileInformation.ReplaceIfExists = *(const BOOLEAN *)buffer;
		status = run_and_drop(request, ret_status);
	} else {
		status = no_memory(ret_status);
	}
	if (parent) {
		sim_open_cleanup(parent);
		sim_host_object_unref(parent);
	}
	return status;
}

NTSTATUS sim_open_query_ea(struct sim_open *open, PFLT_INSTANCE below, void *buffer, ULONG length, const void *list, ULONG list_length,
	bool restart, bool single, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request = buffered(open, below, IRP_MJ_QUERY_EA, buffer, length, false);
	FLT_PARAMETERS *p;

	if (!request)
		return no_memory(ret_status);
	p = &request->data->iopb.Parameters;
	p->QueryEa.Length = length;
	p->QueryEa.EaBuffer = request->buffer.user;
	request->data->iopb.OperationFlags = (UCHAR)((restart ? SL_RESTART_SCAN : 0) | (single ? SL_RETURN_SINGLE_ENTRY : 0));
	if (list_length) {
		request->info = sim_host_alloc(list_length);
		if (!request->info) {
			sim_request_unref(request);
			return no_memory(ret_status);
		}
		memcpy(request->info, list, list_length);
		p->QueryEa.EaList = request->info;
		p->QueryEa.EaListLength = list_length;
	}
	return run_and_drop(request, ret_status);
}

/* ---- paging I/O, file-system filter operations ---- */

NTSTATUS sim_open_paging(struct sim_open *open, bool write, ULONGLONG offset, void *pages, ULONG length, ULONG process,
	IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request = sim_request_new(open->volume, open, write ? IRP_MJ_WRITE : IRP_MJ_READ, 0);
	NTSTATUS status;
	FLT_PARAMETERS *p;

	if (!request)
		return no_memory(ret_status);
	request->paging = true;
	request->irql = APC_LEVEL;
	if (process)
		request->process = process;
	request->data->data.RequestorMode = KernelMode;
	request->data->iopb.IrpFlags = IRP_NOCACHE | IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO;
	status = sim_buffer_set(request, pages, length, write, false);
	if (NT_SUCCESS(status))
		status = sim_buffer_lock(request);
	if (!NT_SUCCESS(status)) {
		sim_request_unref(request);
		return no_memory(ret_status);
	}
	p = &request->data->iopb.Parameters; /* Read and Write lie alike */
	p->Read.Length = length;
	p->Read.ByteOffset.QuadPart = (LONGLONG)offset;
	p->Read.ReadBuffer = (PCHAR)request->buffer.mdl->StartVa + request->buffer.mdl->ByteOffset;
	p->Read.MdlAddress = request->buffer.mdl;
	sim_frames_take(request, open->below);
	return run_and_drop(request, ret_status);
}

NTSTATUS sim_open_fs_filter(struct sim_open *open, UCHAR major, bool create_section, ULONG protection)
{
	struct sim_request *request = sim_request_new(open->volume, open, major, 0);
	IO_STATUS_BLOCK result;

	if (!request)
		return STATUS_INSUFFICIENT_RESOURCES;
	request->data->data.Flags = FLTFL_CALLBACK_DATA_FS_FILTER_OPERATION;
	request->data->data.RequestorMode = KernelMode;
	request->data->iopb.Parameters.AcquireForSectionSynchronization.SyncType = create_section ? SyncTypeCreateSection : SyncTypeOther;
	request->data->iopb.Parameters.AcquireForSectionSynchronization.PageProtection = protection;
	sim_frames_take(request, open->below);
	return run_and_drop(request, &result);
}

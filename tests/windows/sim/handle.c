/*
 * The calls of sim.h on handles: access checks, fast I/O first, waiting or not.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define METHOD_OF(code) ((code) & 3u)

static NTSTATUS finished(IO_STATUS_BLOCK *ret_status, NTSTATUS status)
{
	if (ret_status) {
		ret_status->Status = status;
		ret_status->Information = 0;
	}
	return status;
}

/* An operation that never became a request: `done` runs nevertheless. */
static NTSTATUS refused(struct sim_io *io, IO_STATUS_BLOCK *ret_status, NTSTATUS status)
{
	finished(ret_status, status);
	if (io) {
		io->request = NULL;
		io->status.Status = status;
		io->status.Information = 0;
		io->done(io);
	}
	return status;
}

static bool may(const struct sim_file *file, ACCESS_MASK one_of)
{
	return !file->cleaned && (file->open->granted & one_of);
}

NTSTATUS sim_create(struct sim_volume *volume, const struct sim_create *how, struct sim_file **ret_file, ULONG_PTR *ret_information)
{
	struct sim_file *file = sim_host_alloc(sizeof(*file));
	ULONG_PTR information = 0;
	NTSTATUS status;

	if (!file)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = sim_open_create(volume, how, NULL, UserMode, &file->open, &information);
	if (ret_information)
		*ret_information = information;
	if (NT_SUCCESS(status))
		*ret_file = file;
	else
		sim_host_free(file);
	return status;
}

void sim_cleanup(struct sim_file *file)
{
	if (file->cleaned)
		return;
	file->cleaned = true;
	sim_cancel_all(file);
	sim_open_cleanup(file->open);
}

void sim_close(struct sim_file *file)
{
	sim_cleanup(file);
	sim_host_object_unref(file->open);
	sim_host_free(file);
}

PFILE_OBJECT sim_file_object(struct sim_file *file)
{
	return &file->open->object;
}

/* ---- running requests for handles ---- */

/* Consumes the request. A synchronous handle's calls wait even when they need not. */
static NTSTATUS submit(struct sim_file *file, struct sim_request *request, struct sim_io *io, IO_STATUS_BLOCK *ret_status)
{
	NTSTATUS status;

	request->io = io;
	request->waits = !io || (file->open->object.Flags & FO_SYNCHRONOUS_IO);
	if (request->waits)
		request->data->iopb.IrpFlags |= IRP_SYNCHRONOUS_API;
	if (io)
		io->request = request;
	status = sim_request_run(request);
	if (ret_status && status != STATUS_PENDING)
		*ret_status = request->status;
	sim_request_unref(request);
	return status;
}

static struct sim_request *data_request(struct sim_file *file, bool write, void *buffer, ULONG length, ULONGLONG offset, ULONG flags,
	bool fast)
{
	struct sim_request *request = sim_request_new(file->open->volume, file->open, write ? IRP_MJ_WRITE : IRP_MJ_READ, 0);
	ULONG object_flags = file->open->object.Flags;
	FLT_PARAMETERS *p;

	if (!request)
		return NULL;
	if (!NT_SUCCESS(sim_buffer_set(request, buffer, length, write, false))) {
		sim_request_unref(request);
		return NULL;
	}
	p = &request->data->iopb.Parameters; /* Read and Write lie alike */
	p->Read.Length = length;
	p->Read.ByteOffset.QuadPart = (LONGLONG)offset;
	p->Read.ReadBuffer = request->buffer.user;
	request->data->iopb.IrpFlags = write ? IRP_WRITE_OPERATION : IRP_READ_OPERATION;
	if ((flags & SIM_IO_NOCACHE) || (object_flags & FO_NO_INTERMEDIATE_BUFFERING))
		request->data->iopb.IrpFlags |= IRP_NOCACHE;
	if (write && ((flags & SIM_IO_WRITE_THROUGH) || (object_flags & FO_WRITE_THROUGH)))
		request->data->iopb.OperationFlags |= SL_WRITE_THROUGH;
	if (fast)
		request->data->data.Flags = FLTFL_CALLBACK_DATA_FAST_IO_OPERATION;
	sim_frames_take(request, file->open->below);
	return request;
}

/* STATUS_FLT_DISALLOW_FAST_IO: go on with an IRP. */
static NTSTATUS try_fast(struct sim_file *file, bool write, void *buffer, ULONG length, ULONGLONG offset, ULONG flags,
	IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request;

	if ((flags & (SIM_IO_NOCACHE | SIM_IO_NO_FAST)) || !file->open->object.PrivateCacheMap)
		return STATUS_FLT_DISALLOW_FAST_IO;
	request = data_request(file, write, buffer, length, offset, flags, true);
	return request ? submit(file, request, NULL, ret_status) : STATUS_FLT_DISALLOW_FAST_IO;
}

static NTSTATUS transfer(struct sim_file *file, struct sim_io *io, bool write, void *buffer, ULONG length, const LARGE_INTEGER *offset,
	ULONG flags, IO_STATUS_BLOCK *ret_status)
{
	bool synchronous = (file->open->object.Flags & FO_SYNCHRONOUS_IO) != 0;
	struct sim_request *request;
	ULONGLONG at;
	NTSTATUS status = STATUS_FLT_DISALLOW_FAST_IO;

	if (!may(file, write ? FILE_WRITE_DATA | FILE_APPEND_DATA : FILE_READ_DATA | FILE_EXECUTE))
		return refused(io, ret_status, file->cleaned ? STATUS_INVALID_HANDLE : STATUS_ACCESS_DENIED);
	if (flags & SIM_IO_PAGING) {
		IO_STATUS_BLOCK result;

		status = sim_open_paging(file->open, write, (ULONGLONG)offset->QuadPart, buffer, length, 0, &result);
		return ret_status ? (*ret_status = result, status) : status;
	}
	if (!offset && !synchronous)
		return refused(io, ret_status, STATUS_INVALID_PARAMETER);
	at = offset ? (ULONGLONG)offset->QuadPart : (ULONGLONG)file->open->object.CurrentByteOffset.QuadPart;
	/* the I/O manager tells a handle that may only append: filters and file system see the end of file asked for */
	if (write && !may(file, FILE_WRITE_DATA))
		at = ~0ull;
	if (!io || synchronous)
		status = try_fast(file, write, buffer, length, at, flags, ret_status);
	if (status != STATUS_FLT_DISALLOW_FAST_IO) {
		if (io) {
			io->status.Status = status;
			io->status.Information = ret_status ? ret_status->Information : length;
			io->done(io);
		}
		return status;
	}
	request = data_request(file, write, buffer, length, at, flags, false);
	return request ? submit(file, request, io, ret_status) : refused(io, ret_status, STATUS_INSUFFICIENT_RESOURCES);
}

NTSTATUS sim_read(struct sim_file *file, struct sim_io *io, void *buffer, ULONG length, const LARGE_INTEGER *offset, ULONG flags,
	IO_STATUS_BLOCK *ret_status)
{
	return transfer(file, io, false, buffer, length, offset, flags, ret_status);
}

NTSTATUS sim_write(struct sim_file *file, struct sim_io *io, const void *buffer, ULONG length, const LARGE_INTEGER *offset, ULONG flags,
	IO_STATUS_BLOCK *ret_status)
{
	return transfer(file, io, true, (void *)(ULONG_PTR)buffer, length, offset, flags, ret_status);
}

bool sim_cancel(struct sim_io *io)
{
	struct sim_request *request;
	bool told;

	sim_mutex_lock(&sim_big);
	request = io->request;
	if (request)
		__atomic_add_fetch(&request->references, 1, __ATOMIC_RELAXED);
	sim_mutex_unlock(&sim_big);
	if (!request)
		return false;
	told = sim_request_cancel(request);
	sim_request_unref(request);
	return told;
}

/* One that has not been told yet, referenced; NULL: no more. */
static struct sim_request *next_uncancelled(struct sim_open *open)
{
	struct sim_request *found = NULL;

	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, &open->requests) {
		struct sim_request *request = CONTAINING_RECORD(entry, struct sim_request, link);

		if (!found && !__atomic_load_n(&request->cancelled, __ATOMIC_SEQ_CST)) {
			found = request;
			__atomic_add_fetch(&found->references, 1, __ATOMIC_RELAXED);
		}
	}
	sim_mutex_unlock(&sim_big);
	return found;
}

void sim_cancel_all(struct sim_file *file)
{
	struct sim_request *request;

	while ((request = next_uncancelled(file->open)) != NULL) {
		sim_request_cancel(request);
		sim_request_unref(request);
	}
}

/* ---- information ---- */

static ACCESS_MASK query_right(ULONG class)
{
	switch (class) {
	case FileBasicInformation:
	case FileAllInformation:
	case FileNetworkOpenInformation:
	case FileAttributeTagInformation:
		return FILE_READ_ATTRIBUTES;
	default:
		return 0;
	}
}

static ACCESS_MASK set_right(ULONG class)
{
	switch (class) {
	case FileEndOfFileInformation:
	case FileAllocationInformation:
	case FileValidDataLengthInformation:
		return FILE_WRITE_DATA;
	case FileBasicInformation:
		return FILE_WRITE_ATTRIBUTES;
	case FileDispositionInformation:
	case FileRenameInformation:
	case 64:
	case 65:
		return DELETE;
	default:
		return 0;
	}
}

static NTSTATUS may_class(const struct sim_file *file, ACCESS_MASK right)
{
	if (file->cleaned)
		return STATUS_INVALID_HANDLE;
	return right && !(file->open->granted & right) ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

NTSTATUS sim_query_info(struct sim_file *file, FILE_INFORMATION_CLASS class, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	NTSTATUS status = may_class(file, query_right((ULONG)class));
	IO_STATUS_BLOCK result;

	if (!NT_SUCCESS(status))
		return finished(ret_status, status);
	return sim_open_query(file->open, NULL, (ULONG)class, buffer, length, ret_status ? ret_status : &result);
}

NTSTATUS sim_set_info(struct sim_file *file, FILE_INFORMATION_CLASS class, const void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	NTSTATUS status = may_class(file, set_right((ULONG)class));
	IO_STATUS_BLOCK result;

	if (!NT_SUCCESS(status))
		return finished(ret_status, status);
	if (class == FilePositionInformation && length >= sizeof(LARGE_INTEGER)) {
		memcpy(&file->open->object.CurrentByteOffset, buffer, sizeof(LARGE_INTEGER)); /* the I/O manager's own */
		return finished(ret_status, STATUS_SUCCESS);
	}
	return sim_open_set(file->open, NULL, (ULONG)class, buffer, length, ret_status ? ret_status : &result);
}

static NTSTATUS query_open_fast(struct sim_volume *volume, const struct sim_create *how, FILE_NETWORK_OPEN_INFORMATION *info)
{
	struct sim_open *open = sim_open_new(volume, how->process, NULL);
	struct sim_request *request = NULL;
	NTSTATUS status = STATUS_FLT_DISALLOW_FAST_IO;

	if (!open)
		return status;
	if (sim_string_copy(&open->object.FileName, &how->path))
		request = sim_request_new(volume, open, IRP_MJ_NETWORK_QUERY_OPEN, 0);
	if (request) {
		request->data->data.Flags = FLTFL_CALLBACK_DATA_FAST_IO_OPERATION;
		request->network = info;
		request->data->iopb.Parameters.NetworkQueryOpen.NetworkInformation = info;
		sim_frames_take(request, NULL);
		status = sim_request_run(request);
		sim_request_unref(request);
	}
	sim_host_object_unref(open);
	return status;
}

NTSTATUS sim_query_full_attributes(struct sim_volume *volume, const struct sim_create *how, FILE_NETWORK_OPEN_INFORMATION *ret_information)
{
	struct sim_create slow = *how;
	struct sim_file *file;
	NTSTATUS status = STATUS_FLT_DISALLOW_FAST_IO;

	if (!how->related && !(how->options & FILE_OPEN_BY_FILE_ID))
		status = query_open_fast(volume, how, ret_information);
	if (status != STATUS_FLT_DISALLOW_FAST_IO)
		return status;
	slow.access = FILE_READ_ATTRIBUTES;
	slow.share = FILE_SHARE_VALID_FLAGS;
	slow.disposition = FILE_OPEN;
	slow.options = (how->options & FILE_OPEN_BY_FILE_ID) | FILE_OPEN_REPARSE_POINT | FILE_OPEN_FOR_BACKUP_INTENT;
	status = sim_create(volume, &slow, &file, NULL);
	if (!NT_SUCCESS(status))
		return status;
	status = sim_query_info(file, FileNetworkOpenInformation, ret_information, sizeof(*ret_information), NULL);
	sim_close(file);
	return status;
}

/* ---- directories ---- */

static struct sim_request *directory_request(struct sim_file *file, UCHAR minor, void *buffer, ULONG length)
{
	struct sim_request *request = sim_request_new(file->open->volume, file->open, IRP_MJ_DIRECTORY_CONTROL, minor);

	if (!request)
		return NULL;
	if (!NT_SUCCESS(sim_buffer_set(request, buffer, length, false, false))) {
		sim_request_unref(request);
		return NULL;
	}
	sim_frames_take(request, file->open->below);
	return request;
}

NTSTATUS sim_query_directory(struct sim_file *file, FILE_INFORMATION_CLASS class, const UNICODE_STRING *pattern, bool restart, bool single,
	void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request;
	FLT_PARAMETERS *p;

	if (!may(file, FILE_LIST_DIRECTORY))
		return finished(ret_status, STATUS_ACCESS_DENIED);
	request = directory_request(file, IRP_MN_QUERY_DIRECTORY, buffer, length);
	if (!request || (pattern && !sim_string_copy(&request->name, pattern))) {
		if (request)
			sim_request_unref(request);
		return finished(ret_status, STATUS_INSUFFICIENT_RESOURCES);
	}
	p = &request->data->iopb.Parameters;
	p->DirectoryControl.QueryDirectory.Length = length;
	p->DirectoryControl.QueryDirectory.FileName = pattern ? &request->name : NULL;
	p->DirectoryControl.QueryDirectory.FileInformationClass = class;
	p->DirectoryControl.QueryDirectory.DirectoryBuffer = request->buffer.user;
	request->data->iopb.OperationFlags = (UCHAR)((restart ? SL_RESTART_SCAN : 0) | (single ? SL_RETURN_SINGLE_ENTRY : 0));
	return submit(file, request, NULL, ret_status);
}

NTSTATUS sim_notify(struct sim_file *file, struct sim_io *io, ULONG filter, bool tree, void *buffer, ULONG length,
	IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request;
	FLT_PARAMETERS *p;

	if (!may(file, FILE_LIST_DIRECTORY))
		return refused(io, ret_status, STATUS_ACCESS_DENIED);
	request = directory_request(file, IRP_MN_NOTIFY_CHANGE_DIRECTORY, buffer, length);
	if (!request)
		return refused(io, ret_status, STATUS_INSUFFICIENT_RESOURCES);
	p = &request->data->iopb.Parameters;
	p->DirectoryControl.NotifyDirectory.Length = length;
	p->DirectoryControl.NotifyDirectory.CompletionFilter = filter;
	p->DirectoryControl.NotifyDirectory.DirectoryBuffer = request->buffer.user;
	request->data->iopb.OperationFlags = tree ? SL_WATCH_TREE : 0;
	return submit(file, request, io, ret_status);
}

/* ---- the rest ---- */

static struct sim_request *plain_request(struct sim_file *file, UCHAR major, UCHAR minor, void *buffer, ULONG length, bool input)
{
	struct sim_request *request = sim_request_new(file->open->volume, file->open, major, minor);

	if (!request)
		return NULL;
	if (buffer && !NT_SUCCESS(sim_buffer_set(request, buffer, length, input, true))) {
		sim_request_unref(request);
		return NULL;
	}
	sim_frames_take(request, file->open->below);
	return request;
}

NTSTATUS sim_query_volume(struct sim_file *file, FS_INFORMATION_CLASS class, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request = plain_request(file, IRP_MJ_QUERY_VOLUME_INFORMATION, 0, buffer, length, false);

	if (!request)
		return finished(ret_status, STATUS_INSUFFICIENT_RESOURCES);
	request->data->iopb.Parameters.QueryVolumeInformation.Length = length;
	request->data->iopb.Parameters.QueryVolumeInformation.FsInformationClass = class;
	request->data->iopb.Parameters.QueryVolumeInformation.VolumeBuffer = request->buffer.user;
	return submit(file, request, NULL, ret_status);
}

NTSTATUS sim_query_ea(struct sim_file *file, void *buffer, ULONG length, const void *list, ULONG list_length, bool restart, bool single,
	IO_STATUS_BLOCK *ret_status)
{
	IO_STATUS_BLOCK result;

	if (!may(file, FILE_READ_EA))
		return finished(ret_status, STATUS_ACCESS_DENIED);
	return sim_open_query_ea(file->open, NULL, buffer, length, list, list_length, restart, single, ret_status ? ret_status : &result);
}

NTSTATUS sim_set_ea(struct sim_file *file, const void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request;

	if (!may(file, FILE_WRITE_EA))
		return finished(ret_status, STATUS_ACCESS_DENIED);
	request = plain_request(file, IRP_MJ_SET_EA, 0, (void *)(ULONG_PTR)buffer, length, true);
	if (!request)
		return finished(ret_status, STATUS_INSUFFICIENT_RESOURCES);
	request->data->iopb.Parameters.SetEa.Length = length;
	request->data->iopb.Parameters.SetEa.EaBuffer = request->buffer.user;
	return submit(file, request, NULL, ret_status);
}

NTSTATUS sim_query_security(struct sim_file *file, SECURITY_INFORMATION what, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request;

	(void)what;
	if (!may(file, READ_CONTROL))
		return finished(ret_status, STATUS_ACCESS_DENIED);
	request = plain_request(file, IRP_MJ_QUERY_SECURITY, 0, buffer, length, false);
	return request ? submit(file, request, NULL, ret_status) : finished(ret_status, STATUS_INSUFFICIENT_RESOURCES);
}

NTSTATUS sim_flush(struct sim_file *file, struct sim_io *io, IO_STATUS_BLOCK *ret_status)
{
	struct sim_request *request;

	if (!may(file, FILE_WRITE_DATA | FILE_APPEND_DATA))
		return refused(io, ret_status, STATUS_ACCESS_DENIED);
	request = plain_request(file, IRP_MJ_FLUSH_BUFFERS, 0, NULL, 0, false);
	return request ? submit(file, request, io, ret_status) : refused(io, ret_status, STATUS_INSUFFICIENT_RESOURCES);
}

static struct sim_request *fsctl_request(struct sim_file *file, ULONG code, const void *in, ULONG in_length, void *out, ULONG out_length)
{
	bool is_neither = METHOD_OF(code) == METHOD_NEITHER;
	struct sim_request *request = sim_request_new(file->open->volume, file->open, IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MN_USER_FS_REQUEST);
	ULONG room = in_length > out_length ? in_length : out_length;
	FLT_PARAMETERS *p;

	if (!request)
		return NULL;
	request->info = sim_host_alloc(room ? room : 1);
	if (!request->info || !NT_SUCCESS(sim_buffer_set(request, out_length ? out : NULL, out_length, false, false))) {
		sim_request_unref(request);
		return NULL;
	}
	if (in_length)
		memcpy(request->info, in, in_length);
	p = &request->data->iopb.Parameters;
	p->FileSystemControl.Common.OutputBufferLength = out_length;
	p->FileSystemControl.Common.InputBufferLength = in_length;
	p->FileSystemControl.Common.FsControlCode = code;
	if (is_neither) {
		p->FileSystemControl.Neither.InputBuffer = request->info;
		p->FileSystemControl.Neither.OutputBuffer = request->buffer.user;
	} else {
		p->FileSystemControl.Buffered.SystemBuffer = request->info;
		request->data->data.Flags |= FLTFL_CALLBACK_DATA_SYSTEM_BUFFER;
	}
	sim_frames_take(request, file->open->below);
	return request;
}

NTSTATUS sim_fsctl(struct sim_file *file, struct sim_io *io, ULONG code, const void *in, ULONG in_length, void *out, ULONG out_length,
	IO_STATUS_BLOCK *ret_status)
{
	ULONG access = code >> 14 & 3;
	struct sim_request *request;

	if (access && !may(file, access))
		return refused(io, ret_status, STATUS_ACCESS_DENIED);
	request = file->cleaned ? NULL : fsctl_request(file, code, in, in_length, out, out_length);
	return request ? submit(file, request, io, ret_status) : refused(io, ret_status, STATUS_INSUFFICIENT_RESOURCES);
}

static NTSTATUS lock(struct sim_file *file, UCHAR minor, ULONGLONG offset, ULONGLONG length, bool exclusive)
{
	struct sim_request *request = plain_request(file, IRP_MJ_LOCK_CONTROL, minor, NULL, 0, false);
	FLT_PARAMETERS *p;

	if (!request)
		return STATUS_INSUFFICIENT_RESOURCES;
	p = &request->data->iopb.Parameters;
	request->lock_length.QuadPart = (LONGLONG)length;
	p->LockControl.Length = &request->lock_length;
	p->LockControl.ByteOffset.QuadPart = (LONGLONG)offset;
	p->LockControl.FailImmediately = TRUE;
	p->LockControl.ExclusiveLock = exclusive;
	return submit(file, request, NULL, NULL);
}

NTSTATUS sim_lock(struct sim_file *file, ULONGLONG offset, ULONGLONG length, bool exclusive)
{
	return lock(file, IRP_MN_LOCK, offset, length, exclusive);
}

NTSTATUS sim_unlock(struct sim_file *file, ULONGLONG offset, ULONGLONG length)
{
	return lock(file, IRP_MN_UNLOCK_SINGLE, offset, length, false);
}

/*
 * What requests of the drive ask of the simulation: the calls of drive.h, reads, writes and flushes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"

enum { SYNCHRONOUS = FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT };

/* A call's input, checked: data and extra lie within the buffer. */
struct input {
	struct drive_call call;
	const UCHAR *data, *extra;
};

struct answer {
	void *data;
	ULONG room;
	IO_STATUS_BLOCK status;
};

static ULONG extra_offset(const struct drive_call *call)
{
	return (ULONG)((sizeof(*call) + call->length + 7) & ~(SIZE_T)7);
}

static BOOLEAN input_take(PIRP irp, struct input *ret_input)
{
	ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.InputBufferLength;
	const UCHAR *buffer = irp->AssociatedIrp.SystemBuffer;
	const struct drive_call *call = &ret_input->call;

	if (length < sizeof(*call))
		return FALSE;
	RtlCopyMemory(&ret_input->call, buffer, sizeof(*call));
	if (call->length > length - sizeof(*call))
		return FALSE;
	if (call->extra && (extra_offset(call) > length || call->extra > length - extra_offset(call)))
		return FALSE;
	ret_input->data = buffer + sizeof(*call);
	ret_input->extra = call->extra ? buffer + extra_offset(call) : NULL;
	return TRUE;
}

static UNICODE_STRING text_of(const struct input *in)
{
	UNICODE_STRING text;

	text.Buffer = (WCHAR *)(ULONG_PTR)in->data;
	text.Length = (USHORT)in->call.length;
	text.MaximumLength = text.Length;
	return text;
}

static void create_describe(const struct input *in, struct sim_file *related, struct sim_create *ret_how)
{
	const struct drive_call *call = &in->call;

	RtlZeroMemory(ret_how, sizeof(*ret_how));
	ret_how->path = text_of(in);
	ret_how->related = related;
	ret_how->access = call->access;
	ret_how->share = call->share;
	ret_how->disposition = call->disposition;
	ret_how->options = call->options;
	ret_how->attributes = call->attributes;
	ret_how->ea = in->extra;
	ret_how->ea_length = call->extra;
	ret_how->allocation = (LONGLONG)call->size;
	ret_how->process = call->process;
}

static NTSTATUS create(struct binding *binding, const struct input *in, struct answer *out)
{
	struct binding *related = in->call.related ? glue_find(in->call.related) : NULL;
	struct sim_create how;
	struct sim_file *file = NULL;
	NTSTATUS status;

	if (in->call.length > 0xfffe || binding->file || (in->call.related && (!related || !related->file))) {
		if (related)
			glue_unref(related);
		return STATUS_INVALID_PARAMETER;
	}
	create_describe(in, related ? related->file : NULL, &how);
	if (in->call.kind == DRIVE_QUERY_ATTRIBUTES) {
		status = STATUS_BUFFER_TOO_SMALL;
		if (out->room >= sizeof(FILE_NETWORK_OPEN_INFORMATION)) {
			status = sim_query_full_attributes(glue_volume, &how, out->data);
			out->status.Information = sizeof(FILE_NETWORK_OPEN_INFORMATION);
		}
	} else {
		status = sim_create(glue_volume, &how, &file, &out->status.Information);
		if (NT_SUCCESS(status)) {
			binding->synchronous = (in->call.options & SYNCHRONOUS) != 0;
			binding->file = file;
		}
	}
	if (related)
		glue_unref(related);
	return status;
}

static NTSTATUS lock(struct binding *binding, const struct input *in)
{
	LARGE_INTEGER pause = { .QuadPart = -100000 };
	NTSTATUS status;

	if (in->call.kind == DRIVE_UNLOCK)
		return sim_unlock(binding->file, in->call.offset, in->call.size);
	for (;;) {
		status = sim_lock(binding->file, in->call.offset, in->call.size, (in->call.flags & DRIVE_EXCLUSIVE) != 0);
		if (status != STATUS_LOCK_NOT_GRANTED || !(in->call.flags & DRIVE_WAIT) || binding->ended)
			return status;
		KeDelayExecutionThread(KernelMode, FALSE, &pause);
	}
}

static NTSTATUS view(struct binding *binding, const struct input *in, struct answer *out)
{
	const struct drive_call *call = &in->call;
	ULONG length = call->answer < out->room ? call->answer : out->room;

	if (call->kind == DRIVE_MAP) {
		if (binding->view)
			return STATUS_INVALID_PARAMETER;
		return sim_map(binding->file, (call->flags & DRIVE_WRITABLE) != 0, call->size, &binding->view);
	}
	if (!binding->view)
		return STATUS_INVALID_PARAMETER;
	switch (call->kind) {
	case DRIVE_VIEW_READ:
		out->status.Information = length;
		return sim_view_read(binding->view, call->offset, out->data, length);
	case DRIVE_VIEW_WRITE:
		return sim_view_write(binding->view, call->offset, in->data, call->length);
	case DRIVE_VIEW_FLUSH:
		return sim_view_flush(binding->view);
	default:
		sim_unmap(binding->view);
		binding->view = NULL;
		return STATUS_SUCCESS;
	}
}

static NTSTATUS directory(struct binding *binding, const struct input *in, struct answer *out)
{
	UNICODE_STRING pattern = text_of(in);

	return sim_query_directory(binding->file, (FILE_INFORMATION_CLASS)in->call.class,
		in->call.flags & DRIVE_PATTERN ? &pattern : NULL, (in->call.flags & DRIVE_RESTART) != 0,
		(in->call.flags & DRIVE_SINGLE) != 0, out->data, out->room, &out->status);
}

static NTSTATUS identify(struct binding *binding, struct answer *out)
{
	if (out->room < sizeof(ULONGLONG))
		return STATUS_BUFFER_TOO_SMALL;
	*(ULONGLONG *)out->data = binding->number;
	out->status.Information = sizeof(ULONGLONG);
	return binding->file ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

static NTSTATUS call_bound(struct binding *binding, const struct input *in, struct answer *out)
{
	const struct drive_call *call = &in->call;
	struct sim_file *file = binding->file;

	switch (call->kind) {
	case DRIVE_CLEANUP:
		InterlockedExchange(&binding->ended, 1);
		sim_cleanup(file);
		return STATUS_SUCCESS;
	case DRIVE_IDENTIFY:
		return identify(binding, out);
	case DRIVE_QUERY_INFO:
		return sim_query_info(file, (FILE_INFORMATION_CLASS)call->class, out->data, out->room, &out->status);
	case DRIVE_SET_INFO:
		return sim_set_info(file, (FILE_INFORMATION_CLASS)call->class, in->data, call->length, &out->status);
	case DRIVE_QUERY_DIRECTORY:
		return directory(binding, in, out);
	case DRIVE_QUERY_VOLUME:
		return sim_query_volume(file, (FS_INFORMATION_CLASS)call->class, out->data, out->room, &out->status);
	case DRIVE_QUERY_EA:
		return sim_query_ea(file, out->data, out->room, call->length ? in->data : NULL, call->length,
			(call->flags & DRIVE_RESTART) != 0, (call->flags & DRIVE_SINGLE) != 0, &out->status);
	case DRIVE_SET_EA:
		return sim_set_ea(file, in->data, call->length, &out->status);
	case DRIVE_QUERY_SECURITY:
		return sim_query_security(file, call->class, out->data, out->room, &out->status);
	case DRIVE_LOCK:
	case DRIVE_UNLOCK:
		return lock(binding, in);
	case DRIVE_FSCTL:
		return sim_fsctl(file, NULL, call->class, in->data, call->length, out->data, out->room, &out->status);
	case DRIVE_MAP:
	case DRIVE_VIEW_READ:
	case DRIVE_VIEW_WRITE:
	case DRIVE_VIEW_FLUSH:
	case DRIVE_UNMAP:
		return view(binding, in, out);
	default:
		return STATUS_INVALID_DEVICE_REQUEST;
	}
}

/* Information of an operation may be more than the bytes of its answer: FILE_CREATED of a create. */
static BOOLEAN answers_with_data(ULONG kind)
{
	return kind != DRIVE_CREATE && kind != DRIVE_SET_INFO && kind != DRIVE_SET_EA && kind != DRIVE_CLEANUP;
}

static void call(struct job *job)
{
	ULONG room = IoGetCurrentIrpStackLocation(job->irp)->Parameters.DeviceIoControl.OutputBufferLength;
	struct drive_reply *reply = job->irp->AssociatedIrp.SystemBuffer;
	struct input in;
	struct answer out = { 0 };
	struct drive_reply result = { 0 };
	NTSTATUS status;

	if (!input_take(job->irp, &in) || room < sizeof(*reply)) {
		glue_finish(job, STATUS_INVALID_PARAMETER, 0);
		return;
	}
	out.room = room - (ULONG)sizeof(*reply);
	out.data = out.room ? glue_alloc(out.room) : reply + 1;
	if (!out.data)
		status = STATUS_INSUFFICIENT_RESOURCES;
	else if (in.call.kind == DRIVE_CREATE || in.call.kind == DRIVE_QUERY_ATTRIBUTES)
		status = create(job->binding, &in, &out);
	else if (!job->binding->file || job->binding->ended)
		status = STATUS_FILE_CLOSED;
	else
		status = call_bound(job->binding, &in, &out);
	result.status = (ULONG)status;
	result.information = out.status.Information;
	/* input and output share the buffer: only now it may be overwritten */
	RtlCopyMemory(reply, &result, sizeof(result));
	room = 0;
	if (answers_with_data(in.call.kind) && out.room && out.data && !NT_ERROR(status)) {
		room = out.status.Information < out.room ? (ULONG)out.status.Information : out.room;
		RtlCopyMemory(reply + 1, out.data, room);
	}
	if (out.room && out.data)
		ExFreePoolWithTag(out.data, GLUE_TAG);
	glue_finish(job, STATUS_SUCCESS, sizeof(*reply) + room);
}

static void ended(struct job *job, NTSTATUS status, const IO_STATUS_BLOCK *result)
{
	glue_finish(job, status, NT_ERROR(status) ? 0 : result->Information);
}

static void call_async(struct job *job)
{
	struct input in;
	PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(job->irp);
	ULONG room = stack->Parameters.DeviceIoControl.OutputBufferLength;
	IO_STATUS_BLOCK result = { 0 };

	if (!input_take(job->irp, &in) || in.call.kind != DRIVE_NOTIFY) {
		glue_finish(job, STATUS_INVALID_PARAMETER, 0);
	} else if (!job->binding->file || job->binding->ended) {
		glue_finish(job, STATUS_FILE_CLOSED, 0);
	} else {
		glue_started(job);
		sim_notify(job->binding->file, &job->io, in.call.class, (in.call.flags & DRIVE_TREE) != 0,
			job->irp->AssociatedIrp.SystemBuffer, room, &result);
		glue_pending(job);
	}
}

/* -2: at the handle's position, which only a synchronous handle has. */
static LARGE_INTEGER *offset_of(LARGE_INTEGER *offset)
{
	return offset->QuadPart == -2 ? NULL : offset;
}

static void transfer(struct job *job)
{
	PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(job->irp);
	struct binding *binding = job->binding;
	BOOLEAN write = stack->MajorFunction == IRP_MJ_WRITE;
	LARGE_INTEGER offset = write ? stack->Parameters.Write.ByteOffset : stack->Parameters.Read.ByteOffset;
	ULONG length = write ? stack->Parameters.Write.Length : stack->Parameters.Read.Length;
	void *buffer = job->irp->AssociatedIrp.SystemBuffer;
	struct sim_io *io = binding->synchronous ? NULL : &job->io;
	IO_STATUS_BLOCK result = { 0 };
	NTSTATUS status;

	if (io)
		glue_started(job);
	if (stack->MajorFunction == IRP_MJ_FLUSH_BUFFERS)
		status = sim_flush(binding->file, io, &result);
	else if (write)
		status = sim_write(binding->file, io, buffer, length, offset_of(&offset), 0, &result);
	else
		status = sim_read(binding->file, io, buffer, length, offset_of(&offset), 0, &result);
	if (io)
		glue_pending(job);
	else
		ended(job, status, &result);
}

static void health(struct job *job)
{
	ULONG room = IoGetCurrentIrpStackLocation(job->irp)->Parameters.DeviceIoControl.OutputBufferLength;
	UCHAR *buffer = job->irp->AssociatedIrp.SystemBuffer;
	struct drive_health *out = (struct drive_health *)buffer;
	struct sim_counts counts;
	ULONG used = sizeof(*out);

	if (room < sizeof(*out)) {
		glue_finish(job, STATUS_BUFFER_TOO_SMALL, 0);
		return;
	}
	sim_count(&counts);
	RtlZeroMemory(buffer, room);
	out->violations = sim_violations();
	out->filters = sim_filter_count();
	out->handles = glue_handles();
	out->callbacks = counts.callbacks;
	out->pended = counts.pended;
	out->contexts = counts.contexts;
	out->names = counts.names;
	out->under_way = counts.under_way;
	out->reads = counts.reads;
	out->writes = counts.writes;
	out->paging_reads = counts.paging_reads;
	out->paging_writes = counts.paging_writes;
	out->patched = glue_patched();
	out->pool = glue_pool();
	for (ULONG i = 0; i < out->violations && i < 64; i++) {
		const char *text = sim_violation(i);

		while (text && *text && used + 2 < room)
			buffer[used++] = (UCHAR)*text++;
		if (used + 1 < room)
			buffer[used++] = '\n';
	}
	glue_finish(job, STATUS_SUCCESS, used);
}

void glue_perform(struct job *job)
{
	PIO_STACK_LOCATION stack = job->irp ? IoGetCurrentIrpStackLocation(job->irp) : NULL;
	ULONG code;

	if (!stack) {
		/* the handle's end: what is under way is cancelled, so that the last reference goes */
		if (job->binding->file && !InterlockedExchange(&job->binding->ended, 1))
			sim_cleanup(job->binding->file);
		glue_finish(job, STATUS_SUCCESS, 0);
		return;
	}
	if (stack->MajorFunction != IRP_MJ_DEVICE_CONTROL) {
		if (!job->binding->file || job->binding->ended)
			glue_finish(job, STATUS_FILE_CLOSED, 0);
		else
			transfer(job);
		return;
	}
	code = stack->Parameters.DeviceIoControl.IoControlCode;
	if (code == DRIVE_CALL) {
		call(job);
	} else if (code == DRIVE_ASYNC) {
		call_async(job);
	} else if (code == DRIVE_HEALTH) {
		health(job);
	} else if (code == DRIVE_BENCH) {
		glue_bench_run(job);
	} else if (code == DRIVE_REMOUNT) {
		glue_finish(job, glue_remount() ? STATUS_SUCCESS : STATUS_DEVICE_BUSY, 0);
	} else if (code == DRIVE_DISMOUNT) {
		sim_volume_dismount(glue_volume);
		glue_finish(job, STATUS_SUCCESS, 0);
	} else if (code == DRIVE_DETACH) {
		glue_finish(job, sim_volume_detach(glue_volume), 0);
	} else if (code == DRIVE_VIOLATE) {
		sim_violate("a test asked for a violation", NULL, 0);
		glue_finish(job, STATUS_SUCCESS, 0);
	} else if (code == DRIVE_FORGET) {
		sim_lazy_write(glue_volume);
		sim_violations_forget();
		glue_finish(job, STATUS_SUCCESS, 0);
	} else {
		glue_finish(job, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}

/*
 * One operation: down through the filters' pre-operation callbacks, to the volume, up through their post-operation callbacks.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     run -> down(0) -> pre 0 -> pre 1 -> volume -> up: post 1 -> post 0 -> finish
 *                         | pended: down(1) or up(0) goes on from FltCompletePendedPreOperation, on any thread
 *
 * The callback data is a block of its own that is buried at the finish: filled with a pattern and kept for a while, so that
 * a second completion and late writes are noticed.
 */
#include "private.h"

#define UNSET ((NTSTATUS)0xcfffffff) /* no filter nor the volume has given a status */
#define GRAVES 64u
#define BURIED 0xdd

static LIST_ENTRY graves;
static ULONG grave_count;

/* Threads inside a callback of paging I/O, as slots: there is no thread-local storage everywhere. */
#define PAGING_THREADS 64u
static void *volatile paging_threads[PAGING_THREADS];

static ULONG paging_enter(void)
{
	for (ULONG i = 0; i < PAGING_THREADS; i++) {
		void *expected = NULL;

		if (__atomic_compare_exchange_n(&paging_threads[i], &expected, (void *)KeGetCurrentThread(), false, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST))
			return i;
	}
	return PAGING_THREADS;
}

static void paging_leave(ULONG slot)
{
	if (slot < PAGING_THREADS)
		__atomic_store_n(&paging_threads[slot], NULL, __ATOMIC_SEQ_CST);
}

bool sim_in_paging(void)
{
	void *self = (void *)KeGetCurrentThread();

	for (ULONG i = 0; i < PAGING_THREADS; i++)
		if (__atomic_load_n(&paging_threads[i], __ATOMIC_RELAXED) == self)
			return true;
	return false;
}

/* ---- graves ---- */

static void grave_open(struct sim_data *data)
{
	const UCHAR *bytes = (const UCHAR *)&data->data;

	sim_host_show(&data->data, sizeof(*data) - offsetof(struct sim_data, data));
	for (SIZE_T i = 0; i < sizeof(*data) - offsetof(struct sim_data, data); i++) {
		if (bytes[i] != BURIED) {
			sim_violate("callback data was written after the operation's completion", NULL, i);
			break;
		}
	}
	sim_host_free(data);
}

/* Under sim_big. */
void sim_data_bury(struct sim_data *data)
{
	struct sim_data *oldest = NULL;

	if (!graves.Flink)
		InitializeListHead(&graves);
	data->magic = SIM_DATA_DEAD;
	data->request = NULL;
	memset(&data->data, BURIED, sizeof(*data) - offsetof(struct sim_data, data));
	sim_host_hide(&data->data, sizeof(*data) - offsetof(struct sim_data, data));
	InsertTailList(&graves, &data->grave);
	if (++grave_count > GRAVES) {
		oldest = CONTAINING_RECORD(RemoveHeadList(&graves), struct sim_data, grave);
		grave_count--;
		grave_open(oldest);
	}
}

void sim_graves_empty(void)
{
	sim_mutex_lock(&sim_big);
	while (grave_count) {
		grave_count--;
		grave_open(CONTAINING_RECORD(RemoveHeadList(&graves), struct sim_data, grave));
	}
	sim_mutex_unlock(&sim_big);
}

/* ---- the request itself ---- */

static struct sim_data *data_new(struct sim_request *request, struct sim_open *open, UCHAR major, UCHAR minor)
{
	struct sim_data *data = sim_host_alloc(sizeof(*data));
	PETHREAD thread = (PETHREAD)KeGetCurrentThread();
	PFLT_IO_PARAMETER_BLOCK iopb;

	if (!data)
		return NULL;
	iopb = &data->iopb;
	data->magic = SIM_DATA_ALIVE;
	data->request = request;
	data->iopb.MajorFunction = major;
	data->iopb.MinorFunction = minor;
	data->iopb.TargetFileObject = &open->object;
	memcpy((PVOID)(ULONG_PTR)&data->data.Thread, &thread, sizeof(thread));
	memcpy((PVOID)(ULONG_PTR)&data->data.Iopb, &iopb, sizeof(iopb));
	data->data.Flags = FLTFL_CALLBACK_DATA_IRP_OPERATION;
	data->data.RequestorMode = UserMode;
	data->data.IoStatus.Status = UNSET;
	return data;
}

struct sim_request *sim_request_new(struct sim_volume *volume, struct sim_open *open, UCHAR major, UCHAR minor)
{
	struct sim_request *request = sim_host_alloc(sizeof(*request));

	if (!request)
		return NULL;
	request->data = data_new(request, open, major, minor);
	if (!request->data) {
		sim_host_free(request);
		return NULL;
	}
	request->references = 1;
	request->volume = volume;
	request->open = open;
	request->process = open->process;
	request->unreferenced = major == IRP_MJ_CLOSE;
	request->waits = true;
	KeInitializeEvent(&request->over, NotificationEvent, FALSE);
	KeInitializeEvent(&request->cancel_event, NotificationEvent, FALSE);
	if (!request->unreferenced)
		sim_host_object_ref(open);
	SIM_COUNT(under_way);
	return request;
}

static void open_unref_later(void *open)
{
	sim_host_object_unref(open);
}

void sim_request_unref(struct sim_request *request)
{
	struct sim_open *open = request->open;
	bool unreferenced = request->unreferenced;

	if (__atomic_sub_fetch(&request->references, 1, __ATOMIC_ACQ_REL))
		return;
	if (request->data) { /* never ran */
		sim_mutex_lock(&sim_big);
		sim_data_bury(request->data);
		sim_mutex_unlock(&sim_big);
		SIM_UNCOUNT(under_way);
	}
	sim_buffer_finish(request, STATUS_CANCELLED, 0);
	sim_string_free(&request->name);
	sim_host_free(request->info);
	sim_host_free(request);
	if (unreferenced)
		return;
	if (sim_host_irql() == PASSIVE_LEVEL || !sim_host_start(open_unref_later, open))
		sim_host_object_unref(open);
}

struct sim_request *sim_request_of(PFLT_CALLBACK_DATA data, const char *who)
{
	struct sim_data *block = CONTAINING_RECORD(data, struct sim_data, data);

	if (block->magic == SIM_DATA_ALIVE)
		return block->request;
	sim_violate("callback data of an operation that is over", who, 0);
	return NULL;
}

static void link_request(struct sim_request *request)
{
	UCHAR major = request->data->iopb.MajorFunction;

	if (major == IRP_MJ_CLEANUP || major == IRP_MJ_CLOSE || major == IRP_MJ_CREATE || request->paging)
		return;
	sim_mutex_lock(&sim_big);
	InsertTailList(&request->open->requests, &request->link);
	request->linked = true;
	sim_mutex_unlock(&sim_big);
}

static void finish(struct sim_request *request)
{
	struct sim_data *data = request->data;
	struct sim_io *io = request->io;

	request->status = data->data.IoStatus;
	if (request->status.Status == UNSET || request->status.Status == STATUS_PENDING) {
		sim_violate("completed without a status", NULL, data->iopb.MajorFunction);
		request->status.Status = STATUS_INTERNAL_ERROR;
	}
	for (ULONG i = 0; i < request->frame_count; i++)
		sim_frame_leave(&request->frames[i]);
	sim_buffer_finish(request, request->status.Status, request->status.Information);
	sim_mutex_lock(&sim_big);
	if (request->linked)
		RemoveEntryList(&request->link);
	request->linked = false;
	request->data = NULL;
	sim_data_bury(data);
	if (io)
		io->request = NULL;
	sim_mutex_unlock(&sim_big);
	SIM_UNCOUNT(under_way);
	__atomic_store_n(&request->done, 1, __ATOMIC_RELEASE);
	KeSetEvent(&request->over, 0, FALSE);
	if (io) {
		KIRQL irql = sim_host_set_irql(PASSIVE_LEVEL);

		io->status = request->status;
		io->done(io);
		sim_host_set_irql(irql);
	}
	sim_request_unref(request);
}

NTSTATUS sim_request_run(struct sim_request *request)
{
	ULONG process = sim_host_set_process(request->process);
	KIRQL irql = sim_host_set_irql(request->irql);
	ULONG slot = request->paging ? paging_enter() : PAGING_THREADS;

	request->thread = KeGetCurrentThread();
	__atomic_add_fetch(&request->references, 1, __ATOMIC_RELAXED); /* finish's */
	link_request(request);
	sim_request_down(request, 0);
	paging_leave(slot);
	sim_host_set_irql(irql);
	sim_host_set_process(process);
	if (request->waits)
		sim_host_wait(&request->over);
	return __atomic_load_n(&request->done, __ATOMIC_ACQUIRE) ? request->status.Status : STATUS_PENDING;
}

/* ---- callbacks ---- */

static void objects_fill(FLT_RELATED_OBJECTS *objects, struct sim_request *request, PFLT_INSTANCE instance)
{
	FLT_RELATED_OBJECTS filled = {
		.Size = sizeof(*objects), .Filter = instance->filter, .Volume = (PFLT_VOLUME)request->volume, .Instance = instance,
		.FileObject = &request->open->object,
	};

	memcpy(objects, &filled, sizeof(filled));
}

static bool same_parameters(const FLT_IO_PARAMETER_BLOCK *a, const FLT_IO_PARAMETER_BLOCK *b)
{
	return a->IrpFlags == b->IrpFlags && a->MajorFunction == b->MajorFunction && a->MinorFunction == b->MinorFunction &&
		a->OperationFlags == b->OperationFlags && a->TargetFileObject == b->TargetFileObject &&
		!memcmp(&a->Parameters, &b->Parameters, sizeof(a->Parameters));
}

/* What a filter must obey when it lets an operation go on, or completes it. */
static void check_left(struct sim_request *request, struct sim_frame *frame, FLT_PREOP_CALLBACK_STATUS outcome, PVOID context)
{
	FLT_CALLBACK_DATA *data = &request->data->data;
	UCHAR major = frame->seen.MajorFunction;

	if (!same_parameters(&frame->seen, &request->data->iopb) && !(data->Flags & FLTFL_CALLBACK_DATA_DIRTY) &&
		outcome != FLT_PREOP_COMPLETE)
		sim_violate("parameters were changed without FltSetCallbackDataDirty", NULL, major);
	data->Flags &= ~FLTFL_CALLBACK_DATA_DIRTY;
	if (context && outcome != FLT_PREOP_SUCCESS_WITH_CALLBACK && outcome != FLT_PREOP_SYNCHRONIZE)
		sim_violate("a completion context, but no post-operation callback was asked for", NULL, major);
	if (outcome == FLT_PREOP_COMPLETE && (data->IoStatus.Status == UNSET || data->IoStatus.Status == STATUS_PENDING))
		sim_violate("completed without a status", "pre-operation", major);
	if (__atomic_load_n(&request->canceled, __ATOMIC_SEQ_CST))
		sim_violate("an operation goes on with its cancel routine set", NULL, major);
}

/* True: it goes on down; false: it has ended here (on its way up already), or is not this thread's any more. */
static bool take_outcome(struct sim_request *request, ULONG index, FLT_PREOP_CALLBACK_STATUS outcome, PVOID context)
{
	struct sim_frame *frame = &request->frames[index];
	FLT_CALLBACK_DATA *data = &request->data->data;
	const FLT_OPERATION_REGISTRATION *operation = sim_filter_operation(frame->instance->filter, frame->seen.MajorFunction);

	check_left(request, frame, outcome, context);
	__atomic_store_n(&frame->stage, SIM_STAGE_PASSED, __ATOMIC_SEQ_CST);
	switch (outcome) {
	case FLT_PREOP_SYNCHRONIZE:
		if (!FLT_IS_IRP_OPERATION(data))
			sim_violate("FLT_PREOP_SYNCHRONIZE for what is no IRP", NULL, frame->seen.MajorFunction);
		frame->synchronize = request->thread == KeGetCurrentThread();
		if (!frame->synchronize)
			sim_violate("FLT_PREOP_SYNCHRONIZE outside of the originating thread", NULL, frame->seen.MajorFunction);
		/* fallthrough */
	case FLT_PREOP_SUCCESS_WITH_CALLBACK:
		frame->post = operation->PostOperation;
		frame->context = context;
		if (!frame->post)
			sim_violate("asks for a post-operation callback that it did not register", NULL, frame->seen.MajorFunction);
		return true;
	case FLT_PREOP_SUCCESS_NO_CALLBACK:
		sim_frame_leave(frame);
		return true;
	case FLT_PREOP_DISALLOW_FASTIO:
		if (!FLT_IS_FASTIO_OPERATION(data))
			sim_violate("FLT_PREOP_DISALLOW_FASTIO for what is no fast I/O", NULL, frame->seen.MajorFunction);
		data->IoStatus.Status = STATUS_FLT_DISALLOW_FAST_IO;
		break;
	case FLT_PREOP_COMPLETE:
		break;
	default:
		sim_violate("a pre-operation callback's answer is none", NULL, (ULONG)outcome);
		return true;
	}
	sim_request_up(request, index);
	return false;
}

static bool pend(struct sim_request *request, struct sim_frame *frame)
{
	LONG stage = SIM_STAGE_PRE;

	SIM_COUNT(pended);
	if (!__atomic_compare_exchange_n(&frame->stage, &stage, SIM_STAGE_PENDING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return false; /* it goes on elsewhere already */
	if (!request->buffer.mdl)
		sim_buffer_hide(request);
	__atomic_store_n(&frame->stage, SIM_STAGE_PENDED, __ATOMIC_SEQ_CST);
	return true;
}

/* True: go on down on this thread. */
static bool call_pre(struct sim_request *request, ULONG index, const FLT_OPERATION_REGISTRATION *operation)
{
	struct sim_frame *frame = &request->frames[index];
	FLT_RELATED_OBJECTS objects;
	FLT_PREOP_CALLBACK_STATUS outcome;
	PVOID context = NULL;
	KIRQL irql = sim_host_irql();
	bool on = false, irp = FLT_IS_IRP_OPERATION(&request->data->data); /* who pended looks at nothing afterwards */

	objects_fill(&objects, request, frame->instance);
	request->data->iopb.TargetInstance = frame->instance;
	frame->seen = request->data->iopb;
	request->frame = index;
	__atomic_store_n(&frame->stage, SIM_STAGE_PRE, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&request->references, 1, __ATOMIC_RELAXED);
	SIM_COUNT(callbacks);
	sim_host_point();
	outcome = operation->PreOperation(&request->data->data, &objects, &context);
	if (sim_host_irql() != irql) {
		sim_violate("a pre-operation callback returned at another level", NULL, sim_host_irql());
		sim_host_set_irql(irql);
	}
	if (__atomic_load_n(&frame->stage, __ATOMIC_SEQ_CST) == SIM_STAGE_CONTINUED) {
		if (outcome != FLT_PREOP_PENDING)
			sim_violate("completed by FltCompletePendedPreOperation, but not pended", NULL, frame->seen.MajorFunction);
	} else if (outcome == FLT_PREOP_PENDING && !irp) {
		sim_violate("FLT_PREOP_PENDING for what is no IRP", NULL, frame->seen.MajorFunction);
		on = take_outcome(request, index, FLT_PREOP_DISALLOW_FASTIO, NULL);
	} else if (outcome == FLT_PREOP_PENDING) {
		if (context)
			sim_violate("a completion context, but no post-operation callback was asked for", NULL, frame->seen.MajorFunction);
		pend(request, frame);
	} else {
		on = take_outcome(request, index, outcome, context);
	}
	sim_request_unref(request);
	return on;
}

static bool skipped(const struct sim_request *request, const FLT_OPERATION_REGISTRATION *operation)
{
	ULONG flags = request->data->iopb.IrpFlags;

	if (!operation || !operation->PreOperation)
		return true;
	if ((operation->Flags & FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO) && (flags & IRP_PAGING_IO))
		return true;
	return (operation->Flags & FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO) && !(flags & (IRP_NOCACHE | IRP_PAGING_IO));
}

/* No pre-operation callback: the post-operation one may be there all the same. */
static void pass_by(struct sim_request *request, struct sim_frame *frame, const FLT_OPERATION_REGISTRATION *operation)
{
	if (operation && !operation->PreOperation)
		frame->post = operation->PostOperation;
	frame->seen = request->data->iopb;
	if (!frame->post)
		sim_frame_leave(frame);
}

static void synchronized(struct sim_request *request, ULONG index);

void sim_request_down(struct sim_request *request, ULONG index)
{
	for (; index < request->frame_count; index++) {
		struct sim_frame *frame = &request->frames[index];
		const FLT_OPERATION_REGISTRATION *operation =
			sim_filter_operation(frame->instance->filter, request->data->iopb.MajorFunction);

		if (skipped(request, operation)) {
			pass_by(request, frame, operation);
			continue;
		}
		if (!call_pre(request, index, operation))
			return;
		if (frame->synchronize) {
			synchronized(request, index);
			return;
		}
	}
	if (sim_volume_dispatch(request) != STATUS_PENDING)
		sim_request_up(request, request->frame_count);
}

static KIRQL post_irql(const struct sim_request *request, const struct sim_frame *frame)
{
	switch (frame->seen.MajorFunction) {
	case IRP_MJ_CREATE:
	case IRP_MJ_CLEANUP:
	case IRP_MJ_CLOSE:
		return request->irql;
	default:
		/* any IRP's completion may come at DISPATCH_LEVEL, whatever the usual disk does */
		return frame->synchronize || !FLT_IS_IRP_OPERATION(&request->data->data) ? request->irql : DISPATCH_LEVEL;
	}
}

static void call_post(struct sim_request *request, struct sim_frame *frame, ULONG flags)
{
	PFLT_POST_OPERATION_CALLBACK post = frame->post;
	struct sim_data *data = request->data;
	FLT_RELATED_OBJECTS objects;
	FLT_IO_PARAMETER_BLOCK before;
	KIRQL irql;

	if (!post)
		return;
	frame->post = NULL;
	objects_fill(&objects, request, frame->instance);
	data->iopb = before = frame->seen;
	data->data.Flags |= FLTFL_CALLBACK_DATA_POST_OPERATION;
	irql = sim_host_set_irql(post_irql(request, frame));
	sim_host_point();
	if (post(&data->data, &objects, frame->context, flags) != FLT_POSTOP_FINISHED_PROCESSING)
		sim_violate("a post-operation callback wants to go on later, which is not simulated", NULL, before.MajorFunction);
	if (sim_host_irql() != post_irql(request, frame))
		sim_violate("a post-operation callback returned at another level", NULL, sim_host_irql());
	sim_host_set_irql(irql);
	data->data.Flags &= ~(FLTFL_CALLBACK_DATA_POST_OPERATION | FLTFL_CALLBACK_DATA_DIRTY);
}

void sim_request_up(struct sim_request *request, ULONG index)
{
	while (index-- > 0) {
		struct sim_frame *frame = &request->frames[index];

		if (frame->synchronize && !frame->arrived) {
			frame->arrived = true;
			KeSetEvent(&frame->back, 0, FALSE);
			return;
		}
		call_post(request, frame, 0);
	}
	finish(request);
}

/* Under teardown: the post-operation callback comes early, and the operation goes on without the filter. */
void sim_request_drain(struct sim_request *request, ULONG index)
{
	struct sim_frame *frame = &request->frames[index];

	if (frame->post)
		call_post(request, frame, FLTFL_POST_OPERATION_DRAINING);
	sim_frame_leave(frame);
}

/* The rest happens inside this call; its post-operation callback then runs here. */
static void synchronized(struct sim_request *request, ULONG index)
{
	struct sim_frame *frame = &request->frames[index];

	KeInitializeEvent(&frame->back, NotificationEvent, FALSE);
	__atomic_add_fetch(&request->references, 1, __ATOMIC_RELAXED);
	sim_request_down(request, index + 1);
	sim_host_wait(&frame->back);
	sim_request_up(request, index + 1);
	sim_request_unref(request);
}

/* ---- what filters call ---- */

VOID FLTAPI FltCompletePendedPreOperation(PFLT_CALLBACK_DATA CallbackData, FLT_PREOP_CALLBACK_STATUS CallbackStatus, PVOID Context)
{
	struct sim_request *request = sim_request_of(CallbackData, __func__);
	struct sim_frame *frame;
	LONG stage;
	ULONG process;

	if (!request)
		return;
	frame = &request->frames[request->frame];
	while ((stage = __atomic_load_n(&frame->stage, __ATOMIC_SEQ_CST)) == SIM_STAGE_PENDING)
		;
	if (request->frame >= request->frame_count || (stage != SIM_STAGE_PRE && stage != SIM_STAGE_PENDED)) {
		sim_violate("FltCompletePendedPreOperation of what was not pended", NULL, CallbackData->Iopb->MajorFunction);
		return;
	}
	sim_level_at_most(CallbackStatus == FLT_PREOP_COMPLETE ? DISPATCH_LEVEL : APC_LEVEL, __func__);
	if (CallbackStatus == FLT_PREOP_PENDING || CallbackStatus == FLT_PREOP_SYNCHRONIZE ||
		CallbackStatus == FLT_PREOP_DISALLOW_FASTIO) {
		sim_violate("a pended operation can't be completed so", NULL, (ULONG)CallbackStatus);
		CallbackStatus = FLT_PREOP_COMPLETE;
	}
	while (!__atomic_compare_exchange_n(&frame->stage, &stage, SIM_STAGE_CONTINUED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		if (stage == SIM_STAGE_CONTINUED) {
			sim_violate("FltCompletePendedPreOperation twice", NULL, 0);
			return;
		}
		if (stage == SIM_STAGE_PENDING)
			stage = SIM_STAGE_PENDED;
	}
	process = sim_host_set_process(request->process);
	check_left(request, frame, CallbackStatus, Context);
	if (CallbackStatus == FLT_PREOP_COMPLETE) {
		sim_request_up(request, request->frame);
	} else {
		if (CallbackStatus == FLT_PREOP_SUCCESS_WITH_CALLBACK) {
			frame->post = sim_filter_operation(frame->instance->filter, frame->seen.MajorFunction)->PostOperation;
			frame->context = Context;
		}
		sim_request_down(request, request->frame + 1);
	}
	sim_host_set_process(process);
}

NTSTATUS FLTAPI FltSetCancelCompletion(PFLT_CALLBACK_DATA CallbackData, PFLT_COMPLETE_CANCELED_CALLBACK CanceledCallback)
{
	struct sim_request *request = sim_request_of(CallbackData, __func__);
	PFLT_COMPLETE_CANCELED_CALLBACK before;

	if (!request)
		return STATUS_INVALID_PARAMETER;
	if (CallbackData->Iopb->IrpFlags & IRP_PAGING_IO)
		sim_violate("a cancel routine for paging I/O", NULL, 0);
	before = __atomic_exchange_n(&request->canceled, CanceledCallback, __ATOMIC_SEQ_CST);
	if (before)
		sim_violate("a second cancel routine", NULL, 0);
	sim_host_point();
	if (__atomic_load_n(&request->cancelled, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&request->canceled, NULL, __ATOMIC_SEQ_CST))
		return STATUS_CANCELLED;
	return STATUS_SUCCESS;
}

NTSTATUS FLTAPI FltClearCancelCompletion(PFLT_CALLBACK_DATA CallbackData)
{
	struct sim_request *request = sim_request_of(CallbackData, __func__);

	if (!request)
		return STATUS_INVALID_PARAMETER;
	sim_host_point();
	return __atomic_exchange_n(&request->canceled, NULL, __ATOMIC_SEQ_CST) ? STATUS_SUCCESS : STATUS_CANCELLED;
}

bool sim_request_cancel(struct sim_request *request)
{
	PFLT_COMPLETE_CANCELED_CALLBACK canceled;
	KIRQL irql;

	__atomic_store_n(&request->cancelled, 1, __ATOMIC_SEQ_CST);
	KeSetEvent(&request->cancel_event, 0, FALSE);
	sim_host_point();
	canceled = __atomic_exchange_n(&request->canceled, NULL, __ATOMIC_SEQ_CST);
	if (canceled) {
		sim_host_point();
		irql = sim_host_set_irql(DISPATCH_LEVEL);
		canceled(&request->data->data);
		sim_host_set_irql(irql);
		return true;
	}
	sim_notify_cancel(request);
	return false;
}

NTSTATUS FLTAPI FltCancellableWaitForSingleObject(PVOID Object, PLARGE_INTEGER Timeout, PFLT_CALLBACK_DATA CallbackData)
{
	struct sim_request *request = CallbackData ? sim_request_of(CallbackData, __func__) : NULL;
	int which;

	sim_level_at_most(APC_LEVEL, __func__);
	if (request)
		__atomic_add_fetch(&request->references, 1, __ATOMIC_RELAXED);
	which = sim_host_wait_either(Object, request ? &request->cancel_event : NULL, Timeout);
	if (request)
		sim_request_unref(request);
	return which == 0 ? STATUS_SUCCESS : which > 0 ? STATUS_CANCELLED : STATUS_TIMEOUT;
}

/*
 * Contexts of filters: counted references, a cleanup callback at the last, lists on what they hang on.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define ALIVE 0x74786574e6f4c341ull
#define DEAD 0x74786574e6f4c3ddull

struct sim_context {
	ULONGLONG magic;
	LIST_ENTRY link;
	struct sim_contexts *home; /* set while it hangs somewhere, and then has a reference for that */
	PFLT_FILTER filter;
	PFLT_INSTANCE instance;
	FLT_CONTEXT_TYPE type;
	volatile LONG references;
	SIZE_T size;
	DECLSPEC_ALIGN(16) UCHAR body[];
};

static volatile LONG alive;

ULONG sim_contexts_alive(void)
{
	return (ULONG)__atomic_load_n(&alive, __ATOMIC_SEQ_CST);
}

void sim_contexts_init(struct sim_contexts *contexts)
{
	sim_mutex_init(&contexts->lock);
	InitializeListHead(&contexts->list);
}

static struct sim_context *context_of(PFLT_CONTEXT body, const char *who)
{
	struct sim_context *context = CONTAINING_RECORD(body, struct sim_context, body);

	if (context->magic == ALIVE)
		return context;
	sim_violate("what is no context, or not any more", who, context->magic);
	return NULL;
}

static const FLT_CONTEXT_REGISTRATION *registered(PFLT_FILTER filter, FLT_CONTEXT_TYPE type, SIZE_T size)
{
	const FLT_CONTEXT_REGISTRATION *registration = filter->copy.ContextRegistration;

	for (; registration && registration->ContextType != FLT_CONTEXT_END; registration++)
		if (registration->ContextType == type && (registration->Size == size || registration->Size == (SIZE_T)-1))
			return registration;
	return NULL;
}

NTSTATUS FLTAPI FltAllocateContext(PFLT_FILTER Filter, FLT_CONTEXT_TYPE ContextType, SIZE_T ContextSize, POOL_TYPE PoolType,
	PFLT_CONTEXT *ReturnedContext)
{
	struct sim_context *context;

	(void)PoolType;
	sim_level_at_most(APC_LEVEL, __func__);
	if (!registered(Filter, ContextType, ContextSize)) {
		sim_violate("a context of a type or size that was not registered", NULL, ContextType);
		return STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND;
	}
	context = sim_host_fails() ? NULL : sim_host_alloc(sizeof(*context) + ContextSize);
	if (!context)
		return STATUS_INSUFFICIENT_RESOURCES;
	memset(context->body, 0xcc, ContextSize); /* Windows gives no zeros either */
	context->magic = ALIVE;
	context->filter = Filter;
	context->type = ContextType;
	context->size = ContextSize;
	context->references = 1;
	__atomic_add_fetch(&Filter->contexts, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
	*ReturnedContext = context->body;
	return STATUS_SUCCESS;
}

static void release(struct sim_context *context)
{
	const FLT_CONTEXT_REGISTRATION *registration;
	LONG left = __atomic_sub_fetch(&context->references, 1, __ATOMIC_ACQ_REL);

	if (left > 0)
		return;
	if (left < 0 || context->home) { /* what hangs somewhere has a reference for that */
		sim_violate("a context is released more often than referenced", NULL, context->type);
		__atomic_add_fetch(&context->references, 1, __ATOMIC_RELAXED);
		return;
	}
	registration = registered(context->filter, context->type, context->size);
	if (registration && registration->ContextCleanupCallback)
		registration->ContextCleanupCallback(context->body, context->type);
	__atomic_sub_fetch(&context->filter->contexts, 1, __ATOMIC_SEQ_CST);
	__atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST);
	context->magic = DEAD;
	memset(context->body, 0xdd, context->size);
	sim_host_free(context);
}

VOID FLTAPI FltReferenceContext(PFLT_CONTEXT Context)
{
	struct sim_context *context = context_of(Context, __func__);

	if (context)
		__atomic_add_fetch(&context->references, 1, __ATOMIC_RELAXED);
}

VOID FLTAPI FltReleaseContext(PFLT_CONTEXT Context)
{
	struct sim_context *context = context_of(Context, __func__);

	sim_level_at_most(APC_LEVEL, __func__);
	if (context)
		release(context);
}

static struct sim_context *find(struct sim_contexts *contexts, PFLT_INSTANCE instance)
{
	SIM_EACH(entry, &contexts->list) {
		struct sim_context *context = CONTAINING_RECORD(entry, struct sim_context, link);

		if (!instance || context->instance == instance)
			return context;
	}
	return NULL;
}

static void hang(struct sim_contexts *contexts, struct sim_context *context, PFLT_INSTANCE instance)
{
	context->home = contexts;
	context->instance = instance;
	__atomic_add_fetch(&context->references, 1, __ATOMIC_RELAXED);
	InsertTailList(&contexts->list, &context->link);
}

NTSTATUS FLTAPI FltSetStreamHandleContext(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, FLT_SET_CONTEXT_OPERATION Operation,
	PFLT_CONTEXT NewContext, PFLT_CONTEXT *OldContext)
{
	struct sim_context *context = context_of(NewContext, __func__), *old;
	struct sim_open *open = sim_open_of(FileObject);

	sim_level_at_most(APC_LEVEL, __func__);
	if (OldContext)
		*OldContext = NULL;
	if (!context || !open || context->type != FLT_STREAMHANDLE_CONTEXT || context->home) {
		sim_violate("FltSetStreamHandleContext with what can't be set", NULL, 0);
		return STATUS_INVALID_PARAMETER;
	}
	if (!FileObject->FsContext) /* not open yet, or not any more */
		return STATUS_NOT_SUPPORTED;
	if (Instance->torn_down)
		return STATUS_FLT_DELETING_OBJECT;
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	sim_mutex_lock(&open->contexts.lock);
	old = find(&open->contexts, Instance);
	if (old && Operation == FLT_SET_CONTEXT_KEEP_IF_EXISTS) {
		if (OldContext) {
			__atomic_add_fetch(&old->references, 1, __ATOMIC_RELAXED);
			*OldContext = old->body;
		}
		sim_mutex_unlock(&open->contexts.lock);
		return STATUS_FLT_CONTEXT_ALREADY_DEFINED;
	}
	if (old) {
		RemoveEntryList(&old->link);
		old->home = NULL;
	}
	hang(&open->contexts, context, Instance);
	sim_mutex_unlock(&open->contexts.lock);
	if (old && OldContext)
		*OldContext = old->body; /* its reference goes over */
	else if (old)
		release(old);
	return STATUS_SUCCESS;
}

NTSTATUS FLTAPI FltGetStreamHandleContext(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PFLT_CONTEXT *Context)
{
	struct sim_open *open = sim_open_of(FileObject);
	struct sim_context *context;

	sim_level_at_most(APC_LEVEL, __func__);
	*Context = NULL;
	if (!open || !FileObject->FsContext)
		return STATUS_NOT_SUPPORTED;
	sim_mutex_lock(&open->contexts.lock);
	context = find(&open->contexts, Instance);
	if (context)
		__atomic_add_fetch(&context->references, 1, __ATOMIC_RELAXED);
	sim_mutex_unlock(&open->contexts.lock);
	if (!context)
		return STATUS_NOT_FOUND;
	*Context = context->body;
	return STATUS_SUCCESS;
}

void sim_contexts_drop(struct sim_contexts *contexts, PFLT_INSTANCE instance)
{
	struct sim_context *context;

	do {
		sim_mutex_lock(&contexts->lock);
		context = find(contexts, instance);
		if (context) {
			RemoveEntryList(&context->link);
			context->home = NULL;
		}
		sim_mutex_unlock(&contexts->lock);
		if (context)
			release(context);
	} while (context);
}

bool sim_contexts_any(struct sim_contexts *contexts, PFLT_INSTANCE instance)
{
	bool any;

	sim_mutex_lock(&contexts->lock);
	any = find(contexts, instance) != NULL;
	sim_mutex_unlock(&contexts->lock);
	return any;
}

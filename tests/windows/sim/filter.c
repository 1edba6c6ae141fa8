/*
 * Filters, their instances on volumes, and what must be balanced when one goes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define PATIENCE 30u           /* seconds that a teardown waits for operations a filter keeps */
#define TICK (10 * 10000)      /* 10 ms */

static LIST_ENTRY filters, volumes; /* under sim_big */
static LIST_ENTRY *registry(LIST_ENTRY *list)
{
	if (!list->Flink)
		InitializeListHead(list);
	return list;
}

const FLT_OPERATION_REGISTRATION *sim_filter_operation(PFLT_FILTER filter, UCHAR major)
{
	const FLT_OPERATION_REGISTRATION *operation = filter->copy.OperationRegistration;

	for (; operation && operation->MajorFunction != IRP_MJ_OPERATION_END; operation++)
		if (operation->MajorFunction == major)
			return operation;
	return NULL;
}

/* ---- operations under way ---- */

void sim_frames_take(struct sim_request *request, PFLT_INSTANCE below)
{
	bool passed = !below;

	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, &request->volume->instances) {
		PFLT_INSTANCE instance = CONTAINING_RECORD(entry, struct _FLT_INSTANCE, volume_link);

		if (!passed) {
			passed = instance == below;
			continue;
		}
		if (instance->torn_down || request->frame_count == SIM_FILTERS_MAX)
			continue;
		__atomic_add_fetch(&instance->under_way, 1, __ATOMIC_SEQ_CST);
		request->frames[request->frame_count++].instance = instance;
	}
	sim_mutex_unlock(&sim_big);
}

/* The filter has nothing more to do with the operation. */
void sim_frame_leave(struct sim_frame *frame)
{
	PFLT_INSTANCE instance = frame->instance;

	frame->instance = NULL;
	if (instance)
		__atomic_sub_fetch(&instance->under_way, 1, __ATOMIC_SEQ_CST);
}

/* ---- instances ---- */

static void objects_fill(FLT_RELATED_OBJECTS *objects, PFLT_INSTANCE instance)
{
	FLT_RELATED_OBJECTS filled = {
		.Size = sizeof(filled), .Filter = instance->filter, .Volume = (PFLT_VOLUME)instance->volume, .Instance = instance,
	};

	memcpy(objects, &filled, sizeof(filled)); /* its members are const */
}

static PFLT_INSTANCE instance_of(PFLT_FILTER filter, struct sim_volume *volume)
{
	SIM_EACH(entry, &filter->instances) {
		PFLT_INSTANCE instance = CONTAINING_RECORD(entry, struct _FLT_INSTANCE, filter_link);

		if (instance->volume == volume)
			return instance;
	}
	return NULL;
}

static void instance_release(PFLT_INSTANCE instance)
{
	if (!__atomic_sub_fetch(&instance->references, 1, __ATOMIC_SEQ_CST)) {
		instance->magic = 0;
		sim_host_free(instance);
	}
}

/* The new one is referenced for the caller. */
static NTSTATUS attach(PFLT_FILTER filter, struct sim_volume *volume, ULONG flags, PFLT_INSTANCE *ret_instance)
{
	PFLT_INSTANCE instance = sim_host_alloc(sizeof(*instance));
	FLT_RELATED_OBJECTS objects;
	NTSTATUS status = STATUS_SUCCESS;

	if (!instance)
		return STATUS_INSUFFICIENT_RESOURCES;
	instance->magic = SIM_INSTANCE_MAGIC;
	instance->filter = filter;
	instance->volume = volume;
	instance->references = 2; /* its own and the caller's */
	objects_fill(&objects, instance);
	if (filter->copy.InstanceSetupCallback)
		status = filter->copy.InstanceSetupCallback(&objects, flags, FILE_DEVICE_DISK_FILE_SYSTEM, FLT_FSTYPE_NTFS);
	sim_mutex_lock(&sim_big);
	if (NT_SUCCESS(status) && instance_of(filter, volume))
		status = STATUS_FLT_INSTANCE_NAME_COLLISION;
	if (NT_SUCCESS(status)) {
		InsertTailList(&filter->instances, &instance->filter_link);
		InsertTailList(&volume->instances, &instance->volume_link);
	}
	sim_mutex_unlock(&sim_big);
	if (!NT_SUCCESS(status)) {
		sim_host_free(instance);
		return status;
	}
	*ret_instance = instance;
	return STATUS_SUCCESS;
}

static void offer(PFLT_FILTER filter, struct sim_volume *volume, ULONG flags)
{
	PFLT_INSTANCE instance;

	if (NT_SUCCESS(attach(filter, volume, flags, &instance)))
		instance_release(instance);
}

void sim_filters_offer(struct sim_volume *volume)
{
	PFLT_FILTER found[SIM_FILTERS_MAX];
	ULONG count = 0;

	sim_mutex_lock(&sim_big);
	InsertTailList(registry(&volumes), &volume->link);
	SIM_EACH(entry, registry(&filters)) {
		PFLT_FILTER filter = CONTAINING_RECORD(entry, struct _FLT_FILTER, link);

		if (filter->started && count < SIM_FILTERS_MAX)
			found[count++] = filter;
	}
	sim_mutex_unlock(&sim_big);
	for (ULONG i = 0; i < count; i++)
		offer(found[i], volume, FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT | FLTFL_INSTANCE_SETUP_NEWLY_MOUNTED_VOLUME);
}

/* A notification that the volume holds, in which the filter has an interest; referenced. */
static struct sim_request *next_held(PFLT_INSTANCE instance, ULONG *ret_frame)
{
	struct sim_request *found = NULL;

	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, &instance->volume->opens) {
		struct sim_open *open = CONTAINING_RECORD(entry, struct sim_open, link);
		struct sim_request *request = open->watcher;

		for (ULONG i = 0; !found && request && i < request->frame_count; i++) {
			if (request->frames[i].instance == instance) {
				found = request;
				*ret_frame = i;
				__atomic_add_fetch(&found->references, 1, __ATOMIC_RELAXED);
			}
		}
	}
	sim_mutex_unlock(&sim_big);
	return found;
}

/* The volume goes on holding it; the filter's interest ends now. */
static void drain(PFLT_INSTANCE instance)
{
	struct sim_request *request;
	ULONG frame;

	while ((request = next_held(instance, &frame)) != NULL) {
		sim_request_drain(request, frame);
		sim_request_unref(request);
	}
}

static void wait_idle(PFLT_INSTANCE instance)
{
	KEVENT never;

	KeInitializeEvent(&never, NotificationEvent, FALSE);
	for (ULONG ticks = 0; __atomic_load_n(&instance->under_way, __ATOMIC_SEQ_CST); ticks++) {
		if (ticks > PATIENCE * 100) {
			sim_violate("an instance's teardown waits for operations that the filter keeps", NULL, (ULONG)instance->under_way);
			return;
		}
		sim_host_wait_for(&never, TICK);
	}
}

/* A file object with a context of the instance, referenced; NULL: none. *ret_closing: there are some that close just now. */
static struct sim_open *next_with_context(PFLT_INSTANCE instance, bool *ret_closing)
{
	struct sim_open *found = NULL;

	*ret_closing = false;
	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, &instance->volume->opens) {
		struct sim_open *open = CONTAINING_RECORD(entry, struct sim_open, link);

		if (found || !sim_contexts_any(&open->contexts, instance))
			continue;
		if (sim_host_object_try_ref(open))
			found = open;
		else
			*ret_closing = true;
	}
	sim_mutex_unlock(&sim_big);
	return found;
}

static void contexts_drop(PFLT_INSTANCE instance)
{
	struct sim_open *open;
	bool closing;
	KEVENT never;

	KeInitializeEvent(&never, NotificationEvent, FALSE);
	do {
		while ((open = next_with_context(instance, &closing)) != NULL) {
			sim_contexts_drop(&open->contexts, instance);
			sim_host_object_unref(open);
		}
		if (closing)
			sim_host_wait_for(&never, TICK);
	} while (closing);
}

static void teardown(PFLT_INSTANCE instance, ULONG reason)
{
	PFLT_FILTER filter = instance->filter;
	FLT_RELATED_OBJECTS objects;

	objects_fill(&objects, instance);
	if (filter->copy.InstanceTeardownStartCallback)
		filter->copy.InstanceTeardownStartCallback(&objects, reason);
	sim_mutex_lock(&sim_big);
	instance->torn_down = 1;
	sim_mutex_unlock(&sim_big);
	drain(instance);
	wait_idle(instance);
	contexts_drop(instance);
	if (filter->copy.InstanceTeardownCompleteCallback)
		filter->copy.InstanceTeardownCompleteCallback(&objects, reason);
	sim_mutex_lock(&sim_big);
	RemoveEntryList(&instance->filter_link);
	RemoveEntryList(&instance->volume_link);
	sim_mutex_unlock(&sim_big);
	instance_release(instance);
}

void sim_filters_withdraw(struct sim_volume *volume)
{
	while (!IsListEmpty(&volume->instances))
		teardown(CONTAINING_RECORD(volume->instances.Flink, struct _FLT_INSTANCE, volume_link), FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT);
	sim_mutex_lock(&sim_big);
	RemoveEntryList(&volume->link);
	InitializeListHead(&volume->link);
	sim_mutex_unlock(&sim_big);
}

NTSTATUS sim_volume_detach(struct sim_volume *volume)
{
	NTSTATUS status = STATUS_FLT_INSTANCE_NOT_FOUND;

	while (!IsListEmpty(&volume->instances)) {
		PFLT_INSTANCE instance = CONTAINING_RECORD(volume->instances.Flink, struct _FLT_INSTANCE, volume_link);
		FLT_RELATED_OBJECTS objects;

		objects_fill(&objects, instance);
		status = instance->filter->copy.InstanceQueryTeardownCallback ?
			instance->filter->copy.InstanceQueryTeardownCallback(&objects, 0) : STATUS_FLT_DO_NOT_DETACH;
		if (!NT_SUCCESS(status))
			break;
		teardown(instance, FLTFL_INSTANCE_TEARDOWN_MANUAL);
	}
	return status;
}

/* ---- filters ---- */

NTSTATUS FLTAPI FltRegisterFilter(PDRIVER_OBJECT Driver, CONST FLT_REGISTRATION *Registration, PFLT_FILTER *RetFilter)
{
	PFLT_FILTER filter;

	sim_once();
	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (Registration->Size != sizeof(*Registration) || Registration->Version != FLT_REGISTRATION_VERSION)
		return STATUS_INVALID_PARAMETER;
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	filter = sim_host_alloc(sizeof(*filter));
	if (!filter)
		return STATUS_INSUFFICIENT_RESOURCES;
	filter->magic = SIM_FILTER_MAGIC;
	filter->driver = Driver;
	filter->copy = *Registration;
	InitializeListHead(&filter->instances);
	sim_mutex_lock(&sim_big);
	InsertTailList(registry(&filters), &filter->link);
	sim_mutex_unlock(&sim_big);
	*RetFilter = filter;
	return STATUS_SUCCESS;
}

NTSTATUS FLTAPI FltStartFiltering(PFLT_FILTER Filter)
{
	struct sim_volume *found[8];
	ULONG count = 0;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	sim_mutex_lock(&sim_big);
	Filter->started = true;
	SIM_EACH(entry, registry(&volumes))
		if (count < RTL_NUMBER_OF(found))
			found[count++] = CONTAINING_RECORD(entry, struct sim_volume, link);
	sim_mutex_unlock(&sim_big);
	for (ULONG i = 0; i < count; i++)
		offer(Filter, found[i], FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT);
	return STATUS_SUCCESS;
}

VOID FLTAPI FltUnregisterFilter(PFLT_FILTER Filter)
{
	KEVENT never;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (Filter->magic != SIM_FILTER_MAGIC) {
		sim_violate("FltUnregisterFilter of what is no filter, or not any more", NULL, 0);
		return;
	}
	while (!IsListEmpty(&Filter->instances))
		teardown(CONTAINING_RECORD(Filter->instances.Flink, struct _FLT_INSTANCE, filter_link), FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD);
	KeInitializeEvent(&never, NotificationEvent, FALSE);
	for (ULONG ticks = 0; __atomic_load_n(&Filter->contexts, __ATOMIC_SEQ_CST) && ticks < 100; ticks++)
		sim_host_wait_for(&never, TICK); /* of file objects that close just now */
	if (Filter->contexts)
		sim_violate("contexts are not released at unload", NULL, (ULONG)Filter->contexts);
	if (Filter->names)
		sim_violate("name information is not released at unload", NULL, (ULONG)Filter->names);
	if (Filter->references)
		sim_violate("objects of the filter are referenced at unload", NULL, (ULONG)Filter->references);
	sim_mutex_lock(&sim_big);
	RemoveEntryList(&Filter->link);
	sim_mutex_unlock(&sim_big);
	Filter->magic = 0;
	sim_graves_empty();
	sim_host_free(Filter);
}

ULONG sim_filter_count(void)
{
	ULONG count = 0;

	sim_once();
	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, registry(&filters))
		count++;
	sim_mutex_unlock(&sim_big);
	return count;
}

static PFLT_FILTER filter_by_driver(PDRIVER_OBJECT driver)
{
	PFLT_FILTER found = NULL;

	sim_once();
	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, registry(&filters)) {
		PFLT_FILTER filter = CONTAINING_RECORD(entry, struct _FLT_FILTER, link);

		if (!found && (!driver || filter->driver == driver))
			found = filter;
	}
	sim_mutex_unlock(&sim_big);
	return found;
}

NTSTATUS sim_filter_unload(PDRIVER_OBJECT driver, bool force)
{
	PFLT_FILTER filter = filter_by_driver(driver);
	PDRIVER_OBJECT its;
	NTSTATUS status;

	if (!filter)
		return STATUS_FLT_FILTER_NOT_FOUND;
	if (!filter->copy.FilterUnloadCallback)
		return STATUS_FLT_DO_NOT_DETACH;
	its = filter->driver;
	status = filter->copy.FilterUnloadCallback(force ? FLTFL_FILTER_UNLOAD_MANDATORY : 0);
	if (!NT_SUCCESS(status) && !force)
		return status;
	if (filter_by_driver(its))
		sim_violate("unloaded without FltUnregisterFilter", NULL, 0);
	return STATUS_SUCCESS;
}

/* ---- volumes and references, for filters ---- */

NTSTATUS FLTAPI FltAttachVolume(PFLT_FILTER Filter, PFLT_VOLUME Volume, PCUNICODE_STRING InstanceName, PFLT_INSTANCE *RetInstance)
{
	PFLT_INSTANCE instance;
	NTSTATUS status;

	(void)InstanceName;
	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (sim_host_fails())
		return STATUS_INSUFFICIENT_RESOURCES;
	status = attach(Filter, (struct sim_volume *)Volume, FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT, &instance);
	if (!NT_SUCCESS(status))
		return status;
	if (!RetInstance) {
		instance_release(instance);
		return status;
	}
	__atomic_add_fetch(&Filter->references, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&instance->given, 1, __ATOMIC_SEQ_CST);
	*RetInstance = instance;
	return status;
}

NTSTATUS FLTAPI FltGetVolumeFromName(PFLT_FILTER Filter, PCUNICODE_STRING VolumeName, PFLT_VOLUME *RetVolume)
{
	NTSTATUS status = STATUS_FLT_VOLUME_NOT_FOUND;

	(void)Filter;
	sim_level_at_most(PASSIVE_LEVEL, __func__);
	sim_mutex_lock(&sim_big);
	SIM_EACH(entry, registry(&volumes)) {
		struct sim_volume *volume = CONTAINING_RECORD(entry, struct sim_volume, link);

		if (NT_SUCCESS(status) || !RtlEqualUnicodeString(&volume->device, VolumeName, TRUE))
			continue;
		__atomic_add_fetch(&volume->references, 1, __ATOMIC_SEQ_CST);
		*RetVolume = (PFLT_VOLUME)volume;
		status = STATUS_SUCCESS;
	}
	sim_mutex_unlock(&sim_big);
	return status;
}

NTSTATUS FLTAPI FltGetVolumeName(PFLT_VOLUME Volume, PUNICODE_STRING VolumeName, PULONG BufferSizeNeeded)
{
	struct sim_volume *volume = (struct sim_volume *)Volume;

	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (BufferSizeNeeded)
		*BufferSizeNeeded = volume->device.Length;
	if (!VolumeName)
		return STATUS_BUFFER_TOO_SMALL;
	if (VolumeName->MaximumLength < volume->device.Length)
		return STATUS_BUFFER_TOO_SMALL;
	memcpy(VolumeName->Buffer, volume->device.Buffer, volume->device.Length);
	VolumeName->Length = volume->device.Length;
	return STATUS_SUCCESS;
}

NTSTATUS FLTAPI FltGetVolumeProperties(PFLT_VOLUME Volume, PFLT_VOLUME_PROPERTIES VolumeProperties, ULONG VolumePropertiesLength,
	PULONG LengthReturned)
{
	struct sim_volume *volume = (struct sim_volume *)Volume;
	ULONG need = (ULONG)sizeof(*VolumeProperties) + volume->device.Length;
	FLT_VOLUME_PROPERTIES properties = { .DeviceType = FILE_DEVICE_DISK, .SectorSize = 512 };

	*LengthReturned = need;
	if (VolumePropertiesLength < sizeof(properties))
		return STATUS_BUFFER_TOO_SMALL;
	if (VolumePropertiesLength >= need) {
		PWSTR name = (PVOID)((PCHAR)VolumeProperties + sizeof(properties));

		memcpy(name, volume->device.Buffer, volume->device.Length);
		properties.RealDeviceName = (UNICODE_STRING){ volume->device.Length, volume->device.Length, name };
	}
	*VolumeProperties = properties;
	return VolumePropertiesLength >= need ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

VOID FLTAPI FltObjectDereference(PVOID FltObject)
{
	ULONGLONG magic = *(ULONGLONG *)FltObject;
	struct sim_volume *volume = FltObject;
	PFLT_INSTANCE instance = FltObject;

	sim_level_at_most(APC_LEVEL, __func__);
	if (magic == SIM_VOLUME_MAGIC) {
		if (__atomic_sub_fetch(&volume->references, 1, __ATOMIC_SEQ_CST) < 1)
			sim_violate("a volume's reference was released that nobody had", NULL, 0);
		return;
	}
	if (magic != SIM_INSTANCE_MAGIC) {
		sim_violate("FltObjectDereference of what is no object", NULL, magic);
		return;
	}
	if (__atomic_sub_fetch(&instance->given, 1, __ATOMIC_SEQ_CST) < 0) {
		sim_violate("an instance's reference was released that the filter did not have", NULL, 0);
		return;
	}
	__atomic_sub_fetch(&instance->filter->references, 1, __ATOMIC_SEQ_CST);
	instance_release(instance);
}

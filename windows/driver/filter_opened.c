/*
 * Post-create: what NTFS has opened becomes a remote file, overwritten if that was asked for; or the open is undone.
 * SPDX-License-Identifier: Apache-2.0
 *
 * All at PASSIVE_LEVEL, in the program's thread.
 */
#include "filter.h"

#include "control.h"
#include "filter_create.h"

static void refuse(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, NTSTATUS status)
{
	FltCancelFileOpen(objects->Instance, objects->FileObject);
	data->IoStatus.Status = status;
	data->IoStatus.Information = 0;
}

/* Whether it carries the mark: NTFS lists an attribute that was asked for by name with no value when there is none. */
static bool is_marked(PCFLT_RELATED_OBJECTS objects)
{
	static const char name[] = INLAY_MARK;
	struct {
		FILE_GET_EA_INFORMATION head;
		CHAR rest[sizeof(name)];
	} ask = {.head = {.EaNameLength = sizeof(name) - 1}};
	union {
		FILE_FULL_EA_INFORMATION head;
		UCHAR room[256];
	} got;
	ULONG length = 0;
	NTSTATUS status;

	RtlCopyMemory(ask.head.EaName, name, sizeof(name));
	RtlZeroMemory(&got, sizeof(got));
	status = FltQueryEaFile(objects->Instance, objects->FileObject, &got, sizeof(got), TRUE, &ask,
				(ULONG)FIELD_OFFSET(FILE_GET_EA_INFORMATION, EaName) + sizeof(name), NULL, TRUE, &length);
	if (status == STATUS_BUFFER_OVERFLOW || status == STATUS_BUFFER_TOO_SMALL)
		return true; /* it is there, and longer than we care for */
	return NT_SUCCESS(status) && got.head.EaValueLength;
}

/* A file without a redirector: only its data is kept from being taken for zeros. */
static void open_orphan(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects)
{
	struct inlay_file *file;
	NTSTATUS status;

	if (!is_marked(objects))
		return;
	file = inlay_file_new_orphan();
	if (!file) {
		refuse(data, objects, STATUS_INSUFFICIENT_RESOURCES);
		return;
	}
	file->stream = objects->FileObject->FsContext;
	status = FltSetStreamHandleContext(objects->Instance, objects->FileObject, FLT_SET_CONTEXT_KEEP_IF_EXISTS, file, NULL);
	if (!NT_SUCCESS(status))
		refuse(data, objects, status);
	inlay_file_unref(file);
}

static ULONG sector_size(PCFLT_RELATED_OBJECTS objects)
{
	union {
		FLT_VOLUME_PROPERTIES properties;
		UCHAR room[512];
	} p;
	ULONG length;
	NTSTATUS status;

	RtlZeroMemory(&p, sizeof(p));
	status = FltGetVolumeProperties(objects->Volume, &p.properties, sizeof(p), &length);
	if ((!NT_SUCCESS(status) && status != STATUS_BUFFER_OVERFLOW) || !p.properties.SectorSize)
		return 512;
	return p.properties.SectorSize;
}

static void set_attributes(PCFLT_RELATED_OBJECTS objects, ULONG attributes)
{
	FILE_BASIC_INFORMATION basic = {.FileAttributes = attributes};

	(void)FltSetInformationFile(objects->Instance, objects->FileObject, &basic, sizeof(basic), FileBasicInformation);
}

/* NTFS has checked rights and share modes by now. The server first: a failure leaves both as they were. */
static NTSTATUS overwrite(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file)
{
	PSECTION_OBJECT_POINTERS sections = objects->FileObject->SectionObjectPointer;
	ULONG attributes = file->attributes & (FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM);
	struct inlay_ring_attr attr = {.attributes = attributes | FILE_ATTRIBUTE_ARCHIVE};
	LARGE_INTEGER zero = {.QuadPart = 0};
	NTSTATUS status;

	if (sections && !MmCanFileBeTruncated(sections, &zero))
		return STATUS_USER_MAPPED_FILE;
	status = inlay_file_set(file, INLAY_RING_SET_SIZE | (attributes ? INLAY_RING_SET_ATTRIBUTES : 0u), &attr, data, NULL);
	if (!NT_SUCCESS(status))
		return status;
	if (attributes)
		set_attributes(objects, attr.attributes);
	return inlay_size_move(objects, 0);
}

static bool is_overwrite(const struct inlay_file *file)
{
	return !file->created &&
	       (file->disposition == FILE_SUPERSEDE || file->disposition == FILE_OVERWRITE || file->disposition == FILE_OVERWRITE_IF);
}

static ULONG_PTR information_of(const struct inlay_file *file)
{
	if (file->created)
		return FILE_CREATED;
	if (is_overwrite(file))
		return file->disposition == FILE_SUPERSEDE ? FILE_SUPERSEDED : FILE_OVERWRITTEN;
	return FILE_OPENED;
}

/* The file object is remote from here on. */
static NTSTATUS adopt(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file)
{
	NTSTATUS status = STATUS_SUCCESS;

	file->stream = objects->FileObject->FsContext;
	file->instance = objects->Instance;
	file->sector = sector_size(objects);
	if (is_overwrite(file))
		status = overwrite(data, objects, file);
	else if (file->created && (file->attributes & FILE_ATTRIBUTE_READONLY))
		set_attributes(objects, file->attributes); /* only now: a new file may be written by who makes it, read-only or not */
	else if (!file->created && inlay_is_mapped(objects->FileObject)) {
		/* Pages of views that are gone may be older than the server's data. */
		(void)inlay_pages_flush(objects->FileObject, NULL, 0);
		inlay_pages_purge(objects->FileObject, NULL, 0);
	}
	if (!NT_SUCCESS(status))
		return status;
	status = FltSetStreamHandleContext(objects->Instance, objects->FileObject, FLT_SET_CONTEXT_KEEP_IF_EXISTS, file, NULL);
	if (NT_SUCCESS(status)) {
		InterlockedIncrement(&file->directory->open_files);
		file->counted = true;
		if (information_of(file) != FILE_OPENED) /* else NTFS may have more to say */
			data->IoStatus.Information = information_of(file);
	}
	return status;
}

/* By file id: the name shows whether it is ours. */
static void opened_by_id(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects)
{
	struct inlay_open_how how = {.disposition = FILE_OPEN, .access = FILE_READ_ATTRIBUTES};
	struct inlay_ring_completion answer;
	struct inlay_place place;
	struct inlay_file *file;
	NTSTATUS status;

	status = inlay_place_of_create(data, true, &place);
	if (!NT_SUCCESS(status)) {
		open_orphan(data, objects);
		return;
	}
	if (!place.directory)
		return;
	if (!inlay_directory_live(place.directory)) {
		if (!inlay_control_is_redirector(FltGetRequestorProcessId(data)))
			open_orphan(data, objects);
	} else if (place.directory->process != FltGetRequestorProcessId(data)) {
		status = inlay_open_ask(data, &place, &how, &answer, &file);
		if (NT_SUCCESS(status)) {
			file->disposition = FILE_OPEN;
			if (answer.verdict == INLAY_RING_REMOTE)
				status = adopt(data, objects, file);
			inlay_file_unref(file);
		}
		if (!NT_SUCCESS(status))
			refuse(data, objects, status);
	}
	inlay_place_done(&place);
}

/* IRQL: PASSIVE_LEVEL */
INLAY_POST(inlay_post_create)
{
	bool opened = NT_SUCCESS(data->IoStatus.Status) && data->IoStatus.Status != STATUS_REPARSE;
	bool draining = (flags & FLTFL_POST_OPERATION_DRAINING) != 0;
	struct inlay_file *file = context;
	NTSTATUS status;

	if (context == inlay_context_orphan || context == inlay_context_by_id) {
		if (opened && !draining && context == inlay_context_orphan)
			open_orphan(data, objects);
		else if (opened && !draining)
			opened_by_id(data, objects);
		return FLT_POSTOP_FINISHED_PROCESSING;
	}
	if (opened && !draining) {
		status = adopt(data, objects, file);
		if (!NT_SUCCESS(status)) {
			refuse(data, objects, status);
			opened = false;
		}
	}
	if (!opened || draining)
		inlay_removal_end(file);
	inlay_file_unref(file);
	return FLT_POSTOP_FINISHED_PROCESSING;
}

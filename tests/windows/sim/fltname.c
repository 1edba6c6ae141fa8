/*
 * Name information for filters: counted, with the names as they stand on the volume.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define ALIVE 0x656d614e6f666e49ull
#define GRAVES 16u

struct name {
	ULONGLONG magic;
	PFLT_FILTER filter;
	FLT_FILE_NAME_INFORMATION info;
	WCHAR text[];
};

static volatile LONG alive;

ULONG sim_names_alive(void)
{
	return (ULONG)__atomic_load_n(&alive, __ATOMIC_SEQ_CST);
}

/* device + path; consumes nothing. */
static NTSTATUS give(PFLT_FILTER filter, struct sim_volume *volume, const UNICODE_STRING *path, FLT_FILE_NAME_OPTIONS options,
	PFLT_FILE_NAME_INFORMATION *ret_info)
{
	ULONG bytes = volume->device.Length + path->Length;
	struct name *name;

	if (bytes > MAXUSHORT - 2)
		return STATUS_NAME_TOO_LONG;
	name = sim_host_fails() ? NULL : sim_host_alloc(sizeof(*name) + bytes + sizeof(WCHAR));
	if (!name)
		return STATUS_INSUFFICIENT_RESOURCES;
	name->magic = ALIVE;
	name->filter = filter;
	memcpy(name->text, volume->device.Buffer, volume->device.Length);
	memcpy((PCHAR)name->text + volume->device.Length, path->Buffer, path->Length);
	name->info.Size = sizeof(name->info);
	name->info.Format = options & 0xff;
	name->info.Name = (UNICODE_STRING){ (USHORT)bytes, (USHORT)(bytes + sizeof(WCHAR)), name->text };
	name->info.Volume = (UNICODE_STRING){ volume->device.Length, volume->device.Length, name->text };
	__atomic_add_fetch(&filter->names, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
	*ret_info = &name->info;
	return STATUS_SUCCESS;
}

/* Kept for a while, so that a second release is noticed. */
static void bury(struct name *name)
{
	static struct name *graves[GRAVES];
	static volatile ULONG next;
	ULONG index = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % GRAVES;

	sim_host_free(__atomic_exchange_n(&graves[index], name, __ATOMIC_ACQ_REL));
}

VOID FLTAPI FltReleaseFileNameInformation(PFLT_FILE_NAME_INFORMATION Information)
{
	struct name *name = CONTAINING_RECORD(Information, struct name, info);

	sim_level_at_most(APC_LEVEL, __func__);
	if (name->magic != ALIVE) {
		sim_violate("name information is released that is none, or not any more", NULL, 0);
		return;
	}
	name->magic = 0;
	memset(name->text, 0xdd, name->info.Name.Length);
	__atomic_sub_fetch(&name->filter->names, 1, __ATOMIC_SEQ_CST);
	__atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST);
	bury(name);
}

static bool append(UNICODE_STRING *to, const void *bytes, ULONG length)
{
	if ((ULONG)to->Length + length > to->MaximumLength)
		return false;
	memcpy((PCHAR)to->Buffer + to->Length, bytes, length);
	to->Length = (USHORT)(to->Length + length);
	return true;
}

/* base's path, a backslash, the rest; allocated. */
static bool join(const struct sim_node *base, const UNICODE_STRING *rest, UNICODE_STRING *ret_path)
{
	static const WCHAR slash = '\\';
	UNICODE_STRING above;
	bool fine;

	if (!sim_node_path(base, &above))
		return false;
	ret_path->Length = 0;
	ret_path->MaximumLength = (USHORT)min(above.Length + rest->Length + 2u * (ULONG)sizeof(WCHAR), MAXUSHORT - 1u);
	ret_path->Buffer = sim_host_alloc(ret_path->MaximumLength);
	fine = ret_path->Buffer && append(ret_path, above.Buffer, base->parent ? above.Length : 0) &&
		(!rest->Length || rest->Buffer[0] == '\\' || append(ret_path, &slash, sizeof(slash))) && append(ret_path, rest->Buffer, rest->Length);
	if (fine && !ret_path->Length)
		fine = append(ret_path, &slash, sizeof(slash));
	sim_string_free(&above);
	if (!fine)
		sim_string_free(ret_path);
	return fine;
}

/* Names as they stand on the volume as far as they exist, the rest as it was given. Under sim_big. */
static NTSTATUS resolve(struct sim_node *start, const UNICODE_STRING *path, UNICODE_STRING *ret_path)
{
	UNICODE_STRING rest = *path, component, before;
	struct sim_node *node = start, *child;

	for (;;) {
		before = rest;
		if (!sim_path_next(&rest, &component) || !node->directory)
			break;
		child = sim_node_child(node, &component);
		if (!child)
			break;
		node = child;
	}
	while (before.Length && before.Buffer[0] == '\\') {
		before.Buffer++;
		before.Length = (USHORT)(before.Length - sizeof(WCHAR));
	}
	return join(node, &before, ret_path) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

static UNICODE_STRING parent_name(UNICODE_STRING name)
{
	while (name.Length && name.Buffer[name.Length / sizeof(WCHAR) - 1] != '\\')
		name.Length = (USHORT)(name.Length - sizeof(WCHAR));
	if (name.Length > sizeof(WCHAR))
		name.Length = (USHORT)(name.Length - sizeof(WCHAR));
	return name;
}

static NTSTATUS path_of(struct sim_request *request, FLT_FILE_NAME_OPTIONS options, UNICODE_STRING *ret_path)
{
	struct sim_open *open = request->open;
	PFILE_OBJECT related = open->object.RelatedFileObject;
	struct sim_node *start = related ? sim_open_of(related)->node : request->volume->root;
	UNICODE_STRING name = open->object.FileName;
	bool create = request->data->iopb.MajorFunction == IRP_MJ_CREATE || request->data->iopb.MajorFunction == IRP_MJ_NETWORK_QUERY_OPEN;

	if (open->node)
		return sim_node_path(open->node, ret_path) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
	if (!create)
		return STATUS_FLT_INVALID_NAME_REQUEST;
	if (open->options & FILE_OPEN_BY_FILE_ID)
		return STATUS_FLT_INVALID_NAME_REQUEST;
	if (request->data->iopb.OperationFlags & SL_OPEN_TARGET_DIRECTORY) /* the directory is what is opened */
		name = parent_name(name);
	if ((options & 0xff) == FLT_FILE_NAME_OPENED)
		return join(start, &name, ret_path) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
	return resolve(start, &name, ret_path);
}

NTSTATUS FLTAPI FltGetFileNameInformation(PFLT_CALLBACK_DATA CallbackData, FLT_FILE_NAME_OPTIONS NameOptions,
	PFLT_FILE_NAME_INFORMATION *Information)
{
	struct sim_request *request = sim_request_of(CallbackData, __func__);
	UNICODE_STRING path = { 0 };
	PFLT_FILTER filter;
	NTSTATUS status;

	*Information = NULL;
	sim_level_at_most(APC_LEVEL, __func__);
	if (!request || request->paging || CallbackData->Iopb->MajorFunction == IRP_MJ_CLOSE)
		return STATUS_FLT_INVALID_NAME_REQUEST;
	if ((NameOptions & 0xff) != FLT_FILE_NAME_NORMALIZED && (NameOptions & 0xff) != FLT_FILE_NAME_OPENED)
		return STATUS_INVALID_PARAMETER;
	filter = CallbackData->Iopb->TargetInstance->filter;
	sim_mutex_lock(&sim_big);
	status = path_of(request, NameOptions, &path);
	sim_mutex_unlock(&sim_big);
	if (!NT_SUCCESS(status))
		return status;
	status = give(filter, request->volume, &path, NameOptions, Information);
	sim_string_free(&path);
	return status;
}

NTSTATUS FLTAPI FltGetDestinationFileNameInformation(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, HANDLE RootDirectory, PWSTR FileName,
	ULONG FileNameLength, FLT_FILE_NAME_OPTIONS NameOptions, PFLT_FILE_NAME_INFORMATION *RetFileNameInformation)
{
	UNICODE_STRING name = { (USHORT)FileNameLength, (USHORT)FileNameLength, FileName }, path = { 0 };
	struct sim_open *open = sim_open_of(FileObject);
	struct sim_node *start;
	NTSTATUS status;

	*RetFileNameInformation = NULL;
	sim_level_at_most(PASSIVE_LEVEL, __func__);
	if (!open || !open->node || RootDirectory || FileNameLength > MAXUSHORT || !FileNameLength)
		return STATUS_INVALID_PARAMETER;
	sim_strip_device(open->volume, &name);
	sim_mutex_lock(&sim_big);
	start = name.Buffer[0] == '\\' ? open->volume->root : open->node->parent;
	status = start ? resolve(start, &name, &path) : STATUS_INVALID_PARAMETER;
	sim_mutex_unlock(&sim_big);
	if (!NT_SUCCESS(status))
		return status;
	status = give(Instance->filter, open->volume, &path, NameOptions, RetFileNameInformation);
	sim_string_free(&path);
	return status;
}

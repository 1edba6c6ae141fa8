/*
 * Names of creates and of renames, and the filter directory that they lie in.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

static bool has_tilde(const UNICODE_STRING *name)
{
	for (USHORT i = 0; i < name->Length / sizeof(WCHAR); i++)
		if (name->Buffer[i] == L'~')
			return true;
	return false;
}

/* Takes the name over: keeps it when it lies in a directory, else lets it go. */
static bool place(PFLT_FILE_NAME_INFORMATION info, struct inlay_place *ret)
{
	ret->directory = inlay_directories_find(&info->Name, &ret->rest, &ret->stream);
	if (!ret->directory) {
		FltReleaseFileNameInformation(info);
		return false;
	}
	ret->info = info;
	return true;
}

/*
 * The name as it was opened, first: a normalized one can't be had for a file whose parents are not there yet. With short names in
 * it, it may lie in a directory all the same. IRQL: PASSIVE_LEVEL
 */
NTSTATUS inlay_place_of_create(PFLT_CALLBACK_DATA data, bool post, struct inlay_place *ret)
{
	FLT_FILE_NAME_OPTIONS normal = FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_QUERY_DEFAULT;
	PFLT_FILE_NAME_INFORMATION info;
	NTSTATUS status;
	bool tilde;

	*ret = (struct inlay_place){0};
	status = FltGetFileNameInformation(data, post ? normal : FLT_FILE_NAME_OPENED | FLT_FILE_NAME_QUERY_DEFAULT, &info);
	if (!NT_SUCCESS(status))
		return status;
	tilde = !post && has_tilde(&info->Name);
	if (place(info, ret) || !tilde)
		return STATUS_SUCCESS;
	if (NT_SUCCESS(FltGetFileNameInformation(data, normal, &info)))
		(void)place(info, ret);
	return STATUS_SUCCESS;
}

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_place_of_target(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_place *ret)
{
	const FILE_RENAME_INFORMATION *in = data->Iopb->Parameters.SetFileInformation.InfoBuffer;
	ULONG length = data->Iopb->Parameters.SetFileInformation.Length;
	PFLT_FILE_NAME_INFORMATION info;
	NTSTATUS status;

	*ret = (struct inlay_place){0};
	if (length < FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName) || !in->FileNameLength || in->FileNameLength % sizeof(WCHAR) ||
	    in->FileNameLength > length - (ULONG)FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName))
		return STATUS_INVALID_PARAMETER;
	status = FltGetDestinationFileNameInformation(objects->Instance, objects->FileObject, in->RootDirectory,
						      (PWSTR)(uintptr_t)in->FileName, in->FileNameLength,
						      FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_QUERY_DEFAULT, &info);
	if (NT_SUCCESS(status))
		(void)place(info, ret);
	return status;
}

/* IRQL: PASSIVE_LEVEL */
void inlay_place_done(struct inlay_place *place)
{
	if (!place->directory)
		return;
	inlay_directory_unref(place->directory);
	FltReleaseFileNameInformation(place->info);
	place->directory = NULL;
}

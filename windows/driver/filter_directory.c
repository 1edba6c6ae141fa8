/*
 * Listings of remote directories: the redirector has the placeholders stand there, then NTFS lists them.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

#include "filter_create.h"
#include "memory.h"

static bool has_wildcards(const UNICODE_STRING *name)
{
	for (USHORT i = 0; i < name->Length / sizeof(WCHAR); i++) {
		WCHAR c = name->Buffer[i];

		if (c == L'*' || c == L'?' || c == L'<' || c == L'>' || c == L'"')
			return true;
	}
	return false;
}

/* Whether this call begins a listing; a handle lists once, until it is told to begin again. */
static bool begins(PFLT_CALLBACK_DATA data, struct inlay_file *file)
{
	LONG listed = InterlockedExchange(&file->listed, 1);

	return !listed || (data->Iopb->OperationFlags & SL_RESTART_SCAN);
}

/* Many programs list for one name only: then that one's placeholder is enough. False: it isn't known what the name is. */
static bool open_one(PFLT_CALLBACK_DATA data, const UNICODE_STRING *name)
{
	struct inlay_open_how how = {.disposition = FILE_OPEN, .access = FILE_READ_ATTRIBUTES};
	struct inlay_ring_completion answer;
	struct inlay_place place;
	struct inlay_file *file;
	UNICODE_STRING whole;
	ULONG length;

	if (!NT_SUCCESS(inlay_place_of_create(data, true, &place)) || !place.directory)
		return false;
	length = (ULONG)place.rest.Length + (ULONG)sizeof(WCHAR) + name->Length;
	whole = (UNICODE_STRING){.MaximumLength = (USHORT)length, .Buffer = length <= 0xfffe ? inlay_alloc(length) : NULL};
	if (whole.Buffer) {
		if (place.rest.Length) {
			RtlCopyMemory(whole.Buffer, place.rest.Buffer, place.rest.Length);
			whole.Buffer[place.rest.Length / sizeof(WCHAR)] = L'\\';
			whole.Length = place.rest.Length + (USHORT)sizeof(WCHAR);
		}
		RtlCopyMemory(whole.Buffer + whole.Length / sizeof(WCHAR), name->Buffer, name->Length);
		whole.Length += name->Length;
		place.rest = whole;
		if (NT_SUCCESS(inlay_open_ask(data, &place, &how, &answer, &file)))
			inlay_file_unref(file);
	}
	inlay_free(whole.Buffer);
	inlay_place_done(&place);
	return whole.Buffer != NULL;
}

/* STATUS_SUCCESS: NTFS may list. */
static NTSTATUS prepare(PFLT_CALLBACK_DATA data, struct inlay_file *file)
{
	const UNICODE_STRING *pattern = data->Iopb->Parameters.DirectoryControl.QueryDirectory.FileName;
	NTSTATUS status = inlay_file_state(file);

	if (!NT_SUCCESS(status))
		return status;
	if (pattern && pattern->Length && !has_wildcards(pattern) && open_one(data, pattern))
		return STATUS_SUCCESS;
	return inlay_file_ask(file, INLAY_RING_LIST, 0, data, NULL);
}

/* IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_directory)
{
	struct inlay_file *file;
	NTSTATUS status;

	(void)context;
	if (data->Iopb->MinorFunction != IRP_MN_QUERY_DIRECTORY)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	file = inlay_file_of(objects);
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (!file->directory || !begins(data, file)) {
		inlay_file_unref(file);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	status = prepare(data, file);
	if (!NT_SUCCESS(status))
		InterlockedExchange(&file->listed, 0);
	inlay_file_unref(file);
	return NT_SUCCESS(status) ? FLT_PREOP_SUCCESS_NO_CALLBACK : inlay_complete(data, status, 0);
}

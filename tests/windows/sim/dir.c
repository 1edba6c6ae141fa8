/*
 * Listings: seven classes, wildcards, restart. The position is the name given last, so that a listing goes on rightly while names come
 * and go, as NTFS's does.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

struct layout {
	ULONG class, name; /* where the name stands */
	bool sizes, ea, short_name;
	ULONG id; /* offset of the file id, or 0 */
};

static const struct layout layouts[] = {
	{ FileDirectoryInformation, offsetof(FILE_DIRECTORY_INFORMATION, FileName), true, false, false, 0 },
	{ FileFullDirectoryInformation, offsetof(FILE_FULL_DIR_INFORMATION, FileName), true, true, false, 0 },
	{ FileBothDirectoryInformation, offsetof(FILE_BOTH_DIR_INFORMATION, FileName), true, true, true, 0 },
	{ FileIdFullDirectoryInformation, offsetof(FILE_ID_FULL_DIR_INFORMATION, FileName), true, true, false,
		offsetof(FILE_ID_FULL_DIR_INFORMATION, FileId) },
	{ FileIdBothDirectoryInformation, offsetof(FILE_ID_BOTH_DIR_INFORMATION, FileName), true, true, true,
		offsetof(FILE_ID_BOTH_DIR_INFORMATION, FileId) },
	{ FileNamesInformation, offsetof(FILE_NAMES_INFORMATION, FileName), false, false, false, 0 },
};

struct writer {
	PUCHAR at;
	ULONG room, used;
	PUCHAR last;
	ULONG entries;
};

static void put_sizes(const struct layout *layout, const struct sim_node *node, PUCHAR entry)
{
	FILE_BOTH_DIR_INFORMATION *info = (PVOID)entry;

	info->CreationTime.QuadPart = node->created;
	info->LastAccessTime.QuadPart = node->accessed;
	info->LastWriteTime.QuadPart = node->written;
	info->ChangeTime.QuadPart = node->changed;
	info->EndOfFile.QuadPart = (LONGLONG)sim_node_size(node);
	info->AllocationSize.QuadPart = (LONGLONG)sim_node_allocation(node);
	info->FileAttributes = sim_node_attributes(node);
	if (layout->ea)
		info->EaSize = sim_ea_size(node);
	if (layout->short_name) {
		info->ShortNameLength = (CCHAR)(node->short_length * sizeof(WCHAR));
		memcpy(info->ShortName, node->short_name, node->short_length * sizeof(WCHAR));
	}
	if (layout->id)
		memcpy(entry + layout->id, &node->id, sizeof(node->id));
}

/* False: no room for it. */
static bool put_entry(struct writer *w, const struct layout *layout, const struct sim_node *node, const UNICODE_STRING *name)
{
	ULONG start = (w->used + 7) & ~7u, length = name->Length, distance;
	PUCHAR entry = w->at + start;

	if (start + layout->name + length > w->room)
		return false;
	memset(entry, 0, layout->name);
	if (layout->sizes) {
		put_sizes(layout, node, entry);
		memcpy(entry + offsetof(FILE_DIRECTORY_INFORMATION, FileNameLength), &length, sizeof(length));
	} else {
		memcpy(entry + offsetof(FILE_NAMES_INFORMATION, FileNameLength), &length, sizeof(length));
	}
	memcpy(entry + layout->name, name->Buffer, length);
	if (w->last) {
		distance = (ULONG)(entry - w->last);
		memcpy(w->last, &distance, sizeof(distance));
	}
	w->last = entry;
	w->used = start + layout->name + length;
	w->entries++;
	return true;
}

static bool wanted(const struct sim_open *open, const UNICODE_STRING *upper, const struct sim_node *node)
{
	UNICODE_STRING shorter;

	if (!open->pattern.Length || sim_name_matches(&open->pattern, upper))
		return true;
	if (!node)
		return false;
	shorter = (UNICODE_STRING){ .Buffer = (PWSTR)(ULONG_PTR)node->short_name, .Length = (USHORT)(node->short_length * sizeof(WCHAR)) };
	return shorter.Length && sim_name_matches(&open->pattern, &shorter);
}

/* "." and ".."; false: the buffer is full. */
static bool put_dots(struct sim_open *open, struct writer *w, const struct layout *layout, bool single)
{
	static WCHAR text[] = L"..";
	UNICODE_STRING dot = { .Buffer = text, .Length = sizeof(WCHAR) }, dots = { .Buffer = text, .Length = 2 * sizeof(WCHAR) };

	if (!open->node->parent)
		return true;
	if (!open->dot_done && wanted(open, &dot, NULL) && !put_entry(w, layout, open->node, &dot))
		return false;
	open->dot_done = true;
	if (single && w->entries)
		return true;
	if (!open->dots_done && wanted(open, &dots, NULL) && !put_entry(w, layout, open->node->parent, &dots))
		return false;
	open->dots_done = true;
	return true;
}

static NTSTATUS put_children(struct sim_open *open, struct writer *w, const struct layout *layout, bool single)
{
	struct sim_node *directory = open->node;
	bool equal = false;
	ULONG index = open->last.Length ? sim_node_search(directory, &open->last, &equal) + equal : 0;
	const struct sim_node *given = NULL;

	for (; index < directory->child_count && !(single && w->entries); index++) {
		const struct sim_node *child = directory->children[index];

		if (wanted(open, &child->upper, child) && !put_entry(w, layout, child, &child->name))
			break;
		given = child;
	}
	if (given) {
		sim_string_free(&open->last);
		if (!sim_string_copy(&open->last, &given->upper))
			return STATUS_INSUFFICIENT_RESOURCES;
	}
	return w->entries ? STATUS_SUCCESS : index < directory->child_count ? STATUS_BUFFER_OVERFLOW : STATUS_NO_MORE_FILES;
}

static NTSTATUS start_listing(struct sim_open *open, const UNICODE_STRING *pattern, bool restart)
{
	static const WCHAR everything[] = L"*";
	bool first = !open->listing;

	if (restart || first) {
		sim_string_free(&open->last);
		open->dot_done = open->dots_done = false;
	}
	if (pattern && pattern->Length && (first || restart)) {
		sim_string_free(&open->pattern);
		if (!sim_string_upper(&open->pattern, pattern))
			return STATUS_INSUFFICIENT_RESOURCES;
		if (open->pattern.Length == sizeof(WCHAR) && open->pattern.Buffer[0] == everything[0])
			open->pattern.Length = 0;
	}
	open->listing = true;
	return STATUS_SUCCESS;
}

static NTSTATUS list(struct sim_request *request, const struct layout *layout, struct writer *w)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	UCHAR flags = request->data->iopb.OperationFlags;
	struct sim_open *open = request->open;
	bool first = !open->listing || (flags & SL_RESTART_SCAN), single = (flags & SL_RETURN_SINGLE_ENTRY) != 0;
	NTSTATUS status;

	if (!open->node->directory)
		return STATUS_INVALID_PARAMETER;
	if (open->node->unlinked)
		return STATUS_DELETE_PENDING;
	status = start_listing(open, p->DirectoryControl.QueryDirectory.FileName, (flags & SL_RESTART_SCAN) != 0);
	if (!NT_SUCCESS(status))
		return status;
	if (!put_dots(open, w, layout, single))
		return w->entries ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
	if (single && w->entries)
		return STATUS_SUCCESS;
	status = put_children(open, w, layout, single);
	return status == STATUS_NO_MORE_FILES && first ? STATUS_NO_SUCH_FILE : status;
}

NTSTATUS sim_ntfs_directory(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	struct writer w = { .room = p->DirectoryControl.QueryDirectory.Length };
	ULONG class = (ULONG)p->DirectoryControl.QueryDirectory.FileInformationClass, i;
	NTSTATUS status;

	if (request->data->iopb.MinorFunction == IRP_MN_NOTIFY_CHANGE_DIRECTORY)
		return sim_ntfs_notify(request);
	for (i = 0; i < RTL_NUMBER_OF(layouts) && layouts[i].class != class; i++)
		;
	if (i == RTL_NUMBER_OF(layouts))
		return STATUS_INVALID_INFO_CLASS;
	w.at = sim_buffer_data(request);
	sim_mutex_lock(&sim_big);
	status = list(request, &layouts[i], &w);
	sim_mutex_unlock(&sim_big);
	request->data->data.IoStatus.Information = w.used;
	return status;
}

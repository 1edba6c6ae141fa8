/*
 * Extended attributes; names compare without case, as upper case.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

static UCHAR upper(CHAR c)
{
	return (UCHAR)(c >= 'a' && c <= 'z' ? c - 32 : c);
}

static struct sim_ea **ea_find(struct sim_node *node, const CHAR *name, ULONG length)
{
	struct sim_ea **link;
	ULONG i;

	for (link = &node->eas; *link; link = &(*link)->next) {
		if ((*link)->name_length != length)
			continue;
		for (i = 0; i < length && upper((*link)->text[i]) == upper(name[i]); i++)
			;
		if (i == length)
			break;
	}
	return link;
}

void sim_ea_free(struct sim_node *node)
{
	while (node->eas) {
		struct sim_ea *ea = node->eas;

		node->eas = ea->next;
		sim_host_free(ea);
	}
}

ULONG sim_ea_size(const struct sim_node *node)
{
	ULONG size = 0;

	for (const struct sim_ea *ea = node->eas; ea; ea = ea->next)
		size += (ULONG)offsetof(FILE_FULL_EA_INFORMATION, EaName) + ea->name_length + 1u + ea->value_length;
	return size;
}

static NTSTATUS apply_one(struct sim_node *node, const FILE_FULL_EA_INFORMATION *info)
{
	struct sim_ea **link = ea_find(node, info->EaName, info->EaNameLength), *ea = *link;
	ULONG length = info->EaNameLength + 1u + info->EaValueLength;

	if (!info->EaNameLength)
		return STATUS_INVALID_EA_NAME;
	if (ea) {
		*link = ea->next;
		sim_host_free(ea);
	}
	if (!info->EaValueLength)
		return STATUS_SUCCESS; /* that is how one is removed */
	ea = sim_host_alloc(sizeof(*ea) + length);
	if (!ea)
		return STATUS_INSUFFICIENT_RESOURCES;
	ea->flags = info->Flags;
	ea->name_length = info->EaNameLength;
	ea->value_length = info->EaValueLength;
	memcpy(ea->text, info->EaName, length);
	for (ULONG i = 0; i < ea->name_length; i++)
		ea->text[i] = (CHAR)upper(ea->text[i]);
	ea->next = node->eas;
	node->eas = ea;
	return STATUS_SUCCESS;
}

NTSTATUS sim_ea_apply(struct sim_node *node, const void *list, ULONG length)
{
	const UCHAR *at = list;
	NTSTATUS status = STATUS_SUCCESS;
	ULONG head = offsetof(FILE_FULL_EA_INFORMATION, EaName);

	while (NT_SUCCESS(status) && length) {
		const FILE_FULL_EA_INFORMATION *info = (const void *)at;

		if (length < head || length < head + info->EaNameLength + 1u + info->EaValueLength)
			return STATUS_EA_LIST_INCONSISTENT;
		status = apply_one(node, info);
		if (!info->NextEntryOffset)
			break;
		if (info->NextEntryOffset > length || info->NextEntryOffset % 4)
			return STATUS_EA_LIST_INCONSISTENT;
		at += info->NextEntryOffset;
		length -= info->NextEntryOffset;
	}
	node->changed = sim_host_time();
	return status;
}

/* Entries one after the other into a buffer. */
struct ea_writer {
	PUCHAR at;
	ULONG room, used;
	FILE_FULL_EA_INFORMATION *last;
};

static bool ea_write(struct ea_writer *w, const CHAR *name, ULONG name_length, const CHAR *value, ULONG value_length, UCHAR flags)
{
	ULONG start = (w->used + 3) & ~3u, need = (ULONG)offsetof(FILE_FULL_EA_INFORMATION, EaName) + name_length + 1 + value_length;
	FILE_FULL_EA_INFORMATION *info = (PVOID)(w->at + start);

	if (start + need > w->room)
		return false;
	info->NextEntryOffset = 0;
	info->Flags = flags;
	info->EaNameLength = (UCHAR)name_length;
	info->EaValueLength = (USHORT)value_length;
	memcpy(info->EaName, name, name_length);
	info->EaName[name_length] = 0;
	if (value_length)
		memcpy(info->EaName + name_length + 1, value, value_length);
	if (w->last)
		w->last->NextEntryOffset = (ULONG)((PUCHAR)info - (PUCHAR)w->last);
	w->last = info;
	w->used = start + need;
	return true;
}

static NTSTATUS query_listed(struct sim_node *node, const UCHAR *list, ULONG length, struct ea_writer *w)
{
	ULONG head = offsetof(FILE_GET_EA_INFORMATION, EaName);

	for (;;) {
		const FILE_GET_EA_INFORMATION *wanted = (const void *)list;
		struct sim_ea *ea;
		bool fits;

		if (length < head || length < head + wanted->EaNameLength)
			return STATUS_EA_LIST_INCONSISTENT;
		ea = *ea_find(node, wanted->EaName, wanted->EaNameLength);
		fits = ea ? ea_write(w, ea->text, ea->name_length, ea->text + ea->name_length + 1, ea->value_length, ea->flags) :
			ea_write(w, wanted->EaName, wanted->EaNameLength, "", 0, 0);
		if (!fits)
			return w->used ? STATUS_BUFFER_OVERFLOW : STATUS_BUFFER_TOO_SMALL;
		if (!wanted->NextEntryOffset)
			return STATUS_SUCCESS;
		if (wanted->NextEntryOffset > length)
			return STATUS_EA_LIST_INCONSISTENT;
		list += wanted->NextEntryOffset;
		length -= wanted->NextEntryOffset;
	}
}

static NTSTATUS query_next(struct sim_request *request, struct sim_node *node, struct ea_writer *w)
{
	struct sim_open *open = request->open;
	UCHAR flags = request->data->iopb.OperationFlags;
	ULONG index = 0;

	if (flags & SL_RESTART_SCAN)
		open->ea_next = 0;
	if (!node->eas)
		return STATUS_NO_EAS_ON_FILE;
	for (struct sim_ea *ea = node->eas; ea; ea = ea->next) {
		if (index++ < open->ea_next)
			continue;
		if (!ea_write(w, ea->text, ea->name_length, ea->text + ea->name_length + 1, ea->value_length, ea->flags))
			return w->used ? STATUS_BUFFER_OVERFLOW : STATUS_BUFFER_TOO_SMALL;
		open->ea_next = index;
		if (flags & SL_RETURN_SINGLE_ENTRY)
			break;
	}
	return w->used ? STATUS_SUCCESS : STATUS_NO_MORE_EAS;
}

NTSTATUS sim_ntfs_query_ea(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	struct ea_writer w = { .at = sim_buffer_data(request), .room = p->QueryEa.Length };
	NTSTATUS status;

	sim_mutex_lock(&sim_big);
	status = p->QueryEa.EaList ? query_listed(request->open->node, p->QueryEa.EaList, p->QueryEa.EaListLength, &w) :
		query_next(request, request->open->node, &w);
	sim_mutex_unlock(&sim_big);
	request->data->data.IoStatus.Information = w.used;
	return status;
}

NTSTATUS sim_ntfs_set_ea(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	LIST_ENTRY ready;
	NTSTATUS status;

	InitializeListHead(&ready);
	sim_mutex_lock(&sim_big);
	status = sim_ea_apply(request->open->node, sim_buffer_data(request), p->SetEa.Length);
	if (NT_SUCCESS(status))
		sim_notify_node(request->open->node, FILE_ACTION_MODIFIED, FILE_NOTIFY_CHANGE_EA, &ready);
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&ready);
	return status;
}

/*
 * Change notification: an open directory gathers events from its first request on; a request takes them, or waits.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define EVENTS_MAX 4096u /* bytes remembered between requests; more: the program lists again */

struct sim_event {
	LIST_ENTRY link;
	ULONG action, bytes;
	WCHAR name[]; /* from the watched directory */
};

static LIST_ENTRY watches; /* struct sim_open; under sim_big */

static void event_free(struct sim_event *event)
{
	RemoveEntryList(&event->link);
	sim_host_free(event);
}

static void events_drop(struct sim_open *open)
{
	while (open->watching && !IsListEmpty(&open->events))
		event_free(CONTAINING_RECORD(open->events.Flink, struct sim_event, link));
}

/* What is gathered goes to the request: STATUS_PENDING = nothing is. */
static NTSTATUS take_events(struct sim_open *open, struct sim_request *request)
{
	ULONG room = request->data->iopb.Parameters.DirectoryControl.NotifyDirectory.Length, used = 0, start;
	ULONG head = offsetof(FILE_NOTIFY_INFORMATION, FileName);
	PUCHAR buffer = sim_buffer_data(request);
	FILE_NOTIFY_INFORMATION *last = NULL;

	if (!open->watch_lost && IsListEmpty(&open->events))
		return STATUS_PENDING;
	SIM_EACH(entry, &open->events) {
		struct sim_event *event = CONTAINING_RECORD(entry, struct sim_event, link);
		FILE_NOTIFY_INFORMATION *info;

		start = (used + 3) & ~3u;
		if (open->watch_lost || start + head + event->bytes > room) {
			open->watch_lost = true;
			break;
		}
		info = (PVOID)(buffer + start);
		info->NextEntryOffset = 0;
		info->Action = event->action;
		info->FileNameLength = event->bytes;
		memcpy(info->FileName, event->name, event->bytes);
		if (last)
			last->NextEntryOffset = (ULONG)((PUCHAR)info - (PUCHAR)last);
		last = info;
		used = start + head + event->bytes;
	}
	events_drop(open);
	request->data->data.IoStatus.Information = open->watch_lost ? 0 : used;
	request->data->data.IoStatus.Status = open->watch_lost ? STATUS_NOTIFY_ENUM_DIR : STATUS_SUCCESS;
	open->watch_lost = false;
	return request->data->data.IoStatus.Status;
}

/* The waiting request, whose status is set, will be completed by sim_ready_complete. */
static void release(struct sim_open *open, LIST_ENTRY *ready)
{
	struct sim_request *request = open->watcher;

	open->watcher = NULL;
	request->held = false;
	InsertTailList(ready, &request->ready_link);
}

static void add_event(struct sim_open *open, const UNICODE_STRING *path, ULONG action)
{
	struct sim_event *event = sim_host_alloc(sizeof(*event) + path->Length);
	ULONG bytes = 0;

	SIM_EACH(entry, &open->events)
		bytes += (ULONG)sizeof(FILE_NOTIFY_INFORMATION) + CONTAINING_RECORD(entry, struct sim_event, link)->bytes;
	if (!event || bytes > EVENTS_MAX) {
		sim_host_free(event);
		open->watch_lost = true;
		return;
	}
	event->action = action;
	event->bytes = path->Length;
	memcpy(event->name, path->Buffer, path->Length);
	InsertTailList(&open->events, &event->link);
}

/* The name of parent\name as seen from `from`; false: not beneath it. */
static bool relative_path(const struct sim_node *from, const struct sim_node *parent, const UNICODE_STRING *name, UNICODE_STRING *ret_path)
{
	UNICODE_STRING above, whole, base;
	ULONG skip;
	bool fine;

	for (const struct sim_node *n = parent; n != from; n = n->parent)
		if (!n)
			return false;
	if (!sim_node_path(parent, &above))
		return false;
	fine = sim_node_path(from, &base);
	skip = fine && from->parent ? base.Length + (ULONG)sizeof(WCHAR) : sizeof(WCHAR);
	if (fine)
		sim_string_free(&base);
	whole = (UNICODE_STRING){ .Length = (USHORT)(above.Length + sizeof(WCHAR) + name->Length) };
	whole.Buffer = fine ? sim_host_alloc(whole.Length + 2 * sizeof(WCHAR)) : NULL;
	if (whole.Buffer) {
		ULONG units = parent->parent ? above.Length / (ULONG)sizeof(WCHAR) : 0;

		memcpy(whole.Buffer, above.Buffer, units * sizeof(WCHAR));
		whole.Buffer[units] = '\\';
		memcpy(whole.Buffer + units + 1, name->Buffer, name->Length);
		whole.Length = (USHORT)((units + 1) * sizeof(WCHAR) + name->Length - skip);
		memmove(whole.Buffer, (PCHAR)whole.Buffer + skip, whole.Length);
	}
	sim_string_free(&above);
	*ret_path = whole;
	return whole.Buffer != NULL;
}

void sim_notify_event(struct sim_node *parent, const UNICODE_STRING *name, ULONG action, ULONG filter, LIST_ENTRY *ready)
{
	if (!watches.Flink || !parent)
		return;
	SIM_EACH(entry, &watches) {
		struct sim_open *open = CONTAINING_RECORD(entry, struct sim_open, watch_link);
		UNICODE_STRING path;

		if (!(open->watch_filter & filter) || open->volume != parent->volume || (!open->watch_tree && open->node != parent))
			continue;
		if (!relative_path(open->node, parent, name, &path))
			continue;
		add_event(open, &path, action);
		sim_string_free(&path);
		if (open->watcher && take_events(open, open->watcher) != STATUS_PENDING)
			release(open, ready);
	}
}

void sim_notify_node(struct sim_node *node, ULONG action, ULONG filter, LIST_ENTRY *ready)
{
	sim_notify_event(node->unlinked ? NULL : node->parent, &node->name, action, filter, ready);
}

static NTSTATUS watch(struct sim_open *open, struct sim_request *request)
{
	NTSTATUS status;

	if (!watches.Flink)
		InitializeListHead(&watches);
	if (!open->node->directory)
		return STATUS_INVALID_PARAMETER;
	if (open->cleaned)
		return STATUS_NOTIFY_CLEANUP;
	if (!open->watching) {
		open->watching = true;
		open->watch_filter = request->data->iopb.Parameters.DirectoryControl.NotifyDirectory.CompletionFilter;
		open->watch_tree = (request->data->iopb.OperationFlags & SL_WATCH_TREE) != 0;
		InitializeListHead(&open->events);
		InsertTailList(&watches, &open->watch_link);
	}
	if (open->watcher)
		return STATUS_DEVICE_BUSY; /* one at a time is simulated */
	status = take_events(open, request);
	if (status != STATUS_PENDING)
		return status;
	if (__atomic_load_n(&request->cancelled, __ATOMIC_SEQ_CST))
		return STATUS_CANCELLED;
	open->watcher = request;
	request->held = true;
	return STATUS_PENDING;
}

NTSTATUS sim_ntfs_notify(struct sim_request *request)
{
	NTSTATUS status;

	sim_buffer_data(request);
	sim_mutex_lock(&sim_big);
	status = watch(request->open, request);
	sim_mutex_unlock(&sim_big);
	return status;
}

void sim_notify_cleanup(struct sim_open *open, LIST_ENTRY *ready)
{
	if (open->watcher) {
		open->watcher->data->data.IoStatus.Status = STATUS_NOTIFY_CLEANUP;
		open->watcher->data->data.IoStatus.Information = 0;
		release(open, ready);
	}
	if (open->watching) {
		events_drop(open);
		RemoveEntryList(&open->watch_link);
		open->watching = false;
	}
}

void sim_notify_done(struct sim_open *open)
{
	sim_string_free(&open->pattern);
	sim_string_free(&open->last);
}

void sim_notify_cancel(struct sim_request *request)
{
	LIST_ENTRY ready;

	InitializeListHead(&ready);
	sim_mutex_lock(&sim_big);
	if (request->held) {
		request->data->data.IoStatus.Status = STATUS_CANCELLED;
		request->data->data.IoStatus.Information = 0;
		release(request->open, &ready);
	}
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&ready);
}

void sim_ready_complete(LIST_ENTRY *ready)
{
	while (!IsListEmpty(ready)) {
		struct sim_request *request = CONTAINING_RECORD(RemoveHeadList(ready), struct sim_request, ready_link);

		sim_request_up(request, request->frame_count);
	}
}

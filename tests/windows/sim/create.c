/*
 * IRP_MJ_CREATE, CLEANUP and CLOSE as NTFS does them: names, dispositions, share modes, what a read-only file allows, deletion.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define SETTABLE (FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_ARCHIVE | \
	FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_OFFLINE | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED)
#define WRITES (FILE_WRITE_DATA | FILE_APPEND_DATA)
#define SHARED (FILE_READ_DATA | FILE_EXECUTE | FILE_WRITE_DATA | FILE_APPEND_DATA | DELETE)

/* One create as it goes. */
struct creation {
	struct sim_request *request;
	struct sim_open *open;
	struct sim_volume *volume;
	UNICODE_STRING path;
	struct sim_node *parent, *node;
	UNICODE_STRING last;
	ULONG disposition, options;
	ACCESS_MASK access;
	ULONG_PTR information;
	bool directory_named; /* a backslash behind the name */
	LIST_ENTRY *ready;
};

static void strip_stream(UNICODE_STRING *path)
{
	static const WCHAR data[] = L"::$DATA";
	ULONG units = path->Length / sizeof(WCHAR), own = RTL_NUMBER_OF(data) - 1;

	if (units > own && !memcmp(path->Buffer + units - own, data, own * sizeof(WCHAR)))
		path->Length = (USHORT)(path->Length - own * sizeof(WCHAR));
}

static NTSTATUS find_start(struct creation *c, struct sim_node **ret_start)
{
	PFILE_OBJECT related = c->open->object.RelatedFileObject;
	bool absolute = c->path.Length && c->path.Buffer[0] == '\\';

	*ret_start = c->volume->root;
	if (!related)
		return absolute ? STATUS_SUCCESS : STATUS_OBJECT_NAME_INVALID;
	if (absolute)
		return STATUS_INVALID_PARAMETER;
	*ret_start = sim_open_of(related)->node;
	return STATUS_SUCCESS;
}

static NTSTATUS find(struct creation *c)
{
	struct sim_node *start;
	NTSTATUS status;

	if (c->options & FILE_OPEN_BY_FILE_ID) {
		ULONGLONG id;

		if (c->path.Length != sizeof(id))
			return STATUS_INVALID_PARAMETER;
		memcpy(&id, c->path.Buffer, sizeof(id));
		c->node = sim_node_by_id(c->volume->root, id);
		return c->node ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
	}
	status = find_start(c, &start);
	if (!NT_SUCCESS(status))
		return status;
	strip_stream(&c->path);
	if (c->path.Length > sizeof(WCHAR) && c->path.Buffer[c->path.Length / sizeof(WCHAR) - 1] == '\\') {
		c->directory_named = true;
		c->path.Length = (USHORT)(c->path.Length - sizeof(WCHAR));
	}
	return sim_node_walk(start, &c->path, &c->parent, &c->last, &c->node);
}

static NTSTATUS share_check(struct sim_open *open, struct sim_node *node, ACCESS_MASK access, ULONG share)
{
	bool read = (access & (FILE_READ_DATA | FILE_EXECUTE)) != 0, write = (access & WRITES) != 0, remove = (access & DELETE) != 0;

	if (!(access & SHARED))
		return STATUS_SUCCESS;
	if ((read && node->shared_read < node->sharers) || (write && node->shared_write < node->sharers) ||
		(remove && node->shared_delete < node->sharers) || (node->readers && !(share & FILE_SHARE_READ)) ||
		(node->writers && !(share & FILE_SHARE_WRITE)) || (node->deleters && !(share & FILE_SHARE_DELETE)))
		return STATUS_SHARING_VIOLATION;
	node->sharers++;
	node->readers += read;
	node->writers += write;
	node->deleters += remove;
	node->shared_read += (share & FILE_SHARE_READ) != 0;
	node->shared_write += (share & FILE_SHARE_WRITE) != 0;
	node->shared_delete += (share & FILE_SHARE_DELETE) != 0;
	open->shares = true;
	open->granted_share = share;
	return STATUS_SUCCESS;
}

void sim_share_leave(struct sim_open *open)
{
	struct sim_node *node = open->node;

	if (!open->shares)
		return;
	open->shares = false;
	node->sharers--;
	node->readers -= (open->granted & (FILE_READ_DATA | FILE_EXECUTE)) != 0;
	node->writers -= (open->granted & WRITES) != 0;
	node->deleters -= (open->granted & DELETE) != 0;
	node->shared_read -= (open->granted_share & FILE_SHARE_READ) != 0;
	node->shared_write -= (open->granted_share & FILE_SHARE_WRITE) != 0;
	node->shared_delete -= (open->granted_share & FILE_SHARE_DELETE) != 0;
}

static void open_attach(struct creation *c, struct sim_node *node)
{
	PFILE_OBJECT object = &c->open->object;
	ULONG share = c->request->data->iopb.Parameters.Create.ShareAccess;

	sim_node_ref(node);
	node->handles++;
	c->open->node = node;
	c->open->granted = c->access;
	object->FsContext = node;
	object->FsContext2 = c->open;
	object->SectionObjectPointer = node->directory ? NULL : &node->pointers;
	object->ReadAccess = (c->access & (FILE_READ_DATA | FILE_EXECUTE)) != 0;
	object->WriteAccess = (c->access & WRITES) != 0;
	object->DeleteAccess = (c->access & DELETE) != 0;
	object->SharedRead = (share & FILE_SHARE_READ) != 0;
	object->SharedWrite = (share & FILE_SHARE_WRITE) != 0;
	object->SharedDelete = (share & FILE_SHARE_DELETE) != 0;
	c->open->delete_on_close = (c->options & FILE_DELETE_ON_CLOSE) != 0;
}

static NTSTATUS allowed(struct creation *c, const struct sim_node *node)
{
	bool overwrites = c->disposition == FILE_SUPERSEDE || c->disposition >= FILE_OVERWRITE;

	if (node->delete_pending)
		return STATUS_DELETE_PENDING;
	if ((c->options & FILE_DIRECTORY_FILE) && !node->directory)
		return c->disposition == FILE_CREATE ? STATUS_OBJECT_NAME_COLLISION : STATUS_NOT_A_DIRECTORY;
	if (c->directory_named && !node->directory)
		return STATUS_OBJECT_NAME_INVALID;
	if (c->disposition == FILE_CREATE)
		return STATUS_OBJECT_NAME_COLLISION;
	if (node->directory)
		return (c->options & FILE_NON_DIRECTORY_FILE) ? STATUS_FILE_IS_A_DIRECTORY :
			overwrites ? STATUS_OBJECT_NAME_COLLISION : STATUS_SUCCESS;
	if (overwrites && (node->attributes & ~(ULONG)c->request->data->iopb.Parameters.Create.FileAttributes &
		(FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM)))
		return STATUS_ACCESS_DENIED;
	if (!(node->attributes & FILE_ATTRIBUTE_READONLY))
		return STATUS_SUCCESS;
	if (c->options & FILE_DELETE_ON_CLOSE)
		return STATUS_CANNOT_DELETE;
	return overwrites || (c->access & WRITES) ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

static void grant_maximum(struct creation *c, const struct sim_node *node)
{
	if (!(c->access & MAXIMUM_ALLOWED))
		return;
	c->access = FILE_ALL_ACCESS;
	if (node && !node->directory && (node->attributes & FILE_ATTRIBUTE_READONLY))
		c->access &= ~(ACCESS_MASK)(WRITES | FILE_DELETE_CHILD);
}

static NTSTATUS overwrite(struct creation *c, struct sim_node *node)
{
	const FLT_PARAMETERS *p = &c->request->data->iopb.Parameters;
	NTSTATUS status = STATUS_SUCCESS;

	if (!sim_cache_may_truncate(node, 0))
		return STATUS_USER_MAPPED_FILE;
	if (p->Create.EaLength) {
		sim_ea_free(node);
		status = sim_ea_apply(node, p->Create.EaBuffer, p->Create.EaLength);
	}
	if (!NT_SUCCESS(status))
		return status;
	node->reserved = (ULONGLONG)p->Create.AllocationSize.QuadPart;
	sim_node_set_size(node, 0);
	if (c->disposition == FILE_SUPERSEDE)
		node->attributes = 0;
	node->attributes |= (p->Create.FileAttributes & SETTABLE) | FILE_ATTRIBUTE_ARCHIVE;
	node->written = node->changed = sim_host_time();
	sim_notify_node(node, FILE_ACTION_MODIFIED, FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE, c->ready);
	c->information = c->disposition == FILE_SUPERSEDE ? FILE_SUPERSEDED : FILE_OVERWRITTEN;
	return STATUS_SUCCESS;
}

static NTSTATUS open_existing(struct creation *c)
{
	struct sim_node *node = c->node;
	bool overwrites = c->disposition == FILE_SUPERSEDE || c->disposition >= FILE_OVERWRITE;
	NTSTATUS status = allowed(c, node);

	if (!NT_SUCCESS(status))
		return status;
	grant_maximum(c, node);
	/* the rights that overwriting takes count against the others' sharing, but are not granted */
	if (overwrites && (node->shared_write < node->sharers || (c->disposition == FILE_SUPERSEDE && node->shared_delete < node->sharers)))
		return STATUS_SHARING_VIOLATION;
	status = share_check(c->open, node, c->access, c->request->data->iopb.Parameters.Create.ShareAccess);
	if (!NT_SUCCESS(status))
		return status;
	c->information = FILE_OPENED;
	c->open->node = node; /* for leaving */
	if (overwrites)
		status = overwrite(c, node);
	if (!NT_SUCCESS(status)) {
		c->open->granted = c->access;
		sim_share_leave(c->open);
		c->open->node = NULL;
		return status;
	}
	open_attach(c, node);
	return STATUS_SUCCESS;
}

static NTSTATUS create_new(struct creation *c)
{
	const FLT_PARAMETERS *p = &c->request->data->iopb.Parameters;
	struct sim_node *node;
	NTSTATUS status;

	if (c->disposition == FILE_OPEN || c->disposition == FILE_OVERWRITE)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	if (c->parent->delete_pending || c->parent->unlinked)
		return STATUS_DELETE_PENDING;
	if (c->directory_named && !(c->options & FILE_DIRECTORY_FILE))
		return STATUS_OBJECT_NAME_INVALID;
	if ((p->Create.FileAttributes & FILE_ATTRIBUTE_READONLY) && (c->options & FILE_DELETE_ON_CLOSE))
		return STATUS_CANNOT_DELETE;
	node = sim_node_new(c->volume, &c->last, (c->options & FILE_DIRECTORY_FILE) != 0);
	if (!node)
		return STATUS_INSUFFICIENT_RESOURCES;
	node->attributes = (p->Create.FileAttributes & SETTABLE) | (node->directory ? 0 : FILE_ATTRIBUTE_ARCHIVE);
	node->reserved = node->directory ? 0 : (ULONGLONG)p->Create.AllocationSize.QuadPart;
	status = p->Create.EaLength ? sim_ea_apply(node, p->Create.EaBuffer, p->Create.EaLength) : STATUS_SUCCESS;
	if (NT_SUCCESS(status))
		status = sim_node_link(c->parent, node);
	if (NT_SUCCESS(status)) {
		grant_maximum(c, NULL);
		share_check(c->open, node, c->access, p->Create.ShareAccess);
		open_attach(c, node);
		c->information = FILE_CREATED;
		sim_notify_node(node, FILE_ACTION_ADDED, node->directory ? FILE_NOTIFY_CHANGE_DIR_NAME : FILE_NOTIFY_CHANGE_FILE_NAME,
			c->ready);
	}
	sim_node_unref(node);
	return status;
}

static NTSTATUS open_target_directory(struct creation *c, NTSTATUS found)
{
	NTSTATUS status;

	if (!c->parent)
		return STATUS_OBJECT_NAME_INVALID;
	if (c->parent->delete_pending)
		return STATUS_DELETE_PENDING;
	status = share_check(c->open, c->parent, c->access, c->request->data->iopb.Parameters.Create.ShareAccess);
	if (!NT_SUCCESS(status))
		return status;
	open_attach(c, c->parent);
	c->information = NT_SUCCESS(found) ? FILE_EXISTS : FILE_DOES_NOT_EXIST;
	return STATUS_SUCCESS;
}

static NTSTATUS create_locked(struct creation *c)
{
	NTSTATUS status = find(c);

	if (!NT_SUCCESS(status) && status != STATUS_OBJECT_NAME_NOT_FOUND)
		return status;
	if (c->request->data->iopb.OperationFlags & SL_OPEN_TARGET_DIRECTORY)
		return open_target_directory(c, status);
	return NT_SUCCESS(status) ? open_existing(c) : create_new(c);
}

NTSTATUS sim_ntfs_create(struct sim_request *request)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	LIST_ENTRY ready;
	struct creation c = {
		.request = request, .open = request->open, .volume = request->volume, .path = request->open->object.FileName,
		.disposition = p->Create.Options >> 24, .options = p->Create.Options & 0xffffff,
		.access = p->Create.SecurityContext->DesiredAccess, .information = FILE_DOES_NOT_EXIST, .ready = &ready,
	};
	NTSTATUS status;

	InitializeListHead(&ready);
	sim_mutex_lock(&sim_big);
	status = create_locked(&c);
	if (status == STATUS_OBJECT_NAME_COLLISION)
		c.information = FILE_EXISTS;
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&ready);
	request->data->data.IoStatus.Information = NT_SUCCESS(status) || status == STATUS_OBJECT_NAME_COLLISION ? c.information : 0;
	return status;
}

static void remove_now(struct sim_node *node, LIST_ENTRY *ready)
{
	ULONG filter = node->directory ? FILE_NOTIFY_CHANGE_DIR_NAME : FILE_NOTIFY_CHANGE_FILE_NAME;

	sim_notify_node(node, FILE_ACTION_REMOVED, filter, ready);
	sim_node_unlink(node);
}

static void cleanup_locked(struct sim_open *open, LIST_ENTRY *ready)
{
	struct sim_node *node = open->node;
	bool posix = open->posix_delete;

	if (open->delete_on_close && node->parent && !node->child_count)
		node->delete_pending = true;
	sim_notify_cleanup(open, ready);
	sim_range_drop(node, open);
	sim_share_leave(open);
	node->handles--;
	open->cleaned = true;
	if (node->delete_pending && !node->unlinked && (!node->handles || posix)) {
		remove_now(node, ready);
		if (!node->handles)
			sim_node_set_size(node, 0);
	}
}

/* The flags are read by filters without a lock, on Windows as here: the thread sanitizer need not know. */
__attribute__((no_sanitize("thread"), noinline)) static void mark_cleaned(PFILE_OBJECT object)
{
	object->Flags |= FO_CLEANUP_COMPLETE;
}

NTSTATUS sim_ntfs_cleanup(struct sim_request *request)
{
	LIST_ENTRY ready;

	InitializeListHead(&ready);
	sim_mutex_lock(&sim_big);
	cleanup_locked(request->open, &ready);
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&ready);
	sim_cache_uninitialise(request->open);
	mark_cleaned(&request->open->object);
	return STATUS_SUCCESS;
}

NTSTATUS sim_ntfs_close(struct sim_request *request)
{
	struct sim_open *open = request->open;

	sim_mutex_lock(&sim_big);
	if (!open->cleaned)
		sim_violate("IRP_MJ_CLOSE without IRP_MJ_CLEANUP", NULL, 0);
	sim_notify_done(open);
	sim_node_unref(open->node);
	open->node = NULL;
	sim_mutex_unlock(&sim_big);
	return STATUS_SUCCESS;
}

/*
 * Renames, classic and Ex: what NTFS allows while files are open, replaced targets.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define REPLACE 1u
#define POSIX 2u

struct renaming {
	struct sim_open *open;
	struct sim_node *node, *parent, *target;
	UNICODE_STRING last;
	bool replace, posix;
	LIST_ENTRY ready;
};

static bool open_beneath(const struct sim_node *directory)
{
	for (ULONG i = 0; i < directory->child_count; i++)
		if (directory->children[i]->handles || open_beneath(directory->children[i]))
			return true;
	return false;
}

static bool within(const struct sim_node *node, const struct sim_node *directory)
{
	for (; node; node = node->parent)
		if (node == directory)
			return true;
	return false;
}

/* Where the new name is: beneath ParentOfTarget, or for a bare name beside the old one. */
static NTSTATUS find_target(struct sim_request *request, struct renaming *r)
{
	const FLT_PARAMETERS *p = &request->data->iopb.Parameters;
	const FILE_RENAME_INFORMATION *info = sim_buffer_data(request);
	ULONG room = p->SetFileInformation.Length - (ULONG)offsetof(FILE_RENAME_INFORMATION, FileName);
	UNICODE_STRING name = { .Buffer = (PWSTR)(ULONG_PTR)info->FileName };
	struct sim_open *parent = p->SetFileInformation.ParentOfTarget ? sim_open_of(p->SetFileInformation.ParentOfTarget) : NULL;
	NTSTATUS status;

	if (info->FileNameLength > room || info->FileNameLength > MAXUSHORT || info->FileNameLength % 2)
		return STATUS_INVALID_PARAMETER;
	name.Length = name.MaximumLength = (USHORT)info->FileNameLength;
	if (parent) { /* only the last component counts */
		UNICODE_STRING component;

		while (sim_path_next(&name, &component))
			r->last = component;
		r->parent = parent->node;
	} else {
		r->last = name;
		r->parent = r->node->parent;
	}
	if (!r->parent || !r->parent->directory)
		return STATUS_OBJECT_PATH_NOT_FOUND;
	if (!sim_name_valid(&r->last))
		return STATUS_OBJECT_NAME_INVALID;
	status = sim_node_walk(r->parent, &r->last, &r->parent, &r->last, &r->target);
	if (status == STATUS_OBJECT_NAME_NOT_FOUND)
		r->target = NULL;
	return status == STATUS_OBJECT_NAME_NOT_FOUND ? STATUS_SUCCESS : status;
}

static NTSTATUS target_allows(const struct renaming *r)
{
	const struct sim_node *target = r->target;

	if (!target || target == r->node)
		return STATUS_SUCCESS;
	if (!r->replace)
		return STATUS_OBJECT_NAME_COLLISION;
	if (target->directory)
		return r->posix && r->node->directory && !target->child_count && !target->handles ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
	if (r->node->directory || (target->attributes & FILE_ATTRIBUTE_READONLY))
		return STATUS_ACCESS_DENIED;
	if (target->handles && (!r->posix || target->shared_delete < target->sharers))
		return STATUS_ACCESS_DENIED;
	return sim_cache_mapped(target) && !r->posix ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

static NTSTATUS source_allows(const struct renaming *r)
{
	if (!r->node->parent || r->node->unlinked)
		return STATUS_INVALID_PARAMETER;
	if (r->node->delete_pending || r->parent->delete_pending || r->parent->unlinked)
		return STATUS_ACCESS_DENIED;
	if (!r->node->directory)
		return STATUS_SUCCESS;
	if (within(r->parent, r->node))
		return STATUS_INVALID_PARAMETER;
	return open_beneath(r->node) ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

static NTSTATUS move(struct renaming *r)
{
	struct sim_node *node = r->node, *old_parent = node->parent;
	ULONG filter = node->directory ? FILE_NOTIFY_CHANGE_DIR_NAME : FILE_NOTIFY_CHANGE_FILE_NAME;
	UNICODE_STRING old = { 0 };
	NTSTATUS status;

	if (!sim_string_copy(&old, &node->name))
		return STATUS_INSUFFICIENT_RESOURCES;
	if (r->target && r->target != node) {
		sim_notify_node(r->target, FILE_ACTION_REMOVED, filter, &r->ready);
		r->target->delete_pending = true;
		sim_node_unlink(r->target);
	}
	sim_node_ref(node);
	sim_node_unlink(node);
	status = sim_node_rename(node, &r->last);
	if (NT_SUCCESS(status))
		status = sim_node_link(r->parent, node); /* room is there, or memory is short: then the file is lost, as nothing here fails so */
	sim_notify_event(old_parent, &old, old_parent == r->parent ? FILE_ACTION_RENAMED_OLD_NAME : FILE_ACTION_REMOVED, filter, &r->ready);
	sim_notify_event(r->parent, &r->last, old_parent == r->parent ? FILE_ACTION_RENAMED_NEW_NAME : FILE_ACTION_ADDED, filter, &r->ready);
	node->changed = sim_host_time();
	sim_node_unref(old_parent); /* the reference of its child */
	sim_node_unref(node);
	sim_string_free(&old);
	return status;
}

NTSTATUS sim_ntfs_rename(struct sim_request *request, ULONG class)
{
	struct renaming r = { .open = request->open, .node = request->open->node };
	ULONG flags = 0;
	NTSTATUS status;

	if (class == FileRenameInformation)
		flags = *(const UCHAR *)sim_buffer_data(request) ? REPLACE : 0;
	else
		memcpy(&flags, sim_buffer_data(request), sizeof(flags));
	if (class == FileRenameInformation && request->data->iopb.Parameters.SetFileInformation.ReplaceIfExists)
		flags |= REPLACE;
	r.replace = (flags & REPLACE) != 0;
	r.posix = (flags & POSIX) != 0;
	InitializeListHead(&r.ready);
	sim_mutex_lock(&sim_big);
	status = find_target(request, &r);
	if (NT_SUCCESS(status))
		status = source_allows(&r);
	if (NT_SUCCESS(status))
		status = target_allows(&r);
	if (NT_SUCCESS(status))
		status = move(&r);
	sim_mutex_unlock(&sim_big);
	sim_ready_complete(&r.ready);
	return status;
}

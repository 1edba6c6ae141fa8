/*
 * Files and directories of a volume: their place in the tree, their sizes. Everything under sim_big.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

struct sim_node *sim_node_new(struct sim_volume *volume, const UNICODE_STRING *name, bool directory)
{
	struct sim_node *node = sim_host_alloc(sizeof(*node));

	if (!node)
		return NULL;
	if (!sim_string_copy(&node->name, name) || !sim_string_upper(&node->upper, name)) {
		sim_string_free(&node->name);
		sim_host_free(node);
		return NULL;
	}
	node->header.NodeByteSize = sizeof(node->header);
	node->header.Flags = FSRTL_FLAG_ADVANCED_HEADER;
	node->header.Flags2 = FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS;
	node->header.Version = FSRTL_FCB_HEADER_V1;
	InitializeListHead(&node->header.FilterContexts);
	InitializeListHead(&node->locks);
	node->references = 1;
	node->volume = volume;
	node->directory = directory;
	node->id = volume->next_id++ | 0x0001000000000000ull;
	node->created = node->accessed = node->written = node->changed = sim_host_time();
	return node;
}

void sim_node_ref(struct sim_node *node)
{
	node->references++;
}

void sim_node_unref(struct sim_node *node)
{
	struct sim_node *parent = node->parent;

	if (--node->references)
		return;
	if (node->section || node->child_count)
		sim_violate("the simulation's own: a node ends in use", NULL, node->id);
	node->volume->used -= (ULONGLONG)node->data.count * SIM_PAGE;
	sim_pages_done(&node->data);
	sim_ea_free(node);
	sim_string_free(&node->name);
	sim_string_free(&node->upper);
	sim_host_free(node->children);
	sim_host_free(node);
	if (parent)
		sim_node_unref(parent);
}

ULONG sim_node_search(const struct sim_node *directory, const UNICODE_STRING *upper, bool *ret_equal)
{
	ULONG low = 0, high = directory->child_count;

	*ret_equal = false;
	while (low < high) {
		ULONG middle = low + (high - low) / 2;
		LONG order = sim_string_compare(&directory->children[middle]->upper, upper);

		if (!order) {
			*ret_equal = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct sim_node *child_by_short_name(struct sim_node *directory, const UNICODE_STRING *upper)
{
	for (ULONG i = 0; i < upper->Length / sizeof(WCHAR); i++) {
		if (upper->Buffer[i] != '~')
			continue;
		for (ULONG j = 0; j < directory->child_count; j++) {
			struct sim_node *child = directory->children[j];

			if (child->short_length * sizeof(WCHAR) == upper->Length && !memcmp(child->short_name, upper->Buffer, upper->Length))
				return child;
		}
		return NULL;
	}
	return NULL;
}

struct sim_node *sim_node_child(struct sim_node *directory, const UNICODE_STRING *name)
{
	UNICODE_STRING upper;
	struct sim_node *child;
	bool equal;
	ULONG index;

	if (!sim_string_upper(&upper, name))
		return NULL;
	index = sim_node_search(directory, &upper, &equal);
	child = equal ? directory->children[index] : child_by_short_name(directory, &upper);
	sim_string_free(&upper);
	return child;
}

static bool child_room(struct sim_node *directory)
{
	ULONG room = directory->child_room ? directory->child_room * 2 : 8;
	struct sim_node **children;

	if (directory->child_count < directory->child_room)
		return true;
	children = sim_host_alloc(room * sizeof(struct sim_node *));
	if (!children)
		return false;
	if (directory->child_count)
		memcpy(children, directory->children, directory->child_count * sizeof(struct sim_node *));
	sim_host_free(directory->children);
	directory->children = children;
	directory->child_room = room;
	return true;
}

NTSTATUS sim_node_link(struct sim_node *directory, struct sim_node *node)
{
	bool equal;
	ULONG index = sim_node_search(directory, &node->upper, &equal);

	if (equal)
		return STATUS_OBJECT_NAME_COLLISION;
	if (!child_room(directory))
		return STATUS_INSUFFICIENT_RESOURCES;
	memmove(directory->children + index + 1, directory->children + index,
		(directory->child_count - index) * sizeof(struct sim_node *));
	directory->children[index] = node;
	directory->child_count++;
	sim_node_ref(node);
	sim_node_ref(directory);
	node->parent = directory;
	node->unlinked = false;
	sim_name_shorten(directory, node);
	directory->written = directory->changed = sim_host_time();
	return STATUS_SUCCESS;
}

void sim_node_unlink(struct sim_node *node)
{
	struct sim_node *directory = node->parent;
	bool equal;
	ULONG index = sim_node_search(directory, &node->upper, &equal);

	if (!equal || directory->children[index] != node) {
		sim_violate("the simulation's own: a node is not where it should be", NULL, node->id);
		return;
	}
	directory->child_count--;
	memmove(directory->children + index, directory->children + index + 1,
		(directory->child_count - index) * sizeof(struct sim_node *));
	directory->written = directory->changed = sim_host_time();
	node->unlinked = true;
	/* node->parent stays, and keeps its reference: who has it open may ask for its name */
	sim_node_unref(node);
}

NTSTATUS sim_node_rename(struct sim_node *node, const UNICODE_STRING *name)
{
	UNICODE_STRING copy, upper;

	if (!sim_string_copy(&copy, name))
		return STATUS_INSUFFICIENT_RESOURCES;
	if (!sim_string_upper(&upper, name)) {
		sim_string_free(&copy);
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	sim_string_free(&node->name);
	sim_string_free(&node->upper);
	node->name = copy;
	node->upper = upper;
	return STATUS_SUCCESS;
}

ULONGLONG sim_node_size(const struct sim_node *node)
{
	return (ULONGLONG)__atomic_load_n(&node->header.FileSize.QuadPart, __ATOMIC_RELAXED);
}

/* The header is read by filters without a lock, as on Windows. */
void sim_node_set_size(struct sim_node *node, ULONGLONG size)
{
	ULONGLONG before = sim_node_size(node);
	ULONG pages = node->data.count;

	__atomic_store_n(&node->header.FileSize.QuadPart, (LONGLONG)size, __ATOMIC_RELAXED);
	__atomic_store_n(&node->header.ValidDataLength.QuadPart, (LONGLONG)size, __ATOMIC_RELAXED);
	if (size < before)
		sim_pages_zero(&node->data, size, ~0ull - size - SIM_PAGE);
	node->volume->used -= (ULONGLONG)(pages - node->data.count) * SIM_PAGE;
	if (size != before)
		sim_cache_truncate(node, size);
	__atomic_store_n(&node->header.AllocationSize.QuadPart, (LONGLONG)sim_node_allocation(node), __ATOMIC_RELAXED);
}

ULONGLONG sim_node_allocation(const struct sim_node *node)
{
	ULONGLONG size = sim_node_size(node), wanted = size > node->reserved ? size : node->reserved;

	if (node->directory)
		return 0;
	if (node->attributes & FILE_ATTRIBUTE_SPARSE_FILE)
		return (ULONGLONG)node->data.count * SIM_PAGE;
	return (wanted + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
}

ULONG sim_node_attributes(const struct sim_node *node)
{
	ULONG attributes = node->attributes | (node->directory ? FILE_ATTRIBUTE_DIRECTORY : 0);

	return attributes ? attributes : FILE_ATTRIBUTE_NORMAL;
}

bool sim_node_path(const struct sim_node *node, UNICODE_STRING *ret_path)
{
	ULONG bytes = 0;
	PCHAR at;

	for (const struct sim_node *n = node; n->parent; n = n->parent)
		bytes += n->name.Length + (ULONG)sizeof(WCHAR);
	if (!bytes)
		bytes = sizeof(WCHAR);
	memset(ret_path, 0, sizeof(*ret_path));
	if (bytes > MAXUSHORT - sizeof(WCHAR))
		return false;
	ret_path->Buffer = sim_host_alloc(bytes + sizeof(WCHAR));
	if (!ret_path->Buffer)
		return false;
	ret_path->Length = (USHORT)bytes;
	ret_path->MaximumLength = (USHORT)(bytes + sizeof(WCHAR));
	ret_path->Buffer[0] = '\\';
	at = (PCHAR)ret_path->Buffer + bytes;
	for (const struct sim_node *n = node; n->parent; n = n->parent) {
		at -= n->name.Length;
		memcpy(at, n->name.Buffer, n->name.Length);
		at -= sizeof(WCHAR);
		*(PWCHAR)(PVOID)at = '\\';
	}
	return true;
}

struct sim_node *sim_node_by_id(struct sim_node *below, ULONGLONG id)
{
	if (below->id == id)
		return below;
	for (ULONG i = 0; i < below->child_count; i++) {
		struct sim_node *found = sim_node_by_id(below->children[i], id);

		if (found)
			return found;
	}
	return NULL;
}

NTSTATUS sim_node_walk(struct sim_node *directory, const UNICODE_STRING *path, struct sim_node **ret_parent, UNICODE_STRING *ret_last,
	struct sim_node **ret_node)
{
	UNICODE_STRING rest = *path, component, later;
	struct sim_node *node = directory, *child;

	*ret_parent = NULL;
	memset(ret_last, 0, sizeof(*ret_last));
	while (sim_path_next(&rest, &component)) {
		later = rest;
		if (!node->directory)
			return STATUS_OBJECT_PATH_NOT_FOUND;
		if (!sim_name_valid(&component))
			return STATUS_OBJECT_NAME_INVALID;
		child = sim_node_child(node, &component);
		if (!child && sim_path_next(&later, ret_last))
			return STATUS_OBJECT_PATH_NOT_FOUND;
		*ret_parent = node;
		*ret_last = component;
		if (!child)
			return STATUS_OBJECT_NAME_NOT_FOUND;
		node = child;
	}
	*ret_node = node;
	return STATUS_SUCCESS;
}

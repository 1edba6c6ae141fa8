/*
 * Volumes: their birth and end, what is open.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

struct sim_mutex sim_big;

void sim_once(void)
{
	static volatile LONG begun; /* 1: somebody does it, 2: done */
	LONG expected = 0;

	if (__atomic_compare_exchange_n(&begun, &expected, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		sim_mutex_init(&sim_big);
		__atomic_store_n(&begun, 2, __ATOMIC_SEQ_CST);
	}
	while (__atomic_load_n(&begun, __ATOMIC_SEQ_CST) != 2)
		sim_host_point();
}

struct sim_volume *sim_volume_new(const WCHAR *device)
{
	struct sim_volume *volume = sim_host_alloc(sizeof(*volume));
	UNICODE_STRING name, empty = { 0 };

	sim_once();
	if (!volume)
		return NULL;
	RtlInitUnicodeString(&name, device);
	InitializeListHead(&volume->instances);
	InitializeListHead(&volume->opens);
	InitializeListHead(&volume->nodes);
	volume->magic = SIM_VOLUME_MAGIC;
	volume->references = 1;
	volume->next_id = 5; /* the root's, as on NTFS */
	volume->room = 1ull << 30;
	volume->root = sim_node_new(volume, &empty, true);
	if (!volume->root || !sim_string_copy(&volume->device, &name)) {
		if (volume->root)
			sim_node_unref(volume->root);
		sim_host_free(volume);
		return NULL;
	}
	volume->root->attributes = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM;
	sim_filters_offer(volume);
	return volume;
}

/* Unused files: nothing is open any more. */
static void tree_free(struct sim_node *node)
{
	while (node->child_count) {
		struct sim_node *child = node->children[node->child_count - 1];

		tree_free(child);
		sim_node_unlink(child);
	}
}

void sim_volume_dismount(struct sim_volume *volume)
{
	__atomic_store_n(&volume->dismounted, 1, __ATOMIC_SEQ_CST);
	sim_filters_withdraw(volume);
}

bool sim_volume_free(struct sim_volume *volume)
{
	sim_lazy_write(volume);
	if (sim_volume_open_count(volume))
		return false;
	sim_filters_withdraw(volume);
	sim_mutex_lock(&sim_big);
	tree_free(volume->root);
	sim_node_unref(volume->root);
	sim_mutex_unlock(&sim_big);
	if (volume->used)
		sim_violate("the simulation's own: bytes in use are miscounted", NULL, volume->used);
	if (__atomic_load_n(&volume->references, __ATOMIC_ACQUIRE) != 1)
		sim_violate("a filter still references a volume", NULL, (ULONGLONG)volume->references);
	volume->magic = 0;
	sim_string_free(&volume->device);
	sim_host_free(volume);
	sim_graves_empty();
	return true;
}

ULONG sim_volume_open_count(struct sim_volume *volume)
{
	ULONG count = 0;

	sim_mutex_lock(&sim_big);
	for (LIST_ENTRY *entry = volume->opens.Flink; entry != &volume->opens; entry = entry->Flink)
		count++;
	sim_mutex_unlock(&sim_big);
	return count;
}

void sim_volume_set_room(struct sim_volume *volume, ULONGLONG bytes)
{
	sim_mutex_lock(&sim_big);
	volume->room = bytes;
	sim_mutex_unlock(&sim_big);
}

/*
 * Directories of the in-memory store. Each entry keeps one cookie for its life, and cookies only grow: a listing that
 * goes on after a cookie neither repeats nor misses what stood there all the time.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t name_hash(struct inlay_str name)
{
	static const struct inlay_hash_key key = {{0x2d656d616e2d7272, 0x6d656d2d65646f6e}};

	return inlay_siphash(&key, name.p, name.len);
}

struct memory_entry *memory_dir_find(const struct memory_inode *dir, struct inlay_str name)
{
	struct inlay_map_link *l = inlay_map_find(&dir->dir.names, name_hash(name));

	for (; l; l = inlay_map_find_next(l)) {
		struct memory_entry *e = inlay_container(l, struct memory_entry, link);

		if (e->len == name.len && memcmp(e->name, name.p, name.len) == 0)
			return e;
	}
	return NULL;
}

static void squeeze(struct memory_dir *d)
{
	size_t to = 0;

	for (size_t i = 0; i < d->count; i++)
		if (d->slots[i].entry)
			d->slots[to++] = d->slots[i];
	d->count = to;
}

static int make_place(struct memory_dir *d)
{
	size_t cap = d->cap ? 2 * d->cap : 8;
	struct memory_slot *slots;

	if (d->count < d->cap)
		return 0;
	if (d->names.count < d->count / 2) {
		squeeze(d);
		return 0;
	}
	slots = realloc(d->slots, cap * sizeof(*slots));
	if (!slots)
		return -INLAY_ENOMEM;
	d->slots = slots;
	d->cap = cap;
	return 0;
}

int memory_dir_add(struct memory_inode *dir, struct inlay_str name, struct memory_inode *inode, uint64_t cookie)
{
	struct memory_dir *d = &dir->dir;
	struct memory_entry *e;

	if (make_place(d) < 0)
		return -INLAY_ENOMEM;
	e = malloc(sizeof(*e) + name.len);
	if (!e)
		return -INLAY_ENOMEM;
	e->cookie = cookie ? cookie : d->next_cookie++;
	e->inode = inode;
	e->len = name.len;
	memcpy(e->name, name.p, name.len);
	d->slots[d->count++] = (struct memory_slot){e->cookie, e};
	inlay_map_add(&d->names, &e->link, name_hash(name));
	return 0;
}

size_t memory_dir_after(const struct memory_inode *dir, uint64_t cookie)
{
	size_t low = 0, high = dir->dir.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (dir->dir.slots[mid].cookie <= cookie)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void memory_dir_remove(struct memory_inode *dir, struct memory_entry *entry)
{
	dir->dir.slots[memory_dir_after(dir, entry->cookie) - 1].entry = NULL;
	inlay_map_remove(&dir->dir.names, &entry->link);
	free(entry);
}

void memory_dir_clear(struct memory_inode *dir)
{
	struct memory_dir *d = &dir->dir;

	for (size_t i = 0; i < d->count; i++)
		if (d->slots[i].entry)
			memory_dir_remove(dir, d->slots[i].entry);
	d->count = 0;
}

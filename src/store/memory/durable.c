/*
 * What the in-memory store's imaginary disk holds: a snapshot per file and per directory, taken by commit; and the
 * crash that goes back to it. Stricter than most file systems: committing a file does not commit its name.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void memory_state_done(struct memory_state *state, struct memory_room *room)
{
	memory_data_done(&state->data, room);
	memory_xattrs_free(state->xattrs);
	state->xattrs = NULL;
}

/* *ret is overwritten. */
static int state_copy(const struct memory_state *state, struct memory_state *ret)
{
	struct memory_state copy = {.attr = state->attr};
	int r = memory_data_copy(&state->data, &copy.data);

	if (r == 0)
		r = memory_xattrs_copy(state->xattrs, &copy.xattrs);
	if (r < 0)
		memory_state_done(&copy, NULL);
	else
		*ret = copy;
	return r;
}

static int commit_state(struct memory_inode *inode, bool data_only)
{
	struct memory_state copy;
	int r = 0;

	if (data_only) {
		struct memory_data data;

		r = memory_data_copy(&inode->live.data, &data);
		if (r < 0)
			return r;
		memory_data_done(&inode->durable.data, NULL);
		inode->durable.data = data;
		inode->durable.attr.size = inode->live.attr.size;
		return 0;
	}
	r = state_copy(&inode->live, &copy);
	if (r < 0)
		return r;
	memory_state_done(&inode->durable, NULL);
	inode->durable = copy;
	return 0;
}

void memory_kept_drop(struct memory_inode *dir, bool counted)
{
	struct inlay_list *dead = &memory_owner(dir)->dead;

	for (size_t i = 0; i < dir->kept_count; i++) {
		struct memory_inode *child = dir->kept[i]->inode;

		free(dir->kept[i]);
		/* When the whole store is being freed, the child may be gone already. */
		if (!counted || --child->durable_links || child->refs || child->live.attr.nlink)
			continue;
		inlay_list_remove(&child->all);
		inlay_list_append(dead, &child->all);
	}
	free(dir->kept);
	dir->kept = NULL;
	dir->kept_count = 0;
}

static int kept_copy(const struct memory_inode *dir, struct memory_entry ***ret)
{
	const struct memory_dir *d = &dir->dir;
	struct memory_entry **kept = calloc(d->names.count + 1, sizeof(*kept));
	size_t n = 0;

	for (size_t i = 0; kept && i < d->count; i++) {
		const struct memory_entry *e = d->slots[i].entry;

		if (!e)
			continue;
		kept[n] = malloc(sizeof(*e) + e->len);
		if (!kept[n]) {
			while (n)
				free(kept[--n]);
			free(kept);
			return -INLAY_ENOMEM;
		}
		memcpy(kept[n++], e, sizeof(*e) + e->len);
	}
	if (!kept)
		return -INLAY_ENOMEM;
	*ret = kept;
	return 0;
}

static int commit_entries(struct memory_inode *dir)
{
	struct memory_entry **kept;
	int r = kept_copy(dir, &kept);

	if (r < 0)
		return r;
	for (size_t i = 0; i < dir->dir.names.count; i++)
		kept[i]->inode->durable_links++;
	memory_kept_drop(dir, true);
	dir->kept = kept;
	dir->kept_count = dir->dir.names.count;
	return 0;
}

static int commit_one(struct memory_inode *inode, uint32_t flags)
{
	int r = commit_state(inode, flags & INLAY_COMMIT_DATA_ONLY);

	return r == 0 && memory_is(inode, MEMORY_S_IFDIR) ? commit_entries(inode) : r;
}

int memory_commit(struct memory_inode *inode, uint32_t flags)
{
	int r = commit_one(inode, flags);

	while (r == 0 && !inlay_list_empty(&inode->ties)) {
		struct memory_inode *other = inlay_container(inode->ties.next, struct memory_inode, ties);

		r = commit_one(other, flags);
		if (r == 0)
			inlay_list_remove(&other->ties);
	}
	memory_bury(memory_owner(inode));
	return r;
}

void memory_tie(struct memory_inode *a, struct memory_inode *b)
{
	struct inlay_list *x = &a->ties, *y = &b->ties;

	if (a == b)
		return;
	inlay_list_each (it, x)
		if (it == y)
			return;
	/* Two rings become one by crossing their links. */
	x->next->prev = y->prev;
	y->prev->next = x->next;
	x->next = y;
	y->prev = x;
}

int memory_op_syncfs(struct inlay_store *store)
{
	struct memory_store *s = memory_store(store);
	MEMORY_LOCKED(store);
	int r = memory_fault(s, MEMORY_OP_syncfs);

	/* What dies moves to the list of the dead; never the one in hand, as no directory names itself. */
	inlay_list_each (it, &s->all) {
		struct memory_inode *inode = inlay_container(it, struct memory_inode, all);

		if (r == 0)
			r = commit_one(inode, 0);
		if (r == 0)
			inlay_list_remove(&inode->ties);
	}
	memory_bury(s);
	return r;
}

static struct memory_inode *next_to_walk(struct inlay_list *walk)
{
	struct inlay_list *it = inlay_list_pop(walk);

	return it ? inlay_container(it, struct memory_inode, walk) : NULL;
}

/* Makes the live entries of a reachable directory from the durable ones; finds its children. */
static void restore_entries(struct memory_inode *dir, struct inlay_list *walk)
{
	for (size_t i = 0; i < dir->kept_count; i++) {
		const struct memory_entry *e = dir->kept[i];
		struct memory_inode *child = e->inode;
		int r = memory_dir_add(dir, (struct inlay_str){e->name, e->len}, child, e->cookie);

		assert(r == 0); /* a test's crash has nobody to tell */
		(void)r;
		child->live.attr.nlink++;
		if (!memory_is(child, MEMORY_S_IFDIR))
			continue;
		assert(child->live.attr.nlink == 1); /* ties keep a moved directory in one place */
		child->live.attr.nlink = 2;
		dir->live.attr.nlink++;
		child->parent = dir;
		inlay_list_append(walk, &child->walk);
	}
}

static void forget_live(struct memory_inode *inode)
{
	struct memory_store *s = memory_owner(inode);
	int r;

	if (inode->gone)
		s->files++;
	inode->gone = false;
	memory_state_done(&inode->live, &s->room);
	r = state_copy(&inode->durable, &inode->live);
	assert(r == 0);
	(void)r;
	s->room.used += inode->live.data.count;
	inode->live.attr.change = ++s->changes;
	inode->live.attr.nlink = 0;
	inode->linkable = false;
	inode->parent = inode == s->root ? inode : NULL;
	inlay_list_remove(&inode->ties);
	memory_dir_clear(inode);
}

void inlay_memory_crash(struct inlay_store *store)
{
	struct memory_store *s = memory_store(store);
	struct inlay_list walk;
	struct memory_inode *dir;
	MEMORY_LOCKED(store);

	inlay_list_init(&walk);
	inlay_list_each (it, &s->all)
		forget_live(inlay_container(it, struct memory_inode, all));
	s->root->live.attr.nlink = 2;
	inlay_list_append(&walk, &s->root->walk);
	while ((dir = next_to_walk(&walk)))
		restore_entries(dir, &walk);
	/* Directories that no durable name leads to: their entries go first, so that nothing dies twice. */
	inlay_list_each (it, &s->all) {
		struct memory_inode *inode = inlay_container(it, struct memory_inode, all);

		if (inode->live.attr.nlink)
			continue;
		for (size_t i = 0; i < inode->kept_count; i++) {
			inode->kept[i]->inode->durable_links--;
			free(inode->kept[i]);
		}
		inode->kept_count = 0;
	}
	inlay_list_each_safe (it, tmp, &s->all)
		memory_reap(inlay_container(it, struct memory_inode, all));
}

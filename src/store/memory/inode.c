/*
 * Inodes of the in-memory store: birth, search, death.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <stdlib.h>

static const struct inlay_hash_key key = {{0x6f6e692d79616c6e, 0x6f6d656d2d65646e}};

static uint64_t ino_hash(uint64_t ino)
{
	return inlay_siphash(&key, &ino, sizeof(ino));
}

/* Owner, group and set-group-id of a new file, as Linux gives them in a set-group-id directory. */
static void set_owner(struct inlay_attr *attr, const struct memory_inode *parent, const struct inlay_cred *cred)
{
	attr->uid = cred ? cred->uid : 0;
	attr->gid = cred ? cred->gid : 0;
	if (!parent || !(parent->live.attr.mode & MEMORY_S_ISGID))
		return;
	attr->gid = parent->live.attr.gid;
	if ((attr->mode & MEMORY_S_IFMT) == MEMORY_S_IFDIR)
		attr->mode |= MEMORY_S_ISGID;
	else if ((attr->mode & MEMORY_S_IXGRP) && !memory_in_group(cred, attr->gid))
		attr->mode &= ~MEMORY_S_ISGID;
}

int memory_inode_new(struct memory_store *s, struct memory_inode *parent, const struct inlay_cred *cred, uint32_t mode,
                     struct memory_inode **ret)
{
	struct memory_inode *inode;
	struct inlay_attr *attr;

	if (s->files >= s->files_max)
		return -INLAY_ENOSPC;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return -INLAY_ENOMEM;
	if (inlay_map_init(&inode->dir.names) < 0) {
		free(inode);
		return -INLAY_ENOMEM;
	}
	inode->node.store = &s->store;
	inode->dir.next_cookie = MEMORY_COOKIE_FIRST;
	inlay_list_init(&inode->ties);
	inlay_list_init(&inode->walk);
	attr = &inode->live.attr;
	attr->ino = s->next_ino++;
	attr->mode = mode;
	attr->blksize = MEMORY_BLOCK;
	set_owner(attr, parent, cred);
	memory_touch(inode, true);
	attr->atime = attr->btime = attr->mtime;
	inode->durable.attr = *attr;
	inlay_list_append(&s->all, &inode->all);
	inlay_map_add(&s->by_ino, &inode->link, ino_hash(attr->ino));
	s->files++;
	*ret = inode;
	return 0;
}

struct memory_inode *memory_inode_find(struct memory_store *s, uint64_t ino)
{
	struct inlay_map_link *l = inlay_map_find(&s->by_ino, ino_hash(ino));

	for (; l; l = inlay_map_find_next(l)) {
		struct memory_inode *inode = inlay_container(l, struct memory_inode, link);

		if (inode->live.attr.ino == ino)
			return inode;
	}
	return NULL;
}

void memory_inode_free(struct memory_inode *inode)
{
	struct memory_store *s = memory_owner(inode);

	if (!inode->gone)
		s->files--;
	memory_state_done(&inode->live, &s->room);
	memory_state_done(&inode->durable, NULL);
	memory_kept_drop(inode, false);
	memory_dir_clear(inode);
	inlay_map_done(&inode->dir.names);
	free(inode->dir.slots);
	inlay_list_remove(&inode->ties);
	inlay_list_remove(&inode->all);
	inlay_map_remove(&s->by_ino, &inode->link);
	free(inode->target);
	free(inode);
}

void memory_bury(struct memory_store *s)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(&s->dead))) {
		struct memory_inode *inode = inlay_container(it, struct memory_inode, all);

		memory_kept_drop(inode, true);
		memory_inode_free(inode);
	}
}

void memory_reap(struct memory_inode *inode)
{
	struct memory_store *s = memory_owner(inode);

	if (inode->refs || inode->live.attr.nlink)
		return;
	if (inode->durable_links) {
		if (!inode->gone)
			s->files--;
		inode->gone = true;
		memory_data_done(&inode->live.data, &s->room);
		return;
	}
	inlay_list_remove(&inode->all);
	inlay_list_append(&s->dead, &inode->all);
	memory_bury(s);
}

void memory_attr(const struct memory_inode *inode, struct inlay_attr *ret)
{
	*ret = inode->live.attr;
	ret->blocks = inode->live.data.count * (MEMORY_CHUNK / 512);
	if (memory_is(inode, MEMORY_S_IFDIR)) {
		ret->size = MEMORY_BLOCK;
		ret->blocks = MEMORY_BLOCK / 512;
	}
}

/*
 * Rename in the in-memory store: replacing, not replacing, exchanging. Whiteouts are refused with -INLAY_EINVAL.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

/* One rename, looked up. */
struct move {
	struct memory_inode *from_dir, *to_dir;
	struct memory_entry *from, *to; /* to: NULL where the name is new */
	bool exchange;
};

static bool is_within(const struct memory_inode *dir, const struct memory_inode *tree)
{
	const struct memory_inode *up = dir;

	while (up != tree && up->parent && up->parent != up)
		up = up->parent;
	return up == tree;
}

static int find_names(struct move *m, struct inlay_str from, struct inlay_str to, uint32_t flags,
                      const struct inlay_cred *cred)
{
	int r;

	r = memory_may_search(m->from_dir, cred);
	if (r == 0)
		r = memory_may_search(m->to_dir, cred);
	if (r < 0)
		return r;
	m->from = memory_dir_find(m->from_dir, from);
	m->to = memory_dir_find(m->to_dir, to);
	if (!m->from)
		return -INLAY_ENOENT;
	if (m->to && (flags & INLAY_RENAME_NOREPLACE))
		return -INLAY_EEXIST;
	if (!m->to && m->exchange)
		return -INLAY_ENOENT;
	if (memory_is(m->from->inode, MEMORY_S_IFDIR) && is_within(m->to_dir, m->from->inode))
		return -INLAY_EINVAL;
	if (m->to && memory_is(m->to->inode, MEMORY_S_IFDIR) && is_within(m->from_dir, m->to->inode))
		return m->exchange ? -INLAY_EINVAL : -INLAY_ENOTEMPTY;
	return 0;
}

/* A directory that changes its parent is written to: its ".." changes. */
static int may_move(const struct memory_inode *inode, const struct inlay_cred *cred)
{
	return memory_is(inode, MEMORY_S_IFDIR) ? memory_may(inode, cred, INLAY_ACCESS_W) : 0;
}

static int check(const struct move *m, const struct inlay_cred *cred)
{
	const struct memory_inode *source = m->from->inode, *target = m->to ? m->to->inode : NULL;
	bool is_dir = memory_is(source, MEMORY_S_IFDIR);
	int r = memory_may_remove(m->from_dir, source, cred, is_dir);

	if (r == 0 && !target)
		r = memory_may_make(m->to_dir, cred);
	else if (r == 0)
		r = memory_may_remove(m->to_dir, target, cred, m->exchange ? memory_is(target, MEMORY_S_IFDIR) : is_dir);
	if (r == 0 && m->from_dir != m->to_dir) {
		r = may_move(source, cred);
		if (r == 0 && m->exchange)
			r = may_move(target, cred);
	}
	if (r == 0 && target && !m->exchange && is_dir && !memory_dir_empty(target))
		r = -INLAY_ENOTEMPTY;
	if (r == 0 && is_dir && m->from_dir != m->to_dir && m->to_dir->live.attr.nlink >= MEMORY_LINK_MAX)
		r = -INLAY_EMLINK;
	return r;
}

static void set_parent(struct memory_inode *inode, struct memory_inode *from, struct memory_inode *to)
{
	if (!memory_is(inode, MEMORY_S_IFDIR))
		return;
	inode->parent = to;
	from->live.attr.nlink--;
	to->live.attr.nlink++;
}

static int move(const struct move *m, struct inlay_str to)
{
	struct memory_inode *source = m->from->inode, *target = m->to ? m->to->inode : NULL;
	int r = 0;

	if (target) {
		/* In place: the name keeps its cookie, and a listing under way shows it once. */
		m->to->inode = source;
	} else {
		r = memory_dir_add(m->to_dir, to, source, 0);
	}
	if (r < 0)
		return r;
	if (m->exchange) {
		m->from->inode = target;
		set_parent(target, m->to_dir, m->from_dir);
	} else {
		memory_dir_remove(m->from_dir, m->from);
	}
	set_parent(source, m->from_dir, m->to_dir);
	memory_tie(m->from_dir, m->to_dir);
	memory_touch(source, false);
	memory_touch(m->from_dir, true);
	if (m->from_dir != m->to_dir)
		memory_touch(m->to_dir, true);
	if (target && m->exchange)
		memory_touch(target, false);
	else if (target)
		memory_unlinked(m->to_dir, target);
	return 0;
}

int memory_op_rename(struct inlay_store_node *from_dir, struct inlay_str from, struct inlay_store_node *to_dir,
                     struct inlay_str to, uint32_t flags, const struct inlay_cred *cred)
{
	struct move m = {.from_dir = memory_inode(from_dir), .to_dir = memory_inode(to_dir)};
	MEMORY_LOCKED(from_dir->store);
	int r = memory_fault(memory_store(from_dir->store), MEMORY_OP_rename);

	if (r < 0)
		return r;
	if (flags != 0 && flags != INLAY_RENAME_NOREPLACE && flags != INLAY_RENAME_EXCHANGE)
		return -INLAY_EINVAL;
	m.exchange = flags == INLAY_RENAME_EXCHANGE;
	r = find_names(&m, from, to, flags, cred);
	if (r < 0)
		return r;
	/* Two names of one file: nothing to do, both stay. */
	if (m.to && m.to->inode == m.from->inode)
		return 0;
	r = check(&m, cred);
	return r < 0 ? r : move(&m, to);
}

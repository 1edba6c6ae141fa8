/*
 * The model of the tree.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tree.h"

#include "ledger.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define INODES_MAX 16384u

/* The value number `first` of its history and the later ones. */
struct reg {
	uint64_t *v;
	uint32_t first, count, cap, floor;
};

struct inode {
	bool is_dir, is_log;
	struct reg *reg;
	uint32_t regs;
};

const char *const tree_names[TREE_NAMES] = {"d0", "d1", "f0", "f1", "f2", "f3", "l0", "l1"};

static struct inode *inodes[INODES_MAX];
static struct inlay_store *store;
static uint64_t root, top;

int tree_name(struct inlay_str s)
{
	for (unsigned i = 0; i < TREE_NAMES; i++)
		if (inlay_str_is(s, tree_names[i]))
			return (int)i;
	return -1;
}

uint64_t tree_ino(struct inlay_store_node *n)
{
	struct inlay_store_id id = {0};

	n->store->ops->node_id(n, &id);
	return inlay_load64(id.bytes);
}

/* ---- registers ---- */

static void push(struct reg *r, uint64_t value)
{
	if (r->count == r->cap) {
		r->cap = r->cap * 2 + 4;
		r->v = realloc(r->v, r->cap * sizeof *r->v);
		SIM_REQUIRE(r->v);
	}
	r->v[r->count++] = value;
}

static uint64_t newest(const struct reg *r)
{
	return r->count ? r->v[r->count - 1] : 0;
}

static uint32_t newest_at(const struct reg *r)
{
	return r->first + r->count - 1;
}

static void set_only(struct reg *r, uint64_t value)
{
	r->first += r->count;
	r->count = 0;
	r->floor = r->first;
	push(r, value);
}

static void raise_floor(struct reg *r, uint32_t at)
{
	if (at < r->first || at <= r->floor) /* a crash has been meanwhile, or another commit */
		return;
	r->floor = at;
}

static bool may_be(const struct reg *r, uint64_t value)
{
	for (uint32_t i = r->floor - r->first; i < r->count; i++)
		if (r->v[i] == value)
			return true;
	return false;
}

/* ---- inodes ---- */

static struct inode *get(uint64_t ino)
{
	return ino < INODES_MAX ? inodes[ino] : NULL;
}

static struct reg *reg_of(struct inode *f, uint32_t i)
{
	if (i >= f->regs) {
		uint32_t grown = f->is_dir ? TREE_NAMES : i + 16;

		f->reg = realloc(f->reg, grown * sizeof *f->reg);
		SIM_REQUIRE(f->reg && i < grown);
		memset(f->reg + f->regs, 0, (grown - f->regs) * sizeof *f->reg);
		for (; f->regs < grown; f->regs++)
			push(&f->reg[f->regs], 0);
	}
	return &f->reg[i];
}

static struct inode *make(uint64_t ino, bool is_dir, bool is_log)
{
	SIM_REQUIRE(ino < INODES_MAX && !inodes[ino]);
	inodes[ino] = calloc(1, sizeof *inodes[ino]);
	SIM_REQUIRE(inodes[ino]);
	inodes[ino]->is_dir = is_dir;
	inodes[ino]->is_log = is_log;
	top = ino > top ? ino : top;
	if (is_dir)
		(void)reg_of(inodes[ino], 0);
	return inodes[ino];
}

static struct reg *name_of(uint64_t dir, int name)
{
	struct inode *d = get(dir);

	SIM_REQUIRE(d && d->is_dir && name >= 0);
	return &d->reg[name];
}

void tree_begin(struct inlay_store *s)
{
	struct inlay_store_node *n;

	store = s;
	top = 0;
	SIM_REQUIRE(s->ops->root(s, &n) == 0);
	root = tree_ino(n);
	s->ops->node_unref(n);
	make(root, true, false);
}

void tree_end(void)
{
	for (uint64_t i = 0; i <= top; i++) {
		if (!inodes[i])
			continue;
		for (uint32_t k = 0; k < inodes[i]->regs; k++)
			free(inodes[i]->reg[k].v);
		free(inodes[i]->reg);
		free(inodes[i]);
		inodes[i] = NULL;
	}
}

uint64_t tree_root(void)
{
	return root;
}

bool tree_is_log(uint64_t ino)
{
	return get(ino) && get(ino)->is_log;
}

bool tree_is_dir(uint64_t ino)
{
	return get(ino) && get(ino)->is_dir;
}

static bool is_beneath(uint64_t dir, uint64_t ino, unsigned depth)
{
	if (dir == ino)
		return true;
	for (unsigned k = 0; tree_is_dir(dir) && depth && k < TREE_NAMES; k++) {
		uint64_t child = newest(&inodes[dir]->reg[k]);

		if (child && is_beneath(child, ino, depth - 1))
			return true;
	}
	return false;
}

bool tree_exists(uint64_t ino)
{
	return is_beneath(root, ino, 32);
}

uint32_t tree_records(uint64_t ino)
{
	return tree_is_log(ino) ? get(ino)->regs : 0;
}

uint64_t tree_find(uint64_t dir, int name)
{
	return newest(name_of(dir, name));
}

uint64_t tree_version(uint64_t dir, int name)
{
	return tree_is_dir(dir) ? newest_at(name_of(dir, name)) : 0;
}

/* ---- what happens ---- */

void tree_made(uint64_t dir, int name, uint64_t ino, bool is_dir)
{
	if (tree_find(dir, name))
		sim_fail("%s was made in directory %llu, though it was there", tree_names[name], (unsigned long long)dir);
	make(ino, is_dir, !is_dir && tree_names[name][0] == 'l');
	push(name_of(dir, name), ino);
}

void tree_linked(uint64_t dir, int name, uint64_t ino)
{
	if (tree_find(dir, name))
		sim_fail("%s was linked in directory %llu, though it was there", tree_names[name], (unsigned long long)dir);
	push(name_of(dir, name), ino);
}

void tree_removed(uint64_t dir, int name)
{
	if (!tree_find(dir, name))
		sim_fail("%s was removed from directory %llu, though it wasn't there", tree_names[name], (unsigned long long)dir);
	push(name_of(dir, name), 0);
}

bool tree_renamed(uint64_t from_dir, int from, uint64_t to_dir, int to, uint32_t flags)
{
	uint64_t ino = tree_find(from_dir, from), other = tree_find(to_dir, to);

	sim_trace("renamed from", from_dir, (uint64_t)from, ino);
	sim_trace("renamed to", to_dir, (uint64_t)to, other);

	if (!ino || (flags & INLAY_RENAME_NOREPLACE && other) || (flags & INLAY_RENAME_EXCHANGE && !other))
		sim_fail("%s was renamed to %s (flags %u), which it must not", tree_names[from], tree_names[to], flags);
	if (ino == other) /* two names of one file: nothing happens */
		return false;
	push(name_of(from_dir, from), flags & INLAY_RENAME_EXCHANGE ? other : 0);
	push(name_of(to_dir, to), ino);
	return true;
}

static uint32_t unit_of(const struct inode *f)
{
	return f->is_log ? TREE_RECORD : TREE_BLOCK;
}

static uint64_t base_of(const struct inode *f)
{
	return f->is_log ? 0 : TREE_BASE;
}

void tree_fill(uint8_t *p, uint32_t len, uint64_t tag, uint32_t index)
{
	inlay_store64(p, tag);
	inlay_store64(p + 8, index);
	memset(p + 16, (int)(tag * 31 + index + 1) & 0xff, len - 16);
}

void tree_wrote(uint64_t ino, uint64_t off, const uint8_t *bytes, size_t len)
{
	struct inode *f = get(ino);
	uint32_t unit;

	SIM_REQUIRE(f && !f->is_dir);
	unit = unit_of(f);
	if (off < base_of(f) || (off - base_of(f)) % unit || len % unit)
		sim_fail("%zu bytes written at %llu, where nobody writes", len, (unsigned long long)off);
	for (size_t done = 0; done < len; done += unit)
		push(reg_of(f, (uint32_t)((off + done - base_of(f)) / unit)), inlay_load64(bytes + done));
}

void tree_check_read(uint64_t ino, uint64_t off, uint64_t len, const uint8_t *bytes, size_t count, size_t zeros)
{
	struct inode *f = get(ino);
	uint32_t unit = unit_of(f);

	SIM_REQUIRE(off >= base_of(f) && count + zeros <= len);
	for (uint64_t at = off; at + unit <= off + len; at += unit) {
		uint32_t i = (uint32_t)((at - base_of(f)) / unit);
		uint64_t tag = i < f->regs ? newest(&f->reg[i]) : 0, rest = at - off;
		uint8_t want[TREE_BLOCK] = {0}, found[TREE_BLOCK] = {0};

		if (tag)
			tree_fill(want, unit, tag, f->is_log ? 0 : i);
		if (rest < count)
			memcpy(found, bytes + rest, count - rest < unit ? count - rest : unit);
		if (memcmp(want, found, unit))
			sim_fail("a read of inode %llu got bytes of block %u that aren't there", (unsigned long long)ino, i);
	}
}

/* ---- durability ---- */

void tree_mark(uint64_t ino, uint64_t off, uint64_t len, struct tree_mark *ret)
{
	struct inode *f = get(ino);

	tree_mark_done(ret);
	if (!f)
		return;
	*ret = (struct tree_mark){.ino = ino, .point = calloc(f->regs + 1, sizeof *ret->point)};
	SIM_REQUIRE(ret->point);
	for (uint32_t i = 0; i < f->regs; i++) {
		uint64_t at = base_of(f) + (uint64_t)i * unit_of(f);

		if (f->is_dir || (at >= off && at < off + len))
			ret->point[ret->count++] = (struct tree_point){i, newest_at(&f->reg[i])};
	}
}

void tree_mark_done(struct tree_mark *m)
{
	free(m->point);
	*m = (struct tree_mark){0};
}

void tree_durable(const struct tree_mark *m)
{
	struct inode *f = get(m->ino);

	for (unsigned i = 0; f && i < m->count; i++)
		raise_floor(&f->reg[m->point[i].reg], m->point[i].at);
}

static void spill(struct inlay_store_node *n, uint64_t ino, uint8_t *seen)
{
	bool is_dir = get(ino)->is_dir;
	struct inlay_store_node *child;
	struct inlay_store_file *file;
	struct inlay_attr attr;

	if (seen[ino]++)
		return;
	for (unsigned i = 0; is_dir && i < TREE_NAMES; i++) {
		if (store->ops->lookup(n, NULL, inlay_str(tree_names[i]), &child, &attr) < 0)
			continue;
		spill(child, tree_ino(child), seen);
		store->ops->node_unref(child);
	}
	if (sim_chance(60))
		return;
	SIM_REQUIRE((is_dir ? store->ops->opendir(n, NULL, &file) : store->ops->open(n, NULL, INLAY_O_RDONLY, &file, &attr)) == 0);
	SIM_REQUIRE(store->ops->commit(file, sim_chance(50) && !is_dir ? INLAY_COMMIT_DATA_ONLY : 0) == 0);
	store->ops->file_unref(file);
}

void tree_spill(void)
{
	static uint8_t seen[INODES_MAX];
	struct inlay_store_node *n;

	memset(seen, 0, top + 1);
	SIM_REQUIRE(store->ops->root(store, &n) == 0);
	spill(n, root, seen);
	store->ops->node_unref(n);
}

/* ---- the store as it is ---- */

/* What came after the value that was found is gone. */
static void tell_lost(const struct reg *r, uint64_t found)
{
	for (uint32_t i = r->count; i && r->v[i - 1] != found; i--)
		ledger_lost(r->v[i - 1]);
}

static void compare(struct reg *r, uint64_t found, bool crashed, const char *what, uint64_t ino, uint64_t index)
{
	if (crashed ? !may_be(r, found) : newest(r) != found)
		sim_fail("%s %llu of inode %llu: found %llu, %s %llu", what, (unsigned long long)index, (unsigned long long)ino,
		         (unsigned long long)found, crashed ? "after a crash that lost what was durable: not even the newest, " : "must be",
		         (unsigned long long)newest(r));
	if (crashed && strcmp(what, "block") == 0)
		tell_lost(r, found);
	if (crashed)
		set_only(r, found);
}

/* The tag of the block in p; it must be as it was written. */
static uint64_t tag_of(const uint8_t *p, uint32_t unit, uint64_t ino, uint32_t index)
{
	uint64_t tag = inlay_load64(p);
	uint8_t want[TREE_BLOCK] = {0};

	if (tag)
		tree_fill(want, unit, tag, index);
	if (memcmp(p, want, unit))
		sim_fail("block %u of inode %llu is damaged", index, (unsigned long long)ino);
	return tag;
}

static void check_file(struct inlay_store_node *n, uint64_t ino, bool crashed)
{
	struct inode *f = get(ino);
	uint32_t unit = unit_of(f);
	size_t room = (size_t)f->regs * unit;
	uint8_t *bytes = calloc(1, room + 1);
	struct inlay_store_file *file;
	struct inlay_attr attr;

	SIM_REQUIRE(bytes && store->ops->open(n, NULL, INLAY_O_RDONLY | INLAY_O_NOATIME, &file, &attr) == 0);
	SIM_REQUIRE(store->ops->read(file, base_of(f), bytes, room, 0) >= 0);
	if (attr.size > base_of(f) + room)
		sim_fail("inode %llu has %llu bytes", (unsigned long long)ino, (unsigned long long)attr.size);
	for (uint32_t i = 0; i < f->regs; i++)
		compare(&f->reg[i], tag_of(bytes + (size_t)i * unit, unit, ino, f->is_log ? 0 : i), crashed, "block", ino, i);
	store->ops->file_unref(file);
	free(bytes);
}

static void check_dir(struct inlay_store_node *n, uint64_t ino, bool crashed, uint8_t *seen);

static void check_node(struct inlay_store_node *n, uint64_t ino, bool crashed, uint8_t *seen)
{
	if (seen[ino])
		return;
	seen[ino] = 1;
	if (!get(ino))
		sim_fail("inode %llu was never made", (unsigned long long)ino);
	if (get(ino)->is_dir)
		check_dir(n, ino, crashed, seen);
	else
		check_file(n, ino, crashed);
}

static void check_dir(struct inlay_store_node *n, uint64_t ino, bool crashed, uint8_t *seen)
{
	struct inode *d = get(ino);

	for (unsigned i = 0; i < TREE_NAMES; i++) {
		struct inlay_store_node *child = NULL;
		struct inlay_attr attr;
		int r = store->ops->lookup(n, NULL, inlay_str(tree_names[i]), &child, &attr);
		uint64_t found = r == 0 ? tree_ino(child) : 0;

		SIM_REQUIRE(r == 0 || r == -INLAY_ENOENT);
		compare(&d->reg[i], found, crashed, "name", ino, i);
		if (!child)
			continue;
		check_node(child, found, crashed, seen);
		store->ops->node_unref(child);
	}
}

void tree_check(bool crashed)
{
	static uint8_t seen[INODES_MAX];
	struct inlay_store_node *n;

	memset(seen, 0, top + 1);
	SIM_REQUIRE(store->ops->root(store, &n) == 0);
	check_node(n, root, crashed, seen);
	store->ops->node_unref(n);
}

/*
 * The estate: a redirector made of it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "redirect/estate_rows.h"
#include "redirect/listing.h"
#include "redirect/op.h"

#include <stdlib.h>
#include <string.h>

struct restore {
	struct inlay_estate *estate;
	struct inlay_redirect *redirect;
	bool (*is_asked)(void *arg, uint64_t origin);
	void *arg;
};

/* ---- nodes ---- */

static int revive(struct inlay_nodes *ns, const struct estate_node *row)
{
	struct inlay_node_past p = {.number = row->number, .type = row->type, .has = {row->has[0] != 0, row->has[1] != 0},
	                            .replaced = row->replaced, .id = {row->id[0], row->id[1]}, .lookups = row->lookups,
	                            .pins = {row->pins[0], row->pins[1]}};

	return inlay_node_revive(ns, &p);
}

/* A row whose number isn't that of its place was never whole. */
static bool is_row(uint64_t number, uint32_t index)
{
	return (uint32_t)number == index + 1;
}

static int restore_nodes(struct inlay_estate *e, struct inlay_nodes *ns)
{
	uint32_t top = e->head->nodes;
	int err = 0;

	inlay_nodes_begin(ns, e->head->life);
	for (uint32_t i = 0; err == 0 && i < top; i++) {
		if (is_row(e->nodes[i].number, i))
			err = revive(ns, &e->nodes[i]);
	}
	for (uint32_t i = 0; err == 0 && i < top; i++) {
		const struct estate_place *p = &e->nodes[i].at[e->nodes[i].place != 0];

		if (is_row(e->nodes[i].number, i))
			err = inlay_node_place(ns, e->nodes[i].number, p->parent, (struct inlay_str){p->name, p->len});
	}
	if (err == 0)
		inlay_nodes_settle(ns);
	return err;
}

/* ---- files ---- */

/*
 * An opening that is asked for again will bring its handle again. A file whose closing is not asked for again is closed; so that it
 * is gone may only not have been noted.
 */
static bool is_open(const struct restore *s, const struct estate_file *row)
{
	if (row->closing && !s->is_asked(s->arg, row->closing))
		return false;
	return row->marks & INLAY_FILE_TAKEN || !row->opening || !s->is_asked(s->arg, row->opening);
}

static bool fill_cred(struct inlay_file *f, const struct inlay_cred *cred)
{
	if (cred->ngroups > INLAY_GROUPS_MAX)
		return false;
	f->cred = malloc(offsetof(struct inlay_cred, groups) + cred->ngroups * sizeof cred->groups[0]);
	if (f->cred)
		inlay_cred_copy(f->cred, cred);
	return f->cred;
}

static void take_marks(struct inlay_file *f, uint32_t marks)
{
	f->locks_over = marks & INLAY_FILE_LOCKS_OVER;
	atomic_store(&f->lock_untold, marks & INLAY_FILE_LOCK_UNTOLD);
	atomic_store(&f->lost, marks & INLAY_FILE_LOST);
	if (!(marks & INLAY_FILE_LOCKED))
		return;
	atomic_store(&f->lock_uses, 1);
	atomic_fetch_add(&f->node->lock_uses, 1);
}

static void file_free(struct inlay_file *f)
{
	inlay_listing_free(f->listing);
	inlay_node_put(f->node);
	free(f->cred);
	free(f);
}

/* What was written by the predecessor and not synced is known to nobody here, until a sync has covered it. */
static void note_unsynced(struct inlay_redirect *r, const struct inlay_file *f)
{
	if (f->side == INLAY_REMOTE && !f->is_dir && (f->flags & INLAY_O_ACCMODE) != INLAY_O_RDONLY)
		inlay_unsynced_not_whole(r, f->node, 0);
}

/* The file of the row, with a reference to node, which is taken over. */
static int restore_file(const struct restore *s, const struct estate_file *row, const struct inlay_cred *cred, struct inlay_node *node)
{
	struct inlay_file *f = calloc(1, sizeof *f);

	if (!f) {
		inlay_node_put(node);
		return -INLAY_ENOMEM;
	}
	*f = (struct inlay_file){.side = row->side ? INLAY_REMOTE : INLAY_LOCAL, .handle = row->handle, .node = node,
	                         .number = row->number, .is_dir = row->is_dir, .flags = row->flags, .token = row->token};
	_Static_assert(INLAY_LOCAL == 0 && INLAY_REMOTE == 1, "the rows have them as numbers");
	if ((row->has_cred && !fill_cred(f, cred)) ||
	    (row->remote && !(f->listing = inlay_listing_new(row->handle, row->remote))) ||
	    !inlay_table_restore(s->redirect->files, f, f->number)) {
		file_free(f);
		return -INLAY_ENOMEM;
	}
	take_marks(f, row->marks);
	if (row->backing_id > 0) {
		f->passthrough = true;
		node->backing_id = row->backing_id;
		node->backing_users++;
	}
	note_unsynced(s->redirect, f);
	return 0;
}

static int restore_files(const struct restore *s)
{
	struct inlay_estate *e = s->estate;
	uint32_t top = e->head->files;
	int err = 0;

	inlay_table_begin_at(s->redirect->files, (e->head->life << 20) + 1);
	for (uint32_t i = 0; err == 0 && i < top; i++) {
		struct estate_file *row = &e->files[i];
		struct inlay_node *node = NULL;

		if (is_row(row->number, i) && is_open(s, row))
			node = inlay_node_of_table(s->redirect->nodes, row->node);
		if (node)
			err = restore_file(s, row, &e->creds[i], node);
		else
			row->number = 0;
	}
	return err;
}

/* ---- locks ---- */

static int restore_locks(const struct restore *s)
{
	struct inlay_estate *e = s->estate;

	e->free_lock = 0;
	for (uint32_t i = 0; i < e->head->locks; i++) {
		struct estate_lock *row = &e->locks[i];
		struct inlay_file *f = row->file ? inlay_file_get(s->redirect, row->file) : NULL;
		bool ok = !f || inlay_held_restore(f, &row->lock, i + 1);

		if (!f)
			inlay_estate_lock_gone(e, i + 1);
		inlay_file_put(s->redirect, f);
		if (!ok)
			return -INLAY_ENOMEM;
	}
	return 0;
}

int inlay_estate_restore(struct inlay_estate *e, struct inlay_redirect *r, bool (*is_asked)(void *arg, uint64_t origin), void *arg)
{
	struct restore s = {e, r, is_asked, arg};
	int err;

	e->head->life++;
	inlay_nodes_keep(r->nodes, e);
	err = restore_nodes(e, r->nodes);
	if (err == 0)
		err = restore_files(&s);
	if (err == 0)
		err = restore_locks(&s);
	return err;
}

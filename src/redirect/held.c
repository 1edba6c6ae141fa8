/*
 * The locks that are held, by the rules that the side has for them, so that a restarted server can be told; local ones
 * where a successor of this process will have to.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/op.h"

#include <stdlib.h>

#define END_MAX INT64_MAX

struct held {
	struct inlay_list link; /* node.held */
	struct inlay_lock_req lock;
	uint32_t run; /* reclaimed last in this one */
	uint32_t row; /* in the estate */
};

/* Two records are enough for any change: the new range, and the far half of one that is split. */
struct spare {
	struct held *a, *b;
};

/* Where a change is made. */
struct place {
	struct inlay_estate *estate;
	struct inlay_node *node;
	uint64_t file; /* its number; what is taken now is taken through it */
};

static bool is_owners(const struct held *h, const struct inlay_lock_req *l)
{
	return h->lock.owner == l->owner && h->lock.kind == l->kind;
}

static void held_free(struct inlay_estate *e, struct held *h)
{
	inlay_estate_lock_gone(e, h->row);
	inlay_list_remove(&h->link);
	free(h);
}

static struct held *held_add(const struct place *p, struct held **from, const struct inlay_lock_req *l)
{
	struct held *h = *from;

	*from = NULL;
	*h = (struct held){.lock = *l, .row = inlay_estate_lock(p->estate, p->file, l)};
	inlay_list_append(&p->node->held, &h->link);
	return h;
}

static void held_set(struct inlay_estate *e, struct held *h, uint64_t start, uint64_t end)
{
	h->lock.start = start;
	h->lock.end = end;
	inlay_estate_lock_range(e, h->row, start, end);
}

static void cut(const struct place *p, struct held *h, const struct inlay_lock_req *l, struct spare *spare)
{
	bool left_stays = h->lock.start < l->start, right_stays = h->lock.end > l->end;
	struct inlay_lock_req right = h->lock;

	right.start = l->end + 1;
	if (left_stays && right_stays)
		held_add(p, &spare->b, &right);
	if (left_stays)
		held_set(p->estate, h, h->lock.start, l->start - 1);
	else if (right_stays)
		held_set(p->estate, h, l->end + 1, h->lock.end);
	else
		held_free(p->estate, h);
}

static bool touches(const struct inlay_lock_req *a, const struct inlay_lock_req *b)
{
	return (a->end < END_MAX && a->end + 1 == b->start) || (b->end < END_MAX && b->end + 1 == a->start);
}

static void merge(const struct place *p, struct held *added)
{
	inlay_list_each_safe(it, tmp, &p->node->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (h == added || h->lock.type != added->lock.type || h->lock.handle != added->lock.handle ||
		    h->lock.pid != added->lock.pid || !is_owners(h, &added->lock) || !touches(&h->lock, &added->lock))
			continue;
		if (h->lock.start < added->lock.start)
			held_set(p->estate, added, h->lock.start, added->lock.end);
		else
			held_set(p->estate, added, added->lock.start, h->lock.end);
		held_free(p->estate, h);
	}
}

static void apply(const struct place *p, const struct inlay_lock_req *l, struct spare *spare)
{
	inlay_list_each_safe(it, tmp, &p->node->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (is_owners(h, l) && h->lock.start <= l->end && l->start <= h->lock.end)
			cut(p, h, l, spare);
	}
	if (l->type != INLAY_LOCK_UNLOCK)
		merge(p, held_add(p, &spare->a, l));
}

static void change(struct inlay_redirect *r, struct inlay_file *f, const struct inlay_lock_req *l)
{
	struct spare spare = {malloc(sizeof *spare.a), malloc(sizeof *spare.b)};
	struct place p = {r->estate, f->node, f->number};

	if (spare.a && spare.b) {
		apply(&p, l, &spare);
	} else {
		atomic_store(&f->lock_untold, true);
		inlay_estate_file_mark(r->estate, f->number, INLAY_FILE_LOCK_UNTOLD);
	}
	free(spare.a);
	free(spare.b);
}

static struct inlay_lock_req as_held(const struct inlay_op *op)
{
	struct inlay_lock_req l = op->in.lock;

	if (l.kind == INLAY_LOCK_FLOCK) {
		l.start = 0;
		l.end = END_MAX;
	}
	l.flags = INLAY_LOCK_RECLAIM;
	return l;
}

static struct held *first_exclusive(struct inlay_node *n, const struct inlay_lock_req *l)
{
	inlay_list_each(it, &n->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (is_owners(h, l) && h->lock.type == INLAY_LOCK_WRITE && h->lock.start <= l->end && l->start <= h->lock.end)
			return h;
	}
	return NULL;
}

/* What is exclusive in the range becomes shared, in pieces as it lies. */
static void share(struct inlay_redirect *r, struct inlay_file *f, const struct inlay_lock_req *l)
{
	struct held *h;

	while ((h = first_exclusive(f->node, l)) && !atomic_load(&f->lock_untold)) {
		struct inlay_lock_req piece = h->lock;

		piece.type = INLAY_LOCK_READ;
		piece.start = l->start > piece.start ? l->start : piece.start;
		piece.end = l->end < piece.end ? l->end : piece.end;
		change(r, f, &piece);
	}
}

struct inlay_lock_req inlay_held_piece(struct inlay_redirect *r, struct inlay_file *f, const struct inlay_lock_req *asked)
{
	struct inlay_lock_req piece = *asked;

	piece.type = INLAY_LOCK_UNLOCK;
	pthread_mutex_lock(&r->held_lock);
	inlay_list_each(it, &f->node->held) {
		const struct held *h = inlay_container(it, struct held, link);

		if (!is_owners(h, asked) || h->lock.end < asked->start || h->lock.start > piece.end)
			continue;
		if (h->lock.start > asked->start) {
			piece.end = h->lock.start - 1;
			continue;
		}
		piece = h->lock;
		piece.start = asked->start;
		piece.end = piece.end < asked->end ? piece.end : asked->end;
		break;
	}
	pthread_mutex_unlock(&r->held_lock);
	piece.flags = 0;
	return piece;
}

/* Where what l asks for, from its start on, is not held any more; beyond its end: all of it is. */
static uint64_t held_upto(const struct inlay_node *n, const struct inlay_lock_req *l)
{
	uint64_t at = l->start;
	bool further = true;

	while (further && at <= l->end) {
		further = false;
		inlay_list_each(it, &n->held) {
			const struct held *h = inlay_container(it, struct held, link);

			if (!is_owners(h, l) || h->lock.type != l->type || h->lock.start > at || h->lock.end < at)
				continue;
			at = h->lock.end + 1;
			further = true;
		}
	}
	return at;
}

static bool is_kept(const struct inlay_redirect *r, const struct inlay_file *f)
{
	return f->side == INLAY_REMOTE || r->estate;
}

void inlay_held_asked(struct inlay_op *op)
{
	struct inlay_lock_req l = as_held(op);

	if (!is_kept(op->redirect, op->file))
		return;
	if (l.kind == INLAY_LOCK_FLOCK) /* one that changes its type lets go of the old one first */
		l.type = INLAY_LOCK_UNLOCK;
	pthread_mutex_lock(&op->redirect->held_lock);
	if (l.type == INLAY_LOCK_UNLOCK)
		change(op->redirect, op->file, &l);
	else if (l.type == INLAY_LOCK_READ)
		share(op->redirect, op->file, &l);
	pthread_mutex_unlock(&op->redirect->held_lock);
}

bool inlay_held_has(struct inlay_op *op)
{
	struct inlay_lock_req l = as_held(op);
	bool has;

	pthread_mutex_lock(&op->redirect->held_lock);
	has = held_upto(op->file->node, &l) > l.end;
	pthread_mutex_unlock(&op->redirect->held_lock);
	return has;
}

void inlay_held_granted(struct inlay_op *op)
{
	struct inlay_lock_req l = as_held(op);

	if (!is_kept(op->redirect, op->file) || l.type == INLAY_LOCK_UNLOCK)
		return;
	pthread_mutex_lock(&op->redirect->held_lock);
	if (!op->file->locks_over) /* else its CLOSE gives the lock back */
		change(op->redirect, op->file, &l);
	pthread_mutex_unlock(&op->redirect->held_lock);
}

void inlay_held_drop(struct inlay_redirect *r, struct inlay_file *f)
{
	if (!is_kept(r, f))
		return;
	pthread_mutex_lock(&r->held_lock);
	f->locks_over = true;
	inlay_estate_file_mark(r->estate, f->number, INLAY_FILE_LOCKS_OVER);
	inlay_list_each_safe(it, tmp, &f->node->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (h->lock.handle == f->handle)
			held_free(r->estate, h);
	}
	pthread_mutex_unlock(&r->held_lock);
}

bool inlay_held_next(struct inlay_redirect *r, struct inlay_file *f, uint32_t run, struct inlay_lock_req *ret)
{
	bool found = false;

	pthread_mutex_lock(&r->held_lock);
	inlay_list_each(it, &f->node->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (h->lock.handle != f->handle || h->run == run)
			continue;
		h->run = run;
		*ret = h->lock;
		found = true;
		break;
	}
	pthread_mutex_unlock(&r->held_lock);
	return found;
}

bool inlay_held_restore(struct inlay_file *f, const struct inlay_lock_req *l, uint32_t row)
{
	struct held *h = calloc(1, sizeof *h);

	if (!h)
		return false;
	h->lock = *l;
	h->row = row;
	inlay_list_append(&f->node->held, &h->link);
	return true;
}

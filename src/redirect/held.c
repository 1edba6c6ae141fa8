/*
 * The remote locks that are held, by the rules that the server has for them, so that a restarted one can be told.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/op.h"

#include <stdlib.h>

#define END_MAX INT64_MAX

struct held {
	struct inlay_list link; /* node.held */
	struct inlay_lock_req lock;
	uint32_t run; /* reclaimed last in this one */
};

/* Two records are enough for any change: the new range, and the far half of one that is split. */
struct spare {
	struct held *a, *b;
};

static bool is_owners(const struct held *h, const struct inlay_lock_req *l)
{
	return h->lock.owner == l->owner && h->lock.kind == l->kind;
}

static void held_free(struct held *h)
{
	inlay_list_remove(&h->link);
	free(h);
}

static struct held *held_add(struct inlay_node *n, struct held **from, const struct inlay_lock_req *l)
{
	struct held *h = *from;

	*from = NULL;
	*h = (struct held){.lock = *l};
	inlay_list_append(&n->held, &h->link);
	return h;
}

static void cut(struct inlay_node *n, struct held *h, const struct inlay_lock_req *l, struct spare *spare)
{
	bool left_stays = h->lock.start < l->start, right_stays = h->lock.end > l->end;
	struct inlay_lock_req right = h->lock;

	right.start = l->end + 1;
	if (left_stays && right_stays)
		held_add(n, &spare->b, &right);
	if (left_stays)
		h->lock.end = l->start - 1;
	else if (right_stays)
		h->lock.start = l->end + 1;
	else
		held_free(h);
}

static bool touches(const struct inlay_lock_req *a, const struct inlay_lock_req *b)
{
	return (a->end < END_MAX && a->end + 1 == b->start) || (b->end < END_MAX && b->end + 1 == a->start);
}

static void merge(struct inlay_node *n, struct held *added)
{
	inlay_list_each_safe(it, tmp, &n->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (h == added || h->lock.type != added->lock.type || h->lock.handle != added->lock.handle ||
		    h->lock.pid != added->lock.pid || !is_owners(h, &added->lock) || !touches(&h->lock, &added->lock))
			continue;
		if (h->lock.start < added->lock.start)
			added->lock.start = h->lock.start;
		else
			added->lock.end = h->lock.end;
		held_free(h);
	}
}

static void apply(struct inlay_node *n, const struct inlay_lock_req *l, struct spare *spare)
{
	inlay_list_each_safe(it, tmp, &n->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (is_owners(h, l) && h->lock.start <= l->end && l->start <= h->lock.end)
			cut(n, h, l, spare);
	}
	if (l->type != INLAY_LOCK_UNLOCK)
		merge(n, held_add(n, &spare->a, l));
}

static void change(struct inlay_file *f, const struct inlay_lock_req *l)
{
	struct spare spare = {malloc(sizeof *spare.a), malloc(sizeof *spare.b)};

	if (spare.a && spare.b)
		apply(f->node, l, &spare);
	else
		atomic_store(&f->lock_untold, true);
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
static void share(struct inlay_file *f, const struct inlay_lock_req *l)
{
	struct held *h;

	while ((h = first_exclusive(f->node, l)) && !atomic_load(&f->lock_untold)) {
		struct inlay_lock_req piece = h->lock;

		piece.type = INLAY_LOCK_READ;
		piece.start = l->start > piece.start ? l->start : piece.start;
		piece.end = l->end < piece.end ? l->end : piece.end;
		change(f, &piece);
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

void inlay_held_asked(struct inlay_op *op)
{
	struct inlay_lock_req l = as_held(op);

	if (op->file->side != INLAY_REMOTE)
		return;
	if (l.kind == INLAY_LOCK_FLOCK) /* one that changes its type lets go of the old one first */
		l.type = INLAY_LOCK_UNLOCK;
	pthread_mutex_lock(&op->redirect->held_lock);
	if (l.type == INLAY_LOCK_UNLOCK)
		change(op->file, &l);
	else if (l.type == INLAY_LOCK_READ)
		share(op->file, &l);
	pthread_mutex_unlock(&op->redirect->held_lock);
}

void inlay_held_granted(struct inlay_op *op)
{
	struct inlay_lock_req l = as_held(op);

	if (op->file->side != INLAY_REMOTE || l.type == INLAY_LOCK_UNLOCK)
		return;
	pthread_mutex_lock(&op->redirect->held_lock);
	if (!op->file->locks_over) /* else its CLOSE gives the lock back */
		change(op->file, &l);
	pthread_mutex_unlock(&op->redirect->held_lock);
}

void inlay_held_drop(struct inlay_redirect *r, struct inlay_file *f)
{
	if (f->side != INLAY_REMOTE)
		return;
	pthread_mutex_lock(&r->held_lock);
	f->locks_over = true;
	inlay_list_each_safe(it, tmp, &f->node->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (h->lock.handle == f->handle)
			held_free(h);
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

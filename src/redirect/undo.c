/*
 * Lock requests that are given up, brought to their end: of that owner the server must hold what held.c says, not more.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   LOCK, in the place of the operation's --granted--> LOCK or UNLOCK, piece by piece --> over
 *     |  `--refused--> over
 *     `--queued--> LOCK_CANCEL --> the owner's others ask again: it names none of them, and may have been one of theirs
 *
 * Until it is over, what the owner asks for next waits (inlay_undo_is_due), so that nothing newer is undone.
 */
#include "redirect/op.h"

#include <stdlib.h>

struct inlay_undo {
	struct inlay_call call;
	struct inlay_list link; /* redirect->undoing, under waiters_lock */
	struct inlay_redirect *redirect;
	struct inlay_file *file; /* referenced; NULL: only to be cancelled */
	enum inlay_side side;
	unsigned lane;
	struct inlay_lock_req lock; /* what was asked for; start: from here on it is still to be undone */
	bool last;                  /* the last piece is out */
	uint8_t room[INLAY_FRAME_HEADER + 64];
};

bool inlay_undo_prepare(struct inlay_op *op)
{
	if (!op->undo)
		op->undo = calloc(1, sizeof *op->undo);
	return op->undo;
}

static void over(struct inlay_undo *u)
{
	struct inlay_redirect *r = u->redirect;

	pthread_mutex_lock(&r->waiters_lock);
	inlay_list_remove(&u->link);
	pthread_mutex_unlock(&r->waiters_lock);
	if (u->file)
		inlay_locks_undone(r, u->file->node);
	inlay_file_put(r, u->file);
	free(u);
}

static void send(
	struct inlay_undo *u, struct inlay_writer *w, void (*done)(struct inlay_call *c, const struct inlay_reply *r))
{
	u->call.done = done;
	if (inlay_call_end(&u->call, w) < 0) /* unreachable: the room is for the largest */
		abort();
	inlay_redirect_submit_later(u->redirect, u->lane, u->side, &u->call);
}

static void canceled(struct inlay_call *c, const struct inlay_reply *r)
{
	struct inlay_undo *u = inlay_container(c, struct inlay_undo, call);

	(void)r;
	inlay_redirect_event_lock(u->redirect, u->side,
		&(struct inlay_event_lock_req){.handle = u->lock.handle, .owner = u->lock.owner, .kind = u->lock.kind});
	over(u);
}

static void cancel(struct inlay_undo *u)
{
	struct inlay_writer w = inlay_call_begin(&u->call, INLAY_LOCK_CANCEL, u->room, sizeof u->room);

	inlay_put_lock_cancel_req(&w, &(struct inlay_lock_cancel_req){
					      .handle = u->lock.handle, .owner = u->lock.owner, .kind = u->lock.kind});
	send(u, &w, canceled);
}

static void settled(struct inlay_call *c, const struct inlay_reply *r);

static void settle(struct inlay_undo *u)
{
	struct inlay_writer w = inlay_call_begin(&u->call, INLAY_LOCK, u->room, sizeof u->room);
	struct inlay_lock_req piece = inlay_held_piece(u->redirect, u->file, &u->lock);

	u->last = piece.end >= u->lock.end;
	u->lock.start = piece.end + 1;
	inlay_put_lock_req(&w, &piece);
	send(u, &w, settled);
}

static void settled(struct inlay_call *c, const struct inlay_reply *r)
{
	struct inlay_undo *u = inlay_container(c, struct inlay_undo, call);

	if (u->last || r->status == -INLAY_ECANCELED)
		over(u);
	else
		settle(u);
}

static void answered(struct inlay_call *c, const struct inlay_reply *r)
{
	struct inlay_undo *u = inlay_container(c, struct inlay_undo, call);

	if (r->status == 0 && u->lock.type != INLAY_LOCK_UNLOCK)
		settle(u);
	else if (r->status == -INLAY_EQUEUED)
		cancel(u);
	else
		over(u);
}

static struct inlay_undo *take(struct inlay_op *op)
{
	struct inlay_undo *u = op->undo;

	op->undo = NULL;
	inlay_list_init(&u->link);
	u->redirect = op->redirect;
	u->side = op->file->side;
	u->call.patient = true;
	u->lane = op->lane;
	u->lock = op->in.lock;
	u->lock.handle = op->file->handle;
	if (u->lock.kind == INLAY_LOCK_FLOCK) {
		u->lock.start = 0;
		u->lock.end = INT64_MAX;
	}
	return u;
}

void inlay_undo_queued(struct inlay_op *op)
{
	if (op->undo)
		cancel(take(op));
}

struct inlay_call *inlay_undo_heir(struct inlay_call *c)
{
	struct inlay_op *op = inlay_container(c, struct inlay_op, call);
	struct inlay_file *f = op->undo ? inlay_file_get(op->redirect, op->file->number) : NULL;
	struct inlay_undo *u;

	if (!f) /* being closed: that gives back all */
		return NULL;
	u = take(op);
	u->file = f;
	memcpy(u->room, c->head, INLAY_FRAME_HEADER + c->body_len);
	u->call = (struct inlay_call){.type = c->type, .head = u->room, .body_len = c->body_len, .done = answered, .patient = true};
	pthread_mutex_lock(&u->redirect->waiters_lock);
	inlay_list_append(&u->redirect->undoing, &u->link);
	pthread_mutex_unlock(&u->redirect->waiters_lock);
	return &u->call;
}

bool inlay_undo_is_due(const struct inlay_op *op)
{
	inlay_list_each (it, &op->redirect->undoing) {
		const struct inlay_undo *u = inlay_container(it, struct inlay_undo, link);

		if (u->file->node == op->file->node && u->lock.owner == op->in.lock.owner &&
			u->lock.kind == op->in.lock.kind)
			return true;
	}
	return false;
}

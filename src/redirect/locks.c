/*
 * Locks: asked for on the file's side; one that must wait asks again when EVENT_LOCK hints that it may succeed.
 * SPDX-License-Identifier: Apache-2.0
 *
 * An operation is on redirect->waiters from before its first request until it ends, so that a hint which overtakes the
 * answer is not lost: it marks the operation as poked, and the answer "queued" then asks again at once. After a restart
 * the server may put off those, too, who asked not to wait.
 */
#include "redirect/op.h"

#include <stdlib.h>

static void ask(struct inlay_op *op);

static void leave_waiters(struct inlay_op *op)
{
	pthread_mutex_lock(&op->redirect->waiters_lock);
	inlay_list_remove(&op->waiter);
	pthread_mutex_unlock(&op->redirect->waiters_lock);
}

static void end(struct inlay_op *op, int status)
{
	leave_waiters(op);
	free(op->undo);
	op->undo = NULL;
	inlay_op_end(op, status);
}

/* It is not granted as long as it is queued: whoever gives up need not wait for the side to hear of it. */
static void give_up(struct inlay_op *op)
{
	inlay_undo_queued(op);
	end(op, -INLAY_EINTR);
}

/* op->result while it waits: a request is out, none is, or it is on its way to its lane to send one. */
enum wait_state { WAIT_ASKING, WAIT_IDLE, WAIT_POSTED };

/*
 * A refusal may be due to a lock of a description that the same program has just closed: closing is not waited for by the
 * kernel and may go another way to the server. True: the operation waits for those CLOSEs, or has asked again.
 */
static bool wait_for_closes(struct inlay_op *op)
{
	struct inlay_node *node = op->file->node;
	bool again, park;

	pthread_mutex_lock(&op->redirect->waiters_lock);
	park = atomic_load(&node->closing) > 0;
	again = !park && atomic_load(&node->closes) != op->closes;
	if (park) {
		op->for_close = true;
		op->result = WAIT_IDLE;
		if (inlay_list_empty(&op->waiter))
			inlay_list_append(&op->redirect->waiters, &op->waiter);
	}
	pthread_mutex_unlock(&op->redirect->waiters_lock);
	if (again)
		ask(op);
	return park || again;
}

static void queued(struct inlay_op *op)
{
	bool again, canceled;

	pthread_mutex_lock(&op->redirect->waiters_lock);
	canceled = op->canceled;
	/* A predecessor was queued: it may have had the hint since. */
	again = op->poked || op->call.inherited;
	op->poked = false;
	op->result = canceled || again ? WAIT_ASKING : WAIT_IDLE;
	pthread_mutex_unlock(&op->redirect->waiters_lock);
	/* When idle, another thread may pick the operation up from here on. */
	if (canceled)
		give_up(op);
	else if (again)
		ask(op);
}

static void lock_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	if (r->status == 0)
		inlay_held_granted(op);
	if (r->status == -INLAY_EAGAIN && wait_for_closes(op))
		return;
	if (r->status == -INLAY_EQUEUED && op->in.lock.type != INLAY_LOCK_UNLOCK) {
		queued(op);
		return;
	}
	/* Granted and interrupted at once: the grant stands, the program has its lock. */
	/* Who gives back waits for nobody, and nobody would ever wake it. */
	end(op, r->status == -INLAY_EQUEUED || op->for_loss ? -INLAY_EIO : r->status);
}

static void testlock_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	if (r->status == -INLAY_EQUEUED) {
		queued(op);
		return;
	}
	end(op, r->status < 0 ? r->status : INLAY_OP_GET(testlock, r, &op->out.lock));
}

static void ask_about(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_TESTLOCK);
	struct inlay_testlock_req req = {.handle = op->file->handle, .owner = op->in.lock.owner, .start = op->in.lock.start,
	                                 .end = op->in.lock.end, .kind = op->in.lock.kind, .type = op->in.lock.type};

	inlay_put_testlock_req(&w, &req);
	inlay_op_send(op, &w, op->file->side, testlock_answered);
}

/* True: the operation waits until what its owner gave up is undone, or has ended. */
static bool wait_for_undo(struct inlay_op *op)
{
	bool due, canceled;

	pthread_mutex_lock(&op->redirect->waiters_lock);
	due = inlay_undo_is_due(op);
	canceled = op->canceled;
	if (due && !canceled) {
		op->for_undo = true;
		op->result = WAIT_IDLE;
		if (inlay_list_empty(&op->waiter))
			inlay_list_append(&op->redirect->waiters, &op->waiter);
	}
	pthread_mutex_unlock(&op->redirect->waiters_lock);
	if (due && canceled)
		end(op, -INLAY_EINTR);
	return due;
}

static void ask(struct inlay_op *op)
{
	struct inlay_writer w;

	if (op->kind == INLAY_TESTLOCK) {
		ask_about(op);
		return;
	}
	/* What gives back goes without: given up, it may be lost, but only until the file is closed. */
	if (!inlay_undo_prepare(op) && op->in.lock.type != INLAY_LOCK_UNLOCK) {
		end(op, -INLAY_ENOLCK);
		return;
	}
	if (wait_for_undo(op))
		return;
	w = inlay_op_begin(op, INLAY_LOCK);
	op->call.heir = inlay_undo_heir;
	op->in.lock.handle = op->file->handle;
	inlay_held_asked(op);
	op->closes = atomic_load(&op->file->node->closes);
	inlay_put_lock_req(&w, &op->in.lock);
	inlay_op_send(op, &w, op->file->side, lock_answered);
}

/* On the operation's own lane again, after a hint or an interrupt. */
static void resume(struct inlay_op *op, const struct inlay_reply *r)
{
	bool canceled;

	(void)r;
	pthread_mutex_lock(&op->redirect->waiters_lock);
	canceled = op->canceled;
	op->poked = op->for_close = op->for_undo = false;
	op->result = WAIT_ASKING;
	pthread_mutex_unlock(&op->redirect->waiters_lock);
	if (canceled)
		give_up(op);
	else
		ask(op);
}

static void join_waiters(struct inlay_op *op)
{
	op->result = WAIT_ASKING;
	pthread_mutex_lock(&op->redirect->waiters_lock);
	op->canceled = op->canceled || op->redirect->stopping;
	inlay_list_append(&op->redirect->waiters, &op->waiter);
	pthread_mutex_unlock(&op->redirect->waiters_lock);
}

void inlay_op_lock(struct inlay_op *op)
{
	op->kind = INLAY_LOCK;
	if (atomic_fetch_add_explicit(&op->file->lock_uses, 1, memory_order_relaxed) == 0)
		inlay_estate_file_mark(op->redirect->estate, op->file->number, INLAY_FILE_LOCKED);
	atomic_fetch_add_explicit(&op->file->node->lock_uses, 1, memory_order_relaxed);
	join_waiters(op);
	ask(op);
}

/* Under waiters_lock. True: the caller reposts it. */
static bool wake_locked(struct inlay_op *op)
{
	if (op->result != WAIT_IDLE)
		return false;
	op->result = WAIT_POSTED;
	op->step = resume;
	return true;
}

/* A predecessor had it, and what its owner held before is not known any more: there is no way back. */
static bool is_had(struct inlay_op *op)
{
	return op->redirect->estate && op->call.inherited && op->in.lock.type != INLAY_LOCK_UNLOCK && inlay_held_has(op);
}

bool inlay_op_lock_interrupt(struct inlay_op *op)
{
	bool wake, asking, had = is_had(op);

	pthread_mutex_lock(&op->redirect->waiters_lock);
	op->canceled = true;
	asking = op->result == WAIT_ASKING && !had;
	wake = !inlay_list_empty(&op->waiter) && wake_locked(op);
	pthread_mutex_unlock(&op->redirect->waiters_lock);
	if (wake)
		op->redirect->repost(op->redirect, op);
	return asking;
}

void inlay_redirect_stop_waiting(struct inlay_redirect *r)
{
	struct inlay_op *op;

	do {
		pthread_mutex_lock(&r->waiters_lock);
		r->stopping = true;
		op = NULL;
		inlay_list_each(it, &r->waiters) {
			struct inlay_op *waiter = inlay_container(it, struct inlay_op, waiter);

			waiter->canceled = true;
			if (wake_locked(waiter)) {
				op = waiter;
				break;
			}
		}
		pthread_mutex_unlock(&r->waiters_lock);
		if (op)
			r->repost(r, op);
	} while (op);
}

static bool is_hinted(const struct inlay_op *op, enum inlay_side side, const struct inlay_event_lock_req *e)
{
	if (op->file->side != side)
		return false;
	return !e || !e->handle || (op->file->handle == e->handle && op->in.lock.owner == e->owner && op->in.lock.kind == e->kind);
}

/* Under waiters_lock: pokes the side's waiters that the event names (NULL: all); returns one to be reposted, NULL at the end. */
static struct inlay_op *poke_locked(struct inlay_redirect *r, enum inlay_side side, const struct inlay_event_lock_req *e)
{
	inlay_list_each(it, &r->waiters) {
		struct inlay_op *op = inlay_container(it, struct inlay_op, waiter);

		if (!is_hinted(op, side, e))
			continue;
		op->poked = true;
		if (wake_locked(op))
			return op;
	}
	return NULL;
}

static void poke(struct inlay_redirect *r, enum inlay_side side, const struct inlay_event_lock_req *e)
{
	for (;;) {
		struct inlay_op *op;

		pthread_mutex_lock(&r->waiters_lock);
		op = poke_locked(r, side, e);
		pthread_mutex_unlock(&r->waiters_lock);
		if (!op)
			return;
		r->repost(r, op);
	}
}

void inlay_redirect_event_lock(struct inlay_redirect *r, enum inlay_side side, const struct inlay_event_lock_req *e)
{
	poke(r, side, e);
}

void inlay_redirect_ask_again(struct inlay_redirect *r, enum inlay_side side)
{
	poke(r, side, NULL);
}

static struct inlay_op *take_parked(struct inlay_redirect *r, const struct inlay_node *node, bool by_undo)
{
	struct inlay_op *found = NULL;

	pthread_mutex_lock(&r->waiters_lock);
	inlay_list_each(it, &r->waiters) {
		struct inlay_op *op = inlay_container(it, struct inlay_op, waiter);

		if ((by_undo ? op->for_undo : op->for_close) && op->file->node == node && wake_locked(op)) {
			found = op;
			break;
		}
	}
	pthread_mutex_unlock(&r->waiters_lock);
	return found;
}

void inlay_locks_closed(struct inlay_redirect *r, struct inlay_node *node)
{
	struct inlay_op *op;

	while ((op = take_parked(r, node, false)) != NULL)
		r->repost(r, op);
}

void inlay_locks_undone(struct inlay_redirect *r, struct inlay_node *node)
{
	struct inlay_op *op;

	while ((op = take_parked(r, node, true)) != NULL)
		r->repost(r, op);
}

void inlay_op_testlock(struct inlay_op *op)
{
	op->kind = INLAY_TESTLOCK;
	join_waiters(op);
	ask(op);
}

void inlay_op_flush(struct inlay_op *op)
{
	/*
	 * Told, but not taken: whoever starts a program closes what that is not to have, and looks at no error. So each close
	 * says it until a sync has.
	 */
	bool lost = atomic_load_explicit(&op->file->lost, memory_order_relaxed);

	op->kind = INLAY_LOCK;
	op->side = op->file->side;
	/* Nothing is buffered: without locks there is nothing to tell, and closing costs no round trip. */
	if (atomic_load_explicit(&op->file->node->lock_uses, memory_order_relaxed) == 0) {
		op->kind = INLAY_MESSAGE_TOP;
		inlay_op_end(op, lost ? -INLAY_EIO : 0);
		return;
	}
	op->for_loss = lost;
	op->in.lock.start = 0;
	op->in.lock.end = INT64_MAX;
	op->in.lock.kind = INLAY_LOCK_POSIX;
	op->in.lock.type = INLAY_LOCK_UNLOCK;
	op->in.lock.pid = 0;
	op->in.lock.flags = 0;
	ask(op);
}

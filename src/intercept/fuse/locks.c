/*
 * Requests on locks, and interrupts.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/fuse/channel.h"

#include <fcntl.h>
#include <stdlib.h>

static bool take_lock(struct inlay_fuse_request *rq, const struct fuse_lk_in *in, uint32_t flags)
{
	struct inlay_lock_req *l = &rq->op.in.lock;

	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return false;
	l->owner = in->owner;
	l->start = in->lk.start;
	l->end = in->lk.end;
	l->kind = in->lk_flags & FUSE_LK_FLOCK ? INLAY_LOCK_FLOCK : INLAY_LOCK_POSIX;
	l->type = in->lk.type == F_RDLCK ? INLAY_LOCK_READ : in->lk.type == F_WRLCK ? INLAY_LOCK_WRITE : INLAY_LOCK_UNLOCK;
	l->pid = in->lk.pid;
	l->flags = flags;
	return true;
}

static void finish_getlk(struct inlay_op *op, int status)
{
	static const uint32_t types[] = {[INLAY_LOCK_READ] = F_RDLCK, [INLAY_LOCK_WRITE] = F_WRLCK,
	                                 [INLAY_LOCK_UNLOCK] = F_UNLCK};
	const struct inlay_testlock_rep *l = &op->out.lock;
	struct fuse_lk_out out = {0};

	if (status == 0)
		out.lk = (struct fuse_file_lock){.start = l->start, .end = l->end, .pid = l->pid,
		                                 .type = types[l->type <= INLAY_LOCK_UNLOCK ? l->type : INLAY_LOCK_UNLOCK]};
	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

void inlay_fuse_getlk(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	rq->op.finish = finish_getlk;
	if (take_lock(rq, arg, 0))
		inlay_op_testlock(&rq->op);
}

/*
 * A lock is refused, but a RELEASE that frees it may have been read before it, on another channel that has not come to
 * it yet. So the request goes through all loops once, each of which has by then done what it had read, and asks again.
 */
static void pass_round(struct inlay_task *t)
{
	struct inlay_fuse_request *rq = inlay_container(t, struct inlay_fuse_request, task);
	struct inlay_fuse *f = rq->channel->fuse;
	unsigned at = rq->round++;

	rq->task = (struct inlay_task){.done = pass_round};
	if (at < f->channels)
		inlay_loop_post(inlay_crew_loop(f->config.crew, at), &rq->task);
	else if (at == f->channels)
		inlay_loop_post(inlay_crew_loop(f->config.crew, rq->channel->lane), &rq->task);
	else
		inlay_op_lock(&rq->op);
}

static void finish_lock(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);

	if (status == -INLAY_EAGAIN && rq->round == 0 && rq->channel->fuse->channels > 1 && !rq->early) {
		pass_round(&rq->task);
	} else if (status == 0 && rq->early && op->in.lock.type != INLAY_LOCK_UNLOCK) {
		/* Its program is gone, and others may have the same file open. */
		op->in.lock.type = INLAY_LOCK_UNLOCK;
		op->in.lock.flags = 0;
		inlay_op_lock(op);
	} else {
		inlay_fuse_answer_status(rq, status);
	}
}

void inlay_fuse_setlk(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	rq->op.finish = finish_lock;
	if (take_lock(rq, arg, 0))
		inlay_op_lock(&rq->op);
}

void inlay_fuse_setlkw(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	rq->op.finish = finish_lock;
	if (!take_lock(rq, arg, INLAY_LOCK_WAIT))
		return;
	/* It may wait for hours: what was read with it must not stay in memory for that. */
	inlay_chunk_unref(rq->chunk);
	rq->chunk = NULL;
	rq->in = NULL;
	rq->op.canceled = inlay_fuse_was_interrupted(rq->channel->fuse, rq->unique);
	inlay_op_lock(&rq->op);
}

/* ---- interrupts: the request may be on any channel, or still on its way ---- */

struct search {
	struct inlay_task task;
	struct inlay_fuse *fuse;
	unsigned next; /* channel to look at */
	uint64_t unique;
};

bool inlay_fuse_was_interrupted(struct inlay_fuse *f, uint64_t unique)
{
	bool found = false;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < INLAY_FUSE_EARLY; i++) {
		if (f->early[i] == unique) {
			f->early[i] = 0;
			found = true;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return found;
}

static void remember(struct inlay_fuse *f, uint64_t unique)
{
	pthread_mutex_lock(&f->lock);
	f->early[f->early_at++ % INLAY_FUSE_EARLY] = unique;
	pthread_mutex_unlock(&f->lock);
}

/* A lock may be waiting with no call under way. Any other request is given up for those alone who never learn of it. */
static void interrupt(struct inlay_fuse_request *rq)
{
	struct inlay_op *op = &rq->op;
	struct inlay_side_port *port = op->redirect->port[op->side];
	bool is_lock = rq->opcode == FUSE_SETLKW || rq->opcode == FUSE_SETLK;

	inlay_fuse_watch(rq, true);
	if (is_lock && inlay_op_lock_interrupt(op) && port->cancel)
		port->cancel(port, op->lane, &op->call);
}

static bool interrupt_on(struct inlay_fuse_channel *ch, uint64_t unique)
{
	inlay_list_each(it, &ch->inflight) {
		struct inlay_fuse_request *rq = inlay_container(it, struct inlay_fuse_request, link);

		if (rq->unique != unique)
			continue;
		interrupt(rq);
		return true;
	}
	return false;
}

static void search_on(struct search *s);

static void search_here(struct inlay_task *t)
{
	struct search *s = inlay_container(t, struct search, task);

	if (interrupt_on(&s->fuse->channel[s->next], s->unique)) {
		(void)inlay_fuse_was_interrupted(s->fuse, s->unique);
		free(s);
		return;
	}
	s->next++;
	search_on(s);
}

static void search_on(struct search *s)
{
	if (s->next == s->fuse->channels) {
		free(s); /* answered already, or it finds the note when it comes */
		return;
	}
	s->task = (struct inlay_task){.done = search_here};
	inlay_loop_post(inlay_crew_loop(s->fuse->config.crew, s->next), &s->task);
}

void inlay_fuse_interrupt(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_interrupt_in *in = arg;
	struct search *s = calloc(1, sizeof *s);

	(void)len;
	if (s) {
		s->fuse = rq->channel->fuse;
		s->unique = in->unique;
		remember(s->fuse, s->unique); /* first: it may come on a channel that the search has passed */
		search_on(s);
	}
	inlay_fuse_no_answer(rq);
}

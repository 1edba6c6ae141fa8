/*
 * Open numbers: attributes, durability, free space, closing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/filter.h"

void inlay_wf_file_free(struct inlay_wf_file *f)
{
	inlay_list_remove(&f->link);
	inlay_wf_hold_end(f);
	inlay_wf_node_put(f->w, f->node);
	inlay_wf_node_put(f->w, f->parent);
	free(f->path);
	free(f->cred);
	free(f);
}

static uint64_t any_handle(const struct inlay_wf_file *f)
{
	static const enum inlay_wf_use order[] = {INLAY_WF_WRITE, INLAY_WF_APPEND, INLAY_WF_READ};

	for (unsigned i = 0; i < sizeof order / sizeof *order; i++)
		if (f->handle[order[i]])
			return f->handle[order[i]];
	return 0;
}

/* The operation is about the file: its node, and a handle where there is one. */
static struct inlay_op *op_on_file(struct inlay_wf_request *rq, uint64_t handle, inlay_wf_step *then)
{
	struct inlay_op *op = inlay_wf_op(rq, then);

	op->node = inlay_node_ref(rq->file->node->node); /* never NULL: the file counts a lookup */
	op->file = handle ? inlay_file_get(rq->w->redirect, handle) : NULL;
	return op;
}

static void done(struct inlay_wf_request *rq, int status)
{
	inlay_wf_op_done(rq);
	inlay_wf_answer_status(rq, status);
}

/* ---- flush ---- */

void inlay_wf_flush(struct inlay_wf_request *rq)
{
	uint64_t handle = any_handle(rq->file);
	struct inlay_op *op;

	if (!handle) { /* nothing can have been written through it */
		inlay_wf_answer_status(rq, 0);
		return;
	}
	op = op_on_file(rq, handle, done);
	if (op->file)
		inlay_op_commit(op);
	else
		done(rq, -INLAY_EBADF);
}

/* ---- attributes ---- */

static void got_attr(struct inlay_wf_request *rq, int status)
{
	struct inlay_attr attr = rq->op.attr;

	inlay_wf_op_done(rq);
	inlay_wf_answer_attr(rq, status, &attr);
}

void inlay_wf_getattr(struct inlay_wf_request *rq)
{
	inlay_op_getattr(op_on_file(rq, any_handle(rq->file), got_attr));
}

static void take_times(const struct inlay_ring_attr *a, struct inlay_setattr_req *set)
{
	if (a->accessed > 0) {
		set->valid |= INLAY_SET_ATIME;
		set->atime = inlay_win_time_to(a->accessed);
	}
	if (a->written > 0) {
		set->valid |= INLAY_SET_MTIME;
		set->mtime = inlay_win_time_to(a->written);
	}
}

/* mode: what is to be set, UINT32_MAX: it is to be left. */
static void set_attr(struct inlay_wf_request *rq, uint32_t mode)
{
	const struct inlay_cred *cred = rq->file->cred ? rq->file->cred : &rq->w->cred;
	uint32_t mask = rq->in.in.set.mask;
	const struct inlay_ring_attr *a = &rq->in.in.set.attr;
	/* A handle for writing may change the size whatever the mode says by now. */
	struct inlay_op *op = op_on_file(rq, rq->file->handle[INLAY_WF_WRITE], got_attr);

	op->in.set.valid = 0;
	if (mask & INLAY_RING_SET_SIZE) {
		op->in.set.valid |= INLAY_SET_SIZE | (cred->uid ? INLAY_SET_KILL_PRIV : 0u);
		op->in.set.size = a->size;
	}
	if (mask & INLAY_RING_SET_TIMES)
		take_times(a, &op->in.set);
	if (mode != UINT32_MAX) {
		op->in.set.valid |= INLAY_SET_MODE;
		op->in.set.mode = mode;
	}
	if (op->in.set.valid)
		inlay_op_setattr(op);
	else
		inlay_op_getattr(op);
}

static void got_mode(struct inlay_wf_request *rq, int status)
{
	uint32_t mode = rq->op.attr.mode & 07777, wanted = inlay_win_mode_with(rq->op.attr.mode, rq->in.in.set.attr.attributes);

	inlay_wf_op_done(rq);
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0)
		inlay_wf_answer_status(rq, status);
	else
		set_attr(rq, wanted == mode ? UINT32_MAX : wanted);
}

void inlay_wf_setattr(struct inlay_wf_request *rq)
{
	uint32_t mask = rq->in.in.set.mask;
	const struct inlay_ring_attr *a = &rq->in.in.set.attr;
	bool dir = rq->file->type == INLAY_WF_TYPE_DIR;

	if (rq->w->config.readonly)
		inlay_wf_answer_nt(rq, INLAY_NT_MEDIA_WRITE_PROTECTED);
	else if (mask & INLAY_RING_SET_SIZE && (dir || a->size > (uint64_t)INT64_MAX))
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER);
	else if (mask & INLAY_RING_SET_ATTRIBUTES && a->attributes && !dir)
		inlay_op_getattr(op_on_file(rq, any_handle(rq->file), got_mode));
	else
		set_attr(rq, UINT32_MAX);
}

/* ---- free space ---- */

static uint64_t bytes_of(uint64_t blocks, uint64_t size)
{
	return size && blocks > (uint64_t)INT64_MAX / size ? (uint64_t)INT64_MAX : blocks * size;
}

static void got_space(struct inlay_wf_request *rq, int status)
{
	struct inlay_ring_completion c = {.status = inlay_ntstatus_from(status)};
	const struct inlay_statfs_rep *s = &rq->op.out.statfs;

	if (status == 0) {
		c.attr.size = bytes_of(s->blocks, s->frsize);
		c.attr.allocation = bytes_of(s->bavail, s->frsize);
	}
	inlay_wf_op_done(rq);
	inlay_wf_answer(rq, &c);
}

void inlay_wf_statfs(struct inlay_wf_request *rq)
{
	inlay_op_statfs(op_on_file(rq, 0, got_space));
}

/* ---- closing ---- */

static void closed(struct inlay_wf_request *rq, int status);

static void close_next(struct inlay_wf_request *rq)
{
	struct inlay_wf_close *close = &rq->u.close;
	struct inlay_op *op;

	while (close->count) {
		uint64_t handle = close->handle[--close->count];
		struct inlay_file *file = inlay_file_get(rq->w->redirect, handle);

		if (!file)
			continue;
		op = inlay_wf_op(rq, closed);
		op->file = file;
		inlay_op_close(op);
		return;
	}
	inlay_wf_answer_status(rq, 0);
}

/* Whatever the server says: the number is gone. */
static void closed(struct inlay_wf_request *rq, int status)
{
	(void)status;
	inlay_wf_op_done(rq);
	close_next(rq);
}

void inlay_wf_close(struct inlay_wf_request *rq)
{
	struct inlay_wf_close *close = &rq->u.close;
	struct inlay_wf_file *f = rq->file;

	if (inlay_table_remove(rq->w->files, f->number) < 0) { /* another CLOSE of it is under way */
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_HANDLE);
		return;
	}
	f->closed = true;
	inlay_list_remove(&f->link);
	inlay_wf_hold_end(f);
	memset(close, 0, sizeof *close);
	for (unsigned i = 0; i < INLAY_WF_USES; i++) {
		bool again = false;

		for (unsigned k = 0; k < close->count; k++)
			again = again || close->handle[k] == f->handle[i];
		if (f->handle[i] && !again)
			close->handle[close->count++] = f->handle[i];
	}
	close_next(rq);
}

/*
 * Reading and writing: between the slot and the server, without a copy more.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A number of the ring may be read and written in ways that its program never asked for: the memory manager pages through
 * whichever file object it came by first. So each way has its own handle on the server, opened when it is first needed.
 */
#include "intercept/winfilter/filter.h"

#define SPREAD_FROM 4u /* data requests on home's lane: the next ones go to others */

void inlay_wf_abandon(struct inlay_winfilter *w, uint64_t handle)
{
	struct inlay_file *f = handle ? inlay_file_get(w->redirect, handle) : NULL;

	if (!f)
		return;
	inlay_file_put(w->redirect, f);
	inlay_redirect_abandon_file(w->redirect, 0, f);
}

/* ---- handles ---- */

static void handle_opened(struct inlay_wf_request *rq, int status);
static void start(struct inlay_wf_request *rq);

static void open_handle(struct inlay_wf_request *rq, uint32_t flags)
{
	struct inlay_op *op = inlay_wf_op(rq, handle_opened);

	rq->u.data.open_flags = flags;
	op->node = inlay_node_ref(rq->file->node->node);
	op->in.make.flags = flags;
	if (op->node)
		inlay_op_open(op);
	else
		inlay_wf_answer_status(rq, -INLAY_ESTALE); /* unreachable: the file counts a lookup */
}

static void handle_opened(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_data *d = &rq->u.data;
	struct inlay_wf_file *f = rq->file;
	uint64_t number = status == 0 ? rq->op.opened->number : 0;

	inlay_wf_op_done(rq);
	if (status == -INLAY_EACCES && d->open_flags == INLAY_O_RDWR) {
		open_handle(rq, INLAY_O_WRONLY);
		return;
	}
	if (status == 0)
		status = f->closed ? -INLAY_EBADF : inlay_wf_checkpoint(rq);
	if (status < 0) {
		inlay_wf_abandon(rq->w, number);
		inlay_wf_answer_status(rq, status);
		return;
	}
	if (f->handle[d->use]) { /* another request was quicker */
		inlay_wf_abandon(rq->w, number);
	} else {
		f->handle[d->use] = number;
		if (d->open_flags == INLAY_O_RDWR && !f->handle[INLAY_WF_READ])
			f->handle[INLAY_WF_READ] = number;
	}
	start(rq);
}

static void need_handle(struct inlay_wf_request *rq)
{
	static const uint32_t flags[INLAY_WF_USES] = {
		[INLAY_WF_READ] = INLAY_O_RDONLY,
		[INLAY_WF_WRITE] = INLAY_O_RDWR, /* what is written in part of a page is read first */
		[INLAY_WF_APPEND] = INLAY_O_WRONLY | INLAY_O_APPEND,
	};

	if (rq->file->handle[rq->u.data.use])
		start(rq);
	else
		open_handle(rq, flags[rq->u.data.use]);
}

/* ---- moving ---- */

static void move(struct inlay_wf_request *rq);

static void ended(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_data *d = &rq->u.data;
	struct inlay_ring_completion c = {.status = inlay_ntstatus_from(status)};

	if (status == 0) {
		c.length = rq->in.kind == INLAY_RING_WRITE ? rq->in.length : d->moved;
		c.attr.size = d->size < (uint64_t)INT64_MAX ? d->size : (uint64_t)INT64_MAX;
	}
	if (d->counted)
		rq->w->data_home--;
	inlay_wf_answer(rq, &c);
}

static void was_read(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_data *d = &rq->u.data;
	size_t len = status == 0 ? rq->op.reply->data_len : 0, zeros = status == 0 ? rq->op.out.read.zeros : 0;
	bool end = len + zeros < rq->op.in.io.len;

	/* Together never more than was asked for: the redirector has seen to that. */
	if (len)
		memcpy(d->slot + d->moved, rq->op.reply->data, len);
	if (zeros)
		memset(d->slot + d->moved + len, 0, zeros);
	d->moved += (uint32_t)(len + zeros);
	inlay_wf_op_done(rq);
	if (status < 0 || end || d->moved == d->length)
		ended(rq, status);
	else
		move(rq);
}

static void was_written(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_data *d = &rq->u.data;
	uint32_t count = status == 0 ? rq->op.out.write.count : 0;

	d->moved += count;
	d->size = rq->op.out.write.size;
	inlay_wf_op_done(rq);
	if (status == 0 && count == 0)
		status = -INLAY_EIO;
	if (status < 0 || d->moved == d->length)
		ended(rq, status);
	else
		move(rq);
}

/* One message's worth; on the request's lane. */
static void move(struct inlay_wf_request *rq)
{
	struct inlay_wf_data *d = &rq->u.data;
	struct inlay_redirect *r = rq->w->redirect;
	uint32_t most = r->port[INLAY_REMOTE]->max_data, left = d->length - d->moved;
	bool write = rq->in.kind == INLAY_RING_WRITE;
	struct inlay_op *op = inlay_wf_op(rq, write ? was_written : was_read);

	op->file = inlay_file_get(r, d->handle);
	if (!op->file) { /* closed meanwhile */
		ended(rq, -INLAY_EBADF);
		return;
	}
	op->in.io.off = d->use == INLAY_WF_APPEND ? 0 : rq->in.offset + d->moved;
	if (write) {
		op->in.io.flags = d->flags;
		op->data = d->slot + d->moved;
		op->data_len = left < most ? left : most;
		inlay_op_write(op);
	} else {
		op->in.io.len = left < most ? left : most;
		inlay_op_read(op);
	}
}

static void move_elsewhere(struct inlay_task *t)
{
	struct inlay_wf_request *rq = inlay_container(t, struct inlay_wf_request, task);

	inlay_loop_busy(rq->w->lane[rq->lane].loop, 1);
	move(rq);
}

/* The file's number is let go of: it is home's. What is needed from now on is the handle alone. */
static void hand_over(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_file *f = rq->file;

	w->next_lane = w->next_lane % (w->lanes - 1) + 1;
	rq->file = NULL;
	inlay_table_put(w->files, f->number);
	inlay_loop_busy(w->lane[0].loop, -1);
	rq->lane = w->next_lane;
	rq->task = (struct inlay_task){.done = move_elsewhere};
	inlay_loop_post(w->lane[rq->lane].loop, &rq->task);
}

static void ready(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;

	if (w->lanes > 1 && w->data_home >= SPREAD_FROM) {
		hand_over(rq);
		return;
	}
	w->data_home++;
	rq->u.data.counted = true;
	move(rq);
}

static uint32_t write_flags(const struct inlay_wf_request *rq)
{
	const struct inlay_cred *cred = rq->file->cred ? rq->file->cred : &rq->w->cred;

	/* Root keeps set-id bits, as on a local file. */
	return (rq->in.flags & INLAY_RING_WRITE_THROUGH ? INLAY_WRITE_FILE_SYNC : 0u) | (cred->uid ? INLAY_WRITE_KILL_PRIV : 0u);
}

/* What a page holds behind the end of the file is not the file's. */
static void clip(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_data *d = &rq->u.data;
	uint64_t size = rq->op.attr.size;

	inlay_wf_op_done(rq);
	d->size = size;
	if (status == 0 && rq->in.offset + d->length > size)
		d->length = size > rq->in.offset ? (uint32_t)(size - rq->in.offset) : 0;
	if (status == 0 && d->length)
		ready(rq);
	else
		ended(rq, status);
}

static void start(struct inlay_wf_request *rq)
{
	struct inlay_wf_data *d = &rq->u.data;
	struct inlay_op *op;

	d->handle = rq->file->handle[d->use];
	if (rq->in.kind != INLAY_RING_WRITE || !(rq->in.flags & INLAY_RING_PAGING) || d->use == INLAY_WF_APPEND) {
		ready(rq);
		return;
	}
	op = inlay_wf_op(rq, clip);
	op->node = inlay_node_ref(rq->file->node->node);
	op->file = inlay_file_get(rq->w->redirect, d->handle);
	inlay_op_getattr(op);
}

static void begin(struct inlay_wf_request *rq, enum inlay_wf_use use)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_data *d = &rq->u.data;

	memset(d, 0, sizeof *d);
	d->use = use;
	d->flags = write_flags(rq);
	d->length = rq->in.length;
	d->slot = inlay_ring_responder_slot(&w->ring, rq->in.slot);
	if (rq->file->type != INLAY_WF_TYPE_REG)
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_DEVICE_REQUEST);
	else if (use != INLAY_WF_READ && w->config.readonly)
		inlay_wf_answer_nt(rq, INLAY_NT_MEDIA_WRITE_PROTECTED);
	else if (rq->in.length == 0)
		inlay_wf_answer_status(rq, 0);
	else if (!d->slot)
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER); /* unreachable: the ring has checked it */
	else
		need_handle(rq);
}

void inlay_wf_read(struct inlay_wf_request *rq)
{
	begin(rq, INLAY_WF_READ);
}

/* Nothing to write: what the answer says is the file as it is. */
static void sized(struct inlay_wf_request *rq, int status)
{
	struct inlay_attr attr = rq->op.attr;

	inlay_wf_op_done(rq);
	inlay_wf_answer_attr(rq, status, &attr);
}

void inlay_wf_write(struct inlay_wf_request *rq)
{
	struct inlay_op *op;

	if (rq->in.length > 0 || rq->file->type != INLAY_WF_TYPE_REG) {
		begin(rq, rq->in.flags & INLAY_RING_APPEND ? INLAY_WF_APPEND : INLAY_WF_WRITE);
		return;
	}
	op = inlay_wf_op(rq, sized);
	op->node = inlay_node_ref(rq->file->node->node);
	inlay_op_getattr(op);
}

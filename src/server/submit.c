/*
 * READ without a thread: its middle part, where the disk is waited for, is given to the loop's ring.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

/* Stores without a descriptor of the host's are called on a thread. */
static int host_fd(const struct exec *x, struct handle *h)
{
	return inlay_store_offers(x->ex->store, file_fd) ? x->ops->file_fd(h->file) : -INLAY_ENOTSUP;
}

/* r: 0 with x->out written, or a status; -INLAY_EAGAIN: not executed. */
static void over(struct exec *x, int r)
{
	struct inlay_request *rq = x->rq;

	handle_put(x->ss, rq->handle);
	if (r == -INLAY_EAGAIN)
		inlay_request_done(rq);
	else
		exec_end(x, r);
	rq->submitted(rq, r != -INLAY_EAGAIN);
}

static void read_done(struct inlay_uring_op *op, int64_t result)
{
	struct inlay_request *rq = inlay_container(op, struct inlay_request, op);
	struct exec x = exec_begin(rq);
	uint8_t *room = rq->reply_data;

	rq->reply_data = NULL;
	if (result >= 0)
		exec_read_reply(&x, room, (uint32_t)result);
	over(&x, result < 0 ? (int)result : 0);
}

static bool submit_read(struct exec *x, struct inlay_loop *l)
{
	struct inlay_request *rq = x->rq;
	struct inlay_read_req m;
	struct handle *h;
	uint8_t *room;
	int fd;

	if (exec_read_open(x, &m, &h) < 0)
		return false;
	fd = host_fd(x, h);
	room = fd >= 0 && m.len ? exec_payload(x, m.len) : NULL;
	rq->handle = m.handle;
	rq->reply_data = room;
	rq->op.done = read_done;
	if (room && inlay_uring_read(l, &rq->op, fd, m.off, rq->chunk, room, m.len))
		return true;
	handle_put(x->ss, m.handle);
	inlay_request_done(rq);
	return false;
}

bool inlay_request_submit(struct inlay_request *rq, struct inlay_loop *l,
                          void (*submitted)(struct inlay_request *rq, bool executed))
{
	struct exec x = exec_begin(rq);

	if (rq->type != INLAY_READ || rq->data_room || __atomic_load_n(&x.ss->over, __ATOMIC_ACQUIRE))
		return false;
	rq->submitted = submitted;
	rq->reply_body = rq->reply;
	rq->reply_data = NULL;
	rq->reply_len = rq->reply_data_len = 0;
	return submit_read(&x, l);
}

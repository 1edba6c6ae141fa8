/*
 * Requests of a connection: from the frame through the slot and the executor to the reply.
 *
 *   frame -> slot -> READ: into the output queue at once, no task
 *                    ... that would block: the loop's ring     --none, or full--+
 *                    slow: a spare thread                     <-----------------+
 *                    else: this thread, which may lose its loop over it
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/peer.h"

#include <stdlib.h>
#include <string.h>

#define SPARES_MAX 256u
#define COPIED_MAX 8192u /* a payload up to this size is copied behind its header: cheaper than a piece of its own */
#define READ_HEAD (INLAY_FRAME_HEADER + 8u)

/* ---- their memory ---- */

static struct work *work_new(struct server_loop *sl)
{
	struct work *w = sl->spare;

	if (!w)
		return calloc(1, sizeof(*w));
	sl->spare = w->next;
	sl->spares--;
	return w;
}

static void work_free(struct server_loop *sl, struct work *w)
{
	if (sl->spares >= SPARES_MAX) {
		free(w);
		return;
	}
	w->next = sl->spare;
	sl->spare = w;
	sl->spares++;
}

void works_free(struct server_loop *sl)
{
	struct work *w;

	while ((w = sl->spare)) {
		sl->spare = w->next;
		free(w);
	}
	sl->spares = 0;
}

/* ---- replies ---- */

static struct inlay_frame reply_frame(const struct work *w)
{
	const struct inlay_request *rq = &w->rq;

	return (struct inlay_frame){
		.size = INLAY_FRAME_HEADER + rq->reply_len + rq->reply_data_len,
		.type = rq->type,
		.kind = INLAY_FRAME_REPLY,
		.slot = w->slot,
		.status = (uint32_t)-rq->status,
		.seq = w->seq,
		.body = rq->reply_len,
	};
}

static void send_small(struct peer *p, const struct work *w, const struct inlay_frame *f)
{
	uint8_t *room = inlay_conn_reserve(p->conn, f->size);

	if (!room)
		return;
	inlay_frame_put(room, f);
	memcpy(room + INLAY_FRAME_HEADER, w->rq.reply_body, w->rq.reply_len);
	if (w->rq.reply_data_len)
		memcpy(room + INLAY_FRAME_HEADER + w->rq.reply_len, w->rq.reply_data, w->rq.reply_data_len);
	inlay_conn_commit(p->conn, f->size);
}

/* The executor left room before the payload. */
static void send_large(struct peer *p, const struct work *w, const struct inlay_frame *f)
{
	uint8_t *start = w->rq.reply_data - w->rq.reply_len - INLAY_FRAME_HEADER;

	inlay_frame_put(start, f);
	memcpy(start + INLAY_FRAME_HEADER, w->rq.reply_body, w->rq.reply_len);
	inlay_conn_send_chunk(p->conn, w->rq.chunk, start, f->size);
}

static void answer(struct peer *p, struct work *w)
{
	struct inlay_frame f = reply_frame(w);

	if (!p->conn->open)
		return;
	if (w->rq.reply_data_len > COPIED_MAX)
		send_large(p, w, &f);
	else
		send_small(p, w, &f);
	peer_sent(p, f.size);
}

/* The slot keeps what must not be done twice. Under lane.lock. */
static void slot_end(struct work *w)
{
	uint8_t kept[INLAY_REPLY_CACHE_MAX];
	struct inlay_frame f = reply_frame(w);

	w->lane->busy[w->slot] = NULL;
	if (!(inlay_message_flags(w->rq.type) & INLAY_MSG_MUTATES) || f.size > sizeof(kept)) {
		inlay_slots_end(w->lane->slots, w->slot, NULL, 0);
		return;
	}
	inlay_frame_put(kept, &f);
	memcpy(kept + INLAY_FRAME_HEADER, w->rq.reply_body, w->rq.reply_len);
	inlay_slots_end(w->lane->slots, w->slot, kept, f.size);
}

/* ---- the end of a request ---- */

static void work_over(struct server_loop *sl, struct work *w)
{
	inlay_request_done(&w->rq);
	inlay_chunk_unref(w->hold);
	session_unref(w->session);
	__atomic_sub_fetch(&sl->server->under_way, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&w->peer->under_way, 1, __ATOMIC_ACQ_REL);
	peer_unref(w->peer);
	work_free(sl, w);
}

/* On the loop of the connection that asked again elsewhere. */
static void answer_elsewhere(struct inlay_task *t)
{
	struct work *w = inlay_container(t, struct work, task);

	answer(w->peer, w);
	work_over(w->peer->sl, w);
}

static void slot_finish(struct work *w)
{
	pthread_mutex_lock(&w->lane->lock);
	slot_end(w);
	pthread_mutex_unlock(&w->lane->lock);
}

static void finish(struct work *w)
{
	inlay_loop_busy(w->sl->loop, -1);
	if (w->called)
		call_end(w->sl->server, &w->session->caller);
	slot_finish(w);
	if (w->rq.status == -INLAY_EPROTO) {
		session_end(w->session, "protocol violation");
	} else if (w->peer->sl != w->sl) {
		w->task.done = answer_elsewhere;
		inlay_loop_post(w->peer->sl->loop, &w->task);
		return;
	} else {
		answer(w->peer, w);
	}
	work_over(w->sl, w);
}

static void work_done(struct inlay_task *t)
{
	struct work *w = inlay_container(t, struct work, task);

	finish(w);
}

static void work_run(struct inlay_task *t)
{
	inlay_request_execute(&inlay_container(t, struct work, task)->rq);
}

/* ---- the fast way of a READ ---- */

static void read_answer(struct peer *p, struct work *w, uint8_t *room)
{
	struct inlay_frame f = reply_frame(w);

	inlay_frame_put(room, &f);
	memcpy(room + INLAY_FRAME_HEADER, w->rq.reply_body, w->rq.reply_len);
	if (w->rq.reply_data_len && w->rq.reply_data != room + READ_HEAD) /* unreachable: the room was large enough */
		memcpy(room + READ_HEAD, w->rq.reply_data, w->rq.reply_data_len);
	inlay_conn_commit(p->conn, f.size);
	peer_sent(p, f.size);
}

/* True: answered. The data goes from the store right into the output queue; nothing here waits for a disk. */
static bool read_at_once(struct peer *p, struct work *w)
{
	struct inlay_reader r = inlay_reader(w->rq.body, w->rq.body_len);
	struct inlay_read_req m;
	uint8_t *room;

	if (inlay_get_read_req(&r, &m) < 0 || m.len > INLAY_DATA_MAX)
		return false;
	room = inlay_conn_reserve(p->conn, READ_HEAD + m.len);
	if (!room)
		return false;
	w->rq.nowait = true;
	w->rq.data_room = room + READ_HEAD;
	w->rq.data_room_len = m.len;
	inlay_request_execute(&w->rq);
	if (w->rq.status == -INLAY_EAGAIN || w->rq.status == -INLAY_EPROTO) {
		inlay_conn_commit(p->conn, 0);
		inlay_request_done(&w->rq);
		w->rq.nowait = false;
		w->rq.data_room = NULL;
		w->rq.data_room_len = 0;
		return false;
	}
	read_answer(p, w, room);
	slot_finish(w);
	inlay_loop_busy(w->sl->loop, -1);
	if (w->peer != p) /* asked again on another connection this very moment: have it asked once more */
		peer_close_later(w->peer);
	work_over(w->sl, w);
	return true;
}

static bool may_begin(struct work *w)
{
	w->called = true;
	return call_begin(w->sl->server, &w->session->caller, w->sl->loop, &w->task);
}

static void submitted(struct inlay_request *rq, bool executed)
{
	struct work *w = inlay_container(rq, struct work, rq);

	if (executed)
		finish(w);
	else if (may_begin(w))
		inlay_loop_offload(w->sl->loop, &w->task);
}

static bool start(struct peer *p, struct work *w)
{
	if (w->rq.type == INLAY_READ && read_at_once(p, w))
		return true;
	w->task.work = work_run;
	w->task.done = work_done;
	if (w->rq.type == INLAY_READ && inlay_request_submit(&w->rq, w->sl->loop, submitted))
		return true;
	if (!may_begin(w))
		return true;
	if (w->rq.type != INLAY_READ && !inlay_request_is_slow(&w->rq))
		return inlay_loop_run(w->sl->loop, &w->task);
	inlay_loop_offload(w->sl->loop, &w->task);
	return true;
}

/* ---- the session's own messages ---- */

static bool session_message(struct peer *p, struct work *w)
{
	struct inlay_session *bye = NULL;

	if (w->rq.body_len)
		w->rq.status = -INLAY_EPROTO;
	else if (w->rq.type == INLAY_BYE)
		bye = session_ref(w->session);
	finish(w);
	if (!bye)
		return true;
	inlay_conn_flush(p->conn);
	session_end(bye, "the client said goodbye");
	session_unref(bye);
	return true;
}

/* ---- the beginning of a request ---- */

static struct record_ref record_of(const struct peer *p, const struct inlay_frame *f)
{
	if (f->flags & INLAY_FRAME_REDO)
		return (struct record_ref){p->lane->record, f->lane & 0xff, f->lane >> 8, f->status, true};
	return (struct record_ref){p->lane->record, f->slot, session_tag(p->session), f->seq, false};
}

static void fill(struct work *w, struct peer *p, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                 struct inlay_chunk *chunk)
{
	struct inlay_request *rq = &w->rq;

	w->sl = p->sl;
	w->session = session_ref(p->session);
	w->lane = p->lane;
	w->peer = p;
	peer_ref(p);
	w->hold = inlay_chunk_ref(chunk);
	w->seq = f->seq;
	w->slot = f->slot;
	w->called = false;
	rq->session = p->session;
	rq->type = f->type;
	rq->body = body;
	rq->data = data;
	rq->body_len = f->body;
	rq->data_len = inlay_frame_data_len(f);
	rq->nowait = false;
	rq->record = record_of(p, f);
	rq->data_room = NULL;
	rq->data_room_len = 0;
	rq->status = 0;
	rq->reply_body = rq->reply;
	rq->reply_data = NULL;
	rq->reply_len = rq->reply_data_len = 0;
	rq->chunk = NULL;
	__atomic_add_fetch(&p->under_way, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&p->sl->server->under_way, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&p->sl->requests, 1, __ATOMIC_RELAXED);
}

/* The reply is owed to the connection on which the request came in last. Under lane.lock. */
static struct peer *redirect(struct work *busy, struct peer *p)
{
	struct peer *old = busy->peer;

	if (old == p)
		return NULL;
	peer_ref(p);
	__atomic_add_fetch(&p->under_way, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&old->under_way, 1, __ATOMIC_ACQ_REL);
	busy->peer = p;
	return old;
}

static void send_kept(struct peer *p, const uint8_t *reply, size_t len)
{
	uint8_t *room = inlay_conn_reserve(p->conn, len);

	if (!room)
		return;
	memcpy(room, reply, len);
	inlay_conn_commit(p->conn, len);
	peer_sent(p, len);
}

/* What the slot says; with NEW the work stands in it. */
static enum inlay_slot_verdict slot_begin(struct peer *p, const struct inlay_frame *f, struct work *w,
                                          const uint8_t *body, const uint8_t *data, struct inlay_chunk *chunk)
{
	struct lane *la = p->lane;
	enum inlay_slot_verdict v = INLAY_SLOT_BUSY; /* when replaced: the client has another connection, nothing to do */
	const uint8_t *reply = NULL;
	struct peer *old = NULL;
	size_t len = 0;

	pthread_mutex_lock(&la->lock);
	if (la->peer == p) {
		v = inlay_slots_begin(la->slots, f->slot, f->seq, &reply, &len);
		if (v == INLAY_SLOT_NEW) {
			fill(w, p, f, body, data, chunk);
			la->busy[f->slot] = w;
		} else if (v == INLAY_SLOT_BUSY) {
			old = redirect(la->busy[f->slot], p);
		} else if (v == INLAY_SLOT_REPLAY) {
			send_kept(p, reply, len);
		}
	}
	pthread_mutex_unlock(&la->lock);
	peer_unref(old);
	return v;
}

bool peer_request(struct peer *p, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                  struct inlay_chunk *chunk)
{
	struct work *w = work_new(p->sl);
	enum inlay_slot_verdict v;

	if (!w) {
		inlay_conn_close(p->conn, -INLAY_ENOMEM);
		return true;
	}
	v = slot_begin(p, f, w, body, data, chunk);
	if (v != INLAY_SLOT_NEW) {
		work_free(p->sl, w);
		if (v == INLAY_SLOT_BAD)
			session_end(p->session, "protocol violation: a slot or its number is wrong");
		return true;
	}
	inlay_loop_busy(p->sl->loop, 1);
	if (inlay_message_flags(f->type) & INLAY_MSG_SESSION)
		return session_message(p, w);
	return start(p, w);
}

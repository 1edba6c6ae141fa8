/*
 * What the server's host has lost in a crash, sent again: file by file, each by an opening of its own.
 *
 *   REOPEN --ok--> GETATTR --nobody else's--> WRITE, SETATTR, FALLOCATE ... in their order --> CLOSE --> the next file
 *     |              |                          |
 *     v              v                          v
 *   it can't be had as programs believe it to be: those who have it open are told
 *
 * All of it stays kept: it is no more durable than before.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/reclaim.h"

#include <stdlib.h>

static void closed(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);

	if (reclaim_answered(it, r))
		return;
	it->kept = NULL;
	reclaim_go_on(it);
}

static void close_it(struct reclaim_item *it)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_CLOSE, it->room, sizeof it->room);

	it->call.data = NULL;
	it->call.data_len = 0;
	it->call.data_hold = NULL;
	inlay_put_close_req(&w, &(struct inlay_close_req){.handle = it->handle});
	reclaim_send(it, &w, closed);
}

static void lost(struct reclaim_item *it)
{
	it->reclaim->lost++;
	inlay_unsynced_lost(it->reclaim->redirect, it->kept, 0);
	it->kept = NULL;
}

static void lost_and_close(struct reclaim_item *it)
{
	lost(it);
	close_it(it);
}

static void next_change(struct reclaim_item *it);

/* The time of the last one counts. */
static void sent_again(struct reclaim_item *it, uint64_t modified)
{
	struct inlay_redirect *r = it->reclaim->redirect;

	pthread_mutex_lock(&r->kept.lock);
	it->kept->modified = modified > it->kept->modified ? modified : it->kept->modified;
	pthread_mutex_unlock(&r->kept.lock);
	next_change(it);
}

static void written(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);
	struct inlay_write_rep rep;

	if (reclaim_answered(it, r))
		return;
	if (r->status < 0 || INLAY_OP_GET(write, r, &rep) < 0 || rep.count != it->change->len)
		lost_and_close(it);
	else
		sent_again(it, rep.modified);
}

static void send_write(struct reclaim_item *it, const struct inlay_change *c)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_WRITE, it->room, sizeof it->room);
	struct inlay_write_req req = {.handle = it->handle, .off = c->off, .flags = c->flags | INLAY_WRITE_AT};

	inlay_put_write_req(&w, &req);
	it->call.data = c->data;
	it->call.data_len = (uint32_t)c->len;
	it->call.data_hold = c->hold;
	reclaim_send(it, &w, written);
}

static void sized(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);
	struct inlay_setattr_rep rep;

	if (reclaim_answered(it, r))
		return;
	if (r->status < 0 || INLAY_OP_GET(setattr, r, &rep) < 0)
		lost_and_close(it);
	else
		sent_again(it, (uint64_t)rep.attr.mtime.sec * 1000000000u + rep.attr.mtime.nsec);
}

/* By the open file, which needs no permission: nobody is judged again. */
static void send_size(struct reclaim_item *it, const struct inlay_change *c)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_SETATTR, it->room, sizeof it->room);
	struct inlay_setattr_req req;

	req.node = it->kept->node->id[INLAY_REMOTE];
	req.handle = it->handle;
	req.cred.uid = req.cred.gid = req.cred.ngroups = 0;
	req.valid = INLAY_SET_SIZE;
	req.mode = req.uid = req.gid = 0;
	req.size = c->len;
	req.atime = req.mtime = (struct inlay_time){0};
	inlay_put_setattr_req(&w, &req);
	reclaim_send(it, &w, sized);
}

static void allocated(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);
	struct inlay_fallocate_rep rep;

	if (reclaim_answered(it, r))
		return;
	if (r->status < 0 || INLAY_OP_GET(fallocate, r, &rep) < 0)
		lost_and_close(it);
	else
		sent_again(it, rep.modified);
}

static void send_fallocate(struct reclaim_item *it, const struct inlay_change *c)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_FALLOCATE, it->room, sizeof it->room);
	struct inlay_fallocate_req req = {.handle = it->handle, .off = c->off, .len = c->len, .mode = c->flags};

	inlay_put_fallocate_req(&w, &req);
	reclaim_send(it, &w, allocated);
}

static void next_change(struct reclaim_item *it)
{
	it->change = inlay_unsynced_after(it->reclaim->redirect, it->kept, it->change);
	it->call.data = NULL;
	it->call.data_len = 0;
	it->call.data_hold = NULL;
	it->kept->resending = it->change;
	if (!it->change)
		close_it(it);
	else if (it->change->type == INLAY_WRITE)
		send_write(it, it->change);
	else if (it->change->type == INLAY_SETATTR)
		send_size(it, it->change);
	else
		send_fallocate(it, it->change);
}

/* Changed by others after our last change, as far as the crash has left that: what is kept would undo it. */
static void looked_at(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);
	struct inlay_getattr_rep rep;

	if (reclaim_answered(it, r))
		return;
	if (r->status < 0 || INLAY_OP_GET(getattr, r, &rep) < 0 ||
	    (uint64_t)rep.attr.mtime.sec * 1000000000u + rep.attr.mtime.nsec > it->kept->modified)
		lost_and_close(it);
	else
		next_change(it);
}

static void look(struct reclaim_item *it)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_GETATTR, it->room, sizeof it->room);
	struct inlay_getattr_req req = {.node = it->kept->node->id[INLAY_REMOTE], .handle = it->handle};

	inlay_put_getattr_req(&w, &req);
	reclaim_send(it, &w, looked_at);
}

static void opened(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);

	if (reclaim_answered(it, r))
		return;
	if (r->status < 0) {
		lost(it);
		reclaim_go_on(it);
	} else if (it->kept->resending || atomic_load(&it->kept->node->changing)) {
		next_change(it); /* what was under way may have changed its times */
	} else {
		look(it);
	}
}

bool resend_next(struct reclaim_item *it)
{
	struct inlay_redirect *r = it->reclaim->redirect;
	struct inlay_reopen_req req;
	struct inlay_writer w;

	it->kept = r->kept.due ? inlay_unsynced_next(r, it->reclaim->run) : NULL;
	if (!it->kept)
		return false;
	it->change = NULL;
	/* No handle of this client: those that servers give out are random. Never the same twice in a session. */
	it->handle = UINT64_MAX - r->kept.handles++;
	w = inlay_call_begin(&it->call, INLAY_REOPEN, it->room, sizeof it->room);
	req.handle = it->handle;
	req.node = it->kept->node->id[INLAY_REMOTE];
	req.cred.uid = req.cred.gid = req.cred.ngroups = 0;
	req.flags = it->kept->flags;
	req.kind = INLAY_REOPEN_FILE;
	req.token = it->kept->token;
	inlay_put_reopen_req(&w, &req);
	reclaim_send(it, &w, opened);
	return true;
}

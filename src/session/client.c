/*
 * A client's lane: slots, sending, completion, replay and time-outs. The handshake is in hello.c.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "session/client.h"

#include "base/status.h"
#include "session/lane.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull /* in ns */

static void finish(struct inlay_call *c, int status)
{
	struct inlay_reply r = {.status = status};

	c->done(c, &r);
}

static void ping_done(struct inlay_call *c, const struct inlay_reply *r)
{
	(void)r; /* whatever it says: the server was heard */
	inlay_container(c, struct inlay_lane, ping)->pinging = false;
}

int inlay_lane_init(struct inlay_lane *l, struct inlay_client *client, uint32_t index, const struct inlay_lane_ops *ops,
                    void *owner, uint64_t now_ns)
{
	memset(l, 0, sizeof(*l));
	l->client = client;
	l->ops = ops;
	l->owner = owner;
	l->index = index;
	l->since_ns = l->lost_ns = l->heard_ns = l->spoke_ns = now_ns;
	l->answered = true;
	inlay_list_init(&l->waiting);
	inlay_list_init(&l->reclaims);
	inlay_list_init(&l->redo);
	l->slot = calloc(INLAY_SLOTS_MAX, sizeof(l->slot[0]));
	l->free_slots = calloc(INLAY_SLOTS_MAX, sizeof(l->free_slots[0]));
	if (!l->slot || !l->free_slots) {
		free(l->slot);
		free(l->free_slots);
		return -INLAY_ENOMEM;
	}
	l->ping = (struct inlay_call){.type = INLAY_PING, .head = l->ping_head, .done = ping_done};
	l->hello_call = (struct inlay_call){.type = INLAY_HELLO, .head = l->hello, .slot = INLAY_NO_SLOT};
	return 0;
}

/* The slot stays taken. */
static void slot_leave(struct inlay_lane *l, uint32_t slot)
{
	if (l->slot[slot].call && l->slot[slot].call->redo) {
		l->redoing--;
		lane_row_redone(l, l->slot[slot].call);
	}
	l->slot[slot].call = NULL;
}

static void slot_free(struct inlay_lane *l, uint32_t slot)
{
	slot_leave(l, slot);
	l->slot[slot].abandoned = l->slot[slot].given_up = false;
	l->outstanding--;
	l->free_slots[l->slots - l->outstanding - 1] = slot;
}

void lane_slots_reset(struct inlay_lane *l, uint32_t slots)
{
	l->slots = slots;
	l->outstanding = l->redoing = 0;
	for (uint32_t i = 0; i < slots; i++) {
		l->slot[i] = (struct inlay_lane_slot){0};
		l->free_slots[i] = slots - 1 - i;
	}
}

static void fail_all(struct inlay_lane *l, int status)
{
	struct inlay_list *it;

	for (uint32_t i = 0; i < l->slots; i++) {
		struct inlay_call *c = l->slot[i].call;

		if (!c)
			continue;
		slot_free(l, i);
		finish(c, c->reclaims ? -INLAY_ECANCELED : status);
	}
	while ((it = inlay_list_pop(&l->reclaims)))
		finish(inlay_container(it, struct inlay_call, link), -INLAY_ECANCELED);
	while ((it = inlay_list_pop(&l->redo)))
		finish(inlay_container(it, struct inlay_call, link), status);
	while ((it = inlay_list_pop(&l->waiting)))
		finish(inlay_container(it, struct inlay_call, link), status);
}

void lane_state(struct inlay_lane *l, enum inlay_lane_state state, uint64_t now_ns)
{
	if (l->state == INLAY_LANE_OPEN && state != INLAY_LANE_OPEN) {
		/* Who says HELLO, and nothing after it, is as good as away. */
		if (l->answered)
			l->lost_ns = l->silent_ns ? l->silent_ns : now_ns;
		l->answered = false;
	}
	/* Whoever counts none has seen all that the lanes' replies have done. */
	if (lane_is_up(state) && !lane_is_up(l->state))
		__atomic_add_fetch(&l->client->up, 1, __ATOMIC_RELAXED);
	else if (!lane_is_up(state) && lane_is_up(l->state))
		__atomic_sub_fetch(&l->client->up, 1, __ATOMIC_RELEASE);
	l->state = state;
	l->since_ns = now_ns;
}

void lane_die(struct inlay_lane *l, int status, uint64_t now_ns)
{
	lane_state(l, INLAY_LANE_DEAD, now_ns);
	l->why_dead = status;
	fail_all(l, status);
	l->ops->dead(l, status);
}

void lane_drop(struct inlay_lane *l, int status)
{
	l->dropped = true;
	l->ops->drop(l, status);
}

void inlay_lane_end(struct inlay_lane *l)
{
	lane_state(l, INLAY_LANE_DEAD, l->since_ns);
	l->why_dead = -INLAY_ECANCELED;
	fail_all(l, -INLAY_ECANCELED);
}

void inlay_lane_done(struct inlay_lane *l)
{
	inlay_lane_end(l);
	free(l->slot);
	free(l->free_slots);
	l->slot = NULL;
	l->free_slots = NULL;
	l->slots = 0;
}

/* ---- sending ---- */

void lane_send(struct inlay_lane *l, struct inlay_call *c, uint64_t seq, uint8_t flags, uint64_t now_ns)
{
	inlay_frame_put(c->head, &(struct inlay_frame){
		.size = INLAY_FRAME_HEADER + c->body_len + c->data_len,
		.type = c->type,
		.kind = INLAY_FRAME_REQUEST,
		.flags = c->redo ? flags | INLAY_FRAME_REDO : flags,
		.slot = c->slot,
		.status = c->redo ? c->prior_seq : 0,
		.lane = c->redo ? c->prior_where : 0,
		.seq = seq,
		.body = c->body_len,
	});
	c->sent = true;
	l->spoke_ns = now_ns;
	l->ops->send(l, c);
}

/*
 * The last free slot is for PING alone: without it, a lane whose slots are all held up by slow requests could not tell
 * a busy server from a dead one.
 */
static bool may_take_slot(const struct inlay_lane *l, const struct inlay_call *c)
{
	uint32_t left = l->slots - l->outstanding;

	return left > 1 || (left == 1 && (c == &l->ping || l->slots == 1));
}

/* Requests are under way, PING apart. */
static bool is_asked(const struct inlay_lane *l)
{
	return l->outstanding > l->pinging;
}

static void send_new(struct inlay_lane *l, struct inlay_call *c, uint64_t now_ns)
{
	uint32_t slot = l->free_slots[l->slots - l->outstanding - 1];

	if (!is_asked(l) && c != &l->ping)
		l->asked_ns = now_ns;
	l->outstanding++;
	l->redoing += c->redo;
	l->slot[slot].call = c;
	c->slot = slot;
	l->slot[slot].seq++;
	lane_row_note(l, c);
	lane_send(l, c, l->slot[slot].seq, 0, now_ns);
}

static bool may_send(const struct inlay_lane *l)
{
	return lane_is_up(l->state) && !l->dropped;
}

/* What goes out next in this state. */
static struct inlay_list *queue_of(struct inlay_lane *l)
{
	if (l->state == INLAY_LANE_RECLAIM)
		return &l->reclaims;
	return l->redoing || !inlay_list_empty(&l->redo) ? &l->redo : &l->waiting;
}

void lane_pump(struct inlay_lane *l, uint64_t now_ns)
{
	while (may_send(l) && !inlay_list_empty(queue_of(l))) {
		struct inlay_call *c = inlay_container(queue_of(l)->next, struct inlay_call, link);

		if (!may_take_slot(l, c))
			return;
		inlay_list_remove(&c->link);
		send_new(l, c, now_ns);
	}
}

/*
 * A call given up while its lane was down may have reached the server or not, and its bytes are gone. A PING with its
 * slot and number settles both: the server answers with the kept reply, or executes the PING in its place.
 */
void lane_send_filler(struct inlay_lane *l, uint32_t slot, uint64_t now_ns)
{
	uint8_t head[INLAY_FRAME_HEADER];
	struct inlay_call filler = {.type = INLAY_PING, .head = head, .slot = slot};

	lane_send(l, &filler, l->slot[slot].seq, INLAY_FRAME_REPLAY, now_ns);
}

void lane_replay(struct inlay_lane *l, uint64_t now_ns)
{
	for (uint32_t i = 0; i < l->slots && may_send(l); i++) {
		if (l->slot[i].call)
			lane_send(l, l->slot[i].call, l->slot[i].seq, INLAY_FRAME_REPLAY, now_ns);
		else if (l->slot[i].abandoned)
			lane_send_filler(l, i, now_ns);
	}
}

/*
 * What the end of a session means for a call that was sent in it: requests that only let go of something of that
 * session have what they wanted; those that change nothing are simply sent again (opening and locking change the dead
 * session only); for the others nobody can tell whether they happened, and doing them twice may destroy data.
 */
enum fate { FATE_AGAIN, FATE_DONE, FATE_FAILED };

static bool opens_only(const struct inlay_call *c)
{
	struct inlay_reader r = inlay_reader(c->head + INLAY_FRAME_HEADER, c->body_len);
	struct inlay_open_req m;

	return inlay_get_open_req(&r, &m) == 0 && !(m.flags & INLAY_O_TRUNC);
}

static enum fate fate_of_type(uint32_t type)
{
	switch (type) {
	case INLAY_CLOSE:
	case INLAY_FORGET:
	case INLAY_LOCK_CANCEL:
	case INLAY_LEASE_RETURN:
	case INLAY_BYE:
		return FATE_DONE;
	case INLAY_OPENDIR:
	case INLAY_TMPFILE: /* what it had made went with the handle */
	case INLAY_LOCK:
	case INLAY_COMMIT:
	case INLAY_SYNCFS:
		return FATE_AGAIN;
	default:
		return inlay_message_flags((uint16_t)type) & INLAY_MSG_MUTATES ? FATE_FAILED : FATE_AGAIN;
	}
}

static enum fate fate_of(const struct inlay_call *c)
{
	return c->type == INLAY_OPEN && opens_only(c) ? FATE_AGAIN : fate_of_type(c->type);
}

/* A server that keeps a record knows what became of it; of a COMMIT: what the disk said, which it says once. */
static bool is_redone(const struct inlay_call *c)
{
	return !c->reclaims && (fate_of(c) == FATE_FAILED || c->type == INLAY_COMMIT || c->type == INLAY_SYNCFS);
}

bool lane_is_redone(uint32_t type)
{
	return fate_of_type(type) == FATE_FAILED || type == INLAY_COMMIT || type == INLAY_SYNCFS;
}

uint32_t lane_prior_where(const struct inlay_lane *l, uint32_t slot)
{
	const uint8_t *id = l->session.bytes;

	return slot | (uint32_t)id[0] << 8 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 24;
}

/* What the call was in the session that is lost: the first, should there be more of them. */
static void set_prior(const struct inlay_lane *l, struct inlay_call *c, uint32_t slot)
{
	c->sent = true;
	if (c->redo)
		return;
	c->redo = true;
	c->prior_seq = (uint32_t)l->slot[slot].seq;
	c->prior_where = lane_prior_where(l, slot);
}

void lane_session_lost(struct inlay_lane *l, uint32_t slots, bool redo)
{
	struct inlay_list again, over;
	struct inlay_list *it;

	inlay_list_init(&again);
	inlay_list_init(&over);
	lane_row_lost(l, redo);
	for (uint32_t i = 0; i < l->slots; i++) {
		struct inlay_call *c = l->slot[i].call;

		if (!c)
			continue;
		c->slot = INLAY_NO_SLOT;
		c->sent = false;
		if (redo && is_redone(c)) {
			set_prior(l, c, i);
			inlay_list_append(&l->redo, &c->link);
			continue;
		}
		inlay_list_append(!c->reclaims && fate_of(c) == FATE_AGAIN ? &again : &over, &c->link);
	}
	while (!redo && (it = inlay_list_pop(&l->redo)))
		inlay_list_append(&over, it);
	while ((it = inlay_list_pop(&l->reclaims)))
		inlay_list_append(&over, it);
	while (!inlay_list_empty(&again)) {
		it = again.prev;
		inlay_list_remove(it);
		inlay_list_prepend(&l->waiting, it);
	}
	lane_slots_reset(l, slots);
	while ((it = inlay_list_pop(&over))) {
		struct inlay_call *c = inlay_container(it, struct inlay_call, link);

		finish(c, c->reclaims ? -INLAY_ECANCELED : fate_of(c) == FATE_DONE ? 0 : -INLAY_EIO);
	}
}

static void take_call(struct inlay_call *c, bool reclaims, uint64_t now_ns)
{
	inlay_list_init(&c->link);
	c->slot = INLAY_NO_SLOT;
	c->sent = false;
	c->reclaims = reclaims;
	c->inherited = false;
	c->redo = false;
	c->submit_ns = now_ns;
}

void inlay_lane_reclaim(struct inlay_lane *l, struct inlay_call *c, uint64_t now_ns)
{
	take_call(c, true, now_ns);
	if (l->state != INLAY_LANE_RECLAIM) {
		finish(c, -INLAY_ECANCELED);
		return;
	}
	inlay_list_append(&l->reclaims, &c->link);
	lane_pump(l, now_ns);
}

void inlay_lane_submit(struct inlay_lane *l, struct inlay_call *c, uint64_t now_ns)
{
	take_call(c, false, now_ns);
	if (l->state == INLAY_LANE_DEAD) {
		finish(c, l->why_dead);
		return;
	}
	if (l->expected && c->origin && lane_row_claim(l, c)) {
		if (c->slot == INLAY_NO_SLOT)
			lane_pump(l, now_ns);
		else if (may_send(l))
			lane_send(l, c, l->slot[c->slot].seq, INLAY_FRAME_REPLAY, now_ns);
		return;
	}
	if (may_send(l) && queue_of(l) == &l->waiting && inlay_list_empty(&l->waiting) && may_take_slot(l, c))
		send_new(l, c, now_ns);
	else
		inlay_list_append(&l->waiting, &c->link);
}

/* ---- giving up ---- */

static void take_place(struct inlay_lane *l, struct inlay_call *c, struct inlay_call *heir)
{
	heir->slot = c->slot;
	heir->sent = c->sent;
	heir->submit_ns = c->submit_ns;
	heir->patient = true;
	inlay_list_init(&heir->link);
	if (c->slot != INLAY_NO_SLOT) {
		l->slot[c->slot].call = heir;
	} else {
		inlay_list_append(&c->link, &heir->link);
		inlay_list_remove(&c->link);
	}
}

/* The call is on the lane no more. */
static void leave(struct inlay_lane *l, struct inlay_call *c)
{
	struct inlay_call *heir = c->heir ? c->heir(c) : NULL;

	if (heir) {
		take_place(l, c, heir);
	} else if (c->slot == INLAY_NO_SLOT) {
		inlay_list_remove(&c->link);
	} else {
		slot_leave(l, c->slot);
		l->slot[c->slot].given_up = true;
		l->slot[c->slot].abandoned = true; /* still taken, until the server was heard about it */
	}
}

static bool is_on_lane(const struct inlay_lane *l, const struct inlay_call *c)
{
	if (c->slot == INLAY_NO_SLOT)
		return !inlay_list_empty(&c->link);
	return c->slot < l->slots && l->slot[c->slot].call == c;
}

bool inlay_lane_cancel(struct inlay_lane *l, struct inlay_call *c, bool force)
{
	if (!is_on_lane(l, c))
		return false;
	if (c->sent && (lane_is_up(l->state) || !force))
		return false;
	leave(l, c);
	finish(c, -INLAY_EINTR);
	return true;
}

static uint64_t wait_end(const struct inlay_lane *l, const struct inlay_call *c)
{
	uint64_t from = c->submit_ns > l->lost_ns ? c->submit_ns : l->lost_ns;
	uint64_t end;

	if (c == &l->ping || c->reclaims || c->patient || __builtin_add_overflow(from, l->client->timeout_ns, &end))
		return UINT64_MAX;
	return end;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t gather_due_in(struct inlay_lane *l, struct inlay_list *queue, struct inlay_list *due, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	inlay_list_each_safe(it, tmp, queue) {
		uint64_t end = wait_end(l, inlay_container(it, struct inlay_call, link));

		if (end <= now_ns) {
			leave(l, inlay_container(it, struct inlay_call, link));
			inlay_list_append(due, it);
		} else if (end < next) {
			next = end;
		}
	}
	return next;
}

/* Moves what is due to `due` and returns when the next one is. */
static uint64_t gather_due(struct inlay_lane *l, struct inlay_list *due, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < l->slots; i++) {
		struct inlay_call *c = l->slot[i].call;
		uint64_t end = c ? wait_end(l, c) : UINT64_MAX;

		if (end <= now_ns) {
			leave(l, c);
			inlay_list_append(due, &c->link);
		} else if (end < next) {
			next = end;
		}
	}
	next = min64(next, gather_due_in(l, &l->redo, due, now_ns));
	return min64(next, gather_due_in(l, &l->waiting, due, now_ns));
}

static uint64_t tick_down(struct inlay_lane *l, uint64_t now_ns)
{
	struct inlay_list due, *it;
	uint64_t next;

	if (!l->client->timeout_ns)
		return UINT64_MAX;
	inlay_list_init(&due);
	next = gather_due(l, &due, now_ns);
	while ((it = inlay_list_pop(&due)))
		finish(inlay_container(it, struct inlay_call, link), -INLAY_ETIMEDOUT);
	return next;
}

/* ---- time ---- */

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void ping(struct inlay_lane *l, uint64_t now_ns)
{
	l->pinging = true;
	l->ping.slot = INLAY_NO_SLOT;
	l->ping.sent = false;
	l->ping.submit_ns = now_ns;
	inlay_list_init(&l->ping.link);
	if (may_take_slot(l, &l->ping))
		send_new(l, &l->ping, now_ns);
	else
		inlay_list_prepend(queue_of(l), &l->ping.link);
}

/* Since when nothing has been heard though something was expected. */
static uint64_t quiet_since(const struct inlay_lane *l)
{
	return max64(l->heard_ns, l->asked_ns);
}

/* Programs wait for the server, and not for ever. */
static bool is_urgent(const struct inlay_lane *l)
{
	return l->client->timeout_ns && is_asked(l);
}

static uint64_t ping_due(const struct inlay_lane *l)
{
	uint64_t due = min64(l->heard_ns, l->spoke_ns) + min64(INLAY_KEEPALIVE_MS, l->lease_ms / 3) * MS;

	if (!is_urgent(l))
		return due;
	return min64(due, quiet_since(l) + (l->answered ? l->client->timeout_ns / 4 : 0));
}

/*
 * With a time-out of 8 s, for one whose requests wait:
 *
 *     0     2         6      8
 *     |     |         |      |
 *   last   PING    dropped   the requests end,        where it was dropped before and has not answered since:
 *   word                     unless answered anew     when they end, but never within less than 2 s
 */
static uint64_t silence_due(const struct inlay_lane *l)
{
	uint64_t least = max64(INLAY_SILENCE_MIN_MS * MS, l->client->timeout_ns / 4);
	uint64_t quiet = quiet_since(l), end = quiet + l->client->timeout_ns / 4 * 3;
	uint64_t due = max64(l->heard_ns, l->ping.submit_ns) + l->lease_ms * MS / 2;

	if (!is_urgent(l))
		return due;
	if (!l->answered)
		end = min64(end, l->lost_ns + l->client->timeout_ns);
	end = max64(end, quiet + least);
	return min64(due, max64(end, l->ping.submit_ns + l->client->timeout_ns / 4));
}

static uint64_t half_due(const struct inlay_lane *l)
{
	return l->half_ns ? l->half_ns + INLAY_HALF_FRAME_MS * MS : UINT64_MAX;
}

static uint64_t tick_open(struct inlay_lane *l, uint64_t now_ns)
{
	uint64_t due = ping_due(l);

	if (!l->pinging && due <= now_ns)
		ping(l, now_ns);
	due = min64(half_due(l), l->pinging ? silence_due(l) : due);
	if (due > now_ns)
		return due;
	l->silent_ns = quiet_since(l);
	lane_drop(l, -INLAY_ETIMEDOUT);
	return now_ns + INLAY_HELLO_TIMEOUT_MS * MS;
}

void inlay_lane_moved(struct inlay_lane *l, uint64_t bytes, uint64_t half_ns, uint64_t now_ns)
{
	uint64_t gained = bytes > l->moved ? bytes - l->moved : 0;

	l->moved = max64(l->moved, bytes);
	l->half_ns = half_ns;
	/* Each byte buys the time that it may take. */
	if (gained)
		l->heard_ns = min64(now_ns, quiet_since(l) + min64(gained, INLAY_FRAME_MAX) * (1000000000u / INLAY_RATE_MIN));
}

uint64_t inlay_lane_tick(struct inlay_lane *l, uint64_t now_ns)
{
	uint64_t hello_due = l->since_ns + INLAY_HELLO_TIMEOUT_MS * MS, open_due;

	if (l->dropped && lane_is_up(l->state))
		return now_ns + INLAY_HELLO_TIMEOUT_MS * MS;
	switch (l->state) {
	case INLAY_LANE_OPEN:
		open_due = tick_open(l, now_ns);
		if (l->state == INLAY_LANE_OPEN)
			return open_due;
		break; /* dropped, and gone already: its calls have times of their own */
	case INLAY_LANE_RECLAIM:
		return min64(tick_open(l, now_ns), tick_down(l, now_ns));
	case INLAY_LANE_DEAD:
		return UINT64_MAX;
	case INLAY_LANE_HELLO:
		if (hello_due <= now_ns && !l->dropped)
			lane_drop(l, -INLAY_ETIMEDOUT);
		break;
	case INLAY_LANE_DOWN:
		hello_due = UINT64_MAX;
		break;
	}
	if (l->state != INLAY_LANE_HELLO || l->dropped)
		hello_due = UINT64_MAX;
	return min64(hello_due, tick_down(l, now_ns));
}

/* ---- what the server says ---- */

void inlay_lane_disconnected(struct inlay_lane *l, uint64_t now_ns)
{
	l->dropped = false;
	if (l->state != INLAY_LANE_DEAD)
		lane_state(l, INLAY_LANE_DOWN, now_ns);
}

static int event(struct inlay_lane *l, const struct inlay_frame *f, const uint8_t *body)
{
	struct inlay_reader r = inlay_reader(body, f->body);
	struct inlay_event_lock_req lock;
	struct inlay_event_recall_req recall;

	switch (f->type) {
	case INLAY_EVENT_LOCK:
		if (inlay_get_event_lock_req(&r, &lock) < 0)
			return -INLAY_EPROTO;
		l->ops->event_lock(l, &lock);
		return 0;
	case INLAY_EVENT_RECALL:
		if (inlay_get_event_recall_req(&r, &recall) < 0)
			return -INLAY_EPROTO;
		l->ops->event_recall(l, &recall);
		return 0;
	default:
		return -INLAY_EPROTO;
	}
}

static int reply(struct inlay_lane *l, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data, void *hold)
{
	struct inlay_lane_slot *s;
	struct inlay_call *c;
	struct inlay_reply r = {.hold = hold};
	bool late;

	if (f->slot >= l->slots)
		return -INLAY_EPROTO;
	s = &l->slot[f->slot];
	c = s->call;
	if (f->seq != s->seq || (!c && !s->abandoned) || (c && f->type != c->type))
		return -INLAY_EPROTO;
	late = s->given_up && !f->status && f->type != INLAY_PING && l->ops->late;
	slot_free(l, f->slot);
	l->answered |= l->state == INLAY_LANE_OPEN;
	l->served |= c && c != &l->ping && !c->reclaims;
	if (late)
		l->ops->late(l, f->type, body, f->body);
	if (!c)
		return 0;
	/* A number that a newer server may know is still an error. */
	r.status = f->status > INLAY_EUNKNOWN ? -INLAY_EUNKNOWN : -(int)f->status;
	if (!f->status) {
		r.body = body;
		r.body_len = f->body;
		r.data = data;
		r.data_len = inlay_frame_data_len(f);
	}
	c->done(c, &r);
	return 0;
}

int inlay_lane_frame(struct inlay_lane *l, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                     void *hold, uint64_t now_ns)
{
	int r = -INLAY_EPROTO;

	if (l->dropped || l->state == INLAY_LANE_DOWN || l->state == INLAY_LANE_DEAD)
		return -INLAY_EPROTO;
	l->heard_ns = now_ns;
	if (l->state == INLAY_LANE_HELLO && f->kind == INLAY_FRAME_REPLY)
		return lane_hello_reply(l, f, body, now_ns);
	if (lane_is_up(l->state) && f->kind == INLAY_FRAME_REPLY)
		r = reply(l, f, body, data, hold);
	else if (lane_is_up(l->state) && f->kind == INLAY_FRAME_EVENT)
		r = event(l, f, body);
	if (r < 0)
		lane_drop(l, r);
	else
		lane_pump(l, now_ns);
	return r;
}

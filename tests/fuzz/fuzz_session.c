/*
 * Both roles of a session by steps, bytes and time interleaved. The client's lane: calls are made, cancelled and timed
 * out, connections come and go, and the server says what the input says, rightly or not. Each call must end exactly once.
 * The server's slots: any numbers, against a model of exactly-once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "session/client.h"
#include "session/slots.h"

#include <stdlib.h>
#include <string.h>

#define CALLS 64
#define SLOTS 4
#define RECLAIMS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

struct fuzz_call {
	struct inlay_call call;
	struct fuzz *z;
	bool under_way;
	uint8_t room[INLAY_FRAME_HEADER + 64];
};

struct fuzz {
	struct inlay_client client;
	struct inlay_lane lane;
	struct inlay_reader in;
	struct fuzz_call calls[CALLS], reclaims[RECLAIMS];
	unsigned reclaiming;          /* of them, not ended yet */
	bool reclaim_canceled;
	struct inlay_frame sent[256]; /* the last frames that went out */
	unsigned sent_count;
	bool connected, dropped;
	unsigned submitted, ended, depth;
	uint64_t now;
};

static uint8_t byte(struct fuzz *z)
{
	const uint8_t *p = inlay_read_bytes(&z->in, 1);

	return p ? *p : 0;
}

/* ---- the client ---- */

static void on_send(struct inlay_lane *l, const struct inlay_call *c)
{
	struct fuzz *z = l->owner;

	require(z->connected);
	require(inlay_frame_parse(c->head, INLAY_FRAME_HEADER, 1u << INLAY_FRAME_REQUEST, &z->sent[z->sent_count++ % 256]) == 1);
}

static void on_drop(struct inlay_lane *l, int status)
{
	require(status < 0);
	((struct fuzz *)l->owner)->dropped = true;
}

static void on_opened(struct inlay_lane *l, bool resumed)
{
	(void)resumed;
	require(l->state == INLAY_LANE_OPEN && l->slots > 0 && l->slots <= INLAY_SLOTS_MAX);
}

static void on_dead(struct inlay_lane *l, int status)
{
	require(l->state == INLAY_LANE_DEAD && status < 0);
}

static void on_lock(struct inlay_lane *l, const struct inlay_event_lock_req *e)
{
	(void)l, (void)e;
}

static void on_recall(struct inlay_lane *l, const struct inlay_event_recall_req *e)
{
	(void)l, (void)e;
}

/* ---- reclaim ---- */

static void on_lost(struct inlay_lane *l)
{
	require(l->index == 0);
}

static void reclaim_done(struct inlay_call *call, const struct inlay_reply *r)
{
	struct fuzz_call *c = inlay_container(call, struct fuzz_call, call);
	struct fuzz *z = c->z;

	require(c->under_way && z->reclaiming);
	c->under_way = false;
	z->ended++;
	z->reclaim_canceled |= r->status == -INLAY_ECANCELED;
	if (--z->reclaiming == 0 && !z->reclaim_canceled) {
		require(z->lane.state == INLAY_LANE_RECLAIM);
		inlay_lane_reclaimed(&z->lane, z->now);
	}
}

static bool on_reclaim(struct inlay_lane *l)
{
	struct fuzz *z = l->owner;

	require(l->state == INLAY_LANE_RECLAIM && !z->reclaiming);
	if (byte(z) % 8 == 0)
		return false;
	z->reclaim_canceled = false;
	z->reclaiming = RECLAIMS;
	for (unsigned i = 0; i < RECLAIMS; i++) {
		struct fuzz_call *c = &z->reclaims[i];
		struct inlay_writer w = inlay_call_begin(&c->call, i ? INLAY_REOPEN : INLAY_LOCK, c->room, sizeof c->room);

		inlay_write64(&w, i);
		require(inlay_call_end(&c->call, &w) == 0);
		c->call.done = reclaim_done;
		c->z = z;
		c->under_way = true;
		z->submitted++;
		inlay_lane_reclaim(l, &c->call, z->now);
	}
	return true;
}

static const struct inlay_lane_ops lane_ops = {on_send, on_drop, on_opened, on_dead, on_lock, on_recall, on_lost, on_reclaim, NULL};

static void submit(struct fuzz *z, struct fuzz_call *c, unsigned type);

static void call_done(struct inlay_call *call, const struct inlay_reply *r)
{
	struct fuzz_call *c = inlay_container(call, struct fuzz_call, call);
	struct fuzz *z = c->z;

	require(c->under_way && r->status <= 0);
	require(r->status == 0 || (!r->body && !r->data));
	c->under_way = false;
	z->ended++;
	/* Completions may go on to the next step at once. */
	if (++z->depth < 4 && byte(z) % 4 == 0)
		submit(z, c, byte(z));
	z->depth--;
}

static void submit(struct fuzz *z, struct fuzz_call *c, unsigned type)
{
	static const uint16_t types[] = {INLAY_GETATTR, INLAY_CLOSE, INLAY_UNLINK, INLAY_STATFS, INLAY_OPENDIR, INLAY_COMMIT};
	struct inlay_writer w;

	if (c->under_way)
		return;
	w = inlay_call_begin(&c->call, types[type % (sizeof types / sizeof types[0])], c->room, sizeof c->room);
	inlay_write64(&w, type);
	require(inlay_call_end(&c->call, &w) == 0);
	c->call.done = call_done;
	c->z = z;
	c->under_way = true;
	z->submitted++;
	inlay_lane_submit(&z->lane, &c->call, z->now);
}

static void disconnect(struct fuzz *z)
{
	z->connected = z->dropped = false;
	inlay_lane_disconnected(&z->lane, z->now);
}

static void frame(struct fuzz *z, const struct inlay_frame *f, const uint8_t *body)
{
	uint8_t *copy = malloc(f->body ? f->body : 1); /* exactly, so that reading on is found */

	require(copy);
	memcpy(copy, body, f->body);
	if (z->connected)
		(void)inlay_lane_frame(&z->lane, f, copy, NULL, NULL, z->now);
	free(copy);
}

/* HELLO's answer as it should be, but for what the input damages. */
static void hello(struct fuzz *z)
{
	uint8_t buf[512], how = byte(z);
	struct inlay_writer w = inlay_writer(buf, sizeof buf);
	struct inlay_hello_rep m = {.version = 1, .slots = how & 1 ? SLOTS : 1u + byte(z) % 8, .resumed = how >> 1 & 1,
	                            .session = {{1, how >> 2 & 1}}, .features = how & 128 ? INLAY_FEATURE_RECLAIM : 0, .boot = {{2}}, .lanes = 4, .max_data = INLAY_DATA_MAX,
	                            .lease_ms = how & 8 ? 3000 : byte(z), .server = INLAY_STR("s"), .rules = INLAY_STR("")};
	struct inlay_frame f = {.type = INLAY_HELLO, .kind = INLAY_FRAME_REPLY, .slot = INLAY_NO_SLOT, .seq = z->lane.hello_seq};

	inlay_put_hello_rep(&w, &m);
	if (how & 16)
		buf[byte(z) % inlay_writer_len(&w)] ^= byte(z);
	if ((how & 96) == 96)
		f.status = byte(z) & 1 ? INLAY_ENOSESSION : byte(z);
	f.body = f.status ? 0 : (uint32_t)inlay_writer_len(&w);
	f.size = INLAY_FRAME_HEADER + f.body;
	frame(z, &f, buf);
}

/* An answer to one of the last requests, the same once more, or one that nobody asked for. */
static void reply(struct fuzz *z)
{
	uint8_t body[64] = {0}, how = byte(z);
	struct inlay_frame f = z->sent[(z->sent_count - 1u - byte(z) % SLOTS) % 256];

	f.kind = INLAY_FRAME_REPLY;
	f.flags = 0;
	f.lane = 0;
	f.status = how & 1 ? byte(z) : 0;
	f.body = f.status ? 0 : how & 56;
	f.size = INLAY_FRAME_HEADER + f.body;
	if ((how & 192) == 192)
		f.seq += byte(z);
	if ((how & 6) == 6)
		f.slot = byte(z);
	frame(z, &f, body);
}

static void raw(struct fuzz *z)
{
	uint8_t head[INLAY_FRAME_HEADER] = {0}, body[256] = {0};
	struct inlay_frame f;

	for (size_t i = 0; i < sizeof head; i++)
		head[i] = byte(z);
	for (size_t i = 0; i < 32; i++)
		body[i] = byte(z);
	if (inlay_frame_parse(head, sizeof head, 1u << INLAY_FRAME_REPLY | 1u << INLAY_FRAME_EVENT, &f) == 1 &&
	    f.body <= sizeof body && inlay_frame_data_len(&f) == 0)
		frame(z, &f, body);
}

static void client_step(struct fuzz *z, uint8_t op)
{
	struct fuzz_call *c = &z->calls[byte(z) % CALLS];

	if (z->dropped)
		disconnect(z);
	switch (op % 10) {
	case 0:
		if (!z->connected) {
			z->connected = true;
			inlay_lane_connected(&z->lane, z->now);
		}
		break;
	case 1:
		if (z->connected)
			disconnect(z);
		break;
	case 2:
	case 3:
		submit(z, c, op / 10);
		break;
	case 4:
		if (c->z)
			(void)inlay_lane_cancel(&z->lane, &c->call, op & 16); /* ended ones, too: refused */
		break;
	case 5:
		z->now += byte(z) * 100000000ull;
		(void)inlay_lane_tick(&z->lane, z->now);
		break;
	case 6:
		hello(z);
		break;
	case 7:
	case 8:
		if (z->sent_count)
			reply(z);
		break;
	default:
		raw(z);
	}
	require(z->lane.outstanding <= z->lane.slots);
}

/* ---- the server's slots ---- */

struct model {
	uint64_t last;
	bool busy, kept;
};

static void slot_step(struct inlay_slots *s, struct model m[SLOTS], struct fuzz *z)
{
	uint8_t how = byte(z), slot = byte(z) % (SLOTS + 1);
	struct model *o = slot < SLOTS ? &m[slot] : NULL;
	uint64_t seq = (o ? o->last : 0) + (how & 3) - 1;
	const uint8_t *reply = NULL;
	size_t len = 0;
	enum inlay_slot_verdict v;

	if (how & 4) {
		if (!o || !o->busy)
			return;
		o->kept = how & 8;
		o->busy = false;
		inlay_slots_end(s, slot, o->kept ? (const uint8_t *)&o->last : NULL, o->kept ? sizeof o->last : 0);
		return;
	}
	v = inlay_slots_begin(s, slot, seq, &reply, &len);
	if (!o || (seq != o->last && seq != o->last + 1) || (seq == o->last + 1 && o->busy) || seq == 0) {
		require(v == INLAY_SLOT_BAD);
	} else if (seq == o->last + 1) {
		require(v == INLAY_SLOT_NEW);
		o->last = seq;
		o->busy = true;
	} else if (o->busy) {
		require(v == INLAY_SLOT_BUSY);
	} else if (o->kept) {
		require(v == INLAY_SLOT_REPLAY && len == sizeof o->last && memcmp(reply, &o->last, len) == 0);
	} else {
		require(v == INLAY_SLOT_NEW);
		o->busy = true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;
	struct inlay_slots *slots = inlay_slots_new(SLOTS);
	struct model model[SLOTS] = {{0}};

	require(slots);
	memset(&z, 0, sizeof z);
	z.in = inlay_reader(data, size);
	z.now = 1000000000;
	z.client.slots_wanted = SLOTS;
	z.client.timeout_ns = size & 1 ? 5000000000ull : 0;
	strcpy(z.client.export_name, "e");
	require(inlay_lane_init(&z.lane, &z.client, 0, &lane_ops, &z, z.now) == 0);
	while (z.in.p < z.in.end && !z.in.bad) {
		uint8_t op = byte(&z);

		if (op >= 200)
			slot_step(slots, model, &z);
		else
			client_step(&z, op);
	}
	inlay_lane_done(&z.lane);
	require(z.submitted == z.ended);
	inlay_slots_free(slots);
	return 0;
}

/*
 * The client's lane against a fake transport, and against the server's slots with connections cut at random.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "session/client.h"

#include "base/status.h"
#include "session/slots.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define S (1000 * MS)
#define FRAMES 4096
#define ID_BODY 8u

/* ---- a transport that keeps frames ---- */

struct sent {
	struct inlay_frame f;
	uint64_t id; /* first 8 bytes of the body, when there are */
	uint8_t body[640];
};
_Static_assert(sizeof(struct sent) <= INLAY_REPLY_CACHE_MAX, "the pair test keeps one as a reply");

struct wire {
	struct inlay_client client;
	struct inlay_lane lane;
	struct sent out[FRAMES];
	size_t count;
	int drops, drop_status, opens, resumes, deaths, dead_status, events;
	uint64_t now;
};

static struct wire wire;

static void on_send(struct inlay_lane *l, const struct inlay_call *c)
{
	struct wire *w = l->owner;
	struct sent *s = &w->out[w->count++];

	assert_true(w->count < FRAMES);
	memset(s, 0, sizeof(*s));
	assert_int_equal(inlay_frame_parse(c->head, INLAY_FRAME_HEADER, 1u << INLAY_FRAME_REQUEST, &s->f), 1);
	assert_int_equal(s->f.size, INLAY_FRAME_HEADER + c->body_len + c->data_len);
	memcpy(s->body, c->head + INLAY_FRAME_HEADER, c->body_len);
	s->id = inlay_load64(s->body);
}

static void on_drop(struct inlay_lane *l, int status)
{
	struct wire *w = l->owner;

	w->drops++;
	w->drop_status = status;
}

static void on_opened(struct inlay_lane *l, bool resumed)
{
	struct wire *w = l->owner;

	w->opens++;
	w->resumes += resumed;
}

static void on_dead(struct inlay_lane *l, int status)
{
	struct wire *w = l->owner;

	w->deaths++;
	w->dead_status = status;
}

static void on_lock(struct inlay_lane *l, const struct inlay_event_lock_req *e)
{
	struct wire *w = l->owner;

	assert_int_equal(e->owner, 77);
	w->events++;
}

static void on_recall(struct inlay_lane *l, const struct inlay_event_recall_req *e)
{
	(void)e;
	((struct wire *)l->owner)->events++;
}

static struct {
	unsigned count;
	uint16_t type;
	uint64_t first;
} late;

static void on_late(struct inlay_lane *l, uint16_t type, const uint8_t *body, uint32_t len)
{
	(void)l;
	late.count++;
	late.type = type;
	late.first = len == 8 ? inlay_load64(body) : 0;
}

static const struct inlay_lane_ops ops = {on_send, on_drop, on_opened, on_dead, on_lock, on_recall, NULL, NULL, on_late};

static struct inlay_uuid uuid(uint8_t n)
{
	struct inlay_uuid u;

	memset(u.bytes, n, sizeof(u.bytes));
	return u;
}

static struct wire *setup(uint32_t index)
{
	struct wire *w = &wire;

	memset(w, 0, sizeof(*w));
	w->client.client = uuid(9);
	w->client.slots_wanted = 4;
	strcpy(w->client.export_name, "data");
	strcpy(w->client.host, "test");
	w->now = S;
	if (index)
		w->client.session = uuid(1);
	assert_int_equal(inlay_lane_init(&w->lane, &w->client, index, &ops, w, w->now), 0);
	return w;
}

static int answer(struct wire *w, const struct sent *s, int status, const void *body, uint32_t len)
{
	struct inlay_frame f = {.size = INLAY_FRAME_HEADER + len, .type = s->f.type, .kind = INLAY_FRAME_REPLY,
		.slot = s->f.slot, .seq = s->f.seq, .status = (uint32_t)-status, .body = len};

	return inlay_lane_frame(&w->lane, &f, body, NULL, NULL, w->now);
}

static uint32_t hello_body(uint8_t *buf, size_t cap, uint8_t session, bool resumed, uint32_t slots)
{
	struct inlay_writer w = inlay_writer(buf, cap);
	struct inlay_hello_rep m = {.version = 1, .slots = slots, .session = uuid(session), .boot = uuid(2),
		.resumed = resumed, .lanes = 4, .max_data = INLAY_DATA_MAX, .lease_ms = INLAY_LEASE_MS,
		.server = INLAY_STR("server"), .rules = INLAY_STR("local *.o\n")};

	inlay_put_hello_rep(&w, &m);
	assert_false(w.full);
	return (uint32_t)inlay_writer_len(&w);
}

static const struct sent *last(const struct wire *w)
{
	return &w->out[w->count - 1];
}

static void open_lane(struct wire *w, uint8_t session, bool resumed, uint32_t slots)
{
	uint8_t body[1024];
	uint32_t len = hello_body(body, sizeof(body), session, resumed, slots);

	inlay_lane_connected(&w->lane, w->now);
	assert_int_equal(last(w)->f.type, INLAY_HELLO);
	assert_int_equal(last(w)->f.slot, INLAY_NO_SLOT);
	assert_int_equal(answer(w, last(w), 0, body, len), 0);
	assert_int_equal(w->lane.state, INLAY_LANE_OPEN);
}

/* ---- calls ---- */

struct call {
	struct inlay_call c;
	uint8_t room[INLAY_FRAME_HEADER + ID_BODY];
	int ended, status;
};

static void on_done(struct inlay_call *c, const struct inlay_reply *r)
{
	struct call *k = inlay_container(c, struct call, c);

	k->ended++;
	k->status = r->status;
}

static void make(struct call *k, uint16_t type, uint64_t id)
{
	struct inlay_writer w;

	memset(k, 0, sizeof(*k));
	w = inlay_call_begin(&k->c, type, k->room, sizeof(k->room));
	inlay_write64(&w, id);
	assert_int_equal(inlay_call_end(&k->c, &w), 0);
	k->c.done = on_done;
}

static void submit(struct wire *w, struct call *k, uint16_t type, uint64_t id)
{
	make(k, type, id);
	inlay_lane_submit(&w->lane, &k->c, w->now);
}

static void replies_come_in_any_order(void **state)
{
	struct wire *w = setup(0);
	struct call k[8];

	(void)state;
	open_lane(w, 1, false, 4);
	assert_string_equal(w->client.server, "server");
	assert_string_equal(w->client.rules, "local *.o\n");
	w->count = 0;
	for (size_t i = 0; i < 8; i++)
		submit(w, &k[i], INLAY_GETATTR, i);
	assert_int_equal(w->count, 3); /* one slot is PING's */
	assert_int_equal(answer(w, &w->out[2], 0, NULL, 0), 0);
	assert_int_equal(k[2].ended, 1);
	assert_int_equal(w->out[3].id, 3); /* first come, first served */
	assert_int_equal(answer(w, &w->out[0], -INLAY_ENOENT, NULL, 0), 0);
	assert_int_equal(k[0].status, -INLAY_ENOENT);
	for (size_t i = 1; i < 8; i++)
		if (i != 2)
			assert_int_equal(answer(w, &w->out[i], 0, NULL, 0), 0);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(k[i].ended, 1);
	assert_int_equal(w->lane.outstanding, 0);
	inlay_lane_done(&w->lane);
}

static void a_call_too_long_is_refused(void **state)
{
	struct call k;
	struct inlay_writer w = inlay_call_begin(&k.c, INLAY_PING, k.room, sizeof(k.room));

	(void)state;
	inlay_write64(&w, 1);
	inlay_write64(&w, 2);
	assert_int_equal(inlay_call_end(&k.c, &w), -INLAY_EOVERFLOW);
	w = inlay_call_begin(&k.c, INLAY_PING, k.room, 8);
	inlay_write64(&w, 1);
	assert_int_equal(inlay_call_end(&k.c, &w), -INLAY_EOVERFLOW);
}

/* Each hostile frame gets a lane of its own, with one GETATTR outstanding. */
static void expect_drop(void (*spoil)(struct inlay_frame *f))
{
	struct wire *w = setup(0);
	struct call k;
	struct inlay_frame f;

	open_lane(w, 1, false, 4);
	submit(w, &k, INLAY_GETATTR, 5);
	f = (struct inlay_frame){.size = INLAY_FRAME_HEADER, .type = INLAY_GETATTR, .kind = INLAY_FRAME_REPLY,
		.slot = last(w)->f.slot, .seq = last(w)->f.seq};
	if (spoil)
		spoil(&f);
	assert_int_equal(inlay_lane_frame(&w->lane, &f, NULL, NULL, NULL, w->now), spoil ? -INLAY_EPROTO : 0);
	assert_int_equal(w->drops, spoil ? 1 : 0);
	assert_int_equal(k.ended, spoil ? 0 : 1);
	inlay_lane_done(&w->lane);
}

static void wrong_slot(struct inlay_frame *f) { f->slot = 4; }
static void no_slot(struct inlay_frame *f) { f->slot = INLAY_NO_SLOT; }
static void idle_slot(struct inlay_frame *f) { f->slot ^= 1; }
static void wrong_seq(struct inlay_frame *f) { f->seq++; }
static void wrong_type(struct inlay_frame *f) { f->type = INLAY_READ; }
static void hello_again(struct inlay_frame *f) { f->type = INLAY_HELLO; f->slot = INLAY_NO_SLOT; }
static void short_event(struct inlay_frame *f) { f->type = INLAY_EVENT_LOCK; f->kind = INLAY_FRAME_EVENT; }
static void no_event(struct inlay_frame *f) { f->kind = INLAY_FRAME_EVENT; }
static void a_request(struct inlay_frame *f) { f->kind = INLAY_FRAME_REQUEST; }

static void hostile_frames_drop_the_connection(void **state)
{
	(void)state;
	expect_drop(NULL); /* the twin: the honest frame does not */
	expect_drop(wrong_slot);
	expect_drop(no_slot);
	expect_drop(idle_slot);
	expect_drop(wrong_seq);
	expect_drop(wrong_type);
	expect_drop(hello_again);
	expect_drop(short_event);
	expect_drop(no_event);
	expect_drop(a_request);
}

static void hostile_hello_drops(void **state)
{
	uint8_t body[1024];
	uint32_t len = hello_body(body, sizeof(body), 1, false, 4);

	(void)state;
	for (int i = 0; i < 6; i++) {
		struct wire *w = setup(0);
		uint8_t bad[1024];
		uint32_t n = len;

		memcpy(bad, body, sizeof(bad));
		if (i == 1)
			n -= 8; /* cut */
		if (i == 2)
			inlay_store32(bad, 2); /* version */
		if (i == 3)
			inlay_store32(bad + 4, 5); /* more slots than asked for */
		if (i == 4)
			inlay_store32(bad + 4, 0);
		if (i == 5)
			memset(bad + 16, 0, 16); /* no session id */
		inlay_lane_connected(&w->lane, w->now);
		assert_int_equal(answer(w, last(w), 0, bad, n), i ? -INLAY_EPROTO : 0);
		assert_int_equal(w->drops, i ? 1 : 0);
		assert_int_equal(w->opens, i ? 0 : 1);
		inlay_lane_done(&w->lane);
	}
}

static void refused_for_good_is_dead(void **state)
{
	const int final[] = {INLAY_ENOEXPORT, INLAY_EVERSION, INLAY_EACCES, INLAY_EPERM};
	struct call k;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct wire *w = setup(0);

		submit(w, &k, INLAY_GETATTR, 1);
		inlay_lane_connected(&w->lane, w->now);
		answer(w, last(w), -final[i], NULL, 0);
		assert_int_equal(w->dead_status, -final[i]);
		assert_int_equal(k.status, -final[i]);
		submit(w, &k, INLAY_GETATTR, 1);
		assert_int_equal(k.status, -final[i]);
		assert_int_equal(inlay_lane_tick(&w->lane, w->now), UINT64_MAX);
		inlay_lane_done(&w->lane);
	}
}

static void refused_for_now_is_dropped(void **state)
{
	struct wire *w = setup(0);

	(void)state;
	inlay_lane_connected(&w->lane, w->now);
	assert_int_equal(answer(w, last(w), -INLAY_ELIMIT, NULL, 0), 0);
	assert_int_equal(w->drops, 1);
	assert_int_equal(w->deaths, 0);
	inlay_lane_disconnected(&w->lane, w->now);
	open_lane(w, 1, false, 4);
	inlay_lane_done(&w->lane);
}

static void resumed_lane_replays(void **state)
{
	struct wire *w = setup(0);
	struct call k[5];
	size_t base;

	(void)state;
	open_lane(w, 1, false, 4);
	for (size_t i = 0; i < 5; i++)
		submit(w, &k[i], INLAY_UNLINK, i);
	inlay_lane_disconnected(&w->lane, w->now);
	base = w->count;
	open_lane(w, 1, true, 4);
	assert_memory_equal(w->out[base].body + 32, uuid(1).bytes, 16); /* HELLO names the session */
	assert_int_equal(w->resumes, 1);
	assert_int_equal(w->count, base + 1 + 3);
	for (size_t i = base + 1; i < w->count; i++) {
		assert_int_equal(w->out[i].f.flags, INLAY_FRAME_REPLAY);
		assert_int_equal(w->out[i].f.seq, 1);
	}
	for (size_t i = base + 1; i < base + 6; i++)
		assert_int_equal(answer(w, &w->out[i], 0, NULL, 0), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(k[i].ended, 1);
	assert_int_equal(last(w)->f.flags, 0);
	inlay_lane_done(&w->lane);
}

static void lost_session_settles_calls(void **state)
{
	struct wire *w = setup(0);
	struct call change, look, close, waiting;
	uint8_t body[1024];
	uint32_t len = hello_body(body, sizeof(body), 3, false, 4);
	size_t base;

	(void)state;
	open_lane(w, 1, false, 4);
	submit(w, &change, INLAY_UNLINK, 1);
	submit(w, &look, INLAY_GETATTR, 2);
	submit(w, &close, INLAY_CLOSE, 3);
	submit(w, &waiting, INLAY_RENAME, 4);
	inlay_lane_disconnected(&w->lane, w->now);
	inlay_lane_connected(&w->lane, w->now);
	assert_int_equal(answer(w, last(w), -INLAY_ENOSESSION, NULL, 0), 0);
	assert_int_equal(last(w)->f.type, INLAY_HELLO); /* again, for a new one */
	assert_int_equal(inlay_load64(last(w)->body + 32), 0);
	base = w->count;
	assert_int_equal(answer(w, last(w), 0, body, len), 0);
	assert_int_equal(w->opens, 2);
	assert_int_equal(w->resumes, 0);
	assert_int_equal(change.status, -INLAY_EIO);
	assert_int_equal(close.ended, 1);
	assert_int_equal(close.status, 0);
	assert_int_equal(look.ended + waiting.ended, 0);
	assert_int_equal(w->count, base + 2);
	assert_int_equal(w->out[base].id, 2);
	assert_int_equal(w->out[base + 1].id, 4);
	assert_int_equal(w->out[base].f.flags, 0);
	assert_memory_equal(w->client.session.bytes, uuid(3).bytes, 16);
	inlay_lane_done(&w->lane);
	assert_int_equal(look.status, -INLAY_ECANCELED);
	assert_int_equal(waiting.status, -INLAY_ECANCELED);
}

/* Any thread reads these at any time: a server that says something else after its restart must not change them. */
static void what_hello_said_first_stays(void **state)
{
	struct wire *w = setup(0);
	struct inlay_hello_rep m = {.version = 1, .slots = 4, .session = uuid(3), .boot = uuid(5), .lanes = 1, .max_data = 4096,
		.lease_ms = 2 * INLAY_LEASE_MS, .export_flags = INLAY_EXPORT_READONLY, .server = INLAY_STR("another"),
		.rules = INLAY_STR("local x\n")};
	uint8_t body[1024];
	struct inlay_writer b = inlay_writer(body, sizeof(body));

	(void)state;
	inlay_put_hello_rep(&b, &m);
	open_lane(w, 1, false, 4);
	inlay_lane_disconnected(&w->lane, w->now);
	inlay_lane_connected(&w->lane, w->now);
	assert_int_equal(answer(w, last(w), -INLAY_ENOSESSION, NULL, 0), 0);
	assert_int_equal(answer(w, last(w), 0, body, (uint32_t)inlay_writer_len(&b)), 0);
	assert_int_equal(w->lane.state, INLAY_LANE_OPEN);
	assert_memory_equal(w->client.session.bytes, uuid(3).bytes, 16);
	assert_memory_equal(w->client.boot.bytes, uuid(5).bytes, 16);
	assert_string_equal(w->client.server, "server");
	assert_string_equal(w->client.rules, "local *.o\n");
	assert_int_equal(w->client.export_flags, 0);
	assert_int_equal(w->client.max_data, INLAY_DATA_MAX);
	/* but the lease is as long as it is now */
	w->now += INLAY_KEEPALIVE_MS * MS;
	inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(last(w)->f.type, INLAY_PING);
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), w->now + INLAY_LEASE_MS * MS);
	inlay_lane_done(&w->lane);
}

static void other_lanes_wait_for_lane_0(void **state)
{
	struct wire *w = setup(1);

	(void)state;
	open_lane(w, 1, false, 4);
	assert_memory_equal(last(w)->body + 32, uuid(1).bytes, 16);
	inlay_lane_disconnected(&w->lane, w->now);
	inlay_lane_connected(&w->lane, w->now);
	assert_int_equal(answer(w, last(w), -INLAY_ENOSESSION, NULL, 0), 0);
	assert_int_equal(w->drop_status, -INLAY_ENOSESSION);
	assert_int_equal(w->deaths, 0);
	inlay_lane_disconnected(&w->lane, w->now);
	w->client.session = uuid(4);
	/* resumed by the server, but these are no slots of that session: a new start */
	open_lane(w, 4, true, 4);
	assert_int_equal(w->resumes, 0);
	inlay_lane_done(&w->lane);
}

static void silence_is_noticed(void **state)
{
	struct wire *w = setup(0);
	uint64_t due;

	(void)state;
	open_lane(w, 1, false, 4);
	due = inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(due, w->now + INLAY_KEEPALIVE_MS * MS);
	w->now = due;
	due = inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(last(w)->f.type, INLAY_PING);
	assert_int_equal(answer(w, last(w), 0, NULL, 0), 0); /* heard: all is well */
	due = inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(due, w->now + INLAY_KEEPALIVE_MS * MS);
	w->now = due;
	due = inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(due, w->now + INLAY_LEASE_MS / 2 * MS);
	inlay_lane_tick(&w->lane, due - 1);
	assert_int_equal(w->drops, 0);
	inlay_lane_tick(&w->lane, due);
	assert_int_equal(w->drops, 1);
	assert_int_equal(w->drop_status, -INLAY_ETIMEDOUT);
	inlay_lane_done(&w->lane);
}

/* Ticks as the lane wants it until it drops the connection; returns when that was. */
static uint64_t until_dropped(struct wire *w)
{
	int drops = w->drops;

	for (unsigned i = 0; i < 100 && w->drops == drops; i++) {
		uint64_t due = inlay_lane_tick(&w->lane, w->now);

		if (w->drops == drops)
			w->now = due;
	}
	assert_int_equal(w->drops, drops + 1);
	inlay_lane_disconnected(&w->lane, w->now);
	return w->now;
}

static void silence_ends_requests_in_time(void **state)
{
	struct wire *w = setup(0);
	uint64_t begin;
	struct call k, later;

	(void)state;
	w->client.timeout_ns = 8 * S;
	open_lane(w, 1, false, 4);
	w->now += 10 * S; /* idle: that is no silence */
	begin = w->now;
	submit(w, &k, INLAY_GETATTR, 1);
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), begin + 2 * S);
	w->now += 2 * S;
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), begin + 6 * S);
	assert_int_equal(last(w)->f.type, INLAY_PING);
	submit(w, &later, INLAY_GETATTR, 2);
	assert_int_equal(until_dropped(w), begin + 6 * S);
	/* it says HELLO, and falls silent again */
	open_lane(w, 1, true, 4);
	assert_int_equal(until_dropped(w), begin + 8 * S);
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), begin + 10 * S);
	assert_int_equal(k.status, -INLAY_ETIMEDOUT);
	assert_int_equal(later.ended, 0);
	w->now += 2 * S;
	(void)inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(later.status, -INLAY_ETIMEDOUT);
	inlay_lane_done(&w->lane);
}

static void a_busy_server_is_not_silent(void **state)
{
	struct wire *w = setup(0);
	struct call k;

	(void)state;
	w->client.timeout_ns = 8 * S;
	open_lane(w, 1, false, 4);
	submit(w, &k, INLAY_COMMIT, 1);
	for (unsigned i = 0; i < 20; i++) {
		w->now = inlay_lane_tick(&w->lane, w->now);
		(void)inlay_lane_tick(&w->lane, w->now);
		assert_int_equal(last(w)->f.type, INLAY_PING);
		w->now += S;
		assert_int_equal(answer(w, last(w), 0, NULL, 0), 0);
	}
	assert_int_equal(w->drops, 0);
	assert_int_equal(k.ended, 0);
	inlay_lane_done(&w->lane);
}

/* Bytes count as words at the least rate that is borne, and a byte a second does not. */
static void a_slow_frame_is_not_silence(void **state)
{
	(void)state;
	for (unsigned rate = 1; rate <= 8192; rate *= 8192) {
		struct wire *w = setup(0);
		struct call k;

		w->client.timeout_ns = 8 * S;
		open_lane(w, 1, false, 4);
		submit(w, &k, INLAY_READ, 1);
		for (unsigned i = 1; i <= 60 && !w->drops; i++) {
			w->now += S;
			inlay_lane_moved(&w->lane, i * rate, w->now, w->now);
			(void)inlay_lane_tick(&w->lane, w->now);
		}
		assert_int_equal(w->drops, rate == 1);
		inlay_lane_done(&w->lane);
	}
}

static void half_a_frame_is_not_waited_for(void **state)
{
	struct wire *w = setup(0);
	uint64_t begin = w->now;

	(void)state;
	open_lane(w, 1, false, 4);
	w->now += INLAY_KEEPALIVE_MS * MS;
	inlay_lane_moved(&w->lane, 20, begin + S, w->now);
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), begin + S + INLAY_HALF_FRAME_MS * MS);
	assert_int_equal(until_dropped(w), begin + S + INLAY_HALF_FRAME_MS * MS);
	assert_int_equal(w->drop_status, -INLAY_ETIMEDOUT);
	inlay_lane_done(&w->lane);
}

static void silent_hello_is_dropped(void **state)
{
	struct wire *w = setup(0);
	uint64_t due;

	(void)state;
	inlay_lane_connected(&w->lane, w->now);
	due = inlay_lane_tick(&w->lane, w->now);
	assert_int_equal(due, w->now + INLAY_HELLO_TIMEOUT_MS * MS);
	inlay_lane_tick(&w->lane, due);
	assert_int_equal(w->drops, 1);
	inlay_lane_done(&w->lane);
}

static void timeout_abandons_and_the_slot_survives(void **state)
{
	struct wire *w = setup(0);
	struct call out, waits, next;
	size_t base;

	(void)state;
	w->client.timeout_ns = 5 * S;
	open_lane(w, 1, false, 4);
	submit(w, &out, INLAY_UNLINK, 1);
	w->now += 60 * S;
	inlay_lane_disconnected(&w->lane, w->now);
	w->now += 2 * S;
	submit(w, &waits, INLAY_GETATTR, 2);
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), w->now + 3 * S);
	w->now += 3 * S;
	assert_int_equal(inlay_lane_tick(&w->lane, w->now), w->now + 2 * S);
	assert_int_equal(out.status, -INLAY_ETIMEDOUT);
	assert_int_equal(waits.ended, 0);
	base = w->count;
	open_lane(w, 1, true, 4);
	/* the abandoned slot is settled by a PING in its place */
	assert_int_equal(w->out[base + 1].f.type, INLAY_PING);
	assert_int_equal(w->out[base + 1].f.seq, 1);
	assert_int_equal(w->out[base + 2].id, 2);
	/* the server may answer for either */
	w->out[base + 1].f.type = INLAY_UNLINK;
	assert_int_equal(answer(w, &w->out[base + 1], 0, NULL, 0), 0);
	submit(w, &next, INLAY_GETATTR, 3);
	assert_int_equal(last(w)->f.slot, w->out[base + 1].f.slot);
	assert_int_equal(last(w)->f.seq, 2);
	inlay_lane_done(&w->lane);
	assert_int_equal(out.ended, 1);
}

/* The server had done it: what was opened is somebody's to close. Not so where it answers PING, which it did in its place. */
static void what_was_given_up_and_done_is_told(void **state)
{
	static const uint8_t handle[8] = {42};

	(void)state;
	for (unsigned done = 0; done < 2; done++) {
		struct wire *w = setup(0);
		struct call k;
		struct sent *filler;
		size_t base;

		late.count = 0;
		w->client.timeout_ns = 5 * S;
		open_lane(w, 1, false, 4);
		submit(w, &k, INLAY_OPEN, 1);
		inlay_lane_disconnected(&w->lane, w->now);
		w->now += 5 * S;
		(void)inlay_lane_tick(&w->lane, w->now);
		assert_int_equal(k.status, -INLAY_ETIMEDOUT);
		base = w->count;
		open_lane(w, 1, true, 4);
		filler = &w->out[base + 1];
		assert_int_equal(filler->f.type, INLAY_PING);
		if (done)
			filler->f.type = INLAY_OPEN;
		assert_int_equal(answer(w, filler, 0, done ? handle : NULL, done ? 8 : 0), 0);
		assert_int_equal(late.count, done);
		if (done) {
			assert_int_equal(late.type, INLAY_OPEN);
			assert_int_equal(late.first, 42);
		}
		inlay_lane_done(&w->lane);
	}
}

static void cancel_spares_what_was_sent(void **state)
{
	struct wire *w = setup(0);
	struct call k[4];

	(void)state;
	open_lane(w, 1, false, 4);
	for (size_t i = 0; i < 4; i++)
		submit(w, &k[i], INLAY_UNLINK, i);
	assert_false(inlay_lane_cancel(&w->lane, &k[0].c, true));
	assert_true(inlay_lane_cancel(&w->lane, &k[3].c, false));
	assert_int_equal(k[3].status, -INLAY_EINTR);
	inlay_lane_disconnected(&w->lane, w->now);
	assert_false(inlay_lane_cancel(&w->lane, &k[0].c, false));
	assert_true(inlay_lane_cancel(&w->lane, &k[0].c, true));
	assert_int_equal(k[0].status, -INLAY_EINTR);
	inlay_lane_done(&w->lane);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(k[i].ended, 1);
}

static struct call heir;

static struct inlay_call *give_heir(struct inlay_call *c)
{
	memcpy(heir.room, c->head, sizeof(heir.room));
	heir.c = *c;
	heir.c.head = heir.room;
	heir.c.heir = NULL;
	heir.c.patient = false; /* the lane's to set */
	return &heir.c;
}

/* Given up by a signal or by time, in its slot or before: the heir is sent in its place, and has no time of its own. */
static void an_heir_takes_the_place_of_what_is_given_up(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		struct wire *w = setup(0);
		bool sent = how & 1, by_time = how & 2;
		struct call k;
		size_t base;

		w->client.timeout_ns = 5 * S;
		open_lane(w, 1, false, 4);
		if (!sent)
			inlay_lane_disconnected(&w->lane, w->now);
		submit(w, &k, INLAY_LOCK, 9);
		k.c.heir = give_heir;
		heir.ended = 0;
		if (sent)
			inlay_lane_disconnected(&w->lane, w->now);
		if (by_time)
			(void)inlay_lane_tick(&w->lane, w->now + 5 * S);
		else
			assert_true(inlay_lane_cancel(&w->lane, &k.c, true));
		assert_int_equal(k.status, by_time ? -INLAY_ETIMEDOUT : -INLAY_EINTR);
		assert_int_equal(inlay_lane_tick(&w->lane, w->now + 500 * S), UINT64_MAX);
		assert_int_equal(heir.ended, 0);
		base = w->count;
		open_lane(w, 1, true, 4);
		assert_int_equal(w->out[base + 1].f.type, INLAY_LOCK);
		assert_int_equal(w->out[base + 1].id, 9);
		assert_int_equal(answer(w, &w->out[base + 1], 0, NULL, 0), 0);
		assert_int_equal(heir.ended, 1);
		assert_int_equal(heir.status, 0);
		inlay_lane_done(&w->lane);
		assert_int_equal(k.ended, 1);
	}
}

static void events_reach_their_owner(void **state)
{
	struct wire *w = setup(0);
	uint8_t body[64];
	struct inlay_writer wr = inlay_writer(body, sizeof(body));
	struct inlay_frame f = {.type = INLAY_EVENT_LOCK, .kind = INLAY_FRAME_EVENT, .slot = INLAY_NO_SLOT};

	(void)state;
	open_lane(w, 1, false, 4);
	inlay_put_event_lock_req(&wr, &(struct inlay_event_lock_req){.handle = 1, .owner = 77});
	f.body = (uint32_t)inlay_writer_len(&wr);
	f.size = INLAY_FRAME_HEADER + f.body;
	assert_int_equal(inlay_lane_frame(&w->lane, &f, body, NULL, NULL, w->now), 0);
	assert_int_equal(w->events, 1);
	inlay_lane_done(&w->lane);
}

/* ---- both ends, cut at random ---- */

#define CALLS 40
#define SLOTS 5

struct world {
	struct inlay_slots *slots;
	struct sent up[FRAMES], down[FRAMES], work[FRAMES]; /* on the way, being executed */
	size_t nup, ndown, nwork;
	unsigned executed[CALLS];
	struct call call[CALLS];
	bool known;    /* the server has the session */
	bool asked[SLOTS]; /* the slot's request came in on this connection */
	uint64_t seed;
};

static struct world world;

static uint32_t rnd(struct world *d, uint32_t n)
{
	d->seed = d->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(d->seed >> 33) % n;
}

static void take_up(struct world *d, struct wire *w)
{
	for (size_t i = 0; i < w->count; i++)
		d->up[d->nup++] = w->out[i];
	w->count = 0;
}

static void remove_at(struct sent *v, size_t *n, size_t i)
{
	memmove(&v[i], &v[i + 1], (*n - i - 1) * sizeof(*v));
	(*n)--;
}

static void server_takes(struct world *d)
{
	struct sent s = d->up[0];
	const uint8_t *kept = NULL;
	size_t len = 0;

	remove_at(d->up, &d->nup, 0);
	if (s.f.type == INLAY_HELLO) {
		s.id = d->known;
		d->known = true;
		d->down[d->ndown++] = s;
		return;
	}
	d->asked[s.f.slot] = true;
	switch (inlay_slots_begin(d->slots, s.f.slot, s.f.seq, &kept, &len)) {
	case INLAY_SLOT_NEW:
		d->work[d->nwork++] = s;
		break;
	case INLAY_SLOT_REPLAY:
		assert_int_equal(len, sizeof(s));
		memcpy(&s, kept, sizeof(s));
		d->down[d->ndown++] = s;
		break;
	case INLAY_SLOT_BUSY:
		break;
	case INLAY_SLOT_BAD:
		fail_msg("slot %u seq %u", s.f.slot, (unsigned)s.f.seq);
	}
}

static void server_executes(struct world *d)
{
	size_t i = rnd(d, (uint32_t)d->nwork);
	struct sent s = d->work[i];
	bool keeps = inlay_message_flags(s.f.type) & INLAY_MSG_MUTATES;

	remove_at(d->work, &d->nwork, i);
	if (s.f.type != INLAY_PING)
		d->executed[s.id]++;
	inlay_slots_end(d->slots, s.f.slot, keeps ? (const uint8_t *)&s : NULL, sizeof(s));
	if (d->asked[s.f.slot])
		d->down[d->ndown++] = s;
}

static void client_takes(struct world *d, struct wire *w)
{
	struct sent s = d->down[0];
	uint8_t body[1024];
	uint32_t len;

	remove_at(d->down, &d->ndown, 0);
	if (s.f.type != INLAY_HELLO) {
		assert_int_equal(answer(w, &s, 0, NULL, 0), 0);
		return;
	}
	len = hello_body(body, sizeof(body), 1, s.id != 0, SLOTS);
	assert_int_equal(answer(w, &s, 0, body, len), 0);
}

static void step(struct world *d, struct wire *w, size_t *next)
{
	uint32_t dice = rnd(d, 100);
	bool connected = w->lane.state != INLAY_LANE_DOWN;

	if (dice < 3 && connected) {
		d->nup = d->ndown = 0;
		memset(d->asked, 0, sizeof(d->asked));
		inlay_lane_disconnected(&w->lane, w->now);
	} else if (dice < 30 && *next < CALLS) {
		submit(w, &d->call[*next], rnd(d, 4) ? INLAY_UNLINK : INLAY_GETATTR, *next);
		(*next)++;
	} else if (!connected && dice < 60) {
		inlay_lane_connected(&w->lane, w->now);
	} else if (dice < 33 && !connected && *next) {
		struct call *k = &d->call[rnd(d, (uint32_t)*next)];

		if (!k->ended)
			inlay_lane_cancel(&w->lane, &k->c, true);
	} else if (dice < 60 && d->nup) {
		server_takes(d);
	} else if (dice < 80 && d->nwork) {
		server_executes(d);
	} else if (d->ndown) {
		client_takes(d, w);
	}
	take_up(d, w);
	assert_int_equal(w->drops, 0);
}

static void run_round(uint64_t seed)
{
	struct world *d = &world;
	struct wire *w = setup(0);
	size_t next = 0, ended = 0;

	memset(d, 0, sizeof(*d));
	d->seed = seed;
	d->slots = inlay_slots_new(SLOTS);
	w->client.slots_wanted = SLOTS;
	for (unsigned i = 0; i < 20000 && (next < CALLS || ended < CALLS); i++) {
		step(d, w, &next);
		ended = 0;
		for (size_t k = 0; k < next; k++)
			ended += (size_t)d->call[k].ended;
	}
	assert_int_equal(ended, CALLS);
	for (size_t i = 0; i < CALLS; i++) {
		bool mutates = inlay_message_flags(d->call[i].c.type) & INLAY_MSG_MUTATES;

		assert_int_equal(d->call[i].ended, 1);
		if (d->call[i].status == 0)
			assert_true(mutates ? d->executed[i] == 1 : d->executed[i] >= 1);
		else if (mutates) /* given up while the connection was down: at most once */
			assert_true(d->executed[i] <= 1);
	}
	inlay_slots_free(d->slots);
	inlay_lane_done(&w->lane);
}

static void cut_anywhere_each_change_happens_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++)
		run_round(seed);
}


/* ---- lanes that outlive their process ---- */

static void on_lost(struct inlay_lane *l)
{
	(void)l;
}

static bool on_reclaim(struct inlay_lane *l)
{
	(void)l; /* nothing is open */
	return true;
}

static const struct inlay_lane_ops reclaiming_ops = {on_send, on_drop, on_opened, on_dead, on_lock, on_recall, on_lost, on_reclaim, on_late};

static bool asked(void *arg, uint64_t origin)
{
	return origin == *(uint64_t *)arg;
}

static void submit_step(struct wire *w, struct call *k, uint16_t type, uint64_t id, uint64_t origin, uint32_t step)
{
	make(k, type, id);
	k->c.origin = origin;
	k->c.step = step;
	inlay_lane_submit(&w->lane, &k->c, w->now);
}

static void submit_for(struct wire *w, struct call *k, uint16_t type, uint64_t id, uint64_t origin)
{
	submit_step(w, k, type, id, origin, 0);
}

/* As if the process had been killed: nothing of it is left but the row. */
static struct wire *killed(struct inlay_lane_row *row, uint64_t *origin)
{
	struct inlay_client client = wire.client;

	wire.client.up = 0;
	inlay_lane_done(&wire.lane); /* the calls end; nobody hears of it */
	setup(0);
	wire.lane.ops = &reclaiming_ops;
	wire.client = client;
	wire.client.up = 0;
	inlay_lane_inherit(&wire.lane, row, asked, origin);
	return &wire;
}

static void a_successor_replays_what_is_asked_again(void **state)
{
	static struct inlay_lane_row row;
	struct wire *w = setup(0);
	struct call first, other, read, again, fresh;
	struct inlay_frame was;
	uint64_t origin = 41;
	size_t at;

	(void)state;
	memset(&row, 0, sizeof row);
	inlay_lane_keep(&w->lane, &row);
	open_lane(w, 1, false, 4);
	submit_for(w, &first, INLAY_RENAME, 1, 41);
	was = last(w)->f;
	submit_for(w, &other, INLAY_UNLINK, 2, 42);
	submit_for(w, &read, INLAY_READ, 3, 41);
	assert_int_equal(inlay_lane_of_origin(&row, 1, 41), 0);
	assert_int_equal(inlay_lane_of_origin(&row, 1, 99), -1);
	w = killed(&row, &origin);
	at = w->count;
	open_lane(w, 1, true, 4);
	/* The slots of what nobody asks for again are settled by a PING with their number. */
	assert_int_equal(w->count, at + 3);
	for (size_t i = at + 1; i < w->count; i++)
		assert_true(w->out[i].f.type == INLAY_PING && w->out[i].f.flags & INLAY_FRAME_REPLAY && w->out[i].f.slot != was.slot);
	submit_for(w, &fresh, INLAY_UNLINK, 5, 43);
	submit_for(w, &again, INLAY_RENAME, 1, 41);
	assert_int_equal(last(w)->f.slot, was.slot);
	assert_int_equal(last(w)->f.seq, was.seq);
	assert_true(last(w)->f.flags & INLAY_FRAME_REPLAY);
	assert_int_equal(answer(w, last(w), 0, NULL, 0), 0);
	assert_int_equal(again.ended, 1);
	assert_true(again.c.inherited && !fresh.c.inherited);
	assert_int_equal(w->lane.expected, 0);
	inlay_lane_done(&w->lane);
}

/* A request may need several calls of a type: the successor's may begin with the second, as the first one's result is known to it. */
static void a_successor_tells_steps_apart(void **state)
{
	static struct inlay_lane_row row;
	struct wire *w = setup(0);
	struct call first, second, again, fresh;
	struct inlay_frame was;
	uint64_t origin = 41;

	(void)state;
	memset(&row, 0, sizeof row);
	inlay_lane_keep(&w->lane, &row);
	open_lane(w, 1, false, 4);
	submit_step(w, &first, INLAY_MKDIR, 1, 41, 1);
	submit_step(w, &second, INLAY_MKDIR, 2, 41, 0);
	was = last(w)->f;
	assert_int_not_equal(first.c.slot, was.slot);
	w = killed(&row, &origin);
	open_lane(w, 1, true, 4);
	assert_int_equal(w->lane.expected, 2);
	submit_step(w, &fresh, INLAY_MKDIR, 3, 41, 2); /* was never sent */
	assert_false(last(w)->f.flags & INLAY_FRAME_REPLAY);
	submit_step(w, &again, INLAY_MKDIR, 2, 41, 0);
	assert_int_equal(last(w)->f.slot, was.slot);
	assert_int_equal(last(w)->f.seq, was.seq);
	assert_true(last(w)->f.flags & INLAY_FRAME_REPLAY);
	assert_int_equal(w->lane.expected, 1);
	inlay_lane_done(&w->lane);
}

static void what_does_not_come_is_settled(void **state)
{
	static struct inlay_lane_row row;
	struct wire *w = setup(0);
	struct call first;
	uint64_t origin = 41;
	size_t at;

	(void)state;
	memset(&row, 0, sizeof row);
	inlay_lane_keep(&w->lane, &row);
	open_lane(w, 1, false, 4);
	submit_for(w, &first, INLAY_RENAME, 1, 41);
	w = killed(&row, &origin);
	open_lane(w, 1, true, 4);
	at = w->count;
	inlay_lane_settle(&w->lane, 40, w->now);
	assert_int_equal(w->count, at);
	inlay_lane_settle(&w->lane, 41, w->now);
	assert_int_equal(w->count, at + 1);
	assert_int_equal(last(w)->f.type, INLAY_PING);
	/* The predecessor may have heard the answer: that is for nobody to undo. */
	late.count = 0;
	w->out[w->count - 1].f.type = INLAY_RENAME;
	assert_int_equal(answer(w, last(w), 0, NULL, 0), 0);
	assert_int_equal(late.count, 0);
	assert_int_equal(w->lane.outstanding, 0);
	inlay_lane_done(&w->lane);
}

/* The server has forgotten the session, and opens another one. */
static void open_anew(struct wire *w, uint8_t session)
{
	struct inlay_hello_rep m = {.version = 1, .slots = 4, .session = uuid(session), .boot = uuid(2), .lanes = 4,
		.max_data = INLAY_DATA_MAX, .lease_ms = INLAY_LEASE_MS, .features = INLAY_FEATURE_RECLAIM,
		.server = INLAY_STR("s"), .rules = INLAY_STR("")};
	uint8_t body[1024];
	struct inlay_writer out = inlay_writer(body, sizeof body);

	inlay_lane_connected(&w->lane, w->now);
	assert_int_equal(answer(w, last(w), -INLAY_ENOSESSION, NULL, 0), 0);
	assert_int_equal(last(w)->f.type, INLAY_HELLO);
	inlay_put_hello_rep(&out, &m);
	assert_int_equal(answer(w, last(w), 0, body, (uint32_t)inlay_writer_len(&out)), 0);
	if (w->lane.state == INLAY_LANE_RECLAIM)
		inlay_lane_reclaimed(&w->lane, w->now);
}

static void both_steps_are_redone(void **state)
{
	static struct inlay_lane_row row;
	struct wire *w = setup(0);
	struct call first, second;
	uint64_t origin = 41;

	(void)state;
	memset(&row, 0, sizeof row);
	inlay_lane_keep(&w->lane, &row);
	open_lane(w, 1, false, 4);
	submit_step(w, &first, INLAY_MKDIR, 1, 41, 1);
	submit_step(w, &second, INLAY_MKDIR, 2, 41, 0);
	w = killed(&row, &origin);
	open_anew(w, 7);
	submit_step(w, &first, INLAY_MKDIR, 1, 41, 1);
	assert_true(last(w)->f.flags & INLAY_FRAME_REDO);
	assert_int_equal(answer(w, last(w), 0, NULL, 0), 0);
	submit_step(w, &second, INLAY_MKDIR, 2, 41, 0);
	assert_true(last(w)->f.flags & INLAY_FRAME_REDO);
	assert_int_equal(answer(w, last(w), 0, NULL, 0), 0);
	assert_int_equal(w->lane.expected, 0);
	inlay_lane_done(&w->lane);
}

/* Client and server are killed, one after the other: what was under way is redone by its number in the first session. */
static void a_successor_redoes_over_a_lost_session(void **state)
{
	static struct inlay_lane_row row;
	struct wire *w = setup(0);
	struct call first, again;
	struct inlay_frame was;
	uint64_t origin = 41;

	(void)state;
	memset(&row, 0, sizeof row);
	inlay_lane_keep(&w->lane, &row);
	open_lane(w, 1, false, 4);
	submit_for(w, &first, INLAY_RENAME, 1, 41);
	was = last(w)->f;
	for (int round = 0; round < 2; round++) { /* killed once more before it came to ask */
		w = killed(&row, &origin);
		open_anew(w, (uint8_t)(7 + round));
		assert_int_equal(w->lane.expected, 1);
	}
	submit_for(w, &again, INLAY_RENAME, 1, 41);
	assert_true(last(w)->f.flags & INLAY_FRAME_REDO);
	assert_int_equal(last(w)->f.status, was.seq);
	assert_int_equal(last(w)->f.lane & 0xff, was.slot);
	assert_int_equal(last(w)->f.lane >> 8, 0x010101);
	assert_int_equal(answer(w, last(w), 0, NULL, 0), 0);
	assert_int_equal(again.ended, 1);
	for (unsigned i = 0; i < INLAY_SLOTS_MAX; i++)
		assert_int_equal(row.redo[i].origin, 0);
	inlay_lane_done(&w->lane);
}

RUN_TESTS(
	cmocka_unit_test(a_successor_replays_what_is_asked_again), cmocka_unit_test(a_successor_tells_steps_apart),
	cmocka_unit_test(both_steps_are_redone), cmocka_unit_test(what_does_not_come_is_settled),
	cmocka_unit_test(a_successor_redoes_over_a_lost_session), cmocka_unit_test(replies_come_in_any_order), cmocka_unit_test(a_call_too_long_is_refused),
	cmocka_unit_test(hostile_frames_drop_the_connection), cmocka_unit_test(hostile_hello_drops),
	cmocka_unit_test(refused_for_good_is_dead), cmocka_unit_test(refused_for_now_is_dropped),
	cmocka_unit_test(resumed_lane_replays), cmocka_unit_test(lost_session_settles_calls),
	cmocka_unit_test(what_hello_said_first_stays),
	cmocka_unit_test(other_lanes_wait_for_lane_0), cmocka_unit_test(silence_is_noticed),
	cmocka_unit_test(silence_ends_requests_in_time), cmocka_unit_test(a_busy_server_is_not_silent),
	cmocka_unit_test(a_slow_frame_is_not_silence), cmocka_unit_test(half_a_frame_is_not_waited_for),
	cmocka_unit_test(what_was_given_up_and_done_is_told),
	cmocka_unit_test(silent_hello_is_dropped), cmocka_unit_test(timeout_abandons_and_the_slot_survives),
	cmocka_unit_test(cancel_spares_what_was_sent), cmocka_unit_test(an_heir_takes_the_place_of_what_is_given_up), cmocka_unit_test(events_reach_their_owner),
	cmocka_unit_test(cut_anywhere_each_change_happens_once))

/*
 * Connections: frames however they are cut, back-pressure, closing at any moment, hostile headers, memory at rest.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/conn.h"

#include "base/status.h"
#include "wire/codec.h"

#include "net_support.h"
#include "support.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KINDS (1u << INLAY_FRAME_REQUEST | 1u << INLAY_FRAME_REPLY)
#define TYPE_WRITE 32 /* a request with payload */
#define PATIENCE_MS 10000

/*
 * The connection under test lives on a loop of its own thread; the test is the peer, with plain system calls. cmocka
 * asserts on the test's thread only, so callbacks count and the test looks after crew_stop().
 */
struct rig {
	struct inlay_crew *crew;
	struct inlay_loop *loop;
	struct inlay_conn *conn;
	int peer;
	sem_t framed, ended, ran;
	/* callbacks' */
	unsigned frames, bad, drained, closes;
	uint64_t next_seq;
	int status;
	unsigned close_at;   /* frame number to close at, 0: never */
	unsigned pause_at;
	unsigned slow_at;    /* every so many frames a slow call, that loses the loop */
	size_t reply;        /* bytes of payload to answer each frame with */
	bool by_chunk;       /* send them without copying */
	bool keep;           /* hold on to some frames' chunks */
	struct { struct inlay_chunk *chunk; const uint8_t *data; uint32_t len; uint64_t seq; } kept[8];
	struct inlay_task act;
	void (*do_act)(struct rig *r);
};

static uint8_t fill_of(uint64_t seq, size_t i)
{
	return (uint8_t)(seq * 31 + i * 7 + (i >> 8));
}

static bool filled(const uint8_t *data, size_t len, uint64_t seq)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] != fill_of(seq, i))
			return false;
	}
	return true;
}

/* Writes a frame with len bytes of payload to out; returns its size. */
static size_t frame_make(uint8_t *out, unsigned kind, uint64_t seq, uint32_t body, size_t len)
{
	struct inlay_frame f = {
		.size = INLAY_FRAME_HEADER + body + (uint32_t)len,
		.type = TYPE_WRITE,
		.kind = (uint8_t)kind,
		.slot = 1,
		.seq = seq,
		.body = body,
	};

	inlay_frame_put(out, &f);
	memset(out + INLAY_FRAME_HEADER, (int)seq, body);
	for (size_t i = 0; i < len; i++)
		out[INLAY_FRAME_HEADER + body + i] = fill_of(seq, i);
	return f.size;
}

static void slow_work(struct inlay_task *t)
{
	struct timespec ms3 = {.tv_nsec = 3000000};

	(void)t;
	nanosleep(&ms3, NULL);
}

/* A task of its own for each call: one may still be on its way when the next is made. */
static void slow_done(struct inlay_task *t)
{
	free(t);
}

static bool slow_call(struct inlay_loop *l)
{
	struct inlay_task *t = malloc(sizeof(*t));

	*t = (struct inlay_task){.work = slow_work, .done = slow_done};
	return inlay_loop_run(l, t);
}

/* Replies carry no payload for WRITE, so what goes out is a request again. */
static void answer(struct rig *r, uint64_t seq)
{
	size_t len = INLAY_FRAME_HEADER + r->reply;
	struct inlay_chunk *chunk;
	uint8_t *p;

	if (!r->by_chunk) {
		p = inlay_conn_reserve(r->conn, len);
		if (p)
			inlay_conn_commit(r->conn, frame_make(p, INLAY_FRAME_REQUEST, seq, 0, r->reply));
		return;
	}
	chunk = inlay_chunk_new(len);
	frame_make(chunk->mem, INLAY_FRAME_REQUEST, seq, 0, r->reply);
	inlay_conn_send_chunk(r->conn, chunk, chunk->mem, 10);
	inlay_conn_send_chunk(r->conn, chunk, chunk->mem + 10, 30);
	inlay_conn_send_chunk(r->conn, chunk, chunk->mem + 40, len - 40);
	inlay_chunk_unref(chunk);
}

static void keep(struct rig *r, const struct inlay_frame *f, const uint8_t *data, struct inlay_chunk *chunk)
{
	size_t i = f->seq % 8;

	if (r->kept[i].chunk) {
		r->bad += !filled(r->kept[i].data, r->kept[i].len, r->kept[i].seq);
		inlay_chunk_unref(r->kept[i].chunk);
	}
	r->kept[i].chunk = inlay_chunk_ref(chunk);
	r->kept[i].data = data;
	r->kept[i].len = inlay_frame_data_len(f);
	r->kept[i].seq = f->seq;
}

static bool on_frame(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                     struct inlay_chunk *chunk)
{
	struct rig *r = c->owner;
	bool slow;

	r->frames++;
	r->bad += f->seq != r->next_seq++ || !filled(data, inlay_frame_data_len(f), f->seq) || data != body + f->body;
	r->bad += f->body && (body[0] != (uint8_t)f->seq || body[f->body - 1] != (uint8_t)f->seq);
	r->bad += body < chunk->mem || data + inlay_frame_data_len(f) > chunk->mem + chunk->cap;
	slow = r->slow_at && r->frames % r->slow_at == 0;
	if (r->keep)
		keep(r, f, data, chunk);
	if (r->reply)
		answer(r, f->seq);
	if (r->pause_at && r->frames == r->pause_at)
		inlay_conn_pause(c);
	if (r->close_at && r->frames == r->close_at) {
		inlay_conn_close(c, -INLAY_ECANCELED);
		r->bad += !filled(data, inlay_frame_data_len(f), f->seq);
	}
	sem_post(&r->framed);
	return !slow || slow_call(r->loop);
}

static void on_closed(struct inlay_conn *c, int status)
{
	struct rig *r = c->owner;

	r->closes++;
	r->status = status;
	r->bad += c->open || c->source.loop;
	inlay_conn_close(c, 0);
	inlay_conn_unref(c);
	r->conn = NULL;
	sem_post(&r->ended);
}

static void on_drained(struct inlay_conn *c)
{
	((struct rig *)c->owner)->drained++;
}

static const struct inlay_conn_ops ops = {on_frame, on_closed, on_drained};

static bool wait_for(sem_t *sem)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += PATIENCE_MS / 1000;
	while (sem_timedwait(sem, &t) < 0) {
		if (errno != EINTR)
			return false;
	}
	return true;
}

static void rig_open(struct rig *r)
{
	struct inlay_crew_config config = {.loops = 1, .spares_max = 2, .spin_us = 20};
	int fds[2];

	*r = (struct rig){0};
	sem_init(&r->framed, 0, 0);
	sem_init(&r->ended, 0, 0);
	sem_init(&r->ran, 0, 0);
	assert_true(pair_make(fds));
	r->peer = fds[1];
	assert_int_equal(inlay_crew_new(&config, &r->crew), 0);
	r->loop = inlay_crew_loop(r->crew, 0);
	assert_int_equal(inlay_conn_new(r->loop, fds[0], &ops, r, KINDS, &r->conn), 0);
}

static void rig_start(struct rig *r)
{
	rig_open(r);
	assert_int_equal(inlay_crew_start(r->crew), 0);
}

static void rig_end(struct rig *r)
{
	inlay_crew_stop(r->crew);
	if (r->conn)
		inlay_conn_close(r->conn, -INLAY_ECANCELED);
	for (int i = 0; i < 8; i++) {
		if (r->kept[i].chunk)
			r->bad += !filled(r->kept[i].data, r->kept[i].len, r->kept[i].seq);
		inlay_chunk_unref(r->kept[i].chunk);
	}
	inlay_crew_free(r->crew);
	peer_close(r->peer);
	assert_int_equal(r->bad, 0);
	assert_int_equal(r->closes, 1);
}

static void act_done(struct inlay_task *t)
{
	struct rig *r = inlay_container(t, struct rig, act);

	r->do_act(r);
	sem_post(&r->ran);
}

/* Has something done on the loop and waits for it. */
static void rig_do(struct rig *r, void (*act)(struct rig *r))
{
	r->do_act = act;
	r->act.done = act_done;
	inlay_loop_post(r->loop, &r->act);
	assert_true(wait_for(&r->ran));
}

static void put_all(int fd, const uint8_t *p, size_t len)
{
	while (len) {
		int64_t n = peer_send(fd, p, len);

		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

static void get_all(int fd, uint8_t *p, size_t len)
{
	while (len) {
		int64_t n;

		assert_true(peer_readable(fd, PATIENCE_MS));
		n = peer_receive(fd, p, len);
		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

/* Reads one frame as the peer and checks its payload. */
static void get_frame(int fd, uint64_t seq, size_t len)
{
	uint8_t head[INLAY_FRAME_HEADER], *data = malloc(len + 1);
	struct inlay_frame f;

	get_all(fd, head, sizeof(head));
	assert_int_equal(inlay_frame_parse(head, sizeof(head), KINDS, &f), 1);
	assert_int_equal(f.seq, seq);
	assert_int_equal(inlay_frame_data_len(&f), len);
	get_all(fd, data, len);
	assert_true(filled(data, len, seq));
	free(data);
}

/* ---- cutting ---- */

/* Two frames, the stream cut in two at every byte: the second part is sent only when the first has been looked at. */
static void nothing(struct rig *r)
{
	(void)r;
}

static void cut_at_every_byte(void **state)
{
	static uint8_t stream[4096];
	struct rig r;
	size_t len;
	uint64_t seq = 0;

	(void)state;
	rig_start(&r);
	for (size_t cut = 1;; cut++) {
		len = frame_make(stream, INLAY_FRAME_REQUEST, seq, 16, 50);
		len += frame_make(stream + len, INLAY_FRAME_REQUEST, seq + 1, 0, 33);
		if (cut == len)
			break;
		put_all(r.peer, stream, cut);
		rig_do(&r, nothing);
		rig_do(&r, nothing);
		put_all(r.peer, stream + cut, len - cut);
		assert_true(wait_for(&r.framed));
		assert_true(wait_for(&r.framed));
		seq += 2;
	}
	rig_end(&r);
	assert_int_equal(r.frames, seq);
}

/* Byte by byte, each byte by itself on its way. */
static void drip(void **state)
{
	static uint8_t stream[8192];
	struct rig r;
	size_t len;

	(void)state;
	rig_start(&r);
	len = frame_make(stream, INLAY_FRAME_REQUEST, 0, 8, 5000);
	for (size_t i = 0; i < len; i++)
		put_all(r.peer, stream + i, 1);
	assert_true(wait_for(&r.framed));
	rig_end(&r);
}

/* Frames of all sizes in one stream, in pieces of all sizes; with and without references kept and loops lost. */
static void mixture(bool keep_some, unsigned slow_at, unsigned count)
{
	uint8_t *frame = malloc(INLAY_FRAME_MAX);
	unsigned seed = 5;
	struct rig r;

	rig_open(&r);
	r.keep = keep_some;
	r.slow_at = slow_at;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	for (unsigned i = 0; i < count; i++) {
		unsigned dice = (unsigned)rand_r(&seed);
		size_t most = dice % 16 == 0 ? INLAY_DATA_MAX : dice % 4 == 0 ? 100000 : 5000;
		size_t len = i == 7 ? INLAY_DATA_MAX : (unsigned)rand_r(&seed) % (most + 1);

		len = frame_make(frame, INLAY_FRAME_REQUEST, i, dice % 3 * 8, len);
		for (size_t at = 0, n; at < len; at += n) {
			n = (size_t)rand_r(&seed) % 200000 + 1;
			n = n < len - at ? n : len - at;
			put_all(r.peer, frame + at, n);
		}
	}
	for (unsigned i = 0; i < count; i++)
		assert_true(wait_for(&r.framed));
	rig_end(&r);
	assert_int_equal(r.frames, count);
	free(frame);
}

static void mixed_sizes(void **state)
{
	(void)state;
	mixture(false, 0, 400);
}

static void mixed_sizes_kept(void **state)
{
	(void)state;
	mixture(true, 0, 400);
}

static void mixed_sizes_with_lost_loops(void **state)
{
	(void)state;
	mixture(false, 9, 300);
	mixture(true, 7, 300);
}

static void largest_frames(void **state)
{
	uint8_t *frame = malloc(INLAY_FRAME_MAX);
	size_t len;
	struct rig r;

	(void)state;
	rig_start(&r);
	for (uint64_t i = 0; i < 8; i++) {
		len = frame_make(frame, INLAY_FRAME_REQUEST, i, INLAY_BODY_MAX, INLAY_DATA_MAX);
		assert_int_equal(len, INLAY_FRAME_MAX);
		put_all(r.peer, frame, len);
	}
	for (int i = 0; i < 8; i++)
		assert_true(wait_for(&r.framed));
	rig_end(&r);
	free(frame);
}

/* ---- sending ---- */

static void replies(size_t reply, bool by_chunk, unsigned batch)
{
	static uint8_t stream[64 * 100];
	struct rig r;
	size_t len = 0;

	rig_open(&r);
	r.reply = reply;
	r.by_chunk = by_chunk;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	for (unsigned round = 0; round < 20; round++) {
		len = 0;
		for (unsigned i = 0; i < batch; i++)
			len += frame_make(stream + len, INLAY_FRAME_REQUEST, round * batch + i, 8, 40);
		put_all(r.peer, stream, len);
		for (unsigned i = 0; i < batch; i++)
			get_frame(r.peer, round * batch + i, reply);
	}
	rig_end(&r);
	assert_int_equal(r.frames, 20 * batch);
}

static void replies_arrive(void **state)
{
	(void)state;
	replies(16, false, 32);
	replies(16, true, 32);
	replies(4096, false, 64);
	replies(4096, true, 64);
	replies(INLAY_DATA_MAX, false, 3);
	replies(INLAY_DATA_MAX, true, 3);
}

/* The peer sends and sends and reads nothing: the connection stops taking requests, and goes on when it may. */
static void back_pressure(void **state)
{
	enum { COUNT = 60 };
	static uint8_t stream[100 * COUNT];
	struct timespec ms = {.tv_nsec = 100000000};
	struct rig r;
	size_t len = 0;
	int framed;

	(void)state;
	rig_open(&r);
	r.reply = INLAY_DATA_MAX;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	for (unsigned i = 0; i < COUNT; i++)
		len += frame_make(stream + len, INLAY_FRAME_REQUEST, i, 0, 16);
	put_all(r.peer, stream, len);
	for (int i = 0; i < 8; i++) /* so many go into the queue before it is full */
		assert_true(wait_for(&r.framed));
	nanosleep(&ms, NULL);
	sem_getvalue(&r.framed, &framed);
	/* The limit is passed by one reply, and the socket holds some more. */
	assert_in_range(framed, 0, 6);
	for (unsigned i = 0; i < COUNT; i++)
		get_frame(r.peer, i, INLAY_DATA_MAX);
	rig_end(&r);
	assert_int_equal(r.frames, COUNT);
	assert_true(r.drained >= 1);
}

/* What is queued when the connection dies is dropped, and sending goes on into nothing. */
static void send_much(struct rig *r)
{
	struct inlay_conn *c = inlay_conn_ref(r->conn);

	for (unsigned i = 0; i < 10; i++)
		answer(r, i);
	inlay_conn_close(c, -INLAY_ECANCELED);
	r->conn = c;
	for (unsigned i = 0; i < 10; i++) {
		answer(r, i);
		r->by_chunk = !r->by_chunk;
	}
	inlay_conn_flush(c);
	inlay_conn_pause(c);
	inlay_conn_resume(c);
	r->bad += c->queued != 0 || inlay_conn_memory(c) != sizeof(*c);
	inlay_conn_unref(c);
	r->conn = NULL;
}

static void sending_on_a_closed_connection(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.reply = 100000;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	rig_do(&r, send_much);
	rig_end(&r);
	assert_int_equal(r.status, -INLAY_ECANCELED);
}

static void empty_commits(struct rig *r)
{
	size_t idle = inlay_conn_memory(r->conn);

	r->bad += !inlay_conn_reserve(r->conn, 70000);
	inlay_conn_commit(r->conn, 0);
	r->bad += inlay_conn_memory(r->conn) != idle;
	r->bad += !inlay_conn_reserve(r->conn, 100);
	inlay_conn_commit(r->conn, 0);
	answer(r, 0);
	inlay_conn_flush(r->conn);
	r->bad += inlay_conn_memory(r->conn) != idle;
}

static void reserve_and_give_back(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.reply = 8;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	rig_do(&r, empty_commits);
	get_frame(r.peer, 0, 8);
	rig_end(&r);
}

/* ---- pausing ---- */

static void resume(struct rig *r)
{
	inlay_conn_resume(r->conn);
}

static void pausing(void **state)
{
	static uint8_t stream[1000];
	struct timespec ms = {.tv_nsec = 50000000};
	struct rig r;
	size_t len = 0;

	(void)state;
	rig_open(&r);
	r.pause_at = 2;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	for (unsigned i = 0; i < 5; i++)
		len += frame_make(stream + len, INLAY_FRAME_REQUEST, i, 0, 16);
	put_all(r.peer, stream, len);
	assert_true(wait_for(&r.framed));
	assert_true(wait_for(&r.framed));
	nanosleep(&ms, NULL);
	rig_do(&r, nothing);
	assert_int_equal(r.frames, 2);
	rig_do(&r, resume);
	for (int i = 0; i < 3; i++)
		assert_true(wait_for(&r.framed));
	rig_end(&r);
}

/* ---- closing ---- */

static void close_inside_frame(void **state)
{
	static uint8_t stream[1000];
	struct rig r;

	(void)state;
	for (unsigned at = 1; at <= 5; at++) {
		size_t len = 0;

		rig_open(&r);
		r.close_at = at;
		r.reply = 16;
		for (unsigned i = 0; i < 5; i++)
			len += frame_make(stream + len, INLAY_FRAME_REQUEST, i, 0, 16);
		put_all(r.peer, stream, len);
		assert_int_equal(inlay_crew_start(r.crew), 0);
		assert_true(wait_for(&r.ended));
		rig_end(&r);
		assert_int_equal(r.frames, at);
		assert_int_equal(r.status, -INLAY_ECANCELED);
	}
}

/* The peer goes, at once or with half a frame sent; what it had sent whole counts. */
static void peer_closes(void **state)
{
	static uint8_t stream[100];
	size_t len = frame_make(stream, INLAY_FRAME_REQUEST, 0, 0, 16);
	struct rig r;

	(void)state;
	for (size_t sent = 0; sent <= len; sent += 8) {
		rig_start(&r);
		put_all(r.peer, stream, sent);
		peer_end_sending(r.peer);
		assert_true(wait_for(&r.ended));
		rig_end(&r);
		assert_int_equal(r.status, 0);
		assert_int_equal(r.frames, sent == len);
	}
}

/* Replies to what came before the end still reach a peer that only ended its own sending. */
static void half_closed(void **state)
{
	static uint8_t stream[100];
	size_t len = frame_make(stream, INLAY_FRAME_REQUEST, 0, 0, 16);
	struct rig r;

	(void)state;
	rig_open(&r);
	r.reply = 1000;
	put_all(r.peer, stream, len);
	peer_end_sending(r.peer);
	assert_int_equal(inlay_crew_start(r.crew), 0);
	get_frame(r.peer, 0, 1000);
	assert_true(wait_for(&r.ended));
	rig_end(&r);
}

/* Gone while the connection isn't reading: it is told nevertheless. */
static void peer_closes_while_paused(void **state)
{
	static uint8_t stream[100];
	size_t len = frame_make(stream, INLAY_FRAME_REQUEST, 0, 0, 16);
	struct rig r;

	(void)state;
	rig_open(&r);
	r.pause_at = 1;
	assert_int_equal(inlay_crew_start(r.crew), 0);
	put_all(r.peer, stream, len);
	assert_true(wait_for(&r.framed));
	rig_do(&r, nothing);
	peer_vanish(r.peer);
	assert_true(wait_for(&r.ended));
	r.peer = -1;
	rig_end(&r);
}

/* The peer is gone and there is something to be sent: the failure comes from the loop, not from the call. */
static void send_to_nobody(struct rig *r)
{
	peer_vanish(r->peer);
	r->peer = -1;
	answer(r, 0);
	inlay_conn_flush(r->conn);
	answer(r, 0);
	inlay_conn_flush(r->conn);
	r->bad += r->closes != 0;
}

static void send_fails(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.reply = 1000;
	inlay_conn_pause(r.conn);
	assert_int_equal(inlay_crew_start(r.crew), 0);
	rig_do(&r, send_to_nobody);
	assert_true(wait_for(&r.ended));
	rig_end(&r);
	assert_true(r.status == -INLAY_EPIPE || r.status == -INLAY_ECONNRESET);
}

static void hostile_headers(void **state)
{
	static uint8_t stream[200];
	static const struct { unsigned at; uint8_t value; } wrong[] = {
		{3, 0xff}, {0, 31}, {4, 0xee}, {6, 0}, {6, 3}, {6, 9}, {7, 0x80}, {24, 1}, {27, 0xff}, {28, 1},
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t first = frame_make(stream, INLAY_FRAME_REQUEST, 0, 0, 16);

		frame_make(stream + first, INLAY_FRAME_REQUEST, 1, 0, 16);
		stream[first + wrong[i].at] = wrong[i].value;
		if (wrong[i].at == 0)
			memset(stream + first + 1, 0, 3);
		rig_start(&r);
		put_all(r.peer, stream, first + INLAY_FRAME_HEADER);
		assert_true(wait_for(&r.ended));
		rig_end(&r);
		assert_int_equal(r.status, -INLAY_EPROTO);
		assert_int_equal(r.frames, 1);
	}
}

/* ---- memory ---- */

#ifdef __linux__ /* on Windows the host has a place in each connection's input */

#define IDLERS 1000

struct idlers {
	struct inlay_conn *conn[IDLERS];
	unsigned framed, closed;
	sem_t all;
};

static bool idler_frame(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                        struct inlay_chunk *chunk)
{
	struct idlers *all = c->owner;
	uint8_t *p = inlay_conn_reserve(c, f->size);

	(void)body, (void)data, (void)chunk;
	memset(p, 0, f->size);
	inlay_conn_commit(c, f->size);
	if (++all->framed == IDLERS)
		sem_post(&all->all);
	return true;
}

static void idler_closed(struct inlay_conn *c, int status)
{
	(void)status;
	((struct idlers *)c->owner)->closed++;
	inlay_conn_unref(c);
}

static long resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Each has talked once, and left a part of a frame behind half of the time. */
static void idle_connections(void **state)
{
	static const struct inlay_conn_ops idler_ops = {idler_frame, idler_closed, NULL};
	struct inlay_crew_config config = {.loops = 1, .spares_max = 1};
	static struct idlers all;
	static int peers[IDLERS];
	struct inlay_crew *crew;
	uint8_t frame[200], back[200];
	size_t len = frame_make(frame, INLAY_FRAME_REQUEST, 0, 0, 100), total = 0;
	long before;

	(void)state;
	sem_init(&all.all, 0, 0);
	assert_int_equal(inlay_crew_new(&config, &crew), 0);
	for (int i = 0; i < IDLERS; i++) {
		int fds[2];

		if (!pair_make(fds))
			skip(); /* this host allows too few descriptors */
		peers[i] = fds[1];
		all.conn[i] = NULL;
		assert_int_equal(inlay_conn_new(inlay_crew_loop(crew, 0), fds[0], &idler_ops, &all, KINDS, &all.conn[i]), 0);
	}
	before = resident_kib();
	assert_int_equal(inlay_crew_start(crew), 0);
	for (int i = 0; i < IDLERS; i++) {
		put_all(peers[i], frame, len);
		if (i % 2)
			put_all(peers[i], frame, 20);
		get_all(peers[i], back, len);
	}
	assert_true(wait_for(&all.all));
	inlay_crew_stop(crew);
	for (int i = 0; i < IDLERS; i++) {
		assert_true(inlay_conn_memory(all.conn[i]) <= sizeof(struct inlay_conn) + 20);
		total += inlay_conn_memory(all.conn[i]);
	}
	print_message("# %d idle connections: %zu bytes each, the process grew by %ld KiB\n", IDLERS, total / IDLERS,
	              resident_kib() - before);
	assert_true(total / IDLERS < 512);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
	assert_true(resident_kib() - before < 4096);
#endif
	for (int i = 0; i < IDLERS; i++) {
		inlay_conn_close(all.conn[i], 0);
		peer_close(peers[i]);
	}
	inlay_crew_free(crew);
	assert_int_equal(all.closed, IDLERS);
}

#endif

RUN_TESTS(
	cmocka_unit_test(cut_at_every_byte),
	cmocka_unit_test(drip),
	cmocka_unit_test(mixed_sizes),
	cmocka_unit_test(mixed_sizes_kept),
	cmocka_unit_test(mixed_sizes_with_lost_loops),
	cmocka_unit_test(largest_frames),
	cmocka_unit_test(replies_arrive),
	cmocka_unit_test(back_pressure),
	cmocka_unit_test(sending_on_a_closed_connection),
	cmocka_unit_test(reserve_and_give_back),
	cmocka_unit_test(pausing),
	cmocka_unit_test(close_inside_frame),
	cmocka_unit_test(peer_closes),
	cmocka_unit_test(half_closed),
	cmocka_unit_test(peer_closes_while_paused),
	cmocka_unit_test(send_fails),
#ifdef __linux__
	cmocka_unit_test(idle_connections),
#endif
	cmocka_unit_test(hostile_headers))

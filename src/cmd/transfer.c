/*
 * Bulk data of one file. Slots hold the requests under way; an error lets them finish, because they hold the memory.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/transfer.h"

#include "base/status.h"
#include "cmd/remote.h"
#include "os/files.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (INLAY_FRAME_HEADER + 64u)
#define HOLE 4096u            /* bytes of the smallest hole that is kept */
#define SAFE_PIECE 4096u      /* what a pipe that is ready takes without blocking */
#define KEEPALIVE_LOOK_MS 2000 /* how often a visit is looked after while the output blocks */

enum slot_state { SLOT_FREE, SLOT_ASKED, SLOT_READY };

struct slot {
	struct inlay_call call;
	struct transfer *transfer;
	enum slot_state state;
	uint64_t off;
	uint32_t len;          /* asked for, or still to be written */
	uint32_t got, zeros;   /* reading in order: what came */
	uint8_t *buf, *p;      /* piece bytes, made when first needed; writing: where the rest begins */
	uint8_t room[ROOM];
};

struct transfer {
	struct inlay_visit *visit;
	struct inlay_progress *progress;
	uint64_t handle;
	int fd;
	bool seekable, paced;  /* paced: the output may block for long */
	bool sparse;           /* reading: the remote file has holes */
	int status;            /* the first failure */
	bool here;             /* of fd */
	uint32_t piece;
	uint64_t next, end;    /* next byte to ask for; where the file ends, UINT64_MAX while unknown */
	uint64_t moved;        /* bytes done, for the progress bar; reading in order: the place in the stream */
	unsigned busy;         /* requests under way */
	uint64_t data_end;     /* writing: end of the run of data that next is in */
	uint64_t top;          /* writing: end of the last byte sent */
	uint64_t verifier;
	bool verified, restarted;
	struct slot slot[INLAY_TRANSFER_DEPTH];
};

static void fail(struct transfer *t, int status, bool here)
{
	if (t->status < 0)
		return;
	t->status = status;
	t->here = here;
}

static struct transfer *transfer_new(struct inlay_visit *v, uint64_t handle, int fd, struct inlay_progress *progress)
{
	struct transfer *t = calloc(1, sizeof(*t));
	uint32_t most = inlay_visit_client(v)->max_data;

	if (!t)
		return NULL;
	t->visit = v;
	t->handle = handle;
	t->fd = fd;
	t->progress = progress;
	t->piece = most < INLAY_DATA_MAX ? most & ~4095u : INLAY_DATA_MAX;
	for (unsigned i = 0; i < INLAY_TRANSFER_DEPTH; i++)
		t->slot[i].transfer = t;
	return t;
}

static int transfer_free(struct transfer *t, bool *ret_here)
{
	int status = t->status;

	*ret_here = t->here;
	for (unsigned i = 0; i < INLAY_TRANSFER_DEPTH; i++)
		free(t->slot[i].buf);
	free(t);
	return status;
}

static bool need_buf(struct slot *s)
{
	if (!s->buf)
		s->buf = malloc(s->transfer->piece);
	if (!s->buf)
		fail(s->transfer, -INLAY_ENOMEM, true);
	return s->buf != NULL;
}

/* At a place, but runs of zeros are left out: a hole is smaller than a piece, and only the piece's last one travels as one. */
static int write_sparse(int fd, const uint8_t *p, size_t len, uint64_t off)
{
	static const uint8_t zeros[HOLE];
	size_t from = 0, at = 0;
	int status = 0;

	while (at < len && status == 0) {
		size_t block = len - at < HOLE ? len - at : HOLE;

		if (memcmp(p + at, zeros, block) == 0) {
			status = inlay_fd_write_at(fd, p + from, at - from, off + from);
			from = at + block;
		}
		at += block;
	}
	return status < 0 ? status : inlay_fd_write_at(fd, p + from, len - from, off + from);
}

/* ---- get ---- */

static void got(struct inlay_call *c, const struct inlay_reply *r)
{
	struct slot *s = inlay_container(c, struct slot, call);
	struct transfer *t = s->transfer;
	struct inlay_read_rep rep;
	struct inlay_reader body;
	int status = r->status;

	t->busy--;
	s->state = SLOT_FREE;
	if (status == 0) {
		body = inlay_reader(r->body, r->body_len);
		status = inlay_get_read_rep(&body, &rep);
	}
	if (status == 0 && (uint64_t)r->data_len + rep.zeros > s->len)
		status = -INLAY_EPROTO;
	if (status < 0) {
		fail(t, status, false);
		return;
	}
	if (r->data_len + rep.zeros < s->len && s->off + r->data_len + rep.zeros < t->end)
		t->end = s->off + r->data_len + rep.zeros;
	if (t->seekable) {
		status = t->sparse ? write_sparse(t->fd, r->data, r->data_len, s->off)
				   : inlay_fd_write_at(t->fd, r->data, r->data_len, s->off);
		if (status < 0)
			fail(t, status, true);
		t->moved += r->data_len + rep.zeros;
		return;
	}
	if (!need_buf(s))
		return;
	if (r->data_len)
		memcpy(s->buf, r->data, r->data_len);
	s->got = r->data_len;
	s->zeros = rep.zeros;
	s->state = SLOT_READY;
}

static struct slot *slot_of(struct transfer *t, uint64_t off)
{
	return &t->slot[off / t->piece % INLAY_TRANSFER_DEPTH];
}

/* Beyond the size that the file seemed to have, one at a time: only to see its end. */
static bool may_ask(struct transfer *t, uint64_t size)
{
	return t->status == 0 && t->next < t->end && slot_of(t, t->next)->state == SLOT_FREE &&
	       (t->next < size || t->busy == 0);
}

static void ask(struct transfer *t)
{
	struct slot *s = slot_of(t, t->next);
	struct inlay_read_req req = {.handle = t->handle, .off = t->next, .len = t->piece};
	struct inlay_writer w;

	s->call = (struct inlay_call){.done = got};
	s->off = t->next;
	s->len = t->piece;
	s->state = SLOT_ASKED;
	w = inlay_call_begin(&s->call, INLAY_READ, s->room, sizeof(s->room));
	inlay_put_read_req(&w, &req);
	if (inlay_call_end(&s->call, &w) < 0) {
		s->state = SLOT_FREE;
		fail(t, -INLAY_EOVERFLOW, true);
		return;
	}
	t->busy++;
	t->next += t->piece;
	inlay_visit_submit(t->visit, &s->call);
}

/* To a stream. While a reader dawdles, the visit is kept alive: its lease would run out otherwise. */
static int write_stream(struct transfer *t, const uint8_t *p, size_t len)
{
	while (len) {
		int64_t n;

		if (t->paced && !inlay_fd_wait_writable(t->fd, KEEPALIVE_LOOK_MS)) {
			inlay_visit_turn(t->visit, 0);
			continue;
		}
		n = inlay_fd_write_some(t->fd, p, t->paced && len > SAFE_PIECE ? SAFE_PIECE : len);
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_zeros(struct transfer *t, uint32_t len)
{
	static const uint8_t zeros[65536];
	int status = 0;

	for (uint32_t part; len && status == 0; len -= part) {
		part = len < sizeof(zeros) ? len : (uint32_t)sizeof(zeros);
		status = write_stream(t, zeros, part);
	}
	return status;
}

/* Hands on, in order, what is there; t->moved is the place in the stream. */
static void deliver(struct transfer *t)
{
	while (t->status == 0) {
		struct slot *s = slot_of(t, t->moved);
		int status;

		if (s->state != SLOT_READY || s->off != t->moved)
			return;
		status = write_stream(t, s->buf, s->got);
		if (status == 0)
			status = write_zeros(t, s->zeros);
		if (status < 0)
			fail(t, status, true);
		s->state = SLOT_FREE;
		if (s->got + s->zeros < s->len) {
			t->end = s->off + s->got + s->zeros;
			return; /* the end; what came from behind it is not looked at */
		}
		t->moved += s->len;
	}
}

int inlay_transfer_get(struct inlay_visit *v, uint64_t handle, const struct inlay_attr *attr, int fd, bool seekable,
	struct inlay_progress *progress, bool *ret_here)
{
	struct transfer *t = transfer_new(v, handle, fd, progress);
	struct inlay_file_info info;

	*ret_here = true;
	if (!t)
		return -INLAY_ENOMEM;
	t->end = UINT64_MAX;
	t->seekable = seekable;
	t->sparse = attr->blocks < attr->size / 512;
	if (seekable && t->sparse)
		inlay_fd_set_sparse(fd);
	t->paced = !seekable && inlay_fd_info(fd, &info) == 0 &&
		(info.mode & INLAY_MODE_TYPE) != INLAY_MODE_FILE;
	while (t->busy || may_ask(t, attr->size)) {
		while (may_ask(t, attr->size))
			ask(t);
		if (t->busy)
			inlay_visit_turn(v, UINT_MAX);
		if (!seekable)
			deliver(t);
		inlay_progress_update(progress, t->moved);
	}
	if (t->status == 0 && seekable) {
		int status = inlay_fd_set_size(fd, t->end);

		if (status < 0)
			fail(t, status, true);
	}
	return transfer_free(t, ret_here);
}

/* ---- put ---- */

static void send_write(struct slot *s);

static void put_done(struct inlay_call *c, const struct inlay_reply *r)
{
	struct slot *s = inlay_container(c, struct slot, call);
	struct transfer *t = s->transfer;
	struct inlay_write_rep rep;
	struct inlay_reader body;
	int status = r->status;

	t->busy--;
	s->state = SLOT_FREE;
	if (status == 0) {
		body = inlay_reader(r->body, r->body_len);
		status = inlay_get_write_rep(&body, &rep);
	}
	if (status == 0 && (rep.count > s->len || !rep.count))
		status = -INLAY_EPROTO;
	if (status < 0) {
		fail(t, status, false);
		return;
	}
	t->restarted = t->restarted || (t->verified && t->verifier != rep.verifier);
	t->verifier = rep.verifier;
	t->verified = true;
	t->moved += rep.count;
	s->off += rep.count;
	s->p += rep.count;
	s->len -= rep.count;
	if (s->len && t->status == 0)
		send_write(s);
}

static void send_write(struct slot *s)
{
	struct transfer *t = s->transfer;
	struct inlay_write_req req = {.handle = t->handle, .off = s->off};
	struct inlay_writer w;

	s->call = (struct inlay_call){.done = put_done, .data = s->p, .data_len = s->len};
	w = inlay_call_begin(&s->call, INLAY_WRITE, s->room, sizeof(s->room));
	inlay_put_write_req(&w, &req);
	if (inlay_call_end(&s->call, &w) < 0) {
		fail(t, -INLAY_EOVERFLOW, true);
		return;
	}
	s->state = SLOT_ASKED;
	t->busy++;
	inlay_visit_submit(t->visit, &s->call);
}

/* Steps over a hole at t->next. False: no data any more. */
static bool find_data(struct transfer *t)
{
	uint64_t from, to;
	int status;

	if (t->next < t->data_end)
		return true;
	status = inlay_fd_find_data(t->fd, t->next, &from, &to);
	if (status < 0) {
		if (status != -INLAY_ENXIO)
			fail(t, status, true);
		return false;
	}
	t->moved += from - t->next;
	t->next = from;
	t->data_end = to;
	return true;
}

/* Fills a slot and sends it. False: the file has been read to its end, or a failure. */
static bool put_some(struct transfer *t, struct slot *s)
{
	uint64_t left;
	int64_t n;

	if (!find_data(t) || !need_buf(s))
		return false;
	left = t->data_end - t->next;
	n = inlay_fd_read_at(t->fd, s->buf, left < t->piece ? (size_t)left : t->piece, t->next);
	if (n < 0)
		fail(t, (int)n, true);
	if (n <= 0)
		return false;
	s->off = t->next;
	s->p = s->buf;
	s->len = (uint32_t)n;
	t->next += (uint64_t)n;
	t->top = t->next;
	send_write(s);
	return true;
}

static struct slot *free_slot(struct transfer *t)
{
	for (unsigned i = 0; i < INLAY_TRANSFER_DEPTH; i++) {
		if (t->slot[i].state == SLOT_FREE)
			return &t->slot[i];
	}
	return NULL;
}

/* The hole at the end, and what makes it all durable. */
static void put_end(struct transfer *t, const struct inlay_node_id *node)
{
	struct inlay_file_info info;
	uint64_t verifier;
	int status = inlay_fd_info(t->fd, &info);

	if (status < 0) {
		fail(t, status, true);
		return;
	}
	if (info.size > t->top) {
		struct inlay_attr size = {.size = info.size};

		status = inlay_remote_setattr(t->visit, node, t->handle, INLAY_SET_SIZE, &size);
	}
	if (status == 0)
		status = inlay_remote_commit(t->visit, t->handle, &verifier);
	if (status == 0 && (t->restarted || (t->verified && t->verifier != verifier)))
		status = -INLAY_EAGAIN;
	if (status < 0)
		fail(t, status, false);
}

int inlay_transfer_put(struct inlay_visit *v, uint64_t handle, const struct inlay_node_id *node, int fd, uint64_t size,
	struct inlay_progress *progress, bool *ret_here)
{
	struct transfer *t = transfer_new(v, handle, fd, progress);
	bool more = size > 0;

	*ret_here = true;
	if (!t)
		return -INLAY_ENOMEM;
	while (t->busy || (more && t->status == 0)) {
		struct slot *s;

		while (more && t->status == 0 && (s = free_slot(t)) != NULL)
			more = put_some(t, s);
		if (t->busy)
			inlay_visit_turn(v, UINT_MAX);
		inlay_progress_update(progress, t->moved);
	}
	if (t->status == 0)
		put_end(t, node);
	return transfer_free(t, ret_here);
}

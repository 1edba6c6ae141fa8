/*
 * The sending half of a connection: a ring of segments, gathered into few system calls.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/conn_out.h"

#include "base/status.h"

#include <assert.h>
#include <stdlib.h>

#define RING_FIRST 16u

static struct inlay_segment *segment_at(const struct inlay_conn *c, uint32_t i)
{
	return &c->segs[(c->seg_head + i) & (c->seg_cap - 1)];
}

static bool ring_grow(struct inlay_conn *c)
{
	uint32_t cap = c->seg_cap ? c->seg_cap * 2 : RING_FIRST;
	struct inlay_segment *segs = malloc(cap * sizeof(*segs));

	if (!segs)
		return false;
	for (uint32_t i = 0; i < c->seg_count; i++)
		segs[i] = *segment_at(c, i);
	free(c->segs);
	c->segs = segs;
	c->seg_cap = cap;
	c->seg_head = 0;
	return true;
}

static void mark_dirty(struct inlay_conn *c)
{
	if (c->dirty || c->blocked)
		return;
	c->dirty = true;
	inlay_hook_add(c->source.loop, &c->flush_hook);
}

static void clean(struct inlay_conn *c)
{
	if (c->dirty)
		inlay_hook_remove(&c->flush_hook);
	c->dirty = false;
}

/* Takes over the caller's reference. */
static void append(struct inlay_conn *c, struct inlay_chunk *chunk, const uint8_t *p, size_t len)
{
	if (c->seg_count == c->seg_cap && !ring_grow(c)) {
		inlay_chunk_unref(chunk);
		inlay_conn_doom(c, -INLAY_ENOMEM);
		return;
	}
	c->seg_count++;
	*segment_at(c, c->seg_count - 1) = (struct inlay_segment){chunk, p, len};
}

static void queue(struct inlay_conn *c, struct inlay_chunk *chunk, const uint8_t *p, size_t len)
{
	struct inlay_segment *last = c->seg_count ? segment_at(c, c->seg_count - 1) : NULL;

	if (last && last->chunk == chunk && last->p + last->len == p)
		last->len += len;
	else
		append(c, inlay_chunk_ref(chunk), p, len);
	c->queued += len;
	if (c->queued > INLAY_CONN_QUEUE_MAX)
		c->choked = true;
	mark_dirty(c);
}

uint8_t *inlay_conn_reserve(struct inlay_conn *c, size_t len)
{
	if (c->out && c->out->cap - c->out_used >= len)
		return c->out->mem + c->out_used;
	inlay_chunk_unref(c->out);
	c->out_used = 0;
	c->out = inlay_chunk_new(len > INLAY_CHUNK_SMALL ? len : INLAY_CHUNK_SMALL);
	if (c->out)
		return c->out->mem;
	if (c->open)
		inlay_conn_doom(c, -INLAY_ENOMEM);
	return NULL;
}

void inlay_conn_commit(struct inlay_conn *c, size_t len)
{
	const uint8_t *p = c->out->mem + c->out_used;

	assert(len <= c->out->cap - c->out_used);
	if (len && c->open) {
		c->out_used += (uint32_t)len;
		queue(c, c->out, p, len);
	}
	if (!c->queued) {
		inlay_chunk_unref(c->out);
		c->out = NULL;
	}
}

void inlay_conn_send_chunk(struct inlay_conn *c, struct inlay_chunk *chunk, const uint8_t *p, size_t len)
{
	if (len && c->open)
		queue(c, chunk, p, len);
}

static void ring_drop(struct inlay_conn *c)
{
	for (uint32_t i = 0; i < c->seg_count; i++)
		inlay_chunk_unref(segment_at(c, i)->chunk);
	free(c->segs);
	c->segs = NULL;
	c->seg_head = c->seg_count = c->seg_cap = 0;
	c->queued = 0;
	inlay_chunk_unref(c->out);
	c->out = NULL;
}

void inlay_conn_out_drop(struct inlay_conn *c)
{
	ring_drop(c);
	clean(c);
}

void inlay_conn_out_taken(struct inlay_conn *c, size_t len)
{
	c->bytes_out += len;
	c->queued -= len;
	while (len) {
		struct inlay_segment *s = segment_at(c, 0);

		if (len < s->len) {
			s->p += len;
			s->len -= len;
			break;
		}
		len -= s->len;
		inlay_chunk_unref(s->chunk);
		c->seg_head = (c->seg_head + 1) & (c->seg_cap - 1);
		c->seg_count--;
	}
	if (!c->seg_count)
		ring_drop(c);
}

unsigned inlay_conn_out_pieces(const struct inlay_conn *c, struct inlay_piece *ret, struct inlay_chunk **ret_chunks)
{
	unsigned count = 0;

	for (; count < INLAY_SOCKET_PIECES && count < c->seg_count; count++) {
		const struct inlay_segment *s = segment_at(c, count);

		ret[count] = (struct inlay_piece){s->p, s->len};
		if (ret_chunks)
			ret_chunks[count] = s->chunk;
	}
	return count;
}

/* One system call. False: no use going on. */
static bool send_some(struct inlay_conn *c)
{
	struct inlay_piece pieces[INLAY_SOCKET_PIECES];
	unsigned count = inlay_conn_out_pieces(c, pieces, NULL);
	size_t len = 0;
	int64_t n = inlay_socket_send(c->source.fd, pieces, count);

	if (n < 0 && n != -INLAY_EAGAIN) {
		inlay_conn_doom(c, (int)n);
		return false;
	}
	for (unsigned i = 0; i < count; i++)
		len += pieces[i].len;
	if (n > 0)
		inlay_conn_out_taken(c, (size_t)n);
	c->blocked = n < (int64_t)len;
	return !c->blocked;
}

static void unchoke(struct inlay_conn *c)
{
	if (!c->choked || c->queued >= INLAY_CONN_QUEUE_MAX / 2)
		return;
	c->choked = false;
	c->tell_drained = true;
	inlay_loop_again(&c->source); /* for drained(), and for the frames held back */
}

void inlay_conn_flush(struct inlay_conn *c)
{
	if (!c->open || c->doom)
		return;
	clean(c);
	while (c->seg_count && !c->blocked && send_some(c))
		;
	unchoke(c);
	inlay_conn_host_want(c);
}

void inlay_conn_out_hook(struct inlay_hook *h)
{
	inlay_conn_flush(inlay_container(h, struct inlay_conn, flush_hook));
}

size_t inlay_conn_out_memory(const struct inlay_conn *c)
{
	size_t held = c->seg_cap * sizeof(*c->segs) + (c->out ? c->out->cap : 0);

	for (uint32_t i = 0; i < c->seg_count; i++) {
		if (segment_at(c, i)->chunk != c->out)
			held += segment_at(c, i)->len;
	}
	return held;
}

/*
 * A framed stream socket on a loop: receiving and handing out frames. What is sent goes through conn_out.c.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/conn.h"

#include "base/status.h"
#include "net/conn_out.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STUB_MAX 4096u             /* an unfinished frame up to this size waits in a buffer of its own size */
#define BIG_FRAME (128u * 1024u)   /* worth a system call of its own, so that the next one starts in a fresh chunk */

int inlay_conn_new(struct inlay_loop *l, int fd, const struct inlay_conn_ops *ops, void *owner, unsigned want_kinds,
                   struct inlay_conn **ret)
{
	struct inlay_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -INLAY_ENOMEM;
	c->source.fd = fd;
	c->ops = ops;
	c->owner = owner;
	c->refs = 1;
	c->want_kinds = want_kinds;
	c->frame_max = INLAY_FRAME_MAX;
	c->last_in_ns = inlay_loop_now(l);
	c->flush_hook.run = inlay_conn_out_hook;
	r = inlay_conn_host_attach(c, l);
	if (r < 0) {
		free(c);
		return r;
	}
	inlay_socket_tune(fd);
	c->open = true;
	*ret = c;
	return 0;
}

struct inlay_conn *inlay_conn_ref(struct inlay_conn *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void inlay_conn_unref(struct inlay_conn *c)
{
	if (!c || __atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) > 1)
		return;
	assert(!c->open);
	inlay_conn_host_free(c);
	free(c);
}

static void input_drop(struct inlay_conn *c)
{
	inlay_chunk_unref(c->in);
	c->in = NULL;
	free(c->stub);
	c->stub = NULL;
	c->stub_len = 0;
}

void inlay_conn_close(struct inlay_conn *c, int status)
{
	if (!c->open)
		return;
	c->open = false;
	inlay_conn_host_detach(c);
	c->source.fd = -1;
	input_drop(c);
	inlay_conn_out_drop(c);
	c->ops->closed(c, status);
}

bool inlay_conn_may_read(const struct inlay_conn *c)
{
	return !c->paused && !c->choked;
}

void inlay_conn_doom(struct inlay_conn *c, int status)
{
	if (!c->doom)
		c->doom = status;
	inlay_loop_again(&c->source);
}

/* ---- handing out ---- */

/*
 * Hands out the frame at the input's head. Everything is arranged before the call, as the loop can be lost in it: the
 * rest of the input is called for again, and a chunk without rest isn't the connection's any more.
 */
static bool hand_out(struct inlay_conn *c, const struct inlay_frame *f)
{
	struct inlay_chunk *chunk = c->in;
	const uint8_t *body = chunk->mem + c->in_head + INLAY_FRAME_HEADER;
	bool mine;

	c->in_head += f->size;
	if (c->in_head == c->in_tail && !c->receiving) {
		c->in = NULL;
	} else {
		inlay_chunk_ref(chunk); /* for the call, which may close the connection */
		inlay_loop_again(&c->source);
	}
	inlay_conn_host_before_callback(c);
	mine = c->ops->frame(c, f, body, body + f->body, chunk);
	inlay_chunk_unref(chunk);
	return mine && c->open;
}

bool inlay_conn_parse(struct inlay_conn *c)
{
	while (c->in && inlay_conn_may_read(c)) {
		struct inlay_frame f;
		size_t len = c->in_tail - c->in_head;
		int r = inlay_frame_parse(c->in->mem + c->in_head, len, c->want_kinds, &f);

		if (r > 0 && f.size > c->frame_max)
			r = -INLAY_EPROTO;
		if (r < 0) {
			inlay_conn_close(c, r);
			return false;
		}
		if (r == 0 || f.size > len)
			break;
		if (!hand_out(c, &f))
			return false;
		if (c->choked)
			inlay_conn_flush(c); /* the host may well take it */
	}
	return true;
}

/* ---- receiving ---- */

/* The unread bytes move to the start of a chunk that nobody else looks at. False: out of memory. */
static bool input_move(struct inlay_conn *c)
{
	struct inlay_chunk *chunk = c->in;
	uint32_t len = c->in_tail - c->in_head;

	if (!inlay_chunk_is_private(chunk)) {
		chunk = inlay_chunk_new(INLAY_CHUNK_LARGE);
		if (!chunk)
			return false;
	}
	memmove(chunk->mem, c->in->mem + c->in_head, len);
	if (chunk != c->in) {
		inlay_chunk_unref(c->in);
		c->in = chunk;
	}
	c->in_head = 0;
	c->in_tail = len;
	return true;
}

static bool input_open(struct inlay_conn *c)
{
	c->in = inlay_chunk_new(INLAY_CHUNK_LARGE);
	if (!c->in)
		return false;
	c->in_head = 0;
	c->in_tail = c->stub_len;
	if (c->stub)
		memcpy(c->in->mem, c->stub, c->stub_len);
	free(c->stub);
	c->stub = NULL;
	c->stub_len = 0;
	return true;
}

uint32_t inlay_conn_room(struct inlay_conn *c)
{
	struct inlay_frame f = {.size = STUB_MAX}; /* as long as its header isn't known */
	int r;

	if (!c->in && !input_open(c))
		return 0;
	r = inlay_frame_parse(c->in->mem + c->in_head, c->in_tail - c->in_head, c->want_kinds, &f);
	if (f.size > c->in->cap - c->in_head && !input_move(c))
		return 0;
	if (r > 0 && f.size >= BIG_FRAME)
		return c->in_head + f.size - c->in_tail;
	return c->in->cap - c->in_tail;
}

/* Between events a connection holds no chunk for nothing, nor a large one for little. */
static void input_settle(struct inlay_conn *c)
{
	uint32_t len = c->in ? c->in_tail - c->in_head : 0;

	if (!c->in || len > STUB_MAX || !inlay_conn_may_read(c) || inlay_conn_host_keeps_input())
		return;
	if (len) {
		c->stub = malloc(len);
		if (!c->stub)
			return; /* then the chunk serves on */
		memcpy(c->stub, c->in->mem + c->in_head, len);
		c->stub_len = len;
	}
	inlay_chunk_unref(c->in);
	c->in = NULL;
}

void inlay_conn_over(struct inlay_conn *c, int status)
{
	if (!c->blocked)
		inlay_conn_flush(c);
	inlay_conn_close(c, status);
}

bool inlay_conn_received(struct inlay_conn *c, uint32_t n)
{
	c->in_tail += n;
	c->bytes_in += n;
	c->last_in_ns = inlay_loop_now(c->source.loop);
	return inlay_conn_parse(c);
}

static bool tell_drained(struct inlay_conn *c)
{
	struct inlay_loop *l = c->source.loop;

	if (!c->tell_drained)
		return true;
	c->tell_drained = false;
	inlay_conn_host_before_callback(c);
	if (c->ops->drained)
		c->ops->drained(c);
	return inlay_loop_current() == l && c->open;
}

void inlay_conn_serve(struct inlay_conn *c, unsigned what)
{
	if (c->doom) {
		inlay_conn_close(c, c->doom);
		return;
	}
	if ((what & INLAY_CONN_FAILED) && !inlay_conn_may_read(c)) {
		/* Nobody reads, so nobody else would find out. */
		inlay_conn_close(c, inlay_socket_status(c->source.fd));
		return;
	}
	if (what & INLAY_CONN_WRITABLE) {
		c->blocked = false;
		inlay_conn_flush(c);
	}
	if (!tell_drained(c) || !inlay_conn_parse(c))
		return;
	if ((what & (INLAY_CONN_READABLE | INLAY_CONN_FAILED)) && !inlay_conn_host_receive(c))
		return;
	/* Whatever was called for before each callback is done now, but for what callbacks have brought about. */
	if (!c->doom && !c->tell_drained)
		inlay_loop_not_again(&c->source);
	input_settle(c);
	inlay_conn_host_rest(c);
}

bool inlay_conn_is_unfinished(const struct inlay_conn *c)
{
	return inlay_conn_may_read(c) && (c->stub || (c->in && c->in_tail > c->in_head));
}

uint64_t inlay_conn_moved(const struct inlay_conn *c)
{
	uint64_t unsent = c->open ? inlay_socket_unsent(c->source.fd) : 0;

	return c->bytes_in + c->bytes_out - (unsent < c->bytes_out ? unsent : c->bytes_out);
}

void inlay_conn_pause(struct inlay_conn *c)
{
	if (!c->open || c->paused)
		return;
	c->paused = true;
	inlay_conn_host_want(c);
}

void inlay_conn_resume(struct inlay_conn *c)
{
	if (!c->open || !c->paused)
		return;
	c->paused = false;
	inlay_conn_host_want(c);
	if (c->in)
		inlay_loop_again(&c->source);
}

size_t inlay_conn_memory(const struct inlay_conn *c)
{
	return sizeof(*c) + (c->in ? c->in->cap : 0) + c->stub_len + inlay_conn_out_memory(c);
}

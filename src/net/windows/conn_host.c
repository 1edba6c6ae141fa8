/*
 * Connections on Windows: one receive is under way into the input's chunk, begun when all that came before has been looked
 * at or is held back, and one send of what the host did not take at once. Both hold a reference to the connection and to the
 * chunks that the host uses, and so outlive its closing, until the host gives them back.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "net/conn_out.h"
#include "net/host.h"
#include "net/windows/completion.h"

#include <stdlib.h>

struct inlay_conn_host {
	struct inlay_conn *conn;
	struct inlay_completion receive, send;
	bool sending;
	bool came;              /* a receive has ended, what it brought is not yet looked at */
	int64_t result;         /* its: bytes, 0 for the end, or a status */
	struct inlay_chunk *in; /* held while receiving */
	unsigned out_count;     /* held while sending */
	struct inlay_chunk *out[INLAY_SOCKET_PIECES];
};

static void host_ready(struct inlay_source *s, uint32_t events)
{
	struct inlay_conn *c = inlay_conn_ref(inlay_container(s, struct inlay_conn, source));

	inlay_conn_serve(c, events ? events : c->host->came ? INLAY_CONN_READABLE : 0u);
	inlay_conn_unref(c);
}

static void receive_done(struct inlay_completion *completion, int64_t result)
{
	struct inlay_conn_host *h = inlay_container(completion, struct inlay_conn_host, receive);
	struct inlay_conn *c = h->conn;

	c->receiving = false;
	inlay_chunk_unref(h->in);
	h->in = NULL;
	if (c->open && result < 0 && !inlay_conn_may_read(c))
		inlay_conn_close(c, (int)result);
	if (c->open) {
		h->came = true;
		h->result = result;
		inlay_conn_serve(c, INLAY_CONN_READABLE);
	}
	inlay_conn_unref(c);
}

static void send_done(struct inlay_completion *completion, int64_t result)
{
	struct inlay_conn_host *h = inlay_container(completion, struct inlay_conn_host, send);
	struct inlay_conn *c = h->conn;

	h->sending = false;
	while (h->out_count)
		inlay_chunk_unref(h->out[--h->out_count]);
	if (c->open && result < 0)
		inlay_conn_close(c, (int)result);
	if (c->open) {
		inlay_conn_out_taken(c, (size_t)result);
		inlay_conn_serve(c, INLAY_CONN_WRITABLE); /* which may lose the loop */
	}
	inlay_conn_unref(c);
}

int inlay_conn_host_attach(struct inlay_conn *c, struct inlay_loop *l)
{
	struct inlay_conn_host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -INLAY_ENOMEM;
	r = inlay_loop_bind(l, (HANDLE)(uintptr_t)inlay_host_handle(c->source.fd));
	if (r < 0) {
		free(h);
		return r;
	}
	h->conn = c;
	h->receive.done = receive_done;
	h->send.done = send_done;
	c->host = h;
	c->source.ready = host_ready;
	inlay_loop_attach(l, &c->source);
	inlay_loop_again(&c->source); /* the first receive begins there */
	return 0;
}

void inlay_conn_host_detach(struct inlay_conn *c)
{
	inlay_loop_detach(&c->source);
	inlay_socket_close(c->source.fd); /* what is under way ends soon */
}

void inlay_conn_host_free(struct inlay_conn *c)
{
	free(c->host);
}

/* A failed call that was not even begun. */
static bool call_begun(int r)
{
	return r == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

static void receive_begin(struct inlay_conn *c)
{
	struct inlay_conn_host *h = c->host;
	bool aside = c->in && !inlay_conn_may_read(c); /* frames are held back: behind them, as much as there is room for */
	uint32_t room = aside ? c->in->cap - c->in_tail : inlay_conn_room(c);
	DWORD flags = 0;
	WSABUF buf;

	if (!room) {
		if (!aside)
			inlay_conn_doom(c, -INLAY_ENOMEM);
		return;
	}
	buf = (WSABUF){room, (char *)c->in->mem + c->in_tail};
	inlay_completion_begin(c->source.loop, &h->receive);
	if (!call_begun(WSARecv(inlay_host_handle(c->source.fd), &buf, 1, NULL, &flags, &h->receive.overlapped, NULL))) {
		inlay_conn_doom(c, inlay_host_status());
		inlay_completion_forget(&h->receive);
		return;
	}
	c->receiving = true;
	h->in = inlay_chunk_ref(c->in);
	inlay_conn_ref(c);
}

static void send_begin(struct inlay_conn *c)
{
	struct inlay_conn_host *h = c->host;
	struct inlay_piece pieces[INLAY_SOCKET_PIECES];
	WSABUF bufs[INLAY_SOCKET_PIECES];
	unsigned count = inlay_conn_out_pieces(c, pieces, h->out);

	for (unsigned i = 0; i < count; i++)
		bufs[i] = (WSABUF){(ULONG)pieces[i].len, (char *)(uintptr_t)pieces[i].p};
	inlay_completion_begin(c->source.loop, &h->send);
	if (!call_begun(WSASend(inlay_host_handle(c->source.fd), bufs, count, NULL, 0, &h->send.overlapped, NULL))) {
		inlay_conn_doom(c, inlay_host_status());
		inlay_completion_forget(&h->send);
		return;
	}
	h->sending = true;
	for (; h->out_count < count; h->out_count++)
		inlay_chunk_ref(h->out[h->out_count]);
	inlay_conn_ref(c);
}

void inlay_conn_host_want(struct inlay_conn *c)
{
	struct inlay_conn_host *h = c->host;

	if (c->blocked && !h->sending && !c->doom)
		send_begin(c);
	/* Receiving begins when all that came before has been looked at. */
	if (inlay_conn_may_read(c) && !c->receiving)
		inlay_loop_again(&c->source);
}

void inlay_conn_host_rest(struct inlay_conn *c)
{
	struct inlay_conn_host *h = c->host;

	if (c->blocked && !h->sending && !c->doom)
		send_begin(c);
	/* Also while it is not to read: a peer that is gone is told by the host in no other way. */
	if (!c->receiving && !h->came && !c->doom)
		receive_begin(c);
}

bool inlay_conn_host_receive(struct inlay_conn *c)
{
	struct inlay_conn_host *h = c->host;

	if (!h->came || !inlay_conn_may_read(c))
		return true;
	h->came = false;
	if (h->result > 0)
		return inlay_conn_received(c, (uint32_t)h->result);
	inlay_conn_over(c, (int)h->result);
	return false;
}

/* The host has a place of its in the chunk. */
bool inlay_conn_host_keeps_input(void)
{
	return true;
}

/* What the host tells, it tells once. */
void inlay_conn_host_before_callback(struct inlay_conn *c)
{
	inlay_loop_again(&c->source);
}

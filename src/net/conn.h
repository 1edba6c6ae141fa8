/*
 * A framed stream socket on a loop: frames in, bytes out, both in few system calls and without needless copies.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_CONN_H
#define INLAY_NET_CONN_H

#include "net/chunk.h"
#include "net/loop.h"
#include "wire/frame.h"

struct inlay_conn;

/* Bytes to be sent, held by a reference. Private to conn.c. */
struct inlay_segment {
	struct inlay_chunk *chunk;
	const uint8_t *p;
	size_t len;
};

struct inlay_conn_ops {
	/*
	 * One whole frame, in the order received; body and data lie in `chunk`, which stays as it is while the callee
	 * holds a reference of its own. Returns false when inlay_loop_run() said false: the connection then returns
	 * at once; the rest of the input is picked up by the loop's new owner. May call inlay_conn_close(). body and data
	 * stay readable until it returns, and longer only by a reference to chunk.
	 */
	bool (*frame)(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
	              struct inlay_chunk *chunk);
	/*
	 * The stream is over, once, never from within an inlay_conn_ call but close: peer closed (0), a host error or
	 * -INLAY_EPROTO. The connection is off the loop, its descriptor closed; its owner drops its reference when it wants.
	 * A peer that only ends its sending counts as closed; what is queued is offered to the host once more before.
	 */
	void (*closed)(struct inlay_conn *c, int status);
	/*
	 * The queue of unsent bytes fell below half of INLAY_CONN_QUEUE_MAX after having passed it (until then no frame is
	 * handed out). Called from the loop, never from within an inlay_conn_ call. NULL: not wanted.
	 */
	void (*drained)(struct inlay_conn *c);
};

/* Public fields are read by their users, written by conn.c only. */
struct inlay_conn {
	struct inlay_source source;
	const struct inlay_conn_ops *ops;
	void *owner;          /* the user's */
	uint32_t refs;        /* atomic */
	unsigned want_kinds;  /* see inlay_frame_parse */
	uint32_t frame_max;   /* a larger frame ends the connection; the user's to change, INLAY_FRAME_MAX at first */
	uint64_t bytes_in, bytes_out, queued; /* queued: not yet taken by the host */
	uint64_t last_in_ns;  /* loop time of the last bytes received */
	bool open;
	bool paused;          /* not reading: see inlay_conn_pause */

	/* Private to conn.c. */
	struct inlay_hook flush_hook; /* on the loop while dirty */
	struct inlay_chunk *in;       /* unread bytes are in_head..in_tail; NULL while there are none, or few: */
	uint32_t in_head, in_tail;
	bool receiving;               /* a call of the host is under way that fills the chunk behind in_tail */
	uint32_t stub_len;            /* the start of a frame that has been waiting for its rest, */
	uint8_t *stub;                /* kept small so that slow peers don't hold large chunks */
	struct inlay_chunk *out;      /* being filled by reserve and commit, up to out_used */
	uint32_t out_used;
	uint32_t seg_head, seg_count, seg_cap; /* ring of what is queued; cap is a power of two */
	struct inlay_segment *segs;            /* NULL while nothing is queued */
	int doom;                     /* a failure to be told from the loop: the connection closes in the next round */
	bool dirty;                   /* to be flushed when the batch is done */
	bool blocked;                 /* the host's buffer is full: waiting for it to have room */
	bool choked;                  /* too much is queued: not reading */
	bool tell_drained;
	struct inlay_conn_host *host; /* what the host's calls under way need; NULL where they never are */
};

/*
 * Takes over a connected, non-blocking stream socket and starts reading on the loop. For TCP sets NODELAY and, where the
 * host knows it, the cubic congestion control. On failure fd stays the caller's. One reference belongs to the caller.
 * Owner thread of the loop.
 */
int inlay_conn_new(struct inlay_loop *l, int fd, const struct inlay_conn_ops *ops, void *owner, unsigned want_kinds,
                   struct inlay_conn **ret);
struct inlay_conn *inlay_conn_ref(struct inlay_conn *c); /* any thread */
void inlay_conn_unref(struct inlay_conn *c);             /* any thread; the last one after close */
/* Closes and calls ops->closed(status). Does nothing on a closed one. Owner thread. */
void inlay_conn_close(struct inlay_conn *c, int status);

/* ---- sending: owner thread. On a closed connection bytes are dropped; the result is the same. ---- */

/*
 * Room for up to len contiguous bytes at the queue's end, to be filled and then committed with the length really used
 * (0 to give it back) before any other call on this connection. NULL when out of memory: the connection is closing.
 */
uint8_t *inlay_conn_reserve(struct inlay_conn *c, size_t len);
void inlay_conn_commit(struct inlay_conn *c, size_t len);
/* Queues bytes of a chunk without copying them; takes a reference of its own until they are sent. */
void inlay_conn_send_chunk(struct inlay_conn *c, struct inlay_chunk *chunk, const uint8_t *p, size_t len);
/* Sends at once what is queued; else it goes out by a loop hook when the batch of events is done. */
void inlay_conn_flush(struct inlay_conn *c);
/* It waits for the rest of a frame, or could: what came is not whole. */
bool inlay_conn_is_unfinished(const struct inlay_conn *c);
/* Bytes moved both ways, less what the peer's host has not taken yet, where ours tells. */
uint64_t inlay_conn_moved(const struct inlay_conn *c);
/* Stops and resumes reading (frames already received are held back too): back-pressure. */
void inlay_conn_pause(struct inlay_conn *c);
void inlay_conn_resume(struct inlay_conn *c);
/*
 * The connection keeps no input buffer while it has no unread bytes, and no output buffer while nothing is queued:
 * an idle connection costs this struct and the host's socket (on Windows also the input buffer, which the host receives into). Bytes
 * of memory it holds now: for status and tests.
 */
size_t inlay_conn_memory(const struct inlay_conn *c);

#endif

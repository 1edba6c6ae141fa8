/*
 * The ring of a loop: slots for what is under way, submission in a hook, completions.
 *
 * A loop changes hands, its ring with it, so that whoever owns the loop submits: no SINGLE_ISSUER, and without it no
 * DEFER_TASKRUN. The price: what the host finishes in the context of "the submitting thread" - the copying of a buffered
 * read's bytes, once its pages have come - waits while that thread, whose loop was taken because it is stuck in a slow
 * call, sleeps uninterruptibly. So a new owner gives up the reads of others and has them done in another way, most
 * likely from the page cache by now; the host keeps their memory until it is done with it. When a submitter ends, the host
 * gives its requests back as cancelled: they are done in another way, too.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/uring.h"

#include "base/status.h"
#include "net/crew.h"
#include "net/linux/source.h"
#include "os/clock.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define PASSES 4            /* of submitting and reaping before the other sources have their turn */
#define REAP_MAX 64         /* completions per pass */
#define DRAIN_WAIT_S 5      /* for the host to give back what was cancelled */
#define NOBODY UINT64_MAX   /* user_data of what nobody waits for */

struct slot {
	struct inlay_uring_op *op; /* NULL: given up, or free */
	struct inlay_chunk *chunk; /* referenced */
	struct io_uring_sqe *sqe;  /* while it is queued */
	uint8_t *buf;
	uint64_t off, thread;      /* thread: who submitted it; 0 = nobody yet */
	uint32_t len, got;
	int fd;
	struct slot *next; /* free list */
};

struct inlay_uring {
	struct io_uring ring;
	struct inlay_loop *loop;
	struct inlay_source source;
	struct inlay_hook hook;
	uint64_t owner;   /* the thread that ran the hook last */
	bool in_hook;
	bool closed;      /* the crew has stopped: nothing more is taken */
	unsigned under_way, queued;
	struct slot *queue[INLAY_URING_DEPTH]; /* not yet submitted, in order */
	struct slot *free;
	struct slot slots[INLAY_URING_DEPTH];
};

/* A thread's number; unlike addresses and the host's numbers it is never given to another. 0 is none. */
static uint64_t thread_self(void)
{
	static uint64_t last;
	static __thread uint64_t self;

	if (!self)
		self = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	return self;
}

/* ---- slots ---- */

static struct slot *slot_take(struct inlay_uring *u)
{
	struct slot *s = u->free;

	if (!s)
		return NULL;
	u->free = s->next;
	u->under_way++;
	return s;
}

static void slot_put(struct inlay_uring *u, struct slot *s)
{
	inlay_chunk_unref(s->chunk);
	*s = (struct slot){.next = u->free};
	u->free = s;
	u->under_way--;
}

/* Each of the following returns false when the loop was lost in a callback: then the ring is another thread's. */

static bool tell(struct inlay_uring *u, struct inlay_uring_op *op, int64_t result)
{
	struct inlay_loop *l = u->loop;

	if (op)
		op->done(op, result);
	return inlay_loop_current() == l;
}

static bool slot_finish(struct inlay_uring *u, struct slot *s, int64_t result)
{
	struct inlay_uring_op *op = s->op;

	slot_put(u, s);
	return tell(u, op, result);
}

/* ---- submitting ---- */

/* A request that other hooks make after this one's turn must not wait for the next event. */
static void wake_hook(struct inlay_uring *u)
{
	if (u->queued || u->in_hook)
		return;
	inlay_hook_remove(&u->hook);
	inlay_hook_add(u->loop, &u->hook);
}

static bool queue_read(struct inlay_uring *u, struct slot *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) /* there are as many as slots: only give_back() can have used them up */
		return false;
	wake_hook(u);
	s->sqe = sqe;
	s->thread = 0;
	u->queue[u->queued++] = s;
	io_uring_prep_read(sqe, s->fd, s->buf + s->got, s->len - s->got, s->off + s->got);
	io_uring_sqe_set_data64(sqe, (uint64_t)(s - u->slots));
	return true;
}

/* The host refuses: its memory is short. What it has not taken becomes nothing and is done in another way. */
static bool give_back(struct inlay_uring *u)
{
	struct slot *s;

	while (u->queued) {
		s = u->queue[--u->queued];
		io_uring_prep_nop(s->sqe);
		io_uring_sqe_set_data64(s->sqe, NOBODY);
		if (!slot_finish(u, s, -INLAY_EAGAIN))
			return false;
	}
	return true;
}

static bool submit(struct inlay_uring *u)
{
	int n;

	while (u->queued) {
		n = io_uring_submit(&u->ring);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return give_back(u);
		/* Leftovers of give_back are counted, too. */
		if ((unsigned)n > u->queued)
			n = (int)u->queued;
		for (int i = 0; i < n; i++)
			u->queue[i]->thread = thread_self();
		u->queued -= (unsigned)n;
		memmove(u->queue, u->queue + n, u->queued * sizeof(u->queue[0]));
	}
	return true;
}

/* ---- completions ---- */

/* Whether the host says that it did not do it, rather than how it went. */
static bool is_undone(int err)
{
	switch (err) {
	case ECANCELED:
	case EINVAL:
	case EOPNOTSUPP:
	case EAGAIN:
	case EINTR:
	case EFAULT: /* the submitter has ended: its memory is out of the host's reach */
	case ENOMEM:
		return true;
	default:
		return false;
	}
}

static bool completed(struct inlay_uring *u, struct slot *s, int res)
{
	if (res < 0)
		return slot_finish(u, s, is_undone(-res) ? -INLAY_EAGAIN : inlay_status_from_errno(-res));
	if (!s->op)
		return slot_finish(u, s, 0);
	s->got += (uint32_t)res;
	if (res == 0 || s->got == s->len)
		return slot_finish(u, s, s->got);
	/* Only nothing at all is the end of file. */
	if (u->closed || !queue_read(u, s))
		return slot_finish(u, s, -INLAY_EAGAIN);
	return true;
}

static bool reap(struct inlay_uring *u)
{
	struct io_uring_cqe *cqe;

	for (int i = 0; i < REAP_MAX && io_uring_cq_ready(&u->ring); i++) {
		uint64_t data;
		int res;

		if (io_uring_peek_cqe(&u->ring, &cqe) < 0)
			break;
		data = io_uring_cqe_get_data64(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		if (data != NOBODY && !completed(u, &u->slots[data], res))
			return false;
	}
	return true;
}

/* ---- rounds ---- */

/* See the head of this file. A read of a further owner that comes to be stuck meanwhile is found by the one after it. */
static bool rescue(struct inlay_uring *u)
{
	for (struct slot *s = u->slots; s < u->slots + INLAY_URING_DEPTH && u->under_way; s++) {
		struct inlay_uring_op *op = s->op;

		if (!op || !s->thread || s->thread == u->owner)
			continue;
		s->op = NULL;
		if (!tell(u, op, -INLAY_EAGAIN))
			return false;
	}
	return true;
}

static bool turn(struct inlay_uring *u)
{
	if (u->owner != thread_self()) {
		u->owner = thread_self();
		/* What has come is not to be done again. */
		if (!reap(u) || !rescue(u))
			return false;
	}
	for (int i = 0; i < PASSES; i++) {
		if (!submit(u))
			return false;
		if (!io_uring_cq_ready(&u->ring))
			return true;
		if (!reap(u))
			return false;
	}
	return submit(u); /* completions that are left keep the descriptor ready */
}

static void on_hook(struct inlay_hook *h)
{
	struct inlay_uring *u = inlay_container(h, struct inlay_uring, hook);

	u->in_hook = true;
	if (turn(u)) /* else the next owner's first round sets it right */
		u->in_hook = false;
}

static void on_ready(struct inlay_source *s, uint32_t events)
{
	(void)events;
	(void)reap(inlay_container(s, struct inlay_uring, source));
}

/* ---- life ---- */

/* A host may allow the set-up and refuse the rest. */
static bool works(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;

	io_uring_prep_nop(sqe);
	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe) < 0)
		return false;
	io_uring_cqe_seen(ring, cqe);
	return true;
}

static bool ring_init(struct io_uring *ring)
{
	const char *wanted = getenv("INLAY_IO_URING");

	if (wanted && strcmp(wanted, "off") == 0)
		return false;
	/* No interrupt to a submitter that runs: it comes by the kernel soon. One that sleeps is woken. Since 5.19. */
	if (io_uring_queue_init(INLAY_URING_DEPTH, ring, IORING_SETUP_COOP_TASKRUN) < 0 &&
	    io_uring_queue_init(INLAY_URING_DEPTH, ring, 0) < 0)
		return false;
	/* A host so old would lose completions, and has no reads that need no thread. */
	if (ring->features & IORING_FEAT_NODROP && works(ring))
		return true;
	io_uring_queue_exit(ring);
	return false;
}

static struct inlay_uring *uring_new(struct inlay_loop *l)
{
	struct inlay_uring *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	if (!ring_init(&u->ring)) {
		free(u);
		return NULL;
	}
	u->loop = l;
	u->source.fd = u->ring.ring_fd;
	u->source.ready = on_ready;
	u->hook.run = on_hook;
	u->owner = thread_self();
	for (unsigned i = INLAY_URING_DEPTH; i-- > 0;) {
		u->slots[i].next = u->free;
		u->free = &u->slots[i];
	}
	if (inlay_loop_add(l, &u->source, EPOLLIN) < 0) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return NULL;
	}
	inlay_list_init(&u->hook.link);
	inlay_hook_add(l, &u->hook);
	return u;
}

/* NULL: the loop has none. */
static struct inlay_uring *uring_of(struct inlay_loop *l)
{
	assert(inlay_loop_current() == l);
	if (!l->uring_tried) {
		l->uring_tried = true;
		l->uring = uring_new(l);
	}
	return l->uring && !l->uring->closed ? l->uring : NULL;
}

bool inlay_uring_read(struct inlay_loop *l, struct inlay_uring_op *op, int fd, uint64_t off, struct inlay_chunk *chunk,
                      uint8_t *buf, uint32_t len)
{
	struct inlay_uring *u = uring_of(l);
	struct slot *s = u ? slot_take(u) : NULL;

	if (!s)
		return false;
	*s = (struct slot){.op = op, .chunk = inlay_chunk_ref(chunk), .fd = fd, .off = off, .buf = buf, .len = len};
	if (queue_read(u, s))
		return true;
	slot_put(u, s);
	return false;
}

unsigned inlay_uring_under_way(const struct inlay_loop *l)
{
	return l->uring ? l->uring->under_way : 0;
}

static void cancel_all(struct inlay_uring *u)
{
	for (struct slot *s = u->slots; s < u->slots + INLAY_URING_DEPTH; s++) {
		struct io_uring_sqe *sqe;

		if (!s->thread)
			continue;
		sqe = io_uring_get_sqe(&u->ring);
		if (!sqe && io_uring_submit(&u->ring) >= 0)
			sqe = io_uring_get_sqe(&u->ring);
		if (!sqe)
			break;
		io_uring_prep_cancel64(sqe, (uint64_t)(s - u->slots), 0);
		io_uring_sqe_set_data64(sqe, NOBODY);
	}
	(void)io_uring_submit(&u->ring);
}

bool inlay_uring_drain(struct inlay_uring *u)
{
	uint64_t end = inlay_clock_ns() + DRAIN_WAIT_S * 1000000000ull;
	struct __kernel_timespec second = {.tv_sec = 1};
	struct io_uring_cqe *cqe;
	bool any;

	if (!u || u->closed)
		return false;
	u->closed = true;
	any = u->under_way > 0;
	(void)give_back(u);
	cancel_all(u);
	while (u->under_way && inlay_clock_ns() < end) {
		if (io_uring_wait_cqe_timeout(&u->ring, &cqe, &second) == 0)
			(void)reap(u);
	}
	return any;
}

void inlay_uring_free(struct inlay_uring *u)
{
	if (!u || u->under_way)
		return;
	io_uring_queue_exit(&u->ring);
	free(u);
}

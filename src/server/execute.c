/*
 * Executing one request on any thread: the table, what comes before each handler and after it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

#include "base/log.h"

#include <string.h>

#define PAYLOAD_OFF_SMALL 128u
#define PAYLOAD_OFF_LARGE 4096u /* a page, so that a store can read past its cache */
#define SLOW_FALLOCATE (1u << 20)

_Static_assert(PAYLOAD_OFF_LARGE + INLAY_DATA_MAX <= INLAY_CHUNK_LARGE, "a payload fits behind its room");
_Static_assert(PAYLOAD_OFF_SMALL >= INLAY_FRAME_HEADER + 64, "header and body go before a payload");

enum row_flags {
	CHANGES = 1, /* refused on a read-only export */
	OPENS = 2,   /* refused to who holds more than his share of descriptors */
	REOPENS = 4, /* the same, but less strictly */
};

struct row {
	int (*handler)(struct exec *x);
	int flags;
};

static const struct row rows[INLAY_MESSAGE_TOP] = {
	[INLAY_LOOKUP] = {exec_lookup, 0},
	[INLAY_GETATTR] = {exec_getattr, 0},
	[INLAY_SETATTR] = {exec_setattr, CHANGES},
	[INLAY_ACCESS] = {exec_access, 0},
	[INLAY_READLINK] = {exec_readlink, 0},
	[INLAY_OPEN] = {exec_open, OPENS},
	[INLAY_CREATE] = {exec_create, CHANGES | OPENS},
	[INLAY_TMPFILE] = {exec_tmpfile, CHANGES | OPENS},
	[INLAY_MKDIR] = {exec_mkdir, CHANGES},
	[INLAY_MKNOD] = {exec_mknod, CHANGES},
	[INLAY_SYMLINK] = {exec_symlink, CHANGES},
	[INLAY_LINK] = {exec_link, CHANGES},
	[INLAY_UNLINK] = {exec_unlink, CHANGES},
	[INLAY_RMDIR] = {exec_rmdir, CHANGES},
	[INLAY_RENAME] = {exec_rename, CHANGES},
	[INLAY_READ] = {exec_read, 0},
	[INLAY_WRITE] = {exec_write, CHANGES},
	[INLAY_COMMIT] = {exec_commit, 0},
	[INLAY_CLOSE] = {exec_close, 0},
	[INLAY_OPENDIR] = {exec_opendir, OPENS},
	[INLAY_READDIR] = {exec_readdir, 0},
	[INLAY_STATFS] = {exec_statfs, 0},
	[INLAY_SYNCFS] = {exec_syncfs, 0},
	[INLAY_GETXATTR] = {exec_getxattr, 0},
	[INLAY_SETXATTR] = {exec_setxattr, CHANGES},
	[INLAY_LISTXATTR] = {exec_listxattr, 0},
	[INLAY_REMOVEXATTR] = {exec_removexattr, CHANGES},
	[INLAY_FALLOCATE] = {exec_fallocate, CHANGES},
	[INLAY_SEEK] = {exec_seek, 0},
	[INLAY_COPY] = {exec_copy, CHANGES},
	[INLAY_LOCK] = {exec_lock, 0},
	[INLAY_TESTLOCK] = {exec_testlock, 0},
	[INLAY_LOCK_CANCEL] = {exec_lock_cancel, 0},
	[INLAY_FORGET] = {exec_forget, 0},
	[INLAY_LEASE_RETURN] = {exec_lease_return, 0},
	[INLAY_REOPEN] = {exec_reopen, REOPENS},
	[INLAY_RECLAIM_DONE] = {exec_reclaim_done, 0},
};

uint8_t *exec_payload(struct exec *x, uint32_t len)
{
	struct inlay_request *rq = x->rq;
	uint32_t off = len < PAYLOAD_OFF_LARGE ? PAYLOAD_OFF_SMALL : PAYLOAD_OFF_LARGE;

	if (rq->data_room && rq->data_room_len >= len)
		return rq->data_room;
	rq->chunk = inlay_chunk_new(off + (len ? len : 1));
	return rq->chunk ? rq->chunk->mem + off : NULL;
}

void exec_payload_set(struct exec *x, uint8_t *p, uint32_t len)
{
	x->rq->reply_data = len ? p : NULL;
	x->rq->reply_data_len = len;
}

int exec_large_body(struct exec *x, size_t len)
{
	struct inlay_request *rq = x->rq;

	rq->chunk = inlay_chunk_new(PAYLOAD_OFF_SMALL + len);
	if (!rq->chunk)
		return -INLAY_ENOMEM;
	rq->reply_body = rq->chunk->mem + PAYLOAD_OFF_SMALL;
	x->out = inlay_writer(rq->reply_body, len);
	return 0;
}

#define SOMEBODY 1u /* in a node's writer: a client that has no name */

static uint64_t writer_of(const struct exec *x)
{
	uint64_t id = inlay_load64(x->ss->client.bytes); /* the same over restarts */

	return id > SOMEBODY ? id : SOMEBODY;
}

bool exec_is_shared(struct exec *x, struct inlay_store_node *n)
{
	uint64_t own = writer_of(x), last = __atomic_load_n(&n->writer, __ATOMIC_RELAXED);

	if (last == own)
		return own == SOMEBODY;
	return __atomic_exchange_n(&n->writer, own, __ATOMIC_ACQ_REL) != 0;
}

uint64_t exec_modified(const struct exec *x)
{
	struct inlay_time t = x->ex->server->late_clock(x->ex->server->file_clock_arg);

	return (uint64_t)t.sec * 1000000000u + t.nsec;
}

/* Before anything is made; requests at the same moment may pass it together, which is what is kept for the server bears. */
static bool has_room(struct inlay_session *ss, uint32_t share)
{
	if (session_may_take(ss, share))
		return true;
	if (origin_may_complain(ss->server))
		inlay_warning("client %s at %s has its share of open files: more are refused", ss->host, ss->peer);
	return false;
}

static int run(struct exec *x)
{
	const struct row *row = x->rq->type < INLAY_MESSAGE_TOP ? &rows[x->rq->type] : NULL;
	int r;

	if (!row || !row->handler)
		return -INLAY_EPROTO;
	if (__atomic_load_n(&x->ss->over, __ATOMIC_ACQUIRE))
		return -INLAY_ENOSESSION;
	if (row->flags & (OPENS | REOPENS) && !has_room(x->ss, row->flags & OPENS ? INLAY_FILES_SHARE : INLAY_CONNS_SHARE))
		return -INLAY_EMFILE;
	r = row->handler(x);
	if (x->bad)
		return -INLAY_EPROTO;
	/* A store may meet this errno too; only a body that breaks the schema may end the session. */
	return r == -INLAY_EPROTO ? -INLAY_EIO : r;
}

int exec_allowed(const struct exec *x)
{
	return x->ex->readonly && rows[x->rq->type].flags & CHANGES ? -INLAY_EROFS : 0;
}

struct exec exec_begin(struct inlay_request *rq)
{
	return (struct exec){
		.rq = rq,
		.ss = rq->session,
		.ex = rq->session->ex,
		.ops = rq->session->ex->store->ops,
		.in = inlay_reader(rq->body, rq->body_len),
		.out = inlay_writer(rq->reply, sizeof(rq->reply)),
	};
}

void exec_end(struct exec *x, int r)
{
	struct inlay_request *rq = x->rq;

	if (r >= 0 && x->out.full)
		r = -INLAY_EOVERFLOW;
	rq->status = r < 0 ? r : 0;
	if (r >= 0) {
		rq->reply_len = (uint32_t)inlay_writer_len(&x->out);
		return;
	}
	rq->reply_data = NULL;
	rq->reply_data_len = 0;
}

static void reset_out(struct inlay_request *rq)
{
	rq->chunk = NULL;
	rq->reply_body = rq->reply;
	rq->reply_data = NULL;
	rq->reply_len = rq->reply_data_len = 0;
}

static void execute(struct inlay_request *rq)
{
	struct exec x = exec_begin(rq);

	reset_out(rq);
	exec_end(&x, run(&x));
}

void inlay_request_done(struct inlay_request *rq)
{
	inlay_chunk_unref(rq->chunk);
	rq->chunk = NULL;
}

bool inlay_request_is_slow(const struct inlay_request *rq)
{
	struct inlay_reader r = inlay_reader(rq->body, rq->body_len);
	struct inlay_fallocate_req fallocate;
	struct inlay_write_req write;

	switch (rq->type) {
	case INLAY_COMMIT:
	case INLAY_SYNCFS:
	case INLAY_COPY:
		return true;
	case INLAY_FALLOCATE:
		return inlay_get_fallocate_req(&r, &fallocate) == 0 && fallocate.len > SLOW_FALLOCATE;
	case INLAY_WRITE:
		return inlay_get_write_req(&r, &write) == 0 &&
			write.flags & (INLAY_WRITE_DATA_SYNC | INLAY_WRITE_FILE_SYNC);
	default:
		return false;
	}
}

static bool is_synchronous(struct inlay_session *ss, uint64_t handle)
{
	struct handle *h = handle_get(ss, handle);
	bool found = h && h->file->flags & (INLAY_O_SYNC | INLAY_O_DSYNC);

	if (h)
		handle_put(ss, handle);
	return found;
}

/*
 * Whether the failure may be that of a write-back: of this request's own effect, which then stands, or of an earlier write.
 * The host tells each open file once, so that whoever asks again is told that all is well.
 */
static bool tells_of_write_back(const struct inlay_request *rq)
{
	struct inlay_reader r = inlay_reader(rq->body, rq->body_len);
	struct inlay_fallocate_req fallocate;
	struct inlay_write_req write;
	struct inlay_copy_req copy;

	switch (rq->type) {
	case INLAY_COMMIT:
	case INLAY_SYNCFS:
		return true;
	case INLAY_WRITE:
		return inlay_get_write_req(&r, &write) < 0 || write.flags & (INLAY_WRITE_DATA_SYNC | INLAY_WRITE_FILE_SYNC) ||
			is_synchronous(rq->session, write.handle);
	case INLAY_FALLOCATE:
		return inlay_get_fallocate_req(&r, &fallocate) < 0 || is_synchronous(rq->session, fallocate.handle);
	case INLAY_COPY:
		return inlay_get_copy_req(&r, &copy) < 0 || is_synchronous(rq->session, copy.to);
	default:
		return false;
	}
}

static void execute_with_room(struct inlay_request *rq)
{
	struct inlay_store *store = rq->session->ex->store;

	execute(rq);
	/* Any other request that met a full store has done nothing yet. */
	if ((rq->status == -INLAY_ENOSPC || rq->status == -INLAY_EDQUOT) && inlay_store_offers(store, reclaim) &&
	    !tells_of_write_back(rq) && store->ops->reclaim(store)) {
		inlay_request_done(rq);
		execute(rq);
	}
}

static void execute_noted(struct inlay_request *rq)
{
	bool answered = false;

	reset_out(rq);
	if (rq->record.redo)
		answered = redo_answer(rq);
	else
		redo_note(rq);
	if (!answered) {
		redo_keep_names(rq);
		execute_with_room(rq);
	}
	if (rq->record.redo)
		redo_mend(rq);
	if (rq->record.lane)
		record_end(&rq->record, rq->status, rq->reply_body, rq->reply_len);
}

void inlay_request_execute(struct inlay_request *rq)
{
	if ((rq->record.lane || rq->record.redo) && redo_is_noted(rq) && !__atomic_load_n(&rq->session->over, __ATOMIC_ACQUIRE)) {
		execute_noted(rq);
		return;
	}
	redo_keep_names(rq);
	execute_with_room(rq);
}

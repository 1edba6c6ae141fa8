/*
 * How a request is executed: the table of handlers, and what they share. Nobody outside src/server includes this.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SERVER_EXECUTE_H
#define INLAY_SERVER_EXECUTE_H

#include "server/internal.h"
#include "server/locks.h"

struct exec {
	struct inlay_request *rq;
	struct inlay_session *ss;
	struct inlay_export *ex;
	const struct inlay_store_ops *ops; /* of the export's store */
	struct inlay_reader in;            /* the request's body */
	struct inlay_writer out;           /* the reply's */
	bool bad;                          /* the body is not what the schema says */
};

/* -INLAY_EROFS for a message that changes something on a read-only export. */
int exec_allowed(const struct exec *x);
/*
 * Reads the whole body of a request: the first thing that a handler does. 0, -INLAY_EPROTO (and x->bad) or -INLAY_EROFS.
 */
#define EXEC_DECODE(x, lower, ret) \
	((x)->bad = inlay_get_##lower##_req(&(x)->in, (ret)) < 0, (x)->bad ? -INLAY_EPROTO : exec_allowed(x))

/* Who acts on the store for this caller. */
static inline const struct inlay_cred *exec_cred(const struct exec *x, const struct inlay_cred *asked)
{
	if (!x->ex->identity_client)
		return x->ex->user;
	return x->ss->as ? x->ss->as : asked;
}

/*
 * Room for a payload of up to len bytes: the user's own where it is large enough, else a chunk's, page-aligned when it
 * is large. NULL: out of memory. There is room for a frame's header and a body of 64 bytes right before a chunk's.
 */
uint8_t *exec_payload(struct exec *x, uint32_t len);
void exec_payload_set(struct exec *x, uint8_t *p, uint32_t len);
/* Around a handler, for those that a request doesn't run through in one call: what it works on; sets Out from its result. */
struct exec exec_begin(struct inlay_request *rq);
void exec_end(struct exec *x, int r);
/* Flags of an opening: known ones, and none that the export forbids. */
int exec_open_flags_ok(const struct exec *x, uint32_t flags);
/* READ, cut in two. open: decodes and checks; 0: handle_put() must follow. reply: writes x->out. */
int exec_read_open(struct exec *x, struct inlay_read_req *m, struct handle **ret);
/* The write's place is the end of the file. */
bool exec_appends(const struct handle *h, const struct inlay_write_req *m);
void exec_read_reply(struct exec *x, uint8_t *room, uint32_t len);
/* Body room beyond INLAY_REQUEST_BODY: x->out writes to a chunk. */
int exec_large_body(struct exec *x, size_t len);
/* Before the caller's client changes the content of n. True: another client has changed it since this one last did. */
bool exec_is_shared(struct exec *x, struct inlay_store_node *n);
/* The server's time, in ns, after a change: no file that was changed before has a later one. */
uint64_t exec_modified(const struct exec *x);
/* ---- redo.c ---- */
/* Whether this type of request stands in the record; then it is noted before it is executed. */
bool redo_is_noted(const struct inlay_request *rq);
void redo_note(struct inlay_request *rq);
/* Before a request changes names, whoever's: for those that are redone. */
void redo_keep_names(struct inlay_request *rq);
/* For a request of a lost session. True: all of Out is set; false: it is to be executed, and then mended. */
bool redo_answer(struct inlay_request *rq);
void redo_mend(struct inlay_request *rq);

/* An offset and a length that a file can have. */
static inline bool exec_range_ok(uint64_t off, uint64_t len)
{
	return off <= INT64_MAX && len <= INT64_MAX - off;
}

/* Each: 0 with x->out written, or a status. */
#define EXEC_HANDLER(NAME, lower, number, flags) int exec_##lower(struct exec *x);
INLAY_MESSAGES(EXEC_HANDLER)
#undef EXEC_HANDLER

#endif

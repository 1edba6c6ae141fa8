/*
 * The ledger of operations.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ledger.h"

#include "server.h"

#include "server/before.h"
#include "server/internal.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 65536u
#define ANSWERS_MAX 12u
#define LONG_AGO (120 * SEC)

/* What an execution brought. */
struct answer {
	int status;
	uint64_t hash; /* of the reply's body and payload */
};

struct entry {
	uint16_t type;
	bool over;       /* the client was told */
	unsigned runs, ok;
	struct answer answer[ANSWERS_MAX]; /* the last ones */
	struct inlay_uuid session; /* of the last run */
	struct tree_mark mark;     /* COMMIT, synchronous WRITE: what it makes durable */
	const struct sim_op *op;   /* until it is over */
	bool appends;
	bool synced;               /* this run has changed or synced something */
	unsigned effects, effects_before, sessions; /* before: this run; sessions: in which it was asked for */
	uint64_t crash;            /* of the host, before the last effect */
	uint64_t first_crash;      /* the same, before the first run: a crash takes the answers out of the server's record */
	uint64_t dir, to_dir;      /* of names */
	int name, to_name;
	bool untraceable;          /* at the beginning of this run */
	uint64_t torn;             /* the start of the server that died between its note of the request and that of its answer */
	uint64_t versions;         /* of the names then */
	struct sim_file *file;     /* WRITE: by which it was written, and which opening of it that was */
	uint32_t opened;
	bool told;                 /* its client was told of its success */
	uint64_t made;             /* the inode that it made */
	uint64_t wrote;            /* bytes */
	bool lost;                 /* WRITE: told, and taken by a crash */
	uint64_t told_as;          /* WRITE: the how manieth of all that were told */
	uint64_t ino;
};

static struct entry *entries;
static uint32_t count;
static struct entry *running; /* under execution */
static uint64_t told;

/* Of each inode: the last write to it that was sent again, and in which session. */
static struct {
	struct inlay_uuid session;
	uint64_t told_as;
} again[16384];

void ledger_begin(void)
{
	entries = calloc(ENTRIES_MAX, sizeof *entries);
	SIM_REQUIRE(entries);
	memset(again, 0, sizeof again);
	count = 1;
}

void ledger_end(void)
{
	for (uint32_t i = 1; i < count; i++)
		tree_mark_done(&entries[i].mark);
	free(entries);
	entries = NULL;
}

uint32_t ledger_open(struct sim_op *op)
{
	SIM_REQUIRE(count < ENTRIES_MAX);
	entries[count].type = op->type;
	entries[count].op = op;
	return count++;
}

const struct inlay_uuid *ledger_session(uint32_t number)
{
	return entries[number].ok ? &entries[number].session : NULL;
}

/* ---- whose request it is ---- */

/*
 * The client's operation on that handle that went out as this request. Another on the same handle may have been given up, and reach the
 * server now.
 */
static struct sim_op *on_handle(const struct inlay_request *rq, uint64_t handle)
{
	const struct sim_sent as = {rq->record.tag, rq->record.slot, (uint32_t)rq->record.seq};
	struct sim_client *c = client_of(rq->session->host);

	if (!c)
		return NULL;
	inlay_list_each(it, &c->ops) {
		struct sim_op *o = inlay_container(it, struct sim_op, link);

		if (o->type == rq->type && !o->ended && o->request.file && o->request.handle == handle && client_has_sent(o, &as))
			return o;
	}
	return NULL;
}

static uint32_t of_cred(const struct inlay_cred *cred)
{
	return cred->ngroups == 1 ? cred->groups[0] : 0;
}

#define BY_CRED(NAME, lower) \
	case INLAY_##NAME: { \
		struct inlay_##lower##_req m; \
\
		return inlay_get_##lower##_req(&r, &m) < 0 ? 0 : of_cred(&m.cred); \
	}
#define BY_HANDLE(NAME, lower) \
	case INLAY_##NAME: { \
		struct inlay_##lower##_req m; \
\
		if (inlay_get_##lower##_req(&r, &m) == 0) \
			o = on_handle(rq, m.handle); \
		return o ? o->number : 0; \
	}

/* 0: nobody's that we know: the redirector's own errands, and requests whose operation has ended without them. */
static uint32_t number_of(const struct inlay_request *rq)
{
	struct inlay_reader r = inlay_reader(rq->body, rq->body_len);
	struct sim_op *o = NULL;

	switch (rq->type) {
	BY_CRED(LOOKUP, lookup)
	BY_CRED(CREATE, create)
	BY_CRED(OPEN, open)
	BY_CRED(OPENDIR, opendir)
	BY_CRED(MKDIR, mkdir)
	BY_CRED(LINK, link)
	BY_CRED(UNLINK, unlink)
	BY_CRED(RMDIR, rmdir)
	BY_CRED(RENAME, rename)
	BY_HANDLE(READ, read)
	BY_HANDLE(COMMIT, commit)
	BY_HANDLE(CLOSE, close)
	BY_HANDLE(READDIR, readdir)
	BY_HANDLE(LOCK, lock)
	BY_HANDLE(TESTLOCK, testlock)
	case INLAY_WRITE:
		return rq->data_len >= 16 ? (uint32_t)inlay_load64(rq->data) : 0;
	default:
		return 0;
	}
}

/* ---- what the server does ---- */

/* Done twice it would be seen: what changes names, and appends. */
static bool is_once(const struct entry *e)
{
	switch (e->type) {
	case INLAY_CREATE:
	case INLAY_MKDIR:
	case INLAY_LINK:
	case INLAY_UNLINK:
	case INLAY_RMDIR:
	case INLAY_RENAME:
		return true;
	default:
		return e->type == INLAY_WRITE && e->appends;
	}
}

/*
 * Asked for more than once in one session: what changes nothing, and locks. In another session everything may be: the server knows from
 * its record what became of it. That it had an effect twice is what must not be, see ledger_effect().
 */
static bool may_repeat(const struct entry *e, const struct inlay_request *rq)
{
	return !(inlay_message_flags(e->type) & INLAY_MSG_MUTATES) || e->type == INLAY_LOCK ||
	       memcmp(&e->session, &rq->session->id, sizeof e->session) != 0;
}

bool ledger_running(void)
{
	return running && inlay_message_flags(running->type) & INLAY_MSG_MUTATES;
}

static uint64_t versions(const struct entry *e)
{
	return (e->dir ? tree_version(e->dir, e->name) : 0) + (e->to_dir ? tree_version(e->to_dir, e->to_name) : 0);
}

void ledger_torn(void)
{
	if (!running)
		return;
	if (running->torn && running->effects == running->effects_before)
		return; /* what the server goes by is the earlier note */
	running->torn = sim_server_boots();
	running->versions = versions(running);
}

/*
 * Noted, done or not, and then others changed those very names. The server knows what they stood for when it was started; but neither what
 * they stood for one start earlier, should it have been started once more before the client asked again, nor for ever.
 */
static bool is_untraceable(const struct entry *e)
{
	bool known = sim_server_boots() <= e->torn + 1 && before_is_kept(sim_server()->before);

	return e->torn && e->type != INLAY_WRITE && !known && versions(e) != e->versions;
}

static bool is_open(const struct entry *e)
{
	return e->file && e->file->file && e->file->number == e->opened;
}

/* A write of which its program was told long ago comes once more: after a crash, and in the order in which they were told. */
static void sent_again(struct entry *e)
{
	SIM_REQUIRE(e->ino < sizeof again / sizeof again[0]);
	if (memcmp(&again[e->ino].session, &e->session, sizeof e->session) == 0 && again[e->ino].told_as >= e->told_as)
		sim_fail("operation %u is sent again after a later one", (unsigned)(e - entries));
	again[e->ino].session = e->session;
	again[e->ino].told_as = e->told_as;
	if (e->lost && is_open(e))
		e->file->lost--;
	e->lost = false;
}

/* The store did what was asked for. A crash of the host may have taken back what was done before it. */
void ledger_effect(void)
{
	if (!running)
		return;
	if (running->effects && running->crash == sim_server_crashes() && is_once(running) && !running->untraceable)
		sim_fail("%s, operation %u, is done once more", inlay_message_name(running->type), (unsigned)(running - entries));
	running->effects++;
	running->crash = sim_server_crashes();
	running->synced = true;
}

void ledger_synced(void)
{
	if (running)
		running->synced = true;
}

/* What is sent again goes to where it was: twice is as once. */
static bool appends(const struct entry *e, const struct inlay_request *rq)
{
	struct inlay_reader r = inlay_reader(rq->body, rq->body_len);
	struct inlay_write_req m;

	if (rq->type != INLAY_WRITE || (inlay_get_write_req(&r, &m) == 0 && m.flags & INLAY_WRITE_AT))
		return false;
	return e->op ? tree_is_log(e->op->on->ino) : e->appends;
}

bool ledger_before(struct inlay_request *rq)
{
	uint32_t number;

	running = NULL;
	if (sim_server_dying())
		return false;
	number = number_of(rq);
	SIM_REQUIRE(number < count);
	sim_trace("execute", rq->type, number, rq->body_len + rq->data_len);
	if (!number)
		return true;
	running = &entries[number];
	if (running->type != rq->type)
		sim_fail("operation %u is a %s, but its number came with a %s", number, inlay_message_name(running->type),
		         inlay_message_name(rq->type));
	running->appends = appends(running, rq);
	if (running->runs && !may_repeat(running, rq))
		sim_fail("%s, operation %u, is executed once more", inlay_message_name(rq->type), number);
	running->sessions += !running->runs || memcmp(&running->session, &rq->session->id, sizeof rq->session->id) != 0;
	if (!running->runs)
		running->first_crash = sim_server_crashes();
	running->runs++;
	running->session = rq->session->id;
	running->wrote = 0;
	running->synced = false;
	running->effects_before = running->effects;
	running->untraceable = is_untraceable(running);
	if (running->op) {
		running->dir = running->op->dir;
		running->to_dir = running->op->to_dir;
		running->name = running->op->name;
		running->to_name = running->op->to_name;
	}
	return true;
}

static uint64_t hash_of(const uint8_t *body, uint32_t body_len, const uint8_t *data, uint32_t data_len)
{
	const struct inlay_hash_key key = {{body_len, data_len}};

	return (body_len ? inlay_siphash(&key, body, body_len) : 0) * 31 + (data_len ? inlay_siphash(&key, data, data_len) : 0);
}

/* What a success of this request makes durable. */
static void mark(struct entry *e, const struct inlay_request *rq)
{
	struct inlay_reader r = inlay_reader(rq->body, rq->body_len);
	struct inlay_commit_req commit;
	struct inlay_write_req write;
	struct handle *h;
	uint64_t handle = 0;
	bool sync = false;

	if (rq->type == INLAY_COMMIT && inlay_get_commit_req(&r, &commit) == 0) {
		handle = commit.handle;
	} else if (rq->type == INLAY_WRITE && inlay_get_write_req(&r, &write) == 0) {
		handle = write.handle;
		sync = true;
		if (!(write.flags & (INLAY_WRITE_FILE_SYNC | INLAY_WRITE_DATA_SYNC)))
			return;
	}
	h = handle ? handle_get(rq->session, handle) : NULL;
	if (!h)
		return;
	if (sync)
		tree_mark(tree_ino(h->file->node), write.off, rq->data_len, &e->mark);
	else
		tree_mark(tree_ino(h->file->node), 0, UINT64_MAX, &e->mark);
	handle_put(rq->session, handle);
}

void ledger_made(uint64_t ino)
{
	if (running)
		running->made = ino;
}

void ledger_wrote(uint64_t len)
{
	if (running)
		running->wrote += len;
	if (running && running->told)
		sent_again(running);
}

/* What the server says must be so at this very moment, as far as the model knows. */
static void check_truth(const struct entry *e, const struct inlay_request *rq)
{
	const struct sim_op *o = e->op;
	struct inlay_reader r = inlay_reader(rq->reply_body, rq->reply_len);
	uint64_t there = o->dir && tree_is_dir(o->dir) ? tree_find(o->dir, o->name) : 0;
	struct inlay_lookup_rep found;
	struct inlay_read_rep read;

	if (rq->type == INLAY_LOOKUP && rq->status == 0) {
		SIM_REQUIRE(inlay_get_lookup_rep(&r, &found) == 0);
		if (found.attr.ino != there || inlay_load64(found.node.bytes + 4) != there)
			sim_fail("%s is inode %llu, not %llu", tree_names[o->name], (unsigned long long)there, (unsigned long long)found.attr.ino);
	} else if (rq->type == INLAY_READ && rq->status == 0) {
		SIM_REQUIRE(inlay_get_read_rep(&r, &read) == 0);
		tree_check_read(o->on->ino, o->op.in.io.off, o->op.in.io.len, rq->reply_data, rq->reply_data_len, read.zeros);
	} else if (rq->status == -INLAY_EEXIST && (rq->type == INLAY_CREATE || rq->type == INLAY_MKDIR) && !there) {
		sim_fail("%s is said to be there, but it isn't", tree_names[o->name]);
	}
	if (rq->status == -INLAY_ENOENT && there && (rq->type == INLAY_LOOKUP || rq->type == INLAY_UNLINK || rq->type == INLAY_RMDIR))
		sim_fail("%s is said not to be there, but it is", tree_names[o->name]);
}

void ledger_after(struct inlay_request *rq)
{
	struct entry *e = running;

	running = NULL;
	sim_trace("executed", rq->type, (uint64_t)-rq->status, rq->reply_len + rq->reply_data_len);
	if (!e)
		return;
	e->ok += rq->status == 0;
	if (e->op && e->runs == 1)
		check_truth(e, rq);
	if (e->op && e->op->request.file && rq->status == 0 && !rq->record.redo) /* the record's answer says nothing of the file now */
		locks_still_held(e->op->prog, e->op->on, &rq->session->id);
	memmove(e->answer + 1, e->answer, sizeof e->answer - sizeof e->answer[0]);
	e->answer[0] = (struct answer){rq->status, 0};
	if (rq->status == 0)
		e->answer[0].hash = hash_of(rq->reply_body, rq->reply_len, rq->reply_data, rq->reply_data_len);
	/* What the record answers was so when it was executed first. */
	if (rq->status == 0 && (e->synced || !rq->record.redo || !e->mark.point))
		mark(e, rq);
}

/* ---- what the client is told ---- */

static bool was_answered(const struct entry *e, int status, uint64_t hash)
{
	for (unsigned i = 0; i < ANSWERS_MAX && i < e->runs; i++)
		if (e->answer[i].status == status && e->answer[i].hash == hash)
			return true;
	return false;
}

static bool session_was_lost(const struct sim_op *op)
{
	const struct sim_client *c = op->client;

	return !sim_session_alive(&op->session) || (c->lost_at && c->lost_at + LONG_AGO > op->began);
}

/*
 * A file that was open in a lost session and could not be opened again: it has no name any more; or a crash took it, and a later
 * one may have brought it back; or a lock on it was lost, for its client was away for longer than the server waits, or for the lock was
 * being asked for or given up; or it is being closed, and then it is not opened again; or there was no memory for it.
 */
static bool is_beyond_reach(const struct sim_op *op)
{
	return sim_memory_failed() || !tree_exists(op->on->ino) || op->on->opened != sim_server_crashes() || op->on->locked ||
	       op->type == INLAY_CLOSE;
}

static void told_of_loss(const struct sim_op *op)
{
	for (uint32_t i = 1; i < count && op->on->lost; i++) {
		if (!entries[i].lost || entries[i].file != op->on || entries[i].opened != op->on->number)
			continue;
		entries[i].lost = false;
		op->on->lost--;
	}
}

/*
 * Everything could be sent again: it was kept, nobody else has been at it, and the store took it. A client that gives up waiting
 * doesn't know what became of its last write.
 */
static bool must_be_whole(const struct sim_op *op)
{
	return op->on->whole && !sim_memory_failed() && !sim_client_room && sim_client_count == 1 && op->client->life == 1 &&
	       !op->client->timeout_ms && !sim_server_faulty() && op->on->opened + 1 == sim_server_crashes();
}

/* Errors that no execution brought. What a restart of the server may cost a program is said here. */
static bool is_explained(const struct sim_op *op, const struct entry *e, int status)
{
	bool timed_out;

	switch (status) {
	case -INLAY_EIO:
		timed_out = op->client->timeout_ms && sim_now - op->began >= op->client->timeout_ms * MS * 99 / 100;
		if (op->type == INLAY_COMMIT && op->on->crashes != sim_server_crashes()) {
			/* What was written and not committed may be gone: said once, unless this was about the time. */
			op->on->crashes = timed_out ? op->on->crashes : sim_server_crashes();
			op->on->told_at = sim_now;
			told_of_loss(op);
			return timed_out || !must_be_whole(op);
		}
		return timed_out;
	case -INLAY_ESTALE:
		return op->request.file && was_answered(e, -INLAY_EBADF, 0) && !sim_session_alive(&op->on->session) && is_beyond_reach(op);
	case -INLAY_EINTR:
		return op->interrupted || !op->client->up;
	case -INLAY_ECANCELED:
		return !op->client->up;
	case -INLAY_ENOMEM:
	case -INLAY_ENOLCK:
		return sim_memory_failed();
	default:
		return false;
	}
}

/* Nobody can know any more what became of it; or it was made, and others removed it. */
static bool is_forgotten(const struct entry *e, int status)
{
	if (e->sessions > 1 && (e->type == INLAY_CREATE || e->type == INLAY_MKDIR) && status == -INLAY_ESTALE)
		return true;
	return e->sessions > 1 && (status == -INLAY_EIO || e->crash < sim_server_crashes());
}

/* Whether its success means that it had an effect. Not so: opening what is there, renaming to another name of the same file. */
static bool needs_effect(const struct sim_op *op, const struct entry *e)
{
	/* What another has done meanwhile may pass for it: a name that was made, by the same user. */
	if (e->untraceable || e->first_crash != sim_server_crashes())
		return false;
	switch (op->type) {
	case INLAY_CREATE:
		return op->op.in.make.flags & INLAY_O_EXCL;
	case INLAY_RENAME:
		return false;
	default:
		return is_once(e);
	}
}

static void close_success(struct sim_op *op, struct entry *e)
{
	const struct inlay_reply *r = op->op.reply;

	if (!e->ok && op->type == INLAY_CLOSE && session_was_lost(op))
		return; /* what it was to close went with the session */
	if (!e->ok)
		sim_fail("%s, operation %u, succeeded, but the server never did it", inlay_message_name(op->type), op->number);
	if (!e->effects && needs_effect(op, e))
		sim_fail("%s, operation %u, succeeded without an effect", inlay_message_name(op->type), op->number);
	if (!was_answered(e, 0, hash_of(r->body, r->body_len, r->data, r->data_len)))
		sim_fail("%s, operation %u, got an answer that the server never gave to it", inlay_message_name(op->type), op->number);
	if (op->type == INLAY_CREATE && op->op.in.make.flags & INLAY_O_EXCL && !e->made && needs_effect(op, e))
		sim_fail("%s, operation %u, was to make a file, but took one that was there", tree_names[op->name], op->number);
	if (op->type == INLAY_WRITE && e->sessions == 1 && op->op.out.write.count != e->wrote)
		sim_fail("operation %u wrote %llu bytes, but was told of %u", op->number, (unsigned long long)e->wrote,
		         op->op.out.write.count);
	if (op->type == INLAY_COMMIT && op->on->lost)
		sim_fail("%s, operation %u, succeeded, though a crash took what was written before", inlay_message_name(op->type), op->number);
	if (op->type == INLAY_WRITE) {
		e->told = true;
		e->told_as = ++told;
		e->ino = op->on->ino;
		e->file = op->on;
		e->opened = op->on->number;
	}
	if (e->mark.point)
		tree_durable(&e->mark);
}

void ledger_lost(uint64_t number)
{
	struct entry *e = number < count ? &entries[number] : NULL;

	if (!e || !e->told || e->lost || !is_open(e))
		return;
	e->lost = true;
	e->file->lost++;
}

void ledger_crash(void)
{
	for (unsigned i = 0; i < sim_client_count * PROGS_MAX * FILES_MAX; i++) {
		struct sim_file *f = &sim_clients[i / PROGS_MAX / FILES_MAX].prog[i / FILES_MAX % PROGS_MAX].files[i % FILES_MAX];

		if (f->file && atomic_load(&f->file->node->changes) != atomic_load(&f->file->node->synced))
			f->whole = false;
	}
}

void ledger_close(struct sim_op *op, int status)
{
	struct entry *e = &entries[op->number];

	if (e->over)
		sim_fail("%s, operation %u, ended twice", inlay_message_name(op->type), op->number);
	e->over = true;
	e->op = NULL;
	sim_trace("done", op->type, op->number, (uint64_t)-status);
	if (status == 0) {
		close_success(op, e);
		return;
	}
	/* After a lost session: what had been done and is asked for again without a record of it may fail, but only so. */
	if (was_answered(e, status, 0) && (!(e->effects && is_once(e)) || is_forgotten(e, status) || e->untraceable))
		return;
	if (!is_explained(op, e, status))
		sim_fail("%s, operation %u, failed for no reason: %s", inlay_message_name(op->type), op->number,
		         inlay_status_text(status));
}

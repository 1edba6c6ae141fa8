/*
 * Listings of merged directories.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The whole listing is gathered when it is read from its start and then given out by position: cookies of two file
 * systems can't share one number space, and a name must be known on both sides before it may be shown once.
 */
#include "redirect/listing.h"

#include "redirect/op.h"

#include <stdlib.h>

#define BATCH (64u * 1024u)        /* payload bytes asked for at a time */
#define ENTRIES_MAX (1u << 24)     /* of both halves, hidden ones included: a server may go on for ever */

struct entry {
	uint64_t ino;
	uint32_t type;
	uint32_t name_off, name_len; /* in names */
	enum inlay_side side;
	struct inlay_map_link link;  /* by name */
};

struct inlay_listing {
	uint64_t handle[INLAY_SIDES];
	struct entry **entries;
	size_t count, cap;
	char *names;
	size_t names_len, names_cap;
	uint32_t seen;               /* entries that both sides have told of */
	struct inlay_map by_name;
	uint64_t cookie;             /* of the half being gathered */
	bool gathered;
	size_t bytes;                /* of *total, which all listings of the redirector share: */
	_Atomic uint64_t *total;
	_Atomic bool busy;           /* one reader at a time; the kernel sees to that, a hostile one is refused */
};

static void clear(struct inlay_listing *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->entries[i]);
	l->count = l->names_len = l->seen = 0;
	if (l->total)
		atomic_fetch_sub(l->total, l->bytes);
	l->bytes = 0;
	inlay_map_done(&l->by_name);
}

void inlay_listing_free(struct inlay_listing *l)
{
	if (!l)
		return;
	clear(l);
	free(l->entries);
	free(l->names);
	free(l);
}

struct inlay_listing *inlay_listing_new(uint64_t local, uint64_t remote)
{
	struct inlay_listing *l = calloc(1, sizeof *l);

	if (l) {
		l->handle[INLAY_LOCAL] = local;
		l->handle[INLAY_REMOTE] = remote;
	}
	return l;
}

uint64_t inlay_listing_remote_handle(const struct inlay_listing *l)
{
	return l->handle[INLAY_REMOTE];
}

/* ---- opening: local half, remote half ---- */

static void opened_remote(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_opendir_rep rep;
	struct inlay_listing *l = NULL;
	uint64_t local = op->out.off;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(opendir, r, &rep);

	if (err == 0) {
		l = inlay_listing_new(local, rep.handle);
		err = l ? 0 : -INLAY_ENOMEM;
		if (err < 0)
			inlay_redirect_close_handle(op->redirect, op->lane, INLAY_REMOTE, rep.handle);
	}
	if (err < 0) {
		inlay_redirect_close_handle(op->redirect, op->lane, INLAY_LOCAL, local);
		inlay_op_end(op, err);
		return;
	}
	err = inlay_op_opened(op, op->node, INLAY_LOCAL, local, true, rep.token);
	if (err < 0) {
		inlay_redirect_close_handle(op->redirect, op->lane, INLAY_REMOTE, rep.handle);
		free(l);
	} else {
		op->opened->listing = l;
		inlay_estate_file_remote(op->redirect->estate, op->opened->number, rep.handle);
	}
	inlay_op_end(op, err);
}

static void send_opendir(struct inlay_op *op, enum inlay_side side,
                         void (*step)(struct inlay_op *op, const struct inlay_reply *r))
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_OPENDIR);
	struct inlay_opendir_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	inlay_put_opendir_req(&w, &req);
	inlay_op_send(op, &w, side, step);
}

static void opened_local(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_opendir_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(opendir, r, &rep);

	if (err < 0) {
		inlay_op_end(op, err);
		return;
	}
	op->out.off = rep.handle;
	send_opendir(op, INLAY_REMOTE, opened_remote);
}

void inlay_listing_open(struct inlay_op *op)
{
	op->kind = INLAY_OPENDIR;
	send_opendir(op, INLAY_LOCAL, opened_local);
}

/* ---- gathering ---- */

static uint64_t name_hash(struct inlay_str name)
{
	static const struct inlay_hash_key key; /* names of one's own directories: no attacker to defend against */

	return inlay_siphash(&key, name.p, name.len);
}

static const struct entry *find(const struct inlay_listing *l, struct inlay_str name)
{
	struct inlay_map_link *link = inlay_map_find(&l->by_name, name_hash(name));

	for (; link; link = inlay_map_find_next(link)) {
		const struct entry *e = inlay_container(link, struct entry, link);

		if (e->name_len == name.len && memcmp(l->names + e->name_off, name.p, name.len) == 0)
			return e;
	}
	return NULL;
}

static int make_room(struct inlay_listing *l, size_t name_len)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;
		struct entry **grown = realloc(l->entries, cap * sizeof(struct entry *));

		if (!grown)
			return -INLAY_ENOMEM;
		l->entries = grown;
		l->cap = cap;
	}
	if (l->names_cap - l->names_len < name_len) {
		size_t cap = 2 * l->names_cap + 4096; /* a name is at most 255 bytes */
		char *grown = realloc(l->names, cap);

		if (!grown)
			return -INLAY_ENOMEM;
		l->names = grown;
		l->names_cap = cap;
	}
	return 0;
}

static size_t entry_size(size_t name_len)
{
	return sizeof(struct entry) + sizeof(struct entry *) + name_len;
}

static int add(struct inlay_listing *l, const struct inlay_dirent *d, enum inlay_side side)
{
	struct entry *e;
	int err = make_room(l, d->name.len);

	if (err < 0)
		return err;
	l->bytes += entry_size(d->name.len);
	if (atomic_fetch_add(l->total, entry_size(d->name.len)) + entry_size(d->name.len) > INLAY_LISTING_MAX)
		return -INLAY_EOVERFLOW;
	e = calloc(1, sizeof *e);
	if (!e)
		return -INLAY_ENOMEM;
	*e = (struct entry){.ino = d->ino, .type = d->type, .name_off = (uint32_t)l->names_len, .name_len = d->name.len,
	                    .side = side};
	if (side == INLAY_LOCAL)
		e->ino |= INLAY_LOCAL_INO;
	memcpy(l->names + l->names_len, d->name.p, d->name.len);
	l->names_len += d->name.len;
	l->entries[l->count++] = e;
	inlay_map_add(&l->by_name, &e->link, name_hash(d->name));
	return 0;
}

/* Whether the judge shows this side's entry. */
static bool shown(struct inlay_op *op, const struct inlay_dirent *d, enum inlay_side side)
{
	if (side == INLAY_REMOTE && (inlay_str_is(d->name, ".") || inlay_str_is(d->name, "..")))
		return false;
	return !inlay_op_is_hidden(op, op->file->node, d, side) && !find(op->file->listing, d->name);
}

static int take_batch(struct inlay_op *op, const struct inlay_reply *r, enum inlay_side side, bool *ret_end)
{
	struct inlay_listing *l = op->file->listing;
	struct inlay_reader data = inlay_reader(r->data, r->data_len);
	struct inlay_readdir_rep rep;
	struct inlay_dirent d;
	int err = INLAY_OP_GET(readdir, r, &rep);

	for (uint32_t i = 0; err == 0 && i < rep.count; i++) {
		if (inlay_get_dirent(&data, &d, 0) < 0)
			return -INLAY_EIO;
		l->cookie = d.cookie;
		if (++l->seen > ENTRIES_MAX)
			return -INLAY_EOVERFLOW;
		if (shown(op, &d, side))
			err = add(l, &d, side);
	}
	if (err == 0)
		*ret_end = rep.eof || rep.count == 0;
	return err;
}

static void give_out(struct inlay_op *op);
static void gather(struct inlay_op *op, enum inlay_side side);

/* Before the answer: the program may read on the moment it has it. */
static void end_reading(struct inlay_op *op, int status)
{
	atomic_store(&op->file->listing->busy, false);
	inlay_op_end(op, status);
}

static void gathered(struct inlay_op *op, const struct inlay_reply *r)
{
	enum inlay_side side = op->side;
	bool end = false;
	int err = r->status < 0 ? r->status : take_batch(op, r, side, &end);

	if (err < 0) {
		clear(op->file->listing); /* what is of no use must not keep others from theirs */
		end_reading(op, err);
	} else if (!end) {
		gather(op, side);
	} else if (side == INLAY_LOCAL) {
		op->file->listing->cookie = 0;
		gather(op, INLAY_REMOTE);
	} else {
		op->file->listing->gathered = true;
		give_out(op);
	}
}

static void gather(struct inlay_op *op, enum inlay_side side)
{
	struct inlay_listing *l = op->file->listing;
	struct inlay_writer w = inlay_op_begin(op, INLAY_READDIR);
	struct inlay_readdir_req req = {.handle = l->handle[side], .cookie = l->cookie, .max = BATCH};

	inlay_put_readdir_req(&w, &req);
	inlay_op_send_later(op, &w, side, gathered);
}

/* Cookies are positions: that of an entry is the position after it. The payload is the operation's own: the next reader may be quick. */
static void give_out(struct inlay_op *op)
{
	struct inlay_listing *l = op->file->listing;
	size_t room = op->in.io.len < BATCH ? op->in.io.len : BATCH;
	uint8_t *payload = malloc(room ? room : 1);
	struct inlay_writer w = inlay_writer(payload, room);
	struct inlay_reply reply = {0};

	if (!payload) {
		end_reading(op, -INLAY_ENOMEM);
		return;
	}
	for (uint64_t i = op->in.io.off; i < l->count && !w.full; i++) {
		const struct entry *e = l->entries[i];
		struct inlay_dirent d = {.ino = e->ino, .cookie = i + 1, .type = e->type,
		                         .name = {l->names + e->name_off, e->name_len}};

		inlay_put_dirent(&w, &d, 0);
	}
	reply.data = payload;
	reply.data_len = (uint32_t)inlay_writer_len(&w);
	op->reply = &reply;
	op->side = INLAY_LOCAL;
	end_reading(op, 0);
	free(payload);
}

void inlay_listing_read(struct inlay_op *op)
{
	struct inlay_listing *l = op->file->listing;

	if (atomic_exchange(&l->busy, true)) {
		inlay_op_end(op, -INLAY_EBUSY);
		return;
	}
	/* One that another process had begun is gathered anew: positions are the same while nothing changes. */
	if (op->in.io.off != 0 && l->gathered) {
		give_out(op);
		return;
	}
	l->gathered = false;
	l->total = &op->redirect->listed;
	clear(l);
	l->cookie = 0;
	if (inlay_map_init(&l->by_name) < 0)
		end_reading(op, -INLAY_ENOMEM);
	else
		gather(op, INLAY_LOCAL);
}

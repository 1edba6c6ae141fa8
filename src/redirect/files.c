/*
 * Operations on open files: each is one request to the side where the file was opened.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/unsynced.h"
#include "redirect/listing.h"
#include "redirect/op.h"

static void open_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_open_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(open, r, &rep);

	if (err == 0) {
		op->attr = rep.attr;
		inlay_op_fit_attr(op, op->side);
		err = inlay_op_opened(op, op->node, op->side, rep.handle, false, rep.token);
	}
	inlay_op_end(op, err);
}

void inlay_op_open(struct inlay_op *op)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w = inlay_op_begin(op, INLAY_OPEN);
	struct inlay_open_req req;

	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	req.flags = op->in.make.flags;
	req.inline_max = 0;
	inlay_put_open_req(&w, &req);
	inlay_op_send(op, &w, side, open_answered);
}

static void opendir_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_opendir_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(opendir, r, &rep);

	if (err == 0)
		err = inlay_op_opened(op, op->node, op->side, rep.handle, true, rep.token);
	inlay_op_end(op, err);
}

void inlay_op_opendir(struct inlay_op *op)
{
	enum inlay_side side = inlay_node_side(op->node);
	struct inlay_writer w;
	struct inlay_opendir_req req;

	if (inlay_node_on(op->node, INLAY_LOCAL) && inlay_node_on(op->node, INLAY_REMOTE)) {
		inlay_listing_open(op);
		return;
	}
	w = inlay_op_begin(op, INLAY_OPENDIR);
	req.node = op->node->id[side];
	inlay_cred_copy(&req.cred, &op->cred);
	inlay_put_opendir_req(&w, &req);
	inlay_op_send(op, &w, side, opendir_answered);
}

/* The kernel doesn't wait for a file to be closed, but the next lock of the same program must find it closed. */
static void locked_closed(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_node *node = op->file->node;

	atomic_fetch_add(&node->closes, 1);
	atomic_fetch_sub(&node->closing, 1);
	inlay_locks_closed(op->redirect, node);
	inlay_op_end(op, r->status);
}

void inlay_op_close(struct inlay_op *op)
{
	bool locked = atomic_load_explicit(&op->file->lock_uses, memory_order_relaxed) > 0;
	struct inlay_writer w;

	inlay_estate_file_closing(op->redirect->estate, op->file->number, op->call.origin);
	if (inlay_table_remove(op->redirect->files, op->file->number) < 0) {
		inlay_op_end(op, -INLAY_EBADF);
		return;
	}
	if (op->file->listing)
		inlay_redirect_close_handle(op->redirect, op->lane, INLAY_REMOTE,
		                            inlay_listing_remote_handle(op->file->listing));
	w = inlay_op_begin(op, INLAY_CLOSE);
	inlay_put_close_req(&w, &(struct inlay_close_req){.handle = op->file->handle});
	if (locked) {
		inlay_held_drop(op->redirect, op->file);
		atomic_fetch_add(&op->file->node->closing, 1);
	}
	op->call.heir = inlay_op_heir;
	inlay_op_send(op, &w, op->file->side, locked ? locked_closed : inlay_op_step_end);
}

void inlay_redirect_abandon_file(struct inlay_redirect *r, unsigned lane, struct inlay_file *f)
{
	enum inlay_side side = f->side;
	uint64_t handle = f->handle, remote = f->listing ? inlay_listing_remote_handle(f->listing) : 0;

	if (inlay_table_remove(r->files, f->number) < 0)
		return;
	inlay_redirect_close_handle(r, lane, side, handle);
	if (remote)
		inlay_redirect_close_handle(r, lane, INLAY_REMOTE, remote);
}

static void read_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	int err = r->status < 0 ? r->status : INLAY_OP_GET(read, r, &op->out.read);

	/* Never more than was asked for: the kernel would take it for another file's bytes. */
	if (err == 0 && (uint64_t)r->data_len + op->out.read.zeros > op->in.io.len)
		err = -INLAY_EIO;
	inlay_op_end(op, err);
}

void inlay_op_read(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_READ);
	struct inlay_read_req req = {.handle = op->file->handle, .off = op->in.io.off, .len = (uint32_t)op->in.io.len};

	inlay_put_read_req(&w, &req);
	inlay_op_send(op, &w, op->file->side, read_answered);
}

typedef void sender(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side,
                    void (*step)(struct inlay_op *op, const struct inlay_reply *r));
static void send_write(struct inlay_op *op, sender *send);

/* What has stopped a write that was cut short is told to whoever asks for the rest. */
static void write_rest(struct inlay_op *op)
{
	uint32_t count = op->out.write.count;

	op->data += count;
	op->data_len -= count;
	op->in.io.off += count;
	send_write(op, inlay_op_send_later);
}

static void write_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	int err = r->status < 0 ? r->status : INLAY_OP_GET(write, r, &op->out.write);
	bool cut;

	if (err == 0 && op->out.write.count > op->data_len)
		err = -INLAY_EIO;
	if (err == 0)
		inlay_unsynced_written(op);
	inlay_unsynced_end(op->file->node);
	cut = err == 0 && op->in.io.whole && op->out.write.count < op->data_len;
	if (cut && op->out.write.count) {
		write_rest(op);
		return;
	}
	op->out.write.count = op->in.io.whole ? (uint32_t)op->in.io.len : op->out.write.count;
	inlay_op_end(op, cut ? -INLAY_EIO : err);
}

static void send_write(struct inlay_op *op, sender *send)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_WRITE);
	struct inlay_write_req req = {.handle = op->file->handle, .off = op->in.io.off, .flags = op->in.io.flags};

	inlay_put_write_req(&w, &req);
	op->call.data = op->data;
	op->call.data_len = op->data_len;
	op->call.data_hold = op->data_hold;
	inlay_unsynced_begin(op->file->node);
	send(op, &w, op->file->side, write_answered);
}

void inlay_op_write(struct inlay_op *op)
{
	op->in.io.len = op->data_len;
	send_write(op, inlay_op_send);
}

static bool take_loss(struct inlay_file *f)
{
	return atomic_load_explicit(&f->lost, memory_order_relaxed) && atomic_exchange(&f->lost, false);
}

/* After the program was told: who takes over tells it rather once too often. f: referenced. */
static void loss_told(struct inlay_redirect *r, struct inlay_file *f)
{
	inlay_estate_file_unmark(r->estate, f->number, INLAY_FILE_LOST);
	if (atomic_load(&f->lost)) /* there is another one by now */
		inlay_estate_file_mark(r->estate, f->number, INLAY_FILE_LOST);
	inlay_file_put(r, f);
}

static void committed(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_redirect *redirect = op->redirect;
	struct inlay_file *told = NULL;
	int status = r->status;

	if (status == 0 && take_loss(op->file)) {
		status = -INLAY_EIO;
		told = inlay_file_get(redirect, op->file->number);
	}
	if (r->status == 0)
		inlay_unsynced_committed(op);
	inlay_op_end(op, status);
	if (told)
		loss_told(redirect, told);
}

void inlay_op_commit(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_COMMIT);
	struct inlay_commit_req req = {.handle = op->file->handle, .flags = op->in.io.flags};

	inlay_put_commit_req(&w, &req);
	inlay_unsynced_asked(op);
	inlay_op_send(op, &w, op->file->side, committed);
}

static void fallocated(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_fallocate_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(fallocate, r, &rep);

	if (err == 0)
		inlay_unsynced_allocated(op, &rep);
	inlay_unsynced_end(op->file->node);
	inlay_op_end(op, err);
}

void inlay_op_fallocate(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_FALLOCATE);
	struct inlay_fallocate_req req = {.handle = op->file->handle, .off = op->in.io.off, .len = op->in.io.len,
	                                  .mode = op->in.io.flags, .flags = INLAY_WRITE_KILL_PRIV};

	/* Root keeps set-id bits, as on a local file; the store looks at nothing but the flag. */
	if (op->cred.uid == 0)
		req.flags = 0;
	inlay_put_fallocate_req(&w, &req);
	inlay_unsynced_begin(op->file->node);
	inlay_op_send(op, &w, op->file->side, fallocated);
}

static void seek_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_seek_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(seek, r, &rep);

	if (err == 0)
		op->out.off = rep.off;
	inlay_op_end(op, err);
}

void inlay_op_seek(struct inlay_op *op)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_SEEK);
	struct inlay_seek_req req = {.handle = op->file->handle, .off = op->in.io.off, .whence = op->in.io.flags};

	inlay_put_seek_req(&w, &req);
	inlay_op_send(op, &w, op->file->side, seek_answered);
}

static void copy_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_copy_rep rep;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(copy, r, &rep);

	if (err == 0 && rep.count > op->in.io.len)
		err = -INLAY_EIO;
	if (err == 0) {
		op->out.off = rep.count;
		if (op->file2->side == INLAY_REMOTE)
			inlay_unsynced_not_whole(op->redirect, op->file2->node, op->lane);
	}
	inlay_op_end(op, err);
}

void inlay_op_copy(struct inlay_op *op)
{
	struct inlay_writer w;
	struct inlay_copy_req req = {.from = op->file->handle, .from_off = op->in.io.off, .to = op->file2->handle,
	                             .to_off = op->in.io.to_off, .len = op->in.io.len};

	op->kind = INLAY_COPY;
	if (op->file->side != op->file2->side) {
		inlay_op_end(op, -INLAY_EXDEV);
		return;
	}
	w = inlay_op_begin(op, INLAY_COPY);
	inlay_put_copy_req(&w, &req);
	inlay_op_send(op, &w, op->file->side, copy_answered);
}

static void send_readdir(struct inlay_op *op, sender *send);

/* True when there are entries and the judge hides them all; *ret_last is then the last one's cookie. */
static bool all_hidden(struct inlay_op *op, const struct inlay_reply *r, uint64_t *ret_last)
{
	struct inlay_reader data = inlay_reader(r->data, r->data_len);
	struct inlay_dirent d;

	if (!r->data_len || !inlay_judge_has_rules(op->redirect->judge))
		return false;
	while (data.p < data.end) {
		if (inlay_get_dirent(&data, &d, op->in.io.flags) < 0 || !inlay_op_is_hidden(op, op->file->node, &d, op->side))
			return false;
		*ret_last = d.cookie;
	}
	return true;
}

static void readdir_answered(struct inlay_op *op, const struct inlay_reply *r)
{
	struct inlay_readdir_rep rep;
	uint64_t last = 0;
	int err = r->status < 0 ? r->status : INLAY_OP_GET(readdir, r, &rep);

	if (err == 0 && !rep.eof && all_hidden(op, r, &last)) {
		op->in.io.off = last;
		send_readdir(op, inlay_op_send_later);
		return;
	}
	inlay_op_end(op, err);
}

static void send_readdir(struct inlay_op *op, sender *send)
{
	struct inlay_writer w = inlay_op_begin(op, INLAY_READDIR);
	struct inlay_readdir_req req = {.handle = op->file->handle, .cookie = op->in.io.off,
	                                .max = (uint32_t)op->in.io.len, .flags = op->in.io.flags};

	inlay_put_readdir_req(&w, &req);
	send(op, &w, op->file->side, readdir_answered);
}

void inlay_op_readdir(struct inlay_op *op)
{
	op->kind = INLAY_READDIR;
	if (op->file->listing)
		inlay_listing_read(op);
	else
		send_readdir(op, inlay_op_send);
}

bool inlay_op_fit_entry(struct inlay_op *op, struct inlay_dirent *d)
{
	if (op->file->listing) /* its entries are chosen and fitted already */
		return true;
	if (op->file->side == INLAY_LOCAL)
		d->ino |= INLAY_LOCAL_INO;
	return !inlay_op_is_hidden(op, op->file->node, d, op->file->side);
}

/*
 * Requests on open files.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/fuse/channel.h"

#include <string.h>
#include <unistd.h>

#define DIRENT_BATCH (256u * 1024u) /* most payload bytes asked for at a time */

static void finish_status(struct inlay_op *op, int status)
{
	inlay_fuse_answer_status(inlay_fuse_request_of(op), status);
}

static void finish_open(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);
	struct inlay_fuse *f = rq->channel->fuse;
	struct inlay_redirect *r = op->redirect;
	struct inlay_file *file = op->opened;
	struct inlay_fuse_open_out out;
	unsigned lane = op->lane;

	if (status < 0) {
		inlay_fuse_answer_status(rq, status);
		return;
	}
	inlay_fuse_pass_open(f, file, &out);
	if (inlay_fuse_answer(rq, 0, &out, sizeof out)) {
		inlay_estate_file_mark(r->estate, out.fh, INLAY_FILE_TAKEN); /* the file may be closed by now */
	} else {
		inlay_fuse_pass_close(f, file);
		inlay_redirect_abandon_file(r, lane, file);
	}
}

void inlay_fuse_open(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_open_in *in = arg;

	(void)len;
	rq->op.finish = finish_open;
	rq->op.in.make.flags = inlay_fuse_open_flags(in->flags, in->open_flags);
	if (!inlay_fuse_take_node(rq))
		return;
	inlay_fuse_take_cred(rq);
	inlay_op_open(&rq->op);
}

void inlay_fuse_opendir(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)arg, (void)len;
	rq->op.finish = finish_open;
	if (!inlay_fuse_take_node(rq))
		return;
	inlay_fuse_take_cred(rq);
	inlay_op_opendir(&rq->op);
}

static void finish_read(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);

	if (status < 0)
		inlay_fuse_answer_status(rq, status);
	else
		inlay_fuse_answer_data(rq, op->reply->data, op->reply->data_len, op->out.read.zeros);
}

void inlay_fuse_read(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_read_in *in = arg;

	(void)len;
	rq->op.finish = finish_read;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	rq->op.in.io.off = in->offset;
	rq->op.in.io.len = in->size < INLAY_DATA_MAX ? in->size : INLAY_DATA_MAX;
	inlay_op_read(&rq->op);
}

static void finish_write(struct inlay_op *op, int status)
{
	struct fuse_write_out out = {.size = op->out.write.count};

	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

void inlay_fuse_write(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_write_in *in = arg;

	rq->op.finish = finish_write;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	if (in->size > len - sizeof *in || in->size > INLAY_DATA_MAX) {
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
		return;
	}
	rq->op.in.io.off = in->offset;
	rq->op.in.io.flags = in->write_flags & FUSE_WRITE_KILL_SUIDGID ? INLAY_WRITE_KILL_PRIV : 0;
	/*
	 * Of mapped pages the kernel takes any count for all: what was not written would be dropped, and nobody told. And they
	 * have their place, by whichever open file they come.
	 */
	rq->op.in.io.whole = in->write_flags & FUSE_WRITE_CACHE;
	if (rq->op.in.io.whole)
		rq->op.in.io.flags |= INLAY_WRITE_AT;
	rq->op.data = (const uint8_t *)(in + 1);
	rq->op.data_len = in->size;
	rq->op.data_hold = rq->chunk;
	inlay_op_write(&rq->op);
}

/* The kernel doesn't wait for a release; the answer lets it free its request. */
static void start_release(struct inlay_fuse_request *rq, const struct fuse_release_in *in)
{
	rq->op.finish = finish_status;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	inlay_fuse_pass_close(rq->channel->fuse, rq->op.file);
	inlay_op_close(&rq->op);
}

void inlay_fuse_release(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	start_release(rq, arg);
}

void inlay_fuse_releasedir(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	start_release(rq, arg);
}

void inlay_fuse_fsync(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_fsync_in *in = arg;

	(void)len;
	rq->op.finish = finish_status;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	rq->op.in.io.flags = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? INLAY_COMMIT_DATA_ONLY : 0;
	inlay_op_commit(&rq->op);
}

void inlay_fuse_flush(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_flush_in *in = arg;

	(void)len;
	rq->op.finish = finish_status;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	rq->op.in.lock.owner = in->lock_owner;
	/* A dying program closes its files without being interrupted by anything. */
	if (atomic_load_explicit(&rq->op.file->node->lock_uses, memory_order_relaxed))
		inlay_fuse_watch(rq, false);
	inlay_op_flush(&rq->op);
}

void inlay_fuse_fallocate(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_fallocate_in *in = arg;

	(void)len;
	rq->op.finish = finish_status;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	rq->op.cred.uid = rq->in->uid;
	rq->op.in.io.off = in->offset;
	rq->op.in.io.len = in->length;
	rq->op.in.io.flags = in->mode;
	inlay_op_fallocate(&rq->op);
}

static void finish_lseek(struct inlay_op *op, int status)
{
	struct fuse_lseek_out out = {.offset = op->out.off};

	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

void inlay_fuse_lseek(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_lseek_in *in = arg;

	(void)len;
	rq->op.finish = finish_lseek;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE) {
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
		return;
	}
	rq->op.in.io.off = in->offset;
	rq->op.in.io.flags = in->whence == SEEK_DATA ? INLAY_SEEK_DATA : INLAY_SEEK_HOLE;
	inlay_op_seek(&rq->op);
}

static void finish_copy(struct inlay_op *op, int status)
{
	struct fuse_write_out out = {.size = (uint32_t)op->out.off};

	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

static void finish_copy64(struct inlay_op *op, int status)
{
	uint64_t out = op->out.off;

	inlay_fuse_answer(inlay_fuse_request_of(op), status, &out, sizeof out);
}

static void start_copy(struct inlay_fuse_request *rq, const struct fuse_copy_file_range_in *in, uint64_t most)
{
	if (!inlay_fuse_take_file(rq, in->fh_in, &rq->op.file) || !inlay_fuse_take_file(rq, in->fh_out, &rq->op.file2))
		return;
	rq->op.in.io.off = in->off_in;
	rq->op.in.io.to_off = in->off_out;
	rq->op.in.io.len = in->len < most ? in->len : most;
	inlay_op_copy(&rq->op);
}

/* Its answer has 32 bits for the count: larger ranges are copied in part, and the kernel's caller goes on. */
void inlay_fuse_copy(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	rq->op.finish = finish_copy;
	start_copy(rq, arg, 1u << 30);
}

void inlay_fuse_copy64(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)len;
	rq->op.finish = finish_copy64;
	start_copy(rq, arg, UINT64_C(1) << 40);
}

/* ---- listing ---- */

/* Writes one entry in the kernel's form; returns the bytes it takes, 0 when there is no room. */
static size_t put_dirent(uint8_t *p, size_t room, const struct inlay_dirent *d)
{
	size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d->name.len);
	struct fuse_dirent *out = (void *)p;

	if (size > room)
		return 0;
	*out = (struct fuse_dirent){.ino = d->ino, .off = d->cookie, .namelen = d->name.len, .type = d->type >> 12};
	memcpy(out->name, d->name.p, d->name.len);
	memset(p + FUSE_NAME_OFFSET + d->name.len, 0, size - FUSE_NAME_OFFSET - d->name.len);
	return size;
}

static void finish_readdir(struct inlay_op *op, int status)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);
	struct inlay_chunk *out = status == 0 ? inlay_chunk_new(rq->size) : NULL;
	struct inlay_reader data;
	struct inlay_dirent d;
	size_t used = 0;

	if (!out) {
		inlay_fuse_answer_status(rq, status < 0 ? status : -INLAY_ENOMEM);
		return;
	}
	data = inlay_reader(op->reply->data, op->reply->data_len);
	while (data.p < data.end) {
		size_t size;

		if (inlay_get_dirent(&data, &d, 0) < 0) {
			status = -INLAY_EIO;
			break;
		}
		if (!inlay_op_fit_entry(op, &d))
			continue;
		size = put_dirent(out->mem + used, rq->size - used, &d);
		if (size == 0)
			break;
		used += size;
	}
	inlay_fuse_answer(rq, status, out->mem, used);
	inlay_chunk_unref(out);
}

void inlay_fuse_readdir(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct fuse_read_in *in = arg;

	(void)len;
	rq->op.finish = finish_readdir;
	rq->size = in->size < DIRENT_BATCH ? in->size : DIRENT_BATCH;
	if (!inlay_fuse_take_file(rq, in->fh, &rq->op.file))
		return;
	rq->op.in.io.off = in->offset;
	rq->op.in.io.len = rq->size; /* our entries and the kernel's have the same size: 24 bytes and the padded name */
	inlay_op_readdir(&rq->op);
}

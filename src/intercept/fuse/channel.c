/*
 * Channels: requests read from the kernel, dispatched by opcode, answered.
 *
 * The kernel wakes every loop that waits for the device and polls or sleeps at that moment, though one request needs
 * one loop only: at depth 1 that costs a third of the speed. So only channel 0 waits always. The others join when a
 * channel finds more than one request waiting, and leave when they are woken for nothing again and again.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/fuse/channel.h"

#include "net/linux/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32u       /* requests read before the gathered output is sent */
#define MISSES_MOST 16u /* wake-ups for nothing until a channel leaves */
#define ZEROS 65536u    /* bytes of zeros in one iovec */
#define ZERO_IOVS (INLAY_FUSE_MAX_WRITE / ZEROS + 1)

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- requests ---- */

static struct inlay_fuse_request *new_request(struct inlay_fuse_channel *ch)
{
	struct inlay_list *spare = inlay_list_pop(&ch->spare);
	struct inlay_fuse_request *rq;

	if (spare)
		return inlay_container(spare, struct inlay_fuse_request, link);
	rq = malloc(sizeof *rq);
	if (rq)
		inlay_list_init(&rq->link);
	return rq;
}

static uint64_t moved_bytes(const struct inlay_fuse_request *rq)
{
	if (rq->opcode == FUSE_READ)
		return rq->size;
	return rq->opcode == FUSE_WRITE ? rq->op.data_len : 0;
}

/* A predecessor had begun it, and its calls have been made again, or never will be. */
static void settle(struct inlay_op *op)
{
	for (int side = 0; side < INLAY_SIDES; side++) {
		struct inlay_side_port *port = op->redirect->port[side];

		if (port->settle)
			port->settle(port, op->lane, op->call.origin);
	}
}

static void free_request(struct inlay_fuse_request *rq, int status)
{
	struct inlay_op *op = &rq->op;
	struct inlay_fuse_channel *ch = rq->channel;

	if (op->kind && op->kind < INLAY_MESSAGE_TOP)
		inlay_stats_add(op->redirect, op->lane, op->kind, op->side, status < 0, moved_bytes(rq),
		                now_ns() - rq->start_ns);
	if (rq->resent)
		settle(op);
	inlay_node_put(op->node);
	inlay_node_put(op->to);
	inlay_node_put(op->found);
	inlay_file_put(op->redirect, op->file);
	inlay_file_put(op->redirect, op->file2);
	inlay_chunk_unref(rq->chunk);
	inlay_list_remove(&rq->link);
	inlay_list_prepend(&ch->spare, &rq->link);
	inlay_loop_busy(inlay_crew_loop(ch->fuse->config.crew, ch->lane), -1); /* the source may be off it by now */
}

/* ---- answering ---- */

static void tell_over(struct inlay_fuse *f)
{
	if (!atomic_exchange(&f->over, true))
		f->config.over(f->config.arg);
}

static bool write_out(struct inlay_fuse *f, int fd, struct iovec *iov, int count)
{
	ssize_t n;

	do {
		n = writev(fd, iov, count);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ENODEV)
		tell_over(f);
	return n >= 0; /* ENOENT: the caller was killed and the kernel no longer waits */
}

bool inlay_fuse_answer(struct inlay_fuse_request *rq, int status, const void *out, size_t len)
{
	struct fuse_out_header h = {.unique = rq->unique, .error = status < 0 ? -inlay_status_errno(status) : 0};
	struct iovec iov[2] = {{&h, sizeof h}, {(void *)(uintptr_t)out, len}};
	bool taken;

	if (status < 0)
		len = 0;
	h.len = (uint32_t)(sizeof h + len);
	taken = write_out(rq->channel->fuse, rq->fd, iov, len ? 2 : 1);
	free_request(rq, status);
	return taken;
}

void inlay_fuse_answer_early(struct inlay_fuse_request *rq, int status)
{
	struct fuse_out_header h = {.unique = rq->unique, .error = -inlay_status_errno(status), .len = sizeof h};

	rq->early = true;
	(void)write_out(rq->channel->fuse, rq->fd, &(struct iovec){&h, sizeof h}, 1);
}

bool inlay_fuse_answer_status(struct inlay_fuse_request *rq, int status)
{
	return inlay_fuse_answer(rq, status, NULL, 0);
}

bool inlay_fuse_answer_data(struct inlay_fuse_request *rq, const void *data, size_t len, size_t zeros)
{
	static const uint8_t zero[ZEROS];
	struct fuse_out_header h = {.unique = rq->unique, .len = (uint32_t)(sizeof h + len + zeros)};
	struct iovec iov[2 + ZERO_IOVS] = {{&h, sizeof h}, {(void *)(uintptr_t)data, len}};
	int count = len ? 2 : 1;
	bool taken;

	rq->size = (uint32_t)(len + zeros);
	while (zeros && count < (int)(sizeof iov / sizeof iov[0])) {
		size_t part = zeros < ZEROS ? zeros : ZEROS;

		iov[count++] = (struct iovec){(void *)(uintptr_t)zero, part};
		zeros -= part;
	}
	taken = write_out(rq->channel->fuse, rq->fd, iov, count);
	free_request(rq, 0);
	return taken;
}

void inlay_fuse_no_answer(struct inlay_fuse_request *rq)
{
	free_request(rq, 0);
}

/* ---- dispatch ---- */

static void refuse(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)arg, (void)len;
	inlay_fuse_answer_status(rq, -INLAY_ENOSYS);
}

static void destroy(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	(void)arg, (void)len;
	inlay_fuse_answer_status(rq, 0);
}

static const struct row {
	inlay_fuse_handler *handler;
	size_t least; /* bytes of argument */
} rows[] = {
	[FUSE_LOOKUP] = {inlay_fuse_lookup, 2},
	[FUSE_FORGET] = {inlay_fuse_forget, sizeof(struct fuse_forget_in)},
	[FUSE_GETATTR] = {inlay_fuse_getattr, sizeof(struct fuse_getattr_in)},
	[FUSE_SETATTR] = {inlay_fuse_setattr, sizeof(struct fuse_setattr_in)},
	[FUSE_READLINK] = {inlay_fuse_readlink, 0},
	[FUSE_SYMLINK] = {inlay_fuse_symlink, 4},
	[FUSE_MKNOD] = {inlay_fuse_mknod, sizeof(struct fuse_mknod_in) + 2},
	[FUSE_MKDIR] = {inlay_fuse_mkdir, sizeof(struct fuse_mkdir_in) + 2},
	[FUSE_UNLINK] = {inlay_fuse_unlink, 2},
	[FUSE_RMDIR] = {inlay_fuse_rmdir, 2},
	[FUSE_RENAME] = {inlay_fuse_rename, sizeof(struct fuse_rename_in) + 4},
	[FUSE_LINK] = {inlay_fuse_link, sizeof(struct fuse_link_in) + 2},
	[FUSE_OPEN] = {inlay_fuse_open, sizeof(struct fuse_open_in)},
	[FUSE_READ] = {inlay_fuse_read, sizeof(struct fuse_read_in)},
	[FUSE_WRITE] = {inlay_fuse_write, sizeof(struct fuse_write_in)},
	[FUSE_STATFS] = {inlay_fuse_statfs, 0},
	[FUSE_RELEASE] = {inlay_fuse_release, sizeof(struct fuse_release_in)},
	[FUSE_FSYNC] = {inlay_fuse_fsync, sizeof(struct fuse_fsync_in)},
	[FUSE_SETXATTR] = {inlay_fuse_setxattr, sizeof(struct fuse_setxattr_in) + 2},
	[FUSE_GETXATTR] = {inlay_fuse_getxattr, sizeof(struct fuse_getxattr_in) + 2},
	[FUSE_LISTXATTR] = {inlay_fuse_listxattr, sizeof(struct fuse_getxattr_in)},
	[FUSE_REMOVEXATTR] = {inlay_fuse_removexattr, 2},
	[FUSE_FLUSH] = {inlay_fuse_flush, sizeof(struct fuse_flush_in)},
	[FUSE_OPENDIR] = {inlay_fuse_opendir, sizeof(struct fuse_open_in)},
	[FUSE_READDIR] = {inlay_fuse_readdir, sizeof(struct fuse_read_in)},
	[FUSE_RELEASEDIR] = {inlay_fuse_releasedir, sizeof(struct fuse_release_in)},
	[FUSE_FSYNCDIR] = {inlay_fuse_fsync, sizeof(struct fuse_fsync_in)},
	[FUSE_GETLK] = {inlay_fuse_getlk, sizeof(struct fuse_lk_in)},
	[FUSE_SETLK] = {inlay_fuse_setlk, sizeof(struct fuse_lk_in)},
	[FUSE_SETLKW] = {inlay_fuse_setlkw, sizeof(struct fuse_lk_in)},
	[FUSE_ACCESS] = {inlay_fuse_access, sizeof(struct fuse_access_in)},
	[FUSE_CREATE] = {inlay_fuse_create, sizeof(struct fuse_create_in) + 2},
	[FUSE_INTERRUPT] = {inlay_fuse_interrupt, sizeof(struct fuse_interrupt_in)},
	[FUSE_DESTROY] = {destroy, 0},
	[FUSE_BATCH_FORGET] = {inlay_fuse_batch_forget, sizeof(struct fuse_batch_forget_in)},
	[FUSE_FALLOCATE] = {inlay_fuse_fallocate, sizeof(struct fuse_fallocate_in)},
	[FUSE_RENAME2] = {inlay_fuse_rename2, sizeof(struct fuse_rename2_in) + 4},
	[FUSE_LSEEK] = {inlay_fuse_lseek, sizeof(struct fuse_lseek_in)},
	[FUSE_COPY_FILE_RANGE] = {inlay_fuse_copy, sizeof(struct fuse_copy_file_range_in)},
	[FUSE_TMPFILE] = {inlay_fuse_tmpfile, sizeof(struct fuse_create_in)},
	[INLAY_FUSE_STATX] = {inlay_fuse_statx, sizeof(struct inlay_fuse_statx_in)},
	[INLAY_FUSE_COPY_FILE_RANGE_64] = {inlay_fuse_copy64, sizeof(struct fuse_copy_file_range_in)},
};

static void dispatch(struct inlay_fuse_request *rq, const void *arg, size_t len)
{
	const struct row *row = rq->opcode < sizeof rows / sizeof rows[0] ? &rows[rq->opcode] : NULL;

	if (!row || !row->handler)
		refuse(rq, arg, len);
	else if (len < row->least)
		inlay_fuse_answer_status(rq, -INLAY_EINVAL);
	else
		row->handler(rq, arg, len);
}

static void op_unused(struct inlay_op *op, int status)
{
	inlay_fuse_answer_status(inlay_fuse_request_of(op), status);
}

void inlay_fuse_take(struct inlay_fuse_channel *ch, int fd, struct inlay_chunk *chunk, const uint8_t *p, size_t len)
{
	const struct fuse_in_header *in = (const void *)p;
	struct inlay_fuse_request *rq;

	if (len < sizeof *in || in->len != len)
		return;
	rq = new_request(ch);
	if (!rq) {
		struct fuse_out_header h = {.unique = in->unique, .error = -ENOMEM, .len = sizeof h};

		write_out(ch->fuse, fd, &(struct iovec){&h, sizeof h}, 1);
		return;
	}
	inlay_op_init(&rq->op, ch->fuse->config.redirect, ch->lane, op_unused);
	rq->channel = ch;
	rq->in = in;
	rq->unique = in->unique;
	rq->op.call.origin = inlay_fuse_origin(in->unique);
	rq->resent = in->unique & INLAY_FUSE_UNIQUE_RESEND;
	rq->fd = fd;
	rq->opcode = in->opcode;
	rq->size = 0;
	rq->round = 0;
	rq->pid = in->pid;
	rq->watched = rq->early = false;
	rq->chunk = inlay_chunk_ref(chunk);
	rq->start_ns = now_ns();
	inlay_list_append(&ch->inflight, &rq->link);
	inlay_loop_busy(inlay_crew_loop(ch->fuse->config.crew, ch->lane), 1);
	dispatch(rq, p + sizeof *in, len - sizeof *in);
}

/* Room for the next request: behind the last one while the chunk has it, else in a fresh chunk. */
uint8_t *inlay_fuse_read_room(struct inlay_fuse_channel *ch)
{
	if (ch->chunk && inlay_chunk_is_private(ch->chunk))
		ch->used = 0;
	if (ch->chunk && ch->chunk->cap - ch->used < INLAY_FUSE_READ_ROOM) {
		inlay_chunk_unref(ch->chunk);
		ch->chunk = NULL;
	}
	if (!ch->chunk) {
		ch->chunk = inlay_chunk_new(INLAY_CHUNK_LARGE);
		ch->used = 0;
	}
	return ch->chunk ? ch->chunk->mem + ch->used : NULL;
}

void inlay_fuse_use_room(struct inlay_fuse_channel *ch, size_t len)
{
	ch->used += (len + 7) & ~(size_t)7;
}

static void arm(struct inlay_task *t)
{
	struct inlay_fuse_channel *ch = inlay_container(t, struct inlay_fuse_channel, arm);

	ch->misses = 0;
	if (!ch->source.loop && inlay_loop_add(inlay_loop_current(), &ch->source, EPOLLIN | EPOLLEXCLUSIVE) < 0)
		atomic_store(&ch->armed, false);
}

/* More than one request was waiting: the next channel that sleeps joins. */
static void call_for_help(struct inlay_fuse *f)
{
	for (unsigned i = 1; i < f->channels; i++) {
		struct inlay_fuse_channel *ch = &f->channel[i];

		if (atomic_load_explicit(&ch->armed, memory_order_relaxed) || atomic_exchange(&ch->armed, true))
			continue;
		ch->arm = (struct inlay_task){.done = arm};
		inlay_loop_post(inlay_crew_loop(f->config.crew, i), &ch->arm);
		return;
	}
}

/* The channel was woken and got `count` requests. */
static void weigh(struct inlay_fuse_channel *ch, unsigned count)
{
	if (count > 1)
		call_for_help(ch->fuse);
	if (count > 0) {
		ch->misses /= 2;
	} else if (ch->lane != 0 && ++ch->misses >= MISSES_MOST) {
		inlay_loop_remove(&ch->source);
		atomic_store(&ch->armed, false);
	}
}

/* Reads one request and starts it. False: there is none, or the device is gone. */
static bool read_one(struct inlay_fuse_channel *ch)
{
	ssize_t n;

	for (;;) {
		uint8_t *room = inlay_fuse_read_room(ch);

		if (!room)
			return false; /* out of memory: the kernel keeps the request until we come again */
		n = read(ch->source.fd, room, INLAY_FUSE_READ_ROOM);
		if (n >= 0) {
			inlay_fuse_use_room(ch, (size_t)n);
			inlay_fuse_take(ch, ch->source.fd, ch->chunk, room, (size_t)n);
			return true;
		}
		if (errno == ENODEV) {
			inlay_loop_remove(&ch->source);
			tell_over(ch->fuse);
			return false;
		}
		if (errno != EINTR && errno != ENOENT) /* ENOENT: interrupted before it was read */
			return false;
	}
}

static void ready(struct inlay_source *s, uint32_t events)
{
	struct inlay_fuse_channel *ch = inlay_container(s, struct inlay_fuse_channel, source);
	struct inlay_loop *loop = s->loop;
	unsigned count = 0;

	(void)events;
	while (count < BATCH && read_one(ch)) {
		count++;
		if (inlay_loop_current() != loop)
			return; /* a local call was slow and the loop is another thread's now */
	}
	if (s->loop)
		weigh(ch, count);
}

/* ---- life ---- */

int inlay_fuse_start(struct inlay_fuse *f)
{
	for (unsigned i = 0; i < f->channels; i++) {
		struct inlay_fuse_channel *ch = &f->channel[i];
		int err;

		inlay_fuse_begin_asked(ch);
		ch->source.ready = ready;
		atomic_store(&ch->armed, true);
		err = inlay_loop_add(inlay_crew_loop(f->config.crew, i), &ch->source, EPOLLIN | EPOLLEXCLUSIVE);
		if (err < 0)
			return err;
	}
	return 0;
}

static void repost_done(struct inlay_task *t)
{
	struct inlay_fuse_request *rq = inlay_container(t, struct inlay_fuse_request, task);

	rq->op.step(&rq->op, NULL);
}

void inlay_fuse_repost(struct inlay_redirect *r, struct inlay_op *op)
{
	struct inlay_fuse_request *rq = inlay_fuse_request_of(op);

	(void)r;
	rq->task = (struct inlay_task){.done = repost_done};
	inlay_loop_post(inlay_crew_loop(rq->channel->fuse->config.crew, rq->channel->lane), &rq->task);
}

static void free_list(struct inlay_list *head)
{
	inlay_list_each_safe(it, tmp, head) {
		inlay_list_remove(it);
		free(inlay_container(it, struct inlay_fuse_request, link));
	}
}

void inlay_fuse_free(struct inlay_fuse *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->channels; i++) {
		struct inlay_fuse_channel *ch = &f->channel[i];

		free_list(&ch->inflight);
		free_list(&ch->spare);
		inlay_chunk_unref(ch->chunk);
		if (ch->source.fd >= 0)
			close(ch->source.fd);
	}
	inlay_fuse_free_asked(f);
	pthread_mutex_destroy(&f->lock);
	free(f->channel);
	free(f);
}

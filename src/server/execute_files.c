/*
 * Handlers of open files: opening, data, durability, locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

#include <string.h>

#define ZEROS_WORTH 4096u        /* shorter reads are not searched for zeros */
#define COPY_MAX (1ull << 30)    /* bytes of one COPY: a client must not hold a thread for ever */

static const uint8_t zeros[INLAY_DATA_MAX]; /* never written: costs address space alone */

int exec_open_flags_ok(const struct exec *x, uint32_t flags)
{
	if (flags & ~(uint32_t)INLAY_O_KNOWN || (flags & INLAY_O_ACCMODE) == INLAY_O_ACCMODE)
		return -INLAY_EINVAL;
	if (x->ex->readonly && ((flags & INLAY_O_ACCMODE) != INLAY_O_RDONLY || flags & INLAY_O_TRUNC))
		return -INLAY_EROFS;
	return 0;
}

int exec_open(struct exec *x)
{
	struct inlay_open_req m;
	struct inlay_open_rep rep = {0};
	struct inlay_store_node *n;
	struct inlay_store_file *f;
	int r = EXEC_DECODE(x, open, &m);

	if (r < 0 || (r = exec_open_flags_ok(x, m.flags)) < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	if (m.flags & INLAY_O_TRUNC)
		(void)exec_is_shared(x, n); /* nothing of what others have written stays */
	r = x->ops->open(n, exec_cred(x, &m.cred), m.flags, &f, &rep.attr);
	node_put(n);
	if (r >= 0)
		r = handle_add(x->ss, f, NULL, &rep.handle);
	rep.token = reopen_token(x->ss, &m.node, m.flags, INLAY_REOPEN_FILE);
	if (r >= 0)
		inlay_put_open_rep(&x->out, &rep);
	return r;
}

/* The answer of CREATE and TMPFILE; both references are dropped or taken over. */
static int reply_created(struct exec *x, struct inlay_store_node *n, struct inlay_store_file *f, uint32_t flags,
                         const struct inlay_attr *attr)
{
	struct inlay_create_rep rep = {.attr = *attr};
	int r = handle_add(x->ss, f, NULL, &rep.handle);

	if (r >= 0) {
		r = node_give(x->ss, n, &rep.node);
		if (r < 0)
			(void)handle_close(x->ss, rep.handle);
	}
	node_put(n);
	rep.token = reopen_token(x->ss, &rep.node, flags, INLAY_REOPEN_FILE);
	if (r >= 0)
		inlay_put_create_rep(&x->out, &rep);
	return r;
}

int exec_create(struct exec *x)
{
	struct inlay_create_req m;
	struct inlay_store_make make = {0};
	struct inlay_store_node *dir, *n;
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int r = EXEC_DECODE(x, create, &m);

	if (r < 0 || (r = exec_open_flags_ok(x, m.flags)) < 0 || (r = node_get(x->ss, &m.dir, &dir)) < 0)
		return r;
	make.mode = m.mode & 07777;
	make.umask = m.umask & 0777;
	r = x->ops->create(dir, exec_cred(x, &m.cred), m.name, m.flags, &make, &n, &f, &attr);
	node_put(dir);
	if (r >= 0 && m.flags & INLAY_O_TRUNC)
		(void)exec_is_shared(x, n);
	return r < 0 ? r : reply_created(x, n, f, m.flags, &attr);
}

int exec_tmpfile(struct exec *x)
{
	struct inlay_tmpfile_req m;
	struct inlay_store_make make = {0};
	struct inlay_store_node *dir, *n;
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int r = EXEC_DECODE(x, tmpfile, &m);

	if (r < 0 || (r = exec_open_flags_ok(x, m.flags)) < 0)
		return r;
	if (!inlay_store_offers(x->ex->store, tmpfile))
		return -INLAY_ENOTSUP;
	r = node_get(x->ss, &m.dir, &dir);
	if (r < 0)
		return r;
	make.mode = m.mode & 07777;
	make.umask = m.umask & 0777;
	r = x->ops->tmpfile(dir, exec_cred(x, &m.cred), m.flags, &make, &n, &f, &attr);
	node_put(dir);
	return r < 0 ? r : reply_created(x, n, f, m.flags, &attr);
}

int exec_close(struct exec *x)
{
	struct inlay_close_req m;
	int r = EXEC_DECODE(x, close, &m);

	return r < 0 ? r : handle_close(x->ss, m.handle);
}

/* ---- data ---- */

enum wants { READS = 1, WRITES = 2 };

/* A regular file open for what is wanted; handle_put() must follow. */
static int data_handle(struct exec *x, uint64_t id, int wants, struct handle **ret)
{
	struct handle *h = handle_get(x->ss, id);
	int r = 0;

	if (!h)
		return -INLAY_EBADF;
	if (h->file->is_dir)
		r = -INLAY_EISDIR;
	else if (wants & READS && (h->file->flags & INLAY_O_ACCMODE) == INLAY_O_WRONLY)
		r = -INLAY_EBADF;
	else if (wants & WRITES && (h->file->flags & INLAY_O_ACCMODE) == INLAY_O_RDONLY)
		r = -INLAY_EBADF;
	if (r < 0) {
		handle_put(x->ss, id);
		return r;
	}
	*ret = h;
	return 0;
}

/* Most data differs in its first bytes, so that the whole is compared only where it is likely worth it. */
static bool all_zero(const uint8_t *p, size_t len)
{
	uint64_t first;

	if (len < ZEROS_WORTH)
		return false;
	memcpy(&first, p, sizeof(first));
	return first == 0 && memcmp(p, p + 8, len - 8) == 0;
}

void exec_read_reply(struct exec *x, uint8_t *room, uint32_t len)
{
	struct inlay_read_rep rep = {0};

	if (all_zero(room, len))
		rep.zeros = len;
	else
		exec_payload_set(x, room, len);
	inlay_put_read_rep(&x->out, &rep);
}

static int read_into(struct exec *x, struct handle *h, uint64_t off, uint32_t len)
{
	uint8_t *room = exec_payload(x, len);
	int64_t n;

	if (!room)
		return -INLAY_ENOMEM;
	n = x->ops->read(h->file, off, room, len, x->rq->nowait ? INLAY_STORE_NOWAIT : 0);
	if (n < 0)
		return (int)n;
	exec_read_reply(x, room, (uint32_t)n);
	return 0;
}

int exec_read_open(struct exec *x, struct inlay_read_req *m, struct handle **ret)
{
	int r = EXEC_DECODE(x, read, m);

	if (r < 0)
		return r;
	if (m->flags || m->off > INT64_MAX)
		return -INLAY_EINVAL;
	if (m->len > INLAY_DATA_MAX)
		m->len = INLAY_DATA_MAX;
	if (!exec_range_ok(m->off, m->len))
		m->len = (uint32_t)(INT64_MAX - m->off);
	return data_handle(x, m->handle, READS, ret);
}

int exec_read(struct exec *x)
{
	struct inlay_read_req m;
	struct handle *h;
	int r = exec_read_open(x, &m, &h);

	if (r < 0)
		return r;
	r = read_into(x, h, m.off, m.len);
	handle_put(x->ss, m.handle);
	return r;
}

bool exec_appends(const struct handle *h, const struct inlay_write_req *m)
{
	return h->file->flags & INLAY_O_APPEND && !(m->flags & INLAY_WRITE_AT);
}

/*
 * Zeros that a client sends as a number. Made by the file system where it can; not for appends, whose place only a
 * write finds out.
 */
static int64_t write_zeros(struct exec *x, struct handle *h, const struct inlay_write_req *m, uint32_t len,
                           uint64_t *ret_size)
{
	uint32_t flags = m->flags & ~(uint32_t)INLAY_WRITE_ZEROS;
	struct inlay_attr attr;
	int r;

	if (exec_appends(h, m) || !inlay_store_offers(x->ex->store, fallocate))
		return x->ops->write(h->file, m->off, zeros, len, flags, ret_size);
	r = x->ops->fallocate(h->file, m->off, len, INLAY_FALLOC_ZERO, flags);
	if (r == -INLAY_ENOTSUP || r == -INLAY_ENOSYS)
		return x->ops->write(h->file, m->off, zeros, len, flags, ret_size);
	if (r < 0)
		return r;
	*ret_size = x->ops->getattr(h->file->node, h->file, &attr) < 0 ? 0 : attr.size;
	return len;
}

static uint32_t durable(const struct handle *h, uint32_t flags)
{
	if (flags & INLAY_WRITE_FILE_SYNC || h->file->flags & INLAY_O_SYNC)
		return 3;
	return flags & INLAY_WRITE_DATA_SYNC || h->file->flags & INLAY_O_DSYNC ? 1 : 0;
}

static uint64_t verifier(const struct exec *x)
{
	return inlay_load64(x->ex->server->boot.bytes);
}

static int write_from(struct exec *x, struct handle *h, const struct inlay_write_req *m, uint32_t len)
{
	struct inlay_write_rep rep = {.verifier = verifier(x), .flags = durable(h, m->flags)};
	int64_t n = 0;

	if (exec_is_shared(x, h->file->node))
		rep.flags |= INLAY_WRITTEN_SHARED;
	if (m->flags & INLAY_WRITE_ZEROS)
		n = len ? write_zeros(x, h, m, len, &rep.size) : 0;
	else
		n = x->ops->write(h->file, m->off, x->rq->data, len, m->flags, &rep.size);
	if (n < 0)
		return (int)n;
	rep.count = (uint32_t)n;
	rep.modified = exec_modified(x);
	inlay_put_write_rep(&x->out, &rep);
	return 0;
}

int exec_write(struct exec *x)
{
	struct inlay_write_req m;
	struct handle *h;
	uint32_t len = x->rq->data_len;
	int r = EXEC_DECODE(x, write, &m);

	if (r < 0)
		return r;
	if (m.flags & ~(uint32_t)INLAY_WRITE_KNOWN)
		return -INLAY_EINVAL;
	if (m.flags & INLAY_WRITE_ZEROS ? len != 0 : m.zeros != 0)
		return -INLAY_EINVAL;
	if (m.flags & INLAY_WRITE_ZEROS)
		len = m.zeros < INLAY_DATA_MAX ? m.zeros : INLAY_DATA_MAX;
	r = data_handle(x, m.handle, WRITES, &h);
	if (r < 0)
		return r;
	if (exec_appends(h, &m))
		m.off = 0;
	r = exec_range_ok(m.off, len) ? write_from(x, h, &m, len) : -INLAY_EFBIG;
	handle_put(x->ss, m.handle);
	return r;
}

int exec_commit(struct exec *x)
{
	struct inlay_commit_req m;
	struct handle *h;
	int r = EXEC_DECODE(x, commit, &m);

	if (r < 0)
		return r;
	if (m.flags & ~(uint32_t)INLAY_COMMIT_DATA_ONLY)
		return -INLAY_EINVAL;
	h = handle_get(x->ss, m.handle);
	if (!h)
		return -INLAY_EBADF;
	r = x->ops->commit(h->file, m.flags);
	handle_put(x->ss, m.handle);
	if (r >= 0)
		inlay_put_commit_rep(&x->out, &(struct inlay_commit_rep){verifier(x)});
	return r;
}

int exec_fallocate(struct exec *x)
{
	struct inlay_fallocate_req m;
	struct inlay_fallocate_rep rep = {0};
	struct handle *h;
	int r = EXEC_DECODE(x, fallocate, &m);

	if (r < 0)
		return r;
	if (m.flags & ~(uint32_t)INLAY_WRITE_KILL_PRIV || !m.len || m.off > INT64_MAX)
		return -INLAY_EINVAL;
	if (m.mode & ~(uint32_t)INLAY_FALLOC_KNOWN || !inlay_store_offers(x->ex->store, fallocate))
		return -INLAY_ENOTSUP;
	if (!exec_range_ok(m.off, m.len))
		return -INLAY_EFBIG;
	r = data_handle(x, m.handle, WRITES, &h);
	if (r < 0)
		return r;
	if (exec_is_shared(x, h->file->node))
		rep.flags = INLAY_WRITTEN_SHARED;
	r = x->ops->fallocate(h->file, m.off, m.len, m.mode, m.flags);
	handle_put(x->ss, m.handle);
	if (r < 0)
		return r;
	rep.modified = exec_modified(x);
	inlay_put_fallocate_rep(&x->out, &rep);
	return 0;
}

int exec_seek(struct exec *x)
{
	struct inlay_seek_req m;
	struct handle *h;
	int64_t off;
	int r = EXEC_DECODE(x, seek, &m);

	if (r < 0)
		return r;
	if (m.whence > INLAY_SEEK_HOLE)
		return -INLAY_EINVAL;
	if (m.off > INT64_MAX)
		return -INLAY_ENXIO;
	r = data_handle(x, m.handle, 0, &h);
	if (r < 0)
		return r;
	off = inlay_store_offers(x->ex->store, seek) ? x->ops->seek(h->file, m.off, m.whence) : -INLAY_ENOTSUP;
	handle_put(x->ss, m.handle);
	if (off < 0)
		return (int)off;
	inlay_put_seek_rep(&x->out, &(struct inlay_seek_rep){(uint64_t)off});
	return 0;
}

static int copy_between(struct exec *x, const struct inlay_copy_req *m, struct handle *from)
{
	uint64_t len = m->len < COPY_MAX ? m->len : COPY_MAX;
	struct handle *to;
	int64_t n;
	int r = data_handle(x, m->to, WRITES, &to);

	if (r < 0)
		return r;
	(void)exec_is_shared(x, to->file->node); /* its client keeps nothing of it */
	n = x->ops->copy(from->file, m->from_off, to->file, m->to_off, len);
	handle_put(x->ss, m->to);
	if (n < 0)
		return (int)n;
	inlay_put_copy_rep(&x->out, &(struct inlay_copy_rep){(uint64_t)n});
	return 0;
}

int exec_copy(struct exec *x)
{
	struct inlay_copy_req m;
	struct handle *from;
	int r = EXEC_DECODE(x, copy, &m);

	if (r < 0)
		return r;
	if (m.flags || !exec_range_ok(m.from_off, m.len))
		return -INLAY_EINVAL;
	if (!exec_range_ok(m.to_off, m.len))
		return -INLAY_EFBIG;
	if (!inlay_store_offers(x->ex->store, copy))
		return -INLAY_ENOTSUP;
	r = data_handle(x, m.from, READS, &from);
	if (r < 0)
		return r;
	r = copy_between(x, &m, from);
	handle_put(x->ss, m.from);
	return r;
}

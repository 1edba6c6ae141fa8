/*
 * Data of the in-memory store's open files.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/internal.h"

#include <stdlib.h>
#include <string.h>

/* What an operation on data needs of its file: a regular one, opened for it. */
static int check_file(const struct inlay_store_file *f, bool write)
{
	uint32_t mode = f->flags & INLAY_O_ACCMODE;

	if (f->is_dir)
		return write ? -INLAY_EBADF : -INLAY_EISDIR;
	if (write)
		return mode == INLAY_O_RDONLY ? -INLAY_EBADF : 0;
	return mode == INLAY_O_WRONLY ? -INLAY_EBADF : 0;
}

static bool earlier(struct inlay_time a, struct inlay_time b)
{
	return a.sec < b.sec || (a.sec == b.sec && a.nsec <= b.nsec);
}

/* Access times as a mount with relatime keeps them, less the daily update. */
static void touch_atime(struct memory_inode *inode, uint32_t flags)
{
	struct memory_store *s = memory_owner(inode);
	struct inlay_attr *attr = &inode->live.attr;

	if (!(flags & INLAY_O_NOATIME) && (earlier(attr->atime, attr->mtime) || earlier(attr->atime, attr->ctime)))
		attr->atime = s->now(s->now_arg);
}

int64_t memory_op_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len, uint32_t flags)
{
	struct memory_inode *inode = memory_inode(f->node);
	MEMORY_LOCKED(f->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_read);
	uint64_t size = inode->live.attr.size;

	(void)flags; /* memory never waits */
	if (r == 0)
		r = check_file(f, false);
	if (r == 0 && off > MEMORY_SIZE_MAX)
		r = -INLAY_EINVAL;
	if (r < 0)
		return r;
	if (off >= size || len == 0)
		return 0;
	if (len > size - off)
		len = (size_t)(size - off);
	memory_data_read(&inode->live.data, off, buf, len);
	touch_atime(inode, f->flags);
	return (int64_t)len;
}

static bool is_sync(const struct inlay_store_file *f, uint32_t flags)
{
	return (flags & (INLAY_WRITE_DATA_SYNC | INLAY_WRITE_FILE_SYNC)) || (f->flags & (INLAY_O_SYNC | INLAY_O_DSYNC));
}

/* len > 0. Returns bytes written. */
static int64_t write_at(struct memory_inode *inode, uint64_t off, const void *buf, size_t len)
{
	struct inlay_attr *attr = &inode->live.attr;
	int64_t n;

	if (off > MEMORY_SIZE_MAX || len > MEMORY_SIZE_MAX - off)
		return -INLAY_EINVAL;
	n = memory_data_write(&inode->live.data, off, buf, len, &memory_owner(inode)->room);
	if (n < 0)
		return n;
	if (off + (uint64_t)n > attr->size)
		attr->size = off + (uint64_t)n;
	memory_touch(inode, true);
	return n;
}

int64_t memory_op_write(struct inlay_store_file *f, uint64_t off, const void *buf, size_t len, uint32_t flags,
                        uint64_t *ret_size)
{
	struct memory_inode *inode = memory_inode(f->node);
	MEMORY_LOCKED(f->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_write);
	int64_t n = 0;

	if (r == 0)
		r = check_file(f, true);
	if (r == 0 && flags & ~(uint32_t)(INLAY_WRITE_KNOWN & ~INLAY_WRITE_ZEROS))
		r = -INLAY_EINVAL;
	if (r < 0)
		return r;
	if (f->flags & INLAY_O_APPEND && !(flags & INLAY_WRITE_AT))
		off = inode->live.attr.size;
	if (len) {
		n = write_at(inode, off, buf, len);
		if (n < 0)
			return n;
		if ((flags & INLAY_WRITE_KILL_PRIV) || memory_file(f)->unprivileged)
			memory_kill_priv(inode);
		if (is_sync(f, flags))
			r = memory_commit(inode, 0);
	}
	if (r < 0)
		return r;
	*ret_size = inode->live.attr.size;
	return n;
}

int memory_op_commit(struct inlay_store_file *f, uint32_t flags)
{
	struct memory_inode *inode = memory_inode(f->node);
	MEMORY_LOCKED(f->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_commit);

	return r < 0 ? r : memory_commit(inode, flags);
}

int memory_resize(struct memory_inode *inode, uint64_t size)
{
	struct inlay_attr *attr = &inode->live.attr;
	uint64_t end = (attr->size / MEMORY_CHUNK + 1) * MEMORY_CHUNK;
	struct memory_room *room = &memory_owner(inode)->room;
	int r = 0;

	/* Reservations past the end go too, hence to the last chunk there is. */
	if (inode->live.data.count)
		end = (inode->live.data.v[inode->live.data.count - 1].index + 1) * MEMORY_CHUNK;
	if (size < end && size <= attr->size)
		r = memory_data_zero(&inode->live.data, size, end, room);
	if (r == 0)
		attr->size = size;
	return r;
}

/* Collapse and insert: everything from `from` on moves to `to`. */
static int shift(struct memory_inode *inode, uint64_t from, uint64_t to)
{
	struct memory_room *room = &memory_owner(inode)->room;
	struct memory_data *live = &inode->live.data, data;
	int r = memory_data_shift(live, from, to, &data);

	if (r < 0)
		return r;
	if (data.count > live->count && room->used + (data.count - live->count) > room->max) {
		memory_data_done(&data, NULL);
		return -INLAY_ENOSPC;
	}
	memory_data_done(live, room);
	room->used += data.count;
	*live = data;
	inode->live.attr.size += to - from;
	return 0;
}

static int collapse(struct memory_inode *inode, uint64_t off, uint64_t len)
{
	if (off % MEMORY_BLOCK || len % MEMORY_BLOCK || off + len >= inode->live.attr.size)
		return -INLAY_EINVAL;
	return shift(inode, off + len, off);
}

static int insert(struct memory_inode *inode, uint64_t off, uint64_t len)
{
	if (off % MEMORY_BLOCK || len % MEMORY_BLOCK || off >= inode->live.attr.size)
		return -INLAY_EINVAL;
	if (len > MEMORY_SIZE_MAX - inode->live.attr.size)
		return -INLAY_EFBIG;
	return shift(inode, off, off + len);
}

static int reserve(struct memory_inode *inode, uint64_t off, uint64_t len, uint32_t mode)
{
	struct memory_room *room = &memory_owner(inode)->room;
	int r = memory_data_reserve(&inode->live.data, off, off + len, room);

	/* Only what the file covers is cleared: past its end all is zero already. */
	if (r == 0 && (mode & INLAY_FALLOC_ZERO))
		r = memory_data_zero(&inode->live.data, off, off + len, room);
	if (r == 0 && !(mode & INLAY_FALLOC_KEEP_SIZE) && off + len > inode->live.attr.size)
		inode->live.attr.size = off + len;
	return r;
}

static int check_fallocate(const struct inlay_store_file *f, uint64_t off, uint64_t len, uint32_t mode)
{
	uint32_t kind = mode & ~(uint32_t)INLAY_FALLOC_KEEP_SIZE;
	bool keep = mode & INLAY_FALLOC_KEEP_SIZE;

	if (len == 0 || off > MEMORY_SIZE_MAX || len > MEMORY_SIZE_MAX)
		return -INLAY_EINVAL;
	if (kind != 0 && kind != INLAY_FALLOC_PUNCH_HOLE && kind != INLAY_FALLOC_COLLAPSE && kind != INLAY_FALLOC_ZERO &&
	    kind != INLAY_FALLOC_INSERT)
		return -INLAY_ENOTSUP;
	if (kind == INLAY_FALLOC_PUNCH_HOLE ? !keep : keep && kind != 0 && kind != INLAY_FALLOC_ZERO)
		return -INLAY_ENOTSUP;
	if (check_file(f, true) < 0)
		return -INLAY_EBADF;
	return len > MEMORY_SIZE_MAX - off ? -INLAY_EFBIG : 0;
}

int memory_op_fallocate(struct inlay_store_file *f, uint64_t off, uint64_t len, uint32_t mode, uint32_t write_flags)
{
	struct memory_inode *inode = memory_inode(f->node);
	MEMORY_LOCKED(f->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_fallocate);

	if (r == 0)
		r = check_fallocate(f, off, len, mode);
	if (r < 0)
		return r;
	switch (mode & ~(uint32_t)INLAY_FALLOC_KEEP_SIZE) {
	case INLAY_FALLOC_PUNCH_HOLE:
		r = memory_data_zero(&inode->live.data, off, off + len, &memory_owner(inode)->room);
		break;
	case INLAY_FALLOC_COLLAPSE:
		r = collapse(inode, off, len);
		break;
	case INLAY_FALLOC_INSERT:
		r = insert(inode, off, len);
		break;
	default:
		r = reserve(inode, off, len, mode);
	}
	if (r < 0)
		return r;
	if ((write_flags & INLAY_WRITE_KILL_PRIV) || memory_file(f)->unprivileged)
		memory_kill_priv(inode);
	memory_touch(inode, true);
	return is_sync(f, write_flags) ? memory_commit(inode, 0) : 0;
}

int64_t memory_op_seek(struct inlay_store_file *f, uint64_t off, uint32_t whence)
{
	struct memory_inode *inode = memory_inode(f->node);
	MEMORY_LOCKED(f->store);
	int r = memory_fault(memory_owner(inode), MEMORY_OP_seek);
	uint64_t size = inode->live.attr.size, at;

	if (r < 0)
		return r;
	if (f->is_dir || whence > INLAY_SEEK_HOLE)
		return -INLAY_EINVAL;
	if (off >= size)
		return -INLAY_ENXIO;
	at = memory_data_next(&inode->live.data, off, whence == INLAY_SEEK_DATA);
	if (whence == INLAY_SEEK_DATA)
		return at < size ? (int64_t)at : -INLAY_ENXIO;
	return (int64_t)(at < size ? at : size);
}

static int64_t copy_bytes(struct memory_inode *from, uint64_t from_off, struct memory_inode *to, uint64_t to_off,
                          uint64_t len)
{
	uint8_t *buf = malloc(MEMORY_CHUNK);
	uint64_t done = 0;
	int64_t n = buf ? 0 : -INLAY_ENOMEM;

	while (n >= 0 && done < len) {
		size_t part = (size_t)(len - done < MEMORY_CHUNK ? len - done : MEMORY_CHUNK);

		memory_data_read(&from->live.data, from_off + done, buf, part);
		n = write_at(to, to_off + done, buf, part);
		if (n > 0)
			done += (uint64_t)n;
	}
	free(buf);
	return done ? (int64_t)done : n;
}

int64_t memory_op_copy(struct inlay_store_file *from, uint64_t from_off, struct inlay_store_file *to,
                       uint64_t to_off, uint64_t len)
{
	struct memory_inode *src = memory_inode(from->node), *dst = memory_inode(to->node);
	MEMORY_LOCKED(from->store);
	int r = memory_fault(memory_owner(src), MEMORY_OP_copy);
	uint64_t size = src->live.attr.size;

	if (r < 0)
		return r;
	if (from->is_dir || to->is_dir)
		return -INLAY_EISDIR;
	if (check_file(from, false) < 0 || check_file(to, true) < 0 || (to->flags & INLAY_O_APPEND))
		return -INLAY_EBADF;
	if (from_off > MEMORY_SIZE_MAX || to_off > MEMORY_SIZE_MAX)
		return -INLAY_EINVAL;
	if (from_off >= size)
		return 0;
	if (len > size - from_off)
		len = size - from_off;
	if (len > MEMORY_SIZE_MAX - to_off)
		return -INLAY_EFBIG;
	if (src == dst && from_off < to_off + len && to_off < from_off + len)
		return -INLAY_EINVAL;
	if (len == 0)
		return 0;
	touch_atime(src, from->flags);
	if (memory_file(to)->unprivileged)
		memory_kill_priv(dst);
	return copy_bytes(src, from_off, dst, to_off, len);
}

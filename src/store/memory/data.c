/*
 * Sparse file content in chunks, for the in-memory store.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/memory/data.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static size_t min_size(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

static void chunk_unref(struct memory_chunk *c)
{
	if (c && --c->refs == 0)
		free(c);
}

/* Position of the first extent at or after index. */
static size_t find(const struct memory_data *d, uint64_t index)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (d->v[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct memory_extent *get(const struct memory_data *d, uint64_t index)
{
	size_t at = find(d, index);

	return at < d->count && d->v[at].index == index ? &d->v[at] : NULL;
}

static int grow(struct memory_data *d)
{
	size_t cap = d->cap ? 2 * d->cap : 4;
	struct memory_extent *v;

	if (d->count < d->cap)
		return 0;
	v = realloc(d->v, cap * sizeof(*v));
	if (!v)
		return -INLAY_ENOMEM;
	d->v = v;
	d->cap = cap;
	return 0;
}

/* Inserts an extent that is not there yet. */
static int insert(struct memory_data *d, uint64_t index, struct memory_room *room)
{
	size_t at = find(d, index);

	if (room && room->used >= room->max)
		return -INLAY_ENOSPC;
	if (grow(d) < 0)
		return -INLAY_ENOMEM;
	memmove(d->v + at + 1, d->v + at, (d->count - at) * sizeof(*d->v));
	d->v[at] = (struct memory_extent){.index = index};
	d->count++;
	if (room)
		room->used++;
	return 0;
}

static void drop(struct memory_data *d, size_t from, size_t to, struct memory_room *room)
{
	if (from == to)
		return;
	for (size_t i = from; i < to; i++)
		chunk_unref(d->v[i].chunk);
	memmove(d->v + from, d->v + to, (d->count - to) * sizeof(*d->v));
	d->count -= to - from;
	if (room)
		room->used -= to - from;
}

/* The chunk for writing: made when absent, cloned when shared. */
static int make_writable(struct memory_extent *e)
{
	struct memory_chunk *c;

	if (e->chunk && e->chunk->refs == 1)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -INLAY_ENOMEM;
	c->refs = 1;
	if (e->chunk)
		memcpy(c->bytes, e->chunk->bytes, MEMORY_CHUNK);
	chunk_unref(e->chunk);
	e->chunk = c;
	return 0;
}

void memory_data_done(struct memory_data *d, struct memory_room *room)
{
	drop(d, 0, d->count, room);
	free(d->v);
	*d = (struct memory_data){0};
}

int memory_data_copy(const struct memory_data *d, struct memory_data *ret)
{
	struct memory_data copy = {.count = d->count, .cap = d->count};

	if (d->count) {
		copy.v = malloc(d->count * sizeof(*copy.v));
		if (!copy.v)
			return -INLAY_ENOMEM;
		memcpy(copy.v, d->v, d->count * sizeof(*copy.v));
	}
	for (size_t i = 0; i < copy.count; i++)
		if (copy.v[i].chunk)
			copy.v[i].chunk->refs++;
	*ret = copy;
	return 0;
}

void memory_data_read(const struct memory_data *d, uint64_t off, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len) {
		const struct memory_extent *e = get(d, off / MEMORY_CHUNK);
		size_t in = off % MEMORY_CHUNK, part = min_size(len, MEMORY_CHUNK - in);

		if (e && e->chunk)
			memcpy(to, e->chunk->bytes + in, part);
		else
			memset(to, 0, part);
		to += part;
		off += part;
		len -= part;
	}
}

int64_t memory_data_write(struct memory_data *d, uint64_t off, const void *buf, size_t len, struct memory_room *room)
{
	const uint8_t *from = buf;
	size_t done = 0;

	while (done < len) {
		uint64_t index = (off + done) / MEMORY_CHUNK;
		size_t in = (off + done) % MEMORY_CHUNK, part = min_size(len - done, MEMORY_CHUNK - in);
		int r = get(d, index) ? 0 : insert(d, index, room);

		if (r == 0)
			r = make_writable(get(d, index));
		if (r < 0)
			return done ? (int64_t)done : r;
		memcpy(get(d, index)->chunk->bytes + in, from + done, part);
		done += part;
	}
	return (int64_t)done;
}

/* Zeros part of one chunk. */
static int zero_within(struct memory_data *d, uint64_t off, size_t len)
{
	struct memory_extent *e = get(d, off / MEMORY_CHUNK);

	if (!e || !e->chunk)
		return 0;
	if (make_writable(e) < 0)
		return -INLAY_ENOMEM;
	memset(e->chunk->bytes + off % MEMORY_CHUNK, 0, len);
	return 0;
}

int memory_data_zero(struct memory_data *d, uint64_t off, uint64_t end, struct memory_room *room)
{
	uint64_t first = off / MEMORY_CHUNK + (off % MEMORY_CHUNK != 0), last = end / MEMORY_CHUNK;
	int r = 0;

	if (off >= end)
		return 0;
	if (off % MEMORY_CHUNK)
		r = zero_within(d, off, min_size(end - off, MEMORY_CHUNK - off % MEMORY_CHUNK));
	if (r == 0 && end % MEMORY_CHUNK && last >= first)
		r = zero_within(d, last * MEMORY_CHUNK, end % MEMORY_CHUNK);
	if (r == 0 && last > first)
		drop(d, find(d, first), find(d, last), room);
	return r;
}

int memory_data_reserve(struct memory_data *d, uint64_t off, uint64_t end, struct memory_room *room)
{
	uint64_t first = off / MEMORY_CHUNK, last = (end - 1) / MEMORY_CHUNK;
	uint64_t there = find(d, last + 1) - find(d, first);
	int r = 0;

	if (room->used >= room->max ? last - first + 1 > there : last - first + 1 - there > room->max - room->used)
		return -INLAY_ENOSPC;
	for (uint64_t i = first; r == 0 && i <= last; i++)
		if (!get(d, i))
			r = insert(d, i, room);
	return r;
}

uint64_t memory_data_next(const struct memory_data *d, uint64_t off, bool want_data)
{
	uint64_t index = off / MEMORY_CHUNK;
	size_t at = find(d, index);

	if (want_data) {
		while (at < d->count && !d->v[at].chunk)
			at++;
		if (at == d->count)
			return UINT64_MAX;
		index = d->v[at].index;
	} else {
		for (; at < d->count && d->v[at].index == index && d->v[at].chunk; at++)
			index++;
	}
	return index == off / MEMORY_CHUNK ? off : index * MEMORY_CHUNK;
}

/* Zeros are left out, or the padding of a file's last chunk would become a chunk of its own. */
static int put_run(struct memory_data *ret, uint64_t off, const uint8_t *bytes, size_t len)
{
	int64_t n;

	if (len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0))
		return 0;
	n = memory_data_write(ret, off, bytes, len, NULL);
	return n >= 0 && (size_t)n == len ? 0 : -INLAY_ENOMEM;
}

int memory_data_shift(const struct memory_data *d, uint64_t from, uint64_t to, struct memory_data *ret)
{
	uint64_t keep = from < to ? from : to;
	struct memory_data out = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->count; i++) {
		uint64_t start = d->v[i].index * MEMORY_CHUNK;
		const uint8_t *bytes = d->v[i].chunk ? d->v[i].chunk->bytes : NULL;

		if (!bytes)
			continue;
		if (start < keep)
			r = put_run(&out, start, bytes, min_size(keep - start, MEMORY_CHUNK));
		if (r == 0 && start + MEMORY_CHUNK > from) {
			size_t skip = start < from ? (size_t)(from - start) : 0;

			r = put_run(&out, start + skip - from + to, bytes + skip, MEMORY_CHUNK - skip);
		}
	}
	if (r < 0)
		memory_data_done(&out, NULL);
	else
		*ret = out;
	return r;
}

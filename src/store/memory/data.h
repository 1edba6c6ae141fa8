/*
 * The content of one file of the in-memory store: 64 KiB chunks, sorted by place, absent where there is a hole.
 * Copies share chunks until one of them is written. Knows no file, no lock, no permission.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_STORE_MEMORY_DATA_H
#define INLAY_STORE_MEMORY_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_CHUNK 65536u
#define MEMORY_SIZE_MAX ((uint64_t)INT64_MAX)

struct memory_chunk {
	unsigned refs;
	uint8_t bytes[MEMORY_CHUNK];
};

/* chunk NULL: space that fallocate reserved; reads as zeros and counts as a hole for seek. */
struct memory_extent {
	uint64_t index;
	struct memory_chunk *chunk;
};

/* Bytes past the file's size are zero in every chunk: growing a file needs no clearing. */
struct memory_data {
	struct memory_extent *v;
	size_t count, cap;
};

/* Chunks that files use, and how many they may. Snapshots are not counted. */
struct memory_room {
	uint64_t used, max;
};

/* Everywhere: room NULL = not counted. */
void memory_data_done(struct memory_data *d, struct memory_room *room);
/* *ret is overwritten. Shares the chunks. 0 or -INLAY_ENOMEM. */
int memory_data_copy(const struct memory_data *d, struct memory_data *ret);
void memory_data_read(const struct memory_data *d, uint64_t off, void *buf, size_t len);
/* Bytes written; fewer when the room or memory ended after some, -INLAY_ENOSPC or -INLAY_ENOMEM when before any. */
int64_t memory_data_write(struct memory_data *d, uint64_t off, const void *buf, size_t len, struct memory_room *room);
/* Zeros from off up to end (exclusive), whole chunks become holes. -INLAY_ENOMEM: some of it may be done. */
int memory_data_zero(struct memory_data *d, uint64_t off, uint64_t end, struct memory_room *room);
/* Reserves what is missing. -INLAY_ENOSPC, -INLAY_ENOMEM: nothing (ENOSPC) or some (ENOMEM) was reserved. */
int memory_data_reserve(struct memory_data *d, uint64_t off, uint64_t end, struct memory_room *room);
/* First data byte, or first hole byte, at or after off; UINT64_MAX where there is none. */
uint64_t memory_data_next(const struct memory_data *d, uint64_t off, bool want_data);
/*
 * *ret is overwritten with d's content, where what stood at `from` and after stands at `to` and after: a smaller `to`
 * drops the bytes between, a larger one leaves a hole. Reservations are lost. Counts no room. 0 or -INLAY_ENOMEM.
 */
int memory_data_shift(const struct memory_data *d, uint64_t from, uint64_t to, struct memory_data *ret);

#endif

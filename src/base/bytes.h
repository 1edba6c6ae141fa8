/*
 * Byte cursors: little-endian reading and writing with a sticky error, so that a codec checks once at its end.
 * Reading past the end sets `bad` and yields zeros; writing past the end sets `full` and writes nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_BYTES_H
#define INLAY_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct inlay_reader {
	const uint8_t *p, *end;
	bool bad;
};

struct inlay_writer {
	uint8_t *start, *p, *end;
	bool full;
};

/* A run of bytes owned by someone else; not NUL-terminated. */
struct inlay_str {
	const char *p;
	uint32_t len;
};

#define INLAY_STR(literal) ((struct inlay_str){(literal), (uint32_t)(sizeof(literal) - 1)})

static inline struct inlay_str inlay_str(const char *text)
{
	return (struct inlay_str){text, (uint32_t)strlen(text)};
}

static inline bool inlay_str_is(struct inlay_str s, const char *text)
{
	return strlen(text) == s.len && memcmp(s.p, text, s.len) == 0;
}

static inline struct inlay_reader inlay_reader(const void *p, size_t len)
{
	return (struct inlay_reader){p, (const uint8_t *)p + len, false};
}

static inline struct inlay_writer inlay_writer(void *p, size_t len)
{
	return (struct inlay_writer){p, p, (uint8_t *)p + len, false};
}

static inline size_t inlay_writer_len(const struct inlay_writer *w)
{
	return (size_t)(w->p - w->start);
}

/* Hands out `len` bytes at the cursor and steps over them; NULL (and the sticky error) where there are fewer. */
static inline const uint8_t *inlay_read_bytes(struct inlay_reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (r->bad || len > (size_t)(r->end - p)) {
		r->bad = true;
		return NULL;
	}
	r->p += len;
	return p;
}

static inline uint8_t *inlay_write_bytes(struct inlay_writer *w, size_t len)
{
	uint8_t *p = w->p;

	if (w->full || len > (size_t)(w->end - p)) {
		w->full = true;
		return NULL;
	}
	w->p += len;
	return p;
}

static inline uint16_t inlay_load16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t inlay_load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t inlay_load64(const uint8_t *p)
{
	return inlay_load32(p) | (uint64_t)inlay_load32(p + 4) << 32;
}

static inline void inlay_store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void inlay_store32(uint8_t *p, uint32_t v)
{
	inlay_store16(p, (uint16_t)v);
	inlay_store16(p + 2, (uint16_t)(v >> 16));
}

static inline void inlay_store64(uint8_t *p, uint64_t v)
{
	inlay_store32(p, (uint32_t)v);
	inlay_store32(p + 4, (uint32_t)(v >> 32));
}

static inline uint32_t inlay_read32(struct inlay_reader *r)
{
	const uint8_t *p = inlay_read_bytes(r, 4);

	return p ? inlay_load32(p) : 0;
}

static inline uint64_t inlay_read64(struct inlay_reader *r)
{
	const uint8_t *p = inlay_read_bytes(r, 8);

	return p ? inlay_load64(p) : 0;
}

static inline void inlay_write32(struct inlay_writer *w, uint32_t v)
{
	uint8_t *p = inlay_write_bytes(w, 4);

	if (p)
		inlay_store32(p, v);
}

static inline void inlay_write64(struct inlay_writer *w, uint64_t v)
{
	uint8_t *p = inlay_write_bytes(w, 8);

	if (p)
		inlay_store64(p, v);
}

#endif

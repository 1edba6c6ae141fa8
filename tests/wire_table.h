/*
 * Every half (request, reply) of every message as a row: its fields, and functions that fill, write, read and compare
 * it. For tests and tools that go through all of them; made from the schema, like the codec.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_WIRE_TABLE_H
#define INLAY_TESTS_WIRE_TABLE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_field {
	const char *type, *name, *text;
	unsigned size; /* bytes, at least */
	bool varies;
};

/* Source of values: the same numbers give the same message. */
struct wire_fill {
	uint64_t state;
	uint32_t text_max, groups_max;
	unsigned used;
	char text[4][INLAY_STR_MAX];
};

struct wire_half {
	const char *message; /* in capitals */
	unsigned number;
	int flags; /* of the message */
	bool reply;
	const struct wire_field *fields;
	unsigned count;
	size_t size; /* of the struct */
	void (*fill)(struct wire_fill *f, void *m);
	void (*put)(struct inlay_writer *w, const void *m);
	int (*get)(struct inlay_reader *r, void *m);
	bool (*same)(const void *a, const void *b);
};

static inline uint64_t wire_random(struct wire_fill *f)
{
	uint64_t z = (f->state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint32_t wire_random_below(struct wire_fill *f, uint32_t top)
{
	return (uint32_t)(wire_random(f) % top);
}

static inline void wire_fill_U32(struct wire_fill *f, uint32_t *v)
{
	*v = (uint32_t)wire_random(f);
}

static inline void wire_fill_U64(struct wire_fill *f, uint64_t *v)
{
	*v = wire_random(f);
}

static inline void wire_fill_bytes(struct wire_fill *f, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)wire_random(f);
}

static inline void wire_fill_NODE(struct wire_fill *f, struct inlay_node_id *v)
{
	wire_fill_bytes(f, v->bytes, sizeof(v->bytes));
}

static inline void wire_fill_UUID(struct wire_fill *f, struct inlay_uuid *v)
{
	wire_fill_bytes(f, v->bytes, sizeof(v->bytes));
}

static inline void wire_fill_TIME(struct wire_fill *f, struct inlay_time *v)
{
	*v = (struct inlay_time){.sec = (int64_t)wire_random(f), .nsec = wire_random_below(f, 1000000000)};
}

static inline void wire_fill_ATTR(struct wire_fill *f, struct inlay_attr *v)
{
	*v = (struct inlay_attr){.ino = wire_random(f), .size = wire_random(f), .blocks = wire_random(f)};
	v->change = wire_random(f);
	wire_fill_TIME(f, &v->atime);
	wire_fill_TIME(f, &v->mtime);
	wire_fill_TIME(f, &v->ctime);
	wire_fill_TIME(f, &v->btime);
	wire_fill_U32(f, &v->mode);
	wire_fill_U32(f, &v->nlink);
	wire_fill_U32(f, &v->uid);
	wire_fill_U32(f, &v->gid);
	wire_fill_U32(f, &v->rdev_major);
	wire_fill_U32(f, &v->rdev_minor);
	wire_fill_U32(f, &v->blksize);
}

static inline void wire_fill_LEASE(struct wire_fill *f, struct inlay_lease *v)
{
	wire_fill_U32(f, &v->kind);
	wire_fill_U32(f, &v->term_ms);
}

static inline void wire_fill_CRED(struct wire_fill *f, struct inlay_cred *v)
{
	wire_fill_U32(f, &v->uid);
	wire_fill_U32(f, &v->gid);
	v->ngroups = wire_random_below(f, f->groups_max + 1);
	for (uint32_t i = 0; i < v->ngroups; i++)
		wire_fill_U32(f, &v->groups[i]);
}

static inline void wire_fill_text(struct wire_fill *f, struct inlay_str *v, uint32_t min, uint32_t max)
{
	char *p = f->text[f->used++ % 4];

	*v = (struct inlay_str){p, min + wire_random_below(f, (max < f->text_max ? max : f->text_max) - min + 1)};
	for (uint32_t i = 0; i < v->len; i++)
		p[i] = (char)('a' + wire_random_below(f, 26));
}

static inline void wire_fill_NAME(struct wire_fill *f, struct inlay_str *v)
{
	wire_fill_text(f, v, 1, INLAY_NAME_MAX);
}

static inline void wire_fill_STR(struct wire_fill *f, struct inlay_str *v)
{
	wire_fill_text(f, v, 0, INLAY_STR_MAX);
}

static inline bool wire_same_U32(const uint32_t *a, const uint32_t *b)
{
	return *a == *b;
}

static inline bool wire_same_U64(const uint64_t *a, const uint64_t *b)
{
	return *a == *b;
}

static inline bool wire_same_NODE(const struct inlay_node_id *a, const struct inlay_node_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool wire_same_UUID(const struct inlay_uuid *a, const struct inlay_uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool wire_same_TIME(const struct inlay_time *a, const struct inlay_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

static inline bool wire_same_ATTR(const struct inlay_attr *a, const struct inlay_attr *b)
{
	return a->ino == b->ino && a->size == b->size && a->blocks == b->blocks && a->change == b->change &&
		wire_same_TIME(&a->atime, &b->atime) && wire_same_TIME(&a->mtime, &b->mtime) &&
		wire_same_TIME(&a->ctime, &b->ctime) && wire_same_TIME(&a->btime, &b->btime) && a->mode == b->mode &&
		a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid && a->rdev_major == b->rdev_major &&
		a->rdev_minor == b->rdev_minor && a->blksize == b->blksize;
}

static inline bool wire_same_LEASE(const struct inlay_lease *a, const struct inlay_lease *b)
{
	return a->kind == b->kind && a->term_ms == b->term_ms;
}

static inline bool wire_same_CRED(const struct inlay_cred *a, const struct inlay_cred *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->ngroups == b->ngroups &&
		memcmp(a->groups, b->groups, sizeof(a->groups[0]) * a->ngroups) == 0;
}

static inline bool wire_same_NAME(const struct inlay_str *a, const struct inlay_str *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static inline bool wire_same_STR(const struct inlay_str *a, const struct inlay_str *b)
{
	return wire_same_NAME(a, b);
}

/* Bytes that the field at p takes in a valid encoding. */
static inline size_t wire_span(const struct wire_field *field, const uint8_t *p)
{
	if (!field->varies)
		return field->size;
	if (strcmp(field->type, "CRED") == 0)
		return 16 + ((4 * (size_t)inlay_load32(p + 8) + 7) & ~(size_t)7);
	return (4 + (size_t)inlay_load32(p) + 7) & ~(size_t)7;
}

#define WIRE_VARIES(type) (#type[0] == 'C' || (#type[0] == 'N' && #type[1] == 'A') || #type[0] == 'S')
#define WIRE_FIELD_ROW(type, name, text) {#type, #name, text, INLAY_WIRE_SIZE_##type, WIRE_VARIES(type)},
#define WIRE_FILL_FIELD(type, name, text) \
	wire_fill_##type(f, &m->name); \
	if (strcmp(#name, "pad") == 0) \
		memset(&m->name, 0, sizeof(m->name));
#define WIRE_SAME_FIELD(type, name, text) && wire_same_##type(&a->name, &b->name)

#define WIRE_HALF_FUNCTIONS(lower, FIELDS) \
	static const struct wire_field wire_fields_##lower[] = {FIELDS(WIRE_FIELD_ROW){0}}; \
	static void wire_fill_##lower(struct wire_fill *f, void *v) \
	{ \
		struct inlay_##lower *m = v; \
\
		(void)f; \
		(void)m; \
		FIELDS(WIRE_FILL_FIELD) \
	} \
	static void wire_put_##lower(struct inlay_writer *w, const void *m) \
	{ \
		inlay_put_##lower(w, m); \
	} \
	static int wire_get_##lower(struct inlay_reader *r, void *m) \
	{ \
		return inlay_get_##lower(r, m); \
	} \
	static bool wire_same_##lower(const void *va, const void *vb) \
	{ \
		const struct inlay_##lower *a = va, *b = vb; \
\
		(void)a; \
		(void)b; \
		return true FIELDS(WIRE_SAME_FIELD); \
	}
#define WIRE_FUNCTIONS(NAME, lower, number, flags) \
	WIRE_HALF_FUNCTIONS(lower##_req, INLAY_##NAME##_REQ) \
	WIRE_HALF_FUNCTIONS(lower##_rep, INLAY_##NAME##_REP)
INLAY_MESSAGES(WIRE_FUNCTIONS)

#define WIRE_HALF_ROW(NAME, lower, number, flags, reply) \
	{ \
		NAME, number, flags, reply, wire_fields_##lower, \
			(unsigned)(sizeof(wire_fields_##lower) / sizeof(wire_fields_##lower[0])) - 1, \
			sizeof(struct inlay_##lower), wire_fill_##lower, wire_put_##lower, wire_get_##lower, \
			wire_same_##lower \
	}
#define WIRE_ROWS(NAME, lower, number, flags) \
	WIRE_HALF_ROW(#NAME, lower##_req, number, flags, false), WIRE_HALF_ROW(#NAME, lower##_rep, number, flags, true),

/* Requests and events, each followed by its reply; an event's reply row is empty and means nothing. */
static const struct wire_half wire_halves[] = {INLAY_MESSAGES(WIRE_ROWS)};
enum { WIRE_HALVES = sizeof(wire_halves) / sizeof(wire_halves[0]) };

/* Room for any half's struct. */
union wire_any {
#define WIRE_ANY(NAME, lower, number, flags) \
	struct inlay_##lower##_req lower##_req; \
	struct inlay_##lower##_rep lower##_rep;
	INLAY_MESSAGES(WIRE_ANY)
	uint64_t align;
};

#endif

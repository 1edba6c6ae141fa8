/*
 * The codec: one writer and one reader per field type, and the messages that schema.h makes of them. Not here: what a
 * value means; handlers judge flags, ranges and numbers that only they understand.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "wire/codec.h"

#include "base/limits.h"
#include "base/status.h"

#include <string.h>

#define NSEC_PER_SEC 1000000000u

static const struct message {
	const char *name;
	int flags;
} messages[INLAY_MESSAGE_TOP] = {
#define MESSAGE_ROW(NAME, lower, number, flags) [number] = {#lower, flags},
	INLAY_MESSAGES(MESSAGE_ROW)
};

int inlay_message_flags(unsigned type)
{
	return type < INLAY_MESSAGE_TOP && messages[type].name ? messages[type].flags : -1;
}

const char *inlay_message_name(unsigned type)
{
	return type < INLAY_MESSAGE_TOP ? messages[type].name : NULL;
}

static inline size_t pad8(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

static bool name_bytes_ok(const char *p, uint32_t len)
{
	unsigned bad = len == 0 || len > INLAY_NAME_MAX;

	if (bad)
		return false;
	/* No early exit: names are short, and a straight loop is faster than two calls of memchr. */
	for (uint32_t i = 0; i < len; i++)
		bad |= (unsigned)(p[i] == '/') | (unsigned)(p[i] == '\0');
	return !bad;
}

bool inlay_name_ok(struct inlay_str name)
{
	if (!name_bytes_ok(name.p, name.len))
		return false;
	return name.p[0] != '.' || name.len > 2 || (name.len == 2 && name.p[1] != '.');
}

/* Writers. Fixed types ask for their bytes once, and then store. */

static inline void put_U32(struct inlay_writer *w, const uint32_t *v)
{
	inlay_write32(w, *v);
}

static inline void put_U64(struct inlay_writer *w, const uint64_t *v)
{
	inlay_write64(w, *v);
}

static inline void put_NODE(struct inlay_writer *w, const struct inlay_node_id *v)
{
	uint8_t *p = inlay_write_bytes(w, sizeof(v->bytes));

	if (p)
		memcpy(p, v->bytes, sizeof(v->bytes));
}

static inline void put_UUID(struct inlay_writer *w, const struct inlay_uuid *v)
{
	uint8_t *p = inlay_write_bytes(w, sizeof(v->bytes));

	if (p)
		memcpy(p, v->bytes, sizeof(v->bytes));
}

static inline void store_time(uint8_t *p, const struct inlay_time *v)
{
	inlay_store64(p, (uint64_t)v->sec);
	inlay_store32(p + 8, v->nsec);
	inlay_store32(p + 12, 0);
}

static inline void put_TIME(struct inlay_writer *w, const struct inlay_time *v)
{
	uint8_t *p = inlay_write_bytes(w, INLAY_WIRE_SIZE_TIME);

	if (p)
		store_time(p, v);
}

static inline void put_ATTR(struct inlay_writer *w, const struct inlay_attr *v)
{
	uint8_t *p = inlay_write_bytes(w, INLAY_WIRE_SIZE_ATTR);

	if (!p)
		return;
	inlay_store64(p, v->ino);
	inlay_store64(p + 8, v->size);
	inlay_store64(p + 16, v->blocks);
	inlay_store64(p + 24, v->change);
	store_time(p + 32, &v->atime);
	store_time(p + 48, &v->mtime);
	store_time(p + 64, &v->ctime);
	store_time(p + 80, &v->btime);
	inlay_store32(p + 96, v->mode);
	inlay_store32(p + 100, v->nlink);
	inlay_store32(p + 104, v->uid);
	inlay_store32(p + 108, v->gid);
	inlay_store32(p + 112, v->rdev_major);
	inlay_store32(p + 116, v->rdev_minor);
	inlay_store32(p + 120, v->blksize);
	inlay_store32(p + 124, 0);
}

static inline void put_LEASE(struct inlay_writer *w, const struct inlay_lease *v)
{
	uint8_t *p = inlay_write_bytes(w, INLAY_WIRE_SIZE_LEASE);

	if (!p)
		return;
	inlay_store32(p, v->kind);
	inlay_store32(p + 4, v->term_ms);
}

static inline void put_CRED(struct inlay_writer *w, const struct inlay_cred *v)
{
	uint32_t count = v->ngroups;
	uint8_t *p;

	if (count > INLAY_GROUPS_MAX) {
		w->full = true;
		return;
	}
	p = inlay_write_bytes(w, 16 + pad8(4 * (size_t)count));
	if (!p)
		return;
	inlay_store32(p, v->uid);
	inlay_store32(p + 4, v->gid);
	inlay_store32(p + 8, count);
	inlay_store32(p + 12, 0);
	p += 16;
	for (uint32_t i = 0; i < count; i++, p += 4)
		inlay_store32(p, v->groups[i]);
	if (count % 2)
		inlay_store32(p, 0);
}

static inline void put_text(struct inlay_writer *w, struct inlay_str s, uint32_t max)
{
	size_t span = pad8(4 + (size_t)s.len);
	uint8_t *p;

	if (s.len > max) {
		w->full = true;
		return;
	}
	p = inlay_write_bytes(w, span);
	if (!p)
		return;
	inlay_store64(p + span - 8, 0); /* the padding; what else it covers is written next */
	inlay_store32(p, s.len);
	if (s.len)
		memcpy(p + 4, s.p, s.len);
}

static inline void put_NAME(struct inlay_writer *w, const struct inlay_str *v)
{
	put_text(w, *v, INLAY_NAME_MAX);
}

static inline void put_STR(struct inlay_writer *w, const struct inlay_str *v)
{
	put_text(w, *v, INLAY_STR_MAX);
}

/* Readers. After a failure they may leave anything in *v, but never touch a byte outside of the body. */

static inline void get_U32(struct inlay_reader *r, uint32_t *v)
{
	*v = inlay_read32(r);
}

static inline void get_U64(struct inlay_reader *r, uint64_t *v)
{
	*v = inlay_read64(r);
}

static inline void get_NODE(struct inlay_reader *r, struct inlay_node_id *v)
{
	const uint8_t *p = inlay_read_bytes(r, sizeof(v->bytes));

	if (p)
		memcpy(v->bytes, p, sizeof(v->bytes));
}

static inline void get_UUID(struct inlay_reader *r, struct inlay_uuid *v)
{
	const uint8_t *p = inlay_read_bytes(r, sizeof(v->bytes));

	if (p)
		memcpy(v->bytes, p, sizeof(v->bytes));
}

/* False for nanoseconds out of range too: utimensat gives some of those a meaning of its own. */
static inline bool load_time(const uint8_t *p, struct inlay_time *v)
{
	v->sec = (int64_t)inlay_load64(p);
	v->nsec = inlay_load32(p + 8);
	v->pad = inlay_load32(p + 12);
	return v->nsec < NSEC_PER_SEC && v->pad == 0;
}

static inline void get_TIME(struct inlay_reader *r, struct inlay_time *v)
{
	const uint8_t *p = inlay_read_bytes(r, INLAY_WIRE_SIZE_TIME);

	if (p && !load_time(p, v))
		r->bad = true;
}

static inline void get_ATTR(struct inlay_reader *r, struct inlay_attr *v)
{
	const uint8_t *p = inlay_read_bytes(r, INLAY_WIRE_SIZE_ATTR);
	bool ok;

	if (!p)
		return;
	v->ino = inlay_load64(p);
	v->size = inlay_load64(p + 8);
	v->blocks = inlay_load64(p + 16);
	v->change = inlay_load64(p + 24);
	ok = load_time(p + 32, &v->atime) && load_time(p + 48, &v->mtime) && load_time(p + 64, &v->ctime) &&
		load_time(p + 80, &v->btime);
	v->mode = inlay_load32(p + 96);
	v->nlink = inlay_load32(p + 100);
	v->uid = inlay_load32(p + 104);
	v->gid = inlay_load32(p + 108);
	v->rdev_major = inlay_load32(p + 112);
	v->rdev_minor = inlay_load32(p + 116);
	v->blksize = inlay_load32(p + 120);
	v->pad = inlay_load32(p + 124);
	if (!ok || v->pad)
		r->bad = true;
}

static inline void get_LEASE(struct inlay_reader *r, struct inlay_lease *v)
{
	const uint8_t *p = inlay_read_bytes(r, INLAY_WIRE_SIZE_LEASE);

	if (!p)
		return;
	v->kind = inlay_load32(p);
	v->term_ms = inlay_load32(p + 4);
}

static inline void get_CRED(struct inlay_reader *r, struct inlay_cred *v)
{
	const uint8_t *p = inlay_read_bytes(r, 16);
	uint32_t count;

	if (!p)
		return;
	v->uid = inlay_load32(p);
	v->gid = inlay_load32(p + 4);
	count = inlay_load32(p + 8);
	if (count > INLAY_GROUPS_MAX || inlay_load32(p + 12)) {
		r->bad = true;
		return;
	}
	p = inlay_read_bytes(r, pad8(4 * (size_t)count));
	if (!p)
		return;
	v->ngroups = count;
	for (uint32_t i = 0; i < count; i++)
		v->groups[i] = inlay_load32(p + 4 * (size_t)i);
	if (count % 2 && inlay_load32(p + 4 * (size_t)count))
		r->bad = true;
}

static inline bool zeros(const uint8_t *p, const uint8_t *end)
{
	unsigned any = 0;

	while (p < end)
		any |= *p++;
	return !any;
}

/* `span` bytes that hold `len` of text and then zeros. */
static inline void get_padded(struct inlay_reader *r, uint32_t len, size_t span, struct inlay_str *v)
{
	const uint8_t *p = inlay_read_bytes(r, span);

	if (!p)
		return;
	if (!zeros(p + len, p + span))
		r->bad = true;
	*v = (struct inlay_str){(const char *)p, len};
}

static inline void get_text(struct inlay_reader *r, struct inlay_str *v, uint32_t max)
{
	uint32_t len = inlay_read32(r);

	if (len > max)
		r->bad = true;
	else
		get_padded(r, len, pad8(4 + (size_t)len) - 4, v);
}

static inline void get_NAME(struct inlay_reader *r, struct inlay_str *v)
{
	get_text(r, v, INLAY_NAME_MAX);
	if (!r->bad && !inlay_name_ok(*v))
		r->bad = true;
}

static inline void get_STR(struct inlay_reader *r, struct inlay_str *v)
{
	get_text(r, v, INLAY_STR_MAX);
	if (!r->bad && memchr(v->p, '\0', v->len))
		r->bad = true;
}

/*
 * The messages. Cursors are copied into locals, so that they live in registers between the fields; the test for a
 * field's name is a constant to the compiler. Every type but U32 takes a multiple of 8, and U32s stand in pairs: no
 * body needs padding at its end.
 */
#define IS_PAD(name) (__builtin_strcmp(#name, "pad") == 0)

#define SUM_SIZE(type, name, text) +INLAY_WIRE_SIZE_##type

#define PUT_FIELD(type, name, text) \
	put_##type(&c, &m->name); \
	if (IS_PAD(name) && !c.full) \
		inlay_store32(c.p - 4, 0);

#define GET_FIELD(type, name, text) \
	get_##type(&c, &ret->name); \
	if (IS_PAD(name) && !c.bad && inlay_load32(c.p - 4)) \
		c.bad = true;

#define HALF_CODEC(lower, FIELDS) \
	_Static_assert((0u FIELDS(SUM_SIZE)) % 8 == 0, "U32s of " #lower " stand in pairs"); \
	void inlay_put_##lower(struct inlay_writer *w, const struct inlay_##lower *m) \
	{ \
		struct inlay_writer c = *w; \
\
		(void)m; \
		FIELDS(PUT_FIELD) \
		*w = c; \
	} \
	int inlay_get_##lower(struct inlay_reader *r, struct inlay_##lower *ret) \
	{ \
		struct inlay_reader c = *r; \
\
		(void)ret; \
		FIELDS(GET_FIELD) \
		c.bad |= c.p != c.end; \
		*r = c; \
		return c.bad ? -INLAY_EPROTO : 0; \
	}

#define MESSAGE_CODEC(NAME, lower, number, flags) \
	HALF_CODEC(lower##_req, INLAY_##NAME##_REQ) \
	HALF_CODEC(lower##_rep, INLAY_##NAME##_REP)

INLAY_MESSAGES(MESSAGE_CODEC)

/* Entries of a listing. */

enum { DIRENT_HEAD = 24, DIRENT_ATTRS = INLAY_WIRE_SIZE_NODE + INLAY_WIRE_SIZE_ATTR };

size_t inlay_dirent_size(uint32_t name_len, unsigned flags)
{
	return DIRENT_HEAD + pad8(name_len) + (flags & INLAY_READDIR_ATTRS ? DIRENT_ATTRS : 0);
}

void inlay_put_dirent(struct inlay_writer *w, const struct inlay_dirent *d, unsigned flags)
{
	struct inlay_writer c = *w;
	size_t span = pad8(d->name.len);
	uint8_t *p = NULL;

	if (d->name.len >= 1 && d->name.len <= INLAY_NAME_MAX &&
		(size_t)(w->end - w->p) >= inlay_dirent_size(d->name.len, flags))
		p = inlay_write_bytes(&c, DIRENT_HEAD + span);
	if (!p) {
		w->full = true;
		return;
	}
	inlay_store64(p, d->ino);
	inlay_store64(p + 8, d->cookie);
	inlay_store32(p + 16, d->type);
	inlay_store32(p + 20, d->name.len);
	inlay_store64(p + DIRENT_HEAD + span - 8, 0);
	memcpy(p + DIRENT_HEAD, d->name.p, d->name.len);
	if (flags & INLAY_READDIR_ATTRS) {
		put_NODE(&c, &d->node);
		put_ATTR(&c, &d->attr);
	}
	*w = c;
}

int inlay_get_dirent(struct inlay_reader *r, struct inlay_dirent *ret, unsigned flags)
{
	struct inlay_reader c = *r;
	uint32_t len;

	ret->ino = inlay_read64(&c);
	ret->cookie = inlay_read64(&c);
	ret->type = inlay_read32(&c);
	len = inlay_read32(&c);
	if (len > INLAY_NAME_MAX)
		c.bad = true;
	get_padded(&c, len, pad8(len), &ret->name);
	if (!c.bad && !name_bytes_ok(ret->name.p, len))
		c.bad = true;
	if (flags & INLAY_READDIR_ATTRS) {
		get_NODE(&c, &ret->node);
		get_ATTR(&c, &ret->attr);
	}
	*r = c;
	return c.bad ? -INLAY_EPROTO : 0;
}

/*
 * The codec and the frame header: every message there and back, and everything that must be refused.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../wire_table.h"

#include "base/status.h"
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BUF = INLAY_BODY_MAX + 4096 };

static uint8_t buf[BUF];
static union wire_any in, out;
static struct wire_fill fill;

static void fill_start(uint64_t seed, uint32_t text_max, uint32_t groups_max)
{
	fill.state = seed;
	fill.text_max = text_max;
	fill.groups_max = groups_max;
	fill.used = 0;
}

static size_t encode(const struct wire_half *h)
{
	struct inlay_writer w = inlay_writer(buf, sizeof(buf));

	memset(buf, 0xee, sizeof(buf));
	h->fill(&fill, &in);
	h->put(&w, &in);
	assert_false(w.full);
	return inlay_writer_len(&w);
}

/* Reads from a heap block of just that size, so that a sanitizer sees a step past its end. */
static int decode(const struct wire_half *h, const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct inlay_reader r;
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, len);
	r = inlay_reader(copy, len);
	rc = h->get(&r, &out);
	free(copy);
	return rc;
}

static void test_round_trip(void **state)
{
	static const uint32_t text_max[] = {1, 12, 300, INLAY_RULES_MAX};

	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++)
		for (unsigned round = 0; round < 16; round++) {
			const struct wire_half *h = &wire_halves[i];
			struct inlay_reader r;
			size_t len;

			fill_start(1000 * i + round, text_max[round % 4], round % 2 ? 5 : INLAY_GROUPS_MAX);
			len = encode(h);
			assert_int_equal(len % 8, 0);
			memset(&out, 0x55, sizeof(out));
			r = inlay_reader(buf, len);
			assert_int_equal(h->get(&r, &out), 0);
			assert_true(h->same(&in, &out));
			assert_int_equal(buf[len], 0xee);
		}
}

static void test_groups_beyond_count_are_left_alone(void **state)
{
	struct inlay_lookup_req m = {.cred = {.ngroups = 3}, .name = INLAY_STR("a")}, got;
	struct inlay_writer w = inlay_writer(buf, sizeof(buf));
	struct inlay_reader r;

	(void)state;
	inlay_put_lookup_req(&w, &m);
	memset(&got, 0x55, sizeof(got));
	r = inlay_reader(buf, inlay_writer_len(&w));
	assert_int_equal(inlay_get_lookup_req(&r, &got), 0);
	assert_int_equal(got.cred.groups[2], 0);
	for (unsigned i = 3; i < INLAY_GROUPS_MAX; i++)
		assert_int_equal(got.cred.groups[i], 0x55555555);
}

static void test_every_prefix_is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++) {
		const struct wire_half *h = &wire_halves[i];
		size_t len;

		fill_start(i, 40, 5);
		len = encode(h);
		assert_int_equal(decode(h, buf, len), 0);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(decode(h, buf, cut), -INLAY_EPROTO);
		memset(buf + len, 0, 8);
		assert_int_equal(decode(h, buf, len + 8), -INLAY_EPROTO);
	}
}

/* Nothing has two encodings: a changed bit is refused, or comes out as another value that has these very bytes. */
static void test_encodings_are_canonical(void **state)
{
	static uint8_t again[BUF];

	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++) {
		const struct wire_half *h = &wire_halves[i];
		size_t len;

		fill_start(i, 20, 3);
		len = encode(h);
		for (size_t bit = 0; bit < 8 * len; bit++) {
			struct inlay_writer w = inlay_writer(again, sizeof(again));
			struct inlay_reader r;

			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
			r = inlay_reader(buf, len);
			if (h->get(&r, &out) == 0) {
				h->put(&w, &out);
				assert_int_equal(inlay_writer_len(&w), len);
				assert_memory_equal(buf, again, len);
				assert_false(h->same(&in, &out));
			}
			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void refused_with(const struct wire_half *h, size_t len, size_t at, uint32_t value)
{
	uint32_t was = inlay_load32(buf + at);

	assert_true(at + 4 <= len);
	assert_int_not_equal(was, value);
	inlay_store32(buf + at, value);
	assert_int_equal(decode(h, buf, len), -INLAY_EPROTO);
	inlay_store32(buf + at, was);
	assert_int_equal(decode(h, buf, len), 0);
}

static void refuse_bad_text(const struct wire_half *h, size_t len, size_t at, bool is_name)
{
	uint32_t count = inlay_load32(buf + at), max = is_name ? INLAY_NAME_MAX : INLAY_STR_MAX;

	refused_with(h, len, at, max + 1);
	refused_with(h, len, at, 0xffffffff);
	refused_with(h, len, at, count + 8);
	if (count % 8 != 4)
		for (size_t pad = at + 4 + count; pad % 8; pad++) {
			buf[pad] = 1;
			assert_int_equal(decode(h, buf, len), -INLAY_EPROTO);
			buf[pad] = 0;
		}
	if (count >= 4)
		refused_with(h, len, at + 4, 0x00636261);
	if (is_name && count >= 4)
		refused_with(h, len, at + 4, 0x2f636261);
}

/* Goes over the fields of what buf holds and damages what each type may not be. Returns how many were damaged. */
static unsigned refuse_bad_fields(const struct wire_half *h, size_t len)
{
	unsigned tried = 0;
	size_t at = 0;

	for (unsigned i = 0; i < h->count; i++) {
		const struct wire_field *f = &h->fields[i];
		size_t span = wire_span(f, buf + at);

		tried += f->varies || strcmp(f->name, "pad") == 0 || f->size == 128 || strcmp(f->type, "TIME") == 0;
		if (strcmp(f->name, "pad") == 0) {
			refused_with(h, len, at, 1);
			refused_with(h, len, at, 0x80000000);
		} else if (strcmp(f->type, "NAME") == 0 || strcmp(f->type, "STR") == 0) {
			refuse_bad_text(h, len, at, f->type[0] == 'N');
		} else if (strcmp(f->type, "CRED") == 0) {
			refused_with(h, len, at + 8, INLAY_GROUPS_MAX + 1);
			refused_with(h, len, at + 8, 0xffffffff);
			refused_with(h, len, at + 8, 0x80000000u + inlay_load32(buf + at + 8));
			refused_with(h, len, at + 12, 1);
			if (inlay_load32(buf + at + 8) % 2)
				refused_with(h, len, at + span - 4, 7);
		} else if (strcmp(f->type, "TIME") == 0) {
			refused_with(h, len, at + 8, 1000000000);
			refused_with(h, len, at + 12, 1);
		} else if (strcmp(f->type, "ATTR") == 0) {
			for (size_t time = 32; time < 96; time += 16) {
				refused_with(h, len, at + time + 8, 0x3fffffff);
				refused_with(h, len, at + time + 12, 1);
			}
			refused_with(h, len, at + 124, 1);
		}
		at += span;
	}
	assert_int_equal(at, len);
	return tried;
}

static void test_bad_fields_are_refused(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++)
		for (unsigned round = 0; round < 16; round++) {
			fill_start(7777 * i + round, 4 + round, 4);
			tried += refuse_bad_fields(&wire_halves[i], encode(&wire_halves[i]));
		}
	assert_true(tried > 500);
}

static void test_writers_respect_the_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++) {
		const struct wire_half *h = &wire_halves[i];
		size_t len;

		fill_start(i, 20, 3);
		len = encode(h);
		for (size_t room = 0; room <= len; room++) {
			uint8_t *p = malloc(room ? room : 1);
			struct inlay_writer w = inlay_writer(p, room);

			assert_non_null(p);
			h->put(&w, &in);
			assert_int_equal(w.full, room < len);
			free(p);
		}
	}
}

static void test_writers_refuse_over_limits(void **state)
{
	struct inlay_lookup_req lookup = {.cred = {.ngroups = INLAY_GROUPS_MAX}, .name = {fill.text[0], INLAY_NAME_MAX}};
	struct inlay_readlink_rep link = {{fill.text[0], INLAY_STR_MAX}};
	struct inlay_writer w;

	(void)state;
	w = inlay_writer(buf, sizeof(buf));
	inlay_put_lookup_req(&w, &lookup);
	inlay_put_readlink_rep(&w, &link);
	assert_false(w.full);

	lookup.cred.ngroups++;
	w = inlay_writer(buf, sizeof(buf));
	inlay_put_lookup_req(&w, &lookup);
	assert_true(w.full);
	lookup.cred.ngroups = 0;
	lookup.name.len++;
	w = inlay_writer(buf, sizeof(buf));
	inlay_put_lookup_req(&w, &lookup);
	assert_true(w.full);
	link.target.len++;
	w = inlay_writer(buf, sizeof(buf));
	inlay_put_readlink_rep(&w, &link);
	assert_true(w.full);
}

/* All the bytes are there, so nothing but the limit itself can refuse them. */
static void test_readers_refuse_over_limits(void **state)
{
	struct inlay_readlink_rep link;
	struct inlay_opendir_req dir;
	struct inlay_reader r;

	(void)state;
	for (uint32_t over = 0; over < 4; over++) {
		memset(buf, 0, sizeof(buf));
		memset(buf + 4, 'a', INLAY_STR_MAX + over);
		inlay_store32(buf, INLAY_STR_MAX + over);
		r = inlay_reader(buf, 4 + INLAY_STR_MAX + 4);
		assert_int_equal(inlay_get_readlink_rep(&r, &link), over ? -INLAY_EPROTO : 0);
	}
	for (uint32_t over = 0; over <= 8; over += 2) {
		memset(buf, 0, sizeof(buf));
		inlay_store32(buf + INLAY_WIRE_SIZE_NODE + 8, INLAY_GROUPS_MAX + over);
		r = inlay_reader(buf, INLAY_WIRE_SIZE_NODE + 16 + 4 * (INLAY_GROUPS_MAX + over));
		assert_int_equal(inlay_get_opendir_req(&r, &dir), over ? -INLAY_EPROTO : 0);
	}
}

static void test_pad_is_written_as_zero(void **state)
{
	struct inlay_read_rep m = {.zeros = 1, .pad = 0xdeadbeef};
	struct inlay_writer w = inlay_writer(buf, sizeof(buf));

	(void)state;
	inlay_put_read_rep(&w, &m);
	assert_int_equal(inlay_load64(buf), 1);
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "...", ".a", "..a", "a.", "\xff\n\x01", "a\\b"};
	static const char *const bad[] = {"", ".", "..", "/", "a/b", "/a", "a/"};
	char name[INLAY_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(inlay_name_ok(inlay_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(inlay_name_ok(inlay_str(bad[i])));
	memset(name, 'n', sizeof(name));
	assert_true(inlay_name_ok((struct inlay_str){name, INLAY_NAME_MAX}));
	assert_false(inlay_name_ok((struct inlay_str){name, INLAY_NAME_MAX + 1}));
	name[100] = '\0';
	assert_false(inlay_name_ok((struct inlay_str){name, INLAY_NAME_MAX}));
}

static void test_dirent(void **state)
{
	struct inlay_dirent d = {.ino = 5, .cookie = 1ull << 60, .type = 0100000}, got;

	(void)state;
	fill_start(3, 20, 0);
	wire_fill_NODE(&fill, &d.node);
	wire_fill_ATTR(&fill, &d.attr);
	for (unsigned flags = 0; flags <= INLAY_READDIR_ATTRS; flags++)
		for (uint32_t len = 1; len <= INLAY_NAME_MAX; len++) {
			struct inlay_writer w = inlay_writer(buf, inlay_dirent_size(len, flags));
			struct inlay_reader r = inlay_reader(buf, inlay_dirent_size(len, flags));

			memset(fill.text[0], 'x', len);
			d.name = (struct inlay_str){fill.text[0], len};
			inlay_put_dirent(&w, &d, flags);
			assert_false(w.full);
			assert_ptr_equal(w.p, w.end);
			assert_int_equal(inlay_get_dirent(&r, &got, flags), 0);
			assert_ptr_equal(r.p, r.end);
			assert_true(got.ino == d.ino && got.cookie == d.cookie && got.type == d.type);
			assert_true(wire_same_NAME(&got.name, &d.name));
			assert_true(!flags || (wire_same_NODE(&got.node, &d.node) && wire_same_ATTR(&got.attr, &d.attr)));
		}
}

static int dirent_rc(size_t len, unsigned flags)
{
	struct inlay_reader r = inlay_reader(buf, len);
	struct inlay_dirent d;

	return inlay_get_dirent(&r, &d, flags);
}

static void test_dirent_refusals(void **state)
{
	struct inlay_dirent d = {.ino = 5, .name = INLAY_STR("..")};
	size_t len = inlay_dirent_size(2, 1);
	struct inlay_writer w = inlay_writer(buf, len - 1);

	(void)state;
	memset(buf, 0xee, sizeof(buf));
	inlay_put_dirent(&w, &d, 1);
	assert_true(w.full);
	assert_ptr_equal(w.p, buf);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], 0xee);

	w = inlay_writer(buf, len);
	inlay_put_dirent(&w, &d, 1);
	assert_int_equal(dirent_rc(len, 1), 0);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(dirent_rc(cut, 1), -INLAY_EPROTO);
	buf[24 + 2] = 1;
	assert_int_equal(dirent_rc(len, 1), -INLAY_EPROTO);
	buf[24 + 2] = 0;
	buf[24] = '/';
	assert_int_equal(dirent_rc(len, 1), -INLAY_EPROTO);
	buf[24] = '.';
	inlay_store32(buf + 20, 0);
	assert_int_equal(dirent_rc(len, 1), -INLAY_EPROTO);
	inlay_store32(buf + 20, INLAY_NAME_MAX + 1);
	assert_int_equal(dirent_rc(sizeof(buf), 1), -INLAY_EPROTO);

	d.name.len = 0;
	w = inlay_writer(buf, sizeof(buf));
	inlay_put_dirent(&w, &d, 0);
	assert_true(w.full);
}

static void test_layout(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++) {
		const struct wire_half *h = &wire_halves[i];
		bool varies = false;
		size_t at = 0, most = 0;

		for (unsigned k = 0; k < h->count; k++) {
			const struct wire_field *f = &h->fields[k];

			/* What varies takes a multiple of 8, so this holds behind it as well. */
			assert_true(f->size == 4 || at % 8 == 0);
			varies |= f->varies;
			at += f->size;
			if (f->varies)
				most += f->type[0] == 'C' ? 4 * INLAY_GROUPS_MAX : INLAY_TARGET_MAX;
		}
		assert_int_equal(at % 8, 0);
		assert_true(at + most <= INLAY_BODY_MAX);
		if (h->reply && h->flags & INLAY_MSG_MUTATES) {
			assert_false(varies);
			assert_true(INLAY_FRAME_HEADER + at <= INLAY_REPLY_CACHE_MAX);
		}
		if (h->number == INLAY_WRITE && !h->reply)
			assert_true(INLAY_FRAME_HEADER + at <= INLAY_WRITE_HEAD_MAX);
		if (h->reply && h->flags & INLAY_MSG_EVENT)
			assert_int_equal(h->count, 0);
	}
}

static void test_tables(void **state)
{
	unsigned known = 0, top = 0;

	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i += 2) {
		const struct wire_half *h = &wire_halves[i];

		for (unsigned k = 0; k < i; k += 2)
			assert_int_not_equal(h->number, wire_halves[k].number);
		assert_int_equal(inlay_message_flags(h->number), h->flags);
		assert_int_equal(strcasecmp(inlay_message_name(h->number), h->message), 0);
		top = h->number >= top ? h->number + 1 : top;
	}
	assert_int_equal(top, INLAY_MESSAGE_TOP);
	for (unsigned type = 0; type < 70000; type++) {
		assert_int_equal(inlay_message_flags(type) < 0, inlay_message_name(type) == NULL);
		known += inlay_message_name(type) != NULL;
	}
	assert_int_equal(known, WIRE_HALVES / 2);
	assert_int_equal(inlay_message_flags(UINT32_MAX), -1);
	assert_null(inlay_message_name(0));
}

static const uint8_t read_frame[] = {
	56, 0, 0, 0, 31, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0,                      /* size, type, kind, flags, slot, status */
	0x15, 0xcd, 0x5b, 0x07, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0,           /* sequence, body, lane */
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0x10, 0, 0, 1, 0, 0, 0, /* handle, off */
	0, 0, 2, 0, 0, 0, 0, 0,                                                /* len, flags */
};

static const uint8_t write_frame[] = {
	60, 0, 0, 0, 32, 0, 1, 1, 0xff, 0, 0, 0, 0, 0, 0, 0,                   /* size, type, kind, replay, slot, status */
	1, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0,                       /* sequence, body, lane */
	9, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, /* handle, off */
	5, 0, 0, 0, 0, 0, 0, 0,                                                /* flags, zeros */
	'd', 'a', 't', 'a',                                                    /* payload */
};

static void test_golden_read(void **state)
{
	struct inlay_frame f = {.size = 56, .type = INLAY_READ, .kind = INLAY_FRAME_REQUEST, .slot = 7, .seq = 123456789};
	struct inlay_read_req m = {.handle = 0x1122334455667788, .off = 0x100001000, .len = 0x20000}, got;
	struct inlay_writer w = inlay_writer(buf + INLAY_FRAME_HEADER, 24);
	struct inlay_reader r = inlay_reader(read_frame + INLAY_FRAME_HEADER, 24);

	(void)state;
	f.body = 24;
	inlay_frame_put(buf, &f);
	inlay_put_read_req(&w, &m);
	assert_false(w.full);
	assert_memory_equal(buf, read_frame, sizeof(read_frame));
	assert_int_equal(inlay_get_read_req(&r, &got), 0);
	assert_int_equal(got.handle, m.handle);
	assert_int_equal(got.off, m.off);
	assert_int_equal(got.len, m.len);
}

static void test_golden_write(void **state)
{
	struct inlay_write_req m = {.handle = 9, .off = INT64_MAX, .flags = INLAY_WRITE_DATA_SYNC | INLAY_WRITE_KILL_PRIV};
	struct inlay_writer w = inlay_writer(buf + INLAY_FRAME_HEADER, 24);
	struct inlay_frame f;

	(void)state;
	assert_int_equal(inlay_frame_parse(write_frame, sizeof(write_frame), 1 << INLAY_FRAME_REQUEST, &f), 1);
	assert_int_equal(f.type, INLAY_WRITE);
	assert_int_equal(f.flags, INLAY_FRAME_REPLAY);
	assert_int_equal(f.slot, 255);
	assert_int_equal(f.seq, 1);
	assert_int_equal(inlay_frame_data_len(&f), 4);
	inlay_frame_put(buf, &f);
	inlay_put_write_req(&w, &m);
	memcpy(buf + 56, "data", 4);
	assert_memory_equal(buf, write_frame, sizeof(write_frame));
}

enum { ANY_KIND = 1 << INLAY_FRAME_REQUEST | 1 << INLAY_FRAME_REPLY | 1 << INLAY_FRAME_EVENT };

static int parse(struct inlay_frame f, unsigned want_kinds)
{
	uint8_t head[INLAY_FRAME_HEADER];
	struct inlay_frame got;
	int rc;

	inlay_frame_put(head, &f);
	rc = inlay_frame_parse(head, sizeof(head), want_kinds, &got);
	if (rc == 1) {
		assert_true(got.size == f.size && got.type == f.type && got.kind == f.kind && got.flags == f.flags);
		assert_true(got.slot == f.slot && got.status == f.status && got.seq == f.seq && got.body == f.body);
	}
	return rc;
}

static struct inlay_frame frame(uint16_t type, uint8_t kind, uint32_t body, uint32_t data)
{
	return (struct inlay_frame){.size = INLAY_FRAME_HEADER + body + data, .type = type, .kind = kind, .slot = 3,
		.seq = 1ull << 40, .body = body};
}

static void test_frame_kinds(void **state)
{
	static const uint16_t types[] = {INLAY_LOOKUP, INLAY_EVENT_LOCK};

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		for (uint8_t kind = 0; kind < 8; kind++)
			for (unsigned want = 0; want < 256; want++) {
				bool fits = i == 0 ? kind == INLAY_FRAME_REQUEST || kind == INLAY_FRAME_REPLY : kind == INLAY_FRAME_EVENT;
				bool ok = fits && want & 1u << kind;

				assert_int_equal(parse(frame(types[i], kind, 8, 0), want), ok ? 1 : -INLAY_EPROTO);
			}
	assert_int_equal(parse(frame(INLAY_LOOKUP, 255, 8, 0), ANY_KIND), -INLAY_EPROTO);
	assert_int_equal(parse(frame(0, INLAY_FRAME_REQUEST, 8, 0), ANY_KIND), -INLAY_EPROTO);
	assert_int_equal(parse(frame(INLAY_MESSAGE_TOP, INLAY_FRAME_REQUEST, 8, 0), ANY_KIND), -INLAY_EPROTO);
	assert_int_equal(parse(frame(65535, INLAY_FRAME_REQUEST, 8, 0), ANY_KIND), -INLAY_EPROTO);
}

static void test_frame_sizes(void **state)
{
	struct inlay_frame f = frame(INLAY_WRITE, INLAY_FRAME_REQUEST, INLAY_BODY_MAX, INLAY_DATA_MAX);
	uint8_t head[INLAY_FRAME_HEADER];

	(void)state;
	assert_int_equal(parse(f, ANY_KIND), 1);
	f.size++;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	assert_int_equal(parse(frame(INLAY_WRITE, INLAY_FRAME_REQUEST, INLAY_BODY_MAX + 8, 0), ANY_KIND), -INLAY_EPROTO);
	assert_int_equal(parse(frame(INLAY_WRITE, INLAY_FRAME_REQUEST, 0, 0), ANY_KIND), 1);
	for (uint32_t off = 1; off < 8; off++)
		assert_int_equal(parse(frame(INLAY_WRITE, INLAY_FRAME_REQUEST, 24 + off, 16), ANY_KIND), -INLAY_EPROTO);
	f = frame(INLAY_WRITE, INLAY_FRAME_REQUEST, 24, 0);
	for (f.size = 0; f.size < INLAY_FRAME_HEADER + 24; f.size++)
		assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	assert_int_equal(parse(f, ANY_KIND), 1);
	f.size = UINT32_MAX;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	f = frame(INLAY_WRITE, INLAY_FRAME_REQUEST, 24, 0);
	f.body = 0xfffffff8;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);

	inlay_frame_put(head, &(struct inlay_frame){.size = 1});
	for (size_t len = 0; len < INLAY_FRAME_HEADER; len++)
		assert_int_equal(inlay_frame_parse(head, len, ANY_KIND, &f), 0);
}

static void test_frame_payload_only_where_allowed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WIRE_HALVES; i++) {
		const struct wire_half *h = &wire_halves[i];
		bool event = h->flags & INLAY_MSG_EVENT;
		uint8_t kind = event ? INLAY_FRAME_EVENT : h->reply ? INLAY_FRAME_REPLY : INLAY_FRAME_REQUEST;
		bool may = !event && h->flags & (h->reply ? INLAY_MSG_REPLY_DATA : INLAY_MSG_REQUEST_DATA);

		assert_int_equal(parse(frame((uint16_t)h->number, kind, 8, 0), ANY_KIND), 1);
		assert_int_equal(parse(frame((uint16_t)h->number, kind, 8, 1), ANY_KIND), may ? 1 : -INLAY_EPROTO);
	}
}

static void test_frame_reserved(void **state)
{
	struct inlay_frame f = frame(INLAY_READ, INLAY_FRAME_REQUEST, 24, 0);

	(void)state;
	f.flags = INLAY_FRAME_REPLAY;
	assert_int_equal(parse(f, ANY_KIND), 1);
	for (unsigned bit = 2; bit < 8; bit++) {
		f.flags = (uint8_t)(1u << bit);
		assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	}
	f.flags = INLAY_FRAME_REDO;
	f.lane = UINT32_MAX;
	f.status = UINT32_MAX;
	assert_int_equal(parse(f, ANY_KIND), 1);
	f.flags = INLAY_FRAME_REPLAY;
	f.lane = 0;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	f.flags = 0;
	f.status = 0;
	f.lane = 1;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	f.lane = 0;
	f.status = INLAY_EIO;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);

	f = frame(INLAY_READ, INLAY_FRAME_REPLY, 0, 0);
	f.status = INLAY_EIO;
	assert_int_equal(parse(f, ANY_KIND), 1);
	f.size++;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	f = frame(INLAY_READ, INLAY_FRAME_REPLY, 8, 0);
	assert_int_equal(parse(f, ANY_KIND), 1);
	f.status = INLAY_EIO;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	f = frame(INLAY_READ, INLAY_FRAME_REPLY, 8, 0);
	f.flags = INLAY_FRAME_REPLAY;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
	f.flags = INLAY_FRAME_REDO;
	assert_int_equal(parse(f, ANY_KIND), -INLAY_EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_groups_beyond_count_are_left_alone),
		cmocka_unit_test(test_every_prefix_is_refused),
		cmocka_unit_test(test_encodings_are_canonical),
		cmocka_unit_test(test_bad_fields_are_refused),
		cmocka_unit_test(test_writers_respect_the_end),
		cmocka_unit_test(test_writers_refuse_over_limits),
		cmocka_unit_test(test_readers_refuse_over_limits),
		cmocka_unit_test(test_pad_is_written_as_zero),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_dirent),
		cmocka_unit_test(test_dirent_refusals),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_golden_read),
		cmocka_unit_test(test_golden_write),
		cmocka_unit_test(test_frame_kinds),
		cmocka_unit_test(test_frame_sizes),
		cmocka_unit_test(test_frame_payload_only_where_allowed),
		cmocka_unit_test(test_frame_reserved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

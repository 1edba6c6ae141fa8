/*
 * What a section's head, a request and a completion may say, and each thing that they may not.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/check.h"

#include "support.h"

#include <stdbool.h>
#include <string.h>

#define IO_ERROR 0xc0000185u

static struct inlay_ring_geometry good(void)
{
	struct inlay_ring_geometry g;

	assert_int_equal(inlay_ring_layout(&g, 64, 8, INLAY_RING_SLOT_MIN), 0);
	return g;
}

static void a_layout_is_legal_and_tight(void **state)
{
	struct inlay_ring_geometry g = good();

	(void)state;
	assert_int_equal(g.sq_off, sizeof(struct inlay_ring_head));
	assert_int_equal(g.cq_off, g.sq_off + 64 * 128);
	assert_int_equal(g.slots_off % 4096, 0);
	assert_int_equal(g.size, g.slots_off + 8 * INLAY_RING_SLOT_MIN);
	for (uint32_t entries = 1; entries <= INLAY_RING_ENTRIES_MAX; entries *= 2) {
		assert_int_equal(inlay_ring_layout(&g, entries, 100, INLAY_RING_SLOT_MIN), 0);
		assert_int_equal(inlay_ring_geometry_check(&g, g.size), 0);
		assert_int_equal(inlay_ring_geometry_check(&g, g.size - 1), -INLAY_EPROTO);
	}
}

static void layouts_beyond_the_limits_are_refused(void **state)
{
	static const uint32_t bad[][3] = {
		{0, 8, INLAY_RING_SLOT_MIN}, {63, 8, INLAY_RING_SLOT_MIN}, {8192, 8, INLAY_RING_SLOT_MIN},
		{64, 0, INLAY_RING_SLOT_MIN}, {64, 4097, INLAY_RING_SLOT_MIN}, {64, 8, INLAY_RING_SLOT_MIN - 4096},
		{64, 8, INLAY_RING_SLOT_MIN + 1}, {64, 8, INLAY_RING_SLOT_MAX + 4096}, {64, 256, INLAY_RING_SLOT_MAX},
		{0x80000000u, 8, INLAY_RING_SLOT_MIN}, {64, 8, 0xfffff000u}, {64, 0xffffffffu, INLAY_RING_SLOT_MIN},
	};
	struct inlay_ring_geometry g = {.entries = 7};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(inlay_ring_layout(&g, bad[i][0], bad[i][1], bad[i][2]), -INLAY_EINVAL);
	assert_int_equal(g.entries, 7); /* untouched */
}

static void geometry_without_order_is_refused(void **state)
{
	struct inlay_ring_geometry g;
	uint64_t size = good().size;

	(void)state;
#define REFUSED(change) \
	do { \
		g = good(); \
		assert_int_equal(inlay_ring_geometry_check(&g, size), 0); \
		change; \
		assert_int_equal(inlay_ring_geometry_check(&g, size), -INLAY_EPROTO); \
	} while (0)
	REFUSED(g.entries = 0);
	REFUSED(g.entries = 48);
	REFUSED(g.entries = 128); /* over the next area */
	REFUSED(g.entries = 0x80000000u);
	REFUSED(g.slots = 0);
	REFUSED(g.slots++);
	REFUSED(g.slots = 0xffffffffu);
	REFUSED(g.slot_size += 4096);
	REFUSED(g.slot_size = 4096);
	REFUSED(g.slot_size += 64);
	REFUSED(g.slot_size = 0xfffff000u);
	REFUSED(g.sq_off = 0);
	REFUSED(g.sq_off -= 64);
	REFUSED(g.sq_off += 64);
	REFUSED(g.sq_off += 8);
	REFUSED(g.sq_off = 0xffffffc0u);
	REFUSED(g.cq_off = g.sq_off);
	REFUSED(g.cq_off -= 64);
	REFUSED(g.cq_off = 0xffffffc0u);
	REFUSED(g.slots_off = 0);
	REFUSED(g.slots_off -= 4096);
	REFUSED(g.slots_off += 4096);
	REFUSED(g.slots_off += 64);
	REFUSED(g.slots_off = 0xfffff000u);
	REFUSED(g.size--);
	REFUSED(g.size++);
	REFUSED(g.size = 0);
	REFUSED(g.size = UINT64_MAX);
#undef REFUSED
	/* A section may be longer than what is used of it, up to the limit. */
	g = good();
	assert_int_equal(inlay_ring_geometry_check(&g, UINT64_MAX), 0);
	g.size = INLAY_RING_SECTION_MAX;
	assert_int_equal(inlay_ring_geometry_check(&g, UINT64_MAX), 0);
	g.size++;
	assert_int_equal(inlay_ring_geometry_check(&g, UINT64_MAX), -INLAY_EPROTO);
}

static void a_head_is_read_once_and_checked(void **state)
{
	struct inlay_ring_geometry g = good(), out = {.entries = 7};
	struct inlay_ring_head head = {
		.magic = INLAY_RING_MAGIC, .version = INLAY_RING_VERSION, .entries = g.entries, .slots = g.slots,
		.slot_size = g.slot_size, .sq_off = g.sq_off, .cq_off = g.cq_off, .slots_off = g.slots_off, .size = g.size};

	(void)state;
	assert_int_equal(inlay_ring_geometry_read(&out, &head, sizeof(head) - 1), -INLAY_EPROTO);
	assert_int_equal(inlay_ring_geometry_read(&out, &head, 0), -INLAY_EPROTO);
	assert_int_equal(inlay_ring_geometry_read(&out, &head, g.size - 1), -INLAY_EPROTO);
	head.magic++;
	assert_int_equal(inlay_ring_geometry_read(&out, &head, g.size), -INLAY_EPROTO);
	head.magic--;
	head.version++;
	assert_int_equal(inlay_ring_geometry_read(&out, &head, g.size), -INLAY_EVERSION);
	head.version--;
	assert_int_equal(out.entries, 7); /* untouched by all these */
	assert_int_equal(inlay_ring_geometry_read(&out, &head, g.size), 0);
	assert_memory_equal(&out, &g, sizeof(g));
}

static struct inlay_ring_request request(uint32_t kind)
{
	return (struct inlay_ring_request){.tag = 77, .kind = kind, .file = 5, .slot = INLAY_RING_NO_SLOT};
}

static void every_kind_is_accepted_and_no_other(void **state)
{
	struct inlay_ring_geometry g = good();
	struct inlay_ring_request q;

	(void)state;
	for (uint32_t kind = INLAY_RING_OPEN; kind < INLAY_RING_KIND_TOP; kind++) {
		q = request(kind);
		assert_int_equal(inlay_ring_request_check(&g, &q), 0);
		q.flags = INLAY_RING_FLAGS_KNOWN;
		assert_int_equal(inlay_ring_request_check(&g, &q), 0);
		q.flags++;
		assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
		q = request(kind);
		q.slot = g.slots - 1;
		assert_int_equal(inlay_ring_request_check(&g, &q), 0);
		q.slot = g.slots;
		assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
		q = request(kind);
		q.file = 0;
		assert_int_equal(inlay_ring_request_check(&g, &q),
		                 kind == INLAY_RING_OPEN || kind == INLAY_RING_CANCEL || kind == INLAY_RING_RENAME_BEGIN ? 0 : -INLAY_EPROTO);
	}
	q = request(0);
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q = request(INLAY_RING_KIND_TOP);
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q = request(0xffffffffu);
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
}

static void lengths_need_a_slot_that_holds_them(void **state)
{
	struct inlay_ring_geometry g = good();

	(void)state;
	for (uint32_t kind = INLAY_RING_OPEN; kind < INLAY_RING_KIND_TOP; kind++) {
		bool data = kind == INLAY_RING_READ || kind == INLAY_RING_WRITE;
		bool name = kind == INLAY_RING_OPEN || kind == INLAY_RING_RENAME_BEGIN;
		struct inlay_ring_request q = request(kind);

		q.length = 2;
		assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO); /* no slot */
		q.slot = 0;
		assert_int_equal(inlay_ring_request_check(&g, &q), data || name ? 0 : -INLAY_EPROTO);
		q.length = 3;
		assert_int_equal(inlay_ring_request_check(&g, &q), data ? 0 : -INLAY_EPROTO);
		q.length = g.slot_size;
		assert_int_equal(inlay_ring_request_check(&g, &q), data ? 0 : -INLAY_EPROTO);
		q.length = 65534;
		assert_int_equal(inlay_ring_request_check(&g, &q), data || name ? 0 : -INLAY_EPROTO);
		q.length = g.slot_size + 1;
		assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
		q.length = 0xffffffffu;
		assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	}
}

static void fields_of_a_kind_are_in_their_range(void **state)
{
	struct inlay_ring_geometry g = good();
	struct inlay_ring_request q = request(INLAY_RING_OPEN);

	(void)state;
	q.in.open.disposition = 5;
	assert_int_equal(inlay_ring_request_check(&g, &q), 0);
	q.in.open.disposition = 6;
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q = request(INLAY_RING_SETATTR);
	q.in.set.mask = 7;
	assert_int_equal(inlay_ring_request_check(&g, &q), 0);
	q.in.set.mask = 8;
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q = request(INLAY_RING_RENAME_BEGIN);
	q.in.rename.replace = 1;
	assert_int_equal(inlay_ring_request_check(&g, &q), 0);
	q.in.rename.replace = 2;
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q = request(INLAY_RING_READ);
	q.slot = 0;
	q.length = 10;
	q.offset = (uint64_t)INT64_MAX - 10;
	assert_int_equal(inlay_ring_request_check(&g, &q), 0);
	q.offset++;
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q.offset = UINT64_MAX;
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q.kind = INLAY_RING_WRITE;
	assert_int_equal(inlay_ring_request_check(&g, &q), -INLAY_EPROTO);
	q.flags = INLAY_RING_APPEND;
	assert_int_equal(inlay_ring_request_check(&g, &q), 0);
}

static struct inlay_ring_completion full_answer(uint64_t tag)
{
	struct inlay_ring_completion c;

	memset(&c, 0x11, sizeof(c));
	c.tag = tag;
	c.status = 0;
	c.verdict = INLAY_RING_REMOTE;
	c.created = 1;
	c.length = 1;
	return c;
}

static void what_has_no_meaning_is_wiped(void **state)
{
	static const struct inlay_ring_attr none;

	(void)state;
	for (uint32_t kind = INLAY_RING_OPEN; kind < INLAY_RING_KIND_TOP; kind++) {
		bool data = kind == INLAY_RING_READ || kind == INLAY_RING_WRITE, open = kind == INLAY_RING_OPEN;
		bool attr = open || kind == INLAY_RING_WRITE || kind == INLAY_RING_GETATTR || kind == INLAY_RING_SETATTR ||
		            kind == INLAY_RING_STATFS;
		struct inlay_ring_request q = request(kind);
		struct inlay_ring_completion c = full_answer(q.tag), given = c;

		q.length = 4;
		if (kind == INLAY_RING_CANCEL) {
			assert_int_equal(inlay_ring_completion_check(&q, &c), -INLAY_EPROTO); /* has no answer */
			continue;
		}
		assert_int_equal(inlay_ring_completion_check(&q, &c), 0);
		assert_int_equal(c.length, data ? 1 : 0);
		assert_int_equal(c.file, open ? given.file : 0);
		assert_int_equal(c.verdict, open ? INLAY_RING_REMOTE : 0);
		assert_int_equal(c.created, open);
		assert_memory_equal(&c.attr, attr ? &given.attr : &none, sizeof(none));
		/* A failure carries nothing but its status. */
		c = full_answer(q.tag);
		c.status = 0xc0000022u;
		assert_int_equal(inlay_ring_completion_check(&q, &c), 0);
		assert_memory_equal(&c, (&(struct inlay_ring_completion){.tag = q.tag, .status = 0xc0000022u}), sizeof(c));
	}
}

static void answers_that_can_not_be_are_refused(void **state)
{
	struct inlay_ring_request q = request(INLAY_RING_READ), o = request(INLAY_RING_OPEN), a = request(INLAY_RING_GETATTR);
	struct inlay_ring_completion c;

	(void)state;
	q.length = 4096;
#define REFUSED(of, change) \
	do { \
		c = full_answer(77); \
		assert_int_equal(inlay_ring_completion_check(&of, &c), 0); \
		c = full_answer(77); \
		change; \
		assert_int_equal(inlay_ring_completion_check(&of, &c), -INLAY_EPROTO); \
	} while (0)
	REFUSED(q, c.tag = 78);
	REFUSED(q, c.length = 4097);
	REFUSED(q, c.length = 0xffffffffu);
	REFUSED(o, c.file = 0);
	REFUSED(o, c.verdict = 0);
	REFUSED(o, c.verdict = 4);
	REFUSED(o, c.verdict = INLAY_RING_LOCAL); /* with a file, and created */
	REFUSED(o, c.verdict = INLAY_RING_ABSENT);
	REFUSED(o, c.created = 2);
	REFUSED(o, c.attr.size = 1ull << 63);
	REFUSED(a, c.attr.size = 1ull << 63);
	REFUSED(a, c.attr.allocation = UINT64_MAX);
	REFUSED(a, c.attr.created = -1);
	REFUSED(a, c.attr.accessed = INT64_MIN);
	REFUSED(a, c.attr.written = -2);
	REFUSED(a, c.attr.changed = -1);
#undef REFUSED
	q.kind = INLAY_RING_WRITE;
	c = full_answer(77);
	c.length = 4097;
	assert_int_equal(inlay_ring_completion_check(&q, &c), -INLAY_EPROTO);
	c = (struct inlay_ring_completion){.tag = 77, .verdict = INLAY_RING_LOCAL};
	assert_int_equal(inlay_ring_completion_check(&o, &c), 0);
	c.verdict = INLAY_RING_ABSENT;
	c.attr.size = UINT64_MAX; /* of a file that is not there: not looked at, and wiped */
	assert_int_equal(inlay_ring_completion_check(&o, &c), 0);
	assert_int_equal(c.attr.size, 0);
}

static void statuses_that_are_orders_become_an_error(void **state)
{
	static const uint32_t kept[] = {0, 0x80000005u, 0x80000006u, 0xc0000022u, 0xc0000034u, 0xc0000011u, 0xc0000185u};
	static const uint32_t changed[] = {
		0x103u /* pending */, 0x104u /* reparse */, 1, 0x40000000u, 0x7fffffffu, 0x8000001au, 0x80000016u,
		0xc0000016u /* more processing required */, 0xc00000d8u /* can't wait */, 0xc01c0004u /* filter manager */,
		0xd0000022u, 0xe0000001u, 0xffffffffu};

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		assert_int_equal(inlay_ring_status_check(kept[i]), kept[i]);
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		struct inlay_ring_request q = request(INLAY_RING_FLUSH);
		struct inlay_ring_completion c = {.tag = q.tag, .status = changed[i]};

		assert_int_equal(inlay_ring_status_check(changed[i]), IO_ERROR);
		assert_int_equal(inlay_ring_completion_check(&q, &c), 0);
		assert_int_equal(c.status, IO_ERROR);
	}
}

RUN_TESTS(cmocka_unit_test(a_layout_is_legal_and_tight), cmocka_unit_test(layouts_beyond_the_limits_are_refused),
          cmocka_unit_test(geometry_without_order_is_refused), cmocka_unit_test(a_head_is_read_once_and_checked),
          cmocka_unit_test(every_kind_is_accepted_and_no_other), cmocka_unit_test(lengths_need_a_slot_that_holds_them),
          cmocka_unit_test(fields_of_a_kind_are_in_their_range), cmocka_unit_test(what_has_no_meaning_is_wiped),
          cmocka_unit_test(answers_that_can_not_be_are_refused), cmocka_unit_test(statuses_that_are_orders_become_an_error))

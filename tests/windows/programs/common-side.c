/*
 * The well-behaved side of a redirector without a server.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common-side.h"

static struct inlay_ring_attr attr_of(void)
{
	return (struct inlay_ring_attr){ .size = SIDE_SIZE, .allocation = SIDE_SIZE, .created = 0x01d00000000000,
		.accessed = 0x01d00000000000, .written = 0x01d00000000000, .changed = 0x01d00000000000, .index = 77,
		.attributes = FILE_ATTRIBUTE_NORMAL, .links = 1 };
}

static bool is_file(const struct side *side, const struct inlay_ring_request *r)
{
	const uint8_t *slot = inlay_ring_responder_slot(&side->ring, r->slot);

	return r->length == 8 && slot && !memcmp(slot, L"file", 8);
}

static void answer_read(const struct side *side, const struct inlay_ring_request *r, struct inlay_ring_completion *c)
{
	uint8_t *slot = inlay_ring_responder_slot(&side->ring, r->slot);
	uint64_t left = r->offset < SIDE_SIZE ? SIDE_SIZE - r->offset : 0;

	c->length = left < r->length ? (uint32_t)left : r->length;
	for (uint32_t i = 0; slot && i < c->length; i++)
		slot[i] = (uint8_t)((r->offset + i) % 251);
}

struct inlay_ring_completion side_answer(struct side *side, const struct inlay_ring_request *r)
{
	struct inlay_ring_completion c = { .tag = r->tag, .attr = attr_of() };

	if (r->kind == INLAY_RING_OPEN) {
		bool ours = is_file(side, r);

		c.verdict = ours ? INLAY_RING_REMOTE : INLAY_RING_LOCAL;
		c.file = ours;
		if (!ours)
			memset(&c.attr, 0, sizeof(c.attr));
	} else if (r->kind == INLAY_RING_READ) {
		answer_read(side, r, &c);
	} else if (r->kind == INLAY_RING_WRITE) {
		c.length = r->length;
	}
	return c;
}

void side_place(void)
{
	LARGE_INTEGER size = { .QuadPart = SIDE_SIZE };
	HANDLE h;

	CreateDirectoryA("I:\\inlay", NULL);
	h = open_file("I:\\inlay\\file", GENERIC_WRITE, 7, OPEN_ALWAYS, 0);
	CHECK(h != INVALID_HANDLE_VALUE && SetFilePointerEx(h, size, NULL, FILE_BEGIN) && SetEndOfFile(h), "the file");
	CloseHandle(h);
}

void side_enter(struct side *side, uint32_t slots, uint32_t timeout_ms)
{
	struct made *made = &side->made;
	struct inlay_ring_geometry g;
	struct directory d;

	side->device = device_open();
	CHECK(side->device != INVALID_HANDLE_VALUE, "the control device");
	ring_make(made, SIDE_ENTRIES, slots);
	CHECK(inlay_ring_layout(&g, SIDE_ENTRIES, slots, INLAY_RING_SLOT_MIN) == 0, "layout");
	CHECK(g.size <= made->set.size, "layout is larger");
	memset(made->head, 0, sizeof(*made->head));
	CHECK(inlay_ring_responder_open(&side->ring, made->head, &g) == 0, "ring");
	made->set.timeout_ms = timeout_ms;
	made->set.size = g.size;
	CHECK(device_call(side->device, INLAY_CONTROL_RING_SET, &made->set, sizeof(made->set)) == 0, "ring: error %lu", GetLastError());
	CHECK(device_call(side->device, INLAY_CONTROL_DIRECTORY_ADD, &d, directory_fill(&d, 1, VOLUME, L"\\inlay")) == 0,
		"directory: error %lu", GetLastError());
}

void side_leave(struct side *side)
{
	CHECK(CloseHandle(side->device), "close");
	ring_drop(&side->made);
}

/*
 * A redirector without a server, good or bad: ringside MODE MILLISECONDS [SEED]. Serves \inlay of the simulated drive, in which "file"
 * is remote and everything else local.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     serve    answers everything well: byte n of the file is n modulo 251
 *     silent   answers OPEN and GETATTR; takes everything else and never answers
 *     garbage  answers well, wrongly, twice or not at all, and scribbles over head, rings and slots meanwhile
 */
#include "common-ring.h"
#include "ring/ring.h"

enum { ENTRIES = 64, SLOTS = 16, FILE_SIZE = 1 << 20 };

static struct made made;
static struct inlay_ring_responder ring;

static struct inlay_ring_attr attr_of(void)
{
	return (struct inlay_ring_attr){ .size = FILE_SIZE, .allocation = FILE_SIZE, .created = 0x01d00000000000, .accessed = 0x01d00000000000,
		.written = 0x01d00000000000, .changed = 0x01d00000000000, .index = 77, .attributes = FILE_ATTRIBUTE_NORMAL, .links = 1 };
}

static bool is_file(const struct inlay_ring_request *r)
{
	return r->slot < SLOTS && r->length == 8 && !memcmp(inlay_ring_responder_slot(&ring, r->slot), L"file", 8);
}

static void answer_read(const struct inlay_ring_request *r, struct inlay_ring_completion *c)
{
	uint8_t *slot = inlay_ring_responder_slot(&ring, r->slot);
	uint64_t left = r->offset < FILE_SIZE ? FILE_SIZE - r->offset : 0;

	c->length = left < r->length ? (uint32_t)left : r->length;
	for (uint32_t i = 0; slot && i < c->length; i++)
		slot[i] = (uint8_t)((r->offset + i) % 251);
}

static struct inlay_ring_completion answer_to(const struct inlay_ring_request *r)
{
	struct inlay_ring_completion c = { .tag = r->tag, .attr = attr_of() };

	if (r->kind == INLAY_RING_OPEN) {
		c.verdict = is_file(r) ? INLAY_RING_REMOTE : INLAY_RING_LOCAL;
		c.file = is_file(r) ? 1 : 0;
		if (!is_file(r))
			memset(&c.attr, 0, sizeof(c.attr));
	} else if (r->kind == INLAY_RING_READ) {
		answer_read(r, &c);
	} else if (r->kind == INLAY_RING_WRITE) {
		c.length = r->length;
	}
	return c;
}

static void push(const struct inlay_ring_completion *c)
{
	(void)inlay_ring_responder_push(&ring, c);
}

static void scribble(struct random *random)
{
	unsigned char *section = (unsigned char *)made.head;
	uint32_t where = random_below(random, 4);
	uint64_t first = where == 0 ? 0 : where == 1 ? sizeof(struct inlay_ring_head) : made.head->slots_off;
	uint64_t room = where == 0 ? sizeof(struct inlay_ring_head) : where == 1 ? 20000 : 65536;

	for (uint32_t n = random_below(random, 12); n; n--)
		section[(first + random_next(random) % room) % made.set.size] = (unsigned char)random_next(random);
}

static void answer_badly(const struct inlay_ring_request *r, struct random *random)
{
	struct inlay_ring_completion c = answer_to(r);
	unsigned char *bytes = (unsigned char *)&c;

	switch (random_below(random, 12)) {
	case 0: /* not at all */
		return;
	case 1:
		push(&c);
		break;
	case 2:
		for (uint32_t n = random_below(random, 8) + 1; n; n--)
			bytes[random_below(random, sizeof(c))] = (unsigned char)random_next(random);
		break;
	case 3:
		random_fill(random, &c, sizeof(c));
		c.tag = r->tag;
		break;
	case 4:
		c.status = (uint32_t)random_next(random);
		break;
	case 5:
		c.length = (uint32_t)random_next(random);
		break;
	case 6:
		scribble(random);
		break;
	default:
		break;
	}
	push(&c);
}

static void answer(const struct inlay_ring_request *r, const char *mode, struct random *random)
{
	struct inlay_ring_completion c;

	if (r->kind == INLAY_RING_CANCEL)
		return;
	if (mode[0] == 'g') {
		answer_badly(r, random);
		return;
	}
	if (mode[1] == 'i' && r->kind != INLAY_RING_OPEN && r->kind != INLAY_RING_GETATTR && r->kind != INLAY_RING_CLOSE)
		return;
	c = answer_to(r);
	push(&c);
}

static void serve(const char *mode, DWORD until, struct random *random)
{
	HANDLE requests = (HANDLE)(uintptr_t)made.set.requests, completions = (HANDLE)(uintptr_t)made.set.completions;

	while (GetTickCount() < until) {
		struct inlay_ring_request taken[16];
		int n = inlay_ring_responder_pop(&ring, taken, 16);

		for (int i = 0; i < n; i++)
			answer(&taken[i], mode, random);
		if (n > 0 && inlay_ring_responder_publish(&ring))
			SetEvent(completions);
		if (mode[0] == 'g')
			SetEvent(completions);
		if (n < 0) /* the scribbles hit our own side */
			Sleep(1);
		if (n == 0 && inlay_ring_responder_sleep(&ring)) {
			WaitForSingleObject(requests, 50);
			inlay_ring_responder_wake(&ring);
		}
	}
}

static void place_file(void)
{
	LARGE_INTEGER size = { .QuadPart = FILE_SIZE };
	HANDLE h;

	CreateDirectoryA("I:\\inlay", NULL);
	h = open_file("I:\\inlay\\file", GENERIC_WRITE, 7, OPEN_ALWAYS, 0);
	CHECK(h != INVALID_HANDLE_VALUE && SetFilePointerEx(h, size, NULL, FILE_BEGIN) && SetEndOfFile(h), "the file");
	CloseHandle(h);
}

/* In a loop: after garbage the driver gives a ring up, and a redirector may come again. */
static HANDLE enter(void)
{
	struct inlay_ring_geometry g;
	struct directory d;
	HANDLE device = device_open();

	CHECK(device != INVALID_HANDLE_VALUE, "the control device");
	ring_make(&made, ENTRIES, SLOTS);
	CHECK(inlay_ring_layout(&g, ENTRIES, SLOTS, INLAY_RING_SLOT_MIN) == 0, "layout");
	CHECK(g.size <= made.set.size, "layout is larger");
	memset(made.head, 0, sizeof(*made.head));
	CHECK(inlay_ring_responder_open(&ring, made.head, &g) == 0, "ring");
	made.set.timeout_ms = 1500;
	made.set.size = g.size;
	CHECK(device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set)) == 0, "ring: error %lu", GetLastError());
	CHECK(device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, directory_fill(&d, 1, VOLUME, L"\\inlay")) == 0, "directory: error %lu",
		GetLastError());
	return device;
}

int main(int count, char **words)
{
	struct random random = { count > 3 ? strtoull(words[3], NULL, 0) : 1 };
	DWORD start = GetTickCount(), end;
	bool garbage;

	if (count < 3) {
		fprintf(stderr, "usage: ringside serve|silent|garbage MILLISECONDS [SEED]\n");
		return 2;
	}
	garbage = words[1][0] == 'g';
	end = start + strtoul(words[2], NULL, 10);
	place_file();
	for (bool first = true; GetTickCount() < end; first = false) {
		HANDLE device = enter();

		if (first)
			printf("ready\n");
		fflush(stdout);
		serve(words[1], garbage ? GetTickCount() + 400 : end, &random);
		CHECK(CloseHandle(device), "close");
		ring_drop(&made);
	}
	printf("end\n");
	return 0;
}

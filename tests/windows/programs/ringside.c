/*
 * A redirector without a server, good or bad: ringside MODE MILLISECONDS [SEED]. Serves \inlay of the simulated drive, in which "file"
 * is remote and everything else local.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     serve    answers everything well: byte n of the file is n modulo 251
 *     silent   answers OPEN and GETATTR; takes everything else and never answers
 *     garbage  answers well, wrongly, twice or not at all, and scribbles over head, rings and slots meanwhile
 */
#include "common-side.h"

/* fewer than the requests of the tests: they wait for each other */
enum { SLOTS = 16 };

static struct side side;

static void push(const struct inlay_ring_completion *c)
{
	(void)inlay_ring_responder_push(&side.ring, c);
}

static void scribble(struct random *random)
{
	unsigned char *section = (unsigned char *)side.made.head;
	uint32_t where = random_below(random, 4);
	uint64_t first = where == 0 ? 0 : where == 1 ? sizeof(struct inlay_ring_head) : side.made.head->slots_off;
	uint64_t room = where == 0 ? sizeof(struct inlay_ring_head) : where == 1 ? 20000 : 65536;

	for (uint32_t n = random_below(random, 12); n; n--)
		section[(first + random_next(random) % room) % side.made.set.size] = (unsigned char)random_next(random);
}

static void answer_badly(const struct inlay_ring_request *r, struct random *random)
{
	struct inlay_ring_completion c = side_answer(&side, r);
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
	c = side_answer(&side, r);
	push(&c);
}

static void serve(const char *mode, DWORD until, struct random *random)
{
	HANDLE requests = (HANDLE)(uintptr_t)side.made.set.requests, completions = (HANDLE)(uintptr_t)side.made.set.completions;

	while (GetTickCount() < until) {
		struct inlay_ring_request taken[16];
		int n = inlay_ring_responder_pop(&side.ring, taken, 16);

		for (int i = 0; i < n; i++)
			answer(&taken[i], mode, random);
		if (n > 0 && inlay_ring_responder_publish(&side.ring))
			SetEvent(completions);
		if (mode[0] == 'g')
			SetEvent(completions);
		if (n < 0) /* the scribbles hit our own side */
			Sleep(1);
		if (n == 0 && inlay_ring_responder_sleep(&side.ring)) {
			WaitForSingleObject(requests, 50);
			inlay_ring_responder_wake(&side.ring);
		}
	}
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
	side_place();
	for (bool first = true; GetTickCount() < end; first = false) {
		/* after garbage the driver gives a ring up, and a redirector may come again */
		side_enter(&side, SLOTS, 1500);
		if (first)
			printf("ready\n");
		fflush(stdout);
		serve(words[1], garbage ? GetTickCount() + 400 : end, &random);
		side_leave(&side);
	}
	printf("end\n");
	return 0;
}

/*
 * The ring, one thread: entries in both directions, full and empty, wrapped indexes, batches, who must be signalled, and
 * a peer that writes anything into the shared indexes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/ring.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 8u

struct pair {
	struct inlay_ring_geometry g;
	struct inlay_ring_head *head;
	struct inlay_ring_requester q;
	struct inlay_ring_responder p;
};

/* first: where all indexes stand. */
static void pair_open(struct pair *pair, uint32_t first)
{
	assert_int_equal(inlay_ring_layout(&pair->g, ENTRIES, 2, INLAY_RING_SLOT_MIN), 0);
	pair->head = aligned_alloc(4096, pair->g.size);
	assert_non_null(pair->head);
	memset(pair->head, 0xee, pair->g.size);
	assert_int_equal(inlay_ring_responder_open(&pair->p, pair->head, &pair->g), 0);
	assert_int_equal(inlay_ring_requester_open(&pair->q, pair->head, pair->g.size), 0);
	pair->head->sq_tail.value = pair->head->sq_head.value = pair->head->cq_tail.value = pair->head->cq_head.value = first;
	pair->q.sq.tail = pair->q.sq.published = pair->q.sq.seen = pair->q.cq.head = pair->q.cq.seen = first;
	pair->p.cq.tail = pair->p.cq.published = pair->p.cq.seen = pair->p.sq.head = pair->p.sq.seen = first;
	pair->p.taken = pair->p.answered = first;
}

static void pair_close(struct pair *pair)
{
	free(pair->head);
}

static struct inlay_ring_request flush(uint64_t tag)
{
	return (struct inlay_ring_request){.tag = tag, .kind = INLAY_RING_FLUSH, .file = 1, .slot = INLAY_RING_NO_SLOT};
}

static int ask(struct pair *pair, uint64_t tag)
{
	struct inlay_ring_request q = flush(tag);

	return inlay_ring_requester_push(&pair->q, &q);
}

static int answer(struct pair *pair, uint64_t tag)
{
	struct inlay_ring_completion c = {.tag = tag};

	return inlay_ring_responder_push(&pair->p, &c);
}

static void opening_checks_what_it_gets(void **state)
{
	struct inlay_ring_geometry g;
	struct inlay_ring_responder p;
	struct inlay_ring_requester q;
	struct inlay_ring_head *head;

	(void)state;
	assert_int_equal(inlay_ring_layout(&g, ENTRIES, 2, INLAY_RING_SLOT_MIN), 0);
	head = aligned_alloc(4096, g.size);
	assert_non_null(head);
	memset(head, 0, g.size);
	assert_int_equal(inlay_ring_requester_open(&q, head, g.size), -INLAY_EPROTO); /* no head yet */
	assert_int_equal(inlay_ring_responder_open(&p, (uint8_t *)head + 8, &g), -INLAY_EINVAL);
	assert_int_equal(inlay_ring_responder_open(&p, NULL, &g), -INLAY_EINVAL);
	g.entries++;
	assert_int_equal(inlay_ring_responder_open(&p, head, &g), -INLAY_EINVAL);
	g.entries--;
	assert_int_equal(inlay_ring_responder_open(&p, head, &g), 0);
	assert_int_equal(inlay_ring_requester_open(&q, (uint8_t *)head + 8, g.size - 8), -INLAY_EINVAL);
	assert_int_equal(inlay_ring_requester_open(&q, NULL, g.size), -INLAY_EINVAL);
	assert_int_equal(inlay_ring_requester_open(&q, head, g.size - 1), -INLAY_EPROTO);
	for (unsigned i = 0; i < 4; i++) { /* each of the four indexes is 0 at first */
		struct inlay_ring_index *index = &head->sq_tail + i;

		index->value = 1;
		assert_int_equal(inlay_ring_requester_open(&q, head, g.size), -INLAY_EPROTO);
		index->value = 0;
	}
	head->version++;
	assert_int_equal(inlay_ring_requester_open(&q, head, g.size), -INLAY_EVERSION);
	head->version--;
	assert_int_equal(inlay_ring_requester_open(&q, head, g.size), 0);
	free(head);
}

static void go_round(struct pair *pair, uint32_t rounds)
{
	struct inlay_ring_request got[ENTRIES];
	struct inlay_ring_completion done[ENTRIES];
	uint64_t tag = 0;

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t n = i % ENTRIES + 1;

		for (uint32_t j = 0; j < n; j++)
			assert_int_equal(ask(pair, tag + j), 0);
		assert_int_equal(inlay_ring_responder_pop(&pair->p, got, ENTRIES), 0); /* not published */
		inlay_ring_requester_publish(&pair->q);
		assert_int_equal(inlay_ring_responder_pop(&pair->p, got, ENTRIES), n);
		for (uint32_t j = 0; j < n; j++) {
			struct inlay_ring_request q = flush(tag + j);

			assert_memory_equal(&got[j], &q, sizeof(q));
		}
		for (uint32_t j = n; j--;) /* in another order */
			assert_int_equal(answer(pair, tag + j), 0);
		assert_int_equal(inlay_ring_requester_pop(&pair->q, done, ENTRIES), 0);
		inlay_ring_responder_publish(&pair->p);
		assert_int_equal(inlay_ring_requester_pop(&pair->q, done, ENTRIES), n);
		for (uint32_t j = 0; j < n; j++)
			assert_int_equal(done[j].tag, tag + n - 1 - j);
		tag += n;
	}
}

static void entries_go_both_ways_in_batches(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	go_round(&pair, 50);
	pair_close(&pair);
}

static void indexes_wrap(void **state)
{
	struct pair pair;

	(void)state;
	for (uint32_t before = 0; before <= 3 * ENTRIES; before++) {
		pair_open(&pair, 0u - before);
		go_round(&pair, 20);
		assert_true(pair.q.sq.tail < 1000);
		pair_close(&pair);
	}
}

static void small_pops_take_what_they_can_hold(void **state)
{
	struct inlay_ring_request got[ENTRIES];
	struct inlay_ring_completion done[ENTRIES];
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ask(&pair, i), 0);
	inlay_ring_requester_publish(&pair.q);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, 0), 0);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, 3), 3);
	assert_int_equal(pair.head->sq_head.value, 3);
	assert_false(inlay_ring_responder_sleep(&pair.p)); /* two are left */
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, 3), 2);
	assert_int_equal(got[1].tag, 4);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(answer(&pair, i), 0);
	inlay_ring_responder_publish(&pair.p);
	assert_int_equal(inlay_ring_requester_pop(&pair.q, done, 4), 4);
	assert_false(inlay_ring_requester_sleep(&pair.q));
	assert_int_equal(inlay_ring_requester_pop(&pair.q, done, 4), 1);
	assert_int_equal(inlay_ring_requester_pop(&pair.q, done, 4), 0);
	pair_close(&pair);
}

static void a_full_ring_says_so_and_recovers(void **state)
{
	struct inlay_ring_request got[ENTRIES];
	struct pair pair;

	(void)state;
	pair_open(&pair, 0xfffffffcu);
	for (unsigned i = 0; i < ENTRIES; i++) {
		assert_int_equal(inlay_ring_requester_room(&pair.q), ENTRIES - i);
		assert_int_equal(ask(&pair, i), 0);
	}
	assert_int_equal(inlay_ring_requester_room(&pair.q), 0);
	assert_int_equal(ask(&pair, 99), -INLAY_EAGAIN);
	inlay_ring_requester_publish(&pair.q);
	assert_int_equal(ask(&pair, 99), -INLAY_EAGAIN);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, 2), 2);
	assert_int_equal(inlay_ring_requester_room(&pair.q), 2);
	assert_int_equal(ask(&pair, 8), 0);
	assert_int_equal(ask(&pair, 9), 0);
	assert_int_equal(ask(&pair, 99), -INLAY_EAGAIN);
	assert_false(inlay_ring_requester_dead(&pair.q));
	pair_close(&pair);
}

static void cancels_take_room_but_no_answer(void **state)
{
	struct inlay_ring_request cancel = {.tag = 1, .kind = INLAY_RING_CANCEL, .slot = INLAY_RING_NO_SLOT}, got[ENTRIES];
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ENTRIES; i++)
			assert_int_equal(inlay_ring_requester_push(&pair.q, &cancel), 0);
		assert_int_equal(inlay_ring_requester_push(&pair.q, &cancel), -INLAY_EAGAIN);
		inlay_ring_requester_publish(&pair.q);
		assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), ENTRIES);
	}
	assert_int_equal(pair.p.taken, 0);
	pair_close(&pair);
}

/* One sleep is ended by one signal, and nobody awake is signalled. */
static void only_a_sleeper_is_signalled(void **state)
{
	struct inlay_ring_request got[ENTRIES];
	struct inlay_ring_completion done[ENTRIES];
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	assert_int_equal(ask(&pair, 1), 0);
	assert_false(inlay_ring_requester_publish(&pair.q)); /* awake */
	assert_false(inlay_ring_responder_sleep(&pair.p));   /* there is one */
	assert_int_equal(pair.head->redirector_asleep.value, 0);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), 1);
	assert_true(inlay_ring_responder_sleep(&pair.p));
	assert_false(inlay_ring_requester_publish(&pair.q)); /* nothing new */
	assert_int_equal(ask(&pair, 2), 0);
	assert_true(inlay_ring_requester_publish(&pair.q));
	assert_int_equal(ask(&pair, 3), 0);
	assert_false(inlay_ring_requester_publish(&pair.q)); /* the signal is on its way */
	inlay_ring_responder_wake(&pair.p);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), 2);
	assert_true(inlay_ring_responder_sleep(&pair.p));
	inlay_ring_responder_wake(&pair.p); /* woken by something else */
	assert_int_equal(ask(&pair, 4), 0);
	assert_false(inlay_ring_requester_publish(&pair.q));
	/* The other direction. */
	assert_true(inlay_ring_requester_sleep(&pair.q));
	assert_false(inlay_ring_responder_publish(&pair.p));
	assert_int_equal(answer(&pair, 1), 0);
	assert_int_equal(answer(&pair, 2), 0);
	assert_true(inlay_ring_responder_publish(&pair.p));
	assert_int_equal(answer(&pair, 3), 0);
	assert_false(inlay_ring_responder_publish(&pair.p));
	inlay_ring_requester_wake(&pair.q);
	assert_int_equal(inlay_ring_requester_pop(&pair.q, done, ENTRIES), 3);
	assert_true(inlay_ring_requester_sleep(&pair.q));
	inlay_ring_requester_wake(&pair.q);
	pair_close(&pair);
}

static void everything_fails_once_it_is_dead(void **state)
{
	struct inlay_ring_request got;
	struct inlay_ring_completion done;
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	assert_int_equal(ask(&pair, 1), 0);
	inlay_ring_requester_kill(&pair.q);
	assert_true(inlay_ring_requester_dead(&pair.q));
	assert_int_equal(ask(&pair, 2), -INLAY_EPROTO);
	assert_false(inlay_ring_requester_publish(&pair.q));
	assert_int_equal(inlay_ring_requester_room(&pair.q), 0);
	assert_int_equal(inlay_ring_requester_pop(&pair.q, &done, 1), -INLAY_EPROTO);
	assert_false(inlay_ring_requester_sleep(&pair.q));
	assert_int_equal(pair.head->sq_tail.value, 0);
	inlay_ring_responder_kill(&pair.p);
	assert_true(inlay_ring_responder_dead(&pair.p));
	assert_int_equal(answer(&pair, 2), -INLAY_EPROTO);
	assert_false(inlay_ring_responder_publish(&pair.p));
	assert_int_equal(inlay_ring_responder_pop(&pair.p, &got, 1), -INLAY_EPROTO);
	assert_false(inlay_ring_responder_sleep(&pair.p));
	pair_close(&pair);
}

/* 3 put in and 1 taken, in both rings, from `first` on. */
static void half_used(struct pair *pair, uint32_t first)
{
	struct inlay_ring_request got[ENTRIES];
	struct inlay_ring_completion done;

	pair_open(pair, first);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(ask(pair, i), 0);
	inlay_ring_requester_publish(&pair->q);
	assert_int_equal(inlay_ring_responder_pop(&pair->p, got, 4), 4);
	assert_int_equal(inlay_ring_requester_room(&pair->q), ENTRIES - 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(answer(pair, i), 0);
	inlay_ring_responder_publish(&pair->p);
	assert_int_equal(inlay_ring_requester_pop(&pair->q, &done, 1), 1);
}

static void a_requester_believes_no_impossible_index(void **state)
{
	static const uint32_t firsts[] = {0, 0xfffffffeu};
	struct inlay_ring_completion done[ENTRIES];
	struct pair pair;

	(void)state;
	for (unsigned f = 0; f < 2; f++)
		for (uint32_t d = 0; d < 40; d++) {
			uint32_t tail = d - 20, first = firsts[f];
			/* 1 was taken, 3 were seen: the tail stands from 3 to 1 + ENTRIES */
			bool possible = (int32_t)tail >= 3 && (int32_t)tail <= 1 + (int32_t)ENTRIES;
			bool head_possible = (int32_t)tail >= 4 && (int32_t)tail <= 6;

			half_used(&pair, first);
			pair.head->cq_tail.value = first + tail;
			assert_int_equal(inlay_ring_requester_pop(&pair.q, done, ENTRIES), possible ? (int)tail - 1 : -INLAY_EPROTO);
			assert_int_equal(inlay_ring_requester_dead(&pair.q), !possible);
			pair_close(&pair);

			half_used(&pair, first);
			pair.head->sq_head.value = first + tail;
			assert_int_equal(inlay_ring_requester_room(&pair.q), head_possible ? ENTRIES - 6 + tail : 0);
			assert_int_equal(inlay_ring_requester_dead(&pair.q), !head_possible);
			pair_close(&pair);
		}
}

static void a_responder_believes_no_impossible_index(void **state)
{
	static const uint32_t firsts[] = {0, 0xfffffffeu};
	struct inlay_ring_request got[ENTRIES], filler = flush(9);
	struct pair pair;

	(void)state;
	for (unsigned f = 0; f < 2; f++)
		for (uint32_t d = 0; d < 40; d++) {
			uint32_t tail = d - 20, first = firsts[f];
			/* 4 were taken, 6 seen; 3 of the 4 answered, so that 7 more are to be had */
			bool possible = (int32_t)tail >= 6 && (int32_t)tail <= 4 + (int32_t)ENTRIES - 1;

			half_used(&pair, first);
			for (unsigned i = 0; i < ENTRIES; i++) /* whatever the index says: a request is there */
				memcpy((uint8_t *)pair.head + pair.g.sq_off + i * sizeof(filler), &filler, sizeof(filler));
			pair.head->sq_tail.value = first + tail;
			assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), possible ? (int)tail - 4 : -INLAY_EPROTO);
			assert_int_equal(inlay_ring_responder_dead(&pair.p), !possible);
			pair_close(&pair);
		}
}

/* The completion ring has room for every answer, unless the requester lies about what it has taken. */
static void a_completion_ring_without_room_is_the_requesters_fault(void **state)
{
	static const uint32_t heads[] = {0, 3 /* never published */, 0xffffffffu};
	struct pair pair;

	(void)state;
	for (unsigned h = 0; h < 3; h++) {
		pair_open(&pair, 0);
		for (unsigned i = 0; i < ENTRIES; i++)
			assert_int_equal(answer(&pair, i), 0);
		if (h != 1)
			inlay_ring_responder_publish(&pair.p);
		pair.head->cq_head.value = heads[h];
		assert_int_equal(answer(&pair, 99), -INLAY_EPROTO);
		assert_true(inlay_ring_responder_dead(&pair.p));
		pair_close(&pair);
	}
}

static void more_requests_than_answers_fit_are_refused(void **state)
{
	struct inlay_ring_request got[ENTRIES];
	struct pair pair;

	(void)state;
	pair_open(&pair, 0xfffffff0u);
	for (unsigned i = 0; i < ENTRIES; i++)
		assert_int_equal(ask(&pair, i), 0);
	inlay_ring_requester_publish(&pair.q);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), ENTRIES);
	assert_int_equal(answer(&pair, 0), 0);
	inlay_ring_responder_publish(&pair.p);
	assert_int_equal(ask(&pair, 8), 0);
	inlay_ring_requester_publish(&pair.q);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), 1);
	assert_int_equal(ask(&pair, 9), 0); /* one too many without an answer */
	inlay_ring_requester_publish(&pair.q);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), -INLAY_EPROTO);
	assert_true(inlay_ring_responder_dead(&pair.p));
	pair_close(&pair);
}

static void a_bad_request_kills_the_responder(void **state)
{
	struct inlay_ring_request bad = flush(1), got[ENTRIES];
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	bad.slot = pair.g.slots;
	assert_int_equal(ask(&pair, 0), 0);
	assert_int_equal(inlay_ring_requester_push(&pair.q, &bad), 0);
	inlay_ring_requester_publish(&pair.q);
	assert_int_equal(inlay_ring_responder_pop(&pair.p, got, ENTRIES), -INLAY_EPROTO);
	assert_true(inlay_ring_responder_dead(&pair.p));
	pair_close(&pair);
}

static void slots_lie_inside_of_the_section(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, 0);
	for (uint32_t i = 0; i < pair.g.slots; i++) {
		uint8_t *at = (uint8_t *)pair.head + pair.g.slots_off + i * INLAY_RING_SLOT_MIN;

		assert_ptr_equal(inlay_ring_requester_slot(&pair.q, i), at);
		assert_ptr_equal(inlay_ring_responder_slot(&pair.p, i), at);
	}
	assert_null(inlay_ring_requester_slot(&pair.q, pair.g.slots));
	assert_null(inlay_ring_responder_slot(&pair.p, INLAY_RING_NO_SLOT));
	/* What stands in the head afterwards changes nothing. */
	pair.head->slots_off = pair.head->sq_off = pair.head->cq_off = 0xfffff000u;
	pair.head->entries = pair.head->slots = 0xffffffffu;
	assert_null(inlay_ring_requester_slot(&pair.q, pair.g.slots));
	go_round(&pair, 20);
	pair_close(&pair);
}

RUN_TESTS(cmocka_unit_test(opening_checks_what_it_gets), cmocka_unit_test(entries_go_both_ways_in_batches),
          cmocka_unit_test(indexes_wrap), cmocka_unit_test(small_pops_take_what_they_can_hold),
          cmocka_unit_test(a_full_ring_says_so_and_recovers), cmocka_unit_test(cancels_take_room_but_no_answer),
          cmocka_unit_test(only_a_sleeper_is_signalled), cmocka_unit_test(everything_fails_once_it_is_dead),
          cmocka_unit_test(a_requester_believes_no_impossible_index),
          cmocka_unit_test(a_responder_believes_no_impossible_index),
          cmocka_unit_test(a_completion_ring_without_room_is_the_requesters_fault),
          cmocka_unit_test(more_requests_than_answers_fit_are_refused), cmocka_unit_test(a_bad_request_kills_the_responder),
          cmocka_unit_test(slots_lie_inside_of_the_section))

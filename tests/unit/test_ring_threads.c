/*
 * Both sides of the ring at work in threads over one section: several that ask, one that takes the answers; one that takes the
 * requests, one that answers them in another order. Every slot's content is compared. The thread sanitizer watches.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/ring.h"
#include "ring/tags.h"

#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASKERS 3u
#define SLOTS 6u
#define PATIENCE_S 30

struct event { /* auto-reset, as the driver's are */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool set;
	unsigned signals;
};

struct pending {
	struct inlay_ring_request request;
	uint32_t seed;
};

struct stress {
	uint32_t entries, each;
	void *section;
	struct event requests, completions;
	struct inlay_ring_requester q;
	struct inlay_ring_responder p;

	pthread_mutex_t lock; /* of the driver: all below, and putting in */
	pthread_cond_t given; /* a tag or a slot came back */
	struct inlay_ring_tags tags;
	struct inlay_ring_slots slots;
	struct inlay_ring_tag tag_room[64];
	uint32_t slot_room[SLOTS];
	struct pending pending[ASKERS * SLOTS];
	bool used[ASKERS * SLOTS];
	uint32_t taken_out;

	pthread_mutex_t work_lock; /* of the redirector: what was taken and is to be answered */
	pthread_cond_t work_came;
	struct inlay_ring_request work[64];
	uint32_t work_count;
	bool stop;
	uint32_t answered;
};

static void require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "stress: %s\n", what);
		abort();
	}
}

static void event_set(struct event *e)
{
	pthread_mutex_lock(&e->lock);
	e->set = true;
	e->signals++;
	pthread_cond_signal(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static void event_wait(struct event *e)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&e->lock);
	while (!e->set)
		require(pthread_cond_timedwait(&e->changed, &e->lock, &until) == 0, "a lost wake-up");
	e->set = false;
	pthread_mutex_unlock(&e->lock);
}

static uint32_t draw(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void paint(uint8_t *p, uint32_t length, uint32_t seed)
{
	for (uint32_t i = 0; i < length; i++)
		p[i] = (uint8_t)(seed + i * 31);
}

static bool painted(const uint8_t *p, uint32_t length, uint32_t seed)
{
	for (uint32_t i = 0; i < length; i++)
		if (p[i] != (uint8_t)(seed + i * 31))
			return false;
	return true;
}

/* Under the lock. NULL: nothing is free. */
static struct pending *take_pending(struct stress *s)
{
	for (uint32_t i = 0; i < ASKERS * SLOTS; i++)
		if (!s->used[i]) {
			s->used[i] = true;
			return &s->pending[i];
		}
	return NULL;
}

static void start_request(struct stress *s, uint32_t *seed)
{
	struct pending *p = NULL;
	uint32_t slot;
	uint64_t tag;

	while ((slot = inlay_ring_slots_take(&s->slots)) == INLAY_RING_NO_SLOT)
		pthread_cond_wait(&s->given, &s->lock);
	while (s->tags.taken == s->tags.count || !(p = take_pending(s)))
		pthread_cond_wait(&s->given, &s->lock);
	tag = inlay_ring_tags_take(&s->tags, p);
	require(tag != 0, "no tag though one was free");
	p->seed = draw(seed);
	p->request = (struct inlay_ring_request){
		.tag = tag, .kind = draw(seed) & 1 ? INLAY_RING_READ : INLAY_RING_WRITE, .file = 1, .offset = p->seed,
		.length = 1 + draw(seed) % 600, .slot = slot};
	if (p->request.kind == INLAY_RING_WRITE)
		paint(inlay_ring_requester_slot(&s->q, slot), p->request.length, p->seed);
	while (inlay_ring_requester_push(&s->q, &p->request) == -INLAY_EAGAIN) { /* cancels took the room */
		if (inlay_ring_requester_publish(&s->q))
			event_set(&s->requests);
		pthread_mutex_unlock(&s->lock);
		sched_yield();
		pthread_mutex_lock(&s->lock);
	}
	if (draw(seed) % 8 == 0) {
		struct inlay_ring_request cancel = {.kind = INLAY_RING_CANCEL, .offset = tag, .slot = INLAY_RING_NO_SLOT};

		(void)inlay_ring_requester_push(&s->q, &cancel); /* when there is room */
	}
}

static void *ask(void *argument)
{
	struct stress *s = argument;
	uint32_t seed = (uint32_t)(uintptr_t)&seed | 1;

	for (uint32_t i = 0; i < s->each;) {
		uint32_t batch = 1 + draw(&seed) % 2;
		bool wake;

		pthread_mutex_lock(&s->lock);
		/* No second one when it had to wait for room: the first would not be published meanwhile. */
		for (uint32_t j = 0; j < batch && i < s->each && (!j || (s->slots.taken < SLOTS && s->tags.taken < s->tags.count)); j++, i++)
			start_request(s, &seed);
		wake = inlay_ring_requester_publish(&s->q);
		pthread_mutex_unlock(&s->lock);
		if (wake)
			event_set(&s->requests);
	}
	return NULL;
}

static void finish_request(struct stress *s, struct inlay_ring_completion *c)
{
	struct pending *p = inlay_ring_tags_give(&s->tags, c->tag);

	require(p != NULL, "a tag that nobody has");
	require(inlay_ring_completion_check(&p->request, c) == 0 && c->status == 0, "a bad completion");
	require(c->length == p->request.length, "a short one");
	if (p->request.kind == INLAY_RING_READ)
		require(painted(inlay_ring_requester_slot(&s->q, p->request.slot), c->length, p->seed), "other data was read");
	require(inlay_ring_slots_give(&s->slots, p->request.slot) == 0, "a slot came back twice");
	s->used[p - s->pending] = false;
	s->taken_out++;
	pthread_cond_broadcast(&s->given);
}

static void *take_completions(void *argument)
{
	struct stress *s = argument;
	struct inlay_ring_completion c[4];

	for (uint32_t total = 0; total < ASKERS * s->each;) {
		int n = inlay_ring_requester_pop(&s->q, c, 4);

		require(n >= 0, "the requester's ring died");
		pthread_mutex_lock(&s->lock);
		for (int i = 0; i < n; i++)
			finish_request(s, &c[i]);
		pthread_mutex_unlock(&s->lock);
		total += (uint32_t)n;
		if (!n && inlay_ring_requester_sleep(&s->q)) {
			event_wait(&s->completions);
			inlay_ring_requester_wake(&s->q);
		}
	}
	return NULL;
}

static void *take_requests(void *argument)
{
	struct stress *s = argument;
	struct inlay_ring_request q[8];

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		int n = inlay_ring_responder_pop(&s->p, q, 8);

		require(n >= 0, "the responder's ring died");
		pthread_mutex_lock(&s->work_lock);
		for (int i = 0; i < n; i++)
			if (q[i].kind != INLAY_RING_CANCEL) {
				require(s->work_count < 64, "more than entries without an answer");
				s->work[s->work_count++] = q[i];
			}
		pthread_cond_signal(&s->work_came);
		pthread_mutex_unlock(&s->work_lock);
		if (!n && inlay_ring_responder_sleep(&s->p)) {
			event_wait(&s->requests);
			inlay_ring_responder_wake(&s->p);
		}
	}
	return NULL;
}

static void answer(struct stress *s, const struct inlay_ring_request *q)
{
	struct inlay_ring_completion c = {.tag = q->tag, .length = q->length};
	uint8_t *slot = inlay_ring_responder_slot(&s->p, q->slot);

	if (q->kind == INLAY_RING_WRITE)
		require(painted(slot, q->length, (uint32_t)q->offset), "other data was written");
	else
		paint(slot, q->length, (uint32_t)q->offset);
	require(inlay_ring_responder_push(&s->p, &c) == 0, "no room for an answer");
}

static void *answer_requests(void *argument)
{
	struct stress *s = argument;
	uint32_t seed = 77;

	while (s->answered < ASKERS * s->each) {
		struct inlay_ring_request q[3];
		uint32_t n = 0;

		pthread_mutex_lock(&s->work_lock);
		while (!s->work_count)
			pthread_cond_wait(&s->work_came, &s->work_lock);
		for (; n < 3 && s->work_count; n++) {
			uint32_t i = draw(&seed) % s->work_count;

			q[n] = s->work[i];
			s->work[i] = s->work[--s->work_count];
		}
		pthread_mutex_unlock(&s->work_lock);
		for (uint32_t i = 0; i < n; i++)
			answer(s, &q[i]);
		s->answered += n;
		if (inlay_ring_responder_publish(&s->p))
			event_set(&s->completions);
	}
	return NULL;
}

static void stress(uint32_t entries, uint32_t tags, uint32_t each)
{
	static struct stress s;
	static const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static const pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct inlay_ring_geometry g;
	pthread_t threads[ASKERS + 3];

	s = (struct stress){.entries = entries, .each = each, .lock = lock, .given = cond, .work_lock = lock, .work_came = cond,
	                    .requests = {.lock = lock, .changed = cond}, .completions = {.lock = lock, .changed = cond}};
	assert_int_equal(inlay_ring_layout(&g, entries, SLOTS, INLAY_RING_SLOT_MIN), 0);
	s.section = aligned_alloc(4096, g.size);
	assert_non_null(s.section);
	assert_int_equal(inlay_ring_responder_open(&s.p, s.section, &g), 0);
	assert_int_equal(inlay_ring_requester_open(&s.q, s.section, g.size), 0);
	inlay_ring_tags_init(&s.tags, s.tag_room, tags);
	inlay_ring_slots_init(&s.slots, s.slot_room, SLOTS);
	for (unsigned i = 0; i < ASKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &s), 0);
	assert_int_equal(pthread_create(&threads[ASKERS], NULL, take_completions, &s), 0);
	assert_int_equal(pthread_create(&threads[ASKERS + 1], NULL, answer_requests, &s), 0);
	assert_int_equal(pthread_create(&threads[ASKERS + 2], NULL, take_requests, &s), 0);
	for (unsigned i = 0; i < ASKERS + 2; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	event_set(&s.requests);
	pthread_join(threads[ASKERS + 2], NULL);
	assert_int_equal(s.taken_out, ASKERS * each);
	assert_int_equal(s.tags.taken, 0);
	assert_int_equal(s.slots.taken, 0);
	free(s.section);
}

static void a_wide_ring(void **state)
{
	(void)state;
	stress(64, 16, 4000);
}

/* Every tag is in use, cancels fill the ring, and everybody sleeps often. */
static void a_narrow_ring(void **state)
{
	(void)state;
	stress(4, 4, 2000);
	stress(1, 1, 500);
}

#define CANCELS 20000u

static void *only_cancel(void *argument)
{
	struct stress *s = argument;
	struct inlay_ring_request q = {.kind = INLAY_RING_CANCEL, .slot = INLAY_RING_NO_SLOT};

	while (q.offset < CANCELS) {
		int status = inlay_ring_requester_push(&s->q, &q);

		require(status == 0 || status == -INLAY_EAGAIN, "the requester's ring died");
		if (status == 0)
			q.offset++;
		else
			sched_yield();
		if (inlay_ring_requester_publish(&s->q))
			event_set(&s->requests);
	}
	return NULL;
}

/* Nothing but the ring's own indexes says here when an entry may be written again. */
static void entries_without_answers(void **state)
{
	static struct stress s;
	struct inlay_ring_request q[2];
	struct inlay_ring_geometry g;
	pthread_t thread;

	(void)state;
	pthread_mutex_init(&s.requests.lock, NULL);
	pthread_cond_init(&s.requests.changed, NULL);
	assert_int_equal(inlay_ring_layout(&g, 4, 1, INLAY_RING_SLOT_MIN), 0);
	s.section = aligned_alloc(4096, g.size);
	assert_non_null(s.section);
	assert_int_equal(inlay_ring_responder_open(&s.p, s.section, &g), 0);
	assert_int_equal(inlay_ring_requester_open(&s.q, s.section, g.size), 0);
	assert_int_equal(pthread_create(&thread, NULL, only_cancel, &s), 0);
	for (uint32_t next = 0; next < CANCELS;) {
		int n = inlay_ring_responder_pop(&s.p, q, 2);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			assert_int_equal(q[i].offset, next++);
		if (!n && inlay_ring_responder_sleep(&s.p)) {
			event_wait(&s.requests);
			inlay_ring_responder_wake(&s.p);
		}
	}
	pthread_join(thread, NULL);
	free(s.section);
}

RUN_TESTS(cmocka_unit_test(a_wide_ring), cmocka_unit_test(a_narrow_ring), cmocka_unit_test(entries_without_answers))

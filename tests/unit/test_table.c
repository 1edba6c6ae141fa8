/*
 * The handle table: ids, references, limits, and threads that race over it (for the thread sanitizer, too).
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/table.h"

#include "support.h"

#include "base/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct object {
	atomic_int released;
	atomic_int users; /* threads that hold a reference now */
	uint64_t id;
};

static void release(void *object, void *arg)
{
	struct object *o = object;
	atomic_uint *releases = arg;

	assert_int_equal(atomic_load(&o->users), 0);
	atomic_fetch_add(&o->released, 1);
	atomic_fetch_add(releases, 1);
}

static void gives_out_and_finds(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(100, release, &releases);
	struct object o[2] = {0};

	(void)state;
	assert_non_null(t);
	assert_true(inlay_table_add(t, &o[0], &o[0].id) > 0);
	assert_true(inlay_table_add(t, &o[1], &o[1].id) > 0);
	assert_true(o[0].id != 0 && o[1].id != 0 && o[0].id != o[1].id);
	assert_int_equal(inlay_table_count(t), 2);
	assert_ptr_equal(inlay_table_get(t, o[0].id), &o[0]);
	assert_ptr_equal(inlay_table_get(t, o[1].id), &o[1]);
	inlay_table_put(t, o[0].id);
	inlay_table_put(t, o[1].id);
	assert_int_equal(atomic_load(&releases), 0);
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 2);
	inlay_table_free(NULL);
}

static void invented_ids_are_refused(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(UINT32_MAX, release, &releases);
	struct object o = {0};

	(void)state;
	assert_non_null(t);
	assert_null(inlay_table_get(t, 1));
	assert_true(inlay_table_add(t, &o, &o.id) > 0);
	for (unsigned bit = 0; bit < 64; bit++) {
		assert_null(inlay_table_get(t, o.id ^ (UINT64_C(1) << bit)));
		assert_int_equal(inlay_table_remove(t, o.id ^ (UINT64_C(1) << bit)), -INLAY_EBADF);
	}
	assert_null(inlay_table_get(t, 0));
	assert_null(inlay_table_get(t, UINT64_MAX));
	assert_null(inlay_table_get(t, (uint32_t)o.id));          /* generation 0 */
	assert_null(inlay_table_get(t, o.id >> 32 << 32));        /* no index */
	assert_null(inlay_table_get(t, (uint32_t)o.id + 1));      /* a place not used yet, as it is at first */
	assert_int_equal(inlay_table_remove(t, (uint32_t)o.id + 1), -INLAY_EBADF);
	assert_int_equal(inlay_table_count(t), 1);
	inlay_table_free(t);
}

static void stale_ids_are_refused(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(1, release, &releases);
	struct object o = {0};
	uint64_t ids[1000];

	(void)state;
	assert_non_null(t);
	for (int i = 0; i < 1000; i++) {
		assert_true(inlay_table_add(t, &o, &ids[i]) > 0);
		assert_ptr_equal(inlay_table_get(t, ids[i]), &o);
		inlay_table_put(t, ids[i]);
		for (int k = 0; k < i; k++)
			assert_null(inlay_table_get(t, ids[k]));
		assert_int_equal(inlay_table_remove(t, ids[i]), 0);
		assert_int_equal(inlay_table_remove(t, ids[i]), -INLAY_EBADF);
		assert_null(inlay_table_get(t, ids[i]));
	}
	assert_int_equal(atomic_load(&releases), 1000);
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 1000);
}

static void last_reference_releases(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(2, release, &releases);
	struct object o = {0};

	(void)state;
	assert_non_null(t);
	assert_true(inlay_table_add(t, &o, &o.id) > 0);
	assert_non_null(inlay_table_get(t, o.id));
	assert_non_null(inlay_table_get(t, o.id));
	assert_int_equal(inlay_table_remove(t, o.id), 0);
	assert_int_equal(inlay_table_count(t), 0);
	assert_null(inlay_table_get(t, o.id));
	inlay_table_put(t, o.id);
	assert_int_equal(atomic_load(&releases), 0);
	inlay_table_put(t, o.id);
	assert_int_equal(atomic_load(&releases), 1);
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 1);
}

static void limit_holds_and_comes_back(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(70, release, &releases); /* into the second chunk */
	struct object o = {0};
	uint64_t ids[70], id = 42;

	(void)state;
	assert_non_null(t);
	for (int i = 0; i < 70; i++)
		assert_true(inlay_table_add(t, &o, &ids[i]) > 0);
	assert_int_equal(inlay_table_add(t, &o, &id), -INLAY_ELIMIT);
	assert_int_equal(id, 42);

	/* An entry that somebody still uses counts. */
	assert_non_null(inlay_table_get(t, ids[7]));
	assert_int_equal(inlay_table_remove(t, ids[7]), 0);
	assert_int_equal(inlay_table_add(t, &o, &id), -INLAY_ELIMIT);
	inlay_table_put(t, ids[7]);
	assert_true(inlay_table_add(t, &o, &id) > 0);
	assert_int_equal(inlay_table_add(t, &o, &id), -INLAY_ELIMIT);
	assert_int_equal(inlay_table_count(t), 70);
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 71);
}

static void empty_table_of_none(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(0, release, &releases);
	struct object o = {0};

	(void)state;
	assert_non_null(t);
	assert_int_equal(inlay_table_add(t, &o, &o.id), -INLAY_ELIMIT);
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 0);
}

static void many_entries_over_many_chunks(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(1u << 20, release, &releases);
	struct object *o = calloc(50000, sizeof(*o));

	(void)state;
	assert_non_null(t);
	assert_non_null(o);
	for (int i = 0; i < 50000; i++)
		assert_true(inlay_table_add(t, &o[i], &o[i].id) > 0);
	for (int i = 0; i < 50000; i++) {
		assert_ptr_equal(inlay_table_get(t, o[i].id), &o[i]);
		inlay_table_put(t, o[i].id);
	}
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 50000);
	for (int i = 0; i < 50000; i++)
		assert_int_equal(atomic_load(&o[i].released), 1);
	free(o);
}

struct visit {
	struct inlay_table *t;
	unsigned count;
	uint64_t sum;
};

static void visit_and_remove(uint64_t id, void *object, void *arg)
{
	struct visit *v = arg;
	struct object *o = object;

	assert_true(o->id == id);
	v->count++;
	v->sum += id;
	assert_int_equal(inlay_table_remove(v->t, id), 0);
	assert_int_equal(atomic_load(&o->released), 0); /* the call holds a reference */
}

static void each_visits_the_valid_once(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(500, release, &releases);
	struct object o[300] = {0};
	struct visit v = {.t = t};
	uint64_t sum = 0;

	(void)state;
	assert_non_null(t);
	for (int i = 0; i < 300; i++)
		assert_true(inlay_table_add(t, &o[i], &o[i].id) > 0);
	for (int i = 0; i < 300; i += 3)
		assert_int_equal(inlay_table_remove(t, o[i].id), 0);
	for (int i = 0; i < 300; i++)
		sum += i % 3 ? o[i].id : 0;
	inlay_table_each(t, visit_and_remove, &v);
	assert_int_equal(v.count, 200);
	assert_true(v.sum == sum);
	assert_int_equal(atomic_load(&releases), 300);
	v.count = 0;
	inlay_table_each(t, visit_and_remove, &v);
	assert_int_equal(v.count, 0);
	inlay_table_free(t);
}

/*
 * Threads add, get, put and remove over a few shared places for ids. Whatever happens, an object that a thread holds
 * is not released, a get answers with the object of that id, and at the end each object was released exactly once.
 */
#define THREADS 4
#define PLACES 8
#define ROUNDS 20000
#define MAGIC 0x6d61676963

struct race {
	struct inlay_table *t;
	_Atomic uint64_t places[PLACES];
	atomic_uint adds, removes, hits, misses, visits, releases, errors;
};

static void release_raced(void *object, void *arg)
{
	struct object *o = object;
	struct race *race = arg;

	if (atomic_load(&o->users) != 0 || atomic_fetch_add(&o->released, 1) != 0)
		atomic_fetch_add(&race->errors, 1);
	atomic_fetch_add(&race->releases, 1);
	free(o);
}

static void race_add(struct race *race, _Atomic uint64_t *place)
{
	struct object *o = calloc(1, sizeof(*o));
	uint64_t id = 0;

	if (o)
		o->id = MAGIC;
	if (!o || inlay_table_add(race->t, o, &id) <= 0) {
		atomic_fetch_add(&race->errors, 1);
		free(o);
		return;
	}
	atomic_fetch_add(&race->adds, 1);
	id = atomic_exchange(place, id);
	if (id && inlay_table_remove(race->t, id) == 0)
		atomic_fetch_add(&race->removes, 1);
}

static void race_use(struct race *race, _Atomic uint64_t *place)
{
	uint64_t id = atomic_load(place);
	struct object *o = inlay_table_get(race->t, id);

	if (!o) {
		atomic_fetch_add(&race->misses, 1);
		return;
	}
	atomic_fetch_add(&race->hits, 1);
	atomic_fetch_add(&o->users, 1);
	if (atomic_load(&o->released))
		atomic_fetch_add(&race->errors, 1);
	atomic_fetch_sub(&o->users, 1);
	inlay_table_put(race->t, id);
}

/* Finds objects whose ids nobody told this thread: what add wrote must be visible by the table's own means. */
static void race_visit(uint64_t id, void *object, void *arg)
{
	struct object *o = object;
	struct race *race = arg;

	atomic_fetch_add(&race->visits, 1);
	if (!id || o->id != MAGIC || atomic_load(&o->released))
		atomic_fetch_add(&race->errors, 1);
}

static void *race_thread(void *arg)
{
	struct race *race = arg;
	uint32_t seed = (uint32_t)(uintptr_t)pthread_self() | 1;

	for (int i = 0; i < ROUNDS; i++) {
		_Atomic uint64_t *place;

		seed = seed * 1664525 + 1013904223;
		place = &race->places[seed >> 8 & (PLACES - 1)];
		switch (seed >> 20 & 7) {
		case 0:
			race_add(race, place);
			break;
		case 1:
			if (inlay_table_remove(race->t, atomic_load(place)) == 0)
				atomic_fetch_add(&race->removes, 1);
			break;
		case 2:
			if (seed >> 23 & 1)
				inlay_table_each(race->t, race_visit, race);
			break;
		default:
			race_use(race, place);
			break;
		}
	}
	return NULL;
}

static void threads_race(void **state)
{
	static struct race race;
	pthread_t threads[THREADS];

	(void)state;
	race.t = inlay_table_new(PLACES + 4 * THREADS, release_raced, &race);
	assert_non_null(race.t);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_thread, &race), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);

	assert_int_equal(atomic_load(&race.errors), 0);
	assert_int_equal(inlay_table_count(race.t), atomic_load(&race.adds) - atomic_load(&race.removes));
	assert_int_equal(atomic_load(&race.releases), atomic_load(&race.removes));
	/* The race did happen: everything was tried often. */
	assert_true(atomic_load(&race.adds) > 1000);
	assert_true(atomic_load(&race.hits) > 1000);
	assert_true(atomic_load(&race.removes) > 1000);
	assert_true(atomic_load(&race.visits) > 1000);
	inlay_table_free(race.t);
	assert_int_equal(atomic_load(&race.releases), atomic_load(&race.adds));
}

static void restores_ids_in_their_order(void **state)
{
	atomic_uint releases = 0;
	struct inlay_table *t = inlay_table_new(1000, release, &releases);
	struct object o[4] = {0};
	uint64_t first = UINT64_C(7) << 32 | 3, second = UINT64_C(1) << 32 | 200;

	(void)state;
	inlay_table_begin_at(t, 50);
	assert_true(inlay_table_restore(t, &o[0], first));
	assert_false(inlay_table_restore(t, &o[1], UINT64_C(9) << 32 | 2)); /* not in their order */
	assert_false(inlay_table_restore(t, &o[1], 4));                     /* generation 0 is no id's */
	assert_false(inlay_table_restore(t, &o[1], UINT64_C(1) << 32 | 1001));
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 1);

	t = inlay_table_new(1000, release, &releases);
	inlay_table_begin_at(t, 50);
	assert_true(inlay_table_restore(t, &o[0], first) && inlay_table_restore(t, &o[1], second));
	assert_int_equal(inlay_table_count(t), 2);
	assert_ptr_equal(inlay_table_get(t, first), &o[0]);
	assert_ptr_equal(inlay_table_get(t, second), &o[1]);
	inlay_table_put(t, first);
	inlay_table_put(t, second);
	/* What comes now has no id that may have been given out before. */
	for (unsigned i = 2; i < 4; i++) {
		assert_true(inlay_table_add(t, &o[i], &o[i].id) > 0);
		assert_int_equal(o[i].id >> 32, 50);
	}
	assert_int_equal(inlay_table_remove(t, first), 0);
	assert_null(inlay_table_get(t, first));
	inlay_table_free(t);
	assert_int_equal(atomic_load(&releases), 5);
}

RUN_TESTS(
	cmocka_unit_test(restores_ids_in_their_order),
	cmocka_unit_test(gives_out_and_finds), cmocka_unit_test(invented_ids_are_refused),
	cmocka_unit_test(stale_ids_are_refused), cmocka_unit_test(last_reference_releases),
	cmocka_unit_test(limit_holds_and_comes_back), cmocka_unit_test(empty_table_of_none),
	cmocka_unit_test(many_entries_over_many_chunks), cmocka_unit_test(each_visits_the_valid_once),
	cmocka_unit_test(threads_race))

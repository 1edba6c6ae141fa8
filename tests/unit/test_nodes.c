/*
 * The node table: what is learnt and forgotten, names and paths, merged directories, hostile shapes, many threads.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "redirect/nodes.h"

#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DIR 0040000u
#define REG 0100000u

static struct inlay_nodes *nodes;
static struct inlay_node *root;

static struct inlay_node_id id(uint64_t n)
{
	struct inlay_node_id i = {{0}};

	memcpy(i.bytes, &n, sizeof n);
	return i;
}

static int setup(void **state)
{
	const struct inlay_hash_key seed = {{1, 2}};
	const struct inlay_node_id l = id(1), r = id(1001);
	const struct inlay_node_id *roots[INLAY_SIDES] = {&l, &r};

	(void)state;
	assert_int_equal(inlay_nodes_new(&seed, roots, &nodes), 0);
	root = inlay_node_get(nodes, INLAY_ROOT_NUMBER);
	assert_non_null(root);
	assert_int_equal(root->number, INLAY_ROOT_NUMBER);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	inlay_node_put(root);
	inlay_nodes_free(nodes); /* asserts that no reference is left */
	return 0;
}

/* 0: not on that side. */
static struct inlay_node *learn(struct inlay_node *parent, const char *name, uint32_t type, uint64_t l, uint64_t r)
{
	const struct inlay_node_id il = id(l), ir = id(r);
	const struct inlay_node_id *ids[INLAY_SIDES] = {l ? &il : NULL, r ? &ir : NULL};

	return inlay_node_learn(parent, inlay_str(name), type, ids, 0);
}

static bool forget(uint64_t number, uint64_t count, struct inlay_forgotten *ret)
{
	memset(ret, 0xee, sizeof *ret);
	return inlay_node_forget(nodes, number, count, ret);
}

static void assert_path(struct inlay_node *dir, const char *name, const char *want)
{
	char buf[256];

	assert_int_equal(inlay_node_path(dir, inlay_str(name), buf, sizeof buf), (int)strlen(want));
	assert_string_equal(buf, want);
}

static void the_root_is_known_and_never_forgotten(void **state)
{
	struct inlay_forgotten gone;

	(void)state;
	assert_true(inlay_node_on(root, INLAY_LOCAL) && inlay_node_on(root, INLAY_REMOTE));
	assert_int_equal(inlay_node_side(root), INLAY_LOCAL);
	assert_false(forget(INLAY_ROOT_NUMBER, 1, &gone));
	assert_false(forget(INLAY_ROOT_NUMBER, UINT64_MAX, &gone));
	assert_false(forget(root->table_id, 1, &gone)); /* under its other number */
	assert_path(root, "", "");
	assert_path(root, "a", "a");
	assert_int_equal(inlay_nodes_count(nodes), 1);
	assert_null(inlay_node_get(nodes, 0));
	assert_null(inlay_node_get(nodes, 2));
	assert_null(inlay_node_get(nodes, UINT64_MAX));
}

static void a_node_lives_by_its_lookups(void **state)
{
	struct inlay_node *n = learn(root, "f", REG, 0, 7), *again;
	struct inlay_forgotten gone;
	uint64_t number = n->number;

	(void)state;
	again = learn(root, "f", REG, 0, 7);
	assert_ptr_equal(n, again);
	inlay_node_put(again);
	assert_false(forget(number, 1, &gone));
	inlay_node_put(n);
	assert_int_equal(inlay_nodes_count(nodes), 2);
	assert_true(forget(number, 1, &gone));
	assert_int_equal(gone.pins[INLAY_LOCAL], 0);
	assert_int_equal(gone.pins[INLAY_REMOTE], 2);
	assert_memory_equal(&gone.id[INLAY_REMOTE], &(struct inlay_node_id){{7}}, sizeof(struct inlay_node_id));
	assert_null(inlay_node_get(nodes, number));
	assert_false(forget(number, 1, &gone)); /* stale: refused, not followed */
	n = learn(root, "f", REG, 0, 7);
	assert_true(n->number != number);
	assert_true(forget(n->number, 1000, &gone)); /* more than there are */
	inlay_node_put(n);
}

static void a_forgotten_node_stays_readable_for_who_holds_it(void **state)
{
	struct inlay_node *n = learn(root, "d", DIR, 5, 0), *child;
	struct inlay_forgotten gone;
	char name[INLAY_NAME_MAX + 1];

	(void)state;
	assert_true(forget(n->number, 1, &gone));
	assert_null(inlay_node_ref(n));
	assert_path(n, "x", "d/x");
	/* A child that turns up meanwhile has no parent to hold: it is not mistaken for one of the root. */
	child = learn(n, "x", REG, 6, 0);
	assert_non_null(child);
	assert_null(inlay_node_parent(child, name));
	inlay_node_put(n);
	assert_true(forget(child->number, 1, &gone));
	inlay_node_put(child);
}

static void hard_links_are_one_node_with_the_last_name(void **state)
{
	struct inlay_node *d = learn(root, "d", DIR, 0, 2), *a = learn(root, "a", REG, 0, 3), *b = learn(d, "b", REG, 0, 3);
	struct inlay_forgotten gone;
	char name[INLAY_NAME_MAX + 1];
	struct inlay_node *parent;

	(void)state;
	assert_ptr_equal(a, b);
	parent = inlay_node_parent(a, name);
	assert_ptr_equal(parent, d);
	assert_string_equal(name, "b");
	inlay_node_put(parent);
	assert_path(a, "", "d/b");
	inlay_node_put(a);
	a = learn(root, "a", REG, 0, 3);
	assert_path(a, "", "a");
	assert_true(forget(a->number, 3, &gone));
	assert_int_equal(gone.pins[INLAY_REMOTE], 3);
	inlay_node_put(a);
	inlay_node_put(b);
	assert_true(forget(d->number, 1, &gone));
	inlay_node_put(d);
}

/* The same number on both sides is two files. */
static void identities_are_per_side(void **state)
{
	struct inlay_node *l = learn(root, "l", REG, 9, 0), *r = learn(root, "r", REG, 0, 9);
	struct inlay_forgotten gone;

	(void)state;
	assert_ptr_not_equal(l, r);
	assert_int_equal(inlay_node_side(l), INLAY_LOCAL);
	assert_int_equal(inlay_node_side(r), INLAY_REMOTE);
	assert_true(forget(l->number, 1, &gone) && forget(r->number, 1, &gone));
	inlay_node_put(l);
	inlay_node_put(r);
}

static void a_directory_may_gain_its_other_side(void **state)
{
	struct inlay_node *d = learn(root, "d", DIR, 0, 4), *same;
	struct inlay_node_id l = id(40), other = id(41);
	struct inlay_forgotten gone;

	(void)state;
	assert_true(inlay_node_add_side(d, INLAY_LOCAL, &l));
	assert_false(inlay_node_add_side(d, INLAY_LOCAL, &other)); /* it has one already */
	assert_true(inlay_node_add_side(d, INLAY_LOCAL, &l)); /* the same again: one more reply that named it */
	assert_int_equal(inlay_node_side(d), INLAY_LOCAL);
	same = learn(root, "d", DIR, 40, 0);
	assert_ptr_equal(same, d);
	inlay_node_put(same);
	same = learn(root, "d", DIR, 40, 4);
	assert_ptr_equal(same, d);
	inlay_node_put(same);
	assert_true(forget(d->number, 3, &gone));
	assert_int_equal(gone.pins[INLAY_LOCAL], 4);
	assert_int_equal(gone.pins[INLAY_REMOTE], 2);
	inlay_node_put(d);
}

/* Two directories that were known apart are now said to be one: each keeps the pins of the identity that is its own. */
static void merging_late_keeps_pins_with_their_identity(void **state)
{
	struct inlay_node *a = learn(root, "a", DIR, 50, 0), *b = learn(root, "b", DIR, 0, 51), *m;
	struct inlay_forgotten gone;

	(void)state;
	m = learn(root, "a", DIR, 50, 51);
	assert_ptr_equal(m, a);
	assert_true(forget(a->number, 2, &gone));
	assert_int_equal(gone.pins[INLAY_LOCAL], 2);
	assert_int_equal(gone.pins[INLAY_REMOTE], 0);
	assert_true(forget(b->number, 1, &gone));
	assert_int_equal(gone.pins[INLAY_REMOTE], 2);
	inlay_node_put(a);
	inlay_node_put(m);
	inlay_node_put(b);
}

/* Others remove one half of a merged directory, or put another in its place. */
static void a_directory_with_another_half_is_another(void **state)
{
	const struct inlay_node_id l = id(55);
	const struct inlay_node_id *local_only[INLAY_SIDES] = {&l, NULL};
	struct inlay_node *d = learn(root, "d", DIR, 55, 56), *same, *new, *alone;
	struct inlay_forgotten gone;

	(void)state;
	same = learn(root, "d", DIR, 55, 0); /* the server was not asked: nothing has changed */
	assert_ptr_equal(same, d);
	new = learn(root, "d", DIR, 55, 57);
	assert_ptr_not_equal(new, d);
	assert_memory_equal(&new->id[INLAY_REMOTE], &(struct inlay_node_id){{57}}, sizeof(struct inlay_node_id));
	alone = inlay_node_learn(root, INLAY_STR("d"), DIR, local_only, 1u << INLAY_REMOTE);
	assert_ptr_not_equal(alone, new);
	assert_false(inlay_node_on(alone, INLAY_REMOTE));
	assert_false(inlay_node_add_side(d, INLAY_REMOTE, &l)); /* what was replaced stays as it is */
	assert_true(forget(new->number, 1, &gone));
	assert_int_equal(gone.pins[INLAY_LOCAL], 1);
	assert_true(forget(d->number, 2, &gone));
	assert_int_equal(gone.pins[INLAY_LOCAL], 2);
	assert_int_equal(gone.pins[INLAY_REMOTE], 1);
	assert_true(forget(alone->number, 1, &gone));
	inlay_node_put(d);
	inlay_node_put(same);
	inlay_node_put(new);
	inlay_node_put(alone);
}

static void paths_are_bounded(void **state)
{
	struct inlay_node *a = learn(root, "abc", DIR, 60, 0), *b = learn(a, "de", DIR, 61, 0);
	struct inlay_forgotten gone;
	char buf[16];

	(void)state;
	assert_int_equal(inlay_node_path(b, INLAY_STR("f"), buf, 9), 8);
	assert_string_equal(buf, "abc/de/f");
	for (size_t cap = 1; cap < 9; cap++)
		assert_int_equal(inlay_node_path(b, INLAY_STR("f"), buf, cap), -INLAY_ENAMETOOLONG);
	assert_int_equal(inlay_node_path(b, INLAY_STR(""), buf, 7), 6);
	assert_true(forget(a->number, 1, &gone)); /* the parent before the child: the child still knows its place */
	inlay_node_put(a);
	assert_path(b, "f", "abc/de/f");
	assert_true(forget(b->number, 1, &gone));
	inlay_node_put(b);
}

/* A name seen where it can't be: a server that says so, or renames of others seen in the wrong order. */
static void directories_never_go_round_in_circles(void **state)
{
	struct inlay_node *a = learn(root, "a", DIR, 0, 70), *b = learn(a, "b", DIR, 0, 71), *c = learn(b, "c", DIR, 0, 72), *n;
	struct inlay_forgotten gone;
	char buf[64];

	(void)state;
	n = learn(c, "a", DIR, 0, 70); /* a within itself */
	assert_ptr_equal(n, a);
	inlay_node_put(n);
	n = learn(a, "a", DIR, 0, 70);
	inlay_node_put(n);
	assert_true(inlay_node_path(c, INLAY_STR("x"), buf, sizeof buf) > 0);
	n = learn(root, "b", DIR, 0, 71); /* the way out is seen: now it may move */
	inlay_node_put(n);
	n = learn(c, "a", DIR, 0, 70);
	inlay_node_put(n);
	assert_path(a, "x", "b/c/a/x");
	assert_true(forget(a->number, 9, &gone) && forget(b->number, 9, &gone) && forget(c->number, 9, &gone));
	inlay_node_put(a);
	inlay_node_put(b);
	inlay_node_put(c);
}

static void deep_chains_are_freed_without_recursion(void **state)
{
	enum { DEEP = 300000 };
	uint64_t *numbers = malloc(DEEP * sizeof *numbers);
	struct inlay_node *dir = inlay_node_ref(root), *leaf;
	struct inlay_forgotten gone;

	(void)state;
	assert_non_null(numbers);
	for (uint64_t i = 0; i < DEEP; i++) {
		struct inlay_node *n = learn(dir, "d", DIR, 0, 100000 + i);

		inlay_node_put(dir);
		numbers[i] = n->number;
		dir = n;
	}
	leaf = dir;
	for (size_t i = 0; i < DEEP; i++)
		assert_true(forget(numbers[i], 1, &gone));
	inlay_node_put(leaf); /* frees them all */
	assert_int_equal(inlay_nodes_count(nodes), 1);
	free(numbers);
}

/* ---- threads: everyone learns, walks and forgets the same few files ---- */

#define THREADS 4
#define ROUNDS 20000

static void *stress(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;
	char buf[512], name[INLAY_NAME_MAX + 1];

	for (int i = 0; i < ROUNDS; i++) {
		struct inlay_node *dir, *n, *up;
		struct inlay_forgotten gone;
		uint64_t x;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		x = seed >> 40;
		dir = x & 1 ? learn(root, x & 2 ? "d" : "e", DIR, 200, x & 4 ? 201 : 0) : inlay_node_ref(root);
		n = learn(dir, x & 8 ? "n" : "m", REG, 300 + (x >> 8) % 7, 0);
		assert_non_null(n);
		assert_true(inlay_node_path(n, INLAY_STR("x"), buf, sizeof buf) > 0);
		up = inlay_node_parent(n, name);
		if (up)
			inlay_node_put(up);
		up = inlay_node_get(nodes, n->number);
		if (up)
			inlay_node_put(up);
		inlay_node_forget(nodes, n->number, 1, &gone);
		inlay_node_put(n);
		if (dir != root)
			inlay_node_forget(nodes, dir->number, 1, &gone);
		inlay_node_put(dir);
	}
	return NULL;
}

static void threads_agree(void **state)
{
	pthread_t t[THREADS];
	uint64_t seed[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		seed[i] = i + 1;
		assert_int_equal(pthread_create(&t[i], NULL, stress, &seed[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(inlay_nodes_count(nodes), 1); /* each lookup was forgotten */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN_TESTS(CASE(the_root_is_known_and_never_forgotten), CASE(a_node_lives_by_its_lookups),
          CASE(a_forgotten_node_stays_readable_for_who_holds_it), CASE(hard_links_are_one_node_with_the_last_name),
          CASE(identities_are_per_side), CASE(a_directory_may_gain_its_other_side),
          CASE(merging_late_keeps_pins_with_their_identity), CASE(a_directory_with_another_half_is_another),
          CASE(paths_are_bounded),
          CASE(directories_never_go_round_in_circles), CASE(deep_chains_are_freed_without_recursion), CASE(threads_agree))

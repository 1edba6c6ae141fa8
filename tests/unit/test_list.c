/*
 * The intrusive list: order, removal, iteration.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/list.h"

#include "support.h"

struct item {
	int value;
	struct inlay_list link;
};

static void expect(const struct inlay_list *head, const int *values, size_t count)
{
	const struct inlay_list *it = head;

	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(it->next->prev, it);
		it = it->next;
		assert_ptr_not_equal(it, head);
		assert_int_equal(inlay_container(it, const struct item, link)->value, values[i]);
	}
	assert_ptr_equal(it->next, head);
	assert_ptr_equal(head->prev, it);
}

#define EXPECT(head, ...) \
	expect(head, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void appends_and_prepends_in_order(void **state)
{
	struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
	struct inlay_list head;

	(void)state;
	inlay_list_init(&head);
	inlay_list_append(&head, &b.link);
	inlay_list_append(&head, &c.link);
	inlay_list_prepend(&head, &a.link);
	EXPECT(&head, 1, 2, 3);
}

static void empty_is_empty(void **state)
{
	struct item a = {.value = 1};
	struct inlay_list head;

	(void)state;
	inlay_list_init(&head);
	assert_true(inlay_list_empty(&head));
	assert_null(inlay_list_pop(&head));
	inlay_list_each(it, &head)
		fail();
	inlay_list_append(&head, &a.link);
	assert_false(inlay_list_empty(&head));
	inlay_list_remove(&a.link);
	assert_true(inlay_list_empty(&head));
}

static void removed_node_is_on_no_list(void **state)
{
	struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};
	struct inlay_list head;

	(void)state;
	inlay_list_init(&head);
	inlay_list_append(&head, &a.link);
	inlay_list_append(&head, &b.link);
	inlay_list_append(&head, &c.link);
	inlay_list_remove(&b.link);
	EXPECT(&head, 1, 3);
	assert_true(inlay_list_empty(&b.link));
	inlay_list_remove(&b.link); /* again: nothing happens to the list */
	EXPECT(&head, 1, 3);
}

static void pops_the_first(void **state)
{
	struct item a = {.value = 1}, b = {.value = 2};
	struct inlay_list head;

	(void)state;
	inlay_list_init(&head);
	inlay_list_append(&head, &a.link);
	inlay_list_append(&head, &b.link);
	assert_ptr_equal(inlay_list_pop(&head), &a.link);
	assert_true(inlay_list_empty(&a.link));
	assert_ptr_equal(inlay_list_pop(&head), &b.link);
	assert_null(inlay_list_pop(&head));
}

static void safe_iteration_survives_removal(void **state)
{
	struct item items[6];
	struct inlay_list head;
	int visited = 0;

	(void)state;
	inlay_list_init(&head);
	for (int i = 0; i < 6; i++) {
		items[i].value = i;
		inlay_list_append(&head, &items[i].link);
	}
	inlay_list_each_safe(it, tmp, &head) {
		visited++;
		if (inlay_container(it, struct item, link)->value % 2)
			inlay_list_remove(it);
	}
	assert_int_equal(visited, 6);
	EXPECT(&head, 0, 2, 4);
}

RUN_TESTS(
	cmocka_unit_test(appends_and_prepends_in_order), cmocka_unit_test(empty_is_empty),
	cmocka_unit_test(removed_node_is_on_no_list), cmocka_unit_test(pops_the_first),
	cmocka_unit_test(safe_iteration_survives_removal))

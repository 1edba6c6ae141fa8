/*
 * Intrusive doubly linked list; a node that is on no list points at itself. Not thread-safe: the owner locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_LIST_H
#define INLAY_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct inlay_list {
	struct inlay_list *next, *prev;
};

#define inlay_container(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define inlay_list_each(it, head) for (struct inlay_list *it = (head)->next; it != (head); it = it->next)
/* Safe against removal of `it` itself. */
#define inlay_list_each_safe(it, tmp, head) \
	for (struct inlay_list *it = (head)->next, *tmp = it->next; it != (head); it = tmp, tmp = it->next)

static inline void inlay_list_init(struct inlay_list *l)
{
	l->next = l->prev = l;
}

static inline bool inlay_list_empty(const struct inlay_list *l)
{
	return l->next == l;
}

static inline void inlay_list_append(struct inlay_list *head, struct inlay_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void inlay_list_prepend(struct inlay_list *head, struct inlay_list *node)
{
	inlay_list_append(head->next, node);
}

static inline void inlay_list_remove(struct inlay_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	inlay_list_init(node);
}

/* Removes and returns the first node, NULL when empty. */
static inline struct inlay_list *inlay_list_pop(struct inlay_list *head)
{
	struct inlay_list *first = head->next;

	if (first == head)
		return NULL;
	inlay_list_remove(first);
	return first;
}

#endif

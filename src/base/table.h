/*
 * Handle table: gives out 64-bit ids for objects and finds them again without a lock, from any thread.
 * An id is index and generation, so a stale or invented id is refused, never followed. Each entry counts references:
 * the object is released by the last of inlay_table_put(), after inlay_table_remove() has made the id invalid.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_TABLE_H
#define INLAY_BASE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct inlay_table;

/*
 * max: entries at most. release runs exactly once per object, on the thread that drops the last reference (it may be
 * inside inlay_table_put, inlay_table_remove or inlay_table_free). NULL when out of memory.
 */
struct inlay_table *inlay_table_new(uint32_t max, void (*release)(void *object, void *arg), void *arg);
/* Removes every entry, releases their objects and frees the table; no reference may be outstanding. NULL is fine. */
void inlay_table_free(struct inlay_table *t);

/* Stores the object; > 0: its id is in *ret_id (never 0). -INLAY_ELIMIT or -INLAY_ENOMEM: nothing is stored. */
int inlay_table_add(struct inlay_table *t, void *object, uint64_t *ret_id);
/*
 * As inlay_table_add, but with the id that it had in the table of a process before this one. Ids must come in the order of their
 * low halves, before anything is added. False: out of memory, or not an id that may come now.
 */
bool inlay_table_restore(struct inlay_table *t, void *object, uint64_t id);
/* The generation that entries begin with, 1 if never set: so that none has an id which it had before the restore. */
void inlay_table_begin_at(struct inlay_table *t, uint32_t generation);
/* Takes a reference; NULL for an id that is not (or no longer) valid. Lock-free. */
void *inlay_table_get(struct inlay_table *t, uint64_t id);
/* Drops the reference that a get of this id took. Lock-free. */
void inlay_table_put(struct inlay_table *t, uint64_t id);
/* Makes the id invalid; 0, or -INLAY_EBADF when it was not valid (so that exactly one of two removers wins). */
int inlay_table_remove(struct inlay_table *t, uint64_t id);
/* Valid entries. */
uint32_t inlay_table_count(const struct inlay_table *t);
/* Calls fn for each valid id, with a reference held during the call. Entries added meanwhile may be missed. */
void inlay_table_each(struct inlay_table *t, void (*fn)(uint64_t id, void *object, void *arg), void *arg);

#endif

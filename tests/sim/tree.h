/*
 * What the store must hold: a model of the tree, fed by what the store was asked to do and what it answered.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A name in a directory, or a block of a file, is a register: the history of its values, and a floor, the oldest value that
 * may still be found after a crash. A commit moves the floor once a client was told of its success. After a crash any value from
 * the floor on may be there: that is the set of possible outcomes.
 */
#ifndef INLAY_TESTS_SIM_TREE_H
#define INLAY_TESTS_SIM_TREE_H

#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define TREE_NAMES 8u
#define TREE_BLOCK 1024u               /* bytes of a block of a plain file */
#define TREE_BLOCKS 32u
#define TREE_BASE (65536u - 16u * TREE_BLOCK) /* where its blocks begin: they lie on both sides of a chunk's border of the store */
#define TREE_RECORD 64u                /* bytes of a record of a log, which is only appended to */
#define TREE_RECORDS 400u

/* "d..": directories; "l..": logs; others: plain files. */
extern const char *const tree_names[TREE_NAMES];
int tree_name(struct inlay_str s); /* its number, -1: none of ours */

void tree_begin(struct inlay_store *store);
void tree_end(void);
uint64_t tree_ino(struct inlay_store_node *n);
uint64_t tree_root(void);
bool tree_is_log(uint64_t ino);
bool tree_is_dir(uint64_t ino);
uint32_t tree_records(uint64_t ino); /* of a log, about; 0 for others */
bool tree_exists(uint64_t ino); /* under any name that can be reached */
/* 0: nothing there. */
uint64_t tree_find(uint64_t dir, int name);

/* Differs whenever the name stands for something else than before. */
uint64_t tree_version(uint64_t dir, int name);

/* The bytes of block `index` (of a record: 0), written by the operation of that number. */
void tree_fill(uint8_t *p, uint32_t len, uint64_t tag, uint32_t index);

/* ---- the store did it ---- */

void tree_made(uint64_t dir, int name, uint64_t ino, bool is_dir);
void tree_linked(uint64_t dir, int name, uint64_t ino);
void tree_removed(uint64_t dir, int name);
/* False: nothing has changed. */
bool tree_renamed(uint64_t from_dir, int from, uint64_t to_dir, int to, uint32_t flags);
void tree_wrote(uint64_t ino, uint64_t off, const uint8_t *bytes, size_t len);

/* A READ of len bytes brought these, and then so many zeros. */
void tree_check_read(uint64_t ino, uint64_t off, uint64_t len, const uint8_t *bytes, size_t count, size_t zeros);

/* ---- durability ---- */

/* What stood in some registers at a moment. */
struct tree_mark {
	uint64_t ino;
	unsigned count;
	struct tree_point {
		uint32_t reg, at;
	} *point;
};
/* All of the file, or of the directory; of a file only what lies in off .. off + len. */
void tree_mark(uint64_t ino, uint64_t off, uint64_t len, struct tree_mark *ret);
void tree_mark_done(struct tree_mark *m);
/* A client was told that what stood there then is durable. */
void tree_durable(const struct tree_mark *m);

/* The store writes some of it to its disk by itself, as a host does at any time and in any order. */
void tree_spill(void);
/* Compares all; after a crash what was found becomes what must be there. */
void tree_check(bool crashed);

#endif

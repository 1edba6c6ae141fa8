/*
 * What the kernel knows of the tree: one node per file, with its identity on each side that has it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A node is found by the kernel's number without a lock. The table's mutex covers lookup counts, names and the map
 * from side identities to nodes; reads and writes of open files never take it.
 */
#ifndef INLAY_REDIRECT_NODES_H
#define INLAY_REDIRECT_NODES_H

#include "base/hash.h"
#include "base/list.h"
#include "redirect/judge.h"
#include "wire/types.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct inlay_estate;
struct inlay_nodes;

struct inlay_node {
	uint64_t number;                 /* the kernel's; INLAY_ROOT_NUMBER for the root */
	uint32_t type;                   /* S_IFMT bits */
	_Atomic bool has[INLAY_SIDES];   /* set once, after id[side] */
	struct inlay_node_id id[INLAY_SIDES];
	_Atomic uint32_t lock_uses;      /* byte-range locks asked for: closing must then release */
	_Atomic uint32_t closing;        /* files with locks whose CLOSE is under way */
	_Atomic uint32_t closes;         /* such CLOSEs that are done */
	_Atomic uint32_t changes;        /* of remote data, neither durable when they were answered nor kept: see unsynced.h */
	_Atomic uint32_t synced;         /* of these: durable by now, or told */
	_Atomic uint32_t changing;       /* changes of remote data that are under way */
	struct inlay_unsynced_file *kept;    /* unsynced.c's, under redirect->kept.lock; NULL: nothing of it is kept */
	struct inlay_list held;          /* remote locks, for reclaim: held.c's, under redirect->held_lock */
	/* The interceptor's: the host's passthrough registration, under its own lock. */
	int backing_id;
	unsigned backing_users;
	/* nodes.c only: */
	struct inlay_nodes *nodes;
	uint64_t table_id;
	uint64_t lookups;
	uint32_t holds;                  /* it is not forgotten for the sake of what is kept of it */
	uint64_t pins[INLAY_SIDES];
	bool replaced;                   /* its identities are another node's now */
	struct inlay_node *parent;       /* referenced; NULL for the root */
	char *name;
	union {
		struct inlay_map_link link[INLAY_SIDES];
		struct inlay_node *next_freed; /* once it is out of the maps */
	};
};

#define INLAY_ROOT_NUMBER 1u

/* root_id[side] NULL: the root does not exist on that side. 0 or -INLAY_ENOMEM. */
int inlay_nodes_new(const struct inlay_hash_key *seed, const struct inlay_node_id *root_id[INLAY_SIDES],
                    struct inlay_nodes **ret);
void inlay_nodes_free(struct inlay_nodes *ns); /* no reference may be outstanding */

/* What changes from now on is written to the estate. */
void inlay_nodes_keep(struct inlay_nodes *ns, struct inlay_estate *estate);

/* A node as another process left it. */
struct inlay_node_past {
	uint64_t number; /* in the table */
	uint32_t type;
	bool has[INLAY_SIDES], replaced;
	struct inlay_node_id id[INLAY_SIDES];
	uint64_t lookups, pins[INLAY_SIDES];
};
/*
 * Nodes of another process, in a table that has its root alone: first each by revive, in the order of the low halves of their numbers,
 * then each by place, then settle once. life: how many had them before. -INLAY_ENOMEM; -INLAY_EINVAL: that can't be.
 */
void inlay_nodes_begin(struct inlay_nodes *ns, uint32_t life);
int inlay_node_revive(struct inlay_nodes *ns, const struct inlay_node_past *p);
int inlay_node_place(struct inlay_nodes *ns, uint64_t number, uint64_t parent, struct inlay_str name);
void inlay_nodes_settle(struct inlay_nodes *ns);

/* A reference, or NULL for a number that is not known. Lock-free. */
struct inlay_node *inlay_node_get(struct inlay_nodes *ns, uint64_t number);
struct inlay_node *inlay_node_of_table(struct inlay_nodes *ns, uint64_t table_id);
struct inlay_node *inlay_node_ref(struct inlay_node *n);
void inlay_node_put(struct inlay_node *n); /* NULL is fine */

/*
 * A side (or both, for a merged directory) answered that `name` in `parent` is this file: finds or makes its node,
 * counts one lookup by the kernel and returns a reference. ids[side] NULL: not on that side, or not asked there; absent
 * has 1 << side where it was asked and is not. NULL: out of memory.
 * What was merged and is so no more, or with another half, is another file for the kernel, and gets a new node.
 */
struct inlay_node *inlay_node_learn(struct inlay_node *parent, struct inlay_str name, uint32_t type,
                                    const struct inlay_node_id *ids[INLAY_SIDES], unsigned absent);
/* A reply said that the directory exists on this side, too. False: it has another identity there, or another node this one. */
bool inlay_node_add_side(struct inlay_node *n, enum inlay_side side, const struct inlay_node_id *id);

/*
 * A reference that keeps the node the file's only one: the kernel may forget it, and finds this one again. False: it has forgotten it.
 * unhold: the reference stays; then forget 0 lookups.
 */
bool inlay_node_hold(struct inlay_node *n);
void inlay_node_unhold(struct inlay_node *n);

/* What is to be told to a side that pins nodes. */
struct inlay_forgotten {
	struct inlay_node_id id[INLAY_SIDES];
	uint64_t pins[INLAY_SIDES]; /* 0: nothing to tell */
};
/* The kernel forgets `count` lookups. True: the node is gone, *ret says what to tell the sides. */
bool inlay_node_forget(struct inlay_nodes *ns, uint64_t number, uint64_t count, struct inlay_forgotten *ret);

/*
 * Writes the path of `name` in `dir` ("" name: of dir itself), relative to the filter directory, NUL-terminated.
 * Returns its length, -INLAY_ENAMETOOLONG when cap is too small.
 */
int inlay_node_path(struct inlay_node *dir, struct inlay_str name, char *buf, size_t cap);
/* The directory above, referenced; NULL for the root. Its name in it is copied to name[256]. */
struct inlay_node *inlay_node_parent(struct inlay_node *n, char name[INLAY_NAME_MAX + 1]);
uint64_t inlay_nodes_count(const struct inlay_nodes *ns);

/* The side that answers for it: local where it exists locally. */
static inline enum inlay_side inlay_node_side(struct inlay_node *n)
{
	return atomic_load_explicit(&n->has[INLAY_LOCAL], memory_order_acquire) ? INLAY_LOCAL : INLAY_REMOTE;
}

static inline bool inlay_node_on(struct inlay_node *n, enum inlay_side side)
{
	return atomic_load_explicit(&n->has[side], memory_order_acquire);
}

#endif

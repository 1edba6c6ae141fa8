/*
 * What a redirector leaves to the one that takes over from it: nodes, open files and locks, row by row, in memory that
 * another process holds on to. No I/O here: who owns the memory maps it and hands it in.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each row is written where its thing changes, by single stores in an order that leaves it usable whenever the process is
 * killed. What the kernel was promised but not yet told may stand here once too often (a lookup, a file), never once too little.
 * All of it does nothing where the estate is NULL.
 */
#ifndef INLAY_REDIRECT_ESTATE_H
#define INLAY_REDIRECT_ESTATE_H

#include "session/client.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stddef.h>

struct inlay_estate;
struct inlay_file;
struct inlay_lock_req;
struct inlay_node;
struct inlay_redirect;

/* Rows that there is room for; the memory of those that are never used is never touched. */
struct inlay_estate_caps {
	uint32_t nodes, files, locks;
};

#define INLAY_ESTATE_HOST 262144u /* bytes of the host's own in it, see inlay_estate_host() */

size_t inlay_estate_len(const struct inlay_estate_caps *caps);
/* Begins one in zeroed, 8-aligned memory of that length, which stays the caller's. 0 or -INLAY_ENOMEM. */
int inlay_estate_new(void *memory, const struct inlay_estate_caps *caps, struct inlay_estate **ret);
/* One that another process began. -INLAY_EPROTO: not one of this version's. Changes nothing. */
int inlay_estate_open(void *memory, size_t len, struct inlay_estate **ret);
void inlay_estate_free(struct inlay_estate *e); /* NULL is fine; the memory stays */

void *inlay_estate_host(struct inlay_estate *e);
/* INLAY_LANES_MAX of them. */
struct inlay_lane_row *inlay_estate_lanes(struct inlay_estate *e);
/* The session as HELLO described it; saved whole or not at all. Loading: false if it was never saved. */
void inlay_estate_save_client(struct inlay_estate *e, const struct inlay_client *c);
bool inlay_estate_load_client(struct inlay_estate *e, struct inlay_client *ret);

/* ---- as things change; number: the one by which its table knows it ---- */
/* Under the lock of the nodes: counts and identities as they are now. placed: parent and name, too. */
void inlay_estate_node(struct inlay_estate *e, const struct inlay_node *n, bool placed);
void inlay_estate_node_gone(struct inlay_estate *e, uint64_t number);

enum inlay_file_mark { INLAY_FILE_LOCKED = 1, INLAY_FILE_LOCKS_OVER = 2, INLAY_FILE_LOCK_UNTOLD = 4, INLAY_FILE_LOST = 8,
	INLAY_FILE_TAKEN = 16 /* the kernel knows it */ };
/* Opened for origin. */
void inlay_estate_file(struct inlay_estate *e, const struct inlay_file *f, uint64_t origin);
void inlay_estate_file_mark(struct inlay_estate *e, uint64_t number, unsigned mark);
void inlay_estate_file_unmark(struct inlay_estate *e, uint64_t number, unsigned mark);
/* Its listing's remote half. */
void inlay_estate_file_remote(struct inlay_estate *e, uint64_t number, uint64_t handle);
/* It passes through the kernel by this registration of its node's; 0: no more. */
void inlay_estate_file_passes(struct inlay_estate *e, uint64_t number, int backing_id);
/* It is being closed for origin. */
void inlay_estate_file_closing(struct inlay_estate *e, uint64_t number, uint64_t origin);
void inlay_estate_file_gone(struct inlay_estate *e, uint64_t number);

/* Under held_lock. Returns the row's number, 0 when there is no room; `file` is the one it was taken through. */
uint32_t inlay_estate_lock(struct inlay_estate *e, uint64_t file, const struct inlay_lock_req *l);
void inlay_estate_lock_range(struct inlay_estate *e, uint32_t row, uint64_t start, uint64_t end);
void inlay_estate_lock_gone(struct inlay_estate *e, uint32_t row);

/*
 * Makes r's nodes, files and locks those of the estate, for good: r is fresh, has its roots, and r->estate is e. is_asked: whether
 * the kernel asks again for this origin. Single-threaded. 0 or -INLAY_ENOMEM.
 */
int inlay_estate_restore(struct inlay_estate *e, struct inlay_redirect *r, bool (*is_asked)(void *arg, uint64_t origin), void *arg);

#endif

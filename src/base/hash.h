/*
 * SipHash-2-4 and an intrusive chained hash map on top of it.
 * The map stores links embedded in the caller's structs; it neither locks nor copies keys.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_HASH_H
#define INLAY_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inlay_hash_key {
	uint64_t k[2];
};

/* SipHash-2-4 of len bytes (Aumasson and Bernstein, 2012): a keyed PRF, good for maps and for short tags. */
uint64_t inlay_siphash(const struct inlay_hash_key *key, const void *bytes, size_t len);

struct inlay_map_link {
	struct inlay_map_link *next;
	uint64_t hash;
};

struct inlay_map {
	struct inlay_map_link **buckets;
	size_t mask;  /* bucket count - 1 */
	size_t count; /* links in the map */
};

/* -INLAY_ENOMEM on failure. The map grows by itself; a failed growth only makes chains longer. */
int inlay_map_init(struct inlay_map *m);
void inlay_map_done(struct inlay_map *m); /* frees the buckets, never the links */
void inlay_map_add(struct inlay_map *m, struct inlay_map_link *link, uint64_t hash);
/* The link must be in the map. */
void inlay_map_remove(struct inlay_map *m, struct inlay_map_link *link);
/* First link with this hash, or the next one after `after` with the same hash; NULL at the end. */
struct inlay_map_link *inlay_map_find(const struct inlay_map *m, uint64_t hash);
struct inlay_map_link *inlay_map_find_next(const struct inlay_map_link *after);
/* Calls fn for each link; fn may remove and free the link that it is given. */
void inlay_map_each(struct inlay_map *m, void (*fn)(struct inlay_map_link *link, void *arg), void *arg);

#endif

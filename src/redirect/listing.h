/*
 * Listings of merged directories: the local names first, then the remote ones that no local name or rule hides.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/redirect. Plain directories need none of this: their cookies are the side's own.
 */
#ifndef INLAY_REDIRECT_LISTING_H
#define INLAY_REDIRECT_LISTING_H

#include "redirect/redirect.h"

struct inlay_listing;

/* Of handles that are open; nothing is gathered. NULL: out of memory. */
struct inlay_listing *inlay_listing_new(uint64_t local, uint64_t remote);
void inlay_listing_free(struct inlay_listing *l); /* NULL is fine */
uint64_t inlay_listing_remote_handle(const struct inlay_listing *l);
/* inlay_op_opendir of a merged directory: opens both halves. */
void inlay_listing_open(struct inlay_op *op);
/* inlay_op_readdir of one; the entries are in op->reply->data as if a side had sent them. */
void inlay_listing_read(struct inlay_op *op);

#endif

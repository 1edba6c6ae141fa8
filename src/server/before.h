/*
 * What names stood for when the server was started, kept for those that were changed since: what became of a request in whose
 * middle its forerunner died is told by that, not by what others have done in the meantime.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Any thread. Kept while requests of lost sessions may come: a grace period and a lease time from the start.
 */
#ifndef INLAY_SERVER_BEFORE_H
#define INLAY_SERVER_BEFORE_H

#include "server/internal.h"

struct before;

/* What a name stands for. */
struct seen {
	bool there;
	struct inlay_attr attr; /* only if it is there */
};

struct before *before_new(uint64_t until_ns); /* NULL: out of memory */
void before_free(struct before *b);           /* NULL is fine */
/* Whether anything is to be kept still. */
bool before_is_kept(struct before *b);
/* The name was like this before anything changed it, unless that is known already. Before it is changed. */
void before_keep(struct before *b, const struct inlay_node_id *dir, struct inlay_str name, const struct seen *now);
/* False: it has not been changed since the start, as far as is known. */
bool before_find(struct before *b, const struct inlay_node_id *dir, struct inlay_str name, struct seen *ret);

#endif

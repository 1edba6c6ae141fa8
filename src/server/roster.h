/*
 * The file in the state directory that names the clients which hold locks, so that after a restart they can have them
 * back before anybody else. Entries that are damaged, or not signed by this server, are as none. Any thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SERVER_ROSTER_H
#define INLAY_SERVER_ROSTER_H

#include "base/hash.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stdint.h>

struct roster;

struct roster_entry {
	struct inlay_uuid client;
	uint64_t export; /* a number made of its name */
};

/* dir: made before. -INLAY_EBUSY: another server uses it. */
int roster_open(const char *dir, const struct inlay_hash_key *secret, struct roster **ret);
void roster_close(struct roster *r); /* NULL is fine; what stands in the file stays there */
/* Hands out what stood in the file when it was opened, each once: the next of that export from *at on; false: no more. */
bool roster_take(struct roster *r, uint64_t export, uint32_t *at, struct inlay_uuid *ret_client, uint32_t *ret_place);
/* Removes what stood there and nobody took. */
void roster_drop_untaken(struct roster *r);
/* On disk when it returns; 0 or a status. */
int roster_add(struct roster *r, const struct roster_entry *e, uint32_t *ret_place);
void roster_remove(struct roster *r, uint32_t place);

#endif

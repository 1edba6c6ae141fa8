/*
 * The durable record of replies: what each slot of a client was asked last, noted before it is done, and what it was
 * answered. It lies in memory that is mapped from files of the state directory, so that it outlives the process at the
 * price of two copies of some 100 bytes per change; nothing is synced, for a crash of the host takes the changes with it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Opening, closing: any thread. An entry: whoever executes the request that has its slot.
 */
#ifndef INLAY_SERVER_RECORD_H
#define INLAY_SERVER_RECORD_H

#include "base/hash.h"
#include "store/store.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stdint.h>

struct records;     /* all of a server */
struct record;      /* a client's, on one export */
struct record_lane;

/* How much of all the records is one place's; shared by that place and its records. */
struct record_place {
	uint32_t refs;  /* atomic */
	uint32_t lanes; /* under the lock of the records */
};
void record_place_put(struct record_place *p); /* NULL is fine */

/* dir: made before, nobody else's. host_boot: of the host, as a crash of it makes entries worth less. */
int records_open(const char *dir, const struct inlay_hash_key *secret, const struct inlay_uuid *host_boot,
                 struct records **ret);
void records_close(struct records *rs); /* NULL is fine */
/* How many lanes there may be, else INLAY_RECORD_LANES_MAX: for tests. */
void records_limit(struct records *rs, uint32_t lanes);
/* Removes the files that no session has asked for since records_open(). */
void records_clean(struct records *rs);

/* again: what stands there is wanted, else it is begun anew. place: who asks, NULL: one of ours. NULL: none can be had. */
struct record *record_get(struct records *rs, const struct inlay_uuid *client, uint64_t export, bool again, struct record_place *place);
/* The last one drops it; its file, too, unless keep. NULL is fine. */
void record_put(struct record *r, bool keep);
/* For the session of that tag, from its first request on. Mapped for as long as the record is; NULL: no room. */
struct record_lane *record_lane(struct record *r, uint32_t index, uint32_t tag);

/* Where a request stands in it. */
struct record_ref {
	struct record_lane *lane; /* NULL: it is not recorded */
	uint32_t slot, tag;       /* tag: 24 bits of the session's id */
	uint64_t seq;
	bool redo;                /* it is one of a lost session: slot, tag and (its low 32 bits) seq are from there */
};

/* What was noted before it was done. */
struct record_intent {
	struct inlay_time time;      /* the clock's then, as coarse as that of files */
	uint64_t size;               /* of the file before; appends */
	struct record_name {         /* what the name stood for that is to be made, removed or moved */
		bool there;
		uint64_t ino;
		struct inlay_time btime;
	} name;
};

enum record_state {
	RECORD_UNKNOWN, /* it may have begun: the record is not whole for that session and lane */
	RECORD_NONE,    /* it has not begun */
	RECORD_BEGUN,   /* noted; done or not */
	RECORD_DONE,
};

#define RECORD_REPLY_MAX 224u

struct record_found {
	struct record_intent intent;
	int status;
	uint32_t len;
	uint8_t reply[RECORD_REPLY_MAX];
};

void record_begin(const struct record_ref *ref, uint16_t type, const struct record_intent *intent);
void record_end(const struct record_ref *ref, int status, const uint8_t *reply, uint32_t len);
/* As if the process had died before record_end(): for tests. */
void record_unend(const struct record_ref *ref);
/* BEGUN and DONE: *ret's intent is set; DONE: all of it. After a crash of the host nothing is DONE. */
enum record_state record_find(const struct record_ref *ref, uint16_t type, struct record_found *ret);

#endif

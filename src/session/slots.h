/*
 * The server's side of exactly-once: one slot per outstanding request of a lane, each with its last reply.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   FREE --begin(seq = last + 1)--> BUSY --end(reply)--> FREE, last = seq, reply kept
 *   begin(seq = last): the same request again. BUSY: it is still under way; FREE: answer from the kept reply.
 *
 * A reply goes out only on a connection on which its request came in: one that ends after the lane has a new connection
 * waits in its slot for the replay, else the replay would be answered twice.
 *
 * Requests that change nothing keep no reply and are simply done again. Not thread-safe: the lane's user locks.
 */
#ifndef INLAY_SESSION_SLOTS_H
#define INLAY_SESSION_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct inlay_slots;

enum inlay_slot_verdict {
	INLAY_SLOT_NEW,    /* execute it; end() must follow */
	INLAY_SLOT_BUSY,   /* under way: its reply goes out, once, when end() is called */
	INLAY_SLOT_REPLAY, /* answer with the kept reply */
	INLAY_SLOT_BAD,    /* protocol violation: close the session */
};

struct inlay_slots *inlay_slots_new(uint32_t count); /* NULL: out of memory */
void inlay_slots_free(struct inlay_slots *s);
uint32_t inlay_slots_count(const struct inlay_slots *s);
/* With REPLAY, *ret_reply and *ret_len are the kept reply frame, valid until the slot's next begin. */
enum inlay_slot_verdict inlay_slots_begin(struct inlay_slots *s, uint32_t slot, uint64_t seq,
                                          const uint8_t **ret_reply, size_t *ret_len);
/* reply NULL: nothing is kept, a repetition is executed again (verdict NEW). len <= INLAY_REPLY_CACHE_MAX. */
void inlay_slots_end(struct inlay_slots *s, uint32_t slot, const uint8_t *reply, size_t len);
/* Bytes of memory it holds. */
size_t inlay_slots_memory(const struct inlay_slots *s);

#endif

/*
 * What client.c and hello.c share; nobody else includes this.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SESSION_LANE_H
#define INLAY_SESSION_LANE_H

#include "session/client.h"

/* A taken slot has a call, or is abandoned: its call has ended, but the server may have the request. */
struct inlay_lane_slot {
	struct inlay_call *call;
	uint64_t seq; /* of the last request sent */
	bool abandoned;
	bool given_up; /* abandoned by us: nobody has heard the answer, and nobody will */
	bool expected; /* as abandoned, but a successor of its call is coming */
};

void lane_state(struct inlay_lane *l, enum inlay_lane_state state, uint64_t now_ns);
/* Ends every call with status, then tells the owner. */
void lane_die(struct inlay_lane *l, int status, uint64_t now_ns);
void lane_drop(struct inlay_lane *l, int status);
void lane_send(struct inlay_lane *l, struct inlay_call *c, uint64_t seq, uint8_t flags, uint64_t now_ns);
/* Sends waiting calls while there are slots. */
void lane_pump(struct inlay_lane *l, uint64_t now_ns);
/* Sends again what is in the slots. */
void lane_replay(struct inlay_lane *l, uint64_t now_ns);
/* Whether requests go out at all: ordinary ones, or those of a reclaim. */
static inline bool lane_is_up(enum inlay_lane_state state)
{
	return state == INLAY_LANE_OPEN || state == INLAY_LANE_RECLAIM;
}
/* Every slot free, nothing sent yet. */
void lane_slots_reset(struct inlay_lane *l, uint32_t slots);
/*
 * Settles the calls of a session that is over (l->session is its id still); what goes out again stands first among the
 * waiting. redo: the server can be asked what has become of those that change something.
 */
void lane_session_lost(struct inlay_lane *l, uint32_t slots, bool redo);
/* Asks again for what has no call any more: the server's answer frees the slot. */
void lane_send_filler(struct inlay_lane *l, uint32_t slot, uint64_t now_ns);

/* ---- inherit.c; all of it does nothing where the lane has no row ---- */
/* Call c is about to be sent from its slot. */
void lane_row_note(struct inlay_lane *l, const struct inlay_call *c);
/* The slots are those of l->session now, all unused; what is on l->redo waits for its turn in it. */
void lane_row_begin(struct inlay_lane *l);
/* The session is lost: expected calls that change something are to be redone. */
void lane_row_lost(struct inlay_lane *l, bool redo);
/* A redo was answered, or given up. */
void lane_row_redone(struct inlay_lane *l, const struct inlay_call *c);
/* True: the call has taken the place of its predecessor's, in a slot or on l->redo. */
bool lane_row_claim(struct inlay_lane *l, struct inlay_call *c);
uint32_t lane_prior_where(const struct inlay_lane *l, uint32_t slot);
bool lane_is_redone(uint32_t type);
int lane_hello_reply(struct inlay_lane *l, const struct inlay_frame *f, const uint8_t *body, uint64_t now_ns);

#endif

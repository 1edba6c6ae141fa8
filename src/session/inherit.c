/*
 * Lanes that outlive their process: what each slot was used for last stands in a row, from which another process goes on.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   the slot's last request          its origin is asked again         nobody asks again
 *   answered, or not known           EXPECTED: the call that comes     ABANDONED: a PING in its place
 *                                    takes the slot and is replayed    frees it
 *
 * The process may die between any two stores; a row whose origin is 0 is complete as far as that matters.
 */
#include "session/lane.h"

#include <string.h>

static void row_set(struct inlay_slot_row *row, uint64_t seq, uint64_t origin, const struct inlay_slot_row *rest)
{
	__atomic_store_n(&row->origin, 0, __ATOMIC_RELEASE);
	row->type = rest->type;
	row->prior_seq = rest->prior_seq;
	row->prior_where = rest->prior_where;
	row->step = rest->step;
	__atomic_store_n(&row->seq, seq, __ATOMIC_RELEASE);
	__atomic_store_n(&row->origin, origin, __ATOMIC_RELEASE);
}

static struct inlay_slot_row row_of(const struct inlay_call *c)
{
	return (struct inlay_slot_row){.type = c->type, .step = c->step, .prior_seq = c->redo ? c->prior_seq : 0,
	                               .prior_where = c->redo ? c->prior_where : 0};
}

void lane_row_note(struct inlay_lane *l, const struct inlay_call *c)
{
	struct inlay_slot_row rest = row_of(c);

	if (l->row)
		row_set(&l->row->slot[c->slot], l->slot[c->slot].seq, c->origin, &rest);
}

static bool is_same(const struct inlay_slot_row *row, uint64_t origin, const struct inlay_slot_row *rest)
{
	return row->origin == origin && row->type == rest->type && row->step == rest->step;
}

static void redo_add(struct inlay_lane *l, uint64_t origin, const struct inlay_slot_row *rest)
{
	for (uint32_t i = 0; i < INLAY_SLOTS_MAX; i++) {
		if (is_same(&l->row->redo[i], origin, rest))
			return;
	}
	for (uint32_t i = 0; i < INLAY_SLOTS_MAX; i++) {
		if (l->row->redo[i].origin)
			continue;
		row_set(&l->row->redo[i], 0, origin, rest);
		return;
	}
}

/* The redos first: what is in a slot and on this list is found in the slot while that is the session's. */
void lane_row_begin(struct inlay_lane *l)
{
	if (!l->row)
		return;
	inlay_list_each(it, &l->redo) {
		const struct inlay_call *c = inlay_container(it, struct inlay_call, link);
		struct inlay_slot_row rest = row_of(c);

		if (c->origin)
			redo_add(l, c->origin, &rest);
	}
	__atomic_store_n(&l->row->slots, 0, __ATOMIC_RELEASE);
	memset(l->row->slot, 0, sizeof l->row->slot);
	l->row->session = l->session;
	__atomic_store_n(&l->row->slots, l->slots, __ATOMIC_RELEASE);
}

void lane_row_lost(struct inlay_lane *l, bool redo)
{
	for (uint32_t i = 0; l->row && i < l->slots; i++) {
		struct inlay_slot_row *row = &l->row->slot[i];
		struct inlay_slot_row rest = *row;

		if (!l->slot[i].expected)
			continue;
		l->slot[i].expected = false;
		if (!redo || !lane_is_redone(row->type)) {
			l->expected--;
			continue;
		}
		if (!rest.prior_seq) {
			rest.prior_seq = (uint32_t)row->seq;
			rest.prior_where = lane_prior_where(l, i);
		}
		redo_add(l, row->origin, &rest);
	}
}

static bool is_row_of(const struct inlay_slot_row *row, const struct inlay_call *c)
{
	return row->origin == c->origin && row->type == c->type && row->step == c->step;
}

void lane_row_redone(struct inlay_lane *l, const struct inlay_call *c)
{
	for (uint32_t i = 0; l->row && c->origin && i < INLAY_SLOTS_MAX; i++) {
		if (is_row_of(&l->row->redo[i], c))
			__atomic_store_n(&l->row->redo[i].origin, 0, __ATOMIC_RELEASE);
	}
}

static void take_prior(struct inlay_call *c, const struct inlay_slot_row *row)
{
	c->sent = true;
	c->inherited = true;
	c->redo = row->prior_seq != 0;
	c->prior_seq = row->prior_seq;
	c->prior_where = row->prior_where;
}

bool lane_row_claim(struct inlay_lane *l, struct inlay_call *c)
{
	for (uint32_t i = 0; i < l->slots; i++) {
		if (!l->slot[i].expected || !is_row_of(&l->row->slot[i], c))
			continue;
		l->expected--;
		l->slot[i].expected = false;
		l->slot[i].call = c;
		c->slot = i;
		take_prior(c, &l->row->slot[i]);
		l->redoing += c->redo;
		return true;
	}
	for (uint32_t i = 0; i < INLAY_SLOTS_MAX; i++) {
		if (!is_row_of(&l->row->redo[i], c))
			continue;
		l->expected--;
		take_prior(c, &l->row->redo[i]);
		inlay_list_append(&l->redo, &c->link);
		return true;
	}
	return false;
}

/* ---- life ---- */

void inlay_lane_keep(struct inlay_lane *l, struct inlay_lane_row *row)
{
	l->row = row;
}

/* In a slot of the session the row stands for the redo, too. */
static bool is_in_slot(const struct inlay_lane *l, const struct inlay_slot_row *redo)
{
	for (uint32_t i = 0; i < l->slots; i++) {
		if (l->slot[i].expected && is_same(&l->row->slot[i], redo->origin, redo))
			return true;
	}
	return false;
}

static void inherit_redo(struct inlay_lane *l, bool (*is_asked)(void *arg, uint64_t origin), void *arg)
{
	for (uint32_t i = 0; i < INLAY_SLOTS_MAX; i++) {
		struct inlay_slot_row *row = &l->row->redo[i];

		if (row->origin && (is_in_slot(l, row) || !row->prior_seq || !is_asked(arg, row->origin)))
			row->origin = 0;
		l->expected += row->origin != 0;
	}
}

void inlay_lane_inherit(struct inlay_lane *l, struct inlay_lane_row *row, bool (*is_asked)(void *arg, uint64_t origin), void *arg)
{
	uint32_t slots = row->slots <= INLAY_SLOTS_MAX ? row->slots : 0, unused = 0;

	lane_slots_reset(l, slots);
	l->row = row;
	l->expected = 0;
	l->session = row->session;
	for (uint32_t i = 0; i < slots; i++) {
		struct inlay_lane_slot *s = &l->slot[slots - 1 - i]; /* the first is used first, as ever */
		const struct inlay_slot_row *r = &row->slot[slots - 1 - i];

		s->seq = r->seq;
		if (!s->seq) {
			l->free_slots[unused++] = slots - 1 - i;
			continue;
		}
		s->expected = r->origin && inlay_message_flags((uint16_t)r->type) & INLAY_MSG_MUTATES && is_asked(arg, r->origin);
		s->abandoned = !s->expected;
		l->expected += s->expected;
	}
	l->outstanding = slots - unused;
	inherit_redo(l, is_asked, arg);
}

int inlay_lane_of_origin(const struct inlay_lane_row *rows, uint32_t count, uint64_t origin)
{
	for (uint32_t lane = 0; lane < count; lane++) {
		for (uint32_t i = 0; i < INLAY_SLOTS_MAX; i++) {
			if ((i < rows[lane].slots && rows[lane].slot[i].origin == origin) || rows[lane].redo[i].origin == origin)
				return (int)lane;
		}
	}
	return -1;
}

void inlay_lane_settle(struct inlay_lane *l, uint64_t origin, uint64_t now_ns)
{
	for (uint32_t i = 0; l->expected && i < l->slots; i++) {
		if (!l->slot[i].expected || l->row->slot[i].origin != origin)
			continue;
		l->expected--;
		l->slot[i].expected = false;
		l->slot[i].abandoned = true;
		if (lane_is_up(l->state) && !l->dropped)
			lane_send_filler(l, i, now_ns);
	}
	for (uint32_t i = 0; l->expected && i < INLAY_SLOTS_MAX; i++) {
		if (l->row->redo[i].origin != origin)
			continue;
		l->row->redo[i].origin = 0;
		l->expected--;
	}
}

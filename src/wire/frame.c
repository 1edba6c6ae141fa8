/*
 * The frame header's 32 bytes, written and checked.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "wire/frame.h"

#include "base/bytes.h"
#include "base/status.h"
#include "wire/codec.h"

#include <stdbool.h>

_Static_assert(INLAY_FRAME_HEADER == 32, "the offsets below");
_Static_assert(INLAY_BODY_MAX % 8 == 0 && INLAY_FRAME_HEADER % 8 == 0, "payloads start 8-aligned");

void inlay_frame_put(uint8_t out[INLAY_FRAME_HEADER], const struct inlay_frame *f)
{
	inlay_store32(out, f->size);
	inlay_store16(out + 4, f->type);
	out[6] = f->kind;
	out[7] = f->flags;
	inlay_store32(out + 8, f->slot);
	inlay_store32(out + 12, f->status);
	inlay_store64(out + 16, f->seq);
	inlay_store32(out + 24, f->body);
	inlay_store32(out + 28, f->lane);
}

static bool kind_ok(const struct inlay_frame *f, int msg, unsigned want_kinds)
{
	if (f->kind < INLAY_FRAME_REQUEST || f->kind > INLAY_FRAME_EVENT || !(want_kinds & 1u << f->kind))
		return false;
	return (f->kind == INLAY_FRAME_EVENT) == !!(msg & INLAY_MSG_EVENT);
}

/* Reserved bits and words are zero, so that a later version can give them a meaning. */
static bool reserved_ok(const struct inlay_frame *f)
{
	unsigned flags = f->kind == INLAY_FRAME_REQUEST ? INLAY_FRAME_REPLAY | INLAY_FRAME_REDO : 0;
	bool redo = f->flags & INLAY_FRAME_REDO;

	return !(f->flags & ~flags) && (!f->lane || redo) && (!f->status || redo || f->kind == INLAY_FRAME_REPLY);
}

static bool sizes_ok(const struct inlay_frame *f, int msg)
{
	int may_carry = f->kind == INLAY_FRAME_REQUEST ? INLAY_MSG_REQUEST_DATA : INLAY_MSG_REPLY_DATA;
	uint32_t data;

	if (f->size < INLAY_FRAME_HEADER || f->body > f->size - INLAY_FRAME_HEADER)
		return false;
	if (f->body > INLAY_BODY_MAX || f->body % 8)
		return false;
	data = inlay_frame_data_len(f);
	if (data > INLAY_DATA_MAX || (data && !(msg & may_carry)))
		return false;
	return !f->status || f->kind == INLAY_FRAME_REQUEST || f->size == INLAY_FRAME_HEADER;
}

int inlay_frame_parse(const uint8_t *p, size_t len, unsigned want_kinds, struct inlay_frame *ret_frame)
{
	struct inlay_frame f;
	int msg;

	if (len < INLAY_FRAME_HEADER)
		return 0;
	f = (struct inlay_frame){
		.size = inlay_load32(p),
		.type = inlay_load16(p + 4),
		.kind = p[6],
		.flags = p[7],
		.slot = inlay_load32(p + 8),
		.status = inlay_load32(p + 12),
		.seq = inlay_load64(p + 16),
		.body = inlay_load32(p + 24),
		.lane = inlay_load32(p + 28),
	};
	msg = inlay_message_flags(f.type);
	if (msg < 0 || !kind_ok(&f, msg, want_kinds) || !reserved_ok(&f) || !sizes_ok(&f, msg))
		return -INLAY_EPROTO;
	*ret_frame = f;
	return 1;
}

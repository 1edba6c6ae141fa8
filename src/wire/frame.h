/*
 * Frames: what stands around every message.
 *
 *   0        4     6     7        8      12       16         24     28     32          32+body     size
 *   +--------+-----+-----+--------+------+--------+----------+------+------+-----------+-----------+
 *   | size   |type |kind | flags  | slot | status | sequence | body | lane | body      | payload   |
 *   +--------+-----+-----+--------+------+--------+----------+------+------+-----------+-----------+
 *
 * All little-endian. size counts everything; body is a multiple of 8; payload = size - 32 - body.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WIRE_FRAME_H
#define INLAY_WIRE_FRAME_H

#include "base/limits.h"

#include <stddef.h>
#include <stdint.h>

enum inlay_frame_kind { INLAY_FRAME_REQUEST = 1, INLAY_FRAME_REPLY = 2, INLAY_FRAME_EVENT = 3 };
enum inlay_frame_flags {
	INLAY_FRAME_REPLAY = 1, /* the client sent this request before, on a connection now lost */
	INLAY_FRAME_REDO = 2,   /* ... in a session now lost: status and lane tell its place there */
};

#define INLAY_NO_SLOT 0xffffffffu

struct inlay_frame {
	uint32_t size; /* bytes of the whole frame */
	uint16_t type;
	uint8_t kind, flags;
	uint32_t slot;
	uint32_t status; /* replies: positive enum inlay_status, 0 = OK. REDO: low half of the sequence it had. Else 0 */
	uint64_t seq;    /* of the slot */
	uint32_t body;   /* bytes */
	uint32_t lane;   /* REDO: the slot it had, and above 8 bits the first 3 bytes of the session's id. Else 0 */
};

static inline uint32_t inlay_frame_data_len(const struct inlay_frame *f)
{
	return f->size - INLAY_FRAME_HEADER - f->body;
}

/* Writes the 32 bytes of *f to out. */
void inlay_frame_put(uint8_t out[INLAY_FRAME_HEADER], const struct inlay_frame *f);

/*
 * Reads and checks a header from the first `len` bytes of a stream. 1: *ret_frame is set (the whole frame need not be
 * there yet). 0: fewer than 32 bytes. -INLAY_EPROTO: no frame of ours; the stream can't be followed any further.
 * Checked: known type, kind fits the type, sizes within limits, body a multiple of 8, payload only where the message
 * may carry one, nothing but the header in a reply whose status isn't OK, zero in what is reserved (unknown flags,
 * REPLAY and REDO but in requests, status but in replies and with REDO, lane but with REDO). want_kinds: bit (1 << kind) for each kind that this end accepts.
 */
int inlay_frame_parse(const uint8_t *p, size_t len, unsigned want_kinds, struct inlay_frame *ret_frame);

#endif

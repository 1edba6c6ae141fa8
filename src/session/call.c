/*
 * Writing a call's request: the body goes right behind the room of the frame's header.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "session/client.h"

#include "base/status.h"

struct inlay_writer inlay_call_begin(struct inlay_call *c, uint16_t type, uint8_t *room, uint32_t room_len)
{
	c->type = type;
	c->head = room;
	c->body_len = 0;
	if (room_len < INLAY_FRAME_HEADER)
		return inlay_writer(room, 0);
	return inlay_writer(room + INLAY_FRAME_HEADER, room_len - INLAY_FRAME_HEADER);
}

int inlay_call_end(struct inlay_call *c, const struct inlay_writer *w)
{
	size_t len = inlay_writer_len(w);

	if (w->full || len > INLAY_BODY_MAX)
		return -INLAY_EOVERFLOW;
	c->body_len = (uint32_t)len;
	return 0;
}

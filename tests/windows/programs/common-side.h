/*
 * The well-behaved side of a redirector without a server, for programs that play one: it serves \inlay of the simulated drive, in
 * which "file" is remote and everything else local; byte n of the file is n modulo 251.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_COMMON_SIDE_H
#define INLAY_COMMON_SIDE_H

#include "common-ring.h"
#include "ring/ring.h"

enum { SIDE_ENTRIES = 64, SIDE_SIZE = 1 << 20 };

struct side {
	struct made made;
	struct inlay_ring_responder ring;
	HANDLE device;
};

/* Makes the file that stands for the remote one. */
void side_place(void);
/* Opens the control device, registers ring and directory; both ends the process when that fails. */
void side_enter(struct side *side, uint32_t slots, uint32_t timeout_ms);
void side_leave(struct side *side);
/* The good answer to a request that has one. */
struct inlay_ring_completion side_answer(struct side *side, const struct inlay_ring_request *request);

#endif

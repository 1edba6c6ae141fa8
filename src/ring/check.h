/*
 * What a section and its entries may say: the layout, and the judgement of copies. Pure functions of private memory.
 * SPDX-License-Identifier: Apache-2.0
 *
 * IRQL, all functions: any, as in ring/ring.h.
 */
#ifndef INLAY_RING_CHECK_H
#define INLAY_RING_CHECK_H

#include "base/status.h"
#include "ring/abi.h"

#include <stdint.h>

/* The geometry of a section, private and checked. */
struct inlay_ring_geometry {
	uint32_t entries, slots, slot_size;
	uint32_t sq_off, cq_off, slots_off;
	uint64_t size;
};

/*
 * Where things lie in a section of so many entries (a power of two) and slots of slot_size bytes; ret->size is how many bytes
 * it takes. -INLAY_EINVAL: outside of the limits.
 */
int inlay_ring_layout(struct inlay_ring_geometry *ret, uint32_t entries, uint32_t slots, uint32_t slot_size);

/* 0, or -INLAY_EPROTO: a section of `size` bytes can't be laid out so. */
int inlay_ring_geometry_check(const struct inlay_ring_geometry *g, uint64_t size);

/* Copies the geometry out of the head of a section of `size` bytes and checks the copy. -INLAY_EVERSION: another version. */
int inlay_ring_geometry_read(struct inlay_ring_geometry *ret, const void *section, uint64_t size);

/* 0, or -INLAY_EPROTO: no requester that obeys the ABI says this. The names and data in its slot are the caller's to check. */
int inlay_ring_request_check(const struct inlay_ring_geometry *g, const struct inlay_ring_request *request);

/*
 * Judges a completion (a private copy) of `request` (the requester's own copy, not the ring's). 0: its status may be shown to a
 * program, and fields that have no meaning for this kind and status are 0 now. -INLAY_EPROTO: no answer to this request; kill the ring.
 */
int inlay_ring_completion_check(const struct inlay_ring_request *request, struct inlay_ring_completion *completion);

/* The NTSTATUS that the driver shows for one that the redirector gave: success, known warnings, errors; else an I/O error. */
uint32_t inlay_ring_status_check(uint32_t status);

#endif

/*
 * Between pre-create and post-create.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_FILTER_CREATE_H
#define INLAY_DRIVER_FILTER_CREATE_H

#include "filter.h"

struct inlay_open_how {
	ULONG disposition, options, access, attributes;
};

/* Completion contexts that are no struct inlay_file: beneath an orphan; by file id. */
extern const void *const inlay_context_orphan, *const inlay_context_by_id;

/*
 * Asks OPEN. STATUS_SUCCESS: the answer, and a context that the answer's number, if it has one, belongs to: the caller puts it.
 * IRQL: PASSIVE_LEVEL
 */
NTSTATUS inlay_open_ask(PFLT_CALLBACK_DATA data, const struct inlay_place *place, const struct inlay_open_how *how,
			struct inlay_ring_completion *ret_answer, struct inlay_file **ret_file);

#endif

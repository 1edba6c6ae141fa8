/*
 * Bulk data of one file, pipelined: INLAY_TRANSFER_DEPTH requests of up to 1 MiB under way; holes stay holes.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_TRANSFER_H
#define INLAY_CMD_TRANSFER_H

#include "cmd/client.h"
#include "cmd/progress.h"

#include <stdbool.h>
#include <stdint.h>

#define INLAY_TRANSFER_DEPTH 16u

/*
 * Reads an open remote file to its end. attr: how long it seemed to be, only to know how much to ask for ahead, and whether
 * it has holes. fd:
 * seekable: bytes go to their places as they come, holes are left out, and in the end it is as long as the remote file (it must have
 * been empty before). Otherwise: everything in order, zeros written. 0 or a status; *ret_here is true
 * when the failure is of fd.
 */
int inlay_transfer_get(struct inlay_visit *v, uint64_t handle, const struct inlay_attr *attr, int fd, bool seekable,
	struct inlay_progress *progress, bool *ret_here);
/*
 * Writes a local regular file of size bytes to an empty remote one, and commits it. -INLAY_EAGAIN: the server was started anew in
 * between, what it had not yet on disk may be lost: do it all again.
 */
int inlay_transfer_put(struct inlay_visit *v, uint64_t handle, const struct inlay_node_id *node, int fd, uint64_t size,
	struct inlay_progress *progress, bool *ret_here);

#endif

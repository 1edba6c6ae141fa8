/*
 * Questions to a running attachment's loops, asked from another thread and answered on theirs, with a time limit.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_PICTURES_H
#define INLAY_CMD_PICTURES_H

#include "cmd/link.h"

#include <stdbool.h>
#include <stdint.h>

struct inlay_pictures {
	unsigned lanes;
	struct {
		struct inlay_lane_picture lane;
		uint64_t now_ns; /* loop time when it was taken */
	} lane[INLAY_LANES_MAX];
};

/* The state of every lane; a loop that does not answer within 2 s is shown as DOWN. NULL: out of memory. Not on a loop's thread. */
struct inlay_pictures *inlay_pictures_take(struct inlay_crew *crew, struct inlay_link *link);
void inlay_pictures_drop(struct inlay_pictures *p);

/*
 * Whether the server has a directory of this path (relative to the export's root), asked as this user is. 0 and *ret, or a
 * status when it can't be told within 5 s. Not on a loop's thread.
 */
int inlay_remote_is_dir(struct inlay_crew *crew, struct inlay_link *link, uint32_t uid, uint32_t gid, const char *path, bool *ret);

#endif

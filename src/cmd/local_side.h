/*
 * The local side of an attachment: the server's executor in this process, on the directory beneath the mount.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_LOCAL_SIDE_H
#define INLAY_CMD_LOCAL_SIDE_H

#include "base/hash.h"
#include "net/loop.h"
#include "redirect/redirect.h"

struct inlay_local_side;

/*
 * What the local side leaves to its successor in another process, in memory that outlives this one: the secret that makes its nodes
 * and handles the same again, and which request each slot of its record (server/record.h) was used for last.
 */
#define INLAY_LOCAL_SLOTS 64u /* recorded requests of a lane at one time; more are not */

struct inlay_local_slot {
	uint64_t seq, origin; /* origin 0: nobody asks for it again */
	uint32_t type, step;  /* of the call */
	uint32_t tag, pad;    /* tag: of the session it was in */
};
struct inlay_local_past {
	struct inlay_hash_key secret;
	struct inlay_uuid boot, client;
	char state_dir[256]; /* "" : no record is kept */
	struct inlay_local_slot slot[INLAY_LANES_MAX][INLAY_LOCAL_SLOTS];
};

struct inlay_local_config {
	int dir_fd; /* the directory, opened before the mount covers it; stays the caller's */
	bool readonly;
	struct inlay_crew *crew;
	struct inlay_redirect *redirect;
	struct inlay_local_past *past; /* NULL: there will be no successor. Else zeroed but for state_dir, or inherited */
	bool inherited;
	bool (*is_asked)(void *arg, uint64_t origin); /* inherited: whether the kernel asks again for that */
	void *arg;
};
/* 0 or a status. */
int inlay_local_side_open(const struct inlay_local_config *config, struct inlay_local_side **ret);
/* inherited: once the redirector is restored, opens again what was open. Returns how many files are stale. */
unsigned inlay_local_side_reclaim(struct inlay_local_side *s);
/* After the crew has stopped. */
void inlay_local_side_free(struct inlay_local_side *s);

struct inlay_side_port *inlay_local_side_port(struct inlay_local_side *s);
const struct inlay_node_id *inlay_local_side_root(const struct inlay_local_side *s);
/* A descriptor of an open handle, the caller's to close; or a status. For passthrough. Any thread. */
int inlay_local_side_fd(struct inlay_local_side *s, uint64_t handle);

#endif

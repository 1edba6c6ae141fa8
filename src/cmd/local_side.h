/*
 * The local side of an attachment: the server's executor in this process, on the directory beneath the mount.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_LOCAL_SIDE_H
#define INLAY_CMD_LOCAL_SIDE_H

#include "net/loop.h"
#include "redirect/redirect.h"

struct inlay_local_side;

/* dir_fd: the directory, opened before the mount covers it; stays the caller's. 0 or a status. */
int inlay_local_side_open(int dir_fd, bool readonly, struct inlay_crew *crew, struct inlay_redirect *redirect,
                          struct inlay_local_side **ret);
/* After the crew has stopped. */
void inlay_local_side_free(struct inlay_local_side *s);

struct inlay_side_port *inlay_local_side_port(struct inlay_local_side *s);
const struct inlay_node_id *inlay_local_side_root(const struct inlay_local_side *s);
/* A descriptor of an open handle, the caller's to close; or a status. For passthrough. Any thread. */
int inlay_local_side_fd(struct inlay_local_side *s, uint64_t handle);

#endif

/*
 * Descriptors on a loop: level-triggered, by epoll.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_LINUX_SOURCE_H
#define INLAY_NET_LINUX_SOURCE_H

#include "net/loop.h"

/* ---- on the owner's thread, or before the crew starts ---- */

/* events: EPOLLIN, EPOLLOUT, EPOLLEXCLUSIVE... of s->fd. 0 or a status. */
int inlay_loop_add(struct inlay_loop *l, struct inlay_source *s, uint32_t events);
int inlay_loop_change(struct inlay_source *s, uint32_t events);
/* Takes it off the loop; its ready() is not called any more, pending events included. The descriptor stays open. */
void inlay_loop_remove(struct inlay_source *s);

#endif

/*
 * Event handles on a loop.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_WINDOWS_WAIT_H
#define INLAY_NET_WINDOWS_WAIT_H

#include "net/loop.h"

#include <winsock2.h> /* before windows.h, wherever both come together */
#include <windows.h>

struct inlay_wait;

/*
 * Has ready(arg) called on the loop's owner each time the event is set; several times within one round are one call. The event
 * is an auto-reset one, and stays the caller's; it must stay open. 0 or a status. Owner thread, or before the crew starts.
 */
int inlay_loop_wait_handle(struct inlay_loop *l, HANDLE event, void (*ready)(void *arg), void *arg, struct inlay_wait **ret);
/* ready() is called no more. Owner thread, or after the crew has stopped. NULL is fine. */
void inlay_wait_end(struct inlay_wait *w);

#endif

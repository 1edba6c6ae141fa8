/*
 * Acting as another user, one thread at a time (Linux: setfsuid(2), setfsgid(2), per-thread setgroups(2)).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_IDENTITY_H
#define INLAY_OS_IDENTITY_H

#include "wire/types.h"

#include <stdbool.h>

/* True when this process may act as others (root with the capabilities). Decided once, at the first call. */
bool inlay_identity_can_switch(void);

/*
 * Makes the calling thread act as cred for file-system calls until the next call; NULL: as the process itself. The
 * thread remembers what it is, so the same identity again costs nothing. Without the right to switch it is a no-op
 * that returns 0. -INLAY_EPERM when the host refuses; the thread is then the process itself.
 */
int inlay_identity_enter(const struct inlay_cred *cred) __attribute__((warn_unused_result));

#endif

/*
 * Whose connection it is, by the host's word and not by the peer's.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_PEER_IDENTITY_H
#define INLAY_OS_PEER_IDENTITY_H

#include "wire/types.h"

#define INLAY_NOBODY 65534u /* user and group of whom nothing is known */

/*
 * Who is at the other end of a connected stream socket: 1 and *ret, when both ends are on this host; 0 for TCP that has no
 * end on a loopback address, whose other end may be anywhere; a status where the peer should be on this host but can't
 * be told: -INLAY_ENOTCONN when it is gone already, or is no socket of this network namespace.
 *
 * Unix sockets: as the peer was when it connected. TCP: the user who made the socket, with the groups of the process that
 * holds it; where that can't be seen, the groups of the user's account; without one, group INLAY_NOBODY alone. For root no
 * groups are looked up. At most INLAY_GROUPS_MAX of them.
 *
 * May block: looks through /proc. Any thread, which acts as the process itself afterwards.
 */
int inlay_peer_identity(int fd, struct inlay_cred *ret) __attribute__((warn_unused_result));

#endif

/*
 * Where the control sockets of attachments lie, and what they are called: MAJOR:MINOR-PID.sock, after the device of the
 * file system that the attachment is, so that a socket can be told without asking whoever serves it.
 *   root:  /run/inlay
 *   users: $XDG_RUNTIME_DIR/inlay, else /tmp/inlay-UID; both private and owned by the user, or they aren't used
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_RUNDIR_H
#define INLAY_CMD_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define INLAY_SOCKET_PATH 108 /* bytes of sockaddr_un's path, NUL included */

struct inlay_socket_name {
	unsigned major, minor;
	pid_t pid;
};

/* The folder for this user's sockets, made when it is missing. 0 or a status; -INLAY_EPERM: it belongs to another. */
int inlay_rundir_make(char *buf, size_t size);
/*
 * Calls fn for each socket of this user (for root: of every user). owner: whose folder it lies in. fn returns false to
 * end the walk.
 */
void inlay_rundir_each(bool (*fn)(const char *path, const struct inlay_socket_name *name, uid_t owner, void *arg), void *arg);

/* "0:57-1234.sock". False for any other name. */
bool inlay_socket_name_parse(const char *file, struct inlay_socket_name *ret);

#endif

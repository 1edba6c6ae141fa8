/*
 * Who we are, for servers.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_SELF_H
#define INLAY_OS_SELF_H

#include "wire/types.h"

#include <stddef.h>

/*
 * This process's user and groups, by the server's numbers: on Linux its own. On Windows, which has no such numbers, what
 * inlay_self_set said; user and group 65534, nobody, without it.
 */
void inlay_self_cred(struct inlay_cred *ret);
/* Windows only. Before any other thread runs. */
void inlay_self_set(const struct inlay_cred *cred);
/* This host's name, cut to size - 1 bytes; "?" when it has none. */
void inlay_self_host(char *buf, size_t size);

#endif

/*
 * What inlayd asks of its host: the service manager's notifications and sockets, the secret kept over restarts.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_INLAYD_HOST_H
#define INLAY_CMD_INLAYD_HOST_H

#include "base/hash.h"
#include "wire/types.h"

#include <stddef.h>

#define INLAYD_STATE_DIR_MAX 4000 /* bytes of its path */

/* Tells the service manager that started us ("READY=1\nSTATUS=..."); without one, nothing happens. */
void inlayd_notify(const char *state);
/* Says RELOADING=1 with the time that systemd wants beside it. */
void inlayd_notify_reloading(void);
/* Sockets handed over by the service manager, made non-blocking and close-on-exec; returns how many (0 for none). */
size_t inlayd_passed_sockets(int fds[], size_t max);
/*
 * The secret in the state directory (NULL: the default one), made at the first start. Where that can't be written a
 * warning is logged, the secret lasts for this start only, and 1 is returned.
 */
int inlayd_secret(const char *state_dir, struct inlay_hash_key *ret);
/* What tells this start of the host from others; random where the host doesn't say. 0 or a status. */
int inlayd_boot(struct inlay_uuid *ret);
/* Writes the state directory's path (state_dir NULL: the default one); a status where there is no default. */
int inlayd_state_dir(const char *state_dir, char *buf, size_t size) __attribute__((warn_unused_result));
/* As many open files as the host allows; how many that are, 0: it doesn't say. */
uint32_t inlayd_raise_limits(void);

#endif

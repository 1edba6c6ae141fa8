/*
 * Connections of the server. Not served yet: local sessions are.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/internal.h"

#include <unistd.h>

void peer_start_loop(struct server_loop *sl) { (void)sl; }
void peer_drain_loop(struct server_loop *sl) { (void)sl; }
void peer_adopt(struct inlay_server *s, int fd, const char *name) { (void)s; (void)name; close(fd); }
void peer_ref(struct peer *p) { (void)p; }
void peer_unref(struct peer *p) { (void)p; }
void peer_close_later(struct peer *p) { (void)p; }
void peer_event_lock(struct peer *p, const struct inlay_event_lock_req *e) { (void)p; (void)e; }
void peers_free(struct server_loop *sl) { (void)sl; }

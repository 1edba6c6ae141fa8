/*
 * Parts of an attachment that are the same on every host: its threads, its rules, and what people ask about it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_PARTS_H
#define INLAY_CMD_PARTS_H

#include "cmd/attachment.h"
#include "cmd/pictures.h"

/* One loop a connection; connections 0: one per core, at most 4. 0 or a status. */
int inlay_parts_crew(unsigned connections, struct inlay_crew **ret);
/* A judge of these rules (NULL-terminated; NULL: none). A status, with one line for the user in why; *ret is then to be freed all the same. */
int inlay_parts_rules(const char *const *rules, struct inlay_judge **ret, char *why, size_t why_len);
/* The server's suggestions come after the user's own rules; one that makes no sense is left out and said. */
void inlay_parts_server_rules(struct inlay_judge *judge, const struct inlay_client *client);

/* Health and what is under way, of all lanes. */
void inlay_parts_health(const struct inlay_pictures *p, struct inlay_attachment_status *s);
/* Operations, summed over lanes; messages that never happened are left out. 0 or -INLAY_ENOMEM. */
int inlay_parts_operations(const struct inlay_redirect *r, struct inlay_attachment_status *s);

#endif

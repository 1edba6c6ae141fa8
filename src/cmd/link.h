/*
 * The remote side of an attachment: one lane per loop, each on a connection that is made again when it is lost.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_LINK_H
#define INLAY_CMD_LINK_H

#include "net/addr.h"
#include "net/conn.h"
#include "redirect/redirect.h"

struct inlay_link;

struct inlay_link_config {
	struct inlay_addr addr;
	const char *export_name;
	const char *host;        /* who we are, for the server's logs */
	bool insecure;
	unsigned timeout_ms;     /* how long a call may wait for a connection; 0 = for ever */
	struct inlay_crew *crew; /* one lane per loop */
	struct inlay_redirect *redirect; /* told of events */
	struct inlay_estate *estate;     /* where the session is kept for a successor; NULL: there will be none */
	bool (*is_asked)(void *arg, uint64_t origin); /* inherited: whether the kernel asks again for that */
	void *arg;
};

/*
 * Connects lane 0 and opens the session, blocking, before the crew runs. 0; or a status and one line for the user in why.
 */
int inlay_link_open(const struct inlay_link_config *config, char *why, size_t why_len, struct inlay_link **ret);
/* Instead: goes on with the session that the estate tells of; connects once it is started. 0 or a status. */
int inlay_link_inherit(const struct inlay_link_config *config, struct inlay_link **ret);
/* Puts lane 0 on its loop and connects the others. Before or after the crew starts. */
void inlay_link_start(struct inlay_link *l);
/* Says BYE as well as it can and ends every call, each on its lane's thread. Just before the crew is stopped. */
void inlay_link_stop(struct inlay_link *l);
/* After the crew has stopped. */
void inlay_link_free(struct inlay_link *l);

struct inlay_side_port *inlay_link_port(struct inlay_link *l);
/* The session as HELLO described it; constant once open. */
const struct inlay_client *inlay_link_client(const struct inlay_link *l);

/* The state of one lane: only on its loop's thread. */
struct inlay_lane_picture {
	enum inlay_lane_state state;
	uint64_t since_ns; /* loop time: open, or dead, since then; or not open since then, whatever was tried meanwhile */
	unsigned outstanding, waiting;
	uint64_t reconnects;
};
void inlay_link_picture(struct inlay_link *l, unsigned lane, struct inlay_lane_picture *ret);

#endif

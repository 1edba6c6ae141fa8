/*
 * The product's redirector beneath the driver in the simulation: filter's user side, redirector, session and connections as
 * inlay.exe has them, on this host's loops; only placeholders, section and events are the simulation's. Threads run freely.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WHOLE_REDIRECTOR_H
#define INLAY_WHOLE_REDIRECTOR_H

#include "placeholders.h"

#include "cmd/link.h"

#include "register.h"

struct redirector_config {
	struct sim_volume *volume;
	const WCHAR *root;       /* the filter directory, which is made when it isn't there; kept by reference */
	uint32_t number;         /* the directory's */
	const char *server;      /* "unix:/socket" */
	const char *export_name;
	unsigned lanes;
	uint32_t entries, slots; /* of the ring; each slot INLAY_RING_SLOT_MIN bytes */
};

struct redirector {
	struct registration at;
	struct whole_placeholders placeholders;
	struct inlay_crew *crew;
	struct inlay_redirect redirect;
	struct inlay_side_port nothing; /* the local side: the volume's own */
	struct inlay_link *link;
	struct inlay_winfilter *filter;
	struct native_thread *waiter;   /* for the requests event, as Windows' own waiter thread does it */
	struct inlay_task ready;        /* by which it tells home */
	_Atomic bool told, ending;
};

/* Connects, makes the ring, registers with the driver. Ends the test program when that fails. */
void redirector_start(struct redirector *r, const struct redirector_config *config);
/* The driver is let go first, so that what programs wait for ends with an error; then everything else. */
void redirector_stop(struct redirector *r);

#endif

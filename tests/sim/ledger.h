/*
 * Every operation that a client began: what the server made of it, and whether the client was told just that.
 * SPDX-License-Identifier: Apache-2.0
 *
 * An operation has a number, which travels with it: as the caller's only group, or as the first bytes of what is written.
 * Requests without either are told by the handle that they are for.
 */
#ifndef INLAY_TESTS_SIM_LEDGER_H
#define INLAY_TESTS_SIM_LEDGER_H

#include "client.h"
#include "tree.h"

#include "server/server.h"

void ledger_begin(void);
void ledger_end(void);
uint32_t ledger_open(struct sim_op *op);
/* Around the execution of a request. before: false: the server is dying, and nothing may happen any more. */
bool ledger_before(struct inlay_request *rq);
void ledger_after(struct inlay_request *rq);
/* The store did that for the request under execution. */
bool ledger_running(void); /* one that changes something and is noted is under execution */
void ledger_effect(void);
void ledger_synced(void);
void ledger_torn(void); /* the server dies with it, noted and not answered */
void ledger_made(uint64_t ino);
void ledger_wrote(uint64_t len);
/* A crash took what the operation of that number had written. */
void ledger_lost(uint64_t number);
/* The host is about to crash: which files have all that it may take kept by their clients? */
void ledger_crash(void);
/* The client was told. */
void ledger_close(struct sim_op *op, int status);
/* The session in which it was done last; NULL: it never was. */
const struct inlay_uuid *ledger_session(uint32_t number);

/* ---- locks.c: what clients were granted ---- */

void locks_granted(const struct sim_prog *g, const struct inlay_uuid *session);
void locks_let_go(const struct sim_prog *g);
/* killed: with the server, so that its locks can be reclaimed. */
void locks_session_over(const struct inlay_uuid *session, bool killed);
/* Whoever has not come back for his locks has lost them. */
void locks_grace_over(void);
/* What the program has open was good in that session. */
void locks_still_held(const struct sim_prog *g, const struct sim_file *f, const struct inlay_uuid *session);
void locks_end(void);

#endif

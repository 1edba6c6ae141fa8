/*
 * The server's process in the simulation: started, killed, started again, on one store that outlives it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_SIM_SERVER_H
#define INLAY_TESTS_SIM_SERVER_H

#include "sim.h"

#include "server/server.h"
#include "store/memory/memory.h"

/* What the store does wrong now: percent of calls, and which status. */
struct sim_store_faults {
	unsigned percent;
	int status;        /* negative; 0: short writes */
};

/* Makes the store, too. keeps: it has a state directory. */
void sim_server_begin(uint32_t lease_ms, unsigned loops, bool keeps);
void sim_server_start(void);
/*
 * It dies while it executes the next request that changes something: before that is done, or before it is noted and answered; then
 * died() is called. NULL: it doesn't, after all.
 */
void sim_server_kill_midway(bool before, void (*died)(void));
/* kill -9; host: the machine goes down, and what was not committed is lost. */
void sim_server_kill(bool host);
/* It takes nothing new, as before it is stopped. */
void sim_server_drain(void);
void sim_server_end(void);

bool sim_server_up(void);
struct sim_proc *sim_server_proc(void); /* NULL while it is down */
struct inlay_server *sim_server(void);  /* NULL while it is down */
uint64_t sim_server_boots(void);
uint64_t sim_server_crashes(void); /* of its host */
void sim_server_accept(struct sim_sock *s, const char *from);
void sim_server_fault(const struct sim_store_faults *f); /* NULL: none any more */
void sim_server_room(uint64_t bytes, uint64_t nodes); /* its store is as good as full */
bool sim_server_faulty(void);           /* there were such faults in this run */
struct inlay_store *sim_store(void);
bool sim_server_dying(void);            /* nothing that it does has an effect any more */
bool sim_session_alive(const struct inlay_uuid *id);
/* What must hold after every step. */
void sim_server_check(void);
/* Sessions of the client of that name, alive now. */
unsigned sim_server_sessions(const char *client);

#endif

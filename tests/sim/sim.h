/*
 * A deterministic simulation: clients, the server and the memory store in one thread, under one seed and a virtual clock.
 * SPDX-License-Identifier: Apache-2.0
 *
 * What runs is the product: src/redirect, src/session, src/cmd/link.c, src/net/conn*.c, src/server, src/store/memory.
 * What is simulated is what lies beneath: event loops (loop.c), sockets (net.c), clock, randomness and log (host.c). Disorder comes
 * from faults.c, work from work.c; ledger.c and tree.c and locks.c say what must hold.
 *
 * There is one simulation per process, hence the global state. Nothing in it depends on an address or on the host's clock, so
 * that a seed replays to the same byte.
 */
#ifndef INLAY_TESTS_SIM_H
#define INLAY_TESTS_SIM_H

#include "base/list.h"
#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The simulation's own memory doesn't run out: see host.c. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
#define malloc __real_malloc
#define calloc __real_calloc
#define realloc __real_realloc

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SEC UINT64_C(1000000000)

#define SIM_LOOPS_MAX 2u /* of one process */

/* ---- sim.c: time, order, chance, the trace ---- */

/* Something that happens at a time. Embedded by its user; events of one time happen in the order in which they were set. */
struct sim_event {
	uint64_t at, order;
	unsigned place; /* in the heap, from 1; 0: not set */
	struct sim_proc *proc; /* whose it is; NULL: the world's */
	void (*run)(struct sim_event *e);
};

/* True time, ns. */
extern uint64_t sim_now;
/* Whose code runs; NULL: the world's own. */
extern struct sim_proc *sim_running;
extern bool sim_verbose;
/* From here on nothing is disturbed any more. */
extern bool sim_calm;

/* Once: a process that dies says of which seed. */
void sim_watch(void);
/* What is to be done when the run fails: it leaves nothing on the host. */
void sim_will(void (*will)(void));
void sim_begin(uint64_t seed);
void sim_set(struct sim_event *e, uint64_t at); /* moves it if it is set */
void sim_unset(struct sim_event *e);
/* Runs the next event; false: there is none, or none before `until`, which is then the time. */
bool sim_step(uint64_t until);
/* Runs events of the world and of `only` alone until done(arg) or that time; the others wait. True: done. */
bool sim_nested(struct sim_proc *only, bool (*done)(void *arg), void *arg, uint64_t until);
unsigned sim_events(void);
void sim_end(void);

uint64_t sim_random(void);
/* 0 .. below - 1; 0 for below 0. */
uint64_t sim_below(uint64_t below);
/* from .. to */
uint64_t sim_between(uint64_t from, uint64_t to);
/* True in `percent` of the cases. */
bool sim_chance(unsigned percent);

/* Goes into the trace's hash, and with --trace to stdout. what: constant text. */
void sim_trace(const char *what, uint64_t a, uint64_t b, uint64_t c);
void sim_trace_text(const char *what, const char *text);
void sim_trace_bytes(const void *bytes, size_t len);
uint64_t sim_trace_hash(void);
/* The run has failed: says so with seed and time and ends the process. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
#define SIM_REQUIRE(what) ((what) ? (void)0 : sim_fail("%s:%d: %s", __FILE__, __LINE__, #what))

/* ---- loop.c: processes and their loops ---- */

struct sim_sock;

struct inlay_crew {
	struct sim_proc *proc;
};

struct inlay_loop {
	struct sim_proc *proc;
	struct sim_event turn;
	uint64_t now_ns; /* the process's clock at the turn's begin */
	struct inlay_list posted, inbox, again, again_now, hooks, hooks_now, socks;
	struct inlay_hook *hook;
	bool in_hooks;
	struct inlay_list timers; /* by struct sim_alarm */
	struct sim_event alarm;
	uint64_t pass;
	int busy;
};

struct sim_proc {
	char name[16];
	bool dead;          /* killed: what it still does has no effect */
	uint64_t clock0;    /* its clock when the world's was 0 */
	int32_t drift_ppm;  /* how much faster it goes */
	uint64_t frozen;    /* stopped until then */
	unsigned handoffs;  /* percent of calls that lose their loop */
	unsigned loops;
	struct inlay_loop loop[SIM_LOOPS_MAX];
	struct inlay_crew crew;
	struct inlay_list works;  /* calls that are offloaded, or late */
	unsigned tasks;           /* works, and what is posted */
	struct inlay_list socks;
};

void sim_proc_init(struct sim_proc *p, const char *name, unsigned loops);
uint64_t sim_proc_clock(const struct sim_proc *p);
/* Does on the spot what is left, as stopping a crew does; then nothing of it is on any list. */
void sim_proc_drain(struct sim_proc *p);
/* After drain and after whatever used its loops was freed. */
void sim_proc_done(struct sim_proc *p);
/* Something is ready: the loop's turn comes soon. */
void sim_loop_kick(struct inlay_loop *l);

/* ---- net.c: connections ---- */

struct sim_sock {
	int fd;
	struct inlay_list all;
	struct inlay_list of_proc;
	struct inlay_list of_loop;
	struct sim_proc *proc;
	struct sim_sock *peer; /* NULL: it was freed */
	struct inlay_source *source;
	struct inlay_loop *loop;
	uint64_t pass;
	uint8_t *in;
	size_t in_len, in_cap;
	struct inlay_list way; /* segments on their way to the peer */
	size_t way_len, way_max;
	uint64_t way_last;     /* when the last of them arrives */
	bool eof;              /* the peer sends no more */
	bool sent_eof;
	bool reset;
	bool mute;             /* the peer's host is gone, and doesn't answer */
	bool arriving;         /* the server has not been told of it yet */
	bool closed;
};

void sim_net_begin(void);
bool sim_net_is(int fd); /* not one of the host's */
/* A connection to the server: its descriptor in p, or a status. */
int sim_net_connect(struct sim_proc *p);
bool sim_net_readable(const struct sim_sock *s);
uint32_t sim_net_ready(const struct sim_sock *s);
struct sim_sock *sim_net_find(int fd);
/* All of a process's connections end: reset, or without a word. */
void sim_net_kill(struct sim_proc *p, bool mute);
/* A client's process is gone: they end, but what it had given its host still arrives. */
void sim_net_leave(struct sim_proc *p);
unsigned sim_net_count(void);
/* A connection that is open at both ends, by chance; NULL: there is none. */
struct sim_sock *sim_net_any(void);
void sim_net_reset(struct sim_sock *s);
void sim_net_half_close(struct sim_sock *s);
/* Nothing of what s sends arrives before that time. */
void sim_net_stall(struct sim_sock *s, uint64_t until);
void sim_net_unstall(void);

/* What connections are like in this run. */
struct sim_net_manners {
	uint64_t latency_min, latency_max;
	unsigned cut;       /* percent of sends that are cut into pieces */
	unsigned refused;   /* percent of connects that fail */
	size_t window_min, window_max;
};
extern struct sim_net_manners sim_net;

/* ---- host.c: accounting ---- */

unsigned sim_chunks(void); /* in use */
/* One of so many allocations of the processes fails from now on; 0: none does. */
void sim_memory_short(unsigned one_of);
bool sim_memory_failed(void); /* one has, in this run */
/* Around what a process does by itself; its beginning and its end find memory, and so does the store. Returns what was so before. */
bool sim_memory_scarce(bool scarce);
/* The log said that someone broke the protocol: both ends are ours, so that it must not. */
void sim_host_begin(void);

#endif

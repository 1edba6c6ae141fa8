/*
 * The simulation's program: seeds, what each of them is like, the faults, and the end in which all must drain.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ledger.h"
#include "server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DRAIN_MOST (300 * SEC)

/* What may go wrong in a run: each with its weight. */
enum fault { RESET, HALF_CLOSE, STALL, FREEZE, STORE, FULL, SERVER_KILLED, HOST_DOWN, CLIENT_KILLED, CLIENT_HOST_DOWN, DETACH, OUTAGE,
             SERVER_STOPPED, SERVER_DIES_MIDWAY, REDIRECTOR_KILLED, MEMORY, FAULTS };

static const unsigned usual_weight[FAULTS] = {
	[RESET] = 20, [HALF_CLOSE] = 8, [STALL] = 10, [FREEZE] = 4, [STORE] = 6, [FULL] = 2, [SERVER_KILLED] = 3, [HOST_DOWN] = 3,
	[CLIENT_KILLED] = 2, [CLIENT_HOST_DOWN] = 1, [DETACH] = 2, [OUTAGE] = 3, [SERVER_STOPPED] = 2, [SERVER_DIES_MIDWAY] = 4,
	[REDIRECTOR_KILLED] = 10, [MEMORY] = 2,
};

static struct run {
	unsigned weight[FAULTS], weights;
	uint64_t until, pause; /* of the disorder; between faults, on average */
	uint32_t lease_ms;
	struct sim_event fault, restart, mend, stop, memory;
	uint64_t faults, steps;
} run;

static const char *const fault_name[FAULTS] = {
	[RESET] = "reset", [HALF_CLOSE] = "half-closed", [STALL] = "stalled", [FREEZE] = "process-stopped", [STORE] = "store-failing",
	[FULL] = "store-full", [SERVER_KILLED] = "server-killed", [HOST_DOWN] = "server-host-down", [CLIENT_KILLED] = "client-killed",
	[CLIENT_HOST_DOWN] = "client-host-down", [DETACH] = "detached", [OUTAGE] = "all-reset", [SERVER_STOPPED] = "server-stopped",
	[SERVER_DIES_MIDWAY] = "server-dies-midway", [REDIRECTOR_KILLED] = "redirector-killed",
	[MEMORY] = "memory-short",
};

/* Of all seeds. */
static struct {
	uint64_t steps, done, failed, boots, faults[FAULTS];
} all;

/* ---- faults ---- */

static void restart(struct sim_event *e)
{
	(void)e;
	if (!sim_server_up())
		sim_server_start();
}

static void mend(struct sim_event *e)
{
	(void)e;
	sim_server_fault(NULL);
	inlay_memory_set_capacity(sim_store(), UINT64_C(1) << 40, 1u << 20);
}

static void memory_is_back(struct sim_event *e)
{
	(void)e;
	sim_memory_short(0);
}

static void memory_runs_out(void)
{
	sim_memory_short((unsigned)sim_between(2, sim_chance(50) ? 20 : 400));
	sim_set(&run.memory, sim_now + sim_between(MS, sim_chance(70) ? 200 * MS : 2 * SEC));
}

static void start_again(void)
{
	/* Not before the clock of files has ticked: the server tells by it what was made before. */
	sim_set(&run.restart, sim_now + sim_between(20 * MS, sim_chance(70) ? SEC : 20 * SEC));
}

static void kill_server(bool host)
{
	if (!sim_server_up())
		return;
	sim_server_kill(host);
	start_again();
}

/* A restart by an administrator: what is under way may finish. */
static void stop_server(void)
{
	sim_server_drain();
	if (sim_server_up())
		sim_set(&run.stop, sim_now + sim_between(MS, 2 * SEC));
}

static void stopped(struct sim_event *e)
{
	(void)e;
	kill_server(false);
}

static void spoil_store(bool full)
{
	static const int statuses[] = {-INLAY_EIO, -INLAY_ENOSPC, -INLAY_EDQUOT, -INLAY_EROFS, 0};
	struct sim_store_faults f;
	uint64_t bytes = sim_below(20) * 65536;

	f.percent = (unsigned)sim_between(5, 60);
	f.status = statuses[sim_below(5)];
	if (full)
		sim_server_room(bytes, sim_chance(50) ? 8 : 1u << 20);
	else
		sim_server_fault(&f);
	sim_set(&run.mend, sim_now + sim_between(100 * MS, 5 * SEC));
}

static void disturb_stream(enum fault f)
{
	struct sim_sock *s = sim_net_any();

	if (!s)
		return;
	if (f == RESET)
		sim_net_reset(s);
	else if (f == HALF_CLOSE)
		sim_net_half_close(s);
	else
		sim_net_stall(s, sim_now + sim_between(MS, sim_chance(80) ? SEC : 3 * run.lease_ms * MS));
}

static void disturb_client(enum fault f)
{
	struct sim_client *c = &sim_clients[sim_below(sim_client_count)];

	if (!c->up)
		return;
	if (f == DETACH)
		client_detach(c);
	else
		client_kill(c, f == CLIENT_HOST_DOWN);
	client_attach_at(c, sim_now + sim_between(MS, 5 * SEC));
}

/* Its guardian starts another: see heir.c. */
static void kill_redirector(void)
{
	struct sim_client *c = &sim_clients[sim_below(sim_client_count)];

	if (!c->up || !c->heir.guarded || c->heir.killed)
		return;
	if (sim_chance(30))
		heir_kill(c);
	else
		c->heir.doom = (unsigned)sim_between(1, sim_chance(50) ? 8 : 80);
}

static void freeze(void)
{
	struct sim_proc *p = sim_chance(50) ? sim_server_proc() : &sim_clients[sim_below(sim_client_count)].proc;

	if (!p || p->dead)
		return;
	p->frozen = sim_now + sim_between(MS, sim_chance(80) ? SEC : 2 * run.lease_ms * MS);
	sim_trace("fault: stopped", p->frozen - sim_now, 0, 0);
}

static enum fault any_fault(void)
{
	uint64_t at = sim_below(run.weights);
	unsigned f = 0;

	while (at >= run.weight[f])
		at -= run.weight[f++];
	return (enum fault)f;
}

/* Signals come while nothing can be told to the server. */
static void startle(void)
{
	for (unsigned i = 0; i < sim_client_count; i++)
		for (unsigned k = 0; k < sim_clients[i].progs && sim_clients[i].up; k++)
			if (sim_chance(50))
				work_startle(&sim_clients[i].prog[k]);
}

static void outage(void)
{
	struct sim_sock *s;

	for (unsigned i = 0; i < 64 && (s = sim_net_any()); i++)
		sim_net_reset(s);
}

static void fault(struct sim_event *e)
{
	enum fault f = any_fault();

	run.faults++;
	all.faults[f]++;
	switch (f) {
	case SERVER_KILLED:
	case HOST_DOWN:
		kill_server(f == HOST_DOWN);
		break;
	case STORE:
	case FULL:
		spoil_store(f == FULL);
		break;
	case CLIENT_KILLED:
	case CLIENT_HOST_DOWN:
	case DETACH:
		disturb_client(f);
		break;
	case FREEZE:
		freeze();
		break;
	case OUTAGE:
		outage();
		break;
	case SERVER_DIES_MIDWAY:
		sim_server_kill_midway(sim_chance(50), start_again);
		break;
	case SERVER_STOPPED:
		stop_server();
		break;
	case REDIRECTOR_KILLED:
		kill_redirector();
		break;
	case MEMORY:
		memory_runs_out();
		break;
	default:
		disturb_stream(f);
	}
	if (f == RESET || f == OUTAGE)
		startle();
	sim_set(e, sim_now + sim_between(1, 2 * run.pause));
}

/* ---- a run ---- */

static void step(uint64_t until)
{
	while (sim_now < until && sim_step(until)) {
		run.steps++;
		sim_server_check();
		if (run.steps % 256 == 0)
			tree_check(false);
	}
}

static void begin(void)
{
	bool quiet = sim_chance(5);
	unsigned server_loops;

	memset(&run, 0, sizeof run);
	run.fault.run = fault;
	run.restart.run = restart;
	run.mend.run = mend;
	run.stop.run = stopped;
	run.memory.run = memory_is_back;
	for (unsigned i = 0; i < FAULTS; i++) {
		run.weight[i] = sim_chance(60) ? usual_weight[i] : 0;
		run.weights += run.weight[i];
	}
	run.weights += run.weight[RESET] ? 0 : usual_weight[RESET];
	run.weight[RESET] = usual_weight[RESET];
	run.pause = sim_between(20 * MS, sim_chance(50) ? SEC : 6 * SEC);
	run.until = sim_between(SEC, 20 * SEC);
	run.lease_ms = (uint32_t)sim_between(1000, 8000);
	sim_net = (struct sim_net_manners){.latency_min = 20 * US, .latency_max = sim_between(50 * US, sim_chance(70) ? MS : 50 * MS),
	                                   .cut = quiet ? 0 : (unsigned)sim_below(60), .refused = (unsigned)sim_below(30),
	                                   .window_min = 2048, .window_max = sim_chance(50) ? 8192 : 1u << 20};
	if (!quiet)
		sim_set(&run.fault, sim_now + run.pause);
	server_loops = (unsigned)sim_between(1, SIM_LOOPS_MAX);
	sim_server_begin(run.lease_ms, server_loops, sim_chance(80));
	sim_server_start();
	ledger_begin();
	sim_client_count = (unsigned)sim_between(1, 3);
	sim_client_slots = sim_chance(30) ? (unsigned)sim_between(1, 4) : 0;
	for (unsigned i = 0; i < sim_client_count; i++) {
		/* One after the other: compilers differ in the order of arguments. */
		unsigned loops = (unsigned)sim_between(1, SIM_LOOPS_MAX), progs = (unsigned)sim_between(1, 5);

		client_begin(i, loops, progs, sim_chance(70) ? 0 : 3000);
	}
}

static bool is_done(void)
{
	for (unsigned i = 0; i < sim_client_count; i++) {
		if (!sim_clients[i].up)
			return false;
		for (unsigned k = 0; k < sim_clients[i].progs; k++)
			if (!work_idle(&sim_clients[i].prog[k]))
				return false;
	}
	return true;
}

static void calm_down(void)
{
	sim_trace("calm", run.faults, 0, 0);
	sim_calm = true;
	sim_unset(&run.fault);
	sim_unset(&run.restart);
	sim_unset(&run.mend);
	sim_unset(&run.memory);
	memory_is_back(NULL);
	sim_server_kill_midway(false, NULL);
	mend(NULL);
	if (run.stop.place || sim_server_dying())
		sim_server_kill(false);
	sim_unset(&run.stop);
	restart(NULL);
	sim_net_unstall();
	for (unsigned i = 0; i < sim_client_count; i++) {
		struct sim_client *c = &sim_clients[i];

		if (!c->heir.killed)
			c->proc.frozen = 0;
		c->heir.doom = 0;
	}
	sim_server_proc()->frozen = 0;
}

static bool is_busy(void)
{
	for (unsigned i = 0; i < sim_client_count; i++)
		for (unsigned k = 0; k < sim_clients[i].progs; k++)
			if (sim_clients[i].prog[k].busy)
				return true;
	return false;
}

static void tell_all(bool closing)
{
	for (unsigned i = 0; i < sim_client_count; i++) {
		for (unsigned k = 0; k < sim_clients[i].progs; k++) {
			sim_clients[i].prog[k].resting = !closing;
			sim_clients[i].prog[k].closing = closing;
			work_on(&sim_clients[i].prog[k]);
		}
	}
}

static void say_stuck(void)
{
	for (unsigned i = 0; i < sim_client_count; i++)
		inlay_list_each(it, &sim_clients[i].ops) {
			struct sim_op *o = inlay_container(it, struct sim_op, link);

			printf("%s waits for operation %u (%s), begun at %llu ms\n", sim_clients[i].proc.name, o->number,
			       inlay_message_name(o->type), (unsigned long long)(o->began / MS));
		}
}

static void step_until(bool (*over)(void))
{
	uint64_t end = sim_now + DRAIN_MOST;

	while (!over()) {
		if (sim_now >= end) {
			say_stuck();
			sim_fail("it does not drain");
		}
		step(sim_now + 100 * MS < end ? sim_now + 100 * MS : end);
	}
}

static bool is_quiet(void)
{
	return !is_busy();
}

/* Whoever waited has given up, and programs keep what they have: then nothing is locked that none of them knows of. */
static void check_locks(void)
{
	struct inlay_server_counts counts;
	bool excused = sim_memory_failed(); /* whoever could not give back a lock was told so */
	unsigned held = 0;

	for (unsigned i = 0; i < sim_client_count; i++) {
		excused = excused || sim_clients[i].heir.undoing;
		for (unsigned k = 0; k < sim_clients[i].progs; k++)
			held += sim_clients[i].prog[k].holds;
	}
	inlay_server_counts(sim_server(), &counts);
	if (counts.locks > held && !excused)
		sim_fail("the server has %u locks, but programs know of %u", counts.locks, held);
}

/* Without faults all must come to an end, and nothing be left. */
static void drain(void)
{
	/*
	 * What dead clients held goes with the lease, twice at the most: a connection that is lost is noticed first. A HELLO that nobody
	 * answers is given up after INLAY_HELLO_TIMEOUT_MS.
	 */
	uint64_t lease = 3 * run.lease_ms * MS + 12 * SEC;
	struct inlay_server_counts counts;

	calm_down();
	if (sim_chance(60)) {
		tell_all(false);
		step_until(is_quiet);
		step(sim_now + lease);
		step_until(is_quiet);
		check_locks();
	}
	tell_all(true);
	step_until(is_done);
	step(sim_now + lease);
	if (sim_server_sessions(NULL) != sim_client_count)
		sim_fail("%u clients have %u sessions", sim_client_count, sim_server_sessions(NULL));
	for (unsigned i = 0; i < sim_client_count; i++) {
		SIM_REQUIRE(sim_server_sessions(sim_clients[i].proc.name) == 1);
		client_check_idle(&sim_clients[i]);
		client_detach(&sim_clients[i]);
	}
	/* A goodbye finds no slot where few are granted and a PING is out: then the lease ends the session. */
	step(sim_now + (sim_client_slots ? 3 * run.lease_ms * MS : 0) + 5 * SEC);
	inlay_server_counts(sim_server(), &counts);
	if (counts.conns || counts.sessions || counts.handles || counts.locks || counts.requests)
		sim_fail("left in the server: %u connections, %u sessions, %u handles, %u locks, %u requests", counts.conns, counts.sessions,
		         counts.handles, counts.locks, counts.requests);
	if (sim_net_count())
		sim_fail("%u sockets are left open", sim_net_count());
	tree_check(false);
}

static void finish(void)
{
	all.steps += run.steps;
	all.boots += sim_server_boots();
	for (unsigned i = 0; i < sim_client_count; i++) {
		all.done += sim_clients[i].done;
		all.failed += sim_clients[i].failed;
	}
	sim_server_end();
	ledger_end();
	locks_end();
	sim_end();
	if (sim_chunks())
		sim_fail("%u chunks are left", sim_chunks());
}

static uint64_t run_seed(uint64_t seed)
{
	sim_begin(seed);
	sim_client_room = seed % 5 == 3 ? 2048 : 0;
	begin();
	step(run.until);
	drain();
	finish();
	return sim_trace_hash();
}

/* ---- the program ---- */

static const struct option options[] = {
	{"first", required_argument, NULL, 'f'},
	{"stride", required_argument, NULL, 'd'},
	{"seeds", required_argument, NULL, 'n'},
	{"seconds", required_argument, NULL, 's'},
	{"trace", no_argument, NULL, 't'},
	{"hash", no_argument, NULL, 'h'},
	{0},
};

/* For tests/sim/run, which adds up those of several processes. */
static void say_figures(uint64_t seeds)
{
	printf("figures: seeds=%llu steps=%llu operations-done=%llu operations-failed=%llu server-starts=%llu", (unsigned long long)seeds,
	       (unsigned long long)all.steps, (unsigned long long)all.done, (unsigned long long)all.failed, (unsigned long long)all.boots);
	for (unsigned i = 0; i < FAULTS; i++)
		printf(" fault-%s=%llu", fault_name[i], (unsigned long long)all.faults[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	uint64_t first = 1, stride = 1, seeds = 1, seconds = 0, done = 0;
	bool hash = false;
	time_t begun = time(NULL);
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			first = strtoull(optarg, NULL, 10);
			break;
		case 'd':
			stride = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			seeds = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seconds = strtoull(optarg, NULL, 10);
			break;
		case 't':
			sim_verbose = true;
			break;
		case 'h':
			hash = true;
			break;
		default:
			return 2;
		}
	}
	sim_watch();
	for (; done < seeds && (!seconds || (uint64_t)(time(NULL) - begun) < seconds); done++) {
		uint64_t seed = first + done * stride, h = run_seed(seed);

		if (hash)
			printf("seed %llu: %016llx\n", (unsigned long long)seed, (unsigned long long)h);
	}
	say_figures(done);
	return 0;
}

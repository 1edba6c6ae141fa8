/*
 * A redirector is killed, between any two steps or in the middle of one, and another takes over from it, as a guardian has it: the
 * kernel, that is the simulated programs, keeps what it was told, and asks again for what it was not told.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   heir_kill     the estate is copied as it is, connections end; from here on nothing that the process does has an effect
 *   bury          what it had is freed, after the step in whose middle that was
 *   take_over     another process, later, from the copy; each request that was not answered begins anew on the lane that had it
 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

static const struct inlay_estate_caps caps = {.nodes = 1024, .files = 256, .locks = 256};

/* What a program's file is while there is no process: the ledger looks at it. */
static struct inlay_node no_node;
static struct inlay_file no_file = {.node = &no_node};

static void bury(struct sim_event *e);

void heir_begin(struct sim_client *c)
{
	if (!c->heir.guarded)
		return;
	c->heir.memory = calloc(1, inlay_estate_len(&caps));
	SIM_REQUIRE(c->heir.memory && inlay_estate_new(c->heir.memory, &caps, &c->heir.estate) == 0);
}

void heir_free(struct sim_client *c)
{
	inlay_estate_free(c->heir.estate);
	free(c->heir.memory);
	c->heir.estate = NULL;
	c->heir.memory = NULL;
	c->heir.doom = 0;
}

bool heir_is_asked(void *client, uint64_t origin)
{
	struct sim_client *c = client;

	inlay_list_each(it, &c->ops)
		if (inlay_container(it, struct sim_op, link)->number == origin)
			return true;
	return false;
}

/* ---- the end of one ---- */

void heir_kill(struct sim_client *c)
{
	size_t len = inlay_estate_len(&caps);

	sim_trace("fault: redirector killed", c->number, c->heir.takeovers, sim_running != NULL);
	c->heir.left = malloc(len);
	SIM_REQUIRE(c->heir.left);
	memcpy(c->heir.left, c->heir.memory, len);
	c->heir.killed = true;
	c->heir.undoing = c->heir.undoing || !inlay_list_empty(&c->redirect.undoing);
	c->heir.doom = 0;
	if (sim_chance(50))
		sim_net_leave(&c->proc);
	else
		sim_net_kill(&c->proc, false);
	c->proc.dead = true;
	c->proc.frozen = UINT64_MAX;
	c->heir.event = (struct sim_event){.run = bury};
	sim_set(&c->heir.event, sim_now);
}

void heir_step(void)
{
	for (unsigned i = 0; i < sim_client_count; i++) {
		struct sim_client *c = &sim_clients[i];

		if (sim_running == &c->proc && c->up && !c->heir.killed && c->heir.doom && !--c->heir.doom)
			heir_kill(c);
	}
}

static uint64_t leave(struct inlay_node **n)
{
	uint64_t number = *n ? (*n)->number : 0;

	inlay_node_put(*n);
	*n = NULL;
	return number;
}

/* What the kernel has of it are numbers. */
static void leave_numbers(struct sim_client *c)
{
	for (unsigned i = 0; i < c->progs; i++) {
		struct sim_prog *g = &c->prog[i];

		c->heir.prog[i].dir = leave(&g->dir);
		for (unsigned k = 0; k < FILES_MAX; k++) {
			struct sim_file *f = &g->files[k];

			c->heir.prog[i].node[k] = leave(&f->node);
			f->file = f->file ? &no_file : NULL;
			f->whole = false; /* what was kept to be sent again is not handed over */
			if (f->told_at == sim_now) /* of a loss; that may not have been noted any more */
				f->crashes = UINT64_MAX;
		}
	}
	inlay_list_each(it, &c->ops) {
		struct sim_op *o = inlay_container(it, struct sim_op, link);

		o->found_number = leave(&o->found);
	}
}

static void take_over(struct sim_event *e);

static void bury(struct sim_event *e)
{
	struct sim_client *c = inlay_container(e, struct sim_client, heir.event);
	struct sim_proc *outer = sim_running;

	sim_running = &c->proc;
	leave_numbers(c);
	client_stop(c);
	inlay_list_each(it, &c->ops)
		SIM_REQUIRE(inlay_container(it, struct sim_op, link)->parted);
	client_bury(c);
	heir_free(c);
	sim_running = outer;
	c->heir.event = (struct sim_event){.run = take_over};
	sim_set(&c->heir.event, sim_now + sim_between(MS, sim_chance(80) ? 200 * MS : 5 * SEC));
}

/* ---- the next one ---- */

/* A request of the predecessor's, on its way to its lane. */
struct again {
	struct inlay_task task;
	struct sim_op *op;
	unsigned lane;
};

static void begin(struct inlay_task *t)
{
	struct again *a = inlay_container(t, struct again, task);
	struct sim_op *o = a->op;
	struct sim_prog *g = o->prog;

	/* This process may have been killed, too: then the next one is asked. */
	if (!g->client->heir.killed) {
		client_start_again(o, a->lane);
		if (g->busy == o && o->interrupted && !o->parted)
			client_interrupt(o);
	}
	free(a);
}

static void ask_again(struct sim_client *c)
{
	const struct inlay_lane_row *rows = inlay_estate_lanes(c->heir.estate);

	inlay_list_each(it, &c->ops) {
		struct again *a = calloc(1, sizeof *a);
		int lane;

		SIM_REQUIRE(a);
		a->op = inlay_container(it, struct sim_op, link);
		lane = inlay_lane_of_origin(rows, c->loops, a->op->number);
		a->lane = lane > 0 ? (unsigned)lane : 0;
		a->task.done = begin;
		sim_trace("asked again", a->op->type, a->op->number, a->lane);
		inlay_loop_post(inlay_crew_loop(&c->proc.crew, a->lane), &a->task);
	}
}

static struct inlay_node *known(struct sim_client *c, uint64_t number)
{
	struct inlay_node *n = number ? inlay_node_get(c->redirect.nodes, number) : NULL;

	if (number && !n)
		sim_fail("a node that the kernel knows is not in the estate of %s", c->proc.name);
	return n;
}

static void take_numbers(struct sim_client *c)
{
	for (unsigned i = 0; i < c->progs; i++) {
		struct sim_prog *g = &c->prog[i];

		g->dir = known(c, c->heir.prog[i].dir);
		for (unsigned k = 0; k < FILES_MAX; k++) {
			struct sim_file *f = &g->files[k];

			f->node = known(c, c->heir.prog[i].node[k]);
			if (!f->file)
				continue;
			f->file = inlay_file_get(&c->redirect, f->fh);
			if (!f->file)
				sim_fail("a file that program %u has open is not in the estate of %s", i, c->proc.name);
			inlay_file_put(&c->redirect, f->file);
		}
	}
	inlay_list_each(it, &c->ops) {
		struct sim_op *o = inlay_container(it, struct sim_op, link);

		o->found = known(c, o->found_number);
	}
}

/* The same host has the same clock. */
static void begin_process(struct sim_client *c)
{
	uint64_t clock0 = c->proc.clock0;
	int32_t drift_ppm = c->proc.drift_ppm;
	char name[sizeof c->proc.name];

	memcpy(name, c->proc.name, sizeof name);
	sim_proc_init(&c->proc, name, c->loops);
	c->proc.clock0 = clock0;
	c->proc.drift_ppm = drift_ppm;
}

static void go_on(struct sim_client *c)
{
	for (unsigned i = 0; i < c->progs; i++) {
		struct sim_prog *g = &c->prog[i];

		if (g->next.place)
			sim_set(&g->next, sim_now + sim_below(20 * MS));
		else
			work_on(g);
	}
}

static void take_over(struct sim_event *e)
{
	struct sim_client *c = inlay_container(e, struct sim_client, heir.event);
	struct inlay_link_config config;

	begin_process(c);
	sim_running = &c->proc;
	sim_trace("takes over", c->number, ++c->heir.takeovers, 0);
	c->heir.memory = c->heir.left;
	c->heir.left = NULL;
	SIM_REQUIRE(inlay_estate_open(c->heir.memory, inlay_estate_len(&caps), &c->heir.estate) == 0);
	memset(&c->redirect, 0, sizeof c->redirect);
	SIM_REQUIRE(inlay_redirect_init(&c->redirect, c->loops) == 0);
	c->redirect.judge = inlay_judge_new();
	config = client_link_config(c);
	SIM_REQUIRE(inlay_link_inherit(&config, &c->link) == 0);
	client_join(c);
	SIM_REQUIRE(inlay_estate_restore(c->heir.estate, &c->redirect, heir_is_asked, c) == 0);
	take_numbers(c);
	c->heir.killed = false;
	c->up = true;
	ask_again(c);
	inlay_link_start(c->link);
	go_on(c);
	sim_running = NULL;
}

/* ---- steps: before and after each change of the estate ---- */

#define STEP(name, parameters, arguments) \
	void __real_##name parameters; \
	void __wrap_##name parameters; \
\
	void __wrap_##name parameters \
	{ \
		heir_step(); \
		__real_##name arguments; \
		heir_step(); \
	}

struct inlay_lane;
STEP(lane_row_note, (struct inlay_lane *l, const struct inlay_call *c), (l, c))
STEP(lane_row_begin, (struct inlay_lane *l), (l))
STEP(lane_row_lost, (struct inlay_lane *l, bool redo), (l, redo))
STEP(lane_row_redone, (struct inlay_lane *l, const struct inlay_call *c), (l, c))
STEP(inlay_estate_save_client, (struct inlay_estate *e, const struct inlay_client *c), (e, c))
STEP(inlay_estate_node, (struct inlay_estate *e, const struct inlay_node *n, bool placed), (e, n, placed))
STEP(inlay_estate_node_gone, (struct inlay_estate *e, uint64_t number), (e, number))
STEP(inlay_estate_file, (struct inlay_estate *e, const struct inlay_file *f, uint64_t origin), (e, f, origin))
STEP(inlay_estate_file_mark, (struct inlay_estate *e, uint64_t number, unsigned mark), (e, number, mark))
STEP(inlay_estate_file_unmark, (struct inlay_estate *e, uint64_t number, unsigned mark), (e, number, mark))
STEP(inlay_estate_file_closing, (struct inlay_estate *e, uint64_t number, uint64_t origin), (e, number, origin))
STEP(inlay_estate_file_gone, (struct inlay_estate *e, uint64_t number), (e, number))
STEP(inlay_estate_lock_range, (struct inlay_estate *e, uint32_t row, uint64_t start, uint64_t end), (e, row, start, end))
STEP(inlay_estate_lock_gone, (struct inlay_estate *e, uint32_t row), (e, row))

uint32_t __real_inlay_estate_lock(struct inlay_estate *e, uint64_t file, const struct inlay_lock_req *l);
uint32_t __wrap_inlay_estate_lock(struct inlay_estate *e, uint64_t file, const struct inlay_lock_req *l);

uint32_t __wrap_inlay_estate_lock(struct inlay_estate *e, uint64_t file, const struct inlay_lock_req *l)
{
	uint32_t row;

	heir_step();
	row = __real_inlay_estate_lock(e, file, l);
	heir_step();
	return row;
}

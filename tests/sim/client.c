/*
 * Clients: attaching, operations, detaching, dying.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "client.h"

#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_client sim_clients[CLIENTS_MAX];
unsigned sim_client_count, sim_client_slots;

struct sim_client *client_of(const char *host)
{
	for (unsigned i = 0; i < sim_client_count; i++)
		if (strcmp(sim_clients[i].proc.name, host) == 0)
			return &sim_clients[i];
	return NULL;
}

const struct inlay_uuid *client_session(const struct sim_client *c)
{
	return &inlay_link_client(c->link)->session;
}

/* ---- operations ---- */

void client_forget(struct sim_client *c, unsigned lane, struct inlay_node *n)
{
	if (!n)
		return;
	inlay_redirect_forget(&c->redirect, lane, n->number, 1);
	inlay_node_put(n);
}

static void finished(struct inlay_op *op, int status)
{
	struct sim_op *o = inlay_container(op, struct sim_op, op);
	struct sim_client *c = o->client;

	SIM_REQUIRE(!o->ended);
	ledger_close(o, status);
	o->ended = true;
	inlay_list_remove(&o->link);
	c->done += status == 0;
	c->failed += status < 0;
	o->prog->busy = NULL;
	o->then(o, status);
	/* What was found or opened and nobody took. */
	client_forget(c, op->lane, op->found);
	client_forget(c, op->lane, o->found);
	if (op->opened)
		inlay_redirect_abandon_file(&c->redirect, op->lane, op->opened);
	inlay_node_put(op->node);
	inlay_node_put(op->to);
	inlay_file_put(&c->redirect, op->file);
	free(o->data);
	work_on(o->prog);
	free(o);
}

struct sim_op *client_op(struct sim_prog *g, uint16_t type, void (*then)(struct sim_op *o, int status))
{
	struct sim_client *c = g->client;
	struct sim_op *o = calloc(1, sizeof *o);

	SIM_REQUIRE(o && !g->busy && c->up);
	inlay_op_init(&o->op, &c->redirect, g->number % c->loops, finished);
	o->client = c;
	o->prog = g;
	o->type = type;
	o->began = sim_now;
	o->then = then;
	o->session = *client_session(c);
	o->number = ledger_open(o);
	o->op.cred.ngroups = 1;
	o->op.cred.groups[0] = o->number;
	o->op.cred.uid = o->op.cred.gid = 0;
	inlay_list_init(&o->link);
	inlay_list_append(&c->ops, &o->link);
	g->busy = o;
	sim_trace("begin", type, o->number, g->number);
	return o;
}

/* ---- what is sent ---- */

void __real_inlay_frame_put(uint8_t *p, const struct inlay_frame *f);
void __wrap_inlay_frame_put(uint8_t *p, const struct inlay_frame *f);

bool client_has_sent(const struct sim_op *o, const struct sim_sent *as)
{
	for (unsigned i = 0; i < o->sents && i < SENT_MAX; i++)
		if (o->sent[i].session == as->session && o->sent[i].slot == as->slot && o->sent[i].seq == as->seq)
			return true;
	return false;
}

static void note_sent(struct sim_client *c, const uint8_t *head, const struct inlay_frame *f)
{
	inlay_list_each(it, &c->ops) {
		struct sim_op *o = inlay_container(it, struct sim_op, link);
		struct sim_sent as = {inlay_load32(client_session(c)->bytes) & 0xffffff, f->slot, (uint32_t)f->seq};

		if (o->op.call.head == head && !client_has_sent(o, &as))
			o->sent[o->sents++ % SENT_MAX] = as;
	}
}

void __wrap_inlay_frame_put(uint8_t *p, const struct inlay_frame *f)
{
	__real_inlay_frame_put(p, f);
	for (unsigned i = 0; i < sim_client_count; i++)
		if (f->kind == INLAY_FRAME_REQUEST && sim_running == &sim_clients[i].proc)
			note_sent(&sim_clients[i], p, f);
}

/* ---- what the redirector wants of its host ---- */

static void repost(struct inlay_redirect *r, struct inlay_op *op)
{
	struct sim_client *c = inlay_container(r, struct sim_client, redirect);

	inlay_list_init(&op->call.link);
	inlay_list_append(&c->reposted, &op->call.link);
	if (!c->repost.place)
		sim_set(&c->repost, sim_now + sim_between(1, 200 * US));
}

static bool run_reposted(struct sim_client *c)
{
	struct inlay_list *it;
	bool any = false;

	while ((it = inlay_list_pop(&c->reposted))) {
		struct inlay_op *op = inlay_container(inlay_container(it, struct inlay_call, link), struct inlay_op, call);

		op->step(op, NULL);
		any = true;
	}
	return any;
}

static void reposted(struct sim_event *e)
{
	run_reposted(inlay_container(e, struct sim_client, repost));
}

static void no_submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	(void)port, (void)lane, (void)call;
	sim_fail("something was asked of the local side, which isn't there");
}

/* ---- attaching ---- */

/* Lanes with few slots, in some runs, so that calls wait for one. */
int __real_inlay_lane_init(struct inlay_lane *l, struct inlay_client *client, uint32_t index, const struct inlay_lane_ops *ops,
                           void *owner, uint64_t now_ns);
int __wrap_inlay_lane_init(struct inlay_lane *l, struct inlay_client *client, uint32_t index, const struct inlay_lane_ops *ops,
                           void *owner, uint64_t now_ns);

int __wrap_inlay_lane_init(struct inlay_lane *l, struct inlay_client *client, uint32_t index, const struct inlay_lane_ops *ops,
                           void *owner, uint64_t now_ns)
{
	if (sim_client_slots)
		client->slots_wanted = sim_client_slots;
	return __real_inlay_lane_init(l, client, index, ops, owner, now_ns);
}

static int open_link(struct sim_client *c)
{
	struct inlay_link_config config = {.export_name = "x", .host = c->proc.name, .insecure = true, .timeout_ms = c->timeout_ms,
	                                   .crew = &c->proc.crew, .redirect = &c->redirect};
	const struct inlay_node_id *roots[INLAY_SIDES] = {NULL, NULL};
	const struct inlay_hash_key seed = {{3, 4}};
	char why[256];
	int r = inlay_link_open(&config, why, sizeof why, &c->link);

	if (r < 0)
		return r;
	roots[INLAY_REMOTE] = &inlay_link_client(c->link)->root;
	c->redirect.port[INLAY_LOCAL] = &c->no_local;
	c->redirect.port[INLAY_REMOTE] = inlay_link_port(c->link);
	c->redirect.repost = repost;
	c->redirect.boot = inlay_link_client(c->link)->boot;
	SIM_REQUIRE(inlay_nodes_new(&seed, roots, &c->redirect.nodes) == 0);
	c->root = inlay_node_get(c->redirect.nodes, INLAY_ROOT_NUMBER);
	return 0;
}

static void drain(struct sim_client *c)
{
	do
		sim_proc_drain(&c->proc);
	while (run_reposted(c));
}

static void attach(struct sim_event *e)
{
	struct sim_client *c = inlay_container(e, struct sim_client, attach);
	char name[16];
	int r;

	snprintf(name, sizeof name, "c%u.%llu", c->number, (unsigned long long)++c->life);
	sim_proc_init(&c->proc, name, c->loops);
	sim_running = &c->proc;
	memset(&c->redirect, 0, sizeof c->redirect);
	c->no_local = (struct inlay_side_port){.submit = no_submit};
	c->lost_at = 0;
	SIM_REQUIRE(inlay_redirect_init(&c->redirect, c->loops) == 0);
	c->redirect.judge = inlay_judge_new();
	r = open_link(c);
	sim_trace("attach", c->number, (uint64_t)-r, 0);
	if (r < 0) {
		inlay_judge_free(c->redirect.judge);
		c->redirect.judge = NULL;
		c->redirect.nodes = NULL;
		inlay_table_free(c->redirect.files);
		free(c->redirect.stats);
		sim_proc_drain(&c->proc);
		sim_proc_done(&c->proc);
		sim_running = NULL;
		client_attach_at(c, sim_now + sim_between(10 * MS, SEC));
		return;
	}
	c->up = true;
	inlay_link_start(c->link);
	c->repost = (struct sim_event){.run = reposted, .proc = &c->proc};
	for (unsigned i = 0; i < c->progs; i++)
		work_begin(&c->prog[i]);
	sim_running = NULL;
}

void client_attach_at(struct sim_client *c, uint64_t at)
{
	c->attach.run = attach;
	sim_set(&c->attach, at);
}

void client_begin(unsigned number, unsigned loops, unsigned progs, unsigned timeout_ms)
{
	struct sim_client *c = &sim_clients[number];

	memset(c, 0, sizeof *c);
	c->number = number;
	c->loops = loops;
	c->progs = progs;
	c->timeout_ms = timeout_ms;
	inlay_list_init(&c->ops);
	inlay_list_init(&c->reposted);
	for (unsigned i = 0; i < progs; i++)
		c->prog[i] = (struct sim_prog){.client = c, .number = i};
	client_attach_at(c, sim_below(SEC));
}

void client_check_idle(struct sim_client *c)
{
	struct inlay_lane_picture picture;

	for (unsigned i = 0; i < c->loops; i++) {
		inlay_link_picture(c->link, i, &picture);
		if (picture.state != INLAY_LANE_OPEN || picture.waiting || picture.outstanding > 1) /* one may be a PING */
			sim_fail("lane %u of %s is in state %d, with %u slots taken and %u calls waiting", i, c->proc.name,
			         (int)picture.state, picture.outstanding, picture.waiting);
	}
}

/* As attachment.c does it. */
static void take_down(struct sim_client *c)
{
	struct sim_proc *outer = sim_running;

	sim_running = &c->proc;
	c->up = false;
	for (unsigned i = 0; i < c->progs; i++)
		locks_let_go(&c->prog[i]);
	inlay_link_stop(c->link);
	inlay_redirect_stop_waiting(&c->redirect);
	drain(c);
	for (unsigned i = 0; i < c->progs; i++)
		work_lost(&c->prog[i]);
	drain(c);
	SIM_REQUIRE(inlay_list_empty(&c->ops));
	inlay_node_put(c->root);
	inlay_link_free(c->link);
	inlay_redirect_done(&c->redirect);
	drain(c);
	sim_unset(&c->repost);
	sim_proc_done(&c->proc);
	sim_running = outer;
}

void client_detach(struct sim_client *c)
{
	if (!c->up)
		return;
	sim_trace("detach", c->number, 0, 0);
	take_down(c);
}

void client_kill(struct sim_client *c, bool mute)
{
	if (!c->up)
		return;
	sim_trace("fault: client killed", c->number, mute, 0);
	sim_net_kill(&c->proc, mute);
	c->proc.dead = true;
	take_down(c);
}

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
size_t sim_client_room;

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

static void drop_references(struct sim_op *o)
{
	inlay_node_put(o->op.node);
	inlay_node_put(o->op.to);
	inlay_file_put(&o->client->redirect, o->op.file);
}

/* Its process was killed before the kernel was told. */
static void part(struct sim_op *o)
{
	o->parted = true;
	inlay_node_put(o->op.found);
	if (o->op.opened)
		inlay_redirect_abandon_file(&o->client->redirect, o->op.lane, o->op.opened);
	drop_references(o);
}

/* Its calls have been made again, or never will be. */
static void settle(const struct sim_op *o)
{
	struct inlay_side_port *port = o->client->redirect.port[INLAY_REMOTE];

	if (o->resent)
		port->settle(port, o->op.lane, o->number);
}

static void finished(struct inlay_op *op, int status)
{
	struct sim_op *o = inlay_container(op, struct sim_op, op);
	struct sim_client *c = o->client;

	SIM_REQUIRE(!o->ended && !o->parted);
	heir_step();
	if (c->heir.killed) {
		part(o);
		return;
	}
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
	settle(o);
	drop_references(o);
	free(o->data);
	work_on(o->prog);
	free(o);
}

/* What a request is known by: to the ledger, and to whoever takes over. */
static void take_number(struct sim_op *o)
{
	o->op.cred.ngroups = 1;
	o->op.cred.groups[0] = o->number;
	o->op.cred.uid = o->op.cred.gid = 0;
	o->op.call.origin = o->number;
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
	take_number(o);
	inlay_list_init(&o->link);
	inlay_list_append(&c->ops, &o->link);
	g->busy = o;
	sim_trace("begin", type, o->number, g->number);
	return o;
}

static void start(struct sim_op *o)
{
	switch (o->type) {
	case INLAY_LOOKUP:
		inlay_op_lookup(&o->op);
		break;
	case INLAY_CREATE:
		inlay_op_create(&o->op);
		break;
	case INLAY_MKDIR:
		inlay_op_make(&o->op, o->type);
		break;
	case INLAY_UNLINK:
	case INLAY_RMDIR:
		inlay_op_remove(&o->op, o->type);
		break;
	case INLAY_RENAME:
		inlay_op_rename(&o->op);
		break;
	case INLAY_LINK:
		inlay_op_link(&o->op);
		break;
	case INLAY_OPEN:
		inlay_op_open(&o->op);
		break;
	case INLAY_OPENDIR:
		inlay_op_opendir(&o->op);
		break;
	case INLAY_CLOSE:
		inlay_op_close(&o->op);
		break;
	case INLAY_READ:
		inlay_op_read(&o->op);
		break;
	case INLAY_WRITE:
		inlay_op_write(&o->op);
		break;
	case INLAY_COMMIT:
		inlay_op_commit(&o->op);
		break;
	case INLAY_READDIR:
		inlay_op_readdir(&o->op);
		break;
	case INLAY_LOCK:
		inlay_op_lock(&o->op);
		break;
	case INLAY_TESTLOCK:
		inlay_op_testlock(&o->op);
		break;
	default:
		sim_fail("no program asks for %s", inlay_message_name(o->type));
	}
}

static uint64_t number_of(const struct inlay_node *n)
{
	return n ? n->number : 0;
}

void client_start(struct sim_op *o)
{
	o->request = (struct sim_request){.node = number_of(o->op.node), .to = number_of(o->op.to),
	                                  .file = o->op.file ? o->op.file->number : 0,
	                                  .handle = o->op.file ? o->op.file->handle : 0, .in = o->op.in, .name = o->op.name,
	                                  .to_name = o->op.to_name, .data_len = o->op.data_len};
	start(o);
}

static struct inlay_node *node_again(struct sim_op *o, uint64_t number)
{
	struct inlay_node *n = number ? inlay_node_get(o->client->redirect.nodes, number) : NULL;

	if (number && !n)
		sim_fail("%s, operation %u, is asked for again, but a node of it is gone", inlay_message_name(o->type), o->number);
	return n;
}

void client_start_again(struct sim_op *o, unsigned lane)
{
	const struct sim_request *q = &o->request;

	inlay_op_init(&o->op, &o->client->redirect, lane, finished);
	take_number(o);
	o->parted = false;
	o->resent = true;
	o->op.node = node_again(o, q->node);
	o->op.to = node_again(o, q->to);
	o->op.file = q->file ? inlay_file_get(&o->client->redirect, q->file) : NULL;
	if (q->file && !o->op.file)
		sim_fail("%s, operation %u, is asked for again, but its file is gone", inlay_message_name(o->type), o->number);
	o->op.in = q->in;
	o->op.name = q->name;
	o->op.to_name = q->to_name;
	o->op.data = o->data;
	o->op.data_len = q->data_len;
	start(o);
}

void client_interrupt(struct sim_op *o)
{
	struct inlay_side_port *port = o->client->redirect.port[INLAY_REMOTE];

	if (inlay_op_lock_interrupt(&o->op))
		port->cancel(port, o->op.lane, &o->op.call);
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

static void add_sent(struct sim_op *o, const struct sim_sent *as)
{
	if (!client_has_sent(o, as))
		o->sent[o->sents++ % SENT_MAX] = *as;
}

static void note_sent(struct sim_client *c, const uint8_t *head, const struct inlay_frame *f)
{
	inlay_list_each(it, &c->ops) {
		struct sim_op *o = inlay_container(it, struct sim_op, link);

		if (o->parted || o->op.call.head != head)
			continue;
		add_sent(o, &(struct sim_sent){inlay_load32(client_session(c)->bytes) & 0xffffff, f->slot, (uint32_t)f->seq});
		/* A predecessor may have died in the moment of sending it. */
		if (f->flags & INLAY_FRAME_REDO)
			add_sent(o, &(struct sim_sent){f->lane >> 8, f->lane & 0xff, f->status});
	}
}

void __wrap_inlay_frame_put(uint8_t *p, const struct inlay_frame *f)
{
	__real_inlay_frame_put(p, f);
	heir_step();
	for (unsigned i = 0; i < sim_client_count; i++)
		if (f->kind == INLAY_FRAME_REQUEST && sim_running == &sim_clients[i].proc && !sim_clients[i].heir.killed)
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
void __real_inlay_lane_connected(struct inlay_lane *l, uint64_t now_ns);
void __wrap_inlay_lane_connected(struct inlay_lane *l, uint64_t now_ns);

void __wrap_inlay_lane_connected(struct inlay_lane *l, uint64_t now_ns)
{
	if (sim_client_slots)
		l->client->slots_wanted = sim_client_slots;
	__real_inlay_lane_connected(l, now_ns);
}

struct inlay_link_config client_link_config(struct sim_client *c)
{
	return (struct inlay_link_config){.export_name = "x", .host = c->proc.name, .insecure = true, .timeout_ms = c->timeout_ms,
	                                  .crew = &c->proc.crew, .redirect = &c->redirect, .estate = c->heir.estate,
	                                  .is_asked = heir_is_asked, .arg = c};
}

void client_join(struct sim_client *c)
{
	const struct inlay_node_id *roots[INLAY_SIDES] = {NULL, NULL};
	const struct inlay_hash_key seed = {{3, 4}};

	roots[INLAY_REMOTE] = &inlay_link_client(c->link)->root;
	c->redirect.port[INLAY_LOCAL] = &c->no_local;
	c->redirect.port[INLAY_REMOTE] = inlay_link_port(c->link);
	c->redirect.repost = repost;
	c->redirect.boot = inlay_link_client(c->link)->boot;
	c->redirect.estate = c->heir.estate;
	c->repost = (struct sim_event){.run = reposted, .proc = &c->proc};
	SIM_REQUIRE(inlay_nodes_new(&seed, roots, &c->redirect.nodes) == 0);
	c->root = inlay_node_get(c->redirect.nodes, INLAY_ROOT_NUMBER);
}

static int open_link(struct sim_client *c)
{
	struct inlay_link_config config = client_link_config(c);
	char why[256];
	int r = inlay_link_open(&config, why, sizeof why, &c->link);

	if (r < 0)
		return r;
	client_join(c);
	inlay_nodes_keep(c->redirect.nodes, c->heir.estate);
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
	if (sim_client_room)
		c->redirect.kept.max = sim_client_room;
	c->redirect.judge = inlay_judge_new();
	heir_begin(c);
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
		heir_free(c);
		sim_running = NULL;
		client_attach_at(c, sim_now + sim_between(10 * MS, SEC));
		return;
	}
	c->up = true;
	inlay_link_start(c->link);
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
	c->heir.guarded = sim_chance(50);
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
void client_stop(struct sim_client *c)
{
	c->up = false;
	inlay_link_stop(c->link);
	inlay_redirect_stop_waiting(&c->redirect);
	drain(c);
}

void client_bury(struct sim_client *c)
{
	inlay_node_put(c->root);
	inlay_link_free(c->link);
	c->link = NULL;
	inlay_redirect_done(&c->redirect);
	drain(c);
	sim_unset(&c->repost);
	sim_proc_done(&c->proc);
}

static void take_down(struct sim_client *c)
{
	struct sim_proc *outer = sim_running;

	sim_running = &c->proc;
	for (unsigned i = 0; i < c->progs; i++)
		locks_let_go(&c->prog[i]);
	client_stop(c);
	for (unsigned i = 0; i < c->progs; i++)
		work_lost(&c->prog[i]);
	drain(c);
	SIM_REQUIRE(inlay_list_empty(&c->ops));
	client_bury(c);
	heir_free(c);
	sim_running = outer;
}

void client_detach(struct sim_client *c)
{
	if (!c->up || c->heir.killed)
		return;
	sim_trace("detach", c->number, 0, 0);
	take_down(c);
}

void client_kill(struct sim_client *c, bool mute)
{
	if (!c->up || c->heir.killed)
		return;
	sim_trace("fault: client killed", c->number, mute, 0);
	sim_net_kill(&c->proc, mute);
	c->proc.dead = true;
	take_down(c);
}

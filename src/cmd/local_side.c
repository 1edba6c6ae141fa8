/*
 * The local side.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/local_side.h"

#include "base/status.h"
#include "server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define EXPORT "local"

struct local_call {
	struct inlay_task task;
	struct inlay_request request;
	struct inlay_call *call;
	struct inlay_loop *loop;
	struct inlay_local_side *side;
	unsigned lane;
	int slot_lane, slot;    /* of the record; slot < 0: it is not recorded */
	struct inlay_list link; /* on the lane's spare list */
};

struct inlay_local_side {
	struct inlay_side_port port;
	struct inlay_crew *crew;
	struct inlay_redirect *redirect;
	struct inlay_server *server;
	struct inlay_session *session;
	struct inlay_node_id root;
	struct inlay_list *spare; /* per lane, its thread's alone */
	struct inlay_local_past *past;
	struct slots {
		_Atomic uint64_t busy;     /* a bit each */
		_Atomic uint64_t expected; /* of them: their request is asked again */
	} slots[INLAY_LANES_MAX];
	_Atomic uint32_t expects;      /* how many of expected are set, or are about to be cleared */
};

_Static_assert(INLAY_LOCAL_SLOTS == 64, "a bit each");

/* ---- the record ---- */

/* The call's request is recorded in this slot: as what the slot's predecessor began there, or as a new one. */
static void use_slot(struct local_call *lc, struct record_ref ref, unsigned lane, unsigned i, bool redo)
{
	struct inlay_local_slot *row = &lc->side->past->slot[lane][i];

	lc->slot_lane = (int)lane;
	lc->slot = (int)i;
	if (!redo) {
		__atomic_store_n(&row->origin, 0, __ATOMIC_RELEASE);
		row->type = lc->request.type;
		row->step = lc->call->step;
		row->tag = ref.tag;
		__atomic_store_n(&row->seq, row->seq + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&row->origin, lc->call->origin, __ATOMIC_RELEASE);
	}
	ref.slot = i;
	ref.tag = row->tag;
	ref.seq = redo ? (uint32_t)row->seq : row->seq; /* as a frame would have it */
	ref.redo = redo;
	lc->request.record = ref;
}

static void not_expected(struct inlay_local_side *s, unsigned lane, unsigned i)
{
	atomic_fetch_and(&s->slots[lane].expected, ~(UINT64_C(1) << i));
	atomic_fetch_sub(&s->expects, 1);
}

static bool claim_slot(struct local_call *lc)
{
	struct inlay_local_side *s = lc->side;
	struct record_ref ref;

	for (unsigned lane = 0; lane < inlay_crew_loops(s->crew); lane++) {
		uint64_t left = atomic_load(&s->slots[lane].expected);

		for (; left; left &= left - 1) {
			unsigned i = (unsigned)__builtin_ctzll(left);
			const struct inlay_local_slot *row = &s->past->slot[lane][i];

			if (row->origin != lc->call->origin || row->type != lc->request.type || row->step != lc->call->step)
				continue;
			if (!inlay_local_session_record(s->session, lane, lc->request.type, &ref))
				return false;
			not_expected(s, lane, i);
			use_slot(lc, ref, lane, i, true);
			return true;
		}
	}
	return false;
}

static void take_slot(struct local_call *lc)
{
	struct inlay_local_side *s = lc->side;
	_Atomic uint64_t *busy = &s->slots[lc->lane].busy;
	uint64_t was = atomic_load_explicit(busy, memory_order_relaxed);
	struct record_ref ref;

	lc->slot = -1;
	if (!s->past || !lc->call->origin || !inlay_local_session_record(s->session, lc->lane, lc->request.type, &ref))
		return;
	if (atomic_load_explicit(&s->expects, memory_order_relaxed) && claim_slot(lc))
		return;
	do {
		if (was == UINT64_MAX)
			return;
	} while (!atomic_compare_exchange_weak(busy, &was, was | (was + 1)));
	use_slot(lc, ref, lc->lane, (unsigned)__builtin_ctzll(~was), false);
}

static void leave_slot(struct inlay_local_side *s, int lane, int slot)
{
	if (slot >= 0)
		atomic_fetch_and(&s->slots[lane].busy, ~(UINT64_C(1) << slot));
}

static void settle(struct inlay_side_port *port, unsigned lane, uint64_t origin)
{
	struct inlay_local_side *s = inlay_container(port, struct inlay_local_side, port);

	(void)lane;
	for (unsigned l = 0; atomic_load(&s->expects) && l < inlay_crew_loops(s->crew); l++) {
		for (uint64_t left = atomic_load(&s->slots[l].expected); left; left &= left - 1) {
			unsigned i = (unsigned)__builtin_ctzll(left);

			if (s->past->slot[l][i].origin != origin)
				continue;
			not_expected(s, l, i);
			leave_slot(s, (int)l, (int)i);
		}
	}
}

static void inherit_slots(struct inlay_local_side *s, const struct inlay_local_config *config)
{
	for (unsigned lane = 0; lane < inlay_crew_loops(s->crew); lane++) {
		for (unsigned i = 0; i < INLAY_LOCAL_SLOTS; i++) {
			uint64_t origin = s->past->slot[lane][i].origin;

			if (!origin || !config->is_asked(config->arg, origin))
				continue;
			s->slots[lane].busy |= UINT64_C(1) << i;
			s->slots[lane].expected |= UINT64_C(1) << i;
			s->expects++;
		}
	}
}

/* ---- calls ---- */

static struct local_call *take_call(struct inlay_local_side *s, unsigned lane)
{
	struct inlay_list *it = inlay_list_pop(&s->spare[lane]);
	struct local_call *lc = it ? inlay_container(it, struct local_call, link) : malloc(sizeof *lc);

	if (lc)
		inlay_list_init(&lc->link);
	return lc;
}

static void work(struct inlay_task *t)
{
	inlay_request_execute(&inlay_container(t, struct local_call, task)->request);
}

static void finish(struct local_call *lc)
{
	struct inlay_request *rq = &lc->request;
	struct inlay_local_side *s = lc->side;
	unsigned lane = lc->lane;
	int slot_lane = lc->slot_lane, slot = lc->slot;
	struct inlay_reply reply = {.status = rq->status, .hold = rq->chunk};

	if (rq->status == 0) {
		reply.body = rq->reply_body;
		reply.body_len = rq->reply_len;
		reply.data = rq->reply_data;
		reply.data_len = rq->reply_data_len;
	}
	lc->call->done(lc->call, &reply);
	inlay_request_done(rq);
	leave_slot(s, slot_lane, slot); /* not before: what is not answered yet may be asked again */
	/* The completion may have lost the loop to a slow call of its own: the spare list is another thread's then. */
	if (inlay_loop_current() == lc->loop)
		inlay_list_prepend(&s->spare[lane], &lc->link);
	else
		free(lc);
}

static void submitted(struct inlay_request *rq, bool executed)
{
	struct local_call *lc = inlay_container(rq, struct local_call, request);

	if (executed)
		finish(lc);
	else
		inlay_loop_offload(lc->loop, &lc->task);
}

static void done(struct inlay_task *t)
{
	struct local_call *lc = inlay_container(t, struct local_call, task);
	struct inlay_request *rq = &lc->request;

	if (!rq->nowait || rq->status != -INLAY_EAGAIN) {
		finish(lc);
		return;
	}
	/* It isn't in the page cache: the loop's ring waits for the disk, or this thread where there is none. */
	rq->nowait = false;
	inlay_request_done(rq);
	if (!inlay_request_submit(rq, lc->loop, submitted))
		(void)!inlay_loop_run(lc->loop, &lc->task);
}

static void run(struct local_call *lc)
{
	lc->task = (struct inlay_task){.work = work, .done = done};
	lc->request.nowait = lc->request.type == INLAY_READ;
	if (inlay_request_is_slow(&lc->request))
		inlay_loop_offload(lc->loop, &lc->task);
	else if (!inlay_loop_run(lc->loop, &lc->task))
		return; /* whoever is above finds out by inlay_loop_current() */
}

static void run_later(struct inlay_task *t)
{
	run(inlay_container(t, struct local_call, task));
}

/* NULL: out of memory; the call has ended. */
static struct local_call *prepare(struct inlay_local_side *s, unsigned lane, struct inlay_call *call)
{
	struct local_call *lc = take_call(s, lane);

	if (!lc) {
		call->done(call, &(struct inlay_reply){.status = -INLAY_ENOMEM});
		return NULL;
	}
	lc->call = call;
	lc->side = s;
	lc->lane = lane;
	lc->loop = inlay_crew_loop(s->crew, lane);
	lc->request = (struct inlay_request){
		.session = s->session,
		.type = call->type,
		.body = call->head + INLAY_FRAME_HEADER,
		.body_len = call->body_len,
		.data = call->data,
		.data_len = call->data_len,
	};
	take_slot(lc);
	return lc;
}

static void post(struct local_call *lc)
{
	lc->task = (struct inlay_task){.done = run_later};
	inlay_loop_post(lc->loop, &lc->task);
}

static void submit(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct inlay_local_side *s = inlay_container(port, struct inlay_local_side, port);
	struct inlay_side_port *remote = s->redirect->port[INLAY_REMOTE];
	struct local_call *lc = prepare(s, lane, call);

	/* A frame's arrival is being worked off above us: it must not lose its loop in the middle. */
	if (lc && remote && remote->is_nested && remote->is_nested(remote, lane))
		post(lc);
	else if (lc)
		run(lc);
}

static void submit_later(struct inlay_side_port *port, unsigned lane, struct inlay_call *call)
{
	struct local_call *lc = prepare(inlay_container(port, struct inlay_local_side, port), lane, call);

	if (lc)
		post(lc);
}

static void lock_event(void *arg, const struct inlay_event_lock_req *e)
{
	struct inlay_local_side *s = arg;

	inlay_redirect_event_lock(s->redirect, INLAY_LOCAL, e);
}

/* A secret of its own, or the one that makes it go on as its predecessor. */
static int know_itself(const struct inlay_local_config *config, struct inlay_server_config *ret)
{
	struct inlay_local_past *past = config->past;

	if (!config->inherited && (getrandom(&ret->secret, sizeof ret->secret, 0) != sizeof ret->secret ||
	                           getrandom(&ret->boot, sizeof ret->boot, 0) != sizeof ret->boot))
		return inlay_status_from_errno(errno);
	if (!past)
		return 0;
	if (!config->inherited) {
		past->secret = ret->secret;
		past->boot = ret->boot;
		if (getrandom(&past->client, sizeof past->client, 0) != sizeof past->client)
			return inlay_status_from_errno(errno);
	}
	ret->secret = past->secret;
	ret->boot = past->boot;
	ret->state_dir = *past->state_dir ? past->state_dir : NULL;
	return 0;
}

static int open_export(struct inlay_local_side *s, const struct inlay_local_config *config)
{
	struct inlay_server_config server = {.banner = "inlay"};
	struct inlay_export_config export = {.name = EXPORT, .readonly = config->readonly, .identity_client = true, .rules = ""};
	struct inlay_attr attr;
	int err = know_itself(config, &server);

	if (err == 0)
		err = inlay_server_new(&server, NULL, &s->server);
	if (err < 0)
		return err;
	err = inlay_posix_open(config->dir_fd, INLAY_POSIX_CROSS_MOUNTS | (config->readonly ? INLAY_POSIX_READONLY : 0), &export.store);
	if (err < 0)
		return err;
	s->port.wants_forget = export.store->ops->pins_nodes;
	err = inlay_server_export_add(s->server, &export);
	if (err < 0) {
		export.store->ops->close(export.store);
		return err;
	}
	err = inlay_local_session_new(s->server, EXPORT, lock_event, s, &s->root, &attr, &s->session);
	if (err == 0 && config->past)
		inlay_local_session_reclaim(s->session, &config->past->client, config->inherited);
	return err;
}

int inlay_local_side_open(const struct inlay_local_config *config, struct inlay_local_side **ret)
{
	struct inlay_local_side *s = calloc(1, sizeof *s);
	unsigned lanes = inlay_crew_loops(config->crew);
	int err = -INLAY_ENOMEM;

	if (!s)
		return err;
	s->crew = config->crew;
	s->redirect = config->redirect;
	s->port.submit = submit;
	s->port.submit_later = submit_later;
	s->port.settle = settle;
	s->port.present = true;
	s->port.max_data = INLAY_DATA_MAX;
	s->spare = calloc(lanes, sizeof *s->spare);
	if (s->spare) {
		for (unsigned i = 0; i < lanes; i++)
			inlay_list_init(&s->spare[i]);
		err = open_export(s, config);
	}
	if (err < 0) {
		inlay_local_side_free(s);
		return err;
	}
	s->past = config->past;
	if (config->inherited)
		inherit_slots(s, config);
	*ret = s;
	return 0;
}

static int execute(void *arg, const struct inlay_call *c)
{
	struct inlay_request rq = {.session = ((struct inlay_local_side *)arg)->session, .type = c->type,
	                           .body = c->head + INLAY_FRAME_HEADER, .body_len = c->body_len};

	inlay_request_execute(&rq);
	inlay_request_done(&rq);
	return rq.status;
}

static uint64_t token(void *arg, const struct inlay_node_id *node, uint32_t flags, uint32_t kind)
{
	return inlay_local_session_token(((struct inlay_local_side *)arg)->session, node, flags, kind);
}

unsigned inlay_local_side_reclaim(struct inlay_local_side *s)
{
	static const struct inlay_local_reclaim_ops ops = {execute, token};

	return inlay_redirect_reclaim_local(s->redirect, &ops, s);
}

void inlay_local_side_free(struct inlay_local_side *s)
{
	if (!s)
		return;
	for (unsigned i = 0; s->spare && i < inlay_crew_loops(s->crew); i++)
		for (struct inlay_list *it; (it = inlay_list_pop(&s->spare[i]));)
			free(inlay_container(it, struct local_call, link));
	free(s->spare);
	if (s->session)
		inlay_local_session_free(s->session);
	inlay_server_free(s->server);
	free(s);
}

struct inlay_side_port *inlay_local_side_port(struct inlay_local_side *s)
{
	return &s->port;
}

const struct inlay_node_id *inlay_local_side_root(const struct inlay_local_side *s)
{
	return &s->root;
}

int inlay_local_side_fd(struct inlay_local_side *s, uint64_t handle)
{
	return inlay_local_handle_fd(s->session, handle);
}

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
};

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
	struct inlay_reply reply = {.status = rq->status, .hold = rq->chunk};

	if (rq->status == 0) {
		reply.body = rq->reply_body;
		reply.body_len = rq->reply_len;
		reply.data = rq->reply_data;
		reply.data_len = rq->reply_data_len;
	}
	lc->call->done(lc->call, &reply);
	inlay_request_done(rq);
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

static int open_export(struct inlay_local_side *s, int dir_fd, bool readonly)
{
	struct inlay_server_config config = {.banner = "inlay"};
	struct inlay_export_config export = {.name = EXPORT, .readonly = readonly, .identity_client = true, .rules = ""};
	struct inlay_attr attr;
	int err;

	if (getrandom(&config.secret, sizeof config.secret, 0) != sizeof config.secret ||
	    getrandom(&config.boot, sizeof config.boot, 0) != sizeof config.boot)
		return inlay_status_from_errno(errno);
	err = inlay_server_new(&config, NULL, &s->server);
	if (err < 0)
		return err;
	err = inlay_posix_open(dir_fd, INLAY_POSIX_CROSS_MOUNTS | (readonly ? INLAY_POSIX_READONLY : 0), &export.store);
	if (err < 0)
		return err;
	s->port.wants_forget = export.store->ops->pins_nodes;
	err = inlay_server_export_add(s->server, &export);
	if (err < 0) {
		export.store->ops->close(export.store);
		return err;
	}
	return inlay_local_session_new(s->server, EXPORT, lock_event, s, &s->root, &attr, &s->session);
}

int inlay_local_side_open(int dir_fd, bool readonly, struct inlay_crew *crew, struct inlay_redirect *redirect,
                          struct inlay_local_side **ret)
{
	struct inlay_local_side *s = calloc(1, sizeof *s);
	unsigned lanes = inlay_crew_loops(crew);
	int err = -INLAY_ENOMEM;

	if (!s)
		return err;
	s->crew = crew;
	s->redirect = redirect;
	s->port.submit = submit;
	s->port.submit_later = submit_later;
	s->port.present = true;
	s->port.max_data = INLAY_DATA_MAX;
	s->spare = calloc(lanes, sizeof *s->spare);
	if (s->spare) {
		for (unsigned i = 0; i < lanes; i++)
			inlay_list_init(&s->spare[i]);
		err = open_export(s, dir_fd, readonly);
	}
	if (err < 0) {
		inlay_local_side_free(s);
		return err;
	}
	*ret = s;
	return 0;
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

/*
 * The filter's frame: requests out of the ring, their steps, answers into it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/winfilter.h"

#include "base/log.h"
#include "intercept/winfilter/filter.h"

#include <stddef.h>

#define BATCH 64u          /* requests taken at a time; then the loop's other business has its turn */
#define BATCHES 4u
#define HOLD_MS 30000u
#define MS UINT64_C(1000000)

/* ---- nodes ---- */

static void forget(struct inlay_winfilter *w, struct inlay_node *node)
{
	inlay_redirect_forget(w->redirect, 0, node->number, 1);
	inlay_node_put(node);
}

struct inlay_wf_node *inlay_wf_node_new(struct inlay_winfilter *w, struct inlay_node *node)
{
	struct inlay_wf_node *n = malloc(sizeof *n);

	if (!n) {
		forget(w, node);
		return NULL;
	}
	*n = (struct inlay_wf_node){.node = node, .refs = 1};
	return n;
}

struct inlay_wf_node *inlay_wf_node_ref(struct inlay_wf_node *n)
{
	if (n)
		n->refs++;
	return n;
}

void inlay_wf_node_put(struct inlay_winfilter *w, struct inlay_wf_node *n)
{
	if (!n || --n->refs > 0)
		return;
	forget(w, n->node);
	free(n);
}

/* ---- requests ---- */

static struct inlay_wf_request *request_new(struct inlay_winfilter *w)
{
	struct inlay_list *it;
	struct inlay_wf_request *rq;

	pthread_mutex_lock(&w->lock);
	it = inlay_list_pop(&w->spare);
	pthread_mutex_unlock(&w->lock);
	rq = it ? inlay_container(it, struct inlay_wf_request, link) : malloc(sizeof *rq);
	if (!rq)
		return NULL;
	inlay_op_init(&rq->op, w->redirect, 0, NULL);
	memset((char *)rq + sizeof rq->op, 0, offsetof(struct inlay_wf_request, u) - sizeof rq->op);
	rq->w = w;
	inlay_list_init(&rq->link);
	inlay_list_init(&rq->wait);
	return rq;
}

/* w->lock is held. The last who knows the request makes it a spare one. */
static void unpin_locked(struct inlay_wf_request *rq)
{
	if (--rq->pins == 0 && rq->answered) {
		inlay_list_remove(&rq->link);
		inlay_list_prepend(&rq->w->spare, &rq->link);
	}
}

static void hook_run(struct inlay_hook *h)
{
	struct inlay_wf_lane *l = inlay_container(h, struct inlay_wf_lane, hook);
	struct inlay_winfilter *w = l->w;
	bool wake;

	inlay_hook_remove(h);
	l->hooked = false;
	pthread_mutex_lock(&w->lock);
	wake = inlay_ring_responder_publish(&w->ring);
	pthread_mutex_unlock(&w->lock);
	if (wake)
		w->config.wake_driver(w->config.arg);
}

/* Answers of one batch are shown together, with one signal. */
static void publish_soon(struct inlay_winfilter *w, unsigned lane)
{
	struct inlay_wf_lane *l = &w->lane[lane];

	if (l->hooked)
		return;
	l->hooked = true;
	inlay_hook_add(l->loop, &l->hook);
}

static void put_completion(struct inlay_winfilter *w, unsigned lane, const struct inlay_ring_completion *c,
                           struct inlay_wf_request *rq)
{
	pthread_mutex_lock(&w->lock);
	w->counts.answers++;
	w->counts.errors += c->status != (uint32_t)INLAY_NT_SUCCESS;
	w->counts.outstanding--;
	(void)!inlay_ring_responder_push(&w->ring, c); /* a dead ring is found out about by who takes from it */
	if (rq) {
		rq->answered = true;
		unpin_locked(rq);
	}
	pthread_mutex_unlock(&w->lock);
	publish_soon(w, lane);
}

void inlay_wf_answer(struct inlay_wf_request *rq, struct inlay_ring_completion *c)
{
	struct inlay_winfilter *w = rq->w;
	unsigned lane = rq->lane;
	struct inlay_wf_file *f = rq->file;

	c->tag = rq->in.tag;
	rq->file = NULL;
	put_completion(w, lane, c, rq);
	if (f)
		inlay_table_put(w->files, f->number);
	inlay_loop_busy(w->lane[lane].loop, -1);
}

void inlay_wf_answer_nt(struct inlay_wf_request *rq, enum inlay_ntstatus status)
{
	struct inlay_ring_completion c = {.status = (uint32_t)status};

	inlay_wf_answer(rq, &c);
}

void inlay_wf_answer_status(struct inlay_wf_request *rq, int status)
{
	struct inlay_ring_completion c = {.status = inlay_ntstatus_from(status < 0 ? status : 0)};

	inlay_wf_answer(rq, &c);
}

void inlay_wf_answer_attr(struct inlay_wf_request *rq, int status, const struct inlay_attr *attr)
{
	struct inlay_ring_completion c = {.status = inlay_ntstatus_from(status < 0 ? status : 0)};

	if (status >= 0)
		inlay_win_attr_from(attr, &c.attr);
	inlay_wf_answer(rq, &c);
}

/* ---- steps: operations ---- */

static void op_finished(struct inlay_op *op, int status)
{
	struct inlay_wf_request *rq = inlay_wf_of(op);
	uint64_t now = inlay_loop_now(rq->w->lane[rq->lane].loop);

	if (op->kind && op->kind < INLAY_MESSAGE_TOP)
		inlay_stats_add(op->redirect, op->lane, op->kind, op->side, status < 0,
		                op->kind == INLAY_WRITE ? op->out.write.count : op->kind == INLAY_READ && op->reply ? op->reply->data_len : 0,
		                now - rq->start_ns);
	rq->then(rq, status);
}

/* As in redirect/op.h: the groups that there are, not the room for the most. */
static void cred_copy(struct inlay_cred *to, const struct inlay_cred *from)
{
	memcpy(to, from, offsetof(struct inlay_cred, groups) + from->ngroups * sizeof from->groups[0]);
}

struct inlay_op *inlay_wf_op(struct inlay_wf_request *rq, inlay_wf_step *then)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_op *op = &rq->op;

	inlay_op_init(op, w->redirect, rq->lane, op_finished);
	if (rq->lane != 0)
		; /* data: its messages name nobody */
	else if (rq->file && rq->file->cred)
		cred_copy(&op->cred, rq->file->cred);
	else if (rq->file || !w->config.cred_of || !w->config.cred_of(w->config.arg, rq->in.process, &op->cred))
		cred_copy(&op->cred, &w->cred);
	rq->then = then;
	rq->start_ns = inlay_loop_now(w->lane[rq->lane].loop);
	return op;
}

void inlay_wf_op_done(struct inlay_wf_request *rq)
{
	struct inlay_op *op = &rq->op;

	inlay_node_put(op->node);
	inlay_node_put(op->to);
	inlay_node_put(op->found);
	inlay_file_put(op->redirect, op->file);
	op->node = op->to = op->found = NULL;
	op->file = op->opened = NULL;
}

static void reposted(struct inlay_task *t)
{
	struct inlay_wf_request *rq = inlay_container(t, struct inlay_wf_request, task);

	rq->op.step(&rq->op, NULL);
}

void inlay_winfilter_repost(struct inlay_redirect *r, struct inlay_op *op)
{
	struct inlay_wf_request *rq = inlay_wf_of(op);

	(void)r;
	rq->task = (struct inlay_task){.done = reposted};
	inlay_loop_post(rq->w->lane[op->lane].loop, &rq->task);
}

/* ---- steps: tasks ---- */

static void task_work(struct inlay_task *t)
{
	struct inlay_wf_request *rq = inlay_container(t, struct inlay_wf_request, task);

	rq->worked = rq->work(rq);
}

static void task_done(struct inlay_task *t)
{
	struct inlay_wf_request *rq = inlay_container(t, struct inlay_wf_request, task);

	rq->then(rq, rq->worked);
}

void inlay_wf_offload(struct inlay_wf_request *rq, int (*work)(struct inlay_wf_request *rq), inlay_wf_step *then)
{
	rq->work = work;
	rq->then = then;
	rq->task = (struct inlay_task){.work = task_work, .done = task_done};
	inlay_loop_offload(rq->w->lane[rq->lane].loop, &rq->task);
}

/* ---- steps: waits ---- */

static void wake(struct inlay_wf_request *rq, int status)
{
	inlay_list_remove(&rq->wait);
	inlay_timer_stop(&rq->timer);
	rq->woken(rq, status);
}

static void waited_too_long(struct inlay_timer *t)
{
	wake(inlay_container(t, struct inlay_wf_request, timer), -INLAY_ETIMEDOUT);
}

void inlay_wf_wait(struct inlay_wf_request *rq, struct inlay_list *list, bool timed, inlay_wf_step *woken)
{
	struct inlay_winfilter *w = rq->w;
	uint64_t ms = w->config.hold_ms ? w->config.hold_ms : HOLD_MS;

	rq->woken = woken;
	inlay_timer_init(&rq->timer, waited_too_long);
	inlay_list_append(list, &rq->wait);
	if (timed)
		inlay_timer_start(w->lane[0].loop, &rq->timer, inlay_loop_now(w->lane[0].loop) + ms * MS);
}

void inlay_wf_wake_all(struct inlay_list *list)
{
	struct inlay_list now, *it;

	/* Whoever is woken may wait again at once, perhaps for the same: not in this round. */
	inlay_list_init(&now);
	while ((it = inlay_list_pop(list)))
		inlay_list_append(&now, it);
	while (!inlay_list_empty(&now))
		wake(inlay_container(now.next, struct inlay_wf_request, wait), 0);
}

int inlay_wf_checkpoint(const struct inlay_wf_request *rq)
{
	return rq->canceled || rq->w->stopped ? -INLAY_ECANCELED : 0;
}

/* ---- cancelling ---- */

static void cancel_op(struct inlay_wf_request *rq)
{
	struct inlay_side_port *port = rq->w->redirect->port[INLAY_REMOTE];

	if (port->cancel)
		port->cancel(port, rq->lane, &rq->op.call);
}

static void cancel_elsewhere(struct inlay_task *t)
{
	struct inlay_wf_request *rq = inlay_container(t, struct inlay_wf_request, cancel);
	struct inlay_winfilter *w = rq->w;
	bool over;

	pthread_mutex_lock(&w->lock);
	over = rq->answered;
	pthread_mutex_unlock(&w->lock);
	if (!over)
		cancel_op(rq);
	pthread_mutex_lock(&w->lock);
	unpin_locked(rq);
	pthread_mutex_unlock(&w->lock);
}

/* The request of that tag, pinned; NULL: answered already, or never there. A second CANCEL finds none. */
static struct inlay_wf_request *find_to_cancel(struct inlay_winfilter *w, uint64_t tag)
{
	struct inlay_wf_request *found = NULL;

	pthread_mutex_lock(&w->lock);
	inlay_list_each(it, &w->inflight) {
		struct inlay_wf_request *rq = inlay_container(it, struct inlay_wf_request, link);

		if (rq->in.tag != tag || rq->answered || rq->canceled)
			continue;
		rq->pins++;
		found = rq;
		break;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

static void cancel_request(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;

	rq->canceled = true;
	if (rq->lane != 0) {
		rq->cancel = (struct inlay_task){.done = cancel_elsewhere};
		inlay_loop_post(w->lane[rq->lane].loop, &rq->cancel);
		return;
	}
	if (!inlay_list_empty(&rq->wait))
		wake(rq, -INLAY_ECANCELED);
	else
		cancel_op(rq);
	pthread_mutex_lock(&w->lock);
	unpin_locked(rq);
	pthread_mutex_unlock(&w->lock);
}

static void cancel(struct inlay_winfilter *w, uint64_t tag)
{
	struct inlay_wf_request *rq = find_to_cancel(w, tag);

	if (rq)
		cancel_request(rq);
}

/* ---- taking ---- */

static const struct row {
	inlay_wf_handler *handler;
	bool needs_file;
} rows[INLAY_RING_KIND_TOP] = {
	[INLAY_RING_OPEN] = {inlay_wf_open, false},
	[INLAY_RING_CLOSE] = {inlay_wf_close, true},
	[INLAY_RING_READ] = {inlay_wf_read, true},
	[INLAY_RING_WRITE] = {inlay_wf_write, true},
	[INLAY_RING_FLUSH] = {inlay_wf_flush, true},
	[INLAY_RING_GETATTR] = {inlay_wf_getattr, true},
	[INLAY_RING_SETATTR] = {inlay_wf_setattr, true},
	[INLAY_RING_LIST] = {inlay_wf_list, true},
	[INLAY_RING_RENAME_BEGIN] = {inlay_wf_rename_begin, false}, /* of a local file: without */
	[INLAY_RING_RENAME_END] = {inlay_wf_rename_end, true},
	[INLAY_RING_REMOVE_BEGIN] = {inlay_wf_remove_begin, true},
	[INLAY_RING_REMOVE_END] = {inlay_wf_remove_end, true},
	[INLAY_RING_STATFS] = {inlay_wf_statfs, true},
};

/* An answer without a request of ours behind it: there is no memory for one. */
static void refuse(struct inlay_winfilter *w, const struct inlay_ring_request *in, enum inlay_ntstatus status)
{
	struct inlay_ring_completion c = {.tag = in->tag, .status = (uint32_t)status};

	put_completion(w, 0, &c, NULL);
}

static enum inlay_ntstatus objection(struct inlay_winfilter *w, const struct inlay_ring_request *in)
{
	if (w->stopped)
		return INLAY_NT_DEVICE_NOT_CONNECTED;
	if (in->directory != w->config.directory)
		return INLAY_NT_OBJECT_PATH_NOT_FOUND;
	return INLAY_NT_SUCCESS;
}

static void take(struct inlay_winfilter *w, const struct inlay_ring_request *in)
{
	enum inlay_ntstatus no = objection(w, in);
	struct inlay_wf_request *rq;

	if (in->kind == INLAY_RING_CANCEL) {
		cancel(w, in->offset);
		return;
	}
	pthread_mutex_lock(&w->lock);
	w->counts.requests++;
	w->counts.outstanding++;
	w->counts.refused += no == INLAY_NT_OBJECT_PATH_NOT_FOUND;
	pthread_mutex_unlock(&w->lock);
	rq = no == INLAY_NT_SUCCESS ? request_new(w) : NULL;
	if (!rq) {
		refuse(w, in, no == INLAY_NT_SUCCESS ? INLAY_NT_INSUFFICIENT_RESOURCES : no);
		return;
	}
	rq->in = *in;
	pthread_mutex_lock(&w->lock);
	rq->pins = 1;
	inlay_list_append(&w->inflight, &rq->link);
	pthread_mutex_unlock(&w->lock);
	inlay_loop_busy(w->lane[0].loop, 1);
	if (in->file) {
		rq->file = inlay_table_get(w->files, in->file);
		if (!rq->file && rows[in->kind].needs_file) {
			inlay_wf_answer_nt(rq, INLAY_NT_INVALID_HANDLE);
			return;
		}
	}
	rows[in->kind].handler(rq);
}

static void is_broken(struct inlay_winfilter *w)
{
	if (w->broken)
		return;
	w->broken = true;
	inlay_error("the driver broke the rules of the ring; nothing goes through it any more");
	if (w->config.broken)
		w->config.broken(w->config.arg, -INLAY_EPROTO);
}

static void again(struct inlay_task *t)
{
	struct inlay_winfilter *w = inlay_container(t, struct inlay_winfilter, again);

	w->again_posted = false;
	inlay_winfilter_ready(w);
}

void inlay_winfilter_ready(struct inlay_winfilter *w)
{
	struct inlay_ring_request in[BATCH];
	int count;

	if (w->again_posted)
		return;
	for (unsigned i = 0; i < BATCHES; i++) {
		count = inlay_ring_responder_pop(&w->ring, in, BATCH);
		for (int k = 0; k < count; k++)
			take(w, &in[k]);
		if (count < 0) {
			is_broken(w);
			return;
		}
		if (count == 0 && inlay_ring_responder_sleep(&w->ring))
			return;
		/* A sleep that said no for a dead ring: the next pop says so. */
	}
	w->again_posted = true;
	w->again = (struct inlay_task){.done = again};
	inlay_loop_post(w->lane[0].loop, &w->again);
}

/* ---- life ---- */

static void release_file(void *object, void *arg)
{
	(void)arg;
	inlay_wf_file_free(object);
}

static int copy_config(struct inlay_winfilter *w, const struct inlay_winfilter_config *config)
{
	w->config = *config;
	w->config.loop = NULL;
	if (config->owner_sid_len > sizeof w->owner_sid)
		return -INLAY_EINVAL;
	if (config->owner_sid && config->owner_sid_len) {
		memcpy(w->owner_sid, config->owner_sid, config->owner_sid_len);
		w->config.owner_sid = w->owner_sid;
	}
	cred_copy(&w->cred, &config->cred);
	memcpy(&w->seed, config->attachment.bytes, sizeof w->seed);
	return 0;
}

static int make_lanes(struct inlay_winfilter *w, struct inlay_loop *const *loop)
{
	w->lanes = w->redirect->lanes;
	w->lane = calloc(w->lanes, sizeof *w->lane);
	if (!w->lane)
		return -INLAY_ENOMEM;
	for (unsigned i = 0; i < w->lanes; i++) {
		w->lane[i] = (struct inlay_wf_lane){.w = w, .loop = loop[i], .hook = {.run = hook_run}};
		inlay_list_init(&w->lane[i].hook.link);
	}
	return 0;
}

int inlay_winfilter_new(const struct inlay_winfilter_config *config, struct inlay_winfilter **ret)
{
	struct inlay_winfilter *w = calloc(1, sizeof *w);
	int err;

	if (!w)
		return -INLAY_ENOMEM;
	w->redirect = config->redirect;
	inlay_judge_ignore_case(w->redirect->judge);
	pthread_mutex_init(&w->lock, NULL);
	inlay_list_init(&w->open_files);
	inlay_list_init(&w->holds);
	inlay_list_init(&w->listings);
	inlay_list_init(&w->cases);
	inlay_list_init(&w->inflight);
	inlay_list_init(&w->spare);
	err = copy_config(w, config);
	if (err == 0)
		err = make_lanes(w, config->loop);
	if (err == 0)
		err = inlay_map_init(&w->names);
	if (err == 0) {
		w->files = inlay_table_new(INLAY_HANDLES_MAX, release_file, w);
		err = w->files ? 0 : -INLAY_ENOMEM;
	}
	if (err == 0)
		err = inlay_ring_responder_open(&w->ring, config->section, &config->geometry);
	if (err < 0) {
		inlay_winfilter_free(w);
		return err;
	}
	*ret = w;
	return 0;
}

/* A request that waits, or NULL. */
static struct inlay_wf_request *find_waiting(struct inlay_winfilter *w)
{
	struct inlay_wf_request *found = NULL;

	pthread_mutex_lock(&w->lock);
	inlay_list_each(it, &w->inflight) {
		struct inlay_wf_request *rq = inlay_container(it, struct inlay_wf_request, link);

		if (rq->lane == 0 && !inlay_list_empty(&rq->wait)) {
			found = rq;
			break;
		}
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

void inlay_winfilter_stop(struct inlay_winfilter *w)
{
	struct inlay_wf_request *rq;

	w->stopped = true;
	while ((rq = find_waiting(w)))
		wake(rq, -INLAY_ECANCELED);
	inlay_list_each_safe(it, tmp, &w->open_files)
		inlay_wf_hold_end(inlay_container(it, struct inlay_wf_file, link));
	if (w->lane[0].hooked)
		hook_run(&w->lane[0].hook);
}

static void free_requests(struct inlay_list *list)
{
	for (struct inlay_list *it; (it = inlay_list_pop(list));)
		free(inlay_container(it, struct inlay_wf_request, link));
}

void inlay_winfilter_free(struct inlay_winfilter *w)
{
	if (!w)
		return;
	inlay_list_each_safe(it, tmp, &w->open_files)
		inlay_wf_hold_end(inlay_container(it, struct inlay_wf_file, link));
	inlay_table_free(w->files);
	for (unsigned i = 0; w->lane && i < w->lanes; i++)
		if (w->lane[i].hooked)
			inlay_hook_remove(&w->lane[i].hook);
	free_requests(&w->inflight);
	free_requests(&w->spare);
	inlay_wf_cases_free(w);
	inlay_map_done(&w->names);
	pthread_mutex_destroy(&w->lock);
	free(w->lane);
	free(w);
}

void inlay_winfilter_counts(struct inlay_winfilter *w, struct inlay_winfilter_counts *ret)
{
	pthread_mutex_lock(&w->lock);
	*ret = w->counts;
	pthread_mutex_unlock(&w->lock);
	ret->files = inlay_table_count(w->files);
}

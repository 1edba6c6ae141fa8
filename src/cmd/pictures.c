/*
 * Questions to loops.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A question is shared by the asker and the loops: who lets go of it last frees it, so an answer may come too late.
 */
#include "cmd/pictures.h"

#include "base/status.h"
#include "os/clock.h"
#include "os/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PICTURE_MS 2000u
#define LOOKUP_MS 5000u

struct question {
	_Atomic unsigned refs;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned awaited;          /* lock */
};

static int question_init(struct question *q, unsigned parties)
{
	int err = inlay_cond_init(&q->answered);

	if (err < 0)
		return err;
	pthread_mutex_init(&q->lock, NULL);
	q->refs = parties + 1;
	q->awaited = parties;
	return 0;
}

/* True: the caller was the last and frees what the question is part of. */
static bool question_drop(struct question *q)
{
	if (atomic_fetch_sub(&q->refs, 1) > 1)
		return false;
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->answered);
	return true;
}

static bool question_answer(struct question *q)
{
	pthread_mutex_lock(&q->lock);
	if (--q->awaited == 0)
		pthread_cond_signal(&q->answered);
	pthread_mutex_unlock(&q->lock);
	return question_drop(q);
}

/* Returns with the lock held, so that late answers stay out while the caller looks. True: all have answered. */
static bool question_wait(struct question *q, unsigned timeout_ms)
{
	uint64_t until = inlay_clock_ns() + timeout_ms * UINT64_C(1000000), now;

	pthread_mutex_lock(&q->lock);
	while (q->awaited && (now = inlay_clock_ns()) < until)
		(void)inlay_cond_wait_ns(&q->answered, &q->lock, until - now);
	return q->awaited == 0;
}

/* ---- lanes ---- */

struct survey {
	struct question q;
	struct inlay_link *link;
	struct inlay_pictures pictures;
	struct survey_lane {
		struct inlay_task task;
		struct survey *survey;
		unsigned lane;
	} lane[INLAY_LANES_MAX];
};

static void survey_lane(struct inlay_task *t)
{
	struct survey_lane *sl = inlay_container(t, struct survey_lane, task);
	struct survey *s = sl->survey;

	pthread_mutex_lock(&s->q.lock);
	inlay_link_picture(s->link, sl->lane, &s->pictures.lane[sl->lane].lane);
	s->pictures.lane[sl->lane].now_ns = inlay_loop_now(inlay_loop_current());
	pthread_mutex_unlock(&s->q.lock);
	if (question_answer(&s->q))
		free(s);
}

struct inlay_pictures *inlay_pictures_take(struct inlay_crew *crew, struct inlay_link *link)
{
	struct inlay_pictures *copy = malloc(sizeof *copy);
	struct survey *s = calloc(1, sizeof *s);

	if (!s || !copy || question_init(&s->q, inlay_crew_loops(crew)) < 0) {
		free(s);
		free(copy);
		return NULL;
	}
	s->link = link;
	s->pictures.lanes = inlay_crew_loops(crew);
	for (unsigned i = 0; i < s->pictures.lanes; i++) {
		s->lane[i] = (struct survey_lane){.task.done = survey_lane, .survey = s, .lane = i};
		inlay_loop_post(inlay_crew_loop(crew, i), &s->lane[i].task);
	}
	(void)question_wait(&s->q, PICTURE_MS); /* lanes that didn't answer stay zero: DOWN */
	*copy = s->pictures;
	pthread_mutex_unlock(&s->q.lock);
	if (question_drop(&s->q))
		free(s);
	return copy;
}

void inlay_pictures_drop(struct inlay_pictures *p)
{
	free(p);
}

/* ---- a remote path, one LOOKUP per component ---- */

struct walk {
	struct question q;
	struct inlay_task task;
	struct inlay_call call;
	struct inlay_side_port *port;
	struct inlay_node_id node;
	uint32_t uid, gid;
	char path[4096], *rest;
	int status;
	bool is_dir;
	uint8_t room[INLAY_FRAME_HEADER + 1024];
};

static void walk_next(struct walk *w);

static void walk_end(struct walk *w, int status, bool is_dir)
{
	pthread_mutex_lock(&w->q.lock);
	w->status = status;
	w->is_dir = is_dir;
	pthread_mutex_unlock(&w->q.lock);
	if (question_answer(&w->q))
		free(w);
}

static void walk_answered(struct inlay_call *c, const struct inlay_reply *r)
{
	struct walk *w = inlay_container(c, struct walk, call);
	struct inlay_reader body = inlay_reader(r->body, r->body_len);
	struct inlay_lookup_rep rep;

	if (r->status == -INLAY_ENOENT || r->status == -INLAY_ENOTDIR) {
		walk_end(w, 0, false);
	} else if (r->status < 0 || inlay_get_lookup_rep(&body, &rep) < 0) {
		walk_end(w, r->status < 0 ? r->status : -INLAY_EIO, false);
	} else if ((rep.attr.mode & 0170000u) != 0040000u) {
		walk_end(w, 0, false);
	} else {
		w->node = rep.node;
		walk_next(w);
	}
}

static void walk_next(struct walk *w)
{
	struct inlay_lookup_req req;
	struct inlay_writer out;
	char *name;

	do {
		name = strsep(&w->rest, "/");
	} while (name && !*name);
	if (!name) {
		walk_end(w, 0, true);
		return;
	}
	req.dir = w->node;
	req.cred.uid = w->uid;
	req.cred.gid = w->gid;
	req.cred.ngroups = 0;
	req.name = inlay_str(name);
	out = inlay_call_begin(&w->call, INLAY_LOOKUP, w->room, sizeof w->room);
	inlay_put_lookup_req(&out, &req);
	if (!inlay_name_ok(req.name) || inlay_call_end(&w->call, &out) < 0)
		walk_end(w, -INLAY_EINVAL, false);
	else
		w->port->submit(w->port, 0, &w->call);
}

static void walk_start(struct inlay_task *t)
{
	walk_next(inlay_container(t, struct walk, task));
}

int inlay_remote_is_dir(struct inlay_crew *crew, struct inlay_link *link, uint32_t uid, uint32_t gid, const char *path, bool *ret)
{
	struct walk *w = calloc(1, sizeof *w);
	int err;

	if (!w || strlen(path) >= sizeof w->path || question_init(&w->q, 1) < 0) {
		free(w);
		return -INLAY_ENOMEM;
	}
	w->port = inlay_link_port(link);
	w->node = inlay_link_client(link)->root;
	w->uid = uid;
	w->gid = gid;
	strcpy(w->path, path);
	w->rest = w->path;
	w->call.done = walk_answered;
	inlay_list_init(&w->call.link);
	w->task.done = walk_start;
	inlay_loop_post(inlay_crew_loop(crew, 0), &w->task);
	err = question_wait(&w->q, LOOKUP_MS) ? w->status : -INLAY_ETIMEDOUT;
	if (err == 0)
		*ret = w->is_dir;
	pthread_mutex_unlock(&w->q.lock);
	if (question_drop(&w->q))
		free(w);
	return err;
}

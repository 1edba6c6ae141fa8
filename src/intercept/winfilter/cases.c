/*
 * Names that differ in nothing but case: Windows doesn't tell them apart, the server does.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A directory's names are read once and kept by their folded form for as long as the directory says that it has not changed. Many a
 * program asks for files that are not there, so this answer must not cost a listing each time.
 */
#include "intercept/winfilter/filter.h"

#define DIRECTORIES_MOST 64u
#define NAMES_MOST (1u << 20)            /* of one directory: beyond that nothing is searched */
#define BATCH (256u * 1024u)             /* payload bytes asked for at a time */
/*
 * A directory changes twice within one tick of its file system's clock and looks as if once. So its listing is believed later only
 * if it began this long after the change was first seen.
 */
#define SETTLED_NS UINT64_C(100000000)

struct case_name {
	struct inlay_map_link link;
	uint32_t len;
	char name[];
};

struct inlay_wf_cases {
	struct inlay_list link;          /* on w->cases */
	struct inlay_node_id id;
	uint64_t change, seen_ns, listed_ns;
	uint32_t count;
	struct inlay_map names;
};

struct inlay_wf_case_search {
	struct inlay_node *dir;          /* referenced */
	uint64_t change;
	char name[INLAY_NAME_MAX + 1];
	char *ret;
	inlay_wf_step *then;
	struct inlay_wf_cases *cases;    /* being filled */
	uint64_t handle, cookie;
};

static void free_name(struct inlay_map_link *link, void *arg)
{
	(void)arg;
	free(inlay_container(link, struct case_name, link));
}

static void free_cases(struct inlay_wf_cases *c)
{
	if (!c)
		return;
	inlay_list_remove(&c->link);
	inlay_map_each(&c->names, free_name, NULL);
	inlay_map_done(&c->names);
	free(c);
}

void inlay_wf_cases_free(struct inlay_winfilter *w)
{
	while (!inlay_list_empty(&w->cases))
		free_cases(inlay_container(w->cases.next, struct inlay_wf_cases, link));
	w->cases_count = 0;
}

static struct inlay_wf_cases *cases_find(struct inlay_winfilter *w, const struct inlay_node_id *id)
{
	inlay_list_each(it, &w->cases) {
		struct inlay_wf_cases *c = inlay_container(it, struct inlay_wf_cases, link);

		if (memcmp(&c->id, id, sizeof *id) == 0)
			return c;
	}
	return NULL;
}

/* The newest takes the place of an older one, and of the one that was not used for the longest time. */
static void cases_keep(struct inlay_winfilter *w, struct inlay_wf_cases *c)
{
	struct inlay_wf_cases *old = cases_find(w, &c->id);

	if (!old && w->cases_count == DIRECTORIES_MOST)
		old = inlay_container(w->cases.prev, struct inlay_wf_cases, link);
	if (old)
		free_cases(old);
	else
		w->cases_count++;
	inlay_list_prepend(&w->cases, &c->link);
}

static int cases_add(struct inlay_winfilter *w, struct inlay_wf_cases *c, struct inlay_str name)
{
	struct case_name *n = malloc(sizeof *n + name.len);

	if (!n)
		return -INLAY_ENOMEM;
	n->len = name.len;
	memcpy(n->name, name.p, name.len);
	inlay_map_add(&c->names, &n->link, inlay_winname_hash(&w->seed, name));
	c->count++;
	return 0;
}

/* 0 and the name; the exact one is there after all: that one. */
static int cases_ask(struct inlay_winfilter *w, const struct inlay_wf_cases *c, struct inlay_str name, char *ret)
{
	struct inlay_map_link *link = inlay_map_find(&c->names, inlay_winname_hash(&w->seed, name));
	int status = -INLAY_ENOENT;

	for (; link; link = inlay_map_find_next(link)) {
		const struct case_name *n = inlay_container(link, struct case_name, link);
		struct inlay_str other = {n->name, n->len};

		if (!inlay_winname_same(name, other))
			continue;
		if (inlay_winname_order(name, other) != 0 && status != -INLAY_ENOENT) {
			status = -INLAY_EEXIST;
			continue;
		}
		memcpy(ret, n->name, n->len);
		ret[n->len] = '\0';
		status = 0;
		if (inlay_winname_order(name, other) == 0)
			return 0;
	}
	return status;
}

static void finish(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_case_search *s = rq->search;
	inlay_wf_step *then = s->then;

	if (s->handle) {
		struct inlay_file *f = inlay_file_get(rq->w->redirect, s->handle);

		inlay_file_put(rq->w->redirect, f);
		if (f)
			inlay_redirect_abandon_file(rq->w->redirect, 0, f);
	}
	inlay_node_put(s->dir);
	free_cases(s->cases);
	free(s);
	rq->search = NULL;
	then(rq, status);
}

/* ---- listing ---- */

static void listed(struct inlay_wf_request *rq, int status);

static void list(struct inlay_wf_request *rq)
{
	struct inlay_wf_case_search *s = rq->search;
	struct inlay_op *op = inlay_wf_op(rq, listed);

	op->file = inlay_file_get(rq->w->redirect, s->handle);
	op->in.io.off = s->cookie;
	op->in.io.len = BATCH;
	inlay_op_readdir(op);
}

static int take_names(struct inlay_wf_request *rq)
{
	struct inlay_wf_case_search *s = rq->search;
	struct inlay_reader data = inlay_reader(rq->op.reply->data, rq->op.reply->data_len);
	struct inlay_dirent d;
	int err = 0;

	while (err == 0 && data.p < data.end) {
		if (inlay_get_dirent(&data, &d, 0) < 0)
			return -INLAY_EIO;
		s->cookie = d.cookie;
		if (s->cases->count == NAMES_MOST)
			return -INLAY_EOVERFLOW;
		if (!inlay_str_is(d.name, ".") && !inlay_str_is(d.name, ".."))
			err = cases_add(rq->w, s->cases, d.name);
	}
	return err;
}

static void listed(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_case_search *s = rq->search;
	bool more = status == 0 && rq->op.reply->data_len > 0;

	if (more)
		status = take_names(rq);
	inlay_wf_op_done(rq);
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0) {
		finish(rq, status == -INLAY_EOVERFLOW ? -INLAY_ENOENT : status);
		return;
	}
	if (more) {
		list(rq);
		return;
	}
	status = cases_ask(rq->w, s->cases, inlay_str(s->name), s->ret);
	cases_keep(rq->w, s->cases);
	s->cases = NULL;
	finish(rq, status);
}

static void opened(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_case_search *s = rq->search;

	if (status == 0)
		s->handle = rq->op.opened->number;
	inlay_wf_op_done(rq);
	if (status == 0)
		list(rq);
	else /* Who may not list may know exact names only. */
		finish(rq, status == -INLAY_EACCES || status == -INLAY_EPERM ? -INLAY_ENOENT : status);
}

static void list_it(struct inlay_wf_request *rq)
{
	struct inlay_wf_case_search *s = rq->search;
	struct inlay_wf_cases *old = cases_find(rq->w, &s->dir->id[INLAY_REMOTE]);
	uint64_t now = inlay_loop_now(rq->w->lane[0].loop);
	struct inlay_op *op;

	s->cases = calloc(1, sizeof *s->cases);
	if (!s->cases || inlay_map_init(&s->cases->names) < 0) {
		free(s->cases);
		s->cases = NULL;
		finish(rq, -INLAY_ENOMEM);
		return;
	}
	inlay_list_init(&s->cases->link);
	s->cases->id = s->dir->id[INLAY_REMOTE];
	s->cases->change = s->change;
	s->cases->seen_ns = old && old->change == s->change ? old->seen_ns : now;
	s->cases->listed_ns = now;
	op = inlay_wf_op(rq, opened);
	op->node = inlay_node_ref(s->dir);
	if (op->node)
		inlay_op_opendir(op);
	else
		finish(rq, -INLAY_ESTALE);
}

static void search(struct inlay_wf_request *rq)
{
	struct inlay_winfilter *w = rq->w;
	struct inlay_wf_case_search *s = rq->search;
	struct inlay_wf_cases *c = cases_find(w, &s->dir->id[INLAY_REMOTE]);

	if (!c || c->change != s->change || c->listed_ns - c->seen_ns < SETTLED_NS) {
		list_it(rq);
		return;
	}
	inlay_list_remove(&c->link);
	inlay_list_prepend(&w->cases, &c->link);
	finish(rq, cases_ask(w, c, inlay_str(s->name), s->ret));
}

static void asked(struct inlay_wf_request *rq, int status)
{
	rq->search->change = rq->op.attr.change;
	inlay_wf_op_done(rq);
	if (status < 0)
		finish(rq, status);
	else
		search(rq);
}

void inlay_wf_case_find(struct inlay_wf_request *rq, struct inlay_node *dir, uint64_t change, struct inlay_str name,
                        char ret[INLAY_NAME_MAX + 1], inlay_wf_step *then)
{
	struct inlay_wf_case_search *s = calloc(1, sizeof *s);
	struct inlay_op *op;

	if (!s) {
		then(rq, -INLAY_ENOMEM);
		return;
	}
	rq->search = s;
	s->dir = inlay_node_ref(dir);
	s->change = change;
	memcpy(s->name, name.p, name.len);
	s->ret = ret;
	s->then = then;
	if (!s->dir) {
		finish(rq, -INLAY_ESTALE);
		return;
	}
	if (change) {
		search(rq);
		return;
	}
	op = inlay_wf_op(rq, asked);
	op->node = inlay_node_ref(dir);
	inlay_op_getattr(op);
}

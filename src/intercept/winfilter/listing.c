/*
 * LIST: a directory's placeholders become what the server's entries are.
 * SPDX-License-Identifier: Apache-2.0
 *
 * What stands on NTFS is asked first, and the server after it: what was not there then and is in the server's listing has come, what was
 * there and isn't in it has gone. A name that somebody else touched since is left alone: he knew better.
 */
#include "intercept/winfilter/filter.h"

#include "base/log.h"

#include <stdio.h>

#define BATCH (256u * 1024u)    /* payload bytes of the server's listing asked for at a time */
#define CHUNK 64u               /* placeholders changed in one task: as long as their names are locked */
#define ENTRIES_MOST (1u << 24) /* a server may go on for ever */

/* A name, on either side. */
struct item {
	struct inlay_map_link link;
	char *win;                       /* on the server, mapped; or on NTFS */
	enum inlay_placeholder_state have;
	struct inlay_ring_attr have_attr;
	struct inlay_placeholder_mark have_mark;
	bool want, is_link;
	char *have_win;                  /* NTFS has it in this other case; NULL: in win's */
	struct inlay_attr attr;          /* wanted: the server's */
	struct inlay_node_id id;
};

struct touched {
	struct inlay_map_link link;
	char path[];
};

struct inlay_wf_listing {
	struct inlay_list link;          /* on w->listings */
	struct inlay_winfilter *w;
	char *path;
	bool started;                    /* the server has been asked: who comes now is told of the next one */
	struct inlay_list joined, later; /* requests, by wait */
	struct inlay_map by_name, touched;
	struct item **items;
	size_t count, cap, at;
	uint64_t handle, cookie;
	struct inlay_wf_walk walk;
	struct inlay_winpath *walk_path;
	struct inlay_wf_change *change;
	struct inlay_wf_name *lock[CHUNK];
	unsigned changes;
	int failed;
};

static void start(struct inlay_wf_request *rq);

/* ---- items ---- */

static struct item *find(const struct inlay_wf_listing *l, struct inlay_str name)
{
	struct inlay_map_link *link = inlay_map_find(&l->by_name, inlay_winname_hash(&l->w->seed, name));

	for (; link; link = inlay_map_find_next(link)) {
		struct item *it = inlay_container(link, struct item, link);

		if (inlay_winname_same(inlay_str(it->win), name))
			return it;
	}
	return NULL;
}

static struct item *add(struct inlay_wf_listing *l, struct inlay_str name)
{
	struct item *it;

	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;
		struct item **grown = cap > ENTRIES_MOST ? NULL : realloc(l->items, cap * sizeof(struct item *));

		if (!grown)
			return NULL;
		l->items = grown;
		l->cap = cap;
	}
	it = calloc(1, sizeof *it);
	if (!it)
		return NULL;
	it->win = strndup(name.p, name.len);
	if (!it->win) {
		free(it);
		return NULL;
	}
	l->items[l->count++] = it;
	inlay_map_add(&l->by_name, &it->link, inlay_winname_hash(&l->w->seed, name));
	return it;
}

static int take_standing(void *arg, const struct inlay_placeholder *p)
{
	struct inlay_wf_listing *l = arg;
	struct item *it = add(l, inlay_str(p->name));

	if (!it)
		return -INLAY_ENOMEM;
	it->have = p->state;
	it->have_attr = p->attr;
	it->have_mark = p->mark;
	return 0;
}

/* ---- the end ---- */

static void free_touched(struct inlay_map_link *link, void *arg)
{
	(void)arg;
	free(inlay_container(link, struct touched, link));
}

static void free_listing(struct inlay_wf_listing *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->items[i]->win);
		free(l->items[i]->have_win);
		free(l->items[i]);
	}
	free(l->items);
	inlay_map_done(&l->by_name);
	inlay_map_each(&l->touched, free_touched, NULL);
	inlay_map_done(&l->touched);
	inlay_wf_changes_free(l->change, l->changes);
	inlay_wf_walk_done(l->w, &l->walk);
	free(l->walk_path);
	free(l->path);
	free(l);
}

static void start_again(struct inlay_wf_request *rq, int status)
{
	if (status < 0)
		inlay_wf_answer_status(rq, status);
	else
		start(rq);
}

static void joined_woken(struct inlay_wf_request *rq, int status)
{
	inlay_wf_answer_status(rq, status);
}

static void move(struct inlay_list *from, struct inlay_list *to)
{
	for (struct inlay_list *it; (it = inlay_list_pop(from));)
		inlay_list_append(to, it);
}

static void finish(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_listing *l = rq->u.listing;
	struct inlay_list joined, later;

	inlay_list_init(&joined);
	inlay_list_init(&later);
	move(&l->joined, &joined);
	move(&l->later, &later);
	inlay_list_remove(&l->link);
	inlay_wf_abandon(rq->w, l->handle);
	if (status == 0 && l->failed < 0)
		inlay_warning("%s: placeholders could not all be brought up to date: %s", l->path, inlay_status_text(l->failed));
	free_listing(l);
	rq->u.listing = NULL;
	inlay_wf_answer_status(rq, status);
	/* Who joined has the same result; but that one gave up is nothing to the others, nor is a failure that was not theirs. */
	if (status < 0) {
		inlay_list_each(it, &joined)
			inlay_container(it, struct inlay_wf_request, wait)->woken = start_again;
	}
	inlay_wf_wake_all(&joined);
	inlay_wf_wake_all(&later);
}

/* ---- carrying out ---- */

static void apply(struct inlay_wf_request *rq);

static void applied(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_listing *l = rq->u.listing;
	struct inlay_wf_name *lock[CHUNK];
	unsigned count = l->changes;

	/* A name that came or is in use is no failure: the next listing looks again. */
	for (unsigned i = 0; i < count; i++)
		if (l->change[i].status < 0 && l->change[i].status != -INLAY_EEXIST && l->change[i].status != -INLAY_EBUSY &&
		    l->change[i].status != -INLAY_ENOTEMPTY && l->failed == 0)
			l->failed = l->change[i].status;
	(void)status;
	inlay_wf_changes_free(l->change, l->changes);
	l->change = NULL;
	l->changes = 0;
	memcpy(lock, l->lock, sizeof lock);
	for (unsigned i = 0; i < count; i++)
		inlay_wf_name_unlock(rq->w, lock[i]);
	apply(rq);
}

static int apply_work(struct inlay_wf_request *rq)
{
	return inlay_wf_changes_run(rq->w, rq->u.listing->change, rq->u.listing->changes, true);
}

static bool is_touched(const struct inlay_wf_listing *l, struct inlay_str path)
{
	struct inlay_map_link *link = inlay_map_find(&l->touched, inlay_winname_hash(&l->w->seed, path));

	for (; link; link = inlay_map_find_next(link))
		if (inlay_winname_same(inlay_str(inlay_container(link, struct touched, link)->path), path))
			return true;
	return false;
}

static bool is_recased(const struct item *it)
{
	return it->have_win && strcmp(it->have_win, it->win) != 0;
}

static bool needs_change(const struct item *it)
{
	const struct inlay_placeholder p = {.state = it->have, .attr = it->have_attr, .mark = it->have_mark};

	if (it->have == INLAY_PLACEHOLDER_LOCAL)
		return false;
	return it->want ? is_recased(it) || inlay_wf_differs(&p, &it->attr, &it->id) : it->have == INLAY_PLACEHOLDER_MARKED;
}

/* The item's change into the chunk, unless somebody else is at the name. 0 or -INLAY_ENOMEM. */
static int take_change(struct inlay_wf_listing *l, const struct item *it)
{
	bool was_dir = it->have_attr.attributes & INLAY_WIN_DIRECTORY;
	size_t size = strlen(l->path) + strlen(it->win) + 2;
	struct inlay_wf_change *c = &l->change[l->changes];
	struct inlay_list *waiting;
	struct inlay_wf_name *lock;
	char *path = malloc(size);
	int err = 0;

	if (!path)
		return -INLAY_ENOMEM;
	snprintf(path, size, "%s%s%s", l->path, *l->path ? "/" : "", it->win);
	if (is_touched(l, inlay_str(path)) || inlay_wf_hold_find(l->w, inlay_str(path), NULL)) {
		free(path);
		return 0;
	}
	lock = inlay_wf_name_lock(l->w, inlay_str(path), &err, &waiting);
	if (lock) {
		l->lock[l->changes++] = lock;
		err = inlay_wf_change_init(l->w, c, inlay_str(path), it->want ? &it->attr : NULL, &it->id);
		if (it->have == INLAY_PLACEHOLDER_MARKED && it->want && was_dir != inlay_wf_is_dir(&it->attr))
			c->remove = true;
	}
	free(path);
	return err == -INLAY_EBUSY ? 0 : err;
}

static void apply(struct inlay_wf_request *rq)
{
	struct inlay_wf_listing *l = rq->u.listing;
	int err = inlay_wf_checkpoint(rq);

	l->change = err == 0 ? calloc(CHUNK, sizeof *l->change) : NULL;
	if (err == 0 && !l->change)
		err = -INLAY_ENOMEM;
	while (err == 0 && l->at < l->count && l->changes < CHUNK) {
		const struct item *it = l->items[l->at++];

		if (needs_change(it))
			err = take_change(l, it);
	}
	if (err == 0 && l->changes) {
		inlay_wf_offload(rq, apply_work, applied);
		return;
	}
	for (unsigned i = 0; i < l->changes; i++)
		inlay_wf_name_unlock(rq->w, l->lock[i]);
	finish(rq, err);
}

/* ---- symbolic links: shown as what they lead to ---- */

static void resolve(struct inlay_wf_request *rq);

static void resolved(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_listing *l = rq->u.listing;
	struct item *it = l->items[l->at];
	uint32_t type = l->walk.attr.mode & INLAY_WF_TYPE_MASK;

	it->want = status == 0 && (type == INLAY_WF_TYPE_DIR || type == INLAY_WF_TYPE_REG);
	if (it->want) {
		it->attr = l->walk.attr;
		it->id = l->walk.found->node->id[INLAY_REMOTE];
	}
	inlay_wf_walk_done(rq->w, &l->walk);
	free(l->walk_path);
	l->walk_path = NULL;
	if (status == -INLAY_ECANCELED) {
		finish(rq, status);
		return;
	}
	l->at++;
	resolve(rq);
}

static void resolve(struct inlay_wf_request *rq)
{
	struct inlay_wf_listing *l = rq->u.listing;
	char *path;
	size_t size;
	int err = 0;

	while (l->at < l->count && !(l->items[l->at]->want && l->items[l->at]->is_link))
		l->at++;
	if (l->at == l->count) {
		l->at = 0;
		apply(rq);
		return;
	}
	size = strlen(l->path) + strlen(l->items[l->at]->win) + 2;
	path = malloc(size);
	if (path) {
		snprintf(path, size, "%s%s%s", l->path, *l->path ? "/" : "", l->items[l->at]->win);
		err = inlay_winpath_make(inlay_str(path), &l->walk_path);
	}
	free(path);
	if (!path || err < 0) {
		finish(rq, path ? err : -INLAY_ENOMEM);
		return;
	}
	memset(&l->walk, 0, sizeof l->walk);
	l->walk.path = l->walk_path;
	l->walk.parts = l->walk_path->parts;
	inlay_wf_walk_start(rq, &l->walk, resolved);
}

/* ---- the server's entries ---- */

static void listed(struct inlay_wf_request *rq, int status);

static void list(struct inlay_wf_request *rq)
{
	struct inlay_wf_listing *l = rq->u.listing;
	struct inlay_op *op = inlay_wf_op(rq, listed);

	op->file = inlay_file_get(rq->w->redirect, l->handle);
	op->in.io.off = l->cookie;
	op->in.io.len = BATCH < rq->w->redirect->port[INLAY_REMOTE]->max_data ? BATCH : rq->w->redirect->port[INLAY_REMOTE]->max_data;
	op->in.io.flags = INLAY_READDIR_ATTRS;
	inlay_op_readdir(op);
}

static int want(struct inlay_wf_listing *l, const struct inlay_dirent *d)
{
	uint32_t type = d->attr.mode & INLAY_WF_TYPE_MASK;
	char win[INLAY_WINNAME_MAX + 1];
	struct item *it;
	int len = inlay_winname_from_server(d->name, win);

	/* One that vanished meanwhile has no attributes. */
	if (len < 0 || (type != INLAY_WF_TYPE_DIR && type != INLAY_WF_TYPE_REG && type != INLAY_WF_TYPE_LNK))
		return 0;
	it = find(l, inlay_str(win));
	/* Of names that differ in nothing but case NTFS holds one: always the same one. */
	if (it && it->want && inlay_winname_order(inlay_str(it->win), inlay_str(win)) < 0)
		return 0;
	if (it && strcmp(it->win, win) != 0) {
		char *renamed = strdup(win);

		if (!renamed)
			return -INLAY_ENOMEM;
		if (it->have && !it->have_win)
			it->have_win = it->win;
		else
			free(it->win);
		it->win = renamed;
	}
	if (!it)
		it = add(l, inlay_str(win));
	if (!it)
		return -INLAY_ENOMEM;
	it->want = true;
	it->is_link = type == INLAY_WF_TYPE_LNK;
	it->attr = d->attr;
	it->id = d->node;
	return 0;
}

/* Their nodes are collected in ids, which has room for as many as the payload can hold. */
static int take_batch(struct inlay_wf_request *rq, struct inlay_node_id *ids, uint32_t *ret_ids)
{
	static const struct inlay_node_id none;
	struct inlay_wf_listing *l = rq->u.listing;
	struct inlay_reader data = inlay_reader(rq->op.reply->data, rq->op.reply->data_len);
	struct inlay_dirent d;
	int err = 0;

	while (err == 0 && data.p < data.end) {
		if (inlay_get_dirent(&data, &d, INLAY_READDIR_ATTRS) < 0)
			return -INLAY_EIO;
		l->cookie = d.cookie;
		if (memcmp(&d.node, &none, sizeof none) != 0)
			ids[(*ret_ids)++] = d.node;
		if (!inlay_str_is(d.name, ".") && !inlay_str_is(d.name, "..") && inlay_op_fit_entry(&rq->op, &d))
			err = want(l, &d);
	}
	return err;
}

static void listed(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_listing *l = rq->u.listing;
	uint32_t len = status == 0 ? rq->op.reply->data_len : 0, count = 0;
	struct inlay_node_id *ids = NULL;

	if (len) {
		ids = malloc((len / inlay_dirent_size(1, INLAY_READDIR_ATTRS) + 1) * sizeof *ids);
		status = ids ? take_batch(rq, ids, &count) : -INLAY_ENOMEM;
	}
	inlay_wf_op_done(rq);
	inlay_redirect_unpin(rq->w->redirect, 0, INLAY_REMOTE, ids, count);
	free(ids);
	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0) {
		finish(rq, status);
	} else if (len) {
		list(rq);
	} else {
		l->at = 0;
		resolve(rq);
	}
}

static void opened(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_listing *l = rq->u.listing;

	if (status == 0)
		l->handle = rq->op.opened->number;
	inlay_wf_op_done(rq);
	if (status < 0)
		finish(rq, status);
	else
		list(rq);
}

/* ---- what stands on NTFS ---- */

static void stood(struct inlay_wf_request *rq, int status)
{
	struct inlay_op *op;

	if (status == 0)
		status = inlay_wf_checkpoint(rq);
	if (status < 0) {
		finish(rq, status);
		return;
	}
	rq->u.listing->started = true;
	op = inlay_wf_op(rq, opened);
	op->node = inlay_node_ref(rq->file->node->node); /* never NULL: the file counts a lookup */
	inlay_op_opendir(op);
}

static int stand_work(struct inlay_wf_request *rq)
{
	const struct inlay_winfilter_config *config = &rq->w->config;

	return config->placeholders->list(config->placeholders_arg, rq->u.listing->path, take_standing, rq->u.listing);
}

static struct inlay_wf_listing *new_listing(struct inlay_winfilter *w, const char *path)
{
	struct inlay_wf_listing *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->w = w;
	l->path = strdup(path);
	inlay_list_init(&l->link);
	inlay_list_init(&l->joined);
	inlay_list_init(&l->later);
	if (!l->path || inlay_map_init(&l->by_name) < 0 || inlay_map_init(&l->touched) < 0) {
		inlay_map_done(&l->by_name);
		free(l->path);
		free(l);
		return NULL;
	}
	return l;
}

static struct inlay_wf_listing *under_way(struct inlay_winfilter *w, struct inlay_str path)
{
	inlay_list_each(it, &w->listings) {
		struct inlay_wf_listing *l = inlay_container(it, struct inlay_wf_listing, link);

		if (inlay_winname_same(inlay_str(l->path), path))
			return l;
	}
	return NULL;
}

static void start(struct inlay_wf_request *rq)
{
	struct inlay_wf_listing *l = under_way(rq->w, inlay_str(rq->file->path));

	rq->u.listing = NULL;
	if (l && l->started) {
		inlay_wf_wait(rq, &l->later, false, start_again);
		return;
	}
	if (l) {
		inlay_wf_wait(rq, &l->joined, false, joined_woken);
		return;
	}
	l = new_listing(rq->w, rq->file->path);
	if (!l) {
		inlay_wf_answer_status(rq, -INLAY_ENOMEM);
		return;
	}
	rq->u.listing = l;
	inlay_list_append(&rq->w->listings, &l->link);
	inlay_wf_offload(rq, stand_work, stood);
}

void inlay_wf_list(struct inlay_wf_request *rq)
{
	if (rq->file->type != INLAY_WF_TYPE_DIR)
		inlay_wf_answer_nt(rq, INLAY_NT_INVALID_PARAMETER);
	else
		start(rq);
}

/* Memory that is lacking costs a listing that may undo what it should leave alone; the next one sets it right. */
void inlay_wf_listing_touch(struct inlay_winfilter *w, struct inlay_str path)
{
	uint32_t end = path.len;
	struct inlay_wf_listing *l;
	struct touched *t;

	if (inlay_list_empty(&w->listings))
		return;
	while (end > 0 && path.p[end - 1] != '/')
		end--;
	end -= end > 0; /* at the slash itself */
	l = under_way(w, (struct inlay_str){path.p, end});
	t = l ? malloc(sizeof *t + path.len + 1) : NULL;
	if (!t)
		return;
	memcpy(t->path, path.p, path.len);
	t->path[path.len] = '\0';
	inlay_map_add(&l->touched, &t->link, inlay_winname_hash(&w->seed, path));
}

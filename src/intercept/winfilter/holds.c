/*
 * Names that are being changed on NTFS: held from BEGIN to END.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/filter.h"

bool inlay_wf_path_is_in(struct inlay_str path, const char *held, uint32_t *ret_end)
{
	/* Their lengths may differ where upper and lower case take different bytes: each part's end is tried. */
	for (uint32_t at = 0; at <= path.len; at++) {
		if (at < path.len && path.p[at] != '/')
			continue;
		if (!inlay_winname_same((struct inlay_str){path.p, at}, inlay_str(held)))
			continue;
		*ret_end = at;
		return true;
	}
	return false;
}

static bool is_in(struct inlay_str path, const char *held)
{
	uint32_t end;

	return held && inlay_wf_path_is_in(path, held, &end);
}

struct inlay_wf_hold *inlay_wf_hold_find(struct inlay_winfilter *w, struct inlay_str path, const struct inlay_wf_file *except)
{
	inlay_list_each(it, &w->holds) {
		struct inlay_wf_hold *h = inlay_container(it, struct inlay_wf_hold, link);

		if (except && except->hold == h)
			continue;
		if (is_in(path, h->path) || is_in(path, h->new_path))
			return h;
	}
	return NULL;
}

struct inlay_wf_hold *inlay_wf_hold_new(struct inlay_winfilter *w, bool removal, const char *path, const char *new_path)
{
	struct inlay_wf_hold *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->removal = removal;
	h->path = strdup(path);
	h->new_path = new_path ? strdup(new_path) : NULL;
	if (!h->path || (new_path && !h->new_path)) {
		free(h->path);
		free(h->new_path);
		free(h);
		return NULL;
	}
	inlay_list_init(&h->waiting);
	inlay_list_append(&w->holds, &h->link);
	pthread_mutex_lock(&w->lock);
	w->counts.held++;
	pthread_mutex_unlock(&w->lock);
	return h;
}

void inlay_wf_hold_end(struct inlay_wf_file *f)
{
	struct inlay_winfilter *w = f->w;
	struct inlay_wf_hold *h = f->hold;
	struct inlay_list waiting, *it;

	if (!h)
		return;
	f->hold = NULL;
	inlay_list_remove(&h->link);
	inlay_list_init(&waiting);
	while ((it = inlay_list_pop(&h->waiting)))
		inlay_list_append(&waiting, it);
	inlay_wf_node_put(w, h->to);
	free(h->path);
	free(h->new_path);
	free(h);
	pthread_mutex_lock(&w->lock);
	w->counts.held--;
	pthread_mutex_unlock(&w->lock);
	inlay_wf_wake_all(&waiting);
}

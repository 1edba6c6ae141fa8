/*
 * What stands in the filter directory, and changing it: on spare threads, one at a time for each name.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/filter.h"

#include "intercept/winfilter/security.h"

/* ---- asking ---- */


static int inspect(struct inlay_winfilter *w, const char *path, struct inlay_placeholder *ret)
{
	memset(ret, 0, offsetof(struct inlay_placeholder, name) + 1);
	return w->config.placeholders->inspect(w->config.placeholders_arg, path, ret);
}

int inlay_wf_stand(struct inlay_winfilter *w, const struct inlay_winpath *path, struct inlay_wf_standing *ret)
{
	struct inlay_placeholder *p = malloc(sizeof *p);
	char *prefix = strdup(path->win);
	int err = p && prefix ? 0 : -INLAY_ENOMEM;

	ret->standing = 0;
	ret->marked = false;
	ret->is_dir = true;
	ret->leaf.state = INLAY_PLACEHOLDER_ABSENT;
	for (unsigned parts = path->parts; parts > 0 && err == 0; parts--) {
		prefix[path->win_end[parts - 1]] = '\0';
		err = inspect(w, prefix, p);
		if (err < 0 || p->state == INLAY_PLACEHOLDER_ABSENT)
			continue;
		ret->standing = parts;
		ret->marked = p->state == INLAY_PLACEHOLDER_MARKED;
		ret->is_dir = p->attr.attributes & INLAY_WIN_DIRECTORY;
		if (parts == path->parts)
			ret->leaf = *p;
		break;
	}
	free(p);
	free(prefix);
	return err;
}

bool inlay_wf_differs(const struct inlay_placeholder *p, const struct inlay_attr *attr, const struct inlay_node_id *id)
{
	const uint32_t shown = INLAY_WIN_DIRECTORY | INLAY_WIN_READONLY;
	struct inlay_ring_attr want;

	inlay_win_attr_from(attr, &want);
	if (p->state != INLAY_PLACEHOLDER_MARKED || memcmp(&p->mark.node, id, sizeof *id) != 0)
		return true;
	if ((p->attr.attributes ^ want.attributes) & shown)
		return true;
	/* A directory's times change with everything in it, NTFS's own changes included: they are not chased. */
	if (want.attributes & INLAY_WIN_DIRECTORY)
		return false;
	return p->attr.size != want.size || p->attr.written != want.written;
}

/* ---- changing ---- */

static int make_security(struct inlay_winfilter *w, struct inlay_wf_change *c, const struct inlay_attr *attr)
{
	const struct inlay_security_self self = {.uid = w->cred.uid, .sid = w->config.owner_sid, .sid_len = w->config.owner_sid_len};
	uint8_t sd[INLAY_SECURITY_MAX];
	int len = inlay_security_from_mode(attr->mode, attr->uid, attr->gid, self.sid ? &self : NULL, sd, sizeof sd);
	uint8_t *copy;

	if (len < 0)
		return len;
	copy = malloc((size_t)len);
	if (!copy)
		return -INLAY_ENOMEM;
	memcpy(copy, sd, (size_t)len);
	c->want.security = copy;
	c->want.security_len = (uint32_t)len;
	return 0;
}

int inlay_wf_change_init(struct inlay_winfilter *w, struct inlay_wf_change *c, struct inlay_str path, const struct inlay_attr *attr,
                         const struct inlay_node_id *id)
{
	c->path = strndup(path.p, path.len);
	if (!c->path)
		return -INLAY_ENOMEM;
	c->remove = !attr;
	if (!attr)
		return 0;
	c->put = true;
	inlay_win_attr_from(attr, &c->want.attr);
	c->want.mark = (struct inlay_placeholder_mark){.attachment = w->config.attachment, .node = *id};
	return w->config.security ? make_security(w, c, attr) : 0;
}

static struct inlay_str path_to(const struct inlay_winpath *path, unsigned parts)
{
	return (struct inlay_str){path->win, path->win_end[parts - 1]};
}

int inlay_wf_changes_for(struct inlay_winfilter *w, const struct inlay_winpath *path, const struct inlay_wf_standing *stood,
                         const struct inlay_wf_part *done, bool leaf, const struct inlay_attr *attr,
                         const struct inlay_node_id *id, struct inlay_wf_change **ret, unsigned *ret_count)
{
	/* A placeholder of a file where the server has a directory by now gives way. */
	bool in_the_way = stood->marked && !stood->is_dir && stood->standing > 0 && stood->standing < path->parts;
	unsigned first = stood->standing - in_the_way, count = 0;
	struct inlay_wf_change *c = calloc(path->parts + 1u, sizeof *c);
	int err = c ? 0 : -INLAY_ENOMEM;

	for (unsigned i = first; i + 1 < path->parts && err == 0; i++) {
		err = inlay_wf_change_init(w, &c[count], path_to(path, i + 1), &done[i].attr, &done[i].id);
		c[count++].remove = in_the_way && i == first;
	}
	if (leaf && err == 0) {
		bool stands = stood->leaf.state == INLAY_PLACEHOLDER_MARKED;
		bool was_dir = stood->leaf.attr.attributes & INLAY_WIN_DIRECTORY;

		err = inlay_wf_change_init(w, &c[count], path_to(path, path->parts), attr, id);
		c[count++].remove = !attr || (stands && was_dir != ((attr->mode & INLAY_WF_TYPE_MASK) == INLAY_WF_TYPE_DIR));
	}
	if (err < 0) {
		inlay_wf_changes_free(c, count);
		return err;
	}
	*ret = c;
	*ret_count = count;
	return 0;
}

void inlay_wf_changes_free(struct inlay_wf_change *c, unsigned count)
{
	for (unsigned i = 0; c && i < count; i++) {
		free(c[i].path);
		free((void *)(uintptr_t)c[i].want.security);
	}
	free(c);
}

static int run_change(struct inlay_winfilter *w, struct inlay_wf_change *c)
{
	const struct inlay_placeholders_ops *ops = w->config.placeholders;
	int status = 0;

	if (c->remove)
		status = ops->remove(w->config.placeholders_arg, c->path);
	if (c->remove && status == -INLAY_ENOENT)
		status = 0;
	if (status == 0 && c->put)
		status = ops->put(w->config.placeholders_arg, c->path, &c->want);
	return status;
}

int inlay_wf_changes_run(struct inlay_winfilter *w, struct inlay_wf_change *c, unsigned count, bool on)
{
	unsigned done = 0;
	int first = 0;

	for (unsigned i = 0; i < count && (on || first == 0); i++) {
		c[i].status = run_change(w, &c[i]);
		done += c[i].status == 0;
		if (first == 0)
			first = c[i].status;
	}
	pthread_mutex_lock(&w->lock);
	w->counts.placeholders += done;
	pthread_mutex_unlock(&w->lock);
	return first;
}

/* ---- names that are being changed ---- */

static struct inlay_wf_name *name_find(struct inlay_winfilter *w, struct inlay_str path, uint64_t hash)
{
	struct inlay_map_link *link = inlay_map_find(&w->names, hash);

	for (; link; link = inlay_map_find_next(link)) {
		struct inlay_wf_name *n = inlay_container(link, struct inlay_wf_name, link);

		if (inlay_winname_same(inlay_str(n->path), path))
			return n;
	}
	return NULL;
}

struct inlay_wf_name *inlay_wf_name_lock(struct inlay_winfilter *w, struct inlay_str path, int *ret_status,
                                         struct inlay_list **ret_waiting)
{
	uint64_t hash = inlay_winname_hash(&w->seed, path);
	struct inlay_wf_name *n = name_find(w, path, hash);

	if (n) {
		*ret_waiting = &n->waiting;
		*ret_status = -INLAY_EBUSY;
		return NULL;
	}
	*ret_status = -INLAY_ENOMEM;
	n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	n->path = strndup(path.p, path.len);
	if (!n->path) {
		free(n);
		return NULL;
	}
	inlay_list_init(&n->waiting);
	inlay_map_add(&w->names, &n->link, hash);
	return n;
}

void inlay_wf_name_unlock(struct inlay_winfilter *w, struct inlay_wf_name *n)
{
	struct inlay_list waiting, *it;

	if (!n)
		return;
	inlay_map_remove(&w->names, &n->link);
	inlay_list_init(&waiting);
	while ((it = inlay_list_pop(&n->waiting)))
		inlay_list_append(&waiting, it);
	free(n->path);
	free(n);
	inlay_wf_wake_all(&waiting);
}

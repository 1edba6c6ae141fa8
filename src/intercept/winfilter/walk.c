/*
 * Walking a path on the server: case, symbolic links, and nothing above the export's root.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/filter.h"

#define LINKS_MAX 40u          /* as Linux allows */
#define TODO_MAX (64u * 1024u) /* bytes of targets not yet walked */

static void go_on(struct inlay_wf_request *rq);

static void finish(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_walk *walk = rq->walk;

	free(walk->todo);
	walk->todo = NULL;
	rq->walk = NULL;
	walk->then(rq, status);
}

void inlay_wf_walk_done(struct inlay_winfilter *w, struct inlay_wf_walk *walk)
{
	/* Backwards: who is forgotten last is the one whose path the others' paths begin with. */
	while (walk->owned_count)
		inlay_wf_node_put(w, walk->owned[--walk->owned_count]);
	free(walk->owned);
	free(walk->level);
	free(walk->todo);
	free(walk->done);
	free(walk->recased);
	walk->recased = NULL;
	walk->owned = NULL;
	walk->level = NULL;
	walk->todo = NULL;
	walk->done = NULL;
	walk->parent = walk->found = NULL;
}

/* Takes over a lookup and a reference. */
static int own(struct inlay_winfilter *w, struct inlay_wf_walk *walk, struct inlay_node *node)
{
	struct inlay_wf_node *n = inlay_wf_node_new(w, node);

	if (!n)
		return -INLAY_ENOMEM;
	if (walk->owned_count == walk->owned_cap) {
		unsigned cap = walk->owned_cap ? 2 * walk->owned_cap : 8;
		struct inlay_wf_node **grown = realloc(walk->owned, cap * sizeof(struct inlay_wf_node *));

		if (!grown) {
			inlay_wf_node_put(w, n);
			return -INLAY_ENOMEM;
		}
		walk->owned = grown;
		walk->owned_cap = cap;
	}
	walk->at = walk->owned_count;
	walk->owned[walk->owned_count++] = n;
	return 0;
}

static int push(struct inlay_wf_walk *walk)
{
	if (walk->levels == walk->levels_cap) {
		unsigned cap = walk->levels_cap ? 2 * walk->levels_cap : 8;
		struct inlay_wf_level *grown = realloc(walk->level, cap * sizeof *grown);

		if (!grown)
			return -INLAY_ENOMEM;
		walk->level = grown;
		walk->levels_cap = cap;
	}
	walk->level[walk->levels++] = (struct inlay_wf_level){.owned = walk->at, .known = walk->known, .attr = walk->attr};
	return 0;
}

static struct inlay_wf_node *directory(const struct inlay_wf_walk *walk)
{
	return walk->owned[walk->level[walk->levels - 1].owned];
}

/* ---- one name ---- */

static void looked_up(struct inlay_wf_request *rq, int status);

static void look_up(struct inlay_wf_request *rq)
{
	struct inlay_wf_walk *walk = rq->walk;
	struct inlay_op *op = inlay_wf_op(rq, looked_up);

	op->node = inlay_node_ref(directory(walk)->node);
	op->name = inlay_str(walk->step);
	if (op->node)
		inlay_op_lookup(op);
	else
		finish(rq, -INLAY_ESTALE); /* unreachable: the walk counts a lookup of each */
}

static void target_read(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_walk *walk = rq->walk;
	struct inlay_str target = rq->op.out.link.target;
	const char *rest = walk->todo ? walk->todo + walk->todo_at : "";
	char *todo = NULL;

	if (status == 0 && (target.len == 0 || target.p[0] == '/'))
		status = -INLAY_ENOENT; /* what the server's root is, is not ours to know */
	if (status == 0 && target.len + strlen(rest) > TODO_MAX)
		status = -INLAY_ELOOP;
	if (status == 0) {
		todo = malloc(target.len + strlen(rest) + 2);
		status = todo ? 0 : -INLAY_ENOMEM;
	}
	if (todo) {
		memcpy(todo, target.p, target.len);
		todo[target.len] = '/';
		strcpy(todo + target.len + 1, rest);
	}
	inlay_wf_op_done(rq);
	if (status < 0) {
		finish(rq, status);
		return;
	}
	free(walk->todo);
	walk->todo = todo;
	walk->todo_at = 0;
	/* The target is relative to the directory that the link lies in. */
	walk->at = walk->level[walk->levels - 1].owned;
	walk->attr = walk->level[walk->levels - 1].attr;
	walk->known = walk->level[walk->levels - 1].known;
	go_on(rq);
}

static void read_target(struct inlay_wf_request *rq)
{
	struct inlay_wf_walk *walk = rq->walk;
	struct inlay_op *op;

	if (!walk->following && walk->part + 1 == walk->parts)
		walk->is_link = true;
	walk->following = true;
	if (++walk->links > LINKS_MAX) {
		finish(rq, -INLAY_ELOOP);
		return;
	}
	op = inlay_wf_op(rq, target_read);
	op->node = inlay_node_ref(walk->owned[walk->at]->node);
	if (op->node)
		inlay_op_readlink(op);
	else
		finish(rq, -INLAY_ESTALE); /* unreachable */
}

/* The name under way is another one on the server, and so is the path. */
static int recase(struct inlay_wf_walk *walk)
{
	struct inlay_winpath *path;
	int err = inlay_winpath_replace(walk->path, walk->part, inlay_str(walk->step), &path);

	if (err < 0)
		return err;
	memcpy(walk->name, walk->step, sizeof walk->name);
	free(walk->recased);
	walk->recased = path;
	walk->path = path;
	return 0;
}

static void case_found(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_walk *walk = rq->walk;

	if (status == 0)
		status = recase(walk);
	if (status == 0) {
		look_up(rq);
		return;
	}
	walk->missing = status == -INLAY_ENOENT && walk->part + 1 == walk->parts;
	finish(rq, status);
}

static void find_case(struct inlay_wf_request *rq)
{
	struct inlay_wf_walk *walk = rq->walk;
	const struct inlay_wf_level *l = &walk->level[walk->levels - 1];

	walk->cased = true;
	inlay_wf_case_find(rq, directory(walk)->node, l->known ? l->attr.change : 0, inlay_str(walk->name), walk->step, case_found);
}

static void looked_up(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_walk *walk = rq->walk;
	struct inlay_node *found = rq->op.found;

	rq->op.found = NULL;
	inlay_wf_op_done(rq);
	if (status == -INLAY_ENOENT && !walk->following && !walk->cased) {
		find_case(rq);
		return;
	}
	if (status == 0) {
		walk->attr = rq->op.attr;
		walk->known = true;
		status = own(rq->w, walk, found);
	}
	if (status == 0 && (walk->attr.mode & INLAY_WF_TYPE_MASK) == INLAY_WF_TYPE_LNK) {
		read_target(rq);
		return;
	}
	if (status == 0 && (walk->attr.mode & INLAY_WF_TYPE_MASK) == INLAY_WF_TYPE_DIR)
		status = push(walk);
	if (status == -INLAY_ENOENT && !walk->following) /* gone between two lookups */
		walk->missing = walk->part + 1 == walk->parts;
	if (status < 0)
		finish(rq, status);
	else
		go_on(rq);
}

/* ---- part after part ---- */

static bool at_directory(const struct inlay_wf_walk *walk)
{
	return walk->level[walk->levels - 1].owned == walk->at;
}

/* The next name of links' targets into walk->step. 1; 0: there is none left; or a status. */
static int next_of_targets(struct inlay_wf_walk *walk)
{
	while (walk->todo && walk->todo[walk->todo_at]) {
		const char *p = walk->todo + walk->todo_at;
		size_t len = strcspn(p, "/");

		if (len == 0) {
			walk->todo_at++;
			continue;
		}
		if (!at_directory(walk))
			return -INLAY_ENOTDIR;
		walk->todo_at += len;
		if (len == 1 && p[0] == '.')
			continue;
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			if (walk->levels == 1)
				return -INLAY_ENOENT; /* out of the export */
			walk->levels--;
			walk->at = walk->level[walk->levels - 1].owned;
			walk->attr = walk->level[walk->levels - 1].attr;
			walk->known = walk->level[walk->levels - 1].known;
			continue;
		}
		if (len > INLAY_NAME_MAX)
			return -INLAY_ENAMETOOLONG;
		memcpy(walk->step, p, len);
		walk->step[len] = '\0';
		return 1;
	}
	return 0;
}

static void asked(struct inlay_wf_request *rq, int status)
{
	struct inlay_wf_walk *walk = rq->walk;

	walk->attr = rq->op.attr;
	walk->known = status == 0;
	inlay_wf_op_done(rq);
	if (status < 0) {
		finish(rq, status);
		return;
	}
	if (at_directory(walk)) {
		walk->level[walk->levels - 1].attr = walk->attr;
		walk->level[walk->levels - 1].known = true;
	}
	go_on(rq);
}

/* Of the root, which nobody has looked up. */
static void ask(struct inlay_wf_request *rq)
{
	struct inlay_op *op = inlay_wf_op(rq, asked);

	op->node = inlay_node_ref(rq->walk->owned[rq->walk->at]->node);
	if (op->node)
		inlay_op_getattr(op);
	else
		finish(rq, -INLAY_ESTALE); /* unreachable */
}

static void begin_part(struct inlay_wf_request *rq)
{
	struct inlay_wf_walk *walk = rq->walk;
	struct inlay_str name = inlay_winpath_server(walk->path, walk->part);

	memcpy(walk->name, name.p, name.len);
	walk->name[name.len] = '\0';
	memcpy(walk->step, walk->name, sizeof walk->step);
	walk->begun = true;
	walk->following = walk->cased = false;
	walk->parent = directory(walk);
	look_up(rq);
}

/* Where the walk is, is where the part leads. */
static void end_part(struct inlay_wf_walk *walk)
{
	struct inlay_wf_part *done = &walk->done[walk->part];

	done->attr = walk->attr;
	done->id = walk->owned[walk->at]->node->id[INLAY_REMOTE];
	walk->begun = false;
	walk->part++;
}

static void go_on(struct inlay_wf_request *rq)
{
	struct inlay_wf_walk *walk = rq->walk;
	int more = inlay_wf_checkpoint(rq);

	if (more == 0)
		more = next_of_targets(walk);
	if (more < 0) {
		finish(rq, more);
		return;
	}
	if (more > 0) {
		look_up(rq);
		return;
	}
	if (!walk->known && (walk->begun || walk->parts == 0)) {
		ask(rq);
		return;
	}
	if (walk->begun) {
		/* A part may end at a file only if it is the last one. */
		if (!at_directory(walk) && walk->part + 1 < walk->parts) {
			finish(rq, -INLAY_ENOTDIR);
			return;
		}
		end_part(walk);
	}
	if (walk->part < walk->parts) {
		begin_part(rq);
		return;
	}
	walk->found = walk->owned[walk->at];
	finish(rq, 0);
}

void inlay_wf_walk_start(struct inlay_wf_request *rq, struct inlay_wf_walk *walk, inlay_wf_step *then)
{
	struct inlay_node *root = inlay_node_get(rq->w->redirect->nodes, INLAY_ROOT_NUMBER);
	int err;

	walk->then = then;
	rq->walk = walk;
	walk->done = calloc(walk->parts ? walk->parts : 1, sizeof *walk->done);
	err = walk->done && root ? own(rq->w, walk, root) : -INLAY_ENOMEM;
	if (!walk->done)
		inlay_node_put(root);
	if (err == 0)
		err = push(walk);
	if (err < 0)
		finish(rq, err);
	else
		go_on(rq);
}

/*
 * Keeping changes until a sync has covered them, within bounds.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/unsynced.h"

#include <stdlib.h>
#include <string.h>

#define MALLOC_HEAD 16u /* bytes that an allocation costs beyond what was asked for, about */

static uint64_t time_ns(const struct inlay_time *t)
{
	return (uint64_t)t->sec * 1000000000u + t->nsec;
}

void inlay_unsynced_init(struct inlay_redirect *r)
{
	pthread_mutex_init(&r->kept.lock, NULL);
	r->kept.max = INLAY_UNSYNCED_MAX;
	inlay_list_init(&r->kept.files);
	inlay_list_init(&r->kept.changes);
}

/* ---- changes ---- */

static void change_free(struct inlay_redirect *r, struct inlay_change *c)
{
	if (c->hold)
		r->hold->unref(c->hold);
	free(c);
}

/* A large part of what its owner holds is referred to, a small one copied: 4 KiB must not hold a whole buffer. */
static struct inlay_change *change_new(struct inlay_redirect *r, uint16_t type, const uint8_t *data, size_t len, void *hold)
{
	size_t held = hold && r->hold ? r->hold->size(hold) : SIZE_MAX;
	bool refer = len && held / 4 <= len;
	struct inlay_change *c = malloc(sizeof *c + (refer ? 0 : len));

	if (!c)
		return NULL;
	*c = (struct inlay_change){.type = type, .len = len, .cost = sizeof *c + MALLOC_HEAD + (refer ? held : len)};
	inlay_list_init(&c->of_file);
	inlay_list_init(&c->of_all);
	if (refer) {
		r->hold->ref(hold);
		c->hold = hold;
		c->data = data;
	} else if (len) {
		memcpy(c + 1, data, len);
		c->data = (const uint8_t *)(c + 1);
	}
	return c;
}

/* ---- files; what is to be freed is gathered, as that is done without the lock ---- */

struct gone {
	struct inlay_list changes; /* by of_file */
	struct inlay_list files;
};

static void gone_init(struct gone *g)
{
	inlay_list_init(&g->changes);
	inlay_list_init(&g->files);
}

static void gone_free(struct inlay_redirect *r, struct gone *g, unsigned lane)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(&g->changes)))
		change_free(r, inlay_container(it, struct inlay_change, of_file));
	while ((it = inlay_list_pop(&g->files))) {
		struct inlay_unsynced_file *k = inlay_container(it, struct inlay_unsynced_file, link);
		uint64_t number = k->node->number;

		inlay_node_unhold(k->node);
		inlay_node_put(k->node);
		inlay_redirect_forget(r, lane, number, 0);
		free(k);
	}
}

static struct inlay_unsynced_file *file_of_locked(struct inlay_redirect *r, struct inlay_node *n)
{
	struct inlay_unsynced_file *k = n->kept;

	if (k)
		return k;
	k = r->kept.count < INLAY_UNSYNCED_FILES ? calloc(1, sizeof *k) : NULL;
	if (!k || !inlay_node_hold(n)) { /* the kernel has forgotten it: should it come back, it is another node */
		free(k);
		return NULL;
	}
	k->node = n;
	inlay_list_init(&k->changes);
	inlay_list_init(&k->gap.of_file);
	inlay_list_init(&k->gap.of_all);
	k->gap.file = k;
	inlay_list_append(&r->kept.files, &k->link);
	r->kept.count++;
	n->kept = k;
	return k;
}

/* Not needed any more? */
static void file_check_locked(struct inlay_redirect *r, struct inlay_unsynced_file *k, struct gone *g)
{
	if (!inlay_list_empty(&k->changes) || !inlay_list_empty(&k->gap.of_all))
		return;
	k->node->kept = NULL;
	r->kept.count--;
	inlay_list_remove(&k->link);
	inlay_list_append(&g->files, &k->link);
}

static bool is_whole(const struct inlay_node *n)
{
	return atomic_load_explicit(&n->changes, memory_order_relaxed) == atomic_load_explicit(&n->synced, memory_order_relaxed);
}

/* Never back: answers may come late. */
static void synced_upto_locked(struct inlay_node *n, uint32_t changes)
{
	if ((int32_t)(changes - atomic_load_explicit(&n->synced, memory_order_relaxed)) > 0)
		atomic_store_explicit(&n->synced, changes, memory_order_relaxed);
}

static void take_out_locked(struct inlay_redirect *r, struct inlay_change *c, struct gone *g)
{
	inlay_list_remove(&c->of_all);
	if (!c->type) {
		synced_upto_locked(c->file->node, (uint32_t)c->len);
		return;
	}
	inlay_list_remove(&c->of_file);
	inlay_list_append(&g->changes, &c->of_file);
	c->file->bytes -= c->cost;
	r->kept.bytes -= c->cost;
}

static void drop_changes_locked(struct inlay_redirect *r, struct inlay_unsynced_file *k, struct gone *g)
{
	inlay_list_each_safe(it, tmp, &k->changes)
		take_out_locked(r, inlay_container(it, struct inlay_change, of_file), g);
}

static void gap_locked(struct inlay_redirect *r, struct inlay_node *n, struct gone *g)
{
	struct inlay_unsynced_file *k = file_of_locked(r, n);
	uint32_t changes = atomic_fetch_add_explicit(&n->changes, 1, memory_order_relaxed) + 1;

	if (!k) /* no room to find it by: until a COMMIT of its own */
		return;
	drop_changes_locked(r, k, g);
	k->gap.len = changes;
	k->gap.seq = ++r->kept.seq;
	inlay_list_remove(&k->gap.of_all);
	inlay_list_append(&r->kept.changes, &k->gap.of_all);
}

/* It makes sense to keep what comes now: nothing before it is missing, or a sync is under way that covers that. */
static bool may_keep_locked(const struct inlay_redirect *r, const struct inlay_node *n)
{
	const struct inlay_unsynced_file *k = n->kept;

	return is_whole(n) || (k && !inlay_list_empty(&k->gap.of_all) && (uint32_t)k->gap.len == atomic_load(&n->changes) &&
	                       k->gap.seq <= r->kept.asked);
}

static void learn_opening(struct inlay_unsynced_file *k, const struct inlay_file *f)
{
	if (!f || f->side != INLAY_REMOTE || f->is_dir || !f->token ||
	    (f->flags & INLAY_O_ACCMODE) == INLAY_O_RDONLY || k->token)
		return;
	k->token = f->token;
	k->flags = f->flags & (uint32_t)INLAY_O_AGAIN;
}

static bool has_room(const struct inlay_redirect *r, const struct inlay_unsynced_file *k, const struct inlay_change *c)
{
	return c->cost <= INLAY_UNSYNCED_FILE_MAX - k->bytes && c->cost <= r->kept.max - r->kept.bytes;
}

struct answer {
	uint64_t modified;
	uint64_t bytes;
	bool shared;  /* others have changed the file since our last change */
	bool durable;
	bool anew;    /* the content was empty then: nothing before it matters any more, be it kept or missing */
};

static void begin_anew_locked(struct inlay_redirect *r, struct inlay_node *n, struct gone *g)
{
	if (n->kept) {
		drop_changes_locked(r, n->kept, g);
		inlay_list_remove(&n->kept->gap.of_all);
	}
	atomic_store(&n->synced, atomic_load(&n->changes));
}

/* False: it isn't kept, and is the caller's. */
static bool keep_locked(struct inlay_redirect *r, struct inlay_node *n, const struct inlay_file *f, struct inlay_change *c,
                        const struct answer *a)
{
	struct inlay_unsynced_file *k = c && may_keep_locked(r, n) ? file_of_locked(r, n) : NULL;

	if (!k)
		return false;
	learn_opening(k, f);
	if (!k->token || !has_room(r, k, c))
		return false;
	/* Sent again, what is older would undo what others have made of it. */
	if (a->shared && !inlay_list_empty(&k->changes))
		return false;
	k->modified = a->modified > k->modified ? a->modified : k->modified;
	c->file = k;
	c->seq = ++r->kept.seq;
	k->bytes += c->cost;
	r->kept.bytes += c->cost;
	inlay_list_append(&k->changes, &c->of_file);
	inlay_list_append(&r->kept.changes, &c->of_all);
	return true;
}

/*
 * Where a disk is slow for what is written, syncing again and again would slow down the writers: they may use four fifths of the time
 * without. Whoever outgrows the bounds meanwhile isn't kept.
 */
static bool is_much_locked(const struct inlay_redirect *r)
{
	return (r->kept.bytes >= INLAY_UNSYNCED_SYNC || r->kept.count >= INLAY_UNSYNCED_FILES / 2) && !r->kept.syncing &&
	       !r->kept.failed && r->kept.changed - r->kept.ended >= 4 * r->kept.took;
}

static void sync_begin(struct inlay_redirect *r, unsigned lane);

/* c NULL: it can't be repeated, or there is no memory for it. */
static void changed(struct inlay_redirect *r, unsigned lane, struct inlay_node *n, const struct inlay_file *f,
                    struct inlay_change *c, const struct answer *a)
{
	struct gone gone;
	bool much;

	gone_init(&gone);
	pthread_mutex_lock(&r->kept.lock);
	r->kept.changed += a->bytes;
	if (a->anew)
		begin_anew_locked(r, n, &gone);
	/* What is durable by itself must still come after older ones that are sent again. */
	if (a->durable && (!n->kept || inlay_list_empty(&n->kept->changes)))
		;
	else if (keep_locked(r, n, f, c, a))
		c = NULL;
	else
		gap_locked(r, n, &gone);
	if (n->kept)
		file_check_locked(r, n->kept, &gone);
	much = is_much_locked(r);
	pthread_mutex_unlock(&r->kept.lock);
	if (c)
		change_free(r, c);
	gone_free(r, &gone, lane);
	if (much)
		sync_begin(r, lane);
}

/* ---- what happened ---- */

void inlay_unsynced_begin(struct inlay_node *n)
{
	atomic_fetch_add_explicit(&n->changing, 1, memory_order_relaxed);
}

void inlay_unsynced_end(struct inlay_node *n)
{
	atomic_fetch_sub_explicit(&n->changing, 1, memory_order_relaxed);
}

/* Whether it can be worth the copy; decided for good under the lock. */
static bool is_worth(struct inlay_redirect *r, struct inlay_node *n)
{
	bool worth;

	if (is_whole(n))
		return true;
	pthread_mutex_lock(&r->kept.lock);
	worth = may_keep_locked(r, n);
	pthread_mutex_unlock(&r->kept.lock);
	return worth;
}

/* Where it went. False: that isn't known. */
static bool place_of(const struct inlay_op *op, uint64_t *ret)
{
	const struct inlay_write_rep *rep = &op->out.write;
	bool append = op->file->flags & INLAY_O_APPEND && !(op->in.io.flags & INLAY_WRITE_AT);

	*ret = append ? rep->size - rep->count : op->in.io.off;
	return !append || rep->size >= rep->count;
}

void inlay_unsynced_written(struct inlay_op *op)
{
	const struct inlay_write_rep *rep = &op->out.write;
	struct answer a = {.modified = rep->modified, .bytes = rep->count, .shared = rep->flags & INLAY_WRITTEN_SHARED,
	                   .durable = rep->flags & INLAY_WRITTEN_DATA};
	struct inlay_change *c = NULL;
	uint64_t off;

	if (op->file->side != INLAY_REMOTE || !rep->count)
		return;
	if (place_of(op, &off) && !(op->in.io.flags & INLAY_WRITE_ZEROS) && is_worth(op->redirect, op->file->node))
		c = change_new(op->redirect, INLAY_WRITE, op->data, rep->count, op->data_hold);
	if (c) {
		c->off = off;
		c->flags = op->in.io.flags & INLAY_WRITE_KILL_PRIV;
	}
	changed(op->redirect, op->lane, op->file->node, op->file, c, &a);
}

/* Repeated, these do what they did; others move what lies behind them once more. */
static bool is_repeatable(uint32_t mode)
{
	return !(mode & ~(uint32_t)(INLAY_FALLOC_KEEP_SIZE | INLAY_FALLOC_PUNCH_HOLE | INLAY_FALLOC_ZERO));
}

void inlay_unsynced_allocated(struct inlay_op *op, const struct inlay_fallocate_rep *rep)
{
	struct answer a = {.modified = rep->modified, .shared = rep->flags & INLAY_WRITTEN_SHARED};
	struct inlay_change *c = NULL;

	if (op->file->side != INLAY_REMOTE)
		return;
	if (is_repeatable(op->in.io.flags))
		c = change_new(op->redirect, INLAY_FALLOCATE, NULL, 0, NULL);
	if (c) {
		c->off = op->in.io.off;
		c->len = op->in.io.len;
		c->flags = op->in.io.flags;
	}
	changed(op->redirect, op->lane, op->file->node, op->file, c, &a);
}

static void sized(struct inlay_op *op, struct inlay_node *n, const struct inlay_file *f, uint64_t size, bool shared)
{
	struct answer a = {.modified = time_ns(&op->attr.mtime), .shared = shared, .anew = size == 0};
	struct inlay_change *c = change_new(op->redirect, INLAY_SETATTR, NULL, 0, NULL);

	if (c)
		c->len = size;
	changed(op->redirect, op->lane, n, f, c, &a);
}

/* Times that programs give a file are no sign of others. */
static void times_set(struct inlay_redirect *r, struct inlay_node *n, const struct inlay_time *mtime)
{
	pthread_mutex_lock(&r->kept.lock);
	if (n->kept && time_ns(mtime) > n->kept->modified)
		n->kept->modified = time_ns(mtime);
	pthread_mutex_unlock(&r->kept.lock);
}

void inlay_unsynced_attr_set(struct inlay_op *op, uint32_t flags)
{
	if (op->side != INLAY_REMOTE)
		return;
	if (op->in.set.valid & INLAY_SET_SIZE)
		sized(op, op->node, op->file, op->in.set.size, flags & INLAY_WRITTEN_SHARED);
	else if (op->in.set.valid & (INLAY_SET_MTIME | INLAY_SET_MTIME_NOW))
		times_set(op->redirect, op->node, &op->attr.mtime);
}

/* Others have been at it since our last change: what is kept is not what must be there. */
static void look_for_others(struct inlay_redirect *r, struct inlay_node *n, const struct inlay_time *mtime, unsigned lane)
{
	struct gone gone;

	gone_init(&gone);
	pthread_mutex_lock(&r->kept.lock);
	if (n->kept && !inlay_list_empty(&n->kept->changes) && time_ns(mtime) > n->kept->modified &&
	    !atomic_load_explicit(&n->changing, memory_order_relaxed))
		gap_locked(r, n, &gone);
	pthread_mutex_unlock(&r->kept.lock);
	gone_free(r, &gone, lane);
}

void inlay_unsynced_opened(struct inlay_op *op, const struct inlay_file *f)
{
	if (f->side != INLAY_REMOTE || f->is_dir)
		return;
	if (f->flags & INLAY_O_TRUNC)
		sized(op, f->node, f, 0, false);
	else
		look_for_others(op->redirect, f->node, &op->attr.mtime, op->lane);
}

void inlay_unsynced_not_whole(struct inlay_redirect *r, struct inlay_node *n, unsigned lane)
{
	struct gone gone;

	gone_init(&gone);
	pthread_mutex_lock(&r->kept.lock);
	gap_locked(r, n, &gone);
	pthread_mutex_unlock(&r->kept.lock);
	gone_free(r, &gone, lane);
}

/* ---- letting go ---- */

void inlay_unsynced_asked(struct inlay_op *op)
{
	pthread_mutex_lock(&op->redirect->kept.lock);
	op->closes = atomic_load_explicit(&op->file->node->changes, memory_order_relaxed);
	op->kept_upto = op->redirect->kept.seq;
	pthread_mutex_unlock(&op->redirect->kept.lock);
}

void inlay_unsynced_committed(struct inlay_op *op)
{
	struct inlay_redirect *r = op->redirect;
	struct inlay_node *n = op->file->node;
	struct inlay_unsynced_file *k;
	struct gone gone;

	if (op->file->side != INLAY_REMOTE)
		return;
	gone_init(&gone);
	pthread_mutex_lock(&r->kept.lock);
	synced_upto_locked(n, op->closes); /* what was written meanwhile is not meant */
	k = n->kept;
	if (k && k->gap.seq <= op->kept_upto)
		inlay_list_remove(&k->gap.of_all);
	while (k && !inlay_list_empty(&k->changes)) {
		struct inlay_change *c = inlay_container(k->changes.next, struct inlay_change, of_file);

		if (c->seq > op->kept_upto)
			break;
		take_out_locked(r, c, &gone);
	}
	if (k)
		file_check_locked(r, k, &gone);
	pthread_mutex_unlock(&r->kept.lock);
	gone_free(r, &gone, op->lane);
}

static void settle(struct inlay_redirect *r, uint64_t upto)
{
	struct gone gone;

	gone_init(&gone);
	pthread_mutex_lock(&r->kept.lock);
	while (!inlay_list_empty(&r->kept.changes)) {
		struct inlay_change *c = inlay_container(r->kept.changes.next, struct inlay_change, of_all);

		if (c->seq > upto)
			break;
		take_out_locked(r, c, &gone);
		file_check_locked(r, c->file, &gone);
	}
	pthread_mutex_unlock(&r->kept.lock);
	gone_free(r, &gone, r->kept.lane);
}

static void synced(struct inlay_call *call, const struct inlay_reply *rep)
{
	struct inlay_redirect *r = inlay_container(call, struct inlay_redirect, kept.call);

	if (rep->status == 0)
		settle(r, r->kept.asked);
	pthread_mutex_lock(&r->kept.lock);
	r->kept.asked = 0;
	r->kept.syncing = false;
	r->kept.ended = r->kept.changed;
	r->kept.took = r->kept.ended - r->kept.began;
	r->kept.failed = rep->status < 0; /* then only time brings the next one */
	pthread_mutex_unlock(&r->kept.lock);
}

/* Asks for a sync of all that is answered by now, unless one is under way or there is nothing. */
static void sync_begin(struct inlay_redirect *r, unsigned lane)
{
	struct inlay_side_port *port = r->port[INLAY_REMOTE];
	struct inlay_node *root;
	struct inlay_writer w;
	bool begin;

	pthread_mutex_lock(&r->kept.lock);
	begin = !r->kept.syncing && !inlay_list_empty(&r->kept.changes);
	if (begin) {
		r->kept.syncing = true;
		r->kept.asked = r->kept.seq;
		r->kept.began = r->kept.changed;
		r->kept.lane = lane;
	}
	pthread_mutex_unlock(&r->kept.lock);
	if (!begin)
		return;
	root = inlay_node_get(r->nodes, INLAY_ROOT_NUMBER);
	inlay_list_init(&r->kept.call.link);
	r->kept.call.done = synced;
	w = inlay_call_begin(&r->kept.call, INLAY_SYNCFS, r->kept.room, sizeof r->kept.room);
	inlay_put_syncfs_req(&w, &(struct inlay_syncfs_req){root->id[INLAY_REMOTE]});
	inlay_node_put(root);
	if (inlay_call_end(&r->kept.call, &w) < 0) /* unreachable: the room is for it */
		abort();
	(port->submit_later ? port->submit_later : port->submit)(port, lane, &r->kept.call);
}

size_t inlay_redirect_kept(struct inlay_redirect *r)
{
	size_t bytes;

	pthread_mutex_lock(&r->kept.lock);
	bytes = r->kept.bytes;
	pthread_mutex_unlock(&r->kept.lock);
	return bytes;
}

void inlay_redirect_sync(struct inlay_redirect *r, unsigned lane)
{
	sync_begin(r, lane);
}

/* ---- for resend.c ---- */

struct inlay_unsynced_file *inlay_unsynced_next(struct inlay_redirect *r, uint32_t run)
{
	struct inlay_unsynced_file *k = NULL;

	pthread_mutex_lock(&r->kept.lock);
	if (!inlay_list_empty(&r->kept.files)) {
		k = inlay_container(r->kept.files.next, struct inlay_unsynced_file, link);
		if (k->run == run) /* those that were taken stand last */
			k = NULL;
	}
	if (k) {
		k->run = run;
		inlay_list_remove(&k->link);
		inlay_list_append(&r->kept.files, &k->link);
	}
	pthread_mutex_unlock(&r->kept.lock);
	return k;
}

const struct inlay_change *inlay_unsynced_after(struct inlay_redirect *r, struct inlay_unsynced_file *k, const struct inlay_change *c)
{
	const struct inlay_list *next;

	pthread_mutex_lock(&r->kept.lock);
	next = c ? c->of_file.next : k->changes.next;
	pthread_mutex_unlock(&r->kept.lock);
	return next == &k->changes ? NULL : inlay_container(next, struct inlay_change, of_file);
}

void inlay_unsynced_tell(struct inlay_redirect *r, struct inlay_file *f)
{
	if (f->side != INLAY_REMOTE || f->is_dir || (f->flags & INLAY_O_ACCMODE) == INLAY_O_RDONLY)
		return;
	atomic_store(&f->lost, true);
	inlay_estate_file_mark(r->estate, f->number, INLAY_FILE_LOST);
}

struct telling {
	struct inlay_redirect *redirect;
	const struct inlay_node *node;
};

static void tell(uint64_t number, void *object, void *arg)
{
	const struct telling *t = arg;
	struct inlay_file *f = object;

	(void)number;
	if (f->node == t->node)
		inlay_unsynced_tell(t->redirect, f);
}

void inlay_unsynced_lost(struct inlay_redirect *r, struct inlay_unsynced_file *k, unsigned lane)
{
	struct gone gone;

	gone_init(&gone);
	inlay_table_each(r->files, tell, &(struct telling){r, k->node});
	pthread_mutex_lock(&r->kept.lock);
	begin_anew_locked(r, k->node, &gone);
	file_check_locked(r, k, &gone);
	pthread_mutex_unlock(&r->kept.lock);
	gone_free(r, &gone, lane);
}

unsigned inlay_unsynced_drop_gaps(struct inlay_redirect *r, unsigned lane)
{
	struct gone gone;
	unsigned count = 0;

	gone_init(&gone);
	pthread_mutex_lock(&r->kept.lock);
	inlay_list_each_safe(it, tmp, &r->kept.files) {
		struct inlay_unsynced_file *k = inlay_container(it, struct inlay_unsynced_file, link);

		if (is_whole(k->node))
			continue;
		begin_anew_locked(r, k->node, &gone);
		file_check_locked(r, k, &gone);
		count++;
	}
	pthread_mutex_unlock(&r->kept.lock);
	gone_free(r, &gone, lane);
	return count;
}

void inlay_unsynced_done(struct inlay_redirect *r)
{
	struct gone gone;
	struct inlay_list *it;

	gone_init(&gone);
	inlay_list_each_safe(file, tmp, &r->kept.files) {
		struct inlay_unsynced_file *k = inlay_container(file, struct inlay_unsynced_file, link);

		drop_changes_locked(r, k, &gone);
		inlay_list_remove(file);
		inlay_list_append(&gone.files, file);
	}
	while ((it = inlay_list_pop(&gone.changes)))
		change_free(r, inlay_container(it, struct inlay_change, of_file));
	while ((it = inlay_list_pop(&gone.files))) { /* the sides are gone: nobody is told */
		struct inlay_unsynced_file *k = inlay_container(it, struct inlay_unsynced_file, link);

		k->node->kept = NULL;
		inlay_node_put(k->node);
		free(k);
	}
	pthread_mutex_destroy(&r->kept.lock);
}

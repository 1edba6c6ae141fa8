/*
 * Locks: per file a list of ranges held and a list of waiters. POSIX and flock locks live in spaces of their own.
 *
 * A blocking lock holds no thread: the waiter is noted, and woken by a hint when what was in its way has changed. A
 * flock that changes its type lets go of the old one first, as flock(2) does: two upgraders would wait for ever.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/locks.h"

#include <stdlib.h>
#include <string.h>

struct owner {
	struct inlay_session *session;
	uint64_t number;
	uint32_t kind; /* enum inlay_lock_kind */
};

struct range {
	uint64_t start, end;
	uint32_t type; /* READ or WRITE */
};

struct held {
	struct inlay_list link; /* file.held */
	struct owner owner;
	struct range r;
	struct handle *handle;
	uint32_t pid;
};

struct waiter {
	struct inlay_list link;     /* file.waiters */
	struct inlay_map_link by_owner; /* locks.waiters: each thread of an owner may wait for something else */
	struct lock_file *file;
	struct owner owner;
	struct range r;
	struct handle *handle;
	uint64_t handle_id;
	uint64_t visited; /* search that came by here last */
	struct wake *wake; /* allocated with it, as it would wait for ever without one; NULL: it was woken */
};

struct lock_file {
	struct inlay_map_link link;
	struct inlay_store_id id;
	struct inlay_list held, waiters;
	uint32_t nheld, nwaiters;
};

struct locks {
	pthread_mutex_t mutex;
	struct inlay_map files, waiters;
	uint64_t searches;
};

/* A hint to send when the mutex is free again. */
struct wake {
	struct wake *next;
	struct inlay_session *session;
	struct inlay_event_lock_req event;
};

struct locks *locks_new(void)
{
	struct locks *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	if (inlay_map_init(&k->files) < 0 || inlay_map_init(&k->waiters) < 0) {
		inlay_map_done(&k->files);
		free(k);
		return NULL;
	}
	pthread_mutex_init(&k->mutex, NULL);
	return k;
}

void locks_free(struct locks *k)
{
	if (!k)
		return;
	inlay_map_done(&k->files);
	inlay_map_done(&k->waiters);
	pthread_mutex_destroy(&k->mutex);
	free(k);
}

static bool owner_is(const struct owner *a, const struct owner *b)
{
	return a->session == b->session && a->number == b->number && a->kind == b->kind;
}

static bool overlap(const struct range *a, const struct range *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/* ---- files ---- */

static const struct inlay_hash_key hash_key = {{0x6c6f636b, 0x66696c65}} /* the map is bounded, not secret */;

static struct lock_file *file_find(struct locks *k, const struct inlay_store_id *id, uint64_t *ret_hash)
{
	uint64_t hash = inlay_siphash(&hash_key, id->bytes, id->len);

	*ret_hash = hash;
	for (struct inlay_map_link *l = inlay_map_find(&k->files, hash); l; l = inlay_map_find_next(l)) {
		struct lock_file *f = inlay_container(l, struct lock_file, link);

		if (f->id.len == id->len && memcmp(f->id.bytes, id->bytes, id->len) == 0)
			return f;
	}
	return NULL;
}

static struct lock_file *file_of(struct locks *k, struct handle *h, bool make)
{
	struct inlay_store_id id = {0};
	struct lock_file *f;
	uint64_t hash;

	h->file->store->ops->node_id(h->file->node, &id);
	f = file_find(k, &id, &hash);
	if (f || !make)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->id = id;
	inlay_list_init(&f->held);
	inlay_list_init(&f->waiters);
	inlay_map_add(&k->files, &f->link, hash);
	return f;
}

static void file_release(struct locks *k, struct lock_file *f)
{
	if (!inlay_list_empty(&f->held) || !inlay_list_empty(&f->waiters))
		return;
	inlay_map_remove(&k->files, &f->link);
	free(f);
}

/* ---- what is in the way ---- */

static bool conflicts(const struct held *h, const struct owner *o, const struct range *r)
{
	return h->owner.kind == o->kind && !owner_is(&h->owner, o) && overlap(&h->r, r) &&
		(h->r.type == INLAY_LOCK_WRITE || r->type == INLAY_LOCK_WRITE);
}

/* The one with the lowest start. */
static struct held *in_the_way(const struct lock_file *f, const struct owner *o, const struct range *r)
{
	struct held *first = NULL;

	inlay_list_each(it, &f->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (conflicts(h, o, r) && (!first || h->r.start < first->r.start))
			first = h;
	}
	return first;
}

static uint64_t owner_hash(const struct owner *o)
{
	const uint64_t words[3] = {(uintptr_t)o->session, o->number, o->kind};

	return inlay_siphash(&hash_key, words, sizeof(words));
}

/* The owner's first waiter, and those after it. */
static struct waiter *waiter_in(struct inlay_map_link *l, const struct owner *o)
{
	for (; l; l = inlay_map_find_next(l)) {
		struct waiter *w = inlay_container(l, struct waiter, by_owner);

		if (owner_is(&w->owner, o))
			return w;
	}
	return NULL;
}

static struct waiter *waiter_of(struct locks *k, const struct owner *o)
{
	return waiter_in(inlay_map_find(&k->waiters, owner_hash(o)), o);
}

static struct waiter *waiter_next(struct waiter *w)
{
	return waiter_in(inlay_map_find_next(&w->by_owner), &w->owner);
}

/*
 * True when some holder in the way of (f, who, r) waits, over any number of steps, for a lock of `me`. A list of
 * waiters still to look at replaces recursion: a client decides how long the chain is.
 */
static bool would_deadlock(struct locks *k, struct lock_file *f, const struct owner *me, const struct range *r)
{
	struct waiter *todo[64];
	struct owner who = *me;
	struct range want = *r;
	size_t n = 0;
	uint64_t search = ++k->searches;

	for (;;) {
		inlay_list_each(it, &f->held) {
			struct held *h = inlay_container(it, struct held, link);

			if (!conflicts(h, &who, &want))
				continue;
			if (owner_is(&h->owner, me))
				return true;
			for (struct waiter *w = waiter_of(k, &h->owner); w; w = waiter_next(w)) {
				if (w->visited == search || n == sizeof(todo) / sizeof(todo[0]))
					continue;
				w->visited = search;
				todo[n++] = w;
			}
		}
		if (!n)
			return false;
		n--;
		f = todo[n]->file;
		who = todo[n]->owner;
		want = todo[n]->r;
	}
}

/* ---- waiters ---- */

/* Waiters count as locks: their number has to have a bound too. */
static void count_held(struct inlay_session *ss, int change)
{
	ss->locks_held += (uint32_t)change;
	__atomic_add_fetch(&ss->server->locks, (uint32_t)change, __ATOMIC_RELAXED);
}

static void waiter_free(struct locks *k, struct waiter *w)
{
	count_held(w->owner.session, -1);
	w->file->nwaiters--;
	inlay_list_remove(&w->link);
	inlay_map_remove(&k->waiters, &w->by_owner);
	free(w->wake);
	free(w);
}

/* What the owner asks for now it has perhaps waited for till now. What its other threads wait for stays. */
static void waiter_remove(struct locks *k, const struct lock_file *f, const struct owner *o, const struct range *r)
{
	for (struct waiter *w = waiter_of(k, o); w; w = waiter_next(w)) {
		if (w->file == f && w->r.start == r->start && w->r.end == r->end && w->r.type == r->type) {
			waiter_free(k, w);
			return;
		}
	}
}

static int waiter_note(struct locks *k, struct lock_file *f, const struct owner *o, const struct range *r,
                       struct handle *h, uint64_t handle_id)
{
	struct waiter *w;
	struct wake *wake;

	if (f->nwaiters >= INLAY_FILE_WAITERS_MAX)
		return -INLAY_ENOLCK;
	w = calloc(1, sizeof(*w));
	wake = calloc(1, sizeof(*wake));
	if (!w || !wake) {
		free(w);
		free(wake);
		return -INLAY_ENOMEM;
	}
	*w = (struct waiter){.file = f, .owner = *o, .r = *r, .handle = h, .handle_id = handle_id, .wake = wake};
	inlay_list_append(&f->waiters, &w->link);
	f->nwaiters++;
	inlay_map_add(&k->waiters, &w->by_owner, owner_hash(o));
	count_held(o->session, 1);
	return -INLAY_EQUEUED;
}

/* Gathers those who wait for something in `r` and find nothing in their way now. */
static void gather_wakes(struct lock_file *f, uint32_t kind, const struct range *r, struct wake **wakes)
{
	inlay_list_each(it, &f->waiters) {
		struct waiter *w = inlay_container(it, struct waiter, link);
		struct wake *e = w->wake;

		if (!e || w->owner.kind != kind || !overlap(&w->r, r) || in_the_way(f, &w->owner, &w->r))
			continue;
		w->wake = NULL;
		e->session = session_ref(w->owner.session);
		e->event = (struct inlay_event_lock_req){.handle = w->handle_id, .owner = w->owner.number, .kind = kind};
		e->next = *wakes;
		*wakes = e;
	}
}

static void send_wakes(struct wake *e)
{
	while (e) {
		struct wake *next = e->next;

		session_wake(e->session, &e->event);
		session_unref(e->session);
		free(e);
		e = next;
	}
}

/* ---- changing ---- */

static void held_free(struct lock_file *f, struct held *h)
{
	f->nheld--;
	count_held(h->owner.session, -1);
	inlay_list_remove(&h->link);
	free(h);
}

/* Two records are enough for any change: the new range, and the far half of one that is split. */
struct spare {
	struct held *a, *b;
};

static struct held *held_add(struct lock_file *f, struct held **from, const struct held *like, const struct range *r)
{
	struct held *h = *from;

	*from = NULL;
	*h = *like;
	h->r = *r;
	inlay_list_append(&f->held, &h->link);
	f->nheld++;
	count_held(h->owner.session, 1);
	return h;
}

/* Cuts [r] out of one lock of the owner. */
static void cut(struct lock_file *f, struct held *h, const struct range *r, struct spare *spare)
{
	struct range right = {r->end + 1, h->r.end, h->r.type};
	bool left_stays = h->r.start < r->start, right_stays = h->r.end > r->end;

	if (left_stays && right_stays)
		held_add(f, &spare->b, h, &right);
	if (left_stays)
		h->r.end = r->start - 1;
	else if (right_stays)
		h->r.start = r->end + 1;
	else
		held_free(f, h);
}

static bool touches(const struct range *a, const struct range *b)
{
	return (a->end < LOCK_END_MAX && a->end + 1 == b->start) || (b->end < LOCK_END_MAX && b->end + 1 == a->start);
}

static void merge_neighbours(struct lock_file *f, struct held *n)
{
	inlay_list_each_safe(it, tmp, &f->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (h == n || h->r.type != n->r.type || h->handle != n->handle || h->pid != n->pid ||
		    !owner_is(&h->owner, &n->owner) || !touches(&h->r, &n->r))
			continue;
		if (h->r.start < n->r.start)
			n->r.start = h->r.start;
		else
			n->r.end = h->r.end;
		held_free(f, h);
	}
}

static void apply(struct lock_file *f, const struct held *want, bool unlock, struct spare *spare)
{
	inlay_list_each_safe(it, tmp, &f->held) {
		struct held *h = inlay_container(it, struct held, link);

		if (owner_is(&h->owner, &want->owner) && overlap(&h->r, &want->r))
			cut(f, h, &want->r, spare);
	}
	if (!unlock)
		merge_neighbours(f, held_add(f, &spare->a, want, &want->r));
}

/* Under the mutex. f is kept by the caller. */
static int set_locked(struct locks *k, struct lock_file *f, const struct held *want, const struct inlay_lock_req *m,
                      struct spare *spare, struct wake **wakes)
{
	const struct owner *o = &want->owner;
	bool unlock = m->type == INLAY_LOCK_UNLOCK;

	if (__atomic_load_n(&o->session->over, __ATOMIC_ACQUIRE))
		return -INLAY_ENOSESSION;
	waiter_remove(k, f, o, &want->r);
	if (!unlock && (o->session->locks_held + 2 > INLAY_LOCKS_MAX || f->nheld + 2 > INLAY_FILE_LOCKS_MAX))
		return -INLAY_ENOLCK;
	if (o->kind == INLAY_LOCK_FLOCK && !unlock) { /* see the file's head */
		apply(f, want, true, spare);
		gather_wakes(f, o->kind, &want->r, wakes);
	}
	if (!unlock && in_the_way(f, o, &want->r)) {
		if (!(m->flags & INLAY_LOCK_WAIT))
			return -INLAY_EAGAIN;
		if (o->kind == INLAY_LOCK_POSIX && would_deadlock(k, f, o, &want->r))
			return -INLAY_EDEADLK;
		return waiter_note(k, f, o, &want->r, want->handle, m->handle);
	}
	apply(f, want, unlock, spare);
	gather_wakes(f, o->kind, &want->r, wakes);
	return 0;
}

static struct held wanted(struct handle *h, uint64_t owner, uint32_t kind, uint32_t type, uint64_t start, uint64_t end)
{
	if (kind == INLAY_LOCK_FLOCK) {
		start = 0;
		end = LOCK_END_MAX;
	}
	return (struct held){.owner = {h->session, owner, kind}, .r = {start, end, type}, .handle = h};
}

int locks_set(struct locks *k, struct handle *h, const struct inlay_lock_req *m)
{
	struct held want = wanted(h, m->owner, m->kind, m->type, m->start, m->end);
	struct spare spare = {malloc(sizeof(struct held)), malloc(sizeof(struct held))};
	struct wake *wakes = NULL;
	struct lock_file *f;
	int r = -INLAY_ENOLCK;

	want.pid = m->pid;
	__atomic_store_n(&h->locked, true, __ATOMIC_RELEASE);
	pthread_mutex_lock(&k->mutex);
	f = spare.a && spare.b ? file_of(k, h, true) : NULL;
	if (f) {
		r = set_locked(k, f, &want, m, &spare, &wakes);
		file_release(k, f);
	}
	pthread_mutex_unlock(&k->mutex);
	send_wakes(wakes);
	free(spare.a);
	free(spare.b);
	return r;
}

void locks_test(struct locks *k, struct handle *h, const struct inlay_testlock_req *m, struct inlay_testlock_rep *ret)
{
	struct held want = wanted(h, m->owner, m->kind, m->type, m->start, m->end);
	const struct held *other = NULL;
	const struct lock_file *f;

	*ret = (struct inlay_testlock_rep){.type = INLAY_LOCK_UNLOCK};
	pthread_mutex_lock(&k->mutex);
	f = file_of(k, h, false);
	if (f)
		other = in_the_way(f, &want.owner, &want.r);
	if (other)
		*ret = (struct inlay_testlock_rep){other->r.start, other->r.end, other->r.type, other->pid};
	pthread_mutex_unlock(&k->mutex);
}

/* Removes what is waited for through h and returns how much that was. */
static unsigned cancel_locked(struct locks *k, const struct owner *o, const struct handle *h, uint64_t *ret_handle_id)
{
	struct waiter *w, *next;
	unsigned n = 0;

	for (w = waiter_of(k, o); w; w = next) {
		struct lock_file *f = w->file;

		next = waiter_next(w);
		if (w->handle != h)
			continue;
		*ret_handle_id = w->handle_id;
		waiter_free(k, w);
		file_release(k, f);
		n++;
	}
	return n;
}

void locks_cancel(struct locks *k, struct handle *h, uint64_t owner, uint32_t kind)
{
	struct owner o = {h->session, owner, kind};
	uint64_t handle_id = 0;
	unsigned n;

	pthread_mutex_lock(&k->mutex);
	n = cancel_locked(k, &o, h, &handle_id);
	pthread_mutex_unlock(&k->mutex);
	/* It doesn't say which of the owner's threads waits no more: the others ask again. */
	if (n > 1)
		session_wake(h->session, &(struct inlay_event_lock_req){.handle = handle_id, .owner = owner, .kind = kind});
}

static void drop_in_file(struct locks *k, struct lock_file *f, struct inlay_session *ss, const struct handle *h,
                         struct wake **wakes)
{
	static const struct range whole = {0, LOCK_END_MAX, INLAY_LOCK_WRITE};
	bool changed[2] = {false, false};

	inlay_list_each_safe(it, tmp, &f->waiters) {
		struct waiter *w = inlay_container(it, struct waiter, link);

		if (w->owner.session == ss && (!h || w->handle == h))
			waiter_free(k, w);
	}
	inlay_list_each_safe(it, tmp, &f->held) {
		struct held *p = inlay_container(it, struct held, link);

		if (p->owner.session != ss || (h && p->handle != h))
			continue;
		changed[p->owner.kind] = true;
		held_free(f, p);
	}
	for (uint32_t kind = 0; kind < 2; kind++)
		if (changed[kind])
			gather_wakes(f, kind, &whole, wakes);
}

struct drop {
	struct locks *k;
	struct inlay_session *ss;
	struct wake *wakes;
};

static void drop_one(struct inlay_map_link *link, void *arg)
{
	struct drop *d = arg;
	struct lock_file *f = inlay_container(link, struct lock_file, link);

	drop_in_file(d->k, f, d->ss, NULL, &d->wakes);
	file_release(d->k, f);
}

void locks_drop(struct locks *k, struct inlay_session *ss, struct handle *h)
{
	struct drop d = {k, ss, NULL};
	struct lock_file *f;

	pthread_mutex_lock(&k->mutex);
	if (!h && !ss->locks_held) {
		/* nothing: who comes and goes must not cost a look at every file */
	} else if (!h) {
		inlay_map_each(&k->files, drop_one, &d);
	} else if ((f = file_of(k, h, false))) {
		drop_in_file(k, f, ss, h, &d.wakes);
		file_release(k, f);
	}
	pthread_mutex_unlock(&k->mutex);
	send_wakes(d.wakes);
}

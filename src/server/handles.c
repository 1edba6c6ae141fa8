/*
 * A session's open files. What a client gets is the table's id under the session's salt; what it had from a session before
 * this one and has opened again, it calls by the old name.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/locks.h"

#include <stdlib.h>
#include <string.h>

/* A handle that an earlier session gave out. */
struct old {
	struct inlay_map_link link;
	uint64_t id;  /* the client's */
	uint64_t now; /* in the table */
};

static void handle_release(void *object, void *arg)
{
	struct handle *h = object;

	(void)arg;
	/* Here, and not in CLOSE: a LOCK on another thread may have come between. */
	if (__atomic_load_n(&h->locked, __ATOMIC_ACQUIRE))
		locks_drop(h->session->ex->locks, h->session, h);
	h->file->store->ops->file_unref(h->file);
	session_take(h->session, -HANDLE_DESCRIPTORS);
	free(h->cred);
	free(h);
}

int handles_init(struct inlay_session *ss)
{
	if (inlay_map_init(&ss->olds) < 0)
		return -INLAY_ENOMEM;
	ss->handles = inlay_table_new(INLAY_HANDLES_MAX, handle_release, NULL);
	if (ss->handles)
		return 0;
	inlay_map_done(&ss->olds);
	return -INLAY_ENOMEM;
}

static void old_free(struct inlay_map_link *link, void *arg)
{
	(void)arg;
	free(inlay_container(link, struct old, link));
}

void handles_done(struct inlay_session *ss)
{
	inlay_table_free(ss->handles);
	inlay_map_each(&ss->olds, old_free, NULL);
	inlay_map_done(&ss->olds);
}

/* ---- handles of earlier sessions ---- */

static uint64_t old_hash(const struct inlay_session *ss, uint64_t id)
{
	return inlay_siphash(&ss->server->secret, &id, sizeof(id)); /* the ids are the client's to choose */
}

static bool old_find(struct inlay_session *ss, uint64_t id, uint64_t *ret_now)
{
	for (struct inlay_map_link *l = inlay_map_find(&ss->olds, old_hash(ss, id)); l; l = inlay_map_find_next(l)) {
		struct old *o = inlay_container(l, struct old, link);

		if (o->id != id)
			continue;
		*ret_now = o->now;
		return true;
	}
	return false;
}

/* What a client's handle is in the table. */
static uint64_t table_id(struct inlay_session *ss, uint64_t id)
{
	int state = __atomic_load_n(&ss->reclaim, __ATOMIC_ACQUIRE);
	uint64_t now = id ^ ss->handle_salt;

	if (state == RECLAIM_NONE)
		return now;
	if (state == RECLAIM_OPEN)
		pthread_mutex_lock(&ss->lock);
	(void)old_find(ss, id, &now);
	if (state == RECLAIM_OPEN)
		pthread_mutex_unlock(&ss->lock);
	return now;
}

static bool old_note(struct inlay_session *ss, struct old *o)
{
	uint64_t now;
	bool ok;

	pthread_mutex_lock(&ss->lock);
	/* Over meanwhile, and the map is read without a lock? Then it is too late. */
	ok = ss->reclaim == RECLAIM_OPEN && !old_find(ss, o->id, &now);
	if (ok)
		inlay_map_add(&ss->olds, &o->link, old_hash(ss, o->id));
	pthread_mutex_unlock(&ss->lock);
	return ok;
}

int handle_add_old(struct inlay_session *ss, struct inlay_store_file *f, const struct inlay_cred *cred, uint64_t old)
{
	struct old *o = calloc(1, sizeof(*o));
	struct handle *h = handle_get(ss, old);
	uint64_t id;
	int r = o ? 0 : -INLAY_ENOMEM;

	if (h) {
		handle_put(ss, old);
		r = -INLAY_EINVAL;
	}
	if (r < 0)
		f->store->ops->file_unref(f);
	else
		r = handle_add(ss, f, cred, &id);
	if (r >= 0) {
		*o = (struct old){.id = old, .now = id ^ ss->handle_salt};
		if (old_note(ss, o))
			return 0;
		(void)inlay_table_remove(ss->handles, o->now);
		r = -INLAY_EINVAL;
	}
	free(o);
	return r;
}

void handles_fix(struct inlay_session *ss)
{
	pthread_mutex_lock(&ss->lock);
	if (ss->reclaim == RECLAIM_OPEN)
		__atomic_store_n(&ss->reclaim, RECLAIM_OVER, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&ss->lock);
}

/* ---- handles ---- */

struct inlay_cred *cred_copy(const struct inlay_cred *cred)
{
	/* Only the groups that there are: a directory handle would cost 4 KiB else. */
	size_t len = offsetof(struct inlay_cred, groups) + cred->ngroups * sizeof(cred->groups[0]);
	struct inlay_cred *copy = malloc(len);

	if (copy)
		memcpy(copy, cred, len);
	return copy;
}

static int table_add(struct inlay_session *ss, struct handle *h, uint64_t *ret_id)
{
	uint64_t id;
	int r = inlay_table_add(ss->handles, h, &id);

	if (r < 0)
		return r;
	*ret_id = id ^ ss->handle_salt;
	return 0;
}

int handle_add(struct inlay_session *ss, struct inlay_store_file *f, const struct inlay_cred *cred, uint64_t *ret_id)
{
	struct handle *h = calloc(1, sizeof(*h));
	int r = -INLAY_ENOMEM;

	if (h && cred)
		h->cred = cred_copy(cred);
	if (h && (!cred || h->cred)) {
		h->session = ss;
		h->file = f;
		session_take(ss, HANDLE_DESCRIPTORS); /* before somebody guesses its number and closes it */
		r = table_add(ss, h, ret_id);
		if (r >= 0)
			return 0;
		session_take(ss, -HANDLE_DESCRIPTORS);
	}
	f->store->ops->file_unref(f);
	if (h)
		free(h->cred);
	free(h);
	return r == -INLAY_ELIMIT ? -INLAY_EMFILE : r;
}

struct handle *handle_get(struct inlay_session *ss, uint64_t id)
{
	return inlay_table_get(ss->handles, table_id(ss, id));
}

void handle_put(struct inlay_session *ss, uint64_t id)
{
	inlay_table_put(ss->handles, table_id(ss, id));
}

int handle_close(struct inlay_session *ss, uint64_t id)
{
	return inlay_table_remove(ss->handles, table_id(ss, id));
}

static void close_one(uint64_t id, void *object, void *arg)
{
	struct inlay_session *ss = arg;

	(void)object;
	(void)inlay_table_remove(ss->handles, id);
}

void handles_close_all(struct inlay_session *ss)
{
	inlay_table_each(ss->handles, close_one, ss);
}

/*
 * Sessions: made by HELLO or by an embedding program, ended by BYE, silence, violation, or with their export.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"
#include "server/execute.h"
#include "server/internal.h"
#include "server/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t id_hash(const struct inlay_uuid *id)
{
	uint64_t h;

	memcpy(&h, id->bytes, sizeof(h)); /* random already */
	return h;
}

struct inlay_session *session_ref(struct inlay_session *ss)
{
	__atomic_add_fetch(&ss->refs, 1, __ATOMIC_RELAXED);
	return ss;
}

static void lane_free(struct lane *la)
{
	if (!la)
		return;
	inlay_slots_free(la->slots);
	pthread_mutex_destroy(&la->lock);
	free(la->busy);
	free(la);
}

static void session_free(struct inlay_session *ss)
{
	handles_done(ss);
	nodes_drop(ss);
	for (unsigned i = 0; i < INLAY_LANES_MAX; i++)
		lane_free(ss->lanes[i]);
	pthread_mutex_destroy(&ss->lock);
	if (ss->record)
		session_take(ss, -RECORD_DESCRIPTORS);
	record_put(ss->record, ss->server->stopping);
	export_unref(ss->ex);
	origin_put(ss->server, ss->origin);
	free(ss->as);
	free(ss);
}

void session_unref(struct inlay_session *ss)
{
	if (ss && __atomic_sub_fetch(&ss->refs, 1, __ATOMIC_ACQ_REL) == 0)
		session_free(ss);
}

static int fill_random(void *p, size_t len)
{
	return getrandom(p, len, 0) == (ssize_t)len ? 0 : -INLAY_EIO;
}

static struct inlay_session *session_alloc(struct inlay_export *ex)
{
	struct inlay_session *ss = calloc(1, sizeof(*ss));

	if (!ss)
		return NULL;
	ss->server = ex->server;
	ss->ex = ex;
	ss->refs = 1;
	ss->lost_ns = clock_ns();
	inlay_list_init(&ss->link);
	caller_init(&ss->caller, NULL);
	pthread_mutex_init(&ss->lock, NULL);
	if (inlay_map_init(&ss->nodes) < 0)
		goto fail;
	if (handles_init(ss) == 0)
		return ss;
	inlay_map_done(&ss->nodes);
fail:
	pthread_mutex_destroy(&ss->lock);
	free(ss);
	return NULL;
}

/* False: too many, or the export was removed meanwhile. */
static bool session_enlist(struct inlay_session *ss)
{
	struct inlay_server *s = ss->server;
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = s->nsessions < s->sessions_max && !inlay_list_empty(&ss->ex->link);
	if (ok) {
		inlay_list_append(&s->sessions, &ss->link);
		inlay_map_add(&s->by_id, &ss->by_id, id_hash(&ss->id));
		s->nsessions++;
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

int session_new(struct inlay_export *ex, const struct inlay_uuid *client, struct origin *origin, struct inlay_session **ret)
{
	struct inlay_session *ss = session_alloc(ex);
	int r;

	if (!ss)
		return -INLAY_ENOMEM;
	r = fill_random(&ss->id, sizeof(ss->id));
	if (r == 0)
		r = fill_random(&ss->handle_salt, sizeof(ss->handle_salt));
	ss->handle_salt |= UINT64_C(1) << 31; /* no id has this bit in it, so that none becomes 0 */
	ss->client = *client;
	ss->origin = ss->caller.origin = origin;
	if (r == 0 && session_enlist(ss)) {
		*ret = ss;
		return 0;
	}
	__atomic_add_fetch(&ex->refs, 1, __ATOMIC_RELAXED); /* stays the caller's, and so does */
	ss->origin = NULL;
	session_unref(ss);
	return r ? r : -INLAY_ELIMIT;
}

struct inlay_session *session_find(struct inlay_server *s, const struct inlay_uuid *id)
{
	struct inlay_session *found = NULL;

	pthread_mutex_lock(&s->lock);
	for (struct inlay_map_link *l = inlay_map_find(&s->by_id, id_hash(id)); l; l = inlay_map_find_next(l)) {
		struct inlay_session *ss = inlay_container(l, struct inlay_session, by_id);

		if (memcmp(&ss->id, id, sizeof(*id)) == 0) {
			found = session_ref(ss);
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* True for the one caller that takes it off the lists. */
static bool session_delist(struct inlay_session *ss)
{
	struct inlay_server *s = ss->server;
	bool first;

	pthread_mutex_lock(&s->lock);
	first = !inlay_list_empty(&ss->link);
	if (first) {
		inlay_list_remove(&ss->link);
		inlay_map_remove(&s->by_id, &ss->by_id);
		s->nsessions--;
	}
	pthread_mutex_unlock(&s->lock);
	return first;
}

static void close_lanes(struct inlay_session *ss)
{
	pthread_mutex_lock(&ss->lock);
	for (unsigned i = 0; i < INLAY_LANES_MAX; i++) {
		struct lane *la = ss->lanes[i];

		if (!la)
			continue;
		pthread_mutex_lock(&la->lock);
		if (la->peer)
			peer_close_later(la->peer);
		pthread_mutex_unlock(&la->lock);
	}
	pthread_mutex_unlock(&ss->lock);
}

void session_end(struct inlay_session *ss, const char *why)
{
	if (!session_delist(ss))
		return;
	origin_leave(ss->server, ss->origin, true);
	__atomic_store_n(&ss->over, true, __ATOMIC_RELEASE);
	if (why)
		inlay_info("session of %s on export '%s' is over: %s (peer %s)", ss->host, ss->ex->name, why, ss->peer);
	locks_drop(ss->ex->locks, ss, NULL);
	holder_strike(ss);
	handles_close_all(ss);
	close_lanes(ss);
	session_unref(ss);
}

/* Ending takes the server's lock, so that those to end are gathered first. */
static void end_where(struct inlay_server *s, bool (*chosen)(struct inlay_session *ss, const void *arg),
                      const void *arg, const char *why)
{
	for (;;) {
		struct inlay_session *batch[64];
		size_t n = 0;

		pthread_mutex_lock(&s->lock);
		inlay_list_each(it, &s->sessions) {
			struct inlay_session *ss = inlay_container(it, struct inlay_session, link);

			if (n < 64 && chosen(ss, arg))
				batch[n++] = session_ref(ss);
		}
		pthread_mutex_unlock(&s->lock);
		for (size_t i = 0; i < n; i++) {
			session_end(batch[i], why);
			session_unref(batch[i]);
		}
		if (n < 64)
			return;
	}
}

static bool is_on_export(struct inlay_session *ss, const void *ex)
{
	return !ex || ss->ex == ex;
}

void sessions_end(struct inlay_server *s, const struct inlay_export *ex, const char *why)
{
	end_where(s, is_on_export, ex, why);
}

static bool is_expired(struct inlay_session *ss, const void *now_ns)
{
	bool expired;

	if (ss->wake) /* a local one has no connection to lose */
		return false;
	pthread_mutex_lock(&ss->lock);
	expired = !ss->live && *(const uint64_t *)now_ns - ss->lost_ns > ss->server->lease_ms * UINT64_C(1000000);
	pthread_mutex_unlock(&ss->lock);
	return expired;
}

void sessions_expire(struct inlay_server *s)
{
	uint64_t now = clock_ns();

	grace_expire(s);
	end_where(s, is_expired, &now, "not heard from for the lease time");
}

static struct lane *lane_new(struct inlay_session *ss, uint32_t index, uint32_t slots)
{
	struct lane *la = calloc(1, sizeof(*la));

	if (!la)
		return NULL;
	pthread_mutex_init(&la->lock, NULL);
	la->session = ss;
	la->index = index;
	la->slots = inlay_slots_new(slots);
	la->record = ss->record ? record_lane(ss->record, index, session_tag(ss)) : NULL;
	la->busy = calloc(slots, sizeof(la->busy[0]));
	if (la->slots && la->busy)
		return la;
	lane_free(la);
	return NULL;
}

int session_lane(struct inlay_session *ss, uint32_t index, uint32_t slots, struct lane **ret, bool *ret_resumed)
{
	struct lane *la;

	pthread_mutex_lock(&ss->lock);
	la = ss->lanes[index];
	*ret_resumed = la != NULL;
	if (!la)
		la = ss->lanes[index] = lane_new(ss, index, slots);
	pthread_mutex_unlock(&ss->lock);
	if (!la)
		return -INLAY_ENOMEM;
	*ret = la;
	return 0;
}

void session_wake(struct inlay_session *ss, const struct inlay_event_lock_req *e)
{
	struct peer *p = NULL;

	if (ss->wake) {
		ss->wake(ss->wake_arg, e);
		return;
	}
	pthread_mutex_lock(&ss->lock);
	for (unsigned i = 0; i < INLAY_LANES_MAX && !p; i++) {
		struct lane *la = ss->lanes[i];

		if (!la)
			continue;
		pthread_mutex_lock(&la->lock);
		p = la->peer;
		if (p)
			peer_ref(p);
		pthread_mutex_unlock(&la->lock);
	}
	pthread_mutex_unlock(&ss->lock);
	if (!p)
		return; /* a client that comes back asks again for what it waits for */
	peer_event_lock(p, e);
	peer_unref(p);
}

/* ---- local sessions ---- */

static void no_wake(void *arg, const struct inlay_event_lock_req *e)
{
	(void)arg;
	(void)e;
}

int inlay_local_session_new(struct inlay_server *s, const char *export_name,
                            void (*wake)(void *arg, const struct inlay_event_lock_req *e), void *arg,
                            struct inlay_node_id *ret_root, struct inlay_attr *ret_attr, struct inlay_session **ret)
{
	struct inlay_export *ex = export_find(s, inlay_str(export_name));
	struct inlay_session *ss;
	struct inlay_attr attr;
	int r;

	if (!ex)
		return -INLAY_ENOEXPORT;
	r = ex->store->ops->getattr(ex->root, NULL, &attr);
	if (r >= 0)
		r = session_new(ex, &(struct inlay_uuid){{0}}, NULL, &ss);
	if (r < 0) {
		export_unref(ex);
		return r;
	}
	ss->wake_arg = arg;
	ss->wake = wake ? wake : no_wake;
	*ret_root = ex->root_id;
	*ret_attr = attr;
	*ret = session_ref(ss);
	return 0;
}

void inlay_local_session_reclaim(struct inlay_session *ss, const struct inlay_uuid *client, bool had_session)
{
	ss->client = *client;
	ss->reclaim = had_session ? RECLAIM_OPEN : RECLAIM_NONE;
	session_record(ss);
}

uint64_t inlay_local_session_token(const struct inlay_session *ss, const struct inlay_node_id *node, uint32_t flags, uint32_t kind)
{
	return reopen_token(ss, node, flags, kind);
}

bool inlay_local_session_record(struct inlay_session *ss, uint32_t lane, uint16_t type, struct record_ref *ret)
{
	if (!ss->record || lane >= INLAY_LANES_MAX || !redo_is_noted(&(struct inlay_request){.type = type}))
		return false;
	*ret = (struct record_ref){.lane = record_lane(ss->record, lane, session_tag(ss)), .tag = session_tag(ss)};
	return ret->lane;
}

void inlay_local_session_free(struct inlay_session *ss)
{
	session_end(ss, NULL);
	session_unref(ss);
}

int inlay_local_handle_fd(struct inlay_session *ss, uint64_t handle)
{
	struct handle *h = handle_get(ss, handle);
	int fd;

	if (!h)
		return -INLAY_EBADF;
	fd = inlay_store_offers(h->file->store, file_fd) ? h->file->store->ops->file_fd(h->file) : -INLAY_ENOTSUP;
	if (fd >= 0) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			fd = inlay_status_from_errno(errno);
	}
	handle_put(ss, handle);
	return fd;
}

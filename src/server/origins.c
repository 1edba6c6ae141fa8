/*
 * Where connections come from, and how many connections and sessions each place has: none may take all that there are. A
 * place is an address without its port, or a user of a Unix socket. All of a host that tunnels for others are one place.
 *
 * The process's descriptors are shared by what is left of them: a place that holds more than so many times that gets no more, but a
 * session with few of them gets some yet. So one place alone may have most of them, n places get about the same, there are always
 * some for who comes next, and whoever shares a place with one that takes all isn't quite without.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/internal.h"

#include <stdlib.h>
#include <string.h>

#define REFUSALS_NS 1000000000u /* at most one is logged in so long */

/* The part of "10.0.0.1:4000", "[::1]:4000", "unix:pid=7,uid=1000" that tells who it is. */
static struct inlay_str who(const char *name)
{
	const char *uid = strstr(name, ",uid="), *colon = strrchr(name, ':');

	if (strncmp(name, "unix:", 5) == 0)
		return inlay_str(uid ? uid : name);
	return (struct inlay_str){name, colon ? (uint32_t)(colon - name) : (uint32_t)strlen(name)};
}

static struct origin *find(struct inlay_server *s, struct inlay_str name, uint64_t hash)
{
	for (struct inlay_map_link *l = inlay_map_find(&s->origins, hash); l; l = inlay_map_find_next(l)) {
		struct origin *o = inlay_container(l, struct origin, link);

		if (o->len == name.len && memcmp(o->name, name.p, name.len) == 0)
			return o;
	}
	return NULL;
}

static struct origin *find_or_make(struct inlay_server *s, struct inlay_str name)
{
	uint64_t hash = inlay_siphash(&s->secret, name.p, name.len);
	struct origin *o = find(s, name, hash);

	if (o)
		return o;
	o = calloc(1, sizeof(*o) + name.len);
	if (!o)
		return NULL;
	caller_init(&o->hellos, o);
	o->len = name.len;
	memcpy(o->name, name.p, name.len);
	inlay_map_add(&s->origins, &o->link, hash);
	return o;
}

bool origin_may_complain(struct inlay_server *s)
{
	uint64_t now = clock_ns(), last = __atomic_load_n(&s->refused_ns, __ATOMIC_RELAXED);

	return (!last || now - last >= REFUSALS_NS) &&
	       __atomic_compare_exchange_n(&s->refused_ns, &last, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* ---- descriptors ---- */

bool origin_may_take(struct inlay_server *s, const struct origin *o, uint32_t share)
{
	uint32_t taken = __atomic_load_n(&s->descriptors, __ATOMIC_RELAXED);
	uint64_t left = s->descriptors_max > taken ? s->descriptors_max - taken : 0;

	if (!o || !s->descriptors_max)
		return true;
	return left && __atomic_load_n(&o->descriptors, __ATOMIC_RELAXED) <= share * left;
}

struct record_place *origin_records(struct inlay_server *s, struct origin *o)
{
	struct record_place *p;

	pthread_mutex_lock(&s->origins_lock);
	if (!o->records)
		o->records = calloc(1, sizeof(*o->records));
	p = o->records;
	if (p && !p->refs)
		p->refs = 1;
	pthread_mutex_unlock(&s->origins_lock);
	return p;
}

bool session_may_take(const struct inlay_session *ss, uint32_t share)
{
	uint32_t small = INLAY_FILES_SMALL / (1 + __atomic_load_n(&ss->descriptors, __ATOMIC_RELAXED));

	return origin_may_take(ss->server, ss->origin, share + small);
}

void session_take(struct inlay_session *ss, int count)
{
	__atomic_fetch_add(&ss->descriptors, (uint32_t)count, __ATOMIC_RELAXED);
	origin_take(ss->server, ss->origin, count);
}

void origin_take(struct inlay_server *s, struct origin *o, int count)
{
	if (!o)
		return;
	__atomic_fetch_add(&o->descriptors, (uint32_t)count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->descriptors, (uint32_t)count, __ATOMIC_RELAXED);
}

/* ---- connections and sessions ---- */

int origin_enter(struct inlay_server *s, const char *name, struct origin **ret)
{
	struct origin *o;
	int r = -INLAY_ENOMEM;

	pthread_mutex_lock(&s->origins_lock);
	o = find_or_make(s, who(name));
	if (o)
		r = o->conns < s->peer_conns_max && origin_may_take(s, o, INLAY_CONNS_SHARE) ? 0 : -INLAY_EMFILE;
	if (r < 0 && o && !o->refs) { /* it is new, and there is nothing left */
		inlay_map_remove(&s->origins, &o->link);
		free(o);
	}
	if (r == 0) {
		origin_take(s, o, 1);
		o->conns++;
		o->refs++;
		*ret = o;
	}
	pthread_mutex_unlock(&s->origins_lock);
	return r;
}

int origin_enter_session(struct inlay_server *s, struct origin *o)
{
	int r = -INLAY_ELIMIT;

	pthread_mutex_lock(&s->origins_lock);
	if (o->sessions < s->peer_sessions_max) {
		o->sessions++;
		o->refs++;
		r = 0;
	}
	pthread_mutex_unlock(&s->origins_lock);
	return r;
}

void origin_leave(struct inlay_server *s, struct origin *o, bool session)
{
	if (!o)
		return;
	pthread_mutex_lock(&s->origins_lock);
	if (session)
		o->sessions--;
	else
		o->conns--;
	if (!session)
		origin_take(s, o, -1);
	pthread_mutex_unlock(&s->origins_lock);
}

void origin_put(struct inlay_server *s, struct origin *o)
{
	bool last;

	if (!o)
		return;
	pthread_mutex_lock(&s->origins_lock);
	last = --o->refs == 0;
	if (last)
		inlay_map_remove(&s->origins, &o->link);
	pthread_mutex_unlock(&s->origins_lock);
	if (!last)
		return;
	record_place_put(o->records);
	free(o);
}

/*
 * What names stood for when the server was started.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/before.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

struct old_name {
	struct inlay_map_link link;
	uint64_t hash[2];
	struct seen seen;
};

struct before {
	uint64_t until_ns;
	bool over; /* atomic */
	pthread_mutex_t lock;
	/* under lock: */
	struct inlay_map names;
};

struct before *before_new(uint64_t until_ns)
{
	struct before *b = calloc(1, sizeof(*b));

	if (!b || inlay_map_init(&b->names) < 0) {
		free(b);
		return NULL;
	}
	b->until_ns = until_ns;
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

static void drop(struct inlay_map_link *link, void *arg)
{
	struct before *b = arg;

	inlay_map_remove(&b->names, link);
	free(inlay_container(link, struct old_name, link));
}

static void drop_all(struct before *b)
{
	pthread_mutex_lock(&b->lock);
	inlay_map_each(&b->names, drop, b);
	pthread_mutex_unlock(&b->lock);
}

void before_free(struct before *b)
{
	if (!b)
		return;
	drop_all(b);
	inlay_map_done(&b->names);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

bool before_is_kept(struct before *b)
{
	if (!b || __atomic_load_n(&b->over, __ATOMIC_RELAXED))
		return false;
	if (clock_ns() < b->until_ns)
		return true;
	if (!__atomic_exchange_n(&b->over, true, __ATOMIC_RELAXED))
		drop_all(b);
	return false;
}

/* Two hashes: a directory's id is signed, so that nobody makes names meet. */
static void hash_of(const struct inlay_node_id *dir, struct inlay_str name, uint64_t ret[2])
{
	static const struct inlay_hash_key keys[2] = {{{0x6265666f, 1}}, {{0x6265666f, 2}}};
	uint8_t text[sizeof(dir->bytes) + INLAY_NAME_MAX];

	memcpy(text, dir->bytes, sizeof(dir->bytes));
	memcpy(text + sizeof(dir->bytes), name.p, name.len);
	for (unsigned i = 0; i < 2; i++)
		ret[i] = inlay_siphash(&keys[i], text, sizeof(dir->bytes) + name.len);
}

static struct old_name *find_locked(struct before *b, const uint64_t hash[2])
{
	for (struct inlay_map_link *l = inlay_map_find(&b->names, hash[0]); l; l = inlay_map_find_next(l)) {
		struct old_name *o = inlay_container(l, struct old_name, link);

		if (o->hash[1] == hash[1])
			return o;
	}
	return NULL;
}

void before_keep(struct before *b, const struct inlay_node_id *dir, struct inlay_str name, const struct seen *now)
{
	struct old_name *o = calloc(1, sizeof(*o));

	if (!o)
		return; /* as if it had not been changed */
	hash_of(dir, name, o->hash);
	o->seen = *now;
	pthread_mutex_lock(&b->lock);
	if (b->names.count < INLAY_OLD_NAMES_MAX && !find_locked(b, o->hash)) {
		inlay_map_add(&b->names, &o->link, o->hash[0]);
		o = NULL;
	}
	pthread_mutex_unlock(&b->lock);
	free(o);
}

bool before_find(struct before *b, const struct inlay_node_id *dir, struct inlay_str name, struct seen *ret)
{
	const struct old_name *o;
	uint64_t hash[2];

	if (!b)
		return false;
	hash_of(dir, name, hash);
	pthread_mutex_lock(&b->lock);
	o = find_locked(b, hash);
	if (o)
		*ret = o->seen;
	pthread_mutex_unlock(&b->lock);
	return o;
}

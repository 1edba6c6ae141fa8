/*
 * One node object per inode, found by id; descriptors of nodes that nobody references are kept for a while.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include <stdlib.h>
#include <string.h>

static atomic_uint idle_all; /* of all stores: the descriptors are the process's */

static uint64_t id_hash(const struct posix_store *s, const struct inlay_store_id *id)
{
	return inlay_siphash(&s->key, id->bytes, id->len);
}

/* From the hash's top: the map takes its buckets from the bottom. */
static struct posix_shard *shard_of(struct posix_store *s, uint64_t hash)
{
	return &s->shards[hash >> 58 & (POSIX_SHARDS - 1)];
}

int posix_cache_init(struct posix_store *s)
{
	for (unsigned i = 0; i < POSIX_SHARDS; i++) {
		int rc = inlay_map_init(&s->shards[i].map);

		if (rc < 0) {
			while (i--)
				inlay_map_done(&s->shards[i].map);
			return rc;
		}
		inlay_list_init(&s->shards[i].lru);
		inlay_list_init(&s->shards[i].gone);
		pthread_mutex_init(&s->shards[i].lock, NULL);
	}
	return 0;
}

static void node_free(struct posix_node *n)
{
	close(n->fd);
	free(n);
}

void posix_cache_done(struct posix_store *s)
{
	posix_cache_trim(s, INT64_MAX, INT64_MAX);
	for (unsigned i = 0; i < POSIX_SHARDS; i++) {
		inlay_map_done(&s->shards[i].map);
		pthread_mutex_destroy(&s->shards[i].lock);
	}
}

/* Both under the shard's lock. */
static void idle_enter(struct posix_store *s, struct posix_shard *shard, struct posix_node *n)
{
	n->idle_ms = posix_now_ms();
	n->in_gone = atomic_load(&n->removed);
	inlay_list_append(n->in_gone ? &shard->gone : &shard->lru, &n->lru);
	if (n->in_gone)
		atomic_fetch_add(&s->gone_count, 1);
}

static void idle_leave(struct posix_store *s, struct posix_node *n)
{
	inlay_list_remove(&n->lru);
	if (n->in_gone)
		atomic_fetch_sub(&s->gone_count, 1);
	atomic_fetch_sub(&s->idle_count, 1);
	atomic_fetch_sub(&idle_all, 1);
}

/* Under the shard's lock: takes an idle node out of the cache. */
static void node_drop(struct posix_store *s, struct posix_shard *shard, struct posix_node *n)
{
	idle_leave(s, n);
	inlay_map_remove(&shard->map, &n->link);
}

/* Under the shard's lock. */
static struct posix_node *shard_find(struct posix_shard *shard, uint64_t hash, const struct inlay_store_id *id)
{
	for (struct inlay_map_link *l = inlay_map_find(&shard->map, hash); l; l = inlay_map_find_next(l)) {
		struct posix_node *n = inlay_container(l, struct posix_node, link);

		if (n->id.len == id->len && memcmp(n->id.bytes, id->bytes, id->len) == 0)
			return n;
	}
	return NULL;
}

/* Under the shard's lock. */
static void node_take(struct posix_store *s, struct posix_node *n)
{
	if (atomic_fetch_add(&n->refs, 1) == 0)
		idle_leave(s, n);
}

struct posix_node *posix_cache_find(struct posix_store *s, const struct inlay_store_id *id)
{
	uint64_t hash = id_hash(s, id);
	struct posix_shard *shard = shard_of(s, hash);
	struct posix_node *n;

	pthread_mutex_lock(&shard->lock);
	n = shard_find(shard, hash, id);
	if (n)
		node_take(s, n);
	pthread_mutex_unlock(&shard->lock);
	return n;
}

/* The cached node of that identity, or `fresh` put into the cache. */
static struct posix_node *cache_settle(struct posix_store *s, struct posix_node *fresh)
{
	uint64_t hash = id_hash(s, &fresh->id);
	struct posix_shard *shard = shard_of(s, hash);
	struct posix_node *n;

	pthread_mutex_lock(&shard->lock);
	n = shard_find(shard, hash, &fresh->id);
	if (n) {
		node_take(s, n);
	} else {
		inlay_map_add(&shard->map, &fresh->link, hash);
		n = fresh;
	}
	pthread_mutex_unlock(&shard->lock);
	return n;
}

int posix_cache_add(struct posix_store *s, int fd, struct posix_node **ret, struct inlay_attr *ret_attr)
{
	struct posix_node *fresh = calloc(1, sizeof(*fresh)), *n;
	struct statx stx;
	int rc = fresh ? posix_statx(fd, &stx) : -INLAY_ENOMEM;

	if (rc >= 0)
		rc = posix_id_of(s, fd, &stx, &fresh->id);
	if (rc < 0) {
		close(fd);
		free(fresh);
		return rc;
	}
	fresh->base.store = &s->base;
	fresh->fd = fd;
	fresh->type = stx.stx_mode & S_IFMT;
	atomic_init(&fresh->refs, 1);
	inlay_list_init(&fresh->lru);
	n = cache_settle(s, fresh);
	if (n != fresh)
		node_free(fresh);
	if (ret_attr)
		posix_attr(&stx, ret_attr);
	*ret = n;
	return 0;
}

void posix_cache_removed(struct posix_store *s, const struct inlay_store_id *id)
{
	uint64_t hash = id_hash(s, id);
	struct posix_shard *shard = shard_of(s, hash);
	struct posix_node *n;

	pthread_mutex_lock(&shard->lock);
	n = shard_find(shard, hash, id);
	if (n)
		atomic_store(&n->removed, true);
	if (n && atomic_load(&n->refs) == 0 && !n->in_gone) {
		inlay_list_remove(&n->lru);
		idle_enter(s, shard, n);
	}
	pthread_mutex_unlock(&shard->lock);
	posix_reaper_poke(s);
}

/* Under the shard's lock: moves what came before a time from one of its lists to `dead`. */
static unsigned list_trim(struct posix_store *s, struct posix_shard *shard, struct inlay_list *list, int64_t before_ms,
                          struct inlay_list *dead)
{
	unsigned count = 0;

	for (; !inlay_list_empty(list); count++) {
		struct posix_node *n = inlay_container(list->next, struct posix_node, lru);

		if (n->idle_ms >= before_ms)
			break;
		node_drop(s, shard, n);
		inlay_list_append(dead, &n->lru);
	}
	return count;
}

unsigned posix_cache_trim(struct posix_store *s, int64_t idle_ms, int64_t gone_ms)
{
	struct inlay_list dead;
	unsigned count = 0;

	inlay_list_init(&dead);
	for (unsigned i = 0; i < POSIX_SHARDS; i++) {
		struct posix_shard *shard = &s->shards[i];

		pthread_mutex_lock(&shard->lock);
		count += list_trim(s, shard, &shard->lru, idle_ms, &dead);
		count += list_trim(s, shard, &shard->gone, gone_ms, &dead);
		pthread_mutex_unlock(&shard->lock);
	}
	for (struct inlay_list *l = inlay_list_pop(&dead); l; l = inlay_list_pop(&dead))
		node_free(inlay_container(l, struct posix_node, lru));
	return count;
}

void posix_node_ref(struct posix_node *n)
{
	atomic_fetch_add(&n->refs, 1);
}

/* The last reference, under the shard's lock. Returns a node to free: this one, an older one, or none. */
static struct posix_node *node_idle(struct posix_store *s, struct posix_shard *shard, struct posix_node *n)
{
	unsigned idle = atomic_fetch_add(&s->idle_count, 1) + 1, all = atomic_fetch_add(&idle_all, 1) + 1;

	idle_enter(s, shard, n);
	if (s->base.ops->pins_nodes)
		; /* nothing finds it again */
	else if (idle > s->idle_max || all > s->idle_all_max)
		n = inlay_container(inlay_list_empty(&shard->gone) ? shard->lru.next : shard->gone.next, struct posix_node, lru);
	else
		return NULL;
	node_drop(s, shard, n);
	return n;
}

void posix_node_unref(struct posix_node *n)
{
	struct posix_store *s = posix_node_store(n);
	struct posix_shard *shard = shard_of(s, n->link.hash);
	unsigned refs = atomic_load(&n->refs);
	struct posix_node *dead;

	while (refs > 1)
		if (atomic_compare_exchange_weak(&n->refs, &refs, refs - 1))
			return;
	pthread_mutex_lock(&shard->lock);
	if (atomic_fetch_sub(&n->refs, 1) > 1) {
		pthread_mutex_unlock(&shard->lock);
		return;
	}
	dead = node_idle(s, shard, n);
	pthread_mutex_unlock(&shard->lock);
	if (dead)
		node_free(dead);
	else
		posix_reaper_poke(s);
}

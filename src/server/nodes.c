/*
 * Node ids as clients see them, and the nodes that a session keeps alive.
 *
 *   0            4                          32         40
 *   | len, zeros | the store's id, zeros    | SipHash  |
 *
 * The tag's key is the export's: an id that was invented, or is another export's, is stale and nothing else.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "base/limits.h"
#include "server/internal.h"

#include <stdlib.h>
#include <string.h>

#define TAG_OFF 32

_Static_assert(4 + sizeof(((struct inlay_store_id *)0)->bytes) == TAG_OFF, "the picture above");
_Static_assert(TAG_OFF + 8 == sizeof(struct inlay_node_id), "the picture above");

struct pin {
	struct inlay_map_link link;
	struct inlay_node_id id;
	struct inlay_store_node *node;
	uint64_t count; /* replies that named it */
};

void node_id_make(const struct inlay_export *ex, struct inlay_store_node *n, struct inlay_node_id *ret)
{
	struct inlay_store_id id = {0};

	n->store->ops->node_id(n, &id);
	memset(ret, 0, sizeof(*ret));
	inlay_store32(ret->bytes, id.len);
	memcpy(ret->bytes + 4, id.bytes, id.len);
	inlay_store64(ret->bytes + TAG_OFF, inlay_siphash(&ex->key, ret->bytes, TAG_OFF));
}

int node_get(struct inlay_session *ss, const struct inlay_node_id *id, struct inlay_store_node **ret)
{
	struct inlay_export *ex = ss->ex;
	struct inlay_store_id sid = {.len = inlay_load32(id->bytes)};

	if (memcmp(id->bytes, ex->root_id.bytes, sizeof(id->bytes)) == 0) {
		ex->store->ops->node_ref(ex->root);
		*ret = ex->root;
		return 0;
	}
	if (sid.len > sizeof(sid.bytes) ||
	    inlay_load64(id->bytes + TAG_OFF) != inlay_siphash(&ex->key, id->bytes, TAG_OFF))
		return -INLAY_ESTALE;
	memcpy(sid.bytes, id->bytes + 4, sid.len);
	return ex->store->ops->node_find(ex->store, &sid, ret);
}

void node_put(struct inlay_store_node *n)
{
	n->store->ops->node_unref(n);
}

bool node_same(struct inlay_store_node *a, struct inlay_store_node *b)
{
	struct inlay_store_id x = {0}, y = {0};

	if (a == b)
		return true;
	a->store->ops->node_id(a, &x);
	b->store->ops->node_id(b, &y);
	return x.len == y.len && memcmp(x.bytes, y.bytes, x.len) == 0;
}

/* ---- pins ---- */

static struct pin *pin_find(struct inlay_session *ss, const struct inlay_node_id *id)
{
	struct inlay_map_link *l = inlay_map_find(&ss->nodes, inlay_load64(id->bytes + TAG_OFF));

	for (; l; l = inlay_map_find_next(l)) {
		struct pin *p = inlay_container(l, struct pin, link);

		if (memcmp(p->id.bytes, id->bytes, sizeof(id->bytes)) == 0)
			return p;
	}
	return NULL;
}

static void pin_free(struct inlay_session *ss, struct pin *p)
{
	node_put(p->node);
	session_take(ss, -1);
	free(p);
}

static int pin_add(struct inlay_session *ss, struct inlay_store_node *n, const struct inlay_node_id *id)
{
	struct pin *p = calloc(1, sizeof(*p)), *found;
	bool full = false;

	if (!p)
		return -INLAY_ENOMEM;
	pthread_mutex_lock(&ss->lock);
	found = pin_find(ss, id);
	if (found) {
		found->count++;
	} else if (ss->nodes.count >= INLAY_PINS_MAX || !session_may_take(ss, INLAY_FILES_SHARE)) {
		full = true;
	} else {
		p->id = *id;
		p->node = n;
		p->count = 1;
		n->store->ops->node_ref(n);
		session_take(ss, 1);
		inlay_map_add(&ss->nodes, &p->link, inlay_load64(id->bytes + TAG_OFF));
	}
	pthread_mutex_unlock(&ss->lock);
	if (found || full)
		free(p);
	return full ? -INLAY_ENFILE : 0;
}

int node_give(struct inlay_session *ss, struct inlay_store_node *n, struct inlay_node_id *ret)
{
	node_id_make(ss->ex, n, ret);
	return n->store->ops->pins_nodes ? pin_add(ss, n, ret) : 0;
}

void node_forget(struct inlay_session *ss, const struct inlay_node_id *id, uint64_t count)
{
	struct pin *p;

	pthread_mutex_lock(&ss->lock);
	p = pin_find(ss, id);
	if (p && p->count > count) {
		p->count -= count;
		p = NULL;
	} else if (p) {
		inlay_map_remove(&ss->nodes, &p->link);
	}
	pthread_mutex_unlock(&ss->lock);
	if (p)
		pin_free(ss, p);
}

static void pin_drop(struct inlay_map_link *link, void *arg)
{
	pin_free(arg, inlay_container(link, struct pin, link));
}

static void removed_put(struct inlay_session *ss, struct inlay_store_node *n)
{
	node_put(n);
	session_take(ss, -1);
}

void node_keep_removed(struct inlay_session *ss, struct inlay_store_node *n)
{
	struct inlay_store_node **place, *oldest;

	if (!session_may_take(ss, INLAY_FILES_SHARE)) {
		node_put(n);
		return;
	}
	session_take(ss, 1);
	pthread_mutex_lock(&ss->lock);
	place = &ss->removed[ss->next_removed++ % (sizeof(ss->removed) / sizeof(ss->removed[0]))];
	oldest = *place;
	*place = n;
	pthread_mutex_unlock(&ss->lock);
	if (oldest)
		removed_put(ss, oldest);
}

void nodes_drop(struct inlay_session *ss)
{
	for (size_t i = 0; i < sizeof(ss->removed) / sizeof(ss->removed[0]); i++)
		if (ss->removed[i])
			removed_put(ss, ss->removed[i]);
	inlay_map_each(&ss->nodes, pin_drop, ss);
	inlay_map_done(&ss->nodes);
}

/*
 * The node table.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/nodes.h"

#include "base/list.h"
#include "base/status.h"
#include "base/table.h"
#include "redirect/estate.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX (1u << 26)

struct inlay_nodes {
	struct inlay_hash_key seed;
	struct inlay_table *table;           /* number -> node */
	struct inlay_node *root;
	struct inlay_estate *estate;         /* NULL: nobody takes over */
	pthread_mutex_t lock;                /* map, and of every node: lookups, pins, parent, name */
	struct inlay_map map[INLAY_SIDES];   /* identity -> node */
	pthread_mutex_t freed_lock;          /* of the rest */
	struct inlay_node *freed;            /* to be freed by who is freeing */
	bool freeing;
};

/*
 * The last reference to a node may be the last to its parent, and so on up: a chain as deep as someone's directories.
 * Nodes that are freed while another is wait on a list instead of going deeper; whoever is at it frees them, too.
 */
static void free_node(void *object, void *arg)
{
	struct inlay_nodes *ns = arg;
	struct inlay_node *n = object;

	pthread_mutex_lock(&ns->freed_lock);
	n->next_freed = ns->freed;
	ns->freed = n;
	if (ns->freeing) {
		pthread_mutex_unlock(&ns->freed_lock);
		return;
	}
	ns->freeing = true;
	while ((n = ns->freed)) {
		ns->freed = n->next_freed;
		pthread_mutex_unlock(&ns->freed_lock);
		inlay_estate_node_gone(ns->estate, n->table_id);
		inlay_node_put(n->parent);
		free(n->name);
		free(n);
		pthread_mutex_lock(&ns->freed_lock);
	}
	ns->freeing = false;
	pthread_mutex_unlock(&ns->freed_lock);
}

static uint64_t id_hash(const struct inlay_nodes *ns, const struct inlay_node_id *id)
{
	return inlay_siphash(&ns->seed, id->bytes, sizeof id->bytes);
}

static struct inlay_node *from_link(struct inlay_map_link *link, int side)
{
	return inlay_container(link - side, struct inlay_node, link);
}

static struct inlay_node *find_locked(struct inlay_nodes *ns, int side, const struct inlay_node_id *id)
{
	struct inlay_map_link *link = inlay_map_find(&ns->map[side], id_hash(ns, id));

	for (; link; link = inlay_map_find_next(link)) {
		struct inlay_node *n = from_link(link, side);

		if (memcmp(n->id[side].bytes, id->bytes, sizeof id->bytes) == 0)
			return n;
	}
	return NULL;
}

static void add_side_locked(struct inlay_node *n, int side, const struct inlay_node_id *id)
{
	n->id[side] = *id;
	inlay_map_add(&n->nodes->map[side], &n->link[side], id_hash(n->nodes, id));
	atomic_store_explicit(&n->has[side], true, memory_order_release);
}

static struct inlay_node *make_node(struct inlay_nodes *ns, uint32_t type)
{
	struct inlay_node *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->nodes = ns;
	n->type = type;
	inlay_list_init(&n->held);
	if (inlay_table_add(ns->table, n, &n->table_id) < 0) {
		free(n);
		return NULL;
	}
	n->number = n->table_id;
	return n;
}

int inlay_nodes_new(const struct inlay_hash_key *seed, const struct inlay_node_id *root_id[INLAY_SIDES],
                    struct inlay_nodes **ret)
{
	struct inlay_nodes *ns = calloc(1, sizeof *ns);

	if (!ns)
		return -INLAY_ENOMEM;
	ns->seed = *seed;
	pthread_mutex_init(&ns->lock, NULL);
	pthread_mutex_init(&ns->freed_lock, NULL);
	ns->table = inlay_table_new(NODES_MAX, free_node, ns);
	if (!ns->table || inlay_map_init(&ns->map[0]) < 0 || inlay_map_init(&ns->map[1]) < 0)
		goto fail;
	ns->root = make_node(ns, 0040000);
	if (!ns->root)
		goto fail;
	ns->root->number = INLAY_ROOT_NUMBER;
	for (int side = 0; side < INLAY_SIDES; side++)
		if (root_id[side])
			add_side_locked(ns->root, side, root_id[side]);
	*ret = ns;
	return 0;
fail:
	inlay_nodes_free(ns);
	return -INLAY_ENOMEM;
}

void inlay_nodes_keep(struct inlay_nodes *ns, struct inlay_estate *estate)
{
	ns->estate = estate;
}

static void drop_parent(uint64_t id, void *object, void *arg)
{
	struct inlay_node *n = object, *parent = n->parent;

	(void)id, (void)arg;
	n->parent = NULL; /* children come after their parents in the table: it must find each with one reference */
	inlay_node_put(parent);
}

void inlay_nodes_free(struct inlay_nodes *ns)
{
	if (!ns)
		return;
	ns->estate = NULL;
	if (ns->table)
		inlay_table_each(ns->table, drop_parent, NULL);
	inlay_table_free(ns->table);
	inlay_map_done(&ns->map[0]);
	inlay_map_done(&ns->map[1]);
	pthread_mutex_destroy(&ns->lock);
	pthread_mutex_destroy(&ns->freed_lock);
	free(ns);
}

struct inlay_node *inlay_node_get(struct inlay_nodes *ns, uint64_t number)
{
	return inlay_table_get(ns->table, number == INLAY_ROOT_NUMBER ? ns->root->table_id : number);
}

struct inlay_node *inlay_node_of_table(struct inlay_nodes *ns, uint64_t table_id)
{
	return inlay_table_get(ns->table, table_id);
}

struct inlay_node *inlay_node_ref(struct inlay_node *n)
{
	struct inlay_node *same = inlay_table_get(n->nodes->table, n->table_id);

	/* NULL: the kernel has forgotten it; only a holder of a reference may still use it, and must not spread it. */
	return same;
}

void inlay_node_put(struct inlay_node *n)
{
	if (n)
		inlay_table_put(n->nodes->table, n->table_id);
}

static bool is_above_locked(const struct inlay_node *n, const struct inlay_node *dir)
{
	for (; dir; dir = dir->parent)
		if (dir == n)
			return true;
	return false;
}

/*
 * Notes where the node was seen last. A failed allocation keeps the old name, which serves as well; so does a place
 * beneath itself, which a directory seems to have when others moved it and not every name on the way was seen since.
 */
static bool rename_locked(struct inlay_node *n, struct inlay_node *parent, struct inlay_str name,
                          struct inlay_node **ret_old_parent)
{
	bool moved = n->parent != parent;
	char *copy;

	*ret_old_parent = NULL;
	if (n->number == INLAY_ROOT_NUMBER || n == parent)
		return false;
	if (!moved && strlen(n->name) == name.len && memcmp(n->name, name.p, name.len) == 0)
		return false;
	if (moved && n->parent && is_above_locked(n, parent))
		return false;
	copy = strndup(name.p, name.len);
	if (!copy)
		return false;
	if (moved && !inlay_node_ref(parent)) { /* forgotten meanwhile */
		free(copy);
		return false;
	}
	free(n->name);
	n->name = copy;
	if (moved) {
		*ret_old_parent = n->parent;
		n->parent = parent;
	}
	return true;
}

static void unmap_locked(struct inlay_nodes *ns, struct inlay_node *n)
{
	for (int side = 0; side < INLAY_SIDES && !n->replaced; side++)
		if (n->has[side])
			inlay_map_remove(&ns->map[side], &n->link[side]);
	n->replaced = true; /* as is one that was forgotten */
	inlay_estate_node(ns->estate, n, false);
}

/* Identities never change within a node, as operations read them without a lock. */
static bool is_another_locked(struct inlay_node *n, const struct inlay_node_id *ids[INLAY_SIDES], unsigned absent)
{
	for (int side = 0; side < INLAY_SIDES; side++) {
		if (!n->has[side])
			continue;
		if (absent & 1u << side || (ids[side] && memcmp(ids[side], &n->id[side], sizeof n->id[side]) != 0))
			return n->number != INLAY_ROOT_NUMBER;
	}
	return false;
}

static struct inlay_node *learn_locked(struct inlay_nodes *ns, uint32_t type, const struct inlay_node_id *ids[INLAY_SIDES],
                                       unsigned absent)
{
	struct inlay_node *n = NULL, *old, *owner;

	for (int side = 0; side < INLAY_SIDES && !n; side++)
		if (ids[side])
			n = find_locked(ns, side, ids[side]);
	old = n && is_another_locked(n, ids, absent) ? n : NULL;
	if (old || !n || !inlay_node_ref(n)) {
		n = make_node(ns, type);
		if (!n)
			return NULL;
		inlay_node_ref(n);
		if (old)
			unmap_locked(ns, old);
	}
	for (int side = 0; side < INLAY_SIDES; side++) {
		if (!ids[side])
			continue;
		/* Another node may have this identity, and keeps it as long as it lives: then the pin is its, too. */
		owner = find_locked(ns, side, ids[side]);
		if (!owner && !n->has[side]) {
			add_side_locked(n, side, ids[side]);
			owner = n;
		}
		if (owner)
			owner->pins[side]++;
		if (owner && owner != n)
			inlay_estate_node(ns->estate, owner, false);
	}
	n->lookups++;
	return n;
}

struct inlay_node *inlay_node_learn(struct inlay_node *parent, struct inlay_str name, uint32_t type,
                                    const struct inlay_node_id *ids[INLAY_SIDES], unsigned absent)
{
	struct inlay_nodes *ns = parent->nodes;
	struct inlay_node *n, *old_parent = NULL;
	bool placed;

	pthread_mutex_lock(&ns->lock);
	n = learn_locked(ns, type, ids, absent);
	placed = n && rename_locked(n, parent, name, &old_parent);
	if (n)
		inlay_estate_node(ns->estate, n, placed);
	pthread_mutex_unlock(&ns->lock);
	inlay_node_put(old_parent);
	return n;
}

bool inlay_node_add_side(struct inlay_node *n, enum inlay_side side, const struct inlay_node_id *id)
{
	struct inlay_nodes *ns = n->nodes;
	bool is_it;

	pthread_mutex_lock(&ns->lock);
	/* One that is forgotten or replaced must not get into the map: nobody would take it out. */
	if (!n->has[side] && !n->replaced && !find_locked(ns, (int)side, id))
		add_side_locked(n, (int)side, id);
	is_it = n->has[side] && memcmp(&n->id[side], id, sizeof *id) == 0;
	n->pins[side] += is_it;
	inlay_estate_node(ns->estate, n, false);
	pthread_mutex_unlock(&ns->lock);
	return is_it;
}

bool inlay_node_hold(struct inlay_node *n)
{
	bool held;

	pthread_mutex_lock(&n->nodes->lock);
	held = (n->lookups || n->holds) && inlay_node_ref(n);
	n->holds += held;
	pthread_mutex_unlock(&n->nodes->lock);
	return held;
}

void inlay_node_unhold(struct inlay_node *n)
{
	pthread_mutex_lock(&n->nodes->lock);
	n->holds--;
	pthread_mutex_unlock(&n->nodes->lock);
}

bool inlay_node_forget(struct inlay_nodes *ns, uint64_t number, uint64_t count, struct inlay_forgotten *ret)
{
	struct inlay_node *n = inlay_node_get(ns, number);
	bool gone = false;

	if (!n)
		return false;
	pthread_mutex_lock(&ns->lock);
	n->lookups -= count < n->lookups ? count : n->lookups;
	if (n->lookups == 0 && !n->holds && n != ns->root && inlay_table_remove(ns->table, n->table_id) == 0) {
		gone = true;
		unmap_locked(ns, n);
		for (int side = 0; side < INLAY_SIDES; side++) {
			ret->id[side] = n->id[side];
			ret->pins[side] = n->pins[side];
		}
	} else {
		inlay_estate_node(ns->estate, n, false);
	}
	pthread_mutex_unlock(&ns->lock);
	inlay_node_put(n);
	return gone;
}

/* Writes the components back to front, so that one walk up suffices. */
static int path_locked(const struct inlay_node *dir, struct inlay_str name, char *buf, size_t cap)
{
	char *p = buf + cap - 1;
	size_t len;

	*p = '\0';
	for (; name.len || dir->parent; dir = dir->parent) {
		if ((size_t)(p - buf) < name.len + 1)
			return -INLAY_ENAMETOOLONG;
		if (name.len) {
			if (*p)
				*--p = '/';
			p -= name.len;
			memcpy(p, name.p, name.len);
		}
		if (!dir->parent)
			break;
		name = inlay_str(dir->name);
	}
	len = (size_t)(buf + cap - 1 - p);
	memmove(buf, p, len + 1);
	return (int)len;
}

int inlay_node_path(struct inlay_node *dir, struct inlay_str name, char *buf, size_t cap)
{
	int len;

	pthread_mutex_lock(&dir->nodes->lock);
	len = path_locked(dir, name, buf, cap);
	pthread_mutex_unlock(&dir->nodes->lock);
	return len;
}

struct inlay_node *inlay_node_parent(struct inlay_node *n, char name[INLAY_NAME_MAX + 1])
{
	struct inlay_node *parent = NULL;

	pthread_mutex_lock(&n->nodes->lock);
	if (n->parent) {
		parent = inlay_node_ref(n->parent);
		strncpy(name, n->name, INLAY_NAME_MAX);
		name[INLAY_NAME_MAX] = '\0';
	}
	pthread_mutex_unlock(&n->nodes->lock);
	return parent;
}

uint64_t inlay_nodes_count(const struct inlay_nodes *ns)
{
	return inlay_table_count(ns->table);
}

/* ---- of another process ---- */

void inlay_nodes_begin(struct inlay_nodes *ns, uint32_t life)
{
	inlay_table_begin_at(ns->table, (life << 20) + 1);
}

int inlay_node_revive(struct inlay_nodes *ns, const struct inlay_node_past *p)
{
	struct inlay_node *n;

	if (p->number == ns->root->table_id)
		return 0;
	n = calloc(1, sizeof *n);
	if (!n)
		return -INLAY_ENOMEM;
	*n = (struct inlay_node){.number = p->number, .type = p->type, .nodes = ns, .table_id = p->number, .lookups = p->lookups,
	                         .pins = {p->pins[0], p->pins[1]}, .replaced = p->replaced};
	inlay_list_init(&n->held);
	n->name = strdup("");
	if (!n->name || !inlay_table_restore(ns->table, n, p->number)) {
		free(n->name);
		free(n);
		return -INLAY_ENOMEM;
	}
	for (int side = 0; side < INLAY_SIDES; side++) {
		if (!p->has[side])
			continue;
		if (!n->replaced && find_locked(ns, side, &p->id[side]))
			n->replaced = true; /* killed in the middle of making another one of it */
		n->id[side] = p->id[side];
		atomic_store(&n->has[side], true);
	}
	for (int side = 0; side < INLAY_SIDES && !n->replaced; side++)
		if (n->has[side])
			inlay_map_add(&ns->map[side], &n->link[side], id_hash(ns, &n->id[side]));
	return 0;
}

int inlay_node_place(struct inlay_nodes *ns, uint64_t number, uint64_t parent, struct inlay_str name)
{
	struct inlay_node *n = inlay_table_get(ns->table, number), *above, *old = NULL;

	if (!n)
		return -INLAY_EINVAL;
	above = inlay_table_get(ns->table, parent);
	if (!above)
		above = inlay_node_ref(ns->root); /* forgotten, and its own row gone: rules may judge by another path */
	if (n != ns->root && !n->parent)
		(void)rename_locked(n, above, name, &old);
	inlay_node_put(above);
	inlay_node_put(n);
	return 0;
}

static void settle(uint64_t id, void *object, void *arg)
{
	struct inlay_nodes *ns = arg;
	struct inlay_node *n = object;

	if (n->lookups || n == ns->root)
		return;
	unmap_locked(ns, n);
	(void)inlay_table_remove(ns->table, id);
}

void inlay_nodes_settle(struct inlay_nodes *ns)
{
	inlay_table_each(ns->table, settle, ns);
}

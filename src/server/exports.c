/*
 * Exports: what a name stands for. Added and removed while sessions run.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/internal.h"
#include "server/locks.h"

#include <stdlib.h>
#include <string.h>

struct inlay_export *export_find(struct inlay_server *s, struct inlay_str name)
{
	struct inlay_export *found = NULL;

	pthread_mutex_lock(&s->lock);
	inlay_list_each(it, &s->exports) {
		struct inlay_export *ex = inlay_container(it, struct inlay_export, link);

		if (inlay_str_is(name, ex->name)) {
			__atomic_add_fetch(&ex->refs, 1, __ATOMIC_RELAXED);
			found = ex;
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void export_free(struct inlay_export *ex)
{
	grace_free(ex);
	locks_free(ex->locks);
	free(ex->name);
	free(ex->rules);
	free(ex->user);
	free(ex);
}

void export_unref(struct inlay_export *ex)
{
	if (__atomic_sub_fetch(&ex->refs, 1, __ATOMIC_ACQ_REL))
		return;
	node_put(ex->root);
	ex->store->ops->close(ex->store);
	export_free(ex);
}

/* A key of its own for each name: the same over restarts, and ids of one export mean nothing to another. */
static struct inlay_hash_key export_key(const struct inlay_hash_key *secret, const char *name)
{
	uint8_t text[1 + 255];
	size_t len = strlen(name);
	struct inlay_hash_key key;

	memcpy(text + 1, name, len);
	text[0] = 'a';
	key.k[0] = inlay_siphash(secret, text, len + 1);
	text[0] = 'b';
	key.k[1] = inlay_siphash(secret, text, len + 1);
	return key;
}

static int export_new(struct inlay_server *s, const struct inlay_export_config *config, struct inlay_export **ret)
{
	struct inlay_export *ex = calloc(1, sizeof(*ex));
	int r = -INLAY_ENOMEM;

	if (!ex)
		return r;
	ex->server = s;
	ex->refs = 1;
	inlay_list_init(&ex->grace);
	ex->name = strdup(config->name);
	ex->rules = strdup(config->rules ? config->rules : "");
	ex->store = config->store;
	ex->readonly = config->readonly;
	ex->identity_client = config->identity_client;
	ex->locks = locks_new();
	if (config->user && (ex->user = malloc(sizeof(*ex->user))))
		*ex->user = *config->user;
	if (ex->name && ex->rules && ex->locks && (!config->user || ex->user))
		r = ex->store->ops->root(ex->store, &ex->root);
	if (r < 0) {
		export_free(ex);
		return r;
	}
	ex->key = export_key(&s->secret, ex->name);
	node_id_make(ex, ex->root, &ex->root_id);
	*ret = ex;
	return 0;
}

static bool name_taken(struct inlay_server *s, const char *name)
{
	inlay_list_each(it, &s->exports)
		if (strcmp(inlay_container(it, struct inlay_export, link)->name, name) == 0)
			return true;
	return false;
}

int inlay_server_export_add(struct inlay_server *s, const struct inlay_export_config *config)
{
	size_t len = strlen(config->name);
	struct inlay_export *ex;
	bool taken;
	int r;

	if (!len || len > 255 || strchr(config->name, '/'))
		return -INLAY_EINVAL;
	if (config->rules && strlen(config->rules) > INLAY_RULES_MAX)
		return -INLAY_EINVAL;
	r = export_new(s, config, &ex);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	taken = name_taken(s, config->name);
	if (!taken) {
		grace_begin(ex);
		inlay_list_append(&s->exports, &ex->link);
	}
	pthread_mutex_unlock(&s->lock);
	if (!taken)
		return 0;
	node_put(ex->root);
	export_free(ex);
	return -INLAY_EEXIST;
}

int inlay_server_export_remove(struct inlay_server *s, const char *name)
{
	struct inlay_export *ex = export_find(s, inlay_str(name));
	bool listed;

	if (!ex)
		return -INLAY_ENOEXPORT;
	pthread_mutex_lock(&s->lock);
	listed = !inlay_list_empty(&ex->link); /* of two removers one wins */
	inlay_list_remove(&ex->link);
	pthread_mutex_unlock(&s->lock);
	if (listed) {
		sessions_end(s, ex, "the export was removed");
		export_unref(ex);
	}
	export_unref(ex);
	return listed ? 0 : -INLAY_ENOEXPORT;
}

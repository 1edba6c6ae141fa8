/*
 * A session's open files. What a client gets is the table's id under the session's salt.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/locks.h"

#include <stdlib.h>
#include <string.h>

static void handle_release(void *object, void *arg)
{
	struct handle *h = object;

	(void)arg;
	/* Here, and not in CLOSE: a LOCK on another thread may have come between. */
	if (__atomic_load_n(&h->locked, __ATOMIC_ACQUIRE))
		locks_drop(h->session->ex->locks, h->session, h);
	h->file->store->ops->file_unref(h->file);
	free(h->cred);
	free(h);
}

int handles_init(struct inlay_session *ss)
{
	ss->handles = inlay_table_new(INLAY_HANDLES_MAX, handle_release, NULL);
	return ss->handles ? 0 : -INLAY_ENOMEM;
}

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
		r = table_add(ss, h, ret_id);
	}
	if (r >= 0)
		return 0;
	f->store->ops->file_unref(f);
	if (h)
		free(h->cred);
	free(h);
	return r == -INLAY_ELIMIT ? -INLAY_EMFILE : r;
}

struct handle *handle_get(struct inlay_session *ss, uint64_t id)
{
	return inlay_table_get(ss->handles, id ^ ss->handle_salt);
}

void handle_put(struct inlay_session *ss, uint64_t id)
{
	inlay_table_put(ss->handles, id ^ ss->handle_salt);
}

int handle_close(struct inlay_session *ss, uint64_t id)
{
	return inlay_table_remove(ss->handles, id ^ ss->handle_salt);
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

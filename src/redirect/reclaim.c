/*
 * What was open on a server that was restarted, opened there again: some files at a time, each with its locks.
 *
 *   REOPEN --ok--> LOCK ... LOCK --ok--> the next file          at the end, once: RECLAIM_DONE
 *     |             | refused: a program that thinks it holds a lock must not go on without it
 *     v             v
 *   the handle means nothing to the server: whatever is asked of it gives ESTALE <--- CLOSE
 *
 * When all are done and the host had crashed, resend.c sends again what was written to them, ahead of RECLAIM_DONE.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/reclaim.h"

#include "redirect/listing.h"

#include <stdlib.h>

/* The handle of the file's remote half; 0: it has none. */
static uint64_t remote_handle(const struct inlay_file *f)
{
	if (f->side == INLAY_REMOTE)
		return f->handle;
	return f->listing ? inlay_listing_remote_handle(f->listing) : 0;
}

static void forget_changes(uint64_t number, void *object, void *arg)
{
	struct inlay_file *f = object;

	(void)number, (void)arg;
	if (f->side == INLAY_REMOTE)
		atomic_store(&f->node->synced, atomic_load(&f->node->changes));
}

/* What was written without being synced may be gone: told where it isn't kept. */
static void take_crash(struct reclaim *rc)
{
	rc->redirect->kept.due = true;
	rc->lost = inlay_unsynced_drop_gaps(rc->redirect, 0);
	inlay_table_each(rc->redirect->files, forget_changes, rc);
}

/* What has lost its locks stays stale, though it could be opened: its program thinks that it holds them. */
static bool is_over(struct inlay_redirect *r, const struct inlay_file *f)
{
	bool over;

	pthread_mutex_lock(&r->held_lock);
	over = f->locks_over;
	pthread_mutex_unlock(&r->held_lock);
	return over;
}

static void collect(uint64_t number, void *object, void *arg)
{
	struct reclaim *rc = arg;
	struct inlay_file *f = object;

	/* Of each open file by itself, as a local file's errors are. */
	if (rc->crashed && atomic_load(&f->node->changes) != atomic_load(&f->node->synced))
		inlay_unsynced_tell(rc->redirect, f);
	if (!remote_handle(f) || is_over(rc->redirect, f))
		return;
	if (rc->count == rc->cap) {
		size_t cap = rc->cap ? 2 * rc->cap : 64;
		uint64_t *grown = realloc(rc->numbers, cap * sizeof *grown);

		if (!grown) {
			rc->stale++; /* without memory to note it */
			return;
		}
		rc->numbers = grown;
		rc->cap = cap;
	}
	rc->numbers[rc->count++] = number;
}

static void reclaim_free(struct reclaim *rc)
{
	free(rc->numbers);
	free(rc);
}

static void item_idle(struct reclaim_item *it)
{
	inlay_file_put(it->reclaim->redirect, it->file);
	it->file = NULL;
	it->kept = NULL;
}

/* The last answer has come. */
static void end(struct reclaim *rc)
{
	bool over = !rc->canceled;
	const struct inlay_reclaim_ops *ops = rc->ops;
	void *arg = rc->arg;
	unsigned files = rc->files, stale = rc->stale, lost = rc->lost;

	reclaim_free(rc);
	if (over)
		ops->over(arg, files, stale, lost);
}

void reclaim_send(struct reclaim_item *it, struct inlay_writer *w, void (*done)(struct inlay_call *c, const struct inlay_reply *r))
{
	it->call.done = done;
	if (inlay_call_end(&it->call, w) < 0) /* unreachable: the room is for the largest */
		abort();
	it->reclaim->busy++;
	it->reclaim->ops->send(it->reclaim->arg, &it->call);
}

bool reclaim_answered(struct reclaim_item *it, const struct inlay_reply *r)
{
	struct reclaim *rc = it->reclaim;

	rc->busy--;
	if (r->status == -INLAY_ECANCELED)
		rc->canceled = true;
	if (!rc->canceled)
		return false;
	item_idle(it);
	if (!rc->busy)
		end(rc);
	return true;
}

static void closed(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);

	if (reclaim_answered(it, r))
		return;
	item_idle(it);
	reclaim_go_on(it);
}

static void drop_locks(struct reclaim_item *it)
{
	if (it->file->side == INLAY_REMOTE)
		inlay_held_drop(it->reclaim->redirect, it->file);
}

static void give_up(struct reclaim_item *it)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_CLOSE, it->room, sizeof it->room);

	it->reclaim->stale++;
	drop_locks(it);
	inlay_put_close_req(&w, &(struct inlay_close_req){.handle = it->file->handle});
	reclaim_send(it, &w, closed);
}

static void next_lock(struct reclaim_item *it);

static void locked(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);

	if (reclaim_answered(it, r))
		return;
	if (r->status < 0)
		give_up(it);
	else
		next_lock(it);
}

static void next_lock(struct reclaim_item *it)
{
	struct inlay_redirect *r = it->reclaim->redirect;
	struct inlay_lock_req req;
	struct inlay_writer w;

	if (atomic_load(&it->file->lock_untold)) {
		give_up(it);
		return;
	}
	/* What a merged directory has is locked locally. */
	if (it->file->side != INLAY_REMOTE || !inlay_held_next(r, it->file, it->reclaim->run, &req)) {
		it->reclaim->files++;
		item_idle(it);
		reclaim_go_on(it);
		return;
	}
	w = inlay_call_begin(&it->call, INLAY_LOCK, it->room, sizeof it->room);
	inlay_put_lock_req(&w, &req);
	reclaim_send(it, &w, locked);
}

static void reopened(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);

	if (reclaim_answered(it, r))
		return;
	if (r->status == 0) {
		next_lock(it);
		return;
	}
	it->reclaim->stale++;
	drop_locks(it);
	item_idle(it);
	reclaim_go_on(it);
}

static void reopen(struct reclaim_item *it)
{
	struct inlay_file *f = it->file;
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_REOPEN, it->room, sizeof it->room);
	struct inlay_reopen_req req;

	req.handle = remote_handle(f);
	req.node = f->node->id[INLAY_REMOTE];
	req.cred.uid = req.cred.gid = req.cred.ngroups = 0;
	if (f->cred)
		inlay_cred_copy(&req.cred, f->cred);
	req.flags = f->is_dir ? 0 : f->flags & (uint32_t)INLAY_O_AGAIN;
	req.kind = f->is_dir ? INLAY_REOPEN_DIR : INLAY_REOPEN_FILE;
	req.token = f->token;
	inlay_put_reopen_req(&w, &req);
	reclaim_send(it, &w, reopened);
}

static void told(struct inlay_call *c, const struct inlay_reply *r)
{
	struct reclaim_item *it = inlay_container(c, struct reclaim_item, call);

	if (!reclaim_answered(it, r))
		end(it->reclaim);
}

/* Every file is there. */
static void resend_all(struct reclaim *rc)
{
	rc->resends = true;
	for (unsigned i = 0; i < RECLAIM_AT_A_TIME && rc->redirect->kept.due && !rc->canceled; i++)
		if (!resend_next(&rc->item[i]))
			break;
}

/* The last item left says that this was all. */
static void tell_done(struct reclaim_item *it)
{
	struct inlay_writer w = inlay_call_begin(&it->call, INLAY_RECLAIM_DONE, it->room, sizeof it->room);

	it->reclaim->told = true;
	it->reclaim->redirect->kept.due = false;
	reclaim_send(it, &w, told);
}

void reclaim_go_on(struct reclaim_item *it)
{
	struct reclaim *rc = it->reclaim;

	while (rc->next < rc->count && !it->file)
		it->file = inlay_file_get(rc->redirect, rc->numbers[rc->next++]);
	if (it->file) {
		reopen(it);
		return;
	}
	if (rc->resends && resend_next(it))
		return;
	if (rc->busy || rc->told)
		return;
	rc->busy++; /* ours, so that nothing ends before all have begun */
	if (!rc->resends)
		resend_all(rc);
	rc->busy--;
	if (!rc->busy && rc->canceled)
		end(rc);
	else if (!rc->busy)
		tell_done(it);
}

static uint32_t new_run(struct inlay_redirect *r)
{
	uint32_t run;

	pthread_mutex_lock(&r->held_lock);
	run = ++r->reclaims;
	pthread_mutex_unlock(&r->held_lock);
	return run;
}

int inlay_redirect_reclaim(struct inlay_redirect *r, const struct inlay_uuid *boot, const struct inlay_reclaim_ops *ops, void *arg)
{
	struct reclaim *rc = calloc(1, sizeof *rc);

	if (!rc)
		return -INLAY_ENOMEM;
	rc->redirect = r;
	rc->ops = ops;
	rc->arg = arg;
	rc->run = new_run(r);
	rc->crashed = memcmp(&r->boot, boot, sizeof *boot) != 0;
	r->boot = *boot;
	inlay_table_each(r->files, collect, rc);
	if (rc->crashed)
		take_crash(rc);
	rc->busy = 1; /* ours, so that nothing ends before all have begun */
	for (unsigned i = 0; i < RECLAIM_AT_A_TIME; i++) {
		rc->item[i].reclaim = rc;
		inlay_list_init(&rc->item[i].call.link);
		if (!rc->canceled)
			reclaim_go_on(&rc->item[i]);
	}
	rc->busy--;
	if (!rc->busy && rc->canceled)
		end(rc);
	else if (!rc->busy)
		reclaim_go_on(&rc->item[0]);
	return 0;
}

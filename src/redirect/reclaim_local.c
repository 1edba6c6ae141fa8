/*
 * What another process had open on the local side, opened again: one file after the other, each with its locks.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/op.h"

#include <stdlib.h>

#define ROOM (INLAY_FRAME_HEADER + 128u + 4u * INLAY_GROUPS_MAX)

struct local_reclaim {
	struct inlay_redirect *redirect;
	const struct inlay_local_reclaim_ops *ops;
	void *arg;
	uint32_t run;
	unsigned stale;
	struct inlay_call call;
	uint8_t room[ROOM];
};

static int execute(struct local_reclaim *lr, struct inlay_writer *w)
{
	int err = inlay_call_end(&lr->call, w);

	return err < 0 ? err : lr->ops->execute(lr->arg, &lr->call);
}

static int reopen(struct local_reclaim *lr, const struct inlay_file *f)
{
	struct inlay_writer w = inlay_call_begin(&lr->call, INLAY_REOPEN, lr->room, sizeof lr->room);
	struct inlay_reopen_req req;

	req.handle = f->handle;
	req.node = f->node->id[INLAY_LOCAL];
	req.cred.uid = req.cred.gid = req.cred.ngroups = 0;
	if (f->cred)
		inlay_cred_copy(&req.cred, f->cred);
	req.flags = f->is_dir ? 0 : f->flags & (uint32_t)INLAY_O_AGAIN;
	req.kind = f->is_dir ? INLAY_REOPEN_DIR : INLAY_REOPEN_FILE;
	req.token = lr->ops->token(lr->arg, &req.node, req.flags, req.kind);
	inlay_put_reopen_req(&w, &req);
	return execute(lr, &w);
}

static int lock_again(struct local_reclaim *lr, struct inlay_file *f)
{
	struct inlay_lock_req req;
	int err = atomic_load(&f->lock_untold) ? -INLAY_ESTALE : 0;

	while (err == 0 && inlay_held_next(lr->redirect, f, lr->run, &req)) {
		struct inlay_writer w = inlay_call_begin(&lr->call, INLAY_LOCK, lr->room, sizeof lr->room);

		inlay_put_lock_req(&w, &req);
		err = execute(lr, &w);
	}
	return err;
}

static void reclaim_one(uint64_t number, void *object, void *arg)
{
	struct local_reclaim *lr = arg;
	struct inlay_file *f = object;
	struct inlay_writer w;
	int err;

	(void)number;
	if (f->side != INLAY_LOCAL || f->locks_over)
		return;
	err = reopen(lr, f);
	if (err < 0) {
		lr->stale++;
		inlay_held_drop(lr->redirect, f);
		return;
	}
	err = lock_again(lr, f);
	if (err == 0)
		return;
	lr->stale++;
	inlay_held_drop(lr->redirect, f);
	w = inlay_call_begin(&lr->call, INLAY_CLOSE, lr->room, sizeof lr->room);
	inlay_put_close_req(&w, &(struct inlay_close_req){.handle = f->handle});
	(void)execute(lr, &w);
}

unsigned inlay_redirect_reclaim_local(struct inlay_redirect *r, const struct inlay_local_reclaim_ops *ops, void *arg)
{
	struct local_reclaim lr = {.redirect = r, .ops = ops, .arg = arg, .run = ++r->reclaims};
	struct inlay_writer w;

	inlay_table_each(r->files, reclaim_one, &lr);
	w = inlay_call_begin(&lr.call, INLAY_RECLAIM_DONE, lr.room, sizeof lr.room);
	(void)execute(&lr, &w);
	return lr.stale;
}

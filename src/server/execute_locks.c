/*
 * Handlers of locks, and of what is reclaimed after a restart.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

/* ---- locks ---- */

static int lock_check(uint32_t kind, uint32_t type, uint32_t type_max, uint64_t start, uint64_t end)
{
	if (kind > INLAY_LOCK_FLOCK || type > type_max || start > end || end > LOCK_END_MAX)
		return -INLAY_EINVAL;
	return 0;
}

/* A POSIX lock needs the file open for what it guards; flock does not. */
static int lock_mode_ok(const struct handle *h, uint32_t kind, uint32_t type)
{
	uint32_t mode = h->file->flags & INLAY_O_ACCMODE;

	if (kind == INLAY_LOCK_FLOCK || type == INLAY_LOCK_UNLOCK)
		return 0;
	return mode == (type == INLAY_LOCK_READ ? INLAY_O_WRONLY : INLAY_O_RDONLY) ? -INLAY_EBADF : 0;
}

/* In the grace period only what was held before is given out, to those who held it; at other times, only the rest. */
static int lock_time_ok(const struct exec *x, const struct inlay_lock_req *m)
{
	if (m->flags == INLAY_LOCK_RECLAIM && m->type != INLAY_LOCK_UNLOCK &&
	    __atomic_load_n(&x->ss->reclaim, __ATOMIC_ACQUIRE) == RECLAIM_OPEN)
		return grace_claims(x->ss) ? 0 : -INLAY_ENOLCK;
	if (m->flags & ~(uint32_t)INLAY_LOCK_WAIT)
		return -INLAY_EINVAL;
	return m->type != INLAY_LOCK_UNLOCK && grace_holds(x->ss) ? -INLAY_EQUEUED : 0;
}

int exec_lock(struct exec *x)
{
	struct inlay_lock_req m;
	struct handle *h;
	int r = EXEC_DECODE(x, lock, &m);

	if (r < 0 || (r = lock_check(m.kind, m.type, INLAY_LOCK_UNLOCK, m.start, m.end)) < 0)
		return r;
	if ((r = lock_time_ok(x, &m)) < 0)
		return r;
	h = handle_get(x->ss, m.handle);
	if (!h)
		return -INLAY_EBADF;
	r = lock_mode_ok(h, m.kind, m.type);
	if (r >= 0 && m.type != INLAY_LOCK_UNLOCK)
		holder_enroll(x->ss);
	if (r >= 0)
		r = locks_set(x->ex->locks, h, &m);
	handle_put(x->ss, m.handle);
	return r;
}

int exec_testlock(struct exec *x)
{
	struct inlay_testlock_req m;
	struct inlay_testlock_rep rep;
	struct handle *h;
	int r = EXEC_DECODE(x, testlock, &m);

	if (r < 0 || (r = lock_check(m.kind, m.type, INLAY_LOCK_WRITE, m.start, m.end)) < 0)
		return r;
	if (grace_holds(x->ss))
		return -INLAY_EQUEUED;
	h = handle_get(x->ss, m.handle);
	if (!h)
		return -INLAY_EBADF;
	locks_test(x->ex->locks, h, &m, &rep);
	handle_put(x->ss, m.handle);
	inlay_put_testlock_rep(&x->out, &rep);
	return 0;
}

int exec_lock_cancel(struct exec *x)
{
	struct inlay_lock_cancel_req m;
	struct handle *h;
	int r = EXEC_DECODE(x, lock_cancel, &m);

	if (r < 0)
		return r;
	if (m.kind > INLAY_LOCK_FLOCK)
		return -INLAY_EINVAL;
	h = handle_get(x->ss, m.handle);
	if (!h)
		return -INLAY_EBADF;
	locks_cancel(x->ex->locks, h, m.owner, m.kind);
	handle_put(x->ss, m.handle);
	return 0;
}

/* ---- reclaim ---- */

static int reopen(struct exec *x, const struct inlay_reopen_req *m, struct inlay_store_node *n)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int r;

	/* The token has shown that it was open so: what its permissions say by now is as irrelevant as for any open file. */
	if (m->kind == INLAY_REOPEN_DIR)
		r = x->ops->opendir(n, NULL, &f);
	else
		r = x->ops->open(n, NULL, m->flags, &f, &attr);
	if (r < 0)
		return r;
	return handle_add_old(x->ss, f, m->kind == INLAY_REOPEN_DIR ? exec_cred(x, &m->cred) : NULL, m->handle);
}

int exec_reopen(struct exec *x)
{
	struct inlay_reopen_req m;
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, reopen, &m);

	if (r < 0)
		return r;
	if (__atomic_load_n(&x->ss->reclaim, __ATOMIC_ACQUIRE) != RECLAIM_OPEN || m.kind > INLAY_REOPEN_DIR || !m.handle ||
	    m.flags & ~(uint32_t)INLAY_O_AGAIN)
		return -INLAY_EINVAL;
	if (m.token != reopen_token(x->ss, &m.node, m.flags, m.kind))
		return -INLAY_ESTALE;
	if ((r = exec_open_flags_ok(x, m.flags)) < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	r = reopen(x, &m, n);
	node_put(n);
	return r;
}

int exec_reclaim_done(struct exec *x)
{
	struct inlay_reclaim_done_req m;
	int r = EXEC_DECODE(x, reclaim_done, &m);

	if (r < 0)
		return r;
	handles_fix(x->ss);
	grace_done(x->ss);
	return 0;
}

/*
 * Programs that are killed while a request of theirs is under way. The kernel lets none of them go before it has an answer: so
 * they get one at once, and the request goes on to its end without them.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Any signal interrupts a request, once, and most signals are to be handled by the program afterwards: it must not learn that
 * its rename, which may be done, was interrupted. So the caller is looked at now and then until it is known to be dying.
 */
#include "intercept/fuse/channel.h"

#include "os/caller.h"

#define LOOK_AGAIN_NS (200 * 1000000ull)

static bool is_watched(const struct inlay_fuse_channel *ch, uint64_t unique, struct inlay_fuse_request **ret)
{
	inlay_list_each(it, &ch->inflight) {
		struct inlay_fuse_request *rq = inlay_container(it, struct inlay_fuse_request, link);

		if (rq->unique == unique && rq->watched) {
			*ret = rq;
			return true;
		}
	}
	return false;
}

/* What was never sent ends here; anything else has an outcome, but nobody to tell it to. */
static void let_go(struct inlay_fuse_request *rq)
{
	struct inlay_fuse_channel *ch = rq->channel;
	struct inlay_side_port *port = rq->op.redirect->port[rq->op.side];
	uint64_t unique = rq->unique;

	if (port->cancel)
		port->cancel(port, rq->op.lane, &rq->op.call);
	if (!is_watched(ch, unique, &rq))
		return;
	rq->watched = false;
	inlay_fuse_answer_early(rq, -INLAY_EINTR);
}

static struct inlay_fuse_request *next_dying(struct inlay_fuse_channel *ch, bool *ret_watching)
{
	*ret_watching = false;
	inlay_list_each(it, &ch->inflight) {
		struct inlay_fuse_request *rq = inlay_container(it, struct inlay_fuse_request, link);

		if (rq->watched && inlay_caller_is_dying(rq->pid))
			return rq;
		*ret_watching |= rq->watched;
	}
	return NULL;
}

static void look(struct inlay_timer *t)
{
	struct inlay_fuse_channel *ch = inlay_container(t, struct inlay_fuse_channel, look);
	struct inlay_loop *loop = inlay_crew_loop(ch->fuse->config.crew, ch->lane);
	struct inlay_fuse_request *rq;
	bool watching;

	while ((rq = next_dying(ch, &watching)))
		let_go(rq);
	if (watching)
		inlay_timer_start(loop, t, inlay_loop_now(loop) + LOOK_AGAIN_NS);
}

void inlay_fuse_watch_init(struct inlay_fuse_channel *ch)
{
	inlay_timer_init(&ch->look, look);
}

void inlay_fuse_watch(struct inlay_fuse_request *rq, bool now)
{
	struct inlay_fuse_channel *ch = rq->channel;
	struct inlay_loop *loop = inlay_crew_loop(ch->fuse->config.crew, ch->lane);

	rq->watched = true;
	if (now || !ch->look.loop)
		inlay_timer_start(loop, &ch->look, inlay_loop_now(loop) + (now ? 0 : LOOK_AGAIN_NS));
}

/*
 * Event loops: each is run by one thread at a time, its owner; everything a loop holds is touched by the owner only.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A blocking call never stalls a loop, and a quick one costs no thread switch: inlay_loop_run() makes the call on the
 * owner's own thread, and if it takes too long, a watcher hands the loop to a spare thread (the way Go's scheduler
 * hands off a processor whose thread is in a system call). The late thread finds out when its call returns, posts
 * its result and joins the spares.
 *
 * What is here is the same on every host. What makes a source ready is the host's: descriptors on Linux (net/linux/source.h),
 * completions and event handles on Windows (net/windows/completion.h, net/windows/wait.h).
 */
#ifndef INLAY_NET_LOOP_H
#define INLAY_NET_LOOP_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct inlay_crew; /* the threads: owners, spares and the watcher */
struct inlay_loop;

/* Something on a loop that is called when it is ready. Embedded by its user. */
struct inlay_source {
	int fd;          /* the user's: a descriptor or socket */
	uint32_t events; /* the host's: what is now waited for */
	/*
	 * Owner thread. May remove and free the source. See inlay_loop_run about returning at once. events: what the host says; 0
	 * when called by inlay_loop_again.
	 */
	void (*ready)(struct inlay_source *s, uint32_t events);
	struct inlay_loop *loop; /* set while added */
	struct inlay_list again; /* on the loop's list of sources to call without waiting */
};

/* Work whose result comes back to a loop. Embedded by its user. */
struct inlay_task {
	struct inlay_list link;
	void (*work)(struct inlay_task *t); /* may block; any thread; must touch nothing that a loop owns */
	void (*done)(struct inlay_task *t); /* on the loop's owner; may free the task */
	struct inlay_loop *loop;
};

/* Intrusive, so that starting one can't fail; any number of them cost O(log n). Prepare with inlay_timer_init. */
struct inlay_timer {
	struct inlay_timer *child, *next, *prev; /* private: the loop's pairing heap */
	struct inlay_loop *loop;                 /* set while it runs */
	uint64_t due_ns;                         /* loop time */
	void (*fire)(struct inlay_timer *t); /* owner thread; may start it again */
};

/* Called before the loop would sleep and after each batch of events: the place to flush what was gathered. */
struct inlay_hook {
	struct inlay_list link;
	void (*run)(struct inlay_hook *h);
};

struct inlay_crew_config {
	unsigned loops;         /* 1.. ; how many loops */
	unsigned spares_max;    /* threads beside the owners, made when needed; at least 1 */
	unsigned spin_us;       /* how long an owner polls before it sleeps, only while requests are few and flowing; 0 = never */
	unsigned handoff_us;    /* a call longer than this loses its loop; 0 = 1000 */
};

/* Makes crew and loops; no thread runs yet. 0 or a status. */
int inlay_crew_new(const struct inlay_crew_config *config, struct inlay_crew **ret);
struct inlay_loop *inlay_crew_loop(struct inlay_crew *c, unsigned i);
unsigned inlay_crew_loops(const struct inlay_crew *c);
/* Starts the threads, all signals blocked in them. 0 or a status (then none runs). */
int inlay_crew_start(struct inlay_crew *c);
/*
 * Asks the loops to stop once their present batch is done, and joins all threads but those stuck in a call for longer
 * than 5 s. Offloaded tasks are still worked on; what is then still posted has its done() run on the calling thread,
 * which counts as the loops' owner meanwhile. So each task's done runs once, unless a thread is stuck: then what is left
 * stays undone. Not from a crew thread.
 */
void inlay_crew_stop(struct inlay_crew *c);
/* After stop: a thread, or a read of a ring, is stuck for good, and may still use what its task refers to. */
bool inlay_crew_is_stuck(const struct inlay_crew *c);
/* After stop, or instead of start. What is stuck keeps what it uses: then nothing is freed. */
void inlay_crew_free(struct inlay_crew *c);

/* ---- on the owner's thread; before inlay_crew_start() on the thread that prepares the loop ---- */

/* Monotonic ns; read once per batch, so it costs nothing. */
uint64_t inlay_loop_now(const struct inlay_loop *l);
/* Makes it the loop's, and not any more: then ready() is called no more. A host's own calls do this, too. */
void inlay_loop_attach(struct inlay_loop *l, struct inlay_source *s);
void inlay_loop_detach(struct inlay_source *s);
/* Has ready(s, 0) called again in the next round without waiting for the host. */
void inlay_loop_again(struct inlay_source *s);
void inlay_loop_not_again(struct inlay_source *s);

void inlay_timer_init(struct inlay_timer *t, void (*fire)(struct inlay_timer *t));
void inlay_timer_start(struct inlay_loop *l, struct inlay_timer *t, uint64_t due_ns); /* moves it if it runs */
void inlay_timer_stop(struct inlay_timer *t);
void inlay_hook_add(struct inlay_loop *l, struct inlay_hook *h);
void inlay_hook_remove(struct inlay_hook *h);

/*
 * Runs t->work on this thread now. True: it was quick, t->done has run. False: it was slow and the loop belongs to another
 * thread now, which will run (or has run) t->done: the caller must return up to the loop at once and touch neither the task nor anything
 * the loop owns. Whatever remains to be done must have been arranged before (inlay_loop_again; unread bytes stay in
 * level-triggered sockets; completions not yet looked at are the new owner's).
 */
bool inlay_loop_run(struct inlay_loop *l, struct inlay_task *t) __attribute__((warn_unused_result));

/*
 * Counts requests under way (+1, -1). The spin policy looks at it: a loop spins only while at most two are under way
 * and at most two began in the last batch, and only after a batch in which a request began or ended or while one is under way.
 */
void inlay_loop_busy(struct inlay_loop *l, int change);

/* ---- on any thread ---- */

/* Runs t->work on a spare thread, then t->done on the loop. Never fails: without a spare it waits its turn. */
void inlay_loop_offload(struct inlay_loop *l, struct inlay_task *t);
/* Runs t->done on the loop. */
void inlay_loop_post(struct inlay_loop *l, struct inlay_task *t);
/* The loop that the calling thread owns, NULL for none. */
struct inlay_loop *inlay_loop_current(void);

#endif

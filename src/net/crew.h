/*
 * The inside of loops and of the threads that run them; for the files of this room only.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NET_CREW_H
#define INLAY_NET_CREW_H

#include "net/loop.h"

#include <pthread.h>

/*
 * The call word says what the owner does, to the watcher:
 *
 *   sequence | 0   not in a call
 *   sequence | 1   in the call of that number                        owner: store
 *   sequence | 3   the watcher took the loop during that call        watcher: compare and swap from ...1
 *
 * The owner leaves a call by compare and swap from ...1 to ...0 and so learns whether the loop is still its own.
 */
#define INLAY_CALL_IN 1u
#define INLAY_CALL_TAKEN 2u
#define INLAY_CALL_STEP 4u

struct inlay_spin {
	unsigned begun;  /* requests since the last wait */
	bool touched;    /* a request began or ended since the last wait */
	unsigned misses; /* spins in a row that found nothing */
	unsigned skip;   /* occasions to let pass before trying again */
};

/* Everything is the owner's, but what is marked. */
struct inlay_loop {
	struct inlay_crew *crew; /* constant */
	struct inlay_poller *poller; /* constant; the host's events */
	uint64_t now_ns;
	struct inlay_list again, again_now; /* sources: for the next round, left of this one */
	struct inlay_list hooks, hooks_now; /* all but, still to be run in this pass */
	struct inlay_hook *hook;            /* the one running */
	bool in_hooks;
	bool rush; /* a hook was added when its turn was over: don't sleep */
	struct inlay_timer *timers; /* heap's root: the first due */
	struct inlay_list inbox;    /* tasks taken from `posted`, oldest first */
	int busy;
	struct inlay_spin spin;
	struct inlay_uring *uring; /* NULL while there is none */
	bool uring_tried;

	uint64_t call __attribute__((aligned(64))); /* atomic; see above */
	uint64_t watch_call, watch_since;           /* the watcher's: the word it saw and since when */

	struct inlay_list *posted __attribute__((aligned(64))); /* atomic stack, linked by next: newest first */
	uint32_t asleep;                                        /* atomic: a post must wake the poller */
	uint32_t stop;                                          /* atomic */
	struct inlay_list orphan; /* crew->lock: on the crew's list while waiting for an owner */
};

/* Order of locks: lock, watch_lock. */
struct inlay_crew {
	struct inlay_crew_config config; /* constant */
	struct inlay_loop *loops;        /* constant; on cache lines of their own */
	void *loops_room;                /* what they lie in */

	pthread_mutex_t lock;           /* guards down to the next lock */
	pthread_cond_t work;            /* idle threads wait here */
	pthread_cond_t gone;            /* stop waits here for threads that end */
	struct inlay_list workers;      /* all threads but the watcher */
	struct inlay_list orphans;      /* loops without an owner */
	struct inlay_list offloads;     /* tasks not yet begun */
	unsigned orphan_count, offload_count;
	unsigned threads;               /* that have not ended */
	unsigned idle;                  /* of them, without work (or on their way to look for it) */
	unsigned offloading;            /* of them, working on an offloaded task */
	bool stopping;

	pthread_mutex_t watch_lock; /* guards watch_stop and the waiting */
	pthread_cond_t watch_cond;
	bool watch_stop;
	bool watching;           /* the thread exists; start's and stop's */
	pthread_t watcher;
	uint32_t watch_asleep;   /* atomic: a call must wake the watcher */
	uint32_t watch_starved;  /* atomic: a thread could not be made; try again */
};

/* loop.c. init: 0 or a status. own: returns when asked to stop or when the loop was lost to another thread. */
int inlay_loop_init(struct inlay_loop *l, struct inlay_crew *crew);
void inlay_loop_done(struct inlay_loop *l);
void inlay_loop_own(struct inlay_loop *l);
void inlay_loop_ask_stop(struct inlay_loop *l);
/* Runs done() of what is posted, as owner; true when there was something. */
bool inlay_loop_drain(struct inlay_loop *l);

/* timer.c. Fires what is due; false: the loop was lost on the way. next: 0 = none runs. */
bool inlay_timers_fire(struct inlay_loop *l);
uint64_t inlay_timers_next(const struct inlay_loop *l);

/* crew.c: gives a loop whose call is overdue to a spare, if there is one and the call still lasts. */
void inlay_crew_hand_off(struct inlay_crew *c, struct inlay_loop *l, uint64_t call);
void inlay_crew_feed(struct inlay_crew *c); /* makes the threads that could not be made before */

/* watch.c */
int inlay_watch_start(struct inlay_crew *c);
void inlay_watch_stop(struct inlay_crew *c);
void inlay_watch_wake(struct inlay_crew *c); /* any thread; quick when the watcher is awake */

#endif

/*
 * What the files of the server share; nobody outside src/server includes this.
 *
 * Order of locks, outer first: server.lock, session.lock, lane.lock, locks.c's own. Stores are never called with one held.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SERVER_INTERNAL_H
#define INLAY_SERVER_INTERNAL_H

#include "base/hash.h"
#include "base/list.h"
#include "base/status.h"
#include "base/table.h"
#include "server/roster.h"
#include "server/server.h"
#include "session/slots.h"

#include <pthread.h>

struct locks;
struct origin;
struct peer;
struct work;

struct inlay_export {
	struct inlay_server *server;
	struct inlay_list link; /* server.exports, under server.lock */
	uint32_t refs;          /* atomic: the list's, and one per session */
	char *name, *rules;
	struct inlay_store *store;
	struct inlay_store_node *root;
	struct inlay_node_id root_id;
	bool readonly, identity_client;
	struct inlay_cred *user;
	struct inlay_hash_key key; /* signs this export's node ids */
	struct locks *locks;
	struct inlay_list grace; /* clients that may reclaim locks, under server.lock */
	uint32_t grace_left;     /* atomic, changed under server.lock: how many */
};

/* Who has calls made that may block, see calls.c. */
struct caller {
	struct origin *origin;          /* NULL: it is not counted */
	uint32_t calls;                 /* atomic: under way */
	struct inlay_list queue, link;  /* tasks; on server.callers while there are any; under calls_lock */
};

/* A place that connections come from, see origins.c. */
struct origin {
	struct inlay_map_link link;
	uint32_t refs, conns, sessions; /* under origins_lock */
	uint32_t descriptors; /* atomic: of its connections and of what its sessions have open */
	uint32_t calls;       /* atomic: of its sessions and HELLOs */
	struct caller hellos;
	struct record_place *records; /* under origins_lock; NULL: none were asked for */
	uint32_t len;
	char name[]; /* len bytes */
};

enum session_reclaim {
	RECLAIM_NONE,  /* there is nothing to reclaim, and olds is empty */
	RECLAIM_OPEN,  /* olds is filled, under session.lock */
	RECLAIM_OVER,  /* olds changes no more */
};

/* One connection's worth of a session: its slots outlive the connection. */
struct lane {
	struct inlay_session *session;
	uint32_t index;
	pthread_mutex_t lock;
	/* under lock: */
	struct inlay_slots *slots;
	struct record_lane *record; /* NULL: none; fixed */
	struct work **busy; /* per slot, the request under way */
	struct peer *peer;  /* the connection, referenced; NULL for none */
};

struct inlay_session {
	struct inlay_server *server;
	struct inlay_export *ex; /* referenced */
	struct inlay_list link;  /* server.sessions, under server.lock */
	struct inlay_map_link by_id;
	uint32_t refs; /* atomic: the server's, one per attached connection and per request */
	struct inlay_uuid id, client;
	char host[128], peer[128]; /* for logs */
	/* On an export with identity=client, who acts for all that is asked; NULL: whoever each request names. Fixed by HELLO. */
	struct inlay_cred *as;
	struct inlay_table *handles;
	uint64_t handle_salt; /* a handle of another session, or of an earlier server, means nothing here */
	struct record *record; /* of its replies; NULL for none */
	/* Handles of sessions before this one, by which the client still calls what it has opened again. */
	struct inlay_map olds;
	struct origin *origin; /* who opened it; counted there. NULL: a local one */
	struct caller caller;
	int reclaim;          /* atomic: enum session_reclaim */
	uint32_t enrolled;    /* atomic: its place in the roster + 1, 0 for none */
	bool told_to_wait;    /* atomic: a lock was put off for the grace period */
	bool over;            /* atomic: ended; requests under way finish, new ones fail */
	uint32_t locks_held;  /* under the lock of locks.c */
	uint32_t descriptors; /* atomic: that it holds, see origins.c */
	/* local sessions: */
	void (*wake)(void *arg, const struct inlay_event_lock_req *e);
	void *wake_arg;
	pthread_mutex_t lock;
	/* under lock: */
	struct lane *lanes[INLAY_LANES_MAX];
	unsigned live;    /* lanes with a connection */
	uint64_t lost_ns; /* when live became 0 */
	struct inlay_map nodes; /* pinned ones; used when the store pins */
	/* Directories that this session removed last: a program may still stand in one, and stat(".") must work there. */
	struct inlay_store_node *removed[16];
	unsigned next_removed;
};

/* What each event loop has of the server; touched by its owner only, the counters read by all. */
struct server_loop {
	struct inlay_server *server;
	struct inlay_loop *loop;
	struct inlay_list peers;
	struct inlay_timer tick;
	struct inlay_task start, drain, expire;
	uint64_t ticked_ns;
	bool expiring;
	struct work *spare; /* free list */
	unsigned spares;
	uint64_t requests, bytes_in, bytes_out; /* atomic */
};

struct inlay_server {
	struct inlay_uuid boot;
	struct inlay_hash_key secret;
	uint32_t lease_ms, sessions_max, conns_max, peer_sessions_max, peer_conns_max;
	uint64_t refused_ns; /* atomic: when a refusal was last said */
	uint32_t descriptors_max; /* for connections and what they open; 0: not shared out */
	uint32_t descriptors;     /* atomic: taken of them */
	pthread_mutex_t origins_lock; /* the innermost */
	struct inlay_map origins;     /* under it */
	uint32_t calls_max;           /* 0: not shared out */
	uint32_t calls, calls_queued; /* atomic: under way; waiting */
	pthread_mutex_t calls_lock;   /* an innermost one, too */
	struct inlay_list callers;    /* with queues, under it */
	char *banner;
	struct server_loop *loops;
	unsigned nloops;
	uint32_t next_loop, conns, under_way, locks; /* atomic */
	bool draining;                               /* atomic */
	struct roster *roster;                       /* NULL: no state is kept */
	struct records *records;                     /* the same */
	struct before *before;                       /* NULL without records, or without memory */
	uint64_t grace_end_ns;
	struct inlay_time (*file_clock)(void *arg);
	struct inlay_time (*late_clock)(void *arg);  /* never behind what files have their times from */
	void *file_clock_arg;
	bool grace_over, roster_failed;              /* atomic */
	bool stopping;                               /* being freed */
	int (*identify)(int fd, struct inlay_cred *ret);
	bool unknown_said; /* atomic */
	pthread_mutex_t lock;
	/* under lock: */
	struct inlay_list exports, sessions;
	struct inlay_map by_id;
	uint32_t nsessions;
};

#define HANDLE_DESCRIPTORS 2 /* a file's own, and its node's */
#define RECORD_DESCRIPTORS 1

/* An open file or directory of a session. */
struct handle {
	struct inlay_session *session;
	struct inlay_store_file *file;
	struct inlay_cred *cred; /* directories: who opened it; NULL = the store's own identity */
	bool locked;             /* atomic: a lock may have been taken or waited for through it */
};

/* ---- exports.c ---- */
struct inlay_export *export_find(struct inlay_server *s, struct inlay_str name); /* referenced, or NULL */
void export_unref(struct inlay_export *ex);

/* ---- sessions.c ---- */
uint64_t clock_ns(void);
/* A session of an export, in the server's lists; takes over references to ex and origin (entered) on success. */
int session_new(struct inlay_export *ex, const struct inlay_uuid *client, struct origin *origin, struct inlay_session **ret);
struct inlay_session *session_find(struct inlay_server *s, const struct inlay_uuid *id); /* referenced, or NULL */
struct inlay_session *session_ref(struct inlay_session *ss);
void session_unref(struct inlay_session *ss);
/* Frees its handles and locks and closes its connections; once. why: for the log, NULL for none. Any thread. */
void session_end(struct inlay_session *ss, const char *why);
/* Ends those on ex (NULL: all). */
void sessions_end(struct inlay_server *s, const struct inlay_export *ex, const char *why);
/* Ends those without a connection for longer than the lease. */
void sessions_expire(struct inlay_server *s);
/* The lane, made when new (*ret_resumed false). Its slots are then `slots`. */
int session_lane(struct inlay_session *ss, uint32_t index, uint32_t slots, struct lane **ret, bool *ret_resumed);
/* EVENT_LOCK to whoever holds the session. Any thread, no lock held. */
void session_wake(struct inlay_session *ss, const struct inlay_event_lock_req *e);

/* ---- trust.c ---- */
/*
 * Who acts for this connection, to be freed; NULL for one that may speak for others. May block. Or a status that passes
 * by. peer: for the log.
 */
int trust_judge(struct inlay_server *s, int fd, const char *peer, struct inlay_cred **ret);
/* What trust_judge() found is one user, whatever groups he had. */
bool trust_same(const struct inlay_cred *a, const struct inlay_cred *b);

/* ---- nodes.c ---- */
void node_id_make(const struct inlay_export *ex, struct inlay_store_node *n, struct inlay_node_id *ret);
/* -INLAY_ESTALE for one that this server never signed, or whose file is gone. Referenced. */
int node_get(struct inlay_session *ss, const struct inlay_node_id *id, struct inlay_store_node **ret);
void node_put(struct inlay_store_node *n);
/* Writes the id for a reply, and pins the node for the session when its store wants that. */
int node_give(struct inlay_session *ss, struct inlay_store_node *n, struct inlay_node_id *ret);
void node_forget(struct inlay_session *ss, const struct inlay_node_id *id, uint64_t count);
void nodes_drop(struct inlay_session *ss);
/* Keeps a directory that was just removed findable, until some more have been. Takes over the reference. */
void node_keep_removed(struct inlay_session *ss, struct inlay_store_node *n);
bool node_same(struct inlay_store_node *a, struct inlay_store_node *b);

/* ---- handles.c ---- */
int handles_init(struct inlay_session *ss);
void handles_done(struct inlay_session *ss);
struct inlay_cred *cred_copy(const struct inlay_cred *cred); /* only as large as it needs to be; NULL: out of memory */
/* Takes over the caller's reference to the file, also on failure. */
int handle_add(struct inlay_session *ss, struct inlay_store_file *f, const struct inlay_cred *cred, uint64_t *ret_id);
/* NULL for an invalid one; else handle_put() with the same id must follow. */
struct handle *handle_get(struct inlay_session *ss, uint64_t id);
void handle_put(struct inlay_session *ss, uint64_t id);
/* As handle_add, under a handle of an earlier session; -INLAY_EINVAL when that is in use. */
int handle_add_old(struct inlay_session *ss, struct inlay_store_file *f, const struct inlay_cred *cred, uint64_t old);
/* No more of them come: from now on they are found without a lock. */
void handles_fix(struct inlay_session *ss);
int handle_close(struct inlay_session *ss, uint64_t id);
void handles_close_all(struct inlay_session *ss);

/* ---- reclaim.c ---- */
/* What shows that this client had the node open with these flags. */
uint64_t reopen_token(const struct inlay_session *ss, const struct inlay_node_id *node, uint32_t flags, uint32_t kind);
void grace_begin(struct inlay_export *ex); /* before it is listed */
void grace_free(struct inlay_export *ex);
/* Whether a lock that is no reclaim has to wait: the session is then woken at the end of the grace period. */
bool grace_holds(struct inlay_session *ss);
/* Whether the session's client may have locks back now. */
bool grace_claims(struct inlay_session *ss);
/* The session's client has nothing more to reclaim. */
void grace_done(struct inlay_session *ss);
void grace_expire(struct inlay_server *s);
/* Gives a session that can be reclaimed its record. Before its first request. */
void session_record(struct inlay_session *ss);
/* The session as a request's record names it. */
static inline uint32_t session_tag(const struct inlay_session *ss)
{
	return (uint32_t)ss->id.bytes[0] | (uint32_t)ss->id.bytes[1] << 8 | (uint32_t)ss->id.bytes[2] << 16;
}
/* Before a session's first lock is granted: whoever reads the roster after a restart waits for it. */
void holder_enroll(struct inlay_session *ss);
void holder_strike(struct inlay_session *ss);

/* ---- origins.c: who takes how much ---- */
/*
 * A connection from there: 0 with a reference, or -INLAY_EMFILE when there are too many, -INLAY_ENOMEM. name: as
 * inlay_addr_peer() says it. Any thread.
 */
int origin_enter(struct inlay_server *s, const char *name, struct origin **ret);
/* A session, too: 0 with a reference of its own, or -INLAY_ELIMIT. */
int origin_enter_session(struct inlay_server *s, struct origin *o);
/* One less of what it is; the reference stays. NULL is fine, here and below. */
void origin_leave(struct inlay_server *s, struct origin *o, bool session);
/* Whether a refusal may be logged, once in a while: a flood must not fill the log, too. Any thread. */
bool origin_may_complain(struct inlay_server *s);
/* Whether what it holds leaves it some of the process's descriptors. share: of limits.h. Any thread, as the next. */
bool origin_may_take(struct inlay_server *s, const struct origin *o, uint32_t share);
void origin_take(struct inlay_server *s, struct origin *o, int count); /* negative: gives back */
/* What it has of the records; NULL without memory. The origin's own reference. */
struct record_place *origin_records(struct inlay_server *s, struct origin *o);
/* The same for what a session opens. */
bool session_may_take(const struct inlay_session *ss, uint32_t share);
void session_take(struct inlay_session *ss, int count);
void origin_put(struct inlay_server *s, struct origin *o);

/* ---- calls.c ---- */
void caller_init(struct caller *c, struct origin *o);
/*
 * Before a task is run or offloaded that may block. False: there are too many; it is offloaded to the loop when there are less. Either
 * way call_end() follows its work, once. Owner thread of l; call_end: any.
 */
bool call_begin(struct inlay_server *s, struct caller *c, struct inlay_loop *l, struct inlay_task *t) __attribute__((warn_unused_result));
void call_end(struct inlay_server *s, struct caller *c);

/* ---- peer.c ---- */
void peer_start_loop(struct server_loop *sl); /* owner thread */
void peer_drain_loop(struct server_loop *sl); /* owner thread */
void peer_adopt(struct inlay_server *s, int fd, const char *name);
void peer_ref(struct peer *p);
void peer_unref(struct peer *p);
void peer_close_later(struct peer *p);
void peer_event_lock(struct peer *p, const struct inlay_event_lock_req *e);
void peers_free(struct server_loop *sl);

#endif

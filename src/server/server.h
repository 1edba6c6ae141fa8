/*
 * The server: exports, sessions and the execution of requests. It is handed connected sockets and loops.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The client embeds the same executor for what is judged local (inlay_local_*): one implementation of every
 * operation, whichever side a file lies on.
 */
#ifndef INLAY_SERVER_SERVER_H
#define INLAY_SERVER_SERVER_H

#include "base/hash.h"
#include "net/chunk.h"
#include "net/loop.h"
#include "net/uring.h"
#include "server/record.h"
#include "store/store.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stdio.h>

struct inlay_server;
struct inlay_export;
struct inlay_session;

struct inlay_export_config {
	const char *name;              /* 1-255 bytes, no '/' */
	struct inlay_store *store;     /* taken over */
	bool readonly;
	bool identity_client;          /* act as the caller says; else as `user` */
	const struct inlay_cred *user; /* NULL: as the server's own process */
	const char *rules;             /* suggested to clients, one a line; "" for none */
};

struct inlay_server_config {
	struct inlay_uuid boot;         /* differs at each start of the host: what was not synced may be lost */
	struct inlay_hash_key secret;   /* signs node ids: the same over restarts, known to nobody else */
	uint32_t lease_ms;              /* 0: INLAY_LEASE_MS */
	uint32_t sessions_max, conns_max, peer_sessions_max, peer_conns_max; /* 0: the limits of limits.h */
	uint32_t descriptors;           /* that the process may have; shared out among those who connect. 0: without limit */
	uint32_t calls_max;             /* requests executed at a time, shared out like that; less than the crew's spares. 0: without limit */
	const char *banner;             /* program and version */
	/*
	 * A directory of this server's own, where it notes what must be known after a restart; NULL: nothing is kept. One that
	 * can't be used is warned of, and done without.
	 */
	const char *state_dir;
	/* The clock that files get their times from, as coarse as it is for them. NULL: this host's. */
	struct inlay_time (*file_clock)(void *arg);
	void *file_clock_arg;
	/*
	 * Whose a connection is: 1 with *ret for a user of this host, 0 for another host's, or a status. On exports with
	 * identity_client only who isn't of this host, root, and the server's own user then speak for others; anyone else acts
	 * as himself. Any thread, may block. NULL: all speak for others.
	 */
	int (*identify)(int fd, struct inlay_cred *ret);
};

/* crew: NULL where the server is only used for local sessions. */
int inlay_server_new(const struct inlay_server_config *config, struct inlay_crew *crew, struct inlay_server **ret);
/* After the crew has stopped; closes every session, export and store. */
void inlay_server_free(struct inlay_server *s);

/* Copies the config; -INLAY_EEXIST for a name in use (the store is then still the caller's). Any thread. */
int inlay_server_export_add(struct inlay_server *s, const struct inlay_export_config *config);
/* Sessions on it end, its store closes when the last request is done. Any thread. */
int inlay_server_export_remove(struct inlay_server *s, const char *name);

/*
 * Serves a connected, non-blocking socket; picks the loop (round robin). Any thread. The descriptor is taken over in
 * every case. peer: for logs.
 */
void inlay_server_accept(struct inlay_server *s, int fd, const char *peer);
/* Stops taking connections and requests, lets what is under way finish; connections close when idle. Any thread. */
void inlay_server_drain(struct inlay_server *s);
/* Connections, sessions, requests under way now. Any thread. */
struct inlay_server_counts {
	uint32_t conns, sessions, handles, locks, requests;
	uint64_t requests_total, bytes_in, bytes_out;
};
void inlay_server_counts(struct inlay_server *s, struct inlay_server_counts *ret);

/* ---- requests, for embedding ---- */

#define INLAY_REQUEST_BODY 1024 /* bytes of a reply's body kept inline; a READLINK or HELLO answer takes a chunk */

/*
 * One request, self-contained: it can be executed on any thread. Embedded by its user (a connection of the server, or
 * the client's local side).
 */
struct inlay_request {
	/* In: */
	struct inlay_session *session;
	uint16_t type;
	const uint8_t *body, *data; /* valid until the user is done with the reply */
	uint32_t body_len, data_len;
	bool nowait;                /* -INLAY_EAGAIN rather than wait for a disk (READ only) */
	struct record_ref record;   /* lane NULL, redo false: it is not recorded */
	/* Where READ's payload is wanted, when the user has room for it already; else the executor takes a chunk. */
	uint8_t *data_room;
	uint32_t data_room_len;
	/* Out: */
	int status;                 /* 0 or negative */
	uint8_t reply[INLAY_REQUEST_BODY];
	uint8_t *reply_body;        /* == reply, or in `chunk` */
	uint32_t reply_len;
	uint8_t *reply_data;        /* == data_room, or in `chunk` */
	uint32_t reply_data_len;
	struct inlay_chunk *chunk;  /* owned by the request: inlay_request_done drops it */
	/* Private, while inlay_request_submit has it. */
	struct inlay_uring_op op;
	uint64_t handle;
	void (*submitted)(struct inlay_request *rq, bool executed);
};

/* Whether executing it may take long by its nature (COMMIT, SYNCFS, COPY, big FALLOCATE): give it to a spare thread. */
bool inlay_request_is_slow(const struct inlay_request *rq);
/*
 * Decodes, checks and executes; sets all of Out. May block. Any thread. Hostile bodies give -INLAY_EPROTO: the caller
 * ends the session.
 */
void inlay_request_execute(struct inlay_request *rq);
void inlay_request_done(struct inlay_request *rq);
/*
 * Has a READ (best one that gave -INLAY_EAGAIN; without data_room) executed by the loop's ring, so that no thread waits
 * for the disk. True: submitted() is called later on the loop's owner, with all of Out set, or with
 * executed false: then the request is as new and to be executed. False: it must be executed, nothing is called. Owner thread of l.
 */
bool inlay_request_submit(struct inlay_request *rq, struct inlay_loop *l,
                          void (*submitted)(struct inlay_request *rq, bool executed)) __attribute__((warn_unused_result));

/* A session without a connection, on an export: for the client's local side and tests. wake: as EVENT_LOCK; any thread. */
int inlay_local_session_new(struct inlay_server *s, const char *export_name,
                            void (*wake)(void *arg, const struct inlay_event_lock_req *e), void *arg,
                            struct inlay_node_id *ret_root, struct inlay_attr *ret_attr, struct inlay_session **ret);
/* Before its first request: it is this client's, and may reclaim what the client had in a session before. */
void inlay_local_session_reclaim(struct inlay_session *ss, const struct inlay_uuid *client, bool had_session);
/* The token by which the session may REOPEN this node of its own. kind: enum inlay_reopen_kind. */
uint64_t inlay_local_session_token(const struct inlay_session *ss, const struct inlay_node_id *node, uint32_t flags, uint32_t kind);
/*
 * Where the session's requests of that lane are recorded; slot, seq and redo are the caller's to set. False: nowhere, or
 * requests of this type never are.
 */
bool inlay_local_session_record(struct inlay_session *ss, uint32_t lane, uint16_t type, struct record_ref *ret);
/* Frees its handles and locks; no request may be under way. */
void inlay_local_session_free(struct inlay_session *ss);
/* The host's descriptor behind an open handle, duplicated (the caller closes it), for passthrough; or a status. */
int inlay_local_handle_fd(struct inlay_session *ss, uint64_t handle);

#endif

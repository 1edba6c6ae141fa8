/*
 * The client's side of a session, sans I/O: lanes that turn calls into frames and frames into completions.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A session spans lanes; each lane is one connection, one event loop, one set of slots, and is touched by that loop's
 * thread only. Lane 0 opens the session; the others join it once it is open. A lane that loses its connection keeps
 * its outstanding calls in their slots and sends them again, marked as replays, when it is connected and resumed.
 *
 *      +------+ connected() +-------+ HELLO's reply  +------+
 *      | DOWN |------------>| HELLO |--------------->| OPEN |
 *      +------+             +-------+                +------+
 *         ^  disconnected()     |  a new session         ^ reclaimed()
 *         |                     |  after another    +---------+
 *         |                     +------------------>| RECLAIM |  lane 0 only
 *         |                                         +---------+
 *         +---- from any of them                                refused by the server: DEAD, every call fails
 *
 * When the server doesn't know the session any more, lane 0 opens a new one. Before anything else happens in it, what the
 * old one had open is reclaimed there: every other lane is down by then, and stays so until that is over.
 */
#ifndef INLAY_SESSION_CLIENT_H
#define INLAY_SESSION_CLIENT_H

#include "base/list.h"
#include "wire/codec.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stdint.h>

struct inlay_call;
struct inlay_lane;

/* What a call brought. Pointers are valid during done() only; `hold` is what the transport passed with the frame. */
struct inlay_reply {
	int status;            /* 0 or a negative status */
	const uint8_t *body;   /* only with status 0 */
	uint32_t body_len;
	const uint8_t *data;
	uint32_t data_len;
	void *hold;            /* transport's owner of these bytes (a chunk), NULL for none */
};

/* A request under way. Embedded by its user; all bytes stay valid and unchanged until done(). */
struct inlay_call {
	struct inlay_list link;
	/* Set by the user before submit: */
	uint16_t type;       /* enum inlay_message */
	uint8_t *head;       /* INLAY_FRAME_HEADER bytes of room (filled by the lane), then the body */
	uint32_t body_len;   /* multiple of 8 */
	const uint8_t *data; /* payload, NULL for none */
	uint32_t data_len;
	void *data_hold;     /* transport's owner of data (a chunk) if it lies in one, so that it need not be copied; else NULL */
	/* Exactly once, on the lane's thread; may free or submit again. */
	void (*done)(struct inlay_call *c, const struct inlay_reply *r);
	/*
	 * It is given up, sent or not: gives a call with the same bytes that takes its place and waits as long as it takes; or NULL: the
	 * lane sees to it that the slot is settled. NULL: as if that were the answer. done() follows.
	 */
	struct inlay_call *(*heir)(struct inlay_call *c);
	uint64_t origin;     /* of what it is done for: a number that comes again when this process's successor is asked anew; 0: none */
	uint32_t step;       /* which of its origin's calls of that type it is, where there are several: the same when they come again */
	bool patient;        /* it waits for a connection as long as it takes, whatever the time-out */
	/* The lane's: */
	uint32_t slot;
	bool sent;           /* at least once, on this or an earlier connection */
	bool reclaims;       /* by inlay_lane_reclaim() */
	bool inherited;      /* what is answered is a predecessor's request, maybe long ago */
	bool redo;           /* sent in a session that is lost, as this: */
	uint32_t prior_where, prior_seq; /* as the frame's header has them */
	uint64_t submit_ns;
};

/*
 * What a lane leaves to its successor in another process, in memory that outlives this one (inherit.c). A row is written before its
 * frame is sent, and stands until its slot is used again: so an answer may be asked for once more until then.
 */
struct inlay_slot_row {
	uint64_t seq;       /* sent last, or about to be */
	uint64_t origin;    /* the call's; 0: nobody asks for it again */
	uint32_t type;
	uint32_t prior_seq; /* != 0: a redo, with prior_where */
	uint32_t prior_where;
	uint32_t step;      /* the call's */
};
struct inlay_lane_row {
	struct inlay_uuid session; /* whose slots these are */
	uint32_t slots;            /* 0: it was never OPEN */
	uint32_t pad;
	struct inlay_slot_row slot[INLAY_SLOTS_MAX];
	struct inlay_slot_row redo[INLAY_SLOTS_MAX]; /* of lost sessions, not answered yet; seq unused */
};

struct inlay_lane_ops {
	/*
	 * Puts head, body and data of the call on the connection; never fails (a broken one reports disconnected()).
	 * Only bytes in what data_hold owns may be referred to after it returns: all else is copied.
	 */
	void (*send)(struct inlay_lane *l, const struct inlay_call *c);
	/* Drop the connection: the peer broke the protocol or is silent. disconnected() follows. */
	void (*drop)(struct inlay_lane *l, int status);
	/*
	 * The lane became OPEN, or DEAD with why; resumed: earlier slots and handles live on. Not resumed though the lane
	 * was OPEN before: sent calls that change something are asked for again by what they were in the old session (by a server
	 * that can't do that, they have ended with -INLAY_EIO), handles are those that were reclaimed.
	 */
	void (*opened)(struct inlay_lane *l, bool resumed);
	void (*dead)(struct inlay_lane *l, int status);
	/* EVENT_LOCK or EVENT_RECALL arrived (already checked and decoded). */
	void (*event_lock)(struct inlay_lane *l, const struct inlay_event_lock_req *e);
	void (*event_recall)(struct inlay_lane *l, const struct inlay_event_recall_req *e);
	/*
	 * Lane 0 only; NULL: nothing is ever reclaimed. session_lost: drop the connections of all other lanes. reclaim: a new
	 * session is there: inlay_lane_reclaim() what the old one had, then, later, inlay_lane_reclaimed(). When the new one is
	 * lost meanwhile, these calls have ended with -INLAY_ECANCELED, and reclaim is called again. False: it can't be done.
	 */
	void (*session_lost)(struct inlay_lane *l);
	bool (*reclaim)(struct inlay_lane *l);
	/*
	 * The server had done a request, with this body for an answer, that this lane gave up waiting for: what it has opened is to be
	 * closed. NULL: never mind.
	 */
	void (*late)(struct inlay_lane *l, uint16_t type, const uint8_t *body, uint32_t len);
};

/*
 * What all lanes of a session share. inlay_lane_connected(), and inlay_lane_frame() on a lane in HELLO, read and change
 * it: where lanes have threads of their own, the user runs these one at a time. Nothing else touches what may change.
 */
struct inlay_client {
	struct inlay_uuid client;        /* random, from the user */
	struct inlay_uuid session;       /* zero until lane 0 opened */
	struct inlay_uuid boot;
	char export_name[256];
	char host[256];                  /* who we are, for the server's logs */
	uint32_t slots_wanted;
	uint64_t timeout_ns;             /* how long a call may wait for a connection; 0 = for ever */
	bool reclaiming;                 /* lane 0 has a new session in which nothing else may happen yet */
	uint32_t up;                     /* atomic: lanes that are OPEN or RECLAIM */
	/* From the first HELLO's reply, constant from then on: */
	uint32_t lanes_max, max_data, export_flags;
	struct inlay_node_id root;
	struct inlay_attr root_attr;
	char server[INLAY_TEXT_MAX + 1];
	char rules[INLAY_RULES_MAX + 1]; /* NUL-terminated */
};

enum inlay_lane_state { INLAY_LANE_DOWN, INLAY_LANE_HELLO, INLAY_LANE_RECLAIM, INLAY_LANE_OPEN, INLAY_LANE_DEAD };

struct inlay_lane {
	struct inlay_client *client;
	const struct inlay_lane_ops *ops;
	void *owner;                 /* the user's */
	uint32_t index;
	enum inlay_lane_state state;
	int why_dead;
	uint64_t since_ns;           /* when state was entered */
	uint64_t heard_ns, spoke_ns; /* last frame in and out */
	uint64_t lost_ns;            /* when the lane was last OPEN and answered, or fell silent; at first, when it was made */
	uint64_t asked_ns;           /* when the first of the requests under way was sent */
	uint64_t silent_ns;          /* since when the connection was silent that is dropped for it; else 0 */
	uint64_t moved;              /* see inlay_lane_moved() */
	uint64_t half_ns;
	bool answered;               /* while OPEN, since it was last not; at first as if it were */
	bool served;                 /* a request of a program was answered on this connection */
	uint32_t lease_ms;           /* from this lane's HELLO */
	struct inlay_uuid session;   /* whose slots these are; zero before the lane was first OPEN */
	bool fresh;                  /* HELLO asked for a new session */
	bool dropped;                /* drop() was called, disconnected() has not followed yet */
	uint32_t slots, outstanding; /* granted; in use. The last free one is kept for PING */
	struct inlay_list waiting;   /* calls without a slot */
	struct inlay_list reclaims;  /* the same, of inlay_lane_reclaim() */
	struct inlay_list redo;      /* the same, of lost sessions: they go first, and nothing else before they are answered */
	uint32_t redoing;            /* of them, in a slot */
	struct inlay_lane_slot *slot; /* slots entries: call and seq */
	uint32_t *free_slots;        /* stack of free slot numbers */
	uint64_t hello_seq;
	struct inlay_lane_row *row;  /* NULL: nothing is left to anybody */
	uint32_t expected;           /* calls of the predecessor that are asked for anew: taken slots, and rows of redo */
	struct inlay_call ping;
	uint8_t ping_head[INLAY_FRAME_HEADER];
	bool pinging;
	uint8_t hello[INLAY_FRAME_HEADER + 1024]; /* HELLO goes out without a slot */
	struct inlay_call hello_call;
};

/* 0 or -INLAY_ENOMEM. */
int inlay_lane_init(struct inlay_lane *l, struct inlay_client *client, uint32_t index, const struct inlay_lane_ops *ops,
                    void *owner, uint64_t now_ns);
/* The lane is DEAD from now on: every outstanding and waiting call ends with -INLAY_ECANCELED, and so does what comes later. */
void inlay_lane_end(struct inlay_lane *l);
/* Ends the lane first. */
void inlay_lane_done(struct inlay_lane *l);

/*
 * From now on the lane keeps the row, which is zeroed. After inlay_lane_init(), before the lane was ever connected.
 */
void inlay_lane_keep(struct inlay_lane *l, struct inlay_lane_row *row);
/*
 * Instead: the lane goes on where the one that kept the row stopped, DOWN. is_asked: whether the call of this origin will be submitted
 * again, to this lane; it then takes its old slot, and is done once. Whoever learns that it won't be says inlay_lane_settle(). All else
 * that was in slots is settled with the server.
 */
void inlay_lane_inherit(struct inlay_lane *l, struct inlay_lane_row *row, bool (*is_asked)(void *arg, uint64_t origin), void *arg);
/* The lane, among rows, whose predecessor had a request of this origin; -1: none. Before inlay_lane_inherit(). */
int inlay_lane_of_origin(const struct inlay_lane_row *rows, uint32_t count, uint64_t origin);
/* No further call of this origin comes. On the lane's thread. */
void inlay_lane_settle(struct inlay_lane *l, uint64_t origin, uint64_t now_ns);

/*
 * The transport is connected: HELLO goes out. A lane other than 0 needs client->session; when the server doesn't know
 * it any more, the lane drops with -INLAY_ENOSESSION: connect it again after lane 0 has opened a new session.
 */
void inlay_lane_connected(struct inlay_lane *l, uint64_t now_ns);
/* The transport is gone: outstanding calls stay, waiting for the next one. */
void inlay_lane_disconnected(struct inlay_lane *l, uint64_t now_ns);
/* One whole frame from the server; completions run inside. -INLAY_EPROTO: not what a server may say; drop() was called. */
int inlay_lane_frame(struct inlay_lane *l, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                     void *hold, uint64_t now_ns);
/* Sends, or queues until there is a slot and a connection. On a DEAD lane done() runs at once with why_dead. */
void inlay_lane_submit(struct inlay_lane *l, struct inlay_call *c, uint64_t now_ns);
/* In RECLAIM: as submit, but goes out now. -INLAY_ECANCELED at once in any other state. */
void inlay_lane_reclaim(struct inlay_lane *l, struct inlay_call *c, uint64_t now_ns);
/* All that could be reclaimed is: the lane is OPEN, others may join. Run as inlay_lane_connected() is, one at a time. */
void inlay_lane_reclaimed(struct inlay_lane *l, uint64_t now_ns);
/*
 * Ends a call that has never been sent, with -INLAY_EINTR, and returns true. A call that may have reached the server
 * is left alone (false): it has an outcome that must be known, unless the lane is not OPEN and force is true. So is one
 * that is not on the lane, or not any more.
 */
bool inlay_lane_cancel(struct inlay_lane *l, struct inlay_call *c, bool force);
/*
 * Before a tick: what the connection has moved since it was made, both ways, as far as the peer has taken it. Who is as slow as a large
 * frame makes him isn't silent. half_ns: when the last bytes came of a frame that isn't whole; 0: there is none.
 */
void inlay_lane_moved(struct inlay_lane *l, uint64_t bytes, uint64_t half_ns, uint64_t now_ns);
/*
 * Keepalive, silence and --timeout: call when due. Returns when it wants to be called next, UINT64_MAX for never.
 * Calls waiting longer than timeout_ns for a connection end with -INLAY_ETIMEDOUT. A connection that is silent while calls wait is
 * dropped in time for another one before that.
 */
uint64_t inlay_lane_tick(struct inlay_lane *l, uint64_t now_ns);

/* Writes a call's request: `inlay_call_begin` gives a writer behind the header's room, `inlay_call_end` sets body_len. */
struct inlay_writer inlay_call_begin(struct inlay_call *c, uint16_t type, uint8_t *room, uint32_t room_len);
/* 0, or -INLAY_EOVERFLOW when the room was too small. */
int inlay_call_end(struct inlay_call *c, const struct inlay_writer *w) __attribute__((warn_unused_result));

#endif

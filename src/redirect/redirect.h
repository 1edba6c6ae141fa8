/*
 * The redirector's brain: operations on the filter directory, each judged and then done on its side.
 * SPDX-License-Identifier: Apache-2.0
 *
 * An interceptor (FUSE, the Windows driver's channel) fills in a struct inlay_op and starts it; the operation takes
 * the steps it needs on either side and ends with finish(). Both sides speak the protocol's messages: the remote one
 * through a session's lane, the local one through an executor in the process. No I/O, no clock here.
 */
#ifndef INLAY_REDIRECT_REDIRECT_H
#define INLAY_REDIRECT_REDIRECT_H

#include "base/hist.h"
#include "base/list.h"
#include "base/table.h"
#include "redirect/estate.h"
#include "redirect/judge.h"
#include "redirect/nodes.h"
#include "session/client.h"

#include <pthread.h>

struct inlay_op;

/* One side, as the redirector sees it. */
struct inlay_side_port {
	/*
	 * Carries out the call; its done() runs on the lane's thread, perhaps before this returns. Called on the
	 * thread of lane `lane`. After it returned, the caller may have lost the loop: it touches nothing and returns.
	 */
	void (*submit)(struct inlay_side_port *port, unsigned lane, struct inlay_call *call);
	/* As submit, but the caller keeps its loop and goes on. NULL: submit never loses it. */
	void (*submit_later)(struct inlay_side_port *port, unsigned lane, struct inlay_call *call);
	/* Gives up a call that can still be given up (the lane is down, or it was never sent); it then ends. NULL: can't. */
	void (*cancel)(struct inlay_side_port *port, unsigned lane, struct inlay_call *call);
	/* Whether completions of this port are running up the stack: another port must not lose the loop under them. */
	bool (*is_nested)(struct inlay_side_port *port, unsigned lane);
	/* No further call of this origin comes (struct inlay_call). NULL: nobody cares. On the lane's thread. */
	void (*settle)(struct inlay_side_port *port, unsigned lane, uint64_t origin);
	bool present;       /* false: nothing exists on this side */
	bool wants_forget;  /* it pins nodes until they are forgotten */
	uint32_t max_data;  /* payload bytes of one READ or WRITE */
};

/* What the transport's owners of data (call->data_hold) can be asked. */
struct inlay_hold_ops {
	void (*ref)(void *hold);
	void (*unref)(void *hold);
	size_t (*size)(void *hold); /* bytes of memory that a reference keeps */
};

/* Answered changes that the server may still lose: see unsynced.h. */
struct inlay_unsynced {
	pthread_mutex_t lock;      /* of all of this but call, and of what hangs on the lists */
	struct inlay_list files, changes;
	uint64_t seq;              /* of the last change */
	uint64_t asked;            /* up to which the sync under way covers them; 0: none is */
	size_t bytes, max;         /* max: INLAY_UNSYNCED_MAX, or what who makes the redirector says */
	unsigned count;            /* of files */
	unsigned lane;             /* of that sync */
	uint64_t changed;          /* bytes of all changes that were answered */
	uint64_t began, took, ended; /* the last sync, in such bytes: those are what time can be told by here */
	bool syncing, failed;      /* failed: the last one was */
	bool due;                  /* reclaim's: a crash has undone them, and they aren't all sent again */
	uint64_t handles;          /* reclaim's: given out */
	struct inlay_call call;
	uint8_t room[INLAY_FRAME_HEADER + 64];
};

/* An open file or directory. Reference-counted by the table that gives out its number. */
struct inlay_file {
	enum inlay_side side;
	uint64_t handle;            /* the side's */
	struct inlay_node *node;    /* referenced */
	uint64_t number;            /* the kernel's */
	bool is_dir;
	bool passthrough;           /* reads and writes bypass us */
	uint32_t flags;             /* enum inlay_open_flags */
	_Atomic uint32_t lock_uses; /* locks asked for through it */
	_Atomic bool lock_untold;   /* it has a lock that could not be noted, for want of memory: that can't be reclaimed */
	bool locks_over;            /* under held_lock: it is being closed, or stale */
	_Atomic bool lost;          /* a crash of the server's host may have undone writes: the next sync says so, and each close until then */
	struct inlay_listing *listing; /* merged directories only */
	/* What opens its remote half again; cred: of directories, the room is cut to its groups. */
	uint64_t token;
	struct inlay_cred *cred;
};

/* Counters of one lane, written by its thread alone, read by anyone for a picture of the moment. */
struct inlay_stats {
	uint64_t count[INLAY_MESSAGE_TOP][INLAY_SIDES];
	uint64_t errors[INLAY_MESSAGE_TOP][INLAY_SIDES];
	uint64_t bytes[INLAY_MESSAGE_TOP][INLAY_SIDES];
	struct inlay_hist *_Atomic latency[INLAY_MESSAGE_TOP][INLAY_SIDES]; /* made at first use */
};

struct inlay_redirect {
	struct inlay_judge *judge;
	struct inlay_nodes *nodes;
	struct inlay_table *files;
	struct inlay_side_port *port[INLAY_SIDES];
	struct inlay_stats *stats; /* one per lane */
	unsigned lanes;
	bool readonly;
	struct inlay_estate *estate; /* what a successor will need; NULL: there will be none */
	_Atomic uint64_t listed;  /* bytes of merged listings that are kept: INLAY_LISTING_MAX at most */
	/* Lock requests that wait, found by EVENT_LOCK and by interrupts; lock covers the list. */
	pthread_mutex_t waiters_lock;
	struct inlay_list waiters;
	struct inlay_list undoing;  /* requests that were given up, see undo.c; under waiters_lock */
	bool stopping;
	pthread_mutex_t held_lock;  /* covers node->held of all nodes */
	uint32_t reclaims;          /* begun; under held_lock */
	struct inlay_unsynced kept;
	const struct inlay_hold_ops *hold; /* NULL: what is kept is copied */
	struct inlay_uuid boot;     /* of the server's host, as HELLO said; set by who sets the ports, then by reclaim */
	/* Starts the op's step again on its own lane's thread: the host's way to post. Any thread. */
	void (*repost)(struct inlay_redirect *r, struct inlay_op *op);
};

int inlay_redirect_init(struct inlay_redirect *r, unsigned lanes);
void inlay_redirect_done(struct inlay_redirect *r);

#define INLAY_OP_ROOM (INLAY_FRAME_HEADER + 9u * 1024u)

/*
 * One operation under way. The interceptor owns the memory, fills in the fields that the operation names, starts it
 * by inlay_op_...(), and gets finish() exactly once, on the lane's thread. References in node, to, file, file2 are
 * the interceptor's to drop afterwards, found and opened its to take over or drop (on failure they are NULL).
 */
struct inlay_op {
	struct inlay_call call;
	struct inlay_redirect *redirect;
	unsigned lane;
	void (*finish)(struct inlay_op *op, int status);
	/* In, by operation: */
	struct inlay_cred cred;
	struct inlay_node *node, *to;
	struct inlay_file *file, *file2;
	struct inlay_str name, to_name;    /* must stay valid until finish */
	union {
		struct inlay_setattr_req set;  /* valid ... mtime */
		struct {
			uint32_t flags, mode, umask, rdev_major, rdev_minor;
			struct inlay_str target;
		} make;                        /* create, tmpfile, mkdir, mknod, symlink; open: flags only */
		struct {
			uint64_t off, to_off, len;
			uint32_t flags;            /* of the message */
			bool whole;                /* write: all or an error; whoever asks doesn't look at a short count */
		} io;                          /* read, write, fallocate (flags = mode), seek (whence), copy, commit */
		struct inlay_lock_req lock;
		struct {
			uint32_t max, flags;
		} xattr;                       /* name in `name`, value in data */
	} in;
	const uint8_t *data;               /* payload to send: WRITE, SETXATTR */
	uint32_t data_len;
	void *data_hold;
	/* Out: */
	enum inlay_side side;              /* who answered */
	struct inlay_node *found;
	struct inlay_file *opened;
	struct inlay_attr attr;
	const struct inlay_reply *reply;   /* during finish(): the answer's payload, where there is one */
	union {
		struct inlay_read_rep read;
		struct inlay_write_rep write;
		struct inlay_statfs_rep statfs;
		struct inlay_testlock_rep lock;
		struct inlay_getxattr_rep xattr;
		struct inlay_readlink_rep link; /* target: during finish() */
		uint64_t off;                  /* seek, copy: offset or count */
	} out;
	/* The operation's own: */
	void (*step)(struct inlay_op *op, const struct inlay_reply *r);
	uint16_t kind;                     /* enum inlay_message it counts as */
	struct inlay_node_id ids[INLAY_SIDES];
	bool seen[INLAY_SIDES];
	unsigned absent;                   /* lookup: 1 << side for sides that said it isn't there */
	const struct inlay_rule *rule_file, *rule_dir, *rule_new_dir;
	struct inlay_op_decide {
		struct inlay_node *dir;        /* of the name being decided */
		struct inlay_str name;
		uint32_t type;
		enum inlay_side favoured;
		uint32_t found;                /* type of what was found locally, 0 for nothing */
		void (*then)(struct inlay_op *op);
	} decide;
	struct inlay_op_ensure {
		struct inlay_node *dir;        /* the one that must exist on the side */
		struct inlay_node *child;      /* referenced: the one being made */
		uint32_t levels;               /* from dir up to child, both counted */
		enum inlay_side side;
		void (*then)(struct inlay_op *op);
	} ensure;
	struct inlay_list waiter;          /* on redirect->waiters */
	bool poked, canceled;              /* waiters_lock */
	bool for_close, for_undo;          /* waiters_lock: a lock that waits for CLOSEs of its node, for what its owner gave up */
	struct inlay_undo *undo;           /* of a lock: what it needs to be given up */
	bool for_loss;                     /* a close that tells of lost writes */
	uint32_t closes;                   /* node->closes when the lock was asked for; node->changes when COMMIT was */
	uint64_t kept_upto;                /* redirect->kept.seq when COMMIT was asked for */
	int result;
	uint8_t room[INLAY_OP_ROOM];
};

/* Clears everything but the room. */
void inlay_op_init(struct inlay_op *op, struct inlay_redirect *r, unsigned lane,
                   void (*finish)(struct inlay_op *op, int status));

/* ---- the operations: what they take and give beyond status and side ---- */

/* node = directory, name, cred; found (with a lookup counted), attr. */
void inlay_op_lookup(struct inlay_op *op);
/* node, file or NULL; attr. */
void inlay_op_getattr(struct inlay_op *op);
/* node, file or NULL, cred, in.set; attr. */
void inlay_op_setattr(struct inlay_op *op);
/* node, cred, in.io.flags = mask. */
void inlay_op_access(struct inlay_op *op);
/* node; out.link. */
void inlay_op_readlink(struct inlay_op *op);
/* node = directory, name, cred, in.make; found, opened, attr. */
void inlay_op_create(struct inlay_op *op);
void inlay_op_tmpfile(struct inlay_op *op);
/* node = directory, name, cred, in.make; found, attr. kind: INLAY_MKDIR, INLAY_MKNOD or INLAY_SYMLINK. */
void inlay_op_make(struct inlay_op *op, uint16_t kind);
/* node = directory, name, cred. kind: INLAY_UNLINK or INLAY_RMDIR. */
void inlay_op_remove(struct inlay_op *op, uint16_t kind);
/* node, name -> to, to_name; cred, in.make.flags = enum inlay_rename_flags. */
void inlay_op_rename(struct inlay_op *op);
/* node = existing file -> to, to_name; cred; attr, found = node again with a lookup counted. */
void inlay_op_link(struct inlay_op *op);
/* node, cred, in.make.flags; opened, attr. */
void inlay_op_open(struct inlay_op *op);
/* node, cred; opened. */
void inlay_op_opendir(struct inlay_op *op);
/* file: closed on its side; the number is invalid from now on. finish() tells when it's done. */
void inlay_op_close(struct inlay_op *op);
/* file, in.io off len; reply->data and out.read.zeros. */
void inlay_op_read(struct inlay_op *op);
/* file, in.io off flags, data; out.write. */
void inlay_op_write(struct inlay_op *op);
/* file, in.io.flags. -INLAY_EIO, too, when writes before it were lost; once. */
void inlay_op_commit(struct inlay_op *op);
/* file, in.io off len flags=mode. */
void inlay_op_fallocate(struct inlay_op *op);
/* file, in.io off flags=whence; out.off. */
void inlay_op_seek(struct inlay_op *op);
/* file -> file2, in.io; out.off = bytes copied. */
void inlay_op_copy(struct inlay_op *op);
/*
 * file (a directory), in.io off = cookie, len = bytes, flags = enum inlay_readdir_flags (0 for one that is merged); reply->data = struct
 * inlay_dirent payload. With attributes, each entry's node is to be given back: inlay_redirect_unpin.
 */
void inlay_op_readdir(struct inlay_op *op);
/*
 * During the finish of a readdir, for each entry of reply->data: false when the judge hides it. Fits its inode number. A
 * listing is not over when a batch has nothing to show: such batches are not given out.
 */
bool inlay_op_fit_entry(struct inlay_op *op, struct inlay_dirent *d);
/* node; out.statfs. */
void inlay_op_statfs(struct inlay_op *op);
/* node, name, cred, in.xattr; out.xattr and reply->data for get and list. kind: INLAY_GETXATTR ... INLAY_REMOVEXATTR. */
void inlay_op_xattr(struct inlay_op *op, uint16_t kind);
/*
 * file, in.lock (handle is filled in). Waits as long as it takes when in.lock.flags has INLAY_LOCK_WAIT; without, and
 * testlock too, as long as the server keeps locks for those who held them before it was restarted.
 */
void inlay_op_lock(struct inlay_op *op);
/* file, in.lock; out.lock. */
void inlay_op_testlock(struct inlay_op *op);
/* Releases the owner's POSIX locks of the file, as closing a descriptor does: in.lock.owner. -INLAY_EIO: writes are lost. */
void inlay_op_flush(struct inlay_op *op);

/*
 * A waiting lock is given up: it ends with -INLAY_EINTR if it is still waiting. Any thread. True: its call is with the side
 * right now, and whoever is on its lane's thread may have the port cancel it.
 */
bool inlay_op_lock_interrupt(struct inlay_op *op);
/* The answer of a request that was given up on that lane: what it has opened is closed, what it pins let go. On the lane's thread. */
void inlay_redirect_late(struct inlay_redirect *r, unsigned lane, enum inlay_side side, uint16_t type, const uint8_t *body, uint32_t len);
/* EVENT_LOCK came in: whoever waits for this (handle 0: for anything) asks again. Any thread. */
void inlay_redirect_event_lock(struct inlay_redirect *r, enum inlay_side side, const struct inlay_event_lock_req *e);

/* The side's connection was lost and is back: hints may have been lost with it, so every waiter asks again. Any thread. */
void inlay_redirect_ask_again(struct inlay_redirect *r, enum inlay_side side);

/*
 * The server has lost its side of what is open there: every file and directory is opened again, locks are taken back,
 * and the server is told that this was all. send: sends the call ahead of all others, its done() runs on this thread.
 * over: all was tried; files that could not be had again are stale for the programs that have them open. Neither
 * is called any more after a call ended with -INLAY_ECANCELED: the session is lost once more, reclaim anew.
 * boot: of the server's host by now. Where it is another one, what was written and not synced is sent again; files of
 * which that can't be done are marked: their next sync or close ends with -INLAY_EIO, once for each that was open.
 * lost: how many files that were.
 */
struct inlay_reclaim_ops {
	void (*send)(void *arg, struct inlay_call *c);
	void (*over)(void *arg, unsigned files, unsigned stale, unsigned lost);
};
/* -INLAY_ENOMEM: nothing is called. */
int inlay_redirect_reclaim(struct inlay_redirect *r, const struct inlay_uuid *boot, const struct inlay_reclaim_ops *ops, void *arg);

/*
 * The same for what is open on the local side, of a process before this one. execute: does the call, whose done is not used, and
 * returns its status; token: by which a node may be opened again. Returns how many files are stale. Before there are loops.
 */
struct inlay_local_reclaim_ops {
	int (*execute)(void *arg, const struct inlay_call *c);
	uint64_t (*token)(void *arg, const struct inlay_node_id *node, uint32_t flags, uint32_t kind);
};
unsigned inlay_redirect_reclaim_local(struct inlay_redirect *r, const struct inlay_local_reclaim_ops *ops, void *arg);

/*
 * Asks the server to sync, where that is needed and not under way, so that what is kept can be let go. Every INLAY_UNSYNCED_MS, on the
 * lane's thread; the redirector does it by itself when it keeps much.
 */
void inlay_redirect_sync(struct inlay_redirect *r, unsigned lane);
/* Bytes that are kept: without any, a sync makes good gaps and nothing else. */
size_t inlay_redirect_kept(struct inlay_redirect *r);
/* Something of the node's content was changed, and isn't kept: a crash of the server's host is then told. Any thread. */
void inlay_unsynced_not_whole(struct inlay_redirect *r, struct inlay_node *n, unsigned lane);

/* Gives up every waiting lock, and each that comes: before the loops stop. Any thread. */
void inlay_redirect_stop_waiting(struct inlay_redirect *r);

/* The kernel forgets lookups of a node; sides that pin are told. lane: the calling thread's. */
void inlay_redirect_forget(struct inlay_redirect *r, unsigned lane, uint64_t number, uint64_t count);

/* Replies named these nodes, once each, and nobody keeps them. lane: the calling thread's. */
void inlay_redirect_unpin(struct inlay_redirect *r, unsigned lane, enum inlay_side side, const struct inlay_node_id *ids, uint32_t count);

/* A reference to the open file of that number, or NULL. */
struct inlay_file *inlay_file_get(struct inlay_redirect *r, uint64_t number);
void inlay_file_put(struct inlay_redirect *r, struct inlay_file *f);
/* Closes an open file that the kernel never learnt of; the caller holds no reference to it. lane: the calling thread's. */
void inlay_redirect_abandon_file(struct inlay_redirect *r, unsigned lane, struct inlay_file *f);

/* What the judge would say, without asking the sides: rules only. NULL: no rule matches. path relative. */
const struct inlay_rule *inlay_redirect_rule(struct inlay_redirect *r, const char *path, bool is_dir);

/* Adds one finished operation to the lane's counters. */
void inlay_stats_add(struct inlay_redirect *r, unsigned lane, unsigned kind, enum inlay_side side, bool failed,
                     uint64_t bytes, uint64_t latency_ns);

/* Adds a lane's counters of one message to the arrays, each by side. Any thread: a picture of the moment. */
void inlay_stats_sum(const struct inlay_stats *s, unsigned kind, uint64_t count[INLAY_SIDES], uint64_t errors[INLAY_SIDES],
                     uint64_t bytes[INLAY_SIDES], struct inlay_hist latency[INLAY_SIDES]);

#endif

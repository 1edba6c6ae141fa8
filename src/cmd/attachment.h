/*
 * One attachment: the redirector put together. A server's export, a directory, the kernel filter over it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Used by `inlay attach` in the process that stays; the control socket asks it for status and explanations.
 */
#ifndef INLAY_CMD_ATTACHMENT_H
#define INLAY_CMD_ATTACHMENT_H

#include "base/hist.h"
#include "net/addr.h"
#include "redirect/judge.h"
#include "wire/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inlay_attachment;
struct inlay_kept;

struct inlay_attachment_config {
	struct inlay_remote_name remote; /* path must be empty */
	const char *source;              /* as the user wrote it: shown in /proc/mounts */
	const char *dir;                 /* absolute path of an existing directory */
	const char *const *rules;        /* "local GLOB" or "remote GLOB", NULL-terminated, first match wins */
	bool readonly;
	bool insecure;                   /* plain TCP beyond this host is allowed */
	bool allow_other;                /* other users may enter (always so for root) */
	bool server_rules;               /* take the server's suggestions after the own rules */
	unsigned timeout_ms;             /* how long a request waits for a lost server; 0 = for ever */
	unsigned connections;            /* lanes and event loops; 0 = one per core, at most 4 */
	/* Linux: */
	bool guarded;                    /* a guardian is wanted, where host and user allow it */
	int log_fd;                      /* what successors log to; -1: nowhere */
	/* Windows: */
	uint32_t uid, gid;               /* who all programs are on the server */
	bool server_permissions;         /* placeholders show the server's owners and modes, not what the directory hands down */
};

/*
 * Connects, says HELLO, opens the underlying directory, mounts over it and answers the kernel's INIT. No thread runs yet, so that the
 * caller can still fork before and not after. On failure nothing is left mounted, a status is returned and why holds one line for the user:
 * what, where and what to do (no newline, no program name).
 */
int inlay_attachment_open(const struct inlay_attachment_config *config, char *why, size_t why_len,
                          struct inlay_attachment **ret);
/*
 * Linux: instead, goes on where another process stopped: with what its guardian kept, taken over in every case, and the socket to that
 * guardian, too. -INLAY_ENOTCONN: the mount is gone, there is nothing to go on with.
 */
int inlay_attachment_inherit(struct inlay_kept *kept, int guardian, char *why, size_t why_len, struct inlay_attachment **ret);
/*
 * Linux: readable once the guardian has died; -1: there is none. When (inlay_clock_ms) to try again, after one could not be started;
 * UINT64_MAX: not. And another one, then.
 */
int inlay_attachment_guardian_fd(const struct inlay_attachment *a);
uint64_t inlay_attachment_guardian_due(const struct inlay_attachment *a);
void inlay_attachment_guard_again(struct inlay_attachment *a);
/*
 * Has another process take over: the descriptor of restart_fd becomes readable, and whoever polls it ends the process without a word.
 * 0, or -INLAY_ENOTSUP: there is no guardian. Any thread.
 */
int inlay_attachment_restart(struct inlay_attachment *a);
int inlay_attachment_restart_fd(const struct inlay_attachment *a);
/* Starts loops and threads. 0 or a status. */
int inlay_attachment_start(struct inlay_attachment *a);
/*
 * Linux: readable (poll) once the file system has been unmounted, by whomever; Windows: an event handle, set once it has been
 * detached; or, on either, the attachment can't go on. After that, inlay_attachment_close().
 */
int inlay_attachment_over_fd(const struct inlay_attachment *a);
void *inlay_attachment_over_event(const struct inlay_attachment *a);
/* Windows: the directory as it was found, a full path; Linux: as it was given. */
const char *inlay_attachment_dir(const struct inlay_attachment *a);
/* Unmounts if still mounted (lazily), says BYE to the server, stops the threads, frees everything. */
void inlay_attachment_close(struct inlay_attachment *a);

/*
 * Tries to unmount in the ordinary way. 0, or -INLAY_EBUSY while programs hold files or stand in it. Any thread.
 * force: aborts what is under way (programs get errors) and unmounts lazily; always 0.
 */
int inlay_attachment_detach(struct inlay_attachment *a, bool force);

/* ---- for people ---- */

struct inlay_op_stat {
	const char *name;        /* "lookup" */
	uint64_t count[2];       /* by enum inlay_side */
	uint64_t errors[2];
	uint64_t bytes[2];       /* payload moved, READ and WRITE */
	struct inlay_hist latency[2]; /* ns, from the kernel's request to the answer; counts only what went through the redirector */
};

struct inlay_attachment_status {
	char source[512], dir[4096], server[INLAY_TEXT_MAX + 1];
	uint64_t pid, uid;       /* its process; its user (on Windows: the one that the server is told) */
	char health[32];         /* "healthy", "reconnecting" or "dead" */
	uint64_t health_since_ms; /* how long it has been so */
	uint64_t uptime_ms;
	unsigned connections, connected;
	unsigned outstanding, waiting; /* requests at the server; requests without a slot or connection */
	uint64_t reconnects;
	bool readonly;
	bool passthrough;        /* local files go through the kernel alone */
	char transport[32];      /* "/dev/fuse" or "io_uring" */
	char passthrough_why[128]; /* why not, else "" */
	bool guarded;            /* another process takes over if this one dies */
	char guarded_why[128];   /* why not, else "" */
	uint64_t takeovers;      /* so far */
	char progress[128];      /* what a detach under way is doing, else "" */
	uint64_t nodes, files;   /* known, open */
	unsigned ops;            /* entries of op */
	struct inlay_op_stat *op; /* those with count > 0; the caller frees it */
};
/* 0 or -INLAY_ENOMEM. Any thread. */
int inlay_attachment_status(struct inlay_attachment *a, struct inlay_attachment_status *ret);

struct inlay_explanation {
	enum inlay_side side;
	bool merged;             /* a directory that exists on both sides */
	char why[512];           /* "rule 2: local *.o", "exists in the local directory", "no rule, not local", ... */
};
/* path: relative to the directory, "" for itself; need not exist. Any thread; may block. */
int inlay_attachment_explain(struct inlay_attachment *a, const char *path, struct inlay_explanation *ret);

#endif

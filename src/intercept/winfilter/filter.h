/*
 * Private to src/intercept/winfilter: a request per request of the ring, a file per open number, and what they wait for.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Everything is home's thread's alone (loop 0), but what says "lock", and a data request that was handed to another
 * lane: that one belongs to its lane's thread until it is answered, and refers to no struct inlay_wf_file.
 *
 * A request is a chain of steps. Each step starts one thing - an operation of the redirector, a task on a spare thread, a
 * wait - and names what comes then; exactly one of them is under way at a time, and the last step answers.
 */
#ifndef INLAY_INTERCEPT_WINFILTER_FILTER_H
#define INLAY_INTERCEPT_WINFILTER_FILTER_H

#include "base/list.h"
#include "base/status.h"
#include "intercept/winfilter/convert.h"
#include "intercept/winfilter/names.h"
#include "intercept/winfilter/ntstatus.h"
#include "intercept/winfilter/winfilter.h"
#include "ring/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define INLAY_WF_TYPE_MASK 0170000u
#define INLAY_WF_TYPE_DIR 0040000u
#define INLAY_WF_TYPE_REG 0100000u
#define INLAY_WF_TYPE_LNK 0120000u

struct inlay_wf_request;
typedef void inlay_wf_step(struct inlay_wf_request *rq, int status);

/* A node with a lookup counted, shared by files and walks. */
struct inlay_wf_node {
	struct inlay_node *node; /* referenced */
	unsigned refs;
};

enum inlay_wf_use { INLAY_WF_READ, INLAY_WF_WRITE, INLAY_WF_APPEND, INLAY_WF_USES };

/* What a number of the ring stands for. Released by the last request that refers to it, after CLOSE. */
struct inlay_wf_file {
	struct inlay_winfilter *w;
	struct inlay_list link;       /* on w->open_files */
	uint64_t number;
	uint32_t type;                /* mode's type bits */
	struct inlay_wf_node *node;
	struct inlay_wf_node *parent; /* of the name; NULL for the filter directory itself */
	char name[INLAY_NAME_MAX + 1]; /* the server's, in parent */
	char *path;                   /* beneath the filter directory, WTF-8; may be another after a rename */
	bool closed;                  /* CLOSE has taken its handles: it gets no more */
	bool is_link;                 /* the name is a symbolic link's, the node what it leads to */
	bool merged;                  /* a directory that stands on NTFS without a mark */
	uint64_t handle[INLAY_WF_USES]; /* numbers of redirect->files, 0 = not opened; several may be one */
	struct inlay_cred *cred;      /* its own or NULL: the config's */
	struct inlay_wf_hold *hold;   /* what its BEGIN holds, NULL: nothing */
};

/* Names that are being changed on NTFS, from BEGIN to END. */
struct inlay_wf_hold {
	struct inlay_list link;       /* on w->holds */
	bool removal;                 /* of path; else a rename of path to new_path */
	char *path, *new_path;
	struct inlay_wf_node *to;     /* rename: the new directory, its name there, and whether it may replace */
	char to_name[INLAY_NAME_MAX + 1];
	uint32_t flags;               /* enum inlay_rename_flags */
	bool unlink;                  /* the new name is the file's already: the old one goes */
	struct inlay_list waiting;    /* requests, by wait */
};

/* What a part of a path leads to. */
struct inlay_wf_part {
	struct inlay_attr attr;
	struct inlay_node_id id;
};

/* A directory on the way from the root. */
struct inlay_wf_level {
	unsigned owned;               /* index of the walk's nodes */
	bool known;                   /* attr is; of the root it needs asking */
	struct inlay_attr attr;
};

/*
 * Looks up the parts of a path, one after the other, from the root, with other case where the exact name is not there, and
 * through symbolic links that stay in the export.
 */
struct inlay_wf_walk {
	const struct inlay_winpath *path;
	unsigned parts;               /* how many of it */
	inlay_wf_step *then;
	/* Out, status 0: all of them led somewhere. Else part is the one that did not, and status says why: */
	unsigned part;                /*     -INLAY_EEXIST: several names that differ in nothing but case */
	bool missing;                 /* -INLAY_ENOENT: it is the last part's own name, in a directory that is there */
	struct inlay_wf_part *done;   /* by part */
	struct inlay_wf_node *parent; /* the last part's directory; owned's */
	char name[INLAY_NAME_MAX + 1]; /* its name there, as the server has it; also of a part under way */
	struct inlay_wf_node *found;  /* owned's */
	bool is_link;                 /* the last name is a link's */
	struct inlay_winpath *recased; /* the path in the server's case, where it differs; NULL: it doesn't */
	/* On the way: */
	struct inlay_wf_node **owned; /* every node so far, so that their paths stay known; [0] is the root */
	unsigned owned_count, owned_cap;
	struct inlay_wf_level *level; /* level[0] is the root's */
	unsigned levels, levels_cap;
	bool begun;                   /* part is under way */
	bool following;               /*     and its own name was a link */
	bool cased;                   /*     or was looked for in another case */
	unsigned at;                  /* index of owned: where the walk is */
	struct inlay_attr attr;       /* of it */
	bool known;
	char step[INLAY_NAME_MAX + 1]; /* name being looked up */
	char *todo;                   /* what is left of links' targets, NULL: none */
	size_t todo_at;
	unsigned links;               /* followed so far */
};

/* What stands on NTFS at a path, or above it. */
struct inlay_wf_standing {
	struct inlay_placeholder leaf;
	unsigned standing;            /* how many of the parts stand; all of them: leaf is set */
	bool marked, is_dir;          /* of the deepest that stands; with none, the filter directory: not marked */
};

/* One change of a placeholder, on a spare thread. */
struct inlay_wf_change {
	char *path;
	bool remove;                  /* what stands there, first */
	bool put;
	struct inlay_placeholder_want want; /* its security is owned */
	int status;
};

struct inlay_wf_open {
	struct inlay_winpath *path;
	struct inlay_wf_standing stood;
	struct inlay_wf_walk walk;    /* its done stays after it has given up its nodes */
	const struct inlay_rule *rule_file, *rule_dir, *rule_new_dir;
	unsigned access;              /* enum inlay_win_access */
	unsigned tries;
	bool by_rule;                 /* a rule says that it is local, whatever there is */
	bool created;
	bool merged;
	struct inlay_wf_node *node;   /* what was found or made */
	struct inlay_attr attr;
	uint64_t handle[INLAY_WF_USES];
	uint32_t flags;               /* the open under way */
	enum inlay_ring_verdict verdict; /* to answer once the placeholders stand */
	struct inlay_wf_change *change; /* of placeholders */
	unsigned changes;
	struct inlay_wf_name *lock;   /* the name whose placeholder is being changed */
};

struct inlay_wf_data {
	uint8_t *slot;
	uint64_t handle;
	uint32_t length, moved;       /* bytes: to be moved, and done so far */
	uint32_t flags;               /* of WRITE's message */
	bool counted;                 /* in data_home */
	enum inlay_wf_use use;
	uint32_t open_flags;          /* the open under way */
	uint64_t size;
};

struct inlay_wf_close {
	uint64_t handle[INLAY_WF_USES];
	unsigned count;
};

/* RENAME and REMOVE. */
struct inlay_wf_change_names {
	struct inlay_winpath *path;   /* the new name, in the server's case where that is known */
	struct inlay_wf_standing stood;
	struct inlay_wf_walk walk;
	bool local;                   /* it is a local file's new name */
	char to_name[INLAY_NAME_MAX + 1];
	struct inlay_wf_node *to;
	bool replaces, same;          /* something is there; it is the file itself */
	struct inlay_wf_change *change;
	unsigned changes;
	uint64_t handle, cookie;      /* the directory that is looked into */
	char *cleared;                /* and its path on NTFS */
	inlay_wf_step *verified;
};

/* The private part of each kind, zero when the request starts. */
union inlay_wf_private {
	struct inlay_wf_open open;
	struct inlay_wf_data data;
	struct inlay_wf_close close;
	struct inlay_wf_change_names names;
	struct inlay_wf_listing *listing;
};

struct inlay_wf_request {
	struct inlay_op op;
	struct inlay_winfilter *w;
	struct inlay_list link;       /* inflight or spare; lock */
	struct inlay_ring_request in; /* copied and checked */
	unsigned lane;
	unsigned pins;                /* lock: who must still let go of it before it is used again */
	bool answered;                /* lock */
	bool canceled;                /* home */
	uint64_t start_ns;            /* of the operation under way */
	inlay_wf_step *then;
	struct inlay_task task;
	int (*work)(struct inlay_wf_request *rq); /* the task under way */
	int worked;
	struct inlay_task cancel;
	struct inlay_list wait;       /* on what it waits for */
	struct inlay_timer timer;     /* for how long */
	inlay_wf_step *woken;
	struct inlay_wf_file *file;   /* of in.file, referenced */
	struct inlay_wf_walk *walk;   /* under way */
	struct inlay_wf_case_search *search;
	union inlay_wf_private u;
};

/* Of each lane: completions that its thread has put into the ring and not shown yet. */
struct inlay_wf_lane {
	struct inlay_winfilter *w;
	struct inlay_loop *loop;
	struct inlay_hook hook;
	bool hooked;
};

struct inlay_winfilter {
	struct inlay_winfilter_config config;
	struct inlay_redirect *redirect;
	struct inlay_wf_lane *lane;
	unsigned lanes;
	struct inlay_table *files;
	struct inlay_hash_key seed;
	struct inlay_cred cred;
	uint8_t owner_sid[68];
	bool stopped;
	bool broken;
	unsigned data_home;           /* data requests under way on home's lane */
	unsigned next_lane;
	struct inlay_task again;
	bool again_posted;
	struct inlay_list open_files; /* struct inlay_wf_file */
	struct inlay_list holds;      /* struct inlay_wf_hold */
	struct inlay_map names;       /* struct inlay_wf_name: placeholders that are being changed, by path */
	struct inlay_list listings;   /* struct inlay_wf_listing */
	struct inlay_list cases;      /* struct inlay_wf_cases, the latest used first */
	unsigned cases_count;
	pthread_mutex_t lock;         /* of the rest, and of the ring's putting half */
	struct inlay_ring_responder ring;
	struct inlay_list inflight, spare;
	struct inlay_winfilter_counts counts;
};

static inline struct inlay_wf_request *inlay_wf_of(struct inlay_op *op)
{
	return inlay_container(op, struct inlay_wf_request, op);
}

/* ---- winfilter.c: steps and answers ---- */

/* Prepares rq->op with the credentials of the request's file, or of its process. Its node, file and so on are the caller's to fill in. */
struct inlay_op *inlay_wf_op(struct inlay_wf_request *rq, inlay_wf_step *then);
/* In a step: drops what the operation referred to. found and opened are the step's to take before. */
void inlay_wf_op_done(struct inlay_wf_request *rq);
/* Runs work() on a spare thread, then then(rq, what it returned). */
void inlay_wf_offload(struct inlay_wf_request *rq, int (*work)(struct inlay_wf_request *rq), inlay_wf_step *then);
/* Waits on the list until inlay_wf_wake_all, CANCEL, or (timed) the limit: woken(rq, 0, -ECANCELED or -ETIMEDOUT). */
void inlay_wf_wait(struct inlay_wf_request *rq, struct inlay_list *list, bool timed, inlay_wf_step *woken);
/* Wakes all that wait there now, in their order. */
void inlay_wf_wake_all(struct inlay_list *list);
/* Whether to go on: 0 or -INLAY_ECANCELED. */
int inlay_wf_checkpoint(const struct inlay_wf_request *rq);

/* Each ends the request. */
void inlay_wf_answer(struct inlay_wf_request *rq, struct inlay_ring_completion *c);
void inlay_wf_answer_status(struct inlay_wf_request *rq, int status);
void inlay_wf_answer_nt(struct inlay_wf_request *rq, enum inlay_ntstatus status);
/* With attributes, when status is 0. */
void inlay_wf_answer_attr(struct inlay_wf_request *rq, int status, const struct inlay_attr *attr);

/* ---- nodes ---- */
/* Takes over a reference and a counted lookup; NULL (and both are given back): out of memory. */
struct inlay_wf_node *inlay_wf_node_new(struct inlay_winfilter *w, struct inlay_node *node);
struct inlay_wf_node *inlay_wf_node_ref(struct inlay_wf_node *n);
void inlay_wf_node_put(struct inlay_winfilter *w, struct inlay_wf_node *n); /* NULL is fine */

/* ---- walk.c ---- */
/* walk is zero but for path and parts. then(rq, status) with walk filled in; inlay_wf_walk_done in any case. */
void inlay_wf_walk_start(struct inlay_wf_request *rq, struct inlay_wf_walk *walk, inlay_wf_step *then);
void inlay_wf_walk_done(struct inlay_winfilter *w, struct inlay_wf_walk *walk);

/* ---- cases.c ---- */
/*
 * Searches the directory for a name that differs from this one in nothing but case. then(rq, 0) with the name in ret; -INLAY_ENOENT;
 * -INLAY_EEXIST: there are several; or another status. change: the directory's, looked up before the exact name was; 0: not known.
 */
void inlay_wf_case_find(struct inlay_wf_request *rq, struct inlay_node *dir, uint64_t change, struct inlay_str name,
                        char ret[INLAY_NAME_MAX + 1], inlay_wf_step *then);
void inlay_wf_cases_free(struct inlay_winfilter *w);

/* ---- placeholders.c ---- */
/* Asks what stands at the path, from its end upwards; a task's work. */
int inlay_wf_stand(struct inlay_winfilter *w, const struct inlay_winpath *path, struct inlay_wf_standing *ret);
/* Whether what stands there must be changed to be this file's. */
bool inlay_wf_differs(const struct inlay_placeholder *p, const struct inlay_attr *attr, const struct inlay_node_id *id);
/* Prepares a change (zero before). attr NULL: removal alone. -INLAY_ENOMEM. */
int inlay_wf_change_init(struct inlay_winfilter *w, struct inlay_wf_change *c, struct inlay_str path, const struct inlay_attr *attr,
                         const struct inlay_node_id *id);
/*
 * Prepares the directories above a path's last part that don't stand yet, and with leaf the last part itself (attr NULL: its removal). done: of
 * the parts above. Sets *ret and *ret_count (0: nothing to do); free by inlay_wf_changes_free. 0 or -INLAY_ENOMEM.
 */
int inlay_wf_changes_for(struct inlay_winfilter *w, const struct inlay_winpath *path, const struct inlay_wf_standing *stood,
                         const struct inlay_wf_part *done, bool leaf, const struct inlay_attr *attr,
                         const struct inlay_node_id *id, struct inlay_wf_change **ret, unsigned *ret_count);
void inlay_wf_changes_free(struct inlay_wf_change *c, unsigned count);
/* Carries them out, each with its status; a task's work. The first failure, or 0; on: goes on after it. */
int inlay_wf_changes_run(struct inlay_winfilter *w, struct inlay_wf_change *c, unsigned count, bool on);

/* A name whose placeholder is being changed: nobody else does meanwhile. */
struct inlay_wf_name {
	struct inlay_map_link link;
	char *path;
	struct inlay_list waiting;
};
/* NULL and *ret_status: -INLAY_EBUSY (wait on *ret_waiting, then try again) or -INLAY_ENOMEM. */
struct inlay_wf_name *inlay_wf_name_lock(struct inlay_winfilter *w, struct inlay_str path, int *ret_status,
                                         struct inlay_list **ret_waiting);
void inlay_wf_name_unlock(struct inlay_winfilter *w, struct inlay_wf_name *n);

/* ---- holds.c ---- */
/* The hold that the path, or what it lies in, is part of; NULL. except: of this file, which doesn't count. */
struct inlay_wf_hold *inlay_wf_hold_find(struct inlay_winfilter *w, struct inlay_str path, const struct inlay_wf_file *except);
struct inlay_wf_hold *inlay_wf_hold_new(struct inlay_winfilter *w, bool removal, const char *path, const char *new_path);
/* Whether a path is this one or lies beneath it; then *ret_end is where it goes on. */
bool inlay_wf_path_is_in(struct inlay_str path, const char *held, uint32_t *ret_end);
/* Ends the hold of a file, if it has one, and wakes who waits for it. */
void inlay_wf_hold_end(struct inlay_wf_file *f);

/* ---- listing.c ---- */
/* A listing of the path's directory that is under way leaves this name alone. */
void inlay_wf_listing_touch(struct inlay_winfilter *w, struct inlay_str path);

/* ---- files.c ---- */
/* The table's release. */
void inlay_wf_file_free(struct inlay_wf_file *f);
/* Closes a handle that no file has. 0 is fine. */
void inlay_wf_abandon(struct inlay_winfilter *w, uint64_t handle);

/* ---- open.c ---- */
/* The rule for the first `parts` of a path, NULL: none. */
const struct inlay_rule *inlay_wf_rule(struct inlay_winfilter *w, struct inlay_winpath *path, unsigned parts, bool is_dir);
/* What the request's file is on the server. */
bool inlay_wf_is_dir(const struct inlay_attr *attr);

/* ---- by kind: each answers, now or later ---- */
typedef void inlay_wf_handler(struct inlay_wf_request *rq);
inlay_wf_handler inlay_wf_open, inlay_wf_close, inlay_wf_read, inlay_wf_write, inlay_wf_flush, inlay_wf_getattr, inlay_wf_setattr,
	inlay_wf_list, inlay_wf_rename_begin, inlay_wf_rename_end, inlay_wf_remove_begin, inlay_wf_remove_end, inlay_wf_statfs;

#endif

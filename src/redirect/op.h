/*
 * What the operations share: sending a step's request, ending, and deciding on which side a name lies.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/redirect.
 */
#ifndef INLAY_REDIRECT_OP_H
#define INLAY_REDIRECT_OP_H

#include "base/status.h"
#include "redirect/redirect.h"

#include <stddef.h>
#include <string.h>

#define INLAY_TYPE_MASK 0170000u
#define INLAY_TYPE_DIR 0040000u
#define INLAY_TYPE_REG 0100000u
/* Set in the inode numbers of local files, so that no local file and no remote one pass for hard links of each other. */
#define INLAY_LOCAL_INO (UINT64_C(1) << 62)

/* Copies the groups that there are, not the room for the most. */
static inline void inlay_cred_copy(struct inlay_cred *to, const struct inlay_cred *from)
{
	memcpy(to, from, offsetof(struct inlay_cred, groups) + from->ngroups * sizeof from->groups[0]);
}

/* Ends the operation. The caller touches op no more. */
void inlay_op_end(struct inlay_op *op, int status);

/*
 * One request to a side: op_begin, put fields by the codec, op_send with the step that takes the answer.
 *     w = inlay_op_begin(op, INLAY_LOOKUP);
 *     inlay_put_lookup_req(&w, &req);
 *     inlay_op_send(op, &w, side, lookup_answered);
 * The step gets every answer, failures included; the reply's bytes are valid until it returns.
 */
struct inlay_writer inlay_op_begin(struct inlay_op *op, uint16_t type);
void inlay_op_send(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side,
                   void (*step)(struct inlay_op *op, const struct inlay_reply *r));

/* The same for a step that may come again and again: a side that answers at once would pile them up on the stack. */
void inlay_op_send_later(struct inlay_op *op, struct inlay_writer *w, enum inlay_side side,
                         void (*step)(struct inlay_op *op, const struct inlay_reply *r));

/* A step for answers without a body of interest: ends with the answer's status. */
void inlay_op_step_end(struct inlay_op *op, const struct inlay_reply *r);

/* Reads an answer's body with the codec; a malformed one is -INLAY_EIO. For use as: err = INLAY_OP_GET(lookup, r, &rep) */
#define INLAY_OP_GET(lower, r, ret) inlay_op_get_done(inlay_get_##lower##_rep(&(struct inlay_reader){(r)->body, (r)->body + (r)->body_len, false}, (ret)))
static inline int inlay_op_get_done(int err)
{
	return err < 0 ? -INLAY_EIO : 0;
}

/* Looks a name up on one side (cred, name from op). */
void inlay_op_send_lookup(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name, enum inlay_side side,
                          void (*step)(struct inlay_op *op, const struct inlay_reply *r));

/*
 * The rules for a name in a directory, if it were a file, an existing directory (NULL where the rule is contested) or
 * a new directory. Sets op->rule_file, rule_dir and rule_new_dir.
 */
void inlay_op_match_rules(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name);

/*
 * Decides on which side `name` in `dir` is or, if new, is to be made; type: 0 unknown, INLAY_TYPE_DIR, or any other.
 * Then calls then(op) with op->side set (op->seen[INLAY_LOCAL] and decide.found: it exists locally, where that was asked).
 * It may send a lookup to the local side first.
 * `favoured`: the side for a new name without a rule in a directory that is on both (usually INLAY_REMOTE).
 */
void inlay_op_decide(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name, uint32_t type,
                     enum inlay_side favoured, void (*then)(struct inlay_op *op));

/* Makes sure that dir exists on the side, making it and its parents as needed; then calls then(op) or ends the op. */
void inlay_op_ensure_dir(struct inlay_op *op, struct inlay_node *dir, enum inlay_side side,
                         void (*then)(struct inlay_op *op));

/* Makes op->opened, consuming the side's handle; on failure closes it there and returns the status. token: its remote half's. */
int inlay_op_opened(struct inlay_op *op, struct inlay_node *node, enum inlay_side side, uint64_t handle, bool is_dir,
                    uint64_t token);
/* Sets op->found from an answer of one side; -INLAY_ENOMEM. */
int inlay_op_found(struct inlay_op *op, struct inlay_node *dir, struct inlay_str name, enum inlay_side side,
                   const struct inlay_node_id *id, uint32_t mode);
/* Fits attributes of a side for the kernel: local inode numbers are set apart from remote ones. */
void inlay_op_fit_attr(struct inlay_op *op, enum inlay_side side);

/* ---- held.c: the locks that the server has granted, so that they can be reclaimed ---- */
/*
 * in.lock is being asked for: what it gives up counts as gone from now on, for another may have it before the answer is
 * here. It was granted: only then it counts as held.
 */
void inlay_held_asked(struct inlay_op *op);
void inlay_held_granted(struct inlay_op *op);
/* All that is asked for is held, as a predecessor has noted it: the answer was not told to the kernel any more. */
bool inlay_held_has(struct inlay_op *op);
/* Those taken through this file are gone. */
void inlay_held_drop(struct inlay_redirect *r, struct inlay_file *f);
/* What is held of asked's owner from asked->start on, one way up to its end: as a LOCK to be sent, an UNLOCK where it's nothing. */
struct inlay_lock_req inlay_held_piece(struct inlay_redirect *r, struct inlay_file *f, const struct inlay_lock_req *asked);
/* One that another process had, as its row in the estate says. False: out of memory. */
bool inlay_held_restore(struct inlay_file *f, const struct inlay_lock_req *l, uint32_t row);
/* The next lock of the file that this run (redirect->reclaims) has not had yet, as a LOCK to be sent. */
bool inlay_held_next(struct inlay_redirect *r, struct inlay_file *f, uint32_t run, struct inlay_lock_req *ret);

/* A CLOSE that released locks of the node is done: locks that were refused for their sake ask again. */
void inlay_locks_closed(struct inlay_redirect *r, struct inlay_node *node);
/* A request for a lock of the node that was given up is undone: what waits for that is asked for. */
void inlay_locks_undone(struct inlay_redirect *r, struct inlay_node *node);

/* ---- undo.c: requests for locks that are given up ---- */
/* Memory to give it up with, freed with the operation. False: there is none. */
bool inlay_undo_prepare(struct inlay_op *op);
/* Its side has queued it, and it is given up. */
void inlay_undo_queued(struct inlay_op *op);
/* For call.heir: it may have reached its side, or may still do so. */
struct inlay_call *inlay_undo_heir(struct inlay_call *c);
/* Under waiters_lock: the same owner has given up something of that file, which is not undone yet. */
bool inlay_undo_is_due(const struct inlay_op *op);

/* Whether the judge hides an entry of this directory's listing on that side. Uses op->rule_file and rule_dir. */
bool inlay_op_is_hidden(struct inlay_op *op, struct inlay_node *dir, const struct inlay_dirent *d, enum inlay_side side);
/* A reply named this node, and no node of ours counts that. */
void inlay_op_unpin(struct inlay_op *op, enum inlay_side side, const struct inlay_node_id *id);
/* Tells a side, with an op of its own that nobody waits for. */
void inlay_redirect_close_handle(struct inlay_redirect *r, unsigned lane, enum inlay_side side, uint64_t handle);
/* For call.heir of a CLOSE: given up or not, the file has to be closed. */
struct inlay_call *inlay_op_heir(struct inlay_call *c);
/* For whoever goes on with its own business and needs its loop for that. */
void inlay_redirect_submit_later(struct inlay_redirect *r, unsigned lane, enum inlay_side side, struct inlay_call *call);

#endif

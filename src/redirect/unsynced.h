/*
 * Changes of remote files' content that are answered and not yet on the server's disk: kept, so that they can be sent again
 * when its host has crashed.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/redirect. unsynced.c keeps and lets go, resend.c sends again.
 *
 * A file is whole when every change since the last sync is kept, and replaying them in their order on the file as a crash
 * left it makes it what programs believe it to be. What can't be kept (no room, no memory, what can't be repeated, a file
 * that others change as well) leaves a gap: then nothing of the file is kept until a sync has covered the gap, and a crash is
 * told as EIO. A gap is node->changes and node->synced differing, whoever brought that about.
 */
#ifndef INLAY_REDIRECT_UNSYNCED_H
#define INLAY_REDIRECT_UNSYNCED_H

#include "redirect/op.h"

/* One change, or the place of a file's last gap among them (type 0). */
struct inlay_change {
	struct inlay_list of_file, of_all;
	struct inlay_unsynced_file *file;
	uint64_t seq;        /* of all changes of this attachment */
	size_t cost;         /* bytes of memory it holds */
	uint16_t type;       /* INLAY_WRITE, INLAY_SETATTR (len: the size), INLAY_FALLOCATE */
	uint32_t flags;      /* of the message; FALLOCATE: its mode */
	uint64_t off, len;
	const uint8_t *data;
	void *hold;          /* owner of data, a reference of ours; NULL: data lies behind this */
};

/* There while anything of the file is kept, or it has a gap that a sync may yet cover. All under redirect->kept.lock. */
struct inlay_unsynced_file {
	struct inlay_list link;     /* kept.files */
	struct inlay_node *node;    /* held: the file's only one */
	struct inlay_list changes;  /* oldest first */
	struct inlay_change gap;    /* len: node->changes then */
	size_t bytes;
	uint64_t modified;          /* ns: the file's modification time is not later, unless others have changed it */
	uint64_t token;             /* of an opening by which it can be written to; 0: none */
	uint32_t flags;             /* of that opening */
	bool resending;             /* begun, and not come to its end: what was sent may have been done */
	uint32_t run;               /* the reclaim in which it had its turn last */
};

/* ---- what happened; each on the op's lane, before the op ends ---- */

/* A change of the node's content is sent, and has been answered. */
void inlay_unsynced_begin(struct inlay_node *n);
void inlay_unsynced_end(struct inlay_node *n);
/* The answers of what changes content. */
void inlay_unsynced_written(struct inlay_op *op);
void inlay_unsynced_allocated(struct inlay_op *op, const struct inlay_fallocate_rep *rep);
void inlay_unsynced_attr_set(struct inlay_op *op, uint32_t flags);
void inlay_unsynced_opened(struct inlay_op *op, const struct inlay_file *f);
/* COMMIT goes out: what it covers; it succeeded. */
void inlay_unsynced_asked(struct inlay_op *op);
void inlay_unsynced_committed(struct inlay_op *op);

/* ---- for resend.c, in a reclaim: no other answer comes in meanwhile ---- */

/* The next file that this run hasn't had, NULL: that was the last one. */
struct inlay_unsynced_file *inlay_unsynced_next(struct inlay_redirect *r, uint32_t run);
/* The change after this one, NULL: the file's first; NULL: there is none. */
const struct inlay_change *inlay_unsynced_after(struct inlay_redirect *r, struct inlay_unsynced_file *k, const struct inlay_change *c);
/* What is kept of it can't be sent again: whoever has it open for writing is told. k is gone. */
void inlay_unsynced_lost(struct inlay_redirect *r, struct inlay_unsynced_file *k, unsigned lane);
/* A crash has come over the files that are not whole: they begin anew. How many there were. */
unsigned inlay_unsynced_drop_gaps(struct inlay_redirect *r, unsigned lane);
/* Something that was written by it may be lost, as far as it can write: it is told. */
void inlay_unsynced_tell(struct inlay_redirect *r, struct inlay_file *f);

void inlay_unsynced_init(struct inlay_redirect *r);
/* No file is open any more, no call under way. */
void inlay_unsynced_done(struct inlay_redirect *r);

#endif

/*
 * The filter on Windows, user side: requests of the driver's ring become operations of the redirector, and placeholders.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Knows the ring and the names, times and statuses of Windows, but calls no host: what stands in the filter directory
 * it asks and changes through struct inlay_placeholders_ops, and the driver is woken by a callback. So it builds natively, too.
 *
 * Names are the first loop's ("home"): it takes requests from the ring and answers them. When many reads and writes are
 * under way they are spread over the other loops' lanes.
 */
#ifndef INLAY_INTERCEPT_WINFILTER_WINFILTER_H
#define INLAY_INTERCEPT_WINFILTER_WINFILTER_H

#include "net/loop.h"
#include "redirect/redirect.h"
#include "ring/abi.h"
#include "ring/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inlay_winfilter;

/* ---- what stands in the filter directory ---- */

#define INLAY_PLACEHOLDER_NAME_MAX 765u /* bytes of one name: 255 UTF-16 units, three bytes each at most */

/* What a placeholder carries (as the extended attribute INLAY): whose it is, and which file of the server it stands for. */
struct inlay_placeholder_mark {
	struct inlay_uuid attachment;
	struct inlay_node_id node;
};

enum inlay_placeholder_state {
	INLAY_PLACEHOLDER_ABSENT = 0, /* nothing has that name */
	INLAY_PLACEHOLDER_LOCAL = 1,  /* no mark of this attachment: never touched */
	INLAY_PLACEHOLDER_MARKED = 2, /* a placeholder: mark is set */
};

struct inlay_placeholder {
	enum inlay_placeholder_state state;
	struct inlay_ring_attr attr;   /* as NTFS has it; attributes tells directories */
	struct inlay_placeholder_mark mark;
	char name[INLAY_PLACEHOLDER_NAME_MAX + 1]; /* the last part of the path with its case on NTFS */
};

/* What is to stand at a path. */
struct inlay_placeholder_want {
	struct inlay_ring_attr attr;   /* size, times and attributes (0 = whatever it has); a directory's size is 0 */
	struct inlay_placeholder_mark mark;
	const uint8_t *security;       /* a self-relative security descriptor, NULL: inherited */
	uint32_t security_len;
};

/*
 * Calls of the host, all on spare threads (inlay_loop_offload), several at once, never two that change the same directory's
 * entries. All may block, and each may come again with the same arguments (idempotent). arg: the host's.
 *
 * Paths are relative to the filter directory, "" for itself, '/' between the parts, WTF-8: UTF-8 in which an unpaired
 * surrogate stands as three bytes; each part is 1-255 UTF-16 units and none is "." or "..". NTFS is case-insensitive: so is what
 * stands at a path. The host sees to it that no part of the path is followed through a reparse point. Returns 0 or a status:
 *     -INLAY_ENOENT   the directory above is not there (any call but inspect: then it's ABSENT)
 *     -INLAY_EEXIST   something without our mark stands there
 *     -INLAY_EBUSY    programs hold it open in a way that forbids the change
 *     -INLAY_ENOTEMPTY remove: something without our mark lies in the directory
 */
struct inlay_placeholders_ops {
	size_t size;                   /* sizeof(struct inlay_placeholders_ops) */
	int (*inspect)(void *arg, const char *path, struct inlay_placeholder *ret);
	/*
	 * A placeholder for `want` stands there afterwards: made, or the marked one there is brought up to date (its mark included; its
	 * name's case, too, when it differs). Never where something unmarked stands, and never another type than what stands there (-INLAY_EEXIST).
	 */
	int (*put)(void *arg, const char *path, const struct inlay_placeholder_want *want);
	/*
	 * No placeholder stands there afterwards. A directory's placeholders beneath it go, too; where something without a mark is left, the
	 * directories above it lose their mark and stay (-INLAY_ENOTEMPTY).
	 */
	int (*remove)(void *arg, const char *path);
	/* Calls each() for every entry but "." and ".."; its name is p->name. Stops at, and returns, what each() returns below 0. */
	int (*list)(void *arg, const char *path, int (*each)(void *each_arg, const struct inlay_placeholder *p), void *each_arg);
};

/* ---- the filter ---- */

struct inlay_winfilter_config {
	struct inlay_redirect *redirect;     /* its local side is not present: NTFS serves what is local */
	struct inlay_loop *const *loop;      /* one per lane of redirect; loop[0] is home. Copied */
	void *section;                       /* geometry.size bytes, 4 KiB aligned; the head is written by inlay_winfilter_new */
	struct inlay_ring_geometry geometry; /* of inlay_ring_layout */
	uint32_t directory;                  /* the filter directory's number; requests for others are refused */
	bool readonly;                       /* the attachment or its export */
	struct inlay_uuid attachment;        /* for the marks */
	const struct inlay_placeholders_ops *placeholders;
	void *placeholders_arg;
	/* Sets the completions event. Any loop's thread. */
	void (*wake_driver)(void *arg);
	/* The ring is dead: the driver broke its rules (a status says which). Home's thread, once. Requests are answered no more. NULL: fine. */
	void (*broken)(void *arg, int status);
	void *arg;
	struct inlay_cred cred;              /* who programs are on the server */
	/* Another identity for a process; false: cred it is. Home's thread, must not block. NULL: always cred. */
	bool (*cred_of)(void *arg, uint32_t process, struct inlay_cred *ret);
	bool security;                       /* placeholders get a security descriptor made of mode and owners (security.h) */
	const uint8_t *owner_sid;            /* with it: the SID that cred.uid stands for, owner_sid_len bytes; NULL: S-1-22-1-uid. Copied */
	uint32_t owner_sid_len;
	uint32_t umask;                      /* of new files and directories: 022 */
	uint32_t hold_ms;                    /* how long an OPEN waits for a name that is being renamed or removed; 0 = 30000 */
};

/*
 * Makes the ring in the section; the judge's rules match in either case from now on. No thread of the loops runs yet, or the caller
 * is home's thread. 0 or a status.
 */
int inlay_winfilter_new(const struct inlay_winfilter_config *config, struct inlay_winfilter **ret);

/*
 * The requests event was set, or may have been: takes and starts what is there, and says in the ring that it sleeps once that is
 * nothing. Home's thread. Call it once after the driver has been told of the ring, and then each time the event fires.
 */
void inlay_winfilter_ready(struct inlay_winfilter *w);

/*
 * Ends what waits (names held, placeholders) with STATUS_CANCELLED and refuses what comes; what is at the server ends when the lanes end. Home's
 * thread, or after the loops' threads have stopped.
 */
void inlay_winfilter_stop(struct inlay_winfilter *w);

/*
 * After stop, after the lanes and the loops' threads have ended. Closes nothing at the server: the session's end does. The section may be
 * unmapped afterwards. NULL is fine.
 */
void inlay_winfilter_free(struct inlay_winfilter *w);

/* redirect->repost for operations that came from here. */
void inlay_winfilter_repost(struct inlay_redirect *r, struct inlay_op *op);

struct inlay_winfilter_counts {
	uint64_t requests, answers, errors;  /* answers include errors */
	uint64_t outstanding;                /* requests without an answer */
	uint64_t files;                      /* open numbers */
	uint64_t placeholders;               /* put or removed */
	uint64_t held;                       /* names held now */
	uint64_t refused;                    /* malformed requests: a driver sends none */
};
/* A picture of the moment. Any thread. */
void inlay_winfilter_counts(struct inlay_winfilter *w, struct inlay_winfilter_counts *ret);

#endif

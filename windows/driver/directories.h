/*
 * The filter directories: whose names they are, and which redirector serves them.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A directory whose redirector has gone stays known as an orphan until it is registered again or the driver goes, because there may be
 * placeholders left in it, whose data must not be taken for zeros.
 */
#ifndef INLAY_DRIVER_DIRECTORIES_H
#define INLAY_DRIVER_DIRECTORIES_H

#include "queue.h"
#include "ring/control.h"

struct inlay_directory {
	LIST_ENTRY link;            /* the list's lock */
	LONG references;
	const void *owner;          /* the control handle; NULL: an orphan. The list's lock */
	bool live;                  /* owned, its volume there; written with the list's lock, read without: requests may be sent */
	struct inlay_queue *queue;  /* a reference */
	ULONG number, process;      /* the redirector's choice; its process */
	LONG open_files;            /* interlocked */
	LONG64 passed;              /* interlocked */
	UNICODE_STRING path;        /* with the volume, "\Device\HarddiskVolume3\Users\x\disks" */
	USHORT volume_length;       /* bytes */
	WCHAR room[];
};

struct inlay_directory_setup {
	const void *owner;
	const bool *closed;         /* of the owner; looked at with the list's lock: STATUS_DEVICE_NOT_CONNECTED */
	struct inlay_queue *queue;
	ULONG number, process;
	UNICODE_STRING volume, path;
};

/* IRQL of all that isn't said otherwise: PASSIVE_LEVEL. */
NTSTATUS inlay_directories_init(void);
void inlay_directories_done(void);

/* STATUS_OBJECT_NAME_COLLISION: within or above one that is registered, or the owner has that number. STATUS_OBJECT_NAME_INVALID. */
NTSTATUS inlay_directories_add(const struct inlay_directory_setup *setup);
/* STATUS_NOT_FOUND */
NTSTATUS inlay_directories_remove(const void *owner, ULONG number);
NTSTATUS inlay_directories_usage(const void *owner, ULONG number, struct inlay_control_usage *ret);
/* Makes orphans of all of an owner's, and sets *closed. */
void inlay_directories_orphan(const void *owner, bool *closed);

/* Whether a volume of this device name has directories. */
bool inlay_directories_on(const UNICODE_STRING *volume);
/*
 * The same; and the filter comes to the volume, or leaves it: then all that is under way in those directories ends with
 * STATUS_DEVICE_NOT_CONNECTED, and nothing new begins, until it comes again.
 */
bool inlay_directories_volume(const UNICODE_STRING *volume, bool attached);
/* Whether there are any at all. IRQL: any. */
bool inlay_directories_any(void);

/*
 * The directory that a full name lies in (or is), as a reference, or NULL. *ret_rest: the name within it, with neither backslash around
 * it, pointing into name; the stream, if one is named, is cut off and put in *ret_stream (empty: none, or the unnamed one).
 */
struct inlay_directory *inlay_directories_find(const UNICODE_STRING *name, UNICODE_STRING *ret_rest, UNICODE_STRING *ret_stream);

/* Whether requests may be sent. IRQL: DISPATCH_LEVEL. */
bool inlay_directory_live(struct inlay_directory *directory);
/* IRQL: APC_LEVEL */
void inlay_directory_ref(struct inlay_directory *directory);
void inlay_directory_unref(struct inlay_directory *directory);

#endif

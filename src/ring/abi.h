/*
 * The shared section between the Windows driver and the redirector, byte for byte: two rings and data slots.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The driver (the requester) puts requests into the submission ring, the redirector (the responder) answers through the
 * completion ring, in any order. The redirector makes the section, writes the head once and registers it (control.h);
 * the driver copies the geometry out, checks the copy and never reads it again. Everything the redirector writes is
 * hostile to the driver, and the other way round: indexes and entries are copied, then checked, then used.
 *
 *     0                 struct inlay_ring_head
 *     sq_off            entries x struct inlay_ring_request     written by the driver
 *     cq_off            entries x struct inlay_ring_completion  written by the redirector
 *     slots_off         slots x slot_size bytes                 names and data, both ways; 4 KiB aligned
 *
 * Indexes count for ever and are taken modulo entries. At most `entries` requests are outstanding, so the completion
 * ring can't overflow. A slot belongs to the driver, but from the request that names it until that request's
 * completion; a request that the driver has given up (CANCEL) keeps its slot until its completion has come.
 */
#ifndef INLAY_RING_ABI_H
#define INLAY_RING_ABI_H

#include <stddef.h>
#include <stdint.h>

#define INLAY_RING_MAGIC 0x676e7249u /* "Irng" */
#define INLAY_RING_VERSION 1u
#define INLAY_RING_ENTRIES_MAX 4096u
#define INLAY_RING_SLOTS_MAX 4096u
#define INLAY_RING_SLOT_MIN (64u * 1024u)        /* a whole path fits: 32,767 UTF-16 units */
#define INLAY_RING_SLOT_MAX (1024u * 1024u)      /* one READ or WRITE of the protocol */
#define INLAY_RING_SECTION_MAX (256u * 1024u * 1024u)
#define INLAY_RING_NO_SLOT 0xffffffffu

/* One index on a cache line of its own. Loads acquire, stores release. */
struct inlay_ring_index {
	uint32_t value;
	uint8_t pad[60];
};

struct inlay_ring_head {
	uint32_t magic, version;
	uint32_t entries;   /* of each ring; a power of two */
	uint32_t slots;     /* how many */
	uint32_t slot_size; /* bytes; a multiple of 4 KiB */
	uint32_t sq_off, cq_off, slots_off; /* bytes from the section's start; slots_off a multiple of 4 KiB */
	uint64_t size;      /* bytes of the whole section */
	uint8_t pad[24];
	struct inlay_ring_index sq_tail;      /* driver: requests put in */
	struct inlay_ring_index sq_head;      /* redirector: requests taken out */
	struct inlay_ring_index cq_tail;      /* redirector: completions put in */
	struct inlay_ring_index cq_head;      /* driver: completions taken out */
	/* 1, by the one who is about to sleep: set its event after adding. Who does so swaps in 0 first: one event for one sleep. */
	struct inlay_ring_index redirector_asleep; /* the driver sets the requests event */
	struct inlay_ring_index driver_asleep;     /* the redirector sets the completions event */
};

/*
 * What the driver asks for. "name" means: a path relative to the filter directory in the slot, UTF-16LE, `length` bytes, no
 * backslash in front or behind, empty for the filter directory itself. "file": the redirector's number, from OPEN.
 */
enum inlay_ring_kind {
	/*
	 * A program opens a name (before NTFS sees it): judge it, and when it is remote have its placeholder stand there as
	 * the server's file is now. in.open. Answer: verdict, and for INLAY_RING_REMOTE also file, attr and created.
	 */
	INLAY_RING_OPEN = 1,
	INLAY_RING_CLOSE = 2,     /* file is not used any more. The answer comes when the server has closed it. */
	INLAY_RING_READ = 3,      /* file, offset, length <= slot_size. Answer: length read into the slot, short at the end of file only */
	INLAY_RING_WRITE = 4,     /* file, offset, length, data in the slot. Answer: length written, attr.size afterwards */
	INLAY_RING_FLUSH = 5,     /* file: what was written is on the server's disk */
	INLAY_RING_GETATTR = 6,   /* file. Answer: attr */
	INLAY_RING_SETATTR = 7,   /* file, in.set. Answer: attr */
	INLAY_RING_LIST = 8,      /* file (a directory): its placeholders stand as the server's entries are now */
	/*
	 * Names that are about to change on NTFS. BEGIN judges, asks the server whether it would allow it, and holds the names: OPENs
	 * of them wait. END follows whatever came of it: with INLAY_RING_DONE in flags NTFS has done it and the server must
	 * follow; without, nothing happened. A failed END tells the driver to undo it on NTFS.
	 */
	INLAY_RING_RENAME_BEGIN = 9,  /* file, name = the new one, in.rename. file 0: a local one; success = the new name is local, too; no END */
	INLAY_RING_RENAME_END = 10,   /* file */
	INLAY_RING_REMOVE_BEGIN = 11, /* file */
	INLAY_RING_REMOVE_END = 12,   /* file */
	INLAY_RING_CANCEL = 13,   /* offset = the tag of a request whose program waits no longer. Has no answer of its own */
	INLAY_RING_STATFS = 14,   /* file. Answer: attr.size = bytes in all, attr.allocation = bytes free to the caller */
	INLAY_RING_KIND_TOP = 15,
};

enum inlay_ring_flags {
	/*
	 * READ, WRITE, SETATTR: from the memory manager, with the file's locks held on NTFS; must not lead to another file request, nor wait
	 * for one. Such a WRITE never makes the file longer: what lies
	 * behind its end is dropped, and counted as written.
	 */
	INLAY_RING_PAGING = 1 << 0,
	INLAY_RING_NOCACHE = 1 << 1,
	INLAY_RING_WRITE_THROUGH = 1 << 2, /* WRITE: durable before the answer */
	INLAY_RING_APPEND = 1 << 3,        /* WRITE: at the end of file; offset is not used */
	INLAY_RING_DONE = 1 << 4,          /* RENAME_END, REMOVE_END */
	INLAY_RING_FLAGS_KNOWN = (1 << 5) - 1,
};

enum inlay_ring_set { INLAY_RING_SET_SIZE = 1, INLAY_RING_SET_TIMES = 2, INLAY_RING_SET_ATTRIBUTES = 4 };

/* Times are of Windows: 100 ns since 1601. 0 in a SETATTR: leave it. */
struct inlay_ring_attr {
	uint64_t size, allocation; /* bytes */
	int64_t created, accessed, written, changed;
	uint64_t index;            /* the file's lasting number, as programs see it */
	uint32_t attributes;       /* FILE_ATTRIBUTE_... */
	uint32_t links;
};

struct inlay_ring_request {
	uint64_t tag;      /* the driver's; given back as it is */
	uint32_t kind;     /* enum inlay_ring_kind */
	uint32_t flags;    /* enum inlay_ring_flags */
	uint64_t file;     /* 0 = none */
	uint64_t offset;   /* bytes */
	uint32_t length;   /* bytes */
	uint32_t slot;     /* INLAY_RING_NO_SLOT = none */
	uint32_t process;  /* who asks: process id; 0 = unknown or the system */
	uint32_t directory; /* the filter directory's number, from registration */
	union {
		struct {
			uint32_t disposition; /* FILE_SUPERSEDE ... FILE_OVERWRITE_IF */
			uint32_t options;     /* FILE_DIRECTORY_FILE ... */
			uint32_t access;      /* desired, as asked */
			uint32_t attributes;  /* for a new file */
		} open;
		struct {
			uint32_t mask; /* enum inlay_ring_set */
			uint32_t pad;
			struct inlay_ring_attr attr;
		} set;
		struct {
			uint32_t replace; /* 1: an existing target may be replaced */
		} rename;
		uint8_t room[80];
	} in;
};

/* OPEN's answer. */
enum inlay_ring_verdict {
	INLAY_RING_LOCAL = 1,  /* NTFS alone serves it, whether it exists or not */
	INLAY_RING_REMOTE = 2, /* a placeholder stands there; its data is the server's */
	INLAY_RING_ABSENT = 3, /* on neither side, nor made: NTFS will say so */
};

struct inlay_ring_completion {
	uint64_t tag;
	uint32_t status;  /* an NTSTATUS; the driver takes anything but success, warnings it knows, and errors for an I/O error */
	uint32_t length;  /* bytes */
	uint64_t file;    /* OPEN */
	uint32_t verdict; /* OPEN: enum inlay_ring_verdict */
	uint32_t created; /* OPEN: 1 = the server made the file for this request: the program learns FILE_CREATED */
	struct inlay_ring_attr attr;
	uint8_t pad[32];
};

_Static_assert(sizeof(struct inlay_ring_index) == 64, "a cache line");
_Static_assert(sizeof(struct inlay_ring_head) == 64 + 6 * 64, "the head's layout is fixed");
_Static_assert(sizeof(struct inlay_ring_attr) == 64, "the attributes' layout is fixed");
_Static_assert(sizeof(struct inlay_ring_request) == 128, "the request's layout is fixed");
_Static_assert(sizeof(struct inlay_ring_completion) == 128, "the completion's layout is fixed");
_Static_assert(offsetof(struct inlay_ring_request, in) == 48, "the request's layout is fixed");
_Static_assert(offsetof(struct inlay_ring_completion, attr) == 32, "the completion's layout is fixed");

#endif

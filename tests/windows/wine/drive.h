/*
 * Between the hook library in a test program and the simulated drive in fltmgr.sys: what Wine does not forward to drivers.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A handle on the drive is a true Wine handle of the bare device, bound by a CREATE call to a file of the simulation. Reads,
 * writes and flushes go the way that Wine forwards (an offset of -2 stands for the handle's position); everything else is one of
 * these calls: input struct drive_call with its data behind it, output struct drive_reply with its data behind it. The device
 * control itself succeeds when the reply is valid. DRIVE_ASYNC calls may stay pending, have no reply struct, and end with the status of the
 * operation itself, so that events, completion ports and cancellation are Wine's.
 */
#ifndef INLAY_DRIVE_H
#define INLAY_DRIVE_H

#include <stdint.h>

#define DRIVE_DEVICE L"\\Device\\InlayDrive" /* the volume's device name, as the filter sees it */
#define DRIVE_LINK L"\\DosDevices\\I:"
#define DRIVE_LETTER L'I'

/* CTL_CODE(0x22, function, METHOD_BUFFERED, FILE_ANY_ACCESS) */
#define DRIVE_CODE(function) ((0x22u << 16) | ((function) << 2))
#define DRIVE_CALL DRIVE_CODE(0x900u)
#define DRIVE_ASYNC DRIVE_CODE(0x901u)
/* Out: struct drive_health, then the violations as lines of text. Needs no CREATE. */
#define DRIVE_HEALTH DRIVE_CODE(0x902u)
/* Closes what is left of the volume's pages, forgets violations; in: nothing. */
#define DRIVE_FORGET DRIVE_CODE(0x903u)
/* In and out: struct drive_bench, on a handle bound to a remote file (RING) or on any (CALLS). Ends when all were answered. */
#define DRIVE_BENCH DRIVE_CODE(0x904u)
/*
 * A process that serves CALLS keeps some of these pending. In: struct drive_bench_next with the answered request's number and data behind
 * it, number 0 at first; out: the next request. STATUS_CANCELLED: the run is over.
 */
#define DRIVE_BENCH_NEXT DRIVE_CODE(0x905u)
/* Dismounts the volume and mounts an empty one, with no file open: what filters have on it is torn down. */
#define DRIVE_REMOUNT DRIVE_CODE(0x906u)
/* The volume goes by force, whatever is open on it; DRIVE_REMOUNT once nothing is. */
#define DRIVE_DISMOUNT DRIVE_CODE(0x908u)
/* fltmc detach: filters are asked. */
#define DRIVE_DETACH DRIVE_CODE(0x909u)

/* Reports a violation, so that it can be shown that tests fail by one. */
#define DRIVE_VIOLATE DRIVE_CODE(0x907u)

enum drive_bench_kind { DRIVE_BENCH_RING = 0, DRIVE_BENCH_CALLS = 1 };

struct drive_bench {
	uint32_t kind, depth; /* threads that ask */
	uint32_t count, length; /* requests in all; bytes of each */
	uint32_t failed, pad; /* out: requests with an error or with wrong data */
	uint64_t elapsed;     /* out: 100 ns */
};

struct drive_bench_next {
	uint64_t number, offset;
	uint32_t length, pad;
};

enum drive_kind {
	DRIVE_CREATE = 1,       /* path, then EA list; access ... allocation, related */
	DRIVE_CLEANUP = 2,      /* the last handle is about to be closed: answered when its effects are there */
	DRIVE_IDENTIFY = 3,     /* answer: uint64_t, the number to give as `related` */
	DRIVE_QUERY_INFO = 4,   /* class; answer: the information */
	DRIVE_SET_INFO = 5,     /* class, data */
	DRIVE_QUERY_DIRECTORY = 6, /* class, pattern as data, flags */
	DRIVE_QUERY_VOLUME = 7, /* class */
	DRIVE_QUERY_ATTRIBUTES = 8, /* path; answer FILE_NETWORK_OPEN_INFORMATION. On an unbound handle */
	DRIVE_QUERY_EA = 9,     /* data: list; flags */
	DRIVE_SET_EA = 10,      /* data */
	DRIVE_QUERY_SECURITY = 11, /* class: security information */
	DRIVE_LOCK = 12,        /* offset, size; flags */
	DRIVE_UNLOCK = 13,
	DRIVE_NOTIFY = 14,      /* class: filter; flags. ASYNC only */
	DRIVE_FSCTL = 15,       /* class: code, data */
	DRIVE_MAP = 16,         /* size; flags. One view for each handle; it stays after the handle's end until UNMAP or close */
	DRIVE_VIEW_READ = 17,   /* offset; answer: bytes */
	DRIVE_VIEW_WRITE = 18,  /* offset, data */
	DRIVE_VIEW_FLUSH = 19,
	DRIVE_UNMAP = 20,
};

enum drive_flags {
	DRIVE_RESTART = 1,   /* directories, EA */
	DRIVE_SINGLE = 2,
	DRIVE_TREE = 4,      /* notification */
	DRIVE_EXCLUSIVE = 8, /* locks */
	DRIVE_WAIT = 16,     /* locks: until it is granted */
	DRIVE_WRITABLE = 32, /* views */
	DRIVE_PATTERN = 64,  /* directories: data is a pattern, even when empty */
};

struct drive_call {
	uint32_t kind, flags;
	uint32_t process; /* who calls */
	uint32_t class;
	uint32_t access, share, disposition, options, attributes;
	uint32_t length;  /* bytes of path or data behind this struct */
	uint32_t extra;   /* bytes of the EA list behind that, which starts 8 byte aligned from this struct's start */
	uint32_t answer;  /* bytes of the answer that the caller has room for */
	uint64_t related; /* from IDENTIFY, or 0 */
	uint64_t offset, size;
};

struct drive_reply {
	uint32_t status; /* NTSTATUS */
	uint32_t pad;
	uint64_t information;
};

struct drive_health {
	uint32_t violations, filters;
	uint64_t handles; /* bound files */
	uint64_t callbacks, pended, contexts, names, under_way;
	uint64_t reads, writes, paging_reads, paging_writes;
	uint64_t patched; /* imports of filters that were replaced */
	uint64_t pool;    /* allocations of filters */
};

_Static_assert(sizeof(struct drive_call) == 72, "fixed");
_Static_assert(sizeof(struct drive_reply) == 16, "fixed");

#endif

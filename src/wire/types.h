/*
 * The values that messages are made of, as the program holds them. Their bytes: schema.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WIRE_TYPES_H
#define INLAY_WIRE_TYPES_H

#include "base/bytes.h"
#include "base/limits.h"

#include <stdint.h>

/* Names a file for as long as it exists, over renames and server restarts. Opaque to clients; all zero = none. */
struct inlay_node_id {
	uint8_t bytes[40];
};

/* 16 random bytes. */
struct inlay_uuid {
	uint8_t bytes[16];
};

struct inlay_time {
	int64_t sec;
	uint32_t nsec;
	uint32_t pad;
};

struct inlay_attr {
	uint64_t ino;
	uint64_t size;   /* bytes */
	uint64_t blocks; /* of 512 bytes */
	uint64_t change; /* differs whenever data or attributes differ */
	struct inlay_time atime, mtime, ctime, btime;
	uint32_t mode; /* type and permissions, POSIX numbers */
	uint32_t nlink, uid, gid;
	uint32_t rdev_major, rdev_minor;
	uint32_t blksize; /* bytes */
	uint32_t pad;
};

/* What attr.mode says beside permissions: POSIX numbers, which not every host's headers have. */
enum inlay_mode {
	INLAY_MODE_TYPE = 0170000, /* the bits that tell one of these */
	INLAY_MODE_PIPE = 0010000,
	INLAY_MODE_CHAR = 0020000,
	INLAY_MODE_DIR = 0040000,
	INLAY_MODE_BLOCK = 0060000,
	INLAY_MODE_FILE = 0100000,
	INLAY_MODE_LINK = 0120000,
	INLAY_MODE_SOCKET = 0140000,
	INLAY_MODE_SETUID = 04000,
	INLAY_MODE_SETGID = 02000,
	INLAY_MODE_STICKY = 01000,
};

static inline uint32_t inlay_attr_type(const struct inlay_attr *a)
{
	return a->mode & INLAY_MODE_TYPE;
}

/* Who asks. Numbers of the client's host; what they mean on the server is the export's identity rule. */
struct inlay_cred {
	uint32_t uid, gid;
	uint32_t ngroups;
	uint32_t groups[INLAY_GROUPS_MAX];
};

enum inlay_lease_kind { INLAY_LEASE_NONE = 0, INLAY_LEASE_READ = 1, INLAY_LEASE_WRITE = 2 };

struct inlay_lease {
	uint32_t kind;
	uint32_t term_ms;
};

/* Flags of OPEN, CREATE, TMPFILE. The low two bits are the access mode. */
enum inlay_open_flags {
	INLAY_O_RDONLY = 0,
	INLAY_O_WRONLY = 1,
	INLAY_O_RDWR = 2,
	INLAY_O_ACCMODE = 3,
	INLAY_O_EXCL = 1 << 2,      /* CREATE: the name must be new. TMPFILE: the file can't be linked */
	INLAY_O_TRUNC = 1 << 3,
	INLAY_O_APPEND = 1 << 4,    /* each write lands at the end of file, atomically among all clients */
	INLAY_O_SYNC = 1 << 5,      /* each write is durable with its metadata before it is answered */
	INLAY_O_DSYNC = 1 << 6,     /* each write's data is durable before it is answered */
	INLAY_O_DIRECT = 1 << 7,    /* advice: bypass the server's cache where alignment allows */
	INLAY_O_NOATIME = 1 << 8,
	INLAY_O_KILL_PRIV = 1 << 9, /* with TRUNC: drop set-id bits */
	INLAY_O_EXEC = 1 << 10,     /* opened to execute: needs x, not r */
	INLAY_O_KNOWN = (1 << 11) - 1,
	INLAY_O_AGAIN = INLAY_O_KNOWN & ~(INLAY_O_EXCL | INLAY_O_TRUNC | INLAY_O_KILL_PRIV), /* what REOPEN takes */
};

enum inlay_setattr_mask {
	INLAY_SET_MODE = 1 << 0,
	INLAY_SET_UID = 1 << 1,
	INLAY_SET_GID = 1 << 2,
	INLAY_SET_SIZE = 1 << 3,
	INLAY_SET_ATIME = 1 << 4,
	INLAY_SET_MTIME = 1 << 5,
	INLAY_SET_ATIME_NOW = 1 << 6, /* server's clock; needs write permission only */
	INLAY_SET_MTIME_NOW = 1 << 7,
	INLAY_SET_KILL_PRIV = 1 << 8, /* drop set-id bits, as a non-root truncate or chown does */
	INLAY_SET_KNOWN = (1 << 9) - 1,
};

enum inlay_write_flags {
	INLAY_WRITE_DATA_SYNC = 1 << 0, /* data durable before the answer */
	INLAY_WRITE_FILE_SYNC = 1 << 1, /* data and metadata durable before the answer */
	INLAY_WRITE_KILL_PRIV = 1 << 2, /* drop set-id bits */
	INLAY_WRITE_ZEROS = 1 << 3,     /* no payload: `zeros` bytes of zero */
	INLAY_WRITE_AT = 1 << 4,        /* at the offset, though the file is open with INLAY_O_APPEND */
	INLAY_WRITE_KNOWN = (1 << 5) - 1,
};

/* Of the replies of WRITE, FALLOCATE and SETATTR. */
enum inlay_written_flags {
	INLAY_WRITTEN_DATA = 1 << 0,   /* the data is durable */
	INLAY_WRITTEN_FILE = 1 << 1,   /* so is the rest of the file */
	INLAY_WRITTEN_SHARED = 1 << 2, /* another client has changed the file's content since this one last did */
};

enum inlay_rename_flags { INLAY_RENAME_NOREPLACE = 1, INLAY_RENAME_EXCHANGE = 2, INLAY_RENAME_WHITEOUT = 4 };
enum inlay_xattr_flags { INLAY_XATTR_CREATE = 1, INLAY_XATTR_REPLACE = 2, INLAY_XATTR_KILL_SGID = 4 };
enum inlay_access_mask { INLAY_ACCESS_X = 1, INLAY_ACCESS_W = 2, INLAY_ACCESS_R = 4 };
enum inlay_seek_whence { INLAY_SEEK_DATA = 0, INLAY_SEEK_HOLE = 1 };
enum inlay_commit_flags { INLAY_COMMIT_DATA_ONLY = 1 };
enum inlay_readdir_flags { INLAY_READDIR_ATTRS = 1 };

/* FALLOCATE's mode: bits with the meaning that fallocate(2) gives them. */
enum inlay_fallocate_mode {
	INLAY_FALLOC_KEEP_SIZE = 1,
	INLAY_FALLOC_PUNCH_HOLE = 2,
	INLAY_FALLOC_COLLAPSE = 8,
	INLAY_FALLOC_ZERO = 16,
	INLAY_FALLOC_INSERT = 32,
	INLAY_FALLOC_UNSHARE = 64,
	INLAY_FALLOC_KNOWN = 1 | 2 | 8 | 16 | 32 | 64,
};

enum inlay_lock_kind { INLAY_LOCK_POSIX = 0, INLAY_LOCK_FLOCK = 1 };
enum inlay_lock_type { INLAY_LOCK_READ = 0, INLAY_LOCK_WRITE = 1, INLAY_LOCK_UNLOCK = 2 };
enum inlay_lock_flags {
	INLAY_LOCK_WAIT = 1,     /* when held by another: note the waiter, answer QUEUED, send EVENT_LOCK when it may be free */
	INLAY_LOCK_RECLAIM = 2,  /* it was held in the session that is being reclaimed */
};

enum inlay_reopen_kind { INLAY_REOPEN_FILE = 0, INLAY_REOPEN_DIR = 1 };

/* HELLO's reply: what the export is. */
enum inlay_export_flags {
	INLAY_EXPORT_READONLY = 1,
	INLAY_EXPORT_IDENTITY_CLIENT = 2, /* the caller's uid, gid and groups count */
	INLAY_EXPORT_WANTS_FORGET = 4,    /* node ids are pinned in memory: send FORGET when done with one */
};

/* Feature bits of HELLO: both ends must know a feature before either uses it. None is needed for version 1. */
enum inlay_features {
	INLAY_FEATURE_LEASES = 1,  /* reserved: leases and recall */
	INLAY_FEATURE_RECLAIM = 2, /* open files and locks reclaimed in a new session */
	INLAY_FEATURES_KNOWN = INLAY_FEATURE_RECLAIM,
};

#endif

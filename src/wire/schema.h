/*
 * The protocol's messages: the one list from which the codec, docs/PROTOCOL.md's tables, the Wireshark dissector and
 * the fuzz seeds come. A message is a request and its reply, or an event (server to client, no reply).
 *
 * F(type, name, text) is a field; fields stand in this order on the wire, little-endian:
 *   U32 U64   4 and 8 bytes. U32s stand in pairs, so that every U64 is 8-aligned
 *   NODE 40 bytes, UUID 16 bytes
 *   TIME 16: 8 bytes of signed seconds, U32 nanoseconds below 10^9, U32 zero
 *   ATTR 128: U64 ino size blocks change, TIME atime mtime ctime btime, U32 mode nlink uid gid rdev_major rdev_minor
 *        blksize zero
 *   LEASE 8: U32 kind, U32 term in ms
 *   CRED: U32 uid, U32 gid, U32 count (<= 1024), U32 zero, count * U32 groups, zeros to a multiple of 8
 *   NAME STR: U32 length, bytes, zeros to a multiple of 8. NAME: 1-255 bytes, no '/', no NUL, not "." or "..".
 *        STR: up to 16384 bytes, no NUL
 * Bulk data (READ's answer, WRITE's bytes, listings, attribute values) is no field: it is the frame's payload.
 *
 * A field named pad is written as zero, and refused when it is not.
 *
 * M(NAME, lower, number, flags): see enum inlay_message_flags. Numbers are never reused.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WIRE_SCHEMA_H
#define INLAY_WIRE_SCHEMA_H

/* clang-format off */
#define INLAY_MESSAGES(M) \
	M(HELLO,       hello,        1, INLAY_MSG_SESSION) \
	M(PING,        ping,         2, INLAY_MSG_SESSION) \
	M(BYE,         bye,          3, INLAY_MSG_SESSION) \
	M(LOOKUP,      lookup,      16, 0) \
	M(GETATTR,     getattr,     17, 0) \
	M(SETATTR,     setattr,     18, INLAY_MSG_MUTATES) \
	M(ACCESS,      access,      19, 0) \
	M(READLINK,    readlink,    20, 0) \
	M(OPEN,        open,        21, INLAY_MSG_MUTATES) \
	M(CREATE,      create,      22, INLAY_MSG_MUTATES) \
	M(TMPFILE,     tmpfile,     23, INLAY_MSG_MUTATES) \
	M(MKDIR,       mkdir,       24, INLAY_MSG_MUTATES) \
	M(MKNOD,       mknod,       25, INLAY_MSG_MUTATES) \
	M(SYMLINK,     symlink,     26, INLAY_MSG_MUTATES) \
	M(LINK,        link,        27, INLAY_MSG_MUTATES) \
	M(UNLINK,      unlink,      28, INLAY_MSG_MUTATES) \
	M(RMDIR,       rmdir,       29, INLAY_MSG_MUTATES) \
	M(RENAME,      rename,      30, INLAY_MSG_MUTATES) \
	M(READ,        read,        31, INLAY_MSG_REPLY_DATA) \
	M(WRITE,       write,       32, INLAY_MSG_MUTATES | INLAY_MSG_REQUEST_DATA) \
	M(COMMIT,      commit,      33, INLAY_MSG_MUTATES) \
	M(CLOSE,       close,       34, INLAY_MSG_MUTATES) \
	M(OPENDIR,     opendir,     35, INLAY_MSG_MUTATES) \
	M(READDIR,     readdir,     36, INLAY_MSG_REPLY_DATA) \
	M(STATFS,      statfs,      37, 0) \
	M(SYNCFS,      syncfs,      38, INLAY_MSG_MUTATES) \
	M(GETXATTR,    getxattr,    39, INLAY_MSG_REPLY_DATA) \
	M(SETXATTR,    setxattr,    40, INLAY_MSG_MUTATES | INLAY_MSG_REQUEST_DATA) \
	M(LISTXATTR,   listxattr,   41, INLAY_MSG_REPLY_DATA) \
	M(REMOVEXATTR, removexattr, 42, INLAY_MSG_MUTATES) \
	M(FALLOCATE,   fallocate,   43, INLAY_MSG_MUTATES) \
	M(SEEK,        seek,        44, 0) \
	M(COPY,        copy,        45, INLAY_MSG_MUTATES) \
	M(LOCK,        lock,        46, INLAY_MSG_MUTATES) \
	M(TESTLOCK,    testlock,    47, 0) \
	M(LOCK_CANCEL, lock_cancel, 48, INLAY_MSG_MUTATES) \
	M(FORGET,      forget,      49, INLAY_MSG_MUTATES | INLAY_MSG_REQUEST_DATA) \
	M(LEASE_RETURN, lease_return, 50, INLAY_MSG_MUTATES) \
	M(REOPEN,      reopen,      51, INLAY_MSG_MUTATES) \
	M(RECLAIM_DONE, reclaim_done, 52, INLAY_MSG_MUTATES) \
	M(EVENT_LOCK,  event_lock,  64, INLAY_MSG_EVENT) \
	M(EVENT_RECALL, event_recall, 65, INLAY_MSG_EVENT)

/* Session. HELLO and its reply carry no slot; every later request of the lane does. */
#define INLAY_HELLO_REQ(F) \
	F(U32, version_min, "oldest protocol version the client speaks") \
	F(U32, version_max, "newest protocol version the client speaks") \
	F(U64, features, "feature bits the client knows") \
	F(UUID, client, "the client process, random") \
	F(UUID, session, "session to join or resume; zero for a new one") \
	F(UUID, previous, "with a new one: the session that was lost, to reclaim what it had; zero for none") \
	F(U32, lane, "which of the session's connections this is, from 0") \
	F(U32, slots, "slots wanted on this lane") \
	F(U32, max_data, "largest payload the client takes") \
	F(U32, flags, "zero") \
	F(STR, export, "name of the export") \
	F(STR, host, "client's host and program, for logs and status")
#define INLAY_HELLO_REP(F) \
	F(U32, version, "chosen protocol version") \
	F(U32, slots, "slots granted on this lane, numbered from 0") \
	F(U64, features, "feature bits both ends know") \
	F(UUID, session, "the session's id") \
	F(UUID, boot, "of the server's host: differs when what was not synced may be lost") \
	F(U32, resumed, "1: slots and handles of this lane live on; 0: the lane is new") \
	F(U32, lanes, "most lanes of a session") \
	F(U32, max_data, "largest payload the server takes") \
	F(U32, lease_ms, "a session not heard from for so long is over") \
	F(U32, export_flags, "1 read-only, 2 identity=client, 4 wants FORGET") \
	F(U32, pad, "zero") \
	F(NODE, root, "the export's root directory") \
	F(ATTR, attr, "its attributes") \
	F(STR, server, "server's program and version") \
	F(STR, rules, "suggested rules, one a line")

#define INLAY_PING_REQ(F)
#define INLAY_PING_REP(F)
/* Ends the whole session at once: locks, handles and leases are freed. */
#define INLAY_BYE_REQ(F)
#define INLAY_BYE_REP(F)

/* Names and attributes */
#define INLAY_LOOKUP_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") F(NAME, name, "name in it")
#define INLAY_LOOKUP_REP(F) F(NODE, node, "what the name stands for") F(ATTR, attr, "its attributes") \
	F(LEASE, lease, "lease on node and entry")
#define INLAY_GETATTR_REQ(F) F(NODE, node, "file") F(U64, handle, "open file, 0 for none")
#define INLAY_GETATTR_REP(F) F(ATTR, attr, "attributes") F(LEASE, lease, "lease on the node")
#define INLAY_SETATTR_REQ(F) \
	F(NODE, node, "file") F(U64, handle, "open file, 0 for none") F(CRED, cred, "caller") \
	F(U32, valid, "1 mode, 2 uid, 4 gid, 8 size, 16 atime, 32 mtime, 64 atime now, 128 mtime now, 256 kill privileges") \
	F(U32, mode, "permissions") F(U32, uid, "owner") F(U32, gid, "group") F(U64, size, "bytes") \
	F(TIME, atime, "access time") F(TIME, mtime, "modification time")
#define INLAY_SETATTR_REP(F) F(ATTR, attr, "attributes afterwards") F(U32, flags, "4 shared, with a size") F(U32, pad, "zero")
#define INLAY_ACCESS_REQ(F) F(NODE, node, "file") F(CRED, cred, "caller") \
	F(U32, mask, "1 execute, 2 write, 4 read") F(U32, pad, "zero")
#define INLAY_ACCESS_REP(F)
#define INLAY_READLINK_REQ(F) F(NODE, node, "symbolic link")
#define INLAY_READLINK_REP(F) F(STR, target, "what it points at")
#define INLAY_MKDIR_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") \
	F(U32, mode, "permissions") F(U32, umask, "caller's umask") F(NAME, name, "new name")
#define INLAY_MKDIR_REP(F) INLAY_LOOKUP_REP(F)
#define INLAY_MKNOD_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") \
	F(U32, mode, "type and permissions") F(U32, umask, "caller's umask") \
	F(U32, rdev_major, "device number, major") F(U32, rdev_minor, "device number, minor") F(NAME, name, "new name")
#define INLAY_MKNOD_REP(F) INLAY_LOOKUP_REP(F)
#define INLAY_SYMLINK_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") F(NAME, name, "new name") \
	F(STR, target, "1 to 4095 bytes")
#define INLAY_SYMLINK_REP(F) INLAY_LOOKUP_REP(F)
#define INLAY_LINK_REQ(F) F(NODE, node, "existing file") F(U64, handle, "an open handle of it, 0 for none") \
	F(NODE, dir, "directory") F(CRED, cred, "caller") F(NAME, name, "new name")
#define INLAY_LINK_REP(F) F(ATTR, attr, "attributes afterwards")
#define INLAY_UNLINK_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") F(NAME, name, "name to remove")
#define INLAY_UNLINK_REP(F)
#define INLAY_RMDIR_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") F(NAME, name, "name to remove")
#define INLAY_RMDIR_REP(F)
#define INLAY_RENAME_REQ(F) F(NODE, from_dir, "old directory") F(NODE, to_dir, "new directory") F(CRED, cred, "caller") \
	F(U32, flags, "1 no replace, 2 exchange, 4 whiteout") F(U32, pad, "zero") \
	F(NAME, from, "old name") F(NAME, to, "new name")
#define INLAY_RENAME_REP(F)

/* Open files */
#define INLAY_OPEN_REQ(F) F(NODE, node, "regular file") F(CRED, cred, "caller") \
	F(U32, flags, "INLAY_O_*") F(U32, inline_max, "reserved: most bytes of content wanted with the answer; zero")
#define INLAY_OPEN_REP(F) F(U64, handle, "open file") F(ATTR, attr, "attributes") F(LEASE, lease, "lease on the node") \
	F(U64, token, "for REOPEN")
/* Opens what exists too, unless EXCL. */
#define INLAY_CREATE_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") F(U32, flags, "INLAY_O_*") \
	F(U32, mode, "permissions") F(U32, umask, "caller's umask") F(U32, pad, "zero") F(NAME, name, "name")
#define INLAY_CREATE_REP(F) F(NODE, node, "the file") F(U64, handle, "open file") F(ATTR, attr, "attributes") \
	F(LEASE, lease, "lease on the node") F(U64, token, "for REOPEN")
#define INLAY_TMPFILE_REQ(F) F(NODE, dir, "directory") F(CRED, cred, "caller") F(U32, flags, "INLAY_O_*") \
	F(U32, mode, "permissions") F(U32, umask, "caller's umask") F(U32, pad, "zero")
#define INLAY_TMPFILE_REP(F) INLAY_CREATE_REP(F)
#define INLAY_READ_REQ(F) F(U64, handle, "open file") F(U64, off, "byte offset") F(U32, len, "bytes, at most max_data") \
	F(U32, flags, "zero")
/* The answer is the payload and then `zeros` zero bytes: a hole travels as a number. Fewer than len: end of file. */
#define INLAY_READ_REP(F) F(U32, zeros, "zero bytes after the payload") F(U32, pad, "zero")
/* Kept within INLAY_WRITE_HEAD_MAX with the frame header. */
#define INLAY_WRITE_REQ(F) F(U64, handle, "open file") \
	F(U64, off, "byte offset; ignored with INLAY_O_APPEND, but for flag 16") \
	F(U32, flags, "1 data sync, 2 file sync, 4 kill privileges, 8 zeros, 16 at the offset") F(U32, zeros, "with flag 8: bytes")
#define INLAY_WRITE_REP(F) F(U64, verifier, "first half of HELLO's boot, to compare with COMMIT's") \
	F(U64, size, "file size afterwards; of an append: its end") \
	F(U32, count, "bytes written") F(U32, flags, "1 data is durable, 2 file is durable, 4 shared: see Sent again") \
	F(U64, modified, "server's clock afterwards, in ns: the file's modification time is not later")
#define INLAY_COMMIT_REQ(F) F(U64, handle, "open file or directory") F(U32, flags, "1 data only") F(U32, pad, "zero")
#define INLAY_COMMIT_REP(F) F(U64, verifier, "first half of HELLO's boot")
#define INLAY_CLOSE_REQ(F) F(U64, handle, "open file or directory; its locks go with it")
#define INLAY_CLOSE_REP(F)
#define INLAY_FALLOCATE_REQ(F) F(U64, handle, "open file") F(U64, off, "byte offset") F(U64, len, "bytes") \
	F(U32, mode, "bits of fallocate(2)") F(U32, flags, "4 kill privileges")
#define INLAY_FALLOCATE_REP(F) F(U64, modified, "as of WRITE: see Sent again") F(U32, flags, "4 shared") F(U32, pad, "zero")
#define INLAY_SEEK_REQ(F) F(U64, handle, "open file") F(U64, off, "byte offset") F(U32, whence, "0 data, 1 hole") \
	F(U32, pad, "zero")
#define INLAY_SEEK_REP(F) F(U64, off, "byte offset found")
#define INLAY_COPY_REQ(F) F(U64, from, "open file") F(U64, from_off, "byte offset") F(U64, to, "open file") \
	F(U64, to_off, "byte offset") F(U64, len, "bytes") F(U32, flags, "zero") F(U32, pad, "zero")
#define INLAY_COPY_REP(F) F(U64, count, "bytes copied; may be fewer than asked")

/* Listings. Payload of the answer: struct inlay_dirent, one after the other. */
#define INLAY_OPENDIR_REQ(F) F(NODE, node, "directory") F(CRED, cred, "caller")
#define INLAY_OPENDIR_REP(F) F(U64, handle, "open directory") F(U64, token, "for REOPEN")
#define INLAY_READDIR_REQ(F) F(U64, handle, "open directory") F(U64, cookie, "0, or that of the last entry seen") \
	F(U32, max, "payload bytes at most") F(U32, flags, "1 with node and attributes")
#define INLAY_READDIR_REP(F) F(U32, count, "entries in the payload") F(U32, eof, "1: the listing ends here")

/* The whole store */
#define INLAY_STATFS_REQ(F) F(NODE, node, "any file")
#define INLAY_STATFS_REP(F) F(U64, blocks, "of frsize bytes") F(U64, bfree, "free") F(U64, bavail, "free for users") \
	F(U64, files, "inodes") F(U64, ffree, "free inodes") F(U32, bsize, "bytes of a good transfer") \
	F(U32, frsize, "bytes of a block") F(U32, namelen, "bytes of a name") F(U32, pad, "zero")
#define INLAY_SYNCFS_REQ(F) F(NODE, node, "any file")
#define INLAY_SYNCFS_REP(F)

/* Extended attributes: values are payload. */
#define INLAY_GETXATTR_REQ(F) F(NODE, node, "file") F(CRED, cred, "caller") \
	F(U32, max, "bytes wanted at most; 0 asks for the size") F(U32, pad, "zero") F(STR, name, "1-255 bytes")
#define INLAY_GETXATTR_REP(F) F(U32, size, "bytes of the value") F(U32, pad, "zero")
#define INLAY_SETXATTR_REQ(F) F(NODE, node, "file") F(CRED, cred, "caller") F(U32, flags, "1 create, 2 replace, 4 kill set-group-id") \
	F(U32, pad, "zero") F(STR, name, "1-255 bytes")
#define INLAY_SETXATTR_REP(F)
#define INLAY_LISTXATTR_REQ(F) F(NODE, node, "file") F(CRED, cred, "caller") F(U32, max, "bytes wanted at most; 0 asks for the size") \
	F(U32, pad, "zero")
#define INLAY_LISTXATTR_REP(F) F(U32, size, "bytes of all names, each with its NUL") F(U32, pad, "zero")
#define INLAY_REMOVEXATTR_REQ(F) F(NODE, node, "file") F(CRED, cred, "caller") F(STR, name, "1-255 bytes")
#define INLAY_REMOVEXATTR_REP(F)

/* Byte-range and whole-file locks. An owner is a number of the client's; its kind and session belong to it. */
#define INLAY_LOCK_REQ(F) F(U64, handle, "open file") F(U64, owner, "who locks") F(U64, start, "first byte") \
	F(U64, end, "last byte, 2^63-1 for the end of file") F(U32, kind, "0 POSIX, 1 flock") \
	F(U32, type, "0 read, 1 write, 2 unlock") F(U32, pid, "for TESTLOCK") F(U32, flags, "1 wait, 2 reclaim")
#define INLAY_LOCK_REP(F)
#define INLAY_TESTLOCK_REQ(F) F(U64, handle, "open file") F(U64, owner, "who asks") F(U64, start, "first byte") \
	F(U64, end, "last byte") F(U32, kind, "0 POSIX, 1 flock") F(U32, type, "0 read, 1 write")
#define INLAY_TESTLOCK_REP(F) F(U64, start, "first byte of the lock in the way") F(U64, end, "last byte") \
	F(U32, type, "0 read, 1 write, 2 none in the way") F(U32, pid, "its holder")
#define INLAY_LOCK_CANCEL_REQ(F) F(U64, handle, "open file") F(U64, owner, "who waited") F(U32, kind, "0 POSIX, 1 flock") \
	F(U32, pad, "zero")
#define INLAY_LOCK_CANCEL_REP(F)

/* Payload: count entries of 48 bytes, NODE and U64: how many of the replies that named this node are forgotten. */
#define INLAY_FORGET_REQ(F) F(U32, count, "entries in the payload") F(U32, pad, "zero")
#define INLAY_FORGET_REP(F)
#define INLAY_LEASE_RETURN_REQ(F) F(NODE, node, "file") F(LEASE, lease, "what is kept")
#define INLAY_LEASE_RETURN_REP(F)

/*
 * Reclaim, in a session whose HELLO named a previous one: opens again what was open in it, by its old handle. The token
 * says that it was open so; nothing else is judged again. RECLAIM_DONE: that was all, locks included.
 */
#define INLAY_REOPEN_REQ(F) F(U64, handle, "handle in the lost session; good in this one from now on") \
	F(NODE, node, "the file") F(CRED, cred, "caller; directories only") \
	F(U32, flags, "INLAY_O_* of the first opening, less EXCL, TRUNC and KILL_PRIV") \
	F(U32, kind, "0 regular file, 1 directory") F(U64, token, "from the first opening's reply")
#define INLAY_REOPEN_REP(F)
#define INLAY_RECLAIM_DONE_REQ(F)
#define INLAY_RECLAIM_DONE_REP(F)

/* Events; they have no slot and no reply. EVENT_LOCK is a hint to ask again; handle 0: for all that is waited for. */
#define INLAY_EVENT_LOCK_REQ(F) F(U64, handle, "open file of the waiter") F(U64, owner, "the waiter") \
	F(U32, kind, "0 POSIX, 1 flock") F(U32, pad, "zero")
#define INLAY_EVENT_LOCK_REP(F)
#define INLAY_EVENT_RECALL_REQ(F) F(NODE, node, "file") F(LEASE, lease, "what may be kept")
#define INLAY_EVENT_RECALL_REP(F)
/* clang-format on */

#endif

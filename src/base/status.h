/*
 * Status codes: one vocabulary for every layer, the wire included.
 * Functions return >= 0 on success and -INLAY_E... on failure. Host error numbers (errno, NTSTATUS) appear only at
 * the border, in the files that call the host.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_STATUS_H
#define INLAY_BASE_STATUS_H

/*
 * name, number on the wire (never reused), errno symbol, text for people.
 * Every errno symbol exists on Linux; a host without one maps it in status.c.
 */
#define INLAY_STATUSES(S) \
	S(PERM, 1, EPERM, "operation not permitted") \
	S(NOENT, 2, ENOENT, "no such file or directory") \
	S(INTR, 3, EINTR, "interrupted") \
	S(IO, 4, EIO, "input/output error") \
	S(NXIO, 5, ENXIO, "no such device or address") \
	S(TOOBIG, 6, E2BIG, "argument too long") \
	S(BADF, 7, EBADF, "bad file handle") \
	S(AGAIN, 8, EAGAIN, "would block") \
	S(NOMEM, 9, ENOMEM, "out of memory") \
	S(ACCES, 10, EACCES, "permission denied") \
	S(BUSY, 11, EBUSY, "resource busy") \
	S(EXIST, 12, EEXIST, "file exists") \
	S(XDEV, 13, EXDEV, "crosses file systems or sides") \
	S(NODEV, 14, ENODEV, "no such device") \
	S(NOTDIR, 15, ENOTDIR, "not a directory") \
	S(ISDIR, 16, EISDIR, "is a directory") \
	S(INVAL, 17, EINVAL, "invalid argument") \
	S(NFILE, 18, ENFILE, "too many open files in system") \
	S(MFILE, 19, EMFILE, "too many open files") \
	S(TXTBSY, 20, ETXTBSY, "text file busy") \
	S(FBIG, 21, EFBIG, "file too large") \
	S(NOSPC, 22, ENOSPC, "no space left") \
	S(SPIPE, 23, ESPIPE, "illegal seek") \
	S(ROFS, 24, EROFS, "read-only file system") \
	S(MLINK, 25, EMLINK, "too many links") \
	S(PIPE, 26, EPIPE, "broken pipe") \
	S(RANGE, 27, ERANGE, "result too large for the buffer") \
	S(DEADLK, 28, EDEADLK, "deadlock avoided") \
	S(NAMETOOLONG, 29, ENAMETOOLONG, "name too long") \
	S(NOLCK, 30, ENOLCK, "no locks available") \
	S(NOSYS, 31, ENOSYS, "not implemented") \
	S(NOTEMPTY, 32, ENOTEMPTY, "directory not empty") \
	S(LOOP, 33, ELOOP, "too many symbolic links") \
	S(NODATA, 34, ENODATA, "no such attribute") \
	S(OVERFLOW, 35, EOVERFLOW, "value too large") \
	S(NOTSUP, 36, EOPNOTSUPP, "operation not supported") \
	S(DQUOT, 37, EDQUOT, "quota exceeded") \
	S(STALE, 38, ESTALE, "stale file identity") \
	S(TIMEDOUT, 39, ETIMEDOUT, "timed out") \
	S(CONNREFUSED, 40, ECONNREFUSED, "connection refused") \
	S(NOTCONN, 41, ENOTCONN, "not connected") \
	S(CONNRESET, 42, ECONNRESET, "connection reset") \
	S(HOSTUNREACH, 43, EHOSTUNREACH, "host unreachable") \
	S(CANCELED, 44, ECANCELED, "canceled") \
	S(PROTO, 45, EPROTO, "protocol violation") \
	S(VERSION, 46, EPROTONOSUPPORT, "no common protocol version") \
	S(NOEXPORT, 47, ENOENT, "no such export") \
	S(NOSESSION, 48, ESTALE, "session unknown or expired") \
	S(QUEUED, 49, EAGAIN, "lock is held; waiting was noted") \
	S(LIMIT, 50, EUSERS, "limit reached") \
	S(UNKNOWN, 51, EIO, "unknown error")

enum inlay_status {
	INLAY_OK = 0,
#define INLAY_STATUS_ENUM(name, number, host, text) INLAY_E##name = number,
	INLAY_STATUSES(INLAY_STATUS_ENUM)
#undef INLAY_STATUS_ENUM
};

/* Both accept a positive or a negative status; unknown numbers give EIO / "unknown error". Any thread. */
int inlay_status_errno(int status);
const char *inlay_status_text(int status);

/* Returns the NEGATIVE status for a positive errno; one without a row that of its like, else -INLAY_EUNKNOWN. Any thread. */
int inlay_status_from_errno(int host_errno);

#endif

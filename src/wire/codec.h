/*
 * The codec that schema.h generates: a struct, a writer and a checked reader for each message.
 *   struct inlay_lookup_req, struct inlay_lookup_rep, ...
 *   void inlay_put_lookup_req(struct inlay_writer *, const struct inlay_lookup_req *)   pads the body to 8
 *   int  inlay_get_lookup_req(struct inlay_reader *, struct inlay_lookup_req *)         0 or -INLAY_EPROTO
 * A reader takes the whole body: bytes left over, a bad name, a count over its limit, nanoseconds past a second or a
 * non-zero pad is -INLAY_EPROTO, and *ret then holds rubbish. Strings that come out point into the bytes that were read;
 * of a CRED's groups only the first ngroups are set. A writer sets w->full where a text or a group list is over its
 * limit, and leaves a field named pad zero whatever the struct says; names are the caller's to check.
 * Sans-I/O; any thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WIRE_CODEC_H
#define INLAY_WIRE_CODEC_H

#include "base/bytes.h"
#include "wire/schema.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stdint.h>

enum inlay_message_flags {
	INLAY_MSG_SESSION = 1,      /* handled by the session itself */
	INLAY_MSG_MUTATES = 2,      /* the slot keeps the reply: done at most once */
	INLAY_MSG_REQUEST_DATA = 4, /* the request may carry a payload */
	INLAY_MSG_REPLY_DATA = 8,   /* the reply may carry a payload */
	INLAY_MSG_EVENT = 16,
};

enum inlay_message {
#define INLAY_MESSAGE_ENUM(NAME, lower, number, flags) INLAY_##NAME = number,
	INLAY_MESSAGES(INLAY_MESSAGE_ENUM)
#undef INLAY_MESSAGE_ENUM
};

#define INLAY_MESSAGE_TOP 66 /* one more than the largest number */
#define INLAY_PROTOCOL_VERSION 1u

#define INLAY_CTYPE_U32 uint32_t
#define INLAY_CTYPE_U64 uint64_t
#define INLAY_CTYPE_NODE struct inlay_node_id
#define INLAY_CTYPE_UUID struct inlay_uuid
#define INLAY_CTYPE_TIME struct inlay_time
#define INLAY_CTYPE_ATTR struct inlay_attr
#define INLAY_CTYPE_LEASE struct inlay_lease
#define INLAY_CTYPE_CRED struct inlay_cred
#define INLAY_CTYPE_NAME struct inlay_str
#define INLAY_CTYPE_STR struct inlay_str

/* Bytes that a field of a type takes; the smallest of those that vary (a NAME has at least one byte). */
#define INLAY_WIRE_SIZE_U32 4u
#define INLAY_WIRE_SIZE_U64 8u
#define INLAY_WIRE_SIZE_NODE 40u
#define INLAY_WIRE_SIZE_UUID 16u
#define INLAY_WIRE_SIZE_TIME 16u
#define INLAY_WIRE_SIZE_ATTR 128u
#define INLAY_WIRE_SIZE_LEASE 8u
#define INLAY_WIRE_SIZE_CRED 16u
#define INLAY_WIRE_SIZE_NAME 8u
#define INLAY_WIRE_SIZE_STR 8u
#define INLAY_STR_MAX INLAY_RULES_MAX /* bytes of a STR */

#define INLAY_FIELD_DECL(type, name, text) INLAY_CTYPE_##type name;
#define INLAY_MESSAGE_DECL(NAME, lower, number, flags) \
	struct inlay_##lower##_req { \
		INLAY_##NAME##_REQ(INLAY_FIELD_DECL) \
	}; \
	struct inlay_##lower##_rep { \
		INLAY_##NAME##_REP(INLAY_FIELD_DECL) \
	}; \
	void inlay_put_##lower##_req(struct inlay_writer *w, const struct inlay_##lower##_req *m); \
	int inlay_get_##lower##_req(struct inlay_reader *r, struct inlay_##lower##_req *ret) \
		__attribute__((warn_unused_result)); \
	void inlay_put_##lower##_rep(struct inlay_writer *w, const struct inlay_##lower##_rep *m); \
	int inlay_get_##lower##_rep(struct inlay_reader *r, struct inlay_##lower##_rep *ret) \
		__attribute__((warn_unused_result));
INLAY_MESSAGES(INLAY_MESSAGE_DECL)

/* Flags of a message number, -1 for an unknown one; its name in lower case, NULL for an unknown one. */
int inlay_message_flags(unsigned type);
const char *inlay_message_name(unsigned type);

/* True for a name that may stand in a NAME field. */
bool inlay_name_ok(struct inlay_str name);

/*
 * One entry of a READDIR payload:
 *   U64 ino, U64 cookie, U32 type (mode's type bits), U32 name length, name padded to 8 with zeros,
 *   and with INLAY_READDIR_ATTRS: NODE, ATTR (both zero when the entry vanished meanwhile).
 */
struct inlay_dirent {
	uint64_t ino, cookie;
	uint32_t type;
	struct inlay_str name;
	struct inlay_node_id node;
	struct inlay_attr attr;
};

/* Bytes that the entry takes. */
size_t inlay_dirent_size(uint32_t name_len, unsigned flags);
/* Sets w->full (and writes nothing) when it doesn't fit. */
void inlay_put_dirent(struct inlay_writer *w, const struct inlay_dirent *d, unsigned flags);
/* 0 or -INLAY_EPROTO; a listing may hold "." and "..", otherwise names as in NAME. */
int inlay_get_dirent(struct inlay_reader *r, struct inlay_dirent *ret, unsigned flags)
	__attribute__((warn_unused_result));

#endif

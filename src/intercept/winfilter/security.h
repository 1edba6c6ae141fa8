/*
 * POSIX modes and owners as security descriptors of Windows (self-relative), and back. Pure functions.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Users and groups of the server are the SIDs S-1-22-1-uid and S-1-22-2-gid, as Samba has them. The user on whose behalf
 * we speak to the server is a user of Windows, too: his uid may stand for that one's SID.
 */
#ifndef INLAY_INTERCEPT_WINFILTER_SECURITY_H
#define INLAY_INTERCEPT_WINFILTER_SECURITY_H

#include <stddef.h>
#include <stdint.h>

#define INLAY_SECURITY_MAX 512u /* bytes of any that we make */
#define INLAY_SID_MAX 68u       /* 8 bytes and 15 subauthorities */

struct inlay_security_self {
	uint32_t uid;
	const uint8_t *sid;
	uint32_t sid_len;
};

/*
 * Owner, group and a protected list: the system may do everything; the owner, the group and everyone what the mode says, with denials
 * where the mode gives less to the nearer one. self: NULL for none. Its bytes; -INLAY_EINVAL: self's SID is none; -INLAY_ERANGE: cap.
 */
int inlay_security_from_mode(uint32_t mode, uint32_t uid, uint32_t gid, const struct inlay_security_self *self, uint8_t *ret, size_t cap)
	__attribute__((warn_unused_result));

struct inlay_security_mode {
	uint32_t mode;        /* permissions, 0777 */
	uint32_t uid, gid;    /* INLAY_SECURITY_UNKNOWN: a SID that stands for none */
};
#define INLAY_SECURITY_UNKNOWN 0xffffffffu

/* Whatever descriptor: what it allows the owner, the group and everyone. No list at all allows everything. -INLAY_EINVAL: it is none. */
int inlay_security_to_mode(const uint8_t *sd, size_t len, const struct inlay_security_self *self, struct inlay_security_mode *ret)
	__attribute__((warn_unused_result));

#endif

/*
 * Security descriptors.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     0   1 revision, 1 zero, 2 control, 4 owner's offset, 4 group's, 4 system list's, 4 list's
 *     20  owner SID, group SID, list: 1 revision, 1 zero, 2 bytes, 2 count, 2 zero, entries: 1 type, 1 flags, 2 bytes, 4 mask, SID
 *     SID: 1 revision, 1 count, 6 authority (big-endian), count * 4
 */
#include "intercept/winfilter/security.h"

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>

#define HEAD 20u
#define ACL_HEAD 8u
#define ACE_HEAD 8u
#define CONTROL_DACL_PRESENT 0x0004u
#define CONTROL_DACL_PROTECTED 0x1000u
#define CONTROL_SELF_RELATIVE 0x8000u
#define ALLOW 0u
#define DENY 1u
#define INHERIT_ONLY 0x08u
#define MODE_DIR 0040000u
#define MODE_TYPE 0170000u

/* Rights on files and directories. */
#define READ_DATA 0x01u
#define WRITE_DATA 0x02u
#define APPEND_DATA 0x04u
#define READ_EA 0x08u
#define WRITE_EA 0x10u
#define EXECUTE 0x20u
#define DELETE_CHILD 0x40u
#define READ_ATTRIBUTES 0x80u
#define WRITE_ATTRIBUTES 0x100u
#define DELETE 0x00010000u
#define READ_CONTROL 0x00020000u
#define WRITE_DAC 0x00040000u
#define SYNCHRONIZE 0x00100000u
#define ALL 0x001f01ffu
#define GENERIC_ALL 0x10000000u
#define GENERIC_EXECUTE 0x20000000u
#define GENERIC_WRITE 0x40000000u
#define GENERIC_READ 0x80000000u

struct sid {
	uint8_t bytes[INLAY_SID_MAX];
	uint32_t len;
};

static const struct sid everyone = {{1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 12};
static const struct sid local_system = {{1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0}, 12};
static const struct sid authenticated = {{1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0}, 12};
static const struct sid users = {{1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x21, 2, 0, 0}, 16};

/* kind: 1 users, 2 groups. */
static struct sid unix_sid(uint32_t kind, uint32_t id)
{
	struct sid s = {{1, 2, 0, 0, 0, 0, 0, 22}, 16};

	inlay_store32(s.bytes + 8, kind);
	inlay_store32(s.bytes + 12, id);
	return s;
}

/* Its length within len bytes, 0 for none. */
static uint32_t sid_len(const uint8_t *p, size_t len)
{
	uint32_t need;

	if (len < 8 || p[0] != 1 || p[1] > 15)
		return 0;
	need = 8u + 4u * p[1];
	return need <= len ? need : 0;
}

static bool sid_is(const uint8_t *p, uint32_t len, const struct sid *s)
{
	return len == s->len && memcmp(p, s->bytes, len) == 0;
}

static int owner_sid(uint32_t uid, const struct inlay_security_self *self, struct sid *ret)
{
	*ret = unix_sid(1, uid);
	if (!self || self->uid != uid)
		return 0;
	if (!self->sid || self->sid_len > sizeof ret->bytes || sid_len(self->sid, self->sid_len) != self->sid_len)
		return -INLAY_EINVAL;
	memcpy(ret->bytes, self->sid, self->sid_len);
	ret->len = self->sid_len;
	return 0;
}

/* ---- from a mode ---- */

static uint32_t allowed_by(uint32_t rwx, bool dir)
{
	uint32_t mask = READ_CONTROL | READ_ATTRIBUTES | SYNCHRONIZE;

	if (rwx & 4)
		mask |= READ_DATA | READ_EA;
	if (rwx & 2)
		mask |= WRITE_DATA | APPEND_DATA | WRITE_EA | WRITE_ATTRIBUTES | DELETE | (dir ? DELETE_CHILD : 0);
	if (rwx & 1)
		mask |= EXECUTE;
	return mask;
}

/* Nothing that all may do anyway: a denial would take it from the owner as well. */
static uint32_t denied_by(uint32_t rwx, bool dir)
{
	return allowed_by(rwx, dir) & ~allowed_by(0, dir) & ~(DELETE | WRITE_ATTRIBUTES);
}

static void put_ace(struct inlay_writer *w, uint8_t type, uint32_t mask, const struct sid *s, uint32_t *count)
{
	uint32_t len = ACE_HEAD + s->len;
	uint8_t *p;

	if (type == DENY && !mask)
		return;
	p = inlay_write_bytes(w, len);
	if (!p)
		return;
	p[0] = type;
	p[1] = 0;
	inlay_store16(p + 2, (uint16_t)len);
	inlay_store32(p + 4, mask);
	memcpy(p + 8, s->bytes, s->len);
	++*count;
}

static void put_list(struct inlay_writer *w, uint32_t mode, const struct sid *owner, const struct sid *group)
{
	bool dir = (mode & MODE_TYPE) == MODE_DIR;
	uint32_t u = mode >> 6 & 7, g = mode >> 3 & 7, o = mode & 7, count = 0;
	uint8_t *head = inlay_write_bytes(w, ACL_HEAD);

	put_ace(w, ALLOW, ALL, &local_system, &count);
	put_ace(w, DENY, denied_by((g | o) & ~u, dir), owner, &count);
	put_ace(w, ALLOW, allowed_by(u, dir) | WRITE_DAC | WRITE_ATTRIBUTES | DELETE, owner, &count);
	put_ace(w, DENY, denied_by(o & ~g, dir), group, &count);
	put_ace(w, ALLOW, allowed_by(g, dir), group, &count);
	put_ace(w, ALLOW, allowed_by(o, dir), &everyone, &count);
	if (w->full)
		return;
	memset(head, 0, ACL_HEAD);
	head[0] = 2;
	inlay_store16(head + 2, (uint16_t)(w->p - head));
	inlay_store16(head + 4, (uint16_t)count);
}

static uint32_t put_sid(struct inlay_writer *w, const struct sid *s)
{
	uint32_t off = (uint32_t)inlay_writer_len(w);
	uint8_t *p = inlay_write_bytes(w, s->len);

	if (p)
		memcpy(p, s->bytes, s->len);
	return off;
}

int inlay_security_from_mode(uint32_t mode, uint32_t uid, uint32_t gid, const struct inlay_security_self *self, uint8_t *ret, size_t cap)
{
	struct inlay_writer w = inlay_writer(ret, cap);
	struct sid owner, group = unix_sid(2, gid);
	uint8_t *head = inlay_write_bytes(&w, HEAD);
	uint32_t owner_off, group_off, list_off;
	int err = owner_sid(uid, self, &owner);

	if (err < 0)
		return err;
	owner_off = put_sid(&w, &owner);
	group_off = put_sid(&w, &group);
	list_off = (uint32_t)inlay_writer_len(&w);
	put_list(&w, mode, &owner, &group);
	if (w.full || !head)
		return -INLAY_ERANGE;
	memset(head, 0, HEAD);
	head[0] = 1;
	inlay_store16(head + 2, CONTROL_DACL_PRESENT | CONTROL_DACL_PROTECTED | CONTROL_SELF_RELATIVE);
	inlay_store32(head + 4, owner_off);
	inlay_store32(head + 8, group_off);
	inlay_store32(head + 16, list_off);
	return (int)inlay_writer_len(&w);
}

/* ---- to a mode ---- */

/* The SID at an offset; its length, 0: there is none. */
static uint32_t sid_at(const uint8_t *sd, size_t len, uint32_t off, const uint8_t **ret)
{
	if (off < HEAD || off >= len)
		return 0;
	*ret = sd + off;
	return sid_len(sd + off, len - off);
}

static uint32_t unix_id(const uint8_t *p, uint32_t len, uint32_t kind)
{
	struct sid want = unix_sid(kind, len == 16 ? inlay_load32(p + 12) : 0);

	return len && sid_is(p, len, &want) ? inlay_load32(p + 12) : INLAY_SECURITY_UNKNOWN;
}

static uint32_t rwx_of(uint32_t mask)
{
	uint32_t rwx = 0;

	if (mask & (READ_DATA | GENERIC_READ | GENERIC_ALL))
		rwx |= 4;
	if (mask & (WRITE_DATA | GENERIC_WRITE | GENERIC_ALL))
		rwx |= 2;
	if (mask & (EXECUTE | GENERIC_EXECUTE | GENERIC_ALL))
		rwx |= 1;
	return rwx;
}

/* What one of the three has been allowed and denied so far. */
struct class {
	uint32_t allowed, denied;
};

static void apply(struct class *c, uint8_t type, uint32_t rwx)
{
	if (type == ALLOW)
		c->allowed |= rwx & ~c->denied;
	else if (type == DENY)
		c->denied |= rwx & ~c->allowed;
}

static int read_list(const uint8_t *acl, size_t len, const struct sid *owner, const struct sid *group, struct class class[3])
{
	size_t at = ACL_HEAD, size = len >= ACL_HEAD ? inlay_load16(acl + 2) : 0;
	unsigned count = size >= ACL_HEAD ? inlay_load16(acl + 4) : 0;

	if (size < ACL_HEAD || size > len)
		return -INLAY_EINVAL;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *ace = acl + at;
		uint32_t ace_len = size - at >= ACE_HEAD ? inlay_load16(ace + 2) : 0, who_len, rwx;
		bool all;

		if (ace_len < ACE_HEAD || ace_len > size - at)
			return -INLAY_EINVAL;
		at += ace_len;
		if (ace[0] > DENY || (ace[1] & INHERIT_ONLY))
			continue;
		who_len = sid_len(ace + ACE_HEAD, ace_len - ACE_HEAD);
		if (!who_len)
			return -INLAY_EINVAL;
		rwx = rwx_of(inlay_load32(ace + 4));
		all = sid_is(ace + ACE_HEAD, who_len, &everyone) || sid_is(ace + ACE_HEAD, who_len, &authenticated) ||
		      sid_is(ace + ACE_HEAD, who_len, &users);
		if (all || sid_is(ace + ACE_HEAD, who_len, owner))
			apply(&class[0], ace[0], rwx);
		if (all || sid_is(ace + ACE_HEAD, who_len, group))
			apply(&class[1], ace[0], rwx);
		if (all)
			apply(&class[2], ace[0], rwx);
	}
	return 0;
}

static struct sid copy_sid(const uint8_t *p, uint32_t len)
{
	struct sid s = {.len = len};

	if (len)
		memcpy(s.bytes, p, len);
	return s;
}

int inlay_security_to_mode(const uint8_t *sd, size_t len, const struct inlay_security_self *self, struct inlay_security_mode *ret)
{
	const uint8_t *owner_at = NULL, *group_at = NULL;
	struct class class[3] = {{0, 0}};
	struct sid owner, group;
	uint32_t list;
	int err = 0;

	if (len < HEAD || sd[0] != 1 || !(inlay_load16(sd + 2) & CONTROL_SELF_RELATIVE))
		return -INLAY_EINVAL;
	owner.len = sid_at(sd, len, inlay_load32(sd + 4), &owner_at);
	owner = copy_sid(owner_at, owner.len);
	group.len = sid_at(sd, len, inlay_load32(sd + 8), &group_at);
	group = copy_sid(group_at, group.len);
	list = inlay_load32(sd + 16);
	if (!(inlay_load16(sd + 2) & CONTROL_DACL_PRESENT) || !list)
		class[0].allowed = class[1].allowed = class[2].allowed = 7;
	else if (list < HEAD || list >= len)
		err = -INLAY_EINVAL;
	else
		err = read_list(sd + list, len - list, &owner, &group, class);
	if (err < 0)
		return err;
	ret->mode = class[0].allowed << 6 | class[1].allowed << 3 | class[2].allowed;
	ret->uid = unix_id(owner.bytes, owner.len, 1);
	if (self && self->sid && self->sid_len == owner.len && memcmp(owner.bytes, self->sid, owner.len) == 0)
		ret->uid = self->uid;
	ret->gid = unix_id(group.bytes, group.len, 2);
	return 0;
}

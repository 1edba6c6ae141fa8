/*
 * Extended attributes of every namespace, ACLs as attributes, file capabilities.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "posix.h"

#include <linux/xattr.h>
#include <sys/xattr.h>

CASE(xattr_basics)
{
	put("f", "");
	char buf[64];
	FAILS(getxattr("f", "user.a", buf, sizeof buf), ENODATA);
	OK(setxattr("f", "user.a", "value", 5, 0));
	EQ(OK(getxattr("f", "user.a", buf, sizeof buf)), 5);
	TRUE(!memcmp(buf, "value", 5));
	EQ(OK(getxattr("f", "user.a", NULL, 0)), 5);
	FAILS(getxattr("f", "user.a", buf, 4), ERANGE);
	OK(setxattr("f", "user.a", "other", 5, XATTR_REPLACE));
	FAILS(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST);
	FAILS(setxattr("f", "user.b", "x", 1, XATTR_REPLACE), ENODATA);
	FAILS(setxattr("f", "user.b", "x", 1, 77), EINVAL);
	OK(setxattr("f", "user.b", "", 0, XATTR_CREATE));
	EQ(OK(getxattr("f", "user.b", buf, sizeof buf)), 0);
	OK(removexattr("f", "user.a"));
	FAILS(removexattr("f", "user.a"), ENODATA);
	FAILS(getxattr("f", "user.a", buf, sizeof buf), ENODATA);
	FAILS(getxattr("missing", "user.a", buf, sizeof buf), ENOENT);
}

CASE(xattr_list)
{
	put("f", "");
	char buf[256];
	EQ(OK(listxattr("f", buf, sizeof buf)), 0);
	OK(setxattr("f", "user.one", "1", 1, 0));
	OK(setxattr("f", "user.two", "2", 1, 0));
	ssize_t len = OK(listxattr("f", buf, sizeof buf));
	EQ(len, 18);
	EQ(OK(listxattr("f", NULL, 0)), 18);
	FAILS(listxattr("f", buf, 17), ERANGE);
	bool one = false, two = false;
	for (ssize_t i = 0; i < len; i += (ssize_t)strlen(buf + i) + 1) {
		one |= !strcmp(buf + i, "user.one");
		two |= !strcmp(buf + i, "user.two");
	}
	TRUE(one && two);
}

CASE(xattr_names)
{
	put("f", "");
	char name[300] = "user.";
	memset(name + 5, 'x', 250);
	OK(setxattr("f", name, "v", 1, 0));
	EQ(OK(getxattr("f", name, NULL, 0)), 1);
	memset(name + 5, 'x', 251);
	FAILS(setxattr("f", name, "v", 1, 0), ERANGE);
	FAILS(setxattr("f", "", "v", 1, 0), ERANGE);
	FAILS(setxattr("f", "nonsense.a", "v", 1, 0), EOPNOTSUPP);
	FAILS(setxattr("f", "user.", "v", 1, 0), EINVAL);
	OK(setxattr("f", "user.\xff b/\n", "v", 1, 0));
	EQ(OK(getxattr("f", "user.\xff b/\n", NULL, 0)), 1);
}

CASES(xattr_value_sizes, 5)
{
	static const size_t lengths[] = {1, 100, 1000, 2000, 3500};
	uint8_t value[65537], got[65537];
	fill(value, sizeof value, 0);
	put("f", "");
	OK(setxattr("f", "user.big", value, lengths[index], 0));
	EQ(OK(getxattr("f", "user.big", got, sizeof got)), lengths[index]);
	TRUE(!memcmp(value, got, lengths[index]));
}

CASE(xattr_too_big)
{
	static uint8_t value[65537];
	put("f", "");
	FAILS(setxattr("f", "user.big", value, 65537, 0), E2BIG);
	FAILS_EITHER(setxattr("f", "user.big", value, 65536, 0), ENOSPC, E2BIG);
}

CASE(xattr_on_descriptor_and_directory)
{
	int fd = create("f", 0644);
	char buf[8];
	OK(fsetxattr(fd, "user.a", "1", 1, 0));
	EQ(OK(fgetxattr(fd, "user.a", buf, sizeof buf)), 1);
	OK(unlink("f"));
	EQ(OK(fgetxattr(fd, "user.a", buf, sizeof buf)), 1);
	OK(fremovexattr(fd, "user.a"));
	OK(mkdir("d", 0755));
	OK(setxattr("d", "user.a", "22", 2, 0));
	EQ(OK(getxattr("d", "user.a", buf, sizeof buf)), 2);
}

CASE(xattr_on_links_and_special)
{
	put("f", "");
	OK(symlink("f", "l"));
	OK(setxattr("l", "user.a", "1", 1, 0)); /* follows */
	EQ(OK(getxattr("f", "user.a", NULL, 0)), 1);
	FAILS(lsetxattr("l", "user.a", "1", 1, 0), EPERM);
	OK(mkfifo("p", 0644));
	FAILS(setxattr("p", "user.a", "1", 1, 0), EPERM);
	FAILS(lgetxattr("l", "user.a", NULL, 0), ENODATA);
}

CASE(xattr_changes_ctime)
{
	put("f", "");
	struct stat before = stat_of("f");
	usleep(20000);
	OK(setxattr("f", "user.a", "1", 1, 0));
	TRUE(time_diff_ns(stat_of("f").st_ctim, before.st_ctim) > 0);
	EQ(time_diff_ns(stat_of("f").st_mtim, before.st_mtim), 0);
}

CASE(xattr_follows_rename_and_link)
{
	put("f", "");
	OK(setxattr("f", "user.a", "1", 1, 0));
	OK(link("f", "g"));
	OK(rename("f", "h"));
	EQ(OK(getxattr("g", "user.a", NULL, 0)), 1);
	EQ(OK(getxattr("h", "user.a", NULL, 0)), 1);
}

ROOT_CASE(xattr_trusted_and_security)
{
	put("f", "");
	char buf[16];
	OK(setxattr("f", "trusted.a", "123", 3, 0));
	EQ(OK(getxattr("f", "trusted.a", buf, sizeof buf)), 3);
	OK(setxattr("f", "security.inlay", "1234", 4, 0));
	EQ(OK(getxattr("f", "security.inlay", buf, sizeof buf)), 4);
	OK(removexattr("f", "trusted.a"));
	OK(removexattr("f", "security.inlay"));
}

USER_CASE(xattr_trusted_is_roots)
{
	put("f", "");
	char buf[16];
	FAILS(setxattr("f", "trusted.a", "1", 1, 0), EPERM);
	FAILS(getxattr("f", "trusted.a", buf, sizeof buf), ENODATA);
	FAILS(setxattr("f", "security.inlay", "1", 1, 0), EPERM);
}

static int user_xattr_refused(void *arg)
{
	(void)arg;
	char buf[8];
	FAILS(setxattr("f", "user.b", "1", 1, 0), EACCES);
	FAILS(removexattr("f", "user.a"), EACCES);
	FAILS(getxattr("secret", "user.a", buf, sizeof buf), EACCES);
	EQ(OK(getxattr("f", "user.a", buf, sizeof buf)), 1);
	EQ(OK(listxattr("f", buf, sizeof buf)), 7);
	return 0;
}

ROOT_CASE(xattr_needs_permission)
{
	put("f", "");
	OK(setxattr("f", "user.a", "1", 1, 0));
	put("secret", "");
	OK(setxattr("secret", "user.a", "1", 1, 0));
	OK(chmod("secret", 0600));
	EQ(as_user(USER_UID, USER_GID, 0, NULL, user_xattr_refused, NULL), 0);
}

/* struct vfs_cap_data of revision 2: cap_net_bind_service permitted and effective. */
static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4, 0, 0};

ROOT_CASE(xattr_capability_goes_with_a_write)
{
	put("f", "content");
	OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
	char buf[32];
	EQ(OK(getxattr("f", "security.capability", buf, sizeof buf)), 20);
	int fd = OK(open("f", O_WRONLY));
	EQ(OK(write(fd, "x", 1)), 1);
	FAILS(getxattr("f", "security.capability", buf, sizeof buf), ENODATA);
	OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
	OK(chown("f", USER_UID, USER_GID));
	FAILS(getxattr("f", "security.capability", buf, sizeof buf), ENODATA);
	OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
	OK(truncate("f", 1));
	FAILS(getxattr("f", "security.capability", buf, sizeof buf), ENODATA);
}

/* ---- ACLs: version 2, then tag, permissions, id of each entry ---- */

enum { TAG_USER_OBJ = 1, TAG_USER = 2, TAG_GROUP_OBJ = 4, TAG_GROUP = 8, TAG_MASK = 16, TAG_OTHER = 32 };
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} entry[5];
} __attribute__((packed));
#define NO_ID 0xffffffffu

/* The owner rw, one named user or group with `perm`, group and others nothing, that mask. */
static struct acl acl_for(uint16_t tag, uint32_t id, uint16_t perm, uint16_t mask)
{
	if (tag == TAG_USER)
		return (struct acl){2, {{TAG_USER_OBJ, 7, NO_ID}, {TAG_USER, perm, id}, {TAG_GROUP_OBJ, 0, NO_ID},
		                        {TAG_MASK, mask, NO_ID}, {TAG_OTHER, 0, NO_ID}}};
	return (struct acl){2, {{TAG_USER_OBJ, 7, NO_ID}, {TAG_GROUP_OBJ, 0, NO_ID}, {TAG_GROUP, perm, id},
	                        {TAG_MASK, mask, NO_ID}, {TAG_OTHER, 0, NO_ID}}};
}
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

CASE(acl_set_and_get)
{
	put("f", "");
	struct acl a = acl_for(TAG_USER, OTHER_UID, 6, 7), b;
	OK(setxattr("f", ACCESS, &a, sizeof a, 0));
	EQ(OK(getxattr("f", ACCESS, &b, sizeof b)), sizeof b);
	TRUE(!memcmp(&a, &b, sizeof a));
	EQ(stat_of("f").st_mode & 07777, 0770); /* the group's bits are the mask */
	OK(chmod("f", 0640));
	EQ(OK(getxattr("f", ACCESS, &b, sizeof b)), sizeof b);
	EQ(b.entry[3].tag, TAG_MASK);
	EQ(b.entry[3].perm, 4);
	EQ(b.entry[0].perm, 6);
	OK(removexattr("f", ACCESS));
	FAILS(getxattr("f", ACCESS, &b, sizeof b), ENODATA);
	FAILS(setxattr("f", DEFAULT, &a, sizeof a, 0), EACCES);
	a.entry[1].tag = 99;
	FAILS(setxattr("f", ACCESS, &a, sizeof a, 0), EINVAL);
}

CASE(acl_minimal_is_the_mode)
{
	struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} entry[3];
	} a = {2, {{TAG_USER_OBJ, 6, NO_ID}, {TAG_GROUP_OBJ, 4, NO_ID}, {TAG_OTHER, 0, NO_ID}}};
	put("f", "");
	OK(setxattr("f", ACCESS, &a, sizeof a, 0));
	EQ(stat_of("f").st_mode & 07777, 0640);
	FAILS(getxattr("f", ACCESS, &a, sizeof a), ENODATA);
}

static int acl_try(void *arg)
{
	unsigned bits = *(unsigned *)arg;
	GIVES(open("f", O_RDONLY), bits & 4 ? 0 : EACCES);
	GIVES(open("f", O_WRONLY), bits & 2 ? 0 : EACCES);
	GIVES(access("f", R_OK), bits & 4 ? 0 : EACCES);
	return 0;
}

/* Named user and named group, each permission, through each mask. */
ROOT_CASES(acl_enforced, 2 * 4 * 3)
{
	static const uint16_t perms[] = {0, 4, 2, 6}, masks[] = {7, 4, 0};
	uint16_t perm = perms[index / 2 % 4], mask = masks[index / 8];
	bool group = index % 2;
	put("f", "abc");
	OK(chown("f", USER_UID, USER_GID));
	struct acl a = acl_for(group ? TAG_GROUP : TAG_USER, group ? USER_GROUP1 : OTHER_UID, perm, mask);
	OK(setxattr("f", ACCESS, &a, sizeof a, 0));
	gid_t member = USER_GROUP1, stranger = USER_GROUP2;
	unsigned allowed = perm & mask, none = 0;
	posix_note("%s perm %u mask %u", group ? "group" : "user", perm, mask);
	EQ(as_user(OTHER_UID, OTHER_GID, 1, group ? &member : &stranger, acl_try, &allowed), 0);
	EQ(as_user(OTHER_UID + 1, OTHER_GID, 1, &stranger, acl_try, &none), 0);
}

CASE(acl_default_is_inherited)
{
	OK(mkdir("d", 0755));
	struct acl a = acl_for(TAG_USER, OTHER_UID, 6, 7), b;
	OK(setxattr("d", DEFAULT, &a, sizeof a, 0));
	umask(077); /* does not count beneath a default ACL */
	OK(close(OK(open("d/f", O_RDWR | O_CREAT | O_EXCL, 0666))));
	EQ(OK(getxattr("d/f", ACCESS, &b, sizeof b)), sizeof b);
	EQ(b.entry[1].id, OTHER_UID);
	EQ(b.entry[3].perm, 6); /* the mask, limited by the mode asked for */
	EQ(stat_of("d/f").st_mode & 07777, 0660);
	OK(mkdir("d/e", 0777));
	EQ(OK(getxattr("d/e", DEFAULT, &b, sizeof b)), sizeof b);
	TRUE(!memcmp(&a, &b, sizeof a));
	EQ(stat_of("d/e").st_mode & 07777, 0770);
	OK(mkfifo("d/p", 0666));
	EQ(stat_of("d/p").st_mode & 07777, 0660);
	OK(close(OK(open("d/e/deep", O_RDWR | O_CREAT, 0600))));
	EQ(stat_of("d/e/deep").st_mode & 07777, 0600);
	OK(removexattr("d", DEFAULT));
	OK(close(OK(open("d/g", O_RDWR | O_CREAT | O_EXCL, 0666))));
	EQ(stat_of("d/g").st_mode & 07777, 0600);
}

static int acl_set_other(void *arg)
{
	struct acl a = acl_for(TAG_USER, OTHER_UID, 6, 7);
	(void)arg;
	FAILS(setxattr("f", ACCESS, &a, sizeof a, 0), EPERM);
	return 0;
}

ROOT_CASE(acl_needs_ownership)
{
	put("f", "");
	OK(chmod("f", 0666));
	EQ(as_user(USER_UID, USER_GID, 0, NULL, acl_set_other, NULL), 0);
}

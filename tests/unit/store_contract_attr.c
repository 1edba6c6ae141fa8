/*
 * The store's contract: attributes, permissions, extended attributes, the whole store.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_contract.h"

#include <string.h>

/* A directory that all may change, with a file of alice's in it. */
static void alices_file(struct contract *c, uint32_t mode)
{
	OK(sc_mkdir(c, NULL, "d", 0777));
	OK(sc_chmod(c, NULL, "d", 0777));
	sc_put(c, "d/f", "abc");
	OK(sc_chown(c, NULL, "d/f", 4001, 4001));
	OK(sc_chmod(c, NULL, "d/f", mode));
}

static uint32_t bits(struct contract *c, const char *path)
{
	return sc_stat(c, path).mode & 07777;
}

static void chmod_changes_permissions(struct contract *c)
{
	sc_put(c, "f", "");
	OK(sc_chmod(c, NULL, "f", 07531));
	assert_int_equal(sc_stat(c, "f").mode, S_IFREG | 07531);
	OK(sc_chmod(c, NULL, "f", S_IFDIR | 0600));
	assert_int_equal(sc_stat(c, "f").mode, S_IFREG | 0600);
	OK(sc_symlink(c, NULL, "s", "f"));
	IS(sc_chmod(c, NULL, "s", 0600), NOTSUP);
}

static void chmod_is_the_owners(struct contract *c)
{
	alices_file(c, 0666);
	IS(sc_chmod(c, &sc_bob, "d/f", 0600), PERM);
	assert_int_equal(bits(c, "d/f"), 0666);
	OK(sc_chmod(c, &sc_alice, "d/f", 0600));
	OK(sc_chmod(c, &sc_root, "d/f", 0640));
	assert_int_equal(bits(c, "d/f"), 0640);
}

static void chown_is_roots(struct contract *c)
{
	alices_file(c, 0666);
	IS(sc_chown(c, &sc_alice, "d/f", 4002, -1), PERM);
	IS(sc_chown(c, &sc_bob, "d/f", 4002, -1), PERM);
	OK(sc_chown(c, &sc_alice, "d/f", 4001, -1));
	OK(sc_chown(c, &sc_root, "d/f", 4002, -1));
	assert_int_equal(sc_stat(c, "d/f").uid, 4002);
	assert_int_equal(sc_stat(c, "d/f").gid, 4001);
}

static void chgrp_to_own_groups(struct contract *c)
{
	alices_file(c, 0666);
	OK(sc_chown(c, NULL, "d/f", 4003, 4003));
	OK(sc_chown(c, &sc_carol, "d/f", -1, 4010));
	assert_int_equal(sc_stat(c, "d/f").gid, 4010);
	IS(sc_chown(c, &sc_carol, "d/f", -1, 4002), PERM);
	IS(sc_chown(c, &sc_alice, "d/f", -1, 4001), PERM);
	assert_int_equal(sc_stat(c, "d/f").gid, 4010);
}

static void chown_clears_set_id(struct contract *c)
{
	sc_put(c, "f", "");
	OK(sc_chmod(c, NULL, "f", 06755));
	OK(sc_chown(c, NULL, "f", 4001, -1));
	assert_int_equal(bits(c, "f"), 0755);
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_chmod(c, NULL, "d", 06755));
	OK(sc_chown(c, NULL, "d", 4001, -1));
	assert_int_equal(bits(c, "d"), 06755);
}

static void set_gid_needs_the_group(struct contract *c)
{
	alices_file(c, 0755);
	OK(sc_chown(c, NULL, "d/f", 4001, 4002));
	OK(sc_chmod(c, &sc_alice, "d/f", 02755));
	assert_int_equal(bits(c, "d/f"), 0755);
	OK(sc_chown(c, NULL, "d/f", 4001, 4001));
	OK(sc_chmod(c, &sc_alice, "d/f", 02755));
	assert_int_equal(bits(c, "d/f"), 02755);
}

static void times_are_kept_to_the_nanosecond(struct contract *c)
{
	struct inlay_store_attr_change change = {
		.valid = INLAY_SET_ATIME | INLAY_SET_MTIME,
		.atime = {1234567890, 123456789, 0},
		.mtime = {2000000000, 987654321, 0},
	};
	struct inlay_attr attr;

	sc_put(c, "f", "");
	OK(sc_setattr(c, NULL, "f", &change));
	attr = sc_stat(c, "f");
	assert_int_equal(attr.atime.sec, 1234567890);
	assert_int_equal(attr.atime.nsec, 123456789);
	assert_int_equal(attr.mtime.sec, 2000000000);
	assert_int_equal(attr.mtime.nsec, 987654321);
	change.valid = INLAY_SET_MTIME;
	change.mtime.sec = 5;
	OK(sc_setattr(c, NULL, "f", &change));
	assert_int_equal(sc_stat(c, "f").atime.sec, 1234567890);
	assert_int_equal(sc_stat(c, "f").mtime.sec, 5);
	change.mtime.nsec = 1000000000;
	IS(sc_setattr(c, NULL, "f", &change), INVAL);
	OK(sc_symlink(c, NULL, "s", "f"));
	change.mtime.nsec = 7;
	OK(sc_setattr(c, NULL, "s", &change));
	assert_int_equal(sc_stat(c, "s").mtime.nsec, 7);
}

static void times_are_the_owners(struct contract *c)
{
	struct inlay_store_attr_change set = {.valid = INLAY_SET_MTIME | INLAY_SET_ATIME};
	struct inlay_store_attr_change now = {.valid = INLAY_SET_MTIME_NOW | INLAY_SET_ATIME_NOW};

	alices_file(c, 0646);
	IS(sc_setattr(c, &sc_bob, "d/f", &set), PERM);
	OK(sc_setattr(c, &sc_alice, "d/f", &set));
	assert_int_equal(sc_stat(c, "d/f").mtime.sec, 0);
	OK(sc_setattr(c, &sc_bob, "d/f", &now));
	assert_true(sc_stat(c, "d/f").mtime.sec > 0);
	OK(sc_chmod(c, NULL, "d/f", 0444));
	IS(sc_setattr(c, &sc_bob, "d/f", &now), ACCES);
	OK(sc_setattr(c, &sc_alice, "d/f", &now));
}

static void setattr_of_nothing(struct contract *c)
{
	struct inlay_store_attr_change nothing = {0};

	sc_put(c, "f", "abc");
	OK(sc_setattr(c, NULL, "f", &nothing));
	assert_int_equal(sc_stat(c, "f").size, 3);
}

static void truncate_needs_write(struct contract *c)
{
	alices_file(c, 0644);
	IS(sc_truncate(c, &sc_bob, "d/f", 1), ACCES);
	sc_check(c, "d/f", "abc");
	OK(sc_truncate(c, &sc_alice, "d/f", 1));
	sc_check(c, "d/f", "a");
}

static void access_asks_the_right_class(struct contract *c)
{
	const uint32_t r = INLAY_ACCESS_R, w = INLAY_ACCESS_W, x = INLAY_ACCESS_X;

	alices_file(c, 0421);
	OK(sc_access(c, &sc_alice, "d/f", r));
	IS(sc_access(c, &sc_alice, "d/f", w), ACCES);
	IS(sc_access(c, &sc_alice, "d/f", r | w), ACCES);
	OK(sc_access(c, &sc_carol, "d/f", w));
	IS(sc_access(c, &sc_carol, "d/f", r), ACCES);
	OK(sc_access(c, &sc_bob, "d/f", x));
	IS(sc_access(c, &sc_bob, "d/f", w), ACCES);
	OK(sc_access(c, &sc_bob, "d/f", 0));
	IS(sc_access(c, &sc_bob, "d/f", 8), INVAL);
}

static void owner_is_bound_by_owner_bits(struct contract *c)
{
	struct inlay_store_file *f;

	alices_file(c, 0066);
	IS(sc_open(c, &sc_alice, "d/f", INLAY_O_RDONLY, &f), ACCES);
	OK(sc_open(c, &sc_carol, "d/f", INLAY_O_RDWR, &f));
	OK(sc_open(c, &sc_bob, "d/f", INLAY_O_RDWR, &f));
	OK(sc_chmod(c, NULL, "d/f", 0006));
	IS(sc_open(c, &sc_carol, "d/f", INLAY_O_RDONLY, &f), ACCES);
}

static void root_may_all_but_run(struct contract *c)
{
	struct inlay_store_file *f;

	alices_file(c, 0000);
	OK(sc_access(c, &sc_root, "d/f", INLAY_ACCESS_R | INLAY_ACCESS_W));
	IS(sc_access(c, &sc_root, "d/f", INLAY_ACCESS_X), ACCES);
	OK(sc_open(c, &sc_root, "d/f", INLAY_O_RDWR, &f));
	OK(sc_chmod(c, NULL, "d/f", 0001));
	OK(sc_access(c, &sc_root, "d/f", INLAY_ACCESS_X));
	OK(sc_chmod(c, NULL, "d", 0000));
	OK(sc_access(c, &sc_root, "d", INLAY_ACCESS_X));
}

static void open_asks_for_its_mode(struct contract *c)
{
	struct inlay_store_file *f;

	alices_file(c, 0644);
	OK(sc_open(c, &sc_bob, "d/f", INLAY_O_RDONLY, &f));
	IS(sc_open(c, &sc_bob, "d/f", INLAY_O_WRONLY, &f), ACCES);
	IS(sc_open(c, &sc_bob, "d/f", INLAY_O_RDWR, &f), ACCES);
	IS(sc_open(c, &sc_bob, "d/f", INLAY_O_RDONLY | INLAY_O_TRUNC, &f), ACCES);
	IS(sc_open(c, &sc_bob, "d/f", INLAY_O_RDONLY | INLAY_O_NOATIME, &f), PERM);
	OK(sc_open(c, &sc_alice, "d/f", INLAY_O_RDONLY | INLAY_O_NOATIME, &f));
	IS(sc_create(c, &sc_bob, "d/f", INLAY_O_RDWR, 0644, &f), ACCES);
	sc_check(c, "d/f", "abc");
}

static void search_needs_x(struct contract *c)
{
	struct inlay_store_file *d;
	struct inlay_store_node *n = NULL;
	struct inlay_attr attr;

	alices_file(c, 0644);
	OK(sc_chmod(c, NULL, "d", 0744));
	IS(sc_find(c, &sc_bob, "d/f", &n, &attr), ACCES);
	IS(sc_find(c, &sc_bob, "d/none", &n, &attr), ACCES);
	OK(sc_opendir(c, &sc_bob, "d", &d));
	OK(sc_chmod(c, NULL, "d", 0711));
	OK(sc_find(c, &sc_bob, "d/f", &n, &attr));
	c->ops->node_unref(n);
	IS(sc_opendir(c, &sc_bob, "d", &d), ACCES);
}

static void names_need_w(struct contract *c)
{
	struct inlay_store_file *f;

	alices_file(c, 0666);
	OK(sc_chmod(c, NULL, "d", 0755));
	IS(sc_create(c, &sc_bob, "d/new", INLAY_O_RDWR, 0644, &f), ACCES);
	OK(sc_create(c, &sc_bob, "d/f", INLAY_O_RDWR, 0644, &f));
	IS(sc_mkdir(c, &sc_bob, "d/new", 0755), ACCES);
	IS(sc_mkdir(c, &sc_bob, "d/f", 0755), EXIST);
	IS(sc_symlink(c, &sc_bob, "d/new", "x"), ACCES);
	IS(sc_mknod(c, &sc_bob, "d/new", S_IFIFO | 0644, 0), ACCES);
	IS(sc_unlink(c, &sc_bob, "d/f"), ACCES);
	IS(sc_unlink(c, &sc_bob, "d/none"), NOENT);
	IS(sc_rename(c, &sc_bob, "d/f", "d/g", 0), ACCES);
	IS(sc_link(c, &sc_bob, "d/f", "d/g"), ACCES);
	IS(sc_tmpfile(c, &sc_bob, "d", INLAY_O_RDWR, 0644, &f), ACCES);
	OK(sc_chmod(c, NULL, "d", 0757));
	OK(sc_mkdir(c, &sc_bob, "d/new", 0755));
	OK(sc_unlink(c, &sc_bob, "d/f"));
}

static void new_files_are_their_makers(struct contract *c)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;

	OK(sc_mkdir(c, NULL, "d", 0777));
	OK(sc_chmod(c, NULL, "d", 0777));
	OK(sc_create(c, &sc_carol, "d/f", INLAY_O_RDWR, 0644, &f));
	OK(sc_mkdir(c, &sc_alice, "d/e", 0755));
	OK(sc_symlink(c, &sc_bob, "d/s", "x"));
	assert_int_equal(sc_stat(c, "d/f").uid, 4003);
	assert_int_equal(sc_stat(c, "d/f").gid, 4003);
	assert_int_equal(sc_stat(c, "d/e").uid, 4001);
	assert_int_equal(sc_stat(c, "d/s").uid, 4002);
	OK(sc_tmpfile(c, &sc_bob, "d", INLAY_O_RDWR, 0644, &f));
	OK(c->ops->getattr(f->node, f, &attr));
	assert_int_equal(attr.uid, 4002);
}

static void set_gid_directory_gives_its_group(struct contract *c)
{
	struct inlay_store_file *f;

	OK(sc_mkdir(c, NULL, "d", 0777));
	OK(sc_chown(c, NULL, "d", -1, 4010));
	OK(sc_chmod(c, NULL, "d", 02777));
	OK(sc_mkdir(c, &sc_alice, "d/e", 0755));
	OK(sc_create(c, &sc_alice, "d/f", INLAY_O_RDWR, 0644, &f));
	OK(sc_create(c, &sc_alice, "d/stranger", INLAY_O_RDWR, 02755, &f));
	OK(sc_create(c, &sc_carol, "d/member", INLAY_O_RDWR, 02755, &f));
	assert_int_equal(sc_stat(c, "d/e").gid, 4010);
	assert_int_equal(bits(c, "d/e"), 02755);
	assert_int_equal(sc_stat(c, "d/f").gid, 4010);
	assert_int_equal(bits(c, "d/f"), 0644);
	assert_int_equal(bits(c, "d/stranger"), 0755);
	assert_int_equal(bits(c, "d/member"), 02755);
}

static void sticky_directory_protects(struct contract *c)
{
	alices_file(c, 0666);
	OK(sc_chmod(c, NULL, "d", 01777));
	OK(sc_mkdir(c, &sc_bob, "d/bobs", 0777));
	IS(sc_unlink(c, &sc_bob, "d/f"), PERM);
	IS(sc_rename(c, &sc_bob, "d/f", "d/g", 0), PERM);
	IS(sc_rmdir(c, &sc_alice, "d/bobs"), PERM);
	OK(sc_symlink(c, &sc_bob, "d/mine", "x"));
	IS(sc_rename(c, &sc_bob, "d/mine", "d/f", 0), PERM);
	OK(sc_rename(c, &sc_alice, "d/f", "d/g", 0));
	OK(sc_unlink(c, &sc_alice, "d/g"));
	OK(sc_rmdir(c, &sc_root, "d/bobs"));
	/* The directory's owner may as well. */
	OK(sc_chown(c, NULL, "d", 4001, -1));
	OK(sc_unlink(c, &sc_alice, "d/mine"));
}

static void moving_a_directory_needs_w_on_it(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "a", 0777));
	OK(sc_mkdir(c, NULL, "b", 0777));
	OK(sc_chmod(c, NULL, "a", 0777));
	OK(sc_chmod(c, NULL, "b", 0777));
	OK(sc_mkdir(c, &sc_alice, "a/d", 0755));
	IS(sc_rename(c, &sc_bob, "a/d", "b/d", 0), ACCES);
	OK(sc_rename(c, &sc_bob, "a/d", "a/e", 0));
	OK(sc_rename(c, &sc_alice, "a/e", "b/d", 0));
}

static void own_new_file_ignores_its_mode(struct contract *c)
{
	struct inlay_store_file *f, *g;

	OK(sc_mkdir(c, NULL, "d", 0777));
	OK(sc_chmod(c, NULL, "d", 0777));
	OK(sc_create(c, &sc_alice, "d/f", INLAY_O_RDWR, 0, &f));
	assert_int_equal(sc_write(f, 0, "x", 1), 1);
	IS(sc_open(c, &sc_alice, "d/f", INLAY_O_RDONLY, &g), ACCES);
}

/* -- extended attributes -- */

static int set(struct contract *c, const struct inlay_cred *cred, const char *path, const char *name,
               const char *value, uint32_t flags)
{
	return c->ops->setxattr(sc_node(c, path), cred, name, value, strlen(value), flags);
}

static int64_t get(struct contract *c, const struct inlay_cred *cred, const char *path, const char *name, char *buf,
                   size_t cap)
{
	return c->ops->getxattr(sc_node(c, path), cred, name, buf, cap);
}

static void xattr_keeps_its_value(struct contract *c)
{
	char buf[64];

	sc_put(c, "f", "");
	OK(set(c, NULL, "f", "user.a", "one", 0));
	assert_int_equal(get(c, NULL, "f", "user.a", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "one", 3);
	OK(set(c, NULL, "f", "user.a", "longer", 0));
	assert_int_equal(get(c, NULL, "f", "user.a", buf, sizeof(buf)), 6);
	assert_int_equal(get(c, NULL, "f", "user.a", NULL, 0), 6);
	IS(get(c, NULL, "f", "user.a", buf, 5), RANGE);
	OK(set(c, NULL, "f", "user.empty", "", 0));
	assert_int_equal(get(c, NULL, "f", "user.empty", buf, sizeof(buf)), 0);
}

static void xattr_create_and_replace(struct contract *c)
{
	sc_put(c, "f", "");
	IS(set(c, NULL, "f", "user.a", "1", INLAY_XATTR_REPLACE), NODATA);
	OK(set(c, NULL, "f", "user.a", "1", INLAY_XATTR_CREATE));
	IS(set(c, NULL, "f", "user.a", "2", INLAY_XATTR_CREATE), EXIST);
	OK(set(c, NULL, "f", "user.a", "3", INLAY_XATTR_REPLACE));
}

static void xattr_lists_and_removes(struct contract *c)
{
	struct inlay_store_node *n;
	char buf[64];

	sc_put(c, "f", "");
	n = sc_node(c, "f");
	assert_int_equal(c->ops->listxattr(n, NULL, buf, sizeof(buf)), 0);
	OK(set(c, NULL, "f", "user.a", "1", 0));
	OK(set(c, NULL, "f", "user.bc", "2", 0));
	assert_int_equal(c->ops->listxattr(n, NULL, NULL, 0), 15);
	assert_int_equal(c->ops->listxattr(n, NULL, buf, sizeof(buf)), 15);
	assert_true(!strcmp(buf, "user.a") || !strcmp(buf, "user.bc"));
	IS(c->ops->listxattr(n, NULL, buf, 14), RANGE);
	OK(c->ops->removexattr(n, NULL, "user.a"));
	IS(c->ops->removexattr(n, NULL, "user.a"), NODATA);
	assert_int_equal(c->ops->listxattr(n, NULL, buf, sizeof(buf)), 8);
	assert_string_equal(buf, "user.bc");
}

static void xattr_refuses(struct contract *c)
{
	char buf[64], name[INLAY_XATTR_NAME_MAX + 2];

	sc_put(c, "f", "");
	OK(sc_symlink(c, NULL, "s", "f"));
	IS(get(c, NULL, "f", "user.none", buf, sizeof(buf)), NODATA);
	IS(get(c, NULL, "f", "user.none", NULL, 0), NODATA);
	IS(set(c, NULL, "f", "nonsense.x", "1", 0), NOTSUP);
	IS(set(c, NULL, "f", "user.", "1", 0), INVAL);
	IS(set(c, NULL, "s", "user.a", "1", 0), PERM);
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[INLAY_XATTR_NAME_MAX + 1] = 0;
	IS(set(c, NULL, "f", name, "1", 0), RANGE);
	name[INLAY_XATTR_NAME_MAX] = 0;
	OK(set(c, NULL, "f", name, "1", 0));
}

static void xattr_needs_permission(struct contract *c)
{
	char buf[64];

	alices_file(c, 0640);
	OK(set(c, &sc_alice, "d/f", "user.a", "1", 0));
	assert_int_equal(get(c, &sc_carol, "d/f", "user.a", buf, sizeof(buf)), 1);
	IS(set(c, &sc_carol, "d/f", "user.a", "2", 0), ACCES);
	IS(get(c, &sc_bob, "d/f", "user.a", buf, sizeof(buf)), ACCES);
	IS(c->ops->removexattr(sc_node(c, "d/f"), &sc_bob, "user.a"), ACCES);
	IS(set(c, &sc_alice, "d/f", "trusted.a", "1", 0), PERM);
	IS(set(c, &sc_alice, "d/f", "security.a", "1", 0), PERM);
	OK(set(c, &sc_root, "d/f", "trusted.a", "1", 0));
	IS(get(c, &sc_alice, "d/f", "trusted.a", buf, sizeof(buf)), NODATA);
	assert_int_equal(c->ops->listxattr(sc_node(c, "d/f"), &sc_alice, buf, sizeof(buf)), 7);
	assert_int_equal(c->ops->listxattr(sc_node(c, "d/f"), &sc_root, buf, sizeof(buf)), 17);
}

/* -- the whole -- */

static void statfs_tells_the_room(struct contract *c)
{
	struct inlay_statfs_rep st;

	OK(c->ops->statfs(c->root, &st));
	assert_true(st.blocks > 0 && st.bfree <= st.blocks && st.bavail <= st.bfree);
	assert_true(st.ffree <= st.files);
	assert_true(st.frsize >= 512 && st.bsize >= 512);
	assert_int_equal(st.namelen, 255);
}

static void attributes_are_whole(struct contract *c)
{
	struct inlay_store_file *f;
	struct inlay_attr by_node, by_file;

	OK(sc_create(c, NULL, "f", INLAY_O_RDWR, 0644, &f));
	OK(c->ops->getattr(f->node, NULL, &by_node));
	OK(c->ops->getattr(f->node, f, &by_file));
	assert_memory_equal(&by_node, &by_file, sizeof(by_node));
	assert_true(by_node.ino != 0 && by_node.blksize >= 512 && by_node.nlink == 1);
	assert_true(by_node.mtime.sec > 0 && by_node.mtime.nsec < 1000000000);
	assert_int_equal(by_node.pad, 0);
}

const struct contract_case contract_attr_cases[] = {
	CONTRACT_CASE(chmod_changes_permissions),
	CONTRACT_USERS(chmod_is_the_owners),
	CONTRACT_USERS(chown_is_roots),
	CONTRACT_USERS(chgrp_to_own_groups),
	CONTRACT_USERS(chown_clears_set_id),
	CONTRACT_USERS(set_gid_needs_the_group),
	CONTRACT_CASE(times_are_kept_to_the_nanosecond),
	CONTRACT_USERS(times_are_the_owners),
	CONTRACT_CASE(setattr_of_nothing),
	CONTRACT_USERS(truncate_needs_write),
	CONTRACT_USERS(access_asks_the_right_class),
	CONTRACT_USERS(owner_is_bound_by_owner_bits),
	CONTRACT_USERS(root_may_all_but_run),
	CONTRACT_USERS(open_asks_for_its_mode),
	CONTRACT_USERS(search_needs_x),
	CONTRACT_USERS(names_need_w),
	CONTRACT_USERS(new_files_are_their_makers),
	CONTRACT_USERS(set_gid_directory_gives_its_group),
	CONTRACT_USERS(sticky_directory_protects),
	CONTRACT_USERS(moving_a_directory_needs_w_on_it),
	CONTRACT_USERS(own_new_file_ignores_its_mode),
	CONTRACT_CASE(xattr_keeps_its_value),
	CONTRACT_CASE(xattr_create_and_replace),
	CONTRACT_CASE(xattr_lists_and_removes),
	CONTRACT_CASE(xattr_refuses),
	CONTRACT_USERS(xattr_needs_permission),
	CONTRACT_CASE(statfs_tells_the_room),
	CONTRACT_CASE(attributes_are_whole),
	{0},
};

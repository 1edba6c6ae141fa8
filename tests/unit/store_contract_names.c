/*
 * The store's contract: names, links, renames, listings, identities.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_contract.h"

#include <stdio.h>
#include <string.h>

static void root_is_a_directory(struct contract *c)
{
	struct inlay_attr attr = sc_stat(c, "");

	assert_true(S_ISDIR(attr.mode));
	assert_true(attr.nlink >= 1);
}

static void lookup_finds(struct contract *c)
{
	sc_put(c, "a", "x");
	assert_true(S_ISREG(sc_stat(c, "a").mode));
	assert_int_equal(sc_stat(c, "a").size, 1);
}

static void lookup_misses(struct contract *c)
{
	struct inlay_store_node *n = NULL;
	struct inlay_attr attr;

	sc_put(c, "a", "x");
	IS(sc_find(c, NULL, "b", &n, &attr), NOENT);
	IS(sc_find(c, NULL, "A", &n, &attr), NOENT);
	IS(sc_find(c, NULL, "a/b", &n, &attr), NOTDIR);
	assert_null(n);
}

static void mkdir_makes(struct contract *c)
{
	uint32_t before = sc_stat(c, "").nlink;

	OK(sc_mkdir(c, NULL, "d", 0750));
	OK(sc_mkdir(c, NULL, "d/e", 01777));
	assert_int_equal(sc_stat(c, "d").mode, S_IFDIR | 0750);
	assert_int_equal(sc_stat(c, "d/e").mode, S_IFDIR | 01777);
	if (c->counts_dirs) {
		assert_int_equal(sc_stat(c, "").nlink, before + 1);
		assert_int_equal(sc_stat(c, "d").nlink, 3);
	}
}

static void mkdir_refuses(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0755));
	sc_put(c, "f", "");
	IS(sc_mkdir(c, NULL, "d", 0755), EXIST);
	IS(sc_mkdir(c, NULL, "f", 0755), EXIST);
	IS(sc_mkdir(c, NULL, "f/x", 0755), NOTDIR);
}

static void umask_applies(struct contract *c)
{
	struct inlay_store_make make = {.mode = 0777, .umask = 027};
	struct inlay_store_node *n;
	struct inlay_store_file *f;
	struct inlay_attr attr;

	OK(c->ops->mkdir(c->root, NULL, INLAY_STR("d"), &make, &n, &attr));
	c->ops->node_unref(n);
	assert_int_equal(attr.mode, S_IFDIR | 0750);
	make.mode = 0666;
	OK(c->ops->create(c->root, NULL, INLAY_STR("f"), INLAY_O_RDWR, &make, &n, &f, &attr));
	c->ops->file_unref(f);
	c->ops->node_unref(n);
	assert_int_equal(attr.mode, S_IFREG | 0640);
	make.mode = S_IFIFO | 0666;
	OK(c->ops->mknod(c->root, NULL, INLAY_STR("p"), &make, &n, &attr));
	c->ops->node_unref(n);
	assert_int_equal(attr.mode, S_IFIFO | 0640);
}

static void rmdir_removes(struct contract *c)
{
	uint32_t before = sc_stat(c, "").nlink;

	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_rmdir(c, NULL, "d"));
	assert_false(sc_exists(c, "d"));
	assert_int_equal(sc_stat(c, "").nlink, before);
}

static void rmdir_refuses(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0755));
	sc_put(c, "d/f", "");
	IS(sc_rmdir(c, NULL, "d"), NOTEMPTY);
	IS(sc_rmdir(c, NULL, "d/f"), NOTDIR);
	IS(sc_rmdir(c, NULL, "x"), NOENT);
	OK(sc_unlink(c, NULL, "d/f"));
	OK(sc_rmdir(c, NULL, "d"));
}

static void removed_directory_takes_nothing(struct contract *c)
{
	struct inlay_store_make make = {.mode = 0755};
	struct inlay_store_node *dir, *n = NULL;
	struct inlay_store_file *f = NULL;
	struct inlay_attr attr;

	OK(sc_mkdir(c, NULL, "d", 0755));
	dir = sc_node(c, "d");
	OK(sc_rmdir(c, NULL, "d"));
	IS(c->ops->mkdir(dir, NULL, INLAY_STR("x"), &make, &n, &attr), NOENT);
	IS(c->ops->create(dir, NULL, INLAY_STR("x"), INLAY_O_RDWR, &make, &n, &f, &attr), NOENT);
	IS(c->ops->lookup(dir, NULL, INLAY_STR("x"), &n, &attr), NOENT);
	OK(c->ops->getattr(dir, NULL, &attr));
	assert_int_equal(attr.nlink, 0);
	sc_put(c, "f", "");
	IS(c->ops->link(sc_node(c, "f"), NULL, dir, NULL, INLAY_STR("x"), &attr), NOENT);
	IS(c->ops->rename(c->root, INLAY_STR("f"), dir, INLAY_STR("x"), 0, NULL), NOENT);
}

static void removed_directory_outlives_its_parent(struct contract *c)
{
	struct inlay_store_node *dir;

	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_mkdir(c, NULL, "d/e", 0755));
	OK(sc_mkdir(c, NULL, "x", 0755));
	dir = sc_node(c, "d/e");
	OK(sc_rmdir(c, NULL, "d/e"));
	OK(sc_rmdir(c, NULL, "d"));
	IS(c->ops->rename(c->root, INLAY_STR("x"), dir, INLAY_STR("y"), 0, NULL), NOENT);
	assert_true(sc_exists(c, "x"));
}

static void unlink_removes(struct contract *c)
{
	sc_put(c, "f", "");
	OK(sc_unlink(c, NULL, "f"));
	assert_false(sc_exists(c, "f"));
}

static void unlink_refuses(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0755));
	IS(sc_unlink(c, NULL, "d"), ISDIR);
	IS(sc_unlink(c, NULL, "x"), NOENT);
	assert_true(sc_exists(c, "d"));
}

static void unlinked_file_lives_while_open(struct contract *c)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;
	char buf[8];

	sc_put(c, "f", "hello");
	OK(sc_open(c, NULL, "f", INLAY_O_RDWR, &f));
	OK(sc_unlink(c, NULL, "f"));
	assert_int_equal(sc_write(f, 5, "!", 1), 1);
	assert_int_equal(sc_read(f, 0, buf, sizeof(buf)), 6);
	assert_memory_equal(buf, "hello!", 6);
	OK(c->ops->getattr(f->node, f, &attr));
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 6);
	/* Its name can be another's meanwhile. */
	sc_put(c, "f", "new");
	assert_int_equal(sc_read(f, 0, buf, sizeof(buf)), 6);
	sc_check(c, "f", "new");
}

static void unlinked_file_is_not_linked_again(struct contract *c)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;

	sc_put(c, "f", "x");
	OK(sc_open(c, NULL, "f", INLAY_O_RDWR, &f));
	OK(sc_unlink(c, NULL, "f"));
	IS(c->ops->link(f->node, f, c->root, NULL, INLAY_STR("g"), &attr), NOENT);
}

static void symlink_keeps_its_target(struct contract *c)
{
	char buf[INLAY_TARGET_MAX], target[INLAY_TARGET_MAX];

	OK(sc_symlink(c, NULL, "s", "../out/of/here"));
	assert_int_equal(sc_stat(c, "s").mode, S_IFLNK | 0777);
	assert_int_equal(sc_stat(c, "s").size, 14);
	assert_int_equal(c->ops->readlink(sc_node(c, "s"), buf, sizeof(buf)), 14);
	assert_memory_equal(buf, "../out/of/here", 14);
	memset(target, 't', sizeof(target));
	target[4095] = 0;
	OK(sc_symlink(c, NULL, "long", target));
	assert_int_equal(c->ops->readlink(sc_node(c, "long"), buf, sizeof(buf)), 4095);
	assert_memory_equal(buf, target, 4095);
}

static void symlink_is_not_followed(struct contract *c)
{
	struct inlay_store_file *f = NULL;
	struct inlay_store_node *n;
	struct inlay_attr attr;
	char buf[16];

	OK(sc_mkdir(c, NULL, "d", 0755));
	sc_put(c, "f", "x");
	OK(sc_symlink(c, NULL, "to-d", "d"));
	OK(sc_symlink(c, NULL, "to-f", "f"));
	IS(sc_find(c, NULL, "to-d/x", &n, &attr), NOTDIR);
	IS(sc_open(c, NULL, "to-f", INLAY_O_RDONLY, &f), LOOP);
	IS(sc_create(c, NULL, "to-f", INLAY_O_RDWR, 0666, &f), LOOP);
	IS(sc_create(c, NULL, "to-f", INLAY_O_RDWR | INLAY_O_EXCL, 0666, &f), EXIST);
	IS(sc_opendir(c, NULL, "to-d", &f), NOTDIR);
	IS(sc_symlink(c, NULL, "f", "x"), EXIST);
	IS(c->ops->readlink(sc_node(c, "f"), buf, sizeof(buf)), INVAL);
	IS(c->ops->readlink(sc_node(c, "d"), buf, sizeof(buf)), INVAL);
}

static void names_are_bytes(struct contract *c)
{
	char name[256], bytes[4] = {'\x01', '\xff', '\x80', 0};

	memset(name, '\xc3', 255);
	name[255] = 0;
	sc_put(c, name, "long");
	sc_put(c, bytes, "odd");
	sc_put(c, " ", "space");
	sc_put(c, "...", "dots");
	sc_check(c, name, "long");
	sc_check(c, bytes, "odd");
	sc_check(c, " ", "space");
	OK(sc_rename(c, NULL, "...", "....", 0));
	sc_check(c, "....", "dots");
	assert_false(sc_exists(c, "  "));
}

static void mknod_makes_special_files(struct contract *c)
{
	struct inlay_store_file *f = NULL;

	OK(sc_mknod(c, NULL, "fifo", S_IFIFO | 0640, 0));
	OK(sc_mknod(c, NULL, "sock", S_IFSOCK | 0600, 0));
	OK(sc_mknod(c, NULL, "plain", S_IFREG | 0644, 0));
	assert_int_equal(sc_stat(c, "fifo").mode, S_IFIFO | 0640);
	assert_int_equal(sc_stat(c, "sock").mode, S_IFSOCK | 0600);
	assert_int_equal(sc_stat(c, "plain").mode, S_IFREG | 0644);
	IS(sc_open(c, NULL, "fifo", INLAY_O_RDONLY, &f), NXIO);
	IS(sc_open(c, NULL, "fifo", INLAY_O_WRONLY, &f), NXIO);
	IS(sc_open(c, NULL, "sock", INLAY_O_RDWR, &f), NXIO);
	IS(sc_create(c, NULL, "fifo", INLAY_O_RDWR, 0666, &f), NXIO);
	OK(sc_open(c, NULL, "plain", INLAY_O_RDWR, &f));
}

static void mknod_refuses(struct contract *c)
{
	sc_put(c, "f", "");
	IS(sc_mknod(c, NULL, "f", S_IFIFO | 0644, 0), EXIST);
	IS(sc_mknod(c, NULL, "d", S_IFDIR | 0755, 0), PERM);
	IS(sc_mknod(c, NULL, "l", S_IFLNK | 0755, 0), INVAL);
	assert_false(sc_exists(c, "d"));
}

static void mknod_device_is_roots(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0777));
	IS(sc_mknod(c, &sc_alice, "d/null", S_IFCHR | 0666, 3), PERM);
	IS(sc_mknod(c, &sc_alice, "d/disk", S_IFBLK | 0666, 3), PERM);
	OK(sc_mknod(c, &sc_alice, "d/fifo", S_IFIFO | 0666, 0));
	OK(sc_mknod(c, &sc_root, "d/null", S_IFCHR | 0666, 3));
	assert_int_equal(sc_stat(c, "d/null").mode, S_IFCHR | 0666);
	assert_int_equal(sc_stat(c, "d/null").rdev_major, 1);
	assert_int_equal(sc_stat(c, "d/null").rdev_minor, 3);
}

static void link_adds_a_name(struct contract *c)
{
	sc_put(c, "a", "one");
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_link(c, NULL, "a", "d/b"));
	assert_int_equal(sc_stat(c, "a").nlink, 2);
	assert_int_equal(sc_stat(c, "a").ino, sc_stat(c, "d/b").ino);
	OK(sc_truncate(c, NULL, "a", 2));
	sc_check(c, "d/b", "on");
	OK(sc_unlink(c, NULL, "a"));
	assert_int_equal(sc_stat(c, "d/b").nlink, 1);
	sc_check(c, "d/b", "on");
	OK(sc_symlink(c, NULL, "s", "x"));
	OK(sc_link(c, NULL, "s", "s2"));
	assert_int_equal(sc_stat(c, "s2").nlink, 2);
}

static void link_refuses(struct contract *c)
{
	sc_put(c, "a", "");
	sc_put(c, "b", "");
	OK(sc_mkdir(c, NULL, "d", 0755));
	IS(sc_link(c, NULL, "a", "b"), EXIST);
	IS(sc_link(c, NULL, "a", "a"), EXIST);
	IS(sc_link(c, NULL, "d", "e"), PERM);
	IS(sc_link(c, NULL, "d", "a"), EXIST);
	IS(sc_link(c, NULL, "a", "b/x"), NOTDIR);
	assert_int_equal(sc_stat(c, "a").nlink, 1);
}

static void rename_moves(struct contract *c)
{
	uint64_t ino;

	sc_put(c, "a", "text");
	ino = sc_stat(c, "a").ino;
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_rename(c, NULL, "a", "b", 0));
	OK(sc_rename(c, NULL, "b", "d/c", 0));
	assert_false(sc_exists(c, "a"));
	assert_false(sc_exists(c, "b"));
	sc_check(c, "d/c", "text");
	assert_int_equal(sc_stat(c, "d/c").ino, ino);
}

static void rename_replaces(struct contract *c)
{
	struct inlay_store_file *f;
	char buf[8];

	sc_put(c, "a", "new");
	sc_put(c, "b", "old");
	OK(sc_open(c, NULL, "b", INLAY_O_RDONLY, &f));
	OK(sc_rename(c, NULL, "a", "b", 0));
	sc_check(c, "b", "new");
	assert_false(sc_exists(c, "a"));
	assert_int_equal(sc_read(f, 0, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "old", 3);
}

static void rename_refuses(struct contract *c)
{
	sc_put(c, "f", "");
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_mkdir(c, NULL, "full", 0755));
	sc_put(c, "full/x", "");
	IS(sc_rename(c, NULL, "x", "y", 0), NOENT);
	IS(sc_rename(c, NULL, "f", "d", 0), ISDIR);
	IS(sc_rename(c, NULL, "d", "f", 0), NOTDIR);
	IS(sc_rename(c, NULL, "d", "full", 0), NOTEMPTY);
	IS(sc_rename(c, NULL, "f", "g", INLAY_RENAME_NOREPLACE | INLAY_RENAME_EXCHANGE), INVAL);
	IS(sc_rename(c, NULL, "f", "g", 64), INVAL);
	assert_true(sc_exists(c, "f"));
	OK(sc_unlink(c, NULL, "full/x"));
	OK(sc_rename(c, NULL, "d", "full", 0));
	assert_false(sc_exists(c, "d"));
}

static void rename_makes_no_cycle(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_mkdir(c, NULL, "d/e", 0755));
	OK(sc_mkdir(c, NULL, "d/e/f", 0755));
	IS(sc_rename(c, NULL, "d", "d/x", 0), INVAL);
	IS(sc_rename(c, NULL, "d", "d/e/f/x", 0), INVAL);
	IS(sc_rename(c, NULL, "d", "d/e/f", 0), INVAL);
	IS(sc_rename(c, NULL, "d", "d/e/f", INLAY_RENAME_EXCHANGE), INVAL);
	IS(sc_rename(c, NULL, "d/e/f", "d", INLAY_RENAME_EXCHANGE), INVAL);
	IS(sc_rename(c, NULL, "d/e/f", "d", 0), NOTEMPTY);
	OK(sc_rename(c, NULL, "d", "d", 0));
	OK(sc_rename(c, NULL, "d/e/f", "f", 0));
	OK(sc_rename(c, NULL, "d", "f/d", 0));
	assert_true(sc_exists(c, "f/d/e"));
}

static void rename_noreplace(struct contract *c)
{
	sc_put(c, "a", "a");
	sc_put(c, "b", "b");
	IS(sc_rename(c, NULL, "a", "b", INLAY_RENAME_NOREPLACE), EXIST);
	sc_check(c, "b", "b");
	OK(sc_rename(c, NULL, "a", "c", INLAY_RENAME_NOREPLACE));
	sc_check(c, "c", "a");
}

static void rename_exchanges(struct contract *c)
{
	sc_put(c, "a", "a");
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_mkdir(c, NULL, "d/e", 0755));
	sc_put(c, "d/e/x", "x");
	OK(sc_rename(c, NULL, "a", "d/e", INLAY_RENAME_EXCHANGE));
	sc_check(c, "d/e", "a");
	sc_check(c, "a/x", "x");
	if (c->counts_dirs)
		assert_int_equal(sc_stat(c, "d").nlink, 2);
	IS(sc_rename(c, NULL, "a", "none", INLAY_RENAME_EXCHANGE), NOENT);
	IS(sc_rename(c, NULL, "none", "a", INLAY_RENAME_EXCHANGE), NOENT);
}

static void rename_to_itself_by_another_link(struct contract *c)
{
	sc_put(c, "a", "a");
	OK(sc_link(c, NULL, "a", "b"));
	OK(sc_rename(c, NULL, "a", "b", 0));
	assert_true(sc_exists(c, "a"));
	assert_int_equal(sc_stat(c, "b").nlink, 2);
}

static void rename_counts_directories(struct contract *c)
{
	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_mkdir(c, NULL, "e", 0755));
	OK(sc_mkdir(c, NULL, "d/x", 0755));
	OK(sc_mkdir(c, NULL, "e/x", 0755));
	OK(sc_rename(c, NULL, "d/x", "e/x", 0));
	if (c->counts_dirs) {
		assert_int_equal(sc_stat(c, "d").nlink, 2);
		assert_int_equal(sc_stat(c, "e").nlink, 3);
	}
	OK(sc_rmdir(c, NULL, "d"));
	IS(sc_rmdir(c, NULL, "e"), NOTEMPTY);
}

/* -- listings -- */

#define FILES 300

struct listing {
	unsigned seen[FILES], dots, others, left; /* left: entries to take; 0 = no end */
	uint64_t cookie;
	uint32_t type;
};

static bool take(void *arg, const struct inlay_dirent *e)
{
	struct listing *l = arg;
	char name[32] = {0};
	unsigned i;

	if (l->left && --l->left == 0)
		return false;
	l->cookie = e->cookie;
	assert_true(e->name.len < sizeof(name));
	memcpy(name, e->name.p, e->name.len);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		l->dots++;
	else if (sscanf(name, "f%u", &i) == 1 && i < FILES)
		l->seen[i]++;
	else
		l->others++;
	l->type = e->type;
	return true;
}

static void fill(struct contract *c, unsigned from, unsigned to)
{
	char path[32];

	OK(from == 0 ? sc_mkdir(c, NULL, "l", 0755) : 0);
	for (unsigned i = from; i < to; i++) {
		snprintf(path, sizeof(path), "l/f%u", i);
		sc_put(c, path, "");
	}
}

static void list_shows_all(struct contract *c)
{
	struct inlay_store_file *d;
	struct listing l = {0};

	fill(c, 0, FILES);
	OK(sc_opendir(c, NULL, "l", &d));
	assert_int_equal(c->ops->readdir(d, 0, take, &l), 1);
	for (unsigned i = 0; i < FILES; i++)
		assert_int_equal(l.seen[i], 1);
	assert_int_equal(l.others, 0);
	assert_int_equal(l.dots, 2);
	memset(&l, 0, sizeof(l));
	assert_int_equal(c->ops->readdir(d, 0, take, &l), 1);
	assert_int_equal(l.seen[FILES - 1], 1);
}

static void list_goes_on_after_a_cookie(struct contract *c)
{
	struct inlay_store_file *d;
	struct listing l = {0};
	int r = 0;

	fill(c, 0, FILES);
	OK(sc_opendir(c, NULL, "l", &d));
	while (r == 0) {
		l.left = 8; /* seven are taken, the eighth is refused */
		r = c->ops->readdir(d, l.cookie, take, &l);
	}
	assert_int_equal(r, 1);
	for (unsigned i = 0; i < FILES; i++)
		assert_int_equal(l.seen[i], 1);
	assert_int_equal(l.dots, 2);
}

static void list_stays_right_under_change(struct contract *c)
{
	struct inlay_store_file *d;
	struct listing l = {0};
	char path[32];
	int r = 0;

	fill(c, 0, FILES / 2);
	OK(sc_opendir(c, NULL, "l", &d));
	for (unsigned round = 0; r == 0; round++) {
		l.left = 12;
		r = c->ops->readdir(d, l.cookie, take, &l);
		/* Odd files go, seen or not; others come. The even ones were there all the time. */
		snprintf(path, sizeof(path), "l/f%u", 2 * round + 1);
		if (2 * round + 1 < FILES / 2)
			OK(sc_unlink(c, NULL, path));
		snprintf(path, sizeof(path), "l/f%u", FILES / 2 + round);
		if (round < 10)
			sc_put(c, path, "");
	}
	assert_int_equal(r, 1);
	for (unsigned i = 0; i < FILES; i++) {
		if (i < FILES / 2 && i % 2 == 0)
			assert_int_equal(l.seen[i], 1);
		else
			assert_true(l.seen[i] <= 1);
	}
}

static void list_while_removing_all(struct contract *c)
{
	struct inlay_store_file *d;
	struct listing l = {0};
	char path[32];
	int r = 0;

	fill(c, 0, 100);
	OK(sc_opendir(c, NULL, "l", &d));
	while (r == 0) {
		struct listing before = l;

		l.left = 5;
		r = c->ops->readdir(d, l.cookie, take, &l);
		for (unsigned i = 0; i < 100; i++) {
			snprintf(path, sizeof(path), "l/f%u", i);
			if (l.seen[i] && !before.seen[i])
				OK(sc_unlink(c, NULL, path));
		}
	}
	OK(sc_rmdir(c, NULL, "l"));
}

static void list_of_what_is_no_directory(struct contract *c)
{
	struct inlay_store_file *d = NULL;

	sc_put(c, "f", "");
	IS(sc_opendir(c, NULL, "f", &d), NOTDIR);
	OK(sc_symlink(c, NULL, "s", "."));
	IS(sc_opendir(c, NULL, "s", &d), NOTDIR);
}

static void list_tells_types(struct contract *c)
{
	struct inlay_store_file *d;
	struct listing l = {0};

	OK(sc_mkdir(c, NULL, "d", 0755));
	OK(sc_opendir(c, NULL, "d", &d));
	assert_int_equal(c->ops->readdir(d, 0, take, &l), 1);
	assert_int_equal(l.dots, 2);
	assert_int_equal(l.others, 0);
	OK(sc_symlink(c, NULL, "d/s", "x"));
	memset(&l, 0, sizeof(l));
	assert_int_equal(c->ops->readdir(d, 0, take, &l), 1);
	assert_int_equal(l.others, 1);
}

/* -- identity -- */

static struct inlay_store_id id_of(struct contract *c, const char *path)
{
	struct inlay_store_id id;

	memset(&id, 0, sizeof(id));
	c->ops->node_id(sc_node(c, path), &id);
	assert_in_range(id.len, 1, sizeof(id.bytes));
	return id;
}

static bool same_id(const struct inlay_store_id *a, const struct inlay_store_id *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void id_stands_for_the_file(struct contract *c)
{
	struct inlay_store_id a, b, link, moved;

	sc_put(c, "a", "");
	sc_put(c, "b", "");
	OK(sc_link(c, NULL, "a", "a2"));
	a = id_of(c, "a");
	b = id_of(c, "b");
	link = id_of(c, "a2");
	OK(sc_rename(c, NULL, "a", "c", 0));
	moved = id_of(c, "c");
	assert_false(same_id(&a, &b));
	assert_true(same_id(&a, &link));
	assert_true(same_id(&a, &moved));
}

static void id_finds_the_file(struct contract *c)
{
	struct inlay_store_node *n, *found;
	struct inlay_attr attr;
	struct inlay_store_id id;

	sc_put(c, "a", "xyz");
	id = id_of(c, "a");
	n = sc_node(c, "a");
	OK(sc_rename(c, NULL, "a", "b", 0));
	OK(c->ops->node_find(c->store, &id, &found));
	OK(c->ops->getattr(found, NULL, &attr));
	c->ops->node_unref(found);
	assert_int_equal(attr.size, 3);
	OK(c->ops->getattr(n, NULL, &attr));
}

static void id_goes_stale(struct contract *c)
{
	struct inlay_store_node *found = NULL;
	struct inlay_store_id id;

	sc_put(c, "a", "xyz");
	id = id_of(c, "a");
	OK(sc_unlink(c, NULL, "a"));
	sc_drop_all(c);
	sc_put(c, "a", "new");
	if (c->ops->reclaim)
		c->ops->reclaim(c->store);
	IS(c->ops->node_find(c->store, &id, &found), STALE);
	memset(id.bytes, 0xee, sizeof(id.bytes));
	IS(c->ops->node_find(c->store, &id, &found), STALE);
	id.len = 1;
	IS(c->ops->node_find(c->store, &id, &found), STALE);
	id.len = 0;
	IS(c->ops->node_find(c->store, &id, &found), STALE);
	assert_null(found);
}

const struct contract_case contract_name_cases[] = {
	CONTRACT_CASE(root_is_a_directory),
	CONTRACT_CASE(lookup_finds),
	CONTRACT_CASE(lookup_misses),
	CONTRACT_CASE(mkdir_makes),
	CONTRACT_CASE(mkdir_refuses),
	CONTRACT_CASE(umask_applies),
	CONTRACT_CASE(rmdir_removes),
	CONTRACT_CASE(rmdir_refuses),
	CONTRACT_CASE(removed_directory_takes_nothing),
	CONTRACT_CASE(removed_directory_outlives_its_parent),
	CONTRACT_CASE(unlink_removes),
	CONTRACT_CASE(unlink_refuses),
	CONTRACT_CASE(unlinked_file_lives_while_open),
	CONTRACT_CASE(unlinked_file_is_not_linked_again),
	CONTRACT_CASE(symlink_keeps_its_target),
	CONTRACT_CASE(symlink_is_not_followed),
	CONTRACT_CASE(names_are_bytes),
	CONTRACT_CASE(mknod_makes_special_files),
	CONTRACT_CASE(mknod_refuses),
	CONTRACT_USERS(mknod_device_is_roots),
	CONTRACT_CASE(link_adds_a_name),
	CONTRACT_CASE(link_refuses),
	CONTRACT_CASE(rename_moves),
	CONTRACT_CASE(rename_replaces),
	CONTRACT_CASE(rename_refuses),
	CONTRACT_CASE(rename_makes_no_cycle),
	CONTRACT_CASE(rename_noreplace),
	CONTRACT_CASE(rename_exchanges),
	CONTRACT_CASE(rename_to_itself_by_another_link),
	CONTRACT_CASE(rename_counts_directories),
	CONTRACT_CASE(list_shows_all),
	CONTRACT_CASE(list_goes_on_after_a_cookie),
	CONTRACT_CASE(list_stays_right_under_change),
	CONTRACT_CASE(list_while_removing_all),
	CONTRACT_CASE(list_of_what_is_no_directory),
	CONTRACT_CASE(list_tells_types),
	CONTRACT_CASE(id_stands_for_the_file),
	CONTRACT_CASE(id_finds_the_file),
	CONTRACT_CASE(id_goes_stale),
	{0},
};

/*
 * The posix store: names, attributes, data, extended attributes, read-only stores; each right answer with its refusal.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/store.h"

#include "store_fixture.h"

#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

static void finds_and_refuses_names(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_node *d, *again;
	struct inlay_attr attr;

	assert_int_equal(try_lookup(f->root, NULL, "d"), -INLAY_ENOENT);
	assert_int_equal(try_mkdir(f->root, NULL, "d", 0750), 0);
	assert_int_equal(try_mkdir(f->root, NULL, "d", 0750), -INLAY_EEXIST);
	d = lookup(f->root, "d");
	again = lookup(f->root, "d");
	assert_ptr_equal(d, again);
	attr = attr_of(d);
	assert_int_equal(attr.mode, S_IFDIR | 0750);
	assert_true(attr.ino != 0 && attr.change != 0 && attr.btime.sec != 0);
	file_close(create(d, NULL, "file", 0644));
	assert_int_equal(f->store->ops->rmdir(f->root, NULL, inlay_str("d")), -INLAY_ENOTEMPTY);
	assert_int_equal(f->store->ops->unlink(f->root, NULL, inlay_str("d")), -INLAY_EISDIR);
	assert_int_equal(f->store->ops->rmdir(d, NULL, inlay_str("file")), -INLAY_ENOTDIR);
	assert_int_equal(f->store->ops->unlink(d, NULL, inlay_str("file")), 0);
	assert_int_equal(f->store->ops->unlink(d, NULL, inlay_str("file")), -INLAY_ENOENT);
	assert_int_equal(f->store->ops->rmdir(f->root, NULL, inlay_str("d")), 0);
	assert_int_equal(attr_of(d).nlink, 0);
	unref(d);
	unref(again);
}

static void hard_links_are_one_node(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_node *a, *b;
	struct inlay_attr attr;

	file_close(create(f->root, NULL, "a", 0644));
	a = lookup(f->root, "a");
	assert_int_equal(f->store->ops->link(a, NULL, f->root, NULL, inlay_str("b"), &attr), 0);
	assert_int_equal(attr.nlink, 2);
	assert_int_equal(f->store->ops->link(a, NULL, f->root, NULL, inlay_str("b"), &attr), -INLAY_EEXIST);
	assert_int_equal(f->store->ops->link(f->root, NULL, f->root, NULL, inlay_str("c"), &attr), -INLAY_EPERM);
	b = lookup(f->root, "b");
	assert_ptr_equal(a, b);
	unref(b);
	file_close(create(f->root, NULL, "other", 0644));
	b = lookup(f->root, "other");
	assert_ptr_not_equal(a, b);
	unref(b);
	unref(a);
}

static void symlinks_and_special_files(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_make make = {.mode = S_IFIFO | 0666, .umask = 022};
	struct inlay_store_node *l, *p;
	struct inlay_store_file *file;
	struct inlay_attr attr;
	char target[INLAY_TARGET_MAX], deep[INLAY_TARGET_MAX + 1];

	assert_int_equal(f->store->ops->symlink(f->root, NULL, inlay_str("l"), inlay_str("no/where"), &l, &attr), 0);
	assert_int_equal(attr.mode & S_IFMT, S_IFLNK);
	assert_int_equal(f->store->ops->readlink(l, target, sizeof(target)), 8);
	assert_memory_equal(target, "no/where", 8);
	assert_int_equal(f->store->ops->readlink(f->root, target, sizeof(target)), -INLAY_EINVAL);
	assert_int_equal(try_open(l, NULL, INLAY_O_RDONLY), -INLAY_ELOOP);
	assert_int_equal(try_create(f->root, NULL, "l", INLAY_O_RDWR, 0644, 0, &file), -INLAY_ELOOP);
	assert_int_equal(f->store->ops->link(l, NULL, f->root, NULL, inlay_str("l2"), &attr), 0);
	assert_int_equal(attr.mode & S_IFMT, S_IFLNK);
	memset(deep, 'x', sizeof(deep));
	assert_int_equal(f->store->ops->symlink(
				 f->root, NULL, inlay_str("m"), (struct inlay_str){deep, INLAY_TARGET_MAX}, &p, &attr),
		-INLAY_ENAMETOOLONG);
	assert_int_equal(f->store->ops->mknod(f->root, NULL, inlay_str("p"), &make, &p, &attr), 0);
	assert_int_equal(attr.mode, S_IFIFO | 0644);
	/* Would wait for a writer if it were opened. */
	assert_int_equal(try_open(p, NULL, INLAY_O_RDONLY), -INLAY_ENXIO);
	assert_int_equal(try_create(f->root, NULL, "p", INLAY_O_RDWR, 0644, 0, &file), -INLAY_ENXIO);
	assert_int_equal(try_open(f->root, NULL, INLAY_O_RDONLY), -INLAY_EISDIR);
	unref(p);
	unref(l);
}

static void renames(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_node *a, *now;

	file_close(create(f->root, NULL, "a", 0600));
	file_close(create(f->root, NULL, "b", 0600));
	a = lookup(f->root, "a");
	assert_int_equal(ops->rename(f->root, inlay_str("a"), f->root, inlay_str("b"), INLAY_RENAME_NOREPLACE, NULL),
		-INLAY_EEXIST);
	assert_int_equal(ops->rename(f->root, inlay_str("a"), f->root, inlay_str("b"), INLAY_RENAME_EXCHANGE, NULL), 0);
	now = lookup(f->root, "b");
	assert_ptr_equal(now, a);
	unref(now);
	assert_int_equal(ops->rename(f->root, inlay_str("b"), f->root, inlay_str("a"), 0, NULL), 0);
	assert_int_equal(try_lookup(f->root, NULL, "b"), -INLAY_ENOENT);
	assert_int_equal(ops->rename(f->root, inlay_str("b"), f->root, inlay_str("c"), 0, NULL), -INLAY_ENOENT);
	assert_int_equal(ops->rename(f->root, inlay_str("a"), f->root, inlay_str("c"), 1 << 20, NULL), -INLAY_EINVAL);
	assert_int_equal(try_mkdir(f->root, NULL, "d", 0700), 0);
	unref(a);
	a = lookup(f->root, "d");
	assert_int_equal(ops->rename(f->root, inlay_str("d"), a, inlay_str("inside"), 0, NULL), -INLAY_EINVAL);
	unref(a);
}

static void creates_and_opens(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file, *second;
	struct inlay_store_node *n;
	char buf[16];

	assert_int_equal(try_create(f->root, NULL, "f", INLAY_O_RDWR, 0666, 027, &file), 0);
	n = lookup(f->root, "f");
	assert_ptr_equal(n, file->node);
	assert_int_equal(attr_of(n).mode, S_IFREG | 0640);
	assert_int_equal(put(file, 0, "content"), 7);
	assert_int_equal(try_create(f->root, NULL, "f", INLAY_O_RDWR | INLAY_O_EXCL, 0666, 0, &second), -INLAY_EEXIST);
	assert_int_equal(try_create(f->root, NULL, "f", INLAY_O_RDONLY, 0666, 0, &second), 0);
	assert_int_equal(f->store->ops->read(second, 0, buf, sizeof(buf), 0), 7);
	assert_int_equal(put(second, 0, "x"), -INLAY_EBADF);
	file_close(second);
	assert_int_equal(try_create(f->root, NULL, "f", INLAY_O_WRONLY | INLAY_O_TRUNC, 0666, 0, &second), 0);
	assert_int_equal(attr_of(n).size, 0);
	assert_int_equal(f->store->ops->read(second, 0, buf, sizeof(buf), 0), -INLAY_EBADF);
	file_close(second);
	assert_int_equal(try_open(n, NULL, 3), -INLAY_EINVAL);
	assert_int_equal(try_open(n, NULL, INLAY_O_KNOWN + 1), -INLAY_EINVAL);
	assert_int_equal(try_mkdir(f->root, NULL, "d", 0700), 0);
	assert_int_equal(try_create(f->root, NULL, "d", INLAY_O_RDONLY, 0666, 0, &second), -INLAY_EISDIR);
	/* Unlinked, the open file lives on. */
	assert_int_equal(f->store->ops->unlink(f->root, NULL, inlay_str("f")), 0);
	assert_int_equal(put(file, 0, "still"), 5);
	assert_int_equal(f->store->ops->read(file, 0, buf, sizeof(buf), 0), 5);
	assert_int_equal(attr_of(n).nlink, 0);
	assert_int_equal(try_open(n, NULL, INLAY_O_RDWR), 0);
	unref(n);
	file_close(file);
}

static void tmpfile_can_be_linked(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_make make = {.mode = 0600};
	struct inlay_store_node *n, *found;
	struct inlay_store_file *file;
	struct inlay_attr attr;

	assert_int_equal(f->store->ops->tmpfile(f->root, NULL, INLAY_O_RDWR, &make, &n, &file, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(f->store->ops->link(n, file, f->root, NULL, inlay_str("named"), &attr), 0);
	found = lookup(f->root, "named");
	assert_ptr_equal(found, n);
	unref(found);
	unref(n);
	file_close(file);
	assert_int_equal(
		f->store->ops->tmpfile(f->root, NULL, INLAY_O_RDWR | INLAY_O_EXCL, &make, &n, &file, &attr), 0);
	assert_int_equal(f->store->ops->link(n, file, f->root, NULL, inlay_str("never"), &attr), -INLAY_ENOENT);
	unref(n);
	file_close(file);
}

static void changes_attributes(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file = create(f->root, NULL, "f", 0600);
	struct inlay_store_node *n = file->node;
	struct inlay_attr attr, before = attr_of(n);
	struct inlay_store_attr_change c = {
		.valid = INLAY_SET_MODE | INLAY_SET_SIZE | INLAY_SET_ATIME | INLAY_SET_MTIME,
		.mode = 0640,
		.size = 5000,
		.atime = {.sec = 1000000000, .nsec = 123456789},
		.mtime = {.sec = -5, .nsec = 1},
	};

	assert_int_equal(change(n, NULL, c, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0640);
	assert_int_equal(attr.size, 5000);
	assert_int_equal(attr.atime.nsec, 123456789);
	assert_int_equal(attr.mtime.sec, -5);
	assert_true(attr.change != before.change);
	c.atime.nsec = UTIME_NOW; /* a number that the host reads as a word */
	assert_int_equal(change(n, NULL, c, &attr), -INLAY_EINVAL);
	c = (struct inlay_store_attr_change){.valid = INLAY_SET_ATIME_NOW | INLAY_SET_MTIME_NOW};
	assert_int_equal(change(n, NULL, c, &attr), 0);
	assert_true(attr.mtime.sec > 1000000000);
	c = (struct inlay_store_attr_change){.valid = INLAY_SET_SIZE, .size = UINT64_MAX};
	assert_int_equal(change(n, NULL, c, &attr), -INLAY_EFBIG);
	c.size = 0;
	assert_int_equal(change(f->root, NULL, c, &attr), -INLAY_EISDIR);
	file_close(file);
}

static void changes_links_themselves(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_node *l, *target;
	struct inlay_attr attr;
	struct inlay_store_attr_change times = {.valid = INLAY_SET_MTIME, .mtime = {.sec = 77}};
	struct inlay_store_attr_change mode = {.valid = INLAY_SET_MODE, .mode = 0600};

	file_close(create(f->root, NULL, "target", 0644));
	target = lookup(f->root, "target");
	assert_int_equal(f->store->ops->symlink(f->root, NULL, inlay_str("l"), inlay_str("target"), &l, &attr), 0);
	assert_int_equal(change(l, NULL, times, &attr), 0);
	assert_int_equal(attr.mtime.sec, 77);
	assert_true(attr_of(target).mtime.sec != 77);
	assert_int_equal(change(l, NULL, mode, &attr), -INLAY_ENOTSUP);
	assert_int_equal(attr_of(target).mode, S_IFREG | 0644);
	unref(l);
	unref(target);
}

static void reads_and_writes(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file = create(f->root, NULL, "f", 0600), *append;
	struct inlay_attr attr;
	uint64_t size;
	char buf[32];

	assert_int_equal(put(file, 4, "abc"), 3);
	assert_int_equal(ops->read(file, 0, buf, sizeof(buf), 0), 7);
	assert_memory_equal(buf, "\0\0\0\0abc", 7);
	assert_int_equal(ops->read(file, 0, buf, 3, INLAY_STORE_NOWAIT), 3);
	assert_int_equal(ops->read(file, 0, buf, sizeof(buf), INLAY_STORE_NOWAIT), 7);
	assert_int_equal(ops->read(file, 7, buf, sizeof(buf), 0), 0);
	assert_int_equal(ops->read(file, UINT64_MAX, buf, 1, 0), -INLAY_EINVAL);
	assert_int_equal(ops->write(file, UINT64_MAX, "x", 1, 0, &size), -INLAY_EFBIG);
	assert_int_equal(ops->write(file, 0, "x", 1, INLAY_WRITE_FILE_SYNC, &size), 1);
	assert_int_equal(ops->write(file, 0, "x", 1, INLAY_WRITE_DATA_SYNC, &size), 1);
	assert_int_equal(ops->open(file->node, NULL, INLAY_O_WRONLY | INLAY_O_APPEND, &append, &attr), 0);
	assert_int_equal(ops->write(append, 0, "end", 3, 0, &size), 3);
	assert_int_equal(size, 10);
	assert_int_equal(ops->commit(append, 0), 0);
	assert_int_equal(ops->commit(append, INLAY_COMMIT_DATA_ONLY), 0);
	assert_int_equal(attr_of(file->node).size, 10);
	file_close(append);
	file_close(file);
}

static void partly_cached_reads_are_whole_or_nothing(void **state)
{
	const size_t half = 1 << 20;
	struct fixture *f = *state;
	struct inlay_store_file *file = create(f->root, NULL, "f", 0600);
	char *buf = calloc(2, half);
	uint64_t size;
	int64_t got;

	assert_int_equal(f->store->ops->write(file, 0, buf, 2 * half, INLAY_WRITE_FILE_SYNC, &size), 2 * half);
	/* Out of the cache, and its head into it again. */
	assert_int_equal(posix_fadvise(f->store->ops->file_fd(file), 0, 0, POSIX_FADV_DONTNEED), 0);
	assert_int_equal(f->store->ops->read(file, 0, buf, 4096, 0), 4096);
	got = f->store->ops->read(file, 0, buf, 2 * half, INLAY_STORE_NOWAIT);
	assert_true(got == -INLAY_EAGAIN || got == (int64_t)(2 * half));
	assert_int_equal(f->store->ops->read(file, 0, buf, 2 * half, 0), 2 * half);
	free(buf);
	file_close(file);
}

static void sparse_files_and_copies(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file = create(f->root, NULL, "f", 0600), *to = create(f->root, NULL, "to", 0600);
	const uint64_t mib = 1 << 20;
	char buf[8];

	assert_int_equal(put(file, mib, "data"), 4);
	assert_int_equal(ops->seek(file, 0, INLAY_SEEK_DATA), (int64_t)mib);
	assert_int_equal(ops->seek(file, 0, INLAY_SEEK_HOLE), 0);
	assert_int_equal(ops->seek(file, mib + 4, INLAY_SEEK_DATA), -INLAY_ENXIO);
	assert_int_equal(ops->seek(file, 0, 2), -INLAY_EINVAL);
	assert_int_equal(ops->copy(file, mib, to, 2, 4), 4);
	assert_int_equal(ops->read(to, 0, buf, sizeof(buf), 0), 6);
	assert_memory_equal(buf, "\0\0data", 6);
	assert_int_equal(ops->copy(file, mib + 4, to, 0, 100), 0);
	assert_int_equal(ops->fallocate(file, 2 * mib, 4096, INLAY_FALLOC_KEEP_SIZE, 0), 0);
	assert_int_equal(attr_of(file->node).size, mib + 4);
	assert_int_equal(ops->fallocate(file, 2 * mib, 4096, 0, 0), 0);
	assert_int_equal(attr_of(file->node).size, 2 * mib + 4096);
	assert_int_equal(ops->fallocate(file, mib, 4096, INLAY_FALLOC_PUNCH_HOLE | INLAY_FALLOC_KEEP_SIZE, 0), 0);
	assert_int_equal(ops->read(file, mib, buf, 4, 0), 4);
	assert_memory_equal(buf, "\0\0\0\0", 4);
	assert_int_equal(ops->fallocate(file, 0, 4096, INLAY_FALLOC_PUNCH_HOLE, 0), -INLAY_ENOTSUP);
	assert_int_equal(ops->fallocate(file, 0, 4096, 1 << 10, 0), -INLAY_ENOTSUP);
	file_close(to);
	file_close(file);
}

static void extended_attributes(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_node *n;
	char buf[64], list[256];
	int64_t len;

	file_close(create(f->root, NULL, "f", 0600));
	n = lookup(f->root, "f");
	assert_int_equal(ops->getxattr(n, NULL, "user.a", buf, sizeof(buf)), -INLAY_ENODATA);
	if (ops->setxattr(n, NULL, "user.a", "value", 5, 0) == -INLAY_ENOTSUP) {
		unref(n);
		print_message("# skipped: no user attributes on the temporary directory's file system\n");
		skip();
	}
	assert_int_equal(ops->setxattr(n, NULL, "user.a", "v", 1, INLAY_XATTR_CREATE), -INLAY_EEXIST);
	assert_int_equal(ops->setxattr(n, NULL, "user.b", "v", 1, INLAY_XATTR_REPLACE), -INLAY_ENODATA);
	assert_int_equal(ops->getxattr(n, NULL, "user.a", NULL, 0), 5);
	assert_int_equal(ops->getxattr(n, NULL, "user.a", buf, 4), -INLAY_ERANGE);
	assert_int_equal(ops->getxattr(n, NULL, "user.a", buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "value", 5);
	len = ops->listxattr(n, NULL, list, sizeof(list));
	assert_true(len >= 7 && memmem(list, (size_t)len, "user.a", 7));
	assert_int_equal(ops->listxattr(n, NULL, NULL, 0), len);
	assert_int_equal(ops->removexattr(n, NULL, "user.a"), 0);
	assert_int_equal(ops->removexattr(n, NULL, "user.a"), -INLAY_ENODATA);
	unref(n);
}

static void read_only_stores_change_nothing(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_attr_change c = {.valid = INLAY_SET_MODE, .mode = 0600};
	struct inlay_store_file *file = create(f->root, NULL, "f", 0644);
	struct inlay_store_node *n, *made;
	struct inlay_store_make make = {.mode = S_IFREG | 0600};
	struct timespec old[2] = {{.tv_sec = 5}, {.tv_sec = 1000}};
	struct inlay_attr attr;
	char buf[8];

	put(file, 0, "data");
	file_close(file);
	assert_int_equal(utimensat(f->top, "f", old, 0), 0); /* an access time that relatime would move */
	fixture_reopen(f, INLAY_POSIX_READONLY);
	n = lookup(f->root, "f");
	assert_int_equal(try_open(n, NULL, INLAY_O_WRONLY), -INLAY_EROFS);
	assert_int_equal(try_open(n, NULL, INLAY_O_RDONLY | INLAY_O_TRUNC), -INLAY_EROFS);
	assert_int_equal(try_create(f->root, NULL, "f", INLAY_O_RDONLY, 0600, 0, &file), 0);
	assert_int_equal(ops->read(file, 0, buf, sizeof(buf), 0), 4);
	assert_int_equal(put(file, 0, "x"), -INLAY_EROFS);
	assert_int_equal(ops->fallocate(file, 0, 1, 0, 0), -INLAY_EROFS);
	assert_int_equal(ops->copy(file, 0, file, 100, 1), -INLAY_EROFS);
	file_close(file);
	assert_int_equal(attr_of(n).atime.sec, 5);
	assert_int_equal(try_create(f->root, NULL, "new", INLAY_O_RDONLY, 0600, 0, &file), -INLAY_EROFS);
	assert_int_equal(try_mkdir(f->root, NULL, "d", 0700), -INLAY_EROFS);
	assert_int_equal(ops->mknod(f->root, NULL, inlay_str("m"), &make, &made, &attr), -INLAY_EROFS);
	assert_int_equal(ops->symlink(f->root, NULL, inlay_str("s"), inlay_str("t"), &made, &attr), -INLAY_EROFS);
	assert_int_equal(ops->link(n, NULL, f->root, NULL, inlay_str("l"), &attr), -INLAY_EROFS);
	assert_int_equal(ops->unlink(f->root, NULL, inlay_str("f")), -INLAY_EROFS);
	assert_int_equal(ops->rename(f->root, inlay_str("f"), f->root, inlay_str("g"), 0, NULL), -INLAY_EROFS);
	assert_int_equal(change(n, NULL, c, &attr), -INLAY_EROFS);
	assert_int_equal(ops->setxattr(n, NULL, "user.a", "", 0, 0), -INLAY_EROFS);
	assert_int_equal(ops->removexattr(n, NULL, "user.a"), -INLAY_EROFS);
	assert_int_equal(ops->access(n, NULL, INLAY_ACCESS_W), -INLAY_EROFS);
	assert_int_equal(ops->access(n, NULL, INLAY_ACCESS_R), 0);
	unref(n);
}

static void the_whole(void **state)
{
	struct fixture *f = *state;
	struct inlay_statfs_rep st;

	assert_int_equal(f->store->ops->statfs(f->root, &st), 0);
	assert_true(st.blocks > 0 && st.frsize >= 512 && st.namelen >= 255);
	assert_int_equal(f->store->ops->syncfs(f->store), 0);
	/* Names of 255 bytes, any of them. */
	char name[256];
	for (unsigned i = 0; i < 255; i++)
		name[i] = (char)(i + 1 == '/' ? 'x' : i + 1);
	name[255] = 0;
	file_close(create(f->root, NULL, name, 0600));
	assert_int_equal(try_lookup(f->root, NULL, name), 0);
}

#define APPENDS 20000

struct appender {
	struct inlay_store_file *file;
	char byte;
	atomic_int failures;
	uint64_t end[APPENDS];
};

static void *append_run(void *arg)
{
	struct appender *a = arg;
	char block[16];

	memset(block, a->byte, sizeof(block));
	for (unsigned i = 0; i < APPENDS; i++)
		if (a->file->store->ops->write(a->file, 0, block, sizeof(block), 0, &a->end[i]) != sizeof(block))
			atomic_fetch_add(&a->failures, 1);
	return NULL;
}

static void check_ends(const struct appender *a, struct inlay_store_file *whole)
{
	char byte;

	for (unsigned i = 0; i < APPENDS; i++) {
		assert_int_equal(whole->store->ops->read(whole, a->end[i] - 1, &byte, 1, 0), 1);
		assert_int_equal(byte, a->byte);
		assert_true(!i || a->end[i] > a->end[i - 1]);
	}
}

/* Each says where it went, also of two that go through one open file. */

static void appends_do_not_overlap(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file = create(f->root, NULL, "f", 0600);
	static struct appender a[3] = {{.byte = 'a'}, {.byte = 'b'}, {.byte = 'c'}};
	pthread_t thread[3];
	struct inlay_attr attr;
	char block[16];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			f->store->ops->open(file->node, NULL, INLAY_O_WRONLY | INLAY_O_APPEND, &a[i].file, &attr), 0);
	a[2].file = a[1].file;
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, append_run, &a[i]);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(atomic_load(&a[i].failures), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		check_ends(&a[i], file);
	file_close(a[0].file);
	file_close(a[1].file);
	assert_int_equal(attr_of(file->node).size, 3 * APPENDS * sizeof(block));
	for (unsigned i = 0; i < 3 * APPENDS; i++) {
		assert_int_equal(f->store->ops->read(file, i * sizeof(block), block, sizeof(block), 0), sizeof(block));
		for (unsigned j = 1; j < sizeof(block); j++)
			assert_int_equal(block[j], block[0]);
	}
	file_close(file);
}

static bool mark_append_only(int fd, bool on)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return false;
	flags = on ? flags | FS_APPEND_FL : flags & ~FS_APPEND_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

/* A log that its host protects: nothing in it has a place that one could write to. */
static void what_is_append_only_stays_so(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file = create(f->root, NULL, "log", 0644), *again;
	struct inlay_store_node *n = lookup(f->root, "log");
	int fd = openat(f->outside, "root/log", O_RDONLY);
	struct inlay_attr attr;
	uint64_t end = 7;
	char text[8];

	if (!mark_append_only(fd, true)) {
		close(fd);
		unref(n);
		file_close(file);
		skip();
	}
	assert_int_equal(f->store->ops->open(n, NULL, INLAY_O_RDWR, &again, &attr), -INLAY_EPERM);
	assert_int_equal(f->store->ops->open(n, NULL, INLAY_O_RDWR | INLAY_O_APPEND, &again, &attr), 0);
	assert_int_equal(f->store->ops->write(again, 0, "one", 3, 0, &end), 3);
	assert_int_equal(f->store->ops->write(again, 0, "two", 3, INLAY_WRITE_AT, &end), -INLAY_EPERM);
	assert_int_equal(f->store->ops->write(again, 0, "two", 3, 0, &end), 3);
	assert_int_equal(end, 6);
	assert_int_equal(f->store->ops->read(again, 0, text, sizeof text, 0), 6);
	assert_memory_equal(text, "onetwo", 6);
	file_close(again);
	assert_true(mark_append_only(fd, false));
	close(fd);
	unref(n);
	file_close(file);
}

RUN_TESTS(STORE_TEST(what_is_append_only_stays_so), STORE_TEST(finds_and_refuses_names), STORE_TEST(hard_links_are_one_node),
	STORE_TEST(symlinks_and_special_files), STORE_TEST(renames), STORE_TEST(creates_and_opens),
	STORE_TEST(tmpfile_can_be_linked), STORE_TEST(changes_attributes), STORE_TEST(changes_links_themselves),
	STORE_TEST(reads_and_writes), STORE_TEST(partly_cached_reads_are_whole_or_nothing),
	STORE_TEST(sparse_files_and_copies), STORE_TEST(extended_attributes),
	STORE_TEST(read_only_stores_change_nothing), STORE_TEST(the_whole), STORE_TEST(appends_do_not_overlap))

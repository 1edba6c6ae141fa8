/*
 * Bytes as a sequence of operations on the in-memory store, crashes and faults among them. Afterwards everything is
 * removed, and the store must be as empty as a new one.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "store/memory/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELD 8
#define FILES_MAX 200
#define BYTES_MAX (40u * 65536u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct inlay_store *store;
	const struct inlay_store_ops *ops;
	struct inlay_store_node *root, *nodes[HELD]; /* NULL: the root */
	struct inlay_store_file *files[HELD];
	struct inlay_reader in;
	unsigned moved, faults;
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t byte(struct fuzz *z)
{
	const uint8_t *p = inlay_read_bytes(&z->in, 1);

	return p ? *p : 0;
}

/* Mostly small, sometimes on the edge of a chunk or of the number's range. */
static uint64_t number(struct fuzz *z)
{
	uint8_t kind = byte(z);
	uint64_t n = byte(z);

	switch (kind % 8) {
	case 0:
		return n;
	case 1:
		return 65536 * (n % 40) - 1;
	case 2:
		return UINT64_MAX - n;
	case 3:
		return (uint64_t)INT64_MAX - n;
	case 4:
		return 4096 * n;
	default:
		return n * 257 * (kind % 8);
	}
}

static struct inlay_store_node *node(struct fuzz *z)
{
	struct inlay_store_node *n = z->nodes[byte(z) % HELD];

	return n ? n : z->root;
}

static struct inlay_str name(struct fuzz *z)
{
	static const char letters[] = "abcdef";

	return (struct inlay_str){letters + byte(z) % 6, 1};
}

static const struct inlay_cred *cred(struct fuzz *z)
{
	static const struct inlay_cred users[] = {{.uid = 1, .gid = 1}, {.uid = 2, .gid = 2, .ngroups = 1, .groups = {1}}};
	uint8_t b = byte(z);

	return b % 4 < 2 ? &users[b % 4] : NULL;
}

static void keep_node(struct fuzz *z, struct inlay_store_node *n)
{
	struct inlay_store_node **place = &z->nodes[byte(z) % HELD];

	if (*place)
		z->ops->node_unref(*place);
	*place = n;
}

static void keep_file(struct fuzz *z, struct inlay_store_file *f)
{
	struct inlay_store_file **place = &z->files[byte(z) % HELD];

	if (*place)
		z->ops->file_unref(*place);
	*place = f;
}

static void name_op(struct fuzz *z, unsigned which)
{
	const struct inlay_cred *who = cred(z);
	struct inlay_store_node *dir = node(z), *other = node(z), *n = NULL;
	struct inlay_str a = name(z), b = name(z);
	uint32_t mode = byte(z) * 17u;
	struct inlay_store_make make = {.mode = mode & 07777, .umask = byte(z), .rdev_minor = which};
	struct inlay_store_file *f = NULL;
	struct inlay_attr attr;

	if (which == 0 && z->ops->lookup(dir, who, a, &n, &attr) == 0)
		keep_node(z, n);
	else if (which == 1 && z->ops->mkdir(dir, who, a, &make, &n, &attr) == 0)
		keep_node(z, n);
	else if (which == 2 && z->ops->symlink(dir, who, a, b, &n, &attr) == 0)
		keep_node(z, n);
	else if (which == 3)
		(void)z->ops->link(other, NULL, dir, who, a, &attr);
	else if (which == 4)
		(void)z->ops->unlink(dir, who, a);
	else if (which == 5)
		(void)z->ops->rmdir(dir, who, a);
	else if (which == 6)
		(void)z->ops->rename(dir, a, other, b, mode % 4, who);
	else if (which == 7 && z->ops->create(dir, who, a, mode % 64, &make, &n, &f, &attr) == 0)
		keep_node(z, n);
	else if (which == 8 && z->ops->tmpfile(dir, who, mode % 64, &make, &n, &f, &attr) == 0)
		keep_node(z, n);
	make.mode |= 0010000; /* a FIFO */
	if (which == 9 && z->ops->mknod(dir, who, a, &make, &n, &attr) == 0)
		keep_node(z, n);
	if (f)
		keep_file(z, f);
}

static bool take(void *arg, const struct inlay_dirent *e)
{
	unsigned *left = arg;

	require(e->name.len > 0 && e->cookie > 0);
	return *left && (*left)--;
}

static void node_op(struct fuzz *z, unsigned which)
{
	const struct inlay_cred *who = cred(z);
	struct inlay_store_node *n = node(z);
	struct inlay_store_attr_change change = {.valid = byte(z), .mode = byte(z) * 17u, .uid = byte(z) % 3,
	                                         .gid = byte(z) % 3, .size = number(z)};
	struct inlay_store_file *f;
	struct inlay_store_id id;
	struct inlay_attr attr;
	char buf[300];

	if (which == 0)
		(void)z->ops->setattr(n, NULL, who, &change, &attr);
	else if (which == 1 && z->ops->open(n, who, change.mode % 1024, &f, &attr) == 0)
		keep_file(z, f);
	else if (which == 2 && z->ops->opendir(n, who, &f) == 0)
		keep_file(z, f);
	else if (which == 3)
		(void)z->ops->setxattr(n, who, change.mode & 1 ? "user.a" : "trusted.b", buf, 0, change.valid % 4);
	else if (which == 4)
		(void)z->ops->removexattr(n, who, change.mode & 1 ? "user.a" : "trusted.b");
	else if (which == 5)
		require(z->ops->listxattr(n, who, buf, sizeof(buf)) <= (int64_t)sizeof(buf));
	else if (which == 6)
		(void)z->ops->readlink(n, buf, change.uid);
	z->ops->node_id(n, &id);
	if (z->ops->node_find(z->store, &id, &n) == 0)
		z->ops->node_unref(n);
}

static void file_op(struct fuzz *z, unsigned which)
{
	static uint8_t buf[200000];
	struct inlay_store_file *f = z->files[byte(z) % HELD], *g = z->files[byte(z) % HELD];
	uint64_t off = number(z), len = number(z), size;
	unsigned left = byte(z);

	if (!f || !g)
		return;
	memset(buf, (int)left, 4096);
	if (which == 0)
		require(z->ops->read(f, off, buf, len % sizeof(buf), 0) <= (int64_t)sizeof(buf));
	else if (which == 1)
		require(z->ops->write(f, off, buf, len % sizeof(buf), left % 8, &size) <= (int64_t)sizeof(buf));
	else if (which == 2)
		(void)z->ops->fallocate(f, off, len, left % 64, 0);
	else if (which == 3)
		(void)z->ops->seek(f, off, left % 2);
	else if (which == 4)
		(void)z->ops->copy(f, off, g, len, left * 1000u);
	else if (which == 5)
		(void)z->ops->readdir(f, off, take, &left);
	else
		(void)z->ops->commit(f, left % 2);
}

static void step(struct fuzz *z)
{
	uint8_t op = byte(z);

	if (op < 120)
		name_op(z, op % 10);
	else if (op < 170)
		node_op(z, op % 7);
	else if (op < 245)
		file_op(z, op % 7);
	else if (op < 248)
		(void)z->ops->syncfs(z->store);
	else if (op < 250 && z->faults++ < 8)
		inlay_memory_fail(z->store, op % 2 ? "write" : "rename", 1 + byte(z) % 4, 1, INLAY_EIO);
	else if (op < 253)
		inlay_memory_crash(z->store);
	else
		keep_node(z, NULL);
}

/* Removes an entry of arg's directory; what a full directory holds first comes up to the root. */
struct removal {
	struct fuzz *z;
	struct inlay_store_node *dir;
};

static bool is_dots(struct inlay_str n)
{
	return inlay_str_is(n, ".") || inlay_str_is(n, "..");
}

static bool lift(void *arg, const struct inlay_dirent *e)
{
	struct removal *r = arg;
	char text[16];

	if (is_dots(e->name))
		return true;
	snprintf(text, sizeof(text), "m%u", r->z->moved++);
	require(r->z->ops->rename(r->dir, e->name, r->z->root, inlay_str(text), 0, NULL) == 0);
	return true;
}

static bool remove_entry(void *arg, const struct inlay_dirent *e)
{
	struct fuzz *z = arg;
	struct removal r = {.z = z};
	struct inlay_store_file *f;
	struct inlay_attr attr;

	if (is_dots(e->name) || z->ops->unlink(z->root, NULL, e->name) == 0)
		return true;
	require(z->ops->lookup(z->root, NULL, e->name, &r.dir, &attr) == 0);
	require(z->ops->opendir(r.dir, NULL, &f) == 0);
	require(z->ops->readdir(f, 0, lift, &r) == 1);
	z->ops->file_unref(f);
	z->ops->node_unref(r.dir);
	require(z->ops->rmdir(z->root, NULL, e->name) == 0);
	return true;
}

static void remove_all(struct fuzz *z)
{
	struct inlay_statfs_rep st;
	struct inlay_store_file *f;
	struct inlay_attr attr;

	for (unsigned i = 0; i < 8; i++) /* faults that are left over fall due */
		(void)z->ops->rename(z->root, INLAY_STR("none"), z->root, INLAY_STR("none"), 0, NULL);
	require(z->ops->opendir(z->root, NULL, &f) == 0);
	require(z->ops->readdir(f, 0, remove_entry, z) == 1);
	z->ops->file_unref(f);
	require(z->ops->getattr(z->root, NULL, &attr) == 0 && attr.nlink == 2);
	require(z->ops->statfs(z->root, &st) == 0);
	require(st.bfree == st.blocks && st.ffree == FILES_MAX - 1);
	require(z->ops->syncfs(z->store) == 0);
	inlay_memory_crash(z->store);
	require(z->ops->statfs(z->root, &st) == 0);
	require(st.bfree == st.blocks && st.ffree == FILES_MAX - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz z = {.in = inlay_reader(data, size)};

	if (inlay_memory_open(&z.store) < 0)
		return 0;
	inlay_memory_set_capacity(z.store, BYTES_MAX, FILES_MAX);
	z.ops = z.store->ops;
	require(z.ops->root(z.store, &z.root) == 0);
	for (unsigned steps = 0; z.in.p < z.in.end && !z.in.bad && steps < 4000; steps++)
		step(&z);
	for (unsigned i = 0; i < HELD; i++) {
		if (z.files[i])
			z.ops->file_unref(z.files[i]);
		if (z.nodes[i])
			z.ops->node_unref(z.nodes[i]);
	}
	remove_all(&z);
	z.ops->node_unref(z.root);
	z.ops->close(z.store);
	return 0;
}

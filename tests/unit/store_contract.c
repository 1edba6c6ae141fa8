/*
 * Back ends under contract, and the helpers that the cases are written with.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_contract.h"

#include "os/identity.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct inlay_cred sc_alice = {.uid = 4001, .gid = 4001};
const struct inlay_cred sc_bob = {.uid = 4002, .gid = 4002};
const struct inlay_cred sc_carol = {.uid = 4003, .gid = 4003, .ngroups = 2, .groups = {4001, 4010}};
const struct inlay_cred sc_root = {.uid = 0, .gid = 0};

static int memory_open(struct contract *c)
{
	c->users = true;
	return inlay_memory_open(&c->store);
}

static void memory_close(struct contract *c)
{
	c->ops->close(c->store);
}

const struct contract_backend contract_memory = {"memory", memory_open, memory_close};

static int posix_open(struct contract *c)
{
	const char *base = getenv("TMPDIR");
	int fd, r;

	snprintf(c->path, sizeof(c->path), "%s/inlay-store-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
	assert_non_null(mkdtemp(c->path));
	assert_int_equal(chmod(c->path, 0755), 0);
	fd = open(c->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	c->users = inlay_identity_can_switch();
	r = inlay_posix_open(fd, 0, &c->store);
	close(fd);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

static void posix_close(struct contract *c)
{
	int r = inlay_identity_enter(NULL);

	c->ops->close(c->store);
	assert_int_equal(r, 0);
	assert_int_equal(nftw(c->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const struct contract_backend contract_posix = {"posix", posix_open, posix_close};

void contract_start(struct contract *c, const struct contract_backend *backend)
{
	struct inlay_attr before, after;

	*c = (struct contract){.backend = backend};
	assert_int_equal(backend->open(c), 0);
	c->ops = c->store->ops;
	OK(c->ops->root(c->store, &c->root));
	OK(c->ops->getattr(c->root, NULL, &before));
	OK(sc_mkdir(c, NULL, "probe", 0755));
	OK(c->ops->getattr(c->root, NULL, &after));
	OK(sc_rmdir(c, NULL, "probe"));
	c->counts_dirs = after.nlink == before.nlink + 1;
}

void sc_drop_all(struct contract *c)
{
	while (c->file_count)
		c->ops->file_unref(c->files[--c->file_count]);
	while (c->node_count)
		c->ops->node_unref(c->nodes[--c->node_count]);
}

void contract_end(struct contract *c)
{
	if (!c->root)
		return;
	sc_drop_all(c);
	c->ops->node_unref(c->root);
	c->backend->close(c);
	c->root = NULL;
}

static struct inlay_store_node *hold(struct contract *c, struct inlay_store_node *n)
{
	assert_true(c->node_count < CONTRACT_HELD);
	c->nodes[c->node_count++] = n;
	return n;
}

static void hold_file(struct contract *c, struct inlay_store_file *f)
{
	assert_true(c->file_count < CONTRACT_HELD);
	c->files[c->file_count++] = f;
}

void sc_drop(struct contract *c, struct inlay_store_node *n)
{
	unsigned i = 0;

	while (i < c->node_count && c->nodes[i] != n)
		i++;
	assert_true(i < c->node_count);
	c->nodes[i] = c->nodes[--c->node_count];
	c->ops->node_unref(n);
}

void sc_close(struct contract *c, struct inlay_store_file *f)
{
	unsigned i = 0;

	while (i < c->file_count && c->files[i] != f)
		i++;
	assert_true(i < c->file_count);
	c->files[i] = c->files[--c->file_count];
	c->ops->file_unref(f);
}

/* The directory that holds the path's last name; held by the caller's reference. */
static int walk(struct contract *c, const char *path, struct inlay_store_node **ret, struct inlay_str *ret_name)
{
	struct inlay_store_node *dir = c->root, *next;
	struct inlay_attr attr;
	const char *slash;

	c->ops->node_ref(dir);
	for (; (slash = strchr(path, '/')); path = slash + 1) {
		struct inlay_str name = {path, (uint32_t)(slash - path)};
		int r = c->ops->lookup(dir, NULL, name, &next, &attr);

		c->ops->node_unref(dir);
		if (r < 0)
			return r;
		dir = next;
	}
	*ret = dir;
	*ret_name = inlay_str(path);
	return 0;
}

int sc_find(struct contract *c, const struct inlay_cred *cred, const char *path, struct inlay_store_node **ret,
            struct inlay_attr *ret_attr)
{
	struct inlay_store_node *dir;
	struct inlay_str name;
	int r;

	if (!*path) {
		c->ops->node_ref(c->root);
		*ret = c->root;
		return c->ops->getattr(c->root, NULL, ret_attr);
	}
	r = walk(c, path, &dir, &name);
	if (r < 0)
		return r;
	r = c->ops->lookup(dir, cred, name, ret, ret_attr);
	c->ops->node_unref(dir);
	return r;
}

struct inlay_store_node *sc_node(struct contract *c, const char *path)
{
	struct inlay_store_node *n = NULL;
	struct inlay_attr attr;

	OK(sc_find(c, NULL, path, &n, &attr));
	return hold(c, n);
}

struct inlay_attr sc_stat(struct contract *c, const char *path)
{
	struct inlay_store_node *n = NULL;
	struct inlay_attr attr, again;

	OK(sc_find(c, NULL, path, &n, &attr));
	OK(c->ops->getattr(n, NULL, &again));
	c->ops->node_unref(n);
	assert_int_equal(attr.ino, again.ino);
	return attr;
}

bool sc_exists(struct contract *c, const char *path)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = sc_find(c, NULL, path, &n, &attr);

	if (r == 0)
		c->ops->node_unref(n);
	else
		IS(r, NOENT);
	return r == 0;
}

/* A call that makes or removes a name: walk, do, drop. */
#define NAMED(call) \
	struct inlay_store_node *dir, *n = NULL; \
	struct inlay_attr attr; \
	struct inlay_str name; \
	int r = walk(c, path, &dir, &name); \
	(void)attr; \
	if (r < 0) \
		return r; \
	r = call; \
	c->ops->node_unref(dir); \
	if (n) \
		c->ops->node_unref(n); \
	return r

int sc_mkdir(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mode)
{
	struct inlay_store_make make = {.mode = mode};

	NAMED(c->ops->mkdir(dir, cred, name, &make, &n, &attr));
}

int sc_mknod(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mode, uint32_t minor)
{
	struct inlay_store_make make = {.mode = mode, .rdev_major = minor ? 1 : 0, .rdev_minor = minor};

	NAMED(c->ops->mknod(dir, cred, name, &make, &n, &attr));
}

int sc_symlink(struct contract *c, const struct inlay_cred *cred, const char *path, const char *target)
{
	NAMED(c->ops->symlink(dir, cred, name, inlay_str(target), &n, &attr));
}

int sc_unlink(struct contract *c, const struct inlay_cred *cred, const char *path)
{
	NAMED(c->ops->unlink(dir, cred, name));
}

int sc_rmdir(struct contract *c, const struct inlay_cred *cred, const char *path)
{
	NAMED(c->ops->rmdir(dir, cred, name));
}

int sc_link(struct contract *c, const struct inlay_cred *cred, const char *from, const char *path)
{
	struct inlay_store_node *source;
	struct inlay_attr source_attr;
	int found = sc_find(c, NULL, from, &source, &source_attr);

	if (found < 0)
		return found;
	{
		struct inlay_store_node *dir;
		struct inlay_attr attr;
		struct inlay_str name;
		int r = walk(c, path, &dir, &name);

		if (r == 0) {
			r = c->ops->link(source, NULL, dir, cred, name, &attr);
			c->ops->node_unref(dir);
		}
		c->ops->node_unref(source);
		return r;
	}
}

int sc_rename(struct contract *c, const struct inlay_cred *cred, const char *from, const char *to, uint32_t flags)
{
	struct inlay_store_node *from_dir, *to_dir;
	struct inlay_str from_name, to_name;
	int r = walk(c, from, &from_dir, &from_name);

	if (r < 0)
		return r;
	r = walk(c, to, &to_dir, &to_name);
	if (r == 0) {
		r = c->ops->rename(from_dir, from_name, to_dir, to_name, flags, cred);
		c->ops->node_unref(to_dir);
	}
	c->ops->node_unref(from_dir);
	return r;
}

int sc_open(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t flags,
            struct inlay_store_file **ret)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = sc_find(c, NULL, path, &n, &attr);

	if (r < 0)
		return r;
	r = c->ops->open(n, cred, flags, ret, &attr);
	c->ops->node_unref(n);
	if (r == 0)
		hold_file(c, *ret);
	return r;
}

int sc_opendir(struct contract *c, const struct inlay_cred *cred, const char *path, struct inlay_store_file **ret)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = sc_find(c, NULL, path, &n, &attr);

	if (r < 0)
		return r;
	r = c->ops->opendir(n, cred, ret);
	c->ops->node_unref(n);
	if (r == 0)
		hold_file(c, *ret);
	return r;
}

int sc_create(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t flags, uint32_t mode,
              struct inlay_store_file **ret)
{
	struct inlay_store_make make = {.mode = mode};
	struct inlay_store_node *dir, *n;
	struct inlay_attr attr;
	struct inlay_str name;
	int r = walk(c, path, &dir, &name);

	if (r < 0)
		return r;
	r = c->ops->create(dir, cred, name, flags, &make, &n, ret, &attr);
	c->ops->node_unref(dir);
	if (r < 0)
		return r;
	c->ops->node_unref(n);
	hold_file(c, *ret);
	return r;
}

int sc_tmpfile(struct contract *c, const struct inlay_cred *cred, const char *dir, uint32_t flags, uint32_t mode,
               struct inlay_store_file **ret)
{
	struct inlay_store_make make = {.mode = mode};
	struct inlay_store_node *parent = sc_node(c, dir), *n;
	struct inlay_attr attr;
	int r = c->ops->tmpfile(parent, cred, flags, &make, &n, ret, &attr);

	sc_drop(c, parent);
	if (r < 0)
		return r;
	assert_int_equal(attr.nlink, 0);
	c->ops->node_unref(n);
	hold_file(c, *ret);
	return r;
}

int sc_setattr(struct contract *c, const struct inlay_cred *cred, const char *path,
               const struct inlay_store_attr_change *change)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = sc_find(c, NULL, path, &n, &attr);

	if (r < 0)
		return r;
	r = c->ops->setattr(n, NULL, cred, change, &attr);
	c->ops->node_unref(n);
	return r;
}

int sc_chmod(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mode)
{
	struct inlay_store_attr_change change = {.valid = INLAY_SET_MODE, .mode = mode};

	return sc_setattr(c, cred, path, &change);
}

int sc_chown(struct contract *c, const struct inlay_cred *cred, const char *path, int64_t uid, int64_t gid)
{
	struct inlay_store_attr_change change = {
		.valid = (uid >= 0 ? INLAY_SET_UID : 0u) | (gid >= 0 ? INLAY_SET_GID : 0u),
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
	};

	return sc_setattr(c, cred, path, &change);
}

int sc_truncate(struct contract *c, const struct inlay_cred *cred, const char *path, uint64_t size)
{
	struct inlay_store_attr_change change = {.valid = INLAY_SET_SIZE, .size = size};

	return sc_setattr(c, cred, path, &change);
}

int sc_access(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mask)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = sc_find(c, NULL, path, &n, &attr);

	if (r < 0)
		return r;
	r = c->ops->access(n, cred, mask);
	c->ops->node_unref(n);
	return r;
}

int64_t sc_write(struct inlay_store_file *f, uint64_t off, const void *buf, size_t len)
{
	uint64_t size = UINT64_MAX;
	int64_t n = f->store->ops->write(f, off, buf, len, 0, &size);

	assert_true(n < 0 ? size == UINT64_MAX : size != UINT64_MAX);
	return n;
}

int64_t sc_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len)
{
	return f->store->ops->read(f, off, buf, len, 0);
}

void sc_put(struct contract *c, const char *path, const char *text)
{
	struct inlay_store_file *f;

	OK(sc_create(c, NULL, path, INLAY_O_RDWR | INLAY_O_EXCL, 0666, &f));
	assert_int_equal(sc_write(f, 0, text, strlen(text)), strlen(text));
	sc_close(c, f);
}

void sc_check(struct contract *c, const char *path, const char *text)
{
	struct inlay_store_file *f;
	char buf[256];
	int64_t n;

	OK(sc_open(c, NULL, path, INLAY_O_RDONLY, &f));
	n = sc_read(f, 0, buf, sizeof(buf));
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	sc_close(c, f);
}

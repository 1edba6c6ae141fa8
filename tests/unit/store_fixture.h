/*
 * A posix store over a fresh temporary directory for each test, and short words for its calls. Whatever a test leaves
 * open fails it: descriptors are counted before and after.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_STORE_FIXTURE_H
#define INLAY_TESTS_STORE_FIXTURE_H

#include "support.h"

#include "base/status.h"
#include "os/identity.h"
#include "store/posix/posix.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char path[32]; /* holds "root" (the store's) and whatever lies outside it */
	int outside;   /* descriptor of path */
	int top;       /* of path/root */
	int descriptors;
	struct inlay_store *store;
	struct inlay_store_node *root;
};

static const struct inlay_cred cred_root = {0, 0, 0, {0}};
static const struct inlay_cred cred_alice = {1001, 1001, 1, {2000}};
static const struct inlay_cred cred_bob = {65534, 65534, 0, {0}};

#define NODE_STORE(n) ((n)->store->ops)

static inline int descriptors_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static inline void fixture_open(struct fixture *f, uint32_t flags)
{
	assert_int_equal(inlay_posix_open(f->top, flags, &f->store), 0);
	assert_int_equal(f->store->ops->root(f->store, &f->root), 0);
}

static inline void fixture_close(struct fixture *f)
{
	f->store->ops->node_unref(f->root);
	f->store->ops->close(f->store);
}

static inline void fixture_reopen(struct fixture *f, uint32_t flags)
{
	fixture_close(f);
	fixture_open(f, flags);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->descriptors = descriptors_count();
	strcpy(f->path, "/tmp/inlay-unit-XXXXXX");
	if (!mkdtemp(f->path) || chmod(f->path, 0755))
		return -1;
	f->outside = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(f->outside, "root", 0755))
		return -1;
	f->top = openat(f->outside, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture_open(f, 0);
	*state = f;
	return 0;
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	int left;

	fixture_close(f);
	if (inlay_identity_enter(NULL) < 0)
		return -1;
	close(f->top);
	close(f->outside);
	nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	left = descriptors_count() - f->descriptors;
	free(f);
	if (left)
		print_error("%d descriptors are left open\n", left);
	return left ? -1 : 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Skips a test, and says why, where this process can't act as others. */
#define NEEDS_ROOT() \
	do { \
		if (geteuid() != 0 || !inlay_identity_can_switch()) { \
			print_message("# skipped: acting as other users needs root\n"); \
			skip(); \
		} \
	} while (0)

static inline int try_lookup(struct inlay_store_node *dir, const struct inlay_cred *cred, const char *name)
{
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int rc = NODE_STORE(dir)->lookup(dir, cred, inlay_str(name), &n, &attr);

	if (rc >= 0)
		NODE_STORE(dir)->node_unref(n);
	return rc;
}

static inline struct inlay_store_node *lookup(struct inlay_store_node *dir, const char *name)
{
	struct inlay_store_node *n = NULL;
	struct inlay_attr attr;

	assert_int_equal(NODE_STORE(dir)->lookup(dir, NULL, inlay_str(name), &n, &attr), 0);
	return n;
}

static inline void unref(struct inlay_store_node *n)
{
	NODE_STORE(n)->node_unref(n);
}

static inline struct inlay_attr attr_of(struct inlay_store_node *n)
{
	struct inlay_attr attr;

	assert_int_equal(NODE_STORE(n)->getattr(n, NULL, &attr), 0);
	return attr;
}

/* Creates or opens; the node's reference is dropped (the file holds one). */
static inline int try_create(struct inlay_store_node *dir, const struct inlay_cred *cred, const char *name,
	uint32_t flags, uint32_t mode, uint32_t umask, struct inlay_store_file **ret)
{
	struct inlay_store_make make = {.mode = mode, .umask = umask};
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int rc = NODE_STORE(dir)->create(dir, cred, inlay_str(name), flags, &make, &n, ret, &attr);

	if (rc >= 0)
		NODE_STORE(dir)->node_unref(n);
	return rc;
}

static inline void file_close(struct inlay_store_file *f)
{
	f->store->ops->file_unref(f);
}

static inline struct inlay_store_file *create(
	struct inlay_store_node *dir, const struct inlay_cred *cred, const char *name, uint32_t mode)
{
	struct inlay_store_file *f = NULL;

	assert_int_equal(try_create(dir, cred, name, INLAY_O_RDWR | INLAY_O_EXCL, mode, 0, &f), 0);
	return f;
}

/* 0 or the status of OPEN. */
static inline int try_open(struct inlay_store_node *n, const struct inlay_cred *cred, uint32_t flags)
{
	struct inlay_store_file *f;
	struct inlay_attr attr;
	int rc = NODE_STORE(n)->open(n, cred, flags, &f, &attr);

	if (rc >= 0)
		file_close(f);
	return rc;
}

static inline int try_mkdir(
	struct inlay_store_node *dir, const struct inlay_cred *cred, const char *name, uint32_t mode)
{
	struct inlay_store_make make = {.mode = mode};
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int rc = NODE_STORE(dir)->mkdir(dir, cred, inlay_str(name), &make, &n, &attr);

	if (rc >= 0)
		NODE_STORE(dir)->node_unref(n);
	return rc;
}

static inline int64_t put(struct inlay_store_file *f, uint64_t off, const char *text)
{
	uint64_t size;

	return f->store->ops->write(f, off, text, strlen(text), 0, &size);
}

/* setattr of the members that the mask says. */
static inline int change(struct inlay_store_node *n, const struct inlay_cred *cred, struct inlay_store_attr_change c,
	struct inlay_attr *ret)
{
	return NODE_STORE(n)->setattr(n, NULL, cred, &c, ret);
}

#endif

/*
 * Ways out of a posix store's root that must be closed: links, dot-dot, races, mount points, invented ids.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "store_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

static void make_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

static void links_lead_nowhere(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_node *l;
	struct inlay_store_file *file;

	make_file(f->outside, "secret", "s");
	assert_int_equal(symlinkat("..", f->top, "up"), 0);
	assert_int_equal(symlinkat("/etc", f->top, "etc"), 0);
	assert_int_equal(symlinkat("../secret", f->top, "file"), 0);
	l = lookup(f->root, "up");
	assert_int_equal(attr_of(l).mode & S_IFMT, S_IFLNK);
	assert_int_equal(try_lookup(l, NULL, "secret"), -INLAY_ENOTDIR);
	assert_int_equal(try_create(l, NULL, "new", INLAY_O_RDWR, 0600, 0, &file), -INLAY_ENOTDIR);
	assert_int_equal(f->store->ops->opendir(l, NULL, &file), -INLAY_ENOTDIR);
	unref(l);
	assert_int_equal(try_create(f->root, NULL, "file", INLAY_O_RDWR, 0600, 0, &file), -INLAY_ELOOP);
	l = lookup(f->root, "etc");
	assert_int_equal(try_lookup(l, NULL, "passwd"), -INLAY_ENOTDIR);
	unref(l);
}

/* Callers refuse such names; the kernel has been told as well. */
static void dot_dot_stays_inside(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file;

	assert_int_equal(try_lookup(f->root, NULL, ".."), -INLAY_EXDEV);
	make_file(f->outside, "secret", "s");
	assert_int_equal(try_lookup(f->root, NULL, "../secret"), -INLAY_EXDEV);
	assert_int_equal(try_create(f->root, NULL, "../new", INLAY_O_RDWR, 0600, 0, &file), -INLAY_EXDEV);
}

struct swapper {
	int dir;
	atomic_bool stop;
	atomic_uint swaps;
};

static void *swap_run(void *arg)
{
	struct swapper *s = arg;

	while (!atomic_load(&s->stop)) {
		renameat2(s->dir, "d", s->dir, "link", RENAME_EXCHANGE);
		atomic_fetch_add(&s->swaps, 1);
	}
	return NULL;
}

static void swapping_links_leads_nowhere(void **state)
{
	struct fixture *f = *state;
	struct swapper s = {.dir = f->top};
	unsigned links = 0, dirs = 0;
	struct stat outside;
	pthread_t thread;

	assert_int_equal(mkdirat(f->outside, "target", 0755), 0);
	make_file(f->outside, "target/name", "secret");
	assert_int_equal(fstatat(f->outside, "target/name", &outside, 0), 0);
	assert_int_equal(mkdirat(f->top, "d", 0755), 0);
	make_file(f->top, "d/name", "inside");
	assert_int_equal(symlinkat("../target", f->top, "link"), 0);
	pthread_create(&thread, NULL, swap_run, &s);
	for (unsigned i = 0; i < 20000; i++) {
		struct inlay_store_node *d = lookup(f->root, "d"), *n;
		struct inlay_attr attr;
		int rc = f->store->ops->lookup(d, NULL, inlay_str("name"), &n, &attr);

		if (rc == 0) {
			dirs++;
			assert_true(attr.ino != outside.st_ino);
			unref(n);
		} else {
			links++;
			assert_int_equal(rc, -INLAY_ENOTDIR);
		}
		unref(d);
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	/* Both were seen, or nothing was tried. */
	assert_true(links > 0 && dirs > 0 && atomic_load(&s.swaps) > 100);
}

static void invented_ids_are_stale(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_id id, good;
	struct inlay_store_node *n;

	make_file(f->top, "f", "x");
	n = lookup(f->root, "f");
	ops->node_id(n, &good);
	unref(n);
	if (ops->pins_nodes) {
		assert_int_equal(ops->node_find(f->store, &good, &n), -INLAY_ESTALE);
	} else {
		assert_int_equal(ops->node_find(f->store, &good, &n), 0);
		unref(n);
	}
	for (unsigned i = 0; i < good.len; i++) {
		id = good;
		id.bytes[i] ^= 0x80;
		assert_int_equal(ops->node_find(f->store, &id, &n), -INLAY_ESTALE);
	}
	/* ext4 takes generation 0 for any. */
	id = good;
	memset(id.bytes + 8, 0, 4);
	assert_int_equal(ops->node_find(f->store, &id, &n), -INLAY_ESTALE);
	for (uint32_t len = 0; len <= 40; len++) {
		memset(&id, 0xff, sizeof(id));
		id.bytes[0] = POSIX_ID_HANDLE;
		id.len = len;
		assert_int_equal(ops->node_find(f->store, &id, &n), -INLAY_ESTALE);
	}
	/* A removed file's id: its inode number may be in use again, its generation is not. */
	assert_int_equal(ops->unlink(f->root, NULL, inlay_str("f")), 0);
	make_file(f->top, "g", "x");
	ops->reclaim(f->store);
	assert_int_equal(ops->node_find(f->store, &good, &n), -INLAY_ESTALE);
}

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			return 1; \
		} \
	} while (0)

/* In a process and mount namespace of its own. Returns 0 when all is well. */
static int mounts_child(struct fixture *f)
{
	struct inlay_store *across;
	struct inlay_store_node *root, *bind, *tmp, *n, *again;
	struct inlay_store_id id;
	struct inlay_attr attr;
	char from[64], bind_path[64], tmp_path[64];

	snprintf(from, sizeof(from), "%s/target", f->path);
	snprintf(bind_path, sizeof(bind_path), "%s/root/bind", f->path);
	snprintf(tmp_path, sizeof(tmp_path), "%s/root/tmp", f->path);
	CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount(from, bind_path, NULL, MS_BIND, NULL) == 0);
	CHECK(mount("tmpfs", tmp_path, "tmpfs", 0, "size=1m") == 0);
	/* The fixture's store looks from the old namespace: open the root anew. */
	close(f->top);
	f->top = open(f->path, O_RDONLY | O_DIRECTORY);
	f->top = openat(f->top, "root", O_PATH | O_DIRECTORY);
	CHECK(inlay_posix_open(f->top, 0, &across) == 0 && across->ops->root(across, &root) == 0);
	CHECK(try_lookup(root, NULL, "bind") == -INLAY_EXDEV);
	CHECK(try_lookup(root, NULL, "tmp") == -INLAY_EXDEV);
	CHECK(try_lookup(root, NULL, "plain") == 0);
	CHECK(across->ops->rmdir(root, NULL, inlay_str("bind")) == -INLAY_EBUSY);
	unref(root);
	across->ops->close(across);

	CHECK(inlay_posix_open(f->top, INLAY_POSIX_CROSS_MOUNTS, &across) == 0);
	CHECK(across->ops->root(across, &root) == 0);
	CHECK(across->ops->lookup(root, NULL, inlay_str("bind"), &bind, &attr) == 0);
	CHECK(try_lookup(bind, NULL, "name") == 0);
	CHECK(across->ops->lookup(root, NULL, inlay_str("tmp"), &tmp, &attr) == 0);
	CHECK(try_mkdir(tmp, NULL, "d", 0755) == 0);
	CHECK(across->ops->lookup(tmp, NULL, inlay_str("d"), &n, &attr) == 0);
	across->ops->node_id(n, &id);
	CHECK(across->ops->node_find(across, &id, &again) == 0 && again == n);
	unref(n);
	unref(n);
	posix_cache_trim(posix_store(across), INT64_MAX, INT64_MAX);
	CHECK(across->ops->node_find(across, &id, &n) == (across->ops->pins_nodes ? -INLAY_ESTALE : 0));
	if (!across->ops->pins_nodes) {
		CHECK(attr_of(n).ino == attr.ino);
		unref(n);
	}
	CHECK(across->ops->syncfs(across) == 0);
	unref(bind);
	unref(tmp);
	unref(root);
	across->ops->close(across);
	return 0;
}

static void mount_points_are_not_entered(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	pid_t child;

	NEEDS_ROOT();
	assert_int_equal(mkdirat(f->outside, "target", 0755), 0);
	make_file(f->outside, "target/name", "x");
	assert_int_equal(mkdirat(f->top, "bind", 0755), 0);
	assert_int_equal(mkdirat(f->top, "tmp", 0755), 0);
	assert_int_equal(mkdirat(f->top, "plain", 0755), 0);
	child = fork();
	if (child == 0)
		_exit(mounts_child(f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

RUN_TESTS(STORE_TEST(links_lead_nowhere), STORE_TEST(dot_dot_stays_inside), STORE_TEST(swapping_links_leads_nowhere),
	STORE_TEST(invented_ids_are_stale), STORE_TEST(mount_points_are_not_entered))

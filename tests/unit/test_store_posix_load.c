/*
 * The posix store under load: listings that stay right while others change the directory, the node cache's bound and
 * its return of space, many threads on few nodes, pinned nodes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include "store_fixture.h"

#include <pthread.h>
#include <sys/wait.h>

#define STABLE 100000u

struct listing {
	uint8_t seen[STABLE];
	unsigned others, dots, total, stop_after;
	uint64_t cookie;
	bool bad;
};

static bool take(void *arg, const struct inlay_dirent *e)
{
	struct listing *l = arg;
	unsigned long number;
	char name[256];

	if (l->total == l->stop_after)
		return false;
	l->total++;
	l->cookie = e->cookie;
	memcpy(name, e->name.p, e->name.len);
	name[e->name.len] = 0;
	if (name[0] == '.') {
		l->dots++;
		l->bad |= e->type != S_IFDIR;
	} else if (name[0] == 's') {
		number = strtoul(name + 1, NULL, 10);
		if (number >= STABLE || l->seen[number]++ || e->ino == 0 || e->type != S_IFREG)
			l->bad = true;
	} else {
		l->others++;
	}
	return true;
}

struct churn {
	int dir;
	atomic_bool stop;
	atomic_uint changes;
};

static void *churn_run(void *arg)
{
	struct churn *c = arg;
	char name[32], to[32];

	for (unsigned i = 0; !atomic_load(&c->stop); i = (i + 1) % 5000) {
		snprintf(name, sizeof(name), "churn%u", i);
		snprintf(to, sizeof(to), "moved%u", i);
		mknodat(c->dir, name, S_IFREG | 0600, 0);
		renameat(c->dir, name, c->dir, to);
		if (i & 1)
			unlinkat(c->dir, to, 0);
		atomic_fetch_add(&c->changes, 1);
	}
	return NULL;
}

/* The whole directory, count entries a call. */
static void list_all(struct inlay_store_file *d, struct listing *l, unsigned count)
{
	uint64_t cookie = 0;
	int rc;

	do {
		l->stop_after = l->total + count;
		rc = d->store->ops->readdir(d, cookie, take, l);
		assert_true(rc >= 0);
		cookie = l->cookie;
	} while (rc == 0);
}

static void listings_stay_right(void **state)
{
	struct fixture *f = *state;
	struct listing *l = calloc(1, sizeof(*l));
	struct churn c = {.dir = f->top};
	struct inlay_store_file *d;
	unsigned missing = 0;
	pthread_t thread;
	char name[32];

	for (unsigned i = 0; i < STABLE; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(mknodat(f->top, name, S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(f->store->ops->opendir(f->root, NULL, &d), 0);
	pthread_create(&thread, NULL, churn_run, &c);
	while (atomic_load(&c.changes) < 10)
		sched_yield();
	list_all(d, l, 777);
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < STABLE; i++)
		missing += !l->seen[i];
	assert_int_equal(missing, 0);
	assert_false(l->bad);
	assert_int_equal(l->dots, 2);
	file_close(d);
	free(l);
}

static void cookies_resume_anywhere(void **state)
{
	struct fixture *f = *state;
	struct listing *l = calloc(1, sizeof(*l)), *rest = calloc(1, sizeof(*rest));
	struct inlay_store_file *d;
	uint64_t middle;
	char name[32];

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(mknodat(f->top, name, S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(f->store->ops->opendir(f->root, NULL, &d), 0);
	l->stop_after = 1000;
	assert_int_equal(d->store->ops->readdir(d, 0, take, l), 0);
	middle = l->cookie;
	list_all(d, rest, 100);
	assert_int_equal(rest->total, 3002);
	assert_false(rest->bad);
	/* Back to the middle: all the rest, and nothing of the first thousand. */
	l->stop_after = UINT32_MAX;
	assert_int_equal(d->store->ops->readdir(d, middle, take, l), 1);
	assert_int_equal(l->total, 3002);
	assert_false(l->bad);
	/* Stopped at once: nothing was taken, so nothing is lost. */
	memset(l, 0, sizeof(*l));
	assert_int_equal(d->store->ops->readdir(d, middle, take, l), 0);
	l->stop_after = 1;
	assert_int_equal(d->store->ops->readdir(d, middle, take, l), 0);
	assert_int_equal(l->total, 1);
	/* Starting over shows what is there now. */
	assert_int_equal(mknodat(f->top, "new", S_IFREG | 0600, 0), 0);
	memset(rest, 0, sizeof(*rest));
	list_all(d, rest, 5000);
	assert_int_equal(rest->others, 1);
	file_close(d);
	d = create(f->root, NULL, "plain", 0600);
	assert_int_equal(d->store->ops->readdir(d, 0, take, rest), -INLAY_ENOTDIR);
	file_close(d);
	free(l);
	free(rest);
}

static void starting_over_reads_afresh(void **state)
{
	struct fixture *f = *state;
	struct listing *l = calloc(1, sizeof(*l));
	struct inlay_store_file *d;

	/* Also when the first call took nothing. */
	assert_int_equal(f->store->ops->opendir(f->root, NULL, &d), 0);
	assert_int_equal(d->store->ops->readdir(d, 0, take, l), 0);
	assert_int_equal(mknodat(f->top, "s0", S_IFREG | 0600, 0), 0);
	list_all(d, l, 5000);
	assert_int_equal(l->total, 3);
	file_close(d);
	free(l);
}

/* Descriptors of removed files that this process holds. */
static unsigned deleted_open(void)
{
	char link[64], target[4096];
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");

	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		ssize_t len;

		snprintf(link, sizeof(link), "/proc/self/fd/%.20s", e->d_name);
		len = readlink(link, target, sizeof(target) - 1);
		if (len > 0) {
			target[len] = 0;
			count += strstr(target, "inlay-unit-") && strstr(target, "(deleted)");
		}
	}
	closedir(dir);
	return count;
}

static void few_idle_nodes_stay_open(void **state)
{
	enum { FILES = 200, BOUND = 8 };
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_id ids[FILES], id;
	struct inlay_store_node *n;
	uint64_t inos[FILES];
	char name[32];
	int before = descriptors_count();

	inlay_posix_set_idle(f->store, BOUND, 60000);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(mknodat(f->top, name, S_IFREG | 0600, 0), 0);
		n = lookup(f->root, name);
		ops->node_id(n, &ids[i]);
		inos[i] = attr_of(n).ino;
		unref(n);
	}
	assert_true(descriptors_count() <= before + BOUND);
	for (unsigned i = 0; i < FILES; i++) {
		if (ops->pins_nodes) {
			assert_int_equal(ops->node_find(f->store, &ids[i], &n), -INLAY_ESTALE);
			continue;
		}
		assert_int_equal(ops->node_find(f->store, &ids[i], &n), 0);
		assert_int_equal(attr_of(n).ino, inos[i]);
		ops->node_id(n, &id);
		assert_memory_equal(&id, &ids[i], sizeof(id));
		unref(n);
	}
	assert_true(descriptors_count() <= before + BOUND);
}

static void removed_files_give_their_space_back(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file;

	inlay_posix_set_idle(f->store, 100, 60000);
	for (unsigned i = 0; i < 3; i++)
		file_close(create(f->root, NULL, (const char *[]){"a", "b", "c"}[i], 0600));
	/* Idle, and removed by us. */
	assert_int_equal(ops->unlink(f->root, NULL, inlay_str("a")), 0);
	assert_int_equal(ops->rename(f->root, inlay_str("b"), f->root, inlay_str("c"), 0, NULL), 0);
	/* Whoever has just looked them up may open them; but who needs the space gets it. */
	assert_int_equal(deleted_open(), ops->pins_nodes ? 0 : 2);
	assert_int_equal(ops->reclaim(f->store), !ops->pins_nodes);
	assert_int_equal(deleted_open(), 0);
	assert_false(ops->reclaim(f->store));
	/* In use, then idle. */
	file = create(f->root, NULL, "d", 0600);
	assert_int_equal(ops->unlink(f->root, NULL, inlay_str("d")), 0);
	assert_int_equal(deleted_open(), 2);
	file_close(file);
	assert_int_equal(deleted_open(), ops->pins_nodes ? 0 : 1);
	assert_true(ops->pins_nodes || ops->reclaim(f->store));
	assert_int_equal(deleted_open(), 0);
}

/* LOOKUP and OPEN are two steps: a rename over the file, or its removal, may come between them. */
static void a_file_removed_after_lookup_opens(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file;
	struct inlay_store_node *n;
	struct inlay_store_id id;
	struct inlay_attr attr;

	if (ops->pins_nodes)
		return;
	inlay_posix_set_idle(f->store, 100, 60000);
	file_close(create(f->root, NULL, "a", 0600));
	file_close(create(f->root, NULL, "b", 0600));
	n = lookup(f->root, "a");
	ops->node_id(n, &id);
	unref(n);
	assert_int_equal(ops->rename(f->root, inlay_str("b"), f->root, inlay_str("a"), 0, NULL), 0);
	assert_int_equal(ops->node_find(f->store, &id, &n), 0);
	assert_int_equal(ops->open(n, NULL, INLAY_O_RDONLY, &file, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	unref(n);
	file_close(file);
	ops->reclaim(f->store);
	assert_int_equal(ops->node_find(f->store, &id, &n), -INLAY_ESTALE);
}

static void idle_nodes_are_closed_in_time(void **state)
{
	struct fixture *f = *state;
	unsigned waited = 0;

	inlay_posix_set_idle(f->store, 100, 300);
	file_close(create(f->root, NULL, "a", 0600));
	assert_int_equal(unlinkat(f->top, "a", 0), 0);
	assert_int_equal(deleted_open(), f->store->ops->pins_nodes ? 0 : 1);
	while (deleted_open() && waited++ < 100)
		usleep(50000);
	assert_int_equal(deleted_open(), 0);
	/* And again, once the reaper has gone to sleep. */
	usleep(400000);
	file_close(create(f->root, NULL, "b", 0600));
	assert_int_equal(unlinkat(f->top, "b", 0), 0);
	for (waited = 0; deleted_open() && waited < 100; waited++)
		usleep(50000);
	assert_int_equal(deleted_open(), 0);
}

struct worker {
	struct fixture *f;
	atomic_uint failures;
};

static void *work_run(void *arg)
{
	struct worker *w = arg;
	const struct inlay_store_ops *ops = w->f->store->ops;

	for (unsigned i = 0; i < 3000; i++) {
		struct inlay_store_node *a, *b, *found;
		struct inlay_store_id id;
		struct inlay_attr attr;
		char name[2] = {(char)('a' + i % 5), 0};

		if (ops->lookup(w->f->root, NULL, inlay_str(name), &a, &attr) < 0) {
			atomic_fetch_add(&w->failures, 1);
			continue;
		}
		if (ops->lookup(w->f->root, NULL, inlay_str(name), &b, &attr) < 0 || a != b)
			atomic_fetch_add(&w->failures, 1);
		else
			unref(b);
		ops->node_id(a, &id);
		if (ops->node_find(w->f->store, &id, &found) < 0 || found != a)
			atomic_fetch_add(&w->failures, 1);
		else
			unref(found);
		unref(a);
	}
	return NULL;
}

static void threads_share_nodes(void **state)
{
	struct fixture *f = *state;
	struct worker w = {.f = f};
	pthread_t thread[4];

	inlay_posix_set_idle(f->store, 1, 1);
	for (unsigned i = 0; i < 5; i++)
		file_close(create(f->root, NULL, (const char[2]){(char)('a' + i), 0}, 0600));
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, work_run, &w);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&w.failures), 0);
}

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			return 1; \
		} \
	} while (0)

/* As an ordinary user, in a process of its own. */
static int pinned_child(struct fixture *f)
{
	struct inlay_store *s;
	struct inlay_store_node *root, *n, *again;
	struct inlay_store_id id, later;
	struct inlay_attr attr;

	CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	CHECK(inlay_posix_open(f->top, 0, &s) == 0 && s->ops->pins_nodes);
	CHECK(s->ops->root(s, &root) == 0);
	CHECK(try_mkdir(root, NULL, "d", 0755) == 0);
	CHECK(s->ops->lookup(root, NULL, inlay_str("d"), &n, &attr) == 0);
	s->ops->node_id(n, &id);
	CHECK(s->ops->node_find(s, &id, &again) == 0 && again == n);
	unref(n);
	unref(n);
	CHECK(s->ops->node_find(s, &id, &n) == -INLAY_ESTALE);
	CHECK(s->ops->lookup(root, NULL, inlay_str("d"), &n, &attr) == 0);
	s->ops->node_id(n, &later);
	CHECK(memcmp(&id, &later, sizeof(id)) == 0);
	unref(n);
	unref(root);
	s->ops->close(s);
	return 0;
}

static void ordinary_users_pin_nodes(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	pid_t child;

	if (geteuid() != 0) {
		/* Then every other test here runs with pinned nodes. */
		assert_true(f->store->ops->pins_nodes);
		return;
	}
	assert_int_equal(fchmod(f->top, 0777), 0);
	child = fork();
	if (child == 0)
		_exit(pinned_child(f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

RUN_TESTS(STORE_TEST(listings_stay_right), STORE_TEST(cookies_resume_anywhere), STORE_TEST(starting_over_reads_afresh),
	STORE_TEST(few_idle_nodes_stay_open), STORE_TEST(removed_files_give_their_space_back), STORE_TEST(a_file_removed_after_lookup_opens),
	STORE_TEST(idle_nodes_are_closed_in_time), STORE_TEST(threads_share_nodes),
	STORE_TEST(ordinary_users_pin_nodes))

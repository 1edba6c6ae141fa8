/*
 * The same random operations on the in-memory store and on the posix store: statuses, attributes and content must
 * agree. INLAY_TEST_SEED and INLAY_TEST_STEPS choose another run;
 * INLAY_TEST_EVERY=1 compares everything after each step, to find the one that did it.
 * What may differ is said in store_contract.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store_contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 6000
#define OPEN_MAX_ 12
#define IO_MAX ((size_t)150000)
#define SIZE_SPREAD 400000u
#define NAMES 5u

enum { A, B, SIDES };

/* One file of the model: open on both sides, or on neither. */
struct pair {
	struct inlay_store_file *f[SIDES];
};

struct model {
	struct contract side[SIDES];
	struct pair open[OPEN_MAX_];
	uint64_t random, seed;
	unsigned step;
	bool shifts; /* both sides have collapse and insert */
	char last[200];
};

static struct model model;
static uint8_t data[IO_MAX], read_back[SIDES][IO_MAX];

/* xorshift64*: any seed but 0. */
static uint32_t pick(struct model *m, uint32_t below)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (uint32_t)(m->random * 0x2545f4914f6cdd1du >> 33) % below;
}

#define DIFFERS(m, ...) \
	do { \
		print_error("seed %llu step %u, %s: ", (unsigned long long)(m)->seed, (m)->step, (m)->last); \
		print_error(__VA_ARGS__); \
		fail_msg("the stores differ"); \
	} while (0)

static void same(struct model *m, const char *what, int64_t a, int64_t b)
{
	if (a != b)
		DIFFERS(m, "%s: memory %lld, posix %lld\n", what, (long long)a, (long long)b);
}

/* A path of one to three names; few names, so that they meet. */
static void pick_path(struct model *m, char path[16])
{
	unsigned depth = 1 + pick(m, 3);
	size_t at = 0;

	for (unsigned i = 0; i < depth; i++) {
		if (i)
			path[at++] = '/';
		path[at++] = (char)('a' + pick(m, NAMES));
	}
	path[at] = 0;
}

static const struct inlay_cred *pick_cred(struct model *m)
{
	static const struct inlay_cred *const creds[] = {&sc_alice, &sc_bob, &sc_carol};
	uint32_t which = pick(m, 8);

	return which < 3 ? creds[which] : which < 5 ? &sc_root : NULL;
}

/* -- comparing -- */

static void compare_attr(struct model *m, const struct inlay_attr *a, const struct inlay_attr *b)
{
	bool dir = S_ISDIR(a->mode);

	same(m, "mode", a->mode, b->mode);
	same(m, "uid", a->uid, b->uid);
	same(m, "gid", a->gid, b->gid);
	if (!dir)
		same(m, "size", (int64_t)a->size, (int64_t)b->size);
	if (!dir || m->side[B].counts_dirs)
		same(m, "nlink", a->nlink, b->nlink);
	same(m, "rdev", (int64_t)a->rdev_major << 32 | a->rdev_minor, (int64_t)b->rdev_major << 32 | b->rdev_minor);
}

static void compare_content(struct model *m, struct inlay_store_file *a, struct inlay_store_file *b)
{
	for (uint64_t off = 0;; off += IO_MAX) {
		int64_t x = sc_read(a, off, read_back[A], IO_MAX), y = sc_read(b, off, read_back[B], IO_MAX);

		same(m, "read", x, y);
		for (int64_t i = 0; i < x; i++)
			if (read_back[A][i] != read_back[B][i])
				DIFFERS(m, "content at %llu\n", (unsigned long long)off + (unsigned long long)i);
		if (x < (int64_t)IO_MAX)
			return;
	}
}

static void compare_target(struct model *m, const char *path)
{
	char target[SIDES][64];
	int len[SIDES];

	for (int i = 0; i < SIDES; i++) {
		struct inlay_store_node *n = sc_node(&m->side[i], path);

		len[i] = m->side[i].ops->readlink(n, target[i], sizeof(target[i]));
		sc_drop(&m->side[i], n);
	}
	same(m, "target length", len[A], len[B]);
	if (memcmp(target[A], target[B], (size_t)len[A]) != 0)
		DIFFERS(m, "target\n");
}

struct listed {
	char names[64];
	unsigned count;
};

static bool note(void *arg, const struct inlay_dirent *e)
{
	struct listed *l = arg;

	if (e->name.p[0] != '.' && l->count < sizeof(l->names) - 1)
		l->names[l->count++] = e->name.p[0];
	return true;
}

static int by_byte(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* Compares the listings of a directory; the names, sorted, in ret. */
static void compare_listing(struct model *m, const char *path, struct listed *ret)
{
	struct listed l[SIDES] = {0};

	for (int i = 0; i < SIDES; i++) {
		struct contract *c = &m->side[i];
		struct inlay_store_file *d;

		OK(sc_opendir(c, NULL, path, &d));
		assert_int_equal(c->ops->readdir(d, 0, note, &l[i]), 1);
		sc_close(c, d);
		qsort(l[i].names, l[i].count, 1, by_byte);
	}
	if (strcmp(l[A].names, l[B].names) != 0)
		DIFFERS(m, "listing of '%s': memory %s, posix %s\n", path, l[A].names, l[B].names);
	*ret = l[A];
}

static void compare_tree(struct model *m, const char *path)
{
	struct inlay_attr a = sc_stat(&m->side[A], path), b = sc_stat(&m->side[B], path);
	struct inlay_store_file *f[SIDES];
	struct listed names;
	char below[64];

	compare_attr(m, &a, &b);
	if (S_ISREG(a.mode)) {
		for (int i = 0; i < SIDES; i++)
			OK(sc_open(&m->side[i], NULL, path, INLAY_O_RDONLY, &f[i]));
		compare_content(m, f[A], f[B]);
		for (int i = 0; i < SIDES; i++)
			sc_close(&m->side[i], f[i]);
	} else if (S_ISLNK(a.mode)) {
		compare_target(m, path);
	} else if (S_ISDIR(a.mode)) {
		compare_listing(m, path, &names);
		for (unsigned i = 0; i < names.count; i++) {
			snprintf(below, sizeof(below), "%s%s%c", path, *path ? "/" : "", names.names[i]);
			compare_tree(m, below);
		}
	}
}

/* -- operations; each is done on both sides -- */

/* BOTH(call on c): the statuses of both sides, compared; yields that status. */
#define BOTH(m, call) \
	__extension__({ \
		int64_t both_[SIDES]; \
		for (int side = A; side < SIDES; side++) { \
			struct contract *c = &(m)->side[side]; \
			(void)c; \
			both_[side] = call; \
		} \
		same(m, "status", both_[A], both_[B]); \
		both_[A]; \
	})

#define SAY(m, ...) snprintf((m)->last, sizeof((m)->last), __VA_ARGS__)

static struct pair *pick_open(struct model *m)
{
	struct pair *p = &m->open[pick(m, OPEN_MAX_)];

	return p->f[A] ? p : NULL;
}

/* A place for another open file; what stands there is closed. */
static struct pair *pick_place(struct model *m)
{
	struct pair *p = &m->open[pick(m, OPEN_MAX_)];

	if (p->f[A])
		for (int i = 0; i < SIDES; i++)
			sc_close(&m->side[i], p->f[i]);
	*p = (struct pair){{NULL, NULL}};
	return p;
}

static void opened(struct pair *p, struct inlay_store_file *const f[SIDES], int64_t r)
{
	if (r == 0)
		memcpy(p->f, f, sizeof(p->f));
}

static uint32_t pick_flags(struct model *m)
{
	uint32_t flags = pick(m, 3);

	if (pick(m, 6) == 0)
		flags |= INLAY_O_TRUNC;
	if (pick(m, 5) == 0)
		flags |= INLAY_O_APPEND;
	if (pick(m, 5) == 0)
		flags |= INLAY_O_EXCL;
	return flags;
}

static uint32_t pick_mode(struct model *m)
{
	static const uint32_t modes[] = {0644, 0666, 0600, 0777, 0755, 0000, 02755, 04755, 0420, 01777, 02777};

	return modes[pick(m, sizeof(modes) / sizeof(modes[0]))];
}

static void do_open(struct model *m)
{
	struct inlay_store_file *f[SIDES] = {NULL, NULL};
	const struct inlay_cred *cred = pick_cred(m);
	uint32_t flags = pick_flags(m), mode = pick_mode(m), how = pick(m, 8);
	struct pair *p = pick_place(m);
	char path[16];

	pick_path(m, path);
	SAY(m, "%s %s flags %x mode %o uid %d", how < 5 ? "create" : how < 7 ? "open" : "tmpfile", path, flags, mode,
	    cred ? (int)cred->uid : -1);
	if (how < 5)
		opened(p, f, BOTH(m, sc_create(c, cred, path, flags, mode, &f[side])));
	else if (how < 7)
		opened(p, f, BOTH(m, sc_open(c, cred, path, flags & ~(uint32_t)INLAY_O_EXCL, &f[side])));
	else
		opened(p, f, BOTH(m, sc_tmpfile(c, cred, "", flags, mode, &f[side])));
}

static void do_make(struct model *m)
{
	const struct inlay_cred *cred = pick_cred(m);
	uint32_t how = pick(m, 8), mode = pick_mode(m);
	char path[16], target[16];

	pick_path(m, path);
	pick_path(m, target);
	SAY(m, "make %u %s mode %o target %s uid %d", how, path, mode, target, cred ? (int)cred->uid : -1);
	if (how < 5)
		BOTH(m, sc_mkdir(c, cred, path, mode));
	else if (how == 5)
		BOTH(m, sc_symlink(c, cred, path, target));
	else if (how == 6)
		BOTH(m, sc_mknod(c, cred, path, S_IFIFO | mode, 0));
	else
		BOTH(m, sc_mknod(c, cred, path, S_IFCHR | mode, 3));
}

static void do_remove(struct model *m)
{
	const struct inlay_cred *cred = pick_cred(m);
	uint32_t dir = pick(m, 2);
	char path[16];

	pick_path(m, path);
	SAY(m, "%s %s uid %d", dir ? "rmdir" : "unlink", path, cred ? (int)cred->uid : -1);
	if (dir)
		BOTH(m, sc_rmdir(c, cred, path));
	else
		BOTH(m, sc_unlink(c, cred, path));
}

static void do_rename(struct model *m)
{
	static const uint32_t flags[] = {0, 0, INLAY_RENAME_NOREPLACE, INLAY_RENAME_EXCHANGE};
	const struct inlay_cred *cred = pick_cred(m);
	uint32_t which = flags[pick(m, 4)];
	char from[16], to[16];

	pick_path(m, from);
	pick_path(m, to);
	SAY(m, "rename %s %s flags %u uid %d", from, to, which, cred ? (int)cred->uid : -1);
	BOTH(m, sc_rename(c, cred, from, to, which));
}

/* As the store itself: fs.protected_hardlinks makes a user's link a matter of the host. */
static void do_link(struct model *m)
{
	char from[16], to[16];

	pick_path(m, from);
	pick_path(m, to);
	SAY(m, "link %s %s", from, to);
	BOTH(m, sc_link(c, NULL, from, to));
}

static void do_link_open(struct model *m)
{
	struct pair *p = pick_open(m);
	char name[2] = {(char)('a' + pick(m, NAMES)), 0};
	struct inlay_attr attr;

	if (!p)
		return;
	SAY(m, "link an open file to %s", name);
	BOTH(m, c->ops->link(p->f[side]->node, p->f[side], c->root, NULL, inlay_str(name), &attr));
}

static void do_attr(struct model *m)
{
	static const int64_t ids[] = {-1, 0, 4001, 4002, 4003, 4010};
	const struct inlay_cred *cred = pick_cred(m);
	uint32_t how = pick(m, 4), mode = pick_mode(m);
	uint64_t size = pick(m, SIZE_SPREAD);
	int64_t uid = ids[pick(m, 6)], gid = ids[pick(m, 6)];
	char path[16];

	pick_path(m, path);
	SAY(m, "attr %u %s mode %o size %llu owner %d:%d uid %d", how, path, mode, (unsigned long long)size, (int)uid,
	    (int)gid, cred ? (int)cred->uid : -1);
	if (how == 0)
		BOTH(m, sc_chmod(c, cred, path, mode));
	else if (how == 1 && (uid >= 0 || gid >= 0))
		BOTH(m, sc_chown(c, cred, path, uid, gid));
	else if (how == 2)
		BOTH(m, sc_truncate(c, NULL, path, size));
	else
		BOTH(m, sc_access(c, cred, path, mode & 7));
}

/* Whether a change that fails, or changes nothing, clears set-id bits is the host's affair: make it the same again. */
static void after_change(struct model *m, struct pair *p, int64_t r)
{
	struct inlay_store_attr_change change = {.valid = INLAY_SET_MODE, .mode = 0640};
	struct inlay_attr attr;

	if (r <= 0)
		BOTH(m, c->ops->setattr(p->f[side]->node, NULL, NULL, &change, &attr));
}

static void do_write(struct model *m)
{
	struct pair *p = pick_open(m);
	uint64_t off = pick(m, SIZE_SPREAD), size;
	size_t len = pick(m, 4) ? pick(m, 3000) : pick(m, (uint32_t)IO_MAX);
	uint32_t flags = pick(m, 4) ? INLAY_WRITE_KILL_PRIV : INLAY_WRITE_KILL_PRIV | INLAY_WRITE_DATA_SYNC;

	if (!p)
		return;
	memset(data, 1 + (int)pick(m, 255), len);
	SAY(m, "write %zu at %llu flags %u", len, (unsigned long long)off, flags);
	after_change(m, p, BOTH(m, c->ops->write(p->f[side], off, data, len, flags, &size)));
}

static void do_read(struct model *m)
{
	struct pair *p = pick_open(m);
	uint64_t off = pick(m, SIZE_SPREAD);
	size_t len = pick(m, (uint32_t)IO_MAX);
	int64_t n;

	if (!p)
		return;
	SAY(m, "read %zu at %llu", len, (unsigned long long)off);
	n = BOTH(m, sc_read(p->f[side], off, read_back[side], len));
	if (n > 0 && memcmp(read_back[A], read_back[B], (size_t)n) != 0)
		DIFFERS(m, "content read\n");
}

static void do_fallocate(struct model *m)
{
	static const uint32_t modes[] = {0,
	                                 INLAY_FALLOC_KEEP_SIZE,
	                                 INLAY_FALLOC_PUNCH_HOLE | INLAY_FALLOC_KEEP_SIZE,
	                                 INLAY_FALLOC_ZERO,
	                                 INLAY_FALLOC_ZERO | INLAY_FALLOC_KEEP_SIZE,
	                                 INLAY_FALLOC_PUNCH_HOLE,
	                                 INLAY_FALLOC_COLLAPSE,
	                                 INLAY_FALLOC_INSERT};
	uint32_t mode = modes[pick(m, m->shifts ? 8 : 6)];
	uint64_t off = pick(m, SIZE_SPREAD), len = pick(m, 100000);
	struct pair *p = pick_open(m);

	if (mode & (INLAY_FALLOC_COLLAPSE | INLAY_FALLOC_INSERT) && pick(m, 4)) {
		off -= off % 4096;
		len -= len % 4096;
	}
	if (!p)
		return;
	SAY(m, "fallocate mode %u, %llu at %llu", mode, (unsigned long long)len, (unsigned long long)off);
	after_change(m, p, BOTH(m, c->ops->fallocate(p->f[side], off, len, mode, INLAY_WRITE_KILL_PRIV)));
}

/* Short enough for every host to do it in one. */
static void do_copy(struct model *m)
{
	struct pair *from = pick_open(m), *to = pick_open(m);
	uint64_t from_off = pick(m, SIZE_SPREAD), to_off = pick(m, SIZE_SPREAD), len = pick(m, 60000);

	if (!from || !to)
		return;
	SAY(m, "copy %llu from %llu to %llu", (unsigned long long)len, (unsigned long long)from_off,
	    (unsigned long long)to_off);
	after_change(m, to, BOTH(m, c->ops->copy(from->f[side], from_off, to->f[side], to_off, len)));
}

static void do_xattr(struct model *m)
{
	static const char *const names[] = {"user.a", "user.b", "trusted.c", "other.d"};
	const struct inlay_cred *cred = pick_cred(m);
	const char *name = names[pick(m, 4)];
	uint32_t how = pick(m, 3), flags = pick(m, 3);
	struct inlay_store_node *n[SIDES];
	char path[16], value[SIDES][8];
	int64_t r;

	pick_path(m, path);
	SAY(m, "xattr %u %s of %s flags %u uid %d", how, name, path, flags, cred ? (int)cred->uid : -1);
	if (BOTH(m, sc_access(c, NULL, path, 0)) < 0)
		return;
	for (int i = 0; i < SIDES; i++)
		n[i] = sc_node(&m->side[i], path);
	if (how == 0) {
		BOTH(m, c->ops->setxattr(n[side], cred, name, path, strlen(path), flags));
	} else if (how == 1) {
		BOTH(m, c->ops->removexattr(n[side], cred, name));
	} else {
		r = BOTH(m, c->ops->getxattr(n[side], cred, name, value[side], sizeof(value[side])));
		if (r > 0 && memcmp(value[A], value[B], (size_t)r) != 0)
			DIFFERS(m, "value\n");
	}
	for (int i = 0; i < SIDES; i++)
		sc_drop(&m->side[i], n[i]);
}

static void compare_open(struct model *m)
{
	for (unsigned i = 0; i < OPEN_MAX_; i++) {
		struct inlay_attr attr[SIDES];
		struct pair *p = &m->open[i];

		if (!p->f[A])
			continue;
		for (int side = 0; side < SIDES; side++)
			OK(m->side[side].ops->getattr(p->f[side]->node, p->f[side], &attr[side]));
		compare_attr(m, &attr[A], &attr[B]);
		if ((p->f[A]->flags & INLAY_O_ACCMODE) != INLAY_O_WRONLY)
			compare_content(m, p->f[A], p->f[B]);
	}
}

static void step(struct model *m)
{
	static void (*const ops[])(struct model *m) = {
		do_open,  do_open, do_open,      do_make,  do_make, do_remove, do_rename, do_rename, do_link, do_link_open,
		do_attr,  do_attr, do_write,     do_write, do_write, do_read,  do_fallocate, do_copy, do_xattr,
	};

	ops[pick(m, sizeof(ops) / sizeof(ops[0]))](m);
}

static bool has_shifts(struct contract *c)
{
	struct inlay_store_file *f;
	int r;

	sc_put(c, "probe", "x");
	OK(sc_truncate(c, NULL, "probe", 65536));
	OK(sc_open(c, NULL, "probe", INLAY_O_RDWR, &f));
	r = c->ops->fallocate(f, 0, 4096, INLAY_FALLOC_COLLAPSE, 0);
	if (r == 0)
		r = c->ops->fallocate(f, 0, 4096, INLAY_FALLOC_INSERT, 0);
	sc_close(c, f);
	OK(sc_unlink(c, NULL, "probe"));
	return r == 0;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && strtoull(text, NULL, 0) ? strtoull(text, NULL, 0) : otherwise;
}

static int start(void **state)
{
	struct model *m = *state = &model;

	contract_start(&m->side[A], &contract_memory);
	contract_start(&m->side[B], &contract_posix);
	for (int i = 0; i < SIDES; i++)
		OK(sc_chmod(&m->side[i], NULL, "", 0777));
	m->shifts = has_shifts(&m->side[A]) && has_shifts(&m->side[B]);
	return 0;
}

static int end(void **state)
{
	struct model *m = *state;

	for (int i = 0; i < SIDES; i++)
		contract_end(&m->side[i]);
	return 0;
}

static void stores_agree(void **state)
{
	struct model *m = *state;
	unsigned steps = (unsigned)number_from("INLAY_TEST_STEPS", STEPS);
	unsigned every = (unsigned)number_from("INLAY_TEST_EVERY", 50);

	if (!m->side[B].users)
		skip();
	m->seed = m->random = number_from("INLAY_TEST_SEED", 20240229);
	for (m->step = 0; m->step < steps; m->step++) {
		step(m);
		if (m->step % every == every - 1) {
			compare_tree(m, "");
			compare_open(m);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(stores_agree, start, end)};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}

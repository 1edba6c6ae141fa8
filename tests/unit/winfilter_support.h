/*
 * What tests of the Windows filter's user side share: the driver's side of the ring, NTFS as a list of names, and a loop that
 * runs when the test says so, in one thread; beneath it the redirector on its fake sides, of which the local one is absent.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_WINFILTER_SUPPORT_H
#define INLAY_TESTS_WINFILTER_SUPPORT_H

#include "fake_loop.h"
#include "redirect_support.h"

#include "intercept/winfilter/convert.h"
#include "intercept/winfilter/names.h"
#include "intercept/winfilter/ntstatus.h"
#include "intercept/winfilter/winfilter.h"
#include "ring/ring.h"
#include "ring/tags.h"

#define ENTRIES 256u
#define SLOTS 64u
#define SLOT_SIZE (256u * 1024u)
#define DIRECTORY 7u

/* ---- NTFS: a list of names ---- */

struct ntfs_entry {
	struct inlay_map_link link;
	char path[512];
	bool marked, dir, busy; /* busy: it can't be changed or removed */
	struct inlay_ring_attr attr;
	struct inlay_placeholder_mark mark;
	uint32_t security_len;
};

static struct {
	struct ntfs_entry **entry;
	unsigned count, cap;
	struct inlay_map by_path;
	unsigned calls[4]; /* inspect, put, remove, list */
	int fail_put;      /* the next fail_puts puts say so */
	unsigned fail_puts;
	unsigned fail_one_in; /* of all calls, by shuffle; 0: none */
} ntfs;

static const struct inlay_hash_key ntfs_key = {{1, 1}};

static inline uint64_t ntfs_hash(const char *path)
{
	return inlay_winname_hash(&ntfs_key, inlay_str(path));
}

static inline struct ntfs_entry *ntfs_find(const char *path)
{
	struct inlay_map_link *link = inlay_map_find(&ntfs.by_path, ntfs_hash(path));

	for (; link; link = inlay_map_find_next(link)) {
		struct ntfs_entry *e = inlay_container(link, struct ntfs_entry, link);

		if (inlay_winname_same(inlay_str(e->path), inlay_str(path)))
			return e;
	}
	return NULL;
}

static inline void ntfs_name(struct ntfs_entry *e, const char *path)
{
	inlay_map_remove(&ntfs.by_path, &e->link);
	snprintf(e->path, sizeof e->path, "%s", path);
	inlay_map_add(&ntfs.by_path, &e->link, ntfs_hash(path));
}

static inline struct ntfs_entry *ntfs_add(const char *path, bool dir)
{
	struct ntfs_entry *e;

	w.in_side++; /* its memory does not fail */
	e = calloc(1, sizeof *e);
	assert_non_null(e);
	if (ntfs.count == ntfs.cap) {
		ntfs.cap = ntfs.cap ? 2 * ntfs.cap : 64;
		ntfs.entry = realloc(ntfs.entry, ntfs.cap * sizeof(struct ntfs_entry *));
		assert_non_null(ntfs.entry);
	}
	ntfs.entry[ntfs.count++] = e;
	snprintf(e->path, sizeof e->path, "%s", path);
	inlay_map_add(&ntfs.by_path, &e->link, ntfs_hash(path));
	e->dir = dir;
	e->attr.attributes = dir ? INLAY_WIN_DIRECTORY : INLAY_WIN_ARCHIVE;
	w.in_side--;
	return e;
}

static inline void ntfs_drop(unsigned i)
{
	inlay_map_remove(&ntfs.by_path, &ntfs.entry[i]->link);
	free(ntfs.entry[i]);
	ntfs.entry[i] = ntfs.entry[--ntfs.count];
}

static inline void ntfs_delete(const char *path)
{
	const struct ntfs_entry *e = ntfs_find(path);

	assert_non_null(e);
	for (unsigned i = 0; i < ntfs.count; i++) {
		if (ntfs.entry[i] == e) {
			ntfs_drop(i);
			return;
		}
	}
}

static inline bool ntfs_is_beneath(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !len || (strlen(path) > len && path[len] == '/' &&
	                inlay_winname_same((struct inlay_str){path, (uint32_t)len}, inlay_str(dir)));
}

static inline void ntfs_rename(const char *from, const char *to)
{
	char path[512];

	for (unsigned i = 0; i < ntfs.count; i++) {
		struct ntfs_entry *e = ntfs.entry[i];

		if (!inlay_winname_same(inlay_str(e->path), inlay_str(from)) && !ntfs_is_beneath(e->path, from))
			continue;
		snprintf(path, sizeof path, "%s%s", to, e->path + strlen(from));
		ntfs_name(e, path);
	}
}

/* What is there: 'l' and 'L' local file and directory, 'p' and 'P' placeholders, '-' nothing. */
static inline char ntfs_has(const char *path)
{
	const struct ntfs_entry *e = ntfs_find(path);

	return !e ? '-' : e->marked ? (e->dir ? 'P' : 'p') : e->dir ? 'L' : 'l';
}

static inline void ntfs_split(const char *path, char *dir, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	snprintf(dir, 512, "%.*s", slash ? (int)(slash - path) : 0, path);
	*ret_name = slash ? slash + 1 : path;
}

static inline bool ntfs_parent_stands(const char *path)
{
	char dir[512];
	const char *name;
	const struct ntfs_entry *e;

	ntfs_split(path, dir, &name);
	e = ntfs_find(dir);
	return !*dir || (e && e->dir);
}

static inline void ntfs_fill(const struct ntfs_entry *e, struct inlay_placeholder *ret)
{
	char dir[512];
	const char *name;

	ntfs_split(e->path, dir, &name);
	ret->state = e->marked ? INLAY_PLACEHOLDER_MARKED : INLAY_PLACEHOLDER_LOCAL;
	ret->attr = e->attr;
	ret->mark = e->mark;
	snprintf(ret->name, sizeof ret->name, "%s", name);
}

static inline bool ntfs_fails(void)
{
	return ntfs.fail_one_in && shuffle_next() % ntfs.fail_one_in == 0;
}

static inline int ntfs_inspect(void *arg, const char *path, struct inlay_placeholder *ret)
{
	const struct ntfs_entry *e = ntfs_find(path);

	assert_ptr_equal(arg, &ntfs);
	ntfs.calls[0]++;
	if (ntfs_fails())
		return -INLAY_EIO;
	if (e)
		ntfs_fill(e, ret);
	else
		ret->state = INLAY_PLACEHOLDER_ABSENT;
	return 0;
}

static inline int ntfs_put(void *arg, const char *path, const struct inlay_placeholder_want *want)
{
	struct ntfs_entry *e;
	bool dir = want->attr.attributes & INLAY_WIN_DIRECTORY;

	(void)arg;
	ntfs.calls[1]++;
	if (ntfs.fail_puts) {
		ntfs.fail_puts--;
		return ntfs.fail_put;
	}
	e = ntfs_find(path);
	if (ntfs_fails())
		return -INLAY_EIO;
	if (!ntfs_parent_stands(path))
		return -INLAY_ENOENT;
	if (e && (!e->marked || e->dir != dir))
		return -INLAY_EEXIST;
	if (e && e->busy)
		return -INLAY_EBUSY;
	if (!e)
		e = ntfs_add(path, dir);
	ntfs_name(e, path);
	e->marked = true;
	e->attr = want->attr;
	e->mark = want->mark;
	e->security_len = want->security_len;
	return 0;
}

static inline int ntfs_remove(void *arg, const char *path)
{
	struct ntfs_entry *e = ntfs_find(path);
	char name[512];
	bool left = false, busy = false;

	(void)arg;
	ntfs.calls[2]++;
	if (ntfs_fails())
		return -INLAY_EIO;
	if (!e)
		return ntfs_parent_stands(path) ? 0 : -INLAY_ENOENT;
	if (!e->marked)
		return -INLAY_EEXIST;
	for (unsigned i = 0; i < ntfs.count; i++) {
		bool in = ntfs_is_beneath(ntfs.entry[i]->path, path);

		left = left || (in && !ntfs.entry[i]->marked);
		busy = busy || ((in || ntfs.entry[i] == e) && ntfs.entry[i]->busy);
	}
	if (busy)
		return -INLAY_EBUSY;
	if (left) { /* good enough: what lies beneath stays as it is */
		e->marked = false;
		return -INLAY_ENOTEMPTY;
	}
	snprintf(name, sizeof name, "%s", path);
	for (unsigned i = 0; i < ntfs.count;) {
		const char *at = ntfs.entry[i]->path;

		if (ntfs_is_beneath(at, name) || inlay_winname_same(inlay_str(at), inlay_str(name)))
			ntfs_drop(i);
		else
			i++;
	}
	return 0;
}

static inline int ntfs_list(void *arg, const char *path, int (*each)(void *each_arg, const struct inlay_placeholder *p), void *each_arg)
{
	const struct ntfs_entry *dir = ntfs_find(path);
	struct inlay_placeholder p;
	char parent[512];
	const char *name;
	int err = 0;

	(void)arg;
	ntfs.calls[3]++;
	if (ntfs_fails())
		return -INLAY_EIO;
	if (*path && (!dir || !dir->dir))
		return -INLAY_ENOENT;
	for (unsigned i = 0; i < ntfs.count && err >= 0; i++) {
		ntfs_split(ntfs.entry[i]->path, parent, &name);
		if (!inlay_winname_same(inlay_str(parent), inlay_str(path)))
			continue;
		ntfs_fill(ntfs.entry[i], &p);
		err = each(each_arg, &p);
	}
	return err < 0 ? err : 0;
}

static const struct inlay_placeholders_ops ntfs_ops = {
	.size = sizeof ntfs_ops, .inspect = ntfs_inspect, .put = ntfs_put, .remove = ntfs_remove, .list = ntfs_list,
};

/* ---- the driver ---- */

struct driver_call {
	struct inlay_ring_request q;
	struct inlay_ring_completion c;
	bool used, done;
};

static struct {
	void *section;
	struct inlay_ring_geometry geometry;
	struct inlay_ring_requester ring;
	struct inlay_ring_tag tag_room[ENTRIES];
	struct inlay_ring_tags tags;
	uint32_t slot_room[SLOTS];
	struct inlay_ring_slots slots;
	struct driver_call call[ENTRIES];
	unsigned wakes, broken;
	bool event;        /* the requests event */
} driver;

static struct inlay_winfilter *filter;
static struct inlay_winfilter_config filter_config;

static inline void wake_driver(void *arg)
{
	(void)arg;
	driver.wakes++;
}

static inline void ring_broken(void *arg, int status)
{
	(void)arg;
	assert_int_equal(status, -INLAY_EPROTO);
	driver.broken++;
}

static inline bool collect(void)
{
	struct inlay_ring_completion c[16];
	int count = inlay_ring_requester_pop(&driver.ring, c, 16);

	for (int i = 0; i < count; i++) {
		struct driver_call *call = inlay_ring_tags_give(&driver.tags, c[i].tag);

		assert_non_null(call); /* a completion that nobody waits for, or the second one */
		assert_int_equal(inlay_ring_completion_check(&call->q, &c[i]), 0);
		if (call->q.slot != INLAY_RING_NO_SLOT)
			assert_int_equal(inlay_ring_slots_give(&driver.slots, call->q.slot), 0);
		call->c = c[i];
		call->done = true;
	}
	return count > 0;
}

/* Runs everything until nothing moves. */
static inline void pump(void)
{
	bool any = true;

	while (any) {
		any = run_timers();
		for (unsigned i = 0; i < w.r.lanes; i++) {
			any |= run_tasks(&loops[i]);
			any |= run_hooks(&loops[i]);
		}
		current_loop = &loops[0];
		if (driver.event) {
			driver.event = false;
			inlay_winfilter_ready(filter);
			any = true;
		}
		any |= collect();
	}
}

static inline void pass_time(uint64_t ms)
{
	loop_time += ms * 1000000;
	pump();
}

/* UTF-16LE with backslashes, of a path as in ntfs_...; its bytes. */
static inline uint32_t put_name(uint8_t *to, const char *path)
{
	uint16_t units[32768];
	int64_t count = *path ? inlay_wtf8_to_utf16(inlay_str(path), units, 32768) : 0;

	assert_true(count >= 0);
	for (int64_t i = 0; i < count; i++)
		inlay_store16(to + 2 * i, units[i] == '/' ? (uint16_t)'\\' : units[i]);
	return (uint32_t)(2 * count);
}

static inline uint8_t *slot_of(const struct driver_call *call)
{
	return inlay_ring_requester_slot(&driver.ring, call->q.slot);
}

/* Fills in tag and, for kinds with something in it, a slot. */
static inline struct driver_call *prepare(uint32_t kind, uint64_t file)
{
	unsigned i = 0;
	struct driver_call *call;

	while (i < ENTRIES && driver.call[i].used)
		i++;
	assert_true(i < ENTRIES);
	call = &driver.call[i];
	memset(call, 0, sizeof *call);
	call->used = true;
	call->q = (struct inlay_ring_request){.kind = kind, .file = file, .directory = DIRECTORY, .process = 42, .slot = INLAY_RING_NO_SLOT};
	call->q.tag = inlay_ring_tags_take(&driver.tags, call);
	assert_int_not_equal(call->q.tag, 0);
	if (kind == INLAY_RING_OPEN || kind == INLAY_RING_READ || kind == INLAY_RING_WRITE || kind == INLAY_RING_RENAME_BEGIN) {
		call->q.slot = inlay_ring_slots_take(&driver.slots);
		assert_int_not_equal(call->q.slot, INLAY_RING_NO_SLOT);
	}
	return call;
}

static inline void submit(struct driver_call *call)
{
	assert_int_equal(inlay_ring_requester_push(&driver.ring, &call->q), 0);
	driver.event |= inlay_ring_requester_publish(&driver.ring);
}

/* Its completion; the call is free again. */
static inline struct inlay_ring_completion take_answer(struct driver_call *call)
{
	assert_true(call->done);
	call->used = false;
	return call->c;
}

static inline struct inlay_ring_completion ask(struct driver_call *call)
{
	submit(call);
	pump();
	return take_answer(call);
}

static inline void cancel(const struct driver_call *call)
{
	struct inlay_ring_request q = {.kind = INLAY_RING_CANCEL, .offset = call->q.tag, .slot = INLAY_RING_NO_SLOT, .directory = DIRECTORY};

	assert_int_equal(inlay_ring_requester_push(&driver.ring, &q), 0);
	driver.event |= inlay_ring_requester_publish(&driver.ring);
}

#define READ_ACCESS 0x1u
#define WRITE_ACCESS 0x2u
#define ALL_ACCESS 0x3u
#define ATTR_ACCESS 0x80u

static inline struct driver_call *prepare_open(const char *path, uint32_t disposition, uint32_t options, uint32_t access)
{
	struct driver_call *call = prepare(INLAY_RING_OPEN, 0);

	call->q.length = put_name(slot_of(call), path);
	call->q.in.open.disposition = disposition;
	call->q.in.open.options = options;
	call->q.in.open.access = access;
	call->q.in.open.attributes = INLAY_WIN_NORMAL;
	return call;
}

static inline struct inlay_ring_completion open_as(const char *path, uint32_t disposition, uint32_t options, uint32_t access)
{
	return ask(prepare_open(path, disposition, options, access));
}

/* A remote file's number; fails the test otherwise. */
static inline uint64_t open_file(const char *path, uint32_t disposition, uint32_t access)
{
	struct inlay_ring_completion c = open_as(path, disposition, 0, access);

	if (c.status || c.verdict != INLAY_RING_REMOTE)
		fail_msg("%s: status %x, verdict %u", path, c.status, c.verdict);
	return c.file;
}

static inline uint32_t close_file(uint64_t file)
{
	return ask(prepare(INLAY_RING_CLOSE, file)).status;
}

static inline struct inlay_ring_completion read_file(uint64_t file, uint64_t offset, uint32_t len, void *ret)
{
	struct driver_call *call = prepare(INLAY_RING_READ, file);
	const uint8_t *slot = slot_of(call);
	struct inlay_ring_completion c;

	call->q.offset = offset;
	call->q.length = len;
	c = ask(call);
	if (c.status == 0 && ret)
		memcpy(ret, slot, c.length);
	return c;
}

static inline struct inlay_ring_completion write_file(uint64_t file, uint64_t offset, const void *data, uint32_t len, uint32_t flags)
{
	struct driver_call *call = prepare(INLAY_RING_WRITE, file);

	call->q.offset = offset;
	call->q.length = len;
	call->q.flags = flags;
	memcpy(slot_of(call), data, len);
	return ask(call);
}

/* ---- the world ---- */

static inline void setup_driver(void)
{
	memset(&driver, 0, sizeof driver);
	assert_int_equal(inlay_ring_layout(&driver.geometry, ENTRIES, SLOTS, SLOT_SIZE), 0);
	driver.section = aligned_alloc(4096, driver.geometry.size);
	assert_non_null(driver.section);
	inlay_ring_tags_init(&driver.tags, driver.tag_room, ENTRIES);
	inlay_ring_slots_init(&driver.slots, driver.slot_room, SLOTS);
}

/* The redirector as Windows has it: nothing is on its local side. */
static inline void remote_alone(unsigned lanes)
{
	const struct inlay_node_id *roots[INLAY_SIDES] = {[INLAY_REMOTE] = &w.side[INLAY_REMOTE].root};
	const struct inlay_hash_key seed = {{3, 4}};

	inlay_node_put(w.root);
	inlay_nodes_free(w.r.nodes);
	assert_int_equal(inlay_nodes_new(&seed, roots, &w.r.nodes), 0);
	w.root = inlay_node_get(w.r.nodes, INLAY_ROOT_NUMBER);
	w.r.port[INLAY_LOCAL]->present = false;
	if (lanes > 1) {
		free(w.r.stats);
		w.r.stats = calloc(lanes, sizeof *w.r.stats);
		w.r.lanes = lanes;
	}
}

static inline void filter_start_with(const char *const *rules, unsigned lanes, void (*change)(struct inlay_winfilter_config *c))
{
	static struct inlay_loop *loop[LOOPS_MAX];
	struct inlay_winfilter_config *c = &filter_config;

	start(rules);
	remote_alone(lanes);
	for (unsigned i = 0; i < LOOPS_MAX; i++) {
		loops[i].busy = 0;
		inlay_list_init(&loops[i].posted);
		inlay_list_init(&loops[i].offloaded);
		inlay_list_init(&loops[i].hooks);
		loop[i] = &loops[i];
	}
	memset(timers, 0, sizeof timers);
	memset(&ntfs, 0, sizeof ntfs);
	assert_int_equal(inlay_map_init(&ntfs.by_path), 0);
	loop_time = 1000000000;
	shuffle = 0;
	setup_driver();
	memset(c, 0, sizeof *c);
	c->redirect = &w.r;
	c->loop = loop;
	c->section = driver.section;
	c->geometry = driver.geometry;
	c->directory = DIRECTORY;
	memset(c->attachment.bytes, 0x5a, sizeof c->attachment.bytes);
	c->placeholders = &ntfs_ops;
	c->placeholders_arg = &ntfs;
	c->wake_driver = wake_driver;
	c->broken = ring_broken;
	c->umask = 022;
	c->hold_ms = 5000;
	if (change)
		change(c);
	assert_int_equal(inlay_winfilter_new(c, &filter), 0);
	assert_int_equal(inlay_ring_requester_open(&driver.ring, driver.section, driver.geometry.size), 0);
	current_loop = &loops[0];
	inlay_winfilter_ready(filter);
	pump();
}

static inline void filter_start(const char *const *rules)
{
	filter_start_with(rules, 1, NULL);
}

/* Everything must have been answered, and every number closed. */
static inline void filter_stop(void)
{
	struct inlay_winfilter_counts counts;

	pump();
	inlay_winfilter_counts(filter, &counts);
	assert_int_equal(counts.outstanding, 0);
	assert_int_equal(counts.files, 0);
	assert_int_equal(counts.held, 0);
	assert_int_equal(driver.tags.taken, 0);
	assert_int_equal(driver.slots.taken, 0);
	for (unsigned i = 0; i < w.r.lanes; i++)
		assert_int_equal(loops[i].busy, 0);
	inlay_winfilter_stop(filter);
	inlay_winfilter_free(filter);
	free(driver.section);
	while (ntfs.count)
		ntfs_drop(0);
	free(ntfs.entry);
	inlay_map_done(&ntfs.by_path);
	stop();
}

/* ---- the server's tree ---- */

static inline void server_write(const char *path, const char *text)
{
	int status;
	struct inlay_file *f;
	struct run *t;

	if (side_has(INLAY_REMOTE, path) == '-')
		side_make(INLAY_REMOTE, path);
	f = t_open(path, INLAY_O_WRONLY | INLAY_O_TRUNC, &status);
	assert_int_equal(status, 0);
	t = on_file(f);
	t->op.data = (const uint8_t *)text;
	t->op.data_len = (uint32_t)strlen(text);
	inlay_op_write(&t->op);
	assert_int_equal(drop(t), 0);
	assert_int_equal(t_close(f), 0);
}

/* The file's bytes as text. */
static inline const char *server_read(const char *path)
{
	static char text[4096];
	int status;
	struct inlay_file *f = t_open(path, INLAY_O_RDONLY, &status);
	struct run *t;
	uint32_t zeros;

	if (!f)
		return inlay_status_text(status);
	t = on_file(f);
	t->op.in.io.len = sizeof text - 1;
	inlay_op_read(&t->op);
	assert_int_equal(t->status, 0);
	memcpy(text, t->data, t->data_len);
	zeros = t->op.out.read.zeros;
	memset(text + t->data_len, '0', zeros);
	text[t->data_len + zeros] = '\0';
	drop(t);
	assert_int_equal(t_close(f), 0);
	return text;
}

static inline void server_link(const char *path, const char *target)
{
	struct run *t = begin_at(path, NULL);

	t->op.in.make.target = inlay_str(target);
	inlay_op_make(&t->op, INLAY_SYMLINK);
	assert_int_equal(drop(t), 0);
}

#endif

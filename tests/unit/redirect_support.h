/*
 * What tests of the redirector share: operations run to their end on fake sides, and a tree of two sides to run them on.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_REDIRECT_SUPPORT_H
#define INLAY_TESTS_REDIRECT_SUPPORT_H

#include "fake_sides.h"

#include "support.h"

#include <stdio.h>

/* One operation and what it brought. drop() gives back what it refers to, as an interceptor does. */
struct run {
	struct inlay_op op;
	bool done;
	int status;
	uint8_t data[300000];
	uint32_t data_len;
	char target[64];
};

static struct fake_world w;
static uint64_t learnt[4096]; /* a lookup each, to be forgotten */
static unsigned learnt_count;

static inline void run_finished(struct inlay_op *op, int status)
{
	struct run *t = inlay_container(op, struct run, op);

	assert_false(t->done);
	t->done = true;
	t->status = status;
	if (status < 0) {
		assert_null(op->found);
		assert_null(op->opened);
	}
	if (status == 0 && op->reply && op->reply->data_len <= sizeof t->data) {
		t->data_len = op->reply->data_len;
		if (t->data_len)
			memcpy(t->data, op->reply->data, t->data_len);
	}
	if (status == 0 && op->kind == INLAY_READLINK)
		memcpy(t->target, op->out.link.target.p, op->out.link.target.len);
	if (op->found)
		learnt[learnt_count++] = op->found->number;
}

static inline struct run *begin(struct inlay_node *node, const char *name)
{
	struct run *t = calloc(1, sizeof *t);

	assert_non_null(t);
	inlay_op_init(&t->op, &w.r, 0, run_finished);
	t->op.node = node ? inlay_node_ref(node) : NULL;
	if (name)
		t->op.name = inlay_str(name);
	return t;
}

/* The status; frees everything but what was found or opened, which the caller took. */
static inline int drop(struct run *t)
{
	int status = t->status;

	assert_true(t->done);
	inlay_node_put(t->op.node);
	inlay_node_put(t->op.to);
	inlay_node_put(t->op.found);
	inlay_file_put(&w.r, t->op.file);
	inlay_file_put(&w.r, t->op.file2);
	free(t);
	return status;
}

static inline void start(const char *const *rules)
{
	learnt_count = 0;
	fake_world_init(&w, rules);
}

static inline void stop(void)
{
	while (learnt_count)
		inlay_redirect_forget(&w.r, 0, learnt[--learnt_count], 1);
	fake_world_done(&w);
}

/* ---- the trees, without the redirector ---- */

static inline int side_call(struct fake_side *f, uint16_t type, struct inlay_writer *body, uint8_t *mem, struct inlay_request *rq)
{
	*rq = (struct inlay_request){.session = f->session, .type = type, .body = mem,
	                             .body_len = (uint32_t)inlay_writer_len(body)};
	inlay_request_execute(rq);
	return rq->status;
}

/* Follows a path on one side; 0 or a status. */
static inline int side_find(int side, const char *path, struct inlay_lookup_rep *ret)
{
	struct inlay_node_id at = w.side[side].root;
	char copy[256], *rest = copy, *name;
	uint8_t mem[1024];

	snprintf(copy, sizeof copy, "%s", path);
	memset(ret, 0, sizeof *ret);
	ret->node = at;
	ret->attr.mode = 0040755;
	while ((name = strsep(&rest, "/")) && *name) {
		struct inlay_lookup_req req = {.dir = at, .name = inlay_str(name)};
		struct inlay_writer b = inlay_writer(mem, sizeof mem);
		struct inlay_request rq;
		struct inlay_reader r;
		int err;

		inlay_put_lookup_req(&b, &req);
		err = side_call(&w.side[side], INLAY_LOOKUP, &b, mem, &rq);
		r = inlay_reader(rq.reply_body, rq.reply_len);
		if (err == 0)
			assert_int_equal(inlay_get_lookup_rep(&r, ret), 0);
		inlay_request_done(&rq);
		if (err < 0)
			return err;
		at = ret->node;
	}
	return 0;
}

/* 'd', 'f', or '-' for nothing there. */
static inline char side_has(int side, const char *path)
{
	struct inlay_lookup_rep rep;

	if (side_find(side, path, &rep) < 0)
		return '-';
	return (rep.attr.mode & 0170000u) == 0040000u ? 'd' : 'f';
}

static inline void split(const char *path, char *dir, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	snprintf(dir, 256, "%.*s", slash ? (int)(slash - path) : 0, path);
	*ret_name = slash ? slash + 1 : path;
}

/* Makes a file, or with a slash at the end a directory, whose parent exists. */
static inline void side_make(int side, const char *path)
{
	char copy[256], dir[256];
	const char *name;
	bool is_dir = path[strlen(path) - 1] == '/';
	struct inlay_lookup_rep parent;
	uint8_t mem[1024];
	struct inlay_writer b = inlay_writer(mem, sizeof mem);
	struct inlay_request rq;

	snprintf(copy, sizeof copy, "%.*s", (int)strlen(path) - is_dir, path);
	split(copy, dir, &name);
	assert_int_equal(side_find(side, dir, &parent), 0);
	if (is_dir)
		inlay_put_mkdir_req(&b, &(struct inlay_mkdir_req){.dir = parent.node, .mode = 0755, .name = inlay_str(name)});
	else
		inlay_put_mknod_req(&b, &(struct inlay_mknod_req){.dir = parent.node, .mode = 0100644, .name = inlay_str(name)});
	assert_int_equal(side_call(&w.side[side], is_dir ? INLAY_MKDIR : INLAY_MKNOD, &b, mem, &rq), 0);
	inlay_request_done(&rq);
}

static inline void side_remove(int side, const char *path)
{
	char dir[256];
	const char *name;
	bool is_dir = side_has(side, path) == 'd';
	struct inlay_lookup_rep parent;
	uint8_t mem[1024];
	struct inlay_writer b = inlay_writer(mem, sizeof mem);
	struct inlay_request rq;

	split(path, dir, &name);
	assert_int_equal(side_find(side, dir, &parent), 0);
	inlay_put_unlink_req(&b, &(struct inlay_unlink_req){.dir = parent.node, .name = inlay_str(name)});
	assert_int_equal(side_call(&w.side[side], is_dir ? INLAY_RMDIR : INLAY_UNLINK, &b, mem, &rq), 0);
	inlay_request_done(&rq);
}

/* ---- operations ---- */

/* The node at a path, as the kernel walks to it; NULL and *ret_status. The caller puts it. */
static inline struct inlay_node *walk_status(const char *path, int *ret_status)
{
	struct inlay_node *at = inlay_node_ref(w.root);
	char copy[256], *rest = copy, *name;

	snprintf(copy, sizeof copy, "%s", path);
	*ret_status = 0;
	while (at && (name = strsep(&rest, "/")) && *name) {
		struct run *t = begin(at, name);
		struct inlay_node *found;

		inlay_op_lookup(&t->op);
		assert_true(t->done);
		found = t->op.found;
		t->op.found = NULL;
		*ret_status = drop(t);
		inlay_node_put(at);
		at = found;
	}
	return at;
}

static inline struct inlay_node *walk(const char *path)
{
	int status;
	struct inlay_node *n = walk_status(path, &status);

	if (!n)
		fail_msg("%s: %s", path, inlay_status_text(status));
	return n;
}

/* As side_has: on which side the redirector shows it: 'l' and 'r' files, 'L' and 'R' directories, 'M' merged, '-' none. */
static inline char shows(const char *path)
{
	int status;
	struct inlay_node *n = walk_status(path, &status);
	bool local, dir;
	char c;

	if (!n)
		return status == -INLAY_ENOENT ? '-' : '!';
	local = inlay_node_on(n, INLAY_LOCAL);
	dir = n->type == 0040000u;
	c = local ? 'l' : 'r';
	if (dir)
		c = local && inlay_node_on(n, INLAY_REMOTE) ? 'M' : local ? 'L' : 'R';
	inlay_node_put(n);
	return c;
}

static inline struct run *begin_at(const char *path, struct inlay_str *ret_name)
{
	static char names[8][256];
	static unsigned turn;
	char dir[256];
	const char *name;
	struct inlay_node *parent;
	struct run *t;

	split(path, dir, &name);
	snprintf(names[++turn % 8], 256, "%s", name);
	parent = walk(dir);
	t = begin(parent, names[turn % 8]);
	inlay_node_put(parent);
	if (ret_name)
		*ret_name = t->op.name;
	return t;
}

static inline struct run *begin_two(const char *from, const char *to)
{
	struct run *t = begin_at(from, NULL), *u = begin_at(to, &t->op.to_name);

	t->op.to = u->op.node;
	free(u);
	return t;
}

static inline int t_rename(const char *from, const char *to, uint32_t flags)
{
	struct run *t = begin_two(from, to);

	t->op.in.make.flags = flags;
	inlay_op_rename(&t->op);
	return drop(t);
}

static inline int t_link(const char *from, const char *to)
{
	struct run *t = begin_two(from, to);

	inlay_node_put(t->op.node);
	t->op.node = walk(from);
	inlay_op_link(&t->op);
	return drop(t);
}

static inline int t_make(const char *path, uint16_t kind)
{
	struct run *t = begin_at(path, NULL);

	t->op.in.make.mode = kind == INLAY_MKNOD ? 0010644 : 0755;
	t->op.in.make.umask = 022;
	if (kind == INLAY_SYMLINK)
		t->op.in.make.target = INLAY_STR("somewhere");
	inlay_op_make(&t->op, kind);
	return drop(t);
}

static inline int t_remove(const char *path, uint16_t kind)
{
	struct run *t = begin_at(path, NULL);

	inlay_op_remove(&t->op, kind);
	return drop(t);
}

static inline int t_close(struct inlay_file *f)
{
	struct run *t = begin(NULL, NULL);

	t->op.file = inlay_file_get(&w.r, f->number);
	assert_ptr_equal(t->op.file, f);
	inlay_op_close(&t->op);
	return drop(t);
}

/* The open file, or NULL and *ret_status. */
static inline struct inlay_file *t_create(const char *path, uint32_t flags, int *ret_status)
{
	struct run *t = begin_at(path, NULL);
	struct inlay_file *f;

	t->op.in.make.flags = flags;
	t->op.in.make.mode = 0644;
	inlay_op_create(&t->op);
	f = t->op.opened;
	*ret_status = drop(t);
	return f;
}

static inline int t_touch(const char *path)
{
	int status;
	struct inlay_file *f = t_create(path, INLAY_O_RDWR, &status);

	if (f)
		assert_int_equal(t_close(f), 0);
	return status;
}

static inline struct inlay_file *t_open(const char *path, uint32_t flags, int *ret_status)
{
	struct run *t = begin(NULL, NULL);
	struct inlay_file *f;

	t->op.node = walk(path);
	t->op.in.make.flags = flags;
	if (t->op.node->type == 0040000u)
		inlay_op_opendir(&t->op);
	else
		inlay_op_open(&t->op);
	f = t->op.opened;
	*ret_status = drop(t);
	return f;
}

/* An operation on an open file, to be filled in and started. */
static inline struct run *on_file(struct inlay_file *f)
{
	struct run *t = begin(NULL, NULL);

	t->op.file = inlay_file_get(&w.r, f->number);
	assert_non_null(t->op.file);
	return t;
}

/* One READDIR from a cookie. Appends "name " for each entry to text; returns the status, *ret_cookie the last one's. */
static inline int t_readdir(struct inlay_file *f, uint64_t cookie, uint32_t len, char *text, uint64_t *ret_cookie)
{
	struct run *t = on_file(f);
	struct inlay_reader data;
	struct inlay_dirent d;
	int status;

	t->op.in.io.off = cookie;
	t->op.in.io.len = len;
	inlay_op_readdir(&t->op);
	*ret_cookie = cookie;
	data = inlay_reader(t->data, t->data_len);
	while (t->status == 0 && data.p < data.end) {
		assert_int_equal(inlay_get_dirent(&data, &d, 0), 0);
		*ret_cookie = d.cookie;
		if (!inlay_op_fit_entry(&t->op, &d))
			continue;
		strncat(text, d.name.p, d.name.len);
		strcat(text, " ");
	}
	status = drop(t);
	return status;
}

static inline int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All names but the dots, sorted: "a b c ". len: of each READDIR. */
static inline int t_list(const char *path, uint32_t len, char *text)
{
	int status;
	struct inlay_file *f = t_open(path, 0, &status);
	char all[65536] = "", *names[4096], *rest = all, *name;
	uint64_t cookie = 0, before;
	size_t n = 0;

	*text = '\0';
	if (!f)
		return status;
	do {
		before = cookie;
		status = t_readdir(f, cookie, len, all, &cookie);
	} while (status == 0 && cookie != before);
	assert_int_equal(t_close(f), 0);
	while ((name = strsep(&rest, " ")))
		if (*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			names[n++] = name;
	qsort(names, n, sizeof *names, compare_names);
	for (size_t i = 0; i < n; i++) {
		strcat(text, names[i]);
		strcat(text, " ");
	}
	return status;
}

#endif

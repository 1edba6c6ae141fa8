/*
 * Placeholders on NTFS.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/placeholders.h"

#include "base/status.h"
#include "cmd/windows/ntfile.h"
#include "intercept/winfilter/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 4 /* to open or make a name that others remove and make meanwhile */
#define UPDATE (INLAY_NTFILE_LOOK | FILE_WRITE_ATTRIBUTES | FILE_WRITE_EA)
/* What a program may set and see; the rest of the attributes is the volume's. */
#define OURS (FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_ARCHIVE)

static bool is_dir(uint32_t attributes)
{
	return attributes & FILE_ATTRIBUTE_DIRECTORY;
}

/* Whether it can be a placeholder at all: one look at its attributes spares most local files the search for a mark. */
static bool may_be_marked(uint32_t attributes)
{
	return !(attributes & FILE_ATTRIBUTE_REPARSE_POINT) && (attributes & (FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_DIRECTORY));
}

static bool same_uuid(const struct inlay_uuid *a, const struct inlay_uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void look_for_mark(const struct inlay_placeholders *p, HANDLE file, struct inlay_placeholder *it)
{
	it->state = INLAY_PLACEHOLDER_LOCAL;
	if (may_be_marked(it->attr.attributes) && inlay_ntfile_mark(file, &it->mark) &&
	    same_uuid(&it->mark.attachment, &p->attachment))
		it->state = INLAY_PLACEHOLDER_MARKED;
}

/* ---- inspect ---- */

static int inspect(void *arg, const char *path, struct inlay_placeholder *ret)
{
	const struct inlay_placeholders *p = arg;
	struct inlay_placeholder it = {.state = INLAY_PLACEHOLDER_ABSENT};
	const char *slash = strrchr(path, '/');
	HANDLE file;
	NTSTATUS nt = inlay_ntfile_open(p->root, path, INLAY_NTFILE_LOOK, &file);

	if (nt == NT_OBJECT_NAME_NOT_FOUND || nt == NT_OBJECT_PATH_NOT_FOUND || nt == NT_NO_SUCH_FILE) {
		*ret = it;
		return 0;
	}
	if (nt == NT_REPARSE_POINT_ENCOUNTERED || nt == NT_NOT_A_DIRECTORY || nt == NT_ACCESS_DENIED) {
		/* Beneath somebody's junction or link, or nothing that we may see: NTFS's own in each case. */
		it.state = INLAY_PLACEHOLDER_LOCAL;
		snprintf(it.name, sizeof(it.name), "%s", slash ? slash + 1 : path);
		*ret = it;
		return 0;
	}
	if (nt >= 0) {
		nt = inlay_ntfile_attr(file, &it.attr);
		if (nt >= 0) {
			it.state = INLAY_PLACEHOLDER_LOCAL;
			if (*path) /* the filter directory's own mark makes it no placeholder */
				look_for_mark(p, file, &it);
			if (inlay_ntfile_name(file, it.name, sizeof(it.name)) < 0)
				snprintf(it.name, sizeof(it.name), "%s", slash ? slash + 1 : path);
		}
		NtClose(file);
	}
	if (nt >= 0)
		*ret = it;
	return inlay_status_from_nt(nt);
}

/* ---- put ---- */

/* A handle that may change data is taken only when the size must change: it could meet a program that shares nothing. */
static NTSTATUS resize(const struct inlay_placeholders *p, const char *path, const struct inlay_ring_attr *now, uint64_t size, HANDLE file)
{
	struct inlay_ring_attr plain = {.attributes = FILE_ATTRIBUTE_NORMAL};
	HANDLE writable;
	NTSTATUS nt;

	if (now->attributes & FILE_ATTRIBUTE_READONLY) {
		nt = inlay_ntfile_set_basic(file, &plain);
		if (nt < 0)
			return nt;
	}
	nt = inlay_ntfile_open(p->root, path, FILE_WRITE_DATA | SYNCHRONIZE, &writable);
	if (nt < 0)
		return nt;
	nt = inlay_ntfile_set_size(writable, size);
	NtClose(writable);
	return nt;
}

static bool differs(int64_t now, int64_t want)
{
	return want != 0 && now != want;
}

static bool basic_differs(const struct inlay_ring_attr *now, const struct inlay_ring_attr *want)
{
	return differs(now->created, want->created) || differs(now->accessed, want->accessed) || differs(now->written, want->written) ||
	       differs(now->changed, want->changed) || (want->attributes && ((now->attributes ^ want->attributes) & OURS));
}

/* Of attributes that NTFS takes: directories say so, and a file without any is "normal". */
static NTSTATUS set_basic(HANDLE file, const struct inlay_ring_attr *want)
{
	struct inlay_ring_attr a = *want;

	a.attributes &= OURS | FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_NORMAL;
	if (want->attributes && !a.attributes)
		a.attributes = FILE_ATTRIBUTE_NORMAL;
	return inlay_ntfile_set_basic(file, &a);
}

static NTSTATUS set_security(const struct inlay_placeholders *p, const char *path, const uint8_t *security)
{
	HANDLE file;
	NTSTATUS nt = inlay_ntfile_open(p->root, path, WRITE_DAC | WRITE_OWNER | SYNCHRONIZE, &file);

	if (nt < 0)
		return nt;
	nt = NtSetSecurityObject(file, OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
		(PSECURITY_DESCRIPTOR)(uintptr_t)security);
	NtClose(file);
	return nt;
}

/* Its name as the server writes it; a program that forbids renaming is no failure: the name is found in either case. */
static void set_case(const struct inlay_placeholders *p, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char now[INLAY_PLACEHOLDER_NAME_MAX + 1];
	HANDLE file;

	if (!*name || inlay_ntfile_open(p->root, path, DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE, &file) < 0)
		return;
	if (inlay_ntfile_name(file, now, sizeof(now)) == 0 && strcmp(now, name) != 0)
		(void)inlay_ntfile_rename(file, name);
	NtClose(file);
}

static bool case_differs(HANDLE file, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char now[INLAY_PLACEHOLDER_NAME_MAX + 1];

	return *name && inlay_ntfile_name(file, now, sizeof(now)) == 0 && strcmp(now, name) != 0 &&
	       inlay_winname_same(inlay_str(now), inlay_str(name));
}

/* Brings up to date what stands there. Times come last: every other change touches them. */
static int update(const struct inlay_placeholders *p, const char *path, const struct inlay_placeholder_want *want, HANDLE file)
{
	struct inlay_placeholder now = {0};
	NTSTATUS nt = inlay_ntfile_attr(file, &now.attr);
	bool touched = false, changed;

	if (nt < 0)
		return inlay_status_from_nt(nt);
	look_for_mark(p, file, &now);
	if (now.state != INLAY_PLACEHOLDER_MARKED || is_dir(now.attr.attributes) != is_dir(want->attr.attributes))
		return -INLAY_EEXIST;
	changed = basic_differs(&now.attr, &want->attr);
	if (memcmp(&now.mark, &want->mark, sizeof(now.mark)) != 0) {
		nt = inlay_ntfile_set_mark(file, &want->mark);
		touched = true;
	}
	if (nt >= 0 && !is_dir(want->attr.attributes) && now.attr.size != want->attr.size) {
		nt = resize(p, path, &now.attr, want->attr.size, file);
		touched = true;
	}
	if (nt >= 0 && want->security && changed) {
		nt = set_security(p, path, want->security);
		touched = true;
	}
	if (nt >= 0 && case_differs(file, path)) {
		set_case(p, path);
		touched = true;
	}
	if (nt >= 0 && (touched || changed))
		nt = set_basic(file, &want->attr);
	return inlay_status_from_nt(nt);
}

static NTSTATUS make(const struct inlay_placeholders *p, const char *path, const struct inlay_placeholder_want *want)
{
	struct inlay_ntfile_make how = {.mark = &want->mark, .directory = is_dir(want->attr.attributes), .security = want->security};
	HANDLE file;
	NTSTATUS nt = inlay_ntfile_make(p->root, path, &how, &file);

	if (nt < 0)
		return nt;
	if (!how.directory) {
		nt = inlay_ntfile_set_sparse(file);
		if (nt >= 0 && want->attr.size)
			nt = inlay_ntfile_set_size(file, want->attr.size);
	}
	if (nt >= 0)
		nt = set_basic(file, &want->attr);
	if (nt < 0)
		(void)inlay_ntfile_dispose(file);
	NtClose(file);
	return nt;
}

static int put(void *arg, const char *path, const struct inlay_placeholder_want *want)
{
	const struct inlay_placeholders *p = arg;
	NTSTATUS nt = NT_OBJECT_NAME_COLLISION;

	if (!*path)
		return -INLAY_EEXIST;
	for (int i = 0; i < ATTEMPTS; i++) {
		HANDLE file;
		int status;

		nt = inlay_ntfile_open(p->root, path, UPDATE, &file);
		if (nt >= 0) {
			status = update(p, path, want, file);
			NtClose(file);
			return status;
		}
		if (nt != NT_OBJECT_NAME_NOT_FOUND && nt != NT_NO_SUCH_FILE)
			break;
		nt = make(p, path, want);
		if (nt != NT_OBJECT_NAME_COLLISION)
			break;
	}
	return inlay_status_from_nt(nt);
}

/* ---- remove ---- */

struct sweep {
	struct inlay_clearing *clearing;
	HANDLE dir;
	bool left;   /* something stays in this directory */
	const struct sweep *above;
	const struct nt_entry *entry; /* the one being looked at */
	unsigned depth;
};

static int sweep_dir(HANDLE dir, const struct sweep *above, unsigned depth, struct inlay_clearing *c, bool *ret_left);

/* The names on the way, for the user; cut at the front when there is no room. */
static void note_where(const struct sweep *s, struct inlay_clearing *c)
{
	char name[INLAY_PLACEHOLDER_NAME_MAX + 1], text[sizeof(c->where)] = "";

	if (*c->where)
		return;
	for (; s; s = s->above) {
		int64_t len = inlay_wtf8_from_utf16((const uint8_t *)s->entry->name, s->entry->name_length / 2, name, sizeof(name) - 1);
		char longer[sizeof(text)];

		if (len < 0)
			break;
		name[len] = '\0';
		if ((size_t)snprintf(longer, sizeof(longer), "%s%s%s", name, *text ? "\\" : "", text) >= sizeof(longer))
			break;
		strcpy(text, longer);
	}
	strcpy(c->where, text);
}

static void note_failure(const struct sweep *s, NTSTATUS nt)
{
	int status = inlay_status_from_nt(nt);

	note_where(s, s->clearing);
	if (status == -INLAY_EBUSY)
		s->clearing->busy++;
	else if (!s->clearing->failed)
		s->clearing->failed = status;
}

static NTSTATUS open_entry(const struct sweep *s, ACCESS_MASK access, HANDLE *ret)
{
	return inlay_ntfile_open_name(s->dir, s->entry->name, s->entry->name_length, access,
		is_dir(s->entry->attributes) ? FILE_DIRECTORY_FILE : 0, ret);
}

/* With a handle of its own: what a program holds without sharing may still be looked at, and says only then that it is busy. */
static void dispose_entry(struct sweep *s)
{
	HANDLE file;
	NTSTATUS nt = open_entry(s, DELETE | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE, &file);

	if (nt == NT_OBJECT_NAME_NOT_FOUND)
		return;
	if (nt >= 0) {
		nt = inlay_ntfile_dispose(file);
		NtClose(file);
	}
	if (nt >= 0) {
		s->clearing->removed++;
		return;
	}
	s->left = true;
	note_failure(s, nt);
}

/* A directory stays, with what is local in it, as a directory of this disk. */
static void unmark_entry(const struct sweep *s)
{
	HANDLE dir;
	NTSTATUS nt = open_entry(s, FILE_WRITE_EA | SYNCHRONIZE, &dir);

	if (nt >= 0) {
		nt = inlay_ntfile_set_mark(dir, NULL);
		NtClose(dir);
	}
	if (nt < 0)
		note_failure(s, nt);
}

static int sweep_entry(void *arg, const struct nt_entry *e)
{
	struct sweep *s = arg;
	struct inlay_placeholder_mark mark;
	bool dir = is_dir(e->attributes), marked, left = false;
	HANDLE file;
	NTSTATUS nt;
	int status = 0;

	if (s->clearing->stop)
		return -INLAY_EINTR;
	s->entry = e;
	s->clearing->looked++;
	if (!may_be_marked(e->attributes)) {
		s->left = true;
		return 0;
	}
	nt = open_entry(s, INLAY_NTFILE_LOOK | (dir ? FILE_LIST_DIRECTORY : 0), &file);
	if (nt < 0) {
		s->left = true;
		if (nt != NT_OBJECT_NAME_NOT_FOUND && nt != NT_DELETE_PENDING)
			note_failure(s, nt);
		return 0;
	}
	marked = inlay_ntfile_mark(file, &mark);
	if (dir)
		status = sweep_dir(file, s, s->depth + 1, s->clearing, &left);
	NtClose(file);
	if (status < 0)
		return status;
	if (marked && !left)
		dispose_entry(s);
	else if (marked)
		unmark_entry(s);
	if (!marked || left)
		s->left = true;
	return 0;
}

static int sweep_dir(HANDLE dir, const struct sweep *above, unsigned depth, struct inlay_clearing *c, bool *ret_left)
{
	struct sweep s = {.clearing = c, .dir = dir, .above = above, .depth = depth};
	int status;

	if (depth > INLAY_WINPATH_PARTS)
		return -INLAY_ENAMETOOLONG;
	status = inlay_ntfile_list(dir, sweep_entry, &s);
	*ret_left = s.left;
	return status;
}

static int remove_dir(const struct inlay_placeholders *p, const char *path, HANDLE dir)
{
	struct inlay_clearing c = {0};
	bool left;
	int status = sweep_dir(dir, NULL, 0, &c, &left);
	HANDLE file;
	NTSTATUS nt;

	if (status < 0)
		return status;
	if (c.busy || c.failed)
		return c.busy ? -INLAY_EBUSY : c.failed;
	nt = inlay_ntfile_open(p->root, path, (left ? FILE_WRITE_EA : DELETE | FILE_WRITE_ATTRIBUTES) | SYNCHRONIZE, &file);
	if (nt < 0)
		return inlay_status_from_nt(nt);
	nt = left ? inlay_ntfile_set_mark(file, NULL) : inlay_ntfile_dispose(file);
	NtClose(file);
	if (nt >= 0 && left)
		return -INLAY_ENOTEMPTY;
	return inlay_status_from_nt(nt);
}

static int remove_file(const struct inlay_placeholders *p, const char *path)
{
	HANDLE file;
	NTSTATUS nt = inlay_ntfile_open(p->root, path, DELETE | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE, &file);

	if (nt >= 0) {
		nt = inlay_ntfile_dispose(file);
		NtClose(file);
	}
	return inlay_status_from_nt(nt);
}

static int remove_placeholder(void *arg, const char *path)
{
	const struct inlay_placeholders *p = arg;
	struct inlay_placeholder it = {0};
	HANDLE file;
	NTSTATUS nt = *path ? inlay_ntfile_open(p->root, path, INLAY_NTFILE_LOOK, &file) : NT_OBJECT_NAME_COLLISION;
	int status = 0;

	if (nt == NT_OBJECT_NAME_NOT_FOUND || nt == NT_NO_SUCH_FILE)
		return 0;
	if (nt < 0)
		return inlay_status_from_nt(nt);
	nt = inlay_ntfile_attr(file, &it.attr);
	look_for_mark(p, file, &it);
	NtClose(file);
	if (nt < 0)
		return inlay_status_from_nt(nt);
	if (it.state != INLAY_PLACEHOLDER_MARKED)
		return -INLAY_EEXIST;
	if (!is_dir(it.attr.attributes))
		return remove_file(p, path);
	nt = inlay_ntfile_open(p->root, path, INLAY_NTFILE_LOOK | FILE_LIST_DIRECTORY, &file);
	if (nt < 0)
		return inlay_status_from_nt(nt);
	status = remove_dir(p, path, file);
	NtClose(file);
	return status;
}

/* ---- list ---- */

struct lister {
	const struct inlay_placeholders *p;
	HANDLE dir;
	int (*each)(void *each_arg, const struct inlay_placeholder *p);
	void *each_arg;
};

static int list_entry(void *arg, const struct nt_entry *e)
{
	const struct lister *l = arg;
	struct inlay_placeholder it = {.state = INLAY_PLACEHOLDER_LOCAL};
	int64_t len = inlay_wtf8_from_utf16((const uint8_t *)e->name, e->name_length / 2, it.name, sizeof(it.name) - 1);
	HANDLE file;

	if (len < 0)
		return (int)len;
	it.name[len] = '\0';
	it.attr = (struct inlay_ring_attr){.size = (uint64_t)e->end_of_file.QuadPart, .allocation = (uint64_t)e->allocation.QuadPart,
		.created = e->created.QuadPart, .accessed = e->accessed.QuadPart, .written = e->written.QuadPart,
		.changed = e->changed.QuadPart, .index = (uint64_t)e->id.QuadPart, .attributes = e->attributes, .links = 1};
	if (may_be_marked(e->attributes) &&
	    inlay_ntfile_open_name(l->dir, e->name, e->name_length, INLAY_NTFILE_LOOK, 0, &file) >= 0) {
		look_for_mark(l->p, file, &it);
		NtClose(file);
	}
	return l->each(l->each_arg, &it);
}

static int list(void *arg, const char *path, int (*each)(void *each_arg, const struct inlay_placeholder *p), void *each_arg)
{
	struct lister l = {.p = arg, .each = each, .each_arg = each_arg};
	NTSTATUS nt = inlay_ntfile_open(l.p->root, path, FILE_LIST_DIRECTORY | SYNCHRONIZE, &l.dir);
	int status;

	if (nt < 0)
		return inlay_status_from_nt(nt);
	status = inlay_ntfile_list(l.dir, list_entry, &l);
	NtClose(l.dir);
	return status;
}

const struct inlay_placeholders_ops inlay_placeholders_ops = {
	.size = sizeof(inlay_placeholders_ops),
	.inspect = inspect,
	.put = put,
	.remove = remove_placeholder,
	.list = list,
};

/* ---- all of them ---- */

int inlay_placeholders_clear(const struct inlay_placeholders *p, struct inlay_clearing *c)
{
	HANDLE dir;
	NTSTATUS nt = inlay_ntfile_open(p->root, "", FILE_LIST_DIRECTORY | SYNCHRONIZE, &dir);
	bool left;
	int status;

	if (nt < 0)
		return inlay_status_from_nt(nt);
	status = sweep_dir(dir, NULL, 0, c, &left);
	NtClose(dir);
	if (status < 0)
		return status;
	return c->busy ? -INLAY_EBUSY : c->failed;
}

int inlay_placeholders_root_mark(const struct inlay_placeholders *p, struct inlay_uuid *ret)
{
	struct inlay_placeholder_mark mark;
	HANDLE dir;
	bool marked;
	NTSTATUS nt = inlay_ntfile_open(p->root, "", INLAY_NTFILE_LOOK, &dir);

	if (nt < 0)
		return inlay_status_from_nt(nt);
	marked = inlay_ntfile_mark(dir, &mark);
	NtClose(dir);
	if (marked)
		*ret = mark.attachment;
	return marked;
}

int inlay_placeholders_set_root_mark(const struct inlay_placeholders *p, bool on)
{
	struct inlay_placeholder_mark mark = {.attachment = p->attachment};
	struct inlay_ring_attr times;
	HANDLE dir;
	NTSTATUS nt = inlay_ntfile_open(p->root, "", UPDATE, &dir);

	if (nt < 0)
		return inlay_status_from_nt(nt);
	nt = inlay_ntfile_attr(dir, &times);
	if (nt >= 0)
		nt = inlay_ntfile_set_mark(dir, on ? &mark : NULL);
	times.attributes = 0;
	if (nt >= 0)
		(void)inlay_ntfile_set_basic(dir, &times); /* as it was: the mark is none of the user's business */
	NtClose(dir);
	return inlay_status_from_nt(nt);
}

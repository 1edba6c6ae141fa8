/*
 * Files of a visited server, by path.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/remote.h"

#include "base/limits.h"
#include "base/status.h"
#include "os/files.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 256 /* directories above a path */
#define LINKS_MAX 40  /* as on Linux */
#define LIST_BYTES (256u * 1024u)

/*
 * Sends *req and reads *rep, both of message `lower`. A macro, as every message has types and functions of its own.
 * Evaluates to 0 or a status.
 */
#define EXCHANGE(v, NAME, lower, req, rep) \
	({ \
		struct inlay_visit_answer answer_; \
		struct inlay_writer w_ = inlay_visit_begin(v, INLAY_##NAME); \
		int status_; \
		inlay_put_##lower##_req(&w_, req); \
		status_ = inlay_visit_call(v, &w_, &answer_); \
		status_ < 0 ? status_ : inlay_get_##lower##_rep(&answer_.body, rep); \
	})

int inlay_remote_lookup(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name,
	struct inlay_remote_file *ret)
{
	struct inlay_lookup_req req = {.dir = *dir, .cred = *inlay_visit_cred(v), .name = inlay_str(name)};
	struct inlay_lookup_rep rep;
	int status;

	if (strlen(name) > INLAY_NAME_MAX)
		return -INLAY_ENAMETOOLONG;
	status = EXCHANGE(v, LOOKUP, lookup, &req, &rep);
	if (status == 0)
		*ret = (struct inlay_remote_file){rep.node, rep.attr};
	return status;
}

int inlay_remote_readlink(struct inlay_visit *v, const struct inlay_node_id *node, char target[INLAY_TARGET_MAX + 1])
{
	struct inlay_readlink_req req = {.node = *node};
	struct inlay_readlink_rep rep;
	int status = EXCHANGE(v, READLINK, readlink, &req, &rep);

	if (status < 0)
		return status;
	if (rep.target.len > INLAY_TARGET_MAX)
		return -INLAY_EPROTO;
	memcpy(target, rep.target.p, rep.target.len);
	target[rep.target.len] = '\0';
	return 0;
}

/* ---- walking ---- */

struct walk {
	struct inlay_visit *v;
	struct inlay_remote_file stack[DEPTH_MAX]; /* the directories from the root to where we are */
	unsigned depth;
	unsigned links;
	char *rest; /* still to go; owned */
};

static struct inlay_remote_file *here(struct walk *w)
{
	return &w->stack[w->depth];
}

/* Puts a link's target in front of what is still to go. */
static int follow_link(struct walk *w, const struct inlay_remote_file *link, const char *after)
{
	char target[INLAY_TARGET_MAX + 1], *rest;
	int status = inlay_remote_readlink(w->v, &link->node, target);

	if (status < 0)
		return status;
	if (++w->links > LINKS_MAX)
		return -INLAY_ELOOP;
	if (target[0] == '/')
		return -INLAY_EXDEV;
	rest = malloc(strlen(target) + strlen(after) + 2);
	if (!rest)
		return -INLAY_ENOMEM;
	strcpy(rest, target);
	strcat(rest, "/");
	strcat(rest, after);
	free(w->rest);
	w->rest = rest;
	return 0;
}

/* One name of the rest. */
static int step(struct walk *w, bool follow)
{
	char name[INLAY_NAME_MAX + 1];
	const char *p = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(p, "/");
	const char *after = p + len + strspn(p + len, "/");
	struct inlay_remote_file found;
	int status;

	if (len > INLAY_NAME_MAX)
		return -INLAY_ENAMETOOLONG;
	memcpy(name, p, len);
	name[len] = '\0';
	if (inlay_attr_type(&here(w)->attr) != INLAY_MODE_DIR)
		return -INLAY_ENOTDIR;
	if (strcmp(name, "..") == 0)
		w->depth -= w->depth > 0;
	if (!len || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		memmove(w->rest, after, strlen(after) + 1);
		return 0;
	}
	status = inlay_remote_lookup(w->v, &here(w)->node, name, &found);
	if (status < 0)
		return status;
	if (inlay_attr_type(&found.attr) == INLAY_MODE_LINK && (follow || *after))
		return follow_link(w, &found, after);
	if (w->depth + 1 == DEPTH_MAX)
		return -INLAY_ENAMETOOLONG;
	w->stack[++w->depth] = found;
	memmove(w->rest, after, strlen(after) + 1);
	return 0;
}

int inlay_remote_walk(struct inlay_visit *v, const char *path, bool follow, struct inlay_remote_file *ret)
{
	const struct inlay_client *client = inlay_visit_client(v);
	struct walk *w = calloc(1, sizeof(*w));
	int status = 0;

	if (!w || !(w->rest = strdup(path))) {
		free(w);
		return -INLAY_ENOMEM;
	}
	w->v = v;
	w->stack[0] = (struct inlay_remote_file){client->root, client->root_attr};
	while (status == 0 && w->rest[0])
		status = step(w, follow);
	if (status == 0)
		*ret = *here(w);
	free(w->rest);
	free(w);
	return status;
}

int inlay_remote_walk_parent(struct inlay_visit *v, const char *path, struct inlay_remote_file *ret,
	char name[INLAY_NAME_MAX + 1])
{
	size_t len = strlen(path), at;
	char *parent;
	int status;

	while (len && path[len - 1] == '/')
		len--;
	for (at = len; at && path[at - 1] != '/'; at--)
		;
	if (len == at || (len - at <= 2 && strspn(path + at, ".") >= len - at))
		return -INLAY_EISDIR;
	if (len - at > INLAY_NAME_MAX)
		return -INLAY_ENAMETOOLONG;
	parent = strndup(path, at);
	if (!parent)
		return -INLAY_ENOMEM;
	status = inlay_remote_walk(v, parent, true, ret);
	free(parent);
	if (status == 0 && inlay_attr_type(&ret->attr) != INLAY_MODE_DIR)
		status = -INLAY_ENOTDIR;
	memcpy(name, path + at, len - at);
	name[len - at] = '\0';
	return status;
}

/* ---- listings ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct inlay_remote_entry *)a)->name, ((const struct inlay_remote_entry *)b)->name);
}

static int add_entry(struct inlay_remote_listing *l, size_t *cap, const struct inlay_dirent *d)
{
	struct inlay_remote_entry *e;

	if (inlay_str_is(d->name, ".") || inlay_str_is(d->name, ".."))
		return 0;
	if (l->count >= INLAY_LISTING_MAX / sizeof(*e)) /* a server may go on for ever */
		return -INLAY_EOVERFLOW;
	if (l->count == *cap) {
		struct inlay_remote_entry *grown = realloc(l->entry, (*cap * 2 + 64) * sizeof(*grown));

		if (!grown)
			return -INLAY_ENOMEM;
		l->entry = grown;
		*cap = *cap * 2 + 64;
	}
	e = &l->entry[l->count++];
	memcpy(e->name, d->name.p, d->name.len);
	e->name[d->name.len] = '\0';
	e->file = (struct inlay_remote_file){d->node, d->attr};
	/* Gone between the listing and its attributes: the type is all that is known. */
	if (!e->file.attr.mode)
		e->file.attr.mode = d->type;
	return 0;
}

/* One READDIR; 1: there is more, after *cookie. */
static int list_some(struct inlay_visit *v, uint64_t handle, uint64_t *cookie, struct inlay_remote_listing *l, size_t *cap)
{
	uint32_t max = inlay_visit_client(v)->max_data < LIST_BYTES ? inlay_visit_client(v)->max_data : LIST_BYTES;
	struct inlay_readdir_req req = {.handle = handle, .cookie = *cookie, .max = max, .flags = INLAY_READDIR_ATTRS};
	struct inlay_visit_answer answer;
	struct inlay_writer w = inlay_visit_begin(v, INLAY_READDIR);
	struct inlay_readdir_rep rep;
	struct inlay_reader r;
	int status;

	inlay_put_readdir_req(&w, &req);
	status = inlay_visit_call(v, &w, &answer);
	if (status == 0)
		status = inlay_get_readdir_rep(&answer.body, &rep);
	if (status < 0)
		return status;
	r = inlay_reader(answer.data, answer.data_len);
	for (uint32_t i = 0; i < rep.count && status == 0; i++) {
		struct inlay_dirent d;

		status = inlay_get_dirent(&r, &d, INLAY_READDIR_ATTRS);
		if (status == 0) {
			*cookie = d.cookie;
			status = add_entry(l, cap, &d);
		}
	}
	if (status < 0)
		return status;
	return rep.eof ? 0 : rep.count ? 1 : -INLAY_EPROTO;
}

int inlay_remote_list(struct inlay_visit *v, const struct inlay_node_id *dir, struct inlay_remote_listing *ret)
{
	struct inlay_opendir_req req = {.node = *dir, .cred = *inlay_visit_cred(v)};
	struct inlay_remote_listing l = {NULL, 0};
	struct inlay_opendir_rep rep;
	uint64_t cookie = 0;
	size_t cap = 0;
	int status = EXCHANGE(v, OPENDIR, opendir, &req, &rep);

	if (status < 0)
		return status;
	do {
		status = list_some(v, rep.handle, &cookie, &l, &cap);
	} while (status > 0);
	(void)inlay_remote_close(v, rep.handle);
	if (status < 0) {
		inlay_remote_listing_done(&l);
		return status;
	}
	if (l.count)
		qsort(l.entry, l.count, sizeof(*l.entry), by_name);
	*ret = l;
	return 0;
}

void inlay_remote_listing_done(struct inlay_remote_listing *l)
{
	free(l->entry);
	*l = (struct inlay_remote_listing){NULL, 0};
}

/* ---- files ---- */

int inlay_remote_open(struct inlay_visit *v, const struct inlay_node_id *node, uint32_t flags, uint64_t *ret_handle,
	struct inlay_attr *ret_attr)
{
	struct inlay_open_req req = {.node = *node, .cred = *inlay_visit_cred(v), .flags = flags};
	struct inlay_open_rep rep;
	int status = EXCHANGE(v, OPEN, open, &req, &rep);

	if (status == 0) {
		*ret_handle = rep.handle;
		*ret_attr = rep.attr;
	}
	return status;
}

int inlay_remote_create(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name, uint32_t flags,
	uint32_t mode, uint64_t *ret_handle, struct inlay_remote_file *ret)
{
	struct inlay_create_req req = {.dir = *dir, .cred = *inlay_visit_cred(v), .flags = flags, .mode = mode,
		.umask = inlay_umask(), .name = inlay_str(name)};
	struct inlay_create_rep rep;
	int status = EXCHANGE(v, CREATE, create, &req, &rep);

	if (status == 0) {
		*ret_handle = rep.handle;
		*ret = (struct inlay_remote_file){rep.node, rep.attr};
	}
	return status;
}

int inlay_remote_close(struct inlay_visit *v, uint64_t handle)
{
	struct inlay_close_req req = {.handle = handle};
	struct inlay_close_rep rep;

	return EXCHANGE(v, CLOSE, close, &req, &rep);
}

int inlay_remote_commit(struct inlay_visit *v, uint64_t handle, uint64_t *ret_verifier)
{
	struct inlay_commit_req req = {.handle = handle};
	struct inlay_commit_rep rep;
	int status = EXCHANGE(v, COMMIT, commit, &req, &rep);

	if (status == 0)
		*ret_verifier = rep.verifier;
	return status;
}

int inlay_remote_mkdir(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name, uint32_t mode,
	struct inlay_remote_file *ret)
{
	struct inlay_mkdir_req req = {.dir = *dir, .cred = *inlay_visit_cred(v), .mode = mode, .umask = inlay_umask(),
		.name = inlay_str(name)};
	struct inlay_mkdir_rep rep;
	int status = EXCHANGE(v, MKDIR, mkdir, &req, &rep);

	if (status == 0)
		*ret = (struct inlay_remote_file){rep.node, rep.attr};
	return status;
}

int inlay_remote_symlink(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name, const char *target)
{
	struct inlay_symlink_req req = {.dir = *dir, .cred = *inlay_visit_cred(v), .name = inlay_str(name),
		.target = inlay_str(target)};
	struct inlay_symlink_rep rep;

	return EXCHANGE(v, SYMLINK, symlink, &req, &rep);
}

int inlay_remote_setattr(struct inlay_visit *v, const struct inlay_node_id *node, uint64_t handle, uint32_t valid,
	const struct inlay_attr *to)
{
	struct inlay_setattr_req req = {.node = *node, .handle = handle, .cred = *inlay_visit_cred(v), .valid = valid,
		.mode = to->mode & 07777, .size = to->size, .mtime = to->mtime};
	struct inlay_setattr_rep rep;

	return EXCHANGE(v, SETATTR, setattr, &req, &rep);
}

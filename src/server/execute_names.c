/*
 * Handlers of names, attributes and directories.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/execute.h"

#include <string.h>

#define UMASK_BITS 0777u
#define MODE_BITS 07777u
#define TYPE_BITS 0170000u

/* A reply of the form LOOKUP, MKDIR...; the caller's node reference is dropped. */
static int reply_node(struct exec *x, struct inlay_store_node *n, const struct inlay_attr *attr)
{
	struct inlay_lookup_rep m = {.attr = *attr};
	int r = node_give(x->ss, n, &m.node);

	node_put(n);
	if (r >= 0)
		inlay_put_lookup_rep(&x->out, &m);
	return r;
}

int exec_lookup(struct exec *x)
{
	struct inlay_store_node *dir, *n;
	struct inlay_lookup_req m;
	struct inlay_attr attr;
	int r = EXEC_DECODE(x, lookup, &m);

	if (r < 0 || (r = node_get(x->ss, &m.dir, &dir)) < 0)
		return r;
	r = x->ops->lookup(dir, exec_cred(x, &m.cred), m.name, &n, &attr);
	node_put(dir);
	return r < 0 ? r : reply_node(x, n, &attr);
}

/*
 * The file of a request that names a node and, perhaps, an open file of it. A handle of another file is refused: with
 * one, a store asks for less permission. *ret_h NULL for handle 0; else handle_put() must follow.
 */
static int open_file_of(struct exec *x, struct inlay_store_node *n, uint64_t handle, struct handle **ret_h)
{
	struct handle *h = NULL;

	if (handle) {
		h = handle_get(x->ss, handle);
		if (!h)
			return -INLAY_EBADF;
		if (!node_same(h->file->node, n)) {
			handle_put(x->ss, handle);
			return -INLAY_EINVAL;
		}
	}
	*ret_h = h;
	return 0;
}

static struct inlay_store_file *file_or_null(struct handle *h)
{
	return h ? h->file : NULL;
}

static int getattr_of(struct exec *x, struct inlay_store_node *n, uint64_t handle, struct inlay_attr *ret)
{
	struct handle *h;
	int r = open_file_of(x, n, handle, &h);

	if (r < 0)
		return r;
	r = x->ops->getattr(n, file_or_null(h), ret);
	if (h)
		handle_put(x->ss, handle);
	return r;
}

int exec_getattr(struct exec *x)
{
	struct inlay_getattr_req m;
	struct inlay_getattr_rep rep = {0};
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, getattr, &m);

	if (r < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	r = getattr_of(x, n, m.handle, &rep.attr);
	node_put(n);
	if (r >= 0)
		inlay_put_getattr_rep(&x->out, &rep);
	return r;
}

static int setattr_check(const struct inlay_setattr_req *m)
{
	if (m->valid & ~(uint32_t)INLAY_SET_KNOWN)
		return -INLAY_EINVAL;
	return m->valid & INLAY_SET_SIZE && m->size > INT64_MAX ? -INLAY_EINVAL : 0;
}

int exec_setattr(struct exec *x)
{
	struct inlay_setattr_req m;
	struct inlay_setattr_rep rep = {0};
	struct inlay_store_attr_change change;
	struct inlay_store_node *n;
	struct handle *h;
	int r = EXEC_DECODE(x, setattr, &m);

	if (r < 0 || (r = setattr_check(&m)) < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	change = (struct inlay_store_attr_change){m.valid, m.mode & MODE_BITS, m.uid, m.gid, m.size, m.atime, m.mtime};
	r = open_file_of(x, n, m.handle, &h);
	if (r >= 0) {
		if (m.valid & INLAY_SET_SIZE && exec_is_shared(x, n))
			rep.flags = INLAY_WRITTEN_SHARED;
		r = x->ops->setattr(n, file_or_null(h), exec_cred(x, &m.cred), &change, &rep.attr);
		if (h)
			handle_put(x->ss, m.handle);
	}
	node_put(n);
	if (r >= 0)
		inlay_put_setattr_rep(&x->out, &rep);
	return r;
}

int exec_access(struct exec *x)
{
	struct inlay_access_req m;
	struct inlay_store_node *n;
	struct inlay_attr attr;
	int r = EXEC_DECODE(x, access, &m);

	if (r < 0)
		return r;
	if (m.mask & ~7u)
		return -INLAY_EINVAL;
	r = node_get(x->ss, &m.node, &n);
	if (r < 0)
		return r;
	r = x->ops->access(n, exec_cred(x, &m.cred), m.mask);
	if (r >= 0 && m.mask & INLAY_ACCESS_W && x->ex->readonly) {
		/* A device or a FIFO can be written to on a read-only file system. */
		uint32_t type = x->ops->getattr(n, NULL, &attr) < 0 ? 0 : attr.mode & TYPE_BITS;

		r = type == 0100000 || type == 0040000 || type == 0120000 ? -INLAY_EROFS : 0;
	}
	node_put(n);
	return r;
}

int exec_readlink(struct exec *x)
{
	char target[INLAY_TARGET_MAX];
	struct inlay_readlink_req m;
	struct inlay_readlink_rep rep;
	struct inlay_store_node *n;
	int len, r = EXEC_DECODE(x, readlink, &m);

	if (r < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	len = x->ops->readlink(n, target, sizeof(target));
	node_put(n);
	if (len < 0)
		return len;
	if (len > (int)INLAY_REQUEST_BODY - 16) {
		r = exec_large_body(x, (size_t)len + 16);
		if (r < 0)
			return r;
	}
	rep.target = (struct inlay_str){target, (uint32_t)len};
	inlay_put_readlink_rep(&x->out, &rep);
	return 0;
}

int exec_mkdir(struct exec *x)
{
	struct inlay_mkdir_req m;
	struct inlay_store_node *dir, *n;
	struct inlay_attr attr;
	struct inlay_store_make make = {0};
	int r = EXEC_DECODE(x, mkdir, &m);

	if (r < 0 || (r = node_get(x->ss, &m.dir, &dir)) < 0)
		return r;
	make.mode = m.mode & MODE_BITS;
	make.umask = m.umask & UMASK_BITS;
	r = x->ops->mkdir(dir, exec_cred(x, &m.cred), m.name, &make, &n, &attr);
	node_put(dir);
	return r < 0 ? r : reply_node(x, n, &attr);
}

int exec_mknod(struct exec *x)
{
	struct inlay_mknod_req m;
	struct inlay_store_node *dir, *n;
	struct inlay_attr attr;
	struct inlay_store_make make;
	int r = EXEC_DECODE(x, mknod, &m);

	if (r < 0 || (r = node_get(x->ss, &m.dir, &dir)) < 0)
		return r;
	make = (struct inlay_store_make){m.mode & (TYPE_BITS | MODE_BITS), m.umask & UMASK_BITS, m.rdev_major, m.rdev_minor};
	r = x->ops->mknod(dir, exec_cred(x, &m.cred), m.name, &make, &n, &attr);
	node_put(dir);
	return r < 0 ? r : reply_node(x, n, &attr);
}

int exec_symlink(struct exec *x)
{
	struct inlay_symlink_req m;
	struct inlay_store_node *dir, *n;
	struct inlay_attr attr;
	int r = EXEC_DECODE(x, symlink, &m);

	if (r < 0)
		return r;
	if (!m.target.len)
		return -INLAY_ENOENT; /* as symlink(2) says */
	if (m.target.len >= INLAY_TARGET_MAX)
		return -INLAY_ENAMETOOLONG;
	r = node_get(x->ss, &m.dir, &dir);
	if (r < 0)
		return r;
	r = x->ops->symlink(dir, exec_cred(x, &m.cred), m.name, m.target, &n, &attr);
	node_put(dir);
	return r < 0 ? r : reply_node(x, n, &attr);
}

static int link_into(struct exec *x, struct inlay_store_node *n, const struct inlay_link_req *m,
                     struct inlay_link_rep *rep)
{
	struct inlay_store_node *dir;
	struct handle *h;
	int r = node_get(x->ss, &m->dir, &dir);

	if (r < 0)
		return r;
	r = open_file_of(x, n, m->handle, &h);
	if (r >= 0) {
		r = x->ops->link(n, file_or_null(h), dir, exec_cred(x, &m->cred), m->name, &rep->attr);
		if (h)
			handle_put(x->ss, m->handle);
	}
	node_put(dir);
	return r;
}

int exec_link(struct exec *x)
{
	struct inlay_link_req m;
	struct inlay_link_rep rep = {0};
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, link, &m);

	if (r < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	r = link_into(x, n, &m, &rep);
	node_put(n);
	if (r >= 0)
		inlay_put_link_rep(&x->out, &rep);
	return r;
}

int exec_unlink(struct exec *x)
{
	struct inlay_unlink_req m;
	struct inlay_store_node *dir;
	int r = EXEC_DECODE(x, unlink, &m);

	if (r < 0 || (r = node_get(x->ss, &m.dir, &dir)) < 0)
		return r;
	r = x->ops->unlink(dir, exec_cred(x, &m.cred), m.name);
	node_put(dir);
	return r;
}

int exec_rmdir(struct exec *x)
{
	struct inlay_rmdir_req m;
	struct inlay_store_node *dir, *victim;
	struct inlay_attr attr;
	int r = EXEC_DECODE(x, rmdir, &m), found;

	if (r < 0 || (r = node_get(x->ss, &m.dir, &dir)) < 0)
		return r;
	found = x->ops->lookup(dir, NULL, m.name, &victim, &attr);
	r = x->ops->rmdir(dir, exec_cred(x, &m.cred), m.name);
	if (found == 0 && r == 0)
		node_keep_removed(x->ss, victim);
	else if (found == 0)
		node_put(victim);
	node_put(dir);
	return r;
}

int exec_rename(struct exec *x)
{
	struct inlay_rename_req m;
	struct inlay_store_node *from, *to;
	int r = EXEC_DECODE(x, rename, &m);

	if (r < 0)
		return r;
	if (m.flags & ~7u)
		return -INLAY_EINVAL;
	r = node_get(x->ss, &m.from_dir, &from);
	if (r < 0)
		return r;
	r = node_get(x->ss, &m.to_dir, &to);
	if (r >= 0) {
		r = x->ops->rename(from, m.from, to, m.to, m.flags, exec_cred(x, &m.cred));
		node_put(to);
	}
	node_put(from);
	return r;
}

/* ---- listings ---- */

int exec_opendir(struct exec *x)
{
	struct inlay_opendir_req m;
	struct inlay_opendir_rep rep;
	struct inlay_store_node *n;
	struct inlay_store_file *f;
	const struct inlay_cred *cred;
	int r = EXEC_DECODE(x, opendir, &m);

	if (r < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	cred = exec_cred(x, &m.cred);
	r = x->ops->opendir(n, cred, &f);
	node_put(n);
	if (r >= 0)
		r = handle_add(x->ss, f, cred, &rep.handle);
	rep.token = reopen_token(x->ss, &m.node, 0, INLAY_REOPEN_DIR);
	if (r >= 0)
		inlay_put_opendir_rep(&x->out, &rep);
	return r;
}

struct listing {
	struct inlay_writer w;
	uint32_t count, flags;
};

static bool take_entry(void *arg, const struct inlay_dirent *entry)
{
	struct listing *l = arg;
	struct inlay_dirent d = {.ino = entry->ino, .cookie = entry->cookie, .type = entry->type, .name = entry->name};

	if ((size_t)(l->w.end - l->w.p) < inlay_dirent_size(d.name.len, l->flags))
		return false;
	inlay_put_dirent(&l->w, &d, l->flags);
	l->count++;
	return true;
}

static void complete_entry(struct exec *x, struct handle *h, struct inlay_dirent *d)
{
	struct inlay_store_node *n;

	if (!inlay_name_ok(d->name) || x->ops->lookup(h->file->node, h->cred, d->name, &n, &d->attr) < 0)
		return;
	if (node_give(x->ss, n, &d->node) < 0)
		memset(&d->node, 0, sizeof(d->node));
	else
		d->ino = d->attr.ino;
	node_put(n);
}

/*
 * Second walk over the entries: node and attributes. Not done while the listing runs, for a store may hold its
 * directory's lock then.
 */
static void complete_entries(struct exec *x, struct handle *h, struct listing *l)
{
	struct inlay_writer w = inlay_writer(l->w.start, inlay_writer_len(&l->w));
	struct inlay_reader r = inlay_reader(w.start, inlay_writer_len(&l->w));
	char name[INLAY_NAME_MAX];
	struct inlay_dirent d;

	for (uint32_t i = 0; i < l->count; i++) {
		if (inlay_get_dirent(&r, &d, l->flags) < 0)
			return; /* unreachable: these bytes are our own */
		memcpy(name, d.name.p, d.name.len); /* it is written over its own place */
		d.name.p = name;
		complete_entry(x, h, &d);
		inlay_put_dirent(&w, &d, l->flags);
	}
}

static int list(struct exec *x, struct handle *h, const struct inlay_readdir_req *m)
{
	uint32_t max = m->max < INLAY_DATA_MAX ? m->max : INLAY_DATA_MAX;
	struct listing l = {.flags = m->flags};
	uint8_t *room = exec_payload(x, max);
	int eof;

	if (!room)
		return -INLAY_ENOMEM;
	l.w = inlay_writer(room, max);
	eof = x->ops->readdir(h->file, m->cookie, take_entry, &l);
	if (eof < 0)
		return eof;
	if (!eof && !l.count)
		return -INLAY_EINVAL; /* not even one entry fits */
	if (m->flags & INLAY_READDIR_ATTRS)
		complete_entries(x, h, &l);
	exec_payload_set(x, room, (uint32_t)inlay_writer_len(&l.w));
	inlay_put_readdir_rep(&x->out, &(struct inlay_readdir_rep){l.count, (uint32_t)eof});
	return 0;
}

int exec_readdir(struct exec *x)
{
	struct inlay_readdir_req m;
	struct handle *h;
	int r = EXEC_DECODE(x, readdir, &m);

	if (r < 0)
		return r;
	if (m.flags & ~(uint32_t)INLAY_READDIR_ATTRS)
		return -INLAY_EINVAL;
	h = handle_get(x->ss, m.handle);
	if (!h)
		return -INLAY_EBADF;
	r = h->file->is_dir ? list(x, h, &m) : -INLAY_ENOTDIR;
	handle_put(x->ss, m.handle);
	return r;
}

/* ---- the rest of what names a node ---- */

int exec_statfs(struct exec *x)
{
	struct inlay_statfs_req m;
	struct inlay_statfs_rep rep;
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, statfs, &m);

	if (r < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	r = x->ops->statfs(n, &rep);
	node_put(n);
	if (r >= 0)
		inlay_put_statfs_rep(&x->out, &rep);
	return r;
}

int exec_syncfs(struct exec *x)
{
	struct inlay_syncfs_req m;
	struct inlay_store_node *n;
	int r = EXEC_DECODE(x, syncfs, &m);

	if (r < 0 || (r = node_get(x->ss, &m.node, &n)) < 0)
		return r;
	r = x->ops->syncfs(x->ex->store);
	node_put(n);
	return r;
}

#define FORGET_ENTRY 48u

int exec_forget(struct exec *x)
{
	struct inlay_forget_req m;
	int r = EXEC_DECODE(x, forget, &m);

	if (r < 0)
		return r;
	if (x->rq->data_len != (uint64_t)m.count * FORGET_ENTRY) {
		x->bad = true;
		return -INLAY_EPROTO;
	}
	for (uint32_t i = 0; i < m.count; i++) {
		const uint8_t *p = x->rq->data + (size_t)i * FORGET_ENTRY;
		struct inlay_node_id id;

		memcpy(id.bytes, p, sizeof(id.bytes));
		node_forget(x->ss, &id, inlay_load64(p + sizeof(id.bytes)));
	}
	return 0;
}

/* No leases are given out yet, so there is nothing to take back. */
int exec_lease_return(struct exec *x)
{
	struct inlay_lease_return_req m;

	return EXEC_DECODE(x, lease_return, &m);
}

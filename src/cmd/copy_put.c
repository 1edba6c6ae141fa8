/*
 * `inlay cp` to a server.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/copy.h"
#include "cmd/here.h"
#include "cmd/say.h"
#include "cmd/transfer.h"

#include <string.h>

#define SHOWN_MAX 4352u /* bytes of a name in messages */

static bool failed(const char *what, const char *where, int status)
{
	inlay_say("can't %s: %s: %s", what, where, inlay_status_text(status));
	return false;
}

static bool set_attributes(struct inlay_copy *c, const struct inlay_node_id *node, const struct inlay_file_info *info,
	const char *shown)
{
	struct inlay_attr to = {.mode = info->mode & 07777, .mtime = info->mtime};
	int status = 0;

	if (c->preserve)
		status = inlay_remote_setattr(c->visit, node, 0, INLAY_SET_MODE | INLAY_SET_MTIME, &to);
	return status == 0 || failed("set mode and times of the copy", shown, status);
}

/* Once through; -INLAY_EAGAIN: the server was started anew, again from the beginning. */
static int put_once(struct inlay_copy *c, int fd, const struct inlay_file_info *info, const char *shown,
	const struct inlay_node_id *to_dir, const char *to, struct inlay_remote_file *ret, bool *ret_here)
{
	struct inlay_progress progress;
	uint64_t handle;
	int status, closed;

	*ret_here = false;
	if (c->existing && !c->depth) {
		*ret = *c->existing;
		status = inlay_remote_open(c->visit, &ret->node, INLAY_O_WRONLY | INLAY_O_TRUNC, &handle, &ret->attr);
	} else {
		status = inlay_remote_create(
			c->visit, to_dir, to, INLAY_O_WRONLY | INLAY_O_TRUNC, info->mode & 0777, &handle, ret);
	}
	if (status < 0)
		return status;
	inlay_progress_begin(&progress, shown, info->size);
	status = inlay_transfer_put(c->visit, handle, &ret->node, fd, info->size, &progress, ret_here);
	inlay_progress_end(&progress);
	closed = inlay_remote_close(c->visit, handle);
	return status < 0 ? status : closed;
}

static bool put_file(struct inlay_copy *c, struct inlay_dir *dir, const char *name, const char *shown,
	const struct inlay_node_id *to_dir, const char *to)
{
	struct inlay_remote_file made;
	struct inlay_file_info info;
	int fd = inlay_file_open(dir, name, !c->depth), status;
	bool here;

	if (fd < 0)
		return failed("read", shown, fd);
	status = inlay_fd_info(fd, &info);
	if (status < 0) {
		inlay_fd_close(fd);
		return failed("read", shown, status);
	}
	status = put_once(c, fd, &info, shown, to_dir, to, &made, &here);
	if (status == -INLAY_EAGAIN)
		status = put_once(c, fd, &info, shown, to_dir, to, &made, &here);
	inlay_fd_close(fd);
	if (status < 0)
		return failed(here ? "read" : "write the copy of", shown, status);
	return set_attributes(c, &made.node, &info, shown);
}

static bool put_link(struct inlay_copy *c, struct inlay_dir *dir, const char *name, const char *shown,
	const struct inlay_node_id *to_dir, const char *to)
{
	char target[INLAY_TARGET_MAX + 1];
	int status = inlay_link_read(dir, name, target);

	if (status < 0)
		return failed("read the link", shown, status);
	status = inlay_remote_symlink(c->visit, to_dir, to, target);
	return status == 0 || failed("make a copy of the link", shown, status);
}

static bool put_entries(struct inlay_copy *c, struct inlay_dir *d, const char *shown, const struct inlay_node_id *to)
{
	char name[INLAY_HERE_NAME_MAX + 1], there[INLAY_NAME_MAX + 1];
	bool good = true;
	int more;

	while ((more = inlay_dir_next(d, name)) > 0) {
		char path[SHOWN_MAX];
		int status = inlay_name_there(name, there);

		snprintf(path, sizeof(path), "%.3200s/%s", shown, name);
		if (status < 0)
			good = failed("make a copy of this name", path, status);
		else
			good = inlay_copy_put(c, d, name, path, to, there) && good;
	}
	return more < 0 ? failed("list", shown, more) : good;
}

static int make_remote_dir(struct inlay_copy *c, const struct inlay_node_id *to_dir, const char *to, uint32_t mode,
	struct inlay_remote_file *ret)
{
	int status = inlay_remote_mkdir(c->visit, to_dir, to, (mode & 0777) | 0700, ret);

	if (status != -INLAY_EEXIST)
		return status;
	status = inlay_remote_lookup(c->visit, to_dir, to, ret);
	return status == 0 && inlay_attr_type(&ret->attr) != INLAY_MODE_DIR ? -INLAY_ENOTDIR : status;
}

static bool put_tree(struct inlay_copy *c, struct inlay_dir *dir, const char *name, const char *shown,
	const struct inlay_node_id *to_dir, const char *to)
{
	struct inlay_remote_file made;
	struct inlay_file_info info;
	struct inlay_dir *from;
	bool good;
	int status;

	if (!c->recursive)
		return failed("copy without -r", shown, -INLAY_EISDIR);
	if (c->depth >= INLAY_COPY_DEPTH_MAX)
		return failed("go deeper", shown, -INLAY_ELIMIT);
	status = inlay_dir_open(dir, name, !c->depth, &from);
	if (status < 0)
		return failed("enter the directory", shown, status);
	status = inlay_dir_info(from, &info);
	if (status == 0)
		status = make_remote_dir(c, to_dir, to, info.mode, &made);
	if (status < 0) {
		inlay_dir_close(from);
		return failed("make a copy of the directory", shown, status);
	}
	c->depth++;
	good = put_entries(c, from, shown, &made.node);
	c->depth--;
	inlay_dir_close(from);
	if (!c->preserve && (info.mode & 0700) != 0700) {
		struct inlay_attr mode = {.mode = made.attr.mode & ~(~info.mode & 0700u)};

		status = inlay_remote_setattr(c->visit, &made.node, 0, INLAY_SET_MODE, &mode);
		good = (status == 0 || failed("set the mode of the copy", shown, status)) && good;
	}
	return set_attributes(c, &made.node, &info, shown) && good;
}

bool inlay_copy_put(struct inlay_copy *c, struct inlay_dir *dir, const char *name, const char *shown,
	const struct inlay_node_id *to_dir, const char *to)
{
	struct inlay_file_info info;
	int status = inlay_file_info(dir, name, !c->depth, &info);

	if (status < 0)
		return failed("read", shown, status);
	switch (info.mode & INLAY_MODE_TYPE) {
	case INLAY_MODE_FILE:
		return put_file(c, dir, name, shown, to_dir, to);
	case INLAY_MODE_DIR:
		return put_tree(c, dir, name, shown, to_dir, to);
	case INLAY_MODE_LINK:
		return put_link(c, dir, name, shown, to_dir, to);
	default:
		inlay_say("neither file, directory nor link: %s: left out", shown);
		return false;
	}
}

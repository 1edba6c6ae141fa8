/*
 * `inlay cp` from a server. Names and links come from the server: beneath what the user named, nothing is followed.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/copy.h"
#include "cmd/here.h"
#include "cmd/say.h"
#include "cmd/transfer.h"

#include <string.h>

#define SHOWN_MAX 4352u /* bytes of a name in messages */
#define PRESERVED (INLAY_SET_MODE | INLAY_SET_ATIME | INLAY_SET_MTIME)

static bool failed(const char *what, const char *where, int status)
{
	inlay_say("can't %s: %s: %s", what, where, inlay_status_text(status));
	return false;
}

static bool fill(struct inlay_copy *c, uint64_t handle, const struct inlay_attr *attr, const char *shown, int fd,
	const char *name)
{
	struct inlay_progress progress;
	struct inlay_file_info info;
	bool here, seekable = inlay_fd_info(fd, &info) == 0 && (info.mode & INLAY_MODE_TYPE) == INLAY_MODE_FILE;
	int status;

	inlay_progress_begin(&progress, name, attr->size);
	status = inlay_transfer_get(c->visit, handle, attr, fd, seekable, &progress, &here);
	inlay_progress_end(&progress);
	if (status < 0)
		return failed(here ? "write" : "read", here ? name : shown, status);
	status = seekable && c->preserve ? inlay_fd_set(fd, PRESERVED, attr) : 0;
	return status == 0 || failed("set mode and times", name, status);
}

static bool get_file(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, struct inlay_dir *dir,
	const char *name)
{
	struct inlay_attr attr;
	uint64_t handle;
	int status, fd, closed = 0;
	bool good;

	/* The remote end first: what can't be read must not empty what is here. */
	status = inlay_remote_open(c->visit, &from->node, INLAY_O_RDONLY, &handle, &attr);
	if (status < 0)
		return failed("open", shown, status);
	fd = inlay_file_create(dir, name, attr.mode & 0777, !c->depth);
	good = fd >= 0 ? fill(c, handle, &attr, shown, fd, name) : failed("write", name, fd);
	(void)inlay_remote_close(c->visit, handle);
	if (fd >= 0)
		closed = inlay_fd_close(fd);
	return closed < 0 ? failed("write", name, closed) : good;
}

static bool get_link(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, struct inlay_dir *dir,
	const char *name)
{
	char target[INLAY_TARGET_MAX + 1];
	int status = inlay_remote_readlink(c->visit, &from->node, target);

	if (status < 0)
		return failed("read the link", shown, status);
	status = inlay_link_make(dir, name, target);
	return status == 0 || failed("make the link", name, status);
}

static bool get_entries(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown,
	struct inlay_dir *dir)
{
	struct inlay_remote_listing l;
	int status = inlay_remote_list(c->visit, &from->node, &l);
	bool good = true;

	if (status < 0)
		return failed("list", shown, status);
	for (size_t i = 0; i < l.count; i++) {
		char path[SHOWN_MAX], name[INLAY_HERE_NAME_MAX + 1];

		snprintf(path, sizeof(path), "%.3800s/%s", shown, l.entry[i].name);
		status = inlay_name_here(l.entry[i].name, name);
		if (status < 0)
			good = failed("make a file of this name here", path, status);
		else
			good = inlay_copy_get(c, &l.entry[i].file, path, dir, name) && good;
	}
	inlay_remote_listing_done(&l);
	return good;
}

static bool get_tree(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, struct inlay_dir *dir,
	const char *name)
{
	uint32_t mode = from->attr.mode & 0777;
	struct inlay_dir *made;
	int status, set = 0;
	bool is_new, good;

	if (!c->recursive)
		return failed("copy without -r", shown, -INLAY_EISDIR);
	if (c->depth >= INLAY_COPY_DEPTH_MAX)
		return failed("go deeper", shown, -INLAY_ELIMIT);
	status = inlay_dir_make(dir, name, mode | 0700);
	is_new = status == 0;
	if (status < 0 && status != -INLAY_EEXIST)
		return failed("make the directory", name, status);
	status = inlay_dir_open(dir, name, !c->depth, &made);
	if (status < 0)
		return failed("enter the directory", name, status);
	c->depth++;
	good = get_entries(c, from, shown, made);
	c->depth--;
	if (c->preserve)
		set = inlay_dir_set(made, PRESERVED, &from->attr);
	else if (is_new && (mode & 0700) != 0700)
		set = inlay_dir_set(made, INLAY_SET_MODE, &(struct inlay_attr){.mode = mode});
	inlay_dir_close(made);
	return set < 0 ? failed(c->preserve ? "set mode and times" : "set the mode", name, set) : good;
}

bool inlay_copy_get(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, struct inlay_dir *dir,
	const char *name)
{
	switch (inlay_attr_type(&from->attr)) {
	case INLAY_MODE_FILE:
		return get_file(c, from, shown, dir, name);
	case INLAY_MODE_DIR:
		return get_tree(c, from, shown, dir, name);
	case INLAY_MODE_LINK:
		return get_link(c, from, shown, dir, name);
	default:
		inlay_say("neither file, directory nor link: %s: left out", shown);
		return false;
	}
}

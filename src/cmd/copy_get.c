/*
 * `inlay cp` from a server. Names and links come from the server: beneath what the user named, nothing is followed.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/copy.h"
#include "cmd/say.h"
#include "cmd/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(const char *what, const char *where, int status)
{
	inlay_say("can't %s: %s: %s", what, where, inlay_status_text(status));
	return false;
}

static bool failed_here(const char *what, const char *where)
{
	return failed(what, where, inlay_status_from_errno(errno));
}

static bool set_attributes(const struct inlay_copy *c, int fd, const struct inlay_attr *attr, const char *name)
{
	struct timespec times[2] = {{attr->atime.sec, attr->atime.nsec}, {attr->mtime.sec, attr->mtime.nsec}};

	if (!c->preserve)
		return true;
	if (fchmod(fd, attr->mode & 07777) < 0 || futimens(fd, times) < 0)
		return failed_here("set mode and times", name);
	return true;
}

static bool fill(struct inlay_copy *c, uint64_t handle, const struct inlay_attr *attr, const char *shown, int fd,
	const char *name)
{
	struct inlay_progress progress;
	struct stat st;
	bool here, seekable = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	int status;

	inlay_progress_begin(&progress, name, attr->size);
	status = inlay_transfer_get(c->visit, handle, attr, fd, seekable, &progress, &here);
	inlay_progress_end(&progress);
	if (status < 0)
		return failed(here ? "write" : "read", here ? name : shown, status);
	return !seekable || set_attributes(c, fd, attr, name);
}

static bool get_file(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, int dir, const char *name)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (c->depth ? O_NOFOLLOW : 0), fd, status;
	struct inlay_attr attr;
	uint64_t handle;
	bool good;

	/* The remote end first: what can't be read must not empty what is here. */
	status = inlay_remote_open(c->visit, &from->node, INLAY_O_RDONLY, &handle, &attr);
	if (status < 0)
		return failed("open", shown, status);
	fd = openat(dir, name, flags, attr.mode & 0777);
	good = fd >= 0 ? fill(c, handle, &attr, shown, fd, name) : failed_here("write", name);
	(void)inlay_remote_close(c->visit, handle);
	if (fd >= 0 && close(fd) < 0)
		good = failed_here("write", name);
	return good;
}

static bool get_link(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, int dir, const char *name)
{
	char target[INLAY_TARGET_MAX + 1];
	int status = inlay_remote_readlink(c->visit, &from->node, target);

	if (status < 0)
		return failed("read the link", shown, status);
	return symlinkat(target, dir, name) == 0 || failed_here("make the link", name);
}

static bool get_entries(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, int dir)
{
	struct inlay_remote_listing l;
	int status = inlay_remote_list(c->visit, &from->node, &l);
	bool good = true;

	if (status < 0)
		return failed("list", shown, status);
	for (size_t i = 0; i < l.count; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%.3800s/%s", shown, l.entry[i].name);
		good = inlay_copy_get(c, &l.entry[i].file, path, dir, l.entry[i].name) && good;
	}
	inlay_remote_listing_done(&l);
	return good;
}

static bool get_tree(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, int dir, const char *name)
{
	mode_t mode = from->attr.mode & 0777;
	bool made, good;
	int fd;

	if (!c->recursive)
		return failed("copy without -r", shown, -INLAY_EISDIR);
	if (c->depth >= INLAY_COPY_DEPTH_MAX)
		return failed("go deeper", shown, -INLAY_ELIMIT);
	made = mkdirat(dir, name, mode | 0700) == 0;
	if (!made && errno != EEXIST)
		return failed_here("make the directory", name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (c->depth ? O_NOFOLLOW : 0));
	if (fd < 0)
		return failed_here("enter the directory", name);
	c->depth++;
	good = get_entries(c, from, shown, fd);
	c->depth--;
	if (made && (mode & 0700) != 0700 && !c->preserve && fchmod(fd, mode) < 0)
		good = failed_here("set the mode", name);
	good = set_attributes(c, fd, &from->attr, name) && good;
	close(fd);
	return good;
}

bool inlay_copy_get(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, int dir, const char *name)
{
	switch (from->attr.mode & S_IFMT) {
	case S_IFREG:
		return get_file(c, from, shown, dir, name);
	case S_IFDIR:
		return get_tree(c, from, shown, dir, name);
	case S_IFLNK:
		return get_link(c, from, shown, dir, name);
	default:
		inlay_say("neither file, directory nor link: %s: left out", shown);
		return false;
	}
}

/*
 * `inlay cp` to a server.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/copy.h"
#include "cmd/say.h"
#include "cmd/transfer.h"

#include <dirent.h>
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

static bool set_attributes(struct inlay_copy *c, const struct inlay_node_id *node, const struct stat *st, const char *shown)
{
	struct inlay_attr to = {.mode = st->st_mode & 07777,
		.mtime = {.sec = st->st_mtim.tv_sec, .nsec = (uint32_t)st->st_mtim.tv_nsec}};
	int status = 0;

	if (c->preserve)
		status = inlay_remote_setattr(c->visit, node, 0, INLAY_SET_MODE | INLAY_SET_MTIME, &to);
	return status == 0 || failed("set mode and times of the copy", shown, status);
}

/* Once through; -INLAY_EAGAIN: the server was started anew, again from the beginning. */
static int put_once(struct inlay_copy *c, int fd, const struct stat *st, const char *shown, const struct inlay_node_id *to_dir,
	const char *to, struct inlay_remote_file *ret, bool *ret_here)
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
			c->visit, to_dir, to, INLAY_O_WRONLY | INLAY_O_TRUNC, st->st_mode & 0777, &handle, ret);
	}
	if (status < 0)
		return status;
	inlay_progress_begin(&progress, shown, (uint64_t)st->st_size);
	status = inlay_transfer_put(c->visit, handle, &ret->node, fd, (uint64_t)st->st_size, &progress, ret_here);
	inlay_progress_end(&progress);
	closed = inlay_remote_close(c->visit, handle);
	return status < 0 ? status : closed;
}

static bool put_file(struct inlay_copy *c, int dir, const char *name, const char *shown, const struct inlay_node_id *to_dir,
	const char *to)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (c->depth ? O_NOFOLLOW : 0)), status;
	struct inlay_remote_file made;
	struct stat st;
	bool here;

	if (fd < 0 || fstat(fd, &st) < 0) {
		failed_here("read", shown);
		if (fd >= 0)
			close(fd);
		return false;
	}
	status = put_once(c, fd, &st, shown, to_dir, to, &made, &here);
	if (status == -INLAY_EAGAIN)
		status = put_once(c, fd, &st, shown, to_dir, to, &made, &here);
	close(fd);
	if (status < 0)
		return failed(here ? "read" : "write the copy of", shown, status);
	return set_attributes(c, &made.node, &st, shown);
}

static bool put_link(struct inlay_copy *c, int dir, const char *name, const char *shown, const struct inlay_node_id *to_dir,
	const char *to)
{
	char target[INLAY_TARGET_MAX + 1];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	int status;

	if (n < 0)
		return failed_here("read the link", shown);
	target[n] = '\0';
	status = inlay_remote_symlink(c->visit, to_dir, to, target);
	return status == 0 || failed("make a copy of the link", shown, status);
}

/* Takes fd over. */
static bool put_entries(struct inlay_copy *c, int fd, const char *shown, const struct inlay_node_id *to)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	bool good = true;

	if (!d) {
		failed_here("list", shown);
		close(fd);
		return false;
	}
	while ((errno = 0, e = readdir(d)) != NULL) {
		char path[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%.3800s/%s", shown, e->d_name);
		good = inlay_copy_put(c, dirfd(d), e->d_name, path, to, e->d_name) && good;
	}
	if (errno)
		good = failed_here("list", shown);
	closedir(d);
	return good;
}

static int make_remote_dir(struct inlay_copy *c, const struct inlay_node_id *to_dir, const char *to, mode_t mode,
	struct inlay_remote_file *ret)
{
	int status = inlay_remote_mkdir(c->visit, to_dir, to, (mode & 0777) | 0700, ret);

	if (status != -INLAY_EEXIST)
		return status;
	status = inlay_remote_lookup(c->visit, to_dir, to, ret);
	return status == 0 && !S_ISDIR(ret->attr.mode) ? -INLAY_ENOTDIR : status;
}

static bool put_tree(struct inlay_copy *c, int dir, const char *name, const char *shown, const struct inlay_node_id *to_dir,
	const char *to)
{
	struct inlay_remote_file made;
	struct stat st;
	bool good;
	int fd, status;

	if (!c->recursive)
		return failed("copy without -r", shown, -INLAY_EISDIR);
	if (c->depth >= INLAY_COPY_DEPTH_MAX)
		return failed("go deeper", shown, -INLAY_ELIMIT);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (c->depth ? O_NOFOLLOW : 0));
	if (fd < 0)
		return failed_here("enter the directory", shown);
	if (fstat(fd, &st) < 0) {
		failed_here("enter the directory", shown);
		close(fd);
		return false;
	}
	status = make_remote_dir(c, to_dir, to, st.st_mode, &made);
	if (status < 0) {
		close(fd);
		return failed("make a copy of the directory", shown, status);
	}
	c->depth++;
	good = put_entries(c, fd, shown, &made.node);
	c->depth--;
	if (!c->preserve && (st.st_mode & 0700) != 0700) {
		struct inlay_attr mode = {.mode = made.attr.mode & ~(~st.st_mode & 0700u)};

		status = inlay_remote_setattr(c->visit, &made.node, 0, INLAY_SET_MODE, &mode);
		good = (status == 0 || failed("set the mode of the copy", shown, status)) && good;
	}
	return set_attributes(c, &made.node, &st, shown) && good;
}

bool inlay_copy_put(struct inlay_copy *c, int dir, const char *name, const char *shown, const struct inlay_node_id *to_dir,
	const char *to)
{
	struct stat st;

	if (fstatat(dir, name, &st, c->depth ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return failed_here("read", shown);
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return put_file(c, dir, name, shown, to_dir, to);
	case S_IFDIR:
		return put_tree(c, dir, name, shown, to_dir, to);
	case S_IFLNK:
		return put_link(c, dir, name, shown, to_dir, to);
	default:
		inlay_say("neither file, directory nor link: %s: left out", shown);
		return false;
	}
}

/*
 * Passthrough: the kernel reads and writes a local file by itself, see Documentation/filesystems/fuse/fuse-passthrough.rst.
 * SPDX-License-Identifier: Apache-2.0
 *
 * All opens of one inode must share one registration, so it hangs on the node and goes with its last open file.
 */
#include "intercept/fuse/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void off(struct inlay_fuse *f, const char *why)
{
	snprintf(f->passthrough_why, sizeof f->passthrough_why, "%s", why);
	atomic_store(&f->passthrough, false);
}

/* Turns it off for good when the refusal is one of principle, not of this file. */
static void refused(struct inlay_fuse *f, int error)
{
	if (error != EPERM && error != ENOTTY && error != EOPNOTSUPP)
		return;
	pthread_mutex_lock(&f->lock);
	off(f, error == EPERM ? "it needs root" : "this kernel does not offer it");
	pthread_mutex_unlock(&f->lock);
}

void inlay_fuse_pass_init(struct inlay_fuse *f, uint64_t offered)
{
	atomic_store(&f->passthrough, true);
	if (!f->config.local_fd)
		off(f, "the local side offers no descriptors");
	else if (!(offered & INLAY_FUSE_PASSTHROUGH))
		off(f, "this kernel does not offer it");
}

/* The kernel looks at the right to it before it looks at the file, so that asking for none tells. */
void inlay_fuse_pass_probe(struct inlay_fuse *f)
{
	struct inlay_fuse_backing_map map = {.fd = -1};

	if (inlay_fuse_passthrough(f) && ioctl(f->channel[0].source.fd, INLAY_FUSE_BACKING_OPEN, &map) < 0)
		refused(f, errno);
}

bool inlay_fuse_passthrough(const struct inlay_fuse *f)
{
	return atomic_load(&((struct inlay_fuse *)(uintptr_t)f)->passthrough);
}

const char *inlay_fuse_passthrough_why(const struct inlay_fuse *f)
{
	return inlay_fuse_passthrough(f) ? "" : f->passthrough_why;
}

static int backing_open(struct inlay_fuse *f, struct inlay_file *file)
{
	struct inlay_fuse_backing_map map = {0};
	int id;

	map.fd = f->config.local_fd(f->config.arg, file->handle);
	if (map.fd < 0)
		return -1;
	id = ioctl(f->channel[0].source.fd, INLAY_FUSE_BACKING_OPEN, &map);
	if (id < 0)
		refused(f, errno);
	close(map.fd);
	return id;
}

static void backing_close(struct inlay_fuse *f, int id)
{
	uint32_t arg = (uint32_t)id;

	if (ioctl(f->channel[0].source.fd, INLAY_FUSE_BACKING_CLOSE, &arg) < 0)
		return; /* the mount is gone, and the registration with it */
}

/* Returns the node's registration, made if there was none; <= 0: none to be had (0 is no id). */
static int use_backing(struct inlay_fuse *f, struct inlay_file *file)
{
	struct inlay_node *n = file->node;
	int id;

	pthread_mutex_lock(&f->lock);
	id = n->backing_users ? n->backing_id : 0;
	if (id > 0)
		n->backing_users++;
	pthread_mutex_unlock(&f->lock);
	if (id > 0)
		return id;
	id = backing_open(f, file);
	if (id <= 0)
		return id;
	pthread_mutex_lock(&f->lock);
	if (n->backing_users) { /* another open was quicker: there must be one registration only */
		int mine = id;

		id = n->backing_id;
		n->backing_users++;
		pthread_mutex_unlock(&f->lock);
		backing_close(f, mine);
		return id;
	}
	n->backing_id = id;
	n->backing_users = 1;
	pthread_mutex_unlock(&f->lock);
	return id;
}

void inlay_fuse_pass_open(struct inlay_fuse *f, struct inlay_file *file, struct inlay_fuse_open_out *out)
{
	int id;

	*out = (struct inlay_fuse_open_out){.fh = file->number};
	if (file->is_dir)
		return;
	if (file->side == INLAY_LOCAL && inlay_fuse_passthrough(f)) {
		id = use_backing(f, file);
		if (id > 0) {
			file->passthrough = true;
			inlay_estate_file_passes(f->config.redirect->estate, file->number, id);
			out->open_flags = INLAY_FOPEN_PASSTHROUGH;
			out->backing_id = id;
			return;
		}
	}
	/* Every read and write asks the side that has the file: nothing in the page cache can be stale. */
	out->open_flags = FOPEN_DIRECT_IO | INLAY_FOPEN_PARALLEL_DIRECT_WRITES;
}

void inlay_fuse_pass_close(struct inlay_fuse *f, struct inlay_file *file)
{
	struct inlay_node *n = file->node;
	int gone = 0;

	if (!file->passthrough)
		return;
	file->passthrough = false;
	inlay_estate_file_passes(f->config.redirect->estate, file->number, 0); /* first: its number may be another's soon */
	pthread_mutex_lock(&f->lock);
	if (--n->backing_users == 0) {
		gone = n->backing_id;
		n->backing_id = 0;
	}
	pthread_mutex_unlock(&f->lock);
	if (gone)
		backing_close(f, gone);
}

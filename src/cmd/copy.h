/*
 * The two directions of `inlay cp`. Each function says what fails, goes on with the rest of a tree, and returns whether
 * all went well.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_COPY_H
#define INLAY_CMD_COPY_H

#include "cmd/client.h"
#include "cmd/remote.h"
#include "os/files.h"

#include <stdbool.h>

#define INLAY_COPY_DEPTH_MAX 200u /* directories within each other: each holds an open directory */

struct inlay_copy {
	struct inlay_visit *visit;
	bool preserve;  /* mode and times */
	bool recursive;
	const struct inlay_remote_file *existing; /* what the user named as target is this file, maybe by way of a link; or NULL */
	unsigned depth; /* 0: what the user named: links in its place are followed, deeper ones never */
};

/* A remote file to `name` in a directory here (files.h). shown: for messages. */
bool inlay_copy_get(struct inlay_copy *c, const struct inlay_remote_file *from, const char *shown, struct inlay_dir *dir,
	const char *name);
/* `name` in a directory here to `to` in a remote directory. */
bool inlay_copy_put(struct inlay_copy *c, struct inlay_dir *dir, const char *name, const char *shown, const struct inlay_node_id *to_dir,
	const char *to);

#endif

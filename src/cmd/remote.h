/*
 * Files of a visited server, by path: one request after the other. Bulk data: transfer.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_REMOTE_H
#define INLAY_CMD_REMOTE_H

#include "cmd/client.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stddef.h>

struct inlay_remote_file {
	struct inlay_node_id node;
	struct inlay_attr attr;
};

/* An entry of a listing; name is NUL-terminated and safe as a single path component. */
struct inlay_remote_entry {
	char name[INLAY_NAME_MAX + 1];
	struct inlay_remote_file file;
};
struct inlay_remote_listing {
	struct inlay_remote_entry *entry; /* by name, without "." and ".." */
	size_t count;
};

/*
 * Follows symbolic links within the export; follow: also the last one. A link with an absolute target leads out of the export:
 * -INLAY_EXDEV. All return 0 or a status.
 */
int inlay_remote_walk(struct inlay_visit *v, const char *path, bool follow, struct inlay_remote_file *ret);
/* The directory that holds path's last name, which is written to name. -INLAY_EISDIR when path is empty. */
int inlay_remote_walk_parent(struct inlay_visit *v, const char *path, struct inlay_remote_file *ret,
	char name[INLAY_NAME_MAX + 1]);
int inlay_remote_lookup(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name,
	struct inlay_remote_file *ret);
int inlay_remote_list(struct inlay_visit *v, const struct inlay_node_id *dir, struct inlay_remote_listing *ret);
void inlay_remote_listing_done(struct inlay_remote_listing *l);
int inlay_remote_readlink(struct inlay_visit *v, const struct inlay_node_id *node, char target[INLAY_TARGET_MAX + 1]);

int inlay_remote_open(struct inlay_visit *v, const struct inlay_node_id *node, uint32_t flags, uint64_t *ret_handle,
	struct inlay_attr *ret_attr);
/* Opens what exists too, unless flags has INLAY_O_EXCL. */
int inlay_remote_create(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name, uint32_t flags,
	uint32_t mode, uint64_t *ret_handle, struct inlay_remote_file *ret);
int inlay_remote_close(struct inlay_visit *v, uint64_t handle);
int inlay_remote_commit(struct inlay_visit *v, uint64_t handle, uint64_t *ret_verifier);
int inlay_remote_mkdir(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name, uint32_t mode,
	struct inlay_remote_file *ret);
int inlay_remote_symlink(struct inlay_visit *v, const struct inlay_node_id *dir, const char *name, const char *target);
/* What `valid` (INLAY_SET_*) says of size, mode and mtime. handle 0: none. */
int inlay_remote_setattr(struct inlay_visit *v, const struct inlay_node_id *node, uint64_t handle, uint32_t valid,
	const struct inlay_attr *to);

#endif

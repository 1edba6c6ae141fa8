/*
 * Files here, as the commands use them: names in UTF-8 with '/' (on Windows '\' as well), beneath an open directory or, where that is
 * NULL, as the process sees them. Open files are descriptors of the C library. Everything blocks; 0 or more, or a status.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_FILES_H
#define INLAY_OS_FILES_H

#include "wire/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INLAY_HERE_NAME_MAX 1023u /* bytes of one name, as dir_next gives them */

struct inlay_file_info {
	uint32_t mode; /* type and permissions, POSIX numbers; Windows: 0755, 0644, or 0444 for a read-only file */
	uint64_t size; /* bytes */
	struct inlay_time mtime;
};

struct inlay_dir; /* an open directory */

/* What has that name; follow: where a link leads. */
int inlay_file_info(struct inlay_dir *at, const char *name, bool follow, struct inlay_file_info *ret);
/* The descriptor. follow false: a link is -INLAY_ELOOP, or (create) replaced by nothing: refused, too. */
int inlay_file_open(struct inlay_dir *at, const char *name, bool follow);
/* For writing, made or emptied. mode: permissions of a new one, less the umask. */
int inlay_file_create(struct inlay_dir *at, const char *name, uint32_t mode, bool follow);
int inlay_link_read(struct inlay_dir *at, const char *name, char target[INLAY_TARGET_MAX + 1]);
int inlay_link_make(struct inlay_dir *at, const char *name, const char *target);

int inlay_dir_open(struct inlay_dir *at, const char *name, bool follow, struct inlay_dir **ret);
int inlay_dir_make(struct inlay_dir *at, const char *name, uint32_t mode);
/* The next name but "." and "..", in any order: 1, or 0 at the end. */
int inlay_dir_next(struct inlay_dir *d, char name[INLAY_HERE_NAME_MAX + 1]);
int inlay_dir_info(struct inlay_dir *d, struct inlay_file_info *ret);
/* Permissions (INLAY_SET_MODE), times (INLAY_SET_ATIME and INLAY_SET_MTIME together), as attr has them. */
int inlay_dir_set(struct inlay_dir *d, uint32_t what, const struct inlay_attr *attr);
void inlay_dir_close(struct inlay_dir *d); /* NULL is fine */

int inlay_fd_info(int fd, struct inlay_file_info *ret);
int inlay_fd_set(int fd, uint32_t what, const struct inlay_attr *attr); /* as inlay_dir_set */
int inlay_fd_set_size(int fd, uint64_t size);
/* Holes may be made from here on: for a file that is to have some. Where the host needs to be told. */
void inlay_fd_set_sparse(int fd);
/* At the descriptor's place: fewer bytes than asked for only at the end, or from what is no regular file. */
int64_t inlay_fd_read(int fd, void *bytes, size_t len);
int64_t inlay_fd_read_at(int fd, void *bytes, size_t len, uint64_t off);
/* Everything, at a place. 0 or a status. */
int inlay_fd_write_at(int fd, const void *bytes, size_t len, uint64_t off);
/* Some bytes (1 at least), to what may be no regular file: how many. */
int64_t inlay_fd_write_some(int fd, const void *bytes, size_t len);
/* Waits up to ms until a pipe or terminal takes some bytes. False: it doesn't. Windows can't tell, and says true. */
bool inlay_fd_wait_writable(int fd, unsigned ms);
/*
 * The first run of data from off on: *ret_from and *ret_to (UINT64_MAX: this host or file system doesn't know holes).
 * -INLAY_ENXIO: there is none.
 */
int inlay_fd_find_data(int fd, uint64_t off, uint64_t *ret_from, uint64_t *ret_to);
int inlay_fd_close(int fd);

/* The columns of the terminal that stderr is, 0 when it is none. */
unsigned inlay_terminal_columns(void);
/* A descriptor of a terminal. */
bool inlay_fd_is_terminal(int fd);
/* The permissions that new files don't get. */
uint32_t inlay_umask(void);

#endif

/*
 * The contract of store/store.h as cases that run on any back end, and path-wise helpers that they are written with.
 * Owner of everything a helper hands out is the struct contract: it drops them when the case ends.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_STORE_CONTRACT_H
#define INLAY_TESTS_STORE_CONTRACT_H

#include "base/status.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#define CONTRACT_HELD 64

/*
 * What a host may do differently, in this one place. Everything else must be the same on every back end.
 *   - size, blocks and atime of directories, blksize, inode numbers, the text of cookies
 *   - nlink of directories: counts_dirs says whether subdirectories count
 *   - whether collapse and insert exist: -INLAY_ENOTSUP is taken as an answer (case) or they are left out (model)
 *   - where holes begin: cases and model use multiples of 64 KiB; the model asks for data, never for holes
 *   - a write past the last possible byte: INVAL, FBIG or OVERFLOW
 *   - the order of a listing
 *   - whether a write or fallocate that fails clears set-id bits all the same
 *   - flag bits outside the known ones, but for open's: the caller's to refuse
 */
struct contract {
	const struct contract_backend *backend;
	struct inlay_store *store;
	const struct inlay_store_ops *ops;
	struct inlay_store_node *root;
	bool users;       /* the store acts as other users: permission cases make sense */
	bool counts_dirs; /* a directory's nlink is 2 and its subdirectories */
	struct inlay_store_node *nodes[CONTRACT_HELD];
	struct inlay_store_file *files[CONTRACT_HELD];
	unsigned node_count, file_count;
	char path[64]; /* of the posix back end's directory */
};

struct contract_backend {
	const char *name;
	int (*open)(struct contract *c);
	void (*close)(struct contract *c);
};

extern const struct contract_backend contract_memory, contract_posix;

struct contract_case {
	const char *name;
	void (*run)(struct contract *c);
	bool users; /* skipped where the store can't act as others */
};

#define CONTRACT_CASE(fn) {#fn, fn, false}
#define CONTRACT_USERS(fn) {#fn, fn, true}

/* Each ends with an empty row. */
extern const struct contract_case contract_name_cases[], contract_data_cases[], contract_attr_cases[];

void contract_start(struct contract *c, const struct contract_backend *backend);
void contract_end(struct contract *c);

extern const struct inlay_cred sc_alice, sc_bob, sc_carol, sc_root; /* carol is in alice's group, by a supplementary one */

#define OK(call) assert_int_equal(call, 0)
#define IS(call, status) assert_int_equal(call, -INLAY_E##status)

/* Paths are relative to the root; every directory on the way is walked as the store itself, the last step as cred. */
int sc_find(struct contract *c, const struct inlay_cred *cred, const char *path, struct inlay_store_node **ret,
            struct inlay_attr *ret_attr);
/* Must exist. */
struct inlay_store_node *sc_node(struct contract *c, const char *path);
struct inlay_attr sc_stat(struct contract *c, const char *path);
bool sc_exists(struct contract *c, const char *path);
int sc_mkdir(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mode);
int sc_mknod(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mode, uint32_t minor);
int sc_symlink(struct contract *c, const struct inlay_cred *cred, const char *path, const char *target);
int sc_link(struct contract *c, const struct inlay_cred *cred, const char *from, const char *to);
int sc_unlink(struct contract *c, const struct inlay_cred *cred, const char *path);
int sc_rmdir(struct contract *c, const struct inlay_cred *cred, const char *path);
int sc_rename(struct contract *c, const struct inlay_cred *cred, const char *from, const char *to, uint32_t flags);
int sc_open(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t flags,
            struct inlay_store_file **ret);
int sc_create(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t flags, uint32_t mode,
              struct inlay_store_file **ret);
int sc_tmpfile(struct contract *c, const struct inlay_cred *cred, const char *dir, uint32_t flags, uint32_t mode,
               struct inlay_store_file **ret);
int sc_opendir(struct contract *c, const struct inlay_cred *cred, const char *path, struct inlay_store_file **ret);
int sc_setattr(struct contract *c, const struct inlay_cred *cred, const char *path,
               const struct inlay_store_attr_change *change);
int sc_chmod(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mode);
/* -1: leave. */
int sc_chown(struct contract *c, const struct inlay_cred *cred, const char *path, int64_t uid, int64_t gid);
int sc_truncate(struct contract *c, const struct inlay_cred *cred, const char *path, uint64_t size);
int sc_access(struct contract *c, const struct inlay_cred *cred, const char *path, uint32_t mask);
/* Creates a file with this text, 0666, as the store itself; must succeed. */
void sc_put(struct contract *c, const char *path, const char *text);
/* The file must hold exactly this text. */
void sc_check(struct contract *c, const char *path, const char *text);
int64_t sc_write(struct inlay_store_file *f, uint64_t off, const void *buf, size_t len);
int64_t sc_read(struct inlay_store_file *f, uint64_t off, void *buf, size_t len);
/* Drops one before the case ends. */
void sc_close(struct contract *c, struct inlay_store_file *f);
void sc_drop(struct contract *c, struct inlay_store_node *n);
void sc_drop_all(struct contract *c);

#endif

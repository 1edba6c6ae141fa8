/*
 * The estate's memory: a head, then tables of rows, each found by the low half of its number.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/redirect.
 */
#ifndef INLAY_REDIRECT_ESTATE_ROWS_H
#define INLAY_REDIRECT_ESTATE_ROWS_H

#include "base/limits.h"
#include "redirect/estate.h"
#include "wire/codec.h"

#include <stdatomic.h>

/* parent: its number in the table; 0: none. */
struct estate_place {
	uint64_t parent;
	uint8_t len;
	char name[INLAY_NAME_MAX];
};

struct estate_node {
	_Atomic uint64_t number; /* 0: none; written last */
	uint32_t type;
	_Atomic uint8_t has[2];
	uint8_t replaced, pad;
	uint64_t lookups, pins[2];
	struct inlay_node_id id[2];
	_Atomic uint32_t place;  /* which of the two holds */
	uint32_t pad2;
	struct estate_place at[2];
};

struct estate_file {
	_Atomic uint64_t number;
	uint64_t node; /* its number in the table */
	uint64_t handle, remote, token;
	uint64_t opening, closing; /* origins */
	_Atomic uint32_t marks;    /* enum inlay_file_mark */
	uint32_t flags;
	int32_t backing_id;
	uint8_t side, is_dir, has_cred, pad;
};

struct estate_lock {
	_Atomic uint64_t file; /* 0: free */
	uint64_t next;         /* while free: the next such row */
	struct inlay_lock_req lock;
};

struct estate_head {
	uint64_t magic;
	uint32_t node_size, file_size, cred_size, lock_size, client_size, lane_size; /* of rows: of another build they may differ */
	struct inlay_estate_caps caps;
	uint32_t life;           /* processes that had it */
	_Atomic uint32_t nodes, files, locks; /* rows ever used */
	_Atomic uint32_t client; /* 1 + which of the two holds; 0: none */
	struct inlay_client clients[2];
	struct inlay_lane_row lanes[INLAY_LANES_MAX];
	_Alignas(8) uint8_t host[INLAY_ESTATE_HOST];
};

struct inlay_estate {
	struct estate_head *head;
	struct estate_node *nodes;
	struct estate_file *files;
	struct inlay_cred *creds; /* of files; most are never touched */
	struct estate_lock *locks;
	uint32_t free_lock;       /* a row's number; 0: none */
};

#endif

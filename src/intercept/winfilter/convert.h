/*
 * Times, attributes and access of Windows, to the protocol's and back. Pure functions.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_INTERCEPT_WINFILTER_CONVERT_H
#define INLAY_INTERCEPT_WINFILTER_CONVERT_H

#include "ring/abi.h"
#include "wire/types.h"

#include <stdbool.h>
#include <stdint.h>

/* Numbers of Windows' interface, named as ours. */
enum inlay_win_attribute {
	INLAY_WIN_READONLY = 0x01,
	INLAY_WIN_DIRECTORY = 0x10,
	INLAY_WIN_ARCHIVE = 0x20,
	INLAY_WIN_NORMAL = 0x80,
};
enum inlay_win_disposition { INLAY_WIN_SUPERSEDE, INLAY_WIN_OPEN, INLAY_WIN_CREATE, INLAY_WIN_OPEN_IF, INLAY_WIN_OVERWRITE,
	INLAY_WIN_OVERWRITE_IF };
enum inlay_win_option { INLAY_WIN_DIRECTORY_FILE = 0x01, INLAY_WIN_NON_DIRECTORY_FILE = 0x40 };

/* 100 ns since 1601, never below 0 nor, going back, out of what 64 bits of seconds hold. */
int64_t inlay_win_time_from(const struct inlay_time *t);
struct inlay_time inlay_win_time_to(int64_t ticks);

/* What programs see of a file. Sizes that Windows can't hold are the largest that it can. */
void inlay_win_attr_from(const struct inlay_attr *a, struct inlay_ring_attr *ret);

/* The mode after a program has set these attributes: read-only is a mode without w, not being so has the owner's w. */
uint32_t inlay_win_mode_with(uint32_t mode, uint32_t attributes);

/* How a file is to be opened on the server. */
enum inlay_win_access {
	INLAY_WIN_ACCESS_NONE = 0,  /* attributes, deletion and the like: no handle is needed */
	INLAY_WIN_ACCESS_READ = 1,
	INLAY_WIN_ACCESS_WRITE = 2,
	INLAY_WIN_ACCESS_MOST = 4,  /* MAXIMUM_ALLOWED: what there is */
};
/* A set of the above, of a desired access mask. */
unsigned inlay_win_access_of(uint32_t desired);
/* The disposition makes the file when it is not there; changes its data when it is. */
bool inlay_win_makes(uint32_t disposition);
bool inlay_win_overwrites(uint32_t disposition);

#endif

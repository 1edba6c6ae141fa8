/*
 * Times, attributes and access.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/convert.h"

#include <string.h>

#define EPOCH INT64_C(11644473600) /* seconds from 1601 to 1970 */
#define TICKS INT64_C(10000000)    /* a second's */

#define TYPE_MASK 0170000u
#define TYPE_DIR 0040000u
#define MODE_W 0222u
#define MODE_OWNER_W 0200u

int64_t inlay_win_time_from(const struct inlay_time *t)
{
	int64_t least = -EPOCH, most = INT64_MAX / TICKS - EPOCH - 1;

	if (t->sec < least)
		return 0;
	if (t->sec > most)
		return INT64_MAX;
	return (t->sec + EPOCH) * TICKS + t->nsec / 100;
}

struct inlay_time inlay_win_time_to(int64_t ticks)
{
	if (ticks < 0)
		ticks = 0;
	return (struct inlay_time){.sec = ticks / TICKS - EPOCH, .nsec = (uint32_t)(ticks % TICKS) * 100};
}

static uint64_t size_from(uint64_t size)
{
	return size < (uint64_t)INT64_MAX ? size : (uint64_t)INT64_MAX;
}

void inlay_win_attr_from(const struct inlay_attr *a, struct inlay_ring_attr *ret)
{
	bool dir = (a->mode & TYPE_MASK) == TYPE_DIR;

	memset(ret, 0, sizeof *ret);
	if (!dir) {
		ret->size = size_from(a->size);
		ret->allocation = a->blocks < (uint64_t)INT64_MAX / 512 ? a->blocks * 512 : (uint64_t)INT64_MAX;
	}
	ret->created = inlay_win_time_from(&a->btime);
	ret->accessed = inlay_win_time_from(&a->atime);
	ret->written = inlay_win_time_from(&a->mtime);
	ret->changed = inlay_win_time_from(&a->ctime);
	/* A file system that knows no birth says 1970 or nothing: the oldest that is known is nearer. */
	if (a->btime.sec <= 0)
		ret->created = ret->written < ret->changed ? ret->written : ret->changed;
	ret->index = a->ino;
	ret->links = a->nlink;
	ret->attributes = dir ? INLAY_WIN_DIRECTORY : INLAY_WIN_ARCHIVE;
	/* On a directory Windows' read-only attribute doesn't mean what a mode without w does. */
	if (!dir && !(a->mode & MODE_W))
		ret->attributes |= INLAY_WIN_READONLY;
}

uint32_t inlay_win_mode_with(uint32_t mode, uint32_t attributes)
{
	uint32_t bits = mode & 07777;

	if ((mode & TYPE_MASK) == TYPE_DIR)
		return bits;
	if (attributes & INLAY_WIN_READONLY)
		return bits & ~MODE_W;
	return bits & MODE_W ? bits : bits | MODE_OWNER_W;
}

/* ---- access ---- */

#define READ_DATA 0x00000001u
#define WRITE_DATA 0x00000002u
#define APPEND_DATA 0x00000004u
#define EXECUTE 0x00000020u
#define MAXIMUM_ALLOWED 0x02000000u
#define GENERIC_ALL 0x10000000u
#define GENERIC_EXECUTE 0x20000000u
#define GENERIC_WRITE 0x40000000u
#define GENERIC_READ 0x80000000u

unsigned inlay_win_access_of(uint32_t desired)
{
	unsigned access = INLAY_WIN_ACCESS_NONE;

	if (desired & (READ_DATA | EXECUTE | GENERIC_READ | GENERIC_EXECUTE | GENERIC_ALL))
		access |= INLAY_WIN_ACCESS_READ;
	if (desired & (WRITE_DATA | APPEND_DATA | GENERIC_WRITE | GENERIC_ALL))
		access |= INLAY_WIN_ACCESS_WRITE;
	if (desired & MAXIMUM_ALLOWED)
		access |= INLAY_WIN_ACCESS_MOST;
	return access;
}

bool inlay_win_makes(uint32_t disposition)
{
	return disposition != INLAY_WIN_OPEN && disposition != INLAY_WIN_OVERWRITE;
}

bool inlay_win_overwrites(uint32_t disposition)
{
	return disposition == INLAY_WIN_SUPERSEDE || disposition == INLAY_WIN_OVERWRITE ||
	       disposition == INLAY_WIN_OVERWRITE_IF;
}

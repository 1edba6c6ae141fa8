/*
 * Pages of 4 KiB by number, for the data of sparse files and for caches. Not locked.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_SIM_PAGES_H
#define INLAY_SIM_PAGES_H

#include "host.h"

#define SIM_PAGE 4096u

struct sim_page {
	struct sim_page *next; /* in its bucket */
	ULONGLONG number;
	bool dirty, busy;      /* caches: must be written; being read or written now */
	UCHAR bytes[SIM_PAGE];
};

struct sim_pages {
	struct sim_page **buckets;
	ULONG bucket_count; /* a power of two, or 0 */
	ULONG count;
};

struct sim_page *sim_pages_find(const struct sim_pages *pages, ULONGLONG number);
/* Finds or makes it, zeroed; NULL: no memory. */
struct sim_page *sim_pages_get(struct sim_pages *pages, ULONGLONG number);
/* Drops the pages from < to. Returns how many. */
ULONG sim_pages_drop(struct sim_pages *pages, ULONGLONG from, ULONGLONG to);
/* The page with the lowest number >= from; NULL: none. Linear in what is there. */
struct sim_page *sim_pages_next(const struct sim_pages *pages, ULONGLONG from);
void sim_pages_done(struct sim_pages *pages);

/* Bytes of a sparse file: where no page is, zeros. */
void sim_pages_read(const struct sim_pages *pages, ULONGLONG offset, void *buffer, ULONG length);
bool sim_pages_write(struct sim_pages *pages, ULONGLONG offset, const void *buffer, ULONG length);
/* Zeroes a range; whole pages in it are dropped. */
void sim_pages_zero(struct sim_pages *pages, ULONGLONG offset, ULONGLONG length);

#endif

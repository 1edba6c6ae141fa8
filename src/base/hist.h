/*
 * Latency histogram: log-linear buckets (16 per power of two), fixed size, updated without locks by one thread.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_HIST_H
#define INLAY_BASE_HIST_H

#include <stdint.h>

#define INLAY_HIST_BUCKETS 640 /* covers 1 ns to 2^43 ns (2.4 hours) within 6.3 % */

struct inlay_hist {
	uint64_t count;
	uint64_t bucket[INLAY_HIST_BUCKETS];
};

void inlay_hist_add(struct inlay_hist *h, uint64_t ns);
/* Adds src to dst; src may be in use by its own thread (the sum is then a moment's picture). */
void inlay_hist_merge(struct inlay_hist *dst, const struct inlay_hist *src);
/* The upper edge in ns of the bucket that holds the permille-th value (500 = median); 0 when empty. */
uint64_t inlay_hist_permille(const struct inlay_hist *h, unsigned permille);

#endif

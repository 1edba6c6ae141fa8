/*
 * The latency histogram: below 16 ns a bucket per value, above it 16 buckets per power of two.
 * One thread writes, others may read: the words are atomic, never locked, and a reader's sum is a moment's picture.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/hist.h"

#define SUB_BITS 4u
#define SUBS (1u << SUB_BITS)

_Static_assert(INLAY_HIST_BUCKETS % SUBS == 0, "whole powers of two");

static unsigned bucket_of(uint64_t ns)
{
	unsigned power, bucket;

	if (ns < SUBS)
		return (unsigned)ns;
	power = 63u - (unsigned)__builtin_clzll(ns);
	bucket = (power - SUB_BITS + 1) * SUBS + (unsigned)(ns >> (power - SUB_BITS) & (SUBS - 1));
	return bucket < INLAY_HIST_BUCKETS ? bucket : INLAY_HIST_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned bucket)
{
	if (bucket < SUBS)
		return bucket;
	return (((uint64_t)SUBS + bucket % SUBS + 1) << (bucket / SUBS - 1)) - 1;
}

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Not a read-modify-write: there is one writer, and a plain add is cheaper. */
static void add(uint64_t *word, uint64_t n)
{
	__atomic_store_n(word, load(word) + n, __ATOMIC_RELAXED);
}

void inlay_hist_add(struct inlay_hist *h, uint64_t ns)
{
	add(&h->bucket[bucket_of(ns)], 1);
	add(&h->count, 1);
}

void inlay_hist_merge(struct inlay_hist *dst, const struct inlay_hist *src)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < INLAY_HIST_BUCKETS; i++) {
		uint64_t n = load(&src->bucket[i]);

		add(&dst->bucket[i], n);
		sum += n;
	}
	/* The sum of what was read, not src->count, which may have moved on: the two must agree in dst. */
	add(&dst->count, sum);
}

uint64_t inlay_hist_permille(const struct inlay_hist *h, unsigned permille)
{
	uint64_t total = load(&h->count), seen = 0, rank;
	unsigned last = 0;

	if (!total)
		return 0;
	if (permille > 1000)
		permille = 1000;
	/* ceil(total * permille / 1000), without the overflow. */
	rank = total / 1000 * permille + (total % 1000 * permille + 999) / 1000;
	if (!rank)
		rank = 1;
	for (unsigned i = 0; i < INLAY_HIST_BUCKETS; i++) {
		uint64_t n = load(&h->bucket[i]);

		seen += n;
		if (n)
			last = i;
		if (seen >= rank)
			break;
	}
	return upper_edge(last);
}

/*
 * The few atomic operations that the ring's algorithm is made of, in a header of their own so that a test can put a model of a
 * machine beneath the algorithm and try every interleaving.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The _sc ones are sequentially consistent, and not fences, since the thread sanitizer understands the one and not the other.
 */
#ifndef INLAY_RING_ATOMIC_H
#define INLAY_RING_ATOMIC_H

#include <stdint.h>

static inline uint32_t inlay_ring_load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void inlay_ring_store(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline uint32_t inlay_ring_load_sc(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void inlay_ring_store_sc(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t inlay_ring_swap_sc(uint32_t *p, uint32_t value)
{
	return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}

#endif

/*
 * The monotonic clock.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_CLOCK_H
#define INLAY_OS_CLOCK_H

#include <stdint.h>

/* Nanoseconds since some moment before this process began. Any thread. */
uint64_t inlay_clock_ns(void);

#endif

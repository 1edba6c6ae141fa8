/*
 * The monotonic clock, by POSIX: on Windows its thread library has it (from the performance counter).
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/clock.h"

#include <time.h>

uint64_t inlay_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * The commands' clock.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/clock.h"

#include <time.h>

uint64_t inlay_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void inlay_sleep_ms(unsigned ms)
{
	struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000L};

	nanosleep(&left, NULL);
}

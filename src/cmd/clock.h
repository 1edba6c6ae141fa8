/*
 * The commands' clock.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_CLOCK_H
#define INLAY_CMD_CLOCK_H

#include <stdint.h>

/* Monotonic. */
uint64_t inlay_clock_ms(void);
void inlay_sleep_ms(unsigned ms);

#endif

/*
 * Randomness that nobody can guess.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_RANDOM_H
#define INLAY_OS_RANDOM_H

#include <stddef.h>

/* Fills len <= 256 bytes. 0, or -INLAY_EIO: the host has none. Any thread. */
int inlay_random(void *bytes, size_t len) __attribute__((warn_unused_result));

#endif

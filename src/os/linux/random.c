/*
 * Randomness on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/random.h"

#include "base/status.h"

#include <sys/random.h>
#include <sys/types.h>

int inlay_random(void *bytes, size_t len)
{
	return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : -INLAY_EIO;
}

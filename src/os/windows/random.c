/*
 * Randomness on Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/random.h"

#include "base/status.h"

#include <windows.h>
#include <bcrypt.h>

int inlay_random(void *bytes, size_t len)
{
	return BCryptGenRandom(NULL, bytes, (ULONG)len, BCRYPT_USE_SYSTEM_PREFERRED_RNG) >= 0 ? 0 : -INLAY_EIO;
}

/*
 * Cores on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/cores.h"

#include <unistd.h>

unsigned inlay_cores(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 1 ? 1 : (unsigned)cores;
}

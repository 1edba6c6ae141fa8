/*
 * Cores on Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/cores.h"

#include <windows.h>

unsigned inlay_cores(void)
{
	DWORD cores = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);

	return cores < 1 ? 1 : (unsigned)cores;
}

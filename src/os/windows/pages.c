/*
 * Pages on Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/pages.h"

#include <windows.h>

void *inlay_pages_new(size_t len)
{
	return VirtualAlloc(NULL, len, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void inlay_pages_free(void *mem, size_t len)
{
	(void)len;
	VirtualFree(mem, 0, MEM_RELEASE);
}

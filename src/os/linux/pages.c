/*
 * Pages on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/pages.h"

#include <sys/mman.h>

void *inlay_pages_new(size_t len)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

void inlay_pages_free(void *mem, size_t len)
{
	munmap(mem, len);
}

/*
 * Memory in whole pages, straight from the host: what is freed goes back to it, and pages cost nothing until they are touched.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_PAGES_H
#define INLAY_OS_PAGES_H

#include <stddef.h>

/* Zeroed, page-aligned; NULL when out of memory. Any thread. */
void *inlay_pages_new(size_t len);
void inlay_pages_free(void *mem, size_t len);

#endif

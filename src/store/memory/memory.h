/*
 * What tests and simulations may set on the in-memory store, beside what store/store.h offers every user of it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_STORE_MEMORY_MEMORY_H
#define INLAY_STORE_MEMORY_MEMORY_H

#include "store/store.h"

/*
 * Where times come from. The default is a logical clock that starts at 10^9 s and adds a microsecond whenever it is
 * asked, so that runs repeat exactly. now is called with the store locked: it must not call the store. NULL: default.
 */
void inlay_memory_set_clock(struct inlay_store *s, struct inlay_time (*now)(void *arg), void *arg);

/*
 * Bytes of data (in steps of 64 KiB, the size of a chunk) and number of files that the store takes; past either,
 * -INLAY_ENOSPC. May be set below what is in use: then nothing new fits. Default: 64 GiB, 2^20 files.
 */
void inlay_memory_set_capacity(struct inlay_store *s, uint64_t bytes, uint64_t files);

#endif

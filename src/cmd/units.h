/*
 * Quantities as people read them, each in few columns.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_UNITS_H
#define INLAY_CMD_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define INLAY_UNIT_TEXT 32

/* "999 B", "1.5 KiB", "12.0 MiB", "999 GiB". All return buf. */
const char *inlay_bytes_text(uint64_t bytes, char buf[INLAY_UNIT_TEXT]);
/* "850 ns", "12.3 us", "4.56 ms", "12.3 s". */
const char *inlay_latency_text(uint64_t ns, char buf[INLAY_UNIT_TEXT]);
/* "12 s", "3 min 20 s", "2 h 5 min", "4 d 3 h". */
const char *inlay_duration_text(uint64_t ms, char buf[INLAY_UNIT_TEXT]);

#endif

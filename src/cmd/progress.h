/*
 * A progress bar on a terminal: name, per cent, rate, time left. Nothing anywhere else.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_PROGRESS_H
#define INLAY_CMD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inlay_progress {
	bool on; /* stderr is a terminal */
	const char *name;
	uint64_t total, begin_ms, drawn_ms;
	unsigned width; /* columns drawn */
};

/* name: kept, not copied. total: bytes; 0 when unknown. */
void inlay_progress_begin(struct inlay_progress *p, const char *name, uint64_t total);
/* done: bytes so far. Draws at most ten times a second. */
void inlay_progress_update(struct inlay_progress *p, uint64_t done);
/* Removes the bar. */
void inlay_progress_end(struct inlay_progress *p);

/*
 * The line, without a line end, in at most columns columns (40 at least): the name is cut first. Returns buf.
 *   disk.img  [############        ]  60 %  812 MB/s  0:12 left
 */
const char *inlay_progress_line(const char *name, uint64_t done, uint64_t total, uint64_t elapsed_ms, unsigned columns,
	char *buf, size_t size);

#endif

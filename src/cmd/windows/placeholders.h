/*
 * Placeholders on NTFS: what the filter's user side asks for (winfilter.h), by native calls on the filter directory's handle.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Files: sparse, no data, the remote size. Directories: as they are. Both with the mark, an extended attribute. The filter
 * directory itself carries a mark while it is attached, so that what a process left that died is found again.
 */
#ifndef INLAY_CMD_WINDOWS_PLACEHOLDERS_H
#define INLAY_CMD_WINDOWS_PLACEHOLDERS_H

#include "intercept/winfilter/winfilter.h"

#include <stdbool.h>
#include <stdint.h>

/* The `arg` of the operations. Any thread. */
struct inlay_placeholders {
	void *root;                    /* handle of the filter directory; the attachment's */
	struct inlay_uuid attachment;
};

extern const struct inlay_placeholders_ops inlay_placeholders_ops;

/* What clearing found so far. Counters are written by the thread that clears, read by any. */
struct inlay_clearing {
	_Atomic uint64_t looked, removed; /* files and directories */
	uint64_t busy;                    /* that programs hold: left */
	int failed;                       /* the first other failure, or 0 */
	char where[1024];                 /* the first that is left, relative; "" for none */
	_Atomic bool stop;                /* set by others: enough */
};

/*
 * Removes every placeholder beneath the directory, of whatever attachment; nothing else is touched, and no link is
 * followed. The directory's own mark stays. Zero *c before. 0; -INLAY_EBUSY when some are held; or a status.
 */
int inlay_placeholders_clear(const struct inlay_placeholders *p, struct inlay_clearing *c);

/* The directory's own mark: 1 and whose, 0: none. */
int inlay_placeholders_root_mark(const struct inlay_placeholders *p, struct inlay_uuid *ret);
/* Sets (its own attachment's) or takes away. -INLAY_ENOTSUP: the volume knows no extended attributes. */
int inlay_placeholders_set_root_mark(const struct inlay_placeholders *p, bool on);

#endif

/*
 * Placeholders on the simulated volume: what inlay.exe's src/cmd/windows/placeholders.c is on NTFS.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_WHOLE_PLACEHOLDERS_H
#define INLAY_WHOLE_PLACEHOLDERS_H

#include "intercept/winfilter/winfilter.h"

#include "sim.h"

/* The `arg` of the operations. */
struct whole_placeholders {
	struct sim_volume *volume;
	const WCHAR *root; /* the filter directory, "\real" */
	ULONG process;     /* the redirector's: the driver lets its opens pass */
	struct inlay_uuid attachment;
};

extern const struct inlay_placeholders_ops whole_placeholders_ops;

#endif

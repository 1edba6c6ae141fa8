/*
 * The control device of ring/control.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_CONTROL_H
#define INLAY_DRIVER_CONTROL_H

#include "fltkernel.h"

#include <stdbool.h>

/* filter: to attach to volumes with; must stay until inlay_control_stop. IRQL: PASSIVE_LEVEL. */
NTSTATUS inlay_control_start(PDRIVER_OBJECT driver, PFLT_FILTER filter);
/* No new handles, and nothing new through those that are open. IRQL: PASSIVE_LEVEL. */
void inlay_control_stop(void);
/* After that: forgets the handles that are open still. The device goes as soon as none is. IRQL: PASSIVE_LEVEL. */
void inlay_control_delete(void);

/*
 * Whether a process has the device open: what a redirector that has gone left, it sees as NTFS has it, marks included, and may
 * clear away. IRQL: APC_LEVEL.
 */
bool inlay_control_is_redirector(ULONG process);

#endif

/*
 * The one kernel function that the driver needs and that raises an exception instead of answering a status.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_GUARD_H
#define INLAY_DRIVER_GUARD_H

#include <ntifs.h>

/* MmProbeAndLockPages of kernel addresses, for reading and writing. STATUS_INVALID_USER_BUFFER: it raised. IRQL: APC_LEVEL. */
NTSTATUS inlay_guard_lock_pages(PMDL mdl);

#endif

/*
 * Included before everything in the simulation's files when they are built for Wine: header functions of the kernel that read
 * processor state a driver host does not have.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_COMPAT_H
#define INLAY_COMPAT_H

#include <ntifs.h>

PKTHREAD glue_thread(void);   /* host.c */
KIRQL sim_host_irql(void);

#define KeGetCurrentThread glue_thread
#define KeGetCurrentIrql sim_host_irql

/* wait.c */
KIRQL NTAPI poly_KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock);
VOID NTAPI poly_KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL irql);
#define KeAcquireSpinLockRaiseToDpc poly_KeAcquireSpinLockRaiseToDpc
#define KeReleaseSpinLock poly_KeReleaseSpinLock

/* What the simulation has of the kernel's own, for filters only: declared as imports there. */
#define CcFlushCache poly_CcFlushCache
#define CcPurgeCacheSection poly_CcPurgeCacheSection
#define MmCanFileBeTruncated poly_MmCanFileBeTruncated
#define MmCanFileBeTruncated poly_MmCanFileBeTruncated

#endif

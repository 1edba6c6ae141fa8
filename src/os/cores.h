/*
 * The machine's cores.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_CORES_H
#define INLAY_OS_CORES_H

/* How many there are to run on, 1 at least. Any thread. */
unsigned inlay_cores(void);

#endif

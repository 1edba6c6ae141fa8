/*
 * The part of the kernel's declarations that the driver and the simulation need, for compiling them natively on Linux.
 * Sizes and offsets are those of Windows on x86_64. Own words, from the public documentation.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_NTIFS_H
#define INLAY_NATIVE_NTIFS_H

#include "nt/types.h"
#include "nt/status.h"
#include "nt/objects.h"
#include "nt/file.h"
#include "nt/functions.h"

#endif

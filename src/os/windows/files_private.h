/*
 * What files.c and descriptors.c of this folder share.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_WINDOWS_FILES_PRIVATE_H
#define INLAY_OS_WINDOWS_FILES_PRIVATE_H

#include "wire/types.h"

#include <windows.h>

HANDLE inlay_fd_handle(int fd);
/* As inlay_fd_set. 0 or a status. */
int inlay_handle_set(HANDLE h, uint32_t what, const struct inlay_attr *attr);

#endif

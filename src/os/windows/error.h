/*
 * Errors of Win32 and Winsock to statuses.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_WINDOWS_ERROR_H
#define INLAY_OS_WINDOWS_ERROR_H

/*
 * The NEGATIVE status for what GetLastError() or WSAGetLastError() said (their numbers don't overlap); one without a row
 * gives -INLAY_EUNKNOWN. Any thread.
 */
int inlay_status_from_win32(unsigned long error);

#endif

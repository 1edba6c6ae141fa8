/*
 * Privileges of this process.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_PRIVILEGES_H
#define INLAY_CMD_WINDOWS_PRIVILEGES_H

#include <stdbool.h>

/*
 * Enables those that administrators and the system hold but don't use by themselves: backup and restore (placeholders are made wherever a
 * program may look, and carry the owners they should), loading drivers. What isn't held is left out.
 */
void inlay_privileges_enable(void);
/* Administrators, elevated, and the system. */
bool inlay_privileges_are_admin(void);

#endif

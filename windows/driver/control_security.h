/*
 * Who may open the control device.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_CONTROL_SECURITY_H
#define INLAY_DRIVER_CONTROL_SECURITY_H

#include <ntifs.h>

/* Gives the device a security descriptor: the system and administrators, nobody else. IRQL: PASSIVE_LEVEL. */
NTSTATUS inlay_control_secure(PDEVICE_OBJECT device);

#endif

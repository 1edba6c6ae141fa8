/*
 * The test-only fltmgr.sys: loads before the filter, brings up the simulated drive.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "glue.h"

DRIVER_INITIALIZE DriverEntry;

static void NTAPI unload(PDRIVER_OBJECT driver)
{
	(void)driver;
	glue_patch_stop();
	glue_jobs_stop();
	glue_drive_free();
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
	NTSTATUS status;

	(void)path;
	status = glue_jobs_start();
	if (!NT_SUCCESS(status))
		return status;
	status = glue_drive_new(driver);
	if (NT_SUCCESS(status)) {
		status = glue_patch_start(driver);
		if (NT_SUCCESS(status)) {
			driver->DriverUnload = unload;
			return status;
		}
		glue_drive_free();
	}
	glue_jobs_stop();
	return status;
}

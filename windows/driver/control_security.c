/*
 * The control device's security descriptor, D:P(A;;FA;;;SY)(A;;FA;;;BA), written out. Microsoft's IoCreateDeviceSecure is a library
 * that is linked into drivers, and mingw has none; a device that isn't Plug and Play can't take it from the INF either.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "control_security.h"

#define ACCESS_ALL 0x001f01ff /* FILE_ALL_ACCESS */
#define CONTROL_DACL 0x9004   /* self-relative, DACL present, protected */

struct sid1 {
	UCHAR revision, count, authority[6];
	ULONG sub;
};

struct sid2 {
	UCHAR revision, count, authority[6];
	ULONG sub[2];
};

struct descriptor {
	UCHAR revision, sbz;
	USHORT control;
	ULONG owner, group, sacl, dacl; /* offsets; 0 = none */
	struct {
		UCHAR revision, sbz;
		USHORT size, count, sbz2;
	} acl;
	struct {
		UCHAR type, flags;
		USHORT size;
		ULONG mask;
		struct sid1 sid;
	} system;
	struct {
		UCHAR type, flags;
		USHORT size;
		ULONG mask;
		struct sid2 sid;
	} administrators;
};

_Static_assert(sizeof(struct descriptor) == 20 + 8 + 20 + 24, "no padding");

/* IRQL: PASSIVE_LEVEL */
NTSTATUS inlay_control_secure(PDEVICE_OBJECT device)
{
	struct descriptor d = {
		.revision = 1,
		.control = CONTROL_DACL,
		.dacl = offsetof(struct descriptor, acl),
		.acl = {.revision = 2, .size = sizeof(d.acl) + sizeof(d.system) + sizeof(d.administrators), .count = 2},
		.system = {.size = sizeof(d.system), .mask = ACCESS_ALL,
			   .sid = {.revision = 1, .count = 1, .authority = {0, 0, 0, 0, 0, 5}, .sub = 18}}, /* S-1-5-18 */
		.administrators = {.size = sizeof(d.administrators), .mask = ACCESS_ALL,
				   .sid = {.revision = 1, .count = 2, .authority = {0, 0, 0, 0, 0, 5}, .sub = {32, 544}}}, /* S-1-5-32-544 */
	};
	HANDLE handle;
	NTSTATUS status;

	status = ObOpenObjectByPointer(device, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &handle);
	if (!NT_SUCCESS(status))
		return status;
	status = ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION, (PSECURITY_DESCRIPTOR)&d);
	(void)ZwClose(handle);
	return status;
}

/*
 * The library injected into test programs: ntdll's file functions lead here, and for the simulated drive to fltmgr.sys.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_HOOK_H
#define INLAY_HOOK_H

#include <stdbool.h>
#define WIN32_NO_STATUS
#include <windows.h>
#include <winternl.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>

#include "../drive.h"

/* Every function that is replaced: result, name, parameters. real.NAME calls what was there before. */
#define HOOK_FUNCTIONS(_) \
	_(NtCreateFile, (HANDLE * ret, ACCESS_MASK access, OBJECT_ATTRIBUTES * attr, IO_STATUS_BLOCK * io, LARGE_INTEGER * allocation, \
		ULONG attributes, ULONG share, ULONG disposition, ULONG options, void *ea, ULONG ea_length)) \
	_(NtOpenFile, (HANDLE * ret, ACCESS_MASK access, OBJECT_ATTRIBUTES * attr, IO_STATUS_BLOCK * io, ULONG share, ULONG options)) \
	_(NtClose, (HANDLE handle)) \
	_(NtReadFile, (HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, void *buffer, \
		ULONG length, LARGE_INTEGER *offset, ULONG *key)) \
	_(NtWriteFile, (HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, const void *buffer, \
		ULONG length, LARGE_INTEGER *offset, ULONG *key)) \
	_(NtQueryInformationFile, (HANDLE handle, IO_STATUS_BLOCK * io, void *buffer, ULONG length, ULONG class)) \
	_(NtSetInformationFile, (HANDLE handle, IO_STATUS_BLOCK * io, void *buffer, ULONG length, ULONG class)) \
	_(NtQueryDirectoryFile, (HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, void *buffer, \
		ULONG length, ULONG class, BOOLEAN single, UNICODE_STRING *pattern, BOOLEAN restart)) \
	_(NtQueryAttributesFile, (const OBJECT_ATTRIBUTES *attr, void *ret)) \
	_(NtQueryFullAttributesFile, (const OBJECT_ATTRIBUTES *attr, void *ret)) \
	_(NtDeleteFile, (OBJECT_ATTRIBUTES * attr)) \
	_(NtLockFile, (HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, LARGE_INTEGER *offset, \
		LARGE_INTEGER *size, ULONG *key, BOOLEAN dont_wait, BOOLEAN exclusive)) \
	_(NtUnlockFile, (HANDLE handle, IO_STATUS_BLOCK * io, LARGE_INTEGER * offset, LARGE_INTEGER * size, ULONG * key)) \
	_(NtQueryVolumeInformationFile, (HANDLE handle, IO_STATUS_BLOCK * io, void *buffer, ULONG length, ULONG class)) \
	_(NtFsControlFile, (HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, ULONG code, \
		void *in, ULONG in_length, void *out, ULONG out_length)) \
	_(NtNotifyChangeDirectoryFile, (HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, \
		void *buffer, ULONG length, ULONG filter, BOOLEAN tree)) \
	_(NtQueryEaFile, (HANDLE handle, IO_STATUS_BLOCK * io, void *buffer, ULONG length, BOOLEAN single, void *list, \
		ULONG list_length, ULONG *index, BOOLEAN restart)) \
	_(NtSetEaFile, (HANDLE handle, IO_STATUS_BLOCK * io, void *buffer, ULONG length)) \
	_(NtQuerySecurityObject, (HANDLE handle, ULONG what, void *buffer, ULONG length, ULONG *ret_length)) \
	_(NtQueryObject, (HANDLE handle, ULONG class, void *buffer, ULONG length, ULONG *ret_length)) \
	_(NtDuplicateObject, (HANDLE source, HANDLE handle, HANDLE target, HANDLE * ret, ACCESS_MASK access, ULONG attributes, \
		ULONG options)) \
	_(NtCreateSection, (HANDLE * ret, ACCESS_MASK access, OBJECT_ATTRIBUTES * attr, const LARGE_INTEGER *size, ULONG protect, \
		ULONG flags, HANDLE file)) \
	_(NtCreateUserProcess, (HANDLE * ret_process, HANDLE * ret_thread, ACCESS_MASK process_access, ACCESS_MASK thread_access, \
		OBJECT_ATTRIBUTES * process_attr, OBJECT_ATTRIBUTES * thread_attr, ULONG process_flags, ULONG thread_flags, \
		RTL_USER_PROCESS_PARAMETERS * parameters, void *info, void *list))

struct hook_real {
#define HOOK_MEMBER(name, parameters) NTSTATUS(NTAPI *name) parameters;
	HOOK_FUNCTIONS(HOOK_MEMBER)
#undef HOOK_MEMBER
};
extern struct hook_real real;

#define HOOK_DECLARE(name, parameters) NTSTATUS NTAPI hook_##name parameters;
HOOK_FUNCTIONS(HOOK_DECLARE)
#undef HOOK_DECLARE

/* calls.c of the hook: one call to the drive; answer may be NULL. Waits. Returns the operation's status; *io is set as by ntdll. */
NTSTATUS hook_call(HANDLE handle, struct drive_call *call, const void *data, const void *extra, void *answer, ULONG room,
	IO_STATUS_BLOCK *io);
void hook_call_fill(struct drive_call *call, ULONG kind);

/* Which handles of this process are the drive's. */
bool hook_is_ours(HANDLE handle);
void hook_mark(HANDLE handle, bool ours);
ULONGLONG hook_number(HANDLE handle); /* to give as `related`; ~0: it has none */
void hook_adopt_inherited(void);
void hook_close_all(void); /* cleanup of what is left at the process's end */

/* The path on the drive, from its root ("\dir"): true when the name is the drive's. */
bool hook_path(const UNICODE_STRING *name, UNICODE_STRING *ret_path);

/* inject.c, of the launcher too: loads the library of that path into a process that has not begun yet. */
bool hook_inject(HANDLE process, const WCHAR *library);

#endif

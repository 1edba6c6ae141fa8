/*
 * The native calls of Windows that placeholders need, as Microsoft documents them for drivers; mingw-w64 declares only some
 * of them for programs.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_NT_H
#define INLAY_CMD_WINDOWS_NT_H

#ifdef _WIN32

#include <stddef.h>
#include <stdint.h>
#include <windows.h>
#include <winternl.h>
#include <winioctl.h>

#define NT_STATUS(code) ((NTSTATUS)(code))
#define NT_NO_MORE_FILES NT_STATUS(0x80000006)
#define NT_NO_MORE_EAS NT_STATUS(0x80000012)
#define NT_BUFFER_OVERFLOW NT_STATUS(0x80000005)
#define NT_NOT_IMPLEMENTED NT_STATUS(0xC0000002)
#define NT_INVALID_INFO_CLASS NT_STATUS(0xC0000003)
#define NT_INVALID_PARAMETER NT_STATUS(0xC000000D)
#define NT_NO_SUCH_FILE NT_STATUS(0xC000000F)
#define NT_INVALID_DEVICE_REQUEST NT_STATUS(0xC0000010)
#define NT_ACCESS_DENIED NT_STATUS(0xC0000022)
#define NT_OBJECT_NAME_INVALID NT_STATUS(0xC0000033)
#define NT_OBJECT_NAME_NOT_FOUND NT_STATUS(0xC0000034)
#define NT_OBJECT_NAME_COLLISION NT_STATUS(0xC0000035)
#define NT_OBJECT_PATH_NOT_FOUND NT_STATUS(0xC000003A)
#define NT_SHARING_VIOLATION NT_STATUS(0xC0000043)
#define NT_EAS_NOT_SUPPORTED NT_STATUS(0xC000004F)
#define NT_NONEXISTENT_EA_ENTRY NT_STATUS(0xC0000051)
#define NT_NO_EAS_ON_FILE NT_STATUS(0xC0000052)
#define NT_DELETE_PENDING NT_STATUS(0xC0000056)
#define NT_FILE_IS_A_DIRECTORY NT_STATUS(0xC00000BA)
#define NT_NOT_SUPPORTED NT_STATUS(0xC00000BB)
#define NT_DIRECTORY_NOT_EMPTY NT_STATUS(0xC0000101)
#define NT_NOT_A_DIRECTORY NT_STATUS(0xC0000103)
#define NT_CANNOT_DELETE NT_STATUS(0xC0000121)
#define NT_REPARSE_POINT_ENCOUNTERED NT_STATUS(0xC000050B)

#define NT_DONT_REPARSE 0x1000u /* of OBJECT_ATTRIBUTES; Windows 10 1607 */

/* Classes of information, by number: mingw-w64 has only some. */
enum nt_class {
	NT_BASIC = 4,
	NT_STANDARD = 5,
	NT_INTERNAL = 6,
	NT_EA = 7,
	NT_NAME = 9,
	NT_RENAME = 10,
	NT_DISPOSITION = 13,
	NT_END_OF_FILE = 20,
	NT_NETWORK_OPEN = 34,
	NT_ID_FULL_DIRECTORY = 38,
	NT_NORMALIZED_NAME = 48,
	NT_DISPOSITION_EX = 64, /* Windows 10 1607 */
};

#define NT_DISPOSE_DELETE 1u
#define NT_DISPOSE_POSIX 2u
#define NT_DISPOSE_IGNORE_READONLY 16u

struct nt_basic {
	LARGE_INTEGER created, accessed, written, changed;
	ULONG attributes;
};

struct nt_standard {
	LARGE_INTEGER allocation, end_of_file;
	ULONG links;
	BOOLEAN delete_pending, directory;
};

struct nt_network_open {
	LARGE_INTEGER created, accessed, written, changed, allocation, end_of_file;
	ULONG attributes;
};

struct nt_name {
	ULONG length; /* bytes */
	WCHAR name[1];
};

struct nt_rename {
	BOOLEAN replace;
	HANDLE root;
	ULONG length; /* bytes */
	WCHAR name[1];
};

/* An entry of a listing: NT_ID_FULL_DIRECTORY. */
struct nt_entry {
	ULONG next, index; /* next: bytes to the next entry, 0 for the last one */
	LARGE_INTEGER created, accessed, written, changed, end_of_file, allocation;
	ULONG attributes, name_length; /* bytes */
	ULONG ea_size;
	LARGE_INTEGER id;
	WCHAR name[1];
};

/* An extended attribute; the value follows the name and its NUL. */
struct nt_ea {
	ULONG next;
	UCHAR flags, name_length; /* bytes, without the NUL */
	USHORT value_length;
	CHAR name[1];
};

struct nt_ea_wanted {
	ULONG next;
	UCHAR name_length;
	CHAR name[1];
};

_Static_assert(offsetof(struct nt_entry, name) == 80, "as documented");
_Static_assert(offsetof(struct nt_rename, name) == 20, "as documented");
_Static_assert(offsetof(struct nt_ea, name) == 8, "as documented");
_Static_assert(sizeof(struct nt_basic) == 40, "as documented");
_Static_assert(sizeof(struct nt_network_open) == 56, "as documented");

NTSTATUS NTAPI NtQueryEaFile(HANDLE file, IO_STATUS_BLOCK *io, void *buffer, ULONG length, BOOLEAN single, void *list, ULONG list_length,
	ULONG *index, BOOLEAN restart);
NTSTATUS NTAPI NtSetEaFile(HANDLE file, IO_STATUS_BLOCK *io, void *buffer, ULONG length);
NTSTATUS NTAPI NtQueryDirectoryFile(HANDLE file, HANDLE event, PIO_APC_ROUTINE routine, void *context, IO_STATUS_BLOCK *io, void *buffer,
	ULONG length, FILE_INFORMATION_CLASS information, BOOLEAN single, UNICODE_STRING *pattern, BOOLEAN restart);
NTSTATUS NTAPI NtSetSecurityObject(HANDLE object, SECURITY_INFORMATION what, PSECURITY_DESCRIPTOR descriptor);

#endif
#endif

/*
 * Sizes and offsets of the kernel's structures, asserted over our own declarations and, by the test "layout", over mingw-w64's: both
 * say the same of x86_64 Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <ntifs.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)

SIZE(LONG, 4);
SIZE(ULONG_PTR, 8);
SIZE(WCHAR, 2);
SIZE(UNICODE_STRING, 16);
SIZE(IO_STATUS_BLOCK, 16);
SIZE(KEVENT, 24);
SIZE(KDPC, 64);
SIZE(MDL, 48);
AT(MDL, MappedSystemVa, 24);
AT(MDL, ByteCount, 40);
SIZE(DRIVER_OBJECT, 336);
AT(DRIVER_OBJECT, DriverUnload, 104);
AT(DRIVER_OBJECT, MajorFunction, 112);
AT(DEVICE_OBJECT, Flags, 48);
AT(DEVICE_OBJECT, DeviceExtension, 64);
SIZE(FILE_OBJECT, 216);
AT(FILE_OBJECT, FsContext, 24);
AT(FILE_OBJECT, FsContext2, 32);
AT(FILE_OBJECT, SectionObjectPointer, 40);
AT(FILE_OBJECT, PrivateCacheMap, 48);
AT(FILE_OBJECT, DeletePending, 73);
AT(FILE_OBJECT, Flags, 80);
AT(FILE_OBJECT, FileName, 88);
AT(FILE_OBJECT, CurrentByteOffset, 104);
SIZE(SECTION_OBJECT_POINTERS, 24);
SIZE(IO_STACK_LOCATION, 72);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.InputBufferLength, 16);
AT(IO_STACK_LOCATION, Parameters.DeviceIoControl.IoControlCode, 24);
AT(IO_STACK_LOCATION, FileObject, 48);
SIZE(IRP, 208);
AT(IRP, AssociatedIrp.SystemBuffer, 24);
AT(IRP, IoStatus, 48);
AT(IRP, RequestorMode, 64);
AT(IRP, Tail.Overlay.CurrentStackLocation, 184);
SIZE(OBJECT_ATTRIBUTES, 48);
SIZE(IO_SECURITY_CONTEXT, 24);
AT(IO_SECURITY_CONTEXT, DesiredAccess, 16);
SIZE(FILE_BASIC_INFORMATION, 40);
SIZE(FILE_STANDARD_INFORMATION, 24);
SIZE(FILE_NETWORK_OPEN_INFORMATION, 56);
SIZE(FILE_ALL_INFORMATION, 104);
AT(FILE_ALL_INFORMATION, NameInformation, 96);
AT(FILE_RENAME_INFORMATION, FileNameLength, 16);
AT(FILE_RENAME_INFORMATION, FileName, 20);
AT(FILE_DIRECTORY_INFORMATION, FileName, 64);
AT(FILE_FULL_DIR_INFORMATION, FileName, 68);
AT(FILE_BOTH_DIR_INFORMATION, FileName, 94);
AT(FILE_ID_BOTH_DIR_INFORMATION, FileId, 96);
AT(FILE_ID_BOTH_DIR_INFORMATION, FileName, 104);
AT(FILE_ID_FULL_DIR_INFORMATION, FileName, 80);
AT(FILE_NAMES_INFORMATION, FileName, 12);
AT(FILE_FULL_EA_INFORMATION, EaName, 8);
AT(FILE_GET_EA_INFORMATION, EaName, 5);
AT(FILE_STREAM_INFORMATION, StreamName, 24);
AT(FILE_FS_VOLUME_INFORMATION, VolumeLabel, 18);
AT(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName, 12);
SIZE(FILE_FS_FULL_SIZE_INFORMATION, 32);
AT(FSRTL_ADVANCED_FCB_HEADER, AllocationSize, 24);
AT(FSRTL_ADVANCED_FCB_HEADER, FileSize, 32);
_Static_assert(FileDispositionInformation == 13 && FileEndOfFileInformation == 20 && FileIdBothDirectoryInformation == 37 &&
	FileDispositionInformationEx == 64 && FileRenameInformationEx == 65 && FileFsFullSizeInformation == 7, "classes");
_Static_assert(STATUS_DEVICE_NOT_CONNECTED == (NTSTATUS)0xC000009D && FSCTL_SET_ZERO_DATA == 0x980C8 && DELETE == 0x10000, "numbers");

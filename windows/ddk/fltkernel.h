/*
 * The filter manager's structures, constants and functions that the driver uses, declared from Microsoft's public documentation
 * (learn.microsoft.com: ddi/fltkernel, "FLT_PARAMETERS for IRP_MJ_..."). mingw-w64 has no fltkernel.h. x86_64 only.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Sizes and offsets were compared with second sources: public Rust bindings of the same structures, made by bindgen from the kit's
 * headers or padded by hand for x86_64 (callback data, parameter block, create, read and set-information parameters,
 * registrations). The assertions at the end hold them.
 * Works over mingw's <ntifs.h> and over the test shim's, which must offer the same names.
 *
 * What the driver relies on besides these declarations: FILE_OBJECT.FsContext points to an FSRTL_ADVANCED_FCB_HEADER (any file
 * system that supports filter contexts), whose FileSize is the end of file that NTFS knows.
 */
#ifndef INLAY_FLTKERNEL_H
#define INLAY_FLTKERNEL_H

#include <ntifs.h>
#include <stddef.h>

#ifndef FLTAPI
#define FLTAPI NTAPI
#endif

/* Operations that are no IRPs; the numbers go down from 255. */
#define IRP_MJ_ACQUIRE_FOR_SECTION_SYNCHRONIZATION ((UCHAR)-1)
#define IRP_MJ_RELEASE_FOR_SECTION_SYNCHRONIZATION ((UCHAR)-2)
#define IRP_MJ_ACQUIRE_FOR_MOD_WRITE ((UCHAR)-3)
#define IRP_MJ_RELEASE_FOR_MOD_WRITE ((UCHAR)-4)
#define IRP_MJ_ACQUIRE_FOR_CC_FLUSH ((UCHAR)-5)
#define IRP_MJ_RELEASE_FOR_CC_FLUSH ((UCHAR)-6)
#define IRP_MJ_FAST_IO_CHECK_IF_POSSIBLE ((UCHAR)-13)
#define IRP_MJ_NETWORK_QUERY_OPEN ((UCHAR)-14)
#define IRP_MJ_MDL_READ ((UCHAR)-15)
#define IRP_MJ_MDL_READ_COMPLETE ((UCHAR)-16)
#define IRP_MJ_PREPARE_MDL_WRITE ((UCHAR)-17)
#define IRP_MJ_MDL_WRITE_COMPLETE ((UCHAR)-18)
#define IRP_MJ_OPERATION_END ((UCHAR)0x80)

typedef struct _FLT_FILTER *PFLT_FILTER;
typedef struct _FLT_VOLUME *PFLT_VOLUME;
typedef struct _FLT_INSTANCE *PFLT_INSTANCE;
typedef PVOID PFLT_CONTEXT;

/*
 * The parameters of one operation. Options of a create: disposition in the upper 8 bits. Buffers of reads and writes: the MDL
 * when there is one, else the pointer, which is the program's address unless FLTFL_CALLBACK_DATA_SYSTEM_BUFFER is set.
 */
typedef union _FLT_PARAMETERS {
	struct {
		PIO_SECURITY_CONTEXT SecurityContext;
		ULONG Options;
		USHORT POINTER_ALIGNMENT FileAttributes;
		USHORT ShareAccess;
		ULONG POINTER_ALIGNMENT EaLength;
		PVOID EaBuffer;
		LARGE_INTEGER AllocationSize;
	} Create;
	struct {
		ULONG Length;
		ULONG POINTER_ALIGNMENT Key;
		LARGE_INTEGER ByteOffset;
		PVOID ReadBuffer;
		PMDL MdlAddress;
	} Read;
	struct {
		ULONG Length;
		ULONG POINTER_ALIGNMENT Key;
		LARGE_INTEGER ByteOffset;
		PVOID WriteBuffer;
		PMDL MdlAddress;
	} Write;
	struct {
		ULONG Length;
		FILE_INFORMATION_CLASS POINTER_ALIGNMENT FileInformationClass;
		PVOID InfoBuffer;
	} QueryFileInformation;
	struct {
		ULONG Length;
		FILE_INFORMATION_CLASS POINTER_ALIGNMENT FileInformationClass;
		PFILE_OBJECT ParentOfTarget;
		union {
			struct {
				BOOLEAN ReplaceIfExists;
				BOOLEAN AdvanceOnly;
			};
			ULONG ClusterCount;
			HANDLE DeleteHandle;
		};
		PVOID InfoBuffer;
	} SetFileInformation;
	struct {
		ULONG Length;
		PVOID EaList;
		ULONG EaListLength;
		ULONG POINTER_ALIGNMENT EaIndex;
		PVOID EaBuffer;
		PMDL MdlAddress;
	} QueryEa;
	struct {
		ULONG Length;
		PVOID EaBuffer;
		PMDL MdlAddress;
	} SetEa;
	struct {
		ULONG Length;
		FS_INFORMATION_CLASS POINTER_ALIGNMENT FsInformationClass;
		PVOID VolumeBuffer;
	} QueryVolumeInformation;
	union {
		struct {
			ULONG Length;
			PUNICODE_STRING FileName;
			FILE_INFORMATION_CLASS FileInformationClass;
			ULONG POINTER_ALIGNMENT FileIndex;
			PVOID DirectoryBuffer;
			PMDL MdlAddress;
		} QueryDirectory;
		struct {
			ULONG Length;
			ULONG POINTER_ALIGNMENT CompletionFilter;
			ULONG POINTER_ALIGNMENT Spare1;
			ULONG POINTER_ALIGNMENT Spare2;
			PVOID DirectoryBuffer;
			PMDL MdlAddress;
		} NotifyDirectory;
	} DirectoryControl;
	union {
		struct {
			ULONG OutputBufferLength;
			ULONG POINTER_ALIGNMENT InputBufferLength;
			ULONG POINTER_ALIGNMENT FsControlCode;
		} Common;
		struct {
			ULONG OutputBufferLength;
			ULONG POINTER_ALIGNMENT InputBufferLength;
			ULONG POINTER_ALIGNMENT FsControlCode;
			PVOID InputBuffer;
			PVOID OutputBuffer;
			PMDL OutputMdlAddress;
		} Neither;
		struct {
			ULONG OutputBufferLength;
			ULONG POINTER_ALIGNMENT InputBufferLength;
			ULONG POINTER_ALIGNMENT FsControlCode;
			PVOID SystemBuffer;
		} Buffered;
	} FileSystemControl;
	struct {
		PLARGE_INTEGER Length;
		ULONG POINTER_ALIGNMENT Key;
		LARGE_INTEGER ByteOffset;
		PEPROCESS ProcessId;
		BOOLEAN FailImmediately;
		BOOLEAN ExclusiveLock;
	} LockControl;
	struct {
		FS_FILTER_SECTION_SYNC_TYPE SyncType;
		ULONG PageProtection;
		PVOID OutputInformation;
	} AcquireForSectionSynchronization;
	struct {
		LARGE_INTEGER FileOffset;
		ULONG Length;
		ULONG POINTER_ALIGNMENT LockKey;
		BOOLEAN POINTER_ALIGNMENT CheckForReadOperation;
	} FastIoCheckIfPossible;
	struct {
		PIRP Irp;
		PFILE_NETWORK_OPEN_INFORMATION NetworkInformation;
	} NetworkQueryOpen;
	struct {
		LARGE_INTEGER FileOffset;
		ULONG POINTER_ALIGNMENT Length;
		ULONG POINTER_ALIGNMENT Key;
		PMDL *MdlChain;
	} MdlRead;
	struct {
		LARGE_INTEGER FileOffset;
		ULONG POINTER_ALIGNMENT Length;
		ULONG POINTER_ALIGNMENT Key;
		PMDL *MdlChain;
	} PrepareMdlWrite;
	struct {
		PVOID Argument1;
		PVOID Argument2;
		PVOID Argument3;
		PVOID Argument4;
		PVOID Argument5;
		LARGE_INTEGER Argument6;
	} Others;
} FLT_PARAMETERS, *PFLT_PARAMETERS;

/* What a filter may change, and then says so with FltSetCallbackDataDirty. OperationFlags: SL_... */
typedef struct _FLT_IO_PARAMETER_BLOCK {
	ULONG IrpFlags; /* IRP_PAGING_IO, IRP_NOCACHE, ... */
	UCHAR MajorFunction;
	UCHAR MinorFunction;
	UCHAR OperationFlags;
	UCHAR Reserved;
	PFILE_OBJECT TargetFileObject;
	PFLT_INSTANCE TargetInstance;
	FLT_PARAMETERS Parameters;
} FLT_IO_PARAMETER_BLOCK, *PFLT_IO_PARAMETER_BLOCK;

typedef ULONG FLT_CALLBACK_DATA_FLAGS;
#define FLTFL_CALLBACK_DATA_IRP_OPERATION 0x00000001
#define FLTFL_CALLBACK_DATA_FAST_IO_OPERATION 0x00000002
#define FLTFL_CALLBACK_DATA_FS_FILTER_OPERATION 0x00000004
#define FLTFL_CALLBACK_DATA_SYSTEM_BUFFER 0x00000008
#define FLTFL_CALLBACK_DATA_GENERATED_IO 0x00010000
#define FLTFL_CALLBACK_DATA_REISSUED_IO 0x00020000
#define FLTFL_CALLBACK_DATA_DRAINING_IO 0x00040000
#define FLTFL_CALLBACK_DATA_POST_OPERATION 0x00080000
#define FLTFL_CALLBACK_DATA_DIRTY 0x80000000

typedef struct _FLT_CALLBACK_DATA {
	FLT_CALLBACK_DATA_FLAGS Flags;
	PETHREAD CONST Thread;
	PFLT_IO_PARAMETER_BLOCK CONST Iopb;
	IO_STATUS_BLOCK IoStatus;
	struct _FLT_TAG_DATA_BUFFER *TagData;
	union {
		struct {
			LIST_ENTRY QueueLinks;
			PVOID QueueContext[2];
		};
		PVOID FilterContext[4];
	};
	KPROCESSOR_MODE RequestorMode;
} FLT_CALLBACK_DATA, *PFLT_CALLBACK_DATA;

#define FLT_IS_IRP_OPERATION(Data) (((Data)->Flags & FLTFL_CALLBACK_DATA_IRP_OPERATION) != 0)
#define FLT_IS_FASTIO_OPERATION(Data) (((Data)->Flags & FLTFL_CALLBACK_DATA_FAST_IO_OPERATION) != 0)
#define FLT_IS_FS_FILTER_OPERATION(Data) (((Data)->Flags & FLTFL_CALLBACK_DATA_FS_FILTER_OPERATION) != 0)

typedef struct _FLT_RELATED_OBJECTS {
	USHORT CONST Size;
	USHORT CONST TransactionContext;
	PFLT_FILTER CONST Filter;
	PFLT_VOLUME CONST Volume;
	PFLT_INSTANCE CONST Instance;
	PFILE_OBJECT CONST FileObject;
	PVOID CONST Transaction; /* PKTRANSACTION */
} FLT_RELATED_OBJECTS, *PFLT_RELATED_OBJECTS;
typedef CONST struct _FLT_RELATED_OBJECTS *PCFLT_RELATED_OBJECTS;

/* Contexts */
typedef USHORT FLT_CONTEXT_TYPE;
#define FLT_VOLUME_CONTEXT 0x0001
#define FLT_INSTANCE_CONTEXT 0x0002
#define FLT_FILE_CONTEXT 0x0004
#define FLT_STREAM_CONTEXT 0x0008
#define FLT_STREAMHANDLE_CONTEXT 0x0010
#define FLT_CONTEXT_END 0xffff

typedef USHORT FLT_CONTEXT_REGISTRATION_FLAGS;
/* IRQL: <= APC_LEVEL */
typedef VOID(FLTAPI *PFLT_CONTEXT_CLEANUP_CALLBACK)(PFLT_CONTEXT Context, FLT_CONTEXT_TYPE ContextType);

typedef struct _FLT_CONTEXT_REGISTRATION {
	FLT_CONTEXT_TYPE ContextType;
	FLT_CONTEXT_REGISTRATION_FLAGS Flags;
	PFLT_CONTEXT_CLEANUP_CALLBACK ContextCleanupCallback;
	SIZE_T Size;
	ULONG PoolTag;
	PVOID ContextAllocateCallback;
	PVOID ContextFreeCallback;
	PVOID Reserved1;
} FLT_CONTEXT_REGISTRATION, *PFLT_CONTEXT_REGISTRATION;

typedef enum _FLT_SET_CONTEXT_OPERATION {
	FLT_SET_CONTEXT_REPLACE_IF_EXISTS,
	FLT_SET_CONTEXT_KEEP_IF_EXISTS,
} FLT_SET_CONTEXT_OPERATION;

/* Instances */
typedef ULONG FLT_INSTANCE_SETUP_FLAGS;
#define FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT 0x00000001
#define FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT 0x00000002
#define FLTFL_INSTANCE_SETUP_NEWLY_MOUNTED_VOLUME 0x00000004
typedef ULONG FLT_INSTANCE_QUERY_TEARDOWN_FLAGS;
typedef ULONG FLT_INSTANCE_TEARDOWN_FLAGS;
#define FLTFL_INSTANCE_TEARDOWN_MANUAL 0x00000001
#define FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD 0x00000002
#define FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT 0x00000008
typedef ULONG FLT_FILTER_UNLOAD_FLAGS;
#define FLTFL_FILTER_UNLOAD_MANDATORY 0x00000001

typedef enum _FLT_FILESYSTEM_TYPE {
	FLT_FSTYPE_UNKNOWN = 0,
	FLT_FSTYPE_RAW = 1,
	FLT_FSTYPE_NTFS = 2,
} FLT_FILESYSTEM_TYPE, *PFLT_FILESYSTEM_TYPE;

/* IRQL of these four: PASSIVE_LEVEL */
typedef NTSTATUS(FLTAPI *PFLT_INSTANCE_SETUP_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects, FLT_INSTANCE_SETUP_FLAGS Flags,
						      ULONG VolumeDeviceType, FLT_FILESYSTEM_TYPE VolumeFilesystemType);
typedef NTSTATUS(FLTAPI *PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects,
								FLT_INSTANCE_QUERY_TEARDOWN_FLAGS Flags);
typedef VOID(FLTAPI *PFLT_INSTANCE_TEARDOWN_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects, FLT_INSTANCE_TEARDOWN_FLAGS Reason);
typedef NTSTATUS(FLTAPI *PFLT_FILTER_UNLOAD_CALLBACK)(FLT_FILTER_UNLOAD_FLAGS Flags);

/* Operations */
typedef enum _FLT_PREOP_CALLBACK_STATUS {
	FLT_PREOP_SUCCESS_WITH_CALLBACK = 0,
	FLT_PREOP_SUCCESS_NO_CALLBACK = 1,
	FLT_PREOP_PENDING = 2,
	FLT_PREOP_DISALLOW_FASTIO = 3,
	FLT_PREOP_COMPLETE = 4,
	FLT_PREOP_SYNCHRONIZE = 5,
} FLT_PREOP_CALLBACK_STATUS, *PFLT_PREOP_CALLBACK_STATUS;

typedef enum _FLT_POSTOP_CALLBACK_STATUS {
	FLT_POSTOP_FINISHED_PROCESSING = 0,
	FLT_POSTOP_MORE_PROCESSING_REQUIRED = 1,
} FLT_POSTOP_CALLBACK_STATUS, *PFLT_POSTOP_CALLBACK_STATUS;

typedef ULONG FLT_POST_OPERATION_FLAGS;
#define FLTFL_POST_OPERATION_DRAINING 0x00000001

typedef ULONG FLT_OPERATION_REGISTRATION_FLAGS;
#define FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO 0x00000001
#define FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO 0x00000002
#define FLTFL_OPERATION_REGISTRATION_SKIP_NON_DASD_IO 0x00000004

typedef FLT_PREOP_CALLBACK_STATUS(FLTAPI *PFLT_PRE_OPERATION_CALLBACK)(PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects,
								       PVOID *CompletionContext);
typedef FLT_POSTOP_CALLBACK_STATUS(FLTAPI *PFLT_POST_OPERATION_CALLBACK)(PFLT_CALLBACK_DATA Data,
									 PCFLT_RELATED_OBJECTS FltObjects,
									 PVOID CompletionContext,
									 FLT_POST_OPERATION_FLAGS Flags);

typedef struct _FLT_OPERATION_REGISTRATION {
	UCHAR MajorFunction;
	FLT_OPERATION_REGISTRATION_FLAGS Flags;
	PFLT_PRE_OPERATION_CALLBACK PreOperation;
	PFLT_POST_OPERATION_CALLBACK PostOperation;
	PVOID Reserved1;
} FLT_OPERATION_REGISTRATION, *PFLT_OPERATION_REGISTRATION;

typedef ULONG FLT_REGISTRATION_FLAGS;
#define FLT_REGISTRATION_VERSION_0203 0x0203
#define FLT_REGISTRATION_VERSION FLT_REGISTRATION_VERSION_0203

typedef struct _FLT_REGISTRATION {
	USHORT Size;
	USHORT Version;
	FLT_REGISTRATION_FLAGS Flags;
	CONST FLT_CONTEXT_REGISTRATION *ContextRegistration;
	CONST FLT_OPERATION_REGISTRATION *OperationRegistration;
	PFLT_FILTER_UNLOAD_CALLBACK FilterUnloadCallback;
	PFLT_INSTANCE_SETUP_CALLBACK InstanceSetupCallback;
	PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK InstanceQueryTeardownCallback;
	PFLT_INSTANCE_TEARDOWN_CALLBACK InstanceTeardownStartCallback;
	PFLT_INSTANCE_TEARDOWN_CALLBACK InstanceTeardownCompleteCallback;
	PVOID GenerateFileNameCallback;
	PVOID NormalizeNameComponentCallback;
	PVOID NormalizeContextCleanupCallback;
	PVOID TransactionNotificationCallback;
	PVOID NormalizeNameComponentExCallback;
	PVOID SectionNotificationCallback;
} FLT_REGISTRATION, *PFLT_REGISTRATION;

/* Names */
typedef ULONG FLT_FILE_NAME_OPTIONS;
#define FLT_FILE_NAME_NORMALIZED 0x01
#define FLT_FILE_NAME_OPENED 0x02
#define FLT_FILE_NAME_QUERY_DEFAULT 0x0100
#define FLT_FILE_NAME_QUERY_CACHE_ONLY 0x0200
#define FLT_FILE_NAME_QUERY_FILESYSTEM_ONLY 0x0300
#define FLT_FILE_NAME_QUERY_ALWAYS_ALLOW_CACHE_LOOKUP 0x0400
typedef USHORT FLT_FILE_NAME_PARSED_FLAGS;

/* Name: the whole, with volume and stream, "\Device\HarddiskVolume3\a\b:s"; Volume: its first part. The rest: once parsed. */
typedef struct _FLT_FILE_NAME_INFORMATION {
	USHORT Size;
	FLT_FILE_NAME_PARSED_FLAGS NamesParsed;
	FLT_FILE_NAME_OPTIONS Format;
	UNICODE_STRING Name;
	UNICODE_STRING Volume;
	UNICODE_STRING Share;
	UNICODE_STRING Extension;
	UNICODE_STRING Stream;
	UNICODE_STRING FinalComponent;
	UNICODE_STRING ParentDir;
} FLT_FILE_NAME_INFORMATION, *PFLT_FILE_NAME_INFORMATION;

typedef struct _FLT_VOLUME_PROPERTIES {
	DEVICE_TYPE DeviceType;
	ULONG DeviceCharacteristics;
	ULONG DeviceObjectFlags;
	ULONG AlignmentRequirement;
	USHORT SectorSize;
	USHORT Flags;
	UNICODE_STRING FileSystemDriverName;
	UNICODE_STRING FileSystemDeviceName;
	UNICODE_STRING RealDeviceName;
} FLT_VOLUME_PROPERTIES, *PFLT_VOLUME_PROPERTIES;

/* IRQL: <= DISPATCH_LEVEL; runs in any thread. Data is completed by whoever this callback hands it to, once. */
typedef VOID(FLTAPI *PFLT_COMPLETE_CANCELED_CALLBACK)(PFLT_CALLBACK_DATA CallbackData);

/* Functions, with the highest IRQL that their documentation allows. */

/* PASSIVE_LEVEL */
NTSTATUS FLTAPI FltRegisterFilter(PDRIVER_OBJECT Driver, CONST FLT_REGISTRATION *Registration, PFLT_FILTER *RetFilter);
NTSTATUS FLTAPI FltStartFiltering(PFLT_FILTER Filter);
VOID FLTAPI FltUnregisterFilter(PFLT_FILTER Filter);
/* PASSIVE_LEVEL (APC_LEVEL is documented for names from the cache) */
NTSTATUS FLTAPI FltGetFileNameInformation(PFLT_CALLBACK_DATA CallbackData, FLT_FILE_NAME_OPTIONS NameOptions,
					  PFLT_FILE_NAME_INFORMATION *FileNameInformation);
NTSTATUS FLTAPI FltGetDestinationFileNameInformation(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, HANDLE RootDirectory,
						     PWSTR FileName, ULONG FileNameLength, FLT_FILE_NAME_OPTIONS NameOptions,
						     PFLT_FILE_NAME_INFORMATION *RetFileNameInformation);
/* APC_LEVEL */
VOID FLTAPI FltReleaseFileNameInformation(PFLT_FILE_NAME_INFORMATION FileNameInformation);
NTSTATUS FLTAPI FltAllocateContext(PFLT_FILTER Filter, FLT_CONTEXT_TYPE ContextType, SIZE_T ContextSize, POOL_TYPE PoolType,
				   PFLT_CONTEXT *ReturnedContext);
VOID FLTAPI FltReferenceContext(PFLT_CONTEXT Context);
VOID FLTAPI FltReleaseContext(PFLT_CONTEXT Context);
NTSTATUS FLTAPI FltSetStreamHandleContext(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, FLT_SET_CONTEXT_OPERATION Operation,
					  PFLT_CONTEXT NewContext, PFLT_CONTEXT *OldContext);
NTSTATUS FLTAPI FltGetStreamHandleContext(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PFLT_CONTEXT *Context);
/* DISPATCH_LEVEL; at APC_LEVEL or below for what was pended in a pre-operation of non-paging I/O */
VOID FLTAPI FltCompletePendedPreOperation(PFLT_CALLBACK_DATA CallbackData, FLT_PREOP_CALLBACK_STATUS CallbackStatus, PVOID Context);
/* DISPATCH_LEVEL. STATUS_CANCELLED: the operation is cancelled already, the callback won't run (Set) or has run or will (Clear) */
NTSTATUS FLTAPI FltSetCancelCompletion(PFLT_CALLBACK_DATA CallbackData, PFLT_COMPLETE_CANCELED_CALLBACK CanceledCallback);
NTSTATUS FLTAPI FltClearCancelCompletion(PFLT_CALLBACK_DATA CallbackData);
/* any */
VOID FLTAPI FltSetCallbackDataDirty(PFLT_CALLBACK_DATA Data);
/* PASSIVE_LEVEL. They start below the caller's instance. */
NTSTATUS FLTAPI FltQueryInformationFile(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
					FILE_INFORMATION_CLASS FileInformationClass, PULONG LengthReturned);
NTSTATUS FLTAPI FltSetInformationFile(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
				      FILE_INFORMATION_CLASS FileInformationClass);
NTSTATUS FLTAPI FltQueryEaFile(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID ReturnedEaData, ULONG Length,
			       BOOLEAN ReturnSingleEntry, PVOID EaList, ULONG EaListLength, PULONG EaIndex, BOOLEAN RestartScan,
			       PULONG LengthReturned);
NTSTATUS FLTAPI FltCreateFileEx(PFLT_FILTER Filter, PFLT_INSTANCE Instance, PHANDLE FileHandle, PFILE_OBJECT *FileObject,
				ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
				PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess, ULONG CreateDisposition,
				ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength, ULONG Flags);
NTSTATUS FLTAPI FltClose(HANDLE FileHandle);
/* Post-create only: undoes the create, whose status the caller sets. */
VOID FLTAPI FltCancelFileOpen(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject);
/* APC_LEVEL. Reads, writes and the like as IRPs, in the requestor's context: makes the MDL when there is none. */
NTSTATUS FLTAPI FltLockUserBuffer(PFLT_CALLBACK_DATA CallbackData);
/* APC_LEVEL. STATUS_CANCELLED, STATUS_THREAD_IS_TERMINATING: the caller need not wait longer. CallbackData may be NULL. */
NTSTATUS FLTAPI FltCancellableWaitForSingleObject(PVOID Object, PLARGE_INTEGER Timeout, PFLT_CALLBACK_DATA CallbackData);
/* any */
ULONG FLTAPI FltGetRequestorProcessId(PFLT_CALLBACK_DATA CallbackData);
/* PASSIVE_LEVEL. FltGetVolumeFromName's and FltAttachVolume's results are references. */
NTSTATUS FLTAPI FltGetVolumeName(PFLT_VOLUME Volume, PUNICODE_STRING VolumeName, PULONG BufferSizeNeeded);
NTSTATUS FLTAPI FltGetVolumeFromName(PFLT_FILTER Filter, PCUNICODE_STRING VolumeName, PFLT_VOLUME *RetVolume);
NTSTATUS FLTAPI FltAttachVolume(PFLT_FILTER Filter, PFLT_VOLUME Volume, PCUNICODE_STRING InstanceName, PFLT_INSTANCE *RetInstance);
NTSTATUS FLTAPI FltGetVolumeProperties(PFLT_VOLUME Volume, PFLT_VOLUME_PROPERTIES VolumeProperties, ULONG VolumePropertiesLength,
				       PULONG LengthReturned);
/* APC_LEVEL */
VOID FLTAPI FltObjectDereference(PVOID FltObject);

#define INLAY_FLT_AT(type, member, offset) \
	_Static_assert(offsetof(type, member) == (offset), #type "." #member " is elsewhere")

_Static_assert(sizeof(FLT_PARAMETERS) == 48, "FLT_PARAMETERS has another size");
INLAY_FLT_AT(FLT_PARAMETERS, Create.Options, 8);
INLAY_FLT_AT(FLT_PARAMETERS, Create.FileAttributes, 16);
INLAY_FLT_AT(FLT_PARAMETERS, Create.ShareAccess, 18);
INLAY_FLT_AT(FLT_PARAMETERS, Create.EaLength, 24);
INLAY_FLT_AT(FLT_PARAMETERS, Create.EaBuffer, 32);
INLAY_FLT_AT(FLT_PARAMETERS, Create.AllocationSize, 40);
INLAY_FLT_AT(FLT_PARAMETERS, Read.Key, 8);
INLAY_FLT_AT(FLT_PARAMETERS, Read.ByteOffset, 16);
INLAY_FLT_AT(FLT_PARAMETERS, Read.ReadBuffer, 24);
INLAY_FLT_AT(FLT_PARAMETERS, Read.MdlAddress, 32);
INLAY_FLT_AT(FLT_PARAMETERS, Write.ByteOffset, 16);
INLAY_FLT_AT(FLT_PARAMETERS, Write.WriteBuffer, 24);
INLAY_FLT_AT(FLT_PARAMETERS, Write.MdlAddress, 32);
INLAY_FLT_AT(FLT_PARAMETERS, QueryFileInformation.FileInformationClass, 8);
INLAY_FLT_AT(FLT_PARAMETERS, QueryFileInformation.InfoBuffer, 16);
INLAY_FLT_AT(FLT_PARAMETERS, SetFileInformation.FileInformationClass, 8);
INLAY_FLT_AT(FLT_PARAMETERS, SetFileInformation.ParentOfTarget, 16);
INLAY_FLT_AT(FLT_PARAMETERS, SetFileInformation.ReplaceIfExists, 24);
INLAY_FLT_AT(FLT_PARAMETERS, SetFileInformation.AdvanceOnly, 25);
INLAY_FLT_AT(FLT_PARAMETERS, SetFileInformation.InfoBuffer, 32);
INLAY_FLT_AT(FLT_PARAMETERS, QueryEa.EaList, 8);
INLAY_FLT_AT(FLT_PARAMETERS, QueryEa.EaListLength, 16);
INLAY_FLT_AT(FLT_PARAMETERS, QueryEa.EaIndex, 24);
INLAY_FLT_AT(FLT_PARAMETERS, QueryEa.EaBuffer, 32);
INLAY_FLT_AT(FLT_PARAMETERS, QueryEa.MdlAddress, 40);
INLAY_FLT_AT(FLT_PARAMETERS, SetEa.EaBuffer, 8);
INLAY_FLT_AT(FLT_PARAMETERS, SetEa.MdlAddress, 16);
INLAY_FLT_AT(FLT_PARAMETERS, QueryVolumeInformation.FsInformationClass, 8);
INLAY_FLT_AT(FLT_PARAMETERS, QueryVolumeInformation.VolumeBuffer, 16);
INLAY_FLT_AT(FLT_PARAMETERS, DirectoryControl.QueryDirectory.FileName, 8);
INLAY_FLT_AT(FLT_PARAMETERS, DirectoryControl.QueryDirectory.FileInformationClass, 16);
INLAY_FLT_AT(FLT_PARAMETERS, DirectoryControl.QueryDirectory.FileIndex, 24);
INLAY_FLT_AT(FLT_PARAMETERS, DirectoryControl.QueryDirectory.DirectoryBuffer, 32);
INLAY_FLT_AT(FLT_PARAMETERS, DirectoryControl.QueryDirectory.MdlAddress, 40);
INLAY_FLT_AT(FLT_PARAMETERS, DirectoryControl.NotifyDirectory.DirectoryBuffer, 32);
INLAY_FLT_AT(FLT_PARAMETERS, FileSystemControl.Common.InputBufferLength, 8);
INLAY_FLT_AT(FLT_PARAMETERS, FileSystemControl.Common.FsControlCode, 16);
INLAY_FLT_AT(FLT_PARAMETERS, FileSystemControl.Neither.InputBuffer, 24);
INLAY_FLT_AT(FLT_PARAMETERS, FileSystemControl.Neither.OutputBuffer, 32);
INLAY_FLT_AT(FLT_PARAMETERS, FileSystemControl.Neither.OutputMdlAddress, 40);
INLAY_FLT_AT(FLT_PARAMETERS, FileSystemControl.Buffered.SystemBuffer, 24);
INLAY_FLT_AT(FLT_PARAMETERS, LockControl.ByteOffset, 16);
INLAY_FLT_AT(FLT_PARAMETERS, LockControl.ProcessId, 24);
INLAY_FLT_AT(FLT_PARAMETERS, LockControl.ExclusiveLock, 33);
INLAY_FLT_AT(FLT_PARAMETERS, AcquireForSectionSynchronization.PageProtection, 4);
INLAY_FLT_AT(FLT_PARAMETERS, AcquireForSectionSynchronization.OutputInformation, 8);
INLAY_FLT_AT(FLT_PARAMETERS, FastIoCheckIfPossible.LockKey, 16);
INLAY_FLT_AT(FLT_PARAMETERS, FastIoCheckIfPossible.CheckForReadOperation, 24);
INLAY_FLT_AT(FLT_PARAMETERS, MdlRead.Length, 8);
INLAY_FLT_AT(FLT_PARAMETERS, MdlRead.MdlChain, 24);
INLAY_FLT_AT(FLT_PARAMETERS, Others.Argument6, 40);
_Static_assert(sizeof(FLT_IO_PARAMETER_BLOCK) == 72, "FLT_IO_PARAMETER_BLOCK has another size");
INLAY_FLT_AT(FLT_IO_PARAMETER_BLOCK, MajorFunction, 4);
INLAY_FLT_AT(FLT_IO_PARAMETER_BLOCK, OperationFlags, 6);
INLAY_FLT_AT(FLT_IO_PARAMETER_BLOCK, TargetFileObject, 8);
INLAY_FLT_AT(FLT_IO_PARAMETER_BLOCK, TargetInstance, 16);
INLAY_FLT_AT(FLT_IO_PARAMETER_BLOCK, Parameters, 24);
_Static_assert(sizeof(FLT_CALLBACK_DATA) == 88, "FLT_CALLBACK_DATA has another size");
INLAY_FLT_AT(FLT_CALLBACK_DATA, Thread, 8);
INLAY_FLT_AT(FLT_CALLBACK_DATA, Iopb, 16);
INLAY_FLT_AT(FLT_CALLBACK_DATA, IoStatus, 24);
INLAY_FLT_AT(FLT_CALLBACK_DATA, TagData, 40);
INLAY_FLT_AT(FLT_CALLBACK_DATA, FilterContext, 48);
INLAY_FLT_AT(FLT_CALLBACK_DATA, RequestorMode, 80);
_Static_assert(sizeof(FLT_RELATED_OBJECTS) == 48, "FLT_RELATED_OBJECTS has another size");
INLAY_FLT_AT(FLT_RELATED_OBJECTS, Filter, 8);
INLAY_FLT_AT(FLT_RELATED_OBJECTS, FileObject, 32);
_Static_assert(sizeof(FLT_CONTEXT_REGISTRATION) == 56, "FLT_CONTEXT_REGISTRATION has another size");
INLAY_FLT_AT(FLT_CONTEXT_REGISTRATION, ContextCleanupCallback, 8);
INLAY_FLT_AT(FLT_CONTEXT_REGISTRATION, Size, 16);
INLAY_FLT_AT(FLT_CONTEXT_REGISTRATION, PoolTag, 24);
_Static_assert(sizeof(FLT_OPERATION_REGISTRATION) == 32, "FLT_OPERATION_REGISTRATION has another size");
INLAY_FLT_AT(FLT_OPERATION_REGISTRATION, Flags, 4);
INLAY_FLT_AT(FLT_OPERATION_REGISTRATION, PreOperation, 8);
_Static_assert(sizeof(FLT_REGISTRATION) == 112, "FLT_REGISTRATION has another size");
INLAY_FLT_AT(FLT_REGISTRATION, ContextRegistration, 8);
INLAY_FLT_AT(FLT_REGISTRATION, FilterUnloadCallback, 24);
INLAY_FLT_AT(FLT_REGISTRATION, InstanceSetupCallback, 32);
INLAY_FLT_AT(FLT_REGISTRATION, SectionNotificationCallback, 104);
_Static_assert(sizeof(FLT_FILE_NAME_INFORMATION) == 120, "FLT_FILE_NAME_INFORMATION has another size");
INLAY_FLT_AT(FLT_FILE_NAME_INFORMATION, Name, 8);
INLAY_FLT_AT(FLT_FILE_NAME_INFORMATION, Volume, 24);
INLAY_FLT_AT(FLT_FILE_NAME_INFORMATION, ParentDir, 104);
_Static_assert(sizeof(FLT_VOLUME_PROPERTIES) == 72, "FLT_VOLUME_PROPERTIES has another size");
INLAY_FLT_AT(FLT_VOLUME_PROPERTIES, SectorSize, 16);
INLAY_FLT_AT(FLT_VOLUME_PROPERTIES, FileSystemDriverName, 24);

#endif

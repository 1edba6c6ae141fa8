/*
 * The rest: flush, file-system controls, the making of sections, and queries that are no create.
 * SPDX-License-Identifier: Apache-2.0
 * IRQL: where nothing is said, that of the caller.
 */
#include "filter.h"

/* File-system control functions, by number, of FILE_DEVICE_FILE_SYSTEM (winioctl.h), that would reach a placeholder's data. */
static const USHORT refused[] = {
	16,       /* SET_COMPRESSION */
	41,       /* SET_REPARSE_POINT */
	50,       /* SET_ZERO_DATA */
	51,       /* QUERY_ALLOCATED_RANGES */
	53,       /* SET_ENCRYPTION */
	54,       /* ENCRYPTION_FSCTL_IO */
	55, 56,   /* WRITE_RAW_ENCRYPTED, READ_RAW_ENCRYPTED */
	64, 65,   /* SIS_COPYFILE, SIS_LINK_FILES */
	130,      /* FILE_LEVEL_TRIM */
	153, 154, /* OFFLOAD_READ, OFFLOAD_WRITE */
	195,      /* SET_EXTERNAL_BACKING */
	209, 250, /* DUPLICATE_EXTENTS_TO_FILE, DUPLICATE_EXTENTS_TO_FILE_EX */
	259,      /* SET_REPARSE_POINT_EX */
};

#define SET_SPARSE 49u

static bool is_refused(ULONG function)
{
	for (ULONG i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (refused[i] == function)
			return true;
	return false;
}

/* IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_fsctl)
{
	ULONG code = data->Iopb->Parameters.FileSystemControl.Common.FsControlCode, function = (code >> 2) & 0xfff;
	UCHAR minor = data->Iopb->MinorFunction;
	struct inlay_file *file;

	(void)context;
	if ((minor != IRP_MN_USER_FS_REQUEST && minor != IRP_MN_KERNEL_CALL) || code >> 16 != FILE_DEVICE_FILE_SYSTEM ||
	    (function != SET_SPARSE && !is_refused(function)))
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	file = inlay_file_of(objects);
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	inlay_file_unref(file);
	if (function == SET_SPARSE)
		return inlay_complete(data, STATUS_SUCCESS, 0); /* the server's holes are holes anyway */
	return inlay_complete(data, STATUS_NOT_SUPPORTED, 0);
}

/* IRQL: PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_flush)
{
	struct inlay_file *file = inlay_file_of(objects);
	NTSTATUS status;

	(void)context;
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (!file->directory) {
		inlay_file_unref(file);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	status = inlay_pages_flush(objects->FileObject, NULL, 0);
	if (NT_SUCCESS(status))
		status = inlay_file_ask(file, INLAY_RING_FLUSH, 0, data, NULL);
	inlay_file_unref(file);
	return inlay_complete(data, status, 0);
}

/* Before a section is made, NTFS's end of file is what the server says: it is the size of the section. IRQL: APC_LEVEL, here PASSIVE_LEVEL */
INLAY_PRE(inlay_pre_section)
{
	struct inlay_ring_attr attr;
	struct inlay_file *file;
	NTSTATUS status;
	ULONG epoch;

	(void)context;
	if (data->Iopb->Parameters.AcquireForSectionSynchronization.SyncType != SyncTypeCreateSection)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	file = inlay_file_of(objects);
	if (!file)
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	if (file->is_directory) {
		inlay_file_unref(file);
		return FLT_PREOP_SUCCESS_NO_CALLBACK;
	}
	epoch = inlay_size_epoch(objects->FileObject);
	status = file->directory ? inlay_file_ask(file, INLAY_RING_GETATTR, 0, NULL, &attr) : STATUS_FILE_IS_OFFLINE;
	if (NT_SUCCESS(status))
		inlay_size_follow(objects, attr.size, epoch);
	inlay_file_unref(file);
	return NT_SUCCESS(status) ? FLT_PREOP_SUCCESS_NO_CALLBACK : inlay_complete(data, status, 0);
}

/* Becomes a create, which is judged. IRQL: APC_LEVEL */
INLAY_PRE(inlay_pre_network_query_open)
{
	(void)data;
	(void)objects;
	(void)context;
	return inlay_directories_any() ? FLT_PREOP_DISALLOW_FASTIO : FLT_PREOP_SUCCESS_NO_CALLBACK;
}

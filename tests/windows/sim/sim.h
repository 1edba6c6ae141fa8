/*
 * The simulation's face to tests: the I/O manager's side of a small NTFS-like volume beneath a strict filter manager.
 * The other face, Flt..., is windows/ddk/fltkernel.h. Built natively (with ../native/ntifs.h) and by mingw for Wine's
 * driver host; leans on nothing but host.h.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each function plays the Nt... call of its name: checks of handle access, fast I/O tried first where Windows tries it,
 * then the IRP through the filters' callbacks on the calling thread, then the volume. All at PASSIVE_LEVEL. A struct
 * sim_file is one open handle with its file object; its calls may come from any threads. Statuses are NTSTATUS.
 * Buffers belong to the caller until the call returns, or until `done` ran.
 */
#ifndef INLAY_SIM_H
#define INLAY_SIM_H

#include <ntifs.h>
#include <stdbool.h>

struct sim_volume;
struct sim_file;
struct sim_view;

/*
 * An operation that need not be waited for. `done` runs exactly once for every call that was handed one, whatever the
 * call returns, on any thread, perhaps before it returns; by then `status` is set, and the struct is the caller's again.
 * It must stay where it is until then. The call itself returns STATUS_PENDING or the final status.
 */
struct sim_io {
	void (*done)(struct sim_io *io);
	void *opaque;           /* the caller's */
	IO_STATUS_BLOCK status; /* valid in and after done */
	void *request;          /* the simulation's */
};

enum sim_io_flags {
	SIM_IO_NOCACHE = 1,       /* as if the file had been opened without intermediate buffering */
	SIM_IO_PAGING = 2,        /* as the memory manager does it: non-cached, IRP_PAGING_IO, never extends; APC_LEVEL */
	SIM_IO_WRITE_THROUGH = 4,
	SIM_IO_NO_FAST = 8,       /* no fast I/O attempt before the IRP */
};

/* ---- volumes ---- */

/*
 * device: "\Device\HarddiskVolume3", copied. NULL: no memory. Filters are offered the volume (instance setup) now and when they
 * start. sim_volume_free dismounts: instances are torn down first; false, and nothing freed, while files are open.
 */
struct sim_volume *sim_volume_new(const WCHAR *device);
bool sim_volume_free(struct sim_volume *volume);
/*
 * fltmc detach: the filters are asked, and leave the volume when they agree, whatever is open. The status of the one that refuses, or
 * STATUS_FLT_INSTANCE_NOT_FOUND.
 */
NTSTATUS sim_volume_detach(struct sim_volume *volume);
/*
 * A forced dismount: nobody is asked. From now on all that reaches the volume but cleanup and close is STATUS_VOLUME_DISMOUNTED, and what
 * was not written yet is lost. Filters leave; what they keep must end by itself. sim_volume_free follows once nothing is open.
 */
void sim_volume_dismount(struct sim_volume *volume);

/* Whether anything is open on it, the filters' own handles and mapped views included. Any thread. */
ULONG sim_volume_open_count(struct sim_volume *volume);

/* Bytes the volume holds in all, data of files only; reached: STATUS_DISK_FULL. Default 1 GiB of real data. */
void sim_volume_set_room(struct sim_volume *volume, ULONGLONG bytes);

/* ---- handles ---- */

struct sim_create {
	UNICODE_STRING path;      /* from the volume's root, or from `related` (then without a backslash in front); or 8 bytes of file id */
	struct sim_file *related; /* or NULL */
	ACCESS_MASK access;
	ULONG share, disposition, options, attributes;
	const void *ea;           /* FILE_FULL_EA_INFORMATION list or NULL */
	ULONG ea_length;
	LONGLONG allocation;
	ULONG process;            /* of the program; also of every later call on the file. 4 = the system */
	ULONG flags;              /* SL_OPEN_TARGET_DIRECTORY, SL_CASE_SENSITIVE or 0 */
};

/* NtCreateFile. ret_file is set on success only, ret_information (FILE_OPENED ...; may be NULL) always. */
NTSTATUS sim_create(struct sim_volume *volume, const struct sim_create *how, struct sim_file **ret_file,
	ULONG_PTR *ret_information);

/* NtQueryFullAttributesFile: the network-query-open fast path, and open, query, close where that is refused. */
NTSTATUS sim_query_full_attributes(struct sim_volume *volume, const struct sim_create *how,
	FILE_NETWORK_OPEN_INFORMATION *ret_information);

/* NtDeleteFile and the like are a sim_create with FILE_DELETE_ON_CLOSE. */

/*
 * The handle's end in its two steps. After cleanup only paging I/O happens on the file object, and operations still under way
 * are cancelled; close drops the handle's reference, and IRP_MJ_CLOSE runs when views and references are gone too. sim_close calls
 * sim_cleanup when that was not done. The struct is gone after sim_close.
 */
void sim_cleanup(struct sim_file *file);
void sim_close(struct sim_file *file);

/* The file object, for tests that look at it. */
PFILE_OBJECT sim_file_object(struct sim_file *file);

/* ---- operations. io NULL: the call waits, and as the I/O manager's synchronous form ---- */

/*
 * offset NULL: the handle's position (synchronous handles only; STATUS_INVALID_PARAMETER else), which then moves. A write at
 * *offset -1 (FILE_WRITE_TO_END_OF_FILE) appends. status->Information: bytes. key is the locks' key, 0 mostly.
 */
NTSTATUS sim_read(struct sim_file *file, struct sim_io *io, void *buffer, ULONG length, const LARGE_INTEGER *offset, ULONG flags,
	IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_write(struct sim_file *file, struct sim_io *io, const void *buffer, ULONG length, const LARGE_INTEGER *offset,
	ULONG flags, IO_STATUS_BLOCK *ret_status);

/* Cancels: NtCancelIoFileEx of one. False: it had completed, or can't be cancelled. `done` still runs, once. io must not be over. */
bool sim_cancel(struct sim_io *io);
/* NtCancelIoFile: all of the handle's. */
void sim_cancel_all(struct sim_file *file);

/* class: FileBasicInformation, ...; for renames FileRenameInformation(Ex) with the target as a path from the volume's root
 * ("\dir\name", RootDirectory NULL) or a bare name; links likewise. */
NTSTATUS sim_query_info(struct sim_file *file, FILE_INFORMATION_CLASS class, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_set_info(struct sim_file *file, FILE_INFORMATION_CLASS class, const void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);

/* pattern: NULL or empty = that of the handle's first call, or everything. */
NTSTATUS sim_query_directory(struct sim_file *file, FILE_INFORMATION_CLASS class, const UNICODE_STRING *pattern, bool restart,
	bool single, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);
/* Notification: completes when something beneath the directory changes (or never; then sim_cancel, or cleanup). */
NTSTATUS sim_notify(struct sim_file *file, struct sim_io *io, ULONG filter, bool tree, void *buffer, ULONG length,
	IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_query_volume(struct sim_file *file, FS_INFORMATION_CLASS class, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_query_ea(struct sim_file *file, void *buffer, ULONG length, const void *list, ULONG list_length, bool restart, bool single,
	IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_set_ea(struct sim_file *file, const void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_query_security(struct sim_file *file, SECURITY_INFORMATION what, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_flush(struct sim_file *file, struct sim_io *io, IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_fsctl(struct sim_file *file, struct sim_io *io, ULONG code, const void *in, ULONG in_length, void *out,
	ULONG out_length, IO_STATUS_BLOCK *ret_status);
/* Byte-range locks: immediately or not at all. */
NTSTATUS sim_lock(struct sim_file *file, ULONGLONG offset, ULONGLONG length, bool exclusive);
NTSTATUS sim_unlock(struct sim_file *file, ULONGLONG offset, ULONGLONG length);

/* ---- mapped views: paging I/O on pages of 4 KiB ---- */

/*
 * Makes the data section (acquire for section synchronisation, once per stream; length 0 = the whole file) and a view. length and
 * offset in bytes. A view of a writable mapping extends the file to its length, as NtCreateSection does. Views of one stream
 * share pages. The view holds the file object after sim_close. An access to a page is paging I/O when it isn't there: its error comes
 * back as the status (STATUS_IN_PAGE_ERROR).
 */
NTSTATUS sim_map(struct sim_file *file, bool writable, ULONGLONG length, struct sim_view **ret_view);
NTSTATUS sim_view_read(struct sim_view *view, ULONGLONG offset, void *buffer, ULONG length);
NTSTATUS sim_view_write(struct sim_view *view, ULONGLONG offset, const void *buffer, ULONG length);
NTSTATUS sim_view_flush(struct sim_view *view);
/* Dirty pages are left to the lazy writer; the last unmap leaves the section standing until its pages are clean and it is purged. */
void sim_unmap(struct sim_view *view);
ULONGLONG sim_view_size(struct sim_view *view);

/* One round of the lazy writer and of the memory manager: dirty pages of all streams are written (paging I/O), unused sections dropped. */
void sim_lazy_write(struct sim_volume *volume);

/* ---- filters ---- */

/* The number of filters registered now. */
ULONG sim_filter_count(void);
/* fltmc unload of the filter with this driver object (NULL: the first): its unload callback, with all checks. force: mandatory. */
NTSTATUS sim_filter_unload(PDRIVER_OBJECT driver, bool force);

/* ---- the verifier ---- */

/* What was violated, as lines of text; kept (up to 64) until forgotten. Any thread. A test fails when there is any. */
ULONG sim_violations(void);
const char *sim_violation(ULONG index);
void sim_violations_forget(void);

/* Reports one: detail and number stand behind the text; detail may be NULL. Any IRQL. */
void sim_violate(const char *text, const char *detail, ULONGLONG number);

/* What the simulation saw, for tests that count. */
struct sim_counts {
	ULONGLONG callbacks;        /* pre-operation callbacks called */
	ULONGLONG pended;           /* operations that a filter pended */
	ULONGLONG reads, writes;    /* that reached the volume, bytes: data of files */
	ULONGLONG paging_reads, paging_writes; /* issued */
	ULONGLONG contexts;         /* allocated and not freed, now */
	ULONGLONG names;            /* name information given and not released, now */
	ULONGLONG under_way;        /* callback data alive, now */
};
void sim_count(struct sim_counts *ret_counts);

#endif

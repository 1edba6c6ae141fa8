/*
 * What the simulation's files share: volumes, nodes (files on the volume), opens (file objects), requests, filters.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Locks, in the order in which they may be taken: sim_big (everything of volumes, nodes and caches; held over no callback and no wait
 * but for memory), then a context list's own.
 */
#ifndef INLAY_SIM_PRIVATE_H
#define INLAY_SIM_PRIVATE_H

#include <fltkernel.h>

#include "host.h"
#include "list.h"
#include "pages.h"
#include "sim.h"

#define SIM_FILTERS_MAX 4u
#define SIM_VOLUME_MAGIC 0x656d756c6f56ull
#define SIM_FILTER_MAGIC 0x7265746c6946ull
#define SIM_INSTANCE_MAGIC 0x65636e6174736e49ull
#define SIM_SYSTEM_PROCESS 4u
#define SIM_NAME_MAX 255u /* UTF-16 units of one name */

extern struct sim_mutex sim_big;

/* Before anything that may be the first use of the simulation. */
void sim_once(void);

/* Contexts that filters hung on something. */
struct sim_contexts {
	struct sim_mutex lock;
	LIST_ENTRY list; /* struct sim_context */
};

struct sim_volume {
	ULONGLONG magic;
	LIST_ENTRY link;
	LONG references; /* by filters, FltObjectReference */
	UNICODE_STRING device;
	struct sim_node *root;
	LIST_ENTRY instances; /* struct _FLT_INSTANCE, highest altitude first */
	LIST_ENTRY opens;     /* struct sim_open, until IRP_MJ_CLOSE */
	LIST_ENTRY nodes;     /* struct sim_node that have a section */
	ULONGLONG next_id, room, used;
	volatile LONG dismounted; /* whatever comes but cleanup and close ends with STATUS_VOLUME_DISMOUNTED */
};

struct sim_ea {
	struct sim_ea *next;
	UCHAR flags, name_length;
	USHORT value_length;
	CHAR text[]; /* name, NUL, value */
};

/* One file or directory. Guarded by sim_big. FileObject.FsContext points here: the header comes first. */
struct sim_node {
	FSRTL_ADVANCED_FCB_HEADER header; /* FileSize is the size */
	LONG references;          /* 1 for its place in the parent, 1 per open, 1 per child */
	struct sim_volume *volume;
	struct sim_node *parent;  /* NULL: the root */
	UNICODE_STRING name, upper;
	WCHAR short_name[12];
	UCHAR short_length;       /* units; 0 = the name is short itself */
	bool directory, unlinked, delete_pending;
	ULONGLONG id;
	ULONG attributes;         /* without FILE_ATTRIBUTE_DIRECTORY and NORMAL */
	LONGLONG created, accessed, written, changed;
	ULONGLONG reserved;       /* allocation asked for, bytes */
	struct sim_pages data;
	struct sim_ea *eas;
	struct sim_node **children; /* sorted by upper */
	ULONG child_count, child_room;
	ULONG handles;            /* not cleaned up yet */
	ULONG readers, writers, deleters, shared_read, shared_write, shared_delete, sharers;
	LIST_ENTRY locks;         /* struct sim_range */
	SECTION_OBJECT_POINTERS pointers;
	struct sim_section *section;
	LIST_ENTRY section_link;
};

struct sim_range {
	LIST_ENTRY link;
	struct sim_open *open;
	ULONGLONG offset, length;
	bool exclusive;
};

/* One file object. FileObject.FsContext2 points here. An object of the host: its last reference sends IRP_MJ_CLOSE. */
struct sim_open {
	FILE_OBJECT object;
	LIST_ENTRY link;
	struct sim_volume *volume;
	struct sim_node *node;   /* NULL until IRP_MJ_CREATE succeeded; referenced */
	PFLT_INSTANCE below;     /* opened by this filter: operations start below it; NULL: at the top */
	ACCESS_MASK granted;
	ULONG share, options, process, granted_share;
	bool opened, shares, cleaned, delete_on_close, posix_delete, stream_only;
	LIST_ENTRY requests;     /* struct sim_request under way, for cancellation */
	struct sim_contexts contexts;
	/* a directory's listing */
	UNICODE_STRING pattern, last; /* pattern in upper case; last: the upper name given last */
	bool listing, dots_done, dot_done;
	/* a directory's notification */
	bool watching, watch_tree, watch_lost;
	ULONG watch_filter;
	LIST_ENTRY events;       /* struct sim_event */
	LIST_ENTRY watch_link;
	struct sim_request *watcher; /* waits for an event */
	bool cancel_requested;
	ULONG ea_next;
};

struct sim_file {
	struct sim_open *open;
	PFLT_FILTER filter; /* whose handle it is; NULL: a program's */
	bool cleaned;
};

/* Where the data of a request lies: never the caller's own memory, so that what a filter touches too late is seen. */
struct sim_buffer {
	PVOID caller;    /* NULL: none */
	ULONG length;
	bool input;      /* copied from the caller at the start; else to the caller at the end */
	bool system;     /* a system buffer: valid anywhere until completion */
	PUCHAR user;     /* what stands for the program's address: hidden once the operation is pended without an MDL */
	PUCHAR locked;   /* what the MDL describes */
	PMDL mdl;
	PUCHAR hidden;   /* what the filter was shown before it pended the operation */
};

/* Where one filter stands with an operation. */
enum sim_stage {
	SIM_STAGE_IDLE,
	SIM_STAGE_PRE,       /* its callback runs */
	SIM_STAGE_PENDING,   /* its callback has just said so */
	SIM_STAGE_PENDED,    /* its callback said so */
	SIM_STAGE_CONTINUED, /* FltCompletePendedPreOperation, perhaps before the callback has returned */
	SIM_STAGE_PASSED,
};

struct sim_frame {
	PFLT_INSTANCE instance; /* referenced (operations under way) */
	PFLT_POST_OPERATION_CALLBACK post; /* NULL: none wanted */
	PVOID context;
	FLT_IO_PARAMETER_BLOCK seen; /* as this filter was handed it */
	volatile LONG stage;
	bool synchronize, arrived;
	KEVENT back; /* synchronize: the operation has come back up to here */
};

/* What filters see, apart from the request, so that it can vanish at completion. */
struct sim_data {
	ULONGLONG magic; /* SIM_DATA_ALIVE or _DEAD */
	struct sim_request *request; /* NULL when dead */
	LIST_ENTRY grave;
	FLT_CALLBACK_DATA data;
	FLT_IO_PARAMETER_BLOCK iopb;
};
#define SIM_DATA_ALIVE 0x616c697665447461ull
#define SIM_DATA_DEAD 0x6465616444617461ull

struct sim_request {
	LONG references;
	struct sim_data *data;
	struct sim_volume *volume;
	struct sim_open *open;  /* its file object is referenced */
	struct sim_io *io;      /* the caller's; NULL: it waits for `over` */
	KEVENT over;
	IO_STATUS_BLOCK status; /* final */
	LIST_ENTRY link;        /* in open->requests */
	bool linked, waits, unreferenced, paging, fast; /* waits: the caller will block until it is over */
	ULONG process;
	KIRQL irql;             /* at which it runs */
	volatile LONG done;
	ULONG frame_count;
	volatile ULONG frame;   /* the one that has it */
	struct sim_frame frames[SIM_FILTERS_MAX];
	PKTHREAD thread;        /* the originating one */
	volatile LONG cancelled; /* 1: asked for */
	PFLT_COMPLETE_CANCELED_CALLBACK volatile canceled; /* exchanged atomically */
	KEVENT cancel_event;    /* for who waits cancellably */
	bool held;              /* by the volume: a notification; under sim_big */
	LIST_ENTRY ready_link;
	struct sim_buffer buffer;
	IO_SECURITY_CONTEXT security;
	UNICODE_STRING name;    /* a listing's pattern */
	LARGE_INTEGER lock_length;
	PVOID info;             /* system buffer of information classes and controls */
	ULONG info_length;
	FILE_NETWORK_OPEN_INFORMATION *network;
	struct sim_open *target_parent;
};

struct _FLT_FILTER {
	ULONGLONG magic;
	LIST_ENTRY link;
	PDRIVER_OBJECT driver;
	FLT_REGISTRATION copy; /* of the head; the tables are the driver's */
	LIST_ENTRY instances;
	volatile LONG references, contexts, names; /* that it has of or from the manager */
	bool started;
};

struct _FLT_INSTANCE {
	ULONGLONG magic;
	volatile LONG given; /* references that the filter has of it */
	LIST_ENTRY filter_link, volume_link;
	PFLT_FILTER filter;
	struct sim_volume *volume;
	volatile LONG references, under_way; /* FltObjectReference; operations inside this filter */
	volatile LONG torn_down;
};

/* ---- names.c: UTF-16 strings ---- */
bool sim_string_copy(UNICODE_STRING *to, const UNICODE_STRING *from); /* allocated; false: no memory */
bool sim_string_upper(UNICODE_STRING *to, const UNICODE_STRING *from);
void sim_string_free(UNICODE_STRING *string);
LONG sim_string_compare(const UNICODE_STRING *a, const UNICODE_STRING *b); /* by units */
bool sim_string_equal(const UNICODE_STRING *a, const UNICODE_STRING *b);
bool sim_name_valid(const UNICODE_STRING *name);
/* Takes the first component off; false: none left. */
bool sim_path_next(UNICODE_STRING *path, UNICODE_STRING *ret_component);
/* Wildcards of NT (* ? < > "); both in upper case. */
bool sim_name_matches(const UNICODE_STRING *pattern, const UNICODE_STRING *name);
void sim_name_shorten(struct sim_node *parent, struct sim_node *node);

/* ---- node.c; all under sim_big ---- */
struct sim_node *sim_node_new(struct sim_volume *volume, const UNICODE_STRING *name, bool directory);
void sim_node_ref(struct sim_node *node);
void sim_node_unref(struct sim_node *node);
struct sim_node *sim_node_child(struct sim_node *directory, const UNICODE_STRING *name);
/* Index of the first child whose upper name is >= name; *ret_equal says whether it is it. */
ULONG sim_node_search(const struct sim_node *directory, const UNICODE_STRING *upper, bool *ret_equal);
NTSTATUS sim_node_link(struct sim_node *directory, struct sim_node *node);
void sim_node_unlink(struct sim_node *node);
NTSTATUS sim_node_rename(struct sim_node *node, const UNICODE_STRING *name);
ULONGLONG sim_node_size(const struct sim_node *node);
void sim_node_set_size(struct sim_node *node, ULONGLONG size);
ULONGLONG sim_node_allocation(const struct sim_node *node);
ULONG sim_node_attributes(const struct sim_node *node);
/* "\a\b"; allocated. */
bool sim_node_path(const struct sim_node *node, UNICODE_STRING *ret_path);
struct sim_node *sim_node_by_id(struct sim_node *below, ULONGLONG id);
/* Walks path from directory. On STATUS_OBJECT_NAME_NOT_FOUND only the last component is missing: *ret_parent and *ret_last say where. */
NTSTATUS sim_node_walk(struct sim_node *directory, const UNICODE_STRING *path, struct sim_node **ret_parent, UNICODE_STRING *ret_last,
	struct sim_node **ret_node);

/* ---- the volume's operations: what NTFS does with a request. STATUS_PENDING: it keeps the request ---- */
NTSTATUS sim_volume_dispatch(struct sim_request *request);
NTSTATUS sim_ntfs_create(struct sim_request *request);
NTSTATUS sim_ntfs_cleanup(struct sim_request *request);
NTSTATUS sim_ntfs_close(struct sim_request *request);
NTSTATUS sim_ntfs_read(struct sim_request *request);
NTSTATUS sim_ntfs_write(struct sim_request *request);
NTSTATUS sim_ntfs_query_info(struct sim_request *request);
NTSTATUS sim_ntfs_set_info(struct sim_request *request);
NTSTATUS sim_ntfs_rename(struct sim_request *request, ULONG class);
NTSTATUS sim_ntfs_directory(struct sim_request *request);
NTSTATUS sim_ntfs_notify(struct sim_request *request);
NTSTATUS sim_ntfs_query_volume(struct sim_request *request);
NTSTATUS sim_ntfs_fsctl(struct sim_request *request);
NTSTATUS sim_ntfs_lock(struct sim_request *request);
NTSTATUS sim_ntfs_query_ea(struct sim_request *request);
NTSTATUS sim_ntfs_set_ea(struct sim_request *request);
NTSTATUS sim_ntfs_query_security(struct sim_request *request);
NTSTATUS sim_ntfs_flush(struct sim_request *request);
NTSTATUS sim_ntfs_network_open(struct sim_request *request);

NTSTATUS sim_ea_apply(struct sim_node *node, const void *list, ULONG length);
void sim_ea_free(struct sim_node *node);
ULONG sim_ea_size(const struct sim_node *node);
bool sim_range_conflicts(struct sim_node *node, struct sim_open *open, ULONGLONG offset, ULONGLONG length, bool write);
void sim_range_drop(struct sim_node *node, struct sim_open *open);
void sim_share_leave(struct sim_open *open);
/* Fills a FILE_NETWORK_OPEN_INFORMATION. */
void sim_node_network(const struct sim_node *node, FILE_NETWORK_OPEN_INFORMATION *info);

/* ---- notify.c; sim_big is held. Requests that become ready are put on `ready`, to be completed by sim_ready_complete without the lock ---- */
void sim_notify_event(struct sim_node *parent, const UNICODE_STRING *name, ULONG action, ULONG filter, LIST_ENTRY *ready);
void sim_notify_node(struct sim_node *node, ULONG action, ULONG filter, LIST_ENTRY *ready);
void sim_notify_cleanup(struct sim_open *open, LIST_ENTRY *ready);
void sim_notify_done(struct sim_open *open);
void sim_notify_cancel(struct sim_request *request);
void sim_ready_complete(LIST_ENTRY *ready);

/* ---- cache.c ---- */
/* All without sim_big. Statuses of paging I/O. */
NTSTATUS sim_cache_read(struct sim_open *open, ULONGLONG offset, void *buffer, ULONG length, bool fault);
NTSTATUS sim_cache_write(struct sim_open *open, ULONGLONG offset, const void *buffer, ULONG length, bool fault);
NTSTATUS sim_cache_flush(struct sim_node *node, ULONGLONG offset, ULONGLONG length);
bool sim_cache_purge(struct sim_node *node, ULONGLONG offset, ULONGLONG length);
/* Under sim_big: may the size become this (no user view in the way)? And what a new size does to pages. */
bool sim_cache_may_truncate(struct sim_node *node, ULONGLONG size);
void sim_cache_truncate(struct sim_node *node, ULONGLONG size);
void sim_cache_uninitialise(struct sim_open *open);
bool sim_cache_mapped(const struct sim_node *node); /* under sim_big */
/* Drops sections that nothing uses any more, and with them their file objects. */
void sim_cache_trim(struct sim_volume *volume);

/* ---- buffer.c ---- */
NTSTATUS sim_buffer_set(struct sim_request *request, PVOID caller, ULONG length, bool input, bool system);
NTSTATUS sim_buffer_lock(struct sim_request *request);
/* The kernel's view of the data, for the volume. */
PVOID sim_buffer_data(struct sim_request *request);
void sim_buffer_hide(struct sim_request *request);
void sim_buffer_finish(struct sim_request *request, NTSTATUS status, ULONG_PTR information);

/* ---- request.c: one operation's way down and up ---- */
/* NULL: no memory. The file object is referenced until it is over. */
struct sim_request *sim_request_new(struct sim_volume *volume, struct sim_open *open, UCHAR major, UCHAR minor);
void sim_request_unref(struct sim_request *request);
/* Runs it; the caller's reference stays. Returns its status, or STATUS_PENDING when it isn't over and `waits` is false. */
NTSTATUS sim_request_run(struct sim_request *request);
/* Sends it down from its filter on, or up; for FltCompletePended... and the volume. */
void sim_request_down(struct sim_request *request, ULONG frame);
void sim_request_up(struct sim_request *request, ULONG frame); /* the frames before this one */
void sim_request_drain(struct sim_request *request, ULONG frame);
bool sim_request_cancel(struct sim_request *request);
struct sim_request *sim_request_of(PFLT_CALLBACK_DATA data, const char *who);
/* Whether the calling thread is inside the callback of paging I/O. */
bool sim_in_paging(void);
void sim_data_bury(struct sim_data *data);
void sim_graves_empty(void);

/* ---- io.c: operations of handles and of filters ---- */
struct sim_open *sim_open_of(PFILE_OBJECT object); /* NULL: not of this simulation */
struct sim_open *sim_open_new(struct sim_volume *volume, ULONG process, PFLT_INSTANCE below);
/* The whole of an open, starting below `below`. */
NTSTATUS sim_open_create(struct sim_volume *volume, const struct sim_create *how, PFLT_INSTANCE below, KPROCESSOR_MODE mode,
	struct sim_open **ret_open, ULONG_PTR *ret_information);
void sim_open_cleanup(struct sim_open *open);
void sim_open_send_close(struct sim_open *open);
/* Takes the volume's device off the path, if it begins so. */
bool sim_strip_device(const struct sim_volume *volume, UNICODE_STRING *path);
ACCESS_MASK sim_access_map(ACCESS_MASK access);
NTSTATUS sim_open_query(struct sim_open *open, PFLT_INSTANCE below, ULONG class, void *buffer, ULONG length, IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_open_set(struct sim_open *open, PFLT_INSTANCE below, ULONG class, const void *buffer, ULONG length,
	IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_open_query_ea(struct sim_open *open, PFLT_INSTANCE below, void *buffer, ULONG length, const void *list, ULONG list_length,
	bool restart, bool single, IO_STATUS_BLOCK *ret_status);
/* Paging I/O with the caller's memory as the pages. Bytes in ret_status->Information. */
NTSTATUS sim_open_paging(struct sim_open *open, bool write, ULONGLONG offset, void *pages, ULONG length, ULONG process,
	IO_STATUS_BLOCK *ret_status);
NTSTATUS sim_open_fs_filter(struct sim_open *open, UCHAR major, bool create_section, ULONG protection);

/* ---- filter.c, context.c ---- */
void sim_contexts_init(struct sim_contexts *contexts);
/* Takes out and releases those of an instance (NULL: all). */
void sim_contexts_drop(struct sim_contexts *contexts, PFLT_INSTANCE instance);
bool sim_contexts_any(struct sim_contexts *contexts, PFLT_INSTANCE instance);
const FLT_OPERATION_REGISTRATION *sim_filter_operation(PFLT_FILTER filter, UCHAR major);
void sim_filters_offer(struct sim_volume *volume);
/* Every instance on it is torn down, and no filter finds it any more. A second time it does nothing. */
void sim_filters_withdraw(struct sim_volume *volume);
/* References the instances an operation passes (all, or those below one) into its frames. */
void sim_frames_take(struct sim_request *request, PFLT_INSTANCE below);
void sim_frame_leave(struct sim_frame *frame);
ULONG sim_names_alive(void);
ULONG sim_contexts_alive(void);

/* ---- verify.c ---- */
extern struct sim_counts sim_seen;
#define SIM_COUNT(field) ((void)__atomic_add_fetch(&sim_seen.field, 1, __ATOMIC_RELAXED))
#define SIM_COUNT_BY(field, n) ((void)__atomic_add_fetch(&sim_seen.field, (ULONGLONG)(n), __ATOMIC_RELAXED))
#define SIM_UNCOUNT(field) ((void)__atomic_sub_fetch(&sim_seen.field, 1, __ATOMIC_RELAXED))
/* Reports when the thread's level is above this. */
bool sim_level_at_most(KIRQL irql, const char *function);

#endif

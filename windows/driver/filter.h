/*
 * The filter module: what it knows of an open remote file, and the callbacks that driver.c registers.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_DRIVER_FILTER_H
#define INLAY_DRIVER_FILTER_H

#include "directories.h"
#include "fltkernel.h"
#include "queue.h"

/* The extended attribute that placeholders carry. */
#define INLAY_MARK "INLAY"

/* The filter's own handle, of registration; set before callbacks come. */
extern PFLT_FILTER inlay_filter;

/*
 * A stream-handle context: one open remote file. Made before the create goes down, so that nothing can fail after it; its cleanup, when
 * the file object is gone, closes the file at the redirector. Constant after post-create but where it is said. Never paged.
 */
struct inlay_file {
	struct inlay_directory *directory; /* a reference; NULL: an orphan, whose data is refused */
	uint64_t number;              /* the redirector's; 0: none yet */
	struct inlay_request *close;  /* made beforehand; NULL once used */
	PVOID stream;                 /* FsContext: the same for all handles of the file */
	PFLT_INSTANCE instance;       /* to compare */
	ULONG sector;                 /* bytes */
	ULONG process;                /* that opened it */
	bool is_directory;
	bool counted;                 /* in directory->open_files */
	bool created;                 /* between pre- and post-create, as are the next two */
	UCHAR disposition;            /* as asked */
	USHORT attributes;            /* as asked */
	LONG listed;                  /* interlocked: a listing has begun */
	LONG removing;                /* interlocked: REMOVE_BEGIN was allowed, and no END was sent */
	LIST_ENTRY removal;           /* filter_remove.c's list */
	bool on_removals;             /* its lock */
};

/* filter_file.c. IRQL of all: APC_LEVEL, but where it is said. */

/* A context for a file of a directory, with a reference of the caller's. NULL: no memory. */
struct inlay_file *inlay_file_new(struct inlay_directory *directory, ULONG process);
/* The same for an orphan. */
struct inlay_file *inlay_file_new_orphan(void);
/* The context of an operation's file object, a reference; NULL: not a remote file. */
struct inlay_file *inlay_file_of(PCFLT_RELATED_OBJECTS objects);
void inlay_file_unref(struct inlay_file *file);
/* STATUS_SUCCESS: requests may be sent. STATUS_FILE_IS_OFFLINE, STATUS_DEVICE_NOT_CONNECTED. */
NTSTATUS inlay_file_state(struct inlay_file *file);
/* A request about a file. NULL: no memory. */
struct inlay_request *inlay_file_request(struct inlay_file *file, uint32_t kind, const UNICODE_STRING *name);
/* A request with nothing but the file and flags, asked and waited for. ret_attr may be NULL. data: as in inlay_request_ask. */
NTSTATUS inlay_file_ask(struct inlay_file *file, uint32_t kind, uint32_t flags, PFLT_CALLBACK_DATA data, struct inlay_ring_attr *ret_attr);
/* SETATTR. attr: what mask names; NULL: size 0. ret_attr may be NULL. data NULL: for the memory manager. */
NTSTATUS inlay_file_set(struct inlay_file *file, uint32_t mask, const struct inlay_ring_attr *attr, PFLT_CALLBACK_DATA data,
			struct inlay_ring_attr *ret_attr);
VOID FLTAPI inlay_file_cleanup(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type);

/* Ends an operation in its pre-callback. */
FLT_PREOP_CALLBACK_STATUS inlay_complete(PFLT_CALLBACK_DATA data, NTSTATUS status, ULONG_PTR information);

/* filter_size.c: NTFS's end of file. IRQL: PASSIVE_LEVEL, never from paging I/O, but where it is said. */

void inlay_sizes_init(void);
/* What NTFS holds for the end of file; 0 when it doesn't say. IRQL: any. */
uint64_t inlay_size_of(PFILE_OBJECT object);
/* Whether there is a data section, so that views may hold pages. IRQL: any. */
bool inlay_is_mapped(PFILE_OBJECT object);
/* Taken before the server is asked for attributes: whoever moves the end of file in between makes the answer stale. */
ULONG inlay_size_epoch(PFILE_OBJECT object);
/* Lets NTFS's end of file be what the server said, unless the answer is stale or views hold pages. */
void inlay_size_follow(PCFLT_RELATED_OBJECTS objects, uint64_t size, ULONG epoch);
/* Moves it out after a write, never in. */
NTSTATUS inlay_size_grow(PCFLT_RELATED_OBJECTS objects, uint64_t size);
/* Moves it. */
NTSTATUS inlay_size_move(PCFLT_RELATED_OBJECTS objects, uint64_t size);
/* Writes dirty pages of views to the server; offset NULL: all. */
NTSTATUS inlay_pages_flush(PFILE_OBJECT object, PLARGE_INTEGER offset, ULONG length);
void inlay_pages_purge(PFILE_OBJECT object, PLARGE_INTEGER offset, ULONG length);

/* filter_name.c. IRQL: PASSIVE_LEVEL. */

struct inlay_place {
	PFLT_FILE_NAME_INFORMATION info;   /* a reference, while there is a directory */
	struct inlay_directory *directory; /* a reference; NULL: in none */
	UNICODE_STRING rest, stream;       /* within it; point into info */
};

/* Where a create's name lies. An error only when it can't be told. post: after the create, the name that NTFS gives. */
NTSTATUS inlay_place_of_create(PFLT_CALLBACK_DATA data, bool post, struct inlay_place *ret);
/* Where the new name of a rename or link lies. buffer: FILE_RENAME_INFORMATION, checked for its length here. */
NTSTATUS inlay_place_of_target(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_place *ret);
void inlay_place_done(struct inlay_place *place);

/* filter_remove.c: deletions that NTFS does later. IRQL: PASSIVE_LEVEL. */

void inlay_removals_init(void);
/* STATUS_SUCCESS: NTFS may be told to delete it. data: as in inlay_request_ask. */
NTSTATUS inlay_removal_begin(struct inlay_file *file, PFLT_CALLBACK_DATA data);
/* Nothing will be, or was, removed through this handle. */
void inlay_removal_end(struct inlay_file *file);
/* Whether some handle of the file has begun one. IRQL: APC_LEVEL. */
bool inlay_removal_pending(struct inlay_file *file);
/* After NTFS's cleanup of a handle: sends what became of it, or waits for other handles. */
void inlay_removal_settle(PCFLT_RELATED_OBJECTS objects, struct inlay_file *file);
/* What is left of an instance (NULL: of all) is forgotten; done: and nothing is kept any more. */
void inlay_removals_drop(PFLT_INSTANCE instance);
void inlay_removals_done(void);

/* Callbacks; IRQL of all that may come with paging I/O: APC_LEVEL, else PASSIVE_LEVEL (fast I/O and FsFilter calls: APC_LEVEL). */

#define INLAY_PRE(name) \
	FLT_PREOP_CALLBACK_STATUS FLTAPI name(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID *context)
#define INLAY_POST(name) \
	FLT_POSTOP_CALLBACK_STATUS FLTAPI name(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID context, \
					       FLT_POST_OPERATION_FLAGS flags)

INLAY_PRE(inlay_pre_create);          /* filter_create.c */
INLAY_POST(inlay_post_create);        /* filter_opened.c */
INLAY_PRE(inlay_pre_read);            /* filter_io.c */
INLAY_PRE(inlay_pre_write);
INLAY_PRE(inlay_pre_fast);            /* fast I/O around IRPs: refused for remote files */
INLAY_PRE(inlay_pre_query);           /* filter_query.c */
INLAY_POST(inlay_post_query);
INLAY_PRE(inlay_pre_query_volume);
INLAY_POST(inlay_post_query_volume);
INLAY_PRE(inlay_pre_query_ea);
INLAY_PRE(inlay_pre_set_ea);
INLAY_PRE(inlay_pre_set);             /* filter_set.c */
INLAY_POST(inlay_post_set);
INLAY_PRE(inlay_pre_directory);       /* filter_directory.c */
INLAY_PRE(inlay_pre_flush);           /* filter_control.c */
INLAY_PRE(inlay_pre_fsctl);
INLAY_PRE(inlay_pre_section);
INLAY_PRE(inlay_pre_network_query_open);
INLAY_PRE(inlay_pre_cleanup);         /* filter_remove.c */
INLAY_POST(inlay_post_cleanup);

/* filter_rename.c: the part of set information that renames and links. */
FLT_PREOP_CALLBACK_STATUS inlay_rename_before(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file,
					      PVOID *context);
FLT_PREOP_CALLBACK_STATUS inlay_link_before(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, struct inlay_file *file);
/* context: of inlay_rename_before; owned. */
void inlay_rename_after(PFLT_CALLBACK_DATA data, PCFLT_RELATED_OBJECTS objects, PVOID context);

#endif

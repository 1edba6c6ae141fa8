/*
 * Files of the filter directory by native calls: opened relative to its handle, through no reparse point, by their exact
 * names however long; and the mark that makes a placeholder.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_NTFILE_H
#define INLAY_CMD_WINDOWS_NTFILE_H

#ifdef _WIN32

#include "cmd/windows/nt.h"
#include "intercept/winfilter/winfilter.h"

/* A new file: what NtCreateFile takes beside the name. */
struct inlay_ntfile_make {
	const struct inlay_placeholder_mark *mark;
	bool directory;
	const uint8_t *security; /* or NULL */
};

#define INLAY_NTFILE_LOOK (FILE_READ_ATTRIBUTES | FILE_READ_EA | SYNCHRONIZE)

/*
 * Opens what stands at a path beneath root: WTF-8, '/' between the parts, "" for root itself. Whatever it is, links and
 * directories included; shared with everybody. An NTSTATUS; close with NtClose.
 */
NTSTATUS inlay_ntfile_open(HANDLE root, const char *path, ACCESS_MASK access, HANDLE *ret);
/* The same by a name as listings give it. options: FILE_DIRECTORY_FILE or 0. */
NTSTATUS inlay_ntfile_open_name(HANDLE dir, const WCHAR *name, size_t bytes, ACCESS_MASK access, ULONG options, HANDLE *ret);
/* Makes it, with its mark from the first moment; NT_OBJECT_NAME_COLLISION when something stands there. Access: to do all with it. */
NTSTATUS inlay_ntfile_make(HANDLE root, const char *path, const struct inlay_ntfile_make *how, HANDLE *ret);

/* The status of an NTSTATUS: >= 0 is 0. */
int inlay_status_from_nt(NTSTATUS status);

/* True: it carries a mark, of whatever attachment. FILE_READ_EA. */
bool inlay_ntfile_mark(HANDLE file, struct inlay_placeholder_mark *ret);
/* mark NULL: takes it away. FILE_WRITE_EA. */
NTSTATUS inlay_ntfile_set_mark(HANDLE file, const struct inlay_placeholder_mark *mark);

/* FILE_READ_ATTRIBUTES. */
NTSTATUS inlay_ntfile_attr(HANDLE file, struct inlay_ring_attr *ret);
/* The last part of its name, its case as on the volume; WTF-8. 0 or a status. */
int inlay_ntfile_name(HANDLE file, char *buf, size_t size);
/* Times of 0 and attributes of 0 stay. FILE_WRITE_ATTRIBUTES. */
NTSTATUS inlay_ntfile_set_basic(HANDLE file, const struct inlay_ring_attr *attr);
/* FILE_WRITE_DATA. */
NTSTATUS inlay_ntfile_set_size(HANDLE file, uint64_t size);
NTSTATUS inlay_ntfile_set_sparse(HANDLE file);
/* A new name in the same directory, of another case mostly. DELETE. */
NTSTATUS inlay_ntfile_rename(HANDLE file, const char *name);
/* Its name goes at once where the volume can do that, else with the last handle; read-only ones, too. DELETE, FILE_WRITE_ATTRIBUTES. */
NTSTATUS inlay_ntfile_dispose(HANDLE file);

/*
 * Lists a directory from its beginning; each() gets entries but "." and "..", valid during the call, and stops the listing by a
 * negative status, which is returned. 0 or a status. FILE_LIST_DIRECTORY.
 */
int inlay_ntfile_list(HANDLE dir, int (*each)(void *arg, const struct nt_entry *e), void *arg);

#endif
#endif

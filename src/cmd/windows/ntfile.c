/*
 * Files of the filter directory by native calls.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/ntfile.h"

#include "base/status.h"
#include "intercept/winfilter/names.h"
#include "os/windows/error.h"

#include <stdlib.h>
#include <string.h>

#define MARK_NAME "INLAY"
#define MARK_VERSION 1u
#define LIST_ROOM 65536u
#define NAME_ROOM (65536u + sizeof(struct nt_name))
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* The attribute's value, as it lies on the volume. */
struct mark_value {
	uint32_t version;
	struct inlay_uuid attachment;
	struct inlay_node_id node;
};

/* The one attribute as NtCreateFile and NtSetEaFile take it. */
union mark_ea {
	struct nt_ea ea;
	uint8_t room[offsetof(struct nt_ea, name) + sizeof(MARK_NAME) + sizeof(struct mark_value)];
};

_Static_assert(sizeof(struct mark_value) == 60, "the layout on the volume is fixed");

int inlay_status_from_nt(NTSTATUS status)
{
	switch (status) {
	case NT_DELETE_PENDING:
	case NT_CANNOT_DELETE:
		return -INLAY_EBUSY;
	case NT_REPARSE_POINT_ENCOUNTERED:
		return -INLAY_ELOOP;
	case NT_FILE_IS_A_DIRECTORY:
		return -INLAY_EISDIR;
	case NT_EAS_NOT_SUPPORTED:
		return -INLAY_ENOTSUP;
	default:
		return status >= 0 ? 0 : inlay_status_from_win32(RtlNtStatusToDosError(status));
	}
}

/* ---- opening ---- */

struct opening {
	ACCESS_MASK access;
	ULONG disposition, options, attributes;
	union mark_ea *ea;
	const void *security;
};

static NTSTATUS open_at(HANDLE root, const WCHAR *name, size_t bytes, const struct opening *o, HANDLE *ret)
{
	UNICODE_STRING text = {.Length = (USHORT)bytes, .MaximumLength = (USHORT)bytes, .Buffer = (WCHAR *)(uintptr_t)name};
	OBJECT_ATTRIBUTES at = {.Length = sizeof(at), .RootDirectory = root, .ObjectName = &text,
	                        .Attributes = OBJ_CASE_INSENSITIVE | NT_DONT_REPARSE,
	                        .SecurityDescriptor = (void *)(uintptr_t)o->security};
	IO_STATUS_BLOCK io;

	if (bytes > 0xfffe)
		return NT_OBJECT_NAME_INVALID;
	/* Backup intent: with the privileges that were enabled, what the directory's owner forbids the system is no hindrance. */
	return NtCreateFile(ret, o->access, &at, &io, NULL, o->attributes, SHARE_ALL, o->disposition,
		o->options | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_REPARSE_POINT | FILE_OPEN_FOR_BACKUP_INTENT, o->ea,
		o->ea ? sizeof(*o->ea) : 0);
}

static NTSTATUS open_path(HANDLE root, const char *path, const struct opening *o, HANDLE *ret)
{
	size_t len = strlen(path);
	uint16_t *units = malloc(2 * len + 2);
	NTSTATUS status;
	int64_t count;

	if (!units)
		return NT_STATUS(0xC0000017); /* STATUS_NO_MEMORY */
	count = inlay_wtf8_to_utf16(inlay_str(path), units, len);
	for (int64_t i = 0; i < count; i++)
		units[i] = units[i] == '/' ? '\\' : units[i];
	status = count < 0 ? NT_OBJECT_NAME_INVALID : open_at(root, (const WCHAR *)units, 2 * (size_t)count, o, ret);
	free(units);
	return status;
}

NTSTATUS inlay_ntfile_open(HANDLE root, const char *path, ACCESS_MASK access, HANDLE *ret)
{
	struct opening o = {.access = access, .disposition = FILE_OPEN};

	return open_path(root, path, &o, ret);
}

NTSTATUS inlay_ntfile_open_name(HANDLE dir, const WCHAR *name, size_t bytes, ACCESS_MASK access, ULONG options, HANDLE *ret)
{
	struct opening o = {.access = access, .disposition = FILE_OPEN, .options = options};

	return open_at(dir, name, bytes, &o, ret);
}

static void fill_mark(union mark_ea *ea, const struct inlay_placeholder_mark *mark)
{
	struct mark_value value = {.version = MARK_VERSION};

	*ea = (union mark_ea){.ea = {.name_length = sizeof(MARK_NAME) - 1}};
	memcpy(ea->ea.name, MARK_NAME, sizeof(MARK_NAME));
	if (!mark)
		return; /* a value of no length takes the attribute away */
	value.attachment = mark->attachment;
	value.node = mark->node;
	ea->ea.value_length = sizeof(value);
	memcpy(ea->room + offsetof(struct nt_ea, name) + sizeof(MARK_NAME), &value, sizeof(value));
}

NTSTATUS inlay_ntfile_make(HANDLE root, const char *path, const struct inlay_ntfile_make *how, HANDLE *ret)
{
	union mark_ea ea;
	struct opening o = {.access = FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | FILE_WRITE_EA | DELETE | SYNCHRONIZE,
	                    .disposition = FILE_CREATE, .ea = &ea, .security = how->security};

	fill_mark(&ea, how->mark);
	if (how->directory) {
		o.options = FILE_DIRECTORY_FILE;
		o.attributes = FILE_ATTRIBUTE_DIRECTORY;
	} else {
		o.access |= FILE_WRITE_DATA;
		o.options = FILE_NON_DIRECTORY_FILE;
		o.attributes = FILE_ATTRIBUTE_NORMAL;
	}
	return open_path(root, path, &o, ret);
}

/* ---- the mark ---- */

bool inlay_ntfile_mark(HANDLE file, struct inlay_placeholder_mark *ret)
{
	union { /* aligned as the kernel wants it */
		struct nt_ea_wanted wanted;
		uint8_t room[offsetof(struct nt_ea_wanted, name) + sizeof(MARK_NAME)];
	} list = {.wanted = {.name_length = sizeof(MARK_NAME) - 1}};
	struct mark_value value;
	union mark_ea ea = {0};
	IO_STATUS_BLOCK io;

	memcpy(list.room + offsetof(struct nt_ea_wanted, name), MARK_NAME, sizeof(MARK_NAME));
	if (NtQueryEaFile(file, &io, &ea, sizeof(ea), TRUE, &list, offsetof(struct nt_ea_wanted, name) + sizeof(MARK_NAME), NULL, TRUE) < 0)
		return false;
	if (ea.ea.value_length != sizeof(value) || ea.ea.name_length != sizeof(MARK_NAME) - 1)
		return false;
	memcpy(&value, ea.room + offsetof(struct nt_ea, name) + sizeof(MARK_NAME), sizeof(value));
	if (value.version != MARK_VERSION)
		return false;
	ret->attachment = value.attachment;
	ret->node = value.node;
	return true;
}

NTSTATUS inlay_ntfile_set_mark(HANDLE file, const struct inlay_placeholder_mark *mark)
{
	IO_STATUS_BLOCK io;
	union mark_ea ea;
	ULONG length = offsetof(struct nt_ea, name) + sizeof(MARK_NAME);

	fill_mark(&ea, mark);
	return NtSetEaFile(file, &io, &ea, mark ? (ULONG)sizeof(ea) : length);
}

/* ---- attributes ---- */

static NTSTATUS query(HANDLE file, enum nt_class class, void *buf, size_t size)
{
	IO_STATUS_BLOCK io;

	return NtQueryInformationFile(file, &io, buf, (ULONG)size, (FILE_INFORMATION_CLASS)class);
}

static NTSTATUS set(HANDLE file, enum nt_class class, void *buf, size_t size)
{
	IO_STATUS_BLOCK io;

	return NtSetInformationFile(file, &io, buf, (ULONG)size, (FILE_INFORMATION_CLASS)class);
}

NTSTATUS inlay_ntfile_attr(HANDLE file, struct inlay_ring_attr *ret)
{
	struct nt_network_open n;
	struct nt_standard s;
	LARGE_INTEGER index = {.QuadPart = 0};
	NTSTATUS status = query(file, NT_NETWORK_OPEN, &n, sizeof(n));

	if (status >= 0)
		status = query(file, NT_STANDARD, &s, sizeof(s));
	if (status < 0)
		return status;
	(void)query(file, NT_INTERNAL, &index, sizeof(index));
	*ret = (struct inlay_ring_attr){.size = (uint64_t)n.end_of_file.QuadPart, .allocation = (uint64_t)n.allocation.QuadPart,
		.created = n.created.QuadPart, .accessed = n.accessed.QuadPart, .written = n.written.QuadPart,
		.changed = n.changed.QuadPart, .index = (uint64_t)index.QuadPart, .attributes = n.attributes, .links = s.links};
	return status;
}

int inlay_ntfile_name(HANDLE file, char *buf, size_t size)
{
	struct nt_name *n = malloc(NAME_ROOM);
	NTSTATUS nt;
	size_t first, count;
	int64_t len;

	if (!n)
		return -INLAY_ENOMEM;
	/* What was opened may be a short name; the normalized one never is. */
	nt = query(file, NT_NORMALIZED_NAME, n, NAME_ROOM);
	if (nt < 0)
		nt = query(file, NT_NAME, n, NAME_ROOM);
	if (nt < 0) {
		free(n);
		return inlay_status_from_nt(nt);
	}
	count = n->length / sizeof(WCHAR);
	for (first = count; first > 0 && n->name[first - 1] != '\\';)
		first--;
	len = inlay_wtf8_from_utf16((const uint8_t *)(n->name + first), count - first, buf, size - 1);
	free(n);
	if (len < 0)
		return (int)len;
	buf[len] = '\0';
	return 0;
}

NTSTATUS inlay_ntfile_set_basic(HANDLE file, const struct inlay_ring_attr *attr)
{
	struct nt_basic b = {.created = {.QuadPart = attr->created}, .accessed = {.QuadPart = attr->accessed},
	                     .written = {.QuadPart = attr->written}, .changed = {.QuadPart = attr->changed},
	                     .attributes = attr->attributes};

	return set(file, NT_BASIC, &b, sizeof(b));
}

NTSTATUS inlay_ntfile_set_size(HANDLE file, uint64_t size)
{
	LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};

	return set(file, NT_END_OF_FILE, &end, sizeof(end));
}

NTSTATUS inlay_ntfile_set_sparse(HANDLE file)
{
	IO_STATUS_BLOCK io;

	return NtFsControlFile(file, NULL, NULL, NULL, &io, FSCTL_SET_SPARSE, NULL, 0, NULL, 0);
}

NTSTATUS inlay_ntfile_rename(HANDLE file, const char *name)
{
	union {
		struct nt_rename rename;
		uint8_t room[offsetof(struct nt_rename, name) + 2 * INLAY_WINNAME_UNITS + 8];
	} r = {0};
	int64_t count = inlay_wtf8_to_utf16(inlay_str(name), (uint16_t *)(void *)(r.room + offsetof(struct nt_rename, name)), INLAY_WINNAME_UNITS);

	if (count < 0)
		return NT_OBJECT_NAME_INVALID;
	r.rename.length = (ULONG)(2 * count);
	return set(file, NT_RENAME, &r, sizeof(r));
}

NTSTATUS inlay_ntfile_dispose(HANDLE file)
{
	ULONG flags = NT_DISPOSE_DELETE | NT_DISPOSE_POSIX | NT_DISPOSE_IGNORE_READONLY;
	struct inlay_ring_attr plain = {.attributes = FILE_ATTRIBUTE_NORMAL};
	BOOLEAN now = TRUE;
	NTSTATUS status = set(file, NT_DISPOSITION_EX, &flags, sizeof(flags));

	if (status >= 0 || status == NT_DIRECTORY_NOT_EMPTY || status == NT_SHARING_VIOLATION || status == NT_DELETE_PENDING)
		return status;
	/* Older systems and other file systems. */
	status = set(file, NT_DISPOSITION, &now, sizeof(now));
	if (status == NT_CANNOT_DELETE && inlay_ntfile_set_basic(file, &plain) >= 0)
		status = set(file, NT_DISPOSITION, &now, sizeof(now));
	return status;
}

/* ---- listing ---- */

static bool is_dots(const struct nt_entry *e)
{
	return (e->name_length == 2 && e->name[0] == '.') || (e->name_length == 4 && e->name[0] == '.' && e->name[1] == '.');
}

static int visit_batch(const uint8_t *room, size_t len, int (*each)(void *arg, const struct nt_entry *e), void *arg)
{
	size_t at = 0;

	for (;;) {
		const struct nt_entry *e = (const struct nt_entry *)(const void *)(room + at);
		int status = 0;

		if (at + offsetof(struct nt_entry, name) > len || e->name_length > len - at - offsetof(struct nt_entry, name))
			return -INLAY_EIO;
		if (!is_dots(e))
			status = each(arg, e);
		if (status < 0 || !e->next)
			return status;
		at += e->next;
	}
}

int inlay_ntfile_list(HANDLE dir, int (*each)(void *arg, const struct nt_entry *e), void *arg)
{
	uint8_t *room = malloc(LIST_ROOM);
	BOOLEAN restart = TRUE;
	int status = 0;

	if (!room)
		return -INLAY_ENOMEM;
	while (status == 0) {
		IO_STATUS_BLOCK io = {.Information = 0};
		NTSTATUS nt = NtQueryDirectoryFile(dir, NULL, NULL, NULL, &io, room, LIST_ROOM,
			(FILE_INFORMATION_CLASS)NT_ID_FULL_DIRECTORY, FALSE, NULL, restart);

		if (nt == NT_NO_MORE_FILES || nt == NT_NO_SUCH_FILE)
			break;
		status = nt < 0 ? inlay_status_from_nt(nt) : visit_batch(room, io.Information, each, arg);
		restart = FALSE;
	}
	free(room);
	return status;
}

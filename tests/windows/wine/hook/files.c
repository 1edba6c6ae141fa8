/*
 * The hook library's replacements of ntdll's file functions.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "hook.h"

NTSYSAPI NTSTATUS NTAPI NtSetEvent(HANDLE event, LONG *ret_before);

enum {
	SYNCHRONOUS = 0x30,
	NAME_INFORMATION = 9,
	RENAME_INFORMATION = 10,
	LINK_INFORMATION = 11,
	COMPLETION_INFORMATION = 30,
	NOTIFICATION_INFORMATION = 41,
	RENAME_INFORMATION_EX = 65,
	LINK_INFORMATION_EX = 72,
	OBJECT_BASIC = 0,
	OBJECT_NAME = 1,
};

/* FILE_RENAME_INFORMATION and FILE_LINK_INFORMATION. */
struct target {
	ULONG flags;
	HANDLE root;
	ULONG length;
	WCHAR name[];
};

static bool prefixed(const UNICODE_STRING *name, const WCHAR *prefix, ULONG *ret_length)
{
	ULONG i = 0;

	for (; prefix[i]; i++) {
		WCHAR c;

		if (i * sizeof(WCHAR) >= name->Length)
			return false;
		c = name->Buffer[i];
		if ((c >= 'a' && c <= 'z' ? c - 32 : c) != (prefix[i] >= 'a' && prefix[i] <= 'z' ? prefix[i] - 32 : prefix[i]))
			return false;
	}
	*ret_length = i;
	return true;
}

bool hook_path(const UNICODE_STRING *name, UNICODE_STRING *ret_path)
{
	static WCHAR root[] = L"\\";
	ULONG skip;

	if (!name || !name->Buffer ||
		(!prefixed(name, L"\\??\\I:", &skip) && !prefixed(name, L"\\DosDevices\\I:", &skip) && !prefixed(name, DRIVE_DEVICE, &skip)))
		return false;
	ret_path->Buffer = name->Buffer + skip;
	ret_path->Length = (USHORT)(name->Length - skip * sizeof(WCHAR));
	ret_path->MaximumLength = ret_path->Length;
	if (ret_path->Length && ret_path->Buffer[0] != '\\')
		return false;
	if (!ret_path->Length && prefixed(name, DRIVE_DEVICE, &skip))
		return false;
	if (ret_path->Length == sizeof(WCHAR))
		ret_path->Buffer = root;
	return true;
}

/* Whether an open is the drive's: its path, or its name relative to an open directory of the drive. */
static bool ours(const OBJECT_ATTRIBUTES *attr, UNICODE_STRING *ret_path)
{
	static const UNICODE_STRING nothing;

	if (!attr)
		return false;
	if (attr->RootDirectory) {
		*ret_path = attr->ObjectName ? *attr->ObjectName : nothing;
		return hook_is_ours(attr->RootDirectory);
	}
	return hook_path(attr->ObjectName, ret_path);
}

static NTSTATUS bare_open(HANDLE *ret, ULONG flags, ULONG options)
{
	static WCHAR text[] = DRIVE_DEVICE;
	UNICODE_STRING name = { sizeof(text) - sizeof(WCHAR), sizeof(text), text };
	OBJECT_ATTRIBUTES attr;
	IO_STATUS_BLOCK io;

	InitializeObjectAttributes(&attr, &name, flags, NULL, NULL);
	return real.NtOpenFile(ret, FILE_READ_DATA | FILE_WRITE_DATA | DELETE | READ_CONTROL | SYNCHRONIZE, &attr, &io,
		FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, options & SYNCHRONOUS);
}

static NTSTATUS open_call(HANDLE handle, struct drive_call *call, const OBJECT_ATTRIBUTES *attr, const UNICODE_STRING *path,
	const void *ea, void *answer, ULONG room, IO_STATUS_BLOCK *io)
{
	call->length = path->Length;
	if (attr->RootDirectory)
		call->related = hook_number(attr->RootDirectory);
	return hook_call(handle, call, path->Buffer, ea, answer, room, io);
}

/* Wine's own libraries move with DELETE alone and set attributes with SYNCHRONIZE alone, where Windows' ask for what they use. */
static ACCESS_MASK access_meant(ACCESS_MASK access)
{
	if (access == SYNCHRONIZE)
		return access | FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES;
	return access & DELETE ? access | FILE_READ_ATTRIBUTES : access;
}

NTSTATUS NTAPI hook_NtCreateFile(HANDLE *ret, ACCESS_MASK access, OBJECT_ATTRIBUTES *attr, IO_STATUS_BLOCK *io,
	LARGE_INTEGER *allocation, ULONG attributes, ULONG share, ULONG disposition, ULONG options, void *ea, ULONG ea_length)
{
	UNICODE_STRING path;
	struct drive_call call;
	HANDLE handle;
	NTSTATUS status;

	if (!ours(attr, &path))
		return real.NtCreateFile(ret, access, attr, io, allocation, attributes, share, disposition, options, ea, ea_length);
	*ret = NULL;
	/* the volume itself: Wine would look for a CD's label on it, and asks the root directory when there is no such device */
	if (!attr->RootDirectory && !path.Length)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	status = bare_open(&handle, attr->Attributes & OBJ_INHERIT, options);
	if (!NT_SUCCESS(status))
		return status;
	hook_call_fill(&call, DRIVE_CREATE);
	call.access = access_meant(access);
	call.share = share;
	call.disposition = disposition;
	call.options = options;
	call.attributes = attributes;
	call.extra = ea ? ea_length : 0;
	call.size = allocation ? (uint64_t)allocation->QuadPart : 0;
	status = open_call(handle, &call, attr, &path, ea, NULL, 0, io);
	if (!NT_SUCCESS(status)) {
		real.NtClose(handle);
		return status;
	}
	hook_mark(handle, true);
	*ret = handle;
	return status;
}

NTSTATUS NTAPI hook_NtOpenFile(HANDLE *ret, ACCESS_MASK access, OBJECT_ATTRIBUTES *attr, IO_STATUS_BLOCK *io, ULONG share,
	ULONG options)
{
	UNICODE_STRING path;

	if (!ours(attr, &path))
		return real.NtOpenFile(ret, access, attr, io, share, options);
	return hook_NtCreateFile(ret, access, attr, io, NULL, 0, share, FILE_OPEN, options, NULL, 0);
}

static bool last_handle(HANDLE handle)
{
	ULONG basic[14] = { 0 }; /* OBJECT_BASIC_INFORMATION: attributes, access, handles, ... */

	return NT_SUCCESS(real.NtQueryObject(handle, OBJECT_BASIC, basic, sizeof(basic), NULL)) && basic[2] <= 1;
}

/* Wine closes without waiting for the driver; a program may rely on what its close has done. */
NTSTATUS NTAPI hook_NtClose(HANDLE handle)
{
	if (hook_is_ours(handle)) {
		struct drive_call call;
		IO_STATUS_BLOCK io;

		hook_mark(handle, false);
		hook_call_fill(&call, DRIVE_CLEANUP);
		if (last_handle(handle))
			hook_call(handle, &call, NULL, NULL, NULL, 0, &io);
	}
	return real.NtClose(handle);
}

/* No offset means the handle's position; Wine would send 0. */
static LARGE_INTEGER *offset_to_send(LARGE_INTEGER *offset, LARGE_INTEGER *room)
{
	if (offset)
		return offset;
	room->QuadPart = -2;
	return room;
}

NTSTATUS NTAPI hook_NtReadFile(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io, void *buffer,
	ULONG length, LARGE_INTEGER *offset, ULONG *key)
{
	LARGE_INTEGER room;

	if (hook_is_ours(handle))
		offset = offset_to_send(offset, &room);
	return real.NtReadFile(handle, event, apc, context, io, buffer, length, offset, key);
}

NTSTATUS NTAPI hook_NtWriteFile(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io,
	const void *buffer, ULONG length, LARGE_INTEGER *offset, ULONG *key)
{
	LARGE_INTEGER room;

	if (hook_is_ours(handle))
		offset = offset_to_send(offset, &room);
	return real.NtWriteFile(handle, event, apc, context, io, buffer, length, offset, key);
}

NTSTATUS NTAPI hook_NtQueryInformationFile(HANDLE handle, IO_STATUS_BLOCK *io, void *buffer, ULONG length, ULONG class)
{
	struct drive_call call;

	if (!hook_is_ours(handle) || class == NOTIFICATION_INFORMATION)
		return real.NtQueryInformationFile(handle, io, buffer, length, class);
	hook_call_fill(&call, DRIVE_QUERY_INFO);
	call.class = class;
	return io->Status = hook_call(handle, &call, NULL, NULL, buffer, length, io);
}

/* The target's path from the drive's root; false when it is elsewhere. Bare names stay as they are. */
static bool target_path(const struct target *target, UNICODE_STRING *ret_path)
{
	UNICODE_STRING name = { (USHORT)target->length, (USHORT)target->length, (WCHAR *)target->name };

	*ret_path = name;
	return !name.Length || name.Buffer[0] != '\\' || hook_path(&name, ret_path);
}

/* The name of an open file from the drive's root, in room; 0 when it can't be had. */
static ULONG name_of(HANDLE handle, WCHAR *room, ULONG bytes)
{
	struct drive_call call;
	IO_STATUS_BLOCK io;
	ULONG *answer = malloc(bytes + 4), length = 0;

	hook_call_fill(&call, DRIVE_QUERY_INFO);
	call.class = NAME_INFORMATION;
	if (answer && NT_SUCCESS(hook_call(handle, &call, NULL, NULL, answer, bytes + 4, &io)) && answer[0] <= bytes) {
		length = answer[0];
		memcpy(room, answer + 1, length);
	}
	free(answer);
	return length;
}

static NTSTATUS set_target(HANDLE handle, IO_STATUS_BLOCK *io, const struct target *target, ULONG class)
{
	enum { ROOM = 65536 };
	struct target *made;
	UNICODE_STRING path;
	struct drive_call call;
	ULONG used = 0;
	NTSTATUS status;

	if (!target_path(target, &path))
		return STATUS_NOT_SAME_DEVICE;
	made = malloc(sizeof(*made) + ROOM + path.Length + sizeof(WCHAR));
	if (!made)
		return STATUS_NO_MEMORY;
	if (target->root) {
		used = hook_is_ours(target->root) ? name_of(target->root, made->name, ROOM) : 0;
		if (used && made->name[used / sizeof(WCHAR) - 1] != '\\') {
			made->name[used / sizeof(WCHAR)] = '\\';
			used += (ULONG)sizeof(WCHAR);
		}
	}
	memcpy((UCHAR *)made->name + used, path.Buffer, path.Length);
	made->flags = target->flags;
	made->root = NULL;
	made->length = used + path.Length;
	hook_call_fill(&call, DRIVE_SET_INFO);
	call.class = class;
	call.length = (ULONG)offsetof(struct target, name) + made->length;
	if (call.length < sizeof(struct target) + sizeof(WCHAR))
		call.length = (ULONG)(sizeof(struct target) + sizeof(WCHAR));
	status = hook_call(handle, &call, made, NULL, NULL, 0, io);
	free(made);
	return status;
}

NTSTATUS NTAPI hook_NtSetInformationFile(HANDLE handle, IO_STATUS_BLOCK *io, void *buffer, ULONG length, ULONG class)
{
	bool naming = class == RENAME_INFORMATION || class == LINK_INFORMATION || class == RENAME_INFORMATION_EX ||
		class == LINK_INFORMATION_EX;
	struct drive_call call;
	UNICODE_STRING path;

	if (!hook_is_ours(handle)) {
		UNICODE_STRING name = { 0 };

		if (naming && length >= sizeof(struct target)) {
			const struct target *target = buffer;

			name = (UNICODE_STRING){ (USHORT)target->length, (USHORT)target->length, (WCHAR *)target->name };
			if (hook_path(&name, &path))
				return STATUS_NOT_SAME_DEVICE;
		}
		return real.NtSetInformationFile(handle, io, buffer, length, class);
	}
	if (class == COMPLETION_INFORMATION || class == NOTIFICATION_INFORMATION)
		return real.NtSetInformationFile(handle, io, buffer, length, class);
	if (naming && length >= offsetof(struct target, name))
		return io->Status = set_target(handle, io, buffer, class);
	hook_call_fill(&call, DRIVE_SET_INFO);
	call.class = class;
	call.length = length;
	return io->Status = hook_call(handle, &call, buffer, NULL, NULL, 0, io);
}

/* What Windows may answer later is answered at once here. */
static NTSTATUS at_once(HANDLE event, IO_STATUS_BLOCK *io, NTSTATUS status)
{
	if (io)
		io->Status = status;
	if (event && !NT_ERROR(status))
		NtSetEvent(event, NULL);
	return status;
}

NTSTATUS NTAPI hook_NtQueryDirectoryFile(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io,
	void *buffer, ULONG length, ULONG class, BOOLEAN single, UNICODE_STRING *pattern, BOOLEAN restart)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtQueryDirectoryFile(handle, event, apc, context, io, buffer, length, class, single, pattern, restart);
	hook_call_fill(&call, DRIVE_QUERY_DIRECTORY);
	call.class = class;
	call.flags = (single ? DRIVE_SINGLE : 0u) | (restart ? DRIVE_RESTART : 0u) | (pattern ? DRIVE_PATTERN : 0u);
	call.length = pattern ? pattern->Length : 0;
	return at_once(event, io, hook_call(handle, &call, pattern ? pattern->Buffer : NULL, NULL, buffer, length, io));
}

static NTSTATUS query_by_name(const OBJECT_ATTRIBUTES *attr, const UNICODE_STRING *path, FILE_NETWORK_OPEN_INFORMATION *ret)
{
	struct drive_call call;
	IO_STATUS_BLOCK io;
	HANDLE bare;
	NTSTATUS status = bare_open(&bare, 0, SYNCHRONOUS);

	if (!NT_SUCCESS(status))
		return status;
	hook_call_fill(&call, DRIVE_QUERY_ATTRIBUTES);
	call.access = FILE_READ_ATTRIBUTES;
	call.share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	call.disposition = FILE_OPEN;
	status = open_call(bare, &call, attr, path, NULL, ret, sizeof(*ret), &io);
	real.NtClose(bare);
	return status;
}

NTSTATUS NTAPI hook_NtQueryFullAttributesFile(const OBJECT_ATTRIBUTES *attr, void *ret)
{
	UNICODE_STRING path;

	return ours(attr, &path) ? query_by_name(attr, &path, ret) : real.NtQueryFullAttributesFile(attr, ret);
}

NTSTATUS NTAPI hook_NtQueryAttributesFile(const OBJECT_ATTRIBUTES *attr, void *ret)
{
	FILE_NETWORK_OPEN_INFORMATION all;
	FILE_BASIC_INFORMATION *basic = ret;
	UNICODE_STRING path;
	NTSTATUS status;

	if (!ours(attr, &path))
		return real.NtQueryAttributesFile(attr, ret);
	status = query_by_name(attr, &path, &all);
	if (NT_SUCCESS(status)) {
		basic->CreationTime = all.CreationTime;
		basic->LastAccessTime = all.LastAccessTime;
		basic->LastWriteTime = all.LastWriteTime;
		basic->ChangeTime = all.ChangeTime;
		basic->FileAttributes = all.FileAttributes;
	}
	return status;
}

NTSTATUS NTAPI hook_NtDeleteFile(OBJECT_ATTRIBUTES *attr)
{
	UNICODE_STRING path;
	IO_STATUS_BLOCK io;
	HANDLE handle;
	NTSTATUS status;

	if (!ours(attr, &path))
		return real.NtDeleteFile(attr);
	status = hook_NtCreateFile(&handle, DELETE, attr, &io, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
		FILE_OPEN, FILE_DELETE_ON_CLOSE, NULL, 0);
	return NT_SUCCESS(status) ? hook_NtClose(handle) : status;
}

NTSTATUS NTAPI hook_NtLockFile(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io,
	LARGE_INTEGER *offset, LARGE_INTEGER *size, ULONG *key, BOOLEAN dont_wait, BOOLEAN exclusive)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtLockFile(handle, event, apc, context, io, offset, size, key, dont_wait, exclusive);
	hook_call_fill(&call, DRIVE_LOCK);
	call.offset = (uint64_t)offset->QuadPart;
	call.size = (uint64_t)size->QuadPart;
	call.flags = (dont_wait ? 0u : DRIVE_WAIT) | (exclusive ? DRIVE_EXCLUSIVE : 0u);
	return at_once(event, io, hook_call(handle, &call, NULL, NULL, NULL, 0, io));
}

NTSTATUS NTAPI hook_NtUnlockFile(HANDLE handle, IO_STATUS_BLOCK *io, LARGE_INTEGER *offset, LARGE_INTEGER *size, ULONG *key)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtUnlockFile(handle, io, offset, size, key);
	hook_call_fill(&call, DRIVE_UNLOCK);
	call.offset = (uint64_t)offset->QuadPart;
	call.size = (uint64_t)size->QuadPart;
	return at_once(NULL, io, hook_call(handle, &call, NULL, NULL, NULL, 0, io));
}

NTSTATUS NTAPI hook_NtQueryVolumeInformationFile(HANDLE handle, IO_STATUS_BLOCK *io, void *buffer, ULONG length, ULONG class)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtQueryVolumeInformationFile(handle, io, buffer, length, class);
	hook_call_fill(&call, DRIVE_QUERY_VOLUME);
	call.class = class;
	return io->Status = hook_call(handle, &call, NULL, NULL, buffer, length, io);
}

NTSTATUS NTAPI hook_NtFsControlFile(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context, IO_STATUS_BLOCK *io,
	ULONG code, void *in, ULONG in_length, void *out, ULONG out_length)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtFsControlFile(handle, event, apc, context, io, code, in, in_length, out, out_length);
	hook_call_fill(&call, DRIVE_FSCTL);
	call.class = code;
	call.length = in ? in_length : 0;
	return at_once(event, io, hook_call(handle, &call, in, NULL, out, out ? out_length : 0, io));
}

NTSTATUS NTAPI hook_NtNotifyChangeDirectoryFile(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, void *context,
	IO_STATUS_BLOCK *io, void *buffer, ULONG length, ULONG filter, BOOLEAN tree)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtNotifyChangeDirectoryFile(handle, event, apc, context, io, buffer, length, filter, tree);
	hook_call_fill(&call, DRIVE_NOTIFY);
	call.class = filter;
	call.flags = tree ? DRIVE_TREE : 0;
	return NtDeviceIoControlFile(handle, event, apc, context, io, DRIVE_ASYNC, &call, sizeof(call), buffer, length);
}

NTSTATUS NTAPI hook_NtQueryEaFile(HANDLE handle, IO_STATUS_BLOCK *io, void *buffer, ULONG length, BOOLEAN single, void *list,
	ULONG list_length, ULONG *index, BOOLEAN restart)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtQueryEaFile(handle, io, buffer, length, single, list, list_length, index, restart);
	hook_call_fill(&call, DRIVE_QUERY_EA);
	call.flags = (single ? DRIVE_SINGLE : 0u) | (restart ? DRIVE_RESTART : 0u);
	call.length = list ? list_length : 0;
	return io->Status = hook_call(handle, &call, list, NULL, buffer, length, io);
}

NTSTATUS NTAPI hook_NtSetEaFile(HANDLE handle, IO_STATUS_BLOCK *io, void *buffer, ULONG length)
{
	struct drive_call call;

	if (!hook_is_ours(handle))
		return real.NtSetEaFile(handle, io, buffer, length);
	hook_call_fill(&call, DRIVE_SET_EA);
	call.length = length;
	return io->Status = hook_call(handle, &call, buffer, NULL, NULL, 0, io);
}

NTSTATUS NTAPI hook_NtQuerySecurityObject(HANDLE handle, ULONG what, void *buffer, ULONG length, ULONG *ret_length)
{
	struct drive_call call;
	IO_STATUS_BLOCK io = { 0 };
	NTSTATUS status;

	if (!hook_is_ours(handle))
		return real.NtQuerySecurityObject(handle, what, buffer, length, ret_length);
	hook_call_fill(&call, DRIVE_QUERY_SECURITY);
	call.class = what;
	status = hook_call(handle, &call, NULL, NULL, buffer, length, &io);
	if (ret_length)
		*ret_length = (ULONG)io.Information;
	return status;
}

/* A name as Wine's own files have it, so that GetFinalPathNameByHandle knows it. */
NTSTATUS NTAPI hook_NtQueryObject(HANDLE handle, ULONG class, void *buffer, ULONG length, ULONG *ret_length)
{
	static const WCHAR prefix[] = L"\\??\\I:";
	enum { PREFIX = sizeof(prefix) - sizeof(WCHAR), ROOM = 65536 };
	UNICODE_STRING *name = buffer;
	WCHAR *text;
	ULONG used, wanted;

	if (!hook_is_ours(handle) || class != OBJECT_NAME)
		return real.NtQueryObject(handle, class, buffer, length, ret_length);
	text = malloc(ROOM);
	if (!text)
		return STATUS_NO_MEMORY;
	used = name_of(handle, text, ROOM);
	wanted = (ULONG)(sizeof(*name) + PREFIX + used + sizeof(WCHAR));
	if (ret_length)
		*ret_length = wanted;
	if (length < wanted) {
		free(text);
		return length < sizeof(*name) ? STATUS_INFO_LENGTH_MISMATCH : STATUS_BUFFER_OVERFLOW;
	}
	name->Buffer = (WCHAR *)(name + 1);
	name->Length = (USHORT)(PREFIX + used);
	name->MaximumLength = (USHORT)(name->Length + sizeof(WCHAR));
	memcpy(name->Buffer, prefix, PREFIX);
	memcpy((UCHAR *)name->Buffer + PREFIX, text, used);
	name->Buffer[name->Length / sizeof(WCHAR)] = 0;
	free(text);
	return STATUS_SUCCESS;
}

NTSTATUS NTAPI hook_NtDuplicateObject(HANDLE source, HANDLE handle, HANDLE target, HANDLE *ret, ACCESS_MASK access,
	ULONG attributes, ULONG options)
{
	bool was = source == GetCurrentProcess() && hook_is_ours(handle);
	NTSTATUS status = real.NtDuplicateObject(source, handle, target, ret, access, attributes, options);

	if (was && (options & DUPLICATE_CLOSE_SOURCE))
		hook_mark(handle, false);
	if (was && NT_SUCCESS(status) && ret && target == GetCurrentProcess())
		hook_mark(*ret, true);
	return status;
}

/* Mapped files are the simulation's to play (MAP and the calls after it). */
NTSTATUS NTAPI hook_NtCreateSection(HANDLE *ret, ACCESS_MASK access, OBJECT_ATTRIBUTES *attr, const LARGE_INTEGER *size,
	ULONG protect, ULONG flags, HANDLE file)
{
	if (file && hook_is_ours(file))
		return STATUS_NOT_SUPPORTED;
	return real.NtCreateSection(ret, access, attr, size, protect, flags, file);
}

/*
 * For programs that play a mapped file: MAP, VIEW_READ ... on one of their handles. buffer is written to by VIEW_READ alone. The NTSTATUS.
 */
__declspec(dllexport) NTSTATUS hook_view(HANDLE handle, ULONG kind, ULONG flags, ULONGLONG offset, ULONGLONG size, void *buffer,
	ULONG length)
{
	struct drive_call call;
	IO_STATUS_BLOCK io;

	if (!hook_is_ours(handle))
		return STATUS_INVALID_HANDLE;
	hook_call_fill(&call, kind);
	call.flags = flags;
	call.offset = offset;
	call.size = size;
	call.length = kind == DRIVE_VIEW_WRITE ? length : 0;
	return hook_call(handle, &call, buffer, NULL, kind == DRIVE_VIEW_READ ? buffer : NULL, kind == DRIVE_VIEW_READ ? length : 0, &io);
}

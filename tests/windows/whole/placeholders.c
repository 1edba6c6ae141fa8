/*
 * Placeholders on the simulated volume.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "placeholders.h"

#include "base/status.h"
#include "intercept/winfilter/names.h"

#include <stdio.h>
#include <string.h>

#define PATH_UNITS 1024u
#define LOOK (FILE_READ_ATTRIBUTES | FILE_READ_EA)

static const char mark_name[] = "INLAY";

union mark {
	FILE_FULL_EA_INFORMATION ea;
	UCHAR room[offsetof(FILE_FULL_EA_INFORMATION, EaName) + sizeof(mark_name) + sizeof(struct inlay_placeholder_mark)];
};

static int status_of(NTSTATUS status)
{
	if (NT_SUCCESS(status))
		return 0;
	switch (status) {
	case STATUS_OBJECT_NAME_NOT_FOUND:
	case STATUS_OBJECT_PATH_NOT_FOUND:
		return -INLAY_ENOENT;
	case STATUS_OBJECT_NAME_COLLISION:
	case STATUS_FILE_IS_A_DIRECTORY:
	case STATUS_NOT_A_DIRECTORY:
		return -INLAY_EEXIST;
	case STATUS_SHARING_VIOLATION:
	case STATUS_DELETE_PENDING:
	case STATUS_CANNOT_DELETE:
	case STATUS_ACCESS_DENIED:
		return -INLAY_EBUSY;
	case STATUS_DIRECTORY_NOT_EMPTY:
		return -INLAY_ENOTEMPTY;
	case STATUS_INSUFFICIENT_RESOURCES:
		return -INLAY_ENOMEM;
	default:
		return -INLAY_EIO;
	}
}

/* ---- files by their paths ---- */

static bool full_path(const struct whole_placeholders *p, const char *path, WCHAR *ret)
{
	size_t units = 0;
	int64_t count;

	for (; p->root[units]; units++)
		ret[units] = p->root[units];
	if (*path)
		ret[units++] = '\\';
	count = inlay_wtf8_to_utf16(inlay_str(path), (uint16_t *)ret + units, PATH_UNITS - units - 1);
	for (int64_t i = 0; i < count; i++)
		if (ret[units + (size_t)i] == '/')
			ret[units + (size_t)i] = '\\';
	ret[units + (size_t)(count < 0 ? 0 : count)] = 0;
	return count >= 0;
}

static NTSTATUS open_as(const struct whole_placeholders *p, const char *path, struct sim_create how, struct sim_file **ret)
{
	WCHAR full[PATH_UNITS];

	if (!full_path(p, path, full))
		return STATUS_OBJECT_NAME_INVALID;
	RtlInitUnicodeString(&how.path, full);
	how.share = FILE_SHARE_VALID_FLAGS;
	how.access |= SYNCHRONIZE;
	how.options |= FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT;
	how.process = p->process;
	return sim_create(p->volume, &how, ret, NULL);
}

static NTSTATUS open_there(const struct whole_placeholders *p, const char *path, ACCESS_MASK access, struct sim_file **ret)
{
	return open_as(p, path, (struct sim_create){ .access = access, .disposition = FILE_OPEN }, ret);
}

static bool read_mark(struct sim_file *file, struct inlay_placeholder_mark *ret)
{
	struct {
		FILE_GET_EA_INFORMATION head;
		CHAR rest[sizeof(mark_name)];
	} ask = { .head = { .EaNameLength = sizeof(mark_name) - 1 } };
	union mark got = { 0 };
	IO_STATUS_BLOCK result;

	memcpy(ask.head.EaName, mark_name, sizeof(mark_name));
	if (!NT_SUCCESS(sim_query_ea(file, &got, sizeof(got), &ask, (ULONG)offsetof(FILE_GET_EA_INFORMATION, EaName) + sizeof(mark_name),
		true, true, &result)) || got.ea.EaValueLength != sizeof(*ret))
		return false;
	memcpy(ret, got.ea.EaName + sizeof(mark_name), sizeof(*ret));
	return true;
}

static ULONG fill_mark(union mark *to, const struct inlay_placeholder_mark *mark)
{
	memset(to, 0, sizeof(*to));
	to->ea.EaNameLength = sizeof(mark_name) - 1;
	to->ea.EaValueLength = sizeof(*mark);
	memcpy(to->ea.EaName, mark_name, sizeof(mark_name));
	memcpy(to->ea.EaName + sizeof(mark_name), mark, sizeof(*mark));
	return sizeof(*to);
}

static NTSTATUS read_attr(struct sim_file *file, struct inlay_ring_attr *ret)
{
	FILE_NETWORK_OPEN_INFORMATION info;
	IO_STATUS_BLOCK result;
	NTSTATUS status = sim_query_info(file, FileNetworkOpenInformation, &info, sizeof(info), &result);

	if (!NT_SUCCESS(status))
		return status;
	*ret = (struct inlay_ring_attr){ .size = (uint64_t)info.EndOfFile.QuadPart, .allocation = (uint64_t)info.AllocationSize.QuadPart,
		.created = info.CreationTime.QuadPart, .accessed = info.LastAccessTime.QuadPart, .written = info.LastWriteTime.QuadPart,
		.changed = info.ChangeTime.QuadPart, .attributes = info.FileAttributes, .links = 1 };
	return status;
}

/* ---- the operations ---- */

static void look_for_mark(const struct whole_placeholders *p, struct sim_file *file, struct inlay_placeholder *it)
{
	it->state = INLAY_PLACEHOLDER_LOCAL;
	if (read_mark(file, &it->mark) && memcmp(&it->mark.attachment, &p->attachment, sizeof(p->attachment)) == 0)
		it->state = INLAY_PLACEHOLDER_MARKED;
}

/* The last part of the name as the volume has it. */
static void read_name(struct sim_file *file, const char *path, char *ret)
{
	UCHAR room[sizeof(FILE_NAME_INFORMATION) + PATH_UNITS * sizeof(WCHAR)];
	FILE_NAME_INFORMATION *info = (PVOID)room;
	const char *slash = strrchr(path, '/');
	IO_STATUS_BLOCK result;
	uint32_t units, at;
	int64_t len;

	snprintf(ret, INLAY_PLACEHOLDER_NAME_MAX + 1, "%s", slash ? slash + 1 : path);
	if (!NT_SUCCESS(sim_query_info(file, FileNameInformation, info, sizeof(room), &result)))
		return;
	units = at = info->FileNameLength / sizeof(WCHAR);
	while (at && info->FileName[at - 1] != '\\')
		at--;
	len = inlay_wtf8_from_utf16((const uint8_t *)(info->FileName + at), units - at, ret, INLAY_PLACEHOLDER_NAME_MAX);
	if (len >= 0)
		ret[len] = '\0';
}

static int inspect(void *arg, const char *path, struct inlay_placeholder *ret)
{
	const struct whole_placeholders *p = arg;
	struct inlay_placeholder it = { .state = INLAY_PLACEHOLDER_ABSENT };
	struct sim_file *file;
	NTSTATUS status = open_there(p, path, LOOK, &file);

	if (NT_SUCCESS(status)) {
		status = read_attr(file, &it.attr);
		it.state = INLAY_PLACEHOLDER_LOCAL;
		if (*path)
			look_for_mark(p, file, &it);
		read_name(file, path, it.name);
		sim_close(file);
	} else if (status == STATUS_OBJECT_NAME_NOT_FOUND || status == STATUS_OBJECT_PATH_NOT_FOUND) {
		status = STATUS_SUCCESS;
	}
	if (NT_SUCCESS(status))
		*ret = it;
	return status_of(status);
}

static NTSTATUS set_attr(struct sim_file *file, const struct inlay_ring_attr *now, const struct inlay_ring_attr *want)
{
	FILE_BASIC_INFORMATION basic = { .CreationTime.QuadPart = want->created, .LastAccessTime.QuadPart = want->accessed,
		.LastWriteTime.QuadPart = want->written, .ChangeTime.QuadPart = want->changed, .FileAttributes = want->attributes };
	FILE_END_OF_FILE_INFORMATION end = { .EndOfFile.QuadPart = (LONGLONG)want->size };
	IO_STATUS_BLOCK result;
	UCHAR sparse = 1;
	NTSTATUS status = STATUS_SUCCESS;

	if (!(want->attributes & FILE_ATTRIBUTE_DIRECTORY) && now->size != want->size) {
		status = sim_fsctl(file, NULL, FSCTL_SET_SPARSE, &sparse, 1, NULL, 0, &result);
		if (NT_SUCCESS(status))
			status = sim_set_info(file, FileEndOfFileInformation, &end, sizeof(end), &result);
	}
	if (NT_SUCCESS(status))
		status = sim_set_info(file, FileBasicInformation, &basic, sizeof(basic), &result);
	return status;
}

static int put(void *arg, const char *path, const struct inlay_placeholder_want *want)
{
	const struct whole_placeholders *p = arg;
	bool directory = want->attr.attributes & FILE_ATTRIBUTE_DIRECTORY;
	struct inlay_placeholder now = { 0 };
	struct sim_file *file;
	union mark mark;
	struct sim_create how = {
		.access = LOOK | FILE_WRITE_ATTRIBUTES | FILE_WRITE_EA | (directory ? 0 : FILE_WRITE_DATA), .disposition = FILE_OPEN_IF,
		.options = directory ? FILE_DIRECTORY_FILE : FILE_NON_DIRECTORY_FILE,
		.attributes = directory ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_NORMAL, .ea = &mark, .ea_length = fill_mark(&mark, &want->mark),
	};
	IO_STATUS_BLOCK result;
	NTSTATUS status = open_as(p, path, how, &file);

	if (!NT_SUCCESS(status))
		return status_of(status);
	look_for_mark(p, file, &now);
	if (now.state == INLAY_PLACEHOLDER_MARKED)
		status = read_attr(file, &now.attr);
	else
		status = STATUS_OBJECT_NAME_COLLISION;
	if (NT_SUCCESS(status) && memcmp(&now.mark, &want->mark, sizeof(now.mark)) != 0)
		status = sim_set_ea(file, &mark, how.ea_length, &result);
	if (NT_SUCCESS(status))
		status = set_attr(file, &now.attr, &want->attr);
	sim_close(file);
	return status_of(status);
}

static int remove_one(void *arg, const char *path)
{
	const struct whole_placeholders *p = arg;
	FILE_DISPOSITION_INFORMATION gone = { TRUE };
	struct inlay_placeholder it = { 0 };
	struct sim_file *file;
	IO_STATUS_BLOCK result;
	NTSTATUS status = open_there(p, path, LOOK | DELETE, &file);

	if (status == STATUS_OBJECT_NAME_NOT_FOUND)
		return 0;
	if (!NT_SUCCESS(status))
		return status_of(status);
	look_for_mark(p, file, &it);
	status = it.state == INLAY_PLACEHOLDER_MARKED ? sim_set_info(file, FileDispositionInformation, &gone, sizeof(gone), &result) :
		STATUS_OBJECT_NAME_COLLISION;
	sim_close(file);
	return status_of(status);
}

/* Tells each() of one entry, looked at by its path. */
static int tell(void *arg, const char *path, const FILE_DIRECTORY_INFORMATION *e, int (*each)(void *each_arg, const struct inlay_placeholder *it),
	void *each_arg)
{
	char whole[4096], name[INLAY_PLACEHOLDER_NAME_MAX + 1];
	int64_t len = inlay_wtf8_from_utf16((const uint8_t *)e->FileName, e->FileNameLength / sizeof(WCHAR), name, sizeof(name) - 1);
	struct inlay_placeholder it;
	int err;

	if (len < 0)
		return -INLAY_EIO;
	name[len] = '\0';
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	snprintf(whole, sizeof(whole), "%s%s%s", path, *path ? "/" : "", name);
	err = inspect(arg, whole, &it);
	return err < 0 || it.state == INLAY_PLACEHOLDER_ABSENT ? err : each(each_arg, &it);
}

static int list(void *arg, const char *path, int (*each)(void *each_arg, const struct inlay_placeholder *it), void *each_arg)
{
	UCHAR room[4096];
	struct sim_file *file;
	IO_STATUS_BLOCK result;
	int err = status_of(open_there(arg, path, FILE_LIST_DIRECTORY, &file));

	if (err < 0)
		return err;
	while (err >= 0) {
		const FILE_DIRECTORY_INFORMATION *e = (PVOID)room;
		NTSTATUS status = sim_query_directory(file, FileDirectoryInformation, NULL, false, false, room, sizeof(room), &result);

		if (!NT_SUCCESS(status)) {
			err = status == STATUS_NO_MORE_FILES || status == STATUS_NO_SUCH_FILE ? 0 : -INLAY_EIO;
			break;
		}
		for (err = tell(arg, path, e, each, each_arg); err >= 0 && e->NextEntryOffset; err = tell(arg, path, e, each, each_arg))
			e = (const void *)((const UCHAR *)e + e->NextEntryOffset);
	}
	sim_close(file);
	return err;
}

const struct inlay_placeholders_ops whole_placeholders_ops = {
	.size = sizeof(whole_placeholders_ops), .inspect = inspect, .put = put, .remove = remove_one, .list = list,
};

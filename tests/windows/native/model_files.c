/*
 * The server's tree, and its placeholders on the volume.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model_private.h"

#include <stdio.h>
#include <stdlib.h>

static size_t units_of(const WCHAR *text)
{
	size_t units = 0;

	while (text[units])
		units++;
	return units;
}

bool model_same(const WCHAR *a, const WCHAR *b)
{
	UNICODE_STRING first, second;

	RtlInitUnicodeString(&first, a);
	RtlInitUnicodeString(&second, b);
	return RtlEqualUnicodeString(&first, &second, TRUE);
}

void model_copy(WCHAR *to, const WCHAR *from)
{
	memcpy(to, from, (min(units_of(from), MODEL_NAME - 1) + 1) * sizeof(WCHAR));
	to[MODEL_NAME - 1] = 0;
}

struct model_file *model_find(struct model *model, const WCHAR *path)
{
	for (uint32_t i = 0; i < model->file_count; i++)
		if (model->files[i].used && model_same(model->files[i].path, path))
			return &model->files[i];
	return NULL;
}

struct model_file *model_add(struct model *model, const WCHAR *path, bool directory, const void *data, uint64_t size)
{
	struct model_file *file = NULL;

	for (uint32_t i = 0; i < model->file_count && !file; i++)
		if (!model->files[i].used && !model->files[i].opens)
			file = &model->files[i];
	if (!file && model->file_count < MODEL_FILES)
		file = &model->files[model->file_count++];
	if (!file)
		return NULL;
	free(file->data);
	memset(file, 0, sizeof(*file));
	file->used = true;
	file->directory = directory;
	model_copy(file->path, path);
	file->index = ++model->next_index;
	file->attributes = directory ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_ARCHIVE;
	file->written = 131000000000000000ll + (int64_t)file->index * 10000000;
	file->data = directory ? NULL : calloc(1, MODEL_SIZE);
	file->size = size;
	if (data)
		memcpy(file->data, data, size);
	return file;
}

/* The part before the last backslash; "" at the top. */
static void parent_of(const WCHAR *path, WCHAR *ret)
{
	size_t end = units_of(path);

	while (end && path[end - 1] != '\\')
		end--;
	memcpy(ret, path, end * sizeof(WCHAR));
	ret[end ? end - 1 : 0] = 0;
}

bool model_has_parent(struct model *model, const WCHAR *path)
{
	WCHAR parent[MODEL_NAME];
	struct model_file *file;

	parent_of(path, parent);
	if (!parent[0])
		return true;
	file = model_find(model, parent);
	return file && file->directory;
}

bool model_is_child(const WCHAR *path, const WCHAR *directory)
{
	WCHAR parent[MODEL_NAME];

	parent_of(path, parent);
	return path[0] && model_same(parent, directory);
}

/* Renames a file and everything beneath it. */
void model_rename(struct model *model, struct model_file *file, const WCHAR *to)
{
	WCHAR from[MODEL_NAME], name[MODEL_NAME * 2];
	size_t units;

	model_copy(from, file->path);
	units = units_of(from);
	for (uint32_t i = 0; i < model->file_count; i++) {
		UNICODE_STRING prefix = { .Buffer = from, .Length = (USHORT)(units * sizeof(WCHAR)) }, whole;
		struct model_file *f = &model->files[i];

		RtlInitUnicodeString(&whole, f->path);
		if (!f->used || f == file || !RtlPrefixUnicodeString(&prefix, &whole, TRUE) || f->path[units] != '\\')
			continue;
		memcpy(name, to, units_of(to) * sizeof(WCHAR));
		memcpy(name + units_of(to), f->path + units, (units_of(f->path) - units + 1) * sizeof(WCHAR));
		model_copy(f->path, name);
	}
	model_copy(file->path, to);
}

/* ---- placeholders ---- */

static void full_path(const struct model *model, const WCHAR *path, WCHAR *ret)
{
	size_t root = units_of(model->root), units = units_of(path);

	memcpy(ret, model->root, root * sizeof(WCHAR));
	if (units)
		ret[root++] = '\\';
	memcpy(ret + root, path, (units + 1) * sizeof(WCHAR));
}

struct mark {
	FILE_FULL_EA_INFORMATION head;
	CHAR rest[24];
};

static ULONG mark_fill(struct mark *mark)
{
	static const CHAR name[] = "INLAY", value[16] = "\1\0\0\0mark";

	memset(mark, 0, sizeof(*mark));
	mark->head.EaNameLength = sizeof(name) - 1;
	mark->head.EaValueLength = sizeof(value);
	memcpy(mark->head.EaName, name, sizeof(name));
	memcpy(mark->head.EaName + sizeof(name), value, sizeof(value));
	return (ULONG)offsetof(FILE_FULL_EA_INFORMATION, EaName) + (ULONG)sizeof(name) + (ULONG)sizeof(value);
}

static NTSTATUS open_here(struct model *model, const WCHAR *path, ULONG disposition, ULONG options, ACCESS_MASK access, bool mark,
	struct sim_file **ret_file)
{
	WCHAR full[MODEL_NAME * 2];
	struct mark ea;
	struct sim_create how = {
		.access = access | SYNCHRONIZE, .share = FILE_SHARE_VALID_FLAGS, .disposition = disposition,
		.options = options | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT, .process = REDIRECTOR,
	};

	full_path(model, path, full);
	RtlInitUnicodeString(&how.path, full);
	if (mark) {
		how.ea_length = mark_fill(&ea);
		how.ea = &ea;
	}
	return sim_create(model->volume, &how, ret_file, NULL);
}

static bool is_marked(struct sim_file *file)
{
	struct {
		FILE_GET_EA_INFORMATION head;
		CHAR rest[8];
	} ask = { .head = { .EaNameLength = 5 } };
	UCHAR got[128] = { 0 };
	IO_STATUS_BLOCK result;

	memcpy(ask.head.EaName, "INLAY", 6);
	return NT_SUCCESS(sim_query_ea(file, got, sizeof(got), &ask, 11, true, true, &result)) &&
		((FILE_FULL_EA_INFORMATION *)(PVOID)got)->EaValueLength;
}

/* 0: nothing there; 1: a file of the client's own; 2: a placeholder; 3: a directory without a mark. */
enum model_here model_here(struct model *model, const WCHAR *path)
{
	FILE_STANDARD_INFORMATION info;
	struct sim_file *file;
	IO_STATUS_BLOCK result;
	enum model_here here = HERE_LOCAL;
	NTSTATUS status = open_here(model, path, FILE_OPEN, 0, FILE_READ_EA | FILE_READ_ATTRIBUTES, false, &file);

	if (status == STATUS_OBJECT_NAME_NOT_FOUND || status == STATUS_OBJECT_PATH_NOT_FOUND)
		return HERE_NOTHING;
	if (!NT_SUCCESS(status))
		return status == STATUS_DELETE_PENDING ? HERE_GOING : HERE_LOCAL;
	if (is_marked(file))
		here = HERE_PLACEHOLDER;
	else if (NT_SUCCESS(sim_query_info(file, FileStandardInformation, &info, sizeof(info), &result)) && info.Directory)
		here = HERE_DIRECTORY;
	sim_close(file);
	return here;
}

static void refresh(struct sim_file *here, const struct model_file *file)
{
	FILE_BASIC_INFORMATION basic = { .LastWriteTime.QuadPart = file->written, .FileAttributes = file->attributes };
	FILE_END_OF_FILE_INFORMATION end = { .EndOfFile.QuadPart = (LONGLONG)file->size };
	FILE_STANDARD_INFORMATION now;
	IO_STATUS_BLOCK result;
	UCHAR sparse = 1;

	if (!file->directory) {
		sim_fsctl(here, NULL, FSCTL_SET_SPARSE, &sparse, 1, NULL, 0, &result);
		sim_query_info(here, FileStandardInformation, &now, sizeof(now), &result);
		if (now.EndOfFile.QuadPart != end.EndOfFile.QuadPart)
			sim_set_info(here, FileEndOfFileInformation, &end, sizeof(end), &result);
	}
	sim_set_info(here, FileBasicInformation, &basic, sizeof(basic), &result);
}

NTSTATUS model_place(struct model *model, const struct model_file *file)
{
	struct sim_file *here;
	ULONG kind = file->directory ? FILE_DIRECTORY_FILE : FILE_NON_DIRECTORY_FILE;
	ACCESS_MASK access = FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | FILE_READ_EA | (file->directory ? 0 : FILE_WRITE_DATA);
	NTSTATUS status = open_here(model, file->path, FILE_OPEN, kind, access, false, &here);

	if (status == STATUS_OBJECT_NAME_NOT_FOUND)
		status = open_here(model, file->path, FILE_CREATE, kind, access, true, &here);
	if (status == STATUS_SHARING_VIOLATION || status == STATUS_ACCESS_DENIED)
		return STATUS_SUCCESS; /* there, and held or read-only: it stays as it is */
	if (!NT_SUCCESS(status))
		return status;
	refresh(here, file);
	sim_close(here);
	return STATUS_SUCCESS;
}

/* A placeholder of what the server has not any more. */
void model_displace(struct model *model, const WCHAR *path)
{
	FILE_DISPOSITION_INFORMATION remove = { TRUE };
	struct sim_file *here;
	IO_STATUS_BLOCK result;

	if (NT_SUCCESS(open_here(model, path, FILE_OPEN, 0, DELETE, false, &here))) {
		sim_set_info(here, FileDispositionInformation, &remove, sizeof(remove), &result);
		sim_close(here);
	}
}

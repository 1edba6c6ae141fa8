/*
 * What the model answers to each kind of request.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model_private.h"

#include <stdio.h>

static struct model_file *file_of(struct model *model, uint64_t number)
{
	if (!number || number > RTL_NUMBER_OF(model->numbers) || !model->numbers[number - 1])
		return NULL;
	return &model->files[model->numbers[number - 1] - 1];
}

static uint64_t number_new(struct model *model, struct model_file *file)
{
	for (uint32_t i = 0; i < RTL_NUMBER_OF(model->numbers); i++) {
		if (!model->numbers[i]) {
			model->numbers[i] = (uint64_t)(file - model->files) + 1;
			file->opens++;
			return i + 1;
		}
	}
	return 0;
}

static void attr_fill(const struct model_file *file, struct inlay_ring_attr *attr)
{
	attr->size = file->directory ? 0 : file->size;
	attr->allocation = (attr->size + 4095) / 4096 * 4096;
	attr->created = attr->accessed = attr->written = attr->changed = file->written;
	attr->index = file->index;
	attr->attributes = file->attributes;
	attr->links = 1;
}

static void name_of(struct model *model, const struct inlay_ring_request *request, WCHAR *ret)
{
	uint32_t units = request->length / 2;

	if (units > MODEL_NAME - 1)
		units = MODEL_NAME - 1;
	if (units)
		memcpy(ret, inlay_ring_responder_slot(&model->ring, request->slot), units * sizeof(WCHAR));
	ret[units] = 0;
}

static bool is_local(const struct model *model, const WCHAR *path)
{
	UNICODE_STRING prefix, whole;

	if (!model->local)
		return false;
	RtlInitUnicodeString(&prefix, model->local);
	RtlInitUnicodeString(&whole, path);
	return RtlPrefixUnicodeString(&prefix, &whole, TRUE);
}

static bool creates(uint32_t disposition)
{
	return disposition != FILE_OPEN && disposition != FILE_OVERWRITE;
}

static struct model_file *create(struct model *model, const struct inlay_ring_request *request, const WCHAR *path, NTSTATUS *status)
{
	struct model_file *file;

	if (!creates(request->in.open.disposition) || !model_has_parent(model, path))
		return NULL;
	if (model->read_only) {
		*status = STATUS_MEDIA_WRITE_PROTECTED;
		return NULL;
	}
	file = model_add(model, path, (request->in.open.options & FILE_DIRECTORY_FILE) != 0, NULL, 0);
	if (!file)
		*status = STATUS_DISK_FULL;
	return file;
}

static NTSTATUS open_remote(struct model *model, const struct inlay_ring_request *request, const WCHAR *path, enum model_here here,
	struct inlay_ring_completion *c)
{
	struct model_file *file = model_find(model, path);
	NTSTATUS status = STATUS_SUCCESS;

	if (!file) {
		file = create(model, request, path, &status);
		c->created = file != NULL;
	}
	if (!NT_SUCCESS(status))
		return status;
	if (!file) {
		if (here == HERE_PLACEHOLDER)
			model_displace(model, path);
		c->verdict = here == HERE_DIRECTORY ? INLAY_RING_LOCAL : INLAY_RING_ABSENT;
		return STATUS_SUCCESS;
	}
	status = file->removing ? STATUS_SUCCESS : model_place(model, file); /* what is about to go must not come back */
	if (!NT_SUCCESS(status)) {
		if (c->created)
			file->used = false;
		c->created = 0;
		return status;
	}
	c->verdict = INLAY_RING_REMOTE;
	c->file = number_new(model, file);
	attr_fill(file, &c->attr);
	return c->file ? STATUS_SUCCESS : STATUS_TOO_MANY_OPENED_FILES;
}

static NTSTATUS open(struct model *model, const struct inlay_ring_request *request, struct inlay_ring_completion *c)
{
	WCHAR path[MODEL_NAME];
	enum model_here here;

	name_of(model, request, path);
	here = path[0] ? model_here(model, path) : HERE_DIRECTORY;
	if (here == HERE_GOING)
		return STATUS_DELETE_PENDING;
	if (is_local(model, path) || here == HERE_LOCAL) {
		c->verdict = INLAY_RING_LOCAL;
		return STATUS_SUCCESS;
	}
	return open_remote(model, request, path, here, c);
}

static void close_number(struct model *model, uint64_t number)
{
	struct model_file *file = file_of(model, number);

	if (!file) {
		sim_violate("the driver closes a file that it has not", NULL, number);
		return;
	}
	file->removing -= model->is_removing[number - 1]; /* an END that the driver had no memory for */
	file->renaming -= model->is_renaming[number - 1];
	model->is_removing[number - 1] = model->is_renaming[number - 1] = false;
	model->numbers[number - 1] = 0;
	file->opens--;
}

bool model_is_held(struct model *model, const struct inlay_ring_request *request)
{
	WCHAR path[MODEL_NAME];
	struct model_file *file;

	name_of(model, request, path);
	file = model_find(model, path);
	if (file && file->renaming)
		return true;
	if (file && file->removing) /* as long as it stands on NTFS, it is there; then it waits for the server to follow */
		return model_here(model, path) == HERE_NOTHING;
	for (uint32_t i = 0; i < RTL_NUMBER_OF(model->renaming); i++)
		if (model->is_renaming[i] && model_same(model->renaming[i], path))
			return true;
	return false;
}

static NTSTATUS transfer(struct model *model, const struct inlay_ring_request *request, struct model_file *file,
	struct inlay_ring_completion *c)
{
	uint8_t *slot = inlay_ring_responder_slot(&model->ring, request->slot);
	uint64_t offset = (request->flags & INLAY_RING_APPEND) ? file->size : request->offset;
	uint32_t length = request->length;

	if (file->directory)
		return STATUS_FILE_IS_A_DIRECTORY;
	if (request->kind == INLAY_RING_READ) {
		c->length = offset >= file->size ? 0 : (uint32_t)min(length, file->size - offset);
		memcpy(slot, file->data + offset, c->length);
		return STATUS_SUCCESS;
	}
	if (model->read_only)
		return STATUS_MEDIA_WRITE_PROTECTED;
	if (offset > MODEL_SIZE || length > MODEL_SIZE - offset)
		return STATUS_DISK_FULL;
	c->length = length;
	if (request->flags & INLAY_RING_PAGING) /* never makes it longer */
		length = offset >= file->size ? 0 : (uint32_t)min(length, file->size - offset);
	memcpy(file->data + offset, slot, length);
	if (length && offset + length > file->size)
		file->size = offset + length;
	file->written += 10000000;
	attr_fill(file, &c->attr);
	return STATUS_SUCCESS;
}

static NTSTATUS set(struct model *model, const struct inlay_ring_request *request, struct model_file *file, struct inlay_ring_completion *c)
{
	const struct inlay_ring_attr *attr = &request->in.set.attr;

	if (model->read_only)
		return STATUS_MEDIA_WRITE_PROTECTED;
	if (request->in.set.mask & INLAY_RING_SET_SIZE) {
		if (attr->size > MODEL_SIZE)
			return STATUS_DISK_FULL;
		if (attr->size < file->size)
			memset(file->data + attr->size, 0, file->size - attr->size);
		file->size = attr->size;
	}
	if ((request->in.set.mask & INLAY_RING_SET_TIMES) && attr->written)
		file->written = attr->written;
	if (request->in.set.mask & INLAY_RING_SET_ATTRIBUTES)
		file->attributes = (attr->attributes & 0x27) | (file->directory ? FILE_ATTRIBUTE_DIRECTORY : 0);
	if (!file->attributes)
		file->attributes = FILE_ATTRIBUTE_NORMAL;
	attr_fill(file, &c->attr);
	return STATUS_SUCCESS;
}

static NTSTATUS list(struct model *model, const struct model_file *directory)
{
	NTSTATUS status = STATUS_SUCCESS;

	for (uint32_t i = 0; i < model->file_count && NT_SUCCESS(status); i++) {
		const struct model_file *file = &model->files[i];
		enum model_here here;

		if (!file->used || file->removing || file->renaming || !model_is_child(file->path, directory->path) || is_local(model, file->path))
			continue;
		here = model_here(model, file->path);
		if (here == HERE_NOTHING || here == HERE_PLACEHOLDER)
			status = model_place(model, file);
	}
	return status == STATUS_DELETE_PENDING ? STATUS_SUCCESS : status;
}

static NTSTATUS rename_begin(struct model *model, const struct inlay_ring_request *request, struct model_file *file)
{
	WCHAR path[MODEL_NAME];
	struct model_file *target;

	name_of(model, request, path);
	if (model->read_only)
		return STATUS_MEDIA_WRITE_PROTECTED;
	if (!file) /* a local file's new name: it must be local */
		return is_local(model, path) || model_here(model, path) == HERE_LOCAL ? STATUS_SUCCESS : STATUS_NOT_SAME_DEVICE;
	if (is_local(model, path) || model_here(model, path) == HERE_LOCAL)
		return STATUS_NOT_SAME_DEVICE;
	target = model_find(model, path);
	if (target && target != file && !request->in.rename.replace)
		return STATUS_OBJECT_NAME_COLLISION;
	if (!model_has_parent(model, path))
		return STATUS_OBJECT_PATH_NOT_FOUND;
	model_copy(model->renaming[request->file - 1], path);
	file->renaming += !model->is_renaming[request->file - 1];
	model->is_renaming[request->file - 1] = true;
	return STATUS_SUCCESS;
}

static NTSTATUS rename_end(struct model *model, const struct inlay_ring_request *request, struct model_file *file)
{
	const WCHAR *to = model->renaming[request->file - 1];
	struct model_file *target = model_find(model, to);

	if (!model->is_renaming[request->file - 1]) {
		sim_violate("RENAME_END without RENAME_BEGIN", NULL, request->file);
		return STATUS_INVALID_PARAMETER;
	}
	model->is_renaming[request->file - 1] = false;
	file->renaming--;
	if (!(request->flags & INLAY_RING_DONE))
		return STATUS_SUCCESS;
	if (target && target != file)
		target->used = false;
	model_rename(model, file, to);
	return STATUS_SUCCESS;
}

static NTSTATUS remove_begin(struct model *model, const struct inlay_ring_request *request, struct model_file *file)
{
	if (model->read_only)
		return STATUS_MEDIA_WRITE_PROTECTED;
	for (uint32_t i = 0; file->directory && i < model->file_count; i++)
		if (model->files[i].used && model_is_child(model->files[i].path, file->path))
			return STATUS_DIRECTORY_NOT_EMPTY;
	file->removing += !model->is_removing[request->file - 1];
	model->is_removing[request->file - 1] = true;
	return STATUS_SUCCESS;
}

static NTSTATUS remove_end(struct model *model, const struct inlay_ring_request *request, struct model_file *file)
{
	if (!model->is_removing[request->file - 1])
		sim_violate("REMOVE_END without REMOVE_BEGIN", NULL, request->file);
	else
		file->removing--;
	model->is_removing[request->file - 1] = false;
	if (request->flags & INLAY_RING_DONE)
		file->used = false;
	return STATUS_SUCCESS;
}

static NTSTATUS about_file(struct model *model, const struct inlay_ring_request *request, struct model_file *file,
	struct inlay_ring_completion *c)
{
	switch (request->kind) {
	case INLAY_RING_READ:
	case INLAY_RING_WRITE:
		return transfer(model, request, file, c);
	case INLAY_RING_FLUSH:
		return STATUS_SUCCESS;
	case INLAY_RING_GETATTR:
		attr_fill(file, &c->attr);
		return STATUS_SUCCESS;
	case INLAY_RING_SETATTR:
		return set(model, request, file, c);
	case INLAY_RING_LIST:
		return list(model, file);
	case INLAY_RING_RENAME_BEGIN:
		return rename_begin(model, request, file);
	case INLAY_RING_RENAME_END:
		return rename_end(model, request, file);
	case INLAY_RING_REMOVE_BEGIN:
		return remove_begin(model, request, file);
	case INLAY_RING_REMOVE_END:
		return remove_end(model, request, file);
	case INLAY_RING_STATFS:
		c->attr.size = 1ull << 40;
		c->attr.allocation = 1ull << 39;
		return STATUS_SUCCESS;
	default:
		sim_violate("a request of an unknown kind", NULL, request->kind);
		return STATUS_INVALID_PARAMETER;
	}
}

static bool is_undo(const struct inlay_ring_request *request)
{
	return (request->kind == INLAY_RING_RENAME_END || request->kind == INLAY_RING_REMOVE_END) && !(request->flags & INLAY_RING_DONE);
}

void model_answer(struct model *model, const struct inlay_ring_request *request, struct inlay_ring_completion *c)
{
	struct model_file *file = file_of(model, request->file);
	NTSTATUS status = STATUS_SUCCESS;

	if (request->directory != MODEL_DIRECTORY)
		sim_violate("a request for a directory that was not registered", NULL, request->directory);
	if (request->kind == INLAY_RING_OPEN) {
		status = open(model, request, c);
	} else if (request->kind == INLAY_RING_CLOSE) {
		close_number(model, request->file);
	} else if (request->kind == INLAY_RING_RENAME_BEGIN && !request->file) {
		status = rename_begin(model, request, NULL);
	} else if (!file && is_undo(request)) {
		status = STATUS_INVALID_HANDLE; /* its BEGIN's answer came too late, and the file is closed: that has ended it */
	} else if (!file) {
		sim_violate("a request about a file that is not open", NULL, request->kind);
		status = STATUS_INVALID_HANDLE;
	} else {
		status = about_file(model, request, file, c);
	}
	c->status = (uint32_t)status;
}

/*
 * The frame of the tests.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool fine, const char *what)
{
	if (!fine) {
		fprintf(stderr, "the test's frame: %s\n", what);
		abort();
	}
}

static void make_directory(struct world *world, const WCHAR *path)
{
	struct sim_file *file;

	must(NT_SUCCESS(world_open(world, &file, .path = path, .access = FILE_LIST_DIRECTORY, .disposition = FILE_CREATE,
		.options = FILE_DIRECTORY_FILE)), "a directory");
	sim_close(file);
}

void world_new(struct world *world, uint64_t seed)
{
	memset(world, 0, sizeof(*world));
	sim_violations_forget();
	native_fail(0, false);
	native_steps(seed);
	world->volume = sim_volume_new(L"\\Device\\HarddiskVolume3");
	must(world->volume != NULL, "a volume");
	make_directory(world, L"\\work");
	world->model.volume = world->volume;
	must(NT_SUCCESS(native_driver_load(DriverEntry, &world->driver)), "the driver's load");
	for (PDEVICE_OBJECT device = world->driver->DeviceObject; device; device = device->NextDevice)
		device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING; /* the I/O manager's, after DriverEntry */
}

void world_attach(struct world *world)
{
	must(NT_SUCCESS(model_start(&world->model, 16, 8, 0)), "the redirector's start");
	world->attached = true;
}

void world_detach(struct world *world, bool crash)
{
	model_stop(&world->model, crash);
	world->attached = false;
}

bool world_free(struct world *world)
{
	if (world->attached)
		world_detach(world, false);
	sim_lazy_write(world->volume);
	must(NT_SUCCESS(sim_filter_unload(world->driver, true)), "the driver's unload");
	native_driver_free(world->driver);
	native_threads_settle();
	must(sim_volume_free(world->volume), "the volume's end: files are still open");
	native_check();
	model_done(&world->model);
	native_steps(0);
	return sim_violations() == 0;
}

NTSTATUS world_create(struct world *world, const struct world_open *open, struct sim_file **ret_file, ULONG_PTR *ret_information)
{
	struct sim_create how = {
		.access = open->access ? open->access : GENERIC_READ | GENERIC_WRITE | DELETE,
		.share = open->share == WORLD_SHARE_NONE ? 0 : open->share ? open->share : FILE_SHARE_VALID_FLAGS,
		.disposition = open->disposition == WORLD_SUPERSEDE ? FILE_SUPERSEDE : open->disposition ? open->disposition : FILE_OPEN,
		.options = open->options, .attributes = open->attributes, .process = open->process ? open->process : PROGRAM,
	};

	RtlInitUnicodeString(&how.path, open->path);
	return sim_create(world->volume, &how, ret_file, ret_information);
}

int64_t world_read(struct sim_file *file, uint64_t offset, void *buffer, ULONG length)
{
	LARGE_INTEGER at = { .QuadPart = (LONGLONG)offset };
	IO_STATUS_BLOCK result;
	NTSTATUS status = sim_read(file, NULL, buffer, length, &at, 0, &result);

	return NT_SUCCESS(status) ? (int64_t)result.Information : -(int64_t)(uint32_t)status;
}

int64_t world_write(struct sim_file *file, uint64_t offset, const void *buffer, ULONG length)
{
	LARGE_INTEGER at = { .QuadPart = (LONGLONG)offset };
	IO_STATUS_BLOCK result;
	NTSTATUS status = sim_write(file, NULL, buffer, length, &at, 0, &result);

	return NT_SUCCESS(status) ? (int64_t)result.Information : -(int64_t)(uint32_t)status;
}

NTSTATUS world_delete(struct world *world, const WCHAR *path)
{
	FILE_DISPOSITION_INFORMATION remove = { TRUE };
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	NTSTATUS status = world_open(world, &file, .path = path, .access = DELETE);

	if (!NT_SUCCESS(status))
		return status;
	status = sim_set_info(file, FileDispositionInformation, &remove, sizeof(remove), &result);
	sim_close(file);
	return status;
}

NTSTATUS world_rename_file(struct sim_file *file, const WCHAR *to, bool replace)
{
	UCHAR buffer[512] = { 0 };
	FILE_RENAME_INFORMATION *info = (PVOID)buffer;
	IO_STATUS_BLOCK result;
	UNICODE_STRING name;

	RtlInitUnicodeString(&name, to);
	info->ReplaceIfExists = replace;
	info->FileNameLength = name.Length;
	memcpy(info->FileName, name.Buffer, name.Length);
	return sim_set_info(file, FileRenameInformation, info, (ULONG)offsetof(FILE_RENAME_INFORMATION, FileName) + name.Length, &result);
}

NTSTATUS world_rename(struct world *world, const WCHAR *from, const WCHAR *to, bool replace)
{
	struct sim_file *file;
	NTSTATUS status = world_open(world, &file, .path = from, .access = DELETE | SYNCHRONIZE);

	if (!NT_SUCCESS(status))
		return status;
	status = world_rename_file(file, to, replace);
	sim_close(file);
	return status;
}

static int count_entries(const UCHAR *buffer, const WCHAR *name, bool *ret_found)
{
	UNICODE_STRING wanted;
	int count = 0;

	RtlInitUnicodeString(&wanted, name);
	for (;;) {
		const FILE_DIRECTORY_INFORMATION *entry = (const void *)buffer;
		UNICODE_STRING its = { .Length = (USHORT)entry->FileNameLength, .Buffer = (PWSTR)(ULONG_PTR)entry->FileName };

		if (its.Buffer[0] != '.')
			count++;
		if (name && RtlEqualUnicodeString(&its, &wanted, FALSE))
			*ret_found = true;
		if (!entry->NextEntryOffset)
			return count;
		buffer += entry->NextEntryOffset;
	}
}

int world_list(struct world *world, const WCHAR *path, const WCHAR *pattern, const WCHAR *name, bool *ret_found)
{
	UCHAR buffer[2048];
	UNICODE_STRING wanted;
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	NTSTATUS status = world_open(world, &file, .path = path, .access = FILE_LIST_DIRECTORY | SYNCHRONIZE, .options = FILE_DIRECTORY_FILE);
	bool found = false;
	int count = 0;

	if (!NT_SUCCESS(status))
		return (int)status;
	RtlInitUnicodeString(&wanted, pattern ? pattern : L"*");
	while (NT_SUCCESS(status = sim_query_directory(file, FileDirectoryInformation, &wanted, false, false, buffer, sizeof(buffer), &result)))
		count += count_entries(buffer, name, &found);
	sim_close(file);
	if (ret_found)
		*ret_found = found;
	return status == STATUS_NO_MORE_FILES || status == STATUS_NO_SUCH_FILE ? count : (int)status;
}

uint64_t world_size(struct sim_file *file)
{
	FILE_STANDARD_INFORMATION info;
	IO_STATUS_BLOCK result;

	if (!NT_SUCCESS(sim_query_info(file, FileStandardInformation, &info, sizeof(info), &result)))
		return ~0ull;
	return (uint64_t)info.EndOfFile.QuadPart;
}

static uint8_t byte_at(uint64_t offset, uint32_t key)
{
	return (uint8_t)((offset * 0x9e3779b1u + key * 0x85ebca6bu) >> 13);
}

void world_fill(void *buffer, uint64_t offset, ULONG length, uint32_t key)
{
	for (ULONG i = 0; i < length; i++)
		((uint8_t *)buffer)[i] = byte_at(offset + i, key);
}

bool world_check(const void *buffer, uint64_t offset, ULONG length, uint32_t key)
{
	for (ULONG i = 0; i < length; i++)
		if (((const uint8_t *)buffer)[i] != byte_at(offset + i, key))
			return false;
	return true;
}

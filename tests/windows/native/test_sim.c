/*
 * The simulated volume without any filter: what NTFS would say to programs, caches and views.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

static struct world world;

static int start(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	sim_violations_forget();
	native_steps(1);
	world.volume = sim_volume_new(L"\\Device\\HarddiskVolume3");
	return world.volume == NULL;
}

static int stop(void **state)
{
	(void)state;
	sim_lazy_write(world.volume);
	if (!sim_volume_free(world.volume))
		return 1;
	native_steps(0);
	return sim_violations() != 0;
}

static struct sim_file *make(const WCHAR *path, const char *text)
{
	struct sim_file *file;

	assert_status(world_open(&world, &file, .path = path, .disposition = FILE_CREATE), STATUS_SUCCESS);
	if (text)
		assert_int_equal(world_write(file, 0, text, (ULONG)strlen(text)), strlen(text));
	return file;
}

static void make_directory(const WCHAR *path)
{
	struct sim_file *file;

	assert_status(world_open(&world, &file, .path = path, .disposition = FILE_CREATE, .options = FILE_DIRECTORY_FILE, .access = FILE_LIST_DIRECTORY),
		STATUS_SUCCESS);
	sim_close(file);
}

static void test_names(void **state)
{
	FILE_NAME_INFORMATION *info;
	UCHAR buffer[256];
	IO_STATUS_BLOCK result;
	struct sim_file *file;

	(void)state;
	make_directory(L"\\Dir");
	sim_close(make(L"\\Dir\\Long Name here.text", "1"));
	assert_status(world_open(&world, &file, .path = L"\\DIR\\long name HERE.TEXT"), STATUS_SUCCESS);
	assert_status(sim_query_info(file, FileNameInformation, buffer, sizeof(buffer), &result), STATUS_SUCCESS);
	info = (PVOID)buffer;
	assert_int_equal(info->FileNameLength, 24 * sizeof(WCHAR));
	assert_memory_equal(info->FileName, L"\\Dir\\Long Name here.text", info->FileNameLength);
	sim_close(file);
	assert_status(world_open(&world, &file, .path = L"\\DIR\\LONGNA~1.TEX"), STATUS_SUCCESS);
	sim_close(file);
	assert_status(world_open(&world, &file, .path = L"\\dir\\none"), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_status(world_open(&world, &file, .path = L"\\none\\none"), STATUS_OBJECT_PATH_NOT_FOUND);
	assert_status(world_open(&world, &file, .path = L"\\a?b", .disposition = FILE_CREATE), STATUS_OBJECT_NAME_INVALID);
	assert_status(world_open(&world, &file, .path = L"\\Dir", .options = FILE_NON_DIRECTORY_FILE), STATUS_FILE_IS_A_DIRECTORY);
	assert_status(world_open(&world, &file, .path = L"\\Dir\\Long Name here.text", .options = FILE_DIRECTORY_FILE), STATUS_NOT_A_DIRECTORY);
}

static void test_dispositions(void **state)
{
	struct sim_file *file;
	ULONG_PTR info;

	(void)state;
	sim_close(make(L"\\a", "hello"));
	assert_status(world_open(&world, &file, .path = L"\\a", .disposition = FILE_CREATE), STATUS_OBJECT_NAME_COLLISION);
	assert_status(world_open_info(&world, &file, &info, .path = L"\\a", .disposition = FILE_OVERWRITE), STATUS_SUCCESS);
	assert_int_equal(info, FILE_OVERWRITTEN);
	assert_int_equal(world_size(file), 0);
	sim_close(file);
	assert_status(world_open_info(&world, &file, &info, .path = L"\\b", .disposition = FILE_OVERWRITE_IF, .attributes = FILE_ATTRIBUTE_READONLY),
		STATUS_SUCCESS);
	assert_int_equal(info, FILE_CREATED);
	sim_close(file);
	assert_status(world_open(&world, &file, .path = L"\\b"), STATUS_ACCESS_DENIED);
	assert_status(world_open(&world, &file, .path = L"\\b", .access = GENERIC_READ | DELETE, .options = FILE_DELETE_ON_CLOSE), STATUS_CANNOT_DELETE);
}

static void test_sharing(void **state)
{
	struct sim_file *file = make(L"\\a", NULL), *other;

	(void)state;
	assert_status(world_open(&world, &other, .path = L"\\a", .share = FILE_SHARE_READ), STATUS_SHARING_VIOLATION);
	sim_close(file);
	assert_status(world_open(&world, &file, .path = L"\\a", .access = GENERIC_READ, .share = FILE_SHARE_READ), STATUS_SUCCESS);
	assert_status(world_open(&world, &other, .path = L"\\a", .access = GENERIC_WRITE), STATUS_SHARING_VIOLATION);
	assert_status(world_open(&world, &other, .path = L"\\a", .access = GENERIC_READ), STATUS_SUCCESS);
	assert_status((NTSTATUS)-world_write(other, 0, "x", 1), STATUS_ACCESS_DENIED);
	sim_close(other);
	assert_status(world_open(&world, &other, .path = L"\\a", .access = FILE_READ_ATTRIBUTES, .share = WORLD_SHARE_NONE), STATUS_SUCCESS);
	sim_close(other);
	sim_close(file);
}

static void test_deletion(void **state)
{
	struct sim_file *file, *other;
	IO_STATUS_BLOCK result;
	ULONG posix = 3;

	(void)state;
	sim_close(make(L"\\a", "x"));
	assert_status(world_open(&world, &other, .path = L"\\a"), STATUS_SUCCESS);
	assert_status(world_delete(&world, L"\\a"), STATUS_SUCCESS);
	assert_status(world_open(&world, &file, .path = L"\\a"), STATUS_DELETE_PENDING);
	sim_close(other);
	assert_status(world_open(&world, &file, .path = L"\\a"), STATUS_OBJECT_NAME_NOT_FOUND);
	file = make(L"\\b", "x");
	assert_status(world_open(&world, &other, .path = L"\\b"), STATUS_SUCCESS);
	assert_status(sim_set_info(file, (FILE_INFORMATION_CLASS)64, &posix, sizeof(posix), &result), STATUS_SUCCESS);
	sim_close(file);
	assert_status(world_open(&world, &file, .path = L"\\b"), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_int_equal(world_write(other, 1, "y", 1), 1);
	sim_close(other);
	make_directory(L"\\dir");
	sim_close(make(L"\\dir\\c", NULL));
	assert_status(world_delete(&world, L"\\dir"), STATUS_DIRECTORY_NOT_EMPTY);
}

static void test_renaming(void **state)
{
	struct sim_file *file;

	(void)state;
	make_directory(L"\\dir");
	sim_close(make(L"\\dir\\a", "a"));
	file = make(L"\\b", "bb");
	assert_status(world_rename(&world, L"\\dir\\a", L"\\b", false), STATUS_OBJECT_NAME_COLLISION);
	assert_status(world_rename(&world, L"\\dir\\a", L"\\b", true), STATUS_ACCESS_DENIED); /* it is open */
	sim_close(file);
	assert_status(world_rename(&world, L"\\dir\\a", L"\\b", true), STATUS_SUCCESS);
	assert_status(world_open(&world, &file, .path = L"\\b"), STATUS_SUCCESS);
	assert_int_equal(world_size(file), 1);
	sim_close(file);
	assert_status(world_rename(&world, L"\\b", L"\\none\\b", false), STATUS_OBJECT_PATH_NOT_FOUND);
	assert_status(world_rename(&world, L"\\b", L"\\B", false), STATUS_SUCCESS); /* its own name in other letters */
	file = make(L"\\dir\\open", NULL);
	assert_status(world_rename(&world, L"\\dir", L"\\folder", false), STATUS_ACCESS_DENIED);
	sim_close(file);
	assert_status(world_rename(&world, L"\\dir", L"\\dir\\x", false), STATUS_INVALID_PARAMETER);
	assert_status(world_rename(&world, L"\\dir", L"\\folder", false), STATUS_SUCCESS);
	assert_status(world_open(&world, &file, .path = L"\\folder\\open"), STATUS_SUCCESS);
	sim_close(file);
}

static void test_listing(void **state)
{
	bool found;

	(void)state;
	make_directory(L"\\dir");
	for (int i = 0; i < 300; i++) {
		WCHAR path[] = L"\\dir\\f000.txt";

		path[6] = (WCHAR)('0' + i / 100);
		path[7] = (WCHAR)('0' + i / 10 % 10);
		path[8] = (WCHAR)('0' + i % 10);
		sim_close(make(path, NULL));
	}
	assert_int_equal(world_list(&world, L"\\dir", NULL, L"f299.txt", &found), 300);
	assert_true(found);
	assert_int_equal(world_list(&world, L"\\dir", L"F?00.*", NULL, NULL), 3);
	assert_int_equal(world_list(&world, L"\\dir", L"<.txt", NULL, NULL), 300);
	assert_int_equal(world_list(&world, L"\\dir", L"*.doc", NULL, NULL), 0);
}

static void test_cache_and_views(void **state)
{
	static uint8_t data[300000], back[300000];
	struct sim_file *file = make(L"\\a", NULL), *direct;
	struct sim_counts before, after;
	struct sim_view *view;

	(void)state;
	world_fill(data, 0, sizeof(data), 1);
	assert_int_equal(world_write(file, 0, data, sizeof(data)), sizeof(data));
	assert_int_equal(world_read(file, 0, back, sizeof(back)), sizeof(back));
	assert_memory_equal(data, back, sizeof(data));
	assert_status(sim_map(file, true, 0, &view), STATUS_SUCCESS);
	assert_status(sim_view_write(view, 4000, "view", 4), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 4000, back, 4), 4);
	assert_memory_equal(back, "view", 4);
	assert_status(world_open(&world, &direct, .path = L"\\a", .options = FILE_NO_INTERMEDIATE_BUFFERING), STATUS_SUCCESS);
	assert_int_equal(world_read(direct, 0, back, 8192), 8192);
	assert_memory_equal(back + 4000, "view", 4);
	assert_status((NTSTATUS)-world_read(direct, 1, back, 512), STATUS_INVALID_PARAMETER);
	sim_close(direct);
	assert_status(sim_set_info(file, FileEndOfFileInformation, &(LARGE_INTEGER){ .QuadPart = 10 }, 8, NULL), STATUS_USER_MAPPED_FILE);
	assert_status(sim_view_read(view, sizeof(data) - 1, back, 2), STATUS_ACCESS_VIOLATION);
	sim_unmap(view);
	assert_status(sim_set_info(file, FileEndOfFileInformation, &(LARGE_INTEGER){ .QuadPart = 4002 }, 8, NULL), STATUS_SUCCESS);
	assert_int_equal(world_write(file, 4010, "z", 1), 1);
	assert_int_equal(world_read(file, 4000, back, 100), 11);
	assert_memory_equal(back, "vi\0\0\0\0\0\0\0\0z", 11);
	sim_close(file);
	sim_count(&before);
	sim_lazy_write(world.volume);
	sim_count(&after);
	assert_true(after.paging_writes > before.paging_writes);
	assert_int_equal(sim_volume_open_count(world.volume), 0);
}

static void test_sparse(void **state)
{
	FILE_ALLOCATED_RANGE_BUFFER wanted = { .Length.QuadPart = 1ll << 40 }, ranges[4];
	struct sim_file *file = make(L"\\a", NULL);
	FILE_STANDARD_INFORMATION info;
	IO_STATUS_BLOCK result;

	(void)state;
	assert_status(sim_fsctl(file, NULL, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &result), STATUS_SUCCESS);
	assert_status(sim_set_info(file, FileEndOfFileInformation, &(LARGE_INTEGER){ .QuadPart = 1ll << 36 }, 8, NULL), STATUS_SUCCESS);
	assert_int_equal(world_write(file, 1ull << 35, "x", 1), 1);
	assert_status(sim_flush(file, NULL, &result), STATUS_SUCCESS);
	assert_status(sim_query_info(file, FileStandardInformation, &info, sizeof(info), &result), STATUS_SUCCESS);
	assert_int_equal(info.EndOfFile.QuadPart, 1ll << 36);
	assert_int_equal(info.AllocationSize.QuadPart, 4096);
	assert_status(sim_fsctl(file, NULL, FSCTL_QUERY_ALLOCATED_RANGES, &wanted, sizeof(wanted), ranges, sizeof(ranges), &result), STATUS_SUCCESS);
	assert_int_equal(result.Information, sizeof(ranges[0]));
	assert_int_equal(ranges[0].FileOffset.QuadPart, 1ll << 35);
	sim_close(file);
}

static void test_full(void **state)
{
	struct sim_file *file = make(L"\\a", NULL);
	static uint8_t data[100000];

	(void)state;
	sim_volume_set_room(world.volume, 50000);
	assert_status((NTSTATUS)-world_write(file, 0, data, sizeof(data)), STATUS_DISK_FULL);
	assert_int_equal(world_write(file, 0, data, 10000), 10000);
	sim_close(file);
}

struct waiter {
	struct sim_io io;
	int calls;
};

static void on_done(struct sim_io *io)
{
	CONTAINING_RECORD(io, struct waiter, io)->calls++;
}

static void test_notification(void **state)
{
	struct waiter waiter = { .io.done = on_done };
	struct sim_file *directory;
	UCHAR events[512];
	const FILE_NOTIFY_INFORMATION *event = (const void *)events;

	(void)state;
	make_directory(L"\\dir");
	assert_status(world_open(&world, &directory, .path = L"\\", .access = FILE_LIST_DIRECTORY, .options = FILE_DIRECTORY_FILE), STATUS_SUCCESS);
	assert_status(sim_notify(directory, &waiter.io, FILE_NOTIFY_CHANGE_FILE_NAME, true, events, sizeof(events), NULL), STATUS_PENDING);
	sim_close(make(L"\\dir\\new", NULL));
	assert_int_equal(waiter.calls, 1);
	assert_status(waiter.io.status.Status, STATUS_SUCCESS);
	assert_int_equal(event->Action, FILE_ACTION_ADDED);
	assert_int_equal(event->FileNameLength, 7 * sizeof(WCHAR));
	assert_memory_equal(event->FileName, L"dir\\new", event->FileNameLength);
	assert_status(world_delete(&world, L"\\dir\\new"), STATUS_SUCCESS); /* remembered until asked for */
	assert_status(sim_notify(directory, &waiter.io, 0, true, events, sizeof(events), NULL), STATUS_SUCCESS);
	assert_int_equal(event->Action, FILE_ACTION_REMOVED);
	assert_status(sim_notify(directory, &waiter.io, 0, true, events, sizeof(events), NULL), STATUS_PENDING);
	sim_cancel(&waiter.io);
	assert_int_equal(waiter.calls, 3);
	assert_status(waiter.io.status.Status, STATUS_CANCELLED);
	assert_status(sim_notify(directory, &waiter.io, 0, true, events, sizeof(events), NULL), STATUS_PENDING);
	sim_close(directory);
	assert_int_equal(waiter.calls, 4);
}

static void test_ranges(void **state)
{
	struct sim_file *file = make(L"\\a", "0123456789"), *other;
	char back[10];

	(void)state;
	assert_status(world_open(&world, &other, .path = L"\\a"), STATUS_SUCCESS);
	assert_status(sim_lock(file, 2, 3, true), STATUS_SUCCESS);
	assert_status(sim_lock(other, 4, 1, false), STATUS_LOCK_NOT_GRANTED);
	assert_status((NTSTATUS)-world_read(other, 0, back, 10), STATUS_FILE_LOCK_CONFLICT);
	assert_int_equal(world_read(other, 5, back, 5), 5);
	assert_int_equal(world_read(file, 0, back, 10), 10);
	assert_status(sim_unlock(other, 2, 3), STATUS_RANGE_NOT_LOCKED);
	sim_close(file);
	assert_int_equal(world_read(other, 0, back, 10), 10);
	sim_close(other);
}

static void test_attributes_of_ea(void **state)
{
	struct {
		FILE_FULL_EA_INFORMATION head;
		CHAR rest[16];
	} ea = { .head = { .EaNameLength = 4, .EaValueLength = 3 } };
	UCHAR back[64];
	struct sim_file *file = make(L"\\a", NULL);
	IO_STATUS_BLOCK result;

	(void)state;
	memcpy(ea.head.EaName, "mark\0abc", 8);
	assert_status(sim_query_ea(file, back, sizeof(back), NULL, 0, true, false, &result), STATUS_NO_EAS_ON_FILE);
	assert_status(sim_set_ea(file, &ea, 8 + 4 + 1 + 3, &result), STATUS_SUCCESS);
	assert_status(sim_query_ea(file, back, sizeof(back), NULL, 0, true, false, &result), STATUS_SUCCESS);
	assert_memory_equal(((FILE_FULL_EA_INFORMATION *)(PVOID)back)->EaName, "MARK\0abc", 8);
	sim_close(file);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		CASE(test_names), CASE(test_dispositions), CASE(test_sharing), CASE(test_deletion), CASE(test_renaming), CASE(test_listing),
		CASE(test_cache_and_views), CASE(test_sparse), CASE(test_full), CASE(test_notification), CASE(test_ranges),
		CASE(test_attributes_of_ea),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

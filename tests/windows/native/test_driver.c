/*
 * The driver, item by item as in docs/WINDOWS.md: what programs see, and what the redirector is asked.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

static void test_load_unload(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, 1);
	done(&w);
}

static void test_attach_detach(void **state)
{
	struct world w;

	(void)state;
	world_new(&w, 1);
	world_attach(&w);
	done(&w);
}

static void test_read_write(void **state)
{
	static uint8_t buffer[200 * 1024], back[200 * 1024];
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 2);
	model_add(&w.model, L"a.txt", false, "hello world", 11);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\A.TXT"), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, back, 100), 11);
	assert_memory_equal(back, "hello world", 11);
	assert_int_equal(world_read(file, 6, back, 3), 3);
	assert_memory_equal(back, "wor", 3);
	assert_status((NTSTATUS)-world_read(file, 11, back, 3), STATUS_END_OF_FILE);
	world_fill(buffer, 0, sizeof(buffer), 1);
	assert_int_equal(world_write(file, 5, buffer, sizeof(buffer)), sizeof(buffer));
	assert_int_equal(world_size(file), 5 + sizeof(buffer));
	assert_int_equal(model_find(&w.model, L"a.txt")->size, 5 + sizeof(buffer));
	assert_memory_equal(model_find(&w.model, L"a.txt")->data + 5, buffer, sizeof(buffer));
	assert_int_equal(world_read(file, 5, back, sizeof(back)), sizeof(back));
	assert_memory_equal(back, buffer, sizeof(buffer));
	sim_close(file);
	done(&w);
}

static void test_created_on_server(void **state)
{
	struct sim_file *file;
	struct world w;
	ULONG_PTR info;

	(void)state;
	world_new(&w, 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\new"), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_status(world_open_info(&w, &file, &info, .path = L"\\work\\new", .disposition = FILE_CREATE), STATUS_SUCCESS);
	assert_int_equal(info, FILE_CREATED);
	assert_non_null(model_find(&w.model, L"new"));
	assert_int_equal(world_write(file, 0, "x", 1), 1);
	sim_close(file);
	assert_status(world_open(&w, &file, .path = L"\\work\\new", .disposition = FILE_CREATE), STATUS_OBJECT_NAME_COLLISION);
	assert_status(world_open_info(&w, &file, &info, .path = L"\\work\\new", .disposition = FILE_OPEN_IF), STATUS_SUCCESS);
	assert_int_equal(info, FILE_OPENED);
	assert_int_equal(world_size(file), 1);
	sim_close(file);
	assert_status(world_open_info(&w, &file, &info, .path = L"\\work\\new", .disposition = FILE_OVERWRITE_IF), STATUS_SUCCESS);
	assert_int_equal(info, FILE_OVERWRITTEN);
	assert_int_equal(world_size(file), 0);
	assert_int_equal(model_find(&w.model, L"new")->size, 0);
	sim_close(file);
	assert_status(world_open_info(&w, &file, &info, .path = L"\\work\\new", .disposition = WORLD_SUPERSEDE), STATUS_SUCCESS);
	assert_int_equal(info, FILE_SUPERSEDED);
	sim_close(file);
	done(&w);
}

static void test_local_untouched(void **state)
{
	struct sim_file *file;
	struct world w;
	char back[8];

	(void)state;
	world_new(&w, 4);
	assert_status(world_open(&w, &file, .path = L"\\work\\mine", .disposition = FILE_CREATE), STATUS_SUCCESS);
	assert_int_equal(world_write(file, 0, "local", 5), 5);
	sim_close(file);
	model_add(&w.model, L"mine", false, "remote", 6);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\mine"), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, back, 8), 5);
	assert_memory_equal(back, "local", 5);
	assert_int_equal(world_size(file), 5);
	assert_int_equal(w.model.kinds[INLAY_RING_READ], 0);
	sim_close(file);
	done(&w);
}

static void test_listing(void **state)
{
	struct sim_file *file;
	struct world w;
	bool found;

	(void)state;
	world_new(&w, 5);
	assert_status(world_open(&w, &file, .path = L"\\work\\mine", .disposition = FILE_CREATE), STATUS_SUCCESS);
	sim_close(file);
	model_add(&w.model, L"a", false, NULL, 5);
	model_add(&w.model, L"dir", true, NULL, 0);
	model_add(&w.model, L"dir\\b", false, NULL, 7);
	world_attach(&w);
	assert_int_equal(world_list(&w, L"\\work", NULL, L"a", &found), 3);
	assert_true(found);
	assert_int_equal(world_list(&w, L"\\work\\dir", NULL, L"b", &found), 1);
	assert_true(found);
	assert_int_equal(world_list(&w, L"\\work", L"A", L"a", &found), 1);
	assert_true(found);
	assert_int_equal(world_list(&w, L"\\work", L"d*", NULL, NULL), 1);
	assert_int_equal(world_list(&w, L"\\work", L"nothing", NULL, NULL), 0);
	model_add(&w.model, L"later", false, NULL, 1);
	assert_int_equal(world_list(&w, L"\\work", NULL, L"later", &found), 4);
	assert_true(found);
	done(&w);
}

static void test_delete(void **state)
{
	struct sim_file *file, *other;
	struct world w;

	(void)state;
	world_new(&w, 6);
	model_add(&w.model, L"a", false, NULL, 5);
	model_add(&w.model, L"b", false, NULL, 5);
	model_add(&w.model, L"dir", true, NULL, 0);
	model_add(&w.model, L"dir\\c", false, NULL, 5);
	world_attach(&w);
	assert_status(world_delete(&w, L"\\work\\a"), STATUS_SUCCESS);
	assert_null(model_find(&w.model, L"a"));
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_status(world_delete(&w, L"\\work\\dir"), STATUS_DIRECTORY_NOT_EMPTY);
	assert_status(world_open(&w, &file, .path = L"\\work\\b", .options = FILE_DELETE_ON_CLOSE), STATUS_SUCCESS);
	assert_status(world_open(&w, &other, .path = L"\\work\\b"), STATUS_SUCCESS);
	sim_close(file);
	assert_non_null(model_find(&w.model, L"b")); /* another handle has it open */
	sim_close(other);
	assert_null(model_find(&w.model, L"b"));
	w.model.read_only = true;
	assert_status(world_delete(&w, L"\\work\\dir\\c"), STATUS_MEDIA_WRITE_PROTECTED);
	assert_non_null(model_find(&w.model, L"dir\\c"));
	done(&w);
}

static void test_delete_taken_back(void **state)
{
	FILE_DISPOSITION_INFORMATION remove = { TRUE };
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 7);
	model_add(&w.model, L"a", false, NULL, 5);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_set_info(file, FileDispositionInformation, &remove, 1, &result), STATUS_SUCCESS);
	remove.DeleteFile = FALSE;
	assert_status(sim_set_info(file, FileDispositionInformation, &remove, 1, &result), STATUS_SUCCESS);
	sim_close(file);
	native_sleep_ms(10);
	assert_non_null(model_find(&w.model, L"a"));
	assert_int_equal(model_find(&w.model, L"a")->removing, 0);
	done(&w);
}

static void test_rename(void **state)
{
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 8);
	model_add(&w.model, L"a", false, "one", 3);
	model_add(&w.model, L"b", false, "other", 5);
	model_add(&w.model, L"dir", true, NULL, 0);
	world_attach(&w);
	assert_status(world_rename(&w, L"\\work\\a", L"\\work\\b", false), STATUS_OBJECT_NAME_COLLISION);
	assert_status(world_rename(&w, L"\\work\\a", L"\\work\\dir\\c", false), STATUS_SUCCESS);
	assert_null(model_find(&w.model, L"a"));
	assert_int_equal(model_find(&w.model, L"dir\\c")->size, 3);
	assert_status(world_rename(&w, L"\\work\\dir\\c", L"\\work\\b", true), STATUS_SUCCESS);
	assert_int_equal(model_find(&w.model, L"b")->size, 3);
	assert_status(world_rename(&w, L"\\work\\dir", L"\\work\\folder", false), STATUS_SUCCESS);
	assert_status(world_rename(&w, L"\\work\\b", L"\\b", false), STATUS_NOT_SAME_DEVICE);
	assert_status(world_open(&w, &file, .path = L"\\work\\b", .access = DELETE | GENERIC_READ), STATUS_SUCCESS);
	assert_status(world_rename_file(file, L"bare", false), STATUS_SUCCESS);
	assert_non_null(model_find(&w.model, L"bare"));
	sim_close(file);
	done(&w);
}

static void test_rename_undone(void **state)
{
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	world_new(&w, 9);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	w.model.faults = (struct model_faults){ .error = 1, .kind = INLAY_RING_RENAME_END, .status = STATUS_DISK_FULL };
	assert_status(world_rename(&w, L"\\work\\a", L"\\work\\b", false), STATUS_DISK_FULL);
	w.model.faults.error = 0;
	assert_non_null(model_find(&w.model, L"a"));
	/* NTFS itself, as the redirector's process sees it */
	assert_status(world_open(&w, &file, .path = L"\\work\\b", .process = REDIRECTOR), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .process = REDIRECTOR), STATUS_SUCCESS);
	sim_close(file);
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .access = GENERIC_READ), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, back, 4), 3);
	sim_close(file);
	assert_status(world_open(&w, &file, .path = L"\\work\\b"), STATUS_OBJECT_NAME_NOT_FOUND);
	done(&w);
}

static void test_information(void **state)
{
	FILE_NETWORK_OPEN_INFORMATION network;
	FILE_BASIC_INFORMATION basic = { .LastWriteTime.QuadPart = 132000000000000000ll, .FileAttributes = FILE_ATTRIBUTE_READONLY };
	FILE_END_OF_FILE_INFORMATION end = { .EndOfFile.QuadPart = 1000 };
	struct sim_create how = { .process = PROGRAM };
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 10);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	RtlInitUnicodeString(&how.path, L"\\work\\a");
	assert_status(sim_query_full_attributes(w.volume, &how, &network), STATUS_SUCCESS);
	assert_int_equal(network.EndOfFile.QuadPart, 3);
	assert_int_equal(network.LastWriteTime.QuadPart, model_find(&w.model, L"a")->written);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	model_find(&w.model, L"a")->size = 77; /* another client */
	assert_int_equal(world_size(file), 77);
	assert_status(sim_set_info(file, FileEndOfFileInformation, &end, sizeof(end), &result), STATUS_SUCCESS);
	assert_int_equal(model_find(&w.model, L"a")->size, 1000);
	assert_status(sim_set_info(file, FileBasicInformation, &basic, sizeof(basic), &result), STATUS_SUCCESS);
	assert_int_equal(model_find(&w.model, L"a")->written, 132000000000000000ll);
	assert_status(sim_query_info(file, FileBasicInformation, &basic, sizeof(basic), &result), STATUS_SUCCESS);
	assert_int_equal(basic.FileAttributes, FILE_ATTRIBUTE_READONLY);
	w.model.read_only = true;
	assert_status(sim_set_info(file, FileEndOfFileInformation, &end, sizeof(end), &result), STATUS_MEDIA_WRITE_PROTECTED);
	sim_close(file);
	done(&w);
}

static uint64_t ntfs_size(struct sim_file *file)
{
	return (uint64_t)((PFSRTL_ADVANCED_FCB_HEADER)sim_file_object(file)->FsContext)->FileSize.QuadPart;
}

static void test_ntfs_end_follows(void **state)
{
	struct sim_view *view;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 18);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_int_equal(ntfs_size(file), 3);
	assert_int_equal(world_write(file, 5000, "end", 3), 3);
	assert_int_equal(ntfs_size(file), 5003);
	model_find(&w.model, L"a")->size = 70; /* another client */
	assert_int_equal(world_size(file), 70);
	assert_int_equal(ntfs_size(file), 70);
	model_find(&w.model, L"a")->size = 9000;
	assert_status(sim_map(file, false, 0, &view), STATUS_SUCCESS);
	assert_int_equal(ntfs_size(file), 9000);
	assert_int_equal(sim_view_size(view), 9000);
	sim_unmap(view);
	sim_close(file);
	done(&w);
}

static void test_views(void **state)
{
	static uint8_t buffer[100000], back[100000];
	struct sim_view *view;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 11);
	world_fill(buffer, 0, sizeof(buffer), 9);
	model_add(&w.model, L"a", false, buffer, sizeof(buffer));
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_map(file, true, 0, &view), STATUS_SUCCESS);
	assert_int_equal(sim_view_size(view), sizeof(buffer));
	assert_status(sim_view_read(view, 0, back, sizeof(back)), STATUS_SUCCESS);
	assert_memory_equal(back, buffer, sizeof(back));
	assert_status(sim_view_write(view, 50000, "changed", 7), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 49999, back, 9), 9); /* a read sees what the view has not written yet */
	assert_memory_equal(back + 1, "changed", 7);
	assert_status(sim_view_write(view, 99990, "end", 3), STATUS_SUCCESS);
	sim_unmap(view);
	sim_close(file);
	sim_lazy_write(w.volume);
	assert_memory_equal(model_find(&w.model, L"a")->data + 99990, "end", 3);
	assert_int_equal(model_find(&w.model, L"a")->size, sizeof(buffer));
	done(&w);
}

static void test_redirector_gone(void **state)
{
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	world_new(&w, 12);
	model_add(&w.model, L"a", false, "one", 3);
	model_add(&w.model, L"b", false, "two", 3);
	world_attach(&w);
	assert_int_equal(world_list(&w, L"\\work", NULL, NULL, NULL), 2);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	world_detach(&w, true);
	assert_status((NTSTATUS)-world_read(file, 0, back, 3), STATUS_DEVICE_NOT_CONNECTED);
	assert_status((NTSTATUS)-world_write(file, 0, back, 3), STATUS_DEVICE_NOT_CONNECTED);
	sim_close(file);
	assert_status(world_open(&w, &file, .path = L"\\work\\b"), STATUS_SUCCESS); /* NTFS's alone, but not its data */
	assert_status((NTSTATUS)-world_read(file, 0, back, 3), STATUS_FILE_IS_OFFLINE);
	sim_close(file);
	assert_status(world_open(&w, &file, .path = L"\\work\\own", .disposition = FILE_CREATE), STATUS_SUCCESS);
	assert_int_equal(world_write(file, 0, "own", 3), 3);
	sim_close(file);
	w.model.faults = (struct model_faults){ 0 };
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\b"), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, back, 4), 3);
	assert_memory_equal(back, "two", 3);
	sim_close(file);
	done(&w);
}

static void test_timeout(void **state)
{
	struct sim_file *file;
	struct world w;
	int64_t before;
	char back[4];

	(void)state;
	world_new(&w, 13);
	model_add(&w.model, L"a", false, "one", 3);
	assert_status(model_start(&w.model, 16, 8, 2000), STATUS_SUCCESS);
	w.attached = true;
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	w.model.faults.silent_at = w.model.answered + 1;
	before = native_time();
	assert_status((NTSTATUS)-world_read(file, 0, back, 3), STATUS_IO_TIMEOUT);
	assert_in_range((native_time() - before) / 10000, 1500, 3500);
	native_sleep_ms(5); /* the redirector has its turn */
	assert_true(w.model.cancels > 0);
	sim_close(file);
	world_detach(&w, true);
	done(&w);
}

static void test_errors_come_through(void **state)
{
	static const NTSTATUS codes[] = { STATUS_ACCESS_DENIED, STATUS_DISK_FULL, STATUS_SHARING_VIOLATION, STATUS_NOT_FOUND };
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	world_new(&w, 14);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	for (size_t i = 0; i < RTL_NUMBER_OF(codes); i++) {
		w.model.faults = (struct model_faults){ .error = 1, .status = codes[i] };
		assert_status((NTSTATUS)-world_read(file, 0, back, 3), codes[i]);
		assert_status((NTSTATUS)-world_write(file, 0, back, 3), codes[i]);
	}
	w.model.faults.error = 0;
	sim_close(file);
	done(&w);
}

struct waiter {
	struct sim_io io;
	KEVENT over;
};

static void on_done(struct sim_io *io)
{
	KeSetEvent(&CONTAINING_RECORD(io, struct waiter, io)->over, 0, FALSE);
}

static void test_cancel(void **state)
{
	struct waiter waiter = { .io.done = on_done };
	LARGE_INTEGER at = { .QuadPart = 0 };
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	world_new(&w, 15);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	w.model.faults.silent_at = w.model.answered + 1;
	KeInitializeEvent(&waiter.over, NotificationEvent, FALSE);
	assert_status(sim_read(file, &waiter.io, back, 3, &at, 0, NULL), STATUS_PENDING);
	assert_true(sim_cancel(&waiter.io));
	assert_status(KeWaitForSingleObject(&waiter.over, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
	assert_status(waiter.io.status.Status, STATUS_CANCELLED);
	sim_close(file);
	world_detach(&w, true);
	done(&w);
}

static void test_other_calls(void **state)
{
	FILE_ZERO_DATA_INFORMATION zero = { .BeyondFinalZero.QuadPart = 3 };
	FILE_FS_FULL_SIZE_INFORMATION space;
	UCHAR ea[64] = { 0 };
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 16);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_flush(file, NULL, &result), STATUS_SUCCESS);
	assert_int_equal(w.model.kinds[INLAY_RING_FLUSH], 1);
	assert_status(sim_fsctl(file, NULL, FSCTL_SET_ZERO_DATA, &zero, sizeof(zero), NULL, 0, &result), STATUS_NOT_SUPPORTED);
	assert_status(sim_fsctl(file, NULL, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &result), STATUS_SUCCESS);
	assert_status(sim_query_ea(file, ea, sizeof(ea), NULL, 0, true, false, &result), STATUS_NO_EAS_ON_FILE);
	assert_status(sim_query_volume(file, FileFsFullSizeInformation, &space, sizeof(space), &result), STATUS_SUCCESS);
	assert_int_equal(space.TotalAllocationUnits.QuadPart, (1ll << 40) / 4096);
	assert_status(sim_lock(file, 0, 10, true), STATUS_SUCCESS);
	assert_status(sim_unlock(file, 0, 10), STATUS_SUCCESS);
	sim_close(file);
	done(&w);
}

static void test_share_modes(void **state)
{
	struct sim_file *file, *other;
	struct world w;

	(void)state;
	world_new(&w, 17);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .share = WORLD_SHARE_NONE), STATUS_SUCCESS);
	assert_status(world_open(&w, &other, .path = L"\\work\\a", .access = GENERIC_READ), STATUS_SHARING_VIOLATION);
	assert_status(world_open(&w, &other, .path = L"\\work\\a", .disposition = FILE_OVERWRITE_IF), STATUS_SHARING_VIOLATION);
	assert_int_equal(model_find(&w.model, L"a")->size, 3);
	sim_close(file);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_unload), cmocka_unit_test(test_attach_detach), cmocka_unit_test(test_read_write),
		cmocka_unit_test(test_created_on_server), cmocka_unit_test(test_local_untouched), cmocka_unit_test(test_listing),
		cmocka_unit_test(test_delete), cmocka_unit_test(test_delete_taken_back), cmocka_unit_test(test_rename),
		cmocka_unit_test(test_rename_undone), cmocka_unit_test(test_information), cmocka_unit_test(test_ntfs_end_follows), cmocka_unit_test(test_views),
		cmocka_unit_test(test_redirector_gone), cmocka_unit_test(test_timeout), cmocka_unit_test(test_errors_come_through),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_other_calls), cmocka_unit_test(test_share_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

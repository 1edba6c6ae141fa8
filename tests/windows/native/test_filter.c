/*
 * The filter's finer rules: dispositions, streams, alignment and ends, sizes by section and allocation, identifiers, other sides' names,
 * directories that are removed, a ring with one slot, and memory that runs out at every step.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

static void start(struct world *w, uint64_t seed)
{
	world_new(w, seed);
	model_add(&w->model, L"a", false, "one", 3);
	world_attach(w);
}

static void test_existing_is_respected(void **state)
{
	struct sim_file *file;
	struct world w;
	ULONG_PTR info;

	(void)state;
	start(&w, 1);
	model_find(&w.model, L"a")->attributes = FILE_ATTRIBUTE_HIDDEN;
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .disposition = FILE_OVERWRITE), STATUS_ACCESS_DENIED);
	assert_int_equal(model_find(&w.model, L"a")->size, 3);
	assert_status(world_open_info(&w, &file, &info, .path = L"\\work\\a", .disposition = FILE_OVERWRITE, .attributes = FILE_ATTRIBUTE_HIDDEN),
		      STATUS_SUCCESS);
	assert_int_equal(info, FILE_OVERWRITTEN);
	assert_int_equal(model_find(&w.model, L"a")->size, 0);
	sim_close(file);
	model_find(&w.model, L"a")->attributes = FILE_ATTRIBUTE_READONLY;
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .disposition = FILE_OVERWRITE_IF, .access = GENERIC_READ), STATUS_ACCESS_DENIED);
	assert_status(world_open(&w, &file, .path = L"\\work\\none", .disposition = FILE_OVERWRITE), STATUS_OBJECT_NAME_NOT_FOUND);
	model_add(&w.model, L"dir", true, NULL, 0);
	assert_status(world_open(&w, &file, .path = L"\\work\\dir", .disposition = FILE_OVERWRITE_IF), STATUS_OBJECT_NAME_COLLISION);
	done(&w);
}

/* Who makes a file may write to it, though it be read-only from then on. */
static void test_read_only_from_birth(void **state)
{
	FILE_BASIC_INFORMATION basic;
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;

	(void)state;
	start(&w, 2);
	assert_status(world_open(&w, &file, .path = L"\\work\\ro", .disposition = FILE_CREATE, .attributes = FILE_ATTRIBUTE_READONLY,
				 .access = GENERIC_WRITE), STATUS_SUCCESS);
	assert_int_equal(world_write(file, 0, "x", 1), 1);
	sim_close(file);
	model_find(&w.model, L"ro")->attributes = FILE_ATTRIBUTE_READONLY;
	assert_status(world_open(&w, &file, .path = L"\\work\\ro", .access = GENERIC_WRITE), STATUS_ACCESS_DENIED);
	assert_status(world_open(&w, &file, .path = L"\\work\\ro", .access = GENERIC_READ), STATUS_SUCCESS);
	assert_status(sim_query_info(file, FileBasicInformation, &basic, sizeof(basic), &result), STATUS_SUCCESS);
	assert_int_equal(basic.FileAttributes, FILE_ATTRIBUTE_READONLY);
	sim_close(file);
	done(&w);
}

static void test_streams(void **state)
{
	struct sim_file *file;
	struct world w;

	(void)state;
	start(&w, 3);
	assert_status(world_open(&w, &file, .path = L"\\work\\a:s", .disposition = FILE_CREATE), STATUS_OBJECT_NAME_INVALID);
	assert_status(world_open(&w, &file, .path = L"\\work\\a:s:$DATA", .disposition = FILE_OPEN_IF), STATUS_OBJECT_NAME_INVALID);
	assert_status(world_open(&w, &file, .path = L"\\work\\a:s"), STATUS_OBJECT_NAME_NOT_FOUND);
	assert_status(world_open(&w, &file, .path = L"\\work\\new:s", .disposition = FILE_CREATE), STATUS_OBJECT_NAME_INVALID);
	assert_null(model_find(&w.model, L"new"));
	assert_int_equal(model_open_count(&w.model), 0);
	done(&w);
}

static int64_t read_flags(struct sim_file *file, LONGLONG offset, void *buffer, ULONG length, ULONG flags)
{
	LARGE_INTEGER at = {.QuadPart = offset};
	IO_STATUS_BLOCK result;
	NTSTATUS status = sim_read(file, NULL, buffer, length, &at, flags, &result);

	return NT_SUCCESS(status) ? (int64_t)result.Information : -(int64_t)(uint32_t)status;
}

static void test_alignment_and_ends(void **state)
{
	static uint8_t buffer[8192];
	LARGE_INTEGER end = {.HighPart = -1, .LowPart = FILE_WRITE_TO_END_OF_FILE};
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;

	(void)state;
	start(&w, 4);
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .options = FILE_NO_INTERMEDIATE_BUFFERING | FILE_SYNCHRONOUS_IO_NONALERT), STATUS_SUCCESS);
	assert_status((NTSTATUS)-world_read(file, 1, buffer, 512), STATUS_INVALID_PARAMETER);
	assert_status((NTSTATUS)-world_read(file, 0, buffer, 100), STATUS_INVALID_PARAMETER);
	assert_int_equal(world_read(file, 0, buffer, 512), 3);
	assert_status((NTSTATUS)-world_write(file, 0, buffer, 5), STATUS_INVALID_PARAMETER);
	sim_close(file);
	assert_status(world_open(&w, &file, .path = L"\\work\\a", .options = FILE_SYNCHRONOUS_IO_NONALERT,
				 .access = GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, buffer, 0), 0);
	assert_status((NTSTATUS)-world_read(file, 3, buffer, 1), STATUS_END_OF_FILE);
	assert_status(sim_write(file, NULL, "two", 3, &end, 0, &result), STATUS_SUCCESS);
	assert_int_equal(world_size(file), 6);
	assert_int_equal(sim_file_object(file)->CurrentByteOffset.QuadPart, 6);
	assert_int_equal(read_flags(file, 0, buffer, 4, 0), 4);
	assert_int_equal(sim_file_object(file)->CurrentByteOffset.QuadPart, 4);
	assert_status(sim_read(file, NULL, buffer, 4, NULL, 0, &result), STATUS_SUCCESS);
	assert_int_equal(result.Information, 2);
	assert_memory_equal(buffer, "wo", 2);
	assert_int_equal(world_write(file, 100, "gap", 3), 3);
	assert_int_equal(world_read(file, 0, buffer, sizeof(buffer)), 103);
	assert_memory_equal(buffer, "onetwo\0\0", 8);
	sim_close(file);
	done(&w);
}

static void test_section_makes_it_longer(void **state)
{
	struct sim_view *view;
	struct sim_file *file;
	struct world w;

	(void)state;
	start(&w, 5);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_map(file, true, 5000, &view), STATUS_SUCCESS);
	assert_int_equal(model_find(&w.model, L"a")->size, 5000);
	assert_status(sim_view_write(view, 4990, "0123456789", 10), STATUS_SUCCESS);
	assert_status(sim_view_flush(view), STATUS_SUCCESS);
	assert_memory_equal(model_find(&w.model, L"a")->data + 4990, "0123456789", 10);
	assert_int_equal(model_find(&w.model, L"a")->size, 5000); /* not the page's end */
	sim_unmap(view);
	sim_close(file);
	done(&w);
}

/* A write beside a view: what the view has not read yet, it reads anew. */
static void test_write_beside_view(void **state)
{
	struct sim_view *view;
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	start(&w, 6);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_map(file, true, 0, &view), STATUS_SUCCESS);
	assert_status(sim_view_read(view, 0, back, 3), STATUS_SUCCESS);
	sim_unmap(view);
	assert_int_equal(world_write(file, 0, "two", 3), 3);
	assert_status(sim_map(file, false, 0, &view), STATUS_SUCCESS);
	assert_status(sim_view_read(view, 0, back, 3), STATUS_SUCCESS);
	assert_memory_equal(back, "two", 3);
	sim_unmap(view);
	sim_close(file);
	done(&w);
}

static void test_allocation_and_valid_length(void **state)
{
	FILE_ALLOCATION_INFORMATION allocation = {.AllocationSize.QuadPart = 1 << 20};
	FILE_VALID_DATA_LENGTH_INFORMATION valid = {.ValidDataLength.QuadPart = 2};
	FILE_EA_INFORMATION ea;
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;

	(void)state;
	start(&w, 7);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_set_info(file, FileAllocationInformation, &allocation, sizeof(allocation), &result), STATUS_SUCCESS);
	assert_int_equal(world_size(file), 3);
	allocation.AllocationSize.QuadPart = 1;
	assert_status(sim_set_info(file, FileAllocationInformation, &allocation, sizeof(allocation), &result), STATUS_SUCCESS);
	assert_int_equal(world_size(file), 1);
	assert_status(sim_set_info(file, FileValidDataLengthInformation, &valid, sizeof(valid), &result), STATUS_NOT_SUPPORTED);
	assert_status(sim_query_info(file, FileEaInformation, &ea, sizeof(ea), &result), STATUS_SUCCESS);
	assert_int_equal(ea.EaSize, 0);
	assert_status(sim_set_ea(file, "", 0, &result), STATUS_EAS_NOT_SUPPORTED);
	sim_close(file);
	done(&w);
}

static void test_by_id(void **state)
{
	struct sim_create how = {.process = PROGRAM, .access = GENERIC_READ, .share = 7, .disposition = FILE_OPEN, .options = FILE_OPEN_BY_FILE_ID};
	FILE_INTERNAL_INFORMATION id;
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	start(&w, 8);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_query_info(file, FileInternalInformation, &id, sizeof(id), &result), STATUS_SUCCESS);
	sim_close(file);
	how.path = (UNICODE_STRING){.Length = 8, .MaximumLength = 8, .Buffer = (WCHAR *)&id};
	assert_status(sim_create(w.volume, &how, &file, NULL), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, back, 4), 3);
	assert_memory_equal(back, "one", 3);
	sim_close(file);
	how.disposition = FILE_OVERWRITE;
	assert_status(sim_create(w.volume, &how, &file, NULL), STATUS_NOT_SUPPORTED);
	world_detach(&w, true);
	how.disposition = FILE_OPEN;
	assert_status(sim_create(w.volume, &how, &file, NULL), STATUS_SUCCESS);
	assert_status((NTSTATUS)-world_read(file, 0, back, 4), STATUS_FILE_IS_OFFLINE);
	sim_close(file);
	done(&w);
}

static NTSTATUS make_link(struct world *w, const WCHAR *from, const WCHAR *to)
{
	UCHAR buffer[256] = {0};
	FILE_LINK_INFORMATION *info = (PVOID)buffer;
	IO_STATUS_BLOCK result;
	UNICODE_STRING name;
	struct sim_file *file;
	NTSTATUS status = world_open(w, &file, .path = from);

	if (!NT_SUCCESS(status))
		return status;
	RtlInitUnicodeString(&name, to);
	info->FileNameLength = name.Length;
	memcpy(info->FileName, name.Buffer, name.Length);
	status = sim_set_info(file, FileLinkInformation, info, (ULONG)offsetof(FILE_LINK_INFORMATION, FileName) + name.Length, &result);
	sim_close(file);
	return status;
}

static void test_between_sides(void **state)
{
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 9);
	assert_status(world_open(&w, &file, .path = L"\\mine", .disposition = FILE_CREATE), STATUS_SUCCESS);
	sim_close(file);
	model_add(&w.model, L"a", false, "one", 3);
	w.model.local = L"tmp";
	world_attach(&w);
	assert_status(world_rename(&w, L"\\mine", L"\\work\\x", false), STATUS_NOT_SAME_DEVICE);
	assert_status(make_link(&w, L"\\mine", L"\\work\\x"), STATUS_NOT_SAME_DEVICE);
	assert_status(make_link(&w, L"\\work\\a", L"\\work\\x"), STATUS_NOT_SUPPORTED);
	assert_status(world_rename(&w, L"\\work\\a", L"\\work\\tmp1", false), STATUS_NOT_SAME_DEVICE);
	assert_status(world_rename(&w, L"\\mine", L"\\work\\tmp1", false), STATUS_SUCCESS);
	assert_status(world_rename(&w, L"\\work\\tmp1", L"\\mine", false), STATUS_SUCCESS);
	done(&w);
}

static void test_directory_removed(void **state)
{
	struct inlay_control_number number = {.version = INLAY_CONTROL_VERSION, .number = 7};
	struct inlay_control_usage usage;
	struct sim_file *file;
	struct world w;
	ULONG length;
	char back[4];

	(void)state;
	start(&w, 10);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_USAGE, &number, sizeof(number), &usage, sizeof(usage), &length),
		      STATUS_SUCCESS);
	assert_int_equal(usage.open_files, 1);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number), NULL, 0, NULL), STATUS_SUCCESS);
	assert_status((NTSTATUS)-world_read(file, 0, back, 3), STATUS_DEVICE_NOT_CONNECTED);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number), NULL, 0, NULL), STATUS_NOT_FOUND);
	sim_close(file);
	native_sleep_ms(5);
	assert_int_equal(model_open_count(&w.model), 0); /* the number was closed all the same */
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status((NTSTATUS)-world_read(file, 0, back, 3), STATUS_FILE_IS_OFFLINE);
	sim_close(file);
	done(&w);
}

/* A ring that holds two requests and one slot: everything waits its turn, and more than the slot holds goes in pieces. */
static void test_narrow_ring(void **state)
{
	static uint8_t data[300000], back[300000];
	struct sim_file *file;
	struct sim_view *view;
	struct world w;

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		world_new(&w, seed);
		world_fill(data, 0, sizeof(data), (uint32_t)seed);
		model_add(&w.model, L"a", false, data, sizeof(data));
		assert_status(model_start(&w.model, 2, 1, 0), STATUS_SUCCESS);
		w.attached = true;
		assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
		assert_int_equal(world_read(file, 0, back, sizeof(back)), sizeof(back));
		assert_memory_equal(back, data, sizeof(back));
		world_fill(data, 7, sizeof(data) - 7, 99);
		assert_int_equal(world_write(file, 7, data, sizeof(data) - 7), sizeof(data) - 7);
		assert_memory_equal(model_find(&w.model, L"a")->data + 7, data, sizeof(data) - 7);
		assert_status(sim_map(file, true, 0, &view), STATUS_SUCCESS);
		assert_status(sim_view_write(view, 100, "view", 4), STATUS_SUCCESS);
		assert_int_equal(world_read(file, 100, back, 4), 4);
		assert_memory_equal(back, "view", 4);
		sim_unmap(view);
		sim_close(file);
		done(&w);
	}
}

/* A delete that two handles ask for, and the one that asked first is gone before the file is. */
static void test_deleted_by_another(void **state)
{
	FILE_DISPOSITION_INFORMATION remove = {TRUE};
	IO_STATUS_BLOCK result;
	struct sim_file *first, *second;
	struct world w;

	(void)state;
	start(&w, 11);
	assert_status(world_open(&w, &first, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(world_open(&w, &second, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_set_info(first, FileDispositionInformation, &remove, 1, &result), STATUS_SUCCESS);
	sim_close(first);
	assert_non_null(model_find(&w.model, L"a"));
	remove.DeleteFile = FALSE;
	assert_status(sim_set_info(second, FileDispositionInformation, &remove, 1, &result), STATUS_SUCCESS);
	sim_close(second);
	native_sleep_ms(5);
	assert_non_null(model_find(&w.model, L"a"));
	assert_int_equal(model_find(&w.model, L"a")->removing, 0);
	assert_int_equal(model_open_count(&w.model), 0);
	done(&w);
}

/* The driver goes while the redirector still has its handle. */
static void test_unload_with_open_handle(void **state)
{
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	start(&w, 12);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_filter_unload(w.driver, true), STATUS_SUCCESS);
	assert_int_equal(native_pool_live(), 0);
	assert_int_equal(world_read(file, 0, back, 3), 3); /* NTFS's: the driver is no more */
	sim_close(file);
	world_detach(&w, false);
	native_driver_free(w.driver);
	native_threads_settle();
	assert_true(sim_volume_free(w.volume));
	native_check();
	model_done(&w.model);
	native_steps(0);
	assert_int_equal(sim_violations(), 0);
}

/* What programs do in a short life, each status but success allowed. */
static void live(struct world *w)
{
	FILE_STANDARD_INFORMATION standard;
	IO_STATUS_BLOCK result;
	struct sim_file *file;
	struct sim_view *view;
	char back[16];

	if (NT_SUCCESS(world_open(w, &file, .path = L"\\work\\a", .disposition = FILE_OVERWRITE_IF))) {
		(void)world_write(file, 0, "0123456789", 10);
		(void)world_read(file, 0, back, 10);
		(void)sim_query_info(file, FileStandardInformation, &standard, sizeof(standard), &result);
		if (NT_SUCCESS(sim_map(file, true, 20, &view))) {
			(void)sim_view_write(view, 12, "x", 1);
			sim_unmap(view);
		}
		sim_close(file);
	}
	(void)world_rename(w, L"\\work\\a", L"\\work\\b", true);
	(void)world_list(w, L"\\work", NULL, NULL, NULL);
	(void)world_delete(w, L"\\work\\b");
	if (NT_SUCCESS(world_open(w, &file, .path = L"\\work\\c", .disposition = FILE_CREATE, .options = FILE_DELETE_ON_CLOSE)))
		sim_close(file);
}

static void run_out(bool for_good)
{
	struct world w;
	bool reached = true;
	uint32_t n;

	for (n = 1; reached; n++) { /* until there are less than n */
		world_new(&w, n);
		model_add(&w.model, L"a", false, "one", 3);
		native_fail(n, for_good);
		w.attached = NT_SUCCESS(model_start(&w.model, 4, 2, 0));
		if (w.attached)
			live(&w);
		reached = native_fail_count() >= n;
		native_fail(0, false);
		sim_lazy_write(w.volume);
		done(&w);
	}
	assert_true(n > 50);
}

static void test_no_memory_once(void **state)
{
	(void)state;
	run_out(false);
}

static void test_no_memory_any_more(void **state)
{
	(void)state;
	run_out(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_existing_is_respected),
		cmocka_unit_test(test_read_only_from_birth),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_alignment_and_ends),
		cmocka_unit_test(test_section_makes_it_longer),
		cmocka_unit_test(test_write_beside_view),
		cmocka_unit_test(test_allocation_and_valid_length),
		cmocka_unit_test(test_by_id),
		cmocka_unit_test(test_between_sides),
		cmocka_unit_test(test_directory_removed),
		cmocka_unit_test(test_narrow_ring),
		cmocka_unit_test(test_deleted_by_another),
		cmocka_unit_test(test_unload_with_open_handle),
		cmocka_unit_test(test_no_memory_once),
		cmocka_unit_test(test_no_memory_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

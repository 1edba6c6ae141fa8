/*
 * One script of everything a program does, with the redirector dying, falling silent, or talking garbage at each of its answers in turn;
 * and the driver unloaded at each. The control device: calls of every size and content, in every state.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

#include <stdlib.h>

struct waiter {
	struct sim_io io;
	KEVENT over;
};

static void on_done(struct sim_io *io)
{
	KeSetEvent(&CONTAINING_RECORD(io, struct waiter, io)->over, 0, FALSE);
}

static void views(struct world *w, struct sim_file *file)
{
	struct sim_view *view;
	char back[100];

	if (!NT_SUCCESS(sim_map(file, true, 0, &view)))
		return;
	sim_view_read(view, 0, back, 10);
	sim_view_write(view, 5, "view", 4);
	world_read(file, 0, back, 100);
	sim_view_write(view, 5, "late", 4);
	sim_unmap(view);
	sim_lazy_write(w->volume);
}

static void one_file(struct world *w, struct sim_file *file)
{
	FILE_BASIC_INFORMATION basic = { .LastWriteTime.QuadPart = 132000000000000000ll };
	FILE_END_OF_FILE_INFORMATION end = { .EndOfFile.QuadPart = 5000 };
	static uint8_t data[150000];
	IO_STATUS_BLOCK result;
	LARGE_INTEGER space[4];

	world_write(file, 0, data, sizeof(data));
	world_read(file, 10, data, sizeof(data));
	world_size(file);
	sim_set_info(file, FileEndOfFileInformation, &end, sizeof(end), &result);
	sim_set_info(file, FileBasicInformation, &basic, sizeof(basic), &result);
	views(w, file);
	sim_flush(file, NULL, &result);
	sim_query_volume(file, FileFsFullSizeInformation, space, sizeof(space), &result);
	world_rename_file(file, L"\\work\\dir\\renamed", true);
}

static void script(struct world *w)
{
	struct sim_create attributes = { .process = PROGRAM };
	FILE_NETWORK_OPEN_INFORMATION network;
	struct sim_file *file;

	world_list(w, L"\\work", NULL, NULL, NULL);
	if (NT_SUCCESS(world_open(w, &file, .path = L"\\work\\new", .disposition = FILE_CREATE))) {
		one_file(w, file);
		sim_close(file);
	}
	RtlInitUnicodeString(&attributes.path, L"\\work\\dir\\renamed");
	sim_query_full_attributes(w->volume, &attributes, &network);
	if (NT_SUCCESS(world_open(w, &file, .path = L"\\work\\dir\\renamed", .disposition = FILE_OVERWRITE_IF, .options = FILE_WRITE_THROUGH))) {
		world_write(file, 0, "again", 5);
		sim_close(file);
	}
	world_delete(w, L"\\work\\dir\\renamed");
	world_rename(w, L"\\work\\old", L"\\work\\dir\\old", false);
	if (NT_SUCCESS(world_open(w, &file, .path = L"\\work\\dir\\old", .options = FILE_DELETE_ON_CLOSE)))
		sim_close(file);
	sim_lazy_write(w->volume);
}

/* How many answers the script takes when nothing goes wrong; faults: at `at` of them. */
static uint32_t run(uint64_t seed, struct model_faults faults, uint32_t timeout_ms)
{
	struct world w;
	uint32_t answered;

	world_new(&w, seed);
	model_add(&w.model, L"dir", true, NULL, 0);
	model_add(&w.model, L"old", false, "old", 3);
	w.model.faults = faults;
	assert_status(model_start(&w.model, 8, 4, timeout_ms), STATUS_SUCCESS);
	w.attached = true;
	script(&w);
	answered = w.model.answered;
	if (!faults.die_at && !faults.silent_at && !faults.garbage_at) {
		assert_null(model_find(&w.model, L"dir\\renamed"));
		assert_null(model_find(&w.model, L"dir\\old"));
		native_sleep_ms(10);
		assert_int_equal(model_open_count(&w.model), 0);
	}
	world_detach(&w, true);
	script(&w); /* NTFS alone */
	done(&w);
	return answered;
}

static void test_death_at_every_step(void **state)
{
	uint32_t steps = run(1, (struct model_faults){ 0 }, 0);

	(void)state;
	assert_true(steps > 40);
	for (uint32_t at = 1; at <= steps; at++)
		run(at, (struct model_faults){ .die_at = at }, 0);
}

static void test_silence_at_every_step(void **state)
{
	uint32_t steps = run(1, (struct model_faults){ 0 }, 0);

	(void)state;
	for (uint32_t at = 1; at <= steps; at++)
		run(at, (struct model_faults){ .silent_at = at }, 1000);
}

static void test_garbage_at_every_step(void **state)
{
	uint32_t steps = run(1, (struct model_faults){ 0 }, 0);

	(void)state;
	for (uint32_t kind = 1; kind < GARBAGE_KINDS; kind++)
		for (uint32_t at = 1; at <= steps; at++)
			run(at * 7 + kind, (struct model_faults){ .garbage_at = at, .garbage = kind, .late = 2 }, 0);
}

/* An answer that comes when its program has given up: what it opened, or was allowed to do, is given back. */
static void test_late_at_every_step(void **state)
{
	uint32_t steps = run(1, (struct model_faults){ 0 }, 0);

	(void)state;
	for (uint32_t at = 1; at <= steps; at++) {
		struct world w;

		world_new(&w, at);
		model_add(&w.model, L"dir", true, NULL, 0);
		model_add(&w.model, L"old", false, "old", 3);
		w.model.faults = (struct model_faults){ .slow_at = at, .slow_ms = 3000 };
		assert_status(model_start(&w.model, 8, 4, 1000), STATUS_SUCCESS);
		w.attached = true;
		script(&w);
		native_sleep_ms(5000);
		assert_int_equal(model_open_count(&w.model), 0);
		for (uint32_t i = 0; i < w.model.file_count; i++)
			assert_int_equal(w.model.files[i].removing + w.model.files[i].renaming, 0);
		world_detach(&w, true);
		done(&w);
	}
}

/* Requests that are never answered end when the directory goes, and when the driver does. */
static void pending_read(bool unload)
{
	struct inlay_control_number number = { .version = INLAY_CONTROL_VERSION, .number = 7 };
	struct waiter waiter = { .io.done = on_done };
	LARGE_INTEGER at = { .QuadPart = 0 };
	struct sim_file *file;
	struct world w;
	char back[3];

	world_new(&w, 5);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	w.model.faults.silent_at = w.model.answered + 1;
	KeInitializeEvent(&waiter.over, NotificationEvent, FALSE);
	assert_status(sim_read(file, &waiter.io, back, 3, &at, 0, NULL), STATUS_PENDING);
	if (unload) {
		assert_status(sim_filter_unload(w.driver, true), STATUS_SUCCESS);
	} else {
		assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number), NULL, 0, NULL),
			STATUS_SUCCESS);
	}
	KeWaitForSingleObject(&waiter.over, Executive, KernelMode, FALSE, NULL);
	assert_status(waiter.io.status.Status, STATUS_DEVICE_NOT_CONNECTED);
	sim_close(file);
	world_detach(&w, true);
	if (!unload) {
		done(&w);
		return;
	}
	native_driver_free(w.driver);
	native_threads_settle();
	assert_true(sim_volume_free(w.volume));
	native_check();
	model_done(&w.model);
	native_steps(0);
	assert_int_equal(sim_violations(), 0);
}

static void test_pending_ends_with_directory(void **state)
{
	(void)state;
	pending_read(false);
}

static void test_pending_ends_with_driver(void **state)
{
	(void)state;
	pending_read(true);
}

/* Errors of every request kind: whatever the program is told, nothing is left behind. */
static void test_error_of_every_kind(void **state)
{
	(void)state;
	for (uint32_t kind = 1; kind < INLAY_RING_KIND_TOP; kind++)
		for (uint32_t one_in = 1; one_in < 4; one_in++)
			run(kind * 10 + one_in, (struct model_faults){ .error = one_in, .kind = kind, .die_at = 100000 }, 0);
}

/* ---- the control device ---- */

static const ULONG codes[] = {
	INLAY_CONTROL_VERSION_GET, INLAY_CONTROL_RING_SET, INLAY_CONTROL_DIRECTORY_ADD, INLAY_CONTROL_DIRECTORY_REMOVE,
	INLAY_CONTROL_DIRECTORY_USAGE, INLAY_CONTROL_CODE(0x805u), 0,
};

static void random_call(struct native_control *control, const struct native_section *section, const struct native_event *event)
{
	static uint8_t in[70000], out[256];
	struct inlay_control_ring *ring = (void *)in;
	struct inlay_control_directory *directory = (void *)in;
	ULONG code = codes[native_random(RTL_NUMBER_OF(codes))], in_length = native_random(native_random(10) ? 64 : sizeof(in));

	for (ULONG i = 0; i < in_length; i++)
		in[i] = (uint8_t)native_random(256);
	if (native_random(4))
		ring->version = INLAY_CONTROL_VERSION;
	if (code == INLAY_CONTROL_RING_SET && native_random(2)) {
		in_length = sizeof(*ring);
		ring->section = (uint64_t)(ULONG_PTR)(native_random(4) ? section->handle : event->handle);
		ring->requests = (uint64_t)(ULONG_PTR)(native_random(8) ? event->handle : section->handle);
		ring->completions = (uint64_t)(ULONG_PTR)event->handle;
		ring->size = native_random(3) ? native_random(3) * section->size : native_random(100000);
	} else if (code == INLAY_CONTROL_DIRECTORY_ADD && native_random(2)) {
		directory->volume_length = native_random(8) ? 2 * native_random(12) : 0xfffffffe;
		directory->path_length = in_length > 60 ? in_length - (ULONG)sizeof(*directory) - directory->volume_length : 4;
	}
	native_control_call(control, code, in, in_length, out, native_random(sizeof(out)), NULL);
}

static void test_calls_fuzzed(void **state)
{
	struct native_control *control;
	struct native_section section;
	struct native_event event;
	struct world w;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		world_new(&w, seed);
		native_section_new(&section, REDIRECTOR, 512 * 1024);
		native_event_new(&event, REDIRECTOR, false);
		for (int handles = 0; handles < 5; handles++) {
			assert_status(native_control_open(L"\\DosDevices\\Inlay", REDIRECTOR, &control), STATUS_SUCCESS);
			for (int i = 0; i < 60; i++) {
				if (native_random(4) == 0) /* the section's head, from hostile to nearly right */
					((uint8_t *)section.memory)[native_random(64)] = (uint8_t)native_random(256);
				if (native_random(10) == 0) {
					struct inlay_ring_responder responder;
					struct inlay_ring_geometry geometry;

					if (inlay_ring_layout(&geometry, 4, 4, INLAY_RING_SLOT_MIN) == 0)
						inlay_ring_responder_open(&responder, section.memory, &geometry);
				}
				random_call(control, &section, &event);
			}
			native_control_close(control, native_random(2));
		}
		native_handle_close(section.handle);
		native_handle_close(event.handle);
		done(&w);
	}
}

static NTSTATUS add_on(struct native_control *control, uint32_t number, const WCHAR *device, const WCHAR *path)
{
	struct {
		struct inlay_control_directory head;
		WCHAR names[64];
	} in = { .head = { .version = INLAY_CONTROL_VERSION, .number = number } };
	UNICODE_STRING name, volume;

	RtlInitUnicodeString(&name, path);
	RtlInitUnicodeString(&volume, device);
	in.head.volume_length = volume.Length;
	in.head.path_length = name.Length;
	memcpy(in.names, device, in.head.volume_length);
	memcpy((char *)in.names + in.head.volume_length, name.Buffer, name.Length);
	return native_control_call(control, INLAY_CONTROL_DIRECTORY_ADD, &in,
		(ULONG)sizeof(in.head) + in.head.volume_length + in.head.path_length, NULL, 0, NULL);
}

static NTSTATUS add(struct native_control *control, uint32_t number, const WCHAR *path)
{
	return add_on(control, number, L"\\Device\\HarddiskVolume3", path);
}

static void test_directories(void **state)
{
	struct inlay_control_number number = { .version = INLAY_CONTROL_VERSION, .number = 7 };
	struct inlay_control_version version;
	struct inlay_control_usage usage;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 3);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_VERSION_GET, NULL, 0, &version, sizeof(version), NULL), STATUS_SUCCESS);
	assert_int_equal(version.control, INLAY_CONTROL_VERSION);
	assert_int_equal(version.ring, INLAY_RING_VERSION);
	assert_status(add(w.model.at.control, 8, L"\\work\\within"), STATUS_OBJECT_NAME_COLLISION);
	assert_status(add(w.model.at.control, 8, L"\\WORK"), STATUS_OBJECT_NAME_COLLISION);
	assert_status(add(w.model.at.control, 7, L"\\elsewhere"), STATUS_OBJECT_NAME_COLLISION);
	assert_status(add_on(w.model.at.control, 8, L"\\Device\\None", L"\\work2"), STATUS_FLT_VOLUME_NOT_FOUND);
	assert_status(add(w.model.at.control, 8, L"\\work2"), STATUS_SUCCESS); /* nothing of the attempt is left */
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_USAGE, &number, sizeof(number), &usage, sizeof(usage), NULL),
		STATUS_SUCCESS);
	assert_int_equal(usage.open_files, 1);
	assert_int_equal(usage.outstanding, 0);
	sim_close(file);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_USAGE, &number, sizeof(number), &usage, sizeof(usage), NULL),
		STATUS_SUCCESS);
	assert_int_equal(usage.open_files, 0);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number), NULL, 0, NULL), STATUS_SUCCESS);
	assert_status(native_control_call(w.model.at.control, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number), NULL, 0, NULL), STATUS_NOT_FOUND);
	assert_status((NTSTATUS)-world_read(file, 0, &usage, 3), STATUS_DEVICE_NOT_CONNECTED);
	sim_close(file);
	done(&w);
}

/* A second volume: the filter is there only when a directory is. */
static void test_only_where_needed(void **state)
{
	struct sim_counts before, after;
	struct sim_volume *other;
	struct sim_file *file;
	struct world w;

	(void)state;
	world_new(&w, 4);
	world_attach(&w);
	other = sim_volume_new(L"\\Device\\HarddiskVolume9");
	sim_count(&before);
	{
		struct sim_create how = { .access = GENERIC_READ, .disposition = FILE_CREATE, .process = PROGRAM };

		RtlInitUnicodeString(&how.path, L"\\work");
		assert_status(sim_create(other, &how, &file, NULL), STATUS_SUCCESS);
		sim_close(file);
	}
	sim_count(&after);
	assert_int_equal(before.callbacks, after.callbacks);
	assert_true(sim_volume_free(other));
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_death_at_every_step), cmocka_unit_test(test_silence_at_every_step),
		cmocka_unit_test(test_garbage_at_every_step), cmocka_unit_test(test_late_at_every_step),
		cmocka_unit_test(test_pending_ends_with_directory), cmocka_unit_test(test_pending_ends_with_driver),
		cmocka_unit_test(test_error_of_every_kind), cmocka_unit_test(test_calls_fuzzed),
		cmocka_unit_test(test_directories), cmocka_unit_test(test_only_where_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The volume beneath a registered directory goes: by hand, which the filter refuses, or by a forced dismount with files open and requests
 * pending at a redirector that never answers. Everything ends with an error, and nothing is left.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

#define PENDING 4u

struct waiter {
	struct sim_io io;
	KEVENT over;
	UCHAR buffer[2000];
};

/* One program's call that waits in its own thread. */
struct caller {
	struct world *world;
	struct sim_file *file;
	void (*call)(struct caller *c);
	struct native_thread *thread;
	NTSTATUS status;
	bool over;
};

static void on_done(struct sim_io *io)
{
	KeSetEvent(&CONTAINING_RECORD(io, struct waiter, io)->over, 0, FALSE);
}

static void begin(struct waiter *w)
{
	memset(w, 0, sizeof(*w));
	w->io.done = on_done;
	KeInitializeEvent(&w->over, NotificationEvent, FALSE);
}

static void expect_end(struct waiter *w, NTSTATUS status)
{
	assert_status(KeWaitForSingleObject(&w->over, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
	assert_status(w->io.status.Status, status);
}

static void call_flush(struct caller *c)
{
	IO_STATUS_BLOCK result;

	c->status = sim_flush(c->file, NULL, &result);
}

static void call_query(struct caller *c)
{
	FILE_STANDARD_INFORMATION info;
	IO_STATUS_BLOCK result;

	c->status = sim_query_info(c->file, FileStandardInformation, &info, sizeof(info), &result);
}

/* A write that makes the file longer waits in the program's thread. */
static void call_grow(struct caller *c)
{
	c->status = (NTSTATUS)-world_write(c->file, 5000, "longer", 6);
}

static void call_create(struct caller *c)
{
	struct sim_file *file;

	c->status = world_open(c->world, &file, .path = L"\\work\\other", .disposition = FILE_OPEN_IF);
	if (NT_SUCCESS(c->status))
		sim_close(file);
}

static void call_list(struct caller *c)
{
	c->status = (NTSTATUS)world_list(c->world, L"\\work", NULL, NULL, NULL);
}

static void run_caller(void *opaque)
{
	struct caller *c = opaque;

	c->call(c);
	c->over = true;
}

static void (*const calls[])(struct caller *c) = { call_flush, call_query, call_grow, call_create, call_list };

#define CALLERS RTL_NUMBER_OF(calls)

/* All that a program may wait for, at a redirector that has just fallen silent. */
struct pended {
	struct sim_file *file, *directory;
	struct sim_view *view;
	struct waiter reads[PENDING], write, notify;
	struct caller callers[CALLERS];
};

static void pend_all(struct world *w, struct pended *p)
{
	LARGE_INTEGER at = { .QuadPart = 0 };

	assert_status(world_open(w, &p->file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(world_open(w, &p->directory, .path = L"\\work", .access = FILE_LIST_DIRECTORY, .options = FILE_DIRECTORY_FILE), STATUS_SUCCESS);
	begin(&p->notify);
	assert_status(sim_notify(p->directory, &p->notify.io, 0xfff, true, p->notify.buffer, sizeof(p->notify.buffer), NULL), STATUS_PENDING);
	w->model.faults.silent_at = w->model.answered + 1;
	for (uint32_t i = 0; i < PENDING; i++) { /* more than the ring has slots: some wait in the driver's list */
		begin(&p->reads[i]);
		assert_status(sim_read(p->file, &p->reads[i].io, p->reads[i].buffer, 1000, &at, 0, NULL), STATUS_PENDING);
	}
	begin(&p->write);
	assert_status(sim_write(p->file, &p->write.io, p->write.buffer, 1000, &at, 0, NULL), STATUS_PENDING);
	for (uint32_t i = 0; i < CALLERS; i++) {
		p->callers[i] = (struct caller){ .world = w, .file = p->file, .call = calls[i] };
		p->callers[i].thread = native_thread_new(run_caller, &p->callers[i], PROGRAM + i);
	}
	native_sleep_ms(50);
	for (uint32_t i = 0; i < CALLERS; i++)
		assert_false(p->callers[i].over); /* it does wait */
}

static void expect_all_ended(struct pended *p)
{
	for (uint32_t i = 0; i < PENDING; i++)
		expect_end(&p->reads[i], STATUS_DEVICE_NOT_CONNECTED);
	expect_end(&p->write, STATUS_DEVICE_NOT_CONNECTED);
	for (uint32_t i = 0; i < CALLERS; i++) {
		native_thread_join(p->callers[i].thread);
		assert_true(p->callers[i].status == STATUS_DEVICE_NOT_CONNECTED || p->callers[i].status == STATUS_VOLUME_DISMOUNTED);
	}
}

static uint32_t open_files(struct world *w)
{
	struct inlay_control_number number = { INLAY_CONTROL_VERSION, MODEL_DIRECTORY };
	struct inlay_control_usage usage;

	assert_status(native_control_call(w->model.at.control, INLAY_CONTROL_DIRECTORY_USAGE, &number, sizeof(number), &usage, sizeof(usage), NULL),
		STATUS_SUCCESS);
	assert_int_equal(usage.outstanding, 0);
	return usage.open_files;
}

static void dismount(uint64_t seed, bool unload)
{
	struct pended p = { 0 };
	struct sim_file *late;
	struct world w;
	char back[4];

	world_new(&w, seed);
	model_add(&w.model, L"a", false, NULL, 4000);
	model_add(&w.model, L"other", false, "two", 3);
	assert_status(model_start(&w.model, 8, 4, 0), STATUS_SUCCESS);
	w.attached = true;
	pend_all(&w, &p);
	if (unload)
		assert_status(sim_filter_unload(w.driver, true), STATUS_SUCCESS);
	sim_volume_dismount(w.volume);
	expect_all_ended(&p);
	if (!unload)
		assert_int_equal(open_files(&w), 0); /* contexts are gone, files still open */
	assert_status((NTSTATUS)-world_read(p.file, 0, back, 3), STATUS_VOLUME_DISMOUNTED); /* never the placeholder's zeros */
	assert_status(world_open(&w, &late, .path = L"\\work\\a"), STATUS_VOLUME_DISMOUNTED);
	sim_close(p.directory);
	expect_end(&p.notify, STATUS_CANCELLED);
	sim_close(p.file);
	world_detach(&w, true);
	if (unload) {
		native_driver_free(w.driver);
		assert_status(native_driver_load(DriverEntry, &w.driver), STATUS_SUCCESS);
	}
	done(&w);
}

static void test_dismounted_with_requests_pending(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		dismount(seed, false);
	dismount(0, false);
}

static void test_unloaded_with_requests_pending(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++)
		dismount(seed, true);
	dismount(0, true);
}

/* What begins at the same moment either ends with the rest or isn't sent. */
static void test_dismounted_while_requests_begin(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct caller callers[CALLERS];
		struct sim_file *file;
		struct world w;

		world_new(&w, seed);
		model_add(&w.model, L"a", false, NULL, 4000);
		world_attach(&w);
		assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
		w.model.faults.silent_at = w.model.answered + 1;
		for (uint32_t i = 0; i < CALLERS; i++) {
			callers[i] = (struct caller){ .world = &w, .file = file, .call = calls[i] };
			callers[i].thread = native_thread_new(run_caller, &callers[i], PROGRAM + i);
		}
		for (uint32_t i = native_random(60); i; i--)
			native_point();
		sim_volume_dismount(w.volume);
		for (uint32_t i = 0; i < CALLERS; i++) {
			native_thread_join(callers[i].thread);
			assert_false(NT_SUCCESS(callers[i].status));
		}
		sim_close(file);
		world_detach(&w, true);
		done(&w);
	}
}

/* Whoever holds a mapped view of a volume that is gone gets errors for its pages, and keeps nothing. */
static void test_dismounted_with_a_view(void **state)
{
	struct sim_view *view;
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	world_new(&w, 3);
	model_add(&w.model, L"a", false, "one", 3);
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_map(file, true, 0, &view), STATUS_SUCCESS);
	assert_status(sim_view_write(view, 0, "two", 3), STATUS_SUCCESS);
	sim_close(file);
	sim_volume_dismount(w.volume);
	assert_false(NT_SUCCESS(sim_view_flush(view)));
	assert_status(sim_view_read(view, 0, back, 3), STATUS_SUCCESS); /* the page is there */
	sim_unmap(view);
	assert_int_equal(open_files(&w), 0);
	done(&w);
}

/* The administrator's fltmc detach: programs would read the placeholders' zeros. */
static void test_not_by_hand(void **state)
{
	struct sim_file *file;
	struct world w;
	char back[4];

	(void)state;
	world_new(&w, 4);
	model_add(&w.model, L"a", false, "one", 3);
	assert_status(sim_volume_detach(w.volume), STATUS_FLT_INSTANCE_NOT_FOUND); /* the filter is where it is needed only */
	world_attach(&w);
	assert_status(world_open(&w, &file, .path = L"\\work\\a"), STATUS_SUCCESS);
	assert_status(sim_volume_detach(w.volume), STATUS_FLT_DO_NOT_DETACH);
	assert_int_equal(world_read(file, 0, back, 3), 3);
	assert_memory_equal(back, "one", 3);
	sim_close(file);
	world_detach(&w, true);
	assert_status(sim_volume_detach(w.volume), STATUS_FLT_DO_NOT_DETACH); /* what its redirector left is guarded */
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dismounted_with_requests_pending), cmocka_unit_test(test_unloaded_with_requests_pending),
		cmocka_unit_test(test_dismounted_while_requests_begin), cmocka_unit_test(test_dismounted_with_a_view), cmocka_unit_test(test_not_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

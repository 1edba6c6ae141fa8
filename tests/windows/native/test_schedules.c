/*
 * Random schedules: programs, the redirector and its end, cancellations, unload under load. By turns each seed is one exact
 * sequence of steps (SEED=n repeats it); freely, threads race for the sanitizers. Contents are compared with what was written.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#define PROGRAMS 3u
#define ROOM (192u * 1024u)

struct program {
	struct world *world;
	struct native_thread *thread;
	uint32_t id, steps;
	bool exact;      /* nothing goes wrong in this world: every answer is known */
	WCHAR name[24];  /* of its own file */
	uint8_t *shadow; /* what its file must hold */
	uint64_t size;
	struct sim_file *file;
	bool exists;
};

struct waiter {
	struct sim_io io;
	KEVENT over;
};


static void on_done(struct sim_io *io)
{
	KeSetEvent(&CONTAINING_RECORD(io, struct waiter, io)->over, 0, FALSE);
}

static void expect(struct program *p, bool fine, const char *what, int64_t value)
{
	if (!fine && p->exact)
		sim_violate("a program saw what it should not", what, (uint64_t)value);
}

static void name_set(struct program *p, uint32_t version)
{
	static const WCHAR head[] = L"\\work\\file-";
	size_t units = RTL_NUMBER_OF(head) - 1;

	memcpy(p->name, head, sizeof(head));
	p->name[units] = (WCHAR)('a' + p->id);
	p->name[units + 1] = (WCHAR)('0' + version % 10);
	p->name[units + 2] = 0;
}

static void close_file(struct program *p)
{
	if (p->file)
		sim_close(p->file);
	p->file = NULL;
}

static bool open_file(struct program *p)
{
	ULONG options = native_random(4) ? 0 : FILE_SYNCHRONOUS_IO_NONALERT;
	NTSTATUS status;

	if (p->file)
		return true;
	if (native_random(6) == 0)
		options |= FILE_WRITE_THROUGH;
	status = world_open(p->world, &p->file, .path = p->name, .disposition = FILE_OPEN_IF, .options = options,
		.access = GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE);
	expect(p, NT_SUCCESS(status), "open", status);
	if (!NT_SUCCESS(status)) {
		p->file = NULL;
		return false;
	}
	if (!p->exists)
		p->size = 0;
	p->exists = true;
	return true;
}

static void do_write(struct program *p)
{
	uint32_t length = 1 + native_random(native_random(4) ? 3000 : 90000), offset = native_random(ROOM - length);
	uint8_t *data = malloc(length);
	int64_t done;

	world_fill(data, offset, length, native_random(1000));
	done = world_write(p->file, offset, data, length);
	expect(p, done == length, "write", done);
	if (done == length) {
		memcpy(p->shadow + offset, data, length);
		if (offset > p->size)
			memset(p->shadow + p->size, 0, offset - p->size);
		p->size = max(p->size, (uint64_t)offset + length);
	}
	free(data);
}

static void do_read(struct program *p)
{
	uint32_t length = 1 + native_random(native_random(4) ? 3000 : 90000), offset = native_random(ROOM - length);
	uint8_t *data = malloc(length);
	int64_t done = world_read(p->file, offset, data, length), wanted = offset < p->size ? (int64_t)min(length, p->size - offset) : 0;

	if (done == -(int64_t)(uint32_t)STATUS_END_OF_FILE)
		done = 0;
	expect(p, done == wanted, "read's length", done);
	expect(p, done <= 0 || done != wanted || !memcmp(data, p->shadow + offset, (size_t)done), "read's content", offset);
	free(data);
}

static void do_cancel(struct program *p)
{
	struct waiter waiter = { .io.done = on_done };
	LARGE_INTEGER at = { .QuadPart = native_random(ROOM / 2) };
	uint32_t length = 1 + native_random(70000);
	uint8_t *data = malloc(length);
	NTSTATUS status;

	KeInitializeEvent(&waiter.over, NotificationEvent, FALSE);
	status = sim_read(p->file, &waiter.io, data, length, &at, 0, NULL);
	if (status == STATUS_PENDING && native_random(3))
		sim_cancel(&waiter.io);
	KeWaitForSingleObject(&waiter.over, Executive, KernelMode, FALSE, NULL);
	status = waiter.io.status.Status;
	expect(p, status == STATUS_SUCCESS || status == STATUS_CANCELLED || status == STATUS_END_OF_FILE, "cancel", status);
	if (status == STATUS_SUCCESS)
		expect(p, !memcmp(data, p->shadow + at.QuadPart, waiter.io.status.Information), "content beside a cancellation", 0);
	free(data);
}

static void do_resize(struct program *p)
{
	FILE_END_OF_FILE_INFORMATION end = { .EndOfFile.QuadPart = native_random(ROOM) };
	IO_STATUS_BLOCK result;
	NTSTATUS status = sim_set_info(p->file, FileEndOfFileInformation, &end, sizeof(end), &result);
	uint64_t size = (uint64_t)end.EndOfFile.QuadPart;

	expect(p, NT_SUCCESS(status), "end of file", status);
	if (!NT_SUCCESS(status))
		return;
	if (size > p->size)
		memset(p->shadow + p->size, 0, size - p->size);
	p->size = size;
}

static void do_query(struct program *p)
{
	uint64_t size = world_size(p->file);

	expect(p, size == p->size, "size", (int64_t)size);
}

static void do_view(struct program *p)
{
	struct sim_view *view;
	uint32_t offset, length;
	uint8_t data[5000], back[5000];
	NTSTATUS status;

	if (!p->size)
		return;
	status = sim_map(p->file, true, 0, &view);
	expect(p, NT_SUCCESS(status), "map", status);
	if (!NT_SUCCESS(status))
		return;
	length = 1 + native_random((uint32_t)min(sizeof(data), p->size));
	offset = native_random((uint32_t)(min(p->size, sim_view_size(view)) - length + 1));
	status = sim_view_read(view, offset, back, length);
	expect(p, NT_SUCCESS(status), "a view's page", status);
	if (NT_SUCCESS(status))
		expect(p, !memcmp(back, p->shadow + offset, length), "a view's content", offset);
	world_fill(data, offset, length, native_random(1000));
	status = sim_view_write(view, offset, data, length);
	if (NT_SUCCESS(status)) {
		memcpy(p->shadow + offset, data, length);
		status = native_random(2) ? sim_view_flush(view) : STATUS_SUCCESS;
		expect(p, NT_SUCCESS(status), "a view's flush", status);
	}
	sim_unmap(view);
}

static void do_rename(struct program *p)
{
	WCHAR before[24];
	NTSTATUS status;

	memcpy(before, p->name, sizeof(before));
	name_set(p, native_random(10));
	status = world_rename_file(p->file, p->name, false);
	expect(p, NT_SUCCESS(status), "rename", status);
	if (!NT_SUCCESS(status))
		memcpy(p->name, before, sizeof(before));
}

static void do_delete(struct program *p)
{
	FILE_DISPOSITION_INFORMATION remove = { TRUE };
	IO_STATUS_BLOCK result;
	NTSTATUS status;

	sim_lazy_write(p->world->volume); /* no sections in the way */
	status = sim_set_info(p->file, FileDispositionInformation, &remove, 1, &result);
	expect(p, NT_SUCCESS(status), "delete", status);
	close_file(p);
	if (NT_SUCCESS(status)) {
		p->exists = false;
		p->size = 0;
	}
}

static void do_list(struct program *p)
{
	int count = world_list(p->world, L"\\work", NULL, NULL, NULL);

	expect(p, count >= 0 && count <= (int)PROGRAMS + 2, "listing", count);
}

static void do_notify(struct program *p)
{
	struct waiter waiter = { .io.done = on_done };
	struct sim_file *directory;
	UCHAR events[512];

	if (!NT_SUCCESS(world_open(p->world, &directory, .path = L"\\work", .access = FILE_LIST_DIRECTORY, .options = FILE_DIRECTORY_FILE)))
		return;
	KeInitializeEvent(&waiter.over, NotificationEvent, FALSE);
	if (sim_notify(directory, &waiter.io, 0xfff, true, events, sizeof(events), NULL) == STATUS_PENDING)
		sim_cancel(&waiter.io);
	KeWaitForSingleObject(&waiter.over, Executive, KernelMode, FALSE, NULL);
	sim_close(directory);
}

static void cancel_write(struct sim_file *file)
{
	struct waiter waiter = { .io.done = on_done };
	LARGE_INTEGER at = { .QuadPart = native_random(1000) };
	uint32_t length = 1 + native_random(18000);
	uint8_t *data = calloc(1, length);

	KeInitializeEvent(&waiter.over, NotificationEvent, FALSE);
	if (sim_write(file, &waiter.io, data, length, &at, 0, NULL) == STATUS_PENDING)
		sim_cancel(&waiter.io);
	KeWaitForSingleObject(&waiter.over, Executive, KernelMode, FALSE, NULL);
	free(data);
}

/* A file that all have open: nothing is known of its content. */
static void do_shared(struct program *p)
{
	struct sim_file *file;
	uint8_t data[100];

	if (!NT_SUCCESS(world_open(p->world, &file, .path = L"\\work\\shared", .disposition = FILE_OPEN_IF)))
		return;
	world_write(file, native_random(20000), data, native_random(sizeof(data)));
	world_read(file, native_random(20000), data, sizeof(data));
	if (native_random(4) == 0)
		world_size(file);
	if (native_random(3) == 0)
		cancel_write(file);
	sim_close(file);
}

static void step(struct program *p)
{
	static void (*const with_file[])(struct program *) = {
		do_write, do_write, do_write, do_read, do_read, do_read, do_cancel, do_cancel, do_resize, do_query, do_view, do_rename, do_delete,
		close_file,
	};
	static void (*const without[])(struct program *) = { do_list, do_notify, do_shared, do_shared };

	if (native_random(4) == 0)
		without[native_random(RTL_NUMBER_OF(without))](p);
	else if (open_file(p))
		with_file[native_random(RTL_NUMBER_OF(with_file))](p);
	else
		native_sleep_ms(1);
}

static void run(void *opaque)
{
	struct program *p = opaque;

	for (uint32_t i = 0; i < p->steps; i++)
		step(p);
	close_file(p);
}

/* ---- worlds ---- */

enum plan { PLAN_FINE, PLAN_SLOW, PLAN_ERRORS, PLAN_DEATH, PLAN_GARBAGE, PLAN_SILENT, PLAN_UNLOAD, PLAN_DETACH, PLAN_DISMOUNT, PLANS };

static void faults_set(struct model *model, enum plan plan)
{
	model->faults = (struct model_faults){ .late = plan == PLAN_FINE ? 0 : 2 };
	switch (plan) {
	case PLAN_ERRORS: model->faults.error = 3 + native_random(20); break;
	case PLAN_DEATH: model->faults.die_at = 1 + native_random(120); break;
	case PLAN_SILENT: model->faults.silent_at = 1 + native_random(120); break;
	case PLAN_GARBAGE:
		model->faults.garbage_at = 1 + native_random(120);
		model->faults.garbage = 1 + native_random(GARBAGE_KINDS - 1);
		break;
	case PLAN_DISMOUNT: model->faults.silent_at = native_random(2) ? 1 + native_random(60) : 0; break; /* what is pended is pended for good */
	default: break;
	}
}

static void programs_start(struct world *w, struct program *programs, bool exact, uint32_t steps)
{
	for (uint32_t i = 0; i < PROGRAMS; i++) {
		struct program *p = &programs[i];

		*p = (struct program){ .world = w, .id = i, .steps = steps, .exact = exact, .shadow = calloc(1, ROOM) };
		name_set(p, 0);
		p->thread = native_thread_new(run, p, PROGRAM + i);
	}
}

/* At rest NTFS's end of a file that nobody has mapped is the server's, whatever answers overtook each other. */
static void compare_ends(struct world *w)
{
	struct model_file *file = model_find(&w->model, L"shared");
	struct sim_file *here;
	uint64_t size;

	if (!NT_SUCCESS(world_open(w, &here, .path = L"\\work\\shared", .process = REDIRECTOR, .access = GENERIC_READ)))
		return;
	size = world_size(here);
	sim_close(here);
	if (size != file->size)
		sim_violate("NTFS's end of file is not the server's", NULL, size);
}

static void programs_end(struct world *w, struct program *programs, bool compare)
{
	sim_lazy_write(w->volume);
	for (uint32_t i = 0; i < PROGRAMS; i++) {
		struct program *p = &programs[i];
		struct model_file *file;

		file = model_find(&w->model, p->name + 6);
		if (compare) {
			expect(p, p->exists == (file != NULL), "a file on the server", file != NULL);
			expect(p, !file || (file->size == p->size && !memcmp(file->data, p->shadow, p->size)), "the server's content", i);
		}
		free(p->shadow);
	}
	if (compare)
		compare_ends(w);
}

static void disturb(struct world *w, enum plan plan)
{
	if (plan == PLAN_UNLOAD) {
		native_sleep_ms(native_random(3));
		for (uint32_t i = native_random(400); i; i--)
			native_point();
		sim_filter_unload(w->driver, true);
	} else if (plan == PLAN_DETACH) {
		for (uint32_t i = native_random(400); i; i--)
			native_point();
		world_detach(w, native_random(2));
	} else if (plan == PLAN_DISMOUNT) {
		native_sleep_ms(native_random(2));
		for (uint32_t i = native_random(400); i; i--)
			native_point();
		sim_volume_dismount(w->volume);
	}
}

static void finish(struct world *w, enum plan plan)
{
	if (w->attached && plan != PLAN_FINE && plan != PLAN_SLOW)
		world_detach(w, true);
	if (plan != PLAN_UNLOAD) {
		world_free(w);
		return;
	}
	sim_lazy_write(w->volume);
	native_driver_free(w->driver);
	native_threads_settle();
	if (!sim_volume_free(w->volume))
		sim_violate("files are still open", NULL, 0);
	native_check();
	model_done(&w->model);
	native_steps(0);
}

static bool one_world(uint32_t seed, bool freely, enum plan plan, uint32_t steps)
{
	struct program programs[PROGRAMS];
	bool exact = plan == PLAN_FINE || plan == PLAN_SLOW;
	struct world w;
	NTSTATUS status;

	world_new(&w, freely ? 0 : seed * PLANS + plan);
	model_add(&w.model, L"shared", false, NULL, 100);
	faults_set(&w.model, plan);
	status = model_start(&w.model, 4u << native_random(3), 2 + native_random(6), plan == PLAN_SILENT ? freely ? 30 : 500 : 0);
	if (!NT_SUCCESS(status))
		sim_violate("the redirector's start", NULL, (uint32_t)status);
	w.attached = true;
	programs_start(&w, programs, exact, steps);
	disturb(&w, plan);
	for (uint32_t i = 0; i < PROGRAMS; i++)
		native_thread_join(programs[i].thread);
	programs_end(&w, programs, exact);
	finish(&w, plan);
	if (!sim_violations())
		return true;
	print_error("SEED=%u plan %u: %s\n", seed, plan, sim_violation(0));
	return false;
}

static uint32_t count_of(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static void run_plan(enum plan plan)
{
	uint32_t count = count_of("INLAY_SCHEDULES", SCHEDULES), only = count_of("SEED", 0), bad = 0;

	for (uint32_t seed = only ? only : 1; seed < (only ? only + 1 : count + 1) && bad < 5; seed++)
		bad += !one_world(seed, false, plan, 12);
	assert_int_equal(bad, 0);
}

static void test_fine(void **state) { (void)state; run_plan(PLAN_FINE); }
static void test_out_of_order(void **state) { (void)state; run_plan(PLAN_SLOW); }
static void test_errors(void **state) { (void)state; run_plan(PLAN_ERRORS); }
static void test_death(void **state) { (void)state; run_plan(PLAN_DEATH); }
static void test_garbage(void **state) { (void)state; run_plan(PLAN_GARBAGE); }
static void test_silence(void **state) { (void)state; run_plan(PLAN_SILENT); }
static void test_unload(void **state) { (void)state; run_plan(PLAN_UNLOAD); }
static void test_detach(void **state) { (void)state; run_plan(PLAN_DETACH); }
static void test_dismount(void **state) { (void)state; run_plan(PLAN_DISMOUNT); }

/* Three write and cancel through a ring that is nearly always full, somebody else cancels everything, and the redirector may die. */
static void write_and_cancel(void *opaque)
{
	struct program *p = opaque;

	for (uint32_t i = 0; i < 6; i++) {
		if (p->id == PROGRAMS)
			for (uint32_t other = 0; other < PROGRAMS; other++)
				sim_cancel_all(p[-1 - (int)other].file);
		else
			cancel_write(p->file);
	}
}

static void one_crowd(uint32_t seed)
{
	struct program programs[PROGRAMS + 1] = { 0 };
	struct world w;

	world_new(&w, seed);
	model_add(&w.model, L"shared", false, NULL, 30000);
	w.model.faults = (struct model_faults){ .late = 2, .die_at = seed % 3 ? 0 : 4 + native_random(40) };
	if (!NT_SUCCESS(model_start(&w.model, 4, 1, 0)))
		sim_violate("the redirector's start", NULL, 0);
	w.attached = true;
	for (uint32_t i = 0; i < PROGRAMS; i++)
		if (!NT_SUCCESS(world_open(&w, &programs[i].file, .path = L"\\work\\shared")))
			sim_violate("an open", NULL, 0);
	for (uint32_t i = 0; i <= PROGRAMS; i++) {
		programs[i].id = i;
		programs[i].thread = native_thread_new(write_and_cancel, &programs[i], PROGRAM + i);
	}
	for (uint32_t i = 0; i <= PROGRAMS; i++)
		native_thread_join(programs[i].thread);
	for (uint32_t i = 0; i < PROGRAMS; i++)
		close_file(&programs[i]);
	world_detach(&w, true);
	if (sim_violations())
		print_error("seed %u\n", seed);
	done(&w);
}

static void test_crowd(void **state)
{
	uint32_t count = count_of("INLAY_SCHEDULES", SCHEDULES) * 4;

	(void)state;
	for (uint32_t seed = 1; seed <= count; seed++)
		one_crowd(seed);
}

/* One makes the file longer while another asks for its size: no old answer may shorten it on NTFS. */
static void grow(void *opaque)
{
	struct program *p = opaque;

	if (!NT_SUCCESS(world_open(p->world, &p->file, .path = L"\\work\\shared")))
		return;
	for (uint32_t i = 1; i <= 6; i++) {
		if (p->id)
			world_size(p->file);
		else
			world_write(p->file, i * 1000, "x", 1);
	}
}

static void test_ends(void **state)
{
	uint32_t count = count_of("INLAY_SCHEDULES", SCHEDULES) * 2;

	(void)state;
	for (uint32_t seed = 1; seed <= count; seed++) {
		struct program programs[2];
		struct world w;

		world_new(&w, seed);
		model_add(&w.model, L"shared", false, NULL, 100);
		w.model.faults.late = 2;
		world_attach(&w);
		for (uint32_t i = 0; i < 2; i++) {
			programs[i] = (struct program){ .world = &w, .id = i };
			programs[i].thread = native_thread_new(grow, &programs[i], PROGRAM + i);
		}
		for (uint32_t i = 0; i < 2; i++)
			native_thread_join(programs[i].thread);
		compare_ends(&w);
		for (uint32_t i = 0; i < 2; i++)
			close_file(&programs[i]);
		if (sim_violations())
			print_error("seed %u\n", seed);
		done(&w);
	}
}

/* Threads that truly run at once. */
static void test_freely(void **state)
{
	uint32_t count = count_of("INLAY_FREE_RUNS", 2), bad = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= count && !bad; seed++)
		for (int plan = 0; plan < PLANS && !bad; plan++)
			bad += !one_world(seed, true, (enum plan)plan, 15);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fine), cmocka_unit_test(test_out_of_order), cmocka_unit_test(test_errors), cmocka_unit_test(test_death),
		cmocka_unit_test(test_garbage), cmocka_unit_test(test_silence), cmocka_unit_test(test_unload), cmocka_unit_test(test_detach),
		cmocka_unit_test(test_dismount), cmocka_unit_test(test_crowd), cmocka_unit_test(test_ends), cmocka_unit_test(test_freely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

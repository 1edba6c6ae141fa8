/*
 * The driver's logic and the product's redirector and server in one process: programs of the simulated volume, the driver, the ring, the
 * filter's user side, session and connection, the server, files of this host; and back. What programs see and what lies on the server's
 * disk must agree, and nothing may be left of anything.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "test.h"

#include "base/log.h"

#include "redirector.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REAL_DIRECTORY 9u
#define PROGRAMS 4u
#define ROUNDS 300u
#define SIZE 100000u

struct whole {
	struct world world;
	struct server server;
	struct redirector redirector;
	bool running;
};

static struct whole t; /* outlives a test that fails, for its threads' sake */

static void whole_start(unsigned lanes)
{
	struct redirector_config config = { .root = L"\\real", .number = REAL_DIRECTORY, .export_name = SERVER_EXPORT, .lanes = lanes,
		.entries = 16, .slots = 8 };

	world_new(&t.world, 0);
	server_start(&t.server);
	t.running = true;
	config.volume = t.world.volume;
	config.server = t.server.address;
	redirector_start(&t.redirector, &config);
}

/* What the redirector has under way and open once all that nobody waits for has come to its end. */
static void settle(struct inlay_winfilter_counts *ret)
{
	for (int i = 0; i < 500; i++) {
		inlay_winfilter_counts(t.redirector.filter, ret);
		if (!ret->outstanding && !ret->files)
			return;
		native_sleep_ms(10);
	}
}

static void whole_stop(void)
{
	struct inlay_winfilter_counts counts = { 0 };

	settle(&counts);
	assert_int_equal(counts.outstanding, 0);
	assert_int_equal(counts.files, 0);
	assert_int_equal(counts.held, 0);
	assert_int_equal(counts.refused, 0);
	redirector_stop(&t.redirector);
	done(&t.world);
	server_stop(&t.server);
	t.running = false;
}

/* After a test that failed nothing can go on: its threads still run. */
static int teardown(void **state)
{
	(void)state;
	if (!t.running)
		return 0;
	server_remove_files(&t.server);
	fflush(NULL);
	_exit(1);
}

static void test_content(void **state)
{
	static uint8_t data[SIZE], back[SIZE];
	struct sim_file *file;
	IO_STATUS_BLOCK result;

	(void)state;
	whole_start(1);
	world_fill(data, 0, SIZE, 1);
	assert_true(server_write(&t.server, "there", data, SIZE));
	assert_status(world_open(&t.world, &file, .path = L"\\real\\there"), STATUS_SUCCESS);
	assert_int_equal(world_size(file), SIZE);
	assert_int_equal(world_read(file, 0, back, SIZE), SIZE);
	assert_true(world_check(back, 0, SIZE, 1));
	assert_int_equal(world_read(file, SIZE, back, 1), -(int64_t)(uint32_t)STATUS_END_OF_FILE);
	world_fill(data, 777, 5000, 2);
	assert_int_equal(world_write(file, 777, data, 5000), 5000);
	assert_status(sim_flush(file, NULL, &result), STATUS_SUCCESS);
	assert_true(server_read(&t.server, "there", back, SIZE));
	assert_true(world_check(back, 0, 777, 1) && world_check(back + 777, 777, 5000, 2) && world_check(back + 5777, 5777, SIZE - 5777, 1));
	sim_close(file);
	whole_stop();
}

static void test_names(void **state)
{
	struct sim_file *file;
	bool found = false;
	char back[4];

	(void)state;
	whole_start(1);
	assert_true(server_write(&t.server, "Old", "old", 3));
	assert_int_equal(world_list(&t.world, L"\\real", NULL, L"Old", &found), 1);
	assert_true(found);
	assert_status(world_open(&t.world, &file, .path = L"\\real\\new", .disposition = FILE_CREATE), STATUS_SUCCESS);
	assert_int_equal(world_write(file, 0, "new", 3), 3);
	sim_close(file);
	assert_int_equal(server_size(&t.server, "new"), 3);
	assert_status(world_rename(&t.world, L"\\real\\new", L"\\real\\OLD", true), STATUS_SUCCESS);
	assert_int_equal(server_size(&t.server, "new"), -1);
	assert_int_equal(server_size(&t.server, "OLD"), -1); /* what it replaces keeps the server's case */
	assert_true(server_read(&t.server, "Old", back, 3));
	assert_memory_equal(back, "new", 3);
	assert_status(world_delete(&t.world, L"\\real\\old"), STATUS_SUCCESS);
	assert_int_equal(server_size(&t.server, "Old"), -1);
	assert_status(world_open(&t.world, &file, .path = L"\\real\\old"), STATUS_OBJECT_NAME_NOT_FOUND);
	whole_stop();
}

/* ---- several programs at once ---- */

struct program {
	pthread_t thread;
	WCHAR path[16];
	char name[8];
	unsigned seed;
	uint8_t *shadow; /* SIZE bytes: what the file must hold */
	bool fine;
};

static unsigned next(struct program *p, unsigned below)
{
	p->seed = p->seed * 1103515245u + 12345u;
	return (p->seed >> 8) % below;
}

static bool one_round(struct program *p, struct sim_file *file, uint32_t key)
{
	uint8_t buffer[9000];
	ULONG offset = next(p, SIZE), length = 1 + next(p, sizeof(buffer));

	length = min(length, SIZE - offset);
	if (next(p, 2)) {
		world_fill(buffer, offset, length, key);
		memcpy(p->shadow + offset, buffer, length);
		return world_write(file, offset, buffer, length) == (int64_t)length;
	}
	return world_read(file, offset, buffer, length) == (int64_t)length && memcmp(buffer, p->shadow + offset, length) == 0;
}

static void *program_main(void *arg)
{
	struct program *p = arg;
	struct sim_file *file;

	p->fine = NT_SUCCESS(world_open(&t.world, &file, .path = p->path, .disposition = FILE_CREATE));
	if (!p->fine)
		return NULL;
	p->fine = world_write(file, 0, p->shadow, SIZE) == SIZE;
	for (uint32_t i = 0; i < ROUNDS && p->fine; i++)
		p->fine = one_round(p, file, i);
	sim_close(file);
	return NULL;
}

static void test_programs_at_once(void **state)
{
	static struct program programs[PROGRAMS];

	(void)state;
	whole_start(2);
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct program *p = &programs[i];

		*p = (struct program){ .path = L"\\real\\x", .name = "x", .seed = i + 1, .shadow = calloc(1, SIZE) };
		assert_non_null(p->shadow);
		p->path[6] = (WCHAR)('a' + i);
		p->name[0] = (char)('a' + i);
		assert_int_equal(pthread_create(&p->thread, NULL, program_main, p), 0);
	}
	for (unsigned i = 0; i < PROGRAMS; i++) {
		static uint8_t back[SIZE];
		struct program *p = &programs[i];

		pthread_join(p->thread, NULL);
		assert_true(p->fine);
		assert_int_equal(server_size(&t.server, p->name), SIZE);
		assert_true(server_read(&t.server, p->name, back, SIZE));
		assert_memory_equal(back, p->shadow, SIZE);
		free(p->shadow);
	}
	whole_stop();
}

/* ---- the end with requests pending ---- */

struct pending {
	struct sim_io io;
	KEVENT over;
	uint8_t buffer[4096];
};

static void on_done(struct sim_io *io)
{
	KeSetEvent(&CONTAINING_RECORD(io, struct pending, io)->over, 0, FALSE);
}

static void test_leaves_while_reads_wait(void **state)
{
	struct pending pending[3];
	LARGE_INTEGER offset = { .QuadPart = 0 };
	struct inlay_winfilter_counts counts = { 0 };
	struct sim_file *file;

	(void)state;
	whole_start(1);
	assert_true(server_write(&t.server, "file", "content", 7));
	assert_status(world_open(&t.world, &file, .path = L"\\real\\file"), STATUS_SUCCESS);
	assert_int_equal(world_read(file, 0, pending[0].buffer, 7), 7); /* what comes with a first read is over */
	server_hold(&t.server);
	for (int i = 0; i < 3; i++) {
		pending[i].io = (struct sim_io){ .done = on_done };
		KeInitializeEvent(&pending[i].over, NotificationEvent, FALSE);
		assert_status(sim_read(file, &pending[i].io, pending[i].buffer, 7, &offset, 0, NULL), STATUS_PENDING);
	}
	for (int i = 0; i < 500 && counts.outstanding < 3; i++) {
		native_sleep_ms(10);
		inlay_winfilter_counts(t.redirector.filter, &counts);
	}
	assert_int_equal(counts.outstanding, 3);
	redirector_stop(&t.redirector);
	for (int i = 0; i < 3; i++) {
		KeWaitForSingleObject(&pending[i].over, Executive, KernelMode, FALSE, NULL);
		assert_status(pending[i].io.status.Status, STATUS_DEVICE_NOT_CONNECTED);
	}
	server_release(&t.server);
	sim_close(file);
	done(&t.world);
	server_stop(&t.server);
	t.running = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_content, teardown), cmocka_unit_test_teardown(test_names, teardown),
		cmocka_unit_test_teardown(test_programs_at_once, teardown), cmocka_unit_test_teardown(test_leaves_while_reads_wait, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	inlay_log_init("whole", STDERR_FILENO, INLAY_LOG_WARNING, INLAY_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The ring against one pended device control for each request: bench COUNT. Prints, for several depths, requests per second of both
 * and their ratio. Under Wine: only the ratio says something.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <process.h>

#include "common-side.h"

#include <winternl.h>

#include "drive.h"

enum { LENGTH = 4096, SYSTEM = 4, OPEN_EXISTING_FILE = 1 };

static struct side side;
static volatile LONG ending;

/* The drive itself, past the library that this program was started with. */
static HANDLE drive_open(void)
{
	static WCHAR text[] = DRIVE_DEVICE;
	UNICODE_STRING name = { sizeof(text) - sizeof(WCHAR), sizeof(text), text };
	OBJECT_ATTRIBUTES attr;
	IO_STATUS_BLOCK io;
	HANDLE handle;

	InitializeObjectAttributes(&attr, &name, 0, NULL, NULL);
	CHECK(NT_SUCCESS(NtOpenFile(&handle, FILE_READ_DATA | SYNCHRONIZE, &attr, &io, FILE_SHARE_READ | FILE_SHARE_WRITE,
		FILE_SYNCHRONOUS_IO_NONALERT)), "the drive");
	return handle;
}

/* As the system, which the filter does not take for the redirector. */
static HANDLE file_open(void)
{
	static const WCHAR path[] = L"\\inlay\\file";
	union {
		struct drive_call call;
		unsigned char room[sizeof(struct drive_call) + sizeof(path)];
	} in = { .call = { .kind = DRIVE_CREATE, .process = SYSTEM, .access = GENERIC_READ, .share = 7, .disposition = OPEN_EXISTING_FILE,
		.options = 0, .length = sizeof(path) - sizeof(WCHAR) } };
	struct drive_reply reply;
	HANDLE handle = drive_open();
	DWORD got;

	memcpy(in.room + sizeof(in.call), path, sizeof(path) - sizeof(WCHAR));
	CHECK(DeviceIoControl(handle, DRIVE_CALL, &in, (DWORD)sizeof(in.call) + in.call.length, &reply, sizeof(reply), &got, NULL), "open");
	CHECK(reply.status == 0, "the file opens with status %x", reply.status);
	return handle;
}

static unsigned __stdcall serve_ring(void *unused)
{
	(void)unused;
	while (!ending) {
		struct inlay_ring_request taken[32];
		int n = inlay_ring_responder_pop(&side.ring, taken, 32);

		CHECK(n >= 0, "the ring");
		for (int i = 0; i < n; i++) {
			struct inlay_ring_completion c;

			if (taken[i].kind == INLAY_RING_CANCEL)
				continue;
			c = side_answer(&side, &taken[i]);
			CHECK(inlay_ring_responder_push(&side.ring, &c) == 0, "push");
		}
		if (n > 0 && inlay_ring_responder_publish(&side.ring))
			SetEvent((HANDLE)(uintptr_t)side.made.set.completions);
		if (n == 0 && inlay_ring_responder_sleep(&side.ring)) {
			WaitForSingleObject((HANDLE)(uintptr_t)side.made.set.requests, 100);
			inlay_ring_responder_wake(&side.ring);
		}
	}
	return 0;
}

static unsigned __stdcall serve_calls(void *unused)
{
	struct {
		struct drive_bench_next next;
		uint8_t data[LENGTH];
	} in = { .next = { 0 } };
	struct drive_bench_next next;
	HANDLE drive = drive_open();
	DWORD got;

	(void)unused;
	while (DeviceIoControl(drive, DRIVE_BENCH_NEXT, &in, in.next.number ? sizeof(in) : sizeof(in.next), &next, sizeof(next), &got, NULL)) {
		for (uint32_t i = 0; i < next.length && i < LENGTH; i++)
			in.data[i] = (uint8_t)((next.offset + i) % 251);
		in.next = next;
	}
	CloseHandle(drive);
	return 0;
}

static double rate_of(HANDLE handle, uint32_t kind, uint32_t depth, uint32_t count)
{
	struct drive_bench how = { .kind = kind, .depth = depth, .count = count, .length = LENGTH };
	DWORD got;

	CHECK(DeviceIoControl(handle, DRIVE_BENCH, &how, sizeof(how), &how, sizeof(how), &got, NULL), "run");
	CHECK(how.failed == 0, "%u requests failed", how.failed);
	return (double)(count / depth * depth) / ((double)how.elapsed / 1e7);
}

static double rate_of_calls(HANDLE handle, uint32_t depth, uint32_t count)
{
	HANDLE threads[32];
	double rate;

	for (uint32_t i = 0; i < depth; i++)
		threads[i] = (HANDLE)_beginthreadex(NULL, 0, serve_calls, NULL, 0, NULL);
	rate = rate_of(handle, DRIVE_BENCH_CALLS, depth, count);
	WaitForMultipleObjects(depth, threads, TRUE, INFINITE);
	return rate;
}

int main(int argc, char **words)
{
	static const uint32_t depths[] = { 1, 8, 32 };
	uint32_t count = argc > 1 ? (uint32_t)atoi(words[1]) : 4000;
	HANDLE server, file;

	side_place();
	side_enter(&side, 64, 10000);
	server = (HANDLE)_beginthreadex(NULL, 0, serve_ring, NULL, 0, NULL);
	file = file_open();
	for (size_t i = 0; i < sizeof(depths) / sizeof(*depths); i++) {
		double sum = 0;

		/* in turns, because others work on the machine, too */
		for (int round = 0; round < 3; round++) {
			double ring = rate_of(file, DRIVE_BENCH_RING, depths[i], count);
			double calls = rate_of_calls(file, depths[i], count);

			printf("depth %2u: ring %.0f/s, one control each %.0f/s\n", depths[i], ring, calls);
			fflush(stdout);
			sum += ring / calls;
		}
		printf("depth %2u: ratio %.2f\n", depths[i], sum / 3);
	}
	CloseHandle(file);
	ending = 1;
	WaitForSingleObject(server, INFINITE);
	side_leave(&side);
	return 0;
}

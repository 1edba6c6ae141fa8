/*
 * The driver's control device from outside: control version | inputs | fuzz ROUNDS SEED | death.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common-ring.h"

static DWORD call_out(HANDLE device, DWORD code, const void *in, DWORD length, void *out, DWORD room)
{
	DWORD got = 0;

	return DeviceIoControl(device, code, (void *)(uintptr_t)in, length, out, room, &got, NULL) ? 0 : GetLastError();
}

static int version(void)
{
	struct inlay_control_version v = { 0 };
	HANDLE device = device_open();
	DWORD error = device == INVALID_HANDLE_VALUE ? GetLastError() : 0;

	if (!error)
		error = call_out(device, INLAY_CONTROL_VERSION_GET, NULL, 0, &v, sizeof(v));
	if (error) {
		printf("error %lu\n", error);
		return 3;
	}
	printf("control %u ring %u\n", v.control, v.ring);
	return 0;
}

/* Each step prints what was refused and how; what must succeed and what must not is checked here. */
static void refused(const char *what, DWORD error)
{
	CHECK(error != 0, "%s was accepted", what);
	printf("%-40s error %lu\n", what, error);
}

static void inputs_ring(HANDLE device)
{
	struct made made, other;
	struct inlay_control_ring set;

	ring_make(&made, 64, 8);
	ring_make(&other, 64, 8);
	refused("a ring too short a struct", device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set) - 1));
	set = made.set;
	set.version++;
	refused("a ring of another version", device_call(device, INLAY_CONTROL_RING_SET, &set, sizeof(set)));
	set = made.set;
	set.section = set.requests;
	refused("an event for a section", device_call(device, INLAY_CONTROL_RING_SET, &set, sizeof(set)));
	set = made.set;
	set.requests = set.section;
	refused("a section for an event", device_call(device, INLAY_CONTROL_RING_SET, &set, sizeof(set)));
	set = made.set;
	set.section = 0xdead00;
	refused("a handle of nothing", device_call(device, INLAY_CONTROL_RING_SET, &set, sizeof(set)));
	set = made.set;
	set.size += 0x100000;
	refused("a size beyond the section", device_call(device, INLAY_CONTROL_RING_SET, &set, sizeof(set)));
	made.head->magic++;
	refused("another magic", device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set)));
	made.head->magic--;
	made.head->entries = 63;
	refused("entries no power of two", device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set)));
	made.head->entries = 1u << 31;
	refused("entries beyond the section", device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set)));
	made.head->entries = 64;
	made.head->sq_off = made.head->cq_off;
	refused("rings that overlap", device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set)));
	made.head->sq_off = sizeof(*made.head);
	CHECK(device_call(device, INLAY_CONTROL_RING_SET, &made.set, sizeof(made.set)) == 0, "a good ring");
	refused("a second ring", device_call(device, INLAY_CONTROL_RING_SET, &other.set, sizeof(other.set)));
	ring_drop(&made);
	ring_drop(&other);
}

static void inputs_directories(HANDLE device)
{
	struct directory d;
	struct inlay_control_number number = { INLAY_CONTROL_VERSION, 7 };
	DWORD length = directory_fill(&d, 1, VOLUME, L"\\inlay");

	refused("a directory too short a struct", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, sizeof(d.head) - 1));
	refused("a path beyond the input", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length - 2));
	d.head.path_length = 0xfffffff0u;
	refused("lengths that overflow", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length));
	length = directory_fill(&d, 1, VOLUME, L"inlay");
	refused("a path without a backslash", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length));
	length = directory_fill(&d, 1, L"\\Device\\Nothing", L"\\inlay");
	refused("a volume that is not there", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length));
	length = directory_fill(&d, 1, VOLUME, L"\\inlay");
	CHECK(device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length) == 0, "a good directory: error %lu", GetLastError());
	refused("the same again", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length));
	length = directory_fill(&d, 2, VOLUME, L"\\INLAY");
	refused("the same in other case", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length));
	length = directory_fill(&d, 2, VOLUME, L"\\inlay\\within");
	refused("one within", device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length));
	refused("removing another number", device_call(device, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number)));
	refused("usage of another number", device_call(device, INLAY_CONTROL_DIRECTORY_USAGE, &number, sizeof(number)));
	number.number = 1;
	CHECK(device_call(device, INLAY_CONTROL_DIRECTORY_USAGE, &number, sizeof(number)) == 0, "usage");
	CHECK(device_call(device, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number)) == 0, "removal");
	refused("removing it twice", device_call(device, INLAY_CONTROL_DIRECTORY_REMOVE, &number, sizeof(number)));
	length = directory_fill(&d, 1, VOLUME, L"\\inlay");
	CHECK(device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, length) == 0, "the directory again");
}

static int inputs(void)
{
	struct directory d;
	HANDLE device = device_open();

	CHECK(device != INVALID_HANDLE_VALUE, "the control device");
	refused("a code that is none", device_call(device, INLAY_CONTROL_CODE(0x8ffu), NULL, 0));
	refused("a directory before the ring",
		device_call(device, INLAY_CONTROL_DIRECTORY_ADD, &d, directory_fill(&d, 1, VOLUME, L"\\inlay")));
	inputs_ring(device);
	inputs_directories(device);
	CHECK(CloseHandle(device), "close");
	return 0;
}

/* ---- fuzzing ---- */

static const DWORD codes[] = { INLAY_CONTROL_VERSION_GET, INLAY_CONTROL_RING_SET, INLAY_CONTROL_DIRECTORY_ADD,
	INLAY_CONTROL_DIRECTORY_REMOVE, INLAY_CONTROL_DIRECTORY_USAGE };

static void fuzz_call(HANDLE device, struct random *random, const struct made *made)
{
	unsigned char room[4096];
	DWORD code = codes[random_below(random, 5)], length;
	uint32_t kind = random_below(random, 4);

	random_fill(random, room, sizeof(room));
	length = random_below(random, random_below(random, 8) ? 128 : sizeof(room));
	if (kind == 0) {
		code = INLAY_CONTROL_CODE(0x800u + random_below(random, 16)) ^ random_below(random, 4);
	} else if (kind == 1 && code == INLAY_CONTROL_RING_SET) {
		memcpy(room, &made->set, sizeof(made->set));
		length = sizeof(made->set);
	} else if (kind < 3 && code == INLAY_CONTROL_DIRECTORY_ADD) {
		struct directory d;

		length = directory_fill(&d, random_below(random, 4), VOLUME, random_below(random, 2) ? L"\\inlay" : L"\\other");
		memcpy(room, &d, length);
	} else if (kind < 3) {
		struct inlay_control_number number = { INLAY_CONTROL_VERSION, random_below(random, 4) };

		memcpy(room, &number, sizeof(number));
		length = sizeof(number);
	}
	/* near a good one */
	if (random_below(random, 3) == 0 && length)
		room[random_below(random, length)] ^= (unsigned char)(1u << random_below(random, 8));
	call_out(device, code, room, length, room, random_below(random, 64));
}

static int fuzz(unsigned rounds, uint64_t seed)
{
	struct random random = { seed };
	struct made made;
	HANDLE device = INVALID_HANDLE_VALUE;

	ring_make(&made, 64, 8);
	for (unsigned i = 0; i < rounds; i++) {
		if (device == INVALID_HANDLE_VALUE || random_below(&random, 40) == 0) {
			if (device != INVALID_HANDLE_VALUE)
				CloseHandle(device);
			device = device_open();
			CHECK(device != INVALID_HANDLE_VALUE, "round %u: the control device", i);
		}
		if (random_below(&random, 10) == 0) {
			struct inlay_ring_head *head = made.head;

			((unsigned char *)head)[random_below(&random, 48)] ^= (unsigned char)random_next(&random);
			if (random_below(&random, 2)) {
				ring_drop(&made);
				ring_make(&made, 64, 8);
			}
		}
		fuzz_call(device, &random, &made);
	}
	printf("fuzz: %u rounds\n", rounds);
	return 0;
}

int main(int count, char **words)
{
	if (count == 2 && !strcmp(words[1], "version"))
		return version();
	if (count == 2 && !strcmp(words[1], "inputs"))
		return inputs();
	if (count == 4 && !strcmp(words[1], "fuzz"))
		return fuzz((unsigned)atoi(words[2]), strtoull(words[3], NULL, 0));
	fprintf(stderr, "usage: control version | inputs | fuzz ROUNDS SEED\n");
	return 2;
}

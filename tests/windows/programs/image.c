/*
 * A sparse disk image, written and read at random places: image PATH BYTES OPERATIONS SEED [MANIFEST].
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each 4 KiB block's content follows from its number and a version, so that memory holds versions only. MANIFEST: "block hash"
 * for every block that was written. Half of the operations are overlapped ones, several at once.
 */
#include "common.h"

#include <winioctl.h>

enum { BLOCK = 4096, MOST = 16, DEPTH = 8 };

static uint32_t *versions;

static void block_fill(unsigned char *room, uint32_t block, uint32_t version)
{
	struct random random = { (uint64_t)block << 32 | version };

	if (version)
		random_fill(&random, room, BLOCK);
	else
		memset(room, 0, BLOCK);
}

static void transfer(HANDLE h, bool write, uint32_t block, uint32_t blocks, unsigned char *room, OVERLAPPED *o)
{
	uint64_t offset = (uint64_t)block * BLOCK;
	BOOL good;

	for (uint32_t i = 0; write && i < blocks; i++)
		block_fill(room + i * BLOCK, block + i, ++versions[block + i]);
	o->Offset = (DWORD)offset;
	o->OffsetHigh = (DWORD)(offset >> 32);
	good = write ? WriteFile(h, room, blocks * BLOCK, NULL, o) : ReadFile(h, room, blocks * BLOCK, NULL, o);
	CHECK(good || GetLastError() == ERROR_IO_PENDING, "%s at block %u", write ? "write" : "read", block);
}

static void finish(HANDLE h, bool write, uint32_t block, uint32_t blocks, const unsigned char *room, OVERLAPPED *o)
{
	unsigned char wanted[BLOCK];
	DWORD done = 0;

	CHECK(GetOverlappedResult(h, o, &done, TRUE) && done == blocks * BLOCK, "block %u: %lu of %u bytes", block, done, blocks * BLOCK);
	for (uint32_t i = 0; !write && i < blocks; i++) {
		block_fill(wanted, block + i, versions[block + i]);
		CHECK(!memcmp(wanted, room + i * BLOCK, BLOCK), "block %u (version %u) is not what was written", block + i,
			versions[block + i]);
	}
}

/* A round: several transfers under way at once, of ranges that do not touch (each in its own part of the image). */
static void round_of(HANDLE h, struct random *random, uint32_t blocks_all, unsigned depth, unsigned char *room, OVERLAPPED *o)
{
	uint32_t part = blocks_all / DEPTH, at[DEPTH], blocks[DEPTH];
	bool write[DEPTH];

	for (unsigned i = 0; i < depth; i++) {
		blocks[i] = 1 + random_below(random, MOST);
		at[i] = i * part + random_below(random, part - MOST);
		write[i] = random_below(random, 2);
		transfer(h, write[i], at[i], blocks[i], room + (size_t)i * MOST * BLOCK, &o[i]);
	}
	for (unsigned i = 0; i < depth; i++)
		finish(h, write[i], at[i], blocks[i], room + (size_t)i * MOST * BLOCK, &o[i]);
}

static void read_all_written(HANDLE h, uint32_t blocks_all, unsigned char *room, OVERLAPPED *o, FILE *manifest)
{
	for (uint32_t i = 0; i < blocks_all; i++) {
		if (!versions[i])
			continue;
		transfer(h, false, i, 1, room, o);
		finish(h, false, i, 1, room, o);
		if (manifest)
			fprintf(manifest, "%u %016llx\n", i, (unsigned long long)hash_of(room, BLOCK));
	}
}

int main(int count, char **words)
{
	static OVERLAPPED o[DEPTH];
	struct random random;
	LARGE_INTEGER size;
	unsigned char *room;
	FILE *manifest;
	DWORD got;
	HANDLE h;

	if (count < 5) {
		fprintf(stderr, "usage: image PATH BYTES OPERATIONS SEED [MANIFEST]\n");
		return 2;
	}
	size.QuadPart = strtoll(words[2], NULL, 0);
	random.state = strtoull(words[4], NULL, 0);
	versions = calloc((size_t)(size.QuadPart / BLOCK), sizeof(*versions));
	room = VirtualAlloc(NULL, (size_t)DEPTH * MOST * BLOCK, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	CHECK(versions && room, "memory");
	h = open_file(words[1], GENERIC_READ | GENERIC_WRITE, 0, CREATE_ALWAYS, FILE_FLAG_OVERLAPPED | FILE_FLAG_NO_BUFFERING);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", words[1]);
	for (unsigned i = 0; i < DEPTH; i++)
		o[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	CHECK(DeviceIoControl(h, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &got, NULL), "set sparse");
	CHECK(SetFilePointerEx(h, size, NULL, FILE_BEGIN) && SetEndOfFile(h), "size");
	for (int i = 0, n = atoi(words[3]); i < n;) {
		unsigned depth = random_below(&random, 2) ? DEPTH : 1;

		round_of(h, &random, (uint32_t)(size.QuadPart / BLOCK), depth, room, o);
		i += (int)depth;
	}
	CHECK(FlushFileBuffers(h), "flush");
	CHECK(CloseHandle(h), "close");
	h = open_file(words[1], GENERIC_READ, FILE_SHARE_READ, OPEN_EXISTING, FILE_FLAG_OVERLAPPED);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", words[1]);
	manifest = count > 5 ? fopen(words[5], "wb") : NULL;
	CHECK(manifest || count <= 5, "manifest");
	read_all_written(h, (uint32_t)(size.QuadPart / BLOCK), room, o, manifest);
	if (manifest)
		fclose(manifest);
	CHECK(CloseHandle(h), "close");
	printf("image: %s operations on %lld bytes: as written\n", words[3], size.QuadPart);
	return 0;
}

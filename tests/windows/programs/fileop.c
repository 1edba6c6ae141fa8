/*
 * One file operation for the test runner: fileop COMMAND OPERAND... (see the table at the end). Prints what it saw.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "common.h"
#include "drive.h"

enum { PIECE = 1 << 16 };

/* Errors of the operation itself are an answer: "error N", status 3. */
static int answer_error(DWORD error)
{
	printf("error %lu\n", error);
	return 3;
}

static int result(BOOL good)
{
	return good ? 0 : answer_error(GetLastError());
}

static int do_cat(char **w)
{
	static char room[PIECE];
	HANDLE h = open_file(w[0], GENERIC_READ, 7, OPEN_EXISTING, 0);
	DWORD got = 0;
	BOOL good;

	if (h == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	while ((good = ReadFile(h, room, sizeof(room), &got, NULL)) && got)
		fwrite(room, 1, got, stdout);
	if (!good)
		return answer_error(GetLastError());
	return result(CloseHandle(h));
}

static int put(char **w, DWORD access, DWORD disposition)
{
	HANDLE h = open_file(w[0], access, 7, disposition, 0);
	DWORD done = 0;

	if (h == INVALID_HANDLE_VALUE || !WriteFile(h, w[1], (DWORD)strlen(w[1]), &done, NULL))
		return answer_error(GetLastError());
	return result(CloseHandle(h));
}

static int do_put(char **w)
{
	return put(w, GENERIC_WRITE, CREATE_ALWAYS);
}

static int do_append(char **w)
{
	return put(w, FILE_APPEND_DATA, OPEN_ALWAYS);
}

static int do_hash(char **w)
{
	static char room[PIECE];
	HANDLE h = open_file(w[0], GENERIC_READ, 7, OPEN_EXISTING, 0);
	uint64_t hash = HASH_START, size = 0;
	DWORD got = 0;
	BOOL good;

	if (h == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	while ((good = ReadFile(h, room, sizeof(room), &got, NULL)) && got) {
		hash = hash_more(hash, room, got);
		size += got;
	}
	if (!good)
		return answer_error(GetLastError());
	CloseHandle(h);
	printf("%llu %016llx\n", (unsigned long long)size, (unsigned long long)hash);
	return 0;
}

static unsigned long long unix_of(FILETIME time)
{
	return ((((unsigned long long)time.dwHighDateTime << 32) | time.dwLowDateTime) - 116444736000000000ull) / 10000000;
}

static int do_stat(char **w)
{
	WIN32_FILE_ATTRIBUTE_DATA seen;

	if (!GetFileAttributesExA(w[0], GetFileExInfoStandard, &seen))
		return answer_error(GetLastError());
	printf("size %llu attributes %lx written %llu\n", (unsigned long long)seen.nFileSizeHigh << 32 | seen.nFileSizeLow,
		seen.dwFileAttributes, unix_of(seen.ftLastWriteTime));
	return 0;
}

static int do_info(char **w)
{
	HANDLE h = open_file(w[0], FILE_READ_ATTRIBUTES, 7, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
	BY_HANDLE_FILE_INFORMATION info;

	if (h == INVALID_HANDLE_VALUE || !GetFileInformationByHandle(h, &info))
		return answer_error(GetLastError());
	printf("size %llu attributes %lx links %lu index %llx\n", (unsigned long long)info.nFileSizeHigh << 32 | info.nFileSizeLow,
		info.dwFileAttributes, info.nNumberOfLinks, (unsigned long long)info.nFileIndexHigh << 32 | info.nFileIndexLow);
	return result(CloseHandle(h));
}

static int do_ls(char **w)
{
	WIN32_FIND_DATAA found;
	HANDLE h = FindFirstFileA(w[0], &found);

	if (h == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	do
		printf("%s %llu%s\n", found.cFileName, (unsigned long long)found.nFileSizeHigh << 32 | found.nFileSizeLow,
			found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? " dir" : "");
	while (FindNextFileA(h, &found));
	if (GetLastError() != ERROR_NO_MORE_FILES)
		return answer_error(GetLastError());
	return result(FindClose(h));
}

static int do_mv(char **w)
{
	return result(MoveFileExA(w[0], w[1], MOVEFILE_REPLACE_EXISTING));
}

static int do_mvcopy(char **w)
{
	return result(MoveFileExA(w[0], w[1], MOVEFILE_REPLACE_EXISTING | MOVEFILE_COPY_ALLOWED));
}

static int do_rm(char **w)
{
	return result(DeleteFileA(w[0]));
}

static int do_mkdir(char **w)
{
	return result(CreateDirectoryA(w[0], NULL));
}

static int do_rmdir(char **w)
{
	return result(RemoveDirectoryA(w[0]));
}

static int do_cp(char **w)
{
	return result(CopyFileA(w[0], w[1], FALSE));
}

static int do_link(char **w)
{
	return result(CreateHardLinkA(w[1], w[0], NULL));
}

static int do_attr(char **w)
{
	return result(SetFileAttributesA(w[0], strtoul(w[1], NULL, 16)));
}

static int do_touch(char **w)
{
	unsigned long long ticks = strtoull(w[1], NULL, 10) * 10000000 + 116444736000000000ull;
	FILETIME when = { (DWORD)ticks, (DWORD)(ticks >> 32) };
	HANDLE h = open_file(w[0], FILE_WRITE_ATTRIBUTES, 7, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);

	if (h == INVALID_HANDLE_VALUE || !SetFileTime(h, NULL, NULL, &when))
		return answer_error(GetLastError());
	return result(CloseHandle(h));
}

static int do_df(char **w)
{
	ULARGE_INTEGER usable, all, unused;

	if (!GetDiskFreeSpaceExA(w[0], &usable, &all, &unused))
		return answer_error(GetLastError());
	printf("%llu %llu\n", all.QuadPart, usable.QuadPart);
	return 0;
}

/* Waits for one change beneath a directory, and says which names. */
static int do_watch(char **w)
{
	static DWORD room[1024];
	HANDLE h = open_file(w[0], FILE_LIST_DIRECTORY, 7, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OVERLAPPED);
	OVERLAPPED o = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	const FILE_NOTIFY_INFORMATION *info = (const FILE_NOTIFY_INFORMATION *)room;
	DWORD got = 0;

	if (h == INVALID_HANDLE_VALUE || !ReadDirectoryChangesW(h, room, sizeof(room), FALSE, 0x17f, NULL, &o, NULL))
		return answer_error(GetLastError());
	printf("watching\n");
	fflush(stdout);
	if (WaitForSingleObject(o.hEvent, strtoul(w[1], NULL, 10)) != WAIT_OBJECT_0) {
		CancelIoEx(h, &o);
		GetOverlappedResult(h, &o, &got, TRUE);
		return answer_error(WAIT_TIMEOUT);
	}
	if (!GetOverlappedResult(h, &o, &got, TRUE))
		return answer_error(GetLastError());
	for (bool more = got != 0; more; info = (const FILE_NOTIFY_INFORMATION *)((const char *)info + info->NextEntryOffset)) {
		printf("%lu %.*ls\n", info->Action, (int)(info->FileNameLength / sizeof(WCHAR)), info->FileName);
		more = info->NextEntryOffset != 0;
	}
	return 0;
}

/* Holds a file open until a second file appears, then reads it again through that handle. */
static int do_hold(char **w)
{
	char room[4096];
	HANDLE h = open_file(w[0], GENERIC_READ, 7, OPEN_EXISTING, 0);
	DWORD got = 0;
	OVERLAPPED o = { 0 };

	if (h == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	printf("held\n");
	fflush(stdout);
	for (int i = 0; i < 1200 && GetFileAttributesA(w[1]) == INVALID_FILE_ATTRIBUTES; i++)
		Sleep(25);
	if (!ReadFile(h, room, sizeof(room), &got, &o))
		return answer_error(GetLastError());
	fwrite(room, 1, got, stdout);
	return result(CloseHandle(h));
}

/* Writes and reads by a completion port: each comes back once, with its key, its bytes and its own OVERLAPPED. */
static int do_port(char **w)
{
	enum { COUNT = 16, EACH = 8192 };
	static unsigned char out[COUNT][EACH], in[COUNT][EACH];
	static OVERLAPPED o[COUNT];
	HANDLE h = open_file(w[0], GENERIC_READ | GENERIC_WRITE, 7, CREATE_ALWAYS, FILE_FLAG_OVERLAPPED);
	HANDLE port = h == INVALID_HANDLE_VALUE ? NULL : CreateIoCompletionPort(h, NULL, 4711, 0);
	struct random random = { 5 };

	if (!port)
		return answer_error(GetLastError());
	random_fill(&random, out, sizeof(out));
	for (int round = 0; round < 2; round++) {
		unsigned seen = 0;

		for (unsigned i = 0; i < COUNT; i++) {
			o[i] = (OVERLAPPED){ .Offset = i * EACH };
			CHECK((round ? ReadFile(h, in[i], EACH, NULL, &o[i]) : WriteFile(h, out[i], EACH, NULL, &o[i])) ||
				GetLastError() == ERROR_IO_PENDING, "round %d, %u", round, i);
		}
		for (unsigned i = 0; i < COUNT; i++) {
			OVERLAPPED *which = NULL;
			ULONG_PTR key = 0;
			DWORD bytes = 0;

			CHECK(GetQueuedCompletionStatus(port, &bytes, &key, &which, 30000), "round %d: completion %u", round, i);
			CHECK(key == 4711 && bytes == EACH && which >= o && which < o + COUNT, "round %d: key %llu, %lu bytes", round,
				(unsigned long long)key, bytes);
			CHECK(!(seen & 1u << (which - o)), "round %d: one came twice", round);
			seen |= 1u << (which - o);
		}
	}
	CHECK(!memcmp(in, out, sizeof(in)), "content");
	printf("%016llx\n", (unsigned long long)hash_of(out, sizeof(out)));
	return result(CloseHandle(h));
}

/* A mapped view against reads and writes of another handle. Mapping is the simulation's, by the library this program was started with. */
static int do_map(char **w)
{
	typedef LONG view_call(HANDLE, ULONG, ULONG, ULONGLONG, ULONGLONG, void *, ULONG);
	HMODULE hook = GetModuleHandleA("hook.dll");
	FARPROC found = hook ? GetProcAddress(hook, "hook_view") : NULL;
	HANDLE a = open_file(w[0], GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	HANDLE b = open_file(w[0], GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	unsigned char page[4096], seen[4096];
	struct random random = { 9 };
	view_call *view;
	DWORD n;

	memcpy(&view, &found, sizeof(view));
	if (!view || a == INVALID_HANDLE_VALUE || b == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	CHECK(view(a, DRIVE_MAP, DRIVE_WRITABLE, 0, 0, NULL, 0) == 0, "map");
	CHECK(view(a, DRIVE_VIEW_READ, 0, 4096, 0, page, 4096) == 0, "view");
	CHECK(SetFilePointer(b, 4096, NULL, FILE_BEGIN) == 4096 && ReadFile(b, seen, 4096, &n, NULL) && n == 4096, "read");
	CHECK(!memcmp(page, seen, 4096), "the view shows what a read shows");
	random_fill(&random, page, sizeof(page));
	CHECK(view(a, DRIVE_VIEW_WRITE, 0, 4096, 0, page, 4096) == 0, "write through the view");
	CHECK(SetFilePointer(b, 4096, NULL, FILE_BEGIN) == 4096 && ReadFile(b, seen, 4096, &n, NULL) && n == 4096, "read");
	CHECK(!memcmp(page, seen, 4096), "a read shows what was written through the view");
	random_fill(&random, page, sizeof(page));
	CHECK(SetFilePointer(b, 8192, NULL, FILE_BEGIN) == 8192 && WriteFile(b, page, 4096, &n, NULL) && n == 4096, "write");
	CHECK(view(a, DRIVE_VIEW_READ, 0, 8192, 0, seen, 4096) == 0 && !memcmp(page, seen, 4096), "the view shows what was written");
	CHECK(view(a, DRIVE_VIEW_WRITE, 0, 100, 0, "by view", 7) == 0, "write through the view");
	CHECK(view(a, DRIVE_VIEW_FLUSH, 0, 0, 0, NULL, 0) == 0, "flush");
	CHECK(view(a, DRIVE_UNMAP, 0, 0, 0, NULL, 0) == 0, "unmap");
	CHECK(CloseHandle(b), "close");
	return result(CloseHandle(a));
}

/* What other handles may do with a range that one has locked: "read ERROR write ERROR lock ERROR beyond ERROR after ERROR". */
static int do_locks(char **w)
{
	HANDLE a = open_file(w[0], GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	HANDLE b = open_file(w[0], GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	char byte[1];
	DWORD n;

	if (a == INVALID_HANDLE_VALUE || b == INVALID_HANDLE_VALUE || !LockFile(a, 0, 0, 100, 0))
		return answer_error(GetLastError());
	printf("read %lu", ReadFile(b, byte, 1, &n, NULL) ? 0 : GetLastError());
	printf(" write %lu", WriteFile(b, byte, 1, &n, NULL) ? 0 : GetLastError());
	printf(" lock %lu", LockFile(b, 50, 0, 1, 0) ? 0 : GetLastError());
	SetFilePointer(b, 100, NULL, FILE_BEGIN);
	printf(" beyond %lu", ReadFile(b, byte, 1, &n, NULL) ? 0 : GetLastError());
	CloseHandle(a);
	SetFilePointer(b, 0, NULL, FILE_BEGIN);
	printf(" after %lu\n", ReadFile(b, byte, 1, &n, NULL) ? 0 : GetLastError());
	return result(CloseHandle(b));
}

/* Reads under way at once; says how each ended, after how long: "ERROR BYTES MILLISECONDS". */
static int do_pend(char **w)
{
	enum { MOST = 32, EACH = 4096 };
	static char room[MOST][EACH];
	static OVERLAPPED o[MOST];
	unsigned count = (unsigned)atoi(w[1]);
	HANDLE h = open_file(w[0], GENERIC_READ, 7, OPEN_EXISTING, FILE_FLAG_OVERLAPPED | FILE_FLAG_NO_BUFFERING);
	double start = seconds();

	if (h == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	CHECK(count <= MOST, "too many");
	for (unsigned i = 0; i < count; i++) {
		o[i].Offset = i * EACH;
		o[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
		if (!ReadFile(h, room[i], EACH, NULL, &o[i]) && GetLastError() != ERROR_IO_PENDING)
			printf("at once: error %lu\n", GetLastError());
	}
	printf("pending\n");
	fflush(stdout);
	for (unsigned i = 0; i < count; i++) {
		DWORD got = 0, error = GetOverlappedResult(h, &o[i], &got, TRUE) ? 0 : GetLastError();

		printf("%lu %lu %.0f\n", error, got, (seconds() - start) * 1000);
	}
	return result(CloseHandle(h));
}

/* As pend, and cancelled after some milliseconds. */
static int do_cancel(char **w)
{
	static char room[4096];
	OVERLAPPED o = { .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
	HANDLE h = open_file(w[0], GENERIC_READ, 7, OPEN_EXISTING, FILE_FLAG_OVERLAPPED);
	DWORD got = 0, error;
	double start;

	if (h == INVALID_HANDLE_VALUE)
		return answer_error(GetLastError());
	ReadFile(h, room, sizeof(room), NULL, &o);
	Sleep(strtoul(w[1], NULL, 10));
	start = seconds();
	CancelIoEx(h, &o);
	error = GetOverlappedResult(h, &o, &got, TRUE) ? 0 : GetLastError();
	printf("%lu %lu %.0f\n", error, got, (seconds() - start) * 1000);
	return result(CloseHandle(h));
}

/* Reads at once by many, over and over, until an error: "error N" is the answer. */
static int do_hammer(char **w)
{
	static char room[4096];
	DWORD got = 0, until = GetTickCount() + strtoul(w[1], NULL, 10);
	unsigned rounds = 0;

	while (GetTickCount() < until) {
		HANDLE h = open_file(w[0], GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);

		if (h == INVALID_HANDLE_VALUE || !ReadFile(h, room, sizeof(room), &got, NULL) ||
			SetFilePointer(h, 0, NULL, FILE_BEGIN) != 0 || !WriteFile(h, room, got, &got, NULL)) {
			DWORD error = GetLastError();

			if (h != INVALID_HANDLE_VALUE)
				CloseHandle(h);
			printf("rounds %u\n", rounds);
			return answer_error(error);
		}
		CloseHandle(h);
		rounds++;
	}
	printf("rounds %u\n", rounds);
	return 0;
}

static const struct {
	const char *name;
	int operands;
	int (*run)(char **operands);
} commands[] = {
	{ "cat", 1, do_cat }, { "put", 2, do_put }, { "append", 2, do_append }, { "hash", 1, do_hash }, { "stat", 1, do_stat },
	{ "info", 1, do_info }, { "ls", 1, do_ls }, { "mv", 2, do_mv }, { "mvcopy", 2, do_mvcopy }, { "rm", 1, do_rm },
	{ "mkdir", 1, do_mkdir }, { "rmdir", 1, do_rmdir }, { "cp", 2, do_cp }, { "link", 2, do_link }, { "attr", 2, do_attr },
	{ "touch", 2, do_touch }, { "df", 1, do_df }, { "watch", 2, do_watch }, { "hold", 2, do_hold }, { "pend", 2, do_pend },
	{ "cancel", 2, do_cancel }, { "locks", 1, do_locks },
	{ "port", 1, do_port }, { "map", 1, do_map }, { "hammer", 2, do_hammer },
};

int main(int count, char **words)
{
	for (size_t i = 0; count > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(words[1], commands[i].name) && count == commands[i].operands + 2)
			return commands[i].run(words + 2);
	fprintf(stderr, "usage: fileop COMMAND OPERAND...\n");
	return 2;
}

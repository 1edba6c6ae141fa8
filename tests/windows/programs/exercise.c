/*
 * Random file operations against a model: exercise DIR THREADS OPERATIONS SEED [MANIFEST].
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each thread has a folder of its own and knows what must be in it after each operation: existence, content, attributes, times,
 * error codes. At the end everything is read once more and, for whoever looks from the other side, listed in MANIFEST: "path size hash".
 */
#include <process.h>
#include <stdarg.h>

#include "common.h"

enum { FILES = 12, SIZE_MAX_BYTES = 192 * 1024, PIECE = 40000, OVERLAPPED_COUNT = 6, NOTES = 60 };

struct file {
	bool exists, readonly;
	uint32_t size;
	unsigned char *data;
	FILETIME written;
	bool written_known;
};

struct worker {
	struct random random;
	unsigned number;
	char folder[200];
	struct file files[FILES];
	unsigned char *room;
	unsigned done; /* operations */
	char notes[NOTES][120];
	unsigned noted;
};

static __thread struct worker *self;

static const char *root, *manifest;
static unsigned operations_each;
/* LAX_DRIVE: this program itself is tried, on a drive with no regard for read-only files. */
static bool lax;
static FILE *manifest_file;
static CRITICAL_SECTION manifest_lock;

/* The last of them stand behind a failure. */
static void note(struct worker *w, const char *format, ...) __attribute__((format(gnu_printf, 2, 3)));
static void note(struct worker *w, const char *format, ...)
{
	char *line = w->notes[w->noted++ % NOTES];
	va_list arguments;
	int used = snprintf(line, sizeof(w->notes[0]), "%u: ", w->done);

	va_start(arguments, format);
	vsnprintf(line + used, sizeof(w->notes[0]) - (size_t)used, format, arguments);
	va_end(arguments);
}

static void tell_notes(void)
{
	for (unsigned i = self && self->noted > NOTES ? self->noted - NOTES : 0; self && i < self->noted; i++)
		fprintf(stderr, "  %s\n", self->notes[i % NOTES]);
}

static char *path_of(const struct worker *w, unsigned index, char *room)
{
	/* mixed case, blanks, and letters beyond ASCII stay as they are */
	sprintf(room, "%s\\File %u.Dat", w->folder, index);
	return room;
}

static unsigned pick(struct worker *w)
{
	return random_below(&w->random, FILES);
}

static struct file *pick_existing(struct worker *w, unsigned *ret_index)
{
	unsigned start = pick(w);

	for (unsigned i = 0; i < FILES; i++) {
		struct file *f = &w->files[(start + i) % FILES];

		if (f->exists && !f->readonly) {
			*ret_index = (start + i) % FILES;
			return f;
		}
	}
	return NULL;
}

static void forget(struct file *f)
{
	f->exists = f->readonly = f->written_known = false;
	f->size = 0;
}

static void model_write(struct file *f, uint32_t offset, const void *data, uint32_t length)
{
	if (offset > f->size)
		memset(f->data + f->size, 0, offset - f->size);
	memcpy(f->data + offset, data, length);
	if (offset + length > f->size)
		f->size = offset + length;
	f->written_known = false;
}

static void model_resize(struct file *f, uint32_t size)
{
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
	f->written_known = false;
}

static void compare_all(struct worker *w, unsigned index)
{
	struct file *f = &w->files[index];
	char path[300];
	HANDLE h = open_file(path_of(w, index, path), GENERIC_READ, 7, OPEN_EXISTING, 0);
	DWORD got = 0;
	LARGE_INTEGER size;

	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(GetFileSizeEx(h, &size) && size.QuadPart == f->size, "%s: size %lld, wanted %u", path, size.QuadPart, f->size);
	CHECK(ReadFile(h, w->room, SIZE_MAX_BYTES, &got, NULL), "%s", path);
	CHECK(got == f->size, "%s: read %lu of %u", path, got, f->size);
	for (uint32_t i = 0; i < f->size; i++)
		CHECK(w->room[i] == f->data[i], "%s: byte %u of %u is %02x, wanted %02x", path, i, f->size, w->room[i], f->data[i]);
	CHECK(CloseHandle(h), "%s", path);
}

/* ---- operations ---- */

/* Each disposition against a file that is there or not. */
static void op_open(struct worker *w)
{
	static const DWORD dispositions[] = { CREATE_NEW, CREATE_ALWAYS, OPEN_EXISTING, OPEN_ALWAYS, TRUNCATE_EXISTING };
	DWORD disposition = dispositions[random_below(&w->random, 5)], wanted = 0, seen;
	unsigned index = pick(w);
	struct file *f = &w->files[index];
	bool truncates = disposition == CREATE_ALWAYS || disposition == TRUNCATE_EXISTING;
	char path[300];
	HANDLE h;

	if (f->exists && disposition == CREATE_NEW)
		wanted = ERROR_FILE_EXISTS;
	else if (f->exists && f->readonly)
		wanted = ERROR_ACCESS_DENIED;
	else if (!f->exists && (disposition == OPEN_EXISTING || disposition == TRUNCATE_EXISTING))
		wanted = ERROR_FILE_NOT_FOUND;
	else if (f->exists && (disposition == CREATE_ALWAYS || disposition == OPEN_ALWAYS))
		wanted = ERROR_ALREADY_EXISTS;
	SetLastError(0);
	h = open_file(path_of(w, index, path), GENERIC_READ | GENERIC_WRITE, 7, disposition, FILE_ATTRIBUTE_NORMAL);
	seen = GetLastError();
	note(w, "open %u disposition %lu: %lu", index, disposition, seen);
	CHECK(seen == wanted, "%s: disposition %lu: error %lu, wanted %lu (exists %d)", path, disposition, seen, wanted, f->exists);
	if (h == INVALID_HANDLE_VALUE)
		return;
	if (!f->exists)
		forget(f);
	else if (truncates)
		model_resize(f, 0);
	f->exists = true;
	CHECK(CloseHandle(h), "%s", path);
}

static void op_write(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	uint32_t length = random_below(&w->random, PIECE) + 1;
	uint32_t offset = random_below(&w->random, SIZE_MAX_BYTES - length);
	char path[300];
	DWORD done = 0, flags = random_below(&w->random, 4) ? 0 : FILE_FLAG_WRITE_THROUGH;
	HANDLE h;

	if (!f)
		return;
	if (random_below(&w->random, 2) && f->size)
		offset = random_below(&w->random, f->size < SIZE_MAX_BYTES - length ? f->size : SIZE_MAX_BYTES - length);
	random_fill(&w->random, w->room, length);
	note(w, "write %u at %u of %u, %u bytes", index, offset, f->size, length);
	h = open_file(path_of(w, index, path), GENERIC_WRITE, 7, OPEN_EXISTING, flags);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(SetFilePointer(h, (LONG)offset, NULL, FILE_BEGIN) == offset, "%s", path);
	CHECK(WriteFile(h, w->room, length, &done, NULL) && done == length, "%s: %lu of %u", path, done, length);
	CHECK(SetFilePointer(h, 0, NULL, FILE_CURRENT) == offset + length, "%s: position", path);
	model_write(f, offset, w->room, length);
	if (random_below(&w->random, 8) == 0)
		CHECK(FlushFileBuffers(h), "%s", path);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_read(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	uint32_t length = random_below(&w->random, PIECE) + 1, offset, wanted;
	OVERLAPPED o = { 0 };
	char path[300];
	DWORD got = 0;
	BOOL good;
	HANDLE h;

	if (!f)
		return;
	offset = random_below(&w->random, f->size + 1000);
	wanted = offset >= f->size ? 0 : f->size - offset < length ? f->size - offset : length;
	note(w, "read %u at %u of %u, %u bytes", index, offset, f->size, length);
	h = open_file(path_of(w, index, path), GENERIC_READ, 7, OPEN_EXISTING, 0);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	/* an offset on a synchronous handle: at the end of the file this is an error, unlike reading at the position */
	o.Offset = offset;
	good = ReadFile(h, w->room, length, &got, &o);
	CHECK(good || GetLastError() == ERROR_HANDLE_EOF, "%s", path);
	CHECK(got == wanted, "%s: at %u: %lu bytes, wanted %u", path, offset, got, wanted);
	for (uint32_t i = 0; i < wanted; i++)
		CHECK(w->room[i] == f->data[offset + i], "%s: byte %u (of %u) is %02x, wanted %02x", path, offset + i, f->size,
			w->room[i], f->data[offset + i]);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_append(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	uint32_t length = random_below(&w->random, 3000) + 1;
	char path[300];
	DWORD done = 0;
	HANDLE h;

	if (!f || f->size + length > SIZE_MAX_BYTES)
		return;
	random_fill(&w->random, w->room, length);
	note(w, "append %u at %u, %u bytes", index, f->size, length);
	h = open_file(path_of(w, index, path), FILE_APPEND_DATA, 7, OPEN_EXISTING, 0);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(WriteFile(h, w->room, length, &done, NULL) && done == length, "%s: %lu of %u", path, done, length);
	model_write(f, f->size, w->room, length);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_resize(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	uint32_t size = random_below(&w->random, SIZE_MAX_BYTES);
	LARGE_INTEGER seen;
	char path[300];
	HANDLE h;

	if (!f)
		return;
	note(w, "resize %u from %u to %u", index, f->size, size);
	h = open_file(path_of(w, index, path), GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(SetFilePointer(h, (LONG)size, NULL, FILE_BEGIN) == size, "%s", path);
	CHECK(SetEndOfFile(h), "%s: to %u", path, size);
	model_resize(f, size);
	CHECK(GetFileSizeEx(h, &seen) && seen.QuadPart == size, "%s: %lld, wanted %u", path, seen.QuadPart, size);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_rename(struct worker *w)
{
	unsigned from, to = pick(w);
	struct file *f = pick_existing(w, &from), kept;
	DWORD flags = random_below(&w->random, 2) ? MOVEFILE_REPLACE_EXISTING : 0, wanted = 0;
	char a[300], b[300];

	if (!f || from == to)
		return;
	if (w->files[to].exists && !(flags & MOVEFILE_REPLACE_EXISTING))
		wanted = ERROR_ALREADY_EXISTS;
	else if (w->files[to].exists && w->files[to].readonly)
		wanted = ERROR_ACCESS_DENIED;
	note(w, "rename %u (%u bytes) to %u, flags %lu, wanted %lu", from, f->size, to, flags, wanted);
	CHECK_ERROR(MoveFileExA(path_of(w, from, a), path_of(w, to, b), flags), wanted, "%s to %s", a, b);
	if (wanted)
		return;
	kept = w->files[to];
	w->files[to] = *f;
	*f = kept;
	forget(f);
	CHECK(GetFileAttributesA(a) == INVALID_FILE_ATTRIBUTES, "%s is still there", a);
}

static void op_delete(struct worker *w)
{
	unsigned index = pick(w);
	struct file *f = &w->files[index];
	DWORD wanted = !f->exists ? ERROR_FILE_NOT_FOUND : f->readonly ? ERROR_ACCESS_DENIED : 0;
	char path[300];

	note(w, "delete %u, wanted %lu", index, wanted);
	CHECK_ERROR(DeleteFileA(path_of(w, index, path)), wanted, "%s", path);
	if (!wanted)
		forget(f);
}

static void op_delete_on_close(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	char path[300];
	HANDLE h;

	if (!f)
		return;
	note(w, "delete on close %u", index);
	h = open_file(path_of(w, index, path), GENERIC_READ | DELETE, 7, OPEN_EXISTING, FILE_FLAG_DELETE_ON_CLOSE);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES || GetLastError() == ERROR_ACCESS_DENIED, "%s went too early", path);
	CHECK(CloseHandle(h), "%s", path);
	CHECK(GetFileAttributesA(path) == INVALID_FILE_ATTRIBUTES && GetLastError() == ERROR_FILE_NOT_FOUND, "%s is still there", path);
	forget(f);
}

static void op_share(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	char path[300];
	HANDLE h;

	if (!f)
		return;
	h = open_file(path_of(w, index, path), GENERIC_READ, FILE_SHARE_READ, OPEN_EXISTING, 0);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK_ERROR(open_file(path, GENERIC_WRITE, 7, OPEN_EXISTING, 0) != INVALID_HANDLE_VALUE, ERROR_SHARING_VIOLATION, "%s", path);
	CHECK_ERROR(DeleteFileA(path), ERROR_SHARING_VIOLATION, "%s", path);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_lock(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	char path[300], byte[1];
	DWORD n;
	HANDLE a, b;

	if (!f || f->size < 2000)
		return;
	a = open_file(path_of(w, index, path), GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	b = open_file(path, GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
	CHECK(a != INVALID_HANDLE_VALUE && b != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(LockFile(a, 0, 0, 1000, 0), "%s", path);
	CHECK_ERROR(LockFile(b, 500, 0, 10, 0), ERROR_LOCK_VIOLATION, "%s", path);
	CHECK(LockFile(b, 1000, 0, 10, 0), "%s", path);
	CHECK(UnlockFile(a, 0, 0, 1000, 0), "%s", path);
	CHECK(ReadFile(b, byte, 1, &n, NULL) && n == 1, "%s", path);
	CHECK(CloseHandle(a) && CloseHandle(b), "%s", path);
}

/* What a listing shows: every name of the model, with its size, and nothing else. */
static void op_list(struct worker *w)
{
	static const char *const patterns[] = { "*", "*.*", "file *", "FILE ?.dat" };
	unsigned kind = random_below(&w->random, 4), index, seen = 0, wanted = 0;
	char pattern[300];
	WIN32_FIND_DATAA found;
	HANDLE h;

	sprintf(pattern, "%s\\%s", w->folder, patterns[kind]);
	for (unsigned i = 0; i < FILES; i++)
		wanted += w->files[i].exists && (kind != 3 || i < 10);
	h = FindFirstFileA(pattern, &found);
	CHECK(h != INVALID_HANDLE_VALUE || (!wanted && kind > 1 && GetLastError() == ERROR_FILE_NOT_FOUND), "%s", pattern);
	if (h == INVALID_HANDLE_VALUE)
		return;
	do {
		if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
			continue;
		CHECK(sscanf(found.cFileName, "File %u.Dat", &index) == 1 && index < FILES, "%s: a stranger: %s", pattern, found.cFileName);
		CHECK(w->files[index].exists, "%s: %s is shown but gone", pattern, found.cFileName);
		CHECK(found.nFileSizeLow == w->files[index].size, "%s: %s: size %lu, wanted %u", pattern, found.cFileName,
			found.nFileSizeLow, w->files[index].size);
		seen++;
	} while (FindNextFileA(h, &found));
	CHECK(GetLastError() == ERROR_NO_MORE_FILES, "%s", pattern);
	CHECK(FindClose(h), "%s", pattern);
	CHECK(seen == wanted, "%s: %u files, wanted %u", pattern, seen, wanted);
}

static void op_attributes(struct worker *w)
{
	unsigned index = pick(w);
	struct file *f = &w->files[index];
	char path[300];
	DWORD attributes;

	if (!f->exists || lax)
		return;
	f->readonly = !f->readonly;
	CHECK(SetFileAttributesA(path_of(w, index, path), f->readonly ? FILE_ATTRIBUTE_READONLY : FILE_ATTRIBUTE_NORMAL), "%s", path);
	attributes = GetFileAttributesA(path);
	CHECK(attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_READONLY) == !f->readonly, "%s: %lx", path,
		attributes);
}

static void op_times(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	ULARGE_INTEGER when;
	FILETIME seen;
	char path[300];
	HANDLE h;

	if (!f)
		return;
	/* somewhere from 1990 on, in units of a microsecond */
	when.QuadPart = 122725152000000000ull + random_next(&w->random) % 10000000000000000ull / 10 * 10;
	f->written.dwLowDateTime = when.LowPart;
	f->written.dwHighDateTime = when.HighPart;
	f->written_known = true;
	note(w, "time of %u", index);
	h = open_file(path_of(w, index, path), FILE_WRITE_ATTRIBUTES | FILE_READ_ATTRIBUTES, 7, OPEN_EXISTING, 0);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(SetFileTime(h, NULL, NULL, &f->written), "%s", path);
	CHECK(GetFileTime(h, NULL, NULL, &seen) && !CompareFileTime(&seen, &f->written), "%s: time %08lx%08lx, wanted %08lx%08lx", path,
		seen.dwHighDateTime, seen.dwLowDateTime, f->written.dwHighDateTime, f->written.dwLowDateTime);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_times_check(struct worker *w)
{
	unsigned index = pick(w);
	struct file *f = &w->files[index];
	WIN32_FILE_ATTRIBUTE_DATA seen;
	char path[300];

	if (!f->exists)
		return;
	CHECK(GetFileAttributesExA(path_of(w, index, path), GetFileExInfoStandard, &seen), "%s", path);
	CHECK(seen.nFileSizeLow == f->size, "%s: size %lu, wanted %u", path, seen.nFileSizeLow, f->size);
	if (f->written_known)
		CHECK(!CompareFileTime(&seen.ftLastWriteTime, &f->written), "%s: time %08lx%08lx, wanted %08lx%08lx", path,
			seen.ftLastWriteTime.dwHighDateTime, seen.ftLastWriteTime.dwLowDateTime, f->written.dwHighDateTime,
			f->written.dwLowDateTime);
}

/* Several writes, then several reads, under way at once. */
static void op_overlapped(struct worker *w)
{
	enum { EACH = 16384 };
	unsigned index;
	struct file *f = pick_existing(w, &index);
	OVERLAPPED o[OVERLAPPED_COUNT] = { 0 };
	char path[300];
	HANDLE h;

	if (!f)
		return;
	note(w, "overlapped %u of %u", index, f->size);
	h = open_file(path_of(w, index, path), GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, FILE_FLAG_OVERLAPPED);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	random_fill(&w->random, w->room, sizeof(o) / sizeof(*o) * EACH);
	for (int round = 0; round < 2; round++) {
		unsigned char *target = w->room + (round ? SIZE_MAX_BYTES / 2 : 0);

		for (unsigned i = 0; i < OVERLAPPED_COUNT; i++) {
			BOOL good;

			o[i] = (OVERLAPPED){ .Offset = i * EACH, .hEvent = CreateEventA(NULL, TRUE, FALSE, NULL) };
			good = round ? ReadFile(h, target + i * EACH, EACH, NULL, &o[i]) : WriteFile(h, target + i * EACH, EACH, NULL, &o[i]);
			CHECK(good || GetLastError() == ERROR_IO_PENDING, "%s: %s %u", path, round ? "read" : "write", i);
		}
		for (unsigned i = 0; i < OVERLAPPED_COUNT; i++) {
			DWORD done = 0;

			CHECK(GetOverlappedResult(h, &o[i], &done, TRUE) && done == EACH, "%s: %s %u: %lu bytes", path,
				round ? "read" : "write", i, done);
			CloseHandle(o[i].hEvent);
			if (!round)
				model_write(f, i * EACH, target + i * EACH, EACH);
		}
	}
	CHECK(!memcmp(w->room, w->room + SIZE_MAX_BYTES / 2, OVERLAPPED_COUNT * EACH), "%s: read back", path);
	CHECK(CloseHandle(h), "%s", path);
}

static void op_unbuffered(struct worker *w)
{
	unsigned index;
	struct file *f = pick_existing(w, &index);
	uint32_t sectors = random_below(&w->random, 12) + 1, at = random_below(&w->random, 30) * 4096;
	unsigned char *aligned;
	char path[300];
	DWORD done = 0;
	HANDLE h;

	if (!f)
		return;
	aligned = VirtualAlloc(NULL, sectors * 4096, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	CHECK(aligned, "memory");
	random_fill(&w->random, aligned, sectors * 4096);
	note(w, "unbuffered %u at %u of %u, %u bytes", index, at, f->size, sectors * 4096);
	h = open_file(path_of(w, index, path), GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, FILE_FLAG_NO_BUFFERING);
	CHECK(h != INVALID_HANDLE_VALUE, "%s", path);
	CHECK(SetFilePointer(h, (LONG)at, NULL, FILE_BEGIN) == at, "%s", path);
	CHECK(WriteFile(h, aligned, sectors * 4096, &done, NULL) && done == sectors * 4096, "%s: %lu", path, done);
	model_write(f, at, aligned, sectors * 4096);
	memset(aligned, 0, sectors * 4096);
	CHECK(SetFilePointer(h, (LONG)at, NULL, FILE_BEGIN) == at, "%s", path);
	CHECK(ReadFile(h, aligned, sectors * 4096, &done, NULL) && done == sectors * 4096, "%s: %lu", path, done);
	CHECK(!memcmp(aligned, f->data + at, sectors * 4096), "%s: read back at %u", path, at);
	CHECK(CloseHandle(h), "%s", path);
	VirtualFree(aligned, 0, MEM_RELEASE);
}

static void op_copy(struct worker *w)
{
	unsigned from, to = pick(w);
	struct file *f = pick_existing(w, &from), *g = &w->files[to];
	bool keep = random_below(&w->random, 2);
	DWORD wanted = 0;
	char a[300], b[300];

	if (!f || from == to)
		return;
	if (g->exists && keep)
		wanted = ERROR_FILE_EXISTS;
	else if (g->exists && g->readonly)
		wanted = ERROR_ACCESS_DENIED;
	note(w, "copy %u (%u bytes) to %u, wanted %lu", from, f->size, to, wanted);
	CHECK_ERROR(CopyFileA(path_of(w, from, a), path_of(w, to, b), keep), wanted, "%s to %s", a, b);
	if (wanted)
		return;
	forget(g);
	g->exists = true;
	model_write(g, 0, f->data, f->size);
}

static void op_replace(struct worker *w)
{
	unsigned from, to = pick(w);
	struct file *f = pick_existing(w, &from), *g = &w->files[to], kept;
	char a[300], b[300];

	if (!f || from == to || !g->exists || g->readonly)
		return;
	note(w, "replace %u by %u (%u bytes)", to, from, f->size);
	CHECK(ReplaceFileA(path_of(w, to, b), path_of(w, from, a), NULL, 0, NULL, NULL), "%s by %s", b, a);
	kept = *g;
	*g = *f;
	*f = kept;
	forget(f);
	g->written_known = false;
}

static void op_stdio(struct worker *w)
{
	unsigned index = pick(w);
	struct file *f = &w->files[index];
	uint32_t lines = random_below(&w->random, 200) + 1, used = 0;
	char path[300], line[64];
	FILE *stream;

	if (f->readonly)
		return;
	note(w, "stdio %u, %u lines", index, lines);
	stream = fopen(path_of(w, index, path), "wb");
	CHECK(stream, "%s", path);
	forget(f);
	f->exists = true;
	for (uint32_t i = 0; i < lines; i++) {
		int n = sprintf(line, "line %u of %u: %llx\n", i, lines, (unsigned long long)random_next(&w->random));

		CHECK(fputs(line, stream) >= 0, "%s", path);
		model_write(f, used, line, (uint32_t)n);
		used += (uint32_t)n;
	}
	CHECK(fclose(stream) == 0, "%s", path);
	stream = fopen(path, "rb");
	CHECK(stream && fseek(stream, (long)used / 2, SEEK_SET) == 0, "%s", path);
	CHECK(fread(w->room, 1, SIZE_MAX_BYTES, stream) == used - used / 2, "%s", path);
	CHECK(!memcmp(w->room, f->data + used / 2, used - used / 2), "%s", path);
	fclose(stream);
}

static void op_folder(struct worker *w)
{
	char folder[300], inside[330], moved[300];
	HANDLE h;

	sprintf(folder, "%s\\Sub folder", w->folder);
	sprintf(moved, "%s\\Moved", w->folder);
	sprintf(inside, "%s\\x", folder);
	CHECK(CreateDirectoryA(folder, NULL), "%s", folder);
	CHECK_ERROR(CreateDirectoryA(folder, NULL), ERROR_ALREADY_EXISTS, "%s", folder);
	h = open_file(inside, GENERIC_WRITE, 0, CREATE_NEW, 0);
	CHECK(h != INVALID_HANDLE_VALUE && CloseHandle(h), "%s", inside);
	CHECK_ERROR(RemoveDirectoryA(folder), ERROR_DIR_NOT_EMPTY, "%s", folder);
	CHECK(MoveFileA(folder, moved), "%s", folder);
	CHECK_ERROR(DeleteFileA(inside), ERROR_PATH_NOT_FOUND, "%s", inside);
	sprintf(inside, "%s\\x", moved);
	CHECK(DeleteFileA(inside), "%s", inside);
	CHECK(RemoveDirectoryA(moved), "%s", moved);
}

static void (*const all[])(struct worker *) = { op_open, op_write, op_write, op_write, op_read, op_read, op_read, op_append,
	op_resize, op_rename, op_delete, op_delete_on_close, op_share, op_lock, op_list, op_attributes, op_times, op_times_check,
	op_overlapped, op_unbuffered, op_copy, op_replace, op_stdio, op_folder };

/* ---- threads ---- */

static void finish(struct worker *w)
{
	char path[300];

	for (unsigned i = 0; i < FILES; i++) {
		struct file *f = &w->files[i];

		if (!f->exists)
			continue;
		compare_all(w, i);
		if (!manifest_file)
			continue;
		path_of(w, i, path);
		EnterCriticalSection(&manifest_lock);
		fprintf(manifest_file, "%s %u %016llx\n", path + strlen(root) + 1, f->size, (unsigned long long)hash_of(f->data, f->size));
		LeaveCriticalSection(&manifest_lock);
	}
}

static unsigned __stdcall run(void *argument)
{
	struct worker *w = argument;

	self = w;
	sprintf(w->folder, "%s\\Thread %u", root, w->number);
	CHECK(CreateDirectoryA(w->folder, NULL), "%s", w->folder);
	w->room = malloc(SIZE_MAX_BYTES * 2);
	CHECK(w->room, "memory");
	for (unsigned i = 0; i < FILES; i++) {
		w->files[i].data = calloc(1, SIZE_MAX_BYTES * 2);
		CHECK(w->files[i].data, "memory");
	}
	for (w->done = 0; w->done < operations_each; w->done++)
		all[random_below(&w->random, sizeof(all) / sizeof(*all))](w);
	finish(w);
	return 0;
}

int main(int count, char **words)
{
	static struct worker workers[32];
	HANDLE threads[32];
	unsigned n;

	if (count < 5) {
		fprintf(stderr, "usage: exercise DIR THREADS OPERATIONS SEED [MANIFEST]\n");
		return 2;
	}
	root = words[1];
	lax = getenv("LAX_DRIVE") != NULL;
	n = (unsigned)atoi(words[2]);
	operations_each = (unsigned)atoi(words[3]);
	manifest = count > 5 ? words[5] : NULL;
	CHECK(n && n <= 32, "threads");
	InitializeCriticalSection(&manifest_lock);
	failed_more = tell_notes;
	if (manifest) {
		manifest_file = fopen(manifest, "wb");
		CHECK(manifest_file, "%s", manifest);
	}
	for (unsigned i = 0; i < n; i++) {
		workers[i].number = i;
		workers[i].random.state = strtoull(words[4], NULL, 0) * 1000 + i;
		threads[i] = (HANDLE)_beginthreadex(NULL, 0, run, &workers[i], 0, NULL);
		CHECK(threads[i], "thread");
	}
	WaitForMultipleObjects(n, threads, TRUE, INFINITE);
	if (manifest_file)
		fclose(manifest_file);
	printf("exercise: %u threads, %u operations each: as the model says\n", n, operations_each);
	return 0;
}

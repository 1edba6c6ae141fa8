/*
 * Open files, on Windows: descriptors of the C library, whose handles do the work.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "os/files.h"
#include "os/windows/error.h"
#include "os/windows/files_private.h"

#include <io.h>
#include <winioctl.h>

#define EPOCH 116444736000000000ll /* 1970 in units of 100 ns since 1601 */
#define ONCE 0x40000000u           /* bytes of one call */

static int failed(void)
{
	return inlay_status_from_win32(GetLastError());
}

HANDLE inlay_fd_handle(int fd)
{
	return (HANDLE)_get_osfhandle(fd);
}

/* 0 would leave the time as it is. */
static LARGE_INTEGER ticks_of(const struct inlay_time *t)
{
	LARGE_INTEGER ticks = {.QuadPart = t->sec * 10000000 + t->nsec / 100 + EPOCH};

	if (ticks.QuadPart <= 0)
		ticks.QuadPart = 1;
	return ticks;
}

int inlay_handle_set(HANDLE h, uint32_t what, const struct inlay_attr *attr)
{
	FILE_BASIC_INFO info;

	if (!GetFileInformationByHandleEx(h, FileBasicInfo, &info, sizeof(info)))
		return failed();
	info.CreationTime.QuadPart = info.ChangeTime.QuadPart = 0;
	info.LastAccessTime.QuadPart = info.LastWriteTime.QuadPart = 0;
	if (what & INLAY_SET_MTIME) {
		info.LastAccessTime = ticks_of(&attr->atime);
		info.LastWriteTime = ticks_of(&attr->mtime);
	}
	if (!(what & INLAY_SET_MODE))
		info.FileAttributes = 0; /* as they are */
	else if (attr->mode & 0200)
		info.FileAttributes &= ~(DWORD)FILE_ATTRIBUTE_READONLY;
	else
		info.FileAttributes |= FILE_ATTRIBUTE_READONLY;
	if ((what & INLAY_SET_MODE) && !info.FileAttributes)
		info.FileAttributes = FILE_ATTRIBUTE_NORMAL;
	return SetFileInformationByHandle(h, FileBasicInfo, &info, sizeof(info)) ? 0 : failed();
}

int inlay_fd_set(int fd, uint32_t what, const struct inlay_attr *attr)
{
	return inlay_handle_set(inlay_fd_handle(fd), what, attr);
}

int inlay_fd_set_size(int fd, uint64_t size)
{
	FILE_END_OF_FILE_INFO info = {.EndOfFile.QuadPart = (LONGLONG)size};

	return SetFileInformationByHandle(inlay_fd_handle(fd), FileEndOfFileInfo, &info, sizeof(info)) ? 0 : failed();
}

void inlay_fd_set_sparse(int fd)
{
	DWORD size;

	/* Where it can't be, zeros take their room. */
	DeviceIoControl(inlay_fd_handle(fd), FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &size, NULL);
}

static DWORD once(size_t len)
{
	return len < ONCE ? (DWORD)len : ONCE;
}

static OVERLAPPED place(uint64_t off)
{
	return (OVERLAPPED){.Offset = (DWORD)off, .OffsetHigh = (DWORD)(off >> 32)};
}

/* A pipe's other end may be gone: that is its end. */
static int64_t read_result(BOOL good, DWORD n)
{
	DWORD error = good ? 0 : GetLastError();

	if (error == ERROR_HANDLE_EOF || error == ERROR_BROKEN_PIPE)
		return 0;
	return error ? inlay_status_from_win32(error) : (int64_t)n;
}

int64_t inlay_fd_read(int fd, void *bytes, size_t len)
{
	DWORD n = 0;
	BOOL good = ReadFile(inlay_fd_handle(fd), bytes, once(len), &n, NULL);

	return read_result(good, n);
}

int64_t inlay_fd_read_at(int fd, void *bytes, size_t len, uint64_t off)
{
	OVERLAPPED at = place(off);
	DWORD n = 0;
	BOOL good = ReadFile(inlay_fd_handle(fd), bytes, once(len), &n, &at);

	return read_result(good, n);
}

int inlay_fd_write_at(int fd, const void *bytes, size_t len, uint64_t off)
{
	const uint8_t *p = bytes;

	while (len) {
		OVERLAPPED at = place(off);
		DWORD n = 0;

		if (!WriteFile(inlay_fd_handle(fd), p, once(len), &n, &at))
			return failed();
		p += n;
		len -= n;
		off += n;
	}
	return 0;
}

int64_t inlay_fd_write_some(int fd, const void *bytes, size_t len)
{
	DWORD n = 0;

	return WriteFile(inlay_fd_handle(fd), bytes, once(len), &n, NULL) ? (int64_t)n : failed();
}

bool inlay_fd_wait_writable(int fd, unsigned ms)
{
	(void)fd;
	(void)ms;
	return true;
}

int inlay_fd_find_data(int fd, uint64_t off, uint64_t *ret_from, uint64_t *ret_to)
{
	FILE_ALLOCATED_RANGE_BUFFER wanted = {.FileOffset.QuadPart = (LONGLONG)off}, found;
	struct inlay_file_info info;
	DWORD size = 0;
	int status = inlay_fd_info(fd, &info);

	if (status < 0)
		return status;
	if (off >= info.size)
		return -INLAY_ENXIO;
	wanted.Length.QuadPart = (LONGLONG)(info.size - off);
	if (!DeviceIoControl(inlay_fd_handle(fd), FSCTL_QUERY_ALLOCATED_RANGES, &wanted, sizeof(wanted), &found, sizeof(found), &size,
		    NULL) && GetLastError() != ERROR_MORE_DATA) {
		*ret_from = off;
		*ret_to = UINT64_MAX;
		return 0;
	}
	if (size < sizeof(found))
		return -INLAY_ENXIO;
	*ret_from = (uint64_t)found.FileOffset.QuadPart > off ? (uint64_t)found.FileOffset.QuadPart : off;
	*ret_to = (uint64_t)(found.FileOffset.QuadPart + found.Length.QuadPart);
	return 0;
}

int inlay_fd_close(int fd)
{
	return _close(fd) == 0 ? 0 : -INLAY_EIO;
}

/* ---- this process ---- */

bool inlay_fd_is_terminal(int fd)
{
	DWORD mode;

	return GetConsoleMode(inlay_fd_handle(fd), &mode);
}

unsigned inlay_terminal_columns(void)
{
	HANDLE h = GetStdHandle(STD_ERROR_HANDLE);
	CONSOLE_SCREEN_BUFFER_INFO info;
	DWORD mode;

	/* Lines are drawn by escape sequences: a console that knows none gets none. */
	if (!GetConsoleMode(h, &mode) || !SetConsoleMode(h, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING))
		return 0;
	if (!GetConsoleScreenBufferInfo(h, &info))
		return 80;
	return (unsigned)(info.srWindow.Right - info.srWindow.Left + 1);
}

uint32_t inlay_umask(void)
{
	return 022;
}

/*
 * A filter directory's handle and names.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/directory.h"

#include "base/status.h"
#include "cmd/windows/ntfile.h"
#include "intercept/winfilter/names.h"
#include "os/windows/error.h"
#include "os/windows/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_UNITS 32768u

/* Allocated; NULL with GetLastError() set. */
static wchar_t *final_path(HANDLE handle, DWORD kind)
{
	wchar_t *path = malloc(PATH_UNITS * sizeof(*path));
	DWORD len = path ? GetFinalPathNameByHandleW(handle, path, PATH_UNITS, FILE_NAME_NORMALIZED | kind) : 0;

	if (len > 0 && len < PATH_UNITS)
		return path;
	free(path);
	return NULL;
}

/* The whole name is the volume's and the path's, one behind the other. */
static int split(struct inlay_directory *d)
{
	wchar_t *whole = final_path(d->handle, VOLUME_NAME_NT), *path = final_path(d->handle, VOLUME_NAME_NONE);
	size_t whole_len = whole ? wcslen(whole) : 0, path_len = path ? wcslen(path) : 0;

	if (!path_len || path_len >= whole_len || wcscmp(whole + whole_len - path_len, path) != 0) {
		free(whole);
		free(path);
		return -INLAY_ENOTSUP;
	}
	whole[whole_len - path_len] = L'\0';
	d->volume = whole;
	d->path = path;
	return path_len > 1 ? 0 : -INLAY_EINVAL;
}

/* "\\?\D:\disks" without what only programs like; a volume without a letter keeps its long name. */
static int find_name(struct inlay_directory *d)
{
	wchar_t *path = final_path(d->handle, VOLUME_NAME_DOS);
	bool plain;

	if (!path)
		path = final_path(d->handle, VOLUME_NAME_GUID);
	if (!path)
		return -INLAY_ENOTSUP;
	plain = wcsncmp(path, L"\\\\?\\", 4) == 0 && path[4] && path[5] == L':';
	d->name = inlay_text_narrow(plain ? path + 4 : path);
	free(path);
	return d->name ? 0 : -INLAY_ENOMEM;
}

static int open_handle(struct inlay_directory *d, const char *dir)
{
	wchar_t *wide = inlay_text_wide(dir);
	HANDLE handle;

	if (!wide)
		return -INLAY_ENOMEM;
	/* Shared for everything but deletion, which renaming is, too. */
	handle = CreateFileW(wide, FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
		OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
	free(wide);
	if (handle == INVALID_HANDLE_VALUE)
		return inlay_status_from_win32(GetLastError());
	d->handle = handle;
	return 0;
}

int inlay_directory_open(struct inlay_directory *d, const char *dir, char *why, size_t why_len)
{
	int status = open_handle(d, dir);

	if (status == -INLAY_ENOENT) {
		snprintf(why, why_len, "no such directory: %s: make it first", dir);
		return status;
	}
	if (status == 0)
		status = inlay_status_from_nt(inlay_ntfile_attr(d->handle, &d->times));
	if (status == 0 && !(d->times.attributes & FILE_ATTRIBUTE_DIRECTORY))
		status = -INLAY_ENOTDIR;
	if (status == 0)
		status = find_name(d);
	if (status < 0) {
		snprintf(why, why_len, "%s: %s: name an existing directory", inlay_status_text(status), dir);
		return status;
	}
	status = split(d);
	if (status == -INLAY_EINVAL)
		snprintf(why, why_len, "a whole volume: %s: name a directory on it", d->name);
	else if (status < 0)
		snprintf(why, why_len, "not on a volume of this machine: %s: name a directory on an NTFS volume", d->name);
	return status;
}

void inlay_directory_restore(const struct inlay_directory *d)
{
	struct inlay_ring_attr times = d->times;
	HANDLE file;

	times.attributes = 0;
	if (!d->handle || inlay_ntfile_open(d->handle, "", FILE_WRITE_ATTRIBUTES | SYNCHRONIZE, &file) < 0)
		return;
	(void)inlay_ntfile_set_basic(file, &times);
	NtClose(file);
}

void inlay_directory_close(struct inlay_directory *d)
{
	if (d->handle)
		CloseHandle(d->handle);
	free(d->name);
	free(d->volume);
	free(d->path);
	*d = (struct inlay_directory){0};
}

char *inlay_directory_full(const char *path)
{
	wchar_t *wide = inlay_text_wide(path), *full = malloc(PATH_UNITS * sizeof(*full));
	DWORD len = wide && full ? GetFullPathNameW(wide, PATH_UNITS, full, NULL) : 0;
	char *text = NULL;

	if (len > 0 && len < PATH_UNITS) {
		bool plain = wcsncmp(full, L"\\\\?\\", 4) == 0 && full[4] && full[5] == L':';

		if (len > 3 && full[len - 1] == L'\\')
			full[len - 1] = L'\0';
		text = inlay_text_narrow(plain ? full + 4 : full);
	}
	free(wide);
	free(full);
	return text;
}

const char *inlay_directory_rest(const char *dir, const char *path)
{
	const char *end = path;

	/* By parts, not by bytes: letters of other case may take more of them. */
	do {
		end += strcspn(end, "\\");
		if (inlay_winname_same(inlay_str(dir), (struct inlay_str){path, (uint32_t)(end - path)}))
			return *end ? end + 1 : end;
	} while (*end++);
	return NULL;
}

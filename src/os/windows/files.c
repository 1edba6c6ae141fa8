/*
 * Files here, on Windows. Paths are made absolute and may be long; a link is a reparse point that stands for another name.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/files.h"

#include "base/status.h"
#include "os/windows/error.h"
#include "os/windows/files_private.h"
#include "os/windows/text.h"

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <winioctl.h>

#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define EPOCH 116444736000000000ll /* 1970 in units of 100 ns since 1601 */

struct inlay_dir {
	wchar_t *path;
	HANDLE find; /* NULL before the first name */
};

static int failed(void)
{
	return inlay_status_from_win32(GetLastError());
}

/* ---- paths ---- */

/* "C:\x" as "\\?\C:\x", "\\server\x" as "\\?\UNC\server\x"; what is special already as it is. Takes over and gives allocated memory. */
static wchar_t *lengthened(wchar_t *path)
{
	bool special = wcsncmp(path, L"\\\\?\\", 4) == 0 || wcsncmp(path, L"\\\\.\\", 4) == 0;
	bool unc = path[0] == L'\\' && path[1] == L'\\';
	size_t room = wcslen(path) + 16;
	wchar_t *longer = special ? NULL : malloc(room * sizeof(*longer));

	if (special)
		return path;
	if (longer) {
		wcscpy(longer, unc ? L"\\\\?\\UNC\\" : L"\\\\?\\");
		wcscat(longer, unc ? path + 2 : path);
	}
	free(path);
	return longer;
}

static wchar_t *absolute(const wchar_t *wide)
{
	DWORD size = GetFullPathNameW(wide, 0, NULL, NULL);
	wchar_t *path = size ? malloc((size + 1) * sizeof(*path)) : NULL;

	if (path && !GetFullPathNameW(wide, size + 1, path, NULL)) {
		free(path);
		path = NULL;
	}
	return path ? lengthened(path) : NULL;
}

static wchar_t *joined(const wchar_t *dir, const wchar_t *name)
{
	size_t room = wcslen(dir) + wcslen(name) + 2;
	wchar_t *path = malloc(room * sizeof(*path));

	if (path) {
		wcscpy(path, dir);
		if (path[wcslen(path) - 1] != L'\\')
			wcscat(path, L"\\");
		wcscat(path, name);
	}
	return path;
}

/* Allocated. In a directory a name is one name: none of what would lead elsewhere or to a stream. */
static int path_of(const struct inlay_dir *at, const char *name, wchar_t **ret)
{
	wchar_t *wide;

	if (at && (!*name || strpbrk(name, "/\\:") || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return -INLAY_EINVAL;
	wide = inlay_text_wide(name);
	*ret = !wide ? NULL : at ? joined(at->path, wide) : absolute(wide);
	free(wide);
	return *ret ? 0 : -INLAY_ENOMEM;
}

static bool is_link(HANDLE h)
{
	FILE_ATTRIBUTE_TAG_INFO tag;

	return GetFileInformationByHandleEx(h, FileAttributeTagInfo, &tag, sizeof(tag)) &&
	       (tag.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) && IsReparseTagNameSurrogate(tag.ReparseTag);
}

/* Opens a name. follow false: the link itself, where it is one. */
static int open_name(const struct inlay_dir *at, const char *name, bool follow, DWORD access, DWORD how, DWORD attributes,
	HANDLE *ret)
{
	DWORD flags = FILE_FLAG_BACKUP_SEMANTICS | (follow ? 0 : FILE_FLAG_OPEN_REPARSE_POINT) | attributes;
	wchar_t *path;
	int status = path_of(at, name, &path);

	if (status < 0)
		return status;
	*ret = CreateFileW(path, access, SHARE_ALL, NULL, how, flags, NULL);
	if (*ret == INVALID_HANDLE_VALUE)
		status = failed();
	free(path);
	return status;
}

/* ---- what a handle is ---- */

static struct inlay_time time_of(FILETIME when)
{
	int64_t ticks = (int64_t)((uint64_t)when.dwHighDateTime << 32 | when.dwLowDateTime) - EPOCH;
	int64_t rest = (ticks % 10000000 + 10000000) % 10000000;

	return (struct inlay_time){.sec = (ticks - rest) / 10000000, .nsec = (uint32_t)rest * 100};
}

static int info_of(HANDLE h, bool link, struct inlay_file_info *ret)
{
	BY_HANDLE_FILE_INFORMATION i;
	uint32_t mode;

	switch (GetFileType(h)) {
	case FILE_TYPE_DISK:
		break;
	case FILE_TYPE_CHAR:
		*ret = (struct inlay_file_info){.mode = INLAY_MODE_CHAR | 0666};
		return 0;
	case FILE_TYPE_PIPE:
		*ret = (struct inlay_file_info){.mode = INLAY_MODE_PIPE | 0666};
		return 0;
	default:
		return failed();
	}
	if (!GetFileInformationByHandle(h, &i))
		return failed();
	if (link)
		mode = INLAY_MODE_LINK | 0777;
	else if (i.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
		mode = INLAY_MODE_DIR | 0755;
	else
		mode = INLAY_MODE_FILE | (i.dwFileAttributes & FILE_ATTRIBUTE_READONLY ? 0444 : 0644);
	*ret = (struct inlay_file_info){.mode = mode, .size = (uint64_t)i.nFileSizeHigh << 32 | i.nFileSizeLow,
		.mtime = time_of(i.ftLastWriteTime)};
	return 0;
}

int inlay_file_info(struct inlay_dir *at, const char *name, bool follow, struct inlay_file_info *ret)
{
	HANDLE h;
	int status = open_name(at, name, follow, FILE_READ_ATTRIBUTES, OPEN_EXISTING, 0, &h);

	if (status < 0)
		return status;
	status = info_of(h, !follow && is_link(h), ret);
	CloseHandle(h);
	return status;
}

int inlay_fd_info(int fd, struct inlay_file_info *ret)
{
	return info_of(inlay_fd_handle(fd), false, ret);
}

/* ---- opening ---- */

/* Takes over h. */
static int descriptor(HANDLE h, int flags)
{
	int fd = _open_osfhandle((intptr_t)h, flags | _O_BINARY | _O_NOINHERIT);

	if (fd >= 0)
		return fd;
	CloseHandle(h);
	return -INLAY_EMFILE;
}

/* A link or directory where a file is wanted. Takes over h. */
static int file_only(HANDLE h, bool follow, int flags)
{
	struct inlay_file_info info;
	int status = !follow && is_link(h) ? -INLAY_ELOOP : info_of(h, false, &info);

	if (status == 0 && (info.mode & INLAY_MODE_TYPE) == INLAY_MODE_DIR)
		status = -INLAY_EISDIR;
	if (status == 0)
		return descriptor(h, flags);
	CloseHandle(h);
	return status;
}

int inlay_file_open(struct inlay_dir *at, const char *name, bool follow)
{
	HANDLE h;
	int status = open_name(at, name, follow, GENERIC_READ, OPEN_EXISTING, 0, &h);

	return status < 0 ? status : file_only(h, follow, _O_RDONLY);
}

int inlay_file_create(struct inlay_dir *at, const char *name, uint32_t mode, bool follow)
{
	/* Not CREATE_ALWAYS: that refuses hidden files, and would empty what a link leads to. */
	DWORD attributes = mode & 0200 ? FILE_ATTRIBUTE_NORMAL : FILE_ATTRIBUTE_READONLY;
	HANDLE h;
	int status = open_name(at, name, follow, GENERIC_WRITE | FILE_READ_ATTRIBUTES, OPEN_ALWAYS, attributes, &h), fd;

	if (status == -INLAY_EACCES) { /* what Windows says of a directory, too */
		struct inlay_file_info info;

		if (inlay_file_info(at, name, follow, &info) == 0 && (info.mode & INLAY_MODE_TYPE) == INLAY_MODE_DIR)
			return -INLAY_EISDIR;
	}
	if (status < 0)
		return status;
	fd = file_only(h, follow, _O_WRONLY);
	if (fd >= 0 && GetFileType(inlay_fd_handle(fd)) == FILE_TYPE_DISK) {
		status = inlay_fd_set_size(fd, 0);
		if (status < 0) {
			_close(fd);
			return status;
		}
	}
	return fd;
}

/* ---- links ---- */

/* The fields of REPARSE_DATA_BUFFER for symbolic links, which user mode's headers lack. */
struct link_data {
	ULONG tag;
	USHORT len, reserved;
	USHORT substitute_off, substitute_len, print_off, print_len;
	ULONG flags;
	wchar_t names[(MAXIMUM_REPARSE_DATA_BUFFER_SIZE - 20) / sizeof(wchar_t)];
};

/* The printed name, its separators as everywhere in this program. */
static int target_text(const struct link_data *d, DWORD size, char target[INLAY_TARGET_MAX + 1])
{
	wchar_t wide[MAXIMUM_REPARSE_DATA_BUFFER_SIZE / sizeof(wchar_t)];
	size_t off = d->print_off / sizeof(wchar_t), len = d->print_len / sizeof(wchar_t);
	char *text;
	int status = 0;

	if (d->tag != IO_REPARSE_TAG_SYMLINK || size < 20 || (size_t)d->print_off + d->print_len > size - 20)
		return -INLAY_ENOTSUP;
	memcpy(wide, d->names + off, len * sizeof(wchar_t));
	wide[len] = L'\0';
	text = inlay_text_narrow(wide);
	if (!text)
		return -INLAY_ENOMEM;
	for (char *p = text; (p = strchr(p, '\\')) != NULL;)
		*p = '/';
	if (strlen(text) > INLAY_TARGET_MAX)
		status = -INLAY_ENAMETOOLONG;
	else
		strcpy(target, text);
	free(text);
	return status;
}

int inlay_link_read(struct inlay_dir *at, const char *name, char target[INLAY_TARGET_MAX + 1])
{
	struct link_data *data = malloc(sizeof(*data));
	DWORD size = 0;
	HANDLE h;
	int status = data ? open_name(at, name, false, FILE_READ_ATTRIBUTES, OPEN_EXISTING, 0, &h) : -INLAY_ENOMEM;

	if (status == 0) {
		if (DeviceIoControl(h, FSCTL_GET_REPARSE_POINT, NULL, 0, data, sizeof(*data), &size, NULL))
			status = target_text(data, size, target);
		else
			status = failed();
		CloseHandle(h);
	}
	free(data);
	return status;
}

int inlay_link_make(struct inlay_dir *at, const char *name, const char *target)
{
	wchar_t *path, *to = inlay_text_wide(target);
	int status = to ? path_of(at, name, &path) : -INLAY_ENOMEM;

	if (status < 0) {
		free(to);
		return status;
	}
	for (wchar_t *p = to; (p = wcschr(p, L'/')) != NULL;)
		*p = L'\\';
	if (!CreateSymbolicLinkW(path, to, SYMBOLIC_LINK_FLAG_ALLOW_UNPRIVILEGED_CREATE))
		status = failed();
	else if (GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES)
		status = -INLAY_ENOTSUP; /* a host that only says that it did */
	free(path);
	free(to);
	return status;
}

/* ---- directories ---- */

int inlay_dir_open(struct inlay_dir *at, const char *name, bool follow, struct inlay_dir **ret)
{
	struct inlay_file_info info;
	struct inlay_dir *d;
	int status = inlay_file_info(at, name, follow, &info);

	if (status < 0)
		return status;
	if ((info.mode & INLAY_MODE_TYPE) != INLAY_MODE_DIR)
		return (info.mode & INLAY_MODE_TYPE) == INLAY_MODE_LINK ? -INLAY_ELOOP : -INLAY_ENOTDIR;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -INLAY_ENOMEM;
	status = path_of(at, name, &d->path);
	if (status < 0)
		free(d);
	else
		*ret = d;
	return status;
}

int inlay_dir_make(struct inlay_dir *at, const char *name, uint32_t mode)
{
	wchar_t *path;
	int status = path_of(at, name, &path);

	(void)mode;
	if (status < 0)
		return status;
	if (!CreateDirectoryW(path, NULL))
		status = failed();
	free(path);
	return status;
}

/* One step of the listing: 1, 0 at the end, or a status. */
static int find_step(struct inlay_dir *d, WIN32_FIND_DATAW *found)
{
	wchar_t *pattern;

	if (d->find)
		return FindNextFileW(d->find, found) ? 1 : GetLastError() == ERROR_NO_MORE_FILES ? 0 : failed();
	pattern = joined(d->path, L"*");
	if (!pattern)
		return -INLAY_ENOMEM;
	d->find = FindFirstFileW(pattern, found);
	free(pattern);
	if (d->find != INVALID_HANDLE_VALUE)
		return 1;
	d->find = NULL;
	return GetLastError() == ERROR_FILE_NOT_FOUND ? 0 : failed();
}

int inlay_dir_next(struct inlay_dir *d, char name[INLAY_HERE_NAME_MAX + 1])
{
	WIN32_FIND_DATAW found;
	char *text;
	int r;

	do {
		r = find_step(d, &found);
		if (r <= 0)
			return r;
	} while (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0);
	text = inlay_text_narrow(found.cFileName);
	r = !text ? -INLAY_ENOMEM : strlen(text) > INLAY_HERE_NAME_MAX ? -INLAY_ENAMETOOLONG : 1;
	if (r == 1)
		strcpy(name, text);
	free(text);
	return r;
}

static HANDLE dir_handle(const struct inlay_dir *d, DWORD access)
{
	return CreateFileW(d->path, access, SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

int inlay_dir_info(struct inlay_dir *d, struct inlay_file_info *ret)
{
	HANDLE h = dir_handle(d, FILE_READ_ATTRIBUTES);
	int status;

	if (h == INVALID_HANDLE_VALUE)
		return failed();
	status = info_of(h, false, ret);
	CloseHandle(h);
	return status;
}

int inlay_dir_set(struct inlay_dir *d, uint32_t what, const struct inlay_attr *attr)
{
	HANDLE h = dir_handle(d, FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES);
	int status;

	if (h == INVALID_HANDLE_VALUE)
		return failed();
	status = inlay_handle_set(h, what & ~(uint32_t)INLAY_SET_MODE, attr); /* read-only means nothing for a directory */
	CloseHandle(h);
	return status;
}

void inlay_dir_close(struct inlay_dir *d)
{
	if (!d)
		return;
	if (d->find)
		FindClose(d->find);
	free(d->path);
	free(d);
}

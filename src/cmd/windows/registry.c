/*
 * Attachments in the registry.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/registry.h"

#include "base/hash.h"
#include "base/status.h"
#include "cmd/windows/pipe.h"
#include "os/windows/error.h"
#include "os/windows/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define ROOT L"SOFTWARE\\Inlay"
#define RUNNING ROOT L"\\Running"
#define REMEMBERED ROOT L"\\Attachments"
#define NAME_UNITS 32

static int make_key(const wchar_t *path, DWORD options, HKEY *ret)
{
	HKEY key;
	LONG error = RegCreateKeyExW(HKEY_LOCAL_MACHINE, path, 0, NULL, options, KEY_READ | KEY_WRITE | KEY_WOW64_64KEY, NULL, &key, NULL);

	if (error)
		return inlay_status_from_win32((unsigned long)error);
	*ret = key;
	return 0;
}

static int make_folder(const wchar_t *path, DWORD options)
{
	HKEY key = NULL;
	int status = make_key(path, options, &key);

	if (status == 0)
		RegCloseKey(key);
	return status;
}

static int set_text(HKEY key, const wchar_t *name, const char *text)
{
	wchar_t *wide = inlay_text_wide(text);
	LONG error;

	if (!wide)
		return -INLAY_ENOMEM;
	error = RegSetValueExW(key, name, 0, REG_SZ, (const BYTE *)wide, (DWORD)((wcslen(wide) + 1) * sizeof(*wide)));
	free(wide);
	return error ? inlay_status_from_win32((unsigned long)error) : 0;
}

/* A value's data with two NULs behind it; NULL when there is none of that type. */
static wchar_t *get_value(HKEY key, const wchar_t *name, DWORD type)
{
	DWORD size = 0, found = 0;
	wchar_t *value;

	if (RegQueryValueExW(key, name, NULL, &found, NULL, &size) != 0 || found != type)
		return NULL;
	value = calloc(1, size + 2 * sizeof(*value));
	if (value && RegQueryValueExW(key, name, NULL, NULL, (BYTE *)value, &size) == 0)
		return value;
	free(value);
	return NULL;
}

static char *get_text(HKEY key, const wchar_t *name)
{
	wchar_t *value = get_value(key, name, REG_SZ);
	char *text = value ? inlay_text_narrow(value) : NULL;

	free(value);
	return text;
}

/* Opens a folder's i-th subkey; its name in name. 1; 0: there are no more; or a status. */
static int open_sub(HKEY folder, DWORD i, wchar_t name[NAME_UNITS], HKEY *ret)
{
	DWORD len = NAME_UNITS;
	LONG error = RegEnumKeyExW(folder, i, name, &len, NULL, NULL, NULL, NULL);

	if (error == ERROR_NO_MORE_ITEMS)
		return 0;
	if (!error)
		error = RegOpenKeyExW(folder, name, 0, KEY_READ | KEY_WOW64_64KEY, ret);
	return error ? inlay_status_from_win32((unsigned long)error) : 1;
}

/* Calls each() with every subkey; keys that vanish meanwhile are left out. */
static int each_sub(const wchar_t *path, int (*each)(void *arg, HKEY key, const wchar_t *name), void *arg)
{
	HKEY folder, key;
	wchar_t name[NAME_UNITS];
	int status = 0;
	LONG error = RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ | KEY_WOW64_64KEY, &folder);

	if (error)
		return error == ERROR_FILE_NOT_FOUND ? 0 : inlay_status_from_win32((unsigned long)error);
	for (DWORD i = 0; status == 0; i++) {
		int found = open_sub(folder, i, name, &key);

		if (found == 0)
			break;
		if (found < 0)
			continue;
		status = each(arg, key, name);
		RegCloseKey(key);
	}
	RegCloseKey(folder);
	return status;
}

/* ---- running ---- */

static void running_path(uint32_t pid, wchar_t *path, size_t size)
{
	_snwprintf(path, size, L"%ls\\%lu", RUNNING, (unsigned long)pid);
}

int inlay_running_add(const char *dir, const char *source)
{
	wchar_t path[64];
	HKEY key = NULL;
	int status = make_folder(ROOT, REG_OPTION_NON_VOLATILE);

	if (status == 0)
		status = make_folder(RUNNING, REG_OPTION_VOLATILE);
	running_path(GetCurrentProcessId(), path, 64);
	if (status == 0)
		status = make_key(path, REG_OPTION_VOLATILE, &key);
	if (status < 0)
		return status;
	status = set_text(key, L"Directory", dir);
	if (status == 0)
		status = set_text(key, L"Source", source);
	RegCloseKey(key);
	return status;
}

void inlay_running_remove(uint32_t pid)
{
	wchar_t path[64];

	running_path(pid, path, 64);
	RegDeleteKeyExW(HKEY_LOCAL_MACHINE, path, KEY_WOW64_64KEY, 0);
}

void inlay_running_pipe(uint32_t pid, wchar_t *name)
{
	_snwprintf(name, INLAY_PIPE_NAME, L"\\\\.\\pipe\\inlay-%lu", (unsigned long)pid);
}

struct running_list {
	struct inlay_running *item;
	size_t count;
};

static int add_running(void *arg, HKEY key, const wchar_t *name)
{
	struct running_list *l = arg;
	struct inlay_running *grown = realloc(l->item, (l->count + 1) * sizeof(*grown)), r = {.pid = (uint32_t)wcstoul(name, NULL, 10)};

	if (!grown)
		return -INLAY_ENOMEM;
	l->item = grown;
	r.dir = get_text(key, L"Directory");
	r.source = get_text(key, L"Source");
	if (r.pid && r.dir && r.source) {
		grown[l->count++] = r;
		return 0;
	}
	free(r.dir);
	free(r.source);
	return 0; /* half written, or half removed */
}

int inlay_running_list(struct inlay_running **ret, size_t *ret_count)
{
	struct running_list l = {0};
	int status = each_sub(RUNNING, add_running, &l);

	if (status < 0) {
		inlay_running_free(l.item, l.count);
		return status;
	}
	*ret = l.item;
	*ret_count = l.count;
	return 0;
}

void inlay_running_free(struct inlay_running *r, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(r[i].dir);
		free(r[i].source);
	}
	free(r);
}

/* ---- remembered ---- */

/* A directory's name may not stand in a key's: a number made of it, case aside. */
static void remembered_path(const char *dir, wchar_t *path, size_t size)
{
	static const struct inlay_hash_key key = {{1, 2}};
	wchar_t *wide = inlay_text_wide(dir);
	uint64_t number = 0;

	if (wide) {
		CharUpperW(wide);
		number = inlay_siphash(&key, wide, wcslen(wide) * sizeof(*wide));
	}
	free(wide);
	_snwprintf(path, size, L"%ls\\%016llx", REMEMBERED, (unsigned long long)number);
}

static int set_list(HKEY key, const wchar_t *name, const char *const *text)
{
	wchar_t *all = NULL;
	size_t used = 0;
	LONG error;

	for (; *text; text++) {
		wchar_t *wide = inlay_text_wide(*text), *grown;
		size_t len = wide ? wcslen(wide) + 1 : 0;

		grown = wide ? realloc(all, (used + len + 1) * sizeof(*grown)) : NULL;
		if (!grown) {
			free(wide);
			free(all);
			return -INLAY_ENOMEM;
		}
		all = grown;
		memcpy(all + used, wide, len * sizeof(*wide));
		used += len;
		all[used] = L'\0';
		free(wide);
	}
	error = RegSetValueExW(key, name, 0, REG_MULTI_SZ, (const BYTE *)all, (DWORD)((used + 1) * sizeof(*all)));
	free(all);
	return error ? inlay_status_from_win32((unsigned long)error) : 0;
}

static char **get_list(HKEY key, const wchar_t *name)
{
	wchar_t *all = get_value(key, name, REG_MULTI_SZ);
	size_t count = 0, i = 0;
	char **list;

	if (!all)
		return NULL;
	for (const wchar_t *p = all; *p; p += wcslen(p) + 1)
		count++;
	list = calloc(count + 1, sizeof(*list));
	for (const wchar_t *p = all; list && *p; p += wcslen(p) + 1)
		list[i++] = inlay_text_narrow(p);
	free(all);
	return list;
}

int inlay_remember(const char *dir, const char *const *arguments)
{
	wchar_t path[96];
	HKEY key = NULL;
	int status = make_folder(ROOT, REG_OPTION_NON_VOLATILE);

	remembered_path(dir, path, 96);
	if (status == 0)
		status = make_key(path, REG_OPTION_NON_VOLATILE, &key);
	if (status < 0)
		return status;
	status = set_text(key, L"Directory", dir);
	if (status == 0)
		status = set_list(key, L"Arguments", arguments);
	RegCloseKey(key);
	return status;
}

bool inlay_forget(const char *dir)
{
	wchar_t path[96];

	remembered_path(dir, path, 96);
	return RegDeleteKeyExW(HKEY_LOCAL_MACHINE, path, KEY_WOW64_64KEY, 0) == 0;
}

struct remembered_list {
	struct inlay_remembered *item;
	size_t count;
};

static int add_remembered(void *arg, HKEY key, const wchar_t *name)
{
	struct remembered_list *l = arg;
	struct inlay_remembered *grown = realloc(l->item, (l->count + 1) * sizeof(*grown)), r;

	(void)name;
	if (!grown)
		return -INLAY_ENOMEM;
	l->item = grown;
	r = (struct inlay_remembered){.dir = get_text(key, L"Directory"), .argument = get_list(key, L"Arguments")};
	grown[l->count++] = r;
	return 0;
}

int inlay_remembered_list(struct inlay_remembered **ret, size_t *ret_count)
{
	struct remembered_list l = {0};
	int status = each_sub(REMEMBERED, add_remembered, &l);

	if (status < 0) {
		inlay_remembered_free(l.item, l.count);
		return status;
	}
	*ret = l.item;
	*ret_count = l.count;
	return 0;
}

void inlay_remembered_free(struct inlay_remembered *r, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (char **argument = r[i].argument; argument && *argument; argument++)
			free(*argument);
		free(r[i].argument);
		free(r[i].dir);
	}
	free(r);
}

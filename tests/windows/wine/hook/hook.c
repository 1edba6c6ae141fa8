/*
 * Replaces ntdll's functions, keeps the list of handles, and follows into child processes.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Wine's functions of ntdll are 32 bytes each and hold no relative address that leaves them: a copy of one is what it was.
 */
#include "hook.h"

#include <stdio.h>

enum { STUB = 32, HANDLES = 1 << 18 };

struct hook_real real;

static WCHAR library[MAX_PATH];
static volatile LONG ours[HANDLES / 32];
static ULONGLONG numbers[HANDLES]; /* what the drive calls them; 0: not asked yet */

bool hook_is_ours(HANDLE handle)
{
	ULONG_PTR n = (ULONG_PTR)handle >> 2;

	return n < HANDLES && (ours[n / 32] & (LONG)(1u << n % 32));
}

void hook_mark(HANDLE handle, bool are)
{
	ULONG_PTR n = (ULONG_PTR)handle >> 2;

	if (n >= HANDLES)
		return;
	numbers[n] = 0;
	if (are)
		InterlockedOr(&ours[n / 32], (LONG)(1u << n % 32));
	else
		InterlockedAnd(&ours[n / 32], (LONG)~(1u << n % 32));
}

ULONGLONG hook_number(HANDLE handle)
{
	ULONG_PTR n = (ULONG_PTR)handle >> 2;
	struct drive_call call;
	IO_STATUS_BLOCK io;
	ULONGLONG number = 0;

	if (n < HANDLES && numbers[n])
		return numbers[n];
	hook_call_fill(&call, DRIVE_IDENTIFY);
	if (!NT_SUCCESS(hook_call(handle, &call, NULL, NULL, &number, sizeof(number), &io)))
		return ~0ull;
	if (n < HANDLES)
		numbers[n] = number;
	return number;
}

/* A parent's handles don't come with a list; the drive itself knows which are its. */
void hook_adopt_inherited(void)
{
	for (ULONG_PTR i = 4; i < 0x400; i += 4) {
		struct drive_call call;
		ULONGLONG number;
		ULONG basic[14];
		IO_STATUS_BLOCK io;

		if (!NT_SUCCESS(real.NtQueryObject((HANDLE)i, 0, basic, sizeof(basic), NULL)))
			continue;
		hook_call_fill(&call, DRIVE_IDENTIFY);
		if (NT_SUCCESS(hook_call((HANDLE)i, &call, NULL, NULL, &number, sizeof(number), &io)) && io.Information == sizeof(number))
			hook_mark((HANDLE)i, true);
	}
}

void hook_close_all(void)
{
	for (ULONG_PTR n = 0; n < HANDLES; n++)
		if (hook_is_ours((HANDLE)(n << 2)))
			NtClose((HANDLE)(n << 2));
}

static bool replace(const char *name, void *with, void **ret_real, UCHAR *room)
{
	static const UCHAR expected[] = { 0x4c, 0x8b, 0xd1, 0xb8 };
	FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), name);
	UCHAR jump[12] = { 0x48, 0xb8 };
	UCHAR *code;
	DWORD old;

	memcpy(&code, &found, sizeof(code));
	if (!code || memcmp(code, expected, sizeof(expected)) != 0)
		return false;
	memcpy(room, code, STUB);
	*ret_real = room;
	memcpy(jump + 2, &with, sizeof(with));
	jump[10] = 0xff;
	jump[11] = 0xe0;
	if (!VirtualProtect(code, sizeof(jump), PAGE_EXECUTE_READWRITE, &old))
		return false;
	memcpy(code, jump, sizeof(jump));
	return VirtualProtect(code, sizeof(jump), old, &old) != 0;
}

static bool replace_all(void)
{
	UCHAR *room = VirtualAlloc(NULL, 0x10000, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	bool good = room != NULL;

#define HOOK_REPLACE(name, parameters) \
	good = good && replace(#name, (void *)(ULONG_PTR)hook_##name, (void **)&real.name, room); \
	room += STUB;
	HOOK_FUNCTIONS(HOOK_REPLACE)
#undef HOOK_REPLACE
	return good;
}

/* A child on the drive starts elsewhere, because its own start precedes this library: told through a named section. */
static HANDLE directory_section(DWORD process, bool make)
{
	WCHAR name[64];

	swprintf(name, 64, L"InlayHookDirectory%lu", process);
	if (!make)
		return OpenFileMappingW(FILE_MAP_READ, FALSE, name);
	return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 65536, name);
}

/* RTL_USER_PROCESS_PARAMETERS.CurrentDirectory.DosPath, which mingw's header leaves out. */
static const UNICODE_STRING *directory_of(const RTL_USER_PROCESS_PARAMETERS *parameters)
{
	return (const UNICODE_STRING *)((const UCHAR *)parameters + 0x38);
}

static HANDLE directory_tell(HANDLE process, const UNICODE_STRING *path)
{
	HANDLE section;
	WCHAR *view;

	if (path->Length < 4 || path->Length > 65000 || (path->Buffer[0] | 0x20) != (DRIVE_LETTER | 0x20) || path->Buffer[1] != ':')
		return NULL;
	section = directory_section(GetProcessId(process), true);
	view = section ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 65536) : NULL;
	if (view) {
		memcpy(view, path->Buffer, path->Length);
		UnmapViewOfFile(view);
	}
	return section;
}

static void directory_take(void)
{
	HANDLE section = directory_section(GetCurrentProcessId(), false);
	const WCHAR *view = section ? MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0) : NULL;

	if (view)
		SetCurrentDirectoryW(view);
	if (view)
		UnmapViewOfFile(view);
	if (section)
		CloseHandle(section);
}

/* The child's threads wait: Wine's CreateProcess always makes it so, and goes on with it afterwards. */
NTSTATUS NTAPI hook_NtCreateUserProcess(HANDLE *ret_process, HANDLE *ret_thread, ACCESS_MASK process_access,
	ACCESS_MASK thread_access, OBJECT_ATTRIBUTES *process_attr, OBJECT_ATTRIBUTES *thread_attr, ULONG process_flags,
	ULONG thread_flags, RTL_USER_PROCESS_PARAMETERS *parameters, void *info, void *list)
{
	NTSTATUS status = real.NtCreateUserProcess(ret_process, ret_thread, process_access, thread_access, process_attr, thread_attr,
		process_flags, thread_flags | 1, parameters, info, list);
	HANDLE section;

	if (!NT_SUCCESS(status))
		return status;
	section = directory_tell(*ret_process, directory_of(parameters));
	if (!hook_inject(*ret_process, library))
		fprintf(stderr, "hook: not loaded into a child\n");
	if (section)
		CloseHandle(section);
	if (!(thread_flags & 1))
		ResumeThread(*ret_thread);
	return status;
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, void *unused)
{
	(void)unused;
	if (reason == DLL_PROCESS_ATTACH) {
		GetModuleFileNameW(self, library, MAX_PATH);
		if (!replace_all())
			return FALSE;
		hook_adopt_inherited();
		directory_take();
	} else if (reason == DLL_PROCESS_DETACH) {
		hook_close_all();
	}
	return TRUE;
}

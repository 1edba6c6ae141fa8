/*
 * Loads a library into a process that was started suspended.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "hook.h"

bool hook_inject(HANDLE process, const WCHAR *library)
{
	SIZE_T bytes = (wcslen(library) + 1) * sizeof(*library);
	void *there = VirtualAllocEx(process, NULL, bytes, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	LPTHREAD_START_ROUTINE start;
	FARPROC load = GetProcAddress(GetModuleHandleA("kernel32.dll"), "LoadLibraryW");
	DWORD code = 0;
	HANDLE thread;

	/* libraries of the system lie at one address in all processes */
	memcpy(&start, &load, sizeof(start));
	if (!there || !WriteProcessMemory(process, there, library, bytes, NULL))
		return false;
	thread = CreateRemoteThread(process, NULL, 0, start, there, 0, NULL);
	if (!thread)
		return false;
	if (WaitForSingleObject(thread, 30000) == WAIT_OBJECT_0)
		GetExitCodeThread(thread, &code);
	CloseHandle(thread);
	return code != 0;
}

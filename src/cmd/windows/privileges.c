/*
 * Privileges of this process.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/privileges.h"

#include <windows.h>

static void enable(HANDLE token, const wchar_t *name)
{
	TOKEN_PRIVILEGES wanted = {.PrivilegeCount = 1, .Privileges = {{.Attributes = SE_PRIVILEGE_ENABLED}}};

	if (LookupPrivilegeValueW(NULL, name, &wanted.Privileges[0].Luid))
		AdjustTokenPrivileges(token, FALSE, &wanted, 0, NULL, NULL);
}

void inlay_privileges_enable(void)
{
	HANDLE token;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token))
		return;
	enable(token, L"SeBackupPrivilege");
	enable(token, L"SeRestorePrivilege");
	enable(token, L"SeLoadDriverPrivilege");
	CloseHandle(token);
}

bool inlay_privileges_are_admin(void)
{
	SID_IDENTIFIER_AUTHORITY authority = SECURITY_NT_AUTHORITY;
	PSID admins;
	BOOL is = FALSE;

	if (!AllocateAndInitializeSid(&authority, 2, SECURITY_BUILTIN_DOMAIN_RID, DOMAIN_ALIAS_RID_ADMINS, 0, 0, 0, 0, 0, 0, &admins))
		return false;
	if (!CheckTokenMembership(NULL, admins, &is))
		is = FALSE;
	FreeSid(admins);
	return is;
}

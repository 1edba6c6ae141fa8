/*
 * Who we are, on Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/self.h"

#include "os/windows/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define NOBODY 65534u

static struct inlay_cred self = {.uid = NOBODY, .gid = NOBODY};

void inlay_self_cred(struct inlay_cred *ret)
{
	*ret = self;
}

void inlay_self_set(const struct inlay_cred *cred)
{
	self = *cred;
}

void inlay_self_host(char *buf, size_t size)
{
	wchar_t wide[256];
	DWORD len = sizeof(wide) / sizeof(wide[0]);
	char *text = NULL;

	if (GetComputerNameExW(ComputerNameDnsHostname, wide, &len))
		text = inlay_text_narrow(wide);
	snprintf(buf, size, "%s", text && *text ? text : "?");
	free(text);
}

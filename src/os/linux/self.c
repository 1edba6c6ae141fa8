/*
 * Who we are, on Linux.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/self.h"

#include <stdio.h>
#include <unistd.h>

void inlay_self_cred(struct inlay_cred *ret)
{
	gid_t groups[INLAY_GROUPS_MAX];
	int count = getgroups((int)INLAY_GROUPS_MAX, groups);

	ret->uid = geteuid();
	ret->gid = getegid();
	ret->ngroups = count > 0 ? (uint32_t)count : 0;
	for (uint32_t i = 0; i < ret->ngroups; i++)
		ret->groups[i] = groups[i];
}

void inlay_self_host(char *buf, size_t size)
{
	if (gethostname(buf, size) < 0)
		snprintf(buf, size, "?");
	buf[size - 1] = '\0';
}

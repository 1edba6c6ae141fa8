/*
 * On Windows no thread acts as another user of the server's.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/identity.h"

bool inlay_identity_can_switch(void)
{
	return false;
}

int inlay_identity_enter(const struct inlay_cred *cred)
{
	(void)cred;
	return 0;
}

/*
 * Statuses to NTSTATUS.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/ntstatus.h"

#include "base/status.h"

uint32_t inlay_ntstatus_from(int status)
{
	static const uint32_t table[] = {
		[INLAY_OK] = INLAY_NT_SUCCESS,
#define INLAY_NTSTATUS_ROW(ours, theirs) [INLAY_E##ours] = (uint32_t)INLAY_NT_##theirs,
		INLAY_NTSTATUS_OF(INLAY_NTSTATUS_ROW)
#undef INLAY_NTSTATUS_ROW
	};
	unsigned index = status < 0 ? 0u - (unsigned)status : (unsigned)status;

	return index < sizeof table / sizeof *table ? table[index] : (uint32_t)INLAY_NT_UNSUCCESSFUL;
}

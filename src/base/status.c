/*
 * Status codes and their rows for this host. The table is the list in status.h; nothing stands here twice.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"

#include <errno.h>
#include <stddef.h>

struct status_row {
	int host;
	const char *text;
};

static const struct status_row rows[] = {
	[INLAY_OK] = {0, "success"},
#define STATUS_ROW(name, number, host, text) [number] = {host, text},
	INLAY_STATUSES(STATUS_ROW)
#undef STATUS_ROW
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct status_row *row_of(int status)
{
	/* Negated as unsigned: INT_MIN has no positive twin. */
	unsigned number = status < 0 ? 0u - (unsigned)status : (unsigned)status;

	return number < ROWS && rows[number].text ? &rows[number] : &rows[INLAY_EUNKNOWN];
}

int inlay_status_errno(int status)
{
	return row_of(status)->host;
}

const char *inlay_status_text(int status)
{
	return row_of(status)->text;
}

/* What the host tells apart and we don't. */
static int same_as(int host_errno)
{
	switch (host_errno) {
	case ECONNABORTED: /* by an administrator, or for want of memory */
	case ENETRESET:
		return -INLAY_ECONNRESET;
	case ENETDOWN:
	case ENETUNREACH:
		return -INLAY_EHOSTUNREACH;
	default:
		return -INLAY_EUNKNOWN;
	}
}

int inlay_status_from_errno(int host_errno)
{
	/* The first row wins: the general meaning of an errno stands above the special ones (NOEXPORT, QUEUED, ...). */
	for (size_t i = 1; host_errno > 0 && i < ROWS; i++) {
		if (rows[i].text && rows[i].host == host_errno)
			return -(int)i;
	}
	return same_as(host_errno);
}

/*
 * The poller on Windows: a completion port. Each completion is told once: a batch that an owner leaves behind is the next one's.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/windows/completion.h"

#include "base/status.h"
#include "net/crew.h"
#include "net/poller.h"
#include "os/windows/error.h"

#include <assert.h>
#include <stdlib.h>
#include <winternl.h>

#define BATCH 64
#define END_MS 2000u /* how long freeing waits for what is under way */

struct inlay_poller {
	HANDLE port;          /* constant */
	unsigned under_way;   /* completions begun, not yet run */
	unsigned next, count; /* of entries: not yet run */
	OVERLAPPED_ENTRY entries[BATCH];
};

int inlay_poller_new(struct inlay_poller **ret)
{
	struct inlay_poller *p = calloc(1, sizeof(*p));

	if (!p)
		return -INLAY_ENOMEM;
	p->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
	if (!p->port) {
		free(p);
		return inlay_status_from_win32(GetLastError());
	}
	*ret = p;
	return 0;
}

static int take(struct inlay_poller *p, DWORD ms)
{
	ULONG count;

	p->next = 0;
	p->count = GetQueuedCompletionStatusEx(p->port, p->entries, BATCH, &count, ms, FALSE) ? count : 0;
	return (int)p->count;
}

int inlay_poller_poll(struct inlay_poller *p)
{
	return take(p, 0);
}

int inlay_poller_wait(struct inlay_poller *p, uint64_t wait_ns)
{
	/* Rounded up: to wake too early would be to do it again at once. */
	uint64_t ms = wait_ns / 1000000 + (wait_ns % 1000000 != 0);

	return take(p, wait_ns == UINT64_MAX ? INFINITE : ms < INFINITE ? (DWORD)ms : INFINITE - 1);
}

/* What the host says, in bytes or as a status. */
static int64_t result_of(const OVERLAPPED_ENTRY *e)
{
	NTSTATUS nt = (NTSTATUS)e->lpOverlapped->Internal;

	return nt >= 0 ? (int64_t)e->dwNumberOfBytesTransferred : inlay_status_from_win32(RtlNtStatusToDosError(nt));
}

bool inlay_poller_run(struct inlay_poller *p, struct inlay_loop *l)
{
	while (p->next < p->count) {
		OVERLAPPED_ENTRY *e = &p->entries[p->next++];
		struct inlay_completion *c;

		if (!e->lpOverlapped) /* the wake-up */
			continue;
		c = inlay_container(e->lpOverlapped, struct inlay_completion, overlapped);
		assert(p->under_way);
		p->under_way--;
		c->done(c, result_of(e));
		if (inlay_loop_current() != l)
			return false;
	}
	return true;
}

void inlay_poller_adopt(struct inlay_poller *p)
{
	(void)p;
}

void inlay_poller_wake(struct inlay_poller *p)
{
	PostQueuedCompletionStatus(p->port, 0, 0, NULL);
}

/* Until all is given back the host may write to it: what it keeps too long is left to it. */
void inlay_poller_free(struct inlay_poller *p)
{
	if (!p)
		return;
	while (p->under_way) {
		if (p->next == p->count && !take(p, END_MS))
			return;
		if (!inlay_poller_run(p, inlay_loop_current()))
			return;
	}
	CloseHandle(p->port);
	free(p);
}

/* ---- completions ---- */

int inlay_loop_bind(struct inlay_loop *l, HANDLE h)
{
	return CreateIoCompletionPort(h, l->poller->port, 0, 0) ? 0 : inlay_status_from_win32(GetLastError());
}

void inlay_completion_begin(struct inlay_loop *l, struct inlay_completion *c)
{
	c->overlapped = (OVERLAPPED){0};
	c->loop = l;
	l->poller->under_way++;
}

void inlay_completion_forget(struct inlay_completion *c)
{
	assert(c->loop->poller->under_way);
	c->loop->poller->under_way--;
}

void inlay_completion_post(struct inlay_completion *c)
{
	PostQueuedCompletionStatus(c->loop->poller->port, 0, 0, &c->overlapped);
}
